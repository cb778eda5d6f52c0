"""Records of our own under a signature: trust roots and revocation lists.

Record -> canonical JSON -> DSSE envelope, and back. They speak about no artefact, so they are no in-toto
statements; each kind has a payload type of its own, which the signature covers, and none passes for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pytest_prodml.certificate.dsse import Envelope, sign, signature_by
from pytest_prodml.certificate.signers import Signer
from pytest_prodml.codec import canonical_json, decode, encode, parse_json
from pytest_prodml.errors import MalformedError, SigningKeyError

T = TypeVar("T")


def sign_record(record: Any, payload_type: str, signers: Sequence[Signer]) -> Envelope:  # noqa: ANN401
    """Sign a record as a document of `payload_type`."""
    return sign(canonical_json(encode(record)), signers, payload_type=payload_type)


def read_record(envelope: Envelope, cls: type[T], payload_type: str, *, where: str) -> T:
    """Read a record from an envelope. Who signed it has to be asked separately.

    Raises
    ------
    MalformedError
        If it is of another type, not strict or not canonical JSON, or not a `cls`.
    """
    if envelope.payload_type != payload_type:
        found = envelope.payload_type[:200]
        raise MalformedError(f"has the payload type {found!a}, not {payload_type!r}", where=where)
    value = parse_json(envelope.payload, where=where)
    if canonical_json(value) != envelope.payload:
        raise MalformedError("is not in canonical form (RFC 8785)", where=where)
    return decode(cls, value, where=where)


def add_signature(envelope: Envelope, signer: Signer) -> Envelope:
    """Return the envelope with one signature more; the payload and the other signatures stay as they are.

    Raises
    ------
    SigningKeyError
        If an existing signature claims to be by this key already.
    """
    if any(signature.keyid == signer.keyid for signature in envelope.signatures):
        raise SigningKeyError(f"the key {signer.keyid[:16]} has signed already, and a key counts once")
    made = signature_by(signer, envelope.payload_type, envelope.payload)
    return replace(envelope, signatures=(*envelope.signatures, made))
