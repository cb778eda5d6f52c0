"""What a user writes for a duration or an amount of memory -> seconds, bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from pytest_prodml.errors import ConfigurationError

_DURATIONS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_SIZES = {
    "B": 1.0,
    **{f"{prefix}B": 1000.0**power for power, prefix in enumerate(("k", "M", "G", "T"), 1)},
    **{f"{prefix}iB": 1024.0**power for power, prefix in enumerate(("K", "M", "G", "T"), 1)},
    "KB": 1000.0,
}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµμ]+)")


def seconds(budget: float | str) -> float:
    """Read a duration: seconds as a number, or text such as ``"5 ms"``.

    Raises
    ------
    ConfigurationError
        If it is neither, or not above zero.
    """
    value = _read(budget, _DURATIONS)
    if value is None:
        raise ConfigurationError(
            f"the budget {budget!r} is not a duration",
            hint=f'give seconds as a number, or text such as "5 ms" (units: {", ".join(_DURATIONS)})',
        )
    return value


def size_in_bytes(limit: float | str) -> float:
    """Read an amount of memory: bytes as a number, or text such as ``"256 MB"`` or ``"1 MiB"``.

    A kB is 1,000 bytes and a KiB 1,024.

    Raises
    ------
    ConfigurationError
        If it is neither, or not above zero.
    """
    value = _read(limit, _SIZES)
    if value is None:
        raise ConfigurationError(
            f"{limit!r} is not an amount of memory",
            hint=f'give bytes as a number, or text such as "256 MB" (units: {", ".join(_SIZES)})',
        )
    return value


def _read(given: float | str, units: Mapping[str, float]) -> float | None:
    """Return a quantity in the base unit; None for what is none, or not above zero."""
    value = math.nan
    if isinstance(given, str):
        match = _QUANTITY.fullmatch(given.strip())
        if match and match[2] in units:
            value = float(match[1]) * units[match[2]]
    elif isinstance(given, (int, float)) and not isinstance(given, bool):
        value = float(given)
    return value if 0 < value < math.inf else None
