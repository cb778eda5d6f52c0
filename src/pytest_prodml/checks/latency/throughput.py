"""Timed calls in a row -> Evidence about the rows that a model answers in a second, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.checks.latency.conditions import Conditions
from pytest_prodml.checks.timings import Samples, checked_samples
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level

LEAST_WINDOWS = 30
_METHOD = "batch means, Student's t"
_SECONDS_OF_AN_HOUR = 3600
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rate:
    value: float
    lower: float | None
    upper: float | None
    windows: Samples
    n_calls: int
    noise: tuple[str, ...]


def throughput_at_least(
    rows_per_second: float,
    samples_seconds: npt.ArrayLike,
    *,
    batch_size: int,
    gate_id: str,
    conditions: Conditions | None = None,
    group: str | None = None,
    runtime: Mapping[str, JsonValue] | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that one caller gets at least so many rows a second answered.

    Rows by the sum of the calls' durations, the slow ones included. The calls are cut into 30 windows in a
    row, whose means vary as the machine does (batch means: Law, *Simulation Modeling and Analysis*, 5th ed.,
    section 9.5); Student's t bounds their mean. The same is done with 10 windows, and the wider bounds count:
    where they differ, slow spells last longer than a window. One caller, one call at a time: a served model
    under load is another claim.

    Parameters
    ----------
    rows_per_second : float
        What is promised.
    samples_seconds : array of float
        The duration of each call, in order, after the warm-up; at least 30.
    batch_size : int
        Rows in a call.
    conditions : Conditions, optional
        A noisy machine is slower and never faster: a pass stays a pass, a failure is inconclusive.
    group, runtime, gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If there are fewer than 30 calls, or a number makes no sense.
    """
    del seed
    if not 0 < rows_per_second < float("inf"):
        raise InputError(f"the rate must be a number of rows a second above 0, got {rows_per_second!r}")
    level = checked_level(confidence_level)
    rate = _rate(samples_seconds, batch_size, conditions, level)
    metric = "throughput"
    return Evidence(
        gate_id=gate_id,
        measurements=(_throughput(rate, level, group),),
        criteria=(
            Criterion(metric=metric, comparison=Comparison.AT_LEAST, limit=rows_per_second, group=group),
        ),
        details=_details(rate, conditions, runtime),
    )


def cost_per_million_at_most(
    limit: float,
    samples_seconds: npt.ArrayLike,
    *,
    batch_size: int,
    price_per_hour: float,
    currency: str,
    gate_id: str,
    conditions: Conditions | None = None,
    group: str | None = None,
    runtime: Mapping[str, JsonValue] | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show what a million rows cost at most on this machine, busy all the time.

    Price of an hour by rows of an hour, at the bounds of the throughput. An idle machine costs as well: at a
    load of a half, twice as much.

    Parameters
    ----------
    limit : float
        In `currency` for 1,000,000 rows.
    samples_seconds, batch_size, conditions, group, runtime
        As in `throughput_at_least`.
    price_per_hour : float
        What the machine costs, as somebody stated; nothing here can check it.
    currency : str
        "EUR", for the unit.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If there are fewer than 30 calls, or a number makes no sense.
    """
    del seed
    for name, value in (("the limit", limit), ("price_per_hour", price_per_hour)):
        if not 0 < value < float("inf"):
            raise InputError(f"{name} must be a number above 0, got {value!r}")
    level = checked_level(confidence_level)
    rate = _rate(samples_seconds, batch_size, conditions, level)

    def cost(rows_per_second: float | None) -> float | None:
        if rows_per_second is None:
            return None
        return price_per_hour / _SECONDS_OF_AN_HOUR * _MILLION / rows_per_second

    metric = "cost_per_million"
    return Evidence(
        gate_id=gate_id,
        measurements=(
            Measurement(
                metric=metric,
                value=cost(rate.value),
                lower=cost(rate.upper),
                upper=cost(rate.lower),
                confidence_level=level,
                method=f"price of an hour by throughput ({_METHOD})",
                n_samples=rate.n_calls,
                unit=f"{currency}/1,000,000 rows",
                higher_is_better=False,
                group=group,
                note=_note(rate),
            ),
            _throughput(rate, level, group),
        ),
        criteria=(Criterion(metric=metric, comparison=Comparison.AT_MOST, limit=limit, group=group),),
        details={
            "price_per_hour": price_per_hour,
            "currency": currency,
            **_details(rate, conditions, runtime),
        },
    )


def _rate(
    samples_seconds: npt.ArrayLike, batch_size: int, conditions: Conditions | None, level: float
) -> _Rate:
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size!r}")
    samples = checked_samples(samples_seconds)
    if len(samples) < LEAST_WINDOWS:
        raise InputError(f"expected at least {LEAST_WINDOWS} calls, got {len(samples)}")
    windows = _window_means(samples, LEAST_WINDOWS)
    value, bounds = (
        float(samples.mean()),
        [_bounds(windows, level), _bounds(_window_means(samples, 10), level)],
    )
    # Seconds a call at most are rows a second at least.
    slowest, fastest = max(high for _, high in bounds), min(low for low, _ in bounds)
    noise: tuple[str, ...] = ()
    if conditions is not None:
        median = float(np.median(samples))
        slow = conditions.slow_clock(median)
        # For the rate of many calls every call counts: a pause matters by the time it takes.
        noise = conditions.noise(median, float("inf"), 1.0)
        if slow is not None:
            # A clock that costs too much makes the rate too low, never too high.
            noise = (*noise, slow)
    return _Rate(
        value=batch_size / value,
        lower=batch_size / max(slowest, value),
        upper=None if noise or fastest <= 0 else batch_size / min(fastest, value),
        windows=batch_size / windows,
        n_calls=len(samples),
        noise=noise,
    )


def _window_means(samples: Samples, count: int) -> Samples:
    return np.array([part.mean() for part in np.array_split(samples, count)])


def _bounds(means: Samples, level: float) -> tuple[float, float]:
    stdtrit = require("scipy.special", extra="latency").stdtrit
    count = len(means)
    half = float(stdtrit(count - 1, level)) * float(means.std(ddof=1)) / count**0.5
    return float(means.mean()) - half, float(means.mean()) + half


def _throughput(rate: _Rate, level: float, group: str | None) -> Measurement:
    return Measurement(
        metric="throughput",
        value=rate.value,
        lower=rate.lower,
        upper=rate.upper,
        confidence_level=level,
        method=f"{_METHOD}, {len(rate.windows)} windows",
        n_samples=rate.n_calls,
        unit="rows/s",
        higher_is_better=True,
        group=group,
        note=_note(rate),
    )


def _note(rate: _Rate) -> str | None:
    if not rate.noise:
        return None
    return f"{'; '.join(rate.noise)}; other work can slow calls down: it can not fail here"


def _details(
    rate: _Rate, conditions: Conditions | None, runtime: Mapping[str, JsonValue] | None
) -> dict[str, JsonValue]:
    noise: Sequence[str] = rate.noise
    return {
        "windows_rows_per_second": [float(value) for value in rate.windows],
        "noise": list(noise),
        **({"conditions": conditions.details()} if conditions is not None else {}),
        **({"runtime": dict(runtime)} if runtime else {}),
    }
