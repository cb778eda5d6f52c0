"""Counts of many groups in, their exact (Clopper-Pearson) limits out; of large counts in closed form.

`scipy.special.betaincinv` takes 1 to 10 microseconds a limit, and 6 metrics of 40 groups need 1,440 of them.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.statistics.estimate import normal_quantile

Array: TypeAlias = npt.NDArray[np.float64]

#: From so many of the rarer outcome on, the closed form is off by at most `_OFF` by their number, in parts of
#: the distance to the observed share; up to this level. tests/statistics/test_exact_limits.py looks.
_LARGE, _OFF, _MOST_LEVEL = 100.0, 0.35, 1 - 1e-12
_LEAST_COUNT = 0.6


def exact_limits(successes: Array, trials: Array, level: float) -> tuple[Array, Array]:
    """Return one-sided limits of proportions that are exact, or a trifle wider where counts are large.

    From 100 successes and 100 failures on the closed form is taken and put out by more than it can be off:
    0.35 % of the distance to the observed share at 100, 0.035 % at 1,000. So no limit lies inside the one of
    `intervals.clopper_pearson`.

    Parameters
    ----------
    successes, trials : array of float, shape (groups,)
        Fractions are accepted. There has to be a trial.
    level : float
        Of each limit.
    """
    both = np.concatenate([successes, trials - successes])
    lower = _lower(both, np.concatenate([trials, trials]), level)
    return lower[: successes.size], 1 - lower[successes.size :]


def about_exact_limits(successes: Array, trials: Array, level: float) -> tuple[Array, Array]:
    """Return about the exact limits in closed form, for plans.

    Exact for no success and for no failure, otherwise off by up to 3 % of the distance to the observed share
    (one success) at the usual levels.
    """
    both = np.concatenate([successes, np.maximum(trials - successes, 0.0)])
    lower = _about_lower(both, np.concatenate([trials, trials]), level)
    return lower[: successes.size], 1 - lower[successes.size :]


def _about_lower(k: Array, n: Array, level: float) -> Array:
    found = np.minimum(_closed_form(np.maximum(k, _LEAST_COUNT), n - k + 1, normal_quantile(level)), k / n)
    return np.where(k > 0, np.where(k < n, found, (1 - level) ** (1 / n)), 0.0)


def _closed_form(a: Array, b: Array, z: float) -> Array:
    """Return about the quantile of a Beta distribution with the tail of `z` (Abramowitz, Stegun 26.5.22)."""
    correction = (z * z - 3) / 6
    of_a, of_b = 1 / (2 * a - 1), 1 / (2 * b - 1)
    harmonic = 2 / (of_a + of_b)
    w = z * np.sqrt(np.maximum(harmonic + correction, 0.0)) / harmonic
    w -= (of_b - of_a) * (correction + 5 / 6 - 2 / (3 * harmonic))
    return np.asarray(a / (a + b * np.exp(2 * w)))


def _lower(k: Array, n: Array, level: float) -> Array:
    special = require("scipy.special", extra="performance")
    rarer = np.minimum(k, n - k)
    large = rarer >= _LARGE if level <= _MOST_LEVEL else np.zeros(k.shape, dtype=np.bool_)
    if not large.any():
        return np.where(k > 0, special.betaincinv(np.where(k > 0, k, 1.0), n - k + 1, 1 - level), 0.0)
    if large.all():
        share = k / n
        near = _closed_form(k, n - k + 1, normal_quantile(level))
        return np.asarray(share - (share - near) * (1 + _OFF / rarer))
    found = np.empty(k.size)
    for chosen in (large, ~large):
        found[chosen] = _lower(k[chosen], n[chosen], level)
    return found
