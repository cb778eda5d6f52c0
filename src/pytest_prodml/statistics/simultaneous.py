"""Families of bounds that hold together: estimates in, bounds or the level of each out.

A claim that all of a family keep a limit needs none of this (an intersection-union test judges each at the
full level). It is for reading: "which slices differ", "the largest gap", where one may look at the whole
table and point at any row of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.estimate import (
    Bounds,
    Estimate,
    checked_level,
    normal_quantile,
    not_estimable,
)

Array = npt.NDArray[np.float64]

_NORMAL = NormalDist()
_DRAWS = 20_000
#: Of the simulated maximum not its quantile but the upper 99 % bound of that quantile is taken.
_CAREFUL = 0.99
_MOST_LEVEL = 1 - 1e-9
_CHUNK = 2_000_000


def bonferroni_level(confidence_level: float, size: int) -> float:
    """Return the level of each of `size` one-sided bounds that hold together at `confidence_level`.

    Valid under any dependence. With exact limits it holds for the smallest counts.
    """
    checked_level(confidence_level)
    return min(1 - (1 - confidence_level) / max(size, 1), _MOST_LEVEL)


def overlap_correlation(contributions: Array) -> Array:
    """Return how the errors of estimates go together, from what each row adds to each of them.

    Parameters
    ----------
    contributions : array of float, shape (units, m)
        Weight times influence of every row (its sum over every cluster, where rows are clustered) on each
        of m estimates; 0 for rows that an estimate does not use.

    Returns
    -------
    array of float, shape (m, m)
        An estimate without any spread (no error among its rows) is uncorrelated with all: nothing is known
        of it, and less correlation means wider bounds (Slepian 1962).
    """
    products = contributions.T @ contributions
    spread = np.sqrt(np.diagonal(products))
    scale = np.where(spread > 0, spread, 1.0)
    correlation = products / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    found: Array = np.clip(correlation, -1.0, 1.0)
    return found


def joint_level(correlation: npt.ArrayLike, confidence_level: float, *, seed: int = 0) -> float:
    """Return the level of each one-sided bound so that all hold together, for correlated estimates.

    The max-t method: Phi of the quantile of the largest of m normal variables with that correlation, from
    20,000 draws, on the careful side of their own error. Never above Bonferroni's level, which slices that
    hardly overlap come close to; nested ones need a good deal less.

    Parameters
    ----------
    correlation : array-like of float, shape (m, m)
        See `overlap_correlation`.
    confidence_level : float
        Of all together.
    seed : int
        Of the draws.
    """
    matrix = np.asarray(correlation, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():
        raise InputError(f"a correlation matrix of finite numbers is needed, got shape {matrix.shape}")
    size = matrix.shape[0]
    safe = bonferroni_level(confidence_level, size)
    if size < 2:
        return safe
    alpha = 1 - confidence_level
    careful = normal_quantile(_CAREFUL) * math.sqrt(_DRAWS * alpha * confidence_level)
    rank = math.ceil(_DRAWS * confidence_level + careful)
    if rank > _DRAWS:
        return safe
    values, vectors = np.linalg.eigh(matrix)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    # The root of a matrix that is none of correlations would make the variables narrower than normal.
    root /= np.sqrt((root**2).sum(axis=1, keepdims=True))
    rng = np.random.default_rng(seed)
    step = max(_CHUNK // size, 1)
    highest = np.concatenate(
        [
            np.max(rng.standard_normal((min(step, _DRAWS - start), size)) @ root.T, axis=1)
            for start in range(0, _DRAWS, step)
        ]
    )
    level = _NORMAL.cdf(float(np.sort(highest)[rank - 1]))
    return min(max(level, confidence_level), safe)


def simultaneous_bounds(
    estimates: Sequence[Estimate],
    confidence_level: float,
    *,
    correlation: npt.ArrayLike | None = None,
    seed: int = 0,
) -> tuple[Bounds, ...]:
    """Return bounds of every estimate that hold together, on each side, at `confidence_level`.

    Each estimate's own bounds (exact where it has exact ones, so that small counts keep their level) at the
    level that `joint_level` gives with a `correlation`, and Bonferroni's without. An estimate without a value
    makes no claim: it has no bounds and costs the others nothing.
    """
    used = [place for place, estimate in enumerate(estimates) if estimate.value is not None]
    if correlation is None:
        level = bonferroni_level(confidence_level, len(used))
    else:
        matrix = np.asarray(correlation, dtype=np.float64)[np.ix_(used, used)]
        level = joint_level(matrix, confidence_level, seed=seed)
    return tuple(
        estimate.bounds(level, 1.0, 0.5) if estimate.value is not None else (None, None)
        for estimate in estimates
    )


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Estimate first - second of independent estimates, from the bounds of both (MOVER; Zou, Donner 2008).

    Estimates of different rows that share clusters are not independent but vary together, which makes these
    bounds wider than need be.
    """
    method = f"MOVER ({first.method})"
    if first.value is None or second.value is None:
        missing = first if first.value is None else second
        return not_estimable(method, missing.note or "one of the two values can not be estimated")
    a, b = first.value, second.value

    def bounds(level: float, growth: float, power: float) -> Bounds:
        (low_a, high_a), (low_b, high_b) = (one.bounds(level, growth, power) for one in (first, second))
        lower = None if low_a is None or high_b is None else a - b - math.hypot(a - low_a, high_b - b)
        upper = None if high_a is None or low_b is None else a - b + math.hypot(high_a - a, b - low_b)
        return lower, upper

    seed = first.seed if first.seed is not None else second.seed
    return Estimate(value=a - b, method=method, bounds=bounds, note=first.note, seed=seed)
