"""Two tables -> which of their columns are compared and how, and how many rows stand behind each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.expressions import Aggregate, Column, CountWhere, Kind, Missing, Rows
from pytest_prodml.checks.labels import nearest
from pytest_prodml.errors import InputError

NUMBERS = frozenset((Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL, Kind.DURATION))
CATEGORIES = frozenset((Kind.TEXT, Kind.CATEGORY, Kind.BOOLEAN))
TIMES = frozenset((Kind.DATE, Kind.TIME, Kind.DATETIME))

_OF_CATEGORIES = frozenset(("total_variation", "population_stability_index", "jensen_shannon"))
OF_NUMBERS = frozenset(("kolmogorov_smirnov", "wasserstein", "population_stability_index", "jensen_shannon"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which columns are compared and how, and which are not, with the reason."""

    names: tuple[str, ...]
    measures: Mapping[str, str]
    gone: tuple[str, ...]
    retyped: tuple[str, ...]
    added: tuple[str, ...]
    not_compared: Mapping[str, str]


def choose(
    reference: Table,
    current: Table,
    columns: Collection[str] | None,
    ignore: Collection[str],
    measures: Mapping[str, str],
    entity: str | None,
    summarized: Collection[str] = (),
) -> Chosen:
    """Choose the columns to compare and their measures; see `drift.no_drift` for the parameters.

    Raises
    ------
    InputError
        If a named column or measure does not exist, a column has no distribution, or none is left.
    """
    ours, theirs = reference.engine.columns(), current.engine.columns()
    for name in (*(columns or ()), *ignore, *measures, *summarized, *([entity] if entity else [])):
        if name not in ours and name not in theirs:
            raise InputError(
                f"there is no column {name!r}", where=reference.where, hint=nearest(name, list(ours))
            )
    left_out = {*ignore, *([entity] if entity else [])}
    wanted = [name for name in ours if (columns is None or name in columns) and name not in left_out]
    how: dict[str, str] = {}
    not_compared: dict[str, str] = {}
    gone = [name for name in wanted if name not in theirs]
    retyped = []
    for name in wanted:
        if name in gone or name in summarized:
            continue
        asked = name in measures or (columns is not None and name in columns)
        if ours[name].kind in TIMES and not asked:
            not_compared[name] = "time stamps move by their nature"
            continue
        family = _family_of(ours[name], reference)
        if family != _family_of(theirs[name], current) and Kind.EMPTY not in {
            ours[name].kind,
            theirs[name].kind,
        }:
            retyped.append(name)
            continue
        how[name] = _measure(name, family, measures.get(name))
    if not how and not gone and not retyped and not summarized:
        raise InputError("no column is left to compare", where=reference.where)
    return Chosen(
        names=tuple(how),
        measures=how,
        gone=tuple(gone),
        retyped=tuple(retyped),
        added=tuple(name for name in theirs if name not in ours),
        not_compared=not_compared,
    )


def _family_of(column: Column, table: Table) -> str:
    if column.kind in NUMBERS or column.kind in TIMES:
        return "number"
    if column.kind in CATEGORIES:
        return "category"
    if column.kind is Kind.EMPTY:
        return "empty"
    raise InputError(
        f"the column {column.name!r} holds {column.kind.value} cells, which have no distribution to compare",
        where=table.where,
        hint="ignore it, or give numbers that summarize it (lengths, embeddings) as columns",
    )


def _measure(name: str, family: str, asked: str | None) -> str:
    known = _OF_CATEGORIES if family == "category" else OF_NUMBERS
    if asked is None:
        return "total_variation" if family == "category" else "kolmogorov_smirnov"
    if asked not in known:
        raise InputError(
            f"{name!r} ({family}) can not be compared by {asked!r}", hint=f"one of {', '.join(sorted(known))}"
        )
    return asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Rows, missing cells of each column, and how many independent rows a row stands for (at most 1)."""

    reference: int
    current: int
    missing: Mapping[str, tuple[int, int]]
    shares: tuple[float, float]

    def effective(self, n: float, m: float) -> tuple[float, float]:
        """Return the independent rows behind n rows of the reference and m of the current table."""
        return n * self.shares[0], m * self.shares[1]


def sizes_of(reference: Table, current: Table, names: Sequence[str], entity: str | None) -> Sizes:
    """Count the rows and the missing cells of both tables, by one query each.

    Raises
    ------
    InputError
        If a table is empty or lacks the column of entities.
    """
    asked: dict[str, Aggregate] = {"rows": Rows()}
    asked |= {f"missing {name}": CountWhere(Missing(name)) for name in names}
    answers = [table.engine.aggregate(asked) for table in (reference, current)]
    for table, answer in zip((reference, current), answers, strict=True):
        if answer["rows"] == 0:
            raise InputError("the table has no rows, so nothing about it can be shown", where=table.where)
    shares = (
        (1.0, 1.0) if entity is None else (_independent(reference, entity), _independent(current, entity))
    )
    return Sizes(
        reference=int(answers[0]["rows"]),
        current=int(answers[1]["rows"]),
        missing={
            name: (int(answers[0][f"missing {name}"]), int(answers[1][f"missing {name}"])) for name in names
        },
        shares=shares,
    )


def _independent(table: Table, entity: str) -> float:
    """Return the independent rows behind each row if all rows of an entity were the same (Kish 1965)."""
    if entity not in table.engine.columns():
        raise InputError(f"there is no column {entity!r} to tell entities by", where=table.where)
    values = np.asarray(table.engine.values([entity])[entity], dtype=object)
    counts = np.unique(values.astype(str), return_counts=True)[1].astype(np.float64)
    return float(counts.sum() / np.square(counts).sum())
