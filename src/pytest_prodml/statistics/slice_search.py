"""Columns of few levels and a loss a row -> the slices that lose most: bins, counts and a greedy choice.

Every combination of up to three columns is one pass over the rows: the codes are fused into one small integer
and counted. A found slice hides what merely overlaps it, so after each choice its rows are taken out of all
counts (a pass over those rows only) and the next one must be weak without them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.sufficient import weighted_counts

Array: TypeAlias = npt.NDArray[np.float64]
Small: TypeAlias = npt.NDArray[Any]

MOST_DEPTH = 3
#: Three columns are counted only if one of their cells could still lie this many standard errors off.
_LEAST_Z = 2.0
#: From so many rows on, counting two of them at once pays for the larger table of counts.
_MANY_ROWS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Weak:
    """A slice that loses more than the rest.

    Attributes
    ----------
    columns, levels : tuple of int
        Rows in which these columns have these levels.
    rows : int
        All its rows.
    mean : float
        Mean loss over all its rows.
    z : float
        How many standard errors the mean of those of its rows that are in no slice found before lies above
        the mean of all rows that are in none.
    """

    columns: tuple[int, ...]
    levels: tuple[int, ...]
    rows: int
    mean: float
    z: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What was found, weakest first, and among how many slices with enough rows."""

    found: tuple[Weak, ...]
    candidates: int


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows, weight and loss of every cell of some columns."""

    columns: tuple[int, ...]
    rows: Array
    mass: Array
    loss: Array


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows that are counted, all of the same length."""

    codes: tuple[Small, ...]
    sizes: tuple[int, ...]
    losses: Array
    weights: Array | None
    errors: Small | None

    def taken(self, places: npt.NDArray[np.intp]) -> _Rows:
        return _Rows(
            tuple(column[places] for column in self.codes),
            self.sizes,
            self.losses[places],
            None if self.weights is None else self.weights[places],
            None if self.errors is None else self.errors[places],
        )


def search(
    codes: Sequence[npt.NDArray[Any]],
    sizes: Sequence[int],
    losses: Array,
    *,
    weights: Array | None = None,
    depth: int = 2,
    min_rows: int = 30,
    top: int = 5,
) -> Search:
    """Find the slices of at most `depth` columns whose mean loss lies most standard errors above the rest.

    Parameters
    ----------
    codes, sizes : sequences of int arrays of shape (n,), and of int
        The level of each row in each column, from 0, and the number of levels (few: 2 to 9).
    losses : array of float, shape (n,)
        The higher, the worse. Zeros and ones are counted in half of the time.
    weights : array of float, shape (n,), optional
        Scaled to the sum n.
    depth : int
        1, 2 or 3. Cells of three columns are left out where the counts of two prove that none has enough
        rows or can be as much as two standard errors weaker than the rest (SliceLine; Sagadeeva, Boehm 2021).
    min_rows : int
        Slices need that many rows, of which none is in a slice found before.
    top : int
        How many to find.
    """
    if not 1 <= depth <= MOST_DEPTH:
        raise InputError(f"depth must be 1, 2 or 3, got {depth!r}")
    if min_rows < 1 or top < 1:
        raise InputError(f"min_rows and top must be at least 1, got {min_rows!r} and {top!r}")
    n = losses.size
    if n == 0 or not codes:
        return Search(found=(), candidates=0)
    spread = _spread(losses, weights) or 1.0
    shift = float(np.min(losses))
    shifted = losses - shift
    is_error = weights is None and bool(((shifted == 0) | (shifted == 1)).all())
    rows = _Rows(
        tuple(column.astype(np.uint8) for column in codes),
        tuple(sizes),
        shifted,
        weights,
        shifted.astype(np.uint8) if is_error else None,
    )
    mass, loss = (
        (float(n), float(shifted.sum()))
        if weights is None
        else (float(weights.sum()), float(weights @ shifted))
    )
    tables = list(_tables(rows, depth, min_rows, loss / mass, spread))
    whole = np.concatenate([table.rows for table in tables]), np.concatenate([table.mass for table in tables])
    losses_of = np.concatenate([table.loss for table in tables])
    owners = np.repeat(np.arange(len(tables)), [table.rows.size for table in tables])
    starts = np.cumsum([0, *(table.rows.size for table in tables)])
    left, left_mass, left_loss = whole[0].copy(), whole[1].copy(), losses_of.copy()
    candidates = int(np.count_nonzero(left >= min_rows))
    alive = np.ones(n, dtype=np.bool_)
    found: list[Weak] = []
    while len(found) < top and mass > 0:
        enough = (left >= min_rows) & (left_mass > 0)
        safe = np.where(enough, left_mass, 1.0)
        z = np.where(enough, (left_loss / safe - loss / mass) * np.sqrt(safe) / spread, -np.inf)
        best = int(np.argmax(z))
        if z[best] <= 0:
            break
        table = tables[owners[best]]
        shape = tuple(sizes[column] for column in table.columns)
        levels = tuple(int(place) for place in np.unravel_index(best - starts[owners[best]], shape))
        found.append(
            Weak(
                columns=table.columns,
                levels=levels,
                rows=int(whole[0][best]),
                mean=float(losses_of[best] / whole[1][best]) + shift,
                z=float(z[best]),
            )
        )
        equal = (rows.codes[c] == level for c, level in zip(table.columns, levels, strict=True))
        inside = reduce(np.logical_and, equal, alive)
        part = rows.taken(np.flatnonzero(inside))
        alive &= ~inside
        taken = [_count(part, table.columns) for table in tables]
        left -= np.concatenate([table.rows for table in taken])
        left_mass -= np.concatenate([table.mass for table in taken])
        left_loss -= np.concatenate([table.loss for table in taken])
        mass -= float(taken[0].mass.sum())
        loss -= float(taken[0].loss.sum())
    return Search(found=tuple(found), candidates=candidates)


def _spread(losses: Array, weights: Array | None) -> float:
    mean = np.average(losses, weights=weights)
    return math.sqrt(float(np.average((losses - mean) ** 2, weights=weights)))


def _tables(rows: _Rows, depth: int, min_rows: int, mean: float, spread: float) -> Iterator[_Table]:
    """Count all combinations, the small ones first: of two equal slices the simpler is taken."""
    places = range(len(rows.codes))
    pairs: dict[tuple[int, ...], Array] = {}
    for size in range(1, min(depth, 2, len(rows.codes)) + 1):
        for columns in itertools.combinations(places, size):
            table = _count(rows, columns)
            if depth > 2 and size == 2:
                pairs[columns] = _highest_z(table, rows, min_rows, mean, spread)
            yield table
    if depth < 3:
        return
    for a, b, c in itertools.combinations(places, 3):
        possible = np.minimum(pairs[a, b][:, :, np.newaxis], pairs[a, c][:, np.newaxis, :])
        if np.max(np.minimum(possible, pairs[b, c])) >= _LEAST_Z:
            yield _count(rows, (a, b, c))


def _highest_z(table: _Table, rows: _Rows, min_rows: int, mean: float, spread: float) -> Array:
    """Bound the z of every part of each cell: it is highest when all its loss lies on the fewest rows."""
    shape = tuple(rows.sizes[column] for column in table.columns)
    if rows.weights is not None:
        return np.where(table.rows >= min_rows, np.inf, -np.inf).reshape(shape)
    worst = float(np.max(rows.losses))
    fewest = np.minimum(np.maximum(table.loss / worst, min_rows), np.maximum(table.rows, 1.0))
    z = (table.loss / fewest - mean) * np.sqrt(fewest) / spread
    return np.where(table.rows >= min_rows, z, -np.inf).reshape(shape)


def _count(rows: _Rows, columns: tuple[int, ...]) -> _Table:
    sizes = [rows.sizes[column] for column in columns]
    cells = math.prod(sizes)
    # Products of small integers stay in one or two bytes, which is what makes the pass over the rows short.
    kind = np.uint8 if 2 * cells <= 256 else np.uint16 if 2 * cells <= 65_536 else np.uint32
    fused: Small = rows.codes[columns[0]].astype(kind)
    for column, size in zip(columns[1:], sizes[1:], strict=True):
        fused = fused * kind(size) + rows.codes[column]
    if rows.errors is not None:
        both = _counted(fused * kind(2) + rows.errors, 2 * cells).reshape(cells, 2)
        counts = both.sum(axis=1).astype(np.float64)
        return _Table(columns, counts, counts, both[:, 1].astype(np.float64))
    wide = fused.astype(np.intp)
    counts = np.bincount(wide, minlength=cells).astype(np.float64)
    if rows.weights is None:
        return _Table(columns, counts, counts, weighted_counts(wide, rows.losses, cells))
    mass = weighted_counts(wide, rows.weights, cells)
    loss = weighted_counts(wide, rows.weights * rows.losses, cells)
    return _Table(columns, counts, mass, loss)


def _counted(codes: Small, size: int) -> npt.NDArray[np.intp]:
    if codes.dtype != np.uint8 or codes.size < _MANY_ROWS or codes.size % 2:
        found: npt.NDArray[np.intp] = np.bincount(codes, minlength=size)
        return found
    # Two rows of one byte each are counted as one number of two bytes.
    both = np.bincount(codes.view(np.uint16), minlength=1 << 16).reshape(256, 256)
    counted: npt.NDArray[np.intp] = both.sum(axis=0) + both.sum(axis=1)
    return counted[:size]
