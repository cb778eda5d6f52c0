"""Timing through pytest-benchmark: one call a sample, in call order, also where xdist switched it off."""

from __future__ import annotations

import itertools
import math
import re
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pytest_prodml.errors import ConfigurationError, InputError, MissingDependencyError

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zµμ]+)")
_LEAST_WARMUP_CALLS = 50
_LEAST_WARMUP_SECONDS = 0.5
_MOST_WARMUP_CALLS = 10_000
#: A cheap call is timed for this long, up to this many times the planned calls: calls in a row resemble each
#: other and are worth fewer than they are.
_SPARE_SECONDS = 1.0
_MOST_SPARE = 50


def seconds(budget: float | str) -> float:
    """Read a duration: seconds as a number, or text such as ``"5 ms"``.

    Raises
    ------
    ConfigurationError
        If it is neither, or not above zero.
    """
    value = math.nan
    if isinstance(budget, str):
        match = _DURATION.fullmatch(budget.strip())
        if match and match[2] in _UNITS:
            value = float(match[1]) * _UNITS[match[2]]
    elif isinstance(budget, (int, float)) and not isinstance(budget, bool):
        value = float(budget)
    if not 0 < value < math.inf:
        raise ConfigurationError(
            f"the budget {budget!r} is not a duration",
            hint=f'give seconds as a number, or text such as "5 ms" (units: {", ".join(_UNITS)})',
        )
    return value


def time_calls(
    request: pytest.FixtureRequest, calls: Sequence[Callable[[], object]], *, rounds: int
) -> list[float]:
    """Time `rounds` calls, taking `calls` in turn, after a warm-up that is thrown away.

    Every sample is one call: pytest-benchmark's own calibration averages over many calls, and a mean has no
    tail. Nothing else happens between the two readings of the clock.

    Returns
    -------
    list of float
        Seconds, in the order of the calls.

    Raises
    ------
    MissingDependencyError
        If pytest-benchmark is not there.
    InputError
        If it was switched off by the user, or used by the test already.
    """
    __tracebackhide__ = True
    benchmark = _fixture(request)
    warmup = _warmup_calls(calls[0])
    turn = itertools.cycle(calls)
    # xdist switches benchmarks off, since workers disturb each other. A call that was disturbed is too slow,
    # never too fast, so a pass stays a pass; the check makes an inconclusive verdict of a failure.
    disabled, benchmark.disabled = benchmark.disabled, False
    try:
        benchmark.pedantic(
            lambda call: call(),
            setup=lambda: ((next(turn),), {}),
            rounds=rounds,
            iterations=1,
            warmup_rounds=warmup,
        )
    finally:
        benchmark.disabled = disabled
    return list(benchmark.stats.stats.data)


def affordable_rounds(call: Callable[[], object], planned: int) -> int:
    """Return how many calls to time: those planned, and more where they are cheap.

    Fixed before the first sample is taken, from the duration of a few calls that are thrown away.
    """
    each = _seconds_each(call)
    spare = math.ceil(_SPARE_SECONDS / each) if each > 0 else planned * _MOST_SPARE
    return min(max(planned, spare), planned * _MOST_SPARE)


def clock_overhead(*, rounds: int = 1000) -> float:
    """Return the median seconds between two readings of the clock around an empty call."""

    def nothing() -> None:
        pass

    samples = []
    for _ in range(rounds):
        start = time.perf_counter()
        nothing()
        samples.append(time.perf_counter() - start)
    return statistics.median(samples)


def _fixture(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401 - pytest-benchmark has no types
    __tracebackhide__ = True
    config = request.config
    if not config.pluginmanager.hasplugin("benchmark"):
        raise MissingDependencyError(
            "latency is measured through pytest-benchmark, which is not installed or switched off",
            where="ml_latency",
            hint='pip install "pytest-prodml[latency]", and leave out -p no:benchmark',
        )
    option = config.getoption
    if option("benchmark_skip") or (option("benchmark_disable") and not option("benchmark_enable")):
        raise InputError(
            "benchmarks are switched off, so there is no latency to judge",
            where="ml_latency",
            hint="leave out --benchmark-disable and --benchmark-skip",
        )
    benchmark = request.getfixturevalue("benchmark")
    if benchmark.stats is not None:
        raise InputError(
            "this test has timed something already, and pytest-benchmark times once a test",
            where="ml_latency",
            hint="make one test for each batch size, for example with pytest.mark.parametrize",
        )
    timer = str(option("benchmark_timer"))
    if "perf_counter" not in timer:
        raise InputError(
            f"latency needs a wall clock, and pytest-benchmark's timer is {timer}",
            where="ml_latency",
            hint="leave out --benchmark-timer",
        )
    return benchmark


def _seconds_each(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(_LEAST_WARMUP_CALLS):
        call()
    return (time.perf_counter() - start) / _LEAST_WARMUP_CALLS


def _warmup_calls(call: Callable[[], object]) -> int:
    each = _seconds_each(call)
    more = math.ceil(_LEAST_WARMUP_SECONDS / each) if each > 0 else _MOST_WARMUP_CALLS
    return min(max(_LEAST_WARMUP_CALLS, more), _MOST_WARMUP_CALLS)
