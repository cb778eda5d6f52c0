"""A server of the project: started on a free port, known to be the one that was started, ended for sure."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_prodml.adapters.processes import end_of, end_with_group, inherited_variables, last_words
from pytest_prodml.adapters.serving.asgi.prodml_asgi import VARIABLE
from pytest_prodml.adapters.serving.processes import listens, worker_to_kill
from pytest_prodml.errors import InputError, MissingDependencyError
from pytest_prodml.records import JsonValue

NONCE_HEADER = "prodml-nonce"
#: A server that is no ASGI app of ours may tell this variable's content in the header of that name.
NONCE_VARIABLE = "PRODML_SERVER_NONCE"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WATCHDOG = Path(__file__).with_name("watchdog.py")
_ASGI = Path(__file__).parent / "asgi" / "prodml_asgi.py"
_LOOK_SECONDS = 0.02
_PROBE_SECONDS = 2.0
_END_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How a model is served: an ASGI app, a command, or a URL at which it is served already.

    Parameters
    ----------
    app : str, optional
        ``"module:app"``, served by uvicorn in a process of its own; ``"module:function()"`` makes the app.
    command : sequence of str
        A command that serves on ``127.0.0.1`` and the port that ``{port}`` in it stands for.
    url : str, optional
        Where it is served already. Only the loopback address, or a host that `allow_hosts` names.
    ready : str
        The path that answers 200 when the server is ready.
    root : Path
        Where the process runs.
    paths : sequence of Path
        Where the app's modules are, beside what is installed.
    variables : mapping of str to str
        More environment variables.
    workers : int
        Processes of uvicorn.
    options : mapping
        Of uvicorn, for example ``{"limit_concurrency": 64}``.
    startup_seconds : float
        How long it may take to be ready.
    allow_hosts : sequence of str
        Hosts other than the loopback address that may be sent requests.
    """

    app: str | None = None
    command: Sequence[str] = ()
    url: str | None = None
    ready: str = "/"
    root: Path = Path()
    paths: Sequence[Path] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    options: Mapping[str, JsonValue] = field(default_factory=dict)
    startup_seconds: float = 30.0
    allow_hosts: Sequence[str] = ()

    def __post_init__(self) -> None:
        given = [bool(self.app), bool(self.command), bool(self.url)]
        if sum(given) != 1:
            raise InputError(
                "a server is an app, a command or a url: exactly one of them",
                where="server",
                hint='for example app = "serve:app" under [tool.prodml.server]',
            )
        if self.app and not _is_named(self.app):
            raise InputError(f"the app {self.app!r} names nothing", where="server", hint='write "module:app"')
        if self.command and not any("{port}" in word for word in self.command):
            raise InputError(
                "the command has no {port}",
                where="server",
                hint="the port is chosen anew for each run: on a fixed one an older server could answer",
            )
        if self.workers < 1 or not self.startup_seconds > 0 or not self.ready.startswith("/"):
            raise InputError(
                "expected at least 1 worker, more than 0 startup_seconds, and a path that begins with /",
                where="server",
            )
        if self.url:
            _host_and_port(self.url, self.allow_hosts)

    @property
    def is_ours(self) -> bool:
        """Whether the process is started here, so that it may be hurt."""
        return self.url is None

    @contextlib.contextmanager
    def running(self) -> Iterator[RunningServer]:
        """Start it, wait until it is ready, and end it with everything that it started.

        Raises
        ------
        InputError
            If it can not be started, dies, is not ready in time, or another process answers in its place.
        """
        running = _join(self) if self.url else _start(self)
        try:
            running.wait_until_ready()
            yield running
        finally:
            running.stop()


class RunningServer:
    """A server that answers. All times are of this machine's monotonic clock."""

    def __init__(
        self,
        server: Server,
        host: str,
        port: int,
        *,
        process: subprocess.Popen[bytes] | None = None,
        nonce: str | None = None,
        directory: tempfile.TemporaryDirectory[str] | None = None,
    ) -> None:
        self.server = server
        self.host = host
        self.port = port
        #: What every answer of this run carries; None where only the process is known.
        self.nonce: str | None = nonce
        self.ready_seconds = 0.0
        self.pid: int | None = None
        self._begin = time.monotonic()
        self._watchdog = process
        self._directory = directory
        self._ended = threading.Event()
        self._end: tuple[int, float] = (0, 0.0)
        self._error: str | None = None
        if process is not None:
            self._reader = threading.Thread(target=self._listen, args=(process,), daemon=True)
            self._reader.start()

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is None:  # pragma: no cover - it is a pipe
            return
        with process.stdout as told:
            for line in told:
                message: dict[str, Any] = json.loads(line)
                if "pid" in message:
                    self.pid = message["pid"]
                elif "status" in message:
                    self._end = (message["status"], message["at"])
                    self._ended.set()
                else:
                    self._error = message["error"]
        self._ended.set()

    def wait_until_ready(self) -> None:
        """Wait until the server answers, and is the one that was started here."""
        end = self._begin + self.server.startup_seconds
        told = "nothing listens on its port"
        while time.monotonic() < end:
            if self._ended.is_set():
                raise InputError(f"the server {self._told_end()}", where=self._name())
            try:
                status, nonce = self._probe()
            except (OSError, http.client.HTTPException) as error:
                told = f"{self.server.ready} does not answer ({type(error).__name__})"
            else:
                self._check_identity(nonce)
                if status == 200:
                    self.ready_seconds = time.monotonic() - self._begin
                    return
                told = f"{self.server.ready} answers {status}"
            time.sleep(_LOOK_SECONDS)
        raise InputError(
            f"the server was not ready within {self.server.startup_seconds:g} s: {told}",
            where=self._name(),
            hint="set ready to the path that answers 200 when it is, or raise startup_seconds"
            + (f"; it wrote: {words}" if (words := self.log()) else ""),
        )

    def _probe(self) -> tuple[int, str | None]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_PROBE_SECONDS)
        try:
            connection.request("GET", self.server.ready, headers={"Connection": "close"})
            answer = connection.getresponse()
            answer.read(2**20)
            return answer.status, answer.getheader(NONCE_HEADER)
        finally:
            connection.close()

    def _check_identity(self, told: str | None) -> None:
        """Refuse an answer that is not from the process that was started here."""
        if self._watchdog is None:
            return
        if told is not None and told == self.nonce:
            return
        if told is None and not self.server.app:
            found = listens(self.port, self._watchdog.pid)
            if found:
                self.nonce = None
                return
            if found is None:
                raise InputError(
                    "nothing tells whether the server that answers is the one that was started",
                    where=self._name(),
                    hint=f"let it answer with the header {NONCE_HEADER}: the content of {NONCE_VARIABLE}",
                )
        raise InputError(
            "another server answers on its port: what it says proves nothing about this one",
            where=self._name(),
            hint=f"is {told!r} the nonce of an earlier run?" if told else None,
        )

    def is_alive(self) -> bool:
        """Whether the process that was started still runs."""
        return not self._ended.is_set()

    def terminate(self) -> float:
        """Ask it to end (SIGTERM), and return when that was."""
        return self._signal(self._own_pid(), signal.SIGTERM)

    def kill_worker(self) -> float:
        """Kill the newest of the processes that listen (SIGKILL), and return when that was."""
        return self._signal(worker_to_kill(self.port, self._own_pid()), signal.SIGKILL)

    @staticmethod
    def _signal(pid: int, number: signal.Signals) -> float:
        moment = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return moment

    def _own_pid(self) -> int:
        if self.pid is None:
            raise InputError(
                "only a server that is started here may be hurt",
                where=self._name(),
                hint="give app or command",
            )
        return self.pid

    def wait(self, seconds: float) -> tuple[int, float] | None:
        """Return the status with which it ended and when; None if it has not within so many seconds."""
        return self._end if self._ended.wait(seconds) else None

    def log(self) -> str:
        """Return the last that it wrote."""
        if self._directory is None:
            return ""
        return last_words(Path(self._directory.name) / "log")

    def stop(self) -> None:
        """End it with all that it started."""
        if self._watchdog is None:
            return
        process = self._watchdog
        with contextlib.suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            end_with_group(process)
        self._reader.join(1.0)
        if self._directory is not None:
            self._directory.cleanup()

    def _told_end(self) -> str:
        if self._error is not None:
            return f"can not be started: {self._error}"
        log = Path(self._directory.name) / "log" if self._directory is not None else Path(os.devnull)
        return end_of(self._end[0], log)

    def _name(self) -> str:
        return self.server.app or self.server.url or " ".join(self.server.command)


def _is_named(app: str) -> bool:
    module, colon, name = app.removesuffix("()").partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), *name.split(".")])


def _host_and_port(url: str, allowed: Sequence[str]) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.path not in {"", "/"} or parts.query:
        raise InputError(
            f"{url!r} is no http://host:port",
            where="server",
            hint="TLS is not spoken here",
        )
    if parts.hostname not in {*LOOPBACK, *allowed}:
        raise InputError(
            f"{parts.hostname} is not this machine, and nobody has allowed to send it load",
            where="server",
            hint=f'add "{parts.hostname}" to allow_hosts under [tool.prodml.server] if it is yours',
        )
    return parts.hostname, parts.port or 80


def _join(server: Server) -> RunningServer:
    host, port = _host_and_port(server.url or "", server.allow_hosts)
    return RunningServer(server, host, port)


def _start(server: Server) -> RunningServer:
    nonce = secrets.token_hex(16)
    directory = tempfile.TemporaryDirectory(prefix="prodml-server-", ignore_cleanup_errors=True)
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        variables = inherited_variables() | dict(server.variables) | {NONCE_VARIABLE: nonce}
        if server.app:
            command, handed = _asgi_command(server, bound, nonce, variables), bound.fileno()
        else:
            command, handed = [word.replace("{port}", str(port)) for word in server.command], None
            # The command binds it anew. Whether it, or another process, then listens there is looked at.
            bound.close()
        told = {"command": command, "socket": handed, "directory": str(server.root.resolve())}
        with (Path(directory.name) / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - this interpreter, our own program, the user's command
                [sys.executable, "-P", "-S", "-E", str(_WATCHDOG), json.dumps(told)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=variables,
                pass_fds=[] if handed is None else [handed],
                start_new_session=True,
            )
    return RunningServer(server, "127.0.0.1", port, process=process, nonce=nonce, directory=directory)


def _asgi_command(server: Server, bound: socket.socket, nonce: str, variables: dict[str, str]) -> list[str]:
    from importlib.util import find_spec

    if find_spec("uvicorn") is None:
        raise MissingDependencyError(
            "an ASGI app is served by the package 'uvicorn', which is not installed",
            hint='pip install "pytest-prodml[serving]"',
        )
    app = server.app or ""
    variables[VARIABLE] = json.dumps(
        {
            "app": app.removesuffix("()"),
            "factory": app.endswith("()"),
            "socket": bound.fileno(),
            "paths": [str(path.resolve()) for path in server.paths],
            "workers": server.workers,
            "options": dict(server.options),
            "nonce": nonce,
        }
    )
    return [sys.executable, "-P", str(_ASGI)]
