"""Estimates and the limits they have to keep -> measurements and evidence, the same for every check."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pytest_prodml.errors import InputError
from pytest_prodml.records import Burden, Comparison, Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import (
    POWER,
    Estimate,
    checked_level,
    decided,
    growth_to_decide,
    p_value,
)


def edge(criterion: Criterion) -> float:
    """Return where a criterion turns: its limit with the margin."""
    loosened = -criterion.margin if criterion.comparison is Comparison.AT_LEAST else criterion.margin
    return criterion.limit + loosened


def measurement(
    metric: str,
    estimate: Estimate,
    *,
    criteria: Sequence[Criterion] = (),
    n_samples: int,
    confidence_level: float,
    higher_is_better: bool | None = None,
    unit: str = "1",
    group: str | None = None,
    note: str | None = None,
) -> Measurement:
    """Return what was measured, with bounds, and the rows that would decide what is undecided.

    Parameters
    ----------
    metric, group : str, str or None
        What criteria find the measurement by.
    estimate : Estimate
        The value and its bounds.
    criteria : sequence of Criterion
        What it has to meet. With the burden `violation` the measurement gets a p-value, the smallest over
        the criteria, with which families of alarms are corrected.
    n_samples : int
        Rows behind the estimate.
    confidence_level : float
        Of each one-sided bound.
    note : str, optional
        Told after the estimate's own note.
    """
    checked_level(confidence_level)
    bounds = estimate.at(confidence_level)
    needs, alarms = [], []
    for criterion in criteria:
        floor = criterion.comparison is Comparison.AT_LEAST
        if not decided(bounds, edge(criterion), at_least=floor):
            needs.append(
                growth_to_decide(estimate, edge(criterion), at_least=floor, confidence_level=confidence_level)
            )
        if criterion.burden is Burden.VIOLATION:
            alarms.append(p_value(estimate, edge(criterion), at_least=floor))
    growths = [need for need in needs if need is not None]
    found = [alarm for alarm in alarms if alarm is not None]
    notes = [text for text in (estimate.note, note) if text]
    return Measurement(
        metric=metric,
        value=estimate.value,
        lower=bounds[0],
        upper=bounds[1],
        confidence_level=confidence_level,
        method=estimate.method,
        n_samples=n_samples,
        unit=unit,
        higher_is_better=higher_is_better,
        group=group,
        p_value=min(found, default=None),
        seed=estimate.seed,
        # Where one of several limits needs no number of rows (none would decide), no number is told.
        n_required=math.ceil(n_samples * max(growths)) if growths and len(growths) == len(needs) else None,
        note="; ".join(notes) or None,
    )


def evidence(
    gate_id: str,
    measurements: Sequence[Measurement],
    criteria: Sequence[Criterion],
    *,
    seed: int | None = None,
    details: Mapping[str, JsonValue] | None = None,
) -> Evidence:
    """Return the evidence of one check; a planned number of rows is told with its power."""
    told = dict(details or {})
    if any(measured.n_required is not None for measured in measurements):
        told["planned_power"] = POWER
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measurements),
        criteria=tuple(criteria),
        seed=seed,
        details=told,
    )


def checked_burden(burden: str | Burden) -> Burden:
    """Return the burden of proof by its name."""
    try:
        return Burden(burden)
    except ValueError:
        raise InputError(f"there is no burden of proof {burden!r}", hint="compliance or violation") from None
