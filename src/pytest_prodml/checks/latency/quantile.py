"""Timed calls -> Evidence about a latency quantile, or the reason why they show nothing.

The bound comes from order statistics and assumes no distribution. Calls that slow each other down count for
fewer than they are, and a run that was not measured well has no bound, for a reason that is told by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.environment import thread_settings
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level
from pytest_prodml.statistics.quantiles import effective_sample_size, quantile_bounds, required_samples

Samples = npt.NDArray[np.float64]

#: The clock may cost this share of the median call.
_MOST_OVERHEAD = 0.02
#: The medians of the first and the last third may differ by this share.
_MOST_DRIFT = 0.05
#: ... and by more than chance: the bounds of both medians, each at this level, are apart.
_DRIFT_LEVEL = 0.975
_SPELLS = 10
#: How often calls are slow is known when they were, independently, at least this often.
_LEAST_CLUSTERS = 10
_MOST_POINTS = 200
_METHOD = "binomial order statistic"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quality:
    """How well a run was measured."""

    n_effective: float
    exceedances: int
    clusters: int
    independent_exceedances: float
    overhead: float
    drift: float


def quantile_at_most(
    p: float,
    budget_seconds: float,
    samples_seconds: npt.ArrayLike,
    *,
    gate_id: str,
    shared_host: bool,
    overhead_seconds: float = 0.0,
    group: str | None = None,
    runtime: Mapping[str, JsonValue] | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the p-quantile of the latency is within a budget.

    Measures ``latency_p99`` (for p = 0.99) in seconds with one-sided bounds, and without a limit the median.

    Parameters
    ----------
    p : float
        The quantile, 0.99: 99 of 100 calls.
    budget_seconds : float
        What it may be at most.
    samples_seconds : array of float
        One sample a call (never a mean over calls: a mean has no tail), after the warm-up, in call order.
    shared_host : bool
        Whether other work ran on the machine. It can only make calls slower, so a pass stays a pass; a
        failure is then inconclusive.
    overhead_seconds : float
        What the clock adds to each sample.
    group : str, optional
        What was called, for example ``batch_size=1``.
    runtime : mapping, optional
        What `Predictor.runtime` says of the model, for the record.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If there is no sample, one is not a positive finite number, or p or the budget make no sense.

    Notes
    -----
    The run passes when the upper bound is within the budget, fails when the lower one is above it. A bound is
    withheld, and the note says why, when

    - the clock costs more than 2 % of the median call: both bounds;
    - there was no steady state (the medians of the first and last third differ by more than 5 %, and by more
      than chance): the lower one, and the upper one too unless one more slow-down by that factor would
      still be within the budget;
    - calls beyond the budget came in fewer than 10 separate clusters: the lower one;
    - the host was shared: the lower one.

    Samples are worth ``n / tau`` independent ones, tau the autocorrelation time of slow calls, or the mean
    size of their clusters if that is larger; without a steady state tau is that of each tenth of the run. A
    run that holds too few bursts to see them can not tell.
    """
    del seed
    samples = _checked(p, budget_seconds, samples_seconds)
    level = checked_level(confidence_level)
    quality = _quality(p, budget_seconds, samples, overhead_seconds)
    lower, upper = quantile_bounds(samples, p, level, quality.n_effective)
    lower, upper, causes = _veto(lower, upper, budget_seconds, quality, shared_host=shared_host)
    median = quantile_bounds(samples, 0.5, level, effective_sample_size(samples, 0.5))
    metric = f"latency_p{100 * p:g}"
    return Evidence(
        gate_id=gate_id,
        measurements=(
            Measurement(
                metric=metric,
                value=_empirical(samples, p),
                lower=lower,
                upper=upper,
                confidence_level=level,
                method=f"{_METHOD}, {quality.n_effective:,.0f} effective calls",
                n_samples=len(samples),
                unit="s",
                higher_is_better=False,
                group=group,
                n_required=_calls_to_decide(p, level, quality, len(samples)),
                note="; ".join(causes) or None,
            ),
            *(_median(samples, median, level, group) if p != 0.5 else ()),
        ),
        criteria=(limited(metric, budget_seconds, group=group),),
        details=_details(samples, budget_seconds, quality, shared_host=shared_host, runtime=runtime),
    )


def n_calls_for(p: float, confidence_level: float = 0.95, *, headroom: float = 0.25) -> int:
    """Return how many calls to time so that a model that keeps its budget passes 9 times in 10.

    Parameters
    ----------
    p, confidence_level : float
        The claim.
    headroom : float
        The true share of calls beyond the budget, relative to the allowed 1 - p. 0.25: a quarter of what is
        allowed; 0: none, which takes the fewest calls.
    """
    return required_samples(p, confidence_level, headroom)


def _checked(p: float, budget_seconds: float, samples_seconds: npt.ArrayLike) -> Samples:
    if not 0 < p < 1:
        raise InputError(f"p must lie between 0 and 1, got {p!r}", hint="0.99 is the 99th percentile")
    if not 0 < budget_seconds < float("inf"):
        raise InputError(f"the budget must be a number of seconds above 0, got {budget_seconds!r}")
    try:
        samples = np.asarray(samples_seconds, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("the samples are not numbers", hint="give seconds, one for each call") from None
    if samples.ndim != 1 or len(samples) == 0:
        raise InputError(f"expected one sample for each call, got an array of shape {samples.shape}")
    n_bad = int(np.count_nonzero(~(np.isfinite(samples) & (samples > 0))))
    if n_bad:
        raise InputError(
            f"{n_bad:,} of {len(samples):,} samples are no positive durations",
            hint="time with a monotonic clock that is fine enough (time.perf_counter)",
        )
    return samples


def _quality(p: float, budget: float, samples: Samples, overhead: float) -> _Quality:
    if not 0 <= overhead < float("inf"):
        raise InputError(f"overhead_seconds must be a number from 0 on, got {overhead!r}")
    n = len(samples)
    drift = _drift(samples)
    n_effective = effective_sample_size(samples, p)
    if abs(drift) > _MOST_DRIFT:
        # A drift makes all calls at one end slow, which is no dependence of a call on the one before. It is
        # held against the bounds on its own account (`_veto`); dependence is looked for within short spells.
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
    return _Quality(
        n_effective=min(n_effective, n / size),
        exceedances=len(slow),
        clusters=clusters,
        independent_exceedances=len(slow) / size,
        overhead=overhead / float(np.median(samples)),
        drift=drift,
    )


def _drift(samples: Samples) -> float:
    """Return the change of the median from first to last third, 0 where it may be chance."""
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


def _veto(
    lower: float | None, upper: float | None, budget: float, quality: _Quality, *, shared_host: bool
) -> tuple[float | None, float | None, list[str]]:
    """Withhold the bounds that this run can not support, and say why."""
    causes = []
    if quality.overhead > _MOST_OVERHEAD:
        causes.append(f"the clock costs {quality.overhead:.1%} of the median call: time batches of rows")
        lower = upper = None
    if abs(quality.drift) > _MOST_DRIFT:
        causes.append(f"no steady state: the median changed by {quality.drift:+.0%} from first to last third")
        lower = None
        if upper is not None and upper * max(1.0, 1 + quality.drift) > budget:
            upper = None
    if 0 < quality.independent_exceedances < _LEAST_CLUSTERS:
        causes.append(
            f"calls beyond the budget: {quality.exceedances:,}, in separate clusters: {quality.clusters:,}, "
            "too few to know how often that happens"
        )
        lower = None
    if shared_host:
        causes.append("other work ran on this machine, which can slow calls down: it can not fail here")
        lower = None
    return lower, upper, causes


def _calls_to_decide(p: float, level: float, quality: _Quality, n: int) -> int | None:
    """Return how many calls would pass in 9 of 10 runs, if the share of slow calls is the observed one."""
    allowed = quality.exceedances / n / (1 - p)
    if allowed >= 0.9:
        return None
    return int(np.ceil(required_samples(p, level, allowed) * n / quality.n_effective))


def _empirical(samples: Samples, p: float) -> float:
    return float(np.quantile(samples, p, method="inverted_cdf"))


def _median(
    samples: Samples, bounds: tuple[float | None, float | None], level: float, group: str | None
) -> tuple[Measurement, ...]:
    return (
        Measurement(
            metric="latency_p50",
            value=_empirical(samples, 0.5),
            lower=bounds[0],
            upper=bounds[1],
            confidence_level=level,
            method=_METHOD,
            n_samples=len(samples),
            unit="s",
            higher_is_better=False,
            group=group,
        ),
    )


def _details(
    samples: Samples,
    budget: float,
    quality: _Quality,
    *,
    shared_host: bool,
    runtime: Mapping[str, JsonValue] | None,
) -> dict[str, JsonValue]:
    threads: dict[str, JsonValue] = dict(thread_settings())
    details: dict[str, JsonValue] = {
        "ecdf": _ecdf(samples, budget),
        "effective_calls": round(quality.n_effective, 1),
        "calls_beyond_budget": quality.exceedances,
        "clusters_beyond_budget": quality.clusters,
        "clock_share_of_median": quality.overhead,
        "median_change_first_to_last_third": quality.drift,
        "shared_host": shared_host,
        "threads": threads,
    }
    if runtime:
        details["runtime"] = dict(runtime)
    return details


def _ecdf(samples: Samples, budget: float) -> dict[str, JsonValue]:
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
