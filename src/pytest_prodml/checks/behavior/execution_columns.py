"""A table -> its columns by kind, and copies of it in which some cells hold another value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.checks.behavior.batches import is_frame
from pytest_prodml.checks.behavior.execution_trial import NotApplicableError, Trial

if TYPE_CHECKING:
    import pandas as pd

#: Columns that are changed one by one; in a wider table these many, evenly spread.
MOST_COLUMNS = 200


def frame_of(trial: Trial) -> pd.DataFrame:
    """Return the sample as a table.

    Raises
    ------
    NotApplicableError
        If it is none.
    """
    if not is_frame(trial.batch):
        raise NotApplicableError("the inputs are no table")
    rows: pd.DataFrame = trial.batch
    return rows


def columns_of(frame: pd.DataFrame, kind: Callable[[pd.Series], bool] | None = None) -> list[Any]:
    """Return the columns of a kind; of more than 200 that many, evenly spread."""
    names = [name for name in frame.columns if kind is None or kind(frame[name])]
    if len(names) <= MOST_COLUMNS:
        return names
    return [names[place] for place in np.linspace(0, len(names) - 1, MOST_COLUMNS).astype(int)]


def is_number(own: pd.Series) -> bool:
    """Say whether a column holds numbers (True and False are none)."""
    return is_float(own) or is_integer(own)


def is_float(own: pd.Series) -> bool:
    """Say whether a column holds numbers with fractions."""
    return bool(require("pandas", extra="behavior").api.types.is_float_dtype(own.dtype))


def is_integer(own: pd.Series) -> bool:
    """Say whether a column holds whole numbers."""
    return bool(require("pandas", extra="behavior").api.types.is_integer_dtype(own.dtype))


def is_date(own: pd.Series) -> bool:
    """Say whether a column holds dates."""
    return bool(require("pandas", extra="behavior").api.types.is_datetime64_any_dtype(own.dtype))


def is_text(own: pd.Series) -> bool:
    """Say whether a column holds texts or categories that are texts."""
    pandas = require("pandas", extra="behavior")
    if isinstance(own.dtype, pandas.CategoricalDtype):
        return bool(pandas.api.types.infer_dtype(own.cat.categories, skipna=True) in {"string", "empty"})
    if own.dtype == object or pandas.api.types.is_string_dtype(own.dtype):
        return bool(pandas.api.types.infer_dtype(own, skipna=True) == "string")
    return False


def is_missing(own: pd.Series) -> bool:
    """Say whether a cell of a column is missing."""
    return bool(own.isna().any())


def emptied(frame: pd.DataFrame, name: Any, rows: npt.NDArray[np.bool_]) -> pd.DataFrame:  # noqa: ANN401
    """Return a copy in which some cells are missing, in the type that pandas gives such a column."""
    made = frame.copy()
    made[name] = frame[name].where(~rows)
    return made


def filled(
    frame: pd.DataFrame,
    name: Any,  # noqa: ANN401 - a column's name
    rows: npt.NDArray[np.bool_],
    values: Sequence[Any],
) -> pd.DataFrame:
    """Return a copy in which some cells hold `values` in turn, in a type that can hold them.

    Whole numbers stay whole where the values are; new categories are added.
    """
    pandas = require("pandas", extra="behavior")
    own = frame[name]
    put = [values[place % len(values)] for place in range(int(np.count_nonzero(rows)))]
    cells = own.astype(object).to_numpy().copy()
    cells[rows] = np.array(put, dtype=object)
    made = frame.copy()
    if isinstance(own.dtype, pandas.CategoricalDtype):
        added = [value for value in dict.fromkeys(values) if value not in own.cat.categories]
        made[name] = pandas.Series(
            cells, index=frame.index, dtype=own.cat.add_categories(added).dtype, name=name
        )
        return made
    dtype: Any = own.dtype
    if is_integer(own) and any(isinstance(value, float) for value in values):
        dtype = np.dtype(np.float64)
        cells[own.isna().to_numpy() & ~rows] = np.nan
    made[name] = pandas.Series(cells, index=frame.index, name=name).astype(dtype)
    return made
