# ruff: noqa: DTZ001 - times without a zone are part of it
"""A compiled schema counts what pandera itself counts, and what it can not count is left to pandera."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from pytest_prodml.adapters.contract import compile_schema
from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.adapters.schemas import violations
from pytest_prodml.checks.data.findings import find

BOUNDED = settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """Cells of one pandas type, constants to compare them with, and whether they have an order."""

    dtype: str
    cells: tuple[Any, ...]
    constants: tuple[Any, ...]
    ordered: bool = True
    texts: bool = False


_UTC = dt.timezone(dt.timedelta(0))
_TEXTS = ("", "a", "A", "ab", "abc", "b\n", "é", "e\u0301", "😀", "12", "NaN", "none")
SORTS = {
    "real": Sort(
        dtype="float64",
        cells=(0.0, -0.0, 0.1, 1.0, -1.5, 2.0**53, 1e-310, math.inf, -math.inf, math.nan, None),
        constants=(0.0, -0.0, 0, 1, 0.1, 0.3, -1.5, math.inf, 2**53),
    ),
    "single": Sort(
        dtype="float32",
        cells=(0.0, -0.0, 0.5, 0.1, -3.0, math.inf, math.nan, None),
        constants=(0.0, 0.5, 2, -3, 0.25),
    ),
    "whole": Sort(
        dtype="int64", cells=(0, 1, -1, 3, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)), constants=(0, 1, -1, 3, 0.5)
    ),
    "small": Sort(dtype="uint8", cells=(0, 1, 3, 255), constants=(0, 1, 3, 255, 2.5)),
    "perhaps": Sort(dtype="Int64", cells=(0, 1, -1, 3, 10**6, None), constants=(0, 1, -1, 3, 10**6)),
    "half": Sort(dtype="Float64", cells=(0.0, 1.0, -2.5, math.inf, None), constants=(0.0, 1, -2.5)),
    "flag": Sort(dtype="bool", cells=(True, False), constants=(True, False), ordered=False),
    "unsure": Sort(
        dtype="boolean", cells=(True, False, None), constants=(True, False), ordered=False
    ),
    "text": Sort(dtype="str", cells=(*_TEXTS, None), constants=(*_TEXTS, "zz"), ordered=False, texts=True),
    "label": Sort(
        dtype="category", cells=("a", "b", "Ä", "z", None), constants=("a", "b", "zz"), ordered=False
    ),
    "local": Sort(
        dtype="datetime64[us]",
        cells=(dt.datetime(2024, 10, 27, 2, 30), dt.datetime(1960, 1, 1, 0, 0, 0, 1), None),
        constants=(dt.datetime(2024, 10, 27, 2, 30), pd.Timestamp(2000, 1, 1)),
    ),
    "moment": Sort(
        dtype="datetime64[us, Europe/Berlin]",
        # The hour that the clocks of Berlin show twice.
        cells=(
            pd.Timestamp(2024, 10, 27, 0, 30, tz="UTC"),
            pd.Timestamp(2024, 10, 27, 1, 30, tz="UTC"),
            pd.Timestamp(1969, 12, 31, tz="UTC"),
            None,
        ),
        constants=(dt.datetime(2024, 10, 27, 1, 30, tzinfo=_UTC), pd.Timestamp(2000, 1, 1, tz="UTC")),
    ),
}  # fmt: skip


def cells_of(name: str, cells: list[Any]) -> pd.Series:
    dtype = SORTS[name].dtype
    if name == "moment":
        return pd.Series(pd.to_datetime(pd.Series(cells, dtype=object), utc=True)).astype(dtype)
    return pd.Series(cells, dtype=dtype)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    size = draw(st.integers(1, 12))
    names = draw(st.lists(st.sampled_from(sorted(SORTS)), min_size=1, max_size=4, unique=True))
    columns = {
        name: cells_of(name, draw(st.lists(st.sampled_from(SORTS[name].cells), min_size=size, max_size=size)))
        for name in names
    }
    # Labels that are no positions.
    return pd.DataFrame(columns).set_axis([f"r{place}" for place in range(size)])


@st.composite
def checks(draw: st.DrawFn, sort: Sort) -> pa.Check:
    one = st.sampled_from(sort.constants)
    kinds = ["equal_to", "not_equal_to", "isin", "notin"]
    kinds += [
        "greater_than",
        "greater_than_or_equal_to",
        "less_than",
        "less_than_or_equal_to",
        "in_range",
    ] * (sort.ordered)
    kinds += ["str_matches", "str_startswith", "str_endswith", "str_contains", "str_length"] * sort.texts
    kind = draw(st.sampled_from(kinds))
    warns = draw(st.sampled_from([False, False, True]))
    if kind in {"isin", "notin"}:
        return getattr(pa.Check, kind)(draw(st.lists(one, min_size=1, max_size=3)), raise_warning=warns)
    if kind == "in_range":
        low, high = sorted(draw(st.tuples(one, one)))
        inside = draw(st.booleans()), draw(st.booleans())
        low_in, high_in = (True, True) if low == high else inside
        return pa.Check.in_range(low, high, include_min=low_in, include_max=high_in, raise_warning=warns)
    if kind == "str_length":
        low, high = sorted((draw(st.integers(0, 3)), draw(st.integers(0, 3))))
        return pa.Check.str_length(low, high, raise_warning=warns)
    if kind in {"str_matches", "str_contains"}:
        pattern = draw(st.sampled_from(["a", "[a-c]+", "ab|b", r"\d+", "é", "^a", "b$", r"\w", "(?i)A", "."]))
        return getattr(pa.Check, kind)(pattern, raise_warning=warns)
    if kind in {"str_startswith", "str_endswith"}:
        part = draw(st.sampled_from(["", "a", "b", "\u0301", "%"]))
        return getattr(pa.Check, kind)(part, raise_warning=warns)
    return getattr(pa.Check, kind)(draw(one), raise_warning=warns)


@st.composite
def tables(draw: st.DrawFn) -> tuple[pd.DataFrame, pa.DataFrameSchema]:
    frame = draw(frames())
    keeps = st.sampled_from(["all", "exclude_first", "exclude_last"])
    columns: dict[str, pa.Column] = {}
    for name in frame.columns:
        if not draw(st.booleans()):
            continue
        other = draw(st.sampled_from([*[None, SORTS[name].dtype] * 3, "int64", "str", "float32"]))
        columns[name] = pa.Column(
            other,
            draw(st.lists(checks(SORTS[name]), max_size=2)) if other in {None, SORTS[name].dtype} else [],
            nullable=draw(st.booleans()),
            unique=draw(st.sampled_from([False, False, True])),
            report_duplicates=draw(keeps),
        )
    if draw(st.booleans()):
        columns["absent"] = pa.Column(int, required=draw(st.booleans()))
    names = draw(st.permutations(list(columns)))
    schema = pa.DataFrameSchema(
        {name: columns[name] for name in names},
        strict=draw(st.booleans()),
        ordered=draw(st.booleans()),
        unique=draw(st.sampled_from([None, *([list(frame.columns)] * 1)])),
        report_duplicates=draw(keeps),
    )
    return frame, schema


def by_rule(items: Any) -> list[tuple[str, str, int, bool, bool]]:
    found = {
        # pandera says of the table that its order is wrong, once for each column.
        place if item.rule != "column_ordered" else -1: (
            item.column if item.rule != "column_ordered" else "(table)",
            item.rule,
            item.n_rows,
            item.is_evaluated,
            item.warns_only,
        )
        for place, item in enumerate(items)
    }
    return sorted(found.values())


@BOUNDED
@given(drawn=tables())
def test_the_contract_counts_what_pandera_counts(drawn: tuple[pd.DataFrame, pa.DataFrameSchema]) -> None:
    frame, schema = drawn
    table = open_table(frame, name="rows")
    found = find(schema, table, frame=frame, most_examples=3, seed=0)
    event("opaque" if "evaluated_by_pandera" in found.facts else "counted by the engine")
    event("broken" if found.items else "kept")
    assert by_rule(found.items) == by_rule(violations(schema, frame))


@BOUNDED
@given(drawn=tables())
def test_the_examples_are_rows_that_pandera_names(drawn: tuple[pd.DataFrame, pa.DataFrameSchema]) -> None:
    frame, schema = drawn
    found = find(schema, open_table(frame, name="rows"), frame=frame, most_examples=3, seed=0)
    named = {(i.column, i.rule): i.rows for i in violations(schema, frame) if i.rows is not None}
    for item in found.items:
        for example in item.examples:
            if example.row is not None:
                assert example.row in named[item.column, item.rule]


def compiled(schema: Any, frame: pd.DataFrame) -> Any:
    return compile_schema(schema, open_table(frame, name="rows").engine.columns(), dtypes=dict(frame.dtypes))


ROWS = pd.DataFrame({"a": [1, 2, 3], "b": [1.5, 2.5, np.nan], "c": ["x", "y", "z"]})


def test_what_only_pandera_can_say_is_left_to_it() -> None:
    own = pa.Check(lambda cells: cells > 1, name="own")
    contract = compiled(pa.DataFrameSchema({"a": pa.Column(int, [own, pa.Check.ge(0)])}), ROWS)
    assert dict(contract.reasons) == {"a: own": "a check of the project's own"}
    assert contract.opaque_columns == ("a",)
    assert [rule.name for rule in contract.rules] == ["not_nullable", "greater_than_or_equal_to(0)"]


def test_a_check_of_ones_own_with_a_built_in_name_is_not_taken_for_pandera_s() -> None:
    impostor = pa.Check(
        lambda cells: cells > 100, name="greater_than_or_equal_to", statistics={"min_value": 0}
    )
    schema = pa.DataFrameSchema({"a": pa.Column(int, impostor)})
    assert list(compiled(schema, ROWS).reasons) == ["a: greater_than_or_equal_to"]
    found = find(schema, open_table(ROWS, name="rows"), frame=ROWS, most_examples=3, seed=0)
    assert by_rule(found.items) == [("a", "greater_than_or_equal_to", 3, True, False)]


def test_a_backend_that_is_loaded_later_leaves_built_in_checks_what_they_are() -> None:
    schema = pa.DataFrameSchema({"a": pa.Column(int, pa.Check.ge(0))})
    [check] = schema.columns["a"].checks

    class Elsewhere:
        pass

    registered = type(check).CHECK_FUNCTION_REGISTRY[check.name]._function_registry
    registered[Elsewhere] = registered[next(iter(registered))]
    try:
        assert compiled(schema, ROWS).reasons == {}
    finally:
        del registered[Elsewhere]


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (pa.DataFrameSchema({"a": pa.Column(float)}, coerce=True), "changes the table"),
        (pa.DataFrameSchema({"a": pa.Column(float, coerce=True)}), "changes the table"),
        (pa.DataFrameSchema({"a": pa.Column(int, parsers=pa.Parser(abs))}), "changes the table"),
        (pa.DataFrameSchema({"b": pa.Column(float, default=0.0)}), "fills cells"),
        (pa.DataFrameSchema({"a": pa.Column(int)}, index=pa.Index(int)), "the index"),
        (pa.DataFrameSchema({"a": pa.Column(None)}, dtype=float), "all columns at once"),
    ],
)
def test_a_schema_that_is_about_more_than_cells_is_pandera_s_altogether(schema: Any, why: str) -> None:
    contract = compiled(schema, ROWS)
    assert (contract.rules, contract.mismatches) == ((), ())
    [reason] = contract.reasons.values()
    assert why in reason
    found = find(schema, open_table(ROWS, name="rows"), frame=ROWS, most_examples=3, seed=0)
    assert by_rule(found.items) == by_rule(violations(schema, ROWS))


def test_columns_by_pattern() -> None:
    frame = pd.DataFrame({"x_1": [1, -1], "x_2": [-1, -1], "y": [0, 0]})
    schema = pa.DataFrameSchema({"x_.*": pa.Column(int, pa.Check.ge(0), regex=True)}, strict=True)
    found = find(schema, open_table(frame, name="rows"), frame=frame, most_examples=3, seed=0)
    assert by_rule(found.items) == [
        ("x_1", "greater_than_or_equal_to(0)", 1, True, False),
        ("x_2", "greater_than_or_equal_to(0)", 2, True, False),
        ("y", "column_in_schema", 2, True, False),
    ]
    assert by_rule(found.items) == by_rule(violations(schema, frame))
    nothing = pa.DataFrameSchema({"z_.*": pa.Column(int, regex=True)})
    [mismatch] = compiled(nothing, frame).mismatches
    assert "no column fits the pattern" in mismatch.note


def test_ten_thousand_columns_are_one_query() -> None:
    wide = pd.DataFrame(np.zeros((3, 10_000)), columns=[f"c{place}" for place in range(10_000)])
    wide.loc[1, "c77"] = -1.0
    schema = pa.DataFrameSchema({name: pa.Column(float, pa.Check.ge(0)) for name in wide.columns})
    table = open_table(wide, name="rows")
    found = find(schema, table, frame=wide, most_examples=3, seed=0)
    assert [(item.column, item.n_rows) for item in found.items] == [("c77", 1)]
    assert table.engine.scans == 2
