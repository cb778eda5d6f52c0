"""A column -> the values that can be put into it, columns that hold one, and what the model makes of it.

Shared by the checks that change single columns of a model's input: invariance, counterfactuals, proxies.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pytest_prodml.adapters.predictor import Predictor
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Answer = TypeVar("Answer")

#: More values than this are a sign of a number or an identifier.
MOST_VALUES = 50
#: Rows that are predicted without a column to see whether the model asks for it.
_PROBED = 20
_MOST_TEXT = 200


def values_of(own: pd.Series) -> list[Any]:
    """Return the values that occur in a column, each once, without the missing one.

    Raises
    ------
    InputError
        If a cell has no hash, such as a list.
    """
    try:
        return list(own.dropna().unique())
    except TypeError:
        raise InputError(
            "holds cells that can not be compared (lists, dicts)",
            where=str(own.name),
            hint="give a column of plain values",
        ) from None


def options_of(own: pd.Series, values: Sequence[object] | None) -> list[Any]:
    """Return the values to put into a column: those given, or those that occur in it.

    Raises
    ------
    InputError
        If there are none, fewer than two occur, or more than 50 do.
    """
    name = str(own.name)
    if values is not None:
        if isinstance(values, str):
            raise InputError(f"values must be a list, got the text {values!r}", where=name)
        try:
            found = list(dict.fromkeys(values))
        except TypeError:
            raise InputError("values holds what can not be compared (lists, dicts)", where=name) from None
        if not found:
            raise InputError("values is empty, so nothing would be changed", where=name)
        return found
    found = values_of(own)
    if len(found) < 2:
        raise InputError(
            f"holds {len(found)} different value{'' if len(found) == 1 else 's'}, so nothing can be changed",
            where=name,
            hint="give the values to try: values=[...]",
        )
    if len(found) > MOST_VALUES:
        raise InputError(
            f"holds {len(found):,} different values",
            where=name,
            hint=f"choose at most {MOST_VALUES} to try: values=[...]",
        )
    return sorted(found, key=str)


def is_missing(value: object) -> bool:
    """Say whether a value stands for a missing cell: None, NaN, NA, NaT."""
    import pandas as pd

    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def equals(own: pd.Series, value: object) -> np.ndarray:
    """Return which cells hold `value`; a missing one equals a missing cell only."""
    if is_missing(value):
        return np.asarray(own.isna().to_numpy(dtype=bool))
    return np.asarray((own == value).to_numpy(dtype=bool, na_value=False))


def constant(own: pd.Series, value: object, *, allow_missing: bool = False) -> pd.Series:
    """Return a column of the same type and index that holds `value` in every row.

    Raises
    ------
    InputError
        If the column's type can not hold the value; if it is missing and `allow_missing` does not say so.
    """
    import pandas as pd

    made = None
    wanted_missing = allow_missing and is_missing(value)
    # A category that is none of the type's would become a missing cell without an error.
    is_category = isinstance(own.dtype, pd.CategoricalDtype)
    if not is_category or wanted_missing or value in own.dtype.categories:
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            made = pd.Series([value] * len(own), index=own.index, dtype=own.dtype, name=own.name)
    if wanted_missing:
        fits = made is not None and bool(made.isna().all())
    else:
        fits = made is not None and not made.isna().any() and (len(own) == 0 or made.iloc[0] == value)
    if made is None or not fits:
        raise InputError(
            f"the value {value!r} does not fit the column's type {own.dtype}",
            where=str(own.name),
            hint="give values of the column's own type",
        )
    return made


def accepted(call: Callable[[], Answer], what: str, where: str) -> Answer:
    """Return what a call of the model returns, or say that it refuses the rows and why.

    Raises
    ------
    InputError
        If it raises anything.
    """
    try:
        return call()
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - any library's error for a value that it does not know
        told = " ".join(str(error).split())[:_MOST_TEXT]
        raise InputError(
            f"the model refuses {what}: {type(error).__name__}: {told}",
            where=where,
            hint="try values that it knows: values=[...]",
        ) from None


def sees(predictor: Predictor, frame: pd.DataFrame, name: str) -> bool:
    """Say whether the model asks for a column: it fails, or answers otherwise, on rows without it.

    A model that fails without a column sees it. One that answers the same 20 rows alike does not.
    """
    rows = frame.iloc[:_PROBED]
    told = "the rows as they are"
    before = np.asarray(accepted(lambda: predictor.predict_score(rows), told, predictor.description))
    try:
        after = np.asarray(predictor.predict_score(rows.drop(columns=[name])))
    except Exception:  # noqa: BLE001 - the error is the answer
        return True
    return not np.array_equal(before, after, equal_nan=True)


def inputs_of(predictor: Predictor, frame: pd.DataFrame) -> list[Any]:
    """Return the columns that the model asks for, in the table's order; all where none can be told."""
    found = [name for name in frame.columns if sees(predictor, frame, name)]
    return found or list(frame.columns)
