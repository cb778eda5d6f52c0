"""Who is believed: the keys a gate trusts, whose signatures count, and which waivers they carry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pytest_prodml.certificate.dsse import Envelope, parse_envelope, valid_signers
from pytest_prodml.certificate.signers.local import PublicKey, load_public_key
from pytest_prodml.certificate.waiver import read_waiver
from pytest_prodml.codec import format_time
from pytest_prodml.policy.load import matches
from pytest_prodml.records import Certificate, Policy, Waiver
from pytest_prodml.verify.report import Reason


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


def judge_waivers(
    certificate: Certificate,
    approvers: Sequence[PublicKey],
    signers: Sequence[PublicKey],
    policy: Policy,
    now: datetime,
) -> list[JudgedWaiver]:
    """Say of each embedded waiver whether it counts here: who approved it, when, and for what.

    Raises
    ------
    MalformedError
        If one is not a waiver at all.
    """
    return [
        _judge(text.encode(), f"waivers[{index}]", certificate, approvers, signers, policy, now)
        for index, text in enumerate(certificate.waivers)
    ]


def _judge(
    data: bytes,
    where: str,
    certificate: Certificate,
    approvers: Sequence[PublicKey],
    signers: Sequence[PublicKey],
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
    elif trusted or valid_signers(envelope, signers):
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
    if not any(matches(pattern, waiver.gate_id) for pattern in policy.waivable_gates):
        message = f"the policy lets nobody waive {waiver.gate_id}"
    elif waiver.expires_at - waiver.issued_at > timedelta(days=policy.max_waiver_days):
        message = f"{told} lasts longer than the {policy.max_waiver_days} days that the policy allows"
    elif waiver.subject_digest not in {subject.digest["sha256"] for subject in certificate.subjects}:
        message = f"{told} was given for another model (sha256 {waiver.subject_digest})"
    else:
        return None
    return Reason(code="waiver-not-allowed", message=message, path=waiver.id)


def _short(keyids: Iterable[str]) -> str:
    # Key ids in the file are hints that anybody can write: only what looks like one is repeated.
    shown = [keyid[:16] if keyid.isascii() and keyid.isalnum() else "unreadable" for keyid in keyids]
    return ", ".join(shown) or "none"
