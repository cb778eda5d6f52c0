"""An exported program of torch (.pt2) -> whether loading it does nothing but build a graph.

Its loader evaluates expressions of sizes as Python, looks operators up by name, and falls back to plain
unpickling: each of the three is held against a list here, before torch sees the bytes.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

from pytest_prodml.adapters.artifact import Finding
from pytest_prodml.adapters.model_files import ModelFile, require_safe
from pytest_prodml.errors import InputError

_HINT = "it holds more than torch.export.save writes for a plain module; save it again, or use ONNX"
#: Members that torch reads as raw buffers or short texts.
_RAW = re.compile(
    r"<bytes>![^!]*/(data/weights/weight_\d+|data/constants/tensor_\d+|archive_format|archive_version|\.data/serialization_id)"
)
#: Numbers, symbols and functions of sizes; possessive, so that no text costs more than its length.
_SIZES = re.compile(
    r"(?>\s+|[-+*/%(),<>=]|\d+|'?[su]\d+'?(?![\w.'])|(?:positive|nonnegative|integer)=True\b"
    r"|(?:Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilToInt|FloorToInt|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|floor"
    r"|ceiling|True|False|Symbol|Integer|Add|Mul|Pow|Rational)(?![\w.']))*+"
)
_OPERATORS = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b|save\b|_save\b)\w+\.\w+"
    r"|_operator\.(?:add|sub|mul|floordiv|truediv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|getitem)"
    r"|torch\.sym_(?:int|float|max|min|not|sum|ite)"
    r"|math\.(?:trunc|ceil|floor)"
)


def judge_exported(file: ModelFile, *, allow: Sequence[str] = ()) -> None:
    """Refuse an exported program that could do more than compute.

    Parameters
    ----------
    file : ModelFile
        The file.
    allow : sequence of str
        Operators that you answer for, for example ``"torch.ops.my_library.scale.default"``.

    Raises
    ------
    InputError
        If its scan finds something or leaves a part that is no raw buffer, or an expression, an operator or
        a pickled weight is not on the lists.
    """
    unread = [part for part in file.scan.parts_unread if not _RAW.fullmatch(part.where)]
    require_safe(file, hint=_HINT, unread=unread)
    found: list[Finding] = []
    try:
        with zipfile.ZipFile(io.BytesIO(file.data)) as archive:
            documents = [name for name in archive.namelist() if name.endswith(".json")]
            for name in documents:
                found += _problems(name, json.loads(archive.read(name)), allow)
    except (ValueError, KeyError, OSError, RecursionError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(f"is no exported program: {error}", where=file.where, hint=_HINT) from None
    if not any("/models/" in name for name in documents):
        raise InputError("is no exported program", where=file.where, hint="write it with torch.export.save")
    if found:
        told = "; ".join(f"{item.where}: {item.detail}" for item in found[:3])
        raise InputError(f"is not loaded: {told}", where=file.where, hint=_HINT)


def _problems(name: str, document: Any, allow: Sequence[str]) -> Iterator[Finding]:  # noqa: ANN401 - JSON
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
            continue
        if not isinstance(node, dict):
            continue
        waiting += node.values()
        size, operator = node.get("expr_str"), node.get("target")
        if size is not None and not (isinstance(size, str) and _SIZES.fullmatch(size)):
            yield Finding(where=name, what="expression", detail=f"the size {size!r} is no plain expression")
        if isinstance(operator, str) and "inputs" in node and not _is_known(operator, allow):
            yield Finding(where=name, what="operator", detail=f"the operator {operator!r} is not known")
        if node.get("use_pickle"):
            yield Finding(where=name, what="pickle", detail="a weight is pickled")


def _is_known(operator: str, allow: Sequence[str]) -> bool:
    return operator in allow or _OPERATORS.fullmatch(operator) is not None
