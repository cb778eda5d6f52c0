"""The gate of the model file as a user sees it: one file of gates, one certificate."""

from __future__ import annotations

import importlib
import pickle

import numpy as np
import pytest

from plugin.project import Project
from pytest_prodml.records import Outcome

# What is compiled can be imported only once, and these tests run in this process.
for name in ("pandas", "scipy.special", "pytest_prodml.checks.behavior", "pytest_prodml.plugin.behavior"):
    importlib.import_module(name)

CONFTEST = """
import numpy as np
import pytest
from pytest_prodml.adapters import bind

@pytest.fixture(scope="session")
def prodml_model():
    return bind(lambda rows: np.zeros(len(rows)), "model.bin")
"""

GATES = """
def test_file(ml_behavior):
    ml_behavior.safe_artifact({options})
"""

SETTINGS = 'name = "bank"\nversion = "3"\n[data]\ntest = "test.csv"\ntarget = "repaid"\n'


@pytest.mark.parametrize(
    ("raw", "options", "outcome"),
    [
        (pickle.dumps({"weights": np.arange(3.0)}), "", Outcome.PASS),
        (pickle.dumps(np.random.default_rng(0).normal(size=3))[:-1], "", Outcome.INCONCLUSIVE),
        (b"\x80\x04\x8c\x09my_module\x8c\x04Clip\x93)\x81.", "", Outcome.FAIL),
        (b"\x80\x04\x8c\x09my_module\x8c\x04Clip\x93)\x81.", "allow=['my_module.Clip']", Outcome.PASS),
        (pickle.dumps([1]), "path='model.bin'", Outcome.PASS),
    ],
)
def test_the_gate_of_the_file(project: Project, raw: bytes, options: str, outcome: Outcome) -> None:
    (project.root / "model.bin").write_bytes(raw)
    project.write("policy.toml", 'name = "production"\nversion = "1"\n[require]\ngates = ["behavior.file"]\n')
    project.configure(model=SETTINGS)
    project.write("test.csv", "income,repaid\n1,0\n2,1\n")
    project.write("conftest.py", CONFTEST)
    project.write("test_gates.py", GATES.format(options=options))
    project.run()
    assert project.verdict("behavior.file").outcome is outcome
    (run,) = project.runs("behavior.file")
    assert run.evidence is not None
    assert run.evidence.details["allowed"] == (["my_module.Clip"] if "allow" in options else [])


def test_another_file_is_an_error_of_the_test(project: Project) -> None:
    project.write("policy.toml", 'name = "production"\nversion = "1"\n[require]\ngates = ["behavior.file"]\n')
    project.configure(model=SETTINGS)
    project.write("test.csv", "income,repaid\n1,0\n2,1\n")
    project.write("conftest.py", CONFTEST)
    project.write("other.pkl", "N.")
    project.write("test_gates.py", GATES.format(options="path='other.pkl'"))
    result = project.run()
    result.stdout.fnmatch_lines(["*does not have the bytes that the model was loaded from*"])
    certificate = project.certificate()
    assert certificate is None or project.verdict("behavior.file").outcome is not Outcome.PASS
