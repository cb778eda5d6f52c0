"""How alike two persons are: distances over columns of mixed kinds, and the nearest others, exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.checks.people import numbers_of
from pytest_prodml.checks.swaps import values_of
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    Metric: TypeAlias = str | Callable[[pd.DataFrame, pd.DataFrame], npt.ArrayLike]

Array: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.intp]

METRICS = ("gower", "euclidean")
#: Cells of a block of the distance matrix: 32 MB.
_CELLS = 4_000_000
#: A category of a column with more of them stands in the embedding by its own, so this bounds memory.
_MOST_LEVELS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """Distances between rows of one frame, scaled by the rows of the pool alone.

    "gower" is the mean over columns of the difference in rank (as a share of the pool, 0 to 1) of numbers and
    of 1 for categories that differ, so it lies in [0, 1]. "euclidean" is the root of the summed squares of
    differences in standard deviations of the pool, and of 1 for categories that differ.
    """

    frame: pd.DataFrame
    points: Array | None
    metric: Metric
    told: str
    scale: float = 1.0

    @classmethod
    def of(cls, frame: pd.DataFrame, columns: Sequence[Any], pool: Places, metric: Metric) -> Distances:
        """Prepare distances over `columns`.

        Raises
        ------
        InputError
            For an unknown metric, or cells that can not be compared.
        """
        chosen = frame[list(columns)]
        if callable(metric):
            name = str(getattr(metric, "__name__", type(metric).__name__))
            return cls(frame=chosen, points=None, metric=metric, told=f"function {name}")
        if metric not in METRICS:
            raise InputError(
                f"unknown metric {metric!r}",
                hint=f"{', '.join(METRICS)}, or a function of two frames that returns a matrix of distances",
            )
        scaled = _ranks if metric == "gower" else _deviations
        mismatch = 0.5 if metric == "gower" else np.sqrt(0.5)
        parts = [_embedded(chosen[name], pool, scaled, mismatch) for name in columns]
        scale = float(len(columns)) if metric == "gower" else 1.0
        return cls(frame=chosen, points=np.hstack(parts), metric=metric, told=metric, scale=scale)

    def between(self, first: Places, second: Places) -> Array:
        """Return the distances of some rows to others, shape (len(first), len(second)).

        Raises
        ------
        InputError
            If a function of one's own returns another shape, or what is no distance.
        """
        if self.points is not None:
            kind = "cityblock" if self.metric == "gower" else "euclidean"
            cdist = require("scipy.spatial.distance", extra="performance").cdist
            return np.asarray(cdist(self.points[first], self.points[second], kind) / self.scale)
        own: Any = self.metric
        found = np.asarray(own(self.frame.iloc[first], self.frame.iloc[second]))
        if found.shape != (first.size, second.size) or found.dtype.kind not in "biuf":
            raise InputError(
                f"{self.told} returned {found.dtype} of shape {found.shape} for {first.size} and "
                f"{second.size} rows",
                hint="return one distance for each pair: (rows of the first, rows of the second)",
            )
        if not (np.isfinite(found).all() and (found >= 0).all()):
            raise InputError(f"{self.told} returned distances that are negative or not finite")
        return found.astype(np.float64)

    def nearest(
        self, rows: Places, pool: Places, neighbours: int, *, is_self: bool = False
    ) -> tuple[Array, Places]:
        """Return the distances of the nearest rows of the pool, and which they are: (n, neighbours) both.

        Of neighbours at the same distance those that stand first in the pool are taken. With `is_self` the
        rows are of the pool, and a row is not its own neighbour.
        """
        k = min(neighbours, pool.size - is_self)
        near, who = np.empty((rows.size, k)), np.empty((rows.size, k), dtype=np.intp)
        step = max(_CELLS // max(pool.size, 1), 1)
        for start in range(0, rows.size, step):
            block = rows[start : start + step]
            # Rounded, so that which of two equal neighbours comes first does not hang on the last bit.
            found = np.round(self.between(block, pool), 12)
            if is_self:
                found[block[:, None] == pool[None, :]] = np.inf
            order = np.argsort(found, axis=1, kind="stable")[:, :k] if k > 1 else found.argmin(1)[:, None]
            near[start : start + step] = np.take_along_axis(found, order, axis=1)
            who[start : start + step] = pool[order]
        return near, who


def _embedded(
    own: pd.Series, pool: Places, scaled: Callable[[Array, Places], Array], mismatch: float
) -> Array:
    """Return coordinates whose distance is the column's: a scaled number, or one axis for each category."""
    numbers = numbers_of(own)
    if numbers is not None:
        missing = np.isnan(numbers)
        values = scaled(numbers, pool)
        if not missing.any():
            return values[:, None]
        # A missing cell is like another missing one, and far from every value: in the middle, off the line.
        return np.column_stack([np.where(missing, 0.5, values), np.where(missing, 2 * mismatch**2, 0.0)])
    values_of(own)
    codes, levels = own.factorize(use_na_sentinel=False)
    if len(levels) > _MOST_LEVELS:
        raise InputError(
            f"holds {len(levels):,} different values, which says little about how alike two rows are",
            where=str(own.name),
            hint="name the columns that count: columns=[...], or leave this one out: ignore=[...]",
        )
    return np.asarray((codes[:, None] == np.arange(len(levels))[None, :]) * mismatch, dtype=np.float64)


def _ranks(numbers: Array, pool: Places) -> Array:
    """Return the share of the pool below each number, ties counted half."""
    known = np.sort(numbers[pool][~np.isnan(numbers[pool])])
    if known.size == 0:
        return np.zeros(numbers.size)
    below, upto = (np.searchsorted(known, numbers, side=side) for side in ("left", "right"))
    return np.asarray((below + upto) / (2 * known.size), dtype=np.float64)


def _deviations(numbers: Array, pool: Places) -> Array:
    """Return numbers in standard deviations of the pool; the largest finite one stands for infinite ones."""
    known = numbers[pool]
    known = known[np.isfinite(known)]
    if known.size == 0:
        return np.zeros(numbers.size)
    spread = float(np.std(known))
    clipped = np.clip(numbers, np.min(known), np.max(known)) if np.isinf(numbers).any() else numbers
    # A constant column of the pool has no unit; rows that differ from it anyway differ by one.
    scaled: Array = (clipped - known.mean()) / spread if spread > 0 else (clipped != known[0]).astype(float)
    return scaled
