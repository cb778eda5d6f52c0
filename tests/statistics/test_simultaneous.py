"""Bounds that hold together: exact families for reference, small counts, slices that overlap."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.estimate import not_estimable
from pytest_prodml.statistics.intervals import clopper_pearson, proportion
from pytest_prodml.statistics.simultaneous import (
    bonferroni_level,
    difference,
    joint_level,
    overlap_correlation,
    simultaneous_bounds,
)


def test_independent_estimates_need_sidaks_level() -> None:
    sidak = 0.95 ** (1 / 10)
    level = joint_level(np.eye(10), 0.95)
    assert sidak - 1e-4 <= level <= bonferroni_level(0.95, 10)


def test_one_estimate_told_ten_times_needs_no_correction() -> None:
    assert joint_level(np.ones((10, 10)), 0.95) == pytest.approx(0.954, abs=0.004)
    assert joint_level(np.eye(1), 0.95) == 0.95


def test_the_normal_distribution_of_scipy() -> None:
    correlation = np.full((3, 3), 0.7) + 0.3 * np.eye(3)
    z = NormalDist().inv_cdf(joint_level(correlation, 0.95))
    assert 0.95 <= multivariate_normal(np.zeros(3), correlation).cdf([z] * 3) <= 0.958


@settings(max_examples=20)
@given(st.integers(2, 8), st.floats(0, 0.99), st.sampled_from([0.8, 0.95, 0.99, 1 - 1e-6]))
def test_between_no_correction_and_bonferroni(size: int, shared: float, level: float) -> None:
    correlation = np.full((size, size), shared) + (1 - shared) * np.eye(size)
    assert level <= joint_level(correlation, level) <= bonferroni_level(level, size)


def _slices_of(cells: int) -> npt.NDArray[np.bool_]:
    """All cells one by one, all pairs of neighbors, the halves and the whole: nested slices."""
    single = np.eye(cells, dtype=bool)
    pairs = single | np.roll(single, 1, axis=0)
    half = np.arange(cells) < cells // 2
    return np.vstack([single, pairs, half, ~half, np.ones(cells, dtype=bool)])


@pytest.mark.parametrize("rate", [0.5, 0.95])
def test_small_and_overlapping_slices_keep_their_level(rate: float) -> None:
    """The level comes from the rows at hand, as `slices` takes it, with exact limits at that level."""
    rng = np.random.default_rng(11)
    member = _slices_of(8)
    rows, runs, missed_low, missed_high = 10, 600, 0, 0
    for _ in range(runs):
        right = rng.binomial(rows, rate, size=8)
        k, n = member @ right, member @ np.full(8, rows)
        # The rows' contributions, cell by cell: within a cell there are two kinds of rows.
        mean = k / n
        hits = np.sqrt(right)[:, np.newaxis] * member.T * (1 - mean)
        misses = np.sqrt(rows - right)[:, np.newaxis] * member.T * (0 - mean)
        level = joint_level(overlap_correlation(np.vstack([hits, misses])), 0.95)
        lower, upper = clopper_pearson(k, n, level)
        missed_low += bool((lower > rate).any())
        missed_high += bool((upper < rate).any())
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert missed_low / runs <= allowed
    assert missed_high / runs <= allowed


def test_estimates_without_a_value_cost_nothing() -> None:
    known = [proportion(18, 20), proportion(45, 50)]
    alone = simultaneous_bounds(known, 0.95)
    mixed = simultaneous_bounds([known[0], not_estimable("none", "no rows"), known[1]], 0.95)
    assert mixed == (alone[0], (None, None), alone[1])
    assert alone[0] == known[0].at(0.975)
    narrower = simultaneous_bounds(known, 0.95, correlation=[[1, 0.99], [0.99, 1]])
    for (low, high), (wide_low, wide_high) in zip(narrower, alone, strict=True):
        assert low is not None
        assert wide_low is not None
        assert high is not None
        assert wide_high is not None
        assert wide_low < low
        assert high < wide_high


def test_a_slice_without_errors_is_taken_as_unrelated() -> None:
    found = overlap_correlation(np.array([[1.0, 0.0], [-1.0, 0.0]]))
    assert found.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_difference_turns_with_its_operands() -> None:
    one, other = proportion(90, 100), proportion(40, 50)
    forth, back = difference(one, other), difference(other, one)
    assert forth.value == pytest.approx(0.1)
    lower, upper = forth.at(0.95)
    assert lower is not None
    assert upper is not None
    assert back.at(0.95) == pytest.approx((-upper, -lower))
    assert difference(one, not_estimable("none", "no rows")).note == "no rows"


def test_what_is_no_correlation() -> None:
    for wrong in ([[1.0, math.nan], [math.nan, 1.0]], [1.0, 2.0], [[1.0, 0.5]]):
        with pytest.raises(InputError, match="correlation matrix"):
            joint_level(wrong, 0.95)
