"""A program -> fresh processes of it, started one after another: times, memory, and what each said.

Each start is timed by this process's clock, from before the process is made until the answer of its first
prediction is told. A process that dies, hangs, or answers something else ends the check: never a pass.
"""

from __future__ import annotations

import contextlib
import json
import marshal
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_prodml.checks.latency.programs import Program
from pytest_prodml.checks.latency.worker import ANSWERED
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue

#: What a start consists of, in this order.
STAGES = ("interpreter", "imports", "load", "input", "first_prediction")
#: The script's directory must not hide modules of the standard library.
FLAGS = ("-P",)
_WORKER = Path(__file__).with_name("worker.py")
_GRACE_SECONDS = 10.0
#: A process that has closed its answers ends within this, or is ended: its status is worth a moment.
_LAST_WORDS_SECONDS = 1.0
_MOST_ANSWER = 2**22
_MOST_TEXT = 300
_QUOTED_PATH = re.compile(r"""(['"])(?:[A-Za-z]:)?[\\/][^'"]*[\\/]([^'"\\/]*)\1""")
_DIRECTORIES = re.compile(r"""(?<!\w)(?:[A-Za-z]:)?[\\/](?:[^\s'"\\/]+[\\/])+""")
#: Python takes all memory from `malloc`, from the one arena that glibc tells the use of. Its own pools, which
#: keep what is freed, would take in a slow leak without growing.
_EXACT_MALLOC = {"PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "1"}
#: Settings of tests, of their coverage and of debugging, which no service has; and secrets of this run.
_LEFT_OUT_PREFIXES = ("PYTEST_", "COV_CORE_", "COVERAGE_", "PRODML_")
_LEFT_OUT = frozenset(
    {
        "PYTHONBREAKPOINT",
        "PYTHONDEBUG",
        "PYTHONDEVMODE",
        "PYTHONFAULTHANDLER",
        "PYTHONINSPECT",
        "PYTHONPROFILEIMPORTTIME",
        "PYTHONTRACEMALLOC",
        "PYTHONVERBOSE",
        "PYTHONWARNINGS",
    }
)


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
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _LEFT_OUT and not name.startswith(_LEFT_OUT_PREFIXES)
    }
    return kept | {"TMPDIR": str(directory), "TEMP": str(directory), "TMP": str(directory)}


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
        _end(process, may_end_by_itself=exchange.is_over and not exchange.answer)
    if is_late:
        raise InputError(
            f"a fresh process took more than {process_seconds:g} s, and was ended "
            f"{'after' if exchange.seconds is not None else 'before'} its first prediction",
            where=program.name,
            hint="raise process_seconds if it needs so long",
        )
    if exchange.seconds is None or not exchange.answer:
        raise InputError(f"a fresh process {_end_of(process, directory)}", where=program.name)
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


def _end(process: subprocess.Popen[bytes], *, may_end_by_itself: bool) -> None:
    """End a process with all that it started."""
    if sys.platform == "win32":
        if may_end_by_itself:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LAST_WORDS_SECONDS)
        process.kill()
    else:
        end = time.monotonic() + (_LAST_WORDS_SECONDS if may_end_by_itself else 0.0)
        # Looked at, not waited for: until then its pid is its group's id and nobody else's.
        look = os.WEXITED | os.WNOWAIT | os.WNOHANG
        # Where SIGCHLD is ignored, there is nothing left to look at.
        with contextlib.suppress(ChildProcessError):
            while os.waitid(os.P_PID, process.pid, look) is None and time.monotonic() < end:
                time.sleep(0.005)
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait(_GRACE_SECONDS)


def _end_of(process: subprocess.Popen[bytes], directory: Path) -> str:
    status = process.returncode
    if status < 0:
        how = f"was ended by {_signal_name(-status)}"
    elif status > 0:
        how = f"ended with status {status}"
    else:
        how = "ended without an answer"
    told = _last_words(directory / "stderr")
    return f"{how}: {told}" if told else how


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_words(file: Path) -> str:
    """Return the last lines that a process wrote, without those of a traceback and without directories."""
    with file.open("rb") as written:
        written.seek(max(0, file.stat().st_size - 8 * _MOST_TEXT))
        text = written.read().decode("utf-8", "replace")
    lines = [line for line in text.splitlines() if line.strip() and not line[0].isspace()]
    shown = " ".join(line for line in lines[-3:] if not line.startswith("Traceback"))
    shown = _DIRECTORIES.sub("", _QUOTED_PATH.sub(r"\1\2\1", shown))
    return "".join(c if c.isprintable() else " " for c in shown)[-_MOST_TEXT:]


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
