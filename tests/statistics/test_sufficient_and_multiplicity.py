"""Columns of any kind to counts; families of p-values against statsmodels."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.multiplicity import (
    PROCEDURES,
    adjusted_p_values,
    benjamini_hochberg,
    benjamini_yekutieli,
    holm,
)
from pytest_prodml.statistics.sufficient import cross_table, encode, score_table


@pytest.mark.parametrize(
    "values",
    [
        ["a", "b", "a"],
        [2, 1, 2],
        [True, False, True],
        [2.5, 1.0, 2.5],
        [10**9, 1, 10**9],
        [dt.date(2026, 1, 2), dt.date(2025, 1, 1), dt.date(2026, 1, 2)],
    ],
)
@pytest.mark.parametrize("make", [list, np.array, pd.Series, pd.Categorical, pd.Index])
def test_columns_of_any_kind(values: list[Any], make: Any) -> None:
    coded = encode(make(values), name="column")
    assert [coded.categories[code] for code in coded.codes] == values
    assert len(coded.categories) == 2


@pytest.mark.parametrize(
    "values",
    [
        ["a", None, "a"],
        [1.0, float("nan"), 1.0],
        pd.Series([1, pd.NA, 1], dtype="Int64"),
        pd.Series([True, pd.NA, True], dtype="boolean"),
        pd.Series(["a", None, "a"], dtype="str"),
        pd.Series(["a", None, "a"], dtype="category"),
        pd.Series([pd.Timestamp("2026-01-01"), pd.NaT, pd.Timestamp("2026-01-01")]),
        np.ma.masked_array([1, 2, 1], mask=[False, True, False]),
    ],
)
def test_missing_is_told_apart(values: Any) -> None:
    coded = encode(values, name="column")
    assert coded.codes.tolist() == [0, -1, 0]
    assert len(coded.categories) == 1


@given(st.lists(st.one_of(st.integers(-3, 3), st.text(max_size=2), st.none(), st.floats(allow_nan=True))))
def test_encoding_loses_nothing(values: list[Any]) -> None:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    coded = encode(array, name="column")
    for value, code in zip(values, coded.codes, strict=True):
        if code < 0:
            assert value is None or value != value  # noqa: PLR0124
        else:
            assert coded.categories[code] == value


def test_what_is_no_column() -> None:
    with pytest.raises(InputError, match="shape"):
        encode(np.zeros((3, 2)), name="column")
    with pytest.raises(InputError, match="list"):
        encode(np.array([None, []], dtype=object), name="column")


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 1)), max_size=60))
def test_one_pass_counts_everything(rows: list[tuple[int, int, int]]) -> None:
    columns = [np.array([row[place] for row in rows], dtype=np.intp) for place in range(3)]
    table = cross_table(columns, (3, 4, 2))
    assert table.shape == (3, 4, 2)
    assert table.sum() == len(rows)
    assert all(table[row] == rows.count(row) for row in rows)


def test_nothing_to_count() -> None:
    nothing = np.zeros(0, dtype=np.intp)
    assert cross_table([nothing, nothing], (0, 2)).shape == (0, 2)
    assert cross_table([nothing, nothing], (2, 2)).sum() == 0


@pytest.mark.parametrize("rows", [1, 2, 999, (1 << 16) + 1, (1 << 18) - 1, (1 << 18) + 1, (1 << 20) + 3])
@pytest.mark.parametrize(
    "sizes", [(40, 2, 2), (2, 2, 50), (255,), (85, 3, 1), (40, 2, 2, 2), (300, 200), (300, 300), (1, 256)]
)
def test_every_way_of_counting_counts_the_same(rows: int, sizes: tuple[int, ...]) -> None:
    """Short and long columns, codes of one byte, eight bytes and of bool, few and many cells."""
    rng = np.random.default_rng(rows)
    columns = [rng.integers(0, size, rows) for size in sizes]
    expected = np.zeros(sizes, dtype=np.int64)
    np.add.at(expected, tuple(columns), 1)
    assert (cross_table(columns, sizes) == expected).all()
    small = [
        column.astype(bool if size == 2 else np.uint8 if size < 256 else np.int32)
        for column, size in zip(columns, sizes, strict=True)
    ]
    found = cross_table(small, sizes)
    assert (found == expected).all()
    assert found.dtype == np.int64


@pytest.mark.parametrize("rows", [100, 1 << 18])
@pytest.mark.parametrize("sizes", [(40, 2, 2), (60, 4), (255,), (85, 3), (3_000, 20)])
@pytest.mark.parametrize("wrong", [-1, 0])
def test_a_code_that_its_column_does_not_have_is_an_error(
    rows: int, sizes: tuple[int, ...], wrong: int
) -> None:
    columns = [np.zeros(rows, dtype=np.intp) for _ in sizes]
    columns[0][-1] = wrong or sizes[0]
    with pytest.raises(InputError, match="not among those of its column"):
        cross_table(columns, sizes)


def test_scores_from_the_top() -> None:
    table = score_table(np.array([True, False, True, True]), np.array([0.2, 0.9, 0.9, 0.9]))
    assert table.scores.tolist() == [0.9, 0.2]
    assert table.positives.tolist() == [2, 1]
    assert table.negatives.tolist() == [1, 0]


@settings(max_examples=25)  # Holm takes statsmodels 50 ms
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_families_are_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)
    assert benjamini_hochberg(p_values) == pytest.approx(
        multipletests(p_values, method="fdr_bh")[1], abs=1e-12
    )
    assert benjamini_yekutieli(p_values) == pytest.approx(
        multipletests(p_values, method="fdr_by")[1], abs=1e-12
    )


def test_a_procedure_by_its_name() -> None:
    p_values = [0.001, 0.012, 0.04, 0.5]
    for name, procedure in PROCEDURES.items():
        assert adjusted_p_values(p_values, name).tolist() == procedure(p_values).tolist()
    assert adjusted_p_values(p_values).tolist() == holm(p_values).tolist()
    with pytest.raises(InputError, match="there is no procedure 'bonferoni'"):
        adjusted_p_values(p_values, "bonferoni")


def test_dependent_tests_keep_their_share_of_false_alarms() -> None:
    """Benjamini and Yekutieli hold where the p-values are as dependent as they can be."""
    rng = np.random.default_rng(4)
    alarms = 0
    for _ in range(2000):
        # One shared draw decides of all ten: the worst for Bonferroni-like families is a single uniform.
        p_values = (rng.random() + np.arange(10) / 10) % 1
        alarms += bool((benjamini_yekutieli(p_values) <= 0.05).any())
    assert alarms / 2000 <= 0.05 + 3 * (0.05 * 0.95 / 2000) ** 0.5


def test_families_that_are_none() -> None:
    assert all(procedure([]).size == 0 for procedure in PROCEDURES.values())
    for wrong in ([0.5, float("nan")], [1.5], [[0.5]]):
        for procedure in PROCEDURES.values():
            with pytest.raises(InputError):
                procedure(wrong)
