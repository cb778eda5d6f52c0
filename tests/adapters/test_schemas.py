"""pandera decides what violates; nothing may keep it from looking, and its errors stay bounded."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import pandera.config
import pandera.pandas as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_prodml.adapters.schemas import Violation, column_rules, is_schema, violations
from pytest_prodml.errors import InputError


def found(schema: Any, frame: pd.DataFrame) -> dict[tuple[str, str], int]:
    return {(item.column, item.rule): item.n_rows for item in violations(schema, frame)}


def ages(*values: object, **options: Any) -> pd.DataFrame:
    return pd.DataFrame({"age": list(values)}, **options)


ADULT = pa.DataFrameSchema({"age": pa.Column(int, pa.Check.in_range(18, 100))})


def test_each_rule_counts_its_own_rows() -> None:
    schema = pa.DataFrameSchema(
        {
            "age": pa.Column(float, [pa.Check.ge(18), pa.Check.le(100)], nullable=False),
            "sex": pa.Column(str, pa.Check.isin(["f", "m"])),
            "id": pa.Column(int, unique=True),
        }
    )
    frame = pd.DataFrame(
        {"age": [17.0, 30.0, 130.0, None, 5.0], "sex": ["f", "x", "m", "y", "f"], "id": [1, 2, 2, 3, 2]}
    )
    assert found(schema, frame) == {
        ("age", "not_nullable"): 1,
        ("age", "greater_than_or_equal_to(18)"): 2,
        ("age", "less_than_or_equal_to(100)"): 1,
        ("sex", "isin(['f', 'm'])"): 2,
        ("id", "field_uniqueness"): 3,
    }
    rows: dict[Any, Any] = {(item.column, item.rule): item.rows for item in violations(schema, frame)}
    assert list(rows["sex", "isin(['f', 'm'])"]) == [1, 3]
    assert list(rows["id", "field_uniqueness"]) == [1, 2, 4]


@given(st.lists(st.integers(-50, 200), min_size=1, max_size=60))
@settings(max_examples=40, deadline=None)
def test_the_count_is_the_number_of_rows_that_break_the_rule(values: list[int]) -> None:
    expected = sum(not 18 <= value <= 100 for value in values)
    index = pd.Index([f"r{number}" for number in range(len(values))])
    counted = violations(ADULT, ages(*values, index=index))
    assert sum(item.n_rows for item in counted) == expected
    failing = [index[number] for number, value in enumerate(values) if not 18 <= value <= 100]
    assert [label for item in counted if item.rows is not None for label in item.rows] == failing


def test_a_conforming_table_breaks_nothing_and_is_left_alone() -> None:
    frame = ages(18, 50)
    before = frame.copy()
    schema = pa.DataFrameSchema({"age": pa.Column(float, coerce=True, parsers=pa.Parser(lambda s: s + 1))})
    assert violations(schema, frame) == []
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("option", [{"validation_enabled": False}, {"validation_depth": "SCHEMA_ONLY"}])
def test_pandera_s_switches_do_not_switch_a_gate_off(option: dict[str, Any]) -> None:
    with pandera.config.config_context(**option):
        assert ADULT.validate(ages(3)).shape == (1, 1)
        assert found(ADULT, ages(3)) == {("age", "in_range(18, 100)"): 1}


def test_rows_are_not_dropped_and_warnings_not_lost() -> None:
    dropping = pa.DataFrameSchema(
        {"age": pa.Column(int, pa.Check.ge(18), drop_invalid_rows=True)}, drop_invalid_rows=True
    )
    assert dropping.validate(ages(3, 20), lazy=True).shape == (1, 1)
    assert sum(found(dropping, ages(3, 20)).values()) == 1
    warning = pa.DataFrameSchema({"age": pa.Column(int, pa.Check.ge(18, raise_warning=True))})
    (item,) = violations(warning, ages(3, 20))
    assert item.warns_only
    assert item.n_rows == 1


def test_the_caller_s_schema_is_not_changed() -> None:
    schema = pa.DataFrameSchema(
        {"age": pa.Column(int, pa.Check.ge(18, raise_warning=True))}, drop_invalid_rows=True
    )
    violations(schema, ages(3))
    check = schema.columns["age"].checks[0]
    assert check.raise_warning
    assert check.n_failure_cases is None
    assert schema.drop_invalid_rows


def test_rules_about_the_whole_count_every_row() -> None:
    schema = pa.DataFrameSchema(
        {"age": pa.Column(int), "sex": pa.Column(str)},
        checks=pa.Check(lambda table: len(table) > 10, name="large"),
    )
    items = violations(schema, ages(1.5, 2.0, 3.0))
    assert {(item.column, item.rule): item.n_rows for item in items} == {
        ("sex", "column_in_dataframe"): 3,
        ("age", "dtype('int64')"): 3,
        ("(table)", "large"): 3,
    }
    assert all(item.rows is None for item in items)
    assert any("float64" in item.note for item in items)


def test_rules_over_several_columns_name_rows() -> None:
    schema = pa.DataFrameSchema(
        {"low": pa.Column(int), "high": pa.Column(int)},
        checks=pa.Check(lambda table: table["low"] <= table["high"], name="ordered"),
        unique=["low", "high"],
    )
    frame = pd.DataFrame({"low": [1, 5, 1], "high": [2, 3, 2]})
    assert found(schema, frame) == {("(table)", "ordered"): 1, ("(table)", "unique: low, high"): 2}


def test_every_set_of_columns_that_must_be_unique_is_counted() -> None:
    # pandera itself stops at the first one.
    schema = pa.DataFrameSchema({"a": pa.Column(int), "b": pa.Column(int)}, unique=[["a"], ["b"]])
    frame = pd.DataFrame({"a": [1, 1, 2], "b": [3, 3, 3]})
    assert found(schema, frame) == {("(table)", "unique: a"): 2, ("(table)", "unique: b"): 3}


def test_missing_keys_that_repeat_are_counted() -> None:
    schema = pa.DataFrameSchema({"key": pa.Column(float, unique=True, nullable=True)})
    assert found(schema, pd.DataFrame({"key": [1.0, None, None]})) == {("key", "field_uniqueness"): 2}


def test_columns_by_pattern_and_strict_schemas() -> None:
    schema = pa.DataFrameSchema({"pay_.*": pa.Column(int, pa.Check.ge(0), regex=True)}, strict=True)
    frame = pd.DataFrame({"pay_may": [1, -1], "pay_jun": [-1, -1], "other": [0, 0]})
    assert found(schema, frame) == {
        ("pay_may", "greater_than_or_equal_to(0)"): 1,
        ("pay_jun", "greater_than_or_equal_to(0)"): 2,
        ("other", "column_in_schema"): 2,
    }


def test_the_index_can_be_part_of_the_schema() -> None:
    schema = pa.DataFrameSchema({"age": pa.Column(int)}, index=pa.Index(int, pa.Check.ge(0)))
    assert found(schema, ages(1, 2, index=[-1, 0])) == {("(index)", "greater_than_or_equal_to(0)"): 1}


def test_a_model_class_is_a_schema() -> None:
    class Clients(pa.DataFrameModel):  # type: ignore[misc]  # pandera has no types
        age: int = pa.Field(ge=18)

    assert sum(found(Clients, ages(3, 20)).values()) == 1
    assert is_schema(Clients)
    assert is_schema(ADULT)
    assert not is_schema(ages(1))
    assert not is_schema(None)


def test_a_rule_that_raises_is_told_apart() -> None:
    schema = pa.DataFrameSchema(
        {"age": pa.Column(int, pa.Check(lambda values: values.no_such_thing, name="odd"))}
    )
    (item,) = violations(schema, ages(3))
    assert not item.is_evaluated
    assert "no_such_thing" in item.note


def test_a_million_failing_rows_stay_small() -> None:
    n_rows = 1_000_000
    frame = pd.DataFrame({"age": np.arange(n_rows) % 7})
    (item,) = violations(ADULT, frame)
    assert item.n_rows == n_rows
    text_bytes = sum(sys.getsizeof(part) for part in (item.column, item.rule, item.note))
    assert text_bytes < 1000


def test_labels_are_fit_for_a_signed_record() -> None:
    schema = pa.DataFrameSchema(
        {"a\u202eb": pa.Column(str, pa.Check.isin(["x" * 500], error="one\ntwo\x00"))}
    )
    (item,) = violations(schema, pd.DataFrame({"a\u202eb": ["y"]}))
    assert item.column == "a b"
    assert item.rule == "one two"
    long = pa.DataFrameSchema({"c": pa.Column(str, pa.Check.isin(["x" * 500]))})
    (item,) = violations(long, pd.DataFrame({"c": ["y"]}))
    assert len(item.rule) == 160


@pytest.mark.parametrize("schema", [None, {"age": int}, pd.DataFrame, "schema"])
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    with pytest.raises(InputError, match="expected a pandera schema for pandas"):
        violations(schema, ages(3))


def test_a_schema_that_can_not_run_is_an_error_of_the_input() -> None:
    broken = pa.DataFrameSchema({"age": pa.Column(int, parsers=pa.Parser(lambda values: values / "x"))})
    with pytest.raises(InputError, match="the schema could not be evaluated"):
        violations(broken, ages(3))


def test_what_a_schema_says_of_columns_can_be_read() -> None:
    rules = column_rules(
        pa.DataFrameSchema(
            {
                "age": pa.Column(int, [pa.Check.gt(17), pa.Check.in_range(10, 99), pa.Check.lt(120)]),
                "sex": pa.Column(str, pa.Check.isin(["f", "m"]), nullable=True),
                "flag": pa.Column(None, pa.Check.eq(1)),
                "free": pa.Column(float, pa.Check(lambda values: values > 0)),
                "pay_.*": pa.Column(int, regex=True),
            }
        )
    )
    assert set(rules) == {"age", "sex", "flag", "free"}
    assert (rules["age"].low, rules["age"].high, rules["age"].nullable) == (17, 99, False)
    assert rules["sex"].allowed == ("f", "m")
    assert rules["sex"].nullable
    assert rules["flag"].allowed == (1,)
    assert rules["flag"].dtype is None
    assert (rules["free"].low, rules["free"].high, rules["free"].allowed) == (None, None, None)


def test_violations_are_not_compared_by_their_rows() -> None:
    item = Violation(column="a", rule="b", n_rows=1, rows=pd.Index([1]))
    assert item != Violation(column="a", rule="b", n_rows=1, rows=pd.Index([1]))
