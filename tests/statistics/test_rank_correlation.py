"""Spearman's correlation: its value is scipy's, and its bounds keep their level far from normal laws too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.rank_correlation import rank_correlation, strength

Array: TypeAlias = npt.NDArray[np.float64]
Law: TypeAlias = Callable[[np.random.Generator, int], tuple[Array, Array]]


def normal(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    x = rng.normal(size=n)
    return x, 0.99 * x + np.sqrt(1 - 0.99**2) * rng.normal(size=n)


def heavy(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    x, y = normal(rng, n)
    scale = np.sqrt(rng.chisquare(1.5, n))
    return x / scale, y / scale


def mostly_copied(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    x = rng.normal(size=n)
    return x, np.where(rng.random(n) < 0.95, x, rng.normal(size=n))


def rare_flags(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    x = rng.random(n) < 0.1
    return x.astype(float), np.where(rng.random(n) < 0.8, x, rng.random(n) < 0.1).astype(float)


def rounded(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    x, y = normal(rng, n)
    return np.round(x), np.round(y)


@pytest.mark.parametrize("law", [normal, heavy, mostly_copied, rare_flags, rounded])
@pytest.mark.parametrize("n", [50, 300])
def test_bounds_keep_their_level(law: Law, n: int) -> None:
    truth = strength(*law(np.random.default_rng(0), 300_000)).value
    assert truth is not None
    rng, missed, runs = np.random.default_rng(n), np.zeros(2), 500
    for _ in range(runs):
        x, y = law(rng, n)
        lower, upper = strength(x, y).at(0.95) if np.ptp(x) and np.ptp(y) else (None, None)
        missed += (lower is not None and lower > truth, upper is not None and upper < truth)
    # 5 % of 500 and more than two standard errors of it.
    assert (missed <= 37).all()


@pytest.mark.parametrize("law", [normal, heavy, rare_flags, rounded])
def test_the_value_is_scipys(law: Law) -> None:
    x, y = law(np.random.default_rng(1), 200)
    assert rank_correlation(x, -y) == pytest.approx(stats.spearmanr(x, -y).statistic)
    assert strength(x, -y).value == pytest.approx(abs(stats.spearmanr(x, y).statistic))


def test_whole_weights_are_repeated_rows() -> None:
    rng = np.random.default_rng(2)
    x, y = normal(rng, 100)
    weights = rng.integers(0, 4, 100)
    repeated = rank_correlation(np.repeat(x, weights), np.repeat(y, weights))
    assert rank_correlation(x, y, weights.astype(float)) == pytest.approx(repeated)


def test_repeated_rows_of_an_entity_prove_no_more_than_one() -> None:
    x, y = normal(np.random.default_rng(4), 400)
    y += np.random.default_rng(5).normal(size=400)
    once = strength(x, y).at(0.95)
    again = (np.repeat(x, 5), np.repeat(y, 5))
    clustered = strength(*again, Design(clusters=np.repeat(np.arange(400), 5))).at(0.95)
    simple = strength(*again).at(0.95)
    widths = [(upper or 0.0) - (lower or 0.0) for lower, upper in (once, clustered, simple)]
    assert widths[1] == pytest.approx(widths[0], rel=0.25)
    assert widths[2] < 0.7 * widths[1]


def test_bounds_widen_with_the_level_and_perfect_agreement_proves_no_perfect_correlation() -> None:
    x = np.arange(100.0)
    lowers = [strength(x, x**3).at(level)[0] or 0.0 for level in (0.6, 0.95, 0.9999, 1 - 1e-9)]
    assert lowers == sorted(lowers, reverse=True)
    assert 0.9 < lowers[1] < 0.95
    assert strength(x, x).at(0.95)[1] == pytest.approx(1.0)


def test_a_constant_or_short_column_proves_nothing() -> None:
    assert strength(np.ones(60), np.arange(60.0)).value is None
    assert strength(np.arange(1.0), np.arange(1.0)).value is None
    assert rank_correlation(np.arange(9.0), np.ones(9)) is None
    found = strength(np.arange(19.0), np.arange(19.0))
    assert found.at(0.95) == (None, None)
    assert found.note is not None
    flag = (np.arange(60) < 4).astype(float)
    assert strength(flag, np.arange(60.0)).at(0.95) == (None, None)
