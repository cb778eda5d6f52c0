"""What a corruption is, and which inputs it takes: rows of a table, texts, images or series."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.behavior.batches import Batch, is_frame, kind
from pytest_prodml.errors import InputError

ROWS, TEXTS, IMAGES, SERIES = "rows", "texts", "images", "series"
KINDS = (ROWS, TEXTS, IMAGES, SERIES)

#: The standard deviation of a normal distribution in interquartile ranges.
_OF_QUARTILES = 1.349


@dataclass(frozen=True, slots=True, kw_only=True)
class Corruption:
    """One way in which inputs get worse, by how much is asked for.

    Attributes
    ----------
    name, kind : str
        What it is called, and what it takes: "rows", "texts", "images" or "series".
    apply : callable
        ``apply(batch, severity, rng, **options)`` returns inputs of the same number and kind and changes
        nothing that it was given. What it draws does not depend on the severity, so that one seed gives the
        same slips, harder.
    unit : str
        What the severity is, in words.
    low, high : float
        The severities that it takes, both included.
    identity : float or None
        The severity that changes nothing; None where there is none.
    falls : bool
        Smaller is worse.
    is_whole : bool
        The severity is a whole number.
    options : mapping of str to str
        Further keywords of `apply`, and what each means.
    must_move : bool
        The answer has to change with it, as with a negation: there is a floor on the flips, no ceiling.
    by_content : bool
        Many inputs hold nothing that it could change, such as a word of a list: a share of all of them would
        be small whatever the model does.
    """

    name: str
    kind: str
    apply: Callable[..., Batch]
    unit: str
    low: float = 0.0
    high: float = 1.0
    identity: float | None = 0.0
    falls: bool = False
    is_whole: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    must_move: bool = False
    by_content: bool = False


def checked_severity(corruption: Corruption, severity: object) -> float:
    """Return a severity that the corruption takes.

    Raises
    ------
    InputError
        If it is no number, out of range, or changes nothing.
    """
    where = corruption.name
    if isinstance(severity, (bool, np.bool_)) or not isinstance(severity, (int, float, np.number)):
        raise InputError(f"severity must be a number, got {severity!r}", where=where, hint=corruption.unit)
    found = float(severity)
    if math.isnan(found) or math.isinf(found) or not corruption.low <= found <= corruption.high:
        raise InputError(
            f"severity must be {_range(corruption)}, got {severity!r}", where=where, hint=corruption.unit
        )
    if corruption.is_whole and found != int(found):
        raise InputError(f"severity must be a whole number, got {severity!r}", where=where)
    if corruption.identity is not None and found == corruption.identity:
        raise InputError(
            f"a severity of {found:g} changes nothing", where=where, hint=f"severity: {corruption.unit}"
        )
    return found


def _range(corruption: Corruption) -> str:
    if math.isinf(corruption.low):
        return "a finite number"
    if math.isinf(corruption.high):
        return f"a number from {corruption.low:g} on"
    return f"a number from {corruption.low:g} to {corruption.high:g}"


def fits(batch: Batch, wanted: str) -> bool:
    """Say whether a batch can be of the kind `wanted`; an array of numbers can be of several."""
    if is_frame(batch):
        return wanted in {ROWS, TEXTS}
    if isinstance(batch, np.ndarray):
        if batch.dtype.kind in "OUT":
            return wanted == TEXTS and batch.ndim == 1
        dimensions = {ROWS: {2}, IMAGES: {3, 4}, SERIES: {2, 3}}
        return batch.dtype.kind in "fiub" and batch.ndim in dimensions.get(wanted, set())
    if all(isinstance(item, str) or item is None for item in batch):
        return wanted == TEXTS
    if all(isinstance(item, np.ndarray) and item.dtype.kind in "fiu" for item in batch):
        dimensions = {IMAGES: {2, 3}, SERIES: {1, 2}}
        return all(item.ndim in dimensions.get(wanted, set()) for item in batch)
    return False


def not_fitting(name: str, wanted: Sequence[str], batch: Batch) -> InputError:
    """Return the error for a corruption of other inputs."""
    forms = {
        ROWS: "a frame, or an array of shape (rows, columns)",
        TEXTS: "a list of texts, or a frame with columns=[...] that hold them",
        IMAGES: "an array of shape (n, height, width) or (n, height, width, channels)",
        SERIES: "an array of shape (n, steps) or (n, steps, channels), or a list of series",
    }
    return InputError(
        f"{name} takes {' or '.join(wanted)}, and the inputs are {kind(batch)}",
        where="robust_to",
        hint=f"give {'; or '.join(forms[one] for one in wanted)}",
    )


def robust_spread(values: npt.NDArray[np.float64]) -> float:
    """Return the spread of the finite values: interquartile range / 1.349, that of a normal's middle half.

    Where half of the values are one and the same, the standard deviation; 0 for a constant.
    """
    finite = values[np.isfinite(values)]
    if finite.size < 2:
        return 0.0
    # Halves, so that the difference of two huge numbers is still one.
    low, high = np.quantile(finite / 2, (0.25, 0.75))
    spread = 2 * float(high - low) / _OF_QUARTILES
    if spread > 0 and math.isfinite(spread):
        return spread
    largest = float(np.max(np.abs(finite)))
    return float(np.std(finite / largest)) * largest if largest > 0 else 0.0


def whole_limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return the smallest and the largest float that a type of whole numbers can hold."""
    info = np.iinfo(dtype)
    highest = float(info.max)
    return float(info.min), highest if int(highest) <= info.max else float(np.nextafter(highest, 0))


def check_choice(value: object, known: tuple[str, ...], name: str, where: str) -> None:
    """Refuse a word that is none of the known ones."""
    if value not in known:
        raise InputError(f"{name} must be one of {', '.join(known)}, got {value!r}", where=where)
