"""What every manifest says in one form: which artifacts a run made, and from which others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_prodml.checks.counts import plain
from pytest_prodml.codec import DEFAULT_LIMITS, Limits, parse_json, sha256_hex
from pytest_prodml.errors import InputError, MalformedError
from pytest_prodml.records import JsonValue, Subject

#: Manifests of whole projects (dbt) are large.
LIMITS = Limits(size_bytes=64 * 2**20, depth=48, string_characters=2**20)
#: Snapshots of Iceberg are numbered at random up to 2^63.
WIDE_LIMITS = Limits(
    size_bytes=LIMITS.size_bytes,
    depth=LIMITS.depth,
    string_characters=LIMITS.string_characters,
    largest_integer=2**63 - 1,
)
_MOST_ARTIFACTS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Something that a run made or used, as a manifest describes it.

    Attributes
    ----------
    role : str
        ``data``, ``model``, ``code`` or ``parent``.
    name : str
        How the manifest calls it: a path or the name of a table.
    digests : mapping of str to str
        Lowercase hex by algorithm: ``sha256``, ``md5``, ``md5-legacy`` (DVC before 3), ``dbt-sha256``.
    method : str, optional
        How the sha256 of something that is no single file was made.
    size : int, optional
        In bytes.
    version : str, optional
        The version or snapshot of a table.
    location : str, optional
        Path or address where it lay.
    """

    role: str
    name: str
    digests: Mapping[str, str] = field(default_factory=dict)
    method: str | None = None
    size: int | None = None
    version: str | None = None
    location: str | None = None

    def told(self) -> str:
        """Name it for a sentence."""
        return f"{self.role} {plain(self.name)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run that made something, as a manifest describes it.

    Attributes
    ----------
    name : str
        The stage, job or table.
    source : Subject
        The manifest file.
    made, used : tuple of Artifact
        What went out and in.
    root : Path
        Where relative locations begin.
    code_revision : str, optional
        The commit that ran; `is_dirty` whether files differed from it.
    parameters : mapping, optional
        As they are stated.
    broken : tuple of str
        What the manifest itself says went wrong, in sentences.
    open : tuple of str
        What the manifest leaves undecided, in sentences.
    """

    name: str
    source: Subject
    made: tuple[Artifact, ...]
    used: tuple[Artifact, ...]
    root: Path
    code_revision: str | None = None
    is_dirty: bool | None = None
    parameters: Mapping[str, JsonValue] | None = None
    broken: tuple[str, ...] = ()
    open: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.made) + len(self.used) > _MOST_ARTIFACTS:
            raise InputError(
                f"names {len(self.made) + len(self.used):,} artifacts, more than {_MOST_ARTIFACTS:,}",
                where=self.source.name,
            )


def read_bytes(path: Path, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Read a manifest of bounded size.

    Raises
    ------
    InputError
        If it is missing, no regular file, empty or too large.
    """
    try:
        if not path.is_file():
            raise InputError("the manifest does not exist, or is no regular file", where=str(path))
        with path.open("rb") as file:
            data = file.read(limits.size_bytes + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"can not be read: {error}", where=str(path)) from None
    if len(data) > limits.size_bytes:
        raise InputError(f"has more than {limits.size_bytes:,} bytes", where=str(path))
    if not data.strip():
        raise InputError("the manifest is empty", where=str(path))
    return data


def source_of(path: Path, data: bytes, kind: str) -> Subject:
    """Identify a manifest that was read."""
    return Subject(
        name=path.name,
        digest={"sha256": sha256_hex(data)},
        annotations={"role": "lineage manifest", "format": kind, "bytes": len(data)},
    )


def json_object(data: bytes, where: str, limits: Limits = LIMITS) -> dict[str, Any]:
    """Parse one JSON object strictly.

    Raises
    ------
    InputError
        If it is not strict JSON, over the limits, or no object.
    """
    try:
        value = parse_json(data, where=where, limits=limits)
    except MalformedError as error:
        raise InputError(f"can not be read as a manifest: {error.what}", where=where) from None
    if not isinstance(value, dict):
        raise InputError("is no JSON object", where=where)
    return value


_NAMES: Mapping[type, str] = {str: "text", int: "a whole number", dict: "an object", list: "a list"}


def need(value: Any, key: str, kind: type, where: str) -> Any:  # noqa: ANN401 - JSON
    """Return a field that has to be there, of a type.

    Raises
    ------
    InputError
        If it is missing or of another type.
    """
    found = value.get(key) if isinstance(value, dict) else None
    if type(found) is not kind:
        told = "is missing" if found is None else f"is {str(found)[:60]!r}"
        raise InputError(f"{key!r} has to be {_NAMES[kind]} and {told}", where=where)
    return found


def maybe(value: Any, key: str, kind: type, where: str) -> Any:  # noqa: ANN401 - JSON
    """Return a field that may be missing or null, of a type."""
    if not isinstance(value, dict) or value.get(key) is None:
        return None
    return need(value, key, kind, where)
