"""`prodml deepchecks`: build the environment that its checks run in, and tell what is there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.deepchecks_worker.home import (
    default_directory,
    interpreter_of,
    lock_digest,
    problem_of,
    read_marker,
)

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names no public type


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "deepchecks",
        help="build the isolated environment of deepchecks",
        description="deepchecks does not work with current libraries, so its checks run in an interpreter of "
        "their own, with packages that are locked by their hashes.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    install = actions.add_parser(
        "install",
        help="build the environment, unless it is there",
        description="Build the environment with uv, or with venv and pip: about 1 GB, from the package index "
        "that they are configured for. An environment that was built from another lock is replaced.",
        allow_abbrev=False,
    )
    install.add_argument(
        "--python",
        metavar="PYTHON",
        help="Python 3.11 or 3.12 to build from (default: the first that is found)",
    )
    install.add_argument("--force", action="store_true", help="build again what is there")
    install.set_defaults(run=run_install)
    check = actions.add_parser(
        "check",
        help="tell what is there",
        description="Tell where the environment lies and what is in it. Exit status 1 if it can not be used.",
        allow_abbrev=False,
    )
    check.set_defaults(run=run_check)
    for action in (install, check):
        action.add_argument(
            "--at", type=Path, metavar="DIRECTORY",
            help="the environment's place (default: in the user's cache directory)",
        )  # fmt: skip


def run_install(parsed: argparse.Namespace) -> int:
    """Build it."""
    directory = _place(parsed)
    if problem_of(directory) is not None or parsed.force:
        from pytest_prodml.deepchecks_worker.build import build

        build(directory, python=parsed.python, say=lambda text: print(text, file=sys.stderr))
    return _tell(directory)


def run_check(parsed: argparse.Namespace) -> int:
    """Tell what is there."""
    return _tell(_place(parsed))


def _place(parsed: argparse.Namespace) -> Path:
    return default_directory() if parsed.at is None else parsed.at.absolute()


def _tell(directory: Path) -> int:
    problem = problem_of(directory)
    if problem is not None:
        print(f"{directory}\n  {problem}; run `prodml deepchecks install`")
        return 1
    marker = read_marker(directory)
    print(f"{interpreter_of(directory)}\n  lock sha256:{lock_digest()}")
    if marker is not None:
        print(f"  python {marker.python}")
        for name, version in sorted(marker.versions.items()):
            print(f"  {name} {version}")
    return 0
