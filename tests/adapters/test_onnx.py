"""An ONNX file: what is hashed is what runs, and every column arrives as the input declares it."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import onnx_models as models
from pytest_prodml.adapters import as_predictor, load_model
from pytest_prodml.adapters.arrays import convert
from pytest_prodml.adapters.onnx import CPU, load_onnx
from pytest_prodml.errors import ConfigurationError, InputError, MissingDependencyError

NAMES = ["a", "b", "c"]


def rows(n_rows: int = 8) -> pd.DataFrame:
    return pd.DataFrame(models.features(n_rows, seed=1), columns=NAMES)


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    path: Path = models.save(models.linear(), tmp_path / "linear.onnx")
    return path


def expected_scores(table: pd.DataFrame) -> Any:
    return 1 / (1 + np.exp(-(table[NAMES].to_numpy() @ models.WEIGHTS)[:, 0].astype(np.float64)))


def test_the_session_is_made_from_the_bytes_that_were_hashed(
    linear: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = linear.read_bytes()
    reads = []
    read_bytes = Path.read_bytes

    def replaced_after_reading(self: Path) -> bytes:
        data = read_bytes(self)
        reads.append(self)
        # Whoever swaps the file between hashing and loading must not succeed.
        self.write_bytes(models.linear(weights=-models.WEIGHTS).SerializeToString())
        return data

    monkeypatch.setattr(Path, "read_bytes", replaced_after_reading)
    predictor = load_onnx(linear)
    assert reads == [linear]
    assert predictor.subject is not None
    assert predictor.subject.digest == {"sha256": hashlib.sha256(original).hexdigest()}
    np.testing.assert_allclose(predictor.predict_score(rows()), expected_scores(rows()), rtol=1e-5)


def test_one_thread_by_default_and_the_runtime_says_what_executed(linear: Path) -> None:
    runtime = load_onnx(linear).runtime()
    assert runtime["intra_op_threads"] == runtime["inter_op_threads"] == 1
    assert runtime["providers"] == [CPU]
    assert runtime["executed_nodes"] == {CPU: 2}
    assert runtime["onnxruntime"] == onnxruntime.__version__
    assert load_onnx(linear, intra_op_threads=2).runtime()["intra_op_threads"] == 2


@pytest.mark.parametrize("providers", [["CUDAExecutionProvider", CPU], ["NoSuchProvider"], []])
def test_an_absent_provider_is_an_error_and_no_fallback(linear: Path, providers: list[str]) -> None:
    with pytest.raises(InputError, match="is not available here|names no provider"):
        load_onnx(linear, providers=providers)


def test_a_provider_that_can_not_start_is_an_error(linear: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a GPU package does on a machine whose driver does not fit: listed as available, then only a warning.
    listed = [*onnxruntime.get_available_providers(), "CUDAExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    with pytest.raises(InputError, match="CUDAExecutionProvider"):
        load_onnx(linear, providers=["CUDAExecutionProvider", CPU])


def test_a_session_that_dropped_a_provider_without_a_word_is_refused(
    linear: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [*onnxruntime.get_available_providers(), "CUDAExecutionProvider"]
    session = onnxruntime.InferenceSession

    def silent(data: bytes, options: Any, providers: list[str]) -> Any:
        del providers
        return session(data, options, providers=[CPU])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    monkeypatch.setattr(onnxruntime, "InferenceSession", silent)
    with pytest.raises(InputError, match="asked for CUDAExecutionProvider and got CPUExecutionProvider"):
        load_onnx(linear, providers=["CUDAExecutionProvider"])


def test_weights_in_another_file_are_refused_even_beside_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models.by_hand(
        [helper.make_node("MatMul", ["X", "W"], ["score"])],
        [("X", TensorProto.FLOAT, [None, 3])],
        [("score", TensorProto.FLOAT, [None, 4])],
        {"W": np.ones((3, 4), dtype=np.float32)},
    )
    path = models.save_with_weights_outside(model, tmp_path / "outside.onnx")
    # onnxruntime would find them here: it looks in the working directory when it is given bytes.
    monkeypatch.chdir(tmp_path)
    assert onnxruntime.InferenceSession(path.read_bytes(), providers=[CPU]).get_inputs()
    with pytest.raises(InputError, match="(?s)keeps weights in other files.*save the model as one file"):
        load_onnx(path)
    with pytest.raises(InputError, match="keeps weights in other files"):
        load_onnx(models.save_with_weights_outside(models.linear(), tmp_path / "other.onnx", "other.bin"))


@pytest.mark.parametrize("content", [b"", b"no model", b"\x80\x04cos\nsystem\n"])
def test_a_broken_file_is_an_error_of_the_input(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.onnx").write_bytes(content)
    with pytest.raises(InputError, match="can not be run by onnxruntime"):
        load_onnx(tmp_path / "broken.onnx")


def test_onnxruntime_missing_names_the_extra(linear: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"pytest-prodml\[cpu\]"):
        load_onnx(linear)


@pytest.mark.parametrize("zipmap", [False, True, "columns"])
@pytest.mark.parametrize("labels", [(0, 1), (0, 1, 2), ("bad", "good"), (-1, 1)])
def test_every_form_of_skl2onnx_output_gives_the_scores_of_scikit_learn(
    tmp_path: Path, zipmap: bool | str, labels: tuple[object, ...]
) -> None:
    model = models.classifier(labels)
    path = models.save(models.exported(model, zipmap=zipmap), tmp_path / "model.onnx")
    predictor = load_model(path)
    table = rows()
    proba = model.predict_proba(table[NAMES].to_numpy())
    expected = proba[:, 1] if len(labels) == 2 else proba
    scores = predictor.predict_score(table)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert predictor.predict(table).tolist() == model.predict(table[NAMES].to_numpy()).tolist()


def test_a_single_score_output_decides_at_one_half(linear: Path) -> None:
    predictor = load_onnx(linear)
    assert predictor.label_output is None
    assert predictor.predict(rows()).tolist() == (expected_scores(rows()) >= 0.5).astype(int).tolist()


def test_prepare_returns_a_call_that_converts_nothing(linear: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = load_onnx(linear)
    call = predictor.prepare(rows(1))
    monkeypatch.setattr("pytest_prodml.adapters.onnx.convert", None)
    found: Any = call()
    np.testing.assert_allclose(found[0][:, 0], expected_scores(rows(1)), rtol=1e-5)


def test_a_fixed_batch_is_called_again_and_again(tmp_path: Path) -> None:
    predictor = load_onnx(models.save(models.linear(batch=4), tmp_path / "fixed.onnx"))
    np.testing.assert_allclose(predictor.predict_score(rows(8)), expected_scores(rows(8)), rtol=1e-5)
    np.testing.assert_allclose(predictor.predict_score(rows(4)), expected_scores(rows(4)), rtol=1e-5)
    with pytest.raises(InputError, match="exactly 4 rows a call, and 7"):
        predictor.predict_score(rows(7))


def test_columns_of_a_matrix_are_taken_by_name_and_in_order(linear: Path) -> None:
    table = rows().assign(key=1, other="x")[["other", "c", "a", "key", "b"]]
    predictor = load_model(linear, columns=NAMES)
    np.testing.assert_allclose(predictor.predict_score(table), expected_scores(table), rtol=1e-5)
    with pytest.raises(InputError, match="(?s)takes 3 columns and the table has 5.*columns="):
        load_model(linear).predict_score(table)
    with pytest.raises(InputError, match="no column 'b'"):
        predictor.predict_score(table.drop(columns="b"))


def test_columns_go_to_inputs_by_name_in_the_declared_type(tmp_path: Path) -> None:
    model = models.with_columns(
        f32=TensorProto.FLOAT, f64=TensorProto.DOUBLE, i64=TensorProto.INT64, text=TensorProto.STRING
    )
    predictor = load_onnx(models.save(model, tmp_path / "columns.onnx"))
    table = pd.DataFrame(
        {
            "text": ["x", "y"],
            "i64": [2**53 - 1, 5],
            "f64": [0.1, np.nan],
            "f32": [0.1, 1.0],
            "unused": ["never", "sent"],
        }
    )
    scores = predictor.predict_score(table)
    assert scores[0] == (2**53 - 1) + (0.1 + float(np.float32(0.1)))
    assert np.isnan(scores[1])
    with pytest.raises(InputError, match="(?s)no column 'i64'.*columns: text"):
        predictor.predict_score(table.drop(columns="i64"))


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        (pd.Series(["1", "2"]), np.float32, "takes numbers"),
        (pd.Series([1, 2]), np.object_, "takes text"),
        (pd.Series(["a", None]), np.object_, "1 missing value"),
        (pd.Series([1, "a"], dtype=object), np.object_, "takes text"),
        (pd.Series(["a", "b"], dtype="category"), np.float32, "takes numbers"),
        (pd.Series([1.5, 2.0]), np.int64, "does not fit int64 in 1 of 2 rows"),
        (pd.Series([1.0, np.nan]), np.int64, "int64 has no missing value in 1 of 2 rows"),
        (pd.Series([1.0, np.inf]), np.int64, "does not fit int64"),
        (pd.Series([300, 1]), np.int8, "does not fit int8 in 1 of 2"),
        (pd.Series([-1, 1]), np.uint8, "does not fit uint8"),
        (pd.Series([1e300, 1.0]), np.float32, "out of the range of float32 in 1 of 2"),
        (pd.Series(pd.to_datetime(["2026-01-01"])), np.float64, "takes numbers"),
        (pd.Series([1 + 2j]), np.float64, "takes numbers"),
        (pd.Series([2, 0]), np.bool_, "does not fit bool"),
    ],
)
def test_what_a_type_can_not_hold_is_refused(values: pd.Series, dtype: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        convert(values.rename("age"), dtype, where="input")


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (pd.Series([1, None], dtype="Int64"), np.float32, [1.0, np.nan]),
        (pd.Series([True, False]), np.int64, [1, 0]),
        (pd.Series([True, None], dtype="boolean"), np.float64, [1.0, np.nan]),
        (pd.Series([1.0, 0.0]), np.bool_, [True, False]),
        (pd.Series(["a", "b"], dtype="category"), np.object_, ["a", "b"]),
        (pd.Series(["a", "b"], dtype="string"), np.object_, ["a", "b"]),
        (pd.Series([np.inf, -np.inf]), np.float32, [np.inf, -np.inf]),
        (pd.Series([3.0, 4.0]), np.int32, [3, 4]),
        (pd.Series([2, 3], dtype="Int8"), np.int64, [2, 3]),
    ],
)
def test_what_a_type_can_hold_arrives(values: pd.Series, dtype: Any, expected: list[object]) -> None:
    found = convert(values, dtype, where="input")
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, np.array(expected, dtype=dtype))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
@settings(max_examples=50, deadline=None)
def test_integers_arrive_exactly_or_not_at_all(values: list[int]) -> None:
    column = pd.Series(values, name="n", dtype="int64")
    assert convert(column, np.int64, where="input").tolist() == values
    try:
        narrow = convert(column, np.int16, where="input").tolist()
    except InputError:
        assert any(not -(2**15) <= value < 2**15 for value in values)
    else:
        assert narrow == values


def test_outputs_that_could_both_be_scores_are_refused(tmp_path: Path) -> None:
    model = models.by_hand(
        [helper.make_node("Sigmoid", ["X"], ["one"]), helper.make_node("Tanh", ["X"], ["two"])],
        [("X", TensorProto.FLOAT, [None, 3])],
        [("one", TensorProto.FLOAT, [None, 3]), ("two", TensorProto.FLOAT, [None, 3])],
    )
    with pytest.raises(InputError, match="(?s)which of the outputs.*one .tensor.float.., two"):
        load_onnx(models.save(model, tmp_path / "two.onnx"))


def test_an_input_that_no_column_can_be_is_refused(tmp_path: Path) -> None:
    model = models.by_hand(
        [helper.make_node("ReduceMean", ["image"], ["score"], keepdims=0)],
        [("image", TensorProto.FLOAT, [None, 3, 8, 8])],
        [("score", TensorProto.FLOAT, [])],
    )
    with pytest.raises(InputError, match="'image' is tensor.float. with 4 dimensions"):
        load_onnx(models.save(model, tmp_path / "image.onnx"))


def test_several_inputs_of_which_one_is_wide_can_not_be_fed_by_column(tmp_path: Path) -> None:
    model = models.by_hand(
        [helper.make_node("Add", ["a", "b"], ["score"])],
        [("a", TensorProto.FLOAT, [None, 3]), ("b", TensorProto.FLOAT, [None, 3])],
        [("score", TensorProto.FLOAT, [None, 3])],
    )
    path = models.save(model, tmp_path / "wide.onnx")
    with pytest.raises(InputError, match="takes 3 numbers a row, not one column"):
        load_onnx(path).predict_score(rows())
    with pytest.raises(InputError, match="no single matrix input"):
        load_onnx(path, columns=NAMES)


def test_a_session_made_by_others_is_adapted_but_bound_to_no_file(linear: Path) -> None:
    predictor = as_predictor(onnxruntime.InferenceSession(linear.read_bytes(), providers=[CPU]))
    assert predictor.subject is None
    np.testing.assert_allclose(predictor.predict_score(rows()), expected_scores(rows()), rtol=1e-5)
    assert "executed_nodes" not in predictor.runtime()


@pytest.mark.parametrize("load", [load_model, lambda path: load_model(path, adapter="onnx")])
def test_loading_is_quiet(
    linear: Path, load: Callable[[Path], Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(linear)
    assert capfd.readouterr() == ("", "")


def test_an_unknown_adapter_is_a_usage_error_with_the_nearest_name(linear: Path) -> None:
    with pytest.raises(ConfigurationError, match="(?s)no model adapter 'onx'.*did you mean 'onnx'"):
        load_model(linear, adapter="onx")
    with pytest.raises(ConfigurationError, match="known adapters: onnx, sklearn"):
        load_model(linear, adapter="zzz")
