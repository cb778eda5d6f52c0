"""The rules that can be asked of a model: invariance, direction, symmetry, sums, any relation of one's own.

Each function here makes a `Relation`; nothing is counted or searched.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_prodml.adapters.tables import column
from pytest_prodml.checks.behavior.batches import Batch, is_frame, take
from pytest_prodml.checks.behavior.relation import (
    ROUNDING,
    Answers,
    Array,
    Asker,
    Mask,
    Relation,
    Transform,
    Tried,
    changing,
    copied,
    fitting,
    generator_of,
    is_changed,
    named,
    of_changed,
    worst_of,
)
from pytest_prodml.checks.labels import checked_number
from pytest_prodml.checks.swaps import constant, equals, options_of
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

#: Which way a score has to go: name -> (sign of a right move, whether staying is right too).
_EXPECTED: Mapping[str, tuple[int, bool]] = {
    "increase": (1, False),
    "decrease": (-1, False),
    "not_decrease": (1, True),
    "not_increase": (-1, True),
}


def invariance(
    what: str | Sequence[str] | Transform,
    asker: Asker,
    inputs: Batch,
    *,
    values: Sequence[object] | None,
    seed: int,
) -> Relation:
    """Make the rule that an answer does not change with some columns, or under a transform."""
    metric = "decision_flip_rate" if asker.tolerance is None else "score_change_rate"
    answer = "decision" if asker.tolerance is None else f"score, but for {asker.tolerance:g},"
    if callable(what):
        change = changing(what, seed=seed, where="invariant_to")
        return Relation(
            name="invariant_to",
            group=change.name,
            metric=metric,
            rule=f"the {answer} stays when {change.name} is applied",
            asker=asker,
            try_on=lambda batch: of_changed(asker, batch, change(batch), asker.differs),
        )
    names = columns_of(what, inputs, "invariant_to")
    if values is not None and len(names) > 1:
        raise InputError("values= goes with one column", where="invariant_to", hint="ask column by column")
    options = {name: options_of(column(inputs, name), values) for name in names}
    group = ", ".join(names)
    return Relation(
        name="invariant_to",
        group=group,
        metric=metric,
        rule=f"the {answer} stays with any other value of {group}",
        asker=asker,
        try_on=lambda batch: _swapped(asker, batch, options),
        nothing=f"every input has the value {next(iter(options.values()))[0]!r} already",
    )


def _swapped(asker: Asker, batch: pd.DataFrame, options: Mapping[str, Sequence[Any]]) -> Tried:
    before = asker.ask(batch, "the inputs as they are")
    n = len(batch)
    applies, broken, excess = np.zeros(n, np.bool_), np.zeros(n, np.bool_), np.zeros(n)
    worst: list[tuple[str, Any] | None] = [None] * n
    for name, values in options.items():
        own = batch[name]
        for value in values:
            rows = np.flatnonzero(~equals(own, value))
            if rows.size == 0:
                continue
            part = take(batch, rows)
            changed = part.assign(**{name: constant(part[name], value, allow_missing=True)})
            flips, apart = asker.differs(before.taken(rows), asker.ask(changed, f"{name} = {value!r}"))
            applies[rows] = True
            for row in rows[flips & (~broken[rows] | (apart > excess[rows]))].tolist():
                worst[row] = (name, value)
            excess[rows[flips]] = np.maximum(excess[rows[flips]], apart[flips])
            broken[rows[flips]] = True

    def pair(row: int) -> tuple[Batch, Batch]:
        one, found = take(batch, [row]), worst[row]
        if found is None:
            return one, one
        return one, one.assign(**{found[0]: constant(one[found[0]], found[1], allow_missing=True)})

    return Tried(applies=applies, broken=broken, excess=excess, pair=pair)


def directed(transform: Transform, expect: str, asker: Asker, *, margin: float, seed: int) -> Relation:
    """Make the rule that a transform moves the score the stated way."""
    if expect not in {*_EXPECTED, "flip"}:
        raise InputError(
            f"expect must be one of {', '.join([*_EXPECTED, 'flip'])}, got {expect!r}", where="directional"
        )
    size = size_of(margin, "margin")
    change = changing(transform, seed=seed, where="directional")

    def judge(before: Answers, after: Answers) -> tuple[Mask, Array]:
        if expect == "flip":
            differs, apart = asker.differs(before, after)
            return ~differs, -apart
        sign, may_stay = _EXPECTED[expect]
        moved = sign * (asker.single(after.scores) - asker.single(before.scores))
        if may_stay:
            return moved < -size - ROUNDING, -moved
        return moved <= max(size, ROUNDING), -moved

    told = {
        "flip": "changes the decision",
        "increase": "raises the score",
        "decrease": "lowers the score",
        "not_decrease": "does not lower the score",
        "not_increase": "does not raise the score",
    }[expect]
    return Relation(
        name="directional",
        group=change.name,
        metric="wrong_direction_rate",
        rule=f"{change.name} {told}{f' (margin {size:g})' if size else ''}",
        asker=asker,
        try_on=lambda batch: of_changed(asker, batch, change(batch), judge),
    )


def relation_of_own(
    change: Transform,
    holds: Callable[..., Any],
    asker: Asker,
    *,
    name: str | None,
    seed: int,
) -> Relation:
    """Make the rule that ``holds(before, after)`` is true of the answers to inputs and their changed twins.

    `holds` gets two arrays of scores, or four arguments: also the batches.
    """
    made = changing(change, seed=seed, where="consistent")
    if not callable(holds):
        raise InputError(f"holds must be a function, got {type(holds).__name__}", where="consistent")
    takes_batches = _takes_four(holds)
    group = name or made.name

    def try_on(batch: Batch) -> Tried:
        changed = made(batch)

        def judge(before: Answers, after: Answers) -> tuple[Mask, Array]:
            # Only changed inputs are judged, and `holds` sees exactly these.
            more = (take(batch, rows), take(changed, rows)) if takes_batches else ()
            try:
                kept = np.asarray(holds(before.scores, after.scores, *more))
            except Exception as error:  # noqa: BLE001 - a user's function may raise anything
                told = " ".join(str(error).split())[:200]
                raise InputError(
                    f"holds could not be evaluated: {type(error).__name__}: {told}", where=group
                ) from None
            if kept.shape != (rows.size,) or kept.dtype != np.bool_:
                raise InputError(
                    "holds must return one True or False for each input, "
                    f"got {kept.dtype} of shape {kept.shape}",
                    where=group,
                )
            apart = np.abs(after.scores - before.scores).reshape(rows.size, -1).max(axis=1, initial=0.0)
            return ~kept, apart

        rows = np.flatnonzero(is_changed(batch, changed))
        return of_changed(asker, batch, changed, judge)

    return Relation(
        name="consistent",
        group=group,
        metric="violation_rate",
        rule=f"{group} holds between the answers to inputs and to what {made.name} makes of them",
        asker=asker,
        try_on=try_on,
    )


def _takes_four(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.kind in positional and p.default is inspect.Parameter.empty]
    return len(needed) >= 4


def symmetry(
    first: str | Sequence[str], second: str | Sequence[str], asker: Asker, inputs: Batch
) -> Relation:
    """Make the rule that two columns (or two lists of them) may change places."""
    left, right = columns_of(first, inputs, "symmetric"), columns_of(second, inputs, "symmetric")
    if len(left) != len(right) or set(left) & set(right):
        raise InputError(
            f"can not exchange {', '.join(left)} with {', '.join(right)}",
            where="symmetric",
            hint="give two different columns, or two lists of the same length that share none",
        )
    for one, other in zip(left, right, strict=True):
        if inputs[one].dtype != inputs[other].dtype:
            raise InputError(
                f"{one} is {inputs[one].dtype} and {other} is {inputs[other].dtype}, "
                "so they can not change places",
                where="symmetric",
            )

    def exchanged(batch: pd.DataFrame) -> pd.DataFrame:
        cells = {a: batch[b].array for a, b in zip([*left, *right], [*right, *left], strict=True)}
        return batch.assign(**cells)

    group = f"{', '.join(left)} and {', '.join(right)}"
    return Relation(
        name="symmetric",
        group=group,
        metric="asymmetry_rate",
        rule=f"the {_answer(asker)} stays when {group} change places",
        asker=asker,
        try_on=lambda batch: of_changed(asker, batch, exchanged(batch), asker.differs),
    )


def bounded(name: str, step: float, limit: float, asker: Asker, inputs: Batch) -> Relation:
    """Make the rule that a small step in one column moves the score by no more than `limit`, up or down."""
    size = size_of(limit, "change_at_most")
    own = number_column(inputs, name, "bounded_change")
    low, high = own.min(), own.max()

    def judge(before: Answers, after: Answers) -> tuple[Mask, Array]:
        apart = np.abs(asker.single(after.scores) - asker.single(before.scores))
        return apart > size + ROUNDING, apart

    def try_on(batch: pd.DataFrame) -> Tried:
        parts = []
        for signed in (step, -step):
            moved = stepped(batch[name], signed)
            inside = (moved.notna() & (moved >= low) & (moved <= high)).to_numpy(dtype=bool, na_value=False)
            changed = batch.assign(**{name: moved.where(inside, batch[name]).astype(batch[name].dtype)})
            parts.append(of_changed(asker, batch, changed, judge, applies=inside))
        return worst_of(parts)

    stepped(own.iloc[:1], step)
    return Relation(
        name="bounded_change",
        group=name,
        metric="large_change_rate",
        rule=f"a step of {step:g} in {name} moves the score by at most {size:g}",
        asker=asker,
        try_on=try_on,
        nothing=f"no row can take the step {step!r} without leaving the values that occur",
    )


def additivity(name: str | Transform, asker: Asker, inputs: Batch, *, relative: float, seed: int) -> Relation:
    """Make the rule that the scores of parts add up to the score of the whole.

    `name` is a numeric column whose value is divided in two, or a function from a batch (and a generator)
    to a list of batches, the parts.
    """
    tolerance = asker.tolerance or 0.0
    if not callable(name):
        number_column(inputs, name, "additive")

    def parts_of(batch: Batch) -> list[Batch]:
        rng = generator_of("additive", seed)
        if callable(name):
            return _given_parts(name, batch, rng)
        own = batch[name]
        share = own * 0 + rng.uniform(0.05, 0.95, len(batch))
        first = own * share
        if own.dtype.kind in "iu":
            first = first.round().astype(own.dtype)
        return [batch.assign(**{name: first}), batch.assign(**{name: own - first})]

    def try_on(batch: Batch) -> Tried:
        parts = parts_of(batch)
        whole = asker.single(asker.ask(batch).scores)
        total = np.sum([asker.single(asker.ask(part, "parts of inputs").scores) for part in parts], axis=0)
        apart = np.abs(total - whole)
        return Tried(
            applies=np.ones(len(batch), dtype=np.bool_),
            broken=apart > tolerance + relative * np.abs(whole) + ROUNDING,
            excess=apart,
            pair=lambda row: (take(batch, [row]), take(parts[0], [row])),
        )

    group = changing(name, seed=seed, where="additive").name if callable(name) else name
    return Relation(
        name="additive",
        group=group,
        metric="inconsistent_sum_rate",
        rule=f"the scores of parts ({group}) add up to the score of the whole",
        asker=asker,
        try_on=try_on,
    )


def _given_parts(function: Transform, batch: Batch, rng: np.random.Generator) -> list[Batch]:
    change = changing(function, seed=0, where="additive")
    try:
        made = function(copied(batch), rng) if change.takes_rng else function(copied(batch))
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything
        raise InputError(
            f"could not divide the inputs: {type(error).__name__}: {error}", where=change.name
        ) from None
    if not isinstance(made, (list, tuple)) or len(made) < 2:
        raise InputError("must return a list of at least two batches, the parts", where=change.name)
    return [fitting(part, batch, named(function)) for part in made]


def stepped(own: pd.Series, step: float) -> pd.Series:
    """Return a column with `step` added; integers stay integers.

    Raises
    ------
    InputError
        If the column is not numeric or can not take the step.
    """
    import pandas as pd

    name = str(own.name)
    checked_number(step, name="step")
    if not np.isfinite(step) or step == 0:
        raise InputError(f"step must be a number other than 0, got {step!r}", where=name)
    if pd.api.types.is_integer_dtype(own.dtype):
        if step != int(step):
            raise InputError(f"holds whole numbers, and the step is {step!r}", where=name)
        return own + int(step)
    return own + step


def number_column(inputs: Batch, name: str, where: str) -> pd.Series:
    """Return a column of numbers.

    Raises
    ------
    InputError
        If it is missing or holds anything else.
    """
    import pandas as pd

    (found,) = columns_of(name, inputs, where)
    own: pd.Series = inputs[found]
    if not pd.api.types.is_numeric_dtype(own.dtype) or pd.api.types.is_bool_dtype(own.dtype):
        raise InputError(f"is {own.dtype}; a direction needs numbers", where=name)
    return own


def columns_of(given: str | Sequence[str], inputs: Batch, where: str) -> list[str]:
    """Return one or several columns as a list.

    Raises
    ------
    InputError
        If the inputs are no table, or a column is missing or named twice.
    """
    if not is_frame(inputs):
        raise InputError(
            "columns belong to tables, and the inputs are none",
            where=where,
            hint="give a function that changes the inputs",
        )
    names = [given] if isinstance(given, str) or not isinstance(given, Sequence) else list(given)
    if not names or len(set(names)) != len(names):
        raise InputError("give at least one column, each once", where=where)
    for name in names:
        column(inputs, name)
    return names


def _answer(asker: Asker) -> str:
    return "decision" if asker.tolerance is None else f"score, but for {asker.tolerance:g},"


def size_of(value: object, name: str) -> float:
    """Return a finite number from 0 on."""
    found = checked_number(value, name=name)
    if not (np.isfinite(found) and found >= 0):
        raise InputError(f"{name} must be a number from 0 on, got {value!r}")
    return found
