"""One gate's run -> its verdict: by bounds, never by point values, and only a run that passed can pass.

The same function serves the test body (so that a gate fails where it stands), the decision at the end of
the run, and the verifier's replay.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_prodml.policy.load import matches
from pytest_prodml.records import (
    Basis,
    Burden,
    Comparison,
    Criterion,
    Dimension,
    Evidence,
    Gate,
    GateRun,
    Limit,
    Measurement,
    Outcome,
    RunState,
)

#: Dimensions whose evidence is about a model, and must say by digest about which.
MODEL_DIMENSIONS = frozenset(
    {Dimension.PERFORMANCE, Dimension.FAIRNESS, Dimension.BEHAVIOR, Dimension.LATENCY}
)

_STATE_MESSAGES = {
    RunState.SKIPPED: "the test was skipped; a skipped gate proves nothing",
    RunState.XPASSED: "the test passed although it is marked as an expected failure; remove the xfail mark",
    RunState.ERRORED: "a fixture or the teardown raised an error, so the test's outcome does not count",
    RunState.CRASHED: "the process that ran the test died",
    RunState.TIMED_OUT: "the test ran into its time limit",
    RunState.DESELECTED: "the test was collected but deselected (-k, -m, --deselect)",
    RunState.NOT_RUN: "the test was collected but did not run",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What `judge` and `judge_criterion` return; `reason` is a stable code, `message` a sentence."""

    outcome: Outcome
    reason: str
    message: str
    adjusted_p_value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCriterion:
    """One criterion with its own judgement; `by_policy` tells a policy's limit from the test's."""

    criterion: Criterion
    judgement: Judgement
    by_policy: bool = False


def judge(
    gate: Gate,
    run: GateRun,
    *,
    confidence_level: float,
    limits: Sequence[Limit] = (),
    subject_digests: frozenset[str] | None = None,
    allow_unbound_models: bool = False,
) -> Judgement:
    """Judge one run of one gate.

    Parameters
    ----------
    gate, run : Gate, GateRun
        The promise and what happened.
    confidence_level : float
        The least one-sided level at which a bound counts as proof.
    limits : sequence of Limit
        The policy's limits; those whose pattern fits the gate are judged like criteria of the test.
    subject_digests : frozenset of str, optional
        SHA-256 of the certified artefacts. None (inside a test, before there is a certificate) leaves
        out the question whether the evidence is about them.
    allow_unbound_models : bool
        Accept evidence about a model that is not bound to a file by its digest.
    """
    match run.state:
        case RunState.PASSED | RunState.FAILED:
            judged = _judge_evidence(
                gate,
                run,
                confidence_level,
                limits,
                subject_digests,
                allow_unbound_models=allow_unbound_models,
            )
        case RunState.XFAILED:
            return Judgement(
                outcome=Outcome.FAIL,
                reason="xfailed",
                message=_told("the test failed, as its xfail mark expects; expecting it is no waiver", run),
            )
        case state:
            return Judgement(
                outcome=Outcome.INCONCLUSIVE, reason=state.value, message=_told(_STATE_MESSAGES[state], run)
            )
    if run.state is RunState.FAILED and judged.outcome is Outcome.PASS:
        return Judgement(outcome=Outcome.FAIL, reason="failed", message=_told("the test failed", run))
    return judged


def _told(message: str, run: GateRun) -> str:
    return f"{message}: {run.reason}" if run.reason else message


def _judge_evidence(
    gate: Gate,
    run: GateRun,
    confidence_level: float,
    limits: Sequence[Limit],
    subject_digests: frozenset[str] | None,
    *,
    allow_unbound_models: bool,
) -> Judgement:
    own_limits = [limit for limit in limits if matches(limit.gate, gate.id)]
    evidence = run.evidence
    if evidence is None or not evidence.criteria:
        if run.state is RunState.FAILED and (evidence is None or gate.basis is Basis.ASSERTION):
            return Judgement(outcome=Outcome.FAIL, reason="failed", message=_told("the test failed", run))
        if gate.basis is Basis.MEASUREMENTS:
            return Judgement(
                outcome=Outcome.INCONCLUSIVE,
                reason="no-evidence",
                message="the test asked for the gate's fixture but recorded no criterion to meet",
            )
        if own_limits:
            return Judgement(
                outcome=Outcome.INCONCLUSIVE,
                reason="no-measurement",
                message=f"the policy limits {own_limits[0].metric}, and plain asserts measure nothing",
            )
        return Judgement(
            outcome=Outcome.PASS,
            reason="assertion",
            message="the test's own asserts held (no measurement was recorded)",
        )
    if evidence.gate_id != gate.id:
        return Judgement(
            outcome=Outcome.FAIL,
            reason="evidence-mix",
            message=f"the evidence is of the gate {evidence.gate_id}",
        )
    unbound = _unbound(gate, evidence, subject_digests, allow_unbound_models=allow_unbound_models)
    judged = _combine(
        [
            item.judgement
            for item in judge_criteria(gate.id, evidence, confidence_level=confidence_level, limits=limits)
        ]
    )
    return unbound if unbound is not None and judged.outcome is not Outcome.FAIL else judged


def _unbound(
    gate: Gate, evidence: Evidence, subject_digests: frozenset[str] | None, *, allow_unbound_models: bool
) -> Judgement | None:
    if subject_digests is None:
        return None
    for subject in evidence.subjects:
        if subject.digest.get("sha256") not in subject_digests:
            return Judgement(
                outcome=Outcome.FAIL,
                reason="subject-mismatch",
                message=f"the test measured {subject.name}, whose digest is not the certified artefact's",
            )
    if evidence.subjects or allow_unbound_models or gate.dimension not in MODEL_DIMENSIONS:
        return None
    return Judgement(
        outcome=Outcome.INCONCLUSIVE,
        reason="unbound-model",
        message="the model that was measured is not tied to the certified file; return a path from "
        "prodml_model, or tie the object to its file with pytest_prodml.adapters.bind",
    )


def judge_criteria(
    gate_id: str, evidence: Evidence, *, confidence_level: float, limits: Sequence[Limit] = ()
) -> list[JudgedCriterion]:
    """Judge every criterion that holds for a gate: the test's own, then the policy's limits on it.

    `judge` combines these; a report shows them one by one, so the two can not disagree.
    """
    alarms = [criterion for criterion in evidence.criteria if criterion.burden is Burden.VIOLATION]
    adjusted = _adjust(alarms, evidence)
    own = [
        JudgedCriterion(
            criterion=criterion,
            judgement=judge_criterion(
                criterion,
                evidence,
                confidence_level=confidence_level,
                adjusted_p_value=adjusted.get(id(criterion)),
            ),
        )
        for criterion in evidence.criteria
    ]
    fitting = [limit for limit in limits if matches(limit.gate, gate_id)]
    return own + [item for limit in fitting for item in _judge_limit(limit, evidence, confidence_level)]


def _adjust(alarms: Sequence[Criterion], evidence: Evidence) -> dict[int, float]:
    """Holm's step-down over the alarms of one gate (Holm 1979); an alarm without a p-value is left out."""
    p_values = []
    for criterion in alarms:
        found = [m.p_value for m in _measurements(criterion, evidence) if m.p_value is not None]
        if found:
            p_values.append((min(found), id(criterion)))
    adjusted: dict[int, float] = {}
    running = 0.0
    for rank, (p_value, key) in enumerate(sorted(p_values)):
        running = max(running, min(1.0, p_value * (len(alarms) - rank)))
        adjusted[key] = running
    return adjusted


def _judge_limit(limit: Limit, evidence: Evidence, confidence_level: float) -> list[JudgedCriterion]:
    groups = (
        [limit.group]
        if limit.group is not None
        else sorted(
            {m.group for m in evidence.measurements if m.metric == limit.metric},
            key=lambda group: (group is not None, group or ""),
        )
    )
    criteria = [
        Criterion(metric=limit.metric, comparison=limit.comparison, limit=limit.limit, group=group)
        for group in groups or [None]
    ]
    return [
        JudgedCriterion(
            criterion=criterion,
            judgement=judge_criterion(
                criterion, evidence, confidence_level=confidence_level, source="the policy's limit"
            ),
            by_policy=True,
        )
        for criterion in criteria
    ]


def _measurements(criterion: Criterion, evidence: Evidence) -> list[Measurement]:
    return [m for m in evidence.measurements if m.metric == criterion.metric and m.group == criterion.group]


_SEVERITY = {Outcome.FAIL: 0, Outcome.INCONCLUSIVE: 1, Outcome.PASS: 2}


def _combine(judgements: Sequence[Judgement]) -> Judgement:
    worst = min(judgements, key=lambda judged: _SEVERITY[judged.outcome])
    told = [judged.message for judged in judgements if judged.outcome is worst.outcome]
    if worst.outcome is not Outcome.PASS:
        others = [j for j in judgements if j.outcome not in (worst.outcome, Outcome.PASS)]
        told += [judged.message for judged in others]
    more = f"; and {len(told) - 4} more" if len(told) > 4 else ""
    return Judgement(
        outcome=worst.outcome,
        reason=worst.reason,
        message="; ".join(told[:4]) + more,
        adjusted_p_value=worst.adjusted_p_value,
    )


def judge_criterion(
    criterion: Criterion,
    evidence: Evidence,
    *,
    confidence_level: float,
    adjusted_p_value: float | None = None,
    source: str = "",
) -> Judgement:
    """Judge one criterion against the measurement of its metric and group.

    Under `compliance` the bound on the safe side must satisfy the limit (pass), the bound on the other side
    must violate it (fail), else it is inconclusive. Under `violation` only a proven violation fails.

    Parameters
    ----------
    criterion, evidence : Criterion, Evidence
        The limit, and the measurements among which its own is looked up. Several measurements of one
        metric and group must all satisfy it.
    confidence_level : float
        The least one-sided level at which a bound counts as proof.
    adjusted_p_value : float, optional
        For alarms that belong to a family: the p-value after the family's correction decides.
    source : str
        Where the limit comes from, for the message; empty for the test itself.
    """
    name = f"{criterion.metric} [{criterion.group}]" if criterion.group is not None else criterion.metric
    found = _measurements(criterion, evidence)
    if not found:
        what = f" ({source})" if source else ""
        return _inconclusive("no-measurement", f"{name} was not measured{what}")
    return _combine(
        [_judge_measurement(criterion, m, name, confidence_level, adjusted_p_value, source) for m in found]
    )


def _judge_measurement(
    criterion: Criterion,
    measured: Measurement,
    name: str,
    confidence_level: float,
    adjusted_p_value: float | None,
    source: str,
) -> Judgement:
    invalid = _invalid(measured, confidence_level)
    if invalid is not None:
        reason, message = invalid
        return _inconclusive(reason, f"{name}: {message}")
    at_least = criterion.comparison is Comparison.AT_LEAST
    edge = criterion.limit - criterion.margin if at_least else criterion.limit + criterion.margin
    safe, risky = (measured.lower, measured.upper) if at_least else (measured.upper, measured.lower)
    # Positive comparisons only: a comparison with NaN is False, and False must never mean "passed".
    proven = safe is not None and (safe >= edge if at_least else safe <= edge)
    refuted = risky is not None and (risky < edge if at_least else risky > edge)
    if criterion.burden is Burden.VIOLATION:
        if adjusted_p_value is not None:
            refuted = adjusted_p_value <= 1 - confidence_level
        proven = not refuted
    message = _message(criterion, measured, name, edge, source)
    if refuted:
        return Judgement(
            outcome=Outcome.FAIL, reason="refuted", message=message, adjusted_p_value=adjusted_p_value
        )
    if proven:
        reason = "proven" if criterion.burden is Burden.COMPLIANCE else "no-violation-proven"
        return Judgement(
            outcome=Outcome.PASS, reason=reason, message=message, adjusted_p_value=adjusted_p_value
        )
    need = (
        f"; about {measured.n_required:,} would decide if the true value is the observed one"
        if measured.n_required is not None
        else ""
    )
    note = f" ({measured.note})" if measured.note else ""
    return _inconclusive("not-proven", f"{message}: not proven with {measured.n_samples:,} rows{need}{note}")


def _invalid(measured: Measurement, confidence_level: float) -> tuple[str, str] | None:
    if measured.value is None or measured.n_samples < 1:
        return "not-estimable", f"not estimable ({measured.note or 'no value'})"
    if not all(map(math.isfinite, _numbers(measured))):
        return "invalid-measurement", "holds a number that is not finite"
    tolerance = 1e-9 * max(1.0, abs(measured.value))
    too_high = measured.lower is not None and measured.lower > measured.value + tolerance
    too_low = measured.upper is not None and measured.upper < measured.value - tolerance
    if too_high or too_low:
        return "invalid-measurement", "the bounds do not contain the measured value"
    if not confidence_level <= measured.confidence_level <= 1:
        return (
            "confidence-level",
            f"bounds at {measured.confidence_level:.4g}, the policy asks for {confidence_level:.4g}",
        )
    return None


def _numbers(measured: Measurement) -> Iterable[float]:
    numbers = (measured.value, measured.lower, measured.upper, measured.confidence_level)
    return (number for number in numbers if number is not None)


def _inconclusive(reason: str, message: str) -> Judgement:
    return Judgement(outcome=Outcome.INCONCLUSIVE, reason=reason, message=message)


def _message(criterion: Criterion, measured: Measurement, name: str, edge: float, source: str) -> str:
    unit = "" if measured.unit in {"1", ""} else f" {measured.unit}"
    low = "-inf" if measured.lower is None else f"{measured.lower:.4g}"
    high = "inf" if measured.upper is None else f"{measured.upper:.4g}"
    word = "at least" if criterion.comparison is Comparison.AT_LEAST else "at most"
    margin = f" (limit {criterion.limit:.4g}, margin {criterion.margin:.4g})" if criterion.margin else ""
    origin = f" by {source}" if source else ""
    told = f"{name} = {measured.value:.4g}{unit} [{low}, {high}]"
    return f"{told}, must be {word} {edge:.4g}{unit}{margin}{origin}"
