"""``model.sig``: OpenSSF Model Signing reads it, and refuses its tampered twin, with a key and keyless."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import Desk, not_ready
from pytest_prodml.certificate.digest import directory_subject, file_subject
from pytest_prodml.certificate.model_signature import MODEL_SIGNATURE_TYPE, model_signature_payload
from pytest_prodml.cli import main
from pytest_prodml.errors import MalformedError
from pytest_prodml.records import Subject

FILES = {"config.json": b"{}", "a.bin": b"a", "a/weights.bin": b"w" * 1000, "a/b/c.txt": b"c"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.key("ci", key_type="p256")
    folder = tmp_path / "bundle"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return desk


def export(desk: Desk, subject: Subject, *more: str, key: str = "ci", code: int = 0) -> Path:
    """Certify an artefact and export its model.sig."""
    desk.certify(desk.build(subjects=(subject,)))
    out = desk.root / "model.sig"
    arguments = ["export", "model-sig", str(desk.certificate), "--out", str(out)]
    desk.key(key)
    private = str(desk.root / "keys" / f"{key}.key")
    assert main([*arguments, "--key", private, "--signed-by", str(desk.public()), *more]) == code
    return out


def statement_of(path: Path) -> Any:
    """Return the statement in a bundle."""
    bundle = json.loads(path.read_bytes())
    return json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))


def with_statement(path: Path, old: str, new: str) -> None:
    """Edit the statement in a bundle and keep its signature."""
    bundle = json.loads(path.read_bytes())
    text = base64.b64decode(bundle["dsseEnvelope"]["payload"]).decode()
    assert text.count(old) >= 1
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(text.replace(old, new).encode()).decode()
    path.write_text(json.dumps(bundle), encoding="utf-8")


def test_statement_lists_every_file_in_model_signing_s_order(desk: Desk) -> None:
    statement = statement_of(export(desk, directory_subject(desk.root / "bundle")))
    assert statement["predicateType"] == MODEL_SIGNATURE_TYPE
    order = ["a/b/c.txt", "a/weights.bin", "a.bin", "config.json"]
    assert [item["name"] for item in statement["predicate"]["resources"]] == order
    digests = [hashlib.sha256(FILES[name]).digest() for name in order]
    assert [item["digest"] for item in statement["predicate"]["resources"]] == [d.hex() for d in digests]
    root = hashlib.sha256(b"".join(digests)).hexdigest()
    assert statement["subject"] == [{"name": "bundle", "digest": {"sha256": root}}]


def test_list_that_is_not_the_digest_s_is_refused(desk: Desk) -> None:
    subject = directory_subject(desk.root / "bundle")
    for listing in (None, [], [{"path": "a.bin", "sha256": "0" * 64, "size": 1}], ["text"]):
        annotations: dict[str, Any] = {**(subject.annotations or {}), "files": listing}
        with pytest.raises(MalformedError, match="lists other files"):
            model_signature_payload(replace(subject, annotations=annotations))


def test_what_can_not_be_exported_is_told(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    export(desk, desk.subject(), "--subject", "other", code=2)
    assert "which artefact?" in capsys.readouterr().err
    export(desk, desk.subject(), key="ed", code=2)
    assert "no Ed25519 keys" in capsys.readouterr().err
    desk.certify(not_ready(desk))
    out = ["--out", str(desk.root / "none.sig")]
    key = ["--key", str(desk.root / "keys" / "ci.key"), "--signed-by", str(desk.public())]
    assert main(["export", "model-sig", str(desk.certificate), *out, *key]) == 2
    assert "not ready" in capsys.readouterr().err
    assert main(["export", "model-sig", str(desk.certificate), *out]) == 2
    assert "is signed" in capsys.readouterr().err
    assert main(["export", "junit", str(desk.certificate), *out, "--subject", "x"]) == 2
    assert not (desk.root / "none.sig").exists()


def test_each_of_several_artefacts_has_its_own(desk: Desk) -> None:
    subjects = (desk.subject(), directory_subject(desk.root / "bundle"))
    desk.certify(desk.build(subjects=subjects))
    key = ["--key", str(desk.root / "keys" / "ci.key"), "--signed-by", str(desk.public())]
    out = desk.root / "one.sig"
    base = ["export", "model-sig", str(desk.certificate), "--out", str(out), *key]
    assert main(base) == 2
    for subject in subjects:
        assert main([*base, "--subject", subject.name]) == 0
        assert statement_of(out)["subject"][0]["name"] == subject.name


def verify(desk: Desk, signature: Path, model: Path, key: str = "ci") -> None:
    """Verify as a user of Model Signing does; it raises."""
    verifying = pytest.importorskip(
        "model_signing.verifying",
        reason="optional: pip install model-signing pyOpenSSL",
        exc_type=ImportError,
    )
    verifying.Config().use_elliptic_key_verifier(public_key=desk.public(key)).verify(model, signature)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_model_signing_accepts_a_directory_and_refuses_its_twins(desk: Desk) -> None:
    folder = desk.root / "bundle"
    signature = export(desk, directory_subject(folder))
    verify(desk, signature, folder)
    desk.key("other", key_type="p256")
    with pytest.raises(ValueError, match="Key mismatch"):
        verify(desk, signature, folder, key="other")
    (folder / "a" / "extra.py").write_bytes(b"")
    with pytest.raises(ValueError, match="Extra files"):
        verify(desk, signature, folder)
    (folder / "a" / "extra.py").unlink()
    (folder / "a.bin").write_bytes(b"b")
    with pytest.raises(ValueError, match=r"Hash mismatch for 'a\.bin'"):
        verify(desk, signature, folder)
    was, now = (hashlib.sha256(data).hexdigest() for data in (b"a", b"b"))
    with_statement(signature, was, now)
    from cryptography.exceptions import InvalidSignature

    with pytest.raises(InvalidSignature):
        verify(desk, signature, folder)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_model_signing_accepts_a_file_and_refuses_another(desk: Desk) -> None:
    signature = export(desk, file_subject(desk.model))
    verify(desk, signature, desk.model)
    desk.model.write_bytes(b"another")
    with pytest.raises(ValueError, match="Hash mismatch"):
        verify(desk, signature, desk.model)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_model_signing_accepts_a_keyless_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sigstore", reason="optional: pytest-prodml[signers-sigstore]")
    verifying = pytest.importorskip("model_signing.verifying", exc_type=ImportError)
    from sigstore.errors import VerificationError

    from sigstore_factory import ISSUER, WORKFLOW, serving, token

    folder = desk.root / "bundle"
    desk.certify(desk.build(subjects=(directory_subject(folder),)))
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", token())
    configuration = desk.root / "sigstore.json"
    out = desk.root / "model.sig"
    with serving() as (sigstore, _):
        configuration.write_text(sigstore.client_configuration(), encoding="utf-8")
        arguments = ["export", "model-sig", str(desk.certificate), "--out", str(out)]
        arguments += ["--key", f"sigstore:{configuration}", "--signed-by", str(desk.public())]
        assert main(arguments) == 0

    def run(identity: str) -> None:
        made = verifying.Config().use_sigstore_verifier(
            identity=identity, oidc_issuer=ISSUER, trust_config=configuration
        )
        made.verify(folder, out)

    run(WORKFLOW)
    with pytest.raises(VerificationError, match="SANs do not match"):
        run("https://github.com/evil/x")
    with_statement(out, "config.json", "config.py")
    with pytest.raises(VerificationError, match="invalid signature"):
        run(WORKFLOW)
