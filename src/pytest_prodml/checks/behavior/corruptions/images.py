"""Images and a severity -> the same images as cameras, storage and handling spoil them.

Images are an array of shape (n, height, width) or (n, height, width, channels), or a list of single ones;
whole numbers from 0 to 255 (uint8) or floats from 0 to 1. Shape and type stay, and of four channels the last,
how opaque a pixel is. Nothing that is drawn depends on the severity.

Severities 1 to 5 are those of Hendrycks, Dietterich (2019), "Benchmarking neural network robustness to common
corruptions": the table of ImageNet-C, and for images of at most 64 pixels a side the milder one of
CIFAR-10-C; levels between are interpolated. With ``scale="physical"`` the severity is the number itself. The
shift, flip, rotation and changes of color are not in that paper and have units of their own.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.checks.behavior.batches import Batch
from pytest_prodml.checks.behavior.corruptions.kinds import IMAGES, Corruption, check_choice
from pytest_prodml.checks.behavior.corruptions.pixels import PHYSICAL, Pixels, each, leveled
from pytest_prodml.errors import InputError

Rng: TypeAlias = np.random.Generator

#: Weights of red, green and blue in what looks equally bright (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114])


def gaussian_noise(
    batch: Batch, severity: float, rng: Rng, *, scale: str = "levels", channels: str = "last"
) -> Batch:
    """Add normal noise to every value.

    Parameters
    ----------
    batch : array or list
        Images.
    severity : float
        Level, above 0 to 5; with ``scale="physical"`` the standard deviation, of a brightness from 0 to 1.
    rng : numpy Generator
    scale : {"levels", "imagenet", "small", "physical"}
        Which table a level is looked up in; "levels" decides by the size of the images.
    channels : {"last", "first"}
        Where the channels of four-dimensional images are.
    """
    return leveled(
        "gaussian_noise", batch, severity, scale, channels, lambda x, c: x + c * rng.standard_normal(x.shape)
    )


def impulse_noise(
    batch: Batch, severity: float, rng: Rng, *, scale: str = "levels", channels: str = "last"
) -> Batch:
    """Turn a share of the values black or white, each by a draw of its own; see `gaussian_noise`."""

    def changed(pixels: Pixels, amount: float) -> Pixels:
        hit, way = rng.random(pixels.shape), rng.random(pixels.shape)
        return np.where(hit < amount, (way < 0.5).astype(np.float64), pixels)

    return leveled("impulse_noise", batch, severity, scale, channels, changed)


def brightness(
    batch: Batch, severity: float, rng: Rng, *, scale: str = "levels", channels: str = "last"
) -> Batch:
    """Make images brighter: the value of hue, saturation and value. Physically also darker.

    See `gaussian_noise`.
    """
    del rng

    def changed(pixels: Pixels, amount: float) -> Pixels:
        value = pixels.max(axis=-1, keepdims=True)
        new = np.clip(value + amount, 0, 1)
        # Black has no hue: it becomes gray.
        return np.asarray(np.where(value > 0, pixels * (new / np.where(value > 0, value, 1)), new))

    return leveled("brightness", batch, severity, scale, channels, changed)


def contrast(
    batch: Batch, severity: float, rng: Rng, *, scale: str = "levels", channels: str = "last"
) -> Batch:
    """Draw every channel of an image towards its own mean; see `gaussian_noise`."""
    del rng

    def changed(pixels: Pixels, kept: float) -> Pixels:
        means = pixels.mean(axis=(1, 2), keepdims=True)
        return np.asarray((pixels - means) * kept + means)

    return leveled("contrast", batch, severity, scale, channels, changed)


def blur(batch: Batch, severity: float, rng: Rng, *, scale: str = "levels", channels: str = "last") -> Batch:
    """Blur with a normal kernel; edges are continued by their last pixel. See `gaussian_noise`."""
    del rng
    gaussian_filter = require("scipy.ndimage", extra="behavior").gaussian_filter

    def changed(pixels: Pixels, sigma: float) -> Pixels:
        blurred: Pixels = gaussian_filter(pixels, sigma=(0, sigma, sigma, 0), mode="nearest")
        return blurred

    return leveled("blur", batch, severity, scale, channels, changed)


def jpeg(batch: Batch, severity: float, rng: Rng, *, scale: str = "levels", channels: str = "last") -> Batch:
    """Store each image as JPEG and read it again; needs Pillow. See `gaussian_noise`.

    Physically the severity is the quality, 1 to 100: less is worse.
    """
    del rng
    image = require("PIL.Image", extra="images")

    def stored(pixels: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
        file = io.BytesIO()
        image.fromarray(pixels).save(file, "JPEG", quality=quality)
        return np.asarray(image.open(file))

    def changed(pixels: Pixels, quality: float) -> Pixels:
        rounded = np.rint(pixels * 255).astype(np.uint8)
        made = np.empty_like(rounded)
        together = rounded.shape[-1] == 3
        for place, own in enumerate(rounded):
            if together:
                made[place] = stored(own, round(quality))
            else:
                for channel in range(own.shape[-1]):
                    made[place, ..., channel] = stored(own[..., channel], round(quality))
        return made / 255

    return leveled("jpeg", batch, severity, scale, channels, changed)


def pixelate(
    batch: Batch, severity: float, rng: Rng, *, scale: str = "levels", channels: str = "last"
) -> Batch:
    """Shrink images by the mean of areas, and blow them up by repeating pixels; see `gaussian_noise`."""
    del rng

    def changed(pixels: Pixels, kept: float) -> Pixels:
        for axis in (1, 2):
            size = pixels.shape[axis]
            few = max(int(size * kept), 1)
            small = np.tensordot(pixels, _areas(size, few), axes=(axis, 1))
            pixels = np.moveaxis(small, -1, axis)
            pixels = np.take(pixels, ((np.arange(size) + 0.5) * few / size).astype(np.intp), axis=axis)
        return pixels

    return leveled("pixelate", batch, severity, scale, channels, changed)


def shift(batch: Batch, severity: float, rng: Rng, *, channels: str = "last") -> Batch:
    """Move images by a share of their size in a direction drawn for each; see `gaussian_noise`.

    What enters is the last row and column of pixels, repeated.
    """

    def changed(pixels: Pixels) -> Pixels:
        n, height, width, _ = pixels.shape
        made = np.empty_like(pixels)
        for place in range(n):
            angle = rng.uniform(0, 2 * np.pi)
            down, right = round(severity * height * np.sin(angle)), round(severity * width * np.cos(angle))
            rows = np.clip(np.arange(height) - down, 0, height - 1)
            columns = np.clip(np.arange(width) - right, 0, width - 1)
            made[place] = pixels[place][rows][:, columns]
        return made

    return each(batch, changed, channels, with_alpha=True)


def rotation(batch: Batch, severity: float, rng: Rng, *, channels: str = "last") -> Batch:
    """Turn images about their center by `severity` degrees, either way; see `shift`."""
    rotate = require("scipy.ndimage", extra="behavior").rotate

    def changed(pixels: Pixels) -> Pixels:
        ways = np.where(rng.random(len(pixels)) < 0.5, -1.0, 1.0)
        made = np.empty_like(pixels)
        for place, way in enumerate(ways):
            made[place] = rotate(
                pixels[place], way * severity, axes=(0, 1), reshape=False, order=1, mode="nearest"
            )
        return made

    return each(batch, changed, channels, with_alpha=True)


def flip(
    batch: Batch, severity: float, rng: Rng, *, axis: str = "horizontal", channels: str = "last"
) -> Batch:
    """Mirror a share of the images left to right, or top to bottom with `axis` "vertical"."""
    check_choice(axis, ("horizontal", "vertical"), "axis", "flip")

    def changed(pixels: Pixels) -> Pixels:
        mirrored = pixels[:, :, ::-1] if axis == "horizontal" else pixels[:, ::-1]
        return _where(rng.random(len(pixels)) < severity, mirrored, pixels)

    return each(batch, changed, channels, with_alpha=True)


def channel_order(batch: Batch, severity: float, rng: Rng, *, channels: str = "last") -> Batch:
    """Reverse the colors of a share of the images: red, green, blue as blue, green, red."""

    def changed(pixels: Pixels) -> Pixels:
        _check_colors(pixels, "channel_order")
        return _where(rng.random(len(pixels)) < severity, pixels[..., ::-1], pixels)

    return each(batch, changed, channels)


def greyscale(batch: Batch, severity: float, rng: Rng, *, channels: str = "last") -> Batch:
    """Take a share of the color away: 1 leaves gray of the same brightness (ITU-R BT.601)."""
    del rng

    def changed(pixels: Pixels) -> Pixels:
        _check_colors(pixels, "greyscale")
        gray = (pixels @ _LUMA)[..., None]
        made: Pixels = pixels + severity * (gray - pixels)
        return made

    return each(batch, changed, channels)


def _areas(size: int, few: int) -> Pixels:
    """Return the weights, (few, size), with which pixels enter the means of equal areas."""
    edges = np.arange(few + 1) * size / few
    start, end = np.arange(size), np.arange(size) + 1
    overlap = np.minimum(end, edges[1:, None]) - np.maximum(start, edges[:-1, None])
    weights: Pixels = np.clip(overlap, 0, None) * few / size
    return weights


def _where(is_hit: npt.NDArray[np.bool_], first: Pixels, second: Pixels) -> Pixels:
    made: Pixels = np.where(is_hit[:, None, None, None], first, second)
    return made


def _check_colors(pixels: Pixels, where: str) -> None:
    if pixels.shape[-1] != 3:
        raise InputError(f"needs three colors, got {pixels.shape[-1]} channels", where=where)


_SHAPE = {"channels": "where the channels are: last or first"}
_LEVELED = {**_SHAPE, "scale": "levels, imagenet, small, or physical"}


def _level(name: str, apply: Callable[..., Batch]) -> Corruption:
    return Corruption(
        name=name,
        kind=IMAGES,
        apply=apply,
        unit=f"level above 0 to 5; with scale='physical': {PHYSICAL[name][2]}",
        low=min(PHYSICAL[name][0], 0.0),
        high=max(PHYSICAL[name][1], 5.0),
        options=_LEVELED,
    )


CORRUPTIONS = (
    _level("gaussian_noise", gaussian_noise),
    _level("impulse_noise", impulse_noise),
    _level("brightness", brightness),
    _level("contrast", contrast),
    _level("blur", blur),
    _level("jpeg", jpeg),
    _level("pixelate", pixelate),
    Corruption(name="shift", kind=IMAGES, apply=shift, unit="share of the images' size", options=_SHAPE),
    Corruption(name="rotation", kind=IMAGES, apply=rotation, unit="degrees", high=180, options=_SHAPE),
    Corruption(
        name="flip",
        kind=IMAGES,
        apply=flip,
        unit="share of images that are mirrored",
        options={**_SHAPE, "axis": "horizontal or vertical"},
    ),
    Corruption(
        name="channel_order",
        kind=IMAGES,
        apply=channel_order,
        unit="share of images with their colors reversed",
        options=_SHAPE,
    ),
    Corruption(
        name="greyscale", kind=IMAGES, apply=greyscale, unit="share of the color taken away", options=_SHAPE
    ),
)
