"""The case about memory: repeated calls -> bytes that stay behind with each call.

Two instruments, neither of which other programs on the machine disturb. `tracemalloc` counts what Python and
numpy allocate and do not free, to the byte. The resident set sees what native libraries keep, but moves in
pages and in steps of its own; it accuses only if it grows in each of three stretches, twice in a row.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import pickle
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_prodml.adapters.predictor import Predictor
from pytest_prodml.checks.behavior.batches import Batch, take
from pytest_prodml.checks.behavior.execution_answers import copied
from pytest_prodml.checks.behavior.execution_trial import (
    Case,
    Finding,
    NotTriedError,
    Status,
    Trial,
    failed,
)

_ROWS = 32
_WARM_UP = 10
_STRETCHES = 3
_POINTS = 5  # in each stretch
_SECONDS = 1.0
_MOST_CALLS = 1_500
_LEAST_CALLS = 45
#: The resident set moves by less than this without any reason.
_NATIVE_NOISE = 2 * 2**20
_STATM = Path("/proc/self/statm")


def _memory(trial: Trial, _: Case) -> Finding:
    batch = take(trial.batch, trial.first(_ROWS))
    make = _maker(batch)
    predictor = trial.predictor
    try:
        for _number in range(_WARM_UP):
            _call(predictor, make)
        start = time.perf_counter()
        _call(predictor, make)
        seconds = max(time.perf_counter() - start, 1e-6)
        calls = round(min(max(_SECONDS / seconds, _LEAST_CALLS), _MOST_CALLS))
        native, tried = _native_growth(predictor, make, calls)
        # Tracing makes calls several times slower.
        python, traced = _python_growth(predictor, make, max(_LEAST_CALLS, calls // 3))
    except Exception as error:  # noqa: BLE001 - the model's own
        return failed(f"a repeated call ends with {type(error).__name__}")
    tried += traced
    for growing, what in ((python, "of Python objects"), (native, "of the process")):
        if growing is not None and growing > trial.memory_per_call:
            told = f"{growing:,.0f} bytes {what} stay behind with each call of {len(batch)} rows"
            return failed(told, tried=tried)
    if python is None:
        raise NotTriedError("Python does not tell how much memory is in use")
    told = "Python objects" if native is None else "Python objects and resident memory"
    return Finding(status=Status.PASSED, tried=tried, told=f"{told}, {len(batch)} rows a call")


def _maker(batch: Batch) -> Callable[[], Batch]:
    """Return what makes the input of a call anew.

    A copy of a frame leaves a reference behind in the frame that it was made from, which would count.
    """
    try:
        data = pickle.dumps(batch)
        pickle.loads(data)  # noqa: S301 - made one line before, from what is in memory
    except Exception:  # noqa: BLE001 - any object's own
        return lambda: copied(batch)
    return lambda: pickle.loads(data)  # noqa: S301 - likewise


def _call(predictor: Predictor, make: Callable[[], Batch]) -> None:
    given = make()
    predictor.predict_score(given)
    predictor.predict(given)


def _series(
    predictor: Predictor, make: Callable[[], Batch], read: Callable[[], float], each: int
) -> list[float]:
    """Return what `read` says after every few calls."""
    found = []
    for _ in range(_STRETCHES * _POINTS):
        gc.collect()
        found.append(read())
        for _ in range(each):
            _call(predictor, make)
    gc.collect()
    return [*found, read()]


def growth(series: Sequence[float]) -> float:
    """Return how much is added from point to point: the smallest of the slopes of three equal stretches.

    The slope of a stretch is the median of those of all pairs of its points (Theil 1950; Sen 1968), which a
    single step does not move. What grows with every call grows in every stretch; what a cache, a pool or a
    fragmented heap takes once does not. Not above 0 unless all three grow.
    """
    points = (len(series) - 1) // _STRETCHES
    slopes = []
    for part in range(_STRETCHES):
        values = series[part * points : (part + 1) * points + 1]
        pairs = itertools.combinations(range(len(values)), 2)
        slopes.append(statistics.median((values[b] - values[a]) / (b - a) for a, b in pairs))
    return min(slopes)


def _python_growth(predictor: Predictor, make: Callable[[], Batch], calls: int) -> tuple[float | None, int]:
    """Return the bytes that Python objects take more with each call, and the calls made."""
    each = max(1, calls // (_STRETCHES * _POINTS))
    was_tracing = tracemalloc.is_tracing()
    try:
        if not was_tracing:
            tracemalloc.start(1)
        # What was made before and is made anew while it is traced (caches, pools) is no growth.
        for _ in range(_WARM_UP):
            _call(predictor, make)
        series = _series(predictor, make, lambda: float(tracemalloc.get_traced_memory()[0]), each)
    except RuntimeError:
        return None, 0
    finally:
        if not was_tracing and tracemalloc.is_tracing():
            tracemalloc.stop()
    return growth(series) / each, each * _STRETCHES * _POINTS


def _native_growth(predictor: Predictor, make: Callable[[], Batch], calls: int) -> tuple[float | None, int]:
    """Return the bytes that the process takes more with each call (None: not told), and the calls made.

    0 where it grew by less than it moves for no reason, in either of two rounds.
    """
    if resident() is None:
        return None, 0
    each = max(1, calls // (_STRETCHES * _POINTS))
    found = []
    for made in (1, 2):
        series = _series(predictor, make, lambda: float(resident() or 0), each)
        if growth(series) <= 0 or series[-1] - series[0] < _NATIVE_NOISE:
            return 0.0, made * each * _STRETCHES * _POINTS
        found.append(growth(series) / each)
    return min(found), 2 * each * _STRETCHES * _POINTS


def resident() -> int | None:
    """Return the bytes of this process in memory; None where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return None
    # In a long process the heap is full of pages that were freed and not given back: a leak would fill these
    # first and not be seen.
    _give_back()
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    import resource

    return pages * resource.getpagesize()


def _give_back() -> None:
    """Let the C library return freed pages to the system, where it knows how (glibc)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


CASES = (
    Case(
        name="memory",
        topic="calls",
        claim="repeated calls leave no more memory behind than the limit for each call",
        run=_memory,
    ),
)
