"""A served model as the checks know models: asked over the wire, by three protocols."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pytest_prodml.adapters.predictor import AnswerError, Predictor
from pytest_prodml.adapters.serving.http_model import HttpPredictor
from pytest_prodml.adapters.serving.protocols import InferenceProtocol, MLflow, OpenInference, PlainJson
from pytest_prodml.errors import InputError

FRAME = pd.DataFrame({"a": np.linspace(-2, 2, 250), "b": np.linspace(0, 1, 250)})
EXPECTED = (1 / (1 + np.exp(-(FRAME["a"] - FRAME["b"])))).to_numpy()


def score(a: float, b: float) -> float:
    return float(1 / (1 + np.exp(-(a - b))))


class Handler(BaseHTTPRequestHandler):
    """The three protocols, written from their specifications."""

    protocol_version = "HTTP/1.1"
    closes = False

    def do_POST(self) -> None:
        body: Any = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v2/models/credit/infer":
            inputs = {each["name"]: each for each in body["inputs"]}
            assert inputs["a"]["shape"] == [len(inputs["a"]["data"]), 1]
            scores = [score(a, b) for a, b in zip(inputs["a"]["data"], inputs["b"]["data"], strict=True)]
            answer: Any = {
                "model_name": "credit",
                "outputs": [{"name": "p", "shape": [len(scores)], "datatype": "FP64", "data": scores}],
            }
        elif self.path == "/invocations":
            split = body["dataframe_split"]
            rows = [dict(zip(split["columns"], row, strict=True)) for row in split["data"]]
            answer = {"predictions": [score(row["a"], row["b"]) for row in rows]}
        elif self.path == "/score":
            answer = [{"risk": score(row["a"], row["b"])} for row in body]
        elif self.path == "/short":
            answer = [{"risk": 0.5}]
        elif self.path == "/text":
            answer = None
        else:
            self.send_error(422, "no such model")
            return
        data = b"<html>" if answer is None else json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = self.closes

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "protocol",
    [OpenInference(model="credit"), MLflow(), PlainJson(path="/score", output="risk")],
    ids=lambda protocol: protocol.name,
)
def test_rows_come_back_as_scores(port: int, protocol: InferenceProtocol) -> None:
    model = HttpPredictor(host="127.0.0.1", port=port, protocol=protocol, rows_per_request=100)
    assert isinstance(model, Predictor)
    np.testing.assert_allclose(model.predict_score(FRAME), EXPECTED, rtol=1e-12)
    np.testing.assert_array_equal(model.predict(FRAME), (EXPECTED >= 0.5).astype(int))
    answers = model.prepare(FRAME)()
    assert isinstance(answers, list)
    assert len(answers) == 3
    assert model.runtime()["loopback"] is True
    model.close()


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "closes", True)
    model = HttpPredictor(host="127.0.0.1", port=port, protocol=MLflow(), rows_per_request=50)
    np.testing.assert_allclose(model.predict_score(FRAME), EXPECTED)
    model.close()


@pytest.mark.parametrize(
    ("path", "error", "told"),
    [
        ("/short", AnswerError, "for 250 rows"),
        ("/text", AnswerError, "200 with no JSON"),
        ("/none", InputError, "answered 422"),
    ],
)
def test_what_is_no_answer_is_told(port: int, path: str, error: type[InputError], told: str) -> None:
    model = HttpPredictor(
        host="127.0.0.1", port=port, protocol=PlainJson(path=path, output="risk"), rows_per_request=1_000
    )
    with pytest.raises(error, match=told):
        model.predict_score(FRAME)
    model.close()


def test_nobody_who_answers_is_told() -> None:
    model = HttpPredictor(host="127.0.0.1", port=1, protocol=MLflow())
    with pytest.raises(InputError, match="does not answer"):
        model.predict_score(FRAME)
    with pytest.raises(InputError, match="no rows"):
        model.predict_score(FRAME.head(0))
