"""Results of other load generators -> `Answers`, where they are those of an open loop.

Both tools time a request from when they sent it. Latency is counted here from when it was due, by the rate
that was asked for, so what they sent late counts as late.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from pytest_prodml.adapters.serving.generator import NO_ANSWER, NOT_KEPT
from pytest_prodml.adapters.serving.load import Answers, Phase
from pytest_prodml.errors import InputError

#: Of the requests that a rate and a duration come to, so many may be missing or too many.
_TOLERANCE = 0.01
_MOST_LINES = 5_000_000


def read_vegeta(path: Path, *, rate: float, timeout_seconds: float = 30.0) -> Answers:
    """Read what ``vegeta encode`` wrote: a line of JSON for each request, attacked at a constant rate.

    Parameters
    ----------
    path : Path
        The file.
    rate : float
        Requests a second, as ``-rate`` was.
    timeout_seconds : float
        As ``-timeout`` was.

    Raises
    ------
    InputError
        If a line is no result, or the requests do not come to the rate.
    """
    rows = [
        (_nanoseconds(told["timestamp"]), float(told["latency"]) / 1e9, int(told["code"]))
        for told in _lines(path)
    ]
    return _answers(rows, 0, rate, timeout_seconds, f"vegeta ({path.name})")


def read_k6(path: Path, *, rate: float, timeout_seconds: float = 60.0) -> Answers:
    """Read what k6 wrote (``--out json=...``) for one scenario with the executor ``constant-arrival-rate``.

    Iterations that k6 dropped, because it had no free virtual user, count as requests that were never sent.

    Parameters
    ----------
    path : Path
        The file.
    rate : float
        Requests a second, as ``rate`` and ``timeUnit`` of the scenario were; one request an iteration.
    timeout_seconds : float
        As the ``timeout`` of the requests was.

    Raises
    ------
    InputError
        If a line is no result, there is no request, or they do not come to the rate: then virtual users
        waited for answers, and the loop was closed.
    """
    rows, dropped = [], 0
    for told in _lines(path):
        if told.get("type") != "Point":
            continue
        data = _Told(told["data"], told.where)
        if told.get("metric") == "dropped_iterations":
            dropped += int(data["value"])
        elif told.get("metric") == "http_req_duration":
            seconds = float(data["value"]) / 1e3
            # k6 stamps a request when it has ended.
            status = int(data["tags"].get("status", 0))
            rows.append((_nanoseconds(data["time"]) - seconds, seconds, status))
    return _answers(rows, dropped, rate, timeout_seconds, f"k6 ({path.name})")


def _answers(
    rows: list[tuple[float, float, int]], dropped: int, rate: float, timeout: float, source: str
) -> Answers:
    if not rows:
        raise InputError("holds no request", where=source)
    if not 0 < rate < math.inf:
        raise InputError(f"the rate must be above 0, got {rate!r}", where=source)
    rows.sort()
    sent, seconds = (np.array([row[place] for row in rows]) for place in (0, 1))
    status = np.array([row[2] for row in rows], dtype=np.int32)
    total = len(rows) + dropped
    # Where nothing was late, the first request tells when the schedule began; where some were, the earliest.
    begin = float(np.min(sent - np.arange(len(rows)) / rate))
    length = float(sent[-1]) - begin
    if abs(length * rate - (total - 1)) > max(_TOLERANCE * total, 1.0):
        raise InputError(
            f"{total:,} requests in {length:.1f} s are not {rate:g} a second: they waited for answers",
            where=source,
            hint="attack at a constant rate: vegeta attack -rate, k6 constant-arrival-rate",
        )
    intended = np.arange(total) / rate
    missing = np.full(dropped, np.nan)
    taken = np.concatenate([sent - begin, missing])
    is_answered = (status > 0) & (seconds < timeout)
    done = np.where(is_answered, sent - begin + seconds, np.nan)
    none = np.full(total, NOT_KEPT, dtype=np.int32)
    return Answers(
        intended=intended,
        taken=taken,
        sent=taken,
        done=np.concatenate([done, missing]),
        status=np.concatenate([np.where(is_answered, status, NO_ANSWER), np.zeros(dropped)]).astype(np.int32),
        body=none,
        headers=none,
        phase=np.zeros(total, dtype=np.int32),
        phases=(Phase(rate=rate, seconds=total / rate),),
        timeout_seconds=timeout,
        n_requests=1,
        source=source,
    )


def _lines(path: Path) -> Iterator[_Told]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if number > _MOST_LINES:
                    raise InputError(f"holds more than {_MOST_LINES:,} lines", where=str(path))
                if line.strip():
                    yield _parsed(line, number, path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can not be read: {error}", where=str(path)) from None


def _parsed(line: str, number: int, path: Path) -> _Told:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise InputError(f"line {number} is no result", where=str(path))
    return _Told(told, f"{path}, line {number}")


class _Told(dict[str, Any]):
    """A line that says what it lacks."""

    def __init__(self, told: Mapping[str, Any], where: str) -> None:
        super().__init__(told)
        self.where = where

    def __missing__(self, name: str) -> Any:  # noqa: ANN401 - never returns
        raise InputError(f"says no {name!r}", where=self.where)


def _nanoseconds(text: str) -> float:
    """Return the seconds since 1970 of a time with up to nine decimals."""
    whole, _, rest = text.partition(".")
    digits = rest.rstrip("Z").partition("+")[0].partition("-")[0]
    zone = rest[len(digits) :] if rest else ""
    try:
        base = datetime.fromisoformat(f"{whole}{zone}" if rest else whole)
        return base.timestamp() + (float(f"0.{digits}") if digits else 0.0)
    except ValueError:
        raise InputError(f"{text!r} is no time", where="load results") from None
