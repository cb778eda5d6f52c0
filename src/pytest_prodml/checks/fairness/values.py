"""The value of a metric in every group, and what can be measured so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pytest_prodml.checks.fairness.groups import Grouping
from pytest_prodml.checks.fairness.rates import Flags
from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.estimate import Estimate
from pytest_prodml.statistics.intervals import proportion
from pytest_prodml.statistics.sufficient import Counts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Values:
    """One metric in every group of a grouping.

    Attributes
    ----------
    metric, grouping
        What was measured, and where.
    counted : array of int, shape (groups,)
        The rows that enter the metric.
    counted_are : str
        What those are called.
    counts : (successes, trials) or None
        Of independent rows that count alike; exact limits follow from them.
    estimates : tuple of Estimate
        One a group, where there are no counts.
    independent : bool
        Whether groups share neither rows nor clusters.
    """

    metric: str
    grouping: Grouping
    counted: Counts
    counted_are: str = "rows"
    counts: tuple[Counts, Counts] | None = None
    estimates: tuple[Estimate, ...] = ()
    independent: bool = True

    def estimate(self, group: int) -> Estimate:
        """Return the estimate of one group."""
        if self.counts is None:
            return self.estimates[group]
        successes, trials = self.counts
        return proportion(float(successes[group]), float(trials[group]), of=self.counted_are)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """A metric that can be measured in groups.

    Attributes
    ----------
    name : str
        What evidence calls it.
    in_groups : callable
        Of a grouping: its values.
    can_be_negative : bool
        Whether ratios have no meaning.
    higher_is_better : bool or None
        None where neither side is.
    unit : str
        "1", or "target" for the unit of the target column.
    low, high : float or None
        The range of the metric; None where it has no end.
    """

    name: str
    in_groups: Callable[[Grouping], Values]
    low: float | None = 0.0
    high: float | None = 1.0
    can_be_negative: bool = False
    higher_is_better: bool | None = None
    unit: str = "1"


def of_rows(
    name: str,
    grouping: Grouping,
    design: Design,
    inside: Flags,
    counted_are: str,
    estimate: Callable[[Flags, Design], Estimate],
) -> Values:
    """Estimate a metric in every group from its rows.

    Parameters
    ----------
    name, grouping, design
        What is measured, in which groups, and how the rows were drawn.
    inside : array of bool, shape (n,)
        The rows that enter the metric, called `counted_are`.
    estimate : callable
        Of the rows of a group and their design.
    """
    masks = [grouping.rows(group) for group in range(len(grouping.labels))]
    return Values(
        metric=name,
        grouping=grouping,
        counted=np.array([np.count_nonzero(mask & inside) for mask in masks], dtype=np.int64),
        counted_are=counted_are,
        estimates=tuple(estimate(mask, design.subset(mask)) for mask in masks),
        independent=independent(grouping, design),
    )


def independent(grouping: Grouping, design: Design) -> bool:
    """Say whether no row and no cluster belongs to two groups."""
    if grouping.codes is None:
        return False
    if design.clusters is None:
        return True
    inside = grouping.codes >= 0
    pairs = design.clusters[inside].astype(np.int64) * len(grouping.labels) + grouping.codes[inside]
    return np.unique(pairs).size == np.unique(design.clusters[inside]).size
