"""Pickles that are allowed and judged, and the ones that are not; files of skops; functions by name."""

from __future__ import annotations

import gzip
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pytest_prodml.adapters import load_model
from pytest_prodml.errors import InputError
from pytest_prodml.testing import check_adapter

joblib = pytest.importorskip("joblib")

NAMES = ["a", "b", "c"]


def table(n_rows: int = 60) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(8).normal(size=(n_rows, 3)), columns=NAMES)


def labels() -> Any:
    return (table()["a"] + table()["b"] > 0).to_numpy().astype(int)


def pipeline() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(table(), labels())


class Exploit:
    """Unpickling this would make a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploited"),))


class OwnModel:
    """A class that no list knows."""

    def predict_proba(self, rows: pd.DataFrame) -> Any:
        risk = 1 / (1 + np.exp(-rows["a"].to_numpy(dtype=float)))
        return np.column_stack([1 - risk, risk])


@pytest.mark.parametrize("how", ["pickle", "gzip", "joblib", "joblib compressed"])
def test_an_allowed_pickle_is_judged_and_loaded_from_the_same_bytes(tmp_path: Path, how: str) -> None:
    model, path = pipeline(), tmp_path / "model.pkl"
    if how == "pickle":
        path.write_bytes(pickle.dumps(model))
    elif how == "gzip":
        path.write_bytes(gzip.compress(pickle.dumps(model)))
    else:
        joblib.dump(model, path, compress=3 if how.endswith("compressed") else 0)
    predictor: Any = load_model(path, allow_pickle=True)
    np.testing.assert_array_equal(predictor.predict_score(table()), model.predict_proba(table())[:, 1])
    assert predictor.classes == [0, 1]
    assert predictor.description == "LogisticRegression"
    assert predictor.subject.digest == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert predictor.runtime()["loaded_by"] == "pickle"
    assert predictor.runtime()["allowed"] == []
    check_adapter(
        lambda: load_model(path, allow_pickle=True),
        table(),
        path=path,
        refusals=(ValueError,),
        tolerance=1e-12,
    )


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_pickle_that_would_run_code_is_not_loaded_even_if_pickles_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.joblib"
    path.write_bytes(pack(pickle.dumps([pipeline(), Exploit()])))
    with pytest.raises(InputError, match="(?s)is not loaded, because a scan found .*skops"):
        load_model(path, allow_pickle=True)
    assert not (tmp_path / "exploited").exists()


def test_without_leave_no_pickle_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(pipeline()))
    for options in ({}, {"allow_pickle": False}, {"allow": ["a.b"]}):
        with pytest.raises(InputError, match="(?s)runs whatever code.*skops.*ONNX.*allow_pickle"):
            load_model(path, **options)


def test_a_name_that_somebody_answers_for_is_written_down(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(OwnModel()))
    name = f"{OwnModel.__module__}.OwnModel"
    with pytest.raises(InputError, match=f"imports {name}"):
        load_model(path, allow_pickle=True)
    predictor = load_model(path, allow_pickle=True, allow=[name])
    assert predictor.runtime()["allowed"] == [name]
    assert predictor.predict_score(table()).shape == (60,)


@pytest.mark.parametrize("content", ["model.onnx", 3, [1, 2]])
def test_a_pickle_that_holds_no_model_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match="no model|no adapter knows"):
        load_model(path, allow_pickle=True)


@pytest.mark.parametrize("content", [b"", b"{}", pickle.dumps({"a": 1})[:-4]])
def test_what_is_no_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no pickle|could not read|a scan found"):
        load_model(path, allow_pickle=True)
