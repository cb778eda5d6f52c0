"""The area under the ROC curve for several classes: a score for each row and class in, estimates out.

One class against the rest, or each pair of classes, is an area of two classes; the metric is a mean of these.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.statistics.design import Design, adjusted, share_of_weight
from pytest_prodml.statistics.estimate import Bounds, Estimate, not_estimable, with_power
from pytest_prodml.statistics.ranking import LEAST_FOR_AUC, auc_influence, roc_auc
from pytest_prodml.statistics.sufficient import Codes, placed_score_table

Array: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[np.bool_]
_METHOD = "logit DeLong of a mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One area of two classes: its share in the mean, and what each row adds to it, shape (n,)."""

    estimate: Estimate
    share: float
    influence: Array
    of_share: Array


def multiclass_roc_auc(
    scores: Array,
    codes: Codes,
    classes: Sequence[Any],
    design: Design,
    *,
    average: Literal["ovr", "ovo"],
    weighted: bool,
) -> Estimate:
    """Estimate the mean area over classes (one against the rest) or over pairs of classes (Hand, Till 2001).

    The variance is that of the mean of the rows' influences (DeLong's placements in every area, and with
    weights those of the shares of the classes), the bounds are symmetric on the logit scale. Where one of the
    areas has too few misranked rows for that, the bounds are at least as wide as the mean of the bounds of
    the areas, which is right if all err together and too wide otherwise.

    Parameters
    ----------
    scores : array of float, shape (n, classes)
    codes : array of int, shape (n,)
        The true class of each row.
    classes : sequence
        Their labels.
    design : Design
    average : {"ovr", "ovo"}
    weighted : bool
        Weigh the areas by the shares of their classes instead of all alike.

    Returns
    -------
    Estimate
        Without a value where a class has no row; without bounds where one has fewer than 10.
    """
    n = codes.size
    weights = share_of_weight(design, n)
    sizes = np.bincount(codes, weights=weights, minlength=len(classes))
    rows = np.bincount(codes, minlength=len(classes))
    if n == 0 or len(classes) < 2:
        return not_estimable(_METHOD, "there are no rows" if n == 0 else "there is only one class")
    if not sizes.all():
        return not_estimable(_METHOD, f"there are no rows of the class {classes[int(np.argmin(sizes))]!r}")
    shares = sizes / n
    build = _one_against_rest if average == "ovr" else _pairs
    parts = list(build(scores, codes, weights, None if design.weights is None else weights, shares, weighted))
    total = sum(part.share for part in parts)
    values = [part.estimate.value or 0.0 for part in parts]
    value = min(sum(part.share * one for part, one in zip(parts, values, strict=True)) / total, 1.0)
    influence = np.zeros(n)
    for part, one in zip(parts, values, strict=True):
        influence += (part.share * part.influence + part.of_share * (one - value)) / total
    squares = weights * influence**2
    error = math.sqrt(float(squares.sum()) / (n * max(n - 1, 1)))
    fourth = float((weights * influence**4).sum())
    carrying = float(squares.sum()) ** 2 / fourth if fourth > 0 else 0.0
    settled = all(part.estimate.method == "logit DeLong" for part in parts)
    smallest = int(np.min(rows))

    def bounds(level: float, growth: float, power: float) -> Bounds:
        if smallest * growth < LEAST_FOR_AUC:
            return None, None
        ends = [part.estimate.bounds(level, growth, power) for part in parts]
        lower, upper = (
            sum(
                part.share * (far if end[side] is None else end[side] or 0.0)
                for part, end in zip(parts, ends, strict=True)
            )
            / total
            for side, far in ((0, 0.0), (1, 1.0))
        )
        stdtrit = require("scipy.special", extra="performance").stdtrit
        quantile = float(stdtrit(max(min(carrying, n - 1) * growth, 1.0), with_power(level, power)))
        low, high = _logit_bounds(value, quantile * error / math.sqrt(growth))
        if settled:
            return low, high
        return min(low, lower), max(high, upper)

    estimate = Estimate(
        value=value,
        method=_METHOD if settled else f"{_METHOD} or the mean of the bounds, the wider",
        bounds=bounds,
        note=None
        if smallest >= LEAST_FOR_AUC
        else f"fewer than {LEAST_FOR_AUC} rows of a class are too few for bounds that keep their level",
    )
    groups = () if settled else [codes == code for code in range(len(classes))]
    return adjusted(estimate, influence, design, parts=groups)


def _area(is_positive: Rows, scores: Array, weights: Array | None) -> tuple[Estimate, Array]:
    table, places = placed_score_table(is_positive, scores, weights)
    estimate = roc_auc(table)
    return estimate, auc_influence(table, places, is_positive, estimate.value or 0.0)


def _one_against_rest(
    scores: Array, codes: Codes, weights: Array, costs: Array | None, shares: Array, weighted: bool
) -> Iterator[_Part]:
    for code, share in enumerate(shares.tolist()):
        estimate, influence = _area(codes == code, scores[:, code], costs)
        yield _Part(
            estimate=estimate,
            share=share if weighted else 1.0,
            influence=influence,
            of_share=(codes == code) - share if weighted else np.zeros(weights.size),
        )


def _pairs(
    scores: Array, codes: Codes, weights: Array, costs: Array | None, shares: Array, weighted: bool
) -> Iterator[_Part]:
    n = weights.size
    for first, second in itertools.combinations(range(shares.size), 2):
        inside = np.flatnonzero((codes == first) | (codes == second))
        share = float(shares[first] + shares[second])
        of_share = np.zeros(n)
        if weighted:
            of_share -= share
            of_share[inside] += 1
        for one in (first, second):
            estimate, found = _area(
                codes[inside] == one, scores[inside, one], None if costs is None else costs[inside]
            )
            influence = np.zeros(n)
            # `found` is relative to the weight of the pair, influences are to that of all rows.
            influence[inside] = found / share
            yield _Part(
                estimate=estimate,
                share=(share if weighted else 1.0) / 2,
                influence=influence,
                of_share=of_share / 2,
            )


def _logit_bounds(value: float, half: float) -> tuple[float, float]:
    if not 0 < value < 1:
        return value, value
    logit, width = math.log(value / (1 - value)), half / (value * (1 - value))
    lower, upper = (1 / (1 + math.exp(-min(max(logit + side * width, -700.0), 700.0))) for side in (-1, 1))
    return lower, upper
