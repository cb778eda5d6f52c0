"""Metrics of scores, probabilities and numbers against scikit-learn, and what bad or degenerate input gives."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics as sk
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_prodml.checks.metrics.named import METRICS, metric_named
from pytest_prodml.checks.metrics.registry import Measured, Needs
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.checks.performance.limits import at_least, at_most
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome

Array = npt.NDArray[np.float64]


def outcome(evidence: Evidence) -> Outcome:
    [judged] = judge_criteria(evidence.gate_id, evidence, confidence_level=0.95)
    return judged.judgement.outcome


def measured(name: str, **columns: Any) -> Measured:
    return metric_named(name).measure(Sample(**columns), 0)


def value(name: str, **columns: Any) -> float | None:
    return measured(name, **columns).estimate.value


TWO_CLASSES: dict[str, Callable[..., float]] = {
    "roc_auc": sk.roc_auc_score,
    "average_precision": sk.average_precision_score,
    "brier_score_loss": sk.brier_score_loss,
    "neg_brier_score": lambda *args, **kwargs: -sk.brier_score_loss(*args, **kwargs),
    "log_loss": sk.log_loss,
    "neg_log_loss": lambda *args, **kwargs: -sk.log_loss(*args, **kwargs),
    "d2_log_loss_score": sk.d2_log_loss_score,
    "d2_brier_score": sk.d2_brier_score,
}


@pytest.mark.parametrize("name", TWO_CLASSES)
@given(seed=st.integers(0, 10_000), weighted=st.booleans(), ties=st.booleans())
@settings(max_examples=25, deadline=None)
def test_two_classes_are_scikit_learns(name: str, seed: int, weighted: bool, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(60) < rng.uniform(0.2, 0.8)
    assume(0 < truth.sum() < 60)
    scores = np.round(rng.random(60), 1) if ties else rng.random(60)
    weights = rng.exponential(size=60) if weighted else None
    expected = TWO_CLASSES[name](truth, scores, sample_weight=weights)
    found = value(name, y_true=truth, y_score=scores, positive_label=True, sample_weight=weights)
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("roc_auc_ovr", {"multi_class": "ovr", "average": "macro"}),
        ("roc_auc_ovr_weighted", {"multi_class": "ovr", "average": "weighted"}),
        ("roc_auc_ovo", {"multi_class": "ovo", "average": "macro"}),
        ("roc_auc_ovo_weighted", {"multi_class": "ovo", "average": "weighted"}),
    ],
)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_areas_of_several_classes_are_scikit_learns(name: str, options: dict[str, str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.append([0, 1, 2, 3], rng.integers(0, 4, 60))
    chances = rng.dirichlet([0.5, 1, 1, 2], 64)
    expected = sk.roc_auc_score(truth, chances, **options)
    assert value(name, y_true=truth, y_score=chances) == pytest.approx(expected, abs=1e-12)


def test_weights_in_one_against_the_rest_are_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    truth, chances, weights = rng.integers(0, 3, 90), rng.dirichlet([1, 1, 2], 90), rng.exponential(size=90)
    expected = sk.roc_auc_score(truth, chances, multi_class="ovr", sample_weight=weights)
    found = value("roc_auc_ovr", y_true=truth, y_score=chances, sample_weight=weights)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["log_loss", "brier_score_loss"])
@given(seed=st.integers(0, 10_000), weighted=st.booleans())
@settings(max_examples=15, deadline=None)
def test_losses_of_several_classes_are_scikit_learns(name: str, seed: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    truth, chances = rng.integers(0, 3, 50), rng.dirichlet([1, 1, 2], 50)
    assume(np.unique(truth).size == 3)
    weights = rng.exponential(size=50) if weighted else None
    expected = getattr(sk, name)(truth, chances, sample_weight=weights, labels=[0, 1, 2])
    found = value(name, y_true=truth, y_score=chances, sample_weight=weights)
    assert found == pytest.approx(expected, abs=1e-12)


NUMBERS: dict[str, Callable[..., float]] = {
    "mean_absolute_error": sk.mean_absolute_error,
    "mean_squared_error": sk.mean_squared_error,
    "root_mean_squared_error": sk.root_mean_squared_error,
    "mean_absolute_percentage_error": sk.mean_absolute_percentage_error,
    "mean_squared_log_error": sk.mean_squared_log_error,
    "root_mean_squared_log_error": sk.root_mean_squared_log_error,
    "mean_poisson_deviance": sk.mean_poisson_deviance,
    "mean_gamma_deviance": sk.mean_gamma_deviance,
    "mean_pinball_loss": sk.mean_pinball_loss,
    "pinball_0.9": lambda *args, **kwargs: sk.mean_pinball_loss(*args, alpha=0.9, **kwargs),
    "r2": sk.r2_score,
    "explained_variance": sk.explained_variance_score,
    "d2_absolute_error_score": sk.d2_absolute_error_score,
}


@pytest.mark.parametrize("name", NUMBERS)
@given(seed=st.integers(0, 10_000), weighted=st.booleans())
@settings(max_examples=15, deadline=None)
def test_metrics_of_numbers_are_scikit_learns(name: str, seed: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.gamma(2, 3, 60) + 0.1
    predicted = truth * rng.lognormal(0, 0.5, 60)
    weights = rng.exponential(size=60) if weighted else None
    expected = NUMBERS[name](truth, predicted, sample_weight=weights)
    found = value(name, y_true=truth, y_pred=predicted, sample_weight=weights)
    assert found == pytest.approx(expected, rel=1e-9)
    if name in sk.get_scorer_names() or f"neg_{name}" not in METRICS:
        return
    assert value(f"neg_{name}", y_true=truth, y_pred=predicted, sample_weight=weights) == pytest.approx(
        -expected
    )


def test_order_statistics_are_numpys() -> None:
    rng = np.random.default_rng(1)
    truth, predicted = rng.normal(size=(2, 401))
    columns = {"y_true": truth, "y_pred": predicted}
    assert value("median_absolute_error", **columns) == pytest.approx(
        sk.median_absolute_error(truth, predicted)
    )
    assert value("max_error", **columns) == sk.max_error(truth, predicted)
    expected = np.quantile(np.abs(truth - predicted), 0.95)
    assert value("absolute_error_p95", **columns) == pytest.approx(expected)


@given(seed=st.integers(0, 10_000), k=st.sampled_from([None, 1, 3, 20]), ties=st.booleans())
@settings(max_examples=30, deadline=None)
def test_ndcg_is_scikit_learns(seed: int, k: int | None, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    relevance = rng.integers(0, 4, (12, 7))
    scores = np.round(rng.random((12, 7)), 1 if ties else 9)
    expected = sk.ndcg_score(relevance, scores, k=k)
    name = "ndcg" if k is None else f"ndcg@{k}"
    assert value(name, y_true=relevance, y_score=scores) == pytest.approx(expected)
    shuffled = rng.permutation(84)
    query = np.repeat([f"q{row}" for row in range(12)], 7)
    found = value(
        name, y_true=relevance.ravel()[shuffled], y_score=scores.ravel()[shuffled], query=query[shuffled]
    )
    assert found == pytest.approx(expected)


def test_a_small_ranking_by_hand() -> None:
    columns = {
        "y_true": [0, 1, 1, 1, 0, 0, 0, 0],
        "y_score": [0.9, 0.8, 0.7, 0.5, 0.5, 0.4, 0.2, 0.1],
        "query": ["a", "a", "a", "b", "b", "b", "c", "c"],
    }
    # a: the second is relevant; b: tied with an irrelevant one, so second; c has none.
    assert value("mean_reciprocal_rank", **columns) == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert value("precision@2", **columns) == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert value("recall@1", **columns) == pytest.approx((0 + 1 / 2) / 2)
    found = measured("recall@2", **columns)
    assert found.estimate.value == pytest.approx((1 / 2 + 1) / 2)
    assert found.details["queries_without_a_relevant_item"] == 1


def test_the_top_of_all_rows() -> None:
    columns = {"y_true": [1, 0, 1, 0, 1], "y_score": [5, 4, 3, 3, 1]}
    assert value("precision@2", **columns) == 0.5
    assert value("precision@3", **columns) == 0.5  # half of the tie is counted
    assert value("recall@40%", **columns) == pytest.approx(1 / 3)
    assert value("recall@2.5%", y_true=[1] + [0] * 39, y_score=range(40, 0, -1)) == 1
    assert value("precision@1", y_true=[1, 1], y_score=[1, 2]) is None


BAD: list[tuple[str, str, dict[str, Any]]] = [
    ("not a finite number in 1", "log_loss", {"y_true": [0, 1], "y_score": [0.5, math.nan]}),
    ("outside [0, 1] in 1", "log_loss", {"y_true": [0, 1], "y_score": [0.5, 1.2]}),
    ("do not sum to 1", "log_loss", {"y_true": [0, 1, 2], "y_score": np.full((3, 3), 0.5)}),
    ("column for each of the 3", "roc_auc_ovr", {"y_true": [0, 1, 2], "y_score": np.full((3, 2), 0.5)}),
    ("pass y_pred", "r2", {"y_true": [0.0, 1.0]}),
    ("differ in length", "r2", {"y_true": [0.0, 1.0], "y_pred": [0.0]}),
    ("not a finite number", "mean_absolute_error", {"y_true": [0.0, 1.0], "y_pred": [0.0, math.inf]}),
    ("must be numbers", "mean_absolute_error", {"y_true": ["a", "b"], "y_pred": [0.0, 1.0]}),
    ("y_true is 0 in 1", "mean_absolute_percentage_error", {"y_true": [0.0, 1.0], "y_pred": [0.0, 1.0]}),
    ("greater than -1", "mean_squared_log_error", {"y_true": [0.0, 1.0], "y_pred": [-1.0, 1.0]}),
    ("y_pred must be greater than 0", "mean_gamma_deviance", {"y_true": [1.0], "y_pred": [0.0]}),
    ("too large", "mean_squared_error", {"y_true": [1e300], "y_pred": [-1e300]}),
    ("pass query=", "ndcg", {"y_true": [1, 0], "y_score": [1, 0]}),
    ("not be negative", "ndcg", {"y_true": [-1, 0], "y_score": [1, 0], "query": [1, 1]}),
    ("query is missing in 1", "ndcg", {"y_true": [1, 0], "y_score": [1, 0], "query": [1, None]}),
    (
        "sample_weight differs",
        "ndcg",
        {"y_true": [1, 0], "y_score": [1, 0], "query": [1, 1], "sample_weight": [1, 2]},
    ),
    ("asks for 9 of 2 rows", "precision@9", {"y_true": [1, 0], "y_score": [1, 0]}),
    ("independent", "precision@1", {"y_true": [1, 0], "y_score": [1, 0], "sample_weight": [1, 2]}),
]


@pytest.mark.parametrize(("told", "name", "columns"), BAD)
def test_bad_input_is_an_error_that_says_so(told: str, name: str, columns: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        measured(name, **columns)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "name", ["ndcg@0", "ndcg@5%", "precision@.5", "pinball_1.5", "absolute_error_p0", "recall@100%"]
)
def test_numbers_out_of_range_are_no_metric(name: str) -> None:
    with pytest.raises(InputError, match="no performance metric"):
        metric_named(name)


NUMERIC = sorted(name for name, metric in METRICS.items() if metric.needs is Needs.NUMBERS)


@pytest.mark.parametrize("name", NUMERIC)
@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_rows_prove_nothing_about_means(name: str, n: int) -> None:
    truth = np.arange(1.0, n + 1)
    found = measured(name, y_true=truth, y_pred=truth + 0.5).estimate
    if n == 0:
        assert found.value is None
    assert found.note
    lower, upper = found.at(0.95)
    assert upper is None or name.startswith("neg_max")
    assert lower is None or name == "max_error"


@pytest.mark.parametrize("name", ["r2", "explained_variance", "d2_absolute_error_score"])
def test_a_constant_truth_has_no_skill(name: str) -> None:
    found = measured(name, y_true=np.ones(80), y_pred=np.linspace(0, 1, 80)).estimate
    assert found.value is None
    assert "same number" in (found.note or "")


@pytest.mark.parametrize("name", sorted(TWO_CLASSES))
@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("weighted", [False, True])
def test_one_class_proves_nothing(name: str, label: int, weighted: bool) -> None:
    truth, weights = [label] * 60, None
    if weighted:  # the other class is there, in rows that do not count
        truth, weights = [*truth, 1 - label], [1.0] * 60 + [0.0]
    scores = np.linspace(0.1, 0.9, len(truth))
    found = measured(name, y_true=truth, y_score=scores, sample_weight=weights).estimate
    assert found.value is None
    assert found.at(0.95) == (None, None)
    assert found.note


def test_a_missing_class_and_a_rare_one() -> None:
    rng = np.random.default_rng(1)
    truth, chances = np.repeat([0, 1], 50), rng.dirichlet([1, 1, 1], 100)
    none = measured("roc_auc_ovr", y_true=truth, y_score=chances, labels=[0, 1, 2]).estimate
    assert none.value is None
    assert "class 2" in (none.note or "")
    truth[:5] = 2
    rare = measured("roc_auc_ovo", y_true=truth, y_score=chances).estimate
    assert rare.value is not None
    assert rare.at(0.95) == (None, None)


def test_a_perfect_set_of_fifty_does_not_prove_a_low_log_loss() -> None:
    truth = np.arange(50) % 2
    scores = np.where(truth, 1 - 1e-6, 1e-6)
    evidence = at_most("log_loss", 0.2, Sample(y_true=truth, y_score=scores), gate_id="g")
    assert outcome(evidence) is Outcome.INCONCLUSIVE
    careful = np.where(truth, 0.95, 0.05)
    evidence = at_most("log_loss", 0.25, Sample(y_true=truth, y_score=careful), gate_id="g")
    assert outcome(evidence) is Outcome.PASS


def test_a_negative_scorer_has_a_floor() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=500)
    sample = Sample(y_true=truth, y_pred=truth + rng.normal(size=500))
    evidence = at_least("neg_mean_absolute_error", -1.0, sample, gate_id="g")
    assert outcome(evidence) is Outcome.PASS
    evidence = at_least("neg_mean_absolute_error", -0.5, sample, gate_id="g")
    assert outcome(evidence) is Outcome.FAIL
    with pytest.raises(InputError, match="use at_most"):
        at_least("mean_absolute_error", 1.0, sample, gate_id="g")


def test_the_largest_error_can_fail_but_never_pass() -> None:
    sample = Sample(y_true=np.zeros(1_000), y_pred=np.linspace(0, 1, 1_000))
    for limit, expected in ((0.9, Outcome.FAIL), (2.0, Outcome.INCONCLUSIVE)):
        evidence = at_most("max_error", limit, sample, gate_id="g")
        assert outcome(evidence) is expected


@pytest.mark.parametrize(
    "name", ["roc_auc", "average_precision", "r2", "log_loss", "ndcg", "absolute_error_p95"]
)
def test_copies_of_rows_are_worth_nothing_more(name: str) -> None:
    """Ten copies of a row are one cluster: the bounds are no narrower than those of the rows themselves."""
    rng = np.random.default_rng(2)
    truth = rng.random(300) < 0.4
    columns: dict[str, Any] = {
        "y_true": truth,
        "y_score": np.clip(rng.normal(0.3 + 0.4 * truth, 0.2), 0.01, 0.99),
    }
    if metric_named(name).needs is Needs.NUMBERS:
        columns = {"y_true": rng.normal(size=300), "y_pred": rng.normal(size=300)}
    query = {"query": np.arange(300) // 5} if name == "ndcg" else {}
    single = measured(name, **columns, **query).estimate.at(0.95)
    copied = {key: np.tile(column, 10) for key, column in columns.items()}
    queries = {"query": np.arange(3_000) // 5} if name == "ndcg" else {}
    groups = np.tile(np.arange(300) if name != "ndcg" else np.arange(300) // 5, 10)
    many = measured(name, **copied, **queries, groups=groups).estimate.at(0.95)
    naive = measured(name, **copied, **queries).estimate.at(0.95)
    assert None not in single
    assert None not in many
    assert None not in naive
    width, careful, blind = ((upper or 0) - (lower or 0) for lower, upper in (single, many, naive))
    assert 0.9 * width < careful < 1.3 * width
    assert blind < 0.5 * width


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "mean_absolute_error"])
def test_series_are_short_json(name: str) -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(5_000) < 0.4
    scores = rng.normal(truth, 1.0)
    numbers = metric_named(name).needs is Needs.NUMBERS
    columns = (
        {"y_true": truth.astype(float), "y_pred": scores} if numbers else {"y_true": truth, "y_score": scores}
    )
    details = measured(name, **columns, positive_label=True).details
    series: Any = details[{"roc_auc": "roc", "average_precision": "pr"}.get(name, "residuals")]
    assert len(series["x"]) == len(series["y"]) <= 201
    assert json.loads(json.dumps(details, allow_nan=False)) == details
    if not numbers:
        assert all(
            low <= y <= high
            for low, y, high in zip(series["lower"], series["y"], series["upper"], strict=True)
        )
