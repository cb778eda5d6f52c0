"""What a machine can say about another: nothing in seconds, bytes or money, unless it is of the same class."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prodml.errors import ConfigurationError
from pytest_prodml.policy.decide import decide
from pytest_prodml.policy.hardware import Standing, Tier, declared_target, fingerprint, tier_of
from pytest_prodml.policy.judge import judge
from pytest_prodml.policy.load import parse_policy
from pytest_prodml.records import (
    Accelerator,
    Basis,
    Comparison,
    Criterion,
    Decision,
    Dimension,
    Environment,
    Evidence,
    Fragment,
    Gate,
    GateRun,
    Hardware,
    HardwareTarget,
    Limit,
    Measurement,
    Outcome,
    Policy,
    Readiness,
    RunState,
    RunSummary,
    Subject,
    Verdict,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MODEL = Subject(name="model.onnx", digest={"sha256": "a" * 64})
H100 = Accelerator(
    name="NVIDIA H100 80GB HBM3",
    memory_bytes=80 * 2**30,
    compute_capability="9.0",
    driver="570.86.15",
    cuda="12.8",
)
HARDWARE = Hardware(
    vendor="AuthenticAMD",
    family="25",
    model="17",
    stepping="1",
    flags=("avx2", "avx512_vnni", "fma"),
    flags_digest="f" * 64,
    cores=8,
    threads=16,
    accelerators=(H100,),
    runtimes={"onnxruntime-gpu": "1.31.1"},
)
MACHINE = Environment(
    python="CPython 3.12.1",
    platform="Linux-6.1",
    machine="x86_64",
    processor="AMD EPYC 9354",
    processor_count=16,
    memory_bytes=64 * 2**30,
    hardware=HARDWARE,
)


def on(**changes: Any) -> Environment:
    """The machine with other hardware."""
    return replace(MACHINE, hardware=replace(HARDWARE, **changes))


def exact() -> HardwareTarget:
    return HardwareTarget(fingerprint=fingerprint(MACHINE))


def test_the_same_kind_of_machine_has_the_same_fingerprint() -> None:
    own = fingerprint(MACHINE)
    assert own is not None
    assert own.startswith("sha256:")
    same = [
        replace(MACHINE, platform="Linux-6.9", python="CPython 3.13.0", memory_bytes=63 * 2**30),
        on(governor="performance", is_virtual=True, numa_nodes=2),
        on(accelerators=(replace(H100, driver="570.133.20", cuda="12.9", memory_bytes=None),)),
    ]
    assert {fingerprint(machine) for machine in same} == {own}
    other = [
        replace(MACHINE, processor="AMD EPYC 9355"),
        replace(MACHINE, processor_count=8),
        replace(MACHINE, machine="aarch64"),
        on(stepping="2"),
        on(flags_digest="0" * 64),
        on(quota=4.0),
        on(accelerators=(replace(H100, name="NVIDIA H200"),)),
        on(accelerators=(H100, H100)),
        on(accelerators=(replace(H100, driver="580.1"),)),
        on(accelerators=(replace(H100, is_partitioned=True),)),
        on(runtimes={"onnxruntime-gpu": "1.32.0"}),
    ]
    found = [fingerprint(machine) for machine in other]
    assert own not in found
    assert len(set(found)) == len(found)
    assert fingerprint(replace(MACHINE, hardware=None)) is None


CLASSES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"machine": "x86_64"}, {"machine": "aarch64"}),
    ({"processor": "AMD EPYC*"}, {"processor": "Intel*"}),
    ({"flags": ("avx2", "fma")}, {"flags": ("avx2", "amx_int8")}),
    ({"min_processors": 16}, {"min_processors": 17}),
    ({"max_processors": 16}, {"max_processors": 15}),
    ({"min_memory_bytes": 64 * 2**30}, {"min_memory_bytes": 65 * 2**30}),
    ({"accelerator": "NVIDIA H100*"}, {"accelerator": "NVIDIA A100*"}),
    ({"min_compute_capability": "8.9"}, {"min_compute_capability": "9.1"}),
    ({"min_compute_capability": "9"}, {"min_compute_capability": "10.0"}),
]


@pytest.mark.parametrize(("kept", "broken"), CLASSES)
def test_a_class_is_what_it_states(kept: dict[str, Any], broken: dict[str, Any]) -> None:
    assert tier_of(HardwareTarget(**kept), MACHINE) == (Tier.CLASS, "")
    tier, why = tier_of(HardwareTarget(**broken), MACHINE)
    assert tier is Tier.FOREIGN
    assert why


def test_exact_goes_before_class_and_a_fingerprint_alone_describes_no_class() -> None:
    assert tier_of(exact(), MACHINE)[0] is Tier.EXACT
    assert tier_of(exact(), on(stepping="2"))[0] is Tier.FOREIGN
    both = replace(exact(), machine="x86_64")
    assert tier_of(both, MACHINE)[0] is Tier.EXACT
    assert tier_of(both, on(stepping="2"))[0] is Tier.CLASS
    assert tier_of(HardwareTarget(), MACHINE)[0] is Tier.FOREIGN
    assert tier_of(HardwareTarget(price_per_hour=1.0, provider="X"), MACHINE)[0] is Tier.FOREIGN
    assert tier_of(exact(), replace(MACHINE, hardware=None))[0] is Tier.FOREIGN


def test_a_quota_is_what_a_process_may_use() -> None:
    assert tier_of(HardwareTarget(min_processors=4), on(quota=3.5))[0] is Tier.FOREIGN
    assert tier_of(HardwareTarget(max_processors=4), on(quota=3.5))[0] is Tier.CLASS


def measured(metric: str, value: float, **changes: Any) -> Measurement:
    arguments: dict[str, Any] = {
        "metric": metric, "value": value, "lower": value * 0.9, "upper": value * 1.1, "confidence_level": 0.95,
        "method": "made up", "n_samples": 1000, "unit": "s",
    }  # fmt: skip
    return Measurement(**{**arguments, **changes})


def evidence(
    *more: Measurement,
    metric: str = "latency_p99",
    value: float = 0.003,
    unit: str = "s",
    limit: float = 0.005,
) -> Evidence:
    return Evidence(
        gate_id="latency.p99",
        measurements=(measured(metric, value, unit=unit), *more),
        criteria=(Criterion(metric=metric, comparison=Comparison.AT_MOST, limit=limit),),
        subjects=(MODEL,),
        environment_digest="e" * 64,
    )


def test_a_machine_that_is_masked_is_told_by_its_reference_times() -> None:
    target = HardwareTarget(machine="x86_64", reference={"matmul": 1e-4, "lookups": 2e-3})
    matmul, lookups = (measured("reference_seconds", value, group=name) for name, value in
                       (("matmul", 1.09e-4), ("lookups", 1.81e-3)))  # fmt: skip
    assert tier_of(target, MACHINE, evidence(matmul, lookups))[0] is Tier.CLASS
    slow = replace(matmul, value=1.2e-4)
    assert "matmul takes 0.00012 s, not 0.0001 s" in tier_of(target, MACHINE, evidence(slow, lookups))[1]
    assert "lookups was not timed" in tier_of(target, MACHINE, evidence(matmul))[1]
    nothing = replace(matmul, value=None, lower=None, upper=None)
    assert tier_of(target, MACHINE, evidence(nothing, lookups))[0] is Tier.FOREIGN
    # Only latency gates time them: elsewhere they are not asked for.
    assert tier_of(target, MACHINE)[0] is Tier.CLASS


texts = st.sampled_from(["x86_64", "aarch64", "AMD EPYC 9354", "Intel Xeon", "*", "A*"])
targets = st.builds(
    HardwareTarget,
    fingerprint=st.none() | st.sampled_from([fingerprint(MACHINE), "sha256:" + "0" * 64]),
    machine=st.none() | texts,
    processor=st.none() | texts,
    flags=st.lists(st.sampled_from(["avx2", "fma", "amx_int8"]), max_size=2).map(tuple),
    min_processors=st.none() | st.integers(1, 32),
    max_processors=st.none() | st.integers(1, 32),
    min_memory_bytes=st.none() | st.integers(1, 2**38),
    accelerator=st.none() | st.sampled_from(["NVIDIA*", "AMD*"]),
    min_compute_capability=st.none() | st.sampled_from(["8.0", "9.0", "12.0"]),
)
machines = st.builds(
    replace,
    st.just(MACHINE),
    processor_count=st.integers(1, 32),
    memory_bytes=st.none() | st.integers(1, 2**38),
    hardware=st.none()
    | st.builds(
        replace,
        st.just(HARDWARE),
        quota=st.none() | st.floats(0.1, 32),
        flags=st.lists(st.sampled_from(["avx2", "fma"]), max_size=2).map(tuple),
        accelerators=st.sampled_from([(), (H100,), (H100, replace(H100, name="AMD MI300"))]),
    ),
)


@given(targets, machines)
def test_no_machine_is_more_than_it_shows(target: HardwareTarget, machine: Environment) -> None:
    tier, why = tier_of(target, machine)
    own = fingerprint(machine)
    assert (tier is Tier.EXACT) == (own is not None and own == target.fingerprint)
    if tier is Tier.FOREIGN:
        assert why
    if tier is not Tier.CLASS:
        return
    found = machine.hardware
    count = min(machine.processor_count, found.quota if found is not None and found.quota else 99)
    assert target.machine in {None, machine.machine}
    assert target.min_processors is None or count >= target.min_processors
    assert target.max_processors is None or count <= target.max_processors
    assert target.min_memory_bytes is None or (machine.memory_bytes or 0) >= target.min_memory_bytes
    assert set(target.flags) <= set(found.flags if found is not None else ())
    if target.accelerator is not None:
        assert found is not None
        assert any(item.name.startswith(target.accelerator[:-1]) for item in found.accelerators)


GATE = Gate(id="latency.p99", dimension=Dimension.LATENCY, description="")
RUN = GateRun(gate_id="latency.p99", location="", state=RunState.PASSED, evidence=evidence())
ELSEWHERE = Standing(target="serving", tier=Tier.FOREIGN, why="its processor is another")


def judged(run: GateRun, standing: Standing | None, gate: Gate = GATE, **changes: Any) -> tuple[Outcome, str]:
    found = judge(gate, run, confidence_level=0.95, standing=standing, **changes)
    return found.outcome, found.reason


def test_an_absolute_limit_is_judged_on_its_own_kind_of_machine() -> None:
    for standing in (
        None,
        Standing(target="serving", tier=Tier.EXACT),
        Standing(target="serving", tier=Tier.CLASS),
    ):
        assert judged(RUN, standing) == (Outcome.PASS, "proven")
    assert judged(RUN, ELSEWHERE) == (Outcome.INCONCLUSIVE, "foreign-host")
    # What is too slow there may be fast enough here.
    broken = replace(RUN, evidence=evidence(value=0.05))
    assert judged(broken, None) == (Outcome.FAIL, "refuted")
    assert judged(broken, ELSEWHERE) == (Outcome.INCONCLUSIVE, "foreign-host")
    told = judge(GATE, RUN, confidence_level=0.95, standing=ELSEWHERE).message
    assert "on another machine than serving (its processor is another)" in told
    on_class = judge(GATE, RUN, confidence_level=0.95, standing=Standing(target="serving", tier=Tier.CLASS))
    assert on_class.message.endswith("on a machine of the class serving")


def test_a_ratio_holds_anywhere() -> None:
    for value, outcome in ((3.0, Outcome.PASS), (9.0, Outcome.FAIL)):
        run = replace(
            RUN, evidence=evidence(metric="latency_ratio_to_reference", value=value, unit="1", limit=5)
        )
        assert judged(run, ELSEWHERE)[0] is outcome


def test_a_limit_of_the_policy_is_absolute_too() -> None:
    limit = Limit(gate="latency.*", metric="latency_p99", comparison=Comparison.AT_MOST, limit=0.01)
    run = replace(RUN, evidence=evidence(metric="latency_ratio_to_reference", value=1.0, unit="1", limit=5))
    assert run.evidence is not None
    both = replace(
        run,
        evidence=replace(
            run.evidence, measurements=(*run.evidence.measurements, measured("latency_p99", 0.003))
        ),
    )
    assert judged(both, None, limits=[limit])[0] is Outcome.PASS
    assert judged(both, ELSEWHERE, limits=[limit]) == (Outcome.INCONCLUSIVE, "foreign-host")


def test_plain_asserts_about_time_are_about_their_machine() -> None:
    gate = replace(GATE, basis=Basis.ASSERTION)
    run = replace(RUN, evidence=None)
    assert judged(run, None, gate)[0] is Outcome.PASS
    assert judged(run, ELSEWHERE, gate) == (Outcome.INCONCLUSIVE, "foreign-host")


def test_other_dimensions_do_not_depend_on_the_machine() -> None:
    gate = Gate(id="performance.auc", dimension=Dimension.PERFORMANCE, description="")
    run = replace(RUN, gate_id=gate.id, evidence=replace(evidence(), gate_id=gate.id))
    assert judged(run, ELSEWHERE, gate) == (Outcome.PASS, "proven")


SUMMARY = RunSummary(id="run", arguments=(), exit_status=0, workers=0, inventory_complete=True)
POLICY = Policy(name="production", version="1", required_gates=("latency.p99",))
SERVING = {"serving": HardwareTarget(processor="AMD EPYC*")}
EDGE = {"edge": HardwareTarget(machine="aarch64")}
ARM = replace(MACHINE, machine="aarch64", processor="Neoverse-N1")


def decided(
    policy: Policy = POLICY,
    summary: RunSummary = SUMMARY,
    runs: tuple[GateRun, ...] = (RUN,),
    machines: dict[str, Environment] | None = None,
) -> Decision:
    found = {"e" * 64: MACHINE} if machines is None else machines
    return decide(policy, [GATE], runs, summary, subjects=[MODEL], environments=found, now=NOW)


def verdict(decision: Decision) -> Verdict:
    (found,) = decision.verdicts
    return found


def test_what_the_policy_says_of_a_target_goes_before_what_the_project_says() -> None:
    summary = replace(SUMMARY, target="serving", targets=SERVING)
    assert decided(summary=summary).outcome is Readiness.READY
    strict = replace(POLICY, targets={"serving": HardwareTarget(machine="aarch64")})
    assert verdict(decided(strict, summary)).reason == "foreign-host"
    # A definition that fits every machine is none.
    empty = replace(POLICY, required_targets=("serving",), targets={"serving": HardwareTarget()})
    assert decided(empty, summary).outcome is Readiness.NOT_READY
    loose = replace(summary, targets={"serving": HardwareTarget()})
    assert decided(replace(POLICY, required_targets=("serving",)), loose).outcome is Readiness.NOT_READY


def test_evidence_of_an_unknown_machine_counts_for_no_target() -> None:
    summary = replace(SUMMARY, target="serving", targets=SERVING)
    assert verdict(decided(summary=summary, machines={})).reason == "foreign-host"
    assert decided(machines={}).outcome is Readiness.READY  # nobody claims a target


def matrix(*names: str, **changes: Any) -> Policy:
    return replace(POLICY, matrix={"latency.*": names}, targets={**SERVING, **EDGE}, **changes)


def fragment(name: str, target: str | None, **changes: Any) -> Fragment:
    arguments: dict[str, Any] = {"signed_by": ("c" * 64,), "ended": True, **changes}
    return Fragment(
        name=name, digest={"sha256": "b" * 64}, run_id=name, started_at=NOW, target=target, **arguments
    )


def run_of(name: str, machine: str, value: float = 0.003, **changes: Any) -> GateRun:
    return replace(
        RUN, worker=name, evidence=replace(evidence(value=value), environment_digest=machine), **changes
    )


HOSTS = {"e" * 64: MACHINE, "f" * 64: ARM}
MERGED = replace(SUMMARY, fragments=(fragment("a", "serving"), fragment("b", "edge")))
BOTH = (run_of("a", "e" * 64), run_of("b:gw0", "f" * 64))


def test_a_gate_passes_on_each_target_of_the_matrix() -> None:
    found = decided(matrix("serving", "edge"), MERGED, BOTH, HOSTS)
    assert found.outcome is Readiness.READY
    assert verdict(found).message.startswith("on serving, edge: ")


def test_a_missing_cell_is_named() -> None:
    found = decided(matrix("serving", "edge"), MERGED, BOTH[:1], HOSTS)
    assert found.outcome is Readiness.NOT_READY
    assert (verdict(found).outcome, verdict(found).reason) == (Outcome.INCONCLUSIVE, "missing-cell")
    assert "the target edge, where it did not run" in verdict(found).message
    never = decided(matrix("serving", "edge"), MERGED, (), HOSTS)
    assert verdict(never).outcome is Outcome.INCONCLUSIVE


def test_a_broken_cell_is_not_healed_by_the_other() -> None:
    slow = run_of("b:gw0", "f" * 64, 0.05)
    found = verdict(decided(matrix("serving", "edge"), MERGED, (BOTH[0], slow), HOSTS))
    assert (found.outcome, found.reason) == (Outcome.FAIL, "refuted")
    assert found.message.startswith("on edge: ")


def test_a_target_that_was_not_asked_for_decides_nothing() -> None:
    slow = run_of("b:gw0", "f" * 64, 0.05)
    assert decided(matrix("serving"), MERGED, (BOTH[0], slow), HOSTS).outcome is Readiness.READY
    # Without a matrix all runs count, each judged on its own machine.
    described = replace(POLICY, targets={**SERVING, **EDGE})
    found = verdict(decided(described, MERGED, (BOTH[0], slow), HOSTS))
    assert found.outcome is Outcome.FAIL
    assert found.message.startswith("ran 2 times (1 passed, 1 failed) and the worst counts: ")


def test_what_ran_elsewhere_counts_against_the_gate() -> None:
    stray = run_of("b:gw0", "e" * 64)  # declared as edge, measured on the serving machine
    found = verdict(decided(matrix("serving"), MERGED, (BOTH[0], stray), HOSTS))
    assert (found.outcome, found.reason) == (Outcome.INCONCLUSIVE, "foreign-host")
    nowhere = run_of("c", "e" * 64)
    assert verdict(decided(matrix("serving"), MERGED, (BOTH[0], nowhere), HOSTS)).reason == "foreign-host"


def test_within_a_cell_the_worst_run_counts() -> None:
    summary = replace(SUMMARY, fragments=(fragment("a", "serving"), fragment("a2", "serving")))
    runs = (run_of("a", "e" * 64), run_of("a2", "e" * 64, 0.0049))
    found = verdict(decided(matrix("serving"), summary, runs, HOSTS))
    assert (found.outcome, found.reason) == (Outcome.INCONCLUSIVE, "rerun")
    assert found.message.startswith("on serving: ran 2 times (1 passed, 1 inconclusive) and the worst counts")


def test_an_optional_gate_of_the_matrix_is_required() -> None:
    policy = Policy(name="p", version="1", matrix={"latency.p99": ("serving",)}, targets=SERVING)
    assert decided(policy, replace(SUMMARY, target="serving")).outcome is Readiness.READY
    missing = decide(policy, [], [], replace(SUMMARY, target="serving"), subjects=[MODEL], now=NOW)
    assert missing.verdicts[0].reason == "not-collected"


def test_a_policy_can_ask_for_signed_fragments() -> None:
    asks = matrix("serving", "edge", signed_fragments=True)
    assert decided(asks, MERGED, BOTH, HOSTS).outcome is Readiness.READY
    unsigned = replace(MERGED, fragments=(MERGED.fragments[0], fragment("b", "edge", signed_by=())))  # type: ignore[index]
    found = decided(asks, unsigned, BOTH, HOSTS)
    assert found.reasons == ("the fragment b is not signed by its host, and the policy asks for it",)
    assert decided(matrix("serving", "edge"), unsigned, BOTH, HOSTS).outcome is Readiness.READY


def test_the_run_of_a_fragment_is_found_by_its_whole_name() -> None:
    summary = replace(
        SUMMARY,
        target="gpu",
        fragments=(fragment("a", "one"), fragment("a:b", "two"), fragment("ab", "three")),
    )
    for worker, expected in (
        ("a", "one"),
        ("a:gw1", "one"),
        ("a:b", "two"),
        ("a:b:gw0", "two"),
        ("ab", "three"),
    ):
        assert declared_target(replace(RUN, worker=worker), summary) == expected
    assert declared_target(replace(RUN, worker="c"), summary) is None
    twice = replace(summary, fragments=(fragment("a", "one"), fragment("a", "two")))
    assert declared_target(replace(RUN, worker="a"), twice) is None


HEAD = 'name = "p"\nversion = "1"\n[require]\ngates = ["latency.p99"]\n'


def test_a_policy_describes_targets_and_a_matrix() -> None:
    text = (
        HEAD
        + """signed_fragments = true
    [require.matrix]
    "latency.p99" = ["serving", "edge"]
    [targets.serving]
    processor = "AMD EPYC*"
    flags = ["avx2"]
    min_processors = 4
    reference = { matmul = 4.4e-5 }
    provider = "CPUExecutionProvider"
    price_per_hour = 0.34
    currency = "EUR"
    [targets.edge]
    machine = "aarch64"
    """
    )
    found = parse_policy(text.encode(), where="policy.toml")
    assert found.matrix == {"latency.p99": ("serving", "edge")}
    assert found.signed_fragments is True
    assert found.targets is not None
    assert found.targets["serving"].reference == {"matmul": 4.4e-5}
    assert found.targets["edge"] == HardwareTarget(machine="aarch64")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[targets.x]\nprice_per_hour = 1.0\n", "fits every machine"),
        ("[targets.x]\nmachin = 'x86_64'\n", "machine"),
        ("[targets.x]\nfingerprint = 'abc'\n", "expected sha256:"),
        ("[targets.x]\nmin_processors = 4\nmax_processors = 2\n", "min_processors is above max_processors"),
        ("[targets.x]\nmin_processors = 0\n", "fits every machine"),
        ("[targets.x]\nmachine = 'a'\nmin_memory_bytes = -1\n", "expected numbers from 1 on"),
        ("[targets.x]\nreference = { matmul = 0.0 }\n", "expected seconds above 0"),
        ("[targets.x]\nmachine = 'a'\nprice_per_hour = 0.0\n", "expected a price above 0"),
        ("[targets.x]\nmin_compute_capability = 'new'\n", "expected a version such as"),
        ("[targets.' x']\nmachine = 'a'\n", "is no plain text"),
        ("[require.matrix]\n'latency.p99' = []\n", "names no target"),
        ("[require.matrix]\n'latency.p99' = ['a', 'a']\n", "names no target, or one twice"),
        ("[require.matrix]\n'speed.p99' = ['a']\n", "does not begin with a dimension"),
    ],
)
def test_what_is_wrong_with_a_target_is_told(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        parse_policy((HEAD + text).encode(), where="policy.toml")
