"""Our own manifest, written where a model is trained and read where it is judged; lists of `sha256sum`."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pytest_prodml.checks.data.lineage.digests import subject_at
from pytest_prodml.checks.data.lineage.records import (
    LIMITS,
    Artifact,
    Run,
    json_object,
    read_bytes,
    source_of,
)
from pytest_prodml.checks.data.lineage.tables import is_delta, is_iceberg, read_delta, read_iceberg
from pytest_prodml.codec import canonical_json, decode, encode
from pytest_prodml.errors import InputError, MalformedError
from pytest_prodml.records import JsonValue, Subject

FORMAT = "prodml-lineage/v1"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REVISION = re.compile(r"[0-9a-f]{7,64}")
_LINE = re.compile(r"(?P<escaped>\\?)(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>.+)")
_TAGGED_LINE = re.compile(r"SHA256 \((?P<name>.+)\) = (?P<digest>[0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a training writes down: the model, and all that it was made from.

    `format` is always ``prodml-lineage/v1``. Its JSON has the same fields in camelCase.
    """

    format: str
    created_at: datetime
    model: Subject
    data: tuple[Subject, ...]
    code_revision: str
    is_dirty: bool | None = None
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    parents: tuple[Subject, ...] = ()


def write_lineage(
    path: Path,
    *,
    model: Path | Subject,
    data: Sequence[Path | Subject],
    code_revision: str,
    created_at: datetime,
    is_dirty: bool | None = None,
    parameters: Mapping[str, JsonValue] | None = None,
    parents: Sequence[Path | Subject] = (),
) -> Manifest:
    """Write down what a model was made from; call it where the model is trained, when its file is complete.

    Parameters
    ----------
    path : Path
        The manifest; written whole or not at all.
    model : Path or Subject
        The model's file or directory; what was trained, never a copy written again.
    data : sequence of Path or Subject
        Each table or file that was read; at least one.
    code_revision : str
        The commit that runs, in hex: ``git rev-parse HEAD``.
    created_at : datetime
        Now, with a time zone.
    is_dirty : bool, optional
        Whether files differ from that commit.
    parameters : mapping of str to JSON, optional
        Hyperparameters, seeds, options.
    parents : sequence of Path or Subject
        Other models that this one was made from.

    Raises
    ------
    InputError
        If a file is missing, no data are named, or the revision or the time can not be written.
    """
    if not data:
        raise InputError("a model is made from data: name at least one table", where=str(path))
    if _REVISION.fullmatch(code_revision) is None:
        raise InputError(
            f"{code_revision!r} is no revision of code in hex", where=str(path), hint="git rev-parse HEAD"
        )
    if created_at.tzinfo is None:
        raise InputError("created_at needs a time zone", where=str(path))
    manifest = Manifest(
        format=FORMAT,
        created_at=created_at.astimezone(UTC).replace(microsecond=0),
        model=_subject(model, "model", path),
        data=tuple(_subject(item, "data", path) for item in data),
        code_revision=code_revision,
        is_dirty=is_dirty,
        parameters=dict(parameters or {}),
        parents=tuple(_subject(item, "parent", path) for item in parents),
    )
    try:
        value = encode(manifest)
        canonical_json(value)
    except MalformedError as error:
        told = "; ".join((error.what, *error.problems[:3]))
        raise InputError(f"parameters must be plain JSON: {told}", where=str(path)) from None
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
        Path(draft).replace(path)
    except OSError as error:
        Path(draft).unlink(missing_ok=True)
        raise InputError(f"can not be written: {error.strerror}", where=str(path)) from None
    return manifest


def _subject(given: Path | Subject, role: str, path: Path) -> Subject:
    if isinstance(given, Subject):
        return given
    try:
        below = os.path.relpath(given, path.parent)
    except ValueError:  # another drive
        below = str(given)
    return replace(_identified(Path(given), role), uri=Path(below).as_posix())


def _identified(path: Path, role: str) -> Subject:
    if role != "data" or not path.is_dir() or not (is_delta(path) or is_iceberg(path)):
        return subject_at(path, role)
    run = read_delta(path) if is_delta(path) else read_iceberg(path)
    made = run.made[0]
    if "sha256" not in made.digests:
        raise InputError("; ".join((*run.broken, *run.open)), where=str(path))
    annotations: dict[str, JsonValue] = {"role": role, "method": made.method, "version": made.version}
    return Subject(name=made.name, digest=dict(made.digests), annotations=annotations)


def read_manifest(path: Path, data: bytes) -> Run:
    """Read what `write_lineage` wrote.

    Raises
    ------
    InputError
        If it is not such a manifest, to the letter.
    """
    try:
        manifest = decode(Manifest, json_object(data, str(path)), where=str(path))
    except MalformedError as error:
        told = "; ".join(error.problems[:5])
        raise InputError(f"is no manifest of {FORMAT}: {told}", where=str(path)) from None
    if manifest.format != FORMAT:
        raise InputError(f"is of the format {manifest.format[:40]!r}, not {FORMAT}", where=str(path))
    if not manifest.data:
        raise InputError("names no data that the model was made from", where=str(path))
    return Run(
        name=path.name,
        source=source_of(path, data, FORMAT),
        made=(_artifact(manifest.model, "model", path),),
        used=(
            *(_artifact(item, "data", path) for item in manifest.data),
            *(_artifact(item, "parent", path) for item in manifest.parents),
        ),
        root=path.parent,
        code_revision=manifest.code_revision,
        is_dirty=manifest.is_dirty,
        parameters=manifest.parameters,
    )


def _artifact(subject: Subject, role: str, path: Path) -> Artifact:
    digest = subject.digest.get("sha256", "")
    if _SHA256.fullmatch(digest) is None or set(subject.digest) != {"sha256"}:
        raise InputError(f"the digest of {subject.name!r} is no sha256 in hex", where=str(path))
    method = subject.annotations.get("method")
    version = subject.annotations.get("version")
    return Artifact(
        role=role,
        name=subject.name,
        digests={"sha256": digest},
        method=method if isinstance(method, str) else None,
        version=version if isinstance(version, str) else None,
        location=subject.uri or subject.name,
    )


def read_sums(path: Path) -> Run:
    """Read a list as ``sha256sum`` writes it, or ``shasum --tag``.

    It says which files there were, not which was made from which: each counts as both.

    Raises
    ------
    InputError
        If a line has another form, or a name stands twice.
    """
    data = read_bytes(path, LIMITS)
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError("is not UTF-8", where=str(path)) from None
    found: dict[str, Artifact] = {}
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line) or _TAGGED_LINE.fullmatch(line)
        if match is None:
            raise InputError(
                f"line {number} is not of the form that sha256sum writes: {line[:60]!r}", where=str(path)
            )
        name = match["name"]
        if match.groupdict().get("escaped"):
            name = name.replace("\\n", "\n").replace("\\\\", "\\")
        if name in found:
            raise InputError(f"the name {name!r} stands twice", where=str(path))
        found[name] = Artifact(
            role="data", name=name, digests={"sha256": match["digest"].lower()}, location=name
        )
    every = tuple(found.values())
    return Run(
        name=path.name, source=source_of(path, data, "sha256sum"), made=every, used=every, root=path.parent
    )
