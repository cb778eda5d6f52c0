"""The lock -> an environment with deepchecks in it, built once by uv or by venv and pip, and never half.

It is built beside its place and moved there when it works, so that a build that was cut short, or a second
one at the same time, leaves nothing that looks whole.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pytest_prodml.codec import dumps
from pytest_prodml.deepchecks_worker.home import (
    LOCK,
    MARKER,
    PYTHONS,
    WORKER,
    Marker,
    interpreter_of,
    lock_digest,
    other_versions,
    read_marker,
)
from pytest_prodml.errors import ConfigurationError

#: What the environment takes on disk, with room for the archives that are unpacked into it.
NEEDED_BYTES = 2 * 2**30
_INSTALL_SECONDS = 3600
_ASK_SECONDS = 300
_NO_SPACE = ("No space left on device", "os error 28", "not enough space on the disk")


def build(directory: Path, *, python: str | None, say: Callable[[str], None]) -> Marker:
    """Build the environment at `directory`, in place of an older one.

    Parameters
    ----------
    directory : Path
        Where it shall lie. What lies there is replaced if it is such an environment, and never otherwise.
    python : str, optional
        The interpreter to build from (a path or a name); default the first Python 3.12 or 3.11 found.
    say : callable
        Is told what is being done.

    Raises
    ------
    ConfigurationError
        If there is no suitable interpreter, the directory belongs to something else, the disk is full, an
        installer fails, or what was installed does not work.
    """
    if (
        directory.exists()
        and read_marker(directory) is None
        and (not directory.is_dir() or any(directory.iterdir()))
    ):
        raise ConfigurationError(
            "holds something else than an environment for deepchecks",
            where=str(directory),
            hint="name an empty place, or remove it yourself",
        )
    base = find_python(python)
    partial = _start(directory)
    try:
        say(f"building with {base}")
        for command in _commands(base, partial):
            _install(command, partial)
        marker = _try(partial)
        (partial / MARKER).write_text(dumps(marker), encoding="utf-8")
        _move(partial, directory)
    except OSError as error:
        raise _disk_problem(error, directory) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return marker


def find_python(wanted: str | None = None) -> str:
    """Return an interpreter that the lock is for.

    Raises
    ------
    ConfigurationError
        If `wanted` is none, or none is found.
    """
    if wanted is not None:
        version = _version_of(wanted)
        if version not in PYTHONS:
            told = f"is Python {version}" if version else "is no Python interpreter that starts"
            raise ConfigurationError(f"{told}; deepchecks needs Python {' or '.join(PYTHONS)}", where=wanted)
        return wanted
    for candidate in _candidates():
        if _version_of(candidate) in PYTHONS:
            return candidate
    raise ConfigurationError(
        f"no Python {' or '.join(PYTHONS)} was found, and deepchecks works with no newer one",
        hint="install one, or name it: prodml deepchecks install --python PATH",
    )


def _candidates() -> Iterator[str]:
    if sys.executable:
        yield sys.executable
    for version in PYTHONS:
        if found := shutil.which(f"python{version}"):
            yield found
    if uv := shutil.which("uv"):
        for version in PYTHONS:
            asked = _ask([uv, "python", "find", "--no-project", "--no-python-downloads", version])
            if asked is not None and asked.strip():
                yield asked.strip()


def _version_of(python: str) -> str | None:
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    told = _ask([python, "-I", "-c", program])
    return None if told is None else told.strip()


def _ask(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - an interpreter that the user has or names
            command,
            capture_output=True,
            text=True,
            timeout=_ASK_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env=_variables(),
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _variables() -> dict[str, str]:
    """Return the environment without what would steer another interpreter than the one that is built."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _start(directory: Path) -> Path:
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(directory.parent).free
        if free < NEEDED_BYTES:
            raise ConfigurationError(
                f"the disk has {free / 2**30:.1f} GiB left, {NEEDED_BYTES / 2**30:.0f} GiB are needed",
                where=str(directory.parent),
                hint="free some, or build elsewhere: prodml deepchecks install --at DIRECTORY",
            )
        return Path(tempfile.mkdtemp(prefix=f"{directory.name}.partial-", dir=directory.parent))
    except OSError as error:
        raise _disk_problem(error, directory) from None


def _commands(base: str, place: Path) -> list[list[str]]:
    inside = str(interpreter_of(place))
    # Hashes for everything, and built packages only: nothing that was not locked runs while it is installed.
    locked = ["--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)]
    uv = shutil.which("uv")
    if uv:
        return [
            [uv, "venv", "--quiet", "--no-project", "--allow-existing", "--python", base, str(place)],
            [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", inside, *locked],
        ]
    return [
        [base, "-I", "-m", "venv", str(place)],
        [inside, "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *locked],
    ]


def _install(command: Sequence[str], place: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - uv, venv or pip with the lock that we ship
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_INSTALL_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env=_variables(),
        )
    except subprocess.TimeoutExpired:
        raise ConfigurationError(
            f"the installation did not end within {_INSTALL_SECONDS // 60} minutes", where=_short(command)
        ) from None
    if done.returncode != 0:
        told = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        if any(phrase in told for phrase in _NO_SPACE):
            raise ConfigurationError("the disk is full", where=str(place.parent))
        raise ConfigurationError(
            f"the installation failed (exit status {done.returncode}):\n  {told}",
            where=_short(command),
            hint="the package index is the one that uv or pip is configured for",
        )


def _short(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:3]])


def _try(place: Path) -> Marker:
    """Import what was installed: an environment that can not even do this must not count as built."""
    told = _ask([str(interpreter_of(place)), "-P", "-s", "-W", "ignore", str(WORKER), "--versions"])
    if told is None:
        raise ConfigurationError("what was installed can not import deepchecks", where=str(place.parent))
    found = json.loads(told)
    others = other_versions(found["versions"])
    if others:
        raise ConfigurationError(
            f"was installed with other versions: {', '.join(others)}", where=str(place.parent)
        )
    return Marker(lock_sha256=lock_digest(), python=found["python"], versions=found["versions"])


def _move(partial: Path, directory: Path) -> None:
    partial.chmod(0o755)
    old = partial.with_name(f"{partial.name}.old")
    if directory.exists():
        directory.rename(old)
    try:
        partial.rename(directory)
    except OSError as error:
        # A second build that was faster used the same lock.
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            if old.exists():
                old.rename(directory)
            raise
    shutil.rmtree(old, ignore_errors=True)


def _disk_problem(error: OSError, directory: Path) -> ConfigurationError:
    told = (
        "the disk is full"
        if error.errno == errno.ENOSPC
        else f"can not be built: {os.strerror(error.errno or 0)}"
    )
    return ConfigurationError(told, where=str(directory))
