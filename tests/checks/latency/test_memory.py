"""Peaks and growth of memory over processes. The series are made up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, theilslopes

from checks.latency.test_cold_start import start
from pytest_prodml.checks.latency.memory import (
    Points,
    check_span,
    doubts,
    no_memory_growth,
    peak_memory_at_most,
    theil_sen,
)
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome

PAGE = 4096
LIMIT = 1000.0


def outcome(evidence: Evidence) -> Outcome:
    canonical_json(encode(evidence))
    (judged,) = judge_criteria(evidence.gate_id, evidence, confidence_level=0.95)
    return judged.judgement.outcome


def points(
    per_call: float = 0.0, *, n: int = 60, each: int = 340, step: int | None = None, seed: int = 0
) -> Points:
    """Resident memory, in whole pages, of a process that keeps some bytes of each call."""
    rng = np.random.default_rng(seed)
    calls = np.arange(n) * each
    sizes = 50_000_000 + per_call * calls + PAGE * rng.integers(0, 2, n)
    if step is not None:
        sizes[step:] += 4_000_000
    return [(int(made), int(size // PAGE * PAGE)) for made, size in zip(calls, sizes, strict=True)]


def growth(series: list[Points], **changes: Any) -> Evidence:
    arguments: dict[str, Any] = {
        "at_most_bytes": LIMIT,
        "gate_id": "latency.leak",
        "in_use": series,
        **changes,
    }
    return no_memory_growth(resident=series, **arguments)


@given(st.lists(st.integers(1, 10**9), min_size=30, max_size=60))
@settings(max_examples=40, deadline=None)
def test_the_slope_is_that_of_theil_and_sen(sizes: list[int]) -> None:
    series = [(50 * place, size) for place, size in enumerate(sizes)]
    expected = theilslopes(sizes, [50 * place for place in range(len(sizes))])[0]
    assert theil_sen(series) == pytest.approx(1000 * expected)


@given(st.integers(2, 25), st.data())
@settings(max_examples=40, deadline=None)
def test_the_bound_over_processes_is_a_sign_test(n: int, data: st.DataObject) -> None:
    leaking = data.draw(st.integers(0, n))
    series = [points(100.0 if number < leaking else 0.0, seed=number) for number in range(n)]
    found = outcome(growth(series))
    assert (found is Outcome.PASS) == (binom.cdf(leaking, n, 0.5) <= 0.05)
    assert (found is Outcome.FAIL) == (binom.sf(leaking - 1, n, 0.5) <= 0.05)


def test_a_leak_of_a_few_bytes_a_call_is_proven_and_a_healthy_twin_passes() -> None:
    leaking = growth([points(48.0, seed=number) for number in range(8)])
    assert outcome(leaking) is Outcome.FAIL
    assert leaking.measurements[0].value == pytest.approx(48_000, rel=0.05)
    assert leaking.measurements[0].unit == "B/1,000 calls"
    assert outcome(growth([points(seed=number) for number in range(8)])) is Outcome.PASS


def test_a_single_step_is_no_growth() -> None:
    assert outcome(growth([points(step=10 + number, seed=number) for number in range(8)])) is Outcome.PASS


def test_processes_are_the_sample_and_not_points() -> None:
    four = growth([points(n=200, seed=number) for number in range(4)])
    assert outcome(four) is Outcome.INCONCLUSIVE
    assert four.measurements[0].n_samples == 4
    assert four.measurements[0].n_required == 5
    assert outcome(growth([points(seed=number) for number in range(5)])) is Outcome.PASS


def test_the_series_that_grew_most_is_kept_for_a_chart() -> None:
    series = [points(seed=1), points(300.0, n=900, each=20, seed=2)]
    details = growth(series).details
    kept: Any = details["series_of_the_process_that_grew_most"]
    assert len(kept["calls"]) == len(kept["bytes"]) == 200
    assert kept["calls"][-1] == 899 * 20
    assert details["calls_of_each_process"] == 17_980


def test_memory_that_was_swapped_out_proves_nothing() -> None:
    swapped = [start(0.2), start(0.2, swapped_bytes=8192)]
    too_low, too_high = doubts(swapped)
    assert "8,192 bytes" in too_low[0]
    assert not too_high
    assert outcome(growth([points(seed=n) for n in range(8)], too_low=too_low)) is Outcome.INCONCLUSIVE
    assert outcome(growth([points(90.0, seed=n) for n in range(8)], too_low=too_low)) is Outcome.FAIL


@pytest.mark.parametrize(
    ("series", "told"),
    [
        ([], "expected the memory of the same processes"),
        ([points(n=29)], "at least 30 points"),
        ([[(0, 5)] * 40], "growing calls"),
        ([[(number, 0) for number in range(40)]], "growing calls"),
        ([points(each=900)[:35], points(each=900)[:20]], "at least 30 points"),
        ([points(n=60, each=10)], "590 calls can not show a growth of 1,000 bytes"),
    ],
)
def test_series_that_show_nothing_are_refused(series: list[Points], told: str) -> None:
    with pytest.raises(InputError, match=told):
        growth(series)


def test_a_leak_into_memory_that_was_free_before_is_seen_in_what_is_in_use() -> None:
    flat = [points(seed=number) for number in range(8)]
    exact = [[(calls, 30_000_000 + 3 * calls) for calls, _ in series] for series in flat]
    evidence = growth(flat, in_use=exact)
    assert outcome(evidence) is Outcome.FAIL
    assert evidence.measurements[0].value == pytest.approx(3_000)
    kept: Any = evidence.details["series_of_the_process_that_grew_most"]
    assert kept["bytes_in_use"][-1] == exact[0][-1][1]
    # The other way round: what is mapped past `malloc` shows in resident memory only.
    assert outcome(growth([points(90.0, seed=n) for n in range(8)], in_use=flat)) is Outcome.FAIL


def test_resident_memory_alone_takes_more_calls() -> None:
    with pytest.raises(InputError, match="20,060 calls can not show a growth of 1,000 bytes") as caught:
        growth([points()], in_use=[])
    assert "1,048,576 calls" in str(caught.value)
    coarse = growth([points(seed=number) for number in range(8)], in_use=[], at_most_bytes=100_000.0)
    assert outcome(coarse) is Outcome.PASS
    assert coarse.details["instrument"] == "resident memory"
    with pytest.raises(InputError, match="the same processes, got 2 and 1"):
        growth([points(), points()], in_use=[points()])


def test_so_many_calls_are_needed_to_see_a_limit() -> None:
    check_span(1000, 16_384)
    with pytest.raises(InputError, match="it takes 16,384 calls"):
        check_span(1000, 16_383)
    for limit in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="the limit must be"):
            check_span(limit, 10**9)


def peak(peaks: Any, **changes: Any) -> Evidence:
    return peak_memory_at_most(
        peaks=peaks, **{"p": 0.9, "budget_bytes": 64e6, "gate_id": "latency.memory", **changes}
    )


@given(st.integers(5, 100), st.integers(0, 30))
@settings(max_examples=40, deadline=None)
def test_the_peak_is_judged_by_the_binomial_test(n: int, above: int) -> None:
    above = min(above, n)
    found = outcome(peak([70e6] * above + [60e6] * (n - above)))
    assert (found is Outcome.PASS) == (binom.cdf(above, n, 0.1) <= 0.05)
    assert (found is Outcome.FAIL) == (binom.sf(above - 1, n, 0.1) <= 0.05)


def test_a_peak_that_may_be_the_parents_can_pass_and_not_fail() -> None:
    _, too_high = doubts([start(0.2, peak_is_own=False)])
    assert outcome(peak([60e6] * 46, too_high=too_high)) is Outcome.PASS
    evidence = peak([90e6] * 46, too_high=too_high)
    assert outcome(evidence) is Outcome.INCONCLUSIVE
    assert "together with its parent's" in str(evidence.measurements[0].note)
    assert outcome(peak([60e6] * 46, too_low=("it was swapped out",))) is Outcome.INCONCLUSIVE


def test_the_peak_has_its_unit_and_range() -> None:
    evidence = peak(np.arange(46) * 1e5 + 50e6, details={"predictions": 1000}, group="batch_size=8")
    measured = evidence.measurements[0]
    assert (measured.metric, measured.unit, measured.group) == ("peak_memory_p90", "B", "batch_size=8")
    assert evidence.details["largest_bytes"] == 54.5e6
    assert evidence.details["predictions"] == 1000


@pytest.mark.parametrize(
    ("peaks", "changes"),
    [
        ([], {}),
        ([[1.0]], {}),
        ([float("nan")], {}),
        ([0], {}),
        ([5], {"p": 0}),
        ([5], {"budget_bytes": 0}),
        ([5], {"budget_bytes": float("nan")}),
    ],
)
def test_peaks_that_are_none_are_refused(peaks: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        peak(peaks, **changes)
