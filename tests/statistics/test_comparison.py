"""Differences and ratios of two groups against published values and by enumeration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom
from statsmodels.stats.proportion import confint_proportions_2indep

from pytest_prodml.statistics.comparison import difference_bounds, ratio_bounds
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
