"""Processes of our own making: what they inherit, how they end, what they said."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

_GRACE_SECONDS = 10.0
#: A process that has closed its answers ends within this, or is ended: its status is worth a moment.
_LAST_WORDS_SECONDS = 1.0
_MOST_TEXT = 300
_QUOTED_PATH = re.compile(r"""(['"])(?:[A-Za-z]:)?[\\/][^'"]*[\\/]([^'"\\/]*)\1""")
_DIRECTORIES = re.compile(r"""(?<!\w)(?:[A-Za-z]:)?[\\/](?:[^\s'"\\/]+[\\/])+""")
#: Settings of tests, of their coverage and of debugging, which no service has; and secrets of this run.
_LEFT_OUT_PREFIXES = ("PYTEST_", "COV_CORE_", "COVERAGE_", "PRODML_")
_LEFT_OUT = frozenset(
    {
        "PYTHONBREAKPOINT",
        "PYTHONDEBUG",
        "PYTHONDEVMODE",
        "PYTHONFAULTHANDLER",
        "PYTHONINSPECT",
        "PYTHONPROFILEIMPORTTIME",
        "PYTHONTRACEMALLOC",
        "PYTHONVERBOSE",
        "PYTHONWARNINGS",
    }
)


def inherited_variables() -> dict[str, str]:
    """Return the environment without what belongs to the tests: a fresh process is as in production."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _LEFT_OUT and not name.startswith(_LEFT_OUT_PREFIXES)
    }


def end_with_group(
    process: subprocess.Popen[bytes], *, may_end_by_itself: bool = False, seconds: float = _LAST_WORDS_SECONDS
) -> bool:
    """End a process that was started in a session of its own, with all that it started.

    Parameters
    ----------
    process : Popen
        Made with ``start_new_session=True``.
    may_end_by_itself : bool
        Give it time for that: its exit status tells more than the signal that ended it.
    seconds : float
        How much.

    Returns
    -------
    bool
        Whether it had ended by itself.
    """
    has_ended = False
    if sys.platform == "win32":
        if may_end_by_itself:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
        has_ended = process.returncode is not None
        process.kill()
    else:
        end = time.monotonic() + (seconds if may_end_by_itself else 0.0)
        # Looked at, not waited for: until then its pid is its group's id and nobody else's.
        look = os.WEXITED | os.WNOWAIT | os.WNOHANG
        # Where SIGCHLD is ignored, there is nothing left to look at.
        with contextlib.suppress(ChildProcessError):
            while not (has_ended := os.waitid(os.P_PID, process.pid, look) is not None):
                if time.monotonic() >= end:
                    break
                time.sleep(0.005)
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait(_GRACE_SECONDS)
    return has_ended


def end_of(status: int, stderr: Path) -> str:
    """Say how a process ended, and the last that it wrote."""
    if status < 0:
        how = f"was ended by {signal_name(-status)}"
    elif status > 0:
        how = f"ended with status {status}"
    else:
        how = "ended without an answer"
    told = last_words(stderr)
    return f"{how}: {told}" if told else how


def signal_name(number: int) -> str:
    """Return ``SIGKILL`` for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_words(file: Path) -> str:
    """Return the last lines that a process wrote, without those of a traceback and without directories."""
    with file.open("rb") as written:
        written.seek(max(0, file.stat().st_size - 8 * _MOST_TEXT))
        text = written.read().decode("utf-8", "replace")
    lines = [line for line in text.splitlines() if line.strip() and not line[0].isspace()]
    shown = " ".join(line for line in lines[-3:] if not line.startswith("Traceback"))
    return without_directories(shown)[-_MOST_TEXT:]


def without_directories(text: str) -> str:
    """Return a message without directories of this machine and without control characters."""
    shown = _DIRECTORIES.sub("", _QUOTED_PATH.sub(r"\1\2\1", text))
    return "".join(c if c.isprintable() else " " for c in shown)
