"""Planted leaks are found, clean tables are not accused, and what was not looked at is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from pytest_prodml.adapters.tables import Dataset, load_dataset
from pytest_prodml.checks.performance import Sample
from pytest_prodml.checks.performance.leakage import DEFAULT_LIMITS, no_leakage
from pytest_prodml.checks.performance.leakage.names import named_after_target
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome

#: All but the classifier, which takes a second.
FAST = [kind for kind in DEFAULT_LIMITS if kind != "adversarial_auc"]
ROWS = ["duplicate_rows", "duplicates_beyond_chance", "near_duplicate_rows", "near_duplicates_beyond_chance"]


def dataset(frame: pd.DataFrame, target: Any, name: str) -> Dataset:
    return load_dataset((frame.reset_index(drop=True), np.asarray(target)), name=name, target="churn")


def clean(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, 6)), columns=[f"v{place}" for place in range(6)])
    frame["age"] = rng.integers(18, 80, rows)
    frame["city"] = pd.Categorical(rng.choice(list("abcdef"), rows))
    frame["plan"] = rng.choice(np.array(["basic", "gold", None]), rows)
    frame["flag"] = rng.random(rows) < 0.3
    frame.loc[rng.random(rows) < 0.1, "v5"] = np.nan
    frame["churn"] = (frame["v0"] + 0.5 * frame["v1"] + rng.normal(size=rows) > 0.8).astype(int)
    return frame


def split(frame: pd.DataFrame, at: int | None = None) -> tuple[Dataset, Dataset]:
    at = len(frame) * 3 // 4 if at is None else at
    features, target = frame.drop(columns="churn"), frame["churn"]
    return dataset(features[:at], target[:at], "reference"), dataset(features[at:], target[at:], "test")


def check(tables: tuple[Dataset, Dataset], **options: Any) -> dict[str, Outcome]:
    options.setdefault("only", None if options.get("limits") else FAST)
    if options["only"] is FAST:
        options["only"] = None
        options["limits"] = {"adversarial_auc": None}
    return outcomes(no_leakage(*tables, gate_id="performance.no_leakage", **options))


def outcomes(evidence: Evidence) -> dict[str, Outcome]:
    judged = judge_criteria("performance.no_leakage", evidence, confidence_level=0.95)
    return {item.criterion.metric: item.judgement.outcome for item in judged}


def failed(found: dict[str, Outcome]) -> set[str]:
    return {kind for kind, outcome in found.items() if outcome is Outcome.FAIL}


def test_a_clean_table_passes_every_kind_and_what_was_not_run_is_said() -> None:
    evidence = no_leakage(*split(clean(2_000, 0)), gate_id="performance.no_leakage")
    found = outcomes(evidence)
    assert set(found.values()) == {Outcome.PASS}
    not_run = evidence.details["not_run"]
    assert isinstance(not_run, dict)
    assert set(found) | set(not_run) == set(DEFAULT_LIMITS)
    assert not_run["entity_overlap"] == "no entity column is named"
    assert all(measured.seed == 0 for measured in evidence.measurements if "auc" in measured.metric)


def test_clean_tables_are_not_accused() -> None:
    runs, accused = 40, 0
    for seed in range(runs):
        accused += bool(
            failed(check(split(clean(600, seed)), only=["single_feature", "target_names", *ROWS]))
        )
    # 5 % at most are allowed: 6 or more of 40 would happen in 1.4 % of the runs then.
    assert accused < 6


@pytest.mark.parametrize("rows", [200, 2_000])
def test_equal_rows_of_a_table_with_few_levels_are_honest(rows: int) -> None:
    accused = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame({name: rng.choice(list("abc"), rows, p=[0.7, 0.2, 0.1]) for name in "pqrst"})
        frame["churn"] = rng.integers(0, 2, rows)
        accused += bool(failed(check(split(frame), only=ROWS[:2])))
    assert accused <= 3


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_copy_of_the_target_is_found_by_its_value(noise: float) -> None:
    frame = clean(4_000, 1)
    flipped = np.random.default_rng(2).random(len(frame)) < noise
    frame["code_7"] = np.where(frame["churn"].to_numpy(dtype=bool) ^ flipped, "x", "y")
    found = check(split(frame), only=["single_feature"], limits={"single_feature": 0.95})
    assert failed(found) == {"single_feature"}


def test_a_value_that_is_missing_without_the_outcome_is_found() -> None:
    frame = clean(2_000, 3)
    day = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(len(frame)) % 90, unit="D")
    frame["closed_on"] = pd.Series(day).where(frame["churn"] == 1)
    assert failed(check(split(frame))) == {"single_feature"}


def test_leaks_of_quantities_and_of_several_classes_are_found() -> None:
    rng = np.random.default_rng(4)
    frame = clean(1_500, 4)
    frame["churn"] = frame["v0"] * 3 + rng.normal(size=len(frame))
    assert not failed(check(split(frame), only=["single_feature"]))
    frame["v9"] = -frame["churn"] + rng.normal(scale=0.05, size=len(frame))
    assert failed(check(split(frame), only=["single_feature"])) == {"single_feature"}
    frame["churn"] = pd.qcut(frame.pop("v9"), 4, labels=False)
    frame["shade"] = frame["churn"].map({0: "red", 1: "blue", 2: "tan", 3: "gray"})
    assert failed(check(split(frame), only=["single_feature"])) == {"single_feature"}


def test_a_column_of_identifiers_predicts_nothing() -> None:
    frame = clean(1_000, 5)
    frame["id"] = [f"client-{place}" for place in range(len(frame))]
    assert not failed(check(split(frame)))


@pytest.mark.parametrize(
    ("columns", "target", "expected"),
    [
        (["churned", "is_churn", "ChurnDate", "age", "churn_flag"], "churn", 4),
        (["previous_churn", "churn_lag_7", "chur", "churning_butter"], "churn", 0),
        (["med_inc", "house_age", "house_value"], "med_house_val", 0),
        (["default_next_month_reason", "default_flag"], "default_next_month", 1),
        (["y_pred", "label", "yes", "my_y"], "y", 3),
        (["x"], None, 0),
    ],
)
def test_names_made_of_the_target(columns: list[str], target: str | None, expected: int) -> None:
    assert len(named_after_target(columns, target)) == expected


def test_a_name_can_be_allowed() -> None:
    frame = clean(400, 6)
    frame["churn_region"] = frame["city"].astype(str)
    assert failed(check(split(frame), only=["target_names"])) == {"target_names"}
    assert not failed(check(split(frame), only=["target_names"], allowed_names=["churn_region"]))
    assert not failed(check(split(frame), only=["target_names"], ignore=["churn_region"]))


@pytest.mark.parametrize("share", [0.03, 0.2])
def test_copied_rows_are_found(share: float) -> None:
    frame = clean(2_000, 7)
    copied = int(500 * share)
    frame = pd.concat([frame, frame[:copied]])
    assert "duplicate_rows" in failed(check(split(frame, 1_500), only=ROWS))


def test_a_table_doubled_before_the_split_is_found() -> None:
    frame = clean(1_000, 8)
    frame = pd.concat([frame, frame]).sample(frac=1, random_state=0)
    assert "duplicate_rows" in failed(check(split(frame), only=ROWS))


def test_rounded_copies_are_found_and_are_no_exact_ones() -> None:
    frame = clean(2_000, 9)
    copied = frame[:60].copy()
    numbers = [f"v{place}" for place in range(6)]
    copied[numbers] = copied[numbers].round(2)
    found = failed(check(split(pd.concat([frame, copied]), 1_500), only=ROWS))
    assert "near_duplicate_rows" in found
    assert "duplicate_rows" not in found


def test_copies_in_a_table_of_few_levels_are_an_excess() -> None:
    rng = np.random.default_rng(10)
    frame = pd.DataFrame({name: rng.integers(0, 20, 3_000) for name in ("p", "q", "r")})
    frame["churn"] = rng.integers(0, 2, 3_000)
    tables = split(pd.concat([frame, frame[:500]]), 2_500)
    assert failed(check(tables, only=ROWS[:2])) == {"duplicates_beyond_chance"}


def test_types_that_differ_between_the_tables_are_compared_by_value() -> None:
    frame = clean(400, 11)
    first, second = split(pd.concat([frame, frame[:100]]), 400)
    other = second.frame.assign(
        age=second.frame["age"].astype("float64"),
        city=second.frame["city"].astype(object),
        plan=second.frame["plan"].astype("string"),
        flag=second.frame["flag"].astype("boolean"),
        v0=second.frame["v0"].astype("Float64"),
    )
    evidence = no_leakage(
        first, dataset(other, second.target, "test"), only=["duplicate_rows"], gate_id="performance.x"
    )
    assert evidence.details["equal_to_training_row"] == 1.0


def test_entities_in_both_splits_are_found() -> None:
    frame = clean(1_000, 12).assign(client=np.arange(1_000) // 2)
    tables = split(frame.sample(frac=1, random_state=0))
    assert failed(check(tables, entity="client")) == {"entity_overlap"}
    assert not failed(check(split(frame, 700), entity="client"))


def test_times_are_compared_across_time_zones() -> None:
    frame = clean(400, 13)
    stamps = pd.date_range("2026-01-01", periods=400, freq="h", tz="UTC")
    first, second = split(frame.assign(at=stamps), 300)
    assert not failed(check((first, second), time="at", only=["time_overlap"]))
    moved = second.frame.assign(at=second.frame["at"].dt.tz_convert("America/New_York"))
    zoned = dataset(moved, second.target, "test")
    assert not failed(check((first, zoned), time="at", only=["time_overlap"]))
    text = dataset(moved.assign(at=[stamp.isoformat() for stamp in moved["at"]]), second.target, "test")
    assert not failed(check((first, text), time="at", only=["time_overlap"]))
    mixed = split(frame.assign(at=stamps.tz_localize(None)[np.random.default_rng(0).permutation(400)]), 300)
    assert failed(check(mixed, time="at", only=["time_overlap"])) == {"time_overlap"}
    with pytest.raises(InputError, match="time zone"):
        check((first, mixed[1]), time="at", only=["time_overlap"])


def test_a_date_after_the_decision_is_found() -> None:
    frame = clean(400, 14)
    at = pd.Series(pd.date_range("2026-01-01", periods=400, freq="D"))
    day = np.timedelta64(1, "D")
    frame = frame.assign(at=at, opened=at - 9 * day, updated=at + 3 * day)
    found = no_leakage(*split(frame), time="at", only=["later_dates"], gate_id="performance.x")
    assert failed(outcomes(found)) == {"later_dates"}
    assert not failed(check(split(frame), time="at", only=["later_dates"], ignore=["updated"]))


def test_splits_that_differ_are_told_apart() -> None:
    frame = clean(1_000, 15)
    frame.loc[700:, "v3"] += 2.5
    assert failed(check(split(frame, 700), only=["adversarial_auc"])) == {"adversarial_auc"}


def tree(features: pd.DataFrame, target: npt.NDArray[Any]) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(random_state=0).fit(features[["id"]], target)


def test_a_model_of_the_identifier_shows_in_the_gap() -> None:
    rng = np.random.default_rng(16)
    frame = pd.DataFrame({"id": rng.permutation(1_000), "churn": rng.integers(0, 2, 1_000)})
    tables = split(frame)
    model = tree(tables[0].frame, tables[0].target if tables[0].target is not None else np.zeros(0))
    samples = [
        Sample(y_true=np.asarray(part.target), y_pred=model.predict(part.frame[["id"]])) for part in tables
    ]
    found = check(
        tables,
        only=["score_gap"],
        limits={"score_gap": 0.1},
        metric="accuracy",
        reference_sample=samples[0],
        test_sample=samples[1],
    )
    assert failed(found) == {"score_gap"}


def test_a_shuffled_target_leaves_no_skill_but_where_the_truth_is_known() -> None:
    tables = split(clean(800, 17))
    truth = tables[0].target

    def honest(features: pd.DataFrame, target: npt.NDArray[Any]) -> LogisticRegression:
        return LogisticRegression().fit(features[["v0", "v1"]], target)

    def cheating(features: pd.DataFrame, _target: npt.NDArray[Any]) -> LogisticRegression:
        return LogisticRegression().fit(features[["v0", "v1"]], truth)

    only = ["skill_after_shuffling"]
    assert set(check(tables, only=only, train=honest).values()) == {Outcome.PASS}
    assert failed(check(tables, only=only, train=cheating)) == set(only)


def test_alarms_and_switches() -> None:
    frame = clean(1_000, 18)
    frame["leak"] = frame["churn"] * 2.0
    tables = split(frame)
    assert failed(check(tables, burden="violation", only=["single_feature", "target_names"])) == {
        "single_feature"
    }
    evidence = no_leakage(
        *tables, limits={"single_feature": None, "adversarial_auc": None}, gate_id="performance.x"
    )
    not_run = evidence.details["not_run"]
    assert isinstance(not_run, dict)
    assert not_run["single_feature"] == "switched off"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limits": {"single_feture": 0.9}}, "no kind of leakage"),
        ({"limits": {"duplicate_rows": 2.0}}, "between 0 and 1"),
        ({"only": ["entity_overlap"]}, "no entity column is named"),
        ({"only": ["score_gap"]}, "are needed"),
        ({"only": ["entity_overlap"], "entity": "nobody"}, "no column 'nobody'"),
        ({"only": ["time_overlap"], "time": "city"}, "no time"),
        ({"only": ["target_names"], "ignore": ["nothing"]}, "to ignore"),
        ({"only": ["skill_after_shuffling"], "train": lambda _x, _y: None}, "returned None"),
    ],
)
def test_what_can_not_be_looked_at_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(split(clean(200, 19)), **options)


def test_a_missing_entity_or_target_is_refused() -> None:
    frame = clean(200, 20).assign(client="a")
    frame.loc[3, "client"] = None
    with pytest.raises(InputError, match="whose they are"):
        check(split(frame), entity="client", only=["entity_overlap"])
    broken = clean(200, 21).astype({"churn": float})
    broken.loc[5, "churn"] = np.nan
    with pytest.raises(InputError, match="target"):
        check(split(broken), only=["single_feature"])
