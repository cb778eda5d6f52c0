"""The JSON schema of the predicate, written from the records that `codec` reads: they can not disagree."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from pytest_prodml.certificate.statement import CERTIFICATE_TYPE
from pytest_prodml.codec import camel_case, fields_of
from pytest_prodml.records import Certificate, JsonValue

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"
_SIMPLE: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
#: Fields whose form the reader checks beyond their type.
_FORMS: dict[str, JsonValue] = {
    "digest": {
        "type": "object",
        "properties": {"sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
        "required": ["sha256"],
        "additionalProperties": False,
    },
    "schemaVersion": {"type": "string", "pattern": r"^1\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$"},
    "nonce": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    "serial": {"type": "integer", "minimum": 0},
}


def predicate_schema() -> dict[str, JsonValue]:
    """Return the JSON schema (draft 2020-12) of a certificate's predicate.

    It describes the form. That names hold nothing invisible, that the bytes are canonical and that the
    decision follows from the evidence is for a verifier to check.
    """
    definitions: dict[str, JsonValue] = {}
    root = _record(Certificate, definitions, without=frozenset({"subjects"}))
    return {
        "$schema": _DIALECT,
        "$id": CERTIFICATE_TYPE,
        "title": "Production-readiness certificate: the predicate of its in-toto statement",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _record(
    cls: Any,  # noqa: ANN401 - any dataclass
    definitions: dict[str, JsonValue],
    *,
    without: frozenset[str] = frozenset(),
) -> dict[str, JsonValue]:
    properties: dict[str, JsonValue] = {}
    required: list[JsonValue] = []
    for name, hint, must in fields_of(cls):
        if name in without:
            continue
        key = camel_case(name)
        properties[key] = _FORMS.get(key) or _type(hint, definitions)
        if must and type(None) not in typing.get_args(hint):
            required.append(key)
    return {
        "type": "object",
        "description": (cls.__doc__ or "").strip().partition("\n")[0],
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _type(hint: Any, definitions: dict[str, JsonValue]) -> dict[str, JsonValue]:  # noqa: ANN401
    origin = typing.get_origin(hint)
    if hint is object or hint is Any:
        return {}
    if origin in (types.UnionType, typing.Union):
        options: list[JsonValue] = [_type(item, definitions) for item in typing.get_args(hint)]
        return {"anyOf": options}
    if hint is type(None):
        return {"type": "null"}
    if origin is tuple:
        return {"type": "array", "items": _type(typing.get_args(hint)[0], definitions)}
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _type(typing.get_args(hint)[1], definitions)}
    if dataclasses.is_dataclass(hint):
        name = getattr(hint, "__name__", "")
        if name not in definitions:
            definitions[name] = {}
            definitions[name] = _record(hint, definitions)
        return {"$ref": f"#/$defs/{name}"}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [str(member.value) for member in hint]}
    if hint is datetime:
        return {"type": "string", "format": "date-time", "pattern": _TIME}
    return {"type": _SIMPLE[hint]}
