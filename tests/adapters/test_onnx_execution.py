"""What really ran, and calls that wait: on the processor, and on devices that are made up."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import onnx_models
from pytest_prodml.adapters import onnx as onnx_adapter
from pytest_prodml.adapters.device import synchronised
from pytest_prodml.adapters.onnx import CPU, from_session, load_onnx
from pytest_prodml.adapters.onnx_execution import Execution, executed, in_session, prepare_on_device
from pytest_prodml.errors import InputError

CUDA = "CUDAExecutionProvider"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_models.layered(width=16, depth=2).SerializeToString())
    return path


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.DataFrame(onnx_models.features(5), columns=["a", "b", "c"])


def test_the_profiler_tells_every_node(model: Path, rows: pd.DataFrame) -> None:
    found = executed(load_onnx(model), rows)
    assert set(found.nodes) == {CPU}
    assert found.nodes[CPU] == sum(found.operators[CPU].values()) >= 6
    assert found.seconds[CPU] > 0
    assert "Sigmoid" in found.operators[CPU]
    without = found.without(["Sigmoid"])
    assert without.nodes[CPU] == found.nodes[CPU] - found.operators[CPU]["Sigmoid"]


def test_what_was_asked_for_and_is_not_there_falls_back_and_is_found_out(
    model: Path, rows: pd.DataFrame
) -> None:
    predictor = load_onnx(model)
    other = in_session(predictor, provider=CUDA, threads=2)
    assert other.session.get_providers() == [CPU]
    assert other.session.get_session_options().intra_op_num_threads == 2
    assert np.array_equal(other.predict_score(rows), predictor.predict_score(rows))
    assert set(executed(predictor, rows, provider=CUDA).nodes) == {CPU}
    with pytest.raises(InputError, match="the execution provider CUDAExecutionProvider is not available"):
        load_onnx(model, providers=[CUDA])


def test_a_file_that_changed_is_another_model(model: Path, rows: pd.DataFrame) -> None:
    predictor = load_onnx(model)
    model.write_bytes(onnx_models.layered(width=16, depth=3).SerializeToString())
    for use in (lambda: in_session(predictor, threads=2), lambda: executed(predictor, rows)):
        with pytest.raises(InputError, match="has changed since the model was loaded"):
            use()


def test_a_session_without_a_file_can_not_be_loaded_again(model: Path, rows: pd.DataFrame) -> None:
    predictor = from_session(load_onnx(model).session)
    with pytest.raises(InputError, match="was made from a session"):
        in_session(predictor, threads=2)
    with pytest.raises(InputError, match="was made from a session"):
        executed(predictor, rows)


def test_bound_arrays_give_the_same_answer(model: Path, rows: pd.DataFrame) -> None:
    predictor = load_onnx(model)
    call = prepare_on_device(predictor, rows)
    for _ in range(2):
        binding: Any = call()
    [scores] = binding.copy_outputs_to_cpu()
    assert np.array_equal(scores.reshape(-1), predictor.predict_score(rows).astype(np.float32))


def test_text_is_on_no_device(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    made = onnx_models.by_hand(
        [
            helper.make_node("StringNormalizer", ["text"], ["same"]),
            helper.make_node("ConstantOfShape", ["shape"], ["score"]),
        ],
        [("text", TensorProto.STRING, [1])],
        [("same", TensorProto.STRING, [1]), ("score", TensorProto.FLOAT, [1])],
        {"shape": np.array([1], dtype=np.int64)},
    )
    path = tmp_path / "text.onnx"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(InputError, match="the input 'text' is text"):
        prepare_on_device(load_onnx(path), pd.DataFrame({"text": ["a"]}))


class QueuingSession:
    """A session of a device whose work is done when somebody waits for it, as CUDA does it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def get_providers(self) -> list[str]:
        return [CUDA, CPU]

    def io_binding(self) -> Any:
        told = self.told

        class Binding:
            def bind_ortvalue_input(self, name: str, value: Any) -> None:
                told.append(f"input {name} on {value}")

            def bind_output(self, name: str, device: str) -> None:
                told.append(f"output {name} on {device}")

            def synchronize_inputs(self) -> None:
                told.append("inputs are there")

            def synchronize_outputs(self) -> None:
                told.append("outputs are there")

        return Binding()

    def run_with_iobinding(self, _binding: Any) -> None:
        self.told.append("queued")


def test_a_call_on_a_device_returns_when_the_outputs_are_there(
    model: Path, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    session = QueuingSession()
    monkeypatch.setattr(
        "pytest_prodml.adapters.onnx_execution.one_runtime",
        lambda: types.SimpleNamespace(
            OrtValue=types.SimpleNamespace(ortvalue_from_numpy=lambda _array, device, _number: device)
        ),
    )
    call = prepare_on_device(replace(load_onnx(model), session=session), rows)
    assert session.told == ["input X on cuda", "output score on cuda", "inputs are there"]
    session.told.clear()
    call()
    assert session.told == ["queued", "outputs are there"]


def test_kernels_that_torch_has_only_queued_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    cuda = types.SimpleNamespace(
        is_available=lambda: True, is_initialized=lambda: True, synchronize=lambda: told.append("done")
    )
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))

    def queue() -> str:
        told.append("queued")
        return "answer"

    calls, device = synchronised([queue, queue])
    assert device == "cuda"
    told.clear()
    assert [call() for call in calls] == ["answer", "answer"]
    assert told == ["queued", "done"] * 2


@pytest.mark.parametrize("torch", [None, types.SimpleNamespace(), "no device"])
def test_where_nothing_is_queued_the_calls_are_the_same(monkeypatch: pytest.MonkeyPatch, torch: Any) -> None:
    if torch == "no device":
        absent = types.SimpleNamespace(is_available=lambda: False)
        torch = types.SimpleNamespace(
            cuda=types.SimpleNamespace(is_available=lambda: True, is_initialized=lambda: False),
            backends=types.SimpleNamespace(mps=absent),
        )
    if torch is None:
        monkeypatch.delitem(sys.modules, "torch", raising=False)
    else:
        monkeypatch.setitem(sys.modules, "torch", torch)
    calls = [list, dict]
    assert synchronised(calls) == (calls, None)


def test_two_distributions_of_onnxruntime_are_one_too_many(
    monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    monkeypatch.setattr(onnx_adapter, "_runtime_distributions", lambda: ("onnxruntime", "onnxruntime-gpu"))
    with pytest.raises(InputError, match="onnxruntime and onnxruntime-gpu are both installed"):
        load_onnx(model)


def test_an_empty_profile_is_no_proof() -> None:
    assert Execution(nodes={}, seconds={}, operators={}).without(["Shape"]).nodes == {}
