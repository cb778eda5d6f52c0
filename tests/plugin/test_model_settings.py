"""The model of a project by its configuration: pickles that somebody allows, options of adapters, entries."""

from __future__ import annotations

import importlib
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plugin.project import Project
from pytest_prodml.records import Outcome

# What is compiled can be imported only once, and these tests run in this process.
for name in (
    "numpy.fft",
    "sklearn.linear_model",
    "onnxruntime",
    "pytest_prodml.adapters.pickled",
    "pytest_prodml.checks.metrics.registry",
    "pytest_prodml.checks.performance",
    "pytest_prodml.plugin.performance",
):
    importlib.import_module(name)

POLICY = 'name = "production"\nversion = "1"\n[require]\ndimensions = ["performance"]\n'
GATE = 'def test_accuracy(ml_performance):\n    ml_performance.at_least("accuracy", 0.6)\n'


class Touch:
    """What a hostile pickle does when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.fixture
def pickled(project: Project) -> Project:
    from sklearn.linear_model import LogisticRegression

    (project.root / "test_gates.py").unlink()
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"a": generator.normal(size=400), "b": generator.normal(size=400)})
    labels = (frame["a"] > 0).astype(int)
    frame.assign(y=labels).to_csv(project.root / "test.csv", index=False)
    (project.root / "model.pkl").write_bytes(pickle.dumps(LogisticRegression().fit(frame, labels)))
    project.write("test_one.py", GATE)
    project.write("policy.toml", POLICY)
    return project


def configure(project: Project, model: str) -> None:
    project.configure('[data]\ntest = "test.csv"\ntarget = "y"\n')
    text = (project.root / "prodml.toml").read_text().partition("[model]")[0]
    project.write("prodml.toml", f"{text}[model]\n{model}\n")


def test_a_pickle_is_opened_where_somebody_allows_it_and_the_certificate_says_so(pickled: Project) -> None:
    configure(pickled, 'path = "model.pkl"\nallow_pickle = true')
    result = pickled.run("test_one.py")
    assert pickled.verdict("performance.accuracy").outcome is Outcome.PASS, result.stdout.str()
    (run,) = pickled.runs("performance.accuracy")
    assert run.evidence is not None
    (subject,) = run.evidence.subjects
    assert subject.annotations["loaded_by"] == "pickle"
    assert subject.annotations["allowed"] == []


def test_a_pickle_that_nobody_allows_stays_closed(pickled: Project) -> None:
    configure(pickled, 'path = "model.pkl"')
    result = pickled.run("test_one.py")
    result.stdout.fnmatch_lines(["*a pickled model is not loaded*"])
    assert pickled.verdict("performance.accuracy").outcome is not Outcome.PASS


def test_a_pickle_that_does_more_stays_closed_whoever_allows_it(pickled: Project) -> None:
    (pickled.root / "model.pkl").write_bytes(pickle.dumps(Touch(pickled.root / "touched")))
    configure(pickled, 'path = "model.pkl"\nallow_pickle = true')
    result = pickled.run("test_one.py")
    result.stdout.fnmatch_lines(["*is not loaded, because a scan found*pathlib*"])
    assert not (pickled.root / "touched").exists()
    assert pickled.verdict("performance.accuracy").outcome is not Outcome.PASS


def test_options_go_to_the_adapter(pickled: Project) -> None:
    configure(pickled, 'path = "model.pkl"\nallow_pickle = true\noptions = { threadz = 2 }')
    result = pickled.run("test_one.py")
    result.stdout.fnmatch_lines(["*this kind of model has no option 'threadz'*"])


def test_a_function_is_a_model_by_its_name(pickled: Project) -> None:
    pickled.write("scores.py", "def score(rows):\n    return (rows['a'] > 0).astype(float)\n")
    configure(pickled, 'path = "model.pkl"')
    pickled.write(
        "conftest.py",
        "import pytest\n\n@pytest.fixture(scope='session')\ndef prodml_model():\n    return 'scores:score'\n",
    )
    result = pickled.run("test_one.py")
    assert "pickled model" not in result.stdout.str()
    (run,) = pickled.runs("performance.accuracy")
    assert run.evidence is not None, result.stdout.str()
    assert run.evidence.measurements[0].value == 1
