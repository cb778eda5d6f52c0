"""What the checks of single persons share: shares and means under a design, halves of rows, numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.labels import checked_number
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, Subject
from pytest_prodml.statistics.design import Design, adjusted, share_of_weight
from pytest_prodml.statistics.estimate import Estimate, not_estimable
from pytest_prodml.statistics.intervals import bounded_mean, mean, proportion

if TYPE_CHECKING:
    import pandas as pd


def flagged_share(flags: npt.NDArray[np.bool_], design: Design, *, of: str = "rows") -> Estimate:
    """Estimate the share of rows that something holds for, with exact bounds that know the design."""
    n = flags.size
    if n == 0:
        return proportion(0, 0, of=of)
    weights = share_of_weight(design, n)
    if not weights.any():
        return not_estimable("Clopper-Pearson", f"there are no {of} with a weight")
    hits = min(float(weights[flags].sum()) if design.weights is not None else float(flags.sum()), float(n))
    return adjusted(proportion(hits, n, of=of), flags.astype(np.float64) - hits / n, design)


def mean_of(values: npt.NDArray[np.float64], design: Design, *, is_share: bool) -> Estimate:
    """Estimate a mean; of values in [0, 1] by Gaffke's bounds, else by Student's t."""
    weights = None if design.weights is None else share_of_weight(design, values.size)
    found = bounded_mean(values, weights) if is_share else mean(values, weights)
    if found.value is None:
        return found
    return adjusted(found, values - found.value, design)


def drawn(n: int, design: Design, most: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return at most about `most` rows in order, whole clusters of them."""
    if n <= most:
        return np.arange(n)
    if design.clusters is None:
        return np.sort(rng.choice(n, size=most, replace=False))
    # Clusters in random order until there are enough rows; at least one.
    sizes = np.bincount(design.clusters)
    order = rng.permutation(sizes.size)
    last = max(int(np.searchsorted(np.cumsum(sizes[order]), most, side="right")), 1)
    return np.flatnonzero(np.isin(design.clusters, order[:last]))


def halves(n: int, design: Design, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return which rows are in the first half; rows of one cluster stay together."""
    if design.clusters is None:
        first = np.zeros(n, dtype=np.bool_)
        first[rng.permutation(n)[: n // 2]] = True
        return first
    codes = np.unique(design.clusters, return_inverse=True)[1]
    size = int(np.max(codes, initial=-1)) + 1
    chosen = np.zeros(size, dtype=np.bool_)
    chosen[rng.permutation(size)[: size // 2]] = True
    return np.asarray(chosen[codes], dtype=np.bool_)


def numbers_of(own: pd.Series) -> npt.NDArray[np.float64] | None:
    """Return a column of numbers, dates or spans of time with NaN where it is missing; None for any other.

    Raises
    ------
    InputError
        For complex numbers, which have no order.
    """
    import pandas as pd

    types = pd.api.types
    if types.is_complex_dtype(own.dtype):
        raise InputError("holds complex numbers, which have no order", where=str(own.name))
    if types.is_datetime64_any_dtype(own.dtype) or types.is_timedelta64_dtype(own.dtype):
        own = own.astype("int64").astype("float64").where(own.notna())
    if not types.is_numeric_dtype(own.dtype) or types.is_bool_dtype(own.dtype):
        return None
    return np.asarray(own.to_numpy(dtype=np.float64, na_value=np.nan))


def checked_size(value: object, name: str) -> float:
    """Return a finite number from 0 on."""
    found = checked_number(value, name=name)
    if not (math.isfinite(found) and found >= 0):
        raise InputError(f"{name} must be a number from 0 on, got {value!r}")
    return found


def checked_whole(value: object, name: str, *, most: int) -> int:
    """Return a whole number from 1 to `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 1 <= value <= most:
        raise InputError(f"{name} must be a whole number from 1 to {most}, got {value!r}")
    return int(value)


def bound_to(made: Evidence, subjects: tuple[Subject, ...], materials: tuple[Subject, ...]) -> Evidence:
    """Return the evidence with what it is about."""
    return replace(made, subjects=subjects, materials=materials)
