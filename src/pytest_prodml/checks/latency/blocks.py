"""Two things timed in turn, in blocks -> Evidence about their ratio.

A block of one, two of the other, and one of the first again (ABBA): a machine that slows down steadily slows
both down alike. Each such quadruple gives one ratio; the median of the ratios has bounds from order
statistics, which assume no distribution. Ratios of medians carry over to another machine, ratios of tails do
not: a tail belongs to its machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.latency.references import VERSION, Reference
from pytest_prodml.checks.timings import METHOD, checked_samples, quantile_of
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level
from pytest_prodml.statistics.quantiles import effective_sample_size, quantile_bounds

LEAST_QUADRUPLES = 20
_MOST_POINTS = 200


def ratio_to_reference_at_most(
    limit: float,
    model_seconds: npt.ArrayLike,
    reference_seconds: npt.ArrayLike,
    reference: Reference,
    *,
    gate_id: str,
    group: str | None = None,
    runtime: Mapping[str, JsonValue] | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a call of the model takes at most `limit` times as long as a reference workload.

    Parameters
    ----------
    limit : float
        The ratio of the medians.
    model_seconds, reference_seconds : (n,) array of float
        For each of n >= 20 quadruples the median duration of a call of the model, and of the workload in the
        blocks between, in seconds.
    reference : Reference
        The workload; its name, version and digest go into the evidence.
    group : str, optional
        What was called.
    runtime : mapping, optional
        What `Predictor.runtime` says of the model.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If there are fewer than 20 quadruples, or something is no duration.
    """
    del seed
    title = f"{group}, {reference.title}" if group is not None else reference.title
    measured, details = _ratio(
        limit, model_seconds, reference_seconds, "latency_ratio_to_reference", title, confidence_level
    )
    level = checked_level(confidence_level)
    return Evidence(
        gate_id=gate_id,
        measurements=(
            measured,
            reference_time(checked_samples(reference_seconds), reference.name, level),
        ),
        criteria=(limited(measured.metric, limit, group=title),),
        details={
            "reference": {"name": reference.name, "version": VERSION, "digest": reference.digest},
            **details,
            **({"runtime": dict(runtime)} if runtime else {}),
        },
    )


def reference_time(samples: npt.NDArray[np.float64], name: str, level: float) -> Measurement:
    """Measure how long a reference workload takes here: what tells classes of machines apart."""
    return quantile_of(samples, 0.5, "reference_seconds", level=level, group=name)


def not_slower_than(
    margin: float,
    candidate_seconds: npt.ArrayLike,
    baseline_seconds: npt.ArrayLike,
    *,
    gate_id: str,
    clock: str = "processor time of the thread",
    noise: Sequence[str] = (),
    group: str | None = None,
    details: Mapping[str, JsonValue] | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a model is not slower than its predecessor, by more than a margin.

    Parameters
    ----------
    margin : float
        0.05: at most 5 % slower.
    candidate_seconds, baseline_seconds : (n,) array of float
        For each of n >= 20 quadruples the mean time of a call of either model, in seconds.
    clock : str
        What was measured. The thread's own processor time does not see other work, and repeats where the wall
        clock does not; it can be had for a model that runs in the calling thread.
    noise : sequence of str
        Where the wall clock was used: why the machine was noisy. A pass then stays a pass, and a failure is
        inconclusive.
    group, gate_id, confidence_level, seed
        Common to all checks; nothing here is random.
    details : mapping, optional
        More for the record.

    Raises
    ------
    InputError
        If the margin is negative, there are fewer than 20 quadruples, or something is no duration.
    """
    del seed
    if not 0 <= margin < float("inf"):
        raise InputError(f"the margin must be a share from 0 on, got {margin!r}", hint="0.05 is 5 % slower")
    metric = "latency_ratio_to_baseline"
    measured, series = _ratio(
        1 + margin, candidate_seconds, baseline_seconds, metric, group, confidence_level, noise=noise
    )
    return Evidence(
        gate_id=gate_id,
        measurements=(measured,),
        criteria=(limited(metric, 1 + margin, group=group),),
        details={"clock": clock, "margin": margin, **series, **(details or {})},
    )


def _ratio(
    limit: float,
    numerators: npt.ArrayLike,
    denominators: npt.ArrayLike,
    metric: str,
    group: str | None,
    confidence_level: float,
    *,
    noise: Sequence[str] = (),
) -> tuple[Measurement, dict[str, JsonValue]]:
    if not 0 < limit < float("inf"):
        raise InputError(f"the limit must be a ratio above 0, got {limit!r}")
    above, below = checked_samples(numerators, "block time"), checked_samples(denominators, "block time")
    if len(above) != len(below) or len(above) < LEAST_QUADRUPLES:
        raise InputError(
            f"expected at least {LEAST_QUADRUPLES} pairs of block times, got {len(above)} and {len(below)}"
        )
    ratios = above / below
    level = checked_level(confidence_level)
    # A block next to the other is slowed down by the same thing, so neighbours resemble each other.
    effective = effective_sample_size(ratios, 0.5)
    lower, upper = quantile_bounds(ratios, 0.5, level, effective)
    measured = Measurement(
        metric=metric,
        value=float(np.quantile(ratios, 0.5, method="inverted_cdf")),
        lower=None if noise else lower,
        upper=upper,
        confidence_level=level,
        method=f"{METHOD} of the median over blocks (ABBA)",
        n_samples=len(ratios),
        higher_is_better=False,
        group=group,
        note=f"{'; '.join(noise)}: it can not fail here" if noise else None,
    )
    kept = np.unique(np.linspace(0, len(ratios) - 1, min(_MOST_POINTS, len(ratios))).astype(np.int64))
    return measured, {
        "ratios": [float(ratios[place]) for place in kept],
        "effective_blocks": round(float(effective), 1),
        "median_seconds": float(np.median(above)),
        "median_seconds_of_the_other": float(np.median(below)),
    }
