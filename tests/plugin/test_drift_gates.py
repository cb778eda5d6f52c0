"""The gates of drift in a project: tables, the model's answers on them, and what these are worth."""

from __future__ import annotations

import importlib

import pytest

from plugin.project import Project
from pytest_prodml.records import Outcome

# As in conftest.py: what is compiled can be imported only once, and these tests run in this process.
for name in ("scipy.special", "sklearn.ensemble", "threadpoolctl", "pandas", "polars"):
    importlib.import_module(name)

CONFTEST = """
import numpy as np
import pandas as pd
import pytest
from pytest_prodml.adapters import bind

def rows(seed, power=1.0):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"score": random.beta(2, 2, 4000), "age": random.integers(20, 70, 4000)})
    truth = (random.random(4000) < frame["score"] ** power).astype(int)
    return frame, truth.rename("repaid")

@pytest.fixture(scope="session")
def prodml_model():
    return bind(lambda frame: frame["score"].to_numpy(), "model.bin")

@pytest.fixture(scope="session")
def prodml_reference():
    return rows(1)

@pytest.fixture(scope="session")
def prodml_test():
    return rows(2)

@pytest.fixture(scope="session")
def prodml_current():
    return rows(3, POWER)
"""

CALLS = {
    "ml_data.no_joint_drift()": Outcome.FAIL,
    "ml_data.no_prediction_drift()": Outcome.PASS,
    "ml_performance.not_worse_on('current', 'accuracy', 0.05)": Outcome.FAIL,
    "ml_performance.calibrated(data='current')": Outcome.FAIL,
}


@pytest.mark.parametrize("drifted", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_what_only_labels_show(project: Project, call: str, drifted: bool) -> None:
    """Where `drifted`, inputs and scores are as before, and what they mean for the label is not."""
    fixture = call.partition(".")[0]
    dimension = fixture.removeprefix("ml_")
    project.write("conftest.py", CONFTEST.replace("POWER", "6.0" if drifted else "1.0"))
    project.write("policy.toml", f'name = "p"\nversion = "1"\n[require]\ndimensions = ["{dimension}"]\n')
    project.configure("", model="threshold = 0.5\n")
    project.write("test_gate.py", f"def test_it({fixture}):\n    {call}\n")
    told = project.run().stdout.str()
    [run] = project.runs(f"{dimension}.it")
    assert run.evidence is not None, told
    expected = CALLS[call] if drifted else Outcome.PASS
    assert project.verdict(f"{dimension}.it").outcome is expected, told
