"""Measure how often the paired gate sees a loss of two points, and how often it lets one through.

    python benchmarks/power_paired.py

Enumerated over all counts of newly right and newly wrong rows, but for the unpaired test and the point gates,
which are simulated 20,000 times. The baseline is right in 90 % of the rows. A minute with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from coverage_paired import LEVEL, SEED, Z, law

from pytest_prodml.statistics.paired import agresti_min, mcnemar, paired_proportions

Array: TypeAlias = npt.NDArray[np.float64]

MARGIN = 0.02
#: Shares of rows that are newly right and newly wrong.
LOSS, EQUAL, GAIN = (0.02, 0.04), (0.03, 0.03), (0.04, 0.02)
REPETITIONS = 20_000


def region(n: int, rates: tuple[float, float]) -> tuple[Array, Array, Array]:
    """Return all counts within six standard deviations, with their probabilities."""
    axes = []
    for rate in rates:
        spread = 6 * np.sqrt(n * rate * (1 - rate))
        axes.append(np.arange(max(0, int(n * rate - spread)), int(n * rate + spread) + 1, dtype=float))
    fixed, broken = (axis.ravel() for axis in np.meshgrid(*axes))
    return fixed, broken, law(n, fixed, broken, *rates)


def verdicts(n: int, rates: tuple[float, float]) -> dict[str, float]:
    """Return how often the gate passes with the margin, fails with it, and proves any loss."""
    fixed, broken, probabilities = region(n, rates)
    counts = list(zip(fixed, broken, strict=True))
    bounds = np.array([paired_proportions(b, c, n).at(LEVEL) for b, c in counts], dtype=float)
    adjusted = np.array([agresti_min(b, c, n, LEVEL)[0] for b, c in counts])
    tested = np.array(
        [c > b and mcnemar(int(b), int(c), mid_p=True) / 2 <= 1 - LEVEL for b, c in counts], dtype=bool
    )
    return {
        "passes": float(probabilities[bounds[:, 0] >= -MARGIN].sum()),
        "passes by Agresti-Min": float(probabilities[adjusted >= -MARGIN].sum()),
        "fails": float(probabilities[bounds[:, 1] < -MARGIN].sum()),
        "any loss proven": float(probabilities[bounds[:, 1] < 0].sum()),
        "McNemar mid-p": float(probabilities[tested].sum()),
    }


def others(n: int, rates: tuple[float, float]) -> dict[str, float]:
    """Return the same for an unpaired test and for gates without bounds."""
    rng = np.random.default_rng(SEED)
    both = 0.9 - rates[1]
    fixed, broken, right, _ = rng.multinomial(n, [*rates, both, 1 - both - sum(rates)], REPETITIONS).T
    difference = (fixed - broken) / n
    # On the same rows, but taken for two independent samples.
    first, second = (right + fixed) / n, (right + broken) / n
    error = np.sqrt(first * (1 - first) / n + second * (1 - second) / n)
    return {
        "unpaired z": float(np.mean(first - second < -Z * error)),
        "point gate, drop > 1 pt": float(np.mean(difference < -0.01)),
        "point gate, any drop": float(np.mean(difference < 0)),
    }


def sections() -> Iterator[str]:
    """Yield the lines of both tables."""
    yield "### A loss of any size is proven (margin 0)\n"
    yield (
        "| rows | truly 2 pt worse: gate | McNemar mid-p | unpaired z "
        "| truly equal: gate | drop > 1 pt | any drop |"
    )
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    sizes = (500, 1000, 2000, 5000)
    for n in sizes:
        worse, equal = verdicts(n, LOSS), verdicts(n, EQUAL)
        loose, alarm = others(n, LOSS), others(n, EQUAL)
        yield (
            f"| {n:,} | {worse['any loss proven']:.3f} | {worse['McNemar mid-p']:.3f} | "
            f"{loose['unpaired z']:.3f} | {equal['any loss proven']:.3f} | "
            f"{alarm['point gate, drop > 1 pt']:.3f} | {alarm['point gate, any drop']:.3f} |"
        )
    yield ""
    yield "### Not worse by more than two points (margin 0.02)\n"
    yield (
        "| rows | truly equal passes | by Agresti-Min "
        "| exactly at the margin passes | fails | 2 pt better passes |"
    )
    yield "| ---: | ---: | ---: | ---: | ---: | ---: |"
    for n in sizes:
        equal, edge, better = (verdicts(n, rates) for rates in (EQUAL, LOSS, GAIN))
        yield (
            f"| {n:,} | {equal['passes']:.3f} | {equal['passes by Agresti-Min']:.3f} | "
            f"{edge['passes']:.3f} | {edge['fails']:.3f} | {better['passes']:.3f} |"
        )
    yield ""


if __name__ == "__main__":
    for line in sections():
        sys.stdout.write(f"{line}\n")
