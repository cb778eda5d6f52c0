"""A table and its column of event times -> counts before an instant, whatever the times are stored as."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.expressions import (
    Aggregate,
    Compare,
    CountWhere,
    Greatest,
    Kind,
    Least,
    Missing,
    Predicate,
    Relation,
    Rows,
    Value,
)
from pytest_prodml.adapters.tables import no_column
from pytest_prodml.checks.data.calendar import zone_named
from pytest_prodml.errors import InputError

_ONE_QUERY = 256
_MICROSECOND = dt.timedelta(microseconds=1)
_WITHIN_DAY = {Relation.LESS: Relation.AT_MOST, Relation.AT_LEAST: Relation.GREATER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamps:
    """A column of event times: `kind` is `Kind.DATETIME` or `Kind.DATE`.

    `zone` is that of stored times without one and of calendar days; `is_naive` whether the stored times need
    it to be instants.
    """

    table: Table
    column: str
    kind: Kind
    zone: dt.tzinfo
    is_naive: bool

    def stored(self, moment: dt.datetime) -> Value:
        """Return an instant as the column would hold it."""
        if self.kind is Kind.DATE:
            return moment.astimezone(self.zone).date()
        return moment.astimezone(self.zone).replace(tzinfo=None) if self.is_naive else moment

    def instant(self, value: object) -> dt.datetime | None:
        """Return a cell as an instant; a day is its beginning, a repeated hour the earlier one."""
        if isinstance(value, dt.datetime):
            local = value if value.tzinfo is not None else value.replace(tzinfo=self.zone)
        elif isinstance(value, dt.date):
            local = dt.datetime.combine(value, dt.time.min, tzinfo=self.zone)
        else:
            return None
        try:
            return local.astimezone(dt.UTC)
        except OverflowError:
            return None

    def where(self, relation: Relation, moment: dt.datetime) -> Predicate:
        """Return that the time stands in `relation` to an instant; false where it is missing."""
        if self.kind is Kind.DATE and self.instant(self.stored(moment)) != moment:
            # A day counts from its beginning, which lies before a moment within it.
            relation = _WITHIN_DAY.get(relation, relation)
        return Compare(self.column, relation, self.stored(moment))

    def counts_before(self, edges: Sequence[dt.datetime]) -> list[int]:
        """Return how many rows lie before each instant; 256 instants a query."""
        found: list[int] = []
        for start in range(0, len(edges), _ONE_QUERY):
            asked: dict[str, Aggregate] = {
                str(place): CountWhere(self.where(Relation.LESS, edge))
                for place, edge in enumerate(edges[start : start + _ONE_QUERY])
            }
            answer = self.table.engine.aggregate(asked)
            found += [int(answer[key]) for key in asked]
        return found

    def newest_until(self, oldest: dt.datetime, now: dt.datetime) -> dt.datetime:
        """Return the time of the newest row that is not after `now`, to the microsecond; there must be one.

        A search that splits the span by 64 in each query: for tables in which rows lie in the future, whose
        greatest value says nothing.
        """
        low, high = oldest, now + _MICROSECOND
        while high - low > _MICROSECOND:
            step = max((high - low) // 64, _MICROSECOND)
            edges = [low + step * place for place in range(1, 1 + -((low - high) // step))]
            edges = [*(edge for edge in edges if edge < high), high]
            counts = self.counts_before(edges)
            # Below the first edge with all rows before it lies the newest of them.
            place = counts.index(counts[-1])
            low, high = (low if place == 0 else edges[place - 1]), edges[place]
        return low


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The rows of a table, and the first and last of their times; None beyond Python's calendar."""

    rows: int
    missing: int
    future: int
    oldest: dt.datetime | None
    greatest: dt.datetime | None


def open_stamps(table: Table, column: str, time_zone: str | None) -> Stamps:
    """Look at the type of a column of event times.

    Raises
    ------
    InputError
        If there is no such column, it holds no times, or times without a zone and none is declared.
    """
    columns = table.engine.columns()
    if column not in columns:
        raise no_column(column, columns, where=table.where)
    found = columns[column]
    zone = None if time_zone is None else zone_named(time_zone)
    if found.kind not in {Kind.DATETIME, Kind.DATE}:
        raise InputError(
            f"the column {column!r} holds {found.kind.value} cells, which are no times",
            where=table.where,
            hint="convert it where the table is made; a CSV file has no times, Parquet has",
        )
    is_naive = found.zone is None
    if is_naive and zone is None:
        raise InputError(
            f"the times in {column!r} have no time zone, so how old they are is not known",
            where=table.where,
            hint='say where their clock stands: time_zone="UTC" or for example "Europe/Vienna"',
        )
    return Stamps(table=table, column=column, kind=found.kind, zone=zone or dt.UTC, is_naive=is_naive)


def span_of(stamps: Stamps, latest: dt.datetime) -> Span:
    """Count the rows, those without a time, and those after `latest`, by one query.

    Raises
    ------
    InputError
        If the table is empty or no row has a time.
    """
    name, where = stamps.column, stamps.table.where
    found = stamps.table.engine.aggregate(
        {
            "rows": Rows(),
            "missing": CountWhere(Missing(name)),
            "future": CountWhere(stamps.where(Relation.GREATER, latest)),
            "oldest": Least(name),
            "greatest": Greatest(name),
        }
    )
    if found["rows"] == 0:
        raise InputError("the table has no rows, so nothing about it can be shown", where=where)
    if found["rows"] == found["missing"]:
        raise InputError(f"no row has a time in {name!r}", where=where)
    return Span(
        rows=int(found["rows"]),
        missing=int(found["missing"]),
        future=int(found["future"]),
        oldest=stamps.instant(found["oldest"]),
        greatest=stamps.instant(found["greatest"]),
    )
