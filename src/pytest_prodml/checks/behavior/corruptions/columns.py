"""Which columns of a table are changed, and how new cells are put in without another type or a lost digit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.tables import as_frame, column
from pytest_prodml.checks.behavior.batches import Batch, is_frame
from pytest_prodml.checks.behavior.corruptions.kinds import whole_limits
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Numbers: TypeAlias = npt.NDArray[np.float64]
Cells: TypeAlias = npt.NDArray[np.bool_]
Rng: TypeAlias = np.random.Generator

#: Fewer rows than this tell nothing about whether a column counts them.
_LEAST_COUNTED = 20


def left_out(frame: pd.DataFrame, ignore: Sequence[Any]) -> list[str]:
    """Return the columns that count the rows, which no corruption changes unless it is told to."""
    return [str(name) for name in frame.columns if name not in ignore and _counts_rows(frame[name])]


# --- columns ----------------------------------------------------------------------------------------------


def frame_of(batch: Batch) -> pd.DataFrame:
    """Return rows as a frame.

    Raises
    ------
    InputError
        If they are no table.
    """
    if is_frame(batch):
        frame: pd.DataFrame = batch
        return frame
    if isinstance(batch, np.ndarray) and batch.ndim != 2:
        raise InputError(f"rows are a frame or an array of shape (rows, columns), got shape {batch.shape}")
    if isinstance(batch, np.ndarray):
        import pandas as pd

        return pd.DataFrame(batch)
    return as_frame(batch)


def _like(made: pd.DataFrame, batch: Batch) -> Batch:
    """Return rows as they came: an array of the same type, or the frame."""
    if not isinstance(batch, np.ndarray):
        return made
    if batch.dtype.kind in "iub" and made.isna().to_numpy().any():
        return made.to_numpy(dtype=np.float64)
    return made.to_numpy(dtype=batch.dtype)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Which:
    """Which columns a corruption changes, and what it takes their spread and range from."""

    where: str
    columns: Sequence[Any] | None
    ignore: Sequence[Any]
    within_observed: bool = False
    reference: Any = None


def columns_of(frame: pd.DataFrame, which: Which, accepts: Callable[[pd.Series], bool]) -> list[Any]:
    """Return the columns to change: those named, or those that fit and are not to be ignored.

    Raises
    ------
    InputError
        If one is missing or does not fit, or none is left.
    """
    columns, ignore, where = which.columns, which.ignore, which.where
    if isinstance(ignore, str):
        raise InputError(f"ignore must be a list of names, got {ignore!r}", where=where)
    if columns is None:
        found = [
            name
            for name in frame.columns
            if name not in ignore and accepts(frame[name]) and not _counts_rows(frame[name])
        ]
        if not found:
            raise InputError("no column can be changed", where=where, hint="name them: columns=[...]")
        return found
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        raise InputError(f"columns must be a list of names, got {columns!r}", where=where)
    names = list(dict.fromkeys(columns))
    if not names:
        raise InputError("columns is empty, so nothing would be changed", where=where)
    for name in names:
        own = column(frame, name)
        if name in ignore:
            raise InputError("is to be changed and to be ignored", where=str(name))
        if not accepts(own):
            raise InputError(f"is {own.dtype}; {where} needs numbers", where=str(name))
    return names


def is_number(own: pd.Series) -> bool:
    """Say whether a column holds real numbers; truth values are none."""
    import pandas as pd

    types = pd.api.types
    dtype = own.dtype
    return bool(
        types.is_numeric_dtype(dtype)
        and not types.is_bool_dtype(dtype)
        and not types.is_complex_dtype(dtype)
        and getattr(dtype, "kind", "f") in "fiu"
    )


def _counts_rows(own: pd.Series) -> bool:
    """Say whether a column is a number of the row or a name of its own for each: nothing to learn from."""
    import pandas as pd

    types = pd.api.types
    n = len(own)
    if n < _LEAST_COUNTED or types.is_float_dtype(own.dtype) or types.is_bool_dtype(own.dtype):
        return False
    if types.is_integer_dtype(own.dtype):
        return bool(own.notna().all() and own.is_unique and int(own.max()) - int(own.min()) == n - 1)
    return False


def _numbers(own: pd.Series) -> Numbers:
    return np.asarray(own.to_numpy(dtype=np.float64, na_value=np.nan))


def widened(own: pd.Series) -> pd.Series:
    """Return a column whose type can hold a missing cell."""
    if isinstance(own.dtype, np.dtype):
        if own.dtype.kind in "iu":
            return own.astype(np.float64)
        if own.dtype.kind == "b":
            return own.astype(object)
    return own


# --- cells ------------------------------------------------------------------------------------------------


def numbers_moved(
    batch: Batch,
    which: Which,
    moved: Callable[[Numbers, Numbers, Numbers], Numbers],
    draw: Callable[[int], Numbers],
) -> Batch:
    """Change the finite cells of columns of numbers; ``moved(values, known, drawn)`` gives the new ones."""
    frame = frame_of(batch)
    reference = frame if which.reference is None else frame_of(which.reference)
    changed = {}
    for name in columns_of(frame, which, is_number):
        own = frame[name]
        values, known = _numbers(own), _numbers(column(reference, name))
        drawn = draw(len(own))
        is_finite = np.isfinite(values)
        known = known[np.isfinite(known)]
        with np.errstate(over="ignore", invalid="ignore"):
            new = moved(values[is_finite], known, drawn[is_finite])
        changed[name] = _written(own, values, is_finite, new, known if which.within_observed else None)
    return _like(_with(frame, changed), batch)


def _written(
    own: pd.Series, values: Numbers, is_finite: Cells, new: Numbers, observed: Numbers | None
) -> pd.Series:
    """Return a column with new numbers in its finite cells, of the same type and, if it is, whole."""
    import pandas as pd

    dtype = own.dtype
    base = dtype if isinstance(dtype, np.dtype) else np.dtype(getattr(dtype, "numpy_dtype", np.float64))
    old = values[is_finite]
    if observed is not None and observed.size:
        new = np.clip(new, float(np.min(observed)), float(np.max(observed)))
    if base.kind in "iu" or (old.size and bool((old == np.rint(old)).all())):
        new = np.rint(new)
    low, high = (
        whole_limits(base) if base.kind in "iu" else (float(np.finfo(base).min), float(np.finfo(base).max))
    )
    new = np.clip(new, low, high)
    if base.kind == "f":
        # In the column's own type a tiny change may be none.
        new = new.astype(base)
    # Cells that stay are not rewritten: a number beyond 2**53 would not survive the way through floats.
    is_new = new != old
    array = own.array.copy()
    try:
        array[np.flatnonzero(is_finite)[is_new]] = new[is_new].astype(base)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"holds {dtype}, which does not take the changed numbers: {error}", where=str(own.name)
        ) from None
    return pd.Series(array, index=own.index, name=own.name, dtype=dtype)


def cells_changed(
    batch: Batch,
    which: Which,
    severity: float,
    rng: Rng,
    change: Callable[[pd.Series, Cells], pd.Series],
) -> Batch:
    """Change the cells, of any type, that a draw of their own hits; `change` gives the new column."""
    frame = frame_of(batch)
    changed = {
        name: change(frame[name], rng.random(len(frame)) < severity)
        for name in columns_of(frame, which, lambda _: True)
    }
    return _like(_with(frame, changed), batch)


def _with(frame: pd.DataFrame, changed: dict[Any, pd.Series]) -> pd.DataFrame:
    """Return a frame of the same columns in the same order, some of them new; names need not be text."""
    made = frame.copy()
    for name, own in changed.items():
        made[name] = own
    return made
