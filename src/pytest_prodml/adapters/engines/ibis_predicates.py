"""Columns and predicates -> ibis expressions that are never null, on any backend of ibis."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

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
from pytest_prodml.adapters.engines.meaning import COMPARISONS, decimal_type
from pytest_prodml.adapters.engines.ticks import TICKING, is_nanoseconds, ticks_of

#: What a predicate is where its cell is missing.
NO: Final = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bound:
    """Columns of one ibis table. `counts_ticks`: the backend gives times as whole numbers (DuckDB does)."""

    table: Any
    columns: Mapping[str, Column]
    counts_ticks: bool


def ibis_column(name: str, dtype: Any) -> Column:  # noqa: ANN401 - ibis' type
    """Return what an ibis column is."""
    if dtype.is_timestamp():
        return Column(name=name, kind=Kind.DATETIME, stored_as=str(dtype), zone=dtype.timezone)
    tests = (
        ("boolean", Kind.BOOLEAN),
        ("integer", Kind.INTEGER),
        ("floating", Kind.FLOAT),
        ("decimal", Kind.DECIMAL),
        ("string", Kind.TEXT),
        ("date", Kind.DATE),
        ("time", Kind.TIME),
        ("interval", Kind.DURATION),
        ("binary", Kind.BINARY),
        ("null", Kind.EMPTY),
    )
    kind = next((kind for test, kind in tests if getattr(dtype, f"is_{test}")()), Kind.NESTED)
    if dtype.is_unknown():
        # Two types of DuckDB that ibis has no name for.
        if 'kind="NULL"' in str(dtype):
            kind = Kind.EMPTY
        elif "TIMESTAMPTZ_NS" in str(dtype):
            return Column(name=name, kind=Kind.DATETIME, stored_as="timestamp('UTC', 9)", zone="UTC")
    return Column(name=name, kind=kind, stored_as=str(dtype))


def number(value: float) -> Any:  # noqa: ANN401 - an ibis expression
    """Return a float as a literal that no engine reads as a decimal first."""
    return require("ibis", extra="duckdb").literal(repr(float(value))).cast("float64")


def is_infinite(cells: Any) -> Any:  # noqa: ANN401 - ibis expressions
    """Return whether a float is infinite; `isinf` of ibis is not what it says on every backend."""
    return (cells == number(math.inf)) | (cells == number(-math.inf))


def value_of(bound: Bound, column: Column) -> Any:  # noqa: ANN401 - an ibis expression
    """Return the cells, null where missing, in the type in which they are compared."""
    ibis = require("ibis", extra="duckdb")
    cells = bound.table[column.name]
    match column.kind:
        case Kind.FLOAT:
            # DuckDB's NaN equals itself and is the largest number.
            cells = cells.cast("float64")
            return ibis.cases(
                (cells.isnan(), ibis.null("float64")), (cells == number(0.0), number(0.0)), else_=cells
            )
        case Kind.CATEGORY:
            return cells.cast("string")
        case Kind.BOOLEAN:
            return cells.cast("int8")
        case Kind.DATETIME | Kind.DURATION | Kind.TIME if bound.counts_ticks:
            unit = "epoch_ns" if is_nanoseconds(column) else "epoch_us"
            return _ticks(unit, cells.type())(cells)
        case _:
            return cells


@functools.cache
def _ticks(name: str, dtype: Any) -> Any:  # noqa: ANN401 - ibis' types
    ibis = require("ibis", extra="duckdb")

    def ticks(moment: Any) -> None:  # noqa: ANN401 - a declaration of what DuckDB has
        ...

    return ibis.udf.scalar.builtin(ticks, name=name, signature=((dtype,), "int64"))


def is_missing(bound: Bound, column: Column) -> Any:  # noqa: ANN401 - an ibis expression
    """Return whether a cell is null or NaN."""
    cells = bound.table[column.name]
    missing = cells.isnull()
    return missing | cells.isnan().fill_null(NO) if column.kind is Kind.FLOAT else missing


def ibis_predicate(predicate: Predicate, bound: Bound) -> Any:  # noqa: ANN401 - an ibis expression
    """Translate a predicate that `meaning.resolve` returned."""
    ibis = require("ibis", extra="duckdb")
    columns = bound.columns
    match predicate:
        case And(parts) | Or(parts):
            join = operator.and_ if isinstance(predicate, And) else operator.or_
            start = ibis.literal(isinstance(predicate, And))
            return functools.reduce(join, [ibis_predicate(part, bound) for part in parts], start)
        case Not(part):
            return ~ibis_predicate(part, bound)
        case Missing(name):
            return is_missing(bound, columns[name])
        case CompareColumns(left, relation, right):
            found = _compare_columns(bound, columns[left], relation, columns[right])
        case Compare(name, relation, value):
            found = COMPARISONS[relation](
                value_of(bound, columns[name]), _constant(bound, columns[name], value)
            )
        case OneOf(name, values):
            found = value_of(bound, columns[name]).isin(
                [_constant(bound, columns[name], value) for value in values]
            )
        case Infinite(name):
            found = is_infinite(value_of(bound, columns[name]))
        case Fraction(name):
            cells = value_of(bound, columns[name])
            found = is_infinite(cells) | (
                ibis.ifelse(is_infinite(cells), number(0.0), cells) % number(1.0) != number(0.0)
            )
        case Matches(name, pattern, whole):
            anchored = rf"\A(?:{pattern})\z" if whole else rf"\A(?:{pattern})"
            found = value_of(bound, columns[name]).re_search(anchored)
        case HasPart(name, part, where):
            text = value_of(bound, columns[name])
            found = {"start": text.startswith, "end": text.endswith, "anywhere": text.contains}[where](part)
        case Length(name, least, most):
            size = value_of(bound, columns[name]).length()
            found = size >= (least or 0)
            found = found if most is None else found & (size <= most)
    return found.fill_null(NO)


def _constant(bound: Bound, column: Column, value: Value) -> Any:  # noqa: ANN401 - an ibis expression
    ibis = require("ibis", extra="duckdb")
    match column.kind:
        case Kind.BOOLEAN | Kind.INTEGER:
            return _integer(int(value))  # type: ignore[arg-type]  # `resolve` made it a number
        case Kind.FLOAT:
            return number(value)  # type: ignore[arg-type]
        case Kind.DECIMAL:
            precision, scale = decimal_type(column)
            return ibis.literal(f"{value:f}").cast(f"decimal({precision}, {scale})")
        case Kind.DATETIME | Kind.DURATION | Kind.TIME if bound.counts_ticks:
            return _integer(ticks_of(column, value))
        case _:
            return ibis.literal(value)


def _integer(value: int) -> Any:  # noqa: ANN401 - an ibis expression
    ibis = require("ibis", extra="duckdb")
    if -(2**63) <= value < 2**63:
        return ibis.literal(value, type="int64")
    return ibis.literal(str(value)).cast("decimal(38, 0)")


def _compare_columns(bound: Bound, left: Column, relation: Relation, right: Column) -> Any:  # noqa: ANN401
    first, second = value_of(bound, left), value_of(bound, right)
    kinds = {left.kind, right.kind}
    if kinds == {Kind.INTEGER, Kind.FLOAT}:
        return _compare_exactly(first, relation, second, swapped=left.kind is Kind.FLOAT)
    if kinds == {Kind.INTEGER} and left.stored_as != right.stored_as:
        first, second = first.cast("decimal(38, 0)"), second.cast("decimal(38, 0)")
    if bound.counts_ticks and kinds <= TICKING and is_nanoseconds(left) is not is_nanoseconds(right):
        first, second = (
            side.cast("decimal(38, 0)") * (1 if is_nanoseconds(column) else 1000)
            for side, column in ((first, left), (second, right))
        )
    return COMPARISONS[relation](first, second)


def _compare_exactly(first: Any, relation: Relation, second: Any, *, swapped: bool) -> Any:  # noqa: ANN401
    """Compare whole numbers with floats; a float has no room for integers beyond 2**53."""
    ibis = require("ibis", extra="duckdb")
    whole, real = (second, first) if swapped else (first, second)
    rounded = whole.cast("float64")
    whole = whole.cast("decimal(38, 0)")
    near = rounded == real
    # Only a float that an integer is near to becomes a whole number; others may be too large for one.
    cut = ibis.ifelse(near, real, number(0.0)).cast("decimal(38, 0)")
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
