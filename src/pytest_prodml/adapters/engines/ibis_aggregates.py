"""Aggregates -> ibis expressions of one row, and their answers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pytest_prodml._lazy import require
from pytest_prodml.adapters.engines.expressions import (
    Aggregate,
    Column,
    CountWhere,
    Distinct,
    Greatest,
    Histogram,
    Kind,
    Least,
    Quantile,
    Repeated,
    Rows,
    Sum,
)
from pytest_prodml.adapters.engines.ibis_predicates import (
    NO,
    Bound,
    ibis_predicate,
    is_infinite,
    number,
    value_of,
)
from pytest_prodml.adapters.engines.meaning import (
    COUNTABLE,
    NUMBERS,
    ORDERED,
    QUANTILE_STEPS,
    TEXTS,
    look_up,
    quantile_steps,
    require_kind,
    resolve,
    truth,
)
from pytest_prodml.adapters.engines.ticks import plain_value


def with_repeats(
    bound: Bound,
    asked: Iterable[Aggregate],
    cell: Callable[[str], Any],
) -> tuple[Any, Mapping[tuple[str, ...], str]]:
    """Return the table with how often each row's cells occur for each `Repeated`, and the names of that."""
    ibis = require("ibis", extra="duckdb")
    names: dict[tuple[str, ...], str] = {}
    added: dict[str, Any] = {}
    for aggregate in asked:
        if isinstance(aggregate, Repeated) and aggregate.columns not in names:
            name = f"prodml_repeats_{len(names)}"
            names[aggregate.columns] = name
            window = ibis.window(group_by=[cell(column) for column in aggregate.columns])
            added[name] = bound.table.count().over(window)
    return (bound.table.mutate(**added) if added else bound.table), names


def aggregate_parts(
    aggregate: Aggregate, bound: Bound, where: str, repeats: Mapping[tuple[str, ...], str]
) -> Any:  # noqa: ANN401 - an ibis expression
    """Return the expression that answers an aggregate; None where the answer needs no rows."""
    match aggregate:
        case Rows():
            return None
        case CountWhere(predicate):
            resolved = resolve(predicate, bound.columns, where)
            always = truth(resolved)
            if always is None:
                return _count(ibis_predicate(resolved, bound))
            return bound.table.count() * int(always)
        case Least(name) | Greatest(name):
            column = look_up(bound.columns, name, where)
            if not require_kind(column, ORDERED, "an order", where):
                return None
            cells = value_of(bound, column)
            return cells.min() if isinstance(aggregate, Least) else cells.max()
        case Sum(name, shift, power):
            numbers, finite = _numbers(bound, name, "a sum", where)
            if numbers is None:
                return None
            moved = numbers - number(shift) if shift else numbers
            return functools.reduce(lambda left, right: left * right, [moved] * power).sum(where=finite)
        case Distinct(names):
            return _distinct(bound, names, where)
        case Repeated(names):
            return _count(bound.table[repeats[names]] > 1)
        case Quantile(name, probability):
            return _quantile(bound, name, probability, where)
        case Histogram(name, edges):
            numbers, finite = _numbers(bound, name, "a histogram", where)
            return None if numbers is None else _histogram(bound, numbers, finite, edges)


def answer_of(aggregate: Aggregate, columns: Mapping[str, Column], found: Any, *, rows: int) -> Any:  # noqa: ANN401
    """Return the answer as the aggregate promises it."""
    match aggregate:
        case Rows():
            return int(rows)
        case CountWhere() | Repeated() | Distinct():
            return int(found or 0)
        case Sum():
            return float(found or 0.0)
        case Histogram(_, edges):
            return _cells_of(found, edges)
        case Least(name) | Greatest(name) | Quantile(name):
            return plain_value(columns[name], found)


def _count(predicate: Any) -> Any:  # noqa: ANN401 - ibis expressions
    return predicate.ifelse(1, 0).cast("int64").sum()


def _numbers(bound: Bound, name: str, asked: str, where: str) -> tuple[Any, Any]:
    """Return a column as floats and which are present and finite; None twice where it has no value."""
    column = look_up(bound.columns, name, where)
    if not require_kind(column, NUMBERS, asked, where):
        return None, None
    numbers = value_of(bound, column).cast("float64")
    finite = numbers.notnull()
    return numbers, finite & ~is_infinite(numbers) if column.kind is Kind.FLOAT else finite


def _distinct(bound: Bound, names: tuple[str, ...], where: str) -> Any:  # noqa: ANN401
    ibis = require("ibis", extra="duckdb")
    cells = []
    for name in names:
        column = look_up(bound.columns, name, where)
        if require_kind(column, COUNTABLE, "counting different values", where):
            cells.append(value_of(bound, column))
    if not cells:
        return ibis.least(bound.table.count(), 1)
    if len(cells) == 1:
        return cells[0].nunique() + cells[0].isnull().any().fill_null(NO).cast("int64")
    return ibis.struct({f"c{place}": cell for place, cell in enumerate(cells)}).nunique()


def _quantile(bound: Bound, name: str, probability: float, where: str) -> Any:  # noqa: ANN401
    ibis = require("ibis", extra="duckdb")
    column = look_up(bound.columns, name, where)
    if not require_kind(column, ORDERED - TEXTS, "a quantile", where):
        return None
    cells = value_of(bound, column)
    finite = cells.notnull()
    if column.kind is Kind.FLOAT:
        finite &= ~is_infinite(cells)
    steps = quantile_steps(probability)
    if bound.counts_ticks:
        # An exact decimal: a float would find the rank by a rounded product.
        share = ibis.literal(f"{steps // QUANTILE_STEPS}.{steps % QUANTILE_STEPS:09d}").cast("decimal(10, 9)")
        return _duckdb("quantile_disc", (cells.type(), "decimal(10, 9)"), cells.type())(
            cells, share, where=finite
        )
    ordered = cells.collect(where=finite).sort()
    rank = (ordered.length().cast("int64") * steps + QUANTILE_STEPS - 1) // QUANTILE_STEPS
    return ordered[(ibis.greatest(rank, 1) - 1).cast("int32")]


def _histogram(bound: Bound, numbers: Any, finite: Any, edges: tuple[float, ...]) -> Any:  # noqa: ANN401
    ibis = require("ibis", extra="duckdb")
    if bound.counts_ticks and edges:
        histogram = _duckdb("histogram", ("float64", "array<float64>"), "map<float64, int64>")
        return histogram(numbers, ibis.array([number(edge) for edge in edges]), where=finite)
    above = [_count((finite & (numbers > number(edge))).fill_null(NO)) for edge in edges]
    return ibis.array([_count(finite), *above])


def _cells_of(found: Any, edges: tuple[float, ...]) -> tuple[int, ...]:  # noqa: ANN401
    """Return the counts of cells from DuckDB's map of upper edges, or from the counts above each edge."""
    pairs = found or ()
    if isinstance(pairs, dict):
        pairs = list(pairs.items())
    if pairs and isinstance(pairs[0], tuple):
        counts = dict(pairs)
        return (*(int(counts.get(edge, 0)) for edge in edges), int(counts.get(float("inf"), 0)))
    above = [*(int(count or 0) for count in pairs or [0] * (len(edges) + 1)), 0]
    return tuple(above[place] - above[place + 1] for place in range(len(edges) + 1))


@functools.cache
def _duckdb(name: str, takes: tuple[Any, ...], gives: Any) -> Any:  # noqa: ANN401 - ibis' types
    ibis = require("ibis", extra="duckdb")

    def aggregate(cells: Any, parameter: Any) -> None:  # noqa: ANN401 - a declaration of what DuckDB has
        ...

    return ibis.udf.agg.builtin(aggregate, name=name, signature=(takes, gives))
