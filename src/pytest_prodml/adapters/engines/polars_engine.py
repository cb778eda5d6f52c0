"""Rows in a polars LazyFrame: files that are scanned in a stream, and frames in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pytest_prodml._lazy import require
from pytest_prodml.adapters.engines.expressions import (
    Aggregate,
    Column,
    CountWhere,
    Distinct,
    Greatest,
    Histogram,
    Kind,
    Least,
    Predicate,
    Quantile,
    Repeated,
    Rows,
    Sum,
)
from pytest_prodml.adapters.engines.meaning import (
    COUNTABLE,
    NUMBERS,
    ORDERED,
    QUANTILE_STEPS,
    TEXTS,
    look_up,
    quantile_steps,
    require_kind,
    resolve,
    truth,
)
from pytest_prodml.adapters.engines.polars_predicates import (
    polars_column,
    polars_predicate,
    value_of,
)
from pytest_prodml.adapters.engines.ticks import plain_value
from pytest_prodml.adapters.files import require_arrow
from pytest_prodml.errors import InputError

# No column of a user's is called so.
_ROW = "\x00row"
_COUNT = "\x00count"


@contextmanager
def sentences(where: str) -> Iterator[None]:
    """Turn what polars raises into an `InputError` about the table."""
    polars = require("polars", extra="data")
    try:
        yield
    except (polars.exceptions.PolarsError, OSError) as error:
        told = str(error).partition("\n")[0]
        raise InputError(f"polars can not read it: {told}", where=where) from None


class PolarsEngine:
    """Questions about a LazyFrame, each answered by one streaming query.

    Parameters
    ----------
    frame : polars.LazyFrame
        The rows; read anew by every query.
    where : str
        Names the table in messages.
    known : mapping of str to Column
        What columns are that had no type of their own before they became polars columns.
    still_same : callable, optional
        Called after each query; raises where what was read has changed meanwhile.
    """

    name = "polars"

    def __init__(
        self,
        frame: Any,  # noqa: ANN401 - polars' type
        *,
        where: str,
        known: Mapping[str, Column] | None = None,
        still_same: Callable[[], None] | None = None,
    ) -> None:
        self.version: str = require("polars", extra="data").__version__
        self.frame = frame
        self.where = where
        #: Whether the rows lie in a file and not in memory.
        self.from_file = still_same is not None
        self.still_same = still_same or (lambda: None)
        self._scans = 0
        known = known or {}
        with sentences(where):
            schema = frame.collect_schema()
        self._columns = {
            name: known.get(name) or polars_column(name, dtype) for name, dtype in schema.items()
        }

    @property
    def scans(self) -> int:
        """How many queries over the rows were run so far."""
        return self._scans

    def columns(self) -> Mapping[str, Column]:
        """Return the columns in their order."""
        return self._columns

    def to_arrow(self, directory: Path) -> Any:  # noqa: ANN401 - arrow's type, or a path
        """Return the rows as an Arrow table if they are in memory, else as a Parquet file in `directory`."""
        if not self.from_file:
            require_arrow("frames for DuckDB are")
            return self._collect(self.frame).to_arrow()
        path = directory / "rows.parquet"
        self._scans += 1
        with sentences(self.where):
            self.frame.sink_parquet(path)
        self.still_same()
        return path

    def note_scan(self) -> None:
        """Count a query over the rows, and look whether what it read is still the same."""
        self._scans += 1
        self.still_same()

    def _collect(self, query: Any) -> Any:  # noqa: ANN401 - polars' types
        with sentences(self.where):
            found = query.collect(engine="streaming")
        self.note_scan()
        return found

    def aggregate(self, asked: Mapping[str, Aggregate]) -> dict[str, Any]:
        """Answer all aggregates by one query."""
        if not asked:
            return {}
        polars = require("polars", extra="data")
        expressions: dict[str, Any] = {}
        for key, aggregate in asked.items():
            expressions |= self._parts(key, aggregate)
        row = self._collect(self.frame.select(polars.len().alias(_COUNT), **expressions)).row(0, named=True)
        return {key: self._answer(key, aggregate, row) for key, aggregate in asked.items()}

    def _column(self, name: str) -> Column:
        return look_up(self._columns, name, self.where)

    def _predicate(self, predicate: Predicate) -> Any:  # noqa: ANN401 - a polars expression
        return polars_predicate(resolve(predicate, self._columns, self.where), self._columns)

    def _numbers(self, name: str, asked: str) -> Any:  # noqa: ANN401 - a polars expression
        """Return the present finite numbers of a column as floats; None where it has no value."""
        polars = require("polars", extra="data")
        column = self._column(name)
        if not require_kind(column, NUMBERS, asked, self.where):
            return None
        numbers = value_of(column).cast(polars.Float64)
        return numbers.filter(numbers.is_finite()) if column.kind is Kind.FLOAT else numbers.drop_nulls()

    def _cell(self, name: str) -> Any:  # noqa: ANN401 - a polars expression
        """Return the cells so that equal ones are one value."""
        column = self._column(name)
        require_kind(column, COUNTABLE, "counting different values", self.where)
        return value_of(column).alias(name)

    def _cells(self, names: Sequence[str]) -> Any:  # noqa: ANN401 - a polars expression
        polars = require("polars", extra="data")
        return polars.struct(*(self._cell(name) for name in dict.fromkeys(names)))

    def _parts(self, key: str, aggregate: Aggregate) -> dict[str, Any]:
        """Return the expressions by which an aggregate is answered, each one row long."""
        polars = require("polars", extra="data")
        match aggregate:
            case Rows():
                return {}
            case CountWhere(predicate):
                return {key: self._count(predicate)}
            case Least(name) | Greatest(name):
                column = self._column(name)
                if not require_kind(column, ORDERED, "an order", self.where):
                    return {}
                cells = value_of(column)
                return {key: cells.min() if isinstance(aggregate, Least) else cells.max()}
            case Sum(name, shift, power):
                numbers = self._numbers(name, "a sum")
                return {} if numbers is None else {key: ((numbers - shift) ** power).sum()}
            case Distinct(names):
                return {key: self._cells(names).n_unique()}
            case Repeated(names):
                return {key: self._cells(names).is_duplicated().sum()}
            case Quantile(name, probability):
                return self._quantile(key, self._column(name), probability)
            case Histogram(name, edges):
                numbers = self._numbers(name, "a histogram")
                if numbers is None:
                    return {}
                limits = polars.lit(polars.Series(list(edges), dtype=polars.Float64))
                return {key: limits.search_sorted(numbers, side="left").value_counts().implode()}

    def _count(self, predicate: Predicate) -> Any:  # noqa: ANN401 - a polars expression
        polars = require("polars", extra="data")
        resolved = resolve(predicate, self._columns, self.where)
        always = truth(resolved)
        if always is None:
            return polars_predicate(resolved, self._columns).sum()
        # A literal is one row long, however many the table has.
        return polars.len() if always else polars.lit(0)

    def _quantile(self, key: str, column: Column, probability: float) -> dict[str, Any]:
        polars = require("polars", extra="data")
        if not require_kind(column, ORDERED - TEXTS, "a quantile", self.where):
            return {}
        cells = value_of(column)
        present = cells.filter(cells.is_finite()) if column.kind is Kind.FLOAT else cells.drop_nulls()
        steps = quantile_steps(probability)
        place = (present.len().cast(polars.Int64) * steps + QUANTILE_STEPS - 1) // QUANTILE_STEPS - 1
        return {key: present.sort().get(place.clip(0), null_on_oob=True)}

    def _answer(self, key: str, aggregate: Aggregate, row: Mapping[str, Any]) -> Any:  # noqa: ANN401
        found = row.get(key)
        match aggregate:
            case Rows():
                return int(row[_COUNT])
            case CountWhere() | Repeated():
                return int(found or 0)
            case Distinct():
                return int(found or 0) if row[_COUNT] else 0
            case Sum():
                return float(found or 0.0)
            case Histogram(_, edges):
                counts = [0] * (len(edges) + 1)
                for cell in found or ():
                    place, count = cell.values()
                    counts[place] = count
                return tuple(counts)
            case Least(name) | Greatest(name) | Quantile(name):
                return plain_value(self._columns[name], found)

    def rows(
        self, where: Mapping[str, Predicate], columns: Mapping[str, Sequence[str]], *, most: int
    ) -> dict[str, list[dict[str, Any]]]:
        """Return up to `most` rows for each predicate, in row order, by one query."""
        if not where:
            return {}
        polars = require("polars", extra="data")
        numbered = self.frame.with_row_index(_ROW)
        lists = {}
        for key, predicate in where.items():
            named = [polars.col(_ROW), *(self._shown(name) for name in columns.get(key, ()))]
            chosen = self._predicate(predicate) & (polars.col(_ROW) >= 0)
            lists[key] = polars.struct(*named).filter(chosen).head(most).implode()
        found = self._collect(numbered.select(**lists)).row(0, named=True)
        return {key: [self._row(row) for row in found[key]] for key in where}

    def _shown(self, name: str) -> Any:  # noqa: ANN401 - a polars expression
        polars = require("polars", extra="data")
        column = self._column(name)
        return (value_of(column) if column.kind in COUNTABLE else polars.col(name)).alias(name)

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {
            ("row" if name == _ROW else name): value
            if name == _ROW
            else plain_value(self._columns[name], value)
            for name, value in row.items()
        }

    def value_counts(self, columns: Sequence[str], *, most: int) -> dict[str, list[tuple[Any, int]]]:
        """Return the most frequent values of each column, by one query."""
        polars = require("polars", extra="data")
        lists = {}
        for name in columns:
            column = self._column(name)
            if require_kind(column, COUNTABLE, "counting different values", self.where):
                cells = value_of(column).drop_nulls().alias("value").value_counts(name="count").implode()
                counts, value = polars.element().struct["count"], polars.element().struct["value"]
                ordered = polars.element().sort_by([counts, value], descending=[True, False]).head(most)
                lists[name] = cells.list.eval(ordered)
        found = self._collect(self.frame.select(**lists)).row(0, named=True) if lists else {}
        return {
            name: [
                (plain_value(self._columns[name], cell["value"]), cell["count"])
                for cell in found.get(name) or ()
            ]
            for name in columns
        }

    def group_counts(
        self, columns: Sequence[str], *, least: int = 1, most: int
    ) -> list[tuple[tuple[Any, ...], int]]:
        """Return combinations of values that occur in at least `least` rows, most frequent first."""
        polars = require("polars", extra="data")
        keys = [self._cell(name) for name in columns]
        groups = self.frame.select(*keys).group_by(list(columns)).agg(polars.len().alias(_COUNT))
        ordered = groups.filter(polars.col(_COUNT) >= least).sort(
            [_COUNT, *columns], descending=[True, *(False for _ in columns)], nulls_last=True
        )
        found = self._collect(ordered.head(most))
        return [
            (
                tuple(plain_value(self._columns[name], row[name]) for name in columns),
                int(row[_COUNT]),
            )
            for row in found.iter_rows(named=True)
        ]

    def values(self, columns: Sequence[str]) -> Mapping[str, Any]:
        """Return whole columns as numpy arrays."""
        polars = require("polars", extra="data")
        shown = []
        for name in columns:
            column = self._column(name)
            if column.kind in NUMBERS:
                shown.append(value_of(column).cast(polars.Float64).alias(name))
            elif column.kind is Kind.DATETIME:
                shown.append(polars.col(name).dt.cast_time_unit("ns").to_physical().alias(name))
            else:
                shown.append(self._shown(name))
        found = self._collect(self.frame.select(*shown))
        return {name: _array(self._columns[name], found[name]) for name in columns}

    def sample(self, columns: Sequence[str], *, most: int, seed: int) -> Any:  # noqa: ANN401 - pandas' type
        """Return at most `most` rows as a pandas frame, indexed by their positions."""
        found, places = self.sample_frame(columns, most=most, seed=seed)
        return to_pandas(found).set_axis(places.to_numpy(), axis=0)

    def sample_frame(self, columns: Sequence[str], *, most: int, seed: int) -> tuple[Any, Any]:
        """Return the rows of `sample` as a polars frame, and their positions."""
        polars = require("polars", extra="data")
        for name in columns:
            self._column(name)
        size = self.aggregate({"rows": Rows()})["rows"]
        chosen = self.frame.select(*columns).with_row_index(_ROW)
        if size > most:
            places = np.random.default_rng(seed).choice(size, size=most, replace=False, shuffle=False)
            wanted = polars.Series(np.sort(places), dtype=polars.get_index_type())
            chosen = chosen.filter(polars.col(_ROW).is_in(wanted.implode()))
        found = self._collect(chosen)
        return found.drop(_ROW), found[_ROW]


def to_pandas(frame: Any) -> Any:  # noqa: ANN401 - polars' and pandas' types
    """Return a polars frame as a pandas frame."""
    require("pandas", extra="data")
    require_arrow("rows for checks in pandas are")
    return frame.to_pandas()


def _array(column: Column, cells: Any) -> Any:  # noqa: ANN401 - polars' and numpy's types
    if column.kind in NUMBERS:
        return cells.fill_null(float("nan")).to_numpy()
    if column.kind is Kind.DATETIME:
        # The number that stands for NaT.
        missing = int(np.iinfo(np.int64).min)
        return cells.fill_null(missing).to_numpy().astype("datetime64[ns]")
    found = np.empty(len(cells), dtype=object)
    found[:] = [plain_value(column, value) for value in cells]
    return found
