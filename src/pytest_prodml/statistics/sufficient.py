"""One pass over the rows: labels, scores and groups in, counts out.

Everything after this works on the counts, so its cost does not grow with the number of rows, and an engine
that computes the same counts over a larger table can stand in for this module.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError

Codes: TypeAlias = npt.NDArray[np.intp]
Counts: TypeAlias = npt.NDArray[np.int64]

_SMALL_RANGE = 1 << 16


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
    array = np.asarray(values)
    if isinstance(values, np.ma.MaskedArray):
        array = array.astype(object)
        array[np.ma.getmaskarray(values)] = None
    if array.ndim != 1:
        raise InputError(f"{name} must be one value for each row, got an array of shape {array.shape}")
    if array.dtype.kind in "biu" and array.size:
        return _encode_integers(array)
    if array.dtype.kind in "fUSmM" or array.size == 0:
        return _encode_sorted(array)
    return _encode_objects(array.tolist(), name)


def _encode_integers(array: npt.NDArray[Any]) -> Coded:
    low, high = int(np.min(array)), int(np.max(array))
    if high - low >= _SMALL_RANGE:
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
    index: dict[Any, int] = {}
    codes = np.empty(len(values), dtype=np.intp)
    for row, value in enumerate(values):
        try:
            codes[row] = -1 if _is_missing(value) else index.setdefault(value, len(index))
        except TypeError:
            raise InputError(
                f"{name} holds a {type(value).__name__}, which is no label", where=f"row {row}"
            ) from None
    order = sorted(index, key=lambda value: (str(type(value)), str(value)))
    renumber = np.empty(len(index) + 1, dtype=np.intp)
    renumber[-1] = -1
    for rank, value in enumerate(order):
        renumber[index[value]] = rank
    return Coded(codes=renumber[codes], categories=tuple(order))


def _is_missing(value: object) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)  # noqa: PLR0124 - NaN and NaT differ from themselves
    except (TypeError, ValueError):  # pandas.NA has no truth value
        return True


def cross_table(columns: Sequence[Codes], sizes: Sequence[int]) -> Counts:
    """Count every combination of codes in one pass: an array of shape `sizes`.

    All marginals come from it by summation. `columns` are non-negative codes below their size, equally long.
    """
    if math.prod(sizes) == 0:
        return np.zeros(tuple(sizes), dtype=np.int64)
    fused = _fused(columns, sizes)
    return np.bincount(fused, minlength=math.prod(sizes)).reshape(tuple(sizes)).astype(np.int64)


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
    distinct, inverse = np.unique(scores, return_inverse=True)
    if weights is not None:
        sums = [
            np.bincount(inverse, weights=weights * rows, minlength=distinct.size)[::-1]
            for rows in (is_positive, ~is_positive)
        ]
        return ScoreTable(scores=distinct[::-1], positives=sums[0], negatives=sums[1])
    total = np.bincount(inverse, minlength=distinct.size).astype(np.int64)
    positives = np.bincount(inverse[is_positive], minlength=distinct.size).astype(np.int64)
    return ScoreTable(scores=distinct[::-1], positives=positives[::-1], negatives=(total - positives)[::-1])
