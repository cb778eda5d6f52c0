"""What an expression means for the columns of one table: refused, or brought to the columns' own types.

Both engines translate only what comes out of here, so that a constant is never compared by a rule of
promotion that one of them has and the other has not.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import operator
import struct
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

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
    columns_of,
)
from pytest_prodml.adapters.tables import no_column
from pytest_prodml.errors import InputError

TRUE: Predicate = And(())
FALSE: Predicate = Or(())

TEXTS = frozenset({Kind.TEXT, Kind.CATEGORY})
NUMBERS = frozenset({Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL})
ORDERED = TEXTS | NUMBERS | frozenset({Kind.DATE, Kind.TIME, Kind.DATETIME, Kind.DURATION})
#: Kinds whose cells can be counted and told apart.
COUNTABLE = ORDERED | {Kind.BINARY}
#: Probabilities are taken to nine decimals, so that every engine finds the rank by whole numbers.
QUANTILE_STEPS = 10**9
COMPARISONS: Mapping[Relation, Callable[[Any, Any], Any]] = {
    Relation.EQUAL: operator.eq,
    Relation.DIFFERENT: operator.ne,
    Relation.LESS: operator.lt,
    Relation.AT_MOST: operator.le,
    Relation.GREATER: operator.gt,
    Relation.AT_LEAST: operator.ge,
}
_BELOW = frozenset({Relation.LESS, Relation.AT_MOST, Relation.DIFFERENT})
_ABOVE = frozenset({Relation.GREATER, Relation.AT_LEAST, Relation.DIFFERENT})


def look_up(columns: Mapping[str, Column], name: str, where: str) -> Column:
    """Return a column, or say which there are."""
    if name not in columns:
        raise no_column(name, columns, where=where)
    return columns[name]


def require_kind(column: Column, kinds: Iterable[Kind], asked: str, where: str) -> bool:
    """Return whether the column has values at all; raise where its kind can not answer what is `asked`."""
    if column.kind is Kind.EMPTY:
        return False
    if column.kind not in kinds:
        more = ", ".join(f"{count:,} {name}" for name, count in column.found)
        raise InputError(
            f"the column {column.name!r} holds {column.kind} ({column.stored_as}), "
            f"and {asked} needs another kind",
            where=where,
            hint=f"its cells are {more}; give it one type" if more else None,
        )
    return True


def resolve(predicate: Predicate, columns: Mapping[str, Column], where: str) -> Predicate:
    """Return an equal predicate whose constants have the types of their columns.

    A constant is taken to the column's type: to the nearest float of a floating-point column's width, to the
    decimal as it is written, to an instant. What can not be so is decided here: no integer equals 0.5.
    ``And(())`` is true and ``Or(())`` false.

    Raises
    ------
    InputError
        If a column is not there, or its kind can not answer.
    """
    match predicate:
        case And(parts):
            return And(tuple(resolve(part, columns, where) for part in parts))
        case Or(parts):
            return Or(tuple(resolve(part, columns, where) for part in parts))
        case Not(part):
            return Not(resolve(part, columns, where))
        case Missing(name):
            return TRUE if look_up(columns, name, where).kind is Kind.EMPTY else predicate
        case Infinite(name) | Fraction(name):
            column = look_up(columns, name, where)
            there = require_kind(column, NUMBERS, "a question about a number", where)
            return predicate if there and column.kind is Kind.FLOAT else _no_float(predicate, column, where)
        case Matches(name) | HasPart(name) | Length(name):
            there = require_kind(look_up(columns, name, where), TEXTS, "a question about a text", where)
            if isinstance(predicate, HasPart):
                _encodable(predicate.part, name, where)
            return predicate if there else FALSE
        case Compare(name, relation, value):
            column = look_up(columns, name, where)
            there = require_kind(column, ORDERED, f"a comparison with {value!r}", where)
            return _constant(column, relation, value, where) if there else FALSE
        case OneOf(name, values):
            column = look_up(columns, name, where)
            if not require_kind(column, ORDERED, "a comparison with constants", where):
                return FALSE
            found = [_constant(column, Relation.EQUAL, value, where) for value in values]
            # An equality that no cell can meet has become a constant.
            possible = tuple(part.value for part in found if isinstance(part, Compare))
            return OneOf(name, possible) if possible else FALSE
        case CompareColumns(left, _, right):
            sides = look_up(columns, left, where), look_up(columns, right, where)
            asked = f"a comparison of {left!r} with {right!r}"
            if not all(require_kind(side, ORDERED, asked, where) for side in sides):
                return FALSE
            _require_comparable(*sides, where)
            return predicate


def truth(predicate: Predicate) -> bool | None:
    """Return what a resolved predicate is for every row; None where that depends on the row."""
    match predicate:
        case And(parts) if columns_of(predicate) == frozenset():
            return all(truth(part) for part in parts)
        case Or(parts) if columns_of(predicate) == frozenset():
            return any(truth(part) for part in parts)
        case Not(part) if columns_of(predicate) == frozenset():
            return not truth(part)
        case _:
            return None


def _no_float(predicate: Infinite | Fraction, column: Column, where: str) -> Predicate:
    if isinstance(predicate, Fraction) and column.kind is Kind.DECIMAL:
        raise InputError(
            f"whether decimals are whole is not counted, and {column.name!r} holds such", where=where
        )
    return FALSE


def _require_comparable(left: Column, right: Column, where: str) -> None:
    groups = [
        TEXTS,
        frozenset({Kind.INTEGER, Kind.FLOAT}),
        *(frozenset({kind}) for kind in ORDERED - TEXTS - {Kind.INTEGER, Kind.FLOAT}),
    ]
    if not any(left.kind in group and right.kind in group for group in groups):
        raise InputError(
            f"{left.name!r} holds {left.kind} and {right.name!r} holds {right.kind}, "
            "which have no common order",
            where=where,
        )
    if left.kind is Kind.DATETIME and (left.zone is None) is not (right.zone is None):
        aware, naive = (left, right) if left.zone is not None else (right, left)
        raise InputError(
            f"{aware.name!r} has a time zone and {naive.name!r} has none, so neither is before the other",
            where=where,
        )


def _constant(column: Column, relation: Relation, value: Value, where: str) -> Predicate:
    """Return a comparison with a constant in the column's type, or what it comes to."""
    match column.kind:
        case Kind.INTEGER | Kind.BOOLEAN if isinstance(value, bool | int | float | Decimal):
            return _with_integer(column, relation, value, where)
        case Kind.FLOAT if isinstance(value, bool | int | float | Decimal):
            return Compare(column.name, relation, _nearest(column, value, where))
        case Kind.DECIMAL if isinstance(value, bool | int | float | Decimal):
            return _with_decimal(column, relation, value, where)
        case Kind.TEXT | Kind.CATEGORY if isinstance(value, str):
            return Compare(column.name, relation, _encodable(str(value), column.name, where))
        case Kind.DATE if isinstance(value, dt.datetime) and value.tzinfo is None:
            day = value.date()
            if value == dt.datetime.combine(day, dt.time()):
                return Compare(column.name, relation, day)
            return _between(column, relation, below=day)
        case Kind.DATE if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
            return Compare(column.name, relation, value)
        case Kind.DATETIME if isinstance(value, dt.date):
            return Compare(column.name, relation, _instant(column, value, where))
        case Kind.TIME if isinstance(value, dt.time) and value.tzinfo is None:
            return Compare(column.name, relation, value)
        case Kind.DURATION if isinstance(value, dt.timedelta):
            return Compare(column.name, relation, value)
    raise InputError(
        f"the column {column.name!r} holds {column.kind} ({column.stored_as}) "
        f"and can not be compared with {value!r}",
        where=where,
    )


def _between(column: Column, relation: Relation, *, below: Value) -> Predicate:
    """Compare with a constant that lies just above `below`, where the column has no value."""
    if relation in {Relation.LESS, Relation.AT_MOST}:
        return Compare(column.name, Relation.AT_MOST, below)
    if relation in {Relation.GREATER, Relation.AT_LEAST}:
        return Compare(column.name, Relation.GREATER, below)
    return FALSE if relation is Relation.EQUAL else Not(Missing(column.name))


def _beyond(column: Column, relation: Relation, *, above: bool) -> Predicate:
    """Compare with a constant above (or below) everything that the column can hold."""
    holds = relation in (_BELOW if above else _ABOVE)
    return Not(Missing(column.name)) if holds else FALSE


def _with_integer(column: Column, relation: Relation, value: float | Decimal, where: str) -> Predicate:
    _not_nan(column, value, where)
    if math.isinf(value):
        return _beyond(column, relation, above=value > 0)
    below = math.floor(value)
    if not -(2**63) <= below < 2**64:
        return _beyond(column, relation, above=below > 0)
    if below == value:
        return Compare(column.name, relation, below)
    return _between(column, relation, below=below)


def _with_decimal(column: Column, relation: Relation, value: float | Decimal, where: str) -> Predicate:
    _not_nan(column, value, where)
    if math.isinf(value):
        return _beyond(column, relation, above=value > 0)
    # A constant is the number that is written, not the binary number next to it.
    written = (
        value
        if isinstance(value, Decimal)
        else Decimal(str(value) if isinstance(value, float) else int(value))
    )
    precision, scale = decimal_type(column)
    if abs(written) >= Decimal(10) ** (precision - scale):
        return _beyond(column, relation, above=written > 0)
    with decimal.localcontext(prec=80):
        below = written.quantize(Decimal(1).scaleb(-scale), rounding=decimal.ROUND_FLOOR)
    if below == written:
        return Compare(column.name, relation, below)
    return _between(column, relation, below=below)


def decimal_type(column: Column) -> tuple[int, int]:
    """Return precision and scale, from a name such as ``decimal(12, 2)``."""
    inside = column.stored_as.partition("(")[2].rstrip("! )")
    numbers = [int(part.partition("=")[2] or part) for part in inside.split(",")]
    return numbers[0], numbers[1]


def is_single(column: Column) -> bool:
    """Return whether a floating-point column has 32 bits."""
    return column.stored_as.lower().strip("! ") in {"float32", "float", "real"}


def _nearest(column: Column, value: float | Decimal, where: str) -> float:
    _not_nan(column, value, where)
    try:
        nearest = float(value)
        # What a float32 column holds for 0.1 is what a reader means who compares it with 0.1.
        if is_single(column) and math.isfinite(nearest):
            nearest = float(struct.unpack("f", struct.pack("f", nearest))[0])
    except OverflowError:
        raise InputError(
            f"{value!r} is beyond the numbers of the column {column.name!r}", where=where
        ) from None
    return nearest + 0.0


def _not_nan(column: Column, value: float | Decimal, where: str) -> None:
    if math.isnan(value):
        raise InputError(
            f"the column {column.name!r} is compared with NaN, which equals nothing",
            where=where,
            hint="ask for missing",
        )


def _encodable(text: str, name: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{text!r} is no Unicode text, so no cell of {name!r} can be it", where=where
        ) from None
    return text


def _instant(column: Column, value: dt.date, where: str) -> dt.datetime:
    moment = value if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time())
    if (moment.tzinfo is None) is not (column.zone is None):
        has = "a time zone" if column.zone is not None else "no time zone"
        raise InputError(
            f"the column {column.name!r} has {has} and the constant {value!s} is otherwise, "
            "so neither is before the other",
            where=where,
        )
    if moment.tzinfo is None:
        return moment.replace(fold=0)
    return moment.astimezone(dt.UTC)


def quantile_steps(probability: float) -> int:
    """Return a probability in steps of 1 / `QUANTILE_STEPS`."""
    if not 0 <= probability <= 1:
        raise InputError(f"a probability lies between 0 and 1, got {probability!r}")
    return round(probability * QUANTILE_STEPS)
