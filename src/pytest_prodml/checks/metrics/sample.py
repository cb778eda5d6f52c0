"""What a caller has about a model's answers -> checked columns: coded labels, finite scores, numbers.

A metric asks for the form that it is computed from; each form is made once. Nothing is guessed: what can not
be judged is an `InputError`, never a wrong answer of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.confusion import (
    Confusion,
    confusion_of,
    label_codes,
    positive_rows,
    threshold_codes,
)
from pytest_prodml.checks.labels import (
    Label,
    Scores,
    label_column,
    named,
    probabilities,
    same_length,
    score_column,
)
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.design import Design, design_of, share_of_weight
from pytest_prodml.statistics.sufficient import Coded, Codes, as_column, as_numbers

Truth = npt.NDArray[np.bool_]
#: The squares of larger numbers, summed over many rows, are no numbers of 64 bits.
_LARGEST = 1e140
_MOST_CLASSES = 50_000
_COLUMNS = ("y_true", "y_pred", "y_score", "sample_weight", "groups", "query")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Answers of a model on labeled rows, as they were given.

    Attributes
    ----------
    y_true : array-like
        (n,) labels or numbers, or (n, labels) indicators of several labels a row.
    y_pred : array-like, optional
        (n,) predicted labels or numbers, or (n, labels) indicators.
    y_score : array-like of float, optional
        (n,) scores of the positive class, or (n, classes) scores in the order of `labels` (default: the
        sorted labels of `y_true`).
    positive_label : label
        The class that scores and precision, recall, F1 speak about.
    threshold : float, optional
        Without `y_pred` a row is predicted positive where ``y_score >= threshold``.
    labels : sequence of labels, optional
        All classes, where `y_true` may hold only some of them.
    sample_weight : array-like of float, optional
        How many rows of the population each row stands for, up to a factor.
    groups : array-like, optional
        Which rows belong together (one client, one document): rows of one group are not independent.
    query : array-like, optional
        Which rows are ranked against each other.
    """

    y_true: npt.ArrayLike
    y_pred: npt.ArrayLike | None = None
    y_score: npt.ArrayLike | None = None
    positive_label: Label = 1
    threshold: float | None = None
    labels: Sequence[Label] | None = None
    sample_weight: npt.ArrayLike | None = None
    groups: npt.ArrayLike | None = None
    query: npt.ArrayLike | None = None

    def __post_init__(self) -> None:
        """Refuse what has no rows, or classes that are named twice.

        Raises
        ------
        InputError
        """
        for item in _COLUMNS:
            try:
                shape = np.shape(getattr(self, item))
            except ValueError:
                raise InputError(f"the rows of {item} differ in length") from None
            if item == "y_true" and len(shape) == 2 and shape[1] == 1:
                raise InputError(
                    f"y_true has a single column, a shape of {shape}: one value for each row is needed",
                    hint="pass y_true.ravel(), or the column of the frame",
                )
        if self.positive_label is None:
            raise InputError("positive_label must name a class, got None")
        try:
            twice = self.labels is not None and len(set(self.labels)) < len(self.labels)
        except TypeError:
            raise InputError("labels must be a sequence of classes, each a text or a number") from None
        if twice:
            raise InputError(f"labels names a class twice: {named(list(self.labels or ()))}")

    @cached_property
    def n_rows(self) -> int:
        """The number of rows."""
        shape = np.shape(self.y_true)
        if not shape:
            raise InputError(f"y_true must be one value for each row, got {type(self.y_true).__name__}")
        return int(shape[0])

    @cached_property
    def design(self) -> Design:
        """How the rows were drawn: their weights, and which are not independent."""
        return design_of(self.n_rows, sample_weight=self.sample_weight, groups=self.groups)

    @cached_property
    def counts_nothing(self) -> bool:
        """Whether there are rows, and every one has the weight 0."""
        if self.sample_weight is None or self.n_rows == 0:
            return False
        return not as_numbers(self.sample_weight, name="sample_weight").any()

    @cached_property
    def weights(self) -> Scores | None:
        """The rows' weights, rescaled so that they sum to the number of rows; None where all count alike."""
        return None if self.design.weights is None else share_of_weight(self.design, self.n_rows)

    @cached_property
    def is_multilabel(self) -> bool:
        """Whether a row can have several labels: `y_true` has a column for each."""
        return np.ndim(self.y_true) == 2

    @cached_property
    def truth(self) -> Coded:
        """The true labels as codes."""
        return label_column(self.y_true, name="y_true")

    def is_positive(self, metric: str) -> Truth:
        """Return which rows are positive; an error where there are more than two classes."""
        return positive_rows(self.truth, self.positive_label, self.labels, metric=metric)

    def scores(self, metric: str) -> Scores:
        """Return the score of the positive class of each row, finite."""
        if self.y_score is None:
            raise InputError(f"{metric} is computed from scores: pass y_score")
        return self._scores

    @cached_property
    def _scores(self) -> Scores:
        scores = score_column([] if self.y_score is None else self.y_score, name="y_score")
        same_length(y_true=self.n_rows, y_score=scores.size)
        return scores

    def probabilities(self, metric: str) -> Scores:
        """Return the scores of the positive class, between 0 and 1."""
        return probabilities(self.scores(metric), name="y_score")

    @cached_property
    def classes(self) -> tuple[Any, ...]:
        """All classes in the order in which columns of scores stand for them."""
        known = list(self.truth.categories)
        if self.labels is not None:
            unknown = [label for label in known if label not in self.labels]
            if unknown:
                raise InputError(f"y_true holds {named(unknown)}, the known labels are {named(self.labels)}")
            return tuple(self.labels)
        try:
            return tuple(sorted(known))
        except TypeError:
            return tuple(known)

    @cached_property
    def class_codes(self) -> Codes:
        """The position in `classes` of each row's true class."""
        places = np.array([self.classes.index(label) for label in self.truth.categories], dtype=np.intp)
        return places[self.truth.codes] if self.truth.codes.size else self.truth.codes

    @property
    def score_dimensions(self) -> int:
        """How many dimensions the scores have: 1 for one a row, 2 for one a row and class, 0 for none."""
        return 0 if self.y_score is None else np.ndim(self.y_score)

    def class_scores(self, metric: str) -> Scores:
        """Return a score for each row and class, (n, classes), finite.

        Of two classes, one column of scores is enough: that of the positive one.
        """
        if self.y_score is None:
            raise InputError(f"{metric} is computed from scores: pass y_score")
        if np.ndim(self.y_score) == 1 and len(self.classes) <= 2:
            scores = self.scores(metric)
            columns = [1 - scores, scores]
            place = self.classes.index(self.positive_label) if self.positive_label in self.classes else 1
            return np.column_stack(columns if place == 1 else columns[::-1])
        return self._class_scores

    @cached_property
    def _class_scores(self) -> Scores:
        scores = as_numbers([] if self.y_score is None else self.y_score, name="y_score")
        if scores.ndim != 2 or scores.shape[1] != len(self.classes):
            raise InputError(
                f"y_score must hold a column for each of the {len(self.classes)} classes "
                f"{named(self.classes)}, got an array of shape {scores.shape}",
                hint="name all classes in the order of the columns with labels=[...]",
            )
        same_length(y_true=self.n_rows, y_score=scores.shape[0])
        bad = int(np.count_nonzero(~np.isfinite(scores).all(axis=1)))
        if bad:
            raise InputError(f"y_score is not a finite number in {bad:,} of {len(scores):,} rows")
        return scores

    def class_probabilities(self, metric: str) -> Scores:
        """Return `class_scores` that lie in [0, 1] and sum to 1 in each row."""
        scores = self.class_scores(metric)
        probabilities(scores.ravel(), name="y_score")
        off = int(np.count_nonzero(np.abs(scores.sum(axis=1) - 1) > 1e-4))
        if off:
            raise InputError(
                f"the probabilities of {off:,} of {len(scores):,} rows do not sum to 1",
                hint="pass predict_proba(X), not decision values",
            )
        return scores

    def cells(self, metric: str, *, two: bool) -> tuple[Codes, Codes, tuple[Any, ...]]:
        """Return the codes of the true and of the predicted class of each row, and the classes.

        With `two` there are exactly two classes and the positive one is the last.
        """
        if self.y_pred is not None:
            predicted = label_column(self.y_pred, name="y_pred")
            return label_codes(
                self.truth,
                predicted,
                positive=self.positive_label,
                two=two,
                labels=self.labels,
                metric=metric,
            )
        if self.y_score is None or self.threshold is None:
            raise InputError(
                f"{metric} is computed from predicted labels: pass y_pred, or y_score with a threshold"
            )
        return threshold_codes(
            self.truth,
            self.scores(metric),
            self.threshold,
            positive=self.positive_label,
            labels=self.labels,
            metric=metric,
        )

    def confusion(self, metric: str, *, two: bool) -> Confusion:
        """Count true against predicted classes: weighted where the rows have weights."""
        truth, predicted, classes = self.cells(metric, two=two)
        return confusion_of(truth, predicted, classes, weights=self.weights)

    def indicators(self, metric: str) -> tuple[Truth, Truth]:
        """Return which labels each row has and which were predicted, both (n, labels)."""
        if self.y_pred is None:
            raise InputError(f"{metric} is computed from predicted labels: pass y_pred")
        truth, predicted = (
            _indicator(column, name=name)
            for column, name in ((self.y_true, "y_true"), (self.y_pred, "y_pred"))
        )
        if truth.shape != predicted.shape:
            raise InputError(f"y_true has the shape {truth.shape}, y_pred {predicted.shape}")
        return truth, predicted

    def numbers(self, metric: str) -> tuple[Scores, Scores]:
        """Return the true and the predicted number of each row, all finite."""
        if self.y_pred is None:
            raise InputError(f"{metric} is computed from predicted numbers: pass y_pred")
        truth, predicted = (
            score_column(column, name=name)
            for column, name in ((self.y_true, "y_true"), (self.y_pred, "y_pred"))
        )
        same_length(y_true=truth.size, y_pred=predicted.size)
        for name, column in (("y_true", truth), ("y_pred", predicted)):
            furthest = float(np.max(np.abs(column), initial=0.0))
            if furthest > _LARGEST:
                raise InputError(
                    f"{name} holds {furthest:.3g}: too large, as its square is beyond all numbers",
                    hint="give it in another unit",
                )
        return truth, predicted

    def subset(self, mask: npt.NDArray[np.bool_] | Codes) -> Sample:
        """Return the rows where `mask` holds, or at its positions. The classes stay those of all rows."""
        taken: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None and item.name not in {"positive_label", "threshold", "labels"}:
                taken[item.name] = as_column(value, name=item.name)[mask]
        labels = self.labels
        if labels is None and not self.is_multilabel and not _is_numeric(self.y_true):
            # A part that lacks a class must not be taken for a problem with fewer classes.
            # So many different values are those of a number, which has no classes.
            labels = self.classes if 1 < len(self.classes) <= _MOST_CLASSES else None
        return replace(self, labels=labels, **taken)


def _indicator(values: npt.ArrayLike, *, name: str) -> Truth:
    array = as_numbers(values, name=name)
    if array.ndim != 2 or not np.isin(array, (0, 1)).all():
        raise InputError(
            f"{name} must hold 0 or 1 for each row and label, got an array of shape {array.shape}",
            hint="sklearn.preprocessing.MultiLabelBinarizer makes one from lists of labels",
        )
    return array.astype(np.bool_)


def _is_numeric(values: npt.ArrayLike) -> bool:
    return np.asarray(values).dtype.kind == "f"
