"""The server under test: it is the one that was started, and it is gone afterwards."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import unittest.mock
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_prodml.adapters.serving.server import NONCE_HEADER, Server
from pytest_prodml.adapters.serving.watchdog import children_of
from pytest_prodml.errors import InputError

TESTS = Path(__file__).parents[2]
COMMAND = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        nonce = os.environ.get("TELL", "") and os.environ[os.environ["TELL"]]
        if nonce:
            self.send_header("prodml-nonce", nonce)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *arguments):
        pass
print("serving", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def served(tmp_path: Path) -> Server:
    (tmp_path / "weights.json").write_text('{"weights": [1.0, 2.0]}')
    return Server(
        app="served_app:app",
        ready="/ready",
        root=tmp_path,
        paths=[TESTS],
        variables={"MODEL": "weights.json"},
    )


def command(tmp_path: Path, *, variables: dict[str, str] | None = None, seconds: float = 20) -> Server:
    (tmp_path / "serve.py").write_text(COMMAND)
    return Server(
        command=[sys.executable, "serve.py", "{port}"],
        root=tmp_path,
        variables=variables or {},
        startup_seconds=seconds,
    )


def answers(port: int, path: str = "/ready") -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def is_gone(pid: int) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_an_app_is_served_on_a_free_port_and_gone_afterwards(served: Server, workers: int) -> None:
    with replace(served, workers=workers).running() as server:
        assert answers(server.port) == 200
        assert server.ready_seconds > 0
        assert server.pid is not None
        pids = [server.pid, *children_of(server.pid)]
        assert len(pids) >= workers
    assert answers(server.port) is None
    assert all(is_gone(pid) for pid in pids)


def test_each_answer_carries_the_nonce_of_its_run(served: Server) -> None:
    nonces = []
    for _ in range(2):
        with served.running() as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
            connection.request("GET", "/ready")
            nonces.append(connection.getresponse().getheader(NONCE_HEADER))
            connection.close()
            assert nonces[-1] == server.nonce
    assert len(set(nonces)) == 2


def test_a_command_is_known_by_the_process_that_listens(tmp_path: Path) -> None:
    with command(tmp_path).running() as server:
        assert answers(server.port, "/") == 200
        assert server.nonce is None
    assert answers(server.port, "/") is None


def test_a_command_may_tell_the_nonce(tmp_path: Path) -> None:
    with command(tmp_path, variables={"TELL": "PRODML_SERVER_NONCE"}).running() as server:
        assert server.nonce is not None


def test_another_server_on_the_port_does_not_pass_for_it(tmp_path: Path) -> None:
    """The command starts nothing, and something else has taken the port: it must not answer in its place."""
    (tmp_path / "other.py").write_text(COMMAND)
    (tmp_path / "leave.py").write_text(
        "import subprocess, sys, time\n"
        # As a server of an earlier run would: in a session of its own, without a parent.
        "if not __import__('os').fork():\n"
        "    __import__('os').setsid()\n"
        "    time.sleep(30)\n"
        "time.sleep(30)\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    other = subprocess.Popen([sys.executable, str(tmp_path / "other.py"), str(port)])
    try:
        server = Server(command=[sys.executable, "leave.py", "{port}"], root=tmp_path, startup_seconds=5)
        with (
            unittest.mock.patch("socket.socket.getsockname", return_value=("127.0.0.1", port)),
            pytest.raises(InputError, match="another server answers on its port"),
            server.running(),
        ):
            pass
    finally:
        other.kill()
        other.wait()


def test_a_stale_nonce_does_not_pass(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="another server answers on its port"),
        command(tmp_path, variables={"TELL": "OLD", "OLD": "an older run"}).running(),
    ):
        pass


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise SystemExit('no model')", "no model"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
    ],
)
def test_a_server_that_ends_is_told_by_its_last_words(tmp_path: Path, source: str, told: str) -> None:
    (tmp_path / "serve.py").write_text(source)
    server = Server(command=[sys.executable, "serve.py", "{port}"], root=tmp_path)
    with pytest.raises(InputError, match=told), server.running():
        pass


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    server = Server(command=["no-such-command", "{port}"], root=tmp_path)
    with pytest.raises(InputError, match=r"can not be started: No such file"), server.running():
        pass


def test_a_server_that_is_never_ready_is_told(served: Server) -> None:
    hanging = replace(served, variables={**served.variables, "FAULT": "hangs"}, startup_seconds=2)
    with pytest.raises(InputError, match=r"/ready answers 503"), hanging.running():
        pass


def test_everything_ends_when_the_test_itself_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves a test no time for anything: what it started ends all the same, workers that hide too."""
    (tmp_path / "weights.json").write_text('{"weights": [1.0, 2.0]}')
    (tmp_path / "hold.py").write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from pytest_prodml.adapters.serving.server import Server\n"
        f"server = Server(app='served_app:app', ready='/ready', root=Path({str(tmp_path)!r}), workers=2,\n"
        f"    paths=[Path({str(TESTS)!r})], variables={{'MODEL': 'weights.json'}})\n"
        "with server.running() as running:\n"
        "    print(running.pid, running.port, flush=True)\n"
        "    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, str(tmp_path / "hold.py")], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    pid, port = map(int, holder.stdout.readline().split())
    pids = [pid, *children_of(pid)]
    assert answers(port) == 200
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert all(is_gone(each) for each in pids)
    assert answers(port) is None


def test_a_process_that_leaves_its_group_ends_too(tmp_path: Path) -> None:
    (tmp_path / "serve.py").write_text(
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
        "open('child', 'w').write(str(child.pid))\n" + COMMAND
    )
    server = Server(command=[sys.executable, "serve.py", "{port}"], root=tmp_path)
    with server.running() as running:
        hidden = int((tmp_path / "child").read_text())
        assert running.is_alive()
        assert Path(f"/proc/{hidden}").exists()
    assert is_gone(hidden)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "exactly one of them"),
        ({"app": "a:b", "url": "http://127.0.0.1:1"}, "exactly one of them"),
        ({"app": "served"}, "names nothing"),
        ({"command": ["serve"]}, r"has no \{port\}"),
        ({"url": "http://example.com:80"}, "nobody has allowed to send it load"),
        ({"url": "https://127.0.0.1"}, "is no http://host:port"),
        ({"app": "a:b", "workers": 0}, "at least 1 worker"),
        ({"app": "a:b", "ready": "ready"}, "begins with /"),
    ],
)
def test_a_server_that_makes_no_sense_is_refused(given: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Server(**given)  # type: ignore[arg-type]


def test_a_host_that_is_allowed_may_be_asked() -> None:
    assert not Server(url="http://example.com:80", allow_hosts=["example.com"]).is_ours


def test_a_server_that_serves_already_is_asked_and_never_hurt(tmp_path: Path) -> None:
    with command(tmp_path).running() as ours, Server(url=ours.url).running() as joined:
        assert joined.port == ours.port
        with pytest.raises(InputError, match="only a server that is started here may be hurt"):
            joined.terminate()
        with pytest.raises(InputError, match="only a server that is started here may be hurt"):
            joined.kill_worker()
    assert answers(ours.port, "/") is None


def test_the_newest_worker_is_killed_and_the_supervisor_replaces_it(served: Server) -> None:
    with replace(served, workers=2).running() as server:
        assert server.pid is not None
        before = set(children_of(server.pid))
        server.kill_worker()
        assert server.is_alive()
        end = time.monotonic() + 20
        while time.monotonic() < end and not set(children_of(server.pid)) - before:
            time.sleep(0.05)
        assert set(children_of(server.pid)) - before
