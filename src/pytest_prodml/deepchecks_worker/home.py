"""Where the worker's environment lies, and whether what lies there is what the lock says.

A built environment is a directory with a marker that names the digest of the lock it was built from. A lock
that changed since makes it another one, to be built again.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_prodml.codec import decode, parse_json, sha256_hex
from pytest_prodml.errors import MalformedError, MissingDependencyError

WORKER = Path(__file__).with_name("worker.py")
LOCK = Path(__file__).with_name("requirements.txt")
MARKER = "prodml-deepchecks.json"
#: The interpreters for which everything in the lock exists as a built package.
PYTHONS = ("3.12", "3.11")
#: Packages that must have the locked version: with others deepchecks was seen to fail clean data in silence.
STACK = ("deepchecks", "numpy", "pandas", "scikit-learn", "scipy")

_INSTALL = "run `prodml deepchecks install`, or name an interpreter: [tool.prodml.deepchecks] python"
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^ ;\\]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What stands in a built environment; it is written last."""

    lock_sha256: str
    python: str
    versions: Mapping[str, str]


def lock_digest() -> str:
    """Return the SHA-256 of the lock that this installation ships."""
    return sha256_hex(LOCK.read_bytes())


def locked_versions() -> dict[str, str]:
    """Return the locked versions of the packages that decide what a check says."""
    pins = dict(_PIN.findall(LOCK.read_text(encoding="utf-8")))
    return {name: pins[name] for name in STACK}


def other_versions(found: Mapping[str, str]) -> list[str]:
    """Return in words which of these packages are missing or of another version than the locked one."""
    return [
        f"{name} {found.get(name, 'is missing')} (locked: {version})"
        for name, version in locked_versions().items()
        if found.get(name) != version
    ]


def default_directory() -> Path:
    """Return where the environment is built unless another place is named: the user's cache directory."""
    given = os.environ.get("XDG_CACHE_HOME")
    if given and Path(given).is_absolute():
        cache = Path(given)
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        cache = Path.home() / ".cache"
    return cache / "pytest-prodml" / "deepchecks"


def interpreter_of(directory: Path) -> Path:
    """Return where the interpreter of an environment lies."""
    return directory / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def read_marker(directory: Path) -> Marker | None:
    """Return the marker of an environment; None if there is none that can be read."""
    path = directory / MARKER
    try:
        return decode(Marker, parse_json(path.read_bytes(), where=str(path)), where=str(path))
    except (OSError, MalformedError):
        return None


def problem_of(directory: Path) -> str | None:
    """Say why the environment in a directory can not be used, or return None if it can."""
    if not directory.exists():
        return "there is no environment for deepchecks"
    marker = read_marker(directory)
    if marker is None:
        return "the environment for deepchecks was not built to the end"
    if marker.lock_sha256 != lock_digest():
        return "the environment for deepchecks was built from another lock than the one of this version"
    if not interpreter_of(directory).exists():
        return "the environment for deepchecks has lost its interpreter"
    return None


def find_interpreter(directory: Path | None = None) -> Path:
    """Return the interpreter of the environment that `prodml deepchecks install` built.

    Raises
    ------
    MissingDependencyError
        If there is none, or it was built from another lock.
    """
    directory = default_directory() if directory is None else directory
    problem = problem_of(directory)
    if problem is not None:
        raise MissingDependencyError(problem, where=str(directory), hint=_INSTALL)
    return interpreter_of(directory)
