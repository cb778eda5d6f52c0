"""What was found at each severity -> the curve, and the inputs that flip first, as a reader is shown them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.behavior.batches import Batch, is_frame, take
from pytest_prodml.checks.behavior.corruptions.columns import left_out
from pytest_prodml.checks.behavior.corruptions.kinds import ROWS
from pytest_prodml.checks.behavior.robust_answers import Given, Mask, Model
from pytest_prodml.checks.behavior.robust_request import Asked
from pytest_prodml.checks.counts import plain
from pytest_prodml.records import JsonValue
from pytest_prodml.statistics.estimate import Bounds

MOST_EXAMPLES = 5
MOST_COLUMNS = 50
_MOST_CELLS = 5
_BEFORE, _SHOWN = 20, 60
_MOST_PROBLEMS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point of the curve."""

    severity: float
    rate: float
    bounds: Bounds
    changed: int
    failed: int
    unasked: int
    metric: float | None = None
    drop: float | None = None
    drop_bounds: Bounds = (None, None)


def described(
    asked: Asked, batch: Batch, columns: Sequence[Any] | None, ignore: Sequence[Any]
) -> dict[str, JsonValue]:
    """Return what was done to the inputs, and which columns were left alone without being named."""
    told: dict[str, JsonValue] = {
        "corruption": asked.corruption.name,
        "severity_is": asked.corruption.unit,
        "drawn": "one corruption of each input at each severity, all from one seed",
    }
    if asked.bound.options:
        told["options"] = {name: _brief(value) for name, value in asked.bound.options.items()}
    if asked.corruption.kind == ROWS and columns is None and is_frame(batch):
        names = [str(name) for name in ignore if name in batch.columns]
        kept = [*names, *(name for name in left_out(batch, ignore) if name not in names)]
        if kept:
            told["columns_left_alone"] = list(kept[:MOST_COLUMNS])
    return told


def compared(model: Model) -> dict[str, JsonValue]:
    """Return how answers were compared."""
    if model.tolerance is not None:
        return {"tolerance": model.tolerance}
    return {
        "decided_by": "the model's own label" if model.threshold is None else f"score >= {model.threshold:g}"
    }


def _brief(value: Any) -> JsonValue:  # noqa: ANN401 - whatever a corruption takes
    if isinstance(value, (str, int, float)):
        return plain(value)
    return f"{len(value):,} entries" if hasattr(value, "__len__") else type(value).__name__


def curve(points: Sequence[Point], *, metric: str | None) -> dict[str, JsonValue]:
    """Return the curve as a series that can be drawn, and as a table."""
    series: dict[str, list[JsonValue]] = {
        "x": [point.severity for point in points],
        "y": [point.rate for point in points],
    }
    if all(None not in point.bounds for point in points):
        series["lower"] = [point.bounds[0] for point in points]
        series["upper"] = [point.bounds[1] for point in points]
    rows: list[JsonValue] = []
    for point in points:
        row: dict[str, JsonValue] = {
            "severity": point.severity,
            "changed": point.changed,
            "flipped": point.rate,
            "lower": point.bounds[0],
            "upper": point.bounds[1],
            "without_answer": point.failed,
        }
        if metric is not None:
            row |= {metric: point.metric, "drop": point.drop, "drop_upper": point.drop_bounds[1]}
        rows.append(row)
    told: dict[str, JsonValue] = {"robustness": dict(series), "curve": rows}
    if unasked := sum(point.unasked for point in points):
        told["counted_as_failed_without_being_asked_alone"] = unasked
    return told


def example(
    batch: Batch, made: Batch, row: int, before: Given, after: Given, *, decided: bool
) -> dict[str, JsonValue]:
    """Return one input that is answered otherwise: what was changed, and both answers."""
    label = batch.index[row] if is_frame(batch) else row
    told: dict[str, JsonValue] = {"row": plain(label), **_change(take(batch, [row]), take(made, [row]))}
    if decided and before.decisions is not None:
        told["decision before"] = plain(before.decisions[row])
    told["score before"] = _score(before.scores[row])
    if after.failed[row]:
        told["problem"] = plain(after.problems.get(row, "no answer"))
        return told
    if decided and after.decisions is not None:
        told["decision after"] = plain(after.decisions[row])
    told["score after"] = _score(after.scores[row])
    return told


def problems(given: Given) -> list[str]:
    """Return the first different problems of inputs without an answer."""
    return list(dict.fromkeys(given.problems.values()))[:_MOST_PROBLEMS]


def first_rows(flips: Mask, known: Mapping[int, object]) -> list[int]:
    """Return the rows to show of those that flip at a severity, as far as examples are lacking."""
    lacking = MOST_EXAMPLES - len(known)
    return [int(row) for row in np.flatnonzero(flips)[:lacking]] if lacking > 0 else []


def _change(before: Batch, after: Batch) -> dict[str, JsonValue]:
    if is_frame(before):
        return {"changed": _cells(before, after)}
    if isinstance(before, np.ndarray) and before.ndim > 1:
        return _moved(before[0], after[0])
    first, second = before[0], after[0]
    if isinstance(first, np.ndarray):
        return _moved(first, np.asarray(second))
    if isinstance(first, str) and isinstance(second, str):
        start = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), len(first))
        cut = max(start - _BEFORE, 0)
        return {"before": _excerpt(first, cut), "after": _excerpt(second, cut)}
    return {"before": plain(first), "after": plain(second)}


def _cells(before: Batch, after: Batch) -> str:
    cells = []
    for name in before.columns:
        old, new = before[name].iloc[0], after[name].iloc[0]
        if _differs(old, new):
            cells.append(f"{plain(name)}: {_cell(old)} -> {_cell(new)}")
    more = f", and {len(cells) - _MOST_CELLS} more" if len(cells) > _MOST_CELLS else ""
    return ", ".join(cells[:_MOST_CELLS]) + more


def _cell(value: Any) -> str:  # noqa: ANN401 - any cell
    if _is_missing(value):
        return "empty"
    told = plain(value)
    return f"{told:.6g}" if isinstance(told, float) else repr(told) if isinstance(told, str) else str(told)


def _is_missing(value: Any) -> bool:  # noqa: ANN401 - any cell
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _differs(old: Any, new: Any) -> bool:  # noqa: ANN401 - any cells
    if _is_missing(old) or _is_missing(new):
        return _is_missing(old) != _is_missing(new)
    try:
        return bool(old != new)
    except (TypeError, ValueError):
        return str(old) != str(new)


def _moved(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> dict[str, JsonValue]:
    if before.shape != after.shape:
        return {"shape before": str(before.shape), "shape after": str(after.shape)}
    apart = np.abs(after.astype(np.float64) - before.astype(np.float64))
    known = apart[np.isfinite(apart)]
    return {
        "mean change": plain(float(known.mean())) if known.size else None,
        "largest change": plain(float(known.max())) if known.size else None,
        "values changed": int((apart != 0).sum()),
    }


def _excerpt(text: str, start: int) -> str:
    shown = plain(text[start : start + _SHOWN])
    return f"{'...' if start else ''}{shown}{'...' if len(text) > start + _SHOWN else ''}"


def _score(value: Any) -> JsonValue:  # noqa: ANN401 - a number or one for each class
    scores = np.atleast_1d(value)
    return (
        plain(scores[0]) if len(scores) == 1 else ", ".join(f"{score:.4g}" for score in scores[:_MOST_CELLS])
    )
