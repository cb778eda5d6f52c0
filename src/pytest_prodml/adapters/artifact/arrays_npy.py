"""A file of numpy (``.npy``) -> the numbers in it are skipped exactly; arrays of objects are a pickle."""

from __future__ import annotations

import ast
import math

from pytest_prodml.adapters.artifact.elements import DoubtError, Elements, letters_of
from pytest_prodml.adapters.artifact.pickles import scan_pickles
from pytest_prodml.adapters.artifact.result import Report

NPY_MAGIC = b"\x93NUMPY"
#: numpy's own limit for headers from files that are not trusted.
_LONGEST_HEADER = 10_000
_HEADER_SIZE_BYTES = {1: 2, 2: 4, 3: 4}
_ERRORS = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)


def scan_npy(report: Report, where: str, data: memoryview, *, depth: int) -> None:
    """Read one array."""
    try:
        start, elements, shape = _header(data)
    except DoubtError as doubt:
        report.unread(where, str(doubt))
        return
    if elements.objects:
        scan_pickles(report, where, data[start:], depth=depth)
        return
    announced = elements.size * math.prod(shape)
    held = len(data) - start
    if announced != held:
        report.unread(where, f"holds {held:,} bytes where its header announces {announced:,}")
    else:
        report.read(where)


def _header(data: memoryview) -> tuple[int, Elements, tuple[int, ...]]:
    version = data[6] if len(data) > 6 else 0
    width = _HEADER_SIZE_BYTES.get(version)
    if width is None or len(data) < 8 + width:
        raise DoubtError("is no .npy file of a known version")
    size = int.from_bytes(data[8 : 8 + width], "little")
    start = 8 + width + size
    if size > _LONGEST_HEADER or start > len(data):
        raise DoubtError(f"its header of {size:,} bytes is longer than numpy reads")
    try:
        header = ast.literal_eval(
            str(data[8 + width : start], "utf-8" if version == 3 else "latin-1").strip()
        )
    except _ERRORS:
        raise DoubtError("its header is no dict of constants") from None
    shape = header.get("shape") if isinstance(header, dict) else None
    if not isinstance(shape, tuple) or not all(type(item) is int and item >= 0 for item in shape):
        raise DoubtError("its header has no shape")
    return start, _elements(header.get("descr")), shape


def _elements(described: object, depth: int = 0) -> Elements:
    """Return the elements of a type as ``.npy`` headers describe it: letters, or a list of fields."""
    if isinstance(described, str):
        return letters_of(described)
    if not isinstance(described, list) or not described or depth > 8:
        raise DoubtError("its header has no type of elements")
    size, objects = 0, False
    for field in described:
        if not isinstance(field, tuple) or len(field) not in {2, 3}:
            raise DoubtError("a field in its header is none")
        inner = _elements(field[1], depth + 1)
        shape = field[2] if len(field) == 3 else ()
        shape = (shape,) if type(shape) is int else shape
        if not isinstance(shape, tuple) or not all(type(item) is int and item >= 0 for item in shape):
            raise DoubtError("a field in its header has no shape")
        size += inner.size * math.prod(shape)
        objects |= inner.objects
    return Elements(size, objects)
