"""Rules of behavior as a user sees them: gates, printed counterexamples, seeds, Hypothesis beside us."""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from plugin.project import Project
from pytest_prodml.plugin.gates import seed_of
from pytest_prodml.records import Evidence, Outcome

# What is compiled can be imported only once, and these tests run in this process.
for name in ("hypothesis", "scipy.stats", "pytest_prodml.checks.behavior", "pytest_prodml.plugin.behavior"):
    importlib.import_module(name)

CONFTEST = """
import numpy as np
import pytest
from pytest_prodml.adapters import bind

IS_FAULTY = {is_faulty}

def score(rows):
    risk = 1 / (1 + np.exp((rows["income"] - 2000) / 500))
    fault = (rows["sex"] == "m") & (rows["income"] > 4321) & (rows["late"] >= 3)
    return np.where(fault & IS_FAULTY, 0.9, risk)

@pytest.fixture(scope="session")
def prodml_model():
    return bind(score, "model.bin")
"""

GATES = """
def test_sex(ml_behavior):
    ml_behavior.invariant_to("sex", never=True, n_inputs=4000)

def test_rate(ml_behavior):
    ml_behavior.invariant_to("sex", at_most=0.002, inputs="plausible")

def richer(rows):
    return rows.assign(income=rows["income"] + 500)

def test_richer(ml_behavior):
    ml_behavior.directional(richer, expect="not_increase", at_most=0.005)

def test_income(ml_behavior):
    ml_behavior.monotone("income", "decreasing", never=True, n_inputs=500)

def test_cases(ml_behavior):
    ml_behavior.minimum_functionality([({"income": 0.0}, 1), ({"income": 9000.0, "sex": "f"}, (0, 0.1))])

def test_own(ml_behavior):
    ml_behavior.consistent(richer, lambda before, after: after <= before, name="richer is safer", never=True)

def test_near(ml_behavior):
    ml_behavior.bounded_change("income", 1.0, change_at_most=0.1, at_most=0.01)

def test_finite(ml_behavior):
    ml_behavior.finite_on_generated(max_examples=500)
"""

SETTINGS = 'name = "bank"\nversion = "3"\nthreshold = 0.5\n[data]\ntest = "test.csv"\ntarget = "bad"\n'


@pytest.fixture
def bank(project: Project) -> Project:
    random = np.random.default_rng(7)
    n = 2000
    frame = pd.DataFrame(
        {
            "sex": random.choice(["f", "m"], n),
            "income": random.gamma(2.0, 1000.0, n).round(2),
            "late": random.integers(0, 5, n),
            "bad": random.integers(0, 2, n),
        }
    )
    frame.to_csv(project.root / "test.csv", index=False)
    gates(project, GATES)
    project.configure(model=SETTINGS)
    return project


def gates(project: Project, text: str, *, is_faulty: bool = False) -> None:
    (project.root / "test_gates.py").write_text(text)
    (project.root / "conftest.py").write_text(CONFTEST.replace("{is_faulty}", str(is_faulty)))
    project.write("policy.toml", 'name = "production"\nversion = "1"\n[require]\ndimensions = ["behavior"]\n')


def evidence_of(project: Project, gate_id: str) -> Evidence:
    [run] = project.runs(gate_id)
    assert run.evidence is not None
    return run.evidence


def test_a_model_that_keeps_the_rules_is_ready(bank: Project) -> None:
    result = bank.run()
    assert result.ret == 0, result.outlines
    searched = evidence_of(bank, "behavior.sex")
    assert searched.seed == seed_of("behavior.sex", 0)
    assert [material.name for material in searched.materials] == ["test.csv"]
    [subject] = bank.issued().subjects
    assert subject in searched.subjects
    # Nothing was found, so nothing is kept.
    assert not (bank.root / ".prodml").exists()


def test_a_model_that_breaks_them_is_not_and_the_smallest_example_is_printed(bank: Project) -> None:
    gates(bank, GATES, is_faulty=True)
    result = bank.run()
    assert result.ret != 0
    for gate in ("sex", "rate", "income"):
        assert bank.verdict(f"behavior.{gate}").outcome is Outcome.FAIL, gate
    assert bank.verdict("behavior.cases").outcome is Outcome.PASS
    assert bank.verdict("behavior.finite").outcome is Outcome.PASS
    result.stdout.fnmatch_lines(
        [
            "*Captured counterexample call*",
            "The rule: the decision stays with any other value of sex",
            "*column*ordinary row*before*after*",
            "*income*5000*5000*",
            "*It is still broken up to*",
        ]
    )
    stored = json.loads((bank.root / ".prodml/counterexamples/behavior.sex.json").read_text())
    [entry] = stored["entries"]
    assert entry["input"]["cells"]["income"] == 5000
    # The next run asks the known one first, also where the new search is too small to find any.
    gates(bank, GATES.replace("n_inputs=4000", 'inputs="plausible", n_inputs=1'), is_faulty=True)
    bank.run("-k", "test_sex")
    again = evidence_of(bank, "behavior.sex")
    known: Any = again.details["known_counterexamples"]
    assert (known["tried"], known["still_broken"]) == (1, 1)
    assert "counterexamples of behavior.sex" in [item.name for item in again.materials]
    page = (bank.out / "certificate.html").read_text()
    assert "Minimal counterexample" in page


def test_the_place_of_counterexamples_is_configured_and_redaction_keeps_them_out(bank: Project) -> None:
    bank.configure(model=SETTINGS + '[behavior]\ncounterexamples = "tests/known"\n')
    text = (
        'def test_sex(ml_behavior):\n    ml_behavior.invariant_to("sex", never=True)\n'
        'def test_secret(ml_behavior):\n    ml_behavior.invariant_to("sex", never=True, redact=True)\n'
    )
    gates(bank, text, is_faulty=True)
    result = bank.run()
    assert [file.name for file in (bank.root / "tests/known").iterdir()] == ["behavior.sex.json"]
    assert "minimal_counterexample" not in evidence_of(bank, "behavior.secret").details
    assert result.stdout.str().count("Captured counterexample call") == 1


def test_a_seed_of_hypothesis_is_the_seed_of_what_is_generated(bank: Project) -> None:
    text = 'def test_sex(ml_behavior):\n    ml_behavior.invariant_to("sex", never=True, inputs="plausible")\n'
    gates(bank, text, is_faulty=True)
    found = []
    for seed in ("17", "17", "18"):
        for file in bank.root.glob(".prodml/counterexamples/*"):
            file.unlink()
        bank.run("-p", "_hypothesis_pytestplugin", f"--hypothesis-seed={seed}")
        evidence = evidence_of(bank, "behavior.sex")
        assert evidence.seed == int(seed)
        found.append(evidence.details["counterexamples"])
    assert found[0] == found[1] != found[2]


def test_tests_of_ones_own_with_given_are_gates_and_strategies_feed_rules(bank: Project) -> None:
    text = """
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from pytest_prodml.checks.behavior.strategies import rows

TABLE = pd.read_csv("test.csv").drop(columns="bad")
settings.register_profile("few", max_examples=7)
settings.load_profile("few")
SEEN = []

@pytest.mark.ml_behavior
@given(rows(TABLE))
def test_given(prodml_model, row):
    SEEN.append(row)
    assert 0 <= prodml_model.predict_score(pd.DataFrame([row]))[0] <= 1

def test_profile():
    assert 0 < len(SEEN) <= 7

@pytest.mark.ml_behavior
@given(rows(TABLE))
@settings(max_examples=200, database=None)
def test_broken(prodml_model, row):
    assert prodml_model.predict_score(pd.DataFrame([row]))[0] < 0.5

def test_strategy(ml_behavior):
    ml_behavior.invariant_to("sex", never=True, inputs=rows(TABLE), n_inputs=50)

def test_texts(ml_behavior):
    ml_behavior.consistent(str.strip, lambda a, b: a == b, data=["a ", " b"], at_most=1.0)
"""
    gates(bank, text)
    # A function of texts needs a model of texts.
    (bank.root / "conftest.py").write_text(
        CONFTEST.replace("{is_faulty}", "False").replace(
            "def score(rows):\n",
            "def score(rows):\n    if isinstance(rows, list):\n        return [0.1] * len(rows)\n",
        )
    )
    result = bank.run("-p", "_hypothesis_pytestplugin")
    result.assert_outcomes(passed=4, failed=1)
    assert bank.verdict("behavior.given").outcome is Outcome.PASS
    assert bank.verdict("behavior.broken").outcome is Outcome.FAIL
    result.stdout.fnmatch_lines(["*: test_broken(*"])


WRONG = {
    "no claim": ('invariant_to("sex")', "is either a rate or a rule that is never broken"),
    "misspelt": ('invariant_to("sex", at_moost=0.1)', "there is no option at_moost"),
    "no column": ('monotone("incme", "increasing", at_most=0.1)', "no column 'incme'"),
    "lower level": ('symmetric("income", "late", at_most=0.1, level=0.8)', "is below the 0.95 of this run"),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_get_a_sentence(bank: Project, case: str) -> None:
    call, told = WRONG[case]
    gates(bank, f"def test_x(ml_behavior):\n    ml_behavior.{call}\n")
    result = bank.run()
    assert result.ret != 0
    result.stdout.fnmatch_lines([f"*{told}*"])
    assert bank.verdict("behavior.x").outcome is not Outcome.PASS


def test_people_in_several_rows_count_once(bank: Project) -> None:
    table = pd.read_csv(bank.root / "test.csv")
    table = pd.concat([table.head(100).assign(client=range(100))] * 10)
    table.to_csv(bank.root / "test.csv", index=False)
    gates(bank, 'def test_sex(ml_behavior):\n    ml_behavior.invariant_to("sex", at_most=0.01)\n')
    assert bank.run().ret == 0
    bank.configure(model=SETTINGS + 'entity = "client"\n')
    assert bank.run().ret != 0
    assert bank.verdict("behavior.sex").outcome is Outcome.INCONCLUSIVE


def test_workers_find_the_same(bank: Project) -> None:
    gates(bank, GATES, is_faulty=True)
    bank.run()
    alone = {gate: evidence_of(bank, f"behavior.{gate}") for gate in ("sex", "income", "rate")}
    for file in bank.root.glob(".prodml/counterexamples/*"):
        file.unlink()
    bank.run("-n", "2", sub=True)
    for gate, before in alone.items():
        after = evidence_of(bank, f"behavior.{gate}")
        assert (after.seed, after.measurements) == (before.seed, before.measurements)
        assert after.details["minimal_counterexample"] == before.details["minimal_counterexample"]


TEXTS = """
import numpy as np
import pytest
from pytest_prodml.adapters import bind

def angry(texts):
    return np.asarray([0.9 if "not" in text.split() else 0.1 for text in texts])

@pytest.fixture(scope="session")
def prodml_model():
    return bind(angry, "model.bin")

@pytest.fixture(scope="session")
def prodml_test():
    return (["all good", "not good", "fine", "it is not so"] * 100, [0, 1, 0, 1] * 100)
"""


def test_a_model_of_texts_is_a_subject_like_any_other(bank: Project) -> None:
    text = """
def test_strip(ml_behavior):
    ml_behavior.invariant_to(lambda text: text + "  ", at_most=0.02)

def test_shout(ml_behavior):
    ml_behavior.invariant_to(str.upper, at_most=0.1)

def test_typos(ml_behavior):
    ml_behavior.robust_to("whitespace", severity=0.5, at_most=0.05, metric="accuracy", drop_at_most=0.05)

def test_cases(ml_behavior):
    ml_behavior.minimum_functionality([("this is not it", 1), ("yes", 0)])
"""
    gates(bank, text)
    (bank.root / "conftest.py").write_text(TEXTS)
    result = bank.run()
    outcomes = {
        gate: bank.verdict(f"behavior.{gate}").outcome for gate in ("strip", "shout", "typos", "cases")
    }
    assert outcomes == {
        "strip": Outcome.PASS, "shout": Outcome.FAIL, "typos": Outcome.PASS, "cases": Outcome.PASS,
    }, result.outlines  # fmt: skip
    shouted = evidence_of(bank, "behavior.shout")
    assert shouted.materials[0].annotations["rows"] == 400
    result.stdout.fnmatch_lines(["*input*not*NOT*"])
