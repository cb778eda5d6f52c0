"""A model and corrupted inputs -> what it answers, and which inputs it can not answer.

That a model raises an error, or answers with NaN, where inputs got worse is a finding about it: such inputs
have failed. Nothing that it raises ends the check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, Scores, finite_scores
from pytest_prodml.checks.behavior.batches import Batch, take
from pytest_prodml.checks.behavior.relation import ROUNDING, copied
from pytest_prodml.checks.swaps import accepted
from pytest_prodml.errors import InputError

Mask: TypeAlias = npt.NDArray[np.bool_]

#: Calls with which inputs that raise are looked for, at one severity. Inputs that are left then have failed.
MOST_CALLS = 4000
_MOST_TOLD = 160


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Given:
    """What a model answers to a batch.

    Attributes
    ----------
    scores : array, shape (n,) or (n, k)
        NaN where it failed.
    decisions : array, shape (n,), or None
        Its decisions where they were asked for; of rows that failed those of the clean ones.
    failed : array of bool, shape (n,)
        Inputs without a finite answer.
    problems : mapping
        Position -> what went wrong, for those of `failed` that were asked alone.
    unasked : int
        Inputs that count as failed because a batch with them raised and the calls were spent.
    """

    scores: Scores
    decisions: npt.NDArray[Any] | None
    failed: Mask
    problems: Mapping[int, str] = field(default_factory=dict)
    unasked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A model with the way in which its answers are compared.

    With `tolerance` answers differ where a score does by more than it, else where the decision does:
    whether the score reaches `threshold`, or the model's own label.
    """

    predictor: Predictor
    threshold: float | None = None
    tolerance: float | None = None
    wants_decisions: bool = True

    def clean(self, batch: Batch) -> Given:
        """Return the answers to the inputs as they are.

        Raises
        ------
        InputError
            If the model raises anything, a score is not finite, or labels are numbers without classes.
        """
        where, what = self.predictor.description, "the inputs as they are"
        own = copied(batch)
        scores = accepted(lambda: finite_scores(self.predictor, own), what, where)
        if self.threshold is not None and scores.ndim != 1:
            raise InputError(
                f"has {scores.shape[1]} classes, and a threshold needs one score for each input", where=where
            )
        decisions = accepted(lambda: self._decisions(own, scores), what, where)
        is_number = decisions is not None and decisions.dtype.kind == "f" and self.threshold is None
        if is_number and decisions is not None and bool((decisions != np.rint(decisions)).any()):
            raise InputError(
                "predicts numbers, which differ with every change",
                where=where,
                hint="say by how much an answer may move: tolerance=...",
            )
        return Given(scores=scores, decisions=decisions, failed=np.zeros(len(batch), dtype=np.bool_))

    def corrupted(self, batch: Batch, clean: Given, is_changed: Mask) -> Given:
        """Return the answers to corrupted inputs.

        Where the model raises, the inputs that were changed are halved until those that do it stand alone;
        the others keep their clean answers.
        """
        try:
            scores, decisions = self._asked(batch, clean.scores)
        except Exception:  # noqa: BLE001 - whatever a model raises is a finding
            return self._searched(batch, clean, is_changed)
        finite = np.asarray(np.isfinite(scores.reshape(len(scores), -1)).all(axis=1), dtype=np.bool_)
        problems = {int(row): "the score is not finite" for row in np.flatnonzero(~finite)}
        return Given(scores=scores, decisions=decisions, failed=~finite, problems=problems)

    def differs(self, before: Given, after: Given) -> Mask:
        """Say which inputs are answered otherwise; those that failed are not."""
        if self.tolerance is not None:
            with np.errstate(invalid="ignore"):
                apart = np.abs(after.scores - before.scores).reshape(len(after.scores), -1).max(axis=1)
                moved = apart > self.tolerance + ROUNDING
        elif before.decisions is None or after.decisions is None:  # pragma: no cover - they are asked for
            raise InputError("decisions were not asked for", where=self.predictor.description)
        else:
            moved = np.asarray(before.decisions != after.decisions, dtype=np.bool_)
        return np.asarray(moved & ~after.failed, dtype=np.bool_)

    def _decisions(self, batch: Batch, scores: Scores) -> npt.NDArray[Any] | None:
        if not self.wants_decisions:
            return None
        if self.threshold is not None:
            return np.asarray(scores >= self.threshold)
        decisions = np.asarray(self.predictor.predict(batch))
        if decisions.shape != (len(batch),):
            raise InputError(
                f"predicted labels of shape {decisions.shape} for {len(batch):,} inputs",
                where=self.predictor.description,
            )
        return decisions

    def _asked(self, batch: Batch, like: Scores) -> tuple[Scores, npt.NDArray[Any] | None]:
        scores = self.predictor.predict_score(batch)
        if scores.shape != (len(batch), *like.shape[1:]):
            raise InputError(
                f"gave scores of shape {scores.shape} for {len(batch):,} corrupted inputs",
                where=self.predictor.description,
            )
        return scores, self._decisions(batch, scores)

    def _searched(self, batch: Batch, clean: Given, is_changed: Mask) -> Given:
        scores = clean.scores.copy()
        decisions = None if clean.decisions is None else clean.decisions.astype(object)
        failed = np.zeros(len(batch), dtype=np.bool_)
        problems: dict[int, str] = {}
        calls = unasked = 0
        waiting = [np.flatnonzero(is_changed)]
        while waiting:
            rows = waiting.pop()
            if not rows.size:
                continue
            if calls >= MOST_CALLS:
                failed[rows], unasked = True, unasked + rows.size
                continue
            calls += 1
            try:
                found, labels = self._asked(take(batch, rows), clean.scores)
            except Exception as error:  # noqa: BLE001 - whatever a model raises is a finding
                if rows.size == 1:
                    failed[rows] = True
                    problems[int(rows[0])] = _told(error)
                else:
                    middle = rows.size // 2
                    waiting += [rows[middle:], rows[:middle]]
                continue
            scores[rows] = found
            if decisions is not None:
                decisions[rows] = labels
        scores[failed] = np.nan
        finite = np.isfinite(scores.reshape(len(scores), -1)).all(axis=1)
        for row in np.flatnonzero(~finite & ~failed):
            problems[int(row)] = "the score is not finite"
        if decisions is not None and clean.decisions is not None and clean.decisions.dtype != object:
            decisions = np.array(decisions.tolist())
        return Given(
            scores=scores, decisions=decisions, failed=failed | ~finite, problems=problems, unasked=unasked
        )


def _told(error: Exception) -> str:
    return f"raises {type(error).__name__}: {' '.join(str(error).split())}"[:_MOST_TOLD]
