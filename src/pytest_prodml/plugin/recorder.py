"""Where tests run (a worker, or the only process): the inventory, and what each report has to carry."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence

import pytest

from pytest_prodml.codec import dumps
from pytest_prodml.errors import ProdmlError
from pytest_prodml.plugin.context import Context
from pytest_prodml.plugin.gates import GATE, Inventory, gate_of, repeated_ids
from pytest_prodml.plugin.runs import ATTRIBUTE, Phase, merge_evidence, shorten
from pytest_prodml.records import Evidence, Gate, RunState

#: The inventory of this process as JSON text, and its name in xdist's `workeroutput`.
INVENTORY = pytest.StashKey[str]()
INVENTORY_NAME = "prodml_inventory"
#: Evidence that an item has recorded and no report has carried yet.
PENDING = pytest.StashKey[list[Evidence]]()
#: The text of a phase of this item in which nothing but its identity is to be told.
PLAIN = pytest.StashKey[str]()
#: Set when a gate under a waiver did not pass and its test went on.
WAIVED = pytest.StashKey[bool]()

_TIMEOUT = re.compile(r"Timeout \(>.*\) from pytest-timeout")


class Recorder:
    """Hooks of the process that runs tests; `context` is None when tests are only collected."""

    def __init__(self, context: Context | None) -> None:
        self.context = context

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None]:
        """Take the inventory of what was collected before anything is deselected."""
        before = list(items)
        yield
        take_inventory(config, before, items)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the gate's identity and evidence on the report of each phase."""
        report = yield
        gate = item.stash.get(GATE, None)
        if gate is not None and self.context is not None:
            attach_phase(self.context, item, gate, call, report)
        return report


def take_inventory(
    config: pytest.Config, before: Sequence[pytest.Item], after: Sequence[pytest.Item]
) -> None:
    """Find the gates among all collected items and report wrong ones as collection errors.

    It runs after every other plugin has marked and removed items, and looks at those that were removed too.
    """
    kept = set(after)
    gates: dict[pytest.Item, Gate] = {}
    problems: list[tuple[pytest.Item, str]] = []
    collected = dict.fromkeys([*before, *after])
    for item in collected:
        try:
            gate = gate_of(item)
        except ProdmlError as error:
            problems.append((item, str(error)))
            continue
        if gate is not None:
            item.stash[GATE] = gates[item] = gate
    problems += repeated_ids(gates)
    ordinary = [item for item in collected if item not in gates]
    inventory = Inventory(
        gates=tuple(gates.values()),
        unselected=tuple(gate.id for item, gate in gates.items() if item not in kept),
        ordinary=len(ordinary),
        ordinary_unselected=sum(item not in kept for item in ordinary),
    )
    config.stash[INVENTORY] = text = dumps(inventory)
    output = getattr(config, "workeroutput", None)
    if output is not None:
        output[INVENTORY_NAME] = text
    for item, problem in problems:
        # The way of a module that can not be imported: told at once with all others, also by workers.
        report = pytest.CollectReport(nodeid=item.nodeid, outcome="failed", longrepr=problem, result=None)
        config.hook.pytest_collectreport(report=report)


def attach_phase(
    context: Context, item: pytest.Item, gate: Gate, call: pytest.CallInfo[None], report: pytest.TestReport
) -> None:
    """Write a `Phase` on `report`; a waived gate that did not pass is shown as an expected failure."""
    pending: list[Evidence] = item.stash.get(PENDING, [])
    evidence = merge_evidence(pending)
    item.stash[PENDING] = []
    state = _state(call, report)
    reason = _reason(call, report)
    waiver = context.waivers.get(gate.id)
    waivable = report.when == "call" and state in {None, RunState.FAILED}
    if waiver is not None and waivable and not hasattr(report, "wasxfail"):
        accepted = report.passed and item.stash.get(WAIVED, False)
        if accepted or (report.failed and call.excinfo is not None):
            state = RunState.PASSED if report.passed else RunState.FAILED
            report.outcome = "skipped"
            until = format(waiver.expires_at, "%Y-%m-%d")
            report.wasxfail = f"waived by {waiver.approver} until {until}: {waiver.reason}"
    if state is None and not reason and evidence is None:
        if PLAIN not in item.stash:
            item.stash[PLAIN] = dumps(Phase(gate=gate))
        text = item.stash[PLAIN]
    else:
        environment = context.environment()[1] if evidence is not None else None
        phase = Phase(gate=gate, state=state, reason=reason, evidence=evidence, environment=environment)
        text = dumps(phase)
    setattr(report, ATTRIBUTE, text)


def _state(call: pytest.CallInfo[None], report: pytest.TestReport) -> RunState | None:
    """Return what happened when an exception ended the phase, whatever became of the report.

    Other plugins may rewrite a report's outcome, before this or later; what was raised stays what it was.
    None where nothing was raised, or where the report tells a skip or an expected failure.
    """
    if call.excinfo is None:
        return RunState.XPASSED if str(report.longrepr).startswith("[XPASS(strict)]") else None
    if report.skipped:
        return None
    if isinstance(call.excinfo.value, ProdmlError):
        return RunState.ERRORED
    if _TIMEOUT.search(str(call.excinfo.value)):
        return RunState.TIMED_OUT
    return RunState.FAILED if report.when == "call" else RunState.ERRORED


def _reason(call: pytest.CallInfo[None], report: pytest.TestReport) -> str:
    expected: str = getattr(report, "wasxfail", "")
    if call.excinfo is None:
        return shorten(expected or str(report.longrepr or ""))
    error = call.excinfo.value
    if isinstance(error, pytest.FixtureLookupError):
        return shorten(error.msg or f"fixture {error.argname!r} not found")
    told = getattr(error, "msg", None) or str(error)
    plain = isinstance(error, (ProdmlError, AssertionError, pytest.fail.Exception, pytest.skip.Exception))
    found = told if plain and told else f"{call.excinfo.typename}: {told}"
    return shorten(f"{expected}: {found}" if expected and expected != told else found)
