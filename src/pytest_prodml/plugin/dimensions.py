"""What the dimension fixtures return: the project's model and data, bound to the check functions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.context import context_of
from pytest_prodml.plugin.subjects import ModelOnData
from pytest_prodml.plugin.verdicts import GateSession, Tail, session_of
from pytest_prodml.records import Burden, Evidence


class Bound:
    """A gate's recorder with the fixtures of its test."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request
        self._session: GateSession = session_of(request)
        self._context = context_of(request.config)

    def _tail(self, level: float | None) -> Tail:
        """Return the keywords of a check, at a level of its own where that is higher than the run's."""
        __tracebackhide__ = True
        from pytest_prodml.statistics.estimate import checked_level

        tail = self._session.tail
        if level is None:
            return tail
        if checked_level(level) < tail["confidence_level"]:
            raise InputError(
                f"level {level} is below the {tail['confidence_level']} of this run",
                where=self._session.gate_id,
                hint="a gate can ask for more confidence, never for less",
            )
        return {**tail, "confidence_level": level}

    def _burden(self, burden: str | None) -> str:
        """Return who has to prove it: what the check says, else the policy."""
        if burden is not None:
            return burden
        policy = self._context.policy
        return (policy.burden if policy is not None else None) or Burden.COMPLIANCE.value


class ModelBound(Bound):
    """A gate about the model on held-out data."""

    def __init__(self, request: pytest.FixtureRequest, model: object, data: object) -> None:
        __tracebackhide__ = True
        super().__init__(request)
        self._model = ModelOnData(self._context, model, data)

    def _settle(self, check: Callable[[], Evidence]) -> Evidence:
        __tracebackhide__ = True
        return self._session.settle(
            check, subjects=[self._model.predictor.subject], materials=[self._model.dataset.material]
        )


class LatencyGate(ModelBound):
    """What the `ml_latency` fixture returns."""

    def __init__(self, request: pytest.FixtureRequest, model: object, data: object) -> None:
        __tracebackhide__ = True
        super().__init__(request, model, data)
        self._samples: dict[int, list[float]] = {}

    def quantile_at_most(
        self, p: float, budget: float | str, *, batch_size: int = 1, calls: int | None = None
    ) -> Evidence:
        """Show that the p-quantile of the latency keeps a budget; see `checks.latency.quantile_at_most`.

        The model is called on rows of `prodml_test`, already converted: building a one-row frame can cost
        100 times the model. Several quantiles of one batch size share their samples, so ask for the highest
        first; a test times one batch size.

        Parameters
        ----------
        p : float
            The quantile, 0.99: 99 of 100 calls.
        budget : float or str
            Seconds, or text such as ``"5 ms"``.
        batch_size : int
            Rows in a call.
        calls : int, optional
            How many calls to time; default as many as a model needs that keeps its budget with some headroom,
            and up to fifty times as many while they take less than a second.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.latency import n_calls_for, quantile_at_most
        from pytest_prodml.plugin.bench import clock_overhead, seconds

        limit = seconds(budget)
        planned = n_calls_for(p, self._session.confidence_level)
        return self._settle(
            lambda: quantile_at_most(
                p,
                limit,
                self._time(batch_size, calls, planned),
                shared_host=self._context.is_shared_host,
                overhead_seconds=clock_overhead(),
                group=f"batch_size={batch_size}",
                runtime=self._model.predictor.runtime(),
                **self._session.tail,
            )
        )

    def _time(self, batch_size: int, calls: int | None, planned: int) -> list[float]:
        __tracebackhide__ = True
        from pytest_prodml.plugin.bench import affordable_rounds, time_calls

        if calls is not None and calls < 1:
            raise InputError(f"calls must be at least 1, got {calls!r}", where="ml_latency")
        known = self._samples.get(batch_size)
        if known is None or len(known) < (calls or 0):
            prepared = self._model.prepared_calls(batch_size, seed=self._session.seed)
            rounds = affordable_rounds(prepared[0], planned) if calls is None else calls
            known = time_calls(self._request, prepared, rounds=rounds)
            self._samples[batch_size] = known
        return known
