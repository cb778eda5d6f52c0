"""What Great Expectations or dbt found in data -> Evidence; what they did not judge never passes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.counts import check_count, exact, plain
from pytest_prodml.checks.data.durations import duration, told
from pytest_prodml.checks.data.lineage.records import LIMITS, json_object, maybe, need, read_bytes
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError
from pytest_prodml.records import Criterion, Evidence, JsonValue, Measurement, Subject

_UNMET = "unmet_expectations"
_UNEXPECTED = "unexpected_rows"
_AGE = "result_age_seconds"
_MOST_SHOWN = 200
_MOST_RESULTS = 5_000
_SLACK = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One expectation or test.

    `met` is None where it was not evaluated, and `note` says why. `unexpected` of `rows` did not fit;
    `allowed` may not.
    """

    name: str
    met: bool | None
    unexpected: int | None = None
    allowed: float = 0.0
    rows: int = 0
    note: str | None = None


def great_expectations_results(
    path: Path | str,
    *,
    now: datetime,
    data: str,
    at_most_old: timedelta | str | None = None,
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Accept what Great Expectations found as evidence: a validation result, or the result of a checkpoint.

    Parameters
    ----------
    path : path
        The JSON that a validation definition, a checkpoint or the store of validations wrote (GX 1.x, 0.18).
    now : datetime
        When the question is asked; with a time zone.
    data : str
        The data asset that every result has to be about.
    at_most_old : timedelta or str, optional
        How long ago the validation may have run.
    gate_id, confidence_level, seed
        Common to all checks; exact counts need neither level nor seed.

    Returns
    -------
    Evidence
        ``unmet_expectations`` 0 or 1 for each, without a value where an exception was raised or no row was
        looked at; ``unexpected_rows`` where they are counted, against what ``mostly`` allows, whatever
        ``success`` says. Values of rows are not copied.

    Raises
    ------
    InputError
        If the file is of another form, holds no result, does not show all that were evaluated, or is about
        other data.
    """
    del confidence_level, seed
    path = Path(path)
    raw = read_bytes(path, LIMITS)
    where = str(path)
    validations = _validations(json_object(raw, where), where)
    found: list[Result] = []
    times: list[datetime | None] = []
    for validation in validations:
        meta = need(validation, "meta", dict, where)
        batch = maybe(meta, "active_batch_definition", dict, where) or {}
        about = maybe(batch, "data_asset_name", str, where)
        if about != data:
            raise InputError(
                f"is about {'no named data' if about is None else repr(about)[:80]}, not {data!r}",
                where=where,
            )
        results = need(validation, "results", list, where)
        counted = need(need(validation, "statistics", dict, where), "evaluated_expectations", int, where)
        if counted != len(results):
            raise InputError(
                f"shows {len(results)} of {counted} expectations",
                where=where,
                hint="store the whole result, not only failures",
            )
        found += [_expectation(item, where) for item in results]
        run = maybe(meta, "run_id", dict, where) or {}
        times.append(_time(meta.get("validation_time") or run.get("run_time")))
    return _as_evidence(
        found,
        gate_id=gate_id,
        source=_source(path, raw, "great_expectations", data),
        age=_age(times, now, at_most_old, where),
        details={"about": data, "validations": len(validations)},
    )


def _validations(document: Mapping[str, Any], where: str) -> list[Mapping[str, Any]]:
    if "run_results" not in document:
        return [document]
    listed = need(document, "run_results", dict, where)
    if not listed:
        raise InputError("the checkpoint ran no validation", where=where)
    # Before 1.0 each validation stood beside the results of actions.
    return [
        need(item, "validation_result", dict, where) if "validation_result" in item else item
        for item in listed.values()
        if isinstance(item, dict) or _refuse(where)
    ]


def _refuse(where: str) -> bool:
    raise InputError("a result of the checkpoint is no object", where=where)


def _expectation(item: Any, where: str) -> Result:  # noqa: ANN401 - JSON
    config = need(item, "expectation_config", dict, where)
    kind = maybe(config, "type", str, where) or need(config, "expectation_type", str, where)
    arguments = maybe(config, "kwargs", dict, where) or {}
    columns = [str(plain(arguments[key])) for key in ("column", "column_A", "column_B") if key in arguments]
    name = f"{', '.join(columns)}: {kind}" if columns else kind
    raised = _raised(maybe(item, "exception_info", dict, where) or {})
    if raised is not None:
        return Result(name=name, met=None, note=f"raised an exception: {raised}")
    success = need_bool(item, "success", where)
    result = maybe(item, "result", dict, where) or {}
    rows, unexpected = (
        maybe(result, "element_count", int, where),
        maybe(result, "unexpected_count", int, where),
    )
    if unexpected is None:
        if rows == 0:
            return Result(name=name, met=None, note="no row was looked at")
        return Result(name=name, met=success)
    missing = maybe(result, "missing_count", int, where) or 0
    looked = (rows or 0) - missing
    if rows is None or not 0 <= unexpected <= looked:
        raise InputError(f"{name}: {unexpected} of {looked} rows are unexpected", where=where)
    if looked == 0:
        return Result(name=name, met=None, note="no row with a value was looked at")
    mostly = arguments.get("mostly", 1.0)
    if isinstance(mostly, bool) or not isinstance(mostly, (int, float)) or not 0 < mostly <= 1:
        raise InputError(f"{name}: mostly is {str(mostly)[:40]!r}", where=where)
    # As many as leave the share of the others at `mostly`; the last place of a float decides nothing.
    allowed = math.floor((1 - mostly) * looked + 1e-9)
    return Result(name=name, met=success, unexpected=unexpected, allowed=allowed, rows=looked)


def _raised(info: Mapping[str, Any]) -> str | None:
    """Return the message of an exception: GX tells one, or since 1.0 one for each metric."""
    for found in (info, *info.values()):
        if isinstance(found, dict) and found.get("raised_exception") not in {False, None}:
            return str(plain(found.get("exception_message")))
    return None


def need_bool(value: Any, key: str, where: str) -> bool:  # noqa: ANN401 - JSON
    """Return a field that has to be true or false."""
    found = value.get(key)
    if not isinstance(found, bool):
        raise InputError(f"{key!r} has to be true or false and is {str(found)[:40]!r}", where=where)
    return found


_NOT_EVALUATED = frozenset(
    {"warn", "skipped", "error", "runtime error", "no-op", "partial success", "success", "reused"}
)


def dbt_test_results(
    path: Path | str,
    *,
    now: datetime,
    data: str,
    manifest: Path | str | None = None,
    at_most_old: timedelta | str | None = None,
    failing_rows_at_most: int = 0,
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Accept what dbt's tests found as evidence.

    Parameters
    ----------
    path : path
        ``run_results.json`` of ``dbt test`` or ``dbt build``.
    now : datetime
        When the question is asked; with a time zone.
    data : str
        The model, seed, snapshot or source whose tests count; at least one has to have run, and every test
        that dbt knows of it.
    manifest : path, optional
        The ``manifest.json`` of the same invocation; default the one beside it.
    at_most_old : timedelta or str, optional
        How long ago dbt may have run.
    failing_rows_at_most : int
        How many rows each test may return, whatever ``error_if`` says in dbt.
    gate_id, confidence_level, seed
        Common to all checks; exact counts need neither level nor seed.

    Returns
    -------
    Evidence
        ``unmet_expectations`` 0 or 1 for each test that passed or failed, without a value for one that only
        warned, was skipped, ended with an error or did not run; ``unexpected_rows`` for the rows it returned.

    Raises
    ------
    InputError
        If a file is of another form or invocation, or no test is about the data.
    """
    del confidence_level, seed
    check_count(failing_rows_at_most, "failing_rows_at_most")
    path = Path(path)
    raw, where = read_bytes(path, LIMITS), str(path)
    outcome = json_object(raw, where)
    beside = path.with_name("manifest.json") if manifest is None else Path(manifest)
    described = json_object(read_bytes(beside, LIMITS), str(beside))
    ran = need(outcome, "metadata", dict, where)
    of = need(described, "metadata", dict, str(beside))
    if need(ran, "invocation_id", str, where) != need(of, "invocation_id", str, str(beside)):
        raise InputError("is of another invocation than its manifest.json", where=where)
    nodes = need(described, "nodes", dict, str(beside))
    known = nodes | (maybe(described, "sources", dict, str(beside)) or {})
    results: dict[str, Any] = {}
    for item in need(outcome, "results", list, where):
        key = need(item, "unique_id", str, where)
        if key in results:
            raise InputError(f"tells the result of {key!r} twice", where=where)
        results[key] = item
    tests = [
        _dbt_test(key, node, results.get(key), failing_rows_at_most, where)
        for key, node in nodes.items()
        if isinstance(node, dict) and node.get("resource_type") == "test" and _is_about(node, known, data)
    ]
    if not tests:
        raise InputError(f"no test of dbt is about {data!r}", where=str(beside))
    return _as_evidence(
        tests,
        gate_id=gate_id,
        source=_source(path, raw, "dbt", data),
        age=_age([_time(ran.get("generated_at"))], now, at_most_old, where),
        details={"about": data, "dbt_version": str(plain(ran.get("dbt_version")))},
    )


def _is_about(node: Mapping[str, Any], known: Mapping[str, Any], data: str) -> bool:
    depends = node.get("depends_on")
    above = depends.get("nodes") if isinstance(depends, dict) else None
    for key in above if isinstance(above, list) else ():
        found = known.get(key) if isinstance(key, str) else None
        names = {key} | (
            {found.get("name"), found.get("relation_name")} if isinstance(found, dict) else set()
        )
        if data in names:
            return True
    return False


def _dbt_test(key: str, node: Mapping[str, Any], item: Any, limit: int, where: str) -> Result:  # noqa: ANN401
    name = str(node.get("name") or key)
    if item is None:
        return Result(name=name, met=None, note="dbt did not run it")
    status = need(item, "status", str, where)
    if status in _NOT_EVALUATED:
        return Result(name=name, met=None, note=f"dbt says: {status}")
    if status not in {"pass", "fail"}:
        raise InputError(f"{name}: there is no status {status[:40]!r}", where=where)
    failures = maybe(item, "failures", int, where)
    if failures is None or failures < 0:
        return Result(name=name, met=False if status == "fail" else None, note="dbt counted no rows")
    return Result(name=name, met=status == "pass", unexpected=failures, allowed=limit)


def _source(path: Path, raw: bytes, kind: str, data: str) -> Subject:
    return Subject(
        name=path.name,
        digest={"sha256": sha256_hex(raw)},
        annotations={"role": "imported results", "format": kind, "about": data, "bytes": len(raw)},
    )


def _time(given: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _age(
    times: Sequence[datetime | None], now: datetime, at_most_old: timedelta | str | None, where: str
) -> tuple[Measurement, Criterion | None] | None:
    """Measure how old the oldest of several results is; one that says no time, or a later one, has no age."""
    if not isinstance(now, datetime) or now.tzinfo is None:
        raise InputError(f"now must be a time with a time zone, got {now!r}")
    limit = None if at_most_old is None else duration(at_most_old, "at_most_old")
    criterion = None if limit is None else limited(_AGE, limit.total_seconds())
    known = [moment for moment in times if moment is not None]
    unknown = replace(
        exact(_AGE, 0, len(times), unit="s", method="exact"), value=None, lower=None, upper=None
    )
    if len(known) < len(times):
        if limit is None:
            return None
        return replace(unknown, note=f"{Path(where).name} does not say when it was made"), criterion
    age = now - min(known)
    if now - max(known) < -_SLACK:
        return replace(unknown, note=f"was made {told(max(known) - now)} after now"), criterion
    return exact(_AGE, age.total_seconds(), len(times), unit="s", method="exact", note=told(age)), criterion


def _as_evidence(
    found: Sequence[Result],
    *,
    gate_id: str,
    source: Subject,
    age: tuple[Measurement, Criterion | None] | None,
    details: dict[str, JsonValue],
) -> Evidence:
    if not 1 <= len(found) <= _MOST_RESULTS:
        raise InputError(
            f"holds {len(found):,} results, from 1 to {_MOST_RESULTS:,} are read", where=source.name
        )
    measured: list[Measurement] = []
    criteria: list[Criterion] = []
    for name, item in _named(found)[:_MOST_SHOWN]:
        value = None if item.met is None else float(not item.met)
        count = exact(_UNMET, 0, 1, group=name, note=item.note)
        measured.append(replace(count, value=value, lower=value, upper=value))
        criteria.append(limited(_UNMET, 0, group=name))
        if item.unexpected is not None:
            # dbt does not say how many rows it looked at: at least those that it returned.
            rows = item.rows or max(item.unexpected, 1)
            measured.append(exact(_UNEXPECTED, item.unexpected, rows, group=name, unit="rows"))
            criteria.append(limited(_UNEXPECTED, item.allowed, group=name))
    broken = sum(item.met is False or _exceeds(item) for item in found)
    undecided = sum(item.met is None and not _exceeds(item) for item in found)
    note = f"of {len(found):,}, {undecided:,} not evaluated"
    total = exact(_UNMET, broken, len(found), note=note)
    # What was not evaluated could be unmet too: then there is no upper bound.
    measured.append(replace(total, upper=None) if undecided else total)
    criteria.append(limited(_UNMET, 0))
    if age is not None:
        measured.append(age[0])
        criteria += [] if age[1] is None else [age[1]]
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measured),
        criteria=tuple(criteria),
        materials=(source,),
        details=details | {"results": len(found)},
    )


def _exceeds(item: Result) -> bool:
    return item.unexpected is not None and item.unexpected > item.allowed


def _named(found: Sequence[Result]) -> list[tuple[str, Result]]:
    """Give each result a name of its own; those that did not pass come first."""
    seen: dict[str, int] = {}
    named = []
    for item in sorted(found, key=lambda item: item.met is True and not _exceeds(item)):
        name = str(plain(item.name))
        seen[name] = seen.get(name, 0) + 1
        named.append((name if seen[name] == 1 else f"{name} ({seen[name]})", item))
    return named
