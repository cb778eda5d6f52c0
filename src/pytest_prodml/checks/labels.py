"""Labels and scores as a project has them -> codes and checked numbers, or an error that says what is wrong.

Used by the checks that compare predictions with the truth. Nothing is guessed: a label that the truth does
not know, a missing value, a probability of 1.2 or a column of another length is an error, never a wrong
prediction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.sufficient import Coded, Codes, as_numbers, encode

Label: TypeAlias = bool | int | float | str
Scores: TypeAlias = npt.NDArray[np.float64]

_SHOWN = 6


def named(labels: Sequence[Any]) -> str:
    """Write labels for a message: the first few, and how many there are."""
    more = f", ... ({len(labels)} in all)" if len(labels) > _SHOWN else ""
    return ", ".join(repr(label) for label in labels[:_SHOWN]) + more


def label_column(values: npt.ArrayLike, *, name: str) -> Coded:
    """Encode a column of labels; a missing label is an error."""
    coded = encode(values, name=name)
    missing = int(np.count_nonzero(coded.codes < 0))
    if missing:
        raise InputError(
            f"{name} is missing in {missing:,} of {coded.codes.size:,} rows",
            hint="a row without a label or prediction can not be judged; remove it before, and say why",
        )
    return coded


def score_column(values: npt.ArrayLike, *, name: str) -> Scores:
    """Return a column of finite numbers."""
    scores = as_numbers(values, name=name)
    if scores.ndim != 1:
        raise InputError(
            f"{name} must be one number for each row, got an array of shape {scores.shape}",
            hint="for two classes pass the column of the positive class, for example predict_proba(X)[:, 1]",
        )
    bad = int(np.count_nonzero(~np.isfinite(scores)))
    if bad:
        raise InputError(f"{name} is not a finite number in {bad:,} of {scores.size:,} rows")
    return scores


def probabilities(scores: Scores, *, name: str) -> Scores:
    """Return `scores` if they lie in [0, 1]."""
    outside = int(np.count_nonzero((scores < 0) | (scores > 1)))
    if outside:
        raise InputError(
            f"{name} lies outside [0, 1] in {outside:,} of {scores.size:,} rows",
            hint="this metric needs probabilities, not decision values",
        )
    return scores


def same_length(**columns: int) -> int:
    """Return the common length of the named columns."""
    if len(set(columns.values())) > 1:
        told = ", ".join(f"{name} {length:,}" for name, length in columns.items())
        raise InputError(f"the columns differ in length: {told} rows")
    return next(iter(columns.values()))


def classes_of(
    truth: Coded, *, positive: Label | None, labels: Sequence[Label] | None, name: str = "positive_label"
) -> list[Any]:
    """Return the known classes: those declared, or those that the truth holds.

    `positive` must be one of them. It may be absent from the truth only where that holds a single class of
    the same kind: then no row is positive.
    """
    classes = list(truth.categories if labels is None else labels)
    unknown = [label for label in truth.categories if label not in classes]
    if unknown:
        raise InputError(f"y_true holds {named(unknown)}, the known labels are {named(classes)}")
    if positive is None or positive in classes:
        return classes
    if labels is not None or len(classes) > 1 or not _alike(classes, positive):
        raise InputError(
            f"{name} {positive!r} is not among the labels {named(classes)}", hint=f"set {name} to one of them"
        )
    return [*classes, positive]


def _alike(classes: Sequence[Any], label: Any) -> bool:  # noqa: ANN401 - labels are what a project uses
    return all(isinstance(known, str) == isinstance(label, str) for known in classes)


def codes_into(predicted: Coded, classes: list[Any], *, name: str = "y_pred") -> Codes:
    """Translate codes into positions in `classes`.

    A label that is not among them is an error. Only where a single class is known (the truth holds no other),
    one more label of the same kind is taken for the second class and appended to `classes`.
    """
    unknown = [label for label in predicted.categories if label not in classes]
    if len(unknown) == 1 and len(classes) < 2 and _alike(classes, unknown[0]):
        classes.append(unknown[0])
    elif unknown:
        scores = all(isinstance(label, float) and 0 <= label <= 1 for label in predicted.categories)
        raise InputError(
            f"{name} holds {named(unknown)}, the known labels are {named(classes)}",
            hint="these look like scores: pass them as y_score, with a threshold"
            if scores
            else "name all classes with labels=[...]",
        )
    positions = np.array([classes.index(label) for label in predicted.categories], dtype=np.intp)
    return positions[predicted.codes] if predicted.codes.size else predicted.codes


def checked_number(value: object, *, name: str) -> float:
    """Return a number that the caller of a check gave: a limit, a margin; text and true or false are none."""
    if not isinstance(value, (bool, np.bool_, str, bytes)):
        try:
            return float(value)  # type: ignore[arg-type]  # anything can come; what is no number raises
        except (TypeError, ValueError, ArithmeticError):
            pass
    raise InputError(f"{name} must be a number, got {value!r}")


def checked_limit(limit: float, margin: float = 0.0) -> float:
    """Return a limit on a share; a number outside [0, 1] is a slip (85 for 85 %)."""
    limit, margin = checked_number(limit, name="the limit"), checked_number(margin, name="the margin")
    if not (math.isfinite(limit) and 0 <= limit <= 1):
        raise InputError(f"the limit must lie between 0 and 1, got {limit!r}")
    if not (math.isfinite(margin) and 0 <= margin <= 1):
        raise InputError(f"the margin must lie between 0 and 1, got {margin!r}")
    return float(limit)


def nearest(name: str, known: Sequence[str]) -> str:
    """Write the hint for an unknown name."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
