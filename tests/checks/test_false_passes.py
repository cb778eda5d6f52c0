"""Cases that let a bad model pass elsewhere: a point gate, or a bootstrap that is certain of three rows."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.stats import binom

from pytest_prodml.adapters.tables import load_dataset
from pytest_prodml.checks.performance import Sample, at_least, at_most
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome


def outcome(evidence: Evidence) -> Outcome:
    [judged] = judge_criteria(evidence.gate_id, evidence, confidence_level=0.95)
    return judged.judgement.outcome


@functools.cache
def accuracy_verdict(right: int, rows: int, limit: float) -> Outcome:
    truth = np.arange(rows) % 2
    predicted = np.where(np.arange(rows) < right, truth, 1 - truth)
    sample = Sample(y_true=truth, y_pred=predicted)
    return outcome(at_least("accuracy", limit, sample, gate_id="performance.accuracy"))


def verdict(metric: str, limit: float, truth: Any, **answers: Any) -> Outcome:
    return outcome(at_least(metric, limit, Sample(y_true=truth, **answers), gate_id="performance.it"))


@pytest.mark.parametrize(
    ("right", "rows", "limit"), [(43, 50, 0.85), (3, 3, 0.99), (20, 20, 0.95), (1, 1, 0.5)]
)
def test_few_right_answers_prove_little(right: int, rows: int, limit: float) -> None:
    assert right / rows >= limit
    assert accuracy_verdict(right, rows, limit) is not Outcome.PASS


def pass_rate(truth: float, rows: int, limit: float, *, runs: int = 20_000) -> tuple[float, float]:
    """Return how often our gate and a point gate pass a model whose true accuracy is `truth`."""
    right = np.random.default_rng(20261123).binomial(rows, truth, size=runs)
    counts, times = np.unique(right, return_counts=True)
    ours = sum(
        int(n)
        for k, n in zip(counts.tolist(), times, strict=True)
        if accuracy_verdict(k, rows, limit) is Outcome.PASS
    )
    return ours / runs, float(np.mean(right / rows >= limit))


def test_a_model_below_its_floor_passes_at_most_one_time_in_twenty() -> None:
    ours, point = pass_rate(0.80, 50, 0.85)
    assert ours <= 0.05
    # A point gate: P(X >= 43), X binomial of 50 and 0.80, is 0.19.
    assert point == pytest.approx(float(binom.sf(42, 50, 0.80)), abs=0.01)
    assert point > 0.17


@pytest.mark.parametrize("rows", [50, 200, 1_000, 5_000])
def test_a_model_exactly_on_its_floor_passes_one_time_in_twenty(rows: int) -> None:
    ours, point = pass_rate(0.90, rows, 0.90)
    assert 0.03 <= ours <= 0.06
    assert 0.50 <= point <= 0.63


class TestImbalance:
    truth = np.arange(5_000) % 100 == 0
    constant = np.zeros(5_000, dtype=bool)

    @pytest.mark.parametrize("metric", ["precision", "recall", "f1", "balanced_accuracy"])
    def test_a_constant_model_is_not_good_at_anything_that_counts(self, metric: str) -> None:
        assert verdict(metric, 0.6, self.truth, y_pred=self.constant, positive_label=True) is not Outcome.PASS

    @pytest.mark.parametrize("metric", ["matthews_corrcoef", "cohen_kappa_score"])
    def test_nor_agrees_with_the_truth_more_than_chance(self, metric: str) -> None:
        assert (
            verdict(metric, 0.05, self.truth, y_pred=self.constant, positive_label=True) is not Outcome.PASS
        )

    def test_nor_ranks(self) -> None:
        nothing = self.constant.astype(float)
        assert verdict("roc_auc", 0.6, self.truth, y_score=nothing, positive_label=True) is Outcome.FAIL
        assert (
            verdict("average_precision", 0.05, self.truth, y_score=nothing, positive_label=True)
            is not Outcome.PASS
        )


class TestInputThatCanNotBeJudged:
    @pytest.mark.parametrize("bad", [math.nan, math.inf, None])
    def test_predictions_that_are_no_numbers(self, bad: Any) -> None:
        truth = [0, 1] * 50
        scores: list[Any] = [0.1, 0.9] * 50
        scores[7] = bad
        for metric in ("roc_auc", "brier_score_loss", "log_loss"):
            with pytest.raises(InputError):
                at_most(metric, 0.9, Sample(y_true=truth, y_score=scores), gate_id="performance.it")

    def test_labels_of_another_pair(self) -> None:
        truth = np.array([1, 2] * 100)
        assert verdict("accuracy", 0.9, truth, y_pred=truth) is Outcome.PASS
        with pytest.raises(InputError, match="y_pred holds 0"):
            verdict("accuracy", 0.9, truth, y_pred=truth - 1)
        # With 1 and 2 the positive class is named, and never "whatever is not 0".
        assert verdict("recall", 0.9, truth, y_pred=truth, positive_label=2) is Outcome.PASS
        swapped = verdict("roc_auc", 0.9, truth, y_score=(truth == 2).astype(float), positive_label=1)
        assert swapped is Outcome.FAIL

    def test_labels_as_text(self) -> None:
        truth = np.array(["no", "yes"] * 100)
        assert verdict("f1", 0.9, truth, y_pred=truth, positive_label="yes") is Outcome.PASS
        with pytest.raises(InputError, match="positive_label 1"):
            verdict("f1", 0.9, truth, y_pred=truth)
        with pytest.raises(InputError, match="y_pred holds"):
            verdict("accuracy", 0.9, np.array(["0", "1"] * 9), y_pred=np.array([0, 1] * 9))

    @pytest.mark.parametrize("metric", ["accuracy", "f1", "roc_auc", "average_precision", "log_loss"])
    @pytest.mark.parametrize("only", [0, 1])
    def test_one_class(self, metric: str, only: int) -> None:
        truth: npt.NDArray[np.int64] = np.full(500, only)
        check = at_most if metric == "log_loss" else at_least
        answers = {"y_pred": truth} if metric in {"accuracy", "f1"} else {"y_score": truth.astype(float)}
        evidence = check(metric, 0.5, Sample(y_true=truth, **answers), gate_id="performance.it")
        assert outcome(evidence) is Outcome.INCONCLUSIVE

    @pytest.mark.parametrize("metric", ["accuracy", "f1", "roc_auc", "brier_score_loss", "recall"])
    def test_no_rows(self, metric: str) -> None:
        check = at_most if metric == "brier_score_loss" else at_least
        sample = Sample(y_true=[], y_pred=[], y_score=[])
        assert outcome(check(metric, 0.5, sample, gate_id="performance.it")) is Outcome.INCONCLUSIVE

    def test_a_missing_column(self) -> None:
        frame = pd.DataFrame({"income": [1.0, 2.0], "repaid": [0, 1]})
        with pytest.raises(InputError, match="'repayed'"):
            load_dataset(frame, name="test", target="repayed")
