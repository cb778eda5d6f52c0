"""How often the bound of a latency gate holds, and how often a model on its budget passes: simulated.

Prints the table of docs/explanation/latency.md: for calls that are independent, that resemble each other
(AR(1), 0.9) and that are slow in bursts of twenty, the share of runs in which a 99th percentile that lies on
its budget passes (nominal: at most 5 %), fails, or is left open; for four rules::

    python benchmarks/latency_coverage.py [RUNS]
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from scipy.stats import binom, norm

from pytest_prodml.checks.latency import planned_looks, quantile_at_most
from pytest_prodml.checks.latency.plan import level_of_each_look
from pytest_prodml.policy.judge import judge_criteria

Samples = npt.NDArray[np.float64]
UNIT = 2e-4
SIZES = (1_000, 6_000, 20_000)


def independent(n: int, rng: np.random.Generator) -> Samples:
    return UNIT * np.exp(rng.normal(size=n) / 2)


def correlated(n: int, rng: np.random.Generator) -> Samples:
    noise = rng.normal(size=n) * np.sqrt(1 - 0.9**2)
    return np.asarray(UNIT * np.exp(lfilter([1], [1, -0.9], noise, zi=[0.9 * rng.normal()])[0] / 2))


def bursts(n: int, rng: np.random.Generator) -> Samples:
    samples = UNIT * np.exp(rng.normal(size=n) / 10)
    for start in np.flatnonzero(rng.random(n) < 0.015 / 20):
        samples[start : start + 20] *= 10
    return samples


def empirical(samples: Samples, budget: float) -> str:
    return "pass" if float(np.quantile(samples, 0.99)) <= budget else "fail"


def as_independent(samples: Samples, budget: float) -> str:
    """Every call counts as one: MLPerf LoadGen's early stopping, at 95 %."""
    slow = int(np.count_nonzero(samples > budget))
    if binom.cdf(slow, len(samples), 0.01) <= 0.05:
        return "pass"
    return "fail" if binom.sf(slow - 1, len(samples), 0.01) <= 0.05 else "inconclusive"


def ours(samples: Samples, budget: float, burst: int | None = None) -> str:
    evidence = quantile_at_most(0.99, budget, samples, burst=burst, gate_id="latency.p99")
    (judged,) = judge_criteria("latency.p99", evidence, confidence_level=0.95)
    return judged.judgement.outcome.value


def without_allowance(samples: Samples, budget: float) -> str:
    return ours(samples, budget, burst=1)


RULES: dict[str, Callable[[Samples, float], str]] = {
    "empirical p99 against the budget": empirical,
    "calls taken as independent": as_independent,
    "ours, without the allowance for bursts": without_allowance,
    "ours": ours,
}


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    smooth = float(UNIT * np.exp(norm.ppf(0.99) / 2))
    rng = np.random.default_rng(1)
    in_bursts = float(np.quantile(bursts(20_000_000, rng), 0.99))
    print(
        f"{runs} runs a cell; pass / fail / inconclusive in % at a budget that is the true 99th percentile\n"
    )
    print("| calls | n | " + " | ".join(RULES) + " |")
    print("|---" * (len(RULES) + 2) + "|")
    for name, series, truth in (
        ("independent", independent, smooth),
        ("AR(1) 0.9", correlated, smooth),
        ("bursts of 20", bursts, in_bursts),
    ):
        for n in SIZES:
            data = [series(n, rng) for _ in range(runs)]
            cells = []
            for rule in RULES.values():
                found = [rule(samples, truth * (1 - 1e-12)) for samples in data]
                shares = [100 * found.count(word) / runs for word in ("pass", "fail", "inconclusive")]
                cells.append(" / ".join(f"{share:.1f}" for share in shares))
            print(f"| {name} | {n:,} | " + " | ".join(cells) + " |", flush=True)
    looks(runs, rng)


def looks(runs: int, rng: np.random.Generator) -> None:
    sizes = planned_looks(0.99, 0.95, looks=3, burst=1)
    level = level_of_each_look(0.95, 3)
    truth = UNIT * np.exp(norm.ppf(0.99) / 2) * (1 - 1e-12)
    one = three = many = 0
    for _ in range(runs):
        slow = np.cumsum(independent(sizes[-1], rng) > truth)
        one += binom.cdf(slow[-1], sizes[-1], 0.01) <= 0.05
        three += any(binom.cdf(slow[size - 1], size, 0.01) <= 1 - level for size in sizes)
        every = np.linspace(300, sizes[-1], 30).astype(int)
        many += any(binom.cdf(slow[size - 1], size, 0.01) <= 0.05 for size in every)
    print(f"\nlooks at a growing run (n = {', '.join(f'{size:,}' for size in sizes)}), false passes:")
    print(
        f"one look {one / runs:.1%}, three declared looks {three / runs:.1%}, thirty looks {many / runs:.1%}"
    )


if __name__ == "__main__":
    main()
