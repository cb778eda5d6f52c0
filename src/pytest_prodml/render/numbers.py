"""Numbers -> text, once: the same digits on every view, and never a rounding that changes a verdict.

A `Scale` is made for all numbers of one metric in one gate, so that they share a unit and a number of
decimals, and so that no rounded number falls on the other side of a limit than the number itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

_MOST_DECIMALS = 12
_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTES = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How the numbers of one metric are written.

    `factor` divides a number in the certificate's unit to give one in `unit`; `decimals` is fixed for all,
    behind the point of the plain or the scientific notation.
    """

    unit: str
    factor: float
    decimals: int
    scientific: bool = False

    def number(self, value: float | None, *, unbounded: str = "-") -> str:
        """Write a measured number; `unbounded` where there is none."""
        if value is None:
            return unbounded
        if not math.isfinite(value):
            return str(value)
        scaled = value / self.factor
        if scaled == 0:
            return "0"
        if self.scientific:
            return _short_exponent(f"{scaled:.{self.decimals}e}")
        text = f"{scaled:,.{self.decimals}f}"
        return text.lstrip("-") if float(text.replace(",", "")) == 0 else text

    def limit(self, value: float) -> str:
        """Write a limit: as short as the person who chose it would."""
        return plain(value / self.factor)

    def with_unit(self, text: str) -> str:
        """Put the unit behind a written number; a pure ratio has none."""
        return f"{text} {self.unit}" if self.unit else text


def scale_of(unit: str, values: Iterable[float | None], limits: Iterable[float] = ()) -> Scale:
    """Choose unit and decimals for the numbers of one metric.

    Parameters
    ----------
    unit : str
        The certificate's unit: ``"1"`` for a ratio, ``"s"`` for seconds, or any word.
    values : iterable of float or None
        Values and bounds; None and non-finite ones have no say.
    limits : iterable of float
        Limits that the numbers are compared with.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    edges = [limit for limit in limits if math.isfinite(limit)]
    name, factor = _prefix(unit, known + edges)
    scaled = [value / factor for value in known]
    magnitudes = [abs(value) for value in scaled if value]
    if not magnitudes or all(value == round(value) for value in scaled):
        return Scale(unit=name, factor=factor, decimals=0)
    scientific = max(magnitudes) < 1e-4 or max(magnitudes) >= 1e12
    decimals = 3
    if not scientific:
        digits = 4 if max(magnitudes) >= 0.1 else 3
        decimals = max(0, digits - 1 - math.floor(math.log10(max(magnitudes))))
        smallest = max(min(magnitudes), max(magnitudes) * 1e-3)
        decimals = max(decimals, min(decimals + 2, 1 - math.floor(math.log10(smallest))))
    scale = Scale(unit=name, factor=factor, decimals=decimals, scientific=scientific)
    while scale.decimals < _MOST_DECIMALS and not _faithful(known, edges, scale):
        scale = replace(scale, decimals=scale.decimals + 1)
    return scale


def _prefix(unit: str, values: list[float]) -> tuple[str, float]:
    if unit in {"", "1"}:
        return "", 1.0
    if unit not in {"s", "seconds"}:
        return unit, 1.0
    largest = max(map(abs, values), default=1.0)
    for factor, name in _SECONDS:
        if largest >= factor:
            return name, factor
    return "ns", 1e-9


def _faithful(values: list[float], edges: list[float], scale: Scale) -> bool:
    """Tell whether every written number is on the same side of every limit as the number itself."""
    written = [float(scale.number(value).replace(",", "")) for value in values]
    return all(
        _sign(shown - edge / scale.factor) == _sign(value - edge)
        for value, shown in zip(values, written, strict=True)
        for edge in edges
    )


def _short_exponent(text: str) -> str:
    return text.replace("e-0", "e-").replace("e+0", "e+")


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def plain(value: float) -> str:
    """Write a number with the fewest digits that tell it from its neighbors a person would write."""
    if not math.isfinite(value):
        return str(value)
    if value == round(value) and abs(value) < 1e15:
        return f"{round(value):,}"
    return _short_exponent(f"{value:.12g}")


def percent(level: float) -> str:
    """Write a confidence level or error probability: 0.95 -> 95%."""
    return f"{level * 100:.10g}%"


def duration(seconds: float) -> str:
    """Write a duration with three significant digits and a unit that fits."""
    if not math.isfinite(seconds) or seconds < 0:
        return str(seconds)
    if seconds >= 120:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes:,} min {rest} s"
    for factor, name in _SECONDS:
        if seconds >= factor:
            return (
                f"{seconds / factor:.3g} {name}"
                if seconds / factor < 100
                else f"{seconds / factor:.0f} {name}"
            )
    return "0 s" if seconds == 0 else f"{seconds:.1e} s"


def size(number: int) -> str:
    """Write a number of bytes with a binary unit."""
    for factor, name in _BYTES:
        if number >= factor:
            return (
                f"{number / factor:.3g} {name}" if number / factor < 1000 else f"{number / factor:.0f} {name}"
            )
    return f"{number} B"
