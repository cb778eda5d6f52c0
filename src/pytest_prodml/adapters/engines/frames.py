"""Tables in memory -> polars, and what their columns are where polars has no type for them."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from pytest_prodml._lazy import loaded, require
from pytest_prodml.adapters.engines.expressions import Column, Kind
from pytest_prodml.adapters.files import require_arrow
from pytest_prodml.errors import InputError

#: In the order of their tests: every datetime is a date, every bool an int.
_KINDS: tuple[tuple[type | tuple[type, ...], Kind], ...] = (
    ((bool, np.bool_), Kind.BOOLEAN),
    ((int, np.integer), Kind.INTEGER),
    ((float, np.floating), Kind.FLOAT),
    (Decimal, Kind.DECIMAL),
    (str, Kind.TEXT),
    ((dt.datetime, np.datetime64), Kind.DATETIME),
    (dt.date, Kind.DATE),
    (dt.time, Kind.TIME),
    ((dt.timedelta, np.timedelta64), Kind.DURATION),
    (bytes, Kind.BINARY),
    ((dict, list, tuple, set, np.ndarray), Kind.NESTED),
)


def frame_to_polars(source: Any, where: str) -> tuple[Any, Mapping[str, Column]]:  # noqa: ANN401
    """Return a frame as a polars LazyFrame, sharing memory where it can.

    Parameters
    ----------
    source : frame
        pandas, polars (eager or lazy), or whatever gives an Arrow stream.
    where : str
        Names the table in messages.

    Returns
    -------
    polars.LazyFrame, mapping of str to Column
        The rows, and the columns that are not what polars stores for them.

    Raises
    ------
    InputError
        If it is no frame, repeats a column name, or holds values that are no data.
    """
    polars = require("polars", extra="data")
    pandas = loaded("pandas")
    if isinstance(source, polars.LazyFrame):
        return source, {}
    if isinstance(source, polars.DataFrame):
        return source.lazy(), {}
    if pandas is not None and isinstance(source, pandas.DataFrame):
        return _from_pandas(source, where)
    if hasattr(source, "__arrow_c_stream__"):
        try:
            return polars.DataFrame(source).lazy(), {}
        except (polars.exceptions.PolarsError, ValueError, TypeError) as error:
            raise InputError(f"is no table that can be read: {error}", where=where) from None
    raise InputError(
        f"expected a table, got {type(source).__name__}",
        where=where,
        hint="give a frame (pandas, polars, arrow), a DuckDB relation, an ibis table, or the path of a file",
    )


def _from_pandas(frame: Any, where: str) -> tuple[Any, Mapping[str, Column]]:  # noqa: ANN401 - their types
    polars = require("polars", extra="data")
    require_arrow("pandas frames are")
    names = [str(label) for label in frame.columns]
    repeated = (
        next((name for name in names if names.count(name) > 1), None)
        if len(set(names)) < len(names)
        else None
    )
    if repeated is not None:
        raise InputError(
            f"the column name {repeated!r} stands more than once",
            where=where,
            hint="a check could read either; rename one",
        )
    known: dict[str, Column] = {}
    series = []
    for place, name in enumerate(names):
        cells, column = _from_series(frame.iloc[:, place], name, where)
        series.append(cells.alias(name))
        if column is not None:
            known[name] = column
    return polars.DataFrame(series).lazy(), known


def _from_series(series: Any, name: str, where: str) -> tuple[Any, Column | None]:  # noqa: ANN401
    """Return a pandas series as a polars series, and what it is where polars' type does not say."""
    polars, pandas = require("polars", extra="data"), require("pandas", extra="data")
    dtype = series.dtype
    if isinstance(dtype, pandas.PeriodDtype | pandas.IntervalDtype) or dtype.kind == "c":
        raise InputError(
            f"the column {name!r} holds values of type {dtype}, which are no data that checks compare",
            where=where,
            hint="store the start (dt.start_time, .array.left) or the parts as columns of their own",
        )
    if isinstance(dtype, pandas.SparseDtype):
        series = series.sparse.to_dense()
    if isinstance(dtype, pandas.CategoricalDtype):
        return _from_categories(series, name, where)
    if dtype.kind == "O" and str(dtype) == "object":
        return _from_objects(series, name, where)
    try:
        return polars.from_pandas(series.reset_index(drop=True), nan_to_null=False), None
    except (
        polars.exceptions.PolarsError,
        ValueError,
        TypeError,
        OverflowError,
        NotImplementedError,
    ) as error:
        told = str(error).partition("\n")[0]
        raise InputError(
            f"the column {name!r} of type {dtype} can not be read: {told}", where=where
        ) from None


def _from_categories(series: Any, name: str, where: str) -> tuple[Any, Column | None]:  # noqa: ANN401
    pandas, polars = require("pandas", extra="data"), require("polars", extra="data")
    categories = series.cat.categories
    if all(isinstance(value, str) for value in categories):
        texts = polars.Series(categories.to_list(), dtype=polars.String)
        codes = polars.Series(np.asarray(series.cat.codes, dtype=np.int64))
        codes = codes.set(codes < 0, None)
        return texts.gather(codes).cast(polars.Categorical), None
    # By their codes: as a whole, whole numbers beside missing ones would become floats.
    plain = [None if code < 0 else categories[code] for code in series.cat.codes]
    return _from_objects(pandas.Series(plain, dtype=object), name, where)


def _from_objects(series: Any, name: str, where: str) -> tuple[Any, Column | None]:  # noqa: ANN401
    """Return cells of one kind as that kind, of several kinds as the names of their types."""
    pandas, polars = require("pandas", extra="data"), require("polars", extra="data")
    missing = series.isna().to_numpy(dtype=bool)
    cells = series.to_numpy(dtype=object)
    present = cells[~missing]
    types = Counter(map(type, present))
    kinds = {_kind_of(found) for found in types}
    if not kinds:
        return polars.Series([None] * len(cells), dtype=polars.Null), None
    single = next(iter(kinds)) if len(kinds) == 1 else None
    if kinds == {Kind.INTEGER, Kind.FLOAT}:
        single = Kind.FLOAT
    if single is not None and single is not Kind.MIXED:
        values = [None if gone else _plain(cell, single) for cell, gone in zip(cells, missing, strict=True)]
        try:
            if single is Kind.DATETIME:
                return polars.from_pandas(pandas.to_datetime(pandas.Series(values))), None
            return polars.Series(values, strict=True), None
        except (polars.exceptions.PolarsError, ValueError, TypeError, OverflowError):
            if single is not Kind.NESTED and len(types) == 1:
                raise InputError(
                    f"the column {name!r} holds {single} values that no type of column fits",
                    where=where,
                ) from None
    names = [None if gone else type(cell).__name__ for cell, gone in zip(cells, missing, strict=True)]
    counted = Counter(found for found in names if found is not None)
    found = tuple(counted.most_common())
    kind = Kind.NESTED if single is Kind.NESTED else Kind.MIXED
    return polars.Series(names, dtype=polars.String), Column(
        name=name, kind=kind, stored_as="object", found=found
    )


def _kind_of(found: type) -> Kind:
    return next((kind for types, kind in _KINDS if issubclass(found, types)), Kind.MIXED)


def _plain(cell: Any, kind: Kind) -> Any:  # noqa: ANN401 - whatever a cell is
    match kind:
        case Kind.BOOLEAN:
            return bool(cell)
        case Kind.FLOAT:
            return float(cell)
        case Kind.INTEGER:
            return int(cell)
        case Kind.TEXT:
            return str(cell)
        case _:
            return cell
