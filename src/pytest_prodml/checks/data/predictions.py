"""A model's predictions -> Evidence that each is one that it can mean: a number in range, a known class.

All are exact counts over the predictions at hand: bounds equal the value, the level is 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.counts import exact, plain
from pytest_prodml.errors import InputError
from pytest_prodml.records import Criterion, Evidence, JsonValue, Measurement, Subject

Task: TypeAlias = Literal["labels", "scores", "probabilities", "regression"]
Answers: TypeAlias = Any

_METRIC = "prediction_violations"
_MOST_ROWS = 10
_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"probabilities": (0.0, 1.0), "scores": (-math.inf, math.inf), "regression": (-math.inf, math.inf)}
)


def predictions_conform(
    predictions: Answers,
    *,
    gate_id: str,
    task: Task,
    n_rows: int,
    classes: Sequence[object] | None = None,
    low: float | None = None,
    high: float | None = None,
    sum_to_one: bool | None = None,
    tolerance: float = 1e-6,
    may_be_constant: bool = False,
    subjects: tuple[Subject, ...] = (),
    materials: tuple[Subject, ...] = (),
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that predictions are what the task asks for.

    Measures ``prediction_violations``: for each rule, as group, the number of rows that break it, and without
    group the number of rows that break any. Each must be 0. Rules: ``one answer a row`` (counts the rows too
    many or too few), ``finite`` (no NaN, infinity or missing cell), ``in range``, ``known class``, ``sums to
    one``, ``not constant`` (all rows, where every one got the same answer: a model that no input moves).

    Parameters
    ----------
    predictions : array_like, shape (n,) or (n, k)
        Labels, or numbers.
    task : {"labels", "scores", "probabilities", "regression"}
        What the predictions are. Probabilities lie between 0 and 1, and those of several classes sum to one.
    n_rows : int
        How many inputs the model was given.
    classes : sequence, optional
        The labels that may be predicted (task "labels", which needs them), or the classes of the k columns.
    low, high : float, optional
        Where numbers must lie, ends included; default [0, 1] for probabilities and anywhere for others.
    sum_to_one : bool, optional
        Whether each row of k numbers sums to one; default for probabilities of two columns or more.
    tolerance : float
        How far a sum may be from one, and a number from its range.
    may_be_constant : bool
        Accept that all rows get the same answer.
    subjects, materials : tuple of Subject
        The model and the data behind the predictions.
    gate_id, confidence_level, seed
        Common to all checks; exact counts need neither level nor seed.

    Raises
    ------
    InputError
        If there are no predictions, an argument does not fit the task, or numbers are expected and something
        else was given.
    """
    del confidence_level
    _check(task, n_rows, classes, low, high, tolerance, sum_to_one=sum_to_one)
    if task == "labels":
        cells = _flat(predictions)
        bad = {"finite": _missing(cells), "known class": _unknown(cells, classes or ())}
        bad["known class"] &= ~bad["finite"]
        shown: npt.NDArray[Any] = cells
        constant = len({_key(cell) for cell in cells}) == 1
    else:
        numbers = _numbers(predictions)
        _check_columns(numbers, classes, sum_to_one=sum_to_one)
        first, last = _RANGES[task]
        edges = first if low is None else low, last if high is None else high
        bad = _broken_numbers(numbers, edges, tolerance)
        if sum_to_one or (sum_to_one is None and task == "probabilities" and numbers.shape[1] > 1):
            with np.errstate(over="ignore", invalid="ignore"):
                far = ~(np.abs(numbers.sum(axis=1) - 1) <= tolerance)
            bad["sums to one"] = far & ~bad["finite"]
        shown, constant = numbers, bool((numbers == numbers[:1]).all())
    n_answers = len(shown)
    wrong_length = abs(n_answers - n_rows)
    bad["not constant"] = np.full(n_answers, constant and n_answers > 1 and not may_be_constant)
    whole = np.any(list(bad.values()), axis=0)
    counts = {"one answer a row": wrong_length, **{name: int(rows.sum()) for name, rows in bad.items()}}
    measurements: list[Measurement] = []
    criteria: list[Criterion] = []
    for rule, count in counts.items():
        measurements.append(exact(_METRIC, count, max(n_rows, n_answers), group=rule))
        criteria.append(limited(_METRIC, 0, group=rule))
    measurements.append(exact(_METRIC, int(whole.sum()) + wrong_length, max(n_rows, n_answers)))
    criteria.append(limited(_METRIC, 0))
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measurements),
        criteria=tuple(criteria),
        subjects=subjects,
        materials=materials,
        seed=seed,
        details=_details(bad, shown, classes),
    )


def _check(
    task: str,
    n_rows: int,
    classes: Sequence[object] | None,
    low: float | None,
    high: float | None,
    tolerance: float,
    *,
    sum_to_one: bool | None,
) -> None:
    if task not in {"labels", *_RANGES}:
        raise InputError(
            f"there is no task {task!r}", where="task", hint=f"one of: labels, {', '.join(_RANGES)}"
        )
    if n_rows < 1:
        raise InputError("there are no rows, so nothing about predictions can be shown", where="n_rows")
    if task == "labels" and (classes is None or not len(classes)):
        raise InputError(
            "name the labels that may be predicted", where="classes", hint='classes=["no", "yes"]'
        )
    if task == "labels" and (low is not None or high is not None or sum_to_one):
        raise InputError("labels have no range and no sum", where="task", hint='task="scores"?')
    first, last = -math.inf if low is None else low, math.inf if high is None else high
    if not first <= last:
        raise InputError(f"no number lies between {low!r} and {high!r}", where="low, high")
    if not 0 <= tolerance < math.inf:
        raise InputError(f"must be a number from 0 on, got {tolerance!r}", where="tolerance")


def _check_columns(
    numbers: npt.NDArray[np.float64], classes: Sequence[object] | None, *, sum_to_one: bool | None
) -> None:
    columns = numbers.shape[1]
    if classes is not None and columns not in {len(classes), 1 if len(classes) == 2 else 0}:
        raise InputError(
            f"{columns} numbers a row were predicted for {len(classes)} classes",
            where="predictions",
            hint="one column for each class, or of two classes the score of the second",
        )
    if sum_to_one and columns == 1:
        raise InputError("one number a row has no sum", where="sum_to_one")


def _flat(predictions: Answers) -> npt.NDArray[np.object_]:
    given = np.asarray(predictions, dtype=object)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim != 1 or not len(given):
        raise InputError(
            f"predictions have the shape {given.shape}",
            where="predictions",
            hint="one label for each row: (n,)",
        )
    return given


def _numbers(predictions: Answers) -> npt.NDArray[np.float64]:
    try:
        given = np.asarray(predictions)
        numbers = None if _is_no_number(given) else np.array(_with_nan(given), dtype=np.float64)
    except (TypeError, ValueError):
        numbers = None
    if numbers is None:
        raise InputError(
            "predictions are no table of real numbers",
            where="predictions",
            hint='(n,) or (n, k); for labels say task="labels"',
        )
    if numbers.ndim not in {1, 2} or 0 in numbers.shape:
        raise InputError(
            f"predictions have the shape {numbers.shape}", where="predictions", hint="(n,) or (n, k) numbers"
        )
    return numbers.reshape(len(numbers), -1)


def _is_no_number(given: npt.NDArray[Any]) -> bool:
    texts = given.dtype == object and any(isinstance(cell, (str, bytes)) for cell in given.ravel())
    return texts or given.dtype.kind in "cSUmM"


def _with_nan(given: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the numbers with NaN for what is missing: such an answer is not a finite one."""
    if given.dtype != object:
        return given
    return np.where(_missing(given.ravel()).reshape(given.shape), math.nan, given)


def _missing(cells: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """Return where a cell is None, NaN, NaT or pandas' NA, none of which equals itself."""
    return np.array([not _is_same(cell) for cell in cells], dtype=bool)


def _is_same(cell: object) -> bool:
    if cell is None or (isinstance(cell, (float, np.floating)) and not math.isfinite(cell)):
        return False
    try:
        return bool(cell == cell)  # noqa: PLR0124 - NaT and the like
    except (TypeError, ValueError):
        return False


def _key(cell: object) -> tuple[bool, object]:
    """Return what makes labels one: 1, 1.0 and numpy's 1 are, True and "1" are others."""
    plain_cell = cell.item() if isinstance(cell, np.generic) else cell
    try:
        hash(plain_cell)
    except TypeError:
        plain_cell = repr(plain_cell)
    return isinstance(plain_cell, bool), plain_cell


def _unknown(cells: npt.NDArray[np.object_], classes: Sequence[object]) -> npt.NDArray[np.bool_]:
    known = {_key(item) for item in classes}
    return np.array([_key(cell) not in known for cell in cells], dtype=bool)


def _broken_numbers(
    numbers: npt.NDArray[np.float64], edges: tuple[float, float], tolerance: float
) -> dict[str, npt.NDArray[np.bool_]]:
    finite = np.isfinite(numbers)
    outside = finite & ((numbers < edges[0] - tolerance) | (numbers > edges[1] + tolerance))
    return {
        "finite": np.asarray(~finite.all(axis=1), dtype=np.bool_),
        "in range": np.asarray(outside.any(axis=1), dtype=np.bool_),
    }


def _details(
    bad: Mapping[str, npt.NDArray[np.bool_]],
    shown: npt.NDArray[Any],
    classes: Sequence[object] | None,
) -> dict[str, JsonValue]:
    rows: list[JsonValue] = [
        {"row": int(row), "rule": rule, "answer": plain(shown[row] if shown.ndim == 1 else str(shown[row]))}
        for rule, broken in bad.items()
        for row in np.flatnonzero(broken)[:_MOST_ROWS]
    ]
    details: dict[str, JsonValue] = {"failing_rows": rows} if rows else {}
    if classes is not None:
        details["classes"] = [plain(item) for item in list(classes)[:50]]
    return details
