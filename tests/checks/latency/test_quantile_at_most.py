"""A tail is proven by order statistics, and a run that was not measured well proves nothing.

Timings are made up: nothing here measures how fast this machine is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from pytest_prodml.checks.latency import Conditions, n_calls_for, quantile_at_most
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Measurement, Outcome

Samples = npt.NDArray[np.float64]
FAST, SLOW, BUDGET = 1e-3, 8e-3, 5e-3
BUSY = Conditions(other_work=("other work ran on this machine",))


def check(samples: npt.ArrayLike, **changes: Any) -> Evidence:
    arguments: dict[str, Any] = {
        "p": 0.99,
        "budget_seconds": BUDGET,
        "gate_id": "latency.p99",
        # Single events and clusters are what these tests are about: a run that says nothing is another one's.
        "burst": 1,
    }
    return quantile_at_most(samples_seconds=samples, **{**arguments, **changes})


def tail(evidence: Evidence) -> Measurement:
    canonical_json(encode(evidence))
    return evidence.measurements[0]


def outcome(evidence: Evidence) -> Outcome:
    (judged,) = judge_criteria("latency.p99", evidence, confidence_level=0.95)
    return judged.judgement.outcome


def calls(n: int, slow: int, seed: int = 0) -> Samples:
    """n calls of which `slow` exceed the budget, in random order and with a little noise."""
    rng = np.random.default_rng(seed)
    samples = FAST * (1 + 0.01 * rng.random(n))
    # Never next to each other: single events, not clusters.
    samples[np.linspace(1, n - 2, slow).astype(int) if slow else []] = SLOW
    return samples


@given(st.integers(50, 3000), st.floats(0.9, 0.995), st.integers(0, 40))
@settings(max_examples=80, deadline=None)
def test_the_verdict_is_the_exact_binomial_test(n: int, p: float, slow: int) -> None:
    slow = min(slow, n // 8)
    evidence = check(calls(n, slow), p=p)
    if evidence.details["effective_calls"] != n:
        # Evenly spaced events may look dependent in a short run; the test is then a stricter one.
        assert outcome(evidence) is not Outcome.PASS or binom.cdf(slow, n, 1 - p) <= 0.05
        return
    passes = bool(binom.cdf(slow, n, 1 - p) <= 0.05)
    fails = bool(binom.sf(slow - 1, n, 1 - p) <= 0.05) and slow >= 10
    expected = Outcome.PASS if passes else Outcome.FAIL if fails else Outcome.INCONCLUSIVE
    assert outcome(evidence) is expected


def test_the_fewest_calls_that_prove_a_quantile() -> None:
    assert outcome(check(calls(298, 0))) is Outcome.INCONCLUSIVE
    assert tail(check(calls(298, 0))).upper is None
    assert outcome(check(calls(299, 0))) is Outcome.PASS
    assert tail(check(calls(298, 0))).n_required == 299


def test_value_bounds_and_median_are_samples() -> None:
    samples = np.arange(1, 2001) * 1e-6
    np.random.default_rng(1).shuffle(samples)
    evidence = check(samples)
    found, median = evidence.measurements
    assert (found.metric, found.unit, found.n_samples) == ("latency_p99", "s", 2000)
    assert found.value == pytest.approx(1980e-6)
    for bound in (found.lower, found.upper):
        assert bound in samples
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < 1980e-6 < found.upper
    assert median.metric == "latency_p50"
    assert median.value == pytest.approx(1000e-6)
    assert [criterion.metric for criterion in evidence.criteria] == ["latency_p99"]


def test_names_follow_the_quantile_and_the_group() -> None:
    evidence = check(calls(5000, 0), p=0.999, group="batch_size=8")
    assert {item.metric for item in evidence.measurements} == {"latency_p99.9", "latency_p50"}
    assert {item.group for item in evidence.measurements} == {"batch_size=8"}
    assert evidence.criteria[0].group == "batch_size=8"
    assert [item.metric for item in check(calls(100, 0), p=0.5).measurements] == ["latency_p50"]


def test_a_model_that_is_always_too_slow_fails() -> None:
    for n in (300, 2000):
        evidence = check(calls(n, 0), budget_seconds=FAST / 2)
        assert outcome(evidence) is Outcome.FAIL
        assert tail(evidence).n_required is None


def test_a_shared_host_can_pass_and_not_fail() -> None:
    assert outcome(check(calls(2000, 3), conditions=BUSY)) is Outcome.PASS
    broken = check(calls(2000, 200), conditions=BUSY)
    assert outcome(broken) is Outcome.INCONCLUSIVE
    assert "other work ran on this machine" in str(tail(broken).note)
    assert outcome(check(calls(2000, 200))) is Outcome.FAIL


def test_a_slow_clock_is_named() -> None:
    fine = check(calls(1000, 0), conditions=Conditions(overhead_seconds=FAST * 0.019))
    assert outcome(fine) is Outcome.PASS
    slow = Conditions(overhead_seconds=FAST * 0.03)
    # What is fast enough with the clock is fast enough without it.
    assert outcome(check(calls(1000, 0), conditions=slow)) is Outcome.PASS
    evidence = check(calls(1000, 0), conditions=slow, budget_seconds=FAST / 2)
    assert outcome(evidence) is Outcome.INCONCLUSIVE
    assert "the clock costs 3.0% of the median call" in str(tail(evidence).note)
    assert tail(evidence).lower is None


def drifting(factor: float, n: int = 3000) -> Samples:
    drifted: Samples = calls(n, 0) * np.linspace(1, factor, n)
    return drifted


def test_a_run_without_a_steady_state_can_not_fail_and_passes_only_with_room_to_drift_on() -> None:
    calm = check(drifting(1.3))
    assert "no steady state: the median changed by +19%" in str(tail(calm).note)
    assert tail(calm).lower is None
    assert outcome(calm) is Outcome.PASS
    tight = check(drifting(1.3), budget_seconds=FAST * 1.35)
    assert outcome(tight) is Outcome.INCONCLUSIVE
    faster = check(drifting(0.7), budget_seconds=FAST * 1.1)
    assert "the median changed by -" in str(tail(faster).note)
    assert outcome(faster) is Outcome.PASS
    assert outcome(check(drifting(1.3), budget_seconds=FAST / 2)) is Outcome.INCONCLUSIVE
    assert tail(check(drifting(1.02))).note is None


def test_a_drift_alone_does_not_hide_a_budget_that_is_far_away() -> None:
    # Every call of the second half is slower than every call of the first: one end holds all slow calls.
    steps = calls(3000, 0) * np.repeat([1.0, 1.9], 1500)
    assert outcome(check(steps, budget_seconds=1.0)) is Outcome.PASS
    assert outcome(check(steps, budget_seconds=FAST * 2.5)) is Outcome.INCONCLUSIVE
    assert outcome(check(steps, budget_seconds=FAST * 1.5)) is not Outcome.PASS


def test_a_difference_of_medians_that_is_chance_is_no_drift() -> None:
    rng = np.random.default_rng(3)
    noted = [tail(check(np.exp(rng.normal(size=400)) * 1e-4)).note for _ in range(40)]
    medians_apart = sum("no steady state" in str(note) for note in noted)
    # Medians of 133 such calls differ by more than 5 % nearly always; 5 % of the runs may look like drift.
    assert medians_apart <= 6


def bursts(n: int, starts: list[int], length: int = 20) -> Samples:
    samples = calls(n, 0)
    for start in starts:
        samples[start : start + length] = SLOW
    return samples


def test_slow_calls_in_one_burst_are_one_event() -> None:
    # 20 of 4,000 single events are half of what is allowed, and prove it.
    assert outcome(check(calls(4000, 20))) is Outcome.PASS
    evidence = check(bursts(4000, [1700]))
    assert outcome(evidence) is Outcome.INCONCLUSIVE
    assert "in separate clusters: 1, too few" in str(tail(evidence).note)
    assert evidence.details["clusters_beyond_budget"] == 1
    assert evidence.details["effective_calls"] == pytest.approx(200, rel=0.2)
    # 80 calls are proof of a violation when they are single events, and not when they are 4 bursts.
    assert outcome(check(calls(4000, 80))) is Outcome.FAIL
    assert outcome(check(bursts(4000, [300, 1500, 2200, 3600]))) is Outcome.INCONCLUSIVE


def independent(n: int, rng: np.random.Generator) -> Samples:
    return np.exp(rng.normal(size=n) / 2)


def correlated(n: int, rng: np.random.Generator) -> Samples:
    noise = rng.normal(size=n) * np.sqrt(1 - 0.9**2)
    values = np.empty(n)
    values[0] = rng.normal()
    for index in range(1, n):
        values[index] = 0.9 * values[index - 1] + noise[index]
    return np.exp(values / 2)


def with_bursts(n: int, rng: np.random.Generator) -> Samples:
    samples = np.exp(rng.normal(size=n) / 10)
    for start in np.flatnonzero(rng.random(n) < 0.015 / 20):
        samples[start : start + 20] *= 10
    return samples


def test_a_quantile_on_its_budget_passes_no_more_often_than_the_level_allows() -> None:
    rng = np.random.default_rng(11)
    on_budget: list[tuple[Callable[[int, np.random.Generator], Samples], float]] = [
        (independent, float(np.exp(norm.ppf(0.99) / 2))),
        (correlated, float(np.exp(norm.ppf(0.99) / 2))),
        (with_bursts, float(np.quantile(with_bursts(2_000_000, rng), 0.99))),
    ]
    for generate, budget in on_budget:
        verdicts = [
            outcome(check(generate(5000, rng), budget_seconds=budget * (1 - 1e-9))) for _ in range(60)
        ]
        # Nominal 5 % each; 9 of 60 at 5 % has a probability below 0.2 %. Comparing the empirical quantile
        # with the budget passes half of the runs.
        assert verdicts.count(Outcome.PASS) <= 8
        assert verdicts.count(Outcome.FAIL) <= 8


def test_details_are_bounded_and_show_the_tail() -> None:
    evidence = check(np.random.default_rng(0).gamma(2.0, 1e-4, 20_000), runtime={"adapter": "onnx"})
    ecdf: Any = evidence.details["ecdf"]
    assert len(ecdf["x"]) == len(ecdf["y"]) <= 200
    assert ecdf["x"] == sorted(ecdf["x"])
    assert ecdf["y"][-1] == 1.0
    assert sum(y > 0.99 for y in ecdf["y"]) > 20
    assert ecdf["budget"] == BUDGET
    assert evidence.details["runtime"] == {"adapter": "onnx"}
    assert "threads" in evidence.details
    assert len(canonical_json(encode(evidence))) < 20_000


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_calls_are_inconclusive(n: int) -> None:
    assert outcome(check([FAST] * n)) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": []}, "one sample for each call"),
        ({"samples": [[0.1, 0.2]]}, "one sample for each call"),
        ({"samples": [0.1, float("nan")]}, "1 of 2 samples are no positive durations"),
        ({"samples": [0.1, float("inf")]}, "no positive durations"),
        ({"samples": [0.1, 0.0]}, "no positive durations"),
        ({"samples": [-0.1]}, "no positive durations"),
        ({"samples": ["fast"]}, "not numbers"),
        ({"p": 1.0}, "p must lie between 0 and 1"),
        ({"p": 99}, "p must lie between 0 and 1"),
        ({"budget_seconds": 0}, "number of seconds above 0"),
        ({"budget_seconds": float("nan")}, "number of seconds above 0"),
        ({"conditions": Conditions(overhead_seconds=-1.0)}, "overhead_seconds must be"),
        ({"confidence_level": 0.3}, "confidence_level must lie between"),
    ],
)
def test_what_is_no_measurement_is_refused(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"samples": calls(100, 0), **changes}
    with pytest.raises(InputError, match=message):
        check(arguments.pop("samples"), **arguments)


def test_the_planner_gives_enough_calls_for_nine_runs_in_ten() -> None:
    n = n_calls_for(0.99)
    assert n_calls_for(0.99, headroom=0) == 299 < n < 1000
    tolerated = max(k for k in range(n) if binom.cdf(k, n, 0.01) <= 0.05)
    assert binom.cdf(tolerated, n, 0.0025) >= 0.9
    assert n_calls_for(0.99, 0.99) > n
