"""Tools that nobody here wrote accept our signatures and refuse the tampered twin."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from securesystemslib.dsse import Envelope as ForeignEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey  # type: ignore[attr-defined]

from certificate_factory import Desk, ready
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.digest import directory_subject, list_files, manifest
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.forms import sigstore_bundle
from pytest_prodml.certificate.signers.local import KeyType
from pytest_prodml.codec import sha256_hex

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


# Sigstore's own verifier in JavaScript, with one key and neither log nor time stamp required.
SIGSTORE_JS = """
const {bundleFromJSON} = require("@sigstore/bundle");
const {Verifier, toSignedEntity, toTrustMaterial} = require("@sigstore/verify");
const fs = require("fs"), crypto = require("crypto");
const [bundlePath, keyPath, hint] = process.argv.slice(1);
const bundle = bundleFromJSON(JSON.parse(fs.readFileSync(bundlePath)));
const key = crypto.createPublicKey(fs.readFileSync(keyPath));
const material = toTrustMaterial({tlogs: [], ctlogs: [], certificateAuthorities: [], timestampAuthorities: []},
  (asked) => { if (asked !== hint) throw new Error("unknown key");
               return {publicKey: key, validFor: () => true}; });
new Verifier(material, {tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0}).verify(toSignedEntity(bundle));
console.log("Sigstore accepts it");
"""


def sigstore_js() -> str | None:
    """Say why Sigstore's JavaScript can not be run here; None if it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    found = subprocess.run(
        ["node", "-e", 'require("@sigstore/bundle"); require("@sigstore/verify")'],
        capture_output=True,
        check=False,
    )
    if found.returncode == 0:
        return None
    return "npm install @sigstore/bundle @sigstore/verify, and NODE_PATH at its node_modules"


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_sigstore_in_javascript(desk: Desk, key_type: KeyType) -> None:
    if missing := sigstore_js():
        pytest.skip(missing)
    signer = desk.key("ci", key_type=key_type)
    desk.key("other", key_type=key_type)
    good = issue(ready(desk), [signer])
    bundle = desk.root / "bundle.sigstore.json"

    def run(data: bytes, key: str = "ci") -> subprocess.CompletedProcess[str]:
        bundle.write_bytes(sigstore_bundle(parse_envelope(data), 0))
        return subprocess.run(
            ["node", "-e", SIGSTORE_JS, str(bundle), str(desk.public(key)), signer.keyid],
            capture_output=True,
            text=True,
            check=False,
        )

    accepted = run(good)
    assert accepted.stdout == "Sigstore accepts it\n", accepted.stderr
    assert run(tampered(good)).returncode != 0
    assert run(good, key="other").returncode != 0
    other_type = json.dumps({**json.loads(good), "payloadType": "application/json"}).encode()
    assert run(other_type).returncode != 0


def test_in_toto_reads_our_statements(desk: Desk) -> None:
    statement = pytest.importorskip(
        "in_toto_attestation.v1.statement", reason="in-toto-attestation is optional"
    )
    message = pytest.importorskip("google.protobuf.json_format")
    payload = parse_envelope(issue(ready(desk), [desk.key()])).payload
    made = statement.Statement.copy_from_pb(message.Parse(payload, statement.spb.Statement()))
    made.validate()
    assert made.pb.subject[0].digest["sha256"] == desk.subject().digest["sha256"]


def test_coreutils_check_a_directory(desk: Desk) -> None:
    folder = desk.root / "model"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"a")
    (folder / "b.bin").write_bytes(b"b")
    text = manifest(list_files(folder))
    assert sha256_hex(text) == directory_subject(folder).digest["sha256"]
    command = ["sha256sum", "--check", "--strict", "--quiet", "-"]
    for expected in (0, 1):
        done = subprocess.run(command, cwd=folder, input=text, capture_output=True, check=False)
        assert done.returncode == expected, done.stderr
        (folder / "a.bin").write_bytes(b"changed")
