"""Intervals for ranking metrics of two classes: rows, or the classes at each score, in; estimates out.

Two guards keep the bounds honest where an asymptotic formula is not (measured: docs/explanation/coverage.md).
With very few rows of a class there are no bounds. And `_spread` tells how many equally important rows carry
the variance: where these are few, other bounds or a larger quantile take over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.statistics.design import Design, adjusted, share_of_weight
from pytest_prodml.statistics.estimate import (
    Bounds,
    Estimate,
    normal_quantile,
    not_estimable,
    with_power,
)
from pytest_prodml.statistics.histogram import (
    Column,
    Histogram,
    Rows,
    average_precision_error,
    count,
    roc_auc_error,
)
from pytest_prodml.statistics.intervals import clopper_pearson
from pytest_prodml.statistics.sufficient import ScoreTable, score_table

Array: TypeAlias = npt.NDArray[np.float64]

#: Rows of the smaller class below which even the widest bounds miss too often (up to 11 % with 5 positives).
LEAST_FOR_AUC = 10
#: Likewise for the average precision (up to 8 % with 10).
LEAST_FOR_AP = 20
_LEAST_MISRANKED = 10.0
_LEAST_SPREAD = 25.0
_TINY = 1e-300
#: The level whose bounds lie one standard error off.
_ONE_ERROR = 0.8413447460685429


def _spread(contributions: Array, rows: npt.NDArray[Any]) -> float:
    """Return (sum g^2)^2 / sum g^4 over rows; 0 when no row contributes."""
    squares = contributions**2
    fourth = float((rows * squares**2).sum())
    return float((rows * squares).sum()) ** 2 / fourth if fourth > 0 else 0.0


def _missing_class(positives: float, negatives: float) -> str:
    if positives + negatives == 0:
        return "there are no rows"
    return f"all {positives + negatives:.0f} rows are {'negative' if positives == 0 else 'positive'}"


def _too_few(smaller: float, least: int) -> str | None:
    if smaller >= least:
        return None
    return f"fewer than {least} rows of a class are too few for bounds that keep their level"


def roc_auc(table: ScoreTable) -> Estimate:
    """Estimate the area under the ROC curve; ties count one half.

    DeLong's variance (DeLong, DeLong, Clarke-Pearson 1988) on the logit scale. Where the smaller class holds
    fewer than ten misranked rows' worth, n * min(AUC, 1 - AUC) < 10, or few rows carry the variance, the
    bounds are the wider of these and the score bounds with the variance of Hanley and McNeil (1982; compare
    Newcombe 2006). The former miss up to 40 % there, the latter too often when the classes differ in
    spread; the wider of both does neither.
    """
    positives, negatives = float(table.positives.sum()), float(table.negatives.sum())
    method = "logit DeLong"
    if positives == 0 or negatives == 0:
        return not_estimable(method, _missing_class(positives, negatives))
    of_positives, of_negatives = _placements(table)
    value = min(float((table.positives * of_positives).sum()) / positives, 1.0)
    contributions = np.concatenate([(of_positives - value) / positives, (of_negatives - value) / negatives])
    rows = np.concatenate([table.positives, table.negatives])
    variance = sum(
        float((count * (share - value) ** 2).sum()) / (size * max(size - 1, 1))
        for count, share, size in (
            (table.positives, of_positives, positives),
            (table.negatives, of_negatives, negatives),
        )
    )
    spread = _spread(contributions, rows)
    smaller = min(positives, negatives)

    def asymptotic(growth: float) -> bool:
        misranked = smaller * growth * min(value, 1 - value)
        return misranked >= _LEAST_MISRANKED and spread * growth >= _LEAST_SPREAD

    def bounds(level: float, growth: float, power: float) -> Bounds:
        if smaller * growth < LEAST_FOR_AUC:
            return None, None
        z = normal_quantile(level) + normal_quantile(power)
        lower, upper = _logit(value, math.sqrt(variance / growth), z)
        if asymptotic(growth):
            return lower, upper
        low, high = _score(value, positives * growth, negatives * growth, z)
        return min(lower, low), max(upper, high)

    return Estimate(
        value=value,
        method=method if asymptotic(1.0) else f"{method} or Hanley-McNeil score, the wider",
        bounds=bounds,
        note=_too_few(smaller, LEAST_FOR_AUC),
    )


def _placements(table: ScoreTable) -> tuple[Array, Array]:
    """Return the share of the other class that a positive, and a negative, is ranked right against."""
    positives, negatives = float(table.positives.sum()), float(table.negatives.sum())
    below = negatives - np.cumsum(table.negatives, dtype=np.float64)
    above = np.cumsum(table.positives, dtype=np.float64) - table.positives
    of_positives: Array = (below + 0.5 * table.negatives) / negatives
    of_negatives: Array = (above + 0.5 * table.positives) / positives
    return of_positives, of_negatives


def _logit(value: float, error: float, z: float, *, center: float | None = None) -> tuple[float, float]:
    """Return bounds that are symmetric on the logit scale; `center` moves the lower one down."""
    if not 0 < value < 1:
        return value, value

    def bound(middle: float, side: int) -> float:
        if middle <= 0:
            return 0.0
        logit = math.log(middle / (1 - middle)) + side * z * error / (middle * (1 - middle))
        return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0

    return bound(value if center is None else center, -1), bound(value, 1)


def _score(value: float, positives: float, negatives: float, z: float) -> tuple[float, float]:
    """Return the areas that lie z standard errors off, each with the error that it would have itself."""

    def inside(area: float) -> bool:
        spread = 1 + (positives - 1) * (1 - area) / (2 - area) + (negatives - 1) * area / (1 + area)
        return abs(value - area) <= z * math.sqrt(area * (1 - area) * spread / (positives * negatives))

    ends = []
    for far in (0.0, 1.0):
        near, end = value, far
        for _ in range(50):
            middle = (near + end) / 2
            near, end = (middle, end) if inside(middle) else (near, middle)
        ends.append(end)
    return ends[0], ends[1]


def average_precision(table: ScoreTable) -> Estimate:
    """Estimate the average precision, sum (R_k - R_(k-1)) P_k.

    Bounds on the logit scale. The standard error is the larger of the infinitesimal jackknife's and of
    sqrt(AP (1 - AP) / positives) (Boyd, Eng, Page 2013). In small samples the value is too high, because
    every positive counts towards its own precision; the lower bound starts from the value less that part.
    The quantile is Student's with as many degrees of freedom as rows' worth carry the variance: with the
    normal one the bounds miss up to 11 % where a few negatives rank among the positives.
    """
    positives, negatives = float(table.positives.sum()), float(table.negatives.sum())
    method = "logit infinitesimal jackknife"
    if positives == 0 or negatives == 0:
        return not_estimable(method, _missing_class(positives, negatives))
    value, of_positives, of_negatives = _precisions(table)
    hits = np.cumsum(table.positives).astype(np.float64)
    found = hits + np.cumsum(table.negatives)
    own = table.positives * (found - hits) / np.maximum(found * np.maximum(found - 1, 1), _TINY)
    bias = float(own.sum()) / positives
    contributions = np.concatenate([of_positives, of_negatives]) / positives
    rows = np.concatenate([table.positives, table.negatives])
    n = positives + negatives
    jackknife = float((rows * contributions**2).sum()) * n / (n - 1)
    error = math.sqrt(max(jackknife, value * (1 - value) / positives))
    spread = _spread(contributions, rows)
    smaller = min(positives, negatives)

    def bounds(level: float, growth: float, power: float) -> Bounds:
        if smaller * growth < LEAST_FOR_AP or spread == 0:
            return None, None
        stdtrit = require("scipy.special", extra="performance").stdtrit
        quantile = float(stdtrit(max(spread * growth, 1.0), with_power(level, power)))
        return _logit(value, error / math.sqrt(growth), quantile, center=value - bias / growth)

    constant = None if spread else "no row contributes to its variance, as every positive ranks first"
    return Estimate(
        value=value,
        method=method,
        bounds=bounds,
        note=_too_few(smaller, LEAST_FOR_AP) or constant,
    )


def _precisions(table: ScoreTable) -> tuple[float, Array, Array]:
    """Return the average precision, and what a positive and a negative with each score add to it.

    Derivatives with respect to the rows' weights, times the number of positives (infinitesimal jackknife).
    """
    positives = float(table.positives.sum())
    hits = np.cumsum(table.positives).astype(np.float64)
    # Rows without weight can come first.
    found = np.maximum(hits + np.cumsum(table.negatives), _TINY)
    precision = np.minimum(hits / found, 1.0)
    value = float((table.positives * precision).sum()) / positives
    gained = np.cumsum((table.positives * (1 - precision) / found)[::-1])[::-1]
    lost = np.cumsum((table.positives * precision / found)[::-1])[::-1]
    return value, precision - value + gained, -lost


def roc_auc_of_rows(is_positive: Rows, scores: Column, design: Design) -> tuple[Estimate, ScoreTable]:
    """Estimate the area under the ROC curve from rows that may have weights and clusters, ten million too.

    Many rows are counted in bins (see `histogram`) whose worst error is below a tenth of the standard error;
    it is added to the bounds. The influence of a row is DeLong's placement.

    Returns
    -------
    Estimate, ScoreTable
        The table is the one that curves can be drawn from.
    """
    if design.is_simple:
        return _counted(is_positive, scores, roc_auc, lambda found: (roc_auc_error(found),) * 2)
    table, places = _weighted(is_positive, scores, design)
    estimate = roc_auc(table)
    if estimate.value is None:
        return estimate, table
    influence = auc_influence(table, places, is_positive, estimate.value)
    # Few misranked rows of one class hide how the rows of the other depend on each other.
    parts = () if estimate.method == "logit DeLong" else (is_positive, ~is_positive)
    return adjusted(estimate, influence, design, parts=parts), table


def auc_influence(table: ScoreTable, places: npt.NDArray[np.intp], is_positive: Rows, value: float) -> Array:
    """Return what each row adds to the AUC, whose mean error this is; `places` are the rows' in the table."""
    of_positives, of_negatives = _placements(table)
    positives, negatives = float(table.positives.sum()), float(table.negatives.sum())
    n = positives + negatives
    return np.where(
        is_positive,
        (of_positives[places] - value) * (n / positives),
        (of_negatives[places] - value) * (n / negatives),
    )


def average_precision_of_rows(
    is_positive: Rows, scores: Column, design: Design
) -> tuple[Estimate, ScoreTable]:
    """Estimate the average precision from rows, as `roc_auc_of_rows` does the area."""
    if design.is_simple:
        return _counted(is_positive, scores, average_precision, average_precision_error)
    table, places = _weighted(is_positive, scores, design)
    estimate = average_precision(table)
    if estimate.value is None:
        return estimate, table
    _, of_positives, of_negatives = _precisions(table)
    scale = is_positive.size / float(table.positives.sum())
    influence = np.where(is_positive, of_positives[places], of_negatives[places]) * scale
    return adjusted(estimate, influence, design, parts=(is_positive,)), table


def _weighted(is_positive: Rows, scores: Column, design: Design) -> tuple[ScoreTable, npt.NDArray[np.intp]]:
    table = score_table(is_positive, scores.astype(np.float64), share_of_weight(design, scores.size))
    return table, table.scores.size - 1 - np.searchsorted(table.scores[::-1], scores)


def _counted(
    is_positive: Rows,
    scores: Column,
    measure: Callable[[ScoreTable], Estimate],
    error: Callable[[Histogram], tuple[float, float]],
) -> tuple[Estimate, ScoreTable]:
    def fine(histogram: Histogram) -> bool:
        lower, upper = measure(histogram.table).bounds(_ONE_ERROR, 1.0, 0.5)
        return lower is not None and upper is not None and max(error(histogram)) < (upper - lower) / 20

    histogram = count(is_positive, scores, fine)
    estimate = measure(histogram.table)
    below, above = error(histogram)
    if histogram.is_exact or not (below or above):
        return estimate, histogram.table

    def bounds(level: float, growth: float, power: float) -> Bounds:
        lower, upper = estimate.bounds(level, growth, power)
        return (
            None if lower is None else max(lower - below, 0.0),
            None if upper is None else min(upper + above, 1.0),
        )

    told = f"counted in {histogram.table.scores.size:,} bins, which changes the value by at most "
    told += f"{max(below, above):.1g}; the bounds allow for it"
    note = f"{estimate.note}; {told}" if estimate.note else told
    return replace(estimate, bounds=bounds, note=note), histogram.table


def roc_curve(table: ScoreTable, *, points: int = 200) -> tuple[list[float], list[float]]:
    """Return false and true positive rates over all thresholds, thinned to at most `points` points."""
    found = _cumulated(table, points)
    if found is None:
        return [], []
    true, false, positives, negatives = found
    return (false / negatives).tolist(), (true / positives).tolist()


def roc_band(
    table: ScoreTable, confidence_level: float, *, points: int = 200
) -> tuple[list[float], list[float]]:
    """Return exact bounds of the true positive rates of `roc_curve`, each by itself and at its threshold.

    The rows must be independent and count alike.
    """
    found = _cumulated(table, points)
    if found is None:
        return [], []
    lower, upper = clopper_pearson(found[0], found[2], confidence_level)
    return lower.tolist(), upper.tolist()


def precision_recall_curve(
    table: ScoreTable, *, points: int = 200, confidence_level: float | None = None
) -> dict[str, list[float]]:
    """Return recall (x) and precision (y) over all thresholds, thinned to at most `points` points.

    With a level also exact bounds of the precision, each by itself and at its threshold.
    """
    found = _cumulated(table, points)
    if found is None:
        return {}
    true, false, positives, _ = found
    true, false = true[1:], false[1:]  # at the first point nothing is found, so there is no precision
    counted = true + false
    series = {"x": (true / positives).tolist(), "y": (true / counted).tolist()}
    if confidence_level is not None:
        lower, upper = clopper_pearson(true, counted, confidence_level)
        series |= {"lower": lower.tolist(), "upper": upper.tolist()}
    return series


def _cumulated(table: ScoreTable, points: int) -> tuple[Array, Array, float, float] | None:
    """Return the positives and negatives above chosen thresholds, and those in all."""
    positives, negatives = float(table.positives.sum()), float(table.negatives.sum())
    if positives == 0 or negatives == 0:
        return None
    true = np.concatenate([[0.0], np.cumsum(table.positives)])
    false = np.concatenate([[0.0], np.cumsum(table.negatives)])
    # Equal steps along the curve keep its steep beginning, which equal steps in the ranks would lose.
    way = true / positives + false / negatives
    kept = np.unique(np.append(np.searchsorted(way, np.linspace(0, way[-1], points)), 0))
    kept = np.minimum(kept, way.size - 1)
    return np.minimum(true[kept], positives), np.minimum(false[kept], negatives), positives, negatives
