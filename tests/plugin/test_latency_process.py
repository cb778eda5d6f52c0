"""Claims about fresh processes as a user makes them: gates in a project, with its model or with its service."""

from __future__ import annotations

import importlib
from typing import Any

import pandas as pd
import pytest

from onnx_models import classifier, exported, features, linear, save
from plugin.project import Project
from pytest_prodml.records import Evidence, Outcome, RunState

# What is compiled can be imported only once, and these tests run in this process.
for name in (
    "sklearn.linear_model",
    "pytest_prodml.adapters.onnx_execution",
    "pytest_prodml.checks.latency",
    "pytest_prodml.checks.latency.cold_start",
    "pytest_prodml.checks.latency.memory",
    "pytest_prodml.plugin.latency",
):
    importlib.import_module(name)

POLICY = 'name = "production"\nversion = "1"\n[require]\ndimensions = ["latency"]\n'
MODEL = """
import pytest
from pytest_prodml.adapters import load_model

@pytest.fixture(scope="session")
def prodml_model():
    return load_model("model.onnx", columns=["a", "b", "c"])
"""
SERVICE = """
import time

def load():
    weights = [float(word) for word in open("weights.txt").read().split()]
    return lambda: sum(weights)

def load_slowly():
    time.sleep(0.4)
    return load()

def load_leaking():
    kept = []
    return lambda: kept.append(bytearray(100))

def load_large():
    block = bytearray(80_000_000)
    for place in range(0, len(block), 4096):
        block[place] = 1
    return lambda: block[0]

def load_and_hang():
    time.sleep(600)
"""


@pytest.fixture
def bank(project: Project) -> Project:
    pd.DataFrame(features(40), columns=["a", "b", "c"]).assign(label=0).to_csv(
        project.root / "test.csv", index=False
    )
    save(exported(classifier()), project.root / "model.onnx")
    project.write("conftest.py", MODEL)
    project.write("policy.toml", POLICY)
    project.write("src/service.py", SERVICE)
    project.write("weights.txt", "1 2 3")
    project.write("pytest.ini", "[pytest]\npythonpath = src\n")
    project.write(
        "prodml.toml",
        f'policy = "policy.toml"\nkey = "{project.key}"\n[model]\npath = "model.onnx"\nname = "bank"\n'
        'version = "1"\n[data]\ntest = "test.csv"\ntarget = "label"\n',
    )
    return project


def gate(project: Project, body: str) -> tuple[Evidence | None, RunState, str]:
    """Run one gate and return its first evidence, how it ended, and why."""
    project.write("test_gates.py", f"def test_process(ml_latency):\n    {body}\n")
    project.idle("-p", "benchmark", "--prodml", "-q")
    run = project.runs("latency.process")[0]
    return run.evidence, run.state, run.reason


def recorded(project: Project, body: str) -> Evidence:
    evidence, _, reason = gate(project, body)
    assert evidence is not None, reason
    return evidence


def test_an_onnx_model_starts_within_its_budget(bank: Project) -> None:
    bank.write(
        "test_gates.py",
        """
        def test_process(ml_latency):
            ml_latency.cold_start_at_most("1 min", p=0.5, spawns=5)

        def test_memory(ml_latency):
            first = ml_latency.cold_start_at_most("1 min", p=0.5, spawns=5, batch_size=8)
            second = ml_latency.peak_memory_at_most("2 GB", p=0.5, spawns=5, batch_size=8)
            assert first.measurements[0].n_samples == second.measurements[0].n_samples
            held = next(iter(ml_latency._started.values()))
            assert [s.peak_bytes for s in held.starts][0] >= second.details["smallest_bytes"]
            assert len(ml_latency._started) == 1
        """,
    )
    bank.idle("-p", "benchmark", "--prodml", "-q")
    [run] = bank.runs("latency.process")
    assert run.evidence is not None
    assert bank.verdict("latency.process").outcome is Outcome.PASS
    told: Any = run.evidence.details["process"]
    assert told["sha256"] == run.evidence.subjects[0].digest["sha256"]
    assert run.evidence.measurements[0].group == "batch_size=1"
    assert run.evidence.details["uncounted_start_seconds"] > 0  # type: ignore[operator]
    [run] = bank.runs("latency.memory")
    assert run.evidence is not None
    peak = next(m for m in run.evidence.measurements if m.metric == "peak_memory_p50")
    assert (peak.unit, peak.group, peak.n_samples) == ("B", "batch_size=8", 5)
    assert str(bank.root) not in (bank.out / "certificate.json").read_text("utf-8")
    assert str(bank.root) not in bank.envelope().payload.decode()


def test_a_slow_load_is_refused_and_its_quick_twin_passes(bank: Project) -> None:
    body = 'ml_latency.cold_start_at_most("300 ms", p=0.5, spawns=5, entry="service:{}")'
    slow = recorded(bank, body.format("load_slowly"))
    assert bank.verdict("latency.process").outcome is not Outcome.PASS
    load = next(m for m in slow.measurements if m.metric == "cold_start_load_p50")
    assert load.value is not None
    assert load.value >= 0.4
    assert slow.measurements[0].group == "service:load_slowly"
    recorded(bank, body.format("load").replace("300 ms", "1 min"))
    assert bank.verdict("latency.process").outcome is Outcome.PASS


def test_a_service_that_takes_too_much_memory_is_refused(bank: Project) -> None:
    body = 'ml_latency.peak_memory_at_most("60 MB", p=0.5, spawns=5, calls=5, entry="service:{}")'
    recorded(bank, body.format("load_large"))
    assert bank.verdict("latency.process").outcome is Outcome.FAIL
    recorded(bank, body.format("load"))
    assert bank.verdict("latency.process").outcome is Outcome.PASS


def test_a_leak_is_refused_and_its_healthy_twin_passes(bank: Project) -> None:
    body = 'ml_latency.no_memory_growth("20 kB", processes=5, calls=4000, entry="service:{}")'
    leaking = recorded(bank, body.format("load_leaking"))
    assert bank.verdict("latency.process").outcome is Outcome.FAIL
    assert leaking.measurements[0].value == pytest.approx(150_000, rel=0.4)
    recorded(bank, body.format("load"))
    assert bank.verdict("latency.process").outcome is Outcome.PASS


def test_an_onnx_model_leaves_no_memory_behind(bank: Project) -> None:
    evidence = recorded(bank, 'ml_latency.no_memory_growth("20 kB", processes=2, calls=3000, threads=1)')
    assert bank.verdict("latency.process").outcome is Outcome.INCONCLUSIVE
    assert evidence.details["warm_up_predictions"] == 300
    assert evidence.measurements[0].n_required == 5
    assert evidence.measurements[0].value == pytest.approx(0, abs=20_000)


def test_a_graph_of_a_fixed_batch_size_is_served_in_parts(bank: Project) -> None:
    save(linear(batch=2), bank.root / "model.onnx")
    recorded(bank, 'ml_latency.cold_start_at_most("1 min", p=0.5, spawns=1, batch_size=6)')
    assert bank.verdict("latency.process").outcome is Outcome.INCONCLUSIVE


def test_a_provider_that_does_not_run_the_graph_fails(bank: Project) -> None:
    body = 'ml_latency.{}, p=0.5, spawns=5, provider="CUDAExecutionProvider")'
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("there is one here")
    for call, unit in (('cold_start_at_most("1 min"', "s"), ('peak_memory_at_most("1 GB"', "B")):
        evidence = recorded(bank, body.format(call))
        assert bank.verdict("latency.process").outcome is Outcome.FAIL
        assert evidence.measurements[0].value is None
        assert evidence.measurements[0].unit == unit


def test_more_than_one_thread_is_told_in_the_group(bank: Project) -> None:
    evidence = recorded(bank, 'ml_latency.peak_memory_at_most("1 GB", p=0.5, spawns=1, calls=3, threads=2)')
    assert evidence.measurements[0].group == "batch_size=1, threads=2"
    runtime: Any = evidence.details["runtime"]
    assert runtime["intra_op_threads"] == 2


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('ml_latency.cold_start_at_most("soon")', "is not a duration"),
        ('ml_latency.peak_memory_at_most("5 parsecs")', "is not an amount of memory"),
        ('ml_latency.cold_start_at_most("1 s", entry="service")', "names no function"),
        ('ml_latency.cold_start_at_most("1 s", entry="nowhere:load", spawns=5)', "No module named 'nowhere'"),
        ('ml_latency.cold_start_at_most("1 s", entry="service:load", threads=2)', "settings of an ONNX file"),
        (
            'ml_latency.cold_start_at_most("1 s", entry="service:load", batch_size=2)',
            "settings of an ONNX file",
        ),
        ('ml_latency.cold_start_at_most("1 s", spawns=0)', "spawns must be at least 1"),
        ('ml_latency.cold_start_at_most("1 s", p=1.0)', "must lie between 0 and 1"),
        ('ml_latency.peak_memory_at_most("1 MB", calls=1, spawns=5)', "of 2 calls"),
        ("ml_latency.no_memory_growth(calls=100)", "100 calls can not show a growth of 1,000 bytes"),
        ("ml_latency.no_memory_growth(processes=0)", "at least 1 start"),
        (
            'ml_latency.cold_start_at_most("1 s", entry="service:load_and_hang", process_seconds=0.5)',
            "took more than 0.5 s",
        ),
    ],
)
def test_what_can_not_be_measured_is_a_sentence(bank: Project, body: str, told: str) -> None:
    evidence, state, reason = gate(bank, body)
    assert evidence is None
    assert state in {RunState.FAILED, RunState.ERRORED}
    assert told in reason
    assert str(bank.root) not in reason


def test_a_model_that_is_no_file_needs_an_entry(bank: Project) -> None:
    bank.write(
        "conftest.py",
        """
        import pytest
        from pytest_prodml.adapters import bind

        @pytest.fixture(scope="session")
        def prodml_model():
            return bind(lambda rows: rows["a"] * 0, "model.onnx")
        """,
    )
    _, state, reason = gate(bank, 'ml_latency.cold_start_at_most("1 s")')
    assert state in {RunState.FAILED, RunState.ERRORED}
    assert 'say entry="module:function"' in reason
    recorded(bank, 'ml_latency.cold_start_at_most("1 min", p=0.5, spawns=5, entry="service:load")')
    assert bank.verdict("latency.process").outcome is Outcome.PASS


def test_a_file_that_changed_since_it_was_loaded_is_refused(bank: Project) -> None:
    bank.write(
        "test_gates.py",
        """
        from pathlib import Path

        def test_process(ml_latency):
            file = Path("model.onnx")
            file.write_bytes(file.read_bytes() + b" ")
            ml_latency.cold_start_at_most("1 s")
        """,
    )
    result = bank.idle("-p", "benchmark", "-q")
    result.stdout.fnmatch_lines(["*InputError: model.onnx: the file has changed since it was loaded"])


def test_rows_that_a_graph_does_not_take_are_a_sentence(bank: Project) -> None:
    save(linear(batch=4), bank.root / "model.onnx")
    _, _, reason = gate(bank, 'ml_latency.cold_start_at_most("1 s", batch_size=6)')
    assert "was exported for exactly 4 rows a call" in reason
