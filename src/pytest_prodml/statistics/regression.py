"""Errors of predicted numbers: truth and prediction of each row in, estimates out.

Means are those of `losses.mean_loss`; quantiles of errors have distribution-free bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.errors import InputError
from pytest_prodml.statistics import binomial
from pytest_prodml.statistics.design import Design, adjusted, share_of_weight
from pytest_prodml.statistics.estimate import (
    Bounds,
    Estimate,
    mapped,
    normal_quantile,
    not_estimable,
    with_power,
)
from pytest_prodml.statistics.losses import mean_loss, skill

Array: TypeAlias = npt.NDArray[np.float64]
#: Rows above which the normal approximation of the binomial is exact enough, and sums would take seconds.
_MOST_EXACT = 200_000
#: The loss of each row.
Loss: TypeAlias = Callable[[Array, Array], Array]


def absolute_error(truth: Array, predicted: Array) -> Array:
    """Return |truth - predicted|."""
    return np.abs(truth - predicted)


def squared_error(truth: Array, predicted: Array) -> Array:
    """Return (truth - predicted)^2."""
    with np.errstate(over="ignore"):
        return np.asarray((truth - predicted) ** 2, dtype=np.float64)


def absolute_percentage_error(truth: Array, predicted: Array) -> Array:
    """Return |truth - predicted| / |truth|; a truth of 0 has none."""
    zeros = int(np.count_nonzero(truth == 0))
    if zeros:
        raise InputError(
            f"y_true is 0 in {zeros:,} of {truth.size:,} rows, where a percentage error is undefined",
            hint="mean_absolute_error or mean_pinball_loss has a value everywhere",
        )
    with np.errstate(over="ignore"):
        return np.abs(truth - predicted) / np.abs(truth)


def squared_log_error(truth: Array, predicted: Array) -> Array:
    """Return (log(1 + truth) - log(1 + predicted))^2."""
    _need(truth, "y_true", truth > -1, "greater than -1")
    _need(predicted, "y_pred", predicted > -1, "greater than -1")
    return np.asarray((np.log1p(truth) - np.log1p(predicted)) ** 2, dtype=np.float64)


def poisson_deviance(truth: Array, predicted: Array) -> Array:
    """Return twice the log likelihood ratio of a Poisson distribution."""
    _need(truth, "y_true", truth >= 0, "at least 0")
    _need(predicted, "y_pred", predicted > 0, "greater than 0")
    xlogy = require("scipy.special", extra="performance").xlogy
    with np.errstate(all="ignore"):
        return np.asarray(2 * (xlogy(truth, truth / predicted) - truth + predicted), dtype=np.float64)


def gamma_deviance(truth: Array, predicted: Array) -> Array:
    """Return twice the log likelihood ratio of a gamma distribution."""
    _need(truth, "y_true", truth > 0, "greater than 0")
    _need(predicted, "y_pred", predicted > 0, "greater than 0")
    with np.errstate(all="ignore"):
        return np.asarray(2 * (np.log(predicted / truth) + truth / predicted - 1), dtype=np.float64)


def _need(values: Array, name: str, kept: npt.NDArray[np.bool_], told: str) -> None:
    bad = int(np.count_nonzero(~kept))
    if bad:
        raise InputError(
            f"{name} must be {told} for this metric, it is not in {bad:,} of {values.size:,} rows"
        )


#: Losses whose mean is a metric, by scikit-learn's name of it.
LOSSES: Mapping[str, Loss] = {
    "mean_absolute_error": absolute_error,
    "mean_absolute_percentage_error": absolute_percentage_error,
    "mean_gamma_deviance": gamma_deviance,
    "mean_poisson_deviance": poisson_deviance,
    "mean_squared_error": squared_error,
    "mean_squared_log_error": squared_log_error,
}


def root(estimate: Estimate) -> Estimate:
    """Return the square root of a mean of squares."""
    return mapped(estimate, lambda mean: math.sqrt(max(mean, 0.0)))


def mean_error(truth: Array, predicted: Array, design: Design) -> Estimate:
    """Estimate the bias, the mean of predicted - truth; positive where the model overestimates."""
    return mean_loss(predicted - truth, design)


def r2(truth: Array, predicted: Array, design: Design) -> Estimate:
    """Estimate the coefficient of determination, 1 - sum (y - f)^2 / sum (y - mean y)^2."""
    return skill(
        squared_error(truth, predicted),
        squared_error(truth, np.full_like(truth, _mean(truth, design))),
        design,
        of_reference="the truth is the same number in every row",
    )


def explained_variance(truth: Array, predicted: Array, design: Design) -> Estimate:
    """Estimate 1 - variance(y - f) / variance(y): R^2 of predictions without bias."""
    errors = truth - predicted
    return skill(
        (errors - _mean(errors, design)) ** 2,
        (truth - _mean(truth, design)) ** 2,
        design,
        of_reference="the truth is the same number in every row",
    )


def d2_absolute_error(truth: Array, predicted: Array, design: Design) -> Estimate:
    """Estimate 1 - sum |y - f| / sum |y - median y|."""
    weights = share_of_weight(design, truth.size)
    median = weighted_quantile(np.sort(truth), weights[np.argsort(truth)], 0.5) if truth.size else 0.0
    return skill(
        absolute_error(truth, predicted),
        np.abs(truth - median),
        design,
        of_reference="the truth is the same number in every row",
    )


def _mean(values: Array, design: Design) -> float:
    return float(np.average(values, weights=design.weights)) if values.size else 0.0


def weighted_quantile(ordered: Array, weights: Array, p: float) -> float:
    """Return the least value up to which a share p of the weight lies; of equal weights interpolated."""
    if np.ptp(weights) == 0:
        return float(np.quantile(ordered, p))
    place = int(np.searchsorted(np.cumsum(weights), p * float(weights.sum())))
    return float(ordered[min(place, ordered.size - 1)])


def quantile_of(values: Array, p: float, design: Design) -> Estimate:
    """Estimate the p-quantile with distribution-free bounds; see `quantiles.quantile_bounds`.

    With weights the bounds are those of the ranks scaled to the rows' weights, and the design effect is that
    of the share of rows above the quantile.
    """
    method = "order statistics"
    if values.size == 0:
        return not_estimable(method, "there are no rows")
    weights = share_of_weight(design, values.size)
    order = np.argsort(values)
    ordered, total = values[order], np.cumsum(weights[order])
    value = weighted_quantile(ordered, weights[order], p)
    n = float(values.size)

    def bounds(level: float, growth: float, power: float) -> Bounds:
        independent, alpha = math.floor(n * growth + 1e-9), 1 - with_power(level, power)
        if independent < 1:
            return None, None
        tolerated, alarming = _critical(independent, 1 - p, alpha)
        upper = lower = None
        if tolerated >= 0:
            upper = max(_with_above(ordered, total, math.floor(n * tolerated / independent + 1e-9)), value)
        if alarming <= independent:
            above = math.ceil(n * alarming / independent - 1e-9)
            lower = min(_with_above(ordered, total, above - 1), value)
        return lower, upper

    note = None
    if bounds(0.95, 1.0, 0.5)[1] is None:
        note = (
            f"{values.size:,} rows hold too few beyond the {100 * p:g} % quantile for an upper bound at 95 %"
        )
    estimate = Estimate(value=value, method=method, bounds=bounds, note=note)
    return adjusted(estimate, (values > value).astype(np.float64) - (1 - p), design)


def _critical(n: int, p: float, alpha: float) -> tuple[int, int]:
    """Return the most exceedances that prove a quantile kept, and the least that prove it broken."""
    if n <= _MOST_EXACT:
        return binomial.most_tolerated(n, p, alpha), binomial.least_alarming(n, p, alpha)
    half = -normal_quantile(alpha) * math.sqrt(n * p * (1 - p)) + 1
    return math.floor(n * p - half), math.ceil(n * p + half)


def _with_above(ordered: Array, total: Array, weight: float) -> float:
    """Return the least value beyond which at most `weight` lies."""
    place = int(np.searchsorted(total, float(total[-1]) - weight - 1e-9))
    return float(ordered[min(place, ordered.size - 1)])


def max_error(truth: Array, predicted: Array) -> Estimate:
    """Return the largest error seen, a lower bound of the largest possible one; it has no upper bound."""
    method = "largest of the rows"
    if truth.size == 0:
        return not_estimable(method, "there are no rows")
    largest = float(np.max(absolute_error(truth, predicted)))
    return Estimate(
        value=largest,
        method=method,
        bounds=lambda *_: (largest, None),
        note="no number of rows bounds the largest error from above; gate a quantile: absolute_error_p99",
    )
