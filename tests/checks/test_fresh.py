"""Rows that stopped, thinned out, lie in the future or in another zone are found; a clean table passes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import polars as pl
import pytest

from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.checks.data.fresh import fresh
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Measurement, Outcome

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday
PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
ENGINES = ("polars", "duckdb")


def hourly(*, until: datetime = NOW - timedelta(minutes=20), hours: int = 24 * 28) -> list[datetime]:
    """Return four stamps an hour, the newest at `until`."""
    return [until - timedelta(minutes=15) * place for place in range(4 * hours)]


def check(stamps: list[Any], **options: Any) -> Evidence:
    engine = options.pop("engine", None)
    stored = options.pop("stored", pl.Datetime("us", "UTC"))
    table = open_table(pl.DataFrame({"at": pl.Series(stamps, dtype=stored)}), name="current", engine=engine)
    asked: dict[str, Any] = {"at_most": "2 h", "now": NOW, "gate_id": "data.fresh"}
    found = fresh(table, "at", **asked | options)
    canonical_json(encode(found))
    return found


def blocked(evidence: Evidence) -> dict[str, Outcome]:
    judged = judge_criteria("data.fresh", evidence, confidence_level=0.95)
    return {
        item.criterion.metric: item.judgement.outcome for item in judged if item.judgement.outcome is not PASS
    }


def measured(evidence: Evidence, metric: str) -> Measurement:
    return next(item for item in evidence.measurements if item.metric == metric)


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_that_keep_coming_are_fresh(engine: str) -> None:
    found = check(hourly(), period="hour", gaps_at_most="0 s", volume=4, volume_within=0.25, engine=engine)
    assert blocked(found) == {}
    age = measured(found, "newest_row_age_seconds")
    assert (age.value, age.lower, age.upper, age.confidence_level) == (1200, 1200, 1200, 1.0)
    assert measured(found, "periods_of_unexpected_volume").n_samples == 24 * 28 - 2
    assert found.details["now"] == "2026-03-02T12:00:00Z"
    assert len(found.details["periods"]) == 200  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_that_stopped_are_not(engine: str) -> None:
    found = check(hourly(until=NOW - timedelta(hours=5)), engine=engine)
    assert blocked(found) == {"newest_row_age_seconds": FAIL}
    assert measured(found, "newest_row_age_seconds").value == 5 * 3600


def test_the_limit_itself_is_fresh() -> None:
    assert blocked(check([NOW - timedelta(hours=2)])) == {}
    assert blocked(check([NOW - timedelta(hours=2, microseconds=1)])) == {"newest_row_age_seconds": FAIL}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_row_in_the_future_makes_no_table_fresh(engine: str) -> None:
    stamps = [*hourly(until=NOW - timedelta(hours=5)), NOW + timedelta(days=400)]
    found = check(stamps, future_at_most=1, engine=engine)
    assert blocked(found) == {"newest_row_age_seconds": FAIL}
    assert measured(found, "newest_row_age_seconds").value == 5 * 3600
    assert blocked(check(stamps)).keys() == {"newest_row_age_seconds", "future_rows"}


def test_only_future_rows_have_no_age() -> None:
    found = check([NOW + timedelta(days=1)], future_at_most=1)
    assert blocked(found) == {"newest_row_age_seconds": OPEN}


def test_clocks_may_differ_by_the_tolerance() -> None:
    ahead = [*hourly(), NOW + timedelta(seconds=30)]
    assert blocked(check(ahead)) == {"future_rows": FAIL}
    assert blocked(check(ahead, clock_tolerance="1 min")) == {}


def test_stamps_of_another_zone_are_named() -> None:
    # What a clock in Vienna shows, stored as if it were UTC: one hour ahead in winter.
    stream = hourly(until=NOW + timedelta(hours=1, minutes=-2))
    note = measured(check(stream), "future_rows").note
    assert note is not None
    assert "1 whole hour ahead: a mistaken time zone" in note
    batch = [*hourly(), *(NOW + timedelta(hours=2) for _ in range(50)), NOW + timedelta(hours=9, minutes=30)]
    assert "2 whole hours ahead" in str(measured(check(batch), "future_rows").note)
    plain = [*hourly(), NOW + timedelta(hours=2, minutes=30)]
    assert "zone" not in str(measured(check(plain), "future_rows").note)


def test_times_without_a_zone_need_a_declared_one() -> None:
    naive = [stamp.replace(tzinfo=None) for stamp in hourly()]
    with pytest.raises(InputError, match="have no time zone"):
        check(naive, stored=pl.Datetime("us"))
    assert blocked(check(naive, stored=pl.Datetime("us"), time_zone="UTC")) == {}
    # 11:40 on a clock in Tokyo was nine hours ago.
    tokyo = check(naive, stored=pl.Datetime("us"), time_zone="Asia/Tokyo")
    assert measured(tokyo, "newest_row_age_seconds").value == 1200 + 9 * 3600


def test_local_times_that_no_clock_showed_are_found() -> None:
    now = datetime(2026, 3, 30, 12, tzinfo=UTC)
    instants = hourly(until=now - timedelta(minutes=20), hours=24 * 7)
    as_utc = [stamp.replace(tzinfo=None) for stamp in instants]
    vienna = [stamp.astimezone(ZoneInfo("Europe/Vienna")).replace(tzinfo=None) for stamp in instants]
    options = {"stored": pl.Datetime("us"), "now": now, "time_zone": "Europe/Vienna", "at_most": "3 h"}
    assert blocked(check(vienna, **options)) == {}
    found = check(as_utc, **options)
    assert blocked(found) == {"rows_at_skipped_local_times": FAIL}
    assert measured(found, "rows_at_skipped_local_times").value == 4


@pytest.mark.parametrize("month", [3, 10])
def test_the_days_on_which_clocks_change_are_no_gap(month: int) -> None:
    now = datetime(2026, month, 31, 12, tzinfo=UTC)
    instants = hourly(until=now - timedelta(minutes=20), hours=24 * 14)
    vienna = [stamp.astimezone(ZoneInfo("Europe/Vienna")).replace(tzinfo=None) for stamp in instants]
    for period, volume in (("hour", 4), ("day", 96)):
        found = check(
            vienna,
            stored=pl.Datetime("us"),
            now=now,
            time_zone="Europe/Vienna",
            at_most="3 h",
            period=period,
            gaps_at_most="0 s",
            volume=volume,
            volume_within=0.1,
        )
        assert blocked(found) == {}, period


@pytest.mark.parametrize("engine", ENGINES)
def test_a_gap_is_found_and_measured(engine: str) -> None:
    silent = [stamp for stamp in hourly() if not 5 <= (NOW - stamp) / timedelta(hours=1) < 9]
    found = check(silent, period="hour", gaps_at_most="2 h", engine=engine)
    assert blocked(found) == {"longest_empty_seconds": FAIL}
    assert measured(found, "longest_empty_seconds").value == 4 * 3600
    assert blocked(check(silent, period="hour", gaps_at_most="4 h")) == {}


def test_a_weekend_without_rows_is_no_gap_where_none_is_expected() -> None:
    weekdays = [stamp for stamp in hourly() if stamp.weekday() < 5]
    volume = dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday"), 96)
    found = check(weekdays, gaps_at_most="0 s", volume=volume)
    assert blocked(found) == {}
    assert blocked(check(weekdays, gaps_at_most="1 d")) == {"longest_empty_seconds": FAIL}
    assert blocked(check(hourly(), volume=volume)) == {"periods_of_unexpected_volume": FAIL}


def test_volume_is_compared_with_the_weekdays_of_a_reference() -> None:
    def stamps(until: datetime, days: int, *, thin: date | None = None) -> list[datetime]:
        found = []
        for day in range(days):
            midnight = until.replace(hour=0) - timedelta(days=day)
            rows = 20 if midnight.weekday() >= 5 or midnight.date() == thin else 200
            found += [midnight + timedelta(minutes=place) for place in range(rows)]
        return found

    reference = open_table(pl.DataFrame({"at": stamps(NOW - timedelta(days=40), 60)}), name="reference")
    options = {"at_most": "24 h", "volume": reference}
    assert blocked(check(stamps(NOW, 20), **options)) == {}
    found = check(stamps(NOW, 20, thin=date(2026, 2, 25)), **options)
    assert blocked(found) == {"periods_of_unexpected_volume": FAIL}
    assert measured(found, "periods_of_unexpected_volume").note == ("Wed 2026-02-25: 20 rows, expected 200")


def test_a_weekday_the_reference_does_not_know_is_open() -> None:
    reference = open_table(
        pl.DataFrame({"at": [NOW - timedelta(days=60, hours=hour) for hour in range(24 * 4)]}),
        name="reference",
    )
    found = check(hourly(), volume=reference, volume_within=0.9)
    assert blocked(found)["periods_of_unexpected_volume"] in {OPEN, FAIL}
    few = check(hourly(), volume=reference, volume_within=0.9, volume_misses_at_most=20)
    assert blocked(few) == {"periods_of_unexpected_volume": OPEN}


def test_periods_before_the_first_row_count_from_since() -> None:
    stamps = hourly(hours=24 * 3)
    assert blocked(check(stamps, gaps_at_most="0 s")) == {}
    found = check(stamps, gaps_at_most="0 s", since=NOW - timedelta(days=10))
    assert blocked(found) == {"longest_empty_seconds": FAIL}


def test_too_short_a_table_leaves_periods_open() -> None:
    found = check(hourly(hours=3), gaps_at_most="0 s", volume=96)
    assert blocked(found) == {"longest_empty_seconds": OPEN, "periods_of_unexpected_volume": OPEN}


def test_days_are_event_times_too() -> None:
    days = [date(2026, 3, 2) - timedelta(days=place) for place in range(10)]
    found = check(days, stored=pl.Date, at_most="36 h", time_zone="UTC", gaps_at_most="0 s", volume=1)
    assert blocked(found) == {}
    assert measured(found, "newest_row_age_seconds").value == 12 * 3600
    ahead = check([*days, date(2026, 3, 3)], stored=pl.Date, at_most="36 h", time_zone="UTC")
    assert blocked(ahead) == {"future_rows": FAIL}
    assert measured(ahead, "newest_row_age_seconds").value == 12 * 3600
    with pytest.raises(InputError, match="holds days"):
        check(days, stored=pl.Date, time_zone="UTC", period="hour")


def test_rows_without_a_time_count() -> None:
    assert blocked(check([*hourly(), None])) == {"rows_without_time": FAIL}
    assert blocked(check([*hourly(), None], missing_at_most=1)) == {}


@pytest.mark.parametrize(
    ("stamps", "options", "told"),
    [
        ([], {}, "the table has no rows"),
        ([None], {}, "no row has a time"),
        ([NOW], {"now": NOW.replace(tzinfo=None)}, "now must be a time with a time zone"),
        ([NOW], {"now": "2026-03-02"}, "now must be a time with a time zone"),
        ([NOW], {"at_most": "soon"}, "at_most must be a duration"),
        ([NOW], {"at_most": timedelta(-1)}, "at_most must be a duration"),
        ([NOW], {"period": "7 h"}, "must divide a day"),
        ([NOW], {"time_zone": "Vienna"}, "there is no time zone"),
        ([NOW], {"time_zone": "../UTC"}, "there is no time zone"),
        ([NOW], {"volume": {"mon": 3}}, "there is no weekday"),
        ([NOW], {"volume": {"monday": float("nan")}}, "must be a number from 0 on"),
        ([NOW], {"volume": 0}, "no period is expected"),
        ([NOW], {"volume": {"monday": 3}, "period": "week"}, "have no weekday"),
        ([NOW], {"volume_within": 1.0}, "below 1"),
        ([NOW], {"gaps_at_most": "2 h"}, "can not be seen in periods"),
        ([NOW], {"future_at_most": float("nan")}, "future_at_most"),
        ([datetime(1970, 1, 1, tzinfo=UTC), NOW], {"volume": 3}, "more than 2,000"),
    ],
)
def test_what_can_not_be_asked_is_said(stamps: list[Any], options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        check(stamps, **options)


@pytest.mark.parametrize("values", [[1.5, 2.0], ["2026-03-01T00:00:00Z", "now"], [1772000000, 3]])
def test_other_columns_are_no_times(values: list[Any]) -> None:
    with pytest.raises(InputError, match="which are no times"):
        check(values, stored=None)
    with pytest.raises(InputError, match="there is no column"):
        fresh(
            open_table(pl.DataFrame({"x": values}), name="current"),
            "at",
            at_most="2 h",
            now=NOW,
            gate_id="data.fresh",
        )


def test_a_file_and_a_pandas_frame_say_the_same(tmp_path: Path) -> None:
    frame = pd.DataFrame({"at": pd.to_datetime(hourly()).tz_convert("Asia/Tokyo")})
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"at": hourly()}).write_parquet(path)
    found = [
        fresh(
            open_table(source, name="current"),
            "at",
            at_most="2 h",
            now=NOW,
            volume=96,
            gaps_at_most="0 s",
            gate_id="data.fresh",
        )
        for source in (frame, path)
    ]
    assert found[0].measurements == found[1].measurements
    assert [len(item.materials) for item in found] == [1, 1]
