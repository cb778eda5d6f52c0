"""Revocation lists: what counts no more although its signature is right, signed by a role of its own.

A list has a version that grows, a time of issue and a time of the next one, so that neither an old list nor
the absence of a new one goes unseen. What it names is void from the moment a verifier sees it; a revoked
key's signatures are void whenever they claim to have been made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pytest_prodml.certificate.document import read_record, sign_record
from pytest_prodml.certificate.dsse import Envelope, envelope_json, parse_envelope, valid_signers
from pytest_prodml.certificate.signers import Signer, VerificationKey
from pytest_prodml.certificate.text import label_problem
from pytest_prodml.codec import format_time
from pytest_prodml.errors import InputError, MalformedError
from pytest_prodml.records import Certificate
from pytest_prodml.verify.report import Reason, RefusalError
from pytest_prodml.verify.trustroot import TrustRoot

REVOCATIONS_TYPE = "application/vnd.pytest-prodml.revocations.v1+json"

_SKEW = timedelta(seconds=300)
_MOST_ENTRIES = 100_000


class RevocationKind(StrEnum):
    """What `Revocation.value` is: an id, a serial of `model_name`, a SHA-256 of an artefact, a key id."""

    CERTIFICATE = "certificate"
    SERIAL = "serial"
    SUBJECT = "subject"
    KEY = "key"
    WAIVER = "waiver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One thing that counts no more. `revoked_at` is for the record and delays nothing."""

    kind: RevocationKind
    value: str
    reason: str
    revoked_at: datetime
    model_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """All revocations at one time."""

    version: int
    issued_at: datetime
    next_update: datetime
    entries: tuple[Revocation, ...] = ()

    def find(self, kind: RevocationKind, value: str, model_name: str | None = None) -> Revocation | None:
        """Return the entry for a thing, or None."""
        return next(
            (
                entry
                for entry in self.entries
                if (entry.kind, entry.value, entry.model_name) == (kind, value, model_name)
            ),
            None,
        )

    @property
    def keyids(self) -> frozenset[str]:
        """Ids of the revoked keys."""
        return frozenset(entry.value for entry in self.entries if entry.kind is RevocationKind.KEY)


def sign_revocations(revocations: RevocationList, signer: Signer) -> bytes:
    """Sign a list and return the envelope file's bytes.

    Raises
    ------
    InputError
        If the list is not sound, or revokes the key that signs it.
    """
    problems = list_problems(revocations)
    if problems:
        raise InputError("\n  ".join(["can not be signed", *problems]), where="revocation list")
    if signer.keyid in revocations.keyids:
        raise InputError(
            "a list does not count if it revokes the key that signs it",
            where="revocation list",
            hint="sign with another key of the role, and take this one out of the trust root",
        )
    return envelope_json(sign_record(revocations, REVOCATIONS_TYPE, [signer]))


def read_revocations(envelope: Envelope, *, where: str) -> RevocationList:
    """Read a list, whoever signed it.

    Raises
    ------
    MalformedError
        If it is not one.
    """
    revocations = read_record(envelope, RevocationList, REVOCATIONS_TYPE, where=where)
    problems = list_problems(revocations)
    if problems:
        raise MalformedError("is not a sound revocation list", problems[:20], where=where)
    return revocations


def list_problems(revocations: RevocationList) -> list[str]:
    """Return what makes a list unusable."""
    problems = []
    if not 1 <= revocations.version < 2**53:
        problems.append("expected a version from 1 on @ $.version")
    if revocations.next_update <= revocations.issued_at:
        problems.append("the next update lies before the list itself @ $.nextUpdate")
    if len(revocations.entries) > _MOST_ENTRIES:
        problems.append(f"has more than {_MOST_ENTRIES:,} entries @ $.entries")
    for index, entry in enumerate(revocations.entries[:_MOST_ENTRIES]):
        if problem := _entry_problem(entry):
            problems.append(f"{problem} @ $.entries[{index}]")
    return problems


def _entry_problem(entry: Revocation) -> str | None:
    if problem := label_problem(entry.value):
        return f"the value {problem}"
    if not entry.reason.strip():
        return "the reason is empty"
    if (entry.kind is RevocationKind.SERIAL) != (entry.model_name is not None):
        return "a serial, and nothing else, needs a model name"
    if entry.kind is RevocationKind.SERIAL and str(_number(entry.value)) != entry.value:
        return "the serial is not a number"
    digests = (RevocationKind.SUBJECT, RevocationKind.KEY)
    # A digest that is spelled differently would never match, and so revoke nothing.
    if entry.kind in digests and (len(entry.value) != 64 or set(entry.value) - set("0123456789abcdef")):
        return "expected 64 lowercase hexadecimal digits"
    return None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 16 else None


def open_revocations(data: bytes, trust: TrustRoot, now: datetime, *, where: str) -> RevocationList:
    """Read a list that a valid key of the trust root's revocation role signed.

    Raises
    ------
    RefusalError
        ``revocation-untrusted``.
    """
    try:
        envelope = parse_envelope(data, where=where)
        signers = valid_signers(envelope, [key for key in trust.revokers if key.is_valid(now)])
        if not signers:
            message = "no key that may sign revocation lists signed this one"
            raise RefusalError(Reason(code="revocation-untrusted", message=message, path=where))
        revocations = read_revocations(envelope, where=where)
    except MalformedError as error:
        raise RefusalError(Reason(code="revocation-untrusted", message=str(error), path=where)) from None
    if all(key.keyid in revocations.keyids for key in signers):
        message = "the list revokes every key that signed it"
        raise RefusalError(Reason(code="revocation-untrusted", message=message, path=where))
    return revocations


def open_own(data: bytes, keys: Sequence[VerificationKey], *, where: str) -> RevocationList:
    """Read a list in order to extend it: one of `keys` must have signed it.

    Raises
    ------
    MalformedError, InputError
        If it is not a list, or was signed by somebody else.
    """
    envelope = parse_envelope(data, where=where)
    if not valid_signers(envelope, keys):
        raise InputError(
            "is not signed with a known key, so it is not extended",
            where=where,
            hint="give the trust root (--trust), or the key that signed it",
        )
    return read_revocations(envelope, where=where)


def check_freshness(revocations: RevocationList | None, trust: TrustRoot, now: datetime) -> Reason | None:
    """Say why the list at hand is not the present one; None while it is, or where no list is needed."""
    rule = trust.document.revocation
    if rule is None or not rule.required:
        return None
    if revocations is None:
        message = "the trust root asks for a revocation list, and none was given"
        return Reason(code="revocation-missing", message=message)
    told = f"the revocation list {revocations.version} of {format_time(revocations.issued_at)}"
    if revocations.issued_at - now > _SKEW:
        message = f"{told} lies in the future; it is {format_time(now)} here"
    elif now - revocations.issued_at > timedelta(hours=rule.max_age_hours):
        message = f"{told} is older than {rule.max_age_hours} hours"
    elif now >= revocations.next_update:
        message = f"{told} should have been followed by another at {format_time(revocations.next_update)}"
    else:
        return None
    return Reason(code="revocation-stale", message=message)


def revoked_reasons(revocations: RevocationList | None, certificate: Certificate) -> list[Reason]:
    """Return why a certificate is void: it, its serial, or one of its artefacts was revoked."""
    if revocations is None:
        return []
    named: list[tuple[RevocationKind, str, str | None, str]]
    named = [(RevocationKind.CERTIFICATE, certificate.id, None, f"the certificate {certificate.id}")]
    if certificate.serial is not None:
        told = f"the certificate {certificate.serial} of {certificate.model_name}"
        named.append((RevocationKind.SERIAL, str(certificate.serial), certificate.model_name, told))
    for subject in certificate.subjects:
        told = f"the artefact {subject.name}"
        named.append((RevocationKind.SUBJECT, subject.digest["sha256"], None, told))
    found = [(told, revocations.find(kind, value, model)) for kind, value, model, told in named]
    return [
        Reason(
            code="revoked",
            message=f"{told} was revoked at {format_time(entry.revoked_at)}: {entry.reason}",
            path=entry.value,
        )
        for told, entry in found
        if entry is not None
    ]
