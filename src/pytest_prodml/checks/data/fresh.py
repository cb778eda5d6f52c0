"""A table with event times -> Evidence that its rows arrive: new enough, without gaps, as many as expected.

All are exact facts about the rows at hand. The time of the question is given, never read from a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.expressions import (
    Aggregate,
    And,
    Compare,
    CountWhere,
    Kind,
    Relation,
)
from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.counts import check_count, exact
from pytest_prodml.checks.data.arrivals import (
    GAP,
    VOLUME,
    Asked,
    count_periods,
    expected_volume,
    gap,
    series,
    volume_misses,
)
from pytest_prodml.checks.data.calendar import skipped_hours
from pytest_prodml.checks.data.durations import told
from pytest_prodml.checks.data.stamps import Span, Stamps, open_stamps, span_of
from pytest_prodml.errors import InputError
from pytest_prodml.records import Criterion, Evidence, JsonValue, Measurement

_AGE = "newest_row_age_seconds"
_FUTURE = "future_rows"
_UNDATED = "rows_without_time"
_SKIPPED = "rows_at_skipped_local_times"
_EXACT = "exact"

#: A stamp this near below a whole hour in the future is that of a clock in another zone.
_SLACK = timedelta(minutes=5)
_HOUR = timedelta(hours=1)
_FURTHEST_ZONES = 26


def fresh(
    table: Table,
    column: str,
    *,
    at_most: timedelta | str,
    now: datetime,
    period: timedelta | str = "day",
    gaps_at_most: timedelta | str | None = None,
    volume: float | Mapping[str, float] | Table | None = None,
    volume_within: float = 0.5,
    volume_misses_at_most: int = 0,
    since: datetime | None = None,
    future_at_most: int = 0,
    clock_tolerance: timedelta | str = timedelta(0),
    missing_at_most: int = 0,
    time_zone: str | None = None,
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the rows of a table arrive as they should.

    Parameters
    ----------
    table : Table
        The rows; nothing is loaded, they are counted where they are.
    column : str
        When each row happened: times with a zone, times without one, or days (a day counts from its
        beginning).
    at_most : timedelta or str
        How old the newest row may be, such as ``"36 h"``. Rows in the future do not make a table fresh.
    now : datetime
        When the question is asked; with a time zone. It stands in the evidence.
    period : timedelta or str
        What gaps and volumes are counted in: ``"hour"``, ``"day"``, ``"week"``, or a duration that divides a
        day. Days are calendar days of `time_zone`, or of UTC. A period is judged when it ended at least
        `at_most` ago: what may still arrive is not missed.
    gaps_at_most : timedelta or str, optional
        How long no row may arrive: the length of the longest run of empty periods. ``"0 s"`` wants rows in
        every period. Periods that `volume` expects no row in are no gap.
    volume : float, mapping of str to float, or Table, optional
        Rows that a period should have; by weekday (``{"monday": 1000, ...}``; a weekday left out has none);
        or a reference table, whose median of the same weekday, and for shorter periods of the same time of
        the day, is expected.
    volume_within : float
        How far a period may lie from what is expected, as a share of it: 0.5 accepts 500 to 1500 for 1000.
    volume_misses_at_most : int
        How many periods may lie further away.
    since : datetime, optional
        From when on rows are looked at by period; default from the first whole period of the table.
    future_at_most, clock_tolerance : int, timedelta or str
        How many rows may lie more than the tolerance after `now`.
    missing_at_most : int
        How many rows may have no time.
    time_zone : str, optional
        The zone of times that are stored without one, and of calendar days; a name of the IANA database.
    gate_id, confidence_level, seed
        Common to all checks; exact counts need neither level nor seed.

    Returns
    -------
    Evidence
        ``newest_row_age_seconds``; ``future_rows``, whose note names a mistaken time zone where stamps lie
        whole hours ahead; ``rows_without_time``; for stored local times ``rows_at_skipped_local_times``,
        which no clock of the zone showed; where asked ``longest_empty_seconds`` and
        ``periods_of_unexpected_volume``.

    Raises
    ------
    InputError
        If the table is empty, the column holds no times, or times without a zone and none is declared; if
        `now` or `since` has no zone, or a limit can not be met by counting periods of this length.
    """
    del confidence_level, seed
    asked = Asked.of(at_most, now, period, gaps_at_most, since, clock_tolerance, volume_within)
    for name, limit in (
        ("future_at_most", future_at_most),
        ("missing_at_most", missing_at_most),
        ("volume_misses_at_most", volume_misses_at_most),
    ):
        check_count(limit, name)
    stamps = open_stamps(table, column, time_zone)
    if stamps.kind is Kind.DATE and asked.length < timedelta(days=1):
        raise InputError(
            f"the column {column!r} holds days, which can not be counted by {period!r}", where=table.where
        )
    span = span_of(stamps, asked.now + asked.tolerance)
    newest = _newest(stamps, span, asked)
    measured = [
        _age(newest, asked, span),
        _future(stamps, span, asked),
        exact(_UNDATED, span.missing, span.rows, unit="rows", note=f"in the column {column!r}"),
    ]
    criteria = [
        limited(_AGE, asked.at_most.total_seconds()),
        limited(_FUTURE, future_at_most),
        limited(_UNDATED, missing_at_most),
    ]
    if stamps.is_naive and stamps.kind is Kind.DATETIME:
        measured.append(_skipped(stamps, span, newest))
        criteria.append(limited(_SKIPPED, 0))
    details: dict[str, JsonValue] = {
        "now": _written(asked.now),
        "newest": None if newest is None else _written(newest),
        "oldest": None if span.oldest is None else _written(span.oldest),
        "time_zone": time_zone or "UTC",
    }
    if gaps_at_most is not None or volume is not None:
        counted = count_periods(stamps, span, asked)
        expected = None if volume is None else expected_volume(volume, column, asked, time_zone, stamps)
        if asked.gaps_at_most is not None:
            measured.append(gap(counted, expected, span))
            criteria.append(limited(GAP, asked.gaps_at_most.total_seconds()))
        if expected is not None:
            measured.append(volume_misses(counted, expected, volume_within, volume_misses_at_most))
            criteria.append(limited(VOLUME, volume_misses_at_most))
        details |= series(counted, expected)
    details["engine"] = table.facts()
    return _as_evidence(gate_id, measured, criteria, details, table, volume)


def _as_evidence(
    gate_id: str,
    measured: Sequence[Measurement],
    criteria: Sequence[Criterion],
    details: Mapping[str, JsonValue],
    *tables: object,
) -> Evidence:
    materials = [item.material for item in tables if isinstance(item, Table) and item.material is not None]
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measured),
        criteria=tuple(criteria),
        materials=tuple(materials),
        details=details,
    )


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _newest(stamps: Stamps, span: Span, asked: Asked) -> datetime | None:
    """Return the time of the newest row that has happened."""
    latest = asked.now + asked.tolerance
    if span.oldest is None or span.future + span.missing == span.rows:
        return None
    if span.future == 0:
        return span.greatest
    return stamps.newest_until(span.oldest, latest)


def _age(newest: datetime | None, asked: Asked, span: Span) -> Measurement:
    if newest is None:
        return replace(
            exact(_AGE, 0, span.rows, unit="s", method=_EXACT, note="every row lies in the future"),
            value=None,
            lower=None,
            upper=None,
        )
    age = asked.now - newest
    note = f"the newest row is {told(age)} old, at {_written(asked.now)}"
    return exact(_AGE, age.total_seconds(), span.rows, unit="s", method=_EXACT, note=note)


def _future(stamps: Stamps, span: Span, asked: Asked) -> Measurement:
    """Count the rows in the future, and say where they look like those of a clock in another zone."""
    note = None
    if span.future and span.greatest is None:
        note = "the furthest lies beyond the year 9999"
    elif span.future and span.greatest is not None:
        ahead = span.greatest - asked.now
        note = f"the furthest lies {told(ahead)} ahead"
        hours = _whole_hours(stamps, span, asked) if stamps.kind is Kind.DATETIME else None
        if hours is not None:
            zone = "the declared zone" if stamps.is_naive else "UTC"
            note += (
                f"; they end {hours} whole hour{'s' if hours > 1 else ''} ahead: a mistaken time zone, as if "
                f"times of a clock that is {hours} h ahead were stored as those of {zone}"
            )
    return exact(_FUTURE, span.future, span.rows, unit="rows", note=note)


def _whole_hours(stamps: Stamps, span: Span, asked: Asked) -> int | None:
    """Return how many whole hours ahead most stamps of the future lie, or the furthest of them."""
    asks: dict[str, Aggregate] = {}
    for hours in range(1, _FURTHEST_ZONES + 1):
        end = asked.now + hours * _HOUR
        asks[str(hours)] = CountWhere(
            And((stamps.where(Relation.GREATER, end - _SLACK), stamps.where(Relation.AT_MOST, end)))
        )
        asks[f"beyond {hours}"] = CountWhere(stamps.where(Relation.GREATER, end))
    found = stamps.table.engine.aggregate(asks)
    for hours in range(1, _FURTHEST_ZONES + 1):
        at_edge = found[str(hours)]
        # Either a batch that was stamped at once, or a stream that ends there.
        if at_edge and (2 * at_edge >= span.future or found[f"beyond {hours}"] == 0):
            return hours
    return None


def _skipped(stamps: Stamps, span: Span, newest: datetime | None) -> Measurement:
    skipped = [] if span.oldest is None else skipped_hours(span.oldest, newest or span.oldest, stamps.zone)
    asks: dict[str, Aggregate] = {
        str(place): CountWhere(
            And(
                (
                    Compare(stamps.column, Relation.AT_LEAST, first),
                    Compare(stamps.column, Relation.LESS, last),
                )
            )
        )
        for place, (first, last) in enumerate(skipped)
    }
    found = stamps.table.engine.aggregate(asks) if asks else {}
    count = sum(int(value) for value in found.values())
    note = None
    if count:
        first = next(first for place, (first, _) in enumerate(skipped) if found[str(place)])
        note = (
            f"clocks in {stamps.zone} were set forward at {first}: such stamps were taken in another zone, "
            "perhaps UTC"
        )
    return exact(_SKIPPED, count, span.rows, unit="rows", note=note)
