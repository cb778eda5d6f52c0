"""A zip archive -> its members' bytes, and what is wrong with the archive itself.

Programs disagree about zip: some trust the central directory, some the header in front of each member. Where
the two differ, or a name stands twice, what is scanned need not be what is loaded: a finding.
"""

from __future__ import annotations

import bz2
import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_prodml.adapters.artifact.compressed import BrokenError, unpack_with
from pytest_prodml.adapters.artifact.paths import path_problem
from pytest_prodml.adapters.artifact.result import Report, TooMuchError

_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED, _DESCRIPTOR = 0x1, 0x8
_END = b"PK\x05\x06"
#: A zip's end record is at most this far from the end of the file.
_END_WITHIN = 22 + 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of an archive; `content` is None where it could not be read."""

    name: str
    content: memoryview | None


def holds_zip(data: memoryview) -> bool:
    """Say whether a program that looks for a zip archive in these bytes finds one."""
    tail = bytes(data[-_END_WITHIN:])
    return _END in tail and zipfile.is_zipfile(io.BytesIO(data))


def _end_records(data: memoryview) -> int:
    """Count the end records whose comment reaches exactly to the end of the file."""
    tail, count, at = bytes(data[-_END_WITHIN:]), 0, -1
    while (at := tail.find(_END, at + 1)) >= 0:
        count += at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail)
    return count


def zip_members(report: Report, where: str, data: memoryview) -> Iterator[Member]:
    """Yield every member of an archive; what is wrong with it goes into the report."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error, EOFError) as error:
        report.unread(where, f"is no readable zip archive: {error}")
        return
    if _end_records(data) != 1:
        report.unread(where, "has not exactly one end record, so programs may see different archives")
    report.member(len(infos))
    seen: dict[str, int] = {}
    spans: list[tuple[int, int]] = []
    for info in infos:
        name = info.orig_filename
        inner = f"{where}!{name}"
        folded = name.replace("\\", "/").casefold()
        seen[folded] = seen.get(folded, 0) + 1
        if seen[folded] == 2:
            report.unsafe(
                inner,
                "duplicate",
                "the archive has two members of this name; loaders differ in which they take",
            )
        if info.filename not in {name, name.partition("\x00")[0]}:
            report.unsafe(inner, "mismatch", f"the member has a second name, {info.filename!a}")
        if problem := path_problem(name):
            report.unsafe(inner, "path", f"the name of the member {problem}")
        if stat.S_ISLNK(info.external_attr >> 16):
            report.unsafe(inner, "link", "the member is a symbolic link")
        if info.flag_bits & _ENCRYPTED:
            report.unread(inner, "is encrypted")
            yield Member(name=name, content=None)
            continue
        start = _data_start(report, inner, data, info)
        if start is None:
            yield Member(name=name, content=None)
            continue
        spans.append((info.header_offset, start + info.compress_size))
        if name.endswith("/") and not info.file_size:
            continue
        yield Member(
            name=name, content=_content(report, inner, data[start : start + info.compress_size], info)
        )
    _hidden(report, where, data, sorted(spans), archive.start_dir)


def _data_start(report: Report, inner: str, data: memoryview, info: zipfile.ZipInfo) -> int | None:
    """Return where a member's bytes begin, after comparing its own header with the central directory."""
    raw = bytes(data[info.header_offset : info.header_offset + _LOCAL.size])
    if len(raw) < _LOCAL.size or raw[:4] != b"PK\x03\x04":
        report.unread(inner, "the archive's directory points to no member")
        return None
    header: tuple[int, ...] = _LOCAL.unpack(raw)[2:]
    flags, method, _, _, crc, packed, size, name_size, extra_size = header
    begin = info.header_offset + _LOCAL.size
    name = bytes(data[begin : begin + name_size])
    told = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", "replace")
    differs = name != told or method != info.compress_type or (flags ^ info.flag_bits) & (_ENCRYPTED | 0x800)
    if not differs and not flags & _DESCRIPTOR:
        wide = 0xFFFFFFFF in {packed, size}
        differs = crc != info.CRC or (not wide and (packed, size) != (info.compress_size, info.file_size))
    if differs:
        report.unsafe(inner, "mismatch", "the member's own header differs from the archive's directory")
    start = begin + name_size + extra_size
    if start + info.compress_size > len(data):
        report.unread(inner, "the member reaches beyond the end of the archive")
        return None
    return start


def _content(report: Report, inner: str, packed: memoryview, info: zipfile.ZipInfo) -> memoryview | None:
    try:
        match info.compress_type:
            case zipfile.ZIP_STORED:
                content, problem = packed, None
            case zipfile.ZIP_DEFLATED:
                found = unpack_with(report, lambda: zlib.decompressobj(-15), packed, several=False)
                content, problem = memoryview(found.content), found.problem
            case zipfile.ZIP_BZIP2:
                found = unpack_with(report, bz2.BZ2Decompressor, packed, several=False)
                content, problem = memoryview(found.content), found.problem
            case zipfile.ZIP_LZMA:
                found = unpack_with(
                    report, lambda: _zip_lzma(packed), packed[4 + _lzma_header(packed) :], several=False
                )
                content, problem = memoryview(found.content), found.problem
            case other:
                report.unread(inner, f"is compressed by method {other}")
                return None
    except (BrokenError, TooMuchError, lzma.LZMAError, ValueError) as error:
        report.unread(inner, str(error))
        return None
    intact = len(content) == info.file_size and zlib.crc32(content) == info.CRC
    if problem and not (intact and info.compress_type == zipfile.ZIP_LZMA):
        # (LZMA in a zip has no mark at its end.)
        report.unread(inner, problem)
    elif not intact:
        # Some loaders do not look at the check sum, so the content is scanned all the same.
        report.unread(inner, "its size or check sum is not the one that the archive tells")
    return content


def _lzma_header(packed: memoryview) -> int:
    return int.from_bytes(packed[2:4], "little")


def _zip_lzma(packed: memoryview) -> lzma.LZMADecompressor:
    decode = getattr(lzma, "_decode_filter_properties")  # noqa: B009 - as zipfile does, not in the stubs
    options = decode(lzma.FILTER_LZMA1, bytes(packed[4 : 4 + _lzma_header(packed)]))
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[options])


def _hidden(
    report: Report, where: str, data: memoryview, spans: list[tuple[int, int]], directory: int
) -> None:
    """Look for members that the directory does not list, and for bytes in front of the first one."""
    position = 0
    for begin, end in spans:
        if begin < position:
            report.unsafe(where, "overlap", f"two members share the bytes from {begin} on")
        elif begin > position and b"PK\x03\x04" in bytes(data[position:begin]):
            report.unsafe(where, "hidden", f"a member at byte {position} is not in the archive's directory")
        elif begin - position > 24:
            report.unread(where, f"{begin - position:,} bytes between members, from byte {position} on")
        position = max(position, end)
    if 0 <= position < directory <= len(data) and b"PK\x03\x04" in bytes(data[position:directory]):
        report.unsafe(where, "hidden", f"a member at byte {position} is not in the archive's directory")
