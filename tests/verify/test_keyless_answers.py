"""What is made of sigstore-python's answer: its word alone proves nobody, and its errors stay one short line."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sigstore", reason="sigstore is optional: pytest-prodml[signers-sigstore]")

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ObjectIdentifier
from sigstore.errors import VerificationError

from certificate_factory import NOW, Desk, ready
from pytest_prodml.certificate.dsse import INTOTO_PAYLOAD_TYPE, Envelope, parse_envelope
from pytest_prodml.certificate.statement import certificate_payload
from pytest_prodml.verify import keyless
from pytest_prodml.verify.keyless import proven_identities
from pytest_prodml.verify.trustroot import TrustedIdentity
from sigstore_factory import ISSUER, WORKFLOW, Sigstore

RELEASE = TrustedIdentity(name="release", role="platform", issuer=ISSUER, identity=WORKFLOW)
NIGHTLY = TrustedIdentity(name="nightly", role="platform", issuer=ISSUER, identity=f"{WORKFLOW}-nightly")
OLD, NEW = ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), ObjectIdentifier("1.3.6.1.4.1.57264.1.8")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def envelope(desk: Desk) -> Envelope:
    return Sigstore().envelope(certificate_payload(ready(desk)))


# --- whoever verifies for us --------------------------------------------------------------------------------


class Answer:
    """A verifier that believes everything and says what it is told to."""

    def __init__(self, payload_type: str, payload: bytes, found: TrustedIdentity | None) -> None:
        self.payload_type, self.payload, self.found = payload_type, payload, found

    def verify_dsse(self, _bundle: object, policy: Any) -> tuple[str, bytes]:
        if self.found is not None:
            policy.found = self.found
        return self.payload_type, self.payload


def test_what_was_proven_is_compared_with_what_is_at_hand(
    envelope: Envelope, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(payload_type: str, payload: bytes, found: TrustedIdentity | None) -> Any:
        monkeypatch.setattr(keyless, "_verifier", lambda _: Answer(payload_type, payload, found))
        return proven_identities(envelope, [RELEASE, NIGHTLY], "{}")

    nobody = (), ("signatures[0]: VerificationError: what was proven is not the content at hand",)
    assert asked(INTOTO_PAYLOAD_TYPE, envelope.payload, NIGHTLY) == ((NIGHTLY,), ())
    assert asked(INTOTO_PAYLOAD_TYPE, b"{}", NIGHTLY) == nobody
    assert asked("application/json", envelope.payload, NIGHTLY) == nobody
    assert asked(INTOTO_PAYLOAD_TYPE, envelope.payload, None) == nobody


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("a\n\t b"), "ValueError: a b"),
        (ValueError(), "ValueError"),
        (KeyError("k" * 500), f"KeyError: '{'k' * 299}"),
    ],
)
def test_an_error_of_another_package_is_one_short_line(
    envelope: Envelope, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fails(_: str) -> None:
        raise error

    monkeypatch.setattr(keyless, "_verifier", fails)
    problem = f"the trusted root can not be used: {told}"
    assert proven_identities(envelope, [RELEASE], "{}") == ((), (problem,))


def test_a_trusted_root_is_read_only_where_there_is_something_to_prove(
    desk: Desk, envelope: Envelope
) -> None:
    assert proven_identities(parse_envelope(desk.certify()), [RELEASE], "no trusted root") == ((), ())
    assert proven_identities(envelope, [], "no trusted root") == ((), ())
    ((), (problem,)) = proven_identities(envelope, [RELEASE], "no trusted root")
    assert problem.startswith("the trusted root can not be used: ")


# --- the identity in a certificate --------------------------------------------------------------------------


def certificate(
    *names: str, old: str | None = None, new: str | None = None, key: Any = None
) -> x509.Certificate:
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(minutes=10))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name) for name in names]),
            critical=True,
        )
    )
    if old is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(OLD, old.encode()), critical=False)
    if new is not None:
        text = b"\x0c" + bytes([len(new)]) + new.encode()
        builder = builder.add_extension(x509.UnrecognizedExtension(NEW, text), critical=False)
    return builder.sign(key, hashes.SHA256())


def found(made: x509.Certificate) -> TrustedIdentity | None:
    policy = keyless._OneOf([RELEASE, NIGHTLY])
    policy.verify(made)
    return policy.found


def test_the_identity_that_a_certificate_names() -> None:
    assert found(certificate(WORKFLOW, old=ISSUER, new=ISSUER)) is RELEASE
    assert found(certificate(NIGHTLY.identity, new=ISSUER)) is NIGHTLY
    assert found(certificate(WORKFLOW, old=ISSUER)) is RELEASE, "as authorities wrote it before 2023"


@pytest.mark.parametrize(
    "issuers",
    [
        {},
        {"new": "https://evil.example"},
        {"old": "https://evil.example"},
        {"old": ISSUER, "new": "https://e.x"},
    ],
)
def test_the_newer_field_alone_names_the_issuer_where_it_is_there(issuers: dict[str, str]) -> None:
    """Two fields that disagree must not be two chances."""
    told = f"^it was signed by {WORKFLOW!r}, or by way of an issuer, that is not listed$"
    with pytest.raises(VerificationError, match=told):
        found(certificate(WORKFLOW, **issuers))


def test_a_certificate_names_one() -> None:
    for names in ((WORKFLOW, NIGHTLY.identity), ()):
        told = f"^the certificate carries {len(names)} names and must carry one$"
        with pytest.raises(VerificationError, match=told):
            found(certificate(*names, old=ISSUER, new=ISSUER))
