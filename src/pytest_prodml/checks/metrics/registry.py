"""What a metric is: its name, what it is computed from, its range, and the function that estimates it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from pytest_prodml.records import JsonValue
from pytest_prodml.statistics.estimate import Estimate

if TYPE_CHECKING:
    from pytest_prodml.checks.metrics.sample import Sample


class Needs(Enum):
    """What the model must deliver for a metric."""

    LABELS = "predicted labels"
    SCORES = "scores"
    NUMBERS = "predicted numbers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """An estimate with what a report shows beside it: bounded series, tables and facts."""

    estimate: Estimate
    details: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A row of the registry.

    Attributes
    ----------
    needs : Needs
        What the model must deliver.
    measure : callable
        ``measure(sample, seed)`` estimates the metric; `seed` is for methods that resample.
    higher_is_better : bool
        False for losses: they have ceilings, not floors.
    low, high : float or None
        The range of the metric; a limit outside of it is a slip. None where it has no end.
    unit : str
        "1" for a pure number, "target" for the unit of the target column.
    name : str
        What evidence calls it; needed for a metric of your own, those of `METRICS` are called by their key.
    value : callable, optional
        ``value(sample)`` is the metric alone, where `measure` is expensive: it is called a hundred times
        where two models are compared.
    """

    needs: Needs
    measure: Callable[[Sample, int], Measured]
    higher_is_better: bool = True
    low: float | None = 0.0
    high: float | None = 1.0
    unit: str = "1"
    name: str = ""
    value: Callable[[Sample], float] | None = None
