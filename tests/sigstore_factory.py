"""A Sigstore of our own for tests: certificate authority, certificate log and signature log, in memory or over HTTP.

What it hands out has the form of the real services (Fulcio, its certificate transparency log, Rekor v1), so that
sigstore-python signs with it and verifies under its `trusted_root`. Every part can be replaced by a wrong one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from certificate_factory import NOW
from pytest_prodml.certificate.dsse import INTOTO_PAYLOAD_TYPE, Envelope, Signature, pae
from pytest_prodml.codec import canonical_json

ISSUER = "https://token.actions.githubusercontent.com"
WORKFLOW = "https://github.com/acme/churn/.github/workflows/release.yml@refs/heads/main"

_ISSUER_OID = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_OLD_ISSUER_OID = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_SCT_OID = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_LIFE = timedelta(minutes=10)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _octets(data: bytes) -> bytes:
    """Return a DER OCTET STRING."""
    length = bytes([len(data)]) if len(data) < 128 else b"\x81" + bytes([len(data)])
    return b"\x04" + length + data


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


@dataclass
class Log:
    """A log's key: that of a certificate log, or of a signature log."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=_new_key)

    @property
    def id(self) -> bytes:
        """SHA-256 of the key, which names the log."""
        return hashlib.sha256(_spki(self.key)).digest()

    def instance(self, url: str) -> dict[str, Any]:
        """Return its entry in a trusted root."""
        return {
            "baseUrl": url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": _text(_spki(self.key)),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": {"start": "2020-01-01T00:00:00Z"},
            },
            "logId": {"keyId": _text(self.id)},
        }


class Sigstore:
    """One instance: `trusted_root` is what a verifier believes, `sign` what a signer leaves."""

    def __init__(self, url: str = "https://sigstore.invalid") -> None:
        self.url = url
        self.certificate_log = Log()
        self.signature_log = Log()
        self.authority_key = _new_key()
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "test"),
                x509.NameAttribute(NameOID.COMMON_NAME, "authority"),
            ]
        )
        public = self.authority_key.public_key()
        self.authority = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_LONG_AGO)
            .not_valid_after(_LONG_AGO + timedelta(days=7300))
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
            .sign(self.authority_key, hashes.SHA256())
        )

    def trusted_root(self) -> str:
        """Return a ``trusted_root.json``."""
        der = self.authority.public_bytes(serialization.Encoding.DER)
        return json.dumps(self._trusted_root(der))

    def _trusted_root(self, der: bytes) -> dict[str, Any]:
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self.signature_log.instance(self.url)],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "test", "commonName": "authority"},
                    "uri": self.url,
                    "certChain": {"certificates": [{"rawBytes": _text(der)}]},
                    "validFor": {"start": "2020-01-01T00:00:00Z"},
                }
            ],
            "ctlogs": [self.certificate_log.instance(self.url)],
            "timestampAuthorities": [],
        }

    def client_configuration(self) -> str:
        """Return a Sigstore client trust configuration: what ``sigstore:FILE`` reads."""
        since = {"start": "2020-01-01T00:00:00Z"}
        service = {"url": self.url, "majorApiVersion": 1, "validFor": since, "operator": "test"}
        der = self.authority.public_bytes(serialization.Encoding.DER)
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
                "trustedRoot": self._trusted_root(der),
                "signingConfig": {
                    "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                    "caUrls": [service],
                    "oidcUrls": [],
                    "rekorTlogUrls": [service],
                    "rekorTlogConfig": {"selector": "ANY"},
                    "tsaUrls": [],
                    "tsaConfig": {"selector": "ANY"},
                },
            }
        )

    def certify(
        self,
        key: ec.EllipticCurvePublicKey,
        *,
        names: tuple[str, ...] = (WORKFLOW,),
        issuer: str = ISSUER,
        at: datetime = NOW,
        logged: bool = True,
        usage: ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
    ) -> x509.Certificate:
        """Certify a key for ten minutes; without `logged` the certificate is in no certificate log."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.authority.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(at)
            .not_valid_after(at + _LIFE)
            .add_extension(_usage("digital_signature"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority_key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=True
            )
            .add_extension(x509.UnrecognizedExtension(_OLD_ISSUER_OID, issuer.encode()), critical=False)
            .add_extension(
                x509.UnrecognizedExtension(_ISSUER_OID, b"\x0c" + bytes([len(issuer)]) + issuer.encode()),
                critical=False,
            )
        )
        before = builder.sign(self.authority_key, hashes.SHA256())
        if not logged:
            return before
        receipt = self._receipt(before.tbs_certificate_bytes, at)
        extension = x509.UnrecognizedExtension(_SCT_OID, _octets(receipt))
        return builder.add_extension(extension, critical=False).sign(self.authority_key, hashes.SHA256())

    def _receipt(self, content: bytes, at: datetime) -> bytes:
        """Return a list of one signed certificate timestamp (RFC 6962, section 3.3)."""
        issuer = hashlib.sha256(_spki(self.authority_key)).digest()
        moment = int(at.timestamp() * 1000)
        entry = issuer + struct.pack("!I", len(content))[1:] + content
        signed = struct.pack("!BBQH", 0, 0, moment, 1) + entry + struct.pack("!H", 0)
        signature = _sign(self.certificate_log.key, signed)
        body = b"\0" + self.certificate_log.id + struct.pack("!QH", moment, 0)
        body += b"\x04\x03" + struct.pack("!H", len(signature)) + signature
        item = struct.pack("!H", len(body)) + body
        return struct.pack("!H", len(item)) + item

    def record(
        self, payload: bytes, signature: bytes, certificate: x509.Certificate, at: datetime
    ) -> dict[str, Any]:
        """Return what the log answers to a DSSE envelope: the second leaf of its tree, as Rekor v1 has it."""
        body = canonical_json(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": {"algorithm": "sha256", "value": "0" * 64},
                    "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                    "signatures": [{"signature": _text(signature), "verifier": _text(_pem(certificate))}],
                },
            }
        )
        first = hashlib.sha256(b"\0the first entry").digest()
        root = hashlib.sha256(b"\1" + first + hashlib.sha256(b"\0" + body).digest()).digest()
        name = urlsplit(self.url).hostname
        note = f"{name} - 1\n2\n{_text(root)}\n"
        stamp = self.signature_log.id[:4] + _sign(self.signature_log.key, note.encode())
        promise: dict[str, Any] = {
            "body": _text(body),
            "integratedTime": int(at.timestamp()),
            "logID": self.signature_log.id.hex(),
            "logIndex": 1,
        }
        return {
            **promise,
            "verification": {
                "signedEntryTimestamp": _text(_sign(self.signature_log.key, canonical_json(promise))),
                "inclusionProof": {
                    "checkpoint": f"{note}\n\u2014 {name} {_text(stamp)}\n",
                    "hashes": [first.hex()],
                    "logIndex": 1,
                    "rootHash": root.hex(),
                    "treeSize": 2,
                },
            },
        }

    def material(self, certificate: x509.Certificate, answer: dict[str, Any]) -> dict[str, Any]:
        """Return the proof of a signature as a bundle holds it."""
        proof = answer["verification"]["inclusionProof"]
        return {
            "certificate": {"rawBytes": _text(certificate.public_bytes(serialization.Encoding.DER))},
            "tlogEntries": [
                {
                    "logIndex": str(answer["logIndex"]),
                    "logId": {"keyId": _text(bytes.fromhex(answer["logID"]))},
                    "kindVersion": {"kind": "dsse", "version": "0.0.1"},
                    "integratedTime": str(answer["integratedTime"]),
                    "inclusionPromise": {
                        "signedEntryTimestamp": answer["verification"]["signedEntryTimestamp"]
                    },
                    "inclusionProof": {
                        "logIndex": str(proof["logIndex"]),
                        "rootHash": _text(bytes.fromhex(proof["rootHash"])),
                        "treeSize": str(proof["treeSize"]),
                        "hashes": [_text(bytes.fromhex(item)) for item in proof["hashes"]],
                        "checkpoint": {"envelope": proof["checkpoint"]},
                    },
                    "canonicalizedBody": answer["body"],
                }
            ],
        }

    def sign(
        self,
        payload: bytes,
        *,
        payload_type: str = INTOTO_PAYLOAD_TYPE,
        logged_at: datetime | None = None,
        **certificate: Any,
    ) -> Signature:
        """Sign as somebody with this identity does; `certificate` goes to `certify`."""
        key = _new_key()
        made = self.certify(key.public_key(), **certificate)
        signature = _sign(key, pae(payload_type, payload))
        at = logged_at or certificate.get("at", NOW) + timedelta(minutes=1)
        answer = self.record(payload, signature, made, at)
        return Signature(keyid="", sig=signature, material=self.material(made, answer))

    def envelope(self, payload: bytes, **changes: Any) -> Envelope:
        """Return an envelope with one keyless signature."""
        payload_type = changes.get("payload_type", INTOTO_PAYLOAD_TYPE)
        signature = self.sign(payload, **changes)
        return Envelope(payload=payload, payload_type=payload_type, signatures=(signature,))


def _general_name(name: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(name) if "://" in name else x509.RFC822Name(name)


def _usage(*allowed: str) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in allowed for name in names})


def token(subject: str = WORKFLOW, issuer: str = ISSUER, **changes: Any) -> str:
    """Return an identity token; nobody checks its signature here, as no client does."""
    now = int(datetime.now(UTC).timestamp())
    claims = {"iss": issuer, "sub": subject, "aud": "sigstore", "iat": now, "nbf": now, "exp": now + 300}
    parts = [{"alg": "RS256", "typ": "JWT"}, {**claims, **changes}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, base64.urlsafe_b64encode(b"signature").decode().rstrip("=")])


class _Service(BaseHTTPRequestHandler):
    """The two requests of a signer: a certificate for a key and a token, and an entry in the log."""

    sigstore: Sigstore
    requests: list[str]

    def do_POST(self) -> None:
        data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append(self.path)
        if self.path.endswith("/signingCert"):
            self._answer(201, self._certificate(data))
        else:
            self._answer(201, self._entry(data))

    def _certificate(self, data: dict[str, Any]) -> dict[str, Any]:
        request = x509.load_pem_x509_csr(base64.b64decode(data["certificateSigningRequest"]))
        middle = self.headers["Authorization"].removeprefix("Bearer ").split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
        key = request.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise TypeError("not the key of a signer")
        made = self.sigstore.certify(
            key, names=(claims["sub"],), issuer=claims["iss"], at=datetime.now(UTC).replace(microsecond=0)
        )
        chain = [_pem(made).decode(), _pem(self.sigstore.authority).decode()]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def _entry(self, data: dict[str, Any]) -> dict[str, Any]:
        proposed = data["spec"]["proposedContent"]
        envelope = json.loads(proposed["envelope"])
        certificate = x509.load_pem_x509_certificate(base64.b64decode(proposed["verifiers"][0]))
        payload = base64.b64decode(envelope["payload"])
        signature = base64.b64decode(envelope["signatures"][0]["sig"])
        answer = self.sigstore.record(payload, signature, certificate, datetime.now(UTC))
        return {"0" * 64: answer}

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Keep quiet."""


@contextmanager
def serving() -> Iterator[tuple[Sigstore, list[str]]]:
    """Yield an instance that answers on this machine, and the list of the paths that were asked."""
    sigstore, requests = Sigstore(), list[str]()
    handler = type("Handler", (_Service,), {"sigstore": sigstore, "requests": requests})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    sigstore.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield sigstore, requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
