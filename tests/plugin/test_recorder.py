"""Evidence of one's own through the `prodml` fixture, with and without ``--prodml``."""

from __future__ import annotations

import pytest

from plugin.project import Project
from pytest_prodml.plugin.gates import seed_of
from pytest_prodml.records import Evidence, Readiness, RunState

HEAD = "import pytest\nfrom evidence import evidence\n"


def gate(body: str, *, marker: str = "ml_pipeline") -> str:
    return f"{HEAD}\n@pytest.mark.{marker}\ndef test_one(prodml):\n    {body}\n"


@pytest.fixture
def one(project: Project) -> Project:
    """A project whose policy requires ``pipeline.one`` only."""
    project.write("policy.toml", 'name = "p"\nversion = "1"\n[require]\ngates = ["pipeline.one"]\n')
    project.write("test_gates.py", gate("prodml.record(evidence(prodml.gate_id))"))
    return project


def evidence_of(project: Project) -> Evidence:
    [run] = project.runs("pipeline.one")
    assert run.evidence is not None
    return run.evidence


def test_evidence_is_recorded_with_its_circumstances(one: Project) -> None:
    one.configure("seed = 3")
    assert one.run().ret == 0
    certificate = one.issued()
    evidence = evidence_of(one)
    assert evidence.gate_id == "pipeline.one"
    assert [item.value for item in evidence.measurements] == [0.95]
    assert list(certificate.environments) == [evidence.environment_digest]
    assert evidence.started_at is not None
    assert certificate.started_at <= evidence.started_at <= certificate.issued_at
    assert evidence.duration_seconds is not None
    assert evidence.seed == seed_of("pipeline.one", 3)


def test_environment_is_only_captured_for_measurements(project: Project) -> None:
    project.run()
    assert project.issued().environments == {}


def test_log_holds_evidence_and_environment(one: Project) -> None:
    one.run()
    kinds = ["run", "inventory", "environment", "gate-run", "end", "seal"]
    assert [line["kind"] for line in one.log()] == kinds
    assert one.log()[2]["digest"] == one.log()[3]["run"]["evidence"]["environmentDigest"]


def test_several_checks_of_one_gate_are_one_evidence(one: Project) -> None:
    one.write(
        "test_gates.py",
        gate(
            """from dataclasses import replace
    first = evidence(prodml.gate_id)
    prodml.record(replace(first, details={"curve": [1, 2], "same": 1}))
    second = evidence(prodml.gate_id, metric="recall", group="women")
    prodml.record(replace(second, details={"curve": [3], "same": 1}))"""
        ),
    )
    assert one.run().ret == 0
    evidence = evidence_of(one)
    assert [(item.metric, item.group) for item in evidence.measurements] == [
        ("accuracy", None),
        ("recall", "women"),
    ]
    assert len(evidence.criteria) == 2
    assert evidence.details == {"curve": [1, 2], "same": 1, "curve (2)": [3]}


@pytest.mark.parametrize("phase", ["setup", "teardown"])
def test_evidence_of_a_fixture_counts(one: Project, phase: str) -> None:
    body = ["    prodml.record(evidence(prodml.gate_id))", "    yield"]
    lines = "\n".join(body if phase == "setup" else reversed(body))
    one.write(
        "test_gates.py",
        f"""{HEAD}
@pytest.fixture
def measured(prodml):
{lines}

@pytest.mark.ml_pipeline
def test_one(measured): pass
""",
    )
    assert one.run().ret == 0
    assert len(evidence_of(one).measurements) == 1


def test_required_gate_fails_where_it_stands(one: Project) -> None:
    one.write(
        "test_gates.py",
        gate("prodml.record(evidence(prodml.gate_id, limit=0.999))\n    assert 0, 'not here'"),
    )
    result = one.run()
    result.stdout.fnmatch_lines(["pipeline.one: fail: accuracy = 0.95 *must be at least 0.999"])
    result.stdout.no_fnmatch_line("*not here*")


@pytest.mark.parametrize("severity", ["warn", "info"])
def test_other_severities_warn_and_go_on(one: Project, severity: str) -> None:
    source = gate(
        "prodml.record(evidence(prodml.gate_id, limit=0.999))\n    print('went on')",
        marker=f"ml_pipeline(severity='{severity}', gate='pipeline.soft')",
    )
    one.write("test_soft.py", source)
    result = one.run("-W", "default", "-s")
    assert result.ret == 0
    assert one.readiness() is Readiness.READY
    result.stdout.fnmatch_lines(["*went on*", "*ProdmlGateWarning: pipeline.soft: fail: accuracy = 0.95*"])
    assert one.verdict("pipeline.soft").reason == "refuted"


def test_gate_that_the_policy_requires_is_required_whatever_its_severity(one: Project) -> None:
    body = "prodml.record(evidence(prodml.gate_id, limit=0.999))"
    one.write("test_gates.py", gate(body, marker="ml_pipeline(severity='info')"))
    result = one.run()
    result.assert_outcomes(failed=1)
    assert one.readiness() is Readiness.NOT_READY


def test_policy_limit_on_a_later_check_waits_for_it(one: Project) -> None:
    limit = '[[limit]]\ngate = "pipeline.one"\nmetric = "recall"\nat_least = 0.8\n'
    one.write("policy.toml", (one.root / "policy.toml").read_text() + limit)
    body = "prodml.record(evidence(prodml.gate_id))\n    prodml.record(evidence(prodml.gate_id, metric='recall'))"
    one.write("test_gates.py", gate(body))
    assert one.run().ret == 0


def test_level_of_the_policy_reaches_the_test(one: Project) -> None:
    text = (one.root / "policy.toml").read_text()
    one.write("policy.toml", text.replace("[require]", "confidence_level = 0.99\n[require]"))
    one.write("test_gates.py", gate("assert prodml.confidence_level == 0.99"))
    one.run("-n1").assert_outcomes(passed=1)


@pytest.mark.parametrize("arguments", [("--prodml",), ()], ids=["active", "idle"])
def test_recorder_needs_a_gate(one: Project, arguments: tuple[str, ...]) -> None:
    one.write("test_gates.py", "def test_one(prodml): pass\n")
    result = one.idle(*arguments)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*test_gates.py::test_one: records evidence but is no gate*", "*ml_data*"])


@pytest.mark.parametrize(("limit", "outcome"), [(0.8, "passed"), (0.999, "failed")])
def test_without_the_option_gates_are_checked_and_nothing_is_written(
    one: Project, limit: float, outcome: str
) -> None:
    one.write("test_gates.py", gate(f"prodml.record(evidence(prodml.gate_id, limit={limit}))"))
    one.write("prodml.toml", "confidence_level = 0.95\n")
    result = one.idle()
    result.assert_outcomes(**{outcome: 1})
    assert not one.out.exists()
    result.stdout.no_fnmatch_line("*production readiness*")


def test_without_the_option_the_marker_still_says_who_one_is(one: Project) -> None:
    one.write("prodml.toml", "seed = 5\n")
    seed = seed_of("pipeline.renamed", 5)
    body = f"assert (prodml.gate_id, prodml.seed) == ('pipeline.renamed', {seed})"
    one.write("test_gates.py", gate(body, marker="ml_pipeline(gate='pipeline.renamed')"))
    one.idle().assert_outcomes(passed=1)


def test_wrong_configuration_is_an_error_of_the_fixture_without_the_option(one: Project) -> None:
    one.write("prodml.toml", "sed = 5\n")
    one.write("test_ordinary.py", "def test_it(): pass\n")
    result = one.idle()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*unknown field 'sed'; did you mean 'seed'?*"])


def test_retried_attempt_keeps_its_own_evidence(one: Project) -> None:
    one.write(
        "test_gates.py",
        gate(
            """import os
    again = os.path.exists("tried")
    open("tried", "w").close()
    prodml.record(evidence(prodml.gate_id, limit=0.8 if again else 0.999))"""
        ),
    )
    pytest.importorskip("pytest_rerunfailures")
    result = one.run("-p", "rerunfailures", "--reruns=1")
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    assert [
        (run.state, run.evidence.criteria[0].limit) for run in one.runs("pipeline.one") if run.evidence
    ] == [
        (RunState.FAILED, 0.999),
        (RunState.PASSED, 0.8),
    ]
    assert one.verdict("pipeline.one").reason == "rerun"
