"""Metrics of predicted labels, estimated from one confusion matrix.

Names are those of scikit-learn's scorers, and `cohen_kappa_score` (`_linear`, `_quadratic`), `specificity`,
`hamming_loss`, `zero_one_loss`. A truth of one class has no value in most of them: a constant answer is right
on it. Rows with several labels (an indicator column for each) are handed to `multilabel`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.confusion import Confusion, confusion_of
from pytest_prodml.checks.metrics import multilabel
from pytest_prodml.checks.metrics.registry import Measured, Metric, Needs
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError
from pytest_prodml.statistics import agreement, intervals
from pytest_prodml.statistics.agreement import Agreement
from pytest_prodml.statistics.comparison import ratio_bounds
from pytest_prodml.statistics.design import adjusted, share_of_weight
from pytest_prodml.statistics.estimate import Bounds, Estimate, mapped, not_estimable, with_power
from pytest_prodml.statistics.sufficient import Codes

Table: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """An estimate, what a row in each cell adds to it, and the cells it is made of; both (k, k) arrays."""

    estimate: Estimate
    influence: Table
    used: npt.NDArray[np.bool_] | None = None


OfConfusion: TypeAlias = Callable[[Confusion, int], Cells]


def _metric(
    name: str,
    estimate: OfConfusion,
    *,
    two: bool = False,
    one_class: bool = False,
    of_rows: Callable[[Sample, int], Measured] | None = None,
    higher_is_better: bool = True,
    low: float | None = 0.0,
    high: float | None = 1.0,
) -> Metric:
    """Return the metric that `estimate` computes from the confusion matrix.

    Unless `one_class`, a truth that holds one class only has no value. `of_rows` measures rows with several
    labels.
    """

    def measure(sample: Sample, seed: int) -> Measured:
        if sample.is_multilabel:
            if of_rows is None:
                raise InputError(f"{name} needs one label a row, y_true has several columns")
            return of_rows(sample, seed)
        truth, predicted, classes = sample.cells(name, two=two)
        confusion = confusion_of(truth, predicted, classes, weights=sample.weights)
        if not sample.n_rows or confusion.counts.sum() <= 0:
            return Measured(estimate=not_estimable("none", "there are no rows"))
        told = None if one_class else confusion.only_class()
        if told is not None:
            return Measured(estimate=not_estimable("none", told), details=confusion.as_details())
        found = estimate(confusion, seed)
        return Measured(
            estimate=_with_design(found, sample, truth, predicted, confusion),
            details=confusion.as_details(),
        )

    return Metric(needs=Needs.LABELS, measure=measure, higher_is_better=higher_is_better, low=low, high=high)


def _with_design(
    found: Cells, sample: Sample, truth: Codes, predicted: Codes, confusion: Confusion
) -> Estimate:
    if sample.design.is_simple:
        return found.estimate
    used = None if found.used is None else found.used[truth, predicted]
    counts = confusion.counts
    # Errors of one class say nothing of how the rows of a class without errors depend on each other.
    faultless = np.flatnonzero((counts.sum(axis=1) > 0) & (counts.sum(axis=1) <= counts.diagonal()))
    parts = (truth == place for place in faultless) if found.used is None else ()
    return adjusted(found.estimate, found.influence[truth, predicted], sample.design, rows=used, parts=parts)


def _agreed(found: Agreement) -> Cells:
    return Cells(estimate=found.estimate, influence=found.influence)


def _accuracy(confusion: Confusion, _: int) -> Cells:
    right, rows = confusion.counts.trace().item(), confusion.counts.sum().item()
    return Cells(
        estimate=intervals.proportion(right, rows), influence=np.eye(len(confusion.classes)) - right / rows
    )


def _error(confusion: Confusion, seed: int) -> Cells:
    found = _accuracy(confusion, seed)
    return replace(found, estimate=mapped(found.estimate, lambda share: 1 - share, falling=True))


def _jaccard_micro(confusion: Confusion, seed: int) -> Cells:
    found = _accuracy(confusion, seed)
    return replace(found, estimate=mapped(found.estimate, lambda share: share / (2 - share)))


def _balanced_accuracy(confusion: Confusion, _: int) -> Cells:
    hits, rows = confusion.counts.diagonal(), confusion.counts.sum(axis=1)
    estimate = intervals.mean_of_proportions(
        hits.tolist(),
        rows.tolist(),
        of=[f"rows of the class {label!r}" for label in confusion.classes],
    )
    if estimate.value is None:
        return Cells(estimate=estimate, influence=np.zeros(confusion.counts.shape))
    influence = (np.eye(rows.size) - (hits / rows)[:, np.newaxis]) / rows[:, np.newaxis]
    return Cells(estimate=estimate, influence=influence)


def _share_of(hit: tuple[int, int], axis: Literal[0, 1], of: str) -> OfConfusion:
    """Return the share of one cell in its row (axis 1) or column (axis 0) of the table of two classes."""

    def estimated(confusion: Confusion, _: int) -> Cells:
        used = np.zeros((2, 2), dtype=np.bool_)
        used[(slice(None), hit[1]) if axis == 0 else (hit[0], slice(None))] = True
        estimate = intervals.proportion(
            confusion.counts[hit].item(), confusion.counts[used].sum().item(), of=of
        )
        influence = np.where(used, -(estimate.value or 0.0), 0.0)
        influence[hit] += 1
        return Cells(estimate=estimate, influence=influence, used=used)

    return estimated


def _f(beta: float) -> OfConfusion:
    def estimated(confusion: Confusion, seed: int) -> Cells:  # noqa: ARG001 - exact bounds draw nothing
        _, fp, fn, tp = confusion.cells()
        estimate = intervals.f1(tp, fp, fn) if beta == 1 else intervals.f_beta(tp, fp, fn, beta=beta)
        value, b = estimate.value or 0.0, beta * beta
        influence = np.array([[0.0, -value], [-b * value, (1 + b) * (1 - value)]])
        return Cells(estimate=estimate, influence=influence, used=_NOT_TRUE_NEGATIVE)

    return estimated


_NOT_TRUE_NEGATIVE = np.array([[False, True], [True, True]])


def _jaccard(confusion: Confusion, seed: int) -> Cells:  # noqa: ARG001 - exact bounds draw nothing
    _, fp, fn, tp = confusion.cells()
    estimate = intervals.jaccard(tp, fp, fn)
    value = estimate.value or 0.0
    influence = np.array([[0.0, -value], [-value, 1 - value]])
    return Cells(estimate=estimate, influence=influence, used=_NOT_TRUE_NEGATIVE)


def _averaged(name: agreement.Averaged, average: agreement.Average, beta: float = 1.0) -> OfConfusion:
    def estimated(confusion: Confusion, seed: int) -> Cells:
        return _agreed(
            agreement.averaged(
                confusion.counts, name, average, seed=seed, classes=confusion.classes, beta=beta
            )
        )

    return estimated


def _kappa(weights: Literal["linear", "quadratic"] | None) -> OfConfusion:
    return lambda confusion, seed: _agreed(
        agreement.cohen_kappa(confusion.counts, seed=seed, weights=weights)
    )


def _likelihood_ratio(*, positive: bool) -> OfConfusion:
    """Return LR+ = recall / (1 - specificity), or the negative of LR- = (1 - recall) / specificity.

    The bounds are those of a ratio of two independent proportions; see `statistics.comparison`. A ratio by 0
    is infinite: no value.
    """

    def estimated(confusion: Confusion, _: int) -> Cells:
        tn, fp, fn, tp = confusion.cells()
        above, below = (tp, fp) if positive else (fn, tn)
        positives, negatives = tp + fn, tn + fp
        method = "MOVER ratio, Clopper-Pearson limits"
        if below == 0:
            told = "predicted positive" if positive else "predicted negative"
            estimate = not_estimable(method, f"no negative row is {told}, so the ratio is infinite")
            return Cells(estimate=estimate, influence=np.zeros((2, 2)))

        def bounds(level: float, growth: float, power: float) -> Bounds:
            ends = ratio_bounds(
                above * growth,
                positives * growth,
                below * growth,
                negatives * growth,
                with_power(level, power),
            )
            lower, upper = (float(end) for end in ends)
            return lower, upper if math.isfinite(upper) else None

        ratio = (above / positives) / (below / negatives)
        p, q = above / positives, below / negatives
        column = 1 if positive else 0
        influence = np.zeros((2, 2))
        influence[1], influence[0] = -p / (q * positives), p / (q * negatives)
        influence[1, column] += 1 / (q * positives)
        influence[0, column] -= p / (q * q * negatives)
        estimate = Estimate(value=ratio, method=method, bounds=bounds)
        if not positive:
            estimate = mapped(estimate, lambda value: -value, falling=True)
        return Cells(estimate=estimate, influence=influence)

    return estimated


def _top_k(name: str, k: int) -> Metric:
    """Return the share of rows whose class is among the `k` with the highest scores.

    Of equal scores the later class ranks first, as in scikit-learn.
    """

    def measure(sample: Sample, seed: int) -> Measured:  # noqa: ARG001 - exact bounds draw nothing
        scores, codes = sample.class_scores(name), sample.class_codes
        if k >= scores.shape[1]:
            raise InputError(f"{name} is 1 by definition, as there are {scores.shape[1]} classes")
        if not sample.n_rows:
            return Measured(estimate=not_estimable("none", "there are no rows"))
        counted = codes if sample.weights is None else codes[sample.weights > 0]
        if np.ptp(counted) == 0:
            only = sample.classes[counted[0]]
            told = f"all rows are of the class {only!r}, so they can not tell classes apart"
            return Measured(estimate=not_estimable("none", told))
        own = scores[np.arange(codes.size), codes][:, np.newaxis]
        later = np.arange(scores.shape[1]) > codes[:, np.newaxis]
        before = ((scores > own) | ((scores == own) & later)).sum(axis=1)
        hits = (before < k).astype(np.float64)
        weights = share_of_weight(sample.design, codes.size)
        estimate = intervals.proportion(float(weights @ hits), float(weights.sum()))
        return Measured(estimate=adjusted(estimate, hits - (estimate.value or 0.0), sample.design))

    return Metric(needs=Needs.SCORES, measure=measure)


def f_beta_named(name: str) -> Metric | None:
    """Return the F-beta metric called `name`, for example f0.5, f2, f2_macro, f2_micro, f2_weighted."""
    found = re.fullmatch(r"f(\d{1,3}(?:\.\d{1,3})?)(_macro|_micro|_weighted)?", name)
    beta = float(found[1]) if found else 0.0
    if found is None or beta == 0:
        return None
    average = found[2]
    if average is None:
        return _metric(name, _f(beta), two=True)
    of_rows = multilabel.of_labels("f1", _AVERAGES[average], beta=beta)
    if average == "_micro":
        return _metric(name, _accuracy, of_rows=of_rows)
    return _metric(name, _averaged("f1", _PLAIN[average], beta), of_rows=of_rows)


def top_k_named(name: str) -> Metric | None:
    """Return the metric called `name`: top_k_accuracy (k = 2, as in scikit-learn), top_3_accuracy, ..."""
    found = re.fullmatch(r"top_(k|[1-9]\d{0,3})_accuracy", name)
    return None if found is None else _top_k(name, 2 if found[1] == "k" else int(found[1]))


_PLAIN: Mapping[str, agreement.Average] = {"_macro": "macro", "_weighted": "weighted"}
_AVERAGES: Mapping[str, multilabel.Average] = {
    "_macro": "macro",
    "_micro": "micro",
    "_weighted": "weighted",
    "_samples": "samples",
}


def _averages() -> Iterator[tuple[str, Metric]]:
    """Yield precision_macro and so on, for one label a row and for several."""
    for metric in agreement.AVERAGED:
        for suffix, average in _AVERAGES.items():
            name, of_rows = f"{metric}{suffix}", multilabel.of_labels(metric, average)
            if average == "samples":
                yield name, multilabel.only(name, of_rows)
            elif average == "micro":
                # With one label a row every error is one false and one missed label, so all are the accuracy.
                micro = _jaccard_micro if metric == "jaccard" else _accuracy
                yield name, _metric(name, micro, of_rows=of_rows)
            elif name == "recall_weighted":
                yield name, _metric(name, _accuracy, of_rows=of_rows)
            elif name == "recall_macro":
                yield name, _metric(name, _balanced_accuracy, of_rows=of_rows)
            else:
                yield name, _metric(name, _averaged(metric, _PLAIN[suffix]), of_rows=of_rows)


METRICS: Mapping[str, Metric] = {
    "accuracy": _metric("accuracy", _accuracy, of_rows=multilabel.exact_match),
    "balanced_accuracy": _metric("balanced_accuracy", _balanced_accuracy),
    "cohen_kappa_score": _metric("cohen_kappa_score", _kappa(None), low=-1.0),
    "cohen_kappa_score_linear": _metric("cohen_kappa_score_linear", _kappa("linear"), low=-1.0),
    "cohen_kappa_score_quadratic": _metric("cohen_kappa_score_quadratic", _kappa("quadratic"), low=-1.0),
    "f1": _metric("f1", _f(1.0), two=True),
    "hamming_loss": _metric("hamming_loss", _error, of_rows=multilabel.hamming_loss, higher_is_better=False),
    "jaccard": _metric("jaccard", _jaccard, two=True),
    "matthews_corrcoef": _metric(
        "matthews_corrcoef",
        lambda confusion, seed: _agreed(agreement.matthews_correlation(confusion.counts, seed=seed)),
        low=-1.0,
    ),
    "neg_negative_likelihood_ratio": _metric(
        "neg_negative_likelihood_ratio", _likelihood_ratio(positive=False), two=True, low=None, high=0.0
    ),
    "positive_likelihood_ratio": _metric(
        "positive_likelihood_ratio", _likelihood_ratio(positive=True), two=True, high=None
    ),
    "precision": _metric("precision", _share_of((1, 1), 0, "rows predicted positive"), two=True),
    "recall": _metric("recall", _share_of((1, 1), 1, "positive rows"), two=True, one_class=True),
    "specificity": _metric("specificity", _share_of((0, 0), 1, "negative rows"), two=True, one_class=True),
    "top_k_accuracy": _top_k("top_k_accuracy", 2),
    "zero_one_loss": _metric(
        "zero_one_loss", _error, of_rows=multilabel.exact_mismatch, higher_is_better=False
    ),
    **dict(_averages()),
}
