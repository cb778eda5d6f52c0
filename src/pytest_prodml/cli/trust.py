"""`prodml trust`: sign a trust root, check one as a gate does, and print the digests it pins."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.cli.options import (
    add_passphrase,
    add_roots,
    add_state,
    moment,
    passphrase,
    read_document,
    write,
)
from pytest_prodml.codec import format_time
from pytest_prodml.errors import ConfigurationError, SigningKeyError
from pytest_prodml.render.inert import inert

if TYPE_CHECKING:
    from pytest_prodml.certificate.dsse import Envelope
    from pytest_prodml.verify.trustroot import TrustRoot

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names no public type


def add_parser(commands: Commands) -> None:
    """Declare the command and its three actions."""
    parser = commands.add_parser(
        "trust",
        help="sign or check a trust root",
        description="Work on the trust root: the file that says whose signatures count, in which role.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    sign = actions.add_parser(
        "sign",
        help="sign a trust root with a root key",
        description="Sign trust.toml with a root key, or add a signature to a signed trust root. The public "
        "keys are read from their files and become part of what is signed. Says how many signatures are "
        "still missing.",
        allow_abbrev=False,
    )
    sign.add_argument("trust", type=Path, metavar="TRUST", help="trust.toml, or a signed trust root")
    sign.add_argument("--key", required=True, metavar="KEY", help="a root key (private), or signer URI")
    sign.add_argument(
        "--out", type=Path, metavar="FILE",
        help="where to write the signed trust root (default for a signed one: the same file)",
    )  # fmt: skip
    sign.add_argument(
        "--previous", type=Path, metavar="FILE",
        help="the signed trust root before this one, whose root keys must sign too",
    )  # fmt: skip
    add_passphrase(sign)
    sign.set_defaults(run=_sign)
    check = actions.add_parser(
        "check",
        help="check a trust root as a gate does",
        description="Read a trust root as `prodml verify` does, and print whom it believes. With --state it "
        "is recorded, so that a gate that was away can follow several versions one after the other.",
        allow_abbrev=False,
    )
    check.add_argument("trust", type=Path, metavar="TRUST", help="trust.toml, or a signed trust root")
    add_roots(check)
    add_state(check)
    check.add_argument("--at", type=moment, metavar="RFC3339", help="judge as of this time instead of now")
    check.set_defaults(run=_check)
    digest = actions.add_parser(
        "digest",
        help="print the digest of a policy",
        description="Print the digest of a policy file, as gate_policies and certificate_policies list it.",
        allow_abbrev=False,
    )
    digest.add_argument("policies", nargs="+", type=Path, metavar="POLICY", help="policy.toml")
    digest.set_defaults(run=_digest)


def _sign(parsed: argparse.Namespace) -> int:
    from pytest_prodml.certificate.document import add_signature
    from pytest_prodml.certificate.dsse import envelope_json, parse_envelope, valid_signers
    from pytest_prodml.certificate.signers.uri import open_signer
    from pytest_prodml.verify.trustfile import load_trust, read_signed, sign_trust

    data = read_document(parsed.trust)
    signer = open_signer(parsed.key, passphrase=passphrase(parsed))
    if data.lstrip()[:1] == b"{":
        before = parse_envelope(data, where=str(parsed.trust))
        trust = read_signed(before, where=str(parsed.trust))
        if valid_signers(before, [signer.public_key]):
            raise SigningKeyError("the key has signed already, and a key counts once", where=parsed.key)
        envelope = add_signature(before, signer)
        out = parsed.out or parsed.trust
    else:
        trust = load_trust(parsed.trust)
        envelope = sign_trust(trust, [signer])
        out = parsed.out
    if out is None:
        raise ConfigurationError("where to write the signed trust root? give --out FILE")
    missing = _missing(trust, envelope, signer.keyid, parsed.previous)
    if parsed.out is not None and parsed.out != parsed.trust and parsed.out.exists():
        raise ConfigurationError("is there already; a trust root is not overwritten", where=str(parsed.out))
    write(out, envelope_json(envelope))
    _show(trust, datetime.now(UTC))
    print(f"signed, {len(envelope.signatures)} in all: {out}")
    for line in missing or ["complete: every root has signed"]:
        print(f"  {line}")
    return 0


def _missing(trust: TrustRoot, envelope: Envelope, keyid: str, previous: Path | None) -> list[str]:
    """Return how many signatures are missing; refuse a key that is a root key of neither version."""
    from pytest_prodml.certificate.dsse import parse_envelope, valid_signers
    from pytest_prodml.verify.trustfile import read_signed

    roots = [("its own", trust)]
    if previous is not None:
        old = read_signed(parse_envelope(read_document(previous), where=str(previous)), where=str(previous))
        if trust.document.version != old.document.version + 1:
            raise ConfigurationError(
                f"is version {trust.document.version}, which does not follow {old.document.version}",
                where=trust.where,
            )
        roots.append(("the previous", old))
    if all(key.keyid != keyid for _, root in roots for key in root.root_keys):
        raise ConfigurationError(
            "the signing key is no root key of this trust root",
            where=trust.where,
            hint="a key that is being replaced needs --previous FILE",
        )
    told = []
    for whose, root in roots:
        threshold = root.document.root.threshold if root.document.root is not None else 1
        lacking = threshold - len(valid_signers(envelope, root.root_keys))
        if lacking > 0:
            told.append(f"missing: {lacking} more of {whose} root keys")
    return told


def _check(parsed: argparse.Namespace) -> int:
    from pytest_prodml.verify.acceptance import accept_trust
    from pytest_prodml.verify.report import RefusalError
    from pytest_prodml.verify.trustfile import pin_of

    now = parsed.at or datetime.now(UTC)
    try:
        pin = pin_of(parsed.roots, parsed.root_threshold)
        trust = accept_trust(parsed.trust, pin, parsed.state, now)
    except RefusalError as error:
        reason = error.reason
        text = inert(
            f"REFUSED (exit code {int(reason.exit_code)}): {reason.code}: {reason.message}", lines=True
        )
        print(text, file=sys.stderr)
        return int(reason.exit_code)
    _show(trust, now)
    return 0


def _show(trust: TrustRoot, now: datetime) -> None:
    document = trust.document
    until = f", valid until {format_time(document.expires)}" if document.expires else ""
    print(f"trust root {document.version}{until}, sha256 {trust.digest}")
    tasks = {role: f"{threshold} must sign a certificate" for role, threshold in document.roles.items()}
    if document.waivers is not None:
        tasks[document.waivers.role] = "approves waivers"
    if document.revocation is not None:
        both = f"{tasks.get(document.revocation.role, '')}, signs revocation lists"
        tasks[document.revocation.role] = both.removeprefix(", ")
    for role, task in tasks.items():
        print(inert(f"  {role}: {task}"))
        for key in trust.of_roles([role]):
            window = "" if key.is_valid(now) else " (outside of its window)"
            print(inert(f"    {key.name} {key.keyid[:16]}{window}"))
        for who in trust.identities:
            if who.role == role:
                window = "" if who.is_valid(now) else " (outside of its window)"
                print(inert(f"    {who.name} {who.identity} by way of {who.issuer}{window}"))
                # In full: it is what revokes an identity.
                print(f"      keyid {who.keyid}")


def _digest(parsed: argparse.Namespace) -> int:
    from pytest_prodml.policy.load import load_policy, policy_digest

    for path in parsed.policies:
        print(f"{policy_digest(load_policy(path))}  {path}")
    return 0
