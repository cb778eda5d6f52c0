"""Serve the model by HTTP as an ASGI app, if its certificate allows it.

    uvicorn serve:app           what does not verify does not serve

POST /score takes a raw record, or a list of them, and answers with risk and decision; headers say which model
and which training data made the answer. GET /ready says whether there is a model. A release is published by
pointing `live/current` at another file (see publish.py): the service looks at it first, and points back if it
is not healthy.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import credit
import publish
from deploy import LARGEST_REQUEST, ROOT, RefusedRecordError, Scorer, verified_model
from pytest_prodml.errors import ProdmlError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Requests that wait for their turn; who comes then is told at once to come back.
MOST_WAITING = 16
MOST_RECORDS = 100
_LOOK_SECONDS = 0.05
#: A client that every healthy model scores: asked before a model answers anybody else.
PROBE = {
    **{name: codes[0] for name, codes in credit.CODES.items()},
    **dict.fromkeys(credit.NUMERIC, 0),
    credit.KEY: 0,
    "credit_limit": 100_000,
    "age": 40,
}


class Serving:
    """One model in service, and who it is."""

    def __init__(self, model: bytes) -> None:
        self.scorer = Scorer(model)
        self.scorer.score(PROBE)
        self.headers = [
            (b"x-model-digest", f"sha256:{hashlib.sha256(model).hexdigest()}".encode()),
            (b"x-training-data", self.scorer.training_data.encode()),
        ]


class Service:
    """The state of one process: which model serves, and how many requests wait.

    Parameters
    ----------
    load : callable
        From the path of a model file to its bytes; raises if it must not serve.
    model : Path
        The file that serves, or the pointer that names it.
    """

    def __init__(self, load: Callable[[Path], bytes], model: Path) -> None:
        self._load = load
        self._pointer = model if model.name == publish.POINTER else None
        self._named = publish.current(model.parent) if self._pointer else None
        self.serving = Serving(load(self._named or model))
        self.waiting = 0
        self.scoring = ThreadPoolExecutor(max_workers=1)

    def _healthy(self, model: Path) -> Serving:
        return Serving(self._load(model))

    async def follow(self) -> None:
        """Serve what the pointer names; point back where that is not healthy."""
        while self._pointer is not None:
            named = publish.current(self._pointer.parent)
            if named != self._named and self._named is not None:
                try:
                    # In a thread: requests are answered meanwhile.
                    self.serving = await asyncio.to_thread(self._healthy, named)
                    self._named = named
                except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it must not serve
                    print(f"{named.name} is not healthy, {self._named.name} serves on: {error}", flush=True)
                    publish.point(self._pointer.parent, self._named)
            await asyncio.sleep(_LOOK_SECONDS)


def make(load: Callable[[Path], bytes], model: Path) -> App:
    """Return the app for one model."""
    service: Service | None = None

    async def lifespan(receive: Receive, send: Send) -> None:
        nonlocal service
        await receive()
        try:
            service = Service(load, model)
        except (ProdmlError, OSError) as error:
            await send({"type": "lifespan.startup.failed", "message": f"refusing to serve\n{error}"})
            return
        following = asyncio.create_task(service.follow())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await send({"type": "lifespan.shutdown.complete"})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        if service is None:
            raise RuntimeError("no model: this app needs the lifespan protocol")
        status, answer, headers = await _answer(service, scope, receive)
        body = json.dumps(answer).encode()
        headers = [*headers, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


Answer = tuple[int, object, list[tuple[bytes, bytes]]]


async def _answer(service: Service, scope: Scope, receive: Receive) -> Answer:
    if (scope["method"], scope["path"]) == ("GET", "/ready"):
        return 200, {"release": service.serving.scorer.release.name}, service.serving.headers
    if scope["path"] != "/score":
        return 404, {"error": "POST /score"}, []
    if scope["method"] != "POST":
        return 405, {"error": "POST /score"}, [(b"allow", b"POST")]
    if service.waiting >= MOST_WAITING:
        return 429, {"error": "too many requests wait"}, [(b"retry-after", b"1")]
    service.waiting += 1
    try:
        body = await _body(receive)
        if body is None:
            return 413, {"error": f"expected at most {LARGEST_REQUEST:,} bytes of JSON"}, []
        serving = service.serving
        try:
            records = json.loads(body)
            # In the one thread that scores, so that whoever is too many is told at once.
            answer = await asyncio.get_running_loop().run_in_executor(
                service.scoring, lambda: _scores(serving, records)
            )
        except RefusedRecordError as error:
            return 422, {"error": str(error)}, []
        except (ValueError, RecursionError):
            return 400, {"error": "the body is not JSON"}, []
        return 200, answer, serving.headers
    finally:
        service.waiting -= 1


def _scores(serving: Serving, records: object) -> object:
    """Score a record, or each of a list: all of them, or none."""
    if not isinstance(records, list):
        return serving.scorer.score(records)
    if not 0 < len(records) <= MOST_RECORDS:
        raise RefusedRecordError(f"expected 1 to {MOST_RECORDS} records")
    return [serving.scorer.score(record) for record in records]


async def _body(receive: Receive) -> bytes | None:
    """Return what the client sent; None if it is too much."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > LARGEST_REQUEST:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _verified(path: Path) -> bytes:
    del path
    return verified_model()


#: What serves in production: only a model that its certificate lets through.
app = make(_verified, ROOT / "model" / "credit.onnx")


def candidate() -> App:
    """Serve a model that is not certified yet, for the gates that certify it: the file that MODEL names."""
    return make(Path.read_bytes, Path(os.environ["MODEL"]))
