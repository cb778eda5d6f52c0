"""Images that get worse: as the paper says, in every layout and type."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pytest_prodml.checks.behavior.corruptions import CORRUPTIONS, transform
from pytest_prodml.checks.behavior.corruptions.kinds import IMAGES
from pytest_prodml.errors import InputError

#: Pillow is no dependency: the test of `jpeg` is one of its own.
NAMES = [one.name for one in CORRUPTIONS if one.kind == IMAGES and one.name != "jpeg"]
LEVELED = ["gaussian_noise", "impulse_noise", "brightness", "contrast", "blur", "pixelate"]
SEVERITY = {"shift": 0.2, "rotation": 30.0, "flip": 1.0, "channel_order": 1.0, "greyscale": 1.0}
COLORED = {"channel_order", "greyscale"}


def made(name: str, images: Any, severity: float | None = None, seed: int = 0, **options: Any) -> Any:
    chosen = SEVERITY.get(name, 3.0) if severity is None else severity
    return transform(name, chosen, of=IMAGES, **options)(images, np.random.default_rng(seed))


def photographs(n: int = 6, height: int = 20, width: int = 24, channels: int = 3) -> Any:
    """Return smooth images with an edge: what blur and pixels do to noise says little."""
    rng = np.random.default_rng(0)
    down, right = np.mgrid[0:height, 0:width]
    base = 0.5 + 0.3 * np.sin(down / 5 + right / 7)
    tint = rng.uniform(0.6, 1.3, (n, 1, 1, channels))
    images = np.clip(base[None, :, :, None] * tint, 0, 1)
    images[:, 5:12, 8:15] = 0.05
    return images


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_shape_type_and_range_stay(name: str, dtype: Any) -> None:
    images = photographs()
    images = np.rint(images * 255).astype(np.uint8) if dtype is np.uint8 else images.astype(dtype)
    before = images.copy()
    after = made(name, images)
    assert np.array_equal(images, before)
    assert after.shape == images.shape
    assert after.dtype == images.dtype
    assert after.max() <= (255 if dtype is np.uint8 else 1)
    assert after.min() >= 0
    assert not np.array_equal(after, images)
    assert np.array_equal(after, made(name, images))
    first = np.ascontiguousarray(np.moveaxis(images, -1, 1))
    assert np.array_equal(np.moveaxis(made(name, first, channels="first"), 1, -1), after)
    if name not in COLORED:
        assert made(name, images[..., 0]).shape == images.shape[:3]


@pytest.mark.parametrize("name", LEVELED)
def test_each_level_is_worse_than_the_last(name: str) -> None:
    # At a size where pixels of all levels differ.
    images = photographs(4, 60, 60)
    for scale in ("imagenet", "small"):
        apart = [
            float(np.sqrt(((made(name, images, level, scale=scale) - images) ** 2).mean()))
            for level in (0.5, 1, 2, 3, 4, 5)
        ]
        # How well few pixels fall on edges differs from number to number.
        slack = 0.01 if name == "pixelate" else 1e-12
        assert all(first <= second + slack for first, second in itertools.pairwise(apart)), apart
        assert apart[0] < apart[-1]


def test_levels_are_those_of_the_paper() -> None:
    flat = np.full((4, 80, 80, 3), 0.5)
    assert float(made("gaussian_noise", flat, 1).std()) == pytest.approx(0.08, rel=0.02)
    assert float(made("gaussian_noise", flat[:, :32, :32], 1).std()) == pytest.approx(0.04, rel=0.03)
    assert float(made("gaussian_noise", flat, 0.07, scale="physical").std()) == pytest.approx(0.07, rel=0.02)
    assert float((made("impulse_noise", flat, 5) != 0.5).mean()) == pytest.approx(0.27, abs=0.01)
    assert np.allclose(made("brightness", flat, 2), 0.7)
    assert np.allclose(made("brightness", flat, -0.25, scale="physical"), 0.25)
    halves = flat.copy()
    halves[:, :40] = 0.9
    assert np.allclose(np.unique(made("contrast", halves, 3)), [0.7 - 0.2 * 0.2, 0.7 + 0.2 * 0.2])


def test_brightness_is_that_of_hue_saturation_value() -> None:
    import colorsys

    images = photographs(2, 6, 6)
    after = made("brightness", images, 4, scale="imagenet")
    for old, new in zip(images.reshape(-1, 3), after.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*old)
        assert np.allclose(new, colorsys.hsv_to_rgb(hue, saturation, min(value + 0.4, 1)))


@given(
    size=st.integers(2, 40),
    few=st.integers(1, 40),
    values=npst.arrays(np.float64, 40, elements=st.floats(0, 1)),
)
@settings(max_examples=60, deadline=None)
def test_pixels_are_the_means_of_areas(size: int, few: int, values: Any) -> None:
    few = min(few, size)
    row = values[:size]
    after = made("pixelate", row[None, None, :], few / size, scale="physical")[0, 0]
    count = max(int(size * (few / size)), 1)
    # The mean of a piece of a step function, by its integral.
    edges = np.arange(count + 1) * size / count
    integral = np.interp(edges, np.arange(size + 1), np.concatenate([[0], np.cumsum(row)]))
    means = np.diff(integral) * count / size
    assert np.allclose(after, means[((np.arange(size) + 0.5) * count / size).astype(int)])


def test_a_shift_moves_by_its_share() -> None:
    images = np.zeros((40, 50, 50))
    images[:, 25, 25] = 1.0
    after = made("shift", images, 0.2)
    for image in after:
        [[down, right]] = np.argwhere(image == 1)
        assert np.hypot(down - 25, right - 25) == pytest.approx(10, abs=1)
    assert len({tuple(np.argwhere(image == 1)[0]) for image in after}) > 10


def test_flips_colors_and_turns() -> None:
    images = photographs()
    assert np.array_equal(made("flip", images), images[:, :, ::-1])
    assert np.array_equal(made("flip", images, axis="vertical"), images[:, ::-1])
    mixed = made("flip", np.repeat(images, 60, axis=0), 0.3)
    share = np.mean(
        [not np.array_equal(a, b) for a, b in zip(mixed, np.repeat(images, 60, axis=0), strict=True)]
    )
    assert share == pytest.approx(0.3, abs=0.1)
    assert np.array_equal(made("channel_order", images), images[..., ::-1])
    gray = made("greyscale", images)
    assert np.allclose(gray[..., 0], images @ [0.299, 0.587, 0.114])
    square = photographs(3, 20, 20)
    turned = made("rotation", square, 90)
    assert all(
        np.allclose(new, np.rot90(old)) or np.allclose(new, np.rot90(old, -1))
        for old, new in zip(square, turned, strict=True)
    )


@pytest.mark.parametrize("name", [*LEVELED, *sorted(COLORED)])
def test_opacity_is_no_color(name: str) -> None:
    images = photographs(channels=4)
    after = made(name, images)
    assert np.array_equal(after[..., 3], images[..., 3])
    assert not np.array_equal(after[..., :3], images[..., :3])


def test_images_of_several_sizes_are_a_list() -> None:
    images = [photographs(1, 9, 9)[0], photographs(1, 20, 14)[0]]
    after = made("blur", images)
    assert [image.shape for image in after] == [(9, 9, 3), (20, 14, 3)]
    assert all(not np.array_equal(old, new) for old, new in zip(images, after, strict=True))


def test_many_images_are_changed_part_by_part() -> None:
    images = np.random.default_rng(0).random((1500, 40, 40, 3)).astype(np.float32)
    noisy = made("gaussian_noise", images, 1)
    assert (noisy != images).any(axis=(1, 2, 3)).all()


def test_jpeg_loses_what_a_file_loses() -> None:
    pytest.importorskip("PIL")
    images = np.rint(photographs(3, 40, 40) * 255).astype(np.uint8)
    apart = [
        float(np.abs(made("jpeg", images, level).astype(float) - images).mean()) for level in (0.2, 1, 3, 5)
    ]
    assert apart == sorted(apart)
    assert apart[-1] > apart[0]
    assert made("jpeg", images, 10, scale="physical").shape == images.shape
    assert made("jpeg", photographs()[..., 0], 5).shape == photographs()[..., 0].shape
    clear = np.rint(photographs(3, 40, 40, 4) * 255).astype(np.uint8)
    assert np.array_equal(made("jpeg", clear, 5)[..., 3], clear[..., 3])


@pytest.mark.parametrize(
    ("name", "images", "options", "told"),
    [
        ("blur", np.full((2, 4, 4), 300.0), {}, "between 0 and 1"),
        ("blur", np.full((2, 4, 4), np.nan), {}, "between 0 and 1"),
        ("blur", np.full((2, 4, 4), 7, dtype=np.int64), {}, "images of type int64"),
        ("blur", np.zeros((2, 3, 8, 8)), {}, 'channels="first"'),
        ("blur", np.zeros((2, 8, 8, 3)), {"channels": "first"}, 'channels="last"'),
        ("blur", np.zeros((2, 8, 8, 3)), {"channels": "middle"}, "must be one of"),
        ("blur", np.zeros((2, 8, 8, 3)), {"scale": "big"}, "must be one of"),
        ("greyscale", np.zeros((2, 8, 8)), {}, "three colors"),
        ("flip", np.zeros((2, 8, 8)), {"axis": "diagonal"}, "must be one of"),
        ("blur", np.zeros((2, 0, 8)), {}, "no pixels"),
        ("blur", np.zeros((2, 8)), {}, "takes images"),
        ("blur", ["a"], {}, "takes images"),
    ],
)
def test_wrong_images_get_a_sentence(name: str, images: Any, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        made(name, images, 1.0, **options)
    assert "Traceback" not in str(error.value)


def test_levels_end_at_five() -> None:
    with pytest.raises(InputError, match="above 0 up to 5"):
        made("blur", photographs(), 6.0)
    with pytest.raises(InputError, match="between -1 and 1"):
        made("brightness", photographs(), 4.0, scale="physical")


def test_whole_brightness_is_rounded_not_cut() -> None:
    flat = np.full((1, 4, 4), 100, dtype=np.uint8)
    # 100 + 0.03 * 255 = 107.65
    assert (made("brightness", flat, 0.03, scale="physical") == 108).all()


def test_a_shift_of_a_wide_image_goes_by_its_width() -> None:
    images = np.zeros((200, 20, 100))
    images[:, 10, 50] = 1.0
    places = np.array([np.argwhere(image == 1)[0] for image in made("shift", images, 0.2)])
    assert np.abs(places[:, 1] - 50).max() == 20
    assert np.abs(places[:, 0] - 10).max() == 4
