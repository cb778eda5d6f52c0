"""A table, and what it should look like -> evidence that its rows hold no faults that corrupt a model."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy.typing as npt

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.expressions import Aggregate, Column, Kind, Predicate
from pytest_prodml.checks.counts import plain
from pytest_prodml.checks.data.quality.kinds import KINDS
from pytest_prodml.checks.data.quality.request import Finding, Item, Request, for_family, profile
from pytest_prodml.checks.evidence import checked_burden, evidence, measurement
from pytest_prodml.checks.labels import nearest
from pytest_prodml.errors import InputError
from pytest_prodml.records import Burden, Comparison, Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level

__all__ = ["DEFAULT_LIMITS", "quality"]

#: What each kind has to stay at or below; None is measured, and not judged.
DEFAULT_LIMITS: Mapping[str, float | None] = MappingProxyType(
    {name: kind.limit for name, kind in KINDS.items()}
)
_MOST_ROWS = 5
_MOST_LISTED = 50
#: Kinds of columns whose meaning stays when one becomes the other.
_FAMILIES = (frozenset((Kind.INTEGER, Kind.FLOAT)), frozenset((Kind.TEXT, Kind.CATEGORY)))


def quality(
    table: Table,
    *,
    reference: Table | None = None,
    limits: Mapping[str, float | None] | None = None,
    only: Collection[str] | None = None,
    columns: Collection[str] | None = None,
    ignore: Collection[str] = (),
    target: str | None = None,
    keys: Sequence[str] = (),
    now: dt.datetime | None = None,
    probabilities: npt.ArrayLike | None = None,
    redact: bool = False,
    burden: str = "compliance",
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a table holds none of the faults that corrupt a model before anybody sees it.

    Parameters
    ----------
    table : Table
        The rows that are judged.
    reference : Table, optional
        Rows that are known to be good. Without them only faults are found that a table shows by itself.
    limits : mapping of str to float or None, optional
        Other limits than `DEFAULT_LIMITS`, by the name of the kind. None: measured and not judged.
    only : collection of str, optional
        Run these kinds and no other.
    columns, ignore : collection of str
        Look at these columns only; leave these out.
    target : str, optional
        The label column; default the table's own.
    keys : sequence of str
        Columns that say whose row it is. No two rows may share them; they are no data; examples show them.
    now : datetime, optional
        A time with its zone, after which no date may lie.
    probabilities : array, shape (n_rows, n_classes), optional
        Of each row's classes (ascending), by a model that did not see the row, for `label_noise_share`.
    redact : bool
        Leave all values out of the evidence; keys and positions stay.
    burden, gate_id, confidence_level, seed
        Common to all checks.

    Returns
    -------
    Evidence
        One measurement a kind, or one for each column (as group) where a kind is about the population behind
        the rows. ``details["not_run"]`` says what was not run or not judged, and why. Lower bounds of shares
        hold for all columns at once (Bonferroni), so that chance in one of many columns raises no alarm; of
        changes in either direction both bounds do, if violations have to be proven.

    Raises
    ------
    InputError
        If a table is empty, a column or kind does not exist, a kind that was asked for cannot be measured, or
        nothing is left to judge.

    Notes
    -----
    Two aggregate queries a table, one for the values of its categories, one for the first rows of what was
    found; `near_duplicate_rows` reads all rows once.
    """
    checked_level(confidence_level)
    asked_burden = checked_burden(burden)
    wanted = _wanted(limits or {}, only)
    request = _request(
        table,
        reference,
        chosen=(columns, ignore, target or table.target_name, tuple(keys)),
        wanted=wanted,
        given=(now, probabilities, confidence_level, seed),
    )
    request = replace(request, counts=_counts(request, wanted))
    asked_for = {*(limits or {}), *(only or ())}
    not_run: dict[str, JsonValue] = {kind: "not asked for" for kind in KINDS if kind not in wanted}
    found: dict[str, Finding] = {}
    judged: dict[str, float] = {}
    for kind, limit in wanted.items():
        finding = KINDS[kind].measure(request)
        if isinstance(finding, str):
            if kind in asked_for:
                raise InputError(f"{kind} can not be measured: {finding}", where=table.where)
            not_run[kind] = finding
            continue
        found[kind] = finding
        if limit is None:
            not_run[kind] = "measured, not judged: no limit is given"
        elif finding.unjudged is not None and (limits or {}).get(kind) is None:
            not_run[kind] = f"measured, not judged: {finding.unjudged}"
        else:
            judged[kind] = limit
    if not judged:
        raise InputError("nothing is left to judge", where=table.where, hint=f"kinds: {', '.join(KINDS)}")
    measurements, criteria = [], list[Criterion]()
    for kind, finding in found.items():
        for item in finding.items:
            own = _criteria(kind, item, judged.get(kind), asked_burden, two_sided=finding.two_sided)
            criteria += own
            measurements.append(_measured(kind, item, finding, own, asked_burden, confidence_level))
    told = evidence(
        gate_id,
        measurements,
        criteria,
        seed=seed,
        details=_details(request, found, not_run, redact=redact),
    )
    materials = tuple(
        side.material for side in (reference, table) if side is not None and side.material is not None
    )
    return replace(told, materials=materials)


def _wanted(given: Mapping[str, float | None], only: Collection[str] | None) -> dict[str, float | None]:
    for name in (*given, *(only or ())):
        if name not in KINDS:
            raise InputError(f"there is no kind of fault {name!r}", hint=nearest(name, list(KINDS)))
    for name, limit in given.items():
        if limit is not None and not 0 <= limit < float("inf"):
            raise InputError(f"the limit must be a number from 0 on, got {limit!r}", where=name)
    return {
        name: limit for name, limit in {**DEFAULT_LIMITS, **given}.items() if only is None or name in only
    }


def _request(
    table: Table,
    reference: Table | None,
    *,
    chosen: tuple[Collection[str] | None, Collection[str], str | None, tuple[str, ...]],
    wanted: Collection[str],
    given: tuple[Any, Any, float, int],
) -> Request:
    only, ignore, target, keys = chosen
    ours = table.engine.columns()
    theirs = {} if reference is None else reference.engine.columns()
    for name in (*(only or ()), *ignore, *keys, *([target] if target is not None else [])):
        if name not in ours and (name not in theirs or name in keys or name == target):
            raise InputError(
                f"there is no column {name!r}", where=table.where, hint=nearest(name, list(ours))
            )
    apart = {*ignore, *keys}

    def is_chosen(name: str) -> bool:
        return (only is None or name in only or name == target) and name not in apart

    looked_at = {name: column for name, column in ours.items() if is_chosen(name)}
    if target is not None and target in looked_at:
        label: str | None = target
    else:
        label = None
    inputs = tuple(name for name in looked_at if name != label)
    if not inputs and label is None:
        raise InputError("no column is left to look at", where=table.where)
    shared = {name: theirs[name] for name in looked_at if name in theirs}
    current = profile(table, looked_at, _rows_of(looked_at, inputs, label, keys, wanted), label)
    return Request(
        table=table,
        reference=reference,
        columns=looked_at,
        known_columns=shared,
        inputs=inputs,
        keys=keys,
        target=label,
        now=given[0],
        probabilities=given[1],
        confidence_level=given[2],
        seed=given[3],
        current=current,
        base=None if reference is None else profile(reference, shared, (), label),
        retyped=tuple(name for name, column in shared.items() if _is_retyped(column, looked_at[name])),
        gone=tuple(name for name in theirs if is_chosen(name) and name not in ours),
        not_compared=tuple(name for name in looked_at if name not in theirs),
    )


def _rows_of(
    columns: Mapping[str, Column],
    inputs: Sequence[str],
    target: str | None,
    keys: Sequence[str],
    wanted: Collection[str],
) -> list[Sequence[str]]:
    """Return the columns by which rows are counted: inputs, inputs with the label, keys."""
    told_apart = bool(inputs) and not any(columns[name].kind in {Kind.NESTED, Kind.MIXED} for name in inputs)
    with_label = [*inputs, *([target] if target is not None else [])]
    conflicts = "conflicting_labels" in wanted and target is not None
    return [
        inputs if told_apart and conflicts else (),
        with_label if told_apart and (conflicts or "duplicate_rows" in wanted) else (),
        keys if "duplicate_keys" in wanted else (),
    ]


def _is_retyped(before: Column, now: Column) -> bool:
    kinds = {before.kind, now.kind}
    if kinds == {Kind.DATETIME}:
        return (before.zone is None) is not (now.zone is None)
    return Kind.EMPTY not in kinds and len(kinds) > 1 and not any(kinds <= family for family in _FAMILIES)


def _counts(request: Request, wanted: Collection[str]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Ask what all wanted kinds ask, by one query a table."""
    ours: dict[str, Aggregate] = {}
    theirs: dict[str, Aggregate] = {}
    for kind in wanted:
        current, base = KINDS[kind].ask(request)
        ours |= current
        theirs |= base
    return (
        request.table.engine.aggregate(ours),
        {} if request.reference is None else request.reference.engine.aggregate(theirs),
    )


def _criteria(
    kind: str, item: Item, limit: float | None, burden: Burden, *, two_sided: bool
) -> list[Criterion]:
    if limit is None:
        return []
    above = Criterion(
        metric=kind, comparison=Comparison.AT_MOST, limit=limit, group=item.group, burden=burden
    )
    below = replace(above, comparison=Comparison.AT_LEAST, limit=-limit)
    return [above, below] if two_sided else [above]


def _measured(
    kind: str,
    item: Item,
    finding: Finding,
    criteria: Sequence[Criterion],
    burden: Burden,
    confidence_level: float,
) -> Measurement:
    # Families of proven violations are corrected by the policy.
    size = 1 if burden is Burden.VIOLATION or finding.exact else len(finding.items)
    measured = measurement(
        kind,
        for_family(item.estimate, size, both=finding.two_sided),
        criteria=criteria,
        n_samples=item.n_samples,
        confidence_level=confidence_level,
        higher_is_better=None if finding.two_sided else False,
        unit=finding.unit,
        group=item.group,
        note=item.note,
    )
    return replace(measured, confidence_level=1.0) if finding.exact else measured


def _details(
    request: Request, found: Mapping[str, Finding], not_run: Mapping[str, JsonValue], *, redact: bool
) -> dict[str, JsonValue]:
    listed: list[JsonValue] = []
    spare = max(1, _MOST_LISTED // max(1, sum(bool(item.listed) for item in found.values())))
    for kind, finding in found.items():
        listed += [
            {"kind": kind, **{key: cell for key, cell in row.items() if not redact or key in _NO_VALUES}}
            for row in finding.listed[:spare]
        ]
    examples = _examples(request, found, redact=redact)
    engine: dict[str, JsonValue] = {"current": request.table.facts()}
    if request.reference is not None:
        engine["reference"] = request.reference.facts()
    details: dict[str, JsonValue] = {"not_run": dict(not_run), "engine": engine}
    if listed:
        details["found"] = listed[:_MOST_LISTED]
    if examples:
        details["rows"] = examples
    if request.reference is not None and request.not_compared:
        details["not_compared"] = list(request.not_compared[:_MOST_LISTED])
    return details


#: What a row of ``details["found"]`` says beside values of cells.
_NO_VALUES = frozenset(("column", "rows", "row", "like row", "unit", "keys"))


def _examples(request: Request, found: Mapping[str, Finding], *, redact: bool) -> list[JsonValue]:
    """Fetch the first rows of what was found, by one query."""
    where: dict[str, Predicate] = {}
    shown: dict[str, list[str]] = {}
    column_of: dict[str, tuple[str, str]] = {}
    for kind, finding in found.items():
        for name, predicate in finding.where.items():
            key = f"{kind}: {name}"
            where[key], column_of[key] = predicate, (kind, name)
            shown[key] = list(dict.fromkeys((name, *request.keys)))
    # The first column of every kind before the second of any.
    first = sorted(
        where,
        key=lambda key: list(found[column_of[key][0]].where).index(column_of[key][1]),
    )[: _MOST_LISTED // _MOST_ROWS]
    where = {key: where[key] for key in where if key in first}
    rows = request.table.engine.rows(where, {key: shown[key] for key in where}, most=_MOST_ROWS)
    listed: list[JsonValue] = []
    for key, several in rows.items():
        kind, name = column_of[key]
        for row in several:
            told: dict[str, JsonValue] = {"kind": kind, "column": name}
            if row["row"] is not None:
                told["row"] = plain(row["row"])
            told |= {f"key {column}": plain(row[column]) for column in request.keys}
            if not redact:
                told["value"] = plain(row[name])
            listed.append(told)
    return listed
