"""Weights and clusters: what they cost, and that bounds keep their level with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.design import (
    LEAST_CLUSTERS,
    Design,
    adjusted,
    design_effect,
    design_of,
    share_of_weight,
)
from pytest_prodml.statistics.estimate import Estimate, growth_to_decide
from pytest_prodml.statistics.intervals import clopper_pearson, proportion

Array = npt.NDArray[np.float64]


def share(hits: Array, design: Design) -> Estimate:
    weights = share_of_weight(design, hits.size)
    estimate = proportion(float(weights @ hits), float(weights.sum()))
    assert estimate.value is not None
    return adjusted(estimate, hits - estimate.value, design)


def width(estimate: Estimate) -> float:
    lower, upper = estimate.at(0.95)
    assert lower is not None
    assert upper is not None
    return upper - lower


def test_a_simple_design_changes_nothing() -> None:
    estimate = proportion(40, 50)
    assert adjusted(estimate, np.zeros(50), Design()) is estimate
    assert design_of(3).is_simple
    assert design_of(3, sample_weight=[2, 2, 2]).is_simple
    assert design_of(3, groups=["a", "b", "c"]).is_simple
    assert design_of(0, sample_weight=[], groups=[]).is_simple
    assert not design_of(3, groups=["a", "b", "b"]).is_simple


@given(
    st.lists(st.just(0.0) | st.floats(0.01, 10), min_size=1, max_size=50).filter(any), st.floats(0.01, 100)
)
def test_shares_sum_to_the_rows_whatever_the_scale(weights: list[float], scale: float) -> None:
    n = len(weights)
    shares = share_of_weight(design_of(n, sample_weight=weights), n)
    scaled = share_of_weight(design_of(n, sample_weight=np.array(weights) * scale), n)
    assert shares.sum() == pytest.approx(n)
    assert shares == pytest.approx(scaled)


def test_copies_of_rows_are_worth_no_more_than_the_rows() -> None:
    """Each of 40 rows five times: the bounds are those of 40 rows, up to the unknown design effect."""
    hits = (np.arange(40) % 5 > 0).astype(np.float64)
    copied = share(np.repeat(hits, 5), design_of(200, groups=np.repeat(np.arange(40), 5)))
    lower, upper = copied.at(0.95)
    exact = proportion(32, 40).at(0.95)
    assert lower is not None
    assert exact[0] is not None
    assert exact[0] - 0.03 < lower < exact[0]
    assert copied.note == "40 clusters, worth 39.0 independent rows of 200"
    assert copied.method == "Clopper-Pearson, effective n"
    assert upper is not None


def test_independent_rows_in_clusters_lose_little() -> None:
    hits = (np.random.default_rng(1).random(1_000) < 0.8).astype(np.float64)
    clustered = share(hits, design_of(1_000, groups=np.arange(1_000) // 5))
    simple = proportion(float(hits.sum()), 1_000)
    assert width(simple) <= width(clustered) < 1.1 * width(simple)


def test_without_errors_clusters_count_and_not_rows() -> None:
    """20 clusters of five right rows prove what 20 right rows do, and no 100."""
    perfect = share(np.ones(100), design_of(100, groups=np.repeat(np.arange(20), 5)))
    assert perfect.at(0.95)[0] == pytest.approx(0.05 ** (1 / 20))
    uneven = share(np.ones(100), design_of(100, groups=np.repeat([0, 1, 2, 3, 4, 5], [95, 1, 1, 1, 1, 1])))
    assert uneven.at(0.95)[0] == pytest.approx(0.05 ** ((95**2 + 5) / 100**2))


def test_perfect_with_weights_is_worth_kishs_rows() -> None:
    weights = np.arange(1.0, 51.0)
    kish = weights.sum() ** 2 / (weights**2).sum()
    estimate = share(np.ones(50), design_of(50, sample_weight=weights))
    assert estimate.at(0.95)[0] == pytest.approx(0.05 ** (1 / kish))


def test_the_effect_of_korn_and_graubard() -> None:
    """By the definition: clusters of three with the same value, every value independent."""
    rng = np.random.default_rng(2)
    hits = np.repeat((rng.random(60) < 0.7).astype(np.float64), 3)
    influence = hits - hits.mean()
    effect = design_effect(influence, design_of(180, groups=np.repeat(np.arange(60), 3)))
    sums = influence.reshape(60, 3).sum(axis=1)
    assert effect.clusters == 60
    assert effect.ratio == pytest.approx(60 / 59 * (sums**2).sum() / (influence**2).sum())
    assert effect.degrees == pytest.approx((sums**2).sum() ** 2 / (sums**4).sum())
    estimate = adjusted(
        proportion(float(hits.sum()), 180), influence, design_of(180, groups=np.repeat(np.arange(60), 3))
    )
    shrunk = (student.ppf(0.95, 179) / student.ppf(0.95, effect.degrees)) ** 2
    rows = 180 / effect.ratio * shrunk
    assert estimate.at(0.95)[0] == pytest.approx(
        float(clopper_pearson(hits.mean() * rows, rows, 0.95)[0]), rel=1e-6
    )


def test_weights_alone_never_help() -> None:
    """A sample whose errors have small weights by luck is no better known than Kish's rows."""
    weights = np.where(np.arange(200) < 10, 0.1, 1.0)
    hits = (np.arange(200) >= 10).astype(np.float64)
    effect = design_effect(hits - np.average(hits, weights=weights), design_of(200, sample_weight=weights))
    shares = weights / weights.sum()
    assert effect.ratio >= 200 * (shares**2).sum() - 1e-12


def test_few_clusters_give_no_bounds_and_the_plan_says_how_many() -> None:
    design = design_of(400, groups=np.arange(400) % (LEAST_CLUSTERS - 1))
    estimate = share((np.arange(400) % 10 > 0).astype(np.float64), design)
    assert estimate.value == pytest.approx(0.9)
    assert estimate.at(0.95) == (None, None)
    assert estimate.note is not None
    assert "too few" in estimate.note
    growth = growth_to_decide(estimate, 0.5, at_least=True, confidence_level=0.95)
    assert growth is not None
    assert growth >= LEAST_CLUSTERS / (LEAST_CLUSTERS - 1) * 0.99


def test_a_faultless_part_counts_by_itself() -> None:
    """The rare class sits in six clusters of many: its 30 rows are six rows' worth."""
    rare = np.arange(300) < 30
    groups = np.where(rare, np.arange(300) % 6, np.arange(300))
    influence = np.where(np.arange(300) % 10 == 9, -1.0, 0.1) * ~rare
    design = design_of(300, groups=groups)
    estimate = proportion(273, 300)
    whole = adjusted(estimate, influence, design)
    with_part = adjusted(estimate, influence, design, parts=[rare])
    assert width(with_part) > 1.5 * width(whole)
    in_one = design_of(300, groups=np.where(rare, 0, np.arange(300)))
    assert adjusted(estimate, influence, in_one, parts=[rare]).at(0.95) == (None, None)


@pytest.mark.parametrize("level", [0.500001, 0.6, 0.9, 0.99, 0.999999, 1 - 1e-9])
def test_bounds_widen_with_the_level(level: float) -> None:
    rng = np.random.default_rng(5)
    hits = (rng.random(90) < 0.9).astype(np.float64)
    estimate = share(hits, design_of(90, groups=rng.integers(0, 12, 90), sample_weight=rng.random(90)))
    inner, outer = estimate.at(level), estimate.at(min(level + 1e-3, 1 - 1e-10))
    assert inner[0] is not None
    assert outer[0] is not None
    assert inner[1] is not None
    assert outer[1] is not None
    assert 0 <= outer[0] <= inner[0] + 1e-12
    assert inner[1] - 1e-12 <= outer[1] <= 1


def test_a_subset_keeps_its_weights_and_clusters() -> None:
    design = design_of(4, sample_weight=[1, 2, 3, 0], groups=["a", "b", "a", "b"])
    part = design.subset(np.array([True, False, True, True]))
    assert part.weights is not None
    assert part.clusters is not None
    assert part.weights.tolist() == [1, 3, 0]
    assert part.clusters.tolist() == [0, 0, 1]
    nothing = design.subset(np.array([False, False, False, True]))
    assert share_of_weight(nothing, 1).tolist() == [0]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"sample_weight": [1, 2]}, "3 rows"),
        ({"sample_weight": [[1, 2, 3]]}, "shape"),
        ({"sample_weight": ["a", "b", "c"]}, "numbers"),
        ({"sample_weight": [1, -1, 1]}, "negative"),
        ({"sample_weight": [1, math.nan, 1]}, "finite"),
        ({"sample_weight": [1, math.inf, 1]}, "finite"),
        ({"sample_weight": [0, 0, 0]}, "0 in every row"),
        ({"groups": ["a", "b"]}, "2 rows"),
        ({"groups": ["a", None, "b"]}, "missing in 1 of 3"),
        ({"groups": [["a"], ["b"], ["c"]]}, "shape"),
    ],
)
def test_columns_that_can_not_be_used(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        design_of(3, **columns)


@pytest.mark.parametrize(
    ("clusters", "correlation", "rate", "spread"),
    [
        (20, 0.3, 0.9, 0.0),
        (20, 0.9, 0.97, 0.0),
        (50, 0.5, 0.9, 1.0),
        (200, 0.3, 0.97, 0.5),
        (10, 0.5, 0.5, 0.0),
    ],
)
def test_the_level_is_kept(clusters: int, correlation: float, rate: float, spread: float) -> None:
    """Clusters of five, beta-binomial, log-normal weights of clusters: rows as units miss up to 25 %."""
    rng = np.random.default_rng(clusters)
    repetitions, missed, naive = 400, np.zeros(2), 0
    strength = 1 / correlation - 1
    groups = np.repeat(np.arange(clusters), 5)
    for _ in range(repetitions):
        chance = rng.beta(rate * strength, (1 - rate) * strength, clusters)
        hits = (rng.random(groups.size) < chance[groups]).astype(np.float64)
        weights = np.exp(spread * rng.standard_normal(clusters))[groups]
        design = design_of(groups.size, groups=groups, sample_weight=weights)
        lower, upper = share(hits, design).at(0.95)
        assert lower is not None
        assert upper is not None
        missed += [lower > rate, upper < rate]
        as_rows = proportion(float(hits.sum()), groups.size).at(0.95)[0]
        naive += as_rows is not None and as_rows > rate
    assert (missed / repetitions <= 0.065 + 0.02).all()
    assert naive > missed[0]
