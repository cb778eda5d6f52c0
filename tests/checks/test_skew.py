"""Training-serving skew: each fault is found and named, its clean twin passes, and states are not confused."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import polars as pl
import pytest

from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.checks.skew import (
    Absolute,
    Exact,
    How,
    Relative,
    Rounded,
    Rule,
    SetOf,
    Text,
    Ulp,
    no_training_serving_skew,
)
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Measurement, Outcome

CREDIT = Path(__file__).parents[2] / "example_project" / "data" / "credit_default.csv.gz"
PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE


def skew(offline: Any, online: Any, *, engine: str | None = None, **options: Any) -> Evidence:
    tables = [
        open_table(source, name=name, engine=engine)
        for source, name in ((offline, "offline"), (online, "online"))
    ]
    found = no_training_serving_skew(tables[0], tables[1], gate_id="data.skew", **options)
    canonical_json(encode(found))
    return found


def blocked(evidence: Evidence) -> dict[tuple[str, str | None], Outcome]:
    return {
        (item.criterion.metric, item.criterion.group): item.judgement.outcome
        for item in judge_criteria("data.skew", evidence, confidence_level=0.95)
        if item.judgement.outcome is not PASS
    }


def measured(evidence: Evidence, metric: str, group: str | None = None) -> Measurement:
    (found,) = [item for item in evidence.measurements if (item.metric, item.group) == (metric, group)]
    return found


def note(evidence: Evidence, feature: str) -> str:
    return measured(evidence, "mismatch_share", feature).note or ""


def rows(evidence: Evidence) -> list[dict[str, Any]]:
    found: Any = evidence.details.get("mismatching_rows", [])
    return list(found)


@cache
def credit() -> pd.DataFrame:
    if not CREDIT.exists():
        pytest.skip("the example project is not here")
    frame = pd.read_csv(CREDIT).head(3000)
    return frame.assign(
        share=frame["bill_sep"] / frame["credit_limit"],
        seen=pd.Timestamp("2005-09-01", tz="UTC") + pd.to_timedelta(frame["client_id"], unit="min"),
    )


def one_in(size: int, change: Callable[[pd.Series], Any]) -> Callable[[pd.Series], Any]:
    """Change one cell of `size` only."""
    return lambda cells: cells.where(np.arange(len(cells)) % size != 0, change(cells))


def test_rows_in_another_order_are_the_same() -> None:
    found = skew(credit(), credit().sample(frac=1, random_state=1), key="client_id")
    assert blocked(found) == {}
    assert {item.value for item in found.measurements} == {0.0}
    assert measured(found, "mismatch_share", "age").upper == pytest.approx(1 - 0.05 ** (1 / 3000))
    assert "mismatching_rows" not in found.details
    assert "mismatch_share" in {item.criterion.metric for item in judged(found)}


def judged(evidence: Evidence) -> list[Any]:
    return list(judge_criteria("data.skew", evidence, confidence_level=0.95))


# What is wrong online, in which column, and how the evidence names it.
FAULTS: dict[str, tuple[str, Callable[[pd.Series], Any], str]] = {
    "cents for dollars": ("bill_sep", one_in(20, lambda cells: cells * 100), "100 times offline"),
    "thousands": ("share", lambda cells: cells / 1000, "1/1000 of offline"),
    "hours for minutes": ("share", lambda cells: cells / 60, "1/60 of offline"),
    "sign": ("bill_sep", lambda cells: -cells, "opposite sign"),
    "kelvin": ("share", lambda cells: cells - 273.15, "273.15 less (kelvin"),
    "older": ("age", one_in(10, lambda cells: cells + 1), "online is 1 more"),
    "another zone": ("seen", lambda cells: cells + pd.Timedelta(hours=8), "8 hours later (a time zone)"),
    "a day early": ("seen", lambda cells: cells - pd.Timedelta(days=1), "1 days earlier"),
    "upper case": ("sex", one_in(9, lambda cells: cells.str.upper()), "letter case"),
    "white space": ("education", one_in(9, lambda cells: cells + " "), "but for white space"),
    "single precision": (
        "share",
        lambda cells: cells.astype("float32").astype("float64"),
        "equal in 32 bits",
    ),
    "whole numbers": ("share", np.trunc, "whole number"),
    "NaN": ("share", one_in(15, lambda cells: cells * np.nan), "a value offline, NaN online"),
    "null": ("sex", one_in(15, lambda cells: cells.mask(cells.notna())), "a value offline, null online"),
    "no text": ("sex", one_in(15, lambda _: ""), "a value offline, empty text online"),
    "other people's values": ("share", lambda cells: cells.to_numpy()[::-1], ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_named(fault: str) -> None:
    column, change, told = FAULTS[fault]
    found = skew(credit(), credit().assign(**{column: change(credit()[column])}), key="client_id")
    assert blocked(found) == {("mismatch_share", column): FAIL}
    assert told in note(found, column)
    shown = rows(found)
    assert 0 < len(shown) <= 50
    assert {row["feature"] for row in shown} == {column}
    assert shown[0]["key client_id"] == min(row["key client_id"] for row in shown)


def test_a_share_of_differing_entities_may_be_tolerated() -> None:
    online = credit().assign(age=one_in(200, lambda cells: cells + 1)(credit()["age"]))
    assert blocked(skew(credit(), online, key="client_id", at_most=0.02)) == {}
    assert blocked(skew(credit(), online, key="client_id", at_most=0.001)) == {
        ("mismatch_share", "age"): FAIL
    }
    undecided = skew(credit(), online, key="client_id", at_most={"*": 0.01, "age": 0.006})
    assert blocked(undecided) == {("mismatch_share", "age"): OPEN}
    assert (measured(undecided, "mismatch_share", "age").n_required or 0) > 3000


def test_a_few_entities_prove_nothing() -> None:
    few = credit().head(50)
    found = skew(few, few, key="client_id", columns=["age"])
    assert blocked(found) == {
        ("mismatch_share", "age"): OPEN,
        ("absent_key_share", "online"): OPEN,
        ("absent_key_share", "offline"): OPEN,
    }


def test_absent_keys_are_counted_on_either_side() -> None:
    online = credit()[credit().index % 10 != 0]
    found = skew(credit(), online, key="client_id")
    assert blocked(found) == {("absent_key_share", "online"): FAIL}
    assert measured(found, "absent_key_share", "online").value == 0.1
    assert measured(found, "absent_key_share", "offline").value == 0.0
    assert measured(found, "mismatch_share", "age").n_samples == 2700
    assert found.details["absent_keys"][0] == {"absent from": "online", "key client_id": 1}  # type: ignore[index]
    swapped = skew(online, credit(), key="client_id")
    assert blocked(swapped) == {("absent_key_share", "offline"): FAIL}
    assert blocked(skew(credit(), online, key="client_id", missing_keys_at_most={"offline": 0.01})) == {}


def table(first: Any, second: Any, **columns: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return both sides with 400 entities whose feature `x` is the given cells, repeated."""
    n = 400
    frames = []
    for cells in (first, second):
        series = cells if isinstance(cells, pl.Series) else pl.Series(cells, strict=False)
        repeated = pl.concat([series] * math.ceil(n / len(series))).head(n)
        frames.append(pl.DataFrame({"id": range(n), "x": repeated, **columns}))
    return frames[0], frames[1]


def differing(first: Any, second: Any, rule: Rule | How | None = None, **options: Any) -> float:
    offline, online = table(first, second)
    found = skew(offline, online, key="id", rules={} if rule is None else {"x": rule}, **options)
    value = measured(found, "mismatch_share", "x").value
    assert value is not None
    assert measured(found, "retyped_features").value == 0
    return value


NAN, INF = math.nan, math.inf
F32, F64, I64 = pl.Float32, pl.Float64, pl.Int64


@pytest.mark.parametrize(
    ("first", "second", "rule", "share"),
    [
        # States of missing cells: each is the same as itself, and as another one only by rule.
        ([1.0, None], [1.0, None], None, 0),
        ([1.0, NAN], [1.0, NAN], None, 0),
        ([1.0, None], [1.0, NAN], None, 0.5),
        ([1.0, None], [1.0, NAN], Rule(how=Exact(), same_missing=frozenset({"null", "NaN"})), 0),
        ([1.0, None], [1.0, 0.0], None, 0.5),
        (["a", ""], ["a", None], None, 0.5),
        (["a", ""], ["a", ""], None, 0),
        (["a", ""], ["a", None], Rule(how=Exact(), same_missing=frozenset({"null", "empty text"})), 0),
        (["a", ""], ["a", " "], None, 0.5),
        ([1, -1], [1, None], Rule(how=Exact(), sentinels=(-1,)), 0.5),
        (
            [1, -1],
            [1, None],
            Rule(how=Exact(), sentinels=(-1,), same_missing=frozenset({"null", "sentinel"})),
            0,
        ),
        ([1, -1], [1, -1], Rule(how=Exact(), sentinels=(-1,)), 0),
        (
            [2**53 + 1, 2**53],
            [None, None],
            Rule(how=Exact(), sentinels=(2**53,), same_missing=frozenset({"null", "sentinel"})),
            0.5,
        ),
        ([1, -1], [1, -9], Rule(how=Exact(), sentinels=(-1, -9)), 0.5),
        ([1, -1], [1, -9], Rule(how=Exact(), sentinels=(-1, -9), same_missing=frozenset({"sentinel"})), 0),
        ([1, -1], [1, None], Rule(how=Exact(), same_missing=frozenset({"null", "sentinel"})), 0.5),
        ([1.0, 2.0], [None, None], None, 1),
        (pl.Series([None, None]), [None, 1.0], None, 0.5),
        # Numbers.
        ([0.0], [-0.0], None, 0),
        ([0.0], [-0.0], Exact(), 0),
        ([0.0], [-0.0], Ulp(0), 0),
        ([INF, -INF], [INF, -INF], None, 0),
        ([INF, 1e308], [-INF, INF], Relative(0.5), 1),
        ([1e308], [-1e308], Relative(0.99), 1),
        ([1.0], [1.0 + 1e-12], None, 0),
        ([1.0], [1.0 + 1e-12], Exact(), 1),
        ([1.0, 100.0], [1.09, 110.0], Absolute(0.1), 0.5),
        ([1.0, 100.0], [1.09, 110.0], Relative(0.09), 0.5),
        ([1.0, 100.0], [1.09, 109.0], Relative(0.09), 0),
        ([0.0], [1e-7], Relative(1e-3), 1),
        ([0.0], [1e-7], Relative(1e-3, atol=1e-6), 0),
        ([1.0], [float(np.nextafter(1, 2))], Ulp(1), 0),
        ([1.0], [1 + 3 * 2**-52], Ulp(2), 1),
        ([1.0], [1 + 3 * 2**-52], Ulp(3), 0),
        ([5e-324], [-5e-324], Ulp(2), 0),
        ([5e-324], [-5e-324], Ulp(1), 1),
        ([1.7e308], [INF], Ulp(2**60), 1),
        ([0.1], [float(np.float32(0.1))], Ulp(1), 1),
        ([0.1], [float(np.float32(0.1))], Ulp(0, bits=32), 0),
        ([0.1], pl.Series([0.1], dtype=F32), Ulp(0), 0),
        ([0.1], pl.Series([0.1001], dtype=F32), Ulp(2), 1),
        ([1.2341, 1.2349], [1.2344, 1.2356], Rounded(3), 0.5),
        ([2**62], [2**62 + 1], None, 1),
        ([-(2**63)], [2**63 - 1], Absolute(1), 1),
        ([2**63 - 1], [2**63 - 2], Absolute(1), 0),
        # Whole numbers beside floats, only where it is declared, and never beyond what floats tell apart.
        ([1, 2], [1.0, 2.5], Rule(how=Exact(), widening=True), 0.5),
        ([2**53, 2**53 + 1], [2.0**53, 2.0**53], Rule(how=Exact(), widening=True), 0.5),
        ([2**53, 2**53 + 2], [2.0**53, 2.0**53 + 2], Rule(how=Relative(1e-9), widening=True), 0.5),
        ([2**24, 2**24 + 2], pl.Series([2**24, 2**24 + 2], dtype=F32), Rule(how=Exact(), widening=True), 0.5),
        (pl.Series([7], dtype=pl.Int32), [7], Rule(how=Exact(), widening=True), 0),
        (pl.Series([True, False]), [1, 1], Rule(how=Exact(), widening=True), 0.5),
        (pl.Series([1], dtype=pl.UInt64), pl.Series([-1], dtype=I64), Rule(how=Exact(), widening=True), 1),
        # Texts and lists.
        (["Ä b", "c"], ["a\u0308  B ", "d"], Text(), 0.5),
        (["Ä b"], ["ä b"], Text(ignore_case=False), 1),
        ([["a", "b"], []], [["b", "a", "a"], []], SetOf(), 0),
        ([["a", "b"], []], [["b"], None], SetOf(), 1),
        ([["a", "b"]], [["b", "a"]], Exact(), 1),
        (["a, b", "c"], ["b,a,a", "d"], SetOf(","), 0.5),
        (pl.Series(["a", "b"], dtype=pl.Categorical), ["a", "c"], None, 0.5),
        ([b"a"], [b"b"], None, 1),
        (pl.Series([Decimal("1.10")]), pl.Series([Decimal("1.11")]), None, 1),
        (pl.Series([Decimal("1.10")]), pl.Series([Decimal("1.11")]), Absolute(0.02), 0),
        (pl.Series([Decimal("1.10")]), pl.Series([Decimal("1.1000")]), Rule(how=Exact(), widening=True), 0),
        (
            pl.Series([dt.timedelta(hours=1)]),
            pl.Series([dt.timedelta(hours=1)]).dt.cast_time_unit("ns"),
            None,
            0,
        ),
        (pl.Series([dt.timedelta(hours=1)]), pl.Series([dt.timedelta(seconds=3601)]), Absolute(0.5), 1),
        (pl.Series([dt.time(1, 2)]), pl.Series([dt.time(1, 2, 1)]), None, 1),
        (pl.Series([dt.date(2026, 1, 1)]), pl.Series([dt.date(2026, 1, 2)]), Absolute(86_400), 0),
    ],
)
def test_when_two_cells_are_the_same(first: Any, second: Any, rule: Rule | How | None, share: float) -> None:
    assert differing(first, second, rule) == share
    assert differing(second, first, rule) == share


def test_times_are_compared_as_instants() -> None:
    noon = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    utc = pl.Series([noon], dtype=pl.Datetime("us", "UTC"))
    tokyo = utc.dt.convert_time_zone("Asia/Tokyo").dt.cast_time_unit("ns")
    assert differing(utc, tokyo) == 0
    assert differing(utc, tokyo + dt.timedelta(seconds=2)) == 1
    assert differing(utc, tokyo + dt.timedelta(seconds=2), Absolute(2.0)) == 0
    assert differing(utc.dt.cast_time_unit("ms"), tokyo) == 0
    assert differing(utc.dt.date(), utc.dt.date()) == 0
    with pytest.raises(InputError, match="zone on one side only: UTC offline, without zone online"):
        differing(utc, utc.dt.replace_time_zone(None))


def test_an_absent_key_may_mean_the_same_as_a_missing_cell() -> None:
    offline = pl.DataFrame({"id": range(400), "x": [None if n % 2 else float(n) for n in range(400)]})
    online = offline.filter(pl.col("x").is_not_null())
    rule = Rule(how=Exact(), same_missing=frozenset({"null", "absent key"}))
    joined = skew(offline, online, key="id", rules={"x": rule}, missing_keys_at_most={})
    assert measured(joined, "mismatch_share", "x").n_samples == 400
    assert blocked(joined) == {}
    gone = skew(
        offline, online.filter(pl.col("id") > 200), key="id", rules={"x": rule}, missing_keys_at_most={}
    )
    assert measured(gone, "mismatch_share", "x").value == 101 / 400
    assert "a value offline, absent key online" in note(gone, "x")
    assert rows(gone)[0] == {"key id": 0, "feature": "x", "offline": 0.0, "online": "absent key"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1, 2], [1.0, 2.0]),
        (["1", "2"], [1, 2]),
        (pl.Series([1], dtype=pl.Int32), [1]),
        (pl.Series([0.5], dtype=F32), [0.5]),
        ([True], [1]),
        (pl.Series([dt.date(2026, 1, 1)]), pl.Series([dt.date(2026, 1, 1)]).cast(pl.Datetime("us"))),
    ],
)
def test_a_type_that_changed_is_no_silent_cast(first: Any, second: Any) -> None:
    offline, online = table(first, second, y=1)
    found = skew(offline, online, key="id")
    assert blocked(found) == {("retyped_features", None): FAIL}
    assert measured(found, "retyped_features").note == "x"
    assert "offline" in str(found.details["retyped_features"])


def test_widening_may_be_allowed_for_all_features_and_values_still_count() -> None:
    offline, online = table([1, 2**53 + 1], [1.0, 2.0**53 + 2])
    found = skew(offline, online, key="id", widening=True)
    assert blocked(found) == {("mismatch_share", "x"): FAIL}
    assert "a float does not tell" in note(found, "x")
    text, number = table(["1"], [1])
    assert blocked(skew(text, number, key="id", widening=True)) == {("retyped_features", None): FAIL}


def test_features_that_are_not_served_and_the_label() -> None:
    offline, online = table([1], [1])
    offline = offline.with_columns(label=pl.lit(1), income=pl.lit(2))
    found = skew(offline, online, key="id")
    assert blocked(found) == {("missing_features", None): FAIL}
    assert measured(found, "missing_features").value == 2
    tables = (open_table(offline, name="offline", target="label"), open_table(online, name="online"))
    known = no_training_serving_skew(*tables, key="id", ignore=["income"], gate_id="data.skew")
    assert blocked(known) == {}
    new = skew(online, offline, key="id")
    assert blocked(new) == {}
    assert new.details["new_columns"] == ["label", "income"]


def test_entities_with_several_rows_are_counted_once() -> None:
    days = [dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in range(1, 5)]
    offline = pl.DataFrame(
        {"id": [n for n in range(500) for _ in days], "at": days * 500, "x": range(2000)},
    )
    online = offline.with_columns(x=pl.when(pl.col("id") < 20).then(-1).otherwise("x"))
    found = skew(offline, online.sample(fraction=1, shuffle=True, seed=0), key="id", time="at")
    share = measured(found, "mismatch_share", "x")
    assert (share.value, share.n_samples) == (20 / 500, 500)
    assert rows(found)[1]["key at"].startswith("2026-01-02 00:00")
    dropped = skew(
        offline, offline.filter((pl.col("id") > 9) | (pl.col("at") > days[0])), key="id", time="at"
    )
    assert measured(dropped, "absent_key_share", "online").value == 10 / 500
    assert measured(dropped, "mismatch_share", "x").n_samples == 500
    later = offline.with_columns(at=pl.col("at") + dt.timedelta(seconds=1))
    with pytest.raises(InputError, match="no key is on both sides"):
        skew(offline, later, key="id", time="at")


def test_decisions_that_flip_at_the_threshold() -> None:
    rng = np.random.default_rng(0)
    offline = pl.DataFrame({"id": range(2000), "score": rng.uniform(size=2000)})
    near = offline.with_columns(score=pl.col("score").cast(F32).cast(F64))
    found = skew(offline, near, key="id", score="score", threshold=0.5, rules={"score": Relative(1e-6)})
    assert blocked(found) == {}
    assert measured(found, "score_difference").value == pytest.approx(3e-8, abs=3e-8)
    moved = offline.with_columns(score=pl.col("score") + 0.05)
    flipped = skew(offline.with_columns(x=1), moved.with_columns(x=1), key="id", score="score", threshold=0.5)
    assert blocked(flipped) == {("decision_flip_share", None): FAIL}
    scores = offline["score"].to_numpy()
    assert measured(flipped, "decision_flip_share").value == np.mean((scores < 0.5) & (scores + 0.05 >= 0.5))
    gone = moved.with_columns(x=1, score=pl.when(pl.col("id") > 0).then("score"))
    with pytest.raises(InputError, match="1 rows have no finite score"):
        skew(offline.with_columns(x=1), gone, key="id", score="score", threshold=0.5)


def test_values_may_be_left_out() -> None:
    online = credit().assign(age=credit()["age"] + 1, sex="Secret")
    found = skew(credit(), online, key="client_id", redact=True)
    assert rows(found)
    assert all(set(row) == {"key client_id", "feature"} for row in rows(found))
    assert "Secret" not in canonical_json(encode(found)).decode()
    assert "worst_difference" not in {item.metric for item in found.measurements}


def test_many_differing_rows_make_a_bounded_evidence_about_every_feature() -> None:
    online = credit().assign(
        **{name: credit()[name] + 1 for name in credit().select_dtypes("number") if name != "client_id"}
    )
    found = skew(credit(), online, key="client_id")
    shown = rows(found)
    assert len(shown) == 50
    assert len({row["feature"] for row in shown}) == 22
    assert len(canonical_json(encode(found))) < 60_000


def test_of_very_many_differing_rows_the_first_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_prodml.checks.skew.comparison._MOST_CELLS", 0)
    monkeypatch.setattr("pytest_prodml.checks.skew.comparison._LEAST_EXPLAINED", 100)
    online = credit().assign(bill_sep=credit()["bill_sep"] * 100).sample(frac=1, random_state=0)
    found = skew(credit(), online, key="client_id")
    share = measured(found, "mismatch_share", "bill_sep")
    assert share.value == np.mean(credit()["bill_sep"] != 0)
    assert "100 of 100 rows" in note(found, "bill_sep")
    assert rows(found)[0]["key client_id"] == 1


@pytest.mark.parametrize(
    ("offline", "online", "options", "told"),
    [
        ({"id": [1, 1], "x": [1, 2]}, {"id": [1], "x": [1]}, {}, "1 keys .id. name more than one row: 1"),
        ({"id": [1], "x": [1]}, {"id": [2, 2, 1], "x": [1, 2, 3]}, {}, "online.*name more than one row: 2"),
        ({"id": [1, None], "x": [1, 2]}, {"id": [1], "x": [1]}, {}, "1 rows have no key"),
        ({"id": [1], "x": [1]}, {"id": ["1"], "x": [1]}, {}, "Int64 offline and String online"),
        (
            {"id": ["1"], "x": [1]},
            {"id": ["01"], "x": [1]},
            {},
            "no key is on both sides: 1 offline, 01 online",
        ),
        ({"id": [1.0], "x": [1]}, {"id": [1.0], "x": [1]}, {}, "names no row for sure"),
        ({"id": [1], "x": [1]}, {"id": [1], "x": [1]}, {"key": "ids"}, "no column 'ids'"),
        ({"id": [1], "x": [1]}, {"id": [1], "x": [1]}, {"key": []}, "name each column of the key once"),
        ({"id": [1], "x": [1]}, {"id": [1], "x": [1]}, {"rules": {"y": Exact()}}, "no column 'y'"),
        ({"id": [1], "x": ["a"]}, {"id": [1], "x": ["a"]}, {"rules": {"x": Relative(0.1)}}, "does not fit"),
        ({"id": [1], "x": [1]}, {"id": [1], "x": [1]}, {"rules": {"x": Ulp()}}, "does not fit"),
        ({"id": [1], "x": [1]}, {"id": [1], "x": [1]}, {"rules": {"x": Absolute(-1)}}, "from 0 on"),
        (
            {"id": [1], "x": [1.0]},
            {"id": [1], "x": [1.0]},
            {"rules": {"x": Relative(1.0)}},
            "everything agrees",
        ),
        (
            {"id": [1], "x": [1], "y": [1]},
            {"id": [1], "x": [1], "y": [1]},
            {"at_most": 2},
            "share between 0 and 1",
        ),
        (
            {"id": [1], "x": [1], "y": [1]},
            {"id": [1], "x": [1], "y": [1]},
            {"at_most": {"y": 0.1}},
            "no limit for the feature 'x'",
        ),
        (
            {"id": [1], "x": [1]},
            {"id": [1], "x": [1]},
            {"at_most": {"*": 0.1, "y": 0.1}},
            "no feature 'y' to limit",
        ),
        ({"id": [1], "x": [1]}, {"id": [1], "x": [1]}, {"rules": {"y*": Exact()}}, "no column begins like"),
        (
            {"id": [1], "x": [1.0]},
            {"id": [1], "x": [1.0]},
            {"rules": {"x": Rounded(cast("int", 0.5))}},
            "whole numbers of digits",
        ),
        ({"id": [1], "x": [1]}, {"id": [1], "x": [1]}, {"score": "x"}, "both a score and a threshold"),
        ({"id": [1], "x": [1]}, {"id": [1], "x": [1]}, {"ignore": ["x"]}, "no column is left"),
        (
            {"id": [1], "x": [1]},
            {"id": [1], "x": [1]},
            {"rules": {"x": Rule(how=Exact(), sentinels=("-",))}},
            "sentinel '-' of 'x' can not stand",
        ),
        (
            {"id": [1], "x": [1]},
            {"id": [1], "x": [1]},
            {"rules": {"x": Rule(how=Exact(), same_missing=frozenset({"none"}))}},
            "no state of a missing cell",
        ),
    ],
)
def test_what_can_not_be_compared_is_an_error(
    offline: dict[str, Any], online: dict[str, Any], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        skew(pl.DataFrame(offline), pl.DataFrame(online), **{"key": "id", **options})


def test_an_empty_side_and_cells_of_several_kinds_are_errors() -> None:
    frame = pl.DataFrame({"id": [1], "x": [1]})
    with pytest.raises(InputError, match="online data: the table has no rows"):
        skew(frame, frame.clear(), key="id")
    mixed = pd.DataFrame({"id": [1, 2], "x": [1, "a"]})
    with pytest.raises(InputError, match=r"several kinds \(int, str\)"):
        skew(mixed, mixed, key="id")


def test_files_frames_and_engines_agree(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    online = credit().assign(bill_sep=one_in(20, lambda cells: cells * 100)(credit()["bill_sep"]))
    online = online.assign(share=one_in(30, lambda cells: cells * np.nan)(online["share"]))
    paths = [tmp_path / "offline.parquet", tmp_path / "online.parquet"]
    for frame, path in zip((credit(), online), paths, strict=True):
        pl.from_pandas(frame, nan_to_null=False).write_parquet(path)
    expected = skew(credit(), online, key="client_id")
    assert set(blocked(expected)) == {("mismatch_share", "bill_sep"), ("mismatch_share", "share")}
    scanned = skew(*paths, key="client_id")
    assert scanned.measurements == expected.measurements
    assert len(scanned.materials) == 2
    assert scanned.details["engine"]["offline"]["scans"] == 3  # type: ignore[index,call-overload]
    pytest.importorskip("duckdb")
    pytest.importorskip("ibis")
    fetched = skew(*paths, key="client_id", engine="duckdb")
    assert fetched.measurements == expected.measurements


def test_a_larger_table_of_another_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("duckdb")
    pytest.importorskip("ibis")
    monkeypatch.setattr("pytest_prodml.adapters.engines.joining.MOST_FETCHED_ROWS", 100)
    with pytest.raises(InputError, match="3,000 rows of .*duckdb.* can not be joined"):
        skew(credit(), credit(), key="client_id", engine="duckdb")


# Cells that programs confuse, and an independent reading of when they are the same.
HOSTILE: tuple[Any, ...] = (
    None, NAN, INF, -INF, 0.0, -0.0, 1.0, 1.0 + 1e-10, 1.0 + 1e-8, -1.0, 100.0, 1e308, -1e308, 5e-324, -999.0,
)  # fmt: skip
WORDS: tuple[Any, ...] = (None, "", " ", "a", "A", "a ", "ä", "a\u0308", "NA", "nan", "null")


def state(cell: Any, sentinels: tuple[Any, ...]) -> str:
    if cell is None:
        return "null"
    if isinstance(cell, float) and math.isnan(cell):
        return "NaN"
    if cell == "":
        return "empty text"
    return "sentinel" if cell in sentinels else "value"


def same(first: Any, second: Any, rule: Rule) -> bool:
    states = {state(cell, rule.sentinels) for cell in (first, second)}
    if "value" not in states and (states <= rule.same_missing):
        return True
    if len(states) > 1 or states <= {"null", "NaN", "empty text"}:
        return len(states) == 1
    match rule.how:
        case Relative(rtol, atol) if states == {"value"}:
            return math.isclose(first, second, rel_tol=rtol, abs_tol=atol)
        case Absolute(atol) if states == {"value"}:
            return bool(first == second or abs(first - second) <= atol)
        case _:
            return bool(first == second)


@pytest.mark.parametrize("cells", [HOSTILE, WORDS])
def test_every_pair_of_hostile_cells_is_read_as_by_a_loop(cells: tuple[Any, ...]) -> None:
    pairs = [(first, second) for first in cells for second in cells]
    kind = F64 if cells is HOSTILE else pl.String
    offline, online = (
        pl.DataFrame({"id": range(len(pairs)), "x": pl.Series([pair[side] for pair in pairs], dtype=kind)})
        for side in (0, 1)
    )
    hows: tuple[How, ...] = (Exact(), Relative(1e-9), Absolute(1e-9)) if kind == F64 else (Exact(),)
    sentinels: tuple[Any, ...] = (-999.0, 100.0) if kind == F64 else ("NA", "null")
    states = ("null", "NaN", "empty text", "sentinel")
    for how in hows:
        for joined in (frozenset[str](), *(frozenset({a, b}) for a in states for b in states)):
            for declared in ((), sentinels):
                rule = Rule(how=how, same_missing=joined, sentinels=declared)
                found = skew(offline, online, key="id", rules={"x": rule})
                expected = sum(not same(first, second, rule) for first, second in pairs)
                assert measured(found, "mismatch_share", "x").value == expected / len(pairs), rule
