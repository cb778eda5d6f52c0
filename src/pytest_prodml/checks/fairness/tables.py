"""What a reader sees of groups: values, bounds, what they lack to decide, and the table of a plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pytest_prodml.checks.evidence import measurement
from pytest_prodml.checks.fairness.values import Compared, Values
from pytest_prodml.records import JsonValue, Measurement
from pytest_prodml.statistics.gaps import Gap, group_bounds
from pytest_prodml.statistics.intervals import clopper_pearson

_MOST_NAMED = 4
#: A group that needs more than so many times its rows is not small: the limit is too near.
_FAR = 1000


def measured_groups(part: Compared, values: Values, confidence_level: float) -> list[Measurement]:
    """Return the metric of every group, for information."""
    grouping = values.grouping
    if values.counts is None:
        return [
            measurement(
                part.name,
                values.estimates[group],
                n_samples=int(grouping.sizes[group]),
                confidence_level=confidence_level,
                higher_is_better=part.higher_is_better,
                unit=part.unit,
                group=label,
            )
            for group, label in enumerate(grouping.labels)
        ]
    successes, trials = (np.asarray(counts, dtype=np.float64) for counts in values.counts)
    lower, upper = clopper_pearson(successes, np.maximum(trials, 1), confidence_level)
    return [
        Measurement(
            metric=part.name,
            value=float(successes[group] / trials[group]) if trials[group] else None,
            lower=float(lower[group]) if trials[group] else None,
            upper=float(upper[group]) if trials[group] else None,
            confidence_level=confidence_level,
            method="Clopper-Pearson",
            n_samples=int(grouping.sizes[group]),
            higher_is_better=part.higher_is_better,
            group=label,
            note=None if trials[group] else f"there are no {values.counted_are}",
        )
        for group, label in enumerate(grouping.labels)
    ]


def note_of(values: Values, gap: Gap, needs: Mapping[int, float | None], headline: str) -> str | None:
    """Return why a gap can not be estimated, or which groups leave it undecided and the rows they need."""
    labels = values.grouping.labels
    if not labels:
        return "there are no rows"
    if len(labels) == 1:
        return f"only one group, {labels[0]}: there is nothing to compare"
    told = [_empty(values, group) for group in gap.empty]
    if gap.estimate.value is None and len(gap.empty) < len(labels) - 1:
        told.append(f"no group has a rate above 0, so the {headline.rpartition('_')[2]} is not defined")
    by_size = sorted(needs, key=lambda group: int(values.grouping.sizes[group]))
    told += [_need(values, group, needs[group]) for group in by_size]
    more = f"; and {len(told) - _MOST_NAMED} more groups" if len(told) > _MOST_NAMED else ""
    return "; ".join(told[:_MOST_NAMED]) + more if told else None


def _empty(values: Values, group: int) -> str:
    if values.counts is not None or values.counted[group] == 0:
        return f"{_told(values, group)}, no {values.counted_are} among them: not estimable"
    return f"{_told(values, group)}, not estimable ({values.estimates[group].note or 'no value'})"


def _told(values: Values, group: int) -> str:
    return f"{values.grouping.labels[group]}: {int(values.grouping.sizes[group]):,} rows"


def _need(values: Values, group: int, growth: float | None) -> str:
    rows = int(values.grouping.sizes[group])
    if values.counts is None and values.estimates[group].at(0.95) == (None, None):
        # More rows alone may not help: there can be too few persons, or nothing that varies.
        return f"{_told(values, group)}, no bounds ({values.estimates[group].note})"
    if growth is None:
        return f"{_told(values, group)}, its value lies on the limit, so no number of rows would decide"
    needed = math.ceil(rows * growth)
    why = " (its value lies near the limit)" if needed > _FAR * rows else ""
    return f"{_told(values, group)}, not enough data{why}: about {needed:,} rows of this group would decide"


def details_of(
    values: Values,
    of_groups: Sequence[Measurement],
    gap: Gap | None,
    needs: Mapping[int, float | None],
    confidence_level: float,
) -> list[JsonValue]:
    """Return the table behind a forest plot.

    `counted` rows enter the metric; of a rate, `hits` of them count for it. The simultaneous bounds hold for
    all groups at once, on both sides together.
    """
    together = _together(values, confidence_level)
    rows: list[JsonValue] = []
    for group, measured in enumerate(of_groups):
        growth = needs.get(group)
        row: dict[str, JsonValue] = {
            "group": values.grouping.name(group),
            "rows": int(values.grouping.sizes[group]),
            "counted": int(values.counted[group]),
            "value": measured.value,
            "lower": measured.lower,
            "upper": measured.upper,
            "simultaneous_lower": together[group][0],
            "simultaneous_upper": together[group][1],
        }
        if values.counts is not None:
            row["hits"] = int(values.counts[0][group])
        if gap is not None:
            row["undecided"] = group in needs or group in gap.empty
            row["rows_needed"] = (
                None if growth is None else math.ceil(int(values.grouping.sizes[group]) * growth)
            )
        rows.append(row)
    return rows


def _together(values: Values, confidence_level: float) -> list[tuple[float | None, float | None]]:
    if values.counts is not None:
        lower, upper = group_bounds(*values.counts, confidence_level)
        return [
            (None, None) if math.isnan(low) else (float(low), float(high))
            for low, high in zip(lower, upper, strict=True)
        ]
    used = sum(estimate.value is not None for estimate in values.estimates)
    # Bonferroni over both sides of all groups: it holds whatever the dependence between them.
    level = 1 - (1 - confidence_level) / (2 * max(used, 1))
    return [
        (None, None) if estimate.value is None else estimate.bounds(level, 1.0, 0.5)
        for estimate in values.estimates
    ]
