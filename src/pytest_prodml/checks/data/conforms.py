"""A table and a schema -> Evidence that every row keeps every rule.

These are counts over the rows at hand, not estimates: bounds equal the value and the level is 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_prodml.adapters.schemas import Violation, column_rules, violations
from pytest_prodml.adapters.tables import Dataset, as_frame, materials_of
from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.counts import check_count, exact, plain
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement

if TYPE_CHECKING:
    import pandas as pd

#: Failing rows shown for each rule, and rules shown apart; counts are of all of them.
_MOST_ROWS = 10
_MOST_RULES = 100

_VIOLATIONS = "schema_violations"


def conforms_to(
    schema: Any,  # noqa: ANN401 - pandera has no types for us
    data: Any,  # noqa: ANN401 - a Dataset or a frame
    *,
    gate_id: str,
    at_most: float = 0.0,
    redact: bool = False,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a table conforms to a pandera schema.

    Measures ``schema_violations``: for each (column, rule) that does not hold, as group ``column: rule``, the
    number of rows that break it; without group their sum. A rule about a column or table as a whole (a
    missing column, a wrong type) counts with all rows.

    Parameters
    ----------
    schema : pandera.pandas.DataFrameSchema or DataFrameModel
        All of it is evaluated, whatever pandera's environment variables or the schema's own settings say.
        Rules with ``raise_warning=True`` are counted and not judged.
    data : Dataset or frame
        Of a `Dataset`, the label column is checked too if the schema names it.
    at_most : float
        The number of rows that may break each single rule, and all of them together.
    redact : bool
        Leave out the failing values: evidence is signed and travels.
    gate_id, confidence_level, seed
        Common to all checks; an exact count needs neither level nor seed.

    Raises
    ------
    InputError
        If the table is empty, or the schema or one of its rules raised an error so that nothing was
        shown by it (unless other rules are broken anyway: then the unevaluated rule is inconclusive).
    """
    del confidence_level, seed
    check_count(at_most)
    where = f"{data.name} data" if isinstance(data, Dataset) else "data"
    frame = as_frame(data, where=where)
    if isinstance(data, Dataset) and data.target_name in column_rules(schema):
        frame = data.table()
    found = violations(schema, frame, examples=_MOST_ROWS)
    broken = [item for item in found if item.is_evaluated]
    crashed = [item for item in found if not item.is_evaluated]
    if crashed and not any(not item.warns_only for item in broken):
        first = crashed[0]
        raise InputError(
            f"the rule {first.rule!r} on {first.column!r} was not evaluated: {first.note}",
            where=where,
            hint="a rule that raises an error shows nothing; correct the rule or the column's type",
        )
    measurements = [_counted(item, group, len(frame), redact=redact) for group, item in _grouped(found)]
    judged = [group for group, item in _grouped(found) if not item.warns_only]
    total = sum(item.n_rows for item in broken if not item.warns_only)
    table = f"in the {where}" if isinstance(data, Dataset) else None
    measurements.append(exact(_VIOLATIONS, total, len(frame), note=table))
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measurements),
        criteria=tuple(limited(_VIOLATIONS, at_most, group=group) for group in (*judged, None)),
        materials=materials_of(data),
        details=_details(broken, frame, redact=redact),
    )


def _grouped(found: Iterable[Violation]) -> list[tuple[str, Violation]]:
    """Name each rule ``column: rule``; rules that read alike are numbered, so that each is judged alone."""
    seen: dict[str, int] = {}
    named = []
    # Those that were not evaluated first: a list cut short must not lose them.
    for item in sorted(found, key=lambda item: item.is_evaluated):
        name = f"{item.column}: {item.rule}"
        seen[name] = seen.get(name, 0) + 1
        named.append((name if seen[name] == 1 else f"{name} ({seen[name]})", item))
    return named[:_MOST_RULES]


def _counted(item: Violation, group: str, n_rows: int, *, redact: bool) -> Measurement:
    note = item.note or None
    if item.warns_only:
        note = "the schema declares this rule a warning: not judged"
    elif redact and note is not None:
        note = "about the column or table as a whole"
    if item.is_evaluated:
        return exact(_VIOLATIONS, item.n_rows, n_rows, group=group, note=note)
    return Measurement(
        metric=_VIOLATIONS,
        value=None,
        lower=None,
        upper=None,
        confidence_level=1.0,
        method="exact count",
        n_samples=n_rows,
        higher_is_better=False,
        group=group,
        note=f"the rule was not evaluated: {note}",
    )


def _details(broken: Sequence[Violation], frame: pd.DataFrame, *, redact: bool) -> dict[str, JsonValue]:
    rows: list[JsonValue] = []
    for item in broken[:_MOST_RULES]:
        if item.rows is None:
            continue
        for label in item.rows[:_MOST_ROWS]:
            shown: dict[str, JsonValue] = {"column": item.column, "rule": item.rule, "row": plain(label)}
            if not redact and item.column in frame.columns and frame.index.is_unique:
                shown["value"] = plain(frame.loc[label, item.column])
            rows.append(shown)
    details: dict[str, JsonValue] = {"failing_rows": rows} if rows else {}
    if len(broken) > _MOST_RULES:
        details["rules_not_listed"] = len(broken) - _MOST_RULES
    return details
