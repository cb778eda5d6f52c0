"""Rows that no model may choke on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest

from behavior_inputs import by_income, clients, measured, outcome
from pytest_prodml.adapters import as_predictor, bind
from pytest_prodml.adapters.tables import load_dataset
from pytest_prodml.checks.behavior import finite_on_generated, invariant_to, monotone
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, Measurement, Outcome


def test_evidence_names_the_model_and_the_data(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"model")
    table = load_dataset(clients(), name="test", target=None)
    predictor = bind(by_income, path)
    for evidence in (
        invariant_to("sex", predictor, table, gate_id="g", at_most=0.1, threshold=0.5),
        monotone("late", "increasing", predictor, table, gate_id="g", at_most=0.1),
        finite_on_generated(predictor, table, gate_id="g", max_examples=5),
    ):
        assert evidence.subjects == (predictor.subject,)
        assert evidence.materials == (table.material,)


SCHEMA = pa.DataFrameSchema(
    {
        "sex": pa.Column(str, pa.Check.isin(["f", "m", "x"])),
        "age": pa.Column(int, pa.Check.in_range(18, 100)),
        "income": pa.Column(float, pa.Check.ge(0), nullable=True),
        "late": pa.Column(int, [pa.Check.gt(-1), pa.Check.lt(9)]),
    }
)


def tolerant(rows: pd.DataFrame) -> Any:
    return 1 / (1 + np.exp(-(rows["late"] - rows["income"].fillna(0.0) / 1000).clip(-50, 50)))


def invalid(evidence: Evidence) -> Measurement:
    return measured(evidence, "invalid_outputs")


@pytest.mark.parametrize("source", [clients(), SCHEMA])
def test_a_model_that_answers_every_valid_row_passes(source: Any) -> None:
    evidence = finite_on_generated(as_predictor(tolerant), source, gate_id="g", max_examples=300, seed=1)
    found = invalid(evidence)
    assert (found.value, found.lower, found.upper, found.confidence_level) == (0, 0, 0, 1.0)
    assert found.n_samples == 300
    made: Any = evidence.details["rows_made"]
    assert sum(made.values()) == 300
    assert outcome(evidence) is Outcome.PASS
    assert evidence.seed == 1


def test_rows_keep_to_the_schema_and_reach_its_edges() -> None:
    seen: list[pd.DataFrame] = []

    def remember(rows: pd.DataFrame) -> Any:
        seen.append(rows)
        return tolerant(rows)

    finite_on_generated(
        as_predictor(remember), clients(), schema=SCHEMA, gate_id="g", max_examples=600, seed=3
    )
    (rows,) = seen
    SCHEMA.validate(rows)
    assert set(rows["sex"]) == {"f", "m", "x"}
    # The schema's edges, also beyond what was observed, and missing cells where it allows them.
    assert {rows["age"].min(), rows["age"].max()} == {18, 100}
    assert {rows["late"].min(), rows["late"].max()} == {0, 8}
    assert rows["income"].isna().any()
    assert rows["age"].dtype == "int64"


def test_observed_rows_alone_say_what_is_plausible() -> None:
    seen: list[pd.DataFrame] = []

    def remember(rows: pd.DataFrame) -> Any:
        seen.append(rows)
        return tolerant(rows)

    observed = clients().assign(
        when=pd.Timestamp("2026-01-01"), flag=True, kind=pd.Categorical(["a"] * 200, categories=["a", "b"])
    )
    finite_on_generated(as_predictor(remember), observed, gate_id="g", max_examples=200)
    (rows,) = seen
    assert rows.dtypes.tolist() == observed.dtypes.tolist()
    assert rows["age"].between(observed["age"].min(), observed["age"].max()).all()
    assert set(rows["kind"]) == {"a", "b"}
    assert not rows["income"].isna().any()


def test_the_same_seed_makes_the_same_rows() -> None:
    seen: list[pd.DataFrame] = []

    def remember(rows: pd.DataFrame) -> Any:
        seen.append(rows)
        return tolerant(rows)

    for seed in (5, 5, 6):
        finite_on_generated(as_predictor(remember), SCHEMA, gate_id="g", max_examples=50, seed=seed)
    pd.testing.assert_frame_equal(seen[0], seen[1])
    assert not seen[0].equals(seen[2])


def failing(rows: pd.DataFrame) -> Any:
    if ((rows["age"] > 90) & (rows["late"] == 3)).any():
        raise ValueError("too old to be late\nsecond line")
    scores = np.full(len(rows), 0.5)
    scores[rows["late"] == 5] = np.nan
    scores[rows["late"] == 6] = np.inf
    scores[rows["late"] == 7] = 1.5
    return scores


def test_every_failing_row_is_found_in_a_batch_and_shown_by_what_makes_it_fail() -> None:
    seen: list[pd.DataFrame] = []

    def remember(rows: pd.DataFrame) -> Any:
        seen.append(rows)
        return failing(rows)

    evidence = finite_on_generated(as_predictor(remember), SCHEMA, gate_id="g", max_examples=500, seed=2)
    rows = seen[0]
    expected = rows["late"].isin([5, 6, 7]) | ((rows["age"] > 90) & (rows["late"] == 3))
    assert invalid(evidence).value == expected.sum() > 0
    assert outcome(evidence) is Outcome.FAIL
    examples: Any = evidence.details["counterexamples"]
    told = {example["differs from a typical row in"]: example["problem"] for example in examples}
    assert len(told) == len(examples) > 1
    problems = {"late=5": "the score is NaN", "late=6": "the score is infinite", "late=7": "out of range"}
    for text, problem in told.items():
        if text in problems:
            assert problems[text] in problem
        else:
            assert text.startswith("age=")
            assert text.endswith("late=3")
            assert problem == "raises ValueError: too old to be late"


def test_scores_that_are_no_probabilities_need_no_bounds() -> None:
    predictor = as_predictor(lambda rows: rows["late"] * 100.0)
    evidence = finite_on_generated(predictor, SCHEMA, gate_id="g", max_examples=50, bounds=None)
    assert invalid(evidence).value == 0
    assert outcome(finite_on_generated(predictor, SCHEMA, gate_id="g", max_examples=50)) is Outcome.FAIL
    tolerated = finite_on_generated(predictor, SCHEMA, gate_id="g", max_examples=50, at_most=50)
    assert outcome(tolerated) is Outcome.PASS


def test_keys_of_made_up_rows_may_repeat() -> None:
    schema = pa.DataFrameSchema({"key": pa.Column(int, pa.Check.in_range(0, 3), unique=True)}, unique=["key"])
    evidence = finite_on_generated(
        as_predictor(lambda rows: rows["key"] / 3), schema, gate_id="g", max_examples=40
    )
    assert evidence.details["rows_refused_by_schema"] == 0
    assert 0 < invalid(evidence).n_samples <= 40


def test_rows_that_a_rule_over_columns_refuses_are_not_used() -> None:
    schema = pa.DataFrameSchema(
        {"low": pa.Column(int, pa.Check.in_range(0, 9)), "high": pa.Column(int, pa.Check.in_range(0, 9))},
        checks=pa.Check(lambda rows: rows["low"] <= rows["high"], name="ordered"),
    )
    predictor = as_predictor(lambda rows: (rows["low"] <= rows["high"]).astype(float) - 0.5)
    evidence = finite_on_generated(predictor, schema, gate_id="g", max_examples=200)
    refused: Any = evidence.details["rows_refused_by_schema"]
    assert refused > 0
    assert invalid(evidence).value == 0


NEVER = pa.DataFrameSchema({"a": pa.Column(int, pa.Check(lambda values: values > 2**60, name="huge"))})
EMPTY = pa.DataFrameSchema({"a": pa.Column(int, [pa.Check.ge(5), pa.Check.le(3)])})
UNTYPED = pa.DataFrameSchema({"a": pa.Column()})
DATED = pa.DataFrameSchema({"a": pa.Column("datetime64[ns]")})
CRASHING = pa.DataFrameSchema({"a": pa.Column(int, pa.Check(lambda values: values.nothing, name="odd"))})


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        (NEVER, {}, "the schema refuses all"),
        (EMPTY, {}, "allows no value: at least 5 and at most 3"),
        (UNTYPED, {}, "does not say what type"),
        (DATED, {}, "none can be made up"),
        (CRASHING, {}, "'odd' on 'a' was not evaluated"),
        (SCHEMA, {"max_examples": 0}, "max_examples must be at least 1"),
        (SCHEMA, {"bounds": (1.0, 0.0)}, "bounds must be"),
        (SCHEMA, {"at_most": -1}, "at_most must be a number of rows"),
        (clients().head(0), {}, "no rows"),
        (3, {}, "expected a table, got int"),
    ],
)
def test_rows_that_can_not_be_made_are_an_error(source: Any, changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"gate_id": "g", "max_examples": 20}
    with pytest.raises(InputError, match=message):
        finite_on_generated(
            as_predictor(lambda rows: np.zeros(len(rows))), source, **{**arguments, **changes}
        )
