"""Whole rows: repeated, repeated by key, nearly repeated, and repeated with another label."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.engines.expressions import Kind
from pytest_prodml.checks.counts import plain
from pytest_prodml.checks.data.quality.request import COUNTABLE, TEXTS, Finding, Found, Request, counted
from pytest_prodml.records import JsonValue

if TYPE_CHECKING:
    import pandas as pd

#: Rows that are read at once to look for near duplicates; beyond, columns are read one by one.
_MOST_CELLS = 50_000_000
#: Digits that a floating-point number is rounded to, counted from the column's 95 % quantile.
_DIGITS = 5
#: Decimal numbers must not lie on the border between two cells of the grid.
_OFFSET = 0.1372
_MOST_LISTED = 10


def not_countable(request: Request) -> str | None:
    """Return why rows cannot be told apart, None where they can."""
    if not request.inputs:
        return "there is no column beside keys and label"
    odd = [name for name in request.inputs if request.columns[name].kind not in {*COUNTABLE, Kind.EMPTY}]
    return f"cells of {odd[0]!r} cannot be told apart" if odd else None


def _compared(request: Request) -> list[str]:
    """Return the columns in which repeated rows agree: the label too."""
    return [*request.inputs, *([request.target] if request.target is not None else [])]


def _too_few_levels(request: Request) -> str | None:
    """Return why equal rows are honest: where columns have few levels there are not enough different rows."""
    cells = 0.0
    for name in request.inputs:
        if request.columns[name].kind in {Kind.FLOAT, Kind.DECIMAL, Kind.DATETIME}:
            return None
        least, greatest = (
            request.current.answers.get(f"least {name}"),
            request.current.answers.get(f"greatest {name}"),
        )
        listed = request.current.values.get(name)  # noqa: PD011 - no frame
        if request.columns[name].kind is Kind.INTEGER and least is not None:
            cells += math.log10(greatest - least + 1)
        elif listed is not None:
            cells += math.log10(max(1, len(listed)))
        elif request.columns[name].kind is not Kind.EMPTY:
            return None
    if cells < math.log10(request.current.n_rows) + 3:
        return "the columns have so few levels that different things have equal rows"
    return None


def duplicate_rows(request: Request) -> Found:
    """Count the rows that repeat an earlier one in all columns but the keys."""
    reason = not_countable(request)
    if reason is not None:
        return reason
    n_rows = request.current.n_rows
    repeated = n_rows - request.current.answers["distinct 1"]
    listed: list[dict[str, JsonValue]] = []
    if repeated:
        groups = request.table.engine.group_counts(_compared(request), least=2, most=_MOST_LISTED)
        listed = [
            {
                "rows": count,
                "values": dict(zip(_compared(request)[:_MOST_LISTED], map(plain, values), strict=False)),
            }
            for values, count in groups
        ]
    return Finding(
        items=[counted(repeated / n_rows, n_rows, note=f"{repeated:,} of {n_rows:,} rows")],
        exact=True,
        listed=listed,
        unjudged=_too_few_levels(request),
    )


def duplicate_keys(request: Request) -> Found:
    """Count the rows whose keys an earlier row has."""
    if not request.keys:
        return "needs keys"
    n_rows = request.current.n_rows
    repeated = n_rows - request.current.answers["distinct 2"]
    listed: list[dict[str, JsonValue]] = []
    if repeated:
        groups = request.table.engine.group_counts(request.keys, least=2, most=_MOST_LISTED)
        listed = [
            {"rows": count, "keys": dict(zip(request.keys, map(plain, values), strict=True))}
            for values, count in groups
        ]
    return Finding(items=[counted(repeated, n_rows)], exact=True, unit="rows", listed=listed)


def conflicting_labels(request: Request) -> Found:
    """Count the labels that inputs have beside their first: equal rows that mean different things."""
    reason = not_countable(request)
    if request.target is None:
        return "needs a label column"
    if reason is not None:
        return reason
    if request.columns[request.target].kind in {Kind.FLOAT, Kind.DECIMAL}:
        return "labels are measured numbers, which differ honestly"
    answers, n_rows = request.current.answers, request.current.n_rows
    more = answers["distinct 1"] - answers["distinct 0"]
    return Finding(
        items=[counted(more / n_rows, n_rows, note=f"{more:,} labels contradict an equal row's")],
        exact=True,
        unjudged=_too_few_levels(request),
    )


def near_duplicate_rows(request: Request) -> Found:
    """Count the rows that repeat another after rounding and normalizing, but not exactly."""
    reason = not_countable(request)
    if reason is not None:
        return reason
    n_rows, names = request.current.n_rows, _compared(request)
    loose = [name for name in request.inputs if request.columns[name].kind in {Kind.FLOAT, *TEXTS}]
    if not loose:
        return "no column holds texts or numbers with decimals"
    at_once = max(1, _MOST_CELLS // n_rows)
    if at_once < len(names) and request.table.engine.name != "polars":
        return f"{n_rows:,} rows are too many to read from {request.table.engine.name}, which keeps no order"
    rounded, same = np.zeros(n_rows, dtype=np.uint64), np.zeros(n_rows, dtype=np.uint64)
    for first in range(0, len(names), at_once):
        part = names[first : first + at_once]
        frame = request.table.engine.sample(part, most=n_rows, seed=request.seed)
        for name in part:
            near, exact = _hashes(request, name, frame[name])
            rounded, same = _mixed(rounded, near), _mixed(same, exact)
    _, first_of, of_group, sizes = np.unique(
        rounded, return_index=True, return_inverse=True, return_counts=True
    )
    extra = n_rows - sizes.size - (n_rows - np.unique(same).size)
    twins = np.flatnonzero((sizes[of_group] > 1) & (same != same[first_of][of_group]))[:_MOST_LISTED]
    return Finding(
        items=[counted(extra / n_rows, n_rows, note=f"{extra:,} of {n_rows:,} rows")],
        exact=True,
        # Positions are only those of rows where the engine keeps their order.
        listed=[
            {"row": int(row), "like row": int(first_of[of_group[row]])}
            for row in twins
            if request.table.engine.name == "polars"
        ],
        unjudged=_too_few_levels(request),
    )


Hashes = npt.NDArray[np.uint64]


def _hashes(request: Request, name: str, cells: pd.Series[Any]) -> tuple[Hashes, Hashes]:
    """Return hashes of the cells that near ones share, and of the cells as they are."""
    import pandas as pd

    kind = request.columns[name].kind
    if kind is Kind.FLOAT and name != request.target:
        numbers = cells.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0
        exact: Hashes = np.asarray(pd.util.hash_array(numbers))
        quantiles = request.current.quantiles(name)
        scale = max((abs(value) for value in quantiles or ()), default=0.0)
        if not scale or not math.isfinite(scale):
            return exact, exact
        step = 10.0 ** (math.floor(math.log10(scale)) + 1 - _DIGITS)
        return np.asarray(pd.util.hash_array(np.round(numbers / step + _OFFSET))), exact
    codes, values = pd.factorize(cells, use_na_sentinel=True)
    texts = [repr(value) for value in values.tolist()]
    exact = _of_texts(texts, codes)
    if kind not in TEXTS or name == request.target:
        return exact, exact
    return _of_texts([normal_form(str(value)) for value in values.tolist()], codes), exact


def _of_texts(texts: Sequence[str], codes: npt.NDArray[np.intp]) -> Hashes:
    import pandas as pd

    # The last one stands for missing cells, whose code is -1.
    hashed = pd.util.hash_array(np.array([*texts, "\x00missing"], dtype=object), categorize=False)
    return np.asarray(hashed)[codes]


def _mixed(state: Hashes, more: Hashes) -> Hashes:
    """Combine hashes so that the order of columns counts (the multiplier of Knuth's MMIX)."""
    return state * np.uint64(6364136223846793005) + (more ^ (more >> np.uint64(31)))


def normal_form(text: str) -> str:
    """Return a text without differences of case, width, composition and white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
