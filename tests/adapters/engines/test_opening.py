"""What is no table is told in a sentence, whatever is to count it."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import math
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from pytest_prodml.adapters.engines.expressions import (
    Aggregate,
    Compare,
    CountWhere,
    Distinct,
    Greatest,
    Histogram,
    Kind,
    Least,
    Missing,
    Quantile,
    Relation,
    Repeated,
    Rows,
    Sum,
)
from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.errors import ConfigurationError, InputError

ENGINES = [
    "polars",
    pytest.param("duckdb", marks=pytest.mark.skipif("not __import__('importlib').util.find_spec('ibis')")),
]
ROWS: dict[str, Aggregate] = {"rows": Rows()}


def refusal(source: Any, engine: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        open_table(source, name="test", engine=engine).engine.aggregate(
            ROWS | {"least": Least("a"), "missing": CountWhere(Missing("a"))}
        )
    return str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"a,b\n1,2\n3,4,5\n", "more fields"),
        (b"a,a\n1,2\n", "stands more than once in the header"),
        ("a,b\nä,2\n".encode("latin-1"), "utf-8"),
    ],
)
def test_a_bad_csv_file_is_refused(tmp_path: Path, content: bytes, told: str, engine: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    message = refusal(path, engine)
    assert str(path) in message
    assert told in message.lower() or told in message
    assert "Traceback" not in message


@pytest.mark.parametrize("engine", ENGINES)
def test_a_truncated_parquet_file_is_refused(tmp_path: Path, engine: str) -> None:
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"a": range(1000)}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert str(path) in refusal(path, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_that_changes_after_it_was_opened_is_refused(tmp_path: Path, engine: str) -> None:
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"a": range(1000)}).write_parquet(path)
    table = open_table(path, name="test", engine=engine)
    assert table.engine.aggregate(ROWS) == {"rows": 1000}
    pl.DataFrame({"a": range(2000)}).write_parquet(path)
    with pytest.raises(InputError, match="changed while it was read"):
        table.engine.aggregate(ROWS)


@pytest.mark.parametrize("engine", ENGINES)
def test_parts_are_one_table_and_must_have_the_same_columns(tmp_path: Path, engine: str) -> None:
    for place in range(3):
        pl.DataFrame({"a": [place, None]}).write_parquet(tmp_path / f"part-{place}.parquet")
    table = open_table(tmp_path, name="test", engine=engine)
    assert table.engine.aggregate(ROWS | {"missing": CountWhere(Missing("a"))}) == {"missing": 3, "rows": 6}
    lines = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(tmp_path.iterdir())
    )
    assert table.material is not None
    assert table.material.digest == {"sha256": hashlib.sha256(lines.encode()).hexdigest()}
    assert open_table(str(tmp_path / "part-*.parquet"), name="test").engine.aggregate(ROWS) == {"rows": 6}
    pl.DataFrame({"a": ["text"]}).write_parquet(tmp_path / "part-9.parquet")
    assert "has other columns or types than part-0.parquet" in refusal(tmp_path, engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "name", ["d[1].parquet", "o'; drop table x; --.parquet", "*.parquet", "ü {a,b}?.parquet"]
)
def test_the_name_of_a_file_is_no_pattern_and_no_sql(tmp_path: Path, name: str, engine: str) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / name)
    pl.DataFrame({"a": [2]}).write_parquet(tmp_path / "d1.parquet")
    assert open_table(tmp_path / name, name="test", engine=engine).engine.aggregate(
        ROWS | {"least": Least("a")}
    ) == {"least": 1, "rows": 1}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_csv_file_has_one_typing(tmp_path: Path, engine: str) -> None:
    rows = ["a,b,c", *(f"{place},2024-01-01,NA" for place in range(2000)), "x,,0.5"]
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress("\n".join(rows).encode()))
    table = open_table(path, name="test", engine=engine)
    assert [column.kind for column in table.engine.columns().values()] == [Kind.TEXT, Kind.TEXT, Kind.FLOAT]
    assert table.engine.aggregate({"missing": CountWhere(Missing("c")), "b": CountWhere(Missing("b"))}) == {
        "missing": 2000,
        "b": 1,
    }
    assert table.material is not None
    assert table.material.digest == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.parquet")
    (tmp_path / "empty").mkdir()
    assert "holds no part" in refusal(tmp_path / "empty")
    assert "no file has a name of this pattern" in refusal(tmp_path / "*.parquet")
    (tmp_path / "notes.txt").write_text("a")
    assert "of no format" in refusal(tmp_path / "notes.txt")
    assert "expected a table, got int" in refusal(3)
    with pytest.raises(ConfigurationError, match="no engine 'spork'"):
        open_table(tmp_path, name="test", engine="spork")
    with pytest.raises(InputError, match="there is no label column 'y'"):
        open_table(pl.DataFrame({"a": [1]}), name="test", target="y")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_table_without_rows_is_counted(tmp_path: Path, engine: str) -> None:
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"a": []}, schema={"a": pl.Float64}).write_parquet(path)
    asked: dict[str, Aggregate] = {
        "rows": Rows(),
        "sum": Sum("a"),
        "least": Least("a"),
        "distinct": Distinct(("a",)),
        "repeated": Repeated(("a",)),
        "quantile": Quantile("a", 0.5),
        "cells": Histogram("a", (0.0,)),
        "below": CountWhere(Compare("a", Relation.LESS, 1)),
    }
    assert open_table(path, name="test", engine=engine).engine.aggregate(asked) == {
        "rows": 0,
        "sum": 0.0,
        "least": None,
        "distinct": 0,
        "repeated": 0,
        "quantile": None,
        "cells": (0, 0),
        "below": 0,
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_pandas_columns_are_what_their_cells_are(engine: str) -> None:
    frame = pd.DataFrame(
        {
            "mixed": pd.Series([1, "x", 2.0, None], dtype=object),
            "objects": pd.Series([1, 2.5, None, np.float64(3)], dtype=object),
            "decimals": pd.Series([Decimal("1.10"), None, Decimal(2), None], dtype=object),
            "text": ["a", None, "b", "a"],
            "string": pd.array(["a", pd.NA, "b", "a"], dtype="string"),
            "category": pd.Categorical(["x", None, "y", "x"]),
            "codes": pd.Categorical([3, None, 4, 3]),
            "integer": pd.array([1, None, 2**53 + 1, 4], dtype="Int64"),
            "boolean": pd.array([True, None, False, True], dtype="boolean"),
            "moment": pd.to_datetime(["2024-01-01", None, "2024-01-02", None]).tz_localize("Europe/Berlin"),
            "nothing": pd.Series([None] * 4, dtype=object),
            7: [1.0, np.nan, 2.0, 3.0],
        }
    ).set_axis([5, 5, 5, 5], axis=0)
    engine_ = open_table(frame, name="test", engine=engine).engine
    columns = engine_.columns()
    assert columns["mixed"].kind is Kind.MIXED
    assert dict(columns["mixed"].found) == {"int": 1, "str": 1, "float": 1}
    kinds = [column.kind for name, column in columns.items() if name not in {"mixed", "category"}]
    assert kinds == [
        Kind.FLOAT, Kind.DECIMAL, Kind.TEXT, Kind.TEXT, Kind.INTEGER, Kind.INTEGER, Kind.BOOLEAN, Kind.DATETIME,
        Kind.EMPTY, Kind.FLOAT,
    ]  # fmt: skip
    found = engine_.aggregate({name: CountWhere(Missing(name)) for name in columns})
    assert found == dict.fromkeys(columns, 1) | {"decimals": 2, "moment": 2, "nothing": 4}
    assert engine_.aggregate({"large": CountWhere(Compare("integer", Relation.EQUAL, 2**53 + 1))}) == {
        "large": 1
    }
    with pytest.raises(InputError, match="'mixed' holds mixed"):
        engine_.aggregate({"least": Least("mixed")})


@pytest.mark.parametrize(
    "cells", [pd.period_range("2024", periods=2, freq="M"), pd.interval_range(0, 2), [1j, 2j]]
)
def test_a_pandas_type_that_is_no_data_is_told(cells: Any) -> None:
    assert "the column 'a' holds values of type" in refusal(pd.DataFrame({"a": cells}))


@pytest.mark.parametrize("engine", ENGINES)
def test_nanoseconds_with_a_zone(engine: str, tmp_path: Path) -> None:
    """As pandas 2 stores every time; DuckDB has a type for them that ibis does not know."""
    texts = ["2024-01-01T00:00:00.000000001", "2024-01-01T00:00:00.000000002", None, "2024-01-02T00:00:00"]
    moments = pl.Series("at", texts).str.to_datetime(time_unit="ns", time_zone="UTC")
    frame = pl.DataFrame({"at": moments.dt.convert_time_zone("Europe/Berlin")})
    frame.write_parquet(tmp_path / "rows.parquet")
    noon = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
    asked: dict[str, Aggregate] = {
        "missing": CountWhere(Missing("at")),
        "morning": CountWhere(Compare("at", Relation.LESS, noon)),
        "greatest": Greatest("at"),
        "different": Distinct(("at",)),
    }
    for source in (frame, tmp_path / "rows.parquet"):
        opened = open_table(source, name="test", engine=engine).engine
        assert opened.columns()["at"].kind is Kind.DATETIME
        assert opened.aggregate(asked) == {
            "missing": 1,
            "morning": 2,
            "greatest": dt.datetime(2024, 1, 2, tzinfo=dt.UTC),
            "different": 4,
        }


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize("cells", [[0.0] * 10, [-0.0, 0.0], [1.0] * 10, []])
def test_nan_is_missing_whatever_a_file_says_about_itself(cells: list[float], tmp_path: Path) -> None:
    """NaN has no part in a Parquet file's least and greatest value, and DuckDB 2.0 believes these."""
    ibis = pytest.importorskip("ibis")
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"x": [*cells, math.nan]}, schema={"x": pl.Float64}).write_parquet(path)
    asked: dict[str, Aggregate] = {
        "missing": CountWhere(Missing("x")),
        "greatest": Greatest("x"),
        "high": CountWhere(Compare("x", Relation.GREATER, 5.0)),
    }
    expected = {"missing": 1, "greatest": max(cells, default=None), "high": 0}
    own = ibis.duckdb.connect()
    for source, engine in ((path, "polars"), (path, "duckdb"), (own.read_parquet(str(path)), None)):
        opened = open_table(source, name="test", engine=engine).engine
        assert opened.aggregate(asked) == expected
        found = opened.rows(
            {"missing": Missing("x"), "high": Compare("x", Relation.GREATER, 5.0)},
            {"missing": ["x"], "high": ["x"]},
            most=5,
        )
        assert len(found["missing"]) == 1
        assert not found["high"]


def test_repeated_pandas_columns_are_told() -> None:
    assert "stands more than once" in refusal(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_ten_thousand_columns_are_one_query(tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    pl.DataFrame({f"column {place}": [place, None] for place in range(10_000)}).write_parquet(path)
    engine = open_table(path, name="test").engine
    found = engine.aggregate({name: CountWhere(Missing(name)) for name in engine.columns()})
    assert set(found.values()) == {1}
    assert engine.scans == 1


def test_polars_collects_once_for_each_scan_that_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    collected = []
    original = pl.LazyFrame.collect

    def collect(frame: pl.LazyFrame, **options: Any) -> Any:
        collected.append(options)
        return original(frame, **options)

    monkeypatch.setattr(pl.LazyFrame, "collect", collect)
    engine = open_table(pl.LazyFrame({"a": [1, 2, 2], "b": ["x", "y", "y"]}), name="test").engine
    asked: dict[str, Aggregate] = {
        "rows": Rows(),
        "a": Distinct(("a",)),
        "ab": Repeated(("a", "b")),
        "q": Quantile("a", 0.5),
    }
    engine.aggregate(asked | {"h": Histogram("a", (1.0,)), "s": Sum("a")})
    assert (len(collected), engine.scans) == (1, 1)
    engine.rows({"one": Missing("a"), "two": Missing("b")}, {}, most=2)
    engine.value_counts(["a", "b"], most=2)
    engine.group_counts(["a", "b"], most=2)
    engine.sample(["a"], most=2, seed=1)
    assert len(collected) == engine.scans
    assert all(options == {"engine": "streaming"} for options in collected)


def test_duckdb_runs_as_many_queries_as_it_counts(tmp_path: Path) -> None:
    pytest.importorskip("ibis")
    log = tmp_path / "queries.log"
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"a": [1, 2, 2], "b": ["x", "y", "y"]}).write_parquet(path)
    engine: Any = open_table(path, name="test", engine="duckdb").engine
    connection = engine._backend.con
    connection.execute(f"SET log_query_path = '{log}'")
    asked: dict[str, Aggregate] = {
        "rows": Rows(),
        "a": Distinct(("a",)),
        "ab": Repeated(("a", "b")),
        "q": Quantile("a", 0.5),
    }
    engine.aggregate(asked | {"h": Histogram("a", (1.0,)), "s": Sum("a")})
    engine.rows({"one": Missing("a"), "two": Missing("b")}, {}, most=2)
    engine.value_counts(["a", "b"], most=2)
    engine.group_counts(["a", "b"], most=2)
    connection.execute("SET log_query_path = ''")
    queries = [line for line in log.read_text().splitlines() if " FROM " in line and "duckdb_" not in line]
    assert (len(queries), engine.scans) == (5, 5), queries


def test_duckdb_gets_no_extension_from_the_network(tmp_path: Path) -> None:
    pytest.importorskip("ibis")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "rows.parquet")
    engine: Any = open_table(tmp_path / "rows.parquet", name="test", engine="duckdb").engine
    settings = engine._backend.con.execute(
        "SELECT current_setting('autoinstall_known_extensions'), current_setting('autoload_known_extensions'),"
        " current_setting('temp_directory')"
    ).fetchone()
    assert settings[:2] == (False, False)
    assert os.path.isdir(settings[2])  # noqa: PTH112
