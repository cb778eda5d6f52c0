"""What must not move a decision: columns, and transforms of any kind of input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from behavior_inputs import angry, by_income, clients, measured, of_three, outcome, with_nan
from pytest_prodml.adapters import as_predictor
from pytest_prodml.checks.behavior import invariant_to
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, Measurement, Outcome


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"what": "gender"}, "no column 'gender'"),
        ({"data": clients().head(0)}, "no rows"),
        ({"data": clients().assign(sex="f")}, "holds 1 different value, so nothing can be changed"),
        ({"data": clients(1)}, "holds 1 different value"),
        ({"what": "income"}, "choose at most 50 to try"),
        ({"values": []}, "values is empty"),
        ({"values": ["m"], "data": clients().assign(sex="m")}, "has the value 'm' already"),
        ({"what": "age", "values": [30.5]}, "30.5 does not fit the column's type int64"),
        ({"at_most": 1.5}, "at_most must be a share between 0 and 1, got 1.5"),
        ({"predictor": as_predictor(with_nan)}, "are not finite"),
        ({"predictor": as_predictor(of_three)}, "has 3 classes"),
        ({"confidence_level": 1.0}, "confidence_level must lie between"),
    ],
)
def test_what_shows_nothing_about_invariance_is_refused(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "what": "sex", "predictor": as_predictor(by_income), "data": clients(), "gate_id": "g", "at_most": 0.1,
        "threshold": 0.5,
    }  # fmt: skip
    with pytest.raises(InputError, match=message):
        invariant_to(**{**arguments, **changes})


def test_several_columns_are_changed_one_after_the_other() -> None:
    def odd(rows: pd.DataFrame) -> Any:
        return np.where((rows["sex"] == "m") | (rows["region"] == "west"), 0.9, 0.1)

    rows = clients(300)
    both = flips(
        invariant_to(["sex", "region"], as_predictor(odd), rows, gate_id="g", at_most=1, threshold=0.5)
    )
    # A woman of the west flips by neither alone where she is not also ... every other person by one of them.
    expected = ~((rows["sex"] == "m") & (rows["region"] == "west"))
    assert both.value == pytest.approx(expected.mean())
    assert both.group == "sex, region"


def test_with_a_tolerance_scores_are_compared() -> None:
    def score(rows: pd.DataFrame) -> Any:
        return 0.2 + 0.1 * (rows["sex"] == "m").to_numpy()

    rows = clients()
    strict = invariant_to("sex", as_predictor(score), rows, gate_id="g", at_most=0.1, tolerance=0.05)
    assert measured(strict, "score_change_rate").value == 1.0
    loose = invariant_to("sex", as_predictor(score), rows, gate_id="g", at_most=0.1, tolerance=0.1)
    assert measured(loose, "score_change_rate").value == 0.0
    assert (
        flips(invariant_to("sex", as_predictor(score), rows, gate_id="g", at_most=0.1, threshold=0.5)).value
        == 0
    )


def test_texts_are_changed_item_by_item_and_those_that_stay_are_not_counted() -> None:
    texts = ["Not good", "FINE", "it is not so", "ok"] * 10
    evidence = invariant_to(str.lower, as_predictor(angry), texts, gate_id="g", at_most=0.1, threshold=0.5)
    found = flips(evidence)
    # "FINE" and "Not good" change, and only the second is then read otherwise.
    assert (found.n_samples, found.value, found.group) == (20, 0.5, "lower")
    table: Any = evidence.details["minimal_counterexample"]
    assert table[0] == {"what": "input", "before": "Not", "after": "not"}
    assert evidence.materials[0].annotations["rows"] == 40


def test_images_are_changed_as_one_array_with_a_seeded_generator() -> None:
    images = np.random.default_rng(0).random((80, 6, 6))

    def corner(batch: np.ndarray) -> Any:
        return (batch[:, 0, 0] > 0.9) * 1.0

    def noise(batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.clip(batch + rng.normal(0, 0.2, batch.shape), 0, 1)

    first = invariant_to(noise, as_predictor(corner), images, gate_id="g", at_most=0.5, seed=3)
    again = invariant_to(noise, as_predictor(corner), images, gate_id="g", at_most=0.5, seed=3)
    other = invariant_to(noise, as_predictor(corner), images, gate_id="g", at_most=0.5, seed=4)
    assert flips(first).value == flips(again).value
    assert first.details == again.details
    share = flips(first).value
    assert share is not None
    assert 0 < share < 0.4
    assert first.details["counterexamples"] != other.details["counterexamples"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda rows: rows.iloc[:-1], "returned 199 inputs for 200"),
        (lambda rows: rows.drop(columns="age"), "returned other columns"),
        (lambda rows: rows.to_numpy(), "returned ndarray for rows of a table"),
        (lambda rows: rows["nothing"], "could not change rows of a table: KeyError"),
        (lambda rows: rows, "nothing was changed"),
    ],
)
def test_a_function_that_makes_no_counterparts_is_refused(function: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        invariant_to(function, as_predictor(by_income), clients(), gate_id="g", at_most=0.1)


def test_a_function_that_writes_into_its_input_changes_a_copy() -> None:
    def doubled(rows: pd.DataFrame) -> pd.DataFrame:
        rows["income"] *= 2
        return rows

    rows = clients()
    before = rows.copy()
    evidence = invariant_to(doubled, as_predictor(by_income), rows, gate_id="g", at_most=1, threshold=0.5)
    pd.testing.assert_frame_equal(rows, before)
    expected = ((before["income"] < 2000) != (before["income"] * 2 < 2000)).mean()
    assert flips(evidence).value == pytest.approx(expected)


def test_people_in_several_rows_count_once() -> None:
    rows = clients(100)
    four = pd.concat([rows] * 4, ignore_index=True)
    person = np.tile(np.arange(100), 4)
    plain = flips(invariant_to("sex", as_predictor(by_income), rows, gate_id="g", at_most=0.1, threshold=0.5))
    naive = flips(invariant_to("sex", as_predictor(by_income), four, gate_id="g", at_most=0.1, threshold=0.5))
    told = flips(
        invariant_to(
            "sex", as_predictor(by_income), four, gate_id="g", at_most=0.1, threshold=0.5, clusters=person
        )
    )
    assert plain.upper is not None
    assert naive.upper is not None
    assert told.upper is not None
    assert naive.upper < 0.01
    assert told.upper > 0.02
    assert told.upper == pytest.approx(plain.upper, rel=0.05)
