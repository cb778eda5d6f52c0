"""`Evidence.details` -> charts, tables and facts, as far as their form is known.

Details are a check's own JSON. Known series become charts; plain values become facts; a list of flat objects
becomes a table. Whatever has another form is left to the signed statement.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from pytest_prodml.records import Evidence, JsonValue
from pytest_prodml.render.charts import ecdf
from pytest_prodml.render.curves import KINDS, drawn
from pytest_prodml.render.inert import inert
from pytest_prodml.render.measures import scale_for
from pytest_prodml.render.model import Chart, Column, Fact, Table
from pytest_prodml.render.numbers import Scale, plain, scale_of
from pytest_prodml.render.tradeoff import tradeoff

#: Names of series; a gate that measured several times numbers them: ``roc``, ``roc (2)``.
_SERIES = re.compile(rf"(ecdf|tradeoff|{'|'.join(KINDS)})(?: \([0-9]+\))?")
#: Series that are drawn by a function of their own.
_OWN: Mapping[str, Callable[[JsonValue], Chart | None]] = {"ecdf": ecdf, "tradeoff": tradeoff}
_MOST_ROWS = 50
_MOST_COLUMNS = 12
_MOST_FACTS = 40


def detail_charts(evidence: Evidence) -> tuple[Chart, ...]:
    """Draw the series of known kinds: ``ecdf``, ``tradeoff`` and those of `curves.KINDS`."""
    found = []
    for key in sorted(evidence.details):
        kind = _SERIES.fullmatch(key)
        if kind is not None:
            series = evidence.details[key]
            extra = _area(evidence) if kind[1] == "roc" else ""
            draw = _OWN.get(kind[1])
            chart = drawn(kind[1], series, extra=extra) if draw is None else draw(series)
            if chart is not None:
                found.append(replace(chart, title=f"{chart.title}{key.removeprefix(kind[1])}"))
    return tuple(found)


def _area(evidence: Evidence) -> str:
    values = [m.value for m in evidence.measurements if m.metric == "roc_auc" and m.group is None]
    if len(values) != 1 or values[0] is None:
        return ""
    return f"The area under the curve is {scale_for('roc_auc', evidence, []).number(values[0])}."


def detail_facts(evidence: Evidence) -> list[Fact]:
    """Return the plain values of the details, nested ones with their path."""
    facts: list[Fact] = []
    _collect("", dict(evidence.details), facts)
    return facts[:_MOST_FACTS]


def _collect(path: str, value: JsonValue, facts: list[Fact]) -> None:
    if isinstance(value, dict):
        for key in sorted(value):
            if path or _SERIES.fullmatch(key) is None:
                _collect(f"{path}, {_label(key)}" if path else _label(key), value[key], facts)
    elif value is not None and not isinstance(value, list):
        facts.append(Fact(label=_capital(path), value=_plain(value)))
    elif value and len(value) <= 12 and all(not isinstance(item, (list, dict)) for item in value):
        facts.append(Fact(label=_capital(path), value=", ".join(map(_plain, value))))


def detail_tables(evidence: Evidence) -> tuple[Table, ...]:
    """Return a table for every list of flat objects in the details."""
    found = [
        _table(_label(key), value)
        for key, value in sorted(evidence.details.items())
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value)
    ]
    return tuple(table for table in found if table is not None)


def _table(caption: str, rows: list[JsonValue]) -> Table | None:
    kept = [row for row in rows[:_MOST_ROWS] if isinstance(row, dict)]
    names = list(dict.fromkeys(name for row in kept for name in row))[:_MOST_COLUMNS]
    if not names:
        return None
    columns = [[row.get(name) for row in kept if row.get(name) is not None] for name in names]
    numeric = [bool(column) and all(map(_is_number, column)) for column in columns]
    # One number of decimals a column, so that numbers under each other can be compared.
    scales = [
        scale_of("1", [_number(row.get(name)) for row in kept]) if flag else None
        for name, flag in zip(names, numeric, strict=True)
    ]
    return Table(
        caption=_capital(caption),
        columns=tuple(
            Column(label=_label(name), numeric=flag) for name, flag in zip(names, numeric, strict=True)
        ),
        rows=tuple(
            tuple(_cell(row.get(name), scale) for name, scale in zip(names, scales, strict=True))
            for row in kept
        ),
        note=f"The first {plain(_MOST_ROWS)} of {plain(len(rows))} rows." if len(rows) > _MOST_ROWS else "",
    )


def _cell(value: JsonValue, scale: Scale | None) -> str:
    if isinstance(value, (list, dict)):
        return "…"
    if scale is not None and _is_number(value):
        return scale.number(_number(value))
    return "" if value is None else _plain(value)


def _is_number(value: JsonValue) -> bool:
    return _number(value) is not None


def _number(value: JsonValue) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _plain(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return plain(value)
    if isinstance(value, float):
        return plain(float(f"{value:.6g}"))
    return inert(str(value), limit=300)


def _capital(label: str) -> str:
    return label[:1].upper() + label[1:]


def _label(key: str) -> str:
    # Only names in code style lose their underscores; a column's or a variable's own name stays.
    if re.fullmatch(r"[a-z][a-z0-9_]*|[a-z][A-Za-z0-9]*", key):
        key = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", key).strip()
    return inert(key, limit=80)
