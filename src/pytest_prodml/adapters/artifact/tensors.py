"""Formats that hold nothing but named tensors (safetensors, GGUF) -> whether a file is exactly that."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

from pytest_prodml.adapters.artifact.result import Report

_LONGEST_HEADER = 100_000_000
_BITS = {
    "F64": 64,
    "F32": 32,
    "F16": 16,
    "BF16": 16,
    "I64": 64,
    "I32": 32,
    "I16": 16,
    "I8": 8,
    "U64": 64,
    "U32": 32,
    "U16": 16,
    "U8": 8,
    "BOOL": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E4M3FNUZ": 8,
    "C64": 64,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
}

GGUF_MAGIC = b"GGUF"
#: GGUF's scalar kinds -> bytes; 8 is text, 9 a list.
_GGUF_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_GGUF_TEXT, _GGUF_LIST = 8, 9
#: Parts of a Jinja template that reach Python's own objects.
_TEMPLATE_SIGNS = ("__", "|attr", "|map", "request.", "cycler", "joiner", "lipsum")


def looks_like_safetensors(data: memoryview) -> bool:
    """Say whether bytes begin with the length of a JSON header and the header's brace."""
    if len(data) < 10:
        return False
    size = int.from_bytes(data[:8], "little")
    return 2 <= size <= min(_LONGEST_HEADER, len(data) - 8) and bytes(data[8:10]) in {b'{"', b"{}"}


def scan_safetensors(report: Report, where: str, data: memoryview) -> None:
    """Check that a header describes every byte behind it exactly once."""
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(bytes(data[8 : 8 + size]), object_pairs_hook=_unique)
        spans = sorted(_span(name, entry) for name, entry in header.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        report.unread(where, f"its header is none of safetensors: {error}")
        return
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        report.unread(where, "its metadata is no dict of texts")
        return
    position = 0
    for begin, end in spans:
        if begin != position:
            report.unread(where, f"its tensors overlap or leave a gap at byte {8 + size + position}")
            return
        position = end
    if position != len(data) - 8 - size:
        report.unread(where, f"{len(data) - 8 - size - position:,} bytes belong to no tensor")
        return
    report.read(where)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _span(name: str, entry: Any) -> tuple[int, int]:  # noqa: ANN401 - decoded JSON
    begin, end = entry["data_offsets"]
    shape = entry["shape"]
    if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)):
        raise ValueError(f"{name[:40]!a} has no whole numbers")
    bits = _BITS[entry["dtype"]] * math.prod(shape)
    if bits % 8 or end - begin != bits // 8:
        raise ValueError(f"{name[:40]!a} has another size than its shape")
    return begin, end


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self.data, self.position = data, 0

    def take(self, count: int) -> memoryview:
        stop = self.position + count
        if not 0 <= count <= len(self.data) - self.position:
            raise ValueError(f"it ends within what byte {self.position} announces")
        found, self.position = self.data[self.position : stop], stop
        return found

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def text(self) -> str:
        return str(self.take(self.number(8)), "utf-8", "replace")


def scan_gguf(report: Report, where: str, data: memoryview) -> None:
    """Read all metadata and the list of tensors; look at chat templates, which runners execute.

    A template runs when the model is used, in a sandbox of whatever quality the runner has.
    """
    reader = _Reader(data)
    reader.take(4)
    try:
        version, tensors, entries = struct.unpack("<IQQ", reader.take(20))
        if version not in {2, 3} or max(tensors, entries) > len(data):
            raise ValueError(f"version {version} is none that is known")  # noqa: TRY301
        for _ in range(entries):
            key, kind = reader.text(), reader.number(4)
            value = _gguf_value(reader, kind)
            if "chat_template" in key and value is not None:
                _judge_template(report, where, key, value)
        for _ in range(tensors):
            reader.text()
            reader.take(8 * reader.number(4))
            reader.number(4)
            if reader.number(8) > len(data):
                raise ValueError("a tensor lies beyond the end of the file")  # noqa: TRY301
    except (ValueError, struct.error) as error:
        report.unread(where, f"its header is none of GGUF: {error}")
        return
    report.read(where)


def _gguf_value(reader: _Reader, kind: int) -> str | None:
    if kind == _GGUF_TEXT:
        return reader.text()
    if kind == _GGUF_LIST:
        inner, count = reader.number(4), reader.number(8)
        if inner in _GGUF_SIZES:
            reader.take(_GGUF_SIZES[inner] * count)
        elif inner == _GGUF_TEXT:
            for _ in range(count):
                reader.take(reader.number(8))
        else:
            raise ValueError(f"a list of the kind {inner}")
        return None
    if kind not in _GGUF_SIZES:
        raise ValueError(f"a value of the kind {kind}")
    reader.take(_GGUF_SIZES[kind])
    return None


def _judge_template(report: Report, where: str, key: str, template: str) -> None:
    plain = template.replace(" ", "")
    for sign in _TEMPLATE_SIGNS:
        if sign in plain:
            report.unsafe(
                where,
                "template",
                f"the template {key} holds {sign!r}, with which it may reach Python's objects",
            )
            return
    report.note(f"{where}: the template {key} is a program that the runner executes")
