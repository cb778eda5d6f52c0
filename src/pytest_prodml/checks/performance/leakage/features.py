"""Columns and a target -> how well each column alone predicts the target, and the largest of these values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.labels import label_column
from pytest_prodml.checks.overlap.columns import SharedColumn
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.design import Design, share_of_weight
from pytest_prodml.statistics.estimate import Bounds, Estimate, mapped, not_estimable
from pytest_prodml.statistics.rank_correlation import strength
from pytest_prodml.statistics.ranking import LEAST_FOR_AUC, roc_auc_of_rows

Array: TypeAlias = npt.NDArray[np.float64]

_FOLDS = 5
_BINS = 64
_MOST_CLASSES = 20
#: A column of numbers with more distinct values than this is a quantity, not a class.
_MOST_LEVELS = 20
_MOST_LEVEL = 1 - 1e-9
_NO_WEIGHT = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """What is to be predicted: `numbers` of a quantity, or `codes` of classes."""

    numbers: Array | None = None
    codes: npt.NDArray[np.intp] | None = None
    classes: tuple[Any, ...] = ()

    @property
    def measure(self) -> str:
        """What the strength of a column is measured by."""
        if self.numbers is not None:
            return "absolute Spearman correlation"
        return "ROC AUC" if len(self.classes) == 2 else "mean one-against-rest ROC AUC"

    def taken(self, rows: npt.NDArray[np.intp]) -> Target:
        """Return the rows at the given positions."""
        if self.numbers is not None:
            return Target(numbers=self.numbers[rows])
        codes = self.codes[rows] if self.codes is not None else None
        return Target(codes=codes, classes=self.classes)


def target_of(values: npt.NDArray[Any]) -> Target:
    """Read a target: a quantity where it is a number with more than 20 distinct values, else classes.

    Raises
    ------
    InputError
        If a value is missing or infinite.
    """
    array = np.asarray(values)
    is_number = array.dtype.kind in "fiu"
    if is_number and not np.isfinite(array).all():
        bad = int(np.count_nonzero(~np.isfinite(array)))
        raise InputError(f"the target is not a finite number in {bad:,} of {array.size:,} rows")
    if is_number and np.unique(array).size > _MOST_LEVELS:
        return Target(numbers=array.astype(np.float64))
    coded = label_column(array, name="the target")
    return Target(codes=coded.codes, classes=coded.categories)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """How well a column predicts the target: by the `order` of its numbers, or by the mean in `levels`."""

    column: str
    by: str
    estimate: Estimate


def strengths(
    columns: Sequence[SharedColumn], target: Target, design: Design, *, seed: int
) -> list[Strength]:
    """Measure every column on the training rows, alone.

    Each column is read in two ways, numbers also by their order. By its levels (64 quantile bins of numbers,
    missing values as a level of their own): a row's score is the mean of the target in its level over the
    other four fifths of the rows, so that a column of distinct values, which knows every training row and no
    other, predicts nothing. Entities (the clusters of `design`) are kept together, for the same reason: what
    only names the entity predicts nothing. A constant column is left out.

    Values and bounds are about the population that the training rows were drawn from: rows count with their
    weights, and entities, not rows, are independent.
    """
    known = target.codes if target.numbers is None else target.numbers
    size = 0 if known is None else known.size
    units = np.arange(size) if design.clusters is None else design.clusters
    units = np.unique(units, return_inverse=True)[1]
    folds = (np.random.default_rng(seed).permutation(int(np.max(units, initial=-1)) + 1) % _FOLDS)[units]
    found = []
    for column in columns:
        levels = _levels(column)
        if np.max(levels, initial=0) == 0:
            continue
        by_levels = _by_levels(levels, folds, target, design)
        found.append(Strength(column=column.name, by="levels", estimate=by_levels))
        ordered = _by_order(column, target, design) if column.is_number else None
        if ordered is not None:
            found.append(Strength(column=column.name, by="order", estimate=ordered))
    return found


def strongest(found: Sequence[Strength], *, lowest: float) -> Estimate:
    """Estimate the largest of the strengths.

    The upper bound is the largest of the upper bounds at the full level, for the column that is truly
    strongest is one of them (intersection-union test); the lower bound is the largest of the lower bounds at
    Bonferroni's level.
    """
    method = "largest of the columns"
    known = [item.estimate for item in found if item.estimate.value is not None]
    if not known:
        why = next((item.estimate.note for item in found if item.estimate.note), None)
        return not_estimable(method, why or "there is no column that varies")
    value = max(estimate.value for estimate in known if estimate.value is not None)

    def bounds(level: float, growth: float, power: float) -> Bounds:
        corrected = min(1 - (1 - level) / len(known), _MOST_LEVEL)
        uppers = [estimate.bounds(level, growth, power)[1] for estimate in known]
        lowers = [estimate.bounds(corrected, growth, power)[0] for estimate in known]
        upper = None if None in uppers else max(end for end in uppers if end is not None)
        lower = max((end for end in lowers if end is not None), default=lowest)
        return min(lower, value), None if upper is None else max(upper, value)

    notes = sorted({estimate.note for estimate in known if estimate.note})
    method = f"{method}, {known[0].method}"
    return Estimate(value=value, method=method, bounds=bounds, note=notes[0] if notes else None)


def _levels(column: SharedColumn) -> npt.NDArray[np.intp]:
    """Return codes from 0 on of the training rows' levels; the missing value is a level."""
    values, missing = column.reference, column.is_missing[: column.n_reference]
    if not column.is_number:
        return np.unique(values, return_inverse=True)[1].astype(np.intp)
    present = values[~missing]
    codes = np.zeros(values.size, dtype=np.intp)
    if present.size:
        distinct = np.unique(present)
        if distinct.size > _BINS:
            ranks = np.linspace(0, present.size - 1, _BINS + 1)[1:-1].astype(np.intp)
            distinct = np.unique(np.append(np.sort(present)[ranks], distinct[0]))
        codes[~missing] = np.searchsorted(distinct, present, side="right")
    return np.unique(codes, return_inverse=True)[1].astype(np.intp)


def _by_levels(
    levels: npt.NDArray[np.intp], folds: npt.NDArray[np.intp], target: Target, design: Design
) -> Estimate:
    weights = share_of_weight(design, levels.size)
    if target.numbers is not None:
        return strength(_out_of_fold(levels, folds, target.numbers, weights), target.numbers, design)
    scores = [_out_of_fold(levels, folds, rows.astype(np.float64), weights) for rows in _classes(target)]
    return _areas(scores, target, design)


def _out_of_fold(
    levels: npt.NDArray[np.intp], folds: npt.NDArray[np.intp], numbers: Array, weights: Array
) -> Array:
    """Return the mean of the level over the other folds; the mean of all where it does not occur there."""
    cells = levels * _FOLDS + folds
    size = (int(np.max(levels)) + 1) * _FOLDS
    counts = np.bincount(cells, weights=weights, minlength=size).reshape(-1, _FOLDS)
    sums = np.bincount(cells, weights=weights * numbers, minlength=size).reshape(-1, _FOLDS)
    others = (counts.sum(axis=1, keepdims=True) - counts).ravel()[cells]
    total = (sums.sum(axis=1, keepdims=True) - sums).ravel()[cells]
    mean = float(np.average(numbers, weights=weights))
    # What is left of sums of weights after a subtraction may be a rounding error.
    found: Array = (total + mean) / (others + 1)
    return np.where(others > _NO_WEIGHT, found, mean)


def _by_order(column: SharedColumn, target: Target, design: Design) -> Estimate | None:
    values = column.reference
    present = np.isfinite(values)
    if not present.any():
        return None
    # Missing values come first: a value that is there only after the outcome tells the same.
    numbers = np.where(present, values, float(np.min(values[present])) - 1)
    if target.numbers is not None:
        return strength(numbers, target.numbers, design)
    if len(target.classes) != 2:
        return None
    area = _areas([numbers], target, design)
    if area.value is None or area.value >= 0.5:
        return area
    return mapped(area, lambda share: 1 - share, falling=True)


def _classes(target: Target) -> list[npt.NDArray[np.bool_]]:
    """Return which rows are of each class that is measured: of two the second, else the most frequent 20."""
    codes = target.codes if target.codes is not None else np.zeros(0, dtype=np.intp)
    counts = np.bincount(codes, minlength=len(target.classes))
    if len(target.classes) == 2:
        return [codes == 1]
    measured = [int(place) for place in np.argsort(-counts, kind="stable")[:_MOST_CLASSES]]
    return [codes == place for place in measured if counts[place] >= LEAST_FOR_AUC]


def _areas(scores: Sequence[Array], target: Target, design: Design) -> Estimate:
    """Return the mean area over the classes; its bounds are the means of the bounds, which is careful."""
    method = "ROC AUC"
    classes = _classes(target)
    if len(target.classes) < 2 or not classes:
        return not_estimable(method, f"the target holds one class only, or none with {LEAST_FOR_AUC} rows")
    areas = [roc_auc_of_rows(rows, score, design)[0] for rows, score in zip(classes, scores, strict=True)]
    if len(areas) == 1:
        return areas[0]
    values = [area.value for area in areas if area.value is not None]

    def bounds(level: float, growth: float, power: float) -> Bounds:
        ends = [area.bounds(level, growth, power) for area in areas]
        lowers = [lower for lower, _ in ends if lower is not None]
        uppers = [upper for _, upper in ends if upper is not None]
        return (
            sum(lowers) / len(areas) if len(lowers) == len(areas) else None,
            sum(uppers) / len(areas) if len(uppers) == len(areas) else None,
        )

    return Estimate(value=sum(values) / len(values), method=f"mean of {areas[0].method}", bounds=bounds)
