"""A served model -> `Predictor`: rows go through the endpoint as a client's do."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import AnswerError, Scores, as_labels, as_scores
from pytest_prodml.adapters.serving.protocols import InferenceProtocol, encoded
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue, Subject

if TYPE_CHECKING:
    import pandas as pd

_SECONDS = 30.0
_MOST_ANSWER = 64 * 2**20
_MOST_TOLD = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPredictor:
    """A model behind an endpoint.

    Its `subject` is what its owner says is served there: `bind` it, or let the gate `lineage` compare the
    digest that each answer carries.

    Parameters
    ----------
    host, port : str, int
        Where.
    protocol : InferenceProtocol
        How it is asked.
    rows_per_request : int
        How many rows a request may hold.
    """

    host: str
    port: int
    protocol: InferenceProtocol
    rows_per_request: int = 100
    subject: Subject | None = None
    device: str = "served"
    _local: threading.local = field(default_factory=threading.local, repr=False, compare=False)
    _opened: list[http.client.HTTPConnection] = field(default_factory=list, repr=False, compare=False)

    @property
    def description(self) -> str:
        """Where it is served and how."""
        return f"served model ({self.protocol.name}, {self.protocol.path})"

    def predict_score(self, rows: pd.DataFrame) -> Scores:
        """Ask for all rows, in requests of `rows_per_request`."""
        parts = [
            as_scores(self._ask(body), count, where=self.description) for body, count in self._bodies(rows)
        ]
        if not parts:
            raise InputError("there are no rows to ask for", where=self.description)
        if len({part.ndim for part in parts}) > 1:
            raise AnswerError("answered scores of different shapes", where=self.description)
        return np.concatenate(parts)

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[np.int64]:
        """Return 1 from a score of 0.5 on, or the class with the largest score."""
        return as_labels(self.predict_score(rows))

    def prepare(self, rows: pd.DataFrame) -> Callable[[], object]:
        """Write the requests now; the call sends them and waits.

        One caller that waits is no load: what clients feel is shown by `sustains`.
        """
        bodies = [body for body, _ in self._bodies(rows)]
        return lambda: [self._ask(body) for body in bodies]

    def runtime(self) -> Mapping[str, JsonValue]:
        """Return how it is asked; what it runs on is not known here."""
        return {
            "adapter": "http",
            "protocol": self.protocol.name,
            "path": self.protocol.path,
            "loopback": self.host in {"127.0.0.1", "::1", "localhost"},
            "rows_per_request": self.rows_per_request,
        }

    def close(self) -> None:
        """Close all connections; the next question opens another."""
        while self._opened:
            self._opened.pop().close()

    def _bodies(self, rows: pd.DataFrame) -> list[tuple[bytes, int]]:
        step = self.rows_per_request
        return [
            (encoded(self.protocol.body(part)), len(part))
            for part in (rows.iloc[start : start + step] for start in range(0, len(rows), step))
        ]

    def _ask(self, body: bytes) -> Any:  # noqa: ANN401 - JSON
        status, data = self._exchange(body)
        if status != 200:
            told = "".join(
                c if c.isprintable() else " " for c in data[:_MOST_TOLD].decode("utf-8", "replace")
            )
            raise InputError(f"answered {status}: {told}", where=self.description)
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            raise AnswerError("answered 200 with no JSON", where=self.description) from None
        return self.protocol.scores(answer)

    def _exchange(self, body: bytes) -> tuple[int, bytes]:
        connection = getattr(self._local, "connection", None)
        is_new = connection is None or connection.sock is None
        if connection is None:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=_SECONDS)
            self._local.connection = connection
            self._opened.append(connection)
        try:
            connection.request(
                "POST",
                self.protocol.path,
                body=body,
                headers={"Content-Type": "application/json", "Accept": "application/json"},
            )
            answer = connection.getresponse()
            return answer.status, answer.read(_MOST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            # The next question opens it again.
            connection.close()
            # A server closes connections that were idle for some time.
            if not is_new and isinstance(error, (http.client.RemoteDisconnected, ConnectionError)):
                return self._exchange(body)
            raise InputError(
                f"does not answer ({type(error).__name__}: {error})", where=self.description
            ) from None
