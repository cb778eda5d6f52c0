"""Counts or estimates of groups in, the limits of every group as arrays out; what `gaps` puts together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.comparison import Array
from pytest_prodml.statistics.estimate import Estimate
from pytest_prodml.statistics.exact_limits import about_exact_limits, exact_limits

Indexes: TypeAlias = npt.NDArray[np.intp]
Counts: TypeAlias = Sequence[int] | Sequence[float] | npt.NDArray[np.int64] | npt.NDArray[np.float64]
Limits: TypeAlias = tuple[Array, Array]

_ALL = np.s_[:]
#: Sums of weights differ from their total by rounding errors.
_ROUNDING = 1e-9
#: How fast the bounds of an estimate close in is seen from those that so many times the data would reach.
_FAR = 64.0
#: Of a plan: beyond it levels are rounded to 1.
_MOST_LEVEL = 1 - 1e-14


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Groups:
    """The groups that have a value, one entry a group.

    Attributes
    ----------
    values : array of float, shape (k,)
    places : array of int, shape (k,)
        Their indexes among all groups.
    empty : tuple of int
        Indexes of the groups without a value.
    limits : callable
        Of a level: one-sided lower and upper limits of the data, infinite where a group has none.
    planned : callable
        Of a level, a growth (a number, or one each) and a choice of groups: about the limits that so many
        times as much data would have.
    method, note, seed : str, str or None, int or None
        Of the limits.
    """

    values: Array
    places: Indexes
    empty: tuple[int, ...]
    limits: Callable[[float], Limits]
    planned: Callable[..., Limits]
    method: str
    note: str | None = None
    seed: int | None = None


def groups_of_counts(successes: Counts, trials: Counts) -> Groups:
    """Return groups of independent rows with exact limits; those without trials are empty."""
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    fits = k.shape == n.shape and k.ndim == 1 and bool(np.isfinite(n).all())
    if not fits or not ((k >= 0) & (k <= n * (1 + _ROUNDING))).all():
        raise InputError("successes and trials must be counts, one of each for every group")
    used = np.flatnonzero(n > 0)
    n = n[used]
    k = np.minimum(k[used], n)

    @lru_cache(maxsize=16)
    def limits(level: float) -> Limits:
        return exact_limits(k, n, level)

    def planned(level: float, growth: float | Array = 1.0, chosen: Indexes | slice = _ALL) -> Limits:
        return about_exact_limits(k[chosen] * growth, n[chosen] * growth, min(level, _MOST_LEVEL))

    return Groups(
        values=k / n,
        places=used,
        empty=tuple(np.flatnonzero(np.asarray(trials) == 0).tolist()),
        limits=limits,
        planned=planned,
        method="Clopper-Pearson",
    )


def groups_of_estimates(estimates: Sequence[Estimate]) -> Groups:
    """Return groups with the limits that their estimates have.

    A plan asks every estimate for its bounds of the data and of 64 times as much, and takes the power law
    through both.
    """
    used = [place for place, estimate in enumerate(estimates) if estimate.value is not None]
    known = [estimates[place] for place in used]
    values = np.array([estimate.value for estimate in known], dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError("the value of a group is not a finite number")

    @lru_cache(maxsize=32)
    def limits(level: float, growth: float = 1.0) -> Limits:
        pairs = [estimate.bounds(level, growth, 0.5) for estimate in known]
        lower = np.array([-math.inf if low is None else low for low, _ in pairs], dtype=np.float64)
        upper = np.array([math.inf if high is None else high for _, high in pairs], dtype=np.float64)
        return lower, upper

    @lru_cache(maxsize=16)
    def falls(level: float) -> tuple[Array, Array, Array, Array]:
        (low, high), (far_low, far_high) = limits(level), limits(level, _FAR)
        return (*_power_law(values - low, values - far_low), *_power_law(high - values, far_high - values))

    def planned(level: float, growth: float | Array = 1.0, chosen: Indexes | slice = _ALL) -> Limits:
        down, down_rate, up, up_rate = falls(min(level, _MOST_LEVEL))
        return (
            values[chosen] - down[chosen] * growth ** -down_rate[chosen],
            values[chosen] + up[chosen] * growth ** -up_rate[chosen],
        )

    methods = dict.fromkeys(estimate.method for estimate in known)
    return Groups(
        values=values,
        places=np.array(used, dtype=np.intp),
        empty=tuple(place for place, estimate in enumerate(estimates) if estimate.value is None),
        limits=limits,
        planned=planned,
        method=" or ".join(list(methods)[:2]) or "no",
        seed=next((estimate.seed for estimate in known if estimate.seed is not None), None),
    )


def _power_law(near: Array, far: Array) -> tuple[Array, Array]:
    """Return distance d and rate r of d g**-r through the distances at growth 1 and at `_FAR`."""
    far = np.maximum(far, 0.0)
    distance = np.where(np.isfinite(near), np.maximum(near, 0.0), far * math.sqrt(_FAR))
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.log(distance / far) / math.log(_FAR)
    return distance, np.where(np.isfinite(rate), np.clip(rate, 0.25, 1.0), 0.5)
