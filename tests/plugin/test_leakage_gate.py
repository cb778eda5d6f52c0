"""`ml_performance.no_leakage` and `stable` in a project: what a reader is told when an evaluation cheats."""

from __future__ import annotations

import importlib

import pytest

from plugin.project import Project
from pytest_prodml.records import Evidence, Outcome

# As in conftest.py: what is compiled can be imported only once, and these tests run in this process.
for name in (
    "scipy.special",
    "sklearn.ensemble",
    "threadpoolctl",
    "pandas",
    "pytest_prodml.plugin.performance",
):
    importlib.import_module(name)

CONFTEST = """
import numpy as np
import pandas as pd
import pytest
from pytest_prodml.adapters import bind

def rows(seed, n, first):
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, n)
    frame = pd.DataFrame({
        "score": 1 / (1 + np.exp(-(2 * truth - 1 + random.normal(size=n)))),
        "age": random.integers(20, 70, n),
        "income": random.lognormal(size=n),
        "debt": random.normal(size=n),
        "job": random.choice(["cook", "clerk", "nurse"], n),
        "client": (np.arange(n) + first) // 2,
        "asked": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(n) + first, unit="h"),
        "weight": random.choice([1.0, 2.0], n),
    })
    return frame, pd.Series(truth, name="repaid")

@pytest.fixture(scope="session")
def prodml_model():
    return bind(lambda frame: frame["score"].to_numpy(), "model.bin")

@pytest.fixture(scope="session")
def prodml_reference():
    return rows(1, 1500, 0)

@pytest.fixture(scope="session")
def prodml_test():
    frame, truth = rows(2, 800, 1500)
    return PLANT(frame, truth)

def PLANT(frame, truth):
    return frame, truth
"""

ROLES = '[data]\nentity = "client"\ntimestamp = "asked"\nsample_weight = "weight"\n'

COPY = """
    seen, answers = rows(1, 1500, 0)
    inputs = ["score", "age", "income", "debt", "job"]
    frame.loc[:39, inputs] = seen.loc[:39, inputs].to_numpy()
    truth = truth.where(truth.index > 39, answers[:len(truth)])
    return frame, truth
"""
ENTITY = '    return frame.assign(client=frame["client"].where(frame.index > 9, 3)), truth\n'
TIME = '    return frame.assign(asked=frame["asked"] - np.timedelta64(5, "h")), truth\n'

#: Put at the end of conftest.py, for a column that is made of the target in both tables.
TARGET_COLUMN = """
honest = rows
def rows(seed, n, first):
    frame, truth = honest(seed, n, first)
    return frame.assign(closing_code=np.where(truth == 1, "p", "d")), truth
"""

TRAIN = """
import numpy as np
from sklearn.linear_model import LogisticRegression

def train(features, target, *, seed):
    rows = np.random.default_rng(seed).permutation(len(features))[:SIZE]
    return LogisticRegression().fit(features[["score"]].iloc[rows].to_numpy(), target[rows])

class OfScore:
    def __init__(self, model): self.model, self.classes_ = model, model.classes_
    def predict(self, rows): return self.model.predict(rows[["score"]].to_numpy())

def retrain(features, target, *, seed): return OfScore(train(features, target, seed=seed))
"""


@pytest.fixture
def bank(project: Project) -> Project:
    project.write("conftest.py", CONFTEST)
    project.write("policy.toml", 'name = "p"\nversion = "1"\n[require]\ndimensions = ["performance"]\n')
    project.configure(ROLES, model="threshold = 0.5\n")
    return project


def gate(bank: Project, call: str, *, head: str = "") -> tuple[Evidence, str]:
    """Run one gate; return its evidence and what the terminal says."""
    bank.write("test_gate.py", f"{head}\ndef test_it(ml_performance):\n    ml_performance.{call}\n")
    told = bank.run().stdout.str()
    [run] = bank.runs("performance.it")
    assert run.evidence is not None, run.reason
    return run.evidence, told


def verdict(bank: Project) -> Outcome:
    return bank.verdict("performance.it").outcome


def test_a_clean_project_passes_the_default_call(bank: Project) -> None:
    evidence, _ = gate(bank, "no_leakage()")
    assert verdict(bank) is Outcome.PASS
    kinds = {measured.metric for measured in evidence.measurements}
    assert {"single_feature", "adversarial_auc", "entity_overlap", "time_overlap", "duplicate_rows"} <= kinds
    not_run = evidence.details["not_run"]
    assert isinstance(not_run, dict)
    assert set(not_run) == {"later_dates", "score_gap", "skill_after_shuffling"}


@pytest.mark.parametrize(
    ("plant", "kind", "said"),
    [
        (
            COPY,
            "duplicate_rows",
            "*duplicate_rows = 0.05*40 of 800 test rows, counted from 0: 0, 1, 2, 3, 4, ...*",
        ),
        (ENTITY, "entity_overlap", "*entity_overlap = 0.0125*10 of 800 test rows*"),
        (TIME, "time_overlap", "*time_overlap = 0.00625*5 of 800 test rows*"),
    ],
)
def test_splits_that_share_something_fail(bank: Project, plant: str, kind: str, said: str) -> None:
    body = CONFTEST.rsplit("    return frame, truth\n", 1)[0] + plant.lstrip("\n")
    bank.write("conftest.py", body)
    _, told = gate(bank, f'no_leakage(only=["{kind}"])')
    assert verdict(bank) is Outcome.FAIL
    pytest.LineMatcher(told.splitlines()).fnmatch_lines([said])


def test_a_column_made_of_the_target_fails_and_is_named(bank: Project) -> None:
    bank.write("conftest.py", CONFTEST + TARGET_COLUMN)
    evidence, told = gate(bank, 'no_leakage(limits={"adversarial_auc": None})')
    assert verdict(bank) is Outcome.FAIL
    assert "the strongest column is 'closing_code'" in told
    failing = [m.metric for m in evidence.measurements if (m.lower or 0) > 0.98]
    assert failing == ["single_feature"]


def test_what_was_asked_for_and_can_not_be_measured_does_not_pass(bank: Project) -> None:
    bank.write("test_gate.py", 'def test_it(ml_performance): ml_performance.no_leakage(only=["score_gap"])\n')
    bank.run().stdout.fnmatch_lines(["*score_gap can not be measured: a metric and the model's answers*"])
    assert verdict(bank) is not Outcome.PASS


def test_the_gap_between_splits_is_measured_with_the_model_of_the_project(bank: Project) -> None:
    evidence, _ = gate(bank, 'no_leakage(only=["score_gap"], metric="roc_auc", limits={"score_gap": 0.08})')
    assert verdict(bank) is Outcome.PASS
    assert evidence.details["score_gap_of"] == "roc_auc"
    assert "effective n" in evidence.measurements[0].method


@pytest.mark.parametrize(("size", "outcome"), [(1_200, Outcome.PASS), (10, Outcome.FAIL)])
def test_retraining(bank: Project, size: int, outcome: Outcome) -> None:
    head = TRAIN.replace("SIZE", str(size))
    call = 'stable(retrain, "accuracy", seeds=8, worst_at_least=0.8, changed_at_most=0.05)'
    evidence, _ = gate(bank, call, head=head)
    retrainings = evidence.details["retrainings"]
    assert isinstance(retrainings, list)
    assert len(retrainings) == 8
    assert verdict(bank) is outcome
    [changed] = [m for m in evidence.measurements if m.metric == "changed_decisions"]
    assert "effective n" in changed.method
