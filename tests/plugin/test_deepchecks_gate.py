"""`ml_data.deepchecks` and `ml_performance.deepchecks` in a project, with a stand-in for the worker."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

from fake_deepchecks import fake_interpreter
from plugin.project import Project
from pytest_prodml.errors import ConfigurationError
from pytest_prodml.plugin.settings import load_settings
from pytest_prodml.records import Outcome, Readiness

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the fake worker is started by its first line"
)

# What is imported before a run in this process stays; compiled libraries can be imported only once.
for name in ("pandas", "pytest_prodml.checks.deepchecks", "pytest_prodml.plugin.performance"):
    importlib.import_module(name)

POLICY = """
name = "production"
version = "1"
[require]
gates = ["{gate}"]
"""

CONFTEST = """
import numpy as np
import pandas as pd
import pytest

from pytest_prodml.adapters import bind


def table(rows, first):
    ids = np.arange(first, first + rows)
    return pd.DataFrame({"client": ids, "age": ids % 50, "sex": ["f", "m"] * (rows // 2), "y": ids % 2})


@pytest.fixture(scope="session")
def prodml_reference():
    return table(60, 0)


@pytest.fixture(scope="session")
def prodml_test():
    return table(40, 1000)


@pytest.fixture(scope="session")
def prodml_model():
    return bind(lambda rows: 0.2 + 0.6 * (rows["client"].to_numpy() % 2), "model.bin")
"""

#: The body of a stand-in that keeps what it was asked.
KEEP = """
import shutil
shutil.copytree(directory, {place!r}, dirs_exist_ok=True)
"""


@pytest.fixture
def gate(project: Project) -> Project:
    project.write("conftest.py", CONFTEST)
    project.write("policy.toml", POLICY.format(gate="data.integrity"))
    project.write(
        "test_gates.py",
        """
        def test_integrity(ml_data):
            ml_data.deepchecks()
        """,
    )
    configure(project)
    return project


def configure(project: Project, text: str = "") -> None:
    project.configure(
        model=f'[data]\ntarget = "y"\nentity = "client"\n[deepchecks]\npython = "worker"\n{text}'
    )


def worker(project: Project, body: str = "", *, train: int = 40, test: int = 0) -> Path:
    """Put the stand-in into the project and return where it leaves what it was asked."""
    place = project.root / "asked"
    fake_interpreter(project.root / "worker", KEEP.format(place=str(place)) + body, train=train, test=test)
    return place


def test_a_suite_whose_conditions_hold_makes_the_gate_pass(gate: Project) -> None:
    place = worker(gate)
    assert gate.run().ret == 0
    assert gate.readiness() is Readiness.READY
    request = json.loads((place / "request.json").read_bytes())
    assert request["label"] == "y"
    assert request["index"] == "client"
    assert request["features"] == ["age", "sex"]
    [run] = gate.runs("data.integrity")
    assert run.evidence is not None
    assert {material.name for material in run.evidence.materials} == {"test", "deepchecks-worker"}
    assert any(material.name == "deepchecks-worker" for material in gate.issued().materials)
    assert run.evidence.seed == request["seed"]


def test_a_condition_that_fails_fails_the_gate(gate: Project) -> None:
    worker(gate, 'checks[5]["conditions"][0]["category"] = "fail"')
    result = gate.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*DataDuplicates (test): Holds*Found 3.7 of them*"])
    assert gate.verdict("data.integrity").outcome is Outcome.FAIL


def test_a_check_that_broke_is_not_evaluated(gate: Project) -> None:
    worker(gate, 'checks[5].update(state="error", reason="KeyError: 3", conditions=[])')
    assert gate.run().ret == 1
    verdict = gate.verdict("data.integrity")
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "KeyError: 3" in verdict.message


def test_a_worker_that_hangs_is_an_error_and_no_pass(gate: Project) -> None:
    configure(gate, "timeout_seconds = 1")
    worker(gate, "time.sleep(60)")
    assert gate.run().ret == 1
    verdict = gate.verdict("data.integrity")
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reason == "errored"
    assert "time limit of 1 s" in verdict.message


def test_without_the_environment_it_says_how_to_build_it(
    gate: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(gate.root / "cache"))
    gate.configure(model='[data]\ntarget = "y"')
    result = gate.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*there is no environment for deepchecks*", "*prodml deepchecks install*"])
    assert gate.verdict("data.integrity").outcome is Outcome.INCONCLUSIVE


def test_the_model_answers_and_stays_here(gate: Project) -> None:
    gate.write("policy.toml", POLICY.format(gate="performance.evaluation"))
    gate.write(
        "test_gates.py",
        """
        def test_evaluation(ml_performance):
            ml_performance.deepchecks(checks=["RocReport"])
        """,
    )
    place = worker(gate, train=60, test=40)
    assert gate.run().ret == 0
    request = json.loads((place / "request.json").read_bytes())
    assert (request["task"], request["classes"], request["checks"]) == ("binary", [0, 1], ["RocReport"])
    files = {path.name for path in place.iterdir() if path.suffix == ".parquet"}
    assert files == {"train.parquet", "test.parquet", "train-predictions.parquet", "test-predictions.parquet"}
    said = parquet.read_table(place / "test-predictions.parquet").to_pydict()
    assert said["prediction"] == [0, 1] * 20
    assert said["probability_1"] == pytest.approx([0.2, 0.8] * 20)
    assert said["probability_0"] == pytest.approx([0.8, 0.2] * 20)
    [run] = gate.runs("performance.evaluation")
    assert run.evidence is not None
    assert [subject.name for subject in run.evidence.subjects] == ["model.bin"]


def test_a_suite_of_ones_own(gate: Project) -> None:
    configure(gate, '[deepchecks.suites]\nours = "suites/ours.py"')
    gate.write("suites/ours.py", "raise SystemExit('never imported here')")
    gate.write(
        "test_gates.py",
        """
        def test_integrity(ml_data):
            ml_data.deepchecks("ours", against=None)
        """,
    )
    place = worker(
        gate,
        "checks.append(check('Ours (test)', 'Ours', sides=('train',)))\nanswer['planned'] = ['Ours (test)']",
    )
    assert gate.run().ret == 0
    assert (place / "suite.py").read_text() == "raise SystemExit('never imported here')"
    [run] = gate.runs("data.integrity")
    assert run.evidence is not None
    assert "ours.py" in {material.name for material in run.evidence.materials}


WRONG = {
    'ml_data.deepchecks("model_evaluation")': "use ml_performance.deepchecks",
    'ml_data.deepchecks("integrity")': "there is no suite 'integrity'",
    'ml_data.deepchecks(data="train")': "there is no table 'train'",
    'ml_data.deepchecks(checks=["Nope"])': "holds no check 'Nope'",
    'ml_data.deepchecks(on_warn="ignore")': "on_warn is",
    "ml_data.deepchecks(timeout_seconds=0)": "timeout_seconds must be positive",
    "ml_data.deepchecks(memory_bytes=0)": "memory_bytes must be positive",
    'ml_data.deepchecks("train_test_validation", against="test")': "both tables are called",
}


@pytest.mark.parametrize(("call", "told"), WRONG.items())
def test_a_wrong_call_is_told(gate: Project, call: str, told: str) -> None:
    worker(gate)
    gate.write("test_gates.py", f"def test_integrity(ml_data):\n    {call}\n")
    result = gate.run()
    assert result.ret == 1
    assert told in result.stdout.str()
    assert gate.verdict("data.integrity").outcome is Outcome.INCONCLUSIVE


def test_settings(tmp_path: Path) -> None:
    file = tmp_path / "prodml.toml"
    file.write_text('[deepchecks]\npython = "w"\n[deepchecks.suites]\na = "a.py"\n', encoding="utf-8")
    settings = load_settings(tmp_path, {})
    assert settings.deepchecks.suites == {"a": "a.py"}
    elsewhere = settings.configuration_digest
    file.write_text('[deepchecks]\npython = "v"\n[deepchecks.suites]\na = "a.py"\n', encoding="utf-8")
    assert load_settings(tmp_path, {}).configuration_digest == elsewhere, "a place is not what is measured"
    file.write_text("[deepchecks]\ntimeout_seconds = 0.0\nmemory_bytes = -1\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        load_settings(tmp_path, {})
    assert "deepchecks.timeout_seconds" in str(raised.value)
    assert "deepchecks.memory_bytes" in str(raised.value)
    file.write_text('[deepchecks.suites]\ndata_integrity = "a.py"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="data_integrity"):
        load_settings(tmp_path, {})
