"""A metric, answers and groups -> the metric's value in every group, with bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.fairness.answers import Answers
from pytest_prodml.checks.fairness.groups import Grouping
from pytest_prodml.checks.fairness.rates import JOINT, RATES, Flags
from pytest_prodml.checks.labels import nearest, probabilities, same_length
from pytest_prodml.checks.metrics.fallback import custom_metric
from pytest_prodml.checks.metrics.limit import measure, resolved
from pytest_prodml.checks.metrics.named import METRICS, is_known
from pytest_prodml.checks.metrics.registry import Metric, Needs
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.calibration import expected_calibration_error
from pytest_prodml.statistics.design import Design, adjusted, share_of_weight
from pytest_prodml.statistics.estimate import Estimate, mapped
from pytest_prodml.statistics.intervals import bounded_mean, proportion
from pytest_prodml.statistics.losses import mean_loss
from pytest_prodml.statistics.reliability import into_bins
from pytest_prodml.statistics.sufficient import Codes, Counts, cross_table, encode

Array: TypeAlias = npt.NDArray[np.float64]
#: A name, a metric of your own, or a function of (y_true, y_pred).
AnyMetric: TypeAlias = str | Metric | Callable[..., float]

#: Metrics of this page that are means of a number a row, or calibration errors.
OWN = ("mean_prediction", "calibration_in_the_large", "expected_calibration_error", "exposure")
#: What needs no truth.
WITHOUT_TRUTH = frozenset(
    {"mean_prediction", "exposure", *(name for name, rate in RATES.items() if not rate.needs_truth)}
)
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Values:
    """One metric in every group of a grouping.

    Attributes
    ----------
    metric, grouping
        What was measured, and where.
    counted : array of int, shape (groups,)
        The rows that enter the metric.
    counted_are : str
        What those are called.
    counts : (successes, trials) or None
        Of independent rows that count alike; exact limits follow from them.
    estimates : tuple of Estimate
        One a group, where there are no counts.
    independent : bool
        Whether groups share neither rows nor clusters.
    """

    metric: str
    grouping: Grouping
    counted: Counts
    counted_are: str = "rows"
    counts: tuple[Counts, Counts] | None = None
    estimates: tuple[Estimate, ...] = ()
    independent: bool = True

    def estimate(self, group: int) -> Estimate:
        """Return the estimate of one group."""
        if self.counts is None:
            return self.estimates[group]
        successes, trials = self.counts
        return proportion(float(successes[group]), float(trials[group]), of=self.counted_are)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """A metric that can be measured in groups.

    Attributes
    ----------
    name : str
        What evidence calls it.
    in_groups : callable
        Of a grouping: its values.
    can_be_negative : bool
        Whether ratios have no meaning.
    higher_is_better : bool or None
        None where neither side is.
    unit : str
        "1", or "target" for the unit of the target column.
    low, high : float or None
        The range of the metric; None where it has no end.
    """

    name: str
    in_groups: Callable[[Grouping], Values]
    low: float | None = 0.0
    high: float | None = 1.0
    can_be_negative: bool = False
    higher_is_better: bool | None = None
    unit: str = "1"


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
            return (_own(metric, answers),)
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


# --- rates ------------------------------------------------------------------------------------------------


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
        return _of_rows(
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


# --- means and calibration --------------------------------------------------------------------------------


def _own(name: str, answers: Answers) -> Compared:
    if name not in WITHOUT_TRUTH and answers.y_true is None:
        raise InputError(f"{name} compares with the truth: pass y_true")
    make: Mapping[str, Callable[[], tuple[Array, Design, bool]]] = {
        "mean_prediction": lambda: (answers.numbers, answers.design, False),
        "calibration_in_the_large": lambda: (_surplus(answers, name), answers.design, True),
        "exposure": lambda: _exposure(answers),
    }
    if name == "expected_calibration_error":
        return _calibration(name, answers)

    def in_groups(grouping: Grouping) -> Values:
        values, design, signed = make[name]()
        bounded = _is_share(values) and not signed
        return _of_rows(
            name,
            grouping,
            design,
            np.ones(values.size, dtype=np.bool_),
            "rows",
            lambda rows, part: _mean(values[rows], part, bounded=bounded, signed=signed),
        )

    if name == "calibration_in_the_large":
        return Compared(name=name, in_groups=in_groups, low=-1.0, can_be_negative=True)
    if name == "mean_prediction" and not _is_share(answers.numbers):
        negative = bool((answers.numbers < 0).any())
        return Compared(name=name, in_groups=in_groups, low=None, high=None, can_be_negative=negative)
    return Compared(name=name, in_groups=in_groups)


def _is_share(values: Array) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _mean(values: Array, design: Design, *, bounded: bool, signed: bool) -> Estimate:
    """Return the mean of values; of those in [0, 1], or in [-1, 1] (signed), with Gaffke's bounds."""
    if not (bounded or signed):
        return mean_loss(values, design)
    scaled = (values + 1) / 2 if signed else values
    weights = None if design.weights is None else share_of_weight(design, values.size)
    simple = bounded_mean(scaled, weights)
    if simple.value is not None:
        simple = adjusted(simple, scaled - simple.value, design)
    return mapped(simple, lambda value: 2 * value - 1) if signed else simple


def _positive(answers: Answers, name: str) -> tuple[Array, Array]:
    sample = answers.sample
    return sample.is_positive(name).astype(np.float64), probabilities(sample.scores(name), name="y_score")


def _surplus(answers: Answers, name: str) -> Array:
    """Return outcome minus probability of each row: above 0 where the model says too little."""
    outcome, probability = _positive(answers, name)
    return outcome - probability


def _calibration(name: str, answers: Answers) -> Compared:
    def in_groups(grouping: Grouping) -> Values:
        outcome, probability = _positive(answers, name)
        return _of_rows(
            name,
            grouping,
            answers.design,
            np.ones(outcome.size, dtype=np.bool_),
            "rows",
            lambda rows, design: expected_calibration_error(
                into_bins(probability[rows], outcome[rows], design, bins="auto")
            ),
        )

    return Compared(name=name, in_groups=in_groups, higher_is_better=False)


def _exposure(answers: Answers) -> tuple[Array, Design, bool]:
    """Return the expected position discount of each row in its query (Singh, Joachims 2018).

    1 / log2(1 + rank), the mean over the ranks that rows of equal scores share. Rows of a query depend on
    each other, so queries are the clusters.
    """
    if answers.query is None:
        raise InputError(
            "exposure compares ranks within queries", hint="pass query, or set it under [tool.prodml.data]"
        )
    scores = answers.numbers
    queries = encode(answers.query, name="query")
    same_length(y_score=scores.size, query=queries.codes.size)
    if (queries.codes < 0).any():
        raise InputError(f"query is missing in {int((queries.codes < 0).sum()):,} rows")
    found = np.zeros(scores.size)
    if scores.size:
        order = np.lexsort((-scores, queries.codes))
        query, score = queries.codes[order], scores[order]
        first = np.flatnonzero(np.r_[True, query[1:] != query[:-1]])
        rank = np.arange(score.size) - np.repeat(first, np.diff(np.r_[first, score.size])) + 1
        discount = 1 / np.log2(1 + rank)
        tied = np.cumsum(np.r_[True, (query[1:] != query[:-1]) | (score[1:] != score[:-1])]) - 1
        mean = np.bincount(tied, weights=discount) / np.bincount(tied)
        found[order] = mean[tied]
    clusters = queries.codes if answers.design.clusters is None else answers.design.clusters
    return found, Design(weights=answers.design.weights, clusters=clusters), False


# --- metrics of performance -------------------------------------------------------------------------------


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
            independent=_independent(grouping, design),
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


def _of_rows(
    name: str,
    grouping: Grouping,
    design: Design,
    inside: Flags,
    counted_are: str,
    estimate: Callable[[Flags, Design], Estimate],
) -> Values:
    masks = [grouping.rows(group) for group in range(len(grouping.labels))]
    return Values(
        metric=name,
        grouping=grouping,
        counted=np.array([np.count_nonzero(mask & inside) for mask in masks], dtype=np.int64),
        counted_are=counted_are,
        estimates=tuple(estimate(mask, design.subset(mask)) for mask in masks),
        independent=_independent(grouping, design),
    )


def _independent(grouping: Grouping, design: Design) -> bool:
    """Say whether no row and no cluster belongs to two groups."""
    if grouping.codes is None:
        return False
    if design.clusters is None:
        return True
    inside = grouping.codes >= 0
    pairs = design.clusters[inside].astype(np.int64) * len(grouping.labels) + grouping.codes[inside]
    return np.unique(pairs).size == np.unique(design.clusters[inside]).size
