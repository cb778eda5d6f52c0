"""Who is believed: the keys a gate trusts, whose signatures count, and which waivers they carry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.certificate.dsse import Envelope, parse_envelope, valid_signers
from pytest_prodml.certificate.signers import VerificationKey
from pytest_prodml.certificate.signers.local import PublicKey, load_public_key
from pytest_prodml.certificate.waiver import read_waiver
from pytest_prodml.codec import format_time
from pytest_prodml.policy.decide import covers, longest_waiver
from pytest_prodml.policy.load import matches
from pytest_prodml.records import Certificate, Policy, Waiver
from pytest_prodml.verify.report import Reason

if TYPE_CHECKING:
    from pytest_prodml.verify.revocation import RevocationList
    from pytest_prodml.verify.trustroot import TrustedIdentity, TrustedKey, TrustRoot


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedWaiver:
    """A waiver that the certificate embeds, and why it does not count here (None if it does)."""

    waiver: Waiver
    problem: Reason | None


def load_keys(paths: Iterable[Path]) -> tuple[PublicKey, ...]:
    """Load public keys, each key once even if several files hold it.

    Raises
    ------
    SigningKeyError
        If a file is not one supported public key.
    """
    keys = {key.keyid: key for key in map(load_public_key, paths)}
    return tuple(keys.values())


def check_signatures(
    envelope: Envelope, keys: Sequence[PublicKey], minimum: int
) -> tuple[tuple[PublicKey, ...], Reason | None]:
    """Return the distinct trusted keys that signed, and why they are not enough (None if they are)."""
    if not envelope.signatures:
        message = "the certificate carries no signature, so nobody vouches for it; nothing in it was read"
        return (), Reason(code="no-signature", message=message)
    signers = valid_signers(envelope, keys)
    if not signers:
        message = (
            "no signature fits a given key: the content was changed after it was signed, or it was signed "
            f"with another key (given: {_short(key.keyid for key in keys)}; the file claims: "
            f"{_short(signature.keyid for signature in envelope.signatures)})"
        )
        return (), Reason(code="untrusted", message=message)
    if len(signers) < max(minimum, 1):
        message = (
            f"{len(signers)} of the given keys signed and the policy asks for {minimum} "
            "(one key counts once, however often it signed)"
        )
        return signers, Reason(code="threshold", message=message)
    return signers, None


def check_roles(
    envelope: Envelope, trust: TrustRoot, revocations: RevocationList | None, minimum: int, now: datetime
) -> tuple[tuple[PublicKey | TrustedIdentity, ...], dict[str, tuple[str, ...]], tuple[Reason, ...]]:
    """Return the keys and identities that signed and count, their names by role, and why a role is not met.

    One counts if `now` lies in its window and it was not revoked; when it signed does not matter, because
    nobody but a key's owner says when that was, and identities follow the same rule.
    """
    signed, unproven = trusted_signers(envelope, trust)
    unproven_reasons = tuple(Reason(code="identity", message=text) for text in unproven)
    if not signed and unproven:
        return (), {}, unproven_reasons
    if not signed:
        _, refused = check_signatures(envelope, [key.key for key in trust.certificate_keys], minimum)
        return (), {}, (refused,) if refused is not None else ()
    revoked = revocations.keyids if revocations is not None else frozenset[str]()
    counting = tuple(key for key in signed if key.is_valid(now) and key.keyid not in revoked)
    reasons = [
        _role_reason(role, threshold, signed, counting, revoked)
        for role, threshold in trust.document.roles.items()
        if sum(key.role == role for key in counting) < threshold
    ]
    if not reasons and len(counting) < minimum:
        message = f"{len(counting)} trusted keys signed and the policy asks for {minimum}"
        reasons.append(Reason(code="threshold", message=message))
    if reasons:
        reasons += unproven_reasons
    roles: dict[str, tuple[str, ...]] = {}
    for key in counting:
        roles[key.role] = (*roles.get(key.role, ()), key.name)
    return tuple(item.key for item in counting), roles, tuple(reasons)


def trusted_signers(
    envelope: Envelope, trust: TrustRoot
) -> tuple[tuple[TrustedKey | TrustedIdentity, ...], tuple[str, ...]]:
    """Return who of a trust root's signers of certificates signed, and why a keyless proof failed."""
    signed = valid_signers(envelope, trust.certificate_keys)
    if not trust.identities or all(signature.material is None for signature in envelope.signatures):
        return signed, ()
    from pytest_prodml.verify.keyless import proven_identities

    root = trust.document.sigstore.trusted_root if trust.document.sigstore is not None else ""
    proven, unproven = proven_identities(envelope, trust.identities, root)
    return (*signed, *proven), unproven


def _role_reason(
    role: str,
    threshold: int,
    signed: Sequence[TrustedKey | TrustedIdentity],
    counting: Sequence[TrustedKey | TrustedIdentity],
    revoked: frozenset[str],
) -> Reason:
    mine = [key for key in signed if key.role == role]
    have = sum(key.role == role for key in counting)
    lost = [key for key in mine if key not in counting]
    withdrawn = [key.name for key in lost if key.keyid in revoked]
    closed = [key.name for key in lost if key.keyid not in revoked]
    told = f"{have} of the keys of the role {role} signed and {threshold} must have"
    if withdrawn and len(mine) >= threshold:
        return Reason(code="revoked", message=f"{told}; revoked: {', '.join(withdrawn)}", path=role)
    if closed and len(mine) >= threshold:
        message = f"{told}; outside of its window now: {', '.join(closed)}"
        return Reason(code="key-validity", message=message, path=role)
    return Reason(code="role", message=f"{told} (one key counts once, however often it signed)", path=role)


def counting_keys(
    keys: Iterable[TrustedKey], revocations: RevocationList | None, now: datetime
) -> tuple[PublicKey, ...]:
    """Return the public keys that are in their window and not revoked."""
    revoked = revocations.keyids if revocations is not None else frozenset[str]()
    return tuple(key.key for key in keys if key.is_valid(now) and key.keyid not in revoked)


def judge_waivers(
    certificate: Certificate,
    approvers: Sequence[PublicKey],
    signers: Sequence[VerificationKey],
    policy: Policy,
    now: datetime,
    revocations: RevocationList | None = None,
) -> list[JudgedWaiver]:
    """Say of each embedded waiver whether it counts here: who approved it, when, and for what.

    Raises
    ------
    MalformedError
        If one is not a waiver at all.
    """
    judged = [
        _judge(text.encode(), f"waivers[{index}]", certificate, approvers, signers, policy, now)
        for index, text in enumerate(certificate.waivers)
    ]
    return [replace(item, problem=_revocation_of(item, revocations) or item.problem) for item in judged]


def _revocation_of(item: JudgedWaiver, revocations: RevocationList | None) -> Reason | None:
    if revocations is None:
        return None
    from pytest_prodml.verify.revocation import RevocationKind

    entry = revocations.find(RevocationKind.WAIVER, item.waiver.id)
    if entry is None:
        return None
    message = f"the waiver for {item.waiver.gate_id} was revoked: {entry.reason}"
    return Reason(code="waiver-revoked", message=message, path=item.waiver.id)


def _judge(
    data: bytes,
    where: str,
    certificate: Certificate,
    approvers: Sequence[PublicKey],
    signers: Sequence[VerificationKey],
    policy: Policy,
    now: datetime,
) -> JudgedWaiver:
    envelope = parse_envelope(data, where=where)
    waiver = read_waiver(envelope, where=where)
    trusted = valid_signers(envelope, approvers)
    own = {key.keyid for key in signers}
    told = f"the waiver for {waiver.gate_id}"
    if any(key.keyid not in own for key in trusted):
        problem = _content_problem(waiver, certificate, policy, now, told)
    elif trusted or bool(valid_signers(envelope, signers)):
        problem = Reason(
            code="waiver-self-approved",
            message=f"{told} is signed with a key that also signed the certificate; another must approve it",
            path=waiver.id,
        )
    else:
        problem = Reason(
            code="waiver-untrusted",
            message=f"{told} is not signed by an approver whose key was given",
            path=waiver.id,
        )
    return JudgedWaiver(waiver=waiver, problem=problem)


def _content_problem(
    waiver: Waiver, certificate: Certificate, policy: Policy, now: datetime, told: str
) -> Reason | None:
    if now >= waiver.expires_at:
        message = f"{told} expired at {format_time(waiver.expires_at)}"
        return Reason(code="waiver-expired", message=message, path=waiver.id)
    if now < waiver.issued_at:
        message = f"{told} begins at {format_time(waiver.issued_at)}"
        return Reason(code="waiver-expired", message=message, path=waiver.id)
    digests = frozenset(subject.digest["sha256"] for subject in certificate.subjects)
    names = frozenset(subject.name for subject in certificate.subjects)
    days = longest_waiver(policy, waiver)
    if not any(matches(pattern, waiver.gate_id) for pattern in policy.waivable_gates):
        message = f"the policy lets nobody waive {waiver.gate_id}"
    elif days == 0:
        message = f"{told} is given by name, and the policy takes none of that form"
    elif waiver.expires_at - waiver.issued_at > timedelta(days=days):
        message = f"{told} lasts longer than the {days} days that the policy allows"
    elif not covers(waiver, digests, names):
        about = waiver.subject_name or f"sha256 {waiver.subject_digest}"
        message = f"{told} was given for another model ({about})"
    else:
        return None
    return Reason(code="waiver-not-allowed", message=message, path=waiver.id)


def _short(keyids: Iterable[str]) -> str:
    # Key ids in the file are hints that anybody can write: only what looks like one is repeated.
    shown = [keyid[:16] if keyid.isascii() and keyid.isalnum() else "unreadable" for keyid in keyids]
    return ", ".join(shown) or "none"
