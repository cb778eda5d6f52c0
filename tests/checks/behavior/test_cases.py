"""Small cases with known answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import beta

from behavior_inputs import angry, by_income, clients, measured, of_three, outcome
from pytest_prodml.adapters import as_predictor
from pytest_prodml.checks.behavior import minimum_functionality
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, Outcome


def ask(cases: Any, model: Any = by_income, data: Any = None, **more: Any) -> Evidence:
    return minimum_functionality(
        cases, as_predictor(model), clients() if data is None else data, gate_id="g", **more
    )


def is_low(score: float) -> bool:
    return score < 0.01


def test_rows_that_name_the_columns_that_matter() -> None:
    right = [({"income": 0.0}, 1), ({"income": 0.0, "age": 20}, (0.9, 1)), ({"income": 9000.0}, is_low)]
    evidence = ask(right)
    assert outcome(evidence) is Outcome.PASS
    found = measured(evidence, "failed_cases")
    assert (found.value, found.n_samples, found.confidence_level) == (0, 3, 1.0)
    wrong = ask([*right, ({"income": 0.0, "sex": "m"}, 0), ({"income": 2000.0}, (0.6, 1))])
    assert outcome(wrong) is Outcome.FAIL
    assert measured(wrong, "failed_cases").value == 2
    shown: Any = wrong.details["cases_that_fail"]
    assert [(row["case"], row["expected"], row["decided"]) for row in shown] == [
        (3, 0, 1),
        (4, "(0.6, 1)", 1),
    ]
    assert shown[0]["income"] == 0
    # What a case leaves out is that of a typical client.
    assert shown[0]["age"] == round(clients()["age"].median())
    assert "cases_that_fail" not in ask([({"income": 0.0}, 0)], redact=True).details


def test_a_threshold_decides_between_the_positive_label_and_another() -> None:
    cases = [({"income": 2200.0}, "bad"), ({"income": 9000.0}, "good")]
    assert outcome(ask(cases, threshold=0.45, positive_label="bad")) is Outcome.FAIL
    assert outcome(ask(cases, threshold=0.3, positive_label="bad")) is Outcome.PASS


def test_texts_arrays_and_pairs() -> None:
    assert outcome(ask([("not good", 1), ("fine", 0)], angry)) is Outcome.PASS
    assert outcome(ask((["not good", "fine"], [1, 0]), angry)) is Outcome.PASS
    images = [(np.zeros((4, 4)), 0), (np.ones((4, 4)), 1)]

    def bright(batch: np.ndarray) -> Any:
        return batch.mean(axis=(1, 2))

    assert outcome(ask(images, bright)) is Outcome.PASS
    assert outcome(ask((np.stack([image for image, _ in images]), [0, 0]), bright)) is Outcome.FAIL
    table = clients(5)
    assert outcome(ask((table, (by_income(table) >= 0.5).astype(int)))) is Outcome.PASS


@pytest.mark.parametrize(
    ("n_wrong", "expected"), [(0, Outcome.PASS), (4, Outcome.INCONCLUSIVE), (40, Outcome.FAIL)]
)
def test_as_a_sample_the_share_has_a_lower_bound(n_wrong: int, expected: Outcome) -> None:
    cases = [("not good", 1)] * (100 - n_wrong) + [("fine", 1)] * n_wrong
    evidence = ask(cases, angry, at_least=0.95)
    assert outcome(evidence) is expected
    found = measured(evidence, "passed_cases")
    assert found.value == 1 - n_wrong / 100
    assert found.lower == pytest.approx(beta.ppf(0.05, 100 - n_wrong, n_wrong + 1))


@pytest.mark.parametrize(
    ("cases", "more", "message"),
    [
        ([], {}, "there are no cases"),
        ("text", {}, "there are no cases"),
        ([("only",)], {}, "a case is a pair"),
        ([({"incme": 1.0}, 1)], {}, "no column 'incme'"),
        ([({"income": "much"}, 1)], {}, "does not fit the column's type float64"),
        ([({"income": 1.0}, (0.5, 0.1))], {}, "holds no number"),
        ([({"income": 1.0}, (0.5,))], {}, r"a range is \(low, high\)"),
        ([({"income": 1.0}, lambda _: None)], {}, "a case's function returned NoneType"),
        ([({"income": 1.0}, 1)], {"at_least": 2}, "at_least must be a share"),
        ([({"income": 1.0}, (0, 1))], {"model": of_three}, "has 3 classes"),
        (
            [({"income": 1.0}, 1)],
            {"model": lambda rows: rows["nothing"]},
            "the model refuses a case: KeyError",
        ),
    ],
)
def test_what_are_no_cases_is_refused(cases: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask(cases, **more)


def test_dicts_need_rows_that_say_the_columns() -> None:
    with pytest.raises(InputError, match="need rows that say which columns there are"):
        minimum_functionality([({"income": 1.0}, 1)], as_predictor(by_income), gate_id="g")
