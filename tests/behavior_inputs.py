"""Rows, texts and images for tests of behavior, and what is read from the evidence about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Measurement, Outcome


def clients(n_rows: int = 200, seed: int = 0) -> pd.DataFrame:
    """Return applicants without anything unusual about them."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "sex": rng.choice(["f", "m"], n_rows),
            "age": rng.integers(18, 80, n_rows),
            "income": rng.gamma(2.0, 1000.0, n_rows),
            "late": rng.integers(0, 5, n_rows),
            "region": rng.choice(["north", "east", "south", "west"], n_rows, p=[0.5, 0.3, 0.15, 0.05]),
        }
    )


def by_income(rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return a risk that falls with the income."""
    income = np.clip(rows["income"].to_numpy(dtype=float), -1e5, 1e5)
    return np.asarray(1 / (1 + np.exp((income - 2000) / 500)))


def with_nan(rows: pd.DataFrame) -> Any:
    """Return NaN for people over 40."""
    return np.where(rows["age"] > 40, np.nan, 0.3)


def of_three(rows: pd.DataFrame) -> Any:
    """Return scores of three classes."""
    return np.zeros((len(rows), 3))


def angry(texts: list[str]) -> npt.NDArray[np.float64]:
    """Return how angry texts are: 0.9 with "not" as it stands, else by the marks."""
    return np.asarray([0.9 if "not" in text.split() else 0.1 + 0.05 * text.count("!") for text in texts])


def measured(evidence: Evidence, metric: str) -> Measurement:
    """Return the first measurement of a metric in evidence that a certificate can hold."""
    canonical_json(encode(evidence))
    return next(item for item in evidence.measurements if item.metric == metric)


def outcome(evidence: Evidence) -> Outcome:
    """Return what the gate would be judged."""
    (judged,) = judge_criteria("behavior.g", evidence, confidence_level=0.95)
    return judged.judgement.outcome
