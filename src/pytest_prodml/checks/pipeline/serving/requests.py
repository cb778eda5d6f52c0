"""Requests that make no sense, and what a server said to them -> Evidence that it refuses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_prodml.checks.counts import at_most, exact
from pytest_prodml.checks.pipeline.serving.judged import readable
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level

_MOST_SHOWN = 50
_MOST_NAMES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a server said to a request that it should refuse.

    Parameters
    ----------
    name : str
        What is wrong with the request.
    status : int or None
        Of the answer; None where none came.
    body : bytes
        Of the answer.
    is_well_after : bool
        Whether the server then answered a good request as before.
    """

    name: str
    status: int | None
    body: bytes = b""
    is_well_after: bool = True


def rejects_bad_input(
    refusals: Sequence[Refusal],
    *,
    gate_id: str,
    accepts: Sequence[str] = (),
    died: str | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that requests which make no sense are refused as the client's fault, and harm nothing.

    Measures, exactly over these requests: ``accepted`` (answered with success: a prediction made up),
    ``server_errors`` (5xx), ``unanswered``, ``not_refused`` (any other status but 4xx) and ``harmed`` (after
    which a good request was not answered as before).

    Parameters
    ----------
    refusals : sequence of Refusal
        One for each request.
    accepts : sequence of str
        Names of requests that this service may answer, because they do make sense to it. Told in the record;
        one that is not among the requests is an error.
    died : str, optional
        How the server ended, if it did.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If there is no request, or `accepts` names one that was not sent.
    """
    del seed
    checked_level(confidence_level)
    known = {refusal.name for refusal in refusals}
    strange = [name for name in accepts if name not in known]
    if strange:
        raise InputError(
            f"{strange[0]!r} is none of the requests that were sent",
            where="accepts",
            hint=f"they are, for example: {', '.join(sorted(known)[:8])}",
        )
    judged = [refusal for refusal in refusals if refusal.name not in accepts]
    if not judged:
        raise InputError("there is no request that should be refused", where=gate_id)
    found: dict[str, list[Refusal]] = {
        "accepted": [each for each in judged if each.status is not None and each.status // 100 == 2],
        "server_errors": [each for each in refusals if each.status is not None and each.status >= 500],
        "unanswered": [each for each in refusals if each.status is None],
        "not_refused": [each for each in judged if each.status is not None and each.status // 100 in {1, 3}],
        "harmed": [each for each in refusals if not each.is_well_after],
    }
    measurements: list[Measurement] = []
    for name, cases in found.items():
        note = ", ".join(case.name for case in cases[:3]) or None
        count = len(cases)
        if name == "harmed" and died is not None:
            count, note = max(1, count), died
        measurements.append(exact(name, count, len(refusals), unit="requests", note=note))
    shown: list[JsonValue] = [
        {"request": case.name, "status": case.status, "answer": readable(case.body), "fault": name}
        for name, cases in found.items()
        for case in cases[:_MOST_SHOWN]
    ]
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measurements),
        criteria=tuple(at_most(name, 0) for name in found),
        details={
            "requests": len(refusals),
            "statuses": {
                str(status): sum(each.status == status for each in refusals)
                for status in sorted({each.status for each in refusals}, key=str)
            },
            "accepts": [*accepts],
            "faults": shown,
            "names": [*[refusal.name for refusal in refusals][:_MOST_NAMES]],
        },
    )
