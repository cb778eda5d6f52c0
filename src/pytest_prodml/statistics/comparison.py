"""Comparing independent groups: successes and trials of each in, bounds of their difference or ratio out.

All bounds come from the exact limits of the single proportions by the method of variance estimates recovery
(MOVER: Zou, Donner 2008; for ratios Donner, Zou 2012). Newcombe's hybrid interval is the same with score
limits. With exact limits the one-sided error stays near 5 % in the worst case, where Newcombe's and
Miettinen-Nurminen's reach 12 % and the log-ratio's (Katz) 86 %; docs/explanation/coverage.md has the table
and names the exception. They cost 5 to 10 % of width.

For several groups, a gap that is *at most* a limit is a claim about every pair, so each pair is tested at
the full level (intersection-union test, Berger 1982). A gap that is *proven to exceed* it is a claim about
some pair, so these bounds are Bonferroni-corrected over all ordered pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.estimate import POWER, checked_level, with_power
from pytest_prodml.statistics.intervals import clopper_pearson

Array: TypeAlias = npt.NDArray[np.float64]
Indexes: TypeAlias = npt.NDArray[np.intp]
GroupCounts: TypeAlias = Sequence[int] | npt.NDArray[np.int64]
Limits: TypeAlias = Callable[[npt.ArrayLike, npt.ArrayLike, float], tuple[Array, Array]]
PairBounds: TypeAlias = Callable[[Array, Array, Array, Array, float], tuple[Array, Array]]

_MOST_GROWTH = 1e6
_STEPS = 14
#: Beyond it a plan asks both groups to grow rather than one of them alone.
_LOPSIDED = 4.0


def difference_lower(p1: Array, l1: Array, p2: Array, u2: Array) -> Array:
    """Return the lower bound of p1 - p2 from the lower limit of p1 and the upper one of p2."""
    return np.asarray(p1 - p2 - np.sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2))


def difference_upper(p1: Array, u1: Array, p2: Array, l2: Array) -> Array:
    """Return the upper bound of p1 - p2; that of p2 - p1 turned round."""
    return np.asarray(-difference_lower(p2, l2, p1, u1))


def ratio_lower(p1: Array, l1: Array, p2: Array, u2: Array) -> Array:
    """Return the lower bound of p1 / p2: the r at which the lower bound of p1 - r p2 is 0.

    0 where l1 is not above 0 or u2 is infinite.
    """
    product = p1 * p2
    with np.errstate(invalid="ignore", divide="ignore"):
        low1, high2 = l1 * (2 * p1 - l1), u2 * (2 * p2 - u2)
        found = low1 / (product + np.sqrt(np.maximum(product**2 - low1 * high2, 0.0)))
    return np.where(l1 > 0, found, 0.0)


def ratio_upper(p1: Array, u1: Array, p2: Array, l2: Array) -> Array:
    """Return the upper bound of p1 / p2, infinite where l2 is not above 0."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(1 / ratio_lower(p2, l2, p1, u1))


def _parts(
    k1: npt.ArrayLike,
    n1: npt.ArrayLike,
    k2: npt.ArrayLike,
    n2: npt.ArrayLike,
    confidence_level: float,
    limits: Limits,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    a, m, b, n = np.broadcast_arrays(*(np.asarray(part, dtype=np.float64) for part in (k1, n1, k2, n2)))
    l1, u1 = limits(a, m, confidence_level)
    l2, u2 = limits(b, n, confidence_level)
    with np.errstate(invalid="ignore", divide="ignore"):
        return a / m, l1, u1, b / n, l2, u2


def difference_bounds(
    k1: npt.ArrayLike,
    n1: npt.ArrayLike,
    k2: npt.ArrayLike,
    n2: npt.ArrayLike,
    confidence_level: float,
    *,
    limits: Limits = clopper_pearson,
) -> tuple[Array, Array]:
    """Return one-sided bounds for k1/n1 - k2/n2, each at `confidence_level`; elementwise, n > 0.

    `limits` are those of a single proportion; with `intervals.wilson` these are Newcombe's (1998) bounds.
    """
    p1, l1, u1, p2, l2, u2 = _parts(k1, n1, k2, n2, confidence_level, limits)
    lower, upper = difference_lower(p1, l1, p2, u2), difference_upper(p1, u1, p2, l2)
    return np.maximum(lower, -1.0), np.minimum(upper, 1.0)


def ratio_bounds(
    k1: npt.ArrayLike,
    n1: npt.ArrayLike,
    k2: npt.ArrayLike,
    n2: npt.ArrayLike,
    confidence_level: float,
    *,
    limits: Limits = clopper_pearson,
) -> tuple[Array, Array]:
    """Return one-sided bounds for (k1/n1) / (k2/n2), each at `confidence_level`; elementwise, n > 0.

    The bounds are the r at which a bound of k1/n1 - r k2/n2 is 0. The upper bound is infinite where k2 is 0,
    the lower bound 0 where k1 is.
    """
    p1, l1, u1, p2, l2, u2 = _parts(k1, n1, k2, n2, confidence_level, limits)
    return ratio_lower(p1, l1, p2, u2), ratio_upper(p1, u1, p2, l2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The largest difference or the smallest ratio between groups; see `max_difference` and `min_ratio`.

    Attributes
    ----------
    value : float or None
        Over the groups that have trials; None for fewer than two of them, or a ratio of 0 to 0.
    lower, upper : float or None
        One-sided bounds. The side on which a limit would be kept is None while some group has no
        trials: nothing is known about its rate.
    empty : tuple of int
        Indexes of the groups without trials.
    needs : mapping of int to int or None
        The groups whose size leaves the limit undecided, each with the trials of it that would decide its
        pairs if the observed rates are the true ones; None where no number would, as the observed value
        lies on the limit. Where its partner is too small as well, both are named and both must grow.
    growth : float or None
        How many times as much data, of all groups alike, would decide the limit.
    """

    value: float | None
    lower: float | None
    upper: float | None
    empty: tuple[int, ...]
    needs: Mapping[int, int | None] = field(default_factory=dict)
    growth: float | None = None


def max_difference(
    successes: GroupCounts, trials: GroupCounts, confidence_level: float, *, limit: float | None = None
) -> Spread:
    """Bound the largest difference between the rates of any two groups, max - min.

    Parameters
    ----------
    successes, trials : sequence of int
        One entry a group, in any order.
    confidence_level : float
        Of each bound. The upper bound is the largest of the pairs' upper bounds at this level, the lower
        bound the largest of the pairs' lower bounds at the Bonferroni-corrected level. Conservative: the
        largest of many upper bounds covers more often than a single one.
    limit : float, optional
        "At most": fills `needs` and `growth` if the bounds do not decide it.
    """
    k, n, used, empty = _groups(successes, trials)
    if used.size < 2:
        return Spread(value=None, lower=None, upper=None, empty=empty)
    found = _largest(k[used], n[used], checked_level(confidence_level), _DIFFERENCE, limit)
    rates = k[used] / n[used]
    return Spread(
        value=float(np.max(rates) - np.min(rates)),
        lower=max(found.lower, 0.0),
        upper=None if empty else found.upper,
        empty=empty,
        needs={int(used[group]): need for group, need in found.needs.items()},
        growth=found.growth,
    )


def min_ratio(
    successes: GroupCounts, trials: GroupCounts, confidence_level: float, *, limit: float | None = None
) -> Spread:
    """Bound the smallest ratio between the rates of any two groups, min / max.

    As `max_difference` with the sides exchanged: the lower bound is the smallest of the pairs' lower
    bounds, the upper bound the smallest of their corrected upper bounds, and `limit` means "at least".
    """
    k, n, used, empty = _groups(successes, trials)
    if used.size < 2 or np.max(k) == 0:
        return Spread(value=None, lower=None, upper=None, empty=empty)
    found = _largest(
        k[used], n[used], checked_level(confidence_level), _RATIO, None if limit is None else -limit
    )
    rates = k[used] / n[used]
    return Spread(
        value=float(np.min(rates) / np.max(rates)),
        lower=None if empty else -found.upper,
        upper=min(-found.lower, 1.0),
        empty=empty,
        needs={int(used[group]): need for group, need in found.needs.items()},
        growth=found.growth,
    )


def _groups(
    successes: GroupCounts, trials: GroupCounts
) -> tuple[Array, Array, npt.NDArray[np.intp], tuple[int, ...]]:
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    if k.shape != n.shape or k.ndim != 1 or (k < 0).any() or (k > n).any():
        raise InputError("successes and trials must be counts, one of each for every group")
    return k, n, np.flatnonzero(n > 0), tuple(np.flatnonzero(n == 0).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contrast:
    """How two groups are compared, turned so that every claim reads "at most"."""

    value: Callable[[Array, Array], Array]
    bounds: PairBounds


def _negated_ratio(rate: Array, other: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(-rate / other)


def _negated_ratio_bounds(
    k1: Array, n1: Array, k2: Array, n2: Array, confidence_level: float
) -> tuple[Array, Array]:
    lower, upper = ratio_bounds(k1, n1, k2, n2, confidence_level)
    return -upper, -lower


_DIFFERENCE = _Contrast(value=lambda rate, other: rate - other, bounds=difference_bounds)
_RATIO = _Contrast(value=_negated_ratio, bounds=_negated_ratio_bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Largest:
    lower: float
    upper: float
    needs: Mapping[int, int | None]
    growth: float | None


def _largest(k: Array, n: Array, level: float, contrast: _Contrast, limit: float | None) -> _Largest:
    """Bound the largest contrast over all ordered pairs, and plan for "all are at most `limit`"."""
    first, second = np.nonzero(~np.eye(k.size, dtype=bool))
    corrected = 1 - (1 - level) / first.size
    uppers = contrast.bounds(k[first], n[first], k[second], n[second], level)[1]
    lowers = contrast.bounds(k[first], n[first], k[second], n[second], corrected)[0]
    lower, upper = float(np.max(lowers)), float(np.max(uppers))
    if limit is None or lower > limit or upper <= limit:
        return _Largest(lower=lower, upper=upper, needs={}, growth=None)
    open_pairs = np.flatnonzero(uppers > limit)
    first, second = first[open_pairs], second[open_pairs]
    exceeds = contrast.value(k[first] / n[first], k[second] / n[second]) > limit

    def decided(grow_first: Array, grow_second: Array) -> npt.NDArray[np.bool_]:
        parts = (
            k[first] * grow_first,
            n[first] * grow_first,
            k[second] * grow_second,
            n[second] * grow_second,
        )
        kept = contrast.bounds(*parts, with_power(level, POWER))[1] <= limit
        broken = contrast.bounds(*parts, with_power(corrected, POWER))[0] > limit
        return np.where(exceeds, broken, kept)

    together = _growth(lambda growth: decided(growth, growth), first.size)
    noise = (k + 1) * (n - k + 1) / (n + 2) ** 3  # variance of a rate, not 0 for a rate of 0 or 1
    noisier = noise[first] >= noise[second]
    smaller, larger = np.where(noisier, first, second), np.where(noisier, second, first)
    alone = _growth(
        lambda growth: decided(np.where(noisier, growth, 1.0), np.where(noisier, 1.0, growth)), first.size
    )
    # Observed values that break the limit decide as soon as one pair is proven to, so the easiest counts;
    # values that keep it must be proven to in every pair.
    deciding = np.arange(first.size)
    if exceeds.any():
        deciding = np.flatnonzero(exceeds)[[np.argmin(together[exceeds])]]
    needs = _needs(n, smaller, larger, alone, together, deciding)
    growth = float(np.max(together[deciding]))
    return _Largest(lower=lower, upper=upper, needs=needs, growth=growth if math.isfinite(growth) else None)


def _needs(
    n: Array, smaller: Indexes, larger: Indexes, alone: Array, together: Array, deciding: Indexes
) -> dict[int, int | None]:
    """Return the trials of each group that would decide its pairs.

    The partner with the less noisy rate is left as it is where the other one's growth suffices.
    """
    both = ~np.isfinite(alone) | (alone > _LOPSIDED * together)
    factors = np.where(both, together, alone)
    worst: dict[int, float] = {}
    for pair in deciding:
        for group in {int(smaller[pair])} | ({int(larger[pair])} if both[pair] else set()):
            worst[group] = max(worst.get(group, 0.0), float(factors[pair]))
    return {
        group: math.ceil(n[group] * factor) if math.isfinite(factor) else None
        for group, factor in sorted(worst.items())
    }


def _growth(decided: Callable[[Array], npt.NDArray[np.bool_]], size: int) -> Array:
    """Return for each pair the smallest growth that decides it (to 1 %), infinite beyond a million."""
    low, high = np.zeros(size), np.full(size, math.log(_MOST_GROWTH))
    never = ~decided(np.exp(high))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        reached = decided(np.exp(middle))
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return np.where(never, np.inf, np.exp(high))
