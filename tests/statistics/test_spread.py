"""Bounds of a spread: published factors, and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.independent import difference
from pytest_prodml.statistics.intervals import proportion
from pytest_prodml.statistics.spread import (
    nearly_all,
    order_statistic_level,
    standard_deviation,
    tolerance_factor,
)


@pytest.mark.parametrize(
    ("n", "content", "factor"),
    [
        (3, 0.9, 6.155),
        (5, 0.9, 3.407),
        (5, 0.95, 4.203),
        (10, 0.9, 2.355),
        (10, 0.95, 2.911),
        (20, 0.95, 2.396),
    ],
)
def test_one_sided_tolerance_factors_are_those_of_the_published_table(
    n: int, content: float, factor: float
) -> None:
    assert tolerance_factor(n, content, 0.95) == pytest.approx(factor, abs=6e-4)


def test_tolerance_factor_is_a_noncentral_t_quantile() -> None:
    for n, content, level in ((4, 0.8, 0.9), (12, 0.99, 0.99), (50, 0.6, 0.6)):
        shift = scipy.stats.norm.ppf(content) * np.sqrt(n)
        expected = scipy.stats.nct.ppf(level, n - 1, shift) / np.sqrt(n)
        assert tolerance_factor(n, content, level) == pytest.approx(expected, rel=1e-6)


def test_standard_deviation_has_chi_squared_bounds() -> None:
    values = [0.80, 0.82, 0.79, 0.83, 0.81]
    lower, upper = standard_deviation(values).at(0.95)
    s2 = np.var(values, ddof=1)
    assert lower == pytest.approx(np.sqrt(4 * s2 / scipy.stats.chi2.ppf(0.95, 4)))
    assert upper == pytest.approx(np.sqrt(4 * s2 / scipy.stats.chi2.ppf(0.05, 4)))


def test_bounds_keep_their_level() -> None:
    rng = np.random.default_rng(1)
    missed = np.zeros(3)
    runs = 2_000
    for _ in range(runs):
        values = rng.normal(0.8, 0.02, 5)
        upper = standard_deviation(values).at(0.95)[1]
        worst = nearly_all(values, content=0.9, from_below=True).at(0.95)
        assert upper is not None
        assert worst[0] is not None
        assert worst[1] is not None
        truth = 0.8 - 0.02 * 1.281552
        missed += (upper < 0.02, worst[0] > truth, worst[1] < truth)
    assert (missed / runs < 0.065).all()
    assert (missed / runs > 0.035).all()


def test_one_value_proves_nothing() -> None:
    assert standard_deviation([0.8]).value is None
    assert nearly_all([0.8], content=0.9, from_below=True).value is None


def test_difference_of_samples_is_newcombes_with_exact_limits() -> None:
    found = difference(proportion(56, 70), proportion(48, 80))
    lower, upper = found.at(0.975)
    assert found.value == pytest.approx(0.2)
    assert lower == pytest.approx(0.0524, abs=0.02)
    assert upper == pytest.approx(0.3339, abs=0.02)
    turned = difference(proportion(56, 70), proportion(48, 80), falls=True)
    assert turned.value == pytest.approx(-0.2)
    assert difference(proportion(0, 0), proportion(1, 2)).value is None


def test_order_statistics_and_bad_values() -> None:
    assert order_statistic_level(29, 0.9) == pytest.approx(0.9529, abs=1e-4)
    with pytest.raises(InputError, match="finite"):
        standard_deviation([0.1, float("nan")])
    with pytest.raises(InputError, match="one half"):
        nearly_all([0.1, 0.2], content=0.3, from_below=True)
