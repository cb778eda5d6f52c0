"""A long run at a steady rate -> Evidence that memory, open files and latency do not grow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.serving.load import Answers
from pytest_prodml.adapters.serving.processes import Holding
from pytest_prodml.checks.counts import at_most, check_share, exact, share
from pytest_prodml.checks.pipeline.serving.judged import (
    check_open_loop,
    in_time,
    latencies,
    saturated,
    told_of,
)
from pytest_prodml.checks.timings import METHOD, empirical
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level
from pytest_prodml.statistics.quantiles import effective_sample_size, quantile_bounds

_BLOCKS = 10
_LEAST_READINGS = 60
_MOST_POINTS = 200
_HOUR = 3600.0


def soak(
    memory_per_hour: float,
    budget_seconds: float,
    answers: Answers,
    holdings: Sequence[Holding],
    *,
    gate_id: str,
    latency_drift: float = 0.5,
    descriptors: int = 10,
    failures_at_most: float = 0.01,
    noise: Sequence[str] = (),
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a server is the same at the end of a long run as after its warm-up.

    The run is cut into ten blocks. Measures ``memory_growth``, in bytes an hour: the median over the nine
    steps from a block to the next of the growth of the block's median; ``descriptor_growth``: open files of
    the last block above those of the first; ``latency_drift``: the median latency of the last third of the
    run relative to that of the first, less one; ``failed_share`` with bounds.

    Parameters
    ----------
    memory_per_hour : float
        Bytes.
    budget_seconds : float
        A request is failed that got no success within it.
    answers : Answers
        Of an open loop at one rate, after the warm-up.
    holdings : sequence of Holding
        What the server held, read at least 60 times over the run.
    latency_drift : float
        The largest growth of the median latency over the run, as a share: 0.5 is half as much again.
    descriptors : int
        How many more open files there may be at the end.
    failures_at_most : float
        The share of requests that may fail.
    noise : sequence of str
        What else this machine did; it withholds a failure by latency.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If the readings are too few or do not cover the run, or a limit makes no sense.

    Notes
    -----
    Steps of a steady leak are all positive, and those of a server that only breathes have no sign: bounds are
    order statistics of the median step (a sign test over nine). The medians of two thirds are bounded by
    order statistics, calls that slow each other down counted for fewer. A leak that comes seldom, in one big
    step, is seen by the growth over the whole run in `details` and not by the median.
    """
    del seed
    level = checked_level(confidence_level)
    check_open_loop(answers, budget_seconds)
    check_share(failures_at_most, "failures_at_most")
    if not (memory_per_hour > 0 and latency_drift > 0 and descriptors >= 0):
        raise InputError("limits of a soak are numbers above 0", where="soak")
    length = float(answers.intended[-1] - answers.intended[0])
    inside = [each for each in holdings if answers.intended[0] <= each.seconds <= answers.intended[-1]]
    if len(inside) < _LEAST_READINGS or inside[-1].seconds - inside[0].seconds < 0.9 * length:
        raise InputError(
            f"{len(inside)} readings of the server's memory do not cover the run",
            where="soak",
            hint=f"at least {_LEAST_READINGS} are needed, from its beginning to its end",
        )
    moments = np.array([each.seconds for each in inside])
    memory = _blocks(moments, np.array([each.memory_bytes for each in inside], dtype=np.float64))
    files = _blocks(moments, np.array([each.descriptors for each in inside], dtype=np.float64))
    waits = _blocks(answers.intended, latencies(answers))
    block_hours = length / _BLOCKS / _HOUR
    cause = saturated(answers, budget_seconds)
    failed = int(np.count_nonzero(~in_time(answers, budget_seconds)))
    series: dict[str, JsonValue] = {
        "seconds": [float(moments[place]) for place in _kept(len(inside))],
        "memory_bytes": [inside[place].memory_bytes for place in _kept(len(inside))],
        "descriptors": [inside[place].descriptors for place in _kept(len(inside))],
    }
    return Evidence(
        gate_id=gate_id,
        measurements=(
            _step("memory_growth", np.diff(memory) / block_hours, level, unit="B/h"),
            _drift(latencies(answers), level, cause, noise),
            exact(
                "descriptor_growth", float(files[-1] - files[0]), len(inside), method="last block less first"
            ),
            share("failed_share", failed, len(answers), confidence_level=level, limit=failures_at_most),
        ),
        criteria=(
            at_most("memory_growth", memory_per_hour),
            at_most("latency_drift", latency_drift),
            at_most("descriptor_growth", descriptors),
            at_most("failed_share", failures_at_most),
        ),
        details={
            **told_of(answers),
            "seconds": length,
            "memory_of_each_block": [float(value) for value in memory],
            "latency_of_each_block": [float(value) for value in waits],
            "memory_growth_over_the_run": float(memory[-1] - memory[0]),
            "series": series,
            "noise": list(noise),
        },
    )


def _blocks(moments: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the median of each tenth of the run."""
    edges = np.linspace(moments[0], moments[-1], _BLOCKS + 1)
    place = np.clip(np.searchsorted(edges, moments, side="right") - 1, 0, _BLOCKS - 1)
    found = [values[place == block] for block in range(_BLOCKS)]
    if any(len(part) == 0 for part in found):
        raise InputError("a tenth of the run was not looked at", where="soak")
    return np.array([float(np.median(part)) for part in found])


def _step(
    metric: str,
    steps: npt.NDArray[np.float64],
    level: float,
    *,
    unit: str,
) -> Measurement:
    lower, upper = quantile_bounds(steps, 0.5, level)
    return Measurement(
        metric=metric,
        value=empirical(steps, 0.5),
        lower=lower,
        upper=upper,
        confidence_level=level,
        method=f"{METHOD} of the median step of {_BLOCKS} blocks",
        n_samples=len(steps),
        unit=unit,
        higher_is_better=False,
    )


def _drift(
    samples: npt.NDArray[np.float64], level: float, cause: str | None, noise: Sequence[str]
) -> Measurement:
    """Compare the medians of the last and the first third; each bound errs with half of what is left."""
    third = len(samples) // 3
    if third == 0:
        raise InputError("too few requests for a drift", where="soak")
    parts = (samples[:third], samples[-third:])
    half = 1 - (1 - level) / 2
    (low, high), (last_low, last_high) = (
        quantile_bounds(part, 0.5, half, effective_sample_size(part, 0.5)) for part in parts
    )
    return Measurement(
        metric="latency_drift",
        value=empirical(parts[1], 0.5) / empirical(parts[0], 0.5) - 1,
        lower=None if cause or noise or last_low is None or high is None else last_low / high - 1,
        upper=None if cause or last_high is None or low is None else last_high / low - 1,
        confidence_level=level,
        method=f"{METHOD} of two medians, Bonferroni",
        n_samples=2 * third,
        higher_is_better=False,
        note="; ".join([*([cause] if cause else []), *noise]) or None,
    )


def _kept(n: int) -> list[int]:
    return [math.floor(place) for place in np.linspace(0, n - 1, min(n, _MOST_POINTS))]
