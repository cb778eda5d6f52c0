"""One number with the bounds that its method gives, and how much more data would decide.

What the functions of `intervals` and `ranking` return and what `checks` turn into measurements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TypeAlias

from pytest_prodml.errors import InputError

Bounds: TypeAlias = tuple[float | None, float | None]

#: The probability with which the planned number of rows leads to a decision.
POWER = 0.9
_MOST_GROWTH = 1e7
_LEAST_P_VALUE = 1e-9
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A point value and its bounds as a function of the level.

    Attributes
    ----------
    value : float or None
        The point value; None when it can not be estimated, and `note` says why.
    method : str
        The name of the interval.
    bounds : callable
        ``bounds(confidence_level, growth, power)`` gives the one-sided lower and upper bound. With growth 1
        and power 0.5 these are the bounds of the data. Otherwise they are the bounds that `growth` times as
        much data will reach or surpass (lie nearer to the value) with probability `power`, if the value is
        the true one. None on a side that is unbounded.
    note : str, optional
        What a reader must know about the number.
    seed : int, optional
        Of the resampling, where the method resamples.
    """

    value: float | None
    method: str
    bounds: Callable[[float, float, float], Bounds]
    note: str | None = None
    seed: int | None = None

    def at(self, confidence_level: float) -> Bounds:
        """Return the lower and the upper bound of the data, each at `confidence_level`."""
        return self.bounds(checked_level(confidence_level), 1.0, 0.5)


def not_estimable(method: str, note: str) -> Estimate:
    """Return an estimate without a value: nothing can be proven with it."""
    return Estimate(value=None, method=method, bounds=lambda *_: (None, None), note=note)


def mapped(estimate: Estimate, function: Callable[[float], float], *, falling: bool = False) -> Estimate:
    """Return the estimate of a monotone function of what was estimated; its bounds are those mapped.

    With `falling` the function falls, so that the lower bound becomes the upper one.
    """

    def bounds(level: float, growth: float, power: float) -> Bounds:
        lower, upper = (
            None if end is None else function(end) for end in estimate.bounds(level, growth, power)
        )
        return (upper, lower) if falling else (lower, upper)

    value = None if estimate.value is None else function(estimate.value)
    return replace(estimate, value=value, bounds=bounds)


def checked_level(confidence_level: float) -> float:
    """Return `confidence_level`, or raise `InputError` if it is no level of a one-sided bound."""
    try:
        inside = 0.5 < confidence_level < 1
    except TypeError:
        inside = False
    if not inside:
        raise InputError(
            f"confidence_level must lie between 0.5 and 1, got {confidence_level!r}", hint="0.95 is usual"
        )
    return confidence_level


def normal_quantile(probability: float) -> float:
    """Return the standard normal quantile."""
    return _NORMAL.inv_cdf(probability)


def with_power(confidence_level: float, power: float) -> float:
    """Return the level whose bound around the true value is the `confidence_level` bound met with `power`.

    Normal approximation: the quantiles add up.
    """
    return _NORMAL.cdf(_NORMAL.inv_cdf(confidence_level) + _NORMAL.inv_cdf(power))


def decided(bounds: Bounds, limit: float, *, at_least: bool) -> bool:
    """Say whether the bounds prove the limit kept or broken."""
    lower, upper = bounds
    if at_least:
        return (lower is not None and lower >= limit) or (upper is not None and upper < limit)
    return (upper is not None and upper <= limit) or (lower is not None and lower > limit)


def p_value(estimate: Estimate, limit: float, *, at_least: bool) -> float | None:
    """Return the smallest error rate at which the data prove the limit broken.

    The bounds turned round: the p-value of the hypothesis that the limit is kept, for families of alarms.
    Not below 1e-9; 1 where the value itself keeps the limit or has no bound on that side; None without a
    value.
    """
    if estimate.value is None:
        return None

    def broken(alpha: float) -> bool:
        lower, upper = estimate.bounds(1 - alpha, 1.0, 0.5)
        return (upper is not None and upper < limit) if at_least else (lower is not None and lower > limit)

    low, high = _LEAST_P_VALUE, 0.5 - 1e-6
    if not broken(high):
        return 1.0
    if broken(low):
        return low
    while high / low > 1.0001:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if broken(middle) else (middle, high)
    return high


def growth_to_decide(
    estimate: Estimate, limit: float, *, at_least: bool, confidence_level: float, power: float = POWER
) -> float | None:
    """Return how many times as much data would decide, if the observed value is the true one.

    None when there is no value, or when it lies so near to the limit that no reasonable amount (1e7 times
    as much) decides.
    """
    if estimate.value is None:
        return None

    def decides(growth: float) -> bool:
        return decided(estimate.bounds(confidence_level, growth, power), limit, at_least=at_least)

    return smallest(decides)


def smallest(decides: Callable[[float], bool]) -> float | None:
    """Return the smallest growth (to 0.1 %) from which `decides` holds, None beyond 1e7."""
    high = 1.0
    while not decides(high):
        high *= 2
        if high > _MOST_GROWTH:
            return None
    low = high / 2
    while low > _MOST_GROWTH**-1 and decides(low):
        low, high = low / 2, low
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high
