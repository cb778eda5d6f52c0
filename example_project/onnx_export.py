"""Fitted pipeline (and age offsets) -> bytes of one ONNX model that is the whole decision score."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.pipeline import Pipeline

import credit

SCORES = "probabilities"
# Old enough for every onnxruntime that our services run.
OPSETS = {"": 18, "ai.onnx.ml": 3}


def export(pipeline: Pipeline, age_offsets: Mapping[str, float], metadata: Mapping[str, str]) -> bytes:
    """Convert the pipeline; one input per column, one output: (n, 2) probabilities.

    With `age_offsets` the model itself shifts the log-odds by age band, so that whoever serves the file
    serves the mitigation: there is one threshold and no second place where it could be forgotten.
    """
    inputs = [(name, StringTensorType([None, 1])) for name in credit.CATEGORICAL]
    inputs += [(name, FloatTensorType([None, 1])) for name in credit.NUMERIC]
    model = to_onnx(
        pipeline, initial_types=inputs, target_opset=OPSETS, name="credit", options={"zipmap": False}
    )
    graph = model.graph
    # The label of the classifier assumes a threshold of 0.5, which is not ours: nobody shall find it there.
    kept = [output for output in graph.output if output.name == SCORES]
    del graph.output[:]
    graph.output.extend(kept)
    if age_offsets:
        _append_age_shift(graph, [age_offsets[band] for band in credit.AGE_BANDS])
    for name, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, value
    # skl2onnx writes the operator sets in the order of a hash: sorted, the same model has the same digest.
    operator_sets = sorted(model.opset_import, key=lambda entry: str(entry.domain))
    del model.opset_import[:]
    model.opset_import.extend(operator_sets)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _append_age_shift(graph: onnx.GraphProto, offsets: list[float]) -> None:
    """Let the graph's output be sigmoid(log-odds of the risk + offset of the age band)."""
    unshifted = f"unshifted_{SCORES}"
    for node in graph.node:
        node.output[:] = [unshifted if name == SCORES else name for name in node.output]
    for name, value in zip(("younger", "middle", "older"), offsets, strict=True):
        graph.initializer.append(helper.make_tensor(f"offset_{name}", TensorProto.FLOAT, [1, 1], [value]))
    for index, edge in enumerate(credit.AGE_EDGES):
        graph.initializer.append(helper.make_tensor(f"edge_{index}", TensorProto.FLOAT, [1, 1], [edge]))
    graph.initializer.append(helper.make_tensor("default_column", TensorProto.INT64, [1], [1]))
    graph.initializer.append(helper.make_tensor("one", TensorProto.FLOAT, [1, 1], [1.0]))
    make = helper.make_node
    graph.node.extend(
        [
            make("Gather", [unshifted, "default_column"], ["risk"], axis=1),
            make("Sub", ["one", "risk"], ["repaying"]),
            make("Div", ["risk", "repaying"], ["odds"]),
            make("Log", ["odds"], ["log_odds"]),
            make("LessOrEqual", ["age", "edge_0"], ["is_younger"]),
            make("LessOrEqual", ["age", "edge_1"], ["is_middle"]),
            make("Where", ["is_middle", "offset_middle", "offset_older"], ["offset_from_middle"]),
            make("Where", ["is_younger", "offset_younger", "offset_from_middle"], ["offset"]),
            make("Add", ["log_odds", "offset"], ["shifted_log_odds"]),
            make("Sigmoid", ["shifted_log_odds"], ["shifted_risk"]),
            make("Sub", ["one", "shifted_risk"], ["shifted_repaying"]),
            make("Concat", ["shifted_repaying", "shifted_risk"], [SCORES], axis=1),
        ]
    )
