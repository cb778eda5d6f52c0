"""Gaps between groups: counts or estimates of every group in, the largest difference or smallest ratio out.

A gap that is *kept* (at most a limit; a ratio at least a limit) is a claim about every pair of groups, so
each pair is tested at the full level: the pair that truly differs most is one of them (intersection-union
test, Berger 1982). A gap that is *proven broken* is a claim about some pair, so those bounds are
Bonferroni-corrected over all ordered pairs; where groups may depend on each other, over all bounds of all
groups, which costs less than pairs do. docs/explanation/fairness.md shows how often either misses.

Limits are computed once a group and level and then paired, so that the 1,560 ordered pairs of 40 groups
cost little more than the groups. Plans (a growth other than 1) use closed-form limits: they tell about how
many rows would decide and prove nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.comparison import Array
from pytest_prodml.statistics.estimate import Bounds, Estimate, checked_level, not_estimable, with_power
from pytest_prodml.statistics.gap_groups import Counts, Groups, groups_of_counts, groups_of_estimates
from pytest_prodml.statistics.gap_pairs import (
    ANY_DIFFERENCE,
    ANY_RATIO,
    DIFFERENCE,
    RATIO,
    Contrast,
    Limited,
    pairwise,
)
from pytest_prodml.statistics.gap_plans import Plan, joint_power, needs_of_groups

Needs: TypeAlias = Callable[[float, float], Mapping[int, float | None]]

_FEW = "fewer than two groups have a value"
_NOTHING = "no group has a value above 0, so the ratio is not defined"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gap:
    """The largest difference or the smallest ratio between groups.

    Attributes
    ----------
    estimate : Estimate
        Over the groups that have a value. No value for fewer than two of them, or a ratio of 0 to 0. The
        side on which a limit would be kept (the upper bound of a difference, the lower one of a ratio) is
        None while some group has no value or no bound: nothing is known about it.
    highest, lowest : int or None
        Indexes of the groups with the highest and the lowest value; None where the gap has no value.
    empty : tuple of int
        Indexes of the groups without a value.
    needs : callable
        ``needs(limit, confidence_level)``: the groups whose size leaves the limit ("at most" for a
        difference, "at least" for a ratio) undecided, each with how many times its rows would decide its
        pairs with a probability of 90 % if the observed values are the true ones. None where no number
        would, as the observed value lies on the limit. Where its partner is too small as well, both are
        named and both must grow. Empty if the groups with a value decide.
    """

    estimate: Estimate
    highest: int | None
    lowest: int | None
    empty: tuple[int, ...]
    needs: Needs


def difference_of_counts(successes: Counts, trials: Counts) -> Gap:
    """Estimate the largest difference between the rates of independent groups, max - min.

    Parameters
    ----------
    successes, trials : sequence of numbers, shape (groups,)
        In any order of the groups. A group without trials has no value.

    Raises
    ------
    InputError
        For successes that are no counts among trials.
    """
    return _gap(groups_of_counts(successes, trials), DIFFERENCE)


def ratio_of_counts(successes: Counts, trials: Counts) -> Gap:
    """Estimate the smallest ratio between the rates of independent groups, min / max.

    As `difference_of_counts`. A rate of 0 beside a higher one is a ratio of 0.
    """
    return _gap(groups_of_counts(successes, trials), RATIO)


def difference_of_estimates(estimates: Sequence[Estimate], *, independent: bool = True) -> Gap:
    """Estimate the largest difference between the values of groups, max - min.

    Parameters
    ----------
    estimates : sequence of Estimate
        One a group. One without a value makes the group empty.
    independent : bool
        Whether the groups share no row and no cluster. Otherwise each pair's bounds are put together from
        bounds of both groups that hold together under any dependence (each at half of alpha), which makes
        them up to 1.7 times as wide.
    """
    return _gap(groups_of_estimates(estimates), DIFFERENCE if independent else ANY_DIFFERENCE)


def ratio_of_estimates(estimates: Sequence[Estimate], *, independent: bool = True) -> Gap:
    """Estimate the smallest ratio between the values of groups, min / max.

    As `difference_of_estimates`.

    Raises
    ------
    InputError
        If a value is negative.
    """
    groups = groups_of_estimates(estimates)
    if (groups.values < 0).any():
        worst = float(np.min(groups.values))
        raise InputError(
            f"a ratio between groups needs values that are not negative, got {worst:.4g}",
            hint="judge the difference",
        )
    return _gap(groups, RATIO if independent else ANY_RATIO)


def worst_of(gaps: Sequence[Gap], *, at_least: bool) -> Gap:
    """Return the worst of several gaps of the same groups: equalized odds is the worst of two.

    Parameters
    ----------
    gaps : sequence of Gap
        All differences, or all ratios. They need not be independent of each other.
    at_least : bool
        Whether they are ratios, so that the smallest is the worst.

    Returns
    -------
    Gap
        Kept if all are kept, so that side is at the full level and None while one gap has none. Broken if
        one is, so that side is Bonferroni-corrected over the gaps. The value is the worst of those that can
        be estimated. `highest` and `lowest` are those of the worst gap.
    """
    if not gaps:
        raise InputError("there is no gap to take the worst of")
    known = [gap for gap in gaps if gap.estimate.value is not None]
    empty = tuple(sorted({group for gap in gaps for group in gap.empty}))
    if not known:
        return Gap(estimate=gaps[0].estimate, highest=None, lowest=None, empty=empty, needs=_no_needs)
    sign = -1.0 if at_least else 1.0
    worst = max(known, key=lambda gap: sign * _value(gap))

    def corrected(level: float) -> float:
        return 1 - (1 - level) / len(gaps)

    def bounds(level: float, growth: float, power: float) -> Bounds:
        every = corrected(power) if power > 0.5 else power  # a plan: all have to be proven kept
        kept = [gap.estimate.bounds(level, growth, every)[1 - at_least] for gap in gaps]
        broken = [gap.estimate.bounds(corrected(level), growth, power)[0 + at_least] for gap in gaps]
        far = max((sign * bound for bound in broken if bound is not None), default=None)
        near = max(sign * bound for bound in kept if bound is not None) if None not in kept else None
        return _turned(far, near, sign)

    def needs(limit: float, confidence_level: float) -> Mapping[int, float | None]:
        far = bounds(confidence_level, 1.0, 0.5)[0 + at_least]
        if far is not None and sign * far > sign * limit:
            return {}
        beyond = [gap for gap in known if sign * _value(gap) > sign * limit]
        level = corrected(confidence_level) if beyond else confidence_level
        found = [gap.needs(limit, level) for gap in beyond or known]
        if beyond:  # one of them that is proven broken decides
            return min((need for need in found if need), key=_most, default={})
        merged: dict[int, float | None] = {}
        for need in found:
            for group, growth in need.items():
                before = merged.get(group, 0.0)
                merged[group] = None if growth is None or before is None else max(growth, before)
        return dict(sorted(merged.items()))

    return Gap(
        estimate=Estimate(
            value=worst.estimate.value,
            method=f"{worst.estimate.method}; worst of {len(gaps)}",
            bounds=bounds,
            note=worst.estimate.note,
            seed=worst.estimate.seed,
        ),
        highest=worst.highest,
        lowest=worst.lowest,
        empty=empty,
        needs=needs,
    )


def group_bounds(successes: Counts, trials: Counts, confidence_level: float) -> tuple[Array, Array]:
    """Return lower and upper bounds of the rates of independent groups that all hold together.

    With probability `confidence_level` every rate lies between its two bounds (Sidak 1967, with exact
    limits). For reading a table of groups and pointing at any of them; a claim that every group meets a floor
    needs only bounds of each at the full level.

    Returns
    -------
    lower, upper : array of float, shape (groups,)
        NaN for a group without trials, which costs the others nothing.
    """
    checked_level(confidence_level)
    groups = groups_of_counts(successes, trials)
    lower, upper = (np.full(groups.places.size + len(groups.empty), np.nan) for _ in range(2))
    if groups.places.size:
        each = (1 + confidence_level ** (1 / groups.places.size)) / 2
        lower[groups.places], upper[groups.places] = groups.limits(each)
    return lower, upper


def _gap(groups: Groups, contrast: Contrast) -> Gap:
    method = f"{contrast.name}, {groups.method} limits; all pairs"
    values, sign = groups.values, contrast.sign
    missing = _FEW if values.size < 2 else _NOTHING if sign < 0 and np.max(values) == 0 else None
    if missing is not None:
        return Gap(
            estimate=not_estimable(method, missing),
            highest=None,
            lowest=None,
            empty=groups.empty,
            needs=_no_needs,
        )
    lowest, highest = int(np.argmin(values)), int(np.argmax(values))
    widest = values[highest] - values[lowest] if sign > 0 else values[lowest] / values[highest]

    def planned_for(level: float, limit: float = 0.0) -> Plan:
        kept_level, broken_level = contrast.levels(level, values.size)
        return Plan(contrast=contrast, limit=limit, kept_level=kept_level, broken_level=broken_level)

    @lru_cache(maxsize=64)
    def all_kept(level: float, octave: int, power: float) -> float:
        return joint_power(groups, planned_for(level), 2.0**octave, power) if power > 0.5 else power

    def extremes(level: float, growth: float, power: float) -> tuple[float, float]:
        """Bound the largest turned contrast from below and from above."""
        near, far = contrast.levels(level, values.size)
        if growth == 1 and power == 0.5:
            low, high = groups.limits(far), groups.limits(near)
        else:
            low = groups.planned(with_power(far, power), growth)
            joint = all_kept(level, round(math.log2(growth)), power)
            high = groups.planned(with_power(near, joint), growth)
        broken = float(np.max(pairwise(contrast.broken, Limited(values, *low))))
        kept = float(np.max(pairwise(contrast.kept, Limited(values, *high))))
        # No difference is below 0 and no smallest ratio above 1; without any limit not even that is said.
        trivial = 0.0 if sign > 0 else -1.0
        return (
            max(broken, trivial) if np.isfinite(low).any() else -math.inf,
            kept if np.isfinite(high).all() else math.inf,
        )

    def bounds(level: float, growth: float, power: float) -> Bounds:
        broken, kept = extremes(level, growth, power)
        known = not groups.empty and math.isfinite(kept)
        return _turned(broken if math.isfinite(broken) else None, kept if known else None, sign)

    def needs(limit: float, confidence_level: float) -> Mapping[int, float | None]:
        level = checked_level(confidence_level)
        if extremes(level, 1.0, 0.5)[0] > sign * limit:
            return {}
        return needs_of_groups(groups, planned_for(level, sign * limit))

    return Gap(
        estimate=Estimate(
            value=float(widest), method=method, bounds=bounds, note=groups.note, seed=groups.seed
        ),
        highest=int(groups.places[highest]),
        lowest=int(groups.places[lowest]),
        empty=groups.empty,
        needs=needs,
    )


def _turned(broken: float | None, kept: float | None, sign: float) -> Bounds:
    """Return lower and upper bound from those of a claim that reads "at most"."""
    if sign > 0:
        return broken, kept
    return None if kept is None else max(-kept, 0.0), None if broken is None else -broken


def _no_needs(_limit: float, _confidence_level: float) -> Mapping[int, float | None]:
    return {}


def _value(gap: Gap) -> float:
    value = gap.estimate.value
    return float("nan") if value is None else value


def _most(needs: Mapping[int, float | None]) -> float:
    return max((float("inf") if growth is None else growth for growth in needs.values()), default=0.0)
