"""Agreement of true and predicted classes: a square table of counts in, estimates out.

Matthews' correlation, Cohen's kappa, and averages of precision, recall, F-beta and Jaccard over the classes.
Counts may be sums of weights that are scaled to the number of rows. Every function gives the estimate for
rows that are independent and, for `design.adjusted`, the influence of a row in each cell of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.estimate import Bounds, Estimate, not_estimable
from pytest_prodml.statistics.shares import Kinds, Statistic, influences, of_shares

Array: TypeAlias = npt.NDArray[np.float64]
Table: TypeAlias = npt.NDArray[Any]
Average: TypeAlias = Literal["macro", "weighted"]
Averaged: TypeAlias = Literal["precision", "recall", "f1", "jaccard"]

METHOD = "Dirichlet with the worst row"
#: Rows of a class, on average, below which averages over the classes have no bounds.
LEAST_A_CLASS = 5
_DENSE = 12
AVERAGED: tuple[Averaged, ...] = ("precision", "recall", "f1", "jaccard")
_PARTS: Mapping[Averaged, Callable[[Array, Array, Array, float], tuple[Array, Array]]] = {
    "precision": lambda right, predicted, _, __: (right, predicted),
    "recall": lambda right, _, true, __: (right, true),
    "f1": lambda right, predicted, true, b: ((1 + b) * right, b * true + predicted),
    "jaccard": lambda right, predicted, true, _: (right, predicted + true - right),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """An estimate, and what a row in each cell adds to it.

    Attributes
    ----------
    estimate : Estimate
    influence : array of float, shape (k, k)
        By true and predicted class; 0 where there is no row.
    """

    estimate: Estimate
    influence: Array


def _divided(part: Array, whole: Array) -> Array:
    """Return part / whole, and 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole > 0)


def _split(sums: Array) -> tuple[Array, Array, Array]:
    """Return the right rows, the predicted rows and the true rows of each class, each (draws, k)."""
    k = sums.shape[1] // 3
    return sums[:, :k], sums[:, k : 2 * k], sums[:, 2 * k : 3 * k]


def _matthews(sums: Array) -> Array:
    right, predicted, true = _split(sums)
    n = true.sum(axis=1)
    covariance = right.sum(axis=1) * n - (predicted * true).sum(axis=1)
    spread = (n**2 - (predicted**2).sum(axis=1)) * (n**2 - (true**2).sum(axis=1))
    return _divided(covariance, np.sqrt(np.maximum(spread, 0.0)))


def _kappa(sums: Array) -> Array:
    right, predicted, true = _split(sums)
    n = true.sum(axis=1)
    chance = (predicted * true).sum(axis=1)
    return _divided(right.sum(axis=1) * n - chance, n**2 - chance)


def matthews_correlation(table: Table, *, seed: int) -> Agreement:
    """Estimate Matthews' correlation coefficient (for k classes: Gorodkin's R_k).

    A constant prediction has no correlation: not estimable, where scikit-learn gives 0.
    """
    told = _constant(table)
    if told:
        return _none(table, told)
    return _measured(table, _matthews, low=-1.0, seed=seed)


def cohen_kappa(
    table: Table, *, seed: int, weights: Literal["linear", "quadratic"] | None = None
) -> Agreement:
    """Estimate Cohen's kappa; with `weights` the classes are ordered and near misses count less."""
    told = _constant(table, both=True)
    if told:
        return _none(table, told)
    if weights is None:
        return _measured(table, _kappa, low=-1.0, seed=seed)
    if weights not in {"linear", "quadratic"}:
        raise InputError(f"kappa has linear or quadratic weights, got {weights!r}")
    k = table.shape[0]
    apart = np.abs(np.subtract.outer(np.arange(k), np.arange(k))).astype(np.float64)
    costs = apart if weights == "linear" else apart**2

    def statistic(sums: Array) -> Array:
        _, predicted, true = _split(sums)
        expected = ((true @ costs) * predicted).sum(axis=1)
        return 1 - _divided(sums[:, -1] * true.sum(axis=1), expected)

    return _measured(table, statistic, low=-1.0, seed=seed, costs=costs)


def averaged(
    table: Table,
    name: Averaged,
    average: Average,
    *,
    seed: int,
    classes: Sequence[Any] | None = None,
    beta: float = 1.0,
) -> Agreement:
    """Estimate the average of a metric over the classes: plain ("macro") or by true rows ("weighted").

    As in scikit-learn a class that is never predicted has precision 0. A class without any true row has no
    recall: not estimable. `classes` names them for the note. With fewer than five rows a class, ten for the
    weighted precision, there are no bounds: the bias of small classes makes them miss 7 % and more.
    """
    true_rows = table.sum(axis=1)
    if average == "macro" and (true_rows == 0).any():
        place = int(np.flatnonzero(true_rows == 0)[0])
        label = place if classes is None else classes[place]
        return _none(table, f"there are no rows of the class {label!r}")
    one_class = _constant(table, predicted=False)
    if one_class:
        return _none(table, one_class)
    found = _measured(table, average_of(name, average, beta), low=0.0, seed=seed)
    a_class = float(table.sum()) / int(np.count_nonzero(true_rows))
    least = LEAST_A_CLASS * (2 if (name, average) == ("precision", "weighted") else 1)
    return replace(found, estimate=_with_enough(found.estimate, a_class, least))


def _with_enough(estimate: Estimate, rows: float, least: float) -> Estimate:
    """Withhold the bounds while there are too few `rows` a class."""

    def bounds(level: float, growth: float, power: float) -> Bounds:
        return estimate.bounds(level, growth, power) if rows * growth >= least else (None, None)

    if rows >= least:
        note = estimate.note
    else:
        note = f"{rows:.2g} rows a class are too few for bounds that keep their level"
    return replace(estimate, bounds=bounds, note=note)


def quotient(name: Averaged, right: Array, predicted: Array, true: Array, beta: float = 1.0) -> Array:
    """Return a metric from the numbers of right, predicted and true rows; 0 where it is 0 / 0."""
    return _divided(*_PARTS[name](right, predicted, true, beta * beta))


def average_of(name: Averaged, average: Average, beta: float = 1.0) -> Statistic:
    """Return the average of a metric as a function of right, predicted and true rows, each (draws, k)."""

    def statistic(sums: Array) -> Array:
        right, predicted, true = _split(sums)
        values = quotient(name, right, predicted, true, beta)
        if average == "macro":
            return np.asarray(values.mean(axis=1))
        return _divided((values * true).sum(axis=1), true.sum(axis=1))

    return statistic


def _constant(table: Table, *, predicted: bool = True, both: bool = False) -> str | None:
    """Say that the truth holds one class only, or that one class only is predicted."""
    if table.sum() <= 0:
        return "there are no rows"
    one_true = np.count_nonzero(table.sum(axis=1)) < 2
    one_predicted = np.count_nonzero(table.sum(axis=0)) < 2
    if one_true and (one_predicted or not both):
        return "all rows are of one class, so they can not tell classes apart"
    if one_predicted and predicted and not both:
        return "one class only is predicted, so truth and prediction have no correlation"
    return None


def _none(table: Table, told: str) -> Agreement:
    return Agreement(estimate=not_estimable(METHOD, told), influence=np.zeros(table.shape))


def _measured(
    table: Table, statistic: Statistic, *, low: float, seed: int, costs: Array | None = None
) -> Agreement:
    true, predicted = np.nonzero(table)
    counts = table[true, predicted].astype(np.float64)
    k = table.shape[0]
    bare = Kinds(counts=counts, sums=_cells(true, predicted, k, costs), worst=np.zeros(0), best=np.zeros(0))
    worst, best = _extremes(bare.total(), statistic, k, costs)
    kinds = Kinds(counts=counts, sums=bare.sums, worst=worst, best=best)
    influence = np.zeros((k, k))
    influence[true, predicted] = influences(kinds, statistic)
    return Agreement(
        estimate=of_shares(kinds, statistic, low=low, high=1.0, seed=seed, method=METHOD),
        influence=influence,
    )


def _cells(true: npt.NDArray[np.intp], predicted: npt.NDArray[np.intp], k: int, costs: Array | None) -> Any:  # noqa: ANN401 - an array, or a sparse matrix of the same use
    """Return what a row of each cell adds: right, predicted and true of its classes, then its cost."""
    rows = np.arange(true.size)
    width = 3 * k + (costs is not None)
    same = true == predicted
    places = [(rows[same], true[same]), (rows, k + predicted), (rows, 2 * k + true)]
    values = [np.ones(row.size) for row, _ in places]
    if costs is not None:
        places.append((rows, np.full(rows.size, 3 * k)))
        values.append(costs[true, predicted])
    row, column = (np.concatenate(parts) for parts in zip(*places, strict=True))
    if k > _DENSE:
        sparse = require("scipy.sparse", extra="performance")
        return sparse.csr_array((np.concatenate(values), (row, column)), shape=(true.size, width))
    cells = np.zeros((true.size, width))
    cells[row, column] = np.concatenate(values)
    return cells


def _extremes(total: Array, statistic: Statistic, k: int, costs: Array | None) -> tuple[Array, Array]:
    """Return what the row adds that would lower the metric most, and the one that would raise it most.

    All cells are tried where there are few. Of many, the wrong ones are tried as a missed row of one class
    and a false row of another, apart from each other.
    """
    if k <= _DENSE:
        true, predicted = (axis.ravel() for axis in np.indices((k, k)))
        cells = np.asarray(_cells(true, predicted, k, costs))
        values = statistic(total + cells)
        return cells[np.argmin(values)], cells[np.argmax(values)]
    every = np.arange(k)
    right = np.asarray(_cells(every, every, k, costs).todense())
    best = right[np.argmax(_in_parts(statistic, total, right))]
    as_true, as_predicted = right.copy(), right.copy()
    as_true[every, every] = as_true[every, k + every] = 0.0
    as_predicted[every, every] = as_predicted[every, 2 * k + every] = 0.0
    missed = np.argsort(_in_parts(statistic, total, as_true))
    false = np.argsort(_in_parts(statistic, total, as_predicted))
    at = missed[:1]
    cell = _cells(at, false[false != at][:1], k, costs)
    return np.asarray(cell.todense())[0], best


def _in_parts(statistic: Statistic, total: Array, added: Array) -> Array:
    at_once = max(2_000_000 // added.shape[1], 1)
    parts = [statistic(total + added[i : i + at_once]) for i in range(0, len(added), at_once)]
    return np.concatenate(parts)
