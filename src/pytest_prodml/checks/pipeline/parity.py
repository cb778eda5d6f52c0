"""Two ways to the same answer -> Evidence that they agree: trained and exported model, batch and service.

Differences over the rows at hand are facts and judged as such; how many other rows may differ is an estimate
and told beside them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, Scores, decide, finite_scores, subjects_of
from pytest_prodml.adapters.tables import as_frame, materials_of
from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.counts import check_count, check_share, exact, plain, share
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue

_FLIPS = "decision_flips"
_DIFFERENCE = "max_abs_difference"
_DIFFERING = "differing_share"
_MISMATCHES = "mismatches"
_MOST_EXAMPLES = 5
_MOST_FLIPS = 20


def parity(
    reference: Predictor,
    candidate: Predictor,
    data: Any,  # noqa: ANN401 - a Dataset or a frame
    *,
    gate_id: str,
    atol: float = 1e-5,
    at_most_flips: float = 0,
    threshold: float | None = None,
    tie_margin: float | None = None,
    differing_at_most: float | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that two models give the same scores and decisions.

    Measures, exactly over these rows, ``max_abs_difference`` of the scores and ``decision_flips``; and
    ``differing_share``: the share of rows that differ by more than `atol`, with bounds for other rows of the
    kind.

    Parameters
    ----------
    reference : Predictor
        The model that is right by definition, for example the trained one. A material of the evidence.
    candidate : Predictor
        The model that shall serve. The subject of the evidence.
    data : Dataset or frame
        Rows to compare on.
    atol : float
        How far two scores of one row may lie apart.
    at_most_flips : float
        How many rows may get another decision, ties apart.
    threshold : float, optional
        The score from which the decision is positive; None takes the models' own labels.
    tie_margin : float, optional
        A flip is a tie, and not counted, if both scores lie this close to where the decision changes; default
        `atol`. 32-bit and 64-bit sums may fall on two sides of a threshold that they touch.
    differing_at_most : float, optional
        The share of rows that may differ by more than `atol`, proven for other rows of the kind: for a form
        with fewer bits. Without it no row may.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If the table is empty, a score not finite, or the models have different numbers of classes.
    """
    del seed
    check_count(atol, "atol")
    check_count(at_most_flips, "at_most_flips")
    margin = atol if tie_margin is None else tie_margin
    check_count(margin, "tie_margin")
    if differing_at_most is not None:
        check_share(differing_at_most, "differing_at_most")
    frame = as_frame(data)
    expected, actual = finite_scores(reference, frame), finite_scores(candidate, frame)
    if expected.shape != actual.shape:
        raise InputError(
            f"scores of shape {expected.shape} and {actual.shape} can not be compared",
            where=f"{reference.description} and {candidate.description}",
        )
    differences = np.abs(expected - actual).reshape(len(frame), -1).max(axis=1)
    flips = np.asarray(decide(reference, frame, threshold) != decide(candidate, frame, threshold))
    ties = flips & _is_tie(expected, threshold, margin) & _is_tie(actual, threshold, margin)
    n_flips, n_ties = int((flips & ~ties).sum()), int(ties.sum())
    worst = [
        row for row in np.argsort(-differences, kind="stable")[:_MOST_EXAMPLES] if differences[row] > atol
    ]
    details: dict[str, JsonValue] = {
        "reference": reference.description,
        "candidate": candidate.description,
        "ties": n_ties,
        "tie_margin": margin,
        "mean_abs_difference": float(differences.mean()),
    }
    flipped = np.flatnonzero(flips & ~ties)[:_MOST_FLIPS]
    if len(flipped):
        details["flipped_rows"] = [
            {
                "row": plain(frame.index[row]),
                "reference score": _shown(expected[row]),
                "candidate score": _shown(actual[row]),
            }
            for row in flipped
        ]
    if worst:
        details["largest_differences"] = [
            {
                "row": plain(frame.index[row]),
                "reference score": _shown(expected[row]),
                "candidate score": _shown(actual[row]),
                "other decision": bool(flips[row]),
            }
            for row in worst
        ]
    return Evidence(
        gate_id=gate_id,
        measurements=(
            exact(
                _FLIPS,
                n_flips,
                len(frame),
                unit="rows",
                note=f"{n_ties} ties not counted" if n_ties else None,
            ),
            exact(_DIFFERENCE, float(differences.max()), len(frame), method="maximum over the rows"),
            share(
                _DIFFERING,
                int((differences > atol).sum()),
                len(frame),
                confidence_level=confidence_level,
                limit=differing_at_most,
                note=f"rows whose scores differ by more than {atol:g}",
            ),
        ),
        criteria=(
            limited(_FLIPS, at_most_flips),
            limited(_DIFFERENCE, atol)
            if differing_at_most is None
            else limited(_DIFFERING, differing_at_most),
        ),
        subjects=subjects_of(candidate),
        materials=(*materials_of(data), *subjects_of(reference)),
        details=details,
    )


def agrees(
    expected: npt.ArrayLike,
    actual: npt.ArrayLike,
    *,
    gate_id: str,
    atol: float = 1e-6,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that two arrays hold the same answers, for example of the model and of the service.

    Measures, exactly over these rows, ``max_abs_difference`` for numbers or ``mismatches`` for anything else;
    and, without a limit, ``differing_share`` with bounds for other rows of the kind.

    Parameters
    ----------
    expected, actual : array
        One answer (or vector of answers) for each row, in the same order.
    atol : float
        How far two numbers may lie apart. Labels have to be equal.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If there are no answers, the shapes differ, one side holds numbers and the other does not, or a
        number is not finite or a label missing.
    """
    del seed
    check_count(atol, "atol")
    first, second = np.asarray(expected), np.asarray(actual)
    if first.shape != second.shape or first.ndim == 0 or first.size == 0:
        raise InputError(
            f"answers of shape {first.shape} and {second.shape} can not be compared",
            hint="give one answer for each row, the same rows in the same order",
        )
    numeric = [np.issubdtype(side.dtype, np.number) for side in (first, second)]
    if numeric[0] != numeric[1]:
        raise InputError(f"answers of type {first.dtype} and {second.dtype} can not be compared")
    if all(numeric):
        return _numbers_agree(first, second, gate_id=gate_id, atol=atol, confidence_level=confidence_level)
    for side in (first, second):
        if any(value is None or value != value for value in side.ravel()):  # noqa: PLR0124 - NaN alone
            raise InputError("an answer is missing", hint="an answer that is missing agrees with nothing")
    differs = np.asarray(np.asarray(first != second).reshape(len(first), -1).any(axis=1))
    return _evidence_of(
        differs,
        gate_id=gate_id,
        confidence_level=confidence_level,
        metric=_MISMATCHES,
        value=int(differs.sum()),
        limit=0.0,
    )


def _numbers_agree(
    first: npt.NDArray[Any], second: npt.NDArray[Any], *, gate_id: str, atol: float, confidence_level: float
) -> Evidence:
    left, right = first.astype(np.float64), second.astype(np.float64)
    n_bad = int(np.count_nonzero(~(np.isfinite(left) & np.isfinite(right))))
    if n_bad:
        raise InputError(f"{n_bad:,} of {left.size:,} answers are not finite numbers")
    differences = np.abs(left - right).reshape(len(left), -1).max(axis=1)
    return _evidence_of(
        differences > atol,
        gate_id=gate_id,
        confidence_level=confidence_level,
        metric=_DIFFERENCE,
        value=float(differences.max()),
        limit=atol,
    )


def _evidence_of(
    differs: npt.NDArray[np.bool_],
    *,
    gate_id: str,
    confidence_level: float,
    metric: str,
    value: float,
    limit: float,
) -> Evidence:
    n_rows = len(differs)
    unit, method = ("rows", "exact count") if metric == _MISMATCHES else ("1", "maximum over the rows")
    positions: list[JsonValue] = [int(position) for position in np.flatnonzero(differs)[:_MOST_EXAMPLES]]
    return Evidence(
        gate_id=gate_id,
        measurements=(
            exact(metric, value, n_rows, unit=unit, method=method),
            share(
                _DIFFERING,
                int(differs.sum()),
                n_rows,
                confidence_level=confidence_level,
                note="rows whose answers differ",
            ),
        ),
        criteria=(limited(metric, limit),),
        details={"first_differing_positions": positions} if positions else {},
    )


def _is_tie(scores: Scores, threshold: float | None, margin: float) -> npt.NDArray[np.bool_]:
    """Tell where a decision hangs on less than `margin`."""
    if scores.ndim == 1:
        return np.abs(scores - (0.5 if threshold is None else threshold)) <= margin
    best = np.sort(scores, axis=1)
    return best[:, -1] - best[:, -2] <= margin


def _shown(scores: Any) -> JsonValue:  # noqa: ANN401 - a number or one for each class
    values = [plain(score) for score in np.atleast_1d(scores)]
    return values[0] if len(values) == 1 else values[:_MOST_EXAMPLES]
