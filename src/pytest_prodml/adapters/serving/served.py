"""How a model is served and asked -> an endpoint that runs, the requests for rows, and what answers mean."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_prodml.adapters.predictor import Predictor, as_scores
from pytest_prodml.adapters.serving.http_model import HttpPredictor
from pytest_prodml.adapters.serving.load import Answers, Plan, run_closed, run_plan
from pytest_prodml.adapters.serving.protocols import InferenceProtocol, encoded, http_request
from pytest_prodml.adapters.serving.server import LOOPBACK, NONCE_HEADER, RunningServer, Server
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_MOST_REQUESTS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A served model: its server, how it is asked, and where its answers say what made them.

    Parameters
    ----------
    server : Server
        How it is started, or where it is.
    protocol : InferenceProtocol
        How it is asked.
    rows_per_request : int
        Rows in a request.
    trace : mapping of str to str
        Headers of answers: ``{"model": "x-model-digest"}``. Names are ``model``, ``code``, ``data``.
    """

    server: Server
    protocol: InferenceProtocol
    rows_per_request: int = 1
    trace: Mapping[str, str] = field(default_factory=dict)

    def with_variables(self, **variables: str) -> ServedModel:
        """Return the same with more environment variables for its server."""
        server = replace(self.server, variables={**self.server.variables, **variables})
        return replace(self, server=server)

    @contextlib.contextmanager
    def running(self) -> Iterator[Endpoint]:
        """Start the server, wait until it is ready, and end it for sure."""
        with self.server.running() as running:
            endpoint = Endpoint(self, running)
            try:
                yield endpoint
            finally:
                endpoint.close()


class Endpoint:
    """A served model that runs."""

    def __init__(self, served: ServedModel, server: RunningServer) -> None:
        self.served = served
        self.server = server
        self._asking: list[HttpPredictor] = []

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return self.server.url

    @property
    def is_loopback(self) -> bool:
        """Whether client and server share this machine."""
        return self.server.host in LOOPBACK

    @property
    def host(self) -> str:
        """For the header of that name."""
        return f"{self.server.host}:{self.server.port}"

    def predictor(self) -> HttpPredictor:
        """Return the model as the checks know models."""
        asking = HttpPredictor(
            host=self.server.host,
            port=self.server.port,
            protocol=self.served.protocol,
            rows_per_request=self.served.rows_per_request,
        )
        self._asking.append(asking)
        return asking

    def close(self) -> None:
        """Close the connections of the predictors that were made here."""
        for asking in self._asking:
            asking.close()

    def batches(self, frame: pd.DataFrame, *, seed: int, most: int = _MOST_REQUESTS) -> list[pd.DataFrame]:
        """Return rows for different requests: no row twice.

        Raises
        ------
        InputError
            If there are not enough rows for one.
        """
        size = self.served.rows_per_request
        count = min(most, len(frame) // size)
        if count < 1:
            raise InputError(
                f"a request of {size} rows can not be made from {len(frame):,}", where="served model"
            )
        chosen = np.random.default_rng(seed).choice(len(frame), size=(count, size), replace=False)
        return [frame.iloc[rows] for rows in chosen]

    def requests(self, batches: Sequence[pd.DataFrame]) -> list[bytes]:
        """Return a whole request for each batch."""
        return [http_request(self.served.protocol, rows, self.host) for rows in batches]

    def body(self, rows: pd.DataFrame) -> Any:  # noqa: ANN401 - JSON
        """Return what is sent for these rows, as the server reads it."""
        return json.loads(encoded(self.served.protocol.body(rows)))

    def run(self, plan: Plan, *, during: Callable[[float], None] | None = None) -> Answers:
        """Run a plan against this server.

        Raises
        ------
        InputError
            If an answer came from another server.
        """
        answers = run_plan(replace(plan, headers=self._headers()), during=during)
        self._check_nonce(answers)
        return answers

    def run_closed(self, requests: Sequence[bytes], *, concurrency: int, seconds: float) -> Answers:
        """Ask again as soon as an answer is there; see `load.run_closed`."""
        plan = self.plan(requests, ())
        answers = run_closed(replace(plan, headers=self._headers()), concurrency=concurrency, seconds=seconds)
        self._check_nonce(answers)
        return answers

    def plan(self, requests: Sequence[bytes], phases: Sequence[Any], **options: Any) -> Plan:  # noqa: ANN401
        """Return a plan for this server."""
        return Plan(
            host=self.server.host, port=self.server.port, requests=requests, phases=tuple(phases), **options
        )

    def traced(self, answers: Answers) -> list[dict[str, str | None]]:
        """Return what each successful answer says about what made it."""
        columns = {name: answers.header(header) for name, header in self.served.trace.items()}
        return [
            {name: column[place] for name, column in columns.items()}
            for place in np.flatnonzero(answers.is_answered)
        ]

    def versions(self, answers: Answers) -> list[str | None]:
        """Return the digest of the model that each request was answered by.

        Raises
        ------
        InputError
            If nothing says where answers tell it.
        """
        header = self.served.trace.get("model")
        if header is None:
            raise InputError(
                "nothing says where an answer tells which model gave it",
                where="served model",
                hint='set trace = {model = "x-model-digest"} under [tool.prodml.server]',
            )
        told = answers.header(header)
        return [
            value if answered else None for value, answered in zip(told, answers.is_answered, strict=True)
        ]

    def _headers(self) -> list[str]:
        return [*dict.fromkeys([NONCE_HEADER, *(header.lower() for header in self.served.trace.values())])]

    def _check_nonce(self, answers: Answers) -> None:
        nonce = self.server.nonce
        if nonce is None:
            return
        other = [told for told in answers.header(NONCE_HEADER) if told not in {nonce, None}]
        if other:
            raise InputError(
                f"{len(other):,} answers came from another server than the one that was started",
                where="served model",
            )


def comparer(
    protocol: InferenceProtocol, batches: Sequence[pd.DataFrame], model: Predictor, atol: float
) -> Callable[[int, bytes], str | None]:
    """Return a function that says what is wrong with an answer to one of the batches.

    It compares with what the model itself says for these rows.
    """
    expected = [model.predict_score(rows) for rows in batches]

    def is_right(request: int, body: bytes) -> str | None:
        wanted = expected[request]
        try:
            found = as_scores(protocol.scores(json.loads(body)), len(wanted), where="answer")
        except (InputError, ValueError, RecursionError, TypeError, KeyError) as error:
            return f"is no answer to its rows: {error}"
        if found.shape != wanted.shape:
            return f"holds scores of shape {found.shape}, the model's are {wanted.shape}"
        difference = np.abs(found - wanted)
        if not np.all(difference <= atol):
            return f"differs from the model's scores by up to {float(np.max(difference)):.3g}"
        return None

    return is_right
