"""What users give as columns -> arrays that lose nothing of it; equal rows -> kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.design import design_of
from pytest_prodml.statistics.shares import kinds_of_rows
from pytest_prodml.statistics.sufficient import as_column, as_numbers, encode


@given(st.lists(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none()), max_size=20))
@settings(deadline=None)
def test_a_list_is_coded_as_its_values_are(values: list[Any]) -> None:
    """Equal values share a code, different ones never do, whatever else the list holds."""
    if any(isinstance(value, str) and value.endswith("\0") for value in values):
        return  # numpy's texts have no zeros at their end
    codes = encode(values, name="labels").codes
    numbers = all(isinstance(value, (int, float)) for value in values)
    for value, code in zip(values, codes.tolist(), strict=True):
        assert (code < 0) == (value is None or value != value)  # noqa: PLR0124 - NaN differs from itself
        for other, its_code in zip(values, codes.tolist(), strict=True):
            if code >= 0 and its_code >= 0 and not numbers:
                assert (code == its_code) == (value == other)


def test_a_masked_column_keeps_its_mask() -> None:
    column = np.ma.MaskedArray([1.0, 2.0, 3.0], mask=[False, True, False])
    assert isinstance(as_column(column, name="x"), np.ma.MaskedArray)
    assert np.isnan(as_numbers(column, name="x")).tolist() == [False, True, False]
    assert column.data.tolist() == [1, 2, 3]


@pytest.mark.parametrize("kind", ["<U4", "S4", "M8[s]", "m8[s]", "c16", "O"])
def test_what_is_no_number_is_refused(kind: str) -> None:
    values = np.array([1, 2, 3]).astype("<U4" if kind == "O" else kind).astype(kind)
    with pytest.raises(InputError, match="x must be numbers"):
        as_numbers(values, name="x")
    with pytest.raises(InputError, match="must be numbers"):
        design_of(3, sample_weight=values)


def test_whole_numbers_are_exact_or_refused() -> None:
    assert as_numbers([2**53, -(2**53)], name="x").tolist() == [2.0**53, -(2.0**53)]
    for value in (2**53 + 1, -(2**53) - 1):
        with pytest.raises(InputError, match="told apart"):
            as_numbers([value], name="x")


@pytest.mark.parametrize("kind", [np.uint64, np.int64])
def test_integers_at_the_ends_of_their_type_are_labels(kind: type[np.integer[Any]]) -> None:
    ends = np.iinfo(kind)
    values = np.array([ends.max, ends.max - 1, ends.min, ends.max], dtype=kind)
    assert encode(values[[0, 1, 3]], name="x").categories == (ends.max - 1, ends.max)
    assert encode(values, name="x").codes.tolist() == [2, 1, 0, 2]


@pytest.mark.parametrize(("rows", "columns", "most"), [(400, 1, 3), (400, 3, 6), (400, 15, 2), (60, 80, 2)])
def test_kinds_are_the_different_rows(rows: int, columns: int, most: int) -> None:
    table = np.random.default_rng(columns).integers(0, most, (rows, columns)).astype(np.float64)
    nothing = np.zeros(columns)
    for values in (table, table / 2, table - 1):
        kinds = kinds_of_rows(values, np.ones(rows), worst=nothing, best=nothing, seed=0)
        expected, counts = np.unique(values, axis=0, return_counts=True)
        assert np.array_equal(kinds.sums, expected)
        assert np.array_equal(kinds.counts, counts)
