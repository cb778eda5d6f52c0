"""An ONNX file -> `Predictor`, run by onnxruntime.

The file is read once: the session is made from the bytes that were hashed. Columns go to inputs by name, in
the type each input declares; what a type can not hold is refused, not rounded away.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_prodml._lazy import require
from pytest_prodml.adapters.arrays import Array, convert
from pytest_prodml.adapters.predictor import Scores, as_labels, as_scores
from pytest_prodml.adapters.tables import no_column
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue, Subject

if TYPE_CHECKING:
    import pandas as pd

CPU = "CPUExecutionProvider"
#: Everything that installs the package `onnxruntime`.
_DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-directml",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-training",
)

_TYPES: Mapping[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
_DEVICES = {CPU: "cpu", "CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "cuda"}
_FLOATS = frozenset({"tensor(float)", "tensor(double)", "tensor(float16)"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxInput:
    """One input of the graph; `width` and `batch` are None where the graph leaves them open."""

    name: str
    dtype: type[np.generic]
    rank: int
    batch: int | None
    width: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxPredictor:
    """A session with the outputs that are scores, and the one that is the label if there is one.

    `columns` are the columns of a single matrix input, in order; None takes all of the table. `path` is the
    file that the session was made from.
    """

    session: Any
    name: str
    inputs: tuple[OnnxInput, ...]
    score_outputs: tuple[str, ...]
    label_output: str | None
    columns: tuple[str, ...] | None = None
    subject: Subject | None = None
    path: Path | None = None

    @property
    def description(self) -> str:
        """The file's name."""
        return f"ONNX model {self.name}"

    @property
    def device(self) -> str:
        """Where the first execution provider of the session runs."""
        first = str(self.session.get_providers()[0])
        return _DEVICES.get(first, first)

    def predict_score(self, rows: pd.DataFrame) -> Scores:
        """Return the score of the positive class, or of each class if there are more than two."""
        found = self._call(self.score_outputs, self.feed(rows), len(rows))()
        return as_scores(_as_matrix(found), len(rows), where=self.description)

    def predict(self, rows: pd.DataFrame) -> Array:
        """Return the graph's own labels, else 1 from a score of 0.5 on, or the class with the largest."""
        if self.label_output is None:
            return as_labels(self.predict_score(rows))
        found = self._call((self.label_output,), self.feed(rows), len(rows))()[0]
        return np.asarray(found).reshape(len(rows))

    def prepare(self, rows: pd.DataFrame) -> Callable[[], object]:
        """Convert the columns now; the returned call is one run of the session for all `rows`."""
        return self._call(self.score_outputs, self.feed(rows), len(rows))

    def runtime(self) -> Mapping[str, JsonValue]:
        """Return version, providers (of the session, and executed by nodes) and the session's threads."""
        options = self.session.get_session_options()
        providers: list[JsonValue] = list(self.session.get_providers())
        found: dict[str, JsonValue] = {
            "adapter": "onnx",
            "onnxruntime": str(one_runtime().__version__),
            "providers": providers,
            "intra_op_threads": options.intra_op_num_threads,
            "inter_op_threads": options.inter_op_num_threads,
        }
        executed = _executed_providers(self.session)
        if executed is not None:
            found["executed_nodes"] = dict(executed)
        return found

    def feed(self, rows: pd.DataFrame) -> dict[str, Array]:
        """Return the arrays that a session takes for these rows, by the name of the input."""
        where = f"input of {self.description}"
        first = self.inputs[0]
        if len(self.inputs) == 1 and self._takes_matrix(first, rows):
            return {first.name: _matrix(rows, first, self.columns, where)}
        feed = {}
        for item in self.inputs:
            if item.name not in rows.columns:
                raise no_column(item.name, rows.columns, where=where)
            if item.width not in {1, None}:
                raise InputError(
                    f"the input {item.name!r} takes {item.width} numbers a row, not one column", where=where
                )
            values = convert(rows[item.name], item.dtype, where=where)
            feed[item.name] = values if item.rank == 1 else values.reshape(-1, 1)
        return feed

    def _takes_matrix(self, item: OnnxInput, rows: pd.DataFrame) -> bool:
        if self.columns is not None:
            return True
        return item.rank == 2 and item.width != 1 and item.name not in rows.columns

    def _call(
        self, outputs: Sequence[str], feed: Mapping[str, Array], n_rows: int
    ) -> Callable[[], Sequence[Any]]:
        batch = next((item.batch for item in self.inputs if item.batch is not None), None)
        if batch is None or batch == n_rows:
            return functools.partial(self.session.run, list(outputs), dict(feed))
        if n_rows % batch:
            raise InputError(
                f"was exported for exactly {batch} rows a call, and {n_rows} is no multiple of that",
                where=self.description,
                hint="export it with an open batch dimension",
            )
        chunks = [
            {name: values[start : start + batch] for name, values in feed.items()}
            for start in range(0, n_rows, batch)
        ]

        def run_all() -> Sequence[Any]:
            parts = [self.session.run(list(outputs), chunk) for chunk in chunks]
            return [_joined(column) for column in zip(*parts, strict=True)]

        return run_all


def load_onnx(
    path: Path,
    *,
    providers: Sequence[str] = (CPU,),
    intra_op_threads: int = 1,
    inter_op_threads: int = 1,
    columns: Sequence[str] | None = None,
    allow_fallback: bool = False,
) -> OnnxPredictor:
    """Load an ONNX model.

    Parameters
    ----------
    path : Path
        The model file, complete in itself.
    providers : sequence of str
        Execution providers, in order; every one has to be there, and the first has to execute something.
    intra_op_threads, inter_op_threads : int
        Threads of the session. One each by default: a single row has nothing to share, and more threads
        than free cores make the tail of the latency that of the neighbors.
    columns : sequence of str, optional
        Columns of a model with a single matrix input, in the order it was trained with.
    allow_fallback : bool
        Take what onnxruntime falls back to where a provider is not there: for a check that asks what ran.

    Raises
    ------
    InputError
        If the file can not be read or run, keeps weights in other files, or a provider is not available.
    MissingDependencyError
        If onnxruntime is not installed.
    """
    runtime = one_runtime()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=str(path)) from None
    missing = [name for name in providers if name not in runtime.get_available_providers()]
    if not providers or (missing and not allow_fallback):
        raise InputError(
            f"the execution provider {missing[0]} is not available here" if missing else "names no provider",
            where=str(path),
            hint=f"available: {', '.join(runtime.get_available_providers())}",
        )
    options = session_options(intra_op_threads=intra_op_threads, inter_op_threads=inter_op_threads)
    try:
        with warnings.catch_warnings():
            # A provider that can not start is a warning and a fallback to another one.
            warnings.simplefilter("ignore" if allow_fallback else "error", UserWarning)
            session = runtime.InferenceSession(data, options, providers=list(providers))
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors derive from Exception directly
        told = str(error).partition("\n")[0]
        outside = "External data" in told
        raise InputError(
            "keeps weights in other files, which its digest does not cover"
            if outside
            else f"can not be run by onnxruntime: {told}",
            where=str(path),
            hint="save the model as one file" if outside else None,
        ) from None
    if not allow_fallback:
        _require_providers(session, providers, str(path))
    return from_session(
        session,
        name=path.name,
        columns=columns,
        subject=Subject(name=path.name, digest={"sha256": sha256_hex(data)}, annotations={"size": len(data)}),
        path=path,
    )


def session_options(*, intra_op_threads: int, inter_op_threads: int = 1) -> Any:  # noqa: ANN401 - no types
    """Return the options that every session here is made with."""
    options = one_runtime().SessionOptions()
    options.intra_op_num_threads = intra_op_threads
    options.inter_op_num_threads = inter_op_threads
    # Errors come as exceptions, and are told once.
    options.log_severity_level = 4
    # Weights beside the file would be read from the working directory although no digest covers them: a place
    # where nothing can be makes onnxruntime refuse them.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def one_runtime() -> Any:  # noqa: ANN401 - onnxruntime has no types
    """Return onnxruntime, where one distribution of it is installed.

    Raises
    ------
    InputError
        If several are: they share one import package, and which of them runs is chance.
    MissingDependencyError
        If none is.
    """
    runtime = require("onnxruntime", extra="cpu")
    found = _runtime_distributions()
    if len(found) > 1:
        raise InputError(
            f"{' and '.join(found)} are both installed, and share one import package: which runs is chance",
            where="onnxruntime",
            hint=f"pip uninstall {' '.join(found)}, and install the one that serves",
        )
    return runtime


@functools.cache
def _runtime_distributions() -> tuple[str, ...]:
    return tuple(name for name in _DISTRIBUTIONS if _is_installed(name))


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def from_session(
    session: Any,  # noqa: ANN401 - onnxruntime has no types
    *,
    name: str = "in memory",
    columns: Sequence[str] | None = None,
    subject: Subject | None = None,
    path: Path | None = None,
) -> OnnxPredictor:
    """Adapt a session; without `subject` its evidence is not bound to a file.

    Raises
    ------
    InputError
        If an input has a type that no column can be, or no output can be told to be the scores.
    """
    inputs = tuple(_describe_input(node, name) for node in session.get_inputs())
    if not inputs:
        raise InputError("has no input", where=name)
    if columns is not None and (len(inputs) != 1 or inputs[0].rank != 2):
        raise InputError("has no single matrix input that `columns` could be for", where=name)
    scores, label = _choose_outputs(session.get_outputs(), name)
    return OnnxPredictor(
        session=session,
        name=name,
        inputs=inputs,
        score_outputs=scores,
        label_output=label,
        columns=None if columns is None else tuple(columns),
        subject=subject,
        path=path,
    )


def _require_providers(session: Any, providers: Sequence[str], where: str) -> None:  # noqa: ANN401
    found = session.get_providers()
    executed = _executed_providers(session)
    if [name for name in found if name in providers] != list(providers):
        raise InputError(
            f"asked for {', '.join(providers)} and got {', '.join(found)}",
            where=where,
            hint="the provider's libraries are missing or do not fit; measure on the target machine",
        )
    if executed is not None and not executed.get(providers[0]):
        raise InputError(
            f"no node of the graph runs on {providers[0]}",
            where=where,
            hint=f"nodes run on {', '.join(executed)}; what would be measured is not {providers[0]}",
        )


def _executed_providers(session: Any) -> dict[str, int] | None:  # noqa: ANN401
    """Return how many nodes each provider got; None where the session does not say."""
    ask = getattr(session, "get_provider_graph_assignment_info", None)
    if ask is None:
        return None
    try:
        assigned = ask()
    except Exception:  # noqa: BLE001 - a session made by others did not record it
        return None
    counts: dict[str, int] = {}
    for part in assigned:
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
    return counts


def _describe_input(node: Any, where: str) -> OnnxInput:  # noqa: ANN401
    if node.type not in _TYPES or len(node.shape) not in {1, 2}:
        raise InputError(
            f"the input {node.name!r} is {node.type} with {len(node.shape)} dimensions, which no column is",
            where=where,
            hint="wrap the session in a function from a frame to scores",
        )
    fixed = [size if isinstance(size, int) and size > 0 else None for size in node.shape]
    return OnnxInput(
        name=node.name,
        dtype=_TYPES[node.type],
        rank=len(fixed),
        batch=fixed[0],
        width=fixed[1] if len(fixed) == 2 else 1,
    )


def _choose_outputs(outputs: Sequence[Any], where: str) -> tuple[tuple[str, ...], str | None]:
    """Tell scores from the label: by type, then by the names that exporters give.

    One float tensor, or one list of maps (skl2onnx with zipmap), is the scores; several float vectors are one
    for each class (zipmap="columns").
    """
    floats = [node for node in outputs if node.type in _FLOATS or node.type.startswith("seq(map(")]
    others = [node for node in outputs if node not in floats and node.type in _TYPES and len(node.shape) <= 2]
    label = others[0].name if len(others) == 1 else None
    if len(floats) > 1:
        named = [node for node in floats if "prob" in node.name.lower()]
        vectors = [node for node in floats if node.type in _FLOATS and len(node.shape) == 1]
        if len(named) == 1:
            floats = named
        elif len(vectors) != len(floats):
            floats = []
    if not floats:
        told = ", ".join(f"{node.name} ({node.type})" for node in outputs)
        raise InputError(
            "which of the outputs are the scores can not be told",
            where=where,
            hint=f"outputs: {told}; export one output of scores, or wrap the session in a function",
        )
    return tuple(node.name for node in floats), label


def _as_matrix(found: Sequence[Any]) -> object:
    if len(found) > 1:
        return np.column_stack([np.asarray(column) for column in found])
    first = found[0]
    if isinstance(first, list):
        classes = sorted(first[0])
        return [[row[name] for name in classes] for row in first]
    return first


def _joined(parts: Sequence[Any]) -> Any:  # noqa: ANN401 - arrays or lists of maps
    if isinstance(parts[0], list):
        return [row for part in parts for row in part]
    return np.concatenate(parts)


def _matrix(rows: pd.DataFrame, item: OnnxInput, columns: Sequence[str] | None, where: str) -> Array:
    names = list(rows.columns) if columns is None else list(columns)
    for name in names:
        if name not in rows.columns:
            raise no_column(name, rows.columns, where=where)
    if item.width is not None and item.width != len(names):
        raise InputError(
            f"takes {item.width} columns and the table has {len(names)}",
            where=where,
            hint="say which: load_model(path, columns=[...]) in the fixture prodml_model",
        )
    return np.column_stack([convert(rows[name], item.dtype, where=where) for name in names])
