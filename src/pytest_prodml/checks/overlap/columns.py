"""Two tables -> columns that can be compared: numbers as float64, everything else as codes common to both."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.adapters.tables import Dataset
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Array: TypeAlias = npt.NDArray[np.float64]
Codes: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SharedColumn:
    """A column of the training rows and then the test rows, read the same way in both.

    Attributes
    ----------
    name : str
    values : array, shape (n_reference + n_test,)
        float64 with NaN where missing, for numbers, booleans, dates and spans of time; otherwise int64 codes,
        -1 where missing.
    is_number : bool
    n_reference : int
    """

    name: str
    values: npt.NDArray[Any]
    is_number: bool
    n_reference: int

    @property
    def reference(self) -> npt.NDArray[Any]:
        """The training rows' part."""
        return self.values[: self.n_reference]

    @property
    def test(self) -> npt.NDArray[Any]:
        """The test rows' part."""
        return self.values[self.n_reference :]

    @property
    def is_missing(self) -> npt.NDArray[np.bool_]:
        """Which rows lack a value."""
        found: npt.NDArray[np.bool_] = np.isnan(self.values) if self.is_number else self.values < 0
        return found


def shared_columns(reference: Dataset, test: Dataset, *, without: Collection[str] = ()) -> list[SharedColumn]:
    """Return the columns that both tables have, in the order of the training table.

    Raises
    ------
    InputError
        If there is none, or a column of either table holds what can not be compared.
    """
    names = [name for name in reference.frame.columns if name in test.frame.columns and name not in without]
    if not names:
        raise InputError("the training and the test rows share no column", where="no_leakage")
    return [shared_column(str(name), reference.frame[name], test.frame[name]) for name in names]


def shared_column(name: str, reference: pd.Series, test: pd.Series) -> SharedColumn:
    """Read a column of both tables the same way; as text where it is a number in one of them only."""
    parts = (reference, test)
    numbers = [as_floats(part) for part in parts]
    if all(part is not None for part in numbers):
        values: npt.NDArray[Any] = np.concatenate([part for part in numbers if part is not None])
        # Minus zero and zero, and all NaN, are one value.
        values = np.where(np.isnan(values), np.nan, values + 0.0)
        return SharedColumn(name=name, values=values, is_number=True, n_reference=len(reference))
    codes = common_codes(parts, name)
    return SharedColumn(name=name, values=codes, is_number=False, n_reference=len(reference))


def as_floats(column: pd.Series) -> Array | None:
    """Return a column of numbers, booleans, dates (ns, UTC) or spans as floats; None for any other."""
    pandas = require("pandas", extra="pipeline")
    types = pandas.api.types
    if isinstance(column.dtype, pandas.CategoricalDtype):
        return None
    if types.is_datetime64_any_dtype(column):
        return instants(column)
    if types.is_timedelta64_dtype(column):
        return np.asarray(column.dt.total_seconds().to_numpy(dtype=np.float64, na_value=np.nan))
    if types.is_complex_dtype(column):
        return None
    if types.is_bool_dtype(column) or types.is_numeric_dtype(column):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    return None


def instants(column: pd.Series) -> Array:
    """Return dates as nanoseconds since 1970 (UTC where there is a time zone), NaN where missing."""
    pandas = require("pandas", extra="pipeline")
    index = pandas.DatetimeIndex(column)
    if index.tz is not None:
        index = index.tz_convert("UTC").tz_localize(None)
    values = index.as_unit("ns").asi8.astype(np.float64)
    return np.where(index.isna(), np.nan, values)


def common_codes(parts: Iterable[pd.Series], name: str) -> Codes:
    """Return codes that are equal where the values are; -1 where missing."""
    pandas = require("pandas", extra="pipeline")
    values = np.concatenate([np.asarray(part.astype(object).to_numpy(), dtype=object) for part in parts])
    try:
        codes, _ = pandas.factorize(values)
    except TypeError:
        raise InputError(
            f"the column {name!r} holds values that can not be compared (lists or other containers)",
            where="no_leakage",
            hint="leave it out with ignore=[...]",
        ) from None
    return np.asarray(codes, dtype=np.int64)
