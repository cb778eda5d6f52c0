"""Measurements against their limits, and latencies -> drawings; see `drawing` for how."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_prodml.records import JsonValue
from pytest_prodml.render.drawing import (
    LEFT,
    RIGHT,
    STYLES,
    WIDTH,
    Linear,
    Logarithmic,
    bottom_axis,
    coordinate,
    curve,
    cut,
    finite,
    frame,
    line,
    mark,
    points_of,
    side_title,
    steps,
    text_mark,
    text_width,
)
from pytest_prodml.render.inert import one_line
from pytest_prodml.render.model import Chart, Mark, Status
from pytest_prodml.render.numbers import Scale, scale_of

_ROW = 36.0
_MOST_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One row of a forest plot. `edges` are (limit, is at_least, as text)."""

    label: str
    shown: str
    value: float | None
    lower: float | None
    upper: float | None
    edges: tuple[tuple[float, bool, str], ...]
    status: Status


def forest(
    intervals: Sequence[Interval], *, scale: Scale, axis: str, title: str, description: str
) -> Chart | None:
    """Draw measurements with their bounds against their limits.

    A row is a line of text and, below it, a band with the interval; the limit and the side on which it is
    missed are drawn in the band only, so that no line crosses a text. A circle passes, a diamond fails, an
    open square is inconclusive, a small circle has no limit. None when there is nothing to see.
    """
    rows = intervals[:_MOST_ROWS]
    numbers = [number for row in rows for number in (row.value, row.lower, row.upper) if number is not None]
    numbers += [edge for row in rows for edge, _, _ in row.edges]
    numbers = [number / scale.factor for number in numbers if math.isfinite(number)]
    if not any(row.value is not None for row in rows) or len(set(numbers)) < 2:
        return None
    low, high = min(numbers), max(numbers)
    pad = (high - low) * 0.06
    place = Linear(low - pad, high + pad, LEFT, RIGHT)
    bottom = 4 + _ROW * len(rows)
    marks = [
        mark for index, row in enumerate(rows) for mark in _forest_row(row, 4 + _ROW * index, place, scale)
    ]
    marks += bottom_axis(place, bottom + 2, axis)
    if len(intervals) > len(rows):
        description = f"{description} The first rows are drawn; the table has all."
    return Chart(
        title=title, description=description, width=WIDTH, height=math.ceil(bottom + 38), marks=tuple(marks)
    )


def _forest_row(row: Interval, top: float, place: Linear, scale: Scale) -> Iterable[Mark]:
    middle, band_top, band = top + 25, top + 17, 16.0
    room = RIGHT - LEFT - text_width(row.shown) - 10
    yield text_mark(LEFT, top + 11, cut(one_line(row.label, 60), room), "text")
    yield text_mark(RIGHT, top + 11, row.shown, "soft", anchor="end")
    yield line(LEFT, middle, RIGHT, middle, "grid")
    for edge, at_least, _ in row.edges:
        x = place(edge / scale.factor)
        left, right = (LEFT, x) if at_least else (x, RIGHT)
        if right > left:
            yield mark("rect", "zone", x=left, y=band_top, width=right - left, height=band)
    for edge, _, _ in row.edges:
        x = place(edge / scale.factor)
        yield line(x, band_top - 1, x, band_top + band + 1, "limit")
    if row.value is None or not math.isfinite(row.value):
        return
    start = LEFT if row.lower is None else place(row.lower / scale.factor)
    end = RIGHT if row.upper is None else place(row.upper / scale.factor)
    if end > start:
        yield line(start, middle, end, middle, "bar")
        for x, bounded in ((start, row.lower is not None), (end, row.upper is not None)):
            if bounded:
                yield line(x, middle - 4, x, middle + 4, "bar")
    yield _marker(place(row.value / scale.factor), middle, row.status)


def _marker(x: float, y: float, status: Status) -> Mark:
    if status is Status.FAILED:
        points = " ".join(
            f"{coordinate(x + dx)},{coordinate(y + dy)}" for dx, dy in ((0, -6), (6, 0), (0, 6), (-6, 0))
        )
        return Mark(tag="polygon", attributes=(("points", points), *STYLES["failed"]), role="failed")
    if status is Status.INCONCLUSIVE:
        return mark("rect", "inconclusive", x=x - 4.5, y=y - 4.5, width=9, height=9)
    radius = 4.5 if status is Status.PASSED else 3.5
    return mark("circle", "passed" if status is Status.PASSED else "absent", cx=x, cy=y, r=radius)


def ecdf(series: JsonValue) -> Chart | None:
    """Draw the distribution of latencies from ``{"x": seconds, "y": share, "budget": seconds}``."""
    points = points_of(series)
    if points is None or not isinstance(series, dict) or any(x < 0 or not 0 <= y <= 1 for x, y in points):
        return None
    budget = finite(series.get("budget"))
    edges = [budget] if budget is not None and budget > 0 else []
    scale = scale_of("s", [x for x, _ in points], edges)
    xs = [x / scale.factor for x, _ in points]
    limits = [edge / scale.factor for edge in edges]
    low, high = min(xs + limits), max(xs + limits)
    if low == high:
        return None
    across: Linear | Logarithmic
    if low > 0 and high / low > 20:
        across = Logarithmic(low / 1.15, high * 1.15, 52, RIGHT)
    else:
        across = Linear(max(0.0, low - (high - low) * 0.05), high + (high - low) * 0.05, 52, RIGHT)
    up = Linear(0, 1, 222, 24)
    marks: list[Mark] = []
    told = ""
    for limit, edge in zip(limits, edges, strict=True):
        text = scale.with_unit(scale.limit(edge))
        x = across(limit)
        marks.append(mark("rect", "zone", x=x, y=24, width=RIGHT - x, height=198))
        anchor = "end" if x > 190 else "start"
        marks.append(text_mark(x, 16, f"budget {text}", "limit-text", anchor=anchor))
        told = f" The budget is {text}."
    marks += frame(across, up, [0, 0.25, 0.5, 0.75, 1])
    marks += [line(across(limit), 20, across(limit), 222, "limit") for limit in limits]
    marks.append(curve(steps([(across(x), up(y)) for x, (_, y) in zip(xs, points, strict=True)])))
    first, last = (scale.with_unit(scale.number(points[index][0])) for index in (0, -1))
    kind = ", logarithmic" if isinstance(across, Logarithmic) else ""
    marks += bottom_axis(across, 222, f"time of one call ({scale.unit}{kind})")
    marks.append(side_title("share of calls", 123))
    return Chart(
        title="Distribution of latency",
        description=f"Share of calls that took at most a given time, from {first} to {last}.{told}",
        width=WIDTH,
        height=262,
        marks=tuple(marks),
    )
