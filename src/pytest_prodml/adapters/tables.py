"""Any table -> `Dataset`: a pandas frame, the labels apart, and the digest of what was read.

Files are read once: the bytes that are hashed are the bytes that are parsed.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import loaded, require
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError, MissingDependencyError
from pytest_prodml.records import Subject

if TYPE_CHECKING:
    import pandas as pd

    #: A frame (pandas, polars, arrow), an (X, y) pair, or a path.
    Source: TypeAlias = Any

#: How a frame in memory is identified. Row hashes have 64 bits: they tell tables apart, they stop no forger.
ROW_HASH_METHOD = "sha256 of column names, types and pandas row hashes (64 bit), in row order"

_CSV_TYPES = {".csv": "text/csv", ".csv.gz": "application/gzip"}
_PARQUET_TYPES = {".parquet": "application/vnd.apache.parquet", ".pq": "application/vnd.apache.parquet"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """A table with its labels apart.

    `frame` holds the features and any other column, in row order; `target` the labels of the same rows, or
    None; `material` identifies what was read.
    """

    name: str
    frame: pd.DataFrame
    target: npt.NDArray[Any] | None
    material: Subject | None
    target_name: str | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def table(self) -> pd.DataFrame:
        """Return the whole table, with the labels as its last column where they have a name."""
        if self.target is None or self.target_name is None:
            return self.frame
        return self.frame.assign(**{self.target_name: self.target})


def load_dataset(
    source: Source, *, name: str, target: str | None, base: Path | None = None, needs_target: bool = True
) -> Dataset:
    """Load a table from wherever it is.

    Parameters
    ----------
    source : frame, (X, y) pair, or path
        pandas, polars or arrow frame (a polars LazyFrame is collected); ``.csv``, ``.csv.gz``, ``.parquet``.
    name : str
        What the table is to the project: "test", "reference", "current".
    target : str, optional
        The label column; None for a table without labels.
    base : Path, optional
        Directory of relative paths.
    needs_target : bool
        False accepts a table that lacks the label column, as recent production data do.

    Raises
    ------
    InputError
        If the file is missing or unreadable, the table empty, a column name repeated or the label column
        missing; an (X, y) pair whose rows do not fit together.
    MissingDependencyError
        If the format needs a package that is not installed.
    """
    where = f"{name} data"
    if isinstance(source, Dataset):
        return source
    if isinstance(source, (str, Path)):
        path = Path(source) if base is None else base / source
        frame, material = _read_file(path, name)
        return _split(
            _checked(frame, str(path)), material, name, target, str(path), needs_target=needs_target
        )
    if isinstance(source, (tuple, list)):
        if len(source) != 2:
            raise InputError(f"expected an (X, y) pair, got {len(source)} items", where=where)
        return _join_pair(source[0], source[1], name, target, where)
    frame = _checked(_to_pandas(source, where), where)
    return _split(frame, _frame_subject(frame, name), name, target, where, needs_target=needs_target)


def as_frame(table: Any, *, where: str = "data") -> pd.DataFrame:  # noqa: ANN401 - any table
    """Return the features of a `Dataset`, or any frame as pandas, and refuse an empty one.

    Raises
    ------
    InputError
        If it is no table, has no row, or repeats a column name.
    """
    frame = table.frame if isinstance(table, Dataset) else _to_pandas(table, where)
    return _checked(frame, where)


def materials_of(*tables: object) -> tuple[Subject, ...]:
    """Return what identifies the tables, those that are known."""
    found = (table.material for table in tables if isinstance(table, Dataset))
    return tuple(material for material in found if material is not None)


def column(table: Any, name: str) -> pd.Series:  # noqa: ANN401 - a Dataset or a frame
    """Return one column of a `Dataset` or a frame.

    Raises
    ------
    InputError
        If there is none of that name; the message lists those that there are.
    """
    where = f"{table.name} data" if isinstance(table, Dataset) else "data"
    frame = table.frame if isinstance(table, Dataset) else table
    if name not in frame.columns:
        raise no_column(name, frame.columns, where=where)
    return frame[name]


def no_column(name: object, available: Iterable[object], *, where: str) -> InputError:
    """Build the error for a column that is missing, with the ones that are there."""
    names = [str(item) for item in available]
    near = difflib.get_close_matches(str(name), names, n=1)
    more = f", and {len(names) - 12} more" if len(names) > 12 else ""
    meant = f"did you mean {near[0]!r}? " if near else ""
    return InputError(
        f"there is no column {str(name)!r}",
        where=where,
        hint=f"{meant}columns: {', '.join(names[:12])}{more}",
    )


def _checked(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    if not frame.columns.is_unique:
        repeated = frame.columns[frame.columns.duplicated()].unique()
        raise InputError(
            f"the column name {str(repeated[0])!r} stands more than once",
            where=where,
            hint="a check could read either; rename one",
        )
    if len(frame) == 0:
        raise InputError("the table has no rows, so nothing about it can be shown", where=where)
    if len(frame.columns) == 0:
        raise InputError("the table has no columns", where=where)
    return frame


def _split(
    frame: pd.DataFrame,
    material: Subject | None,
    name: str,
    target: str | None,
    where: str,
    *,
    needs_target: bool,
) -> Dataset:
    labels = None
    if target is not None:
        if target in frame.columns:
            labels = frame[target].to_numpy()
            frame = frame.drop(columns=target)
        elif needs_target:
            error = no_column(target, frame.columns, where=where)
            raise InputError(f"there is no label column {target!r}", where=where, hint=error.hint)
    return Dataset(
        name=name,
        frame=frame,
        target=labels,
        material=material,
        target_name=target if labels is not None else None,
    )


def _join_pair(
    features: Any,  # noqa: ANN401 - any table
    labels: Any,  # noqa: ANN401 - any array
    name: str,
    target: str | None,
    where: str,
) -> Dataset:
    frame = _checked(_to_pandas(features, where), where)
    if target is not None and target in frame.columns:
        raise InputError(f"X of the (X, y) pair holds the label column {target!r} too", where=where)
    target_name = target or "target"
    indexed = all(hasattr(getattr(part, "index", None), "equals") for part in (features, labels))
    if indexed and len(labels) == len(frame) and not labels.index.equals(features.index):
        raise InputError(
            "X and y have different indexes, so their rows may not belong together",
            where=where,
            hint="take both from one split, or reset_index(drop=True) on both if the order is right",
        )
    values = np.asarray(labels)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or len(values) != len(frame):
        raise InputError(
            f"X has {len(frame):,} rows and y is of shape {values.shape}; they must fit together", where=where
        )
    table = frame.assign(**{target_name: values})
    return Dataset(
        name=name,
        frame=frame,
        target=values,
        material=_frame_subject(table, name),
        target_name=target_name,
    )


def _read_file(path: Path, role: str) -> tuple[pd.DataFrame, Subject]:
    suffix = ".csv.gz" if path.name.lower().endswith(".csv.gz") else path.suffix.lower()
    media_type = (_CSV_TYPES | _PARQUET_TYPES).get(suffix)
    if media_type is None:
        raise InputError(
            f"the ending {suffix or '(none)'} is of no format that can be read",
            where=str(path),
            hint="use .csv, .csv.gz or .parquet, or return a frame from the fixture",
        )
    if not path.exists():
        raise InputError(
            "the file does not exist", where=str(path), hint="build the data, or correct its path"
        )
    if not path.is_file():
        raise InputError("is not a regular file", where=str(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=str(path)) from None
    frame = _read_parquet(data, path) if suffix in _PARQUET_TYPES else _read_csv(data, path, suffix)
    subject = Subject(
        name=path.name,
        digest={"sha256": sha256_hex(data)},
        media_type=media_type,
        annotations={"role": role, "rows": len(frame), "columns": len(frame.columns)},
    )
    return frame, subject


def _read_csv(data: bytes, path: Path, suffix: str) -> pd.DataFrame:
    pandas = require("pandas", extra="data")
    if suffix == ".csv.gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"is not a whole gzip file: {error}", where=str(path)) from None
    if not data.strip():
        raise InputError("the file is empty", where=str(path))
    try:
        header = next(csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")))
        frame = pandas.read_csv(io.BytesIO(data), low_memory=False)
    except (ValueError, csv.Error) as error:
        raise InputError(f"is not a readable CSV file: {error}", where=str(path)) from None
    # pandas would rename a repeated column, and take a surplus first field for an index, without a word.
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise InputError(
            f"the column name {repeated[0]!r} stands more than once in the header",
            where=str(path),
            hint="a check could read either; rename one",
        )
    if not isinstance(frame.index, pandas.RangeIndex):
        raise InputError("rows hold more fields than the header names", where=str(path))
    return frame


def _read_parquet(data: bytes, path: Path) -> pd.DataFrame:
    pandas = require("pandas", extra="data")
    _require_arrow("parquet files are")
    try:
        frame = pandas.read_parquet(io.BytesIO(data), engine="pyarrow")
    except (OSError, ValueError) as error:
        told = str(error).partition("\n")[0]
        raise InputError(f"is not a readable parquet file: {told}", where=str(path)) from None
    return frame


def _require_arrow(what: str) -> None:
    try:
        require("pyarrow", extra="data")
    except MissingDependencyError:
        raise MissingDependencyError(
            f"{what} read through the package 'pyarrow', which is not installed", hint="pip install pyarrow"
        ) from None


def _to_pandas(source: Any, where: str) -> pd.DataFrame:  # noqa: ANN401 - any table
    pandas, polars = loaded("pandas"), loaded("polars")
    if pandas is not None and isinstance(source, pandas.DataFrame):
        return source
    if isinstance(source, np.ndarray):
        if source.ndim != 2:
            raise InputError(f"expected a table, got an array of shape {source.shape}", where=where)
        return require("pandas", extra="data").DataFrame(source)
    if polars is not None and isinstance(source, polars.LazyFrame):
        # Many libraries look at the types of a lazy frame only; its rows have to be there to be checked.
        source = source.collect()
    if hasattr(source, "__arrow_c_stream__"):
        require("pandas", extra="data")
        _require_arrow(f"a table of type {type(source).__name__} is")
        return require("pyarrow", extra="data").table(source).to_pandas()
    raise InputError(
        f"expected a table, got {type(source).__name__}",
        where=where,
        hint="give a frame (pandas, polars, arrow), an (X, y) pair, or the path of a .csv or .parquet file",
    )


def _frame_subject(frame: pd.DataFrame, name: str) -> Subject:
    pandas = require("pandas", extra="data")
    digest = hashlib.sha256()
    for label, dtype in _columns(frame):
        digest.update(f"{len(label)}:{label}={dtype};".encode())
    try:
        digest.update(pandas.util.hash_pandas_object(frame, index=False).to_numpy().astype("<u8").tobytes())
    except TypeError as error:
        raise InputError(
            f"a column holds objects that have no hash ({error}), so the table can not be identified",
            where=f"{name} data",
            hint="store it as a file and give the path",
        ) from None
    return Subject(
        name=name,
        digest={"sha256": digest.hexdigest()},
        annotations={
            "role": name,
            "rows": len(frame),
            "columns": len(frame.columns),
            "method": ROW_HASH_METHOD,
        },
    )


def _columns(frame: pd.DataFrame) -> Sequence[tuple[str, str]]:
    return [(str(label), str(dtype)) for label, dtype in frame.dtypes.items()]
