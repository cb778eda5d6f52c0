"""Forms of one model with fewer bits, and one whose codes stand in another order: parity tells what changes."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime.quantization
import pandas as pd
import pytest
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from onnx_models import by_hand, layered, save
from pytest_prodml.adapters import as_predictor, load_model
from pytest_prodml.adapters.predictor import Predictor
from pytest_prodml.checks.pipeline import parity
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, Measurement

COLUMNS = ["a", "b", "c"]
#: No number of 16 bits is one of these. They cancel out, so that large amounts decide by small differences.
WEIGHTS = np.array([[1 / 3], [-0.7], [0.7 - 1 / 3]])
ROWS = pd.DataFrame(np.random.default_rng(1).normal(size=(20_000, 3)), columns=COLUMNS).astype("float32")


def of(evidence: Evidence, metric: str) -> Measurement:
    return next(measured for measured in evidence.measurements if measured.metric == metric)


def scorer(path: Path, bits: int) -> Predictor:
    """A product and a sigmoid over three columns, computed in 32 or 16 bits."""
    kind = TensorProto.FLOAT if bits == 32 else TensorProto.FLOAT16
    nodes = [
        helper.make_node("Cast", ["X"], ["narrow"], to=kind),
        helper.make_node("MatMul", ["narrow", "W"], ["sums"]),
        helper.make_node("Sigmoid", ["sums"], ["scores"]),
        helper.make_node("Cast", ["scores"], ["Y"], to=TensorProto.FLOAT),
    ]
    proto = by_hand(
        nodes,
        [("X", TensorProto.FLOAT, [None, 3])],
        [("Y", TensorProto.FLOAT, [None, 1])],
        {"W": WEIGHTS.astype(np.float32 if bits == 32 else np.float16)},
    )
    return load_model(save(proto.SerializeToString(), path), columns=COLUMNS)


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictor, Predictor]:
    root = tmp_path_factory.mktemp("forms")
    return scorer(root / "float32.onnx", 32), scorer(root / "float16.onnx", 16)


def test_a_float16_export_that_flips_decisions_is_caught_with_its_rows(
    forms: tuple[Predictor, Predictor],
) -> None:
    evidence = parity(*forms, ROWS + 200, gate_id="pipeline.parity", threshold=0.5, tie_margin=0.0, atol=1e-3)
    flips = of(evidence, "decision_flips").value
    assert flips is not None
    assert flips > 0
    told = evidence.details["flipped_rows"]
    assert isinstance(told, list)
    assert len(told) == min(flips, 20)
    for row in told:
        assert isinstance(row, dict)
        assert (float(str(row["reference score"])) < 0.5) != (float(str(row["candidate score"])) < 0.5)


def test_what_touches_the_threshold_is_a_tie_and_a_share_of_rows_may_differ(
    forms: tuple[Predictor, Predictor],
) -> None:
    evidence = parity(
        *forms,
        ROWS,
        gate_id="pipeline.parity",
        threshold=0.5,
        tie_margin=2e-3,
        atol=3e-5,
        differing_at_most=0.9,
    )
    assert of(evidence, "decision_flips").value == 0
    assert [criterion.metric for criterion in evidence.criteria] == ["decision_flips", "differing_share"]
    share = of(evidence, "differing_share")
    assert share.value is not None
    assert share.upper is not None
    assert 0 < share.value < share.upper < 0.9
    with pytest.raises(InputError, match="must be a share"):
        parity(*forms, ROWS, gate_id="pipeline.parity", differing_at_most=2.0)


def test_eight_bits_are_another_model_and_parity_says_for_how_many_rows(tmp_path: Path) -> None:
    whole = save(layered(64, 2).SerializeToString(), tmp_path / "whole.onnx")
    narrow = tmp_path / "int8.onnx"
    onnxruntime.quantization.quantize_dynamic(whole, narrow)
    assert {node.op_type for node in onnx.load(narrow).graph.node} & {
        "MatMulInteger",
        "DynamicQuantizeLinear",
    }
    evidence = parity(
        load_model(whole, columns=COLUMNS), load_model(narrow, columns=COLUMNS), ROWS.head(500),
        gate_id="pipeline.parity", atol=1e-9, at_most_flips=500, differing_at_most=0.05,
    )  # fmt: skip
    share = of(evidence, "differing_share")
    assert share.lower is not None
    assert share.lower > 0.05


def test_categories_in_another_order_are_caught() -> None:
    generator = np.random.default_rng(2)
    kinds = np.array(["low", "middle", "high"])
    frame = pd.DataFrame({"kind": generator.choice(kinds, 2_000), "amount": generator.normal(size=2_000)})
    labels = (frame["kind"].map({"low": 0, "middle": 1, "high": 2}) + frame["amount"] > 1).astype(int)
    encode = OrdinalEncoder(categories=[["low", "middle", "high"]])
    chosen = ColumnTransformer([("kind", encode, ["kind"]), ("amount", "passthrough", ["amount"])])
    trained = make_pipeline(chosen, LogisticRegression()).fit(frame, labels)
    served = copy.deepcopy(trained)
    served.named_steps["columntransformer"].named_transformers_["kind"].categories_ = [
        np.array(["high", "low", "middle"], dtype=object)
    ]
    same = parity(
        as_predictor(trained), as_predictor(copy.deepcopy(trained)), frame, gate_id="pipeline.parity"
    )
    assert of(same, "decision_flips").value == 0
    swapped = parity(as_predictor(trained), as_predictor(served), frame, gate_id="pipeline.parity")
    flips = of(swapped, "decision_flips").value
    assert flips is not None
    assert flips > 100
