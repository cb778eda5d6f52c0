"""One pass over the rows: labels, scores and groups in, counts out.

Everything after this works on the counts, so its cost does not grow with the number of rows, and an engine
that computes the same counts over a larger table can stand in for this module.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError

Codes: TypeAlias = npt.NDArray[np.intp]
Counts: TypeAlias = npt.NDArray[np.int64]
AnyCodes: TypeAlias = npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_]

_SMALL_RANGE = 1 << 16
#: From here on not every whole number is a number of 64 bits.
_FIRST_INEXACT = 1 << 53
#: Rows that are counted at a time, and rows from which a square of pairs is worth its 64 thousand cells.
_STRETCH, _LONG_STRETCH, _WORTH_PAIRS = 1 << 16, 1 << 20, 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """A column as codes into its sorted `categories`; -1 where the value is missing (None, NaN, NA, NaT)."""

    codes: Codes
    categories: tuple[Any, ...]


def encode(values: npt.ArrayLike, *, name: str) -> Coded:
    """Reduce a column of labels to codes.

    Parameters
    ----------
    values : array-like
        One value a row: numbers, booleans, strings, dates or objects; a frame's column of any library.
    name : str
        For the message when it is no such column.
    """
    array = as_column(values, name=name)
    if isinstance(array, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(array)
        array = np.asarray(array).astype(object)
        array[masked] = None
    if array.ndim != 1:
        raise InputError(f"{name} must be one value for each row, got an array of shape {array.shape}")
    if array.dtype.kind in "biu" and array.size:
        return _encode_integers(array)
    if array.dtype.kind in "fUSmM" or array.size == 0:
        return _encode_sorted(array)
    return _encode_objects(array.tolist(), name)


def as_column(values: npt.ArrayLike, *, name: str) -> npt.NDArray[Any]:
    """Return a column of labels as an array that loses nothing of it; a masked array stays one.

    `numpy.asarray` writes every value of a list as text where one of them is text, so that a missing value
    turns into the label "nan", and 1 and "1" into one label.

    Raises
    ------
    InputError
        If the rows differ in length.
    """
    try:
        array = np.asanyarray(values)
    except ValueError:
        raise InputError(f"{name} must be one value for each row, its rows differ in length") from None
    if array.dtype.kind in "US" and isinstance(values, (list, tuple)) and array.ndim == 1:
        kinds = {type(value) for value in values}
        if len(kinds) > 1 and not (all(issubclass(kind, str) for kind in kinds)):
            array = np.empty(len(values), dtype=object)
            array[:] = values
    return array if isinstance(array, np.ma.MaskedArray) else np.asarray(array)


def as_numbers(values: npt.ArrayLike, *, name: str) -> npt.NDArray[np.float64]:
    """Return numbers of any shape, with NaN for what is missing or masked.

    Raises
    ------
    InputError
        For text, dates, spans of time (whose units `numpy.asarray` would drop) and complex numbers, and for
        whole numbers too large to be told apart.
    """
    try:
        array = np.asanyarray(values)
        if array.dtype.kind not in "biufO" or (array.dtype.kind == "O" and _no_numbers(array)):
            raise InputError(f"{name} must be numbers")
        numbers = np.array(np.ma.getdata(array), dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be numbers") from None
    if array.dtype.kind in "iu" and array.size:
        furthest = max(abs(int(np.min(array))), abs(int(np.max(array))))
        if furthest > _FIRST_INEXACT:
            raise InputError(
                f"{name} holds {furthest:,}: whole numbers beyond {_FIRST_INEXACT:,} can not be told apart",
                hint="give differences from a fixed number, or another unit",
            )
    if isinstance(array, np.ma.MaskedArray):
        numbers[np.ma.getmaskarray(array)] = math.nan
    return numbers


def _no_numbers(array: npt.NDArray[Any]) -> bool:
    text_or_time = (str, bytes, np.datetime64, np.timedelta64)
    return any(isinstance(value, text_or_time) for value in array.ravel().tolist())


def _encode_integers(array: npt.NDArray[Any]) -> Coded:
    low, high = int(np.min(array)), int(np.max(array))
    if high - low >= _SMALL_RANGE or high > np.iinfo(np.intp).max:
        return _encode_sorted(array)
    shifted = array.astype(np.intp) - low
    present = np.flatnonzero(np.bincount(shifted))
    renumber = np.zeros(high - low + 1, dtype=np.intp)
    renumber[present] = np.arange(present.size)
    return Coded(codes=renumber[shifted], categories=tuple((present + low).astype(array.dtype).tolist()))


def _encode_sorted(array: npt.NDArray[Any]) -> Coded:
    missing = array != array  # noqa: PLR0124 - NaN and NaT differ from themselves
    if not missing.any():
        categories, codes = np.unique(array, return_inverse=True)
        return Coded(codes=codes.astype(np.intp), categories=tuple(categories.tolist()))
    categories, found = np.unique(array[~missing], return_inverse=True)
    codes = np.full(array.size, -1, dtype=np.intp)
    codes[~missing] = found
    return Coded(codes=codes, categories=tuple(categories.tolist()))


def _encode_objects(values: list[Any], name: str) -> Coded:
    # Each different object is looked at once: a million rows have few of them.
    try:
        different = list(dict.fromkeys(values))
    except TypeError:
        row, value = next((row, value) for row, value in enumerate(values) if not _has_hash(value))
        raise InputError(
            f"{name} holds a {type(value).__name__}, which is no label", where=f"row {row}"
        ) from None
    index: dict[Any, int] = {}
    code_of = {
        value: -1 if _is_missing(value) else index.setdefault(value, len(index)) for value in different
    }
    codes = np.fromiter(map(code_of.__getitem__, values), dtype=np.intp, count=len(values))
    order = sorted(index, key=lambda value: (str(type(value)), str(value)))
    renumber = np.empty(len(index) + 1, dtype=np.intp)
    renumber[-1] = -1
    for rank, value in enumerate(order):
        renumber[index[value]] = rank
    return Coded(codes=renumber[codes], categories=tuple(order))


def _has_hash(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _is_missing(value: object) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)  # noqa: PLR0124 - NaN and NaT differ from themselves
    except (TypeError, ValueError):  # pandas.NA has no truth value
        return True


def cross_table(columns: Sequence[AnyCodes], sizes: Sequence[int]) -> Counts:
    """Count every combination of codes in one pass: an array of shape `sizes`.

    All marginals come from it by summation.

    Parameters
    ----------
    columns : sequence of arrays of int or bool
        Non-negative codes below their size, equally long. Codes of one byte are read eight times as fast as
        codes of eight.
    sizes : sequence of int
    """
    cells, rows = math.prod(sizes), len(columns[0])
    if cells == 0:
        return np.zeros(tuple(sizes), dtype=np.int64)
    # With room for one more code of the first column, a code of -1 (missing) ends up beyond all cells.
    room = cells + cells // sizes[0]
    if room <= 1 << 8 and rows >= _WORTH_PAIRS:
        counts = _counted_in_pairs(columns, sizes, cells)
    else:
        # The fused codes of a stretch of rows stay in the cache, in as few bytes as they need.
        kind = np.uint16 if room <= 1 << 16 else np.intp
        counts = np.zeros(cells, dtype=np.int64)
        for fused in _stretches(columns, sizes, np.dtype(kind), max(_STRETCH, 2 * cells)):
            counts += _within(np.bincount(fused, minlength=cells), cells)
    return counts.reshape(tuple(sizes))


def _counted_in_pairs(columns: Sequence[AnyCodes], sizes: Sequence[int], cells: int) -> Counts:
    """Count two rows at once: two codes of one byte are one of two, counted in a square of both."""
    square = np.zeros(1 << 16, dtype=np.int64)
    odd = np.zeros(1 << 8, dtype=np.int64)
    for fused in _stretches(columns, sizes, np.dtype(np.uint8), _LONG_STRETCH):
        even = fused.size - fused.size % 2
        square += np.bincount(fused[:even].view(np.uint16), minlength=1 << 16)
        odd += np.bincount(fused[even:], minlength=1 << 8)
    both = square.reshape(1 << 8, 1 << 8)
    return _within(both.sum(axis=0) + both.sum(axis=1) + odd, cells)


def _within(counts: npt.NDArray[Any], cells: int) -> Counts:
    if counts[cells:].any():
        raise InputError("a code is not among those of its column")
    return np.asarray(counts[:cells], dtype=np.int64)


def _stretches(
    columns: Sequence[AnyCodes], sizes: Sequence[int], kind: np.dtype[Any], stretch: int
) -> Iterator[npt.NDArray[Any]]:
    """Yield the fused codes of so many rows at a time, always in the same memory."""
    rows = len(columns[0])
    fused, spare = (np.empty(min(stretch, rows), dtype=kind) for _ in range(2))
    for start in range(0, rows, stretch):
        length = min(stretch, rows - start)
        part, cast = fused[:length], spare[:length]
        np.copyto(part, columns[0][start : start + length], casting="unsafe")
        for codes, size in zip(columns[1:], sizes[1:], strict=True):
            np.multiply(part, size, out=part)
            np.copyto(cast, codes[start : start + length], casting="unsafe")
            np.add(part, cast, out=part)
        yield part


def weighted_cross_table(
    columns: Sequence[Codes], sizes: Sequence[int], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Sum the rows' weights for every combination of codes; otherwise as `cross_table`."""
    if math.prod(sizes) == 0:
        return np.zeros(tuple(sizes))
    fused = _fused(columns, sizes)
    return weighted_counts(fused, weights, math.prod(sizes)).reshape(tuple(sizes))


def weighted_counts(codes: Codes, weights: npt.NDArray[np.float64], size: int = 0) -> npt.NDArray[np.float64]:
    """Sum the weights of each code, for at least `size` codes.

    `numpy.bincount` with weights; some releases of numpy declare another type for what it returns.
    """
    return np.asarray(np.bincount(codes, weights=weights, minlength=size), dtype=np.float64)


def _fused(columns: Sequence[Codes], sizes: Sequence[int]) -> Codes:
    fused = np.zeros(len(columns[0]), dtype=np.intp)
    for codes, size in zip(columns, sizes, strict=True):
        fused = fused * size + codes
    return fused


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """Positives and negatives at each distinct score, from the highest score down: rows, or their weights."""

    scores: npt.NDArray[np.float64]
    positives: Counts | npt.NDArray[np.float64]
    negatives: Counts | npt.NDArray[np.float64]


def score_table(
    is_positive: npt.NDArray[np.bool_],
    scores: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64] | None = None,
) -> ScoreTable:
    """Sort the rows by score once and count the classes at each score, or sum the rows' `weights`."""
    return placed_score_table(is_positive, scores, weights)[0]


def placed_score_table(
    is_positive: npt.NDArray[np.bool_],
    scores: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64] | None = None,
) -> tuple[ScoreTable, Codes]:
    """Return the `score_table`, and the place of each row's score in it, shape (n,)."""
    distinct, inverse = np.unique(scores, return_inverse=True)
    places = (distinct.size - 1 - inverse).astype(np.intp)
    if weights is not None:
        sums = [
            np.bincount(inverse, weights=weights * rows, minlength=distinct.size)[::-1]
            for rows in (is_positive, ~is_positive)
        ]
        return ScoreTable(scores=distinct[::-1], positives=sums[0], negatives=sums[1]), places
    total = np.bincount(inverse, minlength=distinct.size).astype(np.int64)
    positives = np.bincount(inverse[is_positive], minlength=distinct.size).astype(np.int64)
    negatives = total - positives
    table = ScoreTable(scores=distinct[::-1], positives=positives[::-1], negatives=negatives[::-1])
    return table, places
