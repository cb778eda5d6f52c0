"""What became of requests -> which of them kept a promise, and whether the run can say so at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.serving.load import Answers
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue

#: A generator that is itself late by more than this share of the budget measures itself.
MOST_LAG = 0.10
LEAST_SENT = 0.99
#: Statuses by which a server says that it takes no more.
REFUSALS = (429, 503)
_MOST_EXAMPLES = 5
_MOST_TEXT = 200

#: The number of a request, and the body that answered it -> what is wrong with it; None: nothing.
IsRight = Callable[[int, bytes], str | None]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Answers that are not what the model says; `unknown` counts those whose bodies were not kept."""

    is_wrong: Flags
    examples: tuple[dict[str, JsonValue], ...]
    unknown: int


def check_open_loop(answers: Answers, budget_seconds: float) -> None:
    """Refuse evidence that can not show what clients feel.

    Raises
    ------
    InputError
        If requests waited for answers, there is none, or a time-out would hide what exceeds the budget.
    """
    if not answers.is_open_loop:
        raise InputError(
            "a closed loop asks again only when it was answered: it does not see how long others would wait",
            where=answers.source,
            hint="send at a fixed rate, and count from when each request was due",
        )
    if len(answers) == 0:
        raise InputError("no request was sent", where=answers.source)
    if not 0 < budget_seconds < math.inf:
        raise InputError(f"the budget must be a number of seconds above 0, got {budget_seconds!r}")
    if answers.timeout_seconds <= budget_seconds:
        raise InputError(
            f"requests are given up after {answers.timeout_seconds:g} s, which is within the budget of "
            f"{budget_seconds:g} s",
            where=answers.source,
            hint="raise timeout_seconds: what is given up must be too late",
        )


def saturated(answers: Answers, budget_seconds: float) -> str | None:
    """Say that the generator could not keep its schedule; None where it could."""
    lag = answers.lag
    late = float(np.quantile(lag, 0.99, method="inverted_cdf"))
    if late > MOST_LAG * budget_seconds:
        return (
            f"generator saturated: it was late by up to {1_000 * late:.3g} ms for 99 % of the requests, more "
            f"than {MOST_LAG:.0%} of the budget"
        )
    sent = float(np.mean(lag <= budget_seconds))
    if sent < LEAST_SENT:
        return f"generator saturated: it sent {sent:.1%} of the requests when they were due"
    return None


def in_time(answers: Answers, budget_seconds: float) -> Flags:
    """Return which requests were answered with success within the budget, from when they were due."""
    return np.asarray(answers.is_answered & (answers.latency <= budget_seconds))


def latencies(answers: Answers) -> npt.NDArray[np.float64]:
    """Return the latency of each request; for one without a good answer at least the time-out."""
    given_up = np.maximum(answers.latency, answers.timeout_seconds)
    return np.where(answers.is_answered, answers.latency, given_up)


def wrong_answers(answers: Answers, is_right: IsRight) -> Wrong:
    """Look at each different answer to each different request once."""
    asked = np.arange(len(answers)) if answers.number is None else answers.number
    asked = asked % answers.n_requests
    good = answers.is_answered
    kept = good & (answers.body >= 0)
    pairs = {(int(request), int(body)) for request, body in zip(asked[kept], answers.body[kept], strict=True)}
    found = {
        pair: told
        for pair in sorted(pairs)
        if (told := is_right(pair[0], answers.bodies[pair[1]])) is not None
    }
    is_wrong = np.array(
        [
            bool(keep) and (int(request), int(body)) in found
            for keep, request, body in zip(kept, asked, answers.body, strict=True)
        ],
        dtype=bool,
    )
    examples: tuple[dict[str, JsonValue], ...] = tuple(
        {"request": request, "answer": readable(answers.bodies[body]), "why": told}
        for (request, body), told in list(found.items())[:_MOST_EXAMPLES]
    )
    return Wrong(is_wrong=is_wrong, examples=examples, unknown=int(np.count_nonzero(good & ~kept)))


def readable(body: bytes) -> str:
    """Return the beginning of an answer as text without control characters."""
    text = body[:_MOST_TEXT].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text)


def statuses(answers: Answers) -> dict[str, JsonValue]:
    """Count what requests came to, in words."""
    words = {0: "no answer in time", -1: "not connected", -2: "closed without an answer", -3: "no HTTP"}
    values, counts = np.unique(answers.status, return_counts=True)
    return {
        words.get(int(value), str(int(value))): int(count)
        for value, count in zip(values, counts, strict=True)
    }


def told_of(answers: Answers) -> dict[str, JsonValue]:
    """Return how the load was made, for the record."""
    lag = answers.lag
    return {
        "load": "open loop, latency from when each request was due",
        "phases": [{"rate": phase.rate, "seconds": phase.seconds} for phase in answers.phases],
        "requests": len(answers),
        "timeout_seconds": answers.timeout_seconds,
        "generator": answers.source,
        "generator_lag_p50": float(np.quantile(lag, 0.5)),
        "generator_lag_p99": float(np.quantile(lag, 0.99, method="inverted_cdf")),
        "generator_processor_share": answers.processor_share,
        "statuses": statuses(answers),
    }
