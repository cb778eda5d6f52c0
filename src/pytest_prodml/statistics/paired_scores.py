"""Two models that score the same rows: scores of both in, the difference of a ranking metric out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from pytest_prodml.statistics.design import Design, adjusted, share_of_weight
from pytest_prodml.statistics.estimate import Bounds, Estimate, not_estimable, with_power
from pytest_prodml.statistics.paired import Array, Law, Rows, from_influence, law_of, symmetric_gaffke
from pytest_prodml.statistics.ranking import LEAST_FOR_AP

#: Rows of a class, and rows' worth of it that carry the difference, from which its part needs no safe range.
_LEAST_IN_CLASS = 50
_LEAST_CARRYING_IN_CLASS = 20.0


def placements(is_positive: Rows, scores: Array, weights: Array) -> Array:
    """Return for each row the share of the other class that it is ranked right against, ties one half.

    The mean over either class is the area under the ROC curve. One sort; shape (n,).
    """
    _, inverse = np.unique(scores, return_inverse=True)
    positives = np.bincount(inverse, weights=weights * is_positive)
    negatives = np.bincount(inverse, weights=weights * ~is_positive)
    below = np.cumsum(negatives) - negatives / 2
    above = float(positives.sum()) - np.cumsum(positives) + positives / 2
    of_positives, of_negatives = below / float(negatives.sum()), above / float(positives.sum())
    return np.where(is_positive, of_positives[inverse], of_negatives[inverse])


def paired_roc_auc(is_positive: Rows, candidate: Array, baseline: Array, design: Design) -> Estimate:
    """Estimate the difference of two areas under the ROC curve on the same rows.

    DeLong, DeLong, Clarke-Pearson (1988): the difference is the mean, over the positive and over the negative
    rows, of how differently both models place a row, and its variance the sum of both. DeLong's own bounds
    miss up to 20 % with areas above .95 and 64 % where a candidate misjudges a few rows badly. Here each
    class has its own half width: Student's t with as many degrees of freedom as rows carry it, and Johnson's
    correction for skewness; with fewer than 50 rows of the class, or 20 rows' worth that carry its part,
    Gaffke's for differences between -1 and 1. They are combined by the method of variance estimates recovery.
    """
    method = "paired DeLong"
    weights = share_of_weight(design, is_positive.size)
    for name, rows in (("positive", is_positive), ("negative", ~is_positive)):
        if not float(weights[rows].sum()):
            return not_estimable(method, f"there are no {name} rows")
    change = placements(is_positive, candidate, weights) - placements(is_positive, baseline, weights)
    parts = [(change[rows], weights[rows]) for rows in (is_positive, ~is_positive)]
    value = float((parts[0][0] * parts[0][1]).sum() / parts[0][1].sum())
    laws = [law_of(*part) for part in parts]
    safe = [symmetric_gaffke(*part) for part in parts]

    def enough(law: Law, growth: float) -> bool:
        return law.n * growth >= _LEAST_IN_CLASS and law.carrying * growth >= _LEAST_CARRYING_IN_CLASS

    def bounds(level: float, growth: float, power: float) -> Bounds:
        down, up = 0.0, 0.0
        for law, gaffke in zip(laws, safe, strict=True):
            below, above = law.half_widths(with_power(level, power), growth)
            if not enough(law, growth):
                lower, upper = gaffke(level, growth, power)
                below, above = max(below, value - lower), max(above, upper - value)
            down, up = math.hypot(down, below), math.hypot(up, above)
        return max(value - down, -1.0), min(value + up, 1.0)

    estimate = Estimate(
        value=value,
        method=method if all(enough(law, 1.0) for law in laws) else f"{method} or Gaffke, the wider",
        bounds=bounds,
    )
    n = float(weights.sum())
    shares = np.where(is_positive, n / laws[0].n, n / laws[1].n)
    influence = (change - value) * shares if change.any() else change
    return adjusted(estimate, influence, design)


def paired_average_precision(
    is_positive: Rows, candidate: Array, baseline: Array, design: Design
) -> Estimate:
    """Estimate the difference of two average precisions on the same rows.

    The influences of the rows on both, as in `ranking.average_precision`, are subtracted; for the bounds see
    `paired.from_influence`. The small-sample biases of both values are of one sign and cancel, so nothing is
    corrected for them. Fewer than 20 positive rows: no bounds.
    """
    method = "paired infinitesimal jackknife"
    weights = share_of_weight(design, is_positive.size)
    positives = float(weights[is_positive].sum())
    if not positives or not float(weights[~is_positive].sum()):
        return not_estimable(method, f"there are no {'negative' if positives else 'positive'} rows")
    found = [_average_precision(is_positive, scores, weights) for scores in (candidate, baseline)]
    value, influence = found[0][0] - found[1][0], found[0][1] - found[1][1]
    estimate = from_influence(value, influence, design)
    if positives >= LEAST_FOR_AP:
        return replace(estimate, method=estimate.method.replace("Student t", "jackknife, Student t"))
    inner = estimate.bounds

    def bounds(level: float, growth: float, power: float) -> Bounds:
        return inner(level, growth, power) if positives * growth >= LEAST_FOR_AP else (None, None)

    note = f"fewer than {LEAST_FOR_AP} positive rows are too few for bounds that keep their level"
    return replace(estimate, bounds=bounds, note=note)


def _average_precision(is_positive: Rows, scores: Array, weights: Array) -> tuple[float, Array]:
    """Return the average precision and the influence of each row on it."""
    _, inverse = np.unique(-scores, return_inverse=True)
    at_score = np.bincount(inverse, weights=weights * is_positive)
    hits = np.cumsum(at_score)
    found = np.cumsum(np.bincount(inverse, weights=weights))
    positives = float(at_score.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        # Rows of weight 0 at the head of the ranking have no precision and no part in the sum.
        precision = np.where(found > 0, hits / found, 0.0)
        per_gain = np.where(found > 0, at_score * (found - hits) / found**2, 0.0)
        per_loss = np.where(found > 0, at_score * hits / found**2, 0.0)
    value = float((at_score * precision).sum()) / positives
    gained, lost = np.cumsum(per_gain[::-1])[::-1], np.cumsum(per_loss[::-1])[::-1]
    influence = np.where(is_positive, (precision - value + gained)[inverse], -lost[inverse])
    return value, influence * (float(weights.sum()) / positives)
