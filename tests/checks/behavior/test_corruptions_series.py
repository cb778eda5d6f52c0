"""Series that get worse: jumps, gaps, noise, less resolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pytest_prodml.checks.behavior.corruptions import CORRUPTIONS, transform
from pytest_prodml.checks.behavior.corruptions.kinds import SERIES, robust_spread
from pytest_prodml.errors import InputError

NAMES = [one.name for one in CORRUPTIONS if one.kind == SERIES]
SEVERITY = {"noise": 0.3, "level_shift": 2.0, "gap": 0.2, "resampling": 4.0}


def made(name: str, batch: Any, severity: float | None = None, seed: int = 0, **options: Any) -> Any:
    chosen = SEVERITY[name] if severity is None else severity
    return transform(name, chosen, of=SERIES, **options)(batch, np.random.default_rng(seed))


def waves(n: int = 8, steps: int = 60) -> Any:
    rng = np.random.default_rng(0)
    return np.sin(np.arange(steps) / 6 + rng.uniform(0, 6, (n, 1))) * rng.uniform(1, 9, (n, 1))


@pytest.mark.parametrize("name", NAMES)
@given(
    batch=npst.arrays(
        st.sampled_from([np.float64, np.float32, np.int16, np.int64]),
        npst.array_shapes(min_dims=2, max_dims=3, max_side=12),
        elements=st.integers(-1000, 1000),
    ),
    seed=st.integers(0, 5),
)
@settings(max_examples=40, deadline=None)
def test_shape_and_type_stay(name: str, batch: Any, seed: int) -> None:
    before = batch.copy()
    after = made(name, batch, seed=seed)
    assert np.array_equal(batch, before)
    assert after.shape == batch.shape
    assert after.dtype == batch.dtype
    assert np.array_equal(after, made(name, batch, seed=seed), equal_nan=batch.dtype.kind == "f")
    listed = made(name, list(batch), seed=seed)
    assert all(
        np.array_equal(one, other, equal_nan=batch.dtype.kind == "f")
        for one, other in zip(listed, after, strict=True)
    )


def test_noise_is_a_share_of_the_spread_of_its_series() -> None:
    scale = np.array([[1.0], [1000.0]])
    batch = np.random.default_rng(1).normal(size=(2, 20_000)) * scale
    apart = made("noise", batch, 0.1) - batch
    assert np.allclose(apart.std(axis=1, keepdims=True) / scale, 0.1, rtol=0.05)


def test_a_level_shifts_once_by_its_height() -> None:
    batch = waves(50)
    apart = made("level_shift", batch, 2.0) - batch
    starts = set()
    for own, change in zip(batch, apart, strict=True):
        start = int(np.flatnonzero(change)[0])
        starts.add(start)
        assert start >= 1
        assert np.allclose(np.abs(change[start:]), 2 * robust_spread(own))
        assert np.allclose(change[:start], 0)
    assert len(starts) > 10
    assert len(np.unique(np.sign(apart.sum(axis=1)))) == 2
    whole = made("level_shift", batch, 2.0, whole=True) - batch
    assert np.allclose(whole, whole[:, :1])


def test_a_gap_is_one_of_its_length() -> None:
    batch = waves(50)
    lost = np.isnan(made("gap", batch, 0.25))
    assert (lost.sum(axis=1) == 15).all()
    assert all(np.ptp(np.flatnonzero(row)) == 14 for row in lost)
    assert (np.isnan(made("gap", batch, 0.001)).sum(axis=1) == 1).all()
    last = made("gap", batch, 0.25, fill="last")
    line = made("gap", batch, 0.25, fill="linear")
    for own, gone, flat, sloped in zip(batch, lost, last, line, strict=True):
        first = int(np.flatnonzero(gone)[0])
        assert np.allclose(flat[gone], own[first - 1] if first else own[gone.sum()])
        known = np.flatnonzero(~gone)
        assert np.allclose(sloped, np.interp(np.arange(60), known, own[known]))
    counts = np.arange(40).reshape(2, 20)
    assert (np.diff(made("gap", counts, 0.3)) == 0).sum() >= 10
    with pytest.raises(InputError, match="can not hold NaN"):
        made("gap", counts, 0.3, fill="nan")


def test_resampling_keeps_the_means_of_blocks_in_the_middle() -> None:
    ramp = np.arange(30.0)[None, :]
    after = made("resampling", ramp, 3)
    assert np.allclose(after[0, 1:-1], ramp[0, 1:-1])
    assert after[0, 0] == 1
    spike = np.zeros((1, 30))
    spike[0, 10] = 9
    assert made("resampling", spike, 3).max() == 3


def test_missing_steps_stay_missing_and_constants_constant() -> None:
    batch = waves(4)
    batch[:, 3:6] = np.nan
    batch[0] = 5.0
    for name in ("noise", "level_shift", "resampling"):
        after = made(name, batch)
        assert np.array_equal(np.isnan(after), np.isnan(batch))
        assert (after[0] == 5.0).all()
        assert not np.array_equal(after[1:], batch[1:], equal_nan=True)


def test_series_of_several_lengths_are_a_list() -> None:
    batch = [waves(1, 20)[0], waves(1, 33)[0]]
    assert [len(one) for one in made("noise", batch)] == [20, 33]


@pytest.mark.parametrize(
    ("name", "batch", "severity", "options", "told"),
    [
        ("gap", waves(), 1.5, {}, "from 0 to 1"),
        ("gap", waves(), 0.5, {"fill": "zero"}, "must be one of"),
        ("resampling", waves(), 1, {}, "from 2"),
        ("resampling", waves(), 2.5, {}, "whole number"),
        ("gap", ["a"], 0.5, {}, "takes series"),
        ("gap", np.zeros(5), 0.5, {}, "takes series"),
        ("gap", np.zeros((3, 0)), 0.5, {}, "a series is numbers"),
    ],
)
def test_wrong_series_get_a_sentence(
    name: str, batch: Any, severity: float, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        made(name, batch, severity, **options)


def test_a_gap_swallows_whatever_is_in_it() -> None:
    lost = made("gap", np.full((1, 10), np.inf), 1.0)
    assert np.isnan(lost).all()


def test_infinite_steps_stay() -> None:
    batch = waves(3)
    batch[:, 7] = np.inf
    batch[0, 20] = -np.inf
    for name in ("noise", "level_shift", "resampling"):
        after = made(name, batch)
        assert np.array_equal(np.isinf(batch), np.isinf(after))
        assert (after[:, 40:] != batch[:, 40:]).any()
