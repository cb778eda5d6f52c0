"""Retraining with other seeds: a steady model passes, a shaky one fails, and few seeds prove little."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from pytest_prodml.adapters.tables import Dataset, load_dataset
from pytest_prodml.checks.performance.stability import stable
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome


def table(rows: int, seed: int, name: str) -> Dataset:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, 3)), columns=["a", "b", "c"])
    return load_dataset((frame, (frame["a"] + rng.normal(size=rows) > 0).astype(int)), name=name, target="y")


TRAIN, TEST = table(600, 0, "reference"), table(600, 1, "test")


def steady(features: pd.DataFrame, target: npt.NDArray[Any], *, seed: int) -> LogisticRegression:
    rows = np.random.default_rng(seed).permutation(len(features))[:550]
    return LogisticRegression().fit(features.iloc[rows], target[rows])


def shaky(features: pd.DataFrame, target: npt.NDArray[Any], *, seed: int) -> LogisticRegression:
    rows = np.random.default_rng(seed).permutation(len(features))[:8]
    target = target.copy()
    target[rows[:2]] = (0, 1)
    return LogisticRegression().fit(features.iloc[rows], target[rows])


def outcomes(evidence: Evidence) -> list[Outcome]:
    return [j.judgement.outcome for j in judge_criteria("performance.x", evidence, confidence_level=0.95)]


def ask(train: Any, **kwargs: Any) -> Evidence:
    return stable(
        train, kwargs.pop("metric", "accuracy"), TRAIN, TEST, gate_id="performance.stable", **kwargs
    )


def test_a_steady_model_passes_and_names_its_seeds() -> None:
    evidence = ask(steady, seeds=6, seed=3, spread_at_most=0.03, worst_at_least=0.65, changed_at_most=0.1)
    assert outcomes(evidence) == [Outcome.PASS] * 3
    retrainings = evidence.details["retrainings"]
    assert isinstance(retrainings, list)
    assert [row["seed"] for row in retrainings if isinstance(row, dict)] == [3, 4, 5, 6, 7, 8]


def test_a_shaky_model_fails() -> None:
    evidence = ask(shaky, seeds=12, spread_at_most=0.02, worst_at_least=0.75, changed_at_most=0.05)
    assert outcomes(evidence) == [Outcome.FAIL] * 3


def test_three_seeds_prove_little() -> None:
    retrainings = ask(shaky, seeds=3, worst_at_least=0.68).details["retrainings"]
    assert isinstance(retrainings, list)
    values = [float(str(row["accuracy"])) for row in retrainings if isinstance(row, dict)]
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    evidence = ask(shaky, seeds=3, worst_at_least=max(mean - 2 * spread, 0.0))
    assert outcomes(evidence) == [Outcome.INCONCLUSIVE]


def test_a_loss_has_a_ceiling_and_scores_are_compared_at_a_threshold() -> None:
    evidence = ask(steady, metric="brier_score_loss", threshold=0.5, worst_at_most=0.3, changed_at_most=0.1)
    assert outcomes(evidence) == [Outcome.PASS] * 2
    with pytest.raises(InputError, match="floor under it"):
        ask(steady, metric="brier_score_loss", worst_at_least=0.1)
    with pytest.raises(InputError, match="give threshold"):
        ask(steady, metric="roc_auc", changed_at_most=0.1)


def test_folds_are_told_without_bounds() -> None:
    evidence = stable(steady_fold, "accuracy", TRAIN, folds=5, spread_at_most=0.2, gate_id="g")
    assert outcomes(evidence) == [Outcome.INCONCLUSIVE]
    assert all(measured.lower is None and measured.upper is None for measured in evidence.measurements)


def steady_fold(features: pd.DataFrame, target: npt.NDArray[Any], *, seed: int) -> LogisticRegression:
    return LogisticRegression(random_state=seed).fit(features, target)


def test_a_training_without_chance_has_no_spread() -> None:
    evidence = ask(steady_fold, spread_at_most=0.0, changed_at_most=0.01)
    assert outcomes(evidence) == [Outcome.PASS] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "without a limit"),
        ({"seeds": 2, "spread_at_most": 0.1}, "between 3 and 50"),
        ({"seeds": [1, 1, 2], "spread_at_most": 0.1}, "more than once"),
        ({"folds": 400, "spread_at_most": 0.1}, "between 3 and 50"),
        ({"folds": 5, "changed_at_most": 0.1}, "no rows in common"),
        ({"spread_at_most": 0.1, "worst_at_most": 0.9}, "needs a floor"),
    ],
)
def test_what_can_not_be_judged_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask(steady, **options)


def test_a_training_that_returns_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="returned None"):
        ask(lambda _features, _target, *, seed: None, spread_at_most=0.1)  # noqa: ARG005
