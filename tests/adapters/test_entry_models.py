"""A function by its name is a model; the nearest ending is named for a file that none loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pytest_prodml.adapters import as_predictor, bind, load_model
from pytest_prodml.adapters.predictor import close, device_of
from pytest_prodml.errors import ConfigurationError, InputError
from pytest_prodml.testing import check_adapter

SOURCE = """
import numpy as np

def risk(rows):
    return rows["a"].to_numpy(dtype=float).clip(0, 1)

class Model:
    def scores(rows):
        return rows["a"]

number = 3
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "entry_scores.py").write_text(SOURCE)
    (tmp_path / "entry_broken.py").write_text("raise RuntimeError('no licence')\n")
    monkeypatch.syspath_prepend(tmp_path)


def table() -> pd.DataFrame:
    return pd.DataFrame({"a": np.linspace(-0.5, 1.5, 20), "b": 1.0})


@pytest.mark.parametrize("make", [load_model, as_predictor])
def test_a_function_by_its_name_is_a_model_without_a_file(make: Any, tmp_path: Path) -> None:
    predictor = make("entry_scores:risk")
    np.testing.assert_array_equal(predictor.predict_score(table()), table()["a"].clip(0, 1).astype(float))
    assert predictor.subject is None
    assert predictor.description == "entry_scores:risk"
    assert predictor.runtime()["entry"] == "entry_scores:risk"
    assert device_of(predictor) is None
    close(predictor)
    check_adapter(lambda: make("entry_scores:risk"), table(), by_name=False)
    (tmp_path / "weights.bin").write_bytes(b"weights")
    assert bind("entry_scores:risk", tmp_path / "weights.bin").runtime()["binding"] == "declared"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("entry_gone:risk", "entry_gone: can not be imported: ModuleNotFoundError"),
        ("entry_broken:risk", "entry_broken: can not be imported: RuntimeError: no licence"),
        ("entry_scores:gone", "entry_scores: holds no 'gone'"),
        ("entry_scores:Model", "is a class"),
        ("entry_scores:number", "is int and can not be called"),
        ("entry_scores:", "does not exist"),
    ],
)
def test_a_name_that_names_no_function_is_told(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_model(text)


def test_an_option_for_what_has_none_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="no option 'columns'"):
        load_model("entry_scores:risk", columns=["a"])
    with pytest.raises(ConfigurationError, match="no option 'columns'"):
        as_predictor(lambda rows: rows["a"], columns=["a"])


@pytest.mark.parametrize(("ending", "near"), [(".onx", ".onnx"), (".cbmm", ".cbm"), (".skop", ".skops")])
def test_the_nearest_ending_is_named(tmp_path: Path, ending: str, near: str) -> None:
    (tmp_path / f"model{ending}").write_bytes(b"?")
    with pytest.raises(InputError, match=f"did you mean {near}"):
        load_model(tmp_path / f"model{ending}")
