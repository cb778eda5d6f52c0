"""A score that follows a column in one direction, by steps and along all its values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import threadpoolctl
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from behavior_inputs import by_income, clients, measured, of_three, outcome, with_nan
from pytest_prodml.adapters import Predictor, as_predictor
from pytest_prodml.checks.behavior import monotone
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, Measurement, Outcome


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Keep OpenMP to one thread: on a busy machine the default ones wait for each other, a hundred times longer."""
    with threadpoolctl.threadpool_limits(1):
        yield


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
    evidence = monotone("late", "increasing", as_predictor(by_income), rows, gate_id="g", at_most=0.1, step=1)
    at_edge = int((rows["late"] == 4).sum())
    assert wrong_way(evidence).n_samples == 300 - at_edge
    table: Any = evidence.details["inputs_tried"]
    assert (table[0]["made"], table[0]["the rule applies to"]) == (300, 300 - at_edge)
    down = monotone("late", "decreasing", as_predictor(by_income), rows, gate_id="g", at_most=0.1, step=-1)
    assert wrong_way(down).n_samples == 300 - int((rows["late"] == 0).sum())


def test_a_tolerance_forgives_small_moves_and_the_worst_come_first() -> None:
    def wavy(rows: pd.DataFrame) -> Any:
        return rows["late"].map({0: 0.1, 1: 0.3, 2: 0.29, 3: 0.1, 4: 0.5}).to_numpy()

    rows = clients(300)
    strict = monotone("late", "increasing", as_predictor(wavy), rows, gate_id="g", at_most=0.1, step=1)
    inside = rows[rows["late"] < 4]
    assert wrong_way(strict).value == pytest.approx(inside["late"].isin([1, 2]).mean())
    loose = monotone(
        "late", "increasing", as_predictor(wavy), rows, gate_id="g", at_most=0.1, tolerance=0.02, step=1
    )
    assert wrong_way(loose).value == pytest.approx((inside["late"] == 2).mean())
    examples: Any = loose.details["counterexamples"]
    assert {(example["late before"], example["late after"]) for example in examples} == {(2, 3)}
    assert loose.details["furthest_against_the_rule"] == pytest.approx(0.19)


def test_missing_values_are_left_out() -> None:
    rows = clients(10).astype({"late": "float64"})
    rows.loc[3, "late"] = np.nan
    evidence = monotone("late", "increasing", as_predictor(by_income), rows, gate_id="g", at_most=1)
    assert wrong_way(evidence).n_samples < 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"direction": "up"}, "direction is 'increasing' or 'decreasing'"),
        ({"tolerance": -1.0}, "tolerance must be a"),
        ({"tolerance": float("nan")}, "tolerance must be a"),
        ({"name": "sex"}, "a direction needs numbers"),
        ({"step": 0}, "step must be a number other than 0"),
        ({"step": 0.5}, "holds whole numbers, and the step is 0.5"),
        ({"step": 100}, "no row can take the step 100"),
        ({"data": clients(1)}, "no row can take the step"),
        ({"predictor": as_predictor(with_nan)}, "are not finite"),
        ({"predictor": as_predictor(of_three)}, "has 3 classes"),
        ({"at_most": -0.1}, "at_most must be a share"),
        ({"step": None, "data": clients(1)}, "fewer than two different values"),
        ({"where": {}}, "names no column"),
        ({"where": {"nothing": 1}}, "no column 'nothing'"),
        ({"where": lambda rows: rows["age"] > 30}, "needs a name for the evidence"),
    ],
)
def test_what_shows_nothing_about_a_direction_is_refused(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "name": "late", "direction": "increasing", "predictor": as_predictor(by_income), "data": clients(),
        "gate_id": "g", "at_most": 0.1, "step": 1,
    }  # fmt: skip
    with pytest.raises(InputError, match=message):
        monotone(**{**arguments, **changes})


def late_pays(rows: pd.DataFrame) -> Any:
    """Return a risk that falls back between three and four months, whatever lies between."""
    return rows["late"].map({0: 0.1, 1: 0.3, 2: 0.5, 3: 0.6, 4: 0.4}).to_numpy(dtype=float)


def test_all_values_are_compared_not_only_neighbours() -> None:
    rows = clients(300)
    evidence = monotone("late", "increasing", as_predictor(late_pays), rows, gate_id="g", at_most=0.1)
    # Every person could come to four months, whatever the month is now.
    assert wrong_way(evidence).value == 1.0
    assert wrong_way(evidence).n_samples == 300
    examples: Any = evidence.details["counterexamples"]
    assert {(one["late before"], one["late after"]) for one in examples} == {(3, 4)}

    def slow(rows: pd.DataFrame) -> Any:
        return 0.5 - 0.01 * rows["late"].to_numpy()

    # Each step is within the tolerance, the way from 0 to 4 is not.
    crept = monotone("late", "increasing", as_predictor(slow), rows, gate_id="g", at_most=0.1, tolerance=0.02)
    assert wrong_way(crept).value == 1.0
    pair: Any = crept.details["counterexamples"]
    assert (pair[0]["late before"], pair[0]["late after"]) == (0, 4)


def test_along_many_values_the_points_are_easy_to_read() -> None:
    rows = clients(500)
    evidence = monotone("income", "increasing", as_predictor(by_income), rows, gate_id="g", at_most=0.1)
    assert wrong_way(evidence).value == 1.0
    one: Any = evidence.details["counterexamples"]
    low, high = rows["income"].min(), rows["income"].max()
    for value in (one[0]["income before"], one[0]["income after"]):
        assert value in {low, high} or float(f"{value:.3g}") == value


def test_where_says_whom_a_rule_is_about() -> None:
    rows = clients(400)

    def of_age(rows: pd.DataFrame) -> Any:
        return (rows["age"] > 30).to_numpy()

    named = monotone(
        "late", "increasing", as_predictor(late_pays), rows, gate_id="g", at_most=0.1, where=of_age
    )
    assert wrong_way(named).n_samples == int((rows["age"] > 30).sum())
    assert "of_age" in str(named.details["rule"])
    chosen = monotone(
        "late", "increasing", as_predictor(late_pays), rows, gate_id="g", at_most=0.1,
        where={"region": ["west", "east"]},
    )  # fmt: skip
    assert wrong_way(chosen).n_samples == int(rows["region"].isin(["west", "east"]).sum())


CREDIT = Path(__file__).parents[3] / "example_project" / "data" / "credit_default.csv.gz"


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
    refuted = monotone("pay_status_sep", "increasing", plain, rows, gate_id="g", at_most=0.01, step=1)
    found = wrong_way(refuted)
    assert found.value is not None
    assert 0.02 < found.value < 0.25
    assert outcome(refuted) is Outcome.FAIL
    constrained, rows = credit_model(is_monotone=True)
    proven = monotone("pay_status_sep", "increasing", constrained, rows, gate_id="g", at_most=0.01, step=1)
    assert wrong_way(proven).value == 0
    assert outcome(proven) is Outcome.PASS

    # Along all values, and on rows that nobody collected, the constraint holds as well.
    anywhere = monotone("pay_status_sep", "increasing", constrained, rows, gate_id="g", never=True)
    assert measured(anywhere, "violations").value == 0
    assert outcome(anywhere) is Outcome.PASS
    broken = monotone("pay_status_sep", "increasing", plain, rows, gate_id="g", never=True)
    assert outcome(broken) is Outcome.FAIL
    table: Any = broken.details["minimal_counterexample"]
    (moved,) = (row for row in table if row.get("changed"))
    assert moved["column"] == "pay_status_sep"
    assert moved["before"] < moved["after"]
