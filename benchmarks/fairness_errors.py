"""How often do fairness gates accuse a fair model, or pass an unfair one by luck? Point rules, and ours.

    python benchmarks/fairness_errors.py
    python benchmarks/fairness_errors.py --write docs/explanation/fairness.md
    python benchmarks/fairness_errors.py --write docs/explanation/fairness.md --part coverage

A point rule compares the observed gap with the limit, as `MetricFrame(...).difference() < 0.1` does in a
test. Seeds are fixed. One thread.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from page import put

from pytest_prodml.statistics.design import adjusted, design_of, share_of_weight
from pytest_prodml.statistics.estimate import Bounds, Estimate, growth_to_decide
from pytest_prodml.statistics.gaps import (
    Gap,
    difference_of_counts,
    difference_of_estimates,
    group_bounds,
    ratio_of_counts,
    ratio_of_estimates,
    worst_of,
)
from pytest_prodml.statistics.intervals import proportion

Array: TypeAlias = npt.NDArray[np.float64]
Rng: TypeAlias = np.random.Generator

SEED = 20261123
LEVEL = 0.95
REPETITIONS = 10_000
COVERAGE_REPETITIONS = 4_000
DESIGN_REPETITIONS = 2_000
PLAN_REPETITIONS = 400
DIFFERENCE, RATIO = 0.10, 0.80
_EXACTLY = 1e-12


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def error(repetitions: int, share: float = 0.05) -> str:
    return f"{100 * math.sqrt(share * (1 - share) / repetitions):.2f}"


def verdict(bounds: Bounds, limit: float, *, at_least: bool) -> str:
    lower, upper = bounds
    kept, broken = (lower, upper) if at_least else (upper, lower)
    sign = -1 if at_least else 1
    if kept is not None and sign * kept <= sign * limit:
        return "pass"
    return "fail" if broken is not None and sign * broken > sign * limit else "inconclusive"


def sizes_told(sizes: Sequence[int]) -> str:
    if len(set(sizes)) == 1 and len(sizes) > 2:
        return f"{len(sizes)} of {sizes[0]:,}"
    return ", ".join(f"{size:,}" for size in sizes)


def judged(
    rates: Sequence[float], sizes: Sequence[int], *, limit: float, at_least: bool, rng: Rng
) -> tuple[float, dict[str, float]]:
    """Return how often the point rule accuses, and the shares of our verdicts, over many samples."""
    gap = ratio_of_counts if at_least else difference_of_counts

    @cache
    def of_counts(*counts: int) -> tuple[bool, str]:
        estimate = gap(counts, sizes).estimate
        if estimate.value is None:  # 0 to 0
            return False, "inconclusive"
        accused = estimate.value < limit if at_least else estimate.value > limit
        return accused, verdict(estimate.at(LEVEL), limit, at_least=at_least)

    drawn = rng.binomial(sizes, rates, size=(REPETITIONS, len(sizes)))
    found = [of_counts(*counts) for counts in drawn.tolist()]
    shares = {
        name: sum(told == name for _, told in found) / REPETITIONS
        for name in ("fail", "pass", "inconclusive")
    }
    return sum(accused for accused, _ in found) / REPETITIONS, shares


def fair_model() -> Iterator[str]:
    yield "### A perfectly fair model that selects 25 % of every group\n"
    yield f"{REPETITIONS:,} samples a row, seed {SEED}; the standard error of 5 % is {error(REPETITIONS)}"
    yield f"points, of 50 % {error(REPETITIONS, 0.5)}. Gates: ratio of at least {RATIO} (four fifths),"
    yield f"difference of at most {DIFFERENCE}.\n"
    yield "| rows of the groups | gate | point rule accuses | ours accuses | passes | inconclusive |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    settings = ([500, 100, 50, 20], [500, 50], [5_000, 500, 200], [200] * 20, [50_000, 10_000, 5_000, 2_000])
    rng = np.random.default_rng(SEED)
    for sizes in settings:
        for name, limit, at_least in (("ratio", RATIO, True), ("difference", DIFFERENCE, False)):
            point, ours = judged([0.25] * len(sizes), sizes, limit=limit, at_least=at_least, rng=rng)
            cells = [point, ours["fail"], ours["pass"], ours["inconclusive"]]
            yield f"| {sizes_told(sizes)} | {name} | {' | '.join(map(percent, cells))} |"


def small_group() -> Iterator[str]:
    yield f"### Two groups, difference of at most {DIFFERENCE:.2f}\n"
    yield f"{REPETITIONS:,} samples a row, seed {SEED + 1}; the standard error of 5 % is"
    yield f"{error(REPETITIONS)} points. Wrong: a fair model is accused, or a model beyond the limit (by a"
    yield "tenth of a point where both rates are told to three digits) passes by luck.\n"
    yield "| rows | true rates | | point rule wrong | ours wrong | ours right | ours inconclusive |"
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: |"
    rng = np.random.default_rng(SEED + 1)
    for sizes, rates in (
        ([1_000, 12], (0.30, 0.30)),
        ([1_000, 12], (0.30, 0.12)),
        ([1_000, 12], (0.05, 0.151)),
        ([1_000, 12], (0.30, 0.401)),
        ([1_000, 100], (0.30, 0.30)),
        ([1_000, 100], (0.05, 0.151)),
        ([1_000, 100], (0.30, 0.401)),
        ([1_000, 100], (0.90, 0.799)),
        ([1_000, 1_000], (0.30, 0.30)),
        ([1_000, 1_000], (0.01, 0.111)),
        ([1_000, 1_000], (0.30, 0.401)),
        ([20_000, 5_000], (0.30, 0.401)),
    ):
        fair = abs(rates[0] - rates[1]) <= DIFFERENCE
        point, ours = judged(rates, sizes, limit=DIFFERENCE, at_least=False, rng=rng)
        wrong, right = ("fail", "pass") if fair else ("pass", "fail")
        cells = [point if fair else 1 - point, ours[wrong], ours[right], ours["inconclusive"]]
        told = "fair" if fair else "unfair"
        yield f"| {sizes_told(sizes)} | {rates[0]}, {rates[1]} | {told} | {' | '.join(map(percent, cells))} |"


def on_the_limit() -> Iterator[str]:
    yield "### Truly on the limit, several groups\n"
    yield f"{REPETITIONS:,} samples a row, seed {SEED + 2}; the standard error of 5 % is"
    yield f"{error(REPETITIONS)} points. The worst case of both errors: any pass and any accusation is"
    yield "luck. A point rule does one or the other nearly always.\n"
    yield "| rows of the groups | true rates | gate | point rule accuses | ours passes | ours accuses |"
    yield "| --- | --- | --- | ---: | ---: | ---: |"
    rng = np.random.default_rng(SEED + 2)
    for sizes, rates in (
        ([2_000] * 2, (0.40, 0.50)),
        ([2_000] * 6, (0.40,) * 5 + (0.50,)),
        ([2_000] * 6, (0.40,) * 3 + (0.50,) * 3),
        ([2_000] * 24, (0.40,) * 12 + (0.50,) * 12),
        ([5_000, 1_000, 300, 30], (0.40, 0.40, 0.50, 0.50)),
        ([2_000] * 2, (0.20, 0.25)),
        ([2_000] * 6, (0.20,) * 3 + (0.25,) * 3),
        ([5_000, 1_000, 300, 30], (0.04, 0.04, 0.05, 0.05)),
        ([20_000] * 24, (0.04,) * 12 + (0.05,) * 12),
    ):
        at_least = max(rates) <= 0.25
        limit = RATIO if at_least else DIFFERENCE
        point, ours = judged(rates, sizes, limit=limit, at_least=at_least, rng=rng)
        told = ", ".join(f"{rates.count(rate)} x {rate:.2f}" for rate in dict.fromkeys(rates))
        cells = [point, ours["pass"], ours["fail"]]
        gate = "ratio" if at_least else "difference"
        yield f"| {sizes_told(sizes)} | {told} | {gate} | {' | '.join(map(percent, cells))} |"


def misses(bounds: Bounds, truth: float) -> tuple[bool, bool]:
    lower, upper = bounds
    return (
        lower is not None and lower > truth + _EXACTLY,
        upper is not None and upper < truth - _EXACTLY,
    )


def coverage() -> Iterator[str]:
    yield "### Do the bounds hold together?\n"
    yield f"{COVERAGE_REPETITIONS:,} samples a row, seed {SEED + 3}; the standard error of 95 % is"
    yield f"{error(COVERAGE_REPETITIONS)} points. Rates are equal, or spread evenly over the two named. The"
    yield "second column: in how many samples *every* group's rate lies within its bounds"
    yield "(`group_bounds`). The others: how often a bound of the largest gap misses (lower / upper).\n"
    yield "| groups | rows | rates | all groups covered | difference misses | ratio misses |"
    yield "| ---: | --- | --- | ---: | ---: | ---: |"
    rng = np.random.default_rng(SEED + 3)
    for groups in (2, 6, 24):
        for told, sizes in (
            ("12 each", np.full(groups, 12)),
            ("200 each", np.full(groups, 200)),
            ("12 to 5,000", np.geomspace(5_000, 12, groups).astype(int)),
        ):
            for low, high in ((0.25, 0.25), (0.05, 0.05), (0.98, 0.98), (0.3, 0.6)):
                rates = np.linspace(low, high, groups)
                covered, missed = 0, np.zeros(4)
                for counts in rng.binomial(sizes, rates, size=(COVERAGE_REPETITIONS, groups)):
                    lower, upper = group_bounds(counts, sizes, LEVEL)
                    covered += bool((lower <= rates).all() and (upper >= rates).all())
                    difference = difference_of_counts(counts, sizes).estimate
                    ratio = ratio_of_counts(counts, sizes).estimate
                    missed += [
                        *misses(difference.at(LEVEL), high - low),
                        *misses(ratio.at(LEVEL), low / high),
                    ]
                share = [percent(part) for part in missed / COVERAGE_REPETITIONS]
                spread = f"{low}" if low == high else f"{low} to {high}"
                yield (
                    f"| {groups} | {told} | {spread} | {percent(covered / COVERAGE_REPETITIONS)} "
                    f"| {share[0]} / {share[1]} | {share[2]} / {share[3]} |"
                )


def equalized_odds() -> Iterator[str]:
    yield "### Equalized odds: the larger of two differences\n"
    yield f"{COVERAGE_REPETITIONS:,} samples a row, seed {SEED + 4}. How often a bound misses (lower /"
    yield "upper).\n"
    yield "| rows of the groups (30 % positive) | true gaps of TPR, FPR | misses |"
    yield "| --- | --- | ---: |"
    rng = np.random.default_rng(SEED + 4)
    for sizes in ([40, 40], [1_000, 12], [2_000, 2_000], [1_000, 300, 100, 50]):
        positives = np.maximum((0.3 * np.array(sizes)).astype(int), 1)
        for gaps in ((0.0, 0.0), (0.1, 0.1), (0.2, 0.0)):
            missed = np.zeros(2)
            rates = [
                np.linspace(start, start + gap, len(sizes))
                for start, gap in zip((0.6, 0.1), gaps, strict=True)
            ]
            for _ in range(COVERAGE_REPETITIONS):
                parts = [
                    difference_of_counts(rng.binomial(trials, rate), trials)
                    for trials, rate in zip((positives, sizes - positives), rates, strict=True)
                ]
                missed += misses(worst_of(parts, at_least=False).estimate.at(LEVEL), max(gaps))
            low, high = missed / COVERAGE_REPETITIONS
            yield f"| {sizes_told(sizes)} | {gaps[0]}, {gaps[1]} | {percent(low)} / {percent(high)} |"


def share_of(hits: Array, weights: Array | None, clusters: npt.NDArray[np.intp] | None) -> Estimate:
    design = design_of(hits.size, sample_weight=weights, groups=clusters)
    counted = share_of_weight(design, hits.size)
    estimate = proportion(float(counted @ hits), float(counted.sum()))
    return adjusted(estimate, hits - (estimate.value or 0.0), design)


def designs() -> Iterator[str]:
    yield "### Weights and clusters\n"
    yield f"{DESIGN_REPETITIONS:,} samples a row, seed {SEED + 5}; the standard error of 5 % is"
    yield f"{error(DESIGN_REPETITIONS)} points. Persons of 5 rows each (correlation .5 within a person),"
    yield "log-normal weights with a spread of 0.7. How often a bound of the largest gap misses (lower /"
    yield "upper), with the design (`difference_of_estimates`, `ratio_of_estimates`) and as if rows were"
    yield "independent and counted alike.\n"
    yield "| persons of the groups | rows | true rates | difference | ratio | difference, design ignored |"
    yield "| --- | --- | --- | ---: | ---: | ---: |"
    rng = np.random.default_rng(SEED + 5)
    for persons in ([100, 100], [400, 100, 40], [200, 20, 10]):
        for told, clustered, weighted in (
            ("clusters", True, False),
            ("weights", False, True),
            ("both", True, True),
        ):
            for low, high in ((0.25, 0.25), (0.1, 0.3), (0.95, 0.95)):
                rates = np.linspace(low, high, len(persons))
                missed = np.zeros(6)
                for _ in range(DESIGN_REPETITIONS):
                    drawn = [
                        drawn_persons(count, rate, clustered=clustered, weighted=weighted, rng=rng)
                        for count, rate in zip(persons, rates, strict=True)
                    ]
                    groups = [share_of(*one) for one in drawn]
                    hits, rows = [one[0].sum() for one in drawn], [one[0].size for one in drawn]
                    missed += [
                        *misses(difference_of_estimates(groups).estimate.at(LEVEL), high - low),
                        *misses(ratio_of_estimates(groups).estimate.at(LEVEL), low / high),
                        *misses(difference_of_counts(hits, rows).estimate.at(LEVEL), high - low),
                    ]
                share = [percent(part) for part in missed / DESIGN_REPETITIONS]
                spread = f"{low}" if low == high else f"{low} to {high}"
                yield (
                    f"| {', '.join(map(str, persons))} | {told} | {spread} | {share[0]} / {share[1]} "
                    f"| {share[2]} / {share[3]} | {share[4]} / {share[5]} |"
                )


def drawn_persons(
    count: int, rate: float, *, clustered: bool, weighted: bool, rng: Rng
) -> tuple[Array, Array | None, npt.NDArray[np.intp] | None]:
    person = np.repeat(np.arange(count), 5)
    chance = rng.beta(rate, 1 - rate, count)[person] if clustered else np.full(person.size, rate)
    hits = (rng.random(person.size) < chance).astype(float)
    weights = np.exp(0.7 * rng.standard_normal(person.size)) if weighted else None
    return hits, weights, person if clustered else None


def dependence() -> Iterator[str]:
    yield "### Groups that depend on each other\n"
    yield f"{DESIGN_REPETITIONS:,} samples a row, seed {SEED + 6}; the standard error of 5 % is"
    yield f"{error(DESIGN_REPETITIONS)} points. How often a bound of the largest difference misses (lower /"
    yield "upper): taken as independent, and with `independent=False`.\n"
    yield "| setting | true gap | taken as independent | any dependence |"
    yield "| --- | ---: | ---: | ---: |"
    for place, (told, draw, truth) in enumerate(
        (
            ("200 couples, one of each is selected", partial(couples, 200), 0.0),
            ("40 couples, one of each is selected", partial(couples, 40), 0.0),
            ("200 couples, one of each is selected", partial(couples, 200, chance=0.6), 0.2),
            ("40 couples, one of each is selected", partial(couples, 40, chance=0.6), 0.2),
            ("200 couples, both or none are selected", partial(couples, 200, opposed=False), 0.0),
            ("600 rows, each in about 2 of 6 groups", partial(several_valued, 600, 0.0), 0.0),
            ("60 rows, each in about 2 of 6 groups", partial(several_valued, 60, 0.0), 0.0),
            ("600 rows, each in about 2 of 6 groups", partial(several_valued, 600, 0.3), None),
        )
    ):
        rng = np.random.default_rng(SEED + 6 + place)
        gap = true_gap(draw) if truth is None else truth
        missed = np.zeros(4)
        for _ in range(DESIGN_REPETITIONS):
            groups = [proportion(float(hits.sum()), hits.size) for hits in draw(rng)]
            for at, independent in ((0, True), (2, False)):
                bounds = difference_of_estimates(groups, independent=independent).estimate.at(LEVEL)
                missed[at : at + 2] += misses(bounds, gap)
        share = [percent(part) for part in missed / DESIGN_REPETITIONS]
        yield f"| {told} | {gap:.2f} | {share[0]} / {share[1]} | {share[2]} / {share[3]} |"


def couples(count: int, rng: Rng, *, chance: float = 0.5, opposed: bool = True) -> list[Array]:
    first = rng.random(count) < chance
    return [first.astype(float), (~first if opposed else first).astype(float)]


def several_valued(rows: int, slope: float, rng: Rng) -> list[Array]:
    """Draw groups that share rows; membership in a later group raises the chance of a hit by more."""
    member = rng.random((rows, 6)) < np.linspace(0.5, 0.15, 6)
    chance = 0.3 + slope * (member * np.linspace(0, 0.5, 6)).sum(axis=1)
    hits = (rng.random(rows) < chance).astype(float)
    return [hits[of_group] for of_group in member.T]


def true_gap(draw: Callable[[Rng], list[Array]]) -> float:
    rng = np.random.default_rng(SEED)
    draws = [draw(rng) for _ in range(5_000)]
    means = [float(np.concatenate(groups).mean()) for groups in zip(*draws, strict=True)]
    return max(means) - min(means)


def plans() -> Iterator[str]:
    yield "### Do the planned rows decide?\n"
    yield f"{PLAN_REPETITIONS} samples a row, seed {SEED + 20}; the standard error of 90 % is"
    yield f"{error(PLAN_REPETITIONS, 0.9)} points. A plan says how many times the rows decide with a"
    yield "probability of 90 %, if the observed rates are the true ones: all groups growing alike, or only"
    yield "those that are named. So many rows were drawn.\n"
    yield "| rows of the groups | rates | gate | all grow by | decided | named grow by | decided |"
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: |"
    rng = np.random.default_rng(SEED + 20)
    for sizes, rates in (
        ([200] * 2, [0.3] * 2),
        ([200] * 6, [0.3] * 6),
        ([100] * 24, [0.3] * 24),
        ([5_000] * 9 + [60], [0.3] * 10),
        ([5_000] * 8 + [60] * 2, [0.3] * 10),
        ([300] * 4, [0.3, 0.3, 0.3, 0.36]),
        ([300, 300, 60], [0.3, 0.3, 0.6]),
    ):
        for limit, at_least in ((DIFFERENCE, False), (RATIO, True)):
            yield planned_row(np.array(sizes), np.array(rates), limit, at_least=at_least, rng=rng)


def planned_row(sizes: npt.NDArray[np.int64], rates: Array, limit: float, *, at_least: bool, rng: Rng) -> str:
    of: Callable[..., Gap] = ratio_of_counts if at_least else difference_of_counts
    gap = of(rates * sizes, sizes)
    growth = growth_to_decide(gap.estimate, limit, at_least=at_least, confidence_level=LEVEL) or math.nan
    alone = gap.needs(limit, LEVEL)

    def decided(grown: Array) -> str:
        rows = np.ceil(grown).astype(int)
        drawn = rng.binomial(rows, rates, size=(PLAN_REPETITIONS, sizes.size))
        found = [verdict(of(counts, rows).estimate.at(LEVEL), limit, at_least=at_least) for counts in drawn]
        return percent(1 - found.count("inconclusive") / PLAN_REPETITIONS)

    grown = sizes.astype(float)
    for group, factor in alone.items():
        grown[group] *= factor or math.nan
    told = ", ".join(f"{list(rates).count(rate)} x {rate}" for rate in dict.fromkeys(rates.tolist()))
    rows = ", ".join(f"{list(sizes).count(size)} x {size:,}" for size in dict.fromkeys(sizes.tolist()))
    gate = "ratio" if at_least else "difference"
    factors = [factor or math.nan for factor in alone.values()]
    named = (
        f"{max(factors):.1f} ({len(factors)} of {sizes.size}) | {decided(grown)}" if factors else "decided |"
    )
    return f"| {rows} | {told} | {gate} | {growth:.1f} | {decided(sizes * growth)} | {named} |"


PARTS = {
    part.__name__: part
    for part in (
        fair_model,
        small_group,
        on_the_limit,
        coverage,
        equalized_odds,
        designs,
        dependence,
        plans,
    )
}


def marks(part: str) -> tuple[str, str]:
    return (
        f"<!-- begin: benchmarks/fairness_errors.py {part} -->",
        f"<!-- end: benchmarks/fairness_errors.py {part} -->",
    )


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
            print(text, flush=True)
            continue
        put(options.write, f"benchmarks/fairness_errors.py {part}", text)


if __name__ == "__main__":
    main()
