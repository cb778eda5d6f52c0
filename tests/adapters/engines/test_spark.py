"""The same answers from Spark, through ibis."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from adapters.engines.hostile_tables import CELLS, NUMBERS, ORDERED, RowList, polars_frame
from adapters.engines.reference_engine import answer
from adapters.engines.test_engines_agree import same
from pytest_prodml.adapters.engines.expressions import (
    Aggregate,
    Compare,
    CompareColumns,
    CountWhere,
    Distinct,
    Fraction,
    Greatest,
    HasPart,
    Histogram,
    Infinite,
    Least,
    Length,
    Matches,
    Missing,
    OneOf,
    Quantile,
    Relation,
    Repeated,
    Sum,
)
from pytest_prodml.adapters.engines.opening import open_table

pyspark = pytest.importorskip("pyspark.sql")
pytestmark = [
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java"),
    pytest.mark.filterwarnings("ignore"),
]
#: Spark has no unsigned numbers, and no column without a type.
ABSENT = ("large", "nothing")


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    options = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.session.timeZone": "Asia/Tokyo",
    }
    builder = pyspark.SparkSession.builder.master("local[1]")
    for key, value in options.items():
        builder = builder.config(key, value)
    found = builder.getOrCreate()
    yield found
    found.stop()


@pytest.fixture
def all_cells() -> RowList:
    longest = max(map(len, CELLS.values()))
    return [{name: cells[place % len(cells)] for name, cells in CELLS.items()} for place in range(longest)]


def questions() -> dict[str, Aggregate]:
    asked: dict[str, Aggregate] = {}
    for name in (name for name in ORDERED if name not in ABSENT):
        asked |= {
            f"least {name}": Least(name),
            f"greatest {name}": Greatest(name),
            f"distinct {name}": Distinct((name,)),
            f"repeated {name}": Repeated((name, "text")),
            f"missing {name}": CountWhere(Missing(name)),
        }
    for name in (name for name in NUMBERS if name not in ABSENT):
        asked |= {
            f"sum {name}": Sum(name, 0.5, 2),
            f"quantile {name}": Quantile(name, 0.07),
            f"histogram {name}": Histogram(name, (-1.0, 0.0, 0.1)),
        }
    return asked | {
        "columns": CountWhere(CompareColumns("real", Relation.LESS, "whole")),
        "one of": CountWhere(OneOf("text", ("a", "é"))),
        "matches": CountWhere(Matches("text", "[a-c]+", whole=True)),
        "digits": CountWhere(Matches("text", r"\p{Nd}+")),
        "length": CountWhere(Length("text", 1, 1)),
        "fraction": CountWhere(Fraction("real")),
        "infinite": CountWhere(Infinite("real")),
        "instant": CountWhere(Compare("moment", Relation.AT_MOST, CELLS["moment"][0])),
        "local": CountWhere(Compare("local", Relation.AT_LEAST, CELLS["local"][0])),
        "part": CountWhere(HasPart("text", "'", "start")),
    }


def test_spark_answers_as_plain_python_does(session: Any, all_cells: RowList, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    polars_frame(all_cells).drop(ABSENT).with_columns(
        pl.col("label").cast(pl.String),
        pl.col("local").cast(pl.Datetime("us")),
        pl.col("moment").dt.convert_time_zone("UTC"),
    ).write_parquet(path)
    engine = open_table(session.read.parquet(str(path)), name="rows").engine
    asked = questions()
    found = engine.aggregate(asked)
    assert engine.scans == 1
    for key, aggregate in asked.items():
        expected = answer(aggregate, all_cells)
        assert same(aggregate, found[key], expected, all_cells), (key, found[key], expected)
