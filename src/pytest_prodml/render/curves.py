"""Series of a check -> curves with their band: ROC, precision and recall, reliability, residuals, cost.

A series is ``{"x": [...], "y": [...]}``, with ``"lower"`` and ``"upper"`` where it has a band. Whatever has
another form, or leaves its range, is not drawn.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    finite,
    frame,
    line,
    mark,
    side_title,
    text_mark,
)
from pytest_prodml.render.model import Chart, Mark
from pytest_prodml.render.numbers import plain

_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
_FIRST_X, _TOP, _BOTTOM = 52, 8, 292


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a kind of series is drawn.

    `shares` says that both axes run from 0 to 1, `dots` that points stand alone; `guide` is a dashed line:
    the diagonal, or the height 0.
    """

    title: str
    description: str
    across: str
    up: str
    shares: bool = True
    dots: bool = False
    joined: bool = True
    guide: str = ""
    band: str = ""


KINDS: Mapping[str, Kind] = {
    "attack_curve": Kind(
        title="Share turned by budget",
        description="Share of inputs for which the attack found a change of at most the budget that turns "
        "the decision. {extra}",
        across="budget",
        up="share of inputs",
        shares=False,
        band="The band holds each budget by itself.",
    ),
    "certified_curve": Kind(
        title="Certified accuracy by radius",
        description="Share of inputs that are decided rightly and that no change within the radius turns. "
        "{extra}",
        across="radius",
        up="share of inputs",
        shares=False,
    ),
    "robustness": Kind(
        title="Robustness",
        description="Share of inputs that are answered otherwise, by how much worse the inputs get. {extra}",
        across="severity of the corruption",
        up="share of inputs",
        shares=False,
        band="The band holds each severity by itself.",
    ),
    "roc": Kind(
        title="ROC curve",
        description="True positive rate against false positive rate over all thresholds. {extra} "
        "The dashed diagonal is a model that guesses.",
        across="false positive rate (share of negatives)",
        up="true positive rate (share of positives)",
        guide="diagonal",
        band="The band holds each point of the curve by itself.",
    ),
    "pr": Kind(
        title="Precision and recall",
        description="Precision against recall over all thresholds. {extra}",
        across="recall (share of positives that are found)",
        up="precision (share of alarms that are right)",
        band="The band holds each point of the curve by itself.",
    ),
    "reliability": Kind(
        title="Reliability",
        description="Observed share of positives against the predicted probability, in bins of rows. {extra} "
        "On the dashed diagonal both agree.",
        across="mean predicted probability",
        up="observed share of positives",
        dots=True,
        guide="diagonal",
        band="The band holds all bins at once.",
    ),
    "residuals": Kind(
        title="Residuals",
        description="Truth minus prediction against the prediction, for some of the rows. {extra}",
        across="prediction",
        up="truth minus prediction",
        shares=False,
        dots=True,
        joined=False,
        guide="zero",
    ),
    "cost": Kind(
        title="Expected cost by threshold",
        description="Mean cost of a row if the decision turned at another threshold. {extra}",
        across="threshold",
        up="cost of a row",
        shares=False,
        band="The band holds each point of the curve by itself.",
    ),
}


def drawn(name: str, series: JsonValue, *, extra: str = "") -> Chart | None:
    """Draw a series of a known kind.

    Parameters
    ----------
    name : str
        A name of `KINDS`.
    series : JSON
        ``x`` and ``y``, and ``lower`` and ``upper`` for a band, all equally long.
    extra : str
        A sentence for the description.
    """
    kind = KINDS[name]
    rows = _rows(series)
    if rows is None:
        return None
    if kind.joined and any(later[0] < earlier[0] for earlier, later in itertools.pairwise(rows)):
        return None
    if kind.shares and any(not 0 <= number <= 1 for row in rows for number in row):
        return None
    rows = _thinned(rows)
    heights = [number for row in rows for number in row[1:]]
    across, up = _scales(kind, [row[0] for row in rows], heights)
    if across is None or up is None:
        return None
    marks: list[Mark] = []
    if kind.shares:
        marks += frame(across, up, _QUARTERS)
    else:
        marks += _frame(across, up)
    banded = len(rows[0]) == 4
    if banded:
        marks.append(_band([(across(row[0]), up(row[2]), up(row[3])) for row in rows]))
    if kind.guide == "diagonal":
        marks.append(line(across(0), up(0), across(1), up(1), "guide"))
    elif kind.guide == "zero" and up.low <= 0 <= up.high:
        marks.append(line(across.start, up(0), across.end, up(0), "guide"))
    if kind.joined:
        marks.append(curve([(across(row[0]), up(row[1])) for row in rows]))
    if kind.dots:
        marks += [mark("circle", "dot", cx=across(row[0]), cy=up(row[1]), r=2.5) for row in rows]
    marks += bottom_axis(across, _BOTTOM, kind.across, ticks=_QUARTERS if kind.shares else None)
    marks.append(side_title(kind.up, (_TOP + _BOTTOM) / 2))
    told = " ".join(part for part in (extra, kind.band if banded else "") if part)
    return Chart(
        title=kind.title,
        description=" ".join(kind.description.format(extra=told).split()),
        width=WIDTH,
        height=332,
        marks=tuple(marks),
    )


def _scales(kind: Kind, xs: Sequence[float], heights: Sequence[float]) -> tuple[Linear | None, Linear | None]:
    if kind.shares:
        return Linear(0, 1, _FIRST_X, RIGHT), Linear(0, 1, _BOTTOM, _TOP)
    low, high = min(heights), max(heights)
    if min(xs) == max(xs) or low == high:
        return None, None
    pad = (high - low) * 0.04
    return Linear(min(xs), max(xs), _FIRST_X, RIGHT), Linear(low - pad, high + pad, _BOTTOM, _TOP)


def _frame(across: Linear, up: Linear) -> list[Mark]:
    found = []
    for tick in up.ticks():
        found += [
            line(across.start, up(tick), across.end, up(tick), "grid"),
            text_mark(across.start - 6, up(tick) + 4, plain(tick), "soft", anchor="end"),
        ]
    return [*found, line(across.start, up.start, across.start, up.end, "axis")]


def _band(rows: Sequence[tuple[float, float, float]]) -> Mark:
    edge = [(x, high) for x, _, high in rows] + [(x, low) for x, low, _ in reversed(rows)]
    text = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in edge)
    return Mark(tag="polygon", attributes=(("points", text), *STYLES["band"]), role="band")


def _rows(series: JsonValue) -> list[tuple[float, ...]] | None:
    if not isinstance(series, dict):
        return None
    names = ["x", "y"] + (["lower", "upper"] if "lower" in series and "upper" in series else [])
    columns: list[list[float]] = []
    for name in names:
        values = series.get(name)
        if not isinstance(values, list) or len(values) < 2:
            return None
        numbers = [finite(value) for value in values]
        known = [number for number in numbers if number is not None]
        if len(known) < len(numbers):
            return None
        columns.append(known)
    if len({len(column) for column in columns}) > 1:
        return None
    return list(zip(*columns, strict=True))


def _thinned(rows: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
    if len(rows) <= MOST_POINTS:
        return rows
    last = len(rows) - 1
    return [rows[round(index * last / (MOST_POINTS - 1))] for index in range(MOST_POINTS)]
