"""A metric and a model's answers -> what each row costs: the losses that slices are searched by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.labels import same_length, score_column
from pytest_prodml.checks.metrics.registry import Metric, Needs
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_OF_POSITIVE_ROWS = frozenset({"recall"})
_OF_NEGATIVE_ROWS = frozenset({"specificity"})
_OF_PREDICTED_ROWS = frozenset({"precision"})
_MEAN_ERRORS = frozenset({"accuracy", "zero_one_loss", "recall", "specificity", "precision"})
_MEAN_SQUARES = frozenset({"mean_squared_error", "neg_mean_squared_error"})
_MEANS_OF_PROBABILITIES = frozenset({"brier_score_loss", "log_loss", "neg_brier_score", "neg_log_loss"})
_LEAST_PROBABILITY = 1e-15


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLosses:
    """What each row costs, and which rows the metric is about.

    Attributes
    ----------
    values : array of float, shape (n,)
        The higher, the worse; finite.
    used : array of bool, shape (n,), optional
        The positive rows for a recall; None: all rows.
    name : str
        What evidence calls the loss.
    is_metric : bool
        Whether the metric is the mean of the losses over the used rows, or one minus it.
    """

    values: Array
    name: str
    used: Mask | None = None
    is_metric: bool = False

    @property
    def is_error(self) -> bool:
        """Whether every loss is 0 or 1."""
        return bool(((self.values == 0) | (self.values == 1)).all())


def row_losses(name: str, metric: Metric, sample: Sample, given: npt.ArrayLike | None = None) -> RowLosses:
    """Return the loss of each row that goes with a metric.

    Wrong or right for metrics of decisions (over the positive rows for a recall, and so on); the squared or
    absolute error for numbers; log loss or squared error for probabilities; for other scores of two classes
    the share of the other class on the wrong side of the row's score.

    Parameters
    ----------
    given : array-like of float, shape (n,), optional
        Losses of the caller's own, for example where a metric has none of these.

    Raises
    ------
    InputError
        For a metric without a loss of single rows: pass one.
    """
    if given is not None:
        values = score_column(given, name="loss")
        same_length(y_true=sample.n_rows, loss=values.size)
        return RowLosses(values=values, name="loss")
    if metric.needs is Needs.LABELS:
        return _of_decisions(name, sample)
    if metric.needs is Needs.NUMBERS:
        return _of_numbers(name, sample)
    if sample.query is not None or np.ndim(sample.y_true) != 1:
        raise InputError(
            f"{name} has no loss of single rows to search by", hint="pass loss=[one number a row]"
        )
    return _of_scores(name, sample)


def _of_decisions(name: str, sample: Sample) -> RowLosses:
    if sample.is_multilabel:
        truth, predicted = sample.indicators(name)
        wrong = (truth != predicted).any(axis=1)
        return RowLosses(
            values=wrong.astype(np.float64), name="any label wrong", is_metric=name == "accuracy"
        )
    parted = name in _OF_POSITIVE_ROWS | _OF_NEGATIVE_ROWS | _OF_PREDICTED_ROWS
    codes, predictions, _ = sample.cells(name, two=parted)
    used = None
    if name in _OF_POSITIVE_ROWS:
        used = codes == 1
    elif name in _OF_NEGATIVE_ROWS:
        used = codes == 0
    elif name in _OF_PREDICTED_ROWS:
        used = predictions == 1
    return RowLosses(
        values=(codes != predictions).astype(np.float64),
        name="wrong prediction",
        used=used,
        is_metric=name in _MEAN_ERRORS,
    )


def _of_numbers(name: str, sample: Sample) -> RowLosses:
    truth, predicted = sample.numbers(name)
    error = predicted - truth
    if "squared" in name or name == "r2":
        return RowLosses(values=error**2, name="squared error", is_metric=name in _MEAN_SQUARES)
    return RowLosses(values=np.abs(error), name="absolute error", is_metric="mean_absolute_error" in name)


def _of_scores(name: str, sample: Sample) -> RowLosses:
    if sample.score_dimensions == 2:
        chances = sample.class_probabilities(name)
        own = chances[np.arange(len(chances)), sample.class_codes]
        if "log_loss" in name:
            return RowLosses(values=-np.log(np.maximum(own, _LEAST_PROBABILITY)), name="log loss")
        return RowLosses(values=(chances**2).sum(axis=1) - 2 * own + 1, name="squared error of probabilities")
    positive, scores = sample.is_positive(name), sample.scores(name)
    loss = next((loss for key, loss in _OF_PROBABILITIES.items() if key in name), None)
    if loss is None:
        return RowLosses(values=_misranked(positive, scores), name="share of the other class ranked wrongly")
    chance = sample.probabilities(name)
    values = loss[1](np.where(positive, chance, 1 - chance))
    return RowLosses(values=values, name=loss[0], is_metric=name in _MEANS_OF_PROBABILITIES)


_OF_PROBABILITIES: Mapping[str, tuple[str, Callable[[Array], Array]]] = {
    "log_loss": ("log loss", lambda own: -np.log(np.maximum(own, _LEAST_PROBABILITY))),
    "brier": ("squared error of the probability", lambda own: (1 - own) ** 2),
}


def _misranked(positive: Mask, scores: Array) -> Array:
    """Return for each row the share of the rows of the other class on the wrong side; ties count half."""
    losses = np.zeros(scores.size)
    above, below = np.sort(scores[positive]), np.sort(scores[~positive])
    if not above.size or not below.size:
        return losses
    mine = scores[positive]
    higher = (below.size - np.searchsorted(below, mine, side="right")) / below.size
    tied = (np.searchsorted(below, mine, side="right") - np.searchsorted(below, mine)) / below.size
    losses[positive] = higher + tied / 2
    mine = scores[~positive]
    lower = np.searchsorted(above, mine) / above.size
    tied = (np.searchsorted(above, mine, side="right") - np.searchsorted(above, mine)) / above.size
    losses[~positive] = lower + tied / 2
    return losses
