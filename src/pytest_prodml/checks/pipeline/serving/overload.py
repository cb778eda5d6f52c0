"""More requests than a server can answer, or a worker that dies -> Evidence of what clients get meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.serving.load import Answers
from pytest_prodml.checks.counts import at_most, check_share, exact, share
from pytest_prodml.checks.pipeline.serving.judged import (
    REFUSALS,
    check_open_loop,
    in_time,
    saturated,
    told_of,
)
from pytest_prodml.checks.timings import METHOD, empirical
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level
from pytest_prodml.statistics.quantiles import effective_sample_size, quantile_bounds

_WINDOW_SECONDS = 0.5
#: Where more than this is answered in time, it was no overload.
_MOST_ANSWERED = 0.95
#: Refusals come in bursts, so they are worth few independent ones: too few for a 99th percentile.
_REFUSED = 0.95
#: Of what is offered beyond this share of the capacity, something has to be refused.
_IS_OVERLOAD = 1.05


def sheds_load(
    capacity: float,
    budget_seconds: float,
    answers: Answers,
    *,
    gate_id: str,
    goodput_at_least: float = 0.8,
    timeouts_at_most: float = 0.01,
    refused_within_seconds: float | None = None,
    noise: Sequence[str] = (),
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a server which is asked for more than it can do still does what it can, and says no quickly.

    Measures ``goodput_share``: requests answered with success within the budget, by window of half a second,
    relative to the capacity; ``timed_out_share`` with bounds for other requests; ``refusal_latency_p95`` in
    seconds; and exactly, ``failures_without_refusal``: requests that ended in anything but success, 429, 503
    or a time-out.

    Parameters
    ----------
    capacity : float
        Requests a second that the server can answer.
    budget_seconds : float
        In time for the client.
    answers : Answers
        Of an open loop above the capacity.
    goodput_at_least : float
        The median window, relative to the capacity.
    timeouts_at_most : float
        The share of requests that nobody answers in time.
    refused_within_seconds : float, optional
        For 95 of 100 refusals; default a fifth of the budget.
    noise : sequence of str
        What else this machine did; it withholds a failure.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If requests waited for answers, or a limit makes no sense.

    Notes
    -----
    A run in which nearly all was answered was no overload, and one whose generator was saturated did not
    offer what was planned: both are inconclusive. Bounds are order statistics of windows and of refusals,
    which assume no distribution; windows of half a second are taken as independent.
    """
    del seed
    level = checked_level(confidence_level)
    check_open_loop(answers, budget_seconds)
    check_share(timeouts_at_most, "timeouts_at_most")
    if not 0 < capacity < math.inf or not 0 < goodput_at_least <= 1:
        raise InputError(f"expected a capacity and a share of it, got {capacity!r} and {goodput_at_least!r}")
    quick = budget_seconds / 5 if refused_within_seconds is None else refused_within_seconds
    offered = answers.phases[int(answers.phase[0])].rate
    refused = np.isin(answers.status, REFUSALS)
    lost = answers.status == 0
    good = in_time(answers, budget_seconds)
    other = ~answers.is_answered & ~refused & ~lost
    causes = [cause for cause in (saturated(answers, budget_seconds),) if cause]
    if offered < _IS_OVERLOAD * capacity:
        causes.append(f"{offered:,.0f} requests a second are no overload for a capacity of {capacity:,.0f}")
    if float(np.mean(good)) > _MOST_ANSWERED:
        causes.append(
            f"{np.mean(good):.0%} were answered in time: the server can do more than {capacity:,.0f}"
        )
    windows = _rates(answers, good)
    lower, upper = quantile_bounds(windows / capacity, 0.5, level)
    n = len(answers)
    timed_out = share("timed_out_share", int(lost.sum()), n, confidence_level=level, limit=timeouts_at_most)
    measurements = [
        Measurement(
            metric="goodput_share",
            value=empirical(windows / capacity, 0.5),
            lower=None if causes else lower,
            upper=None if causes or noise else upper,
            confidence_level=level,
            method=f"{METHOD} of the median window",
            n_samples=len(windows),
            higher_is_better=True,
            note="; ".join([*causes, *noise]) or None,
        ),
        timed_out,
        exact("failures_without_refusal", int(other.sum()), n, unit="requests"),
    ]
    criteria = [
        Criterion(metric="goodput_share", comparison=Comparison.AT_LEAST, limit=goodput_at_least),
        at_most("timed_out_share", timeouts_at_most),
        at_most("failures_without_refusal", 0),
    ]
    if refused.any():
        measurements.append(_refusals(answers.latency[refused], level, causes, noise))
        criteria.append(at_most("refusal_latency_p95", quick))
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measurements),
        criteria=tuple(criteria),
        details={
            **told_of(answers),
            "capacity": capacity,
            "offered": offered,
            "goodput": float(np.mean(windows)),
            "refused": int(refused.sum()),
            "windows": [float(value) for value in windows],
            "noise": list(noise),
        },
    )


def _rates(answers: Answers, good: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return good answers a second, by whole windows of when requests were due."""
    window = np.floor((answers.intended - answers.intended[0]) / _WINDOW_SECONDS).astype(np.int64)
    whole = max(int((answers.intended[-1] - answers.intended[0]) / _WINDOW_SECONDS), 1)
    counts = np.bincount(window, weights=good, minlength=whole)[:whole]
    rates: npt.NDArray[np.float64] = counts / _WINDOW_SECONDS
    return rates


def _refusals(
    latency: npt.NDArray[np.float64], level: float, causes: Sequence[str], noise: Sequence[str]
) -> Measurement:
    lower, upper = quantile_bounds(latency, _REFUSED, level, effective_sample_size(latency, _REFUSED))
    told: list[JsonValue] = [*causes, *noise]
    return Measurement(
        metric="refusal_latency_p95",
        value=empirical(latency, _REFUSED),
        lower=None if told else lower,
        upper=None if causes else upper,
        confidence_level=level,
        method=METHOD,
        n_samples=len(latency),
        unit="s",
        higher_is_better=False,
        note="; ".join(map(str, told)) or None,
    )
