"""Non-inferiority and superiority: another model, a simple one trained here, an earlier record."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import sklearn.dummy
import sklearn.metrics

from pytest_prodml.checks.metrics.differences import difference
from pytest_prodml.checks.metrics.fallback import custom_metric
from pytest_prodml.checks.performance import METRICS, Measured, Metric, Needs, Sample
from pytest_prodml.checks.performance.paired import against_record, not_worse_than
from pytest_prodml.checks.performance.simple_models import simple_baseline
from pytest_prodml.codec import decode, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.criterion import judge_criterion
from pytest_prodml.records import Comparison, Evidence, Measurement, Outcome, Subject
from pytest_prodml.statistics.estimate import not_estimable

GATE = "performance.not_worse"
MODEL, OTHER = (Subject(name=f"{name}.onnx", digest={"sha256": name * 64}) for name in "ab")


def answers(seed: int = 0, *, n: int = 600, noise: float = 0.3) -> tuple[Sample, Sample]:
    """Return a candidate and a baseline that answers as it does, with some noise."""
    random = np.random.default_rng(seed)
    truth = (random.random(n) < 0.4).astype(int)
    first = truth + random.normal(0.0, 0.9, n)
    second = first + random.normal(0.0, noise, n)
    return tuple(  # type: ignore[return-value]  # two of them
        Sample(
            y_true=truth,
            y_pred=(scores > 0.5).astype(int),
            y_score=1 / (1 + np.exp(-3 * (scores - 0.5))),
        )
        for scores in (first, second)
    )


def numbers(seed: int = 0, n: int = 400) -> tuple[Sample, Sample]:
    """Return two sets of predicted numbers; all are positive, as some losses need."""
    random = np.random.default_rng(seed)
    truth = random.uniform(1.0, 5.0, n)
    return tuple(  # type: ignore[return-value]  # two of them
        Sample(y_true=truth, y_pred=np.abs(truth + random.normal(0.0, error, n)) + 0.01)
        for error in (0.4, 0.5)
    )


def compare(metric: str, candidate: Sample, baseline: Sample, **options: Any) -> Evidence:
    return not_worse_than(metric, candidate, baseline, gate_id=GATE, **options)


def outcome(evidence: Evidence) -> Outcome:
    (criterion,) = evidence.criteria
    return judge_criterion(criterion, evidence, confidence_level=0.95).outcome


def told(evidence: Evidence, metric: str) -> Measurement:
    (found,) = [measured for measured in evidence.measurements if measured.metric == metric]
    return found


def rows_right(n: int, wrong: list[int]) -> npt.NDArray[np.int64]:
    """Return answers to the truth 0, 1, 0, 1, ... that are wrong in the given rows."""
    answer = np.arange(n) % 2
    answer[wrong] = 1 - answer[wrong]
    return answer


# --- every metric -----------------------------------------------------------------------------------------

ONE_LABEL = [name for name in METRICS if not name.endswith("_samples") and name != "top_k_accuracy"]


@pytest.mark.parametrize("metric", [m for m in ONE_LABEL if METRICS[m].needs is not Needs.NUMBERS])
def test_the_difference_is_that_of_both_values(metric: str) -> None:
    """Two independent computations: the registry's, and the paired one."""
    candidate, baseline = answers()
    if METRICS[metric].needs is Needs.SCORES:
        # Metrics of ranked results ask which rows compete; the others do not look.
        candidate, baseline = (replace(one, query=np.arange(600) // 5) for one in (candidate, baseline))
    check_difference(metric, candidate, baseline)


def test_the_difference_of_numbers_is_that_of_both_values() -> None:
    for metric in ONE_LABEL:
        if METRICS[metric].needs is Needs.NUMBERS and metric != "mean_error":
            check_difference(metric, *numbers())


def check_difference(metric: str, candidate: Sample, baseline: Sample) -> None:
    evidence = compare(metric, candidate, baseline, margin=0.0)
    measured = told(evidence, f"{metric}_difference")
    own, other = told(evidence, metric), told(evidence, f"{metric}_of_baseline")
    assert (own.group, other.group) == ("candidate", "baseline")
    assert measured.value is not None
    assert own.value is not None
    assert other.value is not None
    assert measured.value == pytest.approx(own.value - other.value, abs=1e-9)
    assert measured.higher_is_better is METRICS[metric].higher_is_better
    assert evidence.criteria[0].comparison is (
        Comparison.AT_LEAST if METRICS[metric].higher_is_better else Comparison.AT_MOST
    )
    if measured.lower is not None and measured.upper is not None:
        assert measured.lower <= measured.value <= measured.upper
    text = json.dumps(encode(evidence), allow_nan=False)
    assert decode(Evidence, json.loads(text)) == evidence


LOSSES: dict[str, Callable[..., float]] = {
    "mean_absolute_error": sklearn.metrics.mean_absolute_error,
    "mean_squared_error": sklearn.metrics.mean_squared_error,
    "root_mean_squared_error": sklearn.metrics.root_mean_squared_error,
    "r2": sklearn.metrics.r2_score,
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("metric", [*LOSSES, *(f"neg_{name}" for name in LOSSES if name != "r2")])
def test_losses_are_differences_of_scikit_learns(
    monkeypatch: pytest.MonkeyPatch, metric: str, *, weighted: bool
) -> None:
    sign = -1 if metric.startswith("neg_") else 1
    function = LOSSES[metric.removeprefix("neg_")]
    gain = metric == "r2" or sign < 0

    def measure(sample: Sample, seed: int) -> Measured:
        value = sign * function(sample.y_true, sample.y_pred, sample_weight=sample.sample_weight)
        return Measured(estimate=replace(not_estimable("given", f"seed {seed}"), value=value))

    row = Metric(needs=Needs.NUMBERS, measure=measure, higher_is_better=gain, low=None, high=None)
    monkeypatch.setitem(METRICS, metric, row)
    candidate, baseline = numbers(n=3000)
    if weighted:
        weights = np.linspace(0.5, 2.0, 3000)
        candidate, baseline = (replace(one, sample_weight=weights) for one in (candidate, baseline))
    evidence = compare(metric, candidate, baseline, by_at_least=0.01)
    measured = told(evidence, f"{metric}_difference")
    own, other = told(evidence, metric), told(evidence, f"{metric}_of_baseline")
    assert own.value is not None
    assert other.value is not None
    assert measured.value == pytest.approx(own.value - other.value, abs=1e-9)
    assert outcome(evidence) is Outcome.PASS
    assert outcome(compare(metric, baseline, candidate, margin=0.01)) is Outcome.FAIL


def test_log_loss_is_a_difference_of_scikit_learns() -> None:
    candidate, baseline = answers(n=2000)
    found = difference(
        "log_loss", METRICS["roc_auc"], candidate, baseline, seed=0, confidence_level=0.95
    ).estimate
    expected = [
        sklearn.metrics.log_loss(np.asarray(one.y_true), np.asarray(one.y_score))
        for one in (candidate, baseline)
    ]
    assert found.value == pytest.approx(expected[0] - expected[1], abs=1e-9)


def test_a_metric_of_ones_own_is_never_taken_for_another() -> None:
    """What is called like a known metric is refused; a name that holds one is a name like any other."""
    candidate, baseline = answers(n=2000, noise=1.0)
    own, named_alike = (
        custom_metric(name, lambda truth, predicted: 1 - np.mean(truth == predicted), low=0, high=1)
        for name in ("own_accuracy", "accuracy")
    )
    evidence = not_worse_than(own, candidate, baseline, margin=0.2, gate_id=GATE)
    builtin = compare("accuracy", candidate, baseline)
    value = told(builtin, "accuracy_difference").value
    assert value is not None
    assert told(evidence, "own_accuracy_difference").value == pytest.approx(-value)
    assert outcome(evidence) is Outcome.PASS
    with pytest.raises(InputError, match="another name"):
        not_worse_than(named_alike, candidate, baseline, margin=0.2, gate_id=GATE)


@pytest.mark.parametrize(
    "metric",
    ["accuracy", "recall", "f1", "balanced_accuracy", "roc_auc", "brier_score_loss", "average_precision"],
)
def test_weights_and_groups_are_heard(metric: str) -> None:
    candidate, baseline = answers(3, n=400)
    weights = np.linspace(0.2, 3.0, 400)
    weighted = [replace(sample, sample_weight=weights) for sample in (candidate, baseline)]
    grouped = [replace(sample, groups=np.arange(400) // 4) for sample in (candidate, baseline)]
    plain = told(compare(metric, candidate, baseline), f"{metric}_difference")
    heavy = told(compare(metric, *weighted), f"{metric}_difference")
    together = told(compare(metric, *grouped), f"{metric}_difference")
    assert plain.value is not None
    assert heavy.value != pytest.approx(plain.value)
    assert together.value == pytest.approx(plain.value)
    assert (together.lower, together.upper) != (plain.lower, plain.upper)


def test_scores_of_three_classes() -> None:
    random = np.random.default_rng(4)
    truth = random.integers(0, 3, 500)
    pair = []
    for sharpness in (2.0, 1.0):
        logits = sharpness * np.eye(3)[truth] + random.normal(size=(500, 3))
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        pair.append(Sample(y_true=truth, y_score=shares, y_pred=shares.argmax(axis=1)))
    for metric in ("brier_score_loss", "log_loss", "roc_auc_ovr", "f1_macro", "accuracy"):
        check_difference(metric, *pair)
        assert outcome(compare(metric, *pair)) is Outcome.PASS


def test_queries_are_left_out_as_a_whole() -> None:
    candidate, baseline = (replace(one, query=np.arange(600) // 5) for one in answers(noise=2.0))
    seen: list[int] = []

    def measure(sample: Sample, seed: int) -> Measured:
        _, sizes = np.unique(np.asarray(sample.query), return_counts=True)
        seen.extend(sizes.tolist())
        value = float(np.mean(np.asarray(sample.y_score)[np.asarray(sample.y_true) == 1]))
        return Measured(estimate=replace(not_estimable("mean", f"seed {seed}"), value=value))

    own = Metric(needs=Needs.SCORES, measure=measure, name="mean_score_of_positives")
    evidence = not_worse_than(own, candidate, baseline, gate_id=GATE)
    assert told(evidence, "mean_score_of_positives_difference").lower is not None
    assert set(seen) == {5}


# --- verdicts ---------------------------------------------------------------------------------------------


def test_a_proven_loss_fails_and_names_the_broken_rows() -> None:
    truth = rows_right(1000, [])
    candidate = Sample(y_true=truth, y_pred=rows_right(1000, [*range(100, 160), 7]))
    baseline = Sample(y_true=truth, y_pred=rows_right(1000, [7, 8, 9]))
    evidence = compare("accuracy", candidate, baseline, margin=0.02, baseline_name="model 1.4")
    assert outcome(evidence) is Outcome.FAIL
    assert evidence.details["baseline"] == "model 1.4"
    assert evidence.details["newly_broken"] == 60
    assert evidence.details["newly_fixed"] == 2
    assert evidence.details["first_newly_broken_rows"] == list(range(100, 120))
    answered = evidence.details["answers"]
    assert isinstance(answered, list)
    assert [row["rows"] for row in answered if isinstance(row, dict)] == [937, 60, 2, 1]


def test_equal_enough_passes_and_too_few_rows_are_inconclusive() -> None:
    def pair(n: int) -> Evidence:
        truth = rows_right(n, [])
        wrong = list(range(0, n, 20))
        candidate = Sample(y_true=truth, y_pred=rows_right(n, [row + 1 for row in wrong]))
        return compare("accuracy", candidate, Sample(y_true=truth, y_pred=rows_right(n, wrong)), margin=0.03)

    assert outcome(pair(3000)) is Outcome.PASS
    small = pair(100)
    assert outcome(small) is Outcome.INCONCLUSIVE
    needed = small.measurements[0].n_required
    assert needed is not None
    assert outcome(pair(20 * math.ceil(needed / 20))) is Outcome.PASS


def test_superiority_asks_for_more_than_zero() -> None:
    truth = rows_right(2000, [])
    candidate = Sample(y_true=truth, y_pred=rows_right(2000, list(range(0, 2000, 20))))
    baseline = Sample(y_true=truth, y_pred=rows_right(2000, list(range(0, 2000, 10))))
    assert outcome(compare("accuracy", candidate, baseline, by_at_least=0.03)) is Outcome.PASS
    assert outcome(compare("accuracy", candidate, baseline, by_at_least=0.05)) is Outcome.INCONCLUSIVE
    assert outcome(compare("accuracy", candidate, baseline, by_at_least=0.07)) is Outcome.FAIL


def test_a_loss_has_to_be_smaller() -> None:
    truth = np.arange(3000) % 2
    sharp, vague = np.where(truth == 1, 0.8, 0.1), np.where(truth == 1, 0.7, 0.25)
    better = Sample(y_true=truth, y_score=sharp)
    worse = Sample(y_true=truth, y_score=vague)
    assert outcome(compare("brier_score_loss", better, worse, by_at_least=0.02)) is Outcome.PASS
    evidence = compare("brier_score_loss", worse, better, margin=0.001)
    assert outcome(evidence) is Outcome.FAIL
    assert evidence.details["rows_with_larger_loss"]


def test_the_same_answers_of_another_file_do_not_prove_equality() -> None:
    candidate, baseline = answers(noise=0.0)
    evidence = compare("accuracy", candidate, baseline, margin=0.001)
    assert told(evidence, "accuracy_difference").value == 0
    assert outcome(evidence) is Outcome.INCONCLUSIVE


def test_a_constant_model_does_not_beat_the_prior() -> None:
    """99:1: accuracy .99 says nothing, and both are equal."""
    truth = np.arange(2000) % 100 == 0
    constant = Sample(y_true=truth, y_pred=np.zeros(2000, dtype=bool), positive_label=True)
    majority = simple_baseline("majority", pd.DataFrame({"x": np.arange(2000)}), truth)
    baseline = replace(constant, y_pred=majority.predict(pd.DataFrame({"x": np.arange(2000)})))
    evidence = compare("accuracy", constant, baseline, by_at_least=0.005)
    assert outcome(evidence) is not Outcome.PASS
    assert told(compare("f1", constant, baseline), "f1_difference").value == 0


@pytest.mark.parametrize("metric", ["accuracy", "f1", "roc_auc"])
def test_one_class_is_inconclusive(metric: str) -> None:
    truth = np.ones(50, dtype=int)
    first = Sample(y_true=truth, y_pred=truth.copy(), y_score=np.linspace(0, 1, 50))
    second = Sample(y_true=truth, y_pred=truth.copy(), y_score=np.linspace(1, 0, 50))
    evidence = compare(metric, first, second, margin=0.05)
    assert evidence.measurements[0].value is None
    assert outcome(evidence) is Outcome.INCONCLUSIVE


def test_no_rows_are_inconclusive() -> None:
    first, second = (Sample(y_true=[], y_pred=list(column)) for column in ("", ""))
    assert outcome(compare("accuracy", first, second, margin=0.05)) is Outcome.INCONCLUSIVE


# --- what is no comparison --------------------------------------------------------------------------------


def test_the_same_artifact_is_refused() -> None:
    candidate, baseline = answers()
    with pytest.raises(InputError, match="same digest"):
        compare("accuracy", candidate, baseline, candidate_subject=MODEL, baseline_subject=MODEL)
    other = compare("accuracy", candidate, baseline, candidate_subject=MODEL, baseline_subject=OTHER)
    assert other.details["baseline_sha256"] == "b" * 64


def test_the_same_object_is_refused() -> None:
    candidate, _ = answers()
    with pytest.raises(InputError, match="one and the same"):
        compare("accuracy", candidate, candidate)
    with pytest.raises(InputError, match="one and the same"):
        compare("accuracy", candidate, replace(candidate, y_score=None))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_true": np.ones(600, dtype=int)}, "y_true of candidate and baseline differs in"),
        ({"y_true": np.ones(5, dtype=int)}, "600 rows and the baseline 5"),
        ({"sample_weight": np.ones(600)}, "only one of candidate and baseline has sample_weight"),
        ({"groups": np.arange(600)}, "only one of candidate and baseline has groups"),
        ({"positive_label": 0}, "positive_label is 1 for the candidate and 0"),
    ],
)
def test_other_rows_are_refused(changes: dict[str, Any], message: str) -> None:
    candidate, baseline = answers()
    with pytest.raises(InputError, match=message):
        compare("accuracy", candidate, replace(baseline, **changes))


@pytest.mark.parametrize("margin", [-0.01, math.nan, math.inf])
def test_a_margin_is_a_number_from_zero_on(margin: float) -> None:
    candidate, baseline = answers()
    with pytest.raises(InputError, match="from 0 on"):
        compare("accuracy", candidate, baseline, margin=margin)
    with pytest.raises(InputError, match="from 0 on"):
        compare("accuracy", candidate, baseline, by_at_least=margin)


def test_margin_and_superiority_exclude_each_other() -> None:
    candidate, baseline = answers()
    with pytest.raises(InputError, match="asks it to be better"):
        compare("accuracy", candidate, baseline, margin=0.01, by_at_least=0.01)


@pytest.mark.parametrize("column", ["y_pred", "y_score"])
def test_missing_answers_are_refused(column: str) -> None:
    candidate, baseline = answers()
    values = np.asarray(getattr(baseline, column), dtype=float).copy()
    values[3] = math.nan
    broken: dict[str, Any] = {column: values}
    metric = "accuracy" if column == "y_pred" else "roc_auc"
    with pytest.raises(InputError, match="missing|not a finite"):
        compare(metric, candidate, replace(baseline, **broken))


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(InputError, match="no performance metric 'accurcy'"):
        compare("accurcy", *answers())


# --- an earlier record ------------------------------------------------------------------------------------


def record(metric: str = "accuracy", *, n: int = 1000, **changes: Any) -> Measurement:
    candidate, _ = answers(9, n=n)
    evidence = compare(metric, *answers(9, n=n))
    assert candidate.n_rows == n
    return replace(told(evidence, metric), group=None, **changes)


def test_a_record_is_compared_without_pairs() -> None:
    candidate, _ = answers(1, n=1000)
    earlier = record()
    evidence = against_record("accuracy", candidate, earlier, margin=0.1, gate_id=GATE)
    assert outcome(evidence) is Outcome.PASS
    measured, own = told(evidence, "accuracy_difference"), told(evidence, "accuracy")
    assert told(evidence, "accuracy_of_baseline").value == earlier.value
    assert measured.value is not None
    assert measured.lower is not None
    assert own.value is not None
    assert own.lower is not None
    assert earlier.value is not None
    assert earlier.upper is not None
    expected = math.hypot(own.value - own.lower, earlier.upper - earlier.value)
    assert measured.value - measured.lower == pytest.approx(expected)
    tight = against_record("accuracy", candidate, earlier, margin=0.01, gate_id=GATE)
    assert outcome(tight) is Outcome.INCONCLUSIVE


def test_a_record_without_bounds_proves_nothing() -> None:
    candidate, _ = answers(1)
    evidence = against_record("accuracy", candidate, record(lower=None, upper=None), margin=0.5, gate_id=GATE)
    assert outcome(evidence) is Outcome.INCONCLUSIVE


def test_a_record_without_a_value_proves_nothing() -> None:
    candidate, _ = answers(1)
    nothing = record(value=None, lower=None, upper=None, note="all rows are positive")
    evidence = against_record("accuracy", candidate, nothing, margin=0.5, gate_id=GATE)
    assert outcome(evidence) is Outcome.INCONCLUSIVE
    assert evidence.measurements[0].note == "the record has no value: all rows are positive"


def test_a_record_of_something_else_is_refused() -> None:
    candidate, _ = answers(1)
    with pytest.raises(InputError, match="about accuracy, not about f1"):
        against_record("f1", candidate, record(), gate_id=GATE)
    with pytest.raises(InputError, match="same digest"):
        against_record(
            "accuracy",
            candidate,
            record(),
            candidate_subject=MODEL,
            recorded_subject=MODEL,
            gate_id=GATE,
        )


# --- simple models ----------------------------------------------------------------------------------------


def table(n: int = 300) -> tuple[pd.DataFrame, npt.NDArray[Any]]:
    random = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "income": random.normal(3.0, 1.0, n),
            "job": random.choice(np.array(["cook", "clerk", None]), n),
            "children": pd.array(random.integers(0, 4, n), dtype="Int64"),
            "since": pd.date_range("2020-01-01", periods=n, tz="UTC"),
            "owner": random.random(n) > 0.5,
            "empty": np.full(n, np.nan),
        }
    )
    target = np.where(frame["income"] + random.normal(0.0, 0.5, n) > 3.0, "yes", "no")
    frame.loc[3, "income"] = math.inf
    frame.loc[4, "children"] = pd.NA
    frame.loc[5, "since"] = pd.NaT
    return frame, target


@pytest.mark.parametrize(("kind", "strategy"), [("majority", "most_frequent"), ("prior", "prior")])
def test_constant_classifiers_are_scikit_learns(kind: str, strategy: str) -> None:
    frame, target = table()
    reference = sklearn.dummy.DummyClassifier(strategy=strategy).fit(frame, target)
    simple = simple_baseline(kind, frame, target, positive_label="no")
    assert simple.predict(frame).tolist() == reference.predict(frame).tolist()
    assert simple.predict_score(frame) == pytest.approx(reference.predict_proba(frame)[:, 0])


@pytest.mark.parametrize("kind", ["mean", "median"])
def test_constant_numbers_are_scikit_learns(kind: str) -> None:
    frame, _ = table()
    target = np.random.default_rng(1).exponential(size=len(frame))
    reference = sklearn.dummy.DummyRegressor(strategy=kind).fit(frame, target)
    assert simple_baseline(kind, frame, target).predict_score(frame) == pytest.approx(
        reference.predict(frame)
    )


def test_logistic_copes_with_a_mixed_table_and_learns() -> None:
    frame, target = table()
    model = simple_baseline("logistic", frame, target, positive_label="yes")
    assert np.mean(model.predict(frame) == target) > 0.8
    unseen = frame.head(5).assign(job="pilot", children=pd.array([9] * 5, dtype="Int64"))
    scores = model.predict_score(unseen)
    assert np.isfinite(scores).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    # Columns are found by name, and a missing one is an error.
    assert model.predict_score(frame[frame.columns[::-1]]) == pytest.approx(model.predict_score(frame))
    with pytest.raises(InputError, match="income"):
        model.predict_score(frame.drop(columns="income"))


def test_logistic_is_the_same_every_time() -> None:
    frame, target = table()
    first, second = (simple_baseline("logistic", frame, target) for _ in range(2))
    assert first.predict_score(frame).tolist() == second.predict_score(frame).tolist()


@pytest.mark.parametrize(
    ("kind", "target", "message"),
    [
        ("magic", ["a", "b"], "no simple model 'magic'"),
        ("majority", ["a", None], "is missing in 1 of 2 rows"),
        ("logistic", ["a", "a"], "fewer than two classes"),
        ("mean", [1.0, math.nan], "not a finite number"),
        ("prior", ["a", "b", "c"], "differ in length"),
    ],
)
def test_what_no_simple_model_learns_from(kind: str, target: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        simple_baseline(kind, pd.DataFrame({"x": [1.0, 2.0]}), target)
