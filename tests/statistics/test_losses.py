"""Means of losses and skills: against definitions, and by simulation where Student's t fails."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.estimate import Estimate, growth_to_decide
from pytest_prodml.statistics.losses import capped_mean, log_losses, mean_loss, skill

Array = npt.NDArray[np.float64]


def misses(estimates: list[Estimate], truth: float) -> tuple[float, float]:
    bounds = [estimate.at(0.95) for estimate in estimates]
    low = np.mean([lower is not None and lower > truth for lower, _ in bounds])
    high = np.mean([upper is not None and upper < truth for _, upper in bounds])
    return float(low), float(high)


LAWS: dict[str, tuple[Callable[[np.random.Generator, int], Array], float]] = {
    "squares of normal errors": (lambda rng, n: rng.normal(size=n) ** 2, 1.0),
    "exponential": (lambda rng, n: rng.exponential(size=n), 1.0),
    "log-normal": (lambda rng, n: rng.lognormal(0, 1, n), math.exp(0.5)),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [50, 500])
def test_bounds_hold_their_level(law: str, n: int) -> None:
    """2,000 simulations; Student's t misses 13 % of log-normal means from 50 rows on the upper side."""
    rng = np.random.default_rng(1)
    draw, truth = LAWS[law]
    low, high = misses([mean_loss(draw(rng, n), Design()) for _ in range(2_000)], truth)
    assert low <= 0.06
    assert high <= 0.08


def test_without_skewness_it_is_student_t_and_two_rows_more() -> None:
    values = np.tile([-1.0, 1.0], 200) + np.linspace(-0.1, 0.1, 400)
    lower, upper = mean_loss(values, Design()).at(0.95)
    expected = ttest_1samp(values, 0).confidence_interval(0.9)
    assert lower == pytest.approx(expected.low + 2 * np.min(values) / 400, rel=1e-2)
    assert upper == pytest.approx(expected.high + 2 * np.max(values) / 400, rel=1e-2)


@pytest.mark.parametrize("n", [50, 200])
def test_rare_large_errors_seldom_hide(n: int) -> None:
    """1 % of errors ten times as large: Student's t misses 15 % and more of the means from above."""
    rng = np.random.default_rng(6)
    samples = np.abs(rng.normal(size=(2_000, n))) * np.where(rng.random((2_000, n)) < 0.01, 10, 1)
    truth = math.sqrt(2 / math.pi) * 1.09
    _, high = misses([mean_loss(sample, Design()) for sample in samples], truth)
    assert high <= 0.075
    assert np.mean([ttest_1samp(x, 0).confidence_interval(0.9).high < truth for x in samples]) > 0.12


@given(st.lists(st.floats(-1e6, 1e6), min_size=50, max_size=80), st.sampled_from([0.6, 0.95, 0.999999999]))
def test_bounds_contain_the_value(values: list[float], level: float) -> None:
    estimate = mean_loss(np.array(values), Design())
    lower, upper = estimate.at(level)
    assert estimate.value is not None
    if lower is not None and upper is not None:
        slack = 1e-9 * max(map(abs, values))
        assert lower <= estimate.value + slack
        assert upper >= estimate.value - slack


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.zeros(0), "no rows"),
        (np.arange(49.0), "fewer than 50"),
        (np.ones(100), "same in every row"),
        (np.append(np.zeros(500), 1e9), "carry the variance"),
    ],
)
def test_what_can_not_be_bounded_says_why(values: Array, told: str) -> None:
    estimate = mean_loss(values, Design())
    assert told in (estimate.note or "")
    assert estimate.at(0.95) == (None, None)


def test_an_infinite_loss_is_an_error() -> None:
    with pytest.raises(InputError, match="too large"):
        mean_loss([0.0, math.inf], Design())


def test_planned_rows_would_decide() -> None:
    rng = np.random.default_rng(2)
    estimate = mean_loss(rng.exponential(size=200), Design())
    assert estimate.value is not None
    growth = growth_to_decide(estimate, estimate.value * 1.05, at_least=False, confidence_level=0.95)
    assert growth is not None
    n = round(200 * growth)
    scale = estimate.value
    uppers = [mean_loss(scale * rng.exponential(size=n), Design()).at(0.95)[1] for _ in range(200)]
    decided = [upper is not None and upper <= scale * 1.05 for upper in uppers]
    assert np.mean(decided) == pytest.approx(0.9, abs=0.08)


@given(st.integers(0, 1_000))
def test_skill_is_the_definition_and_its_bounds_contain_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=80)
    predicted = truth + rng.normal(size=80) * rng.uniform(0.01, 3)
    first, second = (truth - predicted) ** 2, (truth - truth.mean()) ** 2
    estimate = skill(first, second, Design(), of_reference="constant")
    expected = 1 - first.sum() / second.sum()
    assert estimate.value == pytest.approx(expected)
    lower, upper = estimate.at(0.95)
    if lower is not None:
        assert lower <= expected
    if upper is not None:
        assert expected <= upper <= 1


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_bounds_of_r2_hold_their_level(share: float) -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(700):
        signal = rng.normal(size=100) * math.sqrt(share)
        truth = signal + rng.normal(size=100) * math.sqrt(1 - share)
        found.append(
            skill((truth - signal) ** 2, (truth - truth.mean()) ** 2, Design(), of_reference="constant")
        )
    low, high = misses(found, share)
    assert low <= 0.08
    assert high <= 0.08


def test_log_loss_of_a_sure_and_wrong_answer() -> None:
    losses, worst = log_losses(np.array([[1.0, 0.0], [0.2, 0.8]]), np.array([1, 1]))
    assert losses == pytest.approx([-math.log(np.finfo(float).eps), -math.log(0.8)])
    assert worst == pytest.approx(losses[0])


@pytest.mark.parametrize(("a", "b"), [(2.0, 2.0), (0.2, 0.2), (0.1, 9.9)])
@pytest.mark.parametrize("n", [50, 500])
def test_bounds_of_the_log_loss_hold_their_level(a: float, b: float, n: int) -> None:
    """Predicted chances are right, so that the truth is the mean entropy."""
    rng = np.random.default_rng(4)

    def losses(size: int) -> tuple[Array, float]:
        chance = np.clip(rng.beta(a, b, size), 1e-6, 1 - 1e-6)
        return log_losses(np.column_stack([1 - chance, chance]), (rng.random(size) < chance).astype(np.intp))

    truth = float(losses(4_000_000)[0].mean())
    low, high = misses([capped_mean(*losses(n), Design()) for _ in range(250)], truth)
    assert low <= 0.1
    assert high <= 0.1
