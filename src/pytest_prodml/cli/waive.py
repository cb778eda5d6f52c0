"""`prodml waive`: approve an exception for one gate of one model, with a reason and an end."""

from __future__ import annotations

import argparse
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.cli.options import add_passphrase, end_of_day, passphrase, write
from pytest_prodml.codec import format_time
from pytest_prodml.errors import ConfigurationError, MalformedError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names no public type

_MAX_DAYS = 3650


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "waive",
        help="sign an exception for one gate of one model",
        usage="prodml waive [-h] (--model FILE | --name PATTERN) --reason TEXT --approver WHO\n"
        "                    (--days N | --expires DATE) --key KEY --out FILE\n"
        "                    [--reference TICKET] [--passphrase-fd N]\n"
        "                    GATE",
        description="Sign a waiver: an exception for exactly one gate of exactly one model (by digest), "
        "with a reason and an end. Use another key than the certificate's, where the policy allows it. "
        "Where the policy takes waivers by name, a pattern can stand in place of the model.",
        allow_abbrev=False,
    )
    parser.add_argument("gate", metavar="GATE", help="id of the gate, for example fairness.age")
    about = parser.add_mutually_exclusive_group(required=True)
    about.add_argument("--model", type=Path, metavar="FILE", help="model file or directory")
    about.add_argument(
        "--name", metavar="PATTERN", help="every artefact of that name; * stands for any characters"
    )
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why the exception is acceptable")
    parser.add_argument("--approver", required=True, metavar="WHO", help="who approves it")
    end = parser.add_mutually_exclusive_group(required=True)
    end.add_argument("--days", type=_days, metavar="N", help="days from now until it ends")
    end.add_argument("--expires", type=end_of_day, metavar="DATE", help="last day (UTC), or an RFC 3339 time")
    parser.add_argument("--key", required=True, type=Path, metavar="KEY", help="the approver's private key")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="where to write the waiver")
    parser.add_argument("--reference", metavar="TICKET", help="ticket or document that holds the discussion")
    add_passphrase(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Sign the waiver and write it."""
    from pytest_prodml.certificate.digest import subject_of
    from pytest_prodml.certificate.signers.local import load_signing_key
    from pytest_prodml.certificate.waiver import make_waiver_envelope
    from pytest_prodml.policy.load import dimension_of
    from pytest_prodml.records import Waiver

    if dimension_of(parsed.gate) is None or "*" in parsed.gate:
        raise ConfigurationError(
            "is not the id of one gate", where=parsed.gate, hint="give an id such as fairness.age, no pattern"
        )
    if parsed.out.exists():
        raise ConfigurationError("is there already; a waiver is not overwritten", where=str(parsed.out))
    issued_at = datetime.now(UTC).replace(microsecond=0)
    subject = subject_of(parsed.model) if parsed.model is not None else None
    waiver = Waiver(
        id=str(uuid.uuid4()),
        gate_id=parsed.gate,
        subject_digest=subject.digest["sha256"] if subject is not None else None,
        subject_name=parsed.name,
        reason=parsed.reason,
        approver=parsed.approver,
        issued_at=issued_at,
        expires_at=parsed.expires or issued_at + timedelta(days=parsed.days),
        reference=parsed.reference,
    )
    signer = load_signing_key(parsed.key, passphrase(parsed))
    try:
        envelope = make_waiver_envelope(
            waiver, signer, subject_name=subject.name if subject is not None else "model"
        )
    except MalformedError as error:
        raise ConfigurationError("\n  ".join([error.what, *error.problems]), where="waiver") from None
    write(parsed.out, envelope)
    print(f"waiver {waiver.id} for {waiver.gate_id} until {format_time(waiver.expires_at)}: {parsed.out}")
    return 0


def _days(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= _MAX_DAYS:
        raise argparse.ArgumentTypeError(f"expected 1 to {_MAX_DAYS} days, got {text!r}")
    return int(text)
