"""`prodml revoke`: write or extend the signed list of what counts no more."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.cli.options import add_passphrase, number, passphrase, read_document, write
from pytest_prodml.codec import format_time
from pytest_prodml.errors import ConfigurationError

if TYPE_CHECKING:
    from pytest_prodml.certificate.signers import VerificationKey
    from pytest_prodml.verify.revocation import Revocation

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names no public type


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "revoke",
        help="write or extend a signed revocation list",
        description="Add entries to a revocation list, raise its version and sign it. Without an entry the "
        "list is only issued again, so that it stays fresh. A list that is there must be signed with the "
        "given key, or with one of the trust root's revocation role.",
        allow_abbrev=False,
    )
    parser.add_argument("list", type=Path, metavar="LIST", help="the list; made if it is not there")
    parser.add_argument("--key", required=True, metavar="KEY", help="private key of the role, or signer URI")
    parser.add_argument("--trust", type=Path, metavar="FILE", help="trust.toml, for a list by another key")
    parser.add_argument("--reason", metavar="TEXT", help="why; needed with an entry")
    parser.add_argument(
        "--next-update-hours", type=number, default=24, metavar="H",
        help="hours after which the list counts no more (default: %(default)s)",
    )  # fmt: skip
    for option, metavar, text in (
        ("--certificate", "CERT", "the certificate in this file"),
        ("--certificate-id", "ID", "the certificate of this id"),
        ("--serial", "NAME=N", "the certificate of this model name and serial"),
        ("--model", "FILE", "a model file or directory: every certificate about it"),
        ("--subject-digest", "HEX", "the same, by sha256"),
        ("--revoked-key", "PUB", "a public key: everything it ever signed"),
        ("--keyid", "HEX", "the same, by key id"),
        ("--waiver", "ID", "the waiver of this id"),
    ):
        parser.add_argument(option, action="append", default=[], metavar=metavar, help=text)
    add_passphrase(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Extend the list and sign it."""
    from pytest_prodml.certificate.signers.uri import open_signer
    from pytest_prodml.verify.revocation import RevocationList, open_own, sign_revocations

    now = datetime.now(UTC).replace(microsecond=0)
    signer = open_signer(parsed.key, passphrase=passphrase(parsed))
    if not 1 <= parsed.next_update_hours <= 24 * 366:
        raise ConfigurationError("expected 1 to 8784 hours", where="--next-update-hours")
    before: RevocationList | None = None
    if parsed.list.exists():
        known = [*_trusted(parsed.trust), signer.public_key]
        before = open_own(read_document(parsed.list), known, where=str(parsed.list))
    old = before.entries if before is not None else ()
    seen = {(entry.kind, entry.value, entry.model_name) for entry in old}
    entries = [
        entry for entry in _entries(parsed, now) if (entry.kind, entry.value, entry.model_name) not in seen
    ]
    revocations = RevocationList(
        version=before.version + 1 if before is not None else 1,
        issued_at=now,
        next_update=now + timedelta(hours=parsed.next_update_hours),
        entries=(*old, *entries),
    )
    write(parsed.list, sign_revocations(revocations, signer))
    print(
        f"revocation list {revocations.version}: {len(entries)} new, {len(revocations.entries)} in all, next "
        f"update by {format_time(revocations.next_update)}: {parsed.list}"
    )
    return 0


def _trusted(path: Path | None) -> Sequence[VerificationKey]:
    from pytest_prodml.verify.trustfile import load_trust

    return load_trust(path).revokers if path is not None else ()


def _entries(parsed: argparse.Namespace, now: datetime) -> Iterator[Revocation]:
    from pytest_prodml.verify.revocation import Revocation, RevocationKind

    named = list(_named(parsed))
    if named and not (parsed.reason or "").strip():
        raise ConfigurationError("a revocation needs a reason", where="--reason")
    for kind, value, model_name in named:
        yield Revocation(
            kind=RevocationKind(kind),
            value=value,
            model_name=model_name,
            reason=parsed.reason,
            revoked_at=now,
        )


def _named(parsed: argparse.Namespace) -> Iterator[tuple[str, str, str | None]]:
    from pytest_prodml.certificate.digest import subject_of
    from pytest_prodml.certificate.dsse import parse_envelope
    from pytest_prodml.certificate.signers.local import load_public_key
    from pytest_prodml.certificate.statement import read_certificate

    for path in map(Path, parsed.certificate):
        envelope = parse_envelope(read_document(path), where=str(path))
        yield "certificate", read_certificate(envelope.payload).id, None
    for value in parsed.certificate_id:
        yield "certificate", value, None
    for text in parsed.serial:
        name, equals, serial = text.rpartition("=")
        if not name or not equals:
            raise ConfigurationError(f"expected NAME=N, got {text!r}", where="--serial")
        yield "serial", serial, name
    for path in map(Path, parsed.model):
        yield "subject", subject_of(path).digest["sha256"], None
    for value in parsed.subject_digest:
        yield "subject", value, None
    for path in map(Path, parsed.revoked_key):
        yield "key", load_public_key(path).keyid, None
    for value in parsed.keyid:
        yield "key", value, None
    for value in parsed.waiver:
        yield "waiver", value, None
