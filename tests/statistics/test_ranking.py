"""AUC and average precision against scikit-learn, a pairwise DeLong, a real bootstrap, and by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from pytest_prodml.statistics import intervals, retrieval
from pytest_prodml.statistics.estimate import Estimate, growth_to_decide
from pytest_prodml.statistics.ranking import average_precision, roc_auc, roc_curve
from pytest_prodml.statistics.sufficient import ScoreTable, score_table

Array = npt.NDArray[np.float64]

rows = st.lists(
    st.tuples(st.booleans(), st.one_of(st.floats(-10, 10), st.integers(0, 3).map(float))),
    min_size=2,
    max_size=80,
)


def table_of(labeled: list[tuple[bool, float]]) -> tuple[npt.NDArray[np.bool_], Array, ScoreTable]:
    truth = np.array([label for label, _ in labeled], dtype=np.bool_)
    scores = np.array([score for _, score in labeled])
    return truth, scores, score_table(truth, scores)


@given(rows)
def test_values_are_scikit_learns(labeled: list[tuple[bool, float]]) -> None:
    truth, scores, table = table_of(labeled)
    assume(0 < truth.sum() < truth.size)
    assert roc_auc(table).value == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert average_precision(table).value == pytest.approx(average_precision_score(truth, scores), abs=1e-12)


@given(rows, st.sampled_from([0.9, 0.95, 0.99]))
def test_bounds_contain_the_value(labeled: list[tuple[bool, float]], level: float) -> None:
    _, _, table = table_of(labeled * 15)
    for estimate in (roc_auc(table), average_precision(table)):
        lower, upper = estimate.at(level)
        if lower is not None and upper is not None:
            assert estimate.value is not None
            assert 0 <= lower <= estimate.value + 1e-12
            assert estimate.value - 1e-12 <= upper <= 1


def test_hanley_mcneil_1982() -> None:
    """58 normal and 51 abnormal images in five ratings: AUC 0.893 (Radiology 143:29)."""
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    table = ScoreTable(
        scores=np.arange(5.0)[::-1], positives=np.array(abnormal[::-1]), negatives=np.array(normal[::-1])
    )
    estimate = roc_auc(table)
    assert estimate.value == pytest.approx(0.8932, abs=5e-5)
    # Its standard error there is 0.032; the score bounds lie 1.645 of their own errors away.
    lower, _ = estimate.at(0.95)
    assert lower == pytest.approx(0.83, abs=0.01)


def test_variance_is_delongs() -> None:
    """Against the definition: all pairs, and the two samples of placements."""
    rng = np.random.default_rng(1)
    truth = rng.random(400) < 0.4
    scores = np.round(rng.normal(truth, 1.0), 1)
    above = scores[truth][:, None] - scores[~truth][None]
    wins = (above > 0) + 0.5 * (above == 0)
    value = wins.mean()
    error = math.sqrt(
        wins.mean(axis=1).var(ddof=1) / wins.shape[0] + wins.mean(axis=0).var(ddof=1) / wins.shape[1]
    )
    half = NormalDist().inv_cdf(0.95) * error / (value * (1 - value))
    expected = [1 / (1 + math.exp(-(math.log(value / (1 - value)) + side * half))) for side in (-1, 1)]
    estimate = roc_auc(score_table(truth, scores))
    assert estimate.method == "logit DeLong"
    assert estimate.at(0.95) == pytest.approx(expected, abs=1e-12)


def test_average_precision_error_is_the_bootstraps() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random(1_500) < 0.3
    scores = rng.normal(1.2 * truth, 1.0)
    resampled = [rng.integers(0, truth.size, truth.size) for _ in range(300)]
    spread = np.std([average_precision_score(truth[take], scores[take]) for take in resampled])
    estimate = average_precision(score_table(truth, scores))
    lower, upper = estimate.at(0.95)
    assert lower is not None
    assert upper is not None
    assert (upper - lower) / 2 == pytest.approx(1.645 * spread, rel=0.15)


@pytest.mark.parametrize(
    ("truth", "told"), [([], "no rows"), ([True] * 20, "positive"), ([False] * 20, "negative")]
)
def test_one_class_has_no_value(truth: list[bool], told: str) -> None:
    table = score_table(np.array(truth, dtype=np.bool_), np.linspace(0, 1, len(truth)))
    for estimate in (roc_auc(table), average_precision(table)):
        assert estimate.value is None
        assert told in (estimate.note or "")
        assert estimate.at(0.95) == (None, None)


def test_few_rows_of_a_class_prove_nothing() -> None:
    truth = np.arange(1_000) < 9
    estimate = roc_auc(score_table(truth, truth.astype(float)))
    assert estimate.value == 1
    assert estimate.at(0.95) == (None, None)
    assert "fewer than 10" in (estimate.note or "")
    growth = growth_to_decide(estimate, 0.8, at_least=True, confidence_level=0.95)
    assert growth is not None
    assert growth >= 10 / 9


def test_perfect_separation_is_not_certainty() -> None:
    truth = np.arange(50) < 25
    lower, upper = roc_auc(score_table(truth, truth.astype(float))).at(0.95)
    assert lower == pytest.approx(0.939, abs=0.01)  # DeLong and the bootstrap say 1
    assert upper == 1


def test_a_constant_score_proves_no_ranking() -> None:
    truth = np.arange(2_000) < 1_000
    lower, upper = roc_auc(score_table(truth, np.zeros(2_000))).at(0.95)
    assert lower is not None
    assert upper is not None
    assert lower < 0.48
    assert upper > 0.52


def _normal(
    rng: np.random.Generator, auc: float, positives: int, negatives: int, spread: float
) -> ScoreTable:
    shift = NormalDist().inv_cdf(auc) * math.sqrt(1 + spread**2)
    scores = np.concatenate([rng.normal(shift, spread, positives), rng.normal(0, 1, negatives)])
    return score_table(np.arange(positives + negatives) < positives, scores)


def _misses(estimates: list[Estimate], truth: float) -> tuple[float, float]:
    bounds = [estimate.at(0.95) for estimate in estimates]
    low = np.mean([lower is not None and lower > truth for lower, _ in bounds])
    high = np.mean([upper is not None and upper < truth for _, upper in bounds])
    return float(low), float(high)


@pytest.mark.parametrize(
    ("auc", "positives", "negatives", "spread"),
    [
        (0.8, 25, 25, 1.0),  # plain DeLong misses .096 below
        (0.95, 15, 35, 1.0),  # .19
        (0.99, 25, 25, 1.0),  # .34
        (0.9, 20, 480, 2.0),  # logit DeLong misses .11, Newcombe's method 5 .09
        (0.95, 50, 450, 2.0),  # .10 and .08
        (0.8, 150, 350, 1.0),
    ],
)
def test_auc_bounds_hold_their_level(auc: float, positives: int, negatives: int, spread: float) -> None:
    """1,500 simulations: a method that misses 5 % shows more than 6.7 % once in a thousand runs."""
    rng = np.random.default_rng(3)
    low, high = _misses([roc_auc(_normal(rng, auc, positives, negatives, spread)) for _ in range(1_500)], auc)
    assert low <= 0.067
    assert high <= 0.067


@pytest.mark.parametrize(("auc", "rate", "rows"), [(0.75, 0.3, 500), (0.9, 0.5, 200), (0.9, 0.05, 2_000)])
def test_average_precision_bounds_hold_their_level(auc: float, rate: float, rows: int) -> None:
    shift = NormalDist().inv_cdf(auc) * math.sqrt(2)

    def sample(rng: np.random.Generator, n: int) -> ScoreTable:
        truth = rng.random(n) < rate
        return score_table(truth, rng.normal(shift * truth, 1.0))

    truth = average_precision(sample(np.random.default_rng(4), 2_000_000)).value
    assert truth is not None
    rng = np.random.default_rng(5)
    low, high = _misses([average_precision(sample(rng, rows)) for _ in range(1_000)], truth)
    assert low <= 0.072
    assert high <= 0.072


@pytest.mark.parametrize("measure", [roc_auc, average_precision])
def test_planned_rows_would_decide(measure: Callable[[ScoreTable], Estimate]) -> None:
    """A sample of the planned size, with the observed value as truth, decides about nine times in ten."""
    rng = np.random.default_rng(6)
    value = measure(_normal(rng, 0.8, 200_000, 200_000, 1.0)).value
    assert value is not None
    limit = value - 0.03
    estimate = measure(_normal(np.random.default_rng(7), 0.8, 150, 150, 1.0))
    assert estimate.value is not None
    growth = growth_to_decide(estimate, estimate.value - 0.03, at_least=True, confidence_level=0.95)
    assert growth is not None
    size = round(150 * growth)
    bounds = [measure(_normal(rng, 0.8, size, size, 1.0)).at(0.95)[0] for _ in range(200)]
    assert np.mean([lower is not None and lower >= limit for lower in bounds]) == pytest.approx(0.9, abs=0.07)


@given(rows)
def test_the_curve_is_scikit_learns(labeled: list[tuple[bool, float]]) -> None:
    truth, scores, table = table_of(labeled)
    assume(0 < truth.sum() < truth.size)
    false_rates, true_rates = roc_curve(table)
    expected = sklearn_roc_curve(truth, scores, drop_intermediate=False)
    assert false_rates == pytest.approx(expected[0].tolist())
    assert true_rates == pytest.approx(expected[1].tolist())


def test_a_long_curve_is_thinned() -> None:
    table = _normal(np.random.default_rng(8), 0.9, 5_000, 45_000, 1.0)
    x, y = roc_curve(table)
    assert len(x) == len(y) <= 200
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(0.9, abs=0.01)
    assert roc_curve(score_table(np.ones(3, dtype=np.bool_), np.arange(3.0))) == ([], [])


def test_the_threshold_of_a_top_share_is_estimated_as_well() -> None:
    """With 5 % positives exact bounds of the hits miss 9 %; the population's tenth is what is asked for."""
    rng = np.random.default_rng(20261123)
    label = rng.random(1_000_000) < 0.05
    truth = retrieval.found_at(label, rng.normal(3.0 * label), 100_000) / 100_000
    low = high = plain = 0
    for _ in range(1_500):
        drawn = rng.random(200) < 0.05
        scores = rng.normal(3.0 * drawn)
        lower, upper = retrieval.precision_of_top(drawn, scores, 20).at(0.95)
        assert lower is not None
        assert upper is not None
        low, high = low + (lower > truth), high + (upper < truth)
        exact = intervals.proportion(retrieval.found_at(drawn, scores, 20), 20).at(0.95)
        plain += (exact[0] or 0.0) > truth or (exact[1] or 1.0) < truth
    assert low / 1_500 <= 0.065
    assert high / 1_500 <= 0.065
    assert plain / 1_500 > 0.12


def test_a_top_without_misses_is_not_certain() -> None:
    relevant = np.arange(100) < 40
    found = retrieval.precision_of_top(relevant, -np.arange(100.0), 20)
    assert found.value == 1
    assert found.at(0.95)[0] == pytest.approx(0.05 ** (1 / 20), abs=0.02)
