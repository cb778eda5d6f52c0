"""Metrics of rows with several labels each: an indicator column for every label, in truth and prediction.

A row is the unit that is independent, not a label of it: a row's labels stand and fall together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.metrics.registry import Measured, Metric, Needs
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError
from pytest_prodml.statistics import agreement, intervals
from pytest_prodml.statistics.design import adjusted, share_of_weight
from pytest_prodml.statistics.estimate import Estimate, mapped, not_estimable
from pytest_prodml.statistics.shares import Statistic, influences, kinds_of_rows, of_shares

Average: TypeAlias = Literal["macro", "micro", "weighted", "samples"]
Indicators: TypeAlias = npt.NDArray[np.bool_]
Array: TypeAlias = npt.NDArray[np.float64]
Measure: TypeAlias = Callable[[Sample, int], Measured]


def only(name: str, of_rows: Measure) -> Metric:
    """Return a metric that only rows with several labels have."""

    def measure(sample: Sample, seed: int) -> Measured:
        if not sample.is_multilabel:
            raise InputError(f"{name} needs rows with several labels: y_true with a column for each label")
        return of_rows(sample, seed)

    return Metric(needs=Needs.LABELS, measure=measure)


def _details(truth: Indicators) -> dict[str, float]:
    return {"labels": truth.shape[1], "true_labels": int(np.count_nonzero(truth))}


def _of_rows(
    name: str, sample: Sample, values: Callable[[Indicators, Indicators], Array], *, whole: bool = False
) -> Measured:
    """Estimate the mean of a value in [0, 1] of each row; `whole` where it is 0 or 1."""
    truth, predicted = sample.indicators(name)
    told = _undefined(_counted(truth, sample))
    if told:
        return Measured(estimate=not_estimable("none", told))
    found = values(truth, predicted)
    weights = share_of_weight(sample.design, found.size)
    if whole:
        estimate = intervals.proportion(float(weights @ found), float(weights.sum()))
    else:
        estimate = intervals.bounded_mean(found, weights)
    influence = found - (estimate.value or 0.0)
    return Measured(estimate=adjusted(estimate, influence, sample.design), details=_details(truth))


def _counted(truth: Indicators, sample: Sample) -> Indicators:
    return truth if sample.weights is None else truth[sample.weights > 0]


def _undefined(truth: Indicators) -> str | None:
    if not truth.size:
        return "there are no rows"
    if len(truth) > 1 and (truth == truth[0]).all():
        return "all rows have the same labels, so a constant answer is right on them"
    return None


def exact_match(sample: Sample, seed: int) -> Measured:  # noqa: ARG001 - exact bounds draw nothing
    """Estimate the share of rows all of whose labels are right (scikit-learn's accuracy)."""
    return _of_rows(
        "accuracy",
        sample,
        lambda truth, predicted: (truth == predicted).all(axis=1).astype(np.float64),
        whole=True,
    )


def exact_mismatch(sample: Sample, seed: int) -> Measured:
    """Estimate the share of rows with a wrong label (scikit-learn's zero_one_loss)."""
    found = exact_match(sample, seed)
    estimate = mapped(found.estimate, lambda share: 1 - share, falling=True)
    return Measured(estimate=estimate, details=found.details)


def hamming_loss(sample: Sample, seed: int) -> Measured:  # noqa: ARG001 - Gaffke's bounds draw nothing
    """Estimate the share of wrong labels."""
    return _of_rows("hamming_loss", sample, lambda truth, predicted: (truth != predicted).mean(axis=1))


def of_labels(metric: agreement.Averaged, average: Average, *, beta: float = 1.0) -> Measure:
    """Return how to measure precision, recall, F-beta or Jaccard of several labels a row.

    Averaged over the labels ("macro", "weighted" by true rows), over all labels at once ("micro"), or over
    the rows ("samples"). 0 / 0 is 0, as in scikit-learn.
    """

    def measure(sample: Sample, seed: int) -> Measured:
        if average == "samples":
            return _of_rows(metric, sample, lambda *both: agreement.quotient(metric, *_sums(*both), beta))
        truth, predicted = sample.indicators(metric)
        counted = _counted(truth, sample)
        told = _undefined(counted)
        if (
            told is None
            and average != "weighted"
            and not counted.any(axis=0 if average == "macro" else None).all()
        ):
            told = "a label is true in no row"
        if told:
            return Measured(estimate=not_estimable("none", told))
        return Measured(
            estimate=_over_labels(sample, truth, predicted, metric, average, beta, seed),
            details=_details(truth),
        )

    return measure


def _sums(truth: Indicators, predicted: Indicators) -> tuple[Array, Array, Array]:
    """Return how many labels of each row are rightly predicted, predicted, and true."""
    right, said, true = (
        part.sum(axis=1).astype(np.float64) for part in (truth & predicted, predicted, truth)
    )
    return right, said, true


def _over_labels(
    sample: Sample,
    truth: Indicators,
    predicted: Indicators,
    metric: agreement.Averaged,
    average: Average,
    beta: float,
    seed: int,
) -> Estimate:
    if average == "micro":
        labels = 1
        rows = np.column_stack(_sums(truth, predicted))
        size = float(truth.shape[1])
    else:
        labels, size = truth.shape[1], 1.0
        rows = np.hstack([truth & predicted, predicted, truth]).astype(np.float64)
    statistic = agreement.average_of(metric, "weighted" if average == "weighted" else "macro", beta)
    total = rows.sum(axis=0, keepdims=True)
    worst, best = _extremes(total, statistic, labels, size)
    weights = share_of_weight(sample.design, len(rows))
    kinds = kinds_of_rows(rows, weights, worst=worst, best=best, seed=seed)
    estimate = of_shares(kinds, statistic, low=0.0, high=1.0, seed=seed)
    if sample.design.is_simple:
        return estimate
    return adjusted(estimate, influences(kinds, statistic, rows=rows, weights=weights), sample.design)


def _extremes(total: Array, statistic: Statistic, labels: int, size: float) -> tuple[Array, Array]:
    """Return what a row adds whose every label is of the state that lowers (raises) the metric most."""
    states = [(0, 0, 0), (0, size, 0), (0, 0, size), (size, size, size)]
    worst, best = np.zeros(3 * labels), np.zeros(3 * labels)
    for label in range(labels):
        places = [label, labels + label, 2 * labels + label]
        moved = np.repeat(total, len(states), axis=0)
        moved[:, places] += states
        values = statistic(moved)
        worst[places] = states[int(np.argmin(values))]
        best[places] = states[int(np.argmax(values))]
    return worst, best
