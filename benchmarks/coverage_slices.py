"""How often slices and repeated looks raise false alarms, and what they find. Prints Markdown.

    python benchmarks/coverage_slices.py

Simulated with fixed seeds, two minutes with OMP_NUM_THREADS=1. `sections` is what benchmarks/coverage.py
writes into the docs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.checks.performance.weakest import weakest_slices
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Outcome
from pytest_prodml.statistics.estimate import p_value
from pytest_prodml.statistics.intervals import clopper_pearson, proportion
from pytest_prodml.statistics.multiplicity import PROCEDURES
from pytest_prodml.statistics.simultaneous import bonferroni_level, joint_level, overlap_correlation
from pytest_prodml.statistics.spending import SPENDING, level_of_look, sequential_bounds

Array: TypeAlias = npt.NDArray[np.float64]

SLICES, FLOOR, FINE, WEAK = 30, 0.90, 0.92, 0.80


@cache
def alarm(rows: int) -> Array:
    """Return the p-value of "below the floor" for every number of right answers."""
    values = [p_value(proportion(k, rows), FLOOR, at_least=True) for k in range(rows + 1)]
    return np.array([1.0 if value is None else value for value in values])


def many_slices(runs: int) -> Iterator[str]:
    yield f"### {SLICES} slices that are all truly {FINE}, floor {FLOOR:.2f}\n"
    yield "How often at least one of them is accused, in percent; in brackets how often one slice is accused"
    yield f"that is truly {WEAK:.2f} instead.\n"
    procedures = ["point value below the floor", "uncorrected p < .05", *PROCEDURES]
    yield f"| rows a slice | {' | '.join(procedures)} |"
    yield f"| ---: | {' | '.join('---:' for _ in procedures)} |"
    for rows in (50, 100, 200, 500):
        rng = np.random.default_rng(rows)
        clean = rng.binomial(rows, FINE, size=(runs, SLICES))
        planted = np.column_stack([rng.binomial(rows, WEAK, size=runs), clean[:, 1:]])
        below, low = clean / rows < FLOOR, alarm(rows)[clean] <= 0.05
        weak = planted[:, 0]
        cells = [
            accused(below.any(axis=1), weak / rows < FLOOR),
            accused(low.any(axis=1), alarm(rows)[weak] <= 0.05),
        ]
        for adjust in PROCEDURES.values():
            false = np.array([(adjust(alarm(rows)[counts]) <= 0.05).any() for counts in clean])
            true = np.array([adjust(alarm(rows)[counts])[0] <= 0.05 for counts in planted])
            cells.append(accused(false, true))
        yield f"| {rows} | {' | '.join(cells)} |"
    yield ""


def accused(falsely: npt.NDArray[np.bool_], rightly: npt.NDArray[np.bool_]) -> str:
    return f"{100 * falsely.mean():.1f} ({100 * rightly.mean():.0f})"


def nested(cells: int) -> npt.NDArray[np.bool_]:
    """Cells, neighboring pairs of them, the halves and the whole: slices that contain each other."""
    single = np.eye(cells, dtype=np.bool_)
    half = np.arange(cells) < cells // 2
    whole = np.ones(cells, dtype=np.bool_)
    return np.vstack([single, single | np.roll(single, 1, axis=0), half, ~half, whole])


def together(runs: int) -> Iterator[str]:
    yield "### Bounds of all slices at once: how often any of them misses (lower / upper, percent)\n"
    yield "Exact limits at the level of each method; 19 slices (8 cells, 8 pairs, halves, whole), or 20 that"
    yield "share no row.\n"
    yield "| slices, rows a cell, true share | max-t | Bonferroni | each at 95 % |"
    yield "| --- | ---: | ---: | ---: |"
    for name, member, sizes in (
        ("nested", nested(8), (10, 50, 500)),
        ("apart", np.eye(20, dtype=np.bool_), (10,)),
    ):
        for rows in sizes:
            for rate in (0.5, 0.9, 0.98):
                found = joint_misses(member, rows, rate, runs)
                yield f"| {name}, {rows}, {rate} | {' | '.join(found)} |"
    yield ""


def joint_misses(member: npt.NDArray[np.bool_], rows: int, rate: float, runs: int) -> list[str]:
    rng = np.random.default_rng(rows)
    slices, cells = member.shape
    low, high = np.zeros(3), np.zeros(3)
    for _ in range(runs):
        right = rng.binomial(rows, rate, size=cells)
        k, n = member @ right, member @ np.full(cells, rows)
        mean = k / n
        contributions = np.vstack(
            [
                np.sqrt(right)[:, np.newaxis] * member.T * (1 - mean),
                np.sqrt(rows - right)[:, np.newaxis] * member.T * -mean,
            ]
        )
        levels = (
            joint_level(overlap_correlation(contributions), 0.95),
            bonferroni_level(0.95, slices),
            0.95,
        )
        for place, level in enumerate(levels):
            lower, upper = clopper_pearson(k, n, level)
            low[place] += (lower > rate + 1e-12).any()
            high[place] += (upper < rate - 1e-12).any()
    return [f"{100 * a / runs:.1f} / {100 * b / runs:.1f}" for a, b in zip(low, high, strict=True)]


def searches(runs: int) -> Iterator[str]:
    yield "### The weakest slice, searched among 12 columns of 5 levels (1,710 slices)\n"
    yield "Truth .90, floor .90, top 5. In percent of the samples: a slice is accused though none is weak;"
    yield "and a planted slice (4 % of the rows, 20 points weaker) is accused, or one that shares a column."
    yield '"Same rows": the searched half judges its own finds, uncorrected.\n'
    yield "| rows | false, other half | false, same rows | planted, other half |"
    yield "| ---: | ---: | ---: | ---: |"
    for rows in (2_000, 10_000, 50_000):
        count = max(runs // (rows // 1_000), 20)
        other = same = planted = 0
        for seed in range(count):
            clean, columns = drawn(rows, seed, weak=0.10)
            found = weakest_slices("accuracy", FLOOR, clean, columns, gate_id="g", seed=seed)
            judged = judge_criteria("g", found, confidence_level=0.95)
            other += any(item.judgement.outcome is Outcome.FAIL for item in judged)
            table = found.details["slice_table"]
            fished = 0
            for row in table if isinstance(table, list) else ():
                wrong = round(row["rows_searched"] * row["loss_searched"])
                n = row["rows_searched"]
                p = p_value(proportion(n - wrong, n), FLOOR, at_least=True)
                fished += p is not None and p <= 0.05
            same += fished > 0
            weak, columns = drawn(rows, seed, weak=0.30)
            found = weakest_slices("accuracy", FLOOR, weak, columns, gate_id="g", seed=seed)
            judged = judge_criteria("g", found, confidence_level=0.95)
            failed = [item.criterion.group or "" for item in judged if item.judgement.outcome is Outcome.FAIL]
            planted += any("c2=1" in group or "c5=3" in group for group in failed)
        shares = (f"{100 * hits / count:.1f}" for hits in (other, same, planted))
        yield f"| {rows:,} ({count} samples) | {' | '.join(shares)} |"
    yield ""


def drawn(rows: int, seed: int, weak: float) -> tuple[Sample, dict[str, npt.NDArray[np.int64]]]:
    rng = np.random.default_rng(seed)
    columns = {f"c{place}": rng.integers(0, 5, rows) for place in range(12)}
    hard = (columns["c2"] == 1) & (columns["c5"] == 3)
    truth = rng.integers(0, 2, rows)
    wrong = rng.random(rows) < np.where(hard, weak, 0.10)
    return Sample(y_true=truth, y_pred=np.where(wrong, 1 - truth, truth)), columns


def looks(runs: int) -> Iterator[str]:
    yield "### Five models tried on one test set until one passes: how often one passes (percent)\n"
    yield "500 rows, every model truly .90, floor .90, Clopper-Pearson; with `alike` of .9, nine of ten wrong"
    yield "answers are common to the models.\n"
    names = ["point gate", "95 % each time", *SPENDING]
    yield f"| alike | {' | '.join(names)} |"
    yield f"| ---: | {' | '.join('---:' for _ in names)} |"
    n, planned = 500, 5
    for alike in (0.0, 0.9):
        rng = np.random.default_rng(5)
        common = rng.binomial(n, 0.1 * alike, size=(runs, 1))
        own = 0.1 * (1 - alike) / (1 - 0.1 * alike)
        right = n - common - rng.binomial(n - common, own, size=(runs, planned))
        plans = [[0.95] * planned] + [
            [level_of_look(k, planned, 0.95, name) for k in range(1, planned + 1)] for name in SPENDING
        ]
        shares = [float((right / n >= FLOOR).any(axis=1).mean())]
        for levels in plans:
            lower = np.column_stack(
                [clopper_pearson(right[:, place], n, level)[0] for place, level in enumerate(levels)]
            )
            shares.append(float((lower >= FLOOR).any(axis=1).mean()))
        yield f"| {alike} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |"
    yield ""


def accumulating(runs: int) -> Iterator[str]:
    yield "### Five looks at data that accumulate for one model: how often any look crosses (percent)\n"
    names = ["95 % each time", *SPENDING]
    yield f"| looks at | {' | '.join(names)} |"
    yield f"| --- | {' | '.join('---:' for _ in names)} |"
    for fractions in ([0.2, 0.4, 0.6, 0.8, 1.0], [0.1, 0.15, 0.5, 0.55, 1.0]):
        rng = np.random.default_rng(6)
        steps = np.sqrt(np.diff([0.0, *fractions]))
        z = np.cumsum(rng.standard_normal((runs, 5)) * steps, axis=1) / np.sqrt(fractions)
        plans = [[norm.ppf(0.95)] * 5, *(sequential_bounds(fractions, 0.95, name) for name in SPENDING)]
        shares = (f"{100 * (z > np.array(plan)).any(axis=1).mean():.2f}" for plan in plans)
        yield f"| {', '.join(map(str, fractions))} | {' | '.join(shares)} |"
    yield ""


def sections(repetitions: int = 1_000) -> Iterator[str]:
    """Yield the lines of all sections."""
    error = 100 * math.sqrt(0.05 * 0.95 / repetitions)
    yield f"{repetitions:,} samples a setting where that is cheap (standard error of 5.0: {error:.1f}),"
    yield "a third of it for bounds of all slices at once.\n"
    yield from many_slices(2 * repetitions)
    yield from together(repetitions // 3)
    yield from searches(repetitions // 3)
    yield from looks(20 * repetitions)
    yield from accumulating(200 * repetitions)


if __name__ == "__main__":
    for line in sections():
        print(line)
