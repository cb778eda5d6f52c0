"""Requests through a fault and on -> Evidence that a server is soon as before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.serving.load import Answers
from pytest_prodml.checks.counts import at_most, exact
from pytest_prodml.checks.pipeline.serving.judged import check_open_loop, in_time, saturated, told_of
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, Measurement
from pytest_prodml.statistics.estimate import checked_level

_WINDOW_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """One run at a rate that the server sustains, and a fault in it.

    `began` and `ended` are when the fault did, in seconds from the start of the run: the same moment for a
    process that was killed.
    """

    answers: Answers
    began: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recovery:
    """How one run went on after its fault; `is_over` is False where its last second was bad."""

    seconds: float
    is_over: bool
    was_good_before: bool
    failed_after: int
    failed_by_second: tuple[int, ...]


def recovers_within(
    seconds: float,
    p: float,
    budget_seconds: float,
    trials: Sequence[Trial],
    *,
    gate_id: str,
    fault: str,
    noise: Sequence[str] = (),
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a server is as before, so many seconds after a fault has ended.

    Measures ``recovery_seconds``, the longest over these trials: from the end of the fault to the moment from
    which every second is good. A second is good if no more than 1 - p of the requests due in it got no
    success within the budget (one of them may, where they are few). Measures ``failed_during`` exactly: the
    requests due from the beginning of the fault to the recovery that got none.

    Parameters
    ----------
    seconds : float
        The limit.
    p, budget_seconds : float
        What a good second keeps.
    trials : sequence of Trial
        Each goes on for at least the limit and one second more after its fault.
    fault : str
        What it was, in words.
    noise : sequence of str
        What else this machine did; it withholds a failure.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If there is no trial, or a run ends too early.

    Notes
    -----
    A fact about these trials, not an estimate for others. Where the server was not good before the fault, or
    the generator was saturated in the calm parts, the gate is inconclusive.
    """
    del seed
    checked_level(confidence_level)
    if not trials or not 0 < seconds < math.inf or not 0 < p < 1:
        raise InputError(f"expected trials, a share p and a number of seconds, got {p!r} and {seconds!r}")
    found, causes = [], []
    for trial in trials:
        answers = trial.answers
        check_open_loop(answers, budget_seconds)
        if float(answers.intended[-1]) < trial.ended + seconds + _WINDOW_SECONDS * 0.9:
            raise InputError(
                f"the run ends before {seconds:g} s after the fault have passed, and one second more",
                where="recovers_within",
            )
        one = _recovery(trial, p, budget_seconds)
        calm = (answers.intended < trial.began) | (answers.intended >= trial.ended + one.seconds)
        if calm.any() and (cause := saturated(answers.where(calm), budget_seconds)):
            causes.append(cause)
        if not one.was_good_before:
            causes.append("the server was not good before the fault")
        found.append(one)
    longest = max(found, key=lambda each: (not each.is_over, each.seconds))
    told = [*dict.fromkeys(causes), *noise]
    if not longest.is_over:
        told.append("not recovered when the run ended")
    return Evidence(
        gate_id=gate_id,
        measurements=(
            Measurement(
                metric="recovery_seconds",
                value=longest.seconds,
                lower=None if causes or noise else longest.seconds,
                upper=None if causes or not longest.is_over else longest.seconds,
                confidence_level=1.0,
                method="longest over the trials",
                n_samples=len(trials),
                unit="s",
                higher_is_better=False,
                note="; ".join(told) or None,
            ),
            exact(
                "failed_during",
                sum(
                    _failed_during(trial, one, budget_seconds)
                    for trial, one in zip(trials, found, strict=True)
                ),
                sum(len(trial.answers) for trial in trials),
                unit="requests",
            ),
        ),
        criteria=(at_most("recovery_seconds", seconds),),
        details={
            "fault": fault,
            "budget": budget_seconds,
            "noise": list(noise),
            "trials": [
                {
                    **told_of(trial.answers),
                    "fault_began": trial.began,
                    "fault_ended": trial.ended,
                    "recovery_seconds": one.seconds,
                    "failed_after_recovery": one.failed_after,
                    "failed_in_each_second_after": list(one.failed_by_second),
                }
                for trial, one in zip(trials, found, strict=True)
            ],
        },
    )


def _recovery(trial: Trial, p: float, budget: float) -> _Recovery:
    answers = trial.answers
    is_bad = ~in_time(answers, budget)
    before = _bad_windows(answers.intended - trial.began, is_bad, p, answers.intended < trial.began)
    since = answers.intended - trial.ended
    after = _bad_windows(since, is_bad, p, since >= 0)
    last = max(after, default=-1)
    seconds = (last + 1) * _WINDOW_SECONDS
    windows = int(np.floor(since[-1] / _WINDOW_SECONDS)) + 1
    return _Recovery(
        seconds=seconds,
        # The last window may be cut: it shows that something is bad, and not that all is good.
        is_over=seconds + 0.9 * _WINDOW_SECONDS <= float(since[-1]),
        was_good_before=not before and bool(np.any(answers.intended < trial.began)),
        failed_after=int(np.count_nonzero(is_bad & (since >= seconds))),
        failed_by_second=tuple(
            int(np.count_nonzero(is_bad & (np.floor(since / _WINDOW_SECONDS) == window)))
            for window in range(min(windows, 120))
        ),
    )


def _bad_windows(
    since: npt.NDArray[np.float64], is_bad: npt.NDArray[np.bool_], p: float, chosen: npt.NDArray[np.bool_]
) -> list[int]:
    """Return the windows, counted from time zero, in which too many requests failed."""
    window = np.floor(since[chosen] / _WINDOW_SECONDS).astype(np.int64)
    found = []
    for place in np.unique(window):
        inside = window == place
        allowed = max(1, math.floor((1 - p) * int(inside.sum())))
        if int(is_bad[chosen][inside].sum()) > allowed:
            found.append(int(place))
    return found


def _failed_during(trial: Trial, one: _Recovery, budget: float) -> int:
    answers = trial.answers
    inside = (answers.intended >= trial.began) & (answers.intended < trial.ended + one.seconds)
    return int(np.count_nonzero(inside & ~in_time(answers, budget)))
