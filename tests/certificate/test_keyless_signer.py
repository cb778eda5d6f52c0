"""`sigstore:` signs with an identity token through services that answer on this machine; the token never shows."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("sigstore", reason="sigstore is optional: pytest-prodml[signers-sigstore]")

from certificate_factory import Desk, ready
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.document import sign_record
from pytest_prodml.certificate.dsse import Envelope, parse_envelope
from pytest_prodml.certificate.signers import KeylessSigner
from pytest_prodml.certificate.signers.keyless import SigstoreSigner, open_keyless, token_from_environment
from pytest_prodml.certificate.signers.uri import open_signer, open_statement_signer
from pytest_prodml.certificate.statement import certificate_payload
from pytest_prodml.cli import main
from pytest_prodml.errors import MissingDependencyError, SigningKeyError
from pytest_prodml.verify.trustfile import load_trust
from sigstore_factory import ISSUER, WORKFLOW, Sigstore, serving, token
from trust_factory import codes, gate, write_trust


@dataclass
class Scene:
    """A desk whose trust root believes a Sigstore that answers, and what that one was asked."""

    desk: Desk
    sigstore: Sigstore
    asked: list[str]

    @property
    def uri(self) -> str:
        """The signer that talks to it."""
        return f"sigstore:{self.desk.root}/sigstore.json"


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    for name in ("SIGSTORE_ID_TOKEN", "GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "CIRCLECI"):
        monkeypatch.delenv(name, raising=False)
    desk = Desk(tmp_path)
    with serving() as (sigstore, asked):
        (tmp_path / "sigstore.json").write_text(sigstore.client_configuration(), encoding="utf-8")
        (tmp_path / "trusted_root.json").write_text(sigstore.trusted_root(), encoding="utf-8")
        tail = f"""
[sigstore]
trusted_root = "trusted_root.json"
[identities.release]
role = "platform"
issuer = "{ISSUER}"
identity = "{WORKFLOW}"
"""
        people = {"ds": "data-science", "risk": "risk", "sec": "security"}
        write_trust(desk, people=people, tail=tail)
        yield Scene(desk=desk, sigstore=sigstore, asked=asked)


def names(envelope: Envelope, scene: Scene) -> dict[str, tuple[str, ...]]:
    """Return who signed, by role."""
    report = gate(scene.desk, scene.desk.certificate.read_bytes())
    assert len(envelope.signatures) == len(report.signers)
    return dict(report.roles)


def test_token_of_the_environment_signs(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", f"{token()}\n")
    signer = open_statement_signer(scene.uri)
    assert isinstance(signer, KeylessSigner)
    data = issue(ready(scene.desk), [signer, scene.desk.key("ds")])
    scene.desk.certificate.write_bytes(data)
    assert scene.asked == ["/api/v2/signingCert", "/api/v1/log/entries"]
    envelope = parse_envelope(data)
    assert envelope.payload == certificate_payload(ready(scene.desk))
    assert len(envelope.signatures[0].keyid) == 64
    assert names(envelope, scene) == {"data-science": ("ds",), "platform": ("release",)}


def test_each_signature_has_a_key_of_its_own(scene: Scene) -> None:
    signer = open_statement_signer(scene.uri, passphrase=token().encode())
    first, second = (parse_envelope(issue(ready(scene.desk), [signer])) for _ in range(2))
    assert first.signatures[0].keyid != second.signatures[0].keyid


def test_sign_adds_a_keyless_signature_after_it_is_proven(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = scene.desk
    issued = datetime.now(UTC).replace(microsecond=0)
    desk.certify(desk.build(issued_at=issued), signers=("ds",))
    arguments = ["sign", str(desk.certificate), "--key", scene.uri, "--model", str(desk.model)]
    arguments += ["--trust", str(desk.root / "trust.toml")]

    def run(identity: str) -> int:
        reader, writer = os.pipe()
        os.write(writer, token(identity).encode())
        os.close(writer)
        try:
            return main([*arguments, "--passphrase-fd", str(reader)])
        finally:
            os.close(reader)

    before = desk.certificate.read_bytes()
    assert run(WORKFLOW.replace("release", "nightly")) == 12
    assert "identity: signatures[0]" in capsys.readouterr().err
    assert desk.certificate.read_bytes() == before
    assert run(WORKFLOW) == 0
    assert "complete: every role has signed" in capsys.readouterr().out
    assert run(WORKFLOW) == 12
    assert "release has signed already" in capsys.readouterr().err
    report = gate(desk, desk.certificate.read_bytes(), now=datetime.now(UTC))
    assert codes(report) == []
    assert report.roles == {"data-science": ("ds",), "platform": ("release",)}


def test_export_writes_the_bundle_that_carries_the_proof(scene: Scene) -> None:
    desk = scene.desk
    signer = open_statement_signer(scene.uri, passphrase=token().encode())
    desk.certificate.write_bytes(issue(ready(desk), [signer]))
    write_trust(
        desk,
        roles="platform = 1",
        people={"risk": "risk", "sec": "security"},
        tail=(desk.root / "trust.toml").read_text(encoding="utf-8").partition("required = false")[2],
    )
    assert main(["export", "sigstore", str(desk.certificate), "--out", str(desk.root / "bundles")]) == 0
    (bundle,) = (desk.root / "bundles").iterdir()
    assert codes(gate(desk, bundle.read_bytes())) == []


def test_only_statements_are_signed(scene: Scene) -> None:
    signer = open_statement_signer(scene.uri, passphrase=token().encode())
    trust = load_trust(scene.desk.root / "trust.toml")
    with pytest.raises(SigningKeyError, match="this needs a key"):
        sign_record(trust.document, "application/json", [signer])
    with pytest.raises(SigningKeyError, match="this needs a key"):
        open_signer(scene.uri)
    assert scene.asked == []


def test_without_an_identity_nothing_is_signed(scene: Scene) -> None:
    signer = open_statement_signer(scene.uri)
    with pytest.raises(SigningKeyError, match="found no identity"):
        issue(ready(scene.desk), [signer])
    assert scene.asked == []


@pytest.mark.parametrize(
    "bad",
    ["secret-junk", "e30.e30.c2VjcmV0", "expired", "audience"],
)
def test_token_is_never_told(scene: Scene, monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    text = {"expired": token(exp=1), "audience": token(aud="other")}.get(bad, bad)
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", text)
    with pytest.raises(SigningKeyError, match="can not sign: IdentityError") as caught:
        issue(ready(scene.desk), [open_statement_signer(scene.uri)])
    assert text not in str(caught.value)
    assert caught.value.__suppress_context__
    assert text not in repr(token_from_environment())
    assert text not in repr(open_keyless("", token=text.encode()))
    assert scene.asked == []


def test_service_that_does_not_answer_is_one_sentence(scene: Scene, tmp_path: Path) -> None:
    configuration = scene.sigstore.client_configuration().replace(scene.sigstore.url, "http://127.0.0.1:9")
    (tmp_path / "sigstore.json").write_text(configuration, encoding="utf-8")
    secret = token()
    with pytest.raises(SigningKeyError, match="can not sign: ConnectionError") as caught:
        issue(ready(scene.desk), [open_statement_signer(scene.uri, passphrase=secret.encode())])
    assert secret not in str(caught.value)


def test_log_entry_about_other_bytes_is_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = open_statement_signer(scene.uri, passphrase=token().encode())
    assert isinstance(signer, SigstoreSigner)
    other = SigstoreSigner(instance=signer.instance, token=signer.token)
    answer = other._signed(certificate_payload(ready(scene.desk)))
    monkeypatch.setattr(SigstoreSigner, "_signed", lambda _self, _payload: answer)
    with pytest.raises(SigningKeyError, match="something else"):
        signer.sign_statement(b'{"_type":"https://in-toto.io/Statement/v1"}')
    without = answer.replace(b'"certificate":', b'"certificates":')
    monkeypatch.setattr(SigstoreSigner, "_signed", lambda _self, _payload: without)
    with pytest.raises(SigningKeyError, match="no certificate"):
        signer.sign_statement(certificate_payload(ready(scene.desk)))


@pytest.mark.parametrize("content", [None, "", "{}", '{"mediaType":"x"}'])
def test_configuration_that_can_not_be_used(scene: Scene, content: str | None) -> None:
    path = scene.desk.root / "sigstore.json"
    path.unlink()
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(SigningKeyError, match="can not"):
        issue(ready(scene.desk), [open_statement_signer(scene.uri, passphrase=token().encode())])


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigstore.sign", None)
    with pytest.raises(MissingDependencyError, match="sigstore") as caught:
        open_statement_signer("sigstore:")
    assert "pytest-prodml[signers-sigstore]" in str(caught.value)
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert "\nsigners-sigstore = [" in pyproject


@pytest.mark.parametrize("text", ["sigstore:", "sigstore://", "sigstore:staging", "sigstore://staging"])
def test_addresses(text: str) -> None:
    signer = open_statement_signer(text)
    assert isinstance(signer, SigstoreSigner)
    assert signer.instance == ("staging" if "staging" in text else "")
