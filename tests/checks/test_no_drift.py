"""Columns that moved are found, those that did not are left alone, and what cannot be known is said."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.checks.data import distances, no_drift
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome

CREDIT = Path(__file__).parents[2] / "example_project" / "data" / "credit_default.csv.gz"
PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE


def drift(reference: Any, current: Any, **options: Any) -> Evidence:
    found = no_drift(
        open_table(reference, name="reference"),
        open_table(current, name="current"),
        gate_id="data.drift",
        **options,
    )
    canonical_json(encode(found))
    return found


def outcomes(evidence: Evidence, level: float = 0.95) -> dict[tuple[str, str | None], Outcome]:
    """Return the worst outcome of each metric and group."""
    order = (FAIL, OPEN, PASS)
    found: dict[tuple[str, str | None], Outcome] = {}
    for item in judge_criteria("data.drift", evidence, confidence_level=level):
        key = (item.criterion.metric, item.criterion.group)
        found[key] = min(found.get(key, PASS), item.judgement.outcome, key=order.index)
    return found


def blocked(evidence: Evidence) -> dict[tuple[str, str | None], Outcome]:
    return {key: outcome for key, outcome in outcomes(evidence).items() if outcome is not PASS}


def numbers(rows: int, *, seed: int, shift: float = 0.0, columns: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({f"x{place}": rng.normal(shift, 1, rows) for place in range(columns)})


@cache
def credit() -> pd.DataFrame:
    if not CREDIT.exists():
        pytest.skip("the example project is not here")
    return pd.read_csv(CREDIT).drop(columns="client_id").sample(frac=1, random_state=0, ignore_index=True)


def test_two_halves_of_real_data_did_not_move() -> None:
    half = len(credit()) // 2
    found = drift(credit().head(half), credit().tail(half))
    assert blocked(found) == {}
    assert {group for metric, group in outcomes(found) if metric == "missing_share_change"} == set(
        credit().columns
    )


def moved(column: str, change: Callable[[pd.Series], Any]) -> pd.DataFrame:
    half = credit().tail(len(credit()) // 2)
    return half.assign(**{column: change(half[column])})


FAULTS: dict[str, tuple[str, Callable[[pd.Series], Any], str]] = {
    "in another currency": ("bill_sep", lambda values: values * 30, "kolmogorov_smirnov"),
    "older clients": ("age", lambda values: values + 5, "kolmogorov_smirnov"),
    "a category grew": (
        "education",
        lambda values: values.where(np.arange(len(values)) % 3 > 0, "university"),
        "total_variation",
    ),
    "a new category": (
        "sex",
        lambda values: values.where(np.arange(len(values)) % 3 > 0, "unknown"),
        "total_variation",
    ),
    "lost values": (
        "paid_sep",
        lambda values: values.astype(float).where(np.arange(len(values)) % 8 > 0),
        "missing_share_change",
    ),
    "more defaults": (
        "default_next_month",
        lambda values: values.where(np.arange(len(values)) % 3 > 0, 1),
        "kolmogorov_smirnov",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_moved_in_real_data_is_found_and_nothing_else_is_accused(fault: str) -> None:
    column, change, metric = FAULTS[fault]
    found = blocked(drift(credit().head(len(credit()) // 2), moved(column, change)))
    assert found.pop((metric, column)) is FAIL
    assert all(group == column for _, group in found)


def test_a_shift_that_does_not_matter_is_no_alarm_however_many_rows_show_it() -> None:
    found = drift(numbers(400_000, seed=1), numbers(400_000, seed=2, shift=0.01))
    assert blocked(found) == {}
    (distance,) = [item for item in found.measurements if item.metric == "kolmogorov_smirnov"]
    assert distance.lower is not None
    assert distance.lower > 0


def test_a_real_shift_is_not_hidden_by_few_rows_but_called_undecided() -> None:
    found = drift(numbers(200, seed=3), numbers(200, seed=4, shift=0.3))
    assert blocked(found) == {
        ("kolmogorov_smirnov", "x0"): OPEN,
        ("missing_share_change", "x0"): PASS,
    } or blocked(found) == {("kolmogorov_smirnov", "x0"): OPEN}
    (distance,) = [item for item in found.measurements if item.metric == "kolmogorov_smirnov"]
    assert distance.n_required is not None
    assert distance.n_required > 200
    assert (
        blocked(drift(numbers(5000, seed=3), numbers(5000, seed=4, shift=0.5)))["kolmogorov_smirnov", "x0"]
        is FAIL
    )


def test_five_rows_that_all_moved_are_enough() -> None:
    found = outcomes(drift(numbers(1000, seed=5), pd.DataFrame({"x0": [99.0] * 5})))
    assert found["kolmogorov_smirnov", "x0"] is FAIL


def test_the_scale_of_a_column_does_not_matter() -> None:
    small = numbers(2000, seed=6) * 1e-3
    assert outcomes(drift(small, small + 0.02))["kolmogorov_smirnov", "x0"] is FAIL
    income = np.exp(10 + numbers(3000, seed=7))
    assert blocked(drift(income, np.exp(10 + numbers(3000, seed=8)))) == {}


def test_a_column_that_is_nearly_all_missing_fails_by_that() -> None:
    current = numbers(1000, seed=9)
    current.loc[:989, "x0"] = math.nan
    found = outcomes(drift(numbers(1000, seed=10), current))
    assert found["missing_share_change", "x0"] is FAIL
    assert found["kolmogorov_smirnov", "x0"] is OPEN


def test_a_column_without_any_value_is_not_estimable_and_no_pass() -> None:
    current = numbers(1000, seed=9).assign(x0=math.nan)
    assert outcomes(drift(numbers(1000, seed=10), current))["kolmogorov_smirnov", "x0"] is not PASS


def test_missing_cells_on_both_sides_are_no_change() -> None:
    before, after = numbers(3000, seed=11), numbers(3000, seed=12)
    before.loc[::2, "x0"] = math.nan
    after.loc[::2, "x0"] = math.nan
    assert blocked(drift(before, after)) == {}


@pytest.mark.parametrize("missing", ["reference", "current"])
def test_a_table_without_rows_shows_nothing(missing: str) -> None:
    full, empty = numbers(50, seed=1), numbers(50, seed=1).head(0)
    with pytest.raises(InputError, match=f"{missing} data.*no rows"):
        drift(empty if missing == "reference" else full, empty if missing == "current" else full)


def test_lost_and_retyped_columns_fail_and_new_ones_are_told() -> None:
    before = numbers(800, seed=1, columns=3)
    after = numbers(800, seed=2, columns=3).drop(columns="x1").assign(x2="text", new=1.0)
    evidence = drift(before, after)
    found = outcomes(evidence)
    assert found["missing_columns", None] is FAIL
    assert found["retyped_columns", None] is FAIL
    notes = {item.metric: item.note for item in evidence.measurements if item.group is None}
    assert notes == {"missing_columns": "x1", "retyped_columns": "x2"}
    assert evidence.details["new_columns"] == ["new"]


def test_time_stamps_are_compared_only_when_named() -> None:
    days = pd.date_range("2026-01-01", periods=900, freq="h")
    before, after = (
        pd.DataFrame({"at": days, "x": 1.0}),
        pd.DataFrame({"at": days + pd.Timedelta(days=90), "x": 1.0}),
    )
    evidence = drift(before, after)
    assert evidence.details["not_compared"] == {"at": "time stamps move by their nature"}
    assert ("kolmogorov_smirnov", "at") not in outcomes(evidence)
    assert outcomes(drift(before, after, columns=["at"]))["kolmogorov_smirnov", "at"] is FAIL


@pytest.mark.parametrize(
    "measure", ["kolmogorov_smirnov", "wasserstein", "population_stability_index", "jensen_shannon"]
)
def test_every_measure_of_numbers_tells_same_from_moved(measure: str) -> None:
    before = numbers(4000, seed=1)
    same = drift(before, numbers(4000, seed=2), measures={"x0": measure})
    assert blocked(same) == {}
    away = drift(before, numbers(4000, seed=2, shift=1.0), measures={"x0": measure})
    assert outcomes(away)[measure, "x0"] is FAIL


@pytest.mark.parametrize("measure", ["total_variation", "population_stability_index", "jensen_shannon"])
def test_every_measure_of_categories_tells_same_from_moved(measure: str) -> None:
    rng = np.random.default_rng(1)

    def answers(*shares: float) -> pd.DataFrame:
        return pd.DataFrame({"c": rng.choice(list("abcd"), 4000, p=shares)})

    before = answers(0.4, 0.3, 0.2, 0.1)
    assert blocked(drift(before, answers(0.4, 0.3, 0.2, 0.1), measures={"c": measure})) == {}
    assert outcomes(drift(before, answers(0.1, 0.2, 0.3, 0.4), measures={"c": measure}))[measure, "c"] is FAIL


def test_the_index_of_a_hundred_rows_raises_no_alarm() -> None:
    """Other tools flag nearly every table of this size: their index knows no number of rows."""
    before = numbers(100, seed=1, columns=10)
    measures = dict.fromkeys(before.columns, "population_stability_index")
    alarms = [
        FAIL in outcomes(drift(before, numbers(100, seed=seed, columns=10), measures=measures)).values()
        for seed in range(2, 8)
    ]
    assert sum(alarms) == 0


def test_twenty_columns_at_their_margin_raise_no_more_alarms_than_one() -> None:
    """The distance is a hair below the margin in all of them, where each alone would err 5 times in 100."""
    shift = 0.2512  # two normal columns so far apart differ by 0.1 in their distribution functions
    alarms = [
        FAIL
        in outcomes(
            drift(
                numbers(500, seed=seed, columns=20), numbers(500, seed=seed + 1000, shift=shift, columns=20)
            )
        ).values()
        for seed in range(60)
    ]
    assert sum(alarms) <= 7


def test_large_tables_are_compared_by_cells_with_the_same_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [
        numbers(6000, seed=1, columns=3),
        numbers(6000, seed=2, columns=3).assign(x1=lambda t: t["x1"] + 0.5),
    ]
    whole = drift(*tables)
    monkeypatch.setattr(distances, "MOST_VALUES", 1000)
    cells = drift(*tables)
    assert outcomes(cells) == outcomes(whole)
    for exact, counted in zip(whole.measurements, cells.measurements, strict=True):
        if exact.metric == "kolmogorov_smirnov":
            assert exact.upper is not None
            assert counted.upper is not None
            assert exact.upper <= counted.upper <= exact.upper + 0.02
    with pytest.raises(InputError, match="every value"):
        drift(*tables, measures={"x0": "wasserstein"})


@pytest.mark.parametrize("kind", ["polars", "lazy", "parquet", "duckdb"])
def test_the_verdict_does_not_depend_on_where_the_rows_are(kind: str, tmp_path: Path) -> None:
    half = len(credit()) // 2
    tables = [credit().head(half), moved("age", lambda values: values + 5)]
    expected = outcomes(drift(*tables))
    given: list[Any] = [pl.from_pandas(table) for table in tables]
    if kind == "lazy":
        given = [table.lazy() for table in given]
    if kind in {"parquet", "duckdb"}:
        for place, table in enumerate(given):
            table.write_parquet(tmp_path / f"{place}.parquet")
        given = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    if kind == "duckdb":
        pytest.importorskip("duckdb")
        given = [open_table(path, name="data", engine="duckdb") for path in given]
        found = no_drift(*given, gate_id="data.drift")
    else:
        found = drift(*given)
    assert outcomes(found) == expected


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Spark leaves sockets open
def test_the_verdict_is_the_same_on_spark(tmp_path: Path) -> None:
    spark_sql = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    columns = ["age", "credit_limit", "education"]
    half = len(credit()) // 2
    tables = [credit().head(half)[columns], moved("age", lambda values: values + 5)[columns]]
    expected = drift(*tables)
    for place, table in enumerate(tables):
        pl.from_pandas(table).write_parquet(tmp_path / f"{place}.parquet")
    session = (
        spark_sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    )
    try:
        found = drift(*(session.read.parquet(str(tmp_path / f"{place}.parquet")) for place in range(2)))
    finally:
        session.stop()
    assert outcomes(found) == outcomes(expected)
    assert FAIL in outcomes(found).values()


def test_rows_of_one_client_count_once() -> None:
    before, after = numbers(60, seed=1), numbers(60, seed=2)
    copies = [
        pd.concat([table] * 40, ignore_index=True).assign(client=np.tile(np.arange(60), 40))
        for table in (before, after)
    ]
    blind = drift(*copies, ignore=["client"])
    aware = drift(*copies, entity="client")
    assert FAIL in outcomes(blind).values() or PASS in outcomes(blind).values()
    assert outcomes(aware)["kolmogorov_smirnov", "x0"] is OPEN
    plain = drift(before, after)
    bounds = [
        next((item.lower, item.upper) for item in found.measurements if item.metric == "kolmogorov_smirnov")
        for found in (aware, plain)
    ]
    assert bounds[0] == pytest.approx(bounds[1])


def test_margins_by_name_and_by_beginning() -> None:
    before, after = numbers(3000, seed=1, columns=2), numbers(3000, seed=2, shift=0.4, columns=2)
    found = outcomes(drift(before, after, limits={"x*": 0.5, "x1": 0.01}))
    assert found["kolmogorov_smirnov", "x0"] is PASS
    assert found["kolmogorov_smirnov", "x1"] is FAIL


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"columns": ["y0"]}, "no column 'y0'"),
        ({"ignore": ["y0"]}, "no column 'y0'"),
        ({"ignore": ["x0"]}, "no column is left"),
        ({"measures": {"x0": "total_variation"}}, "can not be compared by 'total_variation'"),
        ({"limits": {"x0": -1}}, "number from 0 on"),
        ({"limits": {"x0": math.nan}}, "number from 0 on"),
        ({"missing_at_most": 2}, "between 0 and 1"),
        ({"entity": "who"}, "no column 'who'"),
        ({"burden": "maybe"}, "no burden of proof"),
        ({"confidence_level": 1.0}, "confidence_level"),
    ],
)
def test_what_makes_no_sense_is_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        drift(numbers(50, seed=1), numbers(50, seed=2), **options)


def test_what_has_no_distribution_is_told() -> None:
    nested = pl.DataFrame({"x": [[1.0], [2.0]]})
    with pytest.raises(InputError, match="nested cells"):
        drift(nested, nested)
    keys = pl.DataFrame({"id": [f"k{row}" for row in range(12_000)]})
    with pytest.raises(InputError, match="more than 10,000 different values"):
        drift(keys, keys)


def test_what_is_recorded_stays_small() -> None:
    rng = np.random.default_rng(1)
    wide = [
        pd.DataFrame(rng.normal(size=(60, 300)), columns=[f"c{place}" for place in range(300)])
        for _ in range(2)
    ]
    details: Any = drift(*wide).details
    assert len(details["columns"]) == 50
    assert len(details["distributions"]) <= 6
    assert len(canonical_json(details)) < 40_000
