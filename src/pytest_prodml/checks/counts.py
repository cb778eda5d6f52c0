"""Counts over rows -> measurements: exact ones, and shares with bounds for the population behind the rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level, growth_to_decide
from pytest_prodml.statistics.intervals import proportion

_MOST_TEXT = 80


def exact(
    metric: str,
    value: float,
    n_samples: int,
    *,
    group: str | None = None,
    unit: str = "1",
    method: str = "exact count",
    note: str | None = None,
) -> Measurement:
    """Return a number that is a fact about the rows at hand: bounds equal the value, the level is 1."""
    return Measurement(
        metric=metric,
        value=value,
        lower=value,
        upper=value,
        confidence_level=1.0,
        method=method,
        n_samples=n_samples,
        unit=unit,
        higher_is_better=False,
        group=group,
        note=note,
    )


def share(
    metric: str,
    count: int,
    n_samples: int,
    *,
    confidence_level: float,
    limit: float | None = None,
    group: str | None = None,
    note: str | None = None,
) -> Measurement:
    """Return the share of rows that something happens to, with one-sided Clopper-Pearson bounds.

    Assumes rows that are independent draws from the population the claim is about. With `limit` (an upper
    one) the measurement says how many rows would decide.
    """
    estimate = proportion(count, n_samples)
    lower, upper = estimate.at(confidence_level)
    growth = None
    if limit is not None:
        growth = growth_to_decide(estimate, limit, at_least=False, confidence_level=confidence_level)
    return Measurement(
        metric=metric,
        value=estimate.value,
        lower=lower,
        upper=upper,
        confidence_level=checked_level(confidence_level),
        method=estimate.method,
        n_samples=n_samples,
        higher_is_better=False,
        group=group,
        n_required=None if growth is None else math.ceil(growth * n_samples),
        note=note,
    )


def at_most(metric: str, limit: float, *, group: str | None = None) -> Criterion:
    """Return the criterion that `metric` must not exceed `limit`."""
    return Criterion(metric=metric, comparison=Comparison.AT_MOST, limit=limit, group=group)


def check_share(limit: float, name: str = "at_most") -> None:
    """Refuse a limit that is no share.

    Raises
    ------
    InputError
        If it does not lie in [0, 1].
    """
    if not 0 <= limit <= 1:
        raise InputError(f"{name} must be a share between 0 and 1, got {limit!r}", hint="0.01 is one in 100")


def check_count(limit: float, name: str = "at_most") -> None:
    """Refuse a limit that is no number of rows.

    Raises
    ------
    InputError
        If it is negative or not finite.
    """
    if not 0 <= limit < math.inf:
        raise InputError(f"{name} must be a number of rows from 0 on, got {limit!r}")


def plain(value: Any) -> JsonValue:  # noqa: ANN401 - any cell
    """Return a cell of a table as bounded JSON."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and math.isfinite(value) and abs(value) < 2**53:
        return value
    return "".join(c if c.isprintable() else " " for c in str(value))[:_MOST_TEXT]
