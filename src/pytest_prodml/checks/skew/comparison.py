"""Two tables and a plan -> how many entities differ in each feature, by how much, why, and which first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_prodml._lazy import require
from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.expressions import Column, Kind
from pytest_prodml.adapters.engines.joining import collect, lazy_rows
from pytest_prodml.checks.counts import plain
from pytest_prodml.checks.skew.causes import Cause, causes, first_questions, second_questions
from pytest_prodml.checks.skew.cells import (
    OFFLINE,
    ONLINE,
    STATES,
    Expression,
    cells_of,
    first_name,
    second_name,
)
from pytest_prodml.checks.skew.joined import (
    Key,
    check_keys,
    first_rows,
    join,
    key_name,
    keyed,
    keys_of,
    show_key,
    sides,
)
from pytest_prodml.checks.skew.plan import Chosen, Plan, features_of
from pytest_prodml.checks.skew.rules import Feature
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue

#: Differing rows shown for each feature, and in all.
_MOST_OF_FEATURE = 10
MOST_SHOWN = 50
_MOST_KEYS = 10
#: Only the first rows that differ, in the order of the key, are fetched to be explained: so many cells of
#: each side, and that many rows at least.
_MOST_CELLS = 10_000_000
_LEAST_EXPLAINED = 10_000
_TIMES = frozenset((Kind.DATE, Kind.TIME, Kind.DATETIME, Kind.DURATION))
_SCORES = ("\x00score offline", "\x00score online")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One feature: of `n_entities` that were compared `n_differing` differ; `n_rows` rows of them do.

    `worst` is the largest difference between two finite values (seconds for times), `causes` what would
    explain the first `n_explained` of the differing rows.
    """

    feature: Feature
    n_entities: int
    n_differing: int
    n_rows: int
    worst: float | None
    n_explained: int = 0
    causes: tuple[Cause, ...] = ()
    examples: tuple[Mapping[str, JsonValue], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """Of `n_entities` with both scores `n_flips` get another decision; how far scores lie apart."""

    n_entities: int
    n_flips: int
    worst: float
    quantile: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """What was found about both tables.

    `absent` says for each side of how many entities of the other side rows are absent from it, of how many,
    and names the first keys.
    """

    features: tuple[Compared, ...]
    absent: Mapping[str, tuple[int, int, tuple[Mapping[str, JsonValue], ...]]]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    retyped: Mapping[str, str]
    decisions: Decisions | None


def compare(offline: Table, online: Table, plan: Plan) -> Parity:
    """Compare two tables row by row, rows being the same where the key (and event time) is.

    Each table is read for its keys, joined for all counts, and joined once more for the rows that differ, if
    there are any; with `time` entities are counted by a query of their own. Memory grows with the keys of a
    table and with the columns of the smaller one, not with the rows of the other.

    Raises
    ------
    InputError
        If a column is missing, keys do not name rows, no key is on both sides, a rule does not fit its
        feature, or times with and without a zone meet.
    """
    tables = (offline, online)
    chosen = Chosen.of(offline, online, plan)
    frames, columns = zip(*(lazy_rows(table, chosen.read()) for table in tables), strict=True)
    keys = keys_of(chosen.keys, columns[0], columns[1])
    features, retyped = features_of(chosen.shared, columns[0], columns[1], plan)
    rows = []
    for place, side in enumerate((OFFLINE, ONLINE)):
        name = (first_name, second_name)[place]
        cells = [(feature.name, name(number)) for number, feature in enumerate(features)]
        cells += _score(plan, columns[place], place)
        rows.append(keyed(frames[place], keys, cells, side=side))
        check_keys(rows[place], keys, tables[place])
    asking = _Asking(join(rows[0], rows[1], keys), keys, len(plan.key), features, tables, plan.threshold)
    return asking.answer(chosen, retyped)


def _score(plan: Plan, columns: Mapping[str, Column], place: int) -> list[tuple[str, str]]:
    if plan.score is None:
        return []
    if columns[plan.score].kind not in {Kind.FLOAT, Kind.INTEGER, Kind.DECIMAL}:
        raise InputError(f"the score {plan.score!r} is {columns[plan.score].stored_as} and no number")
    return [(plan.score, _SCORES[place])]


class _Asking:
    """The joined rows, and the queries over them."""

    def __init__(
        self,
        rows: Any,  # noqa: ANN401 - polars' type
        keys: Sequence[Key],
        n_entity: int,
        features: Sequence[Feature],
        tables: tuple[Table, Table],
        threshold: float | None,
    ) -> None:
        self._keys = keys
        self._names = [key_name(place) for place in range(len(keys))]
        self._entity = self._names[:n_entity]
        self._features = features
        self._tables = tables
        self._threshold = threshold
        self._cells = [cells_of(feature, place) for place, feature in enumerate(features)]
        self._rows = rows.with_columns(
            **{_differs(place): cells.differs for place, cells in enumerate(self._cells)}
        )

    def answer(self, chosen: Chosen, retyped: Mapping[str, str]) -> Parity:
        """Run the queries."""
        polars = require("polars", extra="data")
        entity, row = self._of_entities(), self._of_rows()
        if self._entity == self._names:
            found = self._collect(
                self._rows.select(
                    **{f"{_E}{key}": expression.sum() for key, expression in entity.items()}, **row
                )
            )
        else:
            found = self._collect(self._rows.select(**row))
            groups = self._rows.group_by(self._entity).agg(
                **{f"{_E}{key}": expression.any() for key, expression in entity.items()}
            )
            found |= self._collect(groups.select(polars.all().exclude(self._entity).sum()))
        if not found[f"{_E}both"]:
            raise InputError(
                f"no key is on both sides: {self._first(found, 'absent online')} offline, "
                f"{self._first(found, 'absent offline')} online",
                where=f"{self._tables[0].where} and {self._tables[1].where}",
                hint="keys are compared as they are written: '1' is not '01'",
            )
        return Parity(
            features=self._compared(found),
            absent={
                side: (
                    int(found[f"{_E}absent {side}"]),
                    int(found[f"{_E}{other}"]),
                    tuple(show_key(cells, self._keys) for cells in found[f"absent {side}"]),
                )
                for side, other in (("online", "offline"), ("offline", "online"))
            },
            missing=chosen.missing,
            added=chosen.added,
            retyped=retyped,
            decisions=self._decisions(found),
        )

    def _collect(self, query: Any) -> dict[str, Any]:  # noqa: ANN401 - polars' type
        return dict(collect(query, *self._tables).row(0, named=True))

    def _first(self, found: Mapping[str, Any], key: str) -> str:
        named = [show_key(cells, self._keys) for cells in found[key][:1]]
        return " and ".join("/".join(map(str, cells.values())) for cells in named)

    def _of_entities(self) -> dict[str, Expression]:
        """Return what is counted in entities: each is so if it is so in any of its rows."""
        polars = require("polars", extra="data")
        offline, online = sides()
        asked = {
            "offline": offline,
            "online": online,
            "both": offline & online,
            "absent online": offline & ~online,
            "absent offline": online & ~offline,
        }
        for place, cells in enumerate(self._cells):
            asked[f"n {place}"] = cells.counts
            asked[f"differs {place}"] = polars.col(_differs(place))
        if self._threshold is not None:
            scores = [polars.col(name).cast(polars.Float64) for name in _SCORES]
            reached = [score >= self._threshold for score in scores]
            asked["flips"] = (offline & online & (reached[0] != reached[1])).fill_null(value=False)
        return asked

    def _of_rows(self) -> dict[str, Expression]:
        polars = require("polars", extra="data")
        offline, online = sides()
        asked = {
            "absent online": first_rows(self._names, self._names, offline & ~online, _MOST_KEYS),
            "absent offline": first_rows(self._names, self._names, online & ~offline, _MOST_KEYS),
        }
        for place, cells in enumerate(self._cells):
            asked[f"rows {place}"] = polars.col(_differs(place)).sum()
            asked[f"worst {place}"] = cells.difference.max()
        if self._threshold is not None:
            scores = [polars.col(name).cast(polars.Float64) for name in _SCORES]
            known = (scores[0].is_finite() & scores[1].is_finite()).fill_null(value=False)
            apart = (scores[0] - scores[1]).abs().filter(offline & online & known)
            asked["no score"] = (offline & online & ~known).sum()
            asked["score worst"] = apart.max()
            asked["score quantile"] = apart.quantile(0.99, "nearest")
        return asked

    def _compared(self, found: Mapping[str, Any]) -> tuple[Compared, ...]:
        differing = [place for place in range(len(self._features)) if found[f"rows {place}"]]
        differing.sort(key=lambda place: (-found[f"{_E}differs {place}"], place))
        more = self._more(differing)
        answers = {place: _of_place(more, place) for place in differing}
        examples: dict[int, tuple[Mapping[str, JsonValue], ...]] = {}
        # The first row of every feature before the second of any.
        shares = _shares([min(found[f"rows {place}"], _MOST_OF_FEATURE) for place in differing], MOST_SHOWN)
        for place, share in zip(differing, shares, strict=True):
            cells = more.get(f"examples {place}", [])[:share]
            examples[place] = tuple(self._example(place, row) for row in cells)
        return tuple(
            Compared(
                feature=feature,
                n_entities=int(found[f"{_E}n {place}"]),
                n_differing=int(found[f"{_E}differs {place}"]),
                n_rows=int(found[f"rows {place}"]),
                worst=found[f"worst {place}"],
                n_explained=int(answers[place]["looked at"]) if place in answers else 0,
                causes=causes(feature, answers[place]) if place in answers else (),
                examples=examples.get(place, ()),
            )
            for place, feature in enumerate(self._features)
        )

    def _more(self, differing: Sequence[int]) -> dict[str, Any]:
        """Fetch the rows that differ, as many as fit, and ask what would explain them."""
        polars = require("polars", extra="data")
        if not differing:
            return {}
        needed = [
            *(self._names),
            OFFLINE,
            ONLINE,
            *(name(place) for place in differing for name in (first_name, second_name, _differs)),
        ]
        differs = polars.any_horizontal(*(polars.col(_differs(place)) for place in differing))
        most = max(_LEAST_EXPLAINED, _MOST_CELLS // len(differing))
        rows = collect(self._rows.filter(differs).select(needed).sort(self._names).head(most), *self._tables)
        found = rows.select(**self._first_questions(differing)).row(0, named=True)
        asked: dict[str, Expression] = {}
        for place in differing:
            answer = _of_place(found, place)
            differs = polars.col(_differs(place))
            questions = second_questions(self._features[place], self._cells[place], differs, answer)
            asked |= {f"{key} {place}": question for key, question in questions.items()}
        asked |= self._examples(differing[:MOST_SHOWN])
        return dict(found) | dict(rows.select(**asked).row(0, named=True))

    def _first_questions(self, differing: Sequence[int]) -> dict[str, Expression]:
        polars = require("polars", extra="data")
        asked = {}
        for place in differing:
            differs = polars.col(_differs(place))
            asked[f"looked at {place}"] = differs.sum()
            questions = first_questions(self._features[place], self._cells[place], differs)
            asked |= {f"{key} {place}": question for key, question in questions.items()}
        return asked

    def _examples(self, shown: Sequence[int]) -> dict[str, Expression]:
        polars = require("polars", extra="data")
        asked = {}
        for place in shown:
            feature, cells, differs = self._features[place], self._cells[place], polars.col(_differs(place))
            row = [
                *(polars.col(name) for name in self._names),
                *(state.alias(f"state {side}") for side, state in enumerate(cells.states)),
                *(
                    polars.col(name(place)).dt.to_string("iso").alias(f"cell {side}")
                    if column.kind in _TIMES
                    else polars.col(name(place)).alias(f"cell {side}")
                    for side, (name, column) in enumerate(
                        ((first_name, feature.first), (second_name, feature.second))
                    )
                ),
            ]
            asked[f"examples {place}"] = first_rows(row, self._names, differs, _MOST_OF_FEATURE)
        return asked

    def _example(self, place: int, row: Mapping[str, Any]) -> dict[str, JsonValue]:
        shown = show_key(row, self._keys) | {"feature": self._features[place].name}
        for side, name in enumerate(("offline", "online")):
            state = STATES[row[f"state {side}"]]
            cell = row[f"cell {side}"]
            is_plain = state is None or state == "sentinel"
            shown[name] = plain(cell) if is_plain else str(state)
        return shown

    def _decisions(self, found: Mapping[str, Any]) -> Decisions | None:
        if self._threshold is None:
            return None
        if found["no score"]:
            raise InputError(
                f"{found['no score']:,} rows have no finite score on one of the sides",
                hint="a score that is missing decides nothing",
            )
        return Decisions(
            n_entities=int(found[f"{_E}both"]),
            n_flips=int(found[f"{_E}flips"]),
            worst=float(found["score worst"]),
            quantile=float(found["score quantile"]),
        )


_E = "entities "


def _differs(place: int) -> str:
    return f"\x00differs {place}"


def _of_place(found: Mapping[str, Any], place: int) -> dict[str, Any]:
    """Return the answers about one feature, without its number."""
    end = f" {place}"
    return {key.removesuffix(end): value for key, value in found.items() if key.endswith(end)}


def _shares(sizes: Sequence[int], most: int) -> list[int]:
    """Divide rows to show: one for every feature that has any, then a second, as long as there are some."""
    shares = [0] * len(sizes)
    while most and any(share < size for share, size in zip(shares, sizes, strict=True)):
        for place, size in enumerate(sizes):
            if most and shares[place] < size:
                shares[place] += 1
                most -= 1
    return shares
