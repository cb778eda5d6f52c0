from __future__ import annotations

import json

import pytest

from plugin.project import GATES, Project
from pytest_prodml.certificate.dsse import valid_signers
from pytest_prodml.certificate.signers.local import load_public_key
from pytest_prodml.codec import sha256_hex
from pytest_prodml.records import Readiness, RunState


def test_ready_run_leaves_signed_certificate_and_views(project: Project) -> None:
    result = project.run()
    assert result.ret == 0
    assert sorted(file.name for file in project.out.iterdir()) == [
        "certificate.html",
        "certificate.json",
        "evidence",
        "summary.md",
    ]
    certificate = project.issued()
    assert certificate.decision.outcome is Readiness.READY
    assert [subject.digest["sha256"] for subject in certificate.subjects] == [sha256_hex(b"a model\n")]
    assert [gate.id for gate in certificate.gates] == ["pipeline.one", "pipeline.two"]
    assert [run.state for run in certificate.runs] == [RunState.PASSED, RunState.PASSED]
    public = load_public_key(project.key.with_suffix(".pub"))
    assert valid_signers(project.envelope(), [public]) == (public,)
    result.stdout.fnmatch_lines(["*production readiness*", "*READY*", "*certificate.json*"])


def test_every_run_leaves_its_log(project: Project) -> None:
    project.run()
    head, inventory, *lines, end, seal = project.log()
    certificate = project.issued()
    assert head["kind"] == "run"
    assert head["runId"] == certificate.run.id
    assert head["policyDigest"] == certificate.decision.policy_digest
    assert [(line["kind"], line["gate"]["id"], line["run"]["state"]) for line in lines] == [
        ("gate-run", "pipeline.one", "passed"),
        ("gate-run", "pipeline.two", "passed"),
    ]
    assert (inventory["kind"], end["kind"], seal["kind"]) == ("inventory", "end", "seal")
    assert [gate["id"] for gate in inventory["gates"]] == ["pipeline.one", "pipeline.two"]
    assert end["run"]["id"] == certificate.run.id
    project.run()
    assert len(list((project.out / "evidence").iterdir())) == 2


def test_log_survives_a_process_that_dies(project: Project) -> None:
    project.write("test_gates.py", GATES.replace("    pass", "    import os; os._exit(0)"))
    project.run(sub=True)
    assert [line["kind"] for line in project.log()] == ["run", "inventory", "gate-run"]
    assert project.log()[-1]["run"]["gateId"] == "pipeline.one"


def test_refused_run_is_signed_as_well(project: Project) -> None:
    project.write("test_gates.py", GATES.replace("pass", "assert False, 'too slow'"))
    result = project.run()
    assert result.ret == 1
    assert project.readiness() is Readiness.NOT_READY
    assert project.envelope().signatures
    [run] = project.runs("pipeline.two")
    assert run.state is RunState.FAILED
    assert "too slow" in run.reason


def test_unsigned_run_says_so_loudly(project: Project) -> None:
    project.configure()
    result = project.run("--prodml-no-sign")
    assert result.ret == 0
    assert not project.envelope().signatures
    result.stdout.fnmatch_lines(["*UNSIGNED*verify*refuses*"])


def test_quiet_run_says_it_in_two_lines(project: Project) -> None:
    result = project.run("-q")
    result.stdout.no_fnmatch_line("*production readiness*")
    assert [line for line in result.outlines if "gates passed" in line or "READY" in line] != []


def test_verdict_is_shown_without_summary(project: Project) -> None:
    project.run("--no-summary").stdout.fnmatch_lines(["*production readiness*", "*READY*"])


def test_collecting_only_decides_nothing(project: Project) -> None:
    project.run()
    before = (project.out / "certificate.json").read_bytes()
    result = project.run("--collect-only")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*production readiness*")
    assert (project.out / "certificate.json").read_bytes() == before


@pytest.mark.parametrize("option", ["--markers", "--fixtures", "--help", "--version"])
def test_listings_do_not_touch_the_certificate(project: Project, option: str) -> None:
    project.run()
    project.write("prodml.toml", "wrong = 1")
    assert project.run(option).ret == 0
    assert project.certificate() is not None


def test_certificate_knows_how_the_run_was_made(project: Project) -> None:
    project.write("test_more.py", "def test_ordinary(): pass\n")
    project.run("--prodml-out", "there", "-k", "not nothing")
    payload = json.loads((project.root / "there" / "certificate.json").read_text())
    assert payload["payloadType"] == "application/vnd.in-toto+json"
    project_there = Project(project.pytester, project.key)
    assert not project_there.out.exists()


def test_run_summary_counts_ordinary_tests_and_names_plugins(project: Project) -> None:
    project.write(
        "test_more.py",
        """
        import pytest
        def test_ordinary(): pass
        def test_other(): pytest.skip("not today")
        def test_dropped(): pass
        """,
    )
    result = project.run("-k", "not dropped")
    run = project.issued().run
    assert result.ret == run.exit_status == 0
    assert run.ordinary_tests == {"deselected": 1, "passed": 1, "skipped": 1}
    assert run.arguments[-2:] == ("-k", "not dropped")
    assert run.workers == 0
    assert run.plugins["pytest-prodml"] == project.issued().producer.version


def test_model_that_changes_meanwhile_is_not_certified(project: Project) -> None:
    project.write("test_gates.py", GATES.replace("    pass", "    open('model.bin', 'w').write('other')"))
    result = project.run()
    assert result.ret == 1
    assert project.certificate() is None
    result.stdout.fnmatch_lines(["NO CERTIFICATE:*changed while the tests ran*"])


def test_directory_can_be_the_model(project: Project) -> None:
    project.write("model/weights.bin", "weights")
    project.write("model/config.json", "{}")
    result = project.run("--prodml-model", "model")
    assert result.ret == 0
    [subject] = project.issued().subjects
    assert subject.name == "model"
    assert "files" in subject.annotations


def test_other_plugin_that_fails_at_the_end_takes_the_certificate_along(project: Project) -> None:
    project.write("conftest.py", "def pytest_sessionfinish(): raise RuntimeError('regression')")
    result = project.run(sub=True)
    assert result.ret != 0
    assert project.certificate() is None


def test_status_that_another_plugin_softens_stays_hard(project: Project) -> None:
    project.write("test_gates.py", GATES.replace("pass", "assert False"))
    project.write("conftest.py", "def pytest_sessionfinish(session): session.exitstatus = 0")
    assert project.run().ret == 1


def test_directory_that_can_not_be_written_is_a_usage_error(project: Project) -> None:
    project.write("taken", "a file where the directory should be")
    result = project.run("--prodml-out", "taken/report")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: *taken/report*can not be made*"])
