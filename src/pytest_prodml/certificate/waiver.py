"""Waivers: a reasoned, expiring exception for one gate of one artefact, signed by who approves it.

A waiver is an in-toto statement in a DSSE envelope like the certificate, so that an approver needs no other
tool. Its subject is the model by digest, so it does not carry over to the next version; or, where a policy
allows that, a name pattern. The subject is then the pattern itself, by the digest of its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from pytest_prodml.certificate.dsse import (
    INTOTO_PAYLOAD_TYPE,
    Envelope,
    envelope_json,
    parse_envelope,
    sign,
    valid_signers,
)
from pytest_prodml.certificate.signers import Signer, VerificationKey
from pytest_prodml.certificate.statement import read_statement, statement_payload
from pytest_prodml.codec import decode, encode, sha256_hex
from pytest_prodml.errors import MalformedError, ProdmlError, UntrustedError
from pytest_prodml.policy.decide import usable_waivers
from pytest_prodml.records import Policy, Subject, Waiver

WAIVER_TYPE = "https://github.com/pytest-prodml/pytest-prodml/predicates/waiver/v1"

_Key = TypeVar("_Key", bound=VerificationKey)


def make_waiver_envelope(waiver: Waiver, signer: Signer, *, subject_name: str = "model") -> bytes:
    """Sign a waiver.

    Parameters
    ----------
    waiver : Waiver
        Its `subject_digest` becomes the digest of the statement's subject; with `subject_name` instead, the
        subject is the pattern.
    signer : Signer
        The approver's key; a verifier refuses a waiver by a key that signed the certificate itself.
    subject_name : str
        What the artefact is called; for the reader only.

    Raises
    ------
    MalformedError
        If the waiver expires before it begins, covers both or neither of a digest and a name pattern, or
        an id holds characters that can not be seen.
    """
    predicate = encode(waiver)
    predicate.pop("subjectDigest", None)
    if (waiver.subject_digest is None) == (waiver.subject_name is None):
        raise MalformedError("covers a digest or a name pattern, and one of them", where="waiver")
    if waiver.subject_name is not None:
        subject = _subject_of_pattern(waiver.subject_name)
    else:
        subject = Subject(name=subject_name, digest={"sha256": waiver.subject_digest or ""})
    payload = statement_payload(WAIVER_TYPE, [subject], predicate)
    envelope = sign(payload, [signer])
    read_waiver(envelope)
    return envelope_json(envelope)


def read_waiver(envelope: Envelope, *, where: str = "waiver") -> Waiver:
    """Read what a waiver says. Who signed it has to be asked separately, see `open_waiver`.

    Raises
    ------
    MalformedError
        If the payload is not a statement about exactly one subject with a waiver as its predicate.
    """
    if envelope.payload_type != INTOTO_PAYLOAD_TYPE:
        raise MalformedError(f"has the payload type {envelope.payload_type[:200]!a}", where=where)
    statement = read_statement(envelope.payload, WAIVER_TYPE, where=where)
    if len(statement.subjects) != 1 or "subjectDigest" in statement.predicate:
        raise MalformedError("must name exactly one subject, in `subject`", where=where)
    subject, fields = statement.subjects[0], dict(statement.predicate)
    if "subjectName" not in fields:
        fields["subjectDigest"] = subject.digest["sha256"]
    waiver = decode(Waiver, fields, where=where)
    if waiver.subject_name is not None:
        if not waiver.subject_name.strip("*?. "):
            raise MalformedError("covers every model: the name pattern must say which", where=where)
        if subject != _subject_of_pattern(waiver.subject_name):
            raise MalformedError("names one pattern in its subject and another in `subjectName`", where=where)
    elif waiver.subject_digest is None:
        raise MalformedError("covers nothing", where=where)
    if waiver.expires_at <= waiver.issued_at:
        raise MalformedError("expires before it begins", where=where)
    if "*" in waiver.gate_id or not waiver.reason.strip():
        raise MalformedError("must name one gate and give a reason", where=where)
    return waiver


def open_waiver(data: bytes, keys: Sequence[_Key], *, where: str = "waiver") -> Waiver:
    """Verify a waiver with the approvers' keys and return it.

    Parameters
    ----------
    data : bytes
        The envelope.
    keys : sequence of VerificationKey
        Keys of those who may approve. One valid signature by one of them is enough.

    Raises
    ------
    MalformedError
        If it is not a waiver.
    UntrustedError
        If none of `keys` signed it.
    """
    envelope = parse_envelope(data, where=where)
    if not valid_signers(envelope, keys):
        raise UntrustedError(
            "is not signed by an approver that is trusted here",
            where=where,
            hint="give the approver's public key, or have the waiver signed by one whose key is given",
        )
    return read_waiver(envelope, where=where)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiversInForce:
    """The waivers that count for a certificate about to be issued; `notes` tells about the others."""

    waivers: tuple[Waiver, ...]
    envelopes: tuple[bytes, ...]
    notes: tuple[str, ...]


def waivers_in_force(
    documents: Iterable[tuple[str, bytes]],
    approvers: Sequence[VerificationKey],
    *,
    signers: Sequence[Signer],
    policy: Policy,
    subject: Subject,
    now: datetime,
) -> WaiversInForce:
    """Open waivers and keep those that count: approved by no signer, in force, allowed, of this model.

    Parameters
    ----------
    documents : iterable of (str, bytes)
        Where each comes from, and its envelope.
    approvers : sequence of VerificationKey
        Keys of those who may approve.
    signers : sequence of Signer
        The certificate's own keys, which approve nothing.
    policy, subject, now : Policy, Subject, datetime
        What decides whether a waiver counts.
    """
    own = {signer.keyid for signer in signers}
    trusted = [key for key in approvers if key.keyid not in own]
    opened: list[tuple[Waiver, bytes]] = []
    notes: list[str] = []
    for where, data in documents:
        try:
            opened.append((open_waiver(data, trusted, where=where), data))
        except ProdmlError as error:
            notes.append(f"a waiver does not count: {error}")
    if len(trusted) < len(approvers):
        notes.append("a waiver key is the certificate's own key; nobody approves their own exception")
    waivers = [waiver for waiver, _ in opened]
    usable = usable_waivers(
        policy, waivers, frozenset({subject.digest["sha256"]}), now, names=frozenset({subject.name})
    )
    notes += [
        f"the waiver {waiver.id} for {waiver.gate_id} does not count: it has expired or not begun, is about "
        "another model, or the policy does not allow it"
        for waiver in waivers
        if waiver not in usable.values()
    ]
    return WaiversInForce(
        waivers=tuple(usable.values()),
        envelopes=tuple(data for waiver, data in opened if waiver in usable.values()),
        notes=tuple(notes),
    )


def _subject_of_pattern(pattern: str) -> Subject:
    return Subject(name=pattern, digest={"sha256": sha256_hex(pattern.encode("utf-8", "surrogatepass"))})
