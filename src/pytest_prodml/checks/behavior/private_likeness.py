"""Training rows and other rows -> which of the others are equal, alike or near to one of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.behavior.batches import Batch, is_frame
from pytest_prodml.checks.behavior.private_rows import columns_of, content
from pytest_prodml.checks.overlap.columns import SharedColumn
from pytest_prodml.checks.overlap.copies import exact_copies, rounded_copies

Mask: TypeAlias = npt.NDArray[np.bool_]
Array: TypeAlias = npt.NDArray[np.float64]

#: Rows of each set beyond which a part, evenly spread, is compared by distance.
_MOST_ROWS = 20_000
_MOST_COLUMNS = 2_000
_MOST_LEVELS = 200
_CHUNK = 500
#: Words of a passage, and the share of a text's passages that makes it a copy.
_WORDS, _SHARE = 5, 0.5
#: Training texts that a passage may stand in before it is a saying.
_MOST_HOLDERS = 50


def same_values(members: Any, others: Any) -> Mask:  # noqa: ANN401 - frames
    """Return which other rows of a table equal a training row in all columns."""
    return exact_copies(columns_of(members, others), seed=0).test


def rounded_alike(members: Any, others: Any, seed: int) -> Mask:  # noqa: ANN401 - frames
    """Return which other rows equal a training row after rounding; see `overlap.copies.rounded_copies`."""
    return rounded_copies(columns_of(members, others), seed=seed).test


def equal_inputs(members: Batch, others: Batch) -> Mask:
    """Return which other inputs equal a training input; texts but for case and spaces."""
    known = {_plain(item) for item in members}
    return np.array([_plain(item) in known for item in others], dtype=np.bool_)


def _plain(item: object) -> bytes:
    return content(" ".join(item.casefold().split()) if isinstance(item, str) else item)


def repeated_passages(members: Sequence[str], others: Sequence[str]) -> Mask:
    """Return which other texts have half of their passages of five words from one training text.

    Texts of fewer words have no passage, and are only compared as a whole.
    """
    holders: dict[int, set[int]] = defaultdict(set)
    for place, text in enumerate(members):
        for passage in _passages(text):
            holders[passage].add(place)
    found = []
    for text in others:
        passages = _passages(text)
        # A saying that stands in many texts was copied from none of them.
        counts = Counter(
            place
            for passage in passages
            if len(own := holders.get(passage, ())) <= _MOST_HOLDERS
            for place in own
        )
        most = max(counts.values(), default=0)
        found.append(bool(passages) and most >= _SHARE * len(passages))
    return np.array(found, dtype=np.bool_)


def _passages(text: str) -> set[int]:
    words = text.casefold().split()
    return {hash(tuple(words[start : start + _WORDS])) for start in range(len(words) - _WORDS + 1)}


def nearest_distances(members: Batch, others: Sequence[Batch]) -> list[Array] | None:
    """Return the distance of each other row to the nearest training row; None for what has no numbers.

    Euclidean over columns in units of the training rows' robust spread. A category that differs, or a value
    that is missing in one of two rows, counts as one unit.
    """
    if is_frame(members):
        spaces = [_of_columns(columns_of(members, other)) for other in others]
    else:
        spaces = [_of_arrays(members, other) for other in others]
    found = []
    for space in spaces:
        if space is None:
            return None
        found.append(_nearest(*space))
    return found


def _of_arrays(members: Batch, other: Batch) -> tuple[Array, Array] | None:
    parts = (members, other)
    if not all(isinstance(part, np.ndarray) and part.dtype.kind in "iufb" for part in parts):
        return None
    known, rows = (part.reshape(len(part), -1).astype(np.float64) for part in parts)
    if not 1 <= known.shape[1] <= _MOST_COLUMNS:
        return None
    columns = [
        SharedColumn(
            name=str(place),
            values=np.concatenate([known[:, place], rows[:, place]]),
            is_number=True,
            n_reference=len(known),
        )
        for place in range(known.shape[1])
    ]
    return _of_columns(columns)


def _of_columns(columns: Sequence[SharedColumn]) -> tuple[Array, Array] | None:
    parts: list[Array] = []
    for column in columns:
        if column.is_number:
            parts += _of_numbers(column)
            continue
        _, levels = np.unique(column.values, return_inverse=True)
        n_levels = int(np.max(levels)) + 1
        if n_levels <= _MOST_LEVELS:
            # Rows of two categories differ in two places, each by the root of one half.
            parts += list(np.sqrt(0.5) * np.eye(n_levels)[levels].T)
    if not parts or len(parts) > _MOST_COLUMNS:
        return None
    matrix = np.column_stack(parts)
    n_reference = columns[0].n_reference
    return matrix[:n_reference], matrix[n_reference:]


def _of_numbers(column: SharedColumn) -> list[Array]:
    known = column.reference[np.isfinite(column.reference)]
    if known.size == 0:
        return []
    low, middle, high = np.quantile(known, (0.25, 0.5, 0.75))
    spread = float(high - low) / 1.349 or float(np.std(known)) or 1.0
    missing = np.isnan(column.values)
    values = (np.nan_to_num(column.values, nan=middle, posinf=1e6, neginf=-1e6) - middle) / spread
    values = np.clip(values, -1e6, 1e6)
    return [values, missing.astype(np.float64)] if missing.any() else [values]


def _nearest(known: Array, rows: Array) -> Array:
    """Return the distances to the nearest known row; the search by products of matrices, then exactly.

    Of more than 20,000 known rows that many are used, so that distances are too large rather than too small,
    for generated and held-out rows alike.
    """
    if len(known) > _MOST_ROWS:
        known = known[np.linspace(0, len(known) - 1, _MOST_ROWS).astype(np.intp)]
    squares = (known**2).sum(axis=1)
    found = np.empty(len(rows))
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        nearest = np.argmin(squares[np.newaxis, :] - 2 * part @ known.T, axis=1)
        found[start : start + _CHUNK] = np.sqrt(((part - known[nearest]) ** 2).sum(axis=1))
    return found
