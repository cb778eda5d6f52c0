# ruff: noqa: DTZ001 - times without a zone are part of it
"""Tables of the cells on which engines differ, and questions about them."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import strategies as st

from pytest_prodml.adapters.engines.expressions import (
    Aggregate,
    And,
    Compare,
    CompareColumns,
    CountWhere,
    Distinct,
    Fraction,
    Greatest,
    HasPart,
    Histogram,
    Infinite,
    Least,
    Length,
    Matches,
    Missing,
    Not,
    OneOf,
    Or,
    Predicate,
    Quantile,
    Relation,
    Repeated,
    Rows,
    Sum,
)

BERLIN = pl.Datetime("us", "Europe/Berlin")
TYPES: dict[str, Any] = {
    "real": pl.Float64,
    "single": pl.Float32,
    "whole": pl.Int64,
    "large": pl.UInt64,
    "price": pl.Decimal(12, 2),
    "text": pl.String,
    "label": pl.Categorical,
    "flag": pl.Boolean,
    "day": pl.Date,
    "moment": BERLIN,
    "local": pl.Datetime("ns"),
    "nothing": pl.Null,
}
_SUMMER = dt.datetime(2024, 10, 27, 0, 30, tzinfo=dt.UTC)
CELLS: dict[str, list[Any]] = {
    "real": [0.0, -0.0, 0.1, 1.0, -1.5, 2.0**53, 1e-310, math.inf, -math.inf, math.nan, None],
    "single": [0.0, -0.0, 0.5, 0.10000000149011612, -3.0, math.inf, math.nan, None],
    "whole": [0, 1, -1, 3, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), None],
    "large": [0, 1, 2**63, 2**64 - 1, None],
    "price": [Decimal("0.00"), Decimal("0.10"), Decimal("-1.50"), Decimal("9999999999.99"), None],
    "text": ["", "a", "A", "ab", "b\n", "é", "e\u0301", "😀", "ß", "'; --", "12", "٣", "NaN", None],
    "label": ["a", "b", "Ä", "z", None],
    "flag": [True, False, None],
    "day": [dt.date(2024, 2, 29), dt.date(1969, 12, 31), dt.date(2024, 3, 1), None],
    # The hour that the clocks of Berlin show twice.
    "moment": [
        _SUMMER,
        _SUMMER + dt.timedelta(hours=1),
        dt.datetime(1969, 12, 31, 23, 59, 59, 5, tzinfo=dt.UTC),
        None,
    ],
    "local": [dt.datetime(2024, 10, 27, 2, 30), dt.datetime(1960, 1, 1, 0, 0, 0, 1), None],
    "nothing": [None],
}
NUMBERS = ("real", "single", "whole", "large", "price", "flag")
ORDERED = (*NUMBERS, "text", "label", "day", "moment", "local")
#: Constants beside those that are cells: what no cell of the type can be, and the other types of number.
CONSTANTS: dict[str, list[Any]] = {
    "real": [0.3, 1, -7, 10**15],
    "single": [0.5, 2, -0.25],
    "whole": [0.5, -0.5, 1.0, 1e300, -1e300, 10**30, math.inf, Decimal("2.5")],
    "large": [-1, 0.5, 1.5, 2.0**63],
    "price": [0.1, 0.105, 1, -2, 10**40, Decimal("0.101")],
    "text": ["aa", "\U0001f601", "\ue000"],
    "label": ["A", "zz"],
    "flag": [1, 0.5],
    "day": [dt.date(2024, 1, 1), dt.datetime(2024, 2, 29), dt.datetime(2024, 2, 28, 12)],
    "moment": [
        _SUMMER.astimezone(dt.timezone(dt.timedelta(hours=-5))),
        _SUMMER + dt.timedelta(microseconds=1),
    ],
    "local": [dt.date(2024, 10, 27), dt.datetime(1500, 1, 1), dt.datetime(9000, 1, 1)],
}

RowList = list[dict[str, Any]]


def rows_of_cells(max_size: int = 12) -> st.SearchStrategy[RowList]:
    return st.lists(
        st.fixed_dictionaries({name: st.sampled_from(cells) for name, cells in CELLS.items()}),
        max_size=max_size,
    )


def _constants(name: str) -> st.SearchStrategy[Any]:
    cells = [cell for cell in CELLS[name] if cell is not None and cell == cell]  # noqa: PLR0124 - not NaN
    return st.sampled_from(cells + CONSTANTS[name])


def _compare(name: str) -> st.SearchStrategy[Predicate]:
    return st.builds(Compare, st.just(name), st.sampled_from(list(Relation)), _constants(name))


def _one_of(name: str) -> st.SearchStrategy[Predicate]:
    return st.builds(OneOf, st.just(name), st.lists(_constants(name), max_size=4).map(tuple))


_PAIRS = [("real", "whole"), ("whole", "real"), ("whole", "large"), ("large", "real"), ("text", "label"),
          ("real", "single"), ("real", "real"), ("moment", "moment"), ("flag", "flag")]  # fmt: skip
_PATTERNS = ["a", "[a-c]+", r"\p{Nd}+", r"(?:a|é)", r"[^\n]"]
_TEXTS = st.sampled_from(["text", "label"])
_LEAVES: st.SearchStrategy[Predicate] = st.one_of(
    st.builds(Missing, st.sampled_from(list(CELLS))),
    st.sampled_from(ORDERED).flatmap(_compare),
    st.sampled_from(ORDERED).flatmap(_one_of),
    st.builds(Infinite, st.sampled_from(["real", "single", "whole"])),
    st.builds(Fraction, st.sampled_from(["real", "single", "whole"])),
    st.builds(Matches, _TEXTS, st.sampled_from(_PATTERNS), st.booleans()),
    st.builds(
        HasPart,
        _TEXTS,
        st.sampled_from(["", "a", "%", "'", "\u0301"]),
        st.sampled_from(["start", "end", "anywhere"]),
    ),
    st.builds(Length, _TEXTS, st.sampled_from([None, 0, 1, 2]), st.sampled_from([None, 0, 1, 2])),
    st.tuples(st.sampled_from(_PAIRS), st.sampled_from(list(Relation))).map(
        lambda drawn: CompareColumns(drawn[0][0], drawn[1], drawn[0][1])
    ),
)
PREDICATES: st.SearchStrategy[Predicate] = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=4,
)
_COLUMN_SETS = st.lists(st.sampled_from([*ORDERED, "nothing"]), min_size=1, max_size=3, unique=True).map(
    tuple
)
AGGREGATES: st.SearchStrategy[Aggregate] = st.one_of(
    st.just(Rows()),
    st.builds(CountWhere, PREDICATES),
    st.builds(CountWhere, PREDICATES),
    st.builds(Least, st.sampled_from([*ORDERED, "nothing"])),
    st.builds(Greatest, st.sampled_from([*ORDERED, "nothing"])),
    st.builds(
        Sum, st.sampled_from([*NUMBERS, "nothing"]), st.sampled_from([0.0, 0.5, -3.0]), st.integers(1, 4)
    ),
    st.builds(Distinct, _COLUMN_SETS),
    st.builds(Repeated, _COLUMN_SETS),
    st.builds(
        Quantile,
        st.sampled_from([*NUMBERS, "day", "moment", "nothing"]),
        st.sampled_from([0.0, 0.07, 0.3, 0.5, 0.9, 1.0]),
    ),
    st.builds(
        Histogram,
        st.sampled_from([*NUMBERS, "nothing"]),
        st.sampled_from([(0.0,), (-1.0, 0.0, 0.1, 1.0), (0.5, 1e10), ()]),
    ),
)


def polars_frame(rows: RowList) -> pl.DataFrame:
    columns = {
        name: pl.Series(
            name,
            [row[name] for row in rows],
            dtype=dtype if dtype is not BERLIN else pl.Datetime("us", "UTC"),
            strict=True,
        )
        for name, dtype in TYPES.items()
    }
    return pl.DataFrame(columns).with_columns(pl.col("moment").cast(BERLIN))
