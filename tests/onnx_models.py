"""Small ONNX models, exported by skl2onnx or built by hand, for the tests of adapters and checks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

WEIGHTS = np.array([[1.0], [-2.0], [0.5]], dtype=np.float32)


def features(n_rows: int = 60, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n_rows, 3)).astype(np.float32)


def classifier(labels: Sequence[object] = (0, 1)) -> Any:
    """Fit on three columns; the classes follow the first column."""
    rows = features()
    edges = np.linspace(-0.5, 0.5, len(labels) - 1)
    return LogisticRegression().fit(rows, np.asarray(labels)[np.digitize(rows[:, 0], edges)])


def exported(model: Any, *, zipmap: bool | str = False) -> bytes:
    """Export with a matrix input named X."""
    data: bytes = to_onnx(model, features(1), options={"zipmap": zipmap}).SerializeToString()
    return data


def by_hand(
    nodes: Sequence[Any],
    inputs: Sequence[tuple[str, int, Sequence[int | None]]],
    outputs: Sequence[tuple[str, int, Sequence[int | None]]],
    constants: dict[str, npt.NDArray[Any]] | None = None,
) -> Any:
    """Build a model proto from nodes."""
    graph = helper.make_graph(
        list(nodes),
        "made",
        [helper.make_tensor_value_info(*item) for item in inputs],
        [helper.make_tensor_value_info(*item) for item in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def layered(width: int = 256, depth: int = 6) -> Any:
    """Layers of products and ReLUs over three columns, with one score for each row: some tens of microseconds."""
    draw = np.random.default_rng(0)
    sizes = [3, *[width] * depth, 1]
    weights = {
        f"W{place}": draw.normal(size=(rows, columns)).astype(np.float32) / np.float32(rows)
        for place, (rows, columns) in enumerate(itertools.pairwise(sizes))
    }
    nodes, before = [], "X"
    for place, name in enumerate(weights):
        nodes.append(helper.make_node("MatMul", [before, name], [f"Z{place}"]))
        last = place == len(weights) - 1
        before = "score" if last else f"A{place}"
        nodes.append(helper.make_node("Sigmoid" if last else "Relu", [f"Z{place}"], [before]))
    inputs = [("X", TensorProto.FLOAT, [None, 3])]
    return by_hand(nodes, inputs, [("score", TensorProto.FLOAT, [None, 1])], dict(weights))


def linear(*, batch: int | None = None, weights: npt.NDArray[np.float32] = WEIGHTS) -> Any:
    """sigmoid(X @ W) with one score for each row."""
    return by_hand(
        [helper.make_node("MatMul", ["X", "W"], ["Z"]), helper.make_node("Sigmoid", ["Z"], ["score"])],
        [("X", TensorProto.FLOAT, [batch, 3])],
        [("score", TensorProto.FLOAT, [batch, 1])],
        {"W": weights},
    )


def with_columns(**types: int) -> Any:
    """One input for each column; the output is the sum of the numbers, so that conversion shows."""
    nodes, terms = [], []
    for name, kind in types.items():
        if kind == TensorProto.STRING:
            # The text is only passed on.
            nodes.append(helper.make_node("Identity", [name], [f"{name}_out"]))
            continue
        nodes.append(helper.make_node("Cast", [name], [f"{name}_number"], to=TensorProto.DOUBLE))
        terms.append(f"{name}_number")
    nodes.append(helper.make_node("Sum", terms, ["score"]))
    outputs: list[tuple[str, int, Sequence[int | None]]] = [("score", TensorProto.DOUBLE, [None, 1])]
    outputs += [
        (f"{name}_out", TensorProto.STRING, [None, 1])
        for name, kind in types.items()
        if kind == TensorProto.STRING
    ]
    return by_hand(nodes, [(name, kind, [None, 1]) for name, kind in types.items()], outputs)


def save(model: Any, path: Any) -> Any:
    """Write a proto or bytes and return the path."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    path.write_bytes(data)
    return path


def save_with_weights_outside(model: Any, path: Any, weights: str = "weights.bin") -> Any:
    onnx.save_model(model, str(path), save_as_external_data=True, location=weights, size_threshold=0)
    return path
