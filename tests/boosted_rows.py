"""Rows with missing cells, truth values and categories, for models of every library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def boosted_rows(n_rows: int = 300, *, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "amount": draw.normal(size=n_rows),
            "visits": draw.integers(0, 9, n_rows),
            "region": pd.Categorical(draw.choice(["north", "south", "west"], n_rows)),
            "is_new": draw.random(n_rows) > 0.5,
            "age": draw.uniform(18, 90, n_rows),
        }
    )
    rows.loc[::7, "amount"] = np.nan
    return rows


def targets(rows: pd.DataFrame) -> dict[str, Any]:
    amount = rows["amount"].fillna(-0.5).to_numpy()
    binary = ((amount + (rows["region"] == "south") + rows["visits"] / 9) > 0.6).to_numpy().astype(int)
    return {
        "binary": binary,
        "multiclass": np.where(amount > 0.8, 2, binary),
        "regression": 3 * amount + rows["visits"].to_numpy() + 0.1 * rows["age"].to_numpy(),
    }


def as_texts(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows as a table of text has them: no categories, other columns in another order."""
    return rows.assign(region=rows["region"].astype(object), key=range(len(rows)))[
        ["key", "age", "is_new", "region", "visits", "amount"]
    ]
