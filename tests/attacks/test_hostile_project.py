"""A conftest.py that wants to ship: what is detected when the run is made, and what the verifier detects.

Tests and conftest files are code that runs in the process of the harness, so nothing here is a wall: a conftest that
replaces the recorder can write any evidence. What that leaves, and who stops it, is in the threat model.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from plugin.project import GATES, Project
from pytest_prodml.records import Readiness

FAILING = GATES.replace("    pass", "    assert False, 'broken'")
MEASURED = """
import pytest
from evidence import evidence

@pytest.mark.ml_pipeline
def test_one(): pass

@pytest.mark.ml_pipeline
def test_two(prodml):
    prodml.record(evidence(prodml.gate_id, value=0.7, lower=0.6, limit=0.8))
"""


@dataclass(frozen=True)
class Attack:
    """A conftest, the tests it goes with, and the reason code that must stand against it."""

    conftest: str
    reasons: tuple[str, ...]
    gates: str = FAILING
    files: dict[str, str] = field(default_factory=dict)


ATTACKS = {
    "the failing gate is taken out of the collection": Attack(
        conftest="""
        def pytest_collection_modifyitems(items):
            items[:] = [item for item in items if "two" not in item.name]
        """,
        reasons=("deselected",),
    ),
    "the failing gate is not collected at all": Attack(
        conftest="""
        def pytest_pycollect_makeitem(name):
            return [] if name == "test_two" else None
        """,
        reasons=("not-collected",),
    ),
    "the file with the failing gate is ignored": Attack(
        conftest='collect_ignore = ["test_more.py"]',
        gates=GATES.partition("@pytest.mark.ml_pipeline\ndef test_two")[0],
        files={
            "test_more.py": "import pytest\n@pytest.mark.ml_pipeline\ndef test_two(): assert False\n",
        },
        reasons=("not-collected",),
    ),
    "the test is reported without being run": Attack(
        conftest="""
        def pytest_runtest_protocol(item, nextitem):
            return True if "two" in item.name else None
        """,
        reasons=("not_run",),
    ),
    "the call is skipped silently": Attack(
        conftest="""
        import pytest
        @pytest.hookimpl(tryfirst=True)
        def pytest_pyfunc_call(pyfuncitem):
            return True if "two" in pyfuncitem.name else None
        """,
        gates=MEASURED,
        reasons=("no-evidence",),
    ),
    "reports are rewritten": Attack(
        conftest="""
        import pytest
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            report.outcome, report.longrepr = "passed", None
            return report
        """,
        reasons=("failed", "errored"),
    ),
    "reports are rewritten as late as possible": Attack(
        conftest="""
        import pytest
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logreport(report):
            report.outcome = "passed"
        """,
        reasons=("failed", "errored"),
    ),
    "every exception is swallowed": Attack(
        conftest="""
        import pytest
        @pytest.hookimpl(wrapper=True)
        def pytest_pyfunc_call(pyfuncitem):
            try:
                return (yield)
            except BaseException:
                return True
        """,
        gates=MEASURED,
        reasons=("not-proven", "refuted"),
    ),
    "the failing test is marked as expected to fail": Attack(
        conftest="""
        import pytest
        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.xfail)
        """,
        reasons=("xfailed",),
    ),
    "the gate is turned into information": Attack(
        conftest="""
        import pytest
        def pytest_collection_modifyitems(items):
            for item in items:
                item.own_markers[:] = [pytest.mark.ml_pipeline(severity="info").mark]
        """,
        reasons=("failed",),
    ),
    "the gate that passes takes the name of the one that fails": Attack(
        conftest="",
        gates="""
import pytest
@pytest.mark.ml_pipeline
def test_one(): pass
@pytest.mark.ml_pipeline(gate="pipeline.two")
def test_easy(): pass
@pytest.mark.ml_pipeline(gate="pipeline.hard")
def test_two(): assert False
""",
        reasons=("failed",),
    ),
    "a retry decides": Attack(
        conftest="""
        import pytest
        def pytest_runtest_protocol(item, nextitem):
            from _pytest.runner import runtestprotocol
            for _ in range(2):
                runtestprotocol(item, nextitem=nextitem)
            return True
        """,
        gates=GATES.replace(
            "    pass",
            "    import pathlib\n    seen = pathlib.Path('seen')\n    there = seen.exists()\n    seen.touch()\n    assert there",
        ),
        reasons=("rerun",),
    ),
    "the model in memory is another one": Attack(
        conftest="""
        import pytest
        @pytest.fixture(scope="session")
        def prodml_model():
            return lambda rows: rows["score"]
        @pytest.fixture(scope="session")
        def prodml_test():
            import pandas as pd
            return pd.DataFrame({"score": [0.1, 0.9] * 500}), pd.Series([0, 1] * 500, name="y")
        """,
        gates="""
import pytest
@pytest.mark.ml_pipeline
def test_one(): pass
@pytest.mark.ml_performance(gate="performance.two")
def test_two(ml_performance): ml_performance.at_least("roc_auc", 0.6)
""",
        files={
            "policy.toml": 'name = "p"\nversion = "1"\n[require]\ngates = ["performance.two"]\n',
        },
        reasons=("unbound-model",),
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_refused(project: Project, name: str) -> None:
    attack = ATTACKS[name]
    project.write("test_gates.py", attack.gates)
    project.write("conftest.py", attack.conftest)
    for path, text in attack.files.items():
        project.write(path, text)
    result = project.run(sub=True)
    assert result.ret != 0
    assert project.readiness() is not Readiness.READY
    reasons = {verdict.reason for verdict in project.issued().decision.verdicts if verdict.outcome != "pass"}
    assert reasons & set(attack.reasons), (reasons, result.stdout.str())


@pytest.mark.parametrize(
    "conftest",
    [
        # The judge of this process says yes to everything.
        """
        from pytest_prodml.policy import decide, judge
        from pytest_prodml.records import Outcome
        original = decide.judge
        def generous(*arguments, **keywords):
            from dataclasses import replace
            return replace(original(*arguments, **keywords), outcome=Outcome.PASS, reason="proven")
        decide.judge = judge.judge = generous
        import pytest_prodml.plugin.verdicts
        pytest_prodml.plugin.verdicts.judge = generous
        """,
        # The decision is replaced when it is made.
        """
        from dataclasses import replace
        from pytest_prodml.certificate import build
        from pytest_prodml.records import Readiness
        original = build.decide
        def generous(*arguments, **keywords):
            return replace(original(*arguments, **keywords), outcome=Readiness.READY, reasons=())
        build.decide = generous
        """,
    ],
    ids=["judge", "decision"],
)
def test_a_judge_that_is_bribed_is_caught_by_the_verifier(project: Project, conftest: str) -> None:
    project.write("test_gates.py", MEASURED)
    project.write("conftest.py", conftest)
    project.run(sub=True)
    certificate = project.out / "certificate.json"
    assert certificate.exists()
    result = project.pytester.run(
        "prodml",
        "verify",
        str(certificate),
        "--key",
        str(project.key.with_suffix(".pub")),
        "--model",
        str(project.root / "model.bin"),
        "--policy",
        str(project.root / "policy.toml"),
    )
    assert result.ret in {1, 17}
    assert project.readiness() is Readiness.NOT_READY or result.ret == 17
