"""Differences and ratios against published values, by enumeration, and gaps over several groups by simulation."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom
from statsmodels.stats.proportion import confint_proportions_2indep

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.comparison import difference_bounds, max_difference, min_ratio, ratio_bounds
from pytest_prodml.statistics.intervals import wilson

pairs = st.tuples(st.integers(1, 60), st.integers(1, 60)).flatmap(
    lambda n: st.tuples(st.integers(0, n[0]), st.just(n[0]), st.integers(0, n[1]), st.just(n[1]))
)


def test_newcombe_1998_with_score_limits() -> None:
    """56/70 - 48/80, method 10 (Statistics in Medicine 17:873): 0.0524 to 0.3339."""
    lower, upper = difference_bounds(56, 70, 48, 80, 0.975, limits=wilson)
    assert (float(lower), float(upper)) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@given(pairs)
def test_statsmodels_agrees_with_score_limits(counts: tuple[int, int, int, int]) -> None:
    k1, n1, k2, n2 = counts
    expected = confint_proportions_2indep(k1, n1, k2, n2, method="newcomb", compare="diff", alpha=0.1)
    found = difference_bounds(k1, n1, k2, n2, 0.95, limits=wilson)
    assert tuple(map(float, found)) == pytest.approx(expected, abs=1e-9)


@given(pairs)
def test_difference_turns_around(counts: tuple[int, int, int, int]) -> None:
    k1, n1, k2, n2 = counts
    lower, upper = difference_bounds(k1, n1, k2, n2, 0.95)
    turned_lower, turned_upper = difference_bounds(k2, n2, k1, n1, 0.95)
    assert (float(-turned_upper), float(-turned_lower)) == pytest.approx((float(lower), float(upper)))
    assert -1 <= lower <= k1 / n1 - k2 / n2 <= upper <= 1


@given(pairs)
def test_ratio_bounds_solve_their_equation(counts: tuple[int, int, int, int]) -> None:
    """At a ratio bound r the bound of p1 - r p2, put together from exact limits, is 0."""
    k1, n1, k2, n2 = counts
    lower, upper = (float(bound) for bound in ratio_bounds(k1, n1, k2, n2, 0.95))
    p1, p2 = k1 / n1, k2 / n2
    if k1 == 0:
        assert lower == 0
    else:
        gaps = (
            p1 - beta.ppf(0.05, k1, n1 - k1 + 1),
            lower * ((beta.ppf(0.95, k2 + 1, n2 - k2) if k2 < n2 else 1) - p2),
        )
        assert p1 - lower * p2 == pytest.approx(math.hypot(*gaps), rel=1e-6, abs=1e-9)
    if k2 == 0:
        assert upper == math.inf
    else:
        gaps = (
            (beta.ppf(0.95, k1 + 1, n1 - k1) if k1 < n1 else 1) - p1,
            upper * (p2 - beta.ppf(0.05, k2, n2 - k2 + 1)),
        )
        assert upper * p2 - p1 == pytest.approx(math.hypot(*gaps), rel=1e-6, abs=1e-9)
    assert k2 == 0 or lower <= p1 / p2 <= upper


@pytest.mark.parametrize(("n1", "n2"), [(5, 5), (10, 10), (20, 20), (10, 200), (55, 300), (60, 60)])
def test_pair_coverage(n1: int, n2: int) -> None:
    """Exact over a grid of rates: differences up to 0.5 miss at most 6.5 % on a side, ratios at most 5.6 %.

    benchmarks/coverage.py finds 12 % for Newcombe's bounds and 86 % for the log-ratio's.
    """
    k1, k2 = (
        counts.astype(float) for counts in np.meshgrid(np.arange(n1 + 1), np.arange(n2 + 1), indexing="ij")
    )
    difference = difference_bounds(k1, n1, k2, n2, 0.95)
    ratio = ratio_bounds(k1, n1, k2, n2, 0.95)
    for p in (0.01, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99):
        for q in (0.01, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99):
            weight = np.outer(binom.pmf(k1[:, 0], n1, p), binom.pmf(k2[0], n2, q))
            if abs(p - q) <= 0.5:
                assert weight[difference[0] > p - q + 1e-12].sum() <= 0.065
                assert weight[difference[1] < p - q - 1e-12].sum() <= 0.065
            assert weight[ratio[0] > p / q + 1e-12].sum() <= 0.056
            assert weight[ratio[1] < p / q - 1e-12].sum() <= 0.056


counts_of_groups = st.lists(
    st.integers(0, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=2, max_size=6
)


@given(counts_of_groups, st.floats(0, 1))
def test_gaps_contain_their_value(counts: list[tuple[int, int]], limit: float) -> None:
    successes, trials = zip(*counts, strict=True)
    rates = [k / n for k, n in counts if n]
    for bounded, compare in ((max_difference, operator.sub), (min_ratio, lambda high, low: low / high)):
        spread = bounded(successes, trials, 0.95, limit=limit)
        assert spread.empty == tuple(i for i, n in enumerate(trials) if n == 0)
        if spread.value is None:
            assert len(rates) < 2 or max(rates) == 0
            continue
        assert spread.value == pytest.approx(compare(max(rates), min(rates)))
        assert spread.lower is None or 0 <= spread.lower <= spread.value + 1e-12
        assert spread.upper is None or spread.value - 1e-12 <= spread.upper <= 1


def test_two_groups_are_the_pair() -> None:
    spread = max_difference([56, 48], [70, 80], 0.95)
    assert spread.value == pytest.approx(0.2)
    assert spread.upper == pytest.approx(float(difference_bounds(56, 70, 48, 80, 0.95)[1]))
    # Either direction could have been the violation, so the proof of one is at half of alpha.
    assert spread.lower == pytest.approx(float(difference_bounds(56, 70, 48, 80, 0.975)[0]))


def test_a_group_without_trials_leaves_the_claim_open() -> None:
    difference = max_difference([300, 300, 0], [1_000, 1_000, 0], 0.95, limit=0.1)
    assert (difference.value, difference.upper, difference.empty) == (0, None, (2,))
    ratio = min_ratio([300, 300, 0], [1_000, 1_000, 0], 0.95, limit=0.8)
    assert (ratio.value, ratio.lower, ratio.empty) == (1, None, (2,))
    broken = max_difference([300, 900, 0], [1_000, 1_000, 0], 0.95, limit=0.1)
    assert broken.lower is not None
    assert broken.lower > 0.1


@pytest.mark.parametrize(("successes", "trials"), [([], []), ([3], [4]), ([0, 5], [0, 5])])
def test_nothing_to_compare(successes: list[int], trials: list[int]) -> None:
    assert max_difference(successes, trials, 0.95).value is None
    assert min_ratio(successes, trials, 0.95).value is None


def test_no_ratio_of_nothing_to_nothing() -> None:
    assert min_ratio([0, 0], [50, 60], 0.95).value is None
    none_selected = min_ratio([80, 0], [1_000, 1_000], 0.95, limit=0.8)
    assert none_selected.value == 0
    assert none_selected.upper is not None
    assert none_selected.upper < 0.1  # a peer drops the zero and passes


@pytest.mark.parametrize("rates", [(0.3, 0.3, 0.3, 0.3), (0.3, 0.3, 0.4, 0.2), (0.9, 0.5, 0.5, 0.5)])
def test_bounds_over_several_groups_hold_their_level(rates: tuple[float, ...]) -> None:
    rng = np.random.default_rng(1)
    sizes = np.array([400, 150, 60, 25])
    gap, ratio = max(rates) - min(rates), min(rates) / max(rates)
    missed = np.zeros(4)
    runs = 1_500
    for _ in range(runs):
        counts = rng.binomial(sizes, rates)
        difference, quotient = max_difference(counts, sizes, 0.95), min_ratio(counts, sizes, 0.95)
        missed += [
            (difference.lower or 0) > gap + 1e-12,
            (difference.upper or 0) < gap - 1e-12,
            (quotient.lower or 0) > ratio + 1e-12,
            (quotient.upper or 0) < ratio - 1e-12,
        ]
    assert (missed / runs <= 0.065).all()


def test_the_small_group_is_named_and_its_plan_decides() -> None:
    successes, trials = [900, 2_300, 36], [1_200, 3_000, 45]
    spread = max_difference(successes, trials, 0.95, limit=0.12)
    assert spread.upper is not None
    assert spread.upper > 0.12
    assert set(spread.needs) == {2}
    needed = spread.needs[2]
    assert needed is not None
    assert needed > 45
    rng = np.random.default_rng(2)
    sizes = [1_200, 3_000, needed]
    decided = [
        (max_difference(rng.binomial(sizes, [0.75, 0.7667, 0.8]), sizes, 0.95).upper or 1) <= 0.12
        for _ in range(300)
    ]
    assert np.mean(decided) == pytest.approx(0.9, abs=0.08)


def test_alike_groups_must_grow_together() -> None:
    spread = max_difference([500, 500], [1_000, 1_000], 0.95, limit=0.02)
    assert spread.needs == {0: pytest.approx(10_700, rel=0.02), 1: pytest.approx(10_700, rel=0.02)}
    assert spread.growth == pytest.approx(10.7, rel=0.02)


def test_on_the_limit_no_size_decides() -> None:
    spread = max_difference([50, 60], [100, 100], 0.95, limit=0.1)
    assert spread.growth is None
    assert spread.needs == {0: None, 1: None}


def test_decided_gaps_need_nothing() -> None:
    assert not max_difference([500, 500], [1_000, 1_000], 0.95, limit=0.1).needs
    assert not max_difference([500, 900], [1_000, 1_000], 0.95, limit=0.1).needs
    assert not min_ratio([500, 500], [1_000, 1_000], 0.95, limit=0.8).needs


@pytest.mark.parametrize(
    ("successes", "trials"), [([1], [1, 2]), ([3, 1], [2, 2]), ([-1, 1], [2, 2]), ([[1]], [[2]])]
)
def test_wrong_counts(successes: list[int], trials: list[int]) -> None:
    with pytest.raises(InputError):
        max_difference(successes, trials, 0.95)
