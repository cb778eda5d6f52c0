"""Any model -> `Predictor`: rows in, scores out, and what the model ran on.

Checks know models through this protocol only. `as_scores` gives every library's output one shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue, Subject

if TYPE_CHECKING:
    import pandas as pd

Scores = npt.NDArray[np.float64]


class AnswerError(InputError):
    """What a model returned is no answer to its rows: not numbers, or not one for each row.

    Told apart from a model that refuses its rows, which is a way to answer.
    """


@runtime_checkable
class Predictor(Protocol):
    """A model as the checks see it.

    `subject` is the digest of the very bytes that the model was loaded from, or None for an object that was
    never a file: evidence about such a model is not bound to the certified artefact.
    """

    @property
    def subject(self) -> Subject | None:
        """The artefact that is measured."""

    @property
    def description(self) -> str:
        """What kind of model this is, in a few words."""

    def predict_score(self, rows: pd.DataFrame) -> Scores:
        """Return (n,) scores of the positive class, or (n, k) scores of more than two classes."""

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[Any]:
        """Return (n,) labels, as the model itself decides."""

    def prepare(self, rows: pd.DataFrame) -> Callable[[], object]:
        """Convert the input once and return a call that only runs the model, to be timed."""

    def runtime(self) -> Mapping[str, JsonValue]:
        """Return execution providers, versions and thread settings in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPredictor:
    """A model in memory that its owner declares to be the content of a file."""

    inner: Predictor
    subject: Subject

    @property
    def description(self) -> str:
        """What kind of model this is, in a few words."""
        return self.inner.description

    @property
    def classes(self) -> list[Any] | None:
        """The classes of the model in memory, where it knows them."""
        return getattr(self.inner, "classes", None)

    @property
    def device(self) -> str | None:
        """Where the model in memory runs, where it says so."""
        return device_of(self.inner)

    def close(self) -> None:
        """Let go of what the model in memory holds."""
        close(self.inner)

    def predict_score(self, rows: pd.DataFrame) -> Scores:
        """Return the scores of the model in memory."""
        return self.inner.predict_score(rows)

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[Any]:
        """Return the labels of the model in memory."""
        return self.inner.predict(rows)

    def prepare(self, rows: pd.DataFrame) -> Callable[[], object]:
        """Prepare a call of the model in memory."""
        return self.inner.prepare(rows)

    def runtime(self) -> Mapping[str, JsonValue]:
        """Return what the model in memory runs on."""
        return {**self.inner.runtime(), "binding": "declared"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPredictor:
    """A model that a general loader made of a file's bytes, or found by name, with facts about how.

    `facts` are added to what the model runs on, and win over it.
    """

    inner: Predictor
    description: str
    subject: Subject | None = None
    facts: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def classes(self) -> list[Any] | None:
        """The classes of the loaded model, where it knows them."""
        return getattr(self.inner, "classes", None)

    @property
    def device(self) -> str | None:
        """Where the loaded model runs, where it says so."""
        return device_of(self.inner)

    def close(self) -> None:
        """Let go of what the loaded model holds."""
        close(self.inner)

    def predict_score(self, rows: pd.DataFrame) -> Scores:
        """Return the scores of the loaded model."""
        return self.inner.predict_score(rows)

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[Any]:
        """Return the labels of the loaded model."""
        return self.inner.predict(rows)

    def prepare(self, rows: pd.DataFrame) -> Callable[[], object]:
        """Prepare a call of the loaded model."""
        return self.inner.prepare(rows)

    def runtime(self) -> Mapping[str, JsonValue]:
        """Return what the loaded model runs on, and how it was loaded."""
        return {**self.inner.runtime(), **self.facts}


def device_of(predictor: Predictor) -> str | None:
    """Return where a model runs (``"cpu"``, ``"cuda:0"``), or None where it does not say.

    `Predictor` does not ask for it: the attribute ``device`` counts where there is one, else the entry
    ``device`` of its runtime facts.
    """
    found = getattr(predictor, "device", None)
    if found is None:
        found = predictor.runtime().get("device")
    return None if found is None else str(found)


def close(predictor: Predictor) -> None:
    """Let a model go, where it has a method ``close``; others need none."""
    method = getattr(predictor, "close", None)
    if method is not None:
        method()


def positive_column(classes: Sequence[object], label: object, *, where: str) -> int:
    """Return which of two classes the score is about: the second, unless `label` names one.

    Raises
    ------
    InputError
        If the model does not know the class.
    """
    if label is None:
        return len(classes) - 1
    if label not in classes:
        raise InputError(
            f"does not know the class {label!r}",
            where=where,
            hint=f"its classes are {', '.join(map(repr, classes))}",
        )
    return list(classes).index(label)


def class_scores(
    raw: object, n_rows: int, *, classes: Sequence[object] | None, positive_label: object, where: str
) -> Scores:
    """Return probabilities as `Predictor.predict_score` has them, or the values of a regression.

    Parameters
    ----------
    raw : array-like
        (n,) probabilities of the second of two classes, (n, k) of all classes, or (n,) values.
    n_rows : int
        How many rows went in.
    classes : sequence or None
        The classes in the order of columns; None for a regression.
    positive_label : object
        Which of two classes the score is about; None is the second.
    where : str
        The model, for the error message.

    Raises
    ------
    AnswerError
        If there is not one value for each row, or one column for each class.
    """
    found = np.asarray(raw, dtype=np.float64)
    n_classes = 1 if classes is None else len(classes)
    if n_rows == 0:
        return np.empty((0, n_classes) if n_classes > 2 else (0,))
    if n_classes == 2 and found.ndim == 1:
        found = np.column_stack([1 - found, found])
    if found.ndim == 2 and found.shape[1] != n_classes:
        raise AnswerError(
            f"returned {found.shape[1]} columns for {n_classes} {'value' if classes is None else 'classes'}",
            where=where,
        )
    if n_classes == 2 and classes is not None:
        found = found[:, positive_column(classes, positive_label, where=where)]
    return as_scores(found, n_rows, where=where)


def as_scores(raw: object, n_rows: int, *, where: str) -> Scores:
    """Bring a library's output into one shape.

    Parameters
    ----------
    raw : array-like
        (n,), (n, 1), (n, 2) or (n, k) numbers.
    n_rows : int
        How many rows went in.
    where : str
        The model, for the error message.

    Returns
    -------
    ndarray of float64
        (n,) for one score a row (of two columns the second: the positive class), else (n, k). NaN and
        infinities are passed on: a check has to see them.

    Raises
    ------
    AnswerError
        If it is not numeric, or not one score (or vector of scores) for each row.
    """
    try:
        scores = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError):
        raise AnswerError(
            f"returned {type(raw).__name__} where numbers are expected",
            where=where,
            hint="return one score for each row: (n,), or (n, k) for k classes",
        ) from None
    if scores.ndim not in {1, 2} or scores.shape[0] != n_rows or 0 in scores.shape[1:]:
        raise AnswerError(
            f"returned scores of shape {scores.shape} for {n_rows} rows",
            where=where,
            hint="return one score for each row: (n,), or (n, k) for k classes",
        )
    if scores.ndim == 2 and scores.shape[1] <= 2:
        scores = scores[:, -1]
    return scores


def as_labels(scores: Scores) -> npt.NDArray[np.int64]:
    """Decide as most models do: 1 from a score of 0.5 on, or the class with the largest score."""
    if scores.ndim == 1:
        return (scores >= 0.5).astype(np.int64)
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def finite_scores(predictor: Predictor, rows: pd.DataFrame) -> Scores:
    """Predict, and refuse scores that can not be compared.

    Raises
    ------
    InputError
        If a score is NaN or infinite.
    """
    scores = predictor.predict_score(rows)
    n_bad = int((~np.isfinite(scores.reshape(len(scores), -1)).all(axis=1)).sum())
    if n_bad:
        raise InputError(
            f"the scores of {n_bad:,} of {len(scores):,} rows are not finite",
            where=predictor.description,
            hint="look for missing cells or values out of range; behavior.finite_on_generated looks for them",
        )
    return scores


def decide(predictor: Predictor, rows: pd.DataFrame, threshold: float | None) -> npt.NDArray[Any]:
    """Return one decision for each row: whether the score reaches `threshold`, or the model's own label.

    Raises
    ------
    InputError
        If there is a threshold and the model has more than two classes, or a score is not finite.
    """
    if threshold is None:
        finite_scores(predictor, rows)
        return predictor.predict(rows)
    return binary_scores(predictor, rows) >= threshold


def binary_scores(predictor: Predictor, rows: pd.DataFrame) -> Scores:
    """Return one finite score for each row.

    Raises
    ------
    InputError
        If the model has more than two classes, or a score is not finite.
    """
    scores = finite_scores(predictor, rows)
    if scores.ndim != 1:
        raise InputError(
            f"has {scores.shape[1]} classes; this check needs one score for each row",
            where=predictor.description,
            hint="wrap it in a function that returns the score of the class in question",
        )
    return scores


def subjects_of(*predictors: Predictor) -> tuple[Subject, ...]:
    """Return the artefacts behind the predictors, those that are known."""
    return tuple(predictor.subject for predictor in predictors if predictor.subject is not None)
