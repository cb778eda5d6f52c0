"""Quick limits against Clopper and Pearson's by scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prodml.statistics.exact_limits import about_exact_limits, exact_limits
from pytest_prodml.statistics.intervals import clopper_pearson


@pytest.mark.parametrize("level", [0.6, 0.9, 0.95, 0.99, 1 - 1e-5, 1 - 1e-9, 1 - 1e-12, 1 - 1e-14])
def test_large_counts_are_on_the_careful_side(level: float) -> None:
    rng = np.random.default_rng(int(-np.log10(1 - level) * 10))
    rarer = 10 ** rng.uniform(2, 6.5, 3_000)
    trials = rarer * 10 ** rng.uniform(np.log10(2), 4.5, 3_000)
    successes = np.where(rng.random(3_000) < 0.5, rarer, trials - rarer)
    share = successes / trials
    exact, quick = clopper_pearson(successes, trials, level), exact_limits(successes, trials, level)
    rounding = 1e-12
    assert (quick[0] <= exact[0] + rounding).all()
    assert (quick[1] >= exact[1] - rounding).all()
    for one, other in zip(exact, quick, strict=True):
        assert (np.abs(other - share) <= np.abs(one - share) * 1.005 + rounding).all()


@given(st.lists(st.integers(1, 99).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1))
def test_small_counts_are_exact(counts: list[tuple[int, int]]) -> None:
    successes, trials = (np.array(part, dtype=np.float64) for part in zip(*counts, strict=True))
    for one, other in zip(
        clopper_pearson(successes, trials, 0.95), exact_limits(successes, trials, 0.95), strict=True
    ):
        assert other == pytest.approx(one, abs=1e-12)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99, 0.9999])
def test_plans_are_near(level: float) -> None:
    trials = np.repeat([1.0, 5.0, 20.0, 100.0, 1_000.0], 200)
    successes = np.round(trials * np.tile(np.linspace(0, 1, 200), 5))
    share = successes / trials
    exact, about = clopper_pearson(successes, trials, level), about_exact_limits(successes, trials, level)
    for one, other in zip(exact, about, strict=True):
        assert other == pytest.approx(one, abs=0.02)
        assert (np.abs(other - share) <= np.abs(one - share) * 1.05 + 1e-9).all()
        assert (np.abs(other - share) >= np.abs(one - share) * 0.95 - 1e-9).all()
