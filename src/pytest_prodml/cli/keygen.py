"""`prodml keygen`: make signing keys. Prints where they are and their ids, and nothing else."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.certificate.signers.local import generate
from pytest_prodml.cli.options import add_passphrase, passphrase

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names no public type


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "keygen",
        help="make a signing key",
        description="Make key pairs: PATH.key (private, mode 0600) and PATH.pub (public). A key is never "
        "overwritten. With a passphrase the private key is encrypted.",
        allow_abbrev=False,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="the key's name, no extension")
    parser.add_argument(
        "--type", choices=("ed25519", "p256"), default="ed25519", help="kind of key (default: %(default)s)"
    )
    add_passphrase(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Make the keys."""
    secret = passphrase(parsed)
    for path in parsed.paths:
        files = generate(path, passphrase=secret, key_type=parsed.type)
        print(f"keyid {files.keyid}\n  private {files.private}\n  public  {files.public}")
    return 0
