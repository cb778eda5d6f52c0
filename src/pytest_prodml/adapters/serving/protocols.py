"""Rows -> a request, an answer -> scores: Open Inference (KServe v2), MLflow, JSON of one's own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import numpy as np

from pytest_prodml.adapters.predictor import AnswerError
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue

if TYPE_CHECKING:
    import pandas as pd

_JSON = "application/json"
#: numpy's kind and size -> the datatype of the Open Inference Protocol.
_DATATYPES = {
    "b1": "BOOL",
    "i1": "INT8", "i2": "INT16", "i4": "INT32", "i8": "INT64",
    "u1": "UINT8", "u2": "UINT16", "u4": "UINT32", "u8": "UINT64",
    "f2": "FP16", "f4": "FP32", "f8": "FP64",
}  # fmt: skip


class InferenceProtocol(Protocol):
    """How a served model is asked."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def path(self) -> str:
        """Where requests go."""
        ...

    @property
    def ready(self) -> str:
        """What answers 200 when the model is ready."""
        ...

    def body(self, rows: pd.DataFrame) -> JsonValue:
        """Return what is sent for these rows."""
        ...

    def scores(self, answer: Any) -> Any:  # noqa: ANN401 - JSON
        """Return what an answer says for each row."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenInference:
    """The Open Inference Protocol (KServe v2) over JSON: MLServer, KServe, Triton.

    Parameters
    ----------
    model : str
        Its name on the server.
    version : str, optional
        Likewise.
    inputs : str
        ``"columns"``: one input of shape (n, 1) for each column; or the name of a single matrix input.
    output : str, optional
        The one that holds the scores; default the only one.
    """

    model: str
    version: str | None = None
    inputs: str = "columns"
    output: str | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return "Open Inference Protocol"

    @property
    def path(self) -> str:
        """Where requests go."""
        return f"{self._model_path()}/infer"

    @property
    def ready(self) -> str:
        """What answers 200 when the model is ready."""
        return f"{self._model_path()}/ready"

    def _model_path(self) -> str:
        version = "" if self.version is None else f"/versions/{quote(self.version, safe='')}"
        return f"/v2/models/{quote(self.model, safe='')}{version}"

    def body(self, rows: pd.DataFrame) -> JsonValue:
        """Return one tensor a column, or one of all columns."""
        if self.inputs == "columns":
            arrays = {str(name): rows[name].to_numpy().reshape(-1, 1) for name in rows.columns}
        else:
            arrays = {self.inputs: rows.to_numpy()}
        return {"inputs": [_tensor(name, array) for name, array in arrays.items()]}

    def scores(self, answer: Any) -> Any:  # noqa: ANN401 - JSON
        """Return the tensor of scores, in its shape."""
        outputs = _list(_member(answer, "outputs", self.name), "outputs", self.name)
        named = {_member(output, "name", self.name): output for output in outputs}
        if self.output is None and len(named) != 1:
            raise AnswerError(
                f"answered {len(named)} outputs ({', '.join(map(str, named))}): which are the scores?",
                where=self.name,
                hint="name it: output under [tool.prodml.server]",
            )
        wanted = next(iter(named)) if self.output is None else self.output
        if wanted not in named:
            raise AnswerError(f"answered no output {wanted!r}", where=self.name)
        shape = _list(_member(named[wanted], "shape", self.name), "shape", self.name)
        flat = _flat(_member(named[wanted], "data", self.name))
        if math.prod(shape) != len(flat):
            raise AnswerError(f"answered {len(flat)} numbers in the shape {shape}", where=self.name)
        return np.array(flat, dtype=object).reshape(shape).tolist()


@dataclass(frozen=True, slots=True, kw_only=True)
class MLflow:
    """The scoring server of MLflow: ``/invocations`` with a frame in the ``split`` form.

    Parameters
    ----------
    output : str, optional
        The member or column of the predictions that holds the scores, where there are several.
    """

    output: str | None = None
    path: str = "/invocations"
    ready: str = "/ping"

    @property
    def name(self) -> str:
        """Its name."""
        return "MLflow scoring"

    def body(self, rows: pd.DataFrame) -> JsonValue:
        """Return columns and rows."""
        data: list[JsonValue] = [
            [_cell(value) for value in row] for row in rows.itertuples(index=False, name=None)
        ]
        return {"dataframe_split": {"columns": [str(name) for name in rows.columns], "data": data}}

    def scores(self, answer: Any) -> Any:  # noqa: ANN401 - JSON
        """Return the predictions, or one column of them."""
        found = _member(answer, "predictions", self.name)
        if self.output is None:
            return found
        if isinstance(found, Mapping):
            return _member(found, self.output, self.name)
        return [_member(row, self.output, self.name) for row in _list(found, "predictions", self.name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainJson:
    """JSON of the project's own.

    Parameters
    ----------
    path : str
        Where requests go.
    ready : str
        What answers 200 when the model is ready.
    encode : callable, optional
        From a frame to the JSON that is sent; default a list with an object for each row, or the object alone
        where `one_row` is set.
    decode : callable, optional
        From the JSON that is answered to a list of scores.
    output : str, optional
        Without `decode`: the member that holds the score, of the answer or of each of its rows.
    one_row : bool
        Whether a request is one object, for one row.
    """

    path: str
    ready: str = "/"
    encode: Callable[[pd.DataFrame], Any] | None = None
    decode: Callable[[Any], Any] | None = None
    output: str | None = None
    one_row: bool = False
    name: str = field(default="JSON", init=False)

    def body(self, rows: pd.DataFrame) -> JsonValue:
        """Return what `encode` makes of the rows."""
        if self.encode is not None:
            found: JsonValue = self.encode(rows)
            return found
        names = [str(name) for name in rows.columns]
        records: list[JsonValue] = [
            {name: _cell(value) for name, value in zip(names, row, strict=True)}
            for row in rows.itertuples(index=False, name=None)
        ]
        if not self.one_row:
            return records
        if len(records) != 1:
            raise InputError(f"one request is one row, got {len(records)}", where=self.path)
        return records[0]

    def scores(self, answer: Any) -> Any:  # noqa: ANN401 - JSON
        """Return what `decode` makes of the answer."""
        if self.decode is not None:
            return self.decode(answer)
        rows = [answer] if self.one_row else answer
        if self.output is None:
            return rows
        if isinstance(rows, Mapping):
            return _member(rows, self.output, self.path)
        return [_member(row, self.output, self.path) for row in _list(rows, "answer", self.path)]


def http_request(protocol: InferenceProtocol, rows: pd.DataFrame, host: str) -> bytes:
    """Return a whole HTTP/1.1 request for these rows."""
    return post(protocol.path, encoded(protocol.body(rows)), host)


def post(path: str, body: bytes, host: str, *, content_type: str = _JSON, method: str = "POST") -> bytes:
    """Return a whole HTTP/1.1 request."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\n"
        f"Accept: {_JSON}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def encoded(body: JsonValue) -> bytes:
    """Return JSON as bytes; NaN and infinities have no JSON.

    Raises
    ------
    InputError
        If the body holds them, or something that is no JSON.
    """
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"a request can not be written as JSON: {error}", where="request") from None


def _tensor(name: str, array: np.ndarray[Any, Any]) -> JsonValue:
    if array.dtype.kind in {"O", "U", "S", "T"}:
        datatype = "BYTES"
    else:
        datatype = _DATATYPES.get(f"{array.dtype.kind}{array.dtype.itemsize}", "")
        if not datatype:
            raise InputError(
                f"the column {name!r} is {array.dtype}, which the Open Inference Protocol does not know"
            )
    data: list[JsonValue] = [_cell(value) for value in array.ravel().tolist()]
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": data}


def _cell(value: Any) -> JsonValue:  # noqa: ANN401 - any cell
    """Return a cell as JSON; what is missing is null."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise InputError("an infinite number can not be sent as JSON", where="request")
        return None if math.isnan(value) else value
    # pandas' own missing values equal nothing, not even themselves.
    if type(value).__name__ in {"NAType", "NaTType"}:
        return None
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    raise InputError(f"a {type(value).__name__} can not be sent as JSON", where="request")


def _member(found: Any, name: str, where: str) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(found, Mapping) or name not in found:
        raise AnswerError(f"the answer has no member {name!r}", where=where)
    return found[name]


def _list(found: Any, name: str, where: str) -> Sequence[Any]:  # noqa: ANN401 - JSON
    if not isinstance(found, list):
        raise AnswerError(f"{name} is no list", where=where)
    return found


def _flat(found: Any) -> list[Any]:  # noqa: ANN401 - JSON
    """Return nested lists as one: servers may send either."""
    if not isinstance(found, list):
        return [found]
    return (
        [value for part in found for value in _flat(part)]
        if any(isinstance(v, list) for v in found)
        else found
    )
