"""The worker's answer -> Evidence: each condition is one measurement, 1 where it is violated, else 0.

A condition of deepchecks is a point value against a limit, with no bound on what another sample would give,
and the evidence says so. A check that broke or did not run has no value, so that its gate is inconclusive.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from pytest_prodml.adapters.tables import materials_of
from pytest_prodml.checks.counts import at_most, exact
from pytest_prodml.checks.deepchecks.answer import Answer, Category, CheckAnswer, CheckState, Condition
from pytest_prodml.checks.deepchecks.exchange import Request
from pytest_prodml.codec import canonical_json, sha256_hex
from pytest_prodml.deepchecks_worker.home import other_versions
from pytest_prodml.records import Evidence, JsonValue, Measurement, Subject

OnWarn: TypeAlias = Literal["fail", "pass"]

VIOLATED = "deepchecks_violations"
NOT_EVALUATED = "deepchecks_not_evaluated"
_MOST_TEXT = 200
_MOST_NOTE = 500


def as_evidence(answer: Answer, request: Request, *, gate_id: str, on_warn: OnWarn, redact: bool) -> Evidence:
    """Turn an answer into evidence.

    Measures ``deepchecks_violations``: for each condition of each check, as group ``check: condition``, 1
    where it is violated, else 0; without group their sum. Each must be 0. ``deepchecks_not_evaluated`` counts
    the checks of a suite that showed nothing (it is not judged, but a policy can limit it).

    Parameters
    ----------
    answer, request : Answer, Request
        What was said, and what was asked.
    gate_id : str
        The gate that this is evidence of.
    on_warn : {"fail", "pass"}
        What a condition means that only warns.
    redact : bool
        Leave out values and details: they quote cells of the tables.
    """
    version = answer.versions.get("deepchecks", "(unknown version)")
    method = f"deepchecks {version} condition (point value, no bound)"
    measurements: list[Measurement] = []
    silent: list[str] = []
    for item in answer.checks:
        found = _measured(item, request, method, on_warn=on_warn, redact=redact)
        if found:
            measurements += found
        else:
            silent.append(item.name)
    silent += [left.check for left in answer.left_out]
    measurements = _numbered(measurements)
    judged = [measured.group for measured in measurements]
    n_rows = sum(answer.rows.values())
    measurements.append(_total(measurements, n_rows, method))
    measurements.append(
        exact(
            NOT_EVALUATED,
            len(silent),
            n_rows,
            unit="checks",
            note=_cut(", ".join(silent), _MOST_NOTE) or None,
        )
    )
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measurements),
        criteria=tuple(at_most(VIOLATED, 0, group=group) for group in (*judged, None)),
        materials=(*materials_of(request.train, request.test), *_materials(answer, request)),
        details=_details(answer, redact=redact),
    )


def _measured(
    item: CheckAnswer, request: Request, method: str, *, on_warn: OnWarn, redact: bool
) -> list[Measurement]:
    n_samples = sum(item.n_samples.values())
    if item.state is CheckState.RAN and item.conditions:
        return [
            _of_condition(item, condition, request, method, n_samples, on_warn=on_warn, redact=redact)
            for condition in item.conditions
        ]
    told = {
        CheckState.RAN: "it has no condition, so it judges nothing",
        CheckState.REFUSED: f"it does not apply: {item.reason}",
        CheckState.ERROR: f"it raised an error: {_reason(item, redact=redact)}",
        CheckState.NOT_RUN: f"it did not run: {_reason(item, redact=redact)}",
    }[item.state]
    # A suite of deepchecks also holds checks that judge nothing, or that are for another kind of data. One
    # that was asked for by name, or that a project put into a suite of its own, must show something.
    is_named = request.checks is not None or request.suite.source is not None
    if item.state in {CheckState.RAN, CheckState.REFUSED} and not is_named:
        return []
    return [_without_value(_label(item.name), method, n_samples, told)]


def _of_condition(
    item: CheckAnswer,
    condition: Condition,
    request: Request,
    method: str,
    n_samples: int,
    *,
    on_warn: OnWarn,
    redact: bool,
) -> Measurement:
    group = _label(f"{item.name}: {condition.text}")
    told = [] if redact or not condition.details else [condition.details]
    if condition.category is Category.ERROR:
        return _without_value(group, method, n_samples, "; ".join(["the condition raised an error", *told]))
    if condition.category is Category.WARN:
        told.insert(0, "a warning" if on_warn == "fail" else "a warning, accepted by on_warn")
    looked_at = _coverage(item, request)
    if looked_at:
        told.append(looked_at)
    violated = condition.category is Category.FAIL or (
        condition.category is Category.WARN and on_warn == "fail"
    )
    return exact(
        VIOLATED,
        int(violated),
        n_samples,
        group=group,
        method=method,
        note=_cut("; ".join(told), _MOST_NOTE) or None,
    )


def _coverage(item: CheckAnswer, request: Request) -> str:
    """Say of which tables only a sample was looked at."""
    tables = {"train": request.train, "test": request.test}
    return ", ".join(
        f"looked at {count:,} of the {len(table):,} rows of the {table.name} data"
        for side, count in item.n_samples.items()
        if (table := tables[side]) is not None and count < len(table)
    )


def _without_value(group: str | None, method: str, n_samples: int, note: str) -> Measurement:
    return Measurement(
        metric=VIOLATED,
        value=None,
        lower=None,
        upper=None,
        confidence_level=1.0,
        method=method,
        n_samples=n_samples,
        higher_is_better=False,
        group=group,
        note=_cut(note, _MOST_NOTE),
    )


def _total(measurements: Iterable[Measurement], n_rows: int, method: str) -> Measurement:
    values = [measured.value for measured in measurements]
    known = [value for value in values if value is not None]
    count = int(sum(known))
    if count == 0 and len(known) < len(values):
        return _without_value(None, method, n_rows, "some checks were not evaluated")
    if not known:
        return _without_value(None, method, n_rows, "no check judged anything")
    return exact(VIOLATED, count, n_rows, method=method)


def _numbered(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Give groups that read alike a number, so that each is judged alone."""
    from dataclasses import replace

    seen: Counter[str] = Counter()
    found = []
    for measured in measurements:
        group = measured.group or ""
        seen[group] += 1
        count = seen[group]
        found.append(measured if count == 1 else replace(measured, group=f"{group} ({count})"))
    return found


def _materials(answer: Answer, request: Request) -> tuple[Subject, ...]:
    stack: dict[str, JsonValue] = {"python": answer.python, **answer.versions}
    worker = Subject(
        name="deepchecks-worker",
        digest={"sha256": sha256_hex(canonical_json(stack))},
        annotations={**stack, "role": "software", "locked": not other_versions(answer.versions)},
    )
    if request.suite.source is None:
        return (worker,)
    suite = Subject(
        name=request.suite.file_name,
        digest={"sha256": sha256_hex(request.suite.source)},
        annotations={"role": "deepchecks suite"},
    )
    return worker, suite


def _details(answer: Answer, *, redact: bool) -> Mapping[str, JsonValue]:
    rows: list[JsonValue] = []
    values: list[JsonValue] = []
    for item in answer.checks:
        common: dict[str, JsonValue] = {
            "check": item.name,
            "state": item.state.value,
            "rows": sum(item.n_samples.values()),
            "coverage": _share(item, answer),
            "seconds": item.seconds,
        }
        if item.reason:
            common["reason"] = _reason(item, redact=redact)
        for condition in item.conditions:
            told: dict[str, JsonValue] = {"condition": condition.text, "found": condition.category.value}
            rows.append(common | told | ({} if redact else {"details": condition.details}))
        if not item.conditions:
            rows.append(common)
        if item.state is CheckState.RAN and not redact:
            values.append({"check": item.name, "value": item.value})
    left: list[JsonValue] = [{"check": left.check, "reason": left.reason} for left in answer.left_out]
    found: dict[str, JsonValue] = {"deepchecks_checks": rows}
    return (
        found
        | ({"deepchecks_values": values} if values else {})
        | ({"deepchecks_left_out": left} if left else {})
    )


def _reason(item: CheckAnswer, *, redact: bool) -> str:
    """Return why a check showed nothing; what an exception says may quote a cell, its type does not."""
    return item.reason.partition(":")[0] if redact and item.state is CheckState.ERROR else item.reason


def _share(item: CheckAnswer, answer: Answer) -> float | None:
    """Return the least share of any table that a check looked at."""
    shares = [count / answer.rows[side] for side, count in item.n_samples.items()]
    return min(shares, default=None)


def _label(text: str) -> str:
    """Return a text as a name can be: one spelling, nothing that can not be seen."""
    return _cut(unicodedata.normalize("NFC", text), _MOST_TEXT)


def _cut(text: str, most: int) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text).strip()
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."
