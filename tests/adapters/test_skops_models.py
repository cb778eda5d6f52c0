"""Files of skops: types that skops trusts, and those that somebody answers for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from pytest_prodml.adapters import load_model
from pytest_prodml.errors import InputError
from pytest_prodml.testing import check_adapter

skops = pytest.importorskip("skops.io")


def table(n_rows: int = 60) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(8).uniform(size=(n_rows, 3)), columns=["a", "b", "c"])


def saved(model: Any, path: Path) -> Any:
    fitted = model.fit(table(), (table()["a"] > 0.5).to_numpy().astype(int))
    skops.dump(fitted, path)
    return fitted


def test_a_model_of_trusted_types_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    model = saved(LogisticRegression(), path)
    predictor: Any = load_model(path)
    np.testing.assert_array_equal(predictor.predict_score(table()), model.predict_proba(table())[:, 1])
    assert predictor.runtime()["loaded_by"] == "skops"
    assert predictor.classes == [0, 1]
    check_adapter(lambda: load_model(path), table(), path=path, refusals=(ValueError,), tolerance=1e-12)
    flipped = load_model(path, positive_label=0)
    np.testing.assert_allclose(flipped.predict_score(table()), 1 - predictor.predict_score(table()))


def test_other_types_have_to_be_named(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    model = saved(RandomForestClassifier(5, random_state=0), path)
    with pytest.raises(InputError, match=r"(?s)skops does not trust sklearn.tree._tree.Tree.*allow = \["):
        load_model(path)
    predictor = load_model(path, allow=["sklearn.tree._tree.Tree"])
    np.testing.assert_array_equal(predictor.predict_score(table()), model.predict_proba(table())[:, 1])
    assert predictor.runtime()["allowed"] == ["sklearn.tree._tree.Tree"]


def test_a_function_in_the_file_has_to_be_named_although_skops_trusts_it(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    model = saved(make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()), path)
    with pytest.raises(InputError, match="a scan found .*numpy.log1p"):
        load_model(path)
    predictor = load_model(path, allow=["numpy.log1p"])
    np.testing.assert_array_equal(predictor.predict_score(table()), model.predict_proba(table())[:, 1])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"{}"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.skops").write_bytes(content)
    with pytest.raises(InputError, match="no file of skops"):
        load_model(tmp_path / "model.skops")
    skops.dump("model.onnx", tmp_path / "text.skops")
    with pytest.raises(InputError, match="holds str, no model"):
        load_model(tmp_path / "text.skops")
