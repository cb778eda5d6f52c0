"""Text, JSON and UBJSON -> whether a part is of a harmless kind, by content first and ending second."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from typing import Any

from pytest_prodml.adapters.artifact.result import Report

#: Endings of text that nothing executes.
HARMLESS_ENDINGS = frozenset(
    {"", ".txt", ".md", ".rst", ".toml", ".json", ".jsonl", ".csv", ".tsv", ".yaml", ".yml", ".ini", ".cfg",
     ".license", ".vocab", ".bpe", ".model_card", ".gitattributes", ".gitignore", ".log", ".dvc", ".lock",
     ".sha256", ".pem", ".pub", ".sig", ".index"}
)  # fmt: skip
_HARMLESS_NAMES = frozenset(
    {"license", "notice", "readme", "merges", "version", "byteorder", "model", "mlmodel"}
)
#: First lines of models that are text: LightGBM.
_MODEL_LINES = ("tree\n", "tree\r\n")
_YAML_TAGS = ("!!python", "tag:yaml.org,2002:python")
_CODE_KEYS = {
    "auto_map": "names code that the loader is to import",
    "trust_remote_code": "asks the loader to run its code",
}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")
_MOST_NODES = 2_000_000


def text_of(data: memoryview) -> str | None:
    """Return bytes as text, or None if they are none."""
    try:
        text = str(data, "utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def scan_text(report: Report, where: str, text: str, name: str) -> str:
    """Judge text, and return what kind it is."""
    stripped = text.lstrip()
    if stripped[:1] in {"{", "["}:
        try:
            scan_document(report, where, json.loads(text))
        except RecursionError:
            report.unread(where, "JSON nested too deeply")
            return "json"
        except ValueError:
            pass
        else:
            report.read(where)
            return "json"
    ending, base = ending_of(name), name.replace("\\", "/").rpartition("/")[2].lower()
    if text.startswith(_MODEL_LINES):
        report.note(f"{where}: a model of LightGBM as text, which its own parser reads")
        report.read(where)
        return "lightgbm"
    for tag in _YAML_TAGS:
        if tag in text:
            report.unsafe(
                where, "yaml", f"holds the YAML tag {tag}, with which a loader makes Python objects"
            )
    if (
        text.startswith("#!")
        or ending not in HARMLESS_ENDINGS
        or (not ending and base not in _HARMLESS_NAMES)
    ):
        if not name and not text.strip():
            report.read(where)
            return "text"
        report.unread_format(where, "text", "text of no kind that is known to be harmless")
        return "text"
    report.read(where)
    return "text"


def ending_of(name: str) -> str:
    """Return the ending of a member's or file's name, in small letters, with its dot."""
    base = name.replace("\\", "/").rpartition("/")[2]
    _, dot, ending = base.rpartition(".")
    return f".{ending.lower()}" if dot else ""


def scan_document(report: Report, where: str, document: Any) -> None:  # noqa: ANN401 - decoded JSON
    """Look through decoded JSON for what loaders execute: Lambda layers of Keras, code of repositories."""
    for node in _dicts(document):
        name = node.get("class_name")
        if name == "Lambda" or (isinstance(name, str) and name.endswith("TFOpLambda") and "function" in node):
            report.unsafe(where, "lambda", "a Lambda layer of Keras holds byte code of Python")
        elif name == "__lambda__" or node.get("class_name") == "function":
            report.unsafe(where, "lambda", "a configuration of Keras holds a function")
        module = node.get("module")
        if (
            isinstance(module, str)
            and isinstance(name, str)
            and module.partition(".")[0] not in {"keras", "builtins"}
        ):
            report.imports(module, name)
            if (module, name) not in report.trusted:
                report.unsafe(where, "import", f"a configuration of Keras imports {module}.{name}")
        for key, why in _CODE_KEYS.items():
            if node.get(key):
                report.unsafe(where, "code", f"{key!r} {why}")


def _dicts(document: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - decoded JSON
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += [value for value in node.values() if isinstance(value, (dict, list))]
        elif isinstance(node, list):
            waiting += [value for value in node if isinstance(value, (dict, list))]


_UBJ_NUMBERS = {
    b"i": "b",
    b"U": "B",
    b"I": ">h",
    b"u": ">H",
    b"l": ">i",
    b"m": ">I",
    b"L": ">q",
    b"M": ">Q",
    b"d": ">f",
    b"D": ">d",
    b"C": "c",
}
_UBJ_CONSTANTS = frozenset({b"Z", b"N", b"T", b"F"})


class _Ubjson:
    """A reader of UBJSON that checks structure and keeps nothing (Universal Binary JSON, draft 12)."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.position, self.nodes = data, 0, 0

    def take(self, count: int) -> bytes:
        stop = self.position + count
        if count < 0 or stop > len(self.data):
            raise ValueError(f"ends within what byte {self.position} announces")
        found = bytes(self.data[self.position : stop])
        self.position = stop
        return found

    def peek(self) -> bytes:
        return bytes(self.data[self.position : self.position + 1])

    def number(self, marker: bytes) -> Any:  # noqa: ANN401
        kind = _UBJ_NUMBERS.get(marker)
        if kind is None:
            raise ValueError(f"byte {self.position - 1} is no marker")
        return struct.unpack(kind, self.take(struct.calcsize(kind)))[0]

    def length(self) -> int:
        count = self.number(self.take(1))
        if type(count) is not int or count < 0:
            raise ValueError(f"byte {self.position} has no length")
        return count

    def value(self, marker: bytes, depth: int = 0) -> None:
        self.nodes += 1
        if depth > 64 or self.nodes > _MOST_NODES:
            raise ValueError("more or deeper values than are followed")
        if marker in _UBJ_CONSTANTS:
            return
        if marker in {b"S", b"H"}:
            self._skip(self.length())
        elif marker in {b"[", b"{"}:
            self._container(marker, depth)
        else:
            self.number(marker)

    def _skip(self, count: int) -> None:
        if count > len(self.data) - self.position:
            raise ValueError(f"ends within what byte {self.position} announces")
        self.position += count

    def _container(self, marker: bytes, depth: int) -> None:
        kind, count = b"", None
        if self.peek() == b"$":
            self.take(1)
            kind = self.take(1)
        if self.peek() == b"#":
            self.take(1)
            count = self.length()
        if kind and count is None:
            raise ValueError(f"byte {self.position} has a type without a count")
        if kind in _UBJ_NUMBERS and count is not None and marker == b"[":
            self._skip(struct.calcsize(_UBJ_NUMBERS[kind]) * count)
            return
        end = b"]" if marker == b"[" else b"}"
        done = 0
        while True:
            if count is None and self.peek() == end:
                self.take(1)
                return
            if count is not None and done == count:
                return
            if marker == b"{":
                self._skip(self.length())
            self.value(kind or self.take(1), depth + 1)
            done += 1


def scan_ubjson(report: Report, where: str, data: memoryview) -> bool:
    """Read UBJSON, as XGBoost writes it; return whether it is that."""
    reader = _Ubjson(data)
    try:
        reader.value(reader.take(1))
    except (ValueError, struct.error):
        return False
    if reader.position != len(data):
        return False
    report.note(f"{where}: a model as UBJSON, which the parser of XGBoost reads")
    report.read(where)
    return True
