"""Distances of two columns: the values are those of other implementations, the bounds miss as often as they say."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from pytest_prodml.statistics.drift import (
    jensen_shannon,
    kolmogorov_smirnov,
    kolmogorov_smirnov_of_counts,
    population_stability_index,
    total_variation,
    wasserstein,
)
from pytest_prodml.statistics.estimate import Estimate

NUMBERS = st.lists(st.integers(-5, 5).map(float) | st.floats(-1e6, 1e6), min_size=1, max_size=60)
COUNTS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=7)


def bounds(estimate: Estimate, level: float = 0.95) -> tuple[float, float]:
    lower, upper = estimate.at(level)
    assert lower is not None
    assert upper is not None
    return lower, upper


@given(NUMBERS, NUMBERS)
@settings(max_examples=200, deadline=None)
def test_the_distance_of_distribution_functions_is_scipy_s(first: list[float], second: list[float]) -> None:
    ours = kolmogorov_smirnov(first, second)
    assert ours.value is not None
    with warnings.catch_warnings():
        # Its p-value, which is not used here, can not be computed exactly for large tables of ties.
        warnings.simplefilter("ignore", RuntimeWarning)
        theirs = stats.ks_2samp(first, second, method="exact").statistic
    assert ours.value == pytest.approx(theirs)
    lower, upper = bounds(ours)
    assert 0 <= lower <= ours.value <= upper <= 1


@given(NUMBERS, NUMBERS, st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20, unique=True).map(sorted))
@settings(max_examples=200, deadline=None)
def test_cells_never_prove_more_than_the_values(
    first: list[float], second: list[float], edges: list[float]
) -> None:
    counts = [
        np.bincount(np.searchsorted(edges, side, side="left"), minlength=len(edges) + 1)
        for side in (first, second)
    ]
    by_values, by_cells = kolmogorov_smirnov(first, second), kolmogorov_smirnov_of_counts(*counts)
    assert by_cells.value is not None
    assert by_values.value is not None
    assert by_cells.value <= by_values.value + 1e-12
    assert bounds(by_cells)[0] <= bounds(by_values)[0] + 1e-12
    assert bounds(by_cells)[1] >= bounds(by_values)[1] - 1e-12


@given(COUNTS)
@settings(max_examples=200, deadline=None)
def test_total_variation_is_the_largest_difference_of_any_set(counts: list[tuple[int, int]]) -> None:
    first, second = (np.array(side) for side in zip(*counts, strict=True))
    if min(first.sum(), second.sum()) == 0:
        assert total_variation(first, second).value is None
        return
    p, q = first / first.sum(), second / second.sum()
    subsets = itertools.product([0, 1], repeat=len(p))
    assert total_variation(first, second).value == pytest.approx(
        max(float((p - q) @ kept) for kept in subsets)
    )


def test_divergences_are_those_of_their_formulas() -> None:
    first, second = np.array([30, 50, 20, 100]), np.array([60, 40, 25, 75])
    p, q = first / first.sum(), second / second.sum()
    index = sum((b - a) * np.log(b / a) for a, b in zip(p, q, strict=True))
    assert population_stability_index(first, second).value == pytest.approx(index)
    assert jensen_shannon(first, second).value == pytest.approx(jensenshannon(p, q) ** 2)


def test_the_distance_in_quantiles_is_free_of_units_and_outliers() -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(size=4000)
    moved = np.quantile(before, np.clip(rng.uniform(size=4000) + 0.05, 0, 1))
    value = wasserstein(before, moved).value
    assert value == pytest.approx(0.05, abs=0.01)
    assert wasserstein(before * 1e6, moved * 1e6).value == pytest.approx(value)
    far = np.append(moved[1:], 1e12)
    assert wasserstein(before, far).value == pytest.approx(value, abs=0.001)
    assert wasserstein(before, before).value == 0
    assert wasserstein([1.0, 1.0, 2.0], [1.0, 1.0, 2.0]).value == 0


def normal(shift: float, scale: float) -> Callable[[np.random.Generator, int], Any]:
    return lambda rng, n: shift + scale * rng.normal(size=n)


GRID = np.linspace(-9, 9, 20001)


@pytest.mark.parametrize(("n", "m"), [(60, 60), (400, 400), (100, 3000)])
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.4, 1.0), (0.0, 1.5)])
def test_bounds_of_numbers_miss_at_most_as_often_as_they_say(
    n: int, m: int, shift: float, scale: float
) -> None:
    gap = np.abs(stats.norm.cdf(GRID) - stats.norm.cdf((GRID - shift) / scale))
    truths = (float(gap.max()), float(np.trapezoid(gap * stats.norm.pdf(GRID), GRID)))
    rng = np.random.default_rng(3)
    repeats, misses = 400, np.zeros((2, 2))
    for _ in range(repeats):
        first, second = normal(0, 1)(rng, n), normal(shift, scale)(rng, m)
        for place, function in enumerate((kolmogorov_smirnov, wasserstein)):
            lower, upper = bounds(function(first, second))
            misses[place] += lower > truths[place], upper < truths[place]
    # 5 % and two and a half standard errors of 400 repetitions.
    assert np.all(misses / repeats <= 0.078), misses / repeats


@pytest.mark.parametrize("function", [total_variation, population_stability_index, jensen_shannon])
@pytest.mark.parametrize(("cells", "tilt"), [(2, 0.2), (10, 0.0), (10, 0.8), (40, 0.3)])
def test_bounds_of_categories_miss_at_most_as_often_as_they_say(
    function: Callable[..., Estimate], cells: int, tilt: float
) -> None:
    rng = np.random.default_rng(4)
    p = rng.dirichlet(np.full(cells, 5.0))
    q = p * np.exp(tilt * np.linspace(-1, 1, cells))
    q /= q.sum()
    truth = function(np.rint(p * 1e12), np.rint(q * 1e12)).value
    assert truth is not None
    for n, m in ((60, 60), (400, 400), (150, 4000)):
        repeats, misses = 400, np.zeros(2)
        for _ in range(repeats):
            lower, upper = bounds(function(rng.multinomial(n, p), rng.multinomial(m, q)))
            misses += lower > truth + 1e-9, upper < truth - 1e-9
        assert np.all(misses / repeats <= 0.078), (n, m, misses / repeats)


def test_repeated_rows_count_as_fewer() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=500), rng.normal(size=500)
    alone = bounds(kolmogorov_smirnov(first, second))
    repeated = bounds(kolmogorov_smirnov(first, second, n_effective=(50, 50)))
    assert repeated[1] > alone[1]
    with_copies = kolmogorov_smirnov(np.repeat(first, 10), np.repeat(second, 10), n_effective=(500, 500))
    assert bounds(with_copies) == pytest.approx(alone)


@pytest.mark.parametrize("function", [kolmogorov_smirnov, wasserstein])
def test_nothing_is_said_about_an_empty_column(function: Callable[..., Estimate]) -> None:
    found = function([], [1.0, 2.0])
    assert found.value is None
    assert found.at(0.95) == (None, None)
    assert found.note is not None


def test_more_rows_of_the_same_kind_narrow_the_bounds() -> None:
    rng = np.random.default_rng(6)
    small = kolmogorov_smirnov(rng.normal(size=300), rng.normal(0.1, size=300))
    planned = small.bounds(0.95, 100.0, 0.5)
    assert planned[0] is not None
    assert planned[1] is not None
    assert planned[1] - planned[0] < 0.15 * (bounds(small)[1] - bounds(small)[0])
