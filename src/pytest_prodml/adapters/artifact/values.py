"""What stands on the stack of the symbolic pickle machine: constants, containers, names and made objects.

Python's own None, bool, int, float and str stand for themselves. Nothing here is ever called.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pytest_prodml.adapters.artifact.rules import Rule

#: Any abstract value; the machine looks at types before it looks into one.
Value: TypeAlias = Any


class Opaque:
    """A value that is not known before the file is loaded."""

    __slots__ = ()


OPAQUE = Opaque()
#: What a refused import or call would have made: it was told already, so what happens to it adds nothing.
REFUSED = Opaque()


@dataclass(slots=True, eq=False)
class Blob:
    """A byte string: where it stands in the stream."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stop - self.start


@dataclass(slots=True, eq=False)
class Group:
    """A container; a dict's items alternate between keys and values."""

    kind: Literal["tuple", "list", "dict", "set", "frozenset"]
    items: list[Value]


@dataclass(slots=True, eq=False)
class Global:
    """An imported name, and what may be done with it (None: nothing)."""

    module: str
    name: str
    rule: Rule | None
    offset: int

    @property
    def path(self) -> str:
        """The name in full."""
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Made:
    """An object that a call made. `owner` is the class or function that answers for it."""

    owner: Global | None
    arguments: list[Value]
    state: Value = None
    built: bool = False
    extra: dict[str, Value] = field(default_factory=dict)


def constant_dict(value: Value) -> dict[str, Value] | None:
    """Return a dict whose keys are all constant text, else None. A later key wins, as when loading."""
    if not isinstance(value, Group) or value.kind != "dict":
        return None
    keys, values = value.items[::2], value.items[1::2]
    if not all(type(key) is str for key in keys):
        return None
    return dict(zip(keys, values, strict=True))


def integers(value: Value) -> tuple[int, ...] | None:
    """Return a tuple or list of constant whole numbers, else None."""
    if type(value) is int:
        return (value,)
    if not isinstance(value, Group) or value.kind not in {"tuple", "list"}:
        return None
    if not all(type(item) is int for item in value.items):
        return None
    return tuple(value.items)
