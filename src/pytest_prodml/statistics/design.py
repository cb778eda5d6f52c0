"""How the rows were drawn: weights and clusters in, estimates with fewer effective rows out.

Every estimator of this package is written for independent rows that count alike. Where a project's rows
carry weights, or several rows come from one client, the same estimator is fed with weighted counts that sum
to the number of rows, and `adjusted` takes back what the design costs: Korn, Graubard (1998), generalized.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.estimate import Bounds, Estimate, normal_quantile
from pytest_prodml.statistics.sufficient import Codes, as_numbers, encode, weighted_counts

Array: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[np.bool_]

#: Clusters below which there are no bounds. From five on the worst measured one-sided error is 5 %.
LEAST_CLUSTERS = 5
_LEAST_GROWTH = 1e-9
_TINY, _HUGE = 1e-100, 1e100
#: Influences below it are rounding errors of weighted counts.
_NO_INFLUENCE = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Design:
    """How the rows were drawn.

    Attributes
    ----------
    weights : array of float, shape (n,), optional
        How many rows of the population a row stands for, up to a factor; finite, not negative.
    clusters : array of int, shape (n,), optional
        The cluster of each row as a code from 0 on. Rows of one cluster need not be independent, clusters
        are.
    """

    weights: Array | None = None
    clusters: Codes | None = None

    @property
    def is_simple(self) -> bool:
        """Whether the rows are independent and count alike."""
        return self.weights is None and self.clusters is None

    def subset(self, mask: npt.NDArray[np.bool_] | Codes) -> Design:
        """Return the design of the rows that `mask` selects; codes of clusters are kept."""
        return Design(
            weights=None if self.weights is None else self.weights[mask],
            clusters=None if self.clusters is None else self.clusters[mask],
        )


def design_of(
    n: int, *, sample_weight: npt.ArrayLike | None = None, groups: npt.ArrayLike | None = None
) -> Design:
    """Check a user's columns of weights and clusters.

    Parameters
    ----------
    n : int
        Number of rows.
    sample_weight : array-like of float, shape (n,), optional
        Equal weights are the same as none.
    groups : array-like, shape (n,), optional
        Labels; rows with the same label belong together. As many labels as rows are the same as none.

    Raises
    ------
    InputError
        For another length, a missing label, a weight that is negative or not finite, weights that are all 0.
    """
    return Design(
        weights=None if sample_weight is None else _weights(sample_weight, n),
        clusters=None if groups is None else _clusters(groups, n),
    )


def _weights(values: npt.ArrayLike, n: int) -> Array | None:
    weights = as_numbers(values, name="sample_weight")
    if weights.shape != (n,):
        raise InputError(
            f"sample_weight must be one number for each of the {n:,} rows, got shape {weights.shape}"
        )
    bad = int(np.count_nonzero(~np.isfinite(weights) | (weights < 0)))
    if bad:
        raise InputError(f"sample_weight is negative or not a finite number in {bad:,} of {n:,} rows")
    if n and not weights.any():
        raise InputError("sample_weight is 0 in every row, so no row counts")
    if n == 0 or np.ptp(weights) == 0:
        return None
    # Only their shares matter, and sums of huge or tiny ones would overflow or be lost.
    largest = float(np.max(weights))
    return weights if _TINY < largest < _HUGE else weights / largest


def _clusters(values: npt.ArrayLike, n: int) -> Codes | None:
    coded = encode(values, name="groups")
    if coded.codes.size != n:
        raise InputError(f"groups has {coded.codes.size:,} rows, the other columns have {n:,}")
    missing = int(np.count_nonzero(coded.codes < 0))
    if missing:
        raise InputError(
            f"groups is missing in {missing:,} of {n:,} rows",
            hint="give a row that depends on no other one a label of its own",
        )
    return None if len(coded.categories) == n else coded.codes


def share_of_weight(design: Design, n: int) -> Array:
    """Return the rows' weights rescaled so that they sum to the number of rows, shape (n,)."""
    if design.weights is None:
        return np.ones(n)
    total = float(design.weights.sum())
    return design.weights * (n / total) if total > 0 else np.zeros(n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a design costs an estimate.

    Attributes
    ----------
    ratio : float
        Variance of the estimate under the design by the variance that as many simple rows would give.
    degrees : float
        Degrees of freedom of that ratio.
    clusters : int
        Clusters (or rows, where there are none) that carry weight.
    """

    ratio: float
    degrees: float
    clusters: int


def design_effect(influence: Array, design: Design, *, rows: Rows | None = None) -> Effect:
    """Measure the design effect of an estimate from the influence of its rows.

    Parameters
    ----------
    influence : array of float, shape (n,)
        What a row adds to the estimate: estimate - truth is about the weighted mean of the influences.
    design : Design
    rows : array of bool, shape (n,), optional
        The rows that the estimate is made of (the positive ones for a recall); all by default.

    Notes
    -----
    With S_c the sum of w * influence over cluster c, the variance is C / (C - 1) * sum S_c^2 / (sum w)^2,
    that of a simple sample sum(w * influence^2) / (n sum w). The ratio is never below that of the weights
    alone (Kish 1965), as a lucky sample whose few errors have small weights shows too small a variance too.
    Where no row has any influence (no error at all), nothing is known about the dependence, so the worst is
    taken: every cluster is worth one row of its weight.

    The degrees of freedom are (sum S^2)^2 / sum S^4, the number of clusters that carry the variance, at most
    C - 1, and half as many where weights and clusters come together. With C - 1 alone the bounds miss up to
    25 % where errors are rare and weights uneven.
    """
    n = influence.size
    weights = share_of_weight(design, n)
    used = weights > 0 if rows is None else (weights > 0) & rows
    w, phi = weights[used], influence[used]
    if design.clusters is None:
        sums, masses = w * phi, w
    else:
        size = int(np.max(design.clusters, initial=-1)) + 1
        codes = design.clusters[used]
        present = np.bincount(codes, minlength=size) > 0
        sums = weighted_counts(codes, w * phi, size)[present]
        masses = weighted_counts(codes, w, size)[present]
    clusters = sums.size
    if clusters == 0:
        return Effect(ratio=1.0, degrees=1.0, clusters=0)
    mass = float(w.sum())
    squares = sums**2
    if np.max(np.abs(phi)) <= _NO_INFLUENCE:
        worst = float((masses**2).sum()) / mass
        return Effect(ratio=worst, degrees=math.inf, clusters=clusters)
    variance = clusters / max(clusters - 1, 1) * float(squares.sum())
    kish = float((w**2).sum()) / mass
    ratio = max(variance / float((w * phi**2).sum()), kish, 1.0)
    fourth = float((squares**2).sum())
    carrying = float(squares.sum()) ** 2 / fourth if fourth > 0 else 1.0
    if design.weights is not None and design.clusters is not None:
        carrying /= 2
    return Effect(ratio=ratio, degrees=max(min(carrying, clusters - 1.0), 1.0), clusters=clusters)


def _student(degrees: float, level: float) -> float:
    if degrees == math.inf:
        return normal_quantile(level)
    stdtrit = require("scipy.special", extra="performance").stdtrit
    return float(stdtrit(max(degrees, 1.0), level))


def adjusted(
    estimate: Estimate,
    influence: Array,
    design: Design,
    *,
    rows: Rows | None = None,
    parts: Iterable[Rows] = (),
) -> Estimate:
    """Return an estimate whose bounds know the design.

    Its bounds are those of `estimate` with as many rows as the design leaves: divided by the design effect,
    and by the squared ratio of Student's quantiles, because the effect is itself estimated. Measured for
    proportions of .5 to .99, clusters of 5 and of 1 to 40 rows, correlation .1 to .9 within them, log-normal
    weights: one-sided error at most 6.5 %, in most settings below 5 %.

    Parameters
    ----------
    estimate : Estimate
        From counts weighted with `share_of_weight`.
    influence, design, rows
        As for `design_effect`.
    parts : iterable of arrays of bool, optional
        Rows on which the estimate depends by themselves and whose influence hides it: those of a class
        without errors. The part with the largest effect counts if that exceeds the effect of all rows.
    """
    if design.is_simple or estimate.value is None:
        return estimate
    effects = [design_effect(influence, design, rows=part) for part in (rows, *parts)]
    effect = max(effects, key=lambda one: one.ratio * _student(one.degrees, 0.95) ** 2)
    n = float(influence.size)
    clustered = design.clusters is not None
    too_few = clustered and effect.clusters < LEAST_CLUSTERS

    def bounds(level: float, growth: float, power: float) -> Bounds:
        if clustered and effect.clusters * growth < LEAST_CLUSTERS:
            return None, None
        student = _student(n * growth - 1, level) / _student(effect.degrees * growth, level)
        factor = growth / effect.ratio * min(student, 1.0) ** 2
        return estimate.bounds(level, max(factor, _LEAST_GROWTH), power)

    told = f"{effect.clusters:,} clusters, " if clustered else ""
    notes = [
        estimate.note,
        f"{told}worth {n / effect.ratio:,.1f} independent rows of {influence.size:,}",
        f"fewer than {LEAST_CLUSTERS} clusters are too few for bounds that keep their level"
        if too_few
        else None,
    ]
    return Estimate(
        value=estimate.value,
        method=f"{estimate.method}, effective n",
        bounds=bounds,
        note="; ".join(note for note in notes if note),
        seed=estimate.seed,
    )
