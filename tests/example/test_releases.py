"""The example as its team runs it: release 2 is accepted, release 1 is refused, and so is every trick on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_prodml.certificate.dsse import envelope_json, parse_envelope
from pytest_prodml.certificate.statement import read_certificate
from pytest_prodml.records import Certificate, Outcome, Readiness, RunState

EXAMPLE = Path(__file__).resolve().parents[2] / "example_project"


@dataclass(frozen=True)
class Release:
    """A copy of the example in which ``release.sh`` has run."""

    root: Path
    status: int
    output: str

    @property
    def certificate(self) -> Certificate:
        """What was signed."""
        envelope = parse_envelope((self.root / "prodml-report" / "certificate.json").read_bytes())
        return read_certificate(envelope.payload)

    def outcomes(self) -> dict[str, tuple[Outcome, str | None]]:
        """Return outcome and waiver of every gate."""
        return {v.gate_id: (v.outcome, v.waiver_id) for v in self.certificate.decision.verdicts}

    def verify(self, *changes: str, at: str | None = None, **replaced: Path) -> tuple[int, dict[str, Any]]:
        """Run ``prodml verify`` with paths replaced; return its exit status and its JSON."""
        paths = {
            "certificate": self.root / "prodml-report" / "certificate.json",
            "key": self.root / "keys" / "ci.pub",
            "model": self.root / "model" / "credit.onnx",
            "policy": self.root / "policy.toml",
        } | replaced
        command = ["prodml", "verify", str(paths.pop("certificate")), "--json"]
        for name, path in paths.items():
            command += [f"--{name}", str(path)]
        command += ["--waiver-key", str(self.root / "keys" / "risk-officer.pub"), *changes]
        done = run(command + (["--at", at] if at else []), self.root)
        return done.returncode, json.loads(done.stdout)


def run(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


def release(name: str, directory: Path) -> Release:
    ignored = shutil.ignore_patterns(
        "build", "model", "keys", "waivers", "prodml-report", ".*_cache", "__pycache__"
    )
    root = Path(shutil.copytree(EXAMPLE, directory / name, ignore=ignored))
    done = run(["sh", "release.sh", name], root)
    return Release(root=root, status=done.returncode, output=done.stdout + done.stderr)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return release("2", tmp_path_factory.mktemp("second"))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return release("1", tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def mitigated(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return release("mitigated", tmp_path_factory.mktemp("mitigated"))


def test_release_2_is_ready_with_one_waiver(second: Release) -> None:
    assert second.status == 0, second.output
    assert second.certificate.decision.outcome is Readiness.READY_WITH_WAIVERS
    waived = [gate for gate, (_, waiver) in second.outcomes().items() if waiver]
    assert waived == ["fairness.approval_by_age"]
    assert "READY WITH WAIVERS" in second.output
    assert "prodml-report/certificate.json" in second.output


def test_release_1_is_refused_for_what_is_wrong_with_it(first: Release) -> None:
    assert first.status == 1, first.output
    outcomes = {gate: outcome for gate, (outcome, _) in first.outcomes().items()}
    assert outcomes["data.schema[reference]"] is Outcome.FAIL
    assert outcomes["data.schema[test]"] is Outcome.FAIL
    assert outcomes["behavior.monotone_payment_status"] is Outcome.FAIL
    assert outcomes["fairness.approval_by_age"] is not Outcome.PASS
    assert outcomes["performance.auc"] is Outcome.PASS
    status, report = first.verify()
    assert status == 1
    assert {reason["code"] for reason in report["reasons"]} == {"not-ready"}


def test_people_over_60_are_neither_passed_nor_failed(first: Release, second: Release) -> None:
    for done in (first, second):
        assert done.outcomes()["fairness.approval_over_60"][0] is Outcome.INCONCLUSIVE
        verdict = next(
            v for v in done.certificate.decision.verdicts if v.gate_id == "fairness.approval_over_60"
        )
        assert "55 rows, not enough data" in verdict.message


def test_the_mitigated_variant_passes_the_age_gap_without_a_waiver(mitigated: Release) -> None:
    assert mitigated.status == 0, mitigated.output
    assert mitigated.certificate.decision.outcome is Readiness.READY
    assert mitigated.outcomes()["fairness.approval_by_age"] == (Outcome.PASS, None)


def test_the_evidence_holds_what_a_reader_asks_for(second: Release) -> None:
    certificate = second.certificate
    digest = certificate.subjects[0].digest["sha256"]
    measured = [run for run in certificate.runs if run.evidence is not None]
    assert {run.state for run in certificate.runs} <= {RunState.PASSED, RunState.FAILED}
    for done in measured:
        assert done.evidence is not None
        assert all(subject.digest["sha256"] == digest for subject in done.evidence.subjects)
        assert done.evidence.environment_digest in certificate.environments
        assert all(m.n_samples > 0 and m.method for m in done.evidence.measurements)
    latency = next(run for run in measured if run.gate_id == "latency.p99")
    assert latency.evidence is not None
    assert "OMP_NUM_THREADS" in json.dumps(latency.evidence.details["threads"])


def test_a_flipped_byte_in_the_model(second: Release, tmp_path: Path) -> None:
    data = bytearray((second.root / "model" / "credit.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    model = tmp_path / "credit.onnx"
    model.write_bytes(data)
    status, report = second.verify(model=model)
    assert (status, report["reasons"][0]["code"]) == (13, "subject-differs")


def test_a_changed_number_in_the_certificate(second: Release, tmp_path: Path) -> None:
    envelope = parse_envelope((second.root / "prodml-report" / "certificate.json").read_bytes())
    assert envelope.payload.count(b'"limit":0.75') > 0
    changed = envelope.payload.replace(b'"limit":0.75', b'"limit":0.55')
    path = tmp_path / "certificate.json"
    path.write_bytes(
        envelope_json(
            type(envelope)(
                payload=changed, payload_type=envelope.payload_type, signatures=envelope.signatures
            )
        )
    )
    status, report = second.verify(certificate=path)
    assert (status, report["reasons"][0]["code"]) == (12, "untrusted")


def test_a_stripped_signature(second: Release, tmp_path: Path) -> None:
    fields = json.loads((second.root / "prodml-report" / "certificate.json").read_text())
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(fields | {"signatures": []}))
    status, report = second.verify(certificate=path)
    assert (status, report["reasons"][0]["code"]) == (10, "no-signature")


def test_another_key(second: Release) -> None:
    status, report = second.verify(key=second.root / "keys" / "risk-officer.pub")
    assert (status, report["reasons"][0]["code"]) == (12, "untrusted")


def test_an_expired_certificate(second: Release) -> None:
    status, report = second.verify(at="2099-01-01T00:00:00Z")
    assert (status, report["reasons"][0]["code"]) == (14, "expired")


def test_an_absent_required_gate(second: Release, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    text = (second.root / "policy.toml").read_text()
    assert '"pipeline.served",' in text
    policy.write_text(text.replace('"pipeline.served",', '"pipeline.served",\n  "pipeline.rollback",'))
    status, report = second.verify(policy=policy)
    assert (status, report["reasons"][0]["code"]) == (15, "policy")
    assert "pipeline.rollback" in json.dumps(report["reasons"])


def test_the_service_answers_with_release_2_and_not_with_a_changed_model(second: Release) -> None:
    record = second.root / "record.json"
    table = run(
        [
            sys.executable,
            "-c",
            "import pandas; print(pandas.read_csv('data/credit_default.csv.gz', nrows=1).iloc[0].to_json())",
        ],
        second.root,
    )
    record.write_text(table.stdout)
    served = run([sys.executable, "deploy.py", "--score", str(record)], second.root)
    assert served.returncode == 0, served.stderr
    assert "risk" in served.stdout
    model = second.root / "model" / "credit.onnx"
    good = model.read_bytes()
    model.write_bytes(good + b"\0")
    refused = run([sys.executable, "deploy.py", "--score", str(record)], second.root)
    model.write_bytes(good)
    assert refused.returncode != 0
    assert "not the artefact that was certified" in refused.stderr
