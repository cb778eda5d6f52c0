"""Rows by period -> what is missing: gaps, and periods with another volume than expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.checks.counts import exact
from pytest_prodml.checks.data.calendar import (
    Expected,
    Periods,
    declared,
    length_of,
    periods_between,
    profile,
)
from pytest_prodml.checks.data.durations import duration, told
from pytest_prodml.checks.data.stamps import Span, Stamps, open_stamps, span_of
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue, Measurement

GAP = "longest_empty_seconds"
VOLUME = "periods_of_unexpected_volume"

_MOST_SHOWN = 200
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The question, checked."""

    at_most: timedelta
    now: datetime
    length: timedelta
    gaps_at_most: timedelta | None
    since: datetime | None
    tolerance: timedelta

    @classmethod
    def of(
        cls,
        at_most: timedelta | str,
        now: datetime,
        period: timedelta | str,
        gaps_at_most: timedelta | str | None,
        since: datetime | None,
        clock_tolerance: timedelta | str,
        volume_within: float,
    ) -> Asked:
        """Read and check what was asked.

        Raises
        ------
        InputError
            If a time has no zone, a duration or share can not be read, or gaps are shorter than a period.
        """
        for name, moment in (("now", now), ("since", since)):
            if moment is not None and (not isinstance(moment, datetime) or moment.tzinfo is None):
                raise InputError(
                    f"{name} must be a time with a time zone, got {moment!r}",
                    hint="datetime(..., tzinfo=timezone.utc)",
                )
        if not 0 <= volume_within < 1:
            raise InputError(
                f"volume_within must be a share of the expected rows below 1, got {volume_within!r}",
                hint="0.5 accepts half to one and a half of them; 1 would accept a period without a row",
            )
        length = length_of(period)
        gaps = None if gaps_at_most is None else duration(gaps_at_most, "gaps_at_most")
        if gaps is not None and timedelta(0) < gaps < length:
            raise InputError(
                f"gaps of {told(gaps)} can not be seen in periods of {told(length)}",
                hint='choose a shorter period, or "0 s" for rows in every period',
            )
        return cls(
            at_most=duration(at_most, "at_most"),
            now=now.astimezone(UTC),
            length=length,
            gaps_at_most=gaps,
            since=None if since is None else since.astimezone(UTC),
            tolerance=duration(clock_tolerance, "clock_tolerance"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Rows by period; `judged` are the whole periods that ended long enough ago."""

    periods: Periods
    rows: tuple[int, ...]
    judged: tuple[int, ...]


def count_periods(stamps: Stamps, span: Span, asked: Asked) -> Counted | None:
    """Count the rows of each period; None where no whole period is old enough to be judged."""
    first = span.oldest if asked.since is None else asked.since
    last = asked.now - asked.at_most
    if first is None or first >= last:
        return None
    periods = periods_between(first, last, asked.length, stamps.zone)
    # The first period is whole only where it begins when rows do; the one of `last` may still get rows.
    start = 0 if periods.edges[0] >= first else 1
    end = len(periods) if periods.edges[-1] <= last else len(periods) - 1
    if start >= end:
        return None
    before = stamps.counts_before(periods.edges)
    rows = tuple(max(after - earlier, 0) for earlier, after in pairwise(before))
    judged = [place for place in range(start, end) if not (stamps.is_naive and periods.is_shown_twice(place))]
    return Counted(periods=periods, rows=rows, judged=tuple(judged))


def expected_volume(
    volume: float | Mapping[str, float] | Table,
    column: str,
    asked: Asked,
    time_zone: str | None,
    stamps: Stamps,
) -> Expected:
    """Return what was declared, or the profile of a reference table.

    Raises
    ------
    InputError
        If it can not be read, or the reference holds other times, no whole period, or rows in the future.
    """
    if not isinstance(volume, Table):
        if isinstance(volume, Mapping) and asked.length > timedelta(days=1):
            raise InputError(f"periods of {told(asked.length)} have no weekday", where="volume")
        return declared(volume)
    reference = open_stamps(volume, column, time_zone)
    if reference.kind is not stamps.kind:
        raise InputError(
            f"the column {column!r} holds {reference.kind.value} cells here and {stamps.kind.value} cells in "
            f"the {stamps.table.where}",
            where=volume.where,
        )
    span = span_of(reference, asked.now)
    if span.oldest is None or span.greatest is None or span.future:
        raise InputError("rows of the reference lie in the future", where=volume.where)
    periods = periods_between(span.oldest, span.greatest, asked.length, reference.zone)
    # Its first and last period may be cut by how the reference was made.
    places = range(1, len(periods) - 1)
    if not places:
        raise InputError(
            f"the reference holds no whole period of {told(asked.length)} between its first and last row",
            where=volume.where,
        )
    before = reference.counts_before(periods.edges)
    counts = [after - earlier for earlier, after in pairwise(before)]
    return profile(periods, counts, places)


def gap(counted: Counted | None, expected: Expected | None, span: Span) -> Measurement:
    """Measure the longest run of empty periods, without those that no row is expected in."""
    if counted is None:
        return _not_judged(GAP, "s", span.rows)
    longest, run, ends = timedelta(0), timedelta(0), None
    for place in counted.judged:
        wanted = None if expected is None else expected.of(counted.periods, place)
        if counted.rows[place]:
            run = timedelta(0)
        elif wanted != 0:
            run += counted.periods.edges[place + 1] - counted.periods.edges[place]
            if run > longest:
                longest, ends = run, place
    note = (
        None if ends is None else f"no row for {told(longest)}, up to the end of {counted.periods.told(ends)}"
    )
    return exact(GAP, longest.total_seconds(), len(counted.judged), unit="s", method="exact", note=note)


def volume_misses(
    counted: Counted | None, expected: Expected, within: float, misses_at_most: int
) -> Measurement:
    """Count periods with too many or too few rows; those nothing is known of could be either."""
    if counted is None:
        return _not_judged(VOLUME, "periods", 0)
    off, unknown = [], 0
    for place in counted.judged:
        wanted = expected.of(counted.periods, place)
        if wanted is None:
            unknown += 1
        elif abs(counted.rows[place] - wanted) > within * wanted:
            off.append((place, wanted))
    named = [
        f"{counted.periods.told(place)}: {counted.rows[place]:,} rows, expected {wanted:,.10g}"
        for place, wanted in off[:_MOST_NAMED]
    ]
    if len(off) > _MOST_NAMED:
        named.append(f"and {len(off) - _MOST_NAMED:,} more")
    if unknown and len(off) <= misses_at_most:
        named.append(f"of {unknown:,} periods the reference has none of the same kind")
    found = exact(
        VOLUME, len(off), len(counted.judged), unit="periods", note="; ".join(named) or expected.told
    )
    # What is not known could lie outside too: then there is no upper bound.
    return replace(found, upper=None) if unknown else found


def _not_judged(metric: str, unit: str, rows: int) -> Measurement:
    return replace(
        exact(metric, 0, rows, unit=unit, note="no whole period ended long enough ago to be judged"),
        value=None,
        lower=None,
        upper=None,
    )


def series(counted: Counted | None, expected: Expected | None) -> dict[str, JsonValue]:
    """Return the last periods with their rows, for a chart."""
    if counted is None:
        return {}
    shown = range(len(counted.periods))[-_MOST_SHOWN:]
    rows: list[JsonValue] = []
    for place in shown:
        wanted = None if expected is None else expected.of(counted.periods, place)
        row: dict[str, JsonValue] = {
            "period": counted.periods.told(place),
            "rows": counted.rows[place],
            "judged": place in counted.judged,
        }
        rows.append(row if wanted is None else row | {"expected": wanted})
    series: dict[str, JsonValue] = {"periods": rows, "periods_counted": len(counted.periods)}
    return series if expected is None else series | {"expected_volume": expected.told}
