"""`ml_fairness.gap_explained` and `tradeoff` in a project: recorded and shown, and never what a gate passes by."""

from __future__ import annotations

import importlib

import pytest

from plugin.project import Project
from pytest_prodml.records import Evidence, Outcome, Readiness

# As in conftest.py: what is compiled can be imported only once, and these tests run in this process.
for name in ("scipy.special", "pandas", "pytest_prodml.checks.fairness", "pytest_prodml.plugin.fairness"):
    importlib.import_module(name)

CONFTEST = """
import numpy as np
import pandas as pd
import pytest
from pytest_prodml.adapters import bind

@pytest.fixture(scope="session")
def prodml_model():
    return bind(lambda rows: rows["score"].to_numpy(), "model.bin")

@pytest.fixture(scope="session")
def prodml_test():
    random = np.random.default_rng(3)
    n = 3000
    sex = random.choice(["f", "m"], n)
    job = np.where(random.random(n) < np.where(sex == "f", 0.7, 0.3), "A", "B")
    truth = (random.random(n) < np.where(job == "A", 0.3, 0.6)).astype(int)
    score = np.clip(np.where(job == "A", 0.35, 0.6) + random.normal(0, 0.15, n), 0, 1)
    frame = pd.DataFrame({
        "score": score, "sex": sex, "job": job, "income": random.normal(3000, 500, n), "weight": 1.0 + (sex == "f"),
        "client": np.arange(n) // 3,
    })
    return frame, pd.Series(truth, name="repaid")
"""
POLICY = 'name = "p"\nversion = "1"\n[require]\ngates = ["fairness.it"]\n'
GATE = 'ml_fairness.difference_at_most("selection_rate", {limit}, by=["sex"])'
EXPLAINED = 'ml_fairness.gap_explained("selection_rate", by="sex", factors=["job"])'
TRADEOFF = 'ml_fairness.tradeoff("selection_rate", by="sex")'


@pytest.fixture
def bank(project: Project) -> Project:
    project.write("conftest.py", CONFTEST)
    project.write("policy.toml", POLICY)
    project.configure(model="threshold = 0.5\n")
    return project


def run(bank: Project, *body: str) -> pytest.RunResult:
    lines = "\n".join(f"    {line}" for line in body)
    bank.write("test_gates.py", f"def test_it(ml_fairness):\n{lines}\n")
    return bank.run()


def evidence(bank: Project) -> Evidence:
    [done] = bank.runs("fairness.it")
    assert done.evidence is not None
    return done.evidence


def test_a_gate_of_explanations_only_is_inconclusive_although_its_test_passes(bank: Project) -> None:
    result = run(bank, EXPLAINED, TRADEOFF)
    result.assert_outcomes(passed=1)
    assert bank.readiness() is Readiness.NOT_READY
    verdict = bank.verdict("fairness.it")
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "no-evidence")
    found = evidence(bank)
    assert found.criteria == ()
    assert {m.metric for m in found.measurements} >= {
        "selection_rate_gap",
        "selection_rate_gap_within_strata",
        "tradeoff_selection_rate_difference",
        "tradeoff_accuracy",
    }
    assert found.subjects[0].name == "model.bin"


@pytest.mark.parametrize(("limit", "outcome"), [(0.9, Outcome.PASS), (0.01, Outcome.FAIL)])
def test_a_gate_is_judged_by_its_limit_as_if_nothing_were_explained(
    bank: Project, limit: float, outcome: Outcome
) -> None:
    run(bank, EXPLAINED, TRADEOFF, GATE.format(limit=limit))
    explained = bank.verdict("fairness.it")
    assert explained.outcome is outcome
    run(bank, GATE.format(limit=limit))
    assert bank.verdict("fairness.it").message == explained.message


def test_no_limit_of_the_policy_makes_it_a_pass(bank: Project) -> None:
    limit = '[[limit]]\ngate = "fairness.it"\nmetric = "selection_rate_gap_within_strata"\nat_most = 0.9\n'
    bank.write("policy.toml", POLICY + limit)
    run(bank, EXPLAINED)
    assert bank.verdict("fairness.it").outcome is Outcome.INCONCLUSIVE


def test_the_page_says_explanation_and_draws_the_curve(bank: Project) -> None:
    run(bank, EXPLAINED, TRADEOFF, GATE.format(limit=0.9))
    page = (bank.out / "certificate.html").read_text(encoding="utf-8")
    assert "Explanation: gap by sex against performance" in page
    assert "in use: 0.5" in page
    assert "explanation, not a verdict" in page
    assert "Strata of selection_rate, sex=f minus m" in page or "trata of selection" in page
    assert "job=A" in page


def test_the_parts_are_those_of_the_decisions(bank: Project) -> None:
    run(
        bank, EXPLAINED, 'ml_fairness.gap_explained("selection_rate", by="sex", factors="job", threshold=0.3)'
    )
    gaps = [m.value for m in evidence(bank).measurements if m.metric == "selection_rate_gap"]
    assert len(gaps) == 2
    assert gaps[0] != gaps[1]
    within = next(m for m in evidence(bank).measurements if m.metric.endswith("within_strata"))
    composition = next(m for m in evidence(bank).measurements if m.metric.endswith("composition"))
    assert within.value is not None
    assert abs(within.value) < 0.06, "the score looks at the job alone"
    assert composition.value is not None
    assert abs(composition.value) > 0.15


def test_a_mean_by_bands_at_a_higher_level(bank: Project) -> None:
    call = 'ml_fairness.gap_explained("mean_prediction", by="sex", factors=["income"], bins={"income": [2500, 3500]}, level=0.99)'
    run(bank, call)
    assert {m.confidence_level for m in evidence(bank).measurements} == {0.99}
    assert any("income=[2500, 3500)" in str(value) for value in evidence(bank).details.values())


def test_weights_and_persons_of_the_project_count(bank: Project) -> None:
    run(bank, EXPLAINED)
    plain = evidence(bank).measurements[2]
    bank.configure(model='threshold = 0.5\n[data]\nentity = "client"\nsample_weight = "weight"\n')
    run(bank, EXPLAINED)
    weighted = evidence(bank)
    facts = weighted.details["explanation of selection_rate by sex"]
    assert isinstance(facts, dict)
    assert (facts["weighted"], facts["clusters"]) == (True, True)
    assert weighted.measurements[2].lower != plain.lower
    run(bank, TRADEOFF).stdout.fnmatch_lines(["*sample_weight or entity say*"])
    assert bank.verdict("fairness.it").outcome is not Outcome.PASS


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('ml_fairness.gap_explained("selection_rate", by="sex", factors=[])', "*no factor*"),
        ('ml_fairness.gap_explained("selection_rate", by="sex", factors=["jb"])', "*jb*"),
        ('ml_fairness.gap_explained("selection", by="sex", factors=["job"])', "*selection_rate*"),
        ('ml_fairness.tradeoff("selection_rate", by="sex", performance="auc")', "*auc*"),
        ('ml_fairness.tradeoff("selection_rate", by="sex", level=0.6)', "*below the 0.95*"),
    ],
)
def test_what_is_asked_wrongly_is_an_error_and_no_pass(bank: Project, call: str, message: str) -> None:
    result = run(bank, call)
    result.stdout.fnmatch_lines([message])
    result.assert_outcomes(failed=1)
    assert bank.verdict("fairness.it").outcome is not Outcome.PASS


def test_an_explanation_with_criteria_is_refused(bank: Project) -> None:
    bank.write(
        "test_gates.py",
        """
        import pytest
        from pytest_prodml.records import Comparison, Criterion, Evidence

        @pytest.mark.ml_fairness(gate="fairness.it")
        def test_it(prodml):
            criterion = Criterion(metric="m", comparison=Comparison.AT_MOST, limit=1.0)
            prodml.note(lambda: Evidence(gate_id=prodml.gate_id, measurements=(), criteria=(criterion,)))
        """,
    )
    bank.run().stdout.fnmatch_lines(["*an explanation has no criteria*"])
    assert bank.verdict("fairness.it").outcome is not Outcome.PASS
