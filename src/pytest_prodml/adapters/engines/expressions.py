"""What can be asked of a table in one scan: predicates over a row, and aggregates over all rows.

Predicates are two-valued on every engine. A cell is *missing* when it is null or, in a floating-point column,
NaN; every predicate about a value is false where the value is missing, and `Not` is plain negation of that
(so "present and outside the range" is ``And(Not(Missing(c)), Not(Between(c, ...)))``). ``-0.0 == 0.0``; times
with a zone are instants; texts compare by code point. An engine that cannot answer an expression exactly so
refuses it, it never answers something near.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

Value: TypeAlias = bool | int | float | Decimal | str | dt.date | dt.datetime | dt.time | dt.timedelta


class Kind(StrEnum):
    """What the cells of a column are, whatever an engine calls it."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    TEXT = "text"
    CATEGORY = "category"
    DATE = "date"
    TIME = "time"
    DATETIME = "datetime"
    DURATION = "duration"
    BINARY = "binary"
    NESTED = "nested"
    #: No value in any row, and no type of its own.
    EMPTY = "empty"
    #: Cells of several kinds in one column (pandas ``object``); nothing but `Missing` can be asked of it.
    MIXED = "mixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as an engine sees it.

    `stored_as` is the engine's own name of the type, `zone` the time zone of a `Kind.DATETIME` column (None
    where it has none). `found` counts the types of the cells of a `Kind.MIXED` column by name.
    """

    name: str
    kind: Kind
    stored_as: str
    zone: str | None = None
    found: tuple[tuple[str, int], ...] = ()


class Relation(StrEnum):
    """How two values compare."""

    EQUAL = "=="
    DIFFERENT = "!="
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="


@dataclass(frozen=True, slots=True)
class Missing:
    """The cell is null, or NaN in a floating-point column."""

    column: str


@dataclass(frozen=True, slots=True)
class Infinite:
    """The cell of a floating-point column is plus or minus infinity."""

    column: str


@dataclass(frozen=True, slots=True)
class Compare:
    """The cell stands in `relation` to a constant."""

    column: str
    relation: Relation
    value: Value


@dataclass(frozen=True, slots=True)
class CompareColumns:
    """Two cells of a row stand in `relation`; false where either is missing."""

    left: str
    relation: Relation
    right: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """The cell equals one of `values`."""

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Matches:
    """A text fits a regular expression from its start (`whole` False, as `re.match`) or as a whole.

    Only the part of the syntax that means the same in every engine is accepted; see `portable_pattern`.
    """

    column: str
    pattern: str
    whole: bool = False


@dataclass(frozen=True, slots=True)
class HasPart:
    """A text starts with, ends with or contains a literal text (`where` is "start", "end" or "anywhere")."""

    column: str
    part: str
    where: str


@dataclass(frozen=True, slots=True)
class Length:
    """A text has between `least` and `most` code points; None is no limit."""

    column: str
    least: int | None
    most: int | None


@dataclass(frozen=True, slots=True)
class Fraction:
    """A number of a floating-point column is no whole number (infinities are not whole)."""

    column: str


@dataclass(frozen=True, slots=True)
class And:
    """All hold."""

    parts: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one holds."""

    parts: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold."""

    part: Predicate


Predicate: TypeAlias = (
    Missing
    | Infinite
    | Compare
    | CompareColumns
    | OneOf
    | Matches
    | HasPart
    | Length
    | Fraction
    | And
    | Or
    | Not
)


@dataclass(frozen=True, slots=True)
class Rows:
    """The number of rows."""


@dataclass(frozen=True, slots=True)
class CountWhere:
    """The number of rows for which the predicate holds."""

    predicate: Predicate


@dataclass(frozen=True, slots=True)
class Least:
    """The smallest value that is present; None where there is none."""

    column: str


@dataclass(frozen=True, slots=True)
class Greatest:
    """The largest value that is present; None where there is none."""

    column: str


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of the present finite numbers as a float, each minus `shift`, to the power of `power` (1 to 4).

    Booleans count as 0 and 1. 0.0 where there is none.
    """

    column: str
    shift: float = 0.0
    power: int = 1


@dataclass(frozen=True, slots=True)
class Distinct:
    """The exact number of different rows of some columns; missing is one value, equal to itself."""

    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Repeated:
    """The number of rows whose values of some columns another row has too; missing equals missing."""

    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quantile:
    """The smallest present finite value that at least the share `probability` of them does not exceed.

    (The inverse of the empirical distribution, ``method="inverted_cdf"`` of `numpy.quantile`.) None where
    there is none.
    """

    column: str
    probability: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many present finite numbers lie in each cell of ascending `edges`.

    k edges make k + 1 cells: ``(-inf, e0], (e0, e1], ..., (e_{k-1}, inf)``. Infinities and missing cells are
    in none. The answer is a tuple of k + 1 integers.
    """

    column: str
    edges: tuple[float, ...]


Aggregate: TypeAlias = Rows | CountWhere | Least | Greatest | Sum | Distinct | Repeated | Quantile | Histogram


def present(column: str) -> Predicate:
    """Return that the cell is not missing."""
    return Not(Missing(column))


def present_and(column: str, *parts: Predicate) -> Predicate:
    """Return that the cell is there and all `parts` hold."""
    return And((present(column), *parts))


def columns_of(expression: Predicate | Aggregate) -> frozenset[str]:
    """Return the names of the columns that an expression reads."""
    match expression:
        case Rows():
            return frozenset()
        case CountWhere(predicate):
            return columns_of(predicate)
        case And(parts) | Or(parts):
            return frozenset[str]().union(*(columns_of(part) for part in parts))
        case Not(part):
            return columns_of(part)
        case CompareColumns(left, _, right):
            return frozenset((left, right))
        case Distinct(columns) | Repeated(columns):
            return frozenset(columns)
        case _:
            return frozenset((expression.column,))


def any_of(parts: Sequence[Predicate]) -> Predicate:
    """Return that at least one holds; a single part stands for itself."""
    return parts[0] if len(parts) == 1 else Or(tuple(parts))
