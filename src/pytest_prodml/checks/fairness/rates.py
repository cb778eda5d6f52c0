"""Rates that decisions are compared by: which rows are counted, and which of them count.

Names are scikit-learn's and fairlearn's; `false_discovery_rate` and `false_omission_rate` are aequitas'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.statistics.sufficient import Counts

Flags: TypeAlias = npt.NDArray[np.bool_]

FAVORABLE, OTHER = "rows with the favorable label", "rows without the favorable label"
CHOSEN, DECLINED = "rows with the favorable decision", "rows without the favorable decision"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share of rows.

    Attributes
    ----------
    counts : callable
        Of truth, decision (favorable or not) and whether the decision is right: which rows count.
    counted : callable or None
        Of truth and decision: among which rows; None for all.
    counted_are : str
        What those are called.
    needs_truth : bool
        Whether the truth has a part in it.
    """

    counts: Callable[[Flags, Flags, Flags], Flags]
    counted: Callable[[Flags, Flags], Flags] | None = None
    counted_are: str = "rows"
    needs_truth: bool = True

    def of_table(self, table: Counts) -> tuple[Counts, Counts]:
        """Return successes and trials by group, from counts by group, truth, decision and right."""
        truth, decision, right = (cell.astype(bool) for cell in np.indices((2, 2, 2)))
        inside = np.ones_like(truth) if self.counted is None else self.counted(truth, decision)
        hits = self.counts(truth, decision, right) & inside
        return np.asarray(table[:, hits].sum(axis=1)), np.asarray(table[:, inside].sum(axis=1))

    def of_rows(self, truth: Flags, decision: Flags, right: Flags) -> tuple[Flags, Flags]:
        """Return which rows count, and among which."""
        inside = np.ones_like(truth) if self.counted is None else self.counted(truth, decision)
        return self.counts(truth, decision, right) & inside, inside


RATES: Mapping[str, Rate] = {
    "accuracy": Rate(counts=lambda _, __, right: right),
    "false_discovery_rate": Rate(
        counts=lambda truth, _, __: ~truth, counted=lambda _, decision: decision, counted_are=CHOSEN
    ),
    "false_negative_rate": Rate(
        counts=lambda _, decision, __: ~decision, counted=lambda truth, _: truth, counted_are=FAVORABLE
    ),
    "false_omission_rate": Rate(
        counts=lambda truth, _, __: truth, counted=lambda _, decision: ~decision, counted_are=DECLINED
    ),
    "false_positive_rate": Rate(
        counts=lambda _, decision, __: decision, counted=lambda truth, _: ~truth, counted_are=OTHER
    ),
    "negative_predictive_value": Rate(
        counts=lambda truth, _, __: ~truth, counted=lambda _, decision: ~decision, counted_are=DECLINED
    ),
    "precision": Rate(
        counts=lambda truth, _, __: truth, counted=lambda _, decision: decision, counted_are=CHOSEN
    ),
    "selection_rate": Rate(counts=lambda _, decision, __: decision, needs_truth=False),
    "true_negative_rate": Rate(
        counts=lambda _, decision, __: ~decision, counted=lambda truth, _: ~truth, counted_are=OTHER
    ),
    "true_positive_rate": Rate(
        counts=lambda _, decision, __: decision, counted=lambda truth, _: truth, counted_are=FAVORABLE
    ),
}

#: The worse of several rates: equalized odds are kept where both are.
JOINT: Mapping[str, tuple[str, ...]] = {"equalized_odds": ("true_positive_rate", "false_positive_rate")}
