"""How often do the one-sided 95 % bounds miss the truth? Prints Markdown, or writes it into the docs.

    python benchmarks/coverage.py
    python benchmarks/coverage.py --write docs/explanation/coverage.md

Proportions, differences and ratios are enumerated (no simulation error, worst case over a grid of true
rates). The others are simulated with a fixed seed. Each method that ships stands beside the usual ones.
Twenty minutes for all parts with OMP_NUM_THREADS=1, three for the first (``--part main``).
"""

from __future__ import annotations

import argparse
import importlib
import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from coverage_rows import Bounds, Row, markdown, missed
from page import replaced
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from pytest_prodml.statistics import intervals, ranking
from pytest_prodml.statistics.comparison import difference_bounds, ratio_bounds
from pytest_prodml.statistics.gaps import difference_of_counts, ratio_of_counts
from pytest_prodml.statistics.quantiles import effective_sample_size, quantile_bounds
from pytest_prodml.statistics.sufficient import ScoreTable, score_table

Array: TypeAlias = npt.NDArray[np.float64]

LEVEL = 0.95
Z = NormalDist().inv_cdf(LEVEL)


# --- enumerated -------------------------------------------------------------------------------------------

RATES = np.array(
    [
        0.005,
        0.01,
        0.02,
        0.03,
        0.05,
        0.1,
        0.2,
        0.3,
        0.4,
        0.5,
        0.6,
        0.7,
        0.8,
        0.9,
        0.95,
        0.97,
        0.98,
        0.99,
        0.995,
    ]
)


def wald(successes: npt.ArrayLike, trials: npt.ArrayLike, _: float) -> tuple[Array, Array]:
    k, n = np.asarray(successes, dtype=float), np.asarray(trials, dtype=float)
    half = Z * np.sqrt(k / n * (1 - k / n) / n)
    return k / n - half, k / n + half


def proportions(_: int) -> Iterator[Row]:
    methods = {
        "**shipped** (Clopper-Pearson)": intervals.clopper_pearson,
        "Wilson": intervals.wilson,
        "Wald": wald,
    }
    for n in (50, 500, 5_000):
        k = np.arange(n + 1)
        for name, method in methods.items():
            lower, upper = method(k, n, LEVEL)
            weights = [binom.pmf(k, n, rate) for rate in RATES]
            yield Row(
                setting=f"{n:,} rows, worst rate of {RATES[0]} to {RATES[-1]}",
                method=name,
                low=max(w[lower > r + 1e-12].sum() for w, r in zip(weights, RATES, strict=True)),
                high=max(w[upper < r - 1e-12].sum() for w, r in zip(weights, RATES, strict=True)),
            )


def miettinen_nurminen(k1: Array, n1: Array, k2: Array, n2: Array, _: float) -> tuple[Array, Array]:
    """Invert the score test of a difference (Miettinen, Nurminen 1985)."""
    total = n1 + n2

    def score(d: Array) -> Array:
        l2 = (n1 + 2 * n2) * d - total - (k1 + k2)
        l1 = (n2 * d - total - 2 * k2) * d + (k1 + k2)
        l0 = k2 * d * (1 - d)
        q = l2**3 / (3 * total) ** 3 - l1 * l2 / (6 * total**2) + l0 / (2 * total)
        p = np.where(q < 0, -1.0, 1.0) * np.sqrt(np.maximum(l2**2 / (3 * total) ** 2 - l1 / (3 * total), 0))
        with np.errstate(invalid="ignore", divide="ignore"):
            turn = (math.pi + np.arccos(np.clip(np.where(p != 0, q / p**3, 0), -1, 1))) / 3
            r2 = np.clip(2 * p * np.cos(turn) - l2 / (3 * total), 0, 1)
            r1 = np.clip(r2 + d, 0, 1)
            variance = (r1 * (1 - r1) / n1 + r2 * (1 - r2) / n2) * total / (total - 1)
            gap = k1 / n1 - k2 / n2 - d
            return np.where(np.abs(gap) < 1e-12, 0.0, gap / np.sqrt(variance))

    value = k1 / n1 - k2 / n2
    ends = []
    for side in (-1.0, 1.0):
        near, far = value, np.full(value.shape, side)
        for _step in range(40):
            middle = (near + far) / 2
            outside = np.abs(score(middle)) > Z
            near, far = np.where(outside, near, middle), np.where(outside, middle, far)
        ends.append(far)
    return ends[0], ends[1]


def newcombe(k1: Array, n1: Array, k2: Array, n2: Array, level: float) -> tuple[Array, Array]:
    return difference_bounds(k1, n1, k2, n2, level, limits=intervals.wilson)


def katz(k1: Array, n1: Array, k2: Array, n2: Array, _: float) -> tuple[Array, Array]:
    center = np.log((k1 + 0.5) / (n1 + 0.5)) - np.log((k2 + 0.5) / (n2 + 0.5))
    error = np.sqrt(1 / (k1 + 0.5) - 1 / (n1 + 0.5) + 1 / (k2 + 0.5) - 1 / (n2 + 0.5))
    return np.exp(center - Z * error), np.exp(center + Z * error)


PAIRS = ((5, 5), (10, 10), (20, 20), (50, 50), (10, 500), (55, 800), (200, 200))


def pairs(
    methods: dict[str, Callable[..., tuple[Array, Array]]],
    compare: Callable[[float, float], float],
    counted: Callable[[float, float], bool],
) -> Iterator[Row]:
    rates = RATES[1:-1]
    for n1, n2 in PAIRS:
        k1, k2 = (k.astype(float) for k in np.meshgrid(np.arange(n1 + 1), np.arange(n2 + 1), indexing="ij"))
        first = [binom.pmf(np.arange(n1 + 1), n1, rate) for rate in rates]
        second = [binom.pmf(np.arange(n2 + 1), n2, rate) for rate in rates]
        for name, method in methods.items():
            lower, upper = method(k1, np.full_like(k1, n1), k2, np.full_like(k2, n2), LEVEL)
            low = high = 0.0
            for i, p in enumerate(rates):
                for j, q in enumerate(rates):
                    if counted(p, q):
                        truth = compare(p, q)
                        weight = np.outer(first[i], second[j])
                        low = max(low, float(weight[lower > truth + 1e-12].sum()))
                        high = max(high, float(weight[upper < truth - 1e-12].sum()))
            yield Row(
                setting=f"groups of {n1} and {n2}, worst pair of rates", method=name, low=low, high=high
            )


def differences(_: int) -> Iterator[Row]:
    methods = {
        "**shipped**": difference_bounds,
        "Newcombe": newcombe,
        "Miettinen-Nurminen": miettinen_nurminen,
    }
    return pairs(methods, lambda p, q: p - q, lambda p, q: abs(p - q) <= 0.5)


def extreme_differences(_: int) -> Iterator[Row]:
    return pairs({"**shipped**": difference_bounds}, lambda p, q: p - q, lambda p, q: abs(p - q) > 0.5)


def ratios(_: int) -> Iterator[Row]:
    methods = {"**shipped**": ratio_bounds, "log-ratio (Katz, +0.5)": katz}
    return pairs(methods, lambda p, q: p / q, lambda *_: True)


# --- simulated --------------------------------------------------------------------------------------------


def f1(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(1)
    for told, cells in (
        ("F1 .85, 40 % positive", (0.34, 0.06, 0.06, 0.54)),
        ("F1 .97, 40 % positive", (0.388, 0.012, 0.012, 0.588)),
        ("F1 .80, 5 % positive", (0.04, 0.01, 0.01, 0.94)),
        ("F1 .67, 1 % positive", (0.0067, 0.0033, 0.0033, 0.9867)),
    ):
        truth = 2 * cells[0] / (2 * cells[0] + cells[1] + cells[2])
        for n in (50, 500, 5_000):
            counts = [tuple(map(int, row[:3])) for row in rng.multinomial(n, cells, repetitions)]
            exact = lru_cache(None)(lambda tp, fp, fn: intervals.f1(tp, fp, fn).at(LEVEL))
            setting = f"{told}, {n:,} rows"
            yield missed(setting, "**shipped**", (exact(*row) for row in counts), truth)
            yield missed(setting, "delta method", (f1_delta(*row) for row in counts), truth)
            sample = counts[: min(len(counts), 600)]
            yield missed(setting, "bootstrap", (f1_bootstrap(rng, n, *row) for row in sample), truth)


def f1_delta(tp: int, fp: int, fn: int) -> Bounds:
    counted = tp + fp + fn
    if counted == 0:
        return None, None
    j = tp / counted
    half = Z * 2 / (1 + j) ** 2 * math.sqrt(j * (1 - j) / counted)
    value = 2 * j / (1 + j)
    return value - half, value + half


def f1_bootstrap(rng: np.random.Generator, n: int, tp: int, fp: int, fn: int) -> Bounds:
    cells = np.array([tp, fp, fn, n - tp - fp - fn]) / n
    again = rng.multinomial(n, cells, 400)
    with np.errstate(invalid="ignore"):
        values = 2 * again[:, 0] / (2 * again[:, 0] + again[:, 1] + again[:, 2])
    values = values[np.isfinite(values)]
    if not values.size:
        return None, None
    return float(np.quantile(values, 1 - LEVEL)), float(np.quantile(values, LEVEL))


def balanced_accuracy(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(2)
    for positives, negatives in ((25, 25), (250, 250), (2_500, 2_500), (5, 495), (50, 4_950)):
        for recalls in ((0.8, 0.8), (0.7, 0.95), (0.95, 0.99)):
            truth = sum(recalls) / 2
            drawn = [
                (int(a), int(b))
                for a, b in zip(
                    rng.binomial(positives, recalls[0], repetitions),
                    rng.binomial(negatives, recalls[1], repetitions),
                    strict=True,
                )
            ]
            trials = (positives, negatives)
            mover = lru_cache(None)(
                lambda *k, trials=trials: intervals.mean_of_proportions(k, trials, of="+-").at(LEVEL)
            )
            setting = f"recalls {recalls[0]} and {recalls[1]}, {positives:,} + {negatives:,} rows"
            yield missed(setting, "**shipped**", (mover(*k) for k in drawn), truth)
            yield missed(setting, "Wald", (balanced_wald(k, trials) for k in drawn), truth)


def balanced_wald(k: tuple[int, int], n: tuple[int, int]) -> Bounds:
    shares = [a / b for a, b in zip(k, n, strict=True)]
    half = Z / 2 * math.sqrt(sum(p * (1 - p) / m for p, m in zip(shares, n, strict=True)))
    return sum(shares) / 2 - half, sum(shares) / 2 + half


CLASSES = ((25, 25), (15, 35), (250, 250), (5, 495), (50, 450), (2_500, 2_500), (50, 4_950))


def scored(rng: np.random.Generator, auc: float, spread: float, positives: int, negatives: int) -> ScoreTable:
    shift = NormalDist().inv_cdf(auc) * math.sqrt(1 + spread**2)
    scores = np.concatenate([rng.normal(shift, spread, positives), rng.normal(0, 1, negatives)])
    return score_table(np.arange(positives + negatives) < positives, scores)


def plain_delong(table: ScoreTable) -> Bounds:
    m, n = int(table.positives.sum()), int(table.negatives.sum())
    a = (n - np.cumsum(table.negatives) + 0.5 * table.negatives) / n
    b = (np.cumsum(table.positives) - 0.5 * table.positives) / m
    value = float(table.positives @ a) / m
    variance = float(table.positives @ (a - value) ** 2) / (m * (m - 1))
    variance += float(table.negatives @ (b - value) ** 2) / (n * (n - 1))
    return value - Z * math.sqrt(variance), value + Z * math.sqrt(variance)


def logit_delong(table: ScoreTable) -> Bounds:
    lower, upper = plain_delong(table)
    value, error = ((lower or 0) + (upper or 0)) / 2, ((upper or 0) - (lower or 0)) / (2 * Z)
    if not 0 < value < 1:
        return value, value
    half = Z * error / (value * (1 - value))
    logit = math.log(value / (1 - value))
    return 1 / (1 + math.exp(half - logit)), 1 / (1 + math.exp(-half - logit))


def newcombe_5(table: ScoreTable) -> Bounds:
    """Invert |AUC - t| = z sd(t) with the variance of Newcombe's (2006) method 5."""
    m, n = int(table.positives.sum()), int(table.negatives.sum())
    value = float(table.positives @ (n - np.cumsum(table.negatives) + 0.5 * table.negatives)) / (m * n)
    ends = []
    for end in (0.0, 1.0):
        near, far = value, end
        for _ in range(40):
            t = (near + far) / 2
            size = (m + n) / 2 - 1
            variance = t * (1 - t) * (1 + size * ((1 - t) / (2 - t) + t / (1 + t))) / (m * n)
            near, far = (t, far) if abs(value - t) <= Z * math.sqrt(variance) else (near, t)
        ends.append(far)
    return ends[0], ends[1]


def auc(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(3)
    for positives, negatives in CLASSES:
        runs = repetitions if positives + negatives <= 500 else repetitions // 4
        for told, spread in (("equal spread", 1.0), ("positives spread twice as wide", 2.0)):
            for true in (0.8, 0.95, 0.99):
                tables = [scored(rng, true, spread, positives, negatives) for _ in range(runs)]
                setting = f"AUC {true}, {told}, {positives:,} + {negatives:,} rows"
                shipped = (ranking.roc_auc(table).at(LEVEL) for table in tables)
                yield missed(setting, "**shipped**", shipped, true)
                yield missed(setting, "DeLong", map(plain_delong, tables), true)
                yield missed(setting, "logit DeLong", map(logit_delong, tables), true)
                yield missed(setting, "Newcombe 5", map(newcombe_5, tables), true)


def logit_binomial(table: ScoreTable) -> Bounds:
    """Return the logit interval of Boyd, Eng and Page (2013)."""
    value, m = ranking.average_precision(table).value or 0.0, int(table.positives.sum())
    if not 0 < value < 1:
        return value, value
    logit, half = math.log(value / (1 - value)), Z / math.sqrt(m * value * (1 - value))
    return 1 / (1 + math.exp(half - logit)), 1 / (1 + math.exp(-half - logit))


def true_average_precision(auc: float, spread: float, rate: float) -> float:
    """Average the precision at the score of every positive, over 100,000 quantiles of these scores."""
    shares = (np.arange(100_000) + 0.5) / 100_000
    scores = NormalDist().inv_cdf(auc) * math.sqrt(1 + spread**2) + spread * ndtri(shares)
    hits, false_alarms = rate * (1 - shares), (1 - rate) * ndtr(-scores)
    return float(np.mean(hits / (hits + false_alarms)))


def average_precision(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(4)
    for told, spread in (
        ("equal spread", 1.0),
        ("positives spread twice as wide", 2.0),
        ("negatives spread 2.5 times as wide", 0.4),
    ):
        for true, rate in ((0.75, 0.5), (0.9, 0.5), (0.9, 0.01), (0.97, 0.5)):
            truth = true_average_precision(true, spread, rate)
            for n in (50, 500, 5_000):
                runs = repetitions // 2 if n <= 500 else repetitions // 8
                positives = np.maximum(rng.binomial(n, rate, runs), 1)
                tables = [scored(rng, true, spread, int(m), n - int(m)) for m in positives]
                setting = f"AUC {true}, {told}, AP {truth:.3f}, {rate:.0%} positive, {n:,} rows"
                shipped = (ranking.average_precision(table).at(LEVEL) for table in tables)
                yield missed(setting, "**shipped**", shipped, truth)
                yield missed(setting, "logit (Boyd)", map(logit_binomial, tables), truth)


def brier(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(6)
    for told, a, b in (
        ("uncertain, 50 % positive", 2.0, 2.0),
        ("confident, 50 % positive", 0.1, 0.1),
        ("uncertain, 1 % positive", 0.5, 49.5),
        ("confident, 1 % positive", 0.01, 0.99),
    ):
        truth = a * b / ((a + b) * (a + b + 1))
        for n in (50, 500, 5_000):
            losses = []
            for _ in range(repetitions // 4):
                chance = rng.beta(a, b, n)
                losses.append((chance - (rng.random(n) < chance)) ** 2)
            setting = f"{told}, {n:,} rows"
            yield missed(
                setting, "**shipped** (Gaffke)", (intervals.bounded_mean(x).at(LEVEL) for x in losses), truth
            )
            yield missed(setting, "Student t", (intervals.mean(x).at(LEVEL) for x in losses), truth)


def gaps(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(7)
    sizes = np.array([500, 100, 50, 20])
    for rates in ((0.25, 0.25, 0.25, 0.25), (0.3, 0.3, 0.4, 0.2), (0.9, 0.95, 0.97, 0.99)):
        drawn = rng.binomial(sizes, rates, (repetitions, 4))
        for name, gap, truth in (
            ("largest difference", difference_of_counts, max(rates) - min(rates)),
            ("smallest ratio", ratio_of_counts, min(rates) / max(rates)),
        ):
            found = (gap(k, sizes).estimate.at(LEVEL) for k in drawn)
            setting = f"{name}, rates {', '.join(map(str, rates))}, groups of 500, 100, 50, 20"
            yield missed(setting, "**shipped**", found, truth)


def quantiles(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(8)
    truth = NormalDist().inv_cdf(0.99)
    runs = repetitions // 8
    for told, memory in (("independent", 0.0), ("AR(1) 0.9", 0.9)):
        for n in (500, 1_000, 5_000):
            series = rng.normal(size=(runs, n + 100)) * math.sqrt(1 - memory**2)
            for step in range(1, n + 100):
                series[:, step] += memory * series[:, step - 1]
            samples = series[:, 100:]
            setting = f"99th percentile, {told}, {n:,} calls"
            careful = (quantile_bounds(x, 0.99, LEVEL, effective_sample_size(x, 0.99)) for x in samples)
            yield missed(setting, "**shipped** (effective n)", careful, truth)
            plain = (quantile_bounds(x, 0.99, LEVEL) for x in samples)
            yield missed(setting, "order statistics", plain, truth)


SECTIONS: dict[str, Callable[[int], Iterator[Row]]] = {
    "Accuracy, precision, recall, specificity, rates (enumerated)": proportions,
    "Differences of two rates, up to 0.5 (enumerated)": differences,
    "Differences of two rates, above 0.5 (enumerated)": extreme_differences,
    "Ratios of two rates (enumerated)": ratios,
    "Gaps over four groups": gaps,
    "F1": f1,
    "Balanced accuracy": balanced_accuracy,
    "ROC AUC": auc,
    "Average precision": average_precision,
    "Brier score": brier,
    "Latency quantiles": quantiles,
}


def tables(repetitions: int) -> Iterator[str]:
    """Yield the lines: for each section the settings as rows and the methods as columns."""
    errors = [100 * math.sqrt(0.05 * 0.95 / (repetitions // share)) for share in (1, 8)]
    yield f"Simulated with {repetitions:,} samples a setting where that is cheap, down to an eighth of it"
    low, high = errors
    yield f"where it is costly (5,000 rows): the standard error of a true 5.0 is {low:.1f} to {high:.1f}.\n"
    for title, section in SECTIONS.items():
        yield from markdown(title, section(repetitions))


#: Tables beside those above, each from a script of its own.
PARTS = ("counts", "scores", "paired", "slices", "calibration")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=8_000, help="of the first part")
    parser.add_argument("--part", action="append", choices=["main", *PARTS], help="only this (repeatable)")
    parser.add_argument("--write", type=Path, help="replace the tables in this Markdown file")
    options = parser.parse_args()
    for part in options.part or ["main", *PARTS]:
        name = "coverage" if part == "main" else f"coverage_{part}"
        found = tables(options.repetitions) if part == "main" else importlib.import_module(name).sections()
        if options.write is None:
            for line in found:
                print(line, flush=True)
        else:
            text = replaced(options.write.read_text("utf-8"), f"benchmarks/{name}.py", "\n".join(found))
            options.write.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
