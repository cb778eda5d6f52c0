"""Series of measurements and a severity -> the same series with a jump, a gap, noise or less resolution.

Series are an array of shape (n, steps) or (n, steps, channels), or a list of arrays of shape (steps,) or
(steps, channels) of any length. Shape and type stay; missing steps stay missing, whole numbers whole. The
unit of most severities is a series' own robust spread (interquartile range / 1.349), for each channel: a
series that never changes stays as it is. Nothing that is drawn depends on the severity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.behavior.batches import Batch, kind
from pytest_prodml.checks.behavior.corruptions.kinds import (
    SERIES,
    Corruption,
    check_choice,
    robust_spread,
    whole_limits,
)
from pytest_prodml.errors import InputError

Numbers: TypeAlias = npt.NDArray[np.float64]
Rng: TypeAlias = np.random.Generator

_FILLS = ("auto", "nan", "last", "linear")


def noise(batch: Batch, severity: float, rng: Rng) -> Batch:
    """Add normal noise to every step.

    Parameters
    ----------
    batch : array or list
        Series.
    severity : float
        Standard deviation of the noise, in robust spreads of the series.
    rng : numpy Generator
    """

    def changed(steps: Numbers) -> Numbers:
        return steps + severity * _spreads(steps) * rng.standard_normal(steps.shape)

    return _each(batch, changed)


def level_shift(batch: Batch, severity: float, rng: Rng, *, whole: bool = False) -> Batch:
    """Lift or lower each series from a step on that is drawn; all of it with `whole`.

    Parameters
    ----------
    severity : float
        By how much, in robust spreads of the series.
    whole : bool
        Move the whole series, as a sensor that was mounted anew.
    """

    def changed(steps: Numbers) -> Numbers:
        start, way = rng.random(2)
        first = 0 if whole else int(1 + start * max(len(steps) - 1, 0))
        made = steps.copy()
        made[first:] += (1 if way < 0.5 else -1) * severity * _spreads(steps)
        return made

    return _each(batch, changed)


def gap(batch: Batch, severity: float, rng: Rng, *, fill: str = "auto") -> Batch:
    """Lose consecutive steps, the same number in every series, from a step on that is drawn.

    Parameters
    ----------
    severity : float
        Share of the steps, at least one of them.
    fill : {"auto", "nan", "last", "linear"}
        What stands in the gap: nothing (NaN), the last value before it, or a line across it. "auto" is
        nothing, and the last value for series of whole numbers, which can not be missing.
    """
    check_choice(fill, _FILLS, "fill", "gap")

    def changed(steps: Numbers) -> Numbers:
        n = len(steps)
        length = min(max(round(severity * n), 1), n)
        first = int(rng.random() * (n - length + 1))
        made = steps.copy()
        made[first : first + length] = np.nan
        return made

    def filled(made: Numbers, steps: Numbers, is_whole: bool) -> Numbers:
        way = ("last" if is_whole else "nan") if fill == "auto" else fill
        lost = np.isnan(made) & ~np.isnan(steps)
        if way == "nan":
            if is_whole:
                raise InputError(
                    "series of whole numbers can not hold NaN", where="gap", hint='fill="last" or "linear"'
                )
            return made
        bridged = _bridged(made, lost, is_linear=way == "linear")
        # A gap over all steps leaves nothing to fill it with, and whole numbers can not be missing.
        return np.where(np.isnan(bridged) & lost, steps, bridged) if is_whole else bridged

    return _each(batch, changed, filled)


def resampling(batch: Batch, severity: float, rng: Rng) -> Batch:
    """Average each `severity` consecutive steps, and draw lines between the means over all steps.

    Parameters
    ----------
    severity : float
        How many steps become one, a whole number from 2 on.
    """
    del rng

    def changed(steps: Numbers) -> Numbers:
        n, size = len(steps), int(severity)
        starts = np.arange(0, n, size)
        made = np.empty_like(steps)
        centers = (starts + np.minimum(starts + size, n) - 1) / 2
        is_finite = np.isfinite(steps)
        counts = np.add.reduceat(is_finite, starts, axis=0, dtype=np.intp)
        sums = np.add.reduceat(np.where(is_finite, steps, 0.0), starts, axis=0)
        for channel in range(steps.shape[1]):
            known = counts[:, channel] > 0
            if known.any():
                means = sums[known, channel] / counts[known, channel]
                made[:, channel] = np.interp(np.arange(n), centers[known], means)
            else:
                made[:, channel] = np.nan
        # What was missing or infinite stays so, and is part of no mean.
        return np.where(is_finite, made, steps)

    return _each(batch, changed)


# --- steps ------------------------------------------------------------------------------------------------


def _spreads(steps: Numbers) -> Numbers:
    return np.array([robust_spread(steps[:, channel]) for channel in range(steps.shape[1])])


def _bridged(made: Numbers, lost: npt.NDArray[np.bool_], *, is_linear: bool) -> Numbers:
    """Fill lost steps from those that are known; before the first one, with that."""
    places = np.arange(len(made))
    filled = made.copy()
    for channel in range(made.shape[1]):
        gone = lost[:, channel]
        known = places[~gone & ~np.isnan(made[:, channel])]
        if not gone.any() or not known.size:
            continue
        values = made[known, channel]
        if is_linear:
            filled[gone, channel] = np.interp(places[gone], known, values)
        else:
            filled[gone, channel] = values[np.maximum(np.searchsorted(known, places[gone]) - 1, 0)]
    return filled


def _each(
    batch: Batch,
    change: Callable[[Numbers], Numbers],
    finish: Callable[[Numbers, Numbers, bool], Numbers] | None = None,
) -> Batch:
    """Change every series as floats of shape (steps, channels), and return them as they came."""
    if isinstance(batch, np.ndarray) and batch.ndim not in {2, 3}:
        raise InputError(f"series are (n, steps) or (n, steps, channels), got {kind(batch)}", where="series")
    made = [_changed(np.asarray(one), change, finish) for one in batch]
    if isinstance(batch, np.ndarray):
        return np.stack(made) if made else batch.copy()
    return made


def _changed(
    one: npt.NDArray[Any],
    change: Callable[[Numbers], Numbers],
    finish: Callable[[Numbers, Numbers, bool], Numbers] | None,
) -> npt.NDArray[Any]:
    if one.dtype.kind not in "fiu" or one.ndim not in {1, 2} or one.size == 0:
        raise InputError(
            f"a series is numbers of shape (steps,) or (steps, channels), got {one.dtype} {one.shape}",
            where="series",
        )
    steps = one.astype(np.float64).reshape(len(one), -1)
    is_whole = one.dtype.kind in "iu"
    made = change(steps)
    if finish is not None:
        made = finish(made, steps, is_whole)
    if is_whole:
        low, high = whole_limits(one.dtype)
        # No step that stays is written anew: beyond 2**53 it would not survive the way through floats.
        new = np.clip(np.rint(made), low, high)
        return np.where((new == steps).reshape(one.shape), one, new.astype(one.dtype).reshape(one.shape))
    limits = np.finfo(one.dtype)
    inside = np.where(np.isfinite(made), np.clip(made, float(limits.min), float(limits.max)), made)
    return inside.astype(one.dtype).reshape(one.shape)


_ANY = float("inf")

CORRUPTIONS = (
    Corruption(
        name="noise",
        kind=SERIES,
        apply=noise,
        unit="standard deviation of the noise, in robust spreads of a series",
        high=_ANY,
    ),
    Corruption(
        name="level_shift",
        kind=SERIES,
        apply=level_shift,
        unit="height of the jump, in robust spreads of a series",
        high=_ANY,
        options={"whole": "move the whole series"},
    ),
    Corruption(
        name="gap",
        kind=SERIES,
        apply=gap,
        unit="share of the steps that are lost in a row",
        options={"fill": "auto, nan, last or linear"},
    ),
    Corruption(
        name="resampling",
        kind=SERIES,
        apply=resampling,
        unit="steps that become one",
        low=2,
        high=1e6,
        identity=1.0,
        is_whole=True,
    ),
)
