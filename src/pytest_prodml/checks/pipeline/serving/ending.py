"""A server that is asked to end under load -> Evidence that what it had accepted is answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_prodml.adapters.serving import generator
from pytest_prodml.adapters.serving.load import Answers
from pytest_prodml.checks.counts import at_most, exact
from pytest_prodml.checks.pipeline.serving.judged import REFUSALS, told_of
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level

#: SIGTERM, as a status of Python and as one of a shell.
_TERMINATED = (0, -15, 143)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ending:
    """One run during which the server was asked to end.

    `asked` is when (SIGTERM), `ended` when it had, in seconds from the start of the run; None: not in time.
    """

    answers: Answers
    asked: float
    ended: float | None
    status: int | None


def drains_on_sigterm(
    within_seconds: float,
    endings: Sequence[Ending],
    *,
    gate_id: str,
    unread_seconds: float = 0.005,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a server which is asked to end first answers what it has accepted, and then ends.

    Measures, exactly over these runs: ``lost_requests``, those that were in flight when the signal came and
    got neither success nor a refusal (429, 503); ``ending_seconds``, the longest time from the signal to the
    end; ``bad_ends``, runs in which the process did not end, or with another status than 0 or SIGTERM's.

    Parameters
    ----------
    within_seconds : float
        How long ending may take: the grace period of what runs the container.
    endings : sequence of Ending
        Under load.
    unread_seconds : float
        A request that was written so shortly before the signal, and whose connection was then closed without
        an answer, may never have been read: clients send such a one again. These are counted apart.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If there is no run, or a limit makes no sense.

    Notes
    -----
    Without a request in flight at the signal nothing was shown: inconclusive.
    """
    del seed
    checked_level(confidence_level)
    if not endings or not 0 < within_seconds < math.inf or unread_seconds < 0:
        raise InputError(f"expected runs, and a number of seconds above 0, got {within_seconds!r}")
    in_flight = lost = unread = 0
    runs: list[JsonValue] = []
    for ending in endings:
        answers, asked = ending.answers, ending.asked
        done = np.where(answers.status > 0, answers.done, np.inf)
        flying = (answers.sent < asked) & (done > asked)
        is_good = answers.is_answered | np.isin(answers.status, REFUSALS)
        is_closed = np.isin(answers.status, (generator.CLOSED, generator.NOT_CONNECTED))
        is_unread = flying & is_closed & (answers.sent > asked - unread_seconds)
        in_flight += int(flying.sum()) - int(is_unread.sum())
        lost += int((flying & ~is_good & ~is_unread).sum())
        unread += int(is_unread.sum())
        runs.append(
            {
                **told_of(answers),
                "asked": asked,
                "ended": ending.ended,
                "status": ending.status,
                "in_flight": int(flying.sum()),
                "refused_afterwards": int((~is_good & ~(answers.sent < asked)).sum()),
            }
        )
    is_ended = [ending.ended is not None and ending.status in _TERMINATED for ending in endings]
    measured = exact("lost_requests", lost, max(in_flight, 1), unit="requests")
    if in_flight == 0:
        measured = replace(measured, upper=None, note="no request was in flight when the signal came")
    return Evidence(
        gate_id=gate_id,
        measurements=(
            measured,
            _slowest(endings, within_seconds),
            exact("bad_ends", is_ended.count(False), len(endings), unit="runs"),
        ),
        criteria=(
            at_most("lost_requests", 0),
            at_most("ending_seconds", within_seconds),
            at_most("bad_ends", 0),
        ),
        details={"in_flight": in_flight, "perhaps_never_read": unread, "runs": runs},
    )


def _slowest(endings: Sequence[Ending], within: float) -> Measurement:
    taken = [ending.ended - ending.asked for ending in endings if ending.ended is not None]
    is_open = len(taken) < len(endings)
    longest = max([*taken, *([within] if is_open else [])])
    return Measurement(
        metric="ending_seconds",
        value=longest,
        lower=longest,
        upper=None if is_open else longest,
        confidence_level=1.0,
        method="longest over the runs",
        n_samples=len(endings),
        unit="s",
        higher_is_better=False,
        note="it had not ended when nobody waited any longer" if is_open else None,
    )
