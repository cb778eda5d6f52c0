"""A model trained on a shuffled target -> how far it still predicts the true one: it must not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters import as_predictor
from pytest_prodml.adapters.predictor import finite_scores
from pytest_prodml.adapters.tables import Dataset
from pytest_prodml.checks.performance.leakage.features import Target
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.design import Design, share_of_weight
from pytest_prodml.statistics.estimate import Estimate
from pytest_prodml.statistics.intervals import mean
from pytest_prodml.statistics.rank_correlation import rank_correlation
from pytest_prodml.statistics.ranking import roc_auc
from pytest_prodml.statistics.sufficient import score_table

Array: TypeAlias = npt.NDArray[np.float64]
#: ``train(X, y)`` gives a fitted model.
Train: TypeAlias = Callable[[Any, npt.NDArray[Any]], Any]

_MOST_TURNS = 10


def skill_after_shuffling(
    train: Train,
    reference: Dataset,
    test: Dataset,
    target: Target,
    truth: Target,
    *,
    weights: Array | None,
    repeats: int,
    seed: int,
) -> Estimate:
    """Estimate the skill that is left when the target of the training rows is shuffled.

    Skill is 0 for chance and 1 for perfect: 2 AUC - 1 for two classes, balanced accuracy above chance for
    more, Spearman's correlation for a quantity; always against the true target of the test rows. A model that
    learns from the target it is given has none left. What is left comes from elsewhere: from a column, a
    cache or a file in which `train` finds the truth.

    A shuffled target agrees with the truth a little, one way or the other. So each of the `repeats` shuffles
    is used in every turn of its classes (two classes exchanged, more classes in a circle; the numbers
    mirrored), and the skills of the turns are averaged: what is due to chance cancels.

    The bounds are about further shuffles, with these test rows and their `weights`: that no skill is left is
    true of any test rows, whether they are independent or an entity has several. Targets are shuffled row by
    row, also within an entity.

    Raises
    ------
    InputError
        If `train` gives no model, or there are fewer than two repeats.
    """
    if repeats < 2:
        raise InputError(
            f"the spread of repeats needs two of them at least, got {repeats!r}", where="repeats"
        )
    rng = np.random.default_rng(seed)
    counted = share_of_weight(Design(weights=weights), len(test))
    skills = []
    for _ in range(repeats):
        turned = [_skill(train, reference, test, values, truth, counted) for values in _turns(target, rng)]
        skills.append(float(np.mean(turned)))
    found = mean(np.array(skills))
    note = f"{repeats} shuffles"
    return Estimate(
        value=found.value, method="Student t over shuffles", bounds=found.bounds, note=note, seed=seed
    )


def _turns(target: Target, rng: np.random.Generator) -> list[npt.NDArray[Any]]:
    if target.numbers is not None:
        shuffled = rng.permutation(target.numbers)
        return [shuffled, float(np.min(shuffled) + np.max(shuffled)) - shuffled]
    codes = rng.permutation(target.codes if target.codes is not None else np.zeros(0, dtype=np.intp))
    classes = np.asarray(target.classes)
    k = len(target.classes)
    return [classes[(codes + turn) % k] for turn in range(min(k, _MOST_TURNS))]


def _skill(
    train: Train,
    reference: Dataset,
    test: Dataset,
    values: npt.NDArray[Any],
    truth: Target,
    weights: Array,
) -> float:
    model = train(reference.frame.copy(), values)
    if model is None:
        raise InputError("train(X, y) returned None", where="train", hint="return the fitted model")
    positive = truth.classes[1] if len(truth.classes) == 2 else None
    predictor = as_predictor(model, positive_label=positive)
    if truth.numbers is not None:
        predicted = finite_scores(predictor, test.frame)
        return rank_correlation(predicted, truth.numbers, weights) or 0.0
    codes = truth.codes if truth.codes is not None else np.zeros(0, dtype=np.intp)
    if len(truth.classes) == 2:
        scores = finite_scores(predictor, test.frame)
        area = roc_auc(score_table(codes == 1, scores, weights)).value
        return 0.0 if area is None else 2 * area - 1
    predicted_labels = np.asarray(predictor.predict(test.frame))
    shares = [
        float(np.average(predicted_labels[codes == place] == label, weights=weights[codes == place]))
        for place, label in enumerate(truth.classes)
        if weights[codes == place].any()
    ]
    chance = 1 / len(truth.classes)
    return (float(np.mean(shares)) - chance) / (1 - chance)
