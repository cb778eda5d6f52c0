"""What must not move a decision, what must, and rows that no model may choke on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from pytest_prodml.adapters import Predictor, as_predictor, bind
from pytest_prodml.adapters.tables import load_dataset
from pytest_prodml.checks.behavior import finite_on_generated, invariant_to, monotone
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


def clients(n_rows: int = 200, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "sex": rng.choice(["f", "m"], n_rows),
            "age": rng.integers(18, 80, n_rows),
            "income": rng.gamma(2.0, 1000.0, n_rows),
            "late": rng.integers(0, 5, n_rows),
        }
    )


def by_income(rows: pd.DataFrame) -> Any:
    return 1 / (1 + np.exp((rows["income"].to_numpy(dtype=float) - 2000) / 500))


def measured(evidence: Evidence, metric: str) -> Measurement:
    canonical_json(encode(evidence))
    return next(item for item in evidence.measurements if item.metric == metric)


def outcome(evidence: Evidence) -> Outcome:
    (judged,) = judge_criteria("behavior.g", evidence, confidence_level=0.95)
    return judged.judgement.outcome


def flips(evidence: Evidence) -> Measurement:
    return measured(evidence, "decision_flip_rate")


def test_a_model_that_does_not_look_at_the_column_is_invariant() -> None:
    evidence = invariant_to(
        "sex", as_predictor(by_income), clients(400), gate_id="g", at_most=0.01, threshold=0.5
    )
    found = flips(evidence)
    assert (found.value, found.lower, found.group, found.n_samples) == (0, 0, "sex", 400)
    # Rule of three: what nothing in 400 rows proves.
    assert found.upper == pytest.approx(1 - 0.05 ** (1 / 400))
    assert outcome(evidence) is Outcome.PASS


def test_nothing_seen_in_few_rows_proves_little_and_says_how_many_would() -> None:
    evidence = invariant_to(
        "sex", as_predictor(by_income), clients(100), gate_id="g", at_most=0.01, threshold=0.5
    )
    assert outcome(evidence) is Outcome.INCONCLUSIVE
    assert flips(evidence).n_required == 299


@given(st.integers(1, 60), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_flips_are_counted_exactly_with_clopper_pearson_bounds(n_biased: int, seed: int) -> None:
    rows = clients(60, seed)

    def biased(table: pd.DataFrame) -> Any:
        # Only the first rows, told by their label, are treated differently by sex.
        return np.where((table["sex"] == "m") & (table.index < n_biased), 0.9, 0.1)

    evidence = invariant_to("sex", as_predictor(biased), rows, gate_id="g", at_most=0.1, threshold=0.5)
    found = flips(evidence)
    assert found.value == n_biased / 60
    assert found.lower == pytest.approx(beta.ppf(0.05, n_biased, 60 - n_biased + 1))
    upper = beta.ppf(0.95, n_biased + 1, 60 - n_biased) if n_biased < 60 else 1.0
    assert found.upper == pytest.approx(upper)


def test_any_of_the_values_can_flip_and_examples_show_before_and_after() -> None:
    def by_age(rows: pd.DataFrame) -> Any:
        return (rows["age"] > 60) * 0.8 + 0.1

    rows = clients()
    evidence = invariant_to(
        "age", as_predictor(by_age), rows, gate_id="g", at_most=0.1, values=[30, 70], threshold=0.5
    )
    assert flips(evidence).value == 1.0
    assert outcome(evidence) is Outcome.FAIL
    examples: Any = evidence.details["counterexamples"]
    assert len(examples) == 5
    for example in examples:
        assert example["age before"] == rows["age"][example["row"]]
        assert (example["score before"] > 0.5) != (example["score after"] > 0.5)
    redacted = invariant_to(
        "age",
        as_predictor(by_age),
        rows,
        gate_id="g",
        at_most=0.1,
        values=[30, 70],
        threshold=0.5,
        redact=True,
    )
    assert "counterexamples" not in redacted.details


def test_rows_that_have_the_value_already_are_not_counted() -> None:
    rows = clients()
    evidence = invariant_to(
        "sex", as_predictor(by_income), rows, gate_id="g", at_most=0.1, values=["m"], threshold=0.5
    )
    assert flips(evidence).n_samples == (rows["sex"] == "f").sum()


def test_without_a_threshold_the_model_s_own_labels_decide() -> None:
    evidence = invariant_to("sex", as_predictor(by_income), clients(), gate_id="g", at_most=0.1)
    assert flips(evidence).value == 0

    def three(rows: pd.DataFrame) -> Any:
        return np.column_stack([rows["sex"] == "m", rows["sex"] == "f", np.full(len(rows), 0.5)]).astype(
            float
        )

    assert flips(invariant_to("sex", as_predictor(three), clients(), gate_id="g", at_most=0.1)).value == 1.0


def test_missing_cells_are_changed_too_and_categories_keep_their_type() -> None:
    rows = clients(6).assign(sex=["f", "m", None, "f", "m", None])
    assert (
        flips(
            invariant_to("sex", as_predictor(by_income), rows, gate_id="g", at_most=1, threshold=0.5)
        ).n_samples
        == 6
    )
    seen = []

    def remember(table: pd.DataFrame) -> Any:
        seen.append(table["sex"].dtype)
        return by_income(table)

    typed = rows.assign(sex=rows["sex"].astype("category"))
    invariant_to("sex", as_predictor(remember), typed, gate_id="g", at_most=1, threshold=0.5)
    assert set(seen) == {typed["sex"].dtype}
    with pytest.raises(InputError, match="'x' does not fit the column's type category"):
        invariant_to(
            "sex", as_predictor(remember), typed, gate_id="g", at_most=1, values=["x"], threshold=0.5
        )


def with_nan(rows: pd.DataFrame) -> Any:
    return np.where(rows["age"] > 40, np.nan, 0.3)


def of_three(rows: pd.DataFrame) -> Any:
    return np.zeros((len(rows), 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "gender"}, "no column 'gender'"),
        ({"data": clients().head(0)}, "no rows"),
        ({"data": clients().assign(sex="f")}, "holds 1 different value, so nothing can be changed"),
        ({"data": clients(1)}, "holds 1 different value"),
        ({"name": "income"}, "choose at most 50 to try"),
        ({"values": []}, "values is empty"),
        ({"values": ["m"], "data": clients().assign(sex="m")}, "has the value 'm' already"),
        ({"name": "age", "values": [30.5]}, "30.5 does not fit the column's type int64"),
        ({"at_most": 1.5}, "at_most must be a share between 0 and 1, got 1.5"),
        ({"predictor": as_predictor(with_nan)}, "are not finite"),
        ({"predictor": as_predictor(of_three)}, "has 3 classes"),
        ({"confidence_level": 1.0}, "confidence_level must lie between"),
    ],
)
def test_what_shows_nothing_about_invariance_is_refused(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "name": "sex", "predictor": as_predictor(by_income), "data": clients(), "gate_id": "g", "at_most": 0.1,
        "threshold": 0.5,
    }  # fmt: skip
    with pytest.raises(InputError, match=message):
        invariant_to(**{**arguments, **changes})


def wrong_way(evidence: Evidence) -> Measurement:
    return measured(evidence, "wrong_direction_rate")


@pytest.mark.parametrize(("direction", "value"), [("decreasing", 0.0), ("increasing", 1.0)])
def test_a_direction_is_shown_or_refuted(direction: str, value: float) -> None:
    rows = clients(400)
    evidence = monotone(
        "income", direction, as_predictor(by_income), rows, gate_id="g", at_most=0.01, step=10
    )
    assert wrong_way(evidence).value == value
    assert outcome(evidence) is (Outcome.FAIL if value else Outcome.PASS)


def test_rows_at_the_edge_are_left_out_and_said_to_be() -> None:
    rows = clients(300)
    evidence = monotone("late", "increasing", as_predictor(by_income), rows, gate_id="g", at_most=0.1)
    at_edge = int((rows["late"] == 4).sum())
    assert wrong_way(evidence).n_samples == 300 - at_edge
    assert evidence.details["rows_left_out"] == at_edge
    down = monotone("late", "decreasing", as_predictor(by_income), rows, gate_id="g", at_most=0.1, step=-1)
    assert down.details["rows_left_out"] == int((rows["late"] == 0).sum())


def test_a_tolerance_forgives_small_moves_and_the_worst_come_first() -> None:
    def wavy(rows: pd.DataFrame) -> Any:
        return rows["late"].map({0: 0.1, 1: 0.3, 2: 0.29, 3: 0.1, 4: 0.5}).to_numpy()

    rows = clients(300)
    strict = monotone("late", "increasing", as_predictor(wavy), rows, gate_id="g", at_most=0.1)
    inside = rows[rows["late"] < 4]
    assert wrong_way(strict).value == pytest.approx(inside["late"].isin([1, 2]).mean())
    loose = monotone("late", "increasing", as_predictor(wavy), rows, gate_id="g", at_most=0.1, tolerance=0.02)
    assert wrong_way(loose).value == pytest.approx((inside["late"] == 2).mean())
    examples: Any = loose.details["counterexamples"]
    assert {(example["late before"], example["late after"]) for example in examples} == {(2, 3)}
    assert loose.details["largest_wrong_move"] == pytest.approx(0.19)


def test_missing_values_are_left_out() -> None:
    rows = clients(10).astype({"late": "float64"})
    rows.loc[3, "late"] = np.nan
    evidence = monotone("late", "increasing", as_predictor(by_income), rows, gate_id="g", at_most=1)
    assert wrong_way(evidence).n_samples < 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"direction": "up"}, "direction is 'increasing' or 'decreasing'"),
        ({"tolerance": -1.0}, "tolerance a number from 0 on"),
        ({"tolerance": float("nan")}, "tolerance a number from 0 on"),
        ({"name": "sex"}, "a direction needs numbers"),
        ({"step": 0}, "step must be a number other than 0"),
        ({"step": 0.5}, "holds whole numbers, and the step is 0.5"),
        ({"step": 100}, "no row can take the step 100"),
        ({"data": clients(1)}, "no row can take the step"),
        ({"predictor": as_predictor(with_nan)}, "are not finite"),
        ({"predictor": as_predictor(of_three)}, "has 3 classes"),
        ({"at_most": -0.1}, "at_most must be a share"),
    ],
)
def test_what_shows_nothing_about_a_direction_is_refused(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "name": "late", "direction": "increasing", "predictor": as_predictor(by_income), "data": clients(),
        "gate_id": "g", "at_most": 0.1,
    }  # fmt: skip
    with pytest.raises(InputError, match=message):
        monotone(**{**arguments, **changes})


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


def credit_model(*, is_monotone: bool) -> tuple[Predictor, pd.DataFrame]:
    """Fit the example's kind of model on 12,000 real clients and return it with 6,000 others."""
    table = pd.read_csv(CREDIT).sample(18_000, random_state=7)
    names = [name for name in table.columns if name not in {"client_id", "default_next_month"}]
    codes = ["sex", "education", "marital_status"]
    numbers = [name for name in names if name not in codes]
    encode_codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    constraints = [0] * len(codes) + [int(name.startswith("pay_status_")) for name in numbers]
    model = Pipeline(
        [
            ("encode", ColumnTransformer([("codes", encode_codes, codes), ("numbers", "passthrough", numbers)])),
            (
                "boost",
                HistGradientBoostingClassifier(
                    max_iter=40, learning_rate=0.1, max_leaf_nodes=15, early_stopping=False, random_state=7,
                    monotonic_cst=constraints if is_monotone else None,
                ),
            ),
        ]
    )  # fmt: skip
    train, test = table.iloc[:12_000], table.iloc[12_000:]
    return as_predictor(model.fit(train[names], train["default_next_month"])), test[names]


def test_real_clients_get_a_lower_risk_for_paying_later_unless_the_model_is_constrained() -> None:
    plain, rows = credit_model(is_monotone=False)
    refuted = monotone("pay_status_sep", "increasing", plain, rows, gate_id="g", at_most=0.01)
    found = wrong_way(refuted)
    assert found.value is not None
    assert 0.02 < found.value < 0.25
    assert outcome(refuted) is Outcome.FAIL
    constrained, rows = credit_model(is_monotone=True)
    proven = monotone("pay_status_sep", "increasing", constrained, rows, gate_id="g", at_most=0.01)
    assert wrong_way(proven).value == 0
    assert outcome(proven) is Outcome.PASS


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
    assert found.n_samples + int(str(evidence.details["rows_refused_by_schema"])) == 300
    assert found.n_samples > 200
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


NEVER = pa.DataFrameSchema({"a": pa.Column(int, pa.Check(lambda values: values > 2**40, name="huge"))})
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
        (DATED, {}, "can not be made up"),
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
