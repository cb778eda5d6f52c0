"""The stages of a run: when each began and ended, what it wrote, and the fault that is put into one.

Only the standard library: this runs inside the process of the pipeline.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: How a stage can fail, and what that is.
FAULTS = {
    "raise_before": "an error before it began",
    "raise_after": "an error after its work, before it ended",
    "kill": "SIGKILL after its work, before it ended",
    "kill_while_writing": "ended by a signal in the middle of a write (RLIMIT_FSIZE, SIGXFSZ)",
    "disk_full": "writes fail in the middle of a file (RLIMIT_FSIZE, EFBIG), as at the end of a quota",
}
WHILE_WRITING = frozenset({"kill_while_writing", "disk_full"})
_BLOCK = 2**20


class InjectedFault(RuntimeError):  # noqa: N818 - it is put there, it is no error of ours
    """The error that is put into a stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A failure of one stage; `at_bytes` is the size that no file may exceed while it lasts."""

    stage: str
    how: str
    at_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a run.

    `written` holds the SHA-256 and the size in bytes of each file that it made or changed, by its path in the
    run's directory.
    """

    name: str
    seconds: float
    written: Mapping[str, tuple[str, int]] = field(default_factory=dict)


class Stages:
    """Handed to a pipeline function: `with stages("train") as directory:` is one stage.

    `directory` is where the pipeline works and publishes.
    """

    def __init__(self, directory: Path, fault: Fault | None = None, told: Any = None) -> None:  # noqa: ANN401
        self.directory = directory
        self.done: list[Stage] = []
        self._fault = fault
        self._told = told
        self._known = digests(directory)

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[Path]:
        """Run one stage."""
        self.begin(name)
        start = time.perf_counter()
        yield self.directory
        self.end(name, time.perf_counter() - start)

    def begin(self, name: str) -> None:
        """Tell that a stage begins; here it may fail."""
        fault = self._fault
        if fault is None or fault.stage != name:
            return
        if fault.how == "raise_before":
            self._reached()
            raise InjectedFault(f"put into {name}")
        if fault.how in WHILE_WRITING:
            self._reached()
            limit_files(fault)

    def end(self, name: str, seconds: float) -> None:
        """Tell that a stage has done its work; here it may fail."""
        fault = self._fault
        if fault is not None and fault.stage == name:
            if fault.how == "kill":
                self._reached()
                os.kill(os.getpid(), signal.SIGKILL)
            if fault.how == "raise_after":
                self._reached()
                raise InjectedFault(f"put into {name}")
        found = digests(self.directory)
        written = {path: told for path, told in found.items() if self._known.get(path) != told}
        self._known = found
        self.done.append(Stage(name=name, seconds=seconds, written=written))

    def _reached(self) -> None:
        """Tell the process that waits, before nothing can be told any more."""
        if self._told is not None:
            self._told()


def limit_files(fault: Fault) -> None:
    """Let writes beyond a size fail, or end this process."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (fault.at_bytes, hard))
    # Python ignores the signal, so that a write fails with an error. Ended by it, no process can clean up.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if fault.how == "kill_while_writing" else signal.SIG_IGN)


def digests(directory: Path) -> dict[str, tuple[str, int]]:
    """Return SHA-256 and size of each file in a directory, by its path there; of a link, what it names."""
    found = {}
    for folder, folders, names in os.walk(directory):
        for name in sorted([*names, *folders]):
            path = Path(folder) / name
            inner = path.relative_to(directory).as_posix()
            if path.is_symlink():
                found[inner] = (f"link to {path.readlink()}", 0)
            elif path.is_file():
                found[inner] = _digest(path)
    return dict(sorted(found.items()))


def _digest(path: Path) -> tuple[str, int]:
    total, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            total.update(block)
            size += len(block)
    return total.hexdigest(), size
