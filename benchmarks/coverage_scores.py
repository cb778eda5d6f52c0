"""How often the one-sided 95 % bounds of scores and numbers miss the truth; a part of `coverage.py`.

    python benchmarks/coverage_scores.py

Each cell: per cent of samples whose lower bound lies above the truth / whose upper bound lies below it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.statistics import intervals
from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.estimate import Bounds
from pytest_prodml.statistics.losses import capped_mean, log_losses, mean_loss, skill
from pytest_prodml.statistics.multiclass_ranking import multiclass_roc_auc
from pytest_prodml.statistics.ranking import average_precision_of_rows, roc_auc_of_rows
from pytest_prodml.statistics.regression import quantile_of

Array: TypeAlias = npt.NDArray[np.float64]
LEVEL = 0.95
SIMPLE = Design()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How often a method missed in a setting, and how often it gave no bound at all."""

    setting: str
    method: str
    low: float
    high: float
    open_share: float


def missed(setting: str, method: str, bounds: Iterable[Bounds], truth: float) -> Row:
    found = list(bounds)
    return Row(
        setting=setting,
        method=method,
        low=float(np.mean([lower is not None and lower > truth for lower, _ in found])),
        high=float(np.mean([upper is not None and upper < truth for _, upper in found])),
        open_share=float(np.mean([bound == (None, None) for bound in found])),
    )


def runs(repetitions: int, n: int) -> int:
    return repetitions if n <= 500 else repetitions // 4


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
    }
    for told, (draw, truth) in laws.items():
        for n in (50, 200, 500, 5_000):
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
            samples = [losses(n) for _ in range(runs(repetitions, n) // 4)]
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
                for _ in range(runs(repetitions, n) // 2):
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


def several_classes(repetitions: int) -> Iterator[Row]:
    rng = np.random.default_rng(35)
    for told, shares in (("balanced", (1 / 3, 1 / 3, 1 / 3)), ("one class of 5 %", (0.6, 0.35, 0.05))):
        for shift in (1.0, 3.3):

            def sample(
                n: int, shares: tuple[float, ...] = shares, shift: float = shift
            ) -> tuple[Array, Array]:
                codes = rng.choice(3, n, p=shares)
                return rng.normal(size=(n, 3)) + shift * np.eye(3)[codes], codes

            for average in ("ovr", "ovo"):
                truth = _areas(*sample(400_000), average).value or 0.0
                for n in (50, 500):
                    found = [_areas(*sample(n), average).at(LEVEL) for _ in range(repetitions // 8)]
                    setting = f"{average} {truth:.3f}, {told}, {n:,} rows"
                    yield missed(setting, "**shipped**", found, truth)


def _areas(scores: Array, codes: Array, average: str) -> intervals.Estimate:
    kind = "ovr" if average == "ovr" else "ovo"
    return multiclass_roc_auc(scores, codes.astype(np.intp), "abc", SIMPLE, average=kind, weighted=False)


SECTIONS: dict[str, Callable[[int], Iterator[Row]]] = {
    "Means of losses without a worst case": means,
    "Log loss": log_loss,
    "Coefficient of determination": r_squared,
    "Scores and numbers in clusters": clustered,
    "ROC AUC of several classes": several_classes,
}


def sections(repetitions: int = 800) -> Iterator[str]:
    """Yield the lines: for each section the settings as rows and the methods as columns."""
    for title, section in SECTIONS.items():
        settings: dict[str, dict[str, Row]] = {}
        for row in section(repetitions):
            settings.setdefault(row.setting, {})[row.method] = row
        methods = list(dict.fromkeys(method for rows in settings.values() for method in rows))
        yield f"### {title}\n"
        yield f"| setting | {' | '.join(methods)} |"
        yield f"| --- | {' | '.join('---:' for _ in methods)} |"
        for setting, rows in settings.items():
            yield f"| {setting} | {' | '.join(cell(rows.get(method)) for method in methods)} |"
        yield ""


def cell(row: Row | None) -> str:
    if row is None:
        return ""
    if row.open_share >= 0.995:
        return "no bounds"
    open_share = f" (no bounds: {row.open_share:.0%})" if row.open_share >= 0.005 else ""
    return f"{100 * row.low:.1f} / {100 * row.high:.1f}{open_share}"


if __name__ == "__main__":
    for line in sections():
        print(line, flush=True)
