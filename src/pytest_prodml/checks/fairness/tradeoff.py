"""Scores, truth and groups -> gap and performance at every threshold, in one pass: evidence, no verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.evidence import evidence, measurement
from pytest_prodml.checks.fairness.outcomes import grouped
from pytest_prodml.checks.labels import (
    Label,
    checked_number,
    classes_of,
    codes_into,
    label_column,
    named,
    nearest,
    same_length,
    score_column,
)
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement
from pytest_prodml.statistics import intervals
from pytest_prodml.statistics.estimate import Estimate, checked_level, not_estimable
from pytest_prodml.statistics.gaps import Gap, difference_of_counts, worst_of
from pytest_prodml.statistics.sufficient import Codes, Counts, as_numbers, cross_table

#: Told in the evidence and on every page that shows it.
TRADEOFF = (
    "explanation, not a verdict: each threshold has bounds of its own, and a threshold that is picked by "
    "these rows has to be judged on others"
)
MOST_THRESHOLDS = 100
_NOTE = "explanation, not judged"

#: Favorable decisions and rows by group and truth (not favorable, favorable) -> successes and trials.
_Rate: TypeAlias = Callable[[Counts, Counts], tuple[Counts, Counts]]
_RATES: Mapping[str, _Rate] = {
    "false_negative_rate": lambda chosen, rows: (rows[:, 1] - chosen[:, 1], rows[:, 1]),
    "false_positive_rate": lambda chosen, rows: (chosen[:, 0], rows[:, 0]),
    "precision": lambda chosen, _rows: (chosen[:, 1], chosen.sum(axis=1)),
    "selection_rate": lambda chosen, rows: (chosen.sum(axis=1), rows.sum(axis=1)),
    "true_negative_rate": lambda chosen, rows: (rows[:, 0] - chosen[:, 0], rows[:, 0]),
    "true_positive_rate": lambda chosen, rows: (chosen[:, 1], rows[:, 1]),
    "accuracy": lambda chosen, rows: (rows[:, 0] - chosen[:, 0] + chosen[:, 1], rows.sum(axis=1)),
}
_METRICS = (*_RATES, "equalized_odds")
#: True positives, false positives, false negatives, true negatives -> estimate.
_PERFORMANCE: Mapping[str, Callable[[int, int, int, int], Estimate]] = {
    "accuracy": lambda tp, fp, fn, tn: intervals.proportion(tp + tn, tp + fp + fn + tn),
    "balanced_accuracy": lambda tp, fp, fn, tn: intervals.mean_of_proportions(
        [tp, tn], [tp + fn, tn + fp], of=["positive rows", "negative rows"]
    ),
    "f1": lambda tp, fp, fn, _tn: intervals.f1(tp, fp, fn),
    "precision": lambda tp, fp, _fn, _tn: intervals.proportion(tp, tp + fp, of="predicted positives"),
    "recall": lambda tp, _fp, fn, _tn: intervals.proportion(tp, tp + fn, of="positive rows"),
    "specificity": lambda _tp, fp, _fn, tn: intervals.proportion(tn, tn + fp, of="negative rows"),
}


def tradeoff(
    metric: str,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    groups: Mapping[str, npt.ArrayLike],
    *,
    performance: str = "accuracy",
    thresholds: Sequence[float] | None = None,
    current: float | None = None,
    bins: Mapping[str, Sequence[float]] | None = None,
    positive_label: Label = 1,
    favorable_label: Label | None = None,
    labels: Sequence[Label] | None = None,
    gate_id: str,
    confidence_level: float = 0.95,
) -> Evidence:
    """Measure gap and performance over decision thresholds.

    Parameters
    ----------
    metric : str
        The rate whose largest difference between groups is the gap: accuracy, false_negative_rate,
        false_positive_rate, precision, selection_rate, true_negative_rate, true_positive_rate, or
        equalized_odds (the worse of true and false positive rate). Positive means favorable here.
    y_true, y_score : array-like
        The truth, two labels; the score of the positive label. A row is decided positive from the threshold
        on. Rows are taken to be independent.
    groups : mapping of str to array-like
        For each attribute the group of each row. Rows without a group form the group "(missing)".
    performance : str
        accuracy, balanced_accuracy, f1, precision, recall or specificity, of the positive label.
    thresholds : sequence of float, optional
        At most 100; default the percentiles of the scores.
    current : float, optional
        The threshold in use, marked in the curve; gap and performance there are measurements.
    bins : mapping of str to sequence of float, optional
        Inner edges for attributes that are numbers.
    positive_label, favorable_label : label
        Which label the score is about; which decision people want, default the same.
    labels : sequence of labels, optional
        All labels, where `y_true` may hold only one.
    gate_id, confidence_level : str, float
        The gate, and the level of each one-sided bound at each threshold by itself.

    Returns
    -------
    Evidence
        Without criteria. For each attribute a series ``tradeoff`` in the details: ``x`` thresholds, ``y`` the
        gap with ``lower`` and ``upper``, performance with its bounds, and the selection rate; None where
        undefined. With `current` the measurements ``tradeoff_<metric>_difference`` and
        ``tradeoff_<performance>``.

    Raises
    ------
    InputError
        For an unknown metric or label, other than two labels, more than 100 thresholds, or none that is a
        number.
    """
    checked_level(confidence_level)
    _known(metric, _METRICS, "fairness metric")
    _known(performance, tuple(_PERFORMANCE), "measure of performance")
    if not groups:
        raise InputError("no attribute to compare groups by", hint='name one: by="sex"')
    favorable = positive_label if favorable_label is None else favorable_label
    truth, is_favorable = _truth(y_true, positive_label, favorable, labels)
    scores = score_column(y_score, name="y_score")
    same_length(y_true=truth.size, y_score=scores.size)
    at = _thresholds(thresholds, scores, current)
    places = np.searchsorted(at, scores, side="right").astype(np.intp)
    measurements: list[Measurement] = []
    details: dict[str, JsonValue] = {"explanation": TRADEOFF}
    for number, (attribute, values) in enumerate(groups.items(), start=1):
        column = grouped(values, str(attribute), (bins or {}).get(attribute))
        same_length(y_score=scores.size, **{column.attribute: column.codes.size})
        table = cross_table([column.codes, truth, places], (len(column.names), 2, at.size + 1))
        curve = _Curve(
            metric=metric, performance=performance, table=table, is_favorable=is_favorable, thresholds=at
        )
        key = "tradeoff" if number == 1 else f"tradeoff ({number})"
        details[key] = _series(curve, column.attribute, current, confidence_level)
        if current is not None:
            measurements += _now(curve, column.attribute, current, confidence_level)
    if not measurements:
        measurements = [_unmarked(at.size, scores.size)]
    return evidence(gate_id, measurements, (), details=details)


def _known(name: str, known: Sequence[str], what: str) -> None:
    if name not in known:
        raise InputError(f"there is no {what} {name!r} by threshold", hint=nearest(name, list(known)))


def _truth(
    y_true: npt.ArrayLike, positive: Label, favorable: Label, labels: Sequence[Label] | None
) -> tuple[Codes, bool]:
    """Return each row's truth as 0 or 1 (positive), and whether the positive label is the favorable one."""
    coded = label_column(y_true, name="y_true")
    if not coded.codes.size:
        return coded.codes, positive == favorable
    classes = classes_of(coded, positive=positive, labels=labels)
    if len(classes) == 1 and favorable not in classes:
        classes.append(favorable)
    if len(classes) > 2:
        raise InputError(f"a threshold decides between two labels, y_true holds {named(classes)}")
    if favorable not in classes:
        raise InputError(f"favorable_label {favorable!r} is not among the labels {named(classes)}")
    return (codes_into(coded, classes, name="y_true") == classes.index(positive)).astype(
        np.intp
    ), positive == favorable


def _thresholds(
    wanted: Sequence[float] | None, scores: npt.NDArray[np.float64], current: float | None
) -> npt.NDArray[np.float64]:
    if wanted is None:
        shares = np.linspace(0.01, 0.99, 99)
        at = np.quantile(scores, shares, method="higher") if scores.size else np.zeros(0)
    else:
        at = as_numbers(np.asarray(wanted), name="thresholds")
        if at.ndim != 1 or not at.size or not np.isfinite(at).all():
            raise InputError("thresholds must be finite numbers", hint="thresholds=[0.2, 0.3, 0.4]")
    at = np.unique(at)
    if at.size > MOST_THRESHOLDS:
        raise InputError(
            f"{at.size:,} thresholds are more than {MOST_THRESHOLDS}",
            hint="leave them out for the percentiles",
        )
    if current is not None:
        mark = checked_number(current, name="the current threshold")
        if not np.isfinite(mark):
            raise InputError(f"the current threshold must be a finite number, got {current!r}")
        at = np.union1d(at, [mark])
    return np.asarray(at, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Curve:
    """Counts by group, truth (positive or not) and place among the thresholds."""

    metric: str
    performance: str
    table: Counts
    is_favorable: bool
    thresholds: npt.NDArray[np.float64]

    def positive(self, place: int) -> Counts:
        """Count the rows from a threshold on, by group and truth."""
        return np.asarray(self.table[:, :, place + 1 :].sum(axis=2))

    def gap(self, place: int) -> Gap:
        """Return the largest difference between groups at a threshold."""
        chosen, rows = self.positive(place), self.table.sum(axis=2)
        if not self.is_favorable:
            chosen, rows = (rows - chosen)[:, ::-1], rows[:, ::-1]
        if self.metric == "equalized_odds":
            two = [_RATES[name](chosen, rows) for name in ("true_positive_rate", "false_positive_rate")]
            return worst_of([difference_of_counts(*counts) for counts in two], at_least=False)
        return difference_of_counts(*_RATES[self.metric](chosen, rows))

    def performs(self, place: int) -> Estimate:
        """Return the performance over all rows at a threshold."""
        fp, tp = (int(count) for count in self.positive(place).sum(axis=0))
        negatives, positives = (int(count) for count in self.table.sum(axis=(0, 2)))
        if not negatives + positives:
            return not_estimable("count", "there are no rows")
        return _PERFORMANCE[self.performance](tp, fp, positives - tp, negatives - fp)

    def selected(self, place: int) -> float | None:
        """Return the share of rows with the favorable decision."""
        rows, chosen = int(self.table.sum()), int(self.positive(place).sum())
        if not rows:
            return None
        return (chosen if self.is_favorable else rows - chosen) / rows


def _series(curve: _Curve, attribute: str, current: float | None, level: float) -> JsonValue:
    places = range(curve.thresholds.size)
    gaps = [curve.gap(place).estimate for place in places]
    performs = [curve.performs(place) for place in places]
    ends, others = [gap.at(level) for gap in gaps], [one.at(level) for one in performs]
    return {
        "is": TRADEOFF,
        "attribute": attribute,
        "metric": f"{curve.metric}_difference",
        "performance_metric": curve.performance,
        "confidence_level": level,
        "threshold": current,
        "x": curve.thresholds.tolist(),
        "y": [gap.value for gap in gaps],
        "lower": [end[0] for end in ends],
        "upper": [end[1] for end in ends],
        "performance": [one.value for one in performs],
        "performance_lower": [end[0] for end in others],
        "performance_upper": [end[1] for end in others],
        "selection_rate": [curve.selected(place) for place in places],
    }


def _unmarked(thresholds: int, rows: int) -> Measurement:
    return Measurement(
        metric="tradeoff_thresholds",
        value=float(thresholds),
        lower=float(thresholds),
        upper=float(thresholds),
        confidence_level=1.0,
        method="count",
        n_samples=rows,
        note=f"{_NOTE}; no threshold was named as the one in use",
    )


def _now(curve: _Curve, attribute: str, current: float, level: float) -> list[Measurement]:
    place = int(np.searchsorted(curve.thresholds, current))
    note = f"at the threshold {current:.6g}; {_NOTE}"
    rows = int(curve.table.sum())
    return [
        measurement(name, one, n_samples=rows, confidence_level=level, group=attribute, note=note)
        for name, one in (
            (f"tradeoff_{curve.metric}_difference", curve.gap(place).estimate),
            (f"tradeoff_{curve.performance}", curve.performs(place)),
        )
    ]
