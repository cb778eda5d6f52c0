"""Metrics of a whole confusion matrix: scikit-learn's values, and bounds by what they must be equal to."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import beta as beta_distribution

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.agreement import (
    AVERAGED,
    Agreement,
    Average,
    Averaged,
    averaged,
    cohen_kappa,
    matthews_correlation,
)
from pytest_prodml.statistics.estimate import growth_to_decide
from pytest_prodml.statistics.shares import Kinds, influences, kinds_of_rows, of_shares

Table = npt.NDArray[Any]


def table_of(truth: npt.NDArray[np.intp], predicted: npt.NDArray[np.intp], k: int, weights: Any) -> Table:
    table = np.zeros((k, k))
    np.add.at(table, (truth, predicted), weights)
    return table


@st.composite
def answers(draw: st.DrawFn) -> tuple[Table, Table, Table, int]:
    k = draw(st.integers(2, 5))
    n = draw(st.integers(2 * k, 60))
    codes = st.lists(st.integers(0, k - 1), min_size=n, max_size=n)
    weights = draw(st.lists(st.floats(0.01, 10), min_size=n, max_size=n))
    truth = np.array(draw(codes))
    assume(np.unique(truth).size == k)
    return truth, np.array(draw(codes)), np.array(weights), k


@given(answers(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_values_are_scikit_learns(rows: tuple[Table, Table, Table, int], weighted: bool) -> None:
    truth, predicted, weights, k = rows
    weight = weights if weighted else None
    table = table_of(truth, predicted, k, weights if weighted else 1)
    assume(np.unique(predicted).size > 1)
    assert matthews_correlation(table, seed=0).estimate.value == pytest.approx(
        sklearn.metrics.matthews_corrcoef(truth, predicted, sample_weight=weight), abs=1e-9
    )
    kappas: tuple[Literal["linear", "quadratic"] | None, ...] = (None, "linear", "quadratic")
    for kappa in kappas:
        assert cohen_kappa(table, seed=0, weights=kappa).estimate.value == pytest.approx(
            sklearn.metrics.cohen_kappa_score(truth, predicted, weights=kappa, sample_weight=weight), abs=1e-9
        )
    for name in AVERAGED:
        for average in AVERAGES:
            assert averaged(table, name, average, seed=0).estimate.value == pytest.approx(
                getattr(sklearn.metrics, f"{name}_score")(
                    truth, predicted, average=average, sample_weight=weight, zero_division=0
                ),
                abs=1e-9,
            )


def test_many_classes_are_counted_sparsely() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 40, 3_000)
    predicted = np.where(rng.random(3_000) < 0.7, truth, rng.integers(0, 40, 3_000))
    found = averaged(table_of(truth, predicted, 40, 1), "f1", "macro", seed=0)
    assert found.estimate.value == pytest.approx(sklearn.metrics.f1_score(truth, predicted, average="macro"))
    lower, upper = found.estimate.at(0.95)
    assert lower is not None
    assert upper is not None
    assert found.estimate.value is not None
    assert lower < found.estimate.value < upper
    kappa = cohen_kappa(table_of(truth, predicted, 40, 1), seed=0, weights="linear")
    assert kappa.estimate.value == pytest.approx(
        sklearn.metrics.cohen_kappa_score(truth, predicted, weights="linear")
    )


Method = Callable[[Table], Agreement]


def mean_of(name: Averaged, average: Average) -> Method:
    return lambda table: averaged(table, name, average, seed=0)


AVERAGES: tuple[Average, ...] = ("macro", "weighted")
METHODS: list[Method] = [
    lambda table: matthews_correlation(table, seed=0),
    lambda table: cohen_kappa(table, seed=0),
    lambda table: cohen_kappa(table, seed=0, weights="quadratic"),
    *(mean_of(name, average) for name in AVERAGED for average in AVERAGES),
]


@pytest.mark.parametrize("method", METHODS)
def test_all_right_is_not_proven(method: Method) -> None:
    """50 of 50: a bootstrap gives [1, 1] for each of these. One row may well have gone wrong."""
    found = method(np.diag([25, 25]))
    lower, upper = found.estimate.at(0.95)
    assert found.estimate.value == 1
    assert upper == 1
    assert lower is not None
    assert lower < 0.96
    few = method(np.diag([2, 1])).estimate.at(0.95)
    assert few[0] is None or few[0] < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_influences_are_what_a_row_adds(method: Method) -> None:
    """Against a row added for real, which changes a mean by its influence over n."""
    table = np.array([[4000, 500, 100], [300, 2500, 200], [150, 250, 2000]])
    found = method(table)
    for cell in np.ndindex(3, 3):
        more = table.copy()
        more[cell] += 1
        change = (method(more).estimate.value or 0) - (found.estimate.value or 0)
        assert change * table.sum() == pytest.approx(found.influence[cell], abs=2e-3)
    assert (table * found.influence).sum() / table.sum() == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_bounds_are_monotone_and_reproducible(method: Method) -> None:
    table = np.array([[40, 5], [3, 20]])
    levels = [0.500001, 0.7, 0.95, 0.99, 0.9975, 0.9999, 1 - 1e-9]
    bounds = [method(table).estimate.at(level) for level in levels]
    assert method(table).estimate.at(0.95) == bounds[2]
    assert method(table).estimate.seed == 0
    for inner, outer in pairwise(bounds):
        ends = [end for end in (outer[0], inner[0], inner[1], outer[1]) if end is not None]
        assert len(ends) == 4
        assert ends == sorted(ends)
    growth = growth_to_decide(method(table).estimate, 0.4, at_least=True, confidence_level=0.95)
    assert growth is not None


@pytest.mark.parametrize(("hits", "rows"), [(3, 3), (0, 20), (43, 50), (49, 50), (10, 400)])
def test_a_share_gets_the_exact_bounds(hits: int, rows: int) -> None:
    """For a proportion the Dirichlet bounds are Clopper and Pearson's, here by simulation."""
    counts = np.array([hits, rows - hits], dtype=np.float64)
    rights, wrongs = np.array([1.0, 1.0]), np.array([0.0, 1.0])
    sums = np.vstack([rights, wrongs])[counts > 0]
    kinds = Kinds(counts=counts[counts > 0], sums=sums, worst=wrongs, best=rights)
    estimate = of_shares(kinds, lambda total: total[:, 0] / total[:, 1], low=0, high=1, seed=1)
    lower, upper = estimate.at(0.95)
    assert lower is not None
    assert upper is not None
    if hits:
        assert beta_distribution.cdf(lower, hits, rows - hits + 1) == pytest.approx(0.05, abs=0.012)
    if hits < rows:
        assert beta_distribution.sf(upper, hits + 1, rows - hits) == pytest.approx(0.05, abs=0.012)
    careful = estimate.at(1 - 1e-6)
    assert careful[0] is not None
    assert careful[1] is not None
    exact = beta_distribution.ppf(1e-6, hits, rows - hits + 1) if hits else 0.0
    assert careful[0] <= exact + 0.02


def test_many_kinds_of_rows_are_put_into_blocks() -> None:
    rng = np.random.default_rng(4)
    rows = np.column_stack([rng.random(9_000), np.ones(9_000)])
    kinds = kinds_of_rows(rows, np.ones(9_000), worst=np.array([0.0, 1.0]), best=np.ones(2), seed=0)
    assert kinds.counts.size == 4_000
    assert kinds.total()[0] == pytest.approx(rows.sum(axis=0))
    estimate = of_shares(kinds, lambda total: total[:, 0] / total[:, 1], low=0, high=1, seed=0)
    lower, _ = estimate.at(0.95)
    half = 1.645 * rows[:, 0].std() / np.sqrt(9_000)
    assert lower == pytest.approx(rows[:, 0].mean() - half, abs=0.15 * half)
    of_rows = influences(kinds, lambda total: total[:, 0] / total[:, 1], rows=rows, weights=np.ones(9_000))
    assert of_rows == pytest.approx(rows[:, 0] - rows[:, 0].mean(), abs=1e-6)


CELLS = {
    "balanced": (0.45, 0.05, 0.05, 0.45),
    "rare": (0.96, 0.02, 0.004, 0.016),
    "nearly perfect": (0.495, 0.005, 0.005, 0.495),
    "chance": (0.25, 0.25, 0.25, 0.25),
}


@pytest.mark.parametrize("cells", CELLS)
def test_the_level_is_kept(cells: str) -> None:
    """50 rows, one-sided 95 %: at most 6.5 % and the error of 500 samples, in every one of these."""
    rng = np.random.default_rng(6)
    shares = np.array(CELLS[cells]).reshape(2, 2)
    samples = rng.multinomial(50, shares.ravel(), 500).reshape(-1, 2, 2)
    for method in (METHODS[0], METHODS[1], METHODS[7]):
        truth = method(shares * 1e6).estimate.value or 0.0
        missed = np.zeros(2)
        for table, times in zip(*np.unique(samples, axis=0, return_counts=True), strict=True):
            lower, upper = method(table).estimate.at(0.95)
            if lower is not None and upper is not None:
                missed += times * np.array([lower > truth + 1e-9, upper < truth - 1e-9])
        assert (missed / len(samples) <= 0.065 + 0.02).all()


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (matthews_correlation(np.array([[50, 0], [0, 0]]), seed=0), "one class"),
        (matthews_correlation(np.array([[99, 0], [1, 0]]), seed=0), "one class only is predicted"),
        (matthews_correlation(np.zeros((2, 2)), seed=0), "no rows"),
        (cohen_kappa(np.array([[50, 0], [0, 0]]), seed=0), "one class"),
        (averaged(np.array([[50, 3], [0, 0]]), "f1", "macro", seed=0, classes=["a", "b"]), "class 'b'"),
        (averaged(np.array([[50, 3], [0, 0]]), "f1", "weighted", seed=0), "one class"),
        (averaged(np.zeros((3, 3)), "precision", "macro", seed=0), "no rows"),
    ],
)
def test_degenerate_tables_have_no_value(found: Agreement, told: str) -> None:
    assert found.estimate.value is None
    assert found.estimate.note is not None
    assert told in found.estimate.note
    assert found.estimate.at(0.95) == (None, None)


def test_a_constant_prediction_agrees_by_chance() -> None:
    kappa = cohen_kappa(np.array([[99, 0], [1, 0]]), seed=0).estimate
    assert kappa.value == 0
    lower, upper = kappa.at(0.95)
    assert lower is not None
    assert upper is not None
    assert lower <= 0 < upper
    never: list[Averaged] = ["precision", "f1", "jaccard"]
    for name in never:  # a class that is never predicted counts as 0, as in scikit-learn
        found = averaged(np.array([[99, 0], [1, 0]]), name, "macro", seed=0).estimate
        assert found.value is not None
        assert 0.49 < found.value <= 0.5


def test_few_rows_a_class_give_no_bounds() -> None:
    rng = np.random.default_rng(7)
    truth = np.concatenate([np.arange(20), rng.integers(0, 20, 30)])
    predicted = np.where(rng.random(50) < 0.6, truth, rng.integers(0, 20, 50))
    estimate = averaged(table_of(truth, predicted, 20, 1), "precision", "weighted", seed=0).estimate
    assert estimate.value is not None
    assert estimate.at(0.95) == (None, None)
    assert estimate.note is not None
    assert "2.5 rows a class" in estimate.note
    growth = growth_to_decide(estimate, estimate.value - 0.3, at_least=True, confidence_level=0.95)
    assert growth is not None
    assert growth >= 1.99


def test_small_classes_do_not_lead_the_bounds_astray() -> None:
    """Ten classes: without the correction macro F1 of 50 rows misses 11 %, and weighted precision 13 %."""
    rng = np.random.default_rng(8)
    shares = np.full((10, 10), 0.1 * 0.2 / 9)
    np.fill_diagonal(shares, 0.08)
    cases: list[tuple[int, Averaged, Average, int]] = [
        (50, "f1", "macro", 1),
        (100, "precision", "weighted", 0),
    ]
    for n, name, average, side in cases:
        missed, counted = 0, 0
        for seed, table in enumerate(rng.multinomial(n, shares.ravel(), 120).reshape(-1, 10, 10)):
            bound = averaged(table, name, average, seed=seed).estimate.at(0.95)[side]
            if bound is not None:
                counted += 1
                missed += bound < 0.8 if side else bound > 0.8
        assert counted > 90
        assert missed / counted < 0.065 + 0.04


def test_weights_of_kappa_have_names() -> None:
    with pytest.raises(InputError, match="cubic"):
        cohen_kappa(np.diag([5, 5]), seed=0, weights="cubic")  # type: ignore[arg-type]
