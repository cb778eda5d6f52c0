"""Intervals against published values, scipy, statsmodels, and by enumerating every outcome."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom, multinomial
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.estimate import growth_to_decide
from pytest_prodml.statistics.intervals import (
    bounded_mean,
    clopper_pearson,
    f1,
    f_beta,
    jaccard,
    mean,
    mean_of_proportions,
    proportion,
    wilson,
)

trials = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("successes", "of", "exact", "score"),
    [
        (81, 263, (0.2527, 0.3676), (0.2553, 0.3662)),
        (15, 148, (0.0578, 0.1617), (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1684), (0.0, 0.1611)),
        (1, 29, (0.0009, 0.1776), (0.0061, 0.1718)),
    ],
)
def test_newcombe_1998_table(
    successes: int, of: int, exact: tuple[float, float], score: tuple[float, float]
) -> None:
    """R. G. Newcombe, Statistics in Medicine 17:857, two-sided 95 %: one-sided 97.5 % each."""
    assert tuple(map(float, clopper_pearson(successes, of, 0.975))) == pytest.approx(exact, abs=5e-5)
    assert tuple(map(float, wilson(successes, of, 0.975))) == pytest.approx(score, abs=5e-5)


@given(trials, st.sampled_from([0.9, 0.95, 0.99]))
def test_statsmodels_agrees(counted: tuple[int, int], level: float) -> None:
    k, n = counted
    alpha = 2 * (1 - level)
    assert proportion(k, n).at(level) == pytest.approx(proportion_confint(k, n, alpha, "beta"), abs=1e-9)
    assert tuple(map(float, wilson(k, n, level))) == pytest.approx(
        proportion_confint(k, n, alpha, "wilson"), abs=1e-9
    )


@given(trials)
def test_bounds_are_the_exact_tests(counted: tuple[int, int]) -> None:
    """At its own bound an observation has exactly probability alpha: independent of beta quantiles."""
    k, n = counted
    lower, upper = proportion(k, n).at(0.95)
    assert lower is not None
    assert upper is not None
    if k > 0:
        assert binom.sf(k - 1, n, lower) == pytest.approx(0.05, rel=1e-6)
    if k < n:
        assert binom.cdf(k, n, upper) == pytest.approx(0.05, rel=1e-6)


def test_all_right_proves_little() -> None:
    assert proportion(3, 3).at(0.95)[0] == pytest.approx(0.05 ** (1 / 3))  # 0.37: 3 of 3 prove no 0.99
    assert proportion(20, 20).at(0.95)[0] == pytest.approx(0.861, abs=5e-4)  # and 20 of 20 no 0.95
    assert proportion(0, 5).at(0.95)[0] == 0
    assert proportion(5, 5).at(0.95)[1] == 1


@pytest.mark.parametrize("n", [1, 5, 20, 50, 131])
def test_exact_bounds_never_miss_more_than_their_level(n: int) -> None:
    """Exact, worst case over the proportion: coverage is lowest just beside a bound."""
    k = np.arange(n + 1)
    lower, upper = clopper_pearson(k, n, 0.95)
    for share in np.concatenate([lower - 1e-9, lower + 1e-9, upper - 1e-9, upper + 1e-9]):
        if 0 < share < 1:
            probability = binom.pmf(k, n, share)
            assert probability[lower > share].sum() <= 0.05 + 1e-7
            assert probability[upper < share].sum() <= 0.05 + 1e-7


def test_wilson_misses_more() -> None:
    """So it shows and does not certify: with 50 rows and a rate just below the bound of one success."""
    k = np.arange(51)
    lower, _ = wilson(k, 50, 0.95)
    share = lower[1] - 1e-9
    assert binom.pmf(k, 50, share)[lower > share].sum() > 0.19


@pytest.mark.parametrize("cells", [(0.1, 0.05, 0.1, 0.75), (0.4, 0.02, 0.03, 0.55), (0.9, 0.02, 0.02, 0.06)])
def test_f1_bounds_never_miss_more_than_their_level(cells: tuple[float, ...]) -> None:
    """Exact: every outcome of 18 rows. The bootstrap misses 5 to 30 % in such settings."""
    n = 18
    outcomes = np.array(
        [
            (a, b, c, n - a - b - c)
            for a in range(n + 1)
            for b in range(n + 1 - a)
            for c in range(n + 1 - a - b)
        ]
    )
    probability = multinomial.pmf(outcomes, n, cells)
    truth = 2 * cells[0] / (2 * cells[0] + cells[1] + cells[2])
    missed = np.zeros(2)
    for (tp, fp, fn, _), weight in zip(outcomes, probability, strict=True):
        lower, upper = f1(int(tp), int(fp), int(fn)).at(0.95)
        missed += weight * np.array(
            [lower is not None and lower > truth, upper is not None and upper < truth]
        )
    assert (missed <= 0.05).all()


def test_f1_is_exact_through_j() -> None:
    estimate = f1(20, 5, 3)
    assert estimate.value == pytest.approx(40 / 48)
    j = beta.ppf(0.05, 20, 9)
    assert estimate.at(0.95)[0] == pytest.approx(2 * j / (1 + j))


@pytest.mark.parametrize("beta_of", [0.5, 1, 2])
@pytest.mark.parametrize("cells", [(0.1, 0.05, 0.1, 0.75), (0.4, 0.02, 0.03, 0.55), (0.9, 0.02, 0.02, 0.06)])
def test_f_beta_bounds_never_miss_more_than_their_level(cells: tuple[float, ...], beta_of: float) -> None:
    """Exact: every outcome of 14 rows."""
    n, b = 14, beta_of**2
    outcomes = np.array(
        [
            (x, y, z, n - x - y - z)
            for x in range(n + 1)
            for y in range(n + 1 - x)
            for z in range(n + 1 - x - y)
        ]
    )
    probability = multinomial.pmf(outcomes, n, cells)
    truth = (1 + b) * cells[0] / ((1 + b) * cells[0] + b * cells[2] + cells[1])
    missed = np.zeros(2)
    for (tp, fp, fn, _), weight in zip(outcomes, probability, strict=True):
        lower, upper = f_beta(int(tp), int(fp), int(fn), beta=beta_of).at(0.95)
        missed += weight * np.array(
            [lower is not None and lower > truth, upper is not None and upper < truth]
        )
    assert (missed <= 0.05).all()


@given(st.integers(0, 200), st.integers(0, 50), st.integers(0, 50), st.sampled_from([0.9, 0.95, 0.999]))
def test_f_beta_of_one_is_f1(tp: int, fp: int, fn: int, level: float) -> None:
    general, exact = f_beta(tp, fp, fn, beta=1), f1(tp, fp, fn)
    assert general.value == (None if exact.value is None else pytest.approx(exact.value))
    if exact.value is not None:
        assert general.at(level) == pytest.approx(exact.at(level), abs=1e-9)


@pytest.mark.parametrize("beta_of", [0.5, 2])
def test_f_beta_bounds_are_dirichlet_quantiles(beta_of: float) -> None:
    """By simulation: one more row is of the worst kind, a false positive or a false negative."""
    b = beta_of**2
    rng = np.random.default_rng(8)
    for extra, side in (((0, 1, 0) if b < 1 else (0, 0, 1), 0), ((1, 0, 0), 1)):
        tp, fp, fn = rng.dirichlet(np.add((20, 5, 3), extra), 200_000).T
        values = (1 + b) * tp / ((1 + b) * tp + b * fn + fp)
        found = f_beta(20, 5, 3, beta=beta_of).at(0.95)[side]
        assert found == pytest.approx(np.quantile(values, 0.95 if side else 0.05), abs=1.5e-3)


def test_jaccard_is_a_share() -> None:
    assert jaccard(20, 5, 3).at(0.95) == proportion(20, 28).at(0.95)
    assert jaccard(0, 0, 0).value is None
    assert f_beta(0, 0, 0, beta=2).value is None
    for wrong in (0, -1, math.inf, math.nan):
        with pytest.raises(InputError):
            f_beta(1, 1, 1, beta=wrong)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 5)), min_size=2, max_size=40))
def test_weights_of_means_are_repetitions(rows: list[tuple[float, int]]) -> None:
    """A bounded mean of weighted rows is that of repeated rows; weights are scaled, so only the shares count."""
    values, times = np.array([value for value, _ in rows]), np.array([number for _, number in rows])
    weights: npt.NDArray[np.float64] = times * (values.size / float(times.sum()))
    repeated = np.repeat(values, times)
    found = bounded_mean(values, weights)
    assert found.value == pytest.approx(repeated.mean())
    lower, upper = found.at(0.95)
    assert lower is not None
    assert upper is not None
    assert lower <= repeated.mean() + 1e-12
    assert repeated.mean() - 1e-12 <= upper
    weighted = mean(values, weights)
    assert weighted.value == pytest.approx(repeated.mean())
    half = student.ppf(0.95, values.size - 1) * repeated.std() / math.sqrt(values.size - 1)
    assert weighted.at(0.95) == pytest.approx((repeated.mean() - half, repeated.mean() + half), abs=1e-9)


def test_weights_of_one_change_nothing() -> None:
    values = np.random.default_rng(9).random(300)
    assert bounded_mean(values, np.ones(300)).at(0.95) == pytest.approx(bounded_mean(values).at(0.95))
    assert mean(values, np.ones(300)).at(0.95) == pytest.approx(mean(values).at(0.95))
    assert mean([1.0], np.zeros(1)).value is None
    assert proportion(0.1 * 3, 0.3).value == 1  # a sum of weights may exceed its total by a rounding error


def test_balanced_accuracy_combines_the_recalls() -> None:
    estimate = mean_of_proportions([20, 30], [25, 40], of=["a", "b"])
    value = (20 / 25 + 30 / 40) / 2
    gaps = [20 / 25 - beta.ppf(0.05, 20, 6), 30 / 40 - beta.ppf(0.05, 30, 11)]
    assert estimate.value == pytest.approx(value)
    assert estimate.at(0.95)[0] == pytest.approx(value - math.hypot(*gaps) / 2)


@pytest.mark.parametrize(("n", "m"), [(10, 40), (25, 25), (10, 200)])
def test_balanced_accuracy_coverage(n: int, m: int) -> None:
    """Exact over a grid: both bounds miss at most 6.5 %, above a mean of 0.05 and below 0.95."""
    a, b = np.arange(n + 1), np.arange(m + 1)
    bounds: npt.NDArray[np.float64] = np.array(
        [
            [mean_of_proportions([i, j], [n, m], of=["a", "b"]).at(0.95) for j in range(m + 1)]
            for i in range(n + 1)
        ],
        dtype=np.float64,
    )
    grid = [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98]
    for p in grid:
        for q in grid:
            if not 0.05 <= (p + q) / 2 <= 0.95:
                continue
            weight = np.outer(binom.pmf(a, n, p), binom.pmf(b, m, q))
            assert weight[bounds[..., 0] > (p + q) / 2 + 1e-12].sum() <= 0.065
            assert weight[bounds[..., 1] < (p + q) / 2 - 1e-12].sum() <= 0.065


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50))
def test_mean_is_students(values: list[float]) -> None:
    array = np.array(values)
    half = student.ppf(0.95, array.size - 1) * array.std(ddof=1) / math.sqrt(array.size)
    assert mean(values).at(0.95) == pytest.approx(
        (array.mean() - half, array.mean() + half), rel=1e-9, abs=1e-9
    )


@pytest.mark.parametrize(("k", "n"), [(0, 3), (0, 20), (1, 50), (25, 50), (50, 50), (5, 500), (100, 5_000)])
def test_bounded_mean_of_zeros_and_ones_is_clopper_pearson(k: int, n: int) -> None:
    lower, upper = bounded_mean(np.arange(n) < k).at(0.95)
    assert lower is not None
    assert upper is not None
    # In probability, where the saddlepoint approximation has its error: hardly any on the careless side.
    assert k == n or 0.95 - 1e-5 <= beta.cdf(upper, k + 1, n - k) <= 0.952
    assert k == 0 or 0.048 <= beta.cdf(lower, k, n - k + 1) <= 0.05 + 1e-5


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("power", [0.5, 1, 4])
def test_bounded_mean_is_a_dirichlet_quantile(level: float, power: float) -> None:
    rng = np.random.default_rng(4)
    values = rng.random(40) ** power
    weights = rng.dirichlet(np.ones(41), size=100_000)
    lower, upper = bounded_mean(values).at(level)
    assert upper is not None
    assert lower is not None
    assert (weights @ np.append(values, 1.0) <= upper).mean() == pytest.approx(level, abs=0.004)
    assert (weights @ np.append(values, 0.0) >= lower).mean() == pytest.approx(level, abs=0.004)


def test_bounded_mean_approaches_students() -> None:
    values = np.random.default_rng(5).beta(2, 5, 20_000)
    assert bounded_mean(values).at(0.95) == pytest.approx(mean(values).at(0.95), abs=1e-4)


def test_bounded_mean_holds_where_students_does_not() -> None:
    """Brier score of a confident model for a rare event, n = 50: t misses upwards in half of the samples."""
    rng = np.random.default_rng(6)
    truth = 0.01 * 0.99 * (1 / (1 + 1))  # E p(1-p) for p ~ Beta(a, b): ab / ((a+b)(a+b+1)), a + b = 1
    missed = {"gaffke": 0, "student": 0}
    for _ in range(300):
        chance = rng.beta(0.01, 0.99, 50)
        loss = (chance - (rng.random(50) < chance)) ** 2
        for name, estimate in (("gaffke", bounded_mean(loss)), ("student", mean(loss))):
            upper = estimate.at(0.95)[1]
            missed[name] += upper is not None and upper < truth
    assert missed["gaffke"] / 300 <= 0.05
    assert missed["student"] / 300 >= 0.3


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.sampled_from([0.8, 0.95, 0.999]))
def test_bounded_mean_contains_its_value(values: list[float], level: float) -> None:
    estimate = bounded_mean(values)
    lower, upper = estimate.at(level)
    assert estimate.value == pytest.approx(np.mean(values))
    assert lower is not None
    assert upper is not None
    assert estimate.value is not None
    assert 0 <= lower <= estimate.value <= upper <= 1


@pytest.mark.parametrize(
    ("floor", "true", "rows"),
    [(0.90, 0.91, 7_498), (0.90, 0.92, 1_779), (0.90, 0.95, 236), (0.95, 0.96, 3_739), (0.99, 0.995, 2_760)],
)
def test_planned_rows_decide_with_power_90(floor: float, true: float, rows: int) -> None:
    """`rows` are those of the Wilson interval; the exact one needs a few per cent more."""
    growth = growth_to_decide(
        proportion(round(true * 10_000), 10_000), floor, at_least=True, confidence_level=0.95
    )
    assert growth is not None
    assert growth * 10_000 == pytest.approx(rows, rel=0.06)
    n = math.ceil(growth * 10_000)
    power = np.mean([_power(m, floor, true) for m in range(n - 15, n + 15)])  # it saws over n
    assert power == pytest.approx(0.9, abs=0.02)


def _power(n: int, floor: float, true: float) -> float:
    k = np.arange(n + 1)
    return float(binom.pmf(k, n, true)[clopper_pearson(k, n, 0.95)[0] >= floor].sum())


def test_planning_for_a_violation_and_for_nothing() -> None:
    broken = growth_to_decide(proportion(83, 100), 0.85, at_least=True, confidence_level=0.95)
    assert broken is not None
    assert broken * 100 == pytest.approx(2_800, rel=0.1)
    assert growth_to_decide(proportion(85, 100), 0.85, at_least=True, confidence_level=0.95) is None
    assert growth_to_decide(proportion(0, 0), 0.85, at_least=True, confidence_level=0.95) is None
    all_right = growth_to_decide(proportion(3, 3), 0.99, at_least=True, confidence_level=0.95)
    assert all_right is not None
    assert math.ceil(3 * all_right) == 299  # 0.99 ** 299 < 0.05


def test_no_rows_no_value() -> None:
    for estimate in (
        proportion(0, 0),
        f1(0, 0, 0),
        mean([]),
        bounded_mean([]),
        mean_of_proportions([1, 0], [2, 0], of="ab"),
    ):
        assert estimate.value is None
        assert estimate.note
        assert estimate.at(0.95) == (None, None)
    assert mean([4.0]).at(0.95) == (None, None)


@pytest.mark.parametrize(
    "call",
    [
        lambda: proportion(4, 3),
        lambda: proportion(-1, 3),
        lambda: mean([1.0, math.nan]),
        lambda: mean([[1.0]]),
        lambda: bounded_mean([0.5, 1.5]),
        lambda: bounded_mean([0.5, math.inf]),
        lambda: proportion(1, 2).at(1.0),
        lambda: proportion(1, 2).at(0.05),
    ],
)
def test_wrong_questions(call: object) -> None:
    assert callable(call)
    with pytest.raises(InputError):
        call()


def test_large_counts_do_not_cost_rows() -> None:
    values: npt.NDArray[np.float64] = np.random.default_rng(7).random(200_000)
    lower, upper = bounded_mean(values).at(0.95)
    assert lower is not None
    assert upper is not None
    assert upper - lower == pytest.approx(2 * 1.645 * values.std() / math.sqrt(values.size), rel=0.01)
