"""Rows that are made from what is known of columns: types, limits, distribution, seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from behavior_inputs import clients
from pytest_prodml.checks.behavior.batches import inputs_of
from pytest_prodml.checks.behavior.generator import MODES, distribution, generate
from pytest_prodml.checks.behavior.profile import profile_of
from pytest_prodml.checks.behavior.strategies import frames, rows
from pytest_prodml.errors import InputError


def every_type(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    hours = pd.date_range("2020-01-01", periods=n, freq="h")
    made = pd.DataFrame(
        {
            "whole": rng.integers(0, 50, n),
            "small": rng.integers(-5, 100, n).astype("int8"),
            "unsigned": rng.integers(0, 9, n).astype("uint16"),
            "float": rng.gamma(2, 100, n),
            "float32": rng.normal(size=n).astype("float32"),
            "holes": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            "flag": rng.random(n) < 0.3,
            "category": pd.Categorical(rng.choice(list("abc"), n), categories=list("abcd")),
            "text": rng.choice(["x", "y", "z"], n),
            "object": pd.Series(rng.choice(["m", "n"], n), dtype=object),
            "string": pd.array(rng.choice(["p", "q"], n), dtype="string"),
            "Int64": pd.array([None if hole else 5 for hole in rng.random(n) < 0.1], dtype="Int64"),
            "Float64": pd.array(rng.normal(size=n), dtype="Float64"),
            "boolean": pd.array(rng.random(n) < 0.5, dtype="boolean"),
            "seconds": hours.astype("datetime64[s]"),
            "nanoseconds": hours.astype("datetime64[ns]"),
            "zoned": hours.tz_localize("Europe/Berlin"),
            "span": pd.to_timedelta(rng.integers(0, 1000, n), unit="s"),
            3: rng.normal(size=n),
        }
    )
    made.loc[3, "seconds"] = pd.NaT
    made.loc[4, "zoned"] = pd.NaT
    return made


@pytest.mark.parametrize("mode", MODES)
def test_every_type_is_kept(mode: str) -> None:
    table = every_type()
    profile = profile_of(table)
    made = generate(profile, 2000, mode=mode, seed=3)
    pd.testing.assert_series_equal(made.rows.dtypes, table.dtypes)
    pd.testing.assert_series_equal(profile.typical.dtypes, table.dtypes)
    assert len(made.rows) == 2000
    has_holes = table.isna().any()
    assert not made.rows.loc[:, ~has_holes].isna().any().any()
    assert made.rows.loc[:, has_holes].isna().any().all()
    pd.testing.assert_frame_equal(made.rows, generate(profile, 2000, mode=mode, seed=3).rows)
    assert not made.rows.equals(generate(profile, 2000, mode=mode, seed=4).rows)


def test_plausible_values_lie_where_values_occur_and_extreme_ones_do_not() -> None:
    table = every_type()
    plausible = generate(profile_of(table), 5000, mode="plausible", seed=1).rows
    numbers = ["whole", "small", "unsigned", "float", "float32", "holes", "Int64", "Float64", 3]
    for name in [*numbers, "seconds", "nanoseconds", "zoned", "span"]:
        low, high = plausible[name].min(), plausible[name].max()
        assert table[name].min() <= low <= high <= table[name].max(), name
    # A category that never occurred is possible, a word that never occurred is not plausible.
    assert set(plausible["category"]) == set("abcd")
    assert set(plausible["text"]) == set("xyz")
    extreme = generate(profile_of(table), 5000, mode="extreme", seed=1).rows
    for name in ["whole", "float", "float32", "seconds", "zoned", "span"]:
        assert extreme[name].max() > table[name].max(), name
        assert extreme[name].min() < table[name].min(), name
    assert set(extreme["text"]) - set("xyz")
    assert set(extreme["category"]) == set("abcd")


def test_plausible_rows_are_drawn_from_the_stated_distribution() -> None:
    """Half of the work of a rate: the share of cells that are drawn anew is what the evidence says."""
    n = 40_000
    table = pd.DataFrame({"a": np.arange(1.0, 1001.0) * 2.0**0.5, "b": np.arange(1000)})
    made = generate(profile_of(table), n, mode="plausible", seed=8).rows
    together = np.isclose(made["a"] / 2.0**0.5 - 1, made["b"])
    # A row is as it was where neither cell is drawn anew: (1 + .8^2 + .5^2 + .2^2) / 4, and hardly else.
    expected = (1 + 0.8**2 + 0.5**2 + 0.2**2) / 4
    assert abs(together.mean() - expected) < 0.01
    # The largest: one of four edges, what a small move is cut off at, and rows that have it as they are.
    share = 0.375 * (0.15 / 4 + 0.20 * 0.0125) + 0.625 / 1000
    assert binomtest(int((made["a"] == table["a"].max()).sum()), n, share).pvalue > 1e-3
    assert "real rows" in str(distribution()["rows"])


def test_dependence_between_columns_is_kept() -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(size=5000)
    table = pd.DataFrame({"a": base, "b": base + 0.1 * rng.normal(size=5000)})
    made = generate(profile_of(table), 5000, mode="plausible", seed=0).rows
    apart = pd.DataFrame({name: rng.permutation(table[name]) for name in table})
    assert made.corr().loc["a", "b"] > 0.3 > abs(apart.corr().loc["a", "b"])


def test_columns_to_keep_stay_as_in_real_rows() -> None:
    table = clients(400)
    made = generate(profile_of(table), 3000, mode="extreme", seed=0, keep=["income"]).rows
    assert set(made["income"]) <= set(table["income"])
    assert made["age"].max() > table["age"].max()


SCHEMA = pa.DataFrameSchema(
    {
        "age": pa.Column(int, pa.Check.in_range(18, 100)),
        "income": pa.Column(float, [pa.Check.gt(0), pa.Check.lt(1e5)], nullable=True),
        "late": pa.Column(int, pa.Check.isin([0, 1, 2, 7])),
        "target": pa.Column(int, pa.Check.isin([0, 1])),
    },
    checks=pa.Check(lambda rows: rows["age"] > rows["late"] * 10, name="old enough"),
)


@pytest.mark.parametrize("mode", ["plausible", "extreme"])
def test_a_schema_is_kept_and_its_edges_are_reached(mode: str) -> None:
    table = clients(400)
    made = generate(profile_of(table, schema=SCHEMA), 3000, mode=mode, seed=0)
    assert len(made.rows) == 3000
    assert made.n_refused > 0
    # Labels that only the schema knows are made for its rules, and not given to a model.
    assert list(made.rows.columns) == list(table.columns)
    SCHEMA.validate(made.rows.assign(target=1))
    if mode == "extreme":
        assert (made.rows["age"].min(), made.rows["age"].max()) == (18, 100)
        assert set(made.rows["late"]) == {0, 1, 2, 7}
        assert made.rows["income"].isna().any()
        assert made.rows["income"].max() > 9e4


def test_a_schema_alone_is_enough() -> None:
    made = generate(profile_of(SCHEMA), 500, mode="plausible", seed=0).rows
    SCHEMA.validate(made)
    assert {"age", "income", "late", "target"} == set(made.columns)
    with pytest.raises(InputError, match="a schema alone has no observed rows"):
        generate(profile_of(SCHEMA), 5, mode="observed", seed=0)


def test_inputs_of_any_form_have_a_profile() -> None:
    table = clients(50)
    first = profile_of(inputs_of(table)).typical
    pd.testing.assert_frame_equal(first, profile_of(table).typical)


@pytest.mark.parametrize(
    ("source", "mode", "message"),
    [
        (clients(), "likely", "there is no mode 'likely'"),
        (pd.DataFrame({"a": [[1], [2]]}), "plausible", "cells that can not be compared"),
        (pd.DataFrame({"a": [pd.NaT, pd.NaT]}), "plausible", "no time was observed"),
        (pd.DataFrame({"a": [1 + 2j, 2j]}), "plausible", None),
    ],
)
def test_what_can_not_be_made_is_told(source: Any, mode: str, message: str | None) -> None:
    if message is None:
        assert set(generate(profile_of(source), 20, mode=mode, seed=0).rows["a"]) <= set(source["a"])
        return
    with pytest.raises(InputError, match=message):
        generate(profile_of(source), 20, mode=mode, seed=0)


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20),
    st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=20),
    st.lists(st.text(max_size=4), min_size=1, max_size=20),
    st.sampled_from(MODES),
    st.integers(0, 2**40),
)
@settings(max_examples=60, deadline=None)
def test_any_table_makes_rows_of_its_own_types(
    floats: list[float], wholes: list[int], texts: list[str], mode: str, seed: int
) -> None:
    n = min(len(floats), len(wholes), len(texts))
    table = pd.DataFrame({"f": floats[:n], "i": wholes[:n], "t": texts[:n]})
    made = generate(profile_of(table), 30, mode=mode, seed=seed).rows
    pd.testing.assert_series_equal(made.dtypes, table.dtypes)
    assert not made.isna().any().any()
    if mode != "extreme":
        assert made["f"].between(table["f"].min(), table["f"].max()).all()
        assert set(made["t"]) <= set(table["t"])


@given(st.data())
@settings(max_examples=10, deadline=None)
def test_strategies_give_rows_of_the_data(data: st.DataObject) -> None:
    table = every_type(40)
    for mode in MODES:
        one = data.draw(rows(table, mode=mode))
        assert set(one) == set(table.columns)
    made = data.draw(frames(table, max_size=3))
    pd.testing.assert_series_equal(made.dtypes, table.dtypes)
    assert 1 <= len(made) <= 3


@given(frames(clients(50), schema=SCHEMA, max_size=1))
@settings(max_examples=30, deadline=None)
def test_frames_of_a_strategy_keep_the_schema(table: pd.DataFrame) -> None:
    SCHEMA.validate(table.assign(target=0))


@pytest.mark.parametrize(("mode", "message"), [("observed", "no observed rows"), ("odd", "there is no mode")])
def test_strategies_that_can_not_be(mode: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rows(SCHEMA, mode=mode)
