"""The contract of a model in service, and privacy, as a user sees them: gates, one certificate."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from onnx_models import classifier, exported, features, save
from plugin.project import Project
from pytest_prodml.plugin.gates import seed_of
from pytest_prodml.records import Evidence, Outcome

# What is compiled can be imported only once, and these tests run in this process.
for name in (
    "scipy.special",
    "sklearn.ensemble",
    "threadpoolctl",
    "pytest_prodml.adapters.onnx",
    "pytest_prodml.checks.behavior.execution",
    "pytest_prodml.checks.behavior.private_copies",
    "pytest_prodml.checks.behavior.private",
    "pytest_prodml.plugin.behavior",
    "pytest_prodml.plugin.behavior_execution",
):
    importlib.import_module(name)

SETTINGS = '[data]\ntest = "test.csv"\nreference = "train.csv"\ntarget = "label"\n'
POLICY = 'name = "production"\nversion = "1"\n[require]\ndimensions = ["behavior"]\n'
MODEL = """
import pytest
from pytest_prodml.adapters import load_model

@pytest.fixture(scope="session")
def prodml_model():
    return load_model("model.onnx", columns=["a", "b", "c"])
"""


def table(n_rows: int, seed: int) -> pd.DataFrame:
    rows = pd.DataFrame(features(n_rows, seed=seed), columns=["a", "b", "c"])
    return rows.assign(label=(rows["a"] + np.random.default_rng(seed).logistic(size=n_rows) > 0).astype(int))


@pytest.fixture
def bank(project: Project) -> Project:
    for file, seed in (("test.csv", 1), ("train.csv", 2)):
        table(1500, seed).to_csv(project.root / file, index=False)
    save(exported(classifier()), project.root / "model.onnx")
    project.write("conftest.py", MODEL)
    project.write("policy.toml", POLICY)
    project.write(
        "prodml.toml",
        f'policy = "policy.toml"\nkey = "{project.key}"\n[model]\npath = "model.onnx"\nname = "bank"\nversion = "1"\n{SETTINGS}',
    )
    return project


def evidence_of(project: Project, gate_id: str) -> Evidence:
    [run] = project.runs(gate_id)
    assert run.evidence is not None
    return run.evidence


def cases(evidence: Evidence) -> dict[str, dict[str, Any]]:
    rows: Any = evidence.details["cases"]
    return {row["case"]: row for row in rows}


def test_a_healthy_model_is_ready(bank: Project) -> None:
    bank.write(
        "test_gates.py",
        """
        def test_contract(ml_behavior):
            ml_behavior.robust_execution(skip=["memory", "threads"], nan_refuses=True)

        def test_private(ml_behavior):
            ml_behavior.private(at_most=0.15)
            ml_behavior.memorised(at_most=0.05)
        """,
    )
    result = bank.run()
    assert result.ret == 0, result.outlines
    contract = evidence_of(bank, "behavior.contract")
    assert cases(contract)["process"]["outcome"] == "passed"
    assert contract.details["skipped"] == ["threads", "memory"]
    assert contract.seed == seed_of("behavior.contract", 0)
    [subject] = bank.issued().subjects
    assert [item.digest for item in contract.subjects] == [subject.digest]
    runs = [run.evidence for run in bank.runs("behavior.private")]
    found = [evidence for evidence in runs if evidence is not None]
    assert {material.name for evidence in found for material in evidence.materials} >= {
        "test.csv",
        "train.csv",
    }


def test_a_fault_is_told_where_the_test_stands(bank: Project) -> None:
    bank.write(
        "conftest.py",
        """
        import numpy as np
        import pytest
        from pytest_prodml.adapters import bind

        def score(rows):
            own = rows["a"].to_numpy(dtype=float)
            return (own - own.min()) / max(own.max() - own.min(), 1e-9)

        @pytest.fixture(scope="session")
        def prodml_model():
            return bind(score, "model.onnx")
        """,
    )
    bank.write(
        "test_gates.py",
        """
        def test_contract(ml_behavior):
            ml_behavior.robust_execution(only=["neighbours", "row_order"])

        def test_undecided(ml_behavior):
            ml_behavior.robust_execution(only=["row_order", "process"])

        def test_misspelled(ml_behavior):
            ml_behavior.robust_execution(skip=["memry"])
        """,
    )
    result = bank.run()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*failed: neighbours (random half 1 of the rows: another answer in*"])
    result.stdout.fnmatch_lines(["*did you mean 'memory'*"])
    assert bank.verdict("behavior.contract").outcome is Outcome.FAIL
    assert bank.verdict("behavior.undecided").outcome is Outcome.INCONCLUSIVE
    assert "more than model.onnx alone" in bank.verdict("behavior.undecided").message
    assert bank.verdict("behavior.misspelled").outcome is not Outcome.PASS


def test_generated_rows_that_copy_the_reference_fail(bank: Project) -> None:
    bank.write(
        "test_gates.py",
        """
        import pandas as pd

        def test_copies(ml_behavior):
            train = pd.read_csv("train.csv").drop(columns="label")
            ml_behavior.reproduced(train.sample(500, random_state=0), at_most=0.05)
        """,
    )
    assert bank.run().ret != 0
    assert bank.verdict("behavior.copies").outcome is Outcome.FAIL
    found = evidence_of(bank, "behavior.copies")
    assert {material.name for material in found.materials} == {"generated", "train.csv", "test.csv"}
