"""What is served is what was trained: parity of two models, agreement of two lists of answers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

import onnx_models as models
from pytest_prodml.adapters import Predictor, as_predictor, bind, load_model
from pytest_prodml.adapters.tables import load_dataset
from pytest_prodml.checks.pipeline import agrees, parity
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Measurement, Outcome

CREDIT = Path(__file__).parents[3] / "example_project" / "data" / "credit_default.csv.gz"


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Keep OpenMP to one thread: on a busy machine the default ones wait for each other, a hundred times longer."""
    with threadpoolctl.threadpool_limits(1):
        yield


def rows(n_rows: int = 100) -> pd.DataFrame:
    return pd.DataFrame({"score": np.linspace(0, 1, n_rows)})


def shifted(by: Any) -> Predictor:
    return as_predictor(lambda table: table["score"].to_numpy() + by)


def measured(evidence: Evidence) -> dict[str, Measurement]:
    canonical_json(encode(evidence))
    return {item.metric: item for item in evidence.measurements}


def outcome(evidence: Evidence) -> Outcome:
    outcomes = [
        item.judgement.outcome for item in judge_criteria("pipeline.g", evidence, confidence_level=0.95)
    ]
    return next(kind for kind in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS) if kind in outcomes)


def test_equal_models_pass_with_exact_measurements_and_an_estimate_for_other_rows() -> None:
    evidence = parity(shifted(0), shifted(1e-7), rows(), gate_id="g", threshold=0.305)
    found = measured(evidence)
    assert (found["decision_flips"].value, found["decision_flips"].confidence_level) == (0, 1.0)
    difference = found["max_abs_difference"]
    assert difference.lower == difference.value == difference.upper == pytest.approx(1e-7)
    assert found["differing_share"].upper == pytest.approx(1 - 0.05 ** (1 / 100))
    assert {criterion.metric for criterion in evidence.criteria} == {"decision_flips", "max_abs_difference"}
    assert outcome(evidence) is Outcome.PASS


@given(st.integers(1, 99), st.floats(0.06, 0.3))
@settings(max_examples=40, deadline=None)
def test_flips_are_the_rows_that_cross_the_threshold(index: int, by: float) -> None:
    threshold = index / 99 - 0.005
    table = rows()
    evidence = parity(shifted(0), shifted(by), table, gate_id="g", threshold=threshold)
    before, after = table["score"] >= threshold, table["score"] + by >= threshold
    assert measured(evidence)["decision_flips"].value == (before != after).sum()
    assert outcome(evidence) is Outcome.FAIL


def test_a_flip_between_scores_that_touch_the_threshold_is_a_tie() -> None:
    table = pd.DataFrame({"score": [0.5, 0.2, 0.9]})
    evidence = parity(shifted(0), shifted(-1e-9), table, gate_id="g", threshold=0.5)
    assert measured(evidence)["decision_flips"].value == 0
    assert evidence.details["ties"] == 1
    assert outcome(evidence) is Outcome.PASS
    strict = parity(shifted(0), shifted(-1e-9), table, gate_id="g", threshold=0.5, tie_margin=0)
    assert measured(strict)["decision_flips"].value == 1
    assert outcome(strict) is Outcome.FAIL
    # One of the scores touches the threshold, the other one is far away: no tie.
    far = parity(shifted(0), shifted(-0.1), table, gate_id="g", threshold=0.5)
    assert measured(far)["decision_flips"].value == 1


def test_some_flips_can_be_accepted_but_not_larger_differences() -> None:
    table = pd.DataFrame({"score": [0.5, 0.2, 0.9]})
    accepted = parity(
        shifted(0), shifted(-0.1), table, gate_id="g", threshold=0.5, atol=0.2, at_most_flips=1, tie_margin=0
    )
    assert outcome(accepted) is Outcome.PASS
    assert (
        outcome(parity(shifted(0), shifted(-0.1), table, gate_id="g", threshold=0.1, atol=0.05))
        is Outcome.FAIL
    )


def test_without_a_threshold_the_models_own_labels_are_compared() -> None:
    def three(table: pd.DataFrame) -> Any:
        return np.column_stack([table["score"], 1 - table["score"], np.zeros(len(table))])

    def swapped(table: pd.DataFrame) -> Any:
        return three(table)[:, [1, 0, 2]]

    same = parity(as_predictor(three), as_predictor(three), rows(), gate_id="g")
    assert outcome(same) is Outcome.PASS
    other = parity(as_predictor(three), as_predictor(swapped), rows(), gate_id="g")
    assert measured(other)["decision_flips"].value == 100
    assert len(str(other.details["largest_differences"])) > 0
    touching = pd.DataFrame({"score": [0.5, 0.5 + 1e-9]})
    assert parity(as_predictor(three), as_predictor(swapped), touching, gate_id="g").details["ties"] == 1


def test_the_candidate_is_the_subject_and_the_reference_a_material(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).write_bytes(name.encode())
    old, new = bind(shifted(0), tmp_path / "old"), bind(shifted(0), tmp_path / "new")
    table = load_dataset(rows(), name="test", target=None)
    evidence = parity(old, new, table, gate_id="g", threshold=0.5)
    assert evidence.subjects == (new.subject,)
    assert evidence.materials == (table.material, old.subject)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": rows().head(0)}, "no rows"),
        (
            {"candidate": as_predictor(lambda table: table["score"].where(table["score"] > 0.1))},
            "are not finite",
        ),
        ({"candidate": as_predictor(lambda table: np.ones((len(table), 3)))}, "can not be compared"),
        ({"atol": -1.0}, "atol must be"),
        ({"atol": float("nan")}, "atol must be"),
        ({"tie_margin": -1.0}, "tie_margin must be"),
        ({"at_most_flips": -1}, "at_most_flips must be"),
    ],
)
def test_what_can_not_be_compared_is_refused(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "reference": shifted(0), "candidate": shifted(0), "data": rows(), "gate_id": "g", "threshold": 0.5
    }  # fmt: skip
    with pytest.raises(InputError, match=message):
        parity(**{**arguments, **changes})


def test_one_row_is_enough_for_a_fact_about_one_row() -> None:
    assert outcome(parity(shifted(0), shifted(0), rows(1), gate_id="g", threshold=0.5)) is Outcome.PASS


@pytest.fixture(scope="module")
def credit() -> tuple[pd.DataFrame, Any]:
    table = pd.read_csv(CREDIT).sample(9_000, random_state=7)
    return table.drop(columns=["client_id", "default_next_month"]), table["default_next_month"]


def fit_and_export(
    credit: tuple[pd.DataFrame, Any], path: Path, *, native: bool
) -> tuple[Predictor, Predictor]:
    """Fit boosting on real clients, with or without native categories, and export it with skl2onnx."""
    features, target = credit
    codes = ["education", "marital_status", "sex"]
    numbers = ["credit_limit", "age", "pay_status_sep", "pay_status_aug", "bill_sep", "paid_sep"]
    codes_as_numbers = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = Pipeline(
        [
            ("encode", ColumnTransformer([("codes", codes_as_numbers, codes), ("rest", "passthrough", numbers)])),
            (
                "boost",
                HistGradientBoostingClassifier(
                    max_iter=60, early_stopping=False, random_state=7, learning_rate=0.2,
                    categorical_features=list(range(len(codes))) if native else None,
                ),
            ),
        ]
    )  # fmt: skip
    model.fit(features[codes + numbers], target)
    inputs = [(name, StringTensorType([None, 1])) for name in codes]
    inputs += [(name, FloatTensorType([None, 1])) for name in numbers]
    with warnings.catch_warnings():
        # protobuf warns of the numpy integers that skl2onnx gives it, and can not go on if that is an error.
        warnings.simplefilter("ignore")
        exported = to_onnx(
            model, initial_types=inputs, target_opset={"": 18, "ai.onnx.ml": 3}, options={"zipmap": False}
        )
    return as_predictor(model), load_model(models.save(exported, path))


def test_the_export_of_native_categories_is_silently_wrong_and_parity_catches_it(
    credit: tuple[pd.DataFrame, Any], tmp_path: Path
) -> None:
    # sklearn-onnx issue 1051: the conversion raises nothing, and the file gives other scores.
    trained, exported = fit_and_export(credit, tmp_path / "native.onnx", native=True)
    evidence = parity(trained, exported, credit[0], gate_id="pipeline.parity", threshold=0.5)
    found = measured(evidence)
    assert found["decision_flips"].value is not None
    assert found["decision_flips"].value > 20
    assert found["max_abs_difference"].value is not None
    assert found["max_abs_difference"].value > 0.05
    assert outcome(evidence) is Outcome.FAIL
    worst: Any = evidence.details["largest_differences"]
    assert abs(worst[0]["reference score"] - worst[0]["candidate score"]) == pytest.approx(
        found["max_abs_difference"].value
    )


def test_the_export_of_the_same_codes_as_numbers_is_right(
    credit: tuple[pd.DataFrame, Any], tmp_path: Path
) -> None:
    trained, exported = fit_and_export(credit, tmp_path / "numbers.onnx", native=False)
    evidence = parity(trained, exported, credit[0], gate_id="pipeline.parity", threshold=0.5, atol=1e-5)
    assert measured(evidence)["decision_flips"].value == 0
    assert outcome(evidence) is Outcome.PASS


def test_answers_of_a_service_agree_with_the_model() -> None:
    expected = np.linspace(0, 1, 50)
    evidence = agrees(expected, expected + 1e-8, gate_id="g", atol=1e-6)
    assert outcome(evidence) is Outcome.PASS
    wrong = expected.copy()
    wrong[[3, 30]] += 0.1
    evidence = agrees(expected, wrong, gate_id="g", atol=1e-6)
    assert measured(evidence)["max_abs_difference"].value == pytest.approx(0.1)
    assert measured(evidence)["differing_share"].value == 0.04
    assert evidence.details["first_differing_positions"] == [3, 30]
    assert outcome(evidence) is Outcome.FAIL


def test_labels_agree_when_they_are_equal() -> None:
    assert outcome(agrees(["yes", "no"], ["yes", "no"], gate_id="g")) is Outcome.PASS
    assert outcome(agrees([True, False], [True, False], gate_id="g")) is Outcome.PASS
    evidence = agrees(["yes", "no", "no"], ["yes", "yes", "no"], gate_id="g")
    assert measured(evidence)["mismatches"].value == 1
    assert outcome(evidence) is Outcome.FAIL


def test_vectors_of_scores_are_compared_row_by_row() -> None:
    first = np.zeros((10, 3))
    second = first.copy()
    second[4, 2] = second[4, 1] = 1.0
    assert measured(agrees(first, second, gate_id="g"))["differing_share"].value == 0.1


@pytest.mark.parametrize(
    ("expected", "actual", "message"),
    [
        ([], [], "can not be compared"),
        ([1.0], [1.0, 2.0], "can not be compared"),
        ([[1.0]], [1.0], "can not be compared"),
        (1.0, 1.0, "can not be compared"),
        ([1.0, np.nan], [1.0, np.nan], "1 of 2 answers are not finite"),
        ([1.0, np.inf], [1.0, np.inf], "not finite"),
        ([1.0], ["1.0"], "answers of type float64"),
        (np.array(["a", None], dtype=object), np.array(["a", None], dtype=object), "an answer is missing"),
        (np.array(["a", np.nan], dtype=object), np.array(["a", "b"], dtype=object), "an answer is missing"),
    ],
)
def test_answers_that_can_not_be_compared_are_refused(expected: Any, actual: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        agrees(expected, actual, gate_id="g")
