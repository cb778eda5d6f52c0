"""A relation and inputs -> how often the model breaks it, or whether it ever does, with the smallest example.

Two different claims are made from the same rule. A *rate* (`at_most`) is about a stated distribution of
inputs and has a bound: at most 0.5 % of clients get another decision. *Existence* (`never`) is about a rule
that must not be broken at all: known counterexamples, the inputs at hand and generated ones are searched, and
a pass says how many were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import subjects_of
from pytest_prodml.checks.behavior.batches import Batch, Inputs, join, take
from pytest_prodml.checks.behavior.corpus import Known, keep, read_known
from pytest_prodml.checks.behavior.counterexamples import counterexamples
from pytest_prodml.checks.behavior.relation import Relation, Tried
from pytest_prodml.checks.behavior.sources import (
    EXTREME,
    OBSERVED,
    Source,
    answerable,
    is_strategy,
    replayed,
    sources_of,
)
from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.counts import check_share, exact
from pytest_prodml.checks.evidence import measurement
from pytest_prodml.checks.people import flagged_share
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue, Measurement, Subject
from pytest_prodml.statistics.design import Design, design_of
from pytest_prodml.statistics.intervals import proportion

#: Of an existence gate: how many inputs break the rule.
VIOLATIONS = "violations"
_BLOCK = 100_000


class Options(TypedDict, total=False):
    """What every check of a relation takes beside its own parameters.

    Parameters
    ----------
    at_most : float
        The share of inputs that may break the rule (a rate). Either this or `never`.
    never : bool
        Search for any input that breaks the rule (existence).
    inputs : str, sequence of str, or Hypothesis strategy
        "observed" (the inputs at hand), "plausible" or "extreme" (made from them and the schema, see
        `generator.generate`). A rate is about one of them, default "observed"; existence looks through
        several, default "observed" and "plausible" of a table. A strategy of one's own (of rows as dicts,
        texts, arrays) is searched for existence, with Hypothesis' own shrinking.
    n_inputs : int
        How many inputs to make; default 10,000, with a strategy 1,000.
    schema : pandera schema
        What rows may be; generated rows that it refuses are not used.
    known : Path
        A file of counterexamples that were found before. They are tried first, and new ones are added.
    redact : bool
        Leave inputs out of the evidence and out of that file.
    sample_weight, clusters : array-like, shape (n,)
        How many people an observed input stands for; inputs of one person. For rates over observed inputs.
    confidence_level : float
        Of the one-sided bound.
    seed : int
        Of all that is generated.
    """

    at_most: float | None
    never: bool
    inputs: Any
    n_inputs: int | None
    schema: Any
    known: Path | None
    redact: bool
    sample_weight: npt.ArrayLike | None
    clusters: npt.ArrayLike | None
    confidence_level: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """The options of one check with their defaults."""

    gate_id: str
    at_most: float | None = None
    never: bool = False
    inputs: Any = None
    n_inputs: int | None = None
    schema: Any = None
    known: Path | None = None
    redact: bool = False
    sample_weight: npt.ArrayLike | None = None
    clusters: npt.ArrayLike | None = None
    confidence_level: float = 0.95
    seed: int = 0

    def check(self, rule: str) -> None:
        """Refuse a request that is no claim, or two.

        Raises
        ------
        InputError
            If not exactly one of `at_most` and `never` is given, or another option does not go with it.
        """
        if (self.at_most is None) != bool(self.never):
            raise InputError(
                "is either a rate or a rule that is never broken",
                where=rule,
                hint="give at_most=0.01 for a share of inputs, or never=True for a search",
            )
        if self.at_most is not None:
            check_share(self.at_most)
        if self.n_inputs is not None and (
            isinstance(self.n_inputs, bool) or not isinstance(self.n_inputs, int) or self.n_inputs < 1
        ):
            raise InputError(f"n_inputs must be a whole number from 1 on, got {self.n_inputs!r}", where=rule)


def settled(relation: Relation, data: Inputs, request: Request) -> Evidence:
    """Count or search, as was asked, and return the evidence.

    Raises
    ------
    InputError
        If the request makes no sense, the rule says nothing about any input, or the model does not answer
        an input that it has to.
    """
    request.check(relation.name)
    if request.at_most is not None:
        return _rate(relation, data, request, request.at_most)
    return _existence(relation, data, request)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """A relation tried on all inputs of a source."""

    source: Source
    tried: Tried

    @property
    def n(self) -> int:
        """How many inputs the rule says something about."""
        return int(self.tried.applies.sum())

    @property
    def n_broken(self) -> int:
        """How many of them break it."""
        return int(self.tried.broken.sum())


def _rate(relation: Relation, data: Inputs, request: Request, at_most: float) -> Evidence:
    if is_strategy(request.inputs):
        raise InputError(
            "Hypothesis draws from no distribution, so there is no rate over its examples",
            where=relation.name,
            hint="never=True searches them; a rate is about 'observed' or 'plausible' inputs",
        )
    names = [request.inputs] if isinstance(request.inputs, str) else list(request.inputs or [OBSERVED])
    if len(names) != 1:
        raise InputError(
            f"a rate is about one kind of inputs, got {', '.join(map(str, names))}", where=relation.name
        )
    source = _usable(relation, sources_of(names, data, request)[0])
    design = _design(source, data, request)
    found = Outcome(source=source, tried=tried_on(relation, source.batch))
    rows = np.flatnonzero(found.tried.applies)
    if rows.size == 0:
        raise _nothing(relation)
    criterion = Criterion(
        metric=relation.metric, comparison=Comparison.AT_MOST, limit=at_most, group=relation.group
    )
    measured = measurement(
        relation.metric,
        flagged_share(found.tried.broken[rows], design.subset(rows), of="inputs"),
        criteria=[criterion],
        n_samples=int(rows.size),
        confidence_level=request.confidence_level,
        higher_is_better=False,
        group=relation.group,
        note=f"share of {source.name} inputs that break the rule: {relation.rule}",
    )
    known = _known(relation, data, request)
    again = _again(relation, known)
    return _evidence(relation, data, request, [measured], (criterion,), [found], known=known, again=again)


def _existence(relation: Relation, data: Inputs, request: Request) -> Evidence:
    known = _known(relation, data, request)
    again = _again(relation, known)
    default = [OBSERVED, "plausible"] if data.is_frame else [OBSERVED]
    given = request.inputs
    outcomes = []
    if is_strategy(given):
        source = replayed(given, relation, data, request)
        outcomes.append(Outcome(source=source, tried=tried_on(relation, source.batch)))
    else:
        names = [given] if isinstance(given, str) else list(given or default)
        for source in sources_of(names, data, request):
            usable = _usable(relation, source)
            outcomes.append(Outcome(source=usable, tried=tried_on(relation, usable.batch)))
    n_known = 0 if again is None else int(again.applies.sum())
    n_tried = n_known + sum(item.n for item in outcomes)
    if n_tried == 0:
        raise _nothing(relation)
    n_broken = sum(item.n_broken for item in outcomes) + (0 if again is None else int(again.broken.sum()))
    criterion = limited(VIOLATIONS, 0, group=relation.group)
    measurements = [
        exact(
            VIOLATIONS,
            n_broken,
            n_tried,
            group=relation.group,
            unit="inputs",
            method="exact count over the inputs that were searched",
            note=f"a search, no sample: {relation.rule}",
        )
    ]
    measurements += [
        _excluded(relation, item, request) for item in outcomes if item.source.is_sample and item.n
    ]
    return _evidence(relation, data, request, measurements, (criterion,), outcomes, known=known, again=again)


def _excluded(relation: Relation, found: Outcome, request: Request) -> Measurement:
    """Return which share a search of this size bounds; told beside the count, judged by nobody."""
    return measurement(
        relation.metric,
        proportion(found.n_broken, found.n, of="inputs"),
        n_samples=found.n,
        confidence_level=request.confidence_level,
        higher_is_better=False,
        group=f"{relation.group}, {found.source.name} inputs",
    )


def tried_on(relation: Relation, batch: Batch) -> Tried:
    """Try a relation on any number of inputs, in blocks, so that the copies that it makes stay small."""
    n = len(batch)
    if n <= _BLOCK:
        return relation.try_on(batch)
    starts = list(range(0, n, _BLOCK))
    parts = [relation.try_on(take(batch, np.arange(start, min(start + _BLOCK, n)))) for start in starts]
    return Tried(
        applies=np.concatenate([part.applies for part in parts]),
        broken=np.concatenate([part.broken for part in parts]),
        excess=np.concatenate([part.excess for part in parts]),
        pair=lambda row: parts[row // _BLOCK].pair(row % _BLOCK),
    )


def _usable(relation: Relation, source: Source) -> Source:
    """Leave out extreme inputs that the model refuses: refusing them breaks no rule about answers."""
    if source.name != EXTREME:
        return source
    mask = answerable(relation.asker.predictor, source.batch)
    n_refused = int((~mask).sum())
    if n_refused == len(mask):
        raise InputError(
            f"the model refuses all {n_refused:,} extreme inputs, so nothing about them can be shown",
            where=relation.asker.predictor.description,
        )
    notes = {**source.notes, "refused by the model": n_refused}
    return replace(source, batch=take(source.batch, mask), notes=notes)


def _design(source: Source, data: Inputs, request: Request) -> Design:
    if source.name == OBSERVED:
        return design_of(len(data), sample_weight=request.sample_weight, groups=request.clusters)
    return Design()


def _known(relation: Relation, data: Inputs, request: Request) -> Known:
    return read_known(request.known, _rule_key(relation), data.batch, gate_id=request.gate_id)


def _rule_key(relation: Relation) -> str:
    return f"{relation.name} {relation.group}"


def _again(relation: Relation, known: Known) -> Tried | None:
    """Try what was found before; what the model refuses today breaks nothing."""
    if not known.inputs:
        return None
    batch = join(known.inputs)
    used = np.flatnonzero(answerable(relation.asker.predictor, batch))
    return tried_on(relation, take(batch, used)) if used.size else None


def _nothing(relation: Relation) -> InputError:
    return InputError(
        f"{relation.nothing}, so the rule says nothing about any of these inputs: {relation.rule}",
        where=relation.group,
        hint="give other inputs, or ask for a change that they can take",
    )


def _evidence(
    relation: Relation,
    data: Inputs,
    request: Request,
    measurements: Sequence[Measurement],
    criteria: tuple[Criterion, ...],
    outcomes: Sequence[Outcome],
    *,
    known: Known,
    again: Tried | None,
) -> Evidence:
    details: dict[str, JsonValue] = {"rule": relation.rule, "inputs_tried": _tried_table(outcomes)}
    if relation.asker.threshold is not None:
        details["threshold"] = relation.asker.threshold
    if known.inputs or known.n_unfit:
        details["known_counterexamples"] = {
            "tried": 0 if again is None else int(again.applies.sum()),
            "still_broken": 0 if again is None else int(again.broken.sum()),
            "no_longer_fitting_the_data": known.n_unfit,
        }
    found = counterexamples(
        relation, data, [(item.source, item.tried) for item in outcomes], again, request=request
    )
    against = [float(np.max(item.excess)) for item in _all_tried(outcomes, again) if item.broken.any()]
    if against:
        details["furthest_against_the_rule"] = max(against)
    details |= found.details
    if request.known is not None and found.minimal and _misses(measurements[0], criteria[0]):
        keep(request.known, _rule_key(relation), found.minimal)
    materials: list[Subject] = [*data.materials, *([known.material] if known.material is not None else [])]
    return Evidence(
        gate_id=request.gate_id,
        measurements=tuple(measurements),
        criteria=criteria,
        subjects=subjects_of(relation.asker.predictor),
        materials=tuple(materials),
        seed=request.seed,
        details=details,
    )


def _misses(measured: Measurement, criterion: Criterion) -> bool:
    """Say whether more inputs break the rule than may: what a rate allows is nothing to be kept."""
    return measured.value is not None and measured.value > criterion.limit


def _all_tried(outcomes: Sequence[Outcome], again: Tried | None) -> list[Tried]:
    return [*([] if again is None else [again]), *(item.tried for item in outcomes)]


def _tried_table(outcomes: Sequence[Outcome]) -> JsonValue:
    table: list[JsonValue] = []
    for item in outcomes:
        row: dict[str, JsonValue] = {
            "inputs": item.source.name,
            "made": len(item.source.batch),
            "the rule applies to": item.n,
            "break it": item.n_broken,
        }
        table.append(row | dict(item.source.notes))
    return table
