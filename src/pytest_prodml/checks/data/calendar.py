"""A time zone and a length -> the periods that rows are counted in, and how many rows each should have."""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import TypeAlias
from zoneinfo import ZoneInfo

from pytest_prodml.checks.data.durations import duration
from pytest_prodml.errors import InputError

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_NAMED = {"hour": _HOUR, "day": _DAY, "week": 7 * _DAY}
_MOST_PERIODS = 2_000

#: What a period is compared with: its weekday, and its time of the day where it is shorter than a day.
Slot: TypeAlias = tuple[int | None, time | None]


def zone_named(name: str) -> tzinfo:
    """Return a time zone by its name in the IANA database.

    Raises
    ------
    InputError
        If there is none.
    """
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (OSError, ValueError, TypeError, KeyError):
        raise InputError(
            f"there is no time zone {name!r}", hint="a name of the IANA database, such as Europe/Vienna"
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """Consecutive periods: the i-th runs from ``edges[i]`` up to before ``edges[i + 1]``, instants in UTC."""

    edges: tuple[datetime, ...]
    length: timedelta
    zone: tzinfo

    def __len__(self) -> int:
        return len(self.edges) - 1

    def slot(self, place: int) -> Slot:
        """Return what a period is compared with."""
        local = self.edges[place].astimezone(self.zone)
        if self.length > _DAY:
            return None, None
        return local.weekday(), local.time() if self.length < _DAY else None

    def is_shown_twice(self, place: int) -> bool:
        """Return whether clocks showed a period shorter than a day twice, when they were set back."""
        if self.length >= _DAY:
            return False
        first, last = self.edges[place], self.edges[place + 1] - timedelta(microseconds=1)
        return any(
            local.replace(fold=1 - local.fold).utcoffset() != local.utcoffset()
            for local in (first.astimezone(self.zone), last.astimezone(self.zone))
        )

    def told(self, place: int) -> str:
        """Name a period by the local time of its beginning."""
        local = self.edges[place].astimezone(self.zone)
        return f"{local:%a %Y-%m-%d}" if self.length >= _DAY else f"{local:%a %Y-%m-%d %H:%M}"


def length_of(period: str | timedelta) -> timedelta:
    """Return the length of a period: ``"hour"``, ``"day"``, ``"week"`` or a duration.

    Raises
    ------
    InputError
        If it is no duration, or neither a part of a day nor a number of whole days.
    """
    length = _NAMED[period] if isinstance(period, str) and period in _NAMED else duration(period, "period")
    if length <= timedelta(0) or (_DAY % length if length < _DAY else length % _DAY):
        raise InputError(
            f"a period must divide a day or be whole days, got {period!r}",
            hint='"hour", "day", "week", or for example "15 min"',
        )
    return length


def periods_between(first: datetime, last: datetime, length: timedelta, zone: tzinfo) -> Periods:
    """Return the periods from that of `first` to that of `last`.

    Days are those of the calendar of `zone`, and have 23 or 25 hours where its clocks change. Weeks begin on
    Monday; periods of several days are counted from a Monday too.

    Raises
    ------
    InputError
        If there are more than 2,000.
    """
    if (last - first) / length > _MOST_PERIODS:
        raise InputError(
            f"the rows span {(last - first) / length:,.0f} periods, more than {_MOST_PERIODS:,}",
            hint="count in longer periods, or look at the recent rows only (since=...)",
        )
    day = first.astimezone(zone).date()
    if length > _DAY:
        epoch_monday = datetime(1970, 1, 5, tzinfo=UTC).date()
        day -= (day - epoch_monday) % length
    edges: list[datetime] = []
    while not edges or edges[-1] <= last:
        midnight = _instant(datetime.combine(day, time.min), zone)
        following = day + max(length, _DAY)
        end = _instant(datetime.combine(following, time.min), zone)
        edges.append(midnight)
        while length < _DAY and edges[-1] + length < end:
            edges.append(edges[-1] + length)
        day = following
    edges.append(_instant(datetime.combine(day, time.min), zone))
    start = bisect.bisect_right(edges, first) - 1
    end_place = bisect.bisect_right(edges, last)
    return Periods(edges=tuple(edges[start : end_place + 1]), length=length, zone=zone)


def _instant(local: datetime, zone: tzinfo) -> datetime:
    return local.replace(tzinfo=zone).astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How many rows a period should have, by slot; `told` says where that comes from."""

    rows: Mapping[Slot, float]
    told: str

    def of(self, periods: Periods, place: int) -> float | None:
        """Return the expected rows of a period; None where nothing is known of its like."""
        weekday, clock = periods.slot(place)
        for slot in ((weekday, clock), (weekday, None), (None, None)):
            if slot in self.rows:
                return self.rows[slot]
        return None


def declared(volume: float | Mapping[str, float]) -> Expected:
    """Read declared volumes: rows a period, or rows by weekday (``"monday"``: 1000; a missing one is 0).

    Raises
    ------
    InputError
        If a number is negative or not finite, all are 0, or a weekday does not exist.
    """
    given = {None: volume} if not isinstance(volume, Mapping) else dict(volume)
    rows: dict[Slot, float] = {}
    if None not in given:
        rows = {(number, None): 0.0 for number in range(7)}
    for name, count in given.items():
        if not isinstance(count, (int, float)) or not 0 <= count < math.inf:
            raise InputError(f"expected rows must be a number from 0 on, got {count!r}", where="volume")
        if name is not None and name not in WEEKDAYS:
            raise InputError(
                f"there is no weekday {name!r}", where="volume", hint=f"one of {', '.join(WEEKDAYS)}"
            )
        rows[None if name is None else WEEKDAYS.index(name), None] = float(count)
    if not any(rows.values()):
        raise InputError("no period is expected to have a row", where="volume")
    return Expected(rows=rows, told="declared")


def profile(periods: Periods, counts: Sequence[int], places: Sequence[int]) -> Expected:
    """Return the median rows of each slot over whole periods of a reference."""
    found: dict[Slot, list[int]] = {}
    for place in places:
        found.setdefault(periods.slot(place), []).append(counts[place])
    return Expected(
        rows={slot: float(statistics.median(known)) for slot, known in found.items()},
        told=f"median of {len(places):,} periods of the reference, by weekday"
        + (" and time of the day" if periods.length < _DAY else ""),
    )


def skipped_hours(first: datetime, last: datetime, zone: tzinfo) -> list[tuple[datetime, datetime]]:
    """Return the local times between two instants that no clock of the zone ever showed, as [from, to).

    Where clocks are set forward an hour is skipped: a stamp inside it was not taken in this zone.
    """
    found = []
    moment = first - _DAY
    while moment < last + _DAY:
        following = moment + _DAY
        before, after = _offset(moment, zone), _offset(following, zone)
        if after > before:
            low, high = moment, following
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) / 2
                low, high = (low, middle) if _offset(middle, zone) > before else (middle, high)
            change = high.replace(microsecond=0)
            found.append(((change + before).replace(tzinfo=None), (change + after).replace(tzinfo=None)))
        moment = following
    return found


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)
