"""The whole answer, sentence included: what a gate prints is what its reader acts on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pytest_prodml.policy.criterion import Judgement, combine, inconclusive, judge_criterion
from pytest_prodml.policy.decide import decide, usable_waivers
from pytest_prodml.policy.judge import Rule, judge, judge_criteria, rule_of
from pytest_prodml.policy.load import policy_digest
from pytest_prodml.records import (
    Basis,
    Burden,
    Comparison,
    ContinuousIntegration,
    Criterion,
    Decision,
    Dimension,
    Evidence,
    Gate,
    GateRun,
    HardwareTarget,
    Limit,
    Look,
    Measurement,
    NameWaivers,
    Outcome,
    Policy,
    Provenance,
    Readiness,
    RunState,
    RunSummary,
    Severity,
    Subject,
    Verdict,
    Waiver,
)

UNDESCRIBED = (
    "the target 'edge' is declared and nothing describes it, and a name proves no hardware: add [targets.edge] "
    "to the policy"
)
AUC = Measurement(
    metric="roc_auc",
    value=0.8,
    lower=0.77,
    upper=0.83,
    confidence_level=0.95,
    method="DeLong",
    n_samples=1500,
)
GAP = replace(AUC, metric="gap", value=0.1, lower=0.05, upper=0.15)
GATE = Gate(
    id="performance.auc", dimension=Dimension.PERFORMANCE, description="ranks well", location="t.py::t"
)
SUBJECT = Subject(name="model.onnx", digest={"sha256": "a" * 64})
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def at_least(limit: float, **changes: Any) -> Criterion:
    return Criterion(metric="roc_auc", comparison=Comparison.AT_LEAST, limit=limit, **changes)


def at_most(limit: float, **changes: Any) -> Criterion:
    return Criterion(metric="gap", comparison=Comparison.AT_MOST, limit=limit, **changes)


def told(criterion: Criterion, *measured: Measurement, **options: Any) -> tuple[str, str, str]:
    """Return outcome, code and sentence of one criterion."""
    found = judge_criterion(
        criterion,
        Evidence(gate_id="performance.auc", measurements=measured, criteria=(criterion,)),
        **{"confidence_level": 0.95, **options},
    )
    assert found.adjusted_p_value == options.get("adjusted_p_value")
    return found.outcome.value, found.reason, found.message


# --- one criterion ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criterion", "measured", "options", "expected"),
    [
        (
            at_least(0.75),
            AUC,
            {},
            ("pass", "proven", "roc_auc = 0.8 [0.77, 0.83], must be at least 0.75"),
        ),
        (
            at_most(0.2),
            replace(GAP, note="quiet"),
            {},
            ("pass", "proven", "gap = 0.1 [0.05, 0.15], must be at most 0.2"),
        ),
        (
            at_least(0.79, margin=0.03),
            replace(AUC, unit="points"),
            {"source": "the policy's limit"},
            (
                "pass",
                "proven",
                (
                    "roc_auc = 0.8 points [0.77, 0.83], must be at least 0.76 points (limit 0.79, margin 0.03) "
                    "by the policy's limit"
                ),
            ),
        ),
        (
            at_most(0.14, margin=0.02),
            GAP,
            {},
            (
                "pass",
                "proven",
                "gap = 0.1 [0.05, 0.15], must be at most 0.16 (limit 0.14, margin 0.02)",
            ),
        ),
        (
            at_least(0.79),
            replace(AUC, unit=""),
            {},
            (
                "inconclusive",
                "not-proven",
                "roc_auc = 0.8 [0.77, 0.83], must be at least 0.79: not proven with 1,500 rows",
            ),
        ),
        (
            at_least(0.79),
            replace(AUC, n_required=12345, note="power 0.8"),
            {},
            (
                "inconclusive",
                "not-proven",
                (
                    "roc_auc = 0.8 [0.77, 0.83], must be at least 0.79: not proven with 1,500 rows; about 12,345 "
                    "would decide if the true value is the observed one (power 0.8)"
                ),
            ),
        ),
        (
            at_least(0.79),
            replace(AUC, lower=None),
            {},
            (
                "inconclusive",
                "not-proven",
                "roc_auc = 0.8 [-inf, 0.83], must be at least 0.79: not proven with 1,500 rows",
            ),
        ),
        (
            at_most(0.1),
            replace(GAP, upper=None, group="women"),
            {},
            ("inconclusive", "no-measurement", "gap was not measured"),
        ),
        (
            at_most(0.1, group="women"),
            replace(GAP, upper=None, group="women"),
            {},
            (
                "inconclusive",
                "not-proven",
                "gap [women] = 0.1 [0.05, inf], must be at most 0.1: not proven with 1,500 rows",
            ),
        ),
        (
            at_most(0.1, group="men"),
            GAP,
            {"source": "the policy's limit"},
            ("inconclusive", "no-measurement", "gap [men] was not measured (the policy's limit)"),
        ),
        (
            at_least(0.9),
            replace(AUC, note="worst: north"),
            {},
            ("fail", "refuted", "roc_auc = 0.8 [0.77, 0.83], must be at least 0.9 (worst: north)"),
        ),
        (
            at_least(0.9),
            AUC,
            {},
            ("fail", "refuted", "roc_auc = 0.8 [0.77, 0.83], must be at least 0.9"),
        ),
        (
            at_least(0.79, burden=Burden.VIOLATION),
            AUC,
            {},
            ("pass", "no-violation-proven", "roc_auc = 0.8 [0.77, 0.83], must be at least 0.79"),
        ),
        (
            at_least(0.79, burden=Burden.VIOLATION),
            AUC,
            {"alarms_suffice": False},
            (
                "inconclusive",
                "alarm-is-no-proof",
                (
                    "roc_auc = 0.8 [0.77, 0.83], must be at least 0.79: no violation is proven, which is no proof "
                    "of the claim; the policy can accept it with alarm_gates"
                ),
            ),
        ),
        (
            at_least(0.75),
            replace(AUC, value=None, lower=None, upper=None, note="one class only"),
            {},
            ("inconclusive", "not-estimable", "roc_auc: not estimable (one class only)"),
        ),
        (
            at_least(0.75),
            replace(AUC, value=None, lower=None, upper=None),
            {},
            ("inconclusive", "not-estimable", "roc_auc: not estimable (no value)"),
        ),
        (
            at_least(0.75),
            replace(AUC, upper=float("nan")),
            {},
            ("inconclusive", "invalid-measurement", "roc_auc: holds a number that is not finite"),
        ),
        (
            at_least(0.75),
            replace(AUC, lower=0.81),
            {},
            ("inconclusive", "invalid-measurement", "roc_auc: the bounds do not contain the measured value"),
        ),
        (
            at_least(0.75),
            replace(AUC, confidence_level=0.9),
            {"confidence_level": 0.99},
            (
                "inconclusive",
                "confidence-level",
                "roc_auc: bounds at 0.9, the policy asks for 0.99",
            ),
        ),
    ],
)
def test_one_criterion(
    criterion: Criterion, measured: Measurement, options: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    assert told(criterion, measured, **options) == expected


def test_one_row_can_be_estimable_and_none_can_not() -> None:
    assert told(at_least(0.75), replace(AUC, n_samples=1))[1] == "proven"
    assert told(at_least(0.75), replace(AUC, n_samples=0))[1] == "not-estimable"


def test_bounds_may_miss_the_value_by_rounding_and_no_more() -> None:
    for size in (0.5, 1.0, 1000.0):
        near, far = 0.5e-9 * max(1.0, size), 3e-9 * max(1.0, size)
        value = replace(AUC, value=size)
        limit = at_least(size / 2)
        for miss, reason in ((near, "proven"), (far, "invalid-measurement")):
            assert told(limit, replace(value, lower=size + miss, upper=None))[1] == reason
            assert told(limit, replace(value, lower=size, upper=size - miss))[1] == reason


def test_a_bound_at_level_one_is_exact_and_beyond_it_is_nonsense() -> None:
    exact = replace(AUC, lower=0.8, upper=0.8, confidence_level=1.0)
    assert told(at_least(0.8), exact)[1] == "proven"
    assert told(at_least(0.8), replace(exact, confidence_level=1.5))[1] == "confidence-level"


def test_an_alarm_is_judged_by_its_corrected_p_value_and_on_its_own_side() -> None:
    low, high = at_least(0.9, burden=Burden.VIOLATION), at_most(0.05, burden=Burden.VIOLATION)
    for alarm, measured in ((low, AUC), (high, GAP)):
        assert told(alarm, measured, adjusted_p_value=0.01)[:2] == ("fail", "refuted")
        assert told(alarm, measured, adjusted_p_value=0.2)[:2] == ("pass", "no-violation-proven")
        # Exactly at the level counts: 1 - 0.75 is a quarter without rounding.
        assert told(alarm, measured, adjusted_p_value=0.25, confidence_level=0.75)[1] == "refuted"
    # A value at the limit or on the good side of it violates nothing, whatever a p-value says.
    for kept in (0.8, 0.7):
        assert told(at_least(kept, burden=Burden.VIOLATION), AUC, adjusted_p_value=0.001)[0] == "pass"
    for kept in (0.1, 0.2):
        assert told(at_most(kept, burden=Burden.VIOLATION), GAP, adjusted_p_value=0.001)[0] == "pass"


def test_many_messages_are_told_up_to_four() -> None:
    def bad(number: int) -> Judgement:
        return Judgement(outcome=Outcome.FAIL, reason="refuted", message=f"m{number}", adjusted_p_value=0.5)

    good = Judgement(outcome=Outcome.PASS, reason="proven", message="fine")
    assert combine([bad(1)]) == bad(1)
    assert combine([good, bad(1), bad(2), bad(3), bad(4)]).message == "m1; m2; m3; m4"
    assert combine([bad(number) for number in range(1, 7)]).message == "m1; m2; m3; m4; and 2 more"
    assert combine([bad(number) for number in range(1, 6)]).message == "m1; m2; m3; m4; and 1 more"
    assert combine([inconclusive("not-proven", "open"), good, bad(1)]) == replace(bad(1), message="m1; open")
    assert combine([good, good]).message == "fine; fine"
    assert combine([good, inconclusive("not-proven", "open")]).message == "open"


# --- one gate -----------------------------------------------------------------------------------------------


def judged(run_state: RunState, found: Evidence | None = None, **options: Any) -> tuple[str, str, str]:
    made = judge(
        options.pop("gate", GATE),
        GateRun(
            gate_id=GATE.id,
            location="t.py::t",
            state=run_state,
            evidence=found,
            reason=options.pop("why", None),
        ),
        **{"confidence_level": 0.95, **options},
    )
    return made.outcome.value, made.reason, made.message


def evidence(*criteria: Criterion, **changes: Any) -> Evidence:
    made = Evidence(gate_id=GATE.id, measurements=(AUC,), criteria=criteria, subjects=(SUBJECT,))
    return replace(made, **changes)


PROVEN = "roc_auc = 0.8 [0.77, 0.83], must be at least 0.75"
ASSERTING = replace(GATE, basis=Basis.ASSERTION)
ASSERTED = ("pass", "assertion", "the test's own asserts held (no measurement was recorded)")
NO_EVIDENCE = (
    "inconclusive",
    "no-evidence",
    "the test asked for the gate's fixture but recorded no criterion to meet",
)
LIMIT = Limit(gate="performance.*", metric="roc_auc", comparison=Comparison.AT_LEAST, limit=0.76)


def test_what_happened_to_a_test() -> None:
    good = evidence(at_least(0.75))
    assert judged(RunState.PASSED, good) == ("pass", "proven", PROVEN)
    assert judged(RunState.FAILED, good) == ("fail", "failed", "the test failed")
    assert judged(RunState.FAILED, good, why="assert 1 == 2") == (
        "fail",
        "failed",
        "the test failed: assert 1 == 2",
    )
    assert judged(RunState.FAILED, evidence(at_least(0.9)))[1] == "refuted"
    assert judged(RunState.FAILED, evidence(at_least(0.79)))[1] == "not-proven"
    assert judged(RunState.XFAILED, good, why="known") == (
        "fail",
        "xfailed",
        "the test failed, as its xfail mark expects; expecting it is no waiver: known",
    )
    assert judged(RunState.SKIPPED, good, why="no data") == (
        "inconclusive",
        "skipped",
        "the test was skipped; a skipped gate proves nothing: no data",
    )
    assert judged(RunState.NOT_RUN) == ("inconclusive", "not_run", "the test was collected but did not run")


def test_a_gate_without_a_criterion() -> None:
    assert judged(RunState.PASSED) == NO_EVIDENCE
    assert judged(RunState.PASSED, evidence()) == NO_EVIDENCE
    assert judged(RunState.FAILED, evidence()) == NO_EVIDENCE
    assert judged(RunState.FAILED, why="boom") == ("fail", "failed", "the test failed: boom")
    assert judged(RunState.PASSED, gate=ASSERTING) == ASSERTED
    assert judged(RunState.PASSED, evidence(), gate=ASSERTING) == ASSERTED
    assert judged(RunState.FAILED, evidence(), gate=ASSERTING, why="boom") == (
        "fail",
        "failed",
        "the test failed: boom",
    )
    assert judged(RunState.PASSED, gate=ASSERTING, limits=[LIMIT]) == (
        "inconclusive",
        "no-measurement",
        "the policy limits roc_auc, and plain asserts measure nothing",
    )
    elsewhere = replace(LIMIT, gate="fairness.*")
    assert judged(RunState.PASSED, gate=ASSERTING, limits=[elsewhere]) == ASSERTED


def test_evidence_of_another_gate_or_another_model() -> None:
    good = evidence(at_least(0.75))
    mine, other = frozenset({"a" * 64}), frozenset({"b" * 64})
    assert judged(RunState.PASSED, replace(good, gate_id="performance.f1")) == (
        "fail",
        "evidence-mix",
        "the evidence is of the gate performance.f1",
    )
    assert judged(RunState.PASSED, good, subject_digests=mine) == ("pass", "proven", PROVEN)
    assert judged(RunState.PASSED, good, subject_digests=other) == (
        "fail",
        "subject-mismatch",
        "the test measured model.onnx, whose digest is not the certified artefact's",
    )
    weak = replace(good, subjects=(Subject(name="model.onnx", digest={"md5": "c" * 32}),))
    assert judged(RunState.PASSED, weak, subject_digests=mine)[1] == "subject-mismatch"
    unbound = replace(good, subjects=())
    assert judged(RunState.PASSED, unbound, subject_digests=mine) == (
        "inconclusive",
        "unbound-model",
        (
            "the model that was measured is not tied to the certified file; return a path from prodml_model, or tie "
            "the object to its file with pytest_prodml.adapters.bind"
        ),
    )
    assert judged(RunState.PASSED, unbound, subject_digests=mine, allow_unbound_models=True)[1] == "proven"
    assert judged(RunState.PASSED, unbound)[1] == "proven"
    # What is proven to be bad stays so; who measured which model is the smaller trouble.
    assert judged(RunState.PASSED, replace(unbound, criteria=(at_least(0.9),)), subject_digests=mine)[1] == (
        "refuted"
    )
    data = replace(GATE, dimension=Dimension.DATA)
    assert judged(RunState.PASSED, unbound, gate=data, subject_digests=mine)[1] == "proven"


def test_limits_of_the_policy_join_those_of_the_test() -> None:
    groups = (replace(AUC, group="b"), AUC, replace(AUC, group="a", value=0.7, lower=0.6, upper=0.75))
    found = evidence(at_least(0.75), measurements=groups)
    items = judge_criteria(GATE.id, found, confidence_level=0.95, limits=[LIMIT, replace(LIMIT, gate="x.*")])
    assert [(item.criterion.group, item.by_policy, item.judgement.reason) for item in items] == [
        (None, False, "proven"),
        (None, True, "proven"),
        ("a", True, "refuted"),
        ("b", True, "proven"),
    ]
    assert {item.criterion.burden for item in items} == {Burden.COMPLIANCE}
    assert {item.criterion.comparison for item in items} == {Comparison.AT_LEAST}
    assert items[1].judgement.message == (
        "roc_auc = 0.8 [0.77, 0.83], must be at least 0.76 by the policy's limit"
    )
    one = judge_criteria(GATE.id, found, confidence_level=0.95, limits=[replace(LIMIT, group="b")])
    assert [item.criterion.group for item in one] == [None, "b"]
    absent = judge_criteria(GATE.id, found, confidence_level=0.95, limits=[replace(LIMIT, metric="f1")])
    assert (absent[1].criterion.group, absent[1].judgement.reason) == (None, "no-measurement")
    assert absent[1].judgement.message == "f1 was not measured (the policy's limit)"
    high = judge_criteria(GATE.id, found, confidence_level=0.99, limits=[LIMIT])
    assert {item.judgement.reason for item in high} == {"confidence-level"}


def test_a_guard_asks_for_violations_only() -> None:
    guard = Rule(guard=True)
    found = evidence(at_least(0.79))
    items = judge_criteria(
        GATE.id, found, confidence_level=0.95, limits=[replace(LIMIT, limit=0.79)], rule=guard
    )
    assert [item.judgement.reason for item in items] == ["no-violation-proven"] * 2
    assert {item.criterion.burden for item in items} == {Burden.VIOLATION}
    assert judged(RunState.PASSED, found, rule=guard)[1] == "no-violation-proven"
    assert judged(RunState.PASSED, found, rule=Rule())[1] == "not-proven"


def test_who_has_to_prove_it() -> None:
    policy = Policy(name="p", version="1")
    assert rule_of(None, "performance.auc") == Rule(guard=False, alarms_suffice=True)
    assert rule_of(policy, "performance.auc") == Rule(guard=False, alarms_suffice=False)
    assert rule_of(policy, "data.drift") == Rule(guard=False, alarms_suffice=True)
    named = replace(policy, alarm_gates=("performance.*",))
    assert rule_of(named, "performance.auc").alarms_suffice
    assert not rule_of(named, "data.drift").alarms_suffice
    assert rule_of(replace(policy, burden=Burden.VIOLATION), "performance.auc").guard
    assert not rule_of(replace(policy, burden=Burden.COMPLIANCE), "performance.auc").guard
    alarm = evidence(at_least(0.79, burden=Burden.VIOLATION))
    assert judged(RunState.PASSED, alarm)[1] == "no-violation-proven"
    assert judged(RunState.PASSED, alarm, rule=Rule())[1] == "alarm-is-no-proof"


def test_alarms_of_a_gate_are_corrected_together() -> None:
    """Holm by hand: 0.01 * 3, then the larger of that and 0.02 * 2, then of that and 0.9 * 1."""
    names = ("a", "b", "c", "d")
    p_values = (0.9, 0.01, 0.02, None)
    found = evidence(
        *(at_least(0.9, group=name, burden=Burden.VIOLATION) for name in names[:3]),
        measurements=tuple(
            replace(AUC, group=name, p_value=p_value, upper=0.95 if p_value == 0.9 else AUC.upper)
            for name, p_value in zip(names, p_values, strict=True)
        ),
    )
    items = judge_criteria(GATE.id, found, confidence_level=0.95)
    assert [item.judgement.adjusted_p_value for item in items] == [0.9, 0.03, 0.04]
    assert [item.judgement.outcome.value for item in items] == ["pass", "fail", "fail"]
    # An alarm without a p-value counts in the family and is judged by its bounds.
    four = replace(found, criteria=(*found.criteria, at_least(0.9, group="d", burden=Burden.VIOLATION)))
    items = judge_criteria(GATE.id, four, confidence_level=0.95)
    assert [item.judgement.adjusted_p_value for item in items] == [1.0, 0.04, 0.06, None]
    assert items[3].judgement.reason == "refuted"


# --- the decision -------------------------------------------------------------------------------------------

POLICY = Policy(
    name="production",
    version="1",
    required_dimensions=(Dimension.PERFORMANCE,),
    required_gates=("performance.auc",),
    waivable_gates=("*",),
    max_waivers=2,
)
RUN = RunSummary(id="run-7", arguments=(), exit_status=0, workers=0, inventory_complete=True)
OPEN = "roc_auc = 0.8 [0.77, 0.83], must be at least 0.79: not proven with 1,500 rows"


def ran(limit: float = 0.75, **changes: Any) -> GateRun:
    made = GateRun(
        gate_id=GATE.id, location="t.py::t", state=RunState.PASSED, evidence=evidence(at_least(limit))
    )
    return replace(made, **changes)


def decision(*runs: GateRun, **changes: Any) -> Decision:
    arguments: dict[str, Any] = {
        "policy": POLICY,
        "gates": [GATE],
        "run": RUN,
        "subjects": [SUBJECT],
        "now": NOW,
        "runs": runs,
    }
    return decide(**{**arguments, **changes})


def waiver(**changes: Any) -> Waiver:
    made = Waiver(
        id="w1",
        gate_id=GATE.id,
        subject_digest="a" * 64,
        reason="known",
        approver="risk",
        issued_at=NOW,
        expires_at=NOW + timedelta(days=30),
    )
    return replace(made, **changes)


def test_the_whole_decision() -> None:
    verdict = Verdict(
        gate_id=GATE.id,
        dimension=Dimension.PERFORMANCE,
        outcome=Outcome.PASS,
        required=True,
        reason="proven",
        message=PROVEN,
    )
    assert decision(ran()) == Decision(
        outcome=Readiness.READY,
        verdicts=(verdict,),
        policy_digest=policy_digest(POLICY),
        run_id="run-7",
        reasons=(),
    )
    lost = decision(ran(0.79))
    assert lost.outcome is Readiness.NOT_READY
    assert lost.verdicts == (
        replace(verdict, outcome=Outcome.INCONCLUSIVE, reason="not-proven", message=OPEN),
    )
    assert lost.reasons == ("1 required gate does not pass: performance.auc",)


def test_of_several_runs_the_worst_counts() -> None:
    again = decision(ran(), ran(0.79)).verdicts[0]
    assert (again.reason, again.message) == (
        "rerun",
        f"ran 2 times (1 passed, 1 inconclusive) and the worst counts: {OPEN}",
    )
    assert again.outcome is Outcome.INCONCLUSIVE
    assert decision(ran(), ran()).verdicts[0].reason == "proven"
    alarm = at_least(0.9, burden=Burden.VIOLATION)
    found = evidence(alarm, measurements=(replace(AUC, p_value=0.01),))
    policy = replace(POLICY, alarm_gates=("performance.auc",))
    worst = decision(ran(), ran(evidence=found), policy=policy).verdicts[0]
    assert (worst.outcome, worst.reason, worst.adjusted_p_value) == (Outcome.FAIL, "rerun", 0.01)
    assert decision(ran(evidence=found), policy=policy).verdicts[0].adjusted_p_value == 0.01


def test_what_was_never_collected_blocks() -> None:
    limits = (Limit(gate="latency.*", metric="p99", comparison=Comparison.AT_MOST, limit=10.0),)
    policy = replace(POLICY, required_gates=("performance.auc", "fairness.age", "odd"), limits=limits)
    found = decision(ran(), policy=policy)
    assert [
        (verdict.gate_id, verdict.dimension, verdict.outcome, verdict.required, verdict.reason)
        for verdict in found.verdicts
    ] == [
        ("fairness.age", Dimension.FAIRNESS, Outcome.INCONCLUSIVE, True, "not-collected"),
        ("latency.*", Dimension.LATENCY, Outcome.INCONCLUSIVE, True, "not-collected"),
        ("performance.auc", Dimension.PERFORMANCE, Outcome.PASS, True, "proven"),
    ]
    assert found.verdicts[0].message == ("the policy requires this gate and no test of that id was collected")
    assert found.reasons == (
        "the policy names the gate 'odd', which belongs to no dimension",
        "2 required gates do not pass: fairness.age, latency.*",
    )


def test_an_inventory_that_contradicts_itself() -> None:
    odd = Gate(id="fairness.age", dimension=Dimension.DATA, description="", severity=Severity.INFO)
    found = decision(
        ran(),
        replace(ran(), gate_id="latency.p99"),
        gates=[GATE, GATE, odd],
        run=replace(RUN, inventory_complete=False, ordinary_tests={"failed": 1, "timed_out": 2, "passed": 9}),
        subjects=[],
        policy=replace(POLICY, required_dimensions=(Dimension.PERFORMANCE, Dimension.FAIRNESS)),
    )
    assert found.outcome is Readiness.NOT_READY
    assert found.reasons == (
        "the list of collected gates did not arrive, so it is unknown what should have run",
        "no artefact is named, so there is nothing that could be ready",
        "2 tests claim the gate performance.auc",
        "there is evidence for latency.p99, which is not in the list of collected gates",
        "the gate fairness.age says that it belongs to data",
        "the policy requires the dimension fairness; no required gate of it was collected",
        "1 test that is no gate failed",
        "2 tests that are no gates timed out",
        "2 required gates do not pass: performance.auc, performance.auc",
    )
    nothing = decision(ran(), policy=Policy(name="p", version="1"))
    assert nothing.reasons == ("the policy requires nothing, so nothing can be ready under it",)


@pytest.mark.parametrize(
    ("changes", "run", "reasons"),
    [
        (
            {"required_targets": ("prod", "edge")},
            {"target": "edge"},
            (UNDESCRIBED,),
        ),
        (
            {"required_targets": ("edge",), "targets": {"edge": HardwareTarget(machine="riscv64")}},
            {"target": "edge"},
            ("evidence was measured on another machine than 'edge': the machine was not recorded",),
        ),
        (
            {"matrix": {"performance.*": ("edge",)}},
            {},
            (
                "the target 'edge' is in the policy's matrix and nothing describes it",
                "1 required gate does not pass: performance.auc",
            ),
        ),
        (
            {"required_targets": ("prod", "edge")},
            {"target": "laptop"},
            ("the tests ran on 'laptop', and the policy asks for prod or edge",),
        ),
        (
            {"required_targets": ("prod",)},
            {},
            ("the tests ran on a machine without a declared target, and the policy asks for prod",),
        ),
        (
            {"allow_dirty": False},
            {},
            ("the revision of the tested code is unknown (not recorded), and the policy asks for it",),
        ),
        (
            {"allow_dirty": False},
            {"provenance": Provenance(problem="no git here")},
            ("the revision of the tested code is unknown (no git here), and the policy asks for it",),
        ),
        (
            {"allow_dirty": False},
            {"provenance": Provenance(revision="0123456789abcdef")},
            ("the revision of the tested code is unknown (not recorded), and the policy asks for it",),
        ),
        (
            {"allow_dirty": False},
            {"provenance": Provenance(is_dirty=False)},
            ("the revision of the tested code is unknown (not recorded), and the policy asks for it",),
        ),
        (
            {"allow_dirty": False},
            {"provenance": Provenance(revision="0123456789abcdef", is_dirty=True)},
            ("files differ from the revision 0123456789ab, and the policy allows none that do",),
        ),
        ({"allow_dirty": False}, {"provenance": Provenance(revision="0123", is_dirty=False)}, ()),
        ({"allow_dirty": True}, {"provenance": Provenance(revision="0123", is_dirty=True)}, ()),
        (
            {"required_automation": ("github:bank/*", "gitlab:*")},
            {"provenance": Provenance()},
            ("the tests ran outside of any automation, and the policy asks for github:bank/* or gitlab:*",),
        ),
        (
            {"required_automation": ("github:bank/*",)},
            {},
            ("the tests ran outside of any automation, and the policy asks for github:bank/*",),
        ),
        (
            {"required_automation": ("github:bank/*",)},
            {
                "provenance": Provenance(
                    automation=ContinuousIntegration(provider="github", project="me/fork")
                )
            },
            ("the tests ran in 'github:me/fork', and the policy asks for github:bank/*",),
        ),
        (
            {"required_automation": ("jenkins:",)},
            {"provenance": Provenance(automation=ContinuousIntegration(provider="jenkins"))},
            (),
        ),
        (
            {"required_automation": ("x:*", "github:bank/*")},
            {"provenance": Provenance(automation=ContinuousIntegration(provider="github", project="bank/m"))},
            (),
        ),
    ],
)
def test_where_the_run_was(changes: dict[str, Any], run: dict[str, Any], reasons: tuple[str, ...]) -> None:
    found = decision(ran(), policy=replace(POLICY, **changes), run=replace(RUN, **run))
    assert found.reasons == reasons


def test_waivers_at_their_edges() -> None:
    digests, names = frozenset({"a" * 64}), frozenset({"model.onnx"})

    def usable(*given: Waiver, policy: Policy = POLICY, now: datetime = NOW) -> dict[str, str]:
        found = usable_waivers(policy, given, digests, now, names=names)
        return {gate_id: item.id for gate_id, item in found.items()}

    end = waiver().expires_at
    moment = timedelta(microseconds=1)
    assert usable(waiver()) == {"performance.auc": "w1"}
    assert usable(waiver(), now=end - moment) == {"performance.auc": "w1"}
    assert usable(waiver(), now=end) == usable(waiver(), now=NOW - moment) == {}
    longest = NOW + timedelta(days=POLICY.max_waiver_days)
    assert usable(waiver(expires_at=longest)) == {"performance.auc": "w1"}
    assert usable(waiver(expires_at=longest + moment)) == {}
    assert usable(waiver(subject_digest="b" * 64)) == {}
    assert usable(waiver(), policy=replace(POLICY, waivable_gates=("fairness.*",))) == {}
    # Of several the longest; one for the artefact itself before any by name, however long.
    later = waiver(id="w2", expires_at=end + moment)
    assert usable(later, waiver()) == usable(waiver(), later) == {"performance.auc": "w2"}
    by_name = waiver(id="w3", subject_digest=None, subject_name="*.onnx", expires_at=end - moment)
    assert usable(by_name) == {}
    named = replace(POLICY, name_waivers=NameWaivers(max=1, max_days=30))
    assert usable(by_name, policy=named) == {"performance.auc": "w3"}
    own = {"performance.auc": "w1"}
    assert usable(by_name, waiver(), policy=named) == usable(waiver(), by_name, policy=named) == own
    # Where the policy takes none by name, not even a short one.
    assert usable(replace(by_name, expires_at=NOW + timedelta(hours=1))) == {}
    assert usable(replace(by_name, subject_name="*.pt"), policy=named) == {}


def test_what_the_policy_says_reaches_every_gate() -> None:
    limit = Limit(gate="performance.*", metric="roc_auc", comparison=Comparison.AT_LEAST, limit=0.78)
    assert decision(ran(), policy=replace(POLICY, limits=(limit,))).verdicts[0].reason == "not-proven"
    unbound = ran(evidence=evidence(at_least(0.75), subjects=()))
    assert decision(unbound).verdicts[0].reason == "unbound-model"
    allowing = replace(POLICY, allow_unbound_models=True)
    assert decision(unbound, policy=allowing).verdicts[0].reason == "proven"
    alarm = ran(evidence=evidence(at_least(0.79, burden=Burden.VIOLATION)))
    assert decision(alarm).verdicts[0].reason == "alarm-is-no-proof"
    silent = replace(POLICY, alarm_gates=("performance.auc",))
    assert decision(alarm, policy=silent).verdicts[0].reason == "no-violation-proven"
    elsewhere = replace(POLICY, alarm_gates=("data.*",))
    assert decision(alarm, policy=elsewhere).verdicts[0].reason == "alarm-is-no-proof"
    guard = replace(POLICY, burden=Burden.VIOLATION)
    assert decision(ran(0.79), policy=guard).verdicts[0].reason == "no-violation-proven"


def test_what_looks_at_the_test_set_have_spent_is_spent() -> None:
    def level(asked: float, spent: float | None, measured: float) -> str:
        found = evidence(at_least(0.75), measurements=(replace(AUC, confidence_level=measured),))
        look = (
            Look(number=2, planned=5, spending="bonferroni", confidence_level=spent, test_digest="d" * 64)
            if spent is not None
            else None
        )
        policy = replace(POLICY, confidence_level=asked)
        made = decision(ran(evidence=found), policy=policy, run=replace(RUN, look=look))
        return made.verdicts[0].reason

    assert level(0.95, None, 0.95) == level(0.95, 0.99, 0.99) == level(0.99, 0.95, 0.99) == "proven"
    assert level(0.95, 0.99, 0.95) == level(0.99, 0.95, 0.95) == level(0.99, None, 0.95) == "confidence-level"


@pytest.mark.parametrize("digest", [{}, {"md5": "c" * 32}, {"sha256": ""}])
def test_an_artefact_without_a_digest_matches_nothing(digest: dict[str, str]) -> None:
    nameless = Subject(name="model.onnx", digest={})
    found = evidence(at_least(0.75), subjects=(Subject(name="model.onnx", digest=digest),))
    assert decision(ran(evidence=found), subjects=[nameless]).verdicts[0].reason == "subject-mismatch"
    assert decision(ran(evidence=found)).verdicts[0].reason == "subject-mismatch"


def test_a_policy_can_require_what_the_project_only_mentions() -> None:
    modest = replace(GATE, severity=Severity.INFO)
    policy = replace(POLICY, required_gates=("fairness.age",))
    assert decision(ran(), gates=[modest]).verdicts[0].required
    assert not decision(ran(), gates=[modest], policy=policy).verdicts[1].required
    assert decision(ran(), policy=policy).verdicts[1].required
    for some in (replace(POLICY, required_gates=()), replace(POLICY, required_dimensions=())):
        assert decision(ran(), policy=some).outcome is Readiness.READY


def waived(*runs: GateRun, policy: Policy = POLICY, **changes: Any) -> Decision:
    return decision(*runs, policy=policy, waivers=[waiver(**changes)])


def test_only_a_known_result_can_be_waived() -> None:
    found = waived(ran(0.79))
    assert found.outcome is Readiness.READY_WITH_WAIVERS
    assert (found.verdicts[0].waiver_id, found.verdicts[0].reason) == ("w1", "not-proven")
    assert found.reasons == ()
    assert waived(ran()).verdicts[0].waiver_id is None
    assert waived(ran()).outcome is Readiness.READY
    for state in RunState:
        applies = waived(ran(0.9, state=state)).verdicts[0].waiver_id is not None
        assert applies == (state in {RunState.PASSED, RunState.FAILED})
    assert waived().verdicts[0].waiver_id is None
    assert waived(ran(0.79), ran(state=RunState.SKIPPED)).verdicts[0].waiver_id is None
    other = Subject(name="model.onnx", digest={"sha256": "b" * 64})
    for reason, run in {
        "subject-mismatch": ran(evidence=evidence(at_least(0.75), subjects=(other,))),
        "unbound-model": ran(evidence=evidence(at_least(0.75), subjects=())),
        "evidence-mix": ran(evidence=evidence(at_least(0.75), gate_id="performance.f1")),
        "no-evidence": ran(evidence=None),
    }.items():
        verdict = waived(run).verdicts[0]
        assert (verdict.reason, verdict.waiver_id) == (reason, None)
    modest = replace(GATE, severity=Severity.INFO)
    unnamed = replace(POLICY, required_gates=("fairness.age",))
    made = decision(ran(0.79), gates=[modest], policy=unnamed, waivers=[waiver()])
    assert [verdict.waiver_id for verdict in made.verdicts] == [None, None]


def test_waivers_are_counted() -> None:
    found = waived(ran(0.79), policy=replace(POLICY, max_waivers=0))
    assert found.reasons == (
        "1 waivers are needed and the policy allows 0",
        "1 required gate does not pass: performance.auc",
    )
    assert found.verdicts[0].waiver_id is None
    assert waived(ran(0.79), policy=replace(POLICY, max_waivers=1)).reasons == ()
    by_name = {"subject_digest": None, "subject_name": "*.onnx", "expires_at": NOW + timedelta(days=2)}
    one = replace(POLICY, name_waivers=NameWaivers(max=1, max_days=14))
    assert waived(ran(0.79), policy=one, **by_name).outcome is Readiness.READY_WITH_WAIVERS
    none = replace(POLICY, name_waivers=NameWaivers(max=0, max_days=14))
    lost = waived(ran(0.79), policy=none, **by_name)
    assert lost.outcome is Readiness.NOT_READY
    assert lost.reasons == (
        "1 waivers by name are needed and the policy allows 0",
        "1 required gate does not pass: performance.auc",
    )
    assert [verdict.gate_id for verdict in lost.verdicts] == ["performance.auc"]
    elsewhere = waived(ran(0.79), policy=one, **{**by_name, "subject_name": "*.pt"})
    assert elsewhere.verdicts[0].waiver_id is None


def test_gates_without_a_waiver_stay_as_they_are() -> None:
    second = replace(GATE, id="performance.f1")
    made = decision(
        ran(0.79),
        replace(ran(), gate_id="performance.f1", evidence=None),
        gates=[GATE, replace(second, basis=Basis.ASSERTION)],
        waivers=[waiver()],
    )
    assert [(verdict.gate_id, verdict.waiver_id) for verdict in made.verdicts] == [
        ("performance.auc", "w1"),
        ("performance.f1", None),
    ]
