"""The steps of an attack: start, walk back, feel the boundary, undo. All inputs take each step at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.behavior.attack_space import Array, Points, Space
from pytest_prodml.checks.behavior.batches import Batch, take

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]
#: Starting points of each input, steps on a line, directions that are felt at a boundary, lengths of a step.
_STARTS, _LINE, _DIRECTIONS, _STEPS = 10, 10, 40, 6
_MOST_STARTS = 2_000
#: Features that are undone one by one.
_MOST_UNDONE = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attacked:
    """What was found.

    Attributes
    ----------
    points : Points
        For each input the nearest point that was decided otherwise; the input itself where none was found.
    found : array of bool, shape (n,)
        Whether one was found.
    distance : array of float, shape (n,)
        How far it is; infinite where none was found.
    asked : array of int, shape (n,)
        How many inputs the model was asked about for each.
    n_calls : int
        How often the model was called.
    """

    points: Points
    found: Mask
    distance: Array
    asked: Places
    n_calls: int


class Search:
    """The best point of each input so far, and what it took."""

    def __init__(
        self,
        *,
        flips: Callable[[Batch, Places], Mask],
        space: Space,
        rows: Batch,
        norm: str,
        max_queries: int,
        rng: np.random.Generator,
    ) -> None:
        self._flips = flips
        self._space = space
        self._rows = rows
        self._norm = norm
        self._most = max_queries
        self._rng = rng
        self._origins = space.points(rows)
        n = len(self._origins)
        self._numbers = self._origins.numbers.copy()
        self._codes = self._origins.codes.copy()
        self._best = np.full(n, np.inf)
        self.asked = np.zeros(n, dtype=np.intp)
        self._n_calls = 0
        self.rounds = 0

    def result(self) -> Attacked:
        """Return what was found."""
        return Attacked(
            points=Points(numbers=self._numbers, codes=self._codes),
            found=np.isfinite(self._best),
            distance=self._best,
            asked=self.asked,
            n_calls=self._n_calls,
        )

    def _ask(self, points: Points, places: Places) -> tuple[Points, Mask]:
        """Return the possible points, and which are decided otherwise; the nearest of them are kept."""
        possible = self._space.possible(points, self._origins.taken(places))
        if not len(places):
            return possible, np.zeros(0, dtype=np.bool_)
        batch = self._space.batch(possible, take(self._rows, places))
        is_other = self._flips(batch, places)
        self._n_calls += 1
        self.asked = self.asked + np.bincount(places, minlength=self.asked.size)
        apart = self._space.distance(possible, self._origins.taken(places), self._norm)
        nearer = is_other & (apart > 0) & (apart < self._best[places])
        # Of several for one input the nearest is written last.
        order = np.flatnonzero(nearer)
        order = order[np.argsort(-apart[order], kind="stable")]
        self._numbers[places[order]] = possible.numbers[order]
        self._codes[places[order]] = possible.codes[order]
        self._best[places[order]] = apart[order]
        return possible, is_other

    def ask(self, points: Points, places: Places) -> Mask:
        """Return which points are decided otherwise, as far as inputs are left to ask about."""
        left = np.flatnonzero(self.asked[places] + np.arange(1, len(places) + 1) <= self._most)
        answer = np.zeros(len(places), dtype=np.bool_)
        answer[left] = self._ask(points.taken(left), places[left])[1]
        return answer

    def _open(self, needed: int) -> Places:
        """Return the inputs with a point to improve that may still ask so often."""
        return np.flatnonzero(np.isfinite(self._best) & (self.asked + needed <= self._most))

    def start(self, pool: Points, others: Callable[[int], Places]) -> None:
        """Ask about the nearest real inputs that are decided otherwise, then about random ones."""
        n_starts = max(min(_STARTS, self._most // 4), 1)
        places, chosen = [], []
        for place in range(len(self._best)):
            near = others(place)
            if near.size > _MOST_STARTS:
                near = self._rng.choice(near, _MOST_STARTS, replace=False)
            if near.size == 0:
                continue
            own = self._origins.taken(np.full(near.size, place))
            apart = self._space.distance(pool.taken(near), own, self._norm)
            nearest = near[np.argsort(apart, kind="stable")[:n_starts]]
            places.append(np.full(nearest.size, place))
            chosen.append(nearest)
        if places:
            where = np.concatenate(places)
            self._ask(pool.taken(np.concatenate(chosen)), where)
        lost = np.flatnonzero(~np.isfinite(self._best))
        if lost.size and len(pool):
            # Any real input at all: what it can not take along may have been what mattered.
            where = np.repeat(lost, n_starts)
            self._ask(pool.taken(self._rng.integers(0, len(pool), where.size)), where)

    def walk_back(self) -> None:
        """Walk from each point towards its origin as far as the decision stays another."""
        places = self._open(_LINE)
        if not places.size:
            return
        far = Points(numbers=self._numbers[places].copy(), codes=self._codes[places].copy())
        low, high = np.zeros(places.size), np.ones(places.size)
        for _ in range(_LINE):
            middle = (low + high) / 2
            _, is_other = self._ask(self._between(places, far, middle), places)
            high = np.where(is_other, middle, high)
            low = np.where(is_other, low, middle)

    def _between(self, places: Places, far: Points, share: Array) -> Points:
        own = self._origins.numbers[places]
        if self._norm == "linf":
            # The nearest point within a box: what is farthest comes back first.
            radius = share * np.nanmax(np.abs(far.numbers - own), axis=1, initial=0.0)
            numbers = np.clip(far.numbers, own - radius[:, None], own + radius[:, None])
        else:
            numbers = own + share[:, None] * (far.numbers - own)
        return Points(numbers=numbers, codes=far.codes)

    def turn(self) -> None:
        """Feel which way the boundary faces at each point, and step along it away from the other side."""
        self.rounds += 1
        n_directions = min(_DIRECTIONS * (1 + self.rounds // 4), self._most)
        places = self._open(n_directions + _STEPS + _LINE)
        size = self._numbers.shape[1]
        if not places.size or size == 0:
            return
        here = Points(numbers=self._numbers[places], codes=self._codes[places])
        reach = self._best[places] * max(0.3 / self.rounds, 0.02)
        if self._norm == "linf":
            directions = self._rng.uniform(-1.0, 1.0, (places.size, n_directions, size))
        else:
            directions = self._rng.normal(size=(places.size, n_directions, size))
            directions /= np.linalg.norm(directions, axis=2, keepdims=True)
        where = np.repeat(places, n_directions)
        felt = here.numbers[:, None, :] + reach[:, None, None] * directions
        asked = Points(numbers=felt.reshape(-1, size), codes=np.repeat(here.codes, n_directions, axis=0))
        possible, is_other = self._ask(asked, where)
        # What was really asked counts: numbers were rounded and kept in their range.
        moved = np.nan_to_num(possible.numbers.reshape(felt.shape) - here.numbers[:, None, :])
        sign = is_other.reshape(places.size, n_directions).astype(np.float64)
        weight = sign - sign.mean(axis=1, keepdims=True)
        facing = (weight[:, :, None] * moved).sum(axis=1)
        if self._norm == "linf":
            facing = np.sign(facing)
        if self._norm == "l1" and self.rounds % 2 == 0:
            # Along the one feature that does the most, every other time.
            most = np.abs(facing).max(axis=1, keepdims=True)
            facing = np.where(np.abs(facing) == most, facing, 0.0)
        if self._norm != "linf":
            length = np.linalg.norm(facing, axis=1, keepdims=True)
            facing = np.divide(facing, length, out=np.zeros_like(facing), where=length > 0)
        steps = (self._best[places] / np.sqrt(self.rounds))[:, None] * 0.5 ** np.arange(_STEPS)
        numbers = here.numbers[:, None, :] + steps[:, :, None] * facing[:, None, :]
        where = np.repeat(places, _STEPS)
        stepped, is_other = self._ask(
            Points(numbers=numbers.reshape(-1, size), codes=np.repeat(here.codes, _STEPS, axis=0)), where
        )
        self._follow(places, stepped, is_other.reshape(places.size, _STEPS))

    def _follow(self, places: Places, stepped: Points, is_other: Mask) -> None:
        """Walk back from the longest step that stayed on the other side, although it is farther away."""
        has_step = is_other.any(axis=1) & (self.asked[places] + _LINE <= self._most)
        rows = np.flatnonzero(has_step)
        if not rows.size:
            return
        longest = rows * _STEPS + is_other[rows].argmax(axis=1)
        far, where = stepped.taken(longest), places[rows]
        low, high = np.zeros(rows.size), np.ones(rows.size)
        for _ in range(_LINE):
            middle = (low + high) / 2
            _, other = self._ask(self._between(where, far, middle), where)
            high = np.where(other, middle, high)
            low = np.where(other, low, middle)

    def thin_out(self) -> None:
        """Set the features that changed least back, as many at once as the decision allows."""
        size = self._numbers.shape[1]
        if size < 2 or size > _MOST_UNDONE:
            return
        places = self._open(size - 1)
        if not places.size:
            return
        here, own = self._numbers[places], self._origins.numbers[places]
        moved = np.abs(np.nan_to_num(here - own))
        # Noise in the order finds other subsets in the next round.
        noise = 1.0 if self.rounds == 0 else self._rng.uniform(0.3, 1.7, moved.shape)
        rank = np.argsort(np.argsort(moved * noise, axis=1, kind="stable"), axis=1, kind="stable")
        unchanged = (moved == 0).sum(axis=1)
        self.rounds += 1
        cuts = np.arange(1, size)
        back = rank[:, None, :] < np.maximum(cuts[None, :, None], unchanged[:, None, None])
        numbers = np.where(back, own[:, None, :], here[:, None, :])
        where = np.repeat(places, size - 1)
        codes = np.repeat(self._codes[places], size - 1, axis=0)
        self._ask(Points(numbers=numbers.reshape(len(where), size), codes=codes), where)

    def undo(self) -> None:
        """Set changed features back, each by itself and then those together that allow it."""
        size, others = self._numbers.shape[1], self._codes.shape[1]
        if size > _MOST_UNDONE:
            return
        places = self._open(size + others + 1)
        if not places.size:
            return
        here = Points(numbers=self._numbers[places].copy(), codes=self._codes[places].copy())
        own = self._origins.taken(places)
        n_features = size + others
        numbers = np.repeat(here.numbers[:, None, :], n_features, axis=1)
        codes = np.repeat(here.codes[:, None, :], n_features, axis=1)
        for feature in range(size):
            numbers[:, feature, feature] = own.numbers[:, feature]
        for feature in range(others):
            codes[:, size + feature, feature] = own.codes[:, feature]
        where = np.repeat(places, n_features)
        _, is_other = self._ask(
            Points(numbers=numbers.reshape(len(where), size), codes=codes.reshape(len(where), others)),
            where,
        )
        free = is_other.reshape(places.size, n_features)
        together = Points(
            numbers=np.where(free[:, :size], own.numbers, here.numbers),
            codes=np.where(free[:, size:], own.codes, here.codes),
        )
        self._ask(together, places)
