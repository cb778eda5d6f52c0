"""The claims of a latency gate on a real device: what ran there, what waits, and what it costs to copy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import onnx_models
from plugin.project import Project
from pytest_prodml.adapters.onnx import load_onnx
from pytest_prodml.adapters.onnx_execution import executed, in_session, prepare_on_device
from pytest_prodml.environment import capture
from pytest_prodml.records import Outcome


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_models.layered(width=2048, depth=8).SerializeToString())
    return path


def rows(count: int) -> pd.DataFrame:
    return pd.DataFrame(onnx_models.features(count), columns=["a", "b", "c"])


def test_the_device_is_in_the_record(provider: str) -> None:
    del provider
    found = capture().hardware
    assert found is not None
    assert found.accelerators, "install nvidia-ml-py"
    assert found.accelerators[0].compute_capability
    assert found.accelerators[0].driver


def test_every_node_runs_on_the_device_and_answers_as_on_the_processor(model: Path, provider: str) -> None:
    on_processor = load_onnx(model)
    found = executed(on_processor, rows(64), provider=provider)
    assert set(found.nodes) == {provider}
    on_device = in_session(on_processor, provider=provider)
    expected, answered = (item.predict_score(rows(64)) for item in (on_processor, on_device))
    assert np.allclose(expected, answered, atol=1e-3)


def test_outputs_that_are_bound_to_the_device_are_there_when_a_call_returns(
    model: Path, provider: str, record_property: Callable[[str, object], None]
) -> None:
    predictor = in_session(load_onnx(model), provider=provider)
    call, from_host = prepare_on_device(predictor, rows(4096)), predictor.prepare(rows(4096))
    binding: Any = call()
    [scores] = binding.copy_outputs_to_cpu()
    assert np.allclose(scores.reshape(-1), predictor.predict_score(rows(4096)), atol=1e-5)
    # A part of the work takes a part of the time: what is timed is the work, not that it was queued.
    small = prepare_on_device(predictor, rows(64))
    for each in (call, small, from_host):
        each()
    times = {name: statistics.median(seconds(each) for _ in range(50))
             for name, each in (("device", call), ("device_64_rows", small), ("host_to_host", from_host))}  # fmt: skip
    for name, value in times.items():
        record_property(name, value)
    assert times["device_64_rows"] < times["device"]


def test_torch_is_waited_for(record_property: Callable[[str, object], None]) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.fail("not demonstrated: torch sees no CUDA device", pytrace=False)
    from pytest_prodml.adapters.device import synchronised

    matrix = torch.randn(4096, 4096, device="cuda")

    def work() -> object:
        result = matrix
        for _ in range(8):
            result = result @ matrix
        return result

    [waiting], device = synchronised([work])
    assert device == "cuda"
    waiting()
    whole = statistics.median(seconds(waiting) for _ in range(10))
    torch.cuda.synchronize()
    queued = seconds(work)
    torch.cuda.synchronize()
    record_property("waited", whole)
    record_property("queued", queued)
    assert queued < whole / 2


def test_a_gate_on_the_device(project: Project, model: Path, provider: str) -> None:
    (project.root / "model.onnx").write_bytes(model.read_bytes())
    frame = rows(400).assign(target=0)
    frame.to_csv(project.root / "test.csv", index=False)
    project.write("policy.toml", 'name = "p"\nversion = "1"\n[require]\ngates = ["latency.*"]\n')
    project.write(
        "prodml.toml",
        f'policy = "policy.toml"\nkey = "{project.key}"\n'
        '[model]\npath = "model.onnx"\n[data]\ntest = "test.csv"\ntarget = "target"\n',
    )
    project.write(
        "test_gates.py",
        f"""
        def test_executed(ml_latency):
            ml_latency.runs_on("{provider}")

        def test_p99(ml_latency):
            ml_latency.quantile_at_most(0.99, "5 s", provider="{provider}", batch_size=32)

        def test_device(ml_latency):
            ml_latency.quantile_at_most(0.99, "5 s", provider="{provider}", batch_size=32, on_device=True)

        def test_ratio(ml_latency):
            ml_latency.ratio_to_reference_at_most(1_000, "device_matmul", provider="{provider}")
        """,
    )
    result = project.run("-p", "benchmark")
    assert result.ret == 0
    for verdict in project.issued().decision.verdicts:
        assert verdict.outcome is Outcome.PASS


def seconds(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
