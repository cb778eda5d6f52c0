"""Ten million rows: AUC with bounds against `roc_auc_score` alone, F1 with 1,000 resamples against counting.

    OMP_NUM_THREADS=1 python benchmarks/performance.py

Processor time of one thread, best of a few runs, both sides in one process. Ratios hold across machines,
seconds do not. Two minutes.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.checks.performance.limits import at_least
from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.intervals import f1
from pytest_prodml.statistics.ranking import average_precision_of_rows, roc_auc_of_rows

ROWS = 10_000_000
Array = npt.NDArray[np.float64]


def best(function: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return min(seconds)


def megabytes(function: Callable[[], object]) -> float:
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def counts(truth: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]) -> tuple[int, int, int]:
    hits = int(np.count_nonzero(truth & predicted))
    return hits, int(np.count_nonzero(predicted)) - hits, int(np.count_nonzero(truth)) - hits


def resampled(tp: int, fp: int, fn: int, n: int) -> Array:
    """Resample the four cells 1,000 times: what resampling rows does to F1, in law."""
    cells = np.array([tp, fp, fn, n - tp - fp - fn], dtype=np.float64)
    drawn = np.random.default_rng(0).multinomial(n, cells / n, 1_000)
    return np.quantile(2 * drawn[:, 0] / (2 * drawn[:, 0] + drawn[:, 1] + drawn[:, 2]), [0.05, 0.95])


def line(task: str, ours: float, other: str, theirs: float) -> None:
    print(f"{task:<54} {1e3 * ours:8.1f} ms   {other:<32} {1e3 * theirs:9.1f} ms   {theirs / ours:8.1f} x")


def main() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(ROWS) < 0.3
    logits = rng.normal(2.0 * truth, 1.5).astype(np.float32)
    columns: dict[str, npt.NDArray[np.float32] | Array] = {
        "probabilities, float32": 1 / (1 + np.exp(-logits)),
        "probabilities, float64": 1 / (1 + np.exp(-logits.astype(np.float64) - rng.random(ROWS))),
        "two decimals": np.round(1 / (1 + np.exp(-logits.astype(np.float64))), 2),
    }
    print(f"{ROWS:,} rows")
    for told, scores in columns.items():

        def ours(scores: npt.NDArray[np.float32] | Array = scores) -> object:
            return roc_auc_of_rows(truth, scores, Design())[0].at(0.95)

        def theirs(scores: npt.NDArray[np.float32] | Array = scores) -> object:
            return roc_auc_score(truth, scores)

        line(f"AUC with bounds, {told}", best(ours, 3), "roc_auc_score alone", best(theirs, 1))
    scores = columns["probabilities, float32"]
    line(
        "average precision with bounds",
        best(lambda: average_precision_of_rows(truth, scores, Design())[0].at(0.95), 2),
        "average_precision_score alone",
        best(lambda: average_precision_score(truth, scores), 1),
    )
    sample = Sample(y_true=truth, y_score=scores, positive_label=True)
    gate = best(lambda: at_least("roc_auc", 0.7, sample, gate_id="benchmark"), 1)
    line(
        "AUC gate: columns checked, verdict's evidence, curve",
        gate,
        "roc_auc_score alone",
        best(lambda: roc_auc_score(truth, scores), 1),
    )
    predicted = np.asarray(scores >= 0.5)
    counting = best(lambda: counts(truth, predicted), 5)
    print()
    line(
        "F1: counting",
        counting,
        "f1_score, once",
        best(lambda: f1_score(truth[: ROWS // 10], predicted[: ROWS // 10]), 1) * 10,
    )
    whole = best(lambda: resampled(*counts(truth, predicted), ROWS), 5)
    exact = best(lambda: f1(*counts(truth, predicted)).at(0.95), 5)
    print(
        f"F1: counting and 1,000 resamples {1e3 * whole:.1f} ms, {whole / counting:.2f} x counting (goal: 3)"
    )
    print(f"F1: counting and exact bounds    {1e3 * exact:.1f} ms, {exact / counting:.2f} x counting")
    print()
    print(
        f"Memory beyond the columns ({(truth.nbytes + scores.nbytes) / 1e6:.0f} MB): "
        f"AUC {megabytes(lambda: roc_auc_of_rows(truth, scores, Design())):.0f} MB, "
        f"roc_auc_score {megabytes(lambda: roc_auc_score(truth, scores)):.0f} MB"
    )


if __name__ == "__main__":
    main()
