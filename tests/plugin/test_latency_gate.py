"""A latency gate as a project writes it: a real ONNX model, real clocks, and claims that are far from the edge.

Budgets are a thousand times what the calls take, or a thousandth: nothing here depends on how fast or how busy
this machine is.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx_models
from plugin.project import Project
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.statement import read_certificate
from pytest_prodml.records import Evidence, Outcome, RunState

# As in conftest.py: what is compiled can be imported only once, and these tests run in this process.
importlib.import_module("pytest_prodml.adapters")
importlib.import_module("onnxruntime")

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
POLICY = 'name = "production"\nversion = "1"\n[require]\ngates = ["latency.*"]\n'


@pytest.fixture
def served(project: Project) -> Project:
    """A model file with three inputs in one matrix, and rows for it."""
    (project.root / "model.onnx").write_bytes(onnx_models.layered().SerializeToString())
    rows = np.random.default_rng(0).normal(size=(400, 3))
    lines = ["a,b,c,target", *(f"{a:.4f},{b:.4f},{c:.4f},{int(a > 0)}" for a, b, c in rows)]
    project.write("test.csv", "\n".join(lines) + "\n")
    project.write("policy.toml", POLICY)
    project.write("test_gates.py", "")
    configure(project)
    return project


def configure(project: Project, text: str = "") -> None:
    project.write(
        "prodml.toml",
        f'policy = "policy.toml"\nkey = "{project.key}"\n{text}\n'
        '[model]\npath = "model.onnx"\n[data]\ntest = "test.csv"\ntarget = "target"\n',
    )


def run(project: Project, tests: str, *arguments: str, sub: bool = False) -> pytest.RunResult:
    project.write("test_gates.py", tests)
    return project.run("-p", "benchmark", *arguments, sub=sub)


def evidence_of(project: Project, gate_id: str) -> Evidence:
    [found] = project.runs(gate_id)
    assert found.evidence is not None
    return found.evidence


def test_a_model_is_measured_twice_with_the_same_verdicts(served: Project) -> None:
    tests = """
    def test_within(ml_latency):
        ml_latency.quantile_at_most(0.99, "5 s", burst=1)
        ml_latency.quantile_at_most(0.5, "5 s", burst=1)

    def test_beyond(ml_latency):
        ml_latency.quantile_at_most(0.9, "1 ns", burst=1)
    """
    found = []
    for _ in range(2):
        assert run(served, tests).ret == 1
        verdicts = served.issued().decision.verdicts
        found.append([(item.gate_id, item.outcome is Outcome.PASS) for item in verdicts])
        evidence = evidence_of(served, "latency.within")
        p99, p50 = evidence.measurements[:2]
        assert [p99.metric, p50.metric] == ["latency_p99", "latency_p50"]
        assert p99.value is not None
        assert p50.value is not None
        assert 0 < p50.value <= p99.value < 5
        assert p99.confidence_level == pytest.approx(1 - 0.05 / 3)
        looks: Any = evidence.details["looks"]
        assert looks["planned"] == 3
        assert len(looks["calls"]) == 3
        assert evidence.details["warm_up_calls"] != 0
        conditions: Any = evidence.details["conditions"]
        assert conditions["clock_seconds"] > 0
        assert conditions["longest_pause_seconds"] >= 0
    assert found == [[("latency.beyond", False), ("latency.within", True)]] * 2


def test_a_run_stops_at_the_first_look_that_decides(served: Project) -> None:
    run(
        served,
        "def test_p90(ml_latency): ml_latency.quantile_at_most(0.9, '5 s', calls=[60, 120, 4000], burst=1)",
    )
    evidence = evidence_of(served, "latency.p90")
    assert evidence.details["looks_taken"] == 1
    assert evidence.measurements[0].n_samples == 60
    # A budget that lies among the calls themselves is decided by no look: it needs them all.
    tests = """
    import statistics, time
    def test_p90(ml_latency, prodml_model, prodml_test):
        call = prodml_model.prepare(prodml_test.frame.iloc[:1])
        def seconds():
            start = time.perf_counter(); call(); return time.perf_counter() - start
        middle = statistics.median(seconds() for _ in range(3000))
        ml_latency.quantile_at_most(0.5, middle, calls=[40, 50, 60], burst=1)
    """
    run(served, tests)
    evidence = evidence_of(served, "latency.p90")
    assert evidence.measurements[0].n_samples in {40, 50, 60}
    assert evidence.details["looks"] == {
        "planned": 3,
        "calls": [40, 50, 60],
        "level_of_each": pytest.approx(1 - 0.05 / 3),
    }


def test_pytest_benchmark_keeps_every_call_and_our_bounds(served: Project, tmp_path: Path) -> None:
    file = tmp_path / "benchmark.json"
    result = run(
        served,
        "def test_p90(ml_latency): ml_latency.quantile_at_most(0.9, '5 s', calls=500, burst=1)",
        f"--benchmark-json={file}",
        "--benchmark-disable-gc",
    )
    result.stdout.fnmatch_lines(["*benchmark: 1 tests*", "test_p90*500*1*"])
    [stored] = json.loads(file.read_text(encoding="utf-8"))["benchmarks"]
    evidence = evidence_of(served, "latency.p90")
    assert len(stored["stats"]["data"]) == stored["stats"]["rounds"] == 500
    assert stored["stats"]["iterations"] == 1
    told = stored["extra_info"]["prodml"]["latency_p90"]
    assert told["value"] == evidence.measurements[0].value
    assert told["upper"] == evidence.measurements[0].upper
    assert sorted(stored["stats"]["data"])[449] == pytest.approx(told["value"])


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ("--benchmark-only", "*1 passed*"),
        ("--benchmark-cprofile=tottime", "*cProfile (time in s)*"),
        ("--benchmark-columns=median,rounds", "*Median*Rounds*"),
        ("--benchmark-skip", "*benchmarks are switched off*"),
    ],
)
def test_options_of_pytest_benchmark_keep_working(served: Project, option: str, shown: str) -> None:
    result = run(
        served,
        "def test_p50(ml_latency): ml_latency.quantile_at_most(0.5, '5 s', calls=[60, 80], burst=1)",
        option,
    )
    result.stdout.fnmatch_lines([shown])
    assert (served.verdict("latency.p50").outcome is Outcome.PASS) == (option != "--benchmark-skip")


def test_a_rerun_is_no_second_chance(served: Project) -> None:
    tests = """
    import pathlib
    def test_flaky(ml_latency):
        again = pathlib.Path("ran_before")
        budget = "5 s" if again.exists() else "1 ns"
        again.touch()
        ml_latency.quantile_at_most(0.5, budget, calls=200, burst=1)
    """
    run(served, tests, "-p", "rerunfailures", "--reruns=2", sub=True)
    states = [item.state for item in served.runs("latency.flaky")]
    assert states[0] is RunState.FAILED
    assert states[-1] is RunState.PASSED
    verdict = served.verdict("latency.flaky")
    assert verdict.outcome is not Outcome.PASS
    assert "and the worst counts: latency_p50" in verdict.message


def test_a_matrix_by_configuration_and_by_parametrization(served: Project) -> None:
    configure(served, f'latency = {{ batch_sizes = [1, 8], threads = [1, 2], providers = ["{CPU}"] }}')
    tests = """
    import pytest

    def test_p50(ml_latency, prodml_cell):
        ml_latency.quantile_at_most(0.5, "5 s", calls=60, burst=1, **prodml_cell)

    @pytest.mark.parametrize("rows", [2, 4])
    def test_rows(ml_latency, rows):
        ml_latency.quantile_at_most(0.5, "5 s", calls=60, burst=1, batch_size=rows)
    """
    assert run(served, tests).ret == 0
    gates = {gate.id for gate in served.issued().gates}
    cells = {f"batch_size={size}-threads={count}-CPU" for size in (1, 8) for count in (1, 2)}
    assert gates == {f"latency.p50[{cell}]" for cell in cells} | {"latency.rows[2]", "latency.rows[4]"}
    evidence = evidence_of(served, "latency.p50[batch_size=8-threads=2-CPU]")
    assert {item.group for item in evidence.criteria} == {f"batch_size=8, threads=2, provider={CPU}"}
    runtime: Any = evidence.details["runtime"]
    assert runtime["intra_op_threads"] == 2
    shares = [item for item in evidence.measurements if item.metric == "executed_node_share"]
    assert [item.value for item in shares] == [1.0]


def test_without_a_matrix_a_test_runs_once(served: Project) -> None:
    tests = "def test_p50(ml_latency, prodml_cell): ml_latency.quantile_at_most(0.5, '5 s', calls=60, burst=1, **prodml_cell)"
    assert run(served, tests).ret == 0
    assert [gate.id for gate in served.issued().gates] == ["latency.p50"]


def test_a_silent_fallback_to_the_processor_fails(served: Project) -> None:
    """This machine has no CUDA: onnxruntime answers from the processor, and says so in a warning at most."""
    tests = f"""
    def test_timed(ml_latency):
        ml_latency.quantile_at_most(0.5, "5 s", provider="{CUDA}")

    def test_executed(ml_latency):
        ml_latency.runs_on("{CUDA}")

    def test_rate(ml_latency):
        ml_latency.throughput_at_least(0.001, provider="{CUDA}")

    def test_here(ml_latency):
        ml_latency.runs_on("{CPU}")
    """
    run(served, tests)
    for gate in ("timed", "executed", "rate"):
        verdict = served.verdict(f"latency.{gate}")
        assert verdict.outcome is Outcome.FAIL
        assert f"{CUDA} was asked for; nodes were executed by {CPU}" in verdict.message
    assert evidence_of(served, "latency.timed").measurements[0].value is None
    assert served.verdict("latency.here").outcome is Outcome.PASS


def test_the_provider_of_the_declared_target_is_the_one_that_must_run(served: Project) -> None:
    configure(served, f'target = "gpu"\ntargets.gpu = {{ min_processors = 1, provider = "{CUDA}" }}')
    run(served, "def test_p50(ml_latency): ml_latency.quantile_at_most(0.5, '5 s', calls=60)")
    assert served.verdict("latency.p50").outcome is Outcome.FAIL
    assert f"{CUDA} was asked for" in served.verdict("latency.p50").message


def test_seconds_measured_elsewhere_do_not_count_and_ratios_do(served: Project) -> None:
    tests = """
    def test_seconds(ml_latency):
        ml_latency.quantile_at_most(0.5, "5 s", calls=60, burst=1)

    def test_ratio(ml_latency):
        ml_latency.ratio_to_reference_at_most(100_000, "dispatch", quadruples=20)
    """
    configure(served, 'target = "serving"\ntargets.serving = { machine = "abacus" }')
    result = run(served, tests)
    assert served.verdict("latency.seconds").reason == "foreign-host"
    assert served.verdict("latency.ratio").outcome is Outcome.PASS
    # It is told where it stands: the test itself does not pass.
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*latency.seconds: inconclusive: *on another machine than serving*not abacus*"]
    )


def test_a_class_is_told_by_its_reference_times(served: Project) -> None:
    tests = "def test_p50(ml_latency): ml_latency.quantile_at_most(0.5, '5 s', calls=60, burst=1)"
    configure(
        served,
        'target = "serving"\ntargets.serving = { min_processors = 1, reference = { dispatch = 1000.0 } }',
    )
    run(served, tests)
    assert served.verdict("latency.p50").reason == "foreign-host"
    assert "the reference workload dispatch takes" in served.verdict("latency.p50").message
    evidence = evidence_of(served, "latency.p50")
    [timed] = [item for item in evidence.measurements if item.metric == "reference_seconds"]
    assert timed.value is not None
    configure(
        served,
        'target = "serving"\ntargets.serving = { min_processors = 1, price_per_hour = 1.0, currency = "EUR" }',
    )
    run(served, tests)
    assert served.verdict("latency.p50").outcome is Outcome.PASS
    assert served.verdict("latency.p50").message.endswith("on a machine of the class serving")


def test_what_else_can_be_claimed(served: Project) -> None:
    configure(
        served,
        'target = "here"\ntargets.here = { min_processors = 1, price_per_hour = 0.5, currency = "EUR" }',
    )
    tests = """
    def test_rate(ml_latency):
        ml_latency.throughput_at_least(1)

    def test_cost(ml_latency):
        ml_latency.cost_per_million_at_most(1_000)

    def test_slower(ml_latency, prodml_model):
        ml_latency.not_slower_than(prodml_model, margin=5.0, quadruples=20)

    def test_device(ml_latency):
        ml_latency.quantile_at_most(0.5, "5 s", calls=60, burst=1, on_device=True)
    """
    assert run(served, tests).ret == 0
    cost = evidence_of(served, "latency.cost").measurements[0]
    assert (cost.metric, cost.unit) == ("cost_per_million", "EUR/1,000,000 rows")
    slower = evidence_of(served, "latency.slower")
    assert slower.details["clock"] == "processor time of the thread"
    assert len(slower.materials) == 2
    device: Any = evidence_of(served, "latency.device").details["runtime"]
    assert device["timed"] == "on the device"


def test_a_rate_from_a_run_that_a_look_ended_has_the_level_of_that_look(served: Project) -> None:
    tests = """
    def test_both(ml_latency):
        ml_latency.quantile_at_most(0.5, "5 s", batch_size=4, calls=[60, 80, 100], burst=1)
        ml_latency.throughput_at_least(1, batch_size=4)
    """
    run(served, tests)
    rates = [
        measured
        for gate_run in served.runs("latency.both")
        for measured in (gate_run.evidence.measurements if gate_run.evidence else ())
        if measured.metric == "throughput"
    ]
    assert [rate.confidence_level for rate in rates] == [pytest.approx(1 - 0.05 / 3)]


def test_a_model_of_which_two_percent_of_calls_are_a_hundred_times_slower_is_refused(served: Project) -> None:
    """p99 and p99.9 pass none; the median is as good as ever."""
    served.write(
        "conftest.py",
        """
        import random, time
        import pytest
        from pytest_prodml.adapters import bind

        @pytest.fixture(scope="session")
        def prodml_model():
            draw = random.Random(4)
            def model(rows):
                until = time.perf_counter() + (0.02 if draw.random() < 0.02 else 0.0002)
                while time.perf_counter() < until:
                    pass
                return [0.5] * len(rows)
            return bind(model, "model.onnx")
        """,
    )
    tests = """
    def test_p50(ml_latency):
        ml_latency.quantile_at_most(0.5, "19 ms", calls=1500)

    def test_p99(ml_latency):
        ml_latency.quantile_at_most(0.99, "10 ms", calls=3000)

    def test_p999(ml_latency):
        ml_latency.quantile_at_most(0.999, "10 ms", calls=3000)
    """
    run(served, tests)
    assert served.verdict("latency.p99").outcome is not Outcome.PASS
    assert served.verdict("latency.p999").outcome is not Outcome.PASS
    assert served.verdict("latency.p50").outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("quantile_at_most(0.9, '5 s', calls=[100, 50])", "up to three growing numbers"),
        ("quantile_at_most(0.9, '5 s', calls=[1, 2, 3, 4])", "up to three growing numbers"),
        ("quantile_at_most(0.9, '5 s', calls=0)", "calls must be at least 1"),
        ("quantile_at_most(0.9, '5 s', burst=0)", "burst must be a number of calls"),
        ("quantile_at_most(0.9, '5 s', level=0.9)", "below the 0.95 of this run"),
        ("cost_per_million_at_most(1)", "what an hour of this machine costs"),
        ("ratio_to_reference_at_most(1, 'primes')", "no reference workload 'primes'"),
        ("ratio_to_reference_at_most(1, quadruples=3)", "at least 20 pairs"),
        ("not_slower_than()", "no baseline is configured"),
    ],
)
def test_what_is_wrong_with_a_claim_is_told(served: Project, call: str, told: str) -> None:
    run(served, f"def test_x(ml_latency): ml_latency.{call}")
    verdict = served.verdict("latency.x")
    assert verdict.outcome is not Outcome.PASS
    assert told in verdict.message


def test_settings_of_a_session_need_one(served: Project) -> None:
    served.write(
        "conftest.py",
        """
        import pytest

        @pytest.fixture(scope="session")
        def prodml_model():
            return lambda rows: [0.5] * len(rows)
        """,
    )
    run(served, "def test_x(ml_latency): ml_latency.quantile_at_most(0.5, 1, threads=2)")
    assert "settings of an ONNX session" in served.verdict("latency.x").message
    run(served, "def test_x(ml_latency): ml_latency.runs_on('CPUExecutionProvider')")
    assert served.verdict("latency.x").outcome is not Outcome.PASS


HOSTS = (
    POLICY
    + """
signed_fragments = true
[require.matrix]
"latency.p50" = ["serving", "edge"]
[targets.serving]
min_processors = 1
[targets.edge]
min_processors = 1
max_processors = 4096
"""
)


def merged(project: Project, capsys: pytest.CaptureFixture[str], *names: str) -> tuple[int, str]:
    """Merge the runs of these hosts into ``merged``."""
    from pytest_prodml.cli import main

    logs = [str(log) for name in names for log in sorted((project.root / name / "evidence").glob("*.jsonl"))]
    assert len(logs) == len(names)
    given = ["--model", "model.onnx", "--policy", "policy.toml", "--key", str(project.key), "--out", "merged"]
    status = main(["merge", *logs, *given])
    return status, "".join(capsys.readouterr())


def test_two_hosts_become_one_certificate_and_each_keeps_its_own_samples(
    served: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    served.write("policy.toml", HOSTS)
    tests = """
    import pathlib
    def test_p50(ml_latency):
        budget = "1 ns" if pathlib.Path("slow").exists() else "5 s"
        ml_latency.quantile_at_most(0.5, budget, calls=200, burst=1)
    """
    for name in ("serving", "edge"):
        run(served, tests, "--prodml-target", name, "--prodml-shard", name, f"--prodml-out={name}")
    (served.root / "slow").touch()
    run(served, tests, "--prodml-target", "edge", "--prodml-shard", "slow", "--prodml-out=slow-edge")

    status, told = merged(served, capsys, "serving", "edge")
    assert status == 0, told
    assert "READY" in told
    assert "do not agree" not in told
    certificate = read_certificate(
        parse_envelope((served.root / "merged/certificate.json").read_bytes()).payload
    )
    values = [item.evidence.measurements[0].value for item in certificate.runs if item.evidence is not None]
    assert len(set(values)) == 2
    [verdict] = certificate.decision.verdicts
    assert verdict.message.startswith("on serving, edge: ")

    status, told = merged(served, capsys, "serving")
    assert status == 1
    assert "the policy asks for the target edge, where it did not run" in " ".join(told.split())

    status, told = merged(served, capsys, "serving", "edge", "slow-edge")
    assert status == 1
    assert "gates whose runs do not agree (the worst counts):" in told
    assert "latency.p50: pass in edge, pass in serving, " in told
