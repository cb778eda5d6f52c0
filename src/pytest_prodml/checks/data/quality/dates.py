"""Dates that stand for something else, lie in the future, or have day and month changed over."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pytest_prodml.adapters.engines.expressions import (
    Compare,
    CountWhere,
    Kind,
    OneOf,
    Or,
    Predicate,
    Relation,
)
from pytest_prodml.checks.data.quality.request import (
    DATES,
    Asked,
    Finding,
    Found,
    Request,
    counted,
    is_more,
    named,
)
from pytest_prodml.errors import InputError

#: What programs write where there is no date: the zero of Unix, of SQL Server, of spreadsheets, and ends.
SENTINELS = (
    dt.date(1, 1, 1),
    dt.date(1899, 12, 30),
    dt.date(1900, 1, 1),
    dt.date(1970, 1, 1),
    dt.date(2099, 12, 31),
    dt.date(9999, 12, 31),
)
_OF_NANOSECONDS = (dt.date(1678, 1, 1), dt.date(2261, 12, 31))
_MOST_ROWS = 1_000
#: With fewer rows out of range days up to the twelfth are no sign of anything.
_LEAST_ROWS = 10
_NEARLY_ALL = 0.9


def _moment(request: Request, name: str, day: dt.date) -> Any:  # noqa: ANN401 - a date, or a time
    """Return a day's midnight as cells of the column are; one with a zone is read as UTC."""
    if request.columns[name].kind is Kind.DATE:
        return day
    zone = dt.UTC if request.columns[name].zone is not None else None
    return dt.datetime(day.year, day.month, day.day, tzinfo=zone)


def _sentinels(request: Request, name: str) -> Predicate:
    exact = "ns" in request.columns[name].stored_as or "NANOSECOND" in request.columns[name].stored_as.upper()
    days = [day for day in SENTINELS if not exact or _OF_NANOSECONDS[0] <= day <= _OF_NANOSECONDS[1]]
    return OneOf(name, tuple(_moment(request, name, day) for day in days))


def ask_sentinels(request: Request) -> tuple[Asked, Asked]:
    """Ask both tables for the dates that stand for none."""
    return (
        {f"sentinel {name}": CountWhere(_sentinels(request, name)) for name in request.of_kind(DATES)},
        {f"sentinel {name}": CountWhere(_sentinels(request, name)) for name in request.shared(DATES)},
    )


def sentinel_dates(request: Request) -> Found:
    """Count the dates that stand for none, in columns that have them more often than the reference."""
    names = request.of_kind(DATES)
    if not names:
        return "no column holds dates"
    shared = set(request.shared(DATES))
    rows = {}
    for name in names:
        count = request.counts[0][f"sentinel {name}"]
        before = request.counts[1][f"sentinel {name}"] if name in shared else 0
        n_before = request.known.present(name) if name in shared else 1
        if is_more(request, count, before, request.current.present(name), n_before):
            rows[name] = count
    return Finding(
        items=[counted(sum(rows.values()), request.current.n_rows, note=named(list(rows)))],
        exact=True,
        unit="rows",
        where={name: _sentinels(request, name) for name in rows},
    )


def _later(request: Request) -> dict[str, Predicate]:
    now = request.now
    if now is None:
        return {}
    if not isinstance(now, dt.datetime) or now.tzinfo is None:
        raise InputError(f"now must be a time with its zone, got {now!r}", where="quality")
    utc = now.astimezone(dt.UTC)
    found: dict[str, Predicate] = {}
    for name in request.of_kind(DATES):
        if request.columns[name].kind is Kind.DATE:
            # Anywhere on earth it may already be the next day.
            limit: Any = utc.date() + dt.timedelta(days=1)
        elif request.columns[name].zone is None:
            limit = utc.replace(tzinfo=None) + dt.timedelta(hours=14)
        else:
            limit = utc
        found[name] = Compare(name, Relation.GREATER, limit)
    return found


def ask_future(request: Request) -> tuple[Asked, Asked]:
    """Ask for the dates after now."""
    return {f"future {name}": CountWhere(found) for name, found in _later(request).items()}, {}


def future_dates(request: Request) -> Found:
    """Count the dates after now; one without a zone may be 14 hours ahead, as some zone's clocks are."""
    if not request.of_kind(DATES):
        return "no column holds dates"
    if request.now is None:
        return "needs now"
    predicates = {
        name: found for name, found in _later(request).items() if request.counts[0][f"future {name}"]
    }
    total = sum(request.counts[0][f"future {name}"] for name in predicates)
    return Finding(
        items=[counted(total, request.current.n_rows, note=named(list(predicates)))],
        exact=True,
        unit="rows",
        where=predicates,
    )


def swapped_date_columns(request: Request) -> Found:
    """Count the columns whose dates out of the reference's range lie in it with day and month changed over.

    A wrong reading can only change over days up to the twelfth: of ten and more dates out of range nearly all
    must be such, where 39 % are by chance.
    """
    if request.base is None:
        return "needs a reference"
    names = request.shared(DATES)
    if not names:
        return "no column of dates is in both tables"
    outside: dict[str, Predicate] = {}
    for name in names:
        least, greatest = request.base.ends(name)
        low, high = request.current.ends(name)
        if low is not None and (low < least or high > greatest):
            outside[name] = Or(
                (Compare(name, Relation.LESS, least), Compare(name, Relation.GREATER, greatest))
            )
    rows = (
        request.table.engine.rows(outside, {name: [name] for name in outside}, most=_MOST_ROWS)
        if outside
        else {}
    )
    swapped = [
        name for name in outside if _are_swapped([row[name] for row in rows[name]], *request.base.ends(name))
    ]
    return Finding(
        items=[counted(len(swapped), request.current.n_rows, note=named(swapped))],
        exact=True,
        unit="columns",
        where={name: outside[name] for name in swapped},
    )


def _are_swapped(values: list[Any], least: Any, greatest: Any) -> bool:  # noqa: ANN401 - dates or times
    if len(values) < _LEAST_ROWS:
        return False
    back = [
        value.replace(month=value.day, day=value.month)
        for value in values
        if value.day <= 12 and value.day != value.month  # a month
    ]
    inside = sum(bool(least <= value <= greatest) for value in back)
    return inside >= _NEARLY_ALL * len(values)
