"""Sums over the cells of two groups by stratum -> the parts of the gap between their means, with bounds.

With shares w and means r of the strata, the gap of two means is ``sum w_a r_a - sum w_b r_b``. On the strata
that both groups have it is the sum of

- composition: the strata have other shares, ``sum (w_a - w_b) q``;
- within: the same stratum has other means, ``sum (r_a - r_b) k``;

with ``q = (r_a + r_b) / 2`` and ``k = (w_a + w_b) / 2`` (Kitagawa 1955), or ``q = r_b`` and ``k = w_a``
(Oaxaca 1973, Blinder 1973, for a regression on one indicator a stratum). Rows of strata that only one group
has can be compared with nobody; what they move is a third part (Nopo 2008), so that the three always add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.statistics.estimate import Bounds, Estimate, not_estimable, with_power
from pytest_prodml.statistics.sufficient import Codes, weighted_counts

Array: TypeAlias = npt.NDArray[np.float64]

#: Clusters below which there are no bounds.
_LEAST_CLUSTERS = 20
_METHOD = "delta method, Student"
_NO_OVERLAP = "no stratum holds rows of both groups, so nothing can be compared within strata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """One group by stratum: sums of the weights, of their squares, and with the values; arrays (strata,)."""

    rows: Array
    weight: Array
    value: Array
    square: Array
    square_value: Array
    square_value2: Array

    @property
    def share(self) -> Array:
        """The share of each stratum among the rows of the group."""
        return np.asarray(self.weight / self.weight.sum())

    @property
    def mean(self) -> Array:
        """The mean of each stratum; 0 in one without rows."""
        return np.divide(self.value, self.weight, out=np.zeros_like(self.value), where=self.weight > 0)


def cells_of(values: Array, strata: Codes, weights: Array | None, count: int) -> Cells:
    """Reduce the rows of one group to sums by stratum, in one pass for each sum."""
    w = np.ones(values.size) if weights is None else weights

    def sums(of: Array) -> Array:
        return weighted_counts(strata, of, count)

    squares = w * w
    return Cells(
        rows=np.bincount(strata, minlength=count).astype(np.float64),
        weight=sums(w),
        value=sums(w * values),
        square=sums(squares),
        square_value=sums(squares * values),
        square_value2=sums(squares * values * values),
    )


def added(parts: Iterable[Cells]) -> Cells:
    """Return the cells of several groups taken together."""
    every = list(parts)
    names = ("rows", "weight", "value", "square", "square_value", "square_value2")
    return Cells(**{name: np.sum([getattr(part, name) for part in every], axis=0) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustered:
    """The rows of the two groups, for bounds that know which rows belong together.

    `side` is 0 for rows of the group and 1 for those it is compared with.
    """

    values: Array
    weights: Array | None
    strata: Codes
    side: Codes
    clusters: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """What a row moves: ``slope[stratum] * (value - mean of the cell) + shift[stratum]``, by weight."""

    slope: Array
    shift: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposition:
    """The gap of a group to what it is compared with, and its three parts, which add up to it.

    `overlapping` marks the strata that both have; `outside` is the share of each side's weight that lies in
    other strata.
    """

    raw: Estimate
    composition: Estimate
    within: Estimate
    outside_overlap: Estimate
    overlapping: npt.NDArray[np.bool_]
    outside: tuple[float, float]


def decompose(
    first: Cells, second: Cells, *, average: bool, is_rate: bool, rows: Clustered | None = None
) -> Decomposition:
    """Decompose the gap of two means, first minus second.

    Parameters
    ----------
    first, second : Cells
        Of the two groups, over the same strata; each has at least one row.
    average : bool
        Kitagawa's average of both groups as the standard, else Oaxaca-Blinder with the second as reference.
    is_rate : bool
        Whether the values are 0 and 1.
    rows : Clustered, optional
        Where rows are not independent of each other: variances are then summed over clusters.

    Notes
    -----
    Bounds are those of the linearized estimate with Student's quantile at Welch's degrees of freedom. Within
    a cell of a rate the variance is that of ``(hits + 1) / (rows + 2)``, so that 3 of 3 is not taken for
    certain; of means it is the cell's own, and the group's where a cell has one row. They are conditional on
    which strata overlap. One-sided misses at 95 %, measured on three strata of skewed rates (4,000 runs a
    setting): at most 6.1 % for the gap and the part within strata; 6.9 % for composition from 80 rows a
    group, 8.6 % with 30 rows in one.
    """
    sides = (first, second)
    both = (first.weight > 0) & (second.weight > 0)
    known = [np.where(both, side.weight, 0.0) for side in sides]
    inside = [float(weight.sum() / side.weight.sum()) for weight, side in zip(known, sides, strict=True)]
    outside = (1 - inside[0], 1 - inside[1])

    def estimate(value: float, influences: Sequence[Influence], most: float = 1.0) -> Estimate:
        most = most if is_rate else math.inf
        if rows is None:
            return _independent(value, sides, influences, most, is_rate=is_rate)
        return _clustered(value, sides, influences, rows, most)

    totals = [float(side.value.sum() / side.weight.sum()) for side in sides]
    sign = (1.0, -1.0)
    plain = [
        Influence(slope=np.full(both.size, sign[i]), shift=sign[i] * (side.mean - totals[i]))
        for i, side in enumerate(sides)
    ]
    raw = estimate(totals[0] - totals[1], plain)
    if not both.any():
        nothing = not_estimable(_METHOD, _NO_OVERLAP)
        return Decomposition(
            raw=raw,
            composition=nothing,
            within=nothing,
            outside_overlap=nothing,
            overlapping=both,
            outside=outside,
        )
    w = [weight / weight.sum() for weight in known]
    r = [np.where(both, side.mean, 0.0) for side in sides]
    q = (r[0] + r[1]) / 2 if average else r[1]
    k = (w[0] + w[1]) / 2 if average else w[0]
    gap = r[0] - r[1]
    composition = float(((w[0] - w[1]) * q).sum())
    within = float((gap * k).sum())
    # How q depends on the means, and k on the shares, of either group.
    of_q, of_k = ((0.5, 0.5), (0.5, 0.5)) if average else ((0.0, 1.0), (1.0, 0.0))

    def inner(i: int, slope: Array, shift: Array) -> Influence:
        """Spread what the rows inside the overlap move over all rows of the group."""
        centered = np.where(both, shift - (w[i] * shift).sum(), 0.0)
        return Influence(slope=np.where(both, slope, 0.0) / inside[i], shift=centered / inside[i])

    def per_share(of: Array, i: int) -> Array:
        found: Array = np.divide(of, w[i], out=np.zeros_like(of), where=both)
        return found

    moved = [inner(i, per_share((w[0] - w[1]) * of_q[i], i), sign[i] * q) for i in (0, 1)]
    treated = [inner(i, sign[i] * per_share(k, i), of_k[i] * gap) for i in (0, 1)]
    means = [float((w[i] * r[i]).sum()) for i in (0, 1)]
    matched = [inner(i, np.full(both.size, sign[i]), sign[i] * r[i]) for i in (0, 1)]
    rest = [
        Influence(slope=all_.slope - part.slope, shift=all_.shift - part.shift)
        for all_, part in zip(plain, matched, strict=True)
    ]
    left = (totals[0] - means[0]) - (totals[1] - means[1])
    return Decomposition(
        raw=raw,
        composition=estimate(composition, moved),
        within=estimate(within, treated),
        outside_overlap=estimate(left, rest, 2.0) if not both.all() else _exactly_nothing(),
        overlapping=both,
        outside=outside,
    )


def _exactly_nothing() -> Estimate:
    return Estimate(value=0.0, method="every stratum holds both groups", bounds=lambda *_: (0.0, 0.0))


def _independent(
    value: float, sides: Sequence[Cells], influences: Sequence[Influence], most: float, *, is_rate: bool
) -> Estimate:
    variances, degrees = [], []
    for side, influence in zip(sides, influences, strict=True):
        spread = _spread(side, is_rate=is_rate)
        cross = side.square_value - side.mean * side.square
        squares = (
            influence.slope**2 * spread
            + 2 * influence.slope * influence.shift * cross
            + influence.shift**2 * side.square
        )
        n = float(side.rows.sum())
        variances.append(float(squares.sum()) / float(side.weight.sum()) ** 2 * n / max(n - 1, 1.0))
        degrees.append(n - 1)
    if min(degrees) < 1:
        return _bounded(value, math.inf, 1.0, most, note="a group has a single row: no bounds")
    total = sum(variances)
    below = sum(v * v / d for v, d in zip(variances, degrees, strict=True))
    return _bounded(value, total, total * total / below if below > 0 else min(degrees), most)


def _spread(side: Cells, *, is_rate: bool) -> Array:
    """Return the sum of squared weight times squared residual of each cell, corrected for its size."""
    effective = np.divide(side.weight**2, side.square, out=np.zeros_like(side.weight), where=side.square > 0)
    if is_rate:
        hits = (effective * side.mean + 1) / (effective + 2)
        return np.asarray(side.square * hits * (1 - hits), dtype=np.float64)
    own = side.square_value2 - 2 * side.mean * side.square_value + side.mean**2 * side.square
    own = np.maximum(own, 0.0)
    many = effective > 1.5
    freed = np.where(many, effective / np.maximum(effective - 1, 0.5), 0.0)
    pooled = float((own * freed).sum() / max(float(side.square[many].sum()), 1e-300)) if many.any() else None
    if pooled is None:  # every row is alone in its cell: the spread of the group itself
        middle = float(side.value.sum() / side.weight.sum())
        pooled = float((side.square * (side.mean - middle) ** 2).sum() / side.square.sum())
    return np.asarray(np.where(many, own * freed, side.square * pooled), dtype=np.float64)


def _clustered(
    value: float, sides: Sequence[Cells], influences: Sequence[Influence], rows: Clustered, most: float
) -> Estimate:
    means = np.stack([side.mean for side in sides])
    slopes = np.stack([influence.slope for influence in influences])
    shifts = np.stack([influence.shift for influence in influences])
    totals = np.array([side.weight.sum() for side in sides])
    at = (rows.side, rows.strata)
    moved = (slopes[at] * (rows.values - means[at]) + shifts[at]) / totals[rows.side]
    if rows.weights is not None:
        moved = moved * rows.weights
    units, codes = np.unique(rows.clusters, return_inverse=True)
    if units.size < _LEAST_CLUSTERS:
        note = f"{units.size} clusters are fewer than {_LEAST_CLUSTERS}: no bounds"
        return _bounded(value, math.inf, 1.0, most, note=note)
    sums = weighted_counts(codes.ravel().astype(np.intp), moved, units.size)
    variance = float((sums**2).sum()) * units.size / (units.size - 1)
    return _bounded(value, variance, units.size - 1.0, most)


def _bounded(
    value: float, variance: float, degrees: float, most: float, *, note: str | None = None
) -> Estimate:
    def bounds(level: float, growth: float, power: float) -> Bounds:
        if not math.isfinite(variance):
            return (None, None)
        quantile = require("scipy.special", extra="performance").stdtrit
        half = float(quantile(max(degrees * growth, 1.0), with_power(level, power)))
        half *= math.sqrt(variance / growth)
        return max(value - half, -most), min(value + half, most)

    return Estimate(value=value, method=_METHOD, bounds=bounds, note=note)
