"""Counterexamples that were found before: kept in a small JSON file, tried first the next time.

The file is made to be committed: a rule that was broken once is asked again on the same inputs by everybody.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_prodml.checks.behavior.batches import Batch, is_frame
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue, Subject

if TYPE_CHECKING:
    import pandas as pd

#: Of one gate; the oldest leave first.
MOST_KEPT = 50
_VERSION = 1
_LARGEST_FILE = 20_000_000
_LARGEST_ITEM = 200_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """What a file of counterexamples holds for one rule.

    `inputs` are batches of one; `n_unfit` entries do not fit today's inputs (a column has gone) and are kept.
    """

    inputs: tuple[Batch, ...] = ()
    n_unfit: int = 0
    material: Subject | None = None


def read_known(path: Path | None, rule: str, like: Batch, *, gate_id: str) -> Known:
    """Return the counterexamples of a rule.

    Parameters
    ----------
    path : Path or None
        The file; it need not exist.
    rule : str
        Which rule of the gate.
    like : batch
        Inputs of today: columns and types of what is returned.
    gate_id : str
        Names the file in the evidence.

    Raises
    ------
    InputError
        If the file can not be read or is none of ours.
    """
    if path is None:
        return Known()
    content = _content(path)
    if content is None:
        return Known()
    found, n_unfit = [], 0
    for entry in _entries(content, path):
        if entry["rule"] != rule:
            continue
        one = _decoded(entry["input"], like)
        if one is None:
            n_unfit += 1
        else:
            found.append(one)
    material = Subject(
        name=f"counterexamples of {gate_id}",
        digest={"sha256": hashlib.sha256(content).hexdigest()},
        annotations={"role": "counterexamples", "rows": len(found)},
    )
    return Known(inputs=tuple(found), n_unfit=n_unfit, material=material)


def keep(path: Path | None, rule: str, found: Sequence[Batch]) -> int:
    """Add counterexamples of a rule (batches of one) to its file; return how many are new there.

    Inputs that have no plain form (objects of a project's own) are not kept.

    Raises
    ------
    InputError
        If the file can not be written.
    """
    if path is None:
        return 0
    content = _content(path)
    entries = _entries(content, path) if content is not None else []
    known = {json.dumps(entry, sort_keys=True) for entry in entries}
    new = []
    for one in found:
        encoded = _encoded(one)
        entry = {"rule": rule, "input": encoded}
        if encoded is not None and json.dumps(entry, sort_keys=True) not in known:
            known.add(json.dumps(entry, sort_keys=True))
            new.append(entry)
    if not new:
        return 0
    text = json.dumps(
        {"version": _VERSION, "entries": [*entries, *new][-MOST_KEPT:]}, indent=1, sort_keys=True
    )
    _write(path, text + "\n")
    return len(new)


def _content(path: Path) -> bytes | None:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError(f"is larger than {_LARGEST_FILE:,} bytes", where=str(path))
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"the counterexamples can not be read: {error.strerror}", where=str(path)) from None


def _entries(content: bytes, path: Path) -> list[dict[str, Any]]:
    hint = "restore it from version control, or delete it to begin anew"
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no file of counterexamples: {error}", where=str(path), hint=hint) from None
    entries = document.get("entries") if isinstance(document, dict) else None
    if not isinstance(entries, list) or document.get("version") != _VERSION:
        raise InputError(f"is no file of counterexamples of version {_VERSION}", where=str(path), hint=hint)
    for entry in entries:
        if not (isinstance(entry, dict) and isinstance(entry.get("rule"), str) and "input" in entry):
            raise InputError("holds an entry without rule and input", where=str(path), hint=hint)
    return entries


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise InputError(
            f"the counterexamples can not be written: {error.strerror}",
            where=str(path),
            hint="name another place under [tool.prodml.behavior]: counterexamples",
        ) from None


def _encoded(one: Batch) -> JsonValue:
    if is_frame(one):
        cells: dict[str, JsonValue] = {}
        for name in one.columns:
            value = _cell(one[name])
            if value is _UNKNOWN:
                return None
            cells[str(name)] = value
        return {"cells": cells}
    item = one[0]
    if isinstance(item, str):
        return {"text": item} if len(item) <= _LARGEST_ITEM else None
    array = np.asarray(item)
    if array.dtype.hasobject or array.dtype.kind not in "biuf" or array.nbytes > _LARGEST_ITEM:
        return None
    return {
        "type": array.dtype.str,
        "shape": list(array.shape),
        "data": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii"),
    }


_UNKNOWN: Any = object()


def _cell(own: pd.Series) -> Any:  # noqa: ANN401 - a plain value, or the mark of an unknown one
    import pandas as pd

    value = own.iloc[0]
    if isinstance(value, np.generic):
        value = value.item() if value.dtype.kind not in "mM" else pd.Series([value]).iloc[0]
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (pd.Timestamp, pd.Timedelta)):
        return value.isoformat()
    return _UNKNOWN


def _decoded(document: Any, like: Batch) -> Batch | None:  # noqa: ANN401 - whatever the file holds
    if not isinstance(document, dict):
        return None
    try:
        if is_frame(like):
            return _row(document["cells"], like)
        if isinstance(document.get("text"), str):
            return [document["text"]] if isinstance(like, list) and isinstance(like[0], str) else None
        dtype = np.dtype(document["type"])
        if dtype.kind not in "biuf":
            return None
        raw = base64.b64decode(document["data"], validate=True)
        array = np.frombuffer(raw, dtype=dtype).reshape([int(size) for size in document["shape"]]).copy()
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
        return None
    if isinstance(like, np.ndarray):
        fits = array.dtype == like.dtype and array.shape == like.shape[1:]
        return array[np.newaxis] if fits else None
    return [array] if isinstance(like[0], np.ndarray) else None


def _row(cells: dict[str, Any], like: pd.DataFrame) -> pd.DataFrame | None:
    import pandas as pd

    by_name = {str(name): name for name in like.columns}
    if set(cells) != set(by_name):
        return None
    made = {}
    for told, name in by_name.items():
        dtype, value = like[name].dtype, cells[told]
        if isinstance(dtype, pd.CategoricalDtype) and value is not None and value not in dtype.categories:
            return None
        if value is None and dtype.kind in "iub" and isinstance(dtype, np.dtype):
            return None
        made[name] = pd.Series([value], dtype=dtype)
    return pd.DataFrame(made, columns=like.columns)
