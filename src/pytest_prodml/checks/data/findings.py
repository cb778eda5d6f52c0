"""A schema and a table -> how many rows break each rule, from as few scans as that takes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_prodml.adapters.contract import Contract, Mismatch, Rule, compile_schema
from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.expressions import (
    Aggregate,
    Column,
    CountWhere,
    Distinct,
    Predicate,
    Repeated,
    Rows,
)
from pytest_prodml.adapters.engines.polars_engine import PolarsEngine
from pytest_prodml.adapters.polars_checks import broken_checks
from pytest_prodml.adapters.schema_kinds import any_schema, backend_of
from pytest_prodml.adapters.schemas import TABLE, Violation, violations
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue

if TYPE_CHECKING:
    import pandas as pd

#: Rules that only pandera can evaluate see at most so many rows of a table that is not in memory.
MOST_SAMPLED_ROWS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A row that breaks a rule: its label or position, and the cells that say which it is."""

    row: Any
    cells: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule that does not hold, or could not be evaluated.

    `n_rows` of `n_looked_at` rows break it (all of them where the rule is about the column or table as a
    whole); `examples` are the first. `n_looked_at` is less than the table's rows where it was sampled.
    """

    column: str
    rule: str
    n_rows: int
    n_looked_at: int
    examples: tuple[Example, ...] = ()
    note: str = ""
    is_evaluated: bool = True
    warns_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All findings about a table of `n_rows`, and what the evidence says about how they were made.

    `n_looked_at` is less where rules that only pandera can evaluate were evaluated on a sample.
    """

    n_rows: int
    n_looked_at: int
    items: tuple[Finding, ...]
    facts: Mapping[str, JsonValue]


def find(
    schema: Any,  # noqa: ANN401 - pandera has no types for us
    table: Table,
    *,
    frame: pd.DataFrame | None,
    keys: Sequence[str] = (),
    most_examples: int,
    seed: int,
    native_types: bool = True,
) -> Findings:
    """Evaluate a schema on all rows.

    One query counts the rows of every rule that compiles, and a second one, if some are broken, fetches the
    first rows of each. What only pandera can evaluate runs on `frame`, or on the rows themselves: all of
    them, or of a larger table that is not in memory a seeded sample.

    Parameters
    ----------
    schema : pandera schema
        Of any of its backends.
    table : Table
        The rows.
    frame : DataFrame, optional
        The same rows, where they are in memory as a pandas frame.
    keys : sequence of str
        Columns that say which row it is; they are shown with each example.
    most_examples : int
        Examples for each rule.
    seed : int
        Of the sample.
    native_types : bool
        Let pandera compare the types of a pandas frame itself; else kinds and widths are compared.

    Raises
    ------
    InputError
        If the table has no rows, or pandera could not evaluate its part at all.
    """
    native = native_types and backend_of(schema) == "pandas"
    dtypes = dict(frame.dtypes) if frame is not None and native else None
    contract = compile_schema(schema, _columns(schema, table), dtypes=dtypes)
    asked = _asked(contract.rules)
    answers = table.engine.aggregate(asked)
    n_rows = int(answers["rows"])
    if n_rows == 0:
        raise InputError("the table has no rows, so nothing about it can be shown", where=table.where)
    counts = [_count(rule, answers, place, n_rows) for place, rule in enumerate(contract.rules)]
    broken = [(rule, count) for rule, count in zip(contract.rules, counts, strict=True) if count]
    examples = _examples([rule for rule, _ in broken], table, frame, keys, most_examples)
    items = [_whole(mismatch, n_rows) for mismatch in contract.mismatches]
    items += [
        Finding(
            column=rule.column,
            rule=rule.name,
            n_rows=count,
            n_looked_at=n_rows,
            examples=shown,
            warns_only=rule.warns_only,
        )
        for (rule, count), shown in zip(broken, examples, strict=True)
    ]
    looked_at = n_rows
    if contract.opaque is not None:
        looked_at, found = _opaque(contract, table, frame, keys, most_examples, seed)
        items += found
    return Findings(
        n_rows=n_rows,
        n_looked_at=looked_at,
        items=tuple(items),
        facts=_facts(contract, table, asked, n_rows, looked_at),
    )


def _columns(schema: Any, table: Table) -> dict[str, Column]:  # noqa: ANN401
    """Return the columns that the schema is about: the labels are, where it names them."""
    named = any_schema(schema).columns
    return {
        name: column
        for name, column in table.engine.columns().items()
        if name != table.target_name or name in named
    }


def _asked(rules: Sequence[Rule]) -> dict[str, Aggregate]:
    asked: dict[str, Aggregate] = {"rows": Rows()}
    for place, rule in enumerate(rules):
        if rule.violation is not None:
            asked[f"rule {place}"] = CountWhere(rule.violation)
        elif rule.keep == "all":
            asked[f"rule {place}"] = Repeated(rule.repeated)
        else:
            asked[f"rule {place}"] = Distinct(rule.repeated)
    return asked


def _count(rule: Rule, answers: Mapping[str, Any], place: int, n_rows: int) -> int:
    answer = int(answers[f"rule {place}"])
    return n_rows - answer if rule.repeated and rule.keep != "all" else answer


def _examples(
    rules: Sequence[Rule], table: Table, frame: pd.DataFrame | None, keys: Sequence[str], most: int
) -> list[tuple[Example, ...]]:
    """Fetch the first rows that break each rule: by one query, and one for each rule of uniqueness."""
    where: dict[str, Predicate] = {
        str(place): rule.violation for place, rule in enumerate(rules) if rule.violation is not None
    }
    known = table.engine.columns()
    shown = {
        place: [name for name in dict.fromkeys((rules[int(place)].column, *keys)) if name in known]
        for place in where
    }
    rows = table.engine.rows(where, shown, most=most) if where else {}
    found = []
    for place, rule in enumerate(rules):
        if rule.violation is not None:
            found.append(tuple(_example(row, frame) for row in rows[str(place)]))
        else:
            groups = table.engine.group_counts(rule.repeated, least=2, most=most)
            found.append(
                tuple(
                    Example(row=None, cells={**dict(zip(rule.repeated, values, strict=True)), "rows": count})
                    for values, count in groups
                )
            )
    return found


def _example(row: Mapping[str, Any], frame: pd.DataFrame | None) -> Example:
    cells = {name: value for name, value in row.items() if name != "row"}
    position = row["row"]
    label = position if frame is None or position is None else frame.index[position]
    return Example(row=label, cells=cells)


def _whole(mismatch: Mismatch, n_rows: int) -> Finding:
    return Finding(
        column=mismatch.column, rule=mismatch.name, n_rows=n_rows, n_looked_at=n_rows, note=mismatch.note
    )


def _opaque(
    contract: Contract,
    table: Table,
    frame: pd.DataFrame | None,
    keys: Sequence[str],
    most: int,
    seed: int,
) -> tuple[int, list[Finding]]:
    """Let pandera evaluate what only it can; return on how many rows, and what does not hold."""
    backend = backend_of(contract.opaque)
    if backend == "polars":
        return _by_polars(contract, table, keys, most, seed)
    if backend == "ibis":
        rule, why = next(iter(contract.reasons.items()))
        raise InputError(
            f"the rule {rule!r} of a schema of pandera.ibis was not evaluated: {why}",
            where=table.where,
            hint="write it as a built-in check, or the schema with pandera.pandas",
        )
    rows = frame
    if rows is None:
        rows = table.engine.sample(_read(contract, table, keys), most=MOST_SAMPLED_ROWS, seed=seed)
    found = violations(contract.opaque, rows, examples=most)
    return len(rows), [_by_pandera(item, rows, keys, most) for item in found]


def _read(contract: Contract, table: Table, keys: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that pandera's part reads, and the keys shown with them."""
    own = contract.opaque_columns or tuple(_columns(contract.opaque, table))
    return tuple(dict.fromkeys((*own, *keys)))


def _by_polars(
    contract: Contract, table: Table, keys: Sequence[str], most: int, seed: int
) -> tuple[int, list[Finding]]:
    if not isinstance(table.engine, PolarsEngine):
        rule, why = next(iter(contract.reasons.items()))
        raise InputError(
            f"the rule {rule!r} of a schema of pandera.polars was not evaluated: {why}, and the rows lie in "
            f"{table.engine.name}",
            where=table.where,
            hint="write it as a built-in check, the schema with pandera.pandas, or let polars read the table",
        )
    columns = _read(contract, table, keys)
    rows, places = table.engine.sample_frame(columns, most=MOST_SAMPLED_ROWS, seed=seed)
    found = []
    for item in broken_checks(contract.opaque, rows, most_examples=most):
        names = [name for name in dict.fromkeys((item.column, *keys)) if name in columns]
        examples = tuple(
            Example(row=places[place], cells={name: rows[name][place] for name in names})
            for place in item.places or ()
        )
        found.append(
            Finding(
                column=item.column,
                rule=item.rule,
                n_rows=item.n_rows,
                n_looked_at=len(rows),
                examples=examples,
                note=item.note,
                is_evaluated=item.is_evaluated,
                warns_only=item.warns_only,
            )
        )
    return len(rows), found


def _by_pandera(item: Violation, rows: pd.DataFrame, keys: Sequence[str], most: int) -> Finding:
    examples = []
    if item.rows is not None:
        labels = list(item.rows[:most])
        names = [name for name in dict.fromkeys((item.column, *keys)) if name in rows.columns]
        unique = rows.index.is_unique
        examples = [
            Example(row=label, cells={name: rows.loc[label, name] for name in names} if unique else {})
            for label in labels
        ]
    return Finding(
        column=item.column,
        rule=item.rule,
        n_rows=item.n_rows,
        n_looked_at=len(rows),
        examples=tuple(examples),
        note=item.note,
        is_evaluated=item.is_evaluated,
        warns_only=item.warns_only,
    )


def _facts(
    contract: Contract, table: Table, asked: Mapping[str, Aggregate], n_rows: int, looked_at: int
) -> dict[str, JsonValue]:
    by_engine = len(contract.rules) + len(contract.mismatches)
    facts: dict[str, JsonValue] = {
        **table.facts(),
        "rows": n_rows,
        "rules": by_engine,
        "query_digest": hashlib.sha256(repr(sorted(asked.items())).encode()).hexdigest(),
    }
    if contract.opaque is not None:
        facts["evaluated_by_pandera"] = [
            {"rule": rule, "why": why} for rule, why in list(contract.reasons.items())[:50]
        ]
        facts["coverage_of_these"] = looked_at / n_rows
    if TABLE in contract.reasons:
        facts["rules"] = 0
    return facts
