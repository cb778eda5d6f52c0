"""Members of an archive -> what it is as a whole: torch, skops, Keras, or just an archive."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pytest_prodml.adapters.artifact.actions import Storage
from pytest_prodml.adapters.artifact.result import Report
from pytest_prodml.adapters.artifact.rules import rules
from pytest_prodml.adapters.artifact.zipped import Member

#: Bytes an element of torch's storages.
STORAGE_BYTES = {
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
    "BFloat16Storage": 2,
    "ComplexDoubleStorage": 16,
    "ComplexFloatStorage": 8,
    "UntypedStorage": 1,
}
_PLAIN_MEMBERS = frozenset(
    {"version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id"}
)
#: Loaders of skops that make data only; the others look up or call what they name.
_SKOPS_DATA = frozenset(
    {
        "BytesNode",
        "BytearrayNode",
        "CachedNode",
        "DatetimeNode",
        "DictNode",
        "DefaultDictNode",
        "JsonNode",
        "ListNode",
        "MaskedArrayNode",
        "NdArrayNode",
        "NoneNode",
        "ObjectNode",
        "OrderedDictNode",
        "RandomGeneratorNode",
        "RandomStateNode",
        "SetNode",
        "SliceNode",
        "SparseMatrixNode",
        "TreeNode",
        "TupleNode",
        "TypeNode",
        "DTypeNode",
        "QuantileForestNode",
        "SGDNode",
        "DataTypeNode",
        "LossNode",
        "CythonLossNode",
    }
)
_SKOPS_NAMES = frozenset(
    {
        "builtins." + name
        for name in ("str", "int", "float", "bool", "NoneType", "list", "tuple", "dict", "set", "bytes")
    }
)
_MOST_NESTED = 200


def torch_root(members: Sequence[Member]) -> str | None:
    """Return the folder of a torch archive inside a zip, or None if it is not one."""
    names = {member.name for member in members}
    for name in names:
        root, slash, base = name.rpartition("/")
        if slash and base == "data.pkl" and f"{root}/version" in names:
            return root
    return None


def scan_storages(
    report: Report, where: str, members: Sequence[Member], root: str, storages: Sequence[Storage]
) -> set[str]:
    """Hold raw buffers against the storages that the pickle refers to; return the names of members done."""
    wanted: dict[str, int] = {}
    for storage in storages:
        size = STORAGE_BYTES.get(storage.kind, 0) * storage.count
        wanted[storage.key] = max(size, wanted.get(storage.key, 0))
    done = set()
    for member in members:
        base = member.name.removeprefix(f"{root}/")
        inner = f"{where}!{member.name}"
        if base in _PLAIN_MEMBERS and member.content is not None and len(member.content) <= 128:
            report.read(inner)
            done.add(member.name)
        elif base.startswith("data/") and member.content is not None:
            if wanted.get(base.removeprefix("data/")) == len(member.content):
                report.read(inner)
            else:
                report.unread(inner, "is no buffer of the size that the pickle refers to")
            done.add(member.name)
        elif base.startswith("code/") or base == "constants.pkl":
            report.unread_format(inner, "torchscript", "is a program of TorchScript")
            done.add(member.name)
    return done


def is_skops(members: Sequence[Member]) -> bool:
    """Say whether an archive is one of skops."""
    return any(member.name == "schema.json" and _schema(member) is not None for member in members)


def scan_skops(report: Report, where: str, members: Sequence[Member]) -> None:
    """Hold every type that a schema of skops names against the list."""
    for member in members:
        if member.name == "schema.json":
            document = _schema(member)
            if document is None or not _skops_nodes(report, f"{where}!schema.json", document):
                report.unread(f"{where}!schema.json", "is nested too deeply to be followed, or no schema")
            else:
                report.read(f"{where}!schema.json")


def _schema(member: Member) -> dict[str, Any] | None:
    if member.content is None:
        return None
    try:
        document = json.loads(bytes(member.content))
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and "_skops_version" in document else None


def _skops_nodes(report: Report, where: str, document: dict[str, Any]) -> bool:
    waiting: list[tuple[Any, int]] = [(document, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > _MOST_NESTED:
            return False
        if isinstance(node, list):
            waiting += [(item, depth + 1) for item in node]
        elif isinstance(node, dict):
            _skops_node(report, where, node)
            waiting += [(item, depth + 1) for item in node.values()]
    return True


def _skops_node(report: Report, where: str, node: dict[str, Any]) -> None:
    module, name, loader = node.get("__module__"), node.get("__class__"), node.get("__loader__")
    if not isinstance(loader, str):
        return
    module, name = str(module), str(name)
    report.imports(module, name)
    if (module, name) in report.trusted:
        return
    if loader not in _SKOPS_DATA:
        report.unsafe(where, "skops", f"{loader} makes {module}.{name}, a function or call and no data")
    elif (module, name) not in rules() and f"{module}.{name}" not in _SKOPS_NAMES:
        report.unsafe(
            where, "import", f"{loader} makes {module}.{name}, which is not on the list of allowed names"
        )


def scan_lambda_marks(report: Report, where: str, data: memoryview) -> None:
    """Look for Lambda layers in the bytes of an HDF5 file, whose model is JSON inside it."""
    raw = bytes(data)
    for mark in (b'"class_name": "Lambda"', b'"class_name":"Lambda"', b'"__lambda__"'):
        if mark in raw:
            report.unsafe(where, "lambda", "a Lambda layer of Keras holds byte code of Python")
            return
