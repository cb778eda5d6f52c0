"""Inputs that break a rule -> the few that a reader should see: the worst as they are, and the smallest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_prodml.checks.behavior.batches import Batch, Inputs, is_frame, told
from pytest_prodml.checks.behavior.relation import Pair, Relation, Tried
from pytest_prodml.checks.behavior.shrink_items import shrink_item
from pytest_prodml.checks.counts import plain
from pytest_prodml.records import JsonValue

if TYPE_CHECKING:
    from pytest_prodml.checks.behavior.search import Request
    from pytest_prodml.checks.behavior.sources import Source

_MOST_EXAMPLES = 5
_KNOWN = "known"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counterexamples:
    """What goes into the evidence, and the smallest inputs (batches of one) to be kept."""

    details: Mapping[str, JsonValue] = field(default_factory=dict)
    minimal: Sequence[Batch] = ()


def counterexamples(
    relation: Relation,
    data: Inputs,
    outcomes: Sequence[tuple[Source, Tried]],
    again: Tried | None,
    *,
    request: Request,
) -> Counterexamples:
    """Show the inputs that go furthest against a rule, and make the furthest one as small as it gets."""
    worst = _worst(outcomes, again)
    if not worst or request.redact:
        return Counterexamples()
    details: dict[str, JsonValue] = {}
    kind, tried, row = worst[0]
    given = next((source.minimal for source, _ in outcomes if source.minimal is not None), None)
    one = given if given is not None else tried.pair(row)[0]
    smallest, note = _shrunk(relation, data, one, request, is_done=given is not None)
    details["counterexamples"] = [_example(relation, *found) for found in worst[:_MOST_EXAMPLES]]
    details["minimal_counterexample"] = note.table
    details["minimal_counterexample_found"] = {"among": f"{kind} inputs", **note.facts}
    # A known one is kept already; smaller against other data it would be kept again and again.
    return Counterexamples(details=details, minimal=[] if kind == _KNOWN else [smallest])


def _worst(outcomes: Sequence[tuple[Source, Tried]], again: Tried | None) -> list[tuple[str, Tried, int]]:
    """Return the inputs that break the rule, the furthest first: known, at hand, then made."""
    parts = [(_KNOWN, again)] if again is not None else []
    parts += [(source.name, tried) for source, tried in outcomes]
    found = []
    for name, tried in parts:
        rows = np.flatnonzero(tried.broken)
        order = rows[np.lexsort((rows, -tried.excess[rows]))]
        found += [(name, tried, int(row)) for row in order[:_MOST_EXAMPLES]]
    return found


def _example(relation: Relation, kind: str, tried: Tried, row: int) -> JsonValue:
    pair = tried.pair(row)
    left, right = pair
    shown: dict[str, JsonValue] = {"inputs": kind}
    if is_frame(left):
        shown["row"] = plain(left.index[0])
        for name in _changed(pair):
            shown[f"{name} before"] = plain(left[name].iloc[0])
            shown[f"{name} after"] = plain(right[name].iloc[0])
    else:
        shown["input"], shown["changed"] = _words(left), _words(right)
    return shown | _answers(relation, pair)


def _words(one: Batch) -> JsonValue:
    shown = told(one[0])
    return shown if not isinstance(shown, (list, dict)) else str(shown)[:300]


def _changed(pair: Pair) -> list[Any]:
    left, right = pair
    return [name for name in left.columns if plain(left[name].iloc[0]) != plain(right[name].iloc[0])]


def _answers(relation: Relation, pair: Pair) -> dict[str, JsonValue]:
    """Return scores (and decisions) of the two inputs."""
    shown: dict[str, JsonValue] = {}
    for when, one in zip(("before", "after"), pair, strict=True):
        answer = relation.asker.ask(one)
        score = np.atleast_1d(answer.scores[0])
        shown[f"score {when}"] = plain(score[0]) if score.size == 1 else str([plain(part) for part in score])
        if answer.decisions is not None and relation.asker.threshold is None:
            shown[f"decision {when}"] = plain(answer.decisions[0])
    return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    table: list[JsonValue]
    facts: dict[str, JsonValue]


def _shrunk(
    relation: Relation, data: Inputs, one: Batch, request: Request, *, is_done: bool
) -> tuple[Batch, _Note]:
    """Make an input smaller that breaks a rule, and tell how it differs from an ordinary one."""

    def fails(batch: Batch) -> Any:  # noqa: ANN401 - an array of bool
        from pytest_prodml.checks.behavior.sources import answerable

        # A candidate that the model refuses breaks nothing.
        answered = np.flatnonzero(answerable(relation.asker.predictor, batch))
        broken = np.zeros(len(batch), dtype=np.bool_)
        if answered.size:
            from pytest_prodml.checks.behavior.batches import take

            whole = answered.size == len(batch)
            broken[answered] = relation.try_on(batch if whole else take(batch, answered)).broken
        return broken

    if not is_frame(one):
        if is_done:
            return one, _of_item(relation, one, {})
        found = shrink_item(one, fails)
        # What is smaller must still break the rule when it is asked alone.
        kept = found.item if bool(fails(found.item)[0]) else one
        return kept, _of_item(relation, kept, {"rounds": found.n_rounds, "inputs_tried": found.n_tried})
    from pytest_prodml.checks.behavior.profile import profile_of
    from pytest_prodml.checks.behavior.shrink import shrink

    profile = profile_of(data, schema=request.schema)
    if is_done:
        return one, _of_row(relation, one, profile.typical, {})
    smaller = shrink(one, fails, profile, seed=request.seed)
    facts: dict[str, JsonValue] = {
        "differs_from_an_ordinary_row_in": ", ".join(map(str, smaller.changed)) or "nothing",
        "rounds": smaller.n_rounds,
        "rows_tried": smaller.n_rows_tried,
    }
    if smaller.boundary:
        facts["still_broken_up_to"] = {str(name): value for name, value in smaller.boundary.items()}
    return smaller.row, _of_row(relation, smaller.row, smaller.base, facts)


def _of_row(relation: Relation, one: Batch, ordinary: Batch, facts: dict[str, JsonValue]) -> _Note:
    tried = relation.try_on(one)
    pair = tried.pair(0)
    left, right = pair
    moved = set(_changed(pair))
    table: list[JsonValue] = []
    for name in one.columns:
        normal, before, after = (plain(item[name].iloc[0]) for item in (ordinary, left, right))
        if name in moved or normal != before:
            table.append(
                {
                    "column": str(name),
                    "ordinary row": normal,
                    "before": before,
                    "after": after,
                    "changed": name in moved,
                }
            )
    answers = _answers(relation, pair)
    table += [
        {"column": what, "before": answers[f"{what} before"], "after": answers[f"{what} after"]}
        for what in ("score", "decision")
        if f"{what} before" in answers
    ]
    return _Note(table=table, facts=facts)


def _of_item(relation: Relation, one: Batch, facts: dict[str, JsonValue]) -> _Note:
    pair = relation.try_on(one).pair(0)
    answers = _answers(relation, pair)
    table: list[JsonValue] = [{"what": "input", "before": _words(pair[0]), "after": _words(pair[1])}]
    table += [
        {"what": what, "before": answers[f"{what} before"], "after": answers[f"{what} after"]}
        for what in ("score", "decision")
        if f"{what} before" in answers
    ]
    return _Note(table=table, facts=facts)
