"""A model before it was saved, and after a fresh process has loaded it -> Evidence that it is the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.counts import at_most, check_count, exact
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue
from pytest_prodml.statistics.estimate import checked_level


def round_trip(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    *,
    gate_id: str,
    atol: float = 0.0,
    details: Mapping[str, JsonValue] | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that saving and loading a model leaves its answers as they were.

    Measures, exactly over these rows, ``changed_answers``: rows whose answers differ by more than `atol`; and
    ``max_abs_difference``.

    Parameters
    ----------
    before, after : (n,) or (n, k) array
        Scores of the model in memory, and of the one that a fresh process has loaded.
    atol : float
        How far two answers may lie apart; 0: bit by bit.
    details : mapping, optional
        More for the record.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If shapes differ, there is no row, or a score is not finite.
    """
    del seed
    checked_level(confidence_level)
    check_count(atol, "atol")
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != second.shape or first.size == 0:
        raise InputError(
            f"scores of shape {first.shape} before and {second.shape} after can not be compared",
            where=gate_id,
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError("a score is not finite", where=gate_id)
    difference = np.abs(first - second).reshape(len(first), -1).max(axis=1)
    return Evidence(
        gate_id=gate_id,
        measurements=(
            exact("changed_answers", int((difference > atol).sum()), len(first), unit="rows"),
            exact("max_abs_difference", float(difference.max()), len(first), method="maximum over the rows"),
        ),
        criteria=(at_most("changed_answers", 0),),
        details={"atol": atol, **(details or {})},
    )
