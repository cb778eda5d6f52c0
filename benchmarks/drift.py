"""How often do checks of drift raise an alarm over nothing, and what do they miss? P-values, PSI, and ours.

    python benchmarks/drift.py
    python benchmarks/drift.py --write docs/explanation/drift.md
    python benchmarks/drift.py --write docs/explanation/drift.md --part coverage

The plain rules are `scipy.stats.ks_2samp` with p < 0.05, the same with Bonferroni's correction, and the
population stability index over tenths of the reference against 0.1 and 0.2. Seeds are fixed. One thread.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import polars as pl
from page import put
from scipy import stats

from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.checks.data import no_drift
from pytest_prodml.checks.data.drift import DEFAULT_LIMITS
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence
from pytest_prodml.statistics.drift import (
    jensen_shannon,
    kolmogorov_smirnov,
    kolmogorov_smirnov_of_counts,
    population_stability_index,
    total_variation,
    wasserstein,
)
from pytest_prodml.statistics.estimate import Estimate

SEED = 20261123
REPETITIONS = 1_000
POWER_REPETITIONS = 200
COVERAGE_REPETITIONS = 400
CATEGORY_REPETITIONS = 5_000
COLUMNS = 20
LEVEL = 0.95
ALPHA = 1 - LEVEL

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Rng: TypeAlias = np.random.Generator


def outcomes(evidence: Evidence) -> dict[tuple[str, str | None], str]:
    """Return the worst outcome of each metric and column."""
    order = ("fail", "inconclusive", "pass")
    found: dict[tuple[str, str | None], str] = {}
    for item in judge_criteria(evidence.gate_id, evidence, confidence_level=LEVEL):
        key = (item.criterion.metric, item.criterion.group)
        found[key] = min(found.get(key, "pass"), str(item.judgement.outcome.value), key=order.index)
    return found


def ours(reference: object, current: object) -> dict[tuple[str, str | None], str]:
    tables = [
        open_table(source, name=name) for source, name in ((reference, "reference"), (current, "current"))
    ]
    return outcomes(no_drift(*tables, gate_id="data.drift", confidence_level=LEVEL))


def normals(rng: Rng, rows: int, *, shift: float = 0.0) -> pd.DataFrame:
    """Return normal columns, the first of them shifted by so many standard deviations."""
    values = rng.normal(size=(rows, COLUMNS))
    values[:, 0] += shift
    return pd.DataFrame(values, columns=[f"x{place}" for place in range(COLUMNS)])


def counts_in_tenths(reference: Array, current: Array) -> tuple[Array, Array]:
    edges = np.quantile(reference, np.arange(1, 10) / 10)
    first, second = (
        np.bincount(np.searchsorted(edges, side), minlength=10).astype(float) for side in (reference, current)
    )
    return first, second


def plain_index(first: Array, second: Array) -> float:
    """Return the index as tools compute it: shares, empty cells replaced by a small one."""
    p, q = (np.maximum(side / side.sum(), 1e-4) for side in (first, second))
    return float(((p - q) * np.log(p / q)).sum())


def plain_rules(p_values: list[float], indices: list[float]) -> dict[str, bool]:
    return {
        "KS p < 0.05": min(p_values) < ALPHA,
        "KS p < 0.05 / 20": min(p_values) < ALPHA / COLUMNS,
        "PSI > 0.1": max(indices) > 0.1,
        "PSI > 0.2": max(indices) > 0.2,
    }


def plain(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, bool]:
    p_values, indices = [], []
    for name in before.columns:
        first, second = before[name].to_numpy(), after[name].to_numpy()
        p_values.append(float(stats.ks_2samp(first, second, method="asymp").pvalue))
        indices.append(plain_index(*counts_in_tenths(first, second)))
    return plain_rules(p_values, indices)


RULES = ("KS p < 0.05", "KS p < 0.05 / 20", "PSI > 0.1", "PSI > 0.2", "no_drift")


def small_tables(rows: int) -> Counter[str]:
    """Count alarms over tables of identical columns, by the whole check."""
    rng = np.random.default_rng([SEED, rows])
    alarms: Counter[str] = Counter()
    for _ in range(REPETITIONS):
        before, after = normals(rng, rows), normals(rng, rows)
        found = plain(before, after)
        found["no_drift"] = "fail" in ours(before, after).values()
        alarms.update(rule for rule, alarm in found.items() if alarm)
    return alarms


def hundred_rows() -> Counter[str]:
    """Count alarms of the index over tables of 100 rows, at the level that a family of columns gets."""
    rng = np.random.default_rng([SEED, 100])
    alarms: Counter[str] = Counter()
    for _ in range(REPETITIONS):
        before, after = normals(rng, 100), normals(rng, 100)
        found, failed = plain(before, after), False
        for name in before.columns:
            counts = counts_in_tenths(before[name].to_numpy(), after[name].to_numpy())
            lower = population_stability_index(*counts).at(1 - ALPHA / COLUMNS)[0]
            failed |= lower is not None and lower > DEFAULT_LIMITS["population_stability_index"]
        alarms.update(rule for rule, alarm in {**found, "no_drift": failed}.items() if alarm)
    return alarms


def large_tables(rows: int) -> Counter[str]:
    """Count alarms over large tables, at the level that a family of columns gets.

    The ranks of two identical continuous columns are a shuffled deck, which is all that the KS distance and
    the index depend on: no number needs to be drawn. The bounds are those of counts in 500 cells.
    """
    rng = np.random.default_rng([SEED, rows])
    law = stats.kstwo(rows // 2)
    is_reference = np.repeat(np.array([0, 1], dtype=np.int8), rows)
    tenths = np.arange(1, 10) * rows // 10
    places = np.arange(1, 2 * rows + 1, dtype=np.int32)
    alarms: Counter[str] = Counter()
    for _ in range(REPETITIONS):
        p_values, indices, failed = [], [], False
        for _ in range(COLUMNS):
            rng.shuffle(is_reference)
            seen = np.cumsum(is_reference, dtype=np.int32)
            gap = 2 * seen - places
            distance = max(int(gap.max()), -int(gap.min())) / rows
            # What ks_2samp(method="asymp") does with the same statistic.
            p_values.append(float(law.sf(distance)))
            cuts = np.searchsorted(seen, tenths)
            of_current = np.diff(cuts + 1 - tenths, prepend=0, append=rows).astype(float)
            indices.append(plain_index(np.full(10, rows / 10), of_current))
            cells = is_reference.reshape(500, -1)
            first = cells.sum(axis=1, dtype=np.int64)
            lower = kolmogorov_smirnov_of_counts(first, cells.shape[1] - first).at(1 - ALPHA / COLUMNS)[0]
            failed |= lower is not None and lower > DEFAULT_LIMITS["kolmogorov_smirnov"]
        found = {**plain_rules(p_values, indices), "no_drift": failed}
        alarms.update(rule for rule, alarm in found.items() if alarm)
    return alarms


def false_alarms() -> Iterator[str]:
    yield f"### False alarms: {COLUMNS} identical columns, {REPETITIONS:,} repetitions"
    yield ""
    yield "Share of pairs of tables in which at least one column is flagged although nothing moved."
    yield ""
    yield "| rows of each table | " + " | ".join(RULES) + " |"
    yield "| --- |" + " ---: |" * len(RULES)
    settings: list[tuple[str, Callable[[], Counter[str]]]] = [
        ("100, ours by the index (at the level of the family)", hundred_rows),
        ("1,000", lambda: small_tables(1_000)),
        ("100,000, ours by 500 cells (at the level of the family)", lambda: large_tables(100_000)),
    ]
    for told, count in settings:
        alarms = count()
        shares = " | ".join(f"{100 * alarms[rule] / REPETITIONS:.1f} %" for rule in RULES)
        yield f"| {told} | {shares} |"


def power() -> Iterator[str]:
    yield f"### One of {COLUMNS} columns moved, {POWER_REPETITIONS} repetitions"
    yield ""
    yield (
        "What is said about the column that moved. A shift of 0.2 standard deviations is a KS distance of "
        "0.080, one of 0.5 is 0.197. In brackets the margin."
    )
    yield ""
    ours_said = [f"`no_drift` ({limit}): {said}" for limit in (0.05, 0.1) for said in VERDICTS]
    yield f"| shift, rows | {' | '.join(['KS p < 0.05 / 20', 'PSI > 0.2', *ours_said])} |"
    yield "| --- |" + " ---: |" * 8
    for shift in (0.2, 0.5):
        for rows in (200, 1_000, 5_000, 20_000):
            rng = np.random.default_rng([SEED, rows, int(10 * shift)])
            told: Counter[str] = Counter()
            for _ in range(POWER_REPETITIONS):
                first, second = rng.normal(size=rows), rng.normal(shift, size=rows)
                told["p"] += stats.ks_2samp(first, second, method="asymp").pvalue < ALPHA / COLUMNS
                told["psi"] += plain_index(*counts_in_tenths(first, second)) > 0.2
                estimate = kolmogorov_smirnov(first, second)
                lower, upper = estimate.at(1 - ALPHA / COLUMNS)[0], estimate.at(LEVEL)[1]
                for limit in (0.05, 0.1):
                    told[f"{verdict(lower, upper, limit)} {limit}"] += 1
            keys = ["p", "psi", *(f"{one} {limit}" for limit in (0.05, 0.1) for one in VERDICTS)]
            shares = " | ".join(f"{100 * told[key] / POWER_REPETITIONS:.0f} %" for key in keys)
            yield f"| {shift} sd, {rows:,} | {shares} |"


VERDICTS = ("fail", "inconclusive", "pass")


def verdict(lower: float | None, upper: float | None, limit: float) -> str:
    if lower is not None and lower > limit:
        return "fail"
    return "pass" if upper is not None and upper <= limit else "inconclusive"


def one(values: Array) -> pd.DataFrame:
    return pd.DataFrame({"x": values})


def cases(rng: Rng) -> Iterator[tuple[str, object, object]]:
    before = one(rng.normal(size=1_000))
    broken = rng.normal(size=1_000)
    broken[:990] = np.nan
    yield "99 % of the current column is NaN, 1,000 rows", before, one(broken)
    yield "the current table has no row", before, before.head(0)
    yield "five current rows, all at 99", before, one(np.full(5, 99.0))
    small = rng.uniform(0, 0.01, size=(2, 1_000))
    yield "a column on the scale 0 to 0.01, moved by 0.02", one(small[0]), one(small[1] + 0.02)
    income = np.exp(rng.normal(10, 1, size=(2, 5_000)))
    yield "incomes (log-normal), unchanged, 5,000 rows", one(income[0]), one(income[1])
    yield "moved by 0.3 sd, 200 rows", one(rng.normal(size=200)), one(rng.normal(0.3, size=200))
    yield "moved by 0.3 sd, 20,000 rows", one(rng.normal(size=20_000)), one(rng.normal(0.3, size=20_000))
    rows = 10_000_000
    yield (
        "moved by 0.01 sd, 10,000,000 rows (cells counted by one query)",
        pl.DataFrame({"x": rng.normal(size=rows)}),
        pl.DataFrame({"x": rng.normal(0.01, size=rows)}),
    )


def named_cases() -> Iterator[str]:
    yield "### Named cases"
    yield ""
    yield "| case | KS p < 0.05 (missing cells dropped) | distance | missing cells |"
    yield "| --- | --- | --- | --- |"
    for told, before, after in cases(np.random.default_rng([SEED, 7])):
        sides = [np.asarray(table["x"].to_numpy(), dtype=float) for table in (before, after)]  # type: ignore[index]
        first, second = (side[~np.isnan(side)] for side in sides)
        test = stats.ks_2samp(first, second, method="asymp") if len(second) else None
        p = "error" if test is None else ("alarm" if test.pvalue < ALPHA else "no alarm")
        p += "" if test is None else f" (p = {test.pvalue:.2g})"
        try:
            found = ours(before, after)
        except InputError as error:
            yield f"| {told} | {p} | error: {str(error).splitlines()[0]} | |"
            continue
        distance = found["kolmogorov_smirnov", "x"]
        yield f"| {told} | {p} | **{distance}** | {found['missing_share_change', 'x']} |"


def misses(estimate: Estimate, truth: float) -> tuple[bool, bool]:
    lower, upper = estimate.at(LEVEL)
    return lower is not None and lower > truth + 1e-12, upper is not None and upper < truth - 1e-12


def coverage_of_numbers() -> Iterator[tuple[str, str, float, tuple[float, float]]]:
    grid = np.linspace(-12, 12, 200_001)
    for n, m in ((60, 60), (200, 200), (1_000, 1_000), (200, 5_000)):
        for shift, scale in ((0.0, 1.0), (0.1, 1.0), (0.5, 1.0), (0.0, 1.5), (3.0, 1.0)):
            rng = np.random.default_rng([SEED, n, m, int(10 * shift), int(10 * scale)])
            gap = np.abs(stats.norm.cdf(grid) - stats.norm.cdf((grid - shift) / scale))
            density = stats.norm.pdf(grid)
            truths = float(gap.max()), float(np.trapezoid(gap * density, grid))
            count = np.zeros((2, 2))
            for _ in range(COVERAGE_REPETITIONS):
                first, second = rng.normal(size=n), shift + scale * rng.normal(size=m)
                for place, measure in enumerate((kolmogorov_smirnov, wasserstein)):
                    count[place] += misses(measure(first, second), truths[place])
            told = f"{n:,} and {m:,} rows, normal, moved by {shift} sd, scale {scale}"
            for place, name in enumerate(("kolmogorov_smirnov", "wasserstein")):
                yield name, told, truths[place], tuple(count[place] / COVERAGE_REPETITIONS)


def coverage_of_categories() -> Iterator[tuple[str, str, float, tuple[float, float]]]:
    measures = (total_variation, population_stability_index, jensen_shannon)
    for n, m in ((60, 60), (200, 200), (1_000, 1_000), (200, 5_000)):
        for cells, tilt in (
            (2, 0.0),
            (2, 0.2),
            (2, 0.9),
            (10, 0.0),
            (10, 0.2),
            (10, 0.8),
            (50, 0.0),
            (50, 0.3),
        ):
            rng = np.random.default_rng([SEED, n, m, cells, int(10 * tilt)])
            p = rng.dirichlet(np.full(cells, 5.0))
            q = p * np.exp(tilt * np.linspace(-1, 1, cells))
            q /= q.sum()
            middle = (p + q) / 2
            truths = (
                float(np.abs(p - q).sum() / 2),
                float(((p - q) * np.log(p / q)).sum()),
                float((p * np.log(p / middle) + q * np.log(q / middle)).sum() / 2),
            )
            count = np.zeros((3, 2))
            for _ in range(CATEGORY_REPETITIONS):
                first, second = rng.multinomial(n, p), rng.multinomial(m, q)
                for place, measure in enumerate(measures):
                    count[place] += misses(measure(first, second), truths[place])
            told = f"{n:,} and {m:,} rows, {cells} cells, tilt {tilt}"
            for place, measure in enumerate(measures):
                yield measure.__name__, told, truths[place], tuple(count[place] / CATEGORY_REPETITIONS)


def coverage() -> Iterator[str]:
    found: dict[str, list[tuple[str, float, tuple[float, float]]]] = {}
    for name, told, truth, missed in (*coverage_of_numbers(), *coverage_of_categories()):
        found.setdefault(name, []).append((told, truth, missed))
    yield "### Errors of the bounds"
    yield ""
    noise, less = (
        100 * stats.binom.ppf(0.95, repetitions, ALPHA) / repetitions
        for repetitions in (COVERAGE_REPETITIONS, CATEGORY_REPETITIONS)
    )
    yield (
        f"Share of {COVERAGE_REPETITIONS} repetitions ({CATEGORY_REPETITIONS:,} for the measures of "
        f"categories) in which a one-sided bound of level {LEVEL} lies on the wrong side of the truth. Where "
        f"exactly {100 * ALPHA:.0f} % is kept, 95 in 100 such figures lie at or below {noise:.1f} % "
        f"({less:.1f} %)."
    )
    yield ""
    sides = ("lower bound above the truth", "upper bound below the truth")
    heads = [f"{side}: {what}" for side in sides for what in ("mean", "worst", "where")]
    yield f"| measure | settings | {' | '.join(heads)} |"
    yield "| --- | ---: |" + " ---: | ---: | --- |" * 2
    for name, rows in found.items():
        cells = []
        for side in (0, 1):
            errors = np.array([row[2][side] for row in rows])
            told, truth, _ = rows[int(np.argmax(errors))]
            cells += [f"{100 * errors.mean():.1f} %", f"{100 * errors.max():.1f} %"]
            cells.append(f"{told} (truth {truth:.3g})" if errors.any() else "")
        yield f"| `{name}` | {len(rows)} | {' | '.join(cells)} |"


PARTS = {part.__name__: part for part in (false_alarms, power, named_cases, coverage)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=Path, help="replace the tables in this Markdown file")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; may be given again")
    options = parser.parse_args()
    for part in options.part or PARTS:
        text = "\n".join(PARTS[part]())
        if options.write is None:
            print(text)
            continue
        put(options.write, f"benchmarks/drift.py {part}", text)


if __name__ == "__main__":
    main()
