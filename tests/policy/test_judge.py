"""Bounds against limits, and that nothing but proof passes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prodml.policy.criterion import judge_criterion
from pytest_prodml.policy.judge import judge, judge_criteria, rule_of
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
    Policy,
    RunState,
    Subject,
)

GATE = Gate(id="performance.auc", dimension=Dimension.PERFORMANCE, description="ranks well")
ASSERTION = Gate(id="pipeline.etl", dimension=Dimension.PIPELINE, description="runs", basis=Basis.ASSERTION)
SUBJECT = Subject(name="model.onnx", digest={"sha256": "a" * 64})


def measured(
    value: float | None = 0.8, lower: float | None = 0.77, upper: float | None = 0.83, **changes: Any
) -> Measurement:
    values: dict[str, Any] = {
        "metric": "roc_auc",
        "value": value,
        "lower": lower,
        "upper": upper,
        "confidence_level": 0.95,
        "method": "DeLong",
        "n_samples": 500,
    }
    return Measurement(**{**values, **changes})


def at_least(limit: float, **changes: Any) -> Criterion:
    return Criterion(metric="roc_auc", comparison=Comparison.AT_LEAST, limit=limit, **changes)


def evidence(*measurements: Measurement, criteria: tuple[Criterion, ...] = (at_least(0.75),)) -> Evidence:
    return Evidence(gate_id=GATE.id, measurements=measurements, criteria=criteria, subjects=(SUBJECT,))


def run(state: RunState = RunState.PASSED, found: Evidence | None = None, **changes: Any) -> GateRun:
    return GateRun(gate_id=GATE.id, location="t.py::t", state=state, evidence=found, **changes)


@pytest.mark.parametrize(
    ("comparison", "limit", "outcome", "reason"),
    [
        (Comparison.AT_LEAST, 0.75, Outcome.PASS, "proven"),
        (Comparison.AT_LEAST, 0.77, Outcome.PASS, "proven"),
        (Comparison.AT_LEAST, 0.78, Outcome.INCONCLUSIVE, "not-proven"),
        (Comparison.AT_LEAST, 0.83, Outcome.INCONCLUSIVE, "not-proven"),
        (Comparison.AT_LEAST, 0.84, Outcome.FAIL, "refuted"),
        (Comparison.AT_MOST, 0.85, Outcome.PASS, "proven"),
        (Comparison.AT_MOST, 0.83, Outcome.PASS, "proven"),
        (Comparison.AT_MOST, 0.80, Outcome.INCONCLUSIVE, "not-proven"),
        (Comparison.AT_MOST, 0.77, Outcome.INCONCLUSIVE, "not-proven"),
        (Comparison.AT_MOST, 0.76, Outcome.FAIL, "refuted"),
    ],
)
def test_the_bound_on_the_safe_side_decides(
    comparison: Comparison, limit: float, outcome: Outcome, reason: str
) -> None:
    criterion = Criterion(metric="roc_auc", comparison=comparison, limit=limit)
    judged = judge_criterion(criterion, evidence(measured()), confidence_level=0.95)
    assert (judged.outcome, judged.reason) == (outcome, reason)


def test_the_margin_loosens_the_limit() -> None:
    found = evidence(measured(value=-0.01, lower=-0.018, upper=0.0))
    assert judge_criterion(at_least(0.0), found, confidence_level=0.95).outcome is Outcome.INCONCLUSIVE
    judged = judge_criterion(at_least(0.0, margin=0.02), found, confidence_level=0.95)
    assert judged.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (measured(value=None, lower=None, upper=None, note="no positives"), "not-estimable"),
        (measured(n_samples=0), "not-estimable"),
        (measured(lower=None), "not-proven"),
        (measured(confidence_level=0.9), "confidence-level"),
        (measured(confidence_level=1.5), "invalid-measurement"),
        (measured(value=0.6), "invalid-measurement"),
        (measured(value=math.nan), "invalid-measurement"),
        (measured(lower=math.nan), "invalid-measurement"),
        (measured(lower=-math.inf), "invalid-measurement"),
        (measured(group="sex=male"), "no-measurement"),
        (measured(metric="accuracy"), "no-measurement"),
    ],
)
def test_what_is_no_proof_is_inconclusive(changed: Measurement, reason: str) -> None:
    judged = judge_criterion(at_least(0.75), evidence(changed), confidence_level=0.95)
    assert judged.outcome is Outcome.INCONCLUSIVE
    expected = {"invalid-measurement", "confidence-level"} if changed.confidence_level > 1 else {reason}
    assert judged.reason in expected


numbers = st.one_of(st.none(), st.floats(), st.floats(0, 1))


@given(numbers, numbers, numbers, st.floats(), st.floats(), st.sampled_from(Comparison))
def test_a_pass_always_has_a_finite_bound_on_the_safe_side(
    value: float | None,
    lower: float | None,
    upper: float | None,
    level: float,
    limit: float,
    comparison: Comparison,
) -> None:
    criterion = Criterion(metric="roc_auc", comparison=comparison, limit=limit)
    found = evidence(measured(value, lower, upper, confidence_level=level))
    judged = judge_criterion(criterion, found, confidence_level=0.95)
    if judged.outcome is Outcome.PASS:
        bound = lower if comparison is Comparison.AT_LEAST else upper
        assert bound is not None
        assert math.isfinite(bound)
        assert bound >= limit if comparison is Comparison.AT_LEAST else bound <= limit
        assert 0.95 <= level <= 1


def test_an_inconclusive_verdict_says_what_would_decide() -> None:
    found = evidence(measured(value=0.76, lower=0.73, upper=0.79, n_required=2600))
    message = judge_criterion(at_least(0.75), found, confidence_level=0.95).message
    assert "roc_auc = 0.76 [0.73, 0.79], must be at least 0.75" in message
    assert "about 2,600 would decide" in message


def test_the_worst_of_several_criteria_decides_and_both_kinds_are_told() -> None:
    found = evidence(
        measured(),
        measured(0.6, 0.5, 0.7, group="a"),
        measured(0.76, 0.7, 0.8, group="b"),
        criteria=(at_least(0.75), at_least(0.75, group="a"), at_least(0.75, group="b")),
    )
    judged = judge(GATE, run(found=found), confidence_level=0.95)
    assert judged.outcome is Outcome.FAIL
    assert "[a]" in judged.message
    assert "[b]" in judged.message


def test_all_measurements_of_one_metric_and_group_must_satisfy_it() -> None:
    found = evidence(measured(), measured(0.6, 0.5, 0.7))
    assert judge_criterion(at_least(0.75), found, confidence_level=0.95).outcome is Outcome.FAIL


class TestViolationBurden:
    """Guard mode: only a proven violation breaks, and families of alarms are corrected."""

    def test_only_a_proven_violation_fails(self) -> None:
        alarm = at_least(0.8, burden=Burden.VIOLATION)
        assert judge_criterion(alarm, evidence(measured()), confidence_level=0.95).outcome is Outcome.PASS
        alarm = at_least(0.84, burden=Burden.VIOLATION)
        assert judge_criterion(alarm, evidence(measured()), confidence_level=0.95).outcome is Outcome.FAIL

    def test_without_an_estimate_there_is_still_no_pass(self) -> None:
        alarm = at_least(0.8, burden=Burden.VIOLATION)
        judged = judge_criterion(alarm, evidence(measured(value=None)), confidence_level=0.95)
        assert judged.outcome is Outcome.INCONCLUSIVE

    def test_a_family_of_alarms_is_corrected_by_holm(self) -> None:
        def family(p_value: float) -> Evidence:
            slices = [f"slice={i}" for i in range(20)]
            return evidence(
                *(
                    measured(0.7, 0.6, 0.76, group=name, p_value=p_value)
                    if name == "slice=3"
                    else measured(0.76, 0.6, 0.9, group=name, p_value=0.5)
                    for name in slices
                ),
                criteria=tuple(at_least(0.77, group=name, burden=Burden.VIOLATION) for name in slices),
            )

        chance = judge(GATE, run(found=family(0.01)), confidence_level=0.95)
        assert chance.outcome is Outcome.PASS
        proven = judge(GATE, run(found=family(0.002)), confidence_level=0.95)
        assert proven.outcome is Outcome.FAIL
        assert proven.adjusted_p_value == pytest.approx(0.04)

    @pytest.mark.parametrize("p_value", [0.06, 0.5, 1.0, 1.5, -0.1])
    def test_a_large_p_value_does_not_silence_an_alarm_that_the_bounds_raise(self, p_value: float) -> None:
        alarm = at_least(0.77, burden=Burden.VIOLATION)
        found = evidence(measured(0.7, 0.6, 0.76, p_value=p_value), criteria=(alarm,))
        judged = judge(GATE, run(found=found), confidence_level=0.95)
        assert (judged.outcome, judged.reason) == (Outcome.INCONCLUSIVE, "invalid-measurement")


@pytest.mark.parametrize("gate", [GATE, ASSERTION], ids=["measured", "assertion"])
@pytest.mark.parametrize("state", RunState)
@pytest.mark.parametrize("quality", ["good", "weak", "bad", "none"])
def test_the_fail_closed_table(state: RunState, gate: Gate, quality: str) -> None:
    found = {
        "good": evidence(measured()),
        "weak": evidence(measured(0.76, 0.7, 0.8)),
        "bad": evidence(measured(0.6, 0.5, 0.7)),
        "none": None,
    }[quality]
    if gate is ASSERTION:
        found = None
    judged = judge(gate, run(state, found), confidence_level=0.95)
    may_pass = state is RunState.PASSED and (quality == "good" or gate is ASSERTION)
    assert (judged.outcome is Outcome.PASS) is may_pass
    assert judged.message
    if state not in {RunState.PASSED, RunState.FAILED}:
        assert judged.reason == state.value


def test_a_failed_test_with_weak_evidence_is_inconclusive_not_refuted() -> None:
    judged = judge(GATE, run(RunState.FAILED, evidence(measured(0.76, 0.7, 0.8))), confidence_level=0.95)
    assert (judged.outcome, judged.reason) == (Outcome.INCONCLUSIVE, "not-proven")


def test_a_failed_test_with_good_evidence_failed_for_another_reason() -> None:
    judged = judge(
        GATE, run(RunState.FAILED, evidence(measured()), reason="assert 1 == 2"), confidence_level=0.95
    )
    assert (judged.outcome, judged.reason) == (Outcome.FAIL, "failed")
    assert "assert 1 == 2" in judged.message


def test_a_fixture_that_measured_nothing_is_no_evidence() -> None:
    judged = judge(GATE, run(found=None), confidence_level=0.95)
    assert (judged.outcome, judged.reason) == (Outcome.INCONCLUSIVE, "no-evidence")
    judged = judge(GATE, run(found=evidence(measured(), criteria=())), confidence_level=0.95)
    assert (judged.outcome, judged.reason) == (Outcome.INCONCLUSIVE, "no-evidence")


def test_evidence_of_another_gate_does_not_count() -> None:
    other = Gate(id="performance.other", dimension=Dimension.PERFORMANCE, description="")
    judged = judge(other, run(found=evidence(measured())), confidence_level=0.95)
    assert (judged.outcome, judged.reason) == (Outcome.FAIL, "evidence-mix")


class TestSubjects:
    """Evidence counts only for the artefact that was measured."""

    def test_another_model(self) -> None:
        judged = judge(
            GATE,
            run(found=evidence(measured())),
            confidence_level=0.95,
            subject_digests=frozenset({"b" * 64}),
        )
        assert (judged.outcome, judged.reason) == (Outcome.FAIL, "subject-mismatch")

    @pytest.mark.parametrize("allowed", [True, False])
    def test_a_model_without_a_digest(self, allowed: bool) -> None:
        unbound = Evidence(gate_id=GATE.id, measurements=(measured(),), criteria=(at_least(0.75),))
        judged = judge(
            GATE,
            run(found=unbound),
            confidence_level=0.95,
            subject_digests=frozenset({"a" * 64}),
            allow_unbound_models=allowed,
        )
        assert (judged.outcome is Outcome.PASS) is allowed
        assert judged.reason == ("proven" if allowed else "unbound-model")

    def test_a_refuted_criterion_stays_refuted(self) -> None:
        unbound = Evidence(
            gate_id=GATE.id, measurements=(measured(0.6, 0.5, 0.7),), criteria=(at_least(0.75),)
        )
        judged = judge(GATE, run(found=unbound), confidence_level=0.95, subject_digests=frozenset({"a" * 64}))
        assert judged.outcome is Outcome.FAIL


class TestPolicyLimits:
    """The platform team's limits hold whatever limit the test states."""

    lax = evidence(measured(), criteria=(at_least(0.1),))

    def test_a_stricter_limit_is_judged_on_the_same_evidence(self) -> None:
        limit = Limit(gate="performance.*", metric="roc_auc", comparison=Comparison.AT_LEAST, limit=0.9)
        judged = judge(GATE, run(found=self.lax), confidence_level=0.95, limits=[limit])
        assert judged.outcome is Outcome.FAIL
        assert "the policy's limit" in judged.message

    def test_a_limit_on_what_was_not_measured_is_not_met(self) -> None:
        limit = Limit(gate="performance.auc", metric="f1", comparison=Comparison.AT_LEAST, limit=0.5)
        judged = judge(GATE, run(found=self.lax), confidence_level=0.95, limits=[limit])
        assert (judged.outcome, judged.reason) == (Outcome.INCONCLUSIVE, "no-measurement")

    def test_a_limit_without_a_group_holds_for_every_group(self) -> None:
        found = evidence(measured(), measured(0.6, 0.5, 0.7, group="sex=male"), criteria=(at_least(0.1),))
        limit = Limit(gate="performance.auc", metric="roc_auc", comparison=Comparison.AT_LEAST, limit=0.75)
        judged = judge(GATE, run(found=found), confidence_level=0.95, limits=[limit])
        assert judged.outcome is Outcome.FAIL

    def test_a_part_of_the_rows_does_not_meet_a_limit_on_all_of_them(self) -> None:
        limit = Limit(gate="performance.*", metric="roc_auc", comparison=Comparison.AT_LEAST, limit=0.75)
        part = evidence(measured(group="sex=male"), criteria=(at_least(0.75, group="sex=male"),))
        judged = judge(GATE, run(found=part), confidence_level=0.95, limits=[limit])
        assert (judged.outcome, judged.reason) == (Outcome.INCONCLUSIVE, "no-measurement")
        whole = replace(part, measurements=(*part.measurements, measured()))
        assert judge(GATE, run(found=whole), confidence_level=0.95, limits=[limit]).outcome is Outcome.PASS
        compared = evidence(measured(group="candidate"), criteria=(at_least(0.7, group="candidate"),))
        assert judge(GATE, run(found=compared), confidence_level=0.95, limits=[limit]).outcome is Outcome.PASS

    def test_plain_asserts_can_not_meet_a_limit(self) -> None:
        limit = Limit(gate="pipeline.*", metric="x", comparison=Comparison.AT_MOST, limit=1)
        judged = judge(ASSERTION, run(), confidence_level=0.95, limits=[limit])
        assert (judged.outcome, judged.reason) == (Outcome.INCONCLUSIVE, "no-measurement")

    def test_a_limit_on_another_gate_does_not_apply(self) -> None:
        limit = Limit(gate="performance.other", metric="f1", comparison=Comparison.AT_LEAST, limit=1)
        judged = judge(GATE, run(found=self.lax), confidence_level=0.95, limits=[limit])
        assert judged.outcome is Outcome.PASS


class TestWhoHasToProveIt:
    silent = evidence(measured(), criteria=(at_least(0.8, burden=Burden.VIOLATION),))
    open_claim = evidence(measured(), criteria=(at_least(0.8),))

    def judged(self, found: Evidence, **policy: Any) -> tuple[Outcome, str]:
        rules = Policy(name="p", version="1", required_gates=(GATE.id,), **policy)
        result = judge(GATE, run(found=found), confidence_level=0.95, rule=rule_of(rules, GATE.id))
        return result.outcome, result.reason

    def test_a_silent_alarm_proves_nothing_unless_the_policy_takes_it(self) -> None:
        assert self.judged(self.silent) == (Outcome.INCONCLUSIVE, "alarm-is-no-proof")
        accepted = self.judged(self.silent, alarm_gates=("performance.*",))
        assert accepted == (Outcome.PASS, "no-violation-proven")
        assert self.judged(self.silent, alarm_gates=())[0] is Outcome.INCONCLUSIVE

    def test_alarms_of_data_gates_count_by_default(self) -> None:
        rules = Policy(name="p", version="1")
        assert rule_of(rules, "data.drift").alarms_suffice
        assert not rule_of(rules, "performance.auc").alarms_suffice
        assert not rule_of(Policy(name="p", version="1", alarm_gates=()), "data.drift").alarms_suffice

    def test_a_guarding_policy_turns_every_claim_into_an_alarm(self) -> None:
        assert self.judged(self.open_claim)[0] is Outcome.INCONCLUSIVE
        assert self.judged(self.open_claim, burden=Burden.VIOLATION)[0] is Outcome.PASS
        refuted = evidence(measured(), criteria=(at_least(0.9),))
        assert self.judged(refuted, burden=Burden.VIOLATION) == (Outcome.FAIL, "refuted")

    @pytest.mark.parametrize("found", [None, evidence(measured(value=None, lower=None, upper=None))])
    def test_but_nothing_measured_is_still_no_pass(self, found: Evidence | None) -> None:
        rules = Policy(name="p", version="1", burden=Burden.VIOLATION)
        result = judge(GATE, run(found=found), confidence_level=0.95, rule=rule_of(rules, GATE.id))
        assert result.outcome is Outcome.INCONCLUSIVE

    def test_a_range_is_refuted_on_the_side_that_is_missed(self) -> None:
        sides = (
            at_least(0.85, burden=Burden.VIOLATION),
            Criterion(metric="roc_auc", comparison=Comparison.AT_MOST, limit=0.9, burden=Burden.VIOLATION),
        )
        found = evidence(measured(0.8, 0.77, 0.83, p_value=0.001), criteria=sides)
        outcomes = [item.judgement.outcome for item in judge_criteria(GATE.id, found, confidence_level=0.95)]
        assert outcomes == [Outcome.FAIL, Outcome.PASS]


def test_only_an_exact_count_is_certain() -> None:
    certain = measured(0.9, 0.8, 0.95, confidence_level=1.0)
    judged = judge(GATE, run(found=evidence(certain)), confidence_level=0.95)
    assert (judged.outcome, judged.reason) == (Outcome.INCONCLUSIVE, "invalid-measurement")
    exact = measured(0.9, 0.9, 0.9, confidence_level=1.0)
    assert judge(GATE, run(found=evidence(exact)), confidence_level=0.95).outcome is Outcome.PASS


class TestGroupsLeftOut:
    """A comparison that leaves a small group out counts only where the policy allows it."""

    SMALL = measured(
        12.0, 12.0, 12.0, metric="left_out_group_rows", group="sex=x", confidence_level=1.0, n_samples=12
    )

    def judged(
        self, least: int | None, *, lower: float = 0.77, small: Measurement = SMALL
    ) -> tuple[Outcome, str]:
        policy = Policy(name="p", version="1", min_group=least)
        found = judge(
            GATE,
            run(found=evidence(measured(lower=lower), small)),
            confidence_level=0.95,
            rule=rule_of(policy, GATE.id),
        )
        return found.outcome, found.reason

    def test_only_below_the_size_that_the_policy_names(self) -> None:
        assert self.judged(13) == (Outcome.PASS, "proven")
        assert self.judged(12) == (Outcome.INCONCLUSIVE, "group-left-out")
        assert self.judged(None) == (Outcome.INCONCLUSIVE, "group-left-out")

    def test_it_excuses_nothing(self) -> None:
        assert self.judged(13, lower=0.7)[0] is Outcome.INCONCLUSIVE
        assert self.judged(None, lower=0.7)[1] == "group-left-out"

    def test_rows_and_value_have_to_be_few(self) -> None:
        assert self.judged(13, small=replace(self.SMALL, n_samples=500))[0] is Outcome.INCONCLUSIVE
        assert self.judged(13, small=replace(self.SMALL, value=500.0))[0] is Outcome.INCONCLUSIVE

    def test_the_message_names_the_groups(self) -> None:
        many = [replace(self.SMALL, group=f"region={place}") for place in range(6)]
        judged = judge(GATE, run(found=evidence(measured(), *many)), confidence_level=0.95)
        assert judged.message == (
            "groups were left out (region=0: 12 rows; region=1: 12 rows; region=2: 12 rows; region=3: 12 rows; "
            "and 2 more), and the policy allows no group to be"
        )
        strict = Policy(name="p", version="1", min_group=5)
        told = judge(
            GATE,
            run(found=evidence(measured(), self.SMALL)),
            confidence_level=0.95,
            rule=rule_of(strict, GATE.id),
        )
        assert "the policy allows no group of 5 rows or more to be" in told.message
