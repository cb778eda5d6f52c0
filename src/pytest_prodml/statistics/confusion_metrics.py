"""Metrics of stacks of confusion matrices: (..., k, k) counts or shares in, (...) values out.

The first of the last two axes is the true class. Of two classes the positive one is the last. Values are
scikit-learn's; where its answer is a warning and a 0 for the only class asked about (no row predicted
positive), the value is NaN: nothing was measured. Used where a metric is resampled thousands of times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]


def _ratio(above: Array, below: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)


def _parts(tables: Array) -> tuple[Array, Array, Array]:
    """Return hits, true rows and predicted rows of each class, (..., k)."""
    hits = np.diagonal(tables, axis1=-2, axis2=-1)
    return hits, tables.sum(axis=-1), tables.sum(axis=-2)


def _precision(hits: Array, true: Array, predicted: Array) -> tuple[Array, Array]:
    del true
    return hits, predicted


def _recall(hits: Array, true: Array, predicted: Array) -> tuple[Array, Array]:
    del predicted
    return hits, true


def _fbeta(hits: Array, true: Array, predicted: Array, *, beta: float) -> tuple[Array, Array]:
    return (1 + beta**2) * hits, beta**2 * true + predicted


def _jaccard(hits: Array, true: Array, predicted: Array) -> tuple[Array, Array]:
    return hits, true + predicted - hits


_ClassMetric: TypeAlias = Callable[[Array, Array, Array], tuple[Array, Array]]


def _of_positive(part: _ClassMetric, tables: Array) -> Array:
    return _ratio(*part(*(column[..., -1] for column in _parts(tables))))


def _macro(part: _ClassMetric, tables: Array) -> Array:
    hits, true, predicted = _parts(tables)
    values = np.nan_to_num(_ratio(*part(hits, true, predicted)), nan=0.0)
    present = (true + predicted) > 0
    return _ratio((values * present).sum(axis=-1), present.sum(axis=-1).astype(np.float64))


def _weighted(part: _ClassMetric, tables: Array) -> Array:
    hits, true, predicted = _parts(tables)
    values = np.nan_to_num(_ratio(*part(hits, true, predicted)), nan=0.0)
    return _ratio((values * true).sum(axis=-1), true.sum(axis=-1))


def _micro(part: _ClassMetric, tables: Array) -> Array:
    return _ratio(*part(*(column.sum(axis=-1) for column in _parts(tables))))


def _balanced_accuracy(tables: Array) -> Array:
    hits, true, _ = _parts(tables)
    values = np.nan_to_num(_ratio(hits, true), nan=0.0)
    return _ratio(values.sum(axis=-1), (true > 0).sum(axis=-1).astype(np.float64))


def _negative_predictive_value(tables: Array) -> Array:
    return _ratio(tables[..., 0, 0], tables[..., :, 0].sum(axis=-1))


def _matthews_corrcoef(tables: Array) -> Array:
    hits, true, predicted = _parts(tables)
    n = tables.sum(axis=(-2, -1))
    shared = hits.sum(axis=-1) * n - (true * predicted).sum(axis=-1)
    spread = (n**2 - (true**2).sum(axis=-1)) * (n**2 - (predicted**2).sum(axis=-1))
    return _ratio(shared, np.sqrt(np.maximum(spread, 0.0)))


def _cohen_kappa(power: int | None, tables: Array) -> Array:
    """Return 1 - observed / expected disagreement; `power` 1 or 2 weights it by the distance of classes."""
    _, true, predicted = _parts(tables)
    n = tables.sum(axis=(-2, -1))
    places = np.arange(tables.shape[-1], dtype=np.float64)
    apart = np.abs(places[:, np.newaxis] - places)
    cost = (apart > 0).astype(np.float64) if power is None else apart**power
    chance = (true[..., :, np.newaxis] * predicted[..., np.newaxis, :] * cost).sum(axis=(-2, -1))
    return 1 - _ratio((tables * cost).sum(axis=(-2, -1)) * n, chance)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusionMetric:
    """A metric, and whether it speaks about one class of two."""

    values: Callable[[Array], Array]
    two: bool


def _family(name: str, part: _ClassMetric) -> dict[str, ConfusionMetric]:
    averages = {"macro": _macro, "micro": _micro, "weighted": _weighted}
    return {
        name: ConfusionMetric(values=partial(_of_positive, part), two=True),
        **{
            f"{name}_{average}": ConfusionMetric(values=partial(function, part), two=False)
            for average, function in averages.items()
        },
    }


CONFUSION_METRICS: Mapping[str, ConfusionMetric] = {
    **_family("precision", _precision),
    **_family("recall", _recall),
    **_family("f1", partial(_fbeta, beta=1.0)),
    **_family("f2", partial(_fbeta, beta=2.0)),
    **_family("f0.5", partial(_fbeta, beta=0.5)),
    **_family("jaccard", _jaccard),
    "balanced_accuracy": ConfusionMetric(values=_balanced_accuracy, two=False),
    "negative_predictive_value": ConfusionMetric(values=_negative_predictive_value, two=True),
    "matthews_corrcoef": ConfusionMetric(values=_matthews_corrcoef, two=False),
    "cohen_kappa_score": ConfusionMetric(values=partial(_cohen_kappa, None), two=False),
    "cohen_kappa_score_linear": ConfusionMetric(values=partial(_cohen_kappa, 1), two=False),
    "cohen_kappa_score_quadratic": ConfusionMetric(values=partial(_cohen_kappa, 2), two=False),
}
