"""Start the worker, wait for it within its limits, and end it with all that it started if it keeps on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_prodml.deepchecks_worker.home import WORKER
from pytest_prodml.environment import thread_variables
from pytest_prodml.errors import InputError

#: A suite on 100,000 rows takes a few minutes; see the how-to.
DEFAULT_TIMEOUT_SECONDS = 600.0
DEFAULT_MEMORY_BYTES = 8 * 2**30
_WHERE = "deepchecks"
_GRACE_SECONDS = 10.0
#: The status with which the worker says that its answer tells why there is none.
_ANSWERED_WHY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the worker may take: wall-clock seconds, and bytes of address space (None: no limit)."""

    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    memory_bytes: int | None = DEFAULT_MEMORY_BYTES


@contextmanager
def exchange_directory() -> Iterator[Path]:
    """Give a directory that only this user can read and that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="prodml-deepchecks-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def run_worker(python: Path, directory: Path, limits: Limits) -> None:
    """Run the worker on the request in `directory`.

    It has an environment of its own (no variable of this process but the numbers of threads), a process group
    of its own, and no standard input.

    Raises
    ------
    InputError
        If it can not be started, does not end in time, or ends in any other way than with an answer.
    """
    try:
        with (directory / "stdout").open("wb") as stdout, (directory / "stderr").open("wb") as stderr:
            process = subprocess.Popen(  # noqa: S603 - the interpreter that the project names, our own program
                [str(python), "-P", "-s", "-W", "ignore", str(WORKER), str(directory)],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=directory,
                env=_variables(directory),
                start_new_session=True,
            )
    except OSError as error:
        raise InputError(
            f"the worker can not be started: {error.strerror or error}",
            where=str(python),
            hint="run `prodml deepchecks install`, or correct python under [tool.prodml.deepchecks]",
        ) from None
    try:
        status = process.wait(limits.timeout_seconds)
    except subprocess.TimeoutExpired:
        raise InputError(
            f"the worker ran into its time limit of {limits.timeout_seconds:g} s{_reached(directory)}",
            where=_WHERE,
            hint="nothing was evaluated; ask for fewer checks, or raise timeout_seconds",
        ) from None
    finally:
        # Whatever ended the waiting, Ctrl-C and pytest-timeout included.
        if process.returncode is None:
            _kill(process)
    if status not in {0, _ANSWERED_WHY} or not (directory / "answer.json").is_file():
        raise InputError(_death(status, directory), where=_WHERE, hint=_hint(status, limits))


def _variables(directory: Path) -> dict[str, str]:
    given = {name: os.environ[name] for name in ("SYSTEMROOT", "WINDIR") if name in os.environ}
    return given | thread_variables() | {
        "PATH": os.defpath,
        "HOME": str(directory),
        "USERPROFILE": str(directory),
        "TMPDIR": str(directory),
        "TEMP": str(directory),
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": str(directory),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY": "true",
        "DISABLE_LATEST_VERSION_CHECK": "true",
    }  # fmt: skip


def _kill(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        # Its pid is its group's id until it has been waited for.
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_GRACE_SECONDS)


def _reached(directory: Path) -> str:
    told = _text(directory / "progress", most=200)
    return f" at check {told}" if told else " before its first check"


def _death(status: int, directory: Path) -> str:
    if status < 0:
        how = f"was killed by {_signal_name(-status)}{_reached(directory)}"
    elif status in {0, _ANSWERED_WHY}:
        how = "left no answer"
    else:
        how = f"ended with status {status}{_reached(directory)}"
    told = _text(directory / "stderr", most=1000)
    return f"the worker {how}" + (f": {told}" if told else "")


def _hint(status: int, limits: Limits) -> str:
    memory = limits.memory_bytes
    if status < 0 and memory is not None:
        return f"nothing was evaluated; its memory limit is {memory / 2**30:.3g} GiB (memory_bytes)"
    return "nothing was evaluated; `prodml deepchecks check` tells what is installed"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _text(path: Path, *, most: int) -> str:
    """Return the end of a file that the worker wrote, on one line."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4 * most))
            data = file.read(4 * most)
    except OSError:
        return ""
    text = data.decode("utf-8", "replace")
    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return shown if len(shown) <= most else f"...{shown[-most:]}"
