"""Times as whole numbers, in which engines agree, and back."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pytest_prodml.adapters.engines.expressions import Column, Kind, Value

TICKING = frozenset({Kind.DATETIME, Kind.DURATION, Kind.TIME})
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def is_nanoseconds(column: Column) -> bool:
    """Return whether a time of the column is counted in nanoseconds, and not in microseconds."""
    stored = column.stored_as
    return column.kind is Kind.TIME or "'ns'" in stored or stored.endswith(("(9)", ", 9)"))


def ticks_of(column: Column, value: Value) -> int:
    """Return a constant in the ticks of the column: since 1970 (UTC), since midnight, or of a duration."""
    if isinstance(value, dt.timedelta):
        micros = value // _MICROSECOND
    elif isinstance(value, dt.time):
        micros = (dt.datetime.combine(_EPOCH.date(), value, tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
    else:
        moment: Any = value
        micros = ((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)) - _EPOCH) // _MICROSECOND
    return micros * 1000 if is_nanoseconds(column) else micros


def plain_value(column: Column, value: Any) -> Any:  # noqa: ANN401 - whatever a cell is
    """Return an engine's cell as a Python value; times with a zone in UTC, to the microsecond."""
    if value is None:
        return None
    if column.kind is Kind.BOOLEAN:
        return bool(value)
    if column.kind is Kind.INTEGER:
        return int(value)
    if column.kind not in TICKING or not isinstance(value, int):
        return _in_utc(column, value) if column.kind is Kind.DATETIME else value
    ticks = dt.timedelta(microseconds=value // 1000 if is_nanoseconds(column) else value)
    if column.kind is Kind.DURATION:
        return ticks
    try:
        moment = _EPOCH + ticks
    except OverflowError:
        # Python's calendar ends at the year 9999, an engine's does not.
        return str(value)
    if column.kind is Kind.TIME:
        return moment.time()
    return moment if column.zone is not None else moment.replace(tzinfo=None)


def _in_utc(column: Column, value: Any) -> Any:  # noqa: ANN401 - a datetime of Python or pandas
    plain = value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
    if plain.tzinfo is not None:
        return plain.astimezone(dt.UTC)
    # ibis lets a Spark session answer in UTC, without saying so in each value.
    return plain if column.zone is None else plain.replace(tzinfo=dt.UTC)
