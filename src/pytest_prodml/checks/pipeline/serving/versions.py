"""Answers that say which model gave them -> Evidence that it is the right one, always or soon enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_prodml.adapters.serving.load import Answers
from pytest_prodml.checks.counts import at_most, check_count, exact
from pytest_prodml.checks.pipeline.serving.judged import told_of
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level

_MOST_EXAMPLES = 5


def traceable(
    told: Sequence[Mapping[str, str | None]],
    expected: Mapping[str, str],
    *,
    gate_id: str,
    details: Mapping[str, JsonValue] | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that every answer says by which model, code and data it was made, and says it right.

    Measures, exactly over these answers: ``untraceable``, those that leave something out; ``mistraced``,
    those that say something else than what is certified.

    Parameters
    ----------
    told : sequence of mapping
        For each successful answer what it says, by name; None where it says nothing.
    expected : mapping
        What is right, by the same names: ``{"model": "sha256:..."}``.
    details : mapping, optional
        More for the record.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If there is no answer, or nothing that it should say.
    """
    del seed
    checked_level(confidence_level)
    if not told or not expected:
        raise InputError("expected answers, and what each should say", where=gate_id)
    untraceable = [answer for answer in told if any(not answer.get(name) for name in expected)]
    wrong = [
        answer
        for answer in told
        if any(answer.get(name) and answer[name] != value for name, value in expected.items())
    ]
    examples: list[JsonValue] = [
        {name: answer.get(name) for name in expected} for answer in [*wrong, *untraceable][:_MOST_EXAMPLES]
    ]
    return Evidence(
        gate_id=gate_id,
        measurements=(
            exact("untraceable", len(untraceable), len(told), unit="answers"),
            exact("mistraced", len(wrong), len(told), unit="answers"),
        ),
        criteria=(at_most("untraceable", 0), at_most("mistraced", 0)),
        details={"expected": dict(expected), "examples": examples, **(details or {})},
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Switch:
    """A run during which another version was published.

    Parameters
    ----------
    answers : Answers
        Of an open loop, from before to well after.
    versions : sequence of str or None
        Which version each request was answered by; None: none, or it does not say.
    published : float
        When, in seconds from the start of the run.
    """

    answers: Answers
    versions: Sequence[str | None]
    published: float


def updates_within(
    seconds: float,
    switch: Switch,
    before: str,
    after: str,
    *,
    gate_id: str,
    failures_at_most: float = 0,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a published version is soon the only one that answers, and that no client notices the change.

    Measures, exactly over this run: ``switch_seconds``, from the publication to the last request that was
    still answered by another version (or by the new one before it was published, which can not be);
    ``failed_requests``; ``unknown_versions``, answers by neither of the two.

    Parameters
    ----------
    seconds : float
        The limit.
    switch : Switch
        The run.
    before, after : str
        The two versions.
    failures_at_most : float
        Requests that may fail.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If the two versions are one, nothing was answered before the publication, or the run ends too early.
    """
    del seed
    checked_level(confidence_level)
    check_count(failures_at_most, "failures_at_most")
    if before == after:
        raise InputError("the version that is published is the one that serves", where=gate_id)
    _check(seconds, switch, before, gate_id)
    sent = np.nan_to_num(switch.answers.sent, nan=-1.0)
    late = [
        float(moment) - switch.published
        for moment, version in zip(sent, switch.versions, strict=True)
        if version is not None and version != after and moment > switch.published
    ]
    taken = max(late, default=0.0)
    is_new = any(version == after for version in switch.versions)
    unknown = sum(version is not None and version not in {before, after} for version in switch.versions)
    left = float(switch.answers.intended[-1]) - switch.published
    return Evidence(
        gate_id=gate_id,
        measurements=(
            _duration("switch_seconds", taken if is_new else left, is_known=is_new),
            _failed(switch),
            exact("unknown_versions", unknown, len(switch.versions), unit="answers"),
        ),
        criteria=(
            at_most("switch_seconds", seconds),
            at_most("failed_requests", failures_at_most),
            at_most("unknown_versions", 0),
        ),
        details={**_told(switch), "before": before, "after": after},
    )


def rolls_back_within(
    seconds: float,
    switch: Switch,
    good: str,
    *,
    pointer_back: float | None,
    gate_id: str,
    failures_at_most: float = 0,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a version which is not healthy never answers, and that the one before stands again soon.

    Measures, exactly over this run: ``rollback_seconds``, from the publication of the bad version to the
    moment from which the pointer names the good one again; ``wrong_version_answers``, by any other version
    than the good one; ``failed_requests``.

    Parameters
    ----------
    seconds : float
        The limit.
    switch : Switch
        The run, during which the version that is not healthy was published.
    good : str
        The version that served before.
    pointer_back : float or None
        When the pointer named the good version again, for good, in seconds from the start of the run; None:
        it never did.
    failures_at_most : float
        Requests that may fail.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If nothing was answered before the publication, or the run ends too early.
    """
    del seed
    checked_level(confidence_level)
    check_count(failures_at_most, "failures_at_most")
    _check(seconds, switch, good, gate_id)
    wrong = sum(version is not None and version != good for version in switch.versions)
    silent = sum(
        version is None and bool(answered)
        for version, answered in zip(switch.versions, switch.answers.is_answered, strict=True)
    )
    left = float(switch.answers.intended[-1]) - switch.published
    taken = left if pointer_back is None else max(pointer_back - switch.published, 0.0)
    wrong_answers = exact("wrong_version_answers", wrong, len(switch.versions), unit="answers")
    if silent:
        note = f"{silent:,} answers do not say which version gave them"
        wrong_answers = replace(wrong_answers, upper=None, note=note)
    return Evidence(
        gate_id=gate_id,
        measurements=(
            _duration("rollback_seconds", taken, is_known=pointer_back is not None),
            wrong_answers,
            _failed(switch),
        ),
        criteria=(
            at_most("rollback_seconds", seconds),
            at_most("wrong_version_answers", 0),
            at_most("failed_requests", failures_at_most),
        ),
        details={**_told(switch), "good": good},
    )


def _check(seconds: float, switch: Switch, before: str, where: str) -> None:
    if not 0 < seconds < math.inf:
        raise InputError(f"expected a number of seconds above 0, got {seconds!r}", where=where)
    answers = switch.answers
    earlier = [
        version
        for moment, version in zip(answers.intended, switch.versions, strict=True)
        if moment < switch.published
    ]
    if before not in earlier:
        raise InputError(
            "before the publication no answer came from the version that should have served",
            where=where,
            hint=f"expected {before!r}, found {sorted({str(version) for version in earlier})[:3]}",
        )
    if float(answers.intended[-1]) < switch.published + seconds:
        raise InputError(f"the run ends before {seconds:g} s after the publication have passed", where=where)


def _failed(switch: Switch) -> Measurement:
    n_failed = int(np.count_nonzero(~switch.answers.is_answered))
    return exact("failed_requests", n_failed, len(switch.answers), unit="requests")


def _duration(metric: str, seconds: float, *, is_known: bool) -> Measurement:
    return Measurement(
        metric=metric,
        value=seconds,
        lower=seconds,
        upper=seconds if is_known else None,
        confidence_level=1.0,
        method="clock of this machine, one run",
        n_samples=1,
        unit="s",
        higher_is_better=False,
        note=None if is_known else "it had not happened when the run ended",
    )


def _told(switch: Switch) -> dict[str, JsonValue]:
    counts: dict[str, JsonValue] = {}
    for version in switch.versions:
        name = str(version)[:100] if version is not None else "(none)"
        if name in counts or len(counts) < 20:
            counts[name] = int(str(counts.get(name, 0))) + 1
    return {**told_of(switch.answers), "published": switch.published, "answers_of_each_version": counts}
