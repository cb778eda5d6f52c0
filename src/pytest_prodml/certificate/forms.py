"""The forms in which a certificate arrives: the envelope itself, a page that carries it, a Sigstore bundle.

Bytes -> `read_form` -> `Form`, whose envelope is verified like any other. A page is bound both ways: the
signed statement names the SHA-256 of the page with an empty slot (`Rendering`), and the slot holds the
envelope. So a page is laid out first, hashed, and filled last; a signature that is added later changes only
what is in the slot.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pytest_prodml.certificate.dsse import Envelope, checked_material, envelope_json, parse_envelope
from pytest_prodml.codec import ENVELOPE_LIMITS, canonical_json, parse_json, sha256_hex
from pytest_prodml.errors import InputError, MalformedError
from pytest_prodml.records import Certificate, JsonValue, Rendering

FormKind: TypeAlias = Literal["envelope", "page", "bundle"]

PAGE_MEDIA_TYPE = "text/html"
SLOT = "prodml-envelope"
BUNDLE_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"

_SLOT_BEGIN = f'<script type="application/vnd.prodml.dsse+base64" id="{SLOT}">'.encode()
_SLOT_END = b"</script>"
_PAGE_START = re.compile(rb"\s*<")
_MAX_CHARACTERS = ENVELOPE_LIMITS.size_bytes * 4 // 3 + 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A certificate as it was presented.

    `page_digest` is the SHA-256 of the page with its slot empty; None unless it is a page.
    """

    kind: FormKind
    envelope: Envelope
    page_digest: str | None = None


def read_form(data: bytes, *, where: str = "certificate") -> Form:
    """Read a certificate in any of its forms, strictly; what is signed is the same in all of them.

    Raises
    ------
    MalformedError
        If `data` is none of them.
    """
    if _PAGE_START.match(data):
        content, digest = _open_page(data, where)
        return Form(kind="page", envelope=parse_envelope(content, where=where), page_digest=digest)
    if b'"dsseEnvelope"' in data:
        return Form(kind="bundle", envelope=_read_bundle(data, where))
    return Form(kind="envelope", envelope=parse_envelope(data, where=where))


def page_problem(form: Form, certificate: Certificate) -> str | None:
    """Say why a page is not the one that was signed, or return None (also for what is no page)."""
    if form.page_digest is None:
        return None
    named = [item for item in certificate.renderings if item.media_type == PAGE_MEDIA_TYPE]
    if not named:
        return "the certificate in this page names no page, so nothing vouches for what it shows"
    if not any(item.slot == SLOT and item.digest == {"sha256": form.page_digest} for item in named):
        return "this page is not the one that was made with the certificate in it: it was edited or converted"
    return None


def rendering_of(page: bytes) -> Rendering:
    """Return what a certificate says about a page whose slot is still empty.

    Raises
    ------
    MalformedError
        If the page does not have exactly one slot, or something is in it.
    """
    begin, end = _slot(page, "page")
    if begin != end:
        raise MalformedError("has something in its slot already", where="page")
    return Rendering(media_type=PAGE_MEDIA_TYPE, slot=SLOT, digest={"sha256": sha256_hex(page)})


def fill_page(page: bytes, envelope: bytes) -> bytes:
    """Put an envelope into a page's slot, in place of what is there.

    Raises
    ------
    MalformedError
        If the page does not have exactly one slot.
    """
    begin, end = _slot(page, "page")
    return page[:begin] + base64.b64encode(envelope) + page[end:]


def with_envelope(data: bytes, envelope: Envelope) -> bytes:
    """Return the same file with another envelope in it: how a signature is added to a page.

    Raises
    ------
    InputError
        For a Sigstore bundle, which can hold one signature only.
    MalformedError
        If `data` is no form of a certificate.
    """
    if _PAGE_START.match(data):
        return fill_page(data, envelope_json(envelope))
    if b'"dsseEnvelope"' in data:
        raise InputError(
            "a Sigstore bundle holds one signature and takes no other",
            hint="sign certificate.json, and export its bundles again",
        )
    return envelope_json(envelope)


def sigstore_bundle(envelope: Envelope, index: int, *, hint: str | None = None) -> bytes:
    """Return the Sigstore bundle v0.3 of one signature of an envelope.

    The signature covers the same bytes, so nothing is signed again. It is for a verifier that has the key,
    with our key id as ``publicKey.hint`` (or another `hint` that a tool looks for); or, of a keyless
    signature, with certificate and log entry.
    """
    signature = envelope.signatures[index]
    named: JsonValue = {"publicKey": {"hint": hint or signature.keyid}}
    return canonical_json(
        {
            "mediaType": BUNDLE_MEDIA_TYPE,
            "verificationMaterial": named if signature.material is None else dict(signature.material),
            "dsseEnvelope": {
                "payload": base64.b64encode(envelope.payload).decode("ascii"),
                "payloadType": envelope.payload_type,
                "signatures": [
                    {"keyid": signature.keyid, "sig": base64.b64encode(signature.sig).decode("ascii")}
                ],
            },
        }
    )


def _read_bundle(data: bytes, where: str) -> Envelope:
    value = parse_json(data, where=where, limits=ENVELOPE_LIMITS)
    if not isinstance(value, dict) or value.get("mediaType") != BUNDLE_MEDIA_TYPE:
        raise MalformedError(f"is not a Sigstore bundle of the type {BUNDLE_MEDIA_TYPE}", where=where)
    inner: JsonValue = value.get("dsseEnvelope")
    if not isinstance(inner, dict) or "messageSignature" in value:
        raise MalformedError("is a Sigstore bundle without a DSSE envelope", where=where)
    envelope = parse_envelope(canonical_json(inner), where=where)
    if len(envelope.signatures) != 1:
        raise MalformedError("is a Sigstore bundle and must hold exactly one signature", where=where)
    material = value.get("verificationMaterial")
    if not isinstance(material, dict) or "certificate" not in material:
        return envelope
    proven = replace(envelope.signatures[0], material=checked_material(material, where))
    return replace(envelope, signatures=(proven,))


def _open_page(data: bytes, where: str) -> tuple[bytes, str]:
    if len(data) > ENVELOPE_LIMITS.size_bytes:
        raise MalformedError(f"has {len(data):,} bytes, too many for a page", where=where)
    begin, end = _slot(data, where)
    text = data[begin:end]
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    # The decoder ignores unused bits: an envelope in a page has one spelling.
    if not content or base64.b64encode(content) != text:
        raise MalformedError("is a page whose slot does not hold base64 in its one spelling", where=where)
    return content, sha256_hex(data[:begin] + data[end:])


def _slot(page: bytes, where: str) -> tuple[int, int]:
    """Return where the content of the page's one slot begins and ends."""
    begin = page.find(_SLOT_BEGIN)
    if begin < 0:
        raise MalformedError("is a page without a certificate in it", where=where)
    begin += len(_SLOT_BEGIN)
    # With its quotes: text of a certificate is escaped and can not hold them.
    if page.lower().count(f'"{SLOT}"'.encode()) != 1:
        raise MalformedError("is a page with more than one slot for a certificate", where=where)
    end = page.find(_SLOT_END, begin)
    if end < 0 or end - begin > _MAX_CHARACTERS:
        raise MalformedError("is a page whose slot does not end", where=where)
    return begin, end
