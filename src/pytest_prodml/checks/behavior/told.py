"""The smallest counterexample of an evidence -> a few lines that an engineer reads under a failing test."""

from __future__ import annotations

from typing import Any

from pytest_prodml.records import Evidence

_MOST_WIDTH = 60


def sentences(evidence: Evidence) -> str:
    """Return the smallest counterexample as text; empty where there is none."""
    table: Any = evidence.details.get("minimal_counterexample")
    if not isinstance(table, list) or not table:
        return ""
    found: Any = evidence.details.get("minimal_counterexample_found") or {}
    lines = [f"The rule: {evidence.details.get('rule')}", "", "The smallest input that breaks it:"]
    names = [name for name in ("column", "what") if name in table[0]]
    head = [names[0], *(["ordinary row"] if "ordinary row" in table[0] else []), "before", "after"]
    rows = [head, *[[_cell(row.get(name)) for name in head] for row in table]]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    marks = ["", *("  <- changed" if row.get("changed") else "" for row in table)]
    for row, mark in zip(rows, marks, strict=True):
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append(f"    {cells.rstrip()}{mark}")
    if len(table) and "ordinary row" in head:
        lines.append("    every other column is that of the ordinary row")
    boundary = found.get("still_broken_up_to")
    if isinstance(boundary, dict) and boundary:
        edges = ", ".join(f"{name} = {_cell(value)}" for name, value in boundary.items())
        lines.append(f"It is still broken up to {edges}")
    lines.append(f"Found among {found.get('among', 'the inputs')}; seed {evidence.seed}.")
    return "\n".join(lines)


def _cell(value: Any) -> str:  # noqa: ANN401 - a plain value
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _MOST_WIDTH else text[: _MOST_WIDTH - 3] + "..."
