"""A text, a list or an array that breaks a rule -> the smallest one that still does, tried in batches.

Parts are left out (of texts and lists) or set to a plain value (of arrays), half of them at a time, then
quarters and so on: Zeller, Hildebrandt (2002), delta debugging. All parts of one size are tried in one call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.behavior.batches import Batch

Fails = Callable[[Batch], npt.NDArray[np.bool_]]
_MOST_ROUNDS = 120
#: Candidates of one call.
_MOST_TRIED = 512
_WORDS = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShrunkItem:
    """The smallest input that was found to fail, as a batch of one, and what that took."""

    item: Batch
    n_rounds: int
    n_tried: int


def shrink_item(one: Batch, fails: Fails) -> ShrunkItem:
    """Make a failing text, list or array smaller.

    Parameters
    ----------
    one : list of one item, or array of shape (1, ...)
        Fails. Anything but texts, lists and arrays of numbers is returned as it is.
    fails : callable
        Batch -> for each input whether it fails. Must say the same of the same input.

    Returns
    -------
    ShrunkItem
        A text without any word, and then any character, that it can do without; an array with as many
        elements as possible set to 0 or, where 0 does not do, to the mean.
    """
    work = _Work(fails=fails)
    if isinstance(one, np.ndarray):
        return work.told(work.array(one)[np.newaxis] if one[0].size and one.dtype.kind in "iuf" else one)
    item = one[0]
    if isinstance(item, str):
        words = work.without(_WORDS.findall(item), lambda parts: ["".join(part) for part in parts])
        letters = work.without(list("".join(words)), lambda parts: ["".join(part) for part in parts])
        return work.told(["".join(letters)])
    if isinstance(item, list):
        return work.told([work.without(item, lambda parts: [list(part) for part in parts])])
    if isinstance(item, np.ndarray) and item.size and item.dtype.kind in "iuf":
        smaller = _Work(fails=lambda batch: fails(list(batch)))
        found = smaller.array(item[np.newaxis])
        return smaller.told([found])
    return work.told(one)


@dataclass(slots=True, kw_only=True)
class _Work:
    """Counts what shrinking costs."""

    fails: Fails
    n_rounds: int = 0
    n_tried: int = 0

    def told(self, item: Batch) -> ShrunkItem:
        """Return the result with its cost."""
        return ShrunkItem(item=item, n_rounds=self.n_rounds, n_tried=self.n_tried)

    def failing(self, batch: Batch) -> npt.NDArray[np.intp]:
        """Return which of some candidates fail, in their order."""
        self.n_rounds += 1
        self.n_tried += len(batch)
        return np.flatnonzero(self.fails(batch))

    def without(self, parts: Sequence[Any], made: Callable[[list[list[Any]]], Batch]) -> list[Any]:
        """Leave out as many parts as possible; nothing is left out that is needed alone."""
        now, size = list(parts), max(len(parts) // 2, 1)
        while len(now) > 1 and self.n_rounds < _MOST_ROUNDS:
            starts = list(range(0, len(now), size))[:_MOST_TRIED]
            tried = [now[:start] + now[start + size :] for start in starts]
            kept = [place for place, candidate in enumerate(tried) if candidate]
            spare = [kept[place] for place in self.failing(made([tried[place] for place in kept]))]
            if spare:
                gone = {index for place in spare for index in range(starts[place], starts[place] + size)}
                together = [part for index, part in enumerate(now) if index not in gone]
                works = bool(together) and len(spare) > 1 and self.failing(made([together])).size
                now = together if works else tried[spare[0]]
            elif size == 1:
                break
            else:
                size = max(size // 2, 1)
            size = min(size, max(len(now) // 2, 1))
        return now

    def array(self, one: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Set as many elements as possible to 0, then as many of the rest to the mean."""
        now: npt.NDArray[Any] = one[0].copy()
        for plain in (0, one[0].dtype.type(np.mean(one[0]))):
            size = max(now.size // 2, 1)
            while self.n_rounds < _MOST_ROUNDS:
                left = np.flatnonzero((now.ravel() != plain) & (now.ravel() != 0))
                parts = [left[start : start + size] for start in range(0, left.size, size)][:_MOST_TRIED]
                tried = np.repeat(now[np.newaxis], len(parts), axis=0)
                for place, part in enumerate(parts):
                    tried[place].reshape(-1)[part] = plain
                spare = self.failing(tried) if parts else np.empty(0, dtype=np.intp)
                if spare.size:
                    together = now.copy()
                    together.reshape(-1)[np.concatenate([parts[place] for place in spare])] = plain
                    works = spare.size > 1 and self.failing(together[np.newaxis]).size
                    now = together if works else tried[int(spare[0])]
                elif size == 1 or not parts:
                    break
                else:
                    size = max(size // 2, 1)
        return now
