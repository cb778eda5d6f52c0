"""Two columns of numbers -> Spearman's rank correlation with bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.statistics.design import Design, adjusted, share_of_weight
from pytest_prodml.statistics.estimate import (
    Bounds,
    Estimate,
    normal_quantile,
    not_estimable,
    with_power,
)

Array: TypeAlias = npt.NDArray[np.float64]

#: Rows below which there are no bounds: fewer were not simulated.
LEAST_ROWS = 20
#: Rows besides those of the most frequent value of a column; with two or three the bounds miss up to 16 %.
LEAST_OTHERS = 5
_METHOD = "Fisher z and gamma, from influences"
_ALMOST_ONE = 1 - 1e-12
_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A correlation, what each row adds to it, and how much a row that belongs to no pair takes from it.

    `others` is the share of rows that do not hold the most frequent value, of the column with fewer of them.
    """

    value: float
    influence: Array
    unrelated: float
    others: float


def rank_correlation(first: Array, second: Array, weights: Array | None = None) -> float | None:
    """Return Spearman's correlation, of weighted mid-ranks with `weights`; None if a column is constant."""
    found = _measured(first, second, np.ones(first.size) if weights is None else weights)
    return None if found is None else found.value


def strength(first: Array, second: Array, design: Design | None = None) -> Estimate:
    """Estimate the absolute value of Spearman's correlation.

    Parameters
    ----------
    first, second : array of float, shape (n,)
        Finite numbers.
    design : Design, optional
        Weights and clusters of the rows; independent rows that count alike by default.

    Returns
    -------
    Estimate
        Without bounds below 20 rows, or where all but 4 rows hold one value; without a value where a column
        is constant.

    Notes
    -----
    The influence of a row is that of a ratio of rank covariances; ties share their mid-rank. On the scale of
    Fisher's z the error is the larger of that from the influences, with Student's quantile for the number of
    rows that carry it, and that of Bonett, Wright (2000). The upper bound is moved up by the bias of a rank
    correlation, 3 (rho - tau) / (n + 1), with Kendall's tau of a normal law. The lower bound is the lower one
    of this and of a gamma bound for 1 - rho (Fay, Feuer 1997) that allows for one more row as unlike the
    others as rows at random are: of 50 rows that agree perfectly no more is known than that.

    One-sided errors at 95 %, measured for n = 20 to 5,000 and r = .5 to .99 (normal, Cauchy-like, rounded,
    censored and heteroscedastic laws, binary columns, copies of which a part is replaced): at most 6.5 %, see
    benchmarks/leakage.py. With Bonett's and Wright's error alone it is up to 73 %: it is for normal laws, and
    copies of which few rows differ are as far from these as can be.
    """
    n = first.size
    drawn = Design() if design is None else design
    weights = share_of_weight(drawn, n)
    found = _measured(first, second, weights) if n > 1 else None
    if found is None:
        return not_estimable(_METHOD, "a constant column has no correlation")
    influence = found.influence if found.value >= 0 else -found.influence
    return adjusted(_estimate(found, weights, n), influence, drawn)


def _estimate(found: _Found, weights: Array, n: int) -> Estimate:
    value = min(abs(found.value), 1.0)
    squares = float(weights @ found.influence**2)
    variance = squares / n / max(n - 1, 1)
    fourth = float(weights @ found.influence**4)
    carrying = squares**2 / fourth if fourth > 0 else float(n)
    worst = found.unrelated / max(value, _TINY)

    def bounds(level: float, growth: float, power: float) -> Bounds:
        rows = n * growth
        if rows < LEAST_ROWS or rows * found.others < LEAST_OTHERS:
            return None, None
        special = require("scipy.special", extra="performance")
        student = float(special.stdtrit(max(carrying * growth - 1, 1.0), with_power(level, power)))
        normal = normal_quantile(level) + normal_quantile(power)
        half = max(
            student * math.sqrt(variance / growth) / max(1 - value**2, _TINY),
            normal * math.sqrt((1 + value**2 / 2) / (rows - 3)),
        )
        center = math.atanh(min(value, _ALMOST_ONE))
        unbiased = min(value + 3 * (value - _tau(value)) / (rows + 1), _ALMOST_ONE)
        loss, error = 1 - value + worst / rows, variance / growth + (worst / rows) ** 2
        # The quantile of a chi-squared law, as that of a gamma law.
        shape = loss**2 / error
        most = float(special.gammainccinv(shape, 1 - with_power(level, power))) * error / loss
        lower = max(min(math.tanh(center - half), 1 - most), 0.0)
        return min(lower, value), max(math.tanh(math.atanh(unbiased) + half), value)

    note = None
    if n < LEAST_ROWS or n * found.others < LEAST_OTHERS:
        note = (
            f"fewer than {LEAST_ROWS} rows, or {LEAST_OTHERS} besides the most frequent value, have no bounds"
        )
    return Estimate(value=value, method=_METHOD, bounds=bounds, note=note)


def _tau(rho: float) -> float:
    """Return Kendall's tau of the normal law whose Spearman correlation is `rho` (Kruskal 1958)."""
    return 2 / math.pi * math.asin(min(2 * math.sin(math.pi * rho / 6), 1.0))


def _measured(first: Array, second: Array, weights: Array) -> _Found | None:
    counted = weights > 0
    if any(np.ptp(values[counted]) == 0 if counted.any() else True for values in (first, second)):
        return None
    share = weights / weights.sum()
    one, above_one, others_one = _ranks(first, share)
    two, above_two, others_two = _ranks(second, share)
    covariance, of_one, of_two = (
        float(share @ product) - 0.25 for product in (one * two, one * one, two * two)
    )
    scale = math.sqrt(of_one * of_two)
    value = covariance / scale
    # The influence of a row with the ranks f and g is f g / scale plus a part of each alone.
    part_one = _above(above_one, two, share) / scale
    part_one -= value / 2 * (one * one + 2 * _above(above_one, one, share)) / of_one
    part_two = _above(above_two, one, share) / scale
    part_two -= value / 2 * (two * two + 2 * _above(above_two, two, share)) / of_two
    influence = one * two / scale + part_one + part_two
    center = float(share @ influence)
    part_one -= center
    # Rows at random: the mean square of the influence over all pairs of a row's f and another row's g.
    mean = {name: float(share @ values) for name, values in (("one", part_one), ("two", part_two))}
    unrelated = float(share @ one**2) * float(share @ two**2) / scale**2
    unrelated += float(share @ (one * part_one)) / scale + float(share @ (two * part_two)) / scale
    unrelated += float(share @ part_one**2) + float(share @ part_two**2) + 2 * mean["one"] * mean["two"]
    others = min(others_one, others_two)
    return _Found(value=value, influence=influence - center, unrelated=unrelated, others=others)


def _ranks(values: Array, share: Array) -> tuple[Array, npt.NDArray[np.intp], float]:
    """Return mid-ranks from 0 to 1, the level of each row, and the share of all levels but the largest."""
    _, levels = np.unique(values, return_inverse=True)
    mass = np.bincount(levels, weights=share)
    ranks: Array = (np.cumsum(mass) - mass / 2)[levels]
    return ranks, levels, 1 - float(np.max(mass))


def _above(levels: npt.NDArray[np.intp], values: Array, share: Array) -> Array:
    """Return for each row the sum of `values` over the rows of higher levels and half those of its own."""
    sums = np.bincount(levels, weights=share * values)
    found: Array = (sums.sum() - np.cumsum(sums) + sums / 2)[levels]
    return found
