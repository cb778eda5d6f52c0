"""A good request -> requests that make no sense, each broken in one place that its name tells."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_prodml.adapters.serving.protocols import encoded, post
from pytest_prodml.errors import InputError

#: Larger than any service of single requests takes.
OVERSIZED_BYTES = 32 * 2**20
_NESTED = 100_000
#: A request of many rows has one of them broken: the last, which a hasty check does not reach.
_MOST_PLACES = 200
#: Another type in the place of each: what a typed service must not take for a value.
_OTHER_TYPES: dict[type, tuple[tuple[str, Any], ...]] = {
    bool: (("text", "yes?"), ("list", [True]), ("object", {"value": True})),
    int: (("text", "many"), ("list", [1]), ("object", {"value": 1})),
    float: (("text", "many"), ("list", [1.5]), ("object", {"value": 1.5})),
    str: (("number", 7), ("list", ["a"]), ("object", {"value": "a"})),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """A request that should be refused: its name, and its bytes on the wire.

    `is_cut` says that less is sent than announced, and the sending side closed: whoever waits for the rest
    forever holds a connection.
    """

    name: str
    data: bytes
    is_cut: bool = False


def hostile_requests(
    path: str,
    body: Any,  # noqa: ANN401 - JSON
    host: str,
    *,
    oversized_bytes: int = OVERSIZED_BYTES,
) -> Iterator[Hostile]:
    """Break a good request, one place at a time.

    Parameters
    ----------
    path : str
        Where it goes.
    body : JSON value
        That of a request which is answered with success.
    host : str
        For the header of that name.
    oversized_bytes : int
        How large the largest body is.

    Yields
    ------
    Hostile
        Bodies that are no JSON; missing, null and other types in each place; a body of another kind; one that
        is far too large; another path and another method.

    Raises
    ------
    InputError
        If the body is no object and no list: then nothing tells its places.
    """
    if not isinstance(body, (dict, list)):
        raise InputError("the body of a request is an object or a list", where="rejects_bad_input")
    good = encoded(body)
    for name, data in _no_json(good):
        yield Hostile(name=name, data=post(path, data, host))
    yield Hostile(
        name="body: form data",
        data=post(path, b"a=1&b=2", host, content_type="application/x-www-form-urlencoded"),
    )
    yield Hostile(name="body: an empty object", data=post(path, b"{}", host))
    yield Hostile(name="body: a number", data=post(path, b"1", host))
    yield Hostile(name="body: null", data=post(path, b"null", host))
    for name, changed in _changes(body):
        yield Hostile(name=name, data=post(path, _written(changed), host))
    yield Hostile(name="body: oversized", data=post(path, _oversized(good, oversized_bytes), host))
    yield Hostile(name="path: unknown", data=post("/prodml/there-is-no-such-path", good, host))
    yield Hostile(name="method: DELETE", data=post(path, good, host, method="DELETE"))
    head = post(path, good, host)
    yield Hostile(name="body: shorter than announced", data=head[: -max(len(good) // 2, 1)], is_cut=True)


def _no_json(good: bytes) -> Iterator[tuple[str, bytes]]:
    yield "body: empty", b""
    yield "body: cut off", good[: len(good) // 2]
    yield "body: no JSON", b"<score>1</score>"
    yield "body: no UTF-8", b'{"a": "\xff\xfe"}'
    yield "body: nested deeply", b"[" * _NESTED + b"]" * _NESTED
    yield "body: something after it", good + b"]"


def _changes(body: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - JSON
    places = list(_places(body, ()))
    for place in places[-_MOST_PLACES:]:
        value = _at(body, place)
        told = _told(place)
        if isinstance(place[-1], str):
            yield f"{told}: missing", _with(body, place, _REMOVED)
        if value is not None:
            yield f"{told}: null", _with(body, place, None)
        for kind, other in _OTHER_TYPES.get(type(value), ()):
            yield f"{told}: {kind} for {_kind(value)}", _with(body, place, other)
        if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
            yield f"{told}: NaN", _with(body, place, float("nan"))
            yield f"{told}: Infinity", _with(body, place, float("inf"))
            yield f"{told}: beyond any float", _with(body, place, _HUGE)
        if isinstance(value, list):
            yield f"{told}: an object for a list", _with(body, place, {})


class _Removed:
    """Stands for a member that is taken away."""


_REMOVED = _Removed()
_HUGE = 10**400


def _kind(value: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        return "text"
    return "bool" if isinstance(value, bool) else "number"


def _places(value: Any, before: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:  # noqa: ANN401
    """Go through all members; of a list only its last."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*before, name)
            yield from _places(inner, (*before, name))
    elif isinstance(value, list) and value:
        places = (
            range(len(value)) if all(isinstance(each, dict) and "name" in each for each in value) else [-1]
        )
        for number in places:
            place = number if number >= 0 else len(value) - 1
            if not isinstance(value[place], (dict, list)):
                yield (*before, place)
            yield from _places(value[place], (*before, place))


def _told(place: Sequence[str | int]) -> str:
    return ".".join(map(str, place))


def _at(value: Any, place: Sequence[str | int]) -> Any:  # noqa: ANN401 - JSON
    for step in place:
        value = value[step]
    return value


def _with(body: Any, place: Sequence[str | int], value: Any) -> Any:  # noqa: ANN401 - JSON
    changed = copy.deepcopy(body)
    inner = _at(changed, place[:-1])
    if value is _REMOVED:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return changed


def _written(value: Any) -> bytes:  # noqa: ANN401 - JSON, and what is none
    return json.dumps(value, allow_nan=True, separators=(",", ":")).encode()


def _oversized(good: bytes, size: int) -> bytes:
    """Return a body that begins like the good one and is valid JSON."""
    space = b" " * max(size - len(good), 0)
    return good[:1] + space + good[1:]
