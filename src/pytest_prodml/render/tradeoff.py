"""The series of `ml_fairness.tradeoff` -> curves of the gap and of performance, over one axis."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TypeAlias

from pytest_prodml.records import JsonValue
from pytest_prodml.render.drawing import (
    MOST_POINTS,
    RIGHT,
    STYLES,
    WIDTH,
    Linear,
    bottom_axis,
    coordinate,
    curve,
    cut,
    finite,
    line,
    side_title,
    text_mark,
)
from pytest_prodml.render.inert import inert, one_line
from pytest_prodml.render.model import Chart, Mark
from pytest_prodml.render.numbers import plain

_FIRST_X, _TOP, _HEIGHT, _BETWEEN = 52, 24, 130, 18
#: Threshold, value, and the band where it has two ends.
_Row: TypeAlias = tuple[float, float, float | None, float | None]


def tradeoff(series: JsonValue) -> Chart | None:
    """Draw gap and performance by threshold; points where either is undefined are left out of its curve."""
    if not isinstance(series, dict):
        return None
    gaps = _rows(series, "y", "lower", "upper")
    others = _rows(series, "performance", "performance_lower", "performance_upper")
    if gaps is None or others is None:
        return None
    xs = [row[0] for row in (*gaps, *others)]
    if min(xs) == max(xs):
        return None
    across = Linear(min(xs), max(xs), _FIRST_X, RIGHT)
    names = [_name(series, key) for key in ("attribute", "metric", "performance_metric")]
    marks: list[Mark] = []
    top: float = _TOP
    for rows, title in ((gaps, "largest gap"), (others, names[2])):
        marks += _panel(rows, across, top, title)
        top += _HEIGHT + _BETWEEN
    bottom = top - _BETWEEN
    current = finite(series.get("threshold"))
    told = ""
    if current is not None and across.low <= current <= across.high:
        x = across(current)
        label = f"in use: {plain(float(f'{current:.4g}'))}"
        marks.append(line(x, _TOP - 4, x, bottom, "guide"))
        marks.append(text_mark(x, 14, label, "soft", anchor="end" if x > WIDTH / 2 else "start"))
        told = f" The dashed line is the threshold in use, {plain(float(f'{current:.4g}'))}."
    marks += bottom_axis(across, bottom, "threshold")
    return Chart(
        title=f"Explanation: gap by {names[0]} against performance",
        description=f"{names[1]} by {names[0]} above, {names[2]} below, over decision thresholds.{told} The "
        "bands hold each point by itself. No verdict: a threshold that is picked by these rows has to be "
        "judged on others.",
        width=WIDTH,
        height=round(bottom + 40),
        marks=tuple(marks),
    )


def _name(series: Mapping[str, JsonValue], key: str) -> str:
    return one_line(inert(str(series.get(key, "")).replace("_", " "), limit=80), 40)


def _panel(rows: list[_Row], across: Linear, top: float, title: str) -> list[Mark]:
    numbers = [number for row in rows for number in row[1:] if number is not None]
    low, high = min(numbers), max(numbers)
    pad = (high - low) * 0.06 or 0.05
    up = Linear(low - pad, high + pad, top + _HEIGHT, top)
    marks: list[Mark] = []
    for tick in up.ticks():
        marks += [
            line(across.start, up(tick), across.end, up(tick), "grid"),
            text_mark(across.start - 6, up(tick) + 4, plain(tick), "soft", anchor="end"),
        ]
    marks.append(line(across.start, up.start, across.start, up.end, "axis"))
    banded = [
        (across(x), up(lower), up(upper))
        for x, _, lower, upper in rows
        if lower is not None and upper is not None
    ]
    if len(banded) > 1:
        edge = [(x, high) for x, _, high in banded] + [(x, low) for x, low, _ in reversed(banded)]
        points = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in edge)
        marks.append(Mark(tag="polygon", attributes=(("points", points), *STYLES["band"]), role="band"))
    marks.append(curve([(across(x), up(y)) for x, y, _, _ in rows]))
    marks.append(side_title(cut(title, _HEIGHT), top + _HEIGHT / 2))
    return marks


def _rows(series: Mapping[str, JsonValue], value: str, lower: str, upper: str) -> list[_Row] | None:
    columns = [series.get(name) for name in ("x", value, lower, upper)]
    lists = [column for column in columns if isinstance(column, list)]
    if len(lists) < 4 or len({len(column) for column in lists}) > 1 or len(lists[0]) > 2 * MOST_POINTS:
        return None
    rows: list[_Row] = []
    for cells in zip(*lists, strict=True):
        x, y, low, high = (finite(cell) for cell in cells)
        if x is None:
            return None
        if y is not None:
            rows.append((x, y, low, high))
    if len(rows) < 2 or any(later[0] < earlier[0] for earlier, later in itertools.pairwise(rows)):
        return None
    return rows
