"""Errors of numbers: quantiles against their exact law, weights, clusters, and several classes' areas."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import ndtri
from scipy.stats import norm

from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.estimate import Estimate
from pytest_prodml.statistics.multiclass_ranking import multiclass_roc_auc
from pytest_prodml.statistics.quantiles import quantile_bounds
from pytest_prodml.statistics.regression import max_error, mean_error, quantile_of, r2

Array = npt.NDArray[np.float64]
KINDS: tuple[Literal["ovr", "ovo"], ...] = ("ovr", "ovo")


def missed(estimates: list[Estimate], truth: float) -> tuple[float, float]:
    bounds = [estimate.at(0.95) for estimate in estimates]
    low = np.mean([lower is not None and lower > truth for lower, _ in bounds])
    high = np.mean([upper is not None and upper < truth for _, upper in bounds])
    return float(low), float(high)


@pytest.mark.parametrize(("n", "p"), [(50, 0.5), (500, 0.95), (299, 0.99), (40, 0.9)])
def test_quantile_bounds_are_the_exact_order_statistics(n: int, p: float) -> None:
    values = np.random.default_rng(n).normal(size=n)
    assert quantile_of(values, p, Design()).at(0.95) == quantile_bounds(values, p, 0.95)


def test_too_few_rows_for_a_far_quantile() -> None:
    found = quantile_of(np.arange(200.0), 0.99, Design())
    assert found.at(0.95)[1] is None
    assert "too few beyond the 99 %" in (found.note or "")


@pytest.mark.parametrize(("p", "n"), [(0.5, 300), (0.9, 300)])
def test_weighted_quantiles_hold_their_level(p: float, n: int) -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(800):
        values = np.abs(rng.normal(size=n))
        weights = rng.lognormal(0, 0.7, n)
        found.append(quantile_of(values, p, Design(weights=weights)))
    low, high = missed(found, float(ndtri((1 + p) / 2)))
    assert low <= 0.075
    assert high <= 0.075


@pytest.mark.parametrize("correlation", [0.3, 0.9])
def test_clustered_errors_hold_their_level(correlation: float) -> None:
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(60), 10)
    means, medians = [], []
    for _ in range(600):
        shared = np.repeat(rng.normal(size=60), 10) * correlation**0.5
        errors = shared + rng.normal(size=600) * (1 - correlation) ** 0.5
        design = Design(clusters=clusters)
        means.append(mean_error(np.zeros(600), errors, design))
        medians.append(quantile_of(np.abs(errors), 0.5, design))
    for found, truth in ((means, 0.0), (medians, float(norm.ppf(0.75)))):
        assert max(missed(found, truth)) <= 0.08


def test_quantile_bounds_of_a_billion_planned_rows_come_at_once() -> None:
    estimate = quantile_of(np.linspace(0, 1, 1_000), 0.95, Design())
    lower, upper = estimate.bounds(0.95, 1e6, 0.9)
    assert lower == pytest.approx(0.95, abs=2e-3)
    assert upper == pytest.approx(0.95, abs=2e-3)


def test_the_largest_error_is_bounded_from_below_only() -> None:
    assert max_error(np.zeros(3), np.array([1.0, -4.0, 2.0])).at(0.99) == (4.0, None)
    assert max_error(np.zeros(0), np.zeros(0)).value is None


def test_r2_of_a_model_no_better_than_the_mean() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(size=400)
    lower, upper = r2(truth, np.full(400, truth.mean()), Design()).at(0.95)
    assert (lower, upper) == (None, None)  # the same loss in every row says nothing
    lower, upper = r2(truth, rng.normal(size=400), Design()).at(0.95)
    assert upper is not None
    assert upper < 0


def drawn(
    rng: np.random.Generator, n: int, shift: float, shares: tuple[float, ...]
) -> tuple[Array, npt.NDArray[np.intp]]:
    codes = rng.choice(len(shares), n, p=shares)
    return rng.normal(size=(n, len(shares))) + shift * np.eye(len(shares))[codes], codes


@pytest.mark.parametrize("average", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("shift", "n"), [(1.0, 300), (3.2, 120)])
def test_areas_of_several_classes_hold_their_level(
    average: Literal["ovr", "ovo"], weighted: bool, shift: float, n: int
) -> None:
    rng, shares = np.random.default_rng(4), (0.5, 0.3, 0.2)

    def measure(size: int) -> Estimate:
        scores, codes = drawn(rng, size, shift, shares)
        return multiclass_roc_auc(scores, codes, "abc", Design(), average=average, weighted=weighted)

    truth = measure(400_000).value
    assert truth is not None
    low, high = missed([measure(n) for _ in range(300)], truth)
    assert low <= 0.09
    assert high <= 0.09
