"""A schema in a YAML or JSON file -> a pandera schema and the digest of the bytes that it was read from.

The format is pandera's own (`DataFrameSchema.to_yaml`, ``to_json``). pandera's reader leaves out what it does
not know: a misspelled ``in_range`` is no rule at all. Here every key has to be known and of its type.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from pytest_prodml._lazy import require
from pytest_prodml.adapters.schemas import clean
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError, MissingDependencyError
from pytest_prodml.records import Subject

_MEDIA_TYPES = {".yaml": "application/yaml", ".yml": "application/yaml", ".json": "application/json"}
_MOST_BYTES = 16 * 2**20
_MOST_DEPTH = 20

_FLAGS = frozenset(("nullable", "unique", "coerce", "required", "regex", "drop_invalid_rows"))
_TEXTS = frozenset(("title", "description", "dtype", "name", "report_duplicates"))
_COLUMN = _FLAGS | _TEXTS | {"checks", "default"}
_TABLE_FLAGS = frozenset(
    ("coerce", "strict", "ordered", "unique_column_names", "add_missing_columns", "drop_invalid_rows")
)
_TABLE_TEXTS = frozenset(
    (
        "schema_type", "version", "api", "dataframe_library", "dtype", "name", "title", "description",
        "report_duplicates",
    )
)  # fmt: skip
_TABLE = _TABLE_FLAGS | _TABLE_TEXTS | {"columns", "checks", "index", "multiindex", "unique", "metadata"}
_CHECKS = frozenset(
    (
        "equal_to", "eq", "not_equal_to", "ne", "greater_than", "gt", "greater_than_or_equal_to", "ge",
        "less_than", "lt", "less_than_or_equal_to", "le", "in_range", "between", "isin", "notin",
        "str_matches", "str_startswith", "str_endswith", "str_contains", "str_length", "unique_values_eq",
    )
)  # fmt: skip
_OPTIONS = frozenset(("check_name", "ignore_na", "raise_warning", "n_failure_cases", "error", "name"))


def read_schema(path: Path) -> tuple[Any, Subject]:
    """Read a schema file that somebody has reviewed.

    Parameters
    ----------
    path : Path
        A ``.yaml``, ``.yml`` or ``.json`` file as pandera's ``to_yaml`` and ``to_json`` write it, for pandas.

    Returns
    -------
    pandera DataFrameSchema
        Of the pandas backend.
    Subject
        Name and SHA-256 of the file.

    Raises
    ------
    InputError
        If the file can not be read, holds a key, a check or a type that is not known, or says that it is a
        draft (``reviewed: false`` under ``metadata``).
    MissingDependencyError
        If PyYAML is needed and not installed.
    """
    where = str(path)
    media_type = _MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        raise InputError(
            f"the ending {path.suffix or '(none)'} is of no schema file",
            where=where,
            hint="use .yaml or .json, or give a schema",
        )
    data = _bytes(path)
    found = _json(data, where) if media_type.endswith("json") else _yaml(data, where)
    if not isinstance(found, dict):
        raise InputError("holds no mapping with the key 'columns'", where=where)
    _check_table(found, where)
    _check_review(found.get("metadata"), where)
    schema = _built(found, where)
    subject = Subject(
        name=path.name,
        digest={"sha256": sha256_hex(data)},
        media_type=media_type,
        annotations={"role": "schema", "bytes": len(data)},
    )
    return schema, subject


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise InputError(
            "the schema file does not exist", where=str(path), hint="write it, or correct its path"
        ) from None
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=str(path)) from None
    if len(data) > _MOST_BYTES:
        raise InputError(f"is larger than {_MOST_BYTES:,} bytes", where=str(path))
    return data


def _json(data: bytes, where: str) -> Any:  # noqa: ANN401 - JSON
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        for key in keys if len(set(keys)) < len(keys) else ():
            if keys.count(key) > 1:
                raise InputError(f"the key {key!r} stands twice", where=where)
        return dict(pairs)

    def constant(text: str) -> NoReturn:
        raise InputError(f"holds {text}, which is no JSON", where=where)

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=constant)
    except UnicodeDecodeError:
        raise InputError("is not UTF-8", where=where) from None
    except RecursionError:
        raise InputError("is nested too deeply", where=where) from None
    except ValueError as error:
        raise InputError(f"is no JSON: {clean(str(error))}", where=where) from None


def _yaml(data: bytes, where: str) -> Any:  # noqa: ANN401 - YAML
    try:
        yaml = require("yaml", extra="data")
    except MissingDependencyError:
        raise MissingDependencyError(
            "schema files in YAML are read by the package 'pyyaml', which is not installed",
            where=where,
            hint="pip install pyyaml, or store the schema as JSON: schema.to_json(path)",
        ) from None
    # Either reads plain data only: no tag of YAML makes it call anything.
    kind = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        loader = kind(data.decode("utf-8"))
        try:
            node = loader.get_single_node()
            _check_node(node, yaml, set(), where)
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except UnicodeDecodeError:
        raise InputError("is not UTF-8", where=where) from None
    except RecursionError:
        raise InputError("is nested too deeply", where=where) from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"is no YAML of plain data: {clean(str(error))}", where=where) from None


def _check_node(node: Any, yaml: Any, seen: set[int], where: str, depth: int = 0) -> None:  # noqa: ANN401
    """Refuse aliases, which can unfold without end, and keys of which YAML would keep the last."""
    if node is None:
        return
    if id(node) in seen:
        raise InputError("uses an alias (*)", where=where, hint="write the part out")
    if depth > _MOST_DEPTH:
        raise InputError("is nested too deeply", where=where)
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                told = clean(str(key.value), 60)
                raise InputError(
                    f"the key {told} is no text in YAML", where=where, hint=f'put it in quotes: "{told}"'
                )
            if key.value in keys:
                raise InputError(f"the key {key.value!r} stands twice", where=where)
            keys.add(key.value)
            _check_node(value, yaml, seen, where, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_node(item, yaml, seen, where, depth + 1)


def _check_table(found: Mapping[str, Any], where: str) -> None:
    _check_keys(found, _TABLE, where)
    _check_kinds(found, _TABLE_FLAGS, _TABLE_TEXTS, where)
    for key, only in (("schema_type", "dataframe"), ("api", "pandas"), ("dataframe_library", "pandas")):
        if found.get(key) not in {None, only}:
            raise InputError(
                f"{key} is {found[key]!r}, and a schema file is read as one for {only}",
                where=where,
                hint="types are compared by kind, so a schema for pandas fits a table on any engine",
            )
    columns = found.get("columns")
    if not isinstance(columns, dict) or not columns:
        raise InputError("names no column under 'columns'", where=where)
    for name, column in columns.items():
        if not isinstance(column, dict | None):
            raise InputError(f"the column {name!r} is no mapping", where=where)
        _check_component(column or {}, f"{where}, column {clean(name, 60)!r}")
    index = found.get("index")
    if index is not None and not (isinstance(index, list) and all(isinstance(part, dict) for part in index)):
        raise InputError("'index' is no list of mappings", where=where)
    for part in index or ():
        _check_component(part, f"{where}, index")
    if found.get("checks"):
        # pandera would need the code of the project for them.
        raise InputError("checks of the whole table can not be in a file", where=where, hint="use Python")
    unique = found.get("unique")
    names = unique if isinstance(unique, list) else [unique]
    if unique is not None and not all(isinstance(name, str) and name in columns for name in names):
        raise InputError("'unique' names something that is no column", where=where)


def _check_component(found: Mapping[str, Any], where: str) -> None:
    _check_keys(found, _COLUMN | _CHECKS, where)
    _check_kinds(found, _FLAGS, _TEXTS, where)
    flat = [key for key in found if key in _CHECKS]
    checks = found.get("checks")
    if checks is None:
        for name in flat:
            given = found[name]
            # A list is a list of values, and a mapping one of arguments and options.
            if isinstance(given, dict):
                _check_options({key: given[key] for key in given if key in _OPTIONS}, where)
        return
    if flat:
        raise InputError(f"names {flat[0]!r} beside 'checks'", where=where, hint="move it into 'checks'")
    listed = checks if isinstance(checks, list) else None
    if listed is None or not all(isinstance(check, dict) for check in listed):
        raise InputError("'checks' is no list of mappings", where=where)
    for check in listed:
        options = check.get("options")
        if not isinstance(options, dict):
            raise InputError("a check has no 'options' with its 'check_name'", where=where)
        _check_keys(options, _OPTIONS, where)
        if options.get("check_name") not in _CHECKS:
            raise InputError(
                f"the check {options.get('check_name')!r} is not known",
                where=where,
                hint="a file holds pandera's built-in checks; your own need a schema in Python",
            )
        _check_options(options, where)


def _check_options(options: Mapping[str, Any], where: str) -> None:
    flags = frozenset(("ignore_na", "raise_warning"))
    _check_kinds(options, flags, frozenset(("check_name", "error", "name")), where)


def _check_keys(found: Mapping[str, Any], known: frozenset[str] | set[str], where: str) -> None:
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(key, sorted(known), n=1)
            raise InputError(
                f"the key {clean(key, 60)!r} is not known",
                where=where,
                hint=f"did you mean {near[0]!r}?" if near else "pandera would leave it out without a word",
            )


def _check_kinds(found: Mapping[str, Any], flags: frozenset[str], texts: frozenset[str], where: str) -> None:
    for key, value in found.items():
        if key in flags and not isinstance(value, bool):
            raise InputError(f"{key} is {value!r}, not true or false", where=where)
        if key in texts and not isinstance(value, str | None):
            raise InputError(f"{key} is {value!r}, not a text", where=where, hint="put it in quotes")


def _check_review(metadata: Any, where: str) -> None:  # noqa: ANN401 - YAML
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise InputError("'metadata' is no mapping", where=where)
    reviewed = metadata.get("reviewed", True)
    if not isinstance(reviewed, bool):
        raise InputError(f"reviewed is {reviewed!r}, not true or false", where=where)
    if not reviewed:
        raise InputError(
            "the schema is a draft that nobody has reviewed, and a draft says only what was there",
            where=where,
            hint="read every rule, correct it, then set reviewed: true under metadata",
        )


def _built(found: Mapping[str, Any], where: str) -> Any:  # noqa: ANN401 - pandera has no types for us
    require("pandera.pandas", extra="data")
    build = require("pandera.io.pandas_io", extra="data").deserialize_schema
    # Each column by itself, so that the sentence can name it.
    for name, column in found["columns"].items():
        _build(build, {"columns": {name: column or {}}}, f"{where}, column {clean(name, 60)!r}")
    columns = {name: column or {} for name, column in found["columns"].items()}
    return _build(build, {**found, "columns": columns}, where)


def _build(build: Any, found: Mapping[str, Any], where: str) -> Any:  # noqa: ANN401
    try:
        return build(found)
    except Exception as error:  # pandera passes on whatever a type or a check raises
        raise InputError(
            f"is no schema that pandera understands: {type(error).__name__}: {clean(str(error))}", where=where
        ) from error
