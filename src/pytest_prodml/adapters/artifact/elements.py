"""What a pickle says about a numpy type of elements -> bytes an element, and whether elements are objects.

The loader takes both from the state that the file gives, so a state that contradicts the type's own letters
is refused: with it a file could have its numbers read as a pickle, or a pickle skipped as numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_prodml.adapters.artifact.values import Global, Group, Made, Value

#: numpy's NPY_ITEM_REFCOUNT: elements are Python objects.
_OBJECTS = 1
_LETTERS = re.compile(r"[<>|=]?([?bBhHiIlLqQpPefdgFDGSUVOMmacu])(\d{0,9})\Z")
#: Bytes of the one-letter codes without a number.
_CODES = {
    "?": 1, "b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "l": 8, "L": 8, "q": 8, "Q": 8, "p": 8, "P": 8,
    "e": 2, "f": 4, "d": 8, "g": 16, "F": 8, "D": 16, "G": 32, "O": 8, "M": 8, "m": 8,
}  # fmt: skip
#: Their state says how long an element is; that of other kinds is fixed.
_FLEXIBLE = frozenset("SUVa")
_SCALARS = {
    "bool": 1,
    "bool_": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "float16": 2,
    "int32": 4,
    "uint32": 4,
    "float32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}
_MOST_NESTED = 8


class DoubtError(Exception):
    """The file's words on its elements can not be followed; the sentence says which."""


@dataclass(frozen=True, slots=True)
class Elements:
    """Bytes of one element, and whether the elements are Python objects (then a pickle follows)."""

    size: int
    objects: bool


def elements_of(value: Value, depth: int = 0) -> Elements:
    """Return what a type of elements is, from the abstract value of a `numpy.dtype`.

    Raises
    ------
    DoubtError
        If the file computes it, or its state contradicts it.
    """
    if depth > _MOST_NESTED:
        raise DoubtError("a type of elements is nested too deeply")
    if not (isinstance(value, Made) and value.owner is not None and value.owner.path == "numpy.dtype"):
        raise DoubtError("the type of elements is no numpy.dtype")
    first = value.arguments[0] if value.arguments else None
    if isinstance(first, Global) and first.name in _SCALARS:
        plain, kind = Elements(_SCALARS[first.name], objects=False), ""
    elif isinstance(first, str):
        plain, kind = _from_letters(first)
    else:
        raise DoubtError("the type of elements is computed")
    if not value.built:
        return plain
    return _with_state(plain, kind, value.state, depth)


def letters_of(text: str) -> Elements:
    """Return what letters such as ``<f8`` say.

    Raises
    ------
    DoubtError
        If they are none that are written to files.
    """
    return _from_letters(text)[0]


def _from_letters(text: str) -> tuple[Elements, str]:
    found = _LETTERS.match(text)
    if found is None:
        raise DoubtError(f"the type of elements {text!r} is none that is written to files")
    letter, digits = found[1], found[2]
    if digits:
        size = int(digits) * (4 if letter == "U" else 1)
    elif letter in _FLEXIBLE:
        size = 0
    else:
        size = _CODES.get(letter, 0)
    return Elements(size, letter == "O"), letter


def _with_state(plain: Elements, kind: str, state: Value, depth: int) -> Elements:
    if not isinstance(state, Group) or state.kind != "tuple" or len(state.items) not in {8, 9}:
        raise DoubtError("the state of a type of elements is none that numpy writes")
    version, _, subarray, names, fields, size, _, flags = state.items[:8]
    if version not in {3, 4} or type(size) is not int or type(flags) is not int:
        raise DoubtError("the state of a type of elements is none that numpy writes")
    if kind not in _FLEXIBLE:
        if subarray is not None or fields is not None or names is not None:
            raise DoubtError("a plain type of elements has fields")
        if bool(flags & _OBJECTS) is not plain.objects:
            raise DoubtError("the flags of a type of elements contradict it")
        return plain
    if not 0 < size < 2**31:
        raise DoubtError(f"elements of {size} bytes")
    objects = _holds_objects(subarray, fields, depth)
    if bool(flags & _OBJECTS) is not objects:
        raise DoubtError("the flags of a type of elements contradict it")
    return Elements(size, objects)


def _holds_objects(subarray: Value, fields: Value, depth: int) -> bool:
    if isinstance(subarray, Group) and subarray.kind == "tuple" and len(subarray.items) == 2:
        return elements_of(subarray.items[0], depth + 1).objects
    if isinstance(fields, Group) and fields.kind == "dict":
        found = False
        for entry in fields.items[1::2]:
            if not isinstance(entry, Group) or not entry.items:
                raise DoubtError("a field of a type of elements is none that numpy writes")
            found |= elements_of(entry.items[0], depth + 1).objects
        return found
    if subarray is not None or fields is not None:
        raise DoubtError("the state of a type of elements is none that numpy writes")
    return False
