"""Images of any layout and type -> brightness from 0 to 1, changed, and back; and what a level stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.behavior.batches import Batch
from pytest_prodml.checks.behavior.corruptions.kinds import check_choice
from pytest_prodml.errors import InputError

#: Brightness from 0 to 1, shape (n, height, width, channels).
Pixels: TypeAlias = npt.NDArray[np.float64]

_SCALES = ("levels", "imagenet", "small", "physical")
_CHANNELS = ("last", "first")
#: Images of at most so many pixels a side take the levels of CIFAR-10-C.
_SMALL = 64
#: Numbers that are in memory as floats at once.
_CHUNK = 2**22

#: What the levels 0 to 5 are: nothing, and the five of each table.
_LEVELS: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "imagenet": {
        "gaussian_noise": (0, 0.08, 0.12, 0.18, 0.26, 0.38),
        "impulse_noise": (0, 0.03, 0.06, 0.09, 0.17, 0.27),
        "brightness": (0, 0.1, 0.2, 0.3, 0.4, 0.5),
        "contrast": (1, 0.4, 0.3, 0.2, 0.1, 0.05),
        "blur": (0, 1, 2, 3, 4, 6),
        "jpeg": (100, 25, 18, 15, 10, 7),
        "pixelate": (1, 0.6, 0.5, 0.4, 0.3, 0.25),
    },
    "small": {
        "gaussian_noise": (0, 0.04, 0.06, 0.08, 0.09, 0.10),
        "impulse_noise": (0, 0.01, 0.02, 0.03, 0.05, 0.07),
        "brightness": (0, 0.05, 0.1, 0.15, 0.2, 0.3),
        "contrast": (1, 0.75, 0.5, 0.4, 0.3, 0.15),
        "blur": (0, 0.4, 0.6, 0.7, 0.8, 1),
        "jpeg": (100, 80, 65, 58, 50, 40),
        "pixelate": (1, 0.95, 0.9, 0.85, 0.75, 0.65),
    },
}
#: What the physical numbers are and where they end; the first number changes nothing.
PHYSICAL: Mapping[str, tuple[float, float, str]] = {
    "gaussian_noise": (0, 10, "standard deviation, of a brightness from 0 to 1"),
    "impulse_noise": (0, 1, "share of values that are black or white"),
    "brightness": (-1, 1, "what is added, of a brightness from 0 to 1"),
    "contrast": (0, 10, "share of the contrast that is kept"),
    "blur": (0, 1000, "standard deviation of the blur, in pixels"),
    "jpeg": (1, 100, "quality of the JPEG file"),
    "pixelate": (0.001, 1, "share of the resolution that is kept"),
}


def leveled(
    name: str,
    batch: Batch,
    severity: float,
    scale: str,
    channels: str,
    change: Callable[[Pixels, float], Pixels],
) -> Batch:
    """Change images by what a level, or the number itself, stands for.

    Raises
    ------
    InputError
        If the severity is no level, or beyond what the number may be.
    """
    check_choice(scale, _SCALES, "scale", name)
    if scale == "physical":
        low, high, told = PHYSICAL[name]
        if not low <= severity <= high:
            raise InputError(f"severity must lie between {low:g} and {high:g}: {told}", where=name)
    elif not 0 < severity <= 5:
        raise InputError(
            f"severity is a level above 0 up to 5, got {severity:g}", where=name, hint='or scale="physical"'
        )

    def changed(pixels: Pixels) -> Pixels:
        return change(pixels, _amount(name, severity, scale, max(pixels.shape[1:3])))

    return each(batch, changed, channels)


def _amount(name: str, severity: float, scale: str, side: int) -> float:
    """Return the number that a level stands for in images of so many pixels a side."""
    if scale == "physical":
        return severity
    table = ("small" if side <= _SMALL else "imagenet") if scale == "levels" else scale
    return float(np.interp(severity, range(6), _LEVELS[table][name]))


def each(
    batch: Batch, change: Callable[[Pixels], Pixels], channels: str, *, with_alpha: bool = False
) -> Batch:
    """Change images as brightness from 0 to 1, some at a time, and return them as they came."""
    check_choice(channels, _CHANNELS, "channels", "images")
    if isinstance(batch, list):
        return [each(item[None], change, channels, with_alpha=with_alpha)[0] for item in batch]
    images = _channels_last(batch, channels)
    if images.shape[0] and (0 in images.shape[1:]):
        raise InputError(f"images of shape {images.shape[1:]} have no pixels", where="images")
    _check_values(images)
    made = np.empty_like(images)
    step = max(_CHUNK // max(int(np.prod(images.shape[1:])), 1), 1)
    for first in range(0, len(images), step):
        part = images[first : first + step]
        colors = slice(None) if with_alpha or part.shape[-1] != 4 else slice(3)
        made[first : first + step] = part
        made[first : first + step, ..., colors] = _stored(change(_pixels(part[..., colors])), images.dtype)
    return _as_came(made, batch, channels)


def _pixels(images: npt.NDArray[Any]) -> Pixels:
    # In one order in memory, so that sums are rounded alike whatever the layout was.
    pixels = images.astype(np.float64, order="C")
    return pixels / 255 if images.dtype == np.uint8 else pixels


def _stored(pixels: Pixels, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    inside = np.clip(pixels, 0, 1)
    return np.rint(inside * 255).astype(np.uint8) if dtype == np.uint8 else inside.astype(dtype)


def _channels_last(batch: Batch, channels: str) -> npt.NDArray[Any]:
    if not isinstance(batch, np.ndarray) or batch.ndim not in {3, 4}:
        raise InputError(
            f"expected images of shape (n, height, width) or (n, height, width, channels), got "
            f"{np.shape(batch) if isinstance(batch, np.ndarray) else type(batch).__name__}",
            where="images",
        )
    if batch.ndim == 3:
        return batch[..., None]
    last = np.moveaxis(batch, 1, -1) if channels == "first" else batch
    if last.shape[-1] not in {1, 2, 3, 4}:
        other = "last" if channels == "first" else "first"
        raise InputError(
            f"images of shape {batch.shape} would have {last.shape[-1]} channels",
            where="images",
            hint=f'channels="{other}" where they stand at the other end',
        )
    return last


def _as_came(made: npt.NDArray[Any], batch: npt.NDArray[Any], channels: str) -> npt.NDArray[Any]:
    if batch.ndim == 3:
        return made[..., 0]
    return np.ascontiguousarray(np.moveaxis(made, -1, 1)) if channels == "first" else made


def _check_values(images: npt.NDArray[Any]) -> None:
    if images.dtype == np.uint8:
        return
    if images.dtype.kind != "f":
        raise InputError(
            f"images of type {images.dtype}",
            where="images",
            hint="uint8 from 0 to 255, or floats from 0 to 1",
        )
    if images.size == 0:
        return
    low, high = float(images.min()), float(images.max())
    # A missing pixel fails this as well.
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"floats must lie between 0 and 1, these from {low:g} to {high:g}",
            where="images",
            hint="divide by 255, or corrupt the images before they are normalized",
        )
