"""How many calls to time before the first is timed: the numbers at which a run is judged."""

from __future__ import annotations

import math

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.quantiles import required_samples

MOST_LOOKS = 3
#: What share of the allowed slow calls a model may have to be shown at the first, second and third look.
_HEADROOM = {1: (0.25,), 2: (0.0, 0.4), 3: (0.0, 0.25, 0.5)}


def n_calls_for(
    p: float, confidence_level: float = 0.95, *, headroom: float = 0.25, power: float = 0.9, burst: int = 1
) -> int:
    """Return how many calls to time so that a model that keeps its budget passes 9 times in 10.

    Parameters
    ----------
    p, confidence_level : float
        The claim.
    headroom : float
        The true share of calls beyond the budget, relative to the allowed 1 - p. 0.25: a quarter of what is
        allowed; 0: none, which takes the fewest calls.
    power : float
        How often it shall pass.
    burst : int
        How many calls in a row may be slow together; see `quantile_at_most`.

    Raises
    ------
    InputError
        If a share does not lie where it can, or the budget has no headroom.
    """
    if burst < 1:
        raise InputError(f"burst must be a number of calls from 1 on, got {burst!r}")
    return burst * required_samples(p, confidence_level, headroom, power)


def planned_looks(p: float, confidence_level: float, *, looks: int, burst: int) -> tuple[int, ...]:
    """Return the numbers of calls at which a run is judged, growing.

    The first look suffices for a model without any call beyond its budget; the later ones for models that
    use up to a quarter and a half of the share that may exceed it.

    Parameters
    ----------
    p, confidence_level : float
        The claim; every look is at the level that `level_of_each_look` leaves.
    looks : int
        How many, 1 to 3.
    burst : int
        How many calls in a row may be slow together.
    """
    level = level_of_each_look(confidence_level, looks)
    return tuple(n_calls_for(p, level, headroom=share, burst=burst) for share in _HEADROOM[looks])


def level_of_each_look(confidence_level: float, looks: int) -> float:
    """Return the level of the bounds at each look, so that all of them together err no more often than one.

    Bonferroni: the error rate is shared equally.

    Raises
    ------
    InputError
        If there are no looks, or more than 3: a run that is judged again and again passes in the end.
    """
    if not isinstance(looks, int) or isinstance(looks, bool) or not 1 <= looks <= MOST_LOOKS:
        raise InputError(
            f"a run is judged 1 to {MOST_LOOKS} times, got {looks!r}",
            hint="30 looks at a model on its budget pass it in 1 of 4 runs",
        )
    return confidence_level if looks == 1 else 1 - (1 - confidence_level) / looks


def affordable(planned: int, seconds_each: float, *, spare_seconds: float, most: int) -> int:
    """Return how many calls to time: those planned, and more where they are cheap.

    Fixed before the first sample is taken, from the duration of a few calls that are thrown away.
    """
    spare = math.ceil(spare_seconds / seconds_each) if seconds_each > 0 else planned * most
    return min(max(planned, spare), planned * most)
