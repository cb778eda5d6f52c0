"""A model file, bytes or a directory -> `Scan`: what a loader of it would import, call, open and build.

Nothing is loaded: bytes are followed, by content and not by ending. Whatever the reader does not understand
is an unread part.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_prodml.adapters.artifact.parts import scan_part
from pytest_prodml.adapters.artifact.result import (
    Beside,
    Limits,
    Report,
    Scan,
    readable,
    split_allowed,
)
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError


def scan(source: Path | str | bytes, *, allow: Iterable[str] = (), limits: Limits | None = None) -> Scan:
    """Judge a model file without loading it.

    Parameters
    ----------
    source : path or bytes
        A file, a directory (every file in it), or the bytes of a file.
    allow : iterable of str
        What the caller answers for: ``"package.module.Class"`` (or ``"package.module:Outer.Inner"``) for
        names in pickles, ``"domain:NAME"`` for operators of ONNX, ``"format:NAME"`` for formats that nothing
        here reads.
    limits : Limits, optional
        Where reading stops.

    Returns
    -------
    Scan
        `unsafe` if something is found that the lists do not allow, `unknown` if a part was not read, else
        `safe`. `safe` says that a loader which follows the format imports and calls only what the list
        allows; it does not say that the model's numbers are good, or that the libraries' parsers of raw
        buffers have no holes.

    Raises
    ------
    InputError
        If the path can not be read, or `allow` is not a list of texts.
    """
    allowed = _checked(allow)
    names, formats, domains = split_allowed(allowed)
    report = Report(
        limits=limits or Limits(), trusted=names, trusted_formats=formats, trusted_domains=domains
    )
    if isinstance(source, (bytes, bytearray)):
        data = bytes(source)
        kind = _total(report, "<bytes>", lambda: _whole(report, "<bytes>", data, "", None))
        return _result(report, kind, sha256_hex(data), len(data), allowed)
    path = Path(source)
    if path.is_dir():
        return _scan_directory(report, path, allowed)
    data = _read(path)
    kind = _total(report, path.name, lambda: _whole(report, path.name, data, path.name, path.parent))
    return _result(report, kind, sha256_hex(data), len(data), allowed)


def _checked(allow: Iterable[str]) -> tuple[str, ...]:
    if isinstance(allow, (str, bytes)):
        raise InputError("allow is a list of names, not one text", where="allow", hint=f"allow=[{allow!r}]")
    found = tuple(allow)
    for entry in found:
        if not isinstance(entry, str) or not entry.strip("."):
            raise InputError(
                f"{entry!r} is no name", where="allow", hint='for example "my_package.steps.Clip"'
            )
        if "." not in entry and ":" not in entry:
            raise InputError(
                f"{entry!r} names no module", where="allow", hint='write "module.name", as the scan prints it'
            )
        if "*" in entry:
            raise InputError(
                f"{entry!r} is a pattern",
                where="allow",
                hint="names are allowed one by one, as the scan prints them",
            )
    return tuple(sorted(set(found)))


def _read(path: Path) -> bytes:
    try:
        if not path.exists():
            raise InputError("the file does not exist", where=str(path))
        if not path.is_file():
            raise InputError("is not a regular file", where=str(path))
        return path.read_bytes()
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise InputError(f"can not be read: {told}", where=str(path)) from None
    except MemoryError:
        raise InputError("does not fit into memory", where=str(path)) from None


def _whole(report: Report, where: str, data: bytes, name: str, base: Path | None) -> str:
    if len(data) > report.limits.size:
        report.unread(where, f"holds more than {report.limits.size:,} bytes")
        return "too large"
    return scan_part(report, where, memoryview(data), name, depth=0, base=base)


def _total(report: Report, where: str, read: Callable[[], str]) -> str:
    """Run a reader; whatever it did not expect leaves the part unread."""
    try:
        return read()
    except RecursionError:
        report.unread(where, "is nested more deeply than is followed")
    except MemoryError:
        report.unread(where, "needs more memory than there is")
    except Exception as error:  # noqa: BLE001 - a file made to break the scanner must not pass, nor stop the run
        report.unread(where, f"the scanner itself failed ({type(error).__name__}: {error})")
    return "unknown"


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    name: str


def _scan_directory(report: Report, root: Path, allowed: tuple[str, ...]) -> Scan:
    """Scan every file of a directory; links are findings: their target is outside of what is judged."""
    listing, kinds, held = hashlib.sha256(), set(), []
    for file in _files(report, root):
        data = _read(file.path)
        digest = sha256_hex(data)
        held.append(Beside(name=readable(file.name), sha256=digest, size=len(data)))
        listing.update(f"{digest}  {file.name}\n".encode("utf-8", "surrogateescape"))
        kinds.add(
            _total(
                report,
                file.name,
                lambda data=data, file=file: _whole(
                    report, file.name, data, file.path.name, file.path.parent
                ),  # type: ignore[misc]
            )
        )
    if not kinds and not report.findings:
        report.unread(str(root.name), "the directory holds no file")
    kind = f"directory of {', '.join(sorted(kinds))}" if kinds else "directory"
    size = sum(file.size for file in held)
    return replace(_result(report, kind, listing.hexdigest(), size, allowed), files=tuple(held))


def _files(report: Report, root: Path) -> list[_File]:
    found: list[_File] = []
    try:
        for folder, folders, names in os.walk(root, onerror=_raise):
            for name in sorted([*folders, *names]):
                path = Path(folder) / name
                inner = path.relative_to(root).as_posix()
                if path.is_symlink():
                    report.unsafe(inner, "link", f"is a symbolic link to {os.readlink(path)!a}")  # noqa: PTH115
                elif name in names:
                    if path.is_file():
                        found.append(_File(path, inner))
                    else:
                        report.unsafe(inner, "device", "is no regular file")
            if len(found) > report.limits.members:
                report.unread(str(root.name), f"holds more than {report.limits.members:,} files")
                break
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=str(root)) from None
    return sorted(found, key=lambda file: file.name)


def _raise(error: OSError) -> None:
    raise error


def _result(report: Report, kind: str, digest: str, size: int, allowed: tuple[str, ...]) -> Scan:
    return Scan(
        format=kind,
        findings=tuple(report.findings),
        parts_read=tuple(report.read_parts),
        parts_unread=tuple(report.unread_parts),
        globals=tuple(sorted(report.names)),
        digest=digest,
        size=size,
        notes=tuple(report.notes),
        beside=tuple(report.beside),
        allowed=allowed,
        findings_left_out=report.left_out,
        unread_left_out=report.unread_left_out,
    )
