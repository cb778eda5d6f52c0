"""A waiver by name pattern: only where the policy takes that form, within limits of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import NOW, POLICY_TOML, Desk, policy
from pytest_prodml.certificate.dsse import envelope_json, parse_envelope, sign
from pytest_prodml.certificate.statement import statement_payload
from pytest_prodml.certificate.waiver import WAIVER_TYPE, make_waiver_envelope, read_waiver
from pytest_prodml.cli import main
from pytest_prodml.codec import parse_json
from pytest_prodml.errors import ConfigurationError, MalformedError
from pytest_prodml.policy.load import policy_digest
from pytest_prodml.records import NameWaivers, Readiness, Subject
from pytest_prodml.verify.report import ExitCode, VerificationReport

BY_NAME = POLICY_TOML + "\n[waivers.by_name]\nmax = 1\nmax_days = 14\n"
FORTNIGHT = {"issued_at": NOW - timedelta(days=1), "expires_at": NOW + timedelta(days=13)}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def by_name(desk: Desk, pattern: str = "model*", **changes: Any) -> bytes:
    return desk.waiver(**{"subject_digest": None, "subject_name": pattern, **FORTNIGHT, **changes})


def judged(desk: Desk, *waivers: bytes, text: str = BY_NAME, **changes: Any) -> VerificationReport:
    """Certify under the policy that takes them, and verify under `text`."""
    certificate = desk.build(age_gap=0.2, waivers=waivers, policy=policy(BY_NAME))
    arguments = {"waiver_keys": [desk.key("risk").public_key], "policy": policy(text), **changes}
    return desk.verify(desk.certify(certificate), **arguments)


@pytest.mark.parametrize("pattern", ["model*", "model.onnx", "*.onnx", "m*l.o*x"])
def test_it_covers_every_artefact_of_that_name(desk: Desk, pattern: str) -> None:
    for content in (b"one", b"two"):
        desk.model.write_bytes(content)
        report = judged(desk, by_name(desk, pattern))
        assert report.accepted
        assert report.decision is Readiness.READY_WITH_WAIVERS
        assert report.waivers[0].subject_name == pattern


@pytest.mark.parametrize("pattern", ["other*", "Model*", "model", "model?onnx", "model.onn[x]"])
def test_other_names(desk: Desk, pattern: str) -> None:
    report = judged(desk, by_name(desk, pattern))
    assert report.exit_code == ExitCode.NOT_READY
    assert report.reasons[-1].code == "waiver-not-allowed"


def test_a_policy_that_does_not_say_so_takes_none(desk: Desk) -> None:
    report = judged(desk, by_name(desk), text=POLICY_TOML)
    assert report.exit_code == ExitCode.POLICY
    assert report.reasons[-1].code == "waiver-not-allowed"
    assert "takes none of that form" in report.reasons[-1].message
    certificate = desk.build(age_gap=0.2, waivers=[by_name(desk)])
    assert certificate.decision.outcome is Readiness.NOT_READY


def test_its_own_limits(desk: Desk) -> None:
    too_long = by_name(desk, expires_at=NOW + timedelta(days=13, seconds=1))
    assert judged(desk, too_long).exit_code == ExitCode.NOT_READY
    assert judged(desk, by_name(desk)).accepted
    assert not judged(desk, by_name(desk), now=NOW + timedelta(days=13)).accepted
    two = BY_NAME.replace(
        'gates = ["fairness.age"]\nmax = 1', 'gates = ["fairness.age", "performance.auc"]\nmax = 2'
    )
    both = [by_name(desk), by_name(desk, id="w-2", gate_id="performance.auc")]
    certificate = desk.build(age_gap=0.2, auc=0.7, waivers=both, policy=policy(two))
    assert certificate.decision.outcome is Readiness.NOT_READY
    assert "2 waivers by name are needed and the policy allows 1" in certificate.decision.reasons
    one = [by_name(desk), desk.waiver(id="w-2", gate_id="performance.auc")]
    certificate = desk.build(age_gap=0.2, auc=0.7, waivers=one, policy=policy(two))
    assert certificate.decision.outcome is Readiness.READY_WITH_WAIVERS


def test_one_for_the_artefact_itself_goes_first(desk: Desk) -> None:
    exact = desk.waiver(id="exact", expires_at=NOW + timedelta(days=2))
    report = judged(desk, by_name(desk), exact)
    assert [waiver.id for waiver in report.waivers] == ["exact"]


@pytest.mark.parametrize("pattern", ["", "*", "**", "*.*", " ", "a\u202eb", "a\n"])
def test_a_pattern_that_says_nothing(desk: Desk, pattern: str) -> None:
    with pytest.raises(MalformedError):
        by_name(desk, pattern)


def test_it_covers_one_or_the_other(desk: Desk) -> None:
    for changes in ({"subject_digest": "a" * 64}, {"subject_name": None}):
        with pytest.raises(MalformedError, match="a digest or a name pattern"):
            by_name(desk, **changes)
    waiver = read_waiver(parse_envelope(by_name(desk)))
    assert waiver.subject_digest is None
    assert make_waiver_envelope(waiver, desk.key("risk")) == by_name(desk)


def test_the_subject_and_the_pattern_are_one(desk: Desk) -> None:
    """A statement whose subject is a model, and whose predicate covers every other one as well."""
    statement: Any = parse_json(parse_envelope(by_name(desk)).payload)
    for subject in (
        Subject(name="model*", digest={"sha256": desk.subject().digest["sha256"]}),
        Subject(name="innocent.onnx", digest=statement["subject"][0]["digest"]),
    ):
        payload = statement_payload(WAIVER_TYPE, [subject], statement["predicate"])
        with pytest.raises(MalformedError, match="another in `subjectName`"):
            read_waiver(parse_envelope(envelope_json(sign(payload, [desk.key("risk")]))))


@pytest.mark.parametrize(
    "table", ["max = 0", "max = 2", "max_days = 0", "max_days = 61", "max = true", "days = 3"]
)
def test_limits_that_are_none(table: str) -> None:
    with pytest.raises(ConfigurationError):
        policy(f"{POLICY_TOML}\n[waivers.by_name]\n{table}\n")


def test_an_older_policy_keeps_its_digest() -> None:
    """Certificates that were made before carry the digest; a new field must not change it."""
    assert policy().name_waivers is None
    with_limits = replace(policy(), name_waivers=NameWaivers())
    assert policy_digest(policy()) != policy_digest(with_limits)
    from pytest_prodml.codec import encode

    assert "nameWaivers" not in encode(policy())


def test_the_command(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.root)
    desk.key("risk")
    arguments = [
        "waive",
        "fairness.age",
        "--reason",
        "r",
        "--approver",
        "a",
        "--days",
        "3",
        "--key",
        "keys/risk.key",
    ]
    assert main([*arguments, "--name", "credit-*", "--out", "w.json"]) == 0
    assert read_waiver(parse_envelope((desk.root / "w.json").read_bytes())).subject_name == "credit-*"
    assert main([*arguments, "--name", "*", "--out", "all.json"]) == 2
    assert main([*arguments, "--name", "a*", "--model", "model.onnx", "--out", "all.json"]) == 2
    assert main([*arguments, "--out", "all.json"]) == 2
    assert not (desk.root / "all.json").exists()
