"""A tar archive -> its members' bytes, and what is wrong with the archive itself; nothing goes to disk."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

from pytest_prodml.adapters.artifact.paths import path_problem
from pytest_prodml.adapters.artifact.result import Report
from pytest_prodml.adapters.artifact.zipped import Member

_BLOCK = 512


def holds_tar(data: memoryview) -> bool:
    """Say whether bytes begin like a tar archive: by its name field's mark, or by a header's check sum."""
    if len(data) < _BLOCK:
        return False
    head = bytes(data[:_BLOCK])
    if head[257:262] == b"ustar":
        return True
    if not head[0] or not any(head[148:156]):
        return False
    try:
        told = int(head[148:156].strip(b" \x00") or b"x", 8)
    except ValueError:
        return False
    return told == sum(head[:148]) + sum(head[156:]) + 8 * 32


def tar_members(report: Report, where: str, data: memoryview) -> Iterator[Member]:
    """Yield every regular member; what is wrong with the archive goes into the report."""
    seen: set[str] = set()
    end = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for info in archive:
                report.member()
                inner = f"{where}!{info.name}"
                _judge(report, inner, info, seen)
                end = max(
                    end,
                    info.offset_data + -(-info.size // _BLOCK) * _BLOCK if info.isreg() else info.offset_data,
                )
                if info.sparse is not None or info.issparse():
                    report.unread(inner, "is a sparse member")
                elif info.isreg():
                    stop = info.offset_data + info.size
                    if info.size < 0 or stop > len(data):
                        report.unread(inner, "reaches beyond the end of the archive")
                    else:
                        yield Member(name=info.name, content=data[info.offset_data : stop])
    except (
        tarfile.TarError,
        ValueError,
        OSError,
        EOFError,
        OverflowError,
        RecursionError,
        IndexError,
        KeyError,
    ) as error:
        report.unread(where, f"is no readable tar archive: {error}")
        return
    if not seen:
        report.unread(where, "is no readable tar archive: it has no member")
    if any(data[end:]):
        report.unread(where, f"bytes behind the last member, from byte {end} on")


def _judge(report: Report, inner: str, info: tarfile.TarInfo, seen: set[str]) -> None:
    folded = info.name.replace("\\", "/").casefold()
    if folded in seen:
        report.unsafe(
            inner, "duplicate", "the archive has two members of this name; loaders differ in which they take"
        )
    seen.add(folded)
    if info.name not in {".", "./"} and (problem := path_problem(info.name)):
        report.unsafe(inner, "path", f"the name of the member {problem}")
    if info.issym() or info.islnk():
        report.unsafe(inner, "link", f"the member is a link to {info.linkname!a}")
    elif not (info.isreg() or info.isdir()):
        report.unsafe(inner, "device", "the member is no regular file and no directory")
