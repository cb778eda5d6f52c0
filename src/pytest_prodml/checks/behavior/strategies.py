"""Hypothesis strategies of rows, for tests of one's own with ``@given``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pytest_prodml._lazy import require
from pytest_prodml.checks.behavior.profile import LARGEST_FLOAT, ColumnProfile, Profile, profile_of
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from hypothesis.strategies import SearchStrategy


def rows(
    source: Any,  # noqa: ANN401 - a table or a schema
    *,
    schema: Any = None,  # noqa: ANN401 - pandera has no types for us
    mode: str = "plausible",
) -> SearchStrategy[dict[Any, Any]]:
    """Return a strategy of rows as dicts, one value a column.

    Parameters
    ----------
    source : frame, Dataset, or pandera schema
        Observed rows, or the schema alone.
    schema : pandera schema, optional
        What rows may be, where `source` is observed rows.
    mode : {"observed", "plausible", "extreme"}
        "observed": real rows. "plausible": each column by itself between what occurs, or from what the
        schema allows. "extreme": each column as far as schema and type go. Rules of the schema over several
        columns are not asked; `frames` asks them.

    Raises
    ------
    InputError
        If the values of a column can not be made from what is known.
    """
    profile = profile_of(source, schema=schema)
    return _rows(profile, mode, list(profile.typical.columns))


def _rows(profile: Profile, mode: str, names: list[Any]) -> SearchStrategy[dict[Any, Any]]:
    strategies = require("hypothesis.strategies", extra="behavior")
    if mode == "observed":
        if profile.observed is None:
            raise InputError("a schema alone has no observed rows", where="rows", hint="give rows")
        table = profile.observed
        places = strategies.integers(0, len(table) - 1)
        real: SearchStrategy[dict[Any, Any]] = places.map(
            lambda place: {name: table[name].iloc[place] for name in table.columns}
        )
        return real
    if mode not in {"plausible", "extreme"}:
        raise InputError(f"there is no mode {mode!r}", where="rows", hint="observed, plausible or extreme")
    made = {name: _values(strategies, profile.columns[name], mode) for name in names}
    plausible: SearchStrategy[dict[Any, Any]] = strategies.fixed_dictionaries(made)
    return plausible


def frames(
    source: Any,  # noqa: ANN401 - a table or a schema
    *,
    schema: Any = None,  # noqa: ANN401 - pandera has no types for us
    mode: str = "plausible",
    min_size: int = 1,
    max_size: int = 20,
) -> SearchStrategy[pd.DataFrame]:
    """Return a strategy of frames with the types of the data, of which the schema accepts every row.

    Parameters
    ----------
    source, schema, mode
        As for `rows`.
    min_size, max_size : int
        Number of rows.
    """
    strategies = require("hypothesis.strategies", extra="behavior")
    hypothesis = require("hypothesis", extra="behavior")
    profile = profile_of(source, schema=schema)
    names = list(profile.columns if mode != "observed" else profile.typical.columns)
    drawn = strategies.lists(_rows(profile, mode, names), min_size=min_size, max_size=max_size)

    def made(found: list[dict[Any, Any]]) -> pd.DataFrame:
        table = _table(found, profile, names)
        if profile.schema is None or not len(table):
            return table
        from pytest_prodml.checks.behavior.generator import accepted_rows

        kept = accepted_rows(profile.schema, table)
        hypothesis.assume(len(kept) == len(table))
        return kept[list(profile.typical.columns)]

    tables: SearchStrategy[pd.DataFrame] = drawn.map(made)
    return tables


def _table(found: list[dict[Any, Any]], profile: Profile, names: list[Any]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {name: pd.Series([row[name] for row in found], dtype=profile.columns[name].dtype) for name in names},
        columns=names,
    )


def _values(strategies: Any, known: ColumnProfile, mode: str) -> SearchStrategy[Any]:  # noqa: ANN401
    """Return a strategy of one column's values."""
    made: SearchStrategy[Any]
    if known.kind == "choice":
        made = strategies.sampled_from(list(known.choices))
    elif known.kind == "time":
        made = _times(strategies, known)
    else:
        low, high = (known.low, known.high) if mode == "plausible" else _widest(known)
        if known.kind == "integer":
            made = strategies.integers(math.ceil(low), math.floor(high))
        else:
            width = 32 if str(known.dtype).lower() == "float32" else 64
            import numpy as np

            low, high = (float(np.float32(edge)) if width == 32 else edge for edge in (low, high))
            made = strategies.floats(low, high, allow_nan=False, allow_infinity=False, width=width)
    if known.may_be_missing:
        made = strategies.one_of(made, strategies.none())
    return made


def _widest(known: ColumnProfile) -> tuple[float, float]:
    low = known.low_limit if known.low_limit is not None else min(known.low * 100, -abs(known.low), known.low)
    high = known.high_limit if known.high_limit is not None else max(known.high * 100, known.high, 1.0)
    if known.kind == "integer":
        import numpy as np

        limits = np.iinfo(getattr(known.dtype, "numpy_dtype", known.dtype))
        return max(low, float(limits.min)), min(high, float(limits.max))
    return max(low, -LARGEST_FLOAT * 100), min(high, LARGEST_FLOAT * 100)


def _times(strategies: Any, known: ColumnProfile) -> SearchStrategy[Any]:  # noqa: ANN401
    """Return whole units between the first and the last time that occur."""
    import numpy as np
    import pandas as pd

    from pytest_prodml.checks.behavior.generator import times_of

    def one(count: int) -> Any:  # noqa: ANN401 - a time or a span
        return pd.Series(times_of(np.asarray([count], dtype=np.int64), known)).iloc[0]

    made: SearchStrategy[Any] = strategies.integers(int(known.low), int(known.high)).map(one)
    return made
