"""A decision, asked about many inputs at once -> for each of them a near input that is decided otherwise.

A search on decisions alone, all inputs in parallel: it starts from the nearest inputs that are decided
otherwise, walks the line back to where the decision turns, feels there which way the boundary faces, steps
along it and walks back again. After Brendel et al. (2018, boundary attack) and Chen et al. (2020,
HopSkipJump); starting from real inputs and undoing changes column by column fit tables, where most boundaries
are steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pytest_prodml.checks.behavior.attack_search import Attacked, Mask, Places, Search
from pytest_prodml.checks.behavior.attack_space import Array, Points, Space
from pytest_prodml.checks.behavior.batches import Batch
from pytest_prodml.errors import InputError


def attack(
    flips: Callable[[Batch, Places], Mask],
    space: Space,
    rows: Batch,
    *,
    pool: Points,
    others: Callable[[int], Places],
    norm: str,
    max_queries: int,
    rng: np.random.Generator,
) -> Attacked:
    """Look for near inputs that are decided otherwise.

    Parameters
    ----------
    flips : callable
        (batch, places) -> which inputs are decided unlike the original at their place.
    space : Space
        What may change.
    rows : batch of n inputs
        The originals.
    pool : Points
        Real inputs to start from.
    others : callable
        Place of an original -> places in `pool` that are decided unlike it.
    norm : str
        "l2", "linf", "l1" or "l0".
    max_queries : int
        How many inputs the model may be asked about for each original.
    rng : Generator
        Directions and starting points.
    """
    search = Search(flips=flips, space=space, rows=rows, norm=norm, max_queries=max_queries, rng=rng)
    search.start(pool, others)
    if norm == "l0":
        search.thin_out()
    search.undo()
    search.walk_back()
    while True:
        used = search.asked
        if norm == "l0":
            # How far a feature moves costs nothing: only features that need not move are looked for.
            search.thin_out()
            search.undo()
        else:
            search.turn()
            search.walk_back()
            if search.rounds % 3 == 0:
                search.undo()
        if np.array_equal(used, search.asked):
            break
    search.undo()
    return search.result()


def attack_with_art(
    flips: Callable[[Batch, Places], Mask],
    space: Space,
    rows: Batch,
    *,
    pool: Points,
    others: Callable[[int], Places],
    norm: str,
    max_queries: int,
    rng: np.random.Generator,
) -> Attacked:
    """Let HopSkipJump of ART look, as `attack` does; every point that it asks about counts.

    Raises
    ------
    InputError
        For a norm that it has not, and where nothing but numbers could change.
    MissingDependencyError
        Without ART.
    """
    from pytest_prodml.adapters.art_engine import hop_skip_jump

    if norm not in {"l2", "linf"} or space.others:
        raise InputError(
            "HopSkipJump of ART knows the norms l2 and linf, and numbers only",
            where="adversarial",
            hint='name numbers as features=[...], or use engine="prodml"',
        )
    search = Search(flips=flips, space=space, rows=rows, norm=norm, max_queries=max_queries, rng=rng)
    origins = space.points(rows)
    for place in range(len(origins)):
        near = others(place)
        if near.size == 0:
            continue
        own = origins.taken(np.full(near.size, place))
        start = near[int(np.argmin(space.distance(pool.taken(near), own, norm)))]

        def turned(numbers: Array, place: int = place) -> Mask:
            codes = np.empty((len(numbers), 0), dtype=np.intp)
            return search.ask(Points(numbers=numbers, codes=codes), np.full(len(numbers), place))

        hop_skip_jump(
            turned,
            origins.numbers[place],
            pool.numbers[start],
            low=space.low / space.scale,
            high=space.high / space.scale,
            norm=norm,
            max_queries=max_queries,
            seed=int(rng.integers(2**31)),
        )
    return search.result()


def attack_with_gradients(
    module: object,
    flips: Callable[[Batch, Places], Mask],
    space: Space,
    rows: Batch,
    labels: Places,
    *,
    norm: str,
    budget: float,
    max_queries: int,
    rng: np.random.Generator,
) -> Attacked:
    """Let projected gradient descent look inside a torch module; what it finds is asked of the model.

    Raises
    ------
    InputError
        For inputs that are no array, and for the norm l0.
    MissingDependencyError
        Without ART or torch.
    """
    from pytest_prodml.adapters.art_engine import gradient_examples

    if not isinstance(rows, np.ndarray) or norm == "l0":
        raise InputError(
            "gradients of a torch module need inputs that are an array, and a norm other than l0",
            where="adversarial",
            hint="give data=array, as the module takes it",
        )
    search = Search(flips=flips, space=space, rows=rows, norm=norm, max_queries=max_queries, rng=rng)
    made = gradient_examples(
        module,
        np.asarray(rows, dtype=np.float64),
        labels,
        budget=budget,
        norm=norm,
        bounds=(float(np.min(space.low)), float(np.max(space.high))),
        seed=int(rng.integers(2**31)),
    )
    search.ask(space.points(made), np.arange(len(rows)))
    # Within the budget or not: from what was found the way back is walked as always.
    search.walk_back()
    return search.result()
