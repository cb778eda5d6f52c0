"""The real credit data, and a model of it that is honest about sex and one that is not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression

CREDIT = Path(__file__).parents[1] / "example_project" / "data" / "credit_default.csv.gz"
NUMBERS = ["credit_limit", "age", "pay_status_sep", "pay_status_aug", "bill_sep", "paid_sep"]
Scorer = Callable[[pd.DataFrame], npt.NDArray[np.float64]]


@functools.cache
def clients() -> pd.DataFrame:
    """Return 3,000 clients."""
    return pd.read_csv(CREDIT).sample(3000, random_state=5).reset_index(drop=True)


@functools.cache
def risk(of_sex: float = 0.0) -> Scorer:
    """Return a risk that is fitted on other clients; `of_sex` is added to the log-odds of men."""
    whole = pd.read_csv(CREDIT).sample(12_000, random_state=6)
    center, spread = whole[NUMBERS].mean(), whole[NUMBERS].std()
    fitted = LogisticRegression().fit((whole[NUMBERS] - center) / spread, whole["default_next_month"])

    def score(rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        odds = ((rows[NUMBERS] - center) / spread).to_numpy() @ fitted.coef_[0] + fitted.intercept_[0]
        if of_sex:
            odds = odds + of_sex * (rows["sex"] == "male").to_numpy()
        return np.asarray(1 / (1 + np.exp(-odds)))

    return score
