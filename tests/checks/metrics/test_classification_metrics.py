"""Metrics of predicted labels: scikit-learn's values with and without weights, and what has no value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_prodml.checks.metrics.classification import METRICS, f_beta_named, top_k_named
from pytest_prodml.checks.metrics.fallback import (
    CLUSTERINGS,
    CustomMetric,
    custom_metric,
    fallback_metric,
)
from pytest_prodml.checks.metrics.named import metric_named
from pytest_prodml.checks.metrics.registry import Metric, Needs
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.estimate import Estimate

Column = npt.NDArray[Any]
Reference = Callable[..., Any]

AVERAGED = [
    f"{name}_{average}"
    for name in ("precision", "recall", "f1", "jaccard")
    for average in ("macro", "micro", "weighted")
]
MANY = [
    "accuracy",
    "balanced_accuracy",
    "cohen_kappa_score",
    "cohen_kappa_score_linear",
    "cohen_kappa_score_quadratic",
    "hamming_loss",
    "matthews_corrcoef",
    "zero_one_loss",
    *AVERAGED,
]
TWO = [
    "f0.5",
    "f1",
    "f2",
    "jaccard",
    "neg_negative_likelihood_ratio",
    "positive_likelihood_ratio",
    "precision",
    "recall",
    "specificity",
]


def reference(name: str) -> Reference:
    """Return scikit-learn's own function for a metric."""
    stem, _, average = name.rpartition("_")
    if average in {"macro", "micro", "weighted", "samples"}:
        if stem == "f2":
            return lambda *rows, **more: sklearn.metrics.fbeta_score(
                *rows, beta=2, average=average, zero_division=0, **more
            )
        return lambda *rows, **more: getattr(sklearn.metrics, f"{stem}_score")(
            *rows, average=average, zero_division=0, **more
        )
    if name.startswith("cohen_kappa_score"):
        weights = None if name == "cohen_kappa_score" else average
        return lambda *rows, **more: sklearn.metrics.cohen_kappa_score(*rows, weights=weights, **more)
    if name in {"f0.5", "f2"}:
        return lambda *rows, **more: sklearn.metrics.fbeta_score(*rows, beta=float(name[1:]), **more)
    if name == "specificity":
        return lambda *rows, **more: sklearn.metrics.recall_score(*rows, pos_label=0, **more)
    if name == "positive_likelihood_ratio":
        return lambda *rows, **more: sklearn.metrics.class_likelihood_ratios(*rows, **more)[0]
    if name == "neg_negative_likelihood_ratio":
        return lambda *rows, **more: -sklearn.metrics.class_likelihood_ratios(*rows, **more)[1]
    found = getattr(sklearn.metrics, name, None) or getattr(sklearn.metrics, f"{name}_score")
    assert callable(found)
    return found  # type: ignore[no-any-return]


def measured(name: str | Metric, seed: int = 0, **columns: Any) -> Estimate:
    metric = metric_named(name) if isinstance(name, str) else name
    return metric.measure(Sample(**columns), seed).estimate


def check_bounds(metric: Metric, estimate: Estimate) -> None:
    assert estimate.value is not None
    lower, upper = estimate.at(0.95)
    if lower is not None:
        assert lower <= estimate.value + 1e-9
        assert metric.low is None or lower >= metric.low
    if upper is not None:
        assert upper >= estimate.value - 1e-9
        assert metric.high is None or upper <= metric.high


def labeled(k: int) -> st.SearchStrategy[list[tuple[int, int, float, int]]]:
    row = st.tuples(st.integers(0, k - 1), st.integers(0, k - 1), st.floats(0.1, 5), st.integers(0, 12))
    return st.lists(row, min_size=5 * k, max_size=60)


def columns_of(rows: list[tuple[int, int, float, int]]) -> tuple[Column, Column, Column, Column]:
    truth, predicted, weights, groups = (np.array(column) for column in zip(*rows, strict=True))
    return truth, predicted, weights, groups


@given(labeled(3), st.sampled_from([*MANY, "f2_macro", "f2_weighted"]), st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_values_of_many_classes(
    rows: list[tuple[int, int, float, int]], name: str, weighted: bool, grouped: bool
) -> None:
    truth, predicted, weights, groups = columns_of(rows)
    assume(np.unique(truth).size == 3 <= np.unique(predicted).size)
    design: dict[str, Any] = {"sample_weight": weights} if weighted else {}
    clusters: dict[str, Any] = {"groups": groups} if grouped else {}
    estimate = measured(name, y_true=truth, y_pred=predicted, **design, **clusters)
    assert estimate.value == pytest.approx(reference(name)(truth, predicted, **design), abs=1e-9)
    check_bounds(metric_named(name), estimate)


@given(labeled(2), st.sampled_from(TWO), st.booleans())
@settings(max_examples=150, deadline=None)
def test_values_of_two_classes(rows: list[tuple[int, int, float, int]], name: str, weighted: bool) -> None:
    truth, predicted, weights, _ = columns_of(rows)
    table = sklearn.metrics.confusion_matrix(truth, predicted, labels=[0, 1])
    assume((table > 0).all())
    design: dict[str, Any] = {"sample_weight": weights} if weighted else {}
    estimate = measured(name, y_true=truth, y_pred=predicted, **design)
    assert estimate.value == pytest.approx(reference(name)(truth, predicted, **design), rel=1e-9)
    check_bounds(metric_named(name), estimate)


indicator_rows = st.lists(st.tuples(*[st.booleans()] * 6, st.floats(0.1, 5)), min_size=15, max_size=40)
MULTILABEL = ["accuracy", "hamming_loss", "zero_one_loss", *AVERAGED] + [
    f"{name}_samples" for name in ("precision", "recall", "f1", "jaccard")
]


@given(indicator_rows, st.sampled_from(MULTILABEL), st.booleans())
@settings(max_examples=120, deadline=None)
def test_values_of_several_labels(rows: list[Any], name: str, weighted: bool) -> None:
    table = np.array([row[:6] for row in rows]).astype(int)
    truth, predicted = table[:, :3], table[:, 3:]
    assume(truth.any(axis=0).all())
    assume((truth != truth[0]).any())
    design: dict[str, Any] = {"sample_weight": np.array([row[6] for row in rows])} if weighted else {}
    estimate = measured(name, y_true=truth, y_pred=predicted, **design)
    assert estimate.value == pytest.approx(reference(name)(truth, predicted, **design), abs=1e-9)
    check_bounds(metric_named(name), estimate)


@given(
    st.lists(st.tuples(st.integers(0, 4), *[st.integers(0, 6)] * 5), min_size=10, max_size=40),
    st.integers(1, 4),
)
@settings(deadline=None)
def test_top_k_with_ties(rows: list[tuple[int, ...]], k: int) -> None:
    table = np.array(rows)
    truth, scores = table[:, 0], table[:, 1:].astype(float)
    assume(np.unique(truth).size > 1)
    estimate = measured(f"top_{k}_accuracy", y_true=truth, y_score=scores, labels=range(5))
    assert estimate.value == pytest.approx(
        sklearn.metrics.top_k_accuracy_score(truth, scores, k=k, labels=np.arange(5))
    )


def test_the_default_k_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    truth, scores = rng.integers(0, 4, 80), rng.random((80, 4))
    found = measured("top_k_accuracy", y_true=truth, y_score=scores)
    assert found.value == sklearn.metrics.top_k_accuracy_score(truth, scores)
    with pytest.raises(InputError, match="1 by definition"):
        measured("top_4_accuracy", y_true=truth, y_score=scores)


def test_names() -> None:
    """All of scikit-learn's scorer names that are about labels."""
    known = set(METRICS) | set(CLUSTERINGS)
    scorers = set(sklearn.metrics.get_scorer_names())
    about_labels = {
        name
        for name in scorers
        if name.split("_")[0] in {"precision", "recall", "f1", "jaccard", "top", "matthews", "balanced"}
        or name == "accuracy"
        or "likelihood" in name
        or ("score" in name and "d2" not in name and "brier" not in name)
    }
    assert about_labels <= known
    assert len(about_labels) > 30
    for name in ("f0", "f", "f-1", "f1_samples_macro", "fbeta", "f2_samples"):
        assert f_beta_named(name) is None
    for name in ("top_0_accuracy", "top_accuracy", "top_k"):
        assert top_k_named(name) is None


# --- what has no value ------------------------------------------------------------------------------------

REFUSE_ONE_CLASS = sorted(set(MANY) | set(TWO) - {"recall", "specificity"})


@pytest.mark.parametrize("name", REFUSE_ONE_CLASS)
def test_a_truth_of_one_class_has_no_value(name: str) -> None:
    estimate = measured(name, y_true=[1] * 50, y_pred=[1] * 49 + [0])
    assert estimate.value is None
    assert "all rows are of the class 1" in (estimate.note or "")
    assert estimate.at(0.95) == (None, None)


@pytest.mark.parametrize("name", [*MANY, *TWO, "accuracy", "top_1_accuracy"])
def test_no_rows_have_no_value(name: str) -> None:
    columns: dict[str, Any] = {"y_true": [], "y_pred": []}
    if name.startswith("top"):
        columns = {"y_true": np.array([], dtype=int), "y_score": np.zeros((0, 3)), "labels": [0, 1, 2]}
    assert measured(name, **columns).value is None


@pytest.mark.parametrize("name", [*MANY, *TWO])
def test_a_constant_model_on_99_to_1_is_not_good(name: str) -> None:
    """Its accuracy is .99, and no metric that asks for more than that takes it for a good one."""
    truth = np.arange(1_000) % 100 == 0
    estimate = measured(name, y_true=truth.astype(int), y_pred=np.zeros(1_000, dtype=int))
    blind = {"accuracy", "hamming_loss", "zero_one_loss", "specificity", "precision_weighted"}
    blind |= {f"{stem}_micro" for stem in ("precision", "recall", "f1", "jaccard")}
    blind |= {f"{stem}_weighted" for stem in ("recall", "f1", "jaccard")}
    if name not in blind:
        higher = estimate.at(0.95)[0]
        assert higher is None or higher <= 0.5


@pytest.mark.parametrize("name", [*MANY, *TWO])
def test_few_right_rows_prove_little(name: str) -> None:
    metric = metric_named(name)
    lower, upper = measured(metric, y_true=[0, 1, 1], y_pred=[0, 1, 1]).at(0.95)
    if metric.higher_is_better and metric.high == 1:
        assert lower is None or lower < 0.7
    elif not metric.higher_is_better:
        assert upper is None or upper > 0.3


@pytest.mark.parametrize("name", [*MANY, *TWO])
def test_copies_do_not_sharpen(name: str) -> None:
    """Ten copies of each row with its group are no more rows: the bounds stay as wide or wider."""
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 60)
    predicted = np.where(rng.random(60) < 0.8, truth, 1 - truth)
    alone = measured(name, y_true=truth, y_pred=predicted).at(0.95)
    tenfold = measured(
        name,
        y_true=np.repeat(truth, 10),
        y_pred=np.repeat(predicted, 10),
        groups=np.repeat(np.arange(60), 10),
    ).at(0.95)
    if alone[0] is not None and tenfold[0] is not None:
        assert tenfold[0] <= alone[0] + 0.01
    if alone[1] is not None and tenfold[1] is not None:
        assert tenfold[1] >= alone[1] - 0.01


def test_likelihood_ratios_by_zero() -> None:
    estimate = measured("positive_likelihood_ratio", y_true=[0, 0, 1, 1], y_pred=[0, 0, 1, 1])
    assert estimate.value is None
    assert "infinite" in (estimate.note or "")
    nothing = measured("neg_negative_likelihood_ratio", y_true=[0, 0, 1, 1], y_pred=[0, 0, 1, 1])
    assert nothing.value == 0


def test_several_labels_where_there_is_one() -> None:
    with pytest.raises(InputError, match="several labels"):
        measured("f1_samples", y_true=[0, 1], y_pred=[0, 1])
    both = np.eye(3, dtype=int)
    with pytest.raises(InputError, match="one label a row"):
        measured("cohen_kappa_score", y_true=both, y_pred=both)
    same = np.ones((20, 3), dtype=int)
    assert measured("accuracy", y_true=same, y_pred=same).value is None
    assert measured("f1_micro", y_true=same, y_pred=same).value is None
    never = np.column_stack([np.arange(20) % 2, np.zeros(20, dtype=int)])
    assert "true in no row" in (measured("f1_macro", y_true=never, y_pred=never).note or "")


# --- metrics without a formula ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(CLUSTERINGS))
def test_clusterings(name: str) -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 4, 400)
    clusters = np.array(["d", "a", "b", "c"])[np.where(rng.random(400) < 0.8, truth, rng.integers(0, 4, 400))]
    estimate = measured(name, y_true=truth, y_pred=clusters, seed=5)
    assert estimate.value == pytest.approx(getattr(sklearn.metrics, name)(truth, clusters))
    assert estimate.seed == 5
    check_bounds(metric_named(name), estimate)
    assert None not in estimate.at(0.95)
    with pytest.raises(InputError, match="can not weigh"):
        measured(name, y_true=truth, y_pred=clusters, sample_weight=rng.random(400))


def weighted_share(y_true: Column, y_pred: Column, sample_weight: Column | None = None) -> float:
    return float(np.average(y_true == y_pred, weights=sample_weight))


def test_a_metric_of_ones_own() -> None:
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 2, 500)
    predicted = np.where(rng.random(500) < 0.8, truth, 1 - truth)
    weights = rng.random(500)
    metric = custom_metric("share", weighted_share, low=0, high=1)
    exact = measured("accuracy", y_true=truth, y_pred=predicted)
    own = measured(metric, y_true=truth, y_pred=predicted)
    assert own.value == exact.value
    assert own.at(0.95) == pytest.approx(exact.at(0.95), abs=0.02)
    weighted = measured(metric, y_true=truth, y_pred=predicted, sample_weight=weights)
    assert weighted.value == pytest.approx(np.average(truth == predicted, weights=weights))
    assert metric.name == "share"


def test_a_metric_of_ones_own_on_scores_and_numbers() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 300)
    scores = truth + rng.standard_normal(300)
    area = custom_metric("area", sklearn.metrics.roc_auc_score, low=0, high=1, needs=Needs.SCORES)
    assert measured(area, y_true=truth, y_score=scores).value == pytest.approx(
        sklearn.metrics.roc_auc_score(truth, scores)
    )
    median = CustomMetric(
        name="median error",
        function=lambda y_true, y_pred: np.median(np.abs(y_true - y_pred)),
        low=0,
        high=None,
        higher_is_better=False,
        needs=Needs.NUMBERS,
    )
    found = fallback_metric(median)
    assert not found.higher_is_better
    assert measured(found, y_true=truth, y_pred=scores).value == pytest.approx(
        np.median(np.abs(truth - scores))
    )


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda _, __: 1.5, "outside of its declared range"),
        (lambda _, __: 1 / 0, "ZeroDivisionError"),
        (lambda _, __: "good", "returned a str"),
    ],
)
def test_functions_that_do_not_do(function: Any, message: str) -> None:
    metric = custom_metric("mine", function, low=0, high=1)
    with pytest.raises(InputError, match=message):
        measured(metric, y_true=[0, 1], y_pred=[0, 1])


def test_a_metric_of_ones_own_is_asked_properly() -> None:
    metric = custom_metric("mine", lambda _, __: math.nan, low=0, high=1)
    assert measured(metric, y_true=[0, 1], y_pred=[0, 1]).value is None
    with pytest.raises(InputError, match="pass y_pred"):
        measured(metric, y_true=[0, 1])
    with pytest.raises(InputError, match="missing"):
        measured(metric, y_true=[0, 1], y_pred=[0, None])
    with pytest.raises(InputError, match="differ in length"):
        measured(metric, y_true=[0, 1], y_pred=[0, 1, 1])
    with pytest.raises(InputError, match="empty"):
        custom_metric("mine", lambda _, __: 1.0, low=1, high=1)
    with pytest.raises(InputError, match="no performance metric"):
        fallback_metric("rnd_score")
