"""Answers and who the people are -> evidence about gaps between groups, or floors that every group meets.

Point values are fairlearn's (`MetricFrame.difference()`, `.ratio()`), with two exceptions on purpose: a group
on which a rate is undefined (no row with the favorable label, so no true positive rate) is *not estimable*,
where fairlearn takes 0; and a single group has nothing to be compared with, where fairlearn says 0. No group
is ever dropped for being small, unless the policy says so. Small groups make wide bounds, and the evidence
names them and the rows that would decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy.typing as npt

from pytest_prodml.checks.evidence import checked_burden, evidence, measurement
from pytest_prodml.checks.fairness.answers import Answers
from pytest_prodml.checks.fairness.groups import By
from pytest_prodml.checks.fairness.measures import AnyMetric, compared, name_of
from pytest_prodml.checks.fairness.request import Asked, decided_with, edges_of, finite, large_enough
from pytest_prodml.checks.fairness.tables import details_of, measured_groups, note_of
from pytest_prodml.checks.fairness.values import Compared, Values
from pytest_prodml.checks.metrics.levels import Bins
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level
from pytest_prodml.statistics.gaps import (
    Gap,
    difference_of_counts,
    difference_of_estimates,
    ratio_of_counts,
    ratio_of_estimates,
    worst_of,
)


def difference_at_most(
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
    """Measure the largest difference of a metric between groups, which has to be at most `limit`.

    Parameters
    ----------
    metric : str, Metric or callable
        A rate (selection_rate is demographic parity, true_positive_rate equal opportunity), equalized_odds
        (the worse of the true and the false positive rate), mean_prediction, expected_calibration_error,
        calibration_in_the_large, exposure, any metric of performance, a metric of your own, or a function of
        ``(y_true, y_pred)``.
    limit : float
        Passes when *every* pair of groups is proven to differ by at most this, fails when some pair is
        proven to differ by more.
    answers : Answers
        What the model said, the truth, and how the rows were drawn.
    groups : mapping of str to array-like, shape (n,)
        Columns of attributes; they need not be inputs of the model. Rows without a value form the group
        "(missing)"; a cell that is a list, tuple or set makes its row a member of several groups.
    by : str or sequence of (str or sequence of str), optional
        Which columns are compared, and which combinations of them: ``["sex", ("sex", "age")]``; default every
        column by itself. Each is a criterion of its own, named like it: ``sex & age``.
    bins, separators : mapping, optional
        Bands of numbers, and what separates several values in a cell of text; see `groups.groupings`.
    min_group : int, optional
        Leave out groups with fewer rows. Each is listed with its rows, and passes only under a policy whose
        `min_group` allows it.
    burden : {"compliance", "violation"}
        Who has to prove it.
    gate_id, confidence_level, seed : str, float, int
        The gate, the level of each one-sided bound, and the seed of metrics that resample.

    Returns
    -------
    Evidence
        For each comparison the measurement ``<metric>_difference`` with its attribute as the group, then the
        metric of every group as ``<metric>`` with the group ``attribute=value``, for information.

    Raises
    ------
    InputError
        For what can not be judged: an unknown metric or label, a missing label, columns of different length,
        an attribute with more than 100 groups or with fractions.
    """
    claim = _Claim(name="difference", comparison=Comparison.AT_MOST, limit=_limit(limit))
    asked = Asked(groups, by, bins, separators, min_group, burden, gate_id, confidence_level, seed)
    return _gaps(metric, claim, answers, asked)


def ratio_at_least(
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
    """Measure the smallest ratio of a metric between groups, which has to be at least `limit`.

    A limit of 0.8 is the "four fifths" screening rule. Parameters, results and errors are those of
    `difference_at_most`, with ``<metric>_ratio``. A ratio of 0 to 0 is not estimable; of metrics that can be
    negative there are no ratios.
    """
    if not 0 < _limit(limit) <= 1:
        raise InputError(f"a ratio of the lowest to the highest lies between 0 and 1, got {limit!r}")
    claim = _Claim(name="ratio", comparison=Comparison.AT_LEAST, limit=_limit(limit))
    asked = Asked(groups, by, bins, separators, min_group, burden, gate_id, confidence_level, seed)
    return _gaps(metric, claim, answers, asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    name: str
    comparison: Comparison
    limit: float

    def gap(self, values: Values) -> Gap:
        """Return the gap between the groups."""
        ratio = self.comparison is Comparison.AT_LEAST
        if values.counts is not None:
            return ratio_of_counts(*values.counts) if ratio else difference_of_counts(*values.counts)
        make = ratio_of_estimates if ratio else difference_of_estimates
        return make(values.estimates, independent=values.independent)


def _limit(limit: float) -> float:
    found = finite(limit)
    if found < 0:
        raise InputError(f"the limit must be a number from 0 on, got {limit!r}")
    return found


def _check_asks_something(name: str, limit: float, part: Compared) -> None:
    if part.low is None or part.high is None:
        return
    width = part.high - part.low
    if limit >= width:
        raise InputError(
            f"the limit of a difference must lie between 0 and {width:g}, got {limit!r}",
            where=name,
            hint="no difference can exceed it, so it would ask for nothing",
        )


def _gaps(metric: AnyMetric, claim: _Claim, answers: Answers, asked: Asked) -> Evidence:
    checked_level(asked.confidence_level)
    burden = checked_burden(asked.burden)
    ratio = claim.comparison is Comparison.AT_LEAST
    n_rows = answers.n_rows
    parts = compared(metric, answers, seed=asked.seed)
    if ratio and any(part.can_be_negative for part in parts):
        raise InputError(
            f"{name_of(metric)} can be negative, so ratios of it mean nothing", hint="use difference_at_most"
        )
    if not ratio:
        _check_asks_something(name_of(metric), claim.limit, parts[0])
    headline = f"{name_of(metric)}_{claim.name}"
    measurements: list[Measurement] = []
    criteria: list[Criterion] = []
    details: dict[str, JsonValue] = dict(decided_with(answers))
    for grouping in asked.groupings(n_rows):
        kept, dropped = large_enough(grouping, asked.min_group, measurements, details)
        criterion = Criterion(
            metric=headline,
            comparison=claim.comparison,
            limit=claim.limit,
            group=grouping.attribute,
            burden=burden,
        )
        values = [part.in_groups(kept) for part in parts]
        gaps = [claim.gap(value) for value in values]
        whole = gaps[0] if len(gaps) == 1 else worst_of(gaps, at_least=ratio)
        measurements.append(_headline(criterion, whole, values, gaps, parts[0], asked, dropped))
        criteria.append(criterion)
        for part, value, gap in zip(parts, values, gaps, strict=True):
            if len(parts) > 1:
                single = replace(criterion, metric=f"{part.name}_{claim.name}")
                measurements.append(
                    _headline(single, gap, [value], [gap], part, asked, dropped, judged=False)
                )
            of_groups = measured_groups(part, value, asked.confidence_level)
            measurements += of_groups
            needs = gap.needs(claim.limit, asked.confidence_level)
            details[f"{part.name}_by_{grouping.attribute}"] = details_of(
                value, of_groups, gap, needs, asked.confidence_level
            )
        if grouping.edges:
            details.setdefault("bins", []).extend(edges_of(grouping))  # type: ignore[union-attr]
    return evidence(asked.gate_id, measurements, criteria, seed=asked.seed, details=details)


def _headline(
    criterion: Criterion,
    gap: Gap,
    values: Sequence[Values],
    gaps: Sequence[Gap],
    part: Compared,
    asked: Asked,
    dropped: int,
    *,
    judged: bool = True,
) -> Measurement:
    notes = [
        note_of(value, one, one.needs(criterion.limit, asked.confidence_level), criterion.metric)
        for value, one in zip(values, gaps, strict=True)
    ]
    if dropped:
        notes.append(f"{dropped} smaller {'group was' if dropped == 1 else 'groups were'} left out")
    rows = (
        int(values[0].grouping.sizes.sum()) if not values[0].grouping.overlap else values[0].grouping.n_rows
    )
    return measurement(
        criterion.metric,
        replace(gap.estimate, note=None),
        criteria=[criterion] if judged else [],
        n_samples=rows,
        confidence_level=asked.confidence_level,
        higher_is_better=criterion.comparison is Comparison.AT_LEAST,
        unit="1" if criterion.comparison is Comparison.AT_LEAST else part.unit,
        group=criterion.group,
        note="; ".join(dict.fromkeys(note for note in notes if note)) or None,
    )
