"""Files of rows: which they are, what identifies them, and whether they stay the same while they are read."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue, Subject

PARQUET_ENDINGS = (".parquet", ".pq")
CSV_ENDINGS = (".csv", ".csv.gz")
MEDIA_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".pq": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".csv.gz": "application/gzip",
}
#: How a directory of parts is identified: the digest of what ``sha256sum`` prints for its files.
MANIFEST_METHOD = "sha256sum-manifest/v1"
_MOST_PARTS_LISTED = 200
_CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Files that are one table, in their order, and size, time and identity of each when it was opened."""

    root: Path
    paths: tuple[Path, ...]
    ending: str
    states: tuple[tuple[int, int, int], ...]

    def still_same(self) -> None:
        """Raise `InputError` where a file is no longer what it was when it was opened."""
        for path, state in zip(self.paths, self.states, strict=True):
            if _state(path) != state:
                raise InputError("changed while it was read, so no count of its rows holds", where=str(path))

    @property
    def partitioned(self) -> bool:
        """Whether the names of directories say the values of columns, as ``year=2026``."""
        return any("=" in part for path in self.paths for part in _below(path, self.root).parts[:-1])


class OwnDirectory:
    """A directory for files of our own, removed with the object."""

    def __init__(self) -> None:
        self.name = tempfile.mkdtemp(prefix="prodml-")
        weakref.finalize(self, shutil.rmtree, self.name, ignore_errors=True)


def find_files(source: str | Path, base: Path | None = None) -> Files:
    """Find the file, the parts in a directory, or the parts that a pattern such as ``day-*.parquet`` names.

    Raises
    ------
    InputError
        If there is none, or their ending is of no format that can be read.
    """
    path = Path(source) if base is None else base / source
    if path.is_dir():
        paths = sorted(
            found
            for found in path.rglob("*")
            if found.is_file()
            and found.name.lower().endswith(PARQUET_ENDINGS)
            and not any(part.startswith((".", "_")) for part in found.relative_to(path).parts)
        )
        if not paths:
            raise InputError("the directory holds no part that ends in .parquet", where=str(path))
        return _files(path, paths)
    if not path.exists() and has_magic(str(path)):
        paths = sorted(found for name in glob(str(path), recursive=True) if (found := Path(name)).is_file())  # noqa: PTH207 - pathlib's are relative
        if not paths:
            raise InputError("no file has a name of this pattern", where=str(path))
        return _files(path.parent, paths)
    return _files(path, [path])


def ending_of(path: Path) -> str:
    """Return the ending that says the format, or raise `InputError`."""
    name = path.name.lower()
    for ending in MEDIA_TYPES:
        if name.endswith(ending):
            return ending
    raise InputError(
        f"the ending {path.suffix.lower() or '(none)'} is of no format that can be read",
        where=str(path),
        hint="use .csv, .csv.gz, .parquet or a directory of parquet parts, or give a frame",
    )


def identify(files: Files, role: str) -> Subject:
    """Return name and SHA-256 of a file, or of the manifest of several; no byte is kept."""
    if len(files.paths) == 1 and files.root == files.paths[0]:
        path = files.paths[0]
        subject = Subject(
            name=path.name,
            digest={"sha256": _sha256(path)},
            media_type=MEDIA_TYPES[files.ending],
            annotations={"role": role, "bytes": files.states[0][0]},
        )
    else:
        digests = {_below(path, files.root).as_posix(): _sha256(path) for path in files.paths}
        listing: list[JsonValue] = [
            {"path": name, "size": state[0], "sha256": digest}
            for (name, digest), state in zip(digests.items(), files.states, strict=True)
        ]
        annotations: dict[str, JsonValue] = {
            "role": role,
            "method": MANIFEST_METHOD,
            "parts": len(listing),
            "files": listing[:_MOST_PARTS_LISTED],
        }
        subject = Subject(
            name=files.root.name or str(files.root),
            digest={"sha256": hashlib.sha256(_manifest(digests)).hexdigest()},
            annotations=annotations,
        )
    files.still_same()
    return subject


def _manifest(digests: Mapping[str, str]) -> bytes:
    ordered = sorted(digests.items(), key=lambda item: item[0].encode())
    return b"".join(f"{digest}  {name}\n".encode() for name, digest in ordered)


def _files(root: Path, paths: Sequence[Path]) -> Files:
    states = tuple(_state(path) for path in paths)
    endings = {ending_of(path) for path in paths}
    if len(paths) > 1 and not endings <= set(PARQUET_ENDINGS):
        raise InputError(
            f"only parquet parts may be several files, and these end in {', '.join(sorted(endings))}",
            where=str(root),
        )
    for path, state in zip(paths, states, strict=True):
        if state[0] == 0:
            raise InputError("the file is empty", where=str(path))
    return Files(root=root, paths=tuple(paths), ending=min(endings), states=states)


def _state(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        raise InputError(
            "the file does not exist", where=str(path), hint="build the data, or correct its path"
        ) from None
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=str(path)) from None
    if not path.is_file():
        raise InputError("is not a regular file", where=str(path))
    return found.st_size, found.st_mtime_ns, found.st_ino


def _below(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) and path != root else Path(path.name)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb", buffering=0) as file:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            digest = hashlib.sha256()
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=str(path)) from None
    return digest.hexdigest()
