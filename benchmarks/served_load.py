"""How many requests a second the open-loop generator sends on time, and what a closed loop does not see.

    python benchmarks/served_load.py

Prints, for growing rates against a bare ASGI app, how late the generator itself was; then what both kinds of
loop read of one stall of half a second. Client and server share the machine. Needs the extra `serving`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from pytest_prodml.adapters.serving.load import Phase, Plan, run_closed, run_plan
from pytest_prodml.adapters.serving.protocols import post
from pytest_prodml.adapters.serving.server import Server

APP = """
import asyncio, os, time

count = 0
STALL_AT = int(os.environ.get("STALL_AT", "0"))

async def app(scope, receive, send):
    global count
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    count += 1
    if STALL_AT and count == STALL_AT:
        time.sleep(0.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})
"""
REQUEST = [post("/score", b'{"a": 1.5, "b": 2}', "127.0.0.1")]
SECONDS = 4.0


def milliseconds(values: np.ndarray, share: float) -> float:
    return 1_000 * float(np.quantile(values, share, method="inverted_cdf"))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "bare.py").write_text(APP)
        server = Server(app="bare:app", paths=[Path(name)], root=Path(name))
        print("rate/s  sent/s  lag p50 ms  lag p99 ms  latency p50 ms  latency p99 ms")
        for rate in (200, 500, 1_000, 2_000, 3_000, 4_000, 6_000):
            with server.running() as running:
                plan = Plan(
                    host=running.host,
                    port=running.port,
                    requests=REQUEST,
                    phases=[Phase(rate=rate, seconds=SECONDS)],
                )
                found = run_plan(plan)
            sent = np.count_nonzero(found.taken <= SECONDS) / SECONDS
            print(
                f"{rate:6,}  {sent:6,.0f}  {milliseconds(found.lag, 0.5):10.2f}  "
                f"{milliseconds(found.lag, 0.99):10.2f}  {milliseconds(found.latency, 0.5):14.2f}  "
                f"{milliseconds(found.latency, 0.99):14.2f}"
            )
        stalling = Server(app="bare:app", paths=[Path(name)], root=Path(name), variables={"STALL_AT": "400"})
        print("\none stall of 0.5 s, read by    requests  p99 ms  largest ms")
        with stalling.running() as running:
            phases = [Phase(rate=200, seconds=5)]
            found = run_plan(Plan(host=running.host, port=running.port, requests=REQUEST, phases=phases))
        open_loop = milliseconds(found.latency, 0.99)
        largest = milliseconds(found.latency, 1)
        print(f"open loop, 200/s               {len(found):8,}  {open_loop:6.1f}  {largest:10.1f}")
        with stalling.running() as running:
            plan = Plan(host=running.host, port=running.port, requests=REQUEST, phases=())
            closed = run_closed(plan, concurrency=1, seconds=5)
        read = milliseconds(closed.latency, 0.99)
        largest = milliseconds(closed.latency, 1)
        print(f"closed loop, one in flight     {len(closed):8,}  {read:6.1f}  {largest:10.1f}")
        print(f"ratio of the two p99: {open_loop / read:,.0f}")


if __name__ == "__main__":
    main()
