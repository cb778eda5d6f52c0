"""Inputs that get worse, as a user sees it: one file of gates, one certificate."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from plugin.project import Project
from pytest_prodml.plugin.gates import seed_of
from pytest_prodml.records import Evidence, Outcome

# What is compiled can be imported only once, and these tests run in this process.
for name in (
    "scipy.special",
    "scipy.ndimage",
    "pytest_prodml.checks.behavior",
    "pytest_prodml.plugin.behavior",
):
    importlib.import_module(name)

CONFTEST = """
import numpy as np
import pytest
from pytest_prodml.adapters import bind

STEP = {step}

def score(rows):
    if isinstance(rows, list):
        return np.array([0.9 if "good" in text.lower() else 0.1 for text in rows])
    income = rows["income"].to_numpy()
    if STEP:
        return (np.floor(income / STEP) % 2).astype(float)
    return 1 / (1 + np.exp(-income / 300))

@pytest.fixture(scope="session")
def prodml_model():
    return bind(score, "model.bin")
"""

GATES = """
def test_noise(ml_behavior):
    ml_behavior.robust_to(
        "noise", severity=(0.02, 0.05), at_most=0.06, metric="accuracy", drop_at_most=0.05
    )

def test_spelling(ml_behavior):
    texts = ["a good one", "a bad one"] * 100
    ml_behavior.robust_to("casing", severity=1.0, at_most=0.05, data=texts)
    ml_behavior.robust_to("synonyms", severity=1.0, at_least=0.4, data=texts, synonyms={"good": "GOOD, BAD"})
"""

SETTINGS = (
    'name = "bank"\nversion = "3"\nthreshold = 0.5\n'
    '[data]\ntest = "test.csv"\ntarget = "repaid"\nentity = "client"\ntimestamp = "month"\n'
)


@pytest.fixture
def bank(project: Project) -> Project:
    random = np.random.default_rng(7)
    n = 1500
    income = random.normal(0, 1000, n)
    frame = pd.DataFrame(
        {
            "client": random.permutation(n) * 3,
            "month": random.integers(1, 13, n),
            "income": income,
            "repaid": (income + random.normal(0, 800, n) > 0).astype(int),
        }
    )
    frame.to_csv(project.root / "test.csv", index=False)
    project.configure(model=SETTINGS)
    return project


def gates(project: Project, text: str = GATES, *, step: float = 0.0) -> None:
    (project.root / "test_gates.py").write_text(text)
    (project.root / "conftest.py").write_text(CONFTEST.replace("{step}", str(step)))
    project.write("policy.toml", 'name = "production"\nversion = "1"\n[require]\ndimensions = ["behavior"]\n')


def evidence_of(project: Project, gate_id: str) -> Evidence:
    [run] = project.runs(gate_id)
    assert run.evidence is not None
    return run.evidence


def test_a_smooth_model_is_ready_and_roles_are_no_inputs(bank: Project) -> None:
    gates(bank, GATES.replace('synonyms={"good": "GOOD, BAD"}', 'synonyms={"good": "fine", "bad": "good"}'))
    result = bank.run()
    assert result.ret == 0, result.outlines
    noise = evidence_of(bank, "behavior.noise")
    assert noise.details["columns_left_alone"] == ["client", "month"]
    assert noise.details["columns_changed"] == ["income"]
    assert noise.seed == seed_of("behavior.noise", 0)
    assert [material.name for material in noise.materials] == ["test.csv"]
    [subject] = bank.issued().subjects
    assert subject in noise.subjects
    assert {one.group for one in noise.criteria} == {"noise=0.02", "noise=0.05"}
    spelling = evidence_of(bank, "behavior.spelling")
    assert {one.group for one in spelling.criteria} == {"casing=1", "synonyms=1"}


def test_a_brittle_model_is_not_and_shows_where(bank: Project) -> None:
    gates(bank, step=25.0)
    assert bank.run().ret != 0
    assert bank.verdict("behavior.noise").outcome is Outcome.FAIL
    shown: Any = evidence_of(bank, "behavior.noise").details["first_to_flip"]
    assert shown[0]["severity"] == 0.02
    assert "income: " in shown[0]["changed"]
    # "GOOD, BAD" is still good: what has to move did not.
    assert bank.verdict("behavior.spelling").outcome is Outcome.FAIL


def test_without_a_limit_nothing_is_judged(bank: Project) -> None:
    gates(bank, 'def test_told(ml_behavior):\n    ml_behavior.robust_to("jitter", severity=0.1)\n')
    bank.run()
    assert bank.verdict("behavior.told").outcome is Outcome.INCONCLUSIVE
    assert evidence_of(bank, "behavior.told").measurements


def test_a_lost_entity_is_an_error(bank: Project) -> None:
    bank.configure(model=SETTINGS.replace('"client"', '"customer"'))
    gates(bank)
    result = bank.run()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*customer*"])
