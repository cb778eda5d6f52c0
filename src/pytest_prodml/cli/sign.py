"""`prodml sign`: check a certificate as a gate would, then add one signature to it."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.cli.options import (
    add_passphrase,
    add_roots,
    make_parent,
    moment,
    named_path,
    passphrase,
    read_document,
    write,
)
from pytest_prodml.errors import ConfigurationError, MalformedError
from pytest_prodml.render.inert import inert
from pytest_prodml.verify.report import Reason, RefusalError, VerificationReport

if TYPE_CHECKING:
    from pytest_prodml.certificate.dsse import Envelope
    from pytest_prodml.certificate.signers.local import PublicKey
    from pytest_prodml.verify.revocation import RevocationList
    from pytest_prodml.verify.trustroot import TrustRoot

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names no public type


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "sign",
        help="check a certificate and add a signature to it",
        usage="prodml sign [-h] --key KEY --model [NAME=]FILE [--policy FILE]\n"
        "                   [--signed-by PUB | --trust FILE] [--root PUB] [--root-threshold N]\n"
        "                   [--revocations FILE_OR_URL] [--waiver-key PUB] [--record] [--out FILE]\n"
        "                   [--at RFC3339] [--passphrase-fd N]\n"
        "                   CERT",
        description="Check what is about to be signed - the signatures that are there, the model, the "
        "window, the decision repeated from the evidence - and then add one signature. The signed bytes "
        "stay as they are. A model that is not ready is refused, with the exit codes of `prodml verify`.",
        allow_abbrev=False,
    )
    parser.add_argument("certificate", type=Path, metavar="CERT", help="certificate.json, or its page")
    parser.add_argument("--key", required=True, metavar="KEY", help="private key, or signer URI, that signs")
    parser.add_argument(
        "--model", action="append", required=True, type=named_path, metavar="[NAME=]FILE", dest="models",
        help="the certified file or directory (repeat: every certified artefact must be given)",
    )  # fmt: skip
    parser.add_argument(
        "--policy", type=Path, metavar="FILE", help="judge under this policy too (default: that of the issue)"
    )
    known = parser.add_mutually_exclusive_group()
    known.add_argument(
        "--signed-by", action="append", default=[], type=Path, metavar="PUB",
        help="public key of someone who signed before (repeat for several)",
    )  # fmt: skip
    known.add_argument("--trust", type=Path, metavar="FILE", help="trust root that lists all signers")
    add_roots(parser)
    parser.add_argument("--revocations", metavar="FILE_OR_URL", help="signed revocation list, with --trust")
    parser.add_argument(
        "--waiver-key", action="append", default=[], type=Path, metavar="PUB", dest="waiver_keys",
        help="public key of someone who may approve waivers (repeat for several)",
    )  # fmt: skip
    parser.add_argument(
        "--record", action="store_true", help="sign a model that is not ready: a record, accepted nowhere"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there (default: the same file)")
    parser.add_argument("--at", type=moment, metavar="RFC3339", help="judge as of this time instead of now")
    add_passphrase(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Check, sign and write."""
    from pytest_prodml.certificate.document import add_signature
    from pytest_prodml.certificate.forms import page_problem, read_form, with_envelope
    from pytest_prodml.certificate.signers.keyless import SigstoreSigner
    from pytest_prodml.certificate.signers.uri import open_statement_signer
    from pytest_prodml.certificate.statement import read_certificate
    from pytest_prodml.cli.verify import refused
    from pytest_prodml.verify.acceptance import open_list
    from pytest_prodml.verify.cosign import check_added
    from pytest_prodml.verify.state import locked

    now = parsed.at or datetime.now(UTC)
    out = parsed.out or parsed.certificate
    signer = open_statement_signer(parsed.key, passphrase=passphrase(parsed))
    make_parent(out)
    # Two who sign at once must not lose one another's signature.
    with locked(out):
        data = read_document(parsed.certificate)
        trust = None
        try:
            form = read_form(data, where="certificate")
            envelope = form.envelope
            trust = _trust(parsed, now)
            revocations = open_list(parsed.revocations, trust, now)
            key = None if isinstance(signer, SigstoreSigner) else signer.public_key
            report = _check(parsed, envelope, key, trust, revocations, now)
            if report.accepted and (problem := page_problem(form, read_certificate(envelope.payload))):
                report = replace(report, reasons=(Reason(code="html-mismatch", message=problem),))
            signed = add_signature(envelope, signer) if report.accepted else envelope
            if report.accepted and key is None:
                # Whom a keyless signature proves is known once it is made.
                reason = check_added(envelope, signed, trust, revocations, now)
                report = replace(report, reasons=() if reason is None else (reason,))
        except MalformedError as error:
            reasons = (Reason(code="malformed", message=str(error)),)
            report = VerificationReport(checked_at=now, reasons=reasons)
        except RefusalError as error:
            report = VerificationReport(checked_at=now, reasons=(error.reason,))
        if not report.accepted:
            print("\n".join(refused(report, "was not signed")), file=sys.stderr)
            return int(report.exit_code)
        write(out, with_envelope(data, signed))
    _tell(report, signed, signed.signatures[-1].keyid, trust, now, out)
    return 0


def _trust(parsed: argparse.Namespace, now: datetime) -> TrustRoot | None:
    from pytest_prodml.verify.acceptance import accept_trust
    from pytest_prodml.verify.trustfile import pin_of

    if parsed.trust is None:
        if parsed.roots or parsed.revocations is not None:
            raise ConfigurationError("root keys and revocation lists need a trust root", hint="give --trust")
        return None
    if parsed.waiver_keys:
        raise ConfigurationError("the trust root says who approves waivers", where="--waiver-key")
    return accept_trust(parsed.trust, pin_of(parsed.roots, parsed.root_threshold), None, now)


def _check(
    parsed: argparse.Namespace,
    envelope: Envelope,
    signer: PublicKey | None,
    trust: TrustRoot | None,
    revocations: RevocationList | None,
    now: datetime,
) -> VerificationReport:
    from pytest_prodml.policy.load import load_policy
    from pytest_prodml.verify.cosign import check_before_signing
    from pytest_prodml.verify.subjects import present
    from pytest_prodml.verify.trust import load_keys

    return check_before_signing(
        envelope,
        signer,
        models=[present(path, name) for name, path in parsed.models],
        now=now,
        policy=load_policy(parsed.policy) if parsed.policy is not None else None,
        keys=load_keys(parsed.signed_by),
        waiver_keys=load_keys(parsed.waiver_keys),
        trust=trust,
        revocations=revocations,
        record=parsed.record,
    )


def _tell(
    report: VerificationReport,
    signed: Envelope,
    keyid: str,
    trust: TrustRoot | None,
    now: datetime,
    out: Path,
) -> None:
    from pytest_prodml.verify.cosign import missing_roles

    decision = report.decision.value if report.decision is not None else ""
    print(inert(f"signed {report.model_name} {report.model_version} ({decision}) with {keyid[:16]}: {out}"))
    if trust is None:
        print(f"  signatures: {len(signed.signatures)}")
        return
    missing = missing_roles(signed, trust, now)
    for role, count in missing.items():
        print(inert(f"  missing: {count} more of the role {role}"))
    if not missing:
        print("  complete: every role has signed")
