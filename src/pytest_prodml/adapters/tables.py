"""Any table -> `Dataset`: a pandas frame, the labels apart, and the digest of what was read."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import loaded, require
from pytest_prodml.adapters.files import read_file, require_arrow
from pytest_prodml.errors import InputError
from pytest_prodml.records import Subject

if TYPE_CHECKING:
    import pandas as pd

    #: A frame (pandas, polars, arrow), an (X, y) pair, or a path.
    Source: TypeAlias = Any

#: How a frame in memory is identified. Row hashes have 64 bits: they tell tables apart, they stop no forger.
ROW_HASH_METHOD = "sha256 of column names, types and pandas row hashes (64 bit), in row order"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Content:
    frame: pd.DataFrame
    target: npt.NDArray[Any] | None
    material: Subject | None
    target_name: str | None = None


class Dataset:
    """A table with its labels apart.

    `frame` holds the features and any other column, in row order; `target` the labels of the same rows, or
    None; `material` identifies what was read. A file may be read only when its rows are first asked for:
    `path` is then where, and a check that counts by a query reads it there itself and never loads it.
    """

    __slots__ = ("_content", "_load", "name", "path")

    def __init__(self, name: str, load: Callable[[], _Content], *, path: Path | None = None) -> None:
        self.name = name
        self.path = path
        self._load = load
        self._content: _Content | None = None

    def _whole(self) -> _Content:
        if self._content is None:
            self._content = self._load()
        return self._content

    @property
    def is_loaded(self) -> bool:
        """Whether the rows are in memory."""
        return self._content is not None

    @property
    def frame(self) -> pd.DataFrame:
        """The features and any other column."""
        return self._whole().frame

    @property
    def target(self) -> npt.NDArray[Any] | None:
        """The labels."""
        return self._whole().target

    @property
    def target_name(self) -> str | None:
        """The name of the labels, where they have one."""
        return self._whole().target_name

    @property
    def material(self) -> Subject | None:
        """What was read."""
        return self._whole().material

    def __len__(self) -> int:
        return len(self.frame)

    def table(self) -> pd.DataFrame:
        """Return the whole table, with the labels as its last column where they have a name."""
        if self.target is None or self.target_name is None:
            return self.frame
        return self.frame.assign(**{self.target_name: self.target})


def load_dataset(
    source: Source,
    *,
    name: str,
    target: str | None,
    base: Path | None = None,
    needs_target: bool = True,
    lazy: bool = False,
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
    lazy : bool
        Read a file only when its rows are first asked for; what is wrong with it is then told there.

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

        def read() -> _Content:
            frame, material = read_file(path, name)
            return _split(_checked(frame, str(path)), material, target, str(path), needs_target=needs_target)

        return Dataset(name, read, path=path) if lazy else _in_memory(name, read(), path)
    if isinstance(source, (tuple, list)):
        if len(source) != 2:
            raise InputError(f"expected an (X, y) pair, got {len(source)} items", where=where)
        return _join_pair(source[0], source[1], name, target, where)
    frame = _checked(_to_pandas(source, where), where)
    material = frame_subject(frame, name)
    return _in_memory(name, _split(frame, material, target, where, needs_target=needs_target))


def as_frame(table: Any, *, where: str = "data") -> pd.DataFrame:  # noqa: ANN401 - any table
    """Return the features of a `Dataset`, or any frame as pandas, and refuse an empty one.

    Raises
    ------
    InputError
        If it is no table, has no row, or repeats a column name.
    """
    frame = table.frame if isinstance(table, Dataset) else _to_pandas(table, where)
    return _checked(frame, where)


def as_pandas(table: object) -> pd.DataFrame | None:
    """Return the table itself if it is a pandas frame in memory, without loading or converting anything."""
    pandas = loaded("pandas")
    if pandas is not None and isinstance(table, pandas.DataFrame):
        return _checked(table, "data")
    return None


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


def _in_memory(name: str, content: _Content, path: Path | None = None) -> Dataset:
    dataset = Dataset(name, lambda: content, path=path)
    dataset._whole()  # noqa: SLF001 - it is there already
    return dataset


def _split(
    frame: pd.DataFrame, material: Subject | None, target: str | None, where: str, *, needs_target: bool
) -> _Content:
    labels = None
    if target is not None:
        if target in frame.columns:
            labels = frame[target].to_numpy()
            frame = frame.drop(columns=target)
        elif needs_target:
            error = no_column(target, frame.columns, where=where)
            raise InputError(f"there is no label column {target!r}", where=where, hint=error.hint)
    return _Content(
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
    content = _Content(
        frame=frame, target=values, material=frame_subject(table, name), target_name=target_name
    )
    return _in_memory(name, content)


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
        require_arrow(f"a table of type {type(source).__name__} is")
        return require("pyarrow", extra="data").table(source).to_pandas()
    raise InputError(
        f"expected a table, got {type(source).__name__}",
        where=where,
        hint="give a frame (pandas, polars, arrow), an (X, y) pair, or the path of a .csv or .parquet file",
    )


def frame_subject(frame: pd.DataFrame, name: str) -> Subject:
    """Identify a frame in memory by `ROW_HASH_METHOD`.

    Raises
    ------
    InputError
        If a column holds objects that have no hash.
    """
    pandas = require("pandas", extra="data")
    digest = hashlib.sha256()
    for label, dtype in _columns(frame):
        digest.update(f"{len(label)}:{label}={dtype};".encode())
    try:
        digest.update(pandas.util.hash_pandas_object(frame, index=False).to_numpy().astype("<u8").tobytes())
    except (TypeError, IndexError) as error:
        # pandas 2 has an IndexError for dictionaries of arrow without any value.
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
