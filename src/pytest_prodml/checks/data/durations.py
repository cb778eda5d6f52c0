"""A duration as people write it -> `timedelta`."""

from __future__ import annotations

import re
from datetime import timedelta

from pytest_prodml.errors import InputError

_FORM = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([a-z]+)")
_UNITS = {
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def duration(given: timedelta | str, name: str) -> timedelta:
    """Read a duration: a `timedelta`, or text such as ``"36 h"`` (units s, min, h, d, w).

    Raises
    ------
    InputError
        If it is neither, or negative.
    """
    if isinstance(given, timedelta) and given >= timedelta(0):
        return given
    match = _FORM.fullmatch(given.strip()) if isinstance(given, str) else None
    if match is None or match[2] not in _UNITS:
        raise InputError(
            f"{name} must be a duration from 0 on, got {given!r}",
            hint=f'a timedelta, or text such as "36 h" (units: {", ".join(_UNITS)})',
        )
    try:
        return float(match[1]) * _UNITS[match[2]]
    except OverflowError:
        raise InputError(f"{name} is longer than a calendar, got {given!r}") from None


def told(span: timedelta) -> str:
    """Write a duration for people, to the minute where it is long: ``2 d 03:00``, ``00:00:12``."""
    seconds = round(abs(span).total_seconds())
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600:02}:{rest % 3600 // 60:02}"
    sign = "-" if span < timedelta(0) and seconds else ""
    return f"{sign}{days} d {clock}" if days else f"{sign}{clock}:{rest % 60:02}"
