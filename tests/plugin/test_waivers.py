"""A signed waiver lets a gate's known result pass, and nothing else does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from plugin.project import GATES, POLICY, Project
from pytest_prodml.certificate.digest import file_subject
from pytest_prodml.certificate.signers.local import generate, load_signing_key
from pytest_prodml.certificate.waiver import make_waiver_envelope
from pytest_prodml.records import Outcome, Readiness, RunState, Waiver

ALLOWING = POLICY + '[waivers]\ngates = ["pipeline.*"]\nmax = 1\nmax_days = 60\n'


@dataclass(frozen=True)
class Office:
    """The approver's desk: `grant` puts a signed waiver into the project."""

    project: Project
    key: Path

    def grant(
        self, *, name: str = "w", gate_id: str = "pipeline.two", key: Path | None = None, days: int = 30
    ) -> Waiver:
        now = datetime.now(UTC).replace(microsecond=0)
        issued = now - timedelta(days=1)
        waiver = Waiver(
            id=f"W-{name}",
            gate_id=gate_id,
            subject_digest=file_subject(self.project.root / "model.bin").digest["sha256"],
            reason="the vendor fixes it in May",
            approver="Risk",
            issued_at=issued,
            expires_at=issued + timedelta(days=days),
        )
        data = make_waiver_envelope(waiver, load_signing_key(key or self.key))
        (self.project.root / "waivers").mkdir(exist_ok=True)
        (self.project.root / "waivers" / f"{name}.json").write_bytes(data)
        return waiver


@pytest.fixture
def office(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Office:
    keys = generate(tmp_path_factory.mktemp("approver") / "risk")
    project.write("policy.toml", ALLOWING)
    project.write("test_gates.py", GATES.replace("pass", "assert False, 'gap'"))
    project.configure(f'waivers = ["waivers/*.json"]\nwaiver_keys = ["{keys.public}"]')
    return Office(project, keys.private)


@pytest.mark.parametrize("arguments", [(), ("-n1",)], ids=["one", "xdist"])
def test_waived_gate_is_an_expected_failure(office: Office, arguments: tuple[str, ...]) -> None:
    office.grant()
    result = office.project.run("-rx", *arguments)
    assert result.ret == 0
    result.assert_outcomes(passed=1, xfailed=1)
    result.stdout.fnmatch_lines(["XFAIL *test_two - waived by Risk until *: the vendor fixes it in May"])
    certificate = office.project.issued()
    assert certificate.decision.outcome is Readiness.READY_WITH_WAIVERS
    assert len(certificate.waivers) == 1
    verdict = office.project.verdict("pipeline.two")
    assert (verdict.outcome, verdict.waiver_id) == (Outcome.FAIL, "W-w")
    [run] = office.project.runs("pipeline.two")
    assert (run.state, run.reason) == (RunState.FAILED, "gap assert False")


def test_waived_test_goes_on_measuring(office: Office) -> None:
    office.grant()
    office.project.write(
        "test_gates.py",
        GATES.partition("@pytest.mark.ml_pipeline\ndef test_two")[0]
        + """
from evidence import evidence

@pytest.mark.ml_pipeline
def test_two(prodml):
    prodml.record(evidence(prodml.gate_id, limit=0.999))
    prodml.record(evidence(prodml.gate_id, metric="recall"))
""",
    )
    result = office.project.run()
    assert result.ret == 0
    result.assert_outcomes(passed=1, xfailed=1)
    [run] = office.project.runs("pipeline.two")
    assert run.state is RunState.PASSED
    assert run.evidence is not None
    assert [item.metric for item in run.evidence.measurements] == ["accuracy", "recall"]
    assert office.project.verdict("pipeline.two").outcome is Outcome.FAIL


def test_waiver_that_is_not_needed_changes_nothing(office: Office) -> None:
    office.grant()
    office.project.write("test_gates.py", GATES)
    result = office.project.run()
    result.assert_outcomes(passed=2)
    assert office.project.readiness() is Readiness.READY


NOT_WAIVED = {
    "skipped": "pytest.skip('x')",
    "input error": "from pytest_prodml.errors import InputError; raise InputError('no rows')",
    "xfail": "pytest.xfail('x')",
}


@pytest.mark.parametrize("body", NOT_WAIVED.values(), ids=NOT_WAIVED)
def test_what_did_not_run_has_no_result_to_accept(office: Office, body: str) -> None:
    office.grant()
    office.project.write("test_gates.py", GATES.replace("pass", body))
    assert office.project.run().ret == 1
    assert office.project.readiness() is Readiness.NOT_READY


def test_waiver_by_a_stranger(office: Office, tmp_path: Path) -> None:
    office.grant(key=generate(tmp_path / "stranger").private)
    _refuses(office, "*waivers/w.json: is not signed by an approver that is trusted here*")


def test_waiver_by_the_signer_of_the_certificate(office: Office) -> None:
    project = office.project
    public = project.key.with_suffix(".pub")
    project.configure(f'waivers = ["waivers/*.json"]\nwaiver_keys = ["{public}"]')
    office.grant(key=project.key)
    _refuses(office, "*nobody approves their own exception*")


def test_waiver_for_another_gate(office: Office) -> None:
    office.grant(gate_id="pipeline.one")
    _refuses(office, "*production readiness*")


@pytest.mark.parametrize("days", [1, 61], ids=["expired", "too long"])
def test_waiver_out_of_its_time(office: Office, days: int) -> None:
    office.grant(days=days)
    _refuses(office, "*W-w for pipeline.two does not count*")


def test_waiver_for_another_model(office: Office) -> None:
    office.grant()
    office.project.write("model.bin", "the next model")
    _refuses(office, "*W-w for pipeline.two does not count*")


def test_policy_that_allows_no_waivers(office: Office) -> None:
    office.grant()
    office.project.write("policy.toml", POLICY)
    _refuses(office, "*W-w for pipeline.two does not count*")


def test_more_waivers_than_the_policy_allows(office: Office) -> None:
    office.grant(name="one", gate_id="pipeline.one")
    office.grant(name="two")
    office.project.write(
        "test_gates.py",
        """
        import pytest

        @pytest.mark.ml_pipeline
        @pytest.mark.parametrize("n", [1])
        def test_other(n): pass

        @pytest.mark.ml_pipeline
        def test_one(): assert False

        @pytest.mark.ml_pipeline
        def test_two(): assert False
        """,
    )
    assert office.project.run().ret == 1
    assert any("2 waivers are needed" in reason for reason in office.project.issued().decision.reasons)


@pytest.mark.parametrize("text", ["", "{}", "not json"])
def test_file_that_is_no_waiver(office: Office, text: str) -> None:
    office.project.write("waivers/w.json", text)
    _refuses(office, "*a waiver does not count: waivers/w.json*")


def test_named_waiver_that_is_missing(office: Office) -> None:
    text = (office.project.root / "prodml.toml").read_text()
    office.project.write("prodml.toml", text.replace("waivers/*.json", "waivers/w.json"))
    _refuses(office, "waivers/w.json: there is no such waiver")


def test_key_of_an_approver_that_is_missing(office: Office) -> None:
    office.project.configure('waiver_keys = ["nowhere.pub"]')
    result = office.project.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: *nowhere.pub: the key can not be read*"])


def _refuses(office: Office, told: str) -> None:
    result = office.project.run()
    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=1)
    assert office.project.readiness() is Readiness.NOT_READY
    assert office.project.verdict("pipeline.two").waiver_id is None
    result.stdout.fnmatch_lines([told])
