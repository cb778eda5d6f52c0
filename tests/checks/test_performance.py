"""Performance gates: scikit-learn's values, honest bounds, and what must never pass."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import sklearn.metrics
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binom

from pytest_prodml.checks.performance import METRICS, Kind, at_least, at_most
from pytest_prodml.codec import decode, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criterion
from pytest_prodml.records import Comparison, Evidence, Measurement, Outcome

LABEL_METRICS = [name for name, metric in METRICS.items() if metric.kind in {Kind.CLASSES, Kind.TWO_CLASSES}]
SCORE_METRICS = [name for name in METRICS if name not in LABEL_METRICS]


def ask(metric: str, limit: float, *args: Any, **kwargs: Any) -> Evidence:
    check = at_least if METRICS[metric].higher_is_better else at_most
    return check(metric, limit, *args, gate_id="performance.test", **kwargs)


def outcome(evidence: Evidence) -> Outcome:
    (criterion,) = evidence.criteria
    return judge_criterion(criterion, evidence, confidence_level=0.95).outcome


def only(evidence: Evidence) -> Measurement:
    (measured,) = evidence.measurements
    return measured


def accuracy_of(right: int, rows: int, limit: float) -> Evidence:
    truth = np.arange(rows) % 2
    predicted = np.where(np.arange(rows) < right, truth, 1 - truth)
    return at_least("accuracy", limit, truth, y_pred=predicted, gate_id="performance.accuracy")


# --- values -----------------------------------------------------------------------------------------------


def reference(
    metric: str, truth: npt.NDArray[Any], predicted: npt.NDArray[Any], score: npt.NDArray[Any]
) -> float:
    if metric == "specificity":
        return float(sklearn.metrics.recall_score(truth, predicted, pos_label=0))
    if metric in SCORE_METRICS:
        return float(
            getattr(sklearn.metrics, f"{metric}_score" if "score" not in metric else metric)(truth, score)
        )
    name = metric if metric.endswith("_score") else f"{metric}_score"
    return float(getattr(sklearn.metrics, name)(truth, predicted))


@given(
    st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=4, max_size=120),
    st.sampled_from(list(METRICS)),
)
def test_values_are_scikit_learns(rows: list[tuple[int, float]], metric: str) -> None:
    truth, score = (np.array(column) for column in zip(*rows, strict=True))
    predicted = (score >= 0.5).astype(int)
    assume(0 < truth.sum() < truth.size)
    assume(predicted.sum() > 0)
    evidence = ask(metric, 0.5, truth, y_score=score, threshold=0.5)
    measured = only(evidence)
    assert measured.value is not None
    assert measured.value == pytest.approx(reference(metric, truth, predicted, score), abs=1e-12)
    assert measured.n_samples == truth.size
    assert measured.lower is None or measured.lower <= measured.value + 1e-12
    assert measured.upper is None or measured.value - 1e-12 <= measured.upper
    assert decode(Evidence, encode(evidence)) == evidence


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=6, max_size=60))
def test_many_classes_are_scikit_learns(rows: list[tuple[str, str]]) -> None:
    truth, predicted = (list(column) for column in zip(*rows, strict=True))
    assume(set(truth) == set("abc"))
    for metric in ("accuracy", "balanced_accuracy"):
        measured = only(ask(metric, 0.5, truth, y_pred=predicted))
        assert measured.value == pytest.approx(
            getattr(sklearn.metrics, f"{metric}_score")(truth, predicted), abs=1e-12
        )


@pytest.mark.parametrize("metric", LABEL_METRICS)
def test_labels_may_have_any_name_and_type(metric: str) -> None:
    rng = np.random.default_rng(1)
    truth, predicted = rng.random((2, 200)) < 0.4
    expected = only(ask(metric, 0.5, truth, y_pred=predicted)).value
    names = np.array(["good", "bad"])
    for convert, positive in (
        (lambda column: column.astype(int), 1),
        (lambda column: column.astype(float), 1),
        (lambda column: column * 2 - 1, 1),
        (lambda column: names[column.astype(int)], "bad"),
        (lambda column: names[column.astype(int)].tolist(), "bad"),
        (lambda column: pd.Series(names[column.astype(int)], dtype="category"), "bad"),
        (lambda column: pd.Series(column, dtype="boolean"), True),
        (lambda column: np.where(column, 2, 1), 2),
    ):
        found = only(
            ask(metric, 0.5, convert(truth), y_pred=convert(predicted), positive_label=positive)
        ).value
        assert found == expected


def test_the_positive_label_decides() -> None:
    truth, predicted = ["a", "a", "b", "b"], ["a", "b", "b", "b"]
    assert only(ask("recall", 0.5, truth, y_pred=predicted, positive_label="a")).value == 0.5
    assert only(ask("recall", 0.5, truth, y_pred=predicted, positive_label="b")).value == 1
    assert only(ask("roc_auc", 0.5, [1, 1, 2, 2], y_score=[0.9, 0.8, 0.2, 0.1])).value == 1
    assert only(ask("roc_auc", 0.5, [1, 1, 2, 2], y_score=[0.9, 0.8, 0.2, 0.1], positive_label=2)).value == 0


# --- verdicts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "rows", "limit"), [(43, 50, 0.85), (3, 3, 0.99), (20, 20, 0.95), (2, 2, 0.5), (50, 50, 0.95)]
)
def test_what_peers_pass_is_not_proven(right: int, rows: int, limit: float) -> None:
    evidence = accuracy_of(right, rows, limit)
    assert only(evidence).value is not None
    assert outcome(evidence) is Outcome.INCONCLUSIVE
    required = only(evidence).n_required
    assert required is not None
    assert required > rows


def test_three_of_three_names_the_rows_that_would_decide() -> None:
    measured = only(accuracy_of(3, 3, 0.99))
    assert measured.n_required == 299
    assert outcome(accuracy_of(299, 299, 0.99)) is Outcome.PASS
    assert outcome(accuracy_of(298, 298, 0.99)) is Outcome.INCONCLUSIVE


def test_decided_gates_ask_for_no_rows() -> None:
    assert outcome(accuracy_of(950, 1_000, 0.9)) is Outcome.PASS
    assert outcome(accuracy_of(800, 1_000, 0.9)) is Outcome.FAIL
    assert only(accuracy_of(950, 1_000, 0.9)).n_required is None
    assert only(accuracy_of(800, 1_000, 0.9)).n_required is None


def passes(n: int, limit: float, true: float) -> float:
    """Return the exact probability that the gate passes."""
    needed = next((k for k in range(n + 1) if outcome(accuracy_of(k, n, limit)) is Outcome.PASS), n + 1)
    return float(binom.sf(needed - 1, n, true))


def test_a_worse_model_hardly_ever_passes() -> None:
    assert passes(50, 0.85, 0.80) <= 0.05  # a point gate: 0.19


@pytest.mark.parametrize(("n", "floor"), [(50, 0.85), (50, 0.9), (200, 0.8), (500, 0.9), (1_000, 0.95)])
def test_a_model_on_its_floor_passes_at_the_level(n: int, floor: float) -> None:
    assert 0.02 <= passes(n, floor, floor) <= 0.05  # a point gate: 0.51 to 0.62


def test_auc_on_its_floor_passes_at_the_level() -> None:
    rng = np.random.default_rng(2)
    shift = 1.1902322  # sqrt(2) times the normal quantile of 0.8
    passed = 0
    truth = np.arange(500) < 150
    for _ in range(1_000):
        score = rng.normal(truth * shift, 1.0)
        passed += outcome(ask("roc_auc", 0.8, truth, y_score=score, positive_label=True)) is Outcome.PASS
    assert 0.02 <= passed / 1_000 <= 0.068


def test_a_constant_model_on_99_to_1() -> None:
    truth = (np.arange(5_000) < 50).astype(int)
    nothing = np.zeros(5_000)
    assert (
        outcome(ask("accuracy", 0.98, truth, y_score=nothing, threshold=0.5)) is Outcome.PASS
    )  # and is true
    for metric, limit in (("recall", 0.5), ("f1", 0.5), ("balanced_accuracy", 0.6), ("roc_auc", 0.7)):
        assert outcome(ask(metric, limit, truth, y_score=nothing, threshold=0.5)) is Outcome.FAIL
    assert outcome(ask("average_precision", 0.3, truth, y_score=nothing)) is not Outcome.PASS
    precision = ask("precision", 0.5, truth, y_score=nothing, threshold=0.5)
    assert only(precision).value is None
    assert outcome(precision) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("metric", list(METRICS))
@pytest.mark.parametrize("truth", [[], [0], [1], [0] * 30, [1] * 30])
def test_empty_and_one_class_sets_never_pass_a_real_limit(metric: str, truth: list[int]) -> None:
    evidence = ask(
        metric, 0.05 if metric == "brier_score_loss" else 0.95, truth, y_score=truth, threshold=0.5
    )
    if metric not in {"recall", "specificity", "brier_score_loss"} or not truth:
        assert only(evidence).value is None
        assert only(evidence).note
    assert outcome(evidence) is Outcome.INCONCLUSIVE


def test_a_margin_loosens_the_limit() -> None:
    assert outcome(accuracy_of(900, 1_000, 0.9)) is Outcome.INCONCLUSIVE
    evidence = at_least(
        "accuracy",
        0.9,
        [1] * 900 + [0] * 100,
        y_pred=[1] * 1_000,
        margin=0.05,
        gate_id="performance.accuracy",
    )
    assert outcome(evidence) is Outcome.PASS
    assert evidence.criteria[0].margin == 0.05


def test_too_good_to_be_true() -> None:
    evidence = at_most(
        "roc_auc", 0.98, [0] * 500 + [1] * 500, y_score=np.arange(1_000.0), gate_id="performance.leakage"
    )
    assert evidence.criteria[0].comparison is Comparison.AT_MOST
    assert outcome(evidence) is Outcome.FAIL


# --- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "call"),
    [
        ("did you mean 'roc_auc'", lambda: ask_unknown("roc_auk")),
        ("known: accuracy", lambda: ask_unknown("zzzz")),
        ("use at_most", lambda: at_least("brier_score_loss", 0.1, [0, 1], y_score=[0, 1], gate_id="p")),
        ("between 0 and 1", lambda: ask("accuracy", 85, [0, 1], y_pred=[0, 1])),
        ("between 0 and 1", lambda: ask("accuracy", math.nan, [0, 1], y_pred=[0, 1])),
        ("margin", lambda: ask("accuracy", 0.5, [0, 1], y_pred=[0, 1], margin=-0.1)),
        ("confidence_level", lambda: ask("accuracy", 0.5, [0, 1], y_pred=[0, 1], confidence_level=95)),
        ("pass y_score", lambda: ask("roc_auc", 0.5, [0, 1], y_pred=[0, 1])),
        ("threshold", lambda: ask("accuracy", 0.5, [0, 1], y_score=[0.1, 0.9])),
        ("threshold", lambda: ask("accuracy", 0.5, [0, 1], y_score=[0.1, 0.9], threshold=math.nan)),
        ("not a finite number in 1 of 2", lambda: ask("roc_auc", 0.5, [0, 1], y_score=[0.1, math.nan])),
        ("not a finite number", lambda: ask("f1", 0.5, [0, 1], y_score=[0.1, math.inf], threshold=0.5)),
        ("must be numbers", lambda: ask("roc_auc", 0.5, [0, 1], y_score=["low", "high"])),
        ("predict_proba", lambda: ask("roc_auc", 0.5, [0, 1], y_score=[[0.1, 0.9], [0.8, 0.2]])),
        ("outside [0, 1] in 1", lambda: ask("brier_score_loss", 0.5, [0, 1], y_score=[0.1, 1.2])),
        ("differ in length", lambda: ask("accuracy", 0.5, [0, 1, 1], y_pred=[0, 1])),
        ("differ in length", lambda: ask("accuracy", 0.5, [], y_pred=[0, 1])),
        ("differ in length", lambda: ask("roc_auc", 0.5, [0, 1, 1], y_score=[0, 1])),
        ("y_true is missing in 1 of 2", lambda: ask("accuracy", 0.5, [0, None], y_pred=[0, 1])),
        ("y_pred is missing in 1 of 2", lambda: ask("accuracy", 0.5, [0, 1], y_pred=[0, math.nan])),
        ("y_pred holds 2", lambda: ask("accuracy", 0.5, [0, 1, 1], y_pred=[0, 1, 2])),
        ("these look like scores", lambda: ask("accuracy", 0.5, [0, 1, 1], y_pred=[0.1, 0.7, 0.9])),
        ("y_pred holds '0'", lambda: ask("accuracy", 0.5, [0, 1], y_pred=["0", "1"])),
        ("y_true holds 2", lambda: ask("accuracy", 0.5, [0, 1, 2], y_pred=[0, 1, 1], labels=[0, 1])),
        ("needs two classes", lambda: ask("f1", 0.5, [0, 1, 2], y_pred=[0, 1, 1])),
        ("needs two classes", lambda: ask("roc_auc", 0.5, [0, 1, 2], y_score=[0, 1, 1])),
        ("positive_label 1", lambda: ask("f1", 0.5, ["no", "yes"], y_pred=["no", "yes"])),
        ("positive_label 1", lambda: ask("roc_auc", 0.5, ["no", "no"], y_score=[0, 1])),
        ("positive_label 3", lambda: ask("roc_auc", 0.5, [0, 1], y_score=[0, 1], positive_label=3)),
        ("shape", lambda: ask("accuracy", 0.5, [[0], [1]], y_pred=[0, 1])),
    ],
)
def test_what_can_not_be_judged_says_why(told: str, call: Any) -> None:
    with pytest.raises(InputError) as raised:
        call()
    assert told in str(raised.value)


def ask_unknown(metric: str) -> Evidence:
    return at_least(metric, 0.5, [0, 1], y_pred=[0, 1], gate_id="performance.test")


def test_labels_name_the_classes_a_small_set_lacks() -> None:
    evidence = ask("accuracy", 0.1, ["a", "b", "a"], y_pred=["a", "c", "a"], labels=["a", "b", "c"])
    assert only(evidence).value == pytest.approx(2 / 3)
    balanced = ask("balanced_accuracy", 0.1, ["a", "b", "a"], y_pred=["a", "c", "a"], labels=["a", "b", "c"])
    assert only(balanced).value is None
    assert "'c'" in (only(balanced).note or "")


# --- details ----------------------------------------------------------------------------------------------


def test_details_are_bounded_series_and_counts() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(20_000) < 0.3
    score = rng.normal(truth * 1.0, 1.0)
    evidence = ask("roc_auc", 0.7, truth, y_score=score, positive_label=True)
    roc = evidence.details["roc"]
    assert isinstance(roc, dict)
    assert isinstance(roc["x"], list)
    assert isinstance(roc["y"], list)
    assert len(roc["x"]) == len(roc["y"]) <= 200
    assert evidence.details["positive_rows"] == truth.sum()
    counted = ask("f1", 0.1, truth, y_score=score, threshold=0.5, positive_label=True).details["confusion"]
    assert isinstance(counted, dict)
    assert counted["true_positives"] == (truth & (score >= 0.5)).sum()
    assert counted["positive_class"] == "True"
    assert counted["false_negatives"] == (truth & (score < 0.5)).sum()
    assert len(json.dumps(encode(evidence))) < 20_000


def test_many_classes_are_told_one_by_one() -> None:
    truth = np.arange(600) % 60
    details = ask("accuracy", 0.5, truth, y_pred=truth).details["classes"]
    assert isinstance(details, list)
    assert len(details) == 50
    assert details[0] == {"class": "0", "rows": 10, "predicted_right": 10}
