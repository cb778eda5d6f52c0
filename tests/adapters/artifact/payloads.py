"""Pickles written by hand, opcode by opcode, and bytes of other formats: what an attacker would send.

All of them, when loaded, call a function that writes a file; no test loads them but the ones that show so.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any


def short(text: str) -> bytes:
    raw = text.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


def unicode(text: str) -> bytes:
    raw = text.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def framed(body: bytes) -> bytes:
    return b"\x80\x04\x95" + struct.pack("<Q", len(body)) + body


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


def system(command: str) -> bytes:
    """``os.system`` as protocol 0 writes it."""
    return f"cos\nsystem\n(V{command}\ntR.".encode()


def by_stack(module: str, name: str, argument: str) -> bytes:
    """A call of a name by STACK_GLOBAL."""
    return framed(short(module) + short(name) + b"\x93" + short(argument) + b"\x85R.")


def through_memo(module: str, name: str, argument: str) -> bytes:
    """The name's two texts lie in the memo in the wrong order, among others, and are recalled."""
    return (
        b"\x80\x04(" + short("collections") + b"\x94" + short(name) + b"\x94" + short("OrderedDict") + b"\x94"
        + short(module) + b"r\x00\x01\x00\x000000" + b"0" + b"j\x00\x01\x00\x00" + b"h\x01" + b"\x93"
        + short(argument) + b"\x85R."
    )  # fmt: skip


def touching(marker: Path) -> dict[str, bytes]:
    """Every attack by name; each writes `marker` if it is loaded."""
    touch = f"touch {marker}"
    code = f"open({str(marker)!r}, 'w')"
    return {
        "os.system, protocol 0": system(touch),
        "os.system, protocol 4": by_stack("os", "system", touch),
        "posix.system": by_stack("posix", "system", touch),
        "through the memo": through_memo("os", "system", touch),
        "INST": f"(V{touch}\nios\nsystem\n.".encode(),
        "OBJ": b"(cos\nsystem\nV" + touch.encode() + b"\no.",
        "eval": by_stack("builtins", "eval", code),
        "exec of Python 2's name": f"c__builtin__\neval\n(V{code}\ntR.".encode(),
        "a name with dots": framed(short("shutil") + short("os.system") + b"\x93" + short(touch) + b"\x85R."),
        "a module that is allowed, a name with dots": framed(
            short("numpy.random._pickle") + short("__generator_ctor.__globals__") + b"\x93."
        ),
        "subprocess": pickle.dumps(Calls(__import__("subprocess").call, ["touch", str(marker)])),
        "runpy": pickle.dumps(Calls(__import__("runpy").run_path, str(marker))),
        "importlib": pickle.dumps(Calls(__import__("importlib").import_module, "antigravity")),
        "pathlib": b"\x80\x04" + short("pathlib") + short("Path") + b"\x93" + short(str(marker)) + b"\x85R.",
        "getattr": b"\x80\x04" + short("builtins") + short("getattr") + b"\x93" + short("numpy.core")
        + short("multiarray") + b"\x86R.",
        "functools.partial": b"\x80\x04" + short("functools") + short("partial") + b"\x93"
        + short("os") + short("system") + b"\x93" + b"\x85R.",
        "operator.methodcaller": by_stack("operator", "methodcaller", "system"),
        "numpy.load": by_stack("numpy", "load", str(marker)),
        "joblib.load": by_stack("joblib", "load", str(marker)),
        "numpy's runstring": by_stack("numpy.testing._private.utils", "runstring", code),
        "torch.load": by_stack("torch", "load", str(marker)),
        "a codec by name": b"\x80\x04" + short("_codecs") + short("encode") + b"\x93" + short("x")
        + short("../evil") + b"\x86R.",
        "a class of the list, called": b"\x80\x04" + short("sklearn.linear_model._logistic")
        + short("LogisticRegression") + b"\x93)R.",
        "a function of the list to store, called": by_stack("sklearn.metrics._ranking", "roc_auc_score", "x"),
        "_reconstructor of any class": b"\x80\x04" + short("copyreg") + short("_reconstructor") + b"\x93"
        + short("subprocess") + short("Popen") + b"\x93" + short("builtins") + short("object") + b"\x93N\x87R.",
        "_reconstruct of any class": b"\x80\x04" + short("numpy.core.multiarray") + short("_reconstruct")
        + b"\x93" + short("os") + short("_wrap_close") + b"\x93K\x00\x85" + b"C\x01b\x87R.",
        "a method put into an instance": b"\x80\x04" + short("sklearn.dummy") + short("DummyClassifier")
        + b"\x93)\x81}" + short("__setstate__") + short("numpy") + short("exp") + b"\x93sb.",
        "a state that a call makes": b"\x80\x04" + short("sklearn.dummy") + short("DummyClassifier")
        + b"\x93)\x81" + short("collections") + short("OrderedDict") + b"\x93)R"
        + short("__setstate__") + b"NsN\x86b.",
        "a state twice": b"\x80\x04" + short("sklearn.dummy") + short("DummyClassifier")
        + b"\x93)\x81}b}b.",
        "items after a state": b"\x80\x04" + short("collections") + short("deque") + b"\x93)\x81}bK\x01a.",
        "a class itself is changed": b"\x80\x04" + short("sklearn.dummy") + short("DummyClassifier")
        + b"\x93N}" + short("predict") + short("numpy") + short("exp") + b"\x93s\x86b.",
        "defaultdict calls its factory": b"\x80\x04" + short("collections") + short("defaultdict") + b"\x93"
        + short("sklearn.dummy") + short("DummyClassifier") + b"\x93\x85R.",
        "a trillion elements": b"\x80\x04" + short("builtins") + short("bytearray") + b"\x93"
        + b"\x8a\x06\x00\x00\x00\x00\x00\x01\x85R.",
        "a shape of a trillion": b"\x80\x04" + short("numpy") + short("ndarray") + b"\x93" + b"0"
        + short("numpy.core.multiarray") + short("_reconstruct") + b"\x93"
        + short("numpy") + short("ndarray") + b"\x93" + b"\x8a\x06\x00\x00\x00\x00\x00\x01\x85C\x01b\x87R.",
        "a second pickle": pickle.dumps({"weights": [1.0]}) + system(touch),
        "a pickle in a byte string": pickle.dumps({"inner": pickle.dumps(Calls(eval, code))}),
        "two pickles deep": pickle.dumps({"a": pickle.dumps([pickle.dumps(Calls(eval, code))])}),
        "truncated after the call": system(touch)[:-1],
        "an opcode that is none after the call": system(touch)[:-1] + b"\xff",
        "a mark popped": b"(1" + system(touch),
        "computed names": b"\x80\x04" + short("builtins") + short("str") + b"\x93" + short("os") + b"\x85R"
        + short("system") + b"\x93.",
        "a name with a carriage return": b"cos\r\nsystem\n(Vx\ntR.",
    }  # fmt: skip


def zipped(members: dict[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(header: str, body: bytes) -> bytes:
    raw = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + body


# Protocol buffers, for ONNX.


def varint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def message(number: int, content: bytes | str) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def node(operator: str, domain: str = "", *attributes: bytes) -> bytes:
    return message(1, "x") + message(2, "y") + message(4, operator) + message(7, domain) + b"".join(
        message(5, attribute) for attribute in attributes
    )  # fmt: skip


def tensor_outside(location: str | None, **entries: str) -> bytes:
    raw = message(8, "w") + integer(14, 1)
    for key, value in {**({"location": location} if location is not None else {}), **entries}.items():
        raw += message(13, message(1, key) + message(2, value))
    return raw


def onnx_model(graph: bytes, *functions: bytes) -> bytes:
    opset = message(8, message(1, "") + integer(2, 17))
    return integer(1, 8) + message(7, graph) + opset + b"".join(message(25, item) for item in functions)
