"""What a run declares about its hardware, what it compares with, and the function that makes the model."""

from __future__ import annotations

import importlib

import pytest

from plugin.project import POLICY, Project
from pytest_prodml.records import Readiness

# As in conftest.py: what is compiled can be imported only once, and these tests run in this process.
importlib.import_module("pytest_prodml.adapters")

ASKING = POLICY + 'targets = ["cpu-serving"]\n'


@pytest.mark.parametrize(
    ("arguments", "variable", "file", "expected"),
    [
        (["--prodml-target", "cpu-serving"], "", "", Readiness.READY),
        ([], "cpu-serving", "", Readiness.READY),
        ([], "", 'target = "cpu-serving"', Readiness.READY),
        (["--prodml-target", "laptop"], "cpu-serving", 'target = "cpu-serving"', Readiness.NOT_READY),
        ([], "", "", Readiness.NOT_READY),
    ],
    ids=["option", "environment", "file", "option first", "undeclared"],
)
def test_a_policy_that_asks_for_a_target(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    variable: str,
    file: str,
    expected: Readiness,
) -> None:
    monkeypatch.delenv("PRODML_TARGET", raising=False)
    if variable:
        monkeypatch.setenv("PRODML_TARGET", variable)
    project.write("policy.toml", ASKING)
    project.configure(file)
    result = project.run(*arguments)
    assert project.readiness() is expected
    assert result.ret == (0 if expected is Readiness.READY else 1)
    if expected is Readiness.READY:
        assert project.issued().run.target == "cpu-serving"


def test_the_target_fixture_tells_name_and_environment(project: Project) -> None:
    project.write(
        "test_target.py",
        """
        def test_target(prodml_target):
            assert prodml_target.name == "gpu-serving"
            assert prodml_target.environment.processor_count >= 1
        """,
    )
    project.idle("--prodml-target", "gpu-serving", "test_target.py").assert_outcomes(passed=1)


def test_the_pipeline_fixture_is_the_configured_function(project: Project) -> None:
    project.configure('pipeline = "etl_of_this_test:make"')
    project.write("etl_of_this_test.py", "def make(n): return n + 1")
    project.write("test_inner_pipeline.py", "def test_makes(prodml_pipeline): assert prodml_pipeline(1) == 2")
    project.idle("test_inner_pipeline.py").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("configured", "told"),
    [
        ("", "*no pipeline is configured*"),
        ('pipeline = "no_such_module_here:make"', "*can not be imported*no_such_module_here*"),
        ('pipeline = "json:no_such_function"', "*can not be imported*"),
        ('pipeline = "json"', "*can not be imported*"),
        ('pipeline = "json:__name__"', "*is not a function*"),
    ],
)
def test_a_pipeline_that_is_not_there_is_told(project: Project, configured: str, told: str) -> None:
    project.configure(configured)
    project.write("test_inner_pipeline.py", "def test_makes(prodml_pipeline): pass")
    result = project.idle("test_inner_pipeline.py")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([told])


MODELS = """
import pytest

class Constant:
    subject = None
    description = "constant"
    def predict_score(self, rows): ...
    def predict(self, rows): ...
    def prepare(self, rows): ...
    def runtime(self): return {}

@pytest.hookimpl
def pytest_prodml_adapt_model(model, config):
    import hashlib, pathlib
    from pytest_prodml.records import Subject
    made = Constant()
    data = (config.rootpath / model).read_bytes()
    made.subject = Subject(name=str(model), digest={"sha256": hashlib.sha256(data).hexdigest()})
    return made
"""


@pytest.mark.parametrize("way", ["option", "file"])
def test_the_baseline_is_another_model(project: Project, way: str) -> None:
    project.write("conftest.py", MODELS)
    project.write("old.bin", "an older model")
    project.write(
        "test_b.py", "def test_b(prodml_baseline): assert prodml_baseline.subject.name == 'old.bin'"
    )
    project.configure('baseline = "old.bin"' if way == "file" else "")
    given = ["--prodml-baseline=old.bin"] if way == "option" else []
    project.idle("test_b.py", *given).assert_outcomes(passed=1)


def test_a_baseline_that_is_the_model_itself_is_refused(project: Project) -> None:
    project.write("conftest.py", MODELS)
    project.write("copy.bin", (project.root / "model.bin").read_text())
    project.write("test_b.py", "def test_b(prodml_baseline): pass")
    result = project.idle("test_b.py", "--prodml-baseline=copy.bin")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the baseline is the model under test*"])


def test_a_missing_baseline_says_what_to_do(project: Project) -> None:
    project.write("test_b.py", "def test_b(prodml_baseline): pass")
    result = project.idle("test_b.py")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no baseline is configured*", "*--prodml-baseline*"])
