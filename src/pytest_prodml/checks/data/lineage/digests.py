"""Files as they are here -> the digests that manifests state of them, each file read once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pytest_prodml.adapters.engines.sources import MANIFEST_METHOD, find_files, identify
from pytest_prodml.errors import InputError
from pytest_prodml.records import Subject

_CHUNK_BYTES = 2**20
_MOST_FILES = 100_000
#: dbt hashes the text of a file without surrounding or, lately, repeated white space.
_MOST_TEXT_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """Size and digests of a file."""

    size: int
    sha256: str
    md5: str


def facts_of(path: Path) -> FileFacts:
    """Hash a file by both algorithms in one pass; once for each state of the file.

    Raises
    ------
    InputError
        If it can not be read or changes meanwhile.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=str(path)) from None
    return _facts(path, state.st_size, state.st_mtime_ns, state.st_ino)


@lru_cache(maxsize=4096)
def _facts(path: Path, size: int, modified: int, inode: int) -> FileFacts:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK_BYTES):
                sha256.update(chunk)
                md5.update(chunk)
        state = path.stat()
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=str(path)) from None
    if (state.st_size, state.st_mtime_ns, state.st_ino) != (size, modified, inode):
        raise InputError("changed while it was hashed", where=str(path))
    return FileFacts(size=size, sha256=sha256.hexdigest(), md5=md5.hexdigest())


def files_below(path: Path) -> dict[str, FileFacts]:
    """Hash the regular files of a directory, by their path below it.

    Raises
    ------
    InputError
        If there is none, too many, or anything but files and directories.
    """
    found: dict[str, FileFacts] = {}
    for item in sorted(path.rglob("*")):
        if item.is_symlink() or not (item.is_file() or item.is_dir()):
            raise InputError("is no regular file", where=str(item), hint="put the file itself there")
        if item.is_file():
            found[item.relative_to(path).as_posix()] = facts_of(item)
        if len(found) > _MOST_FILES:
            raise InputError(f"holds more than {_MOST_FILES:,} files", where=str(path))
    if not found:
        raise InputError("holds no file", where=str(path))
    return found


def manifest_digest(digests: Mapping[str, str]) -> str:
    """Return the SHA-256 of what ``sha256sum`` would print for files, sorted by the bytes of their names."""
    ordered = sorted(digests.items(), key=lambda item: item[0].encode())
    text = b"".join(f"{digest}  {name}\n".encode() for name, digest in ordered)
    return hashlib.sha256(text).hexdigest()


def subject_at(path: Path, role: str) -> Subject:
    """Identify a file, or a directory: of data as the parquet parts that are its rows, else all files.

    Raises
    ------
    InputError
        If there is nothing, or it can not be read.
    """
    if not path.exists():
        raise InputError("does not exist", where=str(path))
    if not path.is_dir():
        if not path.is_file():
            raise InputError("is no regular file", where=str(path))
        known = facts_of(path)
        return Subject(
            name=path.name, digest={"sha256": known.sha256}, annotations={"role": role, "bytes": known.size}
        )
    if role == "data" and any(path.rglob("*.parquet")):
        return identify(find_files(path), role)
    digests = {name: known.sha256 for name, known in files_below(path).items()}
    return Subject(
        name=path.resolve().name,
        digest={"sha256": manifest_digest(digests)},
        annotations={"role": role, "method": MANIFEST_METHOD, "parts": len(digests)},
    )


def digests_at(path: Path, algorithm: str, role: str) -> frozenset[str] | None:
    """Return the digests that a manifest may state of what lies at a path; None for an unknown algorithm."""
    if algorithm == "sha256":
        return frozenset({subject_at(path, role).digest["sha256"]})
    if algorithm in {"md5", "md5-legacy"}:
        return frozenset({_md5_of(path)})
    if algorithm == "dbt-sha256" and path.is_file() and path.stat().st_size <= _MOST_TEXT_BYTES:
        data = path.read_bytes()
        spellings = (data, data.strip(), b" ".join(data.split()))
        return frozenset(hashlib.sha256(spelling).hexdigest() for spelling in spellings)
    return None


def _md5_of(path: Path) -> str:
    """Return DVC's digest: of a directory that of the sorted list of its files as JSON, with ``.dir``."""
    if not path.is_dir():
        return facts_of(path).md5
    listing = [
        {"md5": known.md5, "relpath": name}
        for name, known in sorted(files_below(path).items(), key=lambda item: tuple(item[0].split("/")))
    ]
    text = json.dumps(listing, sort_keys=True).encode()
    return hashlib.md5(text, usedforsecurity=False).hexdigest() + ".dir"


def size_at(path: Path) -> int:
    """Return the bytes of a file, or of all files of a directory."""
    if path.is_dir():
        return sum(known.size for known in files_below(path).values())
    return facts_of(path).size
