"""pytest's reports -> `GateRun`s: the same merging for one process and for many workers.

The process that runs a test puts a `Phase` as JSON text on each report (an object would end an xdist run
with an internal error). Here the reports of one attempt become one run, whose state is the worst that any
of them tells.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest

from pytest_prodml.certificate.runlog import LogInventory
from pytest_prodml.codec import loads
from pytest_prodml.plugin.gates import Inventory, clean
from pytest_prodml.records import Environment, Evidence, Gate, GateRun, JsonValue, RunState, Subject

#: Attribute of a report that carries the text of a `Phase`.
ATTRIBUTE = "prodml_phase"

_LONGEST_REASON = 300
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
#: From worst to best: of several reports of one attempt, the worst tells its state.
_WORST_FIRST = (
    RunState.CRASHED,
    RunState.TIMED_OUT,
    RunState.ERRORED,
    RunState.FAILED,
    RunState.XPASSED,
    RunState.XFAILED,
    RunState.SKIPPED,
    RunState.NOT_RUN,
    RunState.PASSED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What the process that ran a test knows and its report can not tell.

    `state` overrules what the report says; `evidence` is what was recorded since the phase before.
    """

    gate: Gate
    state: RunState | None = None
    reason: str = ""
    evidence: Evidence | None = None
    environment: Environment | None = None


@dataclass(slots=True)
class _Attempt:
    """One execution of one test, while its reports come in."""

    gate: Gate
    worker: str
    phases: set[str] = field(default_factory=set)
    told: list[tuple[RunState, str]] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    duration: float = 0.0

    def run(self) -> GateRun:
        state, reason = min(self.told, key=lambda item: _WORST_FIRST.index(item[0]))
        if state is RunState.PASSED and self.phases < {"setup", "call", "teardown"}:
            state, reason = RunState.NOT_RUN, "the test did not run to its end"
        return GateRun(
            gate_id=self.gate.id,
            location=self.gate.location,
            state=state,
            evidence=merge_evidence(self.evidence),
            reason=reason if state is not RunState.PASSED else "",
            worker=self.worker,
            duration_seconds=self.duration,
        )


class RunMerger:
    """Collects reports and inventories of one session, wherever its tests ran."""

    def __init__(self) -> None:
        self.runs: list[GateRun] = []
        self.environments: dict[str, Environment] = {}
        self.inventories = 0
        self._gates: dict[Gate, None] = {}
        self._by_location: dict[str, Gate] = {}
        self._unselected: set[str] = set()
        self._ordinary_total = 0
        self._ordinary_unselected = 0
        self._open: dict[tuple[str, str], _Attempt] = {}
        self._ordinary: dict[str, RunState] = {}

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Every gate that an inventory or a report named, by id."""
        return tuple(sorted(self._gates, key=lambda gate: (gate.id, gate.location)))

    def gate_of(self, run: GateRun) -> Gate:
        """Return the gate whose execution `run` is."""
        return self._by_location[run.location]

    def inventory(self) -> LogInventory:
        """Return what is known of the inventory, for the run log."""
        return LogInventory(
            gates=self.gates,
            unselected=tuple(sorted(self._unselected)),
            ordinary=self._ordinary_total,
            ordinary_unselected=self._ordinary_unselected,
        )

    def add_inventory(self, text: str) -> None:
        """Take the inventory of one process; all processes of a session collect the same tests."""
        inventory = loads(Inventory, text, where="inventory")
        self.inventories += 1
        for gate in inventory.gates:
            self._meet(gate)
        self._unselected.update(inventory.unselected)
        self._ordinary_total = max(self._ordinary_total, inventory.ordinary)
        self._ordinary_unselected = max(self._ordinary_unselected, inventory.ordinary_unselected)

    def add(self, report: pytest.TestReport) -> list[GateRun]:
        """Take one report; return the runs that it completes."""
        text = getattr(report, ATTRIBUTE, None)
        phase = _read_phase(text) if isinstance(text, str) else None
        # A report of a process that died has no phase.
        gate = phase.gate if phase is not None else self._by_location.get(clean(report.nodeid))
        if gate is None:
            self._add_ordinary(report)
            return []
        self._meet(gate)
        key = (_worker(report), gate.id)
        done = []
        if report.when == "setup" and key in self._open:
            done.append(self._close(key))
        attempt = self._open.setdefault(key, _Attempt(gate=gate, worker=key[0]))
        attempt.phases.add(report.when)
        attempt.duration += report.duration
        attempt.told.append(_tell(report, phase))
        if phase is not None and phase.evidence is not None:
            attempt.evidence.append(phase.evidence)
            if phase.environment is not None and phase.evidence.environment_digest is not None:
                self.environments[phase.evidence.environment_digest] = phase.environment
        # A plugin that repeats a failed test reports nothing after the failure of an attempt.
        if report.when in {"teardown", "???"} or str(report.outcome) == "rerun":
            done.append(self._close(key))
        return done

    def finish(self) -> list[GateRun]:
        """Close what is still open, and add a run for every gate that had none."""
        done = [self._close(key) for key in list(self._open)]
        ran = {run.gate_id for run in self.runs}
        for gate in self.gates:
            if gate.id not in ran:
                state = RunState.DESELECTED if gate.id in self._unselected else RunState.NOT_RUN
                run = GateRun(gate_id=gate.id, location=gate.location, state=state)
                self.runs.append(run)
                done.append(run)
        return done

    def ordinary_tests(self) -> dict[str, int]:
        """Count the tests that are no gates by their state."""
        counts = Counter(state.value for state in self._ordinary.values())
        counts[RunState.DESELECTED.value] += self._ordinary_unselected
        silent = self._ordinary_total - self._ordinary_unselected - len(self._ordinary)
        counts[RunState.NOT_RUN.value] += max(silent, 0)
        return {state: count for state, count in sorted(counts.items()) if count}

    def _close(self, key: tuple[str, str]) -> GateRun:
        run = self._open.pop(key).run()
        self.runs.append(run)
        return run

    def _meet(self, gate: Gate) -> None:
        self._gates.setdefault(gate)
        self._by_location.setdefault(gate.location, gate)

    def _add_ordinary(self, report: pytest.TestReport) -> None:
        state, _ = _tell(report, None)
        before = self._ordinary.get(report.nodeid)
        if report.when == "setup" or before is None:
            self._ordinary[report.nodeid] = state
        else:
            self._ordinary[report.nodeid] = min(before, state, key=_WORST_FIRST.index)


@functools.lru_cache(maxsize=16)
def _read_phase(text: str) -> Phase:
    # The phases of a test that passes have one text.
    return loads(Phase, text, where="phase of a gate")


def merge_evidence(parts: Sequence[Evidence]) -> Evidence | None:
    """Join the evidence of several checks of one gate; None if there is none."""
    if not parts:
        return None
    first = parts[0]
    details: dict[str, JsonValue] = {}
    for part in parts:
        for key, value in part.details.items():
            name, count = key, 1
            while name in details and details[name] != value:
                count += 1
                name = f"{key} ({count})"
            details[name] = value
    starts = [part.started_at for part in parts if part.started_at is not None]
    durations = [part.duration_seconds for part in parts if part.duration_seconds is not None]
    return Evidence(
        gate_id=first.gate_id,
        measurements=tuple(item for part in parts for item in part.measurements),
        criteria=tuple(item for part in parts for item in part.criteria),
        subjects=_distinct(item for part in parts for item in part.subjects),
        materials=_distinct(item for part in parts for item in part.materials),
        environment_digest=first.environment_digest,
        started_at=min(starts, default=None),
        duration_seconds=sum(durations) if durations else None,
        seed=first.seed,
        details=details,
    )


def _distinct(subjects: Iterable[Subject]) -> tuple[Subject, ...]:
    found: list[Subject] = []
    for subject in subjects:
        if subject not in found:
            found.append(subject)
    return tuple(found)


def _worker(report: pytest.TestReport) -> str:
    node = getattr(report, "node", None)
    return str(node.gateway.id) if node is not None else ""


def _tell(report: pytest.TestReport, phase: Phase | None) -> tuple[RunState, str]:
    """Return the state that one report tells, and why."""
    if report.when not in {"setup", "call", "teardown"}:
        return RunState.CRASHED, shorten(str(report.longrepr))
    if phase is not None and phase.state is not None:
        return phase.state, phase.reason
    reason = phase.reason if phase is not None else ""
    expected = hasattr(report, "wasxfail")
    match str(report.outcome):
        case "passed":
            return (RunState.XPASSED if expected else RunState.PASSED), reason
        case "skipped":
            return (RunState.XFAILED if expected else RunState.SKIPPED), reason
        case _ if report.when != "call":
            return RunState.ERRORED, reason
        case _ if str(report.longrepr).startswith("[XPASS(strict)]"):
            return RunState.XPASSED, reason
        case _:
            return RunState.FAILED, reason


def shorten(text: str) -> str:
    """Return `text` as one line that a record can carry, without addresses: they differ in every process."""
    line = clean(_ADDRESS.sub("", " ".join(text.split())))
    return line if len(line) <= _LONGEST_REASON else line[: _LONGEST_REASON - 3] + "..."
