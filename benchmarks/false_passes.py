"""Which gates let a model pass that should not? A point gate, a bootstrap gate, and ours, on the same data.

    python benchmarks/false_passes.py
    python benchmarks/false_passes.py --write docs/explanation/false-passes.md

The point gate is `assert metric(y_true, y_pred) >= limit` with scikit-learn, the bootstrap gate asks the
lower end of `scipy.stats.bootstrap` (percentile, one-sided 95 %, 1,000 resamples). Seeds are fixed.
"""

from __future__ import annotations

import argparse
import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.metrics
from page import put
from scipy.stats import bootstrap

from pytest_prodml.checks.performance import Sample, at_least
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria

RUNS = 20_000

Function = Callable[[Any, Any], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Answers, the gate that is asked, and why it should not pass."""

    told: str
    metric: str
    limit: float
    y_true: np.ndarray
    y_pred: np.ndarray
    function: Function
    scores: bool = False


def answers(right: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    truth = np.arange(rows) % 2
    return truth, np.where(np.arange(rows) < right, truth, 1 - truth)


def share(right: int, rows: int, limit: float) -> Case:
    truth, predicted = answers(right, rows)
    return Case(
        told=f"{right} of {rows} right, accuracy at least {limit}",
        metric="accuracy",
        limit=limit,
        y_true=truth,
        y_pred=predicted,
        function=sklearn.metrics.accuracy_score,
    )


def weighted_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    return float(sklearn.metrics.f1_score(truth, predicted, average="weighted", zero_division=0))


def cases() -> Iterator[Case]:
    yield share(43, 50, 0.85)
    yield share(3, 3, 0.99)
    yield share(20, 20, 0.95)
    yield share(1, 1, 0.9)
    rare = (np.arange(2_000) % 100 == 0).astype(int)
    never = np.zeros(2_000, dtype=int)
    for metric, limit, function in (
        ("balanced_accuracy", 0.5, sklearn.metrics.balanced_accuracy_score),
        ("f1_weighted", 0.98, weighted_f1),
        ("matthews_corrcoef", 0.0, sklearn.metrics.matthews_corrcoef),
    ):
        yield Case(
            told=f"a model that always says no, 1 % positive, {metric} at least {limit}",
            metric=metric,
            limit=limit,
            y_true=rare,
            y_pred=never,
            function=function,
        )
    ones = np.ones(300, dtype=int)
    yield Case(
        told="a test set of one class, accuracy at least 0.9",
        metric="accuracy",
        limit=0.9,
        y_true=ones,
        y_pred=ones,
        function=sklearn.metrics.accuracy_score,
    )
    truth = np.arange(300) % 2
    broken = truth.astype(float)
    broken[::50] = np.nan
    yield Case(
        told="NaN among the scores, thresholded with >= 0.5, accuracy at least 0.9",
        metric="accuracy",
        limit=0.9,
        y_true=truth,
        y_pred=broken,
        function=lambda t, s: sklearn.metrics.accuracy_score(t, s >= 0.5),
        scores=True,
    )
    yield Case(
        told="text where numbers are expected: '0' and '1' against 0 and 1, accuracy at least 0.9",
        metric="accuracy",
        limit=0.9,
        y_true=truth,
        y_pred=truth.astype(str),
        function=sklearn.metrics.accuracy_score,
    )
    yield Case(
        told="no rows at all, accuracy at least 0.9",
        metric="accuracy",
        limit=0.9,
        y_true=np.zeros(0, dtype=int),
        y_pred=np.zeros(0, dtype=int),
        function=sklearn.metrics.accuracy_score,
    )


def point_gate(case: Case) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = float(case.function(case.y_true, case.y_pred))
        except Exception as error:  # noqa: BLE001 - whatever the library raises is its answer
            return f"error ({type(error).__name__})"
    return f"**pass** ({value:.3g})" if value >= case.limit else f"no ({value:.3g})"


def bootstrap_gate(case: Case) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = bootstrap(
                (case.y_true, case.y_pred),
                case.function,
                paired=True,
                vectorized=False,
                confidence_level=0.95,
                alternative="greater",
                n_resamples=1_000,
                method="percentile",
                rng=np.random.default_rng(1),
            )
        except Exception as error:  # noqa: BLE001 - whatever the library raises is its answer
            return f"error ({type(error).__name__})"
    low = float(found.confidence_interval.low)
    return f"**pass** (from {low:.3g})" if low >= case.limit else f"no (from {low:.3g})"


def ours(case: Case) -> str:
    answer: dict[str, Any] = {"y_pred": case.y_pred}
    if case.scores:
        answer = {"y_score": case.y_pred, "threshold": 0.5}
    try:
        evidence = at_least(
            case.metric, case.limit, Sample(y_true=case.y_true, **answer), gate_id="performance.it"
        )
    except InputError as error:
        return f"error: {str(error).splitlines()[0]}"
    [judged] = judge_criteria(evidence.gate_id, evidence, confidence_level=0.95)
    measured = evidence.measurements[0]
    low = "no bound" if measured.lower is None else f"from {measured.lower:.3g}"
    told = f"**{judged.judgement.outcome.value}**" if judged.judgement.outcome == "pass" else None
    return f"{told or judged.judgement.outcome.value} ({measured.note if measured.value is None else low})"


@functools.cache
def accuracy_passes(right: int, rows: int, limit: float) -> bool:
    truth, predicted = answers(right, rows)
    evidence = at_least("accuracy", limit, Sample(y_true=truth, y_pred=predicted), gate_id="performance.it")
    [judged] = judge_criteria(evidence.gate_id, evidence, confidence_level=0.95)
    return judged.judgement.outcome == "pass"


def simulated(truth: float, rows: int, limit: float) -> tuple[float, float, float]:
    """Return how often a point gate, a bootstrap gate and ours pass a model whose accuracy is `truth`."""
    rng = np.random.default_rng(20261123)
    right = rng.binomial(rows, truth, size=RUNS)
    counts, times = np.unique(right, return_counts=True)
    mine = sum(int(n) for k, n in zip(counts, times, strict=True) if accuracy_passes(int(k), rows, limit))
    # The bootstrap distribution of a share is binomial: its percentile needs no resampling of rows.
    low = np.quantile(rng.binomial(rows, counts / rows, size=(1_000, counts.size)), 0.05, axis=0) / rows
    boot = int(times[low >= limit].sum())
    return float(np.mean(right / rows >= limit)), boot / RUNS, mine / RUNS


def lines() -> Iterator[str]:
    yield "### Single data sets"
    yield ""
    yield "| case | point gate | bootstrap gate | pytest-prodml |"
    yield "| --- | --- | --- | --- |"
    for case in cases():
        yield f"| {case.told} | {point_gate(case)} | {bootstrap_gate(case)} | {ours(case)} |"
    yield ""
    yield f"### Share of {RUNS:,} samples in which the gate passes"
    yield ""
    yield "| true accuracy, floor, rows | point gate | bootstrap gate | pytest-prodml |"
    yield "| --- | ---: | ---: | ---: |"
    settings = [
        (0.80, 0.85, 50),
        *((0.90, 0.90, rows) for rows in (50, 200, 1_000, 5_000)),
        (0.995, 0.995, 50),
    ]
    settings += [(0.92, 0.90, 1_000), (0.92, 0.90, 5_000)]
    for truth, limit, rows in settings:
        shares = " | ".join(f"{100 * rate:.1f} %" for rate in simulated(truth, rows, limit))
        yield f"| {truth}, {limit}, {rows:,} | {shares} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=Path, help="replace the tables in this Markdown file")
    options = parser.parse_args()
    text = "\n".join(lines())
    if options.write is None:
        print(text)
        return
    put(options.write, "benchmarks/false_passes.py", text)


if __name__ == "__main__":
    main()
