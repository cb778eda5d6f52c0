"""Cells of a feature that differ -> what would explain them: states, spelling, units, offsets, types."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_prodml._lazy import require
from pytest_prodml.adapters.engines.expressions import Kind
from pytest_prodml.checks.skew.cells import (
    STATES,
    Cells,
    Expression,
    normalized,
    signed_difference,
)
from pytest_prodml.checks.skew.rules import Feature, Text

#: How close to one factor or offset the cells have to be, relative to their size.
_CONSTANT = 1e-6
#: Fewer cells than this have the same factor by chance.
_LEAST_ROWS = 3
_STEP = 16

_FACTORS = {
    -1.0: "the opposite sign",
    7.0: "weeks and days",
    10.0: "one decimal place",
    12.0: "years and months",
    24.0: "days and hours",
    60.0: "minutes and seconds, or hours and minutes",
    100.0: "shares and percent, or units and hundredths",
    1000.0: "units and thousandths",
    1024.0: "binary thousands",
    3600.0: "hours and seconds",
    86_400.0: "days and seconds",
    1e6: "units and millionths",
    1e9: "units and billionths",
    2.54: "inches and centimeters",
    1 / 0.3048: "meters and feet",
    1.609344: "miles and kilometers",
    1 / 0.45359237: "kilograms and pounds",
    180 / math.pi: "radians and degrees",
}
_OFFSETS = {273.15: "kelvin and degrees Celsius", 1.0: "counted from 0 and from 1"}
_SPELLINGS = (
    ("letter case", Text(ignore_case=True, ignore_space=False, form=None)),
    ("white space", Text(ignore_case=False, ignore_space=True, form=None)),
    ("letter case and white space", Text(ignore_case=True, ignore_space=True, form=None)),
    ("forms of Unicode", Text(ignore_case=True, ignore_space=True, form="NFKC")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What would explain so many of the differing rows."""

    text: str
    rows: int


def first_questions(feature: Feature, cells: Cells, differs: Expression) -> dict[str, Expression]:
    """Return what is asked about the rows that differ, each one row long."""
    polars = require("polars", extra="data")
    states = cells.states
    valued = differs & (states[0] == 0) & (states[1] == 0)
    pairs = states[0].cast(polars.Int16) * _STEP + states[1].cast(polars.Int16)
    asked = {"states": pairs.filter(differs & ~valued).alias("pair").value_counts(name="n").implode()}
    if feature.is_number or feature.is_time:
        asked["offset"] = _offset(feature, cells).filter(valued).quantile(0.5, "nearest")
        asked["beyond"] = (valued & cells.beyond).sum()
    if feature.is_number:
        ratio = _ratio(cells)
        asked["factor"] = ratio.filter(valued & ratio.is_finite() & (ratio != 0)).quantile(0.5, "nearest")
        asked |= _about_digits(feature, cells, valued)
    if feature.is_text:
        left, right = cells.first, cells.second
        explained = polars.lit(value=False)
        for place, (_, rule) in enumerate(_SPELLINGS):
            same = (normalized(left, rule) == normalized(right, rule)).fill_null(value=False) & ~explained
            asked[f"spelling {place}"] = (valued & same).sum()
            explained = explained | same
    return asked


def _offset(feature: Feature, cells: Cells) -> Expression:
    offset = signed_difference(feature, cells.first, cells.second)
    return require("polars", extra="data").when(offset.is_finite()).then(offset)


def _ratio(cells: Cells) -> Expression:
    polars = require("polars", extra="data")
    return cells.second.cast(polars.Float64) / cells.first.cast(polars.Float64)


def _about_digits(feature: Feature, cells: Cells, valued: Expression) -> dict[str, Expression]:
    if feature.kinds - {Kind.FLOAT, Kind.INTEGER}:
        return {}
    polars = require("polars", extra="data")
    left, right = (side.cast(polars.Float64) for side in (cells.first, cells.second))
    single = left.cast(polars.Float32) == right.cast(polars.Float32)
    whole = polars.lit(value=False)
    for side, other in ((left, right), (right, left)):
        whole = whole | (side == other.sign() * other.abs().floor()) | (side == other.round(0))
    asked = {"whole": (valued & whole & ~cells.beyond).fill_null(value=False).sum()}
    if Kind.FLOAT in feature.kinds:
        asked["single"] = (valued & single & ~cells.beyond).fill_null(value=False).sum()
    return asked


def second_questions(
    feature: Feature, cells: Cells, differs: Expression, answers: Mapping[str, Any]
) -> dict[str, Expression]:
    """Return how many of the rows that differ do so by the same factor or offset."""
    polars = require("polars", extra="data")
    valued = differs & (cells.states[0] == 0) & (cells.states[1] == 0)
    asked: dict[str, Expression] = {}
    offset, factor = answers.get("offset"), answers.get("factor")
    if factor is not None:
        near = (_ratio(cells) / factor - 1).abs() <= _CONSTANT
        asked["with factor"] = (valued & near).fill_null(value=False).sum()
    if offset is not None:
        size = polars.lit(abs(offset))
        if feature.is_number:
            sides = [side.cast(polars.Float64).abs() for side in (cells.first, cells.second)]
            size = polars.max_horizontal(*sides, size)
        # The sum of a large and a small float keeps as many digits as the large one has.
        slack = _CONSTANT * abs(offset) + 1e-15 * size
        near = (_offset(feature, cells) - offset).abs() <= slack
        asked["with offset"] = (valued & near).fill_null(value=False).sum()
    return asked


def causes(feature: Feature, answers: Mapping[str, Any]) -> tuple[Cause, ...]:
    """Return what would explain the rows that differ, the cause of most rows first.

    Causes overlap: cells that all were 1 and are 100 have another factor as well as another offset.
    """
    found = [
        Cause(
            text=f"{_state(cell['pair'] // _STEP)} offline, {_state(cell['pair'] % _STEP)} online",
            rows=cell["n"],
        )
        for cell in answers["states"]
    ]
    found += [
        Cause(text=f"same text but for {name}", rows=answers[f"spelling {place}"])
        for place, (name, _) in enumerate(_SPELLINGS)
        if answers.get(f"spelling {place}")
    ]
    if answers.get("beyond"):
        found.append(
            Cause(text="a whole number that a float does not tell from its neighbors", rows=answers["beyond"])
        )
    if answers.get("single"):
        found.append(Cause(text="equal in 32 bits", rows=answers["single"]))
    if answers.get("whole"):
        found.append(Cause(text="cut or rounded to a whole number", rows=answers["whole"]))
    if answers.get("with factor", 0) >= _LEAST_ROWS and not math.isclose(answers["factor"], 1, rel_tol=1e-3):
        found.append(Cause(text=_factor(answers["factor"]), rows=answers["with factor"]))
    if answers.get("with offset", 0) >= _LEAST_ROWS:
        found.append(Cause(text=_shift(feature, answers["offset"]), rows=answers["with offset"]))
    return tuple(sorted(found, key=lambda cause: -cause.rows))


def _state(code: int) -> str:
    return STATES[code] or "a value"


def _factor(factor: float) -> str:
    for known, name in _FACTORS.items():
        if math.isclose(factor, known, rel_tol=_CONSTANT):
            return f"online is {known:.6g} times offline ({name})"
        if math.isclose(factor, 1 / known, rel_tol=_CONSTANT):
            return f"online is 1/{known:.6g} of offline ({name})"
    return f"online is {factor:.6g} times offline"


def _shift(feature: Feature, offset: float) -> str:
    side = "more" if offset > 0 else "less"
    if feature.is_time:
        hours = offset / 3600
        if offset % 86_400 == 0:
            return f"online is {abs(offset) / 86_400:.6g} days {'later' if offset > 0 else 'earlier'}"
        zone = " (a time zone)" if offset % 900 == 0 and abs(hours) <= 14 else ""
        return f"online is {abs(hours):.6g} hours {'later' if offset > 0 else 'earlier'}{zone}"
    for known, name in _OFFSETS.items():
        if math.isclose(abs(offset), known, rel_tol=_CONSTANT):
            return f"online is {known:.6g} {side} ({name})"
    for unit, seconds in (("seconds", 3600.0), ("milliseconds", 3.6e6)):
        hours = abs(offset) / seconds
        if hours % 1 == 0 and 1 <= hours <= 14:
            return f"online is {abs(offset):.6g} {side} ({hours:.6g} hours if these are {unit})"
    return f"online is {abs(offset):.6g} {side}"
