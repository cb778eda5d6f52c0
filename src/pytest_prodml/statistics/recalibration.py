"""What is wrong with probabilities, in numbers to act on: slope, intercept, parts of the Brier score.

Slope and intercept are those of the logistic regression of the outcome on the logit of the prediction (Cox
1958): a slope below 1 means predictions that are too extreme, a positive intercept ones that are too low.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.statistics.design import Design, adjusted, share_of_weight
from pytest_prodml.statistics.estimate import Bounds, Estimate, normal_quantile, not_estimable
from pytest_prodml.statistics.reliability import Binned
from pytest_prodml.statistics.sufficient import weighted_counts

Array: TypeAlias = npt.NDArray[np.float64]

#: Predictions are moved this far away from 0 and 1, whose logits are infinite.
CLIP = 1e-9
#: Information on the intercept, sum p (1 - p), below which there are no bounds.
LEAST_INFORMATION = 10.0
_CELLS = 4096
_FARTHEST = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """Rows with (nearly) the same logit: logit, weight and weighted positives of each cell."""

    logit: Array
    total: Array
    positive: Array

    def deviance(self, eta: Array) -> float:
        """Return minus the log-likelihood of log odds `eta`."""
        return float((self.total * np.logaddexp(0.0, eta) - self.positive * eta).sum())


def _logit(probability: Array) -> Array:
    inside = np.clip(probability, CLIP, 1 - CLIP)
    return np.log(inside) - np.log1p(-inside)


def _cells(probability: Array, outcome: Array, weight: Array) -> _Cells:
    logit = _logit(probability)
    distinct, codes = np.unique(logit, return_inverse=True)
    if distinct.size > _CELLS:
        rank = np.empty(logit.size, dtype=np.intp)
        rank[np.argsort(logit, kind="stable")] = np.arange(logit.size)
        codes = rank * _CELLS // logit.size
    total = weighted_counts(codes, weight)
    return _Cells(
        logit=weighted_counts(codes, weight * logit) / total,
        total=total,
        positive=weighted_counts(codes, weight * outcome),
    )


def _sigmoid(eta: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0.0, -eta)))


def _intercept(cells: _Cells, slope: float) -> float:
    """Return the intercept of the largest likelihood for a given slope, by safeguarded Newton steps."""
    offset = slope * cells.logit
    positives = float(cells.positive.sum())
    low, high = -_FARTHEST - float(np.max(offset)), _FARTHEST - float(np.min(offset))
    value = 0.0
    for _ in range(200):
        rate = _sigmoid(offset + value)
        surplus = float((cells.total * rate).sum()) - positives
        low, high = (low, value) if surplus > 0 else (value, high)
        curvature = float((cells.total * rate * (1 - rate)).sum())
        step = value - surplus / curvature if curvature > 0 else math.nan
        new = step if low < step < high else (low + high) / 2
        if abs(new - value) < 1e-12 * (1 + abs(value)):
            return new
        value = new
    return value


def _profile(cells: _Cells, slope: float) -> float:
    return cells.deviance(_intercept(cells, slope) + slope * cells.logit)


def _slope(cells: _Cells) -> float | None:
    """Return the slope of the largest likelihood; None where predictions separate the outcomes."""
    b = 1.0
    for _ in range(100):
        a = _intercept(cells, b)
        rate = _sigmoid(a + b * cells.logit)
        noise = cells.total * rate * (1 - rate)
        mass = float(noise.sum())
        center = float((noise * cells.logit).sum()) / mass if mass > 0 else 0.0
        information = float((noise * (cells.logit - center) ** 2).sum())
        score = float(((cells.positive - cells.total * rate) * (cells.logit - center)).sum())
        if information <= 1e-12 or abs(b) > _FARTHEST:
            return None
        step = score / information
        current = _profile(cells, b)
        while _profile(cells, b + step) > current + 1e-12 * (1 + abs(current)) and abs(step) > 1e-14:
            step /= 2
        b += step
        if abs(step) < 1e-10 * (1 + abs(b)):
            return b
    return None


def _missing(outcome: Array) -> str | None:
    if outcome.size == 0:
        return "there are no rows"
    if np.min(outcome) == np.max(outcome):
        return "all rows have the same outcome"
    return None


def calibration_slope(probability: Array, outcome: Array, design: Design) -> Estimate:
    """Estimate the calibration slope: b in logit P(y = 1) = a + b logit(p), both fitted.

    Parameters
    ----------
    probability, outcome : array of float, shape (n,)
        Predictions in [0, 1], moved inside by 1e-9, and 0 or 1.
    design : Design
        Weights and clusters, which enter through the influence of each row.

    Notes
    -----
    Bounds by profile likelihood; they are widened by the ratio of the robust (sandwich) variance to the
    model's, where that is above 1, because the true curve need not be a straight line on the logit scale.
    The fit exaggerates in small samples, so a bound on the side of the first-order bias (Cordeiro, McCullagh
    1991) is moved out by it. Rows with less than sum p (1 - p) = 10 of information, or predictions that
    separate the outcomes, have no bounds.
    """
    method = "profile likelihood"
    told = _missing(outcome)
    if told is not None:
        return not_estimable(method, told)
    weight = share_of_weight(design, outcome.size)
    used = weight > 0
    cells = _cells(probability[used], outcome[used], weight[used])
    if cells.logit.size < 2:
        return not_estimable(method, "all predictions are the same")
    slope = _slope(cells)
    if slope is None:
        return not_estimable(method, "the predictions separate the outcomes, so no slope fits best")
    intercept, logit = _intercept(cells, slope), _logit(probability)
    rate = _sigmoid(intercept + slope * logit)
    noise = weight * rate * (1 - rate)
    center = float((noise * logit).sum() / noise.sum())
    information = float((noise * (logit - center) ** 2).sum())
    influence = (outcome - rate) * (logit - center) * outcome.size / information
    leverage = 1 / float(noise.sum()) + (logit - center) ** 2 / information
    bias = float((noise * leverage * (rate - 0.5) * (logit - center)).sum()) / information
    spread = _spread(influence, weight, information)
    simple = _likelihood(
        slope,
        lambda b: _profile(cells, b),
        error=math.sqrt(spread / information),
        spread=spread,
        bias=bias,
        mass=float(noise.sum()),
    )
    return adjusted(simple, influence, design)


def calibration_intercept(probability: Array, outcome: Array, design: Design) -> Estimate:
    """Estimate calibration in the large: a in logit P(y = 1) = a + logit(p), the slope kept at 1.

    Above 0 where the outcome is more frequent than predicted. Parameters and method are those of
    `calibration_slope`.
    """
    method = "profile likelihood"
    told = _missing(outcome)
    if told is not None:
        return not_estimable(method, told)
    weight = share_of_weight(design, outcome.size)
    used = weight > 0
    cells = _cells(probability[used], outcome[used], weight[used])
    value = _intercept(cells, 1.0)
    rate = _sigmoid(value + _logit(probability))
    information = float((weight * rate * (1 - rate)).sum())
    influence = (outcome - rate) * outcome.size / information
    spread = _spread(influence, weight, information)
    spread = _spread(influence, weight, information)
    simple = _likelihood(
        value,
        lambda a: cells.deviance(a + cells.logit),
        error=math.sqrt(spread / information),
        spread=spread,
        bias=float((weight * rate * (1 - rate) * (rate - 0.5)).sum()) / information**2,
        mass=information,
    )
    return adjusted(simple, influence, design)


def _spread(influence: Array, weight: Array, information: float) -> float:
    """Return the robust variance over the model's, at least 1."""
    robust = float((weight * influence**2).sum()) / influence.size**2
    return max(robust * information, 1.0)


def _likelihood(
    value: float,
    deviance: Callable[[float], float],
    *,
    error: float,
    spread: float,
    bias: float,
    mass: float,
) -> Estimate:
    """Turn a convex profile of the likelihood into an estimate."""
    best = deviance(value)

    def end(z: float, growth: float, side: int) -> float | None:
        threshold = z * z / 2 * spread / growth
        near, far = value, value + side * max(z * error / math.sqrt(growth), 1e-9)
        while deviance(far) - best < threshold:
            near, far = far, 2 * far - value
            if abs(far - value) > _FARTHEST * _FARTHEST:
                return None
        for _ in range(60):
            middle = (near + far) / 2
            near, far = (middle, far) if deviance(middle) - best < threshold else (near, middle)
            if abs(far - near) < 1e-9 * (1 + abs(far)):
                break
        return far

    def bounds(level: float, growth: float, power: float) -> Bounds:
        if mass * growth < LEAST_INFORMATION:
            return None, None
        z = normal_quantile(level) + normal_quantile(power)
        lower, upper = end(z, growth, -1), end(z, growth, 1)
        return (
            None if lower is None else lower - max(bias, 0.0) / growth,
            None if upper is None else upper - min(bias, 0.0) / growth,
        )

    few = f"the information, sum p (1 - p), is below {LEAST_INFORMATION:.0f}: too little for bounds"
    return Estimate(
        value=value,
        method="profile likelihood",
        bounds=bounds,
        note=few if mass < LEAST_INFORMATION else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BrierParts:
    """brier_score_loss = reliability - resolution + uncertainty + within_bins.

    `reliability` (smaller is better) and `resolution` (larger is better) are debiased; `within_bins` is what
    binning leaves over: spread of predictions inside bins, less what of it goes with the outcome.
    """

    brier_score_loss: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float


def brier_parts(binned: Binned) -> BrierParts | None:
    """Decompose the Brier score over the bins (Murphy 1973; Stephenson, Coelho, Jolliffe 2008).

    Reliability and resolution are both too large by the noise of the bins' rates, and resolution and
    uncertainty too small by that of the overall rate; this is taken out (Bröcker 2012), so a part may be
    slightly negative. None without rows.
    """
    n = binned.outcome.size
    if n == 0:
        return None
    outcome, probability, weight = binned.outcome, binned.probability, binned.weight
    share, rows = binned.share, np.bincount(binned.codes, minlength=binned.n_bins)
    observed, predicted = binned.mean(outcome), binned.mean(probability)
    rate = float((weight * outcome).mean())
    total = binned.total(np.ones(n))
    squares = np.bincount(binned.codes, weights=weight**2, minlength=binned.n_bins) / total**2
    noise = observed * (1 - observed) * squares * rows / np.maximum(rows - 1, 1)
    overall = rate * (1 - rate) * float((weight**2).sum()) / n**2 * n / max(n - 1, 1)
    bias = float((share * noise).sum())
    within = binned.mean((probability - predicted[binned.codes]) ** 2) - 2 * binned.mean(
        (probability - predicted[binned.codes]) * (outcome - observed[binned.codes])
    )
    return BrierParts(
        brier_score_loss=float((weight * (outcome - probability) ** 2).mean()),
        reliability=float((share * (predicted - observed) ** 2).sum()) - bias,
        resolution=float((share * (observed - rate) ** 2).sum()) - bias + overall,
        uncertainty=rate * (1 - rate) + overall,
        within_bins=float((share * within).sum()),
    )


def spiegelhalter_z(probability: Array, outcome: Array) -> float | None:
    """Return Spiegelhalter's (1986) z: how far the Brier score is from what the predictions expect.

    Standard normal for a perfectly calibrated model and independent rows. None where the predictions leave no
    room for chance (all 0, .5 or 1).
    """
    steepness = 1 - 2 * probability
    variance = float((steepness**2 * probability * (1 - probability)).sum())
    if variance <= 0:
        return None
    return float(((outcome - probability) * steepness).sum()) / math.sqrt(variance)
