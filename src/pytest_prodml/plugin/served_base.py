"""What every gate of a served model knows: the server, the rows it is asked for, and what is right."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.dimensions import Bound
from pytest_prodml.plugin.quantities import seconds
from pytest_prodml.records import Evidence, Subject

if TYPE_CHECKING:
    import pandas as pd

    from pytest_prodml.adapters.predictor import Predictor
    from pytest_prodml.adapters.serving.load import Answers, Phase
    from pytest_prodml.adapters.serving.served import Endpoint, ServedModel

#: Of requests at the rate that follows, whose answers are not judged.
WARM_UP_SECONDS = 1.0
#: How far an answer may lie from the model's own score.
ATOL = 1e-5
_LEAST_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A running server with requests for it."""

    endpoint: Endpoint
    batches: list[pd.DataFrame]
    requests: list[bytes]
    is_right: Callable[[int, bytes], str | None] | None

    def run(
        self,
        phases: Sequence[Phase],
        *,
        timeout: float,
        seed: int,
        arrivals: str = "constant",
        during: Callable[[float], None] | None = None,
    ) -> Answers:
        """Send requests by the schedule of these phases."""
        plan = self.endpoint.plan(
            self.requests, phases, timeout_seconds=timeout, seed=seed, arrivals=arrivals
        )
        return self.endpoint.run(plan, during=during)


class ServedBound(Bound):
    """A gate of the served model."""

    def _served(self, server: object) -> ServedModel:
        """Return how the model is served: what the test gives, else the fixture `prodml_server`."""
        __tracebackhide__ = True
        from pytest_prodml.adapters.serving.served import ServedModel

        found = self._request.getfixturevalue("prodml_server") if server is None else server
        if not isinstance(found, ServedModel):
            raise InputError(
                f"expected a served model, got {type(found).__name__}",
                where=self._session.gate_id,
                hint="return one from the fixture prodml_server",
            )
        return found

    def _certified(self) -> Predictor:
        __tracebackhide__ = True
        return self._context.predictor(self._request.getfixturevalue("prodml_model"))

    def _rows(self, data: object) -> pd.DataFrame:
        __tracebackhide__ = True
        return self._dataset(data).frame

    @contextlib.contextmanager
    def _asked(
        self, server: object, data: object, *, compares: bool = True, atol: float = ATOL
    ) -> Iterator[Asked]:
        """Start the server, and prepare requests with what the certified model says to them."""
        from pytest_prodml.adapters.serving.served import comparer

        served, frame = self._served(server), self._rows(data)
        model = self._certified() if compares else None
        with served.running() as endpoint:
            batches = endpoint.batches(frame, seed=self._session.seed)
            yield Asked(
                endpoint=endpoint,
                batches=batches,
                requests=endpoint.requests(batches),
                is_right=None if model is None else comparer(served.protocol, batches, model, atol),
            )

    def _noise(self) -> tuple[str, ...]:
        """Say what is known to run beside the test."""
        from pytest_prodml.checks.latency.conditions import load_told

        if hasattr(self._context.config, "workerinput"):
            return ("other work ran on this machine: the other workers of pytest-xdist",)
        return load_told()

    def _settle_served(self, check: Callable[[], Evidence], *, is_compared: bool = True) -> Evidence:
        """Record evidence that counts for the certified model, where each answer was compared with it."""
        __tracebackhide__ = True
        subjects: list[Subject | None] = [self._certified().subject] if is_compared else []
        return self._session.settle(check, subjects=subjects)


def budget_of(p: float | None, within: float | str | None, p99: float | str | None) -> tuple[float, float]:
    """Return the quantile and its budget in seconds, from ``p99="100 ms"`` or ``p=0.95, within="80 ms"``.

    Raises
    ------
    InputError
        If both or neither are given.
    """
    if p99 is not None and p is None and within is None:
        return 0.99, seconds(p99)
    if p99 is None and within is not None:
        return 0.99 if p is None else p, seconds(within)
    raise InputError(
        "say how fast answers have to be", where="ml_pipeline", hint='p99="100 ms", or p=0.95, within="80 ms"'
    )


def timeout_of(budget: float, given: float | str | None) -> float:
    """Return when a client gives up: what the test says, else ten budgets and at least 2 s."""
    return max(_LEAST_TIMEOUT_SECONDS, 10 * budget) if given is None else seconds(given)
