"""Real tables: honest splits are not accused, and leaks as they happen in projects are found in them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from pytest_prodml.adapters.tables import Dataset, load_dataset
from pytest_prodml.checks.performance import Sample
from pytest_prodml.checks.performance.leakage import no_leakage
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Outcome

CREDIT = Path(__file__).parents[2] / "example_project" / "data" / "credit_default.csv.gz"
TABLES = ["iris", "wine", "breast_cancer", "diabetes", "digits", "credit"]
LEAKY = ["wine", "breast_cancer", "digits", "credit"]

#: Too few rows to say that no column alone predicts too well: petals of irises do (AUC .97 to .99), cells of
#: tumors nearly (.97 to .98); and 38 irises can not show how many copies chance explains.
OPEN = {
    "iris": {"single_feature", "duplicates_beyond_chance", "near_duplicates_beyond_chance"},
    "breast_cancer": {"single_feature"},
}

#: The test rows that get a leak: 3 of 100.
SHARE = 0.03


@cache
def _table(name: str) -> pd.DataFrame:
    if name == "credit":
        if not CREDIT.exists():
            pytest.skip("the example project is not here")
        frame = pd.read_csv(CREDIT).rename(columns={"default_next_month": "target"})
        return frame.drop(columns="client_id").sample(6_000, random_state=0)
    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    return frame if isinstance(frame, pd.DataFrame) else pd.DataFrame()


def table(name: str, seed: int = 0) -> pd.DataFrame:
    return _table(name).sample(frac=1, random_state=seed).reset_index(drop=True)


def split(frame: pd.DataFrame, at: int | None = None) -> tuple[Dataset, Dataset]:
    at = len(frame) * 3 // 4 if at is None else at
    first, second = (
        load_dataset(
            (part.drop(columns="target").reset_index(drop=True), part["target"].to_numpy()),
            name=name,
            target="target",
        )
        for name, part in (("reference", frame[:at]), ("test", frame[at:]))
    )
    return first, second


def check(tables: tuple[Dataset, Dataset], **options: Any) -> dict[str, Outcome]:
    evidence = no_leakage(*tables, gate_id="performance.no_leakage", **options)
    judged = judge_criteria("performance.no_leakage", evidence, confidence_level=0.95)
    return {item.criterion.metric: item.judgement.outcome for item in judged}


def failed(found: dict[str, Outcome]) -> set[str]:
    return {kind for kind, outcome in found.items() if outcome is Outcome.FAIL}


@pytest.mark.parametrize("name", TABLES)
def test_random_splits_are_not_accused_with_the_default_limits(name: str) -> None:
    for seed in range(3):
        found = check(split(table(name, seed)), seed=seed)
        undecided = {kind for kind, outcome in found.items() if outcome is Outcome.INCONCLUSIVE}
        assert failed(found) == set()
        assert undecided <= OPEN.get(name, set())


def levels(seed: int) -> pd.DataFrame:
    """Return a table of categories: 4 ** 6 possible rows, most of them rare."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {name: rng.choice(list("abcd"), 1_500, p=[0.6, 0.25, 0.1, 0.05]) for name in "pqrstu"}
    )
    return frame.assign(target=(rng.random(1_500) < np.where(frame["p"] == "a", 0.2, 0.5)).astype(int))


def rare(seed: int) -> pd.DataFrame:
    """Return a table with 2 % of positives."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(2_000, 4)), columns=list("abcd"))
    frame["kind"] = rng.choice(list("xyz"), 2_000)
    risk = frame["a"] + rng.normal(size=2_000)
    return frame.assign(target=(risk > np.quantile(risk, 0.98)).astype(int))


@pytest.mark.parametrize("make", [levels, rare])
def test_honest_tables_with_few_levels_or_rare_positives_are_not_accused(
    make: Callable[[int], pd.DataFrame],
) -> None:
    accused = [failed(check(split(make(seed)), seed=seed)) for seed in range(30)]
    # Several kinds are judged at 5 % each, but their limits lie far from what honest splits give.
    assert sum(map(bool, accused)) <= 1


@pytest.mark.parametrize("name", ["breast_cancer", "credit"])
def test_a_noisy_copy_of_the_target_is_found(name: str) -> None:
    frame = table(name)
    flipped = np.random.default_rng(1).random(len(frame)) < 0.002
    shift = np.random.default_rng(2).normal(scale=0.1, size=len(frame))
    frame["queue"] = (frame["target"] ^ flipped) + shift
    assert failed(check(split(frame), only=["single_feature"])) == {"single_feature"}


def test_a_noisy_copy_of_a_quantity_is_found_and_few_rows_are_no_proof() -> None:
    frame = table("diabetes")
    frame["copy"] = frame["target"] + np.random.default_rng(3).normal(scale=2.0, size=len(frame))
    # 331 rows prove a correlation of .95, not yet of .98; what is undecided does not pass.
    found = check(split(frame), only=["single_feature"])
    assert found == {"single_feature": Outcome.INCONCLUSIVE}
    assert failed(check(split(frame), only=["single_feature"], limits={"single_feature": 0.95}))


def test_what_is_known_only_after_the_outcome_is_found() -> None:
    frame = table("credit")
    rng = np.random.default_rng(4)
    fee = np.where(frame["target"] == 1, rng.gamma(2.0, 50.0, len(frame)), 0.0)
    tables = split(frame.assign(recovery_cost=fee))
    assert failed(check(tables, only=["single_feature"])) == {"single_feature"}
    asked = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(len(frame)), unit="h")
    reviewed = asked + pd.to_timedelta(rng.integers(1, 60, len(frame)), unit="D")
    tables = split(frame.assign(asked=asked, reviewed=reviewed))
    assert "later_dates" in failed(check(tables, time="asked", only=["later_dates"]))


@pytest.mark.parametrize("name", LEAKY)
def test_copied_rows_are_found(name: str) -> None:
    frame = table(name)
    at = len(frame) * 3 // 4
    copied = frame[: max(round((len(frame) - at) * SHARE), 2)]
    assert "duplicate_rows" in failed(check(split(pd.concat([frame, copied]), at), only=["duplicate_rows"]))


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "diabetes"])
def test_copies_that_went_through_rounding_are_found(name: str) -> None:
    frame = table(name)
    at = len(frame) * 3 // 4
    copied = frame[: max(round((len(frame) - at) * SHARE), 3)].copy()
    inputs = copied.columns.drop("target")
    copied[inputs] = copied[inputs].map(lambda value: float(f"{value:.3g}") + 0.0)
    only = ["duplicate_rows", "near_duplicate_rows"]
    moved = frame.astype(dict.fromkeys(inputs, float))
    moved[inputs] *= 1 + np.random.default_rng(5).normal(scale=1e-4, size=(len(frame), len(inputs)))
    found = failed(check(split(pd.concat([moved, copied]), at), only=only))
    assert found == {"near_duplicate_rows"}


def test_a_client_in_both_splits_and_times_that_overlap_are_found() -> None:
    frame = table("credit")
    clients = frame.assign(client=np.arange(len(frame)) // 3)
    assert not failed(check(split(clients), entity="client", only=["entity_overlap"]))
    mixed = clients.sample(frac=1, random_state=0)
    assert failed(check(split(mixed), entity="client", only=["entity_overlap"])) == {"entity_overlap"}
    dated = frame.assign(
        day=pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(len(frame)) // 9, unit="h")
    )
    at = len(frame) // 2
    at -= at % 9
    assert not failed(check(split(dated, at), time="day", only=["time_overlap"]))
    late = pd.concat([dated, dated[:1]])
    assert failed(check(split(late, at), time="day", only=["time_overlap"])) == {"time_overlap"}


def test_an_encoder_that_was_fitted_with_every_answer_is_found() -> None:
    frame = table("credit")
    # As many districts as half of the clients: their mean of the target is nearly the client's own answer.
    frame["district"] = np.random.default_rng(6).integers(0, len(frame) // 2, len(frame))
    encoded = frame.assign(district=frame.groupby("district")["target"].transform("mean"))
    # The best honest column has an AUC of .71: with that known, a limit below the default one can be set.
    limits = {"single_feature": 0.8}
    assert failed(check(split(encoded), only=["single_feature"], limits=limits)) == {"single_feature"}
    assert set(check(split(frame), only=["single_feature"], limits=limits).values()) == {Outcome.PASS}


def test_a_training_that_looks_the_answers_up_is_found() -> None:
    tables = split(table("breast_cancer"))
    answers = tables[0].target

    def honest(features: pd.DataFrame, target: npt.NDArray[Any]) -> object:
        return make_pipeline(StandardScaler(), LogisticRegression()).fit(features, target)

    def stale(features: pd.DataFrame, _target: npt.NDArray[Any]) -> object:
        return make_pipeline(StandardScaler(), LogisticRegression()).fit(features, answers)

    only = ["skill_after_shuffling"]
    assert not failed(check(tables, only=only, train=honest))
    assert failed(check(tables, only=only, train=stale)) == set(only)


def test_a_model_of_an_identifier_is_found() -> None:
    frame = table("credit")
    frame["identifier"] = np.random.default_rng(7).permutation(len(frame))
    tables = split(frame)
    columns = ["identifier", "age"]
    model = DecisionTreeClassifier(random_state=0).fit(tables[0].frame[columns], tables[0].target)
    seen, unseen = (
        Sample(y_true=np.asarray(part.target), y_pred=model.predict(part.frame[columns])) for part in tables
    )
    options = {"metric": "accuracy", "reference_sample": seen, "test_sample": unseen}
    assert failed(check(tables, only=["score_gap"], limits={"score_gap": 0.05}, **options)) == {"score_gap"}
