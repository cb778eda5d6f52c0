"""A call that a pickle makes -> why it is not harmless, or None.

An allowed name is not harmless with any argument: an encoder looks its codec up by name, an array of a
trillion elements is allocated before its state arrives, a reconstructor makes whatever class it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from pytest_prodml.adapters.artifact.values import Blob, Global, Group, Made, Value, integers

#: Elements that a pickle may have allocated by a number alone.
_MOST_ALLOCATED = 2**20
_CODECS = frozenset({"latin1", "latin-1", "iso-8859-1", "ascii", "utf-8", "utf8"})
_FACTORIES = frozenset(
    {"collections.OrderedDict"}
    | {
        f"builtins.{name}"
        for name in ("list", "dict", "set", "frozenset", "int", "float", "str", "bool", "tuple")
    }
)
_BASES = frozenset({"object", "list", "dict", "set", "frozenset", "tuple"})


def _any(arguments: Sequence[Value]) -> str | None:
    """Constructors and reconstructors that look nothing up by their arguments."""
    del arguments
    return None


def _constants(arguments: Sequence[Value], depth: int = 0) -> str | None:
    for argument in arguments:
        if argument is None or isinstance(argument, (bool, int, float, str, Blob)):
            continue
        inside = isinstance(argument, Group) and argument.kind == "tuple" and depth < 3
        if inside and _constants(argument.items, depth + 1) is None:
            continue
        if (
            isinstance(argument, Made)
            and argument.owner is not None
            and argument.owner.module.startswith("numpy")
        ):
            continue
        return "is called with an argument that is no constant"
    return None


def _container(arguments: Sequence[Value]) -> str | None:
    if len(arguments) > 2 or not all(
        isinstance(argument, (Group, str, Blob)) or argument is None or type(argument) is int
        for argument in arguments
    ):
        return "is filled from an object that is no list of the file"
    return None


def _bytes(arguments: Sequence[Value]) -> str | None:
    if not arguments:
        return None
    first = arguments[0]
    if type(first) is int:
        return _size(first)
    made = isinstance(first, Made) and first.owner is not None and first.owner.path == "_codecs.encode"
    if isinstance(first, (str, Blob)) or made or (isinstance(first, Group) and integers(first) is not None):
        return None
    return "is made from an object that is no byte string of the file"


def _size(count: int) -> str | None:
    if not 0 <= count <= _MOST_ALLOCATED:
        return f"allocates {count:,} elements that the file does not hold"
    return None


def _defaultdict(arguments: Sequence[Value]) -> str | None:
    factory = arguments[0] if arguments else None
    if factory is None or (isinstance(factory, Global) and factory.path in _FACTORIES):
        return _container(arguments[1:])
    return "gets a factory that is no plain type, and calls it for every missing key"


def _class(argument: Value, *, build: bool = False) -> str | None:
    if not isinstance(argument, Global):
        return "makes an instance of a class that the file computes"
    rule = argument.rule
    if rule is None or not (rule.new or (build and rule.build)):
        return f"makes an instance of {argument.path}, which is not on the list of classes"
    return None


def _reconstructor(arguments: Sequence[Value]) -> str | None:
    if len(arguments) != 3:
        return "is called with other arguments than copyreg writes"
    base = arguments[1]
    if not (isinstance(base, Global) and base.module == "builtins" and base.name in _BASES):
        return "is given a base class that is no plain type"
    return _class(arguments[0])


def _newobj(arguments: Sequence[Value]) -> str | None:
    return _class(arguments[0]) if arguments else "is called without a class"


def _first_class(arguments: Sequence[Value]) -> str | None:
    return _class(arguments[0], build=True) if arguments else "is called without a class"


def _array(arguments: Sequence[Value]) -> str | None:
    if len(arguments) != 3:
        return "is called with other arguments than numpy writes"
    problem = _class(arguments[0], build=True)
    if problem:
        return problem
    shape = integers(arguments[1])
    if shape is None or min(shape, default=0) < 0:
        return "gets a shape that is no tuple of whole numbers"
    return _size(math.prod(shape))


def _masked(arguments: Sequence[Value]) -> str | None:
    if len(arguments) != 4:
        return "is called with other arguments than numpy writes"
    shape = integers(arguments[2])
    if shape is None or min(shape, default=0) < 0:
        return "gets a shape that is no tuple of whole numbers"
    return _class(arguments[0], build=True) or _class(arguments[1], build=True) or _size(math.prod(shape))


def _scalar(arguments: Sequence[Value]) -> str | None:
    first = arguments[0] if arguments else None
    if len(arguments) > 2 or not (isinstance(first, Made) and _is_dtype(first)):
        return "is called with other arguments than numpy writes"
    return None


def _is_dtype(value: Value) -> bool:
    return isinstance(value, Made) and value.owner is not None and value.owner.path == "numpy.dtype"


def _frombuffer(arguments: Sequence[Value]) -> str | None:
    buffer = arguments[0] if arguments else None
    made = (
        isinstance(buffer, Made)
        and buffer.owner is not None
        and buffer.owner.path in {"builtins.bytearray", "builtins.bytes"}
    )
    if len(arguments) < 2 or not (isinstance(buffer, Blob) or made):
        return "reads an object that is no byte string of the file"
    if not (_is_dtype(arguments[1]) or isinstance(arguments[1], str)):
        return "gets a type of elements that the file computes"
    return None


def _dtype(arguments: Sequence[Value]) -> str | None:
    first = arguments[0] if arguments else None
    if isinstance(first, str):
        if "," in first or "(" in first or len(first) > 24:
            return "gets a type of elements in numpy's own language instead of a plain one"
        return _constants(arguments[1:])
    if isinstance(first, Global) and first.module == "numpy" and first.rule is not None:
        return _constants(arguments[1:])
    return "gets a type of elements that the file computes"


def _generator(arguments: Sequence[Value]) -> str | None:
    for argument in arguments:
        if argument is None or isinstance(argument, str):
            continue
        inside = (
            isinstance(argument, Global) and argument.module.startswith("numpy.random.") and argument.rule
        )
        made = (
            isinstance(argument, Made)
            and argument.owner is not None
            and argument.owner.module.startswith("numpy.random.")
        )
        if not (inside or made):
            return "is called with an argument that is no generator of numpy"
    return None


def _cython(arguments: Sequence[Value]) -> str | None:
    if len(arguments) < 2 or type(arguments[1]) is not int:
        return "is called with other arguments than Cython writes"
    return _class(arguments[0], build=True)


def _encode(arguments: Sequence[Value]) -> str | None:
    codec = arguments[1] if len(arguments) > 1 else "utf-8"
    if len(arguments) > 2 or not isinstance(codec, str) or codec.lower() not in _CODECS:
        return "looks up a codec by a name that is no plain encoding"
    return (
        None
        if isinstance(arguments[0] if arguments else None, str)
        else "encodes what is no text of the file"
    )


_CHECKS: Mapping[str, Callable[[Sequence[Value]], str | None]] = {
    "any": _any,
    "array": _array,
    "bytes": _bytes,
    "constants": _constants,
    "container": _container,
    "cython": _cython,
    "defaultdict": _defaultdict,
    "dtype": _dtype,
    "encode": _encode,
    "first_class": _first_class,
    "frombuffer": _frombuffer,
    "generator": _generator,
    "masked": _masked,
    "newobj": _newobj,
    "reconstructor": _reconstructor,
    "scalar": _scalar,
}


def objection(function: Global, arguments: Sequence[Value] | None) -> str | None:
    """Say why a call is not harmless, or None.

    Parameters
    ----------
    function : Global
        What is called.
    arguments : sequence or None
        Abstract values; None where the file computes them.
    """
    rule = function.rule
    if rule is None:
        return "is called, and is not on the list of allowed names"
    if rule.call is None:
        return "is called, and is on the list only to be stored or instantiated"
    if arguments is None:
        return "is called with arguments that the file computes"
    return _CHECKS[rule.call](arguments)
