"""DuckDB through ibis: files, frames that are copied nowhere, relations; and tables of other backends.

DuckDB runs without its network: it installs and loads no extension. What is counted exactly may be
larger than memory, so it may spill to a directory that goes with the engine. Names of files are data: DuckDB
would expand the brackets of ``day[1].parquet``, so such a file is read through a link.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_prodml._lazy import loaded, require
from pytest_prodml.adapters.engines.ibis_engine import IbisEngine, ibis_sentences
from pytest_prodml.adapters.engines.polars_engine import PolarsEngine
from pytest_prodml.adapters.engines.sources import Files, OwnDirectory
from pytest_prodml.errors import ConfigurationError, InputError

#: Above this DuckDB spills to disk.
MEMORY_LIMIT = "50%"


def duckdb_files(files: Files) -> IbisEngine:
    """Open Parquet files in DuckDB."""
    directory = OwnDirectory()
    backend = _connect(directory.name)
    where = str(files.root)
    with ibis_sentences(where):
        table = backend.read_parquet(
            _plain_names(files, Path(directory.name)), hive_partitioning=files.partitioned
        )
    return IbisEngine(table, where=where, still_same=files.still_same, kept=directory)


def duckdb_copy(opened: PolarsEngine) -> IbisEngine:
    """Let DuckDB count what polars opened: a frame as it lies in memory, a CSV file as typed Parquet."""
    directory = OwnDirectory()
    backend = _connect(directory.name)
    rows = opened.to_arrow(Path(directory.name))
    with ibis_sentences(opened.where):
        if isinstance(rows, Path):
            table = backend.read_parquet([str(rows)])
        else:
            backend.con.register("prodml_rows", rows)
            table = backend.table("prodml_rows")
    known = {
        name: column
        for name, column in opened.columns().items()
        if column.found or column.stored_as == "object"
    }
    return IbisEngine(
        table, where=opened.where, known=known, still_same=opened.still_same, kept=(directory, rows)
    )


def remote_engine(source: Any, where: str, engine: str | None) -> IbisEngine:  # noqa: ANN401 - their types
    """Open a DuckDB relation, an ibis table or a Spark frame."""
    ibis, duckdb = require("ibis", extra="duckdb"), loaded("duckdb")
    if engine == "polars":
        raise ConfigurationError(
            f"polars can not count {type(source).__name__}", where=where, hint="leave the engine out"
        )
    if isinstance(source, ibis.Table):
        return IbisEngine(source, where=where)
    if duckdb is not None and isinstance(source, duckdb.DuckDBPyRelation):
        directory = OwnDirectory()
        backend = _connect(directory.name)
        # A relation belongs to the connection that made it; its rows stream from there once.
        with ibis_sentences(where):
            path = Path(directory.name) / "relation.parquet"
            source.write_parquet(str(path))
            table = backend.read_parquet([str(path)])
        return IbisEngine(table, where=where, kept=directory)
    if engine == "duckdb":
        raise ConfigurationError(
            f"DuckDB can not count {type(source).__name__}",
            where=where,
            hint='leave the engine out, or "ibis"',
        )
    with ibis_sentences(where):
        backend = ibis.pyspark.connect(source.sparkSession)
        view = f"prodml_{id(source):x}"
        source.createOrReplaceTempView(view)
        return IbisEngine(backend.table(view), where=where, kept=source)


def _connect(directory: str) -> Any:  # noqa: ANN401 - ibis' type
    ibis = require("ibis", extra="duckdb")
    require("duckdb", extra="duckdb")
    return ibis.duckdb.connect(
        ":memory:",
        temp_directory=directory,
        memory_limit=MEMORY_LIMIT,
        autoinstall_known_extensions=False,
        autoload_known_extensions=False,
    )


def _plain_names(files: Files, directory: Path) -> list[str]:
    """Return paths in which DuckDB finds no pattern."""
    paths = [path.absolute() for path in files.paths]
    if not any(sign in str(path) for path in paths for sign in "*?[]{}"):
        return [str(path) for path in paths]
    if files.partitioned:
        raise InputError(
            "the path holds one of * ? [ ] { }, which DuckDB takes for a pattern",
            where=str(files.root),
            hint="rename it, or count it by polars",
        )
    links = []
    for place, path in enumerate(paths):
        link = directory / f"part-{place:06d}.parquet"
        link.symlink_to(path)
        links.append(str(link))
    return links
