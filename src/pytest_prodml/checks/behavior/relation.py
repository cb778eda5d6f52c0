"""A rule about how a model's answers to related inputs must hang together, tried on many inputs at once.

A relation makes from each input a pair (or several) that should be answered alike, or in a stated order, and
says where the model breaks it and by how much. Whoever searches, counts or shrinks needs nothing else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from zlib import crc32

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, finite_scores
from pytest_prodml.checks.behavior.batches import Batch, is_frame, kind, take
from pytest_prodml.checks.swaps import accepted
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Mask: TypeAlias = npt.NDArray[np.bool_]
Array: TypeAlias = npt.NDArray[np.float64]
#: Two batches of one input each: what was asked first, and what it was compared with.
Pair: TypeAlias = tuple[Batch, Batch]

#: Differences of scores below it are rounding: batches of other sizes take other paths through BLAS.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What a model says to a batch: scores of shape (n,) or (n, k), and decisions where asked for."""

    scores: Array
    decisions: npt.NDArray[Any] | None = None

    def taken(self, positions: npt.NDArray[Any]) -> Answers:
        """Return the answers to some of the inputs."""
        decisions = None if self.decisions is None else self.decisions[positions]
        return Answers(scores=self.scores[positions], decisions=decisions)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asker:
    """A model with the way in which its answers are compared.

    With `tolerance` None answers differ when the decisions do, else when a score differs by more than it.
    """

    predictor: Predictor
    threshold: float | None = None
    tolerance: float | None = None

    def ask(self, batch: Batch, what: str = "inputs that a relation made") -> Answers:
        """Return the answers to a batch.

        Raises
        ------
        InputError
            If the model raises anything, or a score is not finite.
        """
        where = self.predictor.description
        scores = accepted(lambda: finite_scores(self.predictor, batch), what, where)
        if self.tolerance is not None:
            return Answers(scores=scores)
        if self.threshold is None:
            return Answers(
                scores=scores,
                decisions=np.asarray(accepted(lambda: self.predictor.predict(batch), what, where)),
            )
        return Answers(scores=scores, decisions=self.single(scores) >= self.threshold)

    def single(self, scores: Array) -> Array:
        """Return one score for each input.

        Raises
        ------
        InputError
            If there are several.
        """
        if scores.ndim != 1:
            raise InputError(
                f"has {scores.shape[1]} classes; this check needs one score for each input",
                where=self.predictor.description,
                hint="wrap it in a function that returns the score of the class in question",
            )
        return scores

    def differs(self, first: Answers, second: Answers) -> tuple[Mask, Array]:
        """Say which answers differ, and how far the scores are apart (the largest over classes)."""
        apart = np.abs(second.scores - first.scores)
        apart = apart if apart.ndim == 1 else apart.max(axis=1)
        if self.tolerance is not None:
            return apart > self.tolerance + ROUNDING, apart
        if first.decisions is None or second.decisions is None:  # pragma: no cover - `ask` gives them
            raise InputError("decisions were not asked for", where=self.predictor.description)
        return np.asarray(first.decisions != second.decisions, dtype=np.bool_), apart


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tried:
    """What came of a relation on n inputs.

    Attributes
    ----------
    applies : array of bool, shape (n,)
        Inputs that the rule says something about, and that were changed.
    broken : array of bool, shape (n,)
        Inputs for which the model breaks the rule.
    excess : array of float, shape (n,)
        How far the answer went against the rule, in the unit of the score; orders what is shown.
    pair : callable
        Position -> the two inputs that were compared, each as a batch of one.
    """

    applies: Mask
    broken: Mask
    excess: Array
    pair: Callable[[int], Pair]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relation:
    """A rule that can be tried on any batch.

    Attributes
    ----------
    name : str
        Of the check, for example "invariant_to".
    group : str
        What it is about: a column, a transform. With `name` it identifies the rule in a gate.
    metric : str
        How the share of inputs that break it is called.
    rule : str
        What has to hold, in words, for a reader of the certificate.
    asker : Asker
        The model.
    try_on : callable
        Batch -> what came of it.
    nothing : str
        Why it might say nothing about any input.
    """

    name: str
    group: str
    metric: str
    rule: str
    asker: Asker
    try_on: Callable[[Batch], Tried]
    nothing: str = "nothing was changed"


#: Makes other inputs of inputs: the whole batch of a frame or an array, one item of a list.
Transform: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Changing:
    """A user's function, called with a batch and, if it takes two arguments, a seeded generator."""

    function: Transform
    name: str
    takes_rng: bool
    seed: int

    def __call__(self, batch: Batch) -> Batch:
        """Return the changed batch; the original is never changed.

        Raises
        ------
        InputError
            If the function raises, or returns another number of inputs, other columns or another kind.
        """
        rng = (generator_of(self.name, self.seed),) if self.takes_rng else ()
        whole = not isinstance(batch, list) or bool(getattr(self.function, "takes_batch", False))
        try:
            made = (
                self.function(copied(batch), *rng)
                if whole
                else [self.function(item, *rng) for item in copied(batch)]
            )
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            told = " ".join(str(error).split())[:200]
            raise InputError(
                f"the function could not change {kind(batch)}: {type(error).__name__}: {told}",
                where=self.name,
                hint="it gets one item of a list, or a whole frame or array",
            ) from None
        return fitting(made, batch, self.name)


def generator_of(name: str, seed: int) -> np.random.Generator:
    """Return random numbers that nothing else draws.

    The name is part of the seed: inputs that were themselves drawn from ``default_rng(0)`` would else meet
    the very same numbers again.
    """
    return np.random.default_rng([seed, crc32(name.encode())])


def changing(function: Transform, *, seed: int, where: str) -> Changing:
    """Wrap a user's function.

    Raises
    ------
    InputError
        If it can not be called.
    """
    if not callable(function):
        raise InputError(f"expected a function, got {type(function).__name__}", where=where)
    return Changing(function=function, name=named(function), takes_rng=_takes_two(function), seed=seed)


def named(function: object) -> str:
    """Return a name for a function that is the same in every process."""
    name = getattr(function, "__name__", None) or type(function).__name__
    return "transform" if name == "<lambda>" else str(name)


def _takes_two(function: Transform) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.kind in positional and p.default is inspect.Parameter.empty]
    has_rng = any(p.name == "rng" for p in parameters)
    return len(needed) >= 2 or has_rng


def copied(batch: Batch) -> Batch:
    """Return a batch that can be written to."""
    import copy

    if is_frame(batch) or isinstance(batch, np.ndarray):
        return batch.copy()
    return copy.deepcopy(batch)


def fitting(made: Any, batch: Batch, where: str) -> Batch:  # noqa: ANN401 - what a user's function returns
    """Return what a function made of a batch, if it stands for the same inputs.

    Raises
    ------
    InputError
        If it is of another kind or length, or of a frame other columns.
    """
    same_kind = (
        is_frame(made)
        if is_frame(batch)
        else isinstance(made, np.ndarray)
        if isinstance(batch, np.ndarray)
        else isinstance(made, list)
    )
    if not same_kind:
        raise InputError(
            f"the function returned {type(made).__name__} for {kind(batch)}",
            where=where,
            hint="return the same kind",
        )
    if len(made) != len(batch):
        raise InputError(
            f"the function returned {len(made):,} inputs for {len(batch):,}",
            where=where,
            hint="each input must have its counterpart in the same place",
        )
    if is_frame(batch) and list(made.columns) != list(batch.columns):
        raise InputError(
            "the function returned other columns", where=where, hint="keep the columns as they are"
        )
    return made


def is_changed(before: Batch, after: Batch) -> Mask:
    """Say which inputs differ; missing cells equal each other."""
    if is_frame(before):
        changed = np.zeros(len(before), dtype=np.bool_)
        for name in before.columns:
            changed |= _cells_differ(before[name], after[name])
        return changed
    if isinstance(before, np.ndarray):
        if before.shape != after.shape:
            return np.ones(len(before), dtype=np.bool_)
        same = before == after
        if before.dtype.kind in "fc" and after.dtype.kind in "fc":
            same |= np.isnan(before) & np.isnan(after)
        return np.asarray(~same.reshape(len(before), -1).all(axis=1), dtype=np.bool_)
    return np.fromiter((not _same(a, b) for a, b in zip(before, after, strict=True)), np.bool_, len(before))


def _cells_differ(old: pd.Series, new: pd.Series) -> Mask:
    both_missing = old.isna().to_numpy(dtype=bool) & new.isna().to_numpy(dtype=bool)
    if old.dtype != new.dtype:
        old, new = old.astype(object), new.astype(object)
    # Positions are compared, whatever the index says: it may hold a label twice.
    differs = old.reset_index(drop=True) != new.reset_index(drop=True)
    return np.asarray(differs.to_numpy(dtype=bool, na_value=True) & ~both_missing, dtype=np.bool_)


def _same(first: Any, second: Any) -> bool:  # noqa: ANN401 - items of any kind
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return _equal_arrays(np.asarray(first), np.asarray(second))
    try:
        return bool(first == second)
    except (TypeError, ValueError):
        return False


def _equal_arrays(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> bool:
    both_floats = first.dtype.kind in "fc" and second.dtype.kind in "fc"
    return bool(np.array_equal(first, second, equal_nan=both_floats))


def of_changed(
    asker: Asker,
    batch: Batch,
    changed: Batch,
    judge: Callable[[Answers, Answers], tuple[Mask, Array]],
    *,
    applies: Mask | None = None,
) -> Tried:
    """Compare the answers to inputs with those to their changed counterparts, where these differ."""
    used = is_changed(batch, changed)
    if applies is not None:
        used &= applies
    broken, excess = np.zeros(len(batch), dtype=np.bool_), np.zeros(len(batch))
    rows = np.flatnonzero(used)
    if rows.size:
        whole = rows.size == len(batch)
        left, right = (batch, changed) if whole else (take(batch, rows), take(changed, rows))
        broken[rows], excess[rows] = judge(asker.ask(left), asker.ask(right))
    return Tried(
        applies=used,
        broken=broken,
        excess=excess,
        pair=lambda row: (take(batch, [row]), take(changed, [row])),
    )


def worst_of(parts: Sequence[Tried]) -> Tried:
    """Join what came of several changes of the same inputs: broken by any, shown by the worst."""
    broken = np.stack([part.broken for part in parts])
    excess = np.stack([np.where(part.broken, part.excess, -np.inf) for part in parts])
    worst = excess.argmax(axis=0)
    return Tried(
        applies=np.asarray(np.stack([part.applies for part in parts]).any(axis=0)),
        broken=np.asarray(broken.any(axis=0)),
        excess=np.where(broken.any(axis=0), excess.max(axis=0), 0.0),
        pair=lambda row: parts[int(worst[row])].pair(row),
    )
