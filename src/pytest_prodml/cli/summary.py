"""The signed result of a verification: an in-toto Simple Verification Result for admission systems."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.cli.options import passphrase, write
from pytest_prodml.errors import ConfigurationError

if TYPE_CHECKING:
    from pytest_prodml.certificate.signers import Signer
    from pytest_prodml.verify.report import VerificationReport


def open_summary_signer(parsed: argparse.Namespace) -> Signer | None:
    """Return the gate's key; None if no summary was asked for.

    Raises
    ------
    ConfigurationError
        If only one of ``--summary-out`` and ``--summary-key`` is given, or the judgement is about another
        time than now: a summary says "verified", and when.
    """
    if parsed.summary_out is None and parsed.summary_key is None:
        return None
    if parsed.summary_out is None or parsed.summary_key is None:
        raise ConfigurationError(
            "a summary needs a file and a key", hint="give --summary-out and --summary-key"
        )
    if parsed.at is not None:
        raise ConfigurationError("a summary says what was verified now", where="--at")
    from pytest_prodml.certificate.signers.uri import open_statement_signer

    # What an earlier verification left there must not stand beside a refusal of this one.
    try:
        parsed.summary_out.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"can not be replaced: {error.strerror}", where=str(parsed.summary_out)
        ) from None
    return open_statement_signer(parsed.summary_key, passphrase=passphrase(parsed))


def write_summary(path: Path, data: bytes, report: VerificationReport, signer: Signer, policy: Path) -> None:
    """Sign and write what an accepted certificate was found to be.

    Raises
    ------
    ConfigurationError
        If the policy is no longer the one of the report, or the file can not be written.
    """
    from pytest_prodml.certificate.dsse import envelope_json, sign
    from pytest_prodml.certificate.exports import verification_result_payload
    from pytest_prodml.certificate.forms import read_form
    from pytest_prodml.certificate.statement import read_certificate
    from pytest_prodml.policy.load import load_policy, policy_digest

    required = load_policy(policy)
    if policy_digest(required) != report.policy_digest or report.decision is None:
        raise ConfigurationError("changed while the certificate was verified", where=str(policy))
    payload = verification_result_payload(
        read_certificate(read_form(data).envelope.payload),
        report.payload_sha256 or "",
        policy=required,
        outcome=report.decision,
        verified_at=report.checked_at,
    )
    write(path, envelope_json(sign(payload, [signer])))
