"""The types of a schema -> kinds of columns, and constants as a column's own numbers."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import numpy as np

from pytest_prodml._lazy import require
from pytest_prodml.adapters.engines.expressions import Column, Kind

_WIDTH = re.compile(r"^(u?)(?:int|float)(8|16|32|64|128)$", re.IGNORECASE)


def kinds_of(dtype: Any) -> tuple[frozenset[Kind], str | None]:  # noqa: ANN401 - pandera has no types for us
    """Return the kinds of column that a pandera type admits, and the width (as ``"u32"``) if it states one.

    Read from pandera's own hierarchy of types, which its pandas, polars and ibis types share.
    """
    dtypes = require("pandera.dtypes", extra="data")
    for base, kind in (
        ("Bool", Kind.BOOLEAN),
        ("Decimal", Kind.DECIMAL),
        ("Int", Kind.INTEGER),
        ("UInt", Kind.INTEGER),
        ("Float", Kind.FLOAT),
        ("Category", Kind.CATEGORY),
        ("String", Kind.TEXT),
        ("Timestamp", Kind.DATETIME),
        ("Date", Kind.DATE),
        ("Timedelta", Kind.DURATION),
        ("Binary", Kind.BINARY),
    ):
        known = getattr(dtypes, base, None)
        if known is not None and isinstance(dtype, known):
            return frozenset((kind,)), _stated_width(str(dtype)) if kind in _SIZED else None
    name = str(dtype).lower()
    if name == "object":
        return frozenset((Kind.TEXT, Kind.MIXED, Kind.NESTED, Kind.EMPTY, Kind.DECIMAL, Kind.DATE)), None
    if name.startswith(("list", "array", "struct", "map")):
        return frozenset((Kind.NESTED,)), None
    return frozenset(), None


_SIZED = frozenset((Kind.INTEGER, Kind.FLOAT))


def width(column: Column) -> str | None:
    """Return how wide a column's numbers are, ``"64"`` or ``"u32"``; None where its type does not say."""
    return _stated_width(column.stored_as)


def _stated_width(name: str) -> str | None:
    found = _WIDTH.match(name)
    return None if found is None else f"{found[1].lower()}{found[2]}"


def rounded_as(column: Column, value: float | Decimal) -> int | float | Decimal | None:
    """Return a constant as the column would store it, so that 0.1 is the 0.1 of 32-bit numbers.

    None for what is no number to compare with: NaN, and fractions for columns of exact decimals.
    """
    if value != value:  # noqa: PLR0124 - NaN, of float and Decimal alike
        return None
    if column.kind is Kind.DECIMAL:
        return value if isinstance(value, (int, Decimal)) else None
    if isinstance(value, Decimal):
        return None
    if column.kind is Kind.FLOAT and isinstance(value, float) and width(column) == "32":
        with np.errstate(over="ignore"):
            return float(np.float32(value))
    return value
