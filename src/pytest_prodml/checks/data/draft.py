"""A table -> the text of a schema file that describes it: a draft for a person to correct, never a gate.

What a table holds is not what it should hold: `conforms_to` refuses the file until somebody sets
``reviewed: true`` in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.expressions import (
    Aggregate,
    Column,
    CountWhere,
    Distinct,
    Greatest,
    Kind,
    Least,
    Missing,
    Rows,
)
from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.adapters.kinds import width
from pytest_prodml.errors import InputError

#: A text column is one of categories when it has no more, each in so many rows on average.
_MOST_CATEGORIES = 20
_LEAST_ROWS_EACH = 10
_LONGEST_CATEGORY = 120
#: Numbers may lie so much of the seen range outside it.
_MARGIN = 0.1

#: Names that pandera reads alike whatever pandas, Arrow or operating system is there.
_TYPES: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.BOOLEAN: "bool",
        Kind.DECIMAL: "decimal",
        Kind.TEXT: "str",
        Kind.CATEGORY: "category",
        Kind.DATE: "date",
        Kind.DATETIME: "datetime64[ns]",
        Kind.DURATION: "timedelta64[ns]",
    }
)
_NUMBERS = frozenset((Kind.INTEGER, Kind.FLOAT))
_TEXTS = frozenset((Kind.TEXT, Kind.CATEGORY))

_HEADER = """\
# A draft, drawn from {rows} rows of the {where}. It says what was there, not what should be:
# read every line, correct it, add what you know, and only then set reviewed to true.
# Ranges are those seen, widened by {margin} of their length on both sides, and not below 0 where nothing was.
"""


def draft_schema(data: Any) -> str:  # noqa: ANN401 - a table of any kind
    """Describe a table by a schema file in pandera's YAML format.

    Types, whether cells are missing, ranges of numbers, and the values of texts with few of them, from one
    query and, where there are such texts, a second one.

    Parameters
    ----------
    data : Table or whatever `open_table` takes
        Usually the reference data. Its label column, where the table knows it, may be absent from others.

    Returns
    -------
    str
        The file. It says ``reviewed: false``, and as long as it does `conforms_to` refuses it.

    Raises
    ------
    InputError
        If the table has no rows or no column, or can not be read.
    """
    table = data if isinstance(data, Table) else open_table(data, name="reference")
    columns = table.engine.columns()
    asked: dict[str, Aggregate] = {"rows": Rows()}
    for place, column in enumerate(columns.values()):
        asked[f"missing {place}"] = CountWhere(Missing(column.name))
        if column.kind in _NUMBERS:
            asked[f"least {place}"] = Least(column.name)
            asked[f"greatest {place}"] = Greatest(column.name)
        if column.kind in _TEXTS:
            asked[f"distinct {place}"] = Distinct((column.name,))
    answers = table.engine.aggregate(asked)
    n_rows = int(answers["rows"])
    if not n_rows or not columns:
        raise InputError("the table has no rows, so there is nothing to describe", where=table.where)
    categories = _categories(table, columns, answers, n_rows)
    where = " ".join(table.where.split())
    lines = [_HEADER.format(rows=f"{n_rows:,}", where=where, margin=f"{_MARGIN:.0%}").rstrip("\n")]
    lines += ["schema_type: dataframe", "metadata:", "  reviewed: false", "strict: true", "columns:"]
    for place, column in enumerate(columns.values()):
        lines.append(f"  {_quoted(column.name)}:")
        lines += [f"    {line}" for line in _column(column, place, answers, categories.get(column.name))]
        if column.name == table.target_name:
            lines.append("    required: false")
    return "\n".join([*lines, ""])


def _categories(
    table: Table, columns: Mapping[str, Column], answers: Mapping[str, Any], n_rows: int
) -> dict[str, list[str]]:
    few = [
        name
        for place, (name, column) in enumerate(columns.items())
        if column.kind in _TEXTS
        and 0 < answers[f"distinct {place}"] - bool(answers[f"missing {place}"]) <= _MOST_CATEGORIES
        and n_rows >= _LEAST_ROWS_EACH * answers[f"distinct {place}"]
    ]
    counted = table.engine.value_counts(few, most=_MOST_CATEGORIES) if few else {}
    found = {name: sorted(value for value, _ in values) for name, values in counted.items()}
    return {
        name: values
        for name, values in found.items()
        if all(len(value) <= _LONGEST_CATEGORY for value in values)
    }


def _column(
    column: Column, place: int, answers: Mapping[str, Any], categories: Sequence[str] | None
) -> Iterator[str]:
    name = _type_name(column)
    if name is None:
        yield f"# a type is not stated: the cells are {column.kind.value}"
    else:
        yield f"dtype: {_quoted(name)}"
    yield f"nullable: {'true' if answers[f'missing {place}'] else 'false'}"
    edges = _widened(column, answers.get(f"least {place}"), answers.get(f"greatest {place}"))
    if edges is not None:
        yield "in_range:"
        yield f"  min_value: {_number(edges[0])}"
        yield f"  max_value: {_number(edges[1])}"
    if categories is not None:
        yield "isin:"
        for value in categories:
            yield f"- {_quoted(value)}"


def _type_name(column: Column) -> str | None:
    if column.kind in _NUMBERS:
        bits = width(column) or "64"
        name = "int" if column.kind is Kind.INTEGER else "float"
        return f"u{name}{bits[1:]}" if bits.startswith("u") else f"{name}{bits}"
    if column.kind is Kind.DATETIME and column.zone is not None:
        return "datetime64[ns, UTC]"
    return _TYPES.get(column.kind)


def _widened(column: Column, least: Any, greatest: Any) -> tuple[int | float, int | float] | None:  # noqa: ANN401
    """Return a range somewhat larger than what was seen; None where there is no finite one."""
    if least is None or greatest is None or not (math.isfinite(least) and math.isfinite(greatest)):
        return None
    if column.kind is Kind.INTEGER:
        low, high = int(least), int(greatest)
        more = -(-(high - low) // round(1 / _MARGIN))
        return (max(low - more, 0) if low >= 0 else low - more), high + more
    margin = (float(greatest) - float(least)) * _MARGIN
    first, last = float(least) - margin, float(greatest) + margin
    if not (math.isfinite(first) and math.isfinite(last)):
        return None
    return (max(first, 0.0) if least >= 0 else first), last


def _number(value: float) -> str:
    """Write a number so that YAML 1.1 reads one: without a dot, 1e-05 is a text there."""
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def _quoted(text: str) -> str:
    """Write a text in YAML's double quotes, whatever is in it."""
    plain = (
        f"\\{letter}" if letter in '"\\' else letter if letter.isprintable() else f"\\U{ord(letter):08X}"
        for letter in text
    )
    return f'"{"".join(plain)}"'
