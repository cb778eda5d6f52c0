"""A few repeated values -> bounds of their standard deviation, and of a value that nearly all keep."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.estimate import Bounds, Estimate, not_estimable, with_power

_ONE = "one value has no spread"
_MOST_FACTOR = 1e12


def standard_deviation(values: npt.ArrayLike) -> Estimate:
    """Estimate a standard deviation with the bounds of the chi-squared distribution.

    For values that are about normal; with heavier tails the bounds are too narrow. Few values have wide
    bounds: the upper one at 95 % is 2.4 times the value with five of them, and 1.4 times with twenty.
    """
    array = _finite(values)
    method = "chi-squared"
    if array.size < 2:
        return not_estimable(method, _ONE if array.size else "there are no values")
    value = float(np.std(array, ddof=1))

    def bounds(level: float, growth: float, power: float) -> Bounds:
        chdtri = require("scipy.special", extra="performance").chdtri
        degrees = max(array.size * growth - 1, 1.0)
        alpha = 1 - with_power(level, power)
        return (
            value * math.sqrt(degrees / float(chdtri(degrees, alpha))),
            value * math.sqrt(degrees / max(float(chdtri(degrees, 1 - alpha)), 1 / _MOST_FACTOR)),
        )

    return Estimate(value=value, method=method, bounds=bounds)


def tolerance_factor(n: int, content: float, confidence_level: float) -> float:
    """Return k so that a share `content` of a normal population lies above mean - k s, with the confidence.

    The exact one-sided factor, a quantile of the noncentral t distribution divided by sqrt(n) (Lieberman
    1958; table 1 of Odeh, Owen 1980).
    """
    if n < 2 or not 0 < content < 1 or not 0 < confidence_level < 1:
        raise InputError("a tolerance factor needs two values at least, and shares between 0 and 1")
    special = require("scipy.special", extra="performance")
    shift = float(special.ndtri(content)) * math.sqrt(n)
    return float(special.nctdtrit(n - 1, shift, confidence_level)) / math.sqrt(n)


def nearly_all(values: npt.ArrayLike, *, content: float, from_below: bool) -> Estimate:
    """Estimate the value that a share `content` of all repeats keeps, with normal tolerance limits.

    Parameters
    ----------
    values : array-like of float
        Values of independent repeats, about normal.
    content : float
        Above one half.
    from_below : bool
        The value that the share lies above (a floor); otherwise the one that it lies below.

    Returns
    -------
    Estimate
        The normal quantile, mean -/+ z s. Its bounds are those of the quantile: with the confidence, a share
        `content` of repeats lies beyond the outer one, a tolerance limit.
    """
    array = _finite(values)
    method = "normal tolerance limit"
    if not 0.5 < content < 1:
        raise InputError(f"the share must lie between one half and 1, got {content!r}", where="content")
    if array.size < 2:
        return not_estimable(method, _ONE if array.size else "there are no values")
    center, spread = float(np.mean(array)), float(np.std(array, ddof=1))
    z = float(require("scipy.special", extra="performance").ndtri(content))
    side = -1 if from_below else 1

    def bounds(level: float, growth: float, power: float) -> Bounds:
        probability = with_power(level, power)
        n = max(round(array.size * growth), 2)
        outer = center + side * tolerance_factor(n, content, probability) * spread
        inner = center + side * tolerance_factor(n, content, 1 - probability) * spread
        return min(outer, inner), max(outer, inner)

    return Estimate(value=center + side * z * spread, method=method, bounds=bounds)


def order_statistic_level(n: int, content: float) -> float:
    """Return the confidence with which a share `content` of repeats is not worse than the worst of n."""
    return 1 - content**n


def _finite(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise InputError("repeated values must be finite numbers, one for each repeat")
    return array
