"""A row of the test split -> the raw record of that client, as the bank's system sends it."""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd

import credit
import train


@functools.cache
def _table() -> pd.DataFrame:
    table: pd.DataFrame = pd.read_csv(train.RAW).set_index(credit.KEY, drop=False)
    return table


def record(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the raw record of one client."""
    return records(rows)[0]


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the raw record of each client."""
    chosen = _table().loc[rows[credit.KEY]].drop(columns=credit.TARGET)
    return [{str(name): value for name, value in row.items()} for row in chosen.to_dict(orient="records")]
