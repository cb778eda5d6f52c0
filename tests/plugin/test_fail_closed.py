"""Only a required gate that ran, measured and met its criteria is a pass; everything else is not READY.

Each case changes one thing of a project that is READY (`test_the_project_itself_is_ready`) and states the exit
status, what became of the certificate, and what its verdict says.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from plugin.project import GATES, POLICY, Project
from pytest_prodml.records import Outcome, Readiness, RunState


@dataclass(frozen=True, kw_only=True)
class Case:
    """`two` is the source of the gate ``pipeline.two``; `files` are written beside it."""

    two: str = "@pytest.mark.ml_pipeline\ndef test_two(): pass\n"
    files: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    status: int = 1
    gate: str = "pipeline.two"
    state: RunState | None
    reason: str
    message: str = ""


def gate(body: str, *, mark: str = "", arguments: str = "") -> str:
    return f"{mark}\n@pytest.mark.ml_pipeline\ndef test_two({arguments}):\n    {body}\n"


MEASURED = """
from evidence import evidence

@pytest.mark.ml_pipeline
def test_two(prodml):
    {body}
"""

#: The run ends by itself: there is a certificate, signed, and it says NOT READY.
REFUSED = {
    "assertion": Case(two=gate("assert 1 == 2, 'no'"), state=RunState.FAILED, reason="failed", message="no"),
    "exception": Case(two=gate("{}['x']"), state=RunState.FAILED, reason="failed", message="KeyError: 'x'"),
    "skip": Case(two=gate("pytest.skip('later')"), state=RunState.SKIPPED, reason="skipped", message="later"),
    "skip mark": Case(two=gate("pass", mark="@pytest.mark.skip"), state=RunState.SKIPPED, reason="skipped"),
    "skipif": Case(
        two=gate("pass", mark="@pytest.mark.skipif(True, reason='no GPU')"),
        state=RunState.SKIPPED,
        reason="skipped",
        message="no GPU",
    ),
    "skip in fixture": Case(
        two="@pytest.fixture\ndef data(): pytest.skip('gone')\n" + gate("pass", arguments="data"),
        state=RunState.SKIPPED,
        reason="skipped",
        message="gone",
    ),
    "importorskip": Case(
        two=gate("pytest.importorskip('no_such_module')"), state=RunState.SKIPPED, reason="skipped"
    ),
    "xfail": Case(
        two=gate("assert False", mark="@pytest.mark.xfail(reason='known')"),
        state=RunState.XFAILED,
        reason="xfailed",
        message="known: assert False",
    ),
    "xfail in the body": Case(two=gate("pytest.xfail('bad')"), state=RunState.XFAILED, reason="xfailed"),
    "xfail not run": Case(
        two=gate("pass", mark="@pytest.mark.xfail(run=False)"), state=RunState.XFAILED, reason="xfailed"
    ),
    "xpass": Case(two=gate("pass", mark="@pytest.mark.xfail"), state=RunState.XPASSED, reason="xpassed"),
    "xpass strict": Case(
        two=gate("pass", mark="@pytest.mark.xfail(strict=True)"), state=RunState.XPASSED, reason="xpassed"
    ),
    "fixture error": Case(
        two="@pytest.fixture\ndef data(): raise OSError('gone')\n" + gate("pass", arguments="data"),
        state=RunState.ERRORED,
        reason="errored",
        message="OSError: gone",
    ),
    "fixture missing": Case(
        two=gate("pass", arguments="nobody"),
        state=RunState.ERRORED,
        reason="errored",
        message="fixture 'nobody' not found",
    ),
    "teardown error": Case(
        two="@pytest.fixture\ndef data():\n    yield\n    raise OSError('left')\n"
        + gate("pass", arguments="data"),
        state=RunState.ERRORED,
        reason="errored",
        message="OSError: left",
    ),
    "subtest": Case(
        two=gate("with subtests.test(): assert False", arguments="subtests"),
        state=RunState.FAILED,
        reason="failed",
    ),
    "skipped subtest": Case(
        two=gate("with subtests.test(): pytest.skip('part')", arguments="subtests"),
        state=RunState.SKIPPED,
        reason="skipped",
        message="part",
    ),
    "timeout": Case(
        two=gate("import time; time.sleep(30)", mark="@pytest.mark.timeout(0.2, method='signal')"),
        arguments=("-p", "timeout"),
        state=RunState.TIMED_OUT,
        reason="timed_out",
    ),
    "-k": Case(arguments=("-k", "one"), state=RunState.DESELECTED, reason="deselected"),
    "-m": Case(
        two=gate("pass", mark="@pytest.mark.filterwarnings('error')"),
        arguments=("-m", "not filterwarnings"),
        state=RunState.DESELECTED,
        reason="deselected",
    ),
    "--deselect": Case(
        arguments=("--deselect", "test_gates.py::test_two"), state=RunState.DESELECTED, reason="deselected"
    ),
    "node id": Case(arguments=("test_gates.py::test_one",), state=None, reason="not-collected"),
    "other file": Case(
        files={"test_other.py": "def test_ordinary(): pass\n"},
        arguments=("test_other.py",),
        state=None,
        reason="not-collected",
    ),
    "--ignore": Case(arguments=("--ignore=test_gates.py",), status=1, state=None, reason="not-collected"),
    "silently removed": Case(
        files={"conftest.py": "def pytest_collection_modifyitems(items): del items[1:]\n"},
        state=RunState.DESELECTED,
        reason="deselected",
    ),
    "marker gone": Case(two="def test_two(): pass\n", state=None, reason="not-collected"),
    "renamed": Case(two="@pytest.mark.ml_pipeline\ndef test_2(): pass\n", state=None, reason="not-collected"),
    "--setup-only": Case(arguments=("--setup-only",), state=RunState.NOT_RUN, reason="not_run"),
    "--setup-plan": Case(arguments=("--setup-plan",), state=RunState.NOT_RUN, reason="not_run"),
    "protocol taken over": Case(
        files={
            "conftest.py": "def pytest_runtest_protocol(item): return True if 'two' in item.name else None\n"
        },
        state=RunState.NOT_RUN,
        reason="not_run",
    ),
    "severity lowered": Case(
        two=gate("pytest.skip('x')").replace("ml_pipeline", "ml_pipeline(severity='info')"),
        state=RunState.SKIPPED,
        reason="skipped",
    ),
    "nothing measured": Case(
        two=gate("pass", arguments="prodml"), state=RunState.PASSED, reason="no-evidence"
    ),
    "nothing measured with a dimension's fixture": Case(
        two=gate("pass", arguments="ml_pipeline"), state=RunState.PASSED, reason="no-evidence"
    ),
    "refuted": Case(
        two=MEASURED.format(body="prodml.record(evidence(prodml.gate_id, limit=0.999))"),
        state=RunState.FAILED,
        reason="refuted",
        message="accuracy = 0.95 [0.9, 0.99], must be at least 0.999",
    ),
    "not enough data": Case(
        two=MEASURED.format(body="prodml.record(evidence(prodml.gate_id, limit=0.93, n_required=400))"),
        state=RunState.FAILED,
        reason="not-proven",
        message="about 400 would decide",
    ),
    "refuted and swallowed": Case(
        two=MEASURED.format(
            body="with pytest.raises(pytest.fail.Exception):\n"
            "        prodml.record(evidence(prodml.gate_id, limit=0.999))"
        ),
        state=RunState.PASSED,
        reason="refuted",
    ),
    "measured well and failed otherwise": Case(
        two=MEASURED.format(body="prodml.record(evidence(prodml.gate_id)); assert False, 'but'"),
        state=RunState.FAILED,
        reason="failed",
        message="but",
    ),
    "NaN": Case(
        two=MEASURED.format(body="prodml.record(evidence(prodml.gate_id, value=float('nan')))"),
        state=RunState.ERRORED,
        reason="errored",
        message="accuracy is NaN",
    ),
    "infinite": Case(
        two=MEASURED.format(body="prodml.record(evidence(prodml.gate_id, lower=float('inf')))"),
        state=RunState.ERRORED,
        reason="errored",
        message="inf is not a finite number",
    ),
    "no evidence object": Case(
        two=MEASURED.format(body="prodml.record({'accuracy': 0.95})"),
        state=RunState.ERRORED,
        reason="errored",
        message="expected Evidence, got dict",
    ),
    "evidence of another gate": Case(
        two=MEASURED.format(body="prodml.record(evidence('pipeline.one'))"),
        state=RunState.ERRORED,
        reason="errored",
        message="the evidence is of the gate 'pipeline.one'",
    ),
    "name that can not be seen": Case(
        two=MEASURED.format(body="prodml.record(evidence(prodml.gate_id, metric='a\\u202eb'))"),
        state=RunState.ERRORED,
        reason="errored",
        message="can not be seen",
    ),
    "policy's own limit": Case(
        two=MEASURED.format(body="prodml.record(evidence(prodml.gate_id))"),
        files={
            "policy.toml": POLICY
            + '[[limit]]\ngate = "pipeline.two"\nmetric = "accuracy"\nat_least = 0.999\n'
        },
        state=RunState.FAILED,
        reason="refuted",
        message="must be at least 0.999",
    ),
    "policy limits what is not measured": Case(
        two=MEASURED.format(body="prodml.record(evidence(prodml.gate_id))"),
        files={
            "policy.toml": POLICY + '[[limit]]\ngate = "pipeline.two"\nmetric = "recall"\nat_least = 0.9\n'
        },
        state=RunState.PASSED,
        reason="no-measurement",
    ),
    "missing data file": Case(
        two="def test_two(ml_performance):\n    ml_performance.at_least('roc_auc', 0.5)\n",
        files={
            "policy.toml": POLICY.replace("pipeline.two", "performance.two"),
            "conftest.py": "import pytest\n@pytest.fixture(scope='session')\ndef prodml_model(): return object()\n",
        },
        gate="performance.two",
        state=RunState.ERRORED,
        reason="errored",
        message="no test data is configured",
    ),
}


def test_the_project_itself_is_ready(project: Project) -> None:
    assert project.run().ret == 0
    assert project.readiness() is Readiness.READY


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refused(project: Project, case: Case) -> None:
    if "subtests" in case.two and not hasattr(pytest, "Subtests"):
        pytest.skip("subtests came with pytest 9")
    arrange(project, case)
    result = project.run(*case.arguments)
    assert result.ret == case.status
    check_refused(project, case)


def arrange(project: Project, case: Case) -> None:
    one = GATES.partition("@pytest.mark.ml_pipeline\ndef test_two")[0]
    project.write("test_gates.py", f"{one}\n{case.two}")
    for path, text in case.files.items():
        project.write(path, text)


def check_refused(project: Project, case: Case) -> None:
    assert project.readiness() is Readiness.NOT_READY
    assert project.envelope().signatures
    verdict = project.verdict(case.gate)
    assert verdict.outcome is not Outcome.PASS
    assert verdict.required
    assert verdict.reason == case.reason
    assert case.message in verdict.message
    assert {run.state for run in project.runs(case.gate)} == ({case.state} if case.state else set())


XDIST = ["skip", "xpass strict", "teardown error", "-k", "NaN", "refuted"]


@pytest.mark.parametrize("name", XDIST)
def test_refused_by_workers_as_well(project: Project, name: str) -> None:
    case = REFUSED[name]
    arrange(project, case)
    assert project.run("-n1", *case.arguments).ret == case.status
    check_refused(project, case)


@pytest.mark.parametrize("arguments", [(), ("-n1",)], ids=["one", "xdist"])
def test_zero_tests_collected(project: Project, arguments: tuple[str, ...]) -> None:
    (project.root / "test_gates.py").unlink()
    result = project.run(*arguments)
    assert result.ret == 1
    assert project.readiness() is Readiness.NOT_READY
    assert {verdict.reason for verdict in project.issued().decision.verdicts} == {"not-collected"}


def test_ordinary_test_that_fails(project: Project) -> None:
    project.write("test_other.py", "def test_it(): assert False\n")
    assert project.run().ret == 1
    assert project.readiness() is Readiness.NOT_READY
    assert project.issued().decision.reasons == ("1 test that is no gate failed",)
    assert all(verdict.outcome is Outcome.PASS for verdict in project.issued().decision.verdicts)


def test_ordinary_tests_that_the_policy_ignores(project: Project) -> None:
    project.write("test_other.py", "def test_it(): assert False\n")
    project.write("policy.toml", POLICY.replace("[require]", 'ordinary_tests = "ignored"\n[require]'))
    assert project.run().ret == 1, "pytest's own status stays"
    assert project.readiness() is Readiness.READY


def test_rerun_that_passes_does_not_hide_the_failure(project: Project) -> None:
    project.write(
        "test_gates.py",
        GATES.replace(
            "    pass", "    import os\n    if not os.path.exists('x'): open('x', 'w'); assert False"
        ),
    )
    project.write("conftest.py", RERUN)
    result = project.run()
    result.stdout.fnmatch_lines(["*2 passed, 1 rerun*"])
    assert result.ret == 1
    assert project.readiness() is Readiness.NOT_READY
    assert project.verdict("pipeline.two").reason == "rerun"
    assert [run.state for run in project.runs("pipeline.two")] == [RunState.FAILED, RunState.PASSED]


#: What pytest-rerunfailures does, without the dependency: a failed attempt is reported as "rerun".
RERUN = """
import pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    for attempt in range(2):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failed = [report for report in reports if report.failed]
        for report in reports:
            if report.failed and attempt == 0:
                report.outcome = "rerun"
            item.ihook.pytest_runtest_logreport(report=report)
            if report.outcome == "rerun":
                break
        if not failed:
            break
    return True
"""


INTERRUPTED = {
    "-x": (gate("assert False"), ("-x",), 1, "stopping after 1 failures"),
    "--maxfail": (gate("assert False"), ("--maxfail=1",), 1, "stopping after 1 failures"),
    "Ctrl-C": (gate("raise KeyboardInterrupt"), (), 2, "interrupted from the keyboard"),
    "pytest.exit": (gate("pytest.exit('enough')"), (), 2, "pytest.exit: enough"),
    "pytest.exit with 0": (gate("pytest.exit('enough', returncode=0)"), (), 1, "pytest.exit: enough"),
    "should stop": (gate("request.session.shouldstop = 'full'", arguments="request"), (), 2, "full"),
    "collection error": ("import no_such_module\n", (), 2, "1 error during collection"),
    "syntax error": ("def def\n", (), 2, "1 error during collection"),
    "interrupt while collecting": ("raise KeyboardInterrupt\n", (), 2, "did not get as far"),
    "continued after collection errors": (
        "import no_such_module\n",
        ("--continue-on-collection-errors",),
        1,
        "1 error during collection",
    ),
}


@pytest.mark.parametrize(("two", "arguments", "status", "why"), INTERRUPTED.values(), ids=INTERRUPTED)
def test_interrupted_run_leaves_no_certificate(
    project: Project, two: str, arguments: tuple[str, ...], status: int, why: str
) -> None:
    project.run()
    assert project.certificate() is not None
    project.write("test_more.py", "import pytest\n" + two.replace("two", "three"))
    # A KeyboardInterrupt in this process would end these tests.
    result = project.run(*arguments, sub="KeyboardInterrupt" in two)
    assert result.ret == status
    assert [file.name for file in project.out.iterdir()] == ["evidence"]
    result.stdout.fnmatch_lines([f"NO CERTIFICATE:*{why}*"])


def test_exit_with_0_while_collecting_is_no_success(project: Project) -> None:
    project.run()
    project.write(
        "conftest.py",
        "import pytest\ndef pytest_collection_modifyitems(): pytest.exit('early', returncode=0)\n",
    )
    result = project.run()
    assert result.ret == 1
    assert project.certificate() is None
    result.stdout.fnmatch_lines(["NO CERTIFICATE: the run did not get as far as its tests"])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise KeyboardInterrupt", "keyboard-interrupt"),
        ("pytest.exit('enough')", "keyboard-interrupt"),
        ("assert False", "stopping after 1 failures"),
    ],
)
def test_interrupted_workers_leave_no_certificate(project: Project, body: str, why: str) -> None:
    project.run()
    project.write("test_gates.py", GATES.replace("    pass", f"    {body}"))
    result = project.run("-n1", "-x")
    assert result.ret != 0
    assert project.certificate() is None
    result.stdout.fnmatch_lines([f"NO CERTIFICATE:*{why}*"])


def test_collection_error_under_xdist_leaves_no_certificate(project: Project) -> None:
    project.run()
    project.write("test_broken.py", "import no_such_module\n")
    result = project.run("-n1")
    assert result.ret == 1
    assert project.certificate() is None
    result.stdout.fnmatch_lines(["NO CERTIFICATE: 1 error during collection"])


@pytest.mark.parametrize(
    "argument", ["--no-such-option", "no_such_file.py", "test_gates.py::no_such_test", "-pno_such_plugin"]
)
def test_usage_error_of_pytest_leaves_no_certificate(project: Project, argument: str) -> None:
    project.run()
    result = project.run(argument, sub=True)
    assert result.ret != 0
    if argument != "-pno_such_plugin":  # Stops before any plugin is loaded.
        assert project.certificate() is None


def test_broken_conftest_leaves_no_certificate(project: Project) -> None:
    project.run()
    project.write("conftest.py", "import no_such_module\n")
    assert project.run(sub=True).ret == 4
    assert project.certificate() is None


@pytest.mark.parametrize("text", ["unknown = 1", 'policy = "nowhere.toml"'])
def test_usage_error_of_ours_leaves_no_certificate(project: Project, text: str) -> None:
    project.run()
    project.write("prodml.toml", text)
    assert project.run().ret == 4
    assert project.certificate() is None


def test_process_that_dies_leaves_no_certificate(project: Project) -> None:
    project.run()
    project.write("test_gates.py", GATES.replace("    pass", "    import os; os._exit(0)"))
    assert project.run(sub=True).ret == 0, "nobody can change the status of a process that left"
    assert project.certificate() is None


def test_worker_that_dies_is_a_crash(project: Project) -> None:
    project.write("test_gates.py", GATES.replace("    pass", "    import os; os._exit(0)"))
    result = project.run("-n1")
    assert result.ret == 1
    check_refused(project, Case(state=RunState.CRASHED, reason="crashed", message="worker 'gw0' crashed"))
    assert project.issued().run.inventory_complete, "by the worker that took its place"


def test_worker_that_is_killed_is_a_crash(project: Project) -> None:
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    project.write("test_gates.py", GATES.replace("    pass", f"    {kill}"))
    result = project.run("-n2")
    assert result.ret == 1
    check_refused(project, Case(state=RunState.CRASHED, reason="crashed"))
    assert project.verdict("pipeline.one").outcome is Outcome.PASS


def test_inventory_that_never_arrives(project: Project) -> None:
    project.write("test_gates.py", GATES.replace("    pass", "    import os; os._exit(0)"))
    result = project.run("-n1", "--max-worker-restart=0")
    assert result.ret == 1
    assert not project.issued().run.inventory_complete
    assert project.readiness() is Readiness.NOT_READY
    assert any("did not arrive" in reason for reason in project.issued().decision.reasons)
    assert [gate.id for gate in project.issued().gates] == ["pipeline.one", "pipeline.two"], (
        "reports named them"
    )
