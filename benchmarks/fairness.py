"""How long six fairness metrics over 40 groups take, with bounds that hold together. Prints Markdown.

    python benchmarks/fairness.py                 # 1,000,000 rows, fairlearn too: about four minutes
    python benchmarks/fairness.py --rows 100000 --rows 10000000 --without-fairlearn

Three attributes of 2, 4 and 5 values make 40 groups. Ours: the codes are counted once; the largest difference
of each metric between any two groups gets its bounds (all 1,560 ordered pairs) and is judged by a limit, and
every group gets bounds that hold for all groups at once. Nothing is resampled, so there is no number of
resamples for the cost to grow with.

Beside it: one pass of `numpy.bincount` over codes that are already fused, the same with the fusing, and
fairlearn's `MetricFrame`, whose bounds are bootstrap quantiles of the groups and of the difference. 1,000
bootstraps are extrapolated from two (the cost is linear: each resamples all rows and computes the frame
again). Best of several runs, wall and CPU time, OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from pytest_prodml.statistics.estimate import growth_to_decide
from pytest_prodml.statistics.gaps import difference_of_counts, group_bounds
from pytest_prodml.statistics.sufficient import Counts, cross_table

SHAPE = (2, 4, 5)
GROUPS = 40
LEVEL, LIMIT = 0.95, 0.10
BOOTSTRAPS = 1_000
TRIED = 2

Codes = npt.NDArray[np.intp] | npt.NDArray[np.uint8]


def seconds(function: Callable[[], object], runs: int) -> tuple[float, float]:
    """Return the best wall and CPU time."""
    wall = cpu = float("inf")
    for _ in range(runs):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        function()
        wall = min(wall, time.perf_counter() - begin)
        cpu = min(cpu, time.process_time() - begin_cpu)
    return wall, cpu


def rates(table: Counts) -> Mapping[str, tuple[Counts, Counts]]:
    """Return successes and trials of six metrics by group, from counts by group, truth and decision."""
    right = table[:, 0, 0] + table[:, 1, 1]
    rows, positive, negative = table.sum(axis=(1, 2)), table[:, 1].sum(axis=1), table[:, 0].sum(axis=1)
    selected = table[:, :, 1].sum(axis=1)
    return {
        "accuracy": (right, rows),
        "precision": (table[:, 1, 1], selected),
        "selection_rate": (selected, rows),
        "true_positive_rate": (table[:, 1, 1], positive),
        "false_positive_rate": (table[:, 0, 1], negative),
        "false_negative_rate": (table[:, 1, 0], positive),
    }


def ours(group: Codes, truth: Codes, decision: Codes, *, limit: float = LIMIT) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, (successes, trials) in rates(cross_table([group, truth, decision], (GROUPS, 2, 2))).items():
        gap = difference_of_counts(successes, trials)
        lower, upper = gap.estimate.at(LEVEL)
        undecided = upper is None or lower is None or lower <= limit < upper
        plan = None
        if undecided:
            growth = growth_to_decide(gap.estimate, limit, at_least=False, confidence_level=LEVEL)
            plan = growth, gap.needs(limit, LEVEL)
        found[name] = gap.estimate.value, lower, upper, plan, group_bounds(successes, trials, LEVEL)
    return found


def fairlearn_seconds(
    columns: list[Codes], truth: Codes, decision: Codes, bootstraps: int | None
) -> tuple[float, float]:
    """Return wall and CPU time of one frame."""
    import pandas as pd
    from fairlearn import metrics
    from sklearn.metrics import accuracy_score, precision_score

    functions = {
        "accuracy": accuracy_score,
        "precision": precision_score,
        "selection_rate": metrics.selection_rate,
        "true_positive_rate": metrics.true_positive_rate,
        "false_positive_rate": metrics.false_positive_rate,
        "false_negative_rate": metrics.false_negative_rate,
    }
    frame = pd.DataFrame({f"a{place}": column for place, column in enumerate(columns)})
    options = (
        {} if bootstraps is None else {"n_boot": bootstraps, "ci_quantiles": [0.05, 0.95], "random_state": 1}
    )
    begin, begin_cpu = time.perf_counter(), time.process_time()
    found = metrics.MetricFrame(
        metrics=functions, y_true=truth, y_pred=decision, sensitive_features=frame, **options
    )
    found.by_group, found.difference()
    if bootstraps is not None:
        found.by_group_ci, found.difference_ci()
    return time.perf_counter() - begin, time.process_time() - begin_cpu


def measured(rows: int, *, with_fairlearn: bool) -> None:
    rng = np.random.default_rng(1)
    columns = [rng.integers(0, size, rows) for size in SHAPE]
    group = np.ravel_multi_index(columns, SHAPE)
    truth = (rng.random(rows) < 0.3).astype(np.intp)
    decision = (rng.random(rows) < np.where(truth == 1, 0.7, 0.15)).astype(np.intp)
    bytes_ = [column.astype(np.uint8) for column in (group, truth, decision)]
    fused = (group * 2 + truth) * 2 + decision
    fused_bytes = fused.astype(np.uint8)
    cells = GROUPS * 4
    runs = max(5, min(50, 30_000_000 // rows))
    passes = {
        "one `numpy.bincount`, codes already fused, int64": lambda: np.bincount(fused, minlength=cells),
        "one `numpy.bincount`, codes already fused, uint8": lambda: np.bincount(fused_bytes, minlength=cells),
        "fuse three int64 columns and `numpy.bincount`": lambda: np.bincount(
            (group * 2 + truth) * 2 + decision, minlength=cells
        ),
        "**ours**, int64 columns": lambda: ours(group, truth, decision),
        "**ours**, uint8 columns": lambda: ours(*bytes_),
        "of that, the counts (uint8)": lambda: cross_table(bytes_, (GROUPS, 2, 2)),
        "**ours**, uint8 columns, a limit that is undecided: with plans": lambda: ours(*bytes_, limit=tight),
    }
    # Between the observed gap and its upper bound, for every metric.
    gaps = [
        difference_of_counts(*pair).estimate for pair in rates(cross_table(bytes_, (GROUPS, 2, 2))).values()
    ]
    tight = max(gap.value or 0.0 for gap in gaps) * 1.01
    timed = {name: seconds(function, runs) for name, function in passes.items()}
    one_pass = timed["one `numpy.bincount`, codes already fused, int64"][0]
    all_of_it = timed["fuse three int64 columns and `numpy.bincount`"][0]
    for name, (wall, cpu) in timed.items():
        line = (
            f"{1_000 * wall:,.2f} ms | {1_000 * cpu:,.2f} ms | {wall / one_pass:.1f} | {wall / all_of_it:.1f}"
        )
        print(f"| {rows:,} | {name} | {line} |", flush=True)
    if not with_fairlearn:
        return
    own = timed["**ours**, int64 columns"][1]
    point = fairlearn_seconds(columns, truth, decision, None)
    few = fairlearn_seconds(columns, truth, decision, TRIED)
    whole = tuple(one + BOOTSTRAPS * (other - one) / TRIED for one, other in zip(point, few, strict=True))
    for name, (wall, cpu) in (
        ("no bounds (one run)", point),
        (f"{TRIED} bootstraps (one run)", few),
        (f"{BOOTSTRAPS:,} bootstraps, extrapolated", whole),
    ):
        print(f"| {rows:,} | fairlearn, {name} | {wall:,.1f} s | {cpu:,.1f} s | | |", flush=True)
    print(
        f"\nBy CPU time ours (int64 columns) is {point[1] / own:,.0f} times as fast as fairlearn without"
        f" bounds, {whole[1] / own:,.0f} times as fast as with {BOOTSTRAPS:,} bootstraps (extrapolated)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, action="append", help="default 1,000,000; may be given again")
    parser.add_argument("--without-fairlearn", action="store_true")
    options = parser.parse_args()
    print("| rows | | wall | CPU | of one pass | of one pass with fusing |")
    print("| ---: | --- | ---: | ---: | ---: | ---: |")
    for rows in options.rows or [1_000_000]:
        measured(rows, with_fairlearn=not options.without_fairlearn)


if __name__ == "__main__":
    main()
