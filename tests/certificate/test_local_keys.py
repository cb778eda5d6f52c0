"""Keys in files: never overwritten, never readable by others, never shown."""

from __future__ import annotations

import base64
import hashlib
import os
import pickle
import stat
import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from pytest_prodml.certificate.signers.local import (
    PASSPHRASE_VARIABLE,
    KeyType,
    Passphrase,
    generate,
    load_public_key,
    load_signing_key,
    parse_public_key,
    passphrase_from_descriptor,
    passphrase_from_environment,
)
from pytest_prodml.errors import SigningKeyError

KEY_TYPES: list[KeyType] = ["ed25519", "p256"]

PEM = serialization.Encoding.PEM
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


def forms(pem: bytes) -> list[bytes]:
    """Return a private key as it could leak: PEM body, DER in hex and base64, the raw secret."""
    key = serialization.load_pem_private_key(pem, None)
    der = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    secret = der[-32:]
    body = b"".join(pem.splitlines()[1:-1])
    return [
        body,
        body[-40:],
        der,
        der.hex().encode(),
        secret,
        secret.hex().encode(),
        base64.b64encode(secret),
    ]


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_key_signs_and_its_public_half_checks(tmp_path: Path, key_type: KeyType) -> None:
    files = generate(tmp_path / "ci", key_type=key_type)
    signer = load_signing_key(files.private)
    public = load_public_key(files.public)
    assert signer.keyid == public.keyid == files.keyid
    assert signer.public_key == public
    signature = signer.sign(b"data")
    assert public.verify(signature, b"data")
    assert not public.verify(signature, b"Data")
    assert not public.verify(signature[:-1], b"data")
    assert not public.verify(b"", b"data")
    other = load_public_key(generate(tmp_path / "other", key_type=key_type).public)
    assert not other.verify(signature, b"data")


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_the_key_id_is_the_digest_of_the_public_key(tmp_path: Path, key_type: KeyType) -> None:
    files = generate(tmp_path / "ci", key_type=key_type)
    der = base64.b64decode(b"".join(files.public.read_bytes().splitlines()[1:-1]))
    assert files.keyid == hashlib.sha256(der).hexdigest()


def test_only_the_owner_reads_a_private_key(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        files = generate(tmp_path / "new" / "ci")
    finally:
        os.umask(old)
    assert stat.S_IMODE(files.private.stat().st_mode) == 0o600
    assert stat.S_IMODE(files.public.stat().st_mode) == 0o644
    assert (tmp_path / "new" / ".gitignore").read_text() == "*.key\n"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [".gitignore", "ci.key", "ci.pub"]


def test_a_directory_that_was_there_is_left_as_it_is(tmp_path: Path) -> None:
    generate(tmp_path / "ci")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ci.key", "ci.pub"]


@pytest.mark.parametrize("existing", ["ci.key", "ci.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_bytes(b"precious")
    with pytest.raises(SigningKeyError, match="never overwritten"):
        generate(tmp_path / "ci")
    assert (tmp_path / existing).read_bytes() == b"precious"
    assert [path.name for path in tmp_path.iterdir()] == [existing]


def test_a_key_that_appears_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def raced(source: Path, target: Path) -> None:
        target.write_bytes(b"precious")
        link(source, target)

    monkeypatch.setattr("pytest_prodml.certificate.signers.local.os.link", raced)
    with pytest.raises(SigningKeyError, match="File exists"):
        generate(tmp_path / "ci")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("ci.key", b"precious")]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    files = generate(tmp_path / "ci")
    files.private.chmod(mode)
    with pytest.raises(SigningKeyError, match=f"can be read by others .mode {mode:04o}.") as caught:
        load_signing_key(files.private)
    assert caught.value.hint is not None
    assert "chmod 600" in caught.value.hint


def test_passphrases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = generate(tmp_path / "ci", passphrase=b"correct horse")
    assert b"ENCRYPTED" in files.private.read_bytes()
    assert load_signing_key(files.private, b"correct horse").keyid == files.keyid
    messages = set()
    for passphrase in (None, b"wrong", b""):
        with pytest.raises(SigningKeyError) as caught:
            load_signing_key(files.private, passphrase)
        messages.add(str(caught.value))
        assert caught.value.__cause__ is None
    assert len(messages) == 1, "the message must not tell a missing passphrase from a wrong one"
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "correct horse")
    assert load_signing_key(files.private).keyid == files.keyid


def test_a_passphrase_in_the_environment_does_not_hinder_a_plain_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = generate(tmp_path / "ci")
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "anything")
    assert load_signing_key(files.private).keyid == files.keyid


def test_where_passphrases_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSPHRASE_VARIABLE, raising=False)
    assert passphrase_from_environment() is None
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "")
    assert passphrase_from_environment() is None
    for written, expected in (
        (b"secret\nrest", b"secret"),
        (b"secret\r\n", b"secret"),
        (b"secret", b"secret"),
    ):
        reader, writer = os.pipe()
        os.write(writer, written)
        os.close(writer)
        assert bytes(passphrase_from_descriptor(reader)) == expected
        os.close(reader)
    reader, writer = os.pipe()
    os.close(writer)
    with pytest.raises(SigningKeyError, match="no passphrase"):
        passphrase_from_descriptor(reader)
    os.close(reader)
    with pytest.raises(SigningKeyError, match="Bad file descriptor"):
        passphrase_from_descriptor(reader)


def test_secrets_do_not_show_themselves(tmp_path: Path) -> None:
    files = generate(tmp_path / "ci")
    pem = files.private.read_bytes()
    signer = load_signing_key(files.private)
    passphrase = Passphrase(b"correct horse")
    seen = [repr(signer), str(signer), repr(passphrase), str(passphrase), f"{passphrase}", repr(files)]
    with pytest.raises(TypeError):
        pickle.dumps(signer)
    corrupt = tmp_path / "corrupt.key"
    corrupt.write_bytes(pem.replace(b"M", b"N", 1))
    corrupt.chmod(0o600)
    try:
        load_signing_key(corrupt, passphrase)
    except SigningKeyError as error:
        frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
        # The first frame is this test's, which of course knows the key.
        seen += [str(error), *traceback.StackSummary.from_list(frames[1:]).format()]
    text = "\n".join(seen).encode()
    assert b"can not be opened" in text
    assert b"passphrase = Passphrase(***)" in text, "the frames' locals are among what is searched"
    for secret in [*forms(pem), b"correct horse"]:
        assert secret not in text
    assert b"MC4CAQAw" not in text, "the head of every Ed25519 PKCS#8 body"


def private_pem(key: object) -> bytes:
    """Encode as PKCS#8."""
    encode = key.private_bytes  # type: ignore[attr-defined]
    return bytes(encode(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


OTHER_PRIVATE = [
    rsa.generate_private_key(65537, 2048),
    ec.generate_private_key(ec.SECP384R1()),
    ec.generate_private_key(ec.SECP256K1()),
    ed448.Ed448PrivateKey.generate(),
]


@pytest.mark.parametrize("key", OTHER_PRIVATE, ids=lambda key: type(key).__name__)
def test_other_kinds_of_keys_are_refused(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    path = tmp_path / "other.key"
    path.write_bytes(private_pem(key))
    path.chmod(0o600)
    with pytest.raises(SigningKeyError, match="not an Ed25519 or P-256"):
        load_signing_key(path)
    with pytest.raises(SigningKeyError, match="unsupported kind"):
        parse_public_key(key.public_key().public_bytes(PEM, SPKI), where="other.pub")


def test_what_is_not_a_public_key_is_refused(tmp_path: Path) -> None:
    files = generate(tmp_path / "ci")
    private, public = files.private.read_bytes(), files.public.read_bytes()
    with pytest.raises(SigningKeyError, match="private key where a public"):
        parse_public_key(private, where="x")
    with pytest.raises(SigningKeyError, match="private key where a public"):
        parse_public_key(public + private, where="x")
    body = public.partition(b"\n")[2].rpartition(b"-----END")[0]
    refused = [
        b"",
        b"junk",
        public * 2,
        public.replace(b"PUBLIC KEY", b"CERTIFICATE"),
        public.replace(b"PUBLIC KEY", b"RSA PUBLIC KEY"),
        public.replace(body, body[:20] + b"\n"),
        public.replace(body, b"AAAA\n"),
    ]
    for data in refused:
        with pytest.raises(SigningKeyError):
            parse_public_key(data, where="x")
    assert parse_public_key(b"a comment\n" + public, where="x").keyid == files.keyid


def test_sec1_and_openssh_private_keys_are_refused(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    path = tmp_path / "sec1.key"
    for form in (serialization.PrivateFormat.TraditionalOpenSSL, serialization.PrivateFormat.OpenSSH):
        path.write_bytes(key.private_bytes(PEM, form, plain))
        path.chmod(0o600)
        with pytest.raises(SigningKeyError, match="PKCS#8"):
            load_signing_key(path)


def test_one_key_has_one_id_however_its_point_is_written(tmp_path: Path) -> None:
    public = load_public_key(generate(tmp_path / "ci", key_type="p256").public)
    assert isinstance(public.key, ec.EllipticCurvePublicKey)
    point = public.key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    # SEQUENCE { SEQUENCE { ecPublicKey, prime256v1 }, BIT STRING point } with the short form of the point
    head = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    body = base64.encodebytes(head + point)
    compressed = b"-----BEGIN PUBLIC KEY-----\n" + body + b"-----END PUBLIC KEY-----\n"
    assert parse_public_key(compressed, where="x") == public


def test_unreadable_key_files(tmp_path: Path) -> None:
    for path, told in [
        (tmp_path / "absent", "No such file"),
        (tmp_path, "not a regular file"),
        (Path("a\0b"), "NUL"),
    ]:
        with pytest.raises(SigningKeyError, match=told):
            load_public_key(path)
    huge = tmp_path / "huge.pub"
    huge.write_bytes(b"x" * 100_000)
    with pytest.raises(SigningKeyError, match="too large"):
        load_public_key(huge)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SigningKeyError, match="not a regular file"):
        load_public_key(tmp_path / "fifo")


def test_an_ed25519_key_from_elsewhere(tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    path = tmp_path / "x.key"
    path.write_bytes(private_pem(key))
    path.chmod(0o600)
    key.public_key().verify(load_signing_key(path).sign(b"data"), b"data")
