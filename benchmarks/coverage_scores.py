"""How often the one-sided 95 % bounds of scores and numbers miss the truth; a part of `coverage.py`.

    python benchmarks/coverage_scores.py

Each cell: per cent of samples whose lower bound lies above the truth / whose upper bound lies below it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from coverage_rows import Bounds, Row, markdown, missed

from pytest_prodml.statistics import intervals, retrieval
from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.estimate import Estimate
from pytest_prodml.statistics.losses import capped_mean, log_losses, mean_loss, skill
from pytest_prodml.statistics.multiclass_ranking import multiclass_roc_auc
from pytest_prodml.statistics.ranking import average_precision_of_rows, roc_auc_of_rows
from pytest_prodml.statistics.regression import quantile_of

Array: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[np.bool_]
LEVEL = 0.95
SIMPLE = Design()


def runs(repetitions: int, n: int) -> int:
    return repetitions if n <= 500 else repetitions * 5 // 8


def means(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(31)
    laws: dict[str, tuple[Callable[[int], Array], float]] = {
        "absolute normal errors": (lambda n: np.abs(rng.normal(size=n)), math.sqrt(2 / math.pi)),
        "squared normal errors": (lambda n: rng.normal(size=n) ** 2, 1.0),
        "squared Laplace errors": (lambda n: rng.exponential(size=n) ** 2, 2.0),
        "absolute Student-3 errors": (
            lambda n: np.abs(rng.standard_t(3, n)),
            2 * math.sqrt(3) / math.pi,
        ),
        "squared Student-5 errors": (lambda n: rng.standard_t(5, n) ** 2, 5 / 3),
        "log-normal": (lambda n: rng.lognormal(0, 1, n), math.exp(0.5)),
        "1 % of errors ten times as large": (
            lambda n: np.abs(rng.normal(size=n)) * np.where(rng.random(n) < 0.01, 10, 1),
            math.sqrt(2 / math.pi) * 1.09,
        ),
        "2 % of errors ten times as large": (
            lambda n: np.abs(rng.normal(size=n)) * np.where(rng.random(n) < 0.02, 10, 1),
            math.sqrt(2 / math.pi) * 1.18,
        ),
        "1 % of errors thirty times as large": (
            lambda n: np.abs(rng.normal(size=n)) * np.where(rng.random(n) < 0.01, 30, 1),
            math.sqrt(2 / math.pi) * 1.29,
        ),
    }
    for told, (draw, truth) in laws.items():
        for n in (50, 100, 200, 500, 5_000):
            samples = [draw(n) for _ in range(runs(repetitions, n))]
            setting = f"{told}, {n:,} rows"
            shipped = (mean_loss(sample, SIMPLE).at(LEVEL) for sample in samples)
            yield missed(setting, "**shipped**", shipped, truth)
            yield missed(setting, "Student t", (intervals.mean(x).at(LEVEL) for x in samples), truth)


def log_loss(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(32)
    for told, a, b in (
        ("uncertain, 50 % positive", 2.0, 2.0),
        ("confident, 50 % positive", 0.2, 0.2),
        ("confident, 1 % positive", 0.05, 4.95),
    ):

        def losses(size: int, a: float = a, b: float = b) -> tuple[Array, float]:
            chance = np.clip(rng.beta(a, b, size), 1e-4, 1 - 1e-4)
            columns = np.column_stack([1 - chance, chance])
            return log_losses(columns, (rng.random(size) < chance).astype(np.intp))

        truth = float(losses(4_000_000)[0].mean())
        for n in (50, 500, 5_000):
            samples = [losses(n) for _ in range(runs(repetitions, n) * 5 // 8)]
            setting = f"{told}, {n:,} rows"
            shipped = (capped_mean(*sample, SIMPLE).at(LEVEL) for sample in samples)
            yield missed(setting, "**shipped** (Gaffke)", shipped, truth)
            yield missed(setting, "Student t", (intervals.mean(x).at(LEVEL) for x, _ in samples), truth)


def r_squared(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(33)
    for share in (0.2, 0.8, 0.99):
        for told, draw, variance in (
            ("normal", rng.normal, 1.0),
            ("Student-5", lambda size: rng.standard_t(5, size), 5 / 3),
        ):
            for n in (50, 500, 5_000):
                found = []
                for _ in range(runs(repetitions, n)):
                    noise = np.asarray(draw(size=n)) * math.sqrt((1 - share) / variance)
                    truth = rng.normal(size=n) * math.sqrt(share) + noise
                    found.append(
                        skill(noise**2, (truth - truth.mean()) ** 2, SIMPLE, of_reference="none").at(LEVEL)
                    )
                yield missed(f"R² {share}, {told} residuals, {n:,} rows", "**shipped**", found, share)


def clustered(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(34)
    for clusters, size in ((20, 10), (100, 5)):
        codes = np.repeat(np.arange(clusters), size)
        design, n = Design(clusters=codes), clusters * size
        for rate in (0.5, 0.1):
            for area in (0.8, 0.95):
                shift = NormalDist().inv_cdf(area) * math.sqrt(2)
                truths = {"AUC": area, "AP": _true_precision(rng, shift, rate)}
                areas, precisions = [], []
                for _ in range(repetitions // 2):
                    # Both the truth and the score of a cluster's rows are correlated (0.5).
                    label = _shared(rng, codes, 0.5) < NormalDist().inv_cdf(rate)
                    scores = _shared(rng, codes, 0.5) + shift * label
                    areas.append(roc_auc_of_rows(label, scores, design)[0].at(LEVEL))
                    precisions.append(average_precision_of_rows(label, scores, design)[0].at(LEVEL))
                for metric, found in (("AUC", areas), ("AP", precisions)):
                    setting = f"{metric} with AUC {area}, {rate:.0%} positive, {clusters} clusters of {size}"
                    yield missed(setting, "**shipped**", found, truths[metric])
        errors = [np.abs(_shared(rng, codes, 0.5)) for _ in range(repetitions)]
        setting = f"{clusters} clusters of {size}, {n} rows"
        truth = math.sqrt(2 / math.pi)
        yield missed(
            f"MAE, {setting}", "**shipped**", (mean_loss(x, design).at(LEVEL) for x in errors), truth
        )
        median = NormalDist().inv_cdf(0.75)
        found = [quantile_of(x, 0.5, design).at(LEVEL) for x in errors]
        yield missed(f"median error, {setting}", "**shipped**", found, median)


def _shared(rng: np.random.Generator, codes: npt.NDArray[np.intp], correlation: float) -> Array:
    common = rng.normal(size=int(codes[-1]) + 1)[codes]
    return math.sqrt(correlation) * common + math.sqrt(1 - correlation) * rng.normal(size=codes.size)


def _true_precision(rng: np.random.Generator, shift: float, rate: float) -> float:
    label = rng.random(1_000_000) < rate
    estimate, _ = average_precision_of_rows(label, rng.normal(shift * label, 1.0), SIMPLE)
    return estimate.value or 0.0


def weighted(repetitions: int) -> Iterator[Row]:
    """Half of the population is drawn three times as often as the other half, which weights undo."""
    rng = np.random.default_rng(36)

    def sample(n: int, rate: float, often: float) -> tuple[Rows, Array, Array]:
        first = rng.random(n) < often
        label = rng.random(n) < rate
        scores = rng.normal(np.where(first, 2.0, 1.0) * label, 1.0)
        return label, scores, np.where(first, 1.0, 3.0)

    for rate in (0.5, 0.1):
        label, scores, _ = sample(1_000_000, rate, 0.5)
        for metric, measure in (("AUC", roc_auc_of_rows), ("AP", average_precision_of_rows)):
            truth = measure(label, scores, SIMPLE)[0].value or 0.0
            for n in (200, 1_000):
                found = []
                for _ in range(runs(repetitions, n)):
                    drawn, ranked, weights = sample(n, rate, 0.75)
                    found.append(measure(drawn, ranked, Design(weights=weights))[0].at(LEVEL))
                yield missed(
                    f"{metric} {truth:.3f}, {rate:.0%} positive, {n:,} rows", "**shipped**", found, truth
                )


def queries(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(37)
    metrics: dict[str, Callable[[retrieval.Rankings], Array]] = {
        "NDCG": retrieval.ndcg,
        "NDCG@5": lambda ranked: retrieval.ndcg(ranked, 5),
        "reciprocal rank": retrieval.reciprocal_rank,
        "precision@5": lambda ranked: retrieval.precision_at(ranked, 5),
        "recall@5": lambda ranked: retrieval.recall_at(ranked, 5),
    }

    def values(size: int, strength: float) -> dict[str, Array]:
        query = np.repeat(np.arange(size), 20)
        # The relevant items are as many as Poisson's law says, and some queries are harder than others.
        relevance = (rng.random(query.size) < 0.15) * rng.integers(1, 4, query.size).astype(np.float64)
        ease = strength * rng.exponential(size=size)[query]
        ranked = retrieval.rankings(relevance, ease * relevance + rng.normal(size=query.size), query)
        return {name: found[np.isfinite(found)] for name, of in metrics.items() for found in [of(ranked)]}

    for told, strength in (("weak", 0.5), ("strong", 5.0)):
        many = [values(100_000, strength) for _ in range(5)]
        truths = {name: float(np.mean([np.mean(found[name]) for found in many])) for name in metrics}
        for n in (50, 500):
            samples = [values(n, strength) for _ in range(repetitions * 5 // 8)]
            for name, truth in truths.items():
                found = [capped_mean(sample[name], 1.0, SIMPLE).at(LEVEL) for sample in samples]
                yield missed(
                    f"{name} {truth:.3f}, {told} ranking, {n:,} queries", "**shipped**", found, truth
                )


def top_rows(repetitions: int) -> Iterator[Row]:
    """Truths are those of the threshold above which the same share of the population lies."""
    rng = np.random.default_rng(38)
    for rate in (0.5, 0.05):
        for shift in (1.0, 3.0):
            label = rng.random(1_000_000) < rate
            hits = retrieval.found_at(label, rng.normal(shift * label, 1.0), 100_000)
            truths = {"precision@10%": hits / 100_000, "recall@10%": hits / float(np.count_nonzero(label))}
            for n in (200, 2_000):
                found: dict[str, list[Bounds]] = {name: [] for name in truths}
                for _ in range(repetitions * 5 // 8):
                    drawn = rng.random(n) < rate
                    positives = int(np.count_nonzero(drawn))
                    scores = rng.normal(shift * drawn, 1.0)
                    top = retrieval.precision_of_top(drawn, scores, n // 10)
                    found["precision@10%"].append(top.at(LEVEL))
                    counted = retrieval.found_at(drawn, scores, n // 10)
                    recall = intervals.proportion(counted, positives)
                    found["recall@10%"].append(recall.at(LEVEL) if positives else (None, None))
                for name, truth in truths.items():
                    setting = f"{name} {truth:.3f}, {rate:.0%} positive, {n:,} rows"
                    yield missed(setting, "**shipped**", found[name], truth)


def several_classes(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(35)
    for told, shares in (("balanced", (1 / 3, 1 / 3, 1 / 3)), ("one class of 5 %", (0.6, 0.35, 0.05))):
        for shift in (1.0, 3.3):

            def sample(
                n: int, shares: tuple[float, ...] = shares, shift: float = shift
            ) -> tuple[Array, npt.NDArray[np.int64]]:
                codes = rng.choice(3, n, p=shares)
                return rng.normal(size=(n, 3)) + shift * np.eye(3)[codes], codes

            for average in ("ovr", "ovo"):
                truth = _areas(*sample(400_000), average).value or 0.0
                for n in (50, 500) if told == "balanced" else (200, 500):
                    found = [_areas(*sample(n), average).at(LEVEL) for _ in range(repetitions * 5 // 8)]
                    setting = f"{average} {truth:.3f}, {told}, {n:,} rows"
                    yield missed(setting, "**shipped**", found, truth)


def _areas(scores: Array, codes: npt.NDArray[np.int64], average: str) -> Estimate:
    kind: Literal["ovr", "ovo"] = "ovr" if average == "ovr" else "ovo"
    return multiclass_roc_auc(scores, codes.astype(np.intp), "abc", SIMPLE, average=kind, weighted=False)


SECTIONS: dict[str, Callable[[int], Iterator[Row]]] = {
    "Means of losses without a worst case": means,
    "Log loss": log_loss,
    "Coefficient of determination": r_squared,
    "Scores and numbers in clusters": clustered,
    "Scores with weights": weighted,
    "ROC AUC of several classes": several_classes,
    "Rankings of queries": queries,
    "The highest scores of all": top_rows,
}


def sections(repetitions: int = 800) -> Iterator[str]:
    """Yield the lines: for each section the settings as rows and the methods as columns."""
    for title, section in SECTIONS.items():
        yield from markdown(title, section(repetitions))


if __name__ == "__main__":
    for line in sections():
        print(line, flush=True)
