"""Columns and predicates -> polars expressions that are never null."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import Any

from pytest_prodml._lazy import require
from pytest_prodml.adapters.engines.expressions import (
    And,
    Column,
    Compare,
    CompareColumns,
    Fraction,
    HasPart,
    Infinite,
    Kind,
    Length,
    Matches,
    Missing,
    Not,
    OneOf,
    Or,
    Predicate,
    Relation,
    Value,
)
from pytest_prodml.adapters.engines.meaning import COMPARISONS, TEXTS, decimal_type
from pytest_prodml.adapters.engines.ticks import is_nanoseconds, ticks_of


def polars_column(name: str, dtype: Any) -> Column:  # noqa: ANN401 - polars' type
    """Return what a polars column is."""
    polars = require("polars", extra="data")
    if isinstance(dtype, polars.Datetime):
        return Column(name=name, kind=Kind.DATETIME, stored_as=str(dtype), zone=dtype.time_zone)
    kinds = (
        (polars.Boolean, Kind.BOOLEAN),
        (polars.Decimal, Kind.DECIMAL),
        (polars.String, Kind.TEXT),
        ((polars.Categorical, polars.Enum), Kind.CATEGORY),
        (polars.Date, Kind.DATE),
        (polars.Time, Kind.TIME),
        (polars.Duration, Kind.DURATION),
        (polars.Binary, Kind.BINARY),
        (polars.Null, Kind.EMPTY),
    )
    kind = next((found for types, found in kinds if isinstance(dtype, types)), Kind.NESTED)
    if dtype.is_integer():
        kind = Kind.INTEGER
    elif dtype.is_float():
        kind = Kind.FLOAT
    elif dtype == polars.Object:
        kind = Kind.MIXED
    return Column(name=name, kind=kind, stored_as=str(dtype))


def value_of(column: Column) -> Any:  # noqa: ANN401 - a polars expression
    """Return the cells, null where missing, in the type in which they are compared.

    Numbers keep every digit, times are integers, and of both zeros there is one.
    """
    polars = require("polars", extra="data")
    cells = polars.col(column.name)
    match column.kind:
        case Kind.FLOAT:
            cells = cells.cast(polars.Float64).fill_nan(None)
            return polars.when(cells == 0.0).then(0.0).otherwise(cells)
        case Kind.CATEGORY:
            return cells.cast(polars.String)
        case Kind.BOOLEAN:
            return cells.cast(polars.Int8)
        case Kind.DATETIME | Kind.DURATION | Kind.TIME:
            return cells.to_physical() * (1000 if "'ms'" in column.stored_as else 1)
        case _:
            return cells


def is_missing(column: Column) -> Any:  # noqa: ANN401 - a polars expression
    """Return whether a cell is null or NaN."""
    polars = require("polars", extra="data")
    cells = polars.col(column.name)
    return (
        cells.is_null() | cells.is_nan().fill_null(value=False)
        if column.kind is Kind.FLOAT
        else cells.is_null()
    )


def polars_predicate(predicate: Predicate, columns: Mapping[str, Column]) -> Any:  # noqa: ANN401
    """Translate a predicate that `meaning.resolve` returned."""
    polars = require("polars", extra="data")
    match predicate:
        case And(parts) | Or(parts):
            join = operator.and_ if isinstance(predicate, And) else operator.or_
            start = polars.lit(isinstance(predicate, And))
            return functools.reduce(join, [polars_predicate(part, columns) for part in parts], start)
        case Not(part):
            return ~polars_predicate(part, columns)
        case Missing(name):
            return is_missing(columns[name])
        case CompareColumns(left, relation, right):
            found = _compare_columns(columns[left], relation, columns[right])
        case Compare(name, relation, value):
            found = COMPARISONS[relation](value_of(columns[name]), _constant(columns[name], value))
        case OneOf(name, values):
            found = _one_of(columns[name], values)
        case Infinite(name):
            found = value_of(columns[name]).is_infinite()
        case Fraction(name):
            cells = value_of(columns[name])
            found = cells.is_infinite() | (cells.floor() != cells)
        case Matches(name, pattern, whole):
            anchored = rf"\A(?:{pattern})\z" if whole else rf"\A(?:{pattern})"
            found = value_of(columns[name]).str.contains(anchored)
        case HasPart(name, part, where):
            text = value_of(columns[name]).str
            found = {
                "start": text.starts_with(part),
                "end": text.ends_with(part),
                "anywhere": text.contains(part, literal=True),
            }[where]
        case Length(name, least, most):
            size = value_of(columns[name]).str.len_chars().cast(polars.Int64)
            found = (size >= (least or 0)) & (size <= (2**62 if most is None else most))
    return found.fill_null(value=False)


def _constant(column: Column, value: Value) -> Any:  # noqa: ANN401 - a polars expression
    polars = require("polars", extra="data")
    match column.kind:
        case Kind.BOOLEAN | Kind.INTEGER:
            return _integer(column, value)
        case Kind.FLOAT:
            return polars.lit(value, dtype=polars.Float64)
        case Kind.DECIMAL:
            precision, scale = decimal_type(column)
            return polars.lit(value, dtype=polars.Decimal(precision, scale))
        case Kind.DATETIME | Kind.DURATION | Kind.TIME:
            return _integer(column, ticks_of(column, value))
        case _:
            return polars.lit(value)


def _integer(column: Column, value: Any) -> Any:  # noqa: ANN401 - a polars expression
    """Return a literal that makes the column neither a float nor wider than it must be."""
    polars = require("polars", extra="data")
    fits = -(2**63) <= value < 2**63 and column.stored_as not in {"UInt64", "UInt128", "Int128"}
    return polars.lit(value, dtype=polars.Int64 if fits else polars.Int128)


def _one_of(column: Column, values: tuple[Value, ...]) -> Any:  # noqa: ANN401 - a polars expression
    polars = require("polars", extra="data")
    cells = value_of(column)
    if column.kind in TEXTS:
        return cells.is_in(polars.Series(list(values), dtype=polars.String).implode())
    found = [cells == _constant(column, value) for value in values]
    return functools.reduce(operator.or_, found, polars.lit(value=False))


def _compare_columns(left: Column, relation: Relation, right: Column) -> Any:  # noqa: ANN401
    polars = require("polars", extra="data")
    first, second = value_of(left), value_of(right)
    kinds = {left.kind, right.kind}
    if kinds == {Kind.INTEGER, Kind.FLOAT}:
        return _compare_exactly(first, relation, second, swapped=left.kind is Kind.FLOAT)
    if kinds == {Kind.INTEGER} and left.stored_as != right.stored_as:
        first, second = first.cast(polars.Int128), second.cast(polars.Int128)
    if kinds <= {Kind.DATETIME, Kind.DURATION} and is_nanoseconds(left) is not is_nanoseconds(right):
        first, second = (
            side.cast(polars.Int128) * (1 if is_nanoseconds(column) else 1000)
            for side, column in ((first, left), (second, right))
        )
    return COMPARISONS[relation](first, second)


def _compare_exactly(first: Any, relation: Relation, second: Any, *, swapped: bool) -> Any:  # noqa: ANN401
    """Compare whole numbers with floats; a float has no room for integers beyond 2**53."""
    polars = require("polars", extra="data")
    whole, real = (second, first) if swapped else (first, second)
    rounded = whole.cast(polars.Float64)
    whole = whole.cast(polars.Int128)
    near, cut = rounded == real, real.cast(polars.Int128, strict=False)
    equal = near & (whole == cut)
    less = (rounded < real) | (near & (whole < cut))
    if swapped:
        less = ~less & ~equal
    return {
        Relation.EQUAL: equal,
        Relation.DIFFERENT: ~equal,
        Relation.LESS: less,
        Relation.AT_MOST: less | equal,
        Relation.GREATER: ~less & ~equal,
        Relation.AT_LEAST: ~less,
    }[relation]
