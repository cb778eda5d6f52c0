"""A model and inputs -> the share of inputs whose decision an attacker turns with small, possible changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, decide, subjects_of
from pytest_prodml.checks.behavior.attack import attack, attack_with_art, attack_with_gradients
from pytest_prodml.checks.behavior.attack_search import Attacked
from pytest_prodml.checks.behavior.attack_space import NORMS, Points, Space, space_of
from pytest_prodml.checks.behavior.batches import Batch, inputs_of, is_frame, take
from pytest_prodml.checks.behavior.relation import generator_of
from pytest_prodml.checks.counts import check_share, plain
from pytest_prodml.checks.evidence import evidence, measurement
from pytest_prodml.checks.labels import checked_number
from pytest_prodml.checks.people import bound_to, checked_whole, flagged_share
from pytest_prodml.checks.swaps import accepted
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue
from pytest_prodml.statistics.design import design_of

RATE = "attack_success_rate"
_MOST_QUERIES = 20_000
_MOST_ROWS = 5_000
#: Rows that an attack starts from, at most.
_MOST_POOL = 20_000
_MOST_SHOWN = 20
_POINTS = 101
_ENGINES = ("prodml", "art")


def adversarial(
    predictor: Predictor,
    data: Any,  # noqa: ANN401 - whatever a model takes
    *,
    gate_id: str,
    budget: float,
    at_most: float,
    norm: str = "l2",
    features: Sequence[Any] | None = None,
    immutable: Iterable[Any] = (),
    increase_only: Iterable[Any] = (),
    decrease_only: Iterable[Any] = (),
    cost: Mapping[Any, float] | None = None,
    schema: Any = None,  # noqa: ANN401 - pandera has no types for us
    bounds: tuple[float, float] | None = None,
    threshold: float | None = None,
    max_queries: int = 1_000,
    rows: int = 200,
    engine: str = "prodml",
    white_box: object = None,
    redact: bool = False,
    sample_weight: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Attack decisions, and show that few of them can be turned by small changes.

    Each attacked input is changed, as far as it may be, until the model decides otherwise. Measures
    ``attack_success_rate``: the share of inputs for which a change of at most `budget` was found.

    Parameters
    ----------
    predictor : Predictor
        The model; only its decisions are used.
    data : Dataset, frame, or array of shape (n, ...)
        Inputs of the population that the claim is about.
    budget : float
        How far an input may be changed. Numbers of a table count in units of their robust spread
        (interquartile range / 1.349), another category counts 1; elements of an array count as they are.
    at_most : float
        The share of inputs that may be turned.
    norm : {"l2", "linf", "l1", "l0"}
        How changes of several features add up: as a distance, the largest, their sum, their number.
    features, immutable : sequence, optional
        The columns that an attacker can change (default all); those that nobody can.
    increase_only, decrease_only : sequence
        Columns of numbers that can only rise, such as an age, or only fall.
    cost : mapping, optional
        Column -> how much of its own unit counts as 1.
    schema : pandera schema, optional
        Limits of columns; default what occurs. Whole numbers stay whole, categories stay among those known.
    bounds : (float, float), optional
        Of the elements of an array; default what occurs.
    threshold : float, optional
        The score from which the decision is positive; None takes the model's own label.
    max_queries : int
        How many inputs the model may be asked about for each attacked one.
    rows : int
        How many inputs are attacked; of more a random sample, which is told.
    engine : {"prodml", "art"}
        Whose search: this package's, or HopSkipJump of the Adversarial Robustness Toolbox, which knows no
        constraints (its finds are brought back to possible inputs, and count only if they still succeed).
    white_box : torch.nn.Module, optional
        With ``engine="art"`` and an array: projected gradient descent looks inside this module, which returns
        the scores of the classes in their order. What it finds counts if `predictor` decides it otherwise.
    redact : bool
        Leave inputs out of the evidence.
    sample_weight, clusters : array-like, shape (n,), optional
        How many people an input stands for; inputs of one person.
    gate_id, confidence_level
        Common to all checks.
    seed : int
        Of the sample, the starting points and the directions.

    Raises
    ------
    InputError
        If nothing may change, an option makes no sense, the model refuses an input, or decides all alike.

    Notes
    -----
    An attack that finds nothing proves nothing: the rate is a lower bound of what a better attack finds, and
    the bounds are about inputs of this population, not about attacks. Compare searches by their queries.
    After Brendel et al. (2018) and Chen et al. (2020); `attack` says how it differs.
    """
    check_share(at_most)
    reach = checked_number(budget, name="budget")
    if not (np.isfinite(reach) and reach > 0):
        raise InputError(f"budget must be a number above 0, got {budget!r}", where="adversarial")
    if norm not in NORMS or engine not in _ENGINES:
        raise InputError(
            f"got norm={norm!r}, engine={engine!r}",
            where="adversarial",
            hint=f"norms: {', '.join(NORMS)}; engines: {', '.join(_ENGINES)}",
        )
    checked_whole(max_queries, "max_queries", most=_MOST_QUERIES)
    checked_whole(rows, "rows", most=_MOST_ROWS)
    inputs = inputs_of(data)
    space = space_of(
        inputs,
        features=features,
        immutable=immutable,
        increase_only=increase_only,
        decrease_only=decrease_only,
        cost=cost,
        schema=schema,
        bounds=bounds,
    )
    rng = generator_of("adversarial", seed)
    design = design_of(len(inputs), sample_weight=sample_weight, groups=clusters)
    chosen = np.arange(len(inputs))
    if len(inputs) > rows:
        chosen = np.sort(rng.choice(len(inputs), rows, replace=False))
    target = _Target(predictor=predictor, threshold=threshold)
    attacked = take(inputs.batch, chosen)
    pool = np.arange(len(inputs))
    if pool.size > _MOST_POOL:
        pool = np.sort(rng.choice(pool, _MOST_POOL, replace=False))
    decided = target.decisions(take(inputs.batch, pool), "the inputs as they are")
    before = target.decisions(attacked, "the inputs as they are")
    if (decided == decided[0]).all() and (before == decided[0]).all():
        raise InputError(
            f"the model decides {plain(decided[0])!r} for every input, so there is nothing to turn to",
            where=predictor.description,
            hint="give inputs of both kinds, or another threshold",
        )
    if white_box is not None:
        if engine != "art":
            raise InputError("gradients are followed by ART", where="adversarial", hint='engine="art"')
        found = attack_with_gradients(
            white_box,
            lambda batch, places: target.decisions(batch, "a changed input") != before[places],
            space,
            attacked,
            np.asarray(before, dtype=np.intp),
            norm=norm,
            budget=reach,
            max_queries=max_queries,
            rng=rng,
        )
    else:
        found = _search(
            target,
            space,
            attacked,
            before,
            take(inputs.batch, pool),
            decided,
            norm,
            max_queries,
            rng,
            engine=engine,
        )
    succeeded = found.distance <= reach + 1e-12
    group = f"{norm}={reach:g}"
    criterion = Criterion(metric=RATE, comparison=Comparison.AT_MOST, limit=at_most, group=group)
    measured = measurement(
        RATE,
        flagged_share(succeeded, design.subset(chosen), of="inputs"),
        criteria=[criterion],
        n_samples=len(chosen),
        confidence_level=confidence_level,
        higher_is_better=False,
        group=group,
        note=f"turned with at most {max_queries:,} queries each; a better attack may turn more",
    )
    details: dict[str, JsonValue] = {
        "engine": f"{engine}, gradients" if white_box is not None else engine,
        "inputs_attacked": len(chosen),
        "inputs_given": len(inputs),
        "queries_each": float(np.mean(found.asked)),
        "model_calls": found.n_calls,
        "features_that_may_change": space.n_features,
        "any_distance": _distances(found),
        "attack_curve": _curve(found, design_level=confidence_level, reach=reach),
    }
    if is_frame(attacked):
        details["most_changed"] = _most_changed(space, attacked, found, succeeded)
        if not redact:
            details["closest_examples"] = _examples(target, space, attacked, found)
    made = evidence(gate_id, [measured], [criterion], seed=seed, details=details)
    return bound_to(made, subjects_of(predictor), inputs.materials)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    predictor: Predictor
    threshold: float | None

    def decisions(self, batch: Batch, what: str) -> npt.NDArray[Any]:
        """Return the decisions on a batch."""
        where = self.predictor.description
        return np.asarray(accepted(lambda: decide(self.predictor, batch, self.threshold), what, where))


def _search(
    target: _Target,
    space: Space,
    attacked: Batch,
    before: npt.NDArray[Any],
    pool: Batch,
    decided: npt.NDArray[Any],
    norm: str,
    max_queries: int,
    rng: np.random.Generator,
    *,
    engine: str,
) -> Attacked:
    def flips(batch: Batch, places: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        now = target.decisions(batch, "a changed input")
        return np.asarray(now != before[places], dtype=np.bool_)

    return (attack_with_art if engine == "art" else attack)(
        flips,
        space,
        attacked,
        pool=space.points(pool),
        others=lambda place: np.flatnonzero(decided != before[place]),
        norm=norm,
        max_queries=max_queries,
        rng=rng,
    )


def _distances(found: Attacked) -> JsonValue:
    """Return how far the nearest turned inputs are, whatever the budget."""
    far = found.distance[found.found]
    told: dict[str, JsonValue] = {"turned_at_any_distance": int(far.size)}
    if far.size:
        low, middle, high = np.quantile(far, [0.1, 0.5, 0.9])
        told |= {"10_percent": float(low), "median": float(middle), "90_percent": float(high)}
    return told


def _curve(found: Attacked, *, design_level: float, reach: float) -> JsonValue:
    """Return the share that is turned by budget, from 0 to twice the gate's, with bounds at each."""
    from pytest_prodml.statistics.intervals import proportion

    n = len(found.distance)
    budgets = np.linspace(0, 2 * reach, _POINTS)
    counts = [int((found.distance <= budget + 1e-12).sum()) for budget in budgets]
    bounds = {count: proportion(count, n).at(design_level) for count in set(counts)}
    return {
        "x": [float(budget) for budget in budgets],
        "y": [count / n for count in counts],
        "lower": [bounds[count][0] for count in counts],
        "upper": [bounds[count][1] for count in counts],
    }


def _changes(space: Space, attacked: Batch, found: Attacked) -> tuple[npt.NDArray[np.bool_], list[Any]]:
    own = space.points(attacked)
    numbers = np.abs(np.nan_to_num(found.points.numbers - own.numbers)) > 1e-12
    return np.concatenate([numbers, found.points.codes != own.codes], axis=1), [*space.names, *space.others]


def _most_changed(
    space: Space, attacked: Batch, found: Attacked, succeeded: npt.NDArray[np.bool_]
) -> list[JsonValue]:
    changed, names = _changes(space, attacked, found)
    used = succeeded if succeeded.any() else found.found
    counts = changed[used].sum(axis=0)
    order = np.argsort(-counts, kind="stable")[:_MOST_SHOWN]
    return [
        {"column": str(names[place]), "inputs in which it changed": int(counts[place])}
        for place in order
        if counts[place]
    ]


def _examples(target: _Target, space: Space, attacked: Batch, found: Attacked) -> list[JsonValue]:
    """Return the inputs that are turned most easily, with what was changed."""
    order = np.argsort(found.distance, kind="stable")[:_MOST_SHOWN]
    order = order[found.found[order]]
    if not order.size:
        return []
    points = Points(numbers=found.points.numbers[order], codes=found.points.codes[order])
    left = take(attacked, order)
    right = space.batch(points, left)
    changed, names = _changes(space, attacked, found)
    scores = [target.predictor.predict_score(batch) for batch in (left, right)]
    table: list[JsonValue] = []
    for place, row in enumerate(order.tolist()):
        told = [
            f"{name}: {plain(left[name].iloc[place])} -> {plain(right[name].iloc[place])}"
            for name, is_changed in zip(names, changed[row], strict=True)
            if is_changed
        ]
        shown: dict[str, JsonValue] = {
            "row": plain(left.index[place]),
            "distance": float(found.distance[row]),
            "changed": "; ".join(told[:8]) + (f"; and {len(told) - 8} more" if len(told) > 8 else ""),
        }
        for when, score in zip(("before", "after"), scores, strict=True):
            one = np.atleast_1d(score[place])
            shown[f"score {when}"] = plain(one[0]) if one.size == 1 else str([plain(part) for part in one])
        table.append(shown)
    return table
