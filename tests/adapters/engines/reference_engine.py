"""What expressions mean, by plain Python over rows: the oracle that engines are compared with."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import operator
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction as Ratio
from typing import Any

from pytest_prodml.adapters.engines.expressions import (
    Aggregate,
    And,
    Compare,
    CompareColumns,
    CountWhere,
    Distinct,
    Fraction,
    Greatest,
    HasPart,
    Histogram,
    Infinite,
    Least,
    Length,
    Matches,
    Missing,
    Not,
    OneOf,
    Or,
    Predicate,
    Quantile,
    Relation,
    Repeated,
    Rows,
    Sum,
)

Rows_: Any = Sequence[Mapping[str, Any]]
_COMPARE = {
    Relation.EQUAL: operator.eq,
    Relation.DIFFERENT: operator.ne,
    Relation.LESS: operator.lt,
    Relation.AT_MOST: operator.le,
    Relation.GREATER: operator.gt,
    Relation.AT_LEAST: operator.ge,
}


def present(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def holds(predicate: Predicate, row: Mapping[str, Any]) -> bool:
    match predicate:
        case And(parts):
            return all(holds(part, row) for part in parts)
        case Or(parts):
            return any(holds(part, row) for part in parts)
        case Not(part):
            return not holds(part, row)
        case Missing(name):
            return not present(row[name])
        case CompareColumns(left, relation, right):
            there = present(row[left]) and present(row[right])
            return there and bool(_COMPARE[relation](row[left], row[right]))
    cell = row[predicate.column]
    if not present(cell):
        return False
    match predicate:
        case Compare(_, relation, value):
            return bool(_COMPARE[relation](*_alike(cell, value)))
        case OneOf(_, values):
            return any(operator.eq(*_alike(cell, value)) for value in values)
        case Infinite():
            return isinstance(cell, float) and math.isinf(cell)
        case Fraction():
            return isinstance(cell, float) and (math.isinf(cell) or cell != math.floor(cell))
        case Matches(_, pattern, whole):
            written = pattern.replace(r"\p{Nd}", r"\d")
            found = re.fullmatch(written, cell) if whole else re.match(written, cell)
            return found is not None
        case HasPart(_, literal, where):
            ways = {"start": cell.startswith, "end": cell.endswith, "anywhere": cell.__contains__}
            return bool(ways[where](literal))
        case Length(_, least, most):
            return (least is None or len(cell) >= least) and (most is None or len(cell) <= most)


def _alike(cell: Any, value: Any) -> tuple[Any, Any]:
    """Return both so that Python compares what is meant: numbers as written, days as their beginning."""
    if isinstance(cell, Decimal) and isinstance(value, float):
        return cell, Decimal(str(value))
    if isinstance(cell, dt.datetime) is not isinstance(value, dt.datetime):
        return tuple(_beginning(day) if isinstance(day, dt.date) else day for day in (cell, value))  # type: ignore[return-value]
    return cell, value


def _beginning(day: dt.date) -> dt.datetime:
    return day if isinstance(day, dt.datetime) else dt.datetime.combine(day, dt.time())


def answer(aggregate: Aggregate, rows: Rows_) -> Any:
    match aggregate:
        case Rows():
            return len(rows)
        case CountWhere(predicate):
            return sum(holds(predicate, row) for row in rows)
        case Distinct(names):
            return len({_key(row, names) for row in rows})
        case Repeated(names):
            return sum(count for count in Counter(_key(row, names) for row in rows).values() if count > 1)
    cells = [row[aggregate.column] for row in rows if present(row[aggregate.column])]
    finite = [cell for cell in cells if not (isinstance(cell, float) and math.isinf(cell))]
    match aggregate:
        case Least():
            return min(cells, default=None)
        case Greatest():
            return max(cells, default=None)
        case Sum(_, shift, power):
            return math.fsum((float(cell) - shift) ** power for cell in finite)
        case Quantile(_, probability):
            rank = max(1, math.ceil(Ratio(str(probability)) * len(finite)))
            return sorted(finite)[rank - 1] if finite else None
        case Histogram(_, edges):
            limits = (-math.inf, *edges, math.inf)
            return tuple(
                sum(low < float(cell) <= high for cell in finite) for low, high in itertools.pairwise(limits)
            )


def group_counts(rows: Rows_, names: Sequence[str]) -> Counter[tuple[Any, ...]]:
    return Counter(_key(row, names) for row in rows)


def _key(row: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row[name] if present(row[name]) else None for name in names)
