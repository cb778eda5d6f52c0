"""Models in memory: estimators, functions, and what is refused instead of being unpickled."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import onnx_models as models
from pytest_prodml.adapters import Predictor, as_predictor, bind, load_model
from pytest_prodml.adapters.predictor import as_labels, as_scores, binary_scores, decide, finite_scores
from pytest_prodml.errors import InputError

NAMES = ["a", "b", "c"]


def table(n_rows: int = 40) -> pd.DataFrame:
    return pd.DataFrame(models.features(n_rows), columns=NAMES)


def labels(rows: pd.DataFrame) -> Any:
    return (rows["a"] > 0).to_numpy().astype(int)


def fitted(estimator: Any, target: Any = None) -> Any:
    rows = table()
    return estimator.fit(rows, labels(rows) if target is None else target)


class Exploit:
    """Unpickling this would write a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploited"),))


@pytest.mark.parametrize("ending", [".pkl", ".pickle", ".joblib", ".PKL"])
@pytest.mark.parametrize("adapter", [None, "sklearn"])
def test_a_pickle_is_never_opened_and_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, adapter: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"model{ending}"
    path.write_bytes(pickle.dumps(Exploit()))
    with pytest.raises(InputError, match="(?s)unpickling runs whatever code the file holds.*bind"):
        load_model(path, adapter=adapter)
    assert not (tmp_path / "exploited").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.onnx", "does not exist"),
        ("model.h5", "no adapter loads files that end in .h5"),
        ("model", "nothing"),
    ],
)
def test_a_file_that_is_missing_or_unknown_is_refused(tmp_path: Path, name: str, message: str) -> None:
    if name != "gone.onnx":
        (tmp_path / name).write_bytes(b"?")
    with pytest.raises(InputError, match=message):
        load_model(tmp_path / name)
    (tmp_path / "directory.onnx").mkdir()
    with pytest.raises(InputError, match="not a regular file"):
        load_model(tmp_path / "directory.onnx")


def test_columns_are_picked_by_the_names_the_model_was_fitted_with() -> None:
    model = fitted(make_pipeline(StandardScaler(), LogisticRegression()))
    predictor = as_predictor(model)
    rows = table().assign(key=range(40))[["key", "c", "b", "a"]]
    np.testing.assert_array_equal(predictor.predict_score(rows), model.predict_proba(table())[:, 1])
    np.testing.assert_array_equal(predictor.predict(rows), model.predict(table()))
    assert predictor.description == "LogisticRegression"
    assert predictor.subject is None
    assert predictor.runtime()["library"] == "sklearn"
    with pytest.raises(InputError, match="(?s)no column 'b'.*columns: key, c, a"):
        predictor.predict_score(rows.drop(columns="b"))


def test_a_model_fitted_without_names_takes_the_same_number_of_columns_only() -> None:
    model = LogisticRegression().fit(table().to_numpy(), labels(table()))
    predictor = as_predictor(model)
    np.testing.assert_array_equal(
        predictor.predict_score(table()), model.predict_proba(table().to_numpy())[:, 1]
    )
    with pytest.raises(InputError, match="3 columns without names and the table has 4"):
        predictor.predict_score(table().assign(key=0))


def test_prepare_selects_once_and_only_runs_the_model() -> None:
    model = fitted(LogisticRegression())
    rows = table().assign(key=0)
    call = as_predictor(model).prepare(rows)
    rows.loc[:, NAMES] = np.nan
    np.testing.assert_array_equal(np.asarray(call()), model.predict_proba(table()))


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [(LinearSVC(), "decision_function"), (LinearRegression(), "predict")],
)
def test_without_probabilities_the_next_best_score_is_taken(estimator: Any, expected: str) -> None:
    model = fitted(estimator)
    np.testing.assert_array_equal(
        as_predictor(model).predict_score(table()), getattr(model, expected)(table()).astype(float)
    )


def test_the_positive_label_chooses_the_column_of_a_binary_classifier() -> None:
    names = np.array(["bad", "good"])[labels(table())]
    model = fitted(LogisticRegression(), names)
    second = as_predictor(model).predict_score(table())
    np.testing.assert_allclose(as_predictor(model, positive_label="bad").predict_score(table()), 1 - second)
    np.testing.assert_array_equal(as_predictor(model, positive_label="good").predict_score(table()), second)
    with pytest.raises(InputError, match="(?s)does not know the class 'ok'.*'bad', 'good'"):
        as_predictor(model, positive_label="ok").predict_score(table())


class OnlyProbabilities:
    def predict_proba(self, rows: pd.DataFrame) -> Any:
        risk = 1 / (1 + np.exp(-rows["a"].to_numpy(dtype=float)))
        return np.column_stack([1 - risk, risk])


def test_a_team_s_own_class_needs_one_method() -> None:
    predictor = as_predictor(OnlyProbabilities())
    assert predictor.predict(table()).tolist() == labels(table()).tolist()
    assert predictor.description == "OnlyProbabilities"


def test_a_classifier_that_saw_one_class_only_has_one_column() -> None:
    model = fitted(DummyClassifier(), np.ones(40, dtype=int))
    assert as_predictor(model).predict_score(table()).shape == (40,)


def test_a_function_is_a_model() -> None:
    def risk(rows: pd.DataFrame) -> Any:
        return rows["a"].clip(0, 1)

    predictor = as_predictor(risk)
    assert isinstance(predictor, Predictor)
    assert predictor.description == "risk"
    np.testing.assert_array_equal(predictor.predict_score(table()), table()["a"].clip(0, 1).astype(float))
    assert set(predictor.predict(table())) == {0, 1}
    assert predictor.runtime()["adapter"] == "callable"
    assert predictor.prepare(table())() is not None
    assert as_predictor(predictor) is predictor


@pytest.mark.parametrize(
    "answer",
    [None, "high", [0.1], [[0.1, 0.2, 0.7]], np.zeros((40, 2, 2)), np.zeros((40, 0)), ["a"] * 40],
)
def test_what_is_not_one_score_a_row_is_refused(answer: Any) -> None:
    with pytest.raises(InputError, match="return one score for each row"):
        as_predictor(lambda _rows: answer).predict_score(table())


@pytest.mark.parametrize("model", [LogisticRegression, 3, None, object()])
def test_what_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(InputError, match="is no|expected a model|no adapter knows"):
        as_predictor(model)


def test_scores_keep_what_a_check_has_to_see() -> None:
    scores = as_scores([[0.9, np.nan], [0.1, np.inf]], 2, where="model")
    assert np.isnan(scores[0])
    assert np.isinf(scores[1])
    assert as_labels(np.array([[0.2, 0.5, 0.3]])).tolist() == [1]
    assert as_scores(np.zeros((2, 3)), 2, where="model").shape == (2, 3)


def test_checks_can_ask_for_finite_binary_scores_and_decisions() -> None:
    rows = table()
    fine = as_predictor(lambda given: given["a"].clip(0, 1))
    assert decide(fine, rows, 0.3).tolist() == (rows["a"] >= 0.3).tolist()
    assert decide(fine, rows, None).tolist() == (rows["a"] >= 0.5).astype(int).tolist()
    broken = as_predictor(lambda given: given["a"].where(given["a"] > -1))
    for threshold in (0.3, None):
        with pytest.raises(InputError, match="of 40 rows are not finite"):
            decide(broken, rows, threshold)
    three = as_predictor(lambda given: given[NAMES])
    assert finite_scores(three, rows).shape == (40, 3)
    with pytest.raises(InputError, match="has 3 classes"):
        binary_scores(three, rows)


def test_bind_ties_an_object_to_the_digest_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"whatever it was saved as")
    predictor = bind(fitted(LogisticRegression()), path)
    assert predictor.subject is not None
    assert predictor.subject.name == "model.pkl"
    assert predictor.subject.digest == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert predictor.runtime()["binding"] == "declared"
    assert predictor.predict_score(table()).shape == predictor.predict(table()).shape == (40,)
    assert predictor.prepare(table())() is not None
    assert isinstance(predictor, Predictor)
    again = bind(predictor, path)
    assert again.subject == predictor.subject
    with pytest.raises(InputError, match="not a regular file"):
        bind(predictor, tmp_path / "gone")


def test_bind_refuses_a_model_that_came_from_other_bytes(tmp_path: Path) -> None:
    path = models.save(models.linear(), tmp_path / "model.onnx")
    other = models.save(models.linear(weights=-models.WEIGHTS), tmp_path / "other.onnx")
    assert bind(load_model(path), path).subject is not None
    with pytest.raises(InputError, match="loaded from model.onnx, whose bytes differ"):
        bind(load_model(path), other)


def test_questions_about_types_import_nothing() -> None:
    code = (
        "import sys\n"
        "from pytest_prodml.adapters import as_predictor\n"
        "as_predictor(lambda rows: rows)\n"
        "heavy = {'sklearn', 'onnxruntime', 'torch', 'scipy', 'pandas', 'polars', 'pyarrow', 'pandera'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
