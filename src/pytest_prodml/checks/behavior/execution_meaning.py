"""Cases about what answers mean: valid scores, labels that follow them, classes in the right order."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.behavior.batches import take
from pytest_prodml.checks.behavior.execution_answers import WRONG, Answer, ask, copied
from pytest_prodml.checks.behavior.execution_trial import (
    Case,
    Finding,
    NotApplicableError,
    NotTriedError,
    Status,
    Trial,
    failed,
    one,
)
from pytest_prodml.statistics.ranking import roc_auc
from pytest_prodml.statistics.sufficient import score_table

_TOPIC = "answers"
_MOST_LABELLED = 5_000
_MOST_CLASSES = 100
_MOST_ROWS, _CHUNK = 20_000, 1_000
#: A model without any skill must not be accused of a swap once in twenty times.
_LEVEL = 0.999
_SUM_TOLERANCE = 1e-4
_LEAST_OF_CLASS = 10


def _valid(trial: Trial, _: Case) -> Finding:
    wrong = trial.rules.invalid(trial.answer)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        told = f"{WRONG[int(wrong[row])]} for {np.count_nonzero(wrong)} of {len(wrong)} rows"
        if wrong[row] == 2:
            told += " (bounds=None for scores that are no probabilities)"
        return failed(told, tried=len(wrong), example=one(trial.batch, row))
    tried = len(wrong)
    if len(trial.everything) > len(trial):
        found = _valid_in_all(trial)
        if isinstance(found, Finding):
            return found
        tried = found
    pairs = _pairs(trial)
    if pairs is not None and trial.rules.bounds == (0.0, 1.0):
        off = np.abs(pairs.sum(axis=1) - 1)
        if not np.max(off) <= _SUM_TOLERANCE:
            row = int(np.argmax(off))
            told = f"the probabilities of both classes sum to {pairs[row].sum():.6g}"
            return failed(told, tried=len(pairs), example=one(trial.batch, row))
    return Finding(status=Status.PASSED, tried=tried)


def _valid_in_all(trial: Trial) -> Finding | int:
    """Ask about all rows, or as many as are read at once; return how many, or what is wrong with one."""
    n_rows = min(len(trial.everything), _MOST_ROWS)
    for start in range(0, n_rows, _CHUNK):
        batch = take(trial.everything, np.arange(start, min(start + _CHUNK, n_rows)))
        answer = ask(trial.predictor, batch)
        if not isinstance(answer, Answer):
            return failed(f"rows {start:,} to {start + len(batch):,}: {answer}", tried=start)
        wrong = trial.rules.invalid(answer)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            told = f"{WRONG[int(wrong[row])]} for row {start + row:,}"
            return failed(told, tried=start + len(batch), example=one(batch, row))
    return n_rows


def _pairs(trial: Trial) -> npt.NDArray[np.float64] | None:
    """Return the scores of two classes as the model itself gives them: adapters keep the second only."""
    raw: Any = None
    with contextlib.suppress(Exception):
        raw = trial.predictor.prepare(copied(trial.batch))()
    if isinstance(raw, list) and len(raw) == 1:
        raw = raw[0]
    if not isinstance(raw, np.ndarray) or raw.dtype.kind != "f" or raw.shape != (len(trial), 2):
        return None
    return raw.astype(np.float64)


def _labels_follow(trial: Trial, _: Case) -> Finding:
    scores, labels = trial.answer.scores, trial.answer.labels
    if _are_numbers(trial.answer):
        raise NotApplicableError("the answers are numbers, not classes")
    if scores.ndim == 2:
        return _argmax_follows(trial)
    kinds = list(dict.fromkeys(labels.tolist()))
    if len(kinds) != 2:
        raise NotApplicableError(f"the labels of the sample are of {len(kinds)} kind{'s'[: len(kinds) != 1]}")
    means = {kind: float(scores[labels == kind].mean()) for kind in kinds}
    high = max(means, key=lambda kind: means[kind])
    positive = _positive(trial)
    if positive is not None and positive in kinds and positive != high:
        told = (
            f"rows labelled {positive!r} score {means[positive]:.4g} on average, the others {means[high]:.4g}"
        )
        return failed(told, tried=len(labels))
    return Finding(status=Status.PASSED, tried=len(labels))


def _are_numbers(answer: Answer) -> bool:
    """Say whether labels and scores are the same numbers: those of a regressor."""
    labels, scores = answer.labels, answer.scores
    return labels.dtype.kind == "f" and scores.ndim == 1 and bool(np.array_equal(scores, labels))


def _argmax_follows(trial: Trial) -> Finding:
    labels = trial.answer.labels
    best = trial.answer.scores.argmax(axis=1)
    known = getattr(trial.predictor, "classes", None)
    seen: dict[Any, int] = {}
    for place in np.unique(best).tolist():
        own = labels[best == place].tolist()
        usual = max(set(own), key=own.count)
        if known is not None and place < len(known) and usual != known[place] and len(own) >= 5:
            told = f"the label {usual!r} goes with the score of the class {known[place]!r}"
            return failed(told, tried=len(labels))
        if usual in seen:
            return failed(
                f"the label {usual!r} goes with two scores, number {seen[usual] + 1} and {place + 1}",
                tried=len(labels),
            )
        seen[usual] = place
    return Finding(status=Status.PASSED, tried=len(labels))


def _positive(trial: Trial) -> Any:  # noqa: ANN401 - a label is what a project uses
    if trial.positive_label is not None:
        return trial.positive_label
    known = getattr(trial.predictor, "classes", None)
    if known is not None and len(known) == 2:
        return known[1]
    kinds = set(trial.answer.labels.tolist())
    return 1 if kinds <= {0, 1} else None


def _class_order(trial: Trial, case: Case) -> Finding:
    if trial.target is None:
        raise NotApplicableError("the inputs have no labels")
    target = np.asarray(trial.target)
    known = [label for label in dict.fromkeys(target.tolist()) if label is not None and label == label]  # noqa: PLR0124
    if not 2 <= len(known) <= _MOST_CLASSES or (target.dtype.kind == "f" and len(known) > 20):
        raise NotApplicableError(f"the labels are of {len(known):,} kinds, so they are no classes")
    if trial.answer.scores.ndim == 1 and trial.positive_label is None and len(known) != 2:
        raise NotApplicableError(f"one score for {len(known)} classes: say positive_label")
    if _are_numbers(trial.answer):
        raise NotApplicableError("the answers are numbers, not classes")
    chosen = trial.random(case).permutation(len(target))[:_MOST_LABELLED]
    answer = ask(trial.predictor, take(trial.everything, chosen))
    if not isinstance(answer, Answer):
        return failed(f"on {len(chosen):,} rows: {answer}")
    truth = target[chosen]
    for label, scores in _columns(trial, answer, known):
        is_class = np.asarray(truth == label, dtype=np.bool_)
        finite = np.isfinite(scores)
        least = min(np.count_nonzero(is_class & finite), np.count_nonzero(~is_class & finite))
        if least < _LEAST_OF_CLASS:
            continue
        estimate = roc_auc(score_table(is_class[finite], scores[finite]))
        _, upper = estimate.at(max(_LEVEL, trial.confidence_level))
        if upper is not None and upper < 0.5:
            told = (
                f"the score of the class {label!r} ranks its rows last: ROC AUC {estimate.value:.3f}, at "
                f"most {upper:.3f}; the classes are swapped, or positive_label is another one"
            )
            return failed(told, tried=len(chosen))
    return Finding(status=Status.PASSED, tried=len(chosen))


def _columns(trial: Trial, answer: Answer, known: list[Any]) -> list[tuple[Any, npt.NDArray[np.float64]]]:
    """Return each class with its scores."""
    if answer.scores.ndim == 1:
        positive = _positive(trial)
        if positive is None and len(known) == 2:
            positive = sorted(known, key=str)[1]
        if positive not in known:
            raise NotTriedError(
                "which label the score is about is not known: give positive_label, a label of the data"
            )
        return [(positive, answer.scores)]
    classes = getattr(trial.predictor, "classes", None)
    if classes is None:
        try:
            classes = sorted(known)
        except TypeError:
            classes = sorted(known, key=str)
    if len(classes) != answer.scores.shape[1]:
        raise NotTriedError(
            f"there are {answer.scores.shape[1]} scores and {len(classes)} classes in the labels, so which "
            "score is whose is not known"
        )
    return list(zip(classes, answer.scores.T, strict=True))


CASES = (
    Case(
        name="valid_answers",
        topic=_TOPIC,
        claim="the rows of the data get finite scores within bounds; those of all classes sum to one",
        run=_valid,
    ),
    Case(
        name="labels_follow_scores",
        topic=_TOPIC,
        claim="the label that the model gives is that of the class that it scores highest",
        run=_labels_follow,
    ),
    Case(
        name="class_order",
        topic=_TOPIC,
        claim="the score of a class does not rank the rows of this class last",
        run=_class_order,
    ),
)
