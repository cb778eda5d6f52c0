"""A table and a schema -> Evidence that every row keeps every rule.

These are counts over the rows at hand, not estimates: bounds equal the value and the level is 1. Only a rule
that had to be evaluated on a sample is a share with bounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.adapters.schema_files import read_schema
from pytest_prodml.adapters.schema_kinds import any_schema
from pytest_prodml.adapters.tables import Dataset, as_pandas, materials_of
from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.counts import check_count, check_share, exact, plain, share
from pytest_prodml.checks.data.findings import Finding, Findings, find
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement, Subject

if TYPE_CHECKING:
    import pandas as pd

#: Failing rows shown for each rule and in all, and rules shown apart; counts are of all of them.
_MOST_ROWS = 10
_MOST_SHOWN = 50
_MOST_RULES = 100

_VIOLATIONS = "schema_violations"
_SHARE = "schema_violation_share"
_OTHERS = "every other rule that was sampled"


def conforms_to(
    schema: Any,  # noqa: ANN401 - pandera has no types for us
    data: Any,  # noqa: ANN401 - a table of any kind
    *,
    gate_id: str,
    at_most: float = 0.0,
    sampled_at_most: float = 0.0,
    keys: Sequence[str] = (),
    redact: bool = False,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a table conforms to a pandera schema.

    Measures ``schema_violations``: for each (column, rule) that does not hold, as group ``column: rule``, the
    number of rows that break it; without group their sum. A rule about a column or table as a whole (a
    missing column, a wrong type) counts with all rows.

    The schema's built-in rules are counted by one query on the engine where the rows are; nothing is loaded.
    Checks of the project's own, and schemas that coerce or parse, are evaluated by pandera: on all rows, but
    of a table beyond a million rows that is not in memory on a random sample of a million. What such a rule
    measures is then ``schema_violation_share``, with bounds.

    Parameters
    ----------
    schema : pandera DataFrameSchema or DataFrameModel, or a path
        Of pandera's pandas, polars or ibis backend, or a schema file (see `adapters.schema_files`), whose
        types are compared by kind on every engine. All of it is evaluated, whatever pandera's environment
        variables or the schema's own settings say. Rules with ``raise_warning=True`` are counted and not
        judged. Checks of your own in a schema of pandera.polars need a table that polars reads.
    data : Table, Dataset, frame or path
        The label column of a `Dataset`, or of a `Table` that knows it, is checked too if the schema names it.
        A CSV file is typed by polars after all its rows: whole numbers with missing cells stay whole.
    at_most : float
        The number of rows that may break each single rule, and all of them together.
    sampled_at_most : float
        The share of all rows that may break a rule that was evaluated on a sample. A sample never proves 0.
    keys : sequence of str
        Columns that say which row it is, shown with each failing row.
    redact : bool
        Leave out the failing values (keys stay): evidence is signed and travels.
    gate_id, confidence_level, seed
        Common to all checks; an exact count needs neither level nor seed, a sample both.

    Raises
    ------
    InputError
        If the table is empty or cannot be read, a key is no column, or the schema or one of its rules raised
        an error so that nothing was shown by it (unless other rules are broken anyway: then the unevaluated
        rule is inconclusive).
    """
    check_count(at_most)
    check_share(sampled_at_most, "sampled_at_most")
    from_file = isinstance(schema, (str, Path))
    schema, sources = _read(schema)
    table, frame = _opened(schema, data)
    for name in keys:
        if name not in table.engine.columns():
            raise InputError(f"there is no column {name!r} to name rows by", where=table.where)
    found = find(
        schema,
        table,
        frame=frame,
        keys=keys,
        most_examples=_MOST_ROWS,
        seed=seed,
        # A file is written for a table that may lie anywhere: its types are kinds, on a pandas frame too.
        native_types=not from_file,
    )
    broken = [item for item in found.items if item.is_evaluated]
    crashed = [item for item in found.items if not item.is_evaluated]
    if crashed and all(item.warns_only for item in broken):
        first = crashed[0]
        raise InputError(
            f"the rule {first.rule!r} on {first.column!r} was not evaluated: {first.note}",
            where=table.where,
            hint="a rule that raises an error shows nothing; correct the rule or the column's type",
        )
    measurements, criteria = [], []
    for group, item in _grouped(found.items):
        sampled = item.n_looked_at < found.n_rows and item.is_evaluated
        limit = sampled_at_most if sampled else at_most
        measured = (
            _sampled(item, group, limit, confidence_level)
            if sampled
            else _counted(item, group, redact=redact)
        )
        measurements.append(measured)
        if not item.warns_only:
            criteria.append(limited(measured.metric, limit, group=group))
    if found.n_looked_at < found.n_rows:
        measurements.append(_unbroken(found, sampled_at_most, confidence_level))
        criteria.append(limited(_SHARE, sampled_at_most, group=_OTHERS))
    counted = [item for item in broken if not item.warns_only and item.n_looked_at == found.n_rows]
    total = sum(item.n_rows for item in counted)
    measurements.append(exact(_VIOLATIONS, total, found.n_rows, note=f"in the {table.where}"))
    criteria.append(limited(_VIOLATIONS, at_most))
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measurements),
        criteria=tuple(criteria),
        materials=(*((table.material,) if table.material is not None else materials_of(data)), *sources),
        seed=seed,
        details=_details(broken, found, keys, redact=redact),
    )


def _read(schema: Any) -> tuple[Any, tuple[Subject, ...]]:  # noqa: ANN401
    if not isinstance(schema, (str, Path)):
        return schema, ()
    found, source = read_schema(Path(schema))
    return found, (source,)


def _opened(schema: Any, data: Any) -> tuple[Table, pd.DataFrame | None]:  # noqa: ANN401
    """Return the table, and its rows as a pandas frame where they came as one."""
    if isinstance(data, Table):
        return data, None
    if isinstance(data, Dataset):
        if data.path is not None:
            # Whether some other test loaded the file must not change how its columns are typed.
            return open_table(data.path, name=data.name), None
        named = data.target_name is not None and data.target_name in any_schema(schema).columns
        frame = data.table() if named else data.frame
        return open_table(frame, name=data.name), frame
    frame = as_pandas(data)
    return open_table(data if frame is None else frame, name="data"), frame


def _grouped(found: Iterable[Finding]) -> list[tuple[str, Finding]]:
    """Name each rule ``column: rule``; rules that read alike are numbered, so that each is judged alone."""
    seen: dict[str, int] = {}
    named = []
    # Those that were not evaluated first: a list cut short must not lose them.
    for item in sorted(found, key=lambda item: item.is_evaluated):
        name = f"{item.column}: {item.rule}"
        seen[name] = seen.get(name, 0) + 1
        named.append((name if seen[name] == 1 else f"{name} ({seen[name]})", item))
    return named[:_MOST_RULES]


def _counted(item: Finding, group: str, *, redact: bool) -> Measurement:
    note = _note(item, redact=redact)
    if item.is_evaluated:
        return exact(_VIOLATIONS, item.n_rows, item.n_looked_at, group=group, note=note)
    return Measurement(
        metric=_VIOLATIONS,
        value=None,
        lower=None,
        upper=None,
        confidence_level=1.0,
        method="exact count",
        n_samples=item.n_looked_at,
        higher_is_better=False,
        group=group,
        note=f"the rule was not evaluated: {note}",
    )


def _sampled(item: Finding, group: str, limit: float, confidence_level: float) -> Measurement:
    return share(
        _SHARE,
        item.n_rows,
        item.n_looked_at,
        confidence_level=confidence_level,
        limit=limit,
        group=group,
        note="the schema declares this rule a warning: not judged" if item.warns_only else None,
    )


def _unbroken(found: Findings, limit: float, confidence_level: float) -> Measurement:
    return share(
        _SHARE,
        0,
        found.n_looked_at,
        confidence_level=confidence_level,
        limit=limit,
        group=_OTHERS,
        note=f"pandera looked at {found.n_looked_at:,} of {found.n_rows:,} rows",
    )


def _note(item: Finding, *, redact: bool) -> str | None:
    if item.warns_only:
        return "the schema declares this rule a warning: not judged"
    if redact and item.note:
        return "about the column or table as a whole"
    return item.note or None


def _details(
    broken: Sequence[Finding], found: Findings, keys: Sequence[str], *, redact: bool
) -> dict[str, JsonValue]:
    # The first row of every rule before the second of any: a bounded list must not be about one rule alone.
    places = [
        (place, number)
        for place in range(_MOST_ROWS)
        for number, item in enumerate(broken[:_MOST_RULES])
        if place < len(item.examples)
    ][:_MOST_SHOWN]
    rows: list[JsonValue] = [
        _shown(broken[number], place, keys, redact=redact)
        for number, place in sorted((number, place) for place, number in places)
    ]
    details: dict[str, JsonValue] = {"engine": dict(found.facts)}
    if rows:
        details["failing_rows"] = rows
    if len(broken) > _MOST_RULES:
        details["rules_not_listed"] = len(broken) - _MOST_RULES
    return details


def _shown(item: Finding, place: int, keys: Sequence[str], *, redact: bool) -> dict[str, JsonValue]:
    example = item.examples[place]
    shown: dict[str, JsonValue] = {"column": item.column, "rule": item.rule}
    if example.row is not None:
        shown["row"] = plain(example.row)
    for name, value in example.cells.items():
        if name in keys:
            shown[f"key {name}"] = plain(value)
        elif name == item.column and not redact:
            shown["value"] = plain(value)
        elif name == "rows" or not redact:
            shown[name] = plain(value)
    return shown
