"""How often the bounds for calibration, thresholds and prediction intervals miss the truth.

    python benchmarks/coverage_calibration.py

Simulated with fixed seeds; each bound that ships stands beside a usual one. Three minutes with
OMP_NUM_THREADS=1. `sections` is what benchmarks/coverage.py writes into the docs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from coverage_rows import Bounds, Row, markdown, missed_each
from scipy.special import expit, logit, ndtr

from pytest_prodml.statistics.calibration import expected_calibration_error
from pytest_prodml.statistics.conformal import coverage, mean_of
from pytest_prodml.statistics.costs import CostMatrix, candidate_thresholds, expected_cost, threshold_regret
from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.recalibration import calibration_intercept, calibration_slope
from pytest_prodml.statistics.reliability import Binned, into_bins

Array: TypeAlias = npt.NDArray[np.float64]
Found: TypeAlias = tuple[Bounds, float]

LEVEL = 0.95
Z = NormalDist().inv_cdf(LEVEL)
SIMPLE = Design()

#: The true probabilities of rows. "99:1" has 1 % positives, "hard" is nearly certain of every row.
CHANCES: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "uniform": lambda rng, n: rng.random(n),
    "four values": lambda rng, n: rng.choice([0.05, 0.2, 0.5, 0.9], n),
    "confident": lambda rng, n: rng.beta(0.1, 0.1, n),
    "sure (.03 or .97)": lambda rng, n: rng.choice([0.03, 0.97], n),
    "99:1": lambda rng, n: rng.beta(0.5, 49.5, n),
    "99:1, confident": lambda rng, n: rng.beta(0.02, 1.98, n),
}
#: What the model says where the true probability is q.
MODELS: dict[str, Callable[[Array], Array]] = {
    "perfect": lambda q: q,
    "overconfident (temperature .5)": lambda q: expit(2 * logit(q)),
    "underconfident (temperature 2)": lambda q: expit(logit(q) / 2),
    "too high": lambda q: expit(logit(q) + 0.5),
    "rounded to 0 and 1": np.round,
}
SLOPES = {
    "perfect": 1.0,
    "overconfident (temperature .5)": 0.5,
    "underconfident (temperature 2)": 2.0,
}


def drawn(rng: np.random.Generator, chance: str, n: int) -> tuple[Array, Array]:
    true = np.clip(CHANCES[chance](rng, n), 1e-4, 1 - 1e-4)
    return true, (rng.random(n) < true).astype(np.float64)


def true_error(binned: Binned, residual: Array) -> float:
    return float(np.abs(binned.total(residual)).sum()) / binned.outcome.size


def calibration_errors(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(11)
    for chance in CHANCES:
        for model, said in MODELS.items():
            for n in (200, 1_000, 5_000):
                shipped, naive = [], []
                for _ in range(repetitions if n < 5_000 else repetitions // 3):
                    true, outcome = drawn(rng, chance, n)
                    binned = into_bins(said(true), outcome, SIMPLE)
                    truth = true_error(binned, true - said(true))
                    shipped.append((expected_calibration_error(binned).at(LEVEL), truth))
                    naive.append((plain_error(binned), truth))
                setting = f"{chance}, {model}, {n:,} rows"
                yield missed_each(setting, "**shipped**", shipped)
                yield missed_each(setting, "plain ECE, Wald", naive)


def plain_error(binned: Binned) -> Bounds:
    """Take the plain error for normal around the truth, with the variance of the bins' gaps."""
    residual = binned.outcome - binned.probability
    gaps = binned.mean(residual)
    variance = binned.mean((residual - gaps[binned.codes]) ** 2) / binned.total(np.ones(residual.size))
    value = float((binned.share * np.abs(gaps)).sum())
    half = Z * math.sqrt(float((binned.share**2 * variance).sum()))
    return value - half, value + half


def clustered(rng: np.random.Generator, chance: str, clusters: int, size: int) -> tuple[Array, Array, Design]:
    """Draw clusters that share half of the luck; the rows' probabilities are as they are said to be."""
    codes = np.repeat(np.arange(clusters), size)
    true = np.clip(CHANCES[chance](rng, codes.size), 1e-4, 1 - 1e-4)
    luck = math.sqrt(0.5) * (rng.normal(size=clusters)[codes] + rng.normal(size=codes.size))
    return true, (ndtr(luck) < true).astype(np.float64), Design(clusters=codes)


def designs(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(12)
    for chance in ("uniform", "99:1"):
        for model in ("perfect", "overconfident (temperature .5)", "too high"):
            for clusters, size in ((12, 20), (40, 5), (200, 5), (1_000, 5)):
                errors, slopes, intercepts = [], [], []
                for _ in range(repetitions // 3):
                    true, outcome, design = clustered(rng, chance, clusters, size)
                    said = MODELS[model](true)
                    binned = into_bins(said, outcome, design)
                    truth = true_error(binned, true - said)
                    errors.append((expected_calibration_error(binned).at(LEVEL), truth))
                    if model in SLOPES and clusters < 1_000:
                        found = calibration_slope(said, outcome, design).at(LEVEL)
                        slopes.append((found, SLOPES[model]))
                    if model == "too high":
                        intercepts.append((calibration_intercept(said, outcome, design).at(LEVEL), -0.5))
                setting = f"{chance}, {model}, {clusters:,} clusters of {size}"
                yield missed_each(setting, "calibration error", errors)
                if slopes:
                    yield missed_each(setting, "slope", slopes)
                if intercepts:
                    yield missed_each(setting, "intercept", intercepts)
    for chance in ("uniform", "99:1"):
        for n in (200, 1_000, 5_000):
            errors = []
            for _ in range(repetitions // 3):
                true, outcome = drawn(rng, chance, n)
                binned = into_bins(true, outcome, Design(weights=rng.lognormal(0, 1, n)))
                errors.append((expected_calibration_error(binned).at(LEVEL), 0.0))
            yield missed_each(
                f"{chance}, perfect, {n:,} rows with log-normal weights", "calibration error", errors
            )


def recalibrations(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(13)
    for chance in CHANCES:
        for n in (200, 1_000, 5_000):
            slopes: dict[str, list[Found]] = {model: [] for model in SLOPES}
            intercepts: list[Found] = []
            for _ in range(repetitions if n < 5_000 else repetitions // 2):
                true, outcome = drawn(rng, chance, n)
                model = list(SLOPES)[int(rng.integers(3))]
                estimate = calibration_slope(MODELS[model](true), outcome, SIMPLE)
                slopes[model].append((estimate.at(LEVEL), SLOPES[model]))
                found = calibration_intercept(MODELS["too high"](true), outcome, SIMPLE)
                intercepts.append((found.at(LEVEL), -0.5))
            every = [case for cases in slopes.values() for case in cases]
            yield missed_each(f"{chance}, {n:,} rows", "slope", every)
            yield missed_each(f"{chance}, {n:,} rows", "intercept", intercepts)


def thresholds(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(14)
    costs = CostMatrix(true_negative=0, false_positive=1, false_negative=5, true_positive=0)

    def cost(t: Array | float) -> Array | float:
        return 5 * np.square(t) / 2 + np.square(1 - np.asarray(t)) / 2

    for point in (1 / 6, 0.3, 0.5):
        for n in (200, 1_000, 5_000):
            paid, regrets = [], []
            for repetition in range(2 * repetitions):
                score = rng.random(n)
                truth = rng.random(n) < score
                paid.append(
                    (expected_cost(truth, score >= point, costs, SIMPLE).at(LEVEL), float(cost(point)))
                )
                if repetition >= repetitions // 4:  # the regret costs a hundred times as much
                    continue
                grid = candidate_thresholds(score)
                regret, _ = threshold_regret(
                    truth,
                    score,
                    costs,
                    SIMPLE,
                    threshold=point,
                    thresholds=grid,
                    seed=repetition,
                )
                best = max(float(cost(point)) - float(np.min(cost(np.clip(grid, 0, 1)))), 0.0)
                regrets.append((regret.at(LEVEL), best))
            setting = f"false negatives cost 5 times as much, threshold {point:.2f}, {n:,} rows"
            yield missed_each(setting, "expected cost", paid)
            yield missed_each(setting, "regret", regrets)


def uncertainty(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(15)
    for n in (50, 500, 5_000):
        covered = [(coverage(rng.random(n) < 0.9, SIMPLE).at(LEVEL), 0.9) for _ in range(repetitions)]
        yield missed_each(f"coverage .9, {n:,} rows", "**shipped**", covered)
        for told, draw, truth in (
            ("widths, gamma with shape 4", lambda size: rng.gamma(4, 1, size), 4.0),
            ("widths, log-normal", lambda size: rng.lognormal(0, 1, size), math.exp(0.5)),
            ("interval scores of 90 % intervals", interval_scores(rng), true_interval_score()),
        ):
            samples = [draw(n) for _ in range(repetitions if n < 5_000 else repetitions // 2)]
            shipped = ((mean_of(sample, SIMPLE).at(LEVEL), truth) for sample in samples)
            student = (
                ((x.mean() - h, x.mean() + h), truth)
                for x, h in ((x, Z * x.std(ddof=1) / math.sqrt(n)) for x in samples)
            )
            yield missed_each(f"{told}, {n:,} rows", "**shipped**", shipped)
            yield missed_each(f"{told}, {n:,} rows", "Wald", student)


HALF = NormalDist().inv_cdf(0.95)


def interval_scores(rng: np.random.Generator) -> Callable[[int], Array]:
    def draw(size: int) -> Array:
        return 2 * HALF + 20 * np.maximum(np.abs(rng.normal(size=size)) - HALF, 0.0)

    return draw


def true_interval_score() -> float:
    normal = NormalDist()
    return 2 * HALF + 40 * (normal.pdf(HALF) - HALF * (1 - normal.cdf(HALF)))


SECTIONS: dict[str, Callable[[int], Iterator[Row]]] = {
    "Expected calibration error": calibration_errors,
    "Calibration slope and intercept": recalibrations,
    "Calibration with clusters and weights": designs,
    "Thresholds": thresholds,
    "Prediction intervals": uncertainty,
}


def sections(repetitions: int = 800) -> Iterator[str]:
    """Yield the lines: for each section the settings as rows and the methods as columns."""
    for title, section in SECTIONS.items():
        yield from markdown(title, section(repetitions))


if __name__ == "__main__":
    for line in sections():
        print(line, flush=True)
