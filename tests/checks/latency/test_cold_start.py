"""The time to the first prediction: order statistics over starts, and what withholds a bound.

Durations are made up: nothing here measures how fast this machine is.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from pytest_prodml.checks.latency.cold_start import cold_start_at_most, runs_probability, starts_for
from pytest_prodml.checks.latency.spawned import STAGES, Start
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Measurement, Outcome

FAST, SLOW, BUDGET = 0.2, 3.0, 1.0


def start(seconds: float, *, first: float = 0.01, **changes: Any) -> Start:
    stages = dict.fromkeys(STAGES, (seconds - first) / 4) | {"first_prediction": first}
    arguments: dict[str, Any] = {
        "seconds": seconds,
        "stages": stages,
        "second_prediction": first / 5,
        "steady_prediction": first / 10,
        "calls": 100,
        "peak_bytes": 50_000_000,
        "peak_is_own": True,
        "swapped_bytes": 0,
    }
    return Start(**{**arguments, **changes})


def starts(n: int, slow: int = 0, seed: int = 0) -> list[Start]:
    rng = np.random.default_rng(seed)
    seconds = FAST * (1 + 0.01 * rng.random(n))
    seconds[np.linspace(1, n - 2, slow).astype(int) if slow else []] = SLOW
    return [start(float(value)) for value in seconds]


def check(given_starts: list[Start], **changes: Any) -> Evidence:
    arguments: dict[str, Any] = {"p": 0.9, "budget_seconds": BUDGET, "gate_id": "latency.cold", **changes}
    evidence = cold_start_at_most(starts=given_starts, **arguments)
    canonical_json(encode(evidence))
    return evidence


def outcome(evidence: Evidence) -> Outcome:
    (judged,) = judge_criteria("latency.cold", evidence, confidence_level=0.95)
    return judged.judgement.outcome


def named(evidence: Evidence, metric: str) -> Measurement:
    [found] = [measured for measured in evidence.measurements if measured.metric == metric]
    return found


@given(st.integers(5, 120), st.floats(0.5, 0.95), st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_the_verdict_is_that_of_the_binomial_test(n: int, p: float, slow: int) -> None:
    slow = min(slow, n // 4)
    evidence = check(starts(n, slow), p=p)
    count = evidence.details["starts_beyond_budget"]
    assert isinstance(count, int)
    passes = binom.cdf(count, n, 1 - p) <= 0.05
    fails = binom.sf(count - 1, n, 1 - p) <= 0.05
    if evidence.details["effective_starts"] == n:
        found = outcome(evidence)
        assert (found is Outcome.PASS) == passes
        assert (found is Outcome.FAIL) == fails


def test_the_default_number_of_starts() -> None:
    assert starts_for(0.9, 0.95) == 46
    assert binom.cdf(1, 46, 0.1) <= 0.05 < binom.cdf(1, 45, 0.1)
    assert binom.cdf(1, 46, 0.01) >= 0.9
    assert outcome(check(starts(29))) is Outcome.PASS
    short = check(starts(28))
    assert outcome(short) is Outcome.INCONCLUSIVE
    assert named(short, "cold_start_p90").n_required == 29


def test_one_slow_start_of_46_is_no_harm_and_every_other_one_fails() -> None:
    assert outcome(check(starts(46, 1))) is Outcome.PASS
    assert outcome(check(starts(46, 23))) is Outcome.FAIL
    assert outcome(check([start(SLOW) for _ in range(46)])) is Outcome.FAIL


def test_a_slow_import_is_seen_in_its_stage() -> None:
    found = [start(2.0, stages=dict.fromkeys(STAGES, 0.05) | {"imports": 1.8}) for _ in range(46)]
    evidence = check(found)
    assert outcome(evidence) is Outcome.FAIL
    imports = named(evidence, "cold_start_imports_p50")
    assert (imports.lower, imports.value, imports.upper) == (1.8, 1.8, 1.8)
    assert named(evidence, "cold_start_load_p50").value == 0.05
    assert len(evidence.criteria) == 1


def test_a_noisy_host_can_pass_and_not_fail() -> None:
    noisy = ("other work ran on this machine",)
    assert outcome(check(starts(46), noisy=noisy)) is Outcome.PASS
    evidence = check([start(SLOW) for _ in range(46)], noisy=noisy)
    assert outcome(evidence) is Outcome.INCONCLUSIVE
    note = named(evidence, "cold_start_p90").note
    assert note is not None
    assert "it can not fail here" in note


def test_starts_that_become_slower_prove_nothing_near_the_budget() -> None:
    rising = [start(0.3 + 0.6 * number / 45) for number in range(46)]
    evidence = check(rising)
    assert outcome(evidence) is Outcome.INCONCLUSIVE
    assert "no steady state" in str(named(evidence, "cold_start_p90").note)


def test_few_runs_are_told_from_chance() -> None:
    for n_first, n_second in ((1, 5), (3, 4), (5, 5)):
        orders = [set(places) for places in combinations(range(n_first + n_second), n_first)]
        counts = [
            1 + sum((i in order) != (i + 1 in order) for i in range(n_first + n_second - 1))
            for order in orders
        ]
        for runs in range(1, n_first + n_second + 1):
            expected = sum(count <= runs for count in counts) / len(counts)
            assert runs_probability(runs, n_first, n_second) == pytest.approx(expected)
    assert runs_probability(1, 0, 9) == 1.0


@pytest.mark.parametrize("resemblance", [0.0, 0.6, 0.9])
def test_a_budget_that_is_just_broken_rarely_passes(resemblance: float) -> None:
    """Each start resembles the one before: AR(1). The budget is the true quantile; nominal 5 %, 200 runs."""
    rng = np.random.default_rng(3)
    truth = float(np.exp(0.2 * norm.ppf(0.9)))
    passes = 0
    for _ in range(200):
        series = rng.normal(size=46)
        for place in range(1, 46):
            series[place] = resemblance * series[place - 1] + np.sqrt(1 - resemblance**2) * series[place]
        found = check([start(float(value)) for value in np.exp(0.2 * series)], budget_seconds=truth)
        upper = found.measurements[0].upper
        passes += upper is not None and upper <= truth
    assert passes / 200 <= 0.08


def test_spells_of_slow_starts_count_once_and_leave_room() -> None:
    seconds = [0.9 if number % 40 < 8 else FAST for number in range(160)]
    given_starts = [start(value) for value in seconds]
    evidence = check(given_starts, p=0.5)
    effective = evidence.details["effective_starts"]
    assert isinstance(effective, float)
    assert effective < 60
    assert evidence.details["came_in_slow_spells"] is True
    assert "slow spells" in str(named(evidence, "cold_start_p50").note)
    # A spell as strong again would take 4.05 s.
    assert outcome(check(given_starts, p=0.5, budget_seconds=0.5)) is Outcome.INCONCLUSIVE
    assert outcome(check(given_starts, p=0.5, budget_seconds=5.0)) is Outcome.PASS
    assert outcome(check(given_starts, p=0.5, budget_seconds=0.01)) is Outcome.FAIL


def test_what_is_told_beside_the_verdict() -> None:
    evidence = check(starts(46), uncounted=start(4.0), runtime={"adapter": "onnx"}, group="batch_size=1")
    details = evidence.details
    assert details["uncounted_start_seconds"] == 4.0
    assert "page cache" in str(details["warm"])
    assert details["interpreter_flags"] == ["-P"]
    assert details["runtime"] == {"adapter": "onnx"}
    assert {measured.group for measured in evidence.measurements} == {"batch_size=1"}
    metrics = {measured.metric for measured in evidence.measurements}
    assert {"cold_start_p50", "second_prediction_p50", "steady_prediction_p50"} <= metrics
    assert {f"cold_start_{stage}_p50" for stage in STAGES} <= metrics


def test_a_stage_that_a_program_does_not_have_is_left_out() -> None:
    plain = {stage: 0.05 for stage in STAGES if stage != "input"}
    found = check([start(FAST, stages=plain, steady_prediction=None) for _ in range(46)])
    metrics = {measured.metric for measured in found.measurements}
    assert "cold_start_input_p50" not in metrics
    assert "steady_prediction_p50" not in metrics


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"p": 1.0}, "p must lie between"),
        ({"p": float("nan")}, "p must lie between"),
        ({"budget_seconds": 0.0}, "the budget must be"),
        ({"budget_seconds": float("inf")}, "the budget must be"),
        ({"starts": []}, "expected one start"),
        ({"starts": [start(float("nan"))]}, "no positive durations"),
        ({"confidence_level": 1.5}, "level"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(changes: dict[str, Any], told: str) -> None:
    given_starts = changes.pop("starts", starts(30))
    with pytest.raises(InputError, match=told):
        check(given_starts, **changes)
