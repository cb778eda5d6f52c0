"""Metrics without a formula here: a project's own function, and scikit-learn's measures of clusterings.

Their bounds come from leaving rows out, the last resort of `statistics.resampling`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.checks.labels import label_column, nearest, same_length
from pytest_prodml.checks.metrics.registry import Measured, Metric, Needs
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.resampling import jackknife
from pytest_prodml.statistics.sufficient import Codes

Column: TypeAlias = npt.NDArray[Any]
#: (y_true, y_pred or y_score, and sample_weight if it has such a parameter) -> value
Function: TypeAlias = Callable[..., float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomMetric:
    """A metric of your own.

    Attributes
    ----------
    name : str
    function : callable
        ``function(y_true, y_pred)`` or, where it needs scores, ``function(y_true, y_score)``, with arrays as
        they were given. A parameter `sample_weight` gets the rows' weights; without one, weighted rows are an
        error.
    low, high : float or None
        The range of the values; None where it has no end.
    higher_is_better : bool
    needs : Needs
        What the model must deliver.
    """

    name: str
    function: Function
    low: float | None
    high: float | None
    higher_is_better: bool = True
    needs: Needs = Needs.LABELS


#: scikit-learn's names and their ranges.
CLUSTERINGS: Mapping[str, tuple[float, float | None]] = {
    "adjusted_mutual_info_score": (-1.0, 1.0),
    "adjusted_rand_score": (-0.5, 1.0),
    "completeness_score": (0.0, 1.0),
    "fowlkes_mallows_score": (0.0, 1.0),
    "homogeneity_score": (0.0, 1.0),
    "mutual_info_score": (0.0, None),
    "normalized_mutual_info_score": (0.0, 1.0),
    "rand_score": (0.0, 1.0),
    "v_measure_score": (0.0, 1.0),
}


def fallback_metric(metric: str | CustomMetric) -> Metric:
    """Return the metric of that name in `CLUSTERINGS`, or the one that a project defines.

    Raises
    ------
    InputError
        For another name, or a custom metric whose range is empty.
    """
    if isinstance(metric, CustomMetric):
        return _custom(metric)
    if metric not in CLUSTERINGS:
        raise InputError(
            f"there is no performance metric {metric!r}", hint=nearest(metric, list(CLUSTERINGS))
        )
    low, high = CLUSTERINGS[metric]

    def parts(sample: Sample) -> tuple[Function, Column, Column]:
        function = getattr(require("sklearn.metrics", extra="performance"), metric)
        if sample.y_pred is None:
            raise InputError(f"{metric} is computed from predicted labels: pass y_pred")
        return function, sample.truth.codes, label_column(sample.y_pred, name="y_pred").codes

    def measure(sample: Sample, seed: int) -> Measured:
        function, truth, predicted = parts(sample)
        return _measured(metric, function, sample, truth, predicted, low, high, seed)

    def value(sample: Sample) -> float:
        function, truth, predicted = parts(sample)
        return _value(metric, function, sample, truth, predicted)

    return Metric(needs=Needs.LABELS, measure=measure, low=low, high=high, name=metric, value=value)


def custom_metric(
    name: str,
    function: Function,
    *,
    low: float | None,
    high: float | None,
    higher_is_better: bool = True,
    needs: Needs = Needs.LABELS,
) -> Metric:
    """Return a metric of your own, for wherever a metric's name is taken; see `CustomMetric`."""
    return _custom(
        CustomMetric(
            name=name,
            function=function,
            low=low,
            high=high,
            higher_is_better=higher_is_better,
            needs=needs,
        )
    )


def _custom(metric: CustomMetric) -> Metric:
    if metric.low is not None and metric.high is not None and not metric.low < metric.high:
        raise InputError(
            f"the range of {metric.name} is empty: low {metric.low!r}, high {metric.high!r}",
            hint="give the lowest and the highest value that the function can return, or None",
        )

    def measure(sample: Sample, seed: int) -> Measured:
        truth, answer = _columns(metric, sample)
        return _measured(metric.name, metric.function, sample, truth, answer, metric.low, metric.high, seed)

    def value(sample: Sample) -> float:
        return _value(metric.name, metric.function, sample, *_columns(metric, sample))

    return Metric(
        needs=metric.needs,
        measure=measure,
        higher_is_better=metric.higher_is_better,
        low=metric.low,
        high=metric.high,
        name=metric.name,
        value=value,
    )


def _columns(metric: CustomMetric, sample: Sample) -> tuple[Column, Column]:
    """Return the truth and the model's answers as they were given, checked for missing values."""
    if metric.needs is Needs.NUMBERS:
        return sample.numbers(metric.name)
    if metric.needs is Needs.LABELS and sample.is_multilabel:
        return sample.indicators(metric.name)
    if metric.needs is Needs.LABELS:
        if sample.y_pred is None:
            raise InputError(f"{metric.name} is computed from predicted labels: pass y_pred")
        label_column(sample.y_pred, name="y_pred")
        answer = np.asarray(sample.y_pred)
    else:
        one = np.ndim(sample.y_score) == 1 if sample.y_score is not None else True
        answer = sample.scores(metric.name) if one else sample.class_scores(metric.name)
    if not sample.is_multilabel:
        label_column(sample.y_true, name="y_true")
    return np.asarray(sample.y_true), answer


def _on_rows(
    name: str, function: Function, sample: Sample, truth: Column, answer: Column
) -> Callable[[Codes], float]:
    """Return the function of a project as one of the rows, with their weights."""
    same_length(y_true=len(truth), answers=len(answer))
    weights = sample.weights
    if weights is not None and not _takes_weights(function):
        raise InputError(
            f"{name} can not weigh rows", hint="leave sample_weight out, or give the function that parameter"
        )

    def on(rows: Codes) -> float:
        extra = {} if weights is None else {"sample_weight": weights[rows]}
        return _number(name, function(truth[rows], answer[rows], **extra))

    return on


def _value(name: str, function: Function, sample: Sample, truth: Column, answer: Column) -> float:
    """Return the value alone; NaN where the function fails, as it may on a part of the rows."""
    on = _on_rows(name, function, sample, truth, answer)
    try:
        return on(np.arange(len(truth)))
    except Exception:  # noqa: BLE001 - any function may raise anything
        return math.nan


def _measured(
    name: str,
    function: Function,
    sample: Sample,
    truth: Column,
    answer: Column,
    low: float | None,
    high: float | None,
    seed: int,
) -> Measured:
    on = _on_rows(name, function, sample, truth, answer)

    def on_part(rows: Codes) -> float:
        # A part of the rows may lack what the function needs, such as a class: then it has no value there.
        try:
            return on(rows)
        except Exception:  # noqa: BLE001 - any function may raise anything
            return math.nan

    if len(truth):
        _check_value(name, on, len(truth), low, high)
    return Measured(estimate=jackknife(on_part, len(truth), sample.design, seed=seed, low=low, high=high))


def _check_value(
    name: str, on: Callable[[Codes], float], n: int, low: float | None, high: float | None
) -> None:
    """Refuse a function that fails on all rows, or returns what its range excludes."""
    try:
        value = on(np.arange(n))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{name} failed on the rows: {type(error).__name__}: {error}") from error
    slack = 1e-9
    if (low is not None and value < low - slack) or (high is not None and value > high + slack):
        raise InputError(
            f"{name} is {value!r}, outside of its declared range from {low} to {high}",
            hint="declare the whole range that the function can return",
        )


def _number(name: str, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # the function is a project's, so anything can come
    except (TypeError, ValueError):
        raise InputError(f"{name} returned a {type(value).__name__}, not a number") from None


def _takes_weights(function: Function) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(one.name == "sample_weight" or one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)


METRICS: Mapping[str, Metric] = {name: fallback_metric(name) for name in CLUSTERINGS}
