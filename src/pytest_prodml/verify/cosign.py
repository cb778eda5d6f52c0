"""Before a signature is added to a certificate: everything that its signer is about to vouch for.

The same steps as at a gate, except that the signatures are not complete yet: each one that is there must be
by a known key, and the new one must be able to count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from pytest_prodml.certificate.dsse import Envelope, valid_signers
from pytest_prodml.certificate.signers.local import PublicKey
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import MalformedError, SigningKeyError
from pytest_prodml.policy.load import policy_digest
from pytest_prodml.records import Policy, Readiness
from pytest_prodml.verify.report import Reason, VerificationReport
from pytest_prodml.verify.revocation import RevocationList, check_freshness, revoked_reasons
from pytest_prodml.verify.subjects import Artifact
from pytest_prodml.verify.trust import counting_keys, judge_waivers, trusted_signers
from pytest_prodml.verify.trustroot import TrustedIdentity, TrustRoot, check_expiry
from pytest_prodml.verify.verifier import judge_content, open_certificate

#: What a record of a model that is not ready may be refused for, and still be signed as a record.
_NOT_READY_CODES = frozenset(
    {"not-ready", "policy", "waiver-expired", "waiver-untrusted", "waiver-not-allowed", "waiver-revoked"}
)


def check_before_signing(
    envelope: Envelope,
    signer: PublicKey | None,
    *,
    models: Sequence[Artifact],
    now: datetime,
    policy: Policy | None = None,
    keys: Sequence[PublicKey] = (),
    waiver_keys: Sequence[PublicKey] = (),
    trust: TrustRoot | None = None,
    revocations: RevocationList | None = None,
    record: bool = False,
) -> VerificationReport:
    """Say why `signer` should not sign this certificate; a report without reasons means that it may.

    Parameters
    ----------
    envelope : Envelope
        The certificate with the signatures that it has.
    signer : PublicKey or None
        The public half of the key that is about to sign; None for an identity, which is proven only by the
        signature (`check_added`).
    models : sequence of Artifact
        Every artefact it certifies, as the signer has them.
    now : datetime
        The time to judge at (aware).
    policy : Policy, optional
        What the signer requires; default the policy of the issue.
    keys, waiver_keys : sequence of PublicKey
        Whose signatures are known; not looked at where `trust` is given.
    trust, revocations
        As for `verify.verify`.
    record : bool
        Sign the record of a model that is not ready. No gate accepts it, with any number of signatures.

    Raises
    ------
    SigningKeyError
        If the key has signed already, whatever the hints in the envelope say.
    """
    if signer is not None and valid_signers(envelope, [signer]):
        raise SigningKeyError(f"the key {signer.keyid[:16]} has signed already, and a key counts once")
    report = VerificationReport(checked_at=now, reasons=(), payload_sha256=sha256_hex(envelope.payload))
    known = tuple(keys) if trust is None else trust
    problems = [
        *_signer_problems(signer, trust, revocations, now),
        *_existing_problems(envelope, known),
    ]
    signers = _signers(envelope, known)
    report = replace(report, signers=tuple(key.keyid for key in signers))
    if problems:
        return replace(report, reasons=tuple(problems))
    certificate = open_certificate(envelope)
    if isinstance(certificate, Reason):
        return replace(report, reasons=(certificate,))
    required = policy or certificate.policy
    report = replace(
        report, policy=f"{required.name} {required.version}", policy_digest=policy_digest(required)
    )
    if trust is not None:
        waiver_keys = counting_keys(trust.approvers, revocations, now)
    all_signers = signers if signer is None else (*signers, signer)
    try:
        judged = judge_waivers(certificate, waiver_keys, all_signers, required, now, revocations)
    except MalformedError as error:
        return replace(report, reasons=(Reason(code="statement", message=str(error)),))
    first = revoked_reasons(revocations, certificate)
    report = judge_content(report, certificate, judged, models, required, first=first)
    if record and certificate.decision.outcome is Readiness.NOT_READY:
        serious = tuple(reason for reason in report.reasons if reason.code not in _NOT_READY_CODES)
        report = replace(report, reasons=serious)
    return report


def check_added(
    before: Envelope,
    signed: Envelope,
    trust: TrustRoot | None,
    revocations: RevocationList | None,
    now: datetime,
) -> Reason | None:
    """Say why the keyless signature that was just added would not count; None if it will, or nobody can say.

    Without a trust root nothing names identities, and whoever gives none asks for no more.
    """
    if trust is None:
        return None
    already = {item.keyid for item in trusted_signers(before, trust)[0]}
    signers, unproven = trusted_signers(replace(signed, signatures=signed.signatures[-1:]), trust)
    if not signers:
        message = "; ".join(unproven) or "the trust root lists no identity that it could be"
        return Reason(code="identity", message=message)
    (found,) = signers
    if found.keyid in already:
        return Reason(
            code="identity", message=f"{found.name} has signed already, and an identity counts once"
        )
    if not found.is_valid(now):
        return Reason(code="key-validity", message=f"{found.name} is outside of its window now")
    if revocations is not None and found.keyid in revocations.keyids:
        return Reason(code="revoked", message=f"{found.name} was revoked", path=found.name)
    return None


def _signers(
    envelope: Envelope, known: TrustRoot | tuple[PublicKey, ...]
) -> tuple[PublicKey | TrustedIdentity, ...]:
    if isinstance(known, tuple):
        return valid_signers(envelope, known)
    return tuple(item.key for item in trusted_signers(envelope, known)[0])


def _signer_problems(
    signer: PublicKey | None, trust: TrustRoot | None, revocations: RevocationList | None, now: datetime
) -> Iterator[Reason]:
    if trust is None:
        return
    for condition in (check_expiry(trust, now), check_freshness(revocations, trust, now)):
        if condition is not None:
            yield condition
    if signer is None:
        return
    listed = next((key for key in trust.certificate_keys if key.keyid == signer.keyid), None)
    if listed is None:
        message = f"the key {signer.keyid[:16]} has no role in the trust root that signs certificates"
        yield Reason(code="role", message=message)
    elif not listed.is_valid(now):
        yield Reason(code="key-validity", message=f"the key {listed.name} is outside of its window now")
    elif revocations is not None and signer.keyid in revocations.keyids:
        yield Reason(code="revoked", message=f"the key {listed.name} was revoked", path=listed.name)


def _existing_problems(envelope: Envelope, known: TrustRoot | tuple[PublicKey, ...]) -> Iterator[Reason]:
    for index, signature in enumerate(envelope.signatures):
        alone = replace(envelope, signatures=(signature,))
        if not _signers(alone, known):
            message = (
                "a signature that is there is by no known key, or over another content; give the trust root "
                "or the public keys of those who signed before"
            )
            yield Reason(code="untrusted", message=message, path=f"signatures[{index}]")


def missing_roles(envelope: Envelope, trust: TrustRoot, now: datetime) -> dict[str, int]:
    """Return how many signatures each role still has to give."""
    signed = [item for item in trusted_signers(envelope, trust)[0] if item.is_valid(now)]
    lacking = {
        role: threshold - sum(key.role == role for key in signed)
        for role, threshold in trust.document.roles.items()
    }
    return {role: count for role, count in lacking.items() if count > 0}
