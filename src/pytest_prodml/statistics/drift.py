"""How far two distributions lie apart -> an effect size with bounds, whatever the number of rows.

A p-value answers whether two tables differ at all; with ten million rows they always do. Here each distance
is estimated with one-sided bounds, so that "within the margin" and "beyond it" are both things to be proven.

All distances are biased upwards: two samples of one distribution lie apart. Their upper bounds need no
correction for it, because the estimate is at least the difference at the place (or the set of categories)
where the true distributions differ most, and that one is an ordinary difference of two shares, whose standard
error is at most half of ``sqrt(1/n + 1/m)``. Their lower bounds subtract the largest excess that sampling
alone produces somewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.statistics.estimate import Bounds, Estimate, normal_quantile, not_estimable, with_power

Array: TypeAlias = npt.NDArray[np.float64]

#: Below so many rows on either side the normal approximation gives way to Hoeffding's inequality.
_LEAST_NORMAL = 50
_LEAST_EXPECTED = 10


def kolmogorov_smirnov(
    reference: npt.ArrayLike, current: npt.ArrayLike, *, n_effective: Sizes = None
) -> Estimate:
    """Estimate the largest difference of two distribution functions (KS distance, 0 to 1) from the values.

    Parameters
    ----------
    reference, current : array_like of float, shapes (n,) and (m,)
        Finite numbers.
    n_effective : (float, float), optional
        The independent rows behind each side; default n and m.

    Notes
    -----
    Upper bound: the difference at the place x where the true functions differ most has a standard error of at
    most ``sqrt(1/n + 1/m) / 2``, and the estimate is at least the estimate there. Lower bound: the two-sample
    Dvoretzky-Kiefer-Wolfowitz-Massart inequality with the constant 2 (Massart 1990; Wei, Dudley 2012).
    """
    first, second = _sorted(reference), _sorted(current)
    if min(len(first), len(second)) == 0:
        return not_estimable(_KS, "one of the two tables has no value in this column")
    pooled = np.concatenate([first, second])
    gap = np.searchsorted(first, pooled, side="right") / len(first)
    gap -= np.searchsorted(second, pooled, side="right") / len(second)
    distance = float(np.max(np.abs(gap)))
    return _of_distance(distance, 0.0, _sizes(len(first), len(second), n_effective))


def kolmogorov_smirnov_of_counts(
    reference: npt.ArrayLike, current: npt.ArrayLike, *, n_effective: Sizes = None
) -> Estimate:
    """Estimate the KS distance from histograms over the same ascending cells.

    What the functions do inside a cell is unknown; the upper bound holds whatever it is.

    Parameters
    ----------
    reference, current : array_like of int, shape (k,)
        Rows in each cell; see `adapters.engines.expressions.Histogram`.
    """
    first, second = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    n, m = float(first.sum()), float(second.sum())
    if min(n, m) == 0:
        return not_estimable(_KS, "one of the two tables has no value in this column")
    f, g = np.cumsum(first) / n, np.cumsum(second) / m
    before_f, before_g = np.concatenate([[0.0], f[:-1]]), np.concatenate([[0.0], g[:-1]])
    distance = float(np.max(np.abs(f - g)))
    most = float(np.max(np.maximum(f - before_g, g - before_f)))
    return _of_distance(distance, max(most - distance, 0.0), _sizes(n, m, n_effective))


def total_variation(
    reference: npt.ArrayLike, current: npt.ArrayLike, *, n_effective: Sizes = None
) -> Estimate:
    """Estimate the total variation distance (0 to 1) of two distributions over categories.

    It is the share of rows that would have to change their category: the largest difference of the shares of
    any set of categories.

    Parameters
    ----------
    reference, current : array_like of int, shape (k,)
        Rows of each category, those that only one table has included (as 0 in the other).

    Notes
    -----
    Upper bound: as for `kolmogorov_smirnov`, with the set of categories that are more frequent on one side in
    place of x. Lower bound: McDiarmid's inequality around the expectation, which exceeds the distance by at
    most half the sum of the expected absolute errors of all shares.
    """
    first, second = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    n, m = float(first.sum()), float(second.sum())
    if min(n, m) == 0:
        return not_estimable(_TV, "one of the two tables has no value in this column")
    p, q = first / n, second / m
    distance = float(np.abs(p - q).sum() / 2)
    sizes = _sizes(n, m, n_effective)
    # The expected absolute error of a share is at most its standard error.
    errors = float(np.sqrt(p * (1 - p) / sizes[0] + q * (1 - q) / sizes[1]).sum() / 2)

    def bounds(level: float, growth: float, power: float) -> Bounds:
        reached = with_power(level, power)
        root = _root(sizes, growth)
        lower = distance - errors / math.sqrt(growth) - _hoeffding(reached, root)
        return max(lower, 0.0), min(distance + _half_width(reached, root, sizes, growth), 1.0)

    return Estimate(value=distance, method=_TV, bounds=bounds)


def population_stability_index(
    reference: npt.ArrayLike, current: npt.ArrayLike, *, n_effective: Sizes = None
) -> Estimate:
    """Estimate the population stability index of two distributions over the same cells.

    The sum of ``(p - q) ln(p / q)``. Cells that are empty on one side count half a row.

    Parameters
    ----------
    reference, current : array_like of int, shape (k,)
        Rows in each cell.

    Notes
    -----
    For nearby distributions the index times ``n m / (n + m)`` is non-central chi-squared with k - 1 degrees
    of freedom (Yurdakul, Naranjo 2020, for the central case); its non-centrality is bounded and scaled back.
    Further apart the index is normal (delta method). Each bound is the wider of the two, and for the lower
    one cells in which either table expects fewer than ten rows are counted together: few rows make the index
    large.
    """

    def index(p: Array, q: Array) -> tuple[float, Array, Array]:
        ratio = np.log(p / q)
        return float(((p - q) * ratio).sum()), ratio - q / p, -ratio - p / q

    return _of_divergence(_PSI, index, 1.0, reference, current, n_effective)


def jensen_shannon(
    reference: npt.ArrayLike, current: npt.ArrayLike, *, n_effective: Sizes = None
) -> Estimate:
    """Estimate the Jensen-Shannon divergence (in nats, 0 to ln 2) of two distributions over cells.

    Parameters and method as for `population_stability_index`; eight times the divergence takes its place.
    """

    def divergence(p: Array, q: Array) -> tuple[float, Array, Array]:
        middle = (p + q) / 2
        of_p, of_q = np.log(p / middle) / 2, np.log(q / middle) / 2
        return float((p * of_p + q * of_q).sum()), of_p, of_q

    return _of_divergence(_JS, divergence, 8.0, reference, current, n_effective)


def wasserstein(reference: npt.ArrayLike, current: npt.ArrayLike, *, n_effective: Sizes = None) -> Estimate:
    """Estimate the Wasserstein distance of two columns on the scale of the reference's quantiles (0 to 0.5).

    By how many quantiles of the reference a value moved on average: 0.05 means that values lie, on average, 5
    percentiles away from where they lay. Free of units and of outliers' size.

    Parameters
    ----------
    reference, current : array_like of float, shapes (n,) and (m,)
        Finite numbers.

    Notes
    -----
    The mean of ``|F - G|`` over the reference. Standard error from the influence of each row, not below that
    of two equal distributions; the lower bound also subtracts the mean excess that two samples of one
    distribution show, ``sqrt(2 / pi) (pi / 8) sqrt(1/n + 1/m)``.
    """
    first, second = _sorted(reference), _sorted(current)
    if min(len(first), len(second)) == 0:
        return not_estimable(_WASSERSTEIN, "one of the two tables has no value in this column")
    n, m = len(first), len(second)
    sizes = _sizes(n, m, n_effective)
    # Ties take the middle of their steps, so that equal columns with few values lie at distance 0.
    gap = _middle(first, first) - _middle(second, first)
    distance = float(np.mean(np.abs(gap)))
    sign = np.sign(gap)
    tail = np.concatenate([np.cumsum(sign[::-1])[::-1], [0.0]]) / n
    of_current = tail[np.searchsorted(first, second, side="left")]
    of_reference = np.abs(gap) + tail[np.searchsorted(first, first, side="left")]
    root = _root(sizes, 1.0)
    spread = math.sqrt(float(np.var(of_reference)) / sizes[0] + float(np.var(of_current)) / sizes[1])
    error = max(spread, root / math.sqrt(12))
    excess = math.sqrt(2 / math.pi) * math.pi / 8 * root

    def bounds(level: float, growth: float, power: float) -> Bounds:
        half = normal_quantile(with_power(level, power)) * error
        if min(sizes) * growth < _LEAST_NORMAL:
            half = max(half, _hoeffding(with_power(level, power), root))
        shrunk = math.sqrt(growth)
        return max(distance - (excess + half) / shrunk, 0.0), min(distance + half / shrunk, 1.0)

    return Estimate(value=distance, method=_WASSERSTEIN, bounds=bounds)


Sizes: TypeAlias = tuple[float, float] | None

_KS = "Kolmogorov-Smirnov distance, DKW-Massart below and normal above"
_TV = "total variation distance, McDiarmid below and normal above"
_PSI = "population stability index, non-central chi-squared"
_JS = "Jensen-Shannon divergence, non-central chi-squared"
_WASSERSTEIN = "Wasserstein distance in reference quantiles, influence"


def _of_distance(distance: float, slack: float, sizes: tuple[float, float]) -> Estimate:
    def bounds(level: float, growth: float, power: float) -> Bounds:
        reached = with_power(level, power)
        root = _root(sizes, growth)
        # Both directions were looked at: the error is shared between them.
        lower = distance - _hoeffding((1 + reached) / 2, root)
        return max(lower, 0.0), min(distance + slack + _half_width(reached, root, sizes, growth), 1.0)

    return Estimate(value=distance, method=_KS, bounds=bounds)


def _of_divergence(
    method: str,
    divergence: Callable[[Array, Array], tuple[float, Array, Array]],
    scale: float,
    reference: npt.ArrayLike,
    current: npt.ArrayLike,
    n_effective: Sizes,
) -> Estimate:
    first, second = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    n, m = float(first.sum()), float(second.sum())
    if min(n, m) == 0:
        return not_estimable(method, "one of the two tables has no value in this column")
    sizes = _sizes(n, m, n_effective)
    used = first + second > 0
    value, above = _divergence_bound(divergence, scale, first[used], second[used], sizes, upper=True)
    # Counting cells together never makes a divergence larger, so what is proven of it is proven of all cells.
    joined = _without_rare(first[used], second[used])
    below = _divergence_bound(divergence, scale, *joined, sizes, upper=False)[1]

    def bounds(level: float, growth: float, power: float) -> Bounds:
        reached = with_power(level, power)
        return below(reached, growth), above(reached, growth)

    return Estimate(value=value, method=method, bounds=bounds)


def _divergence_bound(
    divergence: Callable[[Array, Array], tuple[float, Array, Array]],
    scale: float,
    first: Array,
    second: Array,
    sizes: tuple[float, float],
    *,
    upper: bool,
) -> tuple[float, Callable[[float, float], float]]:
    """Return the divergence of two tables of counts, and one of its bounds by level and growth."""
    special = require("scipy.special", extra="performance")
    p, q = (np.maximum(side, 0.5) for side in (first, second))
    p, q = p / p.sum(), q / q.sum()
    value, of_p, of_q = divergence(p, q)
    variance = _variance(of_p, p) / sizes[0] + _variance(of_q, q) / sizes[1]
    degrees = max(len(first) - 1, 1)

    def bound(level: float, growth: float) -> float:
        size = growth * sizes[0] * sizes[1] / (sizes[0] + sizes[1]) * scale
        observed = value * size
        if growth != 1:
            # With more rows the non-centrality grows, the degrees of freedom do not.
            observed = max(observed / growth - degrees, 0.0) * growth + degrees
        share = 1 - level if upper else level
        half = normal_quantile(level) * math.sqrt(variance / growth)
        central = special.chndtr(observed, degrees, 0.0) > share
        noncentral = float(special.chndtrinc(observed, degrees, share)) / size if central else 0.0
        return max(noncentral, value + half) if upper else max(min(noncentral, value - half), 0.0)

    return value, bound


def _without_rare(first: Array, second: Array) -> tuple[Array, Array]:
    """Count the cells together in which either side expects fewer than ten rows."""
    pooled = (first + second) / (first.sum() + second.sum())
    rare = pooled * min(first.sum(), second.sum()) < _LEAST_EXPECTED
    if not rare.any():
        return first, second
    joined = [np.append(side[~rare], side[rare].sum()) for side in (first, second)]
    used = joined[0] + joined[1] > 0
    return joined[0][used], joined[1][used]


def _variance(values: Array, weights: Array) -> float:
    mean = float(weights @ values)
    return float(weights @ np.square(values - mean))


def _sorted(values: npt.ArrayLike) -> Array:
    return np.sort(np.asarray(values, dtype=np.float64))


def _middle(sample: Array, at: Array) -> Array:
    left, right = np.searchsorted(sample, at, side="left"), np.searchsorted(sample, at, side="right")
    middle: Array = (left + right) / (2 * len(sample))
    return middle


def _sizes(n: float, m: float, n_effective: Sizes) -> tuple[float, float]:
    return (n, m) if n_effective is None else (min(n, n_effective[0]), min(m, n_effective[1]))


def _root(sizes: tuple[float, float], growth: float) -> float:
    return math.sqrt((1 / sizes[0] + 1 / sizes[1]) / growth)


def _hoeffding(level: float, root: float) -> float:
    return math.sqrt(-math.log1p(-level) / 2) * root


def _half_width(level: float, root: float, sizes: tuple[float, float], growth: float) -> float:
    if min(sizes) * growth < _LEAST_NORMAL:
        return _hoeffding(level, root)
    return normal_quantile(level) / 2 * root
