"""Two models on the same rows: right and wrong answers or losses of both in, their difference out.

Differences are candidate minus baseline. Rows on which both models agree tell nothing about the difference,
so a paired comparison decides with a fraction of the rows that two independent samples would need. The same
fact makes it treacherous: a handful of rows may carry the whole difference, and where they are few the usual
formulas miss several times as often as they say. Each function here measures how many rows carry the
difference and takes wider bounds, or none, where these are few; docs/explanation/coverage.md has the table.

`paired_scores` compares how scores rank the rows, `paired_tables` the metrics of a confusion matrix, and any
metric at all.
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
from pytest_prodml.statistics import binomial
from pytest_prodml.statistics.design import Design, adjusted, share_of_weight
from pytest_prodml.statistics.estimate import Bounds, Estimate, normal_quantile, not_estimable, with_power
from pytest_prodml.statistics.intervals import bounded_mean, clopper_pearson

Array: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[np.bool_]

#: Rows newly right and rows newly wrong, each, from which the score bounds alone keep their level.
ENOUGH_EACH_WAY = 10
#: Rows' worth that must carry an unbounded difference; with fewer there are no bounds.
LEAST_CARRYING = 10.0
_STEPS = 60


def mcnemar(fixed: int, broken: int, *, mid_p: bool = False) -> float:
    """Return the two-sided p-value of the hypothesis that two models are right equally often.

    Parameters
    ----------
    fixed, broken : int
        Rows on which only the candidate is right, and only the baseline.
    mid_p : bool
        Count the observed split half: nearer to the level on average, above it at times (Fagerland,
        Lydersen, Laake 2013). The exact test never exceeds its level.

    Notes
    -----
    McNemar (1947): given their sum, the smaller count is binomial with probability 1/2.
    """
    if fixed < 0 or broken < 0:
        raise InputError(f"{fixed} rows newly right and {broken} newly wrong are no counts")
    n, k = fixed + broken, min(fixed, broken)
    if n == 0:
        return 1.0
    tail = binomial.cdf(k, n, 0.5)
    if mid_p:
        tail -= 0.5 * (tail - binomial.cdf(k - 1, n, 0.5))
    return min(2 * tail, 1.0)


def tango(fixed: float, broken: float, n: float, confidence_level: float) -> tuple[float, float]:
    """Return one-sided score bounds for the difference of paired proportions (Tango 1998).

    The bounds are the differences whose score statistic equals the normal quantile. Counts may be
    fractional.
    """
    z = normal_quantile(confidence_level)
    return -_tango_upper(broken, fixed, n, z), _tango_upper(fixed, broken, n, z)


def _tango_upper(fixed: float, broken: float, n: float, z: float) -> float:
    low, high = (fixed - broken) / n, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        b = (2 * n - fixed + broken) * middle - fixed - broken
        root = math.sqrt(max(b * b + 8 * n * broken * middle * (1 - middle), 0.0))
        # The share of newly wrong rows that is most likely if the difference is `middle`.
        share = max(root - b, 0.0) / (4 * n)
        variance = n * (2 * share + middle * (1 - middle))
        inside = (n * middle - (fixed - broken)) <= z * math.sqrt(max(variance, 0.0))
        low, high = (middle, high) if inside else (low, middle)
    return high


def exact_limits(fixed: float, broken: float, n: float, confidence_level: float) -> tuple[float, float]:
    """Return one-sided bounds for the difference of paired proportions from the exact limits of its parts.

    The difference is that of two shares of one sample, newly right and newly wrong rows. Their
    Clopper-Pearson limits are combined by the method of variance estimates recovery with the correlation of
    multinomial shares (Zou, Donner 2008). Where no row is newly right, the lower bound is the exact one.
    """
    shares = np.array([fixed, broken]) / n
    lower, upper = clopper_pearson([fixed, broken], n, confidence_level)
    p, q = shares.tolist()
    rest = (1 - p) * (1 - q)
    correlation = math.sqrt(p * q / rest) if rest > 0 else 1.0

    def distance(first: float, second: float) -> float:
        return math.sqrt(first**2 + second**2 + 2 * correlation * first * second)

    down = distance(p - float(lower[0]), float(upper[1]) - q)
    up = distance(float(upper[0]) - p, q - float(lower[1]))
    return max(p - q - down, -1.0), min(p - q + up, 1.0)


def agresti_min(fixed: float, broken: float, n: float, confidence_level: float) -> tuple[float, float]:
    """Return one-sided adjusted Wald bounds (Agresti, Min 2005): half a row is added to each of four cells.

    For comparison only: with few discordant rows the error reaches 21 % where the level says 5 %.
    """
    b, c, m = fixed + 0.5, broken + 0.5, n + 2
    value = (b - c) / m
    half = normal_quantile(confidence_level) * math.sqrt(max((b + c) / m - value**2, 0.0) / m)
    return max(value - half, -1.0), min(value + half, 1.0)


def paired_proportions(fixed: float, broken: float, n: float, *, of: str = "rows") -> Estimate:
    """Estimate how much more often a candidate is right than a baseline, (fixed - broken) / n.

    Tango's score bounds. With fewer than ten rows newly right or newly wrong the wider of these and of
    `exact_limits`: alone the score bounds miss up to 9 % there, Agresti-Min's up to 21 %. Enumerated over all
    pairs of rates for 20 to 5,000 rows the worst one-sided error is 6.1 %, and 5 % where fewer than ten rows
    went either way.

    Parameters
    ----------
    fixed, broken : float
        Rows on which only the candidate is right, and only the baseline; sums of weights are accepted.
    n : float
        All rows, those on which both agree as well.
    of : str
        What the rows are, for the note when there is none of them.
    """
    if n <= 0:
        return not_estimable("Tango", f"there are no {of}")
    if min(fixed, broken) < 0 or fixed + broken > n * (1 + 1e-9):
        raise InputError(f"{fixed} rows newly right and {broken} newly wrong among {n}")
    value = (fixed - broken) / n

    def enough(growth: float) -> bool:
        return min(fixed, broken) * growth >= ENOUGH_EACH_WAY

    def bounds(level: float, growth: float, power: float) -> Bounds:
        counts = fixed * growth, broken * growth, n * growth
        wanted = with_power(level, power)
        lower, upper = tango(*counts, wanted)
        if not enough(growth):
            low, high = exact_limits(*counts, wanted)
            lower, upper = min(lower, low), max(upper, high)
        return min(lower, value), max(upper, value)

    return Estimate(
        value=value,
        method="Tango" if enough(1.0) else "Tango or exact limits, the wider",
        bounds=bounds,
    )


def paired_shares(
    candidate_right: Rows, baseline_right: Rows, design: Design, *, rows: Rows | None = None, of: str = "rows"
) -> Estimate:
    """Estimate the difference of two shares of right answers, row by row, with weights and clusters.

    Parameters
    ----------
    candidate_right, baseline_right : array of bool, shape (n,)
    design : Design
    rows : array of bool, shape (n,), optional
        The rows that the shares are about (the positive ones for a recall).
    of : str
        What these rows are.
    """
    weights = share_of_weight(design, candidate_right.size)
    counted = weights if rows is None else weights * rows
    fixed = float(counted[candidate_right & ~baseline_right].sum())
    broken = float(counted[baseline_right & ~candidate_right].sum())
    estimate = paired_proportions(fixed, broken, float(counted.sum()), of=of)
    if estimate.value is None:
        return estimate
    change = candidate_right.astype(np.float64) - baseline_right
    # Centered, agreement of both models would count as information where there is no discordant row.
    influence = change - estimate.value if fixed or broken else change
    return adjusted(estimate, influence, design, rows=rows)


def symmetric_gaffke(values: Array, weights: Array) -> Callable[[float, float, float], tuple[float, float]]:
    """Return Gaffke's bounds of the mean of values between -1 and 1."""
    if np.max(np.abs(values)) > 1 + 1e-9:
        raise InputError("the losses of a row differ by more than their range allows")
    estimate = bounded_mean(np.clip((values + 1) / 2, 0.0, 1.0), weights)

    def bounds(level: float, growth: float, power: float) -> tuple[float, float]:
        lower, upper = estimate.bounds(level, growth, power)
        return (
            -1.0 if lower is None else 2 * lower - 1,
            1.0 if upper is None else 2 * upper - 1,
        )

    return bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """Moments of per-row numbers, and how many equally important rows would carry their variance."""

    n: float
    variance: float
    third: float
    carrying: float

    def half_widths(self, level: float, growth: float) -> tuple[float, float]:
        """Return how far the bounds of the mean lie below and above it.

        Student's t with as many degrees of freedom as rows carry the variance, widened on the side of the
        long tail by Johnson's (1978) correction for skewness.
        """
        stdtrit = require("scipy.special", extra="performance").stdtrit
        rows = self.n * growth
        quantile = float(stdtrit(max(min(self.carrying * growth, rows - 1), 1.0), level))
        half = quantile * math.sqrt(self.variance / rows)
        shift = self.third / (self.variance * rows) * (1 / 6 + quantile**2 / 3) if self.variance > 0 else 0.0
        return half + max(-shift, 0.0), half + max(shift, 0.0)


def law_of(values: Array, weights: Array) -> Law:
    """Return the moments of per-row numbers."""
    n = float(weights.sum())
    centered = values - float((weights * values).sum()) / n
    spread = float((weights * centered**2).sum())
    if spread <= n * 1e-24:
        return Law(n=n, variance=0.0, third=0.0, carrying=0.0)
    fourth = float((weights * centered**4).sum())
    return Law(
        n=n,
        variance=spread / max(n - 1, 1.0),
        third=float((weights * centered**3).sum()) / n,
        carrying=spread**2 / fourth,
    )


def paired_means(
    candidate: npt.ArrayLike, baseline: npt.ArrayLike, design: Design, *, width: float | None = None
) -> Estimate:
    """Estimate the difference of two mean losses, from the loss of each row under both models.

    Parameters
    ----------
    candidate, baseline : array-like of float, shape (n,)
        Losses of one row in one place.
    design : Design
    width : float, optional
        Losses that lie within a range of this width differ by at most `width` either way (1 for squared
        errors of probabilities). Then Gaffke's bounds are used, which hold even where a rare row with a
        large difference is not in the sample. Without it see `from_influence`.
    """
    first, second = np.asarray(candidate, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise InputError(f"the losses of two models have the shapes {first.shape} and {second.shape}")
    differences = first - second
    if not np.isfinite(differences).all():
        bad = int(np.count_nonzero(~np.isfinite(differences)))
        raise InputError(f"the losses of {bad:,} rows are not finite numbers")
    weights = share_of_weight(design, differences.size)
    if differences.size == 0:
        return not_estimable("paired Student t", "there are no rows")
    value = float((weights * differences).sum() / weights.sum())
    influence = differences - value if differences.any() else differences
    if width is None:
        return from_influence(value, influence, design)
    safe = symmetric_gaffke(differences / width, weights)

    def bounds(level: float, growth: float, power: float) -> Bounds:
        lower, upper = safe(level, growth, power)
        return min(lower * width, value), max(upper * width, value)

    estimate = Estimate(value=value, method="paired Gaffke", bounds=bounds)
    return adjusted(estimate, influence, design)


def from_influence(value: float, influence: Array, design: Design) -> Estimate:
    """Bound a difference with known influences of the rows (difference - truth is about their mean).

    Student's t with as many degrees of freedom as rows carry the variance, (sum g^2)^2 / sum g^4, and
    Johnson's (1978) correction for skewness on the side of the long tail. Fewer than ten rows' worth: no
    bounds. Nothing in the sample can tell of a rare large loss that is not in it: where the losses have a
    range, use `paired_means` with it.
    """
    method = "paired Student t, corrected for skewness"
    law = law_of(influence, share_of_weight(design, influence.size))

    def bounds(level: float, growth: float, power: float) -> Bounds:
        if law.carrying * growth < LEAST_CARRYING:
            return None, None
        down, up = law.half_widths(with_power(level, power), growth)
        return value - down, value + up

    note = None
    if law.carrying == 0:
        note = "both models have the same loss in every row, which says nothing about other rows"
    elif law.carrying < LEAST_CARRYING:
        note = (
            f"{law.carrying:.1f} rows' worth carry the difference, too few for bounds that keep their level"
        )
    return adjusted(Estimate(value=value, method=method, bounds=bounds, note=note), influence, design)
