"""A metric that a test names and the limit that it sets, checked before anything is computed."""

from __future__ import annotations

import math

from pytest_prodml.checks.evidence import edge
from pytest_prodml.checks.labels import checked_number
from pytest_prodml.checks.metrics.named import is_known, metric_named
from pytest_prodml.checks.metrics.registry import Measured, Metric
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion
from pytest_prodml.statistics.estimate import not_estimable


def resolved(metric: str | Metric) -> tuple[str, Metric]:
    """Return a metric with its name."""
    if isinstance(metric, str):
        return metric, metric_named(metric)
    if not isinstance(metric, Metric) or not isinstance(metric.name, str) or not metric.name:
        raise InputError(
            f"a metric is a name or a Metric that has one, got {type(metric).__name__}",
            hint="make one of a function with custom_metric(name, function, low=..., high=...)",
        )
    # A policy asks by name: a number of another kind must not answer for it.
    known = metric_named(metric.name) if is_known(metric.name) else metric
    if known.measure is not metric.measure:
        raise InputError(
            f"{metric.name} is a metric that is known here: yours needs another name", where=metric.name
        )
    return metric.name, metric


def check_has_a_better_side(name: str) -> None:
    """Refuse the bias where more has to be better or worse: a model that overestimates is no better one."""
    if name == "mean_error":
        raise InputError(
            "neither a larger nor a smaller mean error is better", where=name, hint="use between(...)"
        )


def measure(metric: Metric, sample: Sample, seed: int) -> Measured:
    """Measure a metric; rows of which none counts, as all have the weight 0, have no value."""
    if sample.counts_nothing:
        return Measured(estimate=not_estimable("none", "no row counts, as all have the weight 0"))
    return metric.measure(sample, seed)


def checked_limit(name: str, metric: Metric, limit: float) -> float:
    """Return `limit`, or raise `InputError` if it lies outside of the metric's range."""
    low, high = metric.low, metric.high
    limit = checked_number(limit, name=f"{name}: the limit")
    below = low is not None and limit < low
    above = high is not None and limit > high
    if not math.isfinite(limit) or below or above:
        told = "on the number line"
        if low is not None and high is not None:
            told = f"between {low:g} and {high:g}"
        elif low is not None or high is not None:
            told = f"from {low:g} on" if low is not None else f"up to {high:g}"
        raise InputError(f"the limit must lie {told}, got {limit!r}", where=name)
    return limit


def check_asks_something(metric: Metric, criterion: Criterion) -> None:
    """Refuse a margin that loosens a limit to what the worst value keeps."""
    floor = criterion.comparison is Comparison.AT_LEAST
    worst = metric.low if floor else metric.high
    turn = edge(criterion)
    if criterion.margin and worst is not None and (turn <= worst if floor else turn >= worst):
        raise InputError(
            f"with the margin of {criterion.margin:g} every value keeps the limit of {criterion.limit:g}",
            where=criterion.metric,
        )


def check_margin(metric: Metric, margin: float) -> None:
    """Raise `InputError` unless `margin` is from 0 to the width of the metric's range."""
    widest = math.inf if metric.low is None or metric.high is None else metric.high - metric.low
    margin = checked_number(margin, name="the margin")
    if not (math.isfinite(margin) and 0 <= margin <= widest):
        bound = "" if math.isinf(widest) else f" and at most {widest:g}"
        raise InputError(f"the margin must be at least 0{bound}, got {margin!r}")
