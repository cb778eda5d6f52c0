"""One question, one answer: plain Python, polars, DuckDB, pandas, Arrow and Parquet."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.engines.hostile_tables import (
    AGGREGATES,
    CELLS,
    ORDERED,
    PREDICATES,
    RowList,
    polars_frame,
    rows_of_cells,
)
from adapters.engines.reference_engine import answer, group_counts, holds, present
from pytest_prodml.adapters.engines.engine import Engine
from pytest_prodml.adapters.engines.expressions import Aggregate, Missing, Predicate, Sum
from pytest_prodml.adapters.engines.opening import open_table

pytest.importorskip("ibis")
pytest.importorskip("duckdb")

BOUNDED = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def engines(rows: RowList, directory: Path) -> dict[str, Engine]:
    frame = polars_frame(rows)
    path = directory / "rows.parquet"
    frame.write_parquet(path)
    # pandas has no decimals, no plain dates and no empty type; it holds them as objects.
    pandas = frame.to_pandas(use_pyarrow_extension_array=True)
    sources: dict[str, tuple[Any, str | None]] = {
        "polars": (frame, None),
        "lazy": (frame.lazy(), "polars"),
        "parquet": (path, None),
        "duckdb on a frame": (frame, "duckdb"),
        "duckdb on parquet": (path, "duckdb"),
        "pandas": (pandas, None),
        "arrow": (frame.to_arrow(), None),
    }
    return {
        way: open_table(source, name="rows", engine=engine).engine
        for way, (source, engine) in sources.items()
    }


def same(aggregate: Aggregate, found: Any, expected: Any, rows: RowList) -> bool:
    if isinstance(aggregate, Sum):
        cells = [row[aggregate.column] for row in rows if present(row[aggregate.column])]
        size = sum(
            abs((float(cell) - aggregate.shift) ** aggregate.power) for cell in cells if math.isfinite(cell)
        )
        return math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12 * size)
    return bool(found == expected) and (found is None) == (expected is None)


@BOUNDED
@given(rows=rows_of_cells(), asked=st.lists(AGGREGATES, min_size=8, max_size=16))
def test_every_engine_answers_as_plain_python_does(
    rows: RowList, asked: list[Aggregate], tmp_path: Path
) -> None:
    questions = {f"question {place}": aggregate for place, aggregate in enumerate(asked)}
    for way, engine in engines(rows, tmp_path).items():
        found = engine.aggregate(questions)
        for key, aggregate in questions.items():
            expected = answer(aggregate, rows)
            assert same(aggregate, found[key], expected, rows), (way, aggregate, found[key], expected)


@BOUNDED
@given(rows=rows_of_cells(), predicates=st.lists(PREDICATES, min_size=1, max_size=4), most=st.integers(1, 4))
def test_every_engine_finds_the_same_first_rows(
    rows: RowList, predicates: list[Predicate], most: int, tmp_path: Path
) -> None:
    where = {f"rule {place}": predicate for place, predicate in enumerate(predicates)}
    columns = {key: list(ORDERED[: 3 + place]) for place, key in enumerate(where)}
    for way, engine in engines(rows, tmp_path).items():
        before = engine.scans
        found = engine.rows(where, columns, most=most)
        assert engine.scans == before + 1, way
        for key, predicate in where.items():
            places = [place for place, row in enumerate(rows) if holds(predicate, row)][:most]
            expected = [
                {"row": place} | {name: _cell(rows[place][name]) for name in columns[key]} for place in places
            ]
            assert found[key] == expected, (way, predicate)


@BOUNDED
@given(rows=rows_of_cells(), pair=st.lists(st.sampled_from(ORDERED), min_size=2, max_size=2, unique=True))
def test_every_engine_counts_the_same_values(rows: RowList, pair: list[str], tmp_path: Path) -> None:
    expected = {name: Counter(row[name] for row in rows if present(row[name])) for name in pair}
    groups = group_counts(rows, pair)
    for way, engine in engines(rows, tmp_path).items():
        found = engine.value_counts(pair, most=100)
        for name in pair:
            assert found[name] == sorted(expected[name].items(), key=lambda item: (-item[1], item[0])), (
                way,
                name,
            )
        listed = engine.group_counts(pair, least=2, most=100)
        assert dict(listed) == {key: count for key, count in groups.items() if count >= 2}, way
        assert [count for _, count in listed] == sorted((count for _, count in listed), reverse=True)


def _cell(value: Any) -> Any:
    return value if present(value) else None


@pytest.fixture
def all_cells() -> RowList:
    longest = max(map(len, CELLS.values()))
    return [{name: cells[place % len(cells)] for name, cells in CELLS.items()} for place in range(longest)]


def test_whole_columns_and_samples_are_the_same_everywhere(all_cells: RowList, tmp_path: Path) -> None:
    found = engines(all_cells, tmp_path)
    first = found["polars"].values(ORDERED)
    assert first["real"].dtype == float
    assert first["moment"].dtype == "datetime64[ns]"
    sampled = found["polars"].sample(["whole", "text"], most=5, seed=3)
    assert len(sampled) == 5
    for way, engine in found.items():
        values = engine.values(ORDERED)
        for name in ORDERED:
            assert [repr(cell) for cell in values[name]] == [repr(cell) for cell in first[name]], (way, name)
        again = engine.sample(["whole", "text"], most=5, seed=3)
        assert list(again.index) == list(sampled.index), way
        assert list(again["text"].isna()) == list(sampled["text"].isna()), way
        assert len(engine.sample(["real"], most=100, seed=3)) == len(all_cells)


def test_a_session_in_another_time_zone_changes_no_instant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    moment = dt.datetime(2024, 1, 1, 23, 30, tzinfo=dt.UTC)
    rows = [{name: moment if name == "moment" else None for name in CELLS}]
    for way, engine in engines(rows, tmp_path).items():
        assert (
            engine.rows({"all": Missing("real")}, {"all": ["moment"]}, most=1)["all"][0]["moment"] == moment
        ), way
