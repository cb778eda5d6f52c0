"""One schema, one verdict: whatever holds the rows, from as few scans as that takes, and never a silent pass."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.checks.data import conforms_to, findings
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome

polars = pytest.importorskip("polars")
pp = pytest.importorskip("pandera.polars")

SCHEMA = pa.DataFrameSchema(
    {
        "number": pa.Column("Int64", [pa.Check.in_range(0, 10), pa.Check.isin([0, 3, 5])], nullable=True),
        "real": pa.Column(float, [pa.Check.ge(0), pa.Check.ne(1.5)], nullable=False),
        "text": pa.Column(str, [pa.Check.str_length(1, 3), pa.Check.str_matches("[a-c]+")], nullable=True),
        "moment": pa.Column(None, pa.Check.ge(pd.Timestamp(2024, 1, 1, tz="UTC"))),
    },
    unique=["number", "text"],
    strict=True,
    ordered=True,
)
CELLS: dict[str, list[Any]] = {
    "number": [0, 3, 5, 7, -1, None],
    "real": [0.0, -0.0, 1.5, -2.0, float("inf"), float("nan"), None],
    "text": ["a", "abc", "", "abcd", "xa", "é", None],
    "moment": [pd.Timestamp(2024, 1, 1, tz="UTC"), pd.Timestamp(2023, 12, 31, 23, tz="UTC"), None],
}


def outcome(evidence: Evidence) -> Outcome:
    outcomes = {item.judgement.outcome for item in judge_criteria("data.g", evidence, confidence_level=0.95)}
    return next(kind for kind in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS) if kind in outcomes)


def values(evidence: Evidence) -> dict[str | None, float | None]:
    return {measured.group: measured.value for measured in evidence.measurements}


def scans(evidence: Evidence) -> Any:
    facts: Any = evidence.details["engine"]
    return facts["scans"]


def frame_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    columns = {name: [row[name] for row in rows] for name in CELLS}
    return pd.DataFrame(
        {
            "number": pd.array(columns["number"], dtype="Int64"),
            "real": np.array(columns["real"], dtype=float),
            "text": pd.array(columns["text"], dtype="str"),
            "moment": pd.to_datetime(pd.Series(columns["moment"], dtype=object), utc=True).astype(
                "datetime64[us, UTC]"
            ),
        }
    )


def ways(frame: pd.DataFrame, directory: Path) -> dict[str, Any]:
    duckdb = pytest.importorskip("duckdb")
    path = directory / "rows.parquet"
    other = polars.from_pandas(frame)
    other.write_parquet(path)
    return {
        "pandas": frame,
        "polars": other,
        "lazy": other.lazy(),
        "parquet": path,
        "scan": polars.scan_parquet(path),
        "duckdb": duckdb.read_parquet(str(path)),
        "duckdb on parquet": open_table(path, name="rows", engine="duckdb"),
    }


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    rows=st.lists(
        st.fixed_dictionaries({name: st.sampled_from(cells) for name, cells in CELLS.items()}),
        min_size=1,
        max_size=10,
    )
)
def test_every_engine_gives_the_same_counts(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    frame = frame_of(rows)
    found = {
        way: conforms_to(SCHEMA, source, gate_id="data.g") for way, source in ways(frame, tmp_path).items()
    }
    expected = values(found["pandas"])
    for way, evidence in found.items():
        assert values(evidence) == expected, way
        assert outcome(evidence) is outcome(found["pandas"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Spark leaves sockets open
def test_spark_gives_the_same_counts(tmp_path: Path) -> None:
    spark_sql = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    frame = frame_of([dict(zip(CELLS, cells, strict=True)) for cells in zip(*CELLS.values(), strict=False)])
    frame[["number", "real", "text"]].to_parquet(tmp_path / "rows.parquet")
    session = (
        spark_sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    )
    try:
        rows = session.read.parquet(str(tmp_path / "rows.parquet"))
        schema = SCHEMA.remove_columns(["moment"])
        found = conforms_to(schema, rows, gate_id="g")
        expected = conforms_to(schema, frame[["number", "real", "text"]], gate_id="g")
        assert values(found) == values(expected)
    finally:
        session.stop()


CLEAN = [
    {"number": 0, "real": 0.0, "text": "a", "moment": pd.Timestamp(2024, 2, 1, tz="UTC")},
    {"number": 3, "real": 2.0, "text": "b", "moment": pd.Timestamp(2024, 3, 1, tz="UTC")},
]


def test_a_clean_table_costs_one_scan_and_a_broken_one_two(tmp_path: Path) -> None:
    schema = pa.DataFrameSchema(SCHEMA.columns, strict=True, ordered=True)
    for way, source in ways(frame_of(CLEAN), tmp_path).items():
        evidence = conforms_to(schema, source, gate_id="g")
        assert (outcome(evidence), scans(evidence)) == (Outcome.PASS, 1), way
    broken = [{**CLEAN[0], "number": 99, "real": -1.0, "text": "xxxx"}, CLEAN[1]]
    for way, source in ways(frame_of(broken), tmp_path).items():
        evidence = conforms_to(schema, source, gate_id="g")
        assert (outcome(evidence), scans(evidence)) == (Outcome.FAIL, 2), way


def test_the_shape_of_a_table_is_judged_alike(tmp_path: Path) -> None:
    frame = frame_of(CLEAN)
    wrong = frame[["real", "number", "moment"]].assign(more=1, moment=["x", "y"])
    found = {way: conforms_to(SCHEMA, source, gate_id="g") for way, source in ways(wrong, tmp_path).items()}
    for way, evidence in found.items():
        rules = {str(group).partition(":")[0]: str(group).partition(": ")[2] for group in values(evidence)}
        assert rules["text"] == "column_in_dataframe", way
        assert rules["more"] == "column_in_schema", way
        assert {group for group in values(evidence) if "column_ordered" in str(group)}, way
        assert outcome(evidence) is Outcome.FAIL, way
    # A check that could not be counted on cells of another type is not evaluated, and so no pass.
    [odd] = [m for m in found["lazy"].measurements if str(m.group).startswith("moment: greater")]
    assert odd.value is None


def test_a_lazy_frame_with_bad_rows_never_passes() -> None:
    lazy = polars.LazyFrame({"age": [3, 30, 200]})
    for schema in (
        pp.DataFrameSchema({"age": pp.Column(int, pp.Check.in_range(18, 100))}),
        pa.DataFrameSchema({"age": pa.Column(int, pa.Check.in_range(18, 100))}),
    ):
        evidence = conforms_to(schema, lazy, gate_id="g")
        assert (values(evidence)[None], outcome(evidence)) == (2, Outcome.FAIL)


def test_a_million_failing_rows_are_a_small_evidence() -> None:
    bad = polars.DataFrame({"age": np.zeros(1_000_000, dtype=int), "name": ["n" * 40] * 1_000_000})
    schema = pa.DataFrameSchema(
        {"age": pa.Column(int, pa.Check.ge(18)), "name": pa.Column(str, pa.Check.str_length(max_value=9))}
    )
    evidence = conforms_to(schema, bad.lazy(), gate_id="g")
    assert values(evidence)[None] == 2_000_000
    assert len(canonical_json(encode(evidence))) < 10_000
    assert scans(evidence) == 2


@pytest.mark.parametrize("way", ["pandas", "polars", "lazy", "parquet", "duckdb"])
def test_a_table_without_rows_shows_nothing(way: str, tmp_path: Path) -> None:
    source = ways(frame_of(CLEAN).head(0), tmp_path)[way]
    with pytest.raises(InputError, match="no rows"):
        conforms_to(SCHEMA, source, gate_id="g")


def test_nested_columns_are_compared_by_type_and_looked_for() -> None:
    nested = polars.DataFrame({"tags": [["a"], None, []], "n": [1, 2, 3]})
    kept = pp.DataFrameSchema({"tags": pp.Column(polars.List(polars.String), nullable=True)})
    assert outcome(conforms_to(kept, nested, gate_id="g")) is Outcome.PASS
    missing = pp.DataFrameSchema({"tags": pp.Column(polars.List(polars.String))})
    assert values(conforms_to(missing, nested, gate_id="g"))["tags: not_nullable"] == 1
    other = pp.DataFrameSchema({"tags": pp.Column(polars.String, nullable=True)})
    assert outcome(conforms_to(other, nested, gate_id="g")) is Outcome.FAIL


# Schemas of pandera.polars


def over(limit: float) -> Any:
    return lambda data: data.lazyframe.select(polars.col(data.key) > limit)


def test_own_checks_of_a_polars_schema_are_evaluated_on_rows(tmp_path: Path) -> None:
    rows = polars.DataFrame({"a": [1.0, 2.0, None, 5.0], "key": ["p", "q", "r", "s"]})
    rows.write_parquet(tmp_path / "rows.parquet")
    schema = pp.DataFrameSchema(
        {
            "a": pp.Column(
                float,
                [
                    pp.Check(over(1.5), name="own"),
                    pp.Check(lambda cell: cell < 5, element_wise=True, name="each"),
                    pp.Check(lambda _: False, name="all"),
                    pp.Check(over(3), name="soft", raise_warning=True),
                ],
                nullable=True,
            )
        },
        checks=pp.Check(lambda data: data.lazyframe.select(polars.col("a") < 2), name="whole"),
    )
    for source in (rows, rows.lazy(), tmp_path / "rows.parquet"):
        evidence = conforms_to(schema, source, gate_id="g", keys=["key"])
        assert values(evidence) == {
            "a: own": 1, "a: each": 1, "a: all": 4, "a: soft": 2, "(table): whole": 2, None: 8,
        }  # fmt: skip
        assert outcome(evidence) is Outcome.FAIL
        shown: Any = evidence.details["failing_rows"]
        own = [row for row in shown if row["rule"] == "own"]
        assert own == [{"column": "a", "rule": "own", "row": 0, "value": 1.0, "key key": "p"}]


@pytest.mark.parametrize(
    "own",
    [
        lambda data: data.lazyframe.select(polars.col("nothing") > 1),
        lambda _: 1 / 0,
        lambda data: data.lazyframe.select(polars.col(data.key)),
        lambda data: data.lazyframe.select(polars.col(data.key) > 0).head(2),
        lambda _: "yes",
    ],
)
def test_an_own_check_of_a_polars_schema_that_answers_nothing_is_no_pass(own: Any) -> None:
    rows = polars.DataFrame({"a": [1.0, 2.0, 5.0]})
    schema = pp.DataFrameSchema({"a": pp.Column(float, pp.Check(own, name="odd"))})
    with pytest.raises(InputError, match="rule 'odd' on 'a' was not evaluated"):
        conforms_to(schema, rows, gate_id="g")


def test_what_a_polars_schema_can_not_have_evaluated_is_refused(tmp_path: Path) -> None:
    rows = polars.DataFrame({"a": [1.0, 2.0]})
    rows.write_parquet(tmp_path / "rows.parquet")
    coerced = pp.DataFrameSchema({"a": pp.Column(int)}, coerce=True)
    with pytest.raises(InputError, match="coerces, parses or fills the table is not evaluated"):
        conforms_to(coerced, rows, gate_id="g")
    pytest.importorskip("duckdb")
    own = pp.DataFrameSchema({"a": pp.Column(float, pp.Check(over(0), name="own"))})
    elsewhere = open_table(tmp_path / "rows.parquet", name="rows", engine="duckdb")
    with pytest.raises(InputError, match=r"(?s)'a: own' of a schema of pandera\.polars was not evaluated"):
        conforms_to(own, elsewhere, gate_id="g")


def test_a_polars_schema_fits_a_pandas_frame() -> None:
    schema = pp.DataFrameSchema({"a": pp.Column(int, pp.Check.ge(2))})
    evidence = conforms_to(schema, pd.DataFrame({"a": [1, 2, 3]}), gate_id="g")
    assert values(evidence) == {"a: greater_than_or_equal_to(2)": 1, None: 1}


def test_an_ibis_schema_is_counted_and_its_own_checks_are_refused() -> None:
    pytest.importorskip("ibis")
    pi = pytest.importorskip("pandera.ibis")
    rows = polars.DataFrame({"a": [1, 2, 3]})
    counted = pi.DataFrameSchema({"a": pi.Column(int, pi.Check.ge(2))})
    assert values(conforms_to(counted, rows, gate_id="g"))[None] == 1
    own = pi.DataFrameSchema({"a": pi.Column(int, pi.Check(lambda data: data.table.a > 0, name="own"))})
    with pytest.raises(InputError, match=r"'a: own' of a schema of pandera\.ibis was not evaluated"):
        conforms_to(own, rows, gate_id="g")


# Samples


@pytest.mark.parametrize("backend", [pa, pp])
def test_a_rule_that_was_sampled_is_a_share_with_bounds(
    backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "MOST_SAMPLED_ROWS", 400)
    path = tmp_path / "rows.parquet"
    polars.DataFrame({"a": np.arange(5_000) % 100, "b": 1}).write_parquet(path)
    test = (lambda cells: cells >= 10) if backend is pa else over(9)
    schema = backend.DataFrameSchema(
        {"a": backend.Column(int, [backend.Check(test, name="own"), backend.Check.ge(5)])}
    )
    evidence = conforms_to(schema, path, gate_id="g", at_most=5_000, sampled_at_most=0.2, seed=3)
    facts: Any = evidence.details["engine"]
    assert facts["coverage_of_these"] == 0.08
    found = {(m.metric, m.group): m for m in evidence.measurements}
    assert found["schema_violations", "a: greater_than_or_equal_to(5)"].value == 250
    own = found["schema_violation_share", "a: own"]
    assert (own.n_samples, own.confidence_level) == (400, 0.95)
    assert own.lower is not None
    assert own.upper is not None
    assert own.value is not None
    assert 0 < own.lower < own.value < own.upper
    assert own.lower < 0.1 < own.upper
    assert outcome(evidence) is Outcome.PASS
    again = conforms_to(schema, path, gate_id="g", at_most=5_000, sampled_at_most=0.2, seed=3)
    assert again.measurements == evidence.measurements


def test_a_sample_never_proves_that_nothing_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "MOST_SAMPLED_ROWS", 400)
    path = tmp_path / "rows.parquet"
    polars.DataFrame({"a": np.arange(5_000)}).write_parquet(path)
    schema = pa.DataFrameSchema({"a": pa.Column(int, pa.Check(lambda cells: cells >= 0, name="own"))})
    assert outcome(conforms_to(schema, path, gate_id="g")) is Outcome.INCONCLUSIVE
    assert outcome(conforms_to(schema, path, gate_id="g", sampled_at_most=0.01)) is Outcome.PASS
    frame = polars.read_parquet(path).to_pandas()
    # What is in memory is looked at as a whole.
    assert outcome(conforms_to(schema, frame, gate_id="g")) is Outcome.PASS
