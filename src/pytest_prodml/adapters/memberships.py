"""Sensitive columns, or the groups apart -> the joint group of each row as text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.errors import InputError

_MISSING = "(missing)"
_EXTRA = "fairness"


def memberships(
    table: Any,  # noqa: ANN401
    sensitive: Any,  # noqa: ANN401
) -> tuple[npt.NDArray[Any], tuple[str, ...] | None]:
    """Return the joint group of each row, and the names of the columns of `table` that it is made of."""
    pandas = require("pandas", extra=_EXTRA)
    names: tuple[str, ...] | None = None
    if isinstance(sensitive, str):
        names = (sensitive,)
    elif isinstance(sensitive, (list, tuple)) and sensitive and all(isinstance(s, str) for s in sensitive):
        columns = getattr(table, "columns", ())
        if all(name in columns for name in sensitive) or len(sensitive) != len(table):
            names = tuple(sensitive)
    if names is not None:
        for name in names:
            if name not in getattr(table, "columns", ()):
                raise InputError(
                    f"X has no column {name!r}", where="sensitive", hint="name columns, or give the groups"
                )
        frame = table[list(names)]
    else:
        frame = (
            sensitive if hasattr(sensitive, "columns") else pandas.DataFrame({"group": np.asarray(sensitive)})
        )
        if not len(frame.columns):
            raise InputError("names no column", where="sensitive")
    parts = [texts(frame[name]) for name in frame.columns]
    if len(parts) == 1:
        return parts[0], names
    joined = [
        " & ".join(f"{name}={value}" for name, value in zip(frame.columns, row, strict=True))
        for row in zip(*parts, strict=True)
    ]
    return np.array(joined, dtype=object), names


def texts(column: Any) -> npt.NDArray[Any]:  # noqa: ANN401
    """Write the values as text: 1 and 1.0, as a column of whole numbers with a gap reads, are one group."""
    pandas = require("pandas", extra=_EXTRA)
    missing = np.asarray(pandas.isna(column))
    texts = [
        str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        for value in np.asarray(column, dtype=object).tolist()
    ]
    found = np.array(texts, dtype=object)
    found[missing] = _MISSING
    return found
