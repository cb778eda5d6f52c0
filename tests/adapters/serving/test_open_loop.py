"""The generator: requests at fixed times, and what it says became of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_prodml.adapters.serving import generator
from pytest_prodml.adapters.serving.load import Answers, Phase, Plan, run_closed, run_plan
from pytest_prodml.adapters.serving.protocols import post
from pytest_prodml.adapters.serving.server import Server
from pytest_prodml.errors import InputError

TESTS = Path(__file__).parents[2]


@contextmanager
def talking(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does to each connection what a function does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = listening.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(2)
                    try:
                        answer(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join()


def asked(port: int, rate: float = 50, seconds: float = 0.2, **options: object) -> Answers:
    plan = Plan(
        host="127.0.0.1",
        port=port,
        requests=[post("/score", b'{"a":1,"b":2}', "here")],
        phases=[Phase(rate=rate, seconds=seconds)],
        **options,  # type: ignore[arg-type]
    )
    return run_plan(plan)


def said(data: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        while connection.recv(65536):
            connection.sendall(data)

    return answer


@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\n\r\n",
            200,
            b"hi",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 429 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 429, b""),
        (b"HTTP/1.1 abc\r\n\r\n", generator.NO_HTTP, None),
        (b"SSH-2.0\r\n\r\n", generator.NO_HTTP, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", generator.NO_HTTP, None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nh\r\n", generator.NO_HTTP, None),
    ],
)
def test_what_comes_back_is_read_as_http(data: bytes, status: int, body: bytes | None) -> None:
    with talking(said(data)) as port:
        found = asked(port)
    assert set(found.status.tolist()) == {status}
    assert found.bodies == (() if body is None else (body,))
    assert len(found) == 10


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    with talking(answer) as port:
        found = asked(port)
    assert set(found.status.tolist()) == {200}
    assert found.bodies == (b"all of it",)


def test_a_connection_that_closes_is_no_answer() -> None:
    with talking(lambda connection: connection.close()) as port:
        found = asked(port)
    assert set(found.status.tolist()) == {generator.CLOSED}
    assert not found.is_answered.any()


def test_nobody_who_listens_is_no_answer() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = asked(free.getsockname()[1])
    assert set(found.status.tolist()) == {generator.NOT_CONNECTED}


def test_a_silent_server_is_given_up_when_the_request_was_due_so_long_ago() -> None:
    def listen(connection: socket.socket) -> None:
        while connection.recv(65536):
            continue

    with talking(listen) as port:
        found = asked(port, timeout_seconds=0.3)
    assert not found.is_answered.any()
    waits = found.latency
    assert (waits >= 0.3).all()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=200), cut=st.integers(0, 60))
def test_whatever_comes_back_ends_as_a_status(data: bytes, cut: int) -> None:
    """Nothing that a server says makes the reader fail: a status of HTTP, or the word for none."""
    for received in (data, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[:cut] + data):
        try:
            found = generator._head(bytearray(received))
            if found is not None and found[2] == -1:
                generator._chunks(bytearray(received), found[3])
        except (ValueError, generator._BrokenError):
            continue


@pytest.fixture(scope="module")
def stalling(tmp_path_factory: pytest.TempPathFactory) -> Server:
    model = tmp_path_factory.mktemp("served") / "weights.json"
    model.write_text('{"weights": [1.0, 2.0]}')
    return Server(
        app="served_app:app",
        ready="/ready",
        root=model.parent,
        paths=[TESTS],
        variables={"MODEL": str(model), "FAULT": "stalls"},
    )


def test_a_stall_is_felt_by_all_who_came_meanwhile_and_a_closed_loop_does_not_see_it(
    stalling: Server,
) -> None:
    """Half a second in five at 200 a second: 1 of 10 clients waits. Whoever asks one by one sees one of them."""
    request = [post("/score", b'{"a":1,"b":2}', "here")]
    with stalling.running() as server:
        plan = Plan(host=server.host, port=server.port, requests=request, phases=[Phase(rate=200, seconds=5)])
        opened = run_plan(plan)
    with stalling.running() as server:
        plan = Plan(host=server.host, port=server.port, requests=request, phases=())
        closed = run_closed(plan, concurrency=1, seconds=2)
    assert opened.is_answered.all()
    assert closed.is_answered.all()
    assert not closed.is_open_loop
    # 100 of 1,000 were due during the stall.
    assert float(np.quantile(opened.latency, 0.99)) > 0.4
    assert 80 <= int(np.count_nonzero(opened.latency > 0.05)) <= 130
    assert int(np.count_nonzero(closed.latency > 0.4)) == 1
    assert float(np.quantile(closed.latency, 0.99)) < 0.1


def test_a_schedule_is_what_was_planned() -> None:
    with talking(said(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as port:
        plan = Plan(
            host="127.0.0.1",
            port=port,
            requests=[post("/", b"1", "here"), post("/", b"2", "here")],
            phases=[Phase(rate=50, seconds=0.2), Phase(rate=100, seconds=0.3)],
            headers=["Content-Length", "X-None"],
        )
        found = run_plan(plan)
        poisson = run_plan(
            Plan(
                host="127.0.0.1",
                port=port,
                requests=plan.requests,
                phases=plan.phases,
                arrivals="poisson",
                seed=3,
            )
        )
    assert [int(np.count_nonzero(found.phase == place)) for place in (0, 1)] == [10, 30]
    np.testing.assert_allclose(np.diff(found.intended[:10]), 0.02)
    np.testing.assert_allclose(np.diff(found.intended[10:]), 0.01)
    assert (found.taken >= found.intended - 1e-9).all()
    assert set(found.header("content-length")) == {"0"}
    assert set(found.header("x-none")) == {None}
    assert (np.diff(poisson.intended) >= 0).all()
    assert np.std(np.diff(poisson.intended[10:])) > 0.002
    part = found.of_phase(1)
    assert part.number is not None
    assert part.number[0] == 10


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"phases": []}, "needs requests"),
        ({"requests": []}, "needs requests"),
        ({"phases": [Phase(rate=0, seconds=1)]}, "rate above 0"),
        ({"phases": [Phase(rate=1, seconds=float("inf"))]}, "for some seconds"),
        ({"phases": [Phase(rate=10_000, seconds=3600)]}, "more than the 500,000"),
        ({"arrivals": "bursts"}, "no arrivals 'bursts'"),
        ({"timeout_seconds": 0}, "time-out above 0"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(change: dict[str, object], told: str) -> None:
    options = {"requests": [b"x"], "phases": [Phase(rate=1, seconds=1)], **change}
    with pytest.raises(InputError, match=told):
        run_plan(Plan(host="127.0.0.1", port=1, **options))  # type: ignore[arg-type]


def test_what_goes_wrong_meanwhile_is_told() -> None:
    def fail(started: float) -> None:
        raise InputError(f"the clock says {started > 0}")

    with (
        talking(said(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as port,
        pytest.raises(InputError, match="the clock says True"),
    ):
        run_plan(
            Plan(
                host="127.0.0.1",
                port=port,
                requests=[post("/", b"", "x")],
                phases=[Phase(rate=50, seconds=0.1)],
            ),
            during=fail,
        )
