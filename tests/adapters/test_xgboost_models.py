"""Models of XGBoost: its own estimators, asked through its files, say the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from boosted_rows import as_texts, boosted_rows, targets
from pytest_prodml.adapters import as_predictor, load_model
from pytest_prodml.errors import ConfigurationError, InputError
from pytest_prodml.testing import check_adapter

xgboost = pytest.importorskip("xgboost")

KINDS = ["binary", "multiclass", "regression"]


def fitted(kind: str, rows: pd.DataFrame, **options: Any) -> Any:
    estimator = xgboost.XGBRegressor if kind == "regression" else xgboost.XGBClassifier
    return estimator(n_estimators=12, n_jobs=1, enable_categorical=True, **options).fit(
        rows, targets(rows)[kind]
    )


def expected(model: Any, rows: pd.DataFrame) -> Any:
    if not hasattr(model, "predict_proba"):
        return model.predict(rows)
    found = model.predict_proba(rows)
    return found[:, 1] if found.shape[1] == 2 else found


@pytest.mark.parametrize("ending", ["json", "ubj"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_answers_as_the_estimator_that_wrote_it(tmp_path: Path, kind: str, ending: str) -> None:
    rows, path = boosted_rows(), tmp_path / f"model.{ending}"
    model = fitted(kind, rows)
    model.save_model(path)
    predictor: Any = load_model(path)
    fresh = boosted_rows(100, seed=1)
    np.testing.assert_allclose(
        predictor.predict_score(as_texts(fresh)), expected(model, fresh), rtol=0, atol=2e-7
    )
    np.testing.assert_allclose(predictor.predict(as_texts(fresh)), model.predict(fresh), atol=1e-6)
    assert predictor.classes == {"binary": [0, 1], "multiclass": [0, 1, 2], "regression": None}[kind]
    assert predictor.subject.digest == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert predictor.runtime()["device"] == "cpu"
    assert predictor.runtime()["threads"] == 1
    check_adapter(lambda: load_model(path), rows.head(40), path=path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_booster_in_memory_is_a_model(kind: str) -> None:
    rows = boosted_rows()
    model = fitted(kind, rows)
    predictor = as_predictor(model.get_booster())
    np.testing.assert_allclose(predictor.predict_score(rows), expected(model, rows), rtol=0, atol=2e-7)
    assert predictor.subject is None


def test_categories_keep_their_meaning_in_another_order() -> None:
    rows = boosted_rows()
    model = fitted("binary", rows)
    predictor = as_predictor(model.get_booster())
    turned = rows.assign(region=rows["region"].cat.reorder_categories(["west", "south", "north"]))
    np.testing.assert_array_equal(predictor.predict_score(turned), predictor.predict_score(rows))
    one = rows[rows["region"] == "west"].head(1)
    alone = one.assign(region=one["region"].cat.remove_unused_categories())
    np.testing.assert_array_equal(predictor.predict_score(alone), predictor.predict_score(rows)[one.index])
    unknown = rows.assign(region=["east", *rows["region"].astype(object)[1:]])
    with pytest.raises(InputError, match="(?s)'region' holds 'east'.*'north', 'south', 'west'"):
        predictor.predict_score(unknown)


def test_categories_that_a_model_does_not_keep_have_to_be_said() -> None:
    rows = boosted_rows()
    coded = rows.assign(region=rows["region"].cat.codes)
    table = xgboost.DMatrix(
        coded.to_numpy(dtype=float),
        targets(rows)["binary"],
        feature_names=list(rows.columns),
        feature_types=["float", "int", "c", "i", "float"],
        enable_categorical=True,
    )
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, table, 8)
    with pytest.raises(InputError, match="(?s)'region' has no categories in the model.*categories="):
        as_predictor(booster)
    said = as_predictor(booster, categories={"region": ["north", "south", "west"]})
    np.testing.assert_allclose(said.predict_score(as_texts(rows)), booster.predict(table), rtol=0, atol=1e-7)


@pytest.mark.parametrize("objective", ["multi:softmax", "multi:softprob"])
def test_labels_and_probabilities_of_the_same_trees_agree(objective: str) -> None:
    rows = boosted_rows().drop(columns="region")
    table = xgboost.DMatrix(rows, targets(boosted_rows())["multiclass"])
    booster = xgboost.train({"objective": objective, "num_class": 3, "nthread": 1}, table, 8)
    soft = xgboost.train({"objective": "multi:softprob", "num_class": 3, "nthread": 1}, table, 8)
    predictor = as_predictor(booster)
    np.testing.assert_allclose(predictor.predict_score(rows), soft.predict(table), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(predictor.predict(rows), soft.predict(table).argmax(axis=1))


def test_margins_become_probabilities() -> None:
    rows = boosted_rows().drop(columns="region")
    table = xgboost.DMatrix(rows, targets(boosted_rows())["binary"])
    raw = xgboost.train({"objective": "binary:logitraw", "nthread": 1}, table, 8)
    margins = raw.predict(table)
    predictor = as_predictor(raw)
    np.testing.assert_allclose(predictor.predict_score(rows), 1 / (1 + np.exp(-margins)), atol=1e-6)
    np.testing.assert_array_equal(predictor.predict(rows), margins > 0)


def test_a_linear_booster_is_asked_with_a_matrix() -> None:
    rows = boosted_rows()[["visits", "age"]]
    table = xgboost.DMatrix(rows, targets(boosted_rows())["regression"])
    booster = xgboost.train({"booster": "gblinear", "nthread": 1, "verbosity": 0}, table, 8)
    np.testing.assert_allclose(as_predictor(booster).predict_score(rows), booster.predict(table), atol=1e-6)


def test_trees_after_the_best_iteration_are_left_out_as_the_estimator_does(tmp_path: Path) -> None:
    rows, other = boosted_rows(), boosted_rows(200, seed=5)
    noise = np.random.default_rng(3).integers(0, 2, len(other))
    model = xgboost.XGBClassifier(n_estimators=40, n_jobs=1, enable_categorical=True, early_stopping_rounds=5)
    model.fit(rows, targets(rows)["binary"], eval_set=[(other, noise)], verbose=False)
    model.save_model(tmp_path / "model.ubj")
    predictor = load_model(tmp_path / "model.ubj")
    np.testing.assert_array_equal(predictor.predict_score(rows), expected(model, rows).astype(float))
    assert predictor.runtime()["iterations"] == [0, model.best_iteration + 1]


def test_a_prepared_call_asks_the_trees_each_time() -> None:
    rows = boosted_rows()
    predictor = as_predictor(fitted("binary", rows).get_booster())
    call = predictor.prepare(rows)
    np.testing.assert_array_equal(np.asarray(call()), predictor.predict_score(rows))
    booster: Any = predictor.booster  # type: ignore[attr-defined]
    before = np.asarray(call())
    booster.set_attr(best_iteration="0")
    np.testing.assert_array_equal(np.asarray(call()), before)


def test_the_positive_label_is_one_of_the_classes() -> None:
    rows = boosted_rows()
    booster = fitted("binary", rows).get_booster()
    np.testing.assert_allclose(
        as_predictor(booster, positive_label=0).predict_score(rows),
        1 - as_predictor(booster).predict_score(rows),
    )
    with pytest.raises(InputError, match="(?s)does not know the class 'good'.*0, 1"):
        as_predictor(booster, positive_label="good")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.json", b'{"accuracy": 0.9}', "is no model of XGBoost"),
        ("model.json", b'{"learner": {}, "version": [3, 0, 0]}', "can not be loaded by XGBoost"),
        ("model.json", b"[1, 2", "is no model of XGBoost|could not read"),
        ("model.ubj", b"cos\nsystem\n(S'true'\ntR.", "a scan found"),
        ("model.ubj", b"", "is no model of XGBoost|could not read"),
    ],
)
def test_other_files_are_told_by_their_content(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_model(tmp_path / name)


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    model = fitted("binary", boosted_rows())
    model.save_model(tmp_path / "model.ubj")
    whole = (tmp_path / "model.ubj").read_bytes()
    (tmp_path / "model.ubj").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="could not read|no model|can not be loaded"):
        load_model(tmp_path / "model.ubj")
    json.loads(json.dumps(dict(as_predictor(model.get_booster()).runtime())))


def test_an_option_that_the_adapter_lacks_is_a_mistake(tmp_path: Path) -> None:
    fitted("binary", boosted_rows()).save_model(tmp_path / "model.ubj")
    with pytest.raises(ConfigurationError, match="(?s)no option 'positive_labels'.*'positive_label'"):
        load_model(tmp_path / "model.ubj", positive_labels=1)
