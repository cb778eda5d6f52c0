"""Rows as requests, answers as scores: what the protocols say, and nothing made up where an answer says less."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prodml.adapters.predictor import AnswerError
from pytest_prodml.adapters.serving.hostile import hostile_requests
from pytest_prodml.adapters.serving.protocols import (
    InferenceProtocol,
    MLflow,
    OpenInference,
    PlainJson,
    encoded,
    http_request,
)
from pytest_prodml.errors import InputError

FRAME = pd.DataFrame(
    {
        "amount": [1.5, np.nan],
        "count": np.array([1, 2], dtype=np.int32),
        "kind": ["a", None],
        "flag": [True, False],
    }
)


def test_open_inference_sends_a_tensor_for_each_column() -> None:
    body: Any = OpenInference(model="credit").body(FRAME)
    assert body == {
        "inputs": [
            {"name": "amount", "shape": [2, 1], "datatype": "FP64", "data": [1.5, None]},
            {"name": "count", "shape": [2, 1], "datatype": "INT32", "data": [1, 2]},
            {"name": "kind", "shape": [2, 1], "datatype": "BYTES", "data": ["a", None]},
            {"name": "flag", "shape": [2, 1], "datatype": "BOOL", "data": [True, False]},
        ]
    }


def test_open_inference_sends_one_matrix_where_the_model_takes_one() -> None:
    protocol = OpenInference(model="a/b c", version="2", inputs="input-0")
    body: Any = protocol.body(FRAME[["amount", "count"]].fillna(0))
    assert body == {
        "inputs": [{"name": "input-0", "shape": [2, 2], "datatype": "FP64", "data": [1.5, 1.0, 0.0, 2.0]}]
    }
    assert protocol.path == "/v2/models/a%2Fb%20c/versions/2/infer"
    assert protocol.ready == "/v2/models/a%2Fb%20c/versions/2/ready"


@pytest.mark.parametrize("data", [[0.1, 0.9, 0.2, 0.8], [[0.1, 0.9], [0.2, 0.8]]])
def test_open_inference_reads_flat_and_nested_tensors(data: list[Any]) -> None:
    outputs = [{"name": "label", "shape": [2], "datatype": "INT64", "data": [1, 1]}]
    outputs.append({"name": "probabilities", "shape": [2, 2], "datatype": "FP32", "data": data})
    assert OpenInference(model="m", output="probabilities").scores({"outputs": outputs}) == [
        [0.1, 0.9],
        [0.2, 0.8],
    ]
    assert OpenInference(model="m").scores({"outputs": outputs[1:]}) == [[0.1, 0.9], [0.2, 0.8]]
    with pytest.raises(AnswerError, match="which are the scores"):
        OpenInference(model="m").scores({"outputs": outputs})


def test_mlflow_sends_a_split_frame_and_reads_predictions() -> None:
    protocol = MLflow()
    assert protocol.body(FRAME) == {
        "dataframe_split": {
            "columns": ["amount", "count", "kind", "flag"],
            "data": [[1.5, 1, "a", True], [None, 2, None, False]],
        }
    }
    assert protocol.scores({"predictions": [0.1, 0.9]}) == [0.1, 0.9]
    assert MLflow(output="score").scores({"predictions": [{"score": 0.3}, {"score": 0.4}]}) == [0.3, 0.4]
    assert MLflow(output="score").scores({"predictions": {"score": [0.3]}}) == [0.3]


def test_plain_json_is_a_record_a_list_of_them_or_what_the_project_says() -> None:
    one = PlainJson(path="/score", one_row=True, output="risk")
    assert one.body(FRAME[["count", "kind"]].head(1)) == {"count": 1, "kind": "a"}
    assert one.scores({"risk": 0.25, "approved": True}) == [0.25]
    many = PlainJson(path="/score", output="risk")
    assert many.body(FRAME[["count"]]) == [{"count": 1}, {"count": 2}]
    assert many.scores([{"risk": 0.25}, {"risk": 0.5}]) == [0.25, 0.5]
    own = PlainJson(path="/score", encode=lambda rows: {"n": len(rows)}, decode=lambda told: told["all"])
    assert own.body(FRAME) == {"n": 2}
    assert own.scores({"all": [1, 2]}) == [1, 2]
    with pytest.raises(InputError, match="one request is one row, got 2"):
        one.body(FRAME)


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [
        (OpenInference(model="m"), {}),
        (OpenInference(model="m"), {"outputs": {}}),
        (OpenInference(model="m"), {"outputs": [{"name": "a", "shape": [3], "data": [1]}]}),
        (OpenInference(model="m", output="b"), {"outputs": [{"name": "a", "shape": [1], "data": [1]}]}),
        (MLflow(), []),
        (MLflow(output="score"), {"predictions": [0.5]}),
        (PlainJson(path="/", output="risk", one_row=True), {"score": 1}),
        (PlainJson(path="/", output="risk"), 7),
    ],
)
def test_an_answer_that_says_less_is_no_answer(protocol: InferenceProtocol, answer: Any) -> None:
    with pytest.raises(AnswerError):
        protocol.scores(answer)


def test_what_json_has_no_word_for_is_refused() -> None:
    with pytest.raises(InputError, match="infinite number"):
        MLflow().body(pd.DataFrame({"a": [np.inf]}))
    with pytest.raises(InputError, match="complex128"):
        OpenInference(model="m").body(pd.DataFrame({"a": [1j]}))
    with pytest.raises(InputError, match="can not be written as JSON"):
        encoded({"a": float("nan")})


def test_a_request_is_whole() -> None:
    data = http_request(PlainJson(path="/score", one_row=True), FRAME[["count"]].head(1), "here:1")
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /score HTTP/1.1\r\nHost: here:1\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body) == {"count": 1}


RECORD = {"a": 1.5, "b": 2, "c": "x", "d": True, "e": None, "f": [1, 2], "g": {"h": 1}}


def test_each_place_of_a_good_request_is_broken_once() -> None:
    found = {
        each.name: each.data for each in hostile_requests("/score", RECORD, "here", oversized_bytes=1_000)
    }
    assert len(found) == len(set(found))
    for name in (
        "a: missing",
        "a: null",
        "a: text for number",
        "a: NaN",
        "a: Infinity",
        "a: beyond any float",
    ):
        assert name in found
    for name in ("b: list for number", "c: number for text", "d: text for bool", "g.h: missing", "f.1: null"):
        assert name in found
    assert "e: null" not in found
    assert "g.h: object for number" in found
    body = json.loads(found["c: number for text"].partition(b"\r\n\r\n")[2])
    assert body == RECORD | {"c": 7}
    assert len(found["body: oversized"]) > 1_000
    assert json.loads(found["body: oversized"].partition(b"\r\n\r\n")[2]) == RECORD


def test_each_tensor_of_an_open_inference_request_is_broken() -> None:
    body = OpenInference(model="m").body(FRAME.head(1))
    names = {each.name for each in hostile_requests("/", body, "here", oversized_bytes=1)}
    for place in range(4):
        assert f"inputs.{place}.datatype: number for text" in names
        assert f"inputs.{place}.shape: missing" in names


def test_a_body_without_places_is_refused() -> None:
    with pytest.raises(InputError, match="an object or a list"):
        list(hostile_requests("/", 7, "here"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1, 1) | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    ).filter(lambda value: isinstance(value, (dict, list)))
)
def test_no_hostile_request_is_the_good_one(body: Any) -> None:
    """What is called broken differs from the good request: else its refusal would be asked for wrongly."""
    for each in hostile_requests("/score", body, "here", oversized_bytes=10):
        head, _, data = each.data.partition(b"\r\n\r\n")
        if (
            not head.startswith(b"POST /score")
            or each.is_cut
            or each.name in {"body: oversized", "body: form data"}
        ):
            continue
        try:
            sent = json.loads(data)
        except (ValueError, RecursionError):
            continue
        assert repr(sent) != repr(body) or each.name == "body: an empty object"
