"""How two groups are compared: their values and limits in, a bound of the difference or ratio out.

Turned so that every claim reads "at most": the smallest ratio is the largest negated one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from pytest_prodml.statistics.comparison import (
    Array,
    difference_lower,
    difference_upper,
    ratio_lower,
    ratio_upper,
)


class Limited(NamedTuple):
    """Values of groups with their limits: arrays of one shape, or of shapes that go together."""

    value: Array
    lower: Array
    upper: Array


PairBound: TypeAlias = Callable[[Limited, Limited], Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """How two groups are compared, turned so that every claim reads "at most".

    `kept` and `broken` bound the contrast of a first and a second group from above and from below.
    """

    sign: float
    name: str
    independent: bool
    value: Callable[[Array, Array], Array]
    kept: PairBound
    broken: PairBound

    def levels(self, level: float, groups: int) -> tuple[float, float]:
        """Return the levels of single limits for a bound of all pairs being kept, and of any being broken."""
        alpha = 1 - level
        if self.independent:
            return level, 1 - alpha / (groups * (groups - 1))
        return 1 - alpha / 2, 1 - alpha / (2 * groups)


def _negated_ratio(first: Array, second: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(-first / second)


def _quotient(over: Array, under: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(under > 0, np.maximum(over, 0.0) / under, np.inf)


DIFFERENCE = Contrast(
    sign=1.0,
    name="MOVER",
    independent=True,
    value=lambda first, second: first - second,
    kept=lambda one, other: difference_upper(one.value, one.upper, other.value, other.lower),
    broken=lambda one, other: difference_lower(one.value, one.lower, other.value, other.upper),
)
RATIO = Contrast(
    sign=-1.0,
    name="MOVER",
    independent=True,
    value=_negated_ratio,
    kept=lambda one, other: -ratio_lower(one.value, one.lower, other.value, other.upper),
    broken=lambda one, other: -ratio_upper(one.value, one.upper, other.value, other.lower),
)
ANY_DIFFERENCE = Contrast(
    sign=1.0,
    name="bounds of both added",
    independent=False,
    value=DIFFERENCE.value,
    kept=lambda one, other: one.upper - other.lower,
    broken=lambda one, other: one.lower - other.upper,
)
ANY_RATIO = Contrast(
    sign=-1.0,
    name="bounds of both divided",
    independent=False,
    value=_negated_ratio,
    kept=lambda one, other: -_quotient(one.lower, other.upper),
    broken=lambda one, other: -_quotient(one.upper, other.lower),
)


def pairwise(bound: PairBound, groups: Limited) -> Array:
    """Return a bound of all ordered pairs as a square, with minus infinity for a group and itself."""
    one = Limited(*(part[:, np.newaxis] for part in groups))
    other = Limited(*(part[np.newaxis, :] for part in groups))
    found = bound(one, other)
    np.fill_diagonal(found, -np.inf)
    return found
