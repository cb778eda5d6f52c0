"""What answers questions about a table, wherever its rows are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_prodml.adapters.engines.expressions import Aggregate, Column, Predicate
from pytest_prodml.records import JsonValue, Subject


class Engine(Protocol):
    """Rows behind a query engine. Every method but `columns` costs scans, which `scans` counts.

    Names and versions go into the evidence. A method raises `InputError` for a column that is not there or
    whose kind cannot answer (the sentence names column and kind), and for what the engine itself refuses.
    """

    name: str
    version: str

    @property
    def scans(self) -> int:
        """How many queries over the rows were run so far."""

    def columns(self) -> Mapping[str, Column]:
        """Return the columns in their order."""

    def aggregate(self, asked: Mapping[str, Aggregate]) -> dict[str, Any]:
        """Answer all aggregates by **one** query."""

    def rows(
        self, where: Mapping[str, Predicate], columns: Mapping[str, Sequence[str]], *, most: int
    ) -> dict[str, list[dict[str, Any]]]:
        """Return up to `most` rows for each predicate, in row order, by **one** query.

        Each row has ``"row"``, its position from 0 (None where the engine keeps no order), and the `columns`
        that are named under the predicate's key.
        """

    def value_counts(self, columns: Sequence[str], *, most: int) -> dict[str, list[tuple[Any, int]]]:
        """Return the most frequent values of each column with their counts, most frequent first.

        Ties are ordered by value. Missing cells are not counted. `most` bounds each list.
        """

    def group_counts(
        self, columns: Sequence[str], *, least: int = 1, most: int
    ) -> list[tuple[tuple[Any, ...], int]]:
        """Return combinations of values that occur in at least `least` rows, most frequent first.

        Missing is a value of its own (None). `most` bounds the list.
        """

    def values(self, columns: Sequence[str]) -> Mapping[str, Any]:
        """Return whole columns as numpy arrays (memory grows with the rows; for methods that need them).

        Numbers and booleans become float64 (NaN where missing), times int64 nanoseconds of UTC as float64
        would lose them: ``datetime64[ns]`` with NaT; everything else object arrays with None.
        """

    def sample(self, columns: Sequence[str], *, most: int, seed: int) -> Any:  # noqa: ANN401 - pandas' type
        """Return at most `most` rows as a pandas frame: all of them in row order, or a seeded random sample.

        Every row has the same chance; the same seed gives the same rows on the same engine version. The
        index is the row's position from 0, or a plain range where the engine keeps no order.
        """


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """A table that need not be in memory.

    `name` says what it is to the project ("test", "reference", "current"), `where` names it in messages,
    `material` identifies what is read (None where it cannot be identified, for example a remote query).
    """

    name: str
    where: str
    engine: Engine
    material: Subject | None = None
    target_name: str | None = None

    def facts(self) -> dict[str, JsonValue]:
        """Return what the evidence says about how the rows were read."""
        return {"engine": f"{self.engine.name} {self.engine.version}", "scans": self.engine.scans}
