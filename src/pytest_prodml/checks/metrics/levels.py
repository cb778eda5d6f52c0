"""A column of any kind -> at most a few levels with names: what slices are made of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.labels import nearest, same_length
from pytest_prodml.checks.membership import MISSING, group_name
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.sufficient import Codes, encode

#: A number of quantile bins, or the inner edges of bins.
Bins: TypeAlias = int | Sequence[float]

#: More levels than this are cut: numbers into quantile bins, labels into the most frequent and the others.
MOST_LEVELS = 8
#: What the labels beyond the most frequent ones are called together.
OTHER = "(other)"
_SEARCH_BINS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The level of each row: `codes` into `names`; `edges` of a column of numbers that was cut into bins."""

    attribute: str
    names: tuple[str, ...]
    codes: Codes
    edges: tuple[float, ...] = ()

    def label(self, level: int) -> str:
        """Return how a level is called in evidence, such as ``sex=female`` or ``age=[25, 35)``."""
        return f"{self.attribute}={self.names[level]}"


def levels_of(
    columns: Mapping[str, npt.ArrayLike], n_rows: int, *, bins: Mapping[str, Bins] | None, cut: bool
) -> tuple[Levels, ...]:
    """Reduce columns to levels.

    Parameters
    ----------
    columns : mapping of str to array-like, shape (n_rows,)
        Rows without a value form the level "(missing)".
    n_rows : int
        Rows that every column must have.
    bins : mapping of str to int or sequence of float, optional
        For columns of numbers: how many quantile bins (2 to 8), or the edges between bins; an edge belongs
        to the bin above it.
    cut : bool
        What becomes of a column with more than eight values and no entry in `bins`: quantile bins, or for
        labels the most frequent and "(other)". Without it, numbers are an error, and labels stay.

    Raises
    ------
    InputError
        For columns of another length, bins of a column that is not there or holds no numbers, edges that do
        not rise, and numbers that would have to be cut but must not.
    """
    asked = {} if bins is None else dict(bins)
    for name in asked:
        if name not in columns:
            raise InputError(
                f"there is no column {name!r} to put into bins", hint=nearest(name, list(columns))
            )
    found = []
    for name, values in columns.items():
        column = _levels(values, str(name), asked.get(name), cut=cut)
        same_length(y_true=n_rows, **{str(name): column.codes.size})
        found.append(column)
    return tuple(found)


def _levels(values: npt.ArrayLike, name: str, bins: Bins | None, *, cut: bool) -> Levels:
    numbers = _numbers(values)
    if bins is not None:
        if numbers is None:
            raise InputError("has bins but holds no numbers", where=name)
        return _binned(numbers, name, _edges(numbers, name, bins))
    coded = encode(values, name=name)
    if len(coded.categories) <= MOST_LEVELS or (numbers is None and not cut):
        return _named(name, coded.codes, coded.categories)
    if numbers is None:
        return _most_frequent(name, coded.codes, coded.categories)
    if not cut:
        raise InputError(
            f"has {len(coded.categories):,} different numbers: no slices, unless they are put into bins",
            where=name,
            hint=f'bins={{"{name}": 4}} for quarters, bins={{"{name}": [25, 40, 60]}} for edges of your own',
        )
    return _binned(numbers, name, _edges(numbers, name, _SEARCH_BINS))


def _numbers(values: npt.ArrayLike) -> npt.NDArray[np.float64] | None:
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or array.ndim != 1:
        return None
    numbers = array.astype(np.float64)
    return np.where(np.ma.getmaskarray(values), np.nan, numbers) if np.ma.isMaskedArray(values) else numbers


def _edges(numbers: npt.NDArray[np.float64], name: str, bins: Bins) -> tuple[float, ...]:
    if isinstance(bins, int):
        if not 2 <= bins <= MOST_LEVELS:
            raise InputError(f"2 to {MOST_LEVELS} quantile bins, got {bins}", where=name)
        present = numbers[~np.isnan(numbers)]
        if not present.size:
            return ()
        inner = np.quantile(present, np.arange(1, bins) / bins, method="closest_observation")
        lowest = float(np.min(present))
        return tuple(sorted({float(edge) for edge in inner if edge > lowest and math.isfinite(edge)}))
    edges = tuple(float(edge) for edge in bins)
    if not all(map(math.isfinite, edges)) or any(b <= a for a, b in pairwise(edges)):
        raise InputError(f"edges of bins are finite numbers that rise, got {list(edges)}", where=name)
    return edges


def _binned(numbers: npt.NDArray[np.float64], name: str, edges: tuple[float, ...]) -> Levels:
    missing = np.isnan(numbers)
    codes = np.searchsorted(np.array(edges), numbers, side="right").astype(np.intp)
    ends = ["-inf", *(f"{edge:g}" for edge in edges), "inf"]
    if len(set(ends)) < len(ends):
        ends = ["-inf", *map(repr, edges), "inf"]
    names = [f"{'(' if i == 0 else '['}{a}, {b})" for i, (a, b) in enumerate(pairwise(ends))]
    if missing.any():
        codes[missing] = len(names)
        names.append(MISSING)
    return Levels(attribute=name, names=tuple(names), codes=codes, edges=edges)


def _named(name: str, codes: Codes, categories: Sequence[Any]) -> Levels:
    names = [group_name(value) for value in categories]
    if (codes < 0).any():
        codes = np.where(codes < 0, len(names), codes)
        names.append(MISSING)
    twice = [written for written, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(
            f"two groups of {name} are both written {twice[0]!r}", hint="make their labels one type"
        )
    return Levels(attribute=name, names=tuple(names), codes=codes)


def _most_frequent(name: str, codes: Codes, categories: Sequence[Any]) -> Levels:
    counts = np.bincount(codes[codes >= 0], minlength=len(categories))
    kept = np.sort(np.argsort(-counts, kind="stable")[: MOST_LEVELS - 1])
    renumber = np.full(len(categories) + 1, kept.size, dtype=np.intp)
    renumber[kept] = np.arange(kept.size)
    renumber[-1] = -1
    return _named(name, renumber[codes], [*(categories[place] for place in kept), OTHER])
