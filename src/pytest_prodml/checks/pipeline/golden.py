"""Frozen inputs with the answers they once got -> Evidence that they still get them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.counts import at_most, check_count, exact, plain
from pytest_prodml.codec import canonical_json, sha256_hex
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Subject
from pytest_prodml.statistics.estimate import checked_level

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "pytest-prodml golden records 1"
_MOST_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Golden:
    """Frozen records: rows, and for each row its score (or one for each class).

    `material` names the file by the digest of its bytes.
    """

    rows: pd.DataFrame
    expected: npt.NDArray[np.float64]
    material: Subject


def golden(
    answers: npt.ArrayLike,
    records: Golden,
    *,
    gate_id: str,
    atol: float = 0.0,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that frozen inputs still get the answers that are frozen with them.

    Measures, exactly over these records, ``changed_answers``: those that differ by more than `atol`; and,
    without a limit, ``max_abs_difference``.

    Parameters
    ----------
    answers : (n,) or (n, k) array
        What is answered now.
    records : Golden
        What was answered when they were frozen.
    atol : float
        How far two answers of one record may lie apart.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If the answers have another shape.
    """
    del seed
    checked_level(confidence_level)
    check_count(atol, "atol")
    found = np.asarray(answers, dtype=np.float64)
    if found.shape != records.expected.shape:
        raise InputError(
            f"answers of shape {found.shape}, and frozen ones of shape {records.expected.shape}",
            where=records.material.name,
        )
    difference = np.abs(found - records.expected).reshape(len(found), -1).max(axis=1)
    # What is not a number differs from everything.
    changed = ~(difference <= atol)
    known = difference[np.isfinite(difference)]
    shown: list[JsonValue] = [
        {
            "record": int(place),
            "frozen": np.asarray(records.expected[place]).tolist(),
            "now": [plain(value) for value in np.atleast_1d(found[place])],
            "row": {str(name): plain(value) for name, value in records.rows.iloc[place].items()},
        }
        for place in np.flatnonzero(changed)[:_MOST_SHOWN]
    ]
    return Evidence(
        gate_id=gate_id,
        measurements=(
            exact("changed_answers", int(changed.sum()), len(changed), unit="records"),
            exact(
                "max_abs_difference",
                float(np.max(known, initial=0.0)),
                len(changed),
                method="maximum over the records",
            ),
        ),
        criteria=(at_most("changed_answers", 0),),
        materials=(records.material,),
        details={"atol": atol, "records": len(changed), "changed": shown},
    )


def read_golden(path: Path) -> Golden:
    """Read frozen records.

    The first line of the file says how many follow and the digest of what follows; each other line is
    ``{"row": {...}, "expected": ...}``.

    Raises
    ------
    InputError
        If the file is missing, or was changed by hand: its digest does not fit.
    """
    import pandas as pd

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"can not be read: {error.strerror}",
            where=str(path),
            hint="freeze records once: pytest --prodml-update-golden, and commit the file",
        ) from None
    head, _, rest = data.partition(b"\n")
    try:
        told = json.loads(head)
        lines = [json.loads(line) for line in rest.splitlines()]
        rows = pd.DataFrame([line["row"] for line in lines])
        expected = np.array([line["expected"] for line in lines], dtype=np.float64)
        is_right = told == _head(rest, len(lines))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError("holds no golden records", where=str(path)) from None
    if not is_right or not lines:
        raise InputError(
            "the frozen records are not those that were written: their digest differs",
            where=str(path),
            hint="they are frozen anew by --prodml-update-golden only, where a person looks at the change",
        )
    material = Subject(
        name=path.name,
        digest={"sha256": sha256_hex(data)},
        annotations={"role": "golden", "rows": len(lines)},
    )
    return Golden(rows=rows, expected=expected, material=material)


def write_golden(path: Path, rows: pd.DataFrame, expected: Sequence[Any] | npt.NDArray[Any]) -> None:
    """Freeze records: rows with their answers, and the digest of both.

    Raises
    ------
    InputError
        If an answer is not finite or a cell can not be frozen.
    """
    lines = []
    for (_, row), answer in zip(rows.iterrows(), np.asarray(expected, dtype=np.float64), strict=True):
        if not np.isfinite(answer).all():
            raise InputError("an answer that is not finite is not frozen", where=str(path))
        record = {
            "row": {str(name): _frozen(value) for name, value in row.items()},
            "expected": answer.tolist(),
        }
        lines.append(json.dumps(record, ensure_ascii=False, allow_nan=False))
    rest = "".join(f"{line}\n" for line in lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    other = path.with_name(f".{path.name}.new")
    other.write_bytes(canonical_json(_head(rest, len(lines))) + b"\n" + rest)
    other.replace(path)


def _head(rest: bytes, count: int) -> dict[str, JsonValue]:
    return {"format": FORMAT, "records": count, "sha256": sha256_hex(rest)}


def _frozen(value: Any) -> bool | int | float | str | None:  # noqa: ANN401 - any cell
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (bool, int, float, str)):
        return value
    raise InputError(f"a cell of type {type(value).__name__} can not be frozen", where="golden")
