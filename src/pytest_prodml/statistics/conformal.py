"""Prediction intervals and sets: outcomes and what was predicted in, coverage, width and scores out.

Accepts what MAPIE and other conformal libraries return. Coverage is a share of rows, so its bounds are exact;
they are about *marginal* coverage, over the population that the rows come from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.design import Design, adjusted, share_of_weight
from pytest_prodml.statistics.estimate import (
    Bounds,
    Estimate,
    mapped,
    normal_quantile,
    not_estimable,
    with_power,
)
from pytest_prodml.statistics.intervals import bounded_mean, mean, proportion
from pytest_prodml.statistics.sufficient import as_numbers

Array: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[np.bool_]

_SHOWN = 5
#: A mean of values with a skewness above it has no bound on the side of the tail from fewer rows.
_MOST_SKEWNESS = 1.0
_LEAST_WITH_TAIL = 400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intervals:
    """Prediction intervals with the numbers that they are about, each of shape (n,).

    `lower` may be minus infinity and `upper` infinity: an interval without an end on that side.
    """

    y_true: Array
    lower: Array
    upper: Array

    @property
    def covered(self) -> Rows:
        """Which rows lie in their interval; both ends belong to it."""
        return np.asarray((self.lower <= self.y_true) & (self.y_true <= self.upper))

    @property
    def width(self) -> Array:
        """The width of each interval, infinite where an end is missing."""
        return self.upper - self.lower

    def score(self, coverage: float) -> Array:
        """Return the interval score of each row (Winkler 1972; Gneiting, Raftery 2007), smaller is better.

        The width, and where the number lies outside of the interval 2 / (1 - coverage) times how far.
        """
        with np.errstate(invalid="ignore"):
            below = np.where(self.y_true < self.lower, self.lower - self.y_true, 0.0)
            above = np.where(self.y_true > self.upper, self.y_true - self.upper, 0.0)
        return self.width + 2 / (1 - coverage) * (below + above)


def intervals_of(y_true: npt.ArrayLike, lower: npt.ArrayLike, upper: npt.ArrayLike) -> Intervals:
    """Check prediction intervals.

    Parameters
    ----------
    y_true : array-like of float, shape (n,)
        Finite.
    lower, upper : array-like of float, shape (n,)
        The ends. Minus infinity and infinity stand for no end.

    Raises
    ------
    InputError
        For other shapes; a number that is NaN, or infinite on the wrong side; a lower end above its upper
        end (crossed quantiles), with the first positions.
    """
    truth = _column(y_true, "y_true")
    ends = _column(lower, "lower"), _column(upper, "upper")
    if not truth.size == ends[0].size == ends[1].size:
        raise InputError(
            f"the columns differ in length: y_true {truth.size:,}, lower {ends[0].size:,}, "
            f"upper {ends[1].size:,} rows"
        )
    _refuse(~np.isfinite(truth), "y_true is not a finite number")
    _refuse(np.isnan(ends[0]) | (ends[0] == np.inf), "lower is NaN or infinite")
    _refuse(np.isnan(ends[1]) | (ends[1] == -np.inf), "upper is NaN or minus infinite")
    _refuse(
        ends[0] > ends[1],
        "the lower end lies above the upper end",
        hint="quantiles cross: sort them, or fit them so that they can not (conformalized or joint fits)",
    )
    return Intervals(y_true=truth, lower=ends[0], upper=ends[1])


def split_intervals(intervals: npt.ArrayLike, *, level: int = 0) -> tuple[Array, Array]:
    """Return lower and upper ends of an array of intervals, (n, 2) or MAPIE's (n, 2, levels).

    `level` is the position on the last axis.
    """
    array = as_numbers(intervals, name="prediction intervals")
    if array.ndim == 3 and array.shape[1] == 2 and -array.shape[2] <= level < array.shape[2]:
        array = array[:, :, level]
    if array.ndim != 2 or array.shape[1] != 2:
        raise InputError(
            f"prediction intervals must be of shape (n, 2) or (n, 2, levels), got {array.shape}",
            hint="pass lower and upper ends as two columns, or MAPIE's intervals and the level to judge",
        )
    return array[:, 0], array[:, 1]


def _column(values: npt.ArrayLike, name: str) -> Array:
    column = as_numbers(values, name=name)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise InputError(f"{name} must be one number for each row, got an array of shape {column.shape}")
    return column


def _refuse(bad: Rows, what: str, *, hint: str | None = None) -> None:
    places = np.flatnonzero(bad)
    if places.size:
        first = ", ".join(map(str, places[:_SHOWN])) + (", ..." if places.size > _SHOWN else "")
        raise InputError(f"{what} in {places.size:,} of {bad.size:,} rows, at positions {first}", hint=hint)


def coverage(covered: Rows, design: Design) -> Estimate:
    """Estimate the share of rows that are covered, with exact bounds (Clopper, Pearson 1934)."""
    weight = share_of_weight(design, covered.size)
    hits = float((weight * covered).sum())
    simple = proportion(hits, float(covered.size))
    if simple.value is None:
        return simple
    return adjusted(simple, np.asarray(covered - simple.value, dtype=np.float64), design)


def mean_of(values: Array, design: Design) -> Estimate:
    """Estimate a mean without a known range (widths, scores).

    Student's bounds, the one on the side of the long tail moved out by the skewness (Johnson 1978); with
    fewer than 400 rows and a skewness above 1 there is none on that side, as it would miss up to 14 %. No
    value where some are infinite: the mean is infinite as well.
    """
    method = "Student t, moved for skewness"
    if values.size and not np.isfinite(values).all():
        open_ended = int(np.count_nonzero(~np.isfinite(values)))
        return not_estimable(
            method, f"{open_ended:,} of {values.size:,} are infinite, so their mean is as well"
        )
    weight = None if design.weights is None else share_of_weight(design, values.size)
    simple = mean(values, weight)
    if simple.value is None or values.size < 2:
        return simple
    center = simple.value
    second = float(np.average((values - center) ** 2, weights=weight))
    third = float(np.average((values - center) ** 3, weights=weight))
    tail = third / (second * values.size) if second > 0 else 0.0

    skewness = third / second**1.5 if second > 0 else 0.0
    has_tail = abs(skewness) > _MOST_SKEWNESS

    def bounds(level: float, growth: float, power: float) -> Bounds:
        lower, upper = simple.bounds(level, growth, power)
        z = normal_quantile(with_power(level, power))
        move = (2 * z * z + 1) / 6 * tail / growth
        open_ended = has_tail and values.size * growth < _LEAST_WITH_TAIL
        return (
            None if lower is None or (open_ended and move < 0) else lower + min(move, 0.0),
            None if upper is None or (open_ended and move > 0) else upper + max(move, 0.0),
        )

    note = None
    if has_tail and values.size < _LEAST_WITH_TAIL:
        note = f"a long tail and fewer than {_LEAST_WITH_TAIL} rows have no bound on its side"
    return adjusted(replace(simple, method=method, bounds=bounds, note=note), values - center, design)


def mean_set_size(sizes: npt.NDArray[np.intp], n_classes: int, design: Design) -> Estimate:
    """Estimate the mean number of labels in a set, between 0 and `n_classes`, with Gaffke's bounds."""
    share = np.asarray(sizes, dtype=np.float64) / n_classes
    weight = None if design.weights is None else share_of_weight(design, sizes.size)
    simple = bounded_mean(share, weight)
    if simple.value is None:
        return simple
    return mapped(adjusted(simple, share - simple.value, design), lambda part: part * n_classes)
