"""Modules of torch, in memory and from their files, against the same arithmetic by numpy."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pytest_prodml.adapters import as_predictor, load_model
from pytest_prodml.errors import InputError
from pytest_prodml.testing import check_adapter

torch = pytest.importorskip("torch")

import torch_modules  # noqa: E402 - it imports torch

NAMES = ["a", "b", "c"]
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


def table(n_rows: int = 24) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(4).normal(size=(n_rows, 3)), columns=NAMES)


def logits(module: Any, rows: pd.DataFrame) -> Any:
    weights = module.layer.weight.detach().numpy().astype(np.float64)
    bias = module.layer.bias.detach().numpy().astype(np.float64)
    return np.tanh(rows[NAMES].to_numpy(dtype=np.float32).astype(np.float64)) @ weights.T + bias


def sigmoid(values: Any) -> Any:
    return 1 / (1 + np.exp(-values))


def exported(module: Any, path: Path, *, batch: int | None = None) -> Path:
    shape = None if batch else {"rows": {0: torch.export.Dim("batch", min=1, max=4096)}}
    program = torch.export.export(module.eval(), (torch.zeros(batch or 5, 3),), dynamic_shapes=shape)
    torch.export.save(program, path)
    return path


def test_logits_of_a_module_in_memory_become_probabilities() -> None:
    module = torch_modules.seeded()
    module.train()
    predictor = as_predictor(module, columns=NAMES, activation="sigmoid")
    expected = sigmoid(logits(module, table()))[:, 0]
    turned = table().assign(key=0)[["key", "c", "b", "a"]]
    np.testing.assert_allclose(predictor.predict_score(turned), expected, atol=1e-6)
    np.testing.assert_array_equal(predictor.predict(table()), expected >= 0.5)
    assert predictor.runtime()["activation"] == "sigmoid"
    assert predictor.runtime()["device"] == "cpu"
    check_adapter(lambda: as_predictor(module, columns=NAMES, activation="sigmoid"), table(), tolerance=1e-7)


@pytest.mark.parametrize("width", [2, 4])
def test_softmax_of_several_outputs(width: int) -> None:
    module = torch_modules.seeded(width)
    values = np.exp(logits(module, table()))
    shares = values / values.sum(axis=1, keepdims=True)
    predictor = as_predictor(module, columns=NAMES, activation="softmax")
    np.testing.assert_allclose(
        predictor.predict_score(table()), shares[:, 1] if width == 2 else shares, atol=1e-6
    )
    np.testing.assert_array_equal(predictor.predict(table()), values.argmax(axis=1))


@pytest.mark.parametrize("activation", ["none", None])
def test_scores_are_left_alone_where_that_is_said(activation: str | None) -> None:
    module = torch_modules.seeded()
    predictor = as_predictor(module, columns=NAMES, activation=activation)
    np.testing.assert_allclose(predictor.predict_score(table()), logits(module, table())[:, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": NAMES}, "(?s)does not tell logits from probabilities.*activation="),
        ({"activation": "sigmoid"}, "(?s)no names of its own.*columns="),
        ({"columns": NAMES, "activation": "tanh"}, "no activation 'tanh'"),
        ({"columns": NAMES, "activation": None, "dtype": "float16"}, "no input is 'float16'"),
        ({"columns": NAMES, "activation": None, "device": "cuda:99"}, "can not run on cuda:99"),
    ],
)
def test_what_is_not_said_is_not_guessed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_predictor(torch_modules.seeded(), **options)


@pytest.mark.parametrize(
    ("width", "activation", "message"),
    [(3, "sigmoid", "makes no scores of"), (1, "softmax", "softmax of one is 1")],
)
def test_an_activation_that_does_not_fit_is_refused(width: int, activation: str, message: str) -> None:
    predictor = as_predictor(torch_modules.seeded(width), columns=NAMES, activation=activation)
    with pytest.raises(InputError, match=message):
        predictor.predict_score(table())


def test_an_exported_program_is_loaded_from_the_bytes_that_are_hashed(tmp_path: Path) -> None:
    module, path = torch_modules.seeded(), tmp_path / "model.pt2"
    exported(module, path)
    predictor: Any = load_model(path, columns=NAMES, activation="sigmoid")
    np.testing.assert_allclose(
        predictor.predict_score(table()), sigmoid(logits(module, table()))[:, 0], atol=1e-6
    )
    assert predictor.subject.digest == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert predictor.runtime()["kind"] == "exported program"
    check_adapter(
        lambda: load_model(path, columns=NAMES, activation="sigmoid"), table(), path=path, tolerance=1e-7
    )


def test_a_program_for_a_fixed_batch_takes_multiples_of_it(tmp_path: Path) -> None:
    module = torch_modules.seeded()
    path = exported(module, tmp_path / "model.pt2", batch=4)
    predictor = load_model(path, columns=NAMES, activation="none")
    np.testing.assert_allclose(predictor.predict_score(table(12)), logits(module, table(12))[:, 0], atol=1e-6)
    with pytest.raises(InputError, match="exactly 4 rows a call, and 6 is no multiple"):
        predictor.predict_score(table(6))


def rewritten(path: Path, change: Any) -> Path:
    """Change the graph that an exported program holds."""
    found = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(found, "w", zipfile.ZIP_STORED) as new:
        for item in old.infolist():
            content = old.read(item)
            if item.filename.endswith("models/model.json"):
                content = json.dumps(change(json.loads(content))).encode()
            new.writestr(item.filename, content)
    path.write_bytes(found.getvalue())
    return path


def with_expression(document: Any) -> Any:
    """Plant Python where torch reads the size of the batch: its loader evaluates it."""
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict) and "expr_str" in node:
            node["expr_str"] = "__import__('pathlib').Path('exploited').touch() or 5"
        waiting += node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return document


def with_operator(document: Any) -> Any:
    document["graph_module"]["graph"]["nodes"][0]["target"] = "torch.hub.load"
    return document


@pytest.mark.parametrize(
    ("change", "message"),
    [(with_expression, "is no plain expression"), (with_operator, "operator 'torch.hub.load' is not known")],
)
def test_a_program_that_would_run_python_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = rewritten(exported(torch_modules.seeded(), tmp_path / "model.pt2"), change)
    with pytest.raises(InputError, match=message):
        load_model(path, columns=NAMES, activation="none")
    assert not (tmp_path / "exploited").exists()


def test_weights_need_the_module_that_they_are_for(tmp_path: Path) -> None:
    module, path = torch_modules.seeded(), tmp_path / "weights.pt"
    torch.save(module.state_dict(), path)
    with pytest.raises(InputError, match="(?s)is a state dict.*entry="):
        load_model(path, columns=NAMES, activation="none")
    given: dict[str, Any] = {"columns": NAMES, "activation": "none", "entry": "torch_modules:scorer"}
    predictor = load_model(path, **given)
    np.testing.assert_allclose(predictor.predict_score(table()), logits(module, table())[:, 0], atol=1e-6)
    check_adapter(lambda: load_model(path, **given), table(), path=path, tolerance=1e-7)
    with pytest.raises(InputError, match="returned int, no torch.nn.Module"):
        load_model(path, columns=NAMES, activation="none", entry="torch_modules:no_module")
    torch.save({"other": torch.zeros(2)}, path)
    with pytest.raises(InputError, match="can not be loaded by torch"):
        load_model(path, **given)


def test_a_pickled_module_is_not_opened(tmp_path: Path) -> None:
    torch.save(torch_modules.seeded(), tmp_path / "model.pt")
    with pytest.raises(InputError, match="(?s)a scan found .*torch_modules.Scorer"):
        load_model(tmp_path / "model.pt", columns=NAMES, activation="none")


def test_torchscript_is_a_program_and_needs_to_be_allowed(tmp_path: Path) -> None:
    module, path = torch_modules.seeded(), tmp_path / "model.pt"
    torch.jit.script(module.eval()).save(str(path))
    with pytest.raises(InputError, match='(?s)is not loaded.*allow "format:torchscript"'):
        load_model(path, columns=NAMES, activation="sigmoid")
    given: dict[str, Any] = {"columns": NAMES, "activation": "sigmoid", "allow": ["format:torchscript"]}
    predictor = load_model(path, **given)
    np.testing.assert_allclose(
        predictor.predict_score(table()), sigmoid(logits(module, table()))[:, 0], atol=1e-6
    )
    assert predictor.runtime()["kind"] == "TorchScript"
    check_adapter(lambda: load_model(path, **given), table(), path=path, tolerance=1e-7)


@pytest.mark.parametrize("ending", ["pt", "pt2"])
@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04broken"])
def test_other_files_are_refused(tmp_path: Path, ending: str, content: bytes) -> None:
    path = tmp_path / f"model.{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not loaded|is no exported program|can not be loaded|state dict"):
        load_model(path, columns=NAMES, activation="none")
