"""Counterexamples made small: fewest columns by brute force, roundest values, the boundary; texts and arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from behavior_inputs import clients
from pytest_prodml.checks.behavior.profile import profile_of
from pytest_prodml.checks.behavior.round_values import between, digits, rounder
from pytest_prodml.checks.behavior.shrink import shrink
from pytest_prodml.checks.behavior.shrink_items import shrink_item

Rule = Callable[[pd.DataFrame], Any]


def fewest_by_brute_force(row: pd.DataFrame, typical: pd.DataFrame, fails: Rule) -> int:
    names = [name for name in row.columns if row[name].iloc[0] != typical[name].iloc[0]]
    for size in range(len(names) + 1):
        for chosen in itertools.combinations(names, size):
            trial = typical.copy()
            for name in chosen:
                trial[name] = row[name].to_numpy()
            if bool(np.asarray(fails(trial))[0]):
                return size
    raise AssertionError("the row itself fails")


@given(st.integers(0, 10_000), st.integers(0, 2**5 - 1), st.booleans())
@settings(max_examples=40, deadline=None)
def test_as_few_columns_differ_from_the_typical_row_as_brute_force_finds(
    seed: int, needed: int, is_either: bool
) -> None:
    table = clients(100, seed=1)
    profile = profile_of(table)
    row = clients(1, seed=seed)
    names = [name for place, name in enumerate(table.columns) if needed >> place & 1]

    def fails(rows: pd.DataFrame) -> Any:
        cells = [(rows[name] == row[name].iloc[0]).to_numpy() for name in names]
        if not cells:
            return np.ones(len(rows), dtype=bool)
        # Either all of the cells, or (another way to fail) the first two of them.
        found = np.stack(cells).all(axis=0)
        return found | np.stack(cells[:2]).all(axis=0) if is_either else found

    found = shrink(row, fails, profile, seed=0)
    assert bool(fails(found.row)[0])
    assert len(found.changed) == fewest_by_brute_force(row, profile.typical, fails)
    assert set(found.changed) == {
        name for name in row.columns if found.row[name].iloc[0] != found.base[name].iloc[0]
    }
    assert found.n_rounds < 60


@pytest.mark.parametrize(
    ("fails", "expected", "boundary"),
    [
        (lambda rows: rows["income"] > 7654.3, {"income": 8000.0}, {"income": 7654.3}),
        (lambda rows: rows["income"] < 96, {"income": 90.0}, {"income": 96.0}),
        (lambda rows: rows["income"].between(1233, 1234), {"income": 1234.0}, {}),
        (lambda rows: rows["age"] > 71, {"age": 72}, {"age": 72}),
        (lambda rows: rows["region"].isin(["south", "west"]), {"region": "south"}, {}),
        (
            lambda rows: (rows["late"] == 0) & (rows["age"] < 25),
            {"age": 20, "late": 0},
            {"age": 24, "late": 0},
        ),
        (lambda rows: rows["sex"] == rows["sex"], {}, {}),
    ],
)
def test_the_roundest_values_and_the_boundary(
    fails: Rule, expected: dict[str, Any], boundary: dict[str, float]
) -> None:
    table = clients(20_000, seed=4)
    profile = profile_of(table)
    row = table[np.asarray(fails(table))].iloc[[0]].reset_index(drop=True)
    found = shrink(row, lambda rows: np.asarray(fails(rows)), profile)
    assert {name: found.row[name].iloc[0] for name in found.changed} == expected
    for name, value in boundary.items():
        assert found.boundary[name] == pytest.approx(value, abs=0.5)


def test_far_from_the_typical_row_a_real_row_is_the_base() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.integers(0, 1000, (300, 9)), columns=list("abcdefghi"))
    profile = profile_of(table)
    row = table.iloc[[17]].assign(a=5000).reset_index(drop=True)
    real = table.iloc[17]

    def fails(rows: pd.DataFrame) -> Any:
        rest = np.stack([(rows[name] == real[name]).to_numpy() for name in "bcdefghi"]).all(axis=0)
        return rest & (rows["a"] > 1000).to_numpy()

    found = shrink(row, fails, profile)
    assert found.changed == ("a",)
    assert found.row["a"].iloc[0] > 1000
    pd.testing.assert_series_equal(
        found.base.iloc[0][list("bcdefghi")], real[list("bcdefghi")], check_names=False
    )


def test_many_columns_end_where_none_can_be_left_out() -> None:
    names = [f"c{place}" for place in range(40)]
    table = pd.DataFrame(0, index=range(50), columns=names)
    row = pd.DataFrame([np.ones(40, dtype=int)], columns=names)
    needed = [names[place] for place in (3, 11, 12, 20, 33, 39)]

    def fails(rows: pd.DataFrame) -> Any:
        return (rows[needed] == 1).all(axis=1).to_numpy()

    found = shrink(row, fails, profile_of(table))
    assert set(found.changed) == set(needed)


def test_missing_cells_and_a_row_that_does_not_fail_alone() -> None:
    table = clients(100).assign(income=lambda rows: rows["income"].where(rows.index % 7 > 0))
    profile = profile_of(table)
    row = table.iloc[[0]].reset_index(drop=True)
    found = shrink(row, lambda rows: rows["income"].isna().to_numpy(), profile)
    assert found.changed == ("income",)
    assert found.row["income"].isna().all()
    same = shrink(row, lambda rows: np.zeros(len(rows), dtype=bool), profile)
    pd.testing.assert_frame_equal(same.row, row)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.booleans())
@settings(max_examples=200, deadline=None)
def test_rounder_values_are_rounder_and_come_in_order(value: float, start: float, is_whole: bool) -> None:
    if is_whole:
        value, start = float(round(value)), float(round(start))
    found = rounder(value, start, is_whole=is_whole)
    own = (digits(value), abs(value - start))
    keys = [(digits(item), abs(item - start)) for item in found]
    assert all(key < own for key in keys)
    assert keys == sorted(keys)
    assert not is_whole or all(item == int(item) for item in found)


def test_values_between_two() -> None:
    assert between(0, 5, 32, is_whole=True) == [1, 2, 3, 4]
    assert between(5, 0, 2, is_whole=True) == [3, 2] or between(5, 0, 2, is_whole=True) == [3, 1]
    assert between(1, 2, 32, is_whole=True) == []
    assert between(0, 1, 3, is_whole=False) == [0.25, 0.5, 0.75]
    assert between(1.0, 1.0, 3, is_whole=False) == []


@given(st.lists(st.sampled_from(["good", "not", "bad", "very"]), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_a_text_keeps_only_the_words_and_letters_that_it_needs(words: list[str]) -> None:
    text = " ".join([*words, "not", "bad"])

    def fails(texts: list[str]) -> Any:
        return np.asarray(["no" in text and "b" in text for text in texts], dtype=bool)

    found = shrink_item([text], fails)
    assert sorted(found.item[0]) == ["b", "n", "o"]


def test_an_array_keeps_only_the_elements_that_it_needs() -> None:
    image = np.random.default_rng(0).random((1, 12, 12)) + 0.1

    def fails(images: np.ndarray) -> Any:
        return (images[:, 3, 4] > 0.05) & (images[:, 7, 2] > 0.05)

    found = shrink_item(image, fails)
    assert set(map(tuple, np.argwhere(found.item[0] != 0))) == {(3, 4), (7, 2)}
    assert found.item.dtype == image.dtype
    listed = shrink_item([image[0]], lambda items: fails(np.stack(items)))
    np.testing.assert_array_equal(listed.item[0], found.item[0])
    numbers = shrink_item([[5, 1, 7, 9]], lambda items: np.asarray([7 in item for item in items], dtype=bool))
    assert numbers.item == [[7]]
    other = shrink_item([{"a": 1}], lambda items: np.ones(len(items), dtype=bool))
    assert other.item == [{"a": 1}]
