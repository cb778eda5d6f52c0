"""The command line `prodml`: one module a command; errors become exit codes, never tracebacks."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 success (for ``verify``: accepted), 2 usage, 70 internal error; ``verify`` has codes of its own.
    """
    from pytest_prodml.errors import ProdmlError

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding lacks must not turn a verdict into an internal error.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        given = sys.argv[1:] if argv is None else argv
        # Only the module of the named command is loaded: a container waits for `verify` at every start.
        parsed = build_parser(only=given[0] if given else None).parse_args(given)
        code = int(parsed.run(parsed))
        sys.stdout.flush()
    except SystemExit as stop:
        # argparse stops this way: 0 after --help, 2 after a wrong option.
        return stop.code if isinstance(stop.code, int) else 2
    except ProdmlError as error:
        _complain("error", str(error))
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # noqa: BLE001 - whatever went wrong, it must not look like success
        _complain("internal error", f"{type(error).__name__}: {error}")
        return 70
    return code


#: The commands in the order of the help text; each is a module here with a function `add_parser`.
COMMANDS = (
    "keygen",
    "verify",
    "show",
    "export",
    "merge",
    "sign",
    "waive",
    "revoke",
    "trust",
    "deepchecks",
    "schema",
)


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser with all commands, or with `only` one of them; each sets `run` to its function."""
    import argparse
    import importlib

    from pytest_prodml import __version__

    parser = argparse.ArgumentParser(
        prog="prodml",
        description="Sign, show and verify production-readiness certificates of ML models.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"prodml {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in [only] if only in COMMANDS else COMMANDS:
        importlib.import_module(f"pytest_prodml.cli.{command}").add_parser(commands)
    return parser


def _complain(kind: str, text: str) -> None:
    from pytest_prodml.render.inert import inert

    print(f"prodml: {kind}: {inert(text, limit=20_000, lines=True)}", file=sys.stderr)
