"""Training and test rows -> whether they share entities or times, and whether a row holds a later date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.adapters.tables import Dataset, column
from pytest_prodml.checks.overlap.columns import Codes, as_floats, common_codes, instants
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.design import Design, design_of, share_of_weight

if TYPE_CHECKING:
    import pandas as pd

Array: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]


def entities(reference: Dataset, test: Dataset, name: str) -> Codes:
    """Return codes of the entities of the training rows and then the test rows.

    Raises
    ------
    InputError
        If there is no such column, or an entity is missing.
    """
    codes = common_codes([column(table, name) for table in (reference, test)], name)
    missing = int(np.count_nonzero(codes < 0))
    if missing:
        raise InputError(
            f"{name!r} is missing in {missing:,} of {codes.size:,} rows, so it is not known whose they are",
            where="entity",
        )
    return codes


def known_entities(reference: Dataset, test: Dataset, name: str) -> Mask:
    """Return which test rows are of an entity that training rows are of too.

    Raises
    ------
    InputError
        As `entities` does.
    """
    codes, size = entities(reference, test, name), len(reference)
    seen = np.bincount(codes[:size], minlength=int(np.max(codes)) + 1) > 0
    found: Mask = seen[codes[size:]]
    return found


def design_of_both(
    reference: Dataset, test: Dataset, *, entity: str | None, sample_weight: str | None
) -> Design:
    """Return how the rows of both tables were drawn, from the columns of entities and of weights.

    The weights of each table are scaled to a mean of 1, so that the tables count as their rows do.

    Raises
    ------
    InputError
        If a column is missing, an entity is, or a weight is none.
    """
    size = len(reference) + len(test)
    weights = None
    if sample_weight is not None:
        parts = [
            share_of_weight(design_of(len(table), sample_weight=column(table, sample_weight)), len(table))
            for table in (reference, test)
        ]
        weights = np.concatenate(parts)
    groups = None if entity is None else entities(reference, test, entity)
    return design_of(size, sample_weight=weights, groups=groups)


def times_of(table: Dataset, name: str) -> Array:
    """Return the time of each row: nanoseconds since 1970 of dates, or the numbers of a numeric column.

    Dates with a time zone are told in UTC. Text is read as ISO 8601.

    Raises
    ------
    InputError
        If there is no such column, or a time is missing or can not be read.
    """
    values = column(table, name)
    numbers, _ = _read_times(values, name)
    missing = int(np.count_nonzero(np.isnan(numbers)))
    if missing:
        raise InputError(f"{name!r} is missing in {missing:,} of {numbers.size:,} rows", where="time")
    return numbers


def checked_zones(reference: Dataset, test: Dataset, name: str) -> None:
    """Refuse to compare dates with a time zone with dates without, or with plain numbers.

    Raises
    ------
    InputError
    """
    kinds = [_read_times(column(table, name), name)[1] for table in (reference, test)]
    if kinds[0] != kinds[1]:
        raise InputError(
            f"{name!r} holds {kinds[0]} in the training rows and {kinds[1]} in the test rows",
            where="time",
            hint="convert both to UTC: frame[column].dt.tz_localize(...).dt.tz_convert('UTC')",
        )


def later_dates(table: Dataset, times: Array, kind: str, *, without: frozenset[str]) -> dict[str, Mask]:
    """Return for each other column of dates which rows hold a date after their own time.

    `kind` is what `kind_of_times` says about the time column; only columns of the same kind are compared.
    """
    found: dict[str, Mask] = {}
    for name in table.frame.columns:
        values = table.frame[name]
        if str(name) in without or not require("pandas", extra="pipeline").api.types.is_datetime64_any_dtype(
            values
        ):
            continue
        numbers, own = _read_times(values, str(name))
        if own == kind:
            # A comparison with NaN is False: a missing date tells nothing of the future.
            found[str(name)] = numbers > times
    return found


def kind_of_times(table: Dataset, name: str) -> str:
    """Return what kind of times a column holds: dates with a time zone, dates without, or numbers."""
    return _read_times(column(table, name), name)[1]


def _read_times(values: pd.Series, name: str) -> tuple[Array, str]:
    pandas = require("pandas", extra="pipeline")
    types = pandas.api.types
    if isinstance(values.dtype, pandas.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if isinstance(values.dtype, pandas.PeriodDtype):
        values = values.dt.to_timestamp()
    if types.is_datetime64_any_dtype(values):
        return instants(values), _zoned(getattr(values.dt, "tz", None) is not None)
    if types.is_numeric_dtype(values) and not types.is_bool_dtype(values):
        numbers = as_floats(values)
        if numbers is not None:
            return numbers, "numbers"
    texts = [value for value in values.tolist() if not _is_missing(value, pandas)]
    try:
        zoned = {_has_zone(value, pandas) for value in texts}
    except (ValueError, TypeError):
        raise InputError(
            f"{name!r} holds what is no time",
            where="time",
            hint="dates, numbers, or text in the form 2026-01-31T12:00:00+01:00",
        ) from None
    if len(zoned) > 1:
        raise InputError(f"{name!r} mixes times with and without a time zone", where="time")
    utc = zoned == {True}
    found = pandas.to_datetime(values.astype(object), utc=utc, format=None if not texts else "ISO8601")
    return instants(pandas.Series(found)), _zoned(utc)


def _zoned(zoned: bool) -> str:
    return "dates with a time zone" if zoned else "dates without a time zone"


def _has_zone(value: object, pandas: Any) -> bool:  # noqa: ANN401 - the module
    return pandas.Timestamp(value).tzinfo is not None


def _is_missing(value: object, pandas: Any) -> bool:  # noqa: ANN401 - the module
    return bool(pandas.isna(value))
