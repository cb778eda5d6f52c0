"""What a trust root, a revocation list and a state file say about a certificate, besides who signed it.

Loaded only where one of them is given: a gate with plain keys starts without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pytest_prodml.codec import format_time
from pytest_prodml.policy.load import policy_digest
from pytest_prodml.records import Certificate, Policy
from pytest_prodml.verify.report import Reason
from pytest_prodml.verify.revocation import RevocationList, check_freshness
from pytest_prodml.verify.state import SeenCertificate, State, replay_reason
from pytest_prodml.verify.trustroot import TrustRoot, check_expiry


def conditions(
    trust: TrustRoot, revocations: RevocationList | None, state: State | None, now: datetime
) -> tuple[Reason, ...]:
    """Return what the trust root asks of the gate itself and does not get."""
    reasons = [check_expiry(trust, now), check_freshness(revocations, trust, now)]
    if trust.document.require_state and state is None:
        message = "the trust root asks for a state file, and none was given"
        reasons.append(Reason(code="state", message=message))
    return tuple(reason for reason in reasons if reason is not None)


def standing_reasons(
    certificate: Certificate,
    payload_sha256: str,
    policy: Policy,
    trust: TrustRoot | None,
    state: State | None,
) -> Iterator[Reason]:
    """Yield why this certificate is not the one to use: superseded, too old, or of a refused policy."""
    if state is not None:
        shown = SeenCertificate(
            id=certificate.id,
            issued_at=certificate.issued_at,
            payload_sha256=payload_sha256,
            serial=certificate.serial,
        )
        replay = replay_reason(state, certificate.model_name, shown)
        if replay is not None:
            yield replay
    if trust is None:
        return
    document = trust.document
    if document.not_issued_before is not None and certificate.issued_at < document.not_issued_before:
        message = (
            f"issued at {format_time(certificate.issued_at)}, and the trust root accepts nothing from before "
            f"{format_time(document.not_issued_before)}"
        )
        yield Reason(code="issued-too-early", message=message, path="issuedAt")
    if document.require_state and certificate.serial is None:
        message = "the certificate has no serial, so an old one could pass for a new one"
        yield Reason(code="no-serial", message=message, path="serial")
    for accepted, found, whose in (
        (document.gate_policies, policy_digest(policy), "given here"),
        (document.certificate_policies, policy_digest(certificate.policy), "of the issue"),
    ):
        if accepted and found not in accepted:
            message = f"the trust root does not accept the policy {whose} (sha256 {found})"
            yield Reason(code="policy-not-accepted", message=message, path="policy")
