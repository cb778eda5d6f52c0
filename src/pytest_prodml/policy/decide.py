"""The policy applied to all gates: pure, standard library only, so that a verifier can replay it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

from pytest_prodml.policy.cells import judge_cells, required_targets, worst_of
from pytest_prodml.policy.criterion import Judgement
from pytest_prodml.policy.hardware import (
    Standing,
    Tier,
    declared_target,
    defined_target,
    is_of_no_fragment,
    standing_of,
    standing_on,
)
from pytest_prodml.policy.judge import judge, rule_of
from pytest_prodml.policy.load import dimension_of, matches, policy_digest
from pytest_prodml.records import (
    Certificate,
    Decision,
    Environment,
    Gate,
    GateRun,
    OrdinaryTests,
    Outcome,
    Policy,
    Readiness,
    RunState,
    RunSummary,
    Severity,
    Subject,
    Verdict,
    Waiver,
)

_BAD_STATES = (RunState.FAILED, RunState.ERRORED, RunState.CRASHED, RunState.TIMED_OUT)
#: A waiver accepts a known result. What never ran to its end has no result to accept.
_WAIVABLE_STATES = frozenset({RunState.PASSED, RunState.FAILED})


def decide(
    policy: Policy,
    gates: Sequence[Gate],
    runs: Sequence[GateRun],
    run: RunSummary,
    *,
    subjects: Sequence[Subject],
    environments: Mapping[str, Environment] = MappingProxyType({}),
    waivers: Sequence[Waiver] = (),
    now: datetime,
) -> Decision:
    """Decide whether a model is ready.

    READY needs every required gate to pass: those that the policy names or limits, and those that the project
    itself calls required (Berger 1982: the probability that a model with a true violation passes all is at
    most the level of one). What the policy requires and nobody collected blocks as well.

    Parameters
    ----------
    policy : Policy
        What the stage requires.
    gates : sequence of Gate
        The inventory: every gate that was collected, before deselection.
    runs : sequence of GateRun
        What happened. A gate without a run did not run; of several runs the worst counts.
    run : RunSummary
        The session: ordinary tests, whether the inventory arrived.
    subjects : sequence of Subject
        The certified artefacts; evidence about others does not count.
    environments : mapping
        From a digest that evidence names to the machine that it was measured on.
    waivers : sequence of Waiver
        Exceptions whose signatures the caller has checked.
    now : datetime
        The time at which waivers must be in force (aware).
    """
    digests = frozenset(subject.digest.get("sha256", "") for subject in subjects) - {""}
    by_gate: defaultdict[str, list[GateRun]] = defaultdict(list)
    for gate_run in runs:
        by_gate[gate_run.gate_id].append(gate_run)
    level = policy.confidence_level
    if run.look is not None:
        # What looks at the test set have spent is spent, whatever level a check was called with.
        level = max(level, run.look.confidence_level)
    verdicts = [_verdict(policy, gate, by_gate[gate.id], digests, level, run, environments) for gate in gates]
    verdicts += _never_collected(policy, gates)
    reasons = [
        *_structural_reasons(policy, gates, runs, run, subjects),
        *_run_reasons(policy, run),
        *_hardware_reasons(policy, runs, run, environments),
        *_provenance_reasons(policy, run),
    ]
    names = frozenset(subject.name for subject in subjects)
    usable = usable_waivers(policy, waivers, digests, now, names=names)
    verdicts, waiver_reasons = _apply_waivers(policy, verdicts, by_gate, usable)
    reasons += waiver_reasons
    blocking = sorted(
        v.gate_id for v in verdicts if v.required and v.outcome is not Outcome.PASS and v.waiver_id is None
    )
    if blocking:
        noun = "gate does" if len(blocking) == 1 else "gates do"
        reasons.append(f"{len(blocking)} required {noun} not pass: {', '.join(blocking)}")
    if reasons:
        outcome = Readiness.NOT_READY
    elif any(verdict.waiver_id is not None for verdict in verdicts):
        outcome = Readiness.READY_WITH_WAIVERS
    else:
        outcome = Readiness.READY
    return Decision(
        outcome=outcome,
        verdicts=tuple(sorted(verdicts, key=lambda verdict: verdict.gate_id)),
        policy_digest=policy_digest(policy),
        run_id=run.id,
        reasons=tuple(reasons),
    )


def is_required(policy: Policy, gate: Gate) -> bool:
    """Tell whether a gate blocks: the policy names it, whatever its severity, or its severity says so."""
    return gate.severity is Severity.REQUIRED or any(
        matches(pattern, gate.id) for pattern in _required_patterns(policy)
    )


def _required_patterns(policy: Policy) -> tuple[str, ...]:
    """Return the ids and patterns of gates that the policy names."""
    return (*policy.required_gates, *(limit.gate for limit in policy.limits), *(policy.matrix or {}))


def _verdict(
    policy: Policy,
    gate: Gate,
    runs: Sequence[GateRun],
    digests: frozenset[str],
    confidence_level: float,
    summary: RunSummary,
    environments: Mapping[str, Environment],
) -> Verdict:
    ran = runs or [GateRun(gate_id=gate.id, location=gate.location, state=RunState.NOT_RUN)]
    standings = [standing_of(run, summary, policy, environments) for run in ran]
    judged = _judged(policy, gate, ran, standings, digests, confidence_level)
    targets = required_targets(policy, gate.id)
    worst = judge_cells(targets, judged, standings) if targets else worst_of(judged)
    return Verdict(
        gate_id=gate.id,
        dimension=gate.dimension,
        outcome=worst.outcome,
        required=is_required(policy, gate),
        reason=worst.reason,
        message=worst.message,
        adjusted_p_value=worst.adjusted_p_value,
    )


def _judged(
    policy: Policy,
    gate: Gate,
    runs: Sequence[GateRun],
    standings: Sequence[Standing | None],
    digests: frozenset[str],
    confidence_level: float,
) -> list[Judgement]:
    """Judge each run of a gate by itself."""
    return [
        judge(
            gate,
            run,
            confidence_level=confidence_level,
            limits=policy.limits,
            subject_digests=digests,
            allow_unbound_models=policy.allow_unbound_models,
            rule=rule_of(policy, gate.id),
            standing=standing,
        )
        for run, standing in zip(runs, standings, strict=True)
    ]


def conflicts(certificate: Certificate) -> dict[str, list[tuple[str, Outcome]]]:
    """Return the gates whose runs do not agree, and how each run ended, by the name of who ran it."""
    policy, summary = certificate.policy, certificate.run
    digests = frozenset(subject.digest.get("sha256", "") for subject in certificate.subjects) - {""}
    found: dict[str, list[tuple[str, Outcome]]] = {}
    for gate in certificate.gates:
        runs = [run for run in certificate.runs if run.gate_id == gate.id]
        standings = [standing_of(run, summary, policy, certificate.environments) for run in runs]
        judged = _judged(policy, gate, runs, standings, digests, policy.confidence_level)
        if len({item.outcome for item in judged}) > 1:
            found[gate.id] = [(run.worker, item.outcome) for run, item in zip(runs, judged, strict=True)]
    return found


def _never_collected(policy: Policy, gates: Sequence[Gate]) -> Iterable[Verdict]:
    for pattern in dict.fromkeys(_required_patterns(policy)):
        dimension = dimension_of(pattern)
        if dimension is not None and not any(matches(pattern, gate.id) for gate in gates):
            yield Verdict(
                gate_id=pattern,
                dimension=dimension,
                outcome=Outcome.INCONCLUSIVE,
                required=True,
                reason="not-collected",
                message="the policy requires this gate and no test of that id was collected",
            )


def _structural_reasons(
    policy: Policy,
    gates: Sequence[Gate],
    runs: Sequence[GateRun],
    run: RunSummary,
    subjects: Sequence[Subject],
) -> Iterable[str]:
    if not policy.required_gates and not policy.required_dimensions and not policy.matrix:
        yield "the policy requires nothing, so nothing can be ready under it"
    for pattern in _required_patterns(policy):
        if dimension_of(pattern) is None:
            yield f"the policy names the gate {pattern!r}, which belongs to no dimension"
    if not run.inventory_complete:
        yield "the list of collected gates did not arrive, so it is unknown what should have run"
    if not subjects:
        yield "no artefact is named, so there is nothing that could be ready"
    for gate_id, count in sorted(Counter(gate.id for gate in gates).items()):
        if count > 1:
            yield f"{count} tests claim the gate {gate_id}"
    known = {gate.id for gate in gates}
    for gate_id in sorted({gate_run.gate_id for gate_run in runs} - known):
        yield f"there is evidence for {gate_id}, which is not in the list of collected gates"
    for gate in gates:
        if dimension_of(gate.id) is not gate.dimension:
            yield f"the gate {gate.id} says that it belongs to {gate.dimension.value}"
    for dimension in policy.required_dimensions:
        if not any(gate.dimension is dimension and is_required(policy, gate) for gate in gates):
            yield f"the policy requires the dimension {dimension.value}; no required gate of it was collected"


def _run_reasons(policy: Policy, run: RunSummary) -> Iterable[str]:
    for fragment in run.fragments or ():
        if not fragment.ended:
            yield f"the run of the fragment {fragment.name} was interrupted: what it left undone is unknown"
        if policy.signed_fragments and not fragment.signed_by:
            yield f"the fragment {fragment.name} is not signed by its host, and the policy asks for it"
    if policy.required_targets:
        targets = [item.target for item in run.fragments] if run.fragments else [run.target]
        asked = " or ".join(policy.required_targets)
        for target in dict.fromkeys(targets):
            if target not in policy.required_targets:
                found = f"on {target!r}" if target is not None else "on a machine without a declared target"
                yield f"the tests ran {found}, and the policy asks for {asked}"
    if policy.ordinary_tests is OrdinaryTests.MUST_PASS:
        for state in _BAD_STATES:
            count = run.ordinary_tests.get(state.value, 0)
            if count:
                noun = "test that is no gate" if count == 1 else "tests that are no gates"
                yield f"{count} {noun} {state.value.replace('_', ' ')}"


def _hardware_reasons(
    policy: Policy,
    runs: Sequence[GateRun],
    run: RunSummary,
    environments: Mapping[str, Environment],
) -> Iterable[str]:
    """Yield why the machines are not what they were declared to be, where the policy asks for targets."""
    for name in dict.fromkeys(target for names in (policy.matrix or {}).values() for target in names):
        if defined_target(name, run.targets, policy) is None:
            yield f"the target {name!r} is in the policy's matrix and nothing describes it"
    if not policy.required_targets:
        return
    declared = [item.target for item in run.fragments] if run.fragments else [run.target]
    described = {name for name in policy.required_targets if defined_target(name, run.targets, policy)}
    for target in dict.fromkeys(declared):
        if target in policy.required_targets and target not in described:
            yield (
                f"the target {target!r} is declared and nothing describes it, and a name proves no hardware: "
                f"add [targets.{target}] to the policy"
            )
    told: dict[str, None] = {}
    for gate_run in runs:
        evidence, target = gate_run.evidence, declared_target(gate_run, run)
        if evidence is None:
            continue
        if target is None and is_of_no_fragment(gate_run, run):
            told[f"of which merged run the evidence of {gate_run.gate_id} is can not be told"] = None
        if target not in described:
            # `_run_reasons` tells which targets were declared instead.
            continue
        # Reference times are measured by latency gates alone, and judged there.
        environment = environments.get(evidence.environment_digest or "")
        standing = standing_on(target, environment, None, run.targets, policy)
        if standing is not None and standing.tier is Tier.FOREIGN:
            told[f"evidence was measured on another machine than {target!r}: {standing.why}"] = None
    yield from told


def _provenance_reasons(policy: Policy, run: RunSummary) -> Iterable[str]:
    """Yield why the code of the run is not what the policy asks for; what is unknown does not satisfy it."""
    provenance = run.provenance
    if policy.allow_dirty is False:
        if provenance is None or provenance.revision is None or provenance.is_dirty is None:
            why = provenance.problem if provenance is not None else None
            why = why or "not recorded"
            yield f"the revision of the tested code is unknown ({why}), and the policy asks for it"
        elif provenance.is_dirty:
            revision = provenance.revision[:12]
            yield f"files differ from the revision {revision}, and the policy allows none that do"
    if policy.required_automation is not None:
        own = provenance.automation if provenance is not None else None
        asked = " or ".join(policy.required_automation)
        for name in dict.fromkeys(
            f"{found.provider}:{found.project or ''}" if found is not None else None
            for found in ([item.automation for item in run.fragments] if run.fragments else [own])
        ):
            if name is None or not any(matches(pattern, name) for pattern in policy.required_automation):
                ran = f"in {name!r}" if name is not None else "outside of any automation"
                yield f"the tests ran {ran}, and the policy asks for {asked}"


def usable_waivers(
    policy: Policy,
    waivers: Iterable[Waiver],
    digests: frozenset[str],
    now: datetime,
    *,
    names: frozenset[str] = frozenset(),
) -> dict[str, Waiver]:
    """Return by gate id the waivers that are in force, about a certified artefact and allowed by the policy.

    Of several for one gate one for the artefact itself goes before one by name, and then the one that lasts
    longest. `digests` and `names` are those of the certified artefacts.
    """
    ordered = sorted(waivers, key=lambda waiver: (waiver.subject_name is None, waiver.expires_at, waiver.id))
    return {
        waiver.gate_id: waiver
        for waiver in ordered
        if waiver.issued_at <= now < waiver.expires_at
        and waiver.expires_at - waiver.issued_at <= timedelta(days=longest_waiver(policy, waiver))
        and covers(waiver, digests, names)
        and any(matches(pattern, waiver.gate_id) for pattern in policy.waivable_gates)
    }


def longest_waiver(policy: Policy, waiver: Waiver) -> int:
    """Return how many days a waiver of this form may last; 0 for one by name where none is allowed."""
    if waiver.subject_name is None:
        return policy.max_waiver_days
    return policy.name_waivers.max_days if policy.name_waivers is not None else 0


def covers(waiver: Waiver, digests: frozenset[str], names: frozenset[str]) -> bool:
    """Tell whether a waiver is about one of the certified artefacts."""
    if waiver.subject_name is None:
        return waiver.subject_digest in digests
    return any(matches(waiver.subject_name, name) for name in names)


def _apply_waivers(
    policy: Policy,
    verdicts: Sequence[Verdict],
    by_gate: dict[str, list[GateRun]],
    usable: Mapping[str, Waiver],
) -> tuple[list[Verdict], list[str]]:
    waived = []
    for verdict in verdicts:
        waiver = usable.get(verdict.gate_id)
        ran = by_gate.get(verdict.gate_id, [])
        applies = (
            waiver is not None
            and verdict.required
            and verdict.outcome is not Outcome.PASS
            and bool(ran)
            and all(gate_run.state in _WAIVABLE_STATES for gate_run in ran)
            and verdict.reason not in {"subject-mismatch", "unbound-model", "evidence-mix", "no-evidence"}
        )
        waived.append(waiver.id if applies and waiver is not None else None)
    used = sum(waiver_id is not None for waiver_id in waived)
    if used > policy.max_waivers:
        return list(verdicts), [f"{used} waivers are needed and the policy allows {policy.max_waivers}"]
    by_name = {waiver.id for waiver in usable.values() if waiver.subject_name is not None}
    named = sum(waiver_id in by_name for waiver_id in waived)
    allowed = policy.name_waivers.max if policy.name_waivers is not None else 0
    if named > allowed:
        return list(verdicts), [f"{named} waivers by name are needed and the policy allows {allowed}"]
    return [
        verdict if waiver_id is None else replace(verdict, waiver_id=waiver_id)
        for verdict, waiver_id in zip(verdicts, waived, strict=True)
    ], []
