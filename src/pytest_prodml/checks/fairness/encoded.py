"""Columns of a table -> how well each, and all together, tell the groups of an attribute apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.checks.people import numbers_of
from pytest_prodml.checks.swaps import values_of
from pytest_prodml.statistics.design import Design, share_of_weight
from pytest_prodml.statistics.estimate import Estimate, not_estimable
from pytest_prodml.statistics.ranking import roc_auc_of_rows
from pytest_prodml.statistics.simultaneous import bonferroni_level

if TYPE_CHECKING:
    import pandas as pd

Array: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[np.bool_]

_BINS = 20
#: Prior rows of the overall rate in the rate of a category: a category seen once is no certainty.
_PRIOR = 5.0
#: By how much the curve over bins has to beat the straight order, on the rows that teach, to be used.
_CURVED = 0.02
_TREES, _LEAVES = 100, 15
_MOST_LEVELS = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """A column as numbers (NaN where missing) or as codes of its values (the missing one has a code)."""

    name: Any
    numbers: Array | None
    codes: npt.NDArray[np.intp]
    levels: int


def coded(own: pd.Series) -> Coded:
    """Read a column; dates are numbers, everything that is no number is a category.

    Raises
    ------
    InputError
        If cells can not be compared.
    """
    numbers = numbers_of(own)
    if numbers is not None:
        # Infinite values would stop the classifier; the largest float of 32 bits stands for them.
        numbers = np.nan_to_num(numbers, nan=np.nan, posinf=3e38, neginf=-3e38)
        return Coded(name=own.name, numbers=numbers, codes=np.empty(0, dtype=np.intp), levels=0)
    values_of(own)
    codes, levels = own.factorize(use_na_sentinel=False)
    return Coded(name=own.name, numbers=None, codes=codes.astype(np.intp), levels=len(levels))


def _rates(codes: npt.NDArray[np.intp], size: int, is_member: Rows, weights: Array, teach: Rows) -> Array:
    """Return the share of members by code among the rows that teach, drawn to the share of all."""
    mass = np.bincount(codes[teach], weights[teach], size)
    hits = np.bincount(codes[teach & is_member], weights[teach & is_member], size)
    overall = float(hits.sum() / max(mass.sum(), 1e-300))
    return np.asarray((hits + _PRIOR * overall) / (mass + _PRIOR), dtype=np.float64)


def _area(is_member: Rows, scores: Array, design: Design) -> float:
    value = roc_auc_of_rows(is_member, scores, design)[0].value
    return 0.5 if value is None else value


def evidence_of_column(column: Coded, is_member: Rows, teach: Rows, design: Design) -> Array:
    """Return for each row what the column says for the group, learnt from the rows that teach.

    Categories give the group's share in them. Numbers give themselves, turned in the direction that points to
    the group, or the share in twenty bins where that tells more (the middle against both ends); a missing
    number has a bin, and is put lowest in the order.
    """
    weights = share_of_weight(design, is_member.size)
    if column.numbers is None:
        return _rates(column.codes, column.levels, is_member, weights, teach)[column.codes]
    numbers, missing = column.numbers, np.isnan(column.numbers)
    known = numbers[teach & ~missing]
    if known.size == 0:
        return missing.astype(np.float64)
    part = design.subset(teach)
    order = np.where(missing, np.nextafter(np.min(numbers[~missing]), -np.inf), numbers)
    straight = _area(is_member[teach], order[teach], part)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = np.where(missing, edges.size + 1, np.searchsorted(edges, numbers, side="right")).astype(np.intp)
    shares = _rates(bins, edges.size + 2, is_member, weights, teach)[bins]
    if _area(is_member[teach], shares[teach], part) > max(straight, 1 - straight) + _CURVED:
        return shares
    return order if straight >= 0.5 else -order


def _varies(numbers: Array) -> bool:
    known = numbers[~np.isnan(numbers)]
    return known.size > 0 and (known.size < numbers.size or bool(np.ptp(known) > 0))


def evidence_of_all(
    columns: Sequence[Coded], groups: npt.NDArray[np.intp], teach: Rows, design: Design, seed: int
) -> Array:
    """Return the probability of each group for each row, from gradient boosted trees on all columns.

    Shape (rows, groups); a column of NaN for a group without a row that teaches.
    """
    # The trees can not bin a column without two values, and take at most 255 categories.
    kept = [
        column
        for column in columns
        if (column.levels <= _MOST_LEVELS if column.numbers is None else _varies(column.numbers[teach]))
    ]
    size = int(np.max(groups)) + 1
    found = np.full((groups.size, size), np.nan)
    seen = np.unique(groups[teach])
    if not kept or seen.size < 2:
        return found
    matrix = np.column_stack(
        [column.codes.astype(np.float64) if column.numbers is None else column.numbers for column in kept]
    )
    ensemble = require("sklearn.ensemble", extra="fairness")
    model = ensemble.HistGradientBoostingClassifier(
        max_iter=_TREES,
        max_leaf_nodes=_LEAVES,
        early_stopping=False,
        categorical_features=[column.numbers is None for column in kept],
        random_state=seed,
    )
    weights = None if design.weights is None else design.weights[teach]
    # Tables of this size are slower with many threads than with one.
    with require("threadpoolctl", extra="fairness").threadpool_limits(limits=1):
        model.fit(matrix[teach], groups[teach], sample_weight=weights)
        found[:, model.classes_.astype(np.intp)] = model.predict_proba(matrix)
    return found


def areas(scores: Array, groups: npt.NDArray[np.intp], judged: Rows, design: Design) -> list[Estimate]:
    """Estimate the area under the curve of each group against the rest, on the rows that are judged.

    `scores` is (rows, groups). Of two groups the second mirrors the first, so one is returned.
    """
    size = scores.shape[1]
    part = design.subset(judged)
    found = []
    for group in range(1 if size == 2 else size):
        column = scores[judged, group]
        if np.isnan(column).any():
            found.append(not_estimable("logit DeLong", "no row of the group teaches"))
            continue
        found.append(roc_auc_of_rows(groups[judged] == group, column, part)[0])
    return found


def largest(estimates: Sequence[Estimate], names: Sequence[str]) -> tuple[Estimate, int | None]:
    """Return the largest of several areas with bounds, and which one it is.

    The upper bound is the largest of the upper ones, each at the full level (the largest true area is one of
    them), the lower bound the largest of the lower ones at Bonferroni's level. Without a value of some group
    there is no upper bound.
    """
    known = [place for place, one in enumerate(estimates) if one.value is not None]
    if not known:
        note = next((one.note for one in estimates if one.note), None) or "there are no two groups"
        return not_estimable("logit DeLong", note), None
    best = max(known, key=lambda place: (estimates[place].value or 0.0, -place))
    lost = [names[place] for place in range(len(estimates)) if place not in known]

    def bounds(level: float, growth: float, power: float) -> tuple[float | None, float | None]:
        own = [estimates[place] for place in known]
        uppers = [one.bounds(level, growth, power)[1] for one in own]
        lowers = [one.bounds(bonferroni_level(level, len(own)), growth, power)[0] for one in own]
        told = [low for low in lowers if low is not None]
        ends = [high for high in uppers if high is not None]
        upper = max(ends) if len(ends) == len(own) and not lost else None
        return (max(told) if told else None), upper

    notes = [estimates[best].note, f"not measured: {', '.join(lost[:6])}" if lost else None]
    return Estimate(
        value=estimates[best].value,
        method=estimates[best].method,
        bounds=bounds,
        note="; ".join(note for note in notes if note) or None,
    ), best
