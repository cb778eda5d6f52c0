"""The tables of a split -> Evidence that no entity, time or row of one leaks into another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np

from pytest_prodml._lazy import require
from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.expressions import Column, Kind, Rows
from pytest_prodml.adapters.engines.joining import collect, lazy_rows
from pytest_prodml.adapters.tables import Dataset, load_dataset
from pytest_prodml.checks.counts import check_share, exact
from pytest_prodml.checks.evidence import evidence, measurement
from pytest_prodml.checks.labels import nearest
from pytest_prodml.checks.overlap import copies
from pytest_prodml.checks.overlap.columns import shared_columns
from pytest_prodml.checks.overlap.splits import design_of_both
from pytest_prodml.checks.skew.joined import Key, keys_of
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level

#: Rows of a table beyond which it is not searched for copies of rows, which takes them all into memory.
MOST_ROWS = 1_000_000
_MOST_NAMED = 5
_MOST_SHOWN = 20
_TIMES = frozenset((Kind.DATE, Kind.DATETIME, Kind.INTEGER))

_ENTITIES = "entity_overlap"
_TIME = "time_overlap"
_EXACT = ("duplicate_rows", "duplicates_beyond_chance")
_NEAR = ("near_duplicate_rows", "near_duplicates_beyond_chance")


def splits(
    tables: Mapping[str, Table],
    *,
    entity: str | None = None,
    time: str | None = None,
    duplicates: bool = True,
    near_duplicates: bool = True,
    ignore: Collection[str] = (),
    overlap_at_most: float = 0.0,
    duplicates_at_most: float = 0.01,
    beyond_chance_at_most: float = 0.1,
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the parts of a split share no entity, no time and no row.

    Every pair of tables is looked at, as group ``earlier/later`` in the order of the mapping.

    Parameters
    ----------
    tables : mapping of str to Table
        The parts by name, those for training first: train, validation, test.
    entity : str, optional
        The column that says whose row it is; no entity may be in two tables.
    time : str, optional
        The column of times (dates, times or whole numbers); every row of a table has to come after all rows
        of the table before it.
    duplicates, near_duplicates : bool
        Search for rows that are equal to a row of an earlier table, or equal after rounding. It takes all
        rows into memory, at most a million a table.
    ignore : collection of str
        Columns that make no difference between rows: keys. Entity, time and the label make none either.
    overlap_at_most : float
        The tolerated share of rows of an entity that an earlier table knows, and of rows that do not come
        after the table before.
    duplicates_at_most : float
        The tolerated share of rows that are copies in a way that chance does not explain.
    beyond_chance_at_most : float
        By how much more often a row may have an equal one in the earlier table than the rows of that table
        have among themselves; in tables of few levels nothing else can be judged.
    gate_id, confidence_level, seed
        Common to all checks. The seed is of the halves and grids that copies are found by.

    Returns
    -------
    Evidence
        For each pair the exact shares ``entity_overlap``, ``time_overlap`` (tables that follow each other),
        ``duplicate_rows`` and ``near_duplicate_rows``, and with bounds ``duplicates_beyond_chance`` and
        ``near_duplicates_beyond_chance``. ``details["not_run"]`` names what was not looked at, and why.

    Raises
    ------
    InputError
        If there are fewer than two tables or nothing to look at, a table is empty or too large to search for
        copies, a column is missing or of different kinds, or an entity or time is.

    See Also
    --------
    pytest_prodml.checks.performance.no_leakage : further ways in which a test set can know the answer.
    """
    checked_level(confidence_level)
    for name, limit in (
        ("overlap_at_most", overlap_at_most),
        ("duplicates_at_most", duplicates_at_most),
        ("beyond_chance_at_most", beyond_chance_at_most),
    ):
        check_share(limit, name)
    if len(tables) < 2:
        raise InputError("a split has two tables or more", where="splits")
    _check_columns(tables, [name for name in (entity, time) if name is not None], ignore)
    for table in tables.values():
        if not table.engine.aggregate({"rows": Rows()})["rows"]:
            raise InputError("the table has no rows, so nothing about it can be shown", where=table.where)
    not_run: dict[str, JsonValue] = {}
    names = list(tables)
    pairs = [(a, b) for a, b in product(names, names) if names.index(a) < names.index(b)]
    measured: list[Measurement] = []
    limits: dict[str, float] = {}
    if entity is None:
        not_run[_ENTITIES] = "no entity column is named"
    else:
        limits[_ENTITIES] = overlap_at_most
        measured += [_entities(tables[a], tables[b], entity, f"{a}/{b}") for a, b in pairs]
    if time is None:
        not_run[_TIME] = "no time column is named"
    else:
        limits[_TIME] = overlap_at_most
        measured += [_times(tables[a], tables[b], time, f"{a}/{b}") for a, b in pairwise(names)]
    kinds = [*(_EXACT if duplicates else ()), *(_NEAR if near_duplicates else ())]
    not_run |= {kind: "switched off" for kind in (*_EXACT, *_NEAR) if kind not in kinds}
    places: dict[str, JsonValue] = {}
    if kinds:
        without = {*ignore, *(name for name in (entity, time) if name is not None)}
        without |= {table.target_name for table in tables.values() if table.target_name}
        datasets = {name: _loaded(table, name, without, entity) for name, table in tables.items()}
        share, beyond = duplicates_at_most, beyond_chance_at_most
        limits |= dict(zip((*_EXACT, *_NEAR), (share, beyond, share, beyond), strict=True))
        for a, b in pairs:
            found = _Copies(datasets[a], datasets[b], f"{a}/{b}", without, entity, seed)
            measured += found.measure(kinds, beyond, confidence_level, places, not_run)
    if not measured:
        raise InputError("nothing is left to look at", where="splits", hint="name an entity or a time")
    criteria = [
        Criterion(
            metric=item.metric, comparison=Comparison.AT_MOST, limit=limits[item.metric], group=item.group
        )
        for item in measured
    ]
    details: dict[str, JsonValue] = {
        "engine": {name: table.facts() for name, table in tables.items()},
        "not_run": not_run,
    }
    found_at = {"copied_rows_at": places} if places else {}
    materials = tuple(table.material for table in tables.values() if table.material is not None)
    return replace(
        evidence(gate_id, measured, criteria, seed=seed, details={**details, **found_at}),
        materials=materials,
    )


def _check_columns(tables: Mapping[str, Table], needed: Sequence[str], ignore: Collection[str]) -> None:
    for table in tables.values():
        known = table.engine.columns()
        for name in needed:
            if name not in known:
                raise InputError(
                    f"there is no column {name!r}", where=table.where, hint=nearest(name, list(known))
                )
    everywhere = {name for table in tables.values() for name in table.engine.columns()}
    for name in ignore:
        if name not in everywhere:
            raise InputError(
                f"there is no column {name!r} to ignore", where="splits", hint=nearest(name, list(everywhere))
            )


def _column(first: Table, second: Table, name: str) -> tuple[Key, tuple[Any, Any]]:
    """Return a column of both tables as one type: what it is, and the cells as frames of one column."""
    polars = require("polars", extra="data")
    frames, columns = zip(*(lazy_rows(table, [name]) for table in (first, second)), strict=True)
    (key,) = keys_of([name], columns[0], columns[1], (f"in {first.name}", f"in {second.name}"))
    sides: list[Column] = [key.first, key.second]
    cells = [
        frame.select(key.expression(side).alias("cell")) for frame, side in zip(frames, sides, strict=True)
    ]
    for frame, table in zip(cells, (first, second), strict=True):
        missing = int(collect(frame.select(polars.col("cell").is_null().sum()), table).item())
        if missing:
            raise InputError(f"{name!r} is missing in {missing:,} rows", where=table.where)
    return key, (cells[0], cells[1])


def _entities(first: Table, second: Table, entity: str, group: str) -> Measurement:
    polars = require("polars", extra="data")
    key, (known, asked) = _column(first, second, entity)
    marked = known.unique().with_columns(known=polars.lit(value=True))
    rows = asked.join(marked, on="cell", how="left")
    is_known = polars.col("known").is_not_null()
    found = collect(
        rows.select(
            rows=polars.len(),
            known=is_known.sum(),
            entities=polars.col("cell").filter(is_known).n_unique(),
            named=polars.col("cell").filter(is_known).unique().bottom_k(_MOST_NAMED).sort().implode(),
        ),
        first,
        second,
    ).row(0, named=True)
    told = ", ".join(str(key.shown(cell)) for cell in found["named"])
    return exact(
        _ENTITIES,
        found["known"] / found["rows"],
        found["rows"],
        group=group,
        method="share of rows, exact",
        note=f"{found['entities']:,} entities are in both: {told}" if found["known"] else None,
    )


def _times(first: Table, second: Table, time: str, group: str) -> Measurement:
    polars = require("polars", extra="data")
    for table in (first, second):
        column = table.engine.columns()[time]
        if column.kind not in _TIMES:
            raise InputError(
                f"{time!r} is {column.stored_as}, which is no time that could be ordered for sure",
                where=table.where,
                hint="give it a type of dates or times, or whole numbers",
            )
    key, (before, after) = _column(first, second, time)
    last = collect(before.select(polars.col("cell").max()), first).item()
    late = polars.col("cell") <= polars.lit(last)
    found = collect(after.select(rows=polars.len(), late=late.sum()), second).row(0, named=True)
    return exact(
        _TIME,
        found["late"] / found["rows"],
        found["rows"],
        group=group,
        method="share of rows not after the last row before, exact",
        note=f"the last row before is of {key.shown(last)}" if found["late"] else None,
    )


def _loaded(table: Table, name: str, without: set[str], entity: str | None) -> Dataset:
    rows = int(table.engine.aggregate({"rows": Rows()})["rows"])
    if rows > MOST_ROWS:
        raise InputError(
            f"{rows:,} rows are too many to be searched for copies of rows",
            where=table.where,
            hint="duplicates=False and near_duplicates=False look at entities and times only",
        )
    needed = [column for column in table.engine.columns() if column not in without or column == entity]
    if not set(needed) - {entity}:
        raise InputError("no column is left to compare rows by", where=table.where)
    for column in needed:
        found = table.engine.columns()[column]
        if found.kind is Kind.MIXED or (found.kind is Kind.NESTED and found.stored_as == "object"):
            raise InputError(
                f"the cells of {column!r} are of several kinds, so rows can not be compared by them",
                where=table.where,
                hint="ignore the column, or give it one type",
            )
    frame = table.engine.sample(needed, most=rows, seed=0)
    return load_dataset(frame, name=name, target=None)


class _Copies:
    """Rows of a table that equal rows of an earlier one."""

    def __init__(
        self, first: Dataset, second: Dataset, group: str, without: set[str], entity: str | None, seed: int
    ) -> None:
        self._group = group
        self._seed = seed
        try:
            self._columns = shared_columns(first, second, without=without)
        except InputError as error:
            raise InputError(error.what, where=f"splits, {group}", hint=error.hint) from None
        design = design_of_both(first, second, entity=entity, sample_weight=None)
        size = len(first)
        self._designs = (
            design.subset(np.arange(size, size + len(second))),
            design.subset(np.arange(size)),
        )

    def measure(
        self,
        kinds: Sequence[str],
        beyond_chance_at_most: float,
        confidence_level: float,
        places: dict[str, JsonValue],
        not_run: dict[str, JsonValue],
    ) -> list[Measurement]:
        """Measure what is asked; the first rows that were found go to `places`."""
        equal = copies.exact_copies(self._columns, seed=self._seed)
        found: list[Measurement] = []
        for (share, beyond), is_near in ((_EXACT, False), (_NEAR, True)):
            if share not in kinds:
                continue
            if is_near and not any(column.is_number for column in self._columns):
                not_run[share] = not_run[beyond] = "no column holds numbers, which could be rounded"
                continue
            alike = copies.rounded_copies(self._columns, seed=self._seed) if is_near else equal
            rows = copies.near_copies(alike, equal) if is_near else alike.telling
            if rows.any():
                shown = [int(place) for place in np.flatnonzero(rows)[:_MOST_SHOWN]]
                places[f"{share} {self._group}"] = list(shown)
            found.append(
                exact(
                    share,
                    float(np.mean(rows)),
                    rows.size,
                    group=self._group,
                    method="share of rows, exact",
                    note=f"{np.count_nonzero(rows):,} of {rows.size:,} rows" if rows.any() else None,
                )
            )
            criterion = Criterion(
                metric=beyond,
                comparison=Comparison.AT_MOST,
                limit=beyond_chance_at_most,
                group=self._group,
            )
            found.append(
                measurement(
                    beyond,
                    copies.beyond_chance(alike, *self._designs),
                    criteria=[criterion],
                    n_samples=rows.size,
                    confidence_level=confidence_level,
                    higher_is_better=False,
                    group=self._group,
                )
            )
        return found
