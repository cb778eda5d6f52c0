"""``dvc.lock`` and ``*.dvc`` files -> runs: each stage with the digests of what it read and wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_prodml._lazy import require
from pytest_prodml.checks.data.lineage.records import (
    LIMITS,
    Artifact,
    Run,
    maybe,
    need,
    read_bytes,
    source_of,
)
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_CODE = (".py", ".ipynb", ".r", ".R", ".sql", ".sh", ".jl", ".scala", ".java", ".cpp")
_MOST_DEPTH = 32


def read_dvc(path: Path) -> tuple[Run, ...]:
    """Read the stages of a ``dvc.lock``, or the one output of a ``.dvc`` file.

    Raises
    ------
    InputError
        If it is no YAML of plain mappings, lists and scalars, a key stands twice, or a field is of another
        form than DVC writes.
    MissingDependencyError
        If PyYAML is not installed.
    """
    data = read_bytes(path, LIMITS)
    where = str(path)
    document = _yaml(data, where)
    if path.name.endswith(".dvc"):
        outs = need(document, "outs", list, where)
        return (_run(path, data, path.name, {"outs": outs, "deps": document.get("deps")}),)
    schema = document.get("schema")
    if schema != "2.0":
        raise InputError(f"is of the schema {str(schema)[:20]!r}, known is '2.0'", where=where)
    stages = need(document, "stages", dict, where)
    if not stages:
        raise InputError("records no stage", where=where)
    return tuple(_run(path, data, str(name), stage) for name, stage in stages.items())


def _run(path: Path, data: bytes, name: str, stage: Any) -> Run:  # noqa: ANN401 - YAML
    where = f"{path}, stage {name}"
    if not isinstance(stage, dict):
        raise InputError("is no mapping", where=where)
    stated = maybe(stage, "params", dict, where) or {}
    parameters: dict[str, JsonValue] = {}
    for file, values in stated.items():
        if not isinstance(values, dict):
            raise InputError(f"the parameters of {file!r} are no mapping", where=where)
        parameters |= values
    return Run(
        name=name,
        source=source_of(path, data, "dvc"),
        made=tuple(_artifact(item, "data", where) for item in maybe(stage, "outs", list, where) or ()),
        used=tuple(_artifact(item, None, where) for item in maybe(stage, "deps", list, where) or ()),
        root=path.parent,
        parameters=parameters,
    )


def _artifact(item: Any, role: str | None, where: str) -> Artifact:  # noqa: ANN401 - YAML
    name = need(item, "path", str, where)
    digest = maybe(item, "md5", str, where)
    if digest is not None and _MD5.fullmatch(digest) is None:
        raise InputError(f"the md5 of {name!r} is {digest[:40]!r}", where=where)
    # Before DVC 3 line ends of text files were made alike first; since then the algorithm is named.
    algorithm = "md5" if maybe(item, "hash", str, where) == "md5" else "md5-legacy"
    return Artifact(
        role=role or ("code" if name.endswith(_CODE) else "data"),
        name=name,
        digests={} if digest is None else {algorithm: digest},
        size=maybe(item, "size", int, where),
        location=name,
    )


def _yaml(data: bytes, where: str) -> dict[str, Any]:
    """Parse YAML into mappings, lists and scalars: no tags, no anchors, no key twice."""
    yaml = require("yaml", extra="lineage")
    try:
        node = yaml.compose(data.decode("utf-8"), Loader=yaml.SafeLoader)
        value = _plain(node, yaml, set(), 0)
    except UnicodeDecodeError:
        raise InputError("is not UTF-8", where=where) from None
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())[:200]
        raise InputError(f"is no YAML: {told}", where=where) from None
    except RecursionError:
        raise InputError(f"is nested deeper than {_MOST_DEPTH}", where=where) from None
    except _RefusedError as error:
        raise InputError(str(error), where=where) from None
    if not isinstance(value, dict):
        raise InputError("is no mapping", where=where)
    return value


class _RefusedError(Exception):
    pass


_TAG = "tag:yaml.org,2002:"
_NUMBERS: Mapping[str, Callable[[str], JsonValue]] = {"int": int, "float": float}


def _plain(node: Any, yaml: Any, seen: set[int], depth: int) -> Any:  # noqa: ANN401 - PyYAML's types
    if node is None:
        return None
    if id(node) in seen:
        raise _RefusedError("uses an alias, which DVC does not write")
    seen.add(id(node))
    if depth > _MOST_DEPTH:
        raise _RefusedError(f"is nested deeper than {_MOST_DEPTH}")
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _RefusedError("has a key that is no text")
            if key.value in found:
                raise _RefusedError(f"the key {key.value[:60]!r} stands twice in one mapping")
            found[key.value] = _plain(value, yaml, seen, depth + 1)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, yaml, seen, depth + 1) for item in node.value]
    return _scalar(node.tag, node.value)


def _scalar(tag: str, text: str) -> JsonValue:
    kind = tag.removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in {"true", "yes", "on"}
    if kind in _NUMBERS and len(text) <= 40:
        try:
            return _NUMBERS[kind](text)
        except ValueError:
            return text
    # A digest of digits alone, a date: what is no number for us is the text that stands there.
    if kind in {"str", "timestamp", "int", "float", "merge", "value"}:
        return text
    raise _RefusedError(f"uses the tag {tag[:60]!r}")
