"""Tables and answers of a model -> files that the worker reads: Parquet and a small JSON request."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.adapters.tables import Dataset
from pytest_prodml.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
Task: TypeAlias = Literal["binary", "multiclass", "regression"]
Side: TypeAlias = Literal["train", "test"]

_ARROW_KINDS = frozenset(
    {"string", "empty", "bytes", "boolean", "integer", "floating", "decimal", "date", "datetime"}
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """What the model said of one table.

    `labels` are its decisions (n,), or its numbers; `probabilities` are (n, k) in the order of the classes.
    """

    labels: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What the columns are: `label`, `index` (whose row), `datetime`; `ignored` are no inputs either.

    `categorical` names the categories among the inputs; None lets deepchecks guess from the values.
    """

    label: str | None = None
    index: str | None = None
    datetime: str | None = None
    ignored: tuple[str, ...] = ()
    categorical: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A suite of deepchecks by its name, or one's own: `source` is the text of its module."""

    name: str
    source: bytes | None = None
    file_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """What the worker is asked; `train` is the only table where one is looked at alone.

    `versions` are those that packages in the worker must have; None accepts any.
    """

    suite: Suite
    train: Dataset
    test: Dataset | None
    columns: Columns
    checks: tuple[str, ...] | None = None
    task: Task | None = None
    classes: tuple[Any, ...] | None = None
    predictions: Mapping[Side, Predictions] | None = None
    memory_bytes: int | None = None
    versions: Mapping[str, str] | None = None
    seed: int = 0


def write_request(request: Request, directory: Path) -> str:
    """Write a request with its tables.

    Returns
    -------
    str
        The id of the request, that its answer has to repeat.

    Raises
    ------
    InputError
        If a table can not be written as Parquet without changing it.
    MissingDependencyError
        If pyarrow is not installed.
    """
    identity = secrets.token_hex(16)
    columns = request.columns
    roles = {columns.label, columns.index, columns.datetime, *columns.ignored}
    features = [name for name in map(str, request.train.table().columns) if name not in roles]
    tables = {
        "train": _write_side("train", request.train, request, directory),
        "test": None if request.test is None else _write_side("test", request.test, request, directory),
    }
    if request.suite.source is not None:
        (directory / "suite.py").write_bytes(request.suite.source)
    content = {
        "format": FORMAT,
        "id": identity,
        "seed": request.seed % 2**32,
        "memory_bytes": request.memory_bytes,
        "versions": None if request.versions is None else dict(request.versions),
        "suite": {
            "name": request.suite.name,
            "module": "suite.py" if request.suite.source is not None else None,
        },
        "checks": None if request.checks is None else list(request.checks),
        "tables": tables,
        "label": columns.label,
        "features": features,
        "categorical": None if columns.categorical is None else list(columns.categorical),
        "index": columns.index,
        "datetime": columns.datetime,
        "task": request.task,
        "classes": None if request.classes is None else [_cell(item) for item in request.classes],
    }
    (directory / "request.json").write_text(json.dumps(content), encoding="utf-8")
    return identity


def _write_side(side: Side, dataset: Dataset, request: Request, directory: Path) -> dict[str, Any]:
    mixed = _write_frame(dataset.table(), directory / f"{side}.parquet", where=f"{dataset.name} data")
    said = (request.predictions or {}).get(side)
    name = None
    if said is not None:
        name = f"{side}-predictions.parquet"
        _write_predictions(said, len(dataset), directory / name, where=f"{dataset.name} data")
    return {"name": dataset.name, "path": f"{side}.parquet", "mixed": mixed, "predictions": name}


def _write_predictions(said: Predictions, n_rows: int, path: Path, *, where: str) -> None:
    arrow, parquet = _arrow()
    if said.labels.shape != (n_rows,):
        raise InputError(f"{n_rows:,} rows have predictions of shape {said.labels.shape}", where=where)
    columns = {"prediction": arrow.array(said.labels.tolist())}
    if said.probabilities is not None:
        if said.probabilities.shape[0] != n_rows:
            raise InputError(f"{n_rows:,} rows have {len(said.probabilities):,} probabilities", where=where)
        for number, column in enumerate(said.probabilities.T):
            columns[f"probability_{number}"] = arrow.array(np.ascontiguousarray(column))
    parquet.write_table(arrow.table(columns), path)


def _write_frame(frame: pd.DataFrame, path: Path, *, where: str) -> list[str]:
    """Write a table and return the columns whose cells are of several types: each is written as JSON."""
    arrow, parquet = _arrow()
    names = [str(name) for name in frame.columns]
    if len(set(names)) != len(names):
        raise InputError("two columns have the same name once they are text", where=where)
    arrays, mixed = [], []
    for name, label in zip(names, frame.columns, strict=True):
        column = frame[label]
        try:
            if _is_mixed(column):
                mixed.append(name)
                arrays.append(arrow.array([json.dumps(_cell(cell)) for cell in column], arrow.string()))
            else:
                arrays.append(arrow.Array.from_pandas(column))
        except (arrow.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError) as error:
            told = str(error).partition("\n")[0]
            raise InputError(f"the column {name!r} can not be sent as Parquet: {told}", where=where) from None
    parquet.write_table(arrow.table(arrays, names=names), path)
    return mixed


def _is_mixed(column: pd.Series) -> bool:
    if column.dtype != object:
        return False
    pandas = require("pandas", extra="data")
    if pandas.api.types.infer_dtype(column, skipna=True) not in _ARROW_KINDS:
        return True
    # Which kind of missing value it is, is what one of the checks asks for.
    missing = column[column.isna()]
    return len({type(cell) for cell in missing}) > 1


def _cell(value: Any) -> bool | float | str | None:  # noqa: ANN401 - any cell
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, str, int, float)):
        return value
    raise TypeError(f"among others it holds a {type(value).__name__}")


def _arrow() -> tuple[Any, Any]:
    try:
        return require("pyarrow", extra="data"), require("pyarrow.parquet", extra="data")
    except MissingDependencyError:
        raise MissingDependencyError(
            "tables go to deepchecks through the package 'pyarrow', which is not installed",
            hint="pip install pyarrow",
        ) from None


def of_scores(
    scores: npt.NDArray[np.float64], classes: Sequence[Any], positive: object
) -> npt.NDArray[np.float64] | None:
    """Return (n, k) probabilities in the order of `classes`; None where scores are no probabilities.

    Parameters
    ----------
    scores : ndarray of shape (n,) or (n, k)
        Of the positive one of two classes, or of each class.
    classes : sequence
        Sorted, as deepchecks asks.
    positive : object
        The class that one score is about.
    """
    if not np.all((scores >= 0) & (scores <= 1)):
        return None
    if scores.ndim == 1:
        second = list(classes).index(positive) == 1
        return np.column_stack([1 - scores, scores] if second else [scores, 1 - scores])
    return scores if np.allclose(scores.sum(axis=1), 1, atol=1e-4) else None
