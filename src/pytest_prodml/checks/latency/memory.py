"""Memory of fresh processes -> Evidence about its peak, and about what calls leave behind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.latency.spawned import FLAGS, Start
from pytest_prodml.checks.timings import METHOD, empirical
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level
from pytest_prodml.statistics.quantiles import quantile_bounds, required_samples

LEAST_POINTS = 30
_MOST_POINTS = 200
#: Growth by the limit must come to this over a run. What is in use is told to the byte, and grows in lumps (a
#: list makes room in advance).
RESOLUTION_BYTES = 16_384
#: Resident memory alone does not show what goes where memory was free before: an arena of Python's allocator.
COARSE_BYTES = 1_048_576
_PER_CALLS = 1_000
_HOPELESS = 0.9

Points = Sequence[tuple[int, int]]


def doubts(starts: Sequence[Start]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return why the memory of processes may be too low, and why it may be too high: sentences."""
    swapped = max(start.swapped_bytes for start in starts)
    low = (f"the system swapped out up to {swapped:,} bytes of a process",) if swapped else ()
    inherited = any(not start.peak_is_own for start in starts)
    high = ("this system tells the peak of a process together with its parent's",) if inherited else ()
    return low, high


def peak_memory_at_most(
    p: float,
    budget_bytes: float,
    peaks: npt.ArrayLike,
    *,
    gate_id: str,
    too_low: Sequence[str] = (),
    too_high: Sequence[str] = (),
    group: str | None = None,
    details: Mapping[str, JsonValue] | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the p-quantile of the largest resident set of a process keeps a budget.

    Parameters
    ----------
    p : float
        The quantile, 0.9: nine of ten processes.
    budget_bytes : float
        What it may be.
    peaks : (n,) array of int
        The largest resident set of each of n processes, in bytes: the model loaded, predictions made.
    too_low : sequence of str
        Why the peaks may be too low (memory that was swapped out is not resident): the upper bound is
        withheld, so it can not pass.
    too_high : sequence of str
        Why they may be too high: the lower bound is withheld, so it can not fail.
    details : mapping, optional
        More for the record.
    group, gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If there is no peak, one is no number above 0, or p or the budget make no sense.

    Notes
    -----
    Bounds are order statistics over independent processes. Pages of files that are mapped count as far as
    they were touched, also those that processes share; memory of an accelerator does not count.
    """
    del seed
    if not 0 < p < 1:
        raise InputError(f"p must lie between 0 and 1, got {p!r}", hint="0.9: nine of ten processes")
    _check_limit(budget_bytes)
    values = np.asarray(peaks, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not (np.isfinite(values) & (values > 0)).all():
        raise InputError("expected the peak of each process, in bytes above 0")
    level = checked_level(confidence_level)
    lower, upper = quantile_bounds(values, p, level)
    metric = f"peak_memory_p{100 * p:g}"
    share = float(np.mean(values > budget_bytes)) / (1 - p)
    return Evidence(
        gate_id=gate_id,
        measurements=(
            Measurement(
                metric=metric,
                value=empirical(values, p),
                lower=None if too_high else lower,
                upper=None if too_low else upper,
                confidence_level=level,
                method=METHOD,
                n_samples=len(values),
                unit="B",
                higher_is_better=False,
                group=group,
                n_required=None if share >= _HOPELESS else required_samples(p, level, share),
                note="; ".join([*too_low, *too_high]) or None,
            ),
        ),
        criteria=(limited(metric, budget_bytes, group=group),),
        details={
            "processes": len(values),
            "smallest_bytes": float(np.min(values)),
            "largest_bytes": float(np.max(values)),
            "interpreter_flags": list(FLAGS),
            **(details or {}),
        },
    )


def no_memory_growth(
    at_most_bytes: float,
    resident: Sequence[Points],
    in_use: Sequence[Points] = (),
    *,
    gate_id: str,
    too_low: Sequence[str] = (),
    group: str | None = None,
    details: Mapping[str, JsonValue] | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that calls leave at most so many bytes behind, per 1,000 calls.

    Parameters
    ----------
    at_most_bytes : float
        The largest growth in 1,000 calls, in bytes.
    resident : sequence of sequence of (int, int)
        For each process at least 30 points after the warm-up, in order: calls made, resident bytes.
    in_use : sequence of sequence of (int, int)
        Likewise the bytes that `malloc` has given out, where that is told; each process as in `resident`.
    too_low : sequence of str
        Why resident memory may be too low: the upper bound is withheld, so it can not pass.
    details : mapping, optional
        More for the record.
    group, gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If a process has fewer than 30 points, its calls do not grow, or there are so few that growth by the
        limit comes to less than 16 KiB (1 MiB where only resident memory is told, which does not show what
        goes where memory was free before).

    Notes
    -----
    The growth of a process is the median of the slopes of all pairs of its points (Theil 1950; Sen 1968),
    which single steps do not move: the larger one of the memory in use and of the resident memory. Its points
    are no sample: each holds all that the ones before left behind, so they are correlated, and an interval
    from their scatter would be far too narrow. Processes are independent, so the bounds are order statistics
    of the median of their growths (a sign test). At 95 % five processes prove it if all are within the limit;
    with eight, one may be beyond it.
    """
    del seed
    _check_limit(at_most_bytes)
    level = checked_level(confidence_level)
    if len(resident) == 0 or len(in_use) not in {0, len(resident)}:
        raise InputError(f"expected the memory of the same processes, got {len(resident)} and {len(in_use)}")
    known = [(resident, False)] if not in_use else [(in_use, True), (resident, True)]
    found = [
        [theil_sen(_checked_points(points, at_most_bytes, is_exact=is_exact)) for points in series]
        for series, is_exact in known
    ]
    slopes = np.max(found, axis=0)
    lower, upper = quantile_bounds(slopes, 0.5, level)
    metric, worst, told = "memory_growth", int(np.argmax(slopes)), in_use or resident
    return Evidence(
        gate_id=gate_id,
        measurements=(
            Measurement(
                metric=metric,
                value=empirical(slopes, 0.5),
                lower=lower,
                upper=None if too_low else upper,
                confidence_level=level,
                method=f"{METHOD} of the median over processes, Theil-Sen slope of each",
                n_samples=len(slopes),
                unit="B/1,000 calls",
                higher_is_better=False,
                group=group,
                n_required=required_samples(0.5, level, 0.0),
                note="; ".join(too_low) or None,
            ),
        ),
        criteria=(limited(metric, at_most_bytes, group=group),),
        details={
            "growth_of_each_process": [float(slope) for slope in slopes],
            "series_of_the_process_that_grew_most": _kept(resident[worst], in_use[worst] if in_use else ()),
            "instrument": "memory in use (mallinfo2) and resident memory" if in_use else "resident memory",
            "points_of_each_process": min(len(points) for points in told),
            "calls_of_each_process": min(points[-1][0] - points[0][0] for points in told),
            "interpreter_flags": list(FLAGS),
            **(details or {}),
        },
    )


def check_span(limit: float, calls: float, *, is_exact: bool = True) -> None:
    """Refuse so few calls that growth by the limit could not be seen.

    Raises
    ------
    InputError
        If growth by the limit over that many calls is less than 16 KiB, or 1 MiB where memory in use is not
        told to the byte.
    """
    _check_limit(limit)
    resolution = RESOLUTION_BYTES if is_exact else COARSE_BYTES
    if limit * calls / _PER_CALLS < resolution:
        needed = math.ceil(resolution * _PER_CALLS / limit)
        raise InputError(
            f"{calls:,.0f} calls can not show a growth of {limit:,.0f} bytes in 1,000 calls",
            hint=f"it takes {needed:,} calls, or a larger limit: less than {resolution:,} bytes in all "
            f"{'are no trend' if is_exact else 'may go where memory was free before'}",
        )


def theil_sen(points: Points) -> float:
    """Return the median slope of all pairs of points, in bytes per 1,000 calls."""
    calls, sizes = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    first, second = np.triu_indices(len(calls), k=1)
    slopes = (sizes[second] - sizes[first]) / (calls[second] - calls[first])
    return float(np.median(slopes)) * _PER_CALLS


def _check_limit(limit: float) -> None:
    if not 0 < limit < math.inf:
        raise InputError(f"the limit must be a number of bytes above 0, got {limit!r}")


def _checked_points(points: Points, limit: float, *, is_exact: bool) -> Points:
    if len(points) < LEAST_POINTS:
        raise InputError(f"expected at least {LEAST_POINTS} points of a process, got {len(points)}")
    calls = np.array([made for made, _ in points])
    if (np.diff(calls) <= 0).any() or min(size for _, size in points) <= 0:
        raise InputError("the points of a process must have growing calls, and bytes above 0")
    check_span(limit, float(calls[-1] - calls[0]), is_exact=is_exact)
    return points


def _kept(resident: Points, in_use: Points) -> dict[str, JsonValue]:
    """Return at most 200 points for a chart."""
    places = np.unique(np.linspace(0, len(resident) - 1, min(_MOST_POINTS, len(resident))).astype(np.int64))
    kept: dict[str, JsonValue] = {
        "calls": [int(resident[place][0]) for place in places],
        "bytes": [int(resident[place][1]) for place in places],
    }
    if in_use:
        kept["bytes_in_use"] = [int(in_use[place][1]) for place in places]
    return kept
