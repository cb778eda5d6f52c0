"""Two models on the same rows, any metric: joint counts of truth and both predictions in, difference out.

Everything that a confusion matrix tells is a function of the joint table truth x candidate x baseline, so it
is resampled as one multinomial draw a replicate, whatever the number of rows. `paired_function` leaves rows
or clusters out, for metrics that no table holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.statistics.design import Design, adjusted, share_of_weight
from pytest_prodml.statistics.estimate import (
    Bounds,
    Estimate,
    normal_quantile,
    not_estimable,
    with_power,
)
from pytest_prodml.statistics.intervals import bounded_mean
from pytest_prodml.statistics.paired import ENOUGH_EACH_WAY
from pytest_prodml.statistics.resampling import jackknife
from pytest_prodml.statistics.sufficient import Codes, weighted_counts

Array: TypeAlias = npt.NDArray[np.float64]
#: Confusion matrices (..., k, k), true class first -> (...) values; NaN where undefined.
TableMetric: TypeAlias = Callable[[Array], Array]

RESAMPLES = 2_000
#: Rows (clusters) on which the answers differ, below which leaving rows out gives no bounds.
LEAST_DIFFERING = 50
_STEP = 1e-6
#: Joint cells times cells of a confusion matrix up to which a matrix product is faster than counting.
_SMALL = 100_000
#: Joint cells up to which they are counted rather than sorted.
_SHORT = 1 << 20
#: Replicates beyond a quantile, below which it is continued as a normal tail.
_LEAST_BEYOND = 10
#: Share of replicates without a value above which there are no bounds.
_MOST_UNDEFINED = 0.01


def paired_table(
    truth: Codes,
    candidate: Codes,
    baseline: Codes,
    classes: int,
    metric: TableMetric,
    design: Design,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Estimate the difference of a metric of the confusion matrix between two models on the same rows.

    Parameters
    ----------
    truth, candidate, baseline : array of int, shape (n,)
        Codes from 0 to ``classes - 1``.
    metric : callable
        Maps a stack of confusion matrices (..., k, k) to values (...); see `confusion_metrics`. It must not
        change when all counts are multiplied.
    design : Design
    seed, resamples : int
        Of the multinomial bootstrap.

    Notes
    -----
    Percentile bounds of a multinomial bootstrap of the joint table. It can not draw what was never seen:
    where a candidate breaks few rows and fixes none, its bounds miss 45 % at 100 rows and 12 % at 500. So
    with fewer than ten rows' worth of change either way the bounds are the wider of these and of Gaffke's
    for the linearized difference, in which the worst cell of the table counts as one row more.
    """
    n = truth.size
    method = "paired multinomial bootstrap"
    if n == 0:
        return not_estimable(method, "there are no rows")
    weights = share_of_weight(design, n)
    fused = (truth * classes + candidate) * classes + baseline
    cells, inverse = _numbered(fused, classes**3)
    counts = weighted_counts(inverse, weights)
    of_candidate, of_baseline = cells // classes, cells // classes**2 * classes + cells % classes
    first, second = (
        _confusions(counts[np.newaxis], places, classes)[0] for places in (of_candidate, of_baseline)
    )
    values = [float(metric(table)) for table in (first, second)]
    for name, value in zip(("candidate", "baseline"), values, strict=True):
        if not math.isfinite(value):
            return not_estimable(method, f"the metric is undefined for the {name}")
    value = values[0] - values[1]
    slopes = [_slopes(metric, table) for table in (first, second)]
    influence = slopes[0].ravel()[of_candidate] - slopes[1].ravel()[of_baseline]
    changed = of_candidate != of_baseline
    asymptotic = min(_carrying(counts, influence * changed, side) for side in (1, -1)) >= ENOUGH_EACH_WAY
    random = np.random.default_rng(seed)
    draws = random.multinomial(round(n), counts / counts.sum(), size=resamples).astype(np.float64)
    drawn = metric(_confusions(draws, of_candidate, classes)) - metric(
        _confusions(draws, of_baseline, classes)
    )
    resampled = _percentile(value, drawn)
    safe = _linearized(influence, counts, *_range(*slopes))

    def bounds(level: float, growth: float, power: float) -> Bounds:
        lower, upper = resampled(level, growth, power)
        if not asymptotic or lower is None or upper is None:
            low, high = safe(level, growth, power)
            lower = value + low if lower is None else min(lower, value + low)
            upper = value + high if upper is None else max(upper, value + high)
        return lower, upper

    estimate = Estimate(
        value=value,
        method=method if asymptotic else f"{method} or Gaffke, the wider",
        bounds=bounds,
        seed=seed,
    )
    return adjusted(estimate, influence[inverse], design)


def _numbered(codes: Codes, size: int) -> tuple[Codes, Codes]:
    """Return the codes that occur, sorted, and the place among them of each."""
    if size > _SHORT:
        cells, inverse = np.unique(codes, return_inverse=True)
        return cells, inverse
    cells = np.flatnonzero(np.bincount(codes, minlength=size))
    places = np.zeros(size, dtype=np.intp)
    places[cells] = np.arange(cells.size)
    return cells, places[codes]


def _confusions(counts: Array, places: Codes, classes: int) -> Array:
    """Sum counts of joint cells, (..., cells), into confusion matrices, (..., k, k)."""
    size = classes * classes
    if places.size * size <= _SMALL:
        summed = counts @ np.eye(size)[places]
    else:
        summed = np.array([np.bincount(places, weights=row, minlength=size) for row in counts])
    return summed.reshape(*counts.shape[:-1], classes, classes)


def _slopes(metric: TableMetric, table: Array) -> Array:
    """Return how the metric moves per row that is added to each cell: its influence function, (k, k)."""
    shares = table / table.sum()
    cells = shares.size
    steps = np.eye(cells).reshape(cells, *shares.shape)
    moved = metric(shares * (1 - _STEP) + _STEP * steps)
    slopes = (moved - metric(shares)) / _STEP
    return np.where(np.isfinite(slopes), slopes, 0.0).reshape(shares.shape)


def _range(first: Array, second: Array) -> tuple[float, float]:
    """Return the smallest and the largest influence that a row can have on the difference."""
    low = float(np.min(first.min(axis=1) - second.max(axis=1)))
    return low, float(np.max(first.max(axis=1) - second.min(axis=1)))


def _carrying(counts: Array, influence: Array, side: int) -> float:
    """Return how many equally important rows carry the change to one side."""
    part = np.where(influence * side > 0, influence, 0.0)
    fourth = float((counts * part**4).sum())
    return float((counts * part**2).sum()) ** 2 / fourth if fourth > 0 else 0.0


def _linearized(
    influence: Array, counts: Array, low: float, high: float
) -> Callable[[float, float, float], tuple[float, float]]:
    """Return Gaffke's bounds for the mean of influences that can lie between `low` and `high`."""
    low, high = min(low, float(np.min(influence))), max(high, float(np.max(influence)))
    width = high - low
    if width <= 0:
        return lambda *_: (-math.inf, math.inf)
    mean = bounded_mean(np.clip((influence - low) / width, 0.0, 1.0), counts)

    def bounds(level: float, growth: float, power: float) -> tuple[float, float]:
        lower, upper = mean.bounds(level, growth, power)
        center = 0.0 if mean.value is None else mean.value
        return (
            -math.inf if lower is None else (lower - center) * width,
            math.inf if upper is None else (upper - center) * width,
        )

    return bounds


def _percentile(value: float, drawn: Array) -> Callable[[float, float, float], Bounds]:
    """Return percentile bounds; beyond the last ten replicates they go on as a normal tail would."""
    defined = np.sort(drawn[np.isfinite(drawn)])
    if defined.size < drawn.size * (1 - _MOST_UNDEFINED):
        return lambda *_: (None, None)
    highest = 1 - _LEAST_BEYOND / drawn.size

    def bounds(level: float, growth: float, power: float) -> Bounds:
        wanted = with_power(level, power)
        within = min(wanted, highest)
        stretch = normal_quantile(wanted) / normal_quantile(within) / math.sqrt(growth)
        low, high = (float(np.quantile(defined, share)) for share in (1 - within, within))
        return value - max(value - low, 0.0) * stretch, value + max(high - value, 0.0) * stretch

    return bounds


def paired_function(
    difference: Callable[[Codes], float],
    differs: npt.NDArray[np.bool_],
    design: Design,
    *,
    seed: int,
    widest: float | None = None,
) -> Estimate:
    """Estimate any difference between two models by leaving rows, or clusters, out.

    Parameters
    ----------
    difference : callable
        Maps positions of rows, each at most once, to the metric's difference on them (weights included); not
        finite where it is undefined. Called at most 121 times.
    differs : array of bool, shape (n,)
        The rows on which the models answer differently. With fewer than 50 of them (or of the clusters that
        hold one) there are no bounds: they would rest on what the few at hand are like.
    design : Design
    seed : int
        Of the random groups of rows.
    widest : float, optional
        The largest difference that the metric's range allows.

    Notes
    -----
    The delete-a-group jackknife of `resampling`, which has its own least number of rows that carry the
    variance.
    """
    n = differs.size
    low, high = (None, None) if widest is None else (-widest, widest)
    estimate = jackknife(difference, n, design, seed=seed, low=low, high=high)
    clusters = design.clusters
    units = int(np.count_nonzero(differs)) if clusters is None else np.unique(clusters[differs]).size
    if estimate.value is None or units >= LEAST_DIFFERING:
        return estimate
    unit = "rows" if clusters is None else "clusters"
    note = f"the models differ in {units:,} {unit}, fewer than {LEAST_DIFFERING}: no bounds would hold"
    return replace(estimate, bounds=lambda *_: (None, None), note=note)
