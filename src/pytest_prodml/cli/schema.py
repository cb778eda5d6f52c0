"""`prodml schema`: the JSON schema of what a certificate says."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names no public type


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "schema",
        help="print the JSON schema of a certificate's predicate",
        description="Print the JSON schema (draft 2020-12) of the predicate that a certificate signs. It is "
        "written from the records that the verifier reads.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:  # noqa: ARG001 - every command is called so
    """Print it."""
    from pytest_prodml.certificate.schema import predicate_schema

    print(json.dumps(predicate_schema(), indent=2))
    return 0
