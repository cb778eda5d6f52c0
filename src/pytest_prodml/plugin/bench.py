"""Timing through pytest-benchmark: one call a sample, in call order, also where xdist switched it off."""

from __future__ import annotations

import functools
import itertools
import math
import operator
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from pytest_prodml.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from pytest_prodml.checks.latency.conditions import Conditions

Call = Callable[[], object]
#: What pytest-benchmark calls a function with: positional arguments, and those by name.
Arguments = tuple[tuple[Any, ...], dict[str, Any]]

_LEAST_WARMUP_CALLS = 50
_LEAST_WARMUP_SECONDS = 0.5
_MOST_WARMUP_CALLS = 10_000
_CLOCK_LOOKS = 5
#: The machine is looked at between blocks; a run has at least this many before its first look.
_BLOCKS_OF_A_LOOK = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Seconds of each call in order, under which conditions, and how the run went.

    `warmup_calls` were thrown away before the first sample, `discarded_calls` because there was no steady
    state when they had been taken. `looks_taken` of the planned ones were needed.
    """

    samples: list[float]
    conditions: Conditions
    warmup_calls: int
    discarded_calls: int = 0
    looks_taken: int = 1
    sizes: tuple[int, ...] = field(default=())


class _Enough(BaseException):
    """Ends a run from within. No Exception: pytest-benchmark would take the run for broken."""


def time_calls(
    request: pytest.FixtureRequest,
    calls: Sequence[Call],
    *,
    sizes: Sequence[int],
    is_decided: Callable[[list[float], Conditions], bool] | None = None,
    base: Conditions,
) -> Timed:
    """Time calls, taking `calls` in turn, after a warm-up that is thrown away.

    Every sample is one call: pytest-benchmark's own calibration averages over many calls, and a mean has no
    tail. Nothing else happens between the two readings of the clock. The machine's counters are read, and
    pauses looked for, between blocks of calls.

    Parameters
    ----------
    request : pytest.FixtureRequest
        Of the test, whose ``benchmark`` fixture is used.
    calls : sequence of callable
        Each makes one prediction.
    sizes : sequence of int
        The numbers of calls at which `is_decided` is asked; the last one ends the run.
    is_decided : callable, optional
        Whether the samples so far and their conditions decide; default never before the last.
    base : Conditions
        What is known beforehand.

    Raises
    ------
    MissingDependencyError
        If pytest-benchmark is not there.
    InputError
        If it was switched off by the user, or used by the test already.

    Notes
    -----
    A run whose first look finds no steady state throws its samples away as further warm-up, once.
    """
    __tracebackhide__ = True
    from pytest_prodml.checks.latency.conditions import Watch
    from pytest_prodml.checks.timings import MOST_DRIFT, checked_samples, drift_of

    benchmark = benchmark_of(request)
    warmup = warm_up(calls[0])
    target, arguments = direct(calls)
    turn = itertools.cycle(arguments)
    watch = Watch()
    run = _Run(sizes)
    block = max(1, math.ceil(sizes[0] / _BLOCKS_OF_A_LOOK))
    taken: list[float] = []

    def look() -> None:
        """Judge what has been taken, at a planned number of calls."""
        run.looks += 1
        known = watch.conditions(base)
        if run.looks == 1 and not run.discarded and abs(drift_of(checked_samples(taken))) > MOST_DRIFT:
            run.discarded, run.looks, run.position = len(taken), 0, 0
            taken.clear()
            watch.forget()
            watch.look_for_pauses()
        elif run.position == sizes[-1] or (is_decided is not None and is_decided(taken, known)):
            raise _Enough

    def between() -> None:
        watch.end()
        watch.look_for_pauses()
        if run.position == sizes[run.looks]:
            look()
        run.next_stop = min(run.position + block, sizes[run.looks])
        watch.begin()

    def setup() -> Arguments:
        nonlocal taken
        if run.position == run.next_stop:
            taken = benchmark.stats.stats.data
            between()
        run.position += 1
        return next(turn)

    run.next_stop = min(block, sizes[0])
    # xdist switches benchmarks off, since workers disturb each other. A call that was disturbed is too slow,
    # never too fast, so a pass stays a pass; the check makes an inconclusive verdict of a failure.
    disabled, benchmark.disabled = benchmark.disabled, False
    watch.look_for_pauses()
    watch.begin()
    try:
        # One round more than can be needed: its setup is where the last look ends the run.
        benchmark.pedantic(target, setup=setup, rounds=2 * sizes[-1] + 1, iterations=1)
    except _Enough:
        if benchmark.cprofile:
            _profile(benchmark, target, arguments[0])
    finally:
        benchmark.disabled = disabled
    return Timed(
        samples=list(benchmark.stats.stats.data),
        conditions=watch.conditions(base),
        warmup_calls=warmup,
        discarded_calls=run.discarded,
        looks_taken=run.looks,
        sizes=tuple(sizes),
    )


@dataclass(slots=True)
class _Run:
    """Where a run stands: calls since it began or was begun again, and the next pause between blocks."""

    sizes: Sequence[int]
    position: int = 0
    next_stop: int = 0
    looks: int = 0
    discarded: int = 0


def _profile(benchmark: Any, target: Callable[..., object], arguments: Arguments) -> None:  # noqa: ANN401
    """Profile one call, as pytest-benchmark does at the end of a run of its own (--benchmark-cprofile)."""
    import cProfile

    profile = cProfile.Profile()
    for _ in range(benchmark.cprofile_loops or 1):
        profile.runcall(target, *arguments[0], **arguments[1])
    benchmark._save_cprofile(profile)  # noqa: SLF001 - there is no other way to keep its option working


def direct(calls: Sequence[Call]) -> tuple[Callable[..., object], list[Arguments]]:
    """Return one function and its arguments for each call: as little as possible between clock and model.

    Partial calls of one session are calls of its own method; what nothing is known of is called by C code.
    """
    first = calls[0]
    if all(isinstance(call, functools.partial) for call in calls):
        partials = [call for call in calls if isinstance(call, functools.partial)]
        if all(call.func == partials[0].func for call in partials):
            return partials[0].func, [(call.args, call.keywords) for call in partials]
    if len(calls) == 1:
        return first, [((), {})]
    return operator.call, [((call,), {}) for call in calls]


def warm_up(call: Call) -> int:
    """Call until it is warm, at least 50 times and for half a second, and return how often."""
    begin = time.perf_counter()
    count = 0
    while count < _MOST_WARMUP_CALLS and (
        count < _LEAST_WARMUP_CALLS or time.perf_counter() - begin < _LEAST_WARMUP_SECONDS
    ):
        call()
        count += 1
    return count


def seconds_each(call: Call, *, count: int = _LEAST_WARMUP_CALLS) -> float:
    """Return the median duration of a few calls that are thrown away."""
    samples = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        samples.append(time.perf_counter() - start)
    return statistics.median(samples)


def clock_overhead(*, rounds: int = 1000) -> float:
    """Return the median seconds that the clock and the way to a call add: those of a call of nothing."""
    nothing = ().__len__
    medians = []
    # The least of several: a neighbour slows a clock down as well, and is told as noise.
    for _ in range(_CLOCK_LOOKS):
        samples = []
        for _ in range(rounds // _CLOCK_LOOKS):
            start = time.perf_counter()
            operator.call(nothing)
            samples.append(time.perf_counter() - start)
        medians.append(statistics.median(samples))
    return min(medians)


def benchmark_of(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401 - pytest-benchmark has no types
    """Return the test's ``benchmark`` fixture, fit for one run.

    Raises
    ------
    MissingDependencyError
        If pytest-benchmark is not there.
    InputError
        If it was switched off by the user, or used by the test already, or has no wall clock.
    """
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
