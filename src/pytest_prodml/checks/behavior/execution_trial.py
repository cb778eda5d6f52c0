"""A model on a sample of its inputs, and what one case of the contract found: shared by all cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor
from pytest_prodml.checks.behavior.batches import Batch, is_frame, take, told
from pytest_prodml.checks.behavior.execution_answers import WRONG, Answer, Rules, ask
from pytest_prodml.records import JsonValue

Places: TypeAlias = npt.NDArray[np.intp]

#: The place of a row that stands nowhere in the sample: it only has to get a valid answer.
NEW = -1


class Status(StrEnum):
    """What became of a case."""

    PASSED = "passed"
    REFUSED = "refused"
    FAILED = "failed"
    NOT_TRIED = "not tried"
    NOT_APPLICABLE = "not applicable"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one case found.

    Attributes
    ----------
    status : Status
    tried : int
        Batches, calls or columns that were tried.
    refused : int
        How many of them the model refused.
    told : str
        What went wrong, was refused, or why it was not tried; empty where all is said by the status.
    largest : float or None
        The largest difference of a score where the answers have to be the same.
    example : JsonValue
        The first row that failed; None without one.
    """

    status: Status
    tried: int = 0
    refused: int = 0
    told: str = ""
    largest: float | None = None
    example: JsonValue = None


class NotApplicableError(Exception):
    """A case makes no sense for these inputs or this model; the text says why."""


class NotTriedError(Exception):
    """A case could not be tried, so that nothing is known; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Variant:
    """Another way to ask about rows of the sample.

    Attributes
    ----------
    told : str
        What was changed, in a few words.
    batch : frame, array or list
    places : array of int, shape (n,)
        The place in the sample of each row, whose answer has to come again; `NEW` for a row that only has to
        get a valid answer.
    column : str or None
        The column that was changed, for `must_answer`.
    expected : Answer or None
        What has to come again instead of the sample's own answer, row by row.
    alone : tuple of int
        Rows to ask about one by one where the model refuses the batch: one value may hide another.
    """

    told: str
    batch: Batch
    places: Places
    column: str | None = None
    expected: Answer | None = None
    alone: tuple[int, ...] = ()

    def parts(self) -> Iterator[Variant]:
        """Return the rows that are to be asked about alone."""
        for row in self.alone:
            batch, places = take(self.batch, [row]), self.places[[row]]
            yield replace(self, told=f"{self.told}, alone", batch=batch, places=places, alone=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One promise of the contract.

    Attributes
    ----------
    name, topic : str
        Stable ids.
    claim : str
        What was done and what has to come of it.
    run : callable
    may_refuse : bool
        Whether an error of the model is an answer, unless the team demands one.
    """

    name: str
    topic: str
    claim: str
    run: Callable[[Trial, Case], Finding]
    may_refuse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """A model, a sample of its inputs with the answers to them, and what the team asks for.

    Attributes
    ----------
    predictor : Predictor
    batch : frame, array or list
        The sample.
    everything : frame, array or list
        All inputs.
    target : array or None
        The true labels of `everything`.
    answer : Answer
        To the sample.
    rules : Rules
    must_answer : mapping of str to frozenset of str or None
        Case -> the columns that must be answered, None for all.
    may_refuse : frozenset of str
        Cases whose refusal the team accepts.
    nan_refuses : bool
        Whether a NaN score for a hostile row is a refusal.
    """

    predictor: Predictor
    batch: Batch
    everything: Batch
    target: npt.NDArray[Any] | None
    answer: Answer
    rules: Rules
    seed: int
    confidence_level: float
    must_answer: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    may_refuse: frozenset[str] = frozenset()
    nan_refuses: bool = False
    float32_tolerance: float = 1e-4
    fallbacks: Mapping[str, object] = field(default_factory=dict)
    positive_label: object = None
    path: Path | None = None
    process: str | None = None
    process_seconds: float = 120.0
    memory_per_call: int = 1024

    def __len__(self) -> int:
        return len(self.batch)

    def first(self, most: int) -> Places:
        """Return the places of the first few rows of the sample."""
        return np.arange(min(most, len(self)), dtype=np.intp)

    def random(self, case: Case) -> np.random.Generator:
        """Return random numbers that depend on the seed and the case alone."""
        return np.random.default_rng([self.seed, *case.name.encode()])

    def demanding(self, case: Case, columns: frozenset[str]) -> Trial:
        """Return this trial with more columns that a case has to answer."""
        known = self.must_answer.get(case.name, frozenset())
        if known is None or not columns:
            return self
        return replace(self, must_answer={**self.must_answer, case.name: known | columns})

    def demands(self, case: Case, column: str | None) -> bool:
        """Say whether a refusal fails the case."""
        if case.name in self.must_answer:
            columns = self.must_answer[case.name]
            if columns is None or column in columns:
                return True
        return not (case.may_refuse or case.name in self.may_refuse)


def over_variants(make: Callable[[Trial, Case], Iterator[Variant]]) -> Callable[[Trial, Case], Finding]:
    """Return a case that asks about each variant and stops at the first that fails."""

    def run(trial: Trial, case: Case) -> Finding:
        return judged(trial, case, make(trial, case))

    return run


def judged(
    trial: Trial, case: Case, variants: Iterable[Variant], *, tolerance: float | None = None
) -> Finding:
    """Ask about each variant; the first that fails ends the case.

    Raises
    ------
    NotApplicableError
        If there is no variant.
    """
    tried = refused = 0
    largest: float | None = None
    refusal = ""
    for variant in variants:
        tried += 1
        found = _asked(trial, case, variant, tolerance)
        if found.status is Status.FAILED:
            return replace(found, tried=tried, refused=refused)
        if found.status is Status.REFUSED:
            refused += 1
            refusal = refusal or found.told
        if found.largest is not None:
            largest = found.largest if largest is None else max(largest, found.largest)
    if tried == 0:
        raise NotApplicableError("the inputs have nothing that it could be tried on")
    return Finding(
        status=Status.REFUSED if refused == tried else Status.PASSED,
        tried=tried,
        refused=refused,
        told=refusal,
        largest=largest,
    )


def _asked(trial: Trial, case: Case, variant: Variant, tolerance: float | None) -> Finding:
    answer = ask(trial.predictor, variant.batch)
    if isinstance(answer, Answer):
        return _judged(trial, case, variant, answer, tolerance)
    told_so = f"{variant.told}: {answer}"
    if answer.is_unfit or trial.demands(case, variant.column):
        return _failed(told_so, variant, 0)
    for part in variant.parts():
        found = _asked(trial, case, part, tolerance)
        if found.status is Status.FAILED:
            return found
    return Finding(status=Status.REFUSED, told=told_so)


def _judged(trial: Trial, case: Case, variant: Variant, answer: Answer, tolerance: float | None) -> Finding:
    """Judge an answer: valid in all rows, and the expected one in those that stand in the sample."""
    known = np.flatnonzero(variant.places != NEW)
    wrong = trial.rules.invalid(answer)
    if trial.nan_refuses and case.may_refuse and not trial.demands(case, variant.column):
        is_nan = np.isnan(answer.matrix).any(axis=1)
        wrong[is_nan & (variant.places == NEW)] = 0
    before = trial.answer if variant.expected is None else variant.expected
    expected = before.at(variant.places[known] if variant.expected is None else known)
    # What was wrong before the change is told by the case that is about it.
    wrong[known[trial.rules.invalid(expected) > 0]] = 0
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        text = f"{WRONG[int(wrong[row])]} for {np.count_nonzero(wrong)} of {len(wrong)} rows"
        return _failed(f"{variant.told}: {text}", variant, row)
    if known.size == 0:
        return Finding(status=Status.PASSED)
    differs, gap = trial.rules.differing(expected, answer.at(known), tolerance=tolerance)
    if not differs.any():
        return Finding(status=Status.PASSED, largest=gap)
    row = int(known[np.flatnonzero(differs)[0]])
    others = "other rows get " if known.size < len(variant.places) else ""
    by = f", scores by up to {gap:.3g}" if np.isfinite(gap) and gap > 0 else ""
    text = f"{others}another answer in {np.count_nonzero(differs)} of {len(differs)} rows{by}"
    return _failed(f"{variant.told}: {text}", variant, row, gap)


def _failed(text: str, variant: Variant, row: int, gap: float | None = None) -> Finding:
    found = failed(text, largest=gap)
    return replace(found, example=one(variant.batch, row)) if len(variant.batch) else found


def one(batch: Batch, row: int) -> JsonValue:
    """Return one input as a few plain values."""
    return told(take(batch, [row]) if is_frame(batch) else batch[row])


def failed(text: str, *, tried: int = 1, largest: float | None = None, example: JsonValue = None) -> Finding:
    """Return that a case failed, and why."""
    finite = largest is not None and np.isfinite(largest)
    return Finding(
        status=Status.FAILED, tried=tried, told=text, largest=largest if finite else None, example=example
    )
