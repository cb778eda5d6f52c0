"""One gate's run -> its verdict: by bounds, never by point values, and only a run that passed can pass.

The same function serves the test body (so that a gate fails where it stands), the decision at the end of
the run, and the verifier's replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_prodml.policy.criterion import (
    Judgement,
    combine,
    inconclusive,
    judge_criterion,
    measurements_of,
)
from pytest_prodml.policy.hardware import Standing, Tier
from pytest_prodml.policy.load import matches
from pytest_prodml.records import (
    Basis,
    Burden,
    Criterion,
    Dimension,
    Evidence,
    Gate,
    GateRun,
    Limit,
    Outcome,
    Policy,
    RunState,
)

#: Gates in which a silent alarm suffices, where a policy does not say: nobody can prove that nothing drifts.
DEFAULT_ALARM_GATES = ("data.*",)
#: The group under which a comparison of two models measures the one that is judged.
_CANDIDATE = "candidate"
#: A measurement of this name says that the group which it is about was left out, and how many rows it has.
LEFT_OUT = "left_out_group_rows"
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
    rule: Rule | None = None,
    standing: Standing | None = None,
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
    rule : Rule, optional
        Who has to prove it; default `rule_of` no policy.
    standing : Standing, optional
        For which hardware target the evidence can count; None where none is claimed.
    """
    rule = rule_of(None, gate.id) if rule is None else rule
    match run.state:
        case RunState.PASSED | RunState.FAILED:
            judged = _judge_evidence(
                gate,
                run,
                confidence_level,
                limits,
                subject_digests,
                rule,
                standing,
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
    rule: Rule,
    standing: Standing | None,
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
        if gate.dimension is Dimension.LATENCY and standing is not None and standing.tier is Tier.FOREIGN:
            return inconclusive("foreign-host", f"the test's own asserts held, {_elsewhere(standing)}")
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
    judged = combine(
        [
            item.judgement
            for item in judge_criteria(
                gate.id,
                evidence,
                confidence_level=confidence_level,
                limits=limits,
                rule=rule,
                standing=standing,
            )
        ]
    )
    if judged.outcome is Outcome.FAIL:
        return judged
    return unbound or _left_out(evidence, rule) or judged


def _left_out(evidence: Evidence, rule: Rule) -> Judgement | None:
    """Return that a group was left out which the policy does not allow to be."""
    least = rule.min_group
    kept = [
        f"{found.group}: {found.n_samples:,} rows"
        for found in evidence.measurements
        if found.metric == LEFT_OUT and (least is None or max(found.n_samples, found.value or 0) >= least)
    ]
    if not kept:
        return None
    more = f"; and {len(kept) - 4} more" if len(kept) > 4 else ""
    allowed = "no group" if least is None else f"no group of {least:,} rows or more"
    return inconclusive(
        "group-left-out",
        f"groups were left out ({'; '.join(kept[:4])}{more}), and the policy allows {allowed} to be",
    )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who has to prove it in a gate, and for whom: see `Policy.burden`, `alarm_gates` and `min_group`."""

    guard: bool = False
    alarms_suffice: bool = False
    min_group: int | None = None


def rule_of(policy: Policy | None, gate_id: str) -> Rule:
    """Return who has to prove it in a gate; without a policy nothing is certified, and an alarm suffices."""
    if policy is None:
        return Rule(alarms_suffice=True)
    patterns = DEFAULT_ALARM_GATES if policy.alarm_gates is None else policy.alarm_gates
    return Rule(
        guard=policy.burden is Burden.VIOLATION,
        alarms_suffice=any(matches(pattern, gate_id) for pattern in patterns),
        min_group=policy.min_group,
    )


def judge_criteria(
    gate_id: str,
    evidence: Evidence,
    *,
    confidence_level: float,
    limits: Sequence[Limit] = (),
    rule: Rule | None = None,
    standing: Standing | None = None,
) -> list[JudgedCriterion]:
    """Judge every criterion that holds for a gate: the test's own, then the policy's limits on it.

    `judge` combines these; a report shows them one by one, so the two can not disagree.
    """
    rule = rule_of(None, gate_id) if rule is None else rule
    if rule.guard:
        evidence = replace(evidence, criteria=tuple(map(_as_alarm, evidence.criteria)))
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
                alarms_suffice=rule.guard or rule.alarms_suffice,
            ),
        )
        for criterion in evidence.criteria
    ]
    fitting = [limit for limit in limits if matches(limit.gate, gate_id)]
    judged = own + [
        item
        for limit in fitting
        for item in _judge_limit(limit, gate_id, evidence, confidence_level, guard=rule.guard)
    ]
    if standing is None or not gate_id.startswith(f"{Dimension.LATENCY}."):
        return judged
    return [_on_hardware(item, evidence, standing) for item in judged]


def _on_hardware(item: JudgedCriterion, evidence: Evidence, standing: Standing) -> JudgedCriterion:
    """Take back what a machine can not say about another: whether it keeps an absolute limit."""
    found = measurements_of(item.criterion, evidence)
    is_ratio = bool(found) and all(measured.unit in {"1", ""} for measured in found)
    if is_ratio or standing.tier is Tier.EXACT:
        return item
    told = item.judgement
    if standing.tier is Tier.CLASS:
        message = f"{told.message}, on a machine of the class {standing.target}"
        return replace(item, judgement=replace(told, message=message))
    return replace(item, judgement=inconclusive("foreign-host", f"{told.message}: {_elsewhere(standing)}"))


def _elsewhere(standing: Standing) -> str:
    where = f"on another machine than {standing.target}" if standing.target else "on no declared target"
    return f"{where} ({standing.why}), to which an absolute limit does not carry over"


def is_about_all_rows(limit: Limit, gate_id: str, evidence: Evidence) -> bool:
    """Say whether the evidence holds what a policy's limit without a group is about.

    In a performance gate that is the metric over all rows (of the candidate, where two models are compared):
    a limit that a part of the rows could meet would let the test choose the part.
    """
    found = [measured.group for measured in evidence.measurements if measured.metric == limit.metric]
    if limit.group is not None or not gate_id.startswith(f"{Dimension.PERFORMANCE}."):
        return bool(found)
    return None in found or _CANDIDATE in found


def _as_alarm(criterion: Criterion) -> Criterion:
    return replace(criterion, burden=Burden.VIOLATION)


def _adjust(alarms: Sequence[Criterion], evidence: Evidence) -> dict[int, float]:
    """Holm's step-down over the alarms of one gate (Holm 1979); an alarm without a p-value is left out."""
    p_values = []
    for criterion in alarms:
        found = [m.p_value for m in measurements_of(criterion, evidence) if m.p_value is not None]
        if found:
            p_values.append((min(found), id(criterion)))
    adjusted: dict[int, float] = {}
    running = 0.0
    for rank, (p_value, key) in enumerate(sorted(p_values)):
        running = max(running, min(1.0, p_value * (len(alarms) - rank)))
        adjusted[key] = running
    return adjusted


def _judge_limit(
    limit: Limit, gate_id: str, evidence: Evidence, confidence_level: float, *, guard: bool
) -> list[JudgedCriterion]:
    groups = (
        [limit.group]
        if limit.group is not None
        else sorted(
            {m.group for m in evidence.measurements if m.metric == limit.metric},
            key=lambda group: (group is not None, group or ""),
        )
    )
    criteria = [
        Criterion(
            metric=limit.metric,
            comparison=limit.comparison,
            limit=limit.limit,
            group=group,
            burden=Burden.VIOLATION if guard else Burden.COMPLIANCE,
        )
        for group in groups or [None]
    ]
    judged = [
        JudgedCriterion(
            criterion=criterion,
            judgement=judge_criterion(
                criterion,
                evidence,
                confidence_level=confidence_level,
                source="the policy's limit",
                alarms_suffice=guard,
            ),
            by_policy=True,
        )
        for criterion in criteria
    ]
    if groups and not is_about_all_rows(limit, gate_id, evidence):
        missing = inconclusive(
            "no-measurement",
            f"{limit.metric} was measured over parts of the rows, and the policy's limit is on all of them",
        )
        overall = replace(criteria[0], group=None)
        judged.append(JudgedCriterion(criterion=overall, judgement=missing, by_policy=True))
    return judged
