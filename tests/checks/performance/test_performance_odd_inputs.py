"""Columns as projects have them: what is missing, masked, of another kind or too large never passes."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pytest_prodml.checks.performance import (
    METRICS,
    Needs,
    Sample,
    at_least,
    at_most,
    between,
    custom_metric,
    not_worse_than,
    slices,
)
from pytest_prodml.errors import InputError
from pytest_prodml.policy.criterion import combine
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome

GATE = "performance.odd"
ROWS = 300
_RANDOM = np.random.default_rng(0)
TRUTH = _RANDOM.integers(0, 2, ROWS)
LABELS = np.where(_RANDOM.random(ROWS) < 0.9, TRUTH, 1 - TRUTH)
SCORES = np.clip(0.3 + 0.4 * TRUTH + _RANDOM.normal(0, 0.15, ROWS), 0.01, 0.99)
NUMBERS = _RANDOM.gamma(5, 2, ROWS) + 1
ESTIMATES = NUMBERS * _RANDOM.uniform(0.8, 1.2, ROWS)
SETS = _RANDOM.integers(0, 2, (ROWS, 3))
QUERIES = np.arange(ROWS) // 10
CLASSES = _RANDOM.integers(0, 3, ROWS)
#: The largest error and scikit-learn's measures of clusterings weigh no rows.
WEIGHED = [name for name in METRICS if not name.endswith("max_error") and METRICS[name].value is None]
CHANCES = np.eye(3)[CLASSES] * 0.5 + 0.5 / 3


def outcome(evidence: Evidence) -> Outcome:
    judged = judge_criteria(GATE, evidence, confidence_level=0.95)
    return combine([one.judgement for one in judged]).outcome


def columns_of(name: str) -> dict[str, Any]:
    """Return good answers for a metric."""
    if METRICS[name].needs is Needs.NUMBERS:
        return {"y_true": NUMBERS, "y_pred": ESTIMATES}
    if METRICS[name].needs is Needs.LABELS:
        return {"y_true": SETS, "y_pred": SETS} if "samples" in name else {"y_true": TRUTH, "y_pred": LABELS}
    if name in {"ndcg", "mean_reciprocal_rank"}:
        return {"y_true": TRUTH, "y_score": SCORES, "query": QUERIES}
    if name.startswith(("top_k", "roc_auc_")):
        return {"y_true": CLASSES, "y_score": CHANCES}
    return {"y_true": TRUTH, "y_score": SCORES}


def lenient(name: str, columns: dict[str, Any]) -> Evidence:
    """Ask for a limit that every value keeps."""
    metric = METRICS[name]
    if metric.higher_is_better:
        return at_least(name, -1e100 if metric.low is None else metric.low, Sample(**columns), gate_id=GATE)
    return at_most(name, 1e100 if metric.high is None else metric.high, Sample(**columns), gate_id=GATE)


def accuracy(limit: Any, *, truth: Any = TRUTH, predicted: Any = LABELS, **more: Any) -> Evidence:
    own = {key: more.pop(key) for key in ("sample_weight", "labels", "positive_label") if key in more}
    return at_least("accuracy", limit, Sample(y_true=truth, y_pred=predicted, **own), gate_id=GATE, **more)


@pytest.mark.parametrize("name", METRICS)
def test_a_masked_value_is_a_missing_one(name: str) -> None:
    for key, values in columns_of(name).items():
        mask = np.zeros(values.shape, dtype=bool)
        mask[7] = True
        with pytest.raises(InputError):
            lenient(name, {**columns_of(name), key: np.ma.MaskedArray(values, mask=mask)})


@pytest.mark.parametrize("name", METRICS)
def test_a_masked_weight_is_a_missing_one(name: str) -> None:
    weights = np.ma.MaskedArray(np.linspace(1, 2, ROWS), mask=np.arange(ROWS) == 7)
    with pytest.raises(InputError):
        lenient(name, {**columns_of(name), "sample_weight": weights})


@pytest.mark.parametrize("name", [name for name in METRICS if METRICS[name].needs is Needs.NUMBERS])
@pytest.mark.parametrize("kind", ["datetime64[s]", "timedelta64[s]", "complex128", "str", "bytes"])
def test_what_is_no_number_is_never_made_one(name: str, kind: str) -> None:
    columns = {key: (values * 1000).astype(np.int64).astype(kind) for key, values in columns_of(name).items()}
    with pytest.raises(InputError, match="must be numbers"):
        lenient(name, columns)


def test_two_missing_dates_are_no_right_answer() -> None:
    dates = np.array(["2026-01-01", "NaT", "2026-01-03"] * 40, dtype="datetime64[D]")
    with pytest.raises(InputError, match="must be numbers"):
        at_most("mean_absolute_error", 1, Sample(y_true=dates, y_pred=dates.copy()), gate_id=GATE)
    mixed: list[Any] = [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * 120
    with pytest.raises(InputError, match="must be numbers"):
        at_most("mean_absolute_error", 1, Sample(y_true=mixed, y_pred=mixed), gate_id=GATE)


def test_a_missing_label_among_texts_is_no_text() -> None:
    """`numpy.asarray` makes the text "nan" of it, which a model can then get right."""
    truth: list[Any] = ["a", "b", float("nan")] * 40
    with pytest.raises(InputError, match="is missing in 40 of 120 rows"):
        accuracy(0.0, truth=truth, predicted=truth)
    with pytest.raises(InputError, match="y_pred is missing"):
        accuracy(0.0, truth=["a", "b", "c"] * 40, predicted=truth, labels=["a", "b", "c", "nan"])


def test_one_and_the_text_1_are_two_labels() -> None:
    evidence = accuracy(0.9, truth=[1, "1", 0, "0"] * 50, predicted=["1", 1, "0", 0] * 50)
    assert evidence.measurements[0].value == 0


def test_a_missing_group_is_one_of_its_own_in_a_part_too() -> None:
    groups: list[Any] = ["a", float("nan")] * (ROWS // 2)
    for where in (None, np.ones(ROWS, dtype=bool)):
        found = accuracy(0.5, by={"sex": groups}, where=where)
        assert [m.group for m in found.measurements][-1].endswith("sex=(missing)")  # type: ignore[union-attr]


def test_a_masked_condition_selects_nothing() -> None:
    where = np.ma.MaskedArray(np.ones(ROWS, dtype=bool), mask=TRUTH == LABELS)
    with pytest.raises(InputError, match="missing"):
        accuracy(0.5, where=where)


@pytest.mark.parametrize(
    ("told", "columns"),
    [
        ("differ in length", {"y_true": [[1, 0], [1]] * 10, "y_pred": [1, 0] * 10}),
        ("single column", {"y_true": TRUTH[:, np.newaxis], "y_pred": LABELS[:, np.newaxis]}),
        ("twice", {"y_true": TRUTH, "y_pred": LABELS, "labels": [0, 1, 1]}),
        ("sequence of classes", {"y_true": TRUTH, "y_pred": LABELS, "labels": [[0], [1]]}),
        ("positive_label", {"y_true": TRUTH, "y_pred": LABELS, "positive_label": None}),
    ],
)
def test_a_sample_that_is_none_says_why(told: str, columns: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=told):
        Sample(**columns)


def test_numbers_that_can_not_be_told_apart_are_refused() -> None:
    truth = np.arange(ROWS) + 2**53
    with pytest.raises(InputError, match="told apart"):
        at_most("median_absolute_error", 0, Sample(y_true=truth, y_pred=truth + 1), gate_id=GATE)


@pytest.mark.parametrize("name", [name for name in METRICS if METRICS[name].needs is Needs.NUMBERS])
def test_numbers_without_a_square_are_refused(name: str) -> None:
    truth = np.where(TRUTH == 1, 1.7e308, -1.7e308)
    with pytest.raises(InputError):
        lenient(name, {"y_true": truth, "y_pred": -truth})


def test_labels_beyond_64_bits_with_a_sign_are_labels() -> None:
    truth = TRUTH.astype(np.uint64) + np.uint64(2**64 - 2)
    assert accuracy(0.5, truth=truth, predicted=truth).measurements[0].value == 1


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e200, 1e307])
@pytest.mark.parametrize("name", ["f1", "roc_auc", "mean_absolute_error", "brier_score_loss", "f1_macro"])
def test_only_the_shares_of_weights_matter(name: str, scale: float) -> None:
    weights = np.where(np.arange(ROWS) % 2, 1.0, 2.0)
    plain, scaled = (
        lenient(name, {**columns_of(name), "sample_weight": weights * by}).measurements[0]
        for by in (1, scale)
    )
    assert (scaled.value, scaled.lower, scaled.upper) == pytest.approx(
        (plain.value, plain.lower, plain.upper)
    )


@pytest.mark.parametrize(
    "limit", ["0.8", None, True, [0.8], 1j, float("nan"), Decimal("nan"), np.array([0.8])]
)
def test_a_limit_is_a_number(limit: Any) -> None:
    with pytest.raises(InputError, match="limit"):
        accuracy(limit)
    with pytest.raises(InputError):
        between("accuracy", limit, 1.0, Sample(y_true=TRUTH, y_pred=LABELS), gate_id=GATE)
    with pytest.raises(InputError, match="margin"):
        accuracy(0.5, margin=limit)


@pytest.mark.parametrize("limit", [Decimal("0.5"), Fraction(1, 2), np.float32(0.5), np.array(0.5)])
def test_numbers_of_other_libraries_are_limits(limit: Any) -> None:
    assert accuracy(limit).criteria[0].limit == 0.5


def test_a_level_and_a_threshold_are_numbers() -> None:
    with pytest.raises(InputError, match="confidence_level"):
        accuracy(0.5, confidence_level="0.95")
    scored = Sample(y_true=TRUTH, y_score=SCORES, threshold="0.5")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="threshold"):
        at_least("accuracy", 0.5, scored, gate_id=GATE)


def test_a_margin_leaves_something_to_ask() -> None:
    with pytest.raises(InputError, match="every value keeps"):
        accuracy(0.8, margin=0.8)
    sample = Sample(y_true=TRUTH, y_pred=LABELS)
    with pytest.raises(InputError, match="every value keeps"):
        at_most("zero_one_loss", 0.2, sample, margin=0.8, gate_id=GATE)
    with pytest.raises(InputError, match="every value keeps"):
        slices("accuracy", 0.8, sample, {"sex": TRUTH}, margin=0.9, gate_id=GATE)
    with pytest.raises(InputError, match="every model"):
        not_worse_than("accuracy", sample, Sample(y_true=TRUTH, y_pred=TRUTH), margin=1.0, gate_id=GATE)
    assert outcome(accuracy(0.9, margin=0.3)) is Outcome.PASS


def test_no_metric_of_ones_own_answers_for_a_known_one() -> None:
    def flattering(truth: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> float:
        return float(np.mean((truth == predicted) | (truth == 1)))

    for name in ("accuracy", "f2", "pinball_0.9", "ndcg@10"):
        own = custom_metric(name, flattering, low=0, high=1)
        with pytest.raises(InputError, match="another name"):
            at_least(own, 0.5, Sample(y_true=TRUTH, y_pred=LABELS), gate_id=GATE)


def test_the_metric_of_the_registry_is_known_by_itself() -> None:
    found = at_least(METRICS["rand_score"], 0.1, Sample(y_true=TRUTH, y_pred=LABELS), gate_id=GATE)
    assert found.measurements[0].metric == "rand_score"


def test_more_bias_is_not_better() -> None:
    candidate, baseline = (
        Sample(y_true=NUMBERS, y_pred=predicted) for predicted in (ESTIMATES + 5, ESTIMATES)
    )
    with pytest.raises(InputError, match="between"):
        not_worse_than("mean_error", candidate, baseline, margin=0.1, gate_id=GATE)
    with pytest.raises(InputError, match="between"):
        slices("mean_error", 0.1, candidate, {"sex": TRUTH}, gate_id=GATE)


def test_answers_of_two_shapes_are_no_pair() -> None:
    one = Sample(y_true=TRUTH, y_score=np.column_stack([1 - SCORES, SCORES]))
    with pytest.raises(InputError, match="shapes"):
        not_worse_than("roc_auc_ovr", one, Sample(y_true=TRUTH, y_score=SCORES), margin=0.1, gate_id=GATE)


def test_without_rows_the_limit_is_on_all_of_them() -> None:
    """A group that has no rows is none: nothing asked would be nothing missed."""
    for where in (None, np.zeros(ROWS, dtype=bool)):
        rows = slice(0, 0) if where is None else slice(None)
        found = accuracy(0.9, truth=TRUTH[rows], predicted=LABELS[rows], by={"sex": TRUTH[rows]}, where=where)
        assert len(found.criteria) == 1
        assert outcome(found) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("name", WEIGHED)
def test_a_group_whose_rows_have_no_weight_is_undecided(name: str) -> None:
    groups = np.where(QUERIES % 2, "a", "b")
    sample = Sample(**columns_of(name), sample_weight=(groups == "a").astype(float))
    check, limit = (at_least, -1e100) if METRICS[name].higher_is_better else (at_most, 1e100)
    low, high = METRICS[name].low, METRICS[name].high
    end = low if METRICS[name].higher_is_better else high
    found = check(name, limit if end is None else end, sample, by={"g": groups}, gate_id=GATE)
    (empty,) = [m for m in found.measurements if m.group == "g=b"]
    assert empty.value is None
    assert outcome(found) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("name", ["top_k_accuracy", "accuracy", "f1_macro", "recall_samples"])
def test_classes_of_which_no_row_counts_are_not_there(name: str) -> None:
    """A constant answer is right on the rows that count."""
    kept = np.zeros(ROWS)
    kept[:60] = 1.0
    if name == "top_k_accuracy":
        columns: dict[str, Any] = {
            "y_true": np.where(kept, 0, CLASSES),
            "y_score": np.where(kept[:, None], [0.8, 0.1, 0.1], CHANCES),
        }
    else:
        sets = np.where(kept[:, None] == 1, [1, 0, 0], SETS)
        columns = {"y_true": sets, "y_pred": sets}
    found = at_least(name, 0.0, Sample(**columns, sample_weight=kept), gate_id=GATE)
    assert found.measurements[0].value is None


@pytest.mark.parametrize("name", ["ndcg", "mean_reciprocal_rank", "ndcg@5", "precision@5", "recall@5"])
@pytest.mark.parametrize("relevance", [np.ones(ROWS), QUERIES % 2, QUERIES % 3 + 1.0])
def test_items_that_are_all_equally_relevant_show_no_order(name: str, relevance: npt.NDArray[Any]) -> None:
    sample = Sample(y_true=relevance, y_score=SCORES, query=QUERIES)
    assert outcome(at_least(name, 0.0, sample, gate_id=GATE)) is Outcome.INCONCLUSIVE


def test_groups_are_columns_by_name() -> None:
    with pytest.raises(InputError, match="by must be columns"):
        accuracy(0.5, by=TRUTH)
