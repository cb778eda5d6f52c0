"""Intervals for proportions, F1, means of proportions and means: counts or values in, estimates out.

Which method serves which number was chosen by its measured one-sided coverage (docs/explanation/coverage.md),
worst case first: a bound that is sometimes too narrow certifies what it should not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.estimate import (
    Bounds,
    Estimate,
    normal_quantile,
    not_estimable,
    with_power,
)

_BINS = 1024


def clopper_pearson(
    successes: npt.ArrayLike, trials: npt.ArrayLike, confidence_level: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return one-sided exact bounds for proportions, each at `confidence_level` (Clopper, Pearson 1934).

    Never below its level, whatever the proportion and the number of trials; conservative for few trials,
    because the counts are discrete. Fractional counts are accepted, for planning. No trials: 0 and 1.
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
    if not 0 <= successes <= trials:
        raise InputError(f"{successes} successes among {trials} trials")


def _shifted(share: float, trials: float, confidence_level: float, power: float) -> Bounds:
    """Return exact bounds around proportions that are not further off than `power` of all samples are."""
    shift = normal_quantile(power) * math.sqrt(share * (1 - share) / trials)
    down, up = max(share - shift, 0.0), min(share + shift, 1.0)
    lower, _ = clopper_pearson(down * trials, trials, confidence_level)
    _, upper = clopper_pearson(up * trials, trials, confidence_level)
    return float(lower), float(upper)


def proportion(successes: int, trials: int, *, of: str = "rows") -> Estimate:
    """Estimate a proportion with exact bounds.

    Parameters
    ----------
    successes, trials : int
        Counts of independent rows.
    of : str
        What the trials are, for the note when there is none of them.
    """
    _check_counts(successes, trials)
    if trials == 0:
        return not_estimable("Clopper-Pearson", f"there are no {of}")
    share = successes / trials
    return Estimate(
        value=share,
        method="Clopper-Pearson",
        bounds=lambda level, growth, power: _shifted(share, trials * growth, level, power),
    )


def f1(true_positives: int, false_positives: int, false_negatives: int) -> Estimate:
    """Estimate F1 through its exact form.

    F1 = 2J / (1 + J) with J = TP / (TP + FP + FN); given TP + FP + FN, TP is binomial, so exact bounds for J
    become exact bounds for F1. Conditional on the number of rows that are positive or predicted so.
    """
    counted = true_positives + false_positives + false_negatives
    if counted == 0:
        return not_estimable("Clopper-Pearson on J", "no row is positive or predicted to be")
    share = true_positives / counted

    def mapped(value: float | None) -> float | None:
        return None if value is None else 2 * value / (1 + value)

    def bounds(level: float, growth: float, power: float) -> Bounds:
        lower, upper = _shifted(share, counted * growth, level, power)
        return mapped(lower), mapped(upper)

    return Estimate(value=mapped(share), method="Clopper-Pearson on J", bounds=bounds)


def mean_of_proportions(successes: Sequence[int], trials: Sequence[int], *, of: Sequence[str]) -> Estimate:
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
    shares = k / n
    value = float(shares.mean())

    def bounds(level: float, growth: float, power: float) -> Bounds:
        lower, upper = clopper_pearson(k * growth, n * growth, with_power(level, power))
        down = math.sqrt(float(((shares - lower) ** 2).sum())) / shares.size
        up = math.sqrt(float(((upper - shares) ** 2).sum())) / shares.size
        return max(0.0, value - down), min(1.0, value + up)

    return Estimate(value=value, method=method, bounds=bounds)


def mean(values: npt.ArrayLike) -> Estimate:
    """Estimate a mean with Student's t bounds.

    For values without a long tail on one side; for losses that lie in [0, 1] use `bounded_mean`. A single
    value has no bounds.
    """
    array = _finite(values)
    method = "Student t"
    if array.size == 0:
        return not_estimable(method, "there are no rows")
    center, n = float(array.mean()), array.size
    if n < 2:
        return Estimate(
            value=center, method=method, bounds=lambda *_: (None, None), note="one row has no spread"
        )
    error = float(array.std(ddof=1)) / math.sqrt(n)

    def bounds(level: float, growth: float, power: float) -> Bounds:
        stdtrit = require("scipy.special", extra="performance").stdtrit
        half = float(stdtrit(max(n * growth - 1, 1.0), with_power(level, power))) * error / math.sqrt(growth)
        return center - half, center + half

    return Estimate(value=center, method=method, bounds=bounds)


def bounded_mean(values: npt.ArrayLike) -> Estimate:
    """Estimate the mean of values in [0, 1] (the Brier score: squared errors) with Gaffke's bounds.

    The upper bound is the quantile of sum D_i x_i with D uniform on the simplex and one more value, the worst
    possible: x = 1. For zeros and ones these are exactly the Clopper-Pearson bounds, for smooth values they
    approach Student's t, and where the large losses are rare, so that t misses most of the time, they keep
    their level. That they never fall below it is a conjecture (Gaffke 2005; Learned-Miller, Thomas 2020)
    that our simulations do not contradict.

    The quantile is found by a saddlepoint approximation (error of the tail probability up to 0.002 on the
    careful side, 1e-5 on the other), so there is no seed. Rows are reduced to 1,024 bins of equal width that
    keep their means.
    """
    array = _finite(values)
    method = "Gaffke"
    if array.size == 0:
        return not_estimable(method, "there are no rows")
    low, high = float(np.min(array)), float(np.max(array))
    if low < 0 or high > 1:
        raise InputError(f"values between 0 and 1 are needed, got {low:.4g} to {high:.4g}")
    bins = np.minimum((array * _BINS).astype(np.int64), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    used = counts > 0
    means = np.clip(np.bincount(bins, weights=array, minlength=_BINS)[used] / counts[used], 0.0, 1.0)
    weights = counts[used].astype(np.float64)
    value = float(array.mean())

    def bounds(level: float, growth: float, power: float) -> Bounds:
        probability = with_power(level, power)
        upper = _gaffke_upper(means, weights * growth, probability)
        lower = 1 - _gaffke_upper(1 - means, weights * growth, probability)
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
