"""The rule that a score follows one column in one direction, by single steps or along all its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.tables import column
from pytest_prodml.checks.behavior.batches import Batch, take
from pytest_prodml.checks.behavior.relation import (
    ROUNDING,
    Answers,
    Array,
    Asker,
    Mask,
    Relation,
    Tried,
    of_changed,
)
from pytest_prodml.checks.behavior.relations import number_column, size_of, stepped
from pytest_prodml.checks.membership import group_name
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    #: Which rows a rule is about: values by column, or a function of the rows.
    Where: TypeAlias = Mapping[str, object] | Callable[[pd.DataFrame], object]

METRIC = "wrong_direction_rate"
#: Values of the column at which every row is asked.
_POINTS = 17


def monotony(
    name: str,
    direction: str,
    asker: Asker,
    inputs: Batch,
    *,
    step: float | None,
    tolerance: float,
    where: Where | None,
) -> Relation:
    """Make the rule that the score is `direction` in a column, everything else as it is.

    With `step` None every row is asked at up to 17 values of the column (those that occur, else quantiles of
    them) and breaks the rule if its score anywhere goes back by more than `tolerance`, not only between
    neighbours. With a step it is asked at its own value and one step further.
    """
    if direction not in {"increasing", "decreasing"}:
        raise InputError(
            f"got direction={direction!r}", where="monotone", hint="direction is 'increasing' or 'decreasing'"
        )
    allowed = size_of(tolerance, "tolerance")
    own = number_column(inputs, name, "monotone")
    sign = 1 if direction == "increasing" else -1
    low, high = own.min(), own.max()

    def judge(before: Answers, after: Answers) -> tuple[Mask, Array]:
        against = sign * (asker.single(before.scores) - asker.single(after.scores))
        return against > allowed + ROUNDING, against

    def one_step(batch: pd.DataFrame) -> Tried:
        assert step is not None  # noqa: S101 - `one_step` is used with a step only
        moved = stepped(batch[name], step)
        inside = (moved.notna() & (moved <= high) & (moved >= low)).to_numpy(dtype=bool, na_value=False)
        inside = inside & selected(where, batch, "monotone")
        changed = batch.assign(**{name: moved.where(inside, batch[name]).astype(batch[name].dtype)})
        backwards = step < 0

        def ordered(before: Answers, after: Answers) -> tuple[Mask, Array]:
            return judge(after, before) if backwards else judge(before, after)

        return of_changed(asker, batch, changed, ordered, applies=inside)

    def along(batch: pd.DataFrame) -> Tried:
        return _along(asker, batch, name, points, sign=sign, allowed=allowed, applies=_asked(batch))

    def _asked(batch: pd.DataFrame) -> Mask:
        present = batch[name].notna().to_numpy(dtype=bool)
        return np.asarray(present & selected(where, batch, "monotone"), dtype=np.bool_)

    if step is not None:
        stepped(own.iloc[:1], step)
        points: list[Any] = []
    else:
        points = _points(own)
    part = f" where {told(where)}" if where is not None else ""
    by = f"when {step:g} is added to {name}" if step is not None else f"in {name}"
    return Relation(
        name="monotone",
        group=name,
        metric=METRIC,
        rule=f"the score is {direction} {by}{part}" + (f", but for {allowed:g}" if allowed else ""),
        asker=asker,
        try_on=one_step if step is not None else along,
        nothing="no row has a value and is chosen by where="
        if step is None
        else f"no row can take the step {step!r} without leaving the values that occur",
    )


def _points(own: pd.Series) -> list[Any]:
    """Return increasing values of a column: all that occur, or quantiles that occur."""
    values = np.sort(own.dropna().unique())
    if values.size < 2:
        raise InputError(
            "holds fewer than two different values, so no direction can be seen",
            where=str(own.name),
            hint="give step=, or rows that differ",
        )
    if values.size > _POINTS:
        ordered = np.sort(own.dropna().to_numpy())
        places = np.linspace(0, ordered.size - 1, _POINTS).round().astype(np.intp)
        values = np.unique(_rounded(ordered[places]))
    return list(values)


def _rounded(points: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return numbers with three digits, which are read more easily, none beyond the first and the last."""
    if points.dtype.kind not in "fiu":
        return points
    short = np.asarray([float(f"{float(point):.3g}") for point in points])
    return np.asarray(np.clip(short, points[0], points[-1]).astype(points.dtype))


def _along(
    asker: Asker,
    batch: pd.DataFrame,
    name: str,
    points: list[Any],
    *,
    sign: int,
    allowed: float,
    applies: Mask,
) -> Tried:
    import pandas as pd

    rows = np.flatnonzero(applies)
    broken, excess = np.zeros(len(batch), np.bool_), np.zeros(len(batch))
    start, end = np.zeros(len(batch), np.intp), np.zeros(len(batch), np.intp)
    used = take(batch, rows)

    def at(part: pd.DataFrame, point: int) -> pd.DataFrame:
        cells = pd.Series([points[point]] * len(part), index=part.index, dtype=part[name].dtype)
        return part.assign(**{name: cells})

    if rows.size:
        # The best score so far on the way up; whoever falls behind it has gone back.
        best = np.full(rows.size, -np.inf)
        best_at = np.zeros(rows.size, np.intp)
        for point in range(len(points)):
            now = sign * asker.single(asker.ask(at(used, point), f"{name} = {points[point]!r}").scores)
            behind = best - now
            worse = behind > np.maximum(excess[rows], 0.0)
            start[rows[worse]], end[rows[worse]] = best_at[worse], point
            excess[rows[worse]] = behind[worse]
            ahead = now > best
            best[ahead], best_at[ahead] = now[ahead], point
        broken[rows] = excess[rows] > allowed + ROUNDING

    def pair(row: int) -> tuple[Batch, Batch]:
        one = take(batch, [row])
        return at(one, int(start[row])), at(one, int(end[row]))

    return Tried(applies=applies, broken=broken, excess=excess, pair=pair)


def told(where: Where) -> str:
    """Return which rows a rule is about, in words.

    Raises
    ------
    InputError
        If a function has no name.
    """
    if isinstance(where, Mapping):
        parts = []
        for name, wanted in where.items():
            accepted = wanted if isinstance(wanted, (list, tuple, set, frozenset)) else [wanted]
            parts.append(f"{name}={'|'.join(sorted(map(group_name, accepted)))}")
        return " & ".join(parts)
    name = getattr(where, "__name__", "")
    if not callable(where) or not name.isidentifier():
        raise InputError(
            "a function that selects rows needs a name for the evidence",
            where="where",
            hint='def over_sixty(rows): return rows["age"] > 60',
        )
    return str(name)


def selected(where: Where | None, batch: pd.DataFrame, check: str) -> npt.NDArray[np.bool_]:
    """Return which rows a rule is about.

    Raises
    ------
    InputError
        If `where` names no column, or a function does not return one True or False for each row.
    """
    mask = np.ones(len(batch), dtype=np.bool_)
    if where is None:
        return mask
    if isinstance(where, Mapping):
        if not where:
            raise InputError("names no column, so it selects nothing", where="where")
        for name, wanted in where.items():
            accepted = list(wanted) if isinstance(wanted, (list, tuple, set, frozenset)) else [wanted]
            mask &= column(batch, name).isin(accepted).to_numpy(dtype=bool)
        return mask
    try:
        chosen = np.asarray(where(batch))
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything
        raise InputError(
            f"where could not be evaluated: {type(error).__name__}: {error}", where=check
        ) from None
    if chosen.shape != mask.shape or chosen.dtype != np.bool_:
        raise InputError(
            f"where must return one True or False for each row, got {chosen.dtype} of shape {chosen.shape}",
            where=check,
        )
    return chosen
