"""What `quality` was asked, what two scans of each table told, and what a kind of fault finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.expressions import (
    Aggregate,
    Column,
    CountWhere,
    Distinct,
    Greatest,
    Kind,
    Least,
    Length,
    Matches,
    Missing,
    Predicate,
    Quantile,
    Rows,
)
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue
from pytest_prodml.statistics.estimate import Bounds, Estimate
from pytest_prodml.statistics.independent import difference
from pytest_prodml.statistics.intervals import proportion

NUMBERS = frozenset((Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL))
DATES = frozenset((Kind.DATE, Kind.DATETIME))
TEXTS = frozenset((Kind.TEXT, Kind.CATEGORY))
ORDERED = NUMBERS | DATES | {Kind.TIME, Kind.DURATION}
#: Cells that can be told apart.
COUNTABLE = frozenset(Kind) - {Kind.NESTED, Kind.MIXED, Kind.EMPTY}

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
_MEDIAN = QUANTILES.index(0.5)
#: Of a column at most so many different values are listed; one with more is no category.
MOST_VALUES = 10_000
#: Lengths of texts are known to powers of two: 0, 1, 2, 3 to 4, 5 to 8, ...
LENGTH_EDGES = (0, 1, *(2**place for place in range(1, 21)))
_NUMBER = r"[ ]*[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?[ ]*"

Asked: TypeAlias = Mapping[str, Aggregate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One number of a kind; `group` is the column, or None where the kind has one number."""

    estimate: Estimate
    n_samples: int
    group: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one kind found.

    An `exact` one is a count over the rows at hand. One that is `two_sided` must stay above minus its limit
    too. `where` says which rows are examples, by column; `listed` are rows of a table that say more.
    `unjudged` is the reason for which the default limit does not apply here.
    """

    items: Sequence[Item]
    exact: bool = False
    two_sided: bool = False
    unit: str = "1"
    where: Mapping[str, Predicate] = field(default_factory=dict)
    listed: Sequence[Mapping[str, JsonValue]] = ()
    unjudged: str | None = None


#: A finding, or the reason why there is none.
Found: TypeAlias = Finding | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is asked of a table whatever its reference is."""

    n_rows: int
    answers: Mapping[str, Any]
    values: Mapping[str, Sequence[tuple[Any, int]]]

    def missing(self, name: str) -> int:
        """Return the number of missing cells."""
        return int(self.answers[f"missing {name}"])

    def present(self, name: str) -> int:
        """Return the number of cells that are there."""
        return self.n_rows - self.missing(name)

    def ends(self, name: str) -> tuple[Any, Any]:
        """Return the smallest and the largest value, None where there is none."""
        return self.answers[f"least {name}"], self.answers[f"greatest {name}"]

    def quantiles(self, name: str) -> tuple[float, ...] | None:
        """Return the `QUANTILES` of a column of numbers, None where it has no value."""
        found = [self.answers[f"quantile {place} {name}"] for place in range(len(QUANTILES))]
        return None if None in found else tuple(float(value) for value in found)

    def lengths(self, name: str) -> tuple[int, int] | None:
        """Return lengths between which, by powers of two, all texts lie."""
        counts = [self.answers[f"longer {edge} {name}"] for edge in LENGTH_EDGES]
        if not self.present(name) or counts[-1]:
            return None
        longest = next(edge for edge, count in zip(LENGTH_EDGES, counts, strict=True) if count == 0)
        all_longer = [
            edge + 1 for edge, count in zip(LENGTH_EDGES, counts, strict=True) if count == self.present(name)
        ]
        return max(all_longer, default=0), longest

    def is_category(self, name: str) -> bool:
        """Say whether all values of a column of texts are known, and few for its rows."""
        return len(self.values[name]) < MOST_VALUES and len(self.values[name]) * 10 <= self.present(name)

    def dominant(self, name: str) -> Any:  # noqa: ANN401 - any cell
        """Return the only value that most rows can have; None where no cell is there."""
        if name in self.values:
            return self.values[name][0][0] if self.values[name] else None
        return self.answers.get(f"median {name}", self.answers.get(f"quantile {_MEDIAN} {name}"))


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `quality` was asked; `counts` are the answers of the second scans, by table."""

    table: Table
    reference: Table | None
    columns: Mapping[str, Column]
    known_columns: Mapping[str, Column]
    inputs: tuple[str, ...]
    keys: tuple[str, ...]
    target: str | None
    now: Any
    probabilities: Any
    confidence_level: float
    seed: int
    current: Profile
    base: Profile | None
    retyped: tuple[str, ...]
    gone: tuple[str, ...]
    not_compared: tuple[str, ...]
    counts: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {})

    def of_kind(self, kinds: frozenset[Kind]) -> list[str]:
        """Return the inputs of these kinds."""
        return [name for name in self.inputs if self.columns[name].kind in kinds]

    def shared(self, kinds: frozenset[Kind]) -> list[str]:
        """Return those of these kinds that the reference has too, with a value there."""
        if self.base is None:
            return []
        apart = {*self.not_compared, *self.retyped}
        return [
            name
            for name in self.of_kind(kinds)
            if name not in apart and self.known_columns[name].kind in kinds and self.base.present(name)
        ]

    @property
    def known(self) -> Profile:
        """The reference, of which there is one."""
        if self.base is None:
            raise InputError("there is no reference to compare with", where=self.table.where)
        return self.base


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A kind of fault: its limit (None: measured, not judged), what it asks of both tables, its measure."""

    limit: float | None
    measure: Callable[[Request], Found]
    ask: Callable[[Request], tuple[Asked, Asked]] = lambda _: ({}, {})


def profile(
    table: Table, columns: Mapping[str, Column], rows_of: Sequence[Sequence[str]], target: str | None
) -> Profile:
    """Ask a table what every kind needs, by one query and one for the values of categories.

    Raises
    ------
    InputError
        If it has no rows.
    """
    asked: dict[str, Aggregate] = {"rows": Rows()}
    for name, column in columns.items():
        asked[f"missing {name}"] = CountWhere(Missing(name))
        if column.kind in ORDERED:
            asked |= {f"least {name}": Least(name), f"greatest {name}": Greatest(name)}
        if column.kind in ORDERED - NUMBERS:
            asked[f"median {name}"] = Quantile(name, 0.5)
        if column.kind in NUMBERS:
            asked |= {
                f"quantile {place} {name}": Quantile(name, probability)
                for place, probability in enumerate(QUANTILES)
            }
        if column.kind in TEXTS:
            asked[f"numeric {name}"] = CountWhere(Matches(name, _NUMBER, whole=True))
            asked |= {
                f"longer {edge} {name}": CountWhere(Length(name, edge + 1, None)) for edge in LENGTH_EDGES
            }
    asked |= {f"distinct {place}": Distinct(tuple(names)) for place, names in enumerate(rows_of) if names}
    answers = table.engine.aggregate(asked)
    if not answers["rows"]:
        raise InputError("the table has no rows, so nothing about it can be shown", where=table.where)
    listed = [
        name
        for name, column in columns.items()
        if column.kind in TEXTS | {Kind.BOOLEAN} or (name == target and column.kind is Kind.INTEGER)
    ]
    values = table.engine.value_counts(listed, most=MOST_VALUES) if listed else {}
    return Profile(n_rows=int(answers["rows"]), answers=answers, values=values)


def counted(value: float, n_samples: int, *, note: str | None = None) -> Item:
    """Return a fact about the rows at hand."""
    fact = Estimate(value=value, method="exact count", bounds=lambda *_: (value, value))
    return Item(estimate=fact, n_samples=n_samples, note=note)


def beyond_support(count: int, n_rows: int, n_reference: int) -> Estimate:
    """Estimate the share of rows outside of the range of a reference, beyond what chance leaves there.

    Of the population that a reference of n rows was drawn from a share of Beta(2, n - 1) lies outside of
    their range (Wilks 1941), whatever its distribution; the lower bound allows for it.
    """
    chance = proportion(min(1, n_reference), n_reference)
    # Nothing of the reference itself is outside of its range.
    outside = Estimate(
        value=0.0,
        method=chance.method,
        bounds=lambda level, growth, power: (0.0, chance.bounds(level, growth, power)[1]),
    )
    found = difference(proportion(count, n_rows), outside)
    return Estimate(
        value=found.value, method="Clopper-Pearson less the tolerance region", bounds=found.bounds
    )


def is_more(request: Request, count: int, before: int, n_rows: int, n_before: int) -> bool:
    """Say whether a share has grown since the reference; chance accuses none of all columns."""
    if count == 0:
        return False
    if before == 0:
        return True
    grown = difference(proportion(count, n_rows), proportion(before, n_before))
    lower = grown.at(family_level(request))[0]
    return lower is not None and lower > 0


def family_level(request: Request) -> float:
    """Return the level at which a claim about each column holds for all of them at once (Bonferroni)."""
    return 1 - (1 - request.confidence_level) / max(1, len(request.inputs))


def for_family(estimate: Estimate, size: int, *, both: bool) -> Estimate:
    """Make the side that accuses (the lower bound; or both) hold for a family of columns at once."""
    if size <= 1:
        return estimate

    def bounds(level: float, growth: float, power: float) -> Bounds:
        lower, upper = estimate.bounds(1 - (1 - level) / size, growth, power)
        return lower, upper if both else estimate.bounds(level, growth, power)[1]

    side = "bounds" if both else "lower bound"
    return Estimate(
        value=estimate.value,
        method=f"{estimate.method}; {side} for {size} columns at once",
        bounds=bounds,
        note=estimate.note,
    )


def named(names: Sequence[str]) -> str | None:
    """Return a bounded list of columns for a note."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more or None
