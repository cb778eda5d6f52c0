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
        parsed = build_parser().parse_args(argv)
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


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all commands; each sets `run` to its function."""
    import argparse

    from pytest_prodml import __version__
    from pytest_prodml.cli import export, keygen, revoke, schema, show, sign, trust, verify, waive

    parser = argparse.ArgumentParser(
        prog="prodml",
        description="Sign, show and verify production-readiness certificates of ML models.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"prodml {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (keygen, verify, show, export, sign, waive, revoke, trust, schema):
        command.add_parser(commands)
    return parser


def _complain(kind: str, text: str) -> None:
    from pytest_prodml.render.inert import inert

    print(f"prodml: {kind}: {inert(text, limit=20_000, lines=True)}", file=sys.stderr)
