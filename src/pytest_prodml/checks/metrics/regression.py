"""Losses and scores of predicted numbers.

Names are those of scikit-learn: losses by their plain name (`mean_absolute_error`) have ceilings, the scorers
(`neg_mean_absolute_error`) are negative and have floors. Also `mean_error` (the bias), `pinball_0.9` for any
quantile, and quantiles of the absolute error: `absolute_error_p95`, `absolute_error_p99.9`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

from pytest_prodml.checks.labels import Scores
from pytest_prodml.checks.metrics.registry import Measured, Metric, Needs
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.records import JsonValue
from pytest_prodml.statistics import regression
from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.estimate import Estimate, mapped
from pytest_prodml.statistics.losses import mean_loss, pinball_losses

#: Estimates a metric from truth, predictions and design.
OfNumbers: TypeAlias = Callable[[Scores, Scores, Design], Estimate]
_POINTS = 200


def _metric(
    name: str,
    estimate: OfNumbers,
    *,
    is_loss: bool = True,
    negative: bool = False,
    low: float | None = 0.0,
    high: float | None = None,
    unit: str = "1",
) -> Metric:
    def measure(sample: Sample, seed: int) -> Measured:  # noqa: ARG001 - nothing is drawn
        truth, predicted = sample.numbers(name)
        found = estimate(truth, predicted, sample.design)
        if negative:
            found = mapped(found, lambda loss: -loss, falling=True)
        return Measured(estimate=found, details=_residuals(truth, predicted))

    if negative:
        is_loss, low, high = False, None, 0.0
    return Metric(
        needs=Needs.NUMBERS, measure=measure, higher_is_better=not is_loss, low=low, high=high, unit=unit
    )


def _residuals(truth: Scores, predicted: Scores) -> dict[str, JsonValue]:
    """Return predictions and errors of at most 200 rows, evenly spaced in the order of the predictions."""
    if not truth.size:
        return {}
    order = np.argsort(predicted, kind="stable")
    taken = order[np.unique(np.linspace(0, order.size - 1, _POINTS).astype(np.intp))]
    return {
        "residuals": {"x": predicted[taken].tolist(), "y": (truth - predicted)[taken].tolist()},
        "residuals_shown": int(taken.size),
    }


def _mean_of(loss: regression.Loss) -> OfNumbers:
    return lambda truth, predicted, design: mean_loss(loss(truth, predicted), design)


def _root_of(loss: regression.Loss) -> OfNumbers:
    return lambda truth, predicted, design: regression.root(mean_loss(loss(truth, predicted), design))


def _pinball(quantile: float) -> OfNumbers:
    return lambda truth, predicted, design: mean_loss(pinball_losses(truth, predicted, quantile), design)


def _quantile(p: float) -> OfNumbers:
    return lambda truth, predicted, design: regression.quantile_of(
        regression.absolute_error(truth, predicted), p, design
    )


def _losses() -> Iterator[tuple[str, OfNumbers, str]]:
    """Yield the losses with their units."""
    in_target = {"mean_absolute_error", "root_mean_squared_error", "median_absolute_error", "max_error"}
    every: dict[str, OfNumbers] = {
        **{name: _mean_of(loss) for name, loss in regression.LOSSES.items()},
        "max_error": lambda truth, predicted, _: regression.max_error(truth, predicted),
        "mean_pinball_loss": _pinball(0.5),
        "median_absolute_error": _quantile(0.5),
        "root_mean_squared_error": _root_of(regression.squared_error),
        "root_mean_squared_log_error": _root_of(regression.squared_log_error),
    }
    for name, estimate in every.items():
        yield name, estimate, "target" if name in in_target else "1"


def number_named(name: str) -> Metric | None:
    """Return the metric called `name`: pinball_0.9, absolute_error_p95, absolute_error_p99.9."""
    pinball = re.fullmatch(r"(neg_)?pinball_(0?\.\d{1,6})", name)
    if pinball is not None and float(pinball[2]) > 0:
        return _metric(name, _pinball(float(pinball[2])), negative=bool(pinball[1]))
    quantile = re.fullmatch(r"absolute_error_p(\d{1,2}(?:\.\d{1,6})?)", name)
    if quantile is not None and float(quantile[1]) > 0:
        return _metric(name, _quantile(float(quantile[1]) / 100), unit="target")
    return None


METRICS: Mapping[str, Metric] = {
    **{name: _metric(name, estimate, unit=unit) for name, estimate, unit in _losses()},
    **{
        f"neg_{name}": _metric(f"neg_{name}", estimate, negative=True, unit=unit)
        for name, estimate, unit in _losses()
    },
    "d2_absolute_error_score": _metric(
        "d2_absolute_error_score", regression.d2_absolute_error, is_loss=False, low=None, high=1.0
    ),
    "explained_variance": _metric(
        "explained_variance", regression.explained_variance, is_loss=False, low=None, high=1.0
    ),
    "mean_error": _metric("mean_error", regression.mean_error, is_loss=False, low=None, unit="target"),
    "r2": _metric("r2", regression.r2, is_loss=False, low=None, high=1.0),
}
