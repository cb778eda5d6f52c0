"""A built-in check of pandera and a column -> the predicate of the rows that break it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from pytest_prodml.adapters.engines.expressions import (
    And,
    Column,
    Compare,
    HasPart,
    Kind,
    Length,
    Matches,
    Not,
    OneOf,
    Predicate,
    Relation,
    Value,
    present_and,
)
from pytest_prodml.adapters.engines.patterns import portable_pattern
from pytest_prodml.adapters.kinds import rounded_as

_NUMBERS = frozenset((Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL))
_TEXTS = frozenset((Kind.TEXT, Kind.CATEGORY))


def predicate(check: Any, column: Column) -> Predicate | None:  # noqa: ANN401
    """Return which rows break a built-in check of pandera; None where only pandera can say.

    As in pandera, a missing cell breaks no check: whether it is allowed is the rule ``not_nullable``.
    """
    if not is_built_in(check) or check.element_wise or check.groupby is not None or not check.ignore_na:
        return None
    return _BUILT_IN[check.name](column, check.statistics or {})


def is_built_in(check: Any) -> bool:  # noqa: ANN401
    """Say whether it is a check of pandera's own that has a predicate."""
    if check.name not in _BUILT_IN:
        return False
    # A check of the project's own can carry a built-in name and the statistics of its strategy.
    registered = type(check).CHECK_FUNCTION_REGISTRY.get(check.name)
    own: Any = getattr(check, "_check_fn", None)
    if registered is None or type(own) is not type(registered):
        return False
    # Schemas copy their checks, dispatchers included; the functions inside stay the same objects. A backend
    # that is imported later adds its own to the registered dispatcher, and not to the copies.
    known = registered._function_registry  # noqa: SLF001 - pandera tells it nowhere else
    return all(
        known.get(kind) is function and function.__module__.startswith("pandera.")
        for kind, function in own._function_registry.items()  # noqa: SLF001
    )


def _compared(column: Column, relation: Relation, value: object) -> Predicate | None:
    constant = _constant(column, value)
    ordered = relation not in {Relation.EQUAL, Relation.DIFFERENT}
    if constant is None or (ordered and column.kind in {*_TEXTS, Kind.BOOLEAN}):
        return None
    return Compare(column.name, relation, constant)


def _constant(column: Column, value: object) -> Value | None:
    """Return the constant as plain Python, rounded as the column's numbers are; None: not comparable."""
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    kind = column.kind
    if kind in _NUMBERS and isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return rounded_as(column, value)
    if kind in _TEXTS and isinstance(value, str):
        return value
    if kind is Kind.BOOLEAN and isinstance(value, bool):
        return value
    if kind is Kind.DATE and type(value) is dt.date:
        return value
    if kind is Kind.DATETIME and isinstance(value, dt.datetime):
        return _instant(value) if (value.tzinfo is None) == (column.zone is None) else None
    return None


def _instant(value: dt.datetime) -> dt.datetime | None:
    """Return a plain datetime; None for one that is finer than microseconds."""
    if getattr(value, "nanosecond", 0):
        return None
    to_plain: Callable[[], dt.datetime] | None = getattr(value, "to_pydatetime", None)
    return value if to_plain is None else to_plain()


def _unless(holds: Predicate | None, column: Column) -> Predicate | None:
    """Return that a value is there and `holds` is false."""
    return None if holds is None else present_and(column.name, Not(holds))


def _relation(relation: Relation, key: str) -> Callable[[Column, Mapping[str, Any]], Predicate | None]:
    def build(column: Column, facts: Mapping[str, Any]) -> Predicate | None:
        return _unless(_compared(column, relation, facts[key]), column)

    return build


def _in_range(column: Column, facts: Mapping[str, Any]) -> Predicate | None:
    low = _compared(
        column, Relation.AT_LEAST if facts["include_min"] else Relation.GREATER, facts["min_value"]
    )
    high = _compared(column, Relation.AT_MOST if facts["include_max"] else Relation.LESS, facts["max_value"])
    return None if low is None or high is None else _unless(And((low, high)), column)


def _one_of(key: str, *, allowed: bool) -> Callable[[Column, Mapping[str, Any]], Predicate | None]:
    def build(column: Column, facts: Mapping[str, Any]) -> Predicate | None:
        given = facts[key]
        if isinstance(given, str):
            return None
        values = [_constant(column, item) for item in given if item is not None]
        if any(value is None for value in values):
            return None
        listed = OneOf(column.name, tuple(value for value in values if value is not None))
        return _unless(listed, column) if allowed else listed

    return build


def _matches(column: Column, facts: Mapping[str, Any]) -> Predicate | None:
    pattern = facts["pattern"]
    portable = portable_pattern(pattern) if isinstance(pattern, str) else None
    if portable is None or column.kind not in _TEXTS:
        return None
    return _unless(Matches(column.name, portable), column)


def _part(where: str, key: str) -> Callable[[Column, Mapping[str, Any]], Predicate | None]:
    def build(column: Column, facts: Mapping[str, Any]) -> Predicate | None:
        part = facts[key]
        if column.kind not in _TEXTS or not isinstance(part, str):
            return None
        if where == "anywhere" and re.escape(part) != part:
            # str_contains searches for a pattern.
            return None
        return _unless(HasPart(column.name, part, where), column)

    return build


def _length(column: Column, facts: Mapping[str, Any]) -> Predicate | None:
    exact = facts.get("exact_value")
    low, high = (exact, exact) if exact is not None else (facts.get("min_value"), facts.get("max_value"))
    numbers = all(limit is None or type(limit) is int for limit in (low, high))
    if column.kind not in _TEXTS or not numbers or low is high is None:
        return None
    return _unless(Length(column.name, low, high), column)


_BUILT_IN: Mapping[str, Callable[[Column, Mapping[str, Any]], Predicate | None]] = MappingProxyType(
    {
        "equal_to": _relation(Relation.EQUAL, "value"),
        "not_equal_to": _relation(Relation.DIFFERENT, "value"),
        "greater_than": _relation(Relation.GREATER, "min_value"),
        "greater_than_or_equal_to": _relation(Relation.AT_LEAST, "min_value"),
        "less_than": _relation(Relation.LESS, "max_value"),
        "less_than_or_equal_to": _relation(Relation.AT_MOST, "max_value"),
        "in_range": _in_range,
        "isin": _one_of("allowed_values", allowed=True),
        "notin": _one_of("forbidden_values", allowed=False),
        "str_matches": _matches,
        "str_startswith": _part("start", "string"),
        "str_endswith": _part("end", "string"),
        "str_contains": _part("anywhere", "pattern"),
        "str_length": _length,
    }
)
