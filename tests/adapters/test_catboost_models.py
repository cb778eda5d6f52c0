"""Models of CatBoost: its own estimators, asked through their files, say the same."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from boosted_rows import as_texts, boosted_rows, targets
from pytest_prodml.adapters import as_predictor, load_model
from pytest_prodml.errors import InputError
from pytest_prodml.testing import check_adapter

catboost = pytest.importorskip("catboost")

KINDS = ["binary", "multiclass", "regression"]


def texts(n_rows: int = 300, *, seed: int = 0) -> pd.DataFrame:
    rows = boosted_rows(n_rows, seed=seed)
    return rows.assign(region=rows["region"].astype(object))


def fitted(kind: str, rows: pd.DataFrame, labels: Any = None, **options: Any) -> Any:
    estimator = catboost.CatBoostRegressor if kind == "regression" else catboost.CatBoostClassifier
    model = estimator(
        iterations=12,
        cat_features=["region"],
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
        **options,
    )
    return model.fit(rows, targets(boosted_rows(len(rows)))[kind] if labels is None else labels)


def expected(model: Any, rows: pd.DataFrame) -> Any:
    if not hasattr(model, "predict_proba"):
        return model.predict(rows)
    found = model.predict_proba(rows)
    return found[:, 1] if found.shape[1] == 2 else found


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_answers_as_the_estimator_that_wrote_it(tmp_path: Path, kind: str) -> None:
    rows, path = texts(), tmp_path / "model.cbm"
    model = fitted(kind, rows)
    model.save_model(str(path))
    predictor: Any = load_model(path)
    fresh = texts(100, seed=1)
    np.testing.assert_allclose(
        predictor.predict_score(as_texts(fresh)), expected(model, fresh), rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(
        predictor.predict(as_texts(fresh)), model.predict(fresh).reshape(100), atol=1e-12
    )
    assert predictor.classes == {"binary": [0, 1], "multiclass": [0, 1, 2], "regression": None}[kind]
    assert predictor.subject.digest == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    check_adapter(lambda: load_model(path), rows.head(40), path=path)


def test_an_estimator_in_memory_keeps_the_names_of_its_classes() -> None:
    rows = texts()
    names = np.array(["bad", "good"])[targets(boosted_rows())["binary"]]
    model = fitted("binary", rows, names)
    predictor: Any = as_predictor(model)
    assert predictor.classes == ["bad", "good"]
    np.testing.assert_array_equal(predictor.predict_score(rows), expected(model, rows))
    np.testing.assert_array_equal(predictor.predict(rows), model.predict(rows))
    bad: Any = as_predictor(model, positive_label="bad")
    np.testing.assert_array_equal(bad.predict_score(rows), model.predict_proba(rows)[:, 0])
    with pytest.raises(InputError, match="(?s)does not know the class 'ok'.*'bad', 'good'"):
        as_predictor(model, positive_label="ok")


def test_a_count_is_a_count_and_no_logarithm() -> None:
    rows = texts()
    model = fitted("regression", rows, rows["visits"].to_numpy(), loss_function="Poisson")
    np.testing.assert_allclose(as_predictor(model).predict_score(rows), model.predict(rows), rtol=1e-12)


def test_a_value_with_its_variance_is_no_score() -> None:
    rows = texts()
    model = fitted("regression", rows, loss_function="RMSEWithUncertainty")
    with pytest.raises(InputError, match="returned 2 columns for 1 value"):
        as_predictor(model).predict_score(rows)


def test_what_catboost_refuses_is_told(tmp_path: Path) -> None:
    rows = texts()
    model = fitted("binary", rows)
    predictor = as_predictor(model)
    with pytest.raises(InputError, match="categorical column 'region' has 300 missing values"):
        predictor.predict_score(rows.assign(region=None))
    with pytest.raises(InputError, match="refused the rows: .*'old'"):
        predictor.predict_score(rows.assign(age="old"))
    with pytest.raises(InputError, match="is not fitted"):
        as_predictor(catboost.CatBoostClassifier())
    for content in (b"", b"CBM1" + bytes(60), b"other"):
        (tmp_path / "model.cbm").write_bytes(content)
        with pytest.raises(InputError, match="no model of CatBoost|can not be loaded by CatBoost"):
            load_model(tmp_path / "model.cbm")
