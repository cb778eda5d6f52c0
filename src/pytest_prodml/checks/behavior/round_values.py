"""A number -> simpler numbers near it, the roundest first: 0, then one digit and zeros, two digits ..."""

from __future__ import annotations

import math

_MOST_DIGITS = 8
#: On each side of the value, by unit.
_NEAR = 25
_MOST_VALUES = 400


def rounder(value: float, start: float, *, is_whole: bool) -> list[float]:
    """Return numbers that are simpler than a value, the roundest first, of equally round ones the nearest.

    Parameters
    ----------
    value : float
        What is to be simplified; finite.
    start : float
        An ordinary value: of equally round numbers the one nearest to it is easier to believe.
    is_whole : bool
        Whether only whole numbers are possible.

    Returns
    -------
    list of float
        Between `start` and `value` and a little beyond, each with fewer significant digits than `value`, or
        as many and nearer to `start`.
    """
    low, high = sorted((start, value))
    span = max(high - low, abs(value) * 0.5, 1.0 if is_whole else 0.0)
    low, high = low - span, high + span
    found: dict[float, tuple[int, float]] = {}
    top = math.floor(math.log10(max(abs(low), abs(high), 1e-300)))
    for power in range(top, top - _MOST_DIGITS, -1):
        unit = 10.0**power
        if is_whole and unit < 1:
            break
        # Of many the ones around the value: it has a property that far ones need not have.
        first = max(math.ceil(low / unit), math.floor(value / unit) - _NEAR)
        last = min(math.floor(high / unit), math.ceil(value / unit) + _NEAR)
        for step in range(first, last + 1):
            item = _clean(step * unit, power)
            if item not in found:
                found[item] = (digits(item), abs(item - start))
    own = (digits(value), abs(value - start))
    simpler = [item for item, key in found.items() if key < own and item != start]
    return sorted(simpler, key=lambda item: found[item])[:_MOST_VALUES]


def digits(value: float) -> int:
    """Return how many significant digits a number needs; 0 for 0."""
    if value == 0:
        return 0
    text = f"{abs(value):.15e}".partition("e")[0].replace(".", "")
    return len(text.rstrip("0"))


def between(near: float, far: float, n: int, *, is_whole: bool) -> list[float]:
    """Return up to n numbers strictly between two, from the near one on."""
    if is_whole:
        gap = int(abs(far - near)) - 1
        if gap < 1:
            return []
        count = min(gap, n)
        sign = 1 if far > near else -1
        steps = sorted({round((index + 1) * (gap + 1) / (count + 1)) for index in range(count)})
        return [near + sign * step for step in steps if 0 < step <= gap]
    width = far - near
    if abs(width) <= 1e-12 * max(abs(near), abs(far), 1e-300):
        return []
    return [near + width * (index + 1) / (n + 1) for index in range(n)]


def _clean(value: float, power: int) -> float:
    """Return a multiple of a power of ten without the error of its multiplication."""
    return round(value, -power) if power < 0 else float(round(value))
