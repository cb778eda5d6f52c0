"""Every kind of fault is found where it is planted in real data, and nowhere else."""

from __future__ import annotations

import datetime as dt
import importlib.util
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.checks.data.quality import DEFAULT_LIMITS, quality
from pytest_prodml.checks.data.quality.kinds import KINDS
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome

CREDIT = Path(__file__).parents[2] / "example_project" / "data" / "credit_default.csv.gz"
TARGET, KEY = "default_next_month", "client_id"
NOW = dt.datetime(2006, 1, 1, tzinfo=dt.UTC)
PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE


@cache
def credit() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the clients of the bank in two halves, with a text, dates and a decimal made of their columns."""
    frame = pd.read_csv(CREDIT)
    days = pd.to_timedelta(frame["bill_sep"].abs() % 180, unit="D")
    frame["opened"] = pd.Timestamp("2005-04-01") + days
    frame["note"] = "limit " + frame["credit_limit"].astype(str) + " for " + frame["education"]
    frame["ratio"] = (frame["paid_sep"] + 1) / (frame["credit_limit"] + frame["bill_sep"].abs())
    chosen = np.random.default_rng(0).random(len(frame)) < 0.5
    return frame[chosen].reset_index(drop=True), frame[~chosen].reset_index(drop=True)


def check(current: Any, reference: Any, *, engine: str | None = None, **options: Any) -> Evidence:
    opened = None if reference is None else open_table(reference, name="reference", engine=engine)
    asked: dict[str, Any] = {"gate_id": "data.quality", "keys": [KEY], "target": TARGET, "now": NOW}
    found = quality(open_table(current, name="current", engine=engine), reference=opened, **asked | options)
    canonical_json(encode(found))
    return found


def outcomes(evidence: Evidence) -> dict[str, set[Outcome]]:
    found: dict[str, set[Outcome]] = {}
    for item in judge_criteria("data.quality", evidence, confidence_level=0.95):
        found.setdefault(item.criterion.metric, set()).add(item.judgement.outcome)
    return found


def failed(evidence: Evidence) -> set[str]:
    return {kind for kind, seen in outcomes(evidence).items() if FAIL in seen}


def value(evidence: Evidence, kind: str, group: str | None = None) -> float | None:
    return next(m.value for m in evidence.measurements if m.metric == kind and m.group == group)


def shown(evidence: Evidence) -> list[dict[str, Any]]:
    details: Any = evidence.details
    return [*details.get("rows", []), *details.get("found", [])]


def at(frame: pd.DataFrame, column: str, rows: slice | Any, make: Callable[[Any], Any]) -> pd.DataFrame:
    """Return a copy with cells of some rows changed."""
    cells = frame[column].tolist()
    for place in range(len(cells))[rows]:
        cells[place] = make(cells[place])
    return frame.assign(**{column: cells})


HUNDREDTH, TENTH = slice(None, None, 100), slice(None, None, 10)
FIFTIETH = slice(None, None, 50)


def swapped(day: pd.Timestamp) -> pd.Timestamp:
    return day.replace(month=day.day, day=day.month) if day.day <= 12 else day


def repeated(frame: pd.DataFrame, every: int, **changes: Callable[[Any], Any]) -> pd.DataFrame:
    more = frame.iloc[::every].copy()
    more[KEY] += 1_000_000
    for column, change in changes.items():
        more[column] = change(more[column])
    return pd.concat([frame, more], ignore_index=True)


#: kind -> what plants it in the clean half, and what stands in the column it is found in.
FAULTS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "missing_share_change": lambda f: at(f, "age", TENTH, lambda _: None),
    "missing_columns": lambda f: f.drop(columns="age"),
    "retyped_columns": lambda f: f.assign(age=f["age"].astype(str) + " years"),
    "constant_columns": lambda f: f.assign(age=35),
    "near_constant_columns": lambda f: at(f.assign(age=35), "age", slice(0, 50), lambda _: 36),
    "duplicate_rows": lambda f: repeated(f, 25),
    "duplicate_keys": lambda f: f.assign(**{KEY: f[KEY].where(f.index != 7, f[KEY][8])}),
    "near_duplicate_rows": lambda f: repeated(
        f, 25, ratio=lambda c: c * (1 + 1e-11), note=lambda c: c.str.upper() + " "
    ),
    "conflicting_labels": lambda f: repeated(f, 25, **{TARGET: lambda c: 1 - c}),
    "out_of_range_share": lambda f: at(f, "age", FIFTIETH, lambda _: 999),
    "mixed_type_columns": lambda f: f.assign(
        age=pd.Series(
            ["n.k." if place % 100 == 0 else age for place, age in enumerate(f["age"])], dtype=object
        )
    ),
    "category_variants": lambda f: at(f, "sex", HUNDREDTH, lambda text: f" {text.title()}"),
    "unit_error_columns": lambda f: f.assign(credit_limit=f["credit_limit"] / 1000),
    "unit_error_share": lambda f: at(f, "age", HUNDREDTH, lambda years: years * 60),
    "outlier_share": lambda f: at(f, "age", TENTH, lambda years: years + 1000),
    "new_category_share": lambda f: at(f, "education", FIFTIETH, lambda text: f"{text}_{len(text)}"),
    "empty_texts": lambda f: at(f, "note", HUNDREDTH, lambda _: " "),
    "replacement_characters": lambda f: at(f, "note", HUNDREDTH, lambda text: text[:4] + "\ufffd"),
    "mojibake": lambda f: at(
        f, "note", HUNDREDTH, lambda text: (text + " für é").encode().decode("cp1252")
    ),
    "control_characters": lambda f: at(f, "note", HUNDREDTH, lambda text: text + "\x00\n"),
    "text_length_share": lambda f: at(f, "note", FIFTIETH, lambda text: text * 50),
    "sentinel_dates": lambda f: at(f, "opened", HUNDREDTH, lambda _: pd.Timestamp("1970-01-01")),
    "future_dates": lambda f: at(f, "opened", HUNDREDTH, lambda _: pd.Timestamp("2030-02-03")),
    "swapped_date_columns": lambda f: f.assign(opened=f["opened"].map(swapped)),
    "class_share_change": lambda f: at(f, TARGET, slice(None, None, 5), lambda _: 1),
}  # fmt: skip
#: What a fault is besides what it is called.
ALSO: dict[str, set[str]] = {
    "near_constant_columns": {"outlier_share"},
    "duplicate_rows": {"near_duplicate_rows"},
    "near_duplicate_rows": {"category_variants", "new_category_share"},
    # 999 years are 41.6, told in units of which there are 24.
    "out_of_range_share": {"unit_error_share"},
    "unit_error_share": {"out_of_range_share"},
    "outlier_share": {"out_of_range_share", "unit_error_share"},
    "unit_error_columns": {"out_of_range_share", "unit_error_share"},
    "text_length_share": {"new_category_share"},
    "mixed_type_columns": {"retyped_columns"},
    "category_variants": {"new_category_share"},
    "future_dates": {"out_of_range_share"},
    "swapped_date_columns": {"future_dates"},
}

#: Kinds whose number says all there is, by column or class, or whose rows no query of the engines gives.
ONLY_COUNTED = {"missing_share_change", "class_share_change", "conflicting_labels"}
#: Columns in which faults are planted.
PLANTED = [
    KEY, TARGET, "credit_limit", "sex", "education", "age", "bill_sep", "bill_jul", "bill_apr", "paid_sep",
    "paid_aug", "opened", "note", "ratio"
]  # fmt: skip


def test_the_halves_of_real_data_pass_every_kind() -> None:
    current, reference = credit()
    found = check(current, reference)
    assert {kind: seen for kind, seen in outcomes(found).items() if seen != {PASS}} == {}
    not_run: Any = found.details["not_run"]
    assert set(not_run) == {"missing_share", "singleton_share", "label_noise_share"}
    assert set(outcomes(found)) == set(KINDS) - set(not_run)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_planted_fault_is_found_and_its_clean_twin_passes(kind: str) -> None:
    clean, reference = (half[PLANTED] for half in credit())
    assert outcomes(check(clean, reference, only=[kind])) == {kind: {PASS}}
    found = check(FAULTS[kind](clean), reference)
    assert kind in failed(found)
    assert failed(found) <= {kind} | ALSO.get(kind, set())
    assert bool([row for row in shown(found) if row["kind"] == kind]) is (kind not in ONLY_COUNTED)
    secret = check(FAULTS[kind](clean), reference, only=[kind], redact=True)
    assert not {"value", "values", "like"} & {key for row in shown(secret) for key in row}


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind != "near_duplicate_rows"])
def test_duckdb_finds_what_polars_finds(kind: str) -> None:
    clean, reference = (half[PLANTED] for half in credit())
    faulty = FAULTS[kind](clean)
    if kind == "mixed_type_columns":
        faulty["age"] = faulty["age"].astype(str)
    ours, theirs = (check(faulty, reference, only=[kind], engine=name) for name in ("polars", "duckdb"))
    assert [(m.metric, m.group, m.value) for m in ours.measurements] == [
        (m.metric, m.group, m.value) for m in theirs.measurements
    ]
    assert kind in failed(theirs)


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits", "diabetes", "linnerud"])
@pytest.mark.parametrize("seed", [0, 1])
def test_halves_of_bundled_data_raise_no_alarm(name: str, seed: int) -> None:
    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    chosen = np.random.default_rng(seed).random(len(frame)) < 0.5
    target = "target" if "target" in frame else None
    found = check(frame[chosen], frame[~chosen], keys=[], target=target, now=None)
    assert failed(found) == set()


def test_without_reference_only_what_a_table_shows_by_itself_is_judged() -> None:
    current, _ = credit()
    found = check(current, None)
    assert set(outcomes(found)) >= {"constant_columns", "duplicate_keys", "category_variants", "mojibake"}
    assert {kind: seen for kind, seen in outcomes(found).items() if seen != {PASS}} == {}
    assert value(found, "outlier_share", "age") is not None
    assert "outlier_share" not in outcomes(found)
    pixels = datasets.load_digits(as_frame=True).frame
    found = check(pixels, None, keys=[], target="target")
    assert failed(found) == {"constant_columns"}
    assert value(found, "constant_columns") == sum(np.ptp(pixels[name]) == 0 for name in pixels)


def test_counts_are_those_of_pandas() -> None:
    current, reference = credit()
    faulty = repeated(at(current, "age", slice(3, 9), lambda _: 999), 50)
    found = check(faulty, reference)
    assert value(found, "duplicate_rows") == faulty.drop(columns=KEY).duplicated().mean()
    outside = ~faulty["bill_sep"].between(reference["bill_sep"].min(), reference["bill_sep"].max())
    assert value(found, "out_of_range_share", "bill_sep") == outside.mean()
    assert value(found, "missing_share", "age") == 0
    exact = [m for m in found.measurements if m.metric == "duplicate_rows"]
    assert [(m.lower, m.upper, m.confidence_level) for m in exact] == [(exact[0].value, exact[0].value, 1.0)]


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c * 100, lambda c: c / 100, lambda c: c * 1000, lambda c: c / 1000, lambda c: c / 60,
        lambda c: c * 2.54, lambda c: c / 2.54, lambda c: c * 0.45359237, lambda c: c * 1.8 + 32,
        lambda c: (c - 32) / 1.8,
    ],
)  # fmt: skip
@pytest.mark.parametrize("column", ["age", "ratio"])
def test_columns_in_another_unit(change: Callable[[Any], Any], column: str) -> None:
    current, reference = credit()
    if column == "ratio":
        # A temperature of its own: an offset of 32 would swamp a ratio.
        current, reference = (f.assign(ratio=20 + 100 * f["ratio"]) for f in (current, reference))
    found = check(current.assign(**{column: change(current[column])}), reference, only=["unit_error_columns"])
    assert value(found, "unit_error_columns") == 1


@pytest.mark.parametrize("change", [lambda c: c * 1.2, lambda c: c + 5, lambda c: c * 2, lambda c: -c])
def test_a_drift_is_no_other_unit(change: Callable[[Any], Any]) -> None:
    current, reference = credit()
    found = check(current.assign(age=change(current["age"])), reference, only=["unit_error_columns"])
    assert value(found, "unit_error_columns") == 0


def test_a_later_month_is_no_swap_of_day_and_month() -> None:
    current, reference = credit()
    later = current.assign(opened=current["opened"] + pd.Timedelta(days=45))
    assert value(check(later, reference, only=["swapped_date_columns"]), "swapped_date_columns") == 0


def test_aggregates_are_two_queries_a_table() -> None:
    current, reference = credit()
    found = check(
        current,
        reference,
        only=[
            kind
            for kind in KINDS
            if kind in DEFAULT_LIMITS
            and kind
            not in {"near_duplicate_rows", "duplicate_rows", "label_noise_share", "swapped_date_columns"}
        ],
    )
    engine: Any = found.details["engine"]
    # Two aggregates and the values of categories; the table itself also the rows of what was found.
    assert engine["reference"]["scans"] == 3
    assert engine["current"]["scans"] == 4


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"only": ["nonsense"]}, "no kind of fault"),
        ({"limits": {"outlier_share": -1}}, "from 0 on"),
        ({"only": ["label_noise_share"]}, "out-of-fold"),
        ({"only": ["future_dates"], "now": None}, "needs now"),
        ({"now": dt.datetime(2026, 1, 1)}, "with its zone"),  # noqa: DTZ001 - that is the fault
        ({"only": ["duplicate_keys"], "keys": []}, "needs keys"),
        ({"only": ["missing_share"]}, "nothing is left to judge"),
        ({"columns": ["nobody"]}, "no column 'nobody'"),
        ({"keys": ["nobody"]}, "no column 'nobody'"),
        ({"target": "nobody"}, "no column 'nobody'"),
        ({"confidence_level": 2}, "confidence_level"),
        ({"burden": "guilt"}, "burden"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(options: dict[str, Any], told: str) -> None:
    current, reference = credit()
    with pytest.raises(InputError, match=told):
        check(current, reference, **options)


def test_empty_tables_and_asked_kinds_without_reference_are_refused() -> None:
    current, reference = credit()
    for one, other in ((current[:0], reference), (current, reference[:0])):
        with pytest.raises(InputError, match="no rows"):
            check(one, other)
    with pytest.raises(InputError, match="needs a reference"):
        check(current, None, only=["out_of_range_share"])


def test_a_limit_judges_what_is_only_measured_by_default() -> None:
    current, reference = credit()
    missing = at(current, "age", FIFTIETH, lambda _: None)
    assert "missing_share" not in outcomes(check(missing, reference))
    assert "missing_share" in failed(check(missing, reference, limits={"missing_share": 0.01}))
    relaxed = check(FAULTS["constant_columns"](current), reference, limits={"constant_columns": None})
    assert "constant_columns" not in outcomes(relaxed)
    assert value(relaxed, "constant_columns") == 1


def test_tables_of_few_levels_repeat_rows_honestly() -> None:
    survivors = pl.DataFrame({"class": [1, 2, 3] * 200, "sex": ["f", "m"] * 300, "label": [0, 1, 1, 0] * 150})
    found = check(survivors, None, keys=[], target="label")
    assert not {"duplicate_rows", "conflicting_labels"} & set(outcomes(found))
    not_run: Any = found.details["not_run"]
    assert "few levels" in not_run["duplicate_rows"]


def test_every_kind_of_column_is_survived() -> None:
    rows = 40
    frame = pl.DataFrame(
        {
            "decimal": pl.Series([Decimal(place) / 4 for place in range(rows)]),
            "flag": [place % 2 == 0 for place in range(rows)],
            "day": [dt.date(2005, 1, 1) + dt.timedelta(days=place) for place in range(rows)],
            "clock": [dt.time(place % 24) for place in range(rows)],
            "lasts": [dt.timedelta(hours=place) for place in range(rows)],
            "zoned": [dt.datetime(2005, 1, 1, place % 24, tzinfo=dt.UTC) for place in range(rows)],
            "bytes": [bytes([place]) for place in range(rows)],
            "odd": [float("inf"), float("nan"), None, -0.0] * (rows // 4),
            "none": [None] * rows,
        }
    )
    found = check(frame, frame, keys=[], target=None)
    assert failed(found) == set()
    nested = frame.with_columns(nested=pl.Series([[1, 2]] * rows))
    found = check(nested, frame.with_columns(text=pl.lit("a")), keys=[], target=None)
    not_run: Any = found.details["not_run"]
    assert "told apart" in not_run["duplicate_rows"]
    assert found.details["not_compared"] == ["nested"]
    assert failed(found) == {"missing_columns"}
    naive = frame.with_columns(pl.col("zoned").dt.replace_time_zone(None))
    assert failed(check(naive, frame, keys=[], target=None)) == {"retyped_columns"}


@pytest.mark.skipif(importlib.util.find_spec("cleanlab") is None, reason="needs cleanlab")
def test_wrong_labels_are_estimated() -> None:
    data = datasets.load_breast_cancer(as_frame=True)
    frame = data.frame
    wrong = np.random.default_rng(0).random(len(frame)) < 0.1
    noisy = frame.assign(target=np.where(wrong, 1 - frame["target"], frame["target"]))
    shares = []
    for each in (frame, noisy):
        inputs = (data.data - data.data.mean()) / data.data.std()
        chances = cross_val_predict(LogisticRegression(), inputs, each["target"], method="predict_proba")
        found = check(
            each, None, keys=[], target="target", probabilities=chances, limits={"label_noise_share": 0.05}
        )
        shares.append(value(found, "label_noise_share"))
        assert ("label_noise_share" in failed(found)) is (each is noisy)
    assert shares[0] < 0.05 < shares[1]  # type: ignore[operator]


def test_probabilities_that_do_not_fit_are_refused() -> None:
    pytest.importorskip("cleanlab")
    current, _ = credit()
    for given in (np.ones((3, 2)), np.ones((len(current), 2)), np.full((len(current), 2), np.nan)):
        with pytest.raises(InputError, match="probabilities"):
            check(current, None, probabilities=given, only=["label_noise_share"])
