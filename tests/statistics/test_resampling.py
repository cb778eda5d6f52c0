"""Bounds for any function of rows: against formulas where there are some, and silence where they would lie."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics
from scipy.stats import t as student

from pytest_prodml.statistics.design import Design, design_of
from pytest_prodml.statistics.estimate import growth_to_decide
from pytest_prodml.statistics.resampling import LEAST_ROWS, LEAST_UNITS, jackknife

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


def share_in(hits: npt.NDArray[np.bool_]) -> Callable[[Rows], float]:
    return lambda rows: float(hits[rows].mean())


def test_the_mean_of_a_hundred_rows_is_at_least_students() -> None:
    """Leaving out one row at a time, the standard error of a mean is the usual one."""
    values = np.random.default_rng(1).random(100)
    calls: list[int] = []

    def mean(rows: Rows) -> float:
        calls.append(rows.size)
        return float(values[rows].mean())

    estimate = jackknife(mean, 100, Design(), seed=3)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.seed == 3
    assert len(calls) == 121
    assert sorted(set(calls)) == [95, 99, 100]
    lower, upper = estimate.at(0.95)
    half = student.ppf(0.95, 99) * values.std(ddof=1) / 10
    assert lower is not None
    assert upper is not None
    assert 1 <= (values.mean() - lower) / half < 1.5
    assert 1 <= (upper - values.mean()) / half < 1.5


def test_the_same_seed_gives_the_same_bounds() -> None:
    values = np.random.default_rng(2).exponential(size=500)
    bounds = [
        jackknife(lambda rows: float(np.median(values[rows])), 500, Design(), seed=seed).at(0.95)
        for seed in (0, 0, 1)
    ]
    assert bounds[0] == bounds[1] != bounds[2]


def test_a_biased_value_moves_its_bound() -> None:
    """Mutual information of independent columns is above 0 by chance, and its bounds have to know it."""
    rng = np.random.default_rng(3)
    truth, clusters = rng.integers(0, 10, (2, 400))

    def information(rows: Rows) -> float:
        return float(sklearn.metrics.mutual_info_score(truth[rows], clusters[rows]))

    estimate = jackknife(information, 400, Design(), seed=0, low=0.0)
    lower, _ = estimate.at(0.95)
    assert estimate.value is not None
    assert estimate.value > 0.08
    assert lower is not None
    assert lower < 0.02


def test_bounds_stay_in_the_range_and_widen_with_the_level() -> None:
    hits = np.arange(200) % 10 > 0
    estimate = jackknife(lambda rows: float(hits[rows].mean()), 200, Design(), seed=0, low=0, high=1)
    bounds = [estimate.at(level) for level in (0.6, 0.95, 0.999, 1 - 1e-9)]
    lows, highs = [
        [end if end is not None else math.nan for end in side] for side in zip(*bounds, strict=True)
    ]
    assert lows == sorted(lows, reverse=True)
    assert highs == sorted(highs)
    assert lows[-1] >= 0
    assert highs[-1] == 1


@pytest.mark.parametrize(
    ("hits", "told"),
    [
        (np.ones(500), "the same, without some"),
        (np.arange(500) > 3, "fewer than 10 rows' worth"),
        (np.arange(LEAST_ROWS - 1) % 3 > 0, "fewer than 100"),
    ],
)
def test_what_rows_can_not_tell_has_no_bounds(hits: Array, told: str) -> None:
    """All right, or all but four: the function hardly moves when rows are left out, which proves nothing."""
    estimate = jackknife(lambda rows: float(hits[rows].mean()), hits.size, Design(), seed=0)
    assert estimate.value == pytest.approx(hits.mean())
    assert estimate.at(0.95) == (None, None)
    assert estimate.note is not None
    assert told in estimate.note


def test_a_plan_where_too_few_rows_carry_the_variance() -> None:
    hits = np.arange(500) > 6
    estimate = jackknife(lambda rows: float(hits[rows].mean()), 500, Design(), seed=0)
    assert estimate.at(0.95) == (None, None)
    growth = growth_to_decide(estimate, 0.9, at_least=True, confidence_level=0.95)
    assert growth is not None
    assert growth > 1.2


def test_clusters_are_left_out_as_a_whole() -> None:
    values = np.repeat(np.random.default_rng(4).random(60), 10)
    groups = np.repeat(np.arange(60), 10)
    seen: list[Rows] = []

    def mean(rows: Rows) -> float:
        seen.append(np.bincount(groups[rows], minlength=60))
        return float(values[rows].mean())

    clustered = jackknife(mean, 600, design_of(600, groups=groups), seed=0).at(0.95)
    assert all(set(counts.tolist()) <= {0, 10} for counts in seen)
    rows = jackknife(lambda rows: float(values[rows].mean()), 600, Design(), seed=0).at(0.95)
    assert clustered[0] is not None
    assert clustered[1] is not None
    assert rows[0] is not None
    assert rows[1] is not None
    assert clustered[1] - clustered[0] > 2.5 * (rows[1] - rows[0])


def test_few_clusters_and_undefined_values() -> None:
    values = np.random.default_rng(5).random(400)
    few = design_of(400, groups=np.arange(400) % (LEAST_UNITS - 1))
    estimate = jackknife(lambda rows: float(values[rows].mean()), 400, few, seed=0)
    assert estimate.at(0.95) == (None, None)
    assert "clusters" in (estimate.note or "")
    partly = jackknife(
        lambda rows: float(values[rows].mean()) if 0 in rows else math.nan, 400, Design(), seed=0
    )
    assert partly.value is not None
    assert partly.at(0.95) == (None, None)
    assert "undefined" in (partly.note or "")
    never = jackknife(lambda _: math.nan, 400, Design(), seed=0)
    assert never.value is None
    assert jackknife(lambda _: 1.0, 0, Design(), seed=0).value is None


@pytest.mark.parametrize("rate", [0.7, 0.9])
def test_the_level_is_kept(rate: float) -> None:
    """Accuracy of 200 rows as if there were no formula for it: both bounds miss at most 6.5 %, plus noise."""
    rng = np.random.default_rng(6)
    missed, bounded = np.zeros(2), 0
    for seed in range(250):
        lower, upper = jackknife(share_in(rng.random(200) < rate), 200, Design(), seed=seed).at(0.95)
        if lower is not None and upper is not None:
            bounded += 1
            missed += [lower > rate, upper < rate]
    assert bounded > 200
    assert (missed / 250 < 0.065 + 0.025).all()
