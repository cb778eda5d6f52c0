"""Lines, texts, scales and axes as SVG elements: what all charts are drawn with.

No markup text is made here, so there is none to escape. Every element carries its colors as attributes (a
server may block the page's style) and a class, by which the style sheet gives it the colors of the dark
theme. Coordinates have one decimal: the same certificate gives the same bytes.
"""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_prodml.records import JsonValue
from pytest_prodml.render.inert import inert, one_line
from pytest_prodml.render.model import Mark
from pytest_prodml.render.numbers import plain

#: All drawings are so many user units wide, so that their texts stay readable on a phone.
WIDTH = 340
LEFT, RIGHT = 12.0, 328.0
MOST_POINTS = 200

#: Colors of the light theme, as attributes: (attribute, value) by style class.
STYLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "axis": (("stroke", "#667085"), ("stroke-width", "1")),
    "grid": (("stroke", "#e4e7ec"), ("stroke-width", "1")),
    "guide": (("stroke", "#98a2b3"), ("stroke-width", "1"), ("stroke-dasharray", "4 3")),
    "zone": (("fill", "#fde8e6"),),
    "limit": (("stroke", "#b3261e"), ("stroke-width", "2")),
    "curve": (("stroke", "#1d4ed8"), ("stroke-width", "2"), ("fill", "none"), ("stroke-linejoin", "round")),
    "band": (("fill", "#dbe5fd"),),
    "dot": (("fill", "#1d4ed8"),),
    "bar": (("stroke", "#475467"), ("stroke-width", "2")),
    "text": (("fill", "#1b2230"), ("font-size", "11"), ("font-family", "system-ui, sans-serif")),
    "soft": (("fill", "#566073"), ("font-size", "11"), ("font-family", "system-ui, sans-serif")),
    "limit-text": (("fill", "#b3261e"), ("font-size", "11"), ("font-family", "system-ui, sans-serif")),
    "passed": (("fill", "#146c2e"), ("stroke", "#146c2e"), ("stroke-width", "2")),
    "failed": (("fill", "#b3261e"), ("stroke", "#b3261e"), ("stroke-width", "2")),
    "inconclusive": (("fill", "#ffffff"), ("stroke", "#8a5200"), ("stroke-width", "2")),
    "absent": (("fill", "#475467"), ("stroke", "#475467"), ("stroke-width", "2")),
}


def points_of(series: JsonValue) -> list[tuple[float, float]] | None:
    """Read ``x`` and ``y`` of equal length, rising in x, thinned to what a drawing can show."""
    if not isinstance(series, dict):
        return None
    xs, ys = series.get("x"), series.get("y")
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys) or len(xs) < 2:
        return None
    points = []
    for x, y in zip(xs, ys, strict=True):
        known_x, known_y = finite(x), finite(y)
        if known_x is None or known_y is None:
            return None
        points.append((known_x, known_y))
    if any(later[0] < earlier[0] for earlier, later in itertools.pairwise(points)):
        return None
    if len(points) > MOST_POINTS:
        last = len(points) - 1
        points = [points[round(index * last / (MOST_POINTS - 1))] for index in range(MOST_POINTS)]
    return points


def finite(value: JsonValue) -> float | None:
    """Return a finite number of JSON, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


@dataclass(frozen=True, slots=True)
class Linear:
    """A scale from numbers to places; numbers beyond its ends are drawn at the end."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a number."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round numbers for the axis."""
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Logarithmic:
    """As `Linear`, with equal steps for equal ratios."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a number."""
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return self.start + min(1.0, share) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round numbers for the axis."""
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        wide = len(exponents) > 5
        factors = (1,) if wide else (1, 2, 5) if len(exponents) <= 2 else (1, 3)
        found = [factor * 10.0**exponent for exponent in exponents for factor in factors]
        found = [value for value in found if self.low <= value <= self.high]
        return found[:: math.ceil(len(found) / 6)] if len(found) > 6 else found


def frame(across: Linear | Logarithmic, up: Linear, shares: Sequence[float]) -> Iterable[Mark]:
    """Draw the axis on the left with a line across for each of `shares`."""
    for share in shares:
        yield line(across.start, up(share), across.end, up(share), "grid")
        yield text_mark(across.start - 6, up(share) + 4, plain(share), "soft", anchor="end")
    yield line(across.start, up(0), across.start, up(1), "axis")


def bottom_axis(
    across: Linear | Logarithmic, y: float, title: str, *, ticks: Sequence[float] | None = None
) -> Iterable[Mark]:
    """Draw the axis at the bottom with its numbers and its title."""
    yield line(across.start, y, across.end, y, "axis")
    free_from = -math.inf
    for tick in across.ticks() if ticks is None else ticks:
        x = across(tick)
        label = plain(tick)
        # Half the label's width at this size; a label that would touch its neighbor is left out.
        half = text_width(label) / 2
        centre = min(max(x, half + 1), WIDTH - half - 1)
        yield line(x, y, x, y + 4, "axis")
        if centre - half > free_from:
            yield text_mark(centre, y + 16, label, "soft", anchor="middle")
            free_from = centre + half + 5
    middle = (across.start + across.end) / 2
    shown = cut(one_line(inert(title), 80), 2 * min(middle, WIDTH - middle) - 4)
    yield text_mark(middle, y + 32, shown, "soft", anchor="middle")


def side_title(text: str, middle: float) -> Mark:
    """Write the title of the axis on the left."""
    rotated = text_mark(10, middle, text, "soft", anchor="middle")
    return Mark(
        tag=rotated.tag,
        attributes=(*rotated.attributes, ("transform", f"rotate(-90 10 {coordinate(middle)})")),
        role=rotated.role,
        text=rotated.text,
    )


def text_width(text: str) -> float:
    """Estimate, on the large side, how wide a text is drawn; the reader's font is not known here."""
    return sum(
        12.0
        if unicodedata.east_asian_width(character) in "WF" or character in "MW@%"
        else 8.2
        if character.isupper()
        else 7.0
        for character in text
    )


def cut(text: str, room: float) -> str:
    """Shorten `text` to what fits into `room` units."""
    if text_width(text) <= room:
        return text
    kept = text
    while kept and text_width(kept) > room - 9:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


def steps(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the corners of a curve that stays until it jumps."""
    stepped = points[:1]
    for (_, y), (x, later) in itertools.pairwise(points):
        stepped += [(x, y), (x, later)]
    return stepped


def curve(points: list[tuple[float, float]]) -> Mark:
    """Draw a curve through `points`."""
    text = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in points)
    return Mark(tag="polyline", attributes=(("points", text), *STYLES["curve"]), role="curve")


def line(x1: float, y1: float, x2: float, y2: float, role: str) -> Mark:
    """Draw a straight line."""
    return mark("line", role, x1=x1, y1=y1, x2=x2, y2=y2)


def text_mark(x: float, y: float, text: str, role: str, *, anchor: str = "start") -> Mark:
    """Write a text."""
    drawn = mark("text", role, x=x, y=y)
    return Mark(tag="text", attributes=(*drawn.attributes, ("text-anchor", anchor)), role=role, text=text)


def mark(tag: str, role: str, **geometry: float) -> Mark:
    """Draw an element in the style of its role."""
    places = tuple((name, coordinate(value)) for name, value in geometry.items())
    return Mark(tag=tag, attributes=(*places, *STYLES[role]), role=role)


def coordinate(value: float) -> str:
    """Write a place with one decimal."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
