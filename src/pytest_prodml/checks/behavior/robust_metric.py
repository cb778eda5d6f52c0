"""Clean and corrupted answers with the truth -> how much worse a metric gets, compared row by row.

An input that the model can not answer is taken as answered in the worst way: with a wrong label, or the score
of the other class. Of a number there is no worst answer, so the drop has no value where one is missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.behavior.robust_answers import Given
from pytest_prodml.checks.labels import checked_number
from pytest_prodml.checks.metrics.differences import difference
from pytest_prodml.checks.metrics.limit import check_has_a_better_side, measure, resolved
from pytest_prodml.checks.metrics.registry import Metric, Needs
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.estimate import Estimate, mapped, not_estimable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """What the answers are compared with, and how."""

    name: str
    metric: Metric
    is_custom: bool
    labels: npt.NDArray[Any]
    positive_label: Any
    classes: Sequence[Any] | None
    threshold: float | None
    sample_weight: npt.ArrayLike | None
    clusters: npt.ArrayLike | None

    @property
    def needs_decisions(self) -> bool:
        """Whether the model's own labels are compared."""
        return self.metric.needs is Needs.LABELS and self.threshold is None

    def sample(self, given: Given) -> Sample | None:
        """Return answers as metrics take them; None where one is missing and no answer is the worst."""
        found: dict[str, Any]
        if self.metric.needs is Needs.NUMBERS:
            if given.failed.any():
                return None
            found = {"y_pred": given.scores}
        elif self.needs_decisions:
            labels = self._labels(given)
            if labels is None:
                return None
            found = {"y_pred": labels, "labels": self.classes}
        else:
            threshold = self.threshold if self.metric.needs is Needs.LABELS else None
            found = {"y_score": self._scores(given), "threshold": threshold, "labels": self.classes}
        return Sample(
            y_true=self.labels,
            positive_label=self.positive_label,
            sample_weight=self.sample_weight,
            groups=self.clusters,
            **found,
        )

    def _labels(self, given: Given) -> npt.NDArray[Any] | None:
        if given.decisions is None:  # pragma: no cover - they are asked for
            raise InputError("decisions were not asked for", where=self.name)
        if not given.failed.any():
            return given.decisions
        labels = given.decisions.astype(object)
        known = dict.fromkeys([*self.labels.tolist(), *labels[~given.failed].tolist(), *(self.classes or ())])
        for row in np.flatnonzero(given.failed):
            wrong = next((label for label in known if label != self.labels[row]), None)
            if wrong is None:
                return None
            labels[row] = wrong
        # An array of objects is not compared as the labels that it holds.
        return np.array(labels.tolist())

    def _scores(self, given: Given) -> npt.NDArray[np.float64]:
        if not given.failed.any():
            return given.scores
        scores = given.scores.copy()
        known = scores[~given.failed]
        low = min(0.0, float(np.min(known, initial=0.0)))
        high = max(1.0, float(np.max(known, initial=1.0)))
        if self.threshold is not None:
            low, high = min(low, self.threshold - 1), max(high, self.threshold)
        if scores.ndim == 1:
            is_positive = np.asarray(self.labels == self.positive_label, dtype=np.bool_)
            scores[given.failed] = np.where(is_positive[given.failed], low, high)
            return scores
        classes = self.classes if self.classes is not None else np.unique(self.labels).tolist()
        places = {label: place for place, label in enumerate(classes)}
        for row in np.flatnonzero(given.failed):
            scores[row] = low
            scores[row, (places.get(self.labels[row], 0) + 1) % scores.shape[1]] = high
        return scores


def truth_of(
    metric: str | Metric,
    target: npt.NDArray[Any] | None,
    *,
    positive_label: Any,  # noqa: ANN401 - labels are what a project uses
    labels: Sequence[Any] | None,
    threshold: float | None,
    tolerance: float | None,
    sample_weight: npt.ArrayLike | None,
    clusters: npt.ArrayLike | None,
) -> Truth:
    """Return the metric with the true answers.

    Raises
    ------
    InputError
        If there is no such metric, more of it is neither better nor worse, there are no true answers, or it
        is about numbers, and nothing says when one has moved.
    """
    name, known = resolved(metric)
    check_has_a_better_side(name)
    if target is None:
        raise InputError(
            f"{name} compares with true answers, and there are none",
            where="robust_to",
            hint="give an (X, y) pair, or a table with its target",
        )
    if known.needs is Needs.NUMBERS and tolerance is None and threshold is None:
        raise InputError(
            f"{name} is about predicted numbers, which move with every change",
            where="robust_to",
            hint="say by how much an answer may move: tolerance=...",
        )
    return Truth(
        name=name,
        metric=known,
        is_custom=not isinstance(metric, str),
        labels=target,
        positive_label=positive_label,
        classes=labels,
        threshold=threshold,
        sample_weight=sample_weight,
        clusters=clusters,
    )


def value_of(truth: Truth, sample: Sample, seed: int) -> Estimate:
    """Estimate the metric itself."""
    return measure(truth.metric, sample, seed).estimate


def drop_of(truth: Truth, corrupted: Sample | None, clean: Sample, *, seed: int, level: float) -> Estimate:
    """Estimate how much worse the metric gets, from 0 on for worse, by a paired method."""
    if corrupted is None:
        return not_estimable("none", "the model has no answer to some inputs, and no answer is the worst")
    found = difference(
        truth.name,
        truth.metric,
        corrupted,
        clean,
        is_custom=truth.is_custom,
        seed=seed,
        confidence_level=level,
    ).estimate
    return mapped(found, lambda value: -value, falling=True) if truth.metric.higher_is_better else found


def checked_drop(truth: Truth, drop_at_most: object) -> float:
    """Return a limit on the drop.

    Raises
    ------
    InputError
        If it is negative, not finite, or so large that every model keeps it.
    """
    limit = checked_number(drop_at_most, name="drop_at_most")
    if not (math.isfinite(limit) and limit >= 0):
        raise InputError(f"drop_at_most must be a number from 0 on, got {drop_at_most!r}", where="robust_to")
    low, high = truth.metric.low, truth.metric.high
    if low is not None and high is not None and limit >= high - low:
        raise InputError(f"with a drop of {limit:g} every model is good enough", where=truth.name)
    return limit
