"""A prediction that a model can not mean is counted, by what is wrong with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pytest_prodml.checks.data import predictions_conform
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome


def conform(predictions: Any, **options: Any) -> Evidence:
    n_rows = options.pop("n_rows", len(predictions))
    return predictions_conform(predictions, gate_id="g", n_rows=n_rows, **options)


def broken(evidence: Evidence) -> dict[str | None, float | None]:
    canonical_json(encode(evidence))
    found: dict[str | None, float | None] = {
        measured.group: measured.value for measured in evidence.measurements if measured.value
    }
    outcomes = {item.judgement.outcome for item in judge_criteria("g", evidence, confidence_level=0.95)}
    assert outcomes <= {Outcome.PASS, Outcome.FAIL}
    assert (Outcome.FAIL in outcomes) == bool(found)
    return found


@pytest.mark.parametrize(
    ("predictions", "options"),
    [
        ([0.0, 0.5, 1.0], {"task": "probabilities"}),
        ([1 + 1e-9, 0.5], {"task": "probabilities"}),
        ([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]], {"task": "probabilities", "classes": ["a", "b", "c"]}),
        ([0.1, 0.9], {"task": "probabilities", "classes": [0, 1]}),
        ([[-5.0, 3.0], [1e9, 0.0]], {"task": "scores"}),
        ([3.0, -2.5], {"task": "regression"}),
        (["yes", "no"], {"task": "labels", "classes": ["no", "yes"]}),
        (np.array([1, 0]), {"task": "labels", "classes": [0.0, 1.0]}),
        (pd.Series([1.5, 2.5], dtype="Float64"), {"task": "regression"}),
        ([0.5], {"task": "probabilities"}),
        ([0.5, 0.5], {"task": "probabilities", "may_be_constant": True}),
    ],
)
def test_predictions_that_can_be_meant_pass(predictions: Any, options: dict[str, Any]) -> None:
    assert broken(conform(predictions, **options)) == {}


@pytest.mark.parametrize(
    ("predictions", "options", "expected"),
    [
        ([0.1, math.nan, math.inf], {"task": "probabilities"}, {"finite": 2}),
        ([0.1, None, 0.3], {"task": "probabilities"}, {"finite": 1}),
        (pd.Series([1.5, None], dtype="Float64"), {"task": "regression"}, {"finite": 1}),
        ([-0.01, 0.5, 1.01], {"task": "probabilities"}, {"in range": 2}),
        ([1.0, 5.0], {"task": "regression", "low": 0, "high": 4}, {"in range": 1}),
        ([[0.2, 0.2], [0.5, 0.5]], {"task": "probabilities"}, {"sums to one": 1}),
        ([[math.nan, 0.2], [0.5, 0.5]], {"task": "probabilities"}, {"finite": 1}),
        ([[1e308, 1e308], [0.5, 0.5]], {"task": "scores", "sum_to_one": True}, {"sums to one": 1}),
        ([0.5, 0.5, 0.5], {"task": "probabilities"}, {"not constant": 3}),
        ([[0.5, 0.5]] * 3, {"task": "probabilities"}, {"not constant": 3}),
        (["a", "a"], {"task": "labels", "classes": ["a", "b"]}, {"not constant": 2}),
        (["a", "c", None], {"task": "labels", "classes": ["a", "b"]}, {"finite": 1, "known class": 1}),
        ([True, 0], {"task": "labels", "classes": [0, 1]}, {"known class": 1}),
        (["1", 0], {"task": "labels", "classes": [0, 1]}, {"known class": 1}),
        ([0.1, 0.2, 0.3], {"task": "probabilities", "n_rows": 5}, {"one answer a row": 2}),
        ([0.1, 0.2, 0.3], {"task": "probabilities", "n_rows": 2}, {"one answer a row": 1}),
    ],
)
def test_each_fault_is_counted_by_its_own_rule(
    predictions: Any, options: dict[str, Any], expected: dict[str, int]
) -> None:
    found = broken(conform(predictions, **options))
    assert found.pop(None) == sum(expected.values())
    assert found == expected


def test_a_row_with_two_faults_counts_once_in_the_sum() -> None:
    found = broken(conform([[math.nan, 7.0], [0.5, 0.5]], task="probabilities"))
    assert found == {"finite": 1, "in range": 1, None: 1}


def test_the_first_failing_rows_are_shown() -> None:
    evidence = conform(["a", "z"] * 1_000, task="labels", classes=["a", "b"])
    rows: Any = evidence.details["failing_rows"]
    assert rows[0] == {"row": 1, "rule": "known class", "answer": "z"}
    assert len(rows) == 10


@pytest.mark.parametrize(
    ("predictions", "options", "message"),
    [
        ([0.5], {"task": "guess"}, "no task 'guess'"),
        ([], {"task": "probabilities"}, "no rows"),
        ([], {"task": "probabilities", "n_rows": 3}, "shape"),
        ([], {"task": "labels", "classes": [1], "n_rows": 3}, "shape"),
        (["0.5"], {"task": "probabilities"}, "no table of real numbers"),
        (np.array(["0.5", 0.1], dtype=object), {"task": "probabilities"}, "no table of real numbers"),
        ([1j], {"task": "scores"}, "no table of real numbers"),
        ([[1.0], [1.0, 2.0]], {"task": "scores"}, "no table of real numbers"),
        (np.zeros((2, 2, 2)), {"task": "scores"}, "shape"),
        (["a"], {"task": "labels"}, "name the labels"),
        (["a"], {"task": "labels", "classes": []}, "name the labels"),
        (["a"], {"task": "labels", "classes": ["a"], "low": 0}, "labels have no range"),
        ([0.5], {"task": "probabilities", "low": 2, "high": 1}, "no number lies between"),
        ([0.5], {"task": "probabilities", "low": math.nan}, "no number lies between"),
        ([0.5], {"task": "probabilities", "tolerance": -1}, "number from 0 on"),
        ([0.5], {"task": "probabilities", "tolerance": math.nan}, "number from 0 on"),
        ([0.5], {"task": "probabilities", "sum_to_one": True}, "has no sum"),
        ([[0.5, 0.5]], {"task": "probabilities", "classes": ["a", "b", "c"]}, "for 3 classes"),
    ],
)
def test_what_shows_nothing_is_refused(predictions: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        conform(predictions, **options)
