"""A feature of two joined tables -> polars expressions: what each cell is, whether the two are the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from pytest_prodml._lazy import require
from pytest_prodml.adapters.engines.expressions import Column, Kind
from pytest_prodml.adapters.engines.polars_predicates import value_of
from pytest_prodml.adapters.engines.ticks import is_nanoseconds, ticks_of
from pytest_prodml.checks.skew.rules import (
    Absolute,
    Exact,
    Feature,
    Relative,
    Rounded,
    SetOf,
    State,
    Text,
    Ulp,
)

# polars has no types for us.
Expression: TypeAlias = Any

#: Columns of the joined rows that say on which sides a key is.
OFFLINE, ONLINE = "\x00offline", "\x00online"

#: What a cell is, as the joined rows count it: 0 has a value.
STATES = (None, State.NULL, State.NAN, State.EMPTY, State.SENTINEL, State.ABSENT)
_CODES = {state: code for code, state in enumerate(STATES)}
_SECOND = {Kind.DATETIME: 10**6, Kind.DURATION: 10**6, Kind.TIME: 10**6}
_DAY = 86_400
# Whole numbers up to here keep their identity as floats of 32 and 64 bits.
_EXACT_WHOLE = {32: 2**24, 64: 2**53}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """The expressions of one feature over the joined rows.

    `states` are codes of both sides (indices of `STATES`); `counts` says whether the row is compared,
    `differs` whether its cells are not the same, `difference` how far apart they are (floats, null where
    there is no such thing), `first` and `second` the values as they are compared.
    """

    states: tuple[Expression, Expression]
    counts: Expression
    differs: Expression
    difference: Expression
    first: Expression
    second: Expression
    beyond: Expression


def first_name(place: int) -> str:
    """Return the name of an offline column among the joined rows."""
    return f"\x00first {place}"


def second_name(place: int) -> str:
    """Return the name of an online column among the joined rows."""
    return f"\x00second {place}"


def cells_of(feature: Feature, place: int) -> Cells:
    """Return the expressions of the feature whose columns are `first_name(place)`, `second_name(place)`."""
    polars = require("polars", extra="data")
    first = replace(feature.first, name=first_name(place))
    second = replace(feature.second, name=second_name(place))
    states = (_state(feature, first, OFFLINE), _state(feature, second, ONLINE))
    left, right = aligned(first, second)
    beyond = _beyond(feature, first, second)
    same = _same(feature, left, right) & ~beyond
    absent = _CODES[State.ABSENT]
    both = (states[0] != absent) & (states[1] != absent)
    joined = {_CODES[State(state)] for state in feature.rule.same_missing}
    counts = (states[0] >= 0) if State.ABSENT in feature.rule.same_missing else both
    sentinel = _CODES[State.SENTINEL]
    is_joined = [state.is_in(sorted(joined)) for state in states]
    differs = (
        polars.when((states[0] == 0) & (states[1] == 0))
        .then(~same.fill_null(value=False))
        .when(is_joined[0] & is_joined[1])
        .then(statement=False)
        # Two sentinels are two values.
        .when((states[0] == sentinel) & (states[1] == sentinel))
        .then(~(left == right).fill_null(value=False))
        .otherwise(states[0] != states[1])
    )
    difference = _difference(feature, left, right)
    valued = (states[0] == 0) & (states[1] == 0)
    return Cells(
        states=states,
        counts=counts,
        differs=counts & differs,
        difference=polars.when(valued & difference.is_finite()).then(difference),
        first=left,
        second=right,
        beyond=valued & beyond,
    )


def _state(feature: Feature, column: Column, side: str) -> Expression:
    polars = require("polars", extra="data")
    cells = polars.col(column.name)
    code = polars.when(polars.col(side).is_null()).then(_CODES[State.ABSENT])
    code = code.when(cells.is_null()).then(_CODES[State.NULL])
    if column.kind is Kind.FLOAT:
        code = code.when(cells.is_nan()).then(_CODES[State.NAN])
    if column.kind in {Kind.TEXT, Kind.CATEGORY}:
        code = code.when(cells.cast(polars.String) == "").then(_CODES[State.EMPTY])
    for value in feature.rule.sentinels if column.kind is not Kind.EMPTY else ():
        code = code.when(_is_value(column, value)).then(_CODES[State.SENTINEL])
    return code.otherwise(0).cast(polars.Int8)


def _is_value(column: Column, value: Any) -> Expression:  # noqa: ANN401 - a constant
    polars = require("polars", extra="data")
    cells = value_of(column)
    if column.kind in {Kind.DATETIME, Kind.DURATION, Kind.TIME}:
        return cells == ticks_of(column, value)
    if column.kind in {Kind.INTEGER, Kind.BOOLEAN}:
        return (cells.cast(polars.Int128) == int(value)) if value == int(value) else polars.lit(value=False)
    if column.kind is Kind.DECIMAL:
        return cells.cast(polars.Float64) == float(value)
    return cells == value


def aligned(first: Column, second: Column) -> tuple[Expression, Expression]:
    """Return the cells of two columns as one type, in which every value of both keeps its identity.

    The exception are whole numbers beside floats: beyond what a float tells apart they have to be refused.
    """
    polars = require("polars", extra="data")
    kinds = {first.kind, second.kind}
    cells = (value_of(first), value_of(second))
    if Kind.EMPTY in kinds:
        known = next((column for column in (first, second) if column.kind is not Kind.EMPTY), None)
        if known is None:
            return cells
        # A column without any value compares as what the other one is: it has no cell to compare.
        values = [cells[place] if column is known else None for place, column in enumerate((first, second))]
        left, right = (polars.lit(None) if side is None else side for side in values)
        return left, right
    if Kind.FLOAT in kinds:
        return cells[0].cast(polars.Float64), cells[1].cast(polars.Float64)
    if kinds <= {Kind.INTEGER, Kind.BOOLEAN} and first.stored_as != second.stored_as:
        return cells[0].cast(polars.Int128), cells[1].cast(polars.Int128)
    if kinds <= set(_SECOND) and is_nanoseconds(first) is not is_nanoseconds(second):
        left, right = (
            side.cast(polars.Int128) * (1 if is_nanoseconds(column) else 1000)
            for side, column in zip(cells, (first, second), strict=True)
        )
        return left, right
    return cells


def _beyond(feature: Feature, first: Column, second: Column) -> Expression:
    """Return where a whole number stands beside a float that does not tell it from its neighbors."""
    polars = require("polars", extra="data")
    if feature.kinds != {Kind.INTEGER, Kind.FLOAT}:
        return polars.lit(value=False)
    whole, real = (first, second) if first.kind is Kind.INTEGER else (second, first)
    limit = _EXACT_WHOLE[32 if real.stored_as == "Float32" else 64]
    return (value_of(whole).cast(polars.Int128).abs() > limit).fill_null(value=False)


def _same(feature: Feature, left: Expression, right: Expression) -> Expression:
    if Kind.EMPTY in {feature.first.kind, feature.second.kind}:
        return require("polars", extra="data").lit(value=False)
    match feature.rule.how:
        case Exact():
            return left.eq_missing(right) if Kind.NESTED in feature.kinds else left == right
        case Absolute(atol):
            return (left == right) | (_difference(feature, left, right) <= atol)
        case Relative(rtol, atol):
            return _relative(feature, left, right, rtol, atol)
        case Ulp(most, bits):
            stored = {feature.first.stored_as, feature.second.stored_as}
            return _ulps(left, right, bits or (32 if "Float32" in stored else 64)) <= most
        case Rounded(digits):
            return left.round(digits) == right.round(digits)
        case SetOf(separator):
            return _elements(left, separator) == _elements(right, separator)
        case Text() as text:
            return normalized(left, text) == normalized(right, text)


def _relative(feature: Feature, left: Expression, right: Expression, rtol: float, atol: float) -> Expression:
    polars = require("polars", extra="data")
    sizes = [side.cast(polars.Float64).abs() for side in (left, right)]
    largest = polars.max_horizontal(*sizes)
    near = _difference(feature, left, right) <= atol + rtol * largest
    # The distance from an infinity is infinite, and so is any share of it.
    return (left == right) | (near & largest.is_finite())


def _difference(feature: Feature, left: Expression, right: Expression) -> Expression:
    return signed_difference(feature, left, right).abs()


def signed_difference(feature: Feature, left: Expression, right: Expression) -> Expression:
    """Return ``right - left`` as a float, of times in seconds; null where cells have no difference."""
    polars = require("polars", extra="data")
    if not (feature.is_number or feature.is_time) or {feature.first.kind, feature.second.kind} & {Kind.EMPTY}:
        return polars.lit(None, dtype=polars.Float64)
    if feature.kinds & {Kind.FLOAT, Kind.DECIMAL}:
        return right.cast(polars.Float64) - left.cast(polars.Float64)
    if feature.kinds == {Kind.DATE}:
        days = right.cast(polars.Int64) - left.cast(polars.Int64)
        return days.cast(polars.Float64) * _DAY
    exact = (right.cast(polars.Int128) - left.cast(polars.Int128)).cast(polars.Float64)
    if not feature.is_time:
        return exact
    fine = is_nanoseconds(feature.first) or is_nanoseconds(feature.second)
    return exact / (10**9 if fine else 10**6)


def _ulps(left: Expression, right: Expression, bits: int) -> Expression:
    polars = require("polars", extra="data")

    def count(pair: Expression) -> Expression:
        sides = [pair.struct.field(name).to_numpy().astype(np.float64) for name in ("a", "b")]
        return polars.Series(_floats_between(sides[0], sides[1], bits), dtype=polars.Float64)

    pair = polars.struct(a=left.fill_null(float("nan")), b=right.fill_null(float("nan")))
    return pair.map_batches(count, return_dtype=polars.Float64, is_elementwise=True)


def _floats_between(left: Any, right: Any, bits: int) -> Any:  # noqa: ANN401 - arrays
    """Return how many floats two are apart: neighbors 1, an infinity from anything else infinitely many."""
    real, whole = (np.float32, np.uint32) if bits == 32 else (np.float64, np.uint64)
    with np.errstate(over="ignore", invalid="ignore"):
        sides = [np.ascontiguousarray(side.astype(real)) for side in (left, right)]
    middle = np.uint64(2 ** (bits - 1))
    places = []
    for side in sides:
        pattern = side.view(whole).astype(np.uint64)
        # Bit patterns of negative floats grow away from zero; both zeros are in the middle.
        places.append(np.where(pattern < middle, middle + pattern, middle - (pattern - middle)))
    apart = (np.maximum(*places) - np.minimum(*places)).astype(np.float64)
    apart[~(np.isfinite(sides[0]) & np.isfinite(sides[1]))] = np.inf
    apart[sides[0] == sides[1]] = 0.0
    return apart


def _elements(cells: Expression, separator: str | None) -> Expression:
    polars = require("polars", extra="data")
    if separator is not None:
        cells = cells.str.split(separator).list.eval(polars.element().str.strip_chars())
    return cells.list.unique().list.sort()


def normalized(cells: Expression, rule: Text) -> Expression:
    """Return texts without what the rule says does not count."""
    if rule.form is not None:
        cells = cells.str.normalize(rule.form)
    if rule.ignore_space:
        cells = cells.str.replace_all(r"\s+", " ").str.strip_chars()
    if rule.ignore_case:
        cells = cells.str.to_lowercase()
    return cells
