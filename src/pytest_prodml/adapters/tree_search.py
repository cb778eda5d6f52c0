"""Exact search in tree ensembles by dtai-veritas: the largest and smallest output within a box.

Devos, Meert, Davis (2021, versatile verification of tree ensembles). The conversion of a model is not
believed: its outputs are compared with the model's own on the rows at hand, up to one factor and one shift.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.errors import InputError

Array = npt.NDArray[np.float64]
#: How far converted outputs may be from the model's own, as a share of their spread.
_CLOSE = 1e-5
_STEPS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trees:
    """A converted ensemble. The model's raw output is ``factor * (output of the trees) + shift``."""

    ensemble: Any
    factor: float
    shift: float

    def raw(self, rows: Array) -> Array:
        """Return the model's raw output as the converted trees have it."""
        return np.asarray(self.factor * np.asarray(self.ensemble.eval(rows)).reshape(len(rows)) + self.shift)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extreme:
    """The largest (or smallest) raw output in a box: what was reached, what is not exceeded, and where."""

    reached: float
    bound: float
    example: Array | None


def raw_outputs(model: Any, rows: Array) -> tuple[Array, bool]:  # noqa: ANN401 - a model of either library
    """Return a binary classifier's raw outputs, and whether they are log-odds (else shares of votes).

    Raises
    ------
    InputError
        If it is no binary classifier of xgboost, or of scikit-learn with trees.
    """
    kind = type(model).__module__.partition(".")[0]
    if kind == "xgboost" and hasattr(model, "predict_proba"):
        return np.asarray(model.predict(rows, output_margin=True), dtype=np.float64).reshape(len(rows), -1)[
            :, 0
        ], True
    if kind == "sklearn" and hasattr(model, "decision_function"):
        return _first(model.decision_function(rows), len(rows)), True
    if kind == "sklearn" and hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(rows), dtype=np.float64)[:, -1], False
    raise InputError(
        f"a {type(model).__name__} is not searched",
        where="model",
        hint="give a binary classifier of xgboost, or a forest or gradient boosting of scikit-learn",
    )


def _first(outputs: object, n: int) -> Array:
    return np.asarray(outputs, dtype=np.float64).reshape(n, -1)[:, 0]


def trees_of(model: Any, rows: Array) -> Trees:  # noqa: ANN401 - a model of either library
    """Convert an ensemble, and compare it with the model on rows.

    Raises
    ------
    InputError
        If it can not be converted, or answers otherwise than the model.
    MissingDependencyError
        Without dtai-veritas.
    """
    veritas = require("veritas", extra="trees")
    own, _ = raw_outputs(model, rows)
    if len(getattr(model, "classes_", (0, 1))) != 2:
        raise InputError(
            "has more than two classes", where=type(model).__name__, hint="search one against the rest"
        )
    try:
        ensemble = veritas.get_addtree(model, silent=True)
        converted = np.asarray(ensemble.eval(rows), dtype=np.float64)
    except Exception as error:  # noqa: BLE001 - whatever its converters raise
        raise InputError(
            f"veritas can not convert it: {type(error).__name__}: {' '.join(str(error).split())[:200]}",
            where=type(model).__name__,
        ) from None
    if converted.size != len(rows):
        raise InputError("has more than one output", where=type(model).__name__)
    converted = converted.reshape(len(rows))
    spread = float(np.ptp(converted))
    if spread == 0:
        raise InputError("answers every row alike, so nothing can be compared", where=type(model).__name__)
    factor, shift = np.polyfit(converted, own, 1)
    apart = float(np.max(np.abs(factor * converted + shift - own)))
    if not (factor > 0 and apart <= _CLOSE * max(float(np.ptp(own)), 1e-12)):
        raise InputError(
            f"the converted trees answer otherwise than the model, by up to {apart:.3g}",
            where=type(model).__name__,
            hint="missing values, categories or another objective are not converted",
        )
    return Trees(ensemble=ensemble, factor=float(factor), shift=float(shift))


def extreme(trees: Trees, row: Array, low: Array, high: Array, *, largest: bool, seconds: float) -> Extreme:
    """Search the largest or smallest raw output of rows between `low` and `high`.

    Parameters
    ----------
    row, low, high : array, shape (d,)
        The row, and the box around it, ends included.
    largest : bool
        Which of the two.
    seconds : float
        When to stop; the bound then is not reached.
    """
    veritas = require("veritas", extra="trees")
    heuristic = veritas.HeuristicType
    config = veritas.Config(heuristic.MAX_OUTPUT if largest else heuristic.MIN_OUTPUT)
    config.stop_when_optimal = True
    # Both libraries compare single precision: the box holds exactly the numbers of that kind up to its ends.
    low, high = (edge.astype(np.float32).astype(np.float64) for edge in (low, high))
    above = np.nextafter(high.astype(np.float32), np.float32(np.inf)).astype(np.float64)
    box = [veritas.Interval(float(a), float(b)) for a, b in zip(low, above, strict=True)]
    search = config.get_search(trees.ensemble, box)
    search.step_for(seconds, _STEPS)
    bounds = search.current_bounds()
    outer = bounds.best if search.is_optimal() else bounds.top_of_open
    example = None
    reached = -np.inf if largest else np.inf
    if search.num_solutions():
        solution = search.get_solution(0)
        reached = trees.factor * solution.output + trees.shift
        example = row.copy()
        for feature, part in solution.box().items():
            example[feature] = _nearest(float(row[feature]), float(part.lo), float(part.hi))
        example = np.clip(example, low, high)
    return Extreme(reached=reached, bound=trees.factor * outer + trees.shift, example=example)


def _nearest(value: float, low: float, high: float) -> float:
    """Return the number of single precision nearest to a value from `low` on and below `high`."""
    if low <= value < high:
        return value
    edge = np.float32(low if value < low else high)
    if value < low:
        return float(edge if float(edge) >= low else np.nextafter(edge, np.float32(np.inf)))
    return float(edge if float(edge) < high else np.nextafter(edge, np.float32(-np.inf)))
