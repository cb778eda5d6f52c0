"""A decision threshold and what errors cost -> evidence that it is affordable, and near the best one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.evidence import evidence, measurement
from pytest_prodml.checks.labels import nearest
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue
from pytest_prodml.statistics.costs import (
    CostMatrix,
    candidate_thresholds,
    cost_curve,
    expected_cost,
    threshold_regret,
)
from pytest_prodml.statistics.design import share_of_weight
from pytest_prodml.statistics.estimate import checked_level

Costs: TypeAlias = Mapping[str, float] | npt.ArrayLike

COST = "expected_cost"
REGRET = "threshold_regret"
_CELLS = ("true_negative", "false_positive", "false_negative", "true_positive")
#: The tolerated regret when none is given, as a share of the widest difference between two costs.
_TOLERANCE = 0.01


def threshold_is_right(
    cost_matrix: Costs,
    sample: Sample,
    *,
    threshold: float | None = None,
    at_most: float | None = None,
    tolerance: float | None = None,
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show what decisions at a threshold cost, and that no other threshold would be much cheaper.

    Measures ``expected_cost`` per row, and ``threshold_regret``: what the best threshold would save per row,
    chosen on one half of the rows and judged on the other, so that luck does not count.

    Parameters
    ----------
    cost_matrix : mapping or array-like of shape (2, 2)
        What a row costs: ``{"false_positive": 1, "false_negative": 5}`` (others are 0), or a table in
        scikit-learn's order of a confusion matrix, [[true negative, false positive], [false negative, true
        positive]]. Negative numbers are gains.
    sample : Sample
        True labels of two classes and scores of the positive one.
    threshold : float, optional
        A row is decided positive where its score reaches it. Default: that of `sample`.
    at_most : float, optional
        What a row may cost on average.
    tolerance : float, optional
        How much cheaper per row another threshold may be; default 1 % of the widest difference between two
        costs.
    gate_id, confidence_level, seed
        Common to all checks. `seed` draws the halves.

    Raises
    ------
    InputError
        If the costs are not four finite numbers or do not depend on the decision, there is no threshold, or
        for labels and scores that can not be judged.
    """
    checked_level(confidence_level)
    costs = costs_of(cost_matrix)
    point = _threshold(sample.threshold if threshold is None else threshold)
    is_positive, scores = sample.is_positive(COST), sample.scores(COST)
    criteria = [*_cost_limit(at_most), _regret_limit(tolerance, costs)]
    decided = scores >= point
    candidates = candidate_thresholds(scores)
    estimate = expected_cost(is_positive, decided, costs, sample.design)
    regret, best = threshold_regret(
        is_positive,
        scores,
        costs,
        sample.design,
        threshold=point,
        thresholds=candidates,
        seed=seed,
    )
    measured = [
        measurement(
            name,
            found,
            criteria=[criterion for criterion in criteria if criterion.metric == name],
            n_samples=sample.n_rows,
            confidence_level=confidence_level,
            higher_is_better=False,
            unit="cost",
            note=note,
        )
        for name, found, note in (
            (COST, estimate, None),
            (REGRET, regret, "what the best threshold would save per row"),
        )
    ]
    details = _counts(is_positive, decided, share_of_weight(sample.design, sample.n_rows))
    details |= {"threshold": point, "best_threshold": best, "costs": _as_details(costs)}
    if candidates.size:
        curve = cost_curve(
            is_positive,
            scores,
            costs,
            sample.design,
            thresholds=candidates,
            confidence_level=confidence_level,
        )
        details["cost_at_best_threshold"] = float(curve.cost[curve.best])
        known = np.isfinite(curve.lower) & np.isfinite(curve.upper)
        details["cost"] = {
            "x": curve.thresholds[known].tolist(),
            "y": curve.cost[known].tolist(),
            "lower": curve.lower[known].tolist(),
            "upper": curve.upper[known].tolist(),
            "threshold": point,
        }
    return evidence(gate_id, measured, criteria, seed=seed, details=details)


def costs_of(cost_matrix: Costs) -> CostMatrix:
    """Read a cost matrix; see `threshold_is_right`.

    Raises
    ------
    InputError
        For an unknown cell, a number that is not finite, another shape, or costs under which the decision
        makes no difference.
    """
    if isinstance(cost_matrix, Mapping):
        unknown = [name for name in cost_matrix if name not in _CELLS]
        if unknown:
            raise InputError(
                f"there is no cell {unknown[0]!r}", where="cost_matrix", hint=nearest(str(unknown[0]), _CELLS)
            )
        values: list[Any] = [cost_matrix.get(name, 0.0) for name in _CELLS]
    else:
        table = np.asarray(cost_matrix, dtype=object)
        if table.shape != (2, 2):
            raise InputError(
                f"must be of shape (2, 2), got {table.shape}",
                where="cost_matrix",
                hint="[[true negative, false positive], [false negative, true positive]]",
            )
        values = list(table.ravel())
    numbers = []
    for name, value in zip(_CELLS, values, strict=True):
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float, np.number))
            or not math.isfinite(value)
        ):
            raise InputError(f"{name} must be a finite number, got {value!r}", where="cost_matrix")
        numbers.append(float(value))
    costs = CostMatrix(**dict(zip(_CELLS, numbers, strict=True)))
    if costs.false_positive == costs.true_negative and costs.false_negative == costs.true_positive:
        raise InputError(
            "every decision costs the same, so no threshold is better than another", where="cost_matrix"
        )
    if costs.false_positive < costs.true_negative or costs.false_negative < costs.true_positive:
        raise InputError(
            "an error costs less than the right decision",
            where="cost_matrix",
            hint="rows are the truth, columns the decision; the negative class comes first",
        )
    return costs


def _threshold(threshold: float | None) -> float:
    if threshold is None:
        raise InputError("a cost needs a threshold: pass threshold=0.5, for example")
    if not math.isfinite(threshold):
        raise InputError(f"the threshold must be a finite number, got {threshold!r}")
    return float(threshold)


def _cost_limit(at_most: float | None) -> tuple[Criterion, ...]:
    if at_most is None:
        return ()
    if not math.isfinite(at_most):
        raise InputError(f"at_most must be a finite number, got {at_most!r}")
    return (Criterion(metric=COST, comparison=Comparison.AT_MOST, limit=float(at_most)),)


def _regret_limit(tolerance: float | None, costs: CostMatrix) -> Criterion:
    limit = _TOLERANCE * costs.span if tolerance is None else tolerance
    if not (math.isfinite(limit) and limit >= 0):
        raise InputError(f"tolerance must be a number from 0 on, got {tolerance!r}")
    return Criterion(metric=REGRET, comparison=Comparison.AT_MOST, limit=float(limit))


def _counts(
    is_positive: npt.NDArray[np.bool_], decided: npt.NDArray[np.bool_], weight: npt.NDArray[np.float64]
) -> dict[str, JsonValue]:
    code = 2 * is_positive.astype(np.intp) + decided
    counts = np.bincount(code, weights=weight, minlength=4)
    return {"confusion": {f"{name}s": float(count) for name, count in zip(_CELLS, counts, strict=True)}}


def _as_details(costs: CostMatrix) -> dict[str, JsonValue]:
    return {name: getattr(costs, name) for name in _CELLS}
