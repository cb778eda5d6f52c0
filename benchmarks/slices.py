"""How long a search of all pairs of columns takes, beside pandas. Prints Markdown.

    python benchmarks/slices.py [rows ...]

12 columns of 5 levels: 66 pairs of 25 cells, and 12 columns alone. Every method computes rows and mean loss
of every cell; ours also picks the five weakest slices, each without the rows of those before. Best of
three with OMP_NUM_THREADS=1 (pandas: one run).
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score

from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.checks.performance.weakest import weakest_slices
from pytest_prodml.statistics.slice_search import search

COLUMNS, LEVELS = 12, 5


def seconds(function: Callable[[], object], runs: int = 3) -> float:
    best = float("inf")
    for _ in range(runs):
        begin = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - begin)
    return best


def measured(rows: int) -> None:
    rng = np.random.default_rng(1)
    codes = [rng.integers(0, LEVELS, rows).astype(np.uint8) for _ in range(COLUMNS)]
    hard = (codes[2] == 1) & (codes[5] == 3)
    wrong = rng.random(rows) < np.where(hard, 0.146, 0.1)
    truth = rng.integers(0, 2, rows)
    predicted = np.where(wrong, 1 - truth, truth)
    errors, numbers = wrong.astype(float), wrong + rng.random(rows)
    sizes = [LEVELS] * COLUMNS
    frame = pd.DataFrame({f"c{i}": column for i, column in enumerate(codes)})
    frame["loss"] = errors
    pairs = list(itertools.combinations([f"c{i}" for i in range(COLUMNS)], 2))

    def grouped() -> None:
        for pair in pairs:
            frame.groupby(list(pair), observed=True)["loss"].agg(["count", "mean"])

    def looped() -> None:
        # One pair only: 25 masks and calls of scikit-learn.
        for a, b in itertools.product(range(LEVELS), range(LEVELS)):
            rows_of = (codes[0] == a) & (codes[1] == b)
            accuracy_score(truth[rows_of], predicted[rows_of])

    sample, columns = Sample(y_true=truth, y_pred=predicted), {f"c{i}": c for i, c in enumerate(codes)}
    timed = {
        "search, errors of 0 and 1": seconds(lambda: search(codes, sizes, errors)),
        "search, any loss": seconds(lambda: search(codes, sizes, numbers)),
        "search, depth 3 (220 more)": seconds(lambda: search(codes, sizes, errors, depth=3)),
        "`weakest_slices`, half searched, with the judged half": seconds(
            lambda: weakest_slices("accuracy", 0.85, sample, columns, gate_id="g")
        ),
        "pandas groupby over 66 pairs": seconds(grouped, 1),
        "scikit-learn, loop over 66 x 25 masks (one pair x 66)": 66 * seconds(looped, 1),
    }
    first = search(codes, sizes, errors).found[0]
    found = "first" if (first.columns, first.levels) == ((2, 5), (1, 3)) else "not first"
    for name, taken in timed.items():
        print(f"| {rows:,} | {name} | {1_000 * taken:,.0f} ms |")
    print(f"| {rows:,} | planted slice (+4.6 points) ranked | {found} |")


if __name__ == "__main__":
    print("| rows | | |")
    print("| ---: | --- | ---: |")
    for given in sys.argv[1:] or ("100000", "1000000"):
        measured(int(given))
