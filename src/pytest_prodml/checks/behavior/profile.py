"""Observed rows and a schema -> what is known of each column: enough to make plausible values of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.schemas import ColumnRule, column_rules, is_schema
from pytest_prodml.adapters.tables import as_frame
from pytest_prodml.checks.behavior.batches import Inputs
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

#: How the values of a column are made: numbers by range, others by choice among those that are known.
Kind: TypeAlias = Literal["integer", "float", "time", "choice"]

#: Where a schema sets no limit and nothing was observed.
LARGEST_INTEGER = 2**31 - 1
LARGEST_FLOAT = 1e9
_POINTS = 101
_MOST_CHOICES = 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnProfile:
    """What is known of one column.

    Attributes
    ----------
    dtype : pandas dtype
        That every made value has to fit.
    kind : str
        "integer" and "float": numbers between `low` and `high`. "time": the same in nanoseconds or whatever
        unit the type counts in, as whole numbers. "choice": one of `choices`.
    low, high : float
        What the schema allows, else what was observed, else the widest range.
    is_bounded : bool
        Whether the schema sets both limits; otherwise values beyond what was observed are possible.
    low_limit, high_limit : float or None
        The schema's own limits.
    grid : array of float
        Quantiles of what was observed, from the smallest to the largest; empty for choices and without rows.
    choices : array of object
        The values to choose from, the most frequent first.
    shares : array of float
        How often each was observed; even shares where nothing was.
    missing : float
        The share of observed cells that are missing.
    may_be_missing : bool
        Whether the type can hold it, and the schema or the data allow it.
    is_closed : bool
        Whether no value beyond `choices` is possible.
    typical : object
        The median or the most frequent value; a value of the column's own type.
    """

    dtype: Any
    kind: Kind
    low: float = 0.0
    high: float = 0.0
    is_bounded: bool = False
    low_limit: float | None = None
    high_limit: float | None = None
    grid: npt.NDArray[np.float64]
    choices: npt.NDArray[Any]
    shares: npt.NDArray[np.float64]
    missing: float = 0.0
    may_be_missing: bool = False
    is_closed: bool = True
    typical: Any = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """What is known of a table: its columns, the rows themselves, the schema, and one typical row.

    `columns` are those of the data, and those that only the schema names: it may have rules about them.
    """

    columns: Mapping[Any, ColumnProfile]
    observed: pd.DataFrame | None
    schema: Any | None
    typical: pd.DataFrame


def profile_of(source: Any, *, schema: Any = None) -> Profile:  # noqa: ANN401 - a table or a schema
    """Learn from observed rows, a schema, or both what rows look like.

    Parameters
    ----------
    source : frame, Dataset, Inputs, or pandera schema
        Observed rows, or the schema alone.
    schema : pandera schema, optional
        What rows may be, where `source` is observed rows. What it says goes before what was observed.

    Raises
    ------
    InputError
        If the values of a column can not be made from what is known.
    """
    if is_schema(source):
        source, schema = None, source
    if isinstance(source, Inputs):
        source = source.frame
    observed = None if source is None else as_frame(source)
    rules = {} if schema is None else column_rules(schema)
    names = list(dict.fromkeys([*([] if observed is None else observed.columns), *rules]))
    if not names:
        raise InputError("the schema names no column, so no row can be made", where="schema")
    columns = {
        name: _column(str(name), rules.get(name), None if observed is None else observed.get(name))
        for name in names
    }
    # A schema may also name the labels; the model is asked about the columns of the data.
    asked = {name: known for name, known in columns.items() if observed is None or name in observed.columns}
    return Profile(columns=columns, observed=observed, schema=schema, typical=_typical(asked))


def _column(name: str, rule: ColumnRule | None, own: pd.Series | None) -> ColumnProfile:
    import pandas as pd

    seen = None if own is None else own.dropna()
    dtype = own.dtype if own is not None else (None if rule is None else rule.dtype)
    allowed = None if rule is None else rule.allowed
    if dtype is None and allowed is None:
        raise InputError(
            "the schema does not say what type the column has",
            where=name,
            hint="give it a dtype, or observed rows",
        )
    if own is None:
        dtype = (
            pd.Series([], dtype=dtype).dtype if dtype is not None else pd.Series(list(allowed or ())).dtype
        )
    missing = 0.0 if own is None else float(own.isna().mean())
    nullable = rule.nullable if rule is not None else missing > 0
    holds_missing = not (isinstance(dtype, np.dtype) and dtype.kind in "iub")
    common = {"dtype": dtype, "missing": missing, "may_be_missing": bool(nullable and holds_missing)}
    types = pd.api.types
    if allowed is not None:
        return _choice(name, seen, list(allowed), common, is_closed=True)
    if types.is_bool_dtype(dtype):
        return _choice(name, seen, [False, True], common, is_closed=True)
    if types.is_numeric_dtype(dtype) and not types.is_complex_dtype(dtype):
        return _numbers(name, rule, seen, common, is_integer=types.is_integer_dtype(dtype))
    if types.is_datetime64_any_dtype(dtype) or types.is_timedelta64_dtype(dtype):
        return _times(name, seen, common)
    if isinstance(dtype, pd.CategoricalDtype) and dtype.categories is not None:
        return _choice(name, seen, list(dtype.categories), common, is_closed=True)
    if seen is not None and len(seen):
        return _choice(name, seen, None, common, is_closed=False)
    if types.is_string_dtype(dtype) or types.is_object_dtype(dtype):
        return _choice(name, None, ["", "a", "A b", "0", "ä", "x" * 20], common, is_closed=False)
    raise InputError(
        f"values of type {dtype} can not be made up",
        where=name,
        hint="give observed rows to choose them from, or isin in the schema",
    )


def _numbers(
    name: str, rule: ColumnRule | None, seen: pd.Series | None, common: dict[str, Any], *, is_integer: bool
) -> ColumnProfile:
    values = np.empty(0) if seen is None else seen.to_numpy(dtype=np.float64, na_value=np.nan)
    values = values[np.isfinite(values)]
    widest = LARGEST_INTEGER if is_integer else LARGEST_FLOAT
    dtype = common["dtype"]
    limits = _type_limits(dtype) if is_integer else None
    low_limit = None if rule is None else rule.low
    high_limit = None if rule is None else rule.high
    start = float(np.min(values)) if values.size else -widest
    end = float(np.max(values)) if values.size else widest
    if limits is not None:
        start, end = max(start, limits[0]), min(end, limits[1])
    low = (start if high_limit is None else min(start, high_limit)) if low_limit is None else low_limit
    high = max(end, low) if high_limit is None else high_limit
    if low > high:
        raise InputError(f"the schema allows no value: at least {low:g} and at most {high:g}", where=name)
    middle = float(np.median(values)) if values.size else min(max(0.0, low), high)
    middle = min(max(middle, low), high)
    return ColumnProfile(
        **common,
        kind="integer" if is_integer else "float",
        low=float(np.ceil(low)) if is_integer else low,
        high=float(np.floor(high)) if is_integer else high,
        is_bounded=low_limit is not None and high_limit is not None,
        low_limit=low_limit,
        high_limit=high_limit,
        grid=_grid(values),
        choices=np.empty(0, dtype=object),
        shares=np.empty(0),
        typical=round(middle) if is_integer else middle,
    )


def _type_limits(dtype: Any) -> tuple[float, float] | None:  # noqa: ANN401 - a pandas or numpy type
    plain = getattr(dtype, "numpy_dtype", dtype)
    try:
        found = np.iinfo(plain)
    except (TypeError, ValueError):
        return None
    # Beyond 2**53 a float can not name every whole number.
    return max(float(found.min), -(2.0**53)), min(float(found.max), 2.0**53)


def _times(name: str, seen: pd.Series | None, common: dict[str, Any]) -> ColumnProfile:
    if seen is None or len(seen) == 0:
        raise InputError(
            "no time was observed, so none can be made up", where=name, hint="give observed rows with values"
        )
    counted = counted_times(seen)
    return ColumnProfile(
        **common,
        kind="time",
        low=float(np.min(counted)),
        high=float(np.max(counted)),
        grid=_grid(counted.astype(np.float64)),
        choices=np.empty(0, dtype=object),
        shares=np.empty(0),
        typical=seen.sort_values().iloc[(len(seen) - 1) // 2],
    )


def unit_of(dtype: Any) -> str:  # noqa: ANN401 - a pandas or numpy type
    """Return the unit in which a type of times or spans counts: "ns", "us", "ms", "s"."""
    return str(getattr(dtype, "unit", None) or np.datetime_data(dtype)[0])


def counted_times(own: pd.Series) -> npt.NDArray[np.int64]:
    """Return times (in UTC) or spans as whole numbers of their unit; a missing one is the smallest number."""
    import pandas as pd

    letter = "m" if pd.api.types.is_timedelta64_dtype(own.dtype) else "M"
    if letter == "M" and getattr(own.dtype, "tz", None) is not None:
        own = own.dt.tz_convert(None)
    plain = np.asarray(own.to_numpy(), dtype=f"{letter}8[{unit_of(own.dtype)}]")
    return plain.view(np.int64)


def _grid(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if values.size == 0:
        return np.empty(0)
    # Values that occur: an average between two might be a value that no row can have.
    return np.asarray(np.quantile(values, np.linspace(0, 1, _POINTS), method="nearest"))


def _choice(
    name: str, seen: pd.Series | None, allowed: list[Any] | None, common: dict[str, Any], *, is_closed: bool
) -> ColumnProfile:
    counts: dict[Any, int] = {}
    if seen is not None and len(seen):
        try:
            counts = {value: int(count) for value, count in seen.value_counts().items() if count > 0}
        except TypeError:
            raise InputError(
                "holds cells that can not be compared (lists, dicts)", where=name, hint="leave the column out"
            ) from None
    values = list(counts) if allowed is None else list(allowed)
    if not values:
        raise InputError("no value is allowed", where=name)
    # By frequency, then by text: the order in which pandas counts equals may differ between versions.
    values.sort(key=lambda value: (-counts.get(value, 0), str(value)))
    values = values[:_MOST_CHOICES]
    weights = np.asarray([counts.get(value, 0) for value in values], dtype=np.float64)
    total = weights.sum()
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return ColumnProfile(
        **common,
        kind="choice",
        grid=np.empty(0),
        choices=array,
        shares=weights / total if total else np.full(len(values), 1 / len(values)),
        is_closed=is_closed,
        typical=values[0],
    )


def _typical(columns: Mapping[Any, ColumnProfile]) -> pd.DataFrame:
    import pandas as pd

    made = {}
    for name, known in columns.items():
        try:
            made[name] = pd.Series([known.typical], dtype=known.dtype)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"values that the schema allows do not fit the column's type {known.dtype}: {error}",
                where=str(name),
            ) from None
    return pd.DataFrame(made, columns=list(columns))
