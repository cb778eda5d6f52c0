"""True and predicted labels, or scores and a threshold -> one confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.labels import (
    Label,
    Scores,
    checked_number,
    classes_of,
    codes_into,
    named,
    same_length,
)
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue
from pytest_prodml.statistics.sufficient import Coded, Codes, Counts, cross_table, weighted_cross_table

_MOST_CLASSES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Rows by true class (first axis) and predicted class; with two classes the positive one is the last.

    `counts` are whole numbers, or sums of the rows' weights where these have weights.
    """

    classes: tuple[Any, ...]
    counts: Counts | npt.NDArray[np.float64]

    def cells(self) -> tuple[float, float, float, float]:
        """Return true negatives, false positives, false negatives, true positives."""
        tn, fp, fn, tp = self.counts.ravel().tolist()
        return tn, fp, fn, tp

    def only_class(self) -> str | None:
        """Say which is the only class that the truth holds, if it holds no other."""
        present = np.flatnonzero(self.counts.sum(axis=1))
        if present.size > 1:
            return None
        return f"all rows are of the class {self.classes[present[0]]!r}, so they can not tell classes apart"

    def as_details(self) -> dict[str, JsonValue]:
        """Return the counts for a report: all four of two classes, or one row for each of many."""
        if len(self.classes) == 2:
            tn, fp, fn, tp = map(_rounded, self.counts.ravel().tolist())
            return {
                "confusion": {
                    "positive_class": str(self.classes[1]),
                    "true_positives": tp,
                    "false_positives": fp,
                    "false_negatives": fn,
                    "true_negatives": tn,
                }
            }
        rows: list[JsonValue] = [
            {
                "class": str(label),
                "rows": _rounded(counts.sum().item()),
                "predicted_right": _rounded(counts[place].item()),
            }
            for place, (label, counts) in enumerate(zip(self.classes, self.counts, strict=True))
        ]
        return {"classes": rows[:_MOST_CLASSES]}


def _rounded(count: float) -> float:
    return count if isinstance(count, int) else round(count, 3)


def positive_rows(
    truth: Coded, positive: Label, labels: Sequence[Label] | None, *, metric: str
) -> npt.NDArray[np.bool_]:
    """Return which rows are positive; an error where there are more than two classes."""
    if not truth.codes.size:
        return np.zeros(0, dtype=np.bool_)
    _check_two(classes_of(truth, positive=positive, labels=labels), metric)
    return np.array([label == positive for label in truth.categories], dtype=np.bool_)[truth.codes]


def _check_two(classes: Sequence[Any], metric: str) -> None:
    if len(classes) > 2:
        raise InputError(f"{metric} needs two classes, there are {len(classes)}: {named(classes)}")


def label_codes(
    truth: Coded,
    predicted: Coded,
    *,
    positive: Label,
    two: bool,
    labels: Sequence[Label] | None,
    metric: str,
) -> tuple[Codes, Codes, tuple[Any, ...]]:
    """Return the class of each row, the predicted one, and the classes that these are codes of.

    With `two` there must be exactly two classes, one of them `positive`; otherwise there are as many as are
    known. Of two classes the positive one is the last.
    """
    rows = same_length(y_true=truth.codes.size, y_pred=predicted.codes.size)
    classes = classes_of(truth, positive=positive if two else None, labels=labels) if rows else []
    columns = [codes_into(truth, classes, name="y_true"), codes_into(predicted, classes, name="y_pred")]
    if two:
        _check_two(classes, metric)
    if two and len(classes) < 2:  # every row is positive and predicted so, or there is no row
        classes, columns = [f"not {positive}", positive], [codes + 1 for codes in columns]
    elif len(classes) == 2 and classes[0] == positive:
        classes, columns = classes[::-1], [1 - codes for codes in columns]
    return columns[0], columns[1], tuple(classes)


def threshold_codes(
    truth: Coded,
    scores: Scores,
    threshold: float,
    *,
    positive: Label,
    labels: Sequence[Label] | None,
    metric: str,
) -> tuple[Codes, Codes, tuple[Any, ...]]:
    """Return what `label_codes` does, a row being predicted positive where ``scores >= threshold``."""
    if not math.isfinite(checked_number(threshold, name="the threshold")):
        raise InputError(f"the threshold must be a finite number, got {threshold!r}")
    same_length(y_true=truth.codes.size, y_score=scores.size)
    is_positive = positive_rows(truth, positive, labels, metric=metric)
    others = [label for label in (labels or truth.categories) if label != positive]
    classes = (others[0] if others else f"not {positive}", positive)
    return is_positive.astype(np.intp), (scores >= threshold).astype(np.intp), classes


def confusion_of(
    truth: Codes,
    predicted: Codes,
    classes: tuple[Any, ...],
    *,
    weights: npt.NDArray[np.float64] | None = None,
) -> Confusion:
    """Count true against predicted classes, or sum the `weights` of the rows."""
    sizes = (len(classes), len(classes))
    if weights is None:
        return Confusion(classes=classes, counts=cross_table([truth, predicted], sizes))
    counts = weighted_cross_table([truth, predicted], sizes, weights)
    return Confusion(classes=classes, counts=counts)
