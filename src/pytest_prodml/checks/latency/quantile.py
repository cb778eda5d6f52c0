"""Timed calls -> Evidence about a latency quantile, or the reason why they show nothing.

The bound comes from order statistics and assumes no distribution. Calls that slow each other down count for
fewer than they are, and a run that was not measured well has no bound, for a reason that is told by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.latency.conditions import Conditions
from pytest_prodml.checks.latency.plan import level_of_each_look
from pytest_prodml.checks.timings import (
    LEAST_CLUSTERS,
    METHOD,
    MOST_DRIFT,
    Dependence,
    Samples,
    checked_samples,
    dependence_of,
    distribution,
    drift_of,
    empirical,
    longest_burst,
    quantile_of,
)
from pytest_prodml.environment import thread_settings
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level
from pytest_prodml.statistics.quantiles import quantile_bounds, required_samples


def quantile_at_most(
    p: float,
    budget_seconds: float,
    samples_seconds: npt.ArrayLike,
    *,
    gate_id: str,
    conditions: Conditions | None = None,
    looks: int = 1,
    look_sizes: Sequence[int] = (),
    burst: int | None = None,
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
    conditions : Conditions, optional
        What else the machine did, and what the clock costs. Other work can only make calls slower, so a pass
        stays a pass; a failure is then inconclusive. Default: nothing else, and nothing.
    looks : int
        How often the run was planned to be judged while it grew, 1 to 3. Each look has a share of the error
        rate, whether it was taken or not: whoever may stop when it pleases him proves what he likes.
    look_sizes : sequence of int
        The planned numbers of calls at each look, for the record.
    burst : int, optional
        How many calls in a row are taken to be slow together where the run has too few slow calls to show
        it. Default: as many as 10 ms hold, at most 20; 1 declares that calls do not influence each other.
    group : str, optional
        What was called, for example ``batch_size=1``.
    runtime : mapping, optional
        What `Predictor.runtime` says of the model, for the record.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If there is no sample, one is not a positive finite number, or p, the budget, the looks or the burst
        make no sense.

    Notes
    -----
    The run passes when the upper bound is within the budget, fails when the lower one is above it. A bound is
    withheld, and the note says why, when

    - the clock costs more than 2 % of the median call: the lower one, as the clock only adds;
    - there was no steady state (the medians of the first and last third differ by more than 5 %, and by more
      than chance): the lower one, and the upper one too unless one more slow-down by that factor would
      still be within the budget;
    - calls beyond the budget came in fewer than 10 separate clusters: the lower one, and the upper one counts
      every `burst` calls as one;
    - the machine did other work, paused, or took the processor away (`Conditions.noise`): the lower one.

    Samples are worth ``n / tau`` independent ones, tau the autocorrelation time of slow calls, or the mean
    size of their clusters if that is larger; without a steady state tau is that of each tenth of the run.

    References
    ----------
    David, Nagaraja: *Order Statistics*, 3rd ed. (2003), section 7.1; Sokal: *Monte Carlo Methods in
    Statistical Mechanics* (1997) for tau.
    """
    del seed
    _check(p, budget_seconds, burst)
    samples = checked_samples(samples_seconds)
    level = level_of_each_look(checked_level(confidence_level), looks)
    conditions = conditions or Conditions()
    _check_overhead(conditions)
    median = float(np.median(samples))
    burst = longest_burst(median) if burst is None else burst
    drift = drift_of(samples)
    found = dependence_of(p, budget_seconds, samples, drift, burst)
    bounds = quantile_bounds(samples, p, level, found.n_effective)
    noise = conditions.noise(median, budget_seconds, 1 - p)
    lower, upper, causes = _veto(bounds, budget_seconds, found, drift, conditions.slow_clock(median), noise)
    if upper is None and not causes and not found.is_cluster_size_known and burst > 1:
        causes.append(f"too few calls to show that slow ones do not come {burst} in a row")
    metric = f"latency_p{100 * p:g}"
    return Evidence(
        gate_id=gate_id,
        measurements=(
            Measurement(
                metric=metric,
                value=empirical(samples, p),
                lower=lower,
                upper=upper,
                confidence_level=level,
                method=f"{METHOD}, {found.n_effective:,.0f} effective calls",
                n_samples=len(samples),
                unit="s",
                higher_is_better=False,
                group=group,
                n_required=_calls_to_decide(p, level, found, len(samples)),
                note="; ".join(causes) or None,
            ),
            *((quantile_of(samples, 0.5, "latency_p50", level=level, group=group),) if p != 0.5 else ()),
        ),
        criteria=(limited(metric, budget_seconds, group=group),),
        details={
            **_details(samples, budget_seconds, found, drift, burst, conditions, noise),
            "looks": {"planned": looks, "calls": list(look_sizes) or [len(samples)], "level_of_each": level},
            **({"runtime": dict(runtime)} if runtime else {}),
        },
    )


def _check(p: float, budget_seconds: float, burst: int | None) -> None:
    if not 0 < p < 1:
        raise InputError(f"p must lie between 0 and 1, got {p!r}", hint="0.99 is the 99th percentile")
    if not 0 < budget_seconds < float("inf"):
        raise InputError(f"the budget must be a number of seconds above 0, got {budget_seconds!r}")
    if burst is not None and burst < 1:
        raise InputError(f"burst must be a number of calls from 1 on, got {burst!r}")


def _check_overhead(conditions: Conditions) -> None:
    if not 0 <= conditions.overhead_seconds < float("inf"):
        raise InputError(f"overhead_seconds must be a number from 0 on, got {conditions.overhead_seconds!r}")


def _veto(
    bounds: tuple[float | None, float | None],
    budget: float,
    found: Dependence,
    drift: float,
    slow_clock: str | None,
    noise: Sequence[str],
) -> tuple[float | None, float | None, list[str]]:
    """Withhold the bounds that this run can not support, and say why."""
    lower, upper = bounds
    causes = []
    if slow_clock is not None:
        # It only adds: what was fast enough with it is fast enough.
        causes.append(slow_clock)
        lower = None
    if abs(drift) > MOST_DRIFT:
        causes.append(f"no steady state: the median changed by {drift:+.0%} from first to last third")
        lower = None
        if upper is not None and upper * max(1.0, 1 + drift) > budget:
            upper = None
    if 0 < found.independent_exceedances < LEAST_CLUSTERS:
        causes.append(
            f"calls beyond the budget: {found.exceedances:,}, in separate clusters: {found.clusters:,}, "
            "too few to know how often that happens"
        )
        lower = None
    if noise:
        causes.append(f"{'; '.join(noise)}; other work can slow calls down: it can not fail here")
        lower = None
    return lower, upper, causes


def _calls_to_decide(p: float, level: float, found: Dependence, n: int) -> int | None:
    """Return how many calls would pass in 9 of 10 runs, if the share of slow calls is the observed one."""
    allowed = found.exceedances / n / (1 - p)
    if allowed >= 0.9:
        return None
    return int(np.ceil(required_samples(p, level, allowed) * n / found.n_effective))


def _details(
    samples: Samples,
    budget: float,
    found: Dependence,
    drift: float,
    burst: int,
    conditions: Conditions,
    noise: Sequence[str],
) -> dict[str, JsonValue]:
    threads: dict[str, JsonValue] = dict(thread_settings())
    return {
        "ecdf": distribution(samples, budget),
        "effective_calls": round(found.n_effective, 1),
        "calls_beyond_budget": found.exceedances,
        "clusters_beyond_budget": found.clusters,
        "calls_of_a_burst": None if found.is_cluster_size_known else burst,
        "median_change_first_to_last_third": drift,
        "conditions": conditions.details(),
        "noise": list(noise),
        "threads": threads,
    }
