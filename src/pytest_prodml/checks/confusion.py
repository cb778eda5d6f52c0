"""True and predicted labels, or scores and a threshold -> one confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.labels import Label, Scores, classes_of, codes_into, named, same_length
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue
from pytest_prodml.statistics.sufficient import Coded, Counts, cross_table

_MOST_CLASSES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Rows by true class (first axis) and predicted class; with two classes the positive one is the last."""

    classes: tuple[Any, ...]
    counts: Counts

    def cells(self) -> tuple[int, int, int, int]:
        """Return true negatives, false positives, false negatives, true positives."""
        tn, fp, fn, tp = (int(cell) for cell in self.counts.ravel())
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
            tn, fp, fn, tp = self.cells()
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
            {"class": str(label), "rows": int(counts.sum()), "predicted_right": int(counts[place])}
            for place, (label, counts) in enumerate(zip(self.classes, self.counts, strict=True))
        ]
        return {"classes": rows[:_MOST_CLASSES]}


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


def confusion_of(
    truth: Coded,
    predicted: Coded,
    *,
    positive: Label,
    two: bool,
    labels: Sequence[Label] | None,
    metric: str,
) -> Confusion:
    """Count true against predicted labels.

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
    return Confusion(classes=tuple(classes), counts=cross_table(columns, (len(classes), len(classes))))


def confusion_at(
    truth: Coded,
    scores: Scores,
    threshold: float,
    *,
    positive: Label,
    labels: Sequence[Label] | None,
    metric: str,
) -> Confusion:
    """Count true labels against ``scores >= threshold``."""
    if not math.isfinite(threshold):
        raise InputError(f"the threshold must be a finite number, got {threshold!r}")
    same_length(y_true=truth.codes.size, y_score=scores.size)
    is_positive = positive_rows(truth, positive, labels, metric=metric)
    others = [label for label in truth.categories if label != positive]
    counts = cross_table([is_positive.astype(np.intp), (scores >= threshold).astype(np.intp)], (2, 2))
    return Confusion(classes=(others[0] if others else f"not {positive}", positive), counts=counts)
