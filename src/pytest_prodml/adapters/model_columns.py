"""A table -> the columns that a model was trained on: by name, in its order, with its categories.

The caller's table is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.tables import no_column
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def select(rows: pd.DataFrame, names: Sequence[str] | None, *, n_columns: int, where: str) -> pd.DataFrame:
    """Return the columns that a model takes, in its order.

    Parameters
    ----------
    rows : DataFrame
        The table; further columns in it are left out.
    names : sequence of str or None
        The names that the model was trained with; None takes the table as it is.
    n_columns : int
        How many columns the model takes.
    where : str
        The model, for the error message.

    Raises
    ------
    InputError
        If a column is missing, or there are no names and the number of columns is another one.
    """
    if names is None:
        if len(rows.columns) != n_columns:
            raise InputError(
                f"was trained on {n_columns} columns without names and the table has {len(rows.columns)}",
                where=where,
                hint="train it on a frame, so that columns can be told by name",
            )
        return rows
    for name in names:
        if name not in rows.columns:
            raise no_column(name, rows.columns, where=f"input of {where}")
    return rows[list(names)]


def with_categories(
    frame: pd.DataFrame, categories: Mapping[str, Sequence[Any]], *, where: str, refuse_unknown: bool
) -> pd.DataFrame:
    """Return the frame with its categorical columns coded as the model was trained.

    Parameters
    ----------
    frame : DataFrame
        The model's columns.
    categories : mapping
        Column -> its categories in the order of training.
    where : str
        The model, for the error message.
    refuse_unknown : bool
        Refuse a value that is no category; else it counts as missing, as LightGBM has it.

    Raises
    ------
    InputError
        If another column holds no numbers, or a value is unknown and `refuse_unknown`.
    """
    import pandas as pd

    found: dict[Any, Any] = {}
    for name in frame.columns:
        values = frame[name]
        if name not in categories:
            require_numbers(values, where=where)
            found[name] = values
            continue
        known = list(categories[name])
        codes = pd.Index(known, dtype=object).get_indexer(values.astype(object))
        unknown = (codes < 0) & values.notna().to_numpy()
        if refuse_unknown and unknown.any():
            told = values.to_numpy(dtype=object)[unknown][0]
            raise InputError(
                f"the column {str(name)!r} holds {told!r}, which is no category of the model",
                where=where,
                hint=f"its categories are {', '.join(map(repr, known[:12]))}",
            )
        found[name] = pd.Series(pd.Categorical.from_codes(codes, categories=known), index=frame.index)
    return pd.DataFrame(found, index=frame.index)


def require_numbers(values: pd.Series, *, where: str) -> None:
    """Refuse a column that is no number and no truth value.

    Raises
    ------
    InputError
        If it is neither.
    """
    import pandas as pd

    plain = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype)
    if not plain:
        raise InputError(
            f"the column {str(values.name)!r} is {values.dtype}, and the model takes numbers there",
            where=where,
        )


def as_matrix(frame: pd.DataFrame, dtype: type[np.floating[Any]], *, where: str) -> npt.NDArray[Any]:
    """Return (n, d) numbers; what is missing is NaN.

    Raises
    ------
    InputError
        If a column is not numeric, or a number is out of the range of `dtype`.
    """
    found = np.empty((len(frame), len(frame.columns)), dtype=dtype)
    for position, name in enumerate(frame.columns):
        require_numbers(frame[name], where=where)
        wide = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        with np.errstate(over="ignore"):
            found[:, position] = wide
        if (np.isinf(found[:, position]) & np.isfinite(wide)).any():
            raise InputError(
                f"the column {str(name)!r} is out of the range of {np.dtype(dtype).name}", where=where
            )
    return found
