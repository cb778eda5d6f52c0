"""Rows of a table -> a number in [0, 1) for each that its values alone decide: draws that can be repeated."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.adapters.memberships import texts

_EXTRA = "fairness"


def draws(rows: Any, seed: int) -> npt.NDArray[np.float64]:  # noqa: ANN401
    """Return a number for each row, made of its values and the seed.

    SplitMix64 (Steele, Lea, Flood 2014) over the columns in their order; text by BLAKE2b. Equal rows get
    equal numbers, whole numbers the same as floats of their value. No secret: whoever knows the seed can
    compute it.
    """
    columns = [rows[name] for name in rows.columns] if hasattr(rows, "columns") else list(np.asarray(rows).T)
    state = np.full(len(rows), seed, dtype=np.uint64)
    for column in columns:
        state = _mixed(state ^ _bits(column))
    return np.asarray((_mixed(state) >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = state + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)), dtype=np.uint64)


def _bits(column: Any) -> npt.NDArray[np.uint64]:  # noqa: ANN401
    values = np.asarray(column)
    if values.dtype.kind in "biuf":
        numbers = values.astype(np.float64) + 0.0  # -0 is 0
        numbers[np.isnan(numbers)] = np.nan  # one NaN of many
        return numbers.view(np.uint64)
    pandas = require("pandas", extra=_EXTRA)
    codes, known = pandas.factorize(np.array(texts(column), dtype=object))
    hashes = [int.from_bytes(hashlib.blake2b(str(k).encode(), digest_size=8).digest()) for k in known]
    return np.array(hashes, dtype=np.uint64)[codes] if hashes else np.zeros(0, dtype=np.uint64)
