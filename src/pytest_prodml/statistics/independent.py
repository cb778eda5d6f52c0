"""Estimates from two samples that share no row -> their difference with bounds."""

from __future__ import annotations

import math

from pytest_prodml.statistics.estimate import Bounds, Estimate, not_estimable


def difference(first: Estimate, second: Estimate, *, falls: bool = False) -> Estimate:
    """Estimate first - second by the method of variance estimates recovery (MOVER; Zou, Donner 2008).

    Each side's distance to its bound is the root of the sum of squares of the distances of both parts, so the
    difference has the skewness that its parts have. With `falls` it is second - first.
    """
    high, low = (second, first) if falls else (first, second)
    method = f"MOVER of {high.method}"
    if high.value is None or low.value is None:
        without = high if high.value is None else low
        return not_estimable(method, without.note or "one of two values can not be estimated")
    a, b = high.value, low.value

    def bounds(level: float, growth: float, power: float) -> Bounds:
        a_low, a_high = high.bounds(level, growth, power)
        b_low, b_high = low.bounds(level, growth, power)
        lower = None if a_low is None or b_high is None else a - b - math.hypot(a - a_low, b_high - b)
        upper = None if a_high is None or b_low is None else a - b + math.hypot(a_high - a, b - b_low)
        return lower, upper

    notes = [estimate.note for estimate in (high, low) if estimate.note]
    return Estimate(value=a - b, method=method, bounds=bounds, note="; ".join(notes) or None)
