"""Metrics that are functions of how many rows there are of each kind: counts of kinds in, estimates out.

For Matthews' correlation, Cohen's kappa, macro and weighted averages, and whatever else is no mean of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.statistics.estimate import Bounds, Estimate, normal_quantile, with_power
from pytest_prodml.statistics.sufficient import weighted_counts

Array: TypeAlias = npt.NDArray[np.float64]
#: (draws, d) sums over rows -> (draws,) values; the same for sums that are all multiplied by one factor.
Statistic: TypeAlias = Callable[[Array], Array]

_DRAWS = 4_000
_LEAST_DRAWS = 1_000
_CELLS = 4_000_000
#: Draws beyond a bound, below which it is read off a line through the outer draws.
_TAIL = 20
_NEAR_END = 1e-12
_MOST_KINDS = 4_000
_KEPT = 8
_MOST_KEYS = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """The rows of a sample by kind.

    Attributes
    ----------
    counts : array of float, shape (m,)
        Rows of each kind, above 0; whole numbers or scaled weights.
    sums : array or sparse matrix of float, shape (m, d)
        What one row of each kind adds to the sums that the metric is a function of.
    worst, best : array of float, shape (d,)
        What a row adds that lowers the metric most, and one that raises it most.
    """

    counts: Array
    sums: Any
    worst: Array
    best: Array

    def total(self) -> Array:
        """Return the sums over all rows, shape (1, d)."""
        return np.asarray(self.counts[np.newaxis, :] @ self.sums)


def of_shares(
    kinds: Kinds,
    statistic: Statistic,
    *,
    low: float,
    high: float,
    seed: int,
    method: str = "Dirichlet with the worst row",
    note: str | None = None,
) -> Estimate:
    """Estimate a metric with quantiles of its value under Dirichlet shares of the kinds.

    The shares are drawn with the counts as parameters, and one more row of the kind that is worst (for the
    lower bound) or best (for the upper one). For a proportion these are the exact bounds of Clopper and
    Pearson, for a mean those of Gaffke (2005); here the same is done for a function that is no mean. The
    added row is why a perfect score does not prove itself, where any bootstrap gives [1, 1].

    Averages over many small classes are biased (weighted precision upwards, macro F1 downwards), and the
    draws have the same bias once more. The bound on the side that it leads astray is moved back by twice the
    bias.

    Parameters
    ----------
    kinds, statistic
        The rows, and the metric as a function of the sums over them.
    low, high : float
        The range of the metric.
    seed : int
        Of the draws. Beyond the outermost 20 of up to 4,000 draws, which levels above 99.5 % ask for, a bound
        lies on the line through the outer draws in normal quantiles of the level and the logit of the value.
    method, note : str
        For the estimate.

    Notes
    -----
    Plans for more data stretch the draws (the deviations by the root of the growth) and do not draw again.
    """
    value = float(statistic(kinds.total())[0])
    bias = _bias(kinds, statistic, value)
    total, once = kinds.total(), _draw(kinds, 1.0, seed)
    kept: dict[tuple[int, float, bool], Array] = {}

    def draws(side: int, growth: float, *, plan: bool) -> Array:
        key = (side, growth, plan)
        if key not in kept:
            if len(kept) > _KEPT:
                kept.clear()
            extra = kinds.worst if side < 0 else kinds.best
            if plan and growth >= 1:
                sums, more = once
                sums = growth * total + math.sqrt(growth) * (sums - total)
            else:
                sums, more = once if growth == 1 else _draw(kinds, growth, seed)
            kept[key] = np.sort(statistic(sums + more * extra))
        return kept[key]

    def bounds(level: float, growth: float, power: float) -> Bounds:
        probability, plan = with_power(level, power), power != 0.5
        worse, better = (draws(side, growth, plan=plan) for side in (-1, 1))
        lower = _quantile(1 - _scaled(worse[::-1], low, high), probability)
        upper = _quantile(_scaled(better, low, high), probability)
        down, up = 2 * max(bias, 0.0) / growth, 2 * min(bias, 0.0) / growth
        return (
            max(min(low + (1 - lower) * (high - low), value) - down, low),
            min(max(low + upper * (high - low), value) - up, high),
        )

    return Estimate(value=value, method=method, bounds=bounds, note=note, seed=seed)


def _bias(kinds: Kinds, statistic: Statistic, value: float) -> float:
    """Return the bias of the value, from what one row more of each kind would change."""
    total = kinds.total()
    at_once = max(_CELLS // total.size, 1)
    added = 0.0
    for start in range(0, kinds.counts.size, at_once):
        part = kinds.sums[start : start + at_once]
        rows = part.toarray() if hasattr(part, "toarray") else part
        added += float(kinds.counts[start : start + at_once] @ (statistic(total + rows) - value))
    return added


def _draw(kinds: Kinds, growth: float, seed: int) -> tuple[Array, Array]:
    """Return the sums over the kinds with random shares (draws, d), and the share of one more row (draws, 1).

    Shares are not divided by their sum: it makes no difference to the metric.
    """
    rng = np.random.default_rng(seed)
    m = kinds.counts.size
    number = min(max(_CELLS // (m + 1), _LEAST_DRAWS), _DRAWS)
    at_once = max(min(number, _CELLS // (m + 1)), 1)
    sums, more = [], []
    for start in range(0, number, at_once):
        size = min(at_once, number - start)
        shares = rng.standard_gamma(np.append(kinds.counts * growth, 1.0), (size, m + 1))
        sums.append(np.asarray(shares[:, :-1] @ kinds.sums))
        more.append(shares[:, -1:])
    return np.concatenate(sums), np.concatenate(more)


def _scaled(values: Array, low: float, high: float) -> Array:
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def _quantile(values: Array, probability: float) -> float:
    """Return the upper quantile of sorted `values` in [0, 1]."""
    number = values.size
    last = 1 - _TAIL / number
    if probability <= last:
        return float(np.quantile(values, probability))
    outer, inner = (float(np.quantile(values, p)) for p in (last, 0.9))
    if outer >= 1 - _NEAR_END:
        return 1.0
    slope = (_logit(outer) - _logit(inner)) / (normal_quantile(last) - normal_quantile(0.9))
    logit = _logit(outer) + slope * (normal_quantile(probability) - normal_quantile(last))
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0


def _logit(share: float) -> float:
    inside = min(max(share, 1e-300), 1 - 1e-16)
    return math.log(inside) - math.log1p(-inside)


def kinds_of_rows(rows: Array, weights: Array, *, worst: Array, best: Array, seed: int) -> Kinds:
    """Collect equal rows, shape (n, d), into kinds.

    Where there are more than 4,000 kinds, rows are put together at random into as many blocks, whose sums are
    the kinds then.
    """
    used, kind = _distinct(rows)
    if len(used) <= _MOST_KINDS:
        counts = weighted_counts(kind, weights, len(used))
        return Kinds(counts=counts[counts > 0], sums=used[counts > 0], worst=worst, best=best)
    block = np.random.default_rng(seed).permutation(len(rows)) % _MOST_KINDS
    sums = np.zeros((_MOST_KINDS, rows.shape[1]))
    np.add.at(sums, block, rows * weights[:, np.newaxis])
    return Kinds(counts=np.ones(_MOST_KINDS), sums=sums, worst=worst, best=best)


def _distinct(rows: Array) -> tuple[Array, npt.NDArray[np.intp]]:
    """Return the different rows in lexical order, and which of them each row is.

    Rows of small whole numbers are written as one number each: sorting those takes a fiftieth of the time.
    """
    sizes = [int(most) + 1 for most in rows.max(axis=0, initial=0.0)]
    if math.prod(sizes) < _MOST_KEYS and np.min(rows, initial=0.0) >= 0:
        whole = rows.astype(np.int64)
        if (whole == rows).all():
            places = np.cumprod([1, *sizes[:0:-1]], dtype=np.int64)[::-1]
            _, first, kind = np.unique(whole @ places, return_index=True, return_inverse=True)
            return rows[first], kind.ravel().astype(np.intp)
    used, place = np.unique(rows, axis=0, return_inverse=True)
    return used, place.ravel().astype(np.intp)


def influences(
    kinds: Kinds, statistic: Statistic, *, rows: Array | None = None, weights: Array | None = None
) -> Array:
    """Return the influence of a row of each kind, shape (m,): by central differences in the sums.

    Where `rows` (n, d) and their `weights` are given, the influence of each of these.
    """
    number = float((kinds.counts if weights is None else weights).sum())
    center = kinds.total()[0] / number
    step = 1e-6 * max(float(np.max(center)), 1e-300)
    slopes = np.empty(center.size)
    at_once = max(_CELLS // (4 * center.size), 1)
    for start in range(0, center.size, at_once):
        places = np.arange(start, min(start + at_once, center.size))
        moves = np.zeros((places.size, center.size))
        moves[np.arange(places.size), places] = step
        slopes[places] = (statistic(center + moves) - statistic(center - moves)) / (2 * step)
    values = np.asarray((kinds.sums if rows is None else rows) @ slopes)
    return values - float(np.average(values, weights=kinds.counts if rows is None else weights))
