"""The case about threads: the same questions from eight threads at once, and in turn.

Threads of Python take turns every few milliseconds, which a short call seldom notices. So they take turns
oftener, and after two rounds one thread at a time also stops at random lines of the project's own code, as in
a debugger, until others went through as many lines as a call has: what must not be parted is parted there.
"""

from __future__ import annotations

import random
import sys
import sysconfig
import threading
import time
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import pytest_prodml
from pytest_prodml.checks.behavior.batches import Batch, take
from pytest_prodml.checks.behavior.execution_answers import Answer, Refusal, ask
from pytest_prodml.checks.behavior.execution_trial import Case, Finding, Status, Trial, failed

THREADS = 8
_ROUNDS = 40
_THREAD_SECONDS = 2.0
#: Beyond what the calls took one after the other, a deadlock is meant.
_DEADLOCK_SECONDS = 60.0
_SWITCH_SECONDS = 5e-5
#: Rounds without stops, and with stops at least.
_PLAIN_ROUNDS, _STOPPED_ROUNDS = 2, 4
#: How often a call stops at lines of the project, how long at most, and in what steps it looks up.
_STOPS, _MOST_AT_LINE, _STOP_SECONDS, _STEP_SECONDS = 4, 0.5, 0.5, 2e-4
_LIBRARIES = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    | {str(Path(pytest_prodml.__file__).parent), "<"}
)


def _is_library(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return file.startswith(_LIBRARIES) or "site-packages" in file


def _lines_of(trial: Trial, job: Batch) -> int:
    """Return how many lines of the project's own code a call runs through."""
    lines = 0

    def count(frame: FrameType, event: str, _: object) -> Any:  # noqa: ANN401 - itself, or None
        nonlocal lines
        if _is_library(frame):
            return None
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        ask(trial.predictor, job)
    finally:
        sys.settrace(before)
    return lines


def in_threads(trial: Trial, _: Case) -> Finding:
    """Ask from eight threads at once, each about rows of its own, and compare with the answers in turn."""
    size = max(1, min(16, len(trial)))
    jobs = [
        take(trial.batch, (np.arange(size) * (number + 1) + 3 * number) % len(trial))
        for number in range(THREADS)
    ]
    serial = [ask(trial.predictor, job) for job in jobs]
    for answer in serial:
        if isinstance(answer, Refusal):
            return failed(f"one after the other: {answer}")
    expected = [answer for answer in serial if isinstance(answer, Answer)]
    return _Concurrent(trial, jobs, expected, lines=max(1, _lines_of(trial, jobs[0]))).run()


class _Concurrent:
    """The same calls from several threads at once."""

    def __init__(self, trial: Trial, jobs: list[Batch], expected: list[Answer], *, lines: int) -> None:
        self._lines = lines
        self._seen = 0
        self._stopped = threading.Lock()
        self._trial = trial
        self._jobs = jobs
        self._expected = expected
        self._calls = [0] * len(jobs)
        self._problems: list[str] = []
        self._largest = 0.0
        self._stop_at = 0.0
        self._start = threading.Barrier(len(jobs))

    def run(self) -> Finding:
        threads = [
            threading.Thread(target=self._work, args=(number,), daemon=True, name=f"prodml-{number}")
            for number in range(len(self._jobs))
        ]
        before = sys.getswitchinterval()
        # Threads of Python take turns every 5 ms, which a call of 1 ms seldom notices.
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._stop_at = time.perf_counter() + _THREAD_SECONDS
        try:
            # Threads that change the filters of warnings leave them changed.
            with warnings.catch_warnings():
                self._join(threads)
        finally:
            sys.setswitchinterval(before)
        hanging = sum(thread.is_alive() for thread in threads)
        calls = sum(self._calls)
        if hanging and not self._problems:
            told = f"{hanging} of {len(threads)} threads did not end within {_DEADLOCK_SECONDS:g} s"
            return failed(told, tried=calls)
        if self._problems:
            return failed(self._problems[0], tried=calls, largest=self._largest)
        return Finding(status=Status.PASSED, tried=calls, largest=self._largest)

    def _join(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.start()
        give_up = time.perf_counter() + _DEADLOCK_SECONDS + _THREAD_SECONDS
        for thread in threads:
            thread.join(max(0.0, give_up - time.perf_counter()))

    def _work(self, number: int) -> None:
        stopping = self._stopping(random.Random(self._trial.seed + number))  # noqa: S311 - no secret
        self._start.wait(_DEADLOCK_SECONDS)
        for done in range(_ROUNDS):
            if self._problems or (
                done >= _PLAIN_ROUNDS + _STOPPED_ROUNDS and time.perf_counter() > self._stop_at
            ):
                return
            before = sys.gettrace()
            sys.settrace(stopping if done >= _PLAIN_ROUNDS else before)
            try:
                answer = ask(self._trial.predictor, self._jobs[number])
            finally:
                sys.settrace(before)
            self._calls[number] += 1
            if isinstance(answer, Refusal):
                if answer.is_warning:
                    continue  # filters of warnings are those of all threads: another one made it an error
                self._problems.append(f"in one of {len(self._jobs)} threads: {answer}")
                return
            differs, gap = self._trial.rules.differing(self._expected[number], answer)
            self._largest = max(self._largest, gap)
            if differs.any():
                self._problems.append(
                    f"in one of {len(self._jobs)} threads {np.count_nonzero(differs)} of {len(differs)} rows "
                    "get another answer than in turn"
                )
                return

    def _stopping(self, chance: random.Random) -> Any:  # noqa: ANN401 - what sys.settrace takes
        """Return a trace function that stops at random lines until other threads went on."""
        at_line = min(_MOST_AT_LINE, _STOPS / self._lines)

        def trace(frame: FrameType, event: str, _: object) -> Any:  # noqa: ANN401 - itself, or None
            if _is_library(frame):
                return None
            if event == "line":
                self._seen += 1
                if chance.random() < at_line:
                    self._stop()
            return trace

        return trace

    def _stop(self) -> None:
        # One at a time: threads that wait for each other would all only wait.
        if self._problems or not self._stopped.acquire(blocking=False):
            return
        try:
            until, seen = time.perf_counter() + _STOP_SECONDS, self._seen + self._lines
            while self._seen < seen and time.perf_counter() < until:
                time.sleep(_STEP_SECONDS)
        finally:
            self._stopped.release()
