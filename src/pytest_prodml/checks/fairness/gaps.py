"""Decisions, the truth and group membership -> evidence about differences between groups of people.

Point values are fairlearn's (`MetricFrame.difference()`, `.ratio()`), with two exceptions on purpose: a group
on which a rate is undefined (no row with the favorable label, so no true positive rate) is *not estimable*,
where fairlearn takes 0; and a single group has nothing to be compared with, where fairlearn says 0. No group
is ever dropped for being small. Small groups make wide bounds, and the evidence names them and the rows that
would decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.labels import (
    Label,
    checked_limit,
    classes_of,
    codes_into,
    label_column,
    named,
    nearest,
    same_length,
)
from pytest_prodml.checks.membership import membership
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics import intervals
from pytest_prodml.statistics.comparison import Spread, max_difference, min_ratio
from pytest_prodml.statistics.estimate import POWER, checked_level
from pytest_prodml.statistics.sufficient import Codes, Counts, cross_table

_MOST_NAMED = 4
#: A group that needs more than so many times its rows is not small: the limit is too near.
_FAR = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share of the rows of a group.

    `successes` and `trials` take the counts by group, truth is favorable, decision is favorable, decision is
    right, and give one number a group. `trials_are` names the rows that are counted.
    """

    successes: Callable[[Counts], Counts]
    trials: Callable[[Counts], Counts]
    trials_are: str
    needs_truth: bool = True


def _all(counts: Counts) -> Counts:
    return np.asarray(counts.sum(axis=(1, 2, 3)))


def _where(counts: Counts, truth: int, decision: int | None = None) -> Counts:
    chosen = counts[:, truth] if decision is None else counts[:, truth, decision : decision + 1]
    return np.asarray(chosen.sum(axis=(1, 2)))


_FAVORABLE, _OTHER = "rows with the favorable label", "rows without the favorable label"

RATES: Mapping[str, Rate] = {
    "accuracy": Rate(successes=lambda c: c[..., 1].sum(axis=(1, 2)), trials=_all, trials_are="rows"),
    "false_negative_rate": Rate(
        successes=lambda c: _where(c, 1, 0), trials=lambda c: _where(c, 1), trials_are=_FAVORABLE
    ),
    "false_positive_rate": Rate(
        successes=lambda c: _where(c, 0, 1), trials=lambda c: _where(c, 0), trials_are=_OTHER
    ),
    "selection_rate": Rate(
        successes=lambda c: c[:, :, 1].sum(axis=(1, 2)), trials=_all, trials_are="rows", needs_truth=False
    ),
    "true_negative_rate": Rate(
        successes=lambda c: _where(c, 0, 0), trials=lambda c: _where(c, 0), trials_are=_OTHER
    ),
    "true_positive_rate": Rate(
        successes=lambda c: _where(c, 1, 1), trials=lambda c: _where(c, 1), trials_are=_FAVORABLE
    ),
}


def difference_at_most(
    metric: str,
    limit: float,
    y_true: npt.ArrayLike | None,
    y_pred: npt.ArrayLike,
    groups: Mapping[str, npt.ArrayLike],
    *,
    favorable_label: Label = 1,
    labels: Sequence[Label] | None = None,
    gate_id: str,
    confidence_level: float = 0.95,
) -> Evidence:
    """Measure the largest difference of a rate between groups, which has to be at most `limit`.

    Parameters
    ----------
    metric : str
        A name of `RATES`: selection_rate (demographic parity), true_positive_rate (equal opportunity), ...
    limit : float
        Passes when *every* pair of groups is proven to differ by at most this, fails when some pair is
        proven to differ by more.
    y_true : array-like or None
        The truth, one label a row; None only for selection_rate.
    y_pred : array-like
        The decision, one label a row. Rows are taken to be independent.
    groups : mapping of str to array-like
        For each attribute the group of each row. Each attribute is a criterion of its own, named like it.
        Rows without a group form the group "(missing)".
    favorable_label : label
        The decision that people want: what counts as selected and as positive.
    labels : sequence of labels, optional
        All labels, where `y_true` may hold only some of them.
    gate_id, confidence_level : str, float
        The gate, and the level of each one-sided bound.

    Returns
    -------
    Evidence
        For each attribute the measurement ``<metric>_difference`` with the attribute as its group, then the
        rate of every group as ``<metric>`` with the group ``attribute=value``, for information.

    Raises
    ------
    InputError
        For what can not be judged: an unknown metric or label, a missing label, columns of different length,
        an attribute with more than 100 groups.
    """
    claim = _Claim(name="difference", comparison=Comparison.AT_MOST, spread=max_difference)
    rows = _rows(metric, y_true, y_pred, favorable_label, labels)
    return _evidence(metric, claim, checked_limit(limit), rows, groups, gate_id, confidence_level)


def ratio_at_least(
    metric: str,
    limit: float,
    y_true: npt.ArrayLike | None,
    y_pred: npt.ArrayLike,
    groups: Mapping[str, npt.ArrayLike],
    *,
    favorable_label: Label = 1,
    labels: Sequence[Label] | None = None,
    gate_id: str,
    confidence_level: float = 0.95,
) -> Evidence:
    """Measure the smallest ratio of a rate between groups, which has to be at least `limit`.

    A limit of 0.8 is the "four fifths" screening rule. Parameters, results and errors are those of
    `difference_at_most`, with ``<metric>_ratio``. A ratio of 0 to 0 is not estimable.
    """
    claim = _Claim(name="ratio", comparison=Comparison.AT_LEAST, spread=min_ratio)
    rows = _rows(metric, y_true, y_pred, favorable_label, labels)
    return _evidence(metric, claim, checked_limit(limit), rows, groups, gate_id, confidence_level)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    name: str
    comparison: Comparison
    spread: Callable[..., Spread]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Each row's truth and decision as 0 or 1 (favorable), and whether the decision is right."""

    truth: Codes
    decision: Codes
    right: Codes


def _rows(
    metric: str,
    y_true: npt.ArrayLike | None,
    y_pred: npt.ArrayLike,
    favorable: Label,
    labels: Sequence[Label] | None,
) -> _Rows:
    rate = RATES.get(metric)
    if rate is None:
        raise InputError(f"there is no fairness metric {metric!r}", hint=nearest(metric, list(RATES)))
    predicted = label_column(y_pred, name="y_pred")
    if y_true is None:
        if rate.needs_truth:
            raise InputError(f"{metric} compares the decisions with the truth: pass y_true")
        truth = predicted  # its labels are then the known ones
    else:
        truth = label_column(y_true, name="y_true")
    same_length(y_true=truth.codes.size, y_pred=predicted.codes.size)
    if not truth.codes.size:
        nothing = np.zeros(0, dtype=np.intp)
        return _Rows(truth=nothing, decision=nothing, right=nothing)
    classes = classes_of(truth, positive=favorable, labels=labels, name="favorable_label")
    if y_true is None and labels is None and len(classes) > 2:
        raise InputError(f"y_pred holds {named(classes)}", hint="name all labels with labels=[...]")
    true_codes, codes = codes_into(truth, classes, name="y_true"), codes_into(predicted, classes)
    chosen = classes.index(favorable)
    return _Rows(
        truth=(true_codes == chosen).astype(np.intp),
        decision=(codes == chosen).astype(np.intp),
        right=(true_codes == codes).astype(np.intp),
    )


def _evidence(
    metric: str,
    claim: _Claim,
    limit: float,
    rows: _Rows,
    groups: Mapping[str, npt.ArrayLike],
    gate_id: str,
    confidence_level: float,
) -> Evidence:
    checked_level(confidence_level)
    if not groups:
        raise InputError("no attribute to compare groups by", hint='name them: by=["sex", "age_band"]')
    measurements: list[Measurement] = []
    criteria: list[Criterion] = []
    details: dict[str, JsonValue] = {}
    for attribute, values in groups.items():
        table = _table(metric, str(attribute), values, rows)
        spread = claim.spread(table.successes, table.trials, confidence_level, limit=limit)
        headline = f"{metric}_{claim.name}"
        measurements.append(_headline(headline, claim, table, spread, confidence_level))
        of_groups = _of_groups(metric, table, confidence_level)
        measurements.extend(of_groups)
        criteria.append(
            Criterion(metric=headline, comparison=claim.comparison, limit=limit, group=table.attribute)
        )
        details[f"{metric}_by_{attribute}"] = _details(table, spread, of_groups)
    if any(measured.n_required is not None for measured in measurements):
        details["planned_power"] = POWER
    return Evidence(
        gate_id=gate_id, measurements=tuple(measurements), criteria=tuple(criteria), details=details
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """The counts of one attribute, one entry a group."""

    attribute: str
    names: tuple[str, ...]
    rows: Counts
    successes: Counts
    trials: Counts
    trials_are: str


def _table(metric: str, attribute: str, values: npt.ArrayLike, rows: _Rows) -> _Table:
    column = membership(values, attribute)
    same_length(y_pred=rows.decision.size, **{attribute: column.codes.size})
    sizes = (len(column.names), 2, 2, 2)
    counts = cross_table([column.codes, rows.truth, rows.decision, rows.right], sizes)
    rate = RATES[metric]
    return _Table(
        attribute=attribute,
        names=column.names,
        rows=_all(counts),
        successes=rate.successes(counts),
        trials=rate.trials(counts),
        trials_are=rate.trials_are,
    )


def _headline(
    name: str, claim: _Claim, table: _Table, spread: Spread, confidence_level: float
) -> Measurement:
    rows = int(table.rows.sum())
    return Measurement(
        metric=name,
        value=spread.value,
        lower=spread.lower,
        upper=spread.upper,
        confidence_level=confidence_level,
        method="MOVER, Clopper-Pearson limits; all pairs",
        n_samples=rows,
        higher_is_better=claim.comparison is Comparison.AT_LEAST,
        group=table.attribute,
        n_required=None if spread.growth is None else math.ceil(rows * spread.growth),
        note=_note(claim, table, spread),
    )


def _note(claim: _Claim, table: _Table, spread: Spread) -> str | None:
    if not table.names:
        return "there are no rows"
    if len(table.names) == 1:
        return f"only one group, {table.attribute}={table.names[0]}: there is nothing to compare"
    told = [
        f"{_told(table, group)}, no {table.trials_are} among them: not estimable" for group in spread.empty
    ]
    if spread.value is None and len(spread.empty) < len(table.names) - 1:
        told.append(f"no group has a rate above 0, so the {claim.name} is not defined")
    by_size = sorted(spread.needs, key=lambda group: int(table.rows[group]))
    told += [_need(table, spread, group) for group in by_size]
    more = f"; and {len(told) - _MOST_NAMED} more groups" if len(told) > _MOST_NAMED else ""
    return "; ".join(told[:_MOST_NAMED]) + more if told else None


def _told(table: _Table, group: int) -> str:
    return f"{table.attribute}={table.names[group]}: {int(table.rows[group]):,} rows"


def _need(table: _Table, spread: Spread, group: int) -> str:
    rows, needed = int(table.rows[group]), _rows_needed(table, spread, group)
    if needed is None:
        return f"{_told(table, group)}, its rate lies on the limit, so no number of rows would decide"
    why = " (its rate lies near the limit)" if needed > _FAR * rows else ""
    return f"{_told(table, group)}, not enough data{why}: about {needed:,} rows of this group would decide"


def _rows_needed(table: _Table, spread: Spread, group: int) -> int | None:
    trials = spread.needs.get(group)
    if trials is None:
        return None
    return math.ceil(trials * int(table.rows[group]) / int(table.trials[group]))


def _of_groups(metric: str, table: _Table, confidence_level: float) -> list[Measurement]:
    found = []
    for name, rows, successes, trials in zip(
        table.names, table.rows.tolist(), table.successes.tolist(), table.trials.tolist(), strict=True
    ):
        estimate = intervals.proportion(successes, trials, of=table.trials_are)
        lower, upper = estimate.at(confidence_level)
        found.append(
            Measurement(
                metric=metric,
                value=estimate.value,
                lower=lower,
                upper=upper,
                confidence_level=confidence_level,
                method=estimate.method,
                n_samples=rows,
                group=f"{table.attribute}={name}",
                note=estimate.note,
            )
        )
    return found


def _details(table: _Table, spread: Spread, of_groups: Sequence[Measurement]) -> list[JsonValue]:
    """Return the table behind a forest plot. `counted` rows enter the rate, `hits` of them count for it."""
    return [
        {
            "group": name,
            "rows": int(table.rows[group]),
            "counted": int(table.trials[group]),
            "hits": int(table.successes[group]),
            "value": measured.value,
            "lower": measured.lower,
            "upper": measured.upper,
            "undecided": group in spread.needs or group in spread.empty,
            "rows_needed": _rows_needed(table, spread, group),
        }
        for group, (name, measured) in enumerate(zip(table.names, of_groups, strict=True))
    ]
