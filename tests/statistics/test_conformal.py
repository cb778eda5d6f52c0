"""Coverage, width and scores of prediction intervals and sets."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import mean_pinball_loss

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.conformal import (
    coverage,
    intervals_of,
    mean_of,
    mean_set_size,
    split_intervals,
)
from pytest_prodml.statistics.design import Design

SIMPLE = Design()

triples = st.lists(
    st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.floats(0, 50)), min_size=1, max_size=60
)


def test_both_ends_belong_to_the_interval() -> None:
    found = intervals_of([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 3.5, -np.inf], [2.0, 2.0, 4.0, np.inf])
    assert found.covered.tolist() == [True, True, False, True]
    assert found.width.tolist() == [1.0, 2.0, 0.5, math.inf]


@settings(deadline=None, max_examples=60)
@given(triples, st.sampled_from([0.5, 0.8, 0.9]))
def test_the_interval_score_is_that_of_two_pinball_losses(
    rows: list[tuple[float, float, float]], share: float
) -> None:
    truth, lower, width = (np.array(column) for column in zip(*rows, strict=True))
    found = intervals_of(truth, lower, lower + width)
    alpha = 1 - share
    losses = mean_pinball_loss(truth, lower, alpha=alpha / 2) + mean_pinball_loss(
        truth, lower + width, alpha=1 - alpha / 2
    )
    assert found.score(share).mean() == pytest.approx(2 / alpha * losses, abs=1e-8)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_coverage_is_exact(covered: list[bool]) -> None:
    estimate = coverage(np.array(covered), SIMPLE)
    assert estimate.value == pytest.approx(np.mean(covered))
    lower, upper = estimate.at(0.95)
    exact = binomtest(sum(covered), len(covered)).proportion_ci(0.9, method="exact")
    assert lower == pytest.approx(exact.low, abs=1e-9)
    assert upper == pytest.approx(exact.high, abs=1e-9)


def test_clusters_and_weights_widen_coverage() -> None:
    covered = np.repeat(np.random.default_rng(1).random(200) < 0.9, 5)
    plain = coverage(covered, SIMPLE).at(0.95)
    clustered = coverage(covered, Design(clusters=np.repeat(np.arange(200), 5))).at(0.95)
    assert (clustered[0] or 1) < (plain[0] or 0)
    assert (clustered[1] or 0) > (plain[1] or 1)


def test_no_rows_have_no_coverage() -> None:
    estimate = coverage(np.zeros(0, dtype=np.bool_), SIMPLE)
    assert estimate.value is None
    assert mean_of(np.zeros(0), SIMPLE).value is None
    assert mean_set_size(np.zeros(0, dtype=np.intp), 3, SIMPLE).value is None


@pytest.mark.parametrize("shape", [(7, 2), (7, 2, 1), (7, 2, 3)])
def test_arrays_of_intervals_are_split(shape: tuple[int, ...]) -> None:
    array = np.arange(math.prod(shape), dtype=np.float64).reshape(shape)
    lower, upper = split_intervals(array)
    first = array if array.ndim == 2 else array[:, :, 0]
    assert lower.tolist() == first[:, 0].tolist()
    assert upper.tolist() == first[:, 1].tolist()


def test_the_level_picks_the_last_axis() -> None:
    array = np.arange(24.0).reshape(4, 2, 3)
    assert split_intervals(array, level=2)[0].tolist() == array[:, 0, 2].tolist()
    with pytest.raises(InputError, match="shape"):
        split_intervals(array, level=3)


@pytest.mark.parametrize("bad", [np.zeros(4), np.zeros((4, 3)), np.zeros((4, 3, 2)), [["a", "b"]]])
def test_other_arrays_are_refused(bad: npt.ArrayLike) -> None:
    with pytest.raises(InputError, match="prediction intervals must be"):
        split_intervals(bad)


@pytest.mark.parametrize(
    ("truth", "lower", "upper", "message"),
    [
        (
            [1.0, math.nan],
            [0.0, 0.0],
            [2.0, 2.0],
            "y_true is not a finite number in 1 of 2 rows, at positions 1",
        ),
        ([1.0, math.inf], [0.0, 0.0], [2.0, 2.0], "y_true is not"),
        ([1.0, 1.0], [0.0, math.nan], [2.0, 2.0], "lower is NaN"),
        ([1.0, 1.0], [0.0, math.inf], [2.0, math.inf], "lower is NaN or infinite"),
        ([1.0, 1.0], [0.0, 0.0], [2.0, -math.inf], "upper is NaN or minus infinite"),
        (
            [1.0, 1.0],
            [3.0, 0.0],
            [2.0, 2.0],
            "lower end lies above the upper end in 1 of 2 rows, at positions 0",
        ),
        ([1.0], [0.0, 0.0], [2.0, 2.0], "differ in length"),
        ([[1.0, 2.0]], [0.0], [2.0], "one number for each row"),
        (["a"], [0.0], [2.0], "must be numbers"),
    ],
)
def test_what_can_not_be_judged_is_refused(
    truth: npt.ArrayLike, lower: npt.ArrayLike, upper: npt.ArrayLike, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        intervals_of(truth, lower, upper)


def test_an_infinite_mean_has_no_value() -> None:
    estimate = mean_of(np.array([1.0, math.inf]), SIMPLE)
    assert estimate.value is None
    assert estimate.note is not None
    assert "1 of 2" in estimate.note


def test_a_long_tail_moves_its_bound_or_leaves_it_open() -> None:
    rng = np.random.default_rng(2)
    lower, upper = mean_of(rng.lognormal(0, 1, 100), SIMPLE).at(0.95)
    assert lower is not None
    assert upper is None
    values = rng.lognormal(0, 1, 2_000)
    lower, upper = mean_of(values, SIMPLE).at(0.95)
    assert upper is not None
    assert lower is not None
    assert upper - values.mean() > 1.04 * (values.mean() - lower)
    assert mean_of(np.full(50, 3.0), SIMPLE).at(0.95) == (3.0, 3.0)


def test_bounds_of_a_skewed_mean_keep_their_level() -> None:
    rng = np.random.default_rng(3)
    misses = np.zeros(2)
    for _ in range(400):
        lower, upper = mean_of(rng.gamma(2, 1, 500), SIMPLE).at(0.95)
        assert lower is not None
        assert upper is not None
        misses += (lower > 2, upper < 2)
    assert (misses <= 34).all()  # 5 % of 400, above it in 0.1 %


def test_the_mean_set_size_lies_between_none_and_all() -> None:
    sizes = np.array([0, 1, 2, 4] * 30, dtype=np.intp)
    estimate = mean_set_size(sizes, 4, SIMPLE)
    assert estimate.value == pytest.approx(sizes.mean())
    lower, upper = estimate.at(0.95)
    assert lower is not None
    assert upper is not None
    assert 1.5 < lower < 1.75 < upper < 2.1
    full = mean_set_size(np.full(50, 4, dtype=np.intp), 4, SIMPLE).at(0.95)
    assert full[1] == pytest.approx(4)
