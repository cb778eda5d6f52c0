"""Paired comparisons against statsmodels, published values, slow formulas, and by enumeration."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import gammaln, xlogy
from scipy.stats import binom
from scipy.stats import t as student
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.confusion_metrics import CONFUSION_METRICS
from pytest_prodml.statistics.design import Design, design_of
from pytest_prodml.statistics.estimate import Estimate, growth_to_decide
from pytest_prodml.statistics.paired import (
    agresti_min,
    exact_limits,
    from_influence,
    mcnemar,
    paired_means,
    paired_proportions,
    paired_shares,
    tango,
)
from pytest_prodml.statistics.paired_scores import paired_average_precision, paired_roc_auc, placements
from pytest_prodml.statistics.paired_tables import paired_function, paired_table

Array = npt.NDArray[np.float64]
SIMPLE = Design()
counts = st.integers(0, 40)


def certain(estimate: Estimate, level: float = 0.95) -> tuple[float, float]:
    lower, upper = estimate.at(level)
    assert lower is not None
    assert upper is not None
    return lower, upper


# --- right and wrong answers ------------------------------------------------------------------------------


@given(counts, counts)
def test_mcnemar_is_the_exact_test_of_statsmodels(fixed: int, broken: int) -> None:
    expected = reference_mcnemar([[9, fixed], [broken, 4]], exact=True).pvalue
    assert mcnemar(fixed, broken) == pytest.approx(float(expected), abs=1e-9)


@given(counts, counts)
def test_mid_p_counts_the_observed_split_half(fixed: int, broken: int) -> None:
    n, k = fixed + broken, min(fixed, broken)
    expected = 2 * binom.cdf(k, n, 0.5) - binom.pmf(k, n, 0.5) if n else 1.0
    assert mcnemar(fixed, broken, mid_p=True) == pytest.approx(min(float(expected), 1.0), abs=1e-9)


def test_bounds_of_a_published_table() -> None:
    """21 children before and after a stem cell transplant (Fagerland, Lydersen, Laake 2014, table 1)."""
    assert tango(1, 7, 21, 0.975) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert agresti_min(1, 7, 21, 0.975) == pytest.approx((-0.493, -0.029), abs=5e-4)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 200), st.sampled_from([0.9, 0.95, 0.99]))
def test_tangos_bounds_have_the_score_statistic_of_their_level(
    fixed: int, broken: int, agreeing: int, level: float
) -> None:
    """With the likelihood maximized on a grid instead of by formula."""
    n = fixed + broken + agreeing
    lower, _ = tango(fixed, broken, n, level)
    assume(-0.95 < lower < 0.95)
    low, high = max(0.0, -lower), (1 - lower) / 2
    for _ in range(6):
        grid = np.linspace(low, high, 401)
        rest = np.maximum(1 - lower - 2 * grid, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            likelihood = (
                fixed * np.log(grid + lower)
                + broken * np.log(grid)
                + (agreeing * np.log(rest) if agreeing else 0.0)
            )
        best = int(np.nanargmax(np.where(np.isnan(likelihood), -np.inf, likelihood)))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 400)]
    share = (low + high) / 2
    error = math.sqrt((2 * share + lower - lower**2) / n)
    statistic = ((fixed - broken) / n - lower) / error
    assert statistic == pytest.approx(NormalDist().inv_cdf(level), rel=2e-3)


@given(counts, counts, st.integers(1, 400), st.sampled_from([0.6, 0.9, 0.95, 0.999, 1 - 1e-9]))
def test_bounds_of_a_swapped_pair_are_mirrored(fixed: int, broken: int, more: int, level: float) -> None:
    n = fixed + broken + more
    estimate = paired_proportions(fixed, broken, n)
    lower, upper = certain(estimate, level)
    assert -1 <= lower <= (fixed - broken) / n + 1e-12
    assert (fixed - broken) / n - 1e-12 <= upper <= 1
    mirrored = certain(paired_proportions(broken, fixed, n), level)
    assert (-upper, -lower) == pytest.approx(mirrored, abs=1e-9)


@given(counts, counts, st.integers(1, 400))
def test_higher_levels_have_wider_bounds(fixed: int, broken: int, more: int) -> None:
    estimate = paired_proportions(fixed, broken, fixed + broken + more)
    found = [certain(estimate, level) for level in (0.6, 0.8, 0.95, 0.99, 0.999999)]
    assert all(a[0] >= b[0] - 1e-9 and a[1] <= b[1] + 1e-9 for a, b in pairwise(found))


def test_no_row_newly_wrong_gives_the_exact_bound() -> None:
    """Of 300 rows none is newly wrong: up to 1 - 0.05^(1/300) of all rows may be."""
    lower, upper = certain(paired_proportions(0, 0, 300))
    assert (lower, upper) == pytest.approx((-(1 - 0.05 ** (1 / 300)), 1 - 0.05 ** (1 / 300)), abs=1e-9)


def law(n: int, fixed: Array, broken: Array, p: float, q: float) -> Array:
    """Return the probabilities of counts under a multinomial law."""
    rest = n - fixed - broken
    logs = gammaln(n + 1) - gammaln(fixed + 1) - gammaln(broken + 1) - gammaln(rest + 1)
    logs += xlogy(fixed, p) + xlogy(broken, q) + xlogy(rest, 1 - p - q)
    probabilities: Array = np.exp(logs)
    return probabilities


def region(n: int, most_fixed: int, most_broken: int) -> tuple[Array, Array]:
    fixed, broken = np.meshgrid(np.arange(most_fixed + 1.0), np.arange(most_broken + 1.0))
    inside = fixed + broken <= n
    return fixed[inside], broken[inside]


@pytest.mark.parametrize("n", [20, 50, 400])
def test_the_worst_error_is_near_its_level(n: int) -> None:
    """Enumerated; by symmetry the lower bound tells of both. Tango alone reaches 9 %, Agresti-Min 21 %."""
    most = min(n, 45)
    fixed, broken = region(n, most, most)
    lower = np.array([certain(paired_proportions(b, c, n))[0] for b, c in zip(fixed, broken, strict=True)])
    rates = [rate for rate in (0, 0.3, 1, 2, 3, 4, 6, 8, 12, 16, 20) if rate <= 0.9 * n]
    errors = {
        (a, b): law(n, fixed, broken, a / n, b / n)[lower > (a - b) / n + 1e-12].sum()
        for a in rates
        for b in rates
        if a + b <= n
    }
    worst = max(errors, key=lambda pair: errors[pair])
    assert errors[worst] <= 0.063, worst
    # Where the wider bounds serve they hold the level itself.
    assert max(error for (a, b), error in errors.items() if min(a, b) <= 2) <= 0.0505


def test_power_and_false_passes_of_the_paired_gate_at_1000_rows() -> None:
    """The acceptance sentence, enumerated: a 2-point loss is proven in more than 80 % of all samples."""
    n = 1000
    fixed, broken = region(n, 65, 80)
    bounds = np.array([certain(paired_proportions(b, c, n)) for b, c in zip(fixed, broken, strict=True)])
    loss = law(n, fixed, broken, 0.02, 0.04)
    assert loss.sum() == pytest.approx(1, abs=1e-5)
    assert loss[bounds[:, 1] < 0].sum() >= 0.80
    equal = law(n, fixed, broken, 0.03, 0.03)
    assert equal[bounds[:, 0] >= -0.02].sum() >= 0.80
    assert equal[bounds[:, 1] < 0].sum() <= 0.0525
    assert loss[bounds[:, 0] >= -0.02].sum() == pytest.approx(0.05, abs=0.005)


def test_rows_needed() -> None:
    estimate = paired_proportions(6, 6, 200)
    growth = growth_to_decide(estimate, -0.02, at_least=True, confidence_level=0.95)
    assert growth is not None
    # (z_.95 + z_.9)^2 * discordant share / margin^2
    assert growth * 200 == pytest.approx((1.645 + 1.2816) ** 2 * 0.06 / 0.02**2, rel=0.15)


@pytest.mark.parametrize(("fixed", "broken", "n"), [(-1, 0, 5), (4, 4, 7)])
def test_impossible_counts(fixed: int, broken: int, n: int) -> None:
    with pytest.raises(InputError, match="newly"):
        paired_proportions(fixed, broken, n)


def test_exact_limits_hold_where_all_rows_differ() -> None:
    assert exact_limits(5, 0, 5, 0.95)[1] == 1.0


def test_no_rows() -> None:
    estimate = paired_proportions(0, 0, 0, of="positive rows")
    assert estimate.value is None
    assert estimate.note == "there are no positive rows"


# --- weights and clusters ---------------------------------------------------------------------------------


def test_weights_are_counted_and_clusters_widen() -> None:
    random = np.random.default_rng(1)
    first, second = random.random(600) < 0.8, random.random(600) < 0.8
    plain = paired_shares(first, second, SIMPLE)
    lower, upper = certain(plain)
    twice = design_of(600, sample_weight=np.where(first, 2.0, 1.0))
    weighted = paired_shares(first, second, twice)
    weights = np.where(first, 2.0, 1.0)
    assert weighted.value == pytest.approx(
        np.average(first.astype(float) - second.astype(float), weights=weights)
    )
    copies = np.repeat(np.arange(150), 4)
    clustered = paired_shares(first[copies], second[copies], design_of(600, groups=copies))
    of_one = paired_shares(first[:150], second[:150], SIMPLE)
    assert clustered.value == pytest.approx(of_one.value)
    low, high = certain(clustered)
    assert (low, high) == pytest.approx(certain(of_one), rel=0.08)
    assert high - low > 1.5 * (upper - lower)


# --- ROC AUC ----------------------------------------------------------------------------------------------


def slow_placements(truth: npt.NDArray[np.bool_], scores: Array) -> Array:
    found = []
    for row, positive in enumerate(truth):
        others = scores[truth != positive]
        ahead = scores[row] - others if positive else others - scores[row]
        found.append(float(np.mean((ahead > 0) + 0.5 * (ahead == 0))))
    return np.array(found)


scored = st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6)), min_size=4, max_size=60)


@given(scored)
def test_placements_and_value_are_the_slow_ones(rows: list[tuple[bool, int, int]]) -> None:
    truth = np.array([row[0] for row in rows])
    assume(0 < truth.sum() < truth.size)
    first, second = (np.array([float(row[place]) for row in rows]) for place in (1, 2))
    assert placements(truth, first, np.ones(truth.size)) == pytest.approx(slow_placements(truth, first))
    estimate = paired_roc_auc(truth, first, second, SIMPLE)
    expected = sklearn.metrics.roc_auc_score(truth, first) - sklearn.metrics.roc_auc_score(truth, second)
    assert estimate.value == pytest.approx(float(expected), abs=1e-12)


def test_with_many_rows_the_width_is_delongs() -> None:
    random = np.random.default_rng(4)
    truth = random.random(800) < 0.4
    shared = random.normal(size=800)
    first = truth + shared + 0.5 * random.normal(size=800)
    second = truth + shared + 0.5 * random.normal(size=800)
    change = slow_placements(truth, first) - slow_placements(truth, second)
    variance = sum(change[rows].var(ddof=1) / rows.sum() for rows in (truth, ~truth))
    estimate = paired_roc_auc(truth, first, second, SIMPLE)
    lower, upper = certain(estimate)
    assert estimate.method == "paired DeLong"
    assert (upper - lower) / 2 == pytest.approx(1.645 * math.sqrt(variance), rel=0.05)
    assert (upper - lower) / 2 > 1.645 * math.sqrt(variance)


def test_average_precision_is_scikit_learns_also_with_weights() -> None:
    random = np.random.default_rng(11)
    truth = random.random(300) < 0.3
    first, second = (np.round(truth + random.normal(size=300), 1) for _ in range(2))
    weights = random.integers(0, 4, 300).astype(np.float64)
    score = sklearn.metrics.average_precision_score
    plain = paired_average_precision(truth, first, second, SIMPLE)
    assert plain.value == pytest.approx(score(truth, first) - score(truth, second), abs=1e-12)
    weighted = paired_average_precision(truth, first, second, design_of(300, sample_weight=weights))
    expected = score(truth, first, sample_weight=weights) - score(truth, second, sample_weight=weights)
    assert weighted.value == pytest.approx(expected, abs=1e-12)


def test_average_precision_has_the_jackknifes_width() -> None:
    """The influences against leaving each row out."""
    random = np.random.default_rng(12)
    truth = random.random(250) < 0.4
    shared = random.normal(size=250)
    first, second = (truth + shared + 0.4 * random.normal(size=250) for _ in range(2))
    score = sklearn.metrics.average_precision_score
    left = np.array(
        [
            score(np.delete(truth, row), np.delete(first, row))
            - score(np.delete(truth, row), np.delete(second, row))
            for row in range(250)
        ]
    )
    error = math.sqrt(249 / 250 * float(((left - left.mean()) ** 2).sum()))
    lower, upper = certain(paired_average_precision(truth, first, second, SIMPLE))
    assert (upper - lower) / 2 == pytest.approx(1.66 * error, rel=0.1)


def test_few_positive_rows_give_no_bounds_for_average_precision() -> None:
    random = np.random.default_rng(13)
    truth = np.arange(200) < 15
    estimate = paired_average_precision(truth, random.random(200), random.random(200), SIMPLE)
    assert estimate.at(0.95) == (None, None)
    assert estimate.note == "fewer than 20 positive rows are too few for bounds that keep their level"
    nothing = paired_average_precision(truth & False, random.random(200), random.random(200), SIMPLE)
    assert nothing.note == "there are no positive rows"


def test_few_rows_of_a_class_take_the_safe_range() -> None:
    truth = np.arange(400) < 12
    random = np.random.default_rng(2)
    first, second = truth * 5.0 + random.random(400), truth * 5.0 + random.random(400)
    estimate = paired_roc_auc(truth, first, second, SIMPLE)
    assert estimate.value == 0
    assert estimate.method == "paired DeLong or Gaffke, the wider"
    # Not one of twelve positive rows is ranked differently: up to 1 - 0.05^(1/12) of them may be.
    assert certain(estimate)[0] == pytest.approx(-(1 - 0.05 ** (1 / 12)), rel=0.2)


def test_one_class_has_no_auc() -> None:
    truth = np.ones(5, dtype=np.bool_)
    estimate = paired_roc_auc(truth, np.arange(5.0), np.arange(5.0)[::-1], SIMPLE)
    assert estimate.value is None
    assert estimate.note == "there are no negative rows"


# --- losses -----------------------------------------------------------------------------------------------


def test_symmetric_differences_have_students_bounds() -> None:
    random = np.random.default_rng(6)
    first = random.normal(size=500)
    lower, upper = certain(paired_means(first, np.zeros(500), SIMPLE))
    half = student.ppf(0.95, 499) * first.std(ddof=1) / math.sqrt(500)
    assert (lower, upper) == pytest.approx((first.mean() - half, first.mean() + half), abs=0.05 * half)


def test_a_long_tail_widens_its_side_only() -> None:
    random = np.random.default_rng(7)
    first = random.exponential(size=300)
    lower, upper = certain(paired_means(first, np.zeros(300), SIMPLE))
    assert upper - first.mean() > 1.05 * (first.mean() - lower)


def test_few_rows_that_carry_a_difference_give_no_bounds() -> None:
    first = np.zeros(2000)
    first[:4] = 50.0
    estimate = paired_means(first, np.zeros(2000), SIMPLE)
    assert estimate.at(0.95) == (None, None)
    assert estimate.note == "4.0 rows' worth carry the difference, too few for bounds that keep their level"


def test_equal_losses_give_no_bounds_without_a_range_and_honest_ones_with_it() -> None:
    same = np.full(100, 0.3)
    assert paired_means(same, same, SIMPLE).at(0.95) == (None, None)
    lower, upper = certain(paired_means(same, same, SIMPLE, width=1.0))
    assert lower < -0.02
    assert upper > 0.02


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60))
def test_losses_with_a_range_are_bounded_by_it(rows: list[tuple[float, float]]) -> None:
    first, second = (np.array([row[place] for row in rows]) for place in (0, 1))
    estimate = paired_means(first, second, SIMPLE, width=1.0)
    lower, upper = certain(estimate)
    assert estimate.value is not None
    assert estimate.value == pytest.approx(float(np.mean(first - second)), abs=1e-12)
    assert -1 - 1e-9 <= lower <= estimate.value + 1e-12
    assert estimate.value - 1e-12 <= upper <= 1 + 1e-9


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_losses_that_are_no_numbers(bad: float) -> None:
    with pytest.raises(InputError, match="not finite"):
        paired_means(np.array([0.0, bad]), np.zeros(2), SIMPLE)


def test_influence_of_clusters() -> None:
    random = np.random.default_rng(3)
    of_cluster = np.repeat(random.normal(size=60), 10)
    clusters = np.repeat(np.arange(60), 10)
    alone = certain(from_influence(0.0, of_cluster, SIMPLE))
    together = certain(from_influence(0.0, of_cluster, design_of(600, groups=clusters)))
    assert together[1] - together[0] > 2.5 * (alone[1] - alone[0])


# --- metrics of a confusion matrix ------------------------------------------------------------------------

SKLEARN: dict[str, Callable[..., float]] = {
    "matthews_corrcoef": sklearn.metrics.matthews_corrcoef,
    "cohen_kappa_score": sklearn.metrics.cohen_kappa_score,
    "balanced_accuracy": sklearn.metrics.balanced_accuracy_score,
    "f1_macro": lambda y, p: sklearn.metrics.f1_score(y, p, average="macro", zero_division=0),
    "f1_weighted": lambda y, p: sklearn.metrics.f1_score(y, p, average="weighted", zero_division=0),
    "f2_micro": lambda y, p: sklearn.metrics.fbeta_score(y, p, beta=2, average="micro"),
    "precision_macro": lambda y, p: sklearn.metrics.precision_score(y, p, average="macro", zero_division=0),
    "recall_macro": lambda y, p: sklearn.metrics.recall_score(y, p, average="macro", zero_division=0),
    "jaccard_macro": lambda y, p: sklearn.metrics.jaccard_score(y, p, average="macro", zero_division=0),
    "jaccard_weighted": lambda y, p: sklearn.metrics.jaccard_score(y, p, average="weighted", zero_division=0),
    "cohen_kappa_score_linear": lambda y, p: sklearn.metrics.cohen_kappa_score(y, p, weights="linear"),
    "cohen_kappa_score_quadratic": lambda y, p: sklearn.metrics.cohen_kappa_score(y, p, weights="quadratic"),
}

answers = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), min_size=12, max_size=80
)


@pytest.mark.parametrize("name", SKLEARN)
@settings(max_examples=25)
@given(answers)
def test_values_are_differences_of_scikit_learns(name: str, rows: list[tuple[int, int, int]]) -> None:
    truth, first, second = np.array([*rows, (0, 0, 0), (1, 1, 1), (2, 2, 2)]).T
    estimate = paired_table(
        truth, first, second, 3, CONFUSION_METRICS[name].values, SIMPLE, seed=1, resamples=40
    )
    expected = SKLEARN[name](truth, first) - SKLEARN[name](truth, second)
    assert estimate.value == pytest.approx(float(expected), abs=1e-9)


def binary(seed: int, n: int, broken: float, fixed: float) -> tuple[npt.NDArray[np.intp], ...]:
    random = np.random.default_rng(seed)
    truth = (random.random(n) < 0.4).astype(np.intp)
    second = np.where(random.random(n) < 0.85, truth, 1 - truth)
    right = second == truth
    flips = random.random(n) < np.where(right, broken, fixed)
    return truth, np.where(flips, 1 - second, second), second


def test_the_bootstrap_is_seeded() -> None:
    truth, first, second = binary(1, 800, 0.05, 0.3)

    def bounds(seed: int) -> tuple[float, float]:
        metric = CONFUSION_METRICS["f1"].values
        return certain(paired_table(truth, first, second, 2, metric, SIMPLE, seed=seed))

    assert bounds(1) == bounds(1)
    assert bounds(1) != bounds(2)
    assert bounds(1) == pytest.approx(bounds(2), abs=0.01)


def test_where_nothing_is_fixed_the_bounds_are_wider_than_resampling_gives() -> None:
    truth, first, second = binary(2, 300, 0.02, 0.0)
    metric = CONFUSION_METRICS["f1"].values
    estimate = paired_table(truth, first, second, 2, metric, SIMPLE, seed=0)
    lower, upper = certain(estimate)
    assert estimate.method == "paired multinomial bootstrap or Gaffke, the wider"
    assert estimate.value is not None
    assert estimate.value < 0
    # No resample has a newly right row, so percentiles never go above 0; the truth may.
    assert upper > 0
    assert lower < estimate.value


def test_equal_answers_prove_little() -> None:
    truth, first, _ = binary(3, 200, 0.0, 0.0)
    estimate = paired_table(truth, first, first, 2, CONFUSION_METRICS["f1"].values, SIMPLE, seed=0)
    lower, upper = certain(estimate)
    assert estimate.value == 0
    assert lower < -0.01
    assert upper > 0.01


def test_an_undefined_metric_has_no_value() -> None:
    truth, first, _ = binary(4, 100, 0.0, 0.0)
    never = np.zeros(100, dtype=np.intp)
    precision = CONFUSION_METRICS["precision"].values
    estimate = paired_table(truth, never, first, 2, precision, SIMPLE, seed=0)
    assert estimate.value is None
    assert estimate.note == "the metric is undefined for the candidate"


def test_table_knows_clusters() -> None:
    truth, first, second = (np.repeat(column, 5) for column in binary(5, 200, 0.1, 0.4))
    metric = CONFUSION_METRICS["f1"].values
    alone = certain(paired_table(truth, first, second, 2, metric, SIMPLE, seed=0))
    groups = design_of(1000, groups=np.repeat(np.arange(200), 5))
    together = certain(paired_table(truth, first, second, 2, metric, groups, seed=0))
    assert together[1] - together[0] == pytest.approx(math.sqrt(5) * (alone[1] - alone[0]), rel=0.15)


# --- any metric -------------------------------------------------------------------------------------------


def test_left_out_rows_agree_with_students_t() -> None:
    random = np.random.default_rng(8)
    change = random.normal(0.1, 1.0, size=400)
    estimate = paired_function(lambda rows: float(change[rows].mean()), change != 0, SIMPLE, seed=3)
    half = 1.645 * change.std(ddof=1) / math.sqrt(400)
    lower, upper = certain(estimate)
    assert (upper - lower) / 2 == pytest.approx(half, rel=0.35)
    assert lower < change.mean() - 0.8 * half


def test_left_out_clusters_are_wider() -> None:
    random = np.random.default_rng(8)
    change = np.repeat(random.normal(size=80), 10)
    groups = design_of(800, groups=np.repeat(np.arange(80), 10))

    def width(design: Design) -> float:
        lower, upper = certain(
            paired_function(lambda rows: float(change[rows].mean()), change != 0, design, seed=3)
        )
        return upper - lower

    assert width(groups) > 2 * width(SIMPLE)


def test_few_rows_that_differ_give_no_bounds() -> None:
    differs = np.arange(1000) < 12
    estimate = paired_function(lambda rows: float(differs[rows].mean()), differs, SIMPLE, seed=0)
    assert estimate.value == pytest.approx(0.012)
    assert estimate.at(0.95) == (None, None)
    assert estimate.note == "the models differ in 12 rows, fewer than 50: no bounds would hold"
