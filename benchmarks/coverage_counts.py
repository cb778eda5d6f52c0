"""How often the bounds of metrics of predicted labels, of weighted and of clustered rows miss the truth.

    python benchmarks/coverage_counts.py

Simulated with fixed seeds; what ships stands beside what is usual. About four minutes of one core with
OMP_NUM_THREADS=1. `sections` is what benchmarks/coverage.py writes into the docs. A table that was drawn
twice is measured once.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from coverage_rows import Bounds, Row, markdown, missed

from pytest_prodml.checks.metrics.named import metric_named
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.statistics import agreement, intervals
from pytest_prodml.statistics.design import Design, adjusted, design_of, share_of_weight
from pytest_prodml.statistics.estimate import Estimate
from pytest_prodml.statistics.resampling import jackknife

Array: TypeAlias = npt.NDArray[np.float64]
Codes: TypeAlias = npt.NDArray[np.intp]

LEVEL = 0.95
Z = 1.6448536
SIZES = {50: 400, 500: 300, 5_000: 150}
USUAL = 100


def at(estimate: Estimate) -> Bounds:
    return (None, None) if estimate.value is None else estimate.at(LEVEL)


# --- shares of cells --------------------------------------------------------------------------------------


def two(positives: float, recall: float, specificity: float) -> Array:
    """Return the shares of true negatives, false positives, false negatives, true positives as a table."""
    negatives = 1 - positives
    return np.array(
        [
            [negatives * specificity, negatives * (1 - specificity)],
            [positives * (1 - recall), positives * recall],
        ]
    )


def many(priors: list[float], right: float) -> Array:
    k = len(priors)
    shares = np.outer(priors, np.full(k, (1 - right) / (k - 1)))
    np.fill_diagonal(shares, np.array(priors) * right)
    return shares


TWO = {
    "balanced, recalls .85": two(0.5, 0.85, 0.85),
    "balanced, recalls .99": two(0.5, 0.99, 0.99),
    "balanced, by chance": two(0.5, 0.5, 0.5),
    "99:1, recalls .8 and .98": two(0.01, 0.8, 0.98),
    "99:1, recalls .98 and .999": two(0.01, 0.98, 0.999),
}
CLASSES = {
    "3 classes (.6, .3, .1), .8 right": many([0.6, 0.3, 0.1], 0.8),
    "10 classes, .8 right": many([0.1] * 10, 0.8),
}


def drawn(shares: Array, n: int, repetitions: int, seed: int) -> tuple[Array, Codes]:
    """Return the distinct tables that were drawn, and which one each draw was."""
    rng = np.random.default_rng(seed)
    tables, place = np.unique(rng.multinomial(n, shares.ravel(), repetitions), axis=0, return_inverse=True)
    return tables.reshape(-1, *shares.shape), place.ravel()


def percentile(tables: Array, statistic: Callable[[Array], Array], seed: int) -> Iterator[Bounds]:
    """Yield bounds of the usual bootstrap: percentiles over 1,000 resamples of the cells."""
    rng = np.random.default_rng(seed)
    for table in tables:
        n = int(table.sum())
        values = statistic(rng.multinomial(n, table.ravel() / n, 1_000).reshape(-1, *table.shape))
        values = values[np.isfinite(values)]
        yield (None, None) if values.size < 500 else tuple(np.quantile(values, [0.05, 0.95]))


def sums_of(tables: Array) -> Array:
    """Return right, predicted and true rows of each class, side by side."""
    right = np.diagonal(tables, axis1=1, axis2=2)
    return np.hstack([right, tables.sum(axis=1), tables.sum(axis=2)]).astype(float)


def averaged(name: agreement.Averaged, average: agreement.Average) -> Any:  # noqa: ANN401
    shipped = lambda table, seed: agreement.averaged(table, name, average, seed=seed).estimate  # noqa: E731
    return shipped, lambda tables: agreement.average_of(name, average)(sums_of(tables))


def matthews(tables: Array) -> Array:
    right, predicted, true = np.split(sums_of(tables), 3, axis=1)
    n = true.sum(axis=1)
    covariance = right.sum(axis=1) * n - (predicted * true).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return covariance / np.sqrt((n**2 - (predicted**2).sum(axis=1)) * (n**2 - (true**2).sum(axis=1)))


def kappa(tables: Array) -> Array:
    right, predicted, true = np.split(sums_of(tables), 3, axis=1)
    n, chance = true.sum(axis=1), (predicted * true).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (right.sum(axis=1) * n - chance) / (n**2 - chance)


def of_tables(
    shipped: Callable[[Array, int], Estimate],
    statistic: Callable[[Array], Array],
    settings: Mapping[str, Array],
) -> Iterator[Row]:
    for n, repetitions in SIZES.items():
        for position, (name, shares) in enumerate(settings.items()):
            truth = float(statistic(shares[np.newaxis] * 1e6)[0])
            tables, place = drawn(shares, n, repetitions, seed=n + position)
            setting = f"{n:,} rows, {name}"
            found = [at(shipped(table, seed)) for seed, table in enumerate(tables)]
            yield missed(setting, "**shipped**", (found[i] for i in place), truth)
            usual = percentile(tables[place[:USUAL]], statistic, seed=1)
            yield missed(setting, "bootstrap percentile", usual, truth)


def f_beta(beta: float) -> Iterator[Row]:
    b = beta * beta

    def shipped(table: Array, _: int) -> Estimate:
        _tn, fp, fn, tp = table.ravel()
        return intervals.f_beta(tp, fp, fn, beta=beta)

    def statistic(tables: Array) -> Array:
        hits = (1 + b) * tables[:, 1, 1]
        with np.errstate(invalid="ignore"):
            return hits / (hits + b * tables[:, 1, 0] + tables[:, 0, 1])

    return of_tables(shipped, statistic, TWO)


def likelihood_ratio(name: str, *, positive: bool) -> Iterator[Row]:
    metric = metric_named(name)

    def shipped(table: Array, _: int) -> Estimate:
        truth, predicted = (
            np.repeat(code, table.ravel().astype(int)) for code in np.indices((2, 2)).reshape(2, -1)
        )
        return metric.measure(Sample(y_true=truth, y_pred=predicted, labels=[0, 1]), 0).estimate

    def statistic(tables: Array) -> Array:
        rates = tables / tables.sum(axis=2, keepdims=True)
        column = int(positive)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = rates[:, 1, column] / rates[:, 0, column]
        return ratio if positive else -ratio

    with np.errstate(invalid="ignore", divide="ignore"):
        yield from of_tables(shipped, statistic, TWO)


# --- weights and clusters ---------------------------------------------------------------------------------


def classic(hits: Array, design: Design) -> Bounds:
    """Return the bounds of Korn and Graubard as published: C - 1 degrees of freedom, rows where none errs."""
    n, weights = hits.size, share_of_weight(design, hits.size)
    share = float(weights @ hits) / n
    codes = np.arange(n) if design.clusters is None else design.clusters
    sums = np.bincount(codes, weights=weights * (hits - share))
    clusters = int(np.count_nonzero(np.bincount(codes)))
    simple = share * (1 - share) / n
    effect = clusters / (clusters - 1) * float((sums**2).sum()) / n**2 / simple if simple > 0 else 1.0
    from scipy.special import stdtrit

    rows = n / max(effect, 1e-9) * float(stdtrit(n - 1, LEVEL) / stdtrit(clusters - 1, LEVEL)) ** 2
    rows = min(rows, n)
    lower, upper = intervals.clopper_pearson(share * rows, rows, LEVEL)
    return float(lower), float(upper)


def shipped_share(hits: Array, design: Design) -> Bounds:
    weights = share_of_weight(design, hits.size)
    estimate = intervals.proportion(float(weights @ hits), float(weights.sum()))
    return at(adjusted(estimate, hits - (estimate.value or 0.0), design))


def as_rows(hits: Array, _: Design) -> Bounds:
    return intervals.proportion(float(hits.sum()), hits.size).at(LEVEL)


def designs() -> Iterator[Row]:
    """Accuracy: beta-binomial clusters of 5 or of 1 to 40 rows, log-normal weights of clusters or rows."""
    methods = {"**shipped**": shipped_share, "Korn-Graubard": classic, "as simple rows": as_rows}
    settings: list[tuple[int, str, float, float]] = [
        (clusters, sizes, correlation, spread)
        for clusters in (5, 10, 50, 200, 1_000)
        for sizes, correlation, spread in (
            ("of 5", 0.1, 0.0),
            ("of 5", 0.5, 0.0),
            ("of 1 to 40", 0.5, 0.0),
            ("of 5", 0.5, 1.0),
        )
    ] + [(n, "of 1", 0.0, spread) for n in (50, 500, 5_000) for spread in (0.5, 1.0)]
    for position, (clusters, sizes, correlation, spread) in enumerate(settings):
        for rate in (0.5, 0.9, 0.99):
            rng = np.random.default_rng(position)
            samples = []
            for _ in range(500 if clusters < 1_000 else 300):
                size = rng.geometric(0.2, clusters).clip(1, 40) if sizes == "of 1 to 40" else int(sizes[3:])
                groups = np.repeat(np.arange(clusters), size)
                strength = 1 / correlation - 1 if correlation else math.inf
                chance = (
                    rng.beta(rate * strength, (1 - rate) * strength, clusters)
                    if correlation
                    else np.full(clusters, rate)
                )
                weights = np.exp(spread * rng.standard_normal(clusters))[groups] if spread else None
                hits = (rng.random(groups.size) < chance[groups]).astype(float)
                samples.append((hits, design_of(groups.size, groups=groups, sample_weight=weights)))
            units = f"{clusters:,} rows" if sizes == "of 1" else f"{clusters:,} clusters {sizes} rows"
            told = f"{units}, correlation {correlation}, weights' spread {spread}, accuracy {rate}"
            for name, method in methods.items():
                yield missed(told, name, (method(*sample) for sample in samples), rate)


def clustered(shares: Array, clusters: int, rng: np.random.Generator) -> tuple[Codes, Codes, Codes]:
    """Draw clusters of 5 rows of which each copies the first one's cell with probability .7."""
    k = len(shares)
    groups = np.repeat(np.arange(clusters), 5)
    cells = rng.choice(k * k, size=groups.size, p=shares.ravel())
    first = cells[::5][groups]
    cells = np.where(rng.random(groups.size) < 0.7, first, cells)
    return cells // k, cells % k, groups


def clustered_metrics(name: str, *, repetitions: int = 300, beside: bool = True) -> Iterator[Row]:
    metric = metric_named(name)
    classes = {} if name == "f1" else {told: one for told, one in CLASSES.items() if len(one) == 3}
    settings = {**TWO, **classes}
    for clusters in (20, 100, 1_000):
        for position, (told, shares) in enumerate(settings.items()):
            # A hundred thousand rows in the exact shares stand for the truth.
            exact = np.rint(shares.ravel() * 1e5).astype(int)
            true, said = (np.repeat(code, exact) for code in np.indices(shares.shape).reshape(2, -1))
            truth = metric.measure(Sample(y_true=true, y_pred=said), 0).estimate.value
            if truth is None:
                continue
            rng = np.random.default_rng(clusters + position)
            found: dict[str, list[Bounds]] = {"**shipped**": []}
            for seed in range(repetitions):
                y_true, y_pred, groups = clustered(shares, clusters, rng)
                columns = {"y_true": y_true, "y_pred": y_pred, "labels": list(range(len(shares)))}
                found["**shipped**"].append(
                    at(metric.measure(Sample(**columns, groups=groups), seed).estimate)
                )
                if beside:
                    simple = at(metric.measure(Sample(**columns), seed).estimate)
                    found.setdefault("as simple rows", []).append(simple)
            for method, bounds in found.items():
                yield missed(f"{clusters:,} clusters of 5, {told}", method, bounds, truth)


PREVALENCE = np.array([0.5, 0.3, 0.2, 0.1, 0.05])
HITS, CALLS = 2 * 0.9 * PREVALENCE, 0.9 * PREVALENCE + 0.1 * (1 - PREVALENCE)
SEVERAL = {
    "f1_micro": HITS.sum() / (CALLS + PREVALENCE).sum(),
    "f1_macro": (HITS / (CALLS + PREVALENCE)).mean(),
    "hamming_loss": 0.1,
}


def several_labels() -> Iterator[Row]:
    """Rows with five labels that stand and fall together: each is right with its row's chance, mean .9."""
    for name, truth in SEVERAL.items():
        metric = metric_named(name)
        for n, repetitions in ((50, 300), (500, 150), (5_000, 60)):
            rng = np.random.default_rng(n)
            bounds = []
            for seed in range(repetitions):
                true = rng.random((n, 5)) < PREVALENCE
                right = rng.random((n, 5)) < rng.beta(9, 1, (n, 1))
                sample = Sample(y_true=true.astype(int), y_pred=np.where(right, true, ~true).astype(int))
                bounds.append(at(metric.measure(sample, seed).estimate))
            yield missed(f"{n:,} rows, {name}", "**shipped**", bounds, truth)


# --- any function -----------------------------------------------------------------------------------------


def rand_index(truth: Codes, said: Codes) -> float:
    """Return the adjusted Rand index of codes below 5."""
    table = np.bincount(truth * 5 + said, minlength=25).reshape(5, 5)
    pairs, rows, columns = (float((c * (c - 1) / 2).sum()) for c in (table, table.sum(1), table.sum(0)))
    expected = rows * columns / (truth.size * (truth.size - 1) / 2)
    return (pairs - expected) / ((rows + columns) / 2 - expected)


def information(truth: Codes, said: Codes) -> float:
    """Return the normalized mutual information of codes below 5."""
    shares = np.bincount(truth * 5 + said, minlength=25).reshape(5, 5) / truth.size
    rows, columns = shares.sum(1), shares.sum(0)
    used = shares > 0
    mutual = (shares[used] * np.log(shares[used] / np.outer(rows, columns)[used])).sum()
    entropies = sum(-(part[part > 0] * np.log(part[part > 0])).sum() for part in (rows, columns))
    return float(2 * mutual / entropies)


def noisy_labels(right: float, n: int, rng: np.random.Generator) -> tuple[Any, Any]:
    truth = rng.integers(0, 5, n)
    return truth, np.where(rng.random(n) < right, truth, rng.integers(0, 5, n))


def noisy_numbers(n: int, rng: np.random.Generator) -> tuple[Any, Any]:
    truth = rng.standard_normal(n)
    return truth, truth + 0.5 * rng.standard_t(5, n)


FUNCTIONS: dict[str, tuple[Callable[..., float], Callable[..., tuple[Any, Any]], float, float | None]] = {
    "accuracy .9": (lambda a, b: float((a == b).mean()), partial(noisy_labels, 0.875), 0.0, 1.0),
    "accuracy .99": (lambda a, b: float((a == b).mean()), partial(noisy_labels, 0.9875), 0.0, 1.0),
    "adjusted Rand index .64": (rand_index, partial(noisy_labels, 0.8), -0.5, 1.0),
    "normalized mutual information .04": (information, partial(noisy_labels, 0.2), 0.0, 1.0),
    "normalized mutual information .91": (information, partial(noisy_labels, 0.97), 0.0, 1.0),
    "median error": (lambda a, b: float(np.median(np.abs(a - b))), noisy_numbers, 0.0, None),
    "R2, errors of Student's t with 5": (
        lambda a, b: 1 - float(((a - b) ** 2).sum() / ((a - a.mean()) ** 2).sum()),
        noisy_numbers,
        -math.inf,
        1.0,
    ),
}


def on_part(function: Callable[..., float], a: Array, b: Array) -> Callable[[Codes], float]:
    return lambda rows: function(a[rows], b[rows])


def functions() -> Iterator[Row]:
    for n, repetitions in ((100, 200), (500, 200), (5_000, 60)):
        for name, (function, draw, low, high) in FUNCTIONS.items():
            truth = function(*draw(2_000_000, np.random.default_rng(0)))
            rng = np.random.default_rng(n)
            shipped: list[Bounds] = []
            usual: list[Bounds] = []
            for seed in range(repetitions):
                a, b = draw(n, rng)

                on = on_part(function, a, b)
                shipped.append(at(jackknife(on, n, Design(), seed=seed, low=low, high=high)))
                if seed < 60:
                    values = [on(rows) for rows in rng.integers(0, n, (200, n))]
                    usual.append(tuple(np.quantile(values, [0.05, 0.95])))
            yield missed(f"{n:,} rows, {name}", "**shipped**", shipped, truth)
            yield missed(f"{n:,} rows, {name}", "bootstrap percentile", usual, truth)


SECTIONS: dict[str, Callable[[], Iterator[Row]]] = {
    "F0.5": lambda: f_beta(0.5),
    "F2": lambda: f_beta(2.0),
    "Matthews' correlation coefficient": lambda: of_tables(
        lambda table, seed: agreement.matthews_correlation(table, seed=seed).estimate,
        matthews,
        {**TWO, **CLASSES},
    ),
    "Cohen's kappa": lambda: of_tables(
        lambda table, seed: agreement.cohen_kappa(table, seed=seed).estimate, kappa, {**TWO, **CLASSES}
    ),
    "Macro F1": lambda: of_tables(*averaged("f1", "macro"), {**TWO, **CLASSES}),
    "Weighted precision": lambda: of_tables(*averaged("precision", "weighted"), {**TWO, **CLASSES}),
    "Positive likelihood ratio": lambda: likelihood_ratio("positive_likelihood_ratio", positive=True),
    "Negative likelihood ratio": lambda: likelihood_ratio("neg_negative_likelihood_ratio", positive=False),
    "Weighted and clustered rows, accuracy": designs,
    "Clustered rows, F1": lambda: clustered_metrics("f1"),
    "Clustered rows, balanced accuracy": lambda: clustered_metrics("balanced_accuracy"),
    "Clustered rows, Matthews' correlation coefficient": lambda: clustered_metrics(
        "matthews_corrcoef", repetitions=60, beside=False
    ),
    "Clustered rows, macro F1": lambda: clustered_metrics("f1_macro", repetitions=60, beside=False),
    "Several labels a row": several_labels,
    "Any function of the rows": functions,
}


def sections() -> Iterator[str]:
    """Yield the Markdown lines: for each section the settings as rows and the methods as columns."""
    yield "Simulated with 60 to 500 samples a setting: the standard error of a true 5.0 is 1 (50 rows) to"
    yield "2.8 (several labels a row, and functions of 5,000 rows).\n"
    for title, section in SECTIONS.items():
        begin = time.process_time()
        yield from markdown(title, section())
        sys.stderr.write(f"{title}: {time.process_time() - begin:.0f} s\n")


if __name__ == "__main__":
    for line in sections():
        print(line, flush=True)
