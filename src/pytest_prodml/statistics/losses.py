"""Means of losses and ratios of them: a loss for each row in, estimates out.

Losses have long tails. Student's t misses a too large mean up to 19 % of the time where it claims 5 %, and
nothing computed from the rows alone can know of a rare large loss that none of them shows. So there are two
ways. Losses of probabilities have a worst case that the model itself names, and Gaffke's bounds use it. For
all others the bounds are moved towards the long tail, twice as far as the second-order theory asks, and by
two more rows as far out as the furthest; there are none where a few rows carry the variance. Measured
(docs/explanation/coverage.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.design import Design, adjusted, share_of_weight
from pytest_prodml.statistics.estimate import Bounds, Estimate, mapped, not_estimable, with_power
from pytest_prodml.statistics.intervals import bounded_mean

Array: TypeAlias = npt.NDArray[np.float64]

#: Rows below which means of losses without a worst case have no bounds.
LEAST_ROWS = 50
#: Equally important rows that have to carry the variance.
LEAST_CARRYING = 5.0
#: Rows as far out as the furthest that the sample may have missed: with one the bounds still miss up to 8 %
#: where 1 % of errors are ten times as large, with two 6 %.
_UNSEEN_ROWS = 2.0
_METHOD = "Student t, moved for skewness and unseen rows"
_POWERS = [(i, j) for i in range(5) for j in range(5 - i)]


def capped_mean(values: Array, cap: float, design: Design) -> Estimate:
    """Estimate the mean of values in [0, cap] with Gaffke's bounds; see `intervals.bounded_mean`."""
    if cap <= 0:
        cap = 1.0
    weights = None if design.weights is None else share_of_weight(design, values.size)
    share = np.minimum(values / cap, 1.0)
    estimate = bounded_mean(share, weights)
    if estimate.value is None:
        return estimate
    center = estimate.value
    return mapped(adjusted(estimate, share - center, design), lambda part: part * cap)


def log_losses(probabilities: Array, classes: npt.NDArray[np.intp]) -> tuple[Array, float]:
    """Return the log loss of each row, and the largest that any row could have had.

    Parameters
    ----------
    probabilities : array of float, shape (n, classes)
        Clipped to the smallest that is not lost beside 1, 2.2e-16, as in scikit-learn: a wrong answer of
        which the model was certain costs 36.
    classes : array of int, shape (n,)
    """
    eps = float(np.finfo(np.float64).eps)
    clipped = np.clip(probabilities, eps, 1 - eps)
    losses = -np.log(clipped[np.arange(classes.size), classes])
    worst = -math.log(float(np.min(clipped))) if clipped.size else 0.0
    return losses, worst


def brier_losses(probabilities: Array, classes: npt.NDArray[np.intp]) -> Array:
    """Return the sum over the classes of the squared errors of each row, between 0 and 2."""
    errors = probabilities.copy()
    errors[np.arange(classes.size), classes] -= 1
    return np.asarray((errors**2).sum(axis=1), dtype=np.float64)


def pinball_losses(truth: Array, predicted: Array, quantile: float) -> Array:
    """Return the pinball loss of each row (Koenker, Bassett 1978)."""
    gaps = truth - predicted
    return np.maximum(quantile * gaps, (quantile - 1) * gaps)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moments:
    """Means of products of powers of two columns, from which those of any combination follow.

    `least` and `most` are the furthest deviations from the mean at the value itself.
    """

    n: float
    means: dict[tuple[int, int], float]
    least: float
    most: float

    def combined(self, factor: float) -> tuple[float, float, float, float]:
        """Return mean, variance, third central moment and carrying rows of first - factor * second."""
        raw = [
            sum(math.comb(power, j) * (-factor) ** j * self.means[power - j, j] for j in range(power + 1))
            for power in range(1, 5)
        ]
        mean, second, third, fourth = raw
        variance = max(second - mean**2, 0.0)
        skew = third - 3 * mean * second + 2 * mean**3
        kurt = fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4
        # Differences of almost equal numbers; what is left of them may be noise.
        if variance <= 1e-12 * max(second, 1e-300) or kurt <= 0:
            return mean, 0.0, 0.0, 0.0
        return mean, variance * self.n / max(self.n - 1, 1.0), skew, self.n * variance**2 / kurt


def _moments(first: Array, second: Array, weights: Array | None, deviations: Array) -> _Moments:
    means = {(i, j): float(np.average(first**i * second**j, weights=weights)) for i, j in _POWERS}
    counted = deviations if weights is None else deviations[weights > 0]
    return _Moments(
        n=float(first.size), means=means, least=float(np.min(counted)), most=float(np.max(counted))
    )


def _bounds_of_mean(moments: _Moments, factor: float, level: float, growth: float) -> tuple[float, float]:
    """Return bounds of the mean of first - factor * second.

    Student's t with as many degrees of freedom as rows carry the variance, and twice the correction for
    skewness of second order, gamma (2 t^2 + 1) / (6 n) (Johnson 1978; Hall 1992), towards the long tail. Each
    bound allows for `_UNSEEN_ROWS` more rows as far out as the furthest on its side.
    """
    mean, variance, third, carrying = moments.combined(factor)
    if variance == 0:
        return mean, mean
    stdtrit = require("scipy.special", extra="performance").stdtrit
    rows = moments.n * growth
    quantile = float(stdtrit(max(min(carrying * growth, rows - 1), 1.0), level))
    half = quantile * math.sqrt(variance / rows)
    move = (2 * quantile**2 + 1) / 3 * third / (variance * rows)
    unseen = _UNSEEN_ROWS / rows
    return (
        mean - half + min(move, 0.0) + unseen * min(moments.least, 0.0),
        mean + half + max(move, 0.0) + unseen * max(moments.most, 0.0),
    )


def _too_few(n: float, carrying: float) -> str | None:
    if n < LEAST_ROWS:
        return f"fewer than {LEAST_ROWS} rows are too few for bounds of a loss without a worst case"
    if carrying < LEAST_CARRYING:
        return f"{carrying:.1f} rows' worth carry the variance, too few for bounds that keep their level"
    return None


def mean_loss(values: npt.ArrayLike, design: Design) -> Estimate:
    """Estimate a mean of losses without a worst case.

    Bounds as in `_bounds_of_mean`, with Student's quantile for the rows that carry the variance,
    (sum g^2)^2 / sum g^4. Measured one-sided errors at 95 % are at most 6.5 % from 50 rows on for normal,
    Laplace, Student-3 and log-normal errors, squares of normal, Laplace and Student-5 ones, and 1 % of errors
    ten times as large. Known to miss more: rarer or larger errors of which the rows hold few or none (2 % ten
    times as large, 100 rows: 9 %; 1 % thirty times as large, 100 rows: 35 %).
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return not_estimable(_METHOD, "there are no rows")
    if not np.isfinite(array).all():
        raise InputError("a loss is too large for a number")
    weights = None if design.weights is None else share_of_weight(design, array.size)
    value = float(np.average(array, weights=weights))
    centered = array - value
    scale = float(np.max(np.abs(centered)))
    if scale <= 1e-13 * abs(value):
        told = "the loss is the same in every row, which says nothing about other rows"
        return Estimate(value=value, method=_METHOD, bounds=lambda *_: (None, None), note=told)
    moments = _moments(centered / scale, np.zeros_like(array), weights, centered / scale)
    carrying = moments.combined(0.0)[3]

    def bounds(level: float, growth: float, power: float) -> Bounds:
        if _too_few(array.size * growth, carrying * growth) is not None:
            return None, None
        lower, upper = _bounds_of_mean(moments, 0.0, with_power(level, power), growth)
        return value + scale * lower, value + scale * upper

    estimate = Estimate(value=value, method=_METHOD, bounds=bounds, note=_too_few(array.size, carrying))
    return adjusted(estimate, centered, design)


def skill(losses: npt.ArrayLike, reference: npt.ArrayLike, design: Design, *, of_reference: str) -> Estimate:
    """Estimate 1 - (mean loss) / (mean loss of a constant answer): R^2 and its relatives.

    "At least s" says that the mean of loss - (1 - s) * reference is at most 0, so the bounds are those s at
    which the bounds of that mean (see `mean_loss`) cross 0 (Fieller 1954).

    Parameters
    ----------
    losses, reference : array-like of float, shape (n,)
        Losses of the model and of the best constant.
    design : Design
    of_reference : str
        Said where the constant has no loss: why there is no value.
    """
    method = f"{_METHOD}, inverted"
    first, second = np.asarray(losses, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if first.size == 0:
        return not_estimable(method, "there are no rows")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError("a loss is too large for a number")
    weights = None if design.weights is None else share_of_weight(design, first.size)
    scale = float(np.average(second, weights=weights))
    if scale <= 0:
        return not_estimable(method, of_reference)
    ratio = float(np.average(first, weights=weights)) / scale
    a, b = first / scale, second / scale
    influence = ratio * b - a
    if not influence.any():
        told = "the model has the same loss as the constant in every row"
        return Estimate(value=1 - ratio, method=method, bounds=lambda *_: (None, None), note=told)
    moments = _moments(a, b, weights, -influence)
    carrying = moments.combined(ratio)[3]

    def bounds(level: float, growth: float, power: float) -> Bounds:
        if _too_few(first.size * growth, carrying * growth) is not None:
            return None, None
        probability = with_power(level, power)

        def excluded(factor: float) -> bool:
            lower, upper = _bounds_of_mean(moments, factor, probability, growth)
            return upper <= 0 if factor > ratio else lower >= 0

        most = _crossing(excluded, ratio, _furthest(excluded, ratio))
        least = _crossing(excluded, ratio, 0.0) if excluded(0.0) else 0.0
        return None if most is None else 1 - most, 1 - (least or 0.0)

    note = _too_few(first.size, carrying)
    estimate = Estimate(value=1 - ratio, method=method, bounds=bounds, note=note)
    return adjusted(estimate, influence, design)


def _furthest(excluded: Callable[[float], bool], ratio: float) -> float | None:
    """Return a ratio above the value that is excluded, None if none is: the constant's loss may be 0."""
    step = max(ratio, 1e-3)
    for _ in range(40):
        if excluded(ratio + step):
            return ratio + step
        step *= 2
    return None


def _crossing(excluded: Callable[[float], bool], inside: float, outside: float | None) -> float | None:
    if outside is None:
        return None
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if excluded(middle) else (middle, outside)
    return outside
