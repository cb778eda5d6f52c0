"""Gaps against brute force over pairs, by simulation, and by what must not change them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.comparison import difference_bounds, ratio_bounds
from pytest_prodml.statistics.design import adjusted, design_of
from pytest_prodml.statistics.estimate import Bounds, Estimate, decided, growth_to_decide, not_estimable
from pytest_prodml.statistics.gaps import (
    Gap,
    difference_of_counts,
    difference_of_estimates,
    group_bounds,
    ratio_of_counts,
    ratio_of_estimates,
    worst_of,
)
from pytest_prodml.statistics.intervals import clopper_pearson, mean, proportion

OfCounts = Callable[..., Gap]

#: Large counts get limits that are up to 0.35 % of their distance wider than the exact ones.
WIDER = 4e-3

counts_of_groups = st.lists(
    st.integers(0, 90).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=2, max_size=6
)
filled_groups = st.lists(
    st.integers(1, 90).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=2, max_size=6
)
levels = st.sampled_from([0.8, 0.9, 0.95, 0.99])


def split(counts: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [k for k, _ in counts], [n for _, n in counts]


def known(bounds: Bounds) -> tuple[float, float]:
    lower, upper = bounds
    assert lower is not None
    assert upper is not None
    return lower, upper


def outcome(gap: Gap, limit: float, *, at_least: bool, level: float = 0.95) -> str:
    lower, upper = gap.estimate.at(level)
    if at_least:
        return "pass" if lower is not None and lower >= limit else "fail" if (upper or 1) < limit else "open"
    return "pass" if upper is not None and upper <= limit else "fail" if (lower or 0) > limit else "open"


# --- against brute force ------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(filled_groups, levels)
def test_every_pair_was_looked_at(counts: list[tuple[int, int]], level: float) -> None:
    successes, trials = split(counts)
    pairs = list(itertools.permutations(counts, 2))
    corrected = 1 - (1 - level) / len(pairs)
    gap = difference_of_counts(successes, trials)
    lower, upper = known(gap.estimate.at(level))
    rates = [k / n for k, n in counts]
    assert gap.estimate.value == pytest.approx(max(rates) - min(rates))
    assert upper == pytest.approx(max(float(difference_bounds(*a, *b, level)[1]) for a, b in pairs))
    expected = max(float(difference_bounds(*a, *b, corrected)[0]) for a, b in pairs)
    assert lower == pytest.approx(max(expected, 0.0), abs=1e-12)
    if max(rates) == 0:
        assert ratio_of_counts(successes, trials).estimate.value is None
        return
    gap = ratio_of_counts(successes, trials)
    lower, upper = known(gap.estimate.at(level))
    assert gap.estimate.value == pytest.approx(min(rates) / max(rates))
    assert lower == pytest.approx(min(float(ratio_bounds(*a, *b, level)[0]) for a, b in pairs), abs=1e-12)
    expected = min(float(ratio_bounds(*a, *b, corrected)[1]) for a, b in pairs)
    assert upper == pytest.approx(min(expected, 1.0))


@settings(max_examples=40)
@given(filled_groups, levels)
def test_estimates_of_proportions_are_the_counts(counts: list[tuple[int, int]], level: float) -> None:
    successes, trials = split(counts)
    estimates = [proportion(k, n) for k, n in counts]
    for of_counts, of_estimates in (
        (difference_of_counts, difference_of_estimates),
        (ratio_of_counts, ratio_of_estimates),
    ):
        one, other = of_counts(successes, trials), of_estimates(estimates)
        assert (one.estimate.value, one.highest, one.lowest) == (
            other.estimate.value,
            other.highest,
            other.lowest,
        )
        assert one.estimate.at(level) == pytest.approx(other.estimate.at(level), abs=1e-9)


def test_large_counts_are_never_narrower_and_hardly_wider() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        trials = rng.integers(300, 100_000, 8)
        successes = rng.binomial(trials, rng.uniform(0.01, 0.99, 8))
        fast = known(difference_of_counts(successes, trials).estimate.at(0.95))
        exact = known(
            difference_of_estimates(
                [proportion(int(k), int(n)) for k, n in zip(successes, trials, strict=True)]
            ).estimate.at(0.95)
        )
        value = float(np.ptp(successes / trials))
        assert fast[1] >= exact[1] - 1e-12
        assert fast[0] <= exact[0] + 1e-12
        assert fast[1] - value <= (exact[1] - value) * (1 + WIDER)


@settings(max_examples=40)
@given(filled_groups, levels)
def test_any_dependence_adds_the_bounds_of_both(counts: list[tuple[int, int]], level: float) -> None:
    estimates = [proportion(k, n) for k, n in counts]
    half, each = 1 - (1 - level) / 2, 1 - (1 - level) / (2 * len(counts))
    low, high = zip(*(known(estimate.at(half)) for estimate in estimates), strict=True)
    far_low, far_high = zip(*(known(estimate.at(each)) for estimate in estimates), strict=True)
    pairs = list(itertools.permutations(range(len(counts)), 2))
    lower, upper = known(difference_of_estimates(estimates, independent=False).estimate.at(level))
    assert upper == pytest.approx(max(high[i] - low[j] for i, j in pairs))
    assert lower == pytest.approx(max(0.0, max(far_low) - min(far_high)))
    alone = known(difference_of_estimates(estimates).estimate.at(level))
    assert lower <= alone[0] + 1e-9 or len(counts) > 2  # of many groups, all groups are fewer than all pairs
    if any(k for k, _ in counts):
        lower, upper = known(ratio_of_estimates(estimates, independent=False).estimate.at(level))
        assert lower == pytest.approx(min(low[i] / high[j] for i, j in pairs))
        expected = min(far_high[i] / far_low[j] if far_low[j] > 0 else math.inf for i, j in pairs)
        assert upper == pytest.approx(min(1.0, expected))


# --- what must not matter, what must ------------------------------------------------------------------------


@settings(max_examples=40)
@given(counts_of_groups, st.randoms(use_true_random=False), st.sampled_from([0.05, 0.3]))
def test_the_order_of_groups_does_not_matter(
    counts: list[tuple[int, int]], random: object, limit: float
) -> None:
    order = list(range(len(counts)))
    random.shuffle(order)  # type: ignore[attr-defined]
    moved = [counts[place] for place in order]
    for of_counts, bound in ((difference_of_counts, limit), (ratio_of_counts, 1 - limit)):
        one, other = of_counts(*split(counts)), of_counts(*split(moved))
        assert one.estimate.at(0.95) == pytest.approx(other.estimate.at(0.95))
        assert {order[group] for group in other.empty} == set(one.empty)
        if one.estimate.value is None:
            continue
        needs, other_needs = one.needs(bound, 0.95), other.needs(bound, 0.95)
        values = [k / n if n else math.nan for k, n in counts]
        exceeding = one.estimate.value > bound if of_counts is difference_of_counts else False
        if len(set(counts)) == len(counts) and not exceeding and len(set(values)) == len(values):
            assert {order[group] for group in other_needs} == set(needs)


@settings(max_examples=40)
@given(filled_groups)
def test_more_certain_is_wider(counts: list[tuple[int, int]]) -> None:
    for of_counts in (difference_of_counts, ratio_of_counts):
        gap = of_counts(*split(counts))
        if gap.estimate.value is None:
            continue
        found = [known(gap.estimate.at(level)) for level in (0.6, 0.8, 0.95, 0.99, 0.9999)]
        for (low, high), (lower, higher) in itertools.pairwise(found):
            assert lower <= low + 1e-12
            assert high <= higher + 1e-12
        assert found[0][0] <= gap.estimate.value + 1e-12
        assert gap.estimate.value <= found[0][1] + 1e-12


@settings(max_examples=40)
@given(filled_groups, st.integers(2, 50))
def test_more_rows_are_narrower(counts: list[tuple[int, int]], times: int) -> None:
    more = [(k * times, n * times) for k, n in counts]
    for of_counts in (difference_of_counts, ratio_of_counts):
        few, many = of_counts(*split(counts)), of_counts(*split(more))
        if few.estimate.value is None:
            continue
        assert many.estimate.value == pytest.approx(few.estimate.value)
        (low, high), (lower, higher) = known(few.estimate.at(0.95)), known(many.estimate.at(0.95))
        assert low <= lower + 1e-9
        assert higher <= high + 1e-9


@settings(max_examples=40)
@given(filled_groups)
def test_one_more_group_can_only_widen_what_must_be_kept(counts: list[tuple[int, int]]) -> None:
    fewer, all_of_them = counts[:-1], counts
    if len(fewer) < 2:
        return
    one, other = difference_of_counts(*split(fewer)), difference_of_counts(*split(all_of_them))
    assert known(one.estimate.at(0.95))[1] <= known(other.estimate.at(0.95))[1] + 1e-12


def test_the_highest_and_the_lowest_group_are_named() -> None:
    gap = difference_of_counts([5, 0, 30, 1], [10, 0, 40, 10])
    assert (gap.highest, gap.lowest, gap.empty) == (2, 3, (1,))


# --- zero, nothing, and wrong -------------------------------------------------------------------------------


def test_a_rate_of_zero_stays_in_the_ratio() -> None:
    """8 % against 0 %: a peer drops the zero and passes."""
    gap = ratio_of_counts([80, 0], [1_000, 1_000])
    assert gap.estimate.value == 0
    assert outcome(gap, 0.8, at_least=True) == "fail"
    assert known(gap.estimate.at(0.95))[1] < 0.06
    assert outcome(ratio_of_counts([80, 0, 79], [1_000, 1_000, 1_000]), 0.8, at_least=True) == "fail"
    small = ratio_of_counts([80, 0], [1_000, 12])
    assert outcome(small, 0.8, at_least=True) == "open"
    (needed,) = small.needs(0.8, 0.95).values()
    assert needed is not None
    assert outcome(ratio_of_counts([80, 0], [1_000, math.ceil(12 * needed)]), 0.8, at_least=True) == "fail"


def test_zero_against_zero_is_no_ratio_and_no_difference() -> None:
    gap = ratio_of_counts([0, 0], [500, 500])
    assert gap.estimate.value is None
    assert gap.estimate.note == "no group has a value above 0, so the ratio is not defined"
    assert gap.estimate.at(0.95) == (None, None)
    assert dict(gap.needs(0.8, 0.95)) == {}
    assert outcome(difference_of_counts([0, 0], [500, 500]), 0.1, at_least=False) == "pass"


def test_a_group_without_trials_is_not_zero() -> None:
    fair = difference_of_counts([300, 300, 0], [1_000, 1_000, 0])
    assert (fair.estimate.value, fair.empty) == (0, (2,))
    assert fair.estimate.at(0.95) == (0, None)
    assert outcome(fair, 0.1, at_least=False) == "open"
    ratio = ratio_of_counts([300, 300, 0], [1_000, 1_000, 0])
    assert ratio.estimate.at(0.95)[0] is None
    broken = difference_of_counts([300, 900, 0], [1_000, 1_000, 0])
    assert outcome(broken, 0.1, at_least=False) == "fail"
    assert outcome(ratio_of_counts([300, 900, 0], [1_000, 1_000, 0]), 0.8, at_least=True) == "fail"
    # No growth of the other groups decides it.
    assert growth_to_decide(fair.estimate, 0.1, at_least=False, confidence_level=0.95) is None


@pytest.mark.parametrize(("successes", "trials"), [([], []), ([3], [4]), ([0, 5], [0, 5])])
def test_nothing_to_compare(successes: list[int], trials: list[int]) -> None:
    for of_counts in (difference_of_counts, ratio_of_counts):
        gap = of_counts(successes, trials)
        assert gap.estimate.value is None
        assert gap.estimate.note == "fewer than two groups have a value"
        assert (gap.highest, gap.lowest) == (None, None)


@pytest.mark.parametrize(
    ("successes", "trials"),
    [([1], [1, 2]), ([3, 1], [2, 2]), ([-1, 1], [2, 2]), ([[1]], [[2]]), ([math.nan, 1], [2, 2])],
)
def test_wrong_counts(successes: list[int], trials: list[int]) -> None:
    for of_counts in (difference_of_counts, ratio_of_counts):
        with pytest.raises(InputError, match="counts"):
            of_counts(successes, trials)
    with pytest.raises(InputError, match="counts"):
        group_bounds(successes, trials, 0.95)


def test_wrong_estimates() -> None:
    with pytest.raises(InputError, match="not negative, got -1"):
        ratio_of_estimates([mean([-1.0, -1.5, -0.5]), mean([1.0, 2.0])])
    endless = Estimate(value=math.inf, method="none", bounds=lambda *_: (None, None))
    with pytest.raises(InputError, match="finite"):
        difference_of_estimates([endless, proportion(1, 2)])
    with pytest.raises(InputError, match="no gap"):
        worst_of([], at_least=False)


def test_estimates_without_bounds_leave_the_claim_open() -> None:
    endless = Estimate(value=0.5, method="none", bounds=lambda *_: (None, None))
    gap = difference_of_estimates([proportion(450, 500), endless, proportion(100, 500)])
    lower, upper = gap.estimate.at(0.95)
    assert upper is None
    assert lower is not None
    assert lower > 0.5  # the others prove it
    ratio = ratio_of_estimates([proportion(450, 500), endless])
    assert ratio.estimate.at(0.95)[0] is None
    assert difference_of_estimates([endless, endless]).estimate.at(0.95) == (None, None)
    half = Estimate(value=0.5, method="none", bounds=lambda *_: (0.4, None))
    assert difference_of_estimates([half, proportion(5, 10)]).estimate.at(0.95)[1] is None
    without = difference_of_estimates([proportion(9, 10), not_estimable("none", "no"), proportion(9, 10)])
    assert (without.empty, without.estimate.value) == ((1,), 0)


def test_ratios_of_means_with_bounds_below_zero() -> None:
    rng = np.random.default_rng(1)
    few = mean(np.abs(rng.standard_normal(3)))
    gap = ratio_of_estimates([few, mean(np.abs(rng.standard_normal(500)))])
    lower, upper = known(gap.estimate.at(0.99))
    assert (lower, upper) == (0.0, 1.0)


# --- error rates --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rates", "sizes"),
    [
        ((0.3, 0.3, 0.3, 0.3), (400, 150, 60, 25)),
        ((0.3, 0.3, 0.4, 0.2), (400, 150, 60, 25)),
        ((0.9, 0.5, 0.5, 0.5), (400, 150, 60, 25)),
        ((0.25,) * 2, (1_000, 12)),
        ((0.05,) * 24, (12, 40, 400) * 8),
    ],
)
def test_bounds_hold_together(rates: tuple[float, ...], sizes: tuple[int, ...]) -> None:
    """Tolerance: 5 % and three standard errors of 500 samples. docs/explanation/fairness.md has more."""
    rng = np.random.default_rng(1)
    runs, truth = 500, np.array(rates)
    gap, ratio = max(rates) - min(rates), min(rates) / max(rates)
    missed = np.zeros(5)
    for counts in rng.binomial(sizes, rates, size=(runs, len(sizes))):
        difference = difference_of_counts(counts, sizes).estimate.at(0.95)
        quotient = ratio_of_counts(counts, sizes).estimate.at(0.95)
        lower, upper = group_bounds(counts, sizes, 0.95)
        missed += [
            (difference[0] or 0) > gap + 1e-12,
            (1 if difference[1] is None else difference[1]) < gap - 1e-12,
            (quotient[0] or 0) > ratio + 1e-12,
            (1 if quotient[1] is None else quotient[1]) < ratio - 1e-12,
            bool(((lower > truth) | (upper < truth)).any()),
        ]
    assert (missed / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)).all()


def test_a_fair_model_is_not_accused() -> None:
    """The four-fifths rule on the point values accuses it in 88 % of the samples."""
    rng = np.random.default_rng(2)
    sizes = [500, 100, 50, 20]
    drawn = rng.binomial(sizes, 0.25, size=(600, 4))
    gaps = [ratio_of_counts(counts, sizes) for counts in drawn]
    assert np.mean([gap.estimate.value is not None and gap.estimate.value < 0.8 for gap in gaps]) > 0.8
    assert np.mean([outcome(gap, 0.8, at_least=True) == "fail" for gap in gaps]) <= 0.05


def couples(rng: np.random.Generator, chance: float) -> list[npt.NDArray[np.bool_]]:
    """One of each couple is selected: the groups are as dependent as can be."""
    first = rng.random(150) < chance
    return [first, ~first]


@pytest.mark.parametrize("chance", [0.5, 0.6])
def test_dependent_groups_keep_their_level(chance: float) -> None:
    rng = np.random.default_rng(4)
    gap, runs = 2 * chance - 1, 400
    missed = {True: np.zeros(2), False: np.zeros(2)}
    for _ in range(runs):
        groups = [proportion(int(hits.sum()), hits.size) for hits in couples(rng, chance)]
        for independent, found in missed.items():
            lower, upper = known(difference_of_estimates(groups, independent=independent).estimate.at(0.95))
            found += [lower > gap + 1e-12, upper < gap - 1e-12]
    assert (missed[False] / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)).all()
    assert np.max(missed[True] / runs) > 0.08  # which is why it has to be said


def test_clusters_within_groups() -> None:
    rng = np.random.default_rng(5)
    runs, missed, ignored = 200, np.zeros(2), np.zeros(2)
    rates = (0.2, 0.4)
    for _ in range(runs):
        groups, counts = [], []
        for rate in rates:
            person = np.repeat(np.arange(80), 5)
            hits = (rng.random(400) < rng.beta(rate, 1 - rate, 80)[person]).astype(float)
            estimate = proportion(float(hits.sum()), 400)
            groups.append(adjusted(estimate, hits - hits.mean(), design_of(400, groups=person)))
            counts.append(int(hits.sum()))
        for found, gap in (
            (missed, difference_of_estimates(groups)),
            (ignored, difference_of_counts(counts, [400, 400])),
        ):
            lower, upper = known(gap.estimate.at(0.95))
            found += [lower > 0.2, upper < 0.2]
    assert (missed / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)).all()
    assert np.max(ignored / runs) > 0.08


def test_group_bounds() -> None:
    lower, upper = group_bounds([5, 0, 0, 10], [10, 0, 10, 10], 0.95)
    each = (1 + 0.95 ** (1 / 3)) / 2
    exact = clopper_pearson([5, 0, 10], [10, 10, 10], each)
    assert np.isnan([lower[1], upper[1]]).all()
    assert lower[[0, 2, 3]] == pytest.approx(exact[0])
    assert upper[[0, 2, 3]] == pytest.approx(exact[1])
    nothing = group_bounds([], [], 0.95)
    assert nothing[0].size == nothing[1].size == 0


# --- the worst of several -----------------------------------------------------------------------------------


def test_equalized_odds() -> None:
    tpr = difference_of_counts([80, 40], [100, 50])
    fpr = difference_of_counts([10, 30], [200, 100])
    worst = worst_of([tpr, fpr], at_least=False)
    assert worst.estimate.value == pytest.approx(0.25)
    assert (worst.highest, worst.lowest) == (1, 0)
    lower, upper = known(worst.estimate.at(0.95))
    assert upper == max(known(tpr.estimate.at(0.95))[1], known(fpr.estimate.at(0.95))[1])
    assert lower == max(known(tpr.estimate.at(0.975))[0], known(fpr.estimate.at(0.975))[0])
    assert dict(worst.needs(0.1, 0.95)) == {}  # proven broken
    ratios = [ratio_of_counts([80, 40], [100, 50]), ratio_of_counts([10, 30], [200, 100])]
    smallest = worst_of(ratios, at_least=True)
    assert smallest.estimate.value == pytest.approx(1 / 6)
    lower, upper = known(smallest.estimate.at(0.95))
    assert lower == min(known(gap.estimate.at(0.95))[0] for gap in ratios)
    assert upper == min(known(gap.estimate.at(0.975))[1] for gap in ratios)


def test_the_worst_of_gaps_that_can_not_be_told() -> None:
    known_gap, nothing = difference_of_counts([80, 40], [100, 50]), difference_of_counts([3, 0], [5, 0])
    half = worst_of([known_gap, nothing], at_least=False)
    assert half.estimate.value == 0
    assert half.estimate.at(0.95)[1] is None
    assert half.empty == (1,)
    none = worst_of([nothing, nothing], at_least=False)
    assert none.estimate.value is None
    assert dict(none.needs(0.1, 0.95)) == {}
    broken = worst_of([difference_of_counts([80, 10], [100, 100]), nothing], at_least=False)
    assert outcome(broken, 0.1, at_least=False) == "fail"


def test_what_the_worst_gap_needs() -> None:
    small, large = difference_of_counts([30, 6], [100, 20]), difference_of_counts([300, 900], [1_000, 3_000])
    worst = worst_of([small, large], at_least=False)
    assert worst.needs(0.1, 0.95) == small.needs(0.1, 0.95)
    open_ended = worst_of([difference_of_counts([50, 60], [100, 100]), small], at_least=False)
    assert open_ended.needs(0.1, 0.95)[0] is None
    # Beyond the limit, one proven gap decides: the one that needs least.
    far, near = difference_of_counts([20, 8], [100, 20]), difference_of_counts([20, 7], [100, 20])
    beyond = worst_of([near, large, far], at_least=False)
    level = 1 - 0.05 / 3
    assert beyond.needs(0.1, 0.95) == far.needs(0.1, level) != near.needs(0.1, level)


# --- plans --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_least", [False, True])
@pytest.mark.parametrize(
    ("rates", "sizes"),
    [
        ((0.3, 0.3), (200, 200)),
        ((0.3,) * 12, (100,) * 12),
        ((0.3,) * 6, (5_000,) * 5 + (60,)),
        ((0.3, 0.3, 0.5), (300, 300, 20)),
    ],
)
def test_planned_growth_decides(rates: tuple[float, ...], sizes: tuple[int, ...], at_least: bool) -> None:
    """With a probability of 90 %, however many pairs have to be proven; 250 samples, four standard errors."""
    of_counts: OfCounts = ratio_of_counts if at_least else difference_of_counts
    limit = 0.8 if at_least else 0.06
    n, p = np.array(sizes), np.array(rates)
    gap = of_counts(p * n, n)
    growth = growth_to_decide(gap.estimate, limit, at_least=at_least, confidence_level=0.95)
    assert growth is not None
    grown = n.astype(float)
    for group, factor in gap.needs(limit, 0.95).items():
        assert factor is not None
        grown[group] *= factor
    rng = np.random.default_rng(6)
    for planned in (n * growth, grown):
        rows = np.ceil(planned).astype(int)
        found = [
            decided(of_counts(counts, rows).estimate.at(0.95), limit, at_least=at_least)
            for counts in rng.binomial(rows, p, size=(250, n.size))
        ]
        assert np.mean(found) >= 0.9 - 4 * math.sqrt(0.09 / 250)
    assert not decided(gap.estimate.at(0.95), limit, at_least=at_least)


def test_the_small_group_is_named() -> None:
    gap = difference_of_counts([900, 2_300, 36], [1_200, 3_000, 45])
    assert outcome(gap, 0.12, at_least=False) == "open"
    needs = gap.needs(0.12, 0.95)
    assert set(needs) == {2}
    assert needs[2] == pytest.approx(7, abs=2)


def test_alike_groups_must_grow_together() -> None:
    gap = difference_of_counts([500, 500], [1_000, 1_000])
    growth = growth_to_decide(gap.estimate, 0.02, at_least=False, confidence_level=0.95)
    # (1.645 + 1.645)^2 * 2 * 0.25 / 0.02^2: both directions share the tenth that the plan may miss.
    assert growth == pytest.approx(13.5, rel=0.03)
    assert gap.needs(0.02, 0.95) == {0: pytest.approx(growth, rel=0.02), 1: pytest.approx(growth, rel=0.02)}


def test_on_the_limit_no_size_decides() -> None:
    gap = difference_of_counts([50, 60], [100, 100])
    assert growth_to_decide(gap.estimate, 0.1, at_least=False, confidence_level=0.95) is None
    assert gap.needs(0.1, 0.95) == {0: None, 1: None}


def test_decided_gaps_need_nothing() -> None:
    assert dict(difference_of_counts([500, 500], [1_000, 1_000]).needs(0.1, 0.95)) == {}
    assert dict(difference_of_counts([500, 900], [1_000, 1_000]).needs(0.1, 0.95)) == {}
    assert dict(ratio_of_counts([500, 500], [1_000, 1_000]).needs(0.8, 0.95)) == {}
    assert dict(ratio_of_counts([80, 0], [1_000, 1_000]).needs(0.8, 0.95)) == {}


def test_one_proven_pair_decides_so_only_the_easiest_is_named() -> None:
    gap = difference_of_counts([30, 20, 12], [100, 100, 30])
    needs = gap.needs(0.05, 0.95)
    assert 1 <= len(needs) <= 2
    assert 1 in needs


def test_plans_of_estimates_are_those_of_counts() -> None:
    """The power law through two points against closed forms."""
    successes, trials = [900, 2_300, 18], [3_000, 8_000, 60]
    estimates = [proportion(k, n) for k, n in zip(successes, trials, strict=True)]
    for of_counts, of_estimates, limit in (
        (difference_of_counts, difference_of_estimates, 0.1),
        (ratio_of_counts, ratio_of_estimates, 0.8),
    ):
        one, other = of_counts(successes, trials), of_estimates(estimates)
        at_least = limit == 0.8
        growths = [
            growth_to_decide(gap.estimate, limit, at_least=at_least, confidence_level=0.95)
            for gap in (one, other)
        ]
        assert growths[0] is not None
        assert growths[1] == pytest.approx(growths[0], rel=0.1)
        needs = one.needs(limit, 0.95)
        assert other.needs(limit, 0.95) == {
            group: pytest.approx(factor, rel=0.15) for group, factor in needs.items()
        }


def test_a_plan_asks_estimates_only_twice_a_level() -> None:
    asked = []

    def bounds(level: float, growth: float, power: float) -> Bounds:
        asked.append((level, growth, power))
        half = level / math.sqrt(growth) / 10
        return 0.5 - half, 0.5 + half

    costly = Estimate(value=0.5, method="costly", bounds=bounds)
    gap = difference_of_estimates([costly, costly])
    assert growth_to_decide(gap.estimate, 0.02, at_least=False, confidence_level=0.95) is not None
    gap.needs(0.02, 0.95)
    assert len(asked) < 100
    assert {growth for _, growth, _ in asked} == {1.0, 64.0}


def test_too_few_clusters_are_planned_for() -> None:
    """Limits that exist only with more data: the plan takes those."""

    def bounds(level: float, growth: float, _power: float) -> Bounds:
        if growth < 2:
            return None, None
        return 0.5 - level / math.sqrt(growth), 0.5 + level / math.sqrt(growth)

    few = Estimate(value=0.5, method="few", bounds=bounds)
    gap = difference_of_estimates([few, few])
    assert gap.estimate.at(0.95) == (None, None)
    growth = growth_to_decide(gap.estimate, 0.1, at_least=False, confidence_level=0.95)
    assert growth is not None
    assert growth > 100


@settings(max_examples=40)
@given(filled_groups, st.floats(0.01, 0.9))
def test_needs_are_told_exactly_while_undecided(counts: list[tuple[int, int]], limit: float) -> None:
    for of_counts, at_least in ((difference_of_counts, False), (ratio_of_counts, True)):
        gap = of_counts(*split(counts))
        if gap.estimate.value is None:
            continue
        needs = gap.needs(limit, 0.95)
        assert bool(needs) == (outcome(gap, limit, at_least=at_least) == "open")
        assert all(factor is None or factor >= 1 for factor in needs.values())
        assert set(needs) <= set(range(len(counts)))
