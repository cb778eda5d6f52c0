"""How often `no_leakage` finds planted leaks and accuses clean tables, and that its search is linear.

Run: python benchmarks/leakage.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from pytest_prodml.adapters.tables import Dataset
from pytest_prodml.checks.performance.leakage import no_leakage
from pytest_prodml.checks.performance.leakage.columns import shared_columns
from pytest_prodml.checks.performance.leakage.copies import exact_copies, rounded_copies
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Outcome

RUNS = 30
KINDS = [
    "single_feature",
    "duplicate_rows",
    "duplicates_beyond_chance",
    "near_duplicate_rows",
    "near_duplicates_beyond_chance",
]


def clean(seed: int, rows: int = 1_200) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, 8)), columns=[f"v{place}" for place in range(8)])
    frame["age"] = rng.integers(18, 80, rows)
    frame["city"] = rng.choice(list("abcdef"), rows)
    frame["y"] = (frame["v0"] + rng.normal(size=rows) > 0.8).astype(int)
    return frame


def imbalanced(seed: int) -> pd.DataFrame:
    frame = clean(seed, 3_000)
    return frame.assign(
        y=(frame["v0"] + np.random.default_rng(seed + 1).normal(size=len(frame)) > 3).astype(int)
    )


def few_levels(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.integers(0, 4, 1_200) for name in "pqrst"})
    return frame.assign(y=rng.integers(0, 2, 1_200))


def noisy_target(seed: int) -> pd.DataFrame:
    frame = clean(seed)
    return frame.assign(copy=frame["y"] + np.random.default_rng(seed).normal(scale=0.2, size=len(frame)))


def copied_rows(seed: int) -> pd.DataFrame:
    frame = clean(seed)
    return pd.concat([frame, frame[:12]], ignore_index=True)


def rounded_rows(seed: int) -> pd.DataFrame:
    frame = clean(seed)
    return pd.concat([frame, frame[:12].round(2)], ignore_index=True)


def outcomes(frame: pd.DataFrame) -> set[Outcome]:
    at = 900 if len(frame) < 2_000 else len(frame) * 3 // 4
    first, second = (
        Dataset(
            name=name,
            frame=part.drop(columns="y"),
            target=part["y"].to_numpy(),
            material=None,
            target_name="y",
        )
        for name, part in (("reference", frame[:at]), ("test", frame[at:]))
    )
    evidence = no_leakage(first, second, only=KINDS, gate_id="performance.no_leakage")
    judged = judge_criteria("performance.no_leakage", evidence, confidence_level=0.95)
    return {item.judgement.outcome for item in judged}


def sections() -> Iterator[str]:
    yield f"| table ({RUNS} seeds) | fails | inconclusive |\n|---|---|---|"
    tables: list[tuple[str, Callable[[int], pd.DataFrame]]] = [
        ("clean", clean),
        ("clean, rare positives", imbalanced),
        ("clean, few levels", few_levels),
        ("noisy copy of the target", noisy_target),
        ("12 of 312 test rows copied", copied_rows),
        ("12 of 312 test rows copied and rounded", rounded_rows),
    ]
    for name, make in tables:
        found = [outcomes(make(seed)) for seed in range(RUNS)]
        fails = sum(Outcome.FAIL in item for item in found)
        open_ = sum(Outcome.FAIL not in item and Outcome.INCONCLUSIVE in item for item in found)
        yield f"| {name} | {fails / RUNS:.2f} | {open_ / RUNS:.2f} |"
    yield "\n| rows | equal rows | rounded rows |\n|---|---|---|"
    for rows in (100_000, 1_000_000):
        frame = clean(0, rows)
        first, second = (
            Dataset(name=name, frame=part.drop(columns="y"), target=None, material=None)
            for name, part in (("reference", frame[: rows * 3 // 4]), ("test", frame[rows * 3 // 4 :]))
        )
        columns = shared_columns(first, second)
        start = time.perf_counter()
        exact_copies(columns, seed=0)
        middle = time.perf_counter()
        rounded_copies(columns, seed=0)
        yield f"| {rows:,} | {middle - start:.2f} s | {time.perf_counter() - middle:.2f} s |"


if __name__ == "__main__":
    for line in sections():
        print(line, flush=True)
