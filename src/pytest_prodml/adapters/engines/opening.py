"""Whatever a project calls a table -> `Table`, without loading it."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_prodml._lazy import loaded, require
from pytest_prodml.adapters.engines.engine import Engine, Table
from pytest_prodml.adapters.engines.frames import frame_to_polars
from pytest_prodml.adapters.engines.polars_engine import PolarsEngine, sentences, to_pandas
from pytest_prodml.adapters.engines.sources import CSV_ENDINGS, Files, OwnDirectory, find_files, identify
from pytest_prodml.adapters.tables import Dataset, frame_subject, no_column
from pytest_prodml.errors import ConfigurationError, InputError, MissingDependencyError
from pytest_prodml.records import Subject

#: What an unquoted field of a CSV file is read as missing; pandas' own list, so that a file means one thing.
MISSING_FIELDS = (
    "", " ", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
ENGINES = ("polars", "duckdb", "ibis")


def open_table(
    source: Any,  # noqa: ANN401 - any table
    *,
    name: str,
    target: str | None = None,
    base: Path | None = None,
    engine: str | None = None,
) -> Table:
    """Open a table wherever it is.

    Parameters
    ----------
    source : path, frame, relation, ibis table or Dataset
        A ``.parquet``, ``.csv`` or ``.csv.gz`` file, a directory or a pattern of parquet parts; a frame of
        pandas, polars (lazy too) or whatever gives an Arrow stream; a DuckDB relation; a table of ibis on any
        backend; a Spark frame.
    name : str
        What the table is to the project: "test", "reference", "current".
    target : str, optional
        The label column; it must be there.
    base : Path, optional
        Directory of relative paths.
    engine : {"polars", "duckdb", "ibis"}, optional
        What counts; default polars for files and frames, and for everything else the engine that has it.

    Raises
    ------
    InputError
        If the source is missing, unreadable or no table; the label column missing.
    ConfigurationError
        If the engine can not read such a source.
    MissingDependencyError
        If a package that the engine needs is not installed.

    Notes
    -----
    A table may have no rows; what that means is a check's matter. CSV files are typed by polars after all
    their rows, for every engine.
    """
    if engine not in {None, *ENGINES}:
        raise ConfigurationError(
            f"there is no engine {engine!r}", where=f"{name} data", hint=f"one of: {', '.join(ENGINES)}"
        )
    if isinstance(source, Dataset):
        return _from_dataset(source, target=target, engine=engine)
    if isinstance(source, str | Path):
        table = _from_files(find_files(source, base), name, engine)
    elif _is_remote(source):
        table = _from_remote(source, name, engine)
    else:
        where = f"{name} data"
        frame, known = frame_to_polars(source, where)
        table = Table(
            name=name,
            where=where,
            engine=_chosen(PolarsEngine(frame, where=where, known=known), engine),
            material=_material(source, name),
        )
    if target is not None and target not in table.engine.columns():
        error = no_column(target, table.engine.columns(), where=table.where)
        raise InputError(f"there is no label column {target!r}", where=table.where, hint=error.hint)
    return Table(
        name=name, where=table.where, engine=table.engine, material=table.material, target_name=target
    )


def _from_dataset(dataset: Dataset, *, target: str | None, engine: str | None) -> Table:
    if not dataset.is_loaded and dataset.path is not None:
        return open_table(dataset.path, name=dataset.name, target=target, engine=engine)
    target = target or dataset.target_name
    table = open_table(dataset.table(), name=dataset.name, target=target, engine=engine)
    return Table(
        name=table.name, where=table.where, engine=table.engine, material=dataset.material, target_name=target
    )


def _from_files(files: Files, name: str, engine: str | None) -> Table:
    if engine == "ibis":
        raise ConfigurationError(
            "ibis counts tables of its own",
            where=str(files.root),
            hint='give an ibis table, or engine="duckdb"',
        )
    material = identify(files, name)
    where = str(files.root)
    if engine == "duckdb" and files.ending not in CSV_ENDINGS:
        from pytest_prodml.adapters.engines.duckdb_engine import duckdb_files

        # Its parts are looked at by polars first: DuckDB takes the columns of the first part for all.
        _parquet(files)
        return Table(name=name, where=where, engine=duckdb_files(files), material=material)
    opened = _typed_csv(files) if files.ending in CSV_ENDINGS else _parquet(files)
    return Table(name=name, where=where, engine=_chosen(opened, engine), material=material)


def _chosen(opened: PolarsEngine, engine: str | None) -> Engine:
    if engine in {None, "polars"}:
        return opened
    if engine == "ibis":
        raise ConfigurationError(
            "ibis counts tables of its own", hint='give an ibis table, or engine="duckdb"'
        )
    from pytest_prodml.adapters.engines.duckdb_engine import duckdb_copy

    return duckdb_copy(opened)


def _parquet(files: Files) -> PolarsEngine:
    polars = require("polars", extra="data")
    first: Any = None
    for path in files.paths:
        with sentences(str(path)):
            schema = polars.read_parquet_schema(path)
        if first is not None and schema != first:
            raise InputError(
                f"has other columns or types than {files.paths[0].name}: {_difference(first, schema)}",
                where=str(path),
            )
        first = schema
    with sentences(str(files.root)):
        frame = polars.scan_parquet(list(files.paths), glob=False, hive_partitioning=files.partitioned)
    return PolarsEngine(frame, where=str(files.root), still_same=files.still_same)


def _difference(first: Any, second: Any) -> str:  # noqa: ANN401 - polars' types
    for column in [*first, *second]:
        if first.get(column) != second.get(column):
            return (
                f"{column!r} is {second.get(column) or 'not there'}, was {first.get(column) or 'not there'}"
            )
    return "their order differs"


def _typed_csv(files: Files) -> PolarsEngine:
    """Write every field of a CSV file to a Parquet file of our own, and open that.

    A query that needs few columns would not look at the fields of the others, nor at those that are too many.
    """
    polars = require("polars", extra="data")
    path = files.paths[0]
    header = _header(path)
    repeated = (
        [column for column in header if header.count(column) > 1] if len(set(header)) < len(header) else []
    )
    if repeated:
        raise InputError(
            f"the column name {repeated[0]!r} stands more than once in the header",
            where=str(path),
            hint="a check could read either; rename one",
        )
    with sentences(str(path)):
        frame = polars.scan_csv(
            path,
            glob=False,
            infer_schema_length=None,
            null_values=list(MISSING_FIELDS),
            truncate_ragged_lines=False,
            raise_if_empty=True,
        )
        directory = OwnDirectory()
        copy = Path(directory.name) / "rows.parquet"
        frame.sink_parquet(copy)

    def still_same(kept: OwnDirectory = directory) -> None:  # noqa: ARG001 - keeps the copy
        files.still_same()

    still_same()
    return PolarsEngine(polars.scan_parquet(copy, glob=False), where=str(path), still_same=still_same)


def _header(path: Path) -> list[str]:
    opened: Callable[..., Any] = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            header = next(csv.reader(text), None)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"is not a whole gzip file: {error}", where=str(path)) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"is not a readable CSV file: {error}", where=str(path), hint="store it as UTF-8"
        ) from None
    if header is None:
        raise InputError("the file is empty", where=str(path))
    return header


def _is_remote(source: object) -> bool:
    ibis, duckdb, spark = loaded("ibis"), loaded("duckdb"), loaded("pyspark.sql")
    return (
        (ibis is not None and isinstance(source, ibis.Table))
        or (duckdb is not None and isinstance(source, duckdb.DuckDBPyRelation))
        or (spark is not None and type(source).__module__.startswith("pyspark.sql"))
    )


def _from_remote(source: Any, name: str, engine: str | None) -> Table:  # noqa: ANN401 - their types
    from pytest_prodml.adapters.engines.duckdb_engine import remote_engine

    where = f"{name} data"
    return Table(name=name, where=where, engine=remote_engine(source, where, engine))


def _material(source: Any, name: str) -> Subject | None:  # noqa: ANN401 - any frame
    """Identify a frame as `load_dataset` does; None for a plan of one, or where its cells have no hash."""
    polars, pandas = require("polars", extra="data"), loaded("pandas")
    if isinstance(source, polars.LazyFrame):
        return None
    if pandas is None or not isinstance(source, pandas.DataFrame):
        try:
            source = to_pandas(polars.DataFrame(source))
        except MissingDependencyError:
            return None
    try:
        return frame_subject(source, name)
    except InputError:
        return None
