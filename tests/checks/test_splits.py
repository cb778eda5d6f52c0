"""Tables of a split that share entities, times or rows are found out; an honest split of real data is not."""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.checks.data import splitting
from pytest_prodml.checks.data.splitting import splits
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome

CREDIT = Path(__file__).parents[2] / "example_project" / "data" / "credit_default.csv.gz"
FAIL = Outcome.FAIL


def split(engine: str | None = None, target: str | None = "default_next_month", **given: Any) -> Evidence:
    options = {key: given.pop(key) for key in list(given) if not hasattr(given[key], "columns")}
    tables = {name: open_table(rows, name=name, target=target, engine=engine) for name, rows in given.items()}
    found = splits(tables, gate_id="data.splits", **options)
    canonical_json(encode(found))
    return found


def blocked(evidence: Evidence) -> dict[tuple[str, str | None], Outcome]:
    return {
        (item.criterion.metric, item.criterion.group): item.judgement.outcome
        for item in judge_criteria("data.splits", evidence, confidence_level=0.95)
        if item.judgement.outcome is not Outcome.PASS
    }


def note(evidence: Evidence, metric: str, group: str) -> str:
    (found,) = [item for item in evidence.measurements if (item.metric, item.group) == (metric, group)]
    return found.note or ""


@cache
def parts() -> dict[str, pd.DataFrame]:
    if not CREDIT.exists():
        pytest.skip("the example project is not here")
    frame = pd.read_csv(CREDIT)
    day = pd.Timestamp("2005-04-01") + pd.to_timedelta(np.arange(len(frame)), unit="min")
    frame = frame.sample(frac=1, random_state=0, ignore_index=True).assign(day=day)
    return {
        "train": frame.iloc[:6000],
        "validation": frame.iloc[6000:8000],
        "test": frame.iloc[8000:11000],
    }


NAMED: dict[str, Any] = {"entity": "client_id", "time": "day"}


def test_an_honest_split_of_real_data_shares_nothing() -> None:
    found = split(**parts(), **NAMED)
    assert blocked(found) == {}
    assert {item.group for item in found.measurements if item.metric == "entity_overlap"} == {
        "train/validation",
        "train/test",
        "validation/test",
    }
    assert {item.group for item in found.measurements if item.metric == "time_overlap"} == {
        "train/validation",
        "validation/test",
    }
    assert found.details["not_run"] == {}


def test_clients_of_the_training_rows_are_found_in_the_test_rows() -> None:
    test = parts()["test"].copy()
    test.iloc[:3, test.columns.get_loc("client_id")] = parts()["train"]["client_id"].iloc[:3].to_numpy()
    found = split(**{**parts(), "test": test}, **NAMED)
    assert blocked(found) == {("entity_overlap", "train/test"): FAIL}
    assert "3 entities are in both" in note(found, "entity_overlap", "train/test")
    assert blocked(split(**{**parts(), "test": test}, **NAMED, overlap_at_most=0.01)) == {}


def test_rows_before_the_last_training_row_are_found() -> None:
    test = parts()["test"].copy()
    test.iloc[0, test.columns.get_loc("day")] = parts()["validation"]["day"].max()
    found = split(**{**parts(), "test": test}, **NAMED)
    assert blocked(found) == {("time_overlap", "validation/test"): FAIL}
    assert "2005-04-06 13:19" in note(found, "time_overlap", "validation/test")
    swapped = {"train": parts()["test"], "test": parts()["train"]}
    assert blocked(split(**swapped, time="day")) == {("time_overlap", "train/test"): FAIL}


@pytest.mark.parametrize(("noise", "metric"), [(0.0, "duplicate_rows"), (1e-3, "near_duplicate_rows")])
def test_copied_rows_are_found(noise: float, metric: str) -> None:
    copied = parts()["train"].iloc[:300].copy()
    copied["client_id"] += 100_000
    bills = [name for name in copied if name.startswith("bill_")]
    copied[bills] *= 1 + noise * np.random.default_rng(0).standard_normal((300, len(bills)))
    test = pd.concat([parts()["test"], copied], ignore_index=True)
    found = split(**{**parts(), "test": test}, entity="client_id", ignore=["day"])
    assert (metric, "train/test") in blocked(found)
    assert not {group for _, group in blocked(found)} - {"train/test"}
    places: Any = found.details["copied_rows_at"]
    # A few clients of the real data are twins.
    assert sum(place >= 3000 for place in places[f"{metric} train/test"]) >= 10
    assert (
        blocked(
            split(**{**parts(), "test": test}, entity="client_id", duplicates=False, near_duplicates=False)
        )
        == {}
    )


def test_what_was_not_looked_at_is_said() -> None:
    found = split(**parts(), entity="client_id", near_duplicates=False)
    assert found.details["not_run"] == {
        "time_overlap": "no time column is named",
        "near_duplicate_rows": "switched off",
        "near_duplicates_beyond_chance": "switched off",
    }
    text = pl.DataFrame({"a": ["x", "y", "z"], "b": ["p", "q", "r"]})
    told = split(target=None, train=text, test=text.reverse())
    assert "no column holds numbers" in str(told.details["not_run"])


def test_files_and_engines_agree(tmp_path: Path) -> None:
    test = parts()["test"].copy()
    test.iloc[:3, test.columns.get_loc("client_id")] = parts()["train"]["client_id"].iloc[:3].to_numpy()
    frames = {**parts(), "test": test}
    expected = split(**frames, **NAMED)
    tables = {}
    for name, frame in frames.items():
        path = tmp_path / f"{name}.parquet"
        pl.from_pandas(frame).write_parquet(path)
        tables[name] = open_table(path, name=name, target="default_next_month")
    found = splits(tables, gate_id="data.splits", **NAMED)
    assert found.measurements == expected.measurements
    assert len(found.materials) == 3
    pytest.importorskip("duckdb")
    pytest.importorskip("ibis")
    assert split(engine="duckdb", **frames, **NAMED).measurements == expected.measurements


def test_times_and_entities_that_can_not_be_compared_are_errors() -> None:
    noon = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    train = pl.DataFrame({"id": [1, 2], "at": [noon, noon], "x": [1.0, 2.0]})
    test = train.with_columns(id=pl.col("id") + 2, at=pl.col("at") + dt.timedelta(hours=1))
    assert (
        blocked(
            split(
                target=None,
                train=train,
                test=test,
                entity="id",
                time="at",
                duplicates=False,
                near_duplicates=False,
            )
        )
        == {}
    )
    cases: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "zone on one side only: UTC in train, without zone in test": (
            {"test": test.with_columns(pl.col("at").dt.replace_time_zone(None))},
            {"time": "at"},
        ),
        "Int64 in train and String in test": (
            {"test": test.with_columns(pl.col("id").cast(pl.String))},
            {"entity": "id"},
        ),
        "'id' is missing in 1 rows": (
            {"test": test.with_columns(id=pl.Series([None, 3]))},
            {"entity": "id"},
        ),
        "which is no time": ({"test": test}, {"time": "x"}),
        "there is no column 'who'": ({"test": test}, {"entity": "who"}),
        "no column 'y' to ignore": ({"test": test}, {"ignore": ["y"]}),
        "test data: the table has no rows": ({"test": test.clear()}, {}),
        "two tables or more": ({}, {}),
        "share between 0 and 1": ({"test": test}, {"overlap_at_most": 3}),
        "nothing is left": ({"test": test}, {"duplicates": False, "near_duplicates": False}),
        "no column is left to compare rows by": ({"test": test}, {"ignore": ["id", "at", "x"]}),
    }
    cases["splits, train/test: .*share no column"] = ({"test": pl.DataFrame({"z": [1]})}, {})
    for told, (tables, options) in cases.items():
        with pytest.raises(InputError, match=told):
            split(target=None, train=train, **tables, **options)


def test_a_time_finer_than_the_other_still_ties() -> None:
    noon = pl.Series("at", [1_767_268_800_000_000_500], dtype=pl.Int64).cast(pl.Datetime("ns"))
    train, test = noon.to_frame(), noon.to_frame()
    later = (noon + pl.Series([1]).cast(pl.Duration("ns"))).to_frame()
    options: dict[str, Any] = {"time": "at", "duplicates": False, "near_duplicates": False, "target": None}
    assert blocked(split(train=train, test=test, **options)) == {("time_overlap", "train/test"): FAIL}
    assert blocked(split(train=train, test=later, **options)) == {}
    coarse = later.with_columns(pl.col("at").dt.cast_time_unit("us"))
    assert blocked(split(train=train, test=coarse, **options)) == {("time_overlap", "train/test"): FAIL}


def test_too_many_rows_are_not_searched_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "MOST_ROWS", 2500)
    with pytest.raises(InputError, match="6,000 rows are too many to be searched"):
        split(**parts(), **NAMED)
    assert blocked(split(**parts(), **NAMED, duplicates=False, near_duplicates=False)) == {}


def test_cells_of_several_kinds_are_an_error() -> None:
    mixed = pd.DataFrame({"x": [1, "a"], "y": [1.0, 2.0]})
    with pytest.raises(InputError, match="of several kinds"):
        split(target=None, train=mixed, test=mixed)
