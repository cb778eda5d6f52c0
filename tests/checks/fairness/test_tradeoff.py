"""Gap and performance by threshold: each point is what the decisions at that threshold give; never a verdict."""

from __future__ import annotations

from typing import Any

import fairlearn.metrics
import numpy as np
import pytest
import sklearn.metrics

from pytest_prodml.checks.fairness import TRADEOFF, Answers, difference_at_most, tradeoff
from pytest_prodml.codec import canonical_json, decode, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge
from pytest_prodml.records import Dimension, Evidence, Gate, GateRun, Outcome, RunState

RANDOM = np.random.default_rng(8)
N = 1500
SEX = RANDOM.choice(["f", "m", "x"], N, p=[0.5, 0.4, 0.1])
TRUTH = RANDOM.integers(0, 2, N)
SCORE = np.round(np.clip(0.3 + 0.25 * TRUTH + 0.1 * (SEX == "m") + RANDOM.normal(0, 0.2, N), 0, 1), 2)

PERFORMANCE = {
    "accuracy": sklearn.metrics.accuracy_score,
    "balanced_accuracy": sklearn.metrics.balanced_accuracy_score,
    "f1": sklearn.metrics.f1_score,
    "precision": sklearn.metrics.precision_score,
    "recall": sklearn.metrics.recall_score,
    "specificity": lambda y, d: sklearn.metrics.recall_score(y, d, pos_label=0),
}
GAPS = {
    "accuracy": sklearn.metrics.accuracy_score,
    "false_negative_rate": fairlearn.metrics.false_negative_rate,
    "false_positive_rate": fairlearn.metrics.false_positive_rate,
    "precision": sklearn.metrics.precision_score,
    "selection_rate": fairlearn.metrics.selection_rate,
    "true_negative_rate": fairlearn.metrics.true_negative_rate,
    "true_positive_rate": fairlearn.metrics.true_positive_rate,
}


def curve(metric: str = "selection_rate", **more: Any) -> dict[str, Any]:
    found = tradeoff(metric, TRUTH, SCORE, {"sex": SEX}, gate_id="fairness.test", **more)
    assert found.criteria == ()
    series = found.details["tradeoff"]
    assert isinstance(series, dict)
    return dict(series)


@pytest.mark.parametrize("metric", [*GAPS, "equalized_odds"])
def test_each_gap_is_fairlearns_at_that_threshold(metric: str) -> None:
    thresholds = [0.0, 0.2, 0.35, 0.5, 0.6]
    series = curve(metric, thresholds=thresholds)
    assert series["x"] == thresholds
    for place, threshold in enumerate(thresholds):
        decision = (threshold <= SCORE).astype(int)
        if metric == "equalized_odds":
            wanted = fairlearn.metrics.equalized_odds_difference(TRUTH, decision, sensitive_features=SEX)
        else:
            wanted = fairlearn.metrics.MetricFrame(
                metrics=GAPS[metric], y_true=TRUTH, y_pred=decision, sensitive_features=SEX
            ).difference()
        assert series["y"][place] == pytest.approx(wanted, abs=1e-12)
        assert series["selection_rate"][place] == pytest.approx(decision.mean())
        assert series["lower"][place] <= series["y"][place] + 1e-12
        assert series["upper"][place] >= series["y"][place] - 1e-12


@pytest.mark.parametrize("name", PERFORMANCE)
def test_each_performance_is_scikit_learns_at_that_threshold(name: str) -> None:
    thresholds = [0.1, 0.4, 0.55, 0.8]
    series = curve(performance=name, thresholds=thresholds)
    for place, threshold in enumerate(thresholds):
        wanted = PERFORMANCE[name](TRUTH, (threshold <= SCORE).astype(int))
        assert series["performance"][place] == pytest.approx(wanted, abs=1e-12)
        assert series["performance_lower"][place] <= wanted <= series["performance_upper"][place]


def test_the_favorable_decision_can_be_the_other_label() -> None:
    """In credit 1 is a default, and below the threshold a client is approved."""
    series = curve("true_positive_rate", thresholds=[0.45], favorable_label=0, current=0.45)
    approved, good = SCORE < 0.45, TRUTH == 0
    rates = [approved[good & (sex == SEX)].mean() for sex in "fmx"]
    assert series["y"] == [pytest.approx(max(rates) - min(rates))]
    assert series["selection_rate"] == [pytest.approx(approved.mean())]


def test_the_threshold_in_use_is_marked_and_its_bounds_are_the_gates_own() -> None:
    found = tradeoff("selection_rate", TRUTH, SCORE, {"sex": SEX}, current=0.5, gate_id="fairness.test")
    series = found.details["tradeoff"]
    assert isinstance(series, dict)
    assert series["threshold"] == 0.5
    assert isinstance(series["x"], list)
    assert 0.5 in series["x"]
    measured = {m.metric: m for m in found.measurements}
    assert set(measured) == {"tradeoff_selection_rate_difference", "tradeoff_accuracy"}
    gate = difference_at_most(
        "selection_rate",
        0.1,
        Answers(y_pred=(SCORE >= 0.5).astype(int)),
        {"sex": SEX},
        gate_id="fairness.test",
    )
    [wanted] = [m for m in gate.measurements if m.group == "sex"]
    ours = measured["tradeoff_selection_rate_difference"]
    assert ours.value == pytest.approx(wanted.value)
    assert ours.upper == pytest.approx(wanted.upper, abs=0.01)
    assert "at the threshold 0.5" in (ours.note or "")


def test_default_thresholds_are_percentiles_and_bounded() -> None:
    random = np.random.default_rng(1)
    score = random.random(5000)
    found = tradeoff(
        "selection_rate",
        random.integers(0, 2, 5000),
        score,
        {"a": random.integers(0, 2, 5000), "b": random.integers(0, 3, 5000)},
        current=0.123456,
        gate_id="fairness.test",
    )
    first, second = found.details["tradeoff"], found.details["tradeoff (2)"]
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert (first["attribute"], second["attribute"]) == ("a", "b")
    assert isinstance(first["x"], list)
    assert len(first["x"]) == 100
    places = [x for x in first["x"] if isinstance(x, float)]
    assert first["x"] == sorted(set(places))
    assert decode(Evidence, encode(found), where="test") == found
    assert len(canonical_json(encode(found))) < 60_000


def test_what_is_undefined_stays_so() -> None:
    """Nobody is predicted positive from 0.9 on: there is no precision, and no gap of it."""
    series = curve("precision", thresholds=[0.5, 1.5], performance="precision")
    assert series["performance"][1] is None
    assert series["y"][1] is None
    assert series["y"][0] is not None


def test_it_says_explanation_and_no_policy_takes_it_for_a_pass() -> None:
    found = tradeoff("selection_rate", TRUTH, SCORE, {"sex": SEX}, gate_id="fairness.test")
    assert found.details["explanation"] == TRADEOFF
    assert [m.metric for m in found.measurements] == ["tradeoff_thresholds"]
    gate = Gate(id="fairness.test", dimension=Dimension.FAIRNESS, description="curve")
    run = GateRun(gate_id=gate.id, location="t.py::t", state=RunState.PASSED, evidence=found)
    judged = judge(gate, run, confidence_level=0.95)
    assert (judged.outcome, judged.reason) == (Outcome.INCONCLUSIVE, "no-evidence")


def test_one_group_or_no_rows_have_no_gap() -> None:
    one = tradeoff("selection_rate", [0, 1], [0.2, 0.8], {"g": ["a", "a"]}, current=0.5, gate_id="fairness.t")
    assert one.measurements[0].value is None
    none = tradeoff("selection_rate", [], [], {"g": []}, current=0.5, gate_id="fairness.t")
    assert [m.value for m in none.measurements] == [None, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "selection"}, "selection_rate"),
        ({"performance": "acc"}, "accuracy"),
        ({"groups": {}}, "no attribute"),
        ({"thresholds": []}, "finite numbers"),
        ({"thresholds": [float("nan")]}, "finite numbers"),
        ({"thresholds": np.linspace(0, 1, 101)}, "more than 100"),
        ({"thresholds": ["low"]}, "must be numbers"),
        ({"current": float("inf")}, "finite number"),
        ({"y_true": [0, 1, 2, 1]}, "two labels"),
        ({"y_score": [0.1, None, 0.2, 0.3]}, "not a finite number"),
        ({"y_score": [0.1, 0.2]}, "differ in length"),
        ({"favorable_label": 7}, "not among the labels"),
        ({"positive_label": 7}, "not among the labels"),
    ],
)
def test_what_has_no_curve(change: dict[str, Any], message: str) -> None:
    call: dict[str, Any] = {
        "metric": "selection_rate",
        "y_true": [0, 1, 0, 1],
        "y_score": [0.1, 0.9, 0.4, 0.6],
        "groups": {"sex": ["f", "m", "m", "f"]},
        "gate_id": "fairness.test",
    } | change
    with pytest.raises(InputError, match=message):
        tradeoff(**call)
