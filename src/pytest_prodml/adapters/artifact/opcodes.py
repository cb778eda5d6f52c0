"""Each opcode of pickle -> what it does to the symbolic stack. Protocols 0 to 5.

What the two unpicklers of Python do differently ends in an error in one of them; these follow the other.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable

from pytest_prodml.adapters.artifact.stack import Stack, StoppedError
from pytest_prodml.adapters.artifact.values import OPAQUE, Group, Value

_HIGHEST_PROTOCOL = 5
_MOST_DIGITS = 4_000


def _constant(value: Value) -> Callable[[Stack], None]:
    def push(machine: Stack) -> None:
        machine.stack.append(value)

    return push


def _whole(size: int, *, signed: bool = False) -> Callable[[Stack], None]:
    def push(machine: Stack) -> None:
        machine.stack.append(machine.number(size, signed=signed))

    return push


def _long(size: int) -> Callable[[Stack], None]:
    def push(machine: Stack) -> None:
        count = machine.number(size, signed=size == 4)
        raw = machine.take(count)
        machine.stack.append(int.from_bytes(raw, "little", signed=True) if count <= 32 else OPAQUE)

    return push


def _text(size: int) -> Callable[[Stack], None]:
    def push(machine: Stack) -> None:
        machine.stack.append(machine.text(machine.take(machine.number(size))))

    return push


def _bytes(size: int) -> Callable[[Stack], None]:
    def push(machine: Stack) -> None:
        machine.blob(machine.number(size))

    return push


def _byte_text(size: int) -> Callable[[Stack], None]:
    def push(machine: Stack) -> None:
        # Text or bytes, as the loader is told; as text it is ASCII by default, and names are ASCII.
        count = machine.number(size, signed=size == 4)
        machine.stack.append(machine.text(machine.take(count), "latin-1", "strict"))

    return push


def _line_of_text(machine: Stack) -> None:
    machine.push(machine.text(machine.line(), "raw-unicode-escape", "strict"))


def _quoted(machine: Stack) -> None:
    raw = machine.line().strip(b" \t\r\n\v\f")
    if len(raw) < 2 or raw[:1] != raw[-1:] or raw[:1] not in {b'"', b"'"}:
        raise StoppedError(f"the string at byte {machine.opcode_at} is not quoted")
    try:
        value, _ = codecs.escape_decode(raw[1:-1])
    except ValueError:
        raise StoppedError(f"the string at byte {machine.opcode_at} is not escaped as it should be") from None
    machine.push(str(value, "latin-1"))


def _integer(machine: Stack) -> None:
    raw = machine.line()
    if raw in {b"00", b"01"}:
        machine.push(raw == b"01")
        return
    machine.push(_parsed(machine, raw, 0))


def _long_integer(machine: Stack) -> None:
    machine.push(_parsed(machine, machine.line().removesuffix(b"L"), 0))


def _parsed(machine: Stack, raw: bytes, base: int) -> Value:
    if len(raw) > _MOST_DIGITS:
        return OPAQUE
    try:
        return int(raw, base)
    except ValueError:
        raise StoppedError(f"the number at byte {machine.opcode_at} is none") from None


def _float_line(machine: Stack) -> None:
    raw = machine.line()
    try:
        machine.push(float(raw))
    except ValueError:
        raise StoppedError(f"the number at byte {machine.opcode_at} is none") from None


def _float(machine: Stack) -> None:
    machine.push(struct.unpack(">d", machine.take(8))[0])


def _mark(machine: Stack) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _pop(machine: Stack) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _duplicate(machine: Stack) -> None:
    machine.push(machine.top())


def _tuple(count: int) -> Callable[[Stack], None]:
    def push(machine: Stack) -> None:
        items = [machine.pop() for _ in range(count)][::-1]
        machine.push(Group("tuple", items))

    return push


def _empty(kind: str) -> Callable[[Stack], None]:
    def push(machine: Stack) -> None:
        machine.stack.append(Group(kind, []))  # type: ignore[arg-type]

    return push


def _marked(kind: str) -> Callable[[Stack], None]:
    def push(machine: Stack) -> None:
        items = machine.pop_mark()
        if kind == "dict" and len(items) % 2:
            raise StoppedError(f"the dict at byte {machine.opcode_at} has a key without a value")
        machine.push(Group(kind, items))  # type: ignore[arg-type]

    return push


def _append(machine: Stack) -> None:
    value = machine.pop()
    machine.actions.fill(machine.top(), [value], machine.opcode_at)


def _append_all(machine: Stack) -> None:
    items = machine.pop_mark()
    machine.actions.fill(machine.top(), items, machine.opcode_at)


def _set_item(machine: Stack) -> None:
    value, key = machine.pop(), machine.pop()
    machine.actions.fill(machine.top(), [key, value], machine.opcode_at)


def _set_all(machine: Stack) -> None:
    items = machine.pop_mark()
    if len(items) % 2:
        raise StoppedError(f"byte {machine.opcode_at} sets a key without a value")
    machine.actions.fill(machine.top(), items, machine.opcode_at)


def _get(size: int) -> Callable[[Stack], None]:
    def push(machine: Stack) -> None:
        machine.recall(machine.number(size))

    return push


def _get_line(machine: Stack) -> None:
    key = _parsed(machine, machine.line(), 10)
    machine.recall(key if type(key) is int else -1)


def _put(size: int) -> Callable[[Stack], None]:
    def keep(machine: Stack) -> None:
        machine.memo[machine.number(size)] = machine.top()

    return keep


def _put_line(machine: Stack) -> None:
    key = _parsed(machine, machine.line(), 10)
    if type(key) is not int or key < 0:
        raise StoppedError(f"byte {machine.opcode_at} puts into the memo under no number")
    machine.memo[key] = machine.top()


def _memoize(machine: Stack) -> None:
    machine.memo[len(machine.memo)] = machine.top()


def _global(machine: Stack) -> None:
    module, name = machine.line(), machine.line()
    machine.find(machine.text(module, errors="strict"), machine.text(name, errors="strict"))


def _stack_global(machine: Stack) -> None:
    name, module = machine.pop(), machine.pop()
    if type(name) is not str or type(module) is not str:
        computed = machine.actions.computed_name(module, name, machine.opcode_at)
        if computed is None:
            raise StoppedError(f"byte {machine.opcode_at} imports a name that is no text")
        machine.push(computed)
        return
    machine.find(module, name)


def _instance(machine: Stack) -> None:
    module, name = machine.line(), machine.line()
    # Python's unpickler imports before it looks for the mark, the one in C after.
    machine.find(machine.text(module, "ascii", "strict"), machine.text(name, "ascii", "strict"))
    cls = machine.pop()
    machine.push(machine.actions.instance(cls, machine.pop_mark(), machine.opcode_at))


def _object(machine: Stack) -> None:
    items = machine.pop_mark()
    if not items:
        raise StoppedError(f"byte {machine.opcode_at} makes an object of nothing")
    machine.push(machine.actions.instance(items[0], items[1:], machine.opcode_at))


def _new_object(machine: Stack) -> None:
    arguments, cls = machine.pop(), machine.pop()
    machine.push(machine.actions.new(cls, arguments, None, machine.opcode_at))


def _new_object_with_keywords(machine: Stack) -> None:
    keywords, arguments, cls = machine.pop(), machine.pop(), machine.pop()
    machine.push(machine.actions.new(cls, arguments, keywords, machine.opcode_at))


def _reduce(machine: Stack) -> None:
    arguments, function = machine.pop(), machine.pop()
    machine.push(machine.actions.call(function, arguments, machine.opcode_at))


def _extension(size: int) -> Callable[[Stack], None]:
    def push(machine: Stack) -> None:
        machine.push(machine.actions.extension(machine.number(size), machine.opcode_at))

    return push


def _persistent_line(machine: Stack) -> None:
    machine.push(machine.actions.persistent(machine.text(machine.line(), "latin-1"), machine.opcode_at))


def _persistent(machine: Stack) -> None:
    machine.push(machine.actions.persistent(machine.pop(), machine.opcode_at))


def _protocol(machine: Stack) -> None:
    found = machine.number(1)
    if found > _HIGHEST_PROTOCOL:
        raise StoppedError(f"byte {machine.opcode_at} asks for protocol {found}, which no loader knows")
    machine.protocol = found


def _frame(machine: Stack) -> None:
    # Python's own unpickler does not mind a frame that is longer than the file; the one in C stops there.
    size = machine.number(8)
    machine.frame_end = machine.position + size


def _outside_buffer(machine: Stack) -> None:
    machine.push(machine.actions.outside_buffer(machine.opcode_at))


def _nothing(machine: Stack) -> None:
    machine.top()


#: Opcode -> what it does; STOP and BUILD are handled in `machine`.
OPCODES: dict[int, Callable[[Stack], object]] = {
    ord(letter): handler
    for letter, handler in {
        "(": _mark, "0": _pop, "1": Stack.pop_mark, "2": _duplicate, "F": _float_line, "I": _integer,
        "J": _whole(4, signed=True), "K": _whole(1), "L": _long_integer, "M": _whole(2),
        "N": _constant(None), "P": _persistent_line, "Q": _persistent, "R": _reduce, "S": _quoted,
        "T": _byte_text(4), "U": _byte_text(1), "V": _line_of_text, "X": _text(4), "a": _append,
        "c": _global, "d": _marked("dict"), "e": _append_all, "g": _get_line,
        "h": _get(1), "i": _instance, "j": _get(4), "l": _marked("list"), "o": _object, "p": _put_line,
        "q": _put(1), "r": _put(4), "s": _set_item, "t": _marked("tuple"), "u": _set_all, "}": _empty("dict"),
        "]": _empty("list"), ")": _empty("tuple"), "G": _float, "B": _bytes(4), "C": _bytes(1),
        "\x80": _protocol, "\x81": _new_object, "\x82": _extension(1), "\x83": _extension(2),
        "\x84": _extension(4), "\x85": _tuple(1), "\x86": _tuple(2), "\x87": _tuple(3),
        "\x88": _constant(value=True), "\x89": _constant(value=False), "\x8a": _long(1), "\x8b": _long(4),
        "\x8c": _text(1), "\x8d": _text(8), "\x8e": _bytes(8), "\x8f": _empty("set"), "\x90": _append_all,
        "\x91": _marked("frozenset"), "\x92": _new_object_with_keywords, "\x93": _stack_global,
        "\x94": _memoize, "\x95": _frame, "\x96": _bytes(8), "\x97": _outside_buffer, "\x98": _nothing,
    }.items()
}  # fmt: skip
