"""How often `no_leakage` finds planted leaks and accuses clean tables, and that its search is linear.

Also the errors of the bounds of a rank correlation, by which the columns of a quantity are judged.

Run: python benchmarks/leakage.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from pytest_prodml.adapters.tables import load_dataset
from pytest_prodml.checks.overlap.columns import shared_columns
from pytest_prodml.checks.overlap.copies import exact_copies, rounded_copies
from pytest_prodml.checks.performance.leakage import no_leakage
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Outcome
from pytest_prodml.statistics.rank_correlation import strength

Array: TypeAlias = npt.NDArray[np.float64]

RUNS = 30
LAW_ROWS = ((20, 600), (50, 600), (200, 600), (1_000, 600), (5_000, 600))


def clean(seed: int, rows: int = 1_200) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, 8)), columns=[f"v{place}" for place in range(8)])
    frame["age"] = rng.integers(18, 80, rows)
    frame["city"] = rng.choice(list("abcdef"), rows)
    frame["y"] = (frame["v0"] + rng.normal(size=rows) > 0.8).astype(int)
    return frame


def imbalanced(seed: int) -> pd.DataFrame:
    frame = clean(seed, 3_000)
    noise = np.random.default_rng(seed + 1).normal(size=len(frame))
    return frame.assign(y=(frame["v0"] + noise > 3).astype(int))


def few_levels(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.integers(0, 4, 1_200) for name in "pqrst"})
    return frame.assign(y=rng.integers(0, 2, 1_200))


def clients(seed: int) -> pd.DataFrame:
    """Return six rows of each of 200 clients, who have a home and an answer of their own."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(200), 6)
    frame = clean(seed).drop(columns="y")
    return frame.assign(client=who, v0=rng.normal(size=200)[who], y=rng.integers(0, 2, 200)[who])


def noisy_target(seed: int) -> pd.DataFrame:
    frame = clean(seed)
    return frame.assign(copy=frame["y"] + np.random.default_rng(seed).normal(scale=0.2, size=len(frame)))


def noisy_quantity(seed: int) -> pd.DataFrame:
    frame = clean(seed)
    frame["y"] = frame["v0"] + np.random.default_rng(seed).normal(size=len(frame))
    return frame.assign(copy=frame["y"] + np.random.default_rng(seed + 1).normal(scale=0.05, size=len(frame)))


def copied_rows(seed: int) -> pd.DataFrame:
    frame = clean(seed)
    return pd.concat([frame, frame[:12]], ignore_index=True)


def rounded_rows(seed: int) -> pd.DataFrame:
    frame = clean(seed)
    return pd.concat([frame, frame[:12].round(2)], ignore_index=True)


def shifted_split(seed: int) -> pd.DataFrame:
    frame = clean(seed)
    return frame.assign(v3=frame["v3"] + np.where(np.arange(len(frame)) < 900, 0.0, 1.5))


def mixed_clients(seed: int) -> pd.DataFrame:
    return clients(seed).sample(frac=1, random_state=seed)


def outcomes(frame: pd.DataFrame, seed: int) -> set[Outcome]:
    at = 900 if len(frame) < 2_000 else len(frame) * 3 // 4
    first, second = (
        load_dataset(
            (part.drop(columns="y").reset_index(drop=True), part["y"].to_numpy()), name=name, target="y"
        )
        for name, part in (("reference", frame[:at]), ("test", frame[at:]))
    )
    entity = "client" if "client" in frame else None
    evidence = no_leakage(first, second, entity=entity, seed=seed, gate_id="performance.no_leakage")
    judged = judge_criteria("performance.no_leakage", evidence, confidence_level=0.95)
    return {item.judgement.outcome for item in judged}


def found() -> Iterator[str]:
    yield f"| table ({RUNS} seeds, default limits) | fails | inconclusive | s a call |\n|---|---|---|---|"
    tables: list[tuple[str, Callable[[int], pd.DataFrame]]] = [
        ("clean", clean),
        ("clean, rare positives", imbalanced),
        ("clean, few levels", few_levels),
        ("clean, six rows a client", clients),
        ("noisy copy of the target", noisy_target),
        ("noisy copy of a quantity", noisy_quantity),
        ("12 of 312 test rows copied", copied_rows),
        ("12 of 312 test rows copied and rounded", rounded_rows),
        ("test rows shifted by 1.5 deviations", shifted_split),
        ("clients in both splits", mixed_clients),
    ]
    for name, make in tables:
        start = time.perf_counter()
        each = [outcomes(make(seed), seed) for seed in range(RUNS)]
        took = (time.perf_counter() - start) / RUNS
        fails = sum(Outcome.FAIL in item for item in each)
        open_ = sum(Outcome.FAIL not in item and Outcome.INCONCLUSIVE in item for item in each)
        yield f"| {name} | {fails / RUNS:.2f} | {open_ / RUNS:.2f} | {took:.2f} |"


def searched() -> Iterator[str]:
    yield "\n| rows | equal rows | rounded rows |\n|---|---|---|"
    for rows in (100_000, 300_000, 1_000_000):
        frame = clean(0, rows)
        first, second = (
            load_dataset(part.drop(columns="y"), name=name, target=None)
            for name, part in (("reference", frame[: rows * 3 // 4]), ("test", frame[rows * 3 // 4 :]))
        )
        columns = shared_columns(first, second)
        start = time.perf_counter()
        exact_copies(columns, seed=0)
        middle = time.perf_counter()
        rounded_copies(columns, seed=0)
        yield f"| {rows:,} | {middle - start:.2f} s | {time.perf_counter() - middle:.2f} s |"


def normal(rng: np.random.Generator, n: int, r: float) -> tuple[Array, Array]:
    x = rng.normal(size=n)
    return x, r * x + np.sqrt(1 - r * r) * rng.normal(size=n)


def heavy_tails(rng: np.random.Generator, n: int, r: float) -> tuple[Array, Array]:
    x, y = normal(rng, n, r)
    scale = np.sqrt(rng.chisquare(1.5, n))
    return x / scale, y / scale


def partly_copied(rng: np.random.Generator, n: int, r: float) -> tuple[Array, Array]:
    x = rng.normal(size=n)
    return x, np.where(rng.random(n) < r, x, rng.normal(size=n))


def rare_flags(rng: np.random.Generator, n: int, r: float) -> tuple[Array, Array]:
    x = rng.random(n) < 0.1
    return x.astype(np.float64), np.where(rng.random(n) < r, x, rng.random(n) < 0.1).astype(np.float64)


def whole_numbers(rng: np.random.Generator, n: int, r: float) -> tuple[Array, Array]:
    x, y = normal(rng, n, r)
    return np.round(x), np.round(y)


def ranked() -> Iterator[str]:
    head = " | ".join(f"n = {n:,}" for n, _ in LAW_ROWS)
    yield f"\n| law, strength | {head} |\n|---|{'---|' * len(LAW_ROWS)}"
    laws: list[Callable[[np.random.Generator, int, float], tuple[Array, Array]]] = [
        normal,
        heavy_tails,
        partly_copied,
        rare_flags,
        whole_numbers,
    ]
    for law in laws:
        for r in (0.5, 0.8, 0.95, 0.99):
            rng = np.random.default_rng(round(100 * r))
            truth = r
            # Of copies and of flags it is r itself.
            if law not in {partly_copied, rare_flags}:
                values = [strength(*law(rng, 500_000, r)).value or 0.0 for _ in range(4)]
                truth = float(np.mean(values))
            cells = []
            for n, runs in LAW_ROWS:
                missed = np.zeros(2)
                for _ in range(runs):
                    lower, upper = strength(*law(rng, n, r)).at(0.95)
                    missed += (
                        lower is not None and lower > truth,
                        upper is not None and upper < truth,
                    )
                cells.append(" / ".join(f"{share:.3f}" for share in missed / runs))
            yield f"| {law.__name__.replace('_', ' ')}, {r:.2f} | {' | '.join(cells)} |"


def sections() -> Iterator[str]:
    yield from found()
    yield from searched()
    yield "\nShare of runs in which the lower / upper bound at 95 % of a rank correlation misses the truth:"
    yield from ranked()


if __name__ == "__main__":
    for line in sections():
        print(line, flush=True)
