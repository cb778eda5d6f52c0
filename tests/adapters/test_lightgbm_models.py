"""Models of LightGBM: its own estimators, asked through their text, say the same."""

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

lightgbm = pytest.importorskip("lightgbm")

KINDS = ["binary", "multiclass", "regression"]


def fitted(kind: str, rows: pd.DataFrame, **options: Any) -> Any:
    estimator = lightgbm.LGBMRegressor if kind == "regression" else lightgbm.LGBMClassifier
    return estimator(n_estimators=12, n_jobs=1, verbose=-1, **options).fit(rows, targets(rows)[kind])


def expected(model: Any, rows: pd.DataFrame) -> Any:
    if not hasattr(model, "predict_proba"):
        return model.predict(rows)
    found = model.predict_proba(rows)
    return found[:, 1] if found.shape[1] == 2 else found


@pytest.mark.parametrize("ending", ["txt", "lgb"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_answers_as_the_estimator_that_wrote_it(tmp_path: Path, kind: str, ending: str) -> None:
    rows, path = boosted_rows(), tmp_path / f"model.{ending}"
    model = fitted(kind, rows)
    model.booster_.save_model(path)
    predictor: Any = load_model(path)
    fresh = boosted_rows(100, seed=1)
    np.testing.assert_allclose(
        predictor.predict_score(as_texts(fresh)), expected(model, fresh), rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(predictor.predict(as_texts(fresh)), model.predict(fresh), atol=1e-12)
    assert predictor.classes == {"binary": [0, 1], "multiclass": [0, 1, 2], "regression": None}[kind]
    assert predictor.subject.digest == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert predictor.runtime()["threads"] == 1
    check_adapter(lambda: load_model(path), rows.head(40), path=path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_booster_in_memory_is_a_model(kind: str) -> None:
    rows = boosted_rows()
    model = fitted(kind, rows)
    predictor = as_predictor(model.booster_)
    np.testing.assert_allclose(predictor.predict_score(rows), expected(model, rows), rtol=0, atol=1e-12)
    assert predictor.subject is None


def test_a_category_is_told_by_its_value_and_an_unknown_one_counts_as_missing() -> None:
    rows = boosted_rows()
    model = fitted("binary", rows)
    predictor = as_predictor(model.booster_)
    turned = rows.assign(region=rows["region"].cat.reorder_categories(["west", "south", "north"]))
    np.testing.assert_array_equal(predictor.predict_score(turned), predictor.predict_score(rows))
    unknown = rows.assign(region=pd.Categorical(["east"] * len(rows)))
    missing = rows.assign(region=pd.Categorical([None] * len(rows), categories=rows["region"].cat.categories))
    np.testing.assert_array_equal(predictor.predict_score(unknown), expected(model, missing))


def test_a_model_trained_without_names_takes_the_same_number_of_columns_only() -> None:
    rows = boosted_rows()[["amount", "visits", "age"]]
    table = lightgbm.Dataset(rows.to_numpy(), targets(boosted_rows())["regression"])
    booster = lightgbm.train({"objective": "regression", "verbose": -1, "num_threads": 1}, table, 6)
    predictor = as_predictor(booster)
    np.testing.assert_array_equal(predictor.predict_score(rows), booster.predict(rows.to_numpy()))
    check_adapter(lambda: as_predictor(booster), rows.head(20), by_name=False)
    with pytest.raises(InputError, match="3 columns without names and the table has 4"):
        predictor.predict_score(rows.assign(key=1))


def test_blanks_in_names_are_what_lightgbm_makes_of_them() -> None:
    rows = boosted_rows()[["amount", "age"]].rename(columns={"amount": "net amount"})
    model = fitted("binary", boosted_rows())
    model = lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(
        rows, targets(boosted_rows())["binary"]
    )
    np.testing.assert_array_equal(
        as_predictor(model.booster_).predict_score(rows[["age", "net amount"]]), expected(model, rows)
    )


def test_text_where_the_model_has_numbers_is_refused_by_name() -> None:
    rows = boosted_rows()
    predictor = as_predictor(fitted("binary", rows).booster_)
    with pytest.raises(InputError, match="'age' is .*, and the model takes numbers"):
        predictor.predict_score(rows.assign(age="old"))


def test_an_objective_of_one_s_own_has_no_probability() -> None:
    rows = boosted_rows()[["amount", "age"]]
    labels = targets(boosted_rows())["binary"]

    def squares(scores: Any, table: Any) -> Any:
        return scores - table.get_label(), np.ones_like(scores)

    options = {"objective": squares, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(rows, labels), 4)
    with pytest.raises(InputError, match="objective of your own"):
        as_predictor(booster)


def test_which_columns_are_categorical_has_to_be_told() -> None:
    rows = boosted_rows()
    table = lightgbm.Dataset(rows, targets(rows)["binary"], categorical_feature=["region", "visits"])
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, table, 4)
    with pytest.raises(InputError, match="categories of 1 columns and declares 2"):
        as_predictor(booster)


@pytest.mark.parametrize("content", [b"", b"notes\n", b"tree\nversion=v4\n", b"\x80\x04N."])
def test_other_files_are_told_by_their_content(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.txt").write_bytes(content)
    with pytest.raises(InputError, match="no model of LightGBM|can not be loaded by LightGBM"):
        load_model(tmp_path / "model.txt")
