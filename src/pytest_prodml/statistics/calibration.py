"""Calibration of probabilities: bins of predictions and outcomes in, calibration error with bounds out.

The plain expected calibration error is biased upwards: noise never cancels in a sum of absolute values, so a
perfect model of 200 rows shows .09. Here the noise that the rows must show is taken out of the value and of
both bounds; see `expected_calibration_error`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.statistics.design import adjusted
from pytest_prodml.statistics.estimate import Bounds, Estimate, normal_quantile, not_estimable, with_power
from pytest_prodml.statistics.intervals import bounded_mean
from pytest_prodml.statistics.reliability import Binned
from pytest_prodml.statistics.sufficient import weighted_counts

Array: TypeAlias = npt.NDArray[np.float64]

#: Rows' worth of surprise, sum (y - p)^2, below which only the cruder upper bound is given.
LEAST_SURPRISES = 10.0
#: Clusters below which there are no bounds.
LEAST_CLUSTERS = 10
_LEAST_CARRYING = 4.0
_HALF_NORMAL = math.sqrt(2 / math.pi)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Noise:
    """What chance adds to the gaps of the bins, each gap times its bin's share.

    `total` is the sum of their standard errors, `linear` and `squared` are the sums of the absolute
    covariances and of the squared correlations times standard errors, `skew` is the third cumulant over the
    variance, and `degrees` are the variance's degrees of freedom (infinite for a simple design).
    """

    total: float
    linear: float
    squared: float
    skew: float
    degrees: float


def expected_calibration_error(binned: Binned) -> Estimate:
    """Estimate the expected calibration error, sum share_k |observed_k - predicted_k|, over the bins.

    With g_k the true gap of a bin and s_k the standard error of the observed one, d_k, the sum S of the
    |d_k| grows with noise by an amount that depends on the unknown gaps. Both bounds take the worst case:

    - upper: S is smallest for a given true error where g_k is proportional to s_k, because the mean of
      abs(g + s Z) is convex in g and its slope depends on g / s alone. The bound is the largest such error
      for which S is not in the lowest alpha of its (normal) distribution.
    - lower: S <= sum |g_k| + N with N the S of a perfect model, so the bound is S less the 1 - alpha quantile
      of N (gamma with N's mean and variance).

    The value is the error for which S is what is expected under the first of these, 0 where S is no larger
    than a perfect model's. The upper bound never falls below what a perfect model of as many rows reaches on
    average (a power constraint: Cowan, Cranmer, Gross, Vitells 2011), so luck proves nothing. Both bounds are
    moved by the skewness of the rows' errors (Johnson 1978), which matters where outcomes are rare.

    Binning hides errors that cancel inside a bin: the claim is about these bins.

    Where rows' worth of surprise, sum (y - p)^2, is below 10 the upper bound is that of the mean |y - p|,
    which is never smaller than the calibration error; it decides for models that are nearly always right.
    """
    method = "noise-corrected sum of absolute gaps"
    if binned.outcome.size == 0:
        return not_estimable(method, "there are no rows")
    residual = binned.outcome - binned.probability
    gaps = binned.total(residual) / binned.outcome.size
    noise = _noise(binned, residual, gaps)
    plain = float(np.abs(gaps).sum())
    value = _solve(plain, noise, 1.0, 0.0)
    squares = binned.weight * residual**2
    surprises = float(squares.sum()) ** 2 / max(float((squares * binned.weight).sum()), 1e-300)
    crude = _absolute_error(binned, residual)
    few = binned.design.clusters is not None and np.unique(binned.design.clusters).size < LEAST_CLUSTERS

    def bounds(level: float, growth: float, power: float) -> Bounds:
        if few:
            return None, None
        if surprises * growth < LEAST_SURPRISES:
            return 0.0, crude.bounds(level, growth, power)[1]
        probability = with_power(level, power)
        z = normal_quantile(probability)
        ratio = 1.0
        if math.isfinite(noise.degrees):
            special = require("scipy.special", extra="performance")
            student = float(special.stdtrit(max(noise.degrees * growth, 1.0), probability))
            ratio = student / z if z else 1.0
        target = _expected(value, noise, growth)
        skew = (2 * z * z + 1) / 6 * noise.skew / growth
        upper = _solve(target + skew, noise, growth, z * ratio)
        lower = target - _chance_quantile(noise, growth, probability, ratio) - skew
        return max(lower, 0.0), min(max(upper, value), 1.0)

    notes = []
    if few:
        notes.append(f"fewer than {LEAST_CLUSTERS} clusters are too few for bounds that keep their level")
    elif surprises < LEAST_SURPRISES:
        method = f"{crude.method} on |y - p|"
        notes.append("outcomes surprise too rarely to tell the error from the mean of |y - p|, its upper end")
    if math.isfinite(noise.degrees) and not few:
        notes.append(f"variance with {noise.degrees:,.0f} degrees of freedom")
    return Estimate(value=value, method=method, bounds=bounds, note="; ".join(notes) or None)


def _absolute_error(binned: Binned, residual: Array) -> Estimate:
    size = np.abs(residual)
    simple = bounded_mean(size, None if binned.design.weights is None else binned.weight)
    return adjusted(simple, size - float((size * binned.weight).mean()), binned.design)


def _noise(binned: Binned, residual: Array, gaps: Array) -> _Noise:
    n, size = residual.size, binned.n_bins
    rows = np.bincount(binned.codes, minlength=size).astype(np.float64)
    parts = binned.weight * (residual - (gaps * n / binned.total(np.ones(n)))[binned.codes]) / n
    model = binned.weight**2 * binned.probability * (1 - binned.probability) / n**2
    seen = np.bincount(binned.codes, weights=parts**2, minlength=size) * rows / np.maximum(rows - 1, 1)
    # Two rows' worth of the variance that the model itself claims: a bin without a single surprise is not
    # free of noise.
    variance = (seen * rows + 2 * np.bincount(binned.codes, weights=model, minlength=size)) / (rows + 2)
    signs = np.where(gaps < 0, -1.0, 1.0)
    clusters = binned.design.clusters
    if clusters is None:
        third = np.bincount(binned.codes, weights=parts**3, minlength=size)
        covariance: npt.NDArray[np.float64] = np.diag(variance)
        sums = parts * signs[binned.codes]
        used = n
    else:
        _, codes = np.unique(clusters, return_inverse=True)
        used = int(np.max(codes)) + 1
        flat = weighted_counts(codes * size + binned.codes, parts, used * size)
        table = flat.reshape(used, size)
        covariance = used / max(used - 1, 1) * (table.T @ table)
        np.fill_diagonal(covariance, np.maximum(np.diag(covariance), variance))
        third = (table**3).sum(axis=0)
        sums = table @ signs
    if not binned.design.is_simple:
        # Uneven weights leave few rows that carry the variance of a bin, which is then seen too small.
        fourth = np.bincount(binned.codes, weights=parts**4, minlength=size)
        squares = np.bincount(binned.codes, weights=parts**2, minlength=size)
        carrying = np.divide(squares**2, fourth, out=np.full(size, _LEAST_CARRYING), where=fourth > 0)
        carrying = np.maximum(carrying, _LEAST_CARRYING)
        growth = np.sqrt(carrying / (carrying - 2))
        covariance = covariance * np.outer(growth, growth)
    errors = np.sqrt(np.diag(covariance))
    products = np.outer(errors, errors)
    squared = np.divide(covariance**2, products, out=np.zeros_like(products), where=products > 0)
    linear = float(np.abs(covariance).sum())
    degrees = math.inf
    if not binned.design.is_simple:
        quartic = float((sums**4).sum())
        effective = float((sums**2).sum()) ** 2 / quartic if quartic > 0 else 1.0
        degrees = max(min(effective, used - 1.0), 1.0)
    return _Noise(
        total=float(errors.sum()),
        linear=linear,
        squared=float(squared.sum()),
        skew=float(np.abs(third).sum()) / linear if linear > 0 else 0.0,
        degrees=degrees,
    )


def _folded(c: float) -> tuple[float, float, float]:
    """Return mean and slope of the mean of |c + Z| in c, and its variance."""
    slope = math.erf(c / math.sqrt(2))
    mean = c * slope + 2 * math.exp(-c * c / 2) / math.sqrt(2 * math.pi)
    return mean, slope, max(1 + c * c - mean * mean, 0.0)


def _expected(error: float, noise: _Noise, growth: float) -> float:
    """Return the S to expect where every gap is the same multiple of its standard error."""
    total = noise.total / math.sqrt(growth)
    return total * _folded(error / total)[0] if total > 0 else error


def _solve(target: float, noise: _Noise, growth: float, z: float) -> float:
    """Return the error for which S stays below `target` with the probability of -z."""
    total = noise.total / math.sqrt(growth)
    if total == 0:
        return target

    def reached(c: float) -> float:
        mean, slope, variance = _folded(c)
        # cov |c + X|, |c + Y| = slope^2 rho + terms in rho^2 and above (Hermite expansion).
        spread = slope**2 * noise.linear + max(variance - slope**2, 0.0) * noise.squared
        return total * mean - z * math.sqrt(spread / growth)

    low = 0.0
    high = (target + z * math.sqrt(noise.linear / growth)) / total + 10.0
    if reached(low) >= target:
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) >= target else (middle, high)
    return high * total


def _chance_quantile(noise: _Noise, growth: float, probability: float, ratio: float) -> float:
    """Return the quantile of S for a perfect model."""
    mean = _HALF_NORMAL * noise.total / math.sqrt(growth)
    variance = (1 - 2 / math.pi) * noise.squared / growth
    if mean == 0 or variance == 0:
        return 0.0
    special = require("scipy.special", extra="performance")
    quantile = float(special.gammaincinv(mean**2 / variance, probability)) * variance / mean
    return mean + (quantile - mean) * ratio
