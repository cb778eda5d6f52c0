"""Inputs get worse step by step: decisions that flip, metrics that drop, models that can not answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score, root_mean_squared_error

from pytest_prodml.adapters import Predictor, as_predictor
from pytest_prodml.adapters.callable import CallablePredictor
from pytest_prodml.checks.behavior import invariant_to, robust_answers
from pytest_prodml.checks.behavior.corruptions import transform
from pytest_prodml.checks.behavior.robust import robust_to
from pytest_prodml.checks.behavior.robust_request import rng_of
from pytest_prodml.checks.metrics import custom_metric
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Measurement, Outcome


def model(function: Callable[..., Any]) -> Predictor:
    return CallablePredictor(function=function)


def check(how: Any, own: Any, data: Any, **options: Any) -> Evidence:
    evidence = robust_to(how, own, data, gate_id="behavior.robust", **options)
    canonical_json(encode(evidence))
    return evidence


def found(evidence: Evidence, metric: str, group: str | None = None) -> Measurement:
    return next(m for m in evidence.measurements if m.metric == metric and group in {None, m.group})


def outcome(evidence: Evidence) -> Outcome:
    found = {
        one.judgement.outcome for one in judge_criteria("behavior.robust", evidence, confidence_level=0.95)
    }
    if Outcome.FAIL in found:
        return Outcome.FAIL
    return Outcome.PASS if found == {Outcome.PASS} else Outcome.INCONCLUSIVE


def worse(name: str, batch: Any, severity: float, seed: int = 0, **options: Any) -> Any:
    return transform(name, severity, of="rows", **options)(batch, rng_of(name, seed))


def normal(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)})


def by_sign(rows: pd.DataFrame) -> Any:
    return 1 / (1 + np.exp(-4 * rows["x"].to_numpy()))


def by_last_digits(rows: pd.DataFrame) -> Any:
    """Decide by what stands behind the second decimal place: nothing that a measurement is good for."""
    return (np.floor(rows["x"].to_numpy() * 20) % 2 == 0).astype(float)


def test_the_curve_is_that_of_the_normal_distribution() -> None:
    # Of a standard normal number and noise of deviation s: P(sign changes) = arctan(s) / pi.
    severities = (0.1, 0.3, 1.0)
    evidence = check("noise", model(by_sign), normal(20_000), severity=severities, at_most=0.3)
    for severity in severities:
        rate = found(evidence, "decision_flip_rate", f"noise={severity:g}")
        assert rate.value == pytest.approx(math.atan(severity) / math.pi, abs=0.008)
        assert rate.lower is not None
        assert rate.upper is not None
        assert rate.lower < math.atan(severity) / math.pi < rate.upper
        assert rate.method == "Clopper-Pearson"
        assert rate.n_samples == 20_000
    assert outcome(evidence) is Outcome.PASS
    curve: Any = evidence.details["robustness"]
    assert curve["x"] == list(severities)
    assert curve["y"] == sorted(curve["y"])
    area = found(evidence, "mean_flip_rate")
    assert area.value == pytest.approx(np.trapezoid([0, *curve["y"]], [0, *severities]) / 1.0)
    assert not [one for one in evidence.criteria if one.metric == "mean_flip_rate"]


def test_a_brittle_model_fails_where_its_smooth_twin_passes() -> None:
    rows = normal(3000)
    severities = (0.001, 0.01, 0.05)
    smooth = check("noise", model(by_sign), rows, severity=severities, at_most=0.05)
    brittle = check("noise", model(by_last_digits), rows, severity=severities, at_most=0.05)
    assert outcome(smooth) is Outcome.PASS
    assert outcome(brittle) is Outcome.FAIL
    # It holds where noise is far below its steps of 0.05, and breaks where it is not.
    broken = {}
    for one in brittle.criteria:
        measured = found(brittle, one.metric, one.group)
        assert measured.lower is not None
        broken[one.group] = measured.lower > one.limit
    assert broken == {"noise=0.001": False, "noise=0.01": True, "noise=0.05": True}
    shown: Any = brittle.details["first_to_flip"]
    assert {row["severity"] for row in shown} == {0.001}
    assert all(row["decision before"] != row["decision after"] for row in shown)
    assert all("x: " in row["changed"] for row in shown)


def test_each_severity_has_its_own_limit_and_all_must_hold() -> None:
    rows = normal(4000)
    kept = check("noise", model(by_sign), rows, severity=(1.0, 0.1), at_most=(0.3, 0.06))
    assert {one.group: one.limit for one in kept.criteria} == {"noise=1": 0.3, "noise=0.1": 0.06}
    assert outcome(kept) is Outcome.PASS
    broken = check("noise", model(by_sign), rows, severity=(1.0, 0.1), at_most=(0.1, 0.06))
    assert outcome(broken) is Outcome.FAIL
    assert (
        outcome(check("noise", model(by_sign), normal(60), severity=0.1, at_most=0.06))
        is Outcome.INCONCLUSIVE
    )


def test_bounds_at_the_limit_are_wrong_as_seldom_as_they_say() -> None:
    limit, n, runs = 0.1, 200, 500
    rows = np.ones((n, 1))

    def turned(batch: Any, severity: float, rng: Any) -> Any:
        return np.where(rng.random((len(batch), 1)) < severity, -batch, 2 * batch)

    own = model(lambda batch: (batch[:, 0] > 0).astype(float))
    outcomes = [
        outcome(check(turned, own, rows, severity=limit, at_most=limit, seed=seed)) for seed in range(runs)
    ]
    # Exact bounds err at most 5 % on each side: three standard deviations of 500 runs on top.
    most = 0.05 * runs + 3 * math.sqrt(0.05 * 0.95 * runs)
    assert outcomes.count(Outcome.FAIL) <= most
    assert outcomes.count(Outcome.PASS) <= most
    assert outcomes.count(Outcome.INCONCLUSIVE) > 0.8 * runs


def test_inputs_of_one_client_are_not_independent() -> None:
    rows = normal(300)
    repeated = pd.concat([rows] * 10, ignore_index=True)

    def moved(batch: Any, severity: float, rng: Any) -> Any:
        shift = rng.normal(size=300)
        return batch.assign(x=batch["x"] + severity * np.tile(shift, 10))

    clients = np.tile(np.arange(300), 10)
    alone = found(check(moved, model(by_sign), repeated, severity=0.3, at_most=0.2), "decision_flip_rate")
    known = found(
        check(moved, model(by_sign), repeated, severity=0.3, at_most=0.2, clusters=clients),
        "decision_flip_rate",
    )
    assert known.value == alone.value
    assert known.upper is not None
    assert alone.upper is not None
    assert known.value is not None
    assert known.upper - known.value > 2 * (alone.upper - known.value)
    # Rows of weight 0 count nowhere.
    weight = np.where(rows["x"] > 0, 1.0, 0.0)
    weighted = found(
        check("noise", model(by_sign), rows, severity=0.5, at_most=0.5, sample_weight=weight),
        "decision_flip_rate",
    )
    after = worse("noise", rows, 0.5)
    assert weighted.value == pytest.approx(float((after["x"] <= 0)[rows["x"] > 0].mean()), abs=1e-9)


# --- metrics ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def credit() -> tuple[pd.DataFrame, Any, Any]:
    rows = normal(1500, seed=3)
    rng = np.random.default_rng(4)
    target = (rows["x"] + 0.5 * rows["z"] + rng.normal(0, 0.7, len(rows)) > 0).astype(int).to_numpy()
    return rows, target, LogisticRegression().fit(rows, target)


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc", "brier_score_loss"])
def test_the_drop_is_that_of_the_metric(credit: tuple[pd.DataFrame, Any, Any], metric: str) -> None:
    rows, target, fitted = credit
    evidence = check(
        "noise",
        as_predictor(fitted),
        (rows, target),
        severity=(0.2, 1.0),
        metric=metric,
        drop_at_most=(0.05, 0.3),
    )
    for severity in (0.2, 1.0):
        after = worse("noise", rows, severity)
        if metric == "accuracy":
            expected = accuracy_score(target, fitted.predict(rows)) - accuracy_score(
                target, fitted.predict(after)
            )
        else:
            scores = [fitted.predict_proba(batch)[:, 1] for batch in (rows, after)]
            if metric == "roc_auc":
                expected = roc_auc_score(target, scores[0]) - roc_auc_score(target, scores[1])
            else:
                expected = brier_score_loss(target, scores[1]) - brier_score_loss(target, scores[0])
        drop = found(evidence, f"{metric}_drop", f"noise={severity:g}")
        assert drop.value == pytest.approx(expected, abs=1e-9)
        assert drop.lower is not None
        assert drop.upper is not None
        assert drop.lower <= expected <= drop.upper
    assert outcome(evidence) is Outcome.PASS
    assert {one.metric for one in evidence.criteria} == {f"{metric}_drop"}
    table: Any = evidence.details["curve"]
    assert [row["drop"] for row in table] == [m.value for m in evidence.measurements if "drop" in m.metric]
    strict = check(
        "noise", as_predictor(fitted), (rows, target), severity=1.0, metric=metric, drop_at_most=0.001
    )
    assert outcome(strict) is Outcome.FAIL


def test_labels_that_are_words_and_a_threshold(credit: tuple[pd.DataFrame, Any, Any]) -> None:
    rows, target, _ = credit
    words = np.where(target == 1, "repaid", "lost")
    fitted = LogisticRegression().fit(rows, words)
    own = as_predictor(fitted)
    by_label = check("noise", own, (rows, words), severity=0.5, metric="accuracy", positive_label="repaid")
    by_score = check(
        "noise", own, (rows, words), severity=0.5, metric="accuracy", positive_label="repaid", threshold=0.5
    )
    assert found(by_label, "accuracy_drop").value == pytest.approx(found(by_score, "accuracy_drop").value)


def test_an_input_without_an_answer_is_answered_in_the_worst_way(
    credit: tuple[pd.DataFrame, Any, Any],
) -> None:
    rows, target, fitted = credit
    own = model(lambda batch: fitted.predict_proba(batch)[:, 1])
    emptied = worse("missingness", rows, 0.05)
    lost = emptied.isna().any(axis=1).to_numpy()
    worst = np.where(lost, 1 - target, fitted.predict(rows))
    clean = accuracy_score(target, fitted.predict(rows))
    data = (rows, target)
    for options in ({}, {"threshold": 0.5}):
        evidence = check("missingness", own, data, severity=0.05, metric="accuracy", **options)
        assert found(evidence, "accuracy_drop").value == pytest.approx(clean - accuracy_score(target, worst))
    scores = np.where(lost, 1 - target, fitted.predict_proba(rows)[:, 1])
    ranked = check("missingness", own, data, severity=0.05, metric="roc_auc")
    expected = roc_auc_score(target, fitted.predict_proba(rows)[:, 1]) - roc_auc_score(target, scores)
    assert found(ranked, "roc_auc_drop").value == pytest.approx(expected)
    # sklearn's model raises on NaN: those inputs flip, and no others can.
    rate = found(ranked, "decision_flip_rate")
    assert rate.value == pytest.approx(lost.mean())
    assert found(ranked, "decision_flip_rate_of_changed").value == 1.0
    assert f"{lost.sum()} without an answer" in str(rate.note)
    assert any("ValueError" in str(problem) for problem in ranked.details["problems"])  # type: ignore[union-attr]


def test_a_number_without_an_answer_has_no_worst_one() -> None:
    rows = normal(400)
    target = rows["x"].to_numpy() * 2
    fitted = as_predictor(LinearRegression().fit(rows, target))
    options = {"metric": "root_mean_squared_error", "tolerance": 0.5}
    noisy = check("noise", fitted, (rows, target), severity=0.5, drop_at_most=3.0, **options)
    after = worse("noise", rows, 0.5)
    expected = root_mean_squared_error(target, fitted.predict_score(after))
    assert found(noisy, "root_mean_squared_error_drop").value == pytest.approx(expected, abs=1e-9)
    moved = np.abs(fitted.predict_score(after) - fitted.predict_score(rows)) > 0.5
    assert found(noisy, "score_change_rate").value == pytest.approx(moved.mean())
    emptied = check("missingness", fitted, (rows, target), severity=0.2, drop_at_most=3.0, **options)
    assert found(emptied, "root_mean_squared_error_drop").value is None
    assert outcome(emptied) is Outcome.INCONCLUSIVE
    with pytest.raises(InputError, match="tolerance"):
        check("noise", fitted, rows, severity=0.5)
    with pytest.raises(InputError, match="tolerance"):
        check("noise", fitted, (rows, target), severity=0.5, metric="root_mean_squared_error")


def test_three_classes() -> None:
    rows = normal(900)
    target = np.digitize(rows["x"], [-0.5, 0.5])
    fitted = LogisticRegression().fit(rows, target)
    own = as_predictor(fitted)
    evidence = check("noise", own, (rows, target), severity=0.5, metric="accuracy", labels=[0, 1, 2])
    after = worse("noise", rows, 0.5)
    flips = fitted.predict(after) != fitted.predict(rows)
    assert found(evidence, "decision_flip_rate").value == pytest.approx(flips.mean())
    lossy = check("missingness", own, (rows, target), severity=0.1, metric="log_loss", labels=[0, 1, 2])
    assert (found(lossy, "log_loss_drop").value or 0) > 1
    with pytest.raises(InputError, match="needs one score"):
        check("noise", own, rows, severity=0.5, threshold=0.5)


def test_a_metric_of_ones_own(credit: tuple[pd.DataFrame, Any, Any]) -> None:
    rows, target, fitted = credit
    own = custom_metric(
        "kept", lambda truth, predicted: float(np.mean(truth == predicted)), low=0.0, high=1.0
    )
    evidence = check(
        "noise", as_predictor(fitted), (rows, target), severity=0.5, metric=own, drop_at_most=0.3
    )
    known = check("noise", as_predictor(fitted), (rows, target), severity=0.5, metric="accuracy")
    assert found(evidence, "kept_drop").value == pytest.approx(found(known, "accuracy_drop").value)


# --- models that can not answer ---------------------------------------------------------------------------


def test_inputs_that_raise_are_found_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = normal(600)
    asked: list[int] = []

    def fragile(batch: pd.DataFrame) -> Any:
        asked.append(len(batch))
        if (batch["x"] > 2.2).any():
            raise KeyError("too\nlarge")
        return by_sign(batch)

    usual = rows.assign(x=rows["x"].clip(upper=2))
    evidence = check("noise", model(fragile), usual, severity=0.5, at_most=0.1)
    large = worse("noise", usual, 0.5)["x"].to_numpy()
    expected = (large > 2.2) | ((large >= 0) != (usual["x"].to_numpy() >= 0))
    assert found(evidence, "decision_flip_rate").value == pytest.approx(expected.mean())
    assert evidence.details["problems"] == ["raises KeyError: 'too\\nlarge'"]
    assert "counted_as_failed_without_being_asked_alone" not in evidence.details
    assert len(asked) < 600
    # Where the calls are spent, what is left has failed: never fewer than there are.
    monkeypatch.setattr(robust_answers, "MOST_CALLS", 5)
    hurried = check("noise", model(fragile), usual, severity=0.5, at_most=0.1)
    assert (found(hurried, "decision_flip_rate").value or 0) >= expected.mean()
    assert hurried.details["counted_as_failed_without_being_asked_alone"]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, "nothing", "rows"])
def test_no_answer_counts_as_a_flip(wrong: Any) -> None:
    rows = normal(300)

    def silent(batch: pd.DataFrame) -> Any:
        scores = by_sign(batch)
        bad = batch["z"].isna().to_numpy()
        if wrong == "nothing":
            return None if bad.any() else scores
        if wrong == "rows":
            return scores[~bad]
        return np.where(bad, wrong, scores)

    evidence = check("missingness", model(silent), rows, severity=0.3, columns=["z"], at_most=0.05)
    lost = worse("missingness", rows, 0.3, columns=["z"])["z"].isna()
    assert found(evidence, "decision_flip_rate").value == pytest.approx(lost.mean())
    assert outcome(evidence) is Outcome.FAIL
    shown: Any = evidence.details["first_to_flip"]
    assert all("problem" in row and "z: " in row["changed"] and "-> empty" in row["changed"] for row in shown)


def test_a_model_that_fails_on_clean_inputs_is_an_error_of_the_test() -> None:
    def broken(batch: pd.DataFrame) -> Any:
        del batch
        raise RuntimeError("no model")

    with pytest.raises(InputError, match="refuses the inputs as they are: RuntimeError"):
        check("noise", model(broken), normal(20), severity=0.1, at_most=0.1)
    with pytest.raises(InputError, match="not finite"):
        check("noise", model(lambda rows: np.full(len(rows), np.nan)), normal(20), severity=0.1, at_most=0.1)


# --- texts, images, series --------------------------------------------------------------------------------

REVIEWS = ["I liked it", "It is not good", "It was great 🙂", "", "لم يعجبني", "She can't act"] * 40


def by_word(texts: list[str]) -> Any:
    return np.array([0.1 if " not " in f" {text} " or "n't" in text else 0.9 for text in texts])


def test_texts_and_a_negation_that_must_move() -> None:
    kept = check("casing", model(by_word), REVIEWS, severity=(0.2, 1.0), at_most=0.9)
    assert found(kept, "decision_flip_rate", "casing=1").n_samples == 240
    moved = check("negation", model(by_word), REVIEWS, severity=1.0, at_least=0.9)
    # "It was great" -> "not", "It is not good" and "She can't act" -> without; the others stay as they are.
    part = found(moved, "decision_flip_rate_of_changed")
    assert (part.value, part.n_samples) == (1.0, 120)
    assert outcome(moved) is Outcome.PASS
    deaf = check(
        "negation", model(lambda texts: np.full(len(texts), 0.9)), REVIEWS, severity=1.0, at_least=0.9
    )
    assert outcome(deaf) is Outcome.FAIL
    with pytest.raises(InputError, match="must move"):
        check("negation", model(by_word), REVIEWS, severity=1.0, at_most=0.1)

    def mute(texts: list[str]) -> Any:
        if any("not great" in text for text in texts):
            raise ValueError
        return by_word(texts)

    # An input without an answer has not been understood.
    silent = check("negation", model(mute), REVIEWS, severity=1.0, at_least=0.9)
    assert found(silent, "decision_flip_rate_of_changed").value == pytest.approx(2 / 3)


def test_limits_among_changed_inputs() -> None:
    options: dict[str, Any] = {"severity": 1.0, "at_most": 0.3, "synonyms": {"great": "awful"}}
    own = model(lambda texts: np.array(["awful" in text for text in texts], dtype=float))
    everyone = check("synonyms", own, REVIEWS, among="all", **options)
    assert outcome(everyone) is Outcome.PASS
    # Most texts hold no word of the list: what a share of all of them says about the model is little.
    touched = check("synonyms", own, REVIEWS, **options)
    assert outcome(touched) is Outcome.FAIL
    assert found(touched, "decision_flip_rate_of_changed").n_samples == 40
    shown: Any = touched.details["first_to_flip"]
    assert shown[0]["before"] == "It was great 🙂"
    assert shown[0]["after"] == "It was awful 🙂"


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 12, 12, 3)).astype(np.uint8)
    images = images if dtype is np.uint8 else (images / 255).astype(dtype)
    top = 255.0 if dtype is np.uint8 else 1.0
    own = model(lambda batch: batch.astype(float).mean(axis=(1, 2, 3)) / top)
    evidence = check("brightness", own, images, severity=(1, 3, 5), at_most=(0.2, 1.0, 1.0), tolerance=0.06)
    rates = [found(evidence, "score_change_rate", f"brightness={level}").value for level in (1, 3, 5)]
    assert rates == [0.0, 1.0, 1.0]
    assert found(evidence, "mean_score_change_rate").value == pytest.approx(3 / 5)
    shown: Any = evidence.details["first_to_flip"]
    assert shown[0]["severity"] == 3
    assert shown[0]["values changed"] > 100
    reds = model(
        lambda batch: (batch[..., 0].mean(axis=(1, 2)) > batch[..., 2].mean(axis=(1, 2))).astype(float)
    )
    swapped = check("channel_order", reds, images, severity=1.0, at_most=0.1)
    assert outcome(swapped) is Outcome.FAIL


def test_series_of_several_lengths() -> None:
    rng = np.random.default_rng(0)
    batch = [rng.normal(size=rng.integers(20, 60)) + (i % 2) for i in range(100)]
    own = model(lambda many: np.array([float(np.median(one) > 0.5) for one in many]))
    evidence = check("level_shift", own, batch, severity=(0.5, 3.0), at_most=0.9)
    assert found(evidence, "decision_flip_rate", "level_shift=0.5").n_samples == 100
    shown: Any = evidence.details["first_to_flip"]
    assert shown[0]["values changed"] > 0
    array = rng.normal(size=(50, 30))
    check("noise", model(lambda many: (many.mean(axis=1) > 0).astype(float)), array, severity=1, of="series")


# --- what is given ----------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_evidence() -> None:
    rows = normal(500)
    before = rows.copy()
    first = check("noise", model(by_sign), rows, severity=(0.1, 0.2), at_most=0.1, seed=5)
    assert rows.equals(before)
    assert first == check("noise", model(by_sign), rows, severity=(0.1, 0.2), at_most=0.1, seed=5)
    assert first.seed == 5
    assert first == check("noise", model(by_sign), rows, severity=(0.1, 0.2), at_most=0.1, seed=np.int64(5))
    assert first != check("noise", model(by_sign), rows, severity=(0.1, 0.2), at_most=0.1, seed=6)
    assert [one.annotations["role"] for one in first.materials] == ["test"]


def test_redacted_evidence_shows_no_input() -> None:
    def talkative(batch: pd.DataFrame) -> Any:
        if batch["x"].isna().any():
            raise ValueError(f"bad {batch['z'].iloc[0]}")
        return by_sign(batch)

    options: dict[str, Any] = {"severity": 0.3, "at_most": 0.1}
    open_ = check("missingness", model(talkative), normal(100), **options)
    assert "first_to_flip" in open_.details
    assert "problems" in open_.details
    closed = check("missingness", model(talkative), normal(100), redact=True, **options)
    assert "first_to_flip" not in closed.details
    assert "problems" not in closed.details
    assert closed.measurements == open_.measurements


def test_identifiers_are_left_alone_and_that_is_told() -> None:
    rows = normal(200).assign(client=np.arange(200), branch=np.arange(200) % 7)
    evidence = check("noise", model(by_sign), rows, severity=1.0, at_most=0.5, ignore=["branch"])
    assert evidence.details["columns_left_alone"] == ["branch", "client"]
    assert evidence.details["columns_changed"] == ["x", "z"]


def test_without_a_limit_there_is_no_criterion() -> None:
    evidence = check("noise", model(by_sign), normal(100), severity=0.5)
    assert evidence.criteria == ()
    assert outcome(evidence) is Outcome.INCONCLUSIVE


def test_a_function_of_ones_own() -> None:
    def doubled(batch: pd.DataFrame, severity: float, rng: np.random.Generator) -> pd.DataFrame:
        batch["x"] = batch["x"] - severity * rng.random(len(batch))
        return batch

    rows = normal(200)
    before = rows.copy()
    evidence = check(doubled, model(by_sign), rows, severity=(0.5, -0.5), at_most=0.5)
    assert rows.equals(before)
    assert [one.group for one in evidence.criteria] == ["doubled=0.5", "doubled=-0.5"]

    def failing(batch: Any, severity: float, rng: Any) -> Any:
        del batch, severity, rng
        raise ZeroDivisionError("oops")

    for own, told in (
        (failing, "could not corrupt rows of a table: ZeroDivisionError: oops"),
        (lambda batch, *_: batch.iloc[:3], "returned 3 inputs for 200"),
        (lambda batch, *_: batch[["x"]], "other columns"),
        (lambda batch, *_: batch.to_numpy(), "returned ndarray"),
        (lambda batch, *_: batch, "changed none of the 200 inputs"),
        (lambda batch: batch, "could not corrupt"),
    ):
        with pytest.raises(InputError, match=told):
            check(own, model(by_sign), rows, severity=0.5, at_most=0.5)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"severity": ()}, "1 to 50 severities"),
        ({"severity": (0.1, 0.1)}, "must differ"),
        ({"severity": (0.1, 0.10000001)}, "must differ"),
        ({"severity": "0.1"}, "must be a number"),
        ({"severity": 0.0}, "changes nothing"),
        ({"severity": 0.1, "at_most": 5}, "between 0 and 1"),
        ({"severity": 0.1, "at_most": "5"}, "must be a number"),
        ({"severity": 0.1, "at_most": True}, "must be a number"),
        ({"severity": 0.1, "at_most": (0.1, 0.2)}, "2 limits for 1 severities"),
        ({"severity": 0.1, "at_most": 0.1, "at_least": 0.1}, "give one of them"),
        ({"severity": 0.1, "among": "some"}, "'all' or 'changed'"),
        ({"severity": 0.1, "drop_at_most": 0.1}, "needs a metric"),
        ({"severity": 0.1, "metric": "accuracy"}, "there are none"),
        ({"severity": 0.1, "metric": "acuracy"}, "accuracy"),
        ({"severity": 0.1, "metric": "mean_error", "tolerance": 1}, "neither"),
        ({"severity": 0.1, "tolerance": -1}, "from 0 on"),
        ({"severity": 0.1, "threshold": float("nan")}, "finite number"),
        ({"severity": 0.1, "threshold": float("inf")}, "finite number"),
        ({"severity": 0.1, "tolerance": float("nan")}, "from 0 on"),
        ({"severity": 0.1, "columns": ["y"]}, "y"),
        ({"severity": 0.1, "at_mots": 0.1}, "no option 'at_mots'"),
        ({"severity": 0.1, "of": "sounds"}, "must be one of"),
        ({"severity": 0.1, "of": "images"}, "not of images"),
        ({"severity": 0.1, "seed": -1}, "seed"),
        ({"severity": 0.1, "confidence_level": 1.5}, "confidence_level"),
        ({"severity": 0.1, "sample_weight": [1.0]}, "sample_weight"),
        ({"severity": 0.1, "clusters": ["a"]}, "groups"),
    ],
)
def test_wrong_requests_get_a_sentence(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        check("noise", model(by_sign), normal(50), **options)


@pytest.mark.parametrize("limit", [-0.1, float("nan"), 1.0, "much"])
def test_a_drop_that_every_model_keeps_is_no_limit(limit: Any) -> None:
    rows = normal(50)
    with pytest.raises(InputError, match="drop|worse|good enough|number"):
        check(
            "noise",
            model(by_sign),
            (rows, (rows["x"] > 0).astype(int)),
            severity=0.1,
            metric="accuracy",
            drop_at_most=limit,
        )


def test_nothing_changed_is_no_pass() -> None:
    with pytest.raises(InputError, match="changed none of the 3 inputs"):
        check("accents", model(by_word), ["a", "b", "c"], severity=1.0, at_most=0.5)
    with pytest.raises(InputError, match="no inputs"):
        check("typos", model(by_word), [], severity=1.0, at_most=0.5)


def test_fewer_digits_are_worse() -> None:
    rows = normal(2000)
    evidence = check("significant_digits", model(by_last_digits), rows, severity=(1, 2, 6), at_most=0.9)
    shown: Any = evidence.details["first_to_flip"]
    assert {row["severity"] for row in shown} <= {2.0, 6.0}
    curve: Any = evidence.details["robustness"]
    assert curve["x"] == [1, 2, 6]
    assert curve["y"][0] > curve["y"][1] > curve["y"][2]


def test_what_was_asked_stands_in_the_evidence() -> None:
    options: dict[str, Any] = {"severity": 0.1, "at_most": 0.1, "within_observed": True}
    evidence = check("noise", model(by_sign), normal(50), threshold=0.5, **options)
    assert evidence.details["options"] == {"within_observed": True}
    assert evidence.details["decided_by"] == "score >= 0.5"
    words = check(
        "synonyms", model(by_word), REVIEWS, severity=1.0, at_most=0.5, synonyms={"great": "good", "a": "b"}
    )
    assert words.details["options"] == {"synonyms": "2 entries"}


def test_a_transform_and_an_array_that_could_be_several_things_get_a_hint() -> None:
    with pytest.raises(InputError, match="has its severity already") as error:
        check(transform("typos", 0.1), model(by_word), REVIEWS, severity=0.1)
    assert 'robust_to("typos", severity=0.1)' in str(error.value)
    images = np.zeros((5, 8, 8), dtype=np.uint8)
    with pytest.raises(InputError, match="series or images") as error:
        check("noise", model(by_sign), images, severity=0.1)
    assert "gaussian_noise" in str(error.value)


def test_a_corruption_goes_into_a_rule() -> None:
    loud = check_rule(transform("casing", 1.0), ["a good one", "not so"] * 50)
    assert loud.measurements[0].group == "casing=1"
    assert loud.measurements[0].value == 0.5


def check_rule(own: Any, texts: list[str]) -> Evidence:
    deaf = model(lambda batch: np.array([float("good" in text) for text in batch]))
    return invariant_to(own, deaf, texts, gate_id="behavior.rule", at_most=0.1)


def test_errors_and_missing_scores_come_together() -> None:
    rows = normal(200)

    def troubled(batch: pd.DataFrame) -> Any:
        if (batch["z"] == -9).any():
            raise ValueError("unknown")
        return np.where(batch["x"] == -9, np.nan, by_sign(batch))

    evidence = check("sentinel", model(troubled), rows, severity=0.2, at_most=0.1, value=-9)
    after = worse("sentinel", rows, 0.2, value=-9)
    lost = ((after == -9).any(axis=1)).to_numpy()
    assert found(evidence, "decision_flip_rate").value == pytest.approx(lost.mean())
    assert evidence.details["problems"] == ["raises ValueError: unknown", "the score is not finite"]


def test_columns_beyond_fifty_are_counted() -> None:
    rows = pd.DataFrame(np.random.default_rng(2).normal(size=(40, 60))).add_prefix("c")
    own = model(lambda batch: (batch["c0"].to_numpy() > 0).astype(float))
    evidence = check("noise", own, rows, severity=3.0, at_most=0.9)
    told: Any = evidence.details["columns_changed"]
    assert len(told) == 50
    assert evidence.details["more_columns_changed"] == 10
    shown: Any = evidence.details["first_to_flip"]
    assert shown[0]["changed"].endswith(", and 55 more")


@pytest.mark.parametrize(
    ("how", "told"),
    [("noize", "did you mean 'noise'"), (3, "name of a corruption"), ("blur", "takes images")],
)
def test_what_is_no_corruption_gets_a_sentence(how: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        check(how, model(by_sign), normal(20), severity=0.1, at_most=0.1)


def test_one_class_leaves_no_wrong_label() -> None:
    rows = normal(60)
    own = as_predictor(LogisticRegression().fit(rows, (rows["x"] > 0).astype(int)))
    everywhere = (rows, np.ones(60, dtype=int))
    evidence = check("missingness", own, everywhere, severity=0.3, metric="accuracy", drop_at_most=0.9)
    assert found(evidence, "accuracy_drop").value is None
    assert outcome(evidence) is Outcome.INCONCLUSIVE


def test_a_missing_score_is_no_answer_that_moved() -> None:
    def lost(texts: list[str]) -> Any:
        return np.where(["not great" in text for text in texts], np.nan, by_word(texts))

    silent = check("negation", model(lost), REVIEWS, severity=1.0, at_least=0.9, threshold=0.5)
    assert found(silent, "decision_flip_rate_of_changed").value == pytest.approx(2 / 3)


def test_only_inputs_that_were_changed_are_asked_again() -> None:
    asked: list[int] = []

    def fragile(batch: pd.DataFrame) -> Any:
        asked.append(len(batch))
        if batch.isna().to_numpy().any():
            raise ValueError("empty")
        return by_sign(batch)

    rows = normal(500)
    check("missingness", model(fragile), rows, severity=0.02, at_most=0.1, threshold=0.5)
    n_changed = int(worse("missingness", rows, 0.02).isna().any(axis=1).sum())
    # Clean, corrupted, and then halves of what was changed.
    assert asked[:3] == [500, 500, n_changed]
    assert 0 < n_changed < 50


def test_a_model_that_writes_into_its_input_spoils_nothing() -> None:
    def writing(batch: pd.DataFrame) -> Any:
        scores = by_sign(batch)
        batch["x"] = 0.0
        return scores

    rows = normal(400)
    before = rows.copy()
    options: dict[str, Any] = {"severity": (0.2, 0.8), "at_most": 0.5, "threshold": 0.5}
    found_ = check("noise", model(writing), rows, **options)
    assert rows.equals(before)
    clean = check("noise", model(by_sign), before, **options)
    assert found_.measurements == clean.measurements
