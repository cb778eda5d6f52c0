"""An artefact on disk in, its `Subject` out: name and SHA-256.

A file is identified by the digest of its bytes; a directory by the digest of its manifest in the format of
``sha256sum``, so that coreutils alone can check it. Hashing streams: memory does not grow with the model.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_prodml.certificate.text import label_problem
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue, Subject

#: Stands in the annotations of a subject that is a directory, so that its manifest can not pass for it.
MANIFEST_METHOD = "sha256sum-manifest/v1"

_CHUNK_BYTES = 2**20
_MOST_WORKERS = 8
#: Below this, importing a thread pool takes longer than hashing.
_PARALLEL_BYTES = 64 * 2**20
_DEVICE_NAMES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?|[a-z]:.*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """One regular file of a directory: POSIX path below the root, size, SHA-256."""

    path: str
    size: int
    sha256: str


def subject_of(path: Path, name: str | None = None) -> Subject:
    """Identify a file or a directory; see `file_subject` and `directory_subject`."""
    return directory_subject(path, name) if path.is_dir() else file_subject(path, name)


def file_subject(path: Path, name: str | None = None) -> Subject:
    """Identify a file by the SHA-256 of its bytes.

    Parameters
    ----------
    path : Path
        A regular file (or a link to one: what is hashed is what the link leads to).
    name : str, optional
        The subject's name; default the file's base name.

    Raises
    ------
    InputError
        If the file is missing, unreadable, not a regular file, or changes while it is read.
    """
    with open_regular(path) as descriptor:
        digest, _ = _hash(descriptor, str(path))
    return Subject(name=_subject_name(path, name), digest={"sha256": digest})


def directory_subject(path: Path, name: str | None = None) -> Subject:
    """Identify a directory by the SHA-256 of its manifest.

    The subject's annotations repeat path, size and digest of every file, so that a verifier can name the
    one that differs.

    Raises
    ------
    InputError
        If the directory is empty, holds anything but regular files and directories, or a path that could be
        read in two ways.
    """
    files = list_files(path)
    listing: list[JsonValue] = [
        {"path": file.path, "size": file.size, "sha256": file.sha256} for file in files
    ]
    return Subject(
        name=_subject_name(path, name),
        digest={"sha256": sha256_hex(manifest(files))},
        annotations={"method": MANIFEST_METHOD, "files": listing},
    )


def manifest(files: Iterable[FileDigest]) -> bytes:
    """Write the manifest: hex digest, two spaces, path, line feed; sorted by the path's UTF-8 bytes.

    This is the input of ``sha256sum --check`` and its digest is in-toto's ``dirHash``.
    """
    ordered = sorted(files, key=lambda file: file.path.encode())
    return b"".join(f"{file.sha256}  {file.path}\n".encode() for file in ordered)


def list_files(root: Path) -> tuple[FileDigest, ...]:
    """Hash every regular file below `root`, in manifest order.

    Raises
    ------
    InputError
        As `directory_subject`; nothing is skipped silently.
    """
    paths = sorted(_walk(root), key=str.encode)
    if not paths:
        raise InputError("holds no file, so there is nothing to certify", where=str(root))
    _refuse_collisions(root, paths)
    sizes = {path: _size(root / path) for path in paths}
    workers = min(_processors(), _MOST_WORKERS, len(paths))
    if workers == 1 or sum(sizes.values()) < _PARALLEL_BYTES:
        return tuple(_file_digest(root, path) for path in paths)
    from concurrent.futures import ThreadPoolExecutor

    # Hashing releases the interpreter's lock. The largest files go first, or one of them would end alone.
    executor = ThreadPoolExecutor(workers)
    try:
        ordered = sorted(paths, key=lambda path: sizes[path], reverse=True)
        found = {file.path: file for file in executor.map(lambda path: _file_digest(root, path), ordered)}
    finally:
        executor.shutdown(cancel_futures=True)
    return tuple(found[path] for path in paths)


def _file_digest(root: Path, path: str) -> FileDigest:
    with open_regular(root / path, follow_links=False) as descriptor:
        digest, size = _hash(descriptor, str(root / path))
    return FileDigest(path=path, size=size, sha256=digest)


def _size(path: Path) -> int:
    """Return the size as a hint for the order; a file that can not be asked is told when it is hashed."""
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def open_regular(path: Path, *, follow_links: bool = True) -> Iterator[int]:
    """Open a regular file for reading and yield its descriptor.

    The question "is it a regular file" is asked of the open descriptor, never of the name, and a FIFO can not
    make the call hang.

    Raises
    ------
    InputError
        If it can not be opened or is not a regular file.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the path holds a NUL"
        raise InputError(f"can not be read: {reason}", where=str(path)) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InputError("is not a regular file", where=str(path))
        yield descriptor
    finally:
        os.close(descriptor)


def _hash(descriptor: int, where: str) -> tuple[str, int]:
    before = os.fstat(descriptor)
    digest = hashlib.sha256()
    size = 0
    # One buffer for the whole file: memory stays the same whatever its size.
    buffer = memoryview(bytearray(min(_CHUNK_BYTES, max(before.st_size, 1))))
    try:
        while count := os.readv(descriptor, [buffer]):
            digest.update(buffer[:count])
            size += count
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=where) from None
    after = os.fstat(descriptor)
    if size != before.st_size or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise InputError("changed while it was hashed", where=where)
    return digest.hexdigest(), size


def _walk(root: Path) -> Iterator[str]:
    """Yield the POSIX path of every file below `root`, refusing what is neither a file nor a directory."""
    pending = [""]
    while pending:
        prefix = pending.pop()
        try:
            with os.scandir(root / prefix) as scan:
                entries = list(scan)
        except OSError as error:
            raise InputError(f"can not be read: {error.strerror}", where=str(root / prefix)) from None
        for entry in entries:
            path = prefix + entry.name
            problem = _segment_problem(entry.name)
            if problem is not None:
                raise InputError(
                    f"the name {path!a} {problem}", where=str(root), hint="rename it, then certify again"
                )
            if entry.is_dir(follow_symlinks=False):
                pending.append(path + "/")
            elif entry.is_file(follow_symlinks=False):
                yield path
            else:
                kind = "a symbolic link" if entry.is_symlink() else "neither a file nor a directory"
                raise InputError(
                    f"is {kind}; a certified directory holds regular files only",
                    where=str(root / path),
                    hint="put the file itself there",
                )


def _segment_problem(name: str) -> str | None:
    if problem := label_problem(name):
        return problem
    if "\\" in name:
        return "holds a backslash"
    if name[-1] in ". ":
        return "ends with a dot or a space, which some systems drop"
    if _DEVICE_NAMES.fullmatch(name):
        return "names a device or drive on some systems"
    if len(os.fsencode(name)) > 255:
        return "has more than 255 bytes"
    return None


def _refuse_collisions(root: Path, paths: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(path.casefold(), path)
        if other != path:
            raise InputError(
                f"{other!r} and {path!r} differ only in case and are one on some systems", where=str(root)
            )


def _subject_name(path: Path, name: str | None) -> str:
    chosen = path.resolve().name if name is None and path.name in {"", ".", ".."} else name or path.name
    if problem := label_problem(chosen):
        raise InputError(f"the name {chosen!a} {problem}", where=str(path), hint="give the artefact a name")
    return chosen
