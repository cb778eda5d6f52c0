"""Intervals for proportions, F scores, means of proportions and means: counts or values in, estimates out.

Counts may be fractions: those of weighted rows, scaled so that they sum to the number of rows (see `design`).

Which method serves which number was chosen by its measured one-sided coverage (docs/explanation/coverage.md),
worst case first: a bound that is sometimes too narrow certifies what it should not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.estimate import (
    Bounds,
    Estimate,
    mapped,
    normal_quantile,
    not_estimable,
    with_power,
)

_BINS = 1024
#: Sums of weights differ from their total by rounding errors.
_ROUNDING = 1e-9
_NODES = 200
_NOT_POSITIVE = "no row is positive or predicted to be"


def clopper_pearson(
    successes: npt.ArrayLike, trials: npt.ArrayLike, confidence_level: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return one-sided exact bounds for proportions, each at `confidence_level` (Clopper, Pearson 1934).

    Never below its level, whatever the proportion and the number of trials; conservative for few trials,
    because the counts are discrete. Fractional counts are accepted: for planning, and effective ones. No
    trials: 0 and 1.
    """
    special = require("scipy.special", extra="performance")
    k, n = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64))
    alpha = 1 - confidence_level
    with np.errstate(invalid="ignore"):
        lower = np.where(k > 0, special.betaincinv(np.where(k > 0, k, 1.0), n - k + 1, alpha), 0.0)
        upper = np.where(k < n, special.betaincinv(k + 1, np.where(k < n, n - k, 1.0), 1 - alpha), 1.0)
    return lower, upper


def wilson(
    successes: npt.ArrayLike, trials: npt.ArrayLike, confidence_level: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return one-sided score bounds for proportions, each at `confidence_level` (Wilson 1927).

    Narrower than the exact bounds and right on average; at its worst (a proportion near 0 or 1) the error
    is four times what the level says, so it is for showing and not for certifying.
    """
    n = np.asarray(trials, dtype=np.float64)
    z, share = normal_quantile(confidence_level), np.asarray(successes, dtype=np.float64) / n
    center = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return np.maximum(0.0, (center - half) / scale), np.minimum(1.0, (center + half) / scale)


def _check_counts(successes: float, trials: float) -> None:
    if not 0 <= successes <= trials * (1 + _ROUNDING):
        raise InputError(f"{successes} successes among {trials} trials")


def _shifted(share: float, trials: float, confidence_level: float, power: float) -> Bounds:
    """Return exact bounds around proportions that are not further off than `power` of all samples are."""
    shift = normal_quantile(power) * math.sqrt(share * (1 - share) / trials)
    down, up = max(share - shift, 0.0), min(share + shift, 1.0)
    lower, _ = clopper_pearson(down * trials, trials, confidence_level)
    _, upper = clopper_pearson(up * trials, trials, confidence_level)
    return float(lower), float(upper)


def proportion(successes: float, trials: float, *, of: str = "rows") -> Estimate:
    """Estimate a proportion with exact bounds.

    Parameters
    ----------
    successes, trials : float
        Counts of independent rows.
    of : str
        What the trials are, for the note when there is none of them.
    """
    _check_counts(successes, trials)
    if trials == 0:
        return not_estimable("Clopper-Pearson", f"there are no {of}")
    share = min(successes / trials, 1.0)
    return Estimate(
        value=share,
        method="Clopper-Pearson",
        bounds=lambda level, growth, power: _shifted(share, trials * growth, level, power),
    )


def f1(true_positives: float, false_positives: float, false_negatives: float) -> Estimate:
    """Estimate F1 through its exact form.

    F1 = 2J / (1 + J) with J = TP / (TP + FP + FN); given TP + FP + FN, TP is binomial, so exact bounds for J
    become exact bounds for F1. Conditional on the number of rows that are positive or predicted so.
    """
    found = jaccard(true_positives, false_positives, false_negatives)
    return replace(mapped(found, lambda share: 2 * share / (1 + share)), method="Clopper-Pearson on J")


def jaccard(true_positives: float, false_positives: float, false_negatives: float) -> Estimate:
    """Estimate the Jaccard index, TP / (TP + FP + FN), with exact bounds; conditional as `f1` is."""
    counted = true_positives + false_positives + false_negatives
    if counted == 0:
        return not_estimable("Clopper-Pearson", _NOT_POSITIVE)
    return proportion(true_positives, counted)


def f_beta(true_positives: float, false_positives: float, false_negatives: float, *, beta: float) -> Estimate:
    """Estimate F-beta = (1 + b) TP / ((1 + b) TP + b FN + FP) with b = beta^2.

    "F-beta is at least f" is a claim about a mean: (1 + b)(1 - f) TP - b f FN - f FP >= 0 over the rows that
    are positive or predicted so. Gaffke's bounds of that mean (see `bounded_mean`), inverted, are quantiles
    of F-beta with Dirichlet shares for the three counts, one more row being of the worst kind (a false
    negative if beta is at least 1, else a false positive) or a true positive. With beta = 1 they are the
    exact bounds of `f1`. The quantiles are found by numerical integration over the Beta distributions.
    """
    if not (math.isfinite(beta) and beta > 0):
        raise InputError(f"beta must be a positive number, got {beta!r}")
    counted = true_positives + false_positives + false_negatives
    method = "Gaffke, inverted"
    if counted == 0:
        return not_estimable(method, _NOT_POSITIVE)
    b = beta * beta
    hits = (1 + b) * true_positives
    value = hits / (hits + b * false_negatives + false_positives)

    def bounds(level: float, growth: float, power: float) -> Bounds:
        probability = with_power(level, power)
        tp, fp, fn = (count * growth for count in (true_positives, false_positives, false_negatives))
        worst = (fp, fn + 1) if b >= 1 else (fp + 1, fn)
        lower = _f_quantile(tp, *worst, b, 1 - probability) if tp > 0 else 0.0
        upper = _f_quantile(tp + 1, fp, fn, b, probability) if fp + fn > 0 else 1.0
        return min(lower, value), max(upper, value)

    return Estimate(value=value, method=method, bounds=bounds)


def _f_quantile(tp: float, fp: float, fn: float, b: float, probability: float) -> float:
    """Return the quantile of F-beta for (TP, FP, FN) shares that are Dirichlet distributed.

    Given the share x of false negatives among the errors, F <= f is J <= j(f, x), and J is Beta distributed
    independently of x. So its distribution function is an integral over x, here over equal probabilities.
    """
    special = require("scipy.special", extra="performance")
    middle = (np.arange(_NODES) + 0.5) / _NODES
    both = fp > 0 and fn > 0
    missed = special.betaincinv(fn, fp, middle) if both else np.array([float(fn > 0)])
    cost = b * missed + 1 - missed
    low, high = 0.0, 1.0
    for _ in range(40):
        f = (low + high) / 2
        # (1 + b)(1 - f) J = f cost (1 - J)
        share = f * cost / (f * cost + (1 + b) * (1 - f))
        below = float(special.betainc(tp, fp + fn, share).mean())
        low, high = (low, f) if below > probability else (f, high)
    return (low + high) / 2


def mean_of_proportions(
    successes: Sequence[float], trials: Sequence[float], *, of: Sequence[str]
) -> Estimate:
    """Estimate the mean of independent proportions (balanced accuracy: the recalls of the classes).

    The exact limits of the single proportions are combined by the method of variance estimates recovery
    (Zou, Donner 2008): lower = mean - sqrt(sum (p_i - l_i)^2) / k. `of` names the trials of each.
    """
    method = "MOVER, Clopper-Pearson limits"
    for name, count, hits in zip(of, trials, successes, strict=True):
        _check_counts(hits, count)
        if count == 0:
            return not_estimable(method, f"there are no {name}")
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    shares = np.minimum(k / n, 1.0)
    k = shares * n
    value = float(shares.mean())

    def bounds(level: float, growth: float, power: float) -> Bounds:
        lower, upper = clopper_pearson(k * growth, n * growth, with_power(level, power))
        down = math.sqrt(float(((shares - lower) ** 2).sum())) / shares.size
        up = math.sqrt(float(((upper - shares) ** 2).sum())) / shares.size
        return max(0.0, value - down), min(1.0, value + up)

    return Estimate(value=value, method=method, bounds=bounds)


def mean(values: npt.ArrayLike, weights: npt.NDArray[np.float64] | None = None) -> Estimate:
    """Estimate a mean with Student's t bounds.

    For values without a long tail on one side; for losses that lie in [0, 1] use `bounded_mean`. A single
    value has no bounds. `weights` are those of `design.share_of_weight`.
    """
    array = _finite(values)
    method = "Student t"
    if array.size == 0 or (weights is not None and not weights.any()):
        return not_estimable(method, "there are no rows")
    center, n = float(np.average(array, weights=weights)), array.size
    if n < 2:
        return Estimate(
            value=center, method=method, bounds=lambda *_: (None, None), note="one row has no spread"
        )
    variance = float(np.average((array - center) ** 2, weights=weights)) * n / (n - 1)
    error = math.sqrt(variance / n)

    def bounds(level: float, growth: float, power: float) -> Bounds:
        stdtrit = require("scipy.special", extra="performance").stdtrit
        half = float(stdtrit(max(n * growth - 1, 1.0), with_power(level, power))) * error / math.sqrt(growth)
        return center - half, center + half

    return Estimate(value=center, method=method, bounds=bounds)


def bounded_mean(values: npt.ArrayLike, weights: npt.NDArray[np.float64] | None = None) -> Estimate:
    """Estimate the mean of values in [0, 1] (the Brier score: squared errors) with Gaffke's bounds.

    The upper bound is the quantile of sum D_i x_i with D uniform on the simplex and one more value, the worst
    possible: x = 1. For zeros and ones these are exactly the Clopper-Pearson bounds, for smooth values they
    approach Student's t, and where the large losses are rare, so that t misses most of the time, they keep
    their level. That they never fall below it is a conjecture (Gaffke 2005; Learned-Miller, Thomas 2020)
    that our simulations do not contradict.

    The quantile is found by a saddlepoint approximation (error of the tail probability up to 0.002 on the
    careful side, 1e-5 on the other), so there is no seed. Rows are reduced to 1,024 bins of equal width that
    keep their means. `weights` are those of `design.share_of_weight`.
    """
    array = _finite(values)
    method = "Gaffke"
    if array.size == 0 or (weights is not None and not weights.any()):
        return not_estimable(method, "there are no rows")
    low, high = float(np.min(array)), float(np.max(array))
    if low < 0 or high > 1:
        raise InputError(f"values between 0 and 1 are needed, got {low:.4g} to {high:.4g}")
    bins = np.minimum((array * _BINS).astype(np.int64), _BINS - 1)
    counts = np.bincount(bins, weights=weights, minlength=_BINS).astype(np.float64)
    used = counts > 0
    sums = np.bincount(bins, weights=array if weights is None else array * weights, minlength=_BINS)
    means, counts = np.clip(sums[used] / counts[used], 0.0, 1.0), counts[used]
    value = float(np.average(array, weights=weights))

    def bounds(level: float, growth: float, power: float) -> Bounds:
        probability = with_power(level, power)
        upper = _gaffke_upper(means, counts * growth, probability)
        lower = 1 - _gaffke_upper(1 - means, counts * growth, probability)
        return min(max(lower, 0.0), value), max(min(upper, 1.0), value)

    return Estimate(value=value, method=method, bounds=bounds)


def _gaffke_upper(
    values: npt.NDArray[np.float64], counts: npt.NDArray[np.float64], probability: float
) -> float:
    """Return the quantile of a Dirichlet mean of `values` and one more value of 1.

    Every u < 1 is the saddlepoint of one t: 1 + st = M(u), the mean of 1 / (1 - u v), and s = u M(u). So the
    tail probability is bisected over x = -log(1 - u) and no equation is solved inside.
    """
    if np.min(values) >= 1:
        return 1.0
    v, c = np.append(values, 1.0), np.append(counts, 1.0)
    low, high = -30.0, 40.0
    t = 1.0
    for _ in range(60):
        x = (low + high) / 2
        t, tail = _saddlepoint(v, c, x)
        low, high = (x, high) if tail < probability else (low, x)
    return t


def _saddlepoint(v: npt.NDArray[np.float64], c: npt.NDArray[np.float64], x: float) -> tuple[float, float]:
    """Return t and P(sum D_i v_i <= t) by Lugannani and Rice (1980), with the saddlepoint of `x`."""
    u, rest = -math.expm1(-x), math.exp(-x)
    denominators = (1 - v) + v * rest  # 1 - u v without cancellation at v = 1
    total = float(c.sum())
    m = float((c / denominators).sum()) / total
    mean_v = float((c * v / denominators).sum()) / total  # (M - 1) / u
    t = mean_v / m
    s = u * m
    a = v - t
    second = float((c * (a / (denominators * m)) ** 2).sum())
    cumulant = -float((c * np.log(denominators * m)).sum())
    w = math.copysign(math.sqrt(max(-2 * cumulant, 0.0)), s)
    scaled = s * math.sqrt(second)
    if abs(w) < 1e-4 or abs(scaled) < 1e-4:
        variance = float((c * a**2).sum())
        third = 2 * float((c * a**3).sum())
        return t, 0.5 + third / (6 * math.sqrt(2 * math.pi) * variance**1.5)
    density = math.exp(-w * w / 2) / math.sqrt(2 * math.pi)
    return t, 0.5 * math.erfc(-w / math.sqrt(2)) + density * (1 / w - 1 / scaled)


def _finite(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(f"one number for each row is needed, got an array of shape {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{np.count_nonzero(~np.isfinite(array))} values are not finite numbers")
    return array
