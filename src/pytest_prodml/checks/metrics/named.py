"""All metrics by name: scikit-learn's scorer names, and the plain names of losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_prodml.checks.labels import nearest
from pytest_prodml.checks.metrics import classification, fallback, probabilistic, ranking, regression
from pytest_prodml.checks.metrics.registry import Metric
from pytest_prodml.errors import InputError

METRICS: Mapping[str, Metric] = {
    **classification.METRICS,
    **fallback.METRICS,
    **probabilistic.METRICS,
    **ranking.METRICS,
    **regression.METRICS,
}

#: Metrics with a number in their name.
_FAMILIES: tuple[Callable[[str], Metric | None], ...] = (
    classification.f_beta_named,
    classification.top_k_named,
    ranking.at_k_named,
    regression.number_named,
)


def is_known(name: str) -> bool:
    """Say whether there is a metric of that name."""
    return name in METRICS or any(named(name) is not None for named in _FAMILIES)


def metric_named(name: str) -> Metric:
    """Return the metric called `name`; some take any number: f0.5, top_3_accuracy, ndcg@10, pinball_0.9.

    Raises
    ------
    InputError
        If there is none.
    """
    metric = METRICS.get(name) or next(filter(None, (named(name) for named in _FAMILIES)), None)
    if metric is None:
        raise InputError(f"there is no performance metric {name!r}", hint=nearest(name, list(METRICS)))
    return metric
