"""Predictions and the truth -> evidence about how well a model predicts: value, bounds, criterion.

Names are scikit-learn's. Each metric's interval is the one whose worst measured coverage holds its level; see
`statistics.intervals`, `statistics.ranking` and docs/explanation/coverage.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.confusion import Confusion, confusion_at, confusion_of, positive_rows
from pytest_prodml.checks.labels import (
    Label,
    Scores,
    checked_limit,
    label_column,
    nearest,
    probabilities,
    same_length,
    score_column,
)
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics import intervals, ranking
from pytest_prodml.statistics.estimate import (
    POWER,
    Estimate,
    checked_level,
    decided,
    growth_to_decide,
    not_estimable,
)
from pytest_prodml.statistics.sufficient import Coded, score_table

Truth: TypeAlias = npt.NDArray[np.bool_]


class Kind(Enum):
    """What a metric is computed from."""

    TWO_CLASSES = "predicted labels of two classes"
    CLASSES = "predicted labels"
    RANKING = "scores"
    PROBABILITIES = "probabilities"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A row of the registry. `measure` takes what `kind` names."""

    kind: Kind
    measure: Callable[..., Estimate]
    higher_is_better: bool = True


def _two_classes_in_truth(measure: Callable[[Confusion], Estimate]) -> Callable[[Confusion], Estimate]:
    """Refuse a value where the truth holds one class only: a constant answer is right on it."""

    def measured(confusion: Confusion) -> Estimate:
        told = confusion.only_class()
        return measure(confusion) if told is None else not_estimable("none", told)

    return measured


@_two_classes_in_truth
def _accuracy(confusion: Confusion) -> Estimate:
    return intervals.proportion(int(confusion.counts.trace()), int(confusion.counts.sum()))


@_two_classes_in_truth
def _balanced_accuracy(confusion: Confusion) -> Estimate:
    return intervals.mean_of_proportions(
        confusion.counts.diagonal().tolist(),
        confusion.counts.sum(axis=1).tolist(),
        of=[f"rows of the class {label!r}" for label in confusion.classes],
    )


@_two_classes_in_truth
def _precision(confusion: Confusion) -> Estimate:
    _, fp, _, tp = confusion.cells()
    return intervals.proportion(tp, tp + fp, of="rows predicted positive")


def _recall(confusion: Confusion) -> Estimate:
    _, _, fn, tp = confusion.cells()
    return intervals.proportion(tp, tp + fn, of="positive rows")


def _specificity(confusion: Confusion) -> Estimate:
    tn, fp, _, _ = confusion.cells()
    return intervals.proportion(tn, tn + fp, of="negative rows")


@_two_classes_in_truth
def _f1(confusion: Confusion) -> Estimate:
    _, fp, fn, tp = confusion.cells()
    return intervals.f1(tp, fp, fn)


def _brier(truth: Truth, scores: Scores) -> Estimate:
    return intervals.bounded_mean((probabilities(scores, name="y_score") - truth) ** 2)


METRICS: Mapping[str, Metric] = {
    "accuracy": Metric(kind=Kind.CLASSES, measure=_accuracy),
    "average_precision": Metric(kind=Kind.RANKING, measure=ranking.average_precision),
    "balanced_accuracy": Metric(kind=Kind.CLASSES, measure=_balanced_accuracy),
    "brier_score_loss": Metric(kind=Kind.PROBABILITIES, measure=_brier, higher_is_better=False),
    "f1": Metric(kind=Kind.TWO_CLASSES, measure=_f1),
    "precision": Metric(kind=Kind.TWO_CLASSES, measure=_precision),
    "recall": Metric(kind=Kind.TWO_CLASSES, measure=_recall),
    "roc_auc": Metric(kind=Kind.RANKING, measure=ranking.roc_auc),
    "specificity": Metric(kind=Kind.TWO_CLASSES, measure=_specificity),
}


def at_least(
    metric: str,
    limit: float,
    y_true: npt.ArrayLike,
    *,
    y_score: npt.ArrayLike | None = None,
    y_pred: npt.ArrayLike | None = None,
    positive_label: Label = 1,
    threshold: float | None = None,
    labels: Sequence[Label] | None = None,
    margin: float = 0.0,
    gate_id: str,
    confidence_level: float = 0.95,
) -> Evidence:
    """Measure a metric that has to be at least `limit`.

    Parameters
    ----------
    metric : str
        A name of `METRICS`.
    limit : float
        Passes when the lower bound reaches it, fails when the upper bound stays below it.
    y_true : array-like, one label a row
        Numbers, booleans or strings. Rows are taken to be independent.
    y_score : array-like of float, optional
        Scores of the positive class, for roc_auc, average_precision and brier_score_loss (there as
        probabilities), and for the other metrics together with `threshold`.
    y_pred : array-like, optional
        Predicted labels; used rather than a threshold where both are given. Without them a row is predicted
        positive where ``y_score >= threshold``.
    positive_label : label
        The class that scores and precision, recall, F1 speak about.
    labels : sequence of labels, optional
        All classes, where `y_true` may hold only some of them.
    margin : float
        Loosens the limit.
    gate_id, confidence_level : str, float
        The gate, and the level of each one-sided bound.

    Raises
    ------
    InputError
        For what can not be judged: an unknown metric or label, a missing or infinite value, columns of
        different length. A metric that is undefined on the data (nothing predicted positive, no rows, and
        except for recall and specificity a truth of one class) is not an error: its value is None and its
        note says why.
    """
    criterion = Criterion(
        metric=metric, comparison=Comparison.AT_LEAST, limit=checked_limit(limit, margin), margin=margin
    )
    sample = _Sample(
        y_true=y_true,
        y_score=y_score,
        y_pred=y_pred,
        positive=positive_label,
        threshold=threshold,
        labels=labels,
    )
    return _evidence(metric, sample, criterion, gate_id, confidence_level)


def at_most(
    metric: str,
    limit: float,
    y_true: npt.ArrayLike,
    *,
    y_score: npt.ArrayLike | None = None,
    y_pred: npt.ArrayLike | None = None,
    positive_label: Label = 1,
    threshold: float | None = None,
    labels: Sequence[Label] | None = None,
    margin: float = 0.0,
    gate_id: str,
    confidence_level: float = 0.95,
) -> Evidence:
    """Measure a metric that has to be at most `limit`: a loss, or a score that is too good to be true.

    Parameters, results and errors are those of `at_least`.
    """
    criterion = Criterion(
        metric=metric, comparison=Comparison.AT_MOST, limit=checked_limit(limit, margin), margin=margin
    )
    sample = _Sample(
        y_true=y_true,
        y_score=y_score,
        y_pred=y_pred,
        positive=positive_label,
        threshold=threshold,
        labels=labels,
    )
    return _evidence(metric, sample, criterion, gate_id, confidence_level)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """What a caller gave, as it was given."""

    y_true: npt.ArrayLike
    y_score: npt.ArrayLike | None
    y_pred: npt.ArrayLike | None
    positive: Label
    threshold: float | None
    labels: Sequence[Label] | None


def _evidence(
    name: str, sample: _Sample, criterion: Criterion, gate_id: str, confidence_level: float
) -> Evidence:
    metric = METRICS.get(name)
    if metric is None:
        raise InputError(f"there is no performance metric {name!r}", hint=nearest(name, list(METRICS)))
    if criterion.comparison is Comparison.AT_LEAST and not metric.higher_is_better:
        raise InputError(f"{name} is a loss: a floor under it would ask for a bad model", hint="use at_most")
    checked_level(confidence_level)
    truth = label_column(sample.y_true, name="y_true")
    if metric.kind in {Kind.RANKING, Kind.PROBABILITIES}:
        estimate, details = _from_scores(name, metric, truth, sample)
    else:
        estimate, details = _from_labels(name, metric, truth, sample)
    measured = _measurement(metric, estimate, criterion, truth.codes.size, confidence_level)
    if measured.n_required is not None:
        details["planned_power"] = POWER
    return Evidence(gate_id=gate_id, measurements=(measured,), criteria=(criterion,), details=details)


def _measurement(
    metric: Metric, estimate: Estimate, criterion: Criterion, rows: int, confidence_level: float
) -> Measurement:
    lower, upper = estimate.at(confidence_level)
    floor = criterion.comparison is Comparison.AT_LEAST
    edge = criterion.limit - criterion.margin if floor else criterion.limit + criterion.margin
    growth = (
        None
        if decided((lower, upper), edge, at_least=floor)
        else growth_to_decide(estimate, edge, at_least=floor, confidence_level=confidence_level)
    )
    return Measurement(
        metric=criterion.metric,
        value=estimate.value,
        lower=lower,
        upper=upper,
        confidence_level=confidence_level,
        method=estimate.method,
        n_samples=rows,
        higher_is_better=metric.higher_is_better,
        n_required=None if growth is None else math.ceil(rows * growth),
        note=estimate.note,
    )


def _from_scores(
    name: str, metric: Metric, truth: Coded, sample: _Sample
) -> tuple[Estimate, dict[str, JsonValue]]:
    if sample.y_score is None:
        raise InputError(f"{name} is computed from scores: pass y_score")
    scores = score_column(sample.y_score, name="y_score")
    same_length(y_true=truth.codes.size, y_score=scores.size)
    is_positive = positive_rows(truth, sample.positive, sample.labels, metric=name)
    positives = int(np.count_nonzero(is_positive))
    details: dict[str, JsonValue] = {"positive_rows": positives, "negative_rows": scores.size - positives}
    if metric.kind is Kind.PROBABILITIES:
        return metric.measure(is_positive, scores), details
    table = score_table(is_positive, scores)
    false_rates, true_rates = ranking.roc_curve(table)
    if false_rates:
        details["roc"] = {"x": list(false_rates), "y": list(true_rates)}
    return metric.measure(table), details


def _from_labels(
    name: str, metric: Metric, truth: Coded, sample: _Sample
) -> tuple[Estimate, dict[str, JsonValue]]:
    if sample.y_pred is not None:
        predicted = label_column(sample.y_pred, name="y_pred")
        confusion = confusion_of(
            truth,
            predicted,
            positive=sample.positive,
            two=metric.kind is Kind.TWO_CLASSES,
            labels=sample.labels,
            metric=name,
        )
    elif sample.y_score is not None and sample.threshold is not None:
        scores = score_column(sample.y_score, name="y_score")
        confusion = confusion_at(
            truth, scores, sample.threshold, positive=sample.positive, labels=sample.labels, metric=name
        )
    else:
        raise InputError(
            f"{name} is computed from predicted labels: pass y_pred, or y_score with a threshold"
        )
    if not truth.codes.size:
        return not_estimable("none", "there are no rows"), {}
    return metric.measure(confusion), confusion.as_details()
