"""`calibrated`: what passes, what is caught, groups, classes, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.checks.performance.calibration import calibrated
from pytest_prodml.codec import decode, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.criterion import judge_criterion
from pytest_prodml.records import Evidence, Measurement, Outcome

Array = npt.NDArray[np.float64]


def rows(n: int, seed: int, temperature: float = 1.0) -> tuple[npt.NDArray[np.intp], Array]:
    rng = np.random.default_rng(seed)
    true = np.clip(rng.random(n), 1e-6, 1 - 1e-6)
    return (rng.random(n) < true).astype(np.intp), expit(logit(true) / temperature)


def ask(y_true: npt.ArrayLike, y_score: npt.ArrayLike, **options: Any) -> Evidence:
    known = {"positive_label", "labels", "sample_weight", "groups"}
    columns = {name: options.pop(name) for name in known & options.keys()}
    return calibrated(
        Sample(y_true=y_true, y_score=y_score, **columns), gate_id="performance.calibration", **options
    )


def outcomes(evidence: Evidence) -> list[Outcome]:
    return [judge_criterion(item, evidence, confidence_level=0.95).outcome for item in evidence.criteria]


def found(evidence: Evidence, metric: str, group: str | None = None) -> Measurement:
    (measured,) = [m for m in evidence.measurements if m.metric == metric and m.group == group]
    return measured


def test_a_calibrated_model_passes() -> None:
    evidence = ask(*rows(4_000, seed=1), slope=(0.8, 1.25), intercept=(-0.2, 0.2))
    assert set(outcomes(evidence)) == {Outcome.PASS}
    assert len(evidence.criteria) == 5
    assert found(evidence, "calibration_slope").value == pytest.approx(1, abs=0.1)


def test_a_perfect_model_is_not_failed_for_its_few_rows() -> None:
    """The plain error of these is above .05 nearly always; accused are at most 5 %, above 12 of 100 in 0.1 %."""
    evidence = [ask(*rows(200, seed=seed)) for seed in range(100)]
    plain = [json.loads(json.dumps(item.details))["uncorrected_error"]["observed"] for item in evidence]
    assert np.mean(np.array(plain) > 0.05) > 0.4
    assert sum(outcomes(item) == [Outcome.FAIL] for item in evidence) <= 12
    needs = [found(item, "expected_calibration_error").n_required for item in evidence]
    assert sum(need is not None for need in needs) > 60


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_a_wrong_temperature_is_caught(temperature: float) -> None:
    evidence = ask(*rows(4_000, seed=2, temperature=temperature), slope=(0.8, 1.25))
    assert outcomes(evidence)[0] is Outcome.FAIL
    assert Outcome.FAIL in outcomes(evidence)[1:]
    assert found(evidence, "calibration_slope").value == pytest.approx(temperature, rel=0.15)


def test_calibration_broken_in_one_group_is_caught() -> None:
    truth, score = rows(8_000, seed=3)
    group = np.where(np.arange(8_000) % 4 == 0, "b", "a")
    wrong = np.where(group == "b", expit(logit(score) * 2.5), score)
    evidence = ask(truth, wrong, at_most=0.06, by={"site": group})
    by_group = {
        item.group: judge_criterion(item, evidence, confidence_level=0.95).outcome
        for item in evidence.criteria
    }
    assert by_group == {None: Outcome.PASS, "site=a": Outcome.PASS, "site=b": Outcome.FAIL}


def test_series_and_facts_are_finite_json() -> None:
    evidence = ask(*rows(1_000, seed=4), seed=7)
    details: dict[str, Any] = json.loads(json.dumps(dict(evidence.details), allow_nan=False))
    curve = details["reliability"]
    assert len({len(curve[key]) for key in ("x", "y", "lower", "upper", "rows")}) == 1
    assert sum(curve["rows"]) == 1_000
    brier = details["brier"]
    assert brier["brier_score_loss"] == pytest.approx(found(evidence, "brier_score_loss").value)
    assert details["uncorrected_error"]["mean_by_chance"] > 0.02
    assert abs(details["spiegelhalter_z"]) < 4
    assert evidence.seed == 7
    assert decode(Evidence, encode(evidence)) == evidence


def test_the_same_seed_gives_the_same_evidence() -> None:
    columns = rows(500, seed=5)
    assert encode(ask(*columns, seed=1)) == encode(ask(*columns, seed=1))


# --- several classes ----------------------------------------------------------------------------------------


def three_classes(n: int, seed: int) -> tuple[npt.NDArray[np.str_], Array]:
    rng = np.random.default_rng(seed)
    chance = rng.dirichlet([0.7, 0.7, 0.7], size=n)
    drawn = (rng.random((n, 1)) > chance.cumsum(axis=1)[:, :2]).sum(axis=1)
    return np.array(["cat", "dog", "eel"])[drawn], chance


def test_the_predicted_class_is_judged() -> None:
    truth, chance = three_classes(4_000, seed=6)
    assert outcomes(ask(truth, chance)) == [Outcome.PASS]
    sharper = chance**2 / (chance**2).sum(axis=1, keepdims=True)
    assert outcomes(ask(truth, sharper)) == [Outcome.FAIL]


def test_every_class_is_judged() -> None:
    truth, chance = three_classes(6_000, seed=7)
    evidence = ask(truth, chance, multiclass="class_wise")
    assert [item.group for item in evidence.criteria] == ["class=cat", "class=dog", "class=eel"]
    assert set(outcomes(evidence)) == {Outcome.PASS}
    swapped = chance[:, [1, 0, 2]]
    verdicts = outcomes(ask(truth, swapped, multiclass="class_wise"))
    assert verdicts == [Outcome.FAIL, Outcome.FAIL, Outcome.PASS]


def test_classes_and_groups_combine() -> None:
    truth, chance = three_classes(600, seed=8)
    evidence = ask(truth, chance, multiclass="class_wise", by={"half": np.arange(600) % 2})
    assert "class=dog & half=1" in {item.group for item in evidence.criteria}
    assert len(evidence.criteria) == 9


def test_two_columns_are_one_positive_class() -> None:
    truth, score = rows(500, seed=9)
    one, two = ask(truth, score), ask(truth, np.column_stack([1 - score, score]))
    for metric in ("expected_calibration_error", "calibration_slope", "calibration_intercept"):
        assert found(one, metric).value == pytest.approx(found(two, metric).value, abs=1e-9)


# --- designs and edges --------------------------------------------------------------------------------------


def test_rows_of_one_client_do_not_count_as_independent() -> None:
    truth, score = (np.repeat(column, 10) for column in rows(150, seed=10))
    blind, aware = ask(truth, score), ask(truth, score, groups=np.repeat(np.arange(150), 10))
    assert (found(aware, "expected_calibration_error").lower or 0) < (
        found(blind, "expected_calibration_error").lower or 0
    )
    assert (found(aware, "expected_calibration_error").upper or 0) > 0.05
    few = ask(truth, score, groups=np.arange(1_500) % 4)
    assert outcomes(few) == [Outcome.INCONCLUSIVE]


def test_weights_are_used() -> None:
    truth, score = rows(3_000, seed=11)
    wrong = np.where(np.arange(3_000) % 2 == 0, score, 1 - score)
    weight = np.where(np.arange(3_000) % 2 == 0, 1.0, 0.0)
    assert outcomes(ask(truth, wrong)) == [Outcome.FAIL]
    evidence = ask(truth, wrong, sample_weight=weight)
    assert outcomes(evidence) == [Outcome.PASS]


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_hardly_any_rows_are_inconclusive(n: int) -> None:
    truth, score = rows(n, seed=12)
    evidence = ask(truth, score, slope=(0.5, 2.0))
    assert set(outcomes(evidence)) == {Outcome.INCONCLUSIVE}


def test_one_class_is_judged_by_the_error_alone() -> None:
    evidence = ask(np.zeros(400, dtype=int), np.full(400, 0.001), slope=(0.5, 2.0))
    assert outcomes(evidence)[0] is Outcome.PASS
    assert outcomes(evidence)[1:] == [Outcome.INCONCLUSIVE] * 2
    assert outcomes(ask(np.zeros(400, dtype=int), np.full(400, 0.4))) == [Outcome.FAIL]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])), max_size=60),
    st.sampled_from([1, 3, 15, "auto"]),
)
def test_never_a_traceback(labeled: list[tuple[int, float]], bins: Any) -> None:
    truth = np.array([label for label, _ in labeled], dtype=np.intp)
    score = np.array([value for _, value in labeled])
    evidence = ask(truth, score, bins=bins, slope=(0.5, 2.0), intercept=(None, 1.0))
    json.dumps(dict(evidence.details), allow_nan=False)
    assert len(outcomes(evidence)) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at_most": 5}, "between 0 and 1"),
        ({"at_most": 0.0}, "between 0 and 1"),
        ({"slope": (1.2, 0.8)}, "low below high"),
        ({"slope": (None, None)}, "low below high"),
        ({"slope": 1.0}, "range"),
        ({"intercept": (float("nan"), 1.0)}, "finite"),
        ({"bins": 0}, "bins"),
        ({"strategy": "kmeans"}, "strategy"),
        ({"multiclass": "one_vs_rest"}, "several classes"),
        ({"confidence_level": 0.4}, "confidence_level"),
        ({"by": {"site": ["a"]}}, "length"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask(*rows(50, seed=13), **options)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1.2, -0.1])
def test_what_is_no_probability_is_refused(bad: float) -> None:
    truth, score = rows(50, seed=14)
    score[7] = bad
    with pytest.raises(InputError):
        ask(truth, score)


def test_missing_scores_and_unknown_labels_are_refused() -> None:
    truth, score = rows(50, seed=15)
    with pytest.raises(InputError, match="y_score"):
        calibrated(Sample(y_true=truth), gate_id="g")
    with pytest.raises(InputError, match="positive_label"):
        ask(truth, score, positive_label="yes")
    with pytest.raises(InputError, match="sum to 1"):
        ask(np.arange(50) % 3, np.column_stack([score, score, score]))
