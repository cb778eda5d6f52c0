"""Groups and an undecided limit in, the growth of each group that would decide out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.statistics.comparison import Array
from pytest_prodml.statistics.estimate import POWER, normal_quantile, with_power
from pytest_prodml.statistics.gap_groups import Groups, Indexes
from pytest_prodml.statistics.gap_pairs import Contrast, Limited, pairwise

Flags: TypeAlias = npt.NDArray[np.bool_]
Pairs: TypeAlias = tuple[Indexes, Indexes]

_MOST_GROWTH = 1e6
_STEPS = 12
#: Beyond it a plan asks both groups to grow rather than one of them alone.
_LOPSIDED = 4.0
#: Pairs that need less than this part of what the worst pair of their group needs are not planned again.
_EASY = 0.5
#: Pairs that are planned: so many of each group, and of those that exceed the limit in all.
_HARDEST, _EASIEST = 3, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What has to be decided: that every contrast is at most `limit`, or that some is above it.

    The levels are those of single limits, for a bound of all pairs being kept and of any being broken.
    """

    contrast: Contrast
    limit: float
    kept_level: float
    broken_level: float


def joint_power(
    groups: Groups, plan: Plan, growth: float | Array, power: float, *, target: float | None = None
) -> float:
    """Return the power each pair needs so that all of them together are proven to keep a limit with `power`.

    The chances of the pairs to miss `target` (by default the largest planned bound) add up, so that pairs far
    from it cost nothing. Pairs that share their noisier group stand and fall together, and count once.
    `growth` is of all groups alike or of each. Above one half, as `power` has to be.
    """
    near_limits = groups.planned(plan.kept_level, growth)
    far_limits = groups.planned(with_power(plan.kept_level, power), growth)
    near, far = (
        pairwise(plan.contrast.kept, Limited(groups.values, *limits)) for limits in (near_limits, far_limits)
    )
    target = float(np.max(far)) if target is None else target
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = (target - near) / (far - near) * normal_quantile(power)
    misses = np.where(
        np.isfinite(distance), require("scipy.special", extra="performance").ndtr(-distance), 0.0
    )
    variance = (near_limits[1] - near_limits[0]) ** 2
    one, other = variance[:, np.newaxis], variance[np.newaxis, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.nan_to_num(2 * np.minimum(one, other) / (one + other))
    shared, first_noisier = misses * (1 - apart), one >= other
    counted = (
        float((misses * apart).sum())
        + float(np.max(np.where(first_noisier, shared, 0.0), axis=1).sum())
        + float(np.max(np.where(first_noisier, 0.0, shared), axis=0).sum())
    )
    return 1 - (1 - power) / max(counted / (1 - power), 1.0)


def needs_of_groups(groups: Groups, plan: Plan) -> dict[int, float | None]:
    """Return how many times the rows of each group that leaves the limit undecided would decide.

    Observed values that break the limit decide as soon as one pair is proven to, so the easiest counts;
    values that keep it must be proven to in every pair.
    """
    data = Limited(groups.values, *groups.limits(plan.kept_level))
    kept = pairwise(plan.contrast.kept, data)
    undecided = kept > plan.limit
    if not undecided.any():
        return {}
    value = np.asarray(plan.contrast.value(data.value[:, np.newaxis], data.value[np.newaxis, :]))
    with np.errstate(invalid="ignore", divide="ignore"):
        # Bounds close in with the root of the rows, roughly; that is enough to tell which pairs need most.
        rough = np.nan_to_num(((kept - value) / (plan.limit - value)) ** 2, nan=0.0)
    exceeds = undecided & (value > plan.limit)
    if exceeds.any():
        first, second = np.nonzero(exceeds)
        easy = np.argsort(rough[exceeds], kind="stable")[:_EASIEST]
        pairs = _Pairs(groups, plan, first[easy], second[easy], broken=True)
        found = pairs.chosen([int(np.argmin(pairs.together(POWER)))]).needed(POWER)
    else:
        first, second = np.nonzero(undecided & _hardest(np.where(undecided, rough, -1.0)))
        pairs = _Pairs(groups, plan, first, second, broken=False)
        found = pairs.needed(POWER)
        if np.isfinite(found.worst).all():
            # As planned each pair decides with that power; all of them have to.
            grown = np.maximum(found.worst, 1.0)
            power = joint_power(groups, plan, grown, POWER, target=plan.limit)
            hard = found.factors >= _EASY * found.worst[np.where(pairs.noisier, first, second)]
            found = pairs.chosen(np.flatnonzero(hard)).needed(power)
    return {
        int(groups.places[group]): float(found.worst[group]) if math.isfinite(found.worst[group]) else None
        for group in np.flatnonzero(found.worst)
    }


def _hardest(rough: Array) -> Flags:
    """Choose for every group the pairs that need most; only these decide what the group needs."""
    either = np.maximum(rough, rough.T)
    if either.shape[0] <= _HARDEST:
        return np.ones(either.shape, dtype=np.bool_)
    chosen = np.zeros(either.shape, dtype=np.bool_)
    places = np.argpartition(either, -_HARDEST, axis=1)[:, -_HARDEST:]
    np.put_along_axis(chosen, places, values=True, axis=1)
    return chosen | chosen.T


@dataclass(frozen=True, slots=True)
class _Needed:
    """Growth of each pair, and the largest that each group takes part in (0 for one that may stay)."""

    factors: Array
    worst: Array


class _Pairs:
    """Undecided pairs of groups, and the growth that decides them.

    Parameters
    ----------
    first, second : array of int, shape (pairs,)
    broken : bool
        Whether they are to be proven to break the limit, rather than to keep it.
    """

    def __init__(self, groups: Groups, plan: Plan, first: Indexes, second: Indexes, *, broken: bool) -> None:
        self._groups, self._plan, self._broken = groups, plan, broken
        self._first, self._second = first, second
        lower, upper = groups.planned(plan.kept_level)
        spread = upper - lower
        self.noisier: Flags = spread[first] >= spread[second]

    def chosen(self, places: Indexes | list[int]) -> _Pairs:
        """Return some of the pairs."""
        return _Pairs(
            self._groups, self._plan, self._first[places], self._second[places], broken=self._broken
        )

    def together(self, power: float) -> Array:
        """Return the growth of both groups that decides each pair."""
        return _growth(lambda growth: self._decided(power, growth, growth), self._first.size)

    def needed(self, power: float) -> _Needed:
        """Let the noisier group of each pair grow, and its partner too where that alone takes long."""
        together = self.together(power)
        alone = _growth(
            lambda growth: self._decided(
                power, np.where(self.noisier, growth, 1.0), np.where(self.noisier, 1.0, growth)
            ),
            self._first.size,
        )
        both = ~np.isfinite(alone) | (alone > _LOPSIDED * together)
        factors = np.where(both, together, alone)
        worst = np.zeros(self._groups.values.size)
        np.maximum.at(worst, np.where(self.noisier, self._first, self._second), factors)
        np.maximum.at(worst, np.where(self.noisier, self._second, self._first)[both], factors[both])
        return _Needed(factors, worst)

    def _decided(self, power: float, grow_first: Array, grow_second: Array) -> Flags:
        plan, groups = self._plan, self._groups
        level = with_power(plan.broken_level if self._broken else plan.kept_level, power)
        # Both sides of all pairs at once: for a few dozen pairs calls cost more than numbers.
        chosen, growth = (
            np.concatenate([self._first, self._second]),
            np.concatenate([grow_first, grow_second]),
        )
        lower, upper = groups.planned(level, growth, chosen)
        value, half = groups.values[chosen], self._first.size
        one = Limited(value[:half], lower[:half], upper[:half])
        other = Limited(value[half:], lower[half:], upper[half:])
        if self._broken:
            return np.asarray(plan.contrast.broken(one, other) > plan.limit)
        return np.asarray(plan.contrast.kept(one, other) <= plan.limit)


def _growth(decided: Callable[[Array], Flags], size: int) -> Array:
    """Return for each pair the smallest growth that decides it (to 0.4 %), infinite beyond a million."""
    low, high = np.zeros(size), np.full(size, math.log(_MOST_GROWTH))
    never = ~decided(np.exp(high))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        reached = decided(np.exp(middle))
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return np.where(never, np.inf, np.exp(high))
