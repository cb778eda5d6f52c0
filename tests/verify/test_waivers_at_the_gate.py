"""A waiver counts only if someone else approved it, here, for this model, and still now."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from certificate_factory import (
    NOW,
    POLICY_TOML,
    Desk,
    gate_runs,
    policy,
    ready_with_waiver,
    signed,
)
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.statement import certificate_payload
from pytest_prodml.certificate.waiver import read_waiver
from pytest_prodml.records import Certificate, Readiness
from pytest_prodml.verify.report import ExitCode, VerificationReport


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def judged(desk: Desk, certificate: Certificate, **changes: object) -> VerificationReport:
    """Verify with the approver's key given."""
    arguments = {"waiver_keys": [desk.key("risk").public_key], **changes}
    return desk.verify(desk.certify(certificate), **arguments)


def test_it_is_accepted_and_named(desk: Desk) -> None:
    report = judged(desk, ready_with_waiver(desk))
    assert report.exit_code == ExitCode.ACCEPTED
    assert report.decision is Readiness.READY_WITH_WAIVERS
    (applied,) = report.waivers
    assert (applied.gate_id, applied.approver, applied.reference) == (
        "fairness.age",
        "Head of Credit Risk",
        "RISK-42",
    )


def test_expired_here(desk: Desk) -> None:
    certificate = ready_with_waiver(desk)
    assert judged(desk, certificate, now=NOW + timedelta(days=29)).accepted
    report = judged(desk, certificate, now=NOW + timedelta(days=30))
    assert [reason.code for reason in report.reasons] == ["waiver-expired"]
    assert report.exit_code == ExitCode.WAIVER
    assert report.waivers == ()


def test_which_of_several_is_no_waiver_is_told(desk: Desk) -> None:
    certificate = ready_with_waiver(desk)
    other = signed(desk, b"{}", signer="risk").decode()
    report = judged(desk, replace(certificate, waivers=(*certificate.waivers, other)))
    (reason,) = report.reasons
    assert reason.code == "statement"
    assert reason.message.startswith("waivers[1]: ")


def test_already_expired_when_issued(desk: Desk) -> None:
    certificate = ready_with_waiver(
        desk, issued_at=NOW - timedelta(days=9), expires_at=NOW - timedelta(days=2)
    )
    assert certificate.decision.outcome is Readiness.NOT_READY
    assert judged(desk, certificate).exit_code == ExitCode.NOT_READY


@pytest.mark.parametrize("keys", [[], ["other"]])
def test_no_approver_that_is_trusted_here(desk: Desk, keys: list[str]) -> None:
    report = judged(desk, ready_with_waiver(desk), waiver_keys=[desk.key(name).public_key for name in keys])
    assert [reason.code for reason in report.reasons] == ["waiver-untrusted"]
    assert report.exit_code == ExitCode.WAIVER


def test_self_approved(desk: Desk) -> None:
    certificate = ready_with_waiver(desk, signer="ci")
    for approvers in (
        [],
        [desk.key("ci").public_key],
        [desk.key(name).public_key for name in ("ci", "risk")],
    ):
        report = judged(desk, certificate, waiver_keys=approvers)
        assert [reason.code for reason in report.reasons] == ["waiver-self-approved"]
        assert report.exit_code == ExitCode.WAIVER


def test_an_approver_who_also_signed_the_certificate(desk: Desk) -> None:
    data = desk.certify(ready_with_waiver(desk), signers=("ci", "risk"))
    keys = [desk.key("ci").public_key, desk.key("risk").public_key]
    report = desk.verify(data, keys=keys, waiver_keys=keys)
    assert [reason.code for reason in report.reasons] == ["waiver-self-approved"]


def test_not_waivable_here(desk: Desk) -> None:
    nothing = policy(POLICY_TOML.replace('gates = ["fairness.age"]\nmax', "gates = []\nmax"))
    report = judged(desk, ready_with_waiver(desk), policy=nothing)
    assert report.exit_code == ExitCode.POLICY
    assert {reason.code for reason in report.reasons} == {"policy", "waiver-not-allowed"}


def test_too_long_here(desk: Desk) -> None:
    short = policy(POLICY_TOML.replace("max_days = 60", "max_days = 7"))
    report = judged(desk, ready_with_waiver(desk), policy=short)
    assert report.exit_code == ExitCode.POLICY
    assert report.reasons[-1].code == "waiver-not-allowed"


def test_too_many_here(desk: Desk) -> None:
    none = policy(POLICY_TOML.replace("max = 1", "max = 0"))
    report = judged(desk, ready_with_waiver(desk), policy=none)
    assert report.exit_code == ExitCode.POLICY
    assert any("1 waivers are needed and the policy allows 0" in reason.message for reason in report.reasons)


def test_given_for_another_model(desk: Desk) -> None:
    waiver = desk.waiver(subject_digest="f" * 64)
    certificate = desk.build(age_gap=0.2, waivers=[waiver])
    assert certificate.decision.outcome is Readiness.NOT_READY
    report = judged(desk, certificate)
    assert report.exit_code == ExitCode.NOT_READY
    assert report.reasons[-1].code == "waiver-not-allowed"


def test_a_waiver_that_is_not_needed_refuses_nothing(desk: Desk) -> None:
    certificate = desk.build(waivers=[desk.waiver(signer="other")])
    report = judged(desk, certificate)
    assert report.accepted
    assert [note.code for note in report.notes] == ["waiver-untrusted"]
    assert report.waivers == ()


def test_a_lost_waiver_and_a_policy_that_is_not_met_anyway(desk: Desk) -> None:
    asks_more = policy(POLICY_TOML.replace('"performance.auc"]', '"performance.auc", "latency.p99"]', 1))
    report = judged(desk, ready_with_waiver(desk), waiver_keys=[], policy=asks_more)
    assert report.exit_code == ExitCode.POLICY
    assert "waiver-untrusted" in {reason.code for reason in report.reasons}


def test_a_waiver_does_not_cover_a_gate_that_did_not_run(desk: Desk) -> None:
    runs = tuple(run for run in gate_runs((desk.subject(),)) if run.gate_id != "fairness.age")
    certificate = desk.build(runs=runs, waivers=[desk.waiver()])
    assert judged(desk, certificate).exit_code == ExitCode.NOT_READY


def test_an_embedded_text_that_is_no_waiver(desk: Desk) -> None:
    certificate = ready_with_waiver(desk)
    for text in ("", "{}", certificate.waivers[0][:-1]):
        data = signed(desk, certificate_payload(replace(certificate, waivers=(text,))))
        report = desk.verify(data)
        assert [reason.code for reason in report.reasons] == ["statement"]
        assert report.exit_code == ExitCode.MALFORMED


def test_a_decision_with_a_waiver_that_is_not_embedded(desk: Desk) -> None:
    certificate = replace(ready_with_waiver(desk), waivers=())
    assert judged(desk, certificate).exit_code == ExitCode.EVIDENCE


def test_the_longest_lasting_of_two_counts(desk: Desk) -> None:
    short, long = desk.waiver(id="short", expires_at=NOW + timedelta(days=2)), desk.waiver(id="long")
    certificate = desk.build(age_gap=0.2, waivers=[long, short])
    report = judged(desk, certificate, now=NOW + timedelta(days=10))
    assert report.accepted
    assert [waiver.id for waiver in report.waivers] == ["long"]
    assert read_waiver(parse_envelope(long)).id == "long"
