"""Columns of two tables -> how many test rows are copies, exact or rounded, of training rows.

Linear in the number of rows: every row becomes a 64-bit hash, hashes are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.checks.overlap.columns import SharedColumn
from pytest_prodml.statistics.design import Design, adjusted
from pytest_prodml.statistics.estimate import Estimate
from pytest_prodml.statistics.independent import difference
from pytest_prodml.statistics.intervals import proportion

Hashes: TypeAlias = npt.NDArray[np.uint64]
Mask: TypeAlias = npt.NDArray[np.bool_]

#: A grid's step and the distance to the nearest other row, in robust standard deviations of a column.
STEP = 0.1
ISOLATION = 1.0
_GRIDS = 4
#: A row can only identify itself twice over where there are two columns for each half of it.
_LEAST_COLUMNS = 4
#: Below this share of distinct rows a table describes few kinds of things, and equal rows are no copies.
_LEAST_DISTINCT = 0.4
_LEAST_NEAR = 2
_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Copies:
    """Which rows have an equal row among the (other) training rows.

    Attributes
    ----------
    test : array of bool, shape (n_test,)
        Equal to a training row.
    telling : array of bool, shape (n_test,)
        Equal to a training row in a way that chance does not explain; see `exact_copies`.
    reference : array of bool, shape (n_reference,)
        Equal to another training row: how often chance (or a copy made before the split) does it.
    """

    test: Mask
    telling: Mask
    reference: Mask


def exact_copies(columns: Sequence[SharedColumn], *, seed: int) -> Copies:
    """Find the test rows all of whose values a training row has as well.

    A copy is *telling* if the row identifies itself twice over: the columns are split at random into two
    halves, and the values in either half occur in no different row. In a table of few levels the halves of a
    row occur in many different rows, so that equal rows are nothing to wonder about; nor are they in a table
    with fewer than four columns, or fewer than 40 % distinct rows.
    """
    hashes = [_bits(column) for column in columns]
    return _copies(hashes, columns[0].n_reference, seed)


def rounded_copies(columns: Sequence[SharedColumn], *, seed: int) -> Copies:
    """Find the test rows that equal a training row after rounding.

    Numbers are rounded to a grid of 0.1 robust standard deviations (of the training rows), other values have
    to be equal. A value may lie at the edge of its cell, so four grids are laid at random offsets, and one
    suffices. A copy is telling if, besides what `exact_copies` asks for, no different row lies in the same
    cell of a grid ten times as wide.
    """
    rng = np.random.default_rng(seed)
    n_reference = columns[0].n_reference
    scales = [_scale(column) for column in columns]
    found: list[Copies] = []
    for grid in range(_GRIDS):
        offsets = rng.random(len(columns))
        fine, wide = (
            [
                _cells(column, scale * step, offset) if column.is_number else _bits(column)
                for column, scale, offset in zip(columns, scales, offsets, strict=True)
            ]
            for step in (STEP, ISOLATION)
        )
        copies = _copies(fine, n_reference, seed + grid)
        alone = ~_crowded(row_hash(fine), row_hash(wide))[n_reference:]
        found.append(Copies(test=copies.test, telling=copies.telling & alone, reference=copies.reference))
    return Copies(
        test=np.any([item.test for item in found], axis=0),
        telling=np.any([item.telling for item in found], axis=0),
        reference=np.any([item.reference for item in found], axis=0),
    )


def near_copies(rounded: Copies, exact: Copies) -> Mask:
    """Return which test rows are telling copies after rounding, and no exact ones.

    A single one in all test rows is none: in tables of few columns measured coarsely it happens (in 1 of 60
    random splits of the 150 irises).
    """
    near = rounded.telling & ~exact.test
    return near if np.count_nonzero(near) >= _LEAST_NEAR else np.zeros_like(near)


def beyond_chance(copies: Copies, test: Design, reference: Design) -> Estimate:
    """Estimate how much more often a test row has an equal training row than a training row has another one.

    Rows that were drawn alike and split at random have equal partners equally often, however few levels the
    table has. Equal rows come in pairs at least, so the training rows count half. The bounds know the
    entities of `test` and `reference`: copies often come an entity at a time. Weights say nothing about how
    rows were copied and are not used.
    """
    return difference(
        _share(copies.test, 1.0, Design(clusters=test.clusters)),
        _share(copies.reference, 0.5, Design(clusters=reference.clusters)),
    )


def _share(rows: Mask, count: float, design: Design) -> Estimate:
    share = proportion(float(np.count_nonzero(rows)) * count, rows.size * count)
    return adjusted(share, rows.astype(np.float64) - float(np.mean(rows)), design)


def row_hash(columns: Sequence[Hashes]) -> Hashes:
    """Return a 64-bit hash of each row, from the bits of its values."""
    mixed = np.zeros(columns[0].size, dtype=np.uint64)
    for bits in columns:
        mixed = _scrambled(mixed + bits + _ODD)
    return mixed


def _scrambled(values: Hashes) -> Hashes:
    """Return the finalizer of SplitMix64 (Steele, Lea, Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * _MIX[0]
    values = (values ^ (values >> np.uint64(27))) * _MIX[1]
    return values ^ (values >> np.uint64(31))


def _bits(column: SharedColumn) -> Hashes:
    return np.ascontiguousarray(column.values).view(np.uint64)


def _scale(column: SharedColumn) -> float:
    """Return a robust standard deviation of the training rows; the plain one where half of them are equal."""
    if not column.is_number:
        return 1.0
    values = column.reference[np.isfinite(column.reference)]
    if values.size == 0:
        return 1.0
    quarter, three = np.quantile(values, (0.25, 0.75))
    robust = float(three - quarter) / 1.349
    spread = robust if robust > 0 else float(np.std(values))
    return spread if spread > 0 and np.isfinite(spread) else 1.0


def _cells(column: SharedColumn, step: float, offset: float) -> Hashes:
    cells = np.floor(column.values / step + offset)
    return np.where(np.isnan(cells), np.nan, cells + 0.0).view(np.uint64)


def _numbered(hashes: Hashes) -> npt.NDArray[np.intp]:
    codes, _ = require("pandas", extra="pipeline").factorize(hashes)
    return np.asarray(codes, dtype=np.intp)


def _copies(columns: Sequence[Hashes], n_reference: int, seed: int) -> Copies:
    rows = _numbered(row_hash(columns))
    in_reference = np.bincount(rows[:n_reference], minlength=int(np.max(rows)) + 1)
    test = in_reference[rows[n_reference:]] > 0
    telling = np.zeros(test.size, dtype=np.bool_)
    distinct = in_reference.size / rows.size
    if len(columns) >= _LEAST_COLUMNS and distinct >= _LEAST_DISTINCT:
        order = np.random.default_rng(seed).permutation(len(columns))
        telling = test.copy()
        for half in (order[::2], order[1::2]):
            part = row_hash([columns[place] for place in half])
            telling &= ~_shared(rows, _numbered(part))[n_reference:]
    return Copies(test=test, telling=telling, reference=in_reference[rows[:n_reference]] > 1)


def _crowded(rows: Hashes, neighborhoods: Hashes) -> Mask:
    return _shared(_numbered(rows), _numbered(neighborhoods))


def _shared(rows: npt.NDArray[np.intp], parts: npt.NDArray[np.intp]) -> Mask:
    """Say for each row whether its part occurs in a different row too."""
    kinds = int(np.max(rows)) + 1
    first = np.empty(kinds, dtype=np.intp)
    first[rows[::-1]] = np.arange(rows.size)[::-1]
    holders = np.bincount(parts[first])
    if int(np.max(parts)) + 1 > holders.size:
        holders = np.append(holders, np.zeros(int(np.max(parts)) + 1 - holders.size, dtype=holders.dtype))
    shared: Mask = holders[parts] > 1
    return shared
