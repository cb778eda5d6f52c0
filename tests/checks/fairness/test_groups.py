"""Columns about people and the groups that are made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prodml.checks.fairness.groups import Grouping, groupings
from pytest_prodml.errors import InputError


def members(grouping: Grouping) -> dict[str, list[int]]:
    return {
        label: np.flatnonzero(grouping.rows(place)).tolist() for place, label in enumerate(grouping.labels)
    }


def one(columns: dict[str, Any], **options: Any) -> Grouping:
    rows = len(next(iter(columns.values())))
    [found] = groupings(columns, rows, **options)
    return found


CELLS = st.sampled_from(["a", "b", None])


@given(st.lists(st.tuples(CELLS, CELLS, st.integers(0, 3)), min_size=1, max_size=40))
def test_combinations_are_those_that_pandas_finds(rows: list[tuple[Any, Any, int]]) -> None:
    frame = pd.DataFrame(rows, columns=["sex", "region", "band"])
    frame = frame.astype({"sex": object, "region": object})
    columns = {name: frame[name].to_numpy() for name in frame}
    asked = ["sex", ("sex", "region"), ("sex", "region", "band")]
    for grouping, item in zip(groupings(columns, len(frame), by=asked), asked, strict=True):
        names = [item] if isinstance(item, str) else list(item)
        expected = {}
        for key, part in frame.fillna({"sex": "(missing)", "region": "(missing)"}).groupby(names):
            values = key if isinstance(key, tuple) else (key,)
            label = " & ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
            expected[label] = part.index.tolist()
        assert members(grouping) == expected
        assert grouping.attribute == " & ".join(names)
        assert grouping.sizes.tolist() == [len(found) for found in members(grouping).values()]
        assert not grouping.overlap


def test_bands_belong_to_the_edge_below_them_and_missing_is_one_of_its_own() -> None:
    found = one({"age": np.array([17.5, 30, 29, 60, np.nan, 45])}, bins={"age": [30, 60]})
    assert members(found) == {
        "age=(-inf, 30)": [0, 2],
        "age=[30, 60)": [1, 5],
        "age=[60, inf)": [3],
        "age=(missing)": [4],
    }
    assert found.edges == {"age": (30.0, 60.0)}
    assert members(one({"age": np.array([1, 2, 3, 90])}, bins={"age": [10, 50]})) == {
        "age=(-inf, 10)": [0, 1, 2],
        "age=[50, inf)": [3],
    }


@pytest.mark.parametrize(
    ("cells", "options"),
    [
        ([["x", "y"], ["y"], [], None], {}),
        ([("x", "y"), {"y"}, set(), np.nan], {}),
        (["x; y", "y", "", None], {"separators": {"origin": ";"}}),
        (np.array([["x", "y"], ["y"], [], None], dtype=object), {}),
    ],
)
def test_a_cell_with_several_values_is_a_member_of_each(cells: Any, options: Any) -> None:
    found = one({"origin": cells}, **options)
    assert found.overlap
    assert members(found) == {"origin=x": [0], "origin=y": [0, 1], "origin=(missing)": [2, 3]}


def test_several_values_combine_with_other_columns() -> None:
    [found] = groupings(
        {"origin": [["x", "y"], ["y"], ["y"]], "sex": ["f", "m", "f"]}, 3, by=[("origin", "sex")]
    )
    assert members(found) == {
        "origin=x & sex=f": [0],
        "origin=y & sex=f": [0, 2],
        "origin=y & sex=m": [1],
    }


def test_lists_of_one_value_are_plain_groups() -> None:
    assert not one({"origin": [["x"], ["y"], ["x"]]}).overlap


def test_groups_left_out_are_nobody() -> None:
    found = one({"sex": ["f", "m", "x", "f"]}).without([2])
    assert members(found) == {"sex=f": [0, 3], "sex=m": [1]}
    overlapping = one({"origin": [["x", "y"], ["y"]]}).without([0])
    assert members(overlapping) == {"origin=y": [0, 1]}


@pytest.mark.parametrize(
    ("told", "columns", "options"),
    [
        ("no attribute", {}, {}),
        ("there is no column 'region'", {"sex": ["f"]}, {"by": ["region"]}),
        ("there is no column 'b'", {"sex": ["f"]}, {"by": [("sex", "b")]}),
        ("names each of its columns once", {"sex": ["f"]}, {"by": [("sex", "sex")]}),
        ("no attribute", {"sex": ["f"]}, {"by": []}),
        ("numbers with fractions", {"income": [1.5]}, {}),
        ("bins names the column 'age'", {"sex": ["f"]}, {"bins": {"age": [1]}}),
        ("separators names the column 'age'", {"sex": ["f"]}, {"separators": {"age": ";"}}),
        ("has bins but holds no numbers", {"sex": ["f"]}, {"bins": {"sex": [1]}}),
        ("edges of bins", {"age": [1]}, {"bins": {"age": [3, 2]}}),
        ("not text", {"age": [1]}, {"separators": {"age": ";"}}),
        ("at least one character", {"sex": ["f"]}, {"separators": {"sex": ""}}),
        ("lists of lists", {"sex": [[["f"]]]}, {}),
        ("has bins, and cells with several values", {"sex": [["f"]]}, {"bins": {"sex": [1]}}),
        ("different values", {"name": [[f"n{place}" for place in range(101)]]}, {}),
    ],
)
def test_what_makes_no_groups_is_told(told: str, columns: Any, options: Any) -> None:
    with pytest.raises(InputError) as raised:
        groupings(columns, 1, **options)
    assert told in str(raised.value)


def test_too_many_combinations_are_told() -> None:
    columns = {name: np.arange(2000) // size % 20 for name, size in (("a", 1), ("b", 20))}
    with pytest.raises(InputError, match="makes 400 groups"):
        groupings(columns, 2000, by=[("a", "b")])


def test_columns_of_other_lengths_are_told() -> None:
    for cells in (["f", "m"], [["f"], ["m"]]):
        with pytest.raises(InputError, match="differ in length"):
            groupings({"sex": cells}, 3)
