"""What a run declares about its hardware, what it compares with, and the function that makes the model."""

from __future__ import annotations

import importlib
import tomllib
from dataclasses import replace

import pytest

from plugin.project import POLICY, Project
from pytest_prodml.environment import capture
from pytest_prodml.policy.hardware import Tier, fingerprint, tier_of
from pytest_prodml.records import HardwareTarget, Readiness

# As in conftest.py: what is compiled can be imported only once, and these tests run in this process.
importlib.import_module("pytest_prodml.adapters")

NAMING = POLICY + 'targets = ["cpu-serving"]\n'
ASKING = NAMING + "\n[targets.cpu-serving]\nmin_processors = 1\n"


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


def test_a_name_that_nothing_describes_is_no_hardware(project: Project) -> None:
    project.write("policy.toml", NAMING)
    result = project.run("--prodml-target", "cpu-serving")
    assert result.ret == 1
    assert "nothing describes it" in project.issued().decision.reasons[0]
    # The project may describe it, where the policy does not.
    project.configure("targets.cpu-serving.min_processors = 1")
    assert project.run("--prodml-target", "cpu-serving").ret == 0
    recorded = project.issued().run.targets
    assert recorded is not None
    assert recorded["cpu-serving"].min_processors == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('targets.x.machin = "x86_64"', "*unknown field 'machin'*"),
        ("targets.x.price_per_hour = 1.5", "*fits every machine*$.targets.x*"),
        ("latency.batch_sizes = [1, 0]", "*expected different numbers from 1 on*$.latency.batch_sizes*"),
        ("latency.threads = [1, 1]", "*expected different numbers from 1 on*$.latency.threads*"),
        ('latency.providers = [""]', "*expected different execution providers*$.latency.providers*"),
    ],
)
def test_a_wrong_target_is_told_before_any_test(project: Project, text: str, told: str) -> None:
    project.configure(text)
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([told])


def test_this_machine_can_be_described(project: Project) -> None:
    result = project.idle("--prodml-hardware", "--prodml-target", "cpu-serving")
    assert result.ret == 0
    text = result.stdout.str()
    table = tomllib.loads(text[text.index("[targets.cpu-serving]") :])["targets"]["cpu-serving"]
    environment = capture()
    assert table["fingerprint"] == fingerprint(environment)
    assert table["machine"] == environment.machine
    assert set(table["reference"]) >= {"matmul", "lookups"}
    # What is printed describes the machine that printed it.
    described = HardwareTarget(**{**table, "flags": tuple(table["flags"])})
    assert tier_of(described, environment)[0] is Tier.EXACT
    assert tier_of(replace(described, fingerprint=None), environment)[0] is Tier.CLASS
    assert "test session starts" not in text


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
