"""A metric by its name, or a function -> what is measured in every group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np

from pytest_prodml.checks.fairness.answers import Answers
from pytest_prodml.checks.fairness.groups import Grouping
from pytest_prodml.checks.fairness.rates import JOINT, RATES, Flags
from pytest_prodml.checks.fairness.scores import OWN, OWN_WITHOUT_TRUTH, own_metric
from pytest_prodml.checks.fairness.values import Compared, Values, independent, of_rows
from pytest_prodml.checks.labels import nearest, same_length
from pytest_prodml.checks.metrics.fallback import custom_metric
from pytest_prodml.checks.metrics.limit import measure, resolved
from pytest_prodml.checks.metrics.named import METRICS, is_known
from pytest_prodml.checks.metrics.registry import Metric, Needs
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.design import Design, adjusted, share_of_weight
from pytest_prodml.statistics.estimate import Estimate
from pytest_prodml.statistics.intervals import proportion
from pytest_prodml.statistics.sufficient import Codes, cross_table, encode

#: A name, a metric of your own, or a function of (y_true, y_pred).
AnyMetric: TypeAlias = str | Metric | Callable[..., float]

#: What needs no truth.
WITHOUT_TRUTH = OWN_WITHOUT_TRUTH | {name for name, rate in RATES.items() if not rate.needs_truth}
#: What people call a metric that has another name here.
_ALSO_CALLED = {
    "demographic_parity": "selection_rate",
    "statistical_parity": "selection_rate",
    "equal_opportunity": "true_positive_rate",
    "predictive_parity": "precision",
    "calibration_error": "expected_calibration_error",
}


class Form(Enum):
    """In which form a metric reads the answers of a model."""

    DECISIONS = "decisions"
    SCORES = "scores"
    NUMBERS = "predicted numbers"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricNeeds:
    """What a metric is computed from."""

    form: Form
    truth: bool


def needs_of(metric: AnyMetric) -> MetricNeeds:
    """Return what a metric is computed from; a function reads decisions, or the numbers of a regression."""
    name = name_of(metric)
    if isinstance(metric, str) and name not in {*RATES, *JOINT, *OWN} and not is_known(name):
        # The check says that there is no such metric.
        return MetricNeeds(form=Form.DECISIONS, truth=False)
    if name in OWN:
        return MetricNeeds(form=Form.SCORES, truth=name not in WITHOUT_TRUTH)
    if name in {*RATES, *JOINT} or not isinstance(metric, (str, Metric)):
        return MetricNeeds(form=Form.DECISIONS, truth=name not in WITHOUT_TRUTH)
    forms = {Needs.LABELS: Form.DECISIONS, Needs.SCORES: Form.SCORES, Needs.NUMBERS: Form.NUMBERS}
    return MetricNeeds(form=forms[resolved(metric)[1].needs], truth=True)


def compared(metric: AnyMetric, answers: Answers, *, seed: int) -> tuple[Compared, ...]:
    """Return what a metric's name stands for: itself, or the rates of which the worse is compared.

    Raises
    ------
    InputError
        For an unknown name, a function without one, or one that is called like a metric of ours.
    """
    if isinstance(metric, str):
        if metric in JOINT:
            return tuple(_rate(part, answers) for part in JOINT[metric])
        if metric in RATES:
            return (_rate(metric, answers),)
        if metric in OWN:
            return (own_metric(metric, answers),)
        if not is_known(metric):
            called = _ALSO_CALLED.get(metric)
            known = [*RATES, *JOINT, *OWN, *METRICS]
            raise InputError(
                f"there is no fairness metric {metric!r}",
                hint=f"here it is called {called}" if called else nearest(metric, known),
            )
        return (_registered(metric, answers, seed),)
    if not isinstance(metric, Metric):
        metric = _function(metric, answers)
    if metric.name in {*RATES, *JOINT, *OWN}:
        raise InputError(
            f"{metric.name} is a metric that is known here: yours needs another name", where=metric.name
        )
    return (_registered(metric, answers, seed),)


def name_of(metric: AnyMetric) -> str:
    """Return what evidence calls a metric."""
    return metric if isinstance(metric, str) else getattr(metric, "name", "") or _called(metric)


def _called(metric: object) -> str:
    name = getattr(metric, "__name__", "")
    if not callable(metric) or not name.isidentifier():
        raise InputError(
            "a metric is a name, a Metric, or a function with a name",
            hint="def my_metric(y_true, y_pred): ...",
        )
    return str(name)


def _function(function: Callable[..., float], answers: Answers) -> Metric:
    name = _called(function)
    if answers.y_pred is None:
        needs = Needs.SCORES
    else:
        needs = Needs.NUMBERS if np.asarray(answers.y_pred).dtype.kind == "f" else Needs.LABELS
    return custom_metric(name, function, low=None, high=None, needs=needs)


def _rate(name: str, answers: Answers) -> Compared:
    rate = RATES[name]
    if rate.needs_truth and answers.y_true is None:
        raise InputError(f"{name} compares the decisions with the truth: pass y_true")

    def in_groups(grouping: Grouping) -> Values:
        truth, decision, right = answers.decisions
        if grouping.codes is not None and answers.design.is_simple:
            groups = len(grouping.labels)
            same_length(y_pred=decision.size, **{grouping.attribute: grouping.codes.size})
            # Rows of no group get a code of their own; codes in one byte are counted faster.
            codes = np.where(grouping.codes < 0, groups, grouping.codes).astype(np.uint8)
            table = cross_table([codes, truth, decision, right], (groups + 1, 2, 2, 2))[:-1]
            counts = rate.of_table(table)
            return Values(
                metric=name,
                grouping=grouping,
                counted=counts[1],
                counted_are=rate.counted_are,
                counts=counts,
            )
        hits, inside = rate.of_rows(truth, decision, right)
        return of_rows(
            name, grouping, answers.design, inside, rate.counted_are, lambda rows, design: _share(
                hits[rows], inside[rows], design, rate.counted_are
            )
        )  # fmt: skip

    return Compared(name=name, in_groups=in_groups)


def _share(hits: Flags, inside: Flags, design: Design, counted_are: str) -> Estimate:
    weights = share_of_weight(design, hits.size)
    trials = float(weights @ inside)
    estimate = proportion(min(float(weights @ hits), trials), trials, of=counted_are)
    influence = np.where(inside, hits - (estimate.value or 0.0), 0.0)
    return adjusted(estimate, influence, design, rows=inside)


def _registered(metric: str | Metric, answers: Answers, seed: int) -> Compared:
    name, known = resolved(metric)
    sample = answers.sample

    def in_groups(grouping: Grouping) -> Values:
        estimates = tuple(
            measure(known, sample.subset(grouping.rows(group)), seed).estimate
            for group in range(len(grouping.labels))
        )
        design = Design(weights=sample.design.weights, clusters=_clusters(answers, known))
        return Values(
            metric=name,
            grouping=grouping,
            counted=grouping.sizes,
            estimates=estimates,
            independent=independent(grouping, design),
        )

    return Compared(
        name=name,
        in_groups=in_groups,
        can_be_negative=known.low is None or known.low < 0,
        higher_is_better=None if name == "mean_error" else known.higher_is_better,
        unit=known.unit,
        low=known.low,
        high=known.high,
    )


def _clusters(answers: Answers, metric: Metric) -> Codes | None:
    """Return which rows depend on each other: those of a person, or of a query where ranks are compared."""
    own = answers.sample.design.clusters
    if own is None and answers.query is not None and metric.needs is Needs.SCORES:
        return encode(answers.query, name="query").codes
    return own
