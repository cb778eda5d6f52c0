"""Answers and who the people are -> evidence that every group reaches a floor, or keeps below a ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy.typing as npt

from pytest_prodml.checks.evidence import checked_burden, evidence, measurement
from pytest_prodml.checks.fairness.answers import Answers
from pytest_prodml.checks.fairness.groups import By
from pytest_prodml.checks.fairness.measures import AnyMetric, compared
from pytest_prodml.checks.fairness.rates import JOINT
from pytest_prodml.checks.fairness.request import Asked, decided_with, edges_of, finite, large_enough
from pytest_prodml.checks.fairness.tables import details_of
from pytest_prodml.checks.metrics.levels import Bins
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level


def group_at_least(
    metric: AnyMetric,
    limit: float,
    answers: Answers,
    groups: Mapping[str, npt.ArrayLike],
    *,
    by: By | None = None,
    bins: Mapping[str, Bins] | None = None,
    separators: Mapping[str, str] | None = None,
    min_group: int | None = None,
    burden: str = "compliance",
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Measure a metric in every group, each of which has to reach `limit`.

    Each group is judged at the full level: that all reach the floor is an intersection-union test. Parameters
    and errors are those of `difference_at_most`; each group is a criterion on ``<metric>``.
    """
    asked = Asked(groups, by, bins, separators, min_group, burden, gate_id, confidence_level, seed)
    return _floors(metric, finite(limit), Comparison.AT_LEAST, answers, asked)


def group_at_most(
    metric: AnyMetric,
    limit: float,
    answers: Answers,
    groups: Mapping[str, npt.ArrayLike],
    *,
    by: By | None = None,
    bins: Mapping[str, Bins] | None = None,
    separators: Mapping[str, str] | None = None,
    min_group: int | None = None,
    burden: str = "compliance",
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Measure a metric in every group, none of which may exceed `limit`: for errors and losses.

    As `group_at_least`.
    """
    asked = Asked(groups, by, bins, separators, min_group, burden, gate_id, confidence_level, seed)
    return _floors(metric, finite(limit), Comparison.AT_MOST, answers, asked)


def _floors(
    metric: AnyMetric, limit: float, comparison: Comparison, answers: Answers, asked: Asked
) -> Evidence:
    checked_level(asked.confidence_level)
    if metric in JOINT if isinstance(metric, str) else False:
        raise InputError(f"{metric} compares groups; it has no value in one", hint="name one of its rates")
    n_rows = answers.n_rows
    [part] = compared(metric, answers, seed=asked.seed)
    floor = comparison is Comparison.AT_LEAST
    if part.higher_is_better is not None and part.higher_is_better is not floor:
        raise InputError(
            f"{part.name} is {'a loss' if floor else 'a score'}: such a limit would ask for a bad model",
            hint="use group_at_most" if floor else "use group_at_least",
        )
    worst = part.low if floor else part.high
    below, above = part.low is not None and limit < part.low, part.high is not None and limit > part.high
    if below or above or limit == worst:
        raise InputError(
            f"the limit must lie between {part.low} and {part.high}, and ask for something, got {limit!r}",
            where=part.name,
        )
    template = Criterion(
        metric=part.name, comparison=comparison, limit=limit, burden=checked_burden(asked.burden)
    )
    measurements: list[Measurement] = []
    criteria: list[Criterion] = []
    details: dict[str, JsonValue] = dict(decided_with(answers))
    for grouping in asked.groupings(n_rows):
        kept, _ = large_enough(grouping, asked.min_group, measurements, details)
        values = part.in_groups(kept)
        found = []
        for group, label in enumerate(kept.labels):
            criterion = replace(template, group=label)
            criteria.append(criterion)
            found.append(
                measurement(
                    part.name,
                    values.estimate(group),
                    criteria=[criterion],
                    n_samples=int(kept.sizes[group]),
                    confidence_level=asked.confidence_level,
                    higher_is_better=floor,
                    unit=part.unit,
                    group=label,
                )
            )
        if not kept.labels:
            # Without any group the floor is met by nobody: that is no pass.
            criteria.append(replace(template, group=grouping.attribute))
        measurements += found
        details[f"{part.name}_by_{grouping.attribute}"] = details_of(
            values, found, None, {}, asked.confidence_level
        )
        if grouping.edges:
            details.setdefault("bins", []).extend(edges_of(grouping))  # type: ignore[union-attr]
    return evidence(asked.gate_id, measurements, criteria, seed=asked.seed, details=details)
