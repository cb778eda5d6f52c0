"""Two tables -> rows that polars can join, and queries over both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_prodml._lazy import require
from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.expressions import Column, Kind, Rows
from pytest_prodml.adapters.engines.ibis_engine import IbisEngine
from pytest_prodml.adapters.engines.polars_engine import PolarsEngine, sentences
from pytest_prodml.adapters.engines.polars_predicates import polars_column
from pytest_prodml.errors import InputError

#: So many rows of a table that is not polars' own are fetched to be joined, and no more.
MOST_FETCHED_ROWS = 1_000_000


def lazy_rows(table: Table, names: Sequence[str]) -> tuple[Any, dict[str, Column]]:
    """Return columns of a table as a polars LazyFrame, and what they are.

    Rows of files and frames stay where they are. Rows of another engine are fetched, if there are no more
    than a million: joins across engines have no other way.

    Raises
    ------
    InputError
        If the rows of another engine are too many.
    """
    polars = require("polars", extra="data")
    engine = table.engine
    asked = engine.columns()
    if isinstance(engine, PolarsEngine):
        frame = engine.frame.select(*names)
    elif isinstance(engine, IbisEngine):
        size = int(engine.aggregate({"rows": Rows()})["rows"])
        if size > MOST_FETCHED_ROWS:
            raise InputError(
                f"{size:,} rows of {engine.name} can not be joined with another table by key here",
                where=table.where,
                hint=f"compare at most {MOST_FETCHED_ROWS:,} rows, for example those of a sample of keys, or "
                "give both tables as Parquet files",
            )
        frame = polars.DataFrame(engine.to_arrow(names)).lazy()
        naive = [
            polars.col(name).dt.replace_time_zone("UTC")
            for name, dtype in frame.collect_schema().items()
            if isinstance(dtype, polars.Datetime) and dtype.time_zone is None and asked[name].zone is not None
        ]
        frame = frame.with_columns(*naive)
    else:
        raise InputError(f"rows of {engine.name} can not be joined", where=table.where)
    with sentences(table.where):
        schema = frame.collect_schema()
    mixed = (Kind.MIXED, Kind.NESTED)
    return frame, {
        name: asked[name]
        if asked[name].kind in mixed and asked[name].stored_as == "object"
        else polars_column(name, dtype)
        for name, dtype in schema.items()
    }


def collect(query: Any, *tables: Table) -> Any:  # noqa: ANN401 - polars' types
    """Run one streaming query over rows of `tables`; each of them counts a scan.

    Raises
    ------
    InputError
        If polars can not answer it, or a file changed meanwhile.
    """
    with sentences(" and ".join(dict.fromkeys(table.where for table in tables))):
        found = query.collect(engine="streaming")
    for table in tables:
        if isinstance(table.engine, PolarsEngine):
            table.engine.note_scan()
    return found
