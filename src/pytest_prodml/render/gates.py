"""One gate of a certificate -> `GateView`: its criteria as the judge sees them, its runs, its way out."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_prodml.codec import format_time
from pytest_prodml.policy.hardware import standing_of
from pytest_prodml.policy.judge import JudgedCriterion, judge_criteria, rule_of
from pytest_prodml.records import (
    Certificate,
    Comparison,
    Criterion,
    Dimension,
    Evidence,
    Gate,
    GateRun,
    Measurement,
    Outcome,
    RunState,
    Subject,
    Verdict,
)
from pytest_prodml.render import words
from pytest_prodml.render.inert import inert, one_line
from pytest_prodml.render.measures import metric_views, scale_for
from pytest_prodml.render.model import (
    CriterionView,
    EnvironmentView,
    Fact,
    GateView,
    RunView,
    Status,
    WaiverView,
)
from pytest_prodml.render.numbers import Scale, duration, percent, plain
from pytest_prodml.render.series import detail_charts, detail_facts, detail_tables

_UNFINISHED = frozenset(
    {
        RunState.SKIPPED,
        RunState.ERRORED,
        RunState.CRASHED,
        RunState.TIMED_OUT,
        RunState.DESELECTED,
        RunState.NOT_RUN,
    }
)
_MOST_UNMET, _MOST_MET = 20, 5
_UNFINISHED_WORDS = {
    RunState.SKIPPED: "Skipped",
    RunState.ERRORED: "Error",
    RunState.CRASHED: "Crashed",
    RunState.TIMED_OUT: "Timed out",
    RunState.DESELECTED: "Deselected",
    RunState.NOT_RUN: "Did not run",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSource:
    """What the certificate says about one gate, gathered: `gate` or `verdict` can be missing, not both."""

    gate: Gate | None
    verdict: Verdict | None
    runs: tuple[GateRun, ...]
    waiver: WaiverView | None
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltGate:
    """A gate's view, and how far its tightest criterion is from its limit (for sorting only)."""

    view: GateView
    headroom: float


def gate_view(
    source: GateSource, certificate: Certificate, environments: Mapping[str, EnvironmentView], *, full: bool
) -> BuiltGate:
    """Build the view of one gate.

    Parameters
    ----------
    source : GateSource
        The gate's records.
    certificate : Certificate
        For the policy's own limits, the confidence level it asks for, and the machines.
    environments : mapping
        From an environment's digest to its view, for links.
    full : bool
        False leaves out measurements, charts and runs (for the rows of a very large certificate).
    """
    gate, verdict, policy = source.gate, source.verdict, certificate.policy
    gate_id = verdict.gate_id if verdict is not None else gate.id if gate is not None else ""
    dimension = verdict.dimension if verdict is not None else gate.dimension if gate is not None else None
    if dimension is None:
        raise ValueError("a gate needs a record or a verdict")
    measured = [
        (
            run.evidence,
            judge_criteria(
                gate_id,
                run.evidence,
                confidence_level=policy.confidence_level,
                limits=policy.limits,
                rule=rule_of(policy, gate_id),
                standing=standing_of(run, certificate.run, policy, certificate.environments),
            ),
        )
        for run in source.runs
        if run.evidence is not None
    ]
    criteria = [
        _criterion(item, evidence, judged, dimension) for evidence, judged in measured for item in judged
    ]
    headrooms = [_headroom(item.criterion, evidence) for evidence, judged in measured for item in judged]
    groups = [item.criterion.group for _, judged in measured for item in judged]
    result = _result(verdict, source.runs)
    required = verdict is None or verdict.required
    reason = verdict.reason if verdict is not None else "no-verdict"
    message = verdict.message if verdict is not None else "the certificate holds no verdict on this gate"
    worst = min(
        range(len(criteria)),
        # Among equals the criterion on all rows says more than the one on a group.
        key=lambda index: (
            list(Status).index(criteria[index].status),
            headrooms[index],
            groups[index] is not None,
        ),
        default=None,
    )
    # A criterion explains a verdict only if both came out the same way; else the verdict's own words do.
    explains = worst is not None and criteria[worst].status is result
    location = inert(gate.location if gate is not None else "", limit=500)
    shown, more = _worst_first(criteria)
    step = _step(reason, result, criteria[worst] if worst is not None and explains else None, dimension)
    view = GateView(
        id=inert(gate_id, limit=300),
        anchor=source.anchor,
        dimension=dimension.value,
        description=inert(gate.description if gate is not None else "", limit=600),
        status=_status(result, source.waiver, required=required),
        result=result,
        word=_word(result, reason, source.runs),
        severity=words.severity_words(gate.severity if gate is not None else None, required=required),
        blocks=required and result is not Status.PASSED and source.waiver is None,
        reason=inert(reason, limit=60),
        message=inert(message, lines=True),
        brief=criteria[worst].brief if worst is not None and explains else one_line(inert(message)),
        step=f"Before the waiver ends: {step}" if source.waiver is not None and step else step,
        location=location,
        command=rerun_command(gate.location if gate is not None else ""),
        facts=_facts(gate, verdict),
        criteria=tuple(shown) if full else (),
        more_criteria=tuple(more) if full else (),
        more_criteria_title=words.more_criteria([criterion.status for criterion in more]),
        metrics=tuple(
            metric
            for number, (evidence, judged) in enumerate(measured, start=1)
            if full
            for metric in metric_views(
                evidence, judged, suffix=f" (measurement {plain(number)})" if len(measured) > 1 else ""
            )
        ),
        charts=tuple(chart for evidence, _ in measured if full for chart in detail_charts(evidence)),
        tables=tuple(table for evidence, _ in measured if full for table in detail_tables(evidence)),
        runs=tuple(_run(run, environments) for run in source.runs) if full else (),
        waiver=source.waiver,
        waived_word=words.STATUS_WORDS[Status.WAIVED] if source.waiver is not None else "",
    )
    return BuiltGate(view=view, headroom=min(headrooms, default=math.inf))


def _worst_first(criteria: Sequence[CriterionView]) -> tuple[list[CriterionView], list[CriterionView]]:
    """Put criteria that need attention first, and keep apart what would only fill the page."""
    ranked = sorted(criteria, key=lambda criterion: list(Status).index(criterion.status))
    unmet = sum(criterion.status is not Status.PASSED for criterion in ranked)
    room = min(_MOST_UNMET, unmet) + _MOST_MET
    return ranked[:room], ranked[room:]


def rerun_command(location: str) -> tuple[str, ...]:
    """Write the command that runs one test again, quoted for a POSIX shell; empty without a location."""
    if not location:
        return ()
    shown = inert(location, limit=500)
    # A node id that begins with a dash would be read as an option.
    return ("pytest", shlex.quote(f"./{shown}" if shown.startswith("-") else shown), "--prodml")


def _result(verdict: Verdict | None, runs: Sequence[GateRun]) -> Status:
    if verdict is None:
        return Status.INCONCLUSIVE
    if verdict.outcome is Outcome.INCONCLUSIVE and all(run.state in _UNFINISHED for run in runs):
        return Status.NOT_RUN
    return words.outcome_status(verdict.outcome)


def _status(result: Status, waiver: WaiverView | None, *, required: bool) -> Status:
    if result is Status.PASSED:
        return Status.PASSED
    if waiver is not None:
        return Status.WAIVED
    return result if required else Status.WARNED


def _word(result: Status, reason: str, runs: Sequence[GateRun]) -> str:
    if result is not Status.NOT_RUN:
        return words.STATUS_WORDS[result]
    if reason == "not-collected":
        return "Not collected"
    return _UNFINISHED_WORDS[runs[0].state] if runs else words.STATUS_WORDS[result]


def _step(reason: str, result: Status, criterion: CriterionView | None, dimension: Dimension) -> str:
    if result is Status.PASSED:
        return ""
    return criterion.step if criterion is not None and criterion.step else words.step_words(reason, dimension)


def _criterion(
    item: JudgedCriterion, evidence: Evidence, judged: Sequence[JudgedCriterion], dimension: Dimension
) -> CriterionView:
    criterion, judgement = item.criterion, item.judgement
    measured = _measured(criterion, evidence)
    scale = scale_for(criterion.metric, evidence, judged)
    level = min((m.confidence_level for m in measured), default=None)
    name = inert(words.metric_words(criterion.metric), limit=200)
    group = inert(criterion.group, limit=200) if criterion.group is not None else ""
    status = words.outcome_status(judgement.outcome)
    step = ""
    if status is not Status.PASSED:
        step = words.step_words(judgement.reason, dimension)
        if judgement.reason == "not-proven":
            undecided = max(measured, key=lambda m: m.n_required or 0)
            note = inert(undecided.note or "", limit=600)
            step = words.more_rows(undecided.n_required, undecided.n_samples, dimension, note)
    return CriterionView(
        words=inert(words.criterion_words(criterion, name, group, scale, level), limit=800),
        formula=inert(words.criterion_formula(criterion, criterion.metric, scale, level), limit=800),
        source="policy" if item.by_policy else "test",
        status=status,
        word=words.STATUS_WORDS[status],
        brief=_brief(criterion, measured, name, group, scale, status),
        message=inert(judgement.message, lines=True),
        step=step,
    )


def _measured(criterion: Criterion, evidence: Evidence) -> list[Measurement]:
    return [m for m in evidence.measurements if m.metric == criterion.metric and m.group == criterion.group]


def _brief(
    criterion: Criterion,
    measured: Sequence[Measurement],
    name: str,
    group: str,
    scale: Scale,
    status: Status,
) -> str:
    """Say in one line what was found and what it is compared with."""
    who = one_line(f"{name} [{group}]" if group else name, 80)
    at_least = criterion.comparison is Comparison.AT_LEAST
    need = words.need_words(criterion.comparison, scale.with_unit(scale.limit(words.edge_of(criterion))))
    if not measured:
        return f"{who} was not measured; needs {need}"
    # Of several measurements of one metric and group the worst decides.
    worst = min(measured, key=lambda m: _distance(criterion, m))
    if worst.value is None:
        return f"{who} could not be estimated; needs {need}"
    value = scale.number(worst.value)
    if worst.lower == worst.value == worst.upper:
        return f"{who} is {scale.with_unit(value)}; needs {need}"
    low = scale.number(worst.lower, unbounded="-∞")
    high = scale.number(worst.upper, unbounded="∞")
    if status is Status.INCONCLUSIVE:
        return f"{who} is {value}, between {low} and {scale.with_unit(high)}; needs {need}"
    lower_decides = at_least is (status is Status.PASSED)
    bound = f"at least {scale.with_unit(low)}" if lower_decides else f"at most {scale.with_unit(high)}"
    return f"{who} is {scale.with_unit(value)}, {bound} at {percent(worst.confidence_level)}; needs {need}"


def _distance(criterion: Criterion, measured: Measurement) -> float:
    """Return how far the deciding bound is on the safe side of the limit, relative to both."""
    at_least = criterion.comparison is Comparison.AT_LEAST
    bound = measured.lower if at_least else measured.upper
    if bound is None or not math.isfinite(bound):
        return -math.inf
    edge = words.edge_of(criterion)
    room = bound - edge if at_least else edge - bound
    return room / (max(abs(edge), abs(bound)) or 1.0)


def _headroom(criterion: Criterion, evidence: Evidence) -> float:
    return min((_distance(criterion, m) for m in _measured(criterion, evidence)), default=-math.inf)


def _facts(gate: Gate | None, verdict: Verdict | None) -> tuple[Fact, ...]:
    facts = []
    if gate is not None:
        if gate.basis.value == "assertion":
            facts.append(Fact(label="Rests on", value="the test's own asserts; nothing was measured"))
        if gate.rubric:
            facts.append(Fact(label="Rubric", value=inert(gate.rubric, limit=100), code=True))
    if verdict is not None and verdict.adjusted_p_value is not None:
        facts.append(Fact(label="Adjusted p-value", value=f"{verdict.adjusted_p_value:.3g}"))
    return tuple(facts)


def _run(run: GateRun, environments: Mapping[str, EnvironmentView]) -> RunView:
    evidence = run.evidence
    facts = [Fact(label="Duration", value=duration(run.duration_seconds))]
    environment = None
    if evidence is not None:
        if evidence.started_at is not None:
            facts.append(Fact(label="Started", value=format_time(evidence.started_at)))
        if evidence.seed is not None:
            facts.append(Fact(label="Seed", value=str(evidence.seed), code=True))
        facts += [
            Fact(label="Measured artifact", value=_named(item), code=True) for item in evidence.subjects
        ]
        facts += [Fact(label="Data", value=_named(item), code=True) for item in evidence.materials]
        facts += detail_facts(evidence)
        environment = environments.get(evidence.environment_digest or "")
    if run.worker:
        facts.append(Fact(label="Worker", value=inert(run.worker, limit=60), code=True))
    return RunView(
        state=words.STATES[run.state],
        location=inert(run.location, limit=500),
        command=rerun_command(run.location),
        reason=inert(run.reason, lines=True),
        facts=tuple(facts),
        environment=environment.title if environment is not None else "",
        environment_anchor=environment.anchor if environment is not None else "",
    )


def _named(subject: Subject) -> str:
    digest = " ".join(
        f"{inert(name, limit=20)}:{inert(value, limit=130)}" for name, value in sorted(subject.digest.items())
    )
    return f"{inert(subject.name, limit=200)} {digest}"
