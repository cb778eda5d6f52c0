"""Tools that nobody here wrote accept our signatures and refuse the tampered twin."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest
from securesystemslib.dsse import Envelope as ForeignEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey  # type: ignore[attr-defined]

from certificate_factory import Desk, ready
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.signers.local import KeyType

# The encoding, built by a shell from nothing but the specification.
PAE = r"""
type=$(python3 -c 'import json; print(json.load(open("certificate.json"))["payloadType"], end="")')
python3 -c 'import json; print(json.load(open("certificate.json"))["payload"], end="")' | base64 -d > payload
printf 'DSSEv1 %d %s %d ' "$(printf %s "$type" | wc -c)" "$type" "$(wc -c < payload)" > pae
cat payload >> pae
python3 -c 'import json; print(json.load(open("certificate.json"))["signatures"][0]["sig"], end="")' \
  | base64 -d > signature
"""
CHECK = {
    "ed25519": "openssl pkeyutl -verify -rawin -pubin -inkey KEY -sigfile signature -in pae",
    "p256": "openssl dgst -sha256 -verify KEY -signature signature pae",
}
KEY_TYPES: list[KeyType] = ["ed25519", "p256"]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def tampered(data: bytes) -> bytes:
    """Change one digit of the payload and keep the signature."""
    envelope = json.loads(data)
    payload = base64.b64decode(envelope["payload"])
    assert payload.count(b'"value":0.78') == 1
    changed = payload.replace(b'"value":0.78', b'"value":0.98')
    return json.dumps({**envelope, "payload": base64.b64encode(changed).decode()}).encode()


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_openssl(desk: Desk, key_type: KeyType) -> None:
    signer = desk.key("ci", key_type=key_type)
    data = issue(ready(desk), [signer])
    command = PAE + CHECK[key_type].replace("KEY", str(desk.public("ci")))
    for content, accepted in ((data, True), (tampered(data), False)):
        desk.certificate.write_bytes(content)
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=desk.root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.returncode == 0) == accepted, result.stderr
        assert accepted == any(word in result.stdout for word in ("Verified Successfully", "Verified OK"))


def test_securesystemslib(desk: Desk) -> None:
    signers = [desk.key("ci"), desk.key("risk", key_type="p256")]
    data = issue(ready(desk), signers)
    keys: list[Key] = [SSlibKey.from_crypto(signer.public_key.key, keyid=signer.keyid) for signer in signers]
    accepted = ForeignEnvelope.from_dict(json.loads(data)).verify(keys, 2)
    assert accepted.keys() == {signer.keyid for signer in signers}
    with pytest.raises(VerificationError):
        ForeignEnvelope.from_dict(json.loads(tampered(data))).verify(keys, 1)


def test_we_read_what_securesystemslib_writes(desk: Desk) -> None:
    data = issue(ready(desk), [])
    foreign = ForeignEnvelope.from_dict(json.loads(data))
    key = desk.key("ci")
    signer = CryptoSigner(key.key, SSlibKey.from_crypto(key.public_key.key, keyid="any hint"))
    foreign.sign(signer)
    assert desk.verify(json.dumps(foreign.to_dict()).encode()).accepted
