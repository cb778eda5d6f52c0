"""What became of requests, as arrays: which runs show something, and which bound is withheld for which reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prodml.adapters.serving.load import Answers, Phase
from pytest_prodml.adapters.serving.processes import Holding
from pytest_prodml.checks.pipeline import (
    Ending,
    Refusal,
    Switch,
    Trial,
    drains_on_sigterm,
    recovers_within,
    rejects_bad_input,
    rolls_back_within,
    sheds_load,
    soak,
    sustains,
    traceable,
    updates_within,
)
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, Measurement

GATE = "pipeline.served"


def of(evidence: Evidence, metric: str) -> Measurement:
    return next(measured for measured in evidence.measurements if measured.metric == metric)


def answers(
    latency: np.ndarray | float = 0.01,
    *,
    rate: float = 100.0,
    n: int = 2_000,
    status: np.ndarray | int = 200,
    lag: np.ndarray | float = 0.0,
    timeout: float = 2.0,
    **more: Any,
) -> Answers:
    intended = np.arange(n) / rate
    waited = np.broadcast_to(np.asarray(latency, dtype=float), n).copy()
    came = np.broadcast_to(np.asarray(status, dtype=np.int32), n).copy()
    late = np.broadcast_to(np.asarray(lag, dtype=float), n).copy()
    none = np.full(n, -1, dtype=np.int32)
    return Answers(
        intended=intended, taken=intended + late, sent=intended + late,
        done=np.where(came != 0, intended + waited, np.nan), status=came, body=none, headers=none,
        phase=np.zeros(n, dtype=np.int32), phases=(Phase(rate=rate, seconds=n / rate),),
        timeout_seconds=timeout, n_requests=1, **more,
    )  # fmt: skip


def test_a_closed_loop_shows_nothing() -> None:
    closed = replace(answers(), is_open_loop=False)
    told = "a closed loop asks again only when it was answered"
    with pytest.raises(InputError, match=told):
        sustains(0.99, 0.1, closed, gate_id=GATE)
    with pytest.raises(InputError, match=told):
        sheds_load(50, 0.1, closed, gate_id=GATE)
    with pytest.raises(InputError, match=told):
        recovers_within(1, 0.99, 0.1, [Trial(answers=closed, began=1, ended=1)], gate_id=GATE, fault="x")


def test_a_time_out_within_the_budget_would_hide_what_is_late() -> None:
    with pytest.raises(InputError, match="what is given up must be too late"):
        sustains(0.99, 0.1, answers(timeout=0.1), gate_id=GATE)


@pytest.mark.parametrize("lag", [0.011, np.where(np.arange(2_000) % 50 == 0, 0.5, 0.0)])
def test_a_saturated_generator_measures_itself(lag: Any) -> None:
    evidence = sustains(0.99, 0.1, answers(lag=lag), gate_id=GATE)
    p99 = of(evidence, "served_latency_p99")
    assert (p99.lower, p99.upper) == (None, None)
    assert "generator saturated" in str(p99.note)


def test_what_failed_counts_as_late() -> None:
    status = np.where(np.arange(2_000) % 25 == 0, 503, 200)
    p99 = of(sustains(0.99, 0.1, answers(0.001, status=status), gate_id=GATE), "served_latency_p99")
    assert p99.lower is not None
    assert p99.lower >= 2.0
    evidence = sustains(0.95, 0.1, answers(0.001, status=status), gate_id=GATE, errors_at_most=0.02)
    assert of(evidence, "failed_share").value == 0.04
    assert [criterion.metric for criterion in evidence.criteria] == ["served_latency_p95", "failed_share"]


def test_latency_that_grows_has_to_leave_room_for_more_of_it() -> None:
    growing = np.linspace(0.02, 0.08, 2_000) + np.random.default_rng(0).normal(0, 0.001, 2_000)
    p99 = of(sustains(0.99, 0.1, answers(growing), gate_id=GATE), "served_latency_p99")
    assert p99.upper is None
    assert "latency grew" in str(p99.note)
    assert of(sustains(0.99, 1.0, answers(growing), gate_id=GATE), "served_latency_p99").upper is not None


def test_other_work_withholds_a_failure_and_no_pass() -> None:
    noise = ["other work ran on this machine"]
    slow = of(sustains(0.99, 0.001, answers(0.01), gate_id=GATE, noise=noise), "served_latency_p99")
    assert slow.lower is None
    fast = of(sustains(0.99, 0.1, answers(0.01), gate_id=GATE, noise=noise), "served_latency_p99")
    assert fast.upper is not None


def test_answers_are_compared_one_by_one_and_what_was_not_kept_is_not_known() -> None:
    given_answers = replace(
        answers(n=400), body=np.tile(np.array([0, 1], dtype=np.int32), 200), bodies=(b"right", b"wrong")
    )

    def is_right(request: int, body: bytes) -> str | None:
        assert request == 0
        return None if body == b"right" else "is wrong"

    found = of(sustains(0.95, 0.1, given_answers, gate_id=GATE, is_right=is_right), "wrong_answers")
    assert found.value == 200
    unknown = replace(given_answers, body=np.where(np.arange(400) < 399, 0, -1).astype(np.int32))
    found = of(sustains(0.95, 0.1, unknown, gate_id=GATE, is_right=is_right), "wrong_answers")
    assert (found.value, found.upper) == (0, None)
    silent = answers(n=400, status=0)
    assert of(sustains(0.95, 0.1, silent, gate_id=GATE, is_right=is_right), "wrong_answers").upper is None


@given(st.integers(300, 1_500), st.integers(0, 40), st.sampled_from([0.05, 0.2, 1.0]))
def test_no_run_with_too_many_late_requests_passes(n: int, late: int, budget: float) -> None:
    """More than the allowed share beyond the budget is never within it, wherever the late ones stand."""
    generator = np.random.default_rng(n + late)
    latency = np.full(n, budget / 10)
    places = generator.choice(n, size=min(late, n), replace=False)
    latency[places] = budget * 1.5
    p99 = of(sustains(0.99, budget, answers(latency, n=n), gate_id=GATE), "served_latency_p99")
    if late > 0.01 * n:
        assert p99.upper is None or p99.upper > budget


def overload(good: int, refused: int, lost: int, *, quick: float = 0.005, n: int = 4_000) -> Answers:
    """Four thousand requests at 400 a second, in a pattern of ten."""
    pattern = np.array([200] * good + [429] * refused + [0] * lost + [500] * (10 - good - refused - lost))
    status = np.resize(pattern, n)
    return answers(np.where(status == 200, 0.05, quick), rate=400, n=n, status=status)


def test_goodput_refusals_and_time_outs_are_judged() -> None:
    evidence = sheds_load(200, 0.2, overload(5, 5, 0), gate_id=GATE)
    assert of(evidence, "goodput_share").value == pytest.approx(1.0)
    assert of(evidence, "timed_out_share").value == 0
    assert of(evidence, "failures_without_refusal").value == 0
    assert of(evidence, "refusal_latency_p95").value == pytest.approx(0.005)
    assert of(sheds_load(200, 0.2, overload(2, 0, 8), gate_id=GATE), "goodput_share").value == pytest.approx(
        0.4
    )
    assert of(sheds_load(200, 0.2, overload(5, 4, 1), gate_id=GATE), "timed_out_share").value == 0.1
    assert of(sheds_load(200, 0.2, overload(5, 4, 0), gate_id=GATE), "failures_without_refusal").value == 400
    slow = of(sheds_load(200, 0.2, overload(5, 5, 0, quick=0.15), gate_id=GATE), "refusal_latency_p95")
    assert slow.lower == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("capacity", "found", "told"),
    [
        (399, overload(5, 5, 0), "are no overload"),
        (100, overload(10, 0, 0), "the server can do more"),
        (200, replace(overload(5, 5, 0), taken=overload(5, 5, 0).intended + 0.1), "generator saturated"),
    ],
)
def test_an_overload_that_was_none_is_inconclusive(capacity: float, found: Answers, told: str) -> None:
    goodput = of(sheds_load(capacity, 0.2, found, gate_id=GATE), "goodput_share")
    assert (goodput.lower, goodput.upper) == (None, None)
    assert told in str(goodput.note)


def trial(bad: range, *, began: float = 5.0, ended: float = 6.0, seconds: int = 15) -> Trial:
    status = np.full(100 * seconds, 200)
    for second in bad:
        status[100 * second : 100 * second + 100] = 0
    return Trial(answers=answers(n=100 * seconds, status=status), began=began, ended=ended)


@pytest.mark.parametrize(
    ("bad", "seconds", "upper"),
    [(range(5, 6), 0, 0), (range(5, 8), 2, 2), (range(5, 15), 9, None), (range(12, 13), 7, 7)],
)
def test_recovery_is_when_every_second_is_good(bad: range, seconds: float, upper: float | None) -> None:
    evidence = recovers_within(3, 0.99, 0.1, [trial(bad)], gate_id=GATE, fault="a fault")
    found = of(evidence, "recovery_seconds")
    assert (found.value, found.upper) == (seconds, upper)


def test_recovery_to_what_was_never_good_shows_nothing() -> None:
    found = of(
        recovers_within(3, 0.99, 0.1, [trial(range(3, 6))], gate_id=GATE, fault="x"), "recovery_seconds"
    )
    assert (found.lower, found.upper) == (None, None)
    assert "was not good before" in str(found.note)
    with pytest.raises(InputError, match="the run ends before"):
        recovers_within(20, 0.99, 0.1, [trial(range(5, 6))], gate_id=GATE, fault="x")
    with pytest.raises(InputError, match="expected trials"):
        recovers_within(3, 0.99, 0.1, [], gate_id=GATE, fault="x")


def test_the_longest_trial_counts() -> None:
    trials = [trial(range(5, 6)), trial(range(5, 9)), trial(range(5, 7))]
    assert of(recovers_within(5, 0.99, 0.1, trials, gate_id=GATE, fault="x"), "recovery_seconds").value == 3


def ending(status: np.ndarray, *, ended: float | None = 6.0, code: int | None = 0) -> Ending:
    return Ending(answers=answers(0.105, status=status, n=len(status)), asked=5.0, ended=ended, status=code)


def test_what_was_in_flight_has_to_be_answered() -> None:
    fine = drains_on_sigterm(2, [ending(np.full(600, 200))], gate_id=GATE)
    assert of(fine, "lost_requests").value == 0
    assert fine.details["in_flight"] == 10
    cut = np.where(np.arange(600) < 495, 200, -2)
    assert of(drains_on_sigterm(2, [ending(cut)], gate_id=GATE), "lost_requests").value == 5
    afterwards = np.where(np.arange(600) < 500, 200, -1)
    assert of(drains_on_sigterm(2, [ending(afterwards)], gate_id=GATE), "lost_requests").value == 0
    refused = np.where(np.arange(600) < 495, 200, 503)
    assert of(drains_on_sigterm(2, [ending(refused)], gate_id=GATE), "lost_requests").value == 0


def test_a_signal_that_met_nothing_shows_nothing() -> None:
    idle = Ending(answers=answers(0.001, rate=1, n=10), asked=5.5, ended=6.0, status=0)
    assert of(drains_on_sigterm(2, [idle], gate_id=GATE), "lost_requests").upper is None


@pytest.mark.parametrize(
    ("ended", "code", "bad"), [(6.0, 0, 0), (6.0, -15, 0), (6.0, 1, 1), (None, None, 1), (6.0, -9, 1)]
)
def test_a_process_has_to_end_as_it_should(ended: float | None, code: int | None, bad: int) -> None:
    evidence = drains_on_sigterm(2, [ending(np.full(600, 200), ended=ended, code=code)], gate_id=GATE)
    assert of(evidence, "bad_ends").value == bad
    assert (of(evidence, "ending_seconds").upper is None) == (ended is None)


def held(memory: np.ndarray, files: np.ndarray) -> list[Holding]:
    return [
        Holding(seconds=0.1 * place, memory_bytes=int(size), descriptors=int(count), processes=1)
        for place, (size, count) in enumerate(zip(memory, files, strict=True))
    ]


@pytest.mark.parametrize(
    ("slope", "files", "metric"),
    [(0.0, 0, None), (50_000.0, 0, "memory_growth"), (0.0, 1, "descriptor_growth")],
)
def test_what_grows_over_a_long_run_is_seen(slope: float, files: int, metric: str | None) -> None:
    generator = np.random.default_rng(0)
    memory = 1e8 + slope * np.arange(200) + generator.normal(0, 10_000, 200)
    evidence = soak(
        1e8,
        0.1,
        answers(generator.uniform(0.009, 0.011, 2_000)),
        held(memory, 20 + files * np.arange(200)),
        gate_id=GATE,
    )
    over = {
        criterion.metric
        for criterion in evidence.criteria
        if (lower := of(evidence, criterion.metric).lower) is not None and lower > criterion.limit
    }
    assert over == ({metric} if metric else set())
    within = {
        criterion.metric
        for criterion in evidence.criteria
        if (upper := of(evidence, criterion.metric).upper) is not None and upper <= criterion.limit
    }
    assert within == {criterion.metric for criterion in evidence.criteria} - over


def test_a_run_that_was_hardly_looked_at_shows_nothing() -> None:
    few = held(np.full(30, 1e8), np.full(30, 20))
    with pytest.raises(InputError, match="do not cover the run"):
        soak(1e8, 0.1, answers(), few, gate_id=GATE)


def test_a_request_that_may_be_answered_is_named_and_known() -> None:
    refusals = [Refusal(name="a: missing", status=422), Refusal(name="a: null", status=200)]
    assert of(rejects_bad_input(refusals, gate_id=GATE), "accepted").value == 1
    assert of(rejects_bad_input(refusals, gate_id=GATE, accepts=["a: null"]), "accepted").value == 0
    with pytest.raises(InputError, match="is none of the requests"):
        rejects_bad_input(refusals, gate_id=GATE, accepts=["b: null"])
    with pytest.raises(InputError, match="no request that should be refused"):
        rejects_bad_input(refusals[1:], gate_id=GATE, accepts=["a: null"])
    broken = [
        Refusal(name="a: null", status=500),
        Refusal(name="b: null", status=None),
        Refusal(name="c", status=302),
    ]
    evidence = rejects_bad_input(broken, gate_id=GATE, accepts=["a: null"], died="the server has ended")
    assert [
        of(evidence, name).value for name in ("server_errors", "unanswered", "not_refused", "harmed")
    ] == [1, 1, 1, 1]


def test_an_answer_says_what_made_it() -> None:
    told: list[dict[str, str | None]] = [{"model": "sha256:1"}, {"model": None}, {"model": "sha256:2"}]
    evidence = traceable(told, {"model": "sha256:1"}, gate_id=GATE)
    assert (of(evidence, "untraceable").value, of(evidence, "mistraced").value) == (1, 1)
    with pytest.raises(InputError):
        traceable([], {"model": "sha256:1"}, gate_id=GATE)


def switch(*versions: tuple[str | None, int], published: float = 5.0) -> Switch:
    names = [name for name, count in versions for _ in range(count)]
    status = np.array([200 if name else 0 for name in names])
    return Switch(answers=answers(0.001, n=len(names), status=status), versions=names, published=published)


def test_an_update_is_over_with_the_last_old_answer() -> None:
    evidence = updates_within(1, switch(("A", 550), ("B", 450)), "A", "B", gate_id=GATE)
    assert of(evidence, "switch_seconds").value == pytest.approx(0.49)
    back_again = switch(("A", 510), ("B", 200), ("A", 1), ("B", 289))
    assert of(updates_within(1, back_again, "A", "B", gate_id=GATE), "switch_seconds").value == pytest.approx(
        2.1
    )
    assert of(updates_within(1, switch(("A", 1_000)), "A", "B", gate_id=GATE), "switch_seconds").upper is None
    strange = updates_within(1, switch(("A", 500), ("C", 10), ("B", 490)), "A", "B", gate_id=GATE)
    assert of(strange, "unknown_versions").value == 10
    lost = updates_within(1, switch(("A", 500), (None, 5), ("B", 495)), "A", "B", gate_id=GATE)
    assert of(lost, "failed_requests").value == 5


def test_a_bad_version_never_answers() -> None:
    fine = rolls_back_within(1, switch(("A", 1_000)), "A", pointer_back=5.2, gate_id=GATE)
    assert of(fine, "rollback_seconds").value == pytest.approx(0.2)
    assert of(fine, "wrong_version_answers").value == 0
    seen = rolls_back_within(1, switch(("A", 510), ("B", 3), ("A", 487)), "A", pointer_back=5.2, gate_id=GATE)
    assert of(seen, "wrong_version_answers").value == 3
    never = rolls_back_within(1, switch(("A", 1_000)), "A", pointer_back=None, gate_id=GATE)
    assert of(never, "rollback_seconds").upper is None
    silent = replace(switch(("A", 1_000)), versions=["A"] * 999 + [None])
    assert (
        of(rolls_back_within(1, silent, "A", pointer_back=5.2, gate_id=GATE), "wrong_version_answers").upper
        is None
    )


@pytest.mark.parametrize(
    ("found", "told"),
    [(switch(("B", 1_000)), "should have served"), (switch(("A", 550)), "the run ends before")],
)
def test_a_switch_that_shows_nothing_is_refused(found: Switch, told: str) -> None:
    with pytest.raises(InputError, match=told):
        updates_within(1, found, "A", "B", gate_id=GATE)
    with pytest.raises(InputError, match=told):
        rolls_back_within(1, found, "A", pointer_back=None, gate_id=GATE)
    with pytest.raises(InputError, match="is the one that serves"):
        updates_within(1, switch(("A", 1_000)), "A", "A", gate_id=GATE)
