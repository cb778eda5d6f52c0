"""A schedule of requests -> what became of each, from a generator in a process of its own."""

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.processes import end_of, end_with_group, inherited_variables
from pytest_prodml.adapters.serving.generator import ARRAYS, NOT_KEPT
from pytest_prodml.errors import InputError

#: A mistake in a test must not become an attack: more requests than this are not sent in one run.
MOST_REQUESTS = 500_000
_MOST_RATE = 50_000
_MOST_CONNECTIONS = 1_000
_PROGRAM = Path(__file__).with_name("generator.py")
_GRACE_SECONDS = 30.0

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """So many requests a second, for so long."""

    rate: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """The requests of one run, in the order in which they were due, and what became of each.

    All times are seconds from the start of the run, which `started` tells by this machine's monotonic clock.

    Parameters
    ----------
    intended : (n,) array
        When each was due: latency counts from there. In a closed loop, when the one before was answered.
    taken, sent, done : (n,) array
        When the generator took it up, when it was written, and when its answer was complete or given up; NaN
        where that never happened.
    status : (n,) array of int
        Of HTTP, or `generator.NO_ANSWER`, `NOT_CONNECTED`, `CLOSED` or `NO_HTTP`.
    body, headers : (n,) array of int
        Places in `bodies` and `header_values`; -1 where there is none.
    phase : (n,) array of int
        The place in `phases`.
    phases : tuple of Phase
        As planned.
    timeout_seconds : float
        From the moment a request was due.
    n_requests : int
        How many different requests were sent in turn: number i is request ``i % n_requests``.
    is_open_loop : bool
        Whether requests were sent at fixed times. Only then do latencies say what a client feels.
    source : str
        What made the load.
    number : (n,) array of int, optional
        Which request each is, where these are only some of a run.
    """

    intended: Floats
    taken: Floats
    sent: Floats
    done: Floats
    status: Integers
    body: Integers
    headers: Integers
    phase: Integers
    phases: tuple[Phase, ...]
    timeout_seconds: float
    n_requests: int
    bodies: tuple[bytes, ...] = ()
    header_names: tuple[str, ...] = ()
    header_values: tuple[tuple[str | None, ...], ...] = ()
    started: float = 0.0
    is_open_loop: bool = True
    processor_share: float | None = None
    source: str = "pytest-prodml"
    number: Integers | None = None

    def __len__(self) -> int:
        return len(self.intended)

    @property
    def is_answered(self) -> npt.NDArray[np.bool_]:
        """Which requests were answered with success."""
        return np.asarray(self.status // 100 == 2)

    @property
    def latency(self) -> Floats:
        """Seconds from when a request was due to its answer; the time-out where none came."""
        waited = np.where(np.isnan(self.done), np.inf, self.done) - self.intended
        limit = max(self.timeout_seconds, float(np.max(waited, where=self.status > 0, initial=0.0)))
        return np.where(self.status > 0, waited, limit)

    @property
    def lag(self) -> Floats:
        """Seconds by which the generator itself was late; the time-out where it never sent."""
        late = self.taken - self.intended
        return np.where(np.isnan(late), self.timeout_seconds, np.maximum(late, 0.0))

    def of_phase(self, place: int) -> Answers:
        """Return the requests of one phase."""
        return self.where(self.phase == place)

    def where(self, chosen: npt.NDArray[np.bool_]) -> Answers:
        """Return some of the requests."""
        columns = ("intended", "taken", "sent", "done", "status", "body", "headers", "phase")
        number = np.arange(len(self), dtype=np.int32) if self.number is None else self.number
        kept = {name: getattr(self, name)[chosen] for name in columns}
        return replace(self, **kept, number=number[chosen])

    def header(self, name: str) -> list[str | None]:
        """Return a header of each answer; None where there was none."""
        place = self.header_names.index(name.lower())
        return [None if number < 0 else self.header_values[number][place] for number in self.headers]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked, and when.

    Parameters
    ----------
    host, port : str, int
        Where.
    requests : sequence of bytes
        Whole HTTP/1.1 requests, sent in turn.
    phases : sequence of Phase
        One after another.
    timeout_seconds : float
        After which a client gives up, counted from when the request was due.
    arrivals : str
        ``"constant"`` (equal distances) or ``"poisson"`` (as from many independent clients).
    headers : sequence of str
        Of the answers, kept for each.
    seed : int
        Of the arrivals.
    """

    host: str
    port: int
    requests: Sequence[bytes]
    phases: Sequence[Phase]
    timeout_seconds: float = 2.0
    arrivals: str = "constant"
    headers: Sequence[str] = ()
    most_connections: int = _MOST_CONNECTIONS
    most_requests: int = MOST_REQUESTS
    seed: int = 0


def run_plan(plan: Plan, *, during: Callable[[float], None] | None = None) -> Answers:
    """Send requests at fixed times, and wait for their answers.

    Parameters
    ----------
    plan : Plan
        What, and when.
    during : callable, optional
        Called in another thread with the monotonic time at which the run starts, for faults and readings
        meanwhile. What it raises is raised here.

    Raises
    ------
    InputError
        If the plan makes no sense, asks for more requests than are allowed, or the generator itself fails.
    """
    _check(plan)
    schedule, phases = _schedule(plan)
    return _run(plan, schedule, phases, concurrency=0, seconds=0.0, during=during)


def run_closed(plan: Plan, *, concurrency: int, seconds: float) -> Answers:
    """Ask again as soon as an answer is there, on so many connections: what a server can do at most.

    A slow answer delays the next question, so the latencies are not those that clients feel.
    """
    if concurrency < 1 or not 0 < seconds < math.inf:
        raise InputError(f"expected a number of connections and of seconds, got {concurrency!r}, {seconds!r}")
    return _run(plan, np.empty(0), np.empty(0, dtype=np.int32), concurrency=concurrency, seconds=seconds)


def _check(plan: Plan) -> None:
    if not plan.phases or not plan.requests:
        raise InputError("a run needs requests, and a phase in which to send them", where="load")
    for phase in plan.phases:
        if not (0 < phase.rate <= _MOST_RATE and 0 < phase.seconds < math.inf):
            raise InputError(
                f"expected a rate above 0 and up to {_MOST_RATE:,} a second, for some seconds, got "
                f"{phase.rate!r} for {phase.seconds!r}",
                where="load",
            )
    if plan.arrivals not in {"constant", "poisson"}:
        raise InputError(f"there are no arrivals {plan.arrivals!r}", where="load", hint="constant or poisson")
    if not 0 < plan.timeout_seconds < math.inf:
        raise InputError(f"expected a time-out above 0 seconds, got {plan.timeout_seconds!r}", where="load")
    total = sum(phase.rate * phase.seconds for phase in plan.phases)
    if total > plan.most_requests:
        raise InputError(
            f"{total:,.0f} requests are more than the {plan.most_requests:,} that a run may send",
            where="load",
            hint="lower the rate or the duration, or raise most_requests if the server is yours",
        )


def _schedule(plan: Plan) -> tuple[Floats, Integers]:
    """Return when each request is due, and in which phase."""
    generator = np.random.default_rng(plan.seed)
    moments, places, begin = [], [], 0.0
    for place, phase in enumerate(plan.phases):
        count = max(1, round(phase.rate * phase.seconds))
        if plan.arrivals == "constant":
            own = np.arange(count) / phase.rate
        else:
            # Given their number, the arrivals of a Poisson process are uniform.
            own = np.sort(generator.uniform(0.0, phase.seconds, count))
        moments.append(begin + own)
        places.append(np.full(count, place, dtype=np.int32))
        begin += phase.seconds
    return np.concatenate(moments), np.concatenate(places)


def _run(
    plan: Plan,
    schedule: Floats,
    phases: Integers,
    *,
    concurrency: int,
    seconds: float,
    during: Callable[[float], None] | None = None,
) -> Answers:
    data = marshal.dumps(
        {
            "host": plan.host,
            "port": plan.port,
            "requests": list(plan.requests),
            "schedule": schedule.tobytes(),
            "timeout_seconds": float(plan.timeout_seconds),
            "headers": list(plan.headers),
            "most_connections": plan.most_connections,
            "concurrency": concurrency,
            "seconds": float(seconds),
        }
    )
    length = float(schedule[-1]) if len(schedule) else seconds
    with tempfile.TemporaryDirectory(prefix="prodml-load-", ignore_cleanup_errors=True) as name:
        stderr = Path(name) / "stderr"
        with stderr.open("wb") as told:
            process = subprocess.Popen(  # noqa: S603 - this interpreter and our own program
                [sys.executable, "-P", "-S", "-E", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
                env=inherited_variables(),
                start_new_session=True,
            )
        helper = _During(during)
        try:
            started, answer = _exchange(process, data, length + plan.timeout_seconds + _GRACE_SECONDS, helper)
        finally:
            end_with_group(process, may_end_by_itself=True)
            helper.join()
        if answer is None or process.returncode != 0:
            raise InputError(f"the load generator {end_of(process.returncode, stderr)}", where="load")
    helper.check()
    return _answers(plan, phases, answer, started, is_open_loop=not concurrency)


class _During:
    """What happens meanwhile, in a thread of its own."""

    def __init__(self, function: Callable[[float], None] | None) -> None:
        self._function = function
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def begin(self, started: float) -> None:
        if self._function is not None:
            self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
            self._thread.start()

    def _run(self, started: float) -> None:
        try:
            if self._function is not None:
                self._function(started)
        except BaseException as error:  # noqa: BLE001 - raised again where the run was asked for
            self._error = error

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join(_GRACE_SECONDS)

    def check(self) -> None:
        if self._error is not None:
            raise self._error


def _exchange(
    process: subprocess.Popen[bytes], data: bytes, seconds: float, helper: _During
) -> tuple[float, bytes | None]:
    given, told = process.stdin, process.stdout
    if given is None or told is None:  # pragma: no cover - both are pipes
        return 0.0, None
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        with contextlib.suppress(OSError), given:
            given.write(data)
        with told:
            first = told.readline(1_000)
            if not first:
                return 0.0, None
            started = float(json.loads(first)["start"])
            helper.begin(started)
            return started, told.read()
    finally:
        timer.cancel()


def _answers(plan: Plan, phases: Integers, data: bytes, started: float, *, is_open_loop: bool) -> Answers:
    line, _, rest = data.partition(b"\n")
    told: Mapping[str, Any] = json.loads(line)
    bodies, place = [], 0
    for size in told["bodies"]:
        bodies.append(rest[place : place + size])
        place += size
    n = told["requests"]
    columns: dict[str, Any] = {}
    for name, kind in (("intended", "d"), *ARRAYS):
        column = np.frombuffer(rest, dtype=np.float64 if kind == "d" else np.int32, count=n, offset=place)
        columns[name], place = column.copy(), place + column.nbytes
    length = time.monotonic() - started
    return Answers(
        **columns,
        phase=phases if is_open_loop else np.zeros(n, dtype=np.int32),
        phases=tuple(plan.phases),
        timeout_seconds=plan.timeout_seconds,
        n_requests=len(plan.requests),
        bodies=tuple(bodies),
        header_names=tuple(name.lower() for name in plan.headers),
        header_values=tuple(tuple(values) for values in told["headers"]),
        started=started,
        is_open_loop=is_open_loop,
        processor_share=told["processor_seconds"] / length if length > 0 else None,
    )


__all__ = ["MOST_REQUESTS", "NOT_KEPT", "Answers", "Phase", "Plan", "run_closed", "run_plan"]
