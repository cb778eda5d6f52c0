"""What all comparisons of groups are asked for, and the groups that a policy lets them leave out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.fairness.answers import Answers
from pytest_prodml.checks.fairness.groups import By, Grouping, groupings
from pytest_prodml.checks.labels import checked_number
from pytest_prodml.checks.metrics.levels import Bins
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import LEFT_OUT
from pytest_prodml.records import JsonValue, Measurement

_MOST_NAMED = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """What all checks of groups have in common."""

    groups: Mapping[str, npt.ArrayLike]
    by: By | None
    bins: Mapping[str, Bins] | None
    separators: Mapping[str, str] | None
    min_group: int | None
    burden: str
    gate_id: str
    confidence_level: float
    seed: int

    def groupings(self, n_rows: int) -> tuple[Grouping, ...]:
        """Return the groups of each comparison."""
        return groupings(self.groups, n_rows, by=self.by, bins=self.bins, separators=self.separators)


def finite(limit: float) -> float:
    """Return a limit that is a finite number."""
    found = checked_number(limit, name="the limit")
    if not math.isfinite(found):
        raise InputError(f"the limit must be a finite number, got {limit!r}")
    return found


def large_enough(
    grouping: Grouping,
    least: int | None,
    measurements: list[Measurement],
    details: dict[str, JsonValue],
) -> tuple[Grouping, int]:
    """Return the grouping without groups below `least` rows, each of which is measured as left out."""
    if least is None:
        return grouping, 0
    if isinstance(least, bool) or not isinstance(least, int) or least < 1:
        raise InputError(f"min_group must be a number of rows from 1 on, got {least!r}")
    small = np.flatnonzero(grouping.sizes < least).tolist()
    if not small:
        return grouping, 0
    for group in small:
        rows = int(grouping.sizes[group])
        measurements.append(
            Measurement(
                metric=LEFT_OUT,
                value=float(rows),
                lower=float(rows),
                upper=float(rows),
                confidence_level=1.0,
                method="count",
                n_samples=rows,
                unit="rows",
                group=grouping.labels[group],
            )
        )
    details["min_group"] = least
    details[f"left_out_of_{grouping.attribute}"] = [
        {"group": grouping.labels[group], "rows": int(grouping.sizes[group])} for group in small[:_MOST_NAMED]
    ]
    return grouping.without(small), len(small)


def decided_with(answers: Answers) -> dict[str, JsonValue]:
    """Return what the decisions were made with."""
    told: dict[str, JsonValue] = {}
    if answers.threshold is not None:
        told["threshold"] = float(answers.threshold)
    if answers.sample_weight is not None:
        told["weighted"] = True
    if answers.design.clusters is not None:
        told["clusters"] = int(np.unique(answers.design.clusters).size)
    return told


def edges_of(grouping: Grouping) -> list[JsonValue]:
    """Return the edges of the columns that were put into bands, as a table."""
    return [
        {"column": column, "edges": ", ".join(map(repr, edges))} for column, edges in grouping.edges.items()
    ]
