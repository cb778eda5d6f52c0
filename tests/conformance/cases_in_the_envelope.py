"""Rows S of the must-reject table: what stands around the signed bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils

from certificate_factory import b64
from conformance.make import POLICY, Case, Table
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.dsse import INTOTO_PAYLOAD_TYPE, envelope_json, pae, parse_envelope, sign
from pytest_prodml.certificate.forms import sigstore_bundle
from pytest_prodml.certificate.statement import certificate_payload

TWO = POLICY.replace('validity = "90d"', 'validity = "90d"\nmin_signatures = 2')


def cases(table: Table) -> list[Case]:
    """Return the cases."""
    return [
        *_accepted(table),
        *_signatures(table),
        *_two_signatures(table),
        *_types(table),
        *_base64(table),
        *_json(table),
        *_key_files(table),
        *_bundles(table),
    ]


def _dump(envelope: Any) -> bytes:
    return json.dumps(envelope, separators=(",", ":")).encode()


def _accepted(table: Table) -> Iterator[Case]:
    certificate = table.small()
    good = issue(certificate, [table.key()])
    yield Case(name="s00-good", row="S00", what="A certificate as it was issued", certificate=good)
    p256 = issue(certificate, [table.key("p256")])
    yield Case(name="s00-good-p256", row="S00", what="Signed with P-256", certificate=p256, keys=["p256"])
    both = issue(certificate, [table.key(), table.key("p256")])
    yield Case(name="s00-good-two-keys", row="S00", what="Two keys of two kinds, both asked for",
               certificate=both, keys=["ci", "p256"], policy=TWO)  # fmt: skip
    yield Case(name="s00-good-one-of-two", row="S00", what="One given key of two that signed",
               certificate=both)  # fmt: skip
    fields = json.loads(good)
    yield Case(name="s00-good-spaces", row="S00", what="The envelope, not the payload, is laid out otherwise",
               certificate=json.dumps(fields, indent=3).encode())  # fmt: skip
    yield Case(name="s00-good-unknown-field", row="S00", what="An unknown field of the envelope is ignored",
               certificate=_dump({**fields, "comment": "not signed"}))  # fmt: skip
    for name, value in {"empty": "", "wrong": "0" * 64, "foreign": table.key("other").keyid}.items():
        signature = {**fields["signatures"][0], "keyid": value}
        yield Case(name=f"s07-keyid-{name}", row="S07", what=f"The key id, a hint, is {name}",
                   certificate=_dump({**fields, "signatures": [signature]}))  # fmt: skip
    without = [{"sig": fields["signatures"][0]["sig"]}]
    yield Case(name="s07-keyid-missing", row="S07", what="The key id, a hint, is missing",
               certificate=_dump({**fields, "signatures": without}))  # fmt: skip
    two = json.loads(both)
    first, second = two["signatures"]
    swapped = [{**first, "keyid": second["keyid"]}, {**second, "keyid": first["keyid"]}]
    yield Case(name="s07-keyids-swapped", row="S07", what="Two key ids are swapped, the signatures are right",
               certificate=_dump({**two, "signatures": swapped}), keys=["ci", "p256"], policy=TWO)  # fmt: skip
    yield Case(name="s07-signatures-reordered", row="S07", what="Two signatures in the other order",
               certificate=_dump({**two, "signatures": [second, first]}), keys=["ci", "p256"],
               policy=TWO)  # fmt: skip
    junk = {"keyid": "0" * 64, "sig": b64(bytes(64))}
    yield Case(name="s07-junk-beside-a-good-one", row="S07",
               what="A signature by nobody beside a good one is not counted",
               certificate=_dump({**fields, "signatures": [junk, *fields["signatures"]]}))  # fmt: skip
    urlsafe = {"payload": base64.urlsafe_b64encode(base64.b64decode(fields["payload"])).decode()}
    yield Case(name="s11-urlsafe-payload", row="S11", what="The other alphabet of base64, in its one spelling",
               certificate=_dump({**fields, **urlsafe}))  # fmt: skip


def _signatures(table: Table) -> Iterator[Case]:
    good = issue(table.small(), [table.key()])
    fields = json.loads(good)
    payload = base64.b64decode(fields["payload"])
    raw = base64.b64decode(fields["signatures"][0]["sig"])
    edits = {
        "first-byte": bytes([payload[0] ^ 1]) + payload[1:],
        "last-byte": payload[:-1] + b" ",
        "one-digit": payload.replace(b'"modelVersion":"2.0"', b'"modelVersion":"2.1"'),
        "longer-validity": payload.replace(b'"expiresAt":"2027', b'"expiresAt":"2037'),
        "other-digest": payload.replace(table.subject().digest["sha256"].encode(), b"0" * 64),
        "appended": payload + b"\n",
        "cut": payload[:-1],
        "empty": b"",
    }
    for name, data in edits.items():
        yield Case(name=f"s01-payload-{name}", row="S01", what=f"The payload is changed: {name}",
                   certificate=_dump({**fields, "payload": b64(data)}), codes=["untrusted"],
                   exit_code=12)  # fmt: skip
    nothing: dict[str, Any] = {"empty": [], "null": None}
    for name, value in nothing.items():
        yield Case(name=f"s02-signatures-{name}", row="S02", what=f"All signatures are removed: {name}",
                   certificate=_dump({**fields, "signatures": value}), codes=["no-signature"],
                   exit_code=10)  # fmt: skip
    missing = {key: value for key, value in fields.items() if key != "signatures"}
    yield Case(name="s02-signatures-missing", row="S02", what="The field signatures is removed",
               certificate=_dump(missing), codes=["no-signature"], exit_code=10)  # fmt: skip
    forged = {
        "truncated": raw[:-1],
        "extended": raw + b"\0",
        "empty": b"",
        "zeros": bytes(64),
        "bit": raw[:-1] + bytes([raw[-1] ^ 1]),
        "half": raw[:32],
        "twice": raw + raw,
        "high-s": raw[:32] + (int.from_bytes(raw[32:], "little") + 2**252
                              + 27742317777372353535851937790883648493).to_bytes(33, "little")[:32],
    }  # fmt: skip
    for name, data in forged.items():
        signature = {**fields["signatures"][0], "sig": b64(data)}
        yield Case(name=f"s06-signature-{name}", row="S06", what=f"The signature is spoiled: {name}",
                   certificate=_dump({**fields, "signatures": [signature]}), codes=["untrusted"],
                   exit_code=12)  # fmt: skip
    foreign = json.loads(issue(table.small(), [table.key("other")]))
    yield Case(name="s06-unknown-key", row="S06", what="Signed by a key that is not trusted",
               certificate=_dump(foreign), codes=["untrusted"], exit_code=12)  # fmt: skip
    lying = {**foreign["signatures"][0], "keyid": table.key().keyid}
    yield Case(name="s06-unknown-key-lying-keyid", row="S06", what="An unknown key claims a trusted key id",
               certificate=_dump({**foreign, "signatures": [lying]}), codes=["untrusted"],
               exit_code=12)  # fmt: skip
    carried = {
        **foreign["signatures"][0],
        "publicKey": (table.root / "keys" / "other.pub").read_text("ascii"),
        "alg": "ed25519",
    }
    yield Case(name="s09-key-in-the-envelope", row="S09", what="The envelope brings its own public key",
               certificate=_dump({**foreign, "signatures": [carried]}), codes=["untrusted"],
               exit_code=12)  # fmt: skip
    none = {"keyid": table.key().keyid, "sig": "", "alg": "none"}
    yield Case(name="s09-algorithm-none", row="S09", what="The algorithm is said to be none",
               certificate=_dump({**fields, "signatures": [none]}), codes=["untrusted"],
               exit_code=12)  # fmt: skip
    import hmac

    public = (table.root / "keys" / "ci.pub").read_bytes()
    mac = hmac.digest(public, pae(INTOTO_PAYLOAD_TYPE, payload), "sha256")
    confused = {"keyid": table.key().keyid, "sig": b64(mac), "alg": "HS256"}
    yield Case(name="s09-hmac-with-the-public-key", row="S09", what="A MAC with the public key as its secret",
               certificate=_dump({**fields, "signatures": [confused]}), codes=["untrusted"],
               exit_code=12)  # fmt: skip
    elliptic = json.loads(issue(table.small(), [table.key("p256")]))
    first, second = utils.decode_dss_signature(base64.b64decode(elliptic["signatures"][0]["sig"]))
    pair = first.to_bytes(32) + second.to_bytes(32)
    raw_pair = {**elliptic["signatures"][0], "sig": b64(pair)}
    yield Case(name="s09-p256-raw-pair", row="S09", what="A P-256 signature as r and s instead of DER",
               certificate=_dump({**elliptic, "signatures": [raw_pair]}), keys=["p256"],
               codes=["untrusted"], exit_code=12)  # fmt: skip
    yield Case(name="s09-p256-signature-ed25519-key", row="S09", what="A P-256 signature for an Ed25519 key",
               certificate=_dump(elliptic), codes=["untrusted"], exit_code=12)  # fmt: skip
    key = table.key("p256").key
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(key)
    sha512 = key.sign(
        pae(INTOTO_PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA512(), deterministic_signing=True)
    )
    other_hash = {**elliptic["signatures"][0], "sig": b64(sha512)}
    yield Case(name="s09-p256-other-hash", row="S09", what="The right P-256 key, over SHA-512",
               certificate=_dump({**elliptic, "signatures": [other_hash]}), keys=["p256"],
               codes=["untrusted"], exit_code=12)  # fmt: skip
    old = {
        "payload-alone": payload,
        "base64-text": fields["payload"].encode(),
        "version-0": b"DSSEv0" + pae(INTOTO_PAYLOAD_TYPE, payload)[6:],
        "without-lengths": b"DSSEv1 " + INTOTO_PAYLOAD_TYPE.encode() + b" " + payload,
        "little-endian-lengths": (2).to_bytes(8, "little") + INTOTO_PAYLOAD_TYPE.encode() + payload,
        "zero-padded-length": pae(INTOTO_PAYLOAD_TYPE, payload).replace(b" 28 ", b" 028 "),
    }
    for name, data in old.items():
        signature = {"keyid": table.key().keyid, "sig": b64(table.key().sign(data))}
        yield Case(name=f"s10-encoding-{name}", row="S10", what=f"The right key signed another form: {name}",
                   certificate=_dump({**fields, "signatures": [signature]}), codes=["untrusted"],
                   exit_code=12)  # fmt: skip


def _two_signatures(table: Table) -> Iterator[Case]:
    both = json.loads(issue(table.small(), [table.key(), table.key("p256")]))
    first, second = both["signatures"]
    lists = {
        "s03-first-stripped": [second],
        "s03-second-stripped": [first],
        "s04-listed-twice": [first, first],
        "s04-two-keyids": [first, {**first, "keyid": second["keyid"]}],
        "s04-sixteen-times": [first] * 16,
        "s03-second-foreign": [
            first,
            json.loads(issue(table.small(), [table.key("other")]))["signatures"][0],
        ],
    }
    for name, signatures in lists.items():
        yield Case(name=name, row=name[:3].upper(), what=f"Two keys must sign: {name[4:]}",
                   certificate=_dump({**both, "signatures": signatures}), keys=["ci", "p256"], policy=TWO,
                   codes=["threshold"], exit_code=12)  # fmt: skip
    key = table.key("p256").key
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(key)
    payload = base64.b64decode(both["payload"])
    again = key.sign(pae(INTOTO_PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    r, s = utils.decode_dss_signature(again)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    mirrored = {**second, "sig": b64(utils.encode_dss_signature(r, order - s))}
    yield Case(name="s04-mirrored-signature", row="S04",
               what="Two keys must sign: one key's signature and its mirror image (r, n-s)",
               certificate=_dump({**both, "signatures": [second, mirrored]}), keys=["ci", "p256"], policy=TWO,
               codes=["threshold"], exit_code=12)  # fmt: skip
    one = _dump({**both, "signatures": [first]})
    copy = (table.root / "keys" / "ci.pub").read_bytes()
    yield Case(name="s04-same-key-in-two-files", row="S04", what="Two keys must sign: one key in two files",
               certificate=one, key_files=["copy.pub"], files={"copy.pub": copy + b"\n"}, policy=TWO,
               codes=["threshold"], exit_code=12)  # fmt: skip
    yield Case(name="s03-too-many", row="S03", what="More signatures than any certificate needs",
               certificate=_dump({**both, "signatures": [first] * 17}), codes=["malformed"],
               exit_code=11)  # fmt: skip


def _types(table: Table) -> Iterator[Case]:
    payload = certificate_payload(table.small())
    fields = json.loads(issue(table.small(), [table.key()]))
    yield Case(name="s08-payload-type-edited", row="S08", what="The payload type is changed after signing",
               certificate=_dump({**fields, "payloadType": "application/json"}), codes=["untrusted"],
               exit_code=12)  # fmt: skip
    for name, kind in {
        "json": "application/json",
        "case": "application/vnd.in-toto+JSON",
        "space": "application/vnd.in-toto+json ",
        "parameter": "application/vnd.in-toto+json; charset=utf-8",
        "trust-root": "application/vnd.pytest-prodml.trust-root.v1+json",
        "revocations": "application/vnd.pytest-prodml.revocations.v1+json",
    }.items():
        yield Case(name=f"s08-signed-as-{name}", row="S08", what=f"A trusted key signed it as {kind!r}",
                   certificate=envelope_json(sign(payload, [table.key()], payload_type=kind)),
                   codes=["payload-type"], exit_code=11)  # fmt: skip
    for name, value in {"missing": None, "empty": "", "number": 1, "list": [INTOTO_PAYLOAD_TYPE]}.items():
        yield Case(name=f"s08-payload-type-{name}", row="S08", what=f"The payload type is {name}",
                   certificate=_dump({**fields, "payloadType": value}), codes=["malformed"],
                   exit_code=11)  # fmt: skip


def _base64(table: Table) -> Iterator[Case]:
    certificate = replace(table.small(), id="5f0c6a52-7d0b-4a55-9d53-6c1f7b1a4c1")
    good = issue(certificate, [table.key()])
    if len(parse_envelope(good).payload) % 3 == 0:
        certificate = replace(certificate, model_name="credit-defaults")
        good = issue(certificate, [table.key()])
    fields = json.loads(good)
    text = fields["payload"]
    stem = text.rstrip("=")
    spelled = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    pad_bits = stem[:-1] + spelled[spelled.index(stem[-1]) + 1] + "=" * (len(text) - len(stem))
    variants = {
        "without-padding": stem,
        "more-padding": text + "=",
        "pad-bits": pad_bits,
        "line-feed": text[:76] + "\n" + text[76:],
        "space": text + " ",
        "junk": text[:8] + "!" + text[8:],
        "both-alphabets": "-_+/" + text[4:],
        "unicode-digit": text[:8] + "\u0661" + text[9:],
        "padding-inside": text[:4] + "====" + text[4:],
        "nul": text[:8] + "\0" + text[8:],
    }
    for name, value in variants.items():
        yield Case(name=f"s11-base64-{name}", row="S11", what=f"Base64 with a second reading: {name}",
                   certificate=_dump({**fields, "payload": value}), codes=["malformed"],
                   exit_code=11)  # fmt: skip
    signature = fields["signatures"][0]
    for name, value in {"number": 7, "missing": None, "list": [text], "object": {}}.items():
        yield Case(name=f"s11-payload-{name}", row="S11", what=f"The payload is no text: {name}",
                   certificate=_dump({**fields, "payload": value}), codes=["malformed"],
                   exit_code=11)  # fmt: skip
    for name, value in {
        "without-padding": signature["sig"].rstrip("="),
        "hexadecimal": base64.b64decode(signature["sig"]).hex() + "!",
        "number": 1,
        "missing": None,
        "too-long": b64(bytes(4097)),
    }.items():
        yield Case(name=f"s11-sig-{name}", row="S11", what=f"The signature's text is unusual: {name}",
                   certificate=_dump({**fields, "signatures": [{**signature, "sig": value}]}),
                   codes=["malformed"], exit_code=11)  # fmt: skip


def _json(table: Table) -> Iterator[Case]:
    good = issue(table.small(), [table.key()])
    fields = json.loads(good)
    text = good.decode()
    other = b64(certificate_payload(table.small(model_version="9.9")))
    variants: dict[str, bytes] = {
        "payload-twice": text.replace('{"payload"', f'{{"payload":"{other}","payload"', 1).encode(),
        "signatures-twice": text[:-1].encode() + b',"signatures":[]}',
        "escaped-key-twice": text.replace('{"payload"', '{"\\u0070ayload":"","payload"', 1).encode(),
        "byte-order-mark": b"\xef\xbb\xbf" + good,
        "utf-16": text.encode("utf-16"),
        "utf-32": text.encode("utf-32-le"),
        "trailing-brace": good + b"}",
        "trailing-nul": good + b"\0",
        "two-documents": good + b"\n" + good,
        "cut": good[:-10],
        "empty": b"",
        "list": b"[" + good + b"]",
        "text": json.dumps(text).encode(),
        "nesting": b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"," + good[1:],
        "nan-beside": good[:-1] + b',"x":NaN}',
        "infinity-beside": good[:-1] + b',"x":-Infinity}',
        "huge-number-beside": good[:-1] + b',"x":1e999}',
        "long-integer-beside": good[:-1] + b',"x":' + b"9" * 5000 + b"}",
        "invalid-utf-8": good[:-1] + b',"x":"\xff"}',
        "overlong-utf-8": good[:-1] + b',"x":"\xc0\xaf"}',
        "surrogate-bytes": good[:-1] + b',"x":"\xed\xa0\x80"}',
        "lone-surrogate": good[:-1] + b',"x":"\\ud800"}',
        "comment": b"// a certificate\n" + good,
        "trailing-comma": good[:-1] + b",}",
        "single-quotes": text.replace('"', "'").encode(),
        "control-character": good[:-1] + b',"x":"\x01"}',
        "signature-is-text": _dump({**fields, "signatures": fields["signatures"][0]["sig"]}),
        "signature-items-are-text": _dump({**fields, "signatures": [fields["signatures"][0]["sig"]]}),
        "keyid-is-a-list": _dump({**fields, "signatures": [{**fields["signatures"][0], "keyid": []}]}),
    }
    for name, data in variants.items():
        yield Case(name=f"s12-envelope-{name}", row="S12", what=f"The envelope is not strict JSON: {name}",
                   certificate=data, codes=["malformed"], exit_code=11)  # fmt: skip


def _key_files(table: Table) -> Iterator[Case]:
    good = issue(table.small(), [table.key()])
    pem = (table.root / "keys" / "ci.pub").read_bytes()
    numbers = ec.derive_private_key(7, ec.SECP256K1()).public_key()
    p384 = ec.derive_private_key(7, ec.SECP384R1()).public_key()
    weak = rsa.RSAPublicNumbers(65537, (1 << 1023) + 1155).public_key()
    spki = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    files = {
        "two-keys": pem + pem,
        "certificate-block": pem.replace(b"PUBLIC KEY", b"CERTIFICATE"),
        "secp256k1": numbers.public_bytes(*spki),
        "p384": p384.public_bytes(*spki),
        "rsa-1024": weak.public_bytes(*spki),
        "empty": b"",
        "junk": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "private-label": pem.replace(b"PUBLIC KEY", b"PRIVATE KEY"),
    }
    for name, data in files.items():
        yield Case(name=f"s13-key-{name}", row="S13", what=f"The given public key is none: {name}",
                   certificate=good, keys=[], key_files=["given.pub"], files={"given.pub": data},
                   codes=["usage"], exit_code=2)  # fmt: skip


def _bundles(table: Table) -> Iterator[Case]:
    envelope = parse_envelope(issue(table.small(), [table.key(), table.key("p256")]))
    good = sigstore_bundle(envelope, 0)
    fields = json.loads(good)
    inner = fields["dsseEnvelope"]
    second = json.loads(sigstore_bundle(envelope, 1))
    yield Case(name="s00-bundle", row="S00", what="A Sigstore bundle", certificate=good,
               file="certificate.sigstore.json")  # fmt: skip
    yield Case(name="s00-bundle-p256", row="S00", what="The Sigstore bundle of the second signature",
               certificate=_dump(second), file="certificate.sigstore.json", keys=["p256"])  # fmt: skip
    both = [*inner["signatures"], *second["dsseEnvelope"]["signatures"]]
    foreign = parse_envelope(issue(table.small(), [table.key("other")]))
    variants: dict[str, tuple[Any, str, int]] = {
        "two-signatures": ({**fields, "dsseEnvelope": {**inner, "signatures": both}}, "malformed", 11),
        "no-signature": ({**fields, "dsseEnvelope": {**inner, "signatures": []}}, "malformed", 11),
        "media-type": ({**fields, "mediaType": "application/json"}, "malformed", 11),
        "media-type-v9": (
            {**fields, "mediaType": "application/vnd.dev.sigstore.bundle.v9+json"}, "malformed", 11
        ),
        "without-media-type": ({"dsseEnvelope": inner}, "malformed", 11),
        "message-signature": ({**fields, "messageSignature": {}}, "malformed", 11),
        "envelope-is-text": ({**fields, "dsseEnvelope": _dump(inner).decode()}, "malformed", 11),
        "payload-edited": (
            {**fields, "dsseEnvelope": {**inner, "payload": b64(envelope.payload + b" ")}}, "untrusted", 12
        ),
        "unknown-key": (json.loads(sigstore_bundle(foreign, 0)), "untrusted", 12),
    }  # fmt: skip
    for name, (value, code, exit_code) in variants.items():
        yield Case(name=f"s14-bundle-{name}", row="S14", what=f"A Sigstore bundle is changed: {name}",
                   certificate=_dump(value), file="certificate.sigstore.json", codes=[code],
                   exit_code=exit_code)  # fmt: skip
