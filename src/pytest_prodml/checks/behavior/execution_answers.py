"""A model and a batch -> its answer or its refusal; two answers -> the rows in which they differ."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import AnswerError, Predictor, Scores
from pytest_prodml.checks.behavior.batches import Batch, is_frame

Rows: TypeAlias = npt.NDArray[np.bool_]

_MOST_TEXT = 200
#: Rounding errors of a sum of probabilities in float32.
_SUM_TOLERANCE = 1e-4
#: Rounding errors of a single probability.
_SLACK = 1e-9

#: What can be wrong with the scores of a row.
WRONG = {1: "a score that is not finite", 2: "a score out of bounds", 3: "scores that do not sum to one"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What a model says about a batch.

    Attributes
    ----------
    scores : array of float64, shape (n,) or (n, k)
    labels : array, shape (n,)
    """

    scores: Scores
    labels: npt.NDArray[Any]

    @property
    def matrix(self) -> Scores:
        """The scores as (n, k)."""
        return self.scores if self.scores.ndim == 2 else self.scores[:, np.newaxis]

    def at(self, positions: npt.NDArray[np.intp]) -> Answer:
        """Return the answers of some rows."""
        return Answer(scores=self.scores[positions], labels=self.labels[positions])


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why there is no answer.

    `is_unfit` where the model did answer, but not in one number for each row; `is_warning` where a warning
    was made an error.
    """

    kind: str
    told: str
    is_unfit: bool = False
    is_warning: bool = False

    def __str__(self) -> str:
        return f"{self.kind}: {self.told}" if self.told else self.kind


def ask(predictor: Predictor, batch: Batch) -> Answer | Refusal:
    """Return the scores and labels of a batch, or why there are none.

    The model gets a copy, so that what it does to its input changes nothing here.
    """
    return answer_of(predictor, copied(batch))


def answer_of(predictor: Predictor, batch: Batch) -> Answer | Refusal:
    """Return the scores and labels of this very batch, or why there are none."""
    try:
        scores = np.asarray(predictor.predict_score(batch), dtype=np.float64)
        labels = np.asarray(predictor.predict(batch))
    except AnswerError as error:
        return Refusal(kind="unfit answer", told=_short(error.what), is_unfit=True)
    except SystemExit as error:
        return Refusal(kind="SystemExit", told=f"ends the process ({error})", is_unfit=True)
    except Exception as error:  # noqa: BLE001 - any library's way to refuse rows
        kind, is_warning = type(error).__name__, isinstance(error, Warning)
        return Refusal(kind=kind, told=_short(str(error)), is_warning=is_warning)
    if labels.shape == (len(batch), 1):
        labels = labels[:, 0]
    if scores.ndim not in {1, 2} or scores.shape[:1] != (len(batch),) or labels.shape != (len(batch),):
        told = f"scores of shape {scores.shape} and labels of shape {labels.shape} for {len(batch)} rows"
        return Refusal(kind="unfit answer", told=told, is_unfit=True)
    # A model may hand out the buffer that it fills again at its next call.
    return Answer(scores=np.array(scores, dtype=np.float64), labels=labels.copy())


def _short(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_MOST_TEXT]


def copied(batch: Batch) -> Batch:
    """Return a batch that shares nothing with this one that could be changed in place."""
    if is_frame(batch):
        made = batch.copy(deep=True)
        for name in [name for name in made.columns if made[name].dtype == object]:
            cells = made[name].to_numpy()
            if any(isinstance(cell, (list, dict, set, np.ndarray)) for cell in cells):
                made[name] = [copy.deepcopy(cell) for cell in cells]
        return made
    if isinstance(batch, np.ndarray) and not batch.dtype.hasobject:
        return batch.copy(order="K")
    return copy.deepcopy(batch)


def is_same(first: Any, second: Any) -> bool:  # noqa: ANN401 - batches, or items of any kind
    """Say whether two batches hold the same values in the same types, order and index."""
    if type(first) is not type(second):
        return False
    if is_frame(first):
        same_axes: bool = first.columns.equals(second.columns) and first.index.equals(second.index)
        if not same_axes or list(first.dtypes) != list(second.dtypes):
            return False
        return all(_same_cells(first[name], second[name]) for name in first.columns)
    if isinstance(first, np.ndarray):
        if first.shape != second.shape or first.dtype != second.dtype:
            return False
        if first.dtype.hasobject:
            return all(is_same(a, b) for a, b in zip(first.flat, second.flat, strict=True))
        return bool(first.tobytes() == second.tobytes())
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(is_same, first, second))
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(is_same(first[key], second[key]) for key in first)
    try:
        return bool(first == second) or bool(first != first and second != second)  # noqa: PLR0124 - NaN
    except (TypeError, ValueError):
        # An object that can not be compared with its own copy tells nothing.
        return True


def _same_cells(first: Any, second: Any) -> bool:  # noqa: ANN401 - columns
    if first.dtype != object:
        return bool(first.equals(second))
    return all(is_same(a, b) or (a is b) for a, b in zip(first.to_numpy(), second.to_numpy(), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a valid answer is, and which answers are the same.

    Attributes
    ----------
    tolerance : float
        How far two scores may lie apart, in units of `scale`.
    scale : float
        1 for scores with bounds, else the largest score of the rows as they are.
    bounds : (float, float) or None
    sum_to_one : bool
        Whether the scores of more than two classes have to sum to one.
    """

    tolerance: float
    scale: float
    bounds: tuple[float, float] | None
    sum_to_one: bool

    def invalid(self, answer: Answer) -> npt.NDArray[np.int8]:
        """Return for each row what is wrong with its scores, a key of `WRONG`; 0 where nothing is."""
        scores = answer.matrix
        found = np.zeros(len(scores), dtype=np.int8)
        with np.errstate(invalid="ignore"):
            if self.sum_to_one and scores.shape[1] > 2:
                found[np.abs(scores.sum(axis=1) - 1) > _SUM_TOLERANCE] = 3
            if self.bounds is not None:
                low, high = self.bounds[0] - _SLACK, self.bounds[1] + _SLACK
                found[((scores < low) | (scores > high)).any(axis=1)] = 2
        found[~np.isfinite(scores).all(axis=1)] = 1
        return found

    def differing(
        self, before: Answer, after: Answer, *, tolerance: float | None = None
    ) -> tuple[Rows, float]:
        """Return the rows in which two answers differ, and the largest difference of a score.

        Labels that are numbers with fractions (of a regressor) differ as scores do. Other labels may differ
        only where the score is at a tie: a rounding error decides there.
        """
        allowed = (self.tolerance if tolerance is None else tolerance) * self.scale
        if before.scores.shape != after.scores.shape:
            return np.ones(len(before.scores), dtype=np.bool_), float("inf")
        first, second = before.matrix, after.matrix
        gaps = np.max(_gaps(first, second), axis=1, initial=0.0)
        wrong = ~(gaps <= allowed)
        labels = (before.labels, after.labels)
        if all(item.dtype.kind == "f" for item in labels):
            wrong |= ~(_gaps(*labels) <= allowed)
        else:
            flipped = ~_equal(*labels)
            wrong |= flipped & ~((gaps > 0) & _at_tie(first, allowed))
        return wrong, float(np.max(gaps, initial=0.0))


def _gaps(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return absolute differences; 0 where both are the same NaN or infinity, infinite where one is."""
    with np.errstate(invalid="ignore"):
        gaps = np.abs(first - second)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    return np.asarray(np.where(same, 0.0, np.where(np.isnan(gaps), np.inf, gaps)), dtype=np.float64)


def _equal(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Rows:
    if first.dtype.kind in "OUST" or second.dtype.kind in "OUST":
        pairs: Sequence[bool] = [str(a) == str(b) for a, b in zip(first, second, strict=True)]
        return np.array(pairs, dtype=np.bool_)
    return np.asarray(_gaps(first.astype(np.float64), second.astype(np.float64)) == 0)


def _at_tie(scores: npt.NDArray[np.float64], allowed: float) -> Rows:
    if scores.shape[1] == 1:
        return np.asarray((np.abs(scores[:, 0] - 0.5) <= allowed) | (np.abs(scores[:, 0]) <= allowed))
    highest = np.sort(scores, axis=1)
    return np.asarray(highest[:, -1] - highest[:, -2] <= 2 * allowed)
