"""Ratios by blocks, rates and costs: against the numbers they are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom

from pytest_prodml.checks.latency import (
    cost_per_million_at_most,
    not_slower_than,
    ratio_to_reference_at_most,
    runs_on,
    throughput_at_least,
)
from pytest_prodml.checks.latency.references import (
    _DISPATCH_GRAPH,
    _MATMUL_GRAPH,
    Reference,
    median_seconds,
    reference,
    reference_times,
)
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome

WORK = Reference(name="matmul", digest="0" * 64, call=lambda: None)
GATE: Any = {"gate_id": "latency.x"}


def outcome(evidence: Evidence) -> Outcome:
    canonical_json(encode(evidence))
    judged = judge_criteria("latency.x", evidence, confidence_level=0.95)
    return min((item.judgement.outcome for item in judged), key=list(Outcome).index)


def blocks(
    factor: float, n: int = 40, seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A machine whose speed wanders by a third, and two things that it slows down alike."""
    rng = np.random.default_rng(seed)
    speed = 1 + np.sin(np.arange(n) / 5) / 3
    other = 1e-4 * speed * (1 + rng.normal(size=n) / 100)
    return factor * 1e-4 * speed * (1 + rng.normal(size=n) / 100), other


def test_a_ratio_holds_while_the_machine_wanders() -> None:
    evidence = ratio_to_reference_at_most(3.2, *blocks(3.0), WORK, group="batch_size=1", **GATE)
    ratio, time = evidence.measurements
    assert outcome(evidence) is Outcome.PASS
    assert ratio.group == "batch_size=1, ref-v1 matmul"
    assert (time.metric, time.group, time.unit) == ("reference_seconds", "matmul", "s")
    assert ratio.lower is not None
    assert ratio.upper is not None
    assert ratio.lower < 3.0 < ratio.upper < 3.1
    assert evidence.details["reference"] == {"name": "matmul", "version": "ref-v1", "digest": "0" * 64}
    assert outcome(ratio_to_reference_at_most(2.8, *blocks(3.0), WORK, **GATE)) is Outcome.FAIL
    assert outcome(ratio_to_reference_at_most(3.0, *blocks(3.0), WORK, **GATE)) is Outcome.INCONCLUSIVE


def test_the_ranks_of_twenty_blocks_are_six_and_fifteen() -> None:
    """Two one-sided bounds at 97.5 %: the ranks of the sign test's 95 % interval."""
    above = np.arange(1.0, 21.0)
    np.random.default_rng(1).shuffle(above)
    evidence = ratio_to_reference_at_most(99, above, np.ones(20), WORK, confidence_level=0.975, **GATE)
    measured = evidence.measurements[0]
    if evidence.details["effective_blocks"] == 20:
        assert (measured.lower, measured.upper) == (6.0, 15.0)
    assert binom.cdf(5, 20, 0.5) <= 0.025 < binom.cdf(6, 20, 0.5)


def test_a_slower_model_is_found_and_the_same_one_is_not() -> None:
    assert outcome(not_slower_than(0.05, *blocks(1.0), **GATE)) is Outcome.PASS
    assert outcome(not_slower_than(0.05, *blocks(1.2), **GATE)) is Outcome.FAIL
    assert outcome(not_slower_than(0.05, *blocks(1.05), **GATE)) is Outcome.INCONCLUSIVE
    evidence = not_slower_than(0.05, *blocks(1.2), clock="wall clock", noise=("a neighbour",), **GATE)
    assert outcome(evidence) is Outcome.INCONCLUSIVE
    assert "a neighbour" in str(evidence.measurements[0].note)
    assert outcome(not_slower_than(0.5, *blocks(1.2), noise=("a neighbour",), **GATE)) is Outcome.PASS
    assert evidence.details["clock"] == "wall clock"


def test_models_that_are_on_the_margin_pass_in_at_most_one_run_of_twenty() -> None:
    passed = sum(
        outcome(not_slower_than(0.05, *blocks(1.05, seed=seed), **GATE)) is Outcome.PASS
        for seed in range(200)
    )
    assert passed <= 20  # nominal 10; 21 of 200 at 5 % has a probability of 0.1 %


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: not_slower_than(-0.1, *blocks(1.0), **GATE), "margin must be a share"),
        (lambda: not_slower_than(0.1, *blocks(1.0, n=19), **GATE), "at least 20 pairs"),
        (lambda: not_slower_than(0.1, blocks(1.0)[0], blocks(1.0, n=30)[1], **GATE), "at least 20 pairs"),
        (lambda: ratio_to_reference_at_most(0, *blocks(1.0), WORK, **GATE), "a ratio above 0"),
        (
            lambda: ratio_to_reference_at_most(1, [0.0] * 20, [1.0] * 20, WORK, **GATE),
            "no positive durations",
        ),
        (lambda: reference("prime numbers"), "no reference workload 'prime numbers'"),
        (lambda: throughput_at_least(0, [0.1] * 40, batch_size=1, **GATE), "rows a second above 0"),
        (lambda: throughput_at_least(1, [0.1] * 29, batch_size=1, **GATE), "at least 30 calls"),
        (lambda: throughput_at_least(1, [0.1] * 40, batch_size=0, **GATE), "batch_size must be"),
        (
            lambda: cost_per_million_at_most(
                1, [0.1] * 40, batch_size=1, price_per_hour=0, currency="EUR", **GATE
            ),
            "price_per_hour must be a number above 0",
        ),
        (lambda: runs_on("X", {}, {}, **GATE), "no node was executed"),
        (lambda: runs_on("X", {"X": 1}, {}, at_least=1.5, **GATE), "at_least must be a share"),
    ],
)
def test_what_is_no_measurement_is_refused(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_a_rate_counts_the_tail() -> None:
    rng = np.random.default_rng(3)
    samples = np.full(6000, 1e-3)
    samples[rng.random(6000) < 0.02] = 0.05  # the mean is 1.98 ms, the median 1 ms
    evidence = throughput_at_least(12_000, samples, batch_size=32, **GATE)
    measured = evidence.measurements[0]
    assert measured.value == pytest.approx(32 * 6000 / samples.sum())
    assert measured.unit == "rows/s"
    assert outcome(evidence) is Outcome.PASS
    assert outcome(throughput_at_least(25_000, samples, batch_size=32, **GATE)) is Outcome.FAIL


def test_the_bound_of_a_rate_holds_in_nineteen_runs_of_twenty() -> None:
    rng = np.random.default_rng(7)
    true = 1 / (0.98 * 1e-3 + 0.02 * 0.05)
    missed = above = 0
    for _ in range(200):
        # Slow calls come in spells of about five.
        slow = np.zeros(6000, dtype=bool)
        for start in np.flatnonzero(rng.random(6000) < 0.02 / 5):
            slow[start : start + 5] = True
        samples = np.where(slow, 0.05, 1e-3)
        (measured,) = throughput_at_least(1, samples, batch_size=1, **GATE).measurements
        assert measured.lower is not None
        assert measured.upper is not None
        missed += measured.lower > true * 1.01  # spells that overlap make the true rate a little higher
        above += measured.upper < true
    assert missed <= 20
    assert above <= 20


def test_costs_are_the_price_by_the_rate() -> None:
    samples = np.full(300, 0.001) * (1 + np.random.default_rng(0).random(300) / 50)
    evidence = cost_per_million_at_most(
        0.05, samples, batch_size=10, price_per_hour=1.8, currency="EUR", **GATE
    )
    cost, rate = evidence.measurements
    assert rate.value is not None
    assert cost.value == pytest.approx(1.8 / 3600 * 1e6 / rate.value)
    assert cost.value == pytest.approx(0.0505, rel=0.01)
    assert cost.unit == "EUR/1,000,000 rows"
    assert rate.lower is not None
    assert cost.upper == pytest.approx(1.8 / 3600 * 1e6 / rate.lower)
    assert outcome(evidence) is Outcome.FAIL
    evidence = cost_per_million_at_most(
        0.06, samples, batch_size=10, price_per_hour=1.8, currency="EUR", **GATE
    )
    assert outcome(evidence) is Outcome.PASS


def test_a_fallback_fails() -> None:
    gpu, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    assert outcome(runs_on(gpu, {gpu: 12}, {gpu: 0.1}, **GATE)) is Outcome.PASS
    evidence = runs_on(gpu, {gpu: 11, cpu: 1}, {gpu: 0.1, cpu: 0.3}, **GATE)
    assert outcome(evidence) is Outcome.FAIL
    assert evidence.measurements[0].value == pytest.approx(11 / 12)
    assert evidence.measurements[1].value == pytest.approx(0.25)
    assert f"{gpu} was asked for; nodes were executed by {cpu} 1" in str(evidence.measurements[0].note)
    assert outcome(runs_on(gpu, {cpu: 12}, {cpu: 0.1}, **GATE)) is Outcome.FAIL
    assert outcome(runs_on(gpu, {gpu: 11, cpu: 1}, {}, at_least=0.9, **GATE)) is Outcome.PASS


@pytest.mark.parametrize("name", ["matmul", "lookups", "dispatch", "device_matmul"])
def test_a_workload_is_the_same_each_time_it_is_made(name: str) -> None:
    first, second = reference(name), reference(name)
    assert first.digest == second.digest
    assert np.array_equal(np.asarray(first.call()), np.asarray(second.call()))
    assert first.title == f"ref-v1 {name}"
    assert median_seconds(first.call, calls=3) > 0


def test_workloads_differ_by_digest_and_by_provider() -> None:
    digests = {reference(name).digest for name in ("matmul", "lookups", "dispatch", "device_matmul")}
    assert len(digests) == 4
    assert reference("dispatch", provider="CPUExecutionProvider").digest not in digests
    assert set(reference_times()) == {"matmul", "lookups", "dispatch"}


def test_the_lookups_visit_what_they_should() -> None:
    visited = np.asarray(reference("lookups").call())
    assert sorted(visited.tolist()) == list(range(1 << 16))


def test_the_graphs_are_what_onnx_makes_of_their_description() -> None:
    import base64

    import onnx
    from onnx import TensorProto, helper

    for graph, operator, sizes, inputs in (
        (_DISPATCH_GRAPH, "Add", [1, 4], ["x", "x"]),
        (_MATMUL_GRAPH, "MatMul", [None, None], ["x", "x"]),
    ):
        data = base64.b64decode(graph)
        model = onnx.load_from_string(data)
        onnx.checker.check_model(model)
        made = helper.make_model(
            helper.make_graph(
                [helper.make_node(operator, inputs, ["y"])],
                model.graph.name,
                [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, sizes)],
            ),
            opset_imports=[helper.make_opsetid("", 13)],
            ir_version=8,
            producer_name="pytest-prodml",
        )
        assert made == model


def test_a_provider_that_is_not_here_is_no_silent_fallback_for_a_workload() -> None:
    with pytest.raises(Exception, match="CUDAExecutionProvider"):
        reference("device_matmul", provider="CUDAExecutionProvider")
