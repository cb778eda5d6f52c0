"""`prodml show`: what a certificate says, without any claim that it is true."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.cli.options import read_document
from pytest_prodml.errors import MalformedError
from pytest_prodml.verify.report import ExitCode

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names no public type

_LABEL = "UNVERIFIED: this is what the file says; no signature was checked (use `prodml verify`)"


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "show",
        help="print what a certificate says (unverified)",
        description="Print what a certificate says. Nothing is checked: use `prodml verify` before you "
        "rely on it.",
        allow_abbrev=False,
    )
    parser.add_argument("certificate", type=Path, metavar="CERT", help="the certificate.json")
    parser.add_argument("--json", action="store_true", help="print the in-toto statement as JSON")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Print the view."""
    from pytest_prodml.certificate.forms import read_form
    from pytest_prodml.certificate.statement import read_certificate
    from pytest_prodml.codec import parse_json, sha256_hex

    try:
        envelope = read_form(read_document(parsed.certificate), where=str(parsed.certificate)).envelope
        certificate = read_certificate(envelope.payload)
    except MalformedError as error:
        from pytest_prodml.render.inert import inert

        print(f"prodml: error: {inert(str(error), limit=20_000, lines=True)}", file=sys.stderr)
        return int(ExitCode.MALFORMED)
    if parsed.json:
        print(_LABEL, file=sys.stderr)
        print(json.dumps(parse_json(envelope.payload), indent=2))
        return 0
    from pytest_prodml.render.terminal import render_terminal
    from pytest_prodml.render.view import view

    shown = view(
        certificate,
        keyids=[signature.keyid for signature in envelope.signatures],
        payload_digest=sha256_hex(envelope.payload),
        signed=bool(envelope.signatures),
    )
    lines = render_terminal(
        shown,
        width=shutil.get_terminal_size((100, 24)).columns,
        color=sys.stdout.isatty() and not os.environ.get("NO_COLOR"),
        ascii_only=not _writes_symbols(),
        verbosity=1,
    )
    print("\n".join([_LABEL, "", *lines]))
    return 0


def _writes_symbols() -> bool:
    try:
        "✓≥…".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
