"""A small ASGI service of a linear model, with faults to be chosen by environment variables.

A service of four slots that work for 20 ms each answers 200 requests a second. Standard library only.

FAULT: "" (healthy), "queues" (without bound), "defaults" (200 with a score for what it can not read), "crashes"
(500 for it), "dies" (ends at it), "drops" (ends at once at SIGTERM), "stale" (keeps the model that it loaded
first), "eager" (serves a new model before it has looked at it), "refitted" (scales by what it sees),
"forgets" (does not say which model answered), "leaks", "slows", "stalls" (once, for half a second), "lies" (says
that another model answered), "hangs" (never ready).
MODEL: a file that holds two weights, or names the file that does (a pointer).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import signal
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FAULT = os.environ.get("FAULT", "")
WORK_SECONDS = float(os.environ.get("WORK_SECONDS", "0"))
SLOTS = 4
MOST_IN_FLIGHT = 12
LARGEST = 100_000
STALL_AT = 400


class BadRequestError(Exception):
    """A request that makes no sense: its status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Model:
    """Two weights from a file."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self.digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        first, second = json.loads(data)["weights"]
        self.weights = (float(first), float(second))

    @property
    def is_healthy(self) -> bool:
        return all(math.isfinite(weight) for weight in self.weights)

    def score(self, a: float, b: float) -> float:
        return 1 / (1 + math.exp(-(a * self.weights[0] + b * self.weights[1])))


class Service:
    """The state of one process."""

    def __init__(self, path: Path) -> None:
        self.pointer = path if path.suffix == ".pointer" else None
        self.model = Model(self._file(path))
        self.named = path.read_text() if self.pointer else ""
        self.slots = asyncio.Semaphore(SLOTS)
        self.in_flight = 0
        self.answered = 0
        self.seen: list[float] = []
        self.kept: list[bytes] = []

    @staticmethod
    def _file(path: Path) -> Path:
        return path if path.suffix != ".pointer" else path.parent / path.read_text().strip()

    def follow(self) -> None:
        """Load what the pointer names, if it is healthy; else set the pointer back."""
        if self.pointer is None or FAULT == "stale" or (named := self.pointer.read_text()) == self.named:
            return
        found = Model(self._file(self.pointer))
        if found.is_healthy or FAULT == "eager":
            self.model, self.named = found, named
        else:
            other = self.pointer.with_suffix(".new")
            other.write_text(self.named)
            other.replace(self.pointer)

    def read(self, body: bytes) -> tuple[float, float]:
        try:
            record = json.loads(body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise BadRequestError(400, "no JSON") from None
        if not isinstance(record, dict) or set(record) != {"a", "b"}:
            raise BadRequestError(422, "expected a and b")
        values = []
        for name in ("a", "b"):
            value = record[name]
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e6:
                raise BadRequestError(422, f"{name} is no number")
            values.append(float(value))
        return values[0], values[1]

    def answer(self, body: bytes) -> dict[str, float]:
        a, b = self.read(body)
        if FAULT == "refitted":
            self.seen.append(a)
            a -= sum(self.seen) / len(self.seen)
        return {"score": self.model.score(a, b)}


def _no_constant(name: str) -> float:
    raise ValueError(name)


_service: Service | None = None


async def _follow(service: Service) -> None:
    while True:
        service.follow()
        await asyncio.sleep(0.02)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    global _service  # noqa: PLW0603 - one service a process
    if scope["type"] == "lifespan":
        await receive()
        _service = Service(Path(os.environ["MODEL"]))
        following = asyncio.create_task(_follow(_service))
        if FAULT == "drops":
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        following.cancel()
        await send({"type": "lifespan.shutdown.complete"})
        return
    assert _service is not None
    status, answer, digest = await _handle(_service, scope, receive)
    data = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    if digest and FAULT != "forgets":
        headers.append((b"x-model-digest", b"sha256:0" if FAULT == "lies" else digest.encode()))
    if status == 429:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


async def _handle(service: Service, scope: Scope, receive: Receive) -> tuple[int, dict[str, Any], str]:
    if (scope["method"], scope["path"]) == ("GET", "/ready"):
        return 503 if FAULT == "hangs" else 200, {}, ""
    if scope["path"] != "/score":
        return 404, {"error": "POST /score"}, ""
    if scope["method"] != "POST":
        return 405, {"error": "POST /score"}, ""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return 400, {"error": "cut off"}, ""
        body += message.get("body", b"")
        if len(body) > LARGEST:
            return 413, {"error": "too large"}, ""
        if not message.get("more_body"):
            break
    if FAULT != "queues" and service.in_flight >= MOST_IN_FLIGHT and WORK_SECONDS:
        return 429, {"error": "busy"}, ""
    service.in_flight += 1
    try:
        return await _score(service, body)
    finally:
        service.in_flight -= 1


async def _score(service: Service, body: bytes) -> tuple[int, dict[str, Any], str]:
    try:
        service.answered += 1
        if FAULT == "stalls" and service.answered == STALL_AT:
            time.sleep(0.5)  # noqa: ASYNC251 - that nothing else goes on is the fault
        if FAULT == "leaks":
            service.kept.append(os.urandom(20_000))
        if WORK_SECONDS:
            async with service.slots:
                await asyncio.sleep(WORK_SECONDS + (1e-4 * len(service.kept) if FAULT == "slows" else 0))
        if FAULT == "slows":
            service.kept.append(b"")
        model = service.model
        return 200, service.answer(body), model.digest
    except BadRequestError as error:
        if FAULT == "defaults":
            return 200, {"score": 0.5}, service.model.digest
        if FAULT == "crashes":
            return 500, {"error": repr(error)}, ""
        if FAULT == "dies":
            os._exit(3)
        return error.status, {"error": str(error)}, ""
