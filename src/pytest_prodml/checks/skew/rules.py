"""What a project declares about a feature -> when two of its cells are the same, and its types."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from pytest_prodml.adapters.engines.expressions import Column, Kind, Value
from pytest_prodml.errors import InputError

_NUMBERS = frozenset((Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL))
_TIMES = frozenset((Kind.DATE, Kind.TIME, Kind.DATETIME, Kind.DURATION))
_TEXTS = frozenset((Kind.TEXT, Kind.CATEGORY))
# Each fits into the next ones as long as the values do.
_WIDER = (Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT)


class State(StrEnum):
    """Why a cell has no value. Such cells are the same only within one state, or where a rule joins two."""

    NULL = "null"
    NAN = "NaN"
    EMPTY = "empty text"
    SENTINEL = "sentinel"
    ABSENT = "absent key"


@dataclass(frozen=True, slots=True)
class Exact:
    """Equal. ``-0.0 == 0.0``; times with a zone are instants; lists are equal element by element."""


@dataclass(frozen=True, slots=True)
class Absolute:
    """``|a - b| <= atol``; for times in seconds."""

    atol: float


@dataclass(frozen=True, slots=True)
class Relative:
    """``|a - b| <= atol + rtol * max(|a|, |b|)``; an infinity equals itself only."""

    rtol: float
    atol: float = 0.0


@dataclass(frozen=True, slots=True)
class Ulp:
    """At most so many floating-point numbers apart.

    Counted in 32 bits where either side is stored so, or where `bits` says so: the other side is cast first.
    """

    most: int = 1
    bits: int | None = None


@dataclass(frozen=True, slots=True)
class Rounded:
    """Equal when both are rounded to so many decimal digits."""

    digits: int


@dataclass(frozen=True, slots=True)
class SetOf:
    """The same elements, whatever their order and however often; texts are split at `separator` first."""

    separator: str | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """Equal after what is declared here is taken away: letter case, white space, the form of Unicode."""

    ignore_case: bool = True
    ignore_space: bool = True
    form: str | None = "NFC"


How: TypeAlias = Exact | Absolute | Relative | Ulp | Rounded | SetOf | Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When two cells of a feature are the same.

    `same_missing` names states (null, NaN, empty text, sentinel, absent key) that mean the same in this
    feature; `sentinels` are values that stand for "missing"; `widening` lets the two sides have types of
    which one holds every value of the other (int32 and int64, float32 and float64, whole numbers and floats).
    """

    how: How
    same_missing: frozenset[str] = frozenset()
    sentinels: tuple[Value, ...] = ()
    widening: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A column of both tables and the rule that it is compared by."""

    name: str
    rule: Rule
    first: Column
    second: Column

    @property
    def kinds(self) -> frozenset[Kind]:
        """What the cells of both sides are; a column without any value is what the other one is."""
        return frozenset((self.first.kind, self.second.kind)) - {Kind.EMPTY}

    @property
    def is_number(self) -> bool:
        """Whether differences of its cells are numbers."""
        return bool(self.kinds & _NUMBERS)

    @property
    def is_time(self) -> bool:
        """Whether differences of its cells are seconds."""
        return bool(self.kinds & _TIMES)

    @property
    def is_text(self) -> bool:
        """Whether its cells are texts."""
        return bool(self.kinds & _TEXTS)


def checked_rule(name: str, rule: Rule | How) -> Rule:
    """Return a rule whose numbers mean something.

    Raises
    ------
    InputError
        If a tolerance is negative or not finite, or a state does not exist.
    """
    found = rule if isinstance(rule, Rule) else Rule(how=rule)
    states = {str(state) for state in State}
    for state in found.same_missing:
        if str(state) not in states:
            raise InputError(
                f"the rule of {name!r} joins {state!r}, which is no state of a missing cell",
                hint=f"one of: {', '.join(sorted(states))}",
            )
    match found.how:
        case Absolute(atol):
            given: tuple[float, ...] = (atol,)
        case Relative(rtol, atol):
            given = (rtol, atol)
            if rtol >= 1:
                raise InputError(f"the relative tolerance of {name!r} is {rtol!r}: at 1 everything agrees")
        case Ulp(most, bits):
            given = (most,)
            if bits not in {None, 32, 64}:
                raise InputError(f"floats of {name!r} have 32 or 64 bits, got {bits!r}")
        case Text(_, _, form) if form not in {None, "NFC", "NFD", "NFKC", "NFKD"}:
            raise InputError(f"there is no form of Unicode {form!r}", hint="NFC, NFD, NFKC, NFKD or None")
        case Rounded(digits):
            given = (digits,)
            if not isinstance(digits, int):
                raise InputError(f"{name!r} is rounded to whole numbers of digits, got {digits!r}")
        case _:
            given = ()
    for number in given:
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < math.inf:
            raise InputError(f"the tolerance of {name!r} must be a number from 0 on, got {number!r}")
    return found


def rule_for(
    name: str, kinds: frozenset[Kind], rules: Mapping[str, Rule | How], *, rtol: float, widening: bool
) -> Rule:
    """Return the declared rule of a feature, or the default of its kind.

    A key ending in ``*`` stands for all features that begin so; the longest that fits is taken.
    """
    fitting = [key for key in rules if key == name or (key.endswith("*") and name.startswith(key[:-1]))]
    if fitting:
        return checked_rule(name, rules[max(fitting, key=lambda key: (key == name, len(key)))])
    return Rule(how=Relative(rtol) if Kind.FLOAT in kinds else Exact(), widening=widening)


def type_difference(feature: Feature) -> str | None:
    """Return what is wrong with the types of both sides, or None if the rule allows them.

    Raises
    ------
    InputError
        If one side has times with a zone and the other without: they can not be compared at all.
    """
    first, second = feature.first, feature.second
    told = f"{first.stored_as} offline, {second.stored_as} online"
    if first.kind is Kind.EMPTY or second.kind is Kind.EMPTY:
        return None
    if first.kind is Kind.DATETIME and second.kind is Kind.DATETIME:
        check_zones(first, second)
        return None
    if first.kind is not second.kind:
        if feature.kinds <= _TEXTS:
            return None
        widens = feature.rule.widening and feature.kinds <= set(_WIDER)
        return None if widens else told + _hint(feature, widenable=feature.kinds <= set(_WIDER))
    same = first.stored_as == second.stored_as or first.kind in _TEXTS | {Kind.DURATION, Kind.TIME}
    if same or feature.rule.widening or (first.kind is Kind.FLOAT and isinstance(feature.rule.how, Ulp)):
        return told if first.kind is Kind.NESTED and not same else None
    return told + _hint(feature, widenable=first.kind in _NUMBERS)


def _hint(feature: Feature, *, widenable: bool) -> str:
    return "; allowed if its rule declares widening" if widenable and not feature.rule.widening else ""


def check_zones(first: Column, second: Column, sides: tuple[str, str] = ("offline", "online")) -> None:
    """Refuse to compare instants with times that no zone makes instants.

    Raises
    ------
    InputError
        If exactly one of the columns has a zone.
    """
    if (first.zone is None) is not (second.zone is None):
        zones = [column.zone or "without zone" for column in (first, second)]
        told = ", ".join(f"{zone} {side}" for zone, side in zip(zones, sides, strict=True))
        raise InputError(
            f"the times {first.name!r} have a zone on one side only: {told}",
            hint="say which zone the other side means (dt.tz_localize, dt.replace_time_zone)",
        )


def check_fits(feature: Feature) -> None:
    """Refuse a rule that means nothing for the kind of its feature.

    Raises
    ------
    InputError
        If the rule or one of its sentinels does not fit the cells.
    """
    for column in (feature.first, feature.second):
        if column.kind is Kind.MIXED or (column.kind is Kind.NESTED and column.stored_as == "object"):
            found = ", ".join(name for name, _ in column.found[:4]) or "objects"
            raise InputError(
                f"the cells of {feature.name!r} are of several kinds ({found}) and can not be compared",
                hint="ignore the column, or give it one type",
            )
    is_list = Kind.NESTED in feature.kinds
    is_float = Kind.FLOAT in feature.kinds
    match feature.rule.how:
        case Exact():
            fits = True
        case Absolute():
            fits = feature.is_number or feature.is_time
        case Relative() | Rounded():
            fits = feature.is_number
        case Ulp():
            fits = is_float
        case SetOf(separator):
            fits = is_list if separator is None else feature.is_text
        case Text():
            fits = feature.is_text
    kind = " and ".join(sorted(feature.kinds))
    if feature.kinds and not fits:
        raise InputError(
            f"the rule {type(feature.rule.how).__name__} does not fit {feature.name!r}, which is {kind}"
        )
    for value in feature.rule.sentinels:
        if feature.kinds and not _may_hold(feature, value):
            raise InputError(
                f"the sentinel {value!r} of {feature.name!r} can not stand in a column of {kind}"
            )


def _may_hold(feature: Feature, value: Value) -> bool:
    if isinstance(value, str):
        return feature.is_text
    if isinstance(value, (dt.date, dt.time, dt.timedelta)):
        return feature.is_time
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return feature.is_number and math.isfinite(value)
    return False
