"""Gaps of every kind of metric: fairlearn's and scikit-learn's values, and bounds that know the rows."""

from __future__ import annotations

import functools
import math
from typing import Any

import fairlearn.metrics
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_people import clients, risk
from pytest_prodml.checks.fairness import (
    JOINT,
    RATES,
    Answers,
    difference_at_most,
    group_at_least,
    group_at_most,
    ratio_at_least,
)
from pytest_prodml.checks.metrics import custom_metric
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import LEFT_OUT, judge_criteria
from pytest_prodml.records import Evidence, Measurement, Outcome

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
GATE: dict[str, Any] = {"gate_id": "fairness.g"}


def measured(evidence: Evidence, metric: str, group: str) -> Measurement:
    [found] = [m for m in evidence.measurements if (m.metric, m.group) == (metric, group)]
    return found


def outcomes(evidence: Evidence) -> list[Outcome]:
    return [
        item.judgement.outcome for item in judge_criteria(evidence.gate_id, evidence, confidence_level=0.95)
    ]


@functools.cache
def credit() -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], pd.DataFrame]:
    """Return truth (repaid is 1), decisions, scores and people of the real data."""
    rows = clients()
    rows = rows[rows["education"].isin(["graduate_school", "university", "high_school"])].reset_index(
        drop=True
    )
    score = 1 - risk()(rows)
    return 1 - rows["default_next_month"].to_numpy(), (score >= 0.75).astype(int), score, rows


PREDICTIVE = {
    "precision": sklearn.metrics.precision_score,
    "negative_predictive_value": lambda truth, decision, **weights: sklearn.metrics.precision_score(
        truth, decision, pos_label=0, **weights
    ),
    "accuracy": sklearn.metrics.accuracy_score,
    "selection_rate": fairlearn.metrics.selection_rate,
    "true_positive_rate": fairlearn.metrics.true_positive_rate,
    "false_positive_rate": fairlearn.metrics.false_positive_rate,
    "true_negative_rate": fairlearn.metrics.true_negative_rate,
    "false_negative_rate": fairlearn.metrics.false_negative_rate,
}


class TestOnRealData:
    @pytest.mark.parametrize("metric", PREDICTIVE)
    def test_rates_of_intersections_are_fairlearns(self, metric: str) -> None:
        truth, decision, _, rows = credit()
        sensitive = rows[["sex", "education"]]
        frame = fairlearn.metrics.MetricFrame(
            metrics=PREDICTIVE[metric], y_true=truth, y_pred=decision, sensitive_features=sensitive
        )
        columns = {name: sensitive[name].to_numpy() for name in sensitive}
        asked = {"by": [("sex", "education")], **GATE}
        answers = Answers(y_true=truth, y_pred=decision)
        difference = difference_at_most(metric, 0.1, answers, columns, **asked)
        ratio = ratio_at_least(metric, 0.8, answers, columns, **asked)
        for (sex, education), value in frame.by_group.items():
            found = measured(difference, metric, f"sex={sex} & education={education}")
            assert found.value == pytest.approx(value)
            assert found.lower is not None
            assert found.upper is not None
            assert found.lower <= value <= found.upper
        group = "sex & education"
        assert measured(difference, f"{metric}_difference", group).value == pytest.approx(frame.difference())
        assert measured(ratio, f"{metric}_ratio", group).value == pytest.approx(frame.ratio())

    def test_equalized_odds_are_fairlearns(self) -> None:
        truth, decision, _, rows = credit()
        answers, sex = Answers(y_true=truth, y_pred=decision), rows["education"].to_numpy()
        difference = difference_at_most("equalized_odds", 0.1, answers, {"education": sex}, **GATE)
        ratio = ratio_at_least("equalized_odds", 0.8, answers, {"education": sex}, **GATE)
        given = {"y_true": truth, "y_pred": decision, "sensitive_features": sex}
        headline = measured(difference, "equalized_odds_difference", "education")
        assert headline.value == pytest.approx(fairlearn.metrics.equalized_odds_difference(**given))
        assert measured(ratio, "equalized_odds_ratio", "education").value == pytest.approx(
            fairlearn.metrics.equalized_odds_ratio(**given)
        )
        parts = [measured(difference, f"{part}_difference", "education") for part in JOINT["equalized_odds"]]
        uppers = [part.upper for part in parts if part.upper is not None]
        assert headline.upper == pytest.approx(max(uppers))
        assert [criterion.metric for criterion in difference.criteria] == ["equalized_odds_difference"]

    @pytest.mark.parametrize(
        ("metric", "reference"),
        [
            ("roc_auc", sklearn.metrics.roc_auc_score),
            ("brier_score_loss", sklearn.metrics.brier_score_loss),
            ("log_loss", sklearn.metrics.log_loss),
            ("average_precision", sklearn.metrics.average_precision_score),
            ("mean_prediction", fairlearn.metrics.mean_prediction),
            ("calibration_in_the_large", lambda truth, score: float(np.mean(truth - score))),
        ],
    )
    def test_metrics_of_scores(self, metric: str, reference: Any) -> None:
        truth, _, score, rows = credit()
        sex = rows["sex"].to_numpy()
        frame = fairlearn.metrics.MetricFrame(
            metrics=reference, y_true=truth, y_pred=score, sensitive_features=sex
        )
        found = difference_at_most(metric, 0.4, Answers(y_true=truth, y_score=score), {"sex": sex}, **GATE)
        for group, value in frame.by_group.items():
            assert measured(found, metric, f"sex={group}").value == pytest.approx(value)
        headline = measured(found, f"{metric}_difference", "sex")
        assert headline.value == pytest.approx(frame.difference())
        assert headline.lower is not None
        assert headline.upper is not None
        assert headline.lower <= frame.difference() <= headline.upper
        assert outcomes(found) == [PASS]

    @pytest.mark.parametrize(
        ("metric", "reference", "unit"),
        [
            ("mean_absolute_error", sklearn.metrics.mean_absolute_error, "target"),
            ("mean_error", lambda truth, predicted: float(np.mean(predicted - truth)), "target"),
            ("r2", sklearn.metrics.r2_score, "1"),
        ],
    )
    def test_metrics_of_numbers(self, metric: str, reference: Any, unit: str) -> None:
        _, _, _, rows = credit()
        truth = rows["bill_sep"].to_numpy(dtype=float) / 1000
        predicted = rows["bill_aug"].to_numpy(dtype=float) / 1000 + (rows["sex"] == "male").to_numpy() * 9
        sex = rows["sex"].to_numpy()
        frame = fairlearn.metrics.MetricFrame(
            metrics=reference, y_true=truth, y_pred=predicted, sensitive_features=sex
        )
        found = difference_at_most(metric, 1.5, Answers(y_true=truth, y_pred=predicted), {"sex": sex}, **GATE)
        headline = measured(found, f"{metric}_difference", "sex")
        assert abs(headline.value or 0) == pytest.approx(frame.difference())
        assert headline.unit == unit
        if metric == "mean_error":
            assert outcomes(found) == [FAIL]

    def test_a_function_is_measured_and_called_by_its_name(self) -> None:
        truth, decision, _, rows = credit()
        answers, groups = Answers(y_true=truth, y_pred=decision), {"sex": rows["sex"].to_numpy()}
        found = difference_at_most(twice, 0.3, answers, groups, **GATE)
        expected = [
            twice(truth[rows["sex"] == sex], decision[rows["sex"] == sex]) for sex in ("female", "male")
        ]
        assert measured(found, "twice_difference", "sex").value == pytest.approx(
            abs(expected[0] - expected[1])
        )
        named = custom_metric("kappa", sklearn.metrics.cohen_kappa_score, low=-1, high=1)
        kappa = difference_at_most(named, 0.3, answers, groups, **GATE)
        assert measured(kappa, "kappa", "sex=male").value == pytest.approx(
            sklearn.metrics.cohen_kappa_score(
                *(column[rows["sex"] == "male"] for column in (truth, decision))
            )
        )


def twice(y_true: npt.NDArray[Any], y_pred: npt.NDArray[Any]) -> float:
    return 2 * float(np.mean(y_true == y_pred))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from("abc"), st.integers(1, 5)),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from([*RATES]),
)
def test_weighted_rates_are_fairlearns(rows: list[tuple[int, int, str, int]], metric: str) -> None:
    truth, decision, group, weight = (np.array(column) for column in zip(*rows, strict=True))
    answers = Answers(y_true=truth, y_pred=decision, sample_weight=weight)
    found = difference_at_most(metric, 0.1, answers, {"group": group}, **GATE)
    rate = RATES[metric]
    for name in np.unique(group):
        inside = group == name
        hits, counted = rate.of_rows(truth[inside] == 1, decision[inside] == 1, (truth == decision)[inside])
        value = measured(found, metric, f"group={name}").value
        if not counted.any():
            assert value is None
        else:
            assert value == pytest.approx(np.average(hits[counted], weights=weight[inside][counted]))
            if metric in PREDICTIVE:
                expected = PREDICTIVE[metric](truth[inside], decision[inside], sample_weight=weight[inside])
                assert value == pytest.approx(expected)


class TestWhatRowsAreWorth:
    def test_repeated_rows_of_a_person_prove_nothing_more(self) -> None:
        rng = np.random.default_rng(3)
        decision, sex = rng.integers(0, 2, 120), rng.choice(["f", "m"], 120)
        person = np.arange(120)
        once = difference_at_most("selection_rate", 0.3, Answers(y_pred=decision), {"sex": sex}, **GATE)
        copies: dict[str, Any] = {"y_pred": np.repeat(decision, 30)}
        groups = {"sex": np.repeat(sex, 30)}
        blind = difference_at_most("selection_rate", 0.3, Answers(**copies), groups, **GATE)
        aware = difference_at_most(
            "selection_rate", 0.3, Answers(**copies, clusters=np.repeat(person, 30)), groups, **GATE
        )
        widths = [
            (m.upper or 0) - (m.lower or 0)
            for m in (measured(found, "selection_rate_difference", "sex") for found in (once, blind, aware))
        ]
        assert widths[1] < widths[0] / 3
        assert widths[2] >= 0.9 * widths[0]
        assert aware.details["clusters"] == 120

    def test_households_that_straddle_groups_make_wider_bounds(self) -> None:
        rng = np.random.default_rng(4)
        decision, sex = rng.integers(0, 2, 600), np.tile(["f", "m"], 300)
        apart = Answers(y_pred=decision, clusters=np.where(sex == "f", 0, 1000) + np.arange(600) % 150)
        shared = Answers(y_pred=decision, clusters=np.arange(600) // 2)
        wide, narrow = (
            measured(
                difference_at_most("selection_rate", 0.3, answers, {"sex": sex}, **GATE),
                "selection_rate_difference",
                "sex",
            )
            for answers in (shared, apart)
        )
        assert "bounds of both added" in wide.method
        assert "bounds of both added" not in narrow.method

    def test_too_few_persons_are_said_to_be_the_reason(self) -> None:
        decision, sex = np.tile([0, 1], 200), np.repeat(["f", "m"], 200)
        answers = Answers(y_pred=decision, clusters=sex)
        found = difference_at_most("selection_rate", 0.1, answers, {"sex": sex}, **GATE)
        assert outcomes(found) == [OPEN]
        note = str(measured(found, "selection_rate_difference", "sex").note)
        assert "fewer than 5 clusters" in note
        assert "would decide" not in note

    def test_overlapping_groups_hold_under_any_dependence(self) -> None:
        rng = np.random.default_rng(5)
        decision = rng.integers(0, 2, 400)
        origin = [
            ["x", "y"] if place % 3 == 0 else ["x"] if place % 3 == 1 else ["y"] for place in range(400)
        ]
        found = difference_at_most(
            "selection_rate", 0.4, Answers(y_pred=decision), {"origin": origin}, **GATE
        )
        assert measured(found, "selection_rate", "origin=x").n_samples == 267
        headline = measured(found, "selection_rate_difference", "origin")
        assert "bounds of both added" in headline.method
        assert headline.n_samples == 400


class TestExposure:
    def test_it_is_the_mean_discount_of_a_brute_force_ranking(self) -> None:
        rng = np.random.default_rng(6)
        query, sex = np.repeat(np.arange(80), 5), rng.choice(["f", "m"], 400)
        score = rng.integers(0, 4, 400) / 4
        expected = np.zeros(400)
        for place in range(400):
            others = score[query == query[place]]
            before, tied = int((others > score[place]).sum()), int((others == score[place]).sum())
            expected[place] = np.mean([1 / math.log2(1 + before + k) for k in range(1, tied + 1)])
        found = difference_at_most("exposure", 0.2, Answers(y_score=score, query=query), {"sex": sex}, **GATE)
        for name in ("f", "m"):
            assert measured(found, "exposure", f"sex={name}").value == pytest.approx(
                expected[sex == name].mean()
            )
        assert "bounds of both added" in measured(found, "exposure_difference", "sex").method
        shuffled = rng.permutation(400)
        again = difference_at_most(
            "exposure",
            0.2,
            Answers(y_score=score[shuffled], query=query[shuffled]),
            {"sex": sex[shuffled]},
            **GATE,
        )
        assert measured(again, "exposure_difference", "sex").value == pytest.approx(
            measured(found, "exposure_difference", "sex").value
        )

    def test_a_ranking_that_puts_one_group_last_fails_and_a_blind_one_passes(self) -> None:
        rng = np.random.default_rng(7)
        query, sex = np.repeat(np.arange(400), 6), rng.choice(["f", "m"], 2400)
        blind = rng.random(2400)
        for score, expected in ((blind, PASS), (blind - (sex == "m"), FAIL)):
            found = difference_at_most(
                "exposure", 0.08, Answers(y_score=score, query=query), {"sex": sex}, **GATE
            )
            assert outcomes(found) == [expected]


class TestCalibration:
    def test_scores_that_mean_less_for_one_group_fail(self) -> None:
        rng = np.random.default_rng(8)
        sex, probability = rng.choice(["f", "m"], 20_000), rng.random(20_000)
        for shift, expected in ((0.0, PASS), (0.3, FAIL)):
            chance = np.where(sex == "m", probability * (1 - shift), probability)
            truth = (rng.random(20_000) < chance).astype(int)
            answers = Answers(y_true=truth, y_score=probability)
            for metric in ("expected_calibration_error", "calibration_in_the_large"):
                found = difference_at_most(metric, 0.06, answers, {"sex": sex}, **GATE)
                assert outcomes(found) == [expected], metric
            ceiling = group_at_most("expected_calibration_error", 0.06, answers, {"sex": sex}, **GATE)
            assert outcomes(ceiling) == [PASS, expected]


class TestFloors:
    def test_every_group_has_to_reach_the_floor(self) -> None:
        rng = np.random.default_rng(9)
        sex = np.repeat(["f", "m", "x"], [2000, 2000, 12])
        right = np.where(sex == "m", rng.random(4012) < 0.7, rng.random(4012) < 0.9)
        truth = rng.integers(0, 2, 4012)
        answers = Answers(y_true=truth, y_pred=np.where(right, truth, 1 - truth))
        found = group_at_least("accuracy", 0.8, answers, {"sex": sex}, **GATE)
        assert [criterion.group for criterion in found.criteria] == ["sex=f", "sex=m", "sex=x"]
        assert outcomes(found) == [PASS, FAIL, OPEN]
        small = measured(found, "accuracy", "sex=x")
        assert small.n_required is not None
        assert small.n_required > 12

    def test_losses_have_ceilings(self) -> None:
        rng = np.random.default_rng(10)
        truth, sex = rng.normal(size=4000), np.tile(["f", "m"], 2000)
        predicted = truth + rng.normal(size=4000) * np.where(sex == "f", 1, 2)
        answers = Answers(y_true=truth, y_pred=predicted)
        found = group_at_most("mean_absolute_error", 1.0, answers, {"sex": sex}, **GATE)
        assert outcomes(found) == [PASS, FAIL]
        with pytest.raises(InputError, match="is a loss"):
            group_at_least("mean_absolute_error", 1.0, answers, {"sex": sex}, **GATE)
        with pytest.raises(InputError, match="is a score"):
            group_at_most("r2", 0.5, answers, {"sex": sex}, **GATE)

    def test_nobody_is_no_pass(self) -> None:
        found = group_at_least("accuracy", 0.5, Answers(y_true=[], y_pred=[]), {"sex": []}, **GATE)
        assert outcomes(found) == [OPEN]

    def test_a_rate_has_no_joint_floor(self) -> None:
        answers = Answers(y_true=[0, 1], y_pred=[0, 1])
        with pytest.raises(InputError, match="compares groups"):
            group_at_least("equalized_odds", 0.5, answers, {"sex": ["f", "m"]}, **GATE)
        with pytest.raises(InputError, match="ask for something"):
            group_at_least("accuracy", 0.0, answers, {"sex": ["f", "m"]}, **GATE)


class TestSmallGroups:
    def test_left_out_groups_are_measured_as_such(self) -> None:
        decision = np.tile([0, 1], 1006)
        sex = np.repeat(["f", "m", "x"], [1000, 1000, 12])
        answers = Answers(y_pred=decision)
        everyone = difference_at_most("selection_rate", 0.1, answers, {"sex": sex}, **GATE)
        assert outcomes(everyone) == [OPEN]
        assert "sex=x: 12 rows, not enough data" in str(everyone.measurements[0].note)
        found = difference_at_most("selection_rate", 0.1, answers, {"sex": sex}, min_group=30, **GATE)
        assert outcomes(found) == [PASS]
        left_out = measured(found, LEFT_OUT, "sex=x")
        assert (left_out.value, left_out.lower, left_out.upper, left_out.n_samples) == (12, 12, 12, 12)
        assert found.details["left_out_of_sex"] == [{"group": "sex=x", "rows": 12}]
        assert "1 smaller group was left out" in str(measured(found, "selection_rate_difference", "sex").note)
        assert measured(found, "selection_rate_difference", "sex").n_samples == 2000
        none = difference_at_most("selection_rate", 0.1, answers, {"sex": sex}, min_group=12, **GATE)
        assert all(m.metric != LEFT_OUT for m in none.measurements)
        floors = group_at_least("selection_rate", 0.4, answers, {"sex": sex}, min_group=30, **GATE)
        assert outcomes(floors) == [PASS, PASS]
        alone = difference_at_most("selection_rate", 0.1, answers, {"sex": sex}, min_group=5000, **GATE)
        assert outcomes(alone) == [OPEN]
        with pytest.raises(InputError, match="min_group"):
            difference_at_most("selection_rate", 0.1, answers, {"sex": sex}, min_group=0, **GATE)

    def test_nothing_against_eight_percent_fails_the_ratio(self) -> None:
        decision = np.r_[np.arange(1000) < 80, np.zeros(1000, bool)].astype(int)
        sex = np.repeat(["f", "m"], 1000)
        found = ratio_at_least("selection_rate", 0.8, Answers(y_pred=decision), {"sex": sex}, **GATE)
        assert outcomes(found) == [FAIL]
        assert measured(found, "selection_rate_ratio", "sex").value == 0

    def test_an_alarm_has_a_p_value(self) -> None:
        decision = np.r_[np.arange(500) < 400, np.arange(500) < 100].astype(int)
        sex = np.repeat(["f", "m"], 500)
        found = difference_at_most(
            "selection_rate", 0.1, Answers(y_pred=decision), {"sex": sex}, burden="violation", **GATE
        )
        assert outcomes(found) == [FAIL]
        assert (measured(found, "selection_rate_difference", "sex").p_value or 1) < 1e-6


BOTH: dict[str, Any] = {"y_true": [0, 1], "y_pred": [0, 1]}


@pytest.mark.parametrize(
    ("told", "check", "metric", "limit", "changes"),
    [
        ("here it is called selection_rate", difference_at_most, "demographic_parity", 0.1, BOTH),
        ("can be negative", ratio_at_least, "matthews_corrcoef", 0.8, BOTH),
        ("between 0 and 1", ratio_at_least, "accuracy", 1.2, BOTH),
        ("would ask for nothing", difference_at_most, "accuracy", 1.0, BOTH),
        ("function with a name", difference_at_most, functools.partial(twice), 0.1, BOTH),
        ("yours needs another name", difference_at_most, fairlearn.metrics.selection_rate, 0.1, BOTH),
        ("pass query", difference_at_most, "exposure", 0.1, {"y_score": [0.1, 0.2]}),
        ("no answers", difference_at_most, "accuracy", 0.1, {}),
        ("pass y_pred", difference_at_most, "selection_rate", 0.1, {"y_score": [0.1, 0.2]}),
        ("pass y_true", difference_at_most, "roc_auc", 0.1, {"y_score": [0.1, 0.2]}),
        ("finite number", group_at_least, "accuracy", math.nan, BOTH),
        ("from 0 on", difference_at_most, "accuracy", -0.1, BOTH),
    ],
)
def test_what_can_not_be_compared_is_told(
    told: str, check: Any, metric: Any, limit: float, changes: dict[str, Any]
) -> None:
    with pytest.raises(InputError) as raised:
        check(metric, limit, Answers(**changes), {"sex": ["f", "m"]}, **GATE)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("told", "answers", "groups", "options"),
    [
        ("columns by name, got list", BOTH, [["f", "m"]], {}),
        ("by names columns", BOTH, {"sex": ["f", "m"]}, {"by": [3]}),
        ("one value for each row", {"y_pred": 1}, {"sex": ["f", "m"]}, {}),
        ("no finite number", {"y_score": [0.1, math.nan]}, {"sex": ["f", "m"]}, {}),
    ],
)
def test_answers_and_groups_of_another_shape(told: str, answers: Any, groups: Any, options: Any) -> None:
    metric = "mean_prediction" if "y_score" in answers else "selection_rate"
    with pytest.raises(InputError) as raised:
        difference_at_most(metric, 0.1, Answers(**answers), groups, **options, **GATE)
    assert told.replace("no finite number", "not a finite number") in str(raised.value)
