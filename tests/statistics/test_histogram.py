"""Binned scores against sorted ones: the value lies within the stated error, whatever the scores look like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from pytest_prodml.statistics import histogram
from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.estimate import Estimate
from pytest_prodml.statistics.histogram import Histogram, average_precision_error, count, roc_auc_error
from pytest_prodml.statistics.ranking import (
    average_precision,
    average_precision_of_rows,
    roc_auc,
    roc_auc_of_rows,
)
from pytest_prodml.statistics.sufficient import ScoreTable, score_table

Array = npt.NDArray[np.float64]
N = histogram.EXACT_ROWS + 1

SCORES: dict[str, Callable[[Array], Array]] = {
    "normal": lambda x: x,
    "probabilities": lambda x: 1 / (1 + np.exp(8 - 3 * x)),
    "near one": lambda x: 1 - 1e-12 / (1 + np.exp(-x)),
    "one outlier": lambda x: np.append(x[1:], 1e300),
    "two decimals": lambda x: np.round(x, 2),
    "both zeros": lambda x: np.where(np.abs(x) < 1, np.copysign(0.0, x), x),
    "a third is zero": lambda x: np.maximum(x, 0),
    "constant": np.zeros_like,
    "tiny": lambda x: x * 1e-310,
}


def labeled(told: str) -> tuple[npt.NDArray[np.bool_], Array]:
    rng = np.random.default_rng(5)
    truth = rng.random(N) < 0.3
    return truth, SCORES[told](rng.normal(truth, 1.0))


def grids(truth: npt.NDArray[np.bool_], scores: Array) -> list[Histogram]:
    seen: list[Histogram] = []

    def refuse(found: Histogram) -> bool:
        seen.append(found)
        return False

    last = count(truth, scores, refuse)
    assert last.is_exact
    return seen


@pytest.mark.parametrize("told", SCORES)
def test_every_grid_is_off_by_no_more_than_it_says(told: str) -> None:
    truth, scores = labeled(told)
    area, precision = roc_auc_score(truth, scores), average_precision_score(truth, scores)
    found = grids(truth, scores)
    assert found
    for grid in found:
        assert grid.table.positives.sum() == truth.sum()
        assert grid.table.negatives.sum() == N - truth.sum()
        error = roc_auc_error(grid)
        assert roc_auc(grid.table).value == pytest.approx(area, abs=error + 1e-12)
        below, above = average_precision_error(grid)
        value = average_precision(grid.table).value
        assert value is not None
        assert value - below - 1e-12 <= precision <= value + above + 1e-12


@pytest.mark.parametrize("told", SCORES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounds_are_those_of_sorted_rows_and_a_little_wider(told: str, dtype: type[np.floating]) -> None:
    truth, scores = labeled(told)
    with np.errstate(over="ignore", under="ignore"):
        column = np.nan_to_num(scores.astype(dtype))
    table = score_table(truth, column.astype(np.float64))
    for of_rows, of_table in (
        (roc_auc_of_rows, roc_auc),
        (average_precision_of_rows, average_precision),
    ):
        estimate, _ = of_rows(truth, column, Design())
        lower, upper = estimate.at(0.95)
        low, high = of_table(table).at(0.95)
        assert None not in (lower, upper, low, high)
        assert (lower or 0) <= (low or 0) + 1e-6
        assert (upper or 0) >= (high or 0) - 1e-6
        assert (upper or 0) - (lower or 0) <= 1.3 * ((high or 0) - (low or 0)) + 1e-9


def test_few_different_scores_have_bins_of_their_own() -> None:
    truth, scores = labeled("two decimals")
    estimate, table = roc_auc_of_rows(truth, scores, Design())
    assert estimate.value == pytest.approx(roc_auc_score(truth, scores), abs=1e-7)
    assert table.scores.size < 2_000


def count_accepted(truth: npt.NDArray[np.bool_], scores: histogram.Column) -> Histogram:
    return count(truth, scores, lambda _: True)


@pytest.mark.parametrize("step", [0.01, 0.001, 1.0, 0.1 / 3])
@pytest.mark.parametrize("single", [False, True])
def test_scores_on_a_grid_are_counted_as_a_sort_would(step: float, single: bool) -> None:
    rng = np.random.default_rng(7)
    truth = rng.random(N) < 0.3
    grid: Array = np.asarray(step * rng.integers(-50 + 20 * truth, 50), dtype=np.float64)
    scores: histogram.Column = grid.astype(np.float32) if single else grid
    first = count_accepted(truth, scores)
    table = score_table(truth, scores.astype(np.float64))
    assert first.is_exact
    assert np.array_equal(first.table.scores, table.scores)
    assert np.array_equal(first.table.positives, table.positives)
    assert np.array_equal(first.table.negatives, table.negatives)


def test_scores_that_share_a_bin_are_noticed() -> None:
    """Few different scores, so close that 32 bits do not tell them apart; and one that a sample misses."""
    rng = np.random.default_rng(8)
    truth = rng.random(N) < 0.5
    close = 0.5 + 1e-12 * rng.integers(0, 20, N)
    assert not count_accepted(truth, close).is_exact
    rare = np.round(rng.random(N), 1)
    rare[[1, 3]] = 0.5 + 1e-9, 0.5 - 1e-9
    found = count_accepted(truth, rare)
    assert found.table.scores[found.mixed].size == 1
    estimate, _ = roc_auc_of_rows(truth, close, Design())
    assert estimate.value == pytest.approx(roc_auc_score(truth, close), abs=1e-9)


def test_what_bins_cost_is_told() -> None:
    truth, scores = labeled("normal")
    estimate, table = roc_auc_of_rows(truth, scores, Design())
    assert table.scores.size < N / 4
    assert "bins" in (estimate.note or "")


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=8), st.integers(0, 1_000)
)
@settings(deadline=None)
def test_the_worst_error_is_reached_and_not_surpassed(bins: list[tuple[int, int]], seed: int) -> None:
    """Every order inside of the bins lies within the error; all positives first and last lie on its ends."""
    positives, negatives = (np.array(column) for column in zip(*bins, strict=True))
    if not positives.sum() or not negatives.sum():
        return
    table = ScoreTable(
        scores=-np.arange(len(bins), dtype=np.float64), positives=positives, negatives=negatives
    )
    mixed = Histogram(table=table, mixed=positives + negatives > 1)
    area, precision = roc_auc(table).value, average_precision(table).value
    assert area is not None
    assert precision is not None
    error, (below, above) = roc_auc_error(mixed), average_precision_error(mixed)
    truth = np.concatenate([[True] * p + [False] * n for p, n in bins]).astype(np.bool_)
    bin_of = np.repeat(np.arange(len(bins)), positives + negatives)
    for inside in (truth * 1.0, ~truth * 1.0, np.random.default_rng(seed).random(truth.size)):
        scores = -bin_of + 0.5 * inside
        assert abs(roc_auc_score(truth, scores) - area) <= error + 1e-12
    best, worst = (
        float(np.mean(hits_at(truth[order])))
        for order in (np.lexsort((~truth, bin_of)), np.lexsort((truth, bin_of)))
    )
    assert best <= precision + above + 1e-12
    assert worst >= precision - below - 1e-12
    assert above == pytest.approx(max(best - precision, 0.0), abs=1e-9) or (positives > 0).sum() > 1
    assert roc_auc_score(truth, -bin_of + 0.5 * truth) == pytest.approx(area + error)


def hits_at(ranked: npt.NDArray[np.bool_]) -> Array:
    """Return the precision at every positive of a ranking without ties."""
    hits = np.cumsum(ranked)
    found: Array = (hits / np.arange(1, ranked.size + 1))[ranked]
    return found


@pytest.mark.parametrize("measure", [roc_auc_of_rows, average_precision_of_rows])
def test_many_rows_of_one_class_have_no_value(
    measure: Callable[..., tuple[Estimate, ScoreTable]],
) -> None:
    estimate, _ = measure(np.ones(N, dtype=np.bool_), np.linspace(0, 1, N), Design())
    assert estimate.value is None
    assert "positive" in (estimate.note or "")
