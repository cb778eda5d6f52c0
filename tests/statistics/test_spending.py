"""Repeated looks: published critical values, a simulated process, and levels that add up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.spending import SPENDING, level_of_look, sequential_bounds, spent

FIFTHS = [0.2, 0.4, 0.6, 0.8, 1.0]


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        # Five equally spaced looks, one-sided 0.025: gsDesign's sfLDOF and sfLDPocock; Reboussin et al. (2000).
        ("obrien_fleming", [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
        ("pocock", [2.4380, 2.4268, 2.4101, 2.3966, 2.3859]),
    ],
)
def test_published_critical_values(spending: str, published: list[float]) -> None:
    assert sequential_bounds(FIFTHS, 0.975, spending) == pytest.approx(published, abs=3e-4)


def test_one_look_is_the_normal_quantile() -> None:
    for spending in SPENDING:
        assert sequential_bounds([1.0], 0.95, spending) == pytest.approx([norm.ppf(0.95)], abs=1e-6)


@pytest.mark.parametrize("spending", SPENDING)
@pytest.mark.parametrize("fractions", [FIFTHS, [0.1, 0.15, 0.7, 1.0], [0.5, 0.52, 0.55, 0.9]])
def test_the_simulated_process_crosses_as_often_as_it_may(spending: str, fractions: list[float]) -> None:
    runs = 400_000
    rng = np.random.default_rng(7)
    steps = np.sqrt(np.diff([0.0, *fractions]))
    z = np.cumsum(rng.standard_normal((runs, len(fractions))) * steps, axis=1) / np.sqrt(fractions)
    crossed = np.maximum.accumulate(z > np.array(sequential_bounds(fractions, 0.95, spending)), axis=1)
    for fraction, share in zip(fractions, crossed.mean(axis=0), strict=True):
        expected = spent(fraction, 0.05, spending)
        assert share == pytest.approx(expected, abs=4 * math.sqrt(max(expected, 1e-6) / runs) + 2e-6)


@settings(max_examples=50)
@given(st.integers(1, 40), st.sampled_from(list(SPENDING)), st.floats(0.51, 0.9999))
def test_the_looks_together_spend_the_error_rate(planned: int, spending: str, level: float) -> None:
    alphas = [1 - level_of_look(look, planned, level, spending) for look in range(1, planned + 1)]
    assert all(0 < alpha <= (1 - level) * (1 + 1e-9) for alpha in alphas)
    assert sum(alphas) == pytest.approx(1 - level, abs=planned * 1.1e-9)


def test_what_the_functions_favor() -> None:
    equal, pocock, late = ([level_of_look(k, 5, 0.95, name) for k in range(1, 6)] for name in SPENDING)
    assert equal == pytest.approx([0.99] * 5)
    assert pocock == sorted(pocock)
    assert late == sorted(late, reverse=True)
    assert 1 - late[0] < 2e-5
    assert 1 - late[-1] > 0.02


def test_nothing_to_spend_early() -> None:
    assert sequential_bounds([0.01, 1.0], 0.95, "obrien_fleming")[0] == math.inf
    assert level_of_look(1, 40, 0.95, "obrien_fleming") == 1 - 1e-9


def test_models_that_fail_and_are_tried_again() -> None:
    """Five models on the floor, one test set, stopped at the first pass: at most 5 % pass."""
    rng = np.random.default_rng(3)
    runs = 20_000
    for spending in SPENDING:
        passes = np.zeros(runs, dtype=bool)
        for shared in (0.0, 0.9):
            common = rng.standard_normal(runs)
            passes[:] = False
            for look in range(1, 6):
                z = math.sqrt(shared) * common + math.sqrt(1 - shared) * rng.standard_normal(runs)
                passes |= z > norm.ppf(level_of_look(look, 5, 0.95, spending))
            assert passes.mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(
    ("look", "planned", "message"),
    [
        (0, 5, "look number 0"),
        (6, 5, "look number 6 is not among the 5 planned"),
        (1, 0, "at least one look"),
    ],
)
def test_looks_that_are_none(look: int, planned: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        level_of_look(look, planned, 0.95, "pocock")


def test_wrong_plans() -> None:
    with pytest.raises(InputError, match="there is no spending function 'obrien'"):
        spent(0.5, 0.05, "obrien")
    with pytest.raises(InputError, match="error rate"):
        spent(0.5, 0.5, "equal")
    with pytest.raises(InputError, match="fraction"):
        spent(float("nan"), 0.05, "equal")
    for fractions in ([], [0.0, 1.0], [0.5, 0.5], [0.5, 1.1], [float("nan"), 1.0], [0.2, float("nan")]):
        with pytest.raises(InputError, match="rise within"):
            sequential_bounds(fractions, 0.95, "pocock")
    with pytest.raises(InputError, match="confidence_level"):
        sequential_bounds([1.0], 0.4, "pocock")
