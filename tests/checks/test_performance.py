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
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from pytest_prodml.checks.performance import METRICS, Sample, at_least, at_most, between
from pytest_prodml.codec import decode, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.criterion import judge_criterion
from pytest_prodml.records import Comparison, Evidence, Measurement, Outcome

#: Two classes and one score a row; tests of the other metrics stand beside their modules.
LABEL_METRICS = ["accuracy", "balanced_accuracy", "f1", "precision", "recall", "specificity"]
SCORE_METRICS = ["average_precision", "brier_score_loss", "roc_auc"]
BASIC = LABEL_METRICS + SCORE_METRICS
OPTIONS = {"by", "where", "where_name", "margin", "burden", "confidence_level", "seed"}


def ask(metric: str, limit: float, truth: Any, **kwargs: Any) -> Evidence:
    check = at_least if METRICS[metric].higher_is_better else at_most
    options = {name: kwargs.pop(name) for name in OPTIONS & kwargs.keys()}
    return check(metric, limit, Sample(y_true=truth, **kwargs), gate_id="performance.test", **options)


def outcome(evidence: Evidence) -> Outcome:
    (criterion,) = evidence.criteria
    return judge_criterion(criterion, evidence, confidence_level=0.95).outcome


def only(evidence: Evidence) -> Measurement:
    (measured,) = evidence.measurements
    return measured


def accuracy_of(right: int, rows: int, limit: float) -> Evidence:
    truth = np.arange(rows) % 2
    predicted = np.where(np.arange(rows) < right, truth, 1 - truth)
    return ask("accuracy", limit, truth, y_pred=predicted)


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


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=4, max_size=120),
    st.sampled_from(BASIC),
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


@pytest.mark.parametrize("metric", BASIC)
@pytest.mark.parametrize("truth", [[], [0], [1], [0] * 30, [1] * 30])
def test_empty_and_one_class_sets_never_pass_a_real_limit(metric: str, truth: list[int]) -> None:
    evidence = ask(
        metric, 0.05 if metric == "brier_score_loss" else 0.95, truth, y_score=truth, threshold=0.5
    )
    if metric not in {"recall", "specificity"} or not truth:
        assert only(evidence).value is None
        assert only(evidence).note
    assert outcome(evidence) is Outcome.INCONCLUSIVE


def test_a_margin_loosens_the_limit() -> None:
    assert outcome(accuracy_of(900, 1_000, 0.9)) is Outcome.INCONCLUSIVE
    evidence = ask("accuracy", 0.9, [1] * 900 + [0] * 100, y_pred=[1] * 1_000, margin=0.05)
    assert outcome(evidence) is Outcome.PASS
    assert evidence.criteria[0].margin == 0.05


def test_too_good_to_be_true() -> None:
    sample = Sample(y_true=[0] * 500 + [1] * 500, y_score=np.arange(1_000.0))
    evidence = at_most("roc_auc", 0.98, sample, gate_id="performance.leakage")
    assert evidence.criteria[0].comparison is Comparison.AT_MOST
    assert outcome(evidence) is Outcome.FAIL


# --- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "call"),
    [
        ("did you mean 'roc_auc'", lambda: ask_unknown("roc_auk")),
        ("known: accuracy", lambda: ask_unknown("zzzz")),
        ("use at_most", lambda: floor("brier_score_loss", [0, 1], y_score=[0, 1])),
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
    return at_least(metric, 0.5, Sample(y_true=[0, 1], y_pred=[0, 1]), gate_id="performance.test")


def floor(metric: str, truth: Any, **answers: Any) -> Evidence:
    return at_least(metric, 0.1, Sample(y_true=truth, **answers), gate_id="performance.test")


# --- parts of the rows ------------------------------------------------------------------------------------


def test_a_limit_holds_in_every_group_or_the_gate_does_not_pass() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 4_000)
    sex = np.where(np.arange(4_000) % 4 == 0, "female", "male")
    right = rng.random(4_000) < np.where(sex == "female", 0.80, 0.97)
    evidence = ask("accuracy", 0.9, truth, y_pred=np.where(right, truth, 1 - truth), by={"sex": sex})
    assert [m.group for m in evidence.measurements] == [None, "sex=female", "sex=male"]
    judged = {c.group: judge_criterion(c, evidence, confidence_level=0.95).outcome for c in evidence.criteria}
    assert judged == {"sex=female": Outcome.FAIL, "sex=male": Outcome.PASS}
    women = evidence.measurements[1]
    assert women.n_samples == 1_000
    assert women.value == pytest.approx(float(right[sex == "female"].mean()))


def test_a_group_that_lacks_a_class_is_inconclusive_and_not_dropped() -> None:
    truth = np.array([0, 1] * 200 + [0] * 30)
    place = ["town"] * 400 + ["isle"] * 30
    evidence = ask("accuracy", 0.5, truth, y_pred=truth, by={"place": np.array(place)})
    isle = next(m for m in evidence.measurements if m.group == "place=isle")
    assert isle.value is None
    assert isle.note


def test_where_judges_the_rows_inside_only() -> None:
    truth = np.tile([0, 1], 500)
    predicted = np.where(np.arange(1_000) < 500, truth, 1 - truth)
    inside = np.arange(1_000) < 500
    evidence = ask("accuracy", 0.9, truth, y_pred=predicted, where=inside, where_name="first half")
    assert outcome(evidence) is Outcome.PASS
    assert only(evidence).group == "first half"
    assert only(evidence).n_samples == 500
    with pytest.raises(InputError, match="true or false"):
        ask("accuracy", 0.9, truth, y_pred=predicted, where=np.arange(1_000))


def test_between_needs_proof_on_both_sides() -> None:
    truth = np.tile([0, 1], 1_000)
    wrong = np.arange(2_000) % 10 == 0
    sample = Sample(y_true=truth, y_pred=np.where(wrong, 1 - truth, truth))

    def judged(low: float, high: float) -> list[Outcome]:
        evidence = between("accuracy", low, high, sample, gate_id="performance.test")
        return [judge_criterion(c, evidence, confidence_level=0.95).outcome for c in evidence.criteria]

    assert judged(0.85, 0.95) == [Outcome.PASS, Outcome.PASS]
    assert judged(0.899, 0.95) == [Outcome.INCONCLUSIVE, Outcome.PASS]
    assert judged(0.5, 0.8) == [Outcome.PASS, Outcome.FAIL]
    with pytest.raises(InputError, match="low <= high"):
        between("accuracy", 0.9, 0.8, sample, gate_id="performance.test")


# --- weights and clusters ---------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", BASIC)
def test_weighted_values_are_scikit_learns(metric: str) -> None:
    rng = np.random.default_rng(11)
    truth = rng.integers(0, 2, 400)
    score = np.clip(truth * 0.3 + rng.random(400) * 0.7, 0, 1).round(2)
    weight = rng.integers(1, 6, 400).astype(float)
    measured = only(ask(metric, 0.5, truth, y_score=score, threshold=0.5, sample_weight=weight))
    repeated = np.repeat(np.arange(400), weight.astype(int))
    copies = only(ask(metric, 0.5, truth[repeated], y_score=score[repeated], threshold=0.5))
    assert measured.value == pytest.approx(copies.value)
    assert measured.n_samples == 400
    # Copies are no information: the honest bounds are wider than those of the copied rows.
    for honest, copied in ((measured.lower, copies.lower), (measured.upper, copies.upper)):
        assert honest is not None
        assert copied is not None
    assert (measured.upper or 0) - (measured.lower or 0) > (copies.upper or 0) - (copies.lower or 0)


@pytest.mark.parametrize("metric", BASIC)
def test_rows_of_one_client_do_not_count_as_independent(metric: str) -> None:
    rng = np.random.default_rng(12)
    truth = rng.integers(0, 2, 300)
    score = np.clip(truth * 0.3 + rng.random(300) * 0.7, 0, 1).round(2)
    repeated = np.repeat(np.arange(300), 5)
    plain = only(ask(metric, 0.5, truth, y_score=score, threshold=0.5))
    copied = {"y_score": score[repeated], "threshold": 0.5}
    blind = only(ask(metric, 0.5, truth[repeated], **copied))
    honest = only(ask(metric, 0.5, truth[repeated], groups=repeated, **copied))
    assert honest.value == pytest.approx(plain.value)

    def width(measured: Measurement) -> float:
        assert measured.lower is not None
        assert measured.upper is not None
        return measured.upper - measured.lower

    assert width(blind) < 0.6 * width(plain)
    assert width(honest) == pytest.approx(width(plain), rel=0.12)


# --- alarms -----------------------------------------------------------------------------------------------


def test_an_alarm_carries_the_p_value_of_the_violation() -> None:
    truth = np.ones(200, dtype=int)
    truth[:20] = 0
    predicted = truth.copy()
    predicted[20:60] = 0
    measured = only(ask("recall", 0.9, truth, y_pred=predicted, burden="violation"))
    exact = float(binom.cdf(140, 180, 0.9))
    assert measured.p_value == pytest.approx(exact, rel=1e-3)
    kept = only(ask("recall", 0.5, truth, y_pred=predicted, burden="violation"))
    assert kept.p_value == 1
    with pytest.raises(InputError, match="compliance or violation"):
        ask("recall", 0.9, truth, y_pred=predicted, burden="guard")


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
