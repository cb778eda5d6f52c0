"""Two tables and the columns that name a row -> their rows side by side, or why keys do not name rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_prodml._lazy import require
from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.expressions import Column, Kind
from pytest_prodml.adapters.engines.joining import collect
from pytest_prodml.adapters.engines.polars_predicates import value_of
from pytest_prodml.adapters.engines.ticks import is_nanoseconds, plain_value
from pytest_prodml.checks.counts import plain
from pytest_prodml.checks.skew.cells import OFFLINE, ONLINE, Expression
from pytest_prodml.checks.skew.rules import check_zones
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue

_TICKING = frozenset((Kind.DATETIME, Kind.TIME, Kind.DURATION))
_NO_KEYS = frozenset((Kind.FLOAT, Kind.NESTED, Kind.MIXED, Kind.EMPTY, Kind.BINARY))
_N = "\x00n"
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A column of the key: as the offline and the online table have it, and as the joined rows do."""

    name: str
    first: Column
    second: Column

    @property
    def _ticks(self) -> Column:
        """The column whose ticks the joined rows count in: the finer one."""
        return self.second if is_nanoseconds(self.second) else self.first

    def expression(self, column: Column) -> Expression:
        """Return the cells of one side as the type that both sides are joined in."""
        polars = require("polars", extra="data")
        cells = value_of(column)
        if self.first.kind in _TICKING and is_nanoseconds(self.first) is not is_nanoseconds(self.second):
            return cells.cast(polars.Int128) * (1 if is_nanoseconds(column) else 1000)
        if self.first.kind is Kind.INTEGER and self.first.stored_as != self.second.stored_as:
            return cells.cast(polars.Int128)
        return cells

    def shown(self, value: Any) -> JsonValue:  # noqa: ANN401 - whatever a cell is
        """Return a cell of the key for a reader."""
        column = self._ticks
        if isinstance(value, int) and column.kind in _TICKING:
            return str(plain_value(column, value))
        return plain(plain_value(column, value))


def key_name(place: int) -> str:
    """Return the name of a key column among the joined rows."""
    return f"\x00key {place}"


def keys_of(
    names: Sequence[str],
    first: Mapping[str, Column],
    second: Mapping[str, Column],
    sides: tuple[str, str] = ("offline", "online"),
) -> tuple[Key, ...]:
    """Return the columns that name a row on both sides; `sides` says in messages what these are.

    Raises
    ------
    InputError
        If they are of different kinds or of one that does not name anything, or have a zone on one side only.
    """
    keys = []
    for name in names:
        left, right = first[name], second[name]
        texts = {left.kind, right.kind} <= {Kind.TEXT, Kind.CATEGORY}
        if left.kind is not right.kind and not texts:
            raise InputError(
                f"the key {name!r} is {left.stored_as} {sides[0]} and {right.stored_as} {sides[1]}",
                hint="give it one type on both sides: a key that has to be guessed joins the wrong rows",
            )
        if left.kind in _NO_KEYS:
            raise InputError(
                f"the key {name!r} is {left.stored_as}, which names no row for sure",
                hint="cast it to whole numbers or text on both sides",
            )
        if left.kind is Kind.DECIMAL and left.stored_as != right.stored_as:
            raise InputError(
                f"the key {name!r} is {left.stored_as} {sides[0]} and {right.stored_as} {sides[1]}",
                hint="give it one number of digits on both sides",
            )
        if left.kind is Kind.DATETIME:
            check_zones(left, right, sides)
        keys.append(Key(name=name, first=left, second=right))
    return tuple(keys)


def keyed(
    frame: Any,  # noqa: ANN401 - polars' type
    keys: Sequence[Key],
    cells: Sequence[tuple[str, str]],
    *,
    side: str,
) -> Any:  # noqa: ANN401 - polars' type
    """Return the rows of one side under the names that joined rows have.

    Parameters
    ----------
    frame : polars.LazyFrame
        The rows.
    keys : sequence of Key
        What names a row.
    cells : sequence of (str, str)
        The columns to keep, and their names among the joined rows.
    side : str
        `OFFLINE` or `ONLINE`.
    """
    polars = require("polars", extra="data")
    columns = [key.first if side == OFFLINE else key.second for key in keys]
    named = [
        key.expression(replace(column, name=key.name)).alias(key_name(place))
        for place, (key, column) in enumerate(zip(keys, columns, strict=True))
    ]
    kept = [polars.col(name).alias(alias) for name, alias in cells]
    return frame.select(*named, polars.lit(value=True).alias(side), *kept)


def check_keys(rows: Any, keys: Sequence[Key], table: Table) -> int:  # noqa: ANN401 - polars' type
    """Return the number of rows of one side, each of which its key names alone.

    Raises
    ------
    InputError
        If the table is empty, a key is missing or names more than one row.
    """
    polars = require("polars", extra="data")
    names = [key_name(place) for place in range(len(keys))]
    groups = rows.select(*names).group_by(names).agg(polars.len().cast(polars.Int64).alias(_N))
    twice = polars.col(_N) > 1
    unnamed = polars.any_horizontal(*(polars.col(name).is_null() for name in names))
    named_twice = twice & ~unnamed
    found = collect(
        groups.select(
            rows=polars.col(_N).sum(),
            unnamed=polars.col(_N).filter(unnamed).sum(),
            repeated=named_twice.sum(),
            examples=first_rows(names, names, named_twice, _MOST_NAMED),
        ),
        table,
    ).row(0, named=True)
    told = ", ".join(key.name for key in keys)
    if not found["rows"]:
        raise InputError("the table has no rows, so nothing about it can be shown", where=table.where)
    if found["unnamed"]:
        raise InputError(f"{found['unnamed']:,} rows have no key ({told})", where=table.where)
    if found["repeated"]:
        shown = ["/".join(map(str, show_key(row, keys).values())) for row in found["examples"]]
        raise InputError(
            f"{found['repeated']:,} keys ({told}) name more than one row: {', '.join(shown)}",
            where=table.where,
            hint="name the event time too, or keep one row for each key",
        )
    return int(found["rows"])


def first_rows(shown: Sequence[str], names: Sequence[str], where: Expression, most: int) -> Expression:
    """Return the first rows, in the order of the key, that a condition holds for: one list of structs."""
    polars = require("polars", extra="data")
    order = [polars.col(name).filter(where) for name in names]
    return polars.struct(*shown).filter(where).bottom_k_by(order, most).implode()


def show_key(row: Mapping[str, Any], keys: Sequence[Key]) -> dict[str, JsonValue]:
    """Return the key of a joined row for a reader."""
    return {f"key {key.name}": key.shown(row[key_name(place)]) for place, key in enumerate(keys)}


def join(offline: Any, online: Any, keys: Sequence[Key]) -> Any:  # noqa: ANN401 - polars' types
    """Return the rows of both sides by key, those of one side too."""
    return offline.join(online, on=[key_name(place) for place in range(len(keys))], how="full", coalesce=True)


def sides() -> tuple[Expression, Expression]:
    """Return whether a joined row is on the offline side, and whether it is on the online side."""
    polars = require("polars", extra="data")
    return polars.col(OFFLINE).is_not_null(), polars.col(ONLINE).is_not_null()
