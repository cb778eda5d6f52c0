"""Requests at fixed times, whether earlier ones were answered or not. Runs as a program of its own.

Only the standard library, and nothing of this package: a generator that imports nothing pauses for nothing.
Standard input holds the plan (`marshal`), standard output one line when the run begins, and at its end one
line of JSON and the arrays that it describes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import marshal
import math
import os
import sys
import time
from array import array
from collections import deque
from typing import Any

#: What a request came to, where it is no HTTP status.
NO_ANSWER, NOT_CONNECTED, CLOSED, NO_HTTP = 0, -1, -2, -3
#: Of each request: taken up, written, answered (seconds from the start), status, places in the tables.
ARRAYS = (("taken", "d"), ("sent", "d"), ("done", "d"), ("status", "i"), ("body", "i"), ("headers", "i"))
#: In the table of bodies: one that did not fit there.
NOT_KEPT = -1

_BEGIN_SECONDS = 0.1
#: A timer of the operating system is late by up to this; the rest is waited for with open eyes.
_TIMER_SECONDS = 0.0015
#: A server closes connections that were idle for some seconds, perhaps just when a request is written.
_IDLE_SECONDS = 1.0
_REAP_SECONDS = 0.01
_MOST_BODIES = 20_000
_MOST_BODY_BYTES = 64 * 2**20
_MOST_ANSWER = 16 * 2**20
_READ = 2**18


class _BrokenError(Exception):
    """What came is no HTTP."""


class _Run:
    """The requests of one run, and what became of each."""

    def __init__(self, plan: dict[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.address: tuple[str, int] = (plan["host"], plan["port"])
        self.requests: list[bytes] = plan["requests"]
        self.timeout: float = plan["timeout_seconds"]
        self.names: list[bytes] = [name.lower().encode("ascii") for name in plan["headers"]]
        self.most: int = plan["most_connections"]
        self.idle: list[_Connection] = []
        self.waiting: deque[int] = deque()
        self.open = 0
        self.unanswered = 0
        self.is_all_sent = False
        self.is_over = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        self.intended = array("d")
        self.columns: dict[str, array[Any]] = {name: array(kind) for name, kind in ARRAYS}
        self.flights: deque[tuple[int, _Connection]] = deque()
        self.bodies: dict[bytes, int] = {}
        self.heads: dict[tuple[str | None, ...], int] = {}
        self.body_bytes = 0
        self.start = 0.0
        self.is_closed_loop = False
        self.end = math.inf

    def add(self, intended: float) -> int:
        """Make room for one more request."""
        self.intended.append(intended)
        for name, column in self.columns.items():
            column.append(
                NOT_KEPT if name in {"body", "headers"} else NO_ANSWER if name == "status" else math.nan
            )
        self.unanswered += 1
        return len(self.intended) - 1

    def now(self) -> float:
        return time.monotonic() - self.start

    def send(self, number: int) -> None:
        """Write a request on an idle connection, on a new one, or keep it until there is one."""
        now = self.now()
        while self.idle:
            connection = self.idle.pop()
            if connection.is_fresh(now):
                self.columns["taken"][number] = now
                connection.ask(number, now)
                return
            connection.drop()
        if self.open < self.most:
            self.columns["taken"][number] = now
            self.open += 1
            task = self.loop.create_task(self._connect(number))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            self.waiting.append(number)

    async def _connect(self, number: int) -> None:
        left = self.intended[number] + self.timeout - self.now()
        try:
            async with asyncio.timeout(max(left, 0)):
                _, connection = await self.loop.create_connection(lambda: _Connection(self), *self.address)
        except TimeoutError:
            self.open -= 1
            self.finish(number, NO_ANSWER)
        except OSError:
            self.open -= 1
            self.finish(number, NOT_CONNECTED)
        else:
            connection.ask(number, self.now())

    def finish(
        self, number: int, status: int, body: bytes | None = None, heads: tuple[str | None, ...] = ()
    ) -> None:
        """Keep what a request came to."""
        columns = self.columns
        columns["done"][number] = now = self.now()
        columns["status"][number] = status
        self.unanswered -= 1
        if self.is_all_sent and not self.unanswered:
            self.is_over.set()
        if body is not None:
            columns["body"][number] = self._place(body)
            columns["headers"][number] = self.heads.setdefault(heads, len(self.heads))
        if self.is_closed_loop and now < self.end:
            self.loop.call_soon(self._next)

    def _next(self) -> None:
        self.send(self.add(self.now()))

    def _place(self, body: bytes) -> int:
        known = self.bodies.get(body)
        if known is not None:
            return known
        if len(self.bodies) >= _MOST_BODIES or self.body_bytes + len(body) > _MOST_BODY_BYTES:
            return NOT_KEPT
        self.body_bytes += len(body)
        self.bodies[body] = place = len(self.bodies)
        return place

    def release(self, connection: _Connection) -> None:
        """Take back a connection that has answered, or hand it the next request."""
        if self.waiting:
            number, now = self.waiting.popleft(), self.now()
            self.columns["taken"][number] = now
            connection.ask(number, now)
        else:
            self.idle.append(connection)

    def gone(self) -> None:
        """Count a connection less; whoever waits may open another."""
        self.open -= 1
        if self.waiting:
            self.send(self.waiting.popleft())

    def reap(self) -> None:
        """Give up requests that took too long, in the order in which they were sent."""
        now = self.now()
        while self.flights:
            number, connection = self.flights[0]
            if connection.number != number:
                self.flights.popleft()
            elif now - self.intended[number] >= self.timeout:
                self.flights.popleft()
                connection.give_up()
            else:
                break
        while self.waiting and now - self.intended[self.waiting[0]] >= self.timeout:
            self.finish(self.waiting.popleft(), NO_ANSWER)


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: Any = None
        self._buffer = bytearray()
        self._used = 0.0
        self._is_gone = False
        self.number: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def is_fresh(self, now: float) -> bool:
        """Whether a request may be written: not where the server is about to close."""
        return not self._is_gone and not self._transport.is_closing() and now - self._used < _IDLE_SECONDS

    def ask(self, number: int, now: float) -> None:
        """Write a request."""
        self.number = number
        self._run.columns["sent"][number] = now
        self._run.flights.append((number, self))
        if self._is_gone:
            self._fail(CLOSED)
            return
        self._transport.write(self._run.requests[number % len(self._run.requests)])

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            self._read()
        except (_BrokenError, ValueError):
            self._fail(NO_HTTP)

    def connection_lost(self, error: Exception | None) -> None:
        del error
        if self._is_gone:
            return
        self._is_gone = True
        try:
            found = None if self.number is None else _head(self._buffer)
        except (_BrokenError, ValueError):
            found = None
        # An answer without a length ends with its connection.
        if found is not None and found[2] is None:
            self._answer(found[0], found[1], bytes(self._buffer[found[3] :]))
        else:
            self._fail(CLOSED)
        self._run.gone()

    def drop(self) -> None:
        """Close an idle connection."""
        if not self._is_gone:
            self._is_gone = True
            self._transport.abort()
            self._run.open -= 1

    def give_up(self) -> None:
        """End a request that took too long, and its connection: the answer may still come."""
        self._fail(NO_ANSWER)
        self._transport.abort()

    def _fail(self, status: int) -> None:
        number, self.number = self.number, None
        if number is not None:
            self._run.finish(number, status)
        if not self._is_gone:
            self._transport.abort()

    def _read(self) -> None:
        while self.number is not None and (found := _head(self._buffer)) is not None:
            status, heads, length, start = found
            if 100 <= status < 200:
                del self._buffer[:start]
                continue
            if length is None:
                if len(self._buffer) > _MOST_ANSWER:
                    raise _BrokenError
                return
            if length < 0:
                chunked = _chunks(self._buffer, start)
                if chunked is None:
                    return
                body, end = chunked
            else:
                end = start + length
                if end > _MOST_ANSWER:
                    raise _BrokenError
                if len(self._buffer) < end:
                    return
                body = bytes(self._buffer[start:end])
            del self._buffer[:end]
            self._answer(status, heads, body)
            if b"close" in heads.get(b"connection", b"").lower():
                self._transport.close()
            elif not self._is_gone:
                self._used = self._run.now()
                self._run.release(self)
            return
        if len(self._buffer) > _MOST_ANSWER:
            raise _BrokenError

    def _answer(self, status: int, heads: dict[bytes, bytes], body: bytes) -> None:
        number, self.number = self.number, None
        if number is not None:
            told = tuple(
                None if (found := heads.get(name)) is None else found.decode("latin-1")
                for name in self._run.names
            )
            self._run.finish(number, status, body, told)


def _head(buffer: bytearray) -> tuple[int, dict[bytes, bytes], int | None, int] | None:
    """Return status, headers, length of the body (-1: in chunks, None: until the end) and where it begins."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = bytes(buffer[:end]).split(b"\r\n")
    if not first.startswith(b"HTTP/1."):
        raise _BrokenError
    status = int(first[9:12])
    heads: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        heads[name.strip().lower()] = value.strip()
    length: int | None = None
    if status in {204, 304}:
        length = 0
    elif b"chunked" in heads.get(b"transfer-encoding", b"").lower():
        length = -1
    elif b"content-length" in heads:
        length = int(heads[b"content-length"])
        if length < 0:
            raise _BrokenError
    return status, heads, length, end + 4


def _chunks(buffer: bytearray, start: int) -> tuple[bytes, int] | None:
    parts: list[bytes] = []
    place = start
    while True:
        end = buffer.find(b"\r\n", place)
        if end < 0:
            return None
        size = int(bytes(buffer[place:end]).partition(b";")[0], 16)
        place = end + 2
        if size == 0:
            last = buffer.find(b"\r\n\r\n", end)
            return None if last < 0 else (b"".join(parts), last + 4)
        if size < 0 or place + size > _MOST_ANSWER:
            raise _BrokenError
        if len(buffer) < place + size + 2:
            return None
        parts.append(bytes(buffer[place : place + size]))
        place += size + 2


async def _until(run: _Run, moment: float, *, is_exact: bool) -> None:
    """Wait until a moment of the run; exactly where a processor can be spared for it."""
    while (left := moment - run.now()) > 0:
        if not is_exact:
            await asyncio.sleep(left)
        elif left > _TIMER_SECONDS:
            await asyncio.sleep(left - _TIMER_SECONDS)
        else:
            await asyncio.sleep(0)


async def _reap(run: _Run) -> None:
    while True:
        await asyncio.sleep(_REAP_SECONDS)
        run.reap()


async def _generate(plan: dict[str, Any]) -> _Run:
    run = _Run(plan, asyncio.get_running_loop())
    schedule = array("d")
    schedule.frombytes(plan["schedule"])
    reaper = asyncio.create_task(_reap(run))
    run.start = time.monotonic() + _BEGIN_SECONDS
    sys.stdout.buffer.write(json.dumps({"start": run.start}).encode() + b"\n")
    sys.stdout.buffer.flush()
    is_exact = len(os.sched_getaffinity(0)) > 1 if hasattr(os, "sched_getaffinity") else True
    if plan["concurrency"]:
        run.is_closed_loop, run.end = True, plan["seconds"]
        await _until(run, 0.0, is_exact=is_exact)
        for _ in range(plan["concurrency"]):
            run.send(run.add(run.now()))
        await _until(run, plan["seconds"], is_exact=False)
    for moment in schedule:
        await _until(run, moment, is_exact=is_exact)
        run.send(run.add(moment))
    run.is_all_sent = True
    last = (schedule[-1] if schedule else plan["seconds"]) + run.timeout + 1.0
    if run.unanswered:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(last - run.now(), 0.0)):
                await run.is_over.wait()
    reaper.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reaper
    return run


def main() -> int:
    """Read a plan, run it, and write what became of each request."""
    plan = marshal.loads(sys.stdin.buffer.read())  # noqa: S302 - from the process that started this one
    gc.disable()
    began = time.process_time()
    run = asyncio.run(_generate(plan))
    told = {
        "requests": len(run.intended),
        "headers": list(run.heads),
        "bodies": [len(body) for body in run.bodies],
        "processor_seconds": time.process_time() - began,
    }
    out = sys.stdout.buffer
    out.write(json.dumps(told).encode() + b"\n")
    for body in run.bodies:
        out.write(body)
    out.write(run.intended.tobytes())
    for name, _ in ARRAYS:
        out.write(run.columns[name].tobytes())
    out.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
