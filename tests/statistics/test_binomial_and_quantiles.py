"""Binomial tails against scipy; order-statistic bounds against their definition and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import binom

from pytest_prodml.errors import InputError
from pytest_prodml.statistics import binomial
from pytest_prodml.statistics.quantiles import (
    effective_sample_size,
    exceedance_test,
    quantile_bounds,
    required_samples,
)

counts = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(-1, n + 1), st.just(n)))


@given(counts, st.floats(1e-6, 1 - 1e-6))
@example((0, 1), 0.5)
@example((4_000, 5_000), 0.01)
def test_tails_are_scipys(counted: tuple[int, int], p: float) -> None:
    k, n = counted
    assert binomial.cdf(k, n, p) == pytest.approx(binom.cdf(k, n, p), rel=1e-8, abs=1e-14)
    assert binomial.sf(k, n, p) == pytest.approx(binom.sf(k - 1, n, p), rel=1e-8, abs=1e-14)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_certain_and_impossible_events(p: float) -> None:
    assert binomial.cdf(3, 10, p) == (1.0 if p == 0 else 0.0)
    assert binomial.sf(3, 10, p) == (0.0 if p == 0 else 1.0)


@pytest.mark.parametrize(
    ("n", "tolerated", "alarming"),
    [
        (500, 1, 10),
        (1_000, 4, 16),
        (2_000, 12, 29),
        (5_000, 38, 63),
        (10_000, 83, 118),
        (100_000, 948, 1_053),
    ],
)
def test_critical_counts_of_the_99th_percentile(n: int, tolerated: int, alarming: int) -> None:
    assert binomial.most_tolerated(n, 0.01, 0.05) == tolerated
    assert binomial.least_alarming(n, 0.01, 0.05) == alarming


@pytest.mark.parametrize(
    ("level", "p", "tolerated", "samples"),
    [
        (0.95, 0.5, 0, 5),
        (0.95, 0.9, 2, 61),
        (0.95, 0.99, 0, 299),
        (0.95, 0.99, 50, 6_323),
        (0.99, 0.999, 5, 13_105),
    ],
)
def test_fewest_samples_for_tolerated_exceedances(
    level: float, p: float, tolerated: int, samples: int
) -> None:
    assert binomial.most_tolerated(samples, 1 - p, 1 - level) == tolerated
    assert binomial.most_tolerated(samples - 1, 1 - p, 1 - level) == tolerated - 1


@given(
    st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=400),
    st.sampled_from([0.5, 0.9, 0.99]),
    st.floats(0, 100),
)
def test_bounds_say_what_the_test_says(samples: list[float], p: float, budget: float) -> None:
    lower, upper = quantile_bounds(samples, p, 0.95)
    p_pass, p_fail = exceedance_test(len(samples), sum(x > budget for x in samples), p)
    assert (upper is not None and upper <= budget) == (p_pass <= 1 - 0.95)
    assert (lower is not None and lower > budget) == (p_fail <= 1 - 0.95)


def test_few_samples_bound_nothing() -> None:
    assert quantile_bounds(np.arange(298), 0.99, 0.95)[1] is None
    assert quantile_bounds(np.arange(299), 0.99, 0.95)[1] == 298
    assert quantile_bounds([], 0.5, 0.95) == (None, None)
    # One slow call has a probability of 0.01 if the 99th percentile is below it.
    assert quantile_bounds([1.0], 0.99, 0.95) == (1.0, None)
    assert quantile_bounds([1.0], 0.9, 0.95) == (None, None)


def test_effective_samples_widen_the_bounds() -> None:
    samples = np.arange(10_000, dtype=float)
    lower, upper = quantile_bounds(samples, 0.99, 0.95)
    wide_lower, wide_upper = quantile_bounds(samples, 0.99, 0.95, n_effective=500)
    assert lower is not None
    assert upper is not None
    assert wide_lower is not None
    assert wide_upper is not None
    assert wide_lower < lower <= samples[9_900] <= upper < wide_upper
    # One exceedance in 500 may be tolerated, that is twenty in 10,000; ten in 500 alarm, two hundred in 10,000.
    assert (wide_lower, wide_upper) == (9_800, 9_979)
    assert quantile_bounds(samples, 0.99, 0.95, n_effective=200)[1] is None
    assert quantile_bounds(samples, 0.99, 0.95, n_effective=1e9) == (lower, upper)
    assert quantile_bounds(samples, 0.99, 0.95, n_effective=0.5) == (None, None)


@given(st.integers(1, 500), st.floats(0.01, 500))
def test_any_effective_size_gives_two_of_the_samples(n: int, n_effective: float) -> None:
    samples = np.arange(n, dtype=float)
    bounds = [b for b in quantile_bounds(samples, 0.9, 0.95, n_effective=n_effective) if b is not None]
    assert bounds == sorted(bounds)
    assert all(bound in samples for bound in bounds)


def test_independent_samples_count_fully() -> None:
    samples = np.random.default_rng(1).lognormal(size=5_000)
    assert effective_sample_size(samples, 0.99) > 4_000
    assert effective_sample_size(np.ones(100), 0.99) == 100
    assert effective_sample_size([3.0], 0.99) == 1


def test_each_sample_taken_twenty_times_counts_once() -> None:
    samples = np.repeat(np.random.default_rng(2).lognormal(size=2_000), 20)
    assert effective_sample_size(samples, 0.9) == pytest.approx(2_000, rel=0.2)


def test_coverage_under_dependence() -> None:
    """AR(1) with 0.9, n = 2,000: the plain bound covers about 0.73, the one with effective samples at least 0.88."""
    rng = np.random.default_rng(3)
    n, runs = 2_000, 250
    noise = rng.normal(size=(runs, n + 200)) * math.sqrt(1 - 0.81)
    series = np.zeros_like(noise)
    for step in range(1, n + 200):
        series[:, step] = 0.9 * series[:, step - 1] + noise[:, step]
    truth = 2.3263478740
    plain = careful = 0
    for samples in series[:, 200:]:
        upper = quantile_bounds(samples, 0.99, 0.95)[1]
        plain += upper is None or upper >= truth
        upper = quantile_bounds(samples, 0.99, 0.95, effective_sample_size(samples, 0.99))[1]
        careful += upper is None or upper >= truth
    assert plain / runs < 0.82
    assert careful / runs > 0.88


@pytest.mark.parametrize(
    ("share", "at_most"), [(0.0, 299), (0.1, 473), (0.25, 944), (0.5, 2_784), (0.75, 12_674)]
)
def test_planned_samples_suffice_and_one_fewer_would_not(share: float, at_most: int) -> None:
    n = required_samples(0.99, 0.95, share)

    def power(samples: int) -> float:
        tolerated = binomial.most_tolerated(samples, 0.01, 0.05)
        return float(binom.cdf(tolerated, samples, 0.01 * share)) if tolerated >= 0 else 0.0

    assert n <= at_most
    assert power(n) >= 0.9
    assert power(n - 1) < 0.9


@pytest.mark.parametrize(
    "call",
    [
        lambda: quantile_bounds([1.0, math.nan], 0.5, 0.95),
        lambda: quantile_bounds([[1.0]], 0.5, 0.95),
        lambda: quantile_bounds([1.0], 1.0, 0.95),
        lambda: quantile_bounds([1.0], 0.5, 1.5),
        lambda: exceedance_test(10, 11, 0.5),
        lambda: required_samples(0.99, 0.95, 1.0),
        lambda: required_samples(0.99, 0.95, 0.5, power=1.0),
    ],
)
def test_wrong_questions(call: object) -> None:
    assert callable(call)
    with pytest.raises(InputError):
        call()
