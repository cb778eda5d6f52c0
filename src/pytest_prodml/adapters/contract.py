"""A pandera schema -> rules that any engine can count by one query, and what is left to pandera.

Each built-in check maps to the predicate of the rows that break it. A check of the project's own, a
transformation (parser, coercion, default) or a comparison that engines answer differently is *opaque*: it is
never approximated, pandera itself evaluates it on rows.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_prodml._lazy import require
from pytest_prodml.adapters.built_in_checks import is_built_in, predicate
from pytest_prodml.adapters.engines.expressions import Column, Missing, Predicate
from pytest_prodml.adapters.kinds import kinds_of, width
from pytest_prodml.adapters.schema_kinds import any_schema
from pytest_prodml.adapters.schemas import TABLE, clean, rule_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule about rows: those for which `violation` holds break it, or those that `repeated` columns repeat.

    `keep` says which of several equal rows count, as pandera's ``report_duplicates`` does.
    """

    column: str
    name: str
    violation: Predicate | None = None
    repeated: tuple[str, ...] = ()
    keep: str = "all"
    warns_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A rule about a column or the table as a whole that does not hold."""

    column: str
    name: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contract:
    """What a schema asks of one table.

    `opaque` is a schema of what only pandera can evaluate (None: nothing), `reasons` say why, by rule.
    `opaque_columns` are the columns it reads; empty for all of them.
    """

    rules: tuple[Rule, ...]
    mismatches: tuple[Mismatch, ...]
    opaque: Any = None
    opaque_columns: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)


def compile_schema(
    schema: Any,  # noqa: ANN401 - pandera has no types for us
    columns: Mapping[str, Column],
    *,
    dtypes: Mapping[str, Any] | None = None,
) -> Contract:
    """Turn a schema into rules about the columns of a table.

    Parameters
    ----------
    schema : pandera DataFrameSchema or DataFrameModel
        Of pandera's pandas, polars or ibis backend.
    columns : mapping of str to Column
        The table's columns in their order.
    dtypes : mapping of str to pandas dtype, optional
        Of a pandas frame, whose types pandera then compares itself; otherwise kinds and widths are compared.

    Raises
    ------
    InputError
        If it is no such schema.
    """
    found = any_schema(schema)
    whole = _why_all_is_opaque(found)
    if whole is not None:
        return Contract(rules=(), mismatches=(), opaque=found, reasons={TABLE: whole})
    rules: list[Rule] = []
    mismatches: list[Mismatch] = []
    opaque: dict[str, list[Any]] = {}
    reasons: dict[str, str] = {}
    expected: list[str] = []
    for declared in found.columns.values():
        names = _columns_meant(declared, columns)
        if not names and declared.required and not declared.regex:
            note = f"the column {declared.name!r} is not in the table"
            mismatches.append(Mismatch(column=str(declared.name), name="column_in_dataframe", note=note))
        if not names and declared.required and declared.regex:
            note = f"no column fits the pattern {declared.name!r}"
            mismatches.append(Mismatch(column=str(declared.name), name="column_in_dataframe", note=note))
        expected += names
        for name in names:
            column = columns[name]
            mismatch = _type_mismatch(declared.dtype, column, (dtypes or {}).get(name))
            if mismatch is not None:
                mismatches.append(
                    Mismatch(column=name, name=clean(f"dtype('{declared.dtype}')"), note=mismatch)
                )
            rules += _own_rules(declared, column)
            for check in declared.checks:
                violation = None if mismatch is not None else predicate(check, column)
                if violation is None:
                    opaque.setdefault(name, []).append(check)
                    reasons[f"{name}: {clean(rule_of(check))}"] = (
                        "the column has another type" if mismatch is not None else _why_opaque(check)
                    )
                else:
                    rules.append(
                        Rule(
                            column=name,
                            name=clean(rule_of(check)),
                            violation=violation,
                            warns_only=bool(check.raise_warning),
                        )
                    )
    mismatches += _table_mismatches(found, expected, columns)
    rules += [
        Rule(column=TABLE, name=clean(f"unique: {', '.join(names)}"), repeated=names, keep=_keep(found))
        for names in _unique_sets(found, columns)
    ]
    for check in found.checks or ():
        reasons[f"{TABLE}: {clean(rule_of(check))}"] = _why_opaque(check)
    rest = _opaque_schema(found, opaque)
    return Contract(
        rules=tuple(rules),
        mismatches=tuple(mismatches),
        opaque=rest,
        opaque_columns=() if found.checks else tuple(opaque),
        reasons=reasons,
    )


def _own_rules(declared: Any, column: Column) -> list[Rule]:  # noqa: ANN401
    rules = []
    if not declared.nullable:
        rules.append(Rule(column=column.name, name="not_nullable", violation=Missing(column.name)))
    if declared.unique:
        rules.append(
            Rule(column=column.name, name="field_uniqueness", repeated=(column.name,), keep=_keep(declared))
        )
    return rules


def _keep(declared: Any) -> str:  # noqa: ANN401
    return str(declared.report_duplicates or "all")


def _unique_sets(schema: Any, columns: Mapping[str, Column]) -> list[tuple[str, ...]]:  # noqa: ANN401
    given = schema.unique or []
    sets = [given] if given and all(isinstance(name, str) for name in given) else given
    present = [tuple(name for name in names if name in columns) for names in sets]
    return [names for names in present if names]


def _columns_meant(declared: Any, columns: Mapping[str, Column]) -> list[str]:  # noqa: ANN401
    if not declared.regex:
        return [declared.name] if declared.name in columns else []
    pattern = re.compile(declared.name)
    return [name for name in columns if pattern.match(name)]


def _table_mismatches(schema: Any, expected: Sequence[str], columns: Mapping[str, Column]) -> list[Mismatch]:  # noqa: ANN401
    found = []
    if schema.strict is True:
        found += [
            Mismatch(
                column=name, name="column_in_schema", note=f"the schema does not name the column {name!r}"
            )
            for name in columns
            if name not in expected
        ]
    if schema.ordered:
        order = [name for name in columns if name in expected]
        wanted = list(dict.fromkeys(expected))
        found += [
            Mismatch(column=name, name="column_ordered", note=f"stands where {wanted[place]!r} should stand")
            for place, name in enumerate(order)
            if place < len(wanted) and wanted[place] != name
        ]
    return found


def _type_mismatch(dtype: Any, column: Column, native: Any) -> str | None:  # noqa: ANN401
    """Say how the column's type differs from the declared one; None where it does not."""
    if dtype is None:
        return None
    if native is not None:
        engine = require("pandera.engines.pandas_engine", extra="data").Engine
        same = bool(dtype.check(engine.dtype(native)))
    else:
        kinds, bits = kinds_of(dtype)
        same = column.kind in kinds and (bits is None or width(column) in {None, bits})
    return (
        None if same else clean(f"expected {column.name!r} to have type {dtype}, got {column.stored_as}", 300)
    )


def _why_all_is_opaque(schema: Any) -> str | None:  # noqa: ANN401
    parts = [schema, *schema.columns.values()]
    if getattr(schema, "index", None) is not None:
        return "the schema is about the index too"
    if any(getattr(part, "parsers", None) for part in parts) or any(
        bool(getattr(part, "coerce", False)) for part in parts
    ):
        return "the schema changes the table before it looks at it"
    if any(getattr(part, "default", None) is not None for part in parts) or getattr(
        schema, "add_missing_columns", False
    ):
        return "the schema fills cells before it looks at them"
    if schema.dtype is not None or any(not isinstance(name, str) for name in schema.columns):
        return "the schema is about all columns at once"
    return None


def _why_opaque(check: Any) -> str:  # noqa: ANN401
    if is_built_in(check):
        return "engines would answer it differently"
    return "a check of the project's own"


def _opaque_schema(schema: Any, checks: Mapping[str, Sequence[Any]]) -> Any:  # noqa: ANN401
    if not checks and not schema.checks:
        return None
    rest = copy.deepcopy(schema)
    kind = type(next(iter(rest.columns.values()))) if rest.columns else None
    rest.columns = {
        name: kind(checks=list(own), nullable=True, name=name) for name, own in checks.items() if kind
    }
    rest.strict, rest.ordered, rest.unique = False, False, None
    return rest
