"""Two things timed in turn, in blocks of calls (ABBA), for ratios that a machine's mood does not change."""

from __future__ import annotations

import itertools
import math
import operator
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pytest_prodml.plugin.bench import Arguments, Call, benchmark_of, direct, seconds_each, warm_up

_BLOCK_SECONDS = 0.005
_LEAST_BLOCK_CALLS = 5


def block_calls(call: Call) -> int:
    """Return how many calls make a block: at least 5, and 5 ms."""
    return max(_LEAST_BLOCK_CALLS, math.ceil(_BLOCK_SECONDS / max(seconds_each(call), 1e-9)))


def time_beside(
    request: pytest.FixtureRequest, calls: Sequence[Call], other: Call, *, quadruples: int
) -> tuple[list[float], list[float]]:
    """Time calls through pytest-benchmark, and another call in blocks between them.

    Returns
    -------
    tuple of lists of float
        For each quadruple the median seconds of a call of either.
    """
    __tracebackhide__ = True
    benchmark = benchmark_of(request)
    own, others = block_calls(calls[0]), block_calls(other)
    warm_up(calls[0])
    warm_up(other)
    target, arguments = direct(calls)
    turn = itertools.cycle(arguments)
    medians: list[float] = []
    position = 0

    def setup() -> Arguments:
        nonlocal position
        block, within = divmod(position, own)
        if within == 0 and block % 2 == 1:
            # Between the two blocks of a quadruple: the two of the other.
            medians.append(statistics.median(_each(other, 2 * others)))
        position += 1
        return next(turn)

    disabled, benchmark.disabled = benchmark.disabled, False
    try:
        benchmark.pedantic(target, setup=setup, rounds=2 * own * quadruples, iterations=1)
    finally:
        benchmark.disabled = disabled
    samples = benchmark.stats.stats.data
    starts = range(0, len(samples), 2 * own)
    return [statistics.median(samples[start : start + 2 * own]) for start in starts], medians


def time_against(
    first: Sequence[Call], second: Sequence[Call], *, quadruples: int, clock: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Time two models in turn by a clock that is read around blocks.

    Returns
    -------
    tuple of lists of float
        For each quadruple the mean seconds of a call of either, by `clock`.
    """
    calls = max(block_calls(first[0]), block_calls(second[0]))
    warm_up(first[0])
    warm_up(second[0])
    turns = itertools.cycle(first), itertools.cycle(second)
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(quadruples):
        spent = [0.0, 0.0]
        for which in (0, 1, 1, 0):
            spent[which] += _block(turns[which], calls, clock)
        for times, total in zip(found, spent, strict=True):
            times.append(total / (2 * calls))
    return found


def _each(call: Call, count: int) -> list[float]:
    clock = time.perf_counter
    found = [0.0] * count
    for place in range(count):
        start = clock()
        operator.call(call)
        found[place] = clock() - start
    return found


def _block(turn: Any, calls: int, clock: Callable[[], float]) -> float:  # noqa: ANN401 - an endless iterator
    chosen = [next(turn) for _ in range(calls)]
    start = clock()
    for call in chosen:
        call()
    return clock() - start
