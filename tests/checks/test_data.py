"""Schema and repeated rows: exact counts, judged as such, and never a pass for what was not looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest

from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.adapters.tables import load_dataset
from pytest_prodml.checks.data import conforms_to, no_duplicates
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome

SCHEMA = pa.DataFrameSchema(
    {
        "age": pa.Column(int, pa.Check.in_range(18, 100)),
        "sex": pa.Column(str, pa.Check.isin(["f", "m"])),
    }
)


def clients(**changes: Any) -> pd.DataFrame:
    return pd.DataFrame({"age": [30, 40, 50, 60], "sex": ["f", "m", "f", "m"], **changes})


def outcome(evidence: Evidence) -> Outcome:
    canonical_json(encode(evidence))
    outcomes = {item.judgement.outcome for item in judge_criteria("data.g", evidence, confidence_level=0.95)}
    return next(kind for kind in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS) if kind in outcomes)


def values(evidence: Evidence) -> dict[str | None, float | None]:
    return {measured.group: measured.value for measured in evidence.measurements}


def test_a_conforming_table_passes_with_an_exact_zero() -> None:
    evidence = conforms_to(SCHEMA, clients(), gate_id="data.schema")
    (total,) = evidence.measurements
    assert (total.value, total.lower, total.upper, total.confidence_level) == (0, 0, 0, 1.0)
    assert total.n_samples == 4
    assert outcome(evidence) is Outcome.PASS
    facts: Any = evidence.details["engine"]
    assert (facts["rows"], facts["rules"], facts["scans"]) == (4, 4, 1)
    assert "failing_rows" not in evidence.details


def test_every_broken_rule_is_measured_and_judged() -> None:
    evidence = conforms_to(
        SCHEMA, clients(age=[3, 30, 200, 40], sex=["f", "x", "f", "m"]), gate_id="data.schema"
    )
    assert values(evidence) == {"age: in_range(18, 100)": 2, "sex: isin(['f', 'm'])": 1, None: 3}
    assert {criterion.group for criterion in evidence.criteria} == set(values(evidence))
    assert outcome(evidence) is Outcome.FAIL
    rows: Any = evidence.details["failing_rows"]
    assert [(row["column"], row["row"], row["value"]) for row in rows] == [
        ("age", 0, 3),
        ("age", 2, 200),
        ("sex", 1, "x"),
    ]


def test_some_violations_can_be_accepted() -> None:
    broken = clients(age=[3, 30, 200, 40])
    assert outcome(conforms_to(SCHEMA, broken, gate_id="g", at_most=2)) is Outcome.PASS
    assert outcome(conforms_to(SCHEMA, broken, gate_id="g", at_most=1)) is Outcome.FAIL
    spread = clients(age=[3, 30, 40, 50], sex=["x", "f", "m", "f"])
    assert outcome(conforms_to(SCHEMA, spread, gate_id="g", at_most=1)) is Outcome.FAIL


def test_values_can_be_kept_out_of_the_evidence() -> None:
    broken = pd.DataFrame({"age": [3, 30], "sex": ["secret", "f"]})
    evidence = conforms_to(SCHEMA, broken, gate_id="g", redact=True)
    assert "secret" not in json.dumps(encode(evidence))
    rows: Any = evidence.details["failing_rows"]
    assert [row["row"] for row in rows] == [0, 0]
    assert "secret" in json.dumps(encode(conforms_to(SCHEMA, broken, gate_id="g")))


def test_examples_are_bounded_and_the_count_is_not() -> None:
    n_rows = 200_000
    broken = pd.DataFrame({"age": np.zeros(n_rows, dtype=int), "sex": ["a" * 1000] * n_rows})
    evidence = conforms_to(SCHEMA, broken, gate_id="g")
    assert values(evidence)[None] == 2 * n_rows
    assert len(canonical_json(encode(evidence))) < 20_000


def test_a_rule_that_raises_is_never_a_pass() -> None:
    odd = pa.DataFrameSchema({"age": pa.Column(int, pa.Check(lambda ages: ages.nothing, name="odd"))})
    with pytest.raises(InputError, match="(?s)rule 'odd' on 'age' was not evaluated.*shows nothing"):
        conforms_to(odd, clients(), gate_id="g")
    both = pa.DataFrameSchema(
        {
            "age": pa.Column(int, pa.Check(lambda ages: ages.nothing, name="odd")),
            "sex": pa.Column(str, pa.Check.isin(["f"])),
        }
    )
    evidence = conforms_to(both, clients(), gate_id="g", at_most=2)
    assert values(evidence)["age: odd"] is None
    assert outcome(evidence) is Outcome.INCONCLUSIVE
    assert outcome(conforms_to(both, clients(), gate_id="g")) is Outcome.FAIL


def test_a_wrong_type_fails_although_other_rules_can_not_run_on_it() -> None:
    evidence = conforms_to(SCHEMA, clients(age=["a", "b", "c", "d"]), gate_id="g")
    assert values(evidence)["age: dtype('int64')"] == 4
    assert outcome(evidence) is Outcome.FAIL


def test_rules_that_only_warn_are_counted_and_not_judged() -> None:
    schema = pa.DataFrameSchema({"age": pa.Column(int, pa.Check.ge(99, raise_warning=True))})
    evidence = conforms_to(schema, clients(), gate_id="g")
    assert values(evidence) == {"age: greater_than_or_equal_to(99)": 4, None: 0}
    assert [criterion.group for criterion in evidence.criteria] == [None]
    assert outcome(evidence) is Outcome.PASS


def test_rules_that_read_alike_are_judged_apart() -> None:
    schema = pa.DataFrameSchema(
        {
            "age": pa.Column(
                int, [pa.Check(lambda a: a > 35, name="old"), pa.Check(lambda a: a > 45, name="old")]
            )
        }
    )
    evidence = conforms_to(schema, clients(), gate_id="g")
    assert values(evidence) == {"age: old": 1, "age: old (2)": 2, None: 3}


def test_the_label_column_is_checked_when_the_schema_names_it() -> None:
    table = load_dataset(clients(default=[0, 1, 7, 0]), name="test", target="default")
    assert outcome(conforms_to(SCHEMA, table, gate_id="g")) is Outcome.PASS
    labeled = SCHEMA.add_columns({"default": pa.Column(int, pa.Check.isin([0, 1]))})
    evidence = conforms_to(labeled, table, gate_id="g")
    assert values(evidence)["default: isin([0, 1])"] == 1
    assert evidence.materials == (table.material,)
    assert evidence.measurements[-1].note == "in the test data"


@pytest.mark.parametrize(
    ("data", "at_most", "message"),
    [
        (clients().head(0), 0, "no rows"),
        ([1, 2], 0, "expected a table, got list"),
        (clients(), -1, "at_most must be a number of rows"),
        (clients(), float("nan"), "at_most must be a number of rows"),
        (clients(), float("inf"), "at_most must be a number of rows"),
    ],
)
def test_what_can_not_be_checked_is_refused(data: Any, at_most: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        conforms_to(SCHEMA, data, gate_id="g", at_most=at_most)


def test_one_row_is_a_table() -> None:
    assert outcome(conforms_to(SCHEMA, clients().head(1), gate_id="g")) is Outcome.PASS


def test_a_polars_lazy_frame_is_looked_at_row_by_row() -> None:
    polars = pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    lazy = polars.DataFrame(clients(age=[3, 30, 200, 40]).to_dict(orient="list")).lazy()
    assert values(conforms_to(SCHEMA, lazy, gate_id="g"))[None] == 2


def test_repeated_rows_are_counted_apart_from_the_key() -> None:
    rows = pd.DataFrame({"key": [1, 2, 3, 4], "a": [1.0, 1.0, None, None], "b": ["x", "x", "y", "y"]})
    whole = no_duplicates(rows, gate_id="g")
    assert (whole.measurements[0].value, outcome(whole)) == (0, Outcome.PASS)
    evidence = no_duplicates(rows, gate_id="g", ignore=["key"])
    assert evidence.measurements[0].value == evidence.measurements[0].upper == 2
    assert evidence.details["repeated_rows"] == [{"row": 1}, {"row": 3}]
    assert outcome(evidence) is Outcome.FAIL
    assert outcome(no_duplicates(rows, gate_id="g", ignore=["key"], at_most=2)) is Outcome.PASS


def test_rows_with_different_labels_do_not_repeat_each_other() -> None:
    table = load_dataset(pd.DataFrame({"a": [1, 1, 1], "y": [0, 1, 1]}), name="train", target="y")
    assert no_duplicates(table, gate_id="g").measurements[0].value == 1
    assert no_duplicates(table, gate_id="g", ignore=["y"]).measurements[0].value == 2


@pytest.mark.parametrize(
    ("rows", "ignore", "message"),
    [
        (pd.DataFrame({"a": [1]}), ["key"], "no column 'key'"),
        (pd.DataFrame({"a": [1]}), ["a"], "no column is left"),
        (pd.DataFrame({"a": [[1], [1]], "b": [1, 1]}), [], "can not be compared"),
        (pd.DataFrame({"a": []}), [], "no rows"),
    ],
)
def test_rows_that_can_not_be_compared_are_refused(
    rows: pd.DataFrame, ignore: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        no_duplicates(rows, gate_id="g", ignore=ignore)


@pytest.mark.parametrize("redact", [False, True])
def test_rows_of_a_file_are_compared_where_they_are(tmp_path: Path, redact: bool) -> None:
    rows = pd.DataFrame({"key": range(6), "a": [1, 1, 2, 2, 2, 3], "b": [None, None, "x", "x", "x", "y"]})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    evidence = no_duplicates(
        open_table(tmp_path / "rows.csv", name="test"), gate_id="g", ignore=["key"], redact=redact
    )
    assert (
        evidence.measurements[0].value
        == no_duplicates(rows, gate_id="g", ignore=["key"]).measurements[0].value
        == 3
    )
    assert [material.name for material in evidence.materials] == ["rows.csv"]
    shown: Any = evidence.details["repeated_rows"]
    assert [row["rows"] for row in shown] == [3, 2]
    assert ("b" in shown[0]) != redact
    with pytest.raises(InputError, match="no column 'k'"):
        no_duplicates(open_table(tmp_path / "rows.csv", name="test"), gate_id="g", ignore=["k"])
