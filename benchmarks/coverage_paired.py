"""Measure how often the bounds of a difference between two models on the same rows miss the truth.

    python benchmarks/coverage_paired.py

Part of `coverage.py`, and a program of its own. Shares of right answers are enumerated over pairs of rates,
everything else is simulated with a fixed seed. Each cell: how often the lower bound lies above the truth /
the upper bound below it, in per cent; 5.0 is what the level says. Four minutes with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, ndtri, xlogy

from pytest_prodml.statistics.confusion_metrics import CONFUSION_METRICS
from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.paired import (
    agresti_min,
    exact_limits,
    paired_means,
    paired_proportions,
    tango,
)
from pytest_prodml.statistics.paired_scores import (
    paired_average_precision,
    paired_roc_auc,
    placements,
)
from pytest_prodml.statistics.paired_tables import paired_table

Array: TypeAlias = npt.NDArray[np.float64]
Truth: TypeAlias = npt.NDArray[np.bool_]
Pair: TypeAlias = tuple[Truth, Array, Array]
Bounds: TypeAlias = tuple[float | None, float | None]

LEVEL = 0.95
Z = 1.6448536269514722
SEED = 20261123
SIMPLE = Design()


def sections() -> Iterator[str]:
    """Yield the lines of all tables."""
    yield from table("Paired: difference of two shares of right answers (enumerated)", shares())
    yield from table("Paired: F1, precision and MCC of two models", tables())
    yield from table("Paired: ROC AUC of two models", areas())
    yield from table("Paired: average precision of two models", precisions())
    yield from table("Paired: mean losses of two models", losses())


def table(title: str, rows: Iterator[tuple[str, Mapping[str, str]]]) -> Iterator[str]:
    yield f"### {title}\n"
    head = True
    for setting, cells in rows:
        if head:
            yield f"| setting | {' | '.join(cells)} |"
            yield f"| --- | {' | '.join('---:' for _ in cells)} |"
            head = False
        yield f"| {setting} | {' | '.join(cells.values())} |"
    yield ""


class Tally:
    """Counts misses of one method."""

    def __init__(self) -> None:
        self.low = self.high = self.none = self.all = 0

    def add(self, bounds: Bounds, truth: float) -> None:
        """Count one pair of bounds."""
        lower, upper = bounds
        self.all += 1
        self.none += lower is None and upper is None
        self.low += lower is not None and lower > truth + 1e-12
        self.high += upper is not None and upper < truth - 1e-12

    def __str__(self) -> str:
        if self.none >= 0.995 * self.all:
            return "no bounds"
        told = f" (no bounds: {self.none / self.all:.0%})" if self.none >= 0.005 * self.all else ""
        return f"{100 * self.low / self.all:.1f} / {100 * self.high / self.all:.1f}{told}"


def simulated(
    draw: Callable[[np.random.Generator], Pair],
    methods: Mapping[str, Callable[[Pair], Bounds]],
    truth: float,
    repetitions: int,
) -> dict[str, str]:
    rng = np.random.default_rng(SEED)
    tallies = {name: Tally() for name in methods}
    for _ in range(repetitions):
        pair = draw(rng)
        for name, method in methods.items():
            tallies[name].add(method(pair), truth)
    return {name: str(tally) for name, tally in tallies.items()}


# --- shares -----------------------------------------------------------------------------------------------

EXPECTED = (0, 0.05, 0.2, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 10, 12, 15, 18, 20, 25, 30, 40)


def law(n: int, fixed: Array, broken: Array, p: float, q: float) -> Array:
    """Return the probabilities of counts of newly right and newly wrong rows."""
    rest = n - fixed - broken
    logs = gammaln(n + 1) - gammaln(fixed + 1) - gammaln(broken + 1) - gammaln(rest + 1)
    found: Array = np.exp(logs + xlogy(fixed, p) + xlogy(broken, q) + xlogy(rest, 1 - p - q))
    return found


def shares() -> Iterator[tuple[str, dict[str, str]]]:
    methods: dict[str, Callable[[float, float, int], Bounds]] = {
        "**shipped** (Tango, or the wider of it and exact limits)": lambda b, c, n: paired_proportions(
            b, c, n
        ).at(LEVEL),
        "Tango": lambda b, c, n: tango(b, c, n, LEVEL),
        "exact limits": lambda b, c, n: exact_limits(b, c, n, LEVEL),
        "Agresti-Min": lambda b, c, n: agresti_min(b, c, n, LEVEL),
    }
    for n in (20, 50, 200, 1000, 5000):
        most = min(n, 90)
        grid = np.meshgrid(np.arange(most + 1.0), np.arange(most + 1.0))
        inside = grid[0] + grid[1] <= n
        fixed, broken = grid[0][inside], grid[1][inside]
        extra = [share * n for share in (0.5, 0.7, 0.9)] if n <= 50 else []
        rates = [rate for rate in (*EXPECTED, *extra) if rate <= 0.9 * n]
        cells = {}
        for name, method in methods.items():
            lower = np.array([method(b, c, n)[0] for b, c in zip(fixed, broken, strict=True)])
            worst = max(
                float(law(n, fixed, broken, p / n, q / n)[lower > (p - q) / n + 1e-12].sum())
                for p in rates
                for q in rates
                if p + q <= n
            )
            cells[name] = f"{100 * worst:.1f}"
        yield f"{n:,} rows, worst pair of rates (both sides alike)", cells


# --- metrics of a confusion matrix ------------------------------------------------------------------------

#: Positive rate; recalls of both models; their false positive rates; how nested the errors are.
TABLES = {
    "40 % positive, equal": (0.4, 0.85, 0.85, 0.1, 0.1, 0.8),
    "40 % positive, hardly different": (0.4, 0.85, 0.85, 0.1, 0.1, 0.97),
    "40 % positive, only broken": (0.4, 0.82, 0.85, 0.1, 0.1, 1.0),
    "40 % positive, near perfect, only broken": (0.4, 0.97, 0.99, 0.01, 0.01, 1.0),
    "5 % positive, equal": (0.05, 0.8, 0.8, 0.01, 0.01, 0.8),
}


def joint(prior: float, ra: float, rb: float, fa: float, fb: float, nested: float) -> Array:
    """Return the probabilities of truth x candidate x baseline."""
    cells = np.zeros((2, 2, 2))
    for truth, first, second, share in ((1, ra, rb, prior), (0, fa, fb, 1 - prior)):
        both = nested * min(first, second) + (1 - nested) * first * second
        cells[truth] = share * np.array([[1 - first - second + both, second - both], [first - both, both]])
    return cells


def of_table(metric: Callable[[Array], Array], cells: Array) -> Array:
    """Return the difference; truth x candidate is what is left when the baseline is summed out."""
    return metric(cells.sum(axis=-1)) - metric(cells.sum(axis=-2))


def tables() -> Iterator[tuple[str, dict[str, str]]]:
    for name in ("f1", "precision", "matthews_corrcoef"):
        metric = CONFUSION_METRICS[name].values
        for setting, parameters in TABLES.items():
            if name == "precision" and "5 %" in setting:
                continue  # as F1
            cells = joint(*parameters)
            truth = float(of_table(metric, cells))
            for n in (100, 500, 2000):

                def draw(rng: np.random.Generator, n: int = n, cells: Array = cells) -> Pair:
                    codes = rng.choice(8, size=n, p=cells.ravel())
                    return codes // 4 == 1, (codes // 2 % 2).astype(float), (codes % 2).astype(float)

                def shipped(pair: Pair, metric: Callable[[Array], Array] = metric) -> Bounds:
                    truth, first, second = (column.astype(np.intp) for column in pair)
                    return paired_table(truth, first, second, 2, metric, SIMPLE, seed=1, resamples=500).at(
                        LEVEL
                    )

                def percentile(pair: Pair, metric: Callable[[Array], Array] = metric) -> Bounds:
                    codes = (pair[0] * 4 + pair[1] * 2 + pair[2]).astype(np.intp)
                    counts = np.bincount(codes, minlength=8)
                    draws = np.random.default_rng(1).multinomial(codes.size, counts / codes.size, size=500)
                    found = of_table(metric, draws.reshape(-1, 2, 2, 2).astype(float))
                    low, high = np.nanquantile(found, [1 - LEVEL, LEVEL])
                    return float(low), float(high)

                methods = {"**shipped**": shipped, "percentile bootstrap": percentile}
                yield f"{name}, {setting}, {n:,} rows", simulated(draw, methods, truth, 400)


# --- scores -----------------------------------------------------------------------------------------------

#: Areas of both models, correlation of their noise in a class, share of rows that the candidate misjudges.
AREAS: Sequence[tuple[float, float, float, float]] = (
    (0.75, 0.75, 0.7, 0.0),
    (0.9, 0.9, 0.9, 0.0),
    (0.95, 0.98, 0.9, 0.0),
    (0.97, 0.995, 1.0, 0.0),
    (0.85, 0.85, 1.0, 0.02),
    (0.95, 0.95, 1.0, 0.05),
)
SIZES = ((100, 0.4), (1000, 0.3), (1000, 0.02), (4000, 0.02))


def scored(rng: np.random.Generator, areas: tuple[float, float, float, float], n: int, prior: float) -> Pair:
    first_area, second_area, shared, misjudged = areas
    truth = rng.random(n) < prior
    noise, own = rng.standard_normal((2, n))
    second = np.sqrt(2) * ndtri(first_area) * truth + noise
    first = np.sqrt(2) * ndtri(second_area) * truth + shared * noise + np.sqrt(1 - shared**2) * own
    if misjudged:
        second = np.where(rng.random(n) < misjudged, np.where(truth, -3.0, 3.0), second)
    return truth, second, first


def auc_difference(pair: Pair) -> float:
    truth, first, second = pair
    ones = np.ones(truth.size)
    return float((placements(truth, first, ones) - placements(truth, second, ones))[truth].mean())


def delong(pair: Pair) -> Bounds:
    truth, first, second = pair
    ones = np.ones(truth.size)
    change = placements(truth, first, ones) - placements(truth, second, ones)
    error = np.sqrt(sum(change[rows].var(ddof=1) / rows.sum() for rows in (truth, ~truth)))
    value = float(change[truth].mean())
    return value - Z * error, value + Z * error


def areas() -> Iterator[tuple[str, dict[str, str]]]:
    methods = {
        "**shipped**": lambda pair: paired_roc_auc(*pair, SIMPLE).at(LEVEL),
        "DeLong": delong,
    }
    for setting in AREAS:
        for n, prior in SIZES:

            def draw(
                rng: np.random.Generator,
                setting: tuple[float, float, float, float] = setting,
                n: int = n,
                prior: float = prior,
            ) -> Pair:
                while True:
                    pair = scored(rng, setting, n, prior)
                    if 2 <= pair[0].sum() <= n - 2:
                        return pair

            large = np.random.default_rng(SEED + 1)
            truth = float(np.mean([auc_difference(scored(large, setting, 200_000, 0.3)) for _ in range(10)]))
            told = f", {setting[3]:.0%} misjudged" if setting[3] else ""
            yield (
                f"{setting[0]} against {setting[1]}{told}, {n:,} rows, {prior:.0%} positive",
                simulated(draw, methods, truth, 400),
            )


def precisions() -> Iterator[tuple[str, dict[str, str]]]:
    methods = {"**shipped**": lambda pair: paired_average_precision(*pair, SIMPLE).at(LEVEL)}
    for setting in (AREAS[0], AREAS[1], AREAS[2], AREAS[4]):
        for n, prior in ((200, 0.3), (1000, 0.05), (4000, 0.3)):

            def draw(
                rng: np.random.Generator,
                setting: tuple[float, float, float, float] = setting,
                n: int = n,
                prior: float = prior,
            ) -> Pair:
                return scored(rng, setting, n, prior)

            large = np.random.default_rng(SEED + 2)
            found = [
                paired_average_precision(*scored(large, setting, 200_000, prior), SIMPLE).value
                for _ in range(10)
            ]
            truth = float(np.mean([value for value in found if value is not None]))
            told = f", {setting[3]:.0%} misjudged" if setting[3] else ""
            yield (
                f"scores of AUC {setting[0]} against {setting[1]}{told}, {n:,} rows, {prior:.0%} positive",
                simulated(draw, methods, truth, 400),
            )


# --- losses -----------------------------------------------------------------------------------------------


def student(pair: Pair) -> Bounds:
    change = pair[1] - pair[2]
    half = Z * change.std(ddof=1) / np.sqrt(change.size)
    return float(change.mean() - half), float(change.mean() + half)


def brier_pair(rng: np.random.Generator, n: int) -> Pair:
    """Draw losses of a candidate that is sure and wrong in one of 200 rows."""
    probability = rng.uniform(0.02, 0.98, n)
    truth = rng.random(n) < probability
    candidate = np.where(rng.random(n) < 0.005, 1.0 - truth, probability)
    return truth, (candidate - truth) ** 2, (probability - truth) ** 2


def log_loss_pair(rng: np.random.Generator, n: int) -> Pair:
    """Draw losses of a candidate that is two and a half times too sure."""
    logit = rng.normal(0.0, 1.5, n)
    truth = rng.random(n) < 1 / (1 + np.exp(-logit))
    sign = np.where(truth, -1.0, 1.0)
    sure = 2.5 * logit + rng.normal(0.0, 0.5, n)
    return truth, np.logaddexp(0.0, sign * sure), np.logaddexp(0.0, sign * logit)


def error_pair(rng: np.random.Generator, n: int) -> Pair:
    """Draw absolute errors of which the candidate's have a long tail."""
    return np.ones(n, dtype=np.bool_), rng.exponential(1.0, n), np.abs(rng.normal(0.0, 1.0, n))


LOSSES: Mapping[str, tuple[Callable[[np.random.Generator, int], Pair], float | None]] = {
    "Brier score, wrong and sure in 0.5 %": (brier_pair, 1.0),
    "log loss, overconfident": (log_loss_pair, None),
    "absolute error, exponential": (error_pair, None),
}


def losses() -> Iterator[tuple[str, dict[str, str]]]:
    for name, (make, width) in LOSSES.items():
        large = np.random.default_rng(SEED + 3)
        pairs = [make(large, 200_000) for _ in range(20)]
        truth = float(np.mean([(pair[1] - pair[2]).mean() for pair in pairs]))
        for n in (50, 500, 5000):

            def draw(
                rng: np.random.Generator,
                make: Callable[[np.random.Generator, int], Pair] = make,
                n: int = n,
            ) -> Pair:
                return make(rng, n)

            def shipped(pair: Pair, width: float | None = width) -> Bounds:
                return paired_means(pair[1], pair[2], SIMPLE, width=width).at(LEVEL)

            methods = {"**shipped**": shipped, "Student t": student}
            yield f"{name}, {n:,} rows", simulated(draw, methods, truth, 1000)


if __name__ == "__main__":
    for line in sections():
        sys.stdout.write(f"{line}\n")
