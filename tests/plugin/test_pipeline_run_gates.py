"""What makes the model, as a user certifies it: each gate passes for a sound pipeline, and catches its fault."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plugin.project import Project
from pytest_prodml.records import Evidence, Measurement, Outcome, RunState

# What is compiled can be imported only once, and these tests run in this process.
for name in (
    "numpy.fft",
    "sklearn.ensemble",
    "pytest_prodml.adapters.pipelines.loading",
    "pytest_prodml.checks.pipeline",
    "pytest_prodml.checks.pipeline.golden",
    "pytest_prodml.plugin.pipeline",
):
    importlib.import_module(name)

POLICY = 'name = "production"\nversion = "1"\n[require]\ndimensions = ["pipeline"]\n'
MODEL = """
import json
from pathlib import Path

import numpy as np
import pytest

class Linear:
    def __init__(self, weights):
        self.weights = weights

    def predict_proba(self, rows):
        score = 1 / (1 + np.exp(-(rows["a"] * self.weights[0] + rows["b"] * self.weights[1])))
        return np.column_stack([1 - score, score])

@pytest.fixture(scope="session")
def prodml_model():
    return Linear(json.loads(Path("weights.json").read_text()))
"""
FOREST = """
import numpy as np
from sklearn.ensemble import RandomForestClassifier

def train(directory, seed):
    generator = np.random.default_rng(0)
    features = generator.normal(size=(200, 3))
    labels = (features[:, 0] + generator.normal(size=200) > 0).astype(int)
    forest = RandomForestClassifier(20, random_state=seed).fit(features, labels)
    np.save(directory / "answers.npy", forest.predict_proba(features))

def seeded(directory):
    train(directory, 7)

def unseeded(directory):
    train(directory, None)
"""
SAVED = """
import json

from conftest import Linear

def save(model, path):
    path.write_text(json.dumps(model.weights))

def save_rounded(model, path):
    path.write_text(json.dumps([round(weight, 2) for weight in model.weights]))

def load(path):
    return Linear(json.loads(path.read_text()))

def load_with_what_is_only_here(path):
    raise KeyError("registered in another process")
"""


@pytest.fixture
def made(project: Project) -> Project:
    """A project with pipelines, in which every gate is to be written."""
    (project.root / "test_gates.py").unlink()
    shutil.copy(Path(__file__).parents[1] / "checks" / "pipeline" / "shop.py", project.root)
    project.write("weights.json", json.dumps([1 / 3, -0.7]))
    project.write("forest.py", FOREST)
    project.write("saved.py", SAVED)
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"a": generator.normal(size=60), "b": generator.normal(size=60)})
    frame.assign(y=(frame["a"] > 0).astype(int)).to_csv(project.root / "test.csv", index=False)
    project.configure('pipeline = "shop:atomic"\n[data]\ntest = "test.csv"\ntarget = "y"\n')
    project.write("policy.toml", POLICY)
    project.write("conftest.py", MODEL)
    return project


def certified(project: Project, body: str, *arguments: str) -> tuple[Outcome, Evidence]:
    project.write(
        "test_one.py", f"import saved\nimport shop\n\ndef test_one(ml_pipeline):\n    ml_pipeline.{body}\n"
    )
    result = project.run("test_one.py", *arguments)
    (run,) = project.runs("pipeline.one")
    assert run.evidence is not None, (run, result.stdout.str())
    outcome = project.verdict("pipeline.one").outcome
    assert (run.state is RunState.PASSED) == (outcome is Outcome.PASS)
    return outcome, run.evidence


def of(evidence: Evidence, metric: str) -> Measurement:
    return next(measured for measured in evidence.measurements if measured.metric == metric)


SURVIVES = 'survives_failure(shop.{}, published="model.json", change=shop.change)'


def test_a_pipeline_that_publishes_at_once_survives_every_fault(made: Project) -> None:
    outcome, evidence = certified(made, SURVIVES.format("atomic"))
    assert outcome is Outcome.PASS
    tried = evidence.details["tried"]
    assert isinstance(tried, list)
    assert len(tried) == 10
    assert set(evidence.details["faults"]) == {  # type: ignore[arg-type]
        "raise_before", "raise_after", "kill", "kill_while_writing", "disk_full",
    }  # fmt: skip
    assert {case["published"] for case in tried} == {"previous", "new"}  # type: ignore[index, call-overload]


@pytest.mark.parametrize(
    ("pipeline", "metric"),
    [
        ("in_place", "half_published"),
        ("removes_first", "half_published"),
        ("swallows", "silent_failures"),
        ("remembers", "failed_reruns"),
    ],
)
def test_a_pipeline_that_leaves_half_of_anything_is_caught(made: Project, pipeline: str, metric: str) -> None:
    outcome, evidence = certified(made, SURVIVES.format(pipeline))
    assert outcome is Outcome.FAIL
    assert of(evidence, metric).value


def test_one_stage_and_one_fault_can_be_chosen(made: Project) -> None:
    body = 'survives_failure(stage="publish", how=["kill"], published="model.json")'
    outcome, evidence = certified(made, body)
    assert outcome is Outcome.PASS
    assert evidence.details["stages"].keys() == {"publish"}  # type: ignore[union-attr]


def test_what_is_published_has_to_answer(made: Project) -> None:
    body = 'survives_failure(stage="clean", how=["kill"], published="model.json", serves=lambda path: False)'
    outcome, evidence = certified(made, body)
    assert outcome is Outcome.FAIL
    assert of(evidence, "not_serving").value == 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('survives_failure(published="none.json")', "publishes no 'none.json'"),
        ('survives_failure(stage="deploy", published="model.json")', "has no stage 'deploy'"),
        ('survives_failure(how=["flood"], published="model.json")', "there is no fault 'flood'"),
        ('survives_failure("shop:fails", published="model.json")', "no rows in"),
        ("reproducible(lambda directory: None)", "can not be imported by another process"),
        ("reproducible(runs=1)", "expected 2 or 3 runs"),
        ('reproducible(model="model.json")', "belong together"),
        ("reproducible(7)", "a int is no pipeline"),
        ('golden("none.jsonl")', "freeze records once"),
        ("round_trip(saved.save, saved.load_with_what_is_only_here)", "registered in another process"),
    ],
)
def test_what_shows_nothing_is_no_pass(made: Project, body: str, told: str) -> None:
    made.write(
        "test_one.py", f"import saved\nimport shop\n\ndef test_one(ml_pipeline):\n    ml_pipeline.{body}\n"
    )
    result = made.run("test_one.py")
    assert told in result.stdout.str()
    assert made.verdict("pipeline.one").outcome is not Outcome.PASS


@pytest.mark.parametrize(("train", "outcome"), [("seeded", Outcome.PASS), ("unseeded", Outcome.FAIL)])
def test_an_unseeded_forest_is_caught(made: Project, train: str, outcome: Outcome) -> None:
    found, evidence = certified(made, f'reproducible("forest:{train}")')
    assert found is outcome
    assert evidence.details["settings"][0] != evidence.details["settings"][1]  # type: ignore[index]


@pytest.mark.parametrize(("run", "outcome"), [("overwrites", Outcome.PASS), ("appends", Outcome.FAIL)])
def test_a_second_run_that_appends_is_caught(made: Project, run: str, outcome: Outcome) -> None:
    assert certified(made, f"idempotent(shop.{run})")[0] is outcome


def test_the_configured_pipeline_is_the_default(made: Project) -> None:
    assert certified(made, "reproducible()")[0] is Outcome.PASS
    assert certified(made, "idempotent()")[0] is Outcome.PASS


@pytest.mark.parametrize(("save", "outcome"), [("save", Outcome.PASS), ("save_rounded", Outcome.FAIL)])
def test_a_model_that_is_saved_and_loaded_answers_as_before(
    made: Project, save: str, outcome: Outcome
) -> None:
    assert certified(made, f"round_trip(saved.{save}, saved.load)")[0] is outcome


def test_golden_records_are_frozen_on_request_and_then_hold(
    made: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    body = 'golden("golden/scores.jsonl", rows=20)'
    outcome, evidence = certified(made, body, "--prodml-update-golden")
    assert outcome is Outcome.INCONCLUSIVE
    assert "frozen anew in this run" in str(of(evidence, "changed_answers").note)
    outcome, evidence = certified(made, body)
    assert outcome is Outcome.PASS
    assert of(evidence, "changed_answers").n_samples == 20
    assert [material.name for material in evidence.materials] == ["scores.jsonl"]
    made.write("weights.json", "[0.34, -0.7]")
    outcome, evidence = certified(made, body)
    assert outcome is Outcome.FAIL
    assert of(evidence, "changed_answers").value == 20


def test_golden_records_are_not_frozen_in_ci(made: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    made.write("test_one.py", 'def test_one(ml_pipeline):\n    ml_pipeline.golden("scores.jsonl")\n')
    result = made.run("test_one.py", "--prodml-update-golden")
    assert "not frozen anew in CI" in result.stdout.str()
    assert not (made.root / "scores.jsonl").exists()
    assert made.verdict("pipeline.one").outcome is not Outcome.PASS


CHAMPION = """
class Champion:
    def __init__(self, shift):
        self.shift = shift

    def predict_proba(self, rows):
        score = 1 / (1 + np.exp(-(rows["a"] / 3 - 0.7 * rows["b"] + self.shift)))
        return np.column_stack([1 - score, score])

@pytest.fixture(scope="session")
def prodml_baseline():
    return Champion(0.0)
"""


@pytest.mark.parametrize(
    ("body", "outcome", "recorded"),
    [
        ("agrees_with(at_least=0.9)", Outcome.PASS, 1),
        ("agrees_with(conftest.Champion(3.0), at_least=0.9)", Outcome.FAIL, 1),
        ('agrees_with(at_least=0.9, metric="accuracy", margin=0.05, latency_ratio=3.0)', Outcome.PASS, 3),
    ],
)
def test_a_challenger_is_compared_with_the_champion(
    made: Project, body: str, outcome: Outcome, recorded: int
) -> None:
    made.write("conftest.py", MODEL + CHAMPION)
    made.write("test_one.py", f"import conftest\n\ndef test_one(ml_pipeline):\n    ml_pipeline.{body}\n")
    result = made.run("test_one.py")
    (run,) = made.runs("pipeline.one")
    assert run.evidence is not None, result.stdout.str()
    assert made.verdict("pipeline.one").outcome is outcome, result.stdout.str()
    assert len(run.evidence.criteria) == recorded
