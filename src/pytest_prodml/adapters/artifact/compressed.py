"""A compressed stream -> its content, within the limits of the scan."""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_prodml.adapters.artifact.result import Report, TooMuchError

_PIECE = 2**20

#: Kind -> how its bytes begin. zlib is told by its check sum, see `compression_of`.
_MAGIC = {
    "gzip": b"\x1f\x8b",
    "bz2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
    "lzma": b"\x5d\x00\x00",
    "lz4": b"\x04\x22\x4d\x18",
    "zstd": b"\x28\xb5\x2f\xfd",
    "joblib-zfile": b"ZF0x",
}


class BrokenError(Exception):
    """The stream can not be unpacked, or not to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What came out, and why it is not everything (None: it is)."""

    content: bytes
    problem: str | None = None


def compression_of(data: memoryview) -> str | None:
    """Return how bytes are compressed, or None."""
    head = bytes(data[:8])
    for kind, magic in _MAGIC.items():
        if head.startswith(magic):
            return kind
    zlib_method = len(head) >= 2 and head[0] & 0x0F == 8 and head[0] >> 4 <= 7
    return "zlib" if zlib_method and int.from_bytes(head[:2], "big") % 31 == 0 and head[0] == 0x78 else None


def unpack(report: Report, kind: str, data: memoryview) -> Unpacked:
    """Unpack a stream, with all the streams that follow it.

    Raises
    ------
    BrokenError
        If nothing can unpack it.
    TooMuchError
        If it is larger than the limits.
    """
    if kind == "joblib-zfile":
        return _joblib_zfile(report, data)
    if kind == "zstd":
        raise BrokenError("zstandard is not unpacked here")
    return unpack_with(report, _decompressor(kind), data, several=True)


def _decompressor(kind: str) -> Callable[[], Any]:
    match kind:
        case "gzip":
            return lambda: zlib.decompressobj(31)
        case "zlib":
            return zlib.decompressobj
        case "bz2":
            return bz2.BZ2Decompressor
        case "lz4":
            return _lz4()
        case _:
            return lzma.LZMADecompressor


def _lz4() -> Callable[[], Any]:
    try:
        frame = importlib.import_module("lz4.frame")
    except ImportError:
        raise BrokenError("the package lz4, which would unpack it, is not installed") from None
    decompressor: Callable[[], Any] = frame.LZ4FrameDecompressor
    return decompressor


def unpack_with(report: Report, make: Callable[[], Any], data: memoryview, *, several: bool) -> Unpacked:
    """Unpack with decompressor objects of the standard library's kind."""
    found, start = bytearray(), 0
    while start < len(data):
        engine = make()
        try:
            start += _one_stream(report, engine, data[start:], found)
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, RuntimeError) as error:
            if start == 0 and not found:
                raise BrokenError(f"can not be unpacked: {error}") from None
            return Unpacked(content=bytes(found), problem=f"can not be unpacked to its end: {error}")
        if not engine.eof:
            return Unpacked(content=bytes(found), problem="the compressed stream ends too early")
        if not several:
            break
        if not any(data[start : start + _PIECE]) and not any(data[start:]):
            break
    return Unpacked(content=bytes(found))


def _one_stream(report: Report, engine: Any, data: memoryview, found: bytearray) -> int:  # noqa: ANN401
    """Append one stream's content, and return how many bytes it took."""
    limits, begin, start = report.limits, len(found), 0
    keeps_tail = hasattr(engine, "unconsumed_tail")
    while not engine.eof:
        piece: bytes | memoryview = engine.unconsumed_tail if keeps_tail else b""
        if not piece and (keeps_tail or engine.needs_input):
            piece = data[start : start + _PIECE]
            start += len(piece)
        out = engine.decompress(piece, _PIECE)
        if not out and not len(piece) and start >= len(data):
            break
        report.unpack(len(out))
        found += out
        made = len(found) - begin
        if made > limits.ratio_from and made > limits.ratio * start:
            raise TooMuchError(f"unpacks to more than {limits.ratio} times its size")
    return start - len(engine.unused_data or b"")


def _joblib_zfile(report: Report, data: memoryview) -> Unpacked:
    """Unpack the format of joblib before 0.10: a length in hexadecimal digits, then zlib."""
    header = bytes(data[:21])
    try:
        expected = int(header[2:21].strip(), 16)
    except ValueError:
        raise BrokenError("its length is no number") from None
    start = 22 if bytes(data[21:22]) == b" " else 21
    unpacked = unpack_with(report, zlib.decompressobj, data[start:], several=False)
    if len(unpacked.content) != expected:
        return Unpacked(content=unpacked.content, problem="its length is not the one that it tells")
    return unpacked
