"""`ml_performance.not_worse_than` in a project: simple models, another model, and the release before."""

from __future__ import annotations

import importlib
import shutil

import pytest

from plugin.project import Project
from pytest_prodml.records import Evidence, Outcome

# As in conftest.py: what is compiled can be imported only once, and these tests run in this process.
for name in (
    "scipy.special",
    "sklearn.linear_model",
    "sklearn.compose",
    "sklearn.impute",
    "pandas",
    "pytest_prodml.plugin.baselines",
    "pytest_prodml.plugin.performance",
):
    importlib.import_module(name)

CONFTEST = """
import numpy as np
import pandas as pd
import pytest
from pytest_prodml.adapters import bind

NOISE = {noise}

def ranks(rows):
    return rows["score"].to_numpy()

def rows(seed, n):
    random = np.random.default_rng(seed)
    truth = (random.random(n) < 0.4).astype(int)
    score = 2 * truth - 1 + random.normal(0, NOISE, n)
    frame = pd.DataFrame({{"score": 1 / (1 + np.exp(-score)), "job": random.choice(["cook", "clerk"], n)}})
    return frame, pd.Series(truth, name="repaid")

@pytest.fixture(scope="session")
def prodml_model():
    return bind(ranks, "model.bin")

@pytest.fixture(scope="session")
def prodml_test():
    return rows(1, 2000)

@pytest.fixture(scope="session")
def prodml_reference():
    frame, truth = rows(2, 500)
    return frame[["job"]], truth
"""


@pytest.fixture
def bank(project: Project) -> Project:
    project.write("conftest.py", CONFTEST.format(noise=1.0))
    project.write("policy.toml", 'name = "p"\nversion = "1"\n[require]\ndimensions = ["performance"]\n')
    project.configure(model="threshold = 0.5\n")
    (project.root / "test_gates.py").unlink()
    return project


def gate(bank: Project, call: str) -> Outcome:
    bank.write("test_gate.py", f"def test_it(ml_performance, request):\n    ml_performance.{call}\n")
    bank.run()
    return bank.verdict("performance.it").outcome


def evidence(bank: Project) -> Evidence:
    [run] = bank.runs("performance.it")
    assert run.evidence is not None, run.reason
    return run.evidence


@pytest.mark.parametrize("kind", ["majority", "logistic"])
def test_beats_a_simple_model(bank: Project, kind: str) -> None:
    assert gate(bank, f'not_worse_than("{kind}", "roc_auc", by_at_least=0.3)') is Outcome.PASS
    found = evidence(bank)
    assert str(found.details["baseline"]).startswith(f"{kind}: ")
    assert [m.metric for m in found.measurements] == [
        "roc_auc_difference",
        "roc_auc",
        "roc_auc_of_baseline",
    ]
    assert gate(bank, f'not_worse_than("{kind}", "roc_auc", by_at_least=0.48)') is Outcome.FAIL


def test_a_policys_limit_asks_nothing_of_the_baseline(bank: Project) -> None:
    limit = '[[limit]]\ngate = "performance.*"\nmetric = "roc_auc"\nat_least = 0.8\n'
    text = (bank.root / "policy.toml").read_text(encoding="utf-8")
    bank.write("policy.toml", text + limit)
    assert gate(bank, 'not_worse_than("prior", "roc_auc")') is Outcome.PASS


def test_the_model_that_serves_today(bank: Project) -> None:
    worse = 'lambda rows: rows["score"].to_numpy() * 0.7'
    assert gate(bank, f'not_worse_than({worse}, "accuracy", margin=0.01)') is Outcome.PASS
    assert evidence(bank).details["newly_broken"] != 0
    assert (
        gate(bank, 'not_worse_than(request.getfixturevalue("prodml_model"), "accuracy")') is not Outcome.PASS
    )


def test_the_certificate_of_the_release_before(bank: Project) -> None:
    assert gate(bank, 'at_least("roc_auc", 0.8)') is Outcome.PASS
    shutil.copy(bank.out / "certificate.json", bank.root / "before.json")
    ask = 'not_worse_than("before.json", "roc_auc", margin={})'
    # The same artefact again says nothing; and no key is configured yet.
    assert gate(bank, ask.format(0.05)) is not Outcome.PASS
    bank.configure(f'baseline_keys = ["{bank.key.with_suffix(".pub")}"]', model="threshold = 0.5\n")
    assert gate(bank, ask.format(0.05)) is not Outcome.PASS
    bank.write("model.bin", "the next model\n")
    bank.write("conftest.py", CONFTEST.format(noise=0.9))
    assert gate(bank, ask.format(0.05)) is Outcome.PASS
    found = evidence(bank)
    assert found.details["baseline_decision"] == "READY"
    assert "before.json" in [material.name for material in found.materials]
    bank.write("conftest.py", CONFTEST.format(noise=2.0))
    bank.write("model.bin", "a bad model\n")
    assert gate(bank, ask.format(0.05)) is Outcome.FAIL
