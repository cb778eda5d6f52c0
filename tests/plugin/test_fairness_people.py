"""The checks of single persons as a user sees them: one file of gates, one certificate."""

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
    "scipy.stats",
    "scipy.spatial.distance",
    "sklearn.ensemble",
    "threadpoolctl",
    "pytest_prodml.checks.fairness",
    "pytest_prodml.plugin.fairness",
):
    importlib.import_module(name)

CONFTEST = """
import numpy as np
import pytest
from pytest_prodml.adapters import bind

OF_SEX = {of_sex}

def score(rows):
    odds = 2.0 * rows["income"] - rows["debt"]
    if OF_SEX:
        odds = odds + OF_SEX * (rows["sex"] == "m")
    return 1 / (1 + np.exp(-odds))

@pytest.fixture(scope="session")
def prodml_model():
    return bind(score, "model.bin")
"""

GATES = """
def test_swap(ml_fairness):
    ml_fairness.counterfactual("sex", at_most=0.02, score_at_most=0.02)

def test_proxies(ml_fairness):
    ml_fairness.proxies("sex", at_most=0.65)

def test_alike(ml_fairness):
    ml_fairness.individual(at_most=0.15)
"""

SETTINGS = (
    'name = "bank"\nversion = "3"\nthreshold = 0.5\n'
    '[data]\ntest = "test.csv"\ntarget = "repaid"\nsensitive = ["sex", "title"]\nentity = "client"\n'
)


@pytest.fixture
def bank(project: Project) -> Project:
    random = np.random.default_rng(7)
    n = 2000
    sex = random.choice(["f", "m"], n)
    frame = pd.DataFrame(
        {
            "client": np.arange(n),
            "income": random.normal(size=n),
            "debt": random.normal(size=n),
            "sex": sex,
            "title": np.where(sex == "m", "Mr", "Ms"),
            "repaid": random.integers(0, 2, n),
        }
    )
    frame.to_csv(project.root / "test.csv", index=False)
    gates(project, GATES)
    project.configure(model=SETTINGS)
    return project


def gates(project: Project, text: str, *, of_sex: float = 0.0) -> None:
    (project.root / "test_gates.py").write_text(text)
    (project.root / "conftest.py").write_text(CONFTEST.replace("{of_sex}", str(of_sex)))
    project.write("policy.toml", 'name = "production"\nversion = "1"\n[require]\ndimensions = ["fairness"]\n')


def evidence_of(project: Project, gate_id: str) -> Evidence:
    [run] = project.runs(gate_id)
    assert run.evidence is not None
    return run.evidence


def test_a_model_that_treats_people_alike_is_ready(bank: Project) -> None:
    result = bank.run()
    assert result.ret == 0, result.outlines
    swap = evidence_of(bank, "fairness.swap")
    assert "does not see sex" in str(swap.measurements[0].note)
    [subject] = bank.issued().subjects
    for gate in ("swap", "proxies", "alike"):
        found = evidence_of(bank, f"fairness.{gate}")
        assert subject in found.subjects
        assert [material.name for material in found.materials] == ["test.csv"]
    alike = evidence_of(bank, "fairness.alike")
    assert alike.details["columns"] == ["income", "debt"]
    assert alike.details["ignored"] == ["sex", "title", "client"]
    assert alike.seed == seed_of("fairness.alike", 0)
    assert [item.limit for item in swap.criteria] == [0.02, 0.02]


def test_a_model_that_looks_at_sex_is_not(bank: Project) -> None:
    gates(bank, GATES, of_sex=3.0)
    assert bank.run().ret != 0
    assert bank.verdict("fairness.swap").outcome is Outcome.FAIL
    assert bank.verdict("fairness.alike").outcome is Outcome.FAIL
    # The other inputs do not tell the sex, so they are no proxies; the attribute itself is the fault.
    assert bank.verdict("fairness.proxies").outcome is Outcome.PASS
    shown: Any = evidence_of(bank, "fairness.alike").details["pairs_treated_unlike"]
    assert {row["differ_in"].partition(",")[0] for row in shown} == {"sex"}


def test_without_a_limit_proxies_explain_and_never_pass(bank: Project) -> None:
    gates(bank, 'def test_proxies(ml_fairness):\n    ml_fairness.proxies("sex", repeats=1)\n')
    assert bank.run().ret != 0
    assert bank.verdict("fairness.proxies").outcome is Outcome.INCONCLUSIVE
    assert evidence_of(bank, "fairness.proxies").details["gap_through_inputs"]


WRONG = {
    "missing column": ('counterfactual("sxe", at_most=0.1)', "there is no column 'sxe'"),
    "bare function": (
        'counterfactual("sex", at_most=0.1, dependants=lambda rows, value: rows)',
        "must say which columns it changes",
    ),
    "lower level": ('proxies("sex", at_most=0.7, level=0.8)', "is below the 0.95 of this run"),
    "text": ('individual(at_most=0.1, ignore="sex")', "lists of names"),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_get_a_sentence(bank: Project, case: str) -> None:
    call, told = WRONG[case]
    gates(bank, f"def test_x(ml_fairness):\n    ml_fairness.{call}\n")
    result = bank.run()
    assert result.ret != 0
    result.stdout.fnmatch_lines([f"*{told}*"])
    assert bank.verdict("fairness.x").outcome is not Outcome.PASS


def test_what_the_gate_declares_reaches_the_check(bank: Project) -> None:
    gates(
        bank,
        "def test_x(ml_fairness):\n"
        '    titles = {"f": "Ms", "m": "Mr"}\n'
        '    ml_fairness.counterfactual("sex", at_most=0.02, threshold=0.4, redact=True, level=0.99,\n'
        '        dependants={"title": lambda rows, value: titles[value]})\n',
        of_sex=0.5,
    )
    bank.run()
    found = evidence_of(bank, "fairness.x")
    assert found.details["moved_with_it"] == ["title"]
    assert "largest_changes" not in found.details
    assert found.measurements[0].confidence_level == 0.99
    assert bank.verdict("fairness.x").outcome is Outcome.FAIL
