"""Numbers -> drawings as lists of SVG elements: no markup text is made here, so there is none to escape.

Every element carries its colors as attributes (a server may block the page's style) and a class, by which the
style sheet gives it the colors of the dark theme. All drawings are `WIDTH` user units wide, so that their
texts stay readable on a phone. Coordinates have one decimal: the same certificate gives the same bytes.
"""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_prodml.records import JsonValue
from pytest_prodml.render.inert import inert, one_line
from pytest_prodml.render.model import Chart, Mark, Status
from pytest_prodml.render.numbers import Scale, plain, scale_of

WIDTH = 340
_LEFT, _RIGHT = 12.0, 328.0
_ROW = 36.0
_MOST_ROWS = 20
_MOST_POINTS = 200

#: Colors of the light theme, as attributes: (attribute, value) by style class.
_STYLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "axis": (("stroke", "#667085"), ("stroke-width", "1")),
    "grid": (("stroke", "#e4e7ec"), ("stroke-width", "1")),
    "guide": (("stroke", "#98a2b3"), ("stroke-width", "1"), ("stroke-dasharray", "4 3")),
    "zone": (("fill", "#fde8e6"),),
    "limit": (("stroke", "#b3261e"), ("stroke-width", "2")),
    "curve": (("stroke", "#1d4ed8"), ("stroke-width", "2"), ("fill", "none"), ("stroke-linejoin", "round")),
    "bar": (("stroke", "#475467"), ("stroke-width", "2")),
    "text": (("fill", "#1b2230"), ("font-size", "11"), ("font-family", "system-ui, sans-serif")),
    "soft": (("fill", "#566073"), ("font-size", "11"), ("font-family", "system-ui, sans-serif")),
    "limit-text": (("fill", "#b3261e"), ("font-size", "11"), ("font-family", "system-ui, sans-serif")),
    "passed": (("fill", "#146c2e"), ("stroke", "#146c2e"), ("stroke-width", "2")),
    "failed": (("fill", "#b3261e"), ("stroke", "#b3261e"), ("stroke-width", "2")),
    "inconclusive": (("fill", "#ffffff"), ("stroke", "#8a5200"), ("stroke-width", "2")),
    "absent": (("fill", "#475467"), ("stroke", "#475467"), ("stroke-width", "2")),
}


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
    place = _Linear(low - pad, high + pad, _LEFT, _RIGHT)
    bottom = 4 + _ROW * len(rows)
    marks = [
        mark for index, row in enumerate(rows) for mark in _forest_row(row, 4 + _ROW * index, place, scale)
    ]
    marks += _bottom_axis(place, bottom + 2, axis)
    if len(intervals) > len(rows):
        description = f"{description} The first rows are drawn; the table has all."
    return Chart(
        title=title, description=description, width=WIDTH, height=math.ceil(bottom + 38), marks=tuple(marks)
    )


def _forest_row(row: Interval, top: float, place: _Linear, scale: Scale) -> Iterable[Mark]:
    middle, band_top, band = top + 25, top + 17, 16.0
    room = _RIGHT - _LEFT - _width(row.shown) - 10
    yield _text(_LEFT, top + 11, _cut(one_line(row.label, 60), room), "text")
    yield _text(_RIGHT, top + 11, row.shown, "soft", anchor="end")
    yield _line(_LEFT, middle, _RIGHT, middle, "grid")
    for edge, at_least, _ in row.edges:
        x = place(edge / scale.factor)
        left, right = (_LEFT, x) if at_least else (x, _RIGHT)
        if right > left:
            yield _mark("rect", "zone", x=left, y=band_top, width=right - left, height=band)
    for edge, _, _ in row.edges:
        x = place(edge / scale.factor)
        yield _line(x, band_top - 1, x, band_top + band + 1, "limit")
    if row.value is None or not math.isfinite(row.value):
        return
    start = _LEFT if row.lower is None else place(row.lower / scale.factor)
    end = _RIGHT if row.upper is None else place(row.upper / scale.factor)
    if end > start:
        yield _line(start, middle, end, middle, "bar")
        for x, bounded in ((start, row.lower is not None), (end, row.upper is not None)):
            if bounded:
                yield _line(x, middle - 4, x, middle + 4, "bar")
    yield _marker(place(row.value / scale.factor), middle, row.status)


def _marker(x: float, y: float, status: Status) -> Mark:
    if status is Status.FAILED:
        points = " ".join(f"{_n(x + dx)},{_n(y + dy)}" for dx, dy in ((0, -6), (6, 0), (0, 6), (-6, 0)))
        return Mark(tag="polygon", attributes=(("points", points), *_STYLES["failed"]), role="failed")
    if status is Status.INCONCLUSIVE:
        return _mark("rect", "inconclusive", x=x - 4.5, y=y - 4.5, width=9, height=9)
    radius = 4.5 if status is Status.PASSED else 3.5
    return _mark("circle", "passed" if status is Status.PASSED else "absent", cx=x, cy=y, r=radius)


def roc(series: JsonValue, *, area: str) -> Chart | None:
    """Draw a ROC curve from ``{"x": false positive rates, "y": true positive rates}``, if it is one."""
    points = _points(series)
    if points is None or any(not (0 <= x <= 1 and 0 <= y <= 1) for x, y in points):
        return None
    across, up = _Linear(0, 1, 52, _RIGHT), _Linear(0, 1, 292, 8)
    marks = list(_frame(across, up, [0, 0.25, 0.5, 0.75, 1]))
    marks.append(_line(across(0), up(0), across(1), up(1), "guide"))
    marks.append(_curve([(across(x), up(y)) for x, y in points]))
    marks += _bottom_axis(
        across, 292, "false positive rate (share of negatives)", ticks=[0, 0.25, 0.5, 0.75, 1]
    )
    marks.append(_side_title("true positive rate (share of positives)", 150))
    return Chart(
        title="ROC curve",
        description=f"True positive rate against false positive rate over all thresholds. {area} "
        "The dashed diagonal is a model that guesses.",
        width=WIDTH,
        height=332,
        marks=tuple(marks),
    )


def ecdf(series: JsonValue) -> Chart | None:
    """Draw the distribution of latencies from ``{"x": seconds, "y": share, "budget": seconds}``."""
    points = _points(series)
    if points is None or not isinstance(series, dict) or any(x < 0 or not 0 <= y <= 1 for x, y in points):
        return None
    budget = _finite(series.get("budget"))
    edges = [budget] if budget is not None and budget > 0 else []
    scale = scale_of("s", [x for x, _ in points], edges)
    xs = [x / scale.factor for x, _ in points]
    limits = [edge / scale.factor for edge in edges]
    low, high = min(xs + limits), max(xs + limits)
    if low == high:
        return None
    across: _Linear | _Logarithmic
    if low > 0 and high / low > 20:
        across = _Logarithmic(low / 1.15, high * 1.15, 52, _RIGHT)
    else:
        across = _Linear(max(0.0, low - (high - low) * 0.05), high + (high - low) * 0.05, 52, _RIGHT)
    up = _Linear(0, 1, 222, 24)
    marks: list[Mark] = []
    told = ""
    for limit, edge in zip(limits, edges, strict=True):
        text = scale.with_unit(scale.limit(edge))
        x = across(limit)
        marks.append(_mark("rect", "zone", x=x, y=24, width=_RIGHT - x, height=198))
        anchor = "end" if x > 190 else "start"
        marks.append(_text(x, 16, f"budget {text}", "limit-text", anchor=anchor))
        told = f" The budget is {text}."
    marks += _frame(across, up, [0, 0.25, 0.5, 0.75, 1])
    marks += [_line(across(limit), 20, across(limit), 222, "limit") for limit in limits]
    marks.append(_curve(_steps([(across(x), up(y)) for x, (_, y) in zip(xs, points, strict=True)])))
    first, last = (scale.with_unit(scale.number(points[index][0])) for index in (0, -1))
    kind = ", logarithmic" if isinstance(across, _Logarithmic) else ""
    marks += _bottom_axis(across, 222, f"time of one call ({scale.unit}{kind})")
    marks.append(_side_title("share of calls", 123))
    return Chart(
        title="Distribution of latency",
        description=f"Share of calls that took at most a given time, from {first} to {last}.{told}",
        width=WIDTH,
        height=262,
        marks=tuple(marks),
    )


def _points(series: JsonValue) -> list[tuple[float, float]] | None:
    """Read ``x`` and ``y`` of equal length, rising in x, thinned to what a drawing can show."""
    if not isinstance(series, dict):
        return None
    xs, ys = series.get("x"), series.get("y")
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys) or len(xs) < 2:
        return None
    points = []
    for x, y in zip(xs, ys, strict=True):
        known_x, known_y = _finite(x), _finite(y)
        if known_x is None or known_y is None:
            return None
        points.append((known_x, known_y))
    if any(later[0] < earlier[0] for earlier, later in itertools.pairwise(points)):
        return None
    if len(points) > _MOST_POINTS:
        last = len(points) - 1
        points = [points[round(index * last / (_MOST_POINTS - 1))] for index in range(_MOST_POINTS)]
    return points


def _finite(value: JsonValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


@dataclass(frozen=True, slots=True)
class _Linear:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def ticks(self) -> list[float]:
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class _Logarithmic:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return self.start + min(1.0, share) * (self.end - self.start)

    def ticks(self) -> list[float]:
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        wide = len(exponents) > 5
        factors = (1,) if wide else (1, 2, 5) if len(exponents) <= 2 else (1, 3)
        found = [factor * 10.0**exponent for exponent in exponents for factor in factors]
        found = [value for value in found if self.low <= value <= self.high]
        return found[:: math.ceil(len(found) / 6)] if len(found) > 6 else found


def _frame(across: _Linear | _Logarithmic, up: _Linear, shares: Sequence[float]) -> Iterable[Mark]:
    for share in shares:
        yield _line(across.start, up(share), across.end, up(share), "grid")
        yield _text(across.start - 6, up(share) + 4, plain(share), "soft", anchor="end")
    yield _line(across.start, up(0), across.start, up(1), "axis")


def _bottom_axis(
    across: _Linear | _Logarithmic, y: float, title: str, *, ticks: Sequence[float] | None = None
) -> Iterable[Mark]:
    yield _line(across.start, y, across.end, y, "axis")
    free_from = -math.inf
    for tick in across.ticks() if ticks is None else ticks:
        x = across(tick)
        label = plain(tick)
        # Half the label's width at this size; a label that would touch its neighbor is left out.
        half = _width(label) / 2
        centre = min(max(x, half + 1), WIDTH - half - 1)
        yield _line(x, y, x, y + 4, "axis")
        if centre - half > free_from:
            yield _text(centre, y + 16, label, "soft", anchor="middle")
            free_from = centre + half + 5
    middle = (across.start + across.end) / 2
    shown = _cut(one_line(inert(title), 80), 2 * min(middle, WIDTH - middle) - 4)
    yield _text(middle, y + 32, shown, "soft", anchor="middle")


def _side_title(text: str, middle: float) -> Mark:
    rotated = _text(10, middle, text, "soft", anchor="middle")
    return Mark(
        tag=rotated.tag,
        attributes=(*rotated.attributes, ("transform", f"rotate(-90 10 {_n(middle)})")),
        role=rotated.role,
        text=rotated.text,
    )


def _width(text: str) -> float:
    """Estimate, on the large side, how wide a text is drawn; the reader's font is not known here."""
    return sum(
        12.0
        if unicodedata.east_asian_width(character) in "WF" or character in "MW@%"
        else 8.2
        if character.isupper()
        else 7.0
        for character in text
    )


def _cut(text: str, room: float) -> str:
    if _width(text) <= room:
        return text
    kept = text
    while kept and _width(kept) > room - 9:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


def _steps(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    stepped = points[:1]
    for (_, y), (x, later) in itertools.pairwise(points):
        stepped += [(x, y), (x, later)]
    return stepped


def _curve(points: list[tuple[float, float]]) -> Mark:
    text = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    return Mark(tag="polyline", attributes=(("points", text), *_STYLES["curve"]), role="curve")


def _line(x1: float, y1: float, x2: float, y2: float, role: str) -> Mark:
    return _mark("line", role, x1=x1, y1=y1, x2=x2, y2=y2)


def _text(x: float, y: float, text: str, role: str, *, anchor: str = "start") -> Mark:
    drawn = _mark("text", role, x=x, y=y)
    return Mark(tag="text", attributes=(*drawn.attributes, ("text-anchor", anchor)), role=role, text=text)


def _mark(tag: str, role: str, **geometry: float) -> Mark:
    places = tuple((name, _n(value)) for name, value in geometry.items())
    return Mark(tag=tag, attributes=(*places, *_STYLES[role]), role=role)


def _n(value: float) -> str:
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
