"""A run that signs with an identity: the certificate carries the proof, the log has no signature."""

from __future__ import annotations

import base64
import json

import pytest

pytest.importorskip("sigstore", reason="sigstore is optional: pytest-prodml[signers-sigstore]")

from plugin.project import Project
from sigstore_factory import ISSUER, WORKFLOW, serving, token


def test_keyless_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = token()
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", secret)
    with serving() as (sigstore, asked):
        project.write("sigstore.json", sigstore.client_configuration())
        result = project.run("--prodml-key=sigstore:sigstore.json")
    assert result.ret == 0
    assert asked == ["/api/v2/signingCert", "/api/v1/log/entries"]
    (signature,) = project.envelope().signatures
    assert signature.material is not None
    certificate = base64.b64decode(str(dict(signature.material)["certificate"]["rawBytes"]))  # type: ignore[index,call-overload]
    assert WORKFLOW.encode() in certificate
    assert ISSUER.encode() in certificate
    seal = json.loads(project.log()[-1]["envelope"])
    assert seal["signatures"] == []
    for file in project.out.rglob("*"):
        assert file.is_dir() or secret.encode() not in file.read_bytes()
    assert secret not in result.stdout.str()
    assert "`sigstore:private`" in (project.out / "summary.md").read_text(encoding="utf-8")


def test_run_without_an_identity_is_told_and_leaves_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SIGSTORE_ID_TOKEN", "GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "CIRCLECI"):
        monkeypatch.delenv(name, raising=False)
    with serving() as (sigstore, asked):
        project.write("sigstore.json", sigstore.client_configuration())
        result = project.run("--prodml-key=sigstore:sigstore.json")
    assert result.ret != 0
    assert asked == []
    assert not (project.out / "certificate.json").exists()
    result.stdout.fnmatch_lines(["*found no identity*"])


def test_a_shard_needs_a_key(project: Project) -> None:
    with serving() as (sigstore, asked):
        project.write("sigstore.json", sigstore.client_configuration())
        result = project.run("--prodml-key=sigstore:sigstore.json", "--prodml-shard=1/2")
    assert result.ret == 4
    assert asked == []
    result.stderr.fnmatch_lines(["*an identity can not seal the run log of a shard; this needs a key*"])
