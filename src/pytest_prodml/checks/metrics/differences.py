"""A metric and two models' answers on the same rows -> the estimate of its difference, candidate - baseline.

Each metric takes the sharpest paired method whose measured error holds its level: `statistics.paired` for
shares of right answers, losses and ROC AUC, `statistics.paired_tables` for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.labels import label_column
from pytest_prodml.checks.metrics.registry import Metric
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue
from pytest_prodml.statistics.confusion_metrics import CONFUSION_METRICS, ConfusionMetric
from pytest_prodml.statistics.design import share_of_weight
from pytest_prodml.statistics.estimate import Bounds, Estimate, not_estimable
from pytest_prodml.statistics.paired import (
    agresti_min,
    from_influence,
    mcnemar,
    paired_means,
    paired_shares,
)
from pytest_prodml.statistics.paired_scores import paired_average_precision, paired_roc_auc
from pytest_prodml.statistics.paired_tables import paired_function, paired_table
from pytest_prodml.statistics.sufficient import Codes

Array: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[np.bool_]

_SHOWN = 20
#: Shares of right answers within one true class.
_RECALLS = {"recall": 1, "specificity": 0}
#: Of one label a row these are the accuracy, or what is missing to 1.
_ACCURACIES = frozenset({"accuracy", "precision_micro", "recall_micro", "f1_micro", "recall_weighted"})
_ERRORS = frozenset({"zero_one_loss", "hamming_loss"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The difference of a metric, and which rows make it."""

    estimate: Estimate
    details: Mapping[str, JsonValue] = field(default_factory=dict)


def difference(
    name: str,
    metric: Metric,
    candidate: Sample,
    baseline: Sample,
    *,
    is_custom: bool = False,
    seed: int,
    confidence_level: float,
) -> Compared:
    """Estimate how much a metric of the candidate lies above that of the baseline.

    Parameters
    ----------
    name, metric : str, Metric
        The metric; for a name that no method below knows rows are left out and it is computed again.
    candidate, baseline : Sample
        Answers on the same rows; see `checked_pair`.
    is_custom : bool
        The metric is a project's own, whatever its name says: only `Metric` itself computes it.
    seed : int
        Of methods that resample.
    confidence_level : float
        Of the alternative bounds in the details.
    """
    if not candidate.n_rows:
        return Compared(estimate=not_estimable("none", "there are no rows"))
    if is_custom:
        return _any_metric(metric, candidate, baseline, seed)
    # scikit-learn's scorers turn losses round, so that more is better.
    loss = name.removeprefix("neg_")
    # A squared error has its range for two classes; with more it is left to the metric.
    several = loss.startswith("brier") and candidate.score_dimensions > 1
    if loss in _LOSSES and not several:
        compared = _of_losses(_LOSSES[loss], loss, candidate, baseline)
        return compared if loss == name else replace(compared, estimate=_negated(compared.estimate))
    if candidate.is_multilabel or baseline.is_multilabel:
        return _any_metric(metric, candidate, baseline, seed)
    if name in _RANKINGS and candidate.score_dimensions == baseline.score_dimensions == 1:
        return _of_scores(name, candidate, baseline)
    if name in _ACCURACIES or name in _RECALLS:
        return _shares(name, candidate, baseline, confidence_level)
    if name in _ERRORS:
        compared = _shares(name, candidate, baseline, confidence_level)
        return replace(compared, estimate=_negated(compared.estimate))
    if name in CONFUSION_METRICS:
        return _of_table(name, CONFUSION_METRICS[name], candidate, baseline, seed)
    return _any_metric(metric, candidate, baseline, seed)


def _negated(estimate: Estimate) -> Estimate:
    def bounds(level: float, growth: float, power: float) -> Bounds:
        lower, upper = estimate.bounds(level, growth, power)
        return None if upper is None else -upper, None if lower is None else -lower

    value = None if estimate.value is None else -estimate.value
    return replace(estimate, value=value, bounds=bounds)


def _cells(name: str, candidate: Sample, baseline: Sample, *, two: bool) -> tuple[Codes, Codes, Codes, int]:
    truth, first, classes = candidate.cells(name, two=two)
    _, second, others = baseline.cells(name, two=two)
    if classes != others:
        raise InputError(
            f"the candidate knows the classes {classes!r}, the baseline {others!r}",
            where=name,
            hint="name all classes with labels=[...]",
        )
    return truth, first, second, len(classes)


def _one_class(truth: Codes) -> str | None:
    return "all rows are of one class" if np.unique(truth).size < 2 else None


def _shares(name: str, candidate: Sample, baseline: Sample, confidence_level: float) -> Compared:
    truth, first, second, _ = _cells(name, candidate, baseline, two=name in _RECALLS)
    rows = truth == _RECALLS[name] if name in _RECALLS else np.ones(truth.size, dtype=np.bool_)
    told = None if name in _RECALLS else _one_class(truth)
    of = {"recall": "positive rows", "specificity": "negative rows"}.get(name, "rows")
    right, was_right = first == truth, second == truth
    details = changed_rows(right, was_right, rows)
    if told is not None:
        return Compared(estimate=not_estimable("none", told), details=details)
    estimate = paired_shares(right, was_right, candidate.design, rows=rows, of=of)
    if candidate.design.is_simple and estimate.value is not None:
        fixed, broken = int((right & ~was_right & rows).sum()), int((was_right & ~right & rows).sum())
        lower, upper = agresti_min(fixed, broken, int(rows.sum()), confidence_level)
        details["mcnemar_exact_p_value"] = mcnemar(fixed, broken)
        details["mcnemar_mid_p_value"] = mcnemar(fixed, broken, mid_p=True)
        details["agresti_min"] = {"lower": lower, "upper": upper}
    return Compared(estimate=estimate, details=details)


def changed_rows(right: Rows, was_right: Rows, rows: Rows) -> dict[str, JsonValue]:
    """Count right and wrong answers of both models, and name the first rows that are newly wrong.

    `rows` are those that count; positions are those in the whole sample.
    """
    broken = np.flatnonzero(was_right & ~right & rows)
    fixed = np.flatnonzero(right & ~was_right & rows)
    both = int((right & was_right & rows).sum())
    neither = int((~right & ~was_right & rows).sum())
    return {
        "newly_broken": broken.size,
        "newly_fixed": fixed.size,
        "answers": [
            {"baseline": "right", "candidate": "right", "rows": both},
            {"baseline": "right", "candidate": "wrong", "rows": broken.size},
            {"baseline": "wrong", "candidate": "right", "rows": fixed.size},
            {"baseline": "wrong", "candidate": "wrong", "rows": neither},
        ],
        "first_newly_broken_rows": broken[:_SHOWN].tolist(),
    }


def _of_table(name: str, metric: ConfusionMetric, candidate: Sample, baseline: Sample, seed: int) -> Compared:
    truth, first, second, classes = _cells(name, candidate, baseline, two=metric.two)
    details = changed_rows(first == truth, second == truth, np.ones(truth.size, dtype=np.bool_))
    told = _one_class(truth)
    if told is not None:
        return Compared(estimate=not_estimable("none", told), details=details)
    estimate = paired_table(truth, first, second, classes, metric.values, candidate.design, seed=seed)
    return Compared(estimate=estimate, details=details)


def _of_scores(name: str, candidate: Sample, baseline: Sample) -> Compared:
    is_positive = candidate.is_positive(name)
    first, second = candidate.scores(name), baseline.scores(name)
    positives = int(np.count_nonzero(is_positive))
    return Compared(
        estimate=_RANKINGS[name](is_positive, first, second, candidate.design),
        details={"positive_rows": positives, "negative_rows": is_positive.size - positives},
    )


_RANKINGS = {"roc_auc": paired_roc_auc, "average_precision": paired_average_precision}


# --- losses -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loss:
    """The loss of each row, and what the metric makes of the two vectors of losses.

    `width` is that of the range in which losses lie, None where they have no end.
    """

    of_rows: Callable[[Sample, str], Array]
    width: float | None = None
    combine: Callable[[Array, Array, Array, Array], tuple[float, Array]] | None = None


def _squared_probability_errors(sample: Sample, name: str) -> Array:
    errors: Array = (sample.probabilities(name) - sample.is_positive(name)) ** 2
    return errors


def _log_losses(sample: Sample, name: str) -> Array:
    scores = sample.class_probabilities(name)
    least = float(np.finfo(np.float64).eps)
    chosen = scores[np.arange(len(scores)), sample.class_codes]
    losses: Array = -np.log(np.clip(chosen, least, 1.0))
    return losses


def _absolute_errors(sample: Sample, name: str) -> Array:
    truth, predicted = sample.numbers(name)
    return np.abs(predicted - truth)


def _squared_errors(sample: Sample, name: str) -> Array:
    return _absolute_errors(sample, name) ** 2


def _root_of_means(first: Array, second: Array, weights: Array, truth: Array) -> tuple[float, Array]:
    """Return the difference of two root mean squares with the rows' influence (delta method)."""
    del truth
    means = [float(np.average(losses, weights=weights)) for losses in (first, second)]
    roots = [math.sqrt(mean) for mean in means]
    influence = np.zeros(first.size)
    for losses, mean, root, sign in zip((first, second), means, roots, (1, -1), strict=True):
        if root > 0:
            influence += sign * (losses - mean) / (2 * root)
    return roots[0] - roots[1], influence


def _explained_share(first: Array, second: Array, weights: Array, truth: Array) -> tuple[float, Array]:
    """Return the difference of two R2 with the rows' influence: -(difference of losses) / variance."""
    deviations = (truth - float(np.average(truth, weights=weights))) ** 2
    variance = float(np.average(deviations, weights=weights))
    if variance <= 0:
        return math.nan, np.zeros(first.size)
    value = -float(np.average(first - second, weights=weights)) / variance
    return value, -((first - second) + value * deviations) / variance


_LOSSES: Mapping[str, _Loss] = {
    "brier_score": _Loss(of_rows=_squared_probability_errors, width=1.0),
    "brier_score_loss": _Loss(of_rows=_squared_probability_errors, width=1.0),
    "log_loss": _Loss(of_rows=_log_losses),
    "mean_absolute_error": _Loss(of_rows=_absolute_errors),
    "mean_squared_error": _Loss(of_rows=_squared_errors),
    "root_mean_squared_error": _Loss(of_rows=_squared_errors, combine=_root_of_means),
    "r2": _Loss(of_rows=_squared_errors, combine=_explained_share),
}


def _of_losses(loss: _Loss, name: str, candidate: Sample, baseline: Sample) -> Compared:
    first, second = (loss.of_rows(sample, name) for sample in (candidate, baseline))
    details: dict[str, JsonValue] = {"rows_with_larger_loss": _largest_growth(first, second)}
    if loss.combine is None:
        estimate = paired_means(first, second, candidate.design, width=loss.width)
        return Compared(estimate=estimate, details=details)
    weights = share_of_weight(candidate.design, first.size)
    truth, _ = candidate.numbers(name)
    value, influence = loss.combine(first, second, weights, truth)
    if not math.isfinite(value):
        return Compared(estimate=not_estimable("none", "the truth is the same in every row"), details=details)
    return Compared(estimate=from_influence(value, influence, candidate.design), details=details)


def _largest_growth(first: Array, second: Array) -> list[JsonValue]:
    growth = first - second
    worst = np.argsort(-growth, kind="stable")[:_SHOWN]
    return [
        {"row": int(row), "candidate_loss": float(first[row]), "baseline_loss": float(second[row])}
        for row in worst
        if growth[row] > 0
    ]


# --- anything else ----------------------------------------------------------------------------------------


def _any_metric(metric: Metric, candidate: Sample, baseline: Sample, seed: int) -> Compared:
    def alone(sample: Sample) -> float:
        if metric.value is not None:
            return metric.value(sample)
        found = metric.measure(sample, seed).estimate.value
        return math.nan if found is None else found

    def value(rows: Codes) -> float:
        try:
            return alone(candidate.subset(rows)) - alone(baseline.subset(rows))
        except InputError:
            # A part of the rows may lack a class; that all of them can be measured was asked before.
            return math.nan

    whole = alone(candidate) - alone(baseline)
    if not math.isfinite(whole):
        return Compared(estimate=not_estimable("none", "the metric is undefined on these rows"))
    widest = None if metric.low is None or metric.high is None else metric.high - metric.low
    design = candidate.design
    if candidate.query is not None and design.clusters is None:
        # Half of a query is another query, so they are left out as a whole.
        design = replace(design, clusters=label_column(candidate.query, name="query").codes)
    estimate = paired_function(value, _differs(candidate, baseline), design, seed=seed, widest=widest)
    return Compared(estimate=estimate)


def _differs(candidate: Sample, baseline: Sample) -> Rows:
    """Return the rows on which any answer differs."""
    differs = np.zeros(candidate.n_rows, dtype=np.bool_)
    for first, second in (
        (candidate.y_pred, baseline.y_pred),
        (candidate.y_score, baseline.y_score),
    ):
        if first is None or second is None:
            continue
        if np.shape(first) != np.shape(second):
            raise InputError(
                f"the answers of candidate and baseline have the shapes {np.shape(first)} and "
                f"{np.shape(second)}"
            )
        unequal = np.asarray(first) != np.asarray(second)
        differs |= unequal if unequal.ndim == 1 else unequal.any(axis=tuple(range(1, unequal.ndim)))
    return differs
