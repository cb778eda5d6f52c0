"""Attacks and certified radii as a user sees them."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from plugin.project import Project
from pytest_prodml.records import Evidence, Outcome

# What is compiled can be imported only once, and these tests run in this process.
for name in ("scipy.stats", "pytest_prodml.checks.behavior", "pytest_prodml.plugin.behavior"):
    importlib.import_module(name)

CONFTEST = """
import numpy as np
import pytest
from pytest_prodml.adapters import bind

def score(rows):
    return 1 / (1 + np.exp(-rows["income"] + rows["debt"]))

@pytest.fixture(scope="session")
def prodml_model():
    return bind(score, "model.bin")
"""

GATES = """
def test_attack(ml_behavior):
    ml_behavior.adversarial(budget=0.3, at_most=0.9, rows=60, max_queries=200, increase_only=["debt"])

def test_easy(ml_behavior):
    ml_behavior.adversarial(budget=2.0, at_most=0.1, rows=60, max_queries=200)

def test_fixed(ml_behavior):
    ml_behavior.adversarial(budget=3.0, at_most=0.2, rows=60, max_queries=100, features=["age"])

def test_radius(ml_behavior):
    ml_behavior.certified_radius(sigma=0.3, radius=0.1, at_least=0.3, rows=100, n_draws=300)
"""

SETTINGS = 'name = "bank"\nversion = "3"\nthreshold = 0.5\n[data]\ntest = "test.csv"\ntarget = "bad"\nentity = "client"\n'


@pytest.fixture
def bank(project: Project) -> Project:
    random = np.random.default_rng(7)
    n = 600
    income, debt = random.normal(size=n), random.normal(size=n)
    frame = pd.DataFrame(
        {
            "client": np.arange(n), "income": income, "debt": debt, "age": random.integers(18, 80, n),
            "bad": (income > debt).astype(int),
        }
    )  # fmt: skip
    frame.to_csv(project.root / "test.csv", index=False)
    (project.root / "test_gates.py").write_text(GATES)
    (project.root / "conftest.py").write_text(CONFTEST)
    project.write("policy.toml", 'name = "production"\nversion = "1"\n[require]\ndimensions = ["behavior"]\n')
    project.configure(model=SETTINGS)
    return project


def evidence_of(project: Project, gate_id: str) -> Evidence:
    [run] = project.runs(gate_id)
    assert run.evidence is not None
    return run.evidence


def test_attacks_are_gates(bank: Project) -> None:
    assert bank.run().ret != 0
    outcomes = {
        gate: bank.verdict(f"behavior.{gate}").outcome for gate in ("attack", "easy", "fixed", "radius")
    }
    assert outcomes == {
        "attack": Outcome.PASS, "easy": Outcome.FAIL, "fixed": Outcome.PASS, "radius": Outcome.PASS,
    }  # fmt: skip
    easy = evidence_of(bank, "behavior.easy")
    # The entity is no feature that anybody changes.
    changed: Any = easy.details["most_changed"]
    assert {row["column"] for row in changed} <= {"income", "debt", "age"}
    page = (bank.out / "certificate.html").read_text()
    assert "Share turned by budget" in page
    assert "Certified accuracy by radius" in page
    assert "a smoothed twin of the model" in page


def test_mistakes_get_a_sentence(bank: Project) -> None:
    (bank.root / "test_gates.py").write_text(
        "def test_x(ml_behavior):\n    ml_behavior.adversarial(budget=1, at_most=0.1, norm='l7')\n"
    )
    result = bank.run()
    result.stdout.fnmatch_lines(["*norms: l2, linf, l1, l0*"])
    assert bank.verdict("behavior.x").outcome is not Outcome.PASS
