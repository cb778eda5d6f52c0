"""What the processes of a server hold: its port, memory, open files. Read from /proc, so on Linux only."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from pytest_prodml.adapters.serving.watchdog import children_of
from pytest_prodml.errors import InputError

_LISTENING = "0A"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What a server holds at one moment.

    `seconds` is when, from the start of a run; `memory_bytes` the resident memory of all its processes (pages
    that they share count for each), `descriptors` their open files, sockets included.
    """

    seconds: float
    memory_bytes: int
    descriptors: int
    processes: int


def holding_of(pid: int, seconds: float) -> Holding | None:
    """Return what a process and those that it started hold; None where that can not be read."""
    memory, descriptors, found = 0, 0, 0
    for each in (pid, *children_of(pid)):
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = int(Path(f"/proc/{each}/statm").read_text().split()[1])
            descriptors += sum(1 for _ in Path(f"/proc/{each}/fd").iterdir())
            memory += pages * os.sysconf("SC_PAGE_SIZE")
            found += 1
    if not found or not memory:
        return None
    return Holding(seconds=seconds, memory_bytes=memory, descriptors=descriptors, processes=found)


def listens(port: int, ancestor: int) -> bool | None:
    """Return whether a descendant of a process listens on a port; None where that can not be known."""
    inodes = _listening(port)
    if inodes is None:
        return None
    return any(_holds(pid, inodes) for pid in children_of(ancestor))


def worker_to_kill(port: int, server: int) -> int:
    """Return the newest process of a server that listens on its port: a worker, where it has several.

    Raises
    ------
    InputError
        If none is found.
    """
    inodes = _listening(port) or frozenset()
    found = [pid for pid in (server, *children_of(server)) if _holds(pid, inodes)]
    if not found:
        raise InputError("no process of the server is known to listen on its port", where=f"port {port}")
    # A supervisor holds the socket too, and is the oldest.
    return max(found, key=_began)


def _listening(port: int) -> frozenset[str] | None:
    inodes, is_read = set(), False
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/net/{name}").read_text().splitlines()[1:]
            is_read = True
            for line in lines:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    return frozenset(inodes) if is_read else None


def _holds(pid: int, inodes: frozenset[str]) -> bool:
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(entry.readlink()) in inodes:
                    return True
    return False


def _began(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19])
    return -1
