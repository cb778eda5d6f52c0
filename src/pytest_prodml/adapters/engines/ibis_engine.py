"""Rows behind an ibis table: DuckDB, Spark, and every other backend that ibis speaks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pytest_prodml._lazy import require
from pytest_prodml.adapters.engines.expressions import (
    Aggregate,
    Column,
    Kind,
    Predicate,
    Rows,
)
from pytest_prodml.adapters.engines.ibis_aggregates import aggregate_parts, answer_of, with_repeats
from pytest_prodml.adapters.engines.ibis_predicates import Bound, ibis_column, ibis_predicate, value_of
from pytest_prodml.adapters.engines.meaning import (
    COUNTABLE,
    NUMBERS,
    look_up,
    require_kind,
    resolve,
)
from pytest_prodml.adapters.engines.ticks import plain_value
from pytest_prodml.errors import InputError, ProdmlError

_ROW = "prodml_row"
_KEY = "prodml_key"
_COUNT = "prodml_count"


class IbisEngine:
    """Questions about an ibis table.

    Parameters
    ----------
    table : ibis.Table
        The rows; read anew by every query.
    where : str
        Names the table in messages.
    known : mapping of str to Column
        What columns are that have a type of their own elsewhere.
    still_same : callable, optional
        Called after each query; raises where what was read has changed meanwhile.
    kept : object
        What must live as long as the table does: a directory, a frame.

    Notes
    -----
    Only DuckDB keeps an order of rows here; on other backends a row has no position.
    """

    def __init__(
        self,
        table: Any,  # noqa: ANN401 - ibis' type
        *,
        where: str,
        known: Mapping[str, Column] | None = None,
        still_same: Callable[[], None] = lambda: None,
        kept: object = None,
    ) -> None:
        self._backend = _backend_of(table, where)
        self.name = f"ibis[{self._backend.name}]"
        with ibis_sentences(where):
            self.version: str = f"{require('ibis', extra='duckdb').__version__} ({self._backend.version})"
        self._where = where
        self._still_same = still_same
        self._kept = kept
        self._scans = 0
        known = known or {}
        zones = _spark_zones(self._backend, table) if self._backend.name == "pyspark" else {}
        self._columns = {
            name: known.get(name) or zones.get(name) or ibis_column(name, dtype)
            for name, dtype in table.schema().items()
        }
        self._ordered = self._backend.name == "duckdb"
        self._bound = self._bind(table)

    @property
    def scans(self) -> int:
        """How many queries over the rows were run so far."""
        return self._scans

    def columns(self) -> Mapping[str, Column]:
        """Return the columns in their order."""
        return self._columns

    def to_arrow(self, names: Sequence[str]) -> Any:  # noqa: ANN401 - arrow's type
        """Return whole columns as an Arrow table, every cell as it is stored."""
        for name in names:
            self._column(name)
        return self._run(self._bound.table.select(*names))

    def _bind(self, table: Any) -> Bound:  # noqa: ANN401 - ibis' type
        return Bound(table=table, columns=self._columns, counts_ticks=self._ordered)

    def _run(self, query: Any) -> Any:  # noqa: ANN401 - ibis' and arrow's types
        self._scans += 1
        with ibis_sentences(self._where), _by_the_cells(self._backend):
            found = self._backend.to_pyarrow(query)
        self._still_same()
        return found

    def _column(self, name: str) -> Column:
        return look_up(self._columns, name, self._where)

    def _resolve(self, predicate: Predicate) -> Predicate:
        return resolve(predicate, self._columns, self._where)

    def aggregate(self, asked: Mapping[str, Aggregate]) -> dict[str, Any]:
        """Answer all aggregates by one query."""
        if not asked:
            return {}
        table, repeats = with_repeats(self._bound, asked.values(), self._cell)
        bound = self._bind(table)
        # Keys are the caller's, names of columns are the engine's.
        keys = {key: f"a{place}" for place, key in enumerate(asked)}
        parts: dict[str, Any] = {_COUNT: table.count()}
        for key, aggregate in asked.items():
            found = aggregate_parts(aggregate, bound, self._where, repeats)
            if found is not None:
                parts[keys[key]] = found
        row = self._run(table.aggregate(**parts)).to_pylist()[0]
        return {
            key: answer_of(aggregate, self._columns, row.get(keys[key]), rows=row[_COUNT])
            for key, aggregate in asked.items()
        }

    def _cell(self, name: str) -> Any:  # noqa: ANN401 - an ibis expression
        """Return the cells so that equal ones are one value."""
        column = self._column(name)
        require_kind(column, COUNTABLE, "counting different values", self._where)
        return value_of(self._bound, column)

    def rows(
        self, where: Mapping[str, Predicate], columns: Mapping[str, Sequence[str]], *, most: int
    ) -> dict[str, list[dict[str, Any]]]:
        """Return up to `most` rows for each predicate by one query, in row order where there is one."""
        if not where:
            return {}
        ibis = require("ibis", extra="duckdb")
        needed = list(dict.fromkeys(name for key in where for name in columns.get(key, ())))
        numbered = self._bound.table
        if self._ordered:
            numbered = numbered.mutate(**{_ROW: ibis.row_number()})
        bound = self._bind(numbered)
        shown = {f"c{place}": self._shown(bound, name) for place, name in enumerate(needed)}
        parts = []
        for place, (key, predicate) in enumerate(where.items()):
            chosen = numbered.filter(ibis_predicate(self._resolve(predicate), bound))
            ordered = (chosen.order_by(_ROW) if self._ordered else chosen).limit(most)
            # A cell that this predicate's list does not name is not read for it.
            wanted = set(columns.get(key, ()))
            cells = {
                f"c{number}": shown[f"c{number}"] if name in wanted else ibis.null(shown[f"c{number}"].type())
                for number, name in enumerate(needed)
            }
            rebound = self._bind(ordered)
            cells = {
                f"c{number}": self._shown(rebound, name) if name in wanted else cells[f"c{number}"]
                for number, name in enumerate(needed)
            }
            row = ordered[_ROW] if self._ordered else ibis.null("int64")
            parts.append(
                ordered.select(**{_KEY: ibis.literal(place, type="int32"), _ROW: row.cast("int64")}, **cells)
            )
        found = self._run(ibis.union(*parts) if len(parts) > 1 else parts[0]).to_pylist()
        found.sort(key=lambda cells: (cells[_KEY], cells[_ROW] or 0))
        return {
            key: [
                {"row": cells[_ROW]}
                | {name: self._plain(name, cells[f"c{needed.index(name)}"]) for name in columns.get(key, ())}
                for cells in found
                if cells[_KEY] == place
            ]
            for place, key in enumerate(where)
        }

    def _shown(self, bound: Bound, name: str) -> Any:  # noqa: ANN401 - an ibis expression
        column = self._column(name)
        return value_of(bound, column) if column.kind in COUNTABLE else bound.table[name]

    def _plain(self, name: str, value: Any) -> Any:  # noqa: ANN401 - whatever a cell is
        return plain_value(self._columns[name], value)

    def value_counts(self, columns: Sequence[str], *, most: int) -> dict[str, list[tuple[Any, int]]]:
        """Return the most frequent values of each column, by one query a column."""
        ibis = require("ibis", extra="duckdb")
        found: dict[str, list[tuple[Any, int]]] = {}
        for name in columns:
            column = self._column(name)
            found[name] = []
            if require_kind(column, COUNTABLE, "counting different values", self._where):
                cells = self._bound.table.select(value=value_of(self._bound, column))
                counted = (
                    cells.filter(cells.value.notnull())
                    .group_by("value")
                    .aggregate(**{_COUNT: ibis._.count()})
                )
                ordered = counted.order_by(ibis.desc(_COUNT), ibis.asc("value")).limit(most)
                found[name] = [
                    (self._plain(name, row["value"]), int(row[_COUNT]))
                    for row in self._run(ordered).to_pylist()
                ]
        return found

    def group_counts(
        self, columns: Sequence[str], *, least: int = 1, most: int
    ) -> list[tuple[tuple[Any, ...], int]]:
        """Return combinations of values that occur in at least `least` rows, most frequent first."""
        ibis = require("ibis", extra="duckdb")
        keys = {f"c{place}": self._cell(name) for place, name in enumerate(columns)}
        counted = self._bound.table.select(**keys).group_by(list(keys)).aggregate(**{_COUNT: ibis._.count()})
        ordered = counted.filter(counted[_COUNT] >= least).order_by(
            ibis.desc(_COUNT), *(ibis.asc(key, nulls_first=False) for key in keys)
        )
        return [
            (
                tuple(self._plain(name, row[f"c{place}"]) for place, name in enumerate(columns)),
                int(row[_COUNT]),
            )
            for row in self._run(ordered.limit(most)).to_pylist()
        ]

    def values(self, columns: Sequence[str]) -> Mapping[str, Any]:
        """Return whole columns as numpy arrays."""
        shown = {}
        for place, name in enumerate(columns):
            cells = self._shown(self._bound, name)
            shown[f"c{place}"] = cells.cast("float64") if self._column(name).kind in NUMBERS else cells
        found = self._run(self._bound.table.select(**shown))
        return {name: self._array(name, found.column(f"c{place}")) for place, name in enumerate(columns)}

    def _array(self, name: str, cells: Any) -> Any:  # noqa: ANN401 - arrow's and numpy's types
        column = self._columns[name]
        if column.kind in NUMBERS:
            return np.array(cells.to_numpy(zero_copy_only=False), dtype=np.float64)
        plain = [plain_value(column, value) for value in cells.to_pylist()]
        if column.kind is Kind.DATETIME:
            moments = [None if value is None else value.replace(tzinfo=None) for value in plain]
            return np.array(moments, dtype="datetime64[us]").astype("datetime64[ns]")
        found = np.empty(len(plain), dtype=object)
        found[:] = plain
        return found

    def sample(self, columns: Sequence[str], *, most: int, seed: int) -> Any:  # noqa: ANN401 - pandas' type
        """Return at most `most` rows as a pandas frame, indexed by their positions where there are such."""
        for name in columns:
            self._column(name)
        size = self.aggregate({"rows": Rows()})["rows"]
        table, random = self._bound.table.select(*columns), np.random.default_rng(seed)
        if not self._ordered:
            # Drawn a little too large by the backend, cut to size here: each row has the same chance.
            share = min(1.0, 1.1 * most / size + 20.0 / size) if size else 1.0
            drawn = table if size <= most else table.sample(share, method="row", seed=seed)
            found = self._run(drawn).to_pandas()
            if len(found) <= most:
                return found
            return found.iloc[np.sort(random.choice(len(found), size=most, replace=False))].reset_index(
                drop=True
            )
        ibis = require("ibis", extra="duckdb")
        numbered = table.mutate(**{_ROW: ibis.row_number()})
        if size > most:
            arrow = require("pyarrow", extra="tables")
            places = random.choice(size, size=most, replace=False, shuffle=False)
            numbered = numbered.semi_join(ibis.memtable(arrow.table({_ROW: np.sort(places)})), _ROW)
        found = self._run(numbered.order_by(_ROW)).to_pandas()
        return found.drop(columns=_ROW).set_axis(found[_ROW].to_numpy(), axis=0)


@contextmanager
def ibis_sentences(where: str) -> Iterator[None]:
    """Turn what ibis or its backend raises into an `InputError` about the table."""
    try:
        with warnings.catch_warnings():
            # ibis 12 calls what DuckDB 2 calls by another name.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    except (ProdmlError, MemoryError):
        raise
    except Exception as error:  # each backend has errors of its own, with no common base
        told = str(error).strip().partition("\n")[0][:300]
        raise InputError(f"the engine refused: {type(error).__name__}: {told}", where=where) from error


@contextmanager
def _by_the_cells(backend: Any) -> Iterator[None]:  # noqa: ANN401 - ibis' type
    """Keep DuckDB from answering by what a Parquet file says about its columns.

    NaN has no part in their least and greatest value, so a column of zeros and NaN counts as constant for
    DuckDB 2.0, and `isnan` is false in all its rows.
    """
    if backend.name != "duckdb":
        yield
        return
    (before,) = backend.con.sql("SELECT current_setting('disabled_optimizers')").fetchall()[0]
    known = {name for name in before.split(",") if name} | {"statistics_propagation"}
    backend.raw_sql(f"SET disabled_optimizers = '{','.join(sorted(known))}'")
    try:
        yield
    finally:
        # The connection may be the user's own.
        backend.raw_sql(f"SET disabled_optimizers = '{before}'")


def _backend_of(table: Any, where: str) -> Any:  # noqa: ANN401 - ibis' types
    backends, _ = table._find_backends()  # noqa: SLF001 - the only way to ask without a default backend
    if len(backends) == 1:
        return backends[0]
    if not backends:
        return require("ibis", extra="duckdb").get_backend(table)
    raise InputError(f"the table joins {len(backends)} backends", where=where)


def _spark_zones(backend: Any, table: Any) -> dict[str, Column]:  # noqa: ANN401 - ibis' types
    """Return Spark's columns of instants; ibis gives them the type of those that have no zone."""
    fields = backend._session.sql(backend.compile(table)).schema  # noqa: SLF001 - ibis has no other way to it
    return {
        field.name: Column(name=field.name, kind=Kind.DATETIME, stored_as="timestamp('UTC')", zone="UTC")
        for field in fields
        if field.dataType.typeName() == "timestamp"
    }
