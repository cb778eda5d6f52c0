"""A row that breaks a rule -> an ordinary row that breaks it too, changed in the fewest columns.

The result differs from a typical row, or from a real row nearby, in as few columns as possible, and there by
the roundest values. Every step tries hundreds of candidates in one call of the model.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.behavior.batches import Batch
from pytest_prodml.checks.behavior.profile import ColumnProfile, Profile
from pytest_prodml.checks.behavior.round_values import between, rounder
from pytest_prodml.checks.counts import plain
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue

if TYPE_CHECKING:
    import pandas as pd

Fails = Callable[[Batch], npt.NDArray[np.bool_]]
#: Candidates of one call: all subsets of 12 columns.
_MOST_TRIED = 4096
#: Real rows among which near ones are looked for, and how many of them are tried.
_LOOKED_AT, _NEAR_ROWS = 5_000, 8
_GRID = 32
#: So many columns that differ from the typical row are still easy to read.
_FEW = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shrunk:
    """The smallest counterexample that was found.

    Attributes
    ----------
    row : frame of one row
        Breaks the rule.
    changed : tuple of str
        The columns in which it differs from `base`.
    base : frame of one row
        The typical row, or a real one near the row that was given.
    boundary : mapping
        By numeric column of `changed`: the value nearest to that of `base` at which the rule is still broken,
        everything else as in `row`.
    n_rounds, n_rows_tried : int
        How often `fails` was called, and with how many rows.
    """

    row: pd.DataFrame
    changed: tuple[Any, ...]
    base: pd.DataFrame
    boundary: Mapping[str, JsonValue]
    n_rounds: int
    n_rows_tried: int


def shrink(row: pd.DataFrame, fails: Fails, profile: Profile, *, seed: int = 0) -> Shrunk:
    """Make a counterexample easy to read.

    Parameters
    ----------
    row : frame of one row
        Breaks the rule.
    fails : callable
        Says for each row of a batch whether the rule is broken there; the same of the same row.
    profile : Profile
        What rows look like: the typical row, real rows, the most frequent values.
    seed : int
        Draws the real rows among which near ones are looked for, where there are more than 5,000.

    Returns
    -------
    Shrunk
        Of up to 12 differing columns the fewest possible, by trying all subsets; of more, none that could be
        left out alone. If the row does not fail when it is asked alone, it is returned as it is.
    """
    work = _Work(fails=fails, profile=profile)
    if not work.fail(row)[0]:
        return work.told(row, row, {})
    typical = profile.typical[list(row.columns)]
    base, smallest = work.fewest(typical, row)
    if len(_differing(base, smallest)) > _FEW:
        # Far from the typical row: a real row nearby may need less.
        best = len(_differing(base, smallest))
        close = [real for real in _near(row, profile, seed) if len(_differing(real, row)) < best]
        near = [work.fewest(real, row) for real in close]
        base, smallest = min([(base, smallest), *near], key=lambda item: len(_differing(*item)))
    for _ in range(2):
        before = smallest
        for name in _differing(base, smallest):
            smallest = work.simplest(base, smallest, name)
        if smallest.equals(before):
            break
    boundary: dict[str, JsonValue] = {}
    for name in _differing(base, smallest):
        if profile.columns[name].kind in {"integer", "float"}:
            edge = work.edge(base, smallest, name)
            if edge is not None:
                boundary[str(name)] = plain(edge)
    return work.told(base, smallest, boundary)


def _near(row: pd.DataFrame, profile: Profile, seed: int) -> list[pd.DataFrame]:
    """Return the real rows that share the most cells with the row."""
    observed = profile.observed
    if observed is None:
        return []
    rows = observed
    if len(rows) > _LOOKED_AT:
        places = np.sort(np.random.default_rng(seed).choice(len(rows), _LOOKED_AT, replace=False))
        rows = rows.iloc[places]
    shared = np.zeros(len(rows))
    for name in row.columns:
        value = row[name].iloc[0]
        own = rows[name]
        same = own.isna() if _is_missing(value) else own == value
        shared += same.to_numpy(dtype=bool, na_value=False)
    nearest = np.argsort(-shared, kind="stable")[:_NEAR_ROWS]
    return [rows.iloc[[int(place)]].reset_index(drop=True) for place in nearest]


def _differing(base: pd.DataFrame, row: pd.DataFrame) -> list[Any]:
    return [name for name in row.columns if not _same(base[name].iloc[0], row[name].iloc[0])]


def _same(first: Any, second: Any) -> bool:  # noqa: ANN401 - any cells
    if _is_missing(first) or _is_missing(second):
        return _is_missing(first) and _is_missing(second)
    return bool(first == second)


def _is_missing(value: Any) -> bool:  # noqa: ANN401 - any cell
    import pandas as pd

    return value is None or value is pd.NA or value != value  # noqa: PLR0124 - true for NaN and NaT alone


@dataclass(slots=True, kw_only=True)
class _Work:
    """Asks, and counts what that costs."""

    fails: Fails
    profile: Profile
    n_rounds: int = 0
    n_rows_tried: int = 0
    _known: dict[Any, Any] = field(default_factory=dict)

    def told(self, base: pd.DataFrame, row: pd.DataFrame, boundary: Mapping[str, JsonValue]) -> Shrunk:
        """Return the result with its cost."""
        return Shrunk(
            row=row,
            changed=tuple(_differing(base, row)),
            base=base,
            boundary=boundary,
            n_rounds=self.n_rounds,
            n_rows_tried=self.n_rows_tried,
        )

    def fail(self, rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Return which rows fail."""
        self.n_rounds += 1
        self.n_rows_tried += len(rows)
        return np.asarray(self.fails(rows), dtype=np.bool_)

    def fewest(self, base: pd.DataFrame, row: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the base and a row that fails and differs from it in the fewest columns."""
        names = _differing(base, row)
        subsets = _subsets(len(names))
        found = self._first_failing(base, row, names, subsets)
        if found is not None:
            return base, found
        # Too many columns to try all of them: leave out one after the other, then all subsets of the rest.
        chosen = list(names)
        while len(chosen) > 1:
            rows = _mixed(base, row, chosen, ~np.eye(len(chosen), dtype=np.bool_))
            spare = np.flatnonzero(self.fail(rows))
            if not spare.size:
                break
            # What can be left out alone can often be left out together.
            together = np.ones((1, len(chosen)), dtype=np.bool_)
            together[0, spare] = False
            if not self.fail(_mixed(base, row, chosen, together))[0]:
                spare = spare[:1]
            chosen = [name for place, name in enumerate(chosen) if place not in set(spare.tolist())]
        smaller = _only(base, row, chosen)
        again = self._first_failing(base, smaller, chosen, _subsets(len(chosen)))
        return base, smaller if again is None else again

    def _first_failing(
        self, base: pd.DataFrame, row: pd.DataFrame, names: Sequence[Any], masks: npt.NDArray[np.bool_]
    ) -> pd.DataFrame | None:
        # Size by size: one that needs few columns is found among few candidates.
        sizes = masks.sum(axis=1)
        for size in np.unique(np.maximum(sizes, 1)):
            chosen = masks[np.maximum(sizes, 1) == size]
            rows = _mixed(base, row, names, chosen)
            works = np.flatnonzero(self.fail(rows))
            if works.size:
                return rows.iloc[[int(works[0])]].reset_index(drop=True)
        return None

    def simplest(self, base: pd.DataFrame, row: pd.DataFrame, name: Any) -> pd.DataFrame:  # noqa: ANN401 - a label
        """Return the row with the roundest value in a column with which it still fails."""
        known = self.profile.columns[name]
        value, normal = row[name].iloc[0], base[name].iloc[0]
        if _is_missing(value):
            return row
        candidates = self._candidates(known, value, normal)
        if not len(candidates):
            return row
        trial = _with(row, name, candidates, known)
        works = np.flatnonzero(self.fail(trial))
        return row if not works.size else trial.iloc[[int(works[0])]].reset_index(drop=True)

    def _candidates(self, known: ColumnProfile, value: Any, normal: Any) -> list[Any]:  # noqa: ANN401
        """Return values simpler than the one at hand, the simplest first."""
        if known.kind == "choice":
            values = list(known.choices)
            place = next((index for index, item in enumerate(values) if _same(item, value)), len(values))
            return [item for item in values[:place] if not _same(item, normal)]
        if known.kind == "time":
            return []
        if not math.isfinite(float(value)):
            return []
        start = 0.0 if _is_missing(normal) else float(normal)
        found = rounder(float(value), start, is_whole=known.kind == "integer")
        return [item for item in found if _fits(item, known)]

    def edge(self, base: pd.DataFrame, row: pd.DataFrame, name: Any) -> float | None:  # noqa: ANN401 - a label
        """Return the value nearest to the base's at which the row still fails; None if it is no number."""
        known = self.profile.columns[name]
        value, normal = row[name].iloc[0], base[name].iloc[0]
        if _is_missing(value) or _is_missing(normal):
            return None
        near, far = float(normal), float(value)
        if not (math.isfinite(near) and math.isfinite(far)):
            return None
        # On the way from a value that keeps the rule to one that breaks it; the first that breaks it is kept.
        for _ in range(4):
            points = between(near, far, _GRID, is_whole=known.kind == "integer")
            if not points:
                break
            works = np.flatnonzero(self.fail(_with(row, name, points, known)))
            if works.size:
                far = points[int(works[0])]
                near = points[int(works[0]) - 1] if works[0] else near
            else:
                near = points[-1]
        return far


def _subsets(n: int) -> npt.NDArray[np.bool_]:
    """Return the subsets of n columns, the smallest first; all of them, or as many as fit in one call."""
    masks: list[npt.NDArray[np.bool_]] = []
    total = 0
    for size in range(n + 1):
        count = math.comb(n, size)
        if total + count > _MOST_TRIED:
            break
        total += count
        part = np.zeros((count, n), dtype=np.bool_)
        for place, chosen in enumerate(itertools.combinations(range(n), size)):
            part[place, list(chosen)] = True
        masks.append(part)
    return np.concatenate(masks)


def _mixed(
    base: pd.DataFrame,
    row: pd.DataFrame,
    names: Sequence[Any],
    masks: npt.NDArray[np.bool_],
) -> pd.DataFrame:
    """Return the base with, in each of its copies, some columns of the row."""
    import pandas as pd

    places = {name: place for place, name in enumerate(names)}
    n = len(masks)
    cells = {}
    for name in row.columns:
        if name in places:
            both = pd.concat([base[name], row[name]], ignore_index=True)
            chosen = masks[:, places[name]].astype(np.intp)
            cells[name] = pd.Series(both.array.take(chosen), dtype=row[name].dtype)
        else:
            cells[name] = pd.Series(base[name].array.take(np.zeros(n, dtype=np.intp)), dtype=row[name].dtype)
    return pd.DataFrame(cells, columns=row.columns)


def _only(base: pd.DataFrame, row: pd.DataFrame, names: Sequence[Any]) -> pd.DataFrame:
    return _mixed(base, row, names, np.ones((1, len(names)), dtype=np.bool_))


def _with(
    row: pd.DataFrame,
    name: Any,  # noqa: ANN401 - a label
    values: Sequence[Any],
    known: ColumnProfile,
) -> pd.DataFrame:
    """Return copies of the row with each of the values in a column."""
    import pandas as pd

    copies = row.iloc[np.zeros(len(values), dtype=np.intp)].reset_index(drop=True)
    try:
        made = pd.Series(list(values), dtype=known.dtype)
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"a simpler value does not fit the column's type {known.dtype}", where=str(name)
        ) from None
    copies[name] = made
    return copies


def _fits(value: float, known: ColumnProfile) -> bool:
    """Say whether a number is possible: within the schema's limits, or those of what occurs and the row."""
    low = known.low if known.low_limit is None else known.low_limit
    high = known.high if known.high_limit is None else known.high_limit
    return bool(low <= value <= high)
