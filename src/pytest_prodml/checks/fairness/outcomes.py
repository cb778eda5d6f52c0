"""What an explanation is about: the number of each row that a rate or mean is made of, and its stratum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.fairness.groups import groupings
from pytest_prodml.checks.labels import (
    Label,
    classes_of,
    codes_into,
    label_column,
    named,
    nearest,
    same_length,
    score_column,
)
from pytest_prodml.checks.membership import Membership, membership
from pytest_prodml.checks.metrics.levels import Bins
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.sufficient import Codes, as_column

Array: TypeAlias = npt.NDArray[np.float64]

FAVORABLE, OTHER = "rows with the favorable label", "rows without the favorable label"
#: The rows that a rate is about, and what counts among them; truth and decision are favorable or not.
_RATES: Mapping[str, str] = {
    "accuracy": "rows",
    "false_negative_rate": FAVORABLE,
    "false_positive_rate": OTHER,
    "precision": "rows with the favorable decision",
    "selection_rate": "rows",
    "true_negative_rate": OTHER,
    "true_positive_rate": FAVORABLE,
}
_MEANS = ("mean_absolute_error", "mean_error", "mean_prediction")
#: What `gap_explained` can take apart.
EXPLAINABLE = (*_RATES, *_MEANS)
#: Of these, what needs no truth.
WITHOUT_TRUTH = frozenset({"selection_rate", "mean_prediction"})
#: Of these, what is about numbers and not about decisions.
ABOUT_NUMBERS = frozenset(_MEANS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """One number a row, and the rows that have one."""

    values: Array
    counted: npt.NDArray[np.bool_]
    counted_are: str
    is_rate: bool


def outcomes(
    metric: str,
    y_true: npt.ArrayLike | None,
    y_pred: npt.ArrayLike,
    favorable: Label,
    labels: Sequence[Label] | None,
) -> Outcomes:
    """Return the values whose mean by group is `metric`.

    Raises
    ------
    InputError
        For an unknown metric, a missing truth, or labels that are none.
    """
    if metric not in EXPLAINABLE:
        raise InputError(
            f"there is no metric {metric!r} whose gap can be taken apart",
            hint=nearest(metric, list(EXPLAINABLE)),
        )
    if y_true is None and metric not in WITHOUT_TRUTH:
        raise InputError(f"{metric} compares with the truth: pass y_true")
    if metric in ABOUT_NUMBERS:
        return _means(metric, y_true, y_pred)
    truth, decision, right = _labels(y_true, y_pred, favorable, labels)
    every = np.ones(decision.size, dtype=bool)
    values, counted = {
        "accuracy": (right, every),
        "false_negative_rate": (~decision, truth),
        "false_positive_rate": (decision, ~truth),
        "precision": (truth, decision),
        "selection_rate": (decision, every),
        "true_negative_rate": (~decision, ~truth),
        "true_positive_rate": (decision, truth),
    }[metric]
    return Outcomes(
        values=values.astype(np.float64), counted=counted, counted_are=_RATES[metric], is_rate=True
    )


def _means(metric: str, y_true: npt.ArrayLike | None, y_pred: npt.ArrayLike) -> Outcomes:
    values = score_column(y_pred, name="y_pred")
    if metric != "mean_prediction" and y_true is not None:
        truth = score_column(y_true, name="y_true")
        same_length(y_true=truth.size, y_pred=values.size)
        values = values - truth
        if metric == "mean_absolute_error":
            values = np.abs(values)
    every = np.ones(values.size, dtype=bool)
    return Outcomes(values=values, counted=every, counted_are="rows", is_rate=False)


def _labels(
    y_true: npt.ArrayLike | None, y_pred: npt.ArrayLike, favorable: Label, labels: Sequence[Label] | None
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    predicted = label_column(y_pred, name="y_pred")
    truth = predicted if y_true is None else label_column(y_true, name="y_true")
    same_length(y_true=truth.codes.size, y_pred=predicted.codes.size)
    if not truth.codes.size:
        nothing = np.zeros(0, dtype=bool)
        return nothing, nothing, nothing
    classes = classes_of(truth, positive=favorable, labels=labels, name="favorable_label")
    if y_true is None and labels is None and len(classes) > 2:
        raise InputError(f"y_pred holds {named(classes)}", hint="name all labels with labels=[...]")
    true_codes, codes = codes_into(truth, classes, name="y_true"), codes_into(predicted, classes)
    chosen = classes.index(favorable)
    return true_codes == chosen, codes == chosen, true_codes == codes


def grouped(values: npt.ArrayLike, name: str, edges: Bins | None) -> Membership:
    """Return the group of each row; with `edges` the band of a number, as `groups.groupings` names it.

    Raises
    ------
    InputError
        If the edges do not rise, the column is not made of numbers, or rows belong to several groups.
    """
    if edges is None:
        return membership(values, name)
    column = as_column(values, name=name)
    [found] = groupings({name: column}, len(column), bins={name: edges})
    if found.codes is None:
        raise InputError("holds several values in a cell", where=name)
    names = tuple(found.name(group) for group in range(len(found.labels)))
    return Membership(attribute=name, names=names, codes=found.codes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strata:
    """The joint values of the stated factors: a code for each row, and the name of each code."""

    codes: Codes
    names: tuple[str, ...]


def strata_of(factors: Sequence[Membership]) -> Strata:
    """Return the strata that occur, of all combinations of the factors' values."""
    fused = np.zeros(factors[0].codes.size, dtype=np.int64)
    size = 1
    for factor in factors:
        size *= max(len(factor.names), 1)
        if size >= 1 << 62:
            raise InputError(f"{len(factors)} factors make too many strata", hint="state fewer of them")
        fused = fused * max(len(factor.names), 1) + factor.codes
    found, codes = np.unique(fused, return_inverse=True)
    names = []
    for code in found.tolist():
        parts, rest = [], code
        for factor in reversed(factors):
            rest, value = divmod(rest, max(len(factor.names), 1))
            parts.append(factor.label(value))
        names.append(" & ".join(reversed(parts)))
    return Strata(codes=codes.ravel().astype(np.intp), names=tuple(names))
