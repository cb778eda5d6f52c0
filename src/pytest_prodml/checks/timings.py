"""Timed calls: checked, and asked how much they say about a tail."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue, Measurement
from pytest_prodml.statistics.quantiles import effective_sample_size, quantile_bounds

Samples = npt.NDArray[np.float64]

METHOD = "binomial order statistic"
#: The medians of the first and the last third may differ by this share.
MOST_DRIFT = 0.05
#: ... and by more than chance: the bounds of both medians, each at this level, are apart.
_DRIFT_LEVEL = 0.975
_SPELLS = 10
#: How often calls are slow is known when they were, independently, at least this often.
LEAST_CLUSTERS = 10
#: Where the run does not show how long slow spells are, they are taken to last this long, and no more calls.
_SPELL_SECONDS = 0.01
_MOST_BURST = 20
_MOST_POINTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependence:
    """How much the calls of a run say about a budget."""

    n_effective: float
    exceedances: int
    clusters: int
    independent_exceedances: float
    is_cluster_size_known: bool


def checked_samples(values: npt.ArrayLike, what: str = "sample") -> Samples:
    """Return durations in seconds as an array.

    Raises
    ------
    InputError
        If there is none, or one is not a positive finite number.
    """
    try:
        samples = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"the {what}s are not numbers", hint="give seconds, one for each call") from None
    if samples.ndim != 1 or len(samples) == 0:
        raise InputError(f"expected one {what} for each call, got an array of shape {samples.shape}")
    n_bad = int(np.count_nonzero(~(np.isfinite(samples) & (samples > 0))))
    if n_bad:
        raise InputError(
            f"{n_bad:,} of {len(samples):,} {what}s are no positive durations",
            hint="time with a monotonic clock that is fine enough (time.perf_counter)",
        )
    return samples


def longest_burst(median_seconds: float) -> int:
    """Return how many calls in a row one slow spell of the machine is taken to last, until a run shows it.

    A spell of 10 ms (a few time slices of a scheduler, a garbage collection), at most 20 calls.
    """
    return max(1, min(_MOST_BURST, math.ceil(_SPELL_SECONDS / median_seconds)))


def dependence_of(p: float, budget: float, samples: Samples, drift: float, burst: int) -> Dependence:
    """Return how much calls say about their p-quantile and a budget.

    They are worth ``n / tau`` independent ones, tau the autocorrelation time of slow calls, or the mean size
    of the clusters in which calls exceed the budget if that is larger. A run with fewer than 10 clusters does
    not know that size: there it is at least `burst`, without which a run that is too short to hold one of the
    bursts would prove that there are none.
    """
    n = len(samples)
    n_effective = effective_sample_size(samples, p)
    if abs(drift) > MOST_DRIFT:
        # A drift makes all calls at one end slow, which is no dependence of a call on the one before. It is
        # held against the bounds on its own account; dependence is looked for within short spells.
        spells = np.array_split(samples, min(_SPELLS, n))
        n_effective = max(n_effective, sum(effective_sample_size(spell, p) for spell in spells))
    tau = n / n_effective
    slow = np.flatnonzero(samples > budget)
    clusters = 0 if len(slow) == 0 else 1 + int(np.count_nonzero(np.diff(slow) > 2 * tau))
    size = 1.0
    if clusters:
        # Relative to the size that clusters have by chance, where slow calls are no rare event.
        by_chance = (1 - len(slow) / n) ** (2 * tau)
        size = max(1.0, len(slow) / clusters * by_chance)
    independent = len(slow) / size
    is_known = independent >= LEAST_CLUSTERS
    if not is_known:
        size = max(size, float(burst))
    return Dependence(
        n_effective=min(n_effective, n / size),
        exceedances=len(slow),
        clusters=clusters,
        independent_exceedances=independent,
        is_cluster_size_known=is_known,
    )


def drift_of(samples: Samples) -> float:
    """Return the change of the median from the first to the last third; 0 where it may be chance."""
    third = len(samples) // 3
    if third == 0:
        return 0.0
    first, last = samples[:third], samples[-third:]
    intervals = [
        quantile_bounds(part, 0.5, _DRIFT_LEVEL, effective_sample_size(part, 0.5)) for part in (first, last)
    ]
    (low, high), (other_low, other_high) = intervals
    if low is None or high is None or other_low is None or other_high is None:
        return 0.0
    if low <= other_high and other_low <= high:
        return 0.0
    return float(np.median(last) / np.median(first)) - 1


def empirical(samples: Samples, p: float) -> float:
    """Return the sample that is the p-quantile."""
    return float(np.quantile(samples, p, method="inverted_cdf"))


def quantile_of(
    samples: Samples,
    p: float,
    metric: str,
    *,
    level: float,
    group: str | None,
    unit: str = "s",
    note: str | None = None,
    has_lower: bool = True,
) -> Measurement:
    """Measure a quantile of samples with its bounds, dependence counted in; there is no limit on it."""
    lower, upper = quantile_bounds(samples, p, level, effective_sample_size(samples, p))
    return Measurement(
        metric=metric,
        value=empirical(samples, p),
        lower=lower if has_lower else None,
        upper=upper,
        confidence_level=level,
        method=METHOD,
        n_samples=len(samples),
        unit=unit,
        higher_is_better=False,
        group=group,
        note=note,
    )


def distribution(samples: Samples, budget: float) -> dict[str, JsonValue]:
    """Return the distribution in at most 200 points: half of them evenly, half ever closer to the tail."""
    ordered = np.sort(samples)
    n = len(ordered)
    even = np.linspace(0, n - 1, _MOST_POINTS // 2)
    tail = n - np.geomspace(1, n, _MOST_POINTS // 2)
    ranks: Any = np.unique(np.concatenate([even, tail]).round().astype(np.int64).clip(0, n - 1))
    return {
        "x": [float(value) for value in ordered[ranks]],
        "y": [float((rank + 1) / n) for rank in ranks],
        "budget": budget,
    }
