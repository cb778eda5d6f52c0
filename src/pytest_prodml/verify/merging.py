"""Several `LoggedRun`s -> what one run would have told: checked to belong together, then put together.

Nothing is chosen: all runs of a gate count, and the worst decides. A run that left a gate out (deselected,
skipped, never reached) says nothing about it where another one ran it. Outcomes that the logs state are never
looked at; `policy.decide` judges the evidence, once, over everything.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta

from pytest_prodml.certificate.statement import PRODUCER
from pytest_prodml.codec import format_time
from pytest_prodml.policy.load import policy_digest
from pytest_prodml.records import (
    ContinuousIntegration,
    Environment,
    Fragment,
    Gate,
    GateRun,
    Look,
    Policy,
    Provenance,
    RunState,
    RunSummary,
    Subject,
)
from pytest_prodml.verify.fragment import LoggedRun, MergeReason, MergeRefusedError

#: How far the clocks of the hosts may be apart.
_CLOCK_SKEW = timedelta(seconds=300)
_ONE_OF = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})")
#: What pytest ends with when a session was interrupted.
_INTERRUPTED = 2
_SILENT = (RunState.DESELECTED.value, RunState.NOT_RUN.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedRun:
    """The runs as one. `started_at` is the begin of the oldest, from which on validity counts."""

    model_name: str
    model_version: str
    subject: Subject
    gates: tuple[Gate, ...]
    runs: tuple[GateRun, ...]
    summary: RunSummary
    environments: Mapping[str, Environment]
    started_at: datetime


def merge_runs(
    logged: Sequence[LoggedRun],
    *,
    run_id: str,
    policy: Policy,
    subject: Subject,
    now: datetime,
    expected: Sequence[str] = (),
) -> MergedRun:
    """Check that runs belong together, and put them together.

    Parameters
    ----------
    logged : sequence of LoggedRun
        At least one.
    run_id : str
        Of the merged run.
    policy : Policy
        The policy under which all of them were made; it decides about the whole.
    subject : Subject
        The model as it lies on the machine that merges.
    now : datetime
        The time of issue (aware).
    expected : sequence of str
        Names of shards that must be there. A shard named ``2/5`` expects the other four without that.

    Raises
    ------
    MergeRefusedError
        With every reason why they do not belong together.
    """
    reasons = [
        *_about_each(logged, policy, subject, now),
        *_about_all(logged),
        *_missing(logged, expected),
    ]
    if reasons:
        raise MergeRefusedError(reasons)
    names = _names(logged)
    head = logged[0].head
    environments = {digest: item for run in logged for digest, item in run.environments.items()}
    return MergedRun(
        model_name=head.model_name,
        model_version=head.model_version,
        subject=replace(subject, name=head.subjects[0].name),
        gates=tuple(
            sorted({gate for run in logged for gate in run.gates}, key=lambda gate: (gate.id, gate.location))
        ),
        runs=_merged_gate_runs(logged, names),
        summary=_summary(logged, names, run_id),
        environments=environments,
        started_at=min(run.head.started_at for run in logged),
    )


def _about_each(
    logged: Sequence[LoggedRun], policy: Policy, subject: Subject, now: datetime
) -> Iterator[MergeReason]:
    """Yield what is wrong with single runs: model, policy, version, time."""
    digest, required = subject.digest["sha256"], policy_digest(policy)
    for run in logged:
        head, where = run.head, run.where
        [measured] = head.subjects
        if measured.digest != subject.digest:
            found = measured.digest["sha256"]
            message = (
                f"is about the model {measured.name} (sha256 {found}); the one given here is sha256 {digest}"
            )
            yield MergeReason(code="fragment-subject", message=message, path=where)
        if head.policy_digest != required:
            given = f"{policy.name} {policy.version}"
            message = f"was made under the policy {head.policy_digest}; {given}, given here, is {required}"
            yield MergeReason(code="fragment-policy", message=message, path=where)
        if head.producer != PRODUCER:
            made_by = f"{head.producer.name} {head.producer.version}"
            message = f"was made by {made_by}, and this is {PRODUCER.name} {PRODUCER.version}"
            yield MergeReason(code="fragment-version", message=message, path=where)
        if head.started_at - now > _CLOCK_SKEW:
            message = f"began at {format_time(head.started_at)}; it is {format_time(now)} here"
            yield MergeReason(code="fragment-time", message=message, path=where)
        elif now - head.started_at >= timedelta(days=policy.validity_days):
            began, days = format_time(head.started_at), policy.validity_days
            message = f"began at {began}, longer ago than the {days} days that its evidence is valid"
            yield MergeReason(code="fragment-time", message=message, path=where)
        if run.summary is not None and run.summary.provenance is not None:
            later = run.summary.provenance.revision
            if later is not None and head.revision is not None and later != head.revision:
                message = f"began at the revision {head.revision} and ended at {later}"
                yield MergeReason(code="fragment-revision", message=message, path=where)


def _about_all(logged: Sequence[LoggedRun]) -> Iterator[MergeReason]:
    """Yield what differs between runs, each time against the first that says otherwise."""
    first_with: dict[str, LoggedRun] = {}
    for run in logged:
        other = first_with.setdefault(run.head.run_id, run)
        if other is not run:
            message = f"is the run {run.head.run_id}, as {other.where} is; a run counts once"
            yield MergeReason(code="fragment-twice", message=message, path=run.where)
    same: tuple[tuple[str, str, Callable[[LoggedRun], object]], ...] = (
        ("fragment-subject", "calls the model", lambda run: run.head.subjects[0].name),
        ("fragment-configuration", "names the model", lambda run: run.head.model_name),
        ("fragment-configuration", "gives the model the version", lambda run: run.head.model_version),
        ("fragment-configuration", "has the configuration", lambda run: run.head.configuration_digest),
        ("fragment-revision", "is of the revision", lambda run: run.head.revision),
        ("fragment-look", "is the look at the test set", lambda run: run.head.look),
    )
    first = logged[0]
    for code, verb, of in same:
        for run in logged[1:]:
            if of(run) != of(first):
                message = f"{verb} {_told(of(run))}, and {first.where} {_told(of(first))}"
                yield MergeReason(code=code, message=message, path=run.where)
    yield from _differing_gates(logged)
    yield from _differing_files(
        logged, "fragment-revision", "the test code", lambda run: _provenance_of(run).files
    )
    yield from _differing_files(logged, "fragment-data", "the data", _only_materials)


def _told(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value.number} of {value.planned}" if isinstance(value, Look) else str(value)


def _differing_gates(logged: Sequence[LoggedRun]) -> Iterator[MergeReason]:
    first: dict[str, tuple[Gate, LoggedRun]] = {}
    for run in logged:
        for gate in run.gates:
            known, other = first.setdefault(gate.id, (gate, run))
            if known != gate and other is not run:
                names = [
                    item.name
                    for item in fields(Gate)
                    if getattr(gate, item.name) != getattr(known, item.name)
                ]
                message = f"{run.where} defines {gate.id} differently than {other.where}: {', '.join(names)}"
                yield MergeReason(code="fragment-gate", message=message, path=gate.id)


def _differing_files(
    logged: Sequence[LoggedRun], code: str, what: str, of: Callable[[LoggedRun], Iterable[Subject]]
) -> Iterator[MergeReason]:
    first: dict[str, tuple[Mapping[str, str], LoggedRun]] = {}
    for run in logged:
        for file in of(run):
            digest, other = first.setdefault(file.name, (file.digest, run))
            if digest != file.digest:
                message = f"{what} {file.name} is another one than in {other.where}"
                yield MergeReason(code=code, message=message, path=run.where)


def _only_materials(run: LoggedRun) -> list[Subject]:
    """Return the materials of a run whose name stands for one content in it."""
    found: defaultdict[str, list[Subject]] = defaultdict(list)
    for gate_run in run.runs:
        for material in gate_run.evidence.materials if gate_run.evidence is not None else ():
            if all(material.digest != other.digest for other in found[material.name]):
                found[material.name].append(material)
    return [same[0] for same in found.values() if len(same) == 1]


def _missing(logged: Sequence[LoggedRun], expected: Sequence[str]) -> Iterator[MergeReason]:
    shards = {run.head.shard for run in logged}
    wanted = dict.fromkeys(expected, "--expect")
    for run in logged:
        found = _ONE_OF.fullmatch(run.head.shard or "")
        if found is None:
            continue
        number, total = int(found[1]), int(found[2])
        if number > total:
            message = f"calls itself the shard {run.head.shard}"
            yield MergeReason(code="fragment-missing", message=message, path=run.where)
        elif total > len(logged):
            # Not a name each: a run may say that it is one of a million.
            message = f"is one of {total} shards; runs given: {len(logged)}"
            yield MergeReason(code="fragment-missing", message=message, path=run.where)
        else:
            for one in range(1, total + 1):
                wanted.setdefault(f"{one}/{total}", run.where)
    for name, where in wanted.items():
        if name not in shards:
            message = f"the shard {name} was not given"
            yield MergeReason(code="fragment-missing", message=message, path=where)


def _names(logged: Sequence[LoggedRun]) -> list[str]:
    """Return what the certificate calls each run: its shard, or where that is not unique, with its run id."""
    counts = Counter(run.head.shard for run in logged)
    return [
        run.head.shard
        if run.head.shard is not None and counts[run.head.shard] == 1
        else " ".join(filter(None, (run.head.shard, run.head.run_id[:8])))
        for run in logged
    ]


def _merged_gate_runs(logged: Sequence[LoggedRun], names: Sequence[str]) -> tuple[GateRun, ...]:
    by_gate: defaultdict[str, list[GateRun]] = defaultdict(list)
    for run, name in zip(logged, names, strict=True):
        for gate_run in run.runs:
            worker = f"{name}:{gate_run.worker}" if gate_run.worker else name
            by_gate[gate_run.gate_id].append(replace(gate_run, worker=worker))
    kept: list[GateRun] = []
    for found in by_gate.values():
        told = [gate_run for gate_run in found if not _left_out(gate_run)]
        # Where nobody ran it, the reason that says most is told: a skip before a deselection.
        kept += told or [min(found, key=lambda gate_run: gate_run.state is not RunState.SKIPPED)]
    return tuple(sorted(kept, key=lambda gate_run: (gate_run.gate_id, gate_run.location, gate_run.worker)))


def _left_out(run: GateRun) -> bool:
    """Tell whether a run says nothing about its gate, so that another fragment's run stands alone.

    A test that skips after it has measured, and one that an interrupted run left undone, are no such runs.
    """
    match run.state:
        case RunState.DESELECTED:
            return True
        case RunState.SKIPPED:
            return run.evidence is None
        case RunState.NOT_RUN:
            return run.evidence is None and not run.reason
        case _:
            return False


def _summary(logged: Sequence[LoggedRun], names: Sequence[str], run_id: str) -> RunSummary:
    fragments = tuple(_fragment(run, name) for run, name in zip(logged, names, strict=True))
    summaries = [run.summary for run in logged if run.summary is not None]
    targets = {fragment.target for fragment in fragments}
    plugins: defaultdict[str, list[str]] = defaultdict(list)
    for summary in summaries:
        for name, version in summary.plugins.items():
            if version not in plugins[name]:
                plugins[name].append(version)
    statuses = [_INTERRUPTED if item.exit_status is None else item.exit_status for item in fragments]
    return RunSummary(
        id=run_id,
        arguments=(),
        exit_status=max(statuses),
        workers=sum(fragment.workers for fragment in fragments),
        inventory_complete=all(
            run.inventory is not None if run.summary is None else run.summary.inventory_complete
            for run in logged
        ),
        target=targets.pop() if len(targets) == 1 else None,
        look=logged[0].head.look,
        ordinary_tests=_ordinary_tests(logged),
        plugins={name: ", ".join(versions) for name, versions in sorted(plugins.items())},
        provenance=_provenance(logged),
        fragments=fragments,
        # One configuration, as was checked; an interrupted run has told none.
        targets=next((summary.targets for summary in summaries if summary.targets is not None), None),
    )


def _fragment(run: LoggedRun, name: str) -> Fragment:
    head, summary, provenance = run.head, run.summary, _provenance_of(run)
    return Fragment(
        name=name,
        digest={"sha256": run.digest},
        run_id=head.run_id,
        started_at=head.started_at,
        ended=summary is not None,
        signed_by=run.signed_by,
        arguments=head.arguments,
        exit_status=summary.exit_status if summary is not None else None,
        workers=summary.workers if summary is not None else 0,
        target=head.target,
        environments=tuple(sorted(run.environments)),
        states=dict(sorted(Counter(gate_run.state.value for gate_run in run.runs).items())),
        selection_digest=provenance.selection_digest,
        automation=provenance.automation,
    )


def _ordinary_tests(logged: Sequence[LoggedRun]) -> dict[str, int]:
    """Add up the tests that are no gates; those that nobody ran are the ones missing from the longest list.

    Which of them ran where is not recorded, so one that ran twice counts twice: a failure is never lost.
    """
    counts: Counter[str] = Counter()
    collected = 0
    for run in logged:
        told = run.summary.ordinary_tests if run.summary is not None else {}
        counts.update(told)
        listed = run.inventory.ordinary if run.inventory is not None else 0
        collected = max(collected, listed, sum(told.values()))
    ran = {state: count for state, count in counts.items() if state not in _SILENT}
    silent = collected - sum(ran.values())
    if silent > 0:
        ran[RunState.NOT_RUN.value] = silent
    return dict(sorted(ran.items()))


def _provenance_of(run: LoggedRun) -> Provenance:
    """Return where the code of a run came from; where that was not told, only the revision is known."""
    if run.summary is not None and run.summary.provenance is not None:
        return run.summary.provenance
    problem = "the run was interrupted" if run.summary is None else "not recorded"
    return Provenance(revision=run.head.revision, problem=problem)


def _provenance(logged: Sequence[LoggedRun]) -> Provenance:
    """Return what all runs say; a tree is dirty if one of them was, and unknown if one of them is."""
    told = [_provenance_of(run) for run in logged]
    dirty = [item.is_dirty for item in told]
    repositories = {item.repository for item in told}
    problems = dict.fromkeys(item.problem for item in told if item.problem is not None)
    files = {file.name: file for item in told for file in item.files}
    return Provenance(
        revision=told[0].revision,
        is_dirty=True if any(dirty) else None if None in dirty else False,
        repository=repositories.pop() if len(repositories) == 1 else None,
        problem="; ".join(problems) or None,
        automation=_common_automation([item.automation for item in told]),
        files=tuple(files[name] for name in sorted(files)),
    )


def _common_automation(told: Sequence[ContinuousIntegration | None]) -> ContinuousIntegration | None:
    """Return the fields in which all agree; None if one ran outside, or in another place."""
    known = [item for item in told if item is not None]
    if len(known) < len(told) or len({(item.provider, item.project) for item in known}) != 1:
        return None
    common = {
        item.name: getattr(known[0], item.name)
        for item in fields(ContinuousIntegration)
        if len({getattr(automation, item.name) for automation in known}) == 1
    }
    return ContinuousIntegration(**common)
