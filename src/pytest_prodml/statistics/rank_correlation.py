"""Two columns of numbers -> Spearman's rank correlation with bounds."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.statistics.estimate import Bounds, Estimate, normal_quantile, not_estimable

Array: TypeAlias = npt.NDArray[np.float64]

_LEAST_ROWS = 10
_METHOD = "Fisher z, Bonett-Wright"


def average_ranks(values: Array) -> Array:
    """Return the ranks from 1 on; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def strength(first: Array, second: Array) -> Estimate:
    """Estimate the absolute value of Spearman's correlation.

    Fisher's z with the variance (1 + r^2 / 2) / (n - 3) (Bonett, Wright 2000). The lower bound is not below
    0. Fewer than ten rows, or a constant column: no bounds.

    Parameters
    ----------
    first, second : array of float, shape (n,)
        Finite numbers.
    """
    n = first.size
    if n < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return not_estimable(_METHOD, "a constant column has no correlation")
    value = min(abs(float(np.corrcoef(average_ranks(first), average_ranks(second))[0, 1])), 1.0)
    center = math.atanh(min(value, 1 - 1e-12))

    def bounds(level: float, growth: float, power: float) -> Bounds:
        rows = n * growth
        if rows < _LEAST_ROWS:
            return None, None
        half = (normal_quantile(level) + normal_quantile(power)) * math.sqrt((1 + value**2 / 2) / (rows - 3))
        return min(max(math.tanh(center - half), 0.0), value), max(math.tanh(center + half), value)

    note = None if n >= _LEAST_ROWS else f"fewer than {_LEAST_ROWS} rows are too few for bounds"
    return Estimate(value=value, method=_METHOD, bounds=bounds, note=note)
