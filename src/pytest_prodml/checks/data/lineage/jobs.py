"""What orchestrators wrote down of their runs: OpenLineage events, and dbt's manifest with its results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_prodml.checks.data.lineage.records import (
    LIMITS,
    Artifact,
    Run,
    json_object,
    maybe,
    need,
    read_bytes,
    source_of,
)
from pytest_prodml.errors import InputError

_SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_REVISION = re.compile(r"[0-9a-f]{7,64}")
_ENDED = {"COMPLETE", "FAIL", "ABORT"}
_TYPES = _ENDED | {"START", "RUNNING", "OTHER"}
_MADE = {"model", "seed", "snapshot"}
_BUILT = {"success", "pass"}
_NOT_BUILT = {"error", "fail", "runtime error", "partial success"}


def read_openlineage(path: Path) -> tuple[Run, ...]:
    """Read OpenLineage run events: one JSON object, or one a line as the client's file transport writes them.

    Events of one run belong together. Only a run that ended with COMPLETE made what it says.

    Raises
    ------
    InputError
        If a line is no run event.
    """
    data = read_bytes(path, LIMITS)
    where = str(path)
    lines = [line for line in data.splitlines() if line.strip()]
    # An event that is indented for people is one object over many lines.
    single = not lines[0].rstrip().endswith(b"}")
    events = [json_object(item, where) for item in ([data] if single else lines)]
    runs: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if "run" not in event:
            raise InputError("is no OpenLineage run event: it names no run", where=where)
        kind = maybe(event, "eventType", str, where)
        if kind not in _TYPES:
            raise InputError(f"there is no event type {str(kind)[:40]!r}", where=where)
        runs.setdefault(need(event["run"], "runId", str, where), []).append(event)
    return tuple(_openlineage_run(path, data, known) for known in runs.values())


def _openlineage_run(path: Path, data: bytes, events: list[dict[str, Any]]) -> Run:
    where = str(path)
    job = need(events[-1], "job", dict, where)
    name = f"{need(job, 'namespace', str, where)}/{need(job, 'name', str, where)}"
    made: dict[str, Artifact] = {}
    used: dict[str, Artifact] = {}
    for event in events:
        for key, found in (("inputs", used), ("outputs", made)):
            for item in maybe(event, key, list, where) or ():
                artifact = _dataset(item, where)
                # A later event may leave out what an earlier one said.
                if artifact.digests or artifact.version or artifact.name not in found:
                    found[artifact.name] = artifact
    ends = {event["eventType"] for event in events} & _ENDED
    failed = sorted(ends - {"COMPLETE"})
    source = maybe(maybe(job, "facets", dict, where) or {}, "sourceCodeLocation", dict, where) or {}
    revision = maybe(source, "version", str, where)
    return Run(
        name=name,
        source=source_of(path, data, "openlineage"),
        made=tuple(made.values()),
        used=tuple(used.values()),
        root=path.parent,
        code_revision=revision if revision and _REVISION.fullmatch(revision) else None,
        broken=tuple(f"the run of {name} ended with {kind}" for kind in failed),
        open=() if ends else (f"no event says that the run of {name} was completed",),
    )


def _dataset(item: Any, where: str) -> Artifact:  # noqa: ANN401 - JSON
    name = need(item, "name", str, where)
    namespace = need(item, "namespace", str, where)
    facets = maybe(item, "facets", dict, where) or {}
    version = maybe(maybe(facets, "version", dict, where) or {}, "datasetVersion", str, where)
    digest = _SHA256.fullmatch(version) if version else None
    local = namespace in {"file", "file://"} or namespace.startswith("file:")
    return Artifact(
        role="data",
        name=name,
        digests={} if digest is None else {"sha256": digest[1]},
        version=None if digest is not None else version,
        location=name if local else f"{namespace}/{name}",
    )


def read_dbt(path: Path, results: Path | None = None) -> tuple[Run, ...]:
    """Read a dbt ``manifest.json`` with the ``run_results.json`` beside it.

    Every model, seed and snapshot is one run; the digest that dbt states is that of its source file.

    Raises
    ------
    InputError
        If one is missing or not of the form that dbt writes, or they are of different invocations.
    """
    where = str(path)
    data = read_bytes(path, LIMITS)
    document = json_object(data, where)
    found = results or path.with_name("run_results.json")
    outcome = json_object(read_bytes(found, LIMITS), str(found))
    ours = need(need(document, "metadata", dict, where), "invocation_id", str, where)
    theirs = need(need(outcome, "metadata", dict, str(found)), "invocation_id", str, str(found))
    schema = need(document["metadata"], "dbt_schema_version", str, where)
    if "/dbt/manifest/" not in schema:
        raise InputError(f"is of the schema {schema[:80]!r}", where=where)
    statuses: dict[str, str] = {}
    for item in need(outcome, "results", list, str(found)):
        key = need(item, "unique_id", str, str(found))
        if key in statuses:
            raise InputError(f"tells the result of {key!r} twice", where=str(found))
        statuses[key] = need(item, "status", str, str(found))
    nodes = need(document, "nodes", dict, where)
    runs = tuple(
        _dbt_run(path, data, key, node, nodes, statuses.get(key))
        for key, node in nodes.items()
        if maybe(node, "resource_type", str, where) in _MADE
    )
    if not runs:
        raise InputError("names no model, seed or snapshot", where=where)
    if ours != theirs:
        raise InputError(
            "is of another invocation than run_results.json, so what ran is not what it describes",
            where=where,
            hint="keep both files of one `dbt build`",
        )
    return runs


def _dbt_run(
    path: Path,
    data: bytes,
    key: str,
    node: Mapping[str, Any],
    nodes: Mapping[str, Any],
    status: str | None,
) -> Run:
    where = f"{path}, {key}"
    name = need(node, "name", str, where)
    used = [_source_file(node, where)]
    for other in maybe(maybe(node, "depends_on", dict, where) or {}, "nodes", list, where) or ():
        above = nodes.get(other) if isinstance(other, str) else None
        told = need(above, "name", str, where) if above is not None else str(other).rpartition(".")[2]
        used.append(Artifact(role="data", name=told))
    made = Artifact(role="data", name=name)
    broken, undecided = [], []
    if status in _NOT_BUILT:
        broken.append(f"dbt ended {key} with status {status!r}")
    elif status not in _BUILT:
        undecided.append(f"dbt says of {key}: {status or 'no result'}")
    return Run(
        name=key,
        source=source_of(path, data, "dbt"),
        made=(made,),
        used=tuple(used),
        # The project's root: dbt writes its artifacts to the directory target below it.
        root=path.parent.parent,
        broken=tuple(broken),
        open=tuple(undecided),
    )


def _source_file(node: Mapping[str, Any], where: str) -> Artifact:
    checksum = need(node, "checksum", dict, where)
    file = need(node, "original_file_path", str, where)
    digest = maybe(checksum, "checksum", str, where)
    known = maybe(checksum, "name", str, where) == "sha256" and digest is not None
    if known and _SHA256.fullmatch(str(digest)) is None:
        raise InputError(f"the checksum of {file!r} is no sha256 in hex", where=where)
    return Artifact(
        role="code", name=file, digests={"dbt-sha256": str(digest)} if known else {}, location=file
    )
