"""What decisions cost: outcomes and scores in, expected cost per row at every threshold out.

The rows are reduced to counts by outcome and threshold once, so a curve of costs takes one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.statistics.design import Design, adjusted, share_of_weight
from pytest_prodml.statistics.estimate import Bounds, Estimate, mapped, not_estimable
from pytest_prodml.statistics.intervals import bounded_mean

Array: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[np.bool_]

_MOST_THRESHOLDS = 100
#: Thresholds whose exact bound of the saving is computed: those with the largest approximate one.
_CANDIDATES = 8
_NINETY_FIVE = 1.645


@dataclass(frozen=True, slots=True, kw_only=True)
class CostMatrix:
    """The cost of a row by its outcome and decision; negative costs are gains."""

    true_negative: float
    false_positive: float
    false_negative: float
    true_positive: float

    @property
    def low(self) -> float:
        """The smallest cost."""
        return min(self.true_negative, self.false_positive, self.false_negative, self.true_positive)

    @property
    def span(self) -> float:
        """The largest less the smallest cost."""
        costs = (self.true_negative, self.false_positive, self.false_negative, self.true_positive)
        return max(costs) - min(costs)

    @property
    def table(self) -> Array:
        """The costs by outcome and decision, (2, 2)."""
        return np.array(
            [[self.true_negative, self.false_positive], [self.false_negative, self.true_positive]]
        )

    def of(self, is_positive: Rows, decided: Rows) -> Array:
        """Return the cost of each row."""
        return np.asarray(self.table[is_positive.astype(np.intp), decided.astype(np.intp)])

    def savings(self, is_positive: Rows, now: Rows, other: Rows) -> Array:
        """Return what each row would save if it were decided as in `other` rather than as `now`."""
        return self.of(is_positive, now) - self.of(is_positive, other)

    @property
    def of_errors(self) -> tuple[float, float]:
        """What a false positive and a false negative cost more than the right decision."""
        return self.false_positive - self.true_negative, self.false_negative - self.true_positive


def mean_between(values: Array, low: float, high: float, design: Design) -> Estimate:
    """Estimate the mean of values that can only lie between `low` and `high`, with Gaffke's bounds."""
    span = high - low
    weight = None if design.weights is None else share_of_weight(design, values.size)
    if span <= 0:
        return not_estimable("Gaffke", "all values are the same by definition")
    share = np.clip((values - low) / span, 0.0, 1.0)
    simple = bounded_mean(share, weight)
    if simple.value is None:
        return simple
    return mapped(adjusted(simple, share - simple.value, design), lambda part: low + part * span)


def expected_cost(is_positive: Rows, decided: Rows, costs: CostMatrix, design: Design) -> Estimate:
    """Estimate the mean cost of a row.

    A mean of at most four different numbers, with bounds that keep their level however rare the costly
    errors are (see `intervals.bounded_mean`).
    """
    return mean_between(costs.of(is_positive, decided), costs.low, costs.low + costs.span, design)


def candidate_thresholds(scores: Array) -> Array:
    """Return up to 100 thresholds that decide differently, from "all rows are positive" to "none is".

    Quantiles of the scores, and one number above them all.
    """
    if scores.size == 0:
        return np.zeros(0)
    inner = np.quantile(scores, np.linspace(0, 1, _MOST_THRESHOLDS - 1), method="inverted_cdf")
    return np.append(np.unique(inner), np.nextafter(np.max(scores), np.inf))


@dataclass(frozen=True, slots=True, kw_only=True)
class CostCurve:
    """The mean cost of a row at each threshold, with limits for that threshold alone."""

    thresholds: Array
    cost: Array
    lower: Array
    upper: Array

    @property
    def best(self) -> int:
        """The position of the smallest cost."""
        return int(np.argmin(self.cost))


def cost_curve(
    is_positive: Rows,
    scores: Array,
    costs: CostMatrix,
    design: Design,
    *,
    thresholds: Array,
    confidence_level: float,
) -> CostCurve:
    """Return the mean cost at each threshold with one-sided Gaffke limits, each at `confidence_level`.

    `thresholds` increase. Rows are counted once; only weights and clusters cost a pass for each threshold.
    """
    cells = _tally(is_positive, scores, thresholds, share_of_weight(design, scores.size))
    value, lower, upper = (np.full(thresholds.size, np.nan) for _ in range(3))
    for place, threshold in enumerate(thresholds.tolist()):
        if design.is_simple:
            share = (costs.table.ravel() - costs.low) / costs.span
            found = mapped(bounded_mean(share, cells[place].ravel()), lambda x: costs.low + x * costs.span)
        else:
            found = expected_cost(is_positive, scores >= threshold, costs, design)
        low, high = found.at(confidence_level)
        value[place] = np.nan if found.value is None else found.value
        lower[place] = np.nan if low is None else low
        upper[place] = np.nan if high is None else high
    return CostCurve(thresholds=thresholds, cost=value, lower=lower, upper=upper)


def _tally(is_positive: Rows, scores: Array, thresholds: Array, weight: Array) -> Array:
    """Return the weight of each cell of the confusion matrix at each threshold, (thresholds, 2, 2)."""
    reached = np.searchsorted(thresholds, scores, side="right")
    size = thresholds.size + 1
    counts = np.bincount(reached * 2 + is_positive, weights=weight, minlength=2 * size).reshape(size, 2)
    total = counts.sum(axis=0)
    below = np.cumsum(counts, axis=0)[:-1]
    return np.stack([below, np.maximum(total - below, 0.0)], axis=2)


def threshold_regret(
    is_positive: Rows,
    scores: Array,
    costs: CostMatrix,
    design: Design,
    *,
    threshold: float,
    thresholds: Array,
    seed: int,
) -> tuple[Estimate, float | None]:
    """Estimate what the best of `thresholds` would save per row, and return the one that looks best.

    The cheapest threshold on the data at hand looks better than it is, so it is not judged on them:

    - The value and the lower bound come from a split into halves (by clusters, seeded): the threshold that is
      cheapest on one half is held against the present one on the other.
    - "No threshold saves more than u" is a claim about each of them, so the upper bound is the largest of
      their upper bounds, each at the full level (intersection-union test, Berger 1982), from all rows.

    Savings are paired: only rows that the two thresholds decide differently count, with Gaffke's bounds.
    Returns None for the threshold where there are no rows.
    """
    method = "split halves, largest of paired Gaffke bounds"
    if is_positive.size < 2:
        return not_estimable(method, "there are too few rows to split into halves"), None
    weight = share_of_weight(design, is_positive.size)
    explore = _half(design, is_positive.size, seed)
    if not weight[explore].any() or not weight[~explore].any():
        return not_estimable(method, "there are too few rows with weight to split into halves"), None
    everything = _tally(is_positive, scores, thresholds, weight)
    explored = _tally(is_positive[explore], scores[explore], thresholds, weight[explore])
    best = int(np.argmin((explored * costs.table).sum(axis=(1, 2))))

    def saving(place: int, rows: Rows | slice) -> Estimate:
        other = float(thresholds[place])
        truth, score = is_positive[rows], scores[rows]
        of_false_positive, of_false_negative = costs.of_errors
        # A higher threshold avoids false positives and makes false negatives, a lower one the other way.
        low, high = -of_false_negative, of_false_positive
        if other < threshold:
            low, high = -of_false_positive, of_false_negative
        saved = costs.savings(truth, score >= threshold, score >= other)
        return mean_between(saved, low, high, design if isinstance(rows, slice) else design.subset(rows))

    now = _tally(is_positive, scores, np.array([threshold]), weight)[0]
    confirmed = saving(best, ~explore)
    uppers = [saving(place, slice(None)) for place in _largest_first(everything, now, costs)]
    value = None if confirmed.value is None else max(confirmed.value, 0.0)

    def bounds(level: float, growth: float, power: float) -> Bounds:
        lower = confirmed.bounds(level, growth, power)[0]
        found = [estimate.bounds(level, growth, power)[1] for estimate in uppers]
        known = [upper for upper in found if upper is not None]
        upper = max(known) if known and len(known) == len(found) else None
        return (
            None if lower is None else max(lower, 0.0),
            None if upper is None else max(upper, value or 0.0),
        )

    estimate = Estimate(value=value, method=method, bounds=bounds, note=confirmed.note, seed=seed)
    return estimate, float(thresholds[int(np.argmin((everything * costs.table).sum(axis=(1, 2))))])


def _half(design: Design, n: int, seed: int) -> Rows:
    """Draw half of the rows, or of the clusters."""
    codes = np.arange(n) if design.clusters is None else np.unique(design.clusters, return_inverse=True)[1]
    size = int(np.max(codes)) + 1
    chosen = np.zeros(size, dtype=np.bool_)
    chosen[np.random.default_rng(seed).permutation(size)[: size // 2]] = True
    return chosen[codes]


def _largest_first(cells: Array, now: Array, costs: CostMatrix) -> list[int]:
    """Return the thresholds with the largest approximate upper bounds of the mean saving."""
    n = float(now.sum())
    center = ((now - cells) * costs.table).sum(axis=(1, 2)) / n
    switched = np.abs(cells - now)[:, :, 1] / n
    errors = np.array(costs.of_errors)
    variance = np.maximum((switched * errors**2).sum(axis=1) - center**2, 0.0)
    # A threshold that decides few rows differently has no variance to speak of, but its bound allows for
    # rows that happen not to be there.
    gain = np.where(cells[:, 0, 1] + cells[:, 1, 1] < now[0, 1] + now[1, 1], errors[0], errors[1])
    approximate = center + _NINETY_FIVE * np.sqrt(variance / n) + gain / n
    return [int(place) for place in np.argsort(-approximate, kind="stable")[:_CANDIDATES]]
