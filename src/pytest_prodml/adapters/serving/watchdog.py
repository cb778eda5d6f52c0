"""Start a server, and end it with all that it started as soon as nobody holds it any more.

Runs as a program of its own, with the standard library only. The process that wants the server holds the
other end of standard input: when that closes, for whatever reason (the test was killed), everything ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_SET_PARENT_DEATH_SIGNAL = 1
_SET_CHILD_SUBREAPER = 36
_ROUNDS = 200
_LOOK_SECONDS = 0.02


def _control(option: int, value: int) -> None:
    """Ask the Linux kernel; elsewhere there is nothing to ask."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started, and theirs; none where /proc does not tell."""
    parents: dict[int, list[int]] = {}
    with contextlib.suppress(OSError):
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    # The name stands in brackets and may hold anything.
                    told = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                    if told[0] != "Z":
                        parents.setdefault(int(told[1]), []).append(int(entry.name))
    found, look = [], [pid]
    while look:
        own = parents.get(look.pop(), [])
        found += own
        look += own
    return found


def _end_all(process: subprocess.Popen[bytes]) -> None:
    """End everything below this process: what left its group comes to us, the subreaper."""
    if process.returncode is None or not sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    for _ in range(_ROUNDS):
        left = children_of(os.getpid())
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not left:
            return
        time.sleep(0.01)


def main() -> int:
    """Start the command, tell its process id, then how and when it ended."""
    told: dict[str, Any] = json.loads(sys.argv[1])
    _control(_SET_CHILD_SUBREAPER, 1)
    sockets = [told["socket"]] if told["socket"] is not None else []
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's command; one thread only
            told["command"],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            cwd=told["directory"],
            pass_fds=sockets,
            start_new_session=True,
            preexec_fn=lambda: _control(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL),  # noqa: PLW1509
        )
    except OSError as error:
        _tell({"error": error.strerror or str(error)})
        return 1
    for number in sockets:
        os.close(number)
    _tell({"pid": process.pid})
    is_told = False
    while True:
        # Other signals are for the server, and are sent to it.
        if select.select([sys.stdin], [], [], _LOOK_SECONDS)[0] and not os.read(0, 1024):
            break
        if not is_told and process.poll() is not None:
            is_told = True
            _tell({"status": process.returncode, "at": time.monotonic()})
    _end_all(process)
    return 0


def _tell(message: dict[str, Any]) -> None:
    # Whoever wanted to know may be gone.
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    raise SystemExit(main())
