"""A profile -> many rows at once: those that occur, plausible ones that nobody collected, extreme ones.

Everything is drawn column by column with numpy, so that 10,000 rows cost milliseconds, and from a stated
distribution, so that a share of them has a meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.schemas import violations
from pytest_prodml.checks.behavior.profile import (
    LARGEST_FLOAT,
    ColumnProfile,
    Profile,
    counted_times,
    unit_of,
)
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue

if TYPE_CHECKING:
    import pandas as pd

MODES = ("observed", "plausible", "extreme")

#: How large a part of a row's cells is drawn anew: one of these for each row, with equal chances.
_REDRAWN: Mapping[str, tuple[float, ...]] = {
    "observed": (0.0,),
    "plausible": (0.0, 0.2, 0.5, 0.8),
    "extreme": (0.1, 0.3, 0.6, 0.9),
}
#: How a cell of numbers or times is drawn anew in a plausible row.
_WAYS = {
    "a quantile of what occurs": 0.45,
    "near its own value": 0.2,
    "anywhere in the range": 0.2,
    "an edge": 0.15,
}
_MISSING = 0.1
#: Of other values: as often as each other, which finds what rare ones do.
_EVEN = 0.75
#: Times the rows asked for.
_MOST_REFUSED = 8
_NEAR = 0.05
#: Of the extreme numbers: anywhere within the schema's limits, and the row's own value in another unit.
_ANYWHERE, _WRONG_UNIT = 0.3, 0.25
_SENTINELS = (0.0, -1.0, 1.0, -999.0, 999.0, 9999.0, 99999.0, 1e6)
_FACTORS = (10.0, 100.0, 1000.0, -1.0)
_UNSEEN = ("", " ", "unseen value", "NULL", "ÄÖ-ß 你好")
_NANOSECONDS_A_YEAR = 365 * 86_400 * 10**9
_UNIQUENESS = ("field_uniqueness", "unique: ")

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Generated:
    """Rows that the schema accepts, and how many it refused."""

    rows: pd.DataFrame
    mode: str
    n_refused: int


def generate(profile: Profile, n_rows: int, *, mode: str, seed: int, keep: Sequence[Any] = ()) -> Generated:
    """Make rows.

    Parameters
    ----------
    profile : Profile
        What is known of the columns.
    n_rows : int
        How many to make. Rows that the schema refuses are drawn again, until eight times as many were
        refused.
    mode : {"observed", "plausible", "extreme"}
        "observed": real rows, drawn with replacement. "plausible": real rows in which each cell is drawn anew
        with a chance of 0, 20, 50 or 80 % (one of these for each row): a number as a quantile of what occurs
        (45 %), within 5 % of the column's range around its own value (20 %), anywhere between the smallest
        and the largest that occur (20 %), or as an edge: those two, the 1 % and 99 % quantiles, 0 (15 %);
        another value with equal chances (75 %) or by how often it occurs (25 %); and 10 % of these cells are
        missing where the column has missing cells. Without rows all cells are drawn so, from what the schema
        allows. "extreme": 10 to 90 % of the cells are set to the schema's limits, or beyond what occurs: 10,
        100 and 1,000 times, other signs, values that often stand for "unknown", the limits of the type, dates
        decades away, words that never occur.
    seed : int
        The same seed, profile and mode give the same rows, bit for bit.
    keep : sequence
        Columns that stay as they are in the real row.

    Raises
    ------
    InputError
        If the mode is unknown, there are no rows to draw from, or the schema refuses all that were made.
    """
    if mode not in MODES:
        raise InputError(f"there is no mode {mode!r}", where="inputs", hint=", ".join(MODES))
    if isinstance(n_rows, bool) or n_rows < 1:
        raise InputError(f"the number of rows must be at least 1, got {n_rows!r}", where="inputs")
    if profile.observed is None and mode == "observed":
        raise InputError(
            "a schema alone has no observed rows", where="inputs", hint="give rows, or another mode"
        )
    rng = np.random.default_rng([seed, crc32(f"{mode} inputs".encode())])
    rows, n_refused = _accepted(profile, n_rows, mode, rng, frozenset(keep))
    if len(rows) == 0:
        raise InputError(
            f"the schema refuses all {n_refused:,} rows that were made",
            where="schema",
            hint="say what a column may be with in_range or isin, or give observed rows too",
        )
    asked = rows if profile.observed is None else rows[list(profile.observed.columns)]
    return Generated(rows=asked, mode=mode, n_refused=n_refused)


def _accepted(
    profile: Profile, n_rows: int, mode: str, rng: np.random.Generator, keep: frozenset[Any]
) -> tuple[pd.DataFrame, int]:
    """Draw until there are as many rows as were asked for that the schema accepts, or it refused too many."""
    import pandas as pd

    if profile.schema is None:
        return _drawn(profile, n_rows, mode, rng, keep), 0
    parts: list[pd.DataFrame] = []
    n_found = n_refused = 0
    while n_found < n_rows and n_refused <= _MOST_REFUSED * n_rows:
        made = _drawn(profile, n_rows, mode, rng, keep)
        accepted = accepted_rows(profile.schema, made)
        n_refused += len(made) - len(accepted)
        rows = accepted.iloc[: n_rows - n_found]
        n_found += len(rows)
        parts.append(rows)
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0], n_refused


def accepted_rows(schema: Any, rows: pd.DataFrame) -> pd.DataFrame:  # noqa: ANN401 - pandera has no types
    """Keep the rows that break no rule of the schema about single rows; keys may repeat here.

    Raises
    ------
    InputError
        If a rule could not be evaluated.
    """
    refused = np.zeros(len(rows), dtype=bool)
    for item in violations(schema, rows):
        if not item.is_evaluated:
            raise InputError(
                f"the rule {item.rule!r} on {item.column!r} was not evaluated: {item.note}", where="schema"
            )
        if item.rows is not None and not item.rule.startswith(_UNIQUENESS):
            refused[item.rows.to_numpy()] = True
    return rows.loc[~refused].reset_index(drop=True)


def distribution() -> dict[str, JsonValue]:
    """Return what plausible rows are drawn from, for the evidence."""
    return {
        "rows": "real rows, with replacement",
        "cells_drawn_anew": " or ".join(f"{share:.0%}" for share in _REDRAWN["plausible"]) + " of a row",
        "numbers": ", ".join(f"{way} {share:.0%}" for way, share in _WAYS.items()),
        "other_values": f"with equal chances {_EVEN:.0%}, else by frequency",
        "missing": f"{_MISSING:.0%} of these cells where the column has missing cells",
    }


def _drawn(
    profile: Profile, n_rows: int, mode: str, rng: np.random.Generator, keep: frozenset[Any]
) -> pd.DataFrame:
    import pandas as pd

    observed = profile.observed
    places = None if observed is None else rng.integers(0, len(observed), n_rows)
    shares = np.asarray(_REDRAWN[mode])[rng.integers(0, len(_REDRAWN[mode]), n_rows)]
    columns = {}
    for name, known in profile.columns.items():
        is_observed = observed is not None and name in observed.columns
        base = observed[name].array.take(places) if is_observed and observed is not None else None
        if base is not None and (mode == "observed" or name in keep):
            columns[name] = base
            continue
        anew = np.ones(n_rows, dtype=bool) if base is None else rng.random(n_rows) < shares
        columns[name] = _redrawn(str(name), known, base, anew, mode, rng)
    index = pd.RangeIndex(n_rows)
    # A column of objects would else be guessed to be text.
    typed = {
        name: pd.Series(values, index=index, dtype=profile.columns[name].dtype, copy=False)
        for name, values in columns.items()
    }
    return pd.DataFrame(typed, index=index, columns=list(columns))


def _redrawn(
    name: str,
    known: ColumnProfile,
    base: Any,  # noqa: ANN401
    anew: npt.NDArray[np.bool_],
    mode: str,
    rng: np.random.Generator,
) -> Any:  # noqa: ANN401 - an array of the column's own type

    n = int(anew.sum())
    if known.kind == "choice":
        made = _choices(known, n, mode, rng)
    else:
        draw = _extreme if mode == "extreme" else _plausible
        own = None if base is None else _as_numbers(base, known)[anew]
        made = _typed(name, draw(known, n, own, rng), known)
    if known.may_be_missing or (mode == "extreme" and base is not None and known.missing > 0):
        gone = rng.random(n) < _MISSING
        if not (isinstance(made, np.ndarray) and made.dtype.kind in "iub"):
            made[gone] = np.nan if isinstance(made, np.ndarray) else _missing_cell(made)
    if base is None:
        return made
    result = base.copy()
    result[anew] = made
    return result


def _missing_cell(made: Any) -> Any:  # noqa: ANN401 - an array of pandas
    import pandas as pd

    return None if made.dtype == object else getattr(made.dtype, "na_value", pd.NaT)


def _as_numbers(base: Any, known: ColumnProfile) -> Numbers:  # noqa: ANN401 - an array of the column's own type
    import pandas as pd

    own = pd.Series(base)
    if known.kind == "time":
        counted = counted_times(own)
        return np.where(own.isna().to_numpy(), np.nan, counted.astype(np.float64))
    return np.asarray(own.to_numpy(dtype=np.float64, na_value=np.nan))


def _typed(name: str, values: Numbers, known: ColumnProfile) -> Any:  # noqa: ANN401
    """Return numbers as the column's own type, within its limits."""
    import pandas as pd

    if known.kind == "float":
        return (
            pd.array(values, dtype=known.dtype)
            if not isinstance(known.dtype, np.dtype)
            else values.astype(known.dtype)
        )
    whole = np.rint(values)
    if known.kind == "integer":
        limits = np.iinfo(getattr(known.dtype, "numpy_dtype", known.dtype))
        whole = np.clip(whole, max(float(limits.min), -(2.0**53)), min(float(limits.max), 2.0**53))
    counted = whole.astype(np.int64)
    try:
        if known.kind == "time":
            return times_of(counted, known)
        plain = isinstance(known.dtype, np.dtype)
        return counted.astype(known.dtype) if plain else pd.array(counted, dtype=known.dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"made values do not fit the column's type {known.dtype}: {error}", where=name
        ) from None


def times_of(counted: npt.NDArray[np.int64], known: ColumnProfile) -> Any:  # noqa: ANN401
    """Return whole numbers of a column's unit as its own type of times or spans."""
    import pandas as pd

    is_span = pd.api.types.is_timedelta64_dtype(known.dtype)
    plain = pd.Series(counted.view(f"{'m' if is_span else 'M'}8[{unit_of(known.dtype)}]"))
    zone = getattr(known.dtype, "tz", None)
    made = plain if zone is None else plain.dt.tz_localize("UTC").dt.tz_convert(zone)
    return made.array.copy()


def _plausible(known: ColumnProfile, n: int, own: Numbers | None, rng: np.random.Generator) -> Numbers:
    low, high = _observed_range(known)
    ways = rng.choice(len(_WAYS), size=n, p=list(_WAYS.values()))
    values = low + (high - low) * rng.random(n)
    if known.grid.size:
        values[ways == 0] = _quantiles(known, int((ways == 0).sum()), rng)
        edges = np.asarray([low, high, known.grid[1], known.grid[-2], *([0.0] if low <= 0 <= high else [])])
    else:
        edges = np.asarray([low, high, *([0.0] if low <= 0 <= high else [])])
    at_edge = ways == 3
    values[at_edge] = edges[rng.integers(0, edges.size, int(at_edge.sum()))]
    if own is not None:
        near = (ways == 1) & np.isfinite(own)
        step = max((high - low) * _NEAR, 1.0 if known.kind != "float" else 0.0)
        values[near] = own[near] + step * (2 * rng.random(int(near.sum())) - 1)
    return np.asarray(np.clip(values, low, high))


def _observed_range(known: ColumnProfile) -> tuple[float, float]:
    """Return where plausible values lie: what occurs and the schema allows."""
    if known.grid.size == 0:
        return known.low, known.high
    low = known.grid[0] if known.low_limit is None else max(float(known.grid[0]), known.low_limit)
    high = known.grid[-1] if known.high_limit is None else min(float(known.grid[-1]), known.high_limit)
    return (float(low), float(high)) if low <= high else (known.low, known.high)


def _quantiles(known: ColumnProfile, n: int, rng: np.random.Generator) -> Numbers:
    """Draw what occurs: between two neighbouring quantiles for numbers with fractions, else one of them."""
    places = rng.random(n) * (known.grid.size - 1)
    if known.kind == "float":
        return np.asarray(np.interp(places, np.arange(known.grid.size), known.grid))
    return known.grid[np.rint(places).astype(np.intp)]


def _extreme(known: ColumnProfile, n: int, own: Numbers | None, rng: np.random.Generator) -> Numbers:
    low, high = _observed_range(known)
    candidates = [low, high, known.low, known.high]
    if known.kind == "time":
        years = [-100, -30, -10, 10, 30]
        candidates += [low + years[0] * _unit_year(known)] + [
            high + year * _unit_year(known) for year in years
        ]
        candidates.append(0.0)
    else:
        candidates += [edge * factor for edge in (low, high) for factor in _FACTORS]
        candidates += _SENTINELS
        candidates += [low - 1, high + 1]
        if known.kind == "float":
            candidates += [1e-9, -1e-9, LARGEST_FLOAT, -LARGEST_FLOAT, np.nextafter(high, np.inf)]
    if known.low_limit is not None:
        candidates.append(_inside(known, known.low_limit, 1))
    if known.high_limit is not None:
        candidates.append(_inside(known, known.high_limit, -1))
    edges = np.asarray(candidates, dtype=np.float64)
    if known.kind == "time":
        # Nanoseconds in 64 bits end in 2262.
        edges = np.clip(edges, -9.2e18, 9.2e18)
    least = -np.inf if known.low_limit is None else known.low_limit
    most = np.inf if known.high_limit is None else known.high_limit
    edges = np.clip(edges, least, most)
    values = edges[rng.integers(0, edges.size, n)]
    if known.kind != "time":
        ways = rng.random(n)
        if known.is_bounded:
            # Between what occurs and the schema's limits too.
            spread = ways < _ANYWHERE
            values[spread] = known.low + (known.high - known.low) * rng.random(int(spread.sum()))
        if own is not None:
            # A unit error: the row's own value, times a factor.
            scaled = (ways > 1 - _WRONG_UNIT) & np.isfinite(own)
            factors = np.asarray([10.0, 100.0, 0.1, 0.01, -1.0])[rng.integers(0, 5, int(scaled.sum()))]
            values[scaled] = own[scaled] * factors
    return np.asarray(np.clip(values, least, most))


def _inside(known: ColumnProfile, limit: float, sign: int) -> float:
    """Return the first value within a limit, which itself may not be allowed."""
    return limit + sign if known.kind != "float" else float(np.nextafter(limit, sign * np.inf))


def _unit_year(known: ColumnProfile) -> float:
    """Return a year in the unit that the type counts in."""
    return _NANOSECONDS_A_YEAR / {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}.get(unit_of(known.dtype), 1)


def _choices(known: ColumnProfile, n: int, mode: str, rng: np.random.Generator) -> Any:  # noqa: ANN401
    import pandas as pd

    values = list(known.choices)
    if mode == "extreme":
        codes = rng.integers(0, len(values), n)
        if not known.is_closed and _holds_text(known):
            values += [text for text in _UNSEEN if text not in values]
            unseen = rng.random(n) < 0.5
            codes[unseen] = (
                rng.integers(len(known.choices), len(values), int(unseen.sum()))
                if len(values) > len(known.choices)
                else codes[unseen]
            )
    else:
        codes = rng.choice(len(values), size=n, p=known.shares)
        even = rng.random(n) < _EVEN
        codes[even] = rng.integers(0, len(values), int(even.sum()))
    return pd.Series(values, dtype=known.dtype).array.take(codes)


def _holds_text(known: ColumnProfile) -> bool:
    import pandas as pd

    if isinstance(known.dtype, pd.CategoricalDtype):
        return False
    return bool(known.choices.size) and all(isinstance(value, str) for value in known.choices)


#: Says for each row of a batch whether something is the case there.
Fails = Callable[["pd.DataFrame"], npt.NDArray[np.bool_]]
