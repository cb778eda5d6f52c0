"""Serve an ASGI app by uvicorn on a socket that is already bound. Runs as a program of its own.

Every answer names this run (header ``prodml-nonce``): an older server on the same port can not pass for it.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

VARIABLE = "PRODML_ASGI_SERVER"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def make() -> App:
    """Import the app that this process is to serve, and let it name the run."""
    told = json.loads(os.environ[VARIABLE])
    module, _, name = told["app"].partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    app: App = found() if told["factory"] else found
    nonce = told["nonce"].encode("ascii")

    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"prodml-nonce", nonce)]}
            await send(message)

        await app(scope, receive, answer if scope["type"] == "http" else send)

    return named


def main() -> int:
    """Serve until a signal ends it."""
    told = json.loads(os.environ[VARIABLE])
    # For the processes of several workers too, which get this path.
    sys.path[:0] = told["paths"]
    sys.path.append(str(Path(__file__).parent))
    import uvicorn

    config = uvicorn.Config(
        "prodml_asgi:make",
        factory=True,
        workers=told["workers"],
        **{"log_level": "warning", "access_log": False, **told["options"]},
    )
    server = uvicorn.Server(config)
    with socket.socket(fileno=told["socket"]) as listening:
        if told["workers"] > 1:
            from uvicorn.supervisors import Multiprocess

            listening.listen(config.backlog)
            listening.set_inheritable(True)
            # Up to uvicorn 0.53 it is told what its processes run.
            takes_target = "target" in inspect.signature(Multiprocess).parameters
            more: dict[str, Any] = {"target": server.run} if takes_target else {}
            Multiprocess(config, sockets=[listening], **more).run()
            return 0
        server.run(sockets=[listening])
    return 0 if server.started else 3


if __name__ == "__main__":
    raise SystemExit(main())
