"""A program -> fresh processes of it, started one after another: times, memory, and what each said.

Each start is timed by this process's clock, from before the process is made until the answer of its first
prediction is told. A process that dies, hangs, or answers something else ends the check: never a pass.
"""

from __future__ import annotations

import contextlib
import json
import marshal
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_prodml.adapters.processes import end_of, end_with_group, inherited_variables
from pytest_prodml.checks.latency.programs import Program
from pytest_prodml.checks.latency.worker import ANSWERED
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue

#: What a start consists of, in this order.
STAGES = ("interpreter", "imports", "load", "input", "first_prediction")
#: The script's directory must not hide modules of the standard library.
FLAGS = ("-P",)
_WORKER = Path(__file__).with_name("worker.py")
_MOST_ANSWER = 2**22
#: Python takes all memory from `malloc`, from the one arena that glibc tells the use of. Its own pools, which
#: keep what is freed, would take in a slow leak without growing.
_EXACT_MALLOC = {"PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One process.

    `seconds` is from before it was made to the answer of its first prediction; `stages` are the parts of
    that. `peak_bytes` is the largest resident set after `calls` predictions, and at most that where
    `peak_is_own` is False: it may be the parent's. `resident` holds predictions made since the warm-up, and
    resident bytes; `in_use` likewise what `malloc` has given out, to the byte, empty where nothing tells.
    `told` is what the process says of itself.
    """

    seconds: float
    stages: Mapping[str, float]
    second_prediction: float
    steady_prediction: float | None
    calls: int
    peak_bytes: int
    peak_is_own: bool
    swapped_bytes: int
    resident: tuple[tuple[int, int], ...] = ()
    in_use: tuple[tuple[int, int], ...] = ()
    told: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a process does after its first prediction.

    Parameters
    ----------
    calls : int
        Predictions in all, at least 2.
    call_seconds : float, optional
        It stops earlier after so long.
    points, calls_of_a_point : int
        How often resident memory is read after that, and the predictions between two readings.
    """

    calls: int = 2
    call_seconds: float | None = None
    points: int = 0
    calls_of_a_point: int = 0


def start_many(program: Program, count: int, work: Work, *, process_seconds: float) -> list[Start]:
    """Start a program in fresh processes, one after another.

    Parameters
    ----------
    program : OnnxProgram or EntryProgram
        What is started.
    count : int
        How often.
    work : Work
        What each process does after its first prediction.
    process_seconds : float
        How long each may take in all.

    Raises
    ------
    InputError
        If a process can not be started, dies, takes too long, answers nonsense, or runs something else.
    """
    if count < 1 or work.calls < 2:
        raise InputError(f"expected at least 1 start of 2 calls, got {count!r} of {work.calls!r}")
    if not 0 < process_seconds < math.inf:
        raise InputError(f"process_seconds must be a number of seconds above 0, got {process_seconds!r}")
    with tempfile.TemporaryDirectory(prefix="prodml-start-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        request = {
            **program.request(directory),
            "calls": work.calls,
            "call_seconds": work.call_seconds,
            "points": work.points,
            "calls_of_a_point": work.calls_of_a_point,
        }
        data = marshal.dumps(request)
        variables = _variables(directory) | (_EXACT_MALLOC if work.points else {})
        return [_start(program, data, directory, variables, process_seconds) for _ in range(count)]


def _variables(directory: Path) -> dict[str, str]:
    return inherited_variables() | {"TMPDIR": str(directory), "TEMP": str(directory), "TMP": str(directory)}


def _start(
    program: Program, request: bytes, directory: Path, variables: Mapping[str, str], process_seconds: float
) -> Start:
    command = [sys.executable, *FLAGS, str(_WORKER)]
    with (directory / "stderr").open("wb") as stderr:
        begin = time.perf_counter()
        try:
            process = subprocess.Popen(  # noqa: S603 - this interpreter and our own program
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=program.working_directory(directory),
                env=variables,
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(
                f"a fresh process can not be started: {error.strerror}", where=program.name
            ) from None
    exchange = _Exchange(process, request, begin)
    is_late = False
    try:
        exchange.thread.start()
        exchange.thread.join(process_seconds)
        is_late = exchange.thread.is_alive()
    finally:
        # Whatever ended the exchange, Ctrl-C and pytest-timeout included.
        end_with_group(process, may_end_by_itself=exchange.is_over and not exchange.answer)
    if is_late:
        raise InputError(
            f"a fresh process took more than {process_seconds:g} s, and was ended "
            f"{'after' if exchange.seconds is not None else 'before'} its first prediction",
            where=program.name,
            hint="raise process_seconds if it needs so long",
        )
    if exchange.seconds is None or not exchange.answer:
        raise InputError(
            f"a fresh process {end_of(process.returncode, directory / 'stderr')}", where=program.name
        )
    started = _checked(_parsed(exchange.answer), exchange.seconds)
    if started is None:
        raise InputError("a fresh process told nonsense", where=program.name)
    program.check(started.told)
    return started


class _Exchange:
    """The request handed over and the answers read, in a thread: a process may neither read nor answer."""

    def __init__(self, process: subprocess.Popen[bytes], request: bytes, begin: float) -> None:
        self.seconds: float | None = None
        self.answer = b""
        self.is_over = False
        self._process, self._request, self._begin = process, request, begin
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        # What is gone, or ended meanwhile, can be neither written to nor read from; what it left tells why.
        with contextlib.suppress(OSError, ValueError):
            self._talk()
        self.is_over = True

    def _talk(self) -> None:
        given, told = self._process.stdin, self._process.stdout
        if given is None or told is None:  # pragma: no cover - both are pipes
            return
        with told:
            with given:
                given.write(self._request)
            line = told.readline(_MOST_ANSWER)
            seconds = time.perf_counter() - self._begin
            if line == ANSWERED:
                self.seconds = seconds
                self.answer = told.readline(_MOST_ANSWER)


def _parsed(data: bytes) -> Any:  # noqa: ANN401 - whatever the process wrote
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _checked(answer: Any, seconds: float) -> Start | None:  # noqa: ANN401 - whatever the process wrote
    """Return what a process told, if it is what it should tell."""
    try:
        told_stages = answer["stages"]
        stages = {
            name: _seconds(told_stages[name]) for name in STAGES[1:] if name != "input" or name in told_stages
        }
        steady = answer["steady"]
        resident, in_use = (
            tuple((_count(made), _count(size, least=1)) for made, size in answer[name])
            for name in ("resident", "in_use")
        )
        return Start(
            seconds=seconds,
            # The rest: making the process, starting the interpreter, reading the request.
            stages={"interpreter": _seconds(seconds - sum(stages.values())), **stages},
            second_prediction=_seconds(answer["second"]),
            steady_prediction=None if steady is None else _seconds(steady),
            calls=_count(answer["calls"], least=2),
            peak_bytes=_count(answer["peak_bytes"], least=1),
            peak_is_own=answer["peak_is_own"] is True
            or _count(answer["peak_bytes"]) > _count(answer["inherited_peak_bytes"]),
            swapped_bytes=_count(answer["swapped_bytes"]),
            resident=resident,
            in_use=in_use,
            told={
                name: answer.get(name) for name in ("sha256", "onnxruntime", "providers", "executed_nodes")
            },
        )
    except (KeyError, TypeError, ValueError):
        return None


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError
    return float(value)


def _count(value: object, *, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError
    return value
