"""Repeated looks: how much of the error rate each look may spend, so that all together keep it.

Two situations, two answers. Models that are tried on one test set one after the other: each look is a test of
its own, its level is what `level_of_look` leaves it, and the levels add up. Data that accumulate for one
model: the looks depend on each other in a known way, which `sequential_bounds` uses.

References
----------
Lan, DeMets (1983) for the spending functions; Armitage, McPherson, Rowe (1969) for the recursion; Jennison,
Turnbull: *Group Sequential Methods* (2000), chapters 7 and 19.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.estimate import checked_level

Array = npt.NDArray[np.float64]

#: A level nearer to 1 than this is none that bounds can be computed for.
LEAST_SHARE = 1e-9
_NORMAL = NormalDist()
_FEWEST_NODES = 200
_MOST_NODES = 4_000
_TAIL = 9.0


def _equal(fraction: float, alpha: float) -> float:
    return alpha * fraction


def _pocock(fraction: float, alpha: float) -> float:
    return alpha * math.log1p((math.e - 1) * fraction)


def _obrien_fleming(fraction: float, alpha: float) -> float:
    return 2 * _NORMAL.cdf(_NORMAL.inv_cdf(alpha / 2) / math.sqrt(fraction))


#: Spending functions by name: the error rate that may be spent by a fraction of the information.
SPENDING: Mapping[str, Callable[[float, float], float]] = {
    "equal": _equal,
    "pocock": _pocock,
    "obrien_fleming": _obrien_fleming,
}


def spent(fraction: float, alpha: float, spending: str) -> float:
    """Return the one-sided error rate that may be spent when `fraction` of the information is in.

    Parameters
    ----------
    fraction : float
        In [0, 1]: look number by planned looks, or rows by planned rows.
    alpha : float
        The error rate of all looks together, in (0, 0.5).
    spending : {"equal", "pocock", "obrien_fleming"}
        "equal": the same for every look. "pocock", alpha log(1 + (e - 1) t): a little more for early looks.
        "obrien_fleming", 2 (1 - Phi(z_{alpha/2} / sqrt t)): next to nothing early, nearly all at the end.

    Raises
    ------
    InputError
        For values outside these ranges.
    """
    function = SPENDING.get(spending)
    if function is None:
        raise InputError(f"there is no spending function {spending!r}", hint=", ".join(SPENDING))
    if not 0 < alpha < 0.5:
        raise InputError(f"the error rate must lie between 0 and 0.5, got {alpha!r}")
    if not 0 <= fraction <= 1:
        raise InputError(f"the fraction of the information must lie in [0, 1], got {fraction!r}")
    return min(function(fraction, alpha), alpha) if fraction > 0 else 0.0


def level_of_look(look: int, planned: int, confidence_level: float, spending: str) -> float:
    """Return the one-sided level of look number `look` (from 1) of `planned` looks at one test set.

    The error rates of all looks add up to ``1 - confidence_level``, so the chance that any of the planned
    models passes although it should not is at most that, however alike the models are (Bonferroni). A model
    may be changed because an earlier one failed: as long as the looks stop at the first pass and only the
    verdict is used, there is one sequence of models that failing leads to, and the sum holds for it. Whoever
    tunes on the numbers of the test set spends more than any function can account for.

    No level exceeds 1 - 1e-9, which bounds can be computed for: `planned` looks then overspend by at most
    1e-9 each.

    Raises
    ------
    InputError
        If there is no such look: it must lie within the planned ones.
    """
    checked_level(confidence_level)
    if planned < 1:
        raise InputError(f"at least one look must be planned, got {planned!r}")
    if not 1 <= look <= planned:
        raise InputError(
            f"look number {look} is not among the {planned} planned ones",
            hint="the error rate is spent; fresh test data start a new count",
        )
    alpha = 1 - confidence_level
    share = spent(look / planned, alpha, spending) - spent((look - 1) / planned, alpha, spending)
    return 1 - max(share, LEAST_SHARE)


def sequential_bounds(
    fractions: Sequence[float], confidence_level: float, spending: str
) -> tuple[float, ...]:
    """Return the critical z of each look at data that accumulate, one-sided.

    The z statistics of looks at the fractions t_1 < t_2 < ... of the information are those of a Brownian
    motion: Corr(z_j, z_k) = sqrt(t_j / t_k). The critical values cross by look k with exactly the probability
    `spent` by then when nothing is wrong. Phi of them are the levels of the bounds to judge by.

    Parameters
    ----------
    fractions : sequence of float
        Rising, in (0, 1]; where the last is below 1, the rest of the error rate is not spent.
    confidence_level : float
        Of all looks together.
    spending : str
        As for `spent`.

    Returns
    -------
    tuple of float
        Of each look; infinite where next to nothing (less than 1e-9) may be spent.

    Raises
    ------
    InputError
        If the fractions do not rise within (0, 1].
    """
    checked_level(confidence_level)
    times = [float(fraction) for fraction in fractions]
    # Comparisons that NaN fails, so that it never counts as rising.
    rising = all(earlier < later for earlier, later in pairwise(times))
    if not times or not times[0] > 0 or not times[-1] <= 1 or not rising:
        raise InputError(f"fractions of the information rise within (0, 1], got {times}")
    special = require("scipy.special", extra="performance")
    alpha = 1 - confidence_level
    bounds: list[float] = []
    nodes, mass = np.zeros(1), np.ones(1)
    before = used = 0.0
    for time in times:
        step = math.sqrt(time - before)
        budget = spent(time, alpha, spending) - used
        if budget < LEAST_SHARE:
            critical = math.inf
        else:
            critical = _crossed_with(budget, nodes, mass, step, special.ndtr)
            used += budget
        bounds.append(critical / math.sqrt(time))
        nodes, mass = _survived(nodes, mass, step, critical, time)
        before = time
    return tuple(bounds)


def _crossed_with(
    budget: float, nodes: Array, mass: Array, step: float, ndtr: Callable[[Array], Array]
) -> float:
    """Return the c that the motion exceeds with probability `budget` after a step from its state."""
    low, high = -_TAIL, float(np.max(nodes)) + _TAIL * step
    for _ in range(80):
        middle = (low + high) / 2
        above = float(mass @ ndtr((nodes - middle) / step))
        low, high = (middle, high) if above > budget else (low, middle)
    return (low + high) / 2


def _survived(nodes: Array, mass: Array, step: float, critical: float, time: float) -> tuple[Array, Array]:
    """Return the state of the motion after a step, without the paths that crossed, as weighted nodes."""
    low, high = -_TAIL * math.sqrt(time), min(critical, _TAIL * math.sqrt(time))
    # Fine against the coming density, which is as narrow as the step.
    count = min(max(_FEWEST_NODES, math.ceil(6 * (high - low) / step)), _MOST_NODES)
    places, weights = np.polynomial.legendre.leggauss(min(count, _FEWEST_NODES))
    pieces = math.ceil(count / places.size)
    edges = np.linspace(low, high, pieces + 1)
    half, centers = (high - low) / pieces / 2, (edges[:-1] + edges[1:]) / 2
    after = (centers[:, np.newaxis] + half * places).ravel()
    distance = (after[:, np.newaxis] - nodes) / step
    density = np.exp(-(distance**2) / 2) @ mass / (step * math.sqrt(2 * math.pi))
    return after, density * np.tile(weights * half, pieces)
