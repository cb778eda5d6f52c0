"""Metrics of scores that are compared between groups: their mean, how well they are calibrated, exposure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.fairness.answers import Answers
from pytest_prodml.checks.fairness.groups import Grouping
from pytest_prodml.checks.fairness.values import Compared, Values, of_rows
from pytest_prodml.checks.labels import probabilities, same_length
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.calibration import expected_calibration_error
from pytest_prodml.statistics.design import Design, adjusted, share_of_weight
from pytest_prodml.statistics.estimate import Estimate, mapped
from pytest_prodml.statistics.intervals import bounded_mean
from pytest_prodml.statistics.losses import mean_loss
from pytest_prodml.statistics.reliability import into_bins
from pytest_prodml.statistics.sufficient import encode

Array: TypeAlias = npt.NDArray[np.float64]

#: Metrics of this module.
OWN = ("mean_prediction", "calibration_in_the_large", "expected_calibration_error", "exposure")
#: Of these, what needs no truth.
OWN_WITHOUT_TRUTH = frozenset({"mean_prediction", "exposure"})


def own_metric(name: str, answers: Answers) -> Compared:
    """Return a metric of this module by its name, one of `OWN`."""
    if name not in OWN_WITHOUT_TRUTH and answers.y_true is None:
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
        return of_rows(
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
        return of_rows(
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
