"""A page in headless Chromium, over the DevTools protocol on two pipes: no driver, no port, no package.

What a page loads, says on the console and how wide it is are asked from outside, so a page that allows no
script can be examined without being changed.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
#: The browser reads commands from descriptor 3 and writes answers to 4.
_LAUNCH = "import os,sys;os.dup2(int(sys.argv[1]),3);os.dup2(int(sys.argv[2]),4);os.execvp(sys.argv[3],sys.argv[3:])"
_PATIENCE_SECONDS = 120.0


def find_chromium() -> str | None:
    """Return Debian's or another Chromium; None if there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """One browser process."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._ids = itertools.count(1)
        self._buffer = b""
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, *, session: str | None = None, **parameters: Any) -> Any:
        number = next(self._ids)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method: str, session: str) -> None:
        while not any(e.get("method") == method and e.get("sessionId") == session for e in self.events):
            self.events.append(self._receive())

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self._answers, 2**20) if ready else b""
            if not data:
                raise RuntimeError("the browser does not answer")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @contextlib.contextmanager
    def page(self, path: Path, *, width: int, height: int, dark: bool = False) -> Iterator[Page]:
        """Load a file into a page of its own."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "Audits"):
            self.send(f"{domain}.enable", session=session)
        self.send(
            "Emulation.setDeviceMetricsOverride",
            session=session,
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", session=session, features=[scheme])
        self.send("Page.navigate", session=session, url=path.as_uri())
        self.wait_for("Page.loadEventFired", session)
        yield Page(self, session, path.as_uri())
        self.send("Target.closeTarget", targetId=target)
        self.events = [event for event in self.events if event.get("sessionId") != session]


class Page:
    """One loaded page and everything it asked for or complained about."""

    def __init__(self, browser: Browser, session: str, url: str) -> None:
        self._browser = browser
        self._session = session
        self.url = url

    def evaluate(self, expression: str) -> Any:
        result = self._browser.send(
            "Runtime.evaluate",
            session=self._session,
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        if "exceptionDetails" in result:
            raise RuntimeError(str(result["exceptionDetails"]))
        return result["result"].get("value")

    def requests(self) -> list[str]:
        """Return what was asked for, the page itself included."""
        return [event["params"]["request"]["url"] for event in self._own("Network.requestWillBeSent")]

    def complaints(self) -> list[str]:
        names = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Audits.issueAdded")
        return [json.dumps(event["params"]) for name in names for event in self._own(name)]

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        shot = self._browser.send(
            "Page.captureScreenshot", session=self._session, format="png", captureBeyondViewport=whole
        )
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self) -> bytes:
        printed = self._browser.send("Page.printToPDF", session=self._session, preferCSSPageSize=True)
        return base64.b64decode(printed["data"])

    def media(self, name: str) -> None:
        self._browser.send("Emulation.setEmulatedMedia", session=self._session, media=name)

    def _own(self, method: str) -> list[dict[str, Any]]:
        self.evaluate("1")
        return [
            event
            for event in self._browser.events
            if event.get("method") == method and event.get("sessionId") == self._session
        ]


@contextlib.contextmanager
def chromium(executable: str, profile: Path) -> Iterator[Browser]:
    """Run a browser with an empty profile; it ends with the block."""
    ours_to_it, it_from_us = _pipe()
    it_to_us, ours_from_it = _pipe()
    launch = [sys.executable, "-c", _LAUNCH, str(ours_to_it), str(ours_from_it), executable, *FLAGS]
    process = subprocess.Popen(
        [*launch, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(ours_to_it, ours_from_it),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(ours_to_it)
    os.close(ours_from_it)
    try:
        yield Browser(it_from_us, it_to_us)
    finally:
        os.close(it_from_us)
        os.close(it_to_us)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _pipe() -> tuple[int, int]:
    """Return a pipe whose ends are far above the descriptors that the browser expects."""
    ends = os.pipe()
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in ends)
    for end in ends:
        os.close(end)
    return moved[0], moved[1]
