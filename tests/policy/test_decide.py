"""From gates, runs and a policy to READY or not: everything missing blocks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prodml.policy.decide import decide
from pytest_prodml.records import (
    Comparison,
    Criterion,
    Decision,
    Dimension,
    Environment,
    Evidence,
    Gate,
    GateRun,
    HardwareTarget,
    Limit,
    Measurement,
    OrdinaryTests,
    Outcome,
    Policy,
    Readiness,
    RunState,
    RunSummary,
    Severity,
    Subject,
    Waiver,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SUBJECT = Subject(name="model.onnx", digest={"sha256": "a" * 64})
SUMMARY = RunSummary(id="run", arguments=(), exit_status=0, workers=0, inventory_complete=True)
IDS = ("performance.auc", "fairness.age")
POLICY = Policy(
    name="production",
    version="1",
    required_dimensions=(Dimension.PERFORMANCE, Dimension.FAIRNESS),
    required_gates=("performance.auc",),
    waivable_gates=("fairness.age",),
    max_waivers=1,
)
WAIVER = Waiver(
    id="w1",
    gate_id="fairness.age",
    subject_digest="a" * 64,
    reason="remediation planned",
    approver="risk@bank.example",
    issued_at=NOW - timedelta(days=1),
    expires_at=NOW + timedelta(days=30),
)


MACHINE = Environment(
    python="3.12",
    platform="Linux",
    machine="x86_64",
    processor="Example",
    processor_count=4,
    memory_bytes=2**33,
)


def gate(gate_id: str, **changes: Any) -> Gate:
    return Gate(id=gate_id, dimension=Dimension(gate_id.split(".", maxsplit=1)[0]), description="", **changes)


def gate_run(gate_id: str, lower: float = 0.8, state: RunState = RunState.PASSED) -> GateRun:
    evidence = Evidence(
        gate_id=gate_id,
        measurements=(
            Measurement(
                metric="m",
                value=lower + 0.02,
                lower=lower,
                upper=lower + 0.04,
                confidence_level=0.95,
                method="exact",
                n_samples=100,
            ),
        ),
        criteria=(Criterion(metric="m", comparison=Comparison.AT_LEAST, limit=0.75),),
        subjects=(SUBJECT,),
    )
    return GateRun(gate_id=gate_id, location="", state=state, evidence=evidence)


def decided(
    policy: Policy = POLICY,
    gates: tuple[Gate, ...] = tuple(map(gate, IDS)),
    runs: tuple[GateRun, ...] = tuple(map(gate_run, IDS)),
    summary: RunSummary = SUMMARY,
    subjects: tuple[Subject, ...] = (SUBJECT,),
    waivers: tuple[Waiver, ...] = (),
    now: datetime = NOW,
    machine: Environment | None = None,
) -> Decision:
    if machine is not None:
        digest = "e" * 64
        runs = tuple(
            replace(run, evidence=replace(run.evidence, environment_digest=digest)) if run.evidence else run
            for run in runs
        )
    environments = {} if machine is None else {"e" * 64: machine}
    return decide(
        policy, gates, runs, summary, subjects=subjects, environments=environments, waivers=waivers, now=now
    )


def test_all_required_gates_proven_is_ready() -> None:
    decision = decided()
    assert decision.outcome is Readiness.READY
    assert decision.reasons == ()
    assert [v.gate_id for v in decision.verdicts] == sorted(IDS)


@pytest.mark.parametrize("state", [state for state in RunState if state is not RunState.PASSED])
@pytest.mark.parametrize("gate_id", IDS)
def test_any_other_state_of_any_required_gate_blocks(state: RunState, gate_id: str) -> None:
    runs = tuple(gate_run(i, state=state if i == gate_id else RunState.PASSED) for i in IDS)
    decision = decided(runs=runs)
    assert decision.outcome is Readiness.NOT_READY
    assert gate_id in decision.reasons[-1]


def test_a_gate_without_a_run_did_not_run() -> None:
    decision = decided(runs=(gate_run("performance.auc"),))
    verdict = next(v for v in decision.verdicts if v.gate_id == "fairness.age")
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "not_run")
    assert decision.outcome is Readiness.NOT_READY


def test_a_required_gate_that_nobody_collected_blocks_and_is_listed() -> None:
    policy = replace(POLICY, required_gates=("performance.auc", "latency.p99"))
    decision = decided(policy)
    verdict = next(v for v in decision.verdicts if v.gate_id == "latency.p99")
    assert (verdict.reason, verdict.required) == ("not-collected", True)
    assert decision.outcome is Readiness.NOT_READY


def test_a_required_dimension_needs_a_required_gate() -> None:
    gates = (gate("performance.auc"), gate("fairness.age", severity=Severity.INFO))
    decision = decided(gates=gates)
    assert decision.outcome is Readiness.NOT_READY
    assert any("dimension fairness" in reason for reason in decision.reasons)


def test_a_project_can_not_lower_a_gate_that_the_policy_requires() -> None:
    gates = (gate("performance.auc", severity=Severity.INFO), gate("fairness.age"))
    decision = decided(gates=gates, runs=(gate_run("performance.auc", 0.5), gate_run("fairness.age")))
    assert decision.outcome is Readiness.NOT_READY


def test_a_limit_makes_its_gate_required() -> None:
    limit = Limit(gate="latency.p99", metric="m", comparison=Comparison.AT_MOST, limit=1)
    assert decided(replace(POLICY, limits=(limit,))).outcome is Readiness.NOT_READY


def test_warn_and_info_gates_do_not_block_but_are_told() -> None:
    for severity in (Severity.WARN, Severity.INFO):
        gates = (*map(gate, IDS), gate("data.repeated", severity=severity))
        decision = decided(gates=gates, runs=(*map(gate_run, IDS), gate_run("data.repeated", 0.1)))
        assert decision.outcome is Readiness.READY
        verdict = next(v for v in decision.verdicts if v.gate_id == "data.repeated")
        assert (verdict.outcome, verdict.required) == (Outcome.FAIL, False)


def test_of_several_runs_the_worst_counts() -> None:
    runs = (*map(gate_run, IDS), gate_run("performance.auc", 0.5, RunState.FAILED))
    decision = decided(runs=runs)
    verdict = next(v for v in decision.verdicts if v.gate_id == "performance.auc")
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, "rerun")
    assert decision.outcome is Readiness.NOT_READY


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"summary": replace(SUMMARY, inventory_complete=False)}, "did not arrive"),
        ({"summary": replace(SUMMARY, ordinary_tests={"failed": 1})}, "1 test that is no gate failed"),
        ({"summary": replace(SUMMARY, ordinary_tests={"errored": 2})}, "2 tests that are no gates errored"),
        ({"subjects": ()}, "no artefact"),
        ({"gates": (*map(gate, IDS), gate("fairness.age"))}, "2 tests claim"),
        ({"runs": (*map(gate_run, IDS), gate_run("data.ghost"))}, "data.ghost"),
        ({"policy": Policy(name="p", version="1")}, "requires nothing"),
        ({"policy": replace(POLICY, required_gates=("auc",))}, "belongs to no dimension"),
        (
            {"gates": (gate("performance.auc"), replace(gate("fairness.age"), dimension=Dimension.DATA))},
            "says that it belongs to data",
        ),
    ],
)
def test_what_is_wrong_with_the_run_as_a_whole_blocks(changes: dict[str, Any], told: str) -> None:
    decision = decided(**changes)
    assert decision.outcome is Readiness.NOT_READY
    assert any(told in reason for reason in decision.reasons)


@pytest.mark.parametrize(
    ("target", "expected"),
    [("cpu-serving", Readiness.READY), ("laptop", Readiness.NOT_READY), (None, Readiness.NOT_READY)],
)
def test_a_policy_can_ask_for_the_hardware_that_serves(target: str | None, expected: Readiness) -> None:
    targets = {"cpu-serving": HardwareTarget(machine="x86_64")}
    policy = replace(POLICY, required_targets=("cpu-serving",), targets=targets)
    decision = decided(policy, summary=replace(SUMMARY, target=target), machine=MACHINE)
    assert decision.outcome is expected
    assert bool(decision.reasons) is (expected is Readiness.NOT_READY)
    assert decided(summary=replace(SUMMARY, target=target)).outcome is Readiness.READY


def test_ordinary_tests_can_be_left_to_the_team() -> None:
    policy = replace(POLICY, ordinary_tests=OrdinaryTests.IGNORED)
    summary = replace(SUMMARY, ordinary_tests={"failed": 1})
    assert decided(policy, summary=summary).outcome is Readiness.READY


def test_evidence_about_another_model_blocks() -> None:
    other = Subject(name="other.onnx", digest={"sha256": "b" * 64})
    decision = decided(subjects=(other,))
    assert {v.reason for v in decision.verdicts} == {"subject-mismatch"}
    assert decision.outcome is Readiness.NOT_READY


class TestWaivers:
    """One gate, one artefact, one reason, until one day."""

    weak = (gate_run("performance.auc"), gate_run("fairness.age", 0.5, RunState.FAILED))

    def test_a_waiver_in_force_is_shown_and_lets_through(self) -> None:
        decision = decided(runs=self.weak, waivers=(WAIVER,))
        assert decision.outcome is Readiness.READY_WITH_WAIVERS
        verdict = next(v for v in decision.verdicts if v.gate_id == "fairness.age")
        assert (verdict.outcome, verdict.waiver_id) == (Outcome.FAIL, "w1")

    @pytest.mark.parametrize(
        "changes",
        [
            {"gate_id": "performance.auc"},
            {"gate_id": "fairness.*"},
            {"subject_digest": "b" * 64},
            {"expires_at": NOW},
            {"issued_at": NOW + timedelta(seconds=1)},
            {"issued_at": NOW - timedelta(days=80)},
        ],
    )
    def test_a_waiver_that_does_not_fit_does_nothing(self, changes: dict[str, Any]) -> None:
        decision = decided(runs=self.weak, waivers=(replace(WAIVER, **changes),))
        assert decision.outcome is Readiness.NOT_READY

    def test_a_gate_that_the_policy_does_not_let_be_waived(self) -> None:
        policy = replace(POLICY, waivable_gates=("data.*",))
        assert decided(policy, runs=self.weak, waivers=(WAIVER,)).outcome is Readiness.NOT_READY

    def test_more_waivers_than_allowed_waive_nothing(self) -> None:
        policy = replace(POLICY, max_waivers=0)
        decision = decided(policy, runs=self.weak, waivers=(WAIVER,))
        assert decision.outcome is Readiness.NOT_READY
        assert any("allows 0" in reason for reason in decision.reasons)
        assert all(v.waiver_id is None for v in decision.verdicts)

    @pytest.mark.parametrize(
        "state", [state for state in RunState if state not in {RunState.PASSED, RunState.FAILED}]
    )
    def test_what_never_ran_can_not_be_waived(self, state: RunState) -> None:
        runs = (gate_run("performance.auc"), gate_run("fairness.age", state=state))
        assert decided(runs=runs, waivers=(WAIVER,)).outcome is Readiness.NOT_READY

    def test_a_waiver_for_a_gate_that_passes_is_not_used(self) -> None:
        assert decided(waivers=(WAIVER,)).outcome is Readiness.READY

    def test_a_waiver_does_not_cover_evidence_about_another_model(self) -> None:
        strange = replace(
            gate_run("fairness.age").evidence, subjects=(replace(SUBJECT, digest={"sha256": "c"}),)
        )  # type: ignore[type-var]
        runs = (gate_run("performance.auc"), replace(gate_run("fairness.age"), evidence=strange))
        assert decided(runs=runs, waivers=(WAIVER,)).outcome is Readiness.NOT_READY


states = st.sampled_from(RunState)


@given(st.dictionaries(st.sampled_from(IDS), st.tuples(states, st.floats(0, 1))), st.booleans())
def test_ready_means_that_every_required_gate_ran_and_proved(
    found: dict[str, tuple[RunState, float]], with_waiver: bool
) -> None:
    runs = tuple(gate_run(gate_id, lower, state) for gate_id, (state, lower) in found.items())
    decision = decided(runs=runs, waivers=(WAIVER,) if with_waiver else ())
    if decision.outcome is not Readiness.NOT_READY:
        for gate_id in IDS:
            state, lower = found[gate_id]
            proven = state is RunState.PASSED and lower >= 0.75
            waived = with_waiver and gate_id == "fairness.age"
            assert proven or (waived and state in {RunState.PASSED, RunState.FAILED})


@given(st.permutations(list(map(gate_run, IDS))), st.permutations(list(map(gate, IDS))))
def test_the_order_in_which_evidence_arrives_does_not_matter(runs: list[GateRun], gates: list[Gate]) -> None:
    assert decided(gates=tuple(gates), runs=tuple(runs)) == decided()
