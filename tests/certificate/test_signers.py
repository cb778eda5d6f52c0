"""Signers by URI: what they sign is checked before it is used, and what is missing is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import (  # type: ignore[attr-defined]
    SIGNER_FOR_URI_SCHEME,
    CryptoSigner,
    SSlibKey,
)

from certificate_factory import Desk, ready
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.signers import uri as signer_uri
from pytest_prodml.certificate.signers.local import LocalSigner, generate, load_signing_key
from pytest_prodml.certificate.signers.uri import ExternalSigner, open_signer
from pytest_prodml.errors import MissingDependencyError, SigningKeyError

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "4711-pin-of-the-test"


class _Service:
    """A key behind a service, as securesystemslib would reach it: here a PEM file beside its public half."""

    @classmethod
    def from_priv_key_uri(cls, uri: str, public_key: Any, secrets_handler: Any) -> CryptoSigner:
        secret = secrets_handler("passphrase") if uri.endswith("?locked") else None
        path = Path(uri.partition(":")[2].removesuffix("?locked"))
        key = load_signing_key(path, secret.encode() if secret else None).key
        return CryptoSigner(key, SSlibKey.from_crypto(key.public_key(), keyid=public_key.keyid))


@pytest.fixture(autouse=True)
def service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "awskms", _Service)
    monkeypatch.delenv("PRODML_KEY_PASSPHRASE", raising=False)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_paths_and_file_uris_are_pem_files(desk: Desk) -> None:
    key = desk.key("ci")
    for text in ("keys/ci.key", "file:keys/ci.key", f"file://{desk.root}/keys/ci.key", "./keys/ci.key"):
        signer = open_signer(text, root=desk.root)
        assert isinstance(signer, LocalSigner)
        assert signer.keyid == key.keyid


@pytest.mark.parametrize("key_type", ["ed25519", "p256"])
def test_external_signature_is_a_certificate_s(desk: Desk, key_type: str) -> None:
    desk.key("ci", key_type=key_type)
    signer = open_signer(f"awskms:{desk.root}/keys/ci.key#keys/ci.pub", root=desk.root)
    assert isinstance(signer, ExternalSigner)
    data = issue(ready(desk), [signer])
    assert desk.verify(data, keys=[signer.public_key]).accepted


def test_answer_by_another_key_is_refused(desk: Desk) -> None:
    desk.key("ci")
    desk.key("other")
    signer = open_signer(f"awskms:{desk.root}/keys/other.key#keys/ci.pub", root=desk.root)
    with pytest.raises(SigningKeyError, match="another key"):
        issue(ready(desk), [signer])


def test_service_that_fails_is_one_sentence(desk: Desk) -> None:
    desk.key("ci")
    with pytest.raises(SigningKeyError, match="can not be opened: SigningKeyError"):
        open_signer("awskms:/nowhere.key#keys/ci.pub", root=desk.root)

    class Broken:
        def sign(self, _data: bytes) -> None:
            raise RuntimeError("quota\nexceeded")

    signer = ExternalSigner(public_key=desk.key().public_key, uri="awskms:x", backend=Broken())
    with pytest.raises(SigningKeyError, match="can not sign: RuntimeError: quota exceeded"):
        signer.sign(b"data")


def test_pin_comes_like_a_passphrase_and_never_shows(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(desk.root / "keys" / "locked", passphrase=PIN.encode())
    address = f"awskms:{desk.root}/keys/locked.key?locked#keys/locked.pub"
    with pytest.raises(SigningKeyError, match="needs a PIN"):
        open_signer(address, root=desk.root)
    signer = open_signer(address, root=desk.root, passphrase=PIN.encode())
    assert signer.public_key.verify(signer.sign(b"data"), b"data")
    assert PIN not in repr(signer)
    monkeypatch.setenv("PRODML_KEY_PASSPHRASE", PIN)
    assert open_signer(address, root=desk.root).keyid == signer.keyid


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("smime:x", "unknown scheme 'smime'"),
        ("awskms:alias/x", "names no public key"),
        ("awskms:alias/x#", "names no public key"),
        ("sigstore:", "this needs a key"),
        ("keys/none.key", "can not be read"),
        ("awskms:alias/x#keys/none.pub", "can not be read"),
    ],
)
def test_what_is_wrong_is_told(desk: Desk, text: str, told: str) -> None:
    with pytest.raises(SigningKeyError, match=told):
        open_signer(text, root=desk.root)


def test_private_key_is_not_taken_for_the_public_half(desk: Desk) -> None:
    desk.key("ci")
    with pytest.raises(SigningKeyError, match="private key where a public one"):
        open_signer("awskms:alias/x#keys/ci.key", root=desk.root)


@pytest.mark.parametrize("scheme", sorted(signer_uri.EXTERNAL))
def test_missing_package_is_a_sentence_that_names_the_extra(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    desk.key("ci", key_type="p256")
    monkeypatch.setitem(sys.modules, "securesystemslib.signer", None)
    with pytest.raises(MissingDependencyError) as caught:
        open_signer(f"{scheme}:x#keys/ci.pub", root=desk.root)
    assert f"pytest-prodml[{signer_uri.EXTERNAL[scheme][1]}]" in str(caught.value)


def test_extras_exist() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    for _, extra in signer_uri.EXTERNAL.values():
        assert f"\n{extra} = [" in text


@pytest.mark.skipif(
    not (Path(SOFTHSM).exists() and shutil.which("softhsm2-util")), reason="no softhsm2 on this machine"
)
def test_pkcs11_token(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    tokens = desk.root / "tokens"
    tokens.mkdir()
    configuration = desk.root / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {tokens}\nobjectstore.backend = file\n", encoding="utf-8"
    )
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    key = desk.key("token", key_type="p256")
    util = ["softhsm2-util"]
    subprocess.run(
        [*util, "--init-token", "--free", "--label", "release", "--pin", PIN, "--so-pin", PIN], check=True
    )
    private = desk.root / "keys" / "token.key"
    subprocess.run(
        [*util, "--import", str(private), "--token", "release", "--label", "k", "--id", "02", "--pin", PIN],
        check=True,
    )
    private.unlink()
    script = f"""
from pathlib import Path
from pytest_prodml.certificate.signers.uri import open_signer
signer = open_signer("pkcs11:2?label=release#keys/token.pub", root=Path({str(desk.root)!r}))
print(signer.sign(b"data").hex())
"""
    # The library reads its configuration once in a process.
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYKCS11LIB": SOFTHSM, "PRODML_KEY_PASSPHRASE": PIN},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert key.public_key.verify(bytes.fromhex(done.stdout.strip()), b"data")
    wrong = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYKCS11LIB": SOFTHSM, "PRODML_KEY_PASSPHRASE": "wrong-pin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode != 0
    assert "SigningKeyError" in wrong.stderr
    assert "wrong-pin" not in wrong.stderr
