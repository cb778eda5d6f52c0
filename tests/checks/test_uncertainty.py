"""`prediction_intervals` and `prediction_sets`: what passes, what is caught, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_prodml.checks.performance.uncertainty import prediction_intervals, prediction_sets
from pytest_prodml.codec import decode, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.criterion import judge_criterion
from pytest_prodml.records import Evidence, Measurement, Outcome

Array = npt.NDArray[np.float64]


def rows(n: int, seed: int, half: float = 2.0) -> tuple[Array, Array, Array]:
    """Return numbers and intervals that cover 95.4 % of them with the default `half` width."""
    rng = np.random.default_rng(seed)
    center = rng.normal(size=n)
    return center + rng.normal(size=n), center - half, center + half


def ask(*columns: npt.ArrayLike, **options: Any) -> Evidence:
    return prediction_intervals(*columns, gate_id="performance.intervals", **options)


def outcomes(evidence: Evidence) -> dict[tuple[str, str, str | None], Outcome]:
    return {
        (item.metric, item.comparison.value, item.group): judge_criterion(
            item, evidence, confidence_level=0.95
        ).outcome
        for item in evidence.criteria
    }


def found(evidence: Evidence, metric: str, group: str | None = None) -> Measurement:
    (measured,) = [m for m in evidence.measurements if m.metric == metric and m.group == group]
    return measured


def test_intervals_that_cover_pass_and_narrow_ones_fail() -> None:
    assert set(outcomes(ask(*rows(1_000, seed=1))).values()) == {Outcome.PASS}
    assert set(outcomes(ask(*rows(1_000, seed=1, half=1.2))).values()) == {Outcome.FAIL}
    assert set(outcomes(ask(*rows(30, seed=1))).values()) == {Outcome.INCONCLUSIVE}


def test_nominal_intervals_need_a_margin() -> None:
    columns = rows(4_000, seed=2, half=1.6449)
    assert set(outcomes(ask(*columns)).values()) != {Outcome.PASS}
    assert set(outcomes(ask(*columns, margin=0.02)).values()) == {Outcome.PASS}


def test_intervals_that_cover_too_much_are_caught() -> None:
    verdicts = outcomes(ask(*rows(2_000, seed=3, half=3.0), at_most=0.95))
    assert verdicts["coverage", "at_least", None] is Outcome.PASS
    assert verdicts["coverage", "at_most", None] is Outcome.FAIL


def test_the_width_is_limited() -> None:
    columns = rows(2_000, seed=4)
    wide = columns[0], columns[1], columns[2] + np.random.default_rng(4).random(2_000)
    assert outcomes(ask(*wide, mean_width_at_most=5))["mean_width", "at_most", None] is Outcome.PASS
    assert outcomes(ask(*wide, mean_width_at_most=4.3))["mean_width", "at_most", None] is Outcome.FAIL
    assert found(ask(*wide), "mean_width").value == pytest.approx(4.5, abs=0.05)


def test_a_group_that_is_not_covered_is_caught() -> None:
    truth, lower, upper = rows(4_000, seed=5, half=2.5)
    site = np.where(np.arange(4_000) % 10 == 0, "b", "a")
    truth = np.where(site == "b", truth * 2.5, truth)
    verdicts = outcomes(ask(truth, lower, upper, by={"site": site}))
    assert verdicts["coverage", "at_least", None] is Outcome.PASS
    assert verdicts["coverage", "at_least", "site=b"] is Outcome.FAIL


def test_narrow_intervals_that_hide_behind_wide_ones_are_caught() -> None:
    truth, lower, upper = rows(4_000, seed=6, half=1.0)
    wide = np.arange(4_000) % 4 != 0
    lower, upper = np.where(wide, lower - 3 - lower % 1, lower), np.where(wide, upper + 3, upper)
    evidence = ask(truth, lower, upper, by_size=True)
    verdicts = outcomes(evidence)
    assert verdicts["coverage", "at_least", None] is Outcome.PASS
    assert verdicts["coverage", "at_least", "width=narrowest quarter"] is Outcome.FAIL
    assert len(evidence.criteria) == 5


def test_equal_widths_are_one_stratum() -> None:
    evidence = ask(*rows(500, seed=7), by_size=True)
    assert len(evidence.criteria) == 1
    assert evidence.details["coverage_by_width"] == []


def test_mapies_arrays_are_taken() -> None:
    truth, lower, upper = rows(800, seed=8)
    stacked = np.stack([np.column_stack([lower + 1, upper - 1]), np.column_stack([lower, upper])], axis=2)
    separate = ask(truth, lower, upper)
    assert ask(truth, stacked, level=1) == separate
    assert ask(truth, np.column_stack([lower, upper])) == separate
    assert ask(truth, stacked, level=0) != separate


def test_open_ended_intervals_have_no_mean_width() -> None:
    truth, lower, _ = rows(800, seed=9)
    evidence = ask(truth, lower, np.full(800, np.inf), mean_width_at_most=10)
    assert outcomes(evidence)["mean_width", "at_most", None] is Outcome.INCONCLUSIVE
    assert evidence.details["open_ended_intervals"] == 800
    json.dumps(dict(evidence.details), allow_nan=False)


def test_rows_of_one_client_do_not_count_as_independent() -> None:
    columns = tuple(np.repeat(column, 20) for column in rows(60, seed=10))
    clients = np.repeat(np.arange(60), 20)
    blind, aware = ask(*columns), ask(*columns, groups=clients)
    assert set(outcomes(blind).values()) == {Outcome.PASS}
    assert set(outcomes(aware).values()) == {Outcome.INCONCLUSIVE}


def test_evidence_survives_the_wire() -> None:
    evidence = ask(*rows(300, seed=11), by={"half": np.arange(300) % 2}, by_size=True, at_most=0.99)
    assert decode(Evidence, encode(evidence)) == evidence


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.floats(0, 9)), max_size=40))
def test_never_a_traceback(labeled: list[tuple[float, float, float]]) -> None:
    truth, lower, width = (np.array([row[place] for row in labeled], dtype=np.float64) for place in range(3))
    evidence = ask(truth, lower, lower + width, by_size=True, mean_width_at_most=3)
    json.dumps(dict(evidence.details), allow_nan=False)
    assert outcomes(evidence)
    if labeled:
        assert found(evidence, "coverage").value == np.mean((lower <= truth) & (truth <= lower + width))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coverage": 90}, "coverage must lie"),
        ({"coverage": 0.9, "at_most": 0.8}, "at_most must lie"),
        ({"at_most": 1.0}, "at_most must lie"),
        ({"margin": -0.1}, "margin"),
        ({"mean_width_at_most": 0.0}, "mean_width_at_most"),
        ({"confidence_level": 0.5}, "confidence_level"),
        ({"by": {"site": [1, 2]}}, "length"),
        ({"sample_weight": [1.0]}, "sample_weight"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask(*rows(40, seed=12), **options)


def test_crossed_ends_are_refused_with_positions() -> None:
    truth, lower, upper = rows(40, seed=13)
    lower[[3, 8]] = upper[[3, 8]] + 1
    with pytest.raises(InputError, match="in 2 of 40 rows, at positions 3, 8"):
        ask(truth, lower, upper)


# --- sets ---------------------------------------------------------------------------------------------------

LABELS = ["cat", "dog", "eel"]


def labeled_sets(
    n: int, seed: int, least: float = 0.05
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    chance = rng.dirichlet([1, 1, 1], size=n)
    drawn = (rng.random((n, 1)) > chance.cumsum(axis=1)[:, :2]).sum(axis=1)
    return np.array(LABELS)[drawn], chance >= least


def ask_sets(truth: npt.ArrayLike, sets: Any, **options: Any) -> Evidence:
    return prediction_sets(truth, sets, gate_id="performance.sets", **options)


def test_sets_that_cover_pass_and_small_ones_fail() -> None:
    assert set(outcomes(ask_sets(*labeled_sets(1_000, seed=1))).values()) == {Outcome.PASS}
    assert set(outcomes(ask_sets(*labeled_sets(1_000, seed=1, least=0.4))).values()) == {Outcome.FAIL}


def test_indicators_levels_and_collections_are_the_same() -> None:
    truth, holds = labeled_sets(300, seed=2)
    direct = ask_sets(truth, holds, by_class=True, by_size=True)
    levels = np.stack([holds, ~holds], axis=2)
    assert ask_sets(truth, levels, by_class=True, by_size=True) == direct
    collections = [{label for label, held in zip(LABELS, row, strict=True) if held} for row in holds]
    assert ask_sets(truth, collections, labels=LABELS, by_class=True, by_size=True) == direct
    assert ask_sets(truth, holds.tolist(), by_class=True, by_size=True) == direct
    tuples = [tuple(sorted(held)) for held in collections]
    assert ask_sets(truth, tuples, labels=LABELS, by_class=True, by_size=True) == direct
    assert ask_sets(truth, levels, level=1).measurements != direct.measurements


def test_coverage_is_judged_by_class_and_by_size() -> None:
    truth, holds = labeled_sets(3_000, seed=3)
    holds[:, 2] = False
    evidence = ask_sets(truth, holds, by_class=True, by_size=True)
    verdicts = outcomes(evidence)
    assert verdicts["coverage", "at_least", "class=eel"] is Outcome.FAIL
    assert verdicts["coverage", "at_least", "class=cat"] is Outcome.PASS
    assert {"set size=0", "set size=1", "set size=2"} < {group for _, _, group in verdicts if group}
    assert verdicts["coverage", "at_least", "set size=0"] is Outcome.FAIL


def test_the_mean_size_is_limited() -> None:
    truth, holds = labeled_sets(2_000, seed=4)
    evidence = ask_sets(truth, holds, mean_size_at_most=2.9)
    assert outcomes(evidence)["mean_set_size", "at_most", None] is Outcome.PASS
    assert found(evidence, "mean_set_size").value == pytest.approx(holds.sum() / 2_000)
    tight = outcomes(ask_sets(truth, holds, mean_size_at_most=1.5))
    assert tight["mean_set_size", "at_most", None] is Outcome.FAIL


def test_no_rows_are_inconclusive() -> None:
    evidence = ask_sets(np.zeros(0, dtype=int), np.zeros((0, 2)), labels=[0, 1], mean_size_at_most=1)
    assert set(outcomes(evidence).values()) == {Outcome.INCONCLUSIVE}


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (np.ones((4, 2)), "column for each of the 3 classes"),
        (np.ones(4), "column for each"),
        (np.full((4, 3), 0.5), "true or false"),
        (np.ones((3, 3)), "length"),
        (np.array([["a", "b", "c"]] * 4), "true or false"),
        ([{"cat"}, {"cow"}, {"dog"}, {"eel"}], "holds 'cow'"),
    ],
)
def test_sets_that_can_not_be_judged_are_refused(sets: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask_sets(["cat", "dog", "eel", "cat"], sets, labels=LABELS)
