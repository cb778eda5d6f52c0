"""A model's answers to rows -> how much each looks like a row that the model was trained on.

Every attack gives one number a row, larger for a likelier member. None needs more than the model's answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, Scores
from pytest_prodml.checks.behavior.batches import Inputs
from pytest_prodml.checks.swaps import accepted
from pytest_prodml.errors import InputError

Array: TypeAlias = npt.NDArray[np.float64]

#: A probability of 0 or 1 stands for one that rounding made so.
_LEAST = 1e-12
_WHERE = "private"


def scores_of(predictor: Predictor, inputs: Inputs, what: str) -> Scores:
    """Return the model's scores of all rows.

    Raises
    ------
    InputError
        If the model refuses the rows, or a score is not finite.
    """
    scores = accepted(lambda: predictor.predict_score(inputs.batch), what, predictor.description)
    bad = int(np.count_nonzero(~np.isfinite(scores.reshape(len(inputs), -1)).all(axis=1)))
    if bad:
        raise InputError(
            f"the scores of {bad:,} of {len(inputs):,} {what} are not finite", where=predictor.description
        )
    return scores


def signals_of_classes(
    scores: Scores, target: npt.NDArray[Any] | None, classes: Sequence[Any]
) -> dict[str, Array]:
    """Return the signals of a classifier.

    Parameters
    ----------
    scores : array, shape (n,) or (n, k)
        Of the second of two `classes`, or of each class. Probabilities, or decision values of any range.
    target : array, shape (n,), optional
        The true labels.
    classes : sequence
        The labels in the order of the scores.

    Returns
    -------
    dict of str to array
        "confidence": the probability of the likeliest class; "entropy": minus the entropy of all. With
        labels also "loss": minus the log loss (Yeom et al. 2018), and "modified entropy": minus the entropy
        that knows the label (Song, Mittal 2021).
    """
    chances = _probabilities(scores)
    signals = {
        "confidence": chances.max(axis=1),
        "entropy": (chances * np.log(chances)).sum(axis=1),
    }
    if target is None:
        return signals
    places = _places(target, classes)
    own = chances[np.arange(len(places)), places]
    signals["loss"] = np.log(own)
    others = chances.copy()
    others[np.arange(len(places)), places] = 0.0
    signals["modified entropy"] = (1 - own) * np.log(own) + (
        others * np.log(np.maximum(1 - others, _LEAST))
    ).sum(axis=1)
    return signals


def signals_of_numbers(scores: Scores, target: npt.NDArray[Any] | None) -> dict[str, Array]:
    """Return the signals of a regressor: "loss", minus the squared error.

    Raises
    ------
    InputError
        If there are no labels: a number alone tells nothing about how sure the model is.
    """
    if target is None:
        raise InputError(
            "a regressor's answers tell members only by their errors, and the rows have no labels",
            where=_WHERE,
            hint="give (X, y) pairs",
        )
    try:
        truth = np.asarray(target, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("the labels are no numbers", where=_WHERE) from None
    if scores.ndim != 1 or not np.isfinite(truth).all():
        raise InputError("one number for each row is needed, from the model and as its label", where=_WHERE)
    return {"loss": -((scores - truth) ** 2)}


def _probabilities(scores: Scores) -> Array:
    if scores.ndim == 1:
        positive = scores
        if np.min(scores) < 0 or np.max(scores) > 1:
            # Decision values: the logistic function keeps their order, and that is all that is used.
            scale = max(float(np.std(scores)), 1e-300)
            positive = 1 / (1 + np.exp(-np.clip(scores / scale, -500, 500)))
        chances = np.column_stack([1 - positive, positive])
    elif np.min(scores) < 0 or not np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances = shifted / shifted.sum(axis=1, keepdims=True)
    else:
        chances = scores
    return np.asarray(np.clip(chances, _LEAST, 1.0), dtype=np.float64)


def _places(target: npt.NDArray[Any], classes: Sequence[Any]) -> npt.NDArray[np.intp]:
    known = {label: place for place, label in enumerate(classes)}
    try:
        return np.array([known[label] for label in target.tolist()], dtype=np.intp)
    except KeyError as error:
        raise InputError(
            f"the label {error.args[0]!r} is none of the model's classes {list(classes)[:10]!r}",
            where=_WHERE,
            hint="say classes=[...] in the order of the scores",
        ) from None


def classes_of(
    predictor: Predictor,
    scores: Scores,
    targets: Sequence[npt.NDArray[Any] | None],
    classes: Any,  # noqa: ANN401
) -> list[Any]:
    """Return the labels in the order of the scores: as given, as the model says, or sorted.

    Raises
    ------
    InputError
        If their number is not that of the scores.
    """
    size = scores.shape[1] if scores.ndim == 2 else 2
    found = getattr(predictor, "classes", None) if classes is None else list(classes)
    if found is None:
        seen = {label for target in targets if target is not None for label in target.tolist()}
        try:
            found = sorted(seen)
        except TypeError:
            found = sorted(seen, key=str)
        if size == 2 and seen and seen <= {0, 1}:
            found = [0, 1]
        if not seen:
            found = list(range(size))
    if len(found) != size:
        raise InputError(
            f"there are {size} scores and {len(found)} classes",
            where=_WHERE,
            hint="say classes=[...] in the order of the scores; task='regression' for numbers",
        )
    return list(found)
