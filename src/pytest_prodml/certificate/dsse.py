"""DSSE v1: payload bytes and signatures in one JSON envelope (https://github.com/secure-systems-lab/dsse).

Bytes -> `parse_envelope` -> `Envelope` -> `valid_signers`. The payload is decoded once, and the bytes whose
signature is checked are the bytes that are read afterwards; nothing is serialized again to be verified.

A keyless signature carries its proof in the envelope's own field for that, ``extension``, as the protocol
buffers of DSSE and Sigstore define it. Who looks for keys only ignores it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pytest_prodml.certificate.signers import KeylessSigner, Signer, VerificationKey
from pytest_prodml.codec import DEFAULT_LIMITS, ENVELOPE_LIMITS, canonical_json, parse_json
from pytest_prodml.errors import MalformedError, SigningKeyError
from pytest_prodml.records import JsonValue

#: The payload type of every in-toto statement.
INTOTO_PAYLOAD_TYPE = "application/vnd.in-toto+json"

#: The kind of extension that holds a keyless signature's proof, as Sigstore's protocol buffers name it.
MATERIAL_KIND = "application/vnd.dev.sigstore.verificationmaterial;version=0.1"

_MAX_SIGNATURES = 16
_MAX_MATERIAL_BYTES = 128 * 2**10
_MAX_PAYLOAD_BYTES = DEFAULT_LIMITS.size_bytes
_MAX_SIGNATURE_BYTES = 4096
_MAX_HINT_CHARACTERS = 1024

Key = TypeVar("Key", bound=VerificationKey)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature. `keyid` is an unauthenticated hint and decides nothing.

    `material` is the proof of a keyless one: certificate and log entry, as a Sigstore bundle has them.
    """

    keyid: str
    sig: bytes
    material: Mapping[str, JsonValue] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What an envelope file holds, base64 decoded."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding: the bytes that are signed. Lengths are counted in bytes."""
    name = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def sign(payload: bytes, signers: Sequence[Signer], *, payload_type: str = INTOTO_PAYLOAD_TYPE) -> Envelope:
    """Wrap and sign a payload; without a signer the envelope has no signature and no verifier accepts it.

    Raises
    ------
    SigningKeyError
        If one key is given twice: it would still count once.
    """
    if len({signer.keyid for signer in signers}) != len(signers):
        raise SigningKeyError("the same signing key is given twice")
    signatures = tuple(signature_by(signer, payload_type, payload) for signer in signers)
    return Envelope(payload=payload, payload_type=payload_type, signatures=signatures)


def signature_by(signer: Signer, payload_type: str, payload: bytes) -> Signature:
    """Have a payload signed.

    Raises
    ------
    SigningKeyError
        If the signer fails, or is keyless and the payload is no in-toto statement.
    """
    if isinstance(signer, KeylessSigner) and payload_type == INTOTO_PAYLOAD_TYPE:
        keyid, sig, material = signer.sign_statement(payload)
        return Signature(keyid=keyid, sig=sig, material=material)
    return Signature(keyid=signer.keyid, sig=signer.sign(pae(payload_type, payload)))


def valid_signers(envelope: Envelope, keys: Iterable[Key]) -> tuple[Key, ...]:
    """Return those of `keys` with which the envelope was signed, each public key once.

    Every key is tried on every signature: key ids in an envelope are hints that anybody can edit.
    """
    data = pae(envelope.payload_type, envelope.payload)
    unique = {key.keyid: key for key in keys}
    return tuple(
        key
        for key in unique.values()
        if any(key.verify(signature.sig, data) for signature in envelope.signatures)
    )


def envelope_json(envelope: Envelope) -> bytes:
    """Serialize an envelope: canonical JSON, standard base64 with padding."""
    return canonical_json(
        {
            "payload": base64.b64encode(envelope.payload).decode("ascii"),
            "payloadType": envelope.payload_type,
            "signatures": [_signature_value(signature) for signature in envelope.signatures],
        }
    )


def _signature_value(signature: Signature) -> dict[str, JsonValue]:
    value: dict[str, JsonValue] = {
        "keyid": signature.keyid,
        "sig": base64.b64encode(signature.sig).decode("ascii"),
    }
    if signature.material is not None:
        value["extension"] = {"kind": MATERIAL_KIND, "ext": dict(signature.material)}
    return value


def parse_envelope(data: bytes, *, where: str = "envelope") -> Envelope:
    """Read an envelope strictly.

    Unknown fields are ignored, as the specification demands: they are not signed and say nothing here. A
    missing `signatures` is an empty one.

    Raises
    ------
    MalformedError
        If `data` is not strict JSON, not an envelope, over a limit, or holds base64 with a second reading.
    """
    value = parse_json(data, where=where, limits=ENVELOPE_LIMITS)
    if not isinstance(value, dict):
        raise MalformedError("is not a JSON object", where=where)
    payload_type = value.get("payloadType")
    if not isinstance(payload_type, str) or not 0 < len(payload_type) <= _MAX_HINT_CHARACTERS:
        raise MalformedError("has no payloadType, so it is not a DSSE envelope", where=where)
    payload = _base64(value.get("payload"), f"{where}: payload", _MAX_PAYLOAD_BYTES)
    signatures = value.get("signatures")
    if signatures is None:
        signatures = []
    if not isinstance(signatures, list):
        raise MalformedError("signatures is not a list", where=where)
    if len(signatures) > _MAX_SIGNATURES:
        raise MalformedError(f"has {len(signatures)} signatures, more than {_MAX_SIGNATURES}", where=where)
    return Envelope(
        payload=payload,
        payload_type=payload_type,
        signatures=tuple(
            _signature(item, f"{where}: signatures[{index}]") for index, item in enumerate(signatures)
        ),
    )


def _signature(value: JsonValue, where: str) -> Signature:
    if not isinstance(value, dict):
        raise MalformedError("is not a JSON object", where=where)
    keyid = value.get("keyid")
    if keyid is None:
        keyid = ""
    if not isinstance(keyid, str) or len(keyid) > _MAX_HINT_CHARACTERS:
        raise MalformedError("keyid is not a short text", where=where)
    sig = _base64(value.get("sig"), f"{where}.sig", _MAX_SIGNATURE_BYTES)
    return Signature(keyid=keyid, sig=sig, material=_material(value.get("extension"), where))


def _material(extension: JsonValue, where: str) -> Mapping[str, JsonValue] | None:
    """Return the proof in an extension; None for what is no extension of that kind."""
    if not isinstance(extension, dict) or extension.get("kind") != MATERIAL_KIND:
        return None
    material = extension.get("ext")
    if not isinstance(material, dict):
        raise MalformedError("extension.ext is not a JSON object", where=where)
    return checked_material(material, where)


def checked_material(material: Mapping[str, JsonValue], where: str) -> Mapping[str, JsonValue]:
    """Return the proof as it is.

    Raises
    ------
    MalformedError
        If it is too large to be one.
    """
    size = len(canonical_json(dict(material)))
    if size > _MAX_MATERIAL_BYTES:
        message = f"has {size:,} bytes of verification material, more than {_MAX_MATERIAL_BYTES:,}"
        raise MalformedError(message, where=where)
    return material


def _base64(value: JsonValue, where: str, limit: int) -> bytes:
    """Decode either alphabet of RFC 4648, each in its one canonical spelling."""
    if not isinstance(value, str):
        raise MalformedError("is missing or not text", where=where)
    urlsafe = "-" in value or "_" in value
    try:
        data = base64.b64decode(value, altchars=b"-_" if urlsafe else None, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError("is not base64", where=where) from None
    if len(data) > limit:
        raise MalformedError(f"has {len(data):,} bytes, more than {limit:,}", where=where)
    # The decoder ignores unused bits and, with a second alphabet, still takes the first one's characters.
    again = base64.urlsafe_b64encode(data) if urlsafe else base64.b64encode(data)
    if again != value.encode():
        raise MalformedError("is base64 in an unusual spelling", where=where)
    return data
