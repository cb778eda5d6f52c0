"""Strict JSON and TOML in, records out, and back: one place decides what our documents may look like.

Bytes -> `parse_json` -> plain values -> `decode` -> records; records -> `encode` -> `canonical_json` ->
bytes. Parsing is strict where the standard library is generous (duplicate keys, NaN, huge numbers, byte-order
marks, depth), and `decode` gathers every problem as "what @ path" before it raises.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar

from pytest_prodml.errors import ConfigurationError, MalformedError
from pytest_prodml.records import JsonValue

T = TypeVar("T")

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_LARGEST_INTEGER = 2**53 - 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on a document, checked so that a hostile one costs bounded time and memory."""

    size_bytes: int = 16 * 2**20
    depth: int = 32
    string_characters: int = 64 * 2**10
    #: Beyond it parsers that know only doubles read another number (RFC 8785 section 3.2.2.3).
    largest_integer: int = _LARGEST_INTEGER


DEFAULT_LIMITS = Limits()
#: An envelope holds its payload as one base64 string.
ENVELOPE_LIMITS = Limits(size_bytes=32 * 2**20, depth=12, string_characters=32 * 2**20)


def parse_json(data: bytes, *, where: str = "", limits: Limits = DEFAULT_LIMITS) -> JsonValue:
    """Parse UTF-8 JSON and refuse everything on which two parsers could disagree.

    Parameters
    ----------
    data : bytes
        The document.
    where : str
        What the document is (a file name, "payload"), for the error message.
    limits : Limits
        Size, nesting depth and string length that are accepted.

    Raises
    ------
    MalformedError
        For invalid UTF-8, a byte-order mark, duplicate keys, NaN or Infinity, numbers outside the
        double range, integers beyond 2**53 - 1 (RFC 8785 section 3.2.2.3), lone surrogates, trailing
        bytes, or a document over `limits`.
    """
    where = where or "document"
    if len(data) > limits.size_bytes:
        raise MalformedError(f"has {len(data):,} bytes, more than {limits.size_bytes:,}", where=where)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"is not UTF-8 (byte {error.start})", where=where) from None
    if text.startswith("\ufeff"):
        raise MalformedError("starts with a byte-order mark", where=where)
    try:
        value: JsonValue = json.loads(
            text,
            object_pairs_hook=_unique_object,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            parse_int=functools.partial(_safe_integer, largest=limits.largest_integer),
        )
    except RecursionError:
        raise MalformedError(f"is nested deeper than {limits.depth}", where=where) from None
    except ValueError as error:
        raise MalformedError(f"is not strict JSON: {error}", where=where) from None
    _check_limits(value, limits, where)
    return value


def _unique_object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {repeated[:100]!r} stands twice in one object")
    return result


def _refuse_constant(name: str) -> JsonValue:
    raise ValueError(f"{name} is not a JSON number")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is outside the double range")
    return number


def _safe_integer(text: str, *, largest: int = _LARGEST_INTEGER) -> int | float:
    # The length is looked at first: converting thousands of digits is quadratic, and Python refuses it late.
    if len(text) <= 22:
        number = int(text)
        if abs(number) <= largest:
            return number
        # RFC 8785 writes a double below 1e21 without an exponent; only such a spelling means one number.
        if canonical_json(float(number)) == text.encode():
            return float(number)
    raise ValueError(f"the integer {text[:40]} is beyond 2^53 - 1")


def _check_limits(value: JsonValue, limits: Limits, where: str) -> None:
    level: list[JsonValue] = [value]
    depth = 0
    while level:
        below: list[JsonValue] = []
        for item in level:
            if isinstance(item, str):
                _check_string(item, limits, where)
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, dict):
                for key in item:
                    _check_string(key, limits, where)
                below.extend(item.values())
        depth += 1
        if depth > limits.depth + 1:
            raise MalformedError(f"is nested deeper than {limits.depth}", where=where)
        level = below


def _check_string(text: str, limits: Limits, where: str) -> None:
    if len(text) > limits.string_characters:
        raise MalformedError(
            f"holds a string of {len(text):,} characters, more than {limits.string_characters:,}", where=where
        )
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise MalformedError("holds a lone surrogate", where=where) from None


def canonical_json(value: JsonValue) -> bytes:
    """Serialize to the one byte string that RFC 8785 (JSON Canonicalization Scheme) allows for `value`.

    Raises
    ------
    MalformedError
        For NaN, Infinity, integers beyond 2**53 - 1 and anything that is not JSON.
    """
    import rfc8785

    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError, UnicodeEncodeError) as error:
        raise MalformedError(f"can not be written as canonical JSON: {error}") from None


def parse_toml(data: bytes, *, where: str) -> dict[str, Any]:
    """Parse TOML, with the file named in the error.

    Raises
    ------
    ConfigurationError
        If `data` is not valid UTF-8 TOML.
    """
    import tomllib

    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: a date such as 2026-02-30T00:00:00Z raises a plain ValueError.
        raise ConfigurationError(f"is not valid TOML: {error}", where=where) from None


@functools.cache
def camel_case(name: str) -> str:
    """Turn a field name into its name in our JSON documents: ``gate_id`` -> ``gateId``."""
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def snake_case(name: str) -> str:
    """Return a field name as it is: the naming of TOML files."""
    return name


def encode(record: Any) -> dict[str, JsonValue]:  # noqa: ANN401 - any dataclass
    """Turn a record into a JSON value: camelCase keys, fields that are None left out.

    Raises
    ------
    MalformedError
        If a field holds what JSON can not carry (NaN, an array, an object); the path is named.
    """
    problems: list[str] = []
    result = _encode(record, "$", problems)
    if problems:
        raise MalformedError(f"{type(record).__name__} can not be written as JSON", problems)
    return typing.cast("dict[str, JsonValue]", result)


def _encode(value: Any, path: str, problems: list[str]) -> JsonValue:  # noqa: ANN401
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        if abs(value) > _LARGEST_INTEGER:
            problems.append(f"the integer {value} is beyond 2^53 - 1 @ {path}")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            problems.append(f"{value} is not a finite number @ {path}")
        return float(value)
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Mapping):
        result: dict[str, JsonValue] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                problems.append(f"the key {key!r} is not text @ {path}")
            result[str(key)] = _encode(item, f"{path}.{key}", problems)
        return result
    if isinstance(value, (list, tuple)):
        return [_encode(item, f"{path}[{index}]", problems) for index, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        encoded = {}
        for name, _, _ in fields_of(type(value)):
            item = getattr(value, name)
            if item is not None:
                encoded[camel_case(name)] = _encode(item, f"{path}.{camel_case(name)}", problems)
        return encoded
    problems.append(f"a {type(value).__module__}.{type(value).__qualname__} is not JSON @ {path}")
    return None


def decode(
    cls: type[T], value: JsonValue, *, where: str = "", naming: Callable[[str], str] = camel_case
) -> T:
    """Build a record from a parsed document, strictly.

    Parameters
    ----------
    cls : type
        A dataclass whose annotations are the schema.
    value : JsonValue
        What `parse_json` or `parse_toml` returned.
    where : str
        What the document is, for the error message.
    naming : callable
        From field name to document key: `camel_case` (JSON) or `snake_case` (TOML).

    Raises
    ------
    MalformedError
        With every problem: missing and unknown fields (with the nearest known name), wrong types,
        values outside an enumeration.
    """
    problems: list[str] = []
    result = _decode(cls, value, "$", problems, naming)
    if problems:
        raise MalformedError(f"is not a valid {cls.__name__}", problems, where=where or None)
    return typing.cast("T", result)


_INVALID: Any = object()


def _decode(  # noqa: C901 - one branch a type form
    hint: Any,  # noqa: ANN401
    value: Any,  # noqa: ANN401
    path: str,
    problems: list[str],
    naming: Callable[[str], str],
) -> Any:  # noqa: ANN401
    if hint is object or hint is Any:
        return value
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        if value is None and len(options) < len(typing.get_args(hint)):
            return None
        if len(options) == 1:
            return _decode(options[0], value, path, problems, naming)
        for option in options:
            attempt: list[str] = []
            result = _decode(option, value, path, attempt, naming)
            if not attempt:
                return result
        return _wrong(" or ".join(_name_of(option) for option in options), value, path, problems)
    if origin is tuple:
        if not isinstance(value, list):
            return _wrong("a list", value, path, problems)
        item_hint = typing.get_args(hint)[0]
        return tuple(
            _decode(item_hint, item, f"{path}[{index}]", problems, naming) for index, item in enumerate(value)
        )
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            return _wrong("an object", value, path, problems)
        item_hint = typing.get_args(hint)[1]
        return {
            key: _decode(item_hint, item, f"{path}.{key}", problems, naming) for key, item in value.items()
        }
    if dataclasses.is_dataclass(hint):
        return _decode_record(hint, value, path, problems, naming)
    if isinstance(hint, type) and issubclass(hint, Enum):
        known = [member.value for member in hint]
        if not isinstance(value, str) or value not in known:
            return _wrong("one of " + ", ".join(map(str, known)), value, path, problems)
        return hint(value)
    if hint is datetime:
        parsed = parse_time(value) if isinstance(value, str) else None
        return parsed or _wrong("a UTC time such as 2026-11-22T09:30:00Z", value, path, problems)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else _wrong("a finite number", value, path, problems)
    if hint in (str, int, bool) and type(value) is hint:
        return value
    return _wrong(_name_of(hint), value, path, problems)


def _decode_record(
    cls: Any,  # noqa: ANN401
    value: Any,  # noqa: ANN401
    path: str,
    problems: list[str],
    naming: Callable[[str], str],
) -> Any:  # noqa: ANN401
    if not isinstance(value, dict):
        return _wrong("an object", value, path, problems)
    before = len(problems)
    fields = {naming(name): (name, hint, required) for name, hint, required in fields_of(cls)}
    for key in value:
        if key not in fields:
            import difflib  # a verifier that finds nothing wrong need not wait for it

            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"unknown field {str(key)[:100]!r}{hint} @ {path}")
    arguments = {}
    for key, (name, hint, required) in fields.items():
        if key in value:
            arguments[name] = _decode(hint, value[key], f"{path}.{key}", problems, naming)
        elif required and _admits_none(hint):
            arguments[name] = None  # `encode` leaves None out
        elif required:
            problems.append(f"missing field {key!r} @ {path}")
    return cls(**arguments) if len(problems) == before else _INVALID


@functools.cache
def fields_of(cls: Any) -> tuple[tuple[str, Any, bool], ...]:  # noqa: ANN401
    """Return name, type and "must be given" of every field of a record: the schema that `decode` follows."""
    hints = typing.get_type_hints(cls)
    return tuple(
        (
            item.name,
            hints[item.name],
            item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING,
        )
        for item in dataclasses.fields(cls)
    )


def _admits_none(hint: Any) -> bool:  # noqa: ANN401
    return type(None) in typing.get_args(hint)


def _wrong(expected: str, value: object, path: str, problems: list[str]) -> Any:  # noqa: ANN401
    found = repr(value)
    problems.append(f"expected {expected}, got {found if len(found) <= 80 else found[:77] + '...'} @ {path}")
    return _INVALID


_NAMES = {str: "text", int: "an integer", float: "a number", bool: "true or false"}


def _name_of(hint: Any) -> str:  # noqa: ANN401
    return _NAMES.get(hint) or str(getattr(hint, "__name__", hint))


def dumps(record: Any) -> str:  # noqa: ANN401
    """Serialize a record to JSON text on one line: what crosses the xdist boundary and fills the run log."""
    return json.dumps(encode(record), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def loads(cls: type[T], text: str, *, where: str = "") -> T:
    """Read what `dumps` wrote.

    Raises
    ------
    MalformedError
        If the text is not strict JSON or not a `cls`.
    """
    return decode(cls, parse_json(text.encode("utf-8", "surrogatepass"), where=where), where=where)


def format_time(moment: datetime) -> str:
    """Write an aware time as RFC 3339 UTC with whole seconds (fractions are cut off)."""
    return moment.astimezone(UTC).strftime(_TIME_FORMAT)


def parse_time(text: str) -> datetime | None:
    """Read a time written by `format_time`; None for every other form, offsets and fractions included."""
    try:
        moment = datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
    # strptime also takes one-digit fields and spaces; the form has exactly one spelling.
    return moment if format_time(moment) == text else None


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` as lowercase hex."""
    return hashlib.sha256(data).hexdigest()


def digest_of(record: Any) -> str:  # noqa: ANN401
    """Return the SHA-256 of a record's canonical JSON as lowercase hex."""
    return sha256_hex(canonical_json(encode(record)))
