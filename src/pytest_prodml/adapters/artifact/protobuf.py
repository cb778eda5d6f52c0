"""Protocol-buffer bytes -> fields, without a schema and without the package protobuf."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_MOST_VARINT_BYTES = 10


class WireError(Exception):
    """The bytes are no protocol-buffer message."""


class Field(NamedTuple):
    """One field: its number, its wire type, and its number or bytes."""

    number: int
    wire: int
    value: int
    data: memoryview


def fields(data: memoryview) -> Iterator[Field]:
    """Yield the fields of one message in order.

    Raises
    ------
    WireError
        If the bytes end within a field, or use a wire type that is not in use.
    """
    position, size, nothing = 0, len(data), data[:0]
    while position < size:
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        value, content = 0, nothing
        if number == 0 or number >= 1 << 29:
            raise WireError(f"byte {position} has no field number")
        if wire == 0:
            value, position = _varint(data, position)
        elif wire in {1, 5}:
            width = 8 if wire == 1 else 4
            content, position = data[position : position + width], position + width
        elif wire == 2:
            length, position = _varint(data, position)
            content, position = data[position : position + length], position + length
        else:
            raise WireError(f"byte {position} has the wire type {wire}")
        if position > size:
            raise WireError("ends within a field")
        yield Field(number, wire, value, content)


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    result = 0
    for index in range(_MOST_VARINT_BYTES):
        if position + index >= len(data):
            raise WireError("ends within a number")
        byte = data[position + index]
        result |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return result, position + index + 1
    raise WireError(f"byte {position} has a number of more than {_MOST_VARINT_BYTES} bytes")
