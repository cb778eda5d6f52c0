"""Tables that keep their own versions (Delta, Iceberg) -> which version is there, and whether it is whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pytest_prodml.adapters.engines.sources import MANIFEST_METHOD
from pytest_prodml.checks.data.lineage.digests import facts_of, manifest_digest
from pytest_prodml.checks.data.lineage.records import (
    LIMITS,
    WIDE_LIMITS,
    Artifact,
    Run,
    json_object,
    maybe,
    need,
    read_bytes,
    source_of,
)
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError
from pytest_prodml.records import Subject

_COMMIT = re.compile(r"([0-9]{20})\.json")
_METADATA = re.compile(r"(?:v?)([0-9]+)(?:-[0-9a-f-]+)?\.metadata\.json")
_MOST_COMMITS = 10_000
_MOST_TOLD = 3


def is_delta(path: Path) -> bool:
    """Return whether a directory is a Delta table."""
    return (path / "_delta_log").is_dir()


def is_iceberg(path: Path) -> bool:
    """Return whether a directory is an Iceberg table."""
    return any((path / "metadata").glob("*.metadata.json"))


def read_delta(path: Path, version: int | None = None) -> Run:
    """Replay the log of a Delta table and look at the files of the version.

    Delta records names and sizes, no digests: each file has to be there with its size, and the version's
    digest is made here, of its files as ``sha256sum`` would list them.

    Parameters
    ----------
    path : Path
        The directory of the table.
    version : int, optional
        Default the newest.

    Raises
    ------
    InputError
        If the log does not begin with commit 0 (a checkpoint replaced its beginning), lacks a commit, or one
        is not of the form that the protocol states.
    """
    where = str(path)
    commits = {
        int(match[1]): item
        for item in (path / "_delta_log").iterdir()
        if (match := _COMMIT.fullmatch(item.name))
    }
    newest = max(commits, default=-1) if version is None else version
    if newest < 0 or newest not in commits:
        raise InputError(f"has no commit {newest if version is not None else 0}", where=where)
    if newest >= _MOST_COMMITS:
        raise InputError(f"has more than {_MOST_COMMITS:,} commits", where=where)
    missing = [number for number in range(newest) if number not in commits]
    if missing:
        raise InputError(
            f"the log lacks commit {missing[0]}",
            where=where,
            hint="where old commits were cleaned away, the version can not be replayed from its log; state "
            "the files' digests in a manifest instead",
        )
    files: dict[str, int | None] = {}
    log = b""
    for number in range(newest + 1):
        data = read_bytes(commits[number], LIMITS)
        log += f"{sha256_hex(data)}  {commits[number].name}\n".encode()
        for line in data.splitlines():
            if line.strip():
                _replay(json_object(line, str(commits[number])), files, str(commits[number]))
    source = Subject(
        name=f"{path.resolve().name}/_delta_log",
        digest={"sha256": sha256_hex(log)},
        annotations={"role": "lineage manifest", "format": "delta", "version": str(newest)},
    )
    digests: dict[str, str] = {}
    broken = []
    for name, size in sorted(files.items()):
        problem, digest = _file(path, name, size)
        if problem is not None:
            broken.append(f"version {newest} of the table {path.resolve().name}: {problem}")
        elif digest is not None:
            digests[name] = digest
    made = Artifact(
        role="data",
        name=path.resolve().name,
        digests={} if broken else {"sha256": manifest_digest(digests)},
        method=MANIFEST_METHOD,
        version=str(newest),
        location=str(path.resolve()),
    )
    return Run(
        name=made.name, source=source, made=(made,), used=(), root=path.parent, broken=_shortened(broken)
    )


def _replay(action: Mapping[str, Any], files: dict[str, int | None], where: str) -> None:
    if len(action) != 1:
        raise InputError("a line holds not exactly one action", where=where)
    added, removed = maybe(action, "add", dict, where), maybe(action, "remove", dict, where)
    if added is not None:
        if added.get("deletionVector") is not None:
            raise InputError("uses deletion vectors, whose rows stay in a file and do not count", where=where)
        files[need(added, "path", str, where)] = need(added, "size", int, where)
    elif removed is not None:
        files.pop(need(removed, "path", str, where), None)


def _file(path: Path, name: str, size: int | None) -> tuple[str | None, str | None]:
    """Return what is wrong with a file of a table, or its digest."""
    # Paths in the log are URIs, relative to the table.
    here = path / unquote(name)
    if not here.is_file():
        return f"{name} is not there", None
    known = facts_of(here)
    if size is not None and known.size != size:
        return f"{name} has {known.size:,} bytes, the log says {size:,}", None
    return None, known.sha256


def read_iceberg(path: Path) -> Run:
    """Read the metadata of an Iceberg table: the current snapshot and whether its list of manifests is there.

    Parameters
    ----------
    path : Path
        A `*.metadata.json`, or the directory of a table: then the one that `version-hint.text` names, else
        that of the highest number.

    Raises
    ------
    InputError
        If there is none, or it is not of the form that the specification states.

    Notes
    -----
    The data files stand in Avro files, which are not opened: a snapshot is identified by its number and the
    digest of its list of manifests.
    """
    found = _current_metadata(path) if path.is_dir() else path
    data = read_bytes(found, WIDE_LIMITS)
    where = str(found)
    document = json_object(data, where, WIDE_LIMITS)
    if need(document, "format-version", int, where) not in {1, 2, 3}:
        raise InputError(f"is of format version {document['format-version']}", where=where)
    location = need(document, "location", str, where)
    name = location.rstrip("/").rpartition("/")[2]
    current = maybe(document, "current-snapshot-id", int, where)
    if current is None or current == -1:
        raise InputError("has no snapshot: the table is empty", where=where)
    snapshots = [
        item
        for item in need(document, "snapshots", list, where)
        if need(item, "snapshot-id", int, where) == current
    ]
    if len(snapshots) != 1:
        raise InputError(f"describes the current snapshot {current} {len(snapshots)} times", where=where)
    listed = need(snapshots[0], "manifest-list", str, where)
    here = _local(listed, location, found)
    broken: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    digests: dict[str, str] = {}
    if here is None:
        undecided = (f"snapshot {current} of the table {name}: its list of manifests lies at {listed}",)
    elif not here.is_file():
        broken = (f"snapshot {current} of the table {name}: its list of manifests is not there",)
    else:
        digests = {"sha256": facts_of(here).sha256}
    made = Artifact(
        role="data",
        name=name,
        digests=digests,
        method="iceberg manifest list",
        version=str(current),
        location=location,
    )
    return Run(
        name=name,
        source=source_of(found, data, "iceberg"),
        made=(made,),
        used=(),
        root=found.parent.parent,
        broken=broken,
        open=undecided,
    )


def _current_metadata(path: Path) -> Path:
    folder = path / "metadata"
    hint = folder / "version-hint.text"
    if hint.is_file():
        text = read_bytes(hint).decode("utf-8", "replace").strip()
        for name in (f"v{text}.metadata.json", f"{text}.metadata.json", text):
            if _METADATA.fullmatch(name) and (folder / name).is_file():
                return folder / name
        raise InputError(f"version-hint.text names {text[:40]!r}, which is not there", where=str(folder))
    numbered = [
        (int(match[1]), item) for item in folder.iterdir() if (match := _METADATA.fullmatch(item.name))
    ]
    highest = [item for number, item in numbered if number == max(number for number, _ in numbered)]
    if len(highest) != 1:
        raise InputError(
            f"holds {len(highest)} metadata files of the highest number",
            where=str(folder),
            hint="name the *.metadata.json that the catalog says is current",
        )
    return highest[0]


def _local(address: str, location: str, metadata: Path) -> Path | None:
    """Return where a file of the table lies here: below the table, wherever that was moved to."""
    prefix = location.rstrip("/") + "/"
    if address.startswith(prefix) and metadata.parent.name == "metadata":
        below = metadata.parent.parent / address.removeprefix(prefix)
        if below.is_file() or urlsplit(address).scheme in {"", "file"}:
            return below
    parts = urlsplit(address)
    return Path(unquote(parts.path)) if parts.scheme in {"", "file"} else None


def _shortened(told: list[str]) -> tuple[str, ...]:
    more = len(told) - _MOST_TOLD
    return (*told[:_MOST_TOLD], *([f"and {more:,} more files"] if more > 0 else []))
