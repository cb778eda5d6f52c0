"""`ml_fairness` between groups on a small project: any metric, any groups, small ones, and what the gate decides."""

from __future__ import annotations

import importlib

import pytest

from plugin.project import Project
from pytest_prodml.cli import main
from pytest_prodml.policy.judge import LEFT_OUT
from pytest_prodml.records import Evidence, Measurement, Outcome, Readiness

# As in conftest.py: what is compiled can be imported only once, and these tests run in this process.
for name in ("scipy.special", "sklearn.metrics", "pandas", "pytest_prodml.checks.fairness"):
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
    n = 4000
    truth = random.integers(0, 2, n)
    sex = np.where(np.arange(n) < 8, "x", np.where(np.arange(n) % 2 == 0, "f", "m"))
    frame = pd.DataFrame({
        "score": np.clip(0.3 + 0.4 * truth + random.normal(0, 0.1, n) + SHIFT * (sex == "m"), 0, 1),
        "sex": sex,
        "age": random.integers(20, 70, n),
        "origin": random.choice(["north", "north;south", "south"], n),
        "client": np.arange(n) // 3,
        "weight": np.where(sex == "f", 9.0, 1.0),
        "list": np.arange(n) // 8,
    })
    return FRAME
"""
PAIR = '(frame, pd.Series(truth, name="repaid"))'
HEAD = 'name = "p"\nversion = "1"\n'
REQUIRE = '[require]\ngates = ["fairness.it"]\n'


def lay_out(
    project: Project, *, shift: float = 0.0, frame: str = PAIR, toml: str = "", policy: str = ""
) -> None:
    project.write("conftest.py", CONFTEST.replace("SHIFT", str(shift)).replace("FRAME", frame))
    project.write("policy.toml", HEAD + policy + REQUIRE)
    project.configure(model=f"threshold = 0.5\n{toml}")


def gate(project: Project, call: str) -> Evidence:
    project.write("test_gates.py", f"def test_it(ml_fairness):\n    ml_fairness.{call}\n")
    project.run()
    [done] = project.runs("fairness.it")
    assert done.evidence is not None, done.reason
    return done.evidence


def outcome(project: Project) -> Outcome:
    return project.verdict("fairness.it").outcome


def measured(evidence: Evidence, metric: str, group: str) -> Measurement:
    [found] = [m for m in evidence.measurements if (m.metric, m.group) == (metric, group)]
    return found


CALLS = [
    'difference_at_most("selection_rate", 0.1, by="origin")',
    'difference_at_most("equalized_odds", 0.15, by="origin")',
    'difference_at_most("mean_prediction", 0.05, by="origin")',
    'difference_at_most("roc_auc", 0.05, by="origin")',
    'difference_at_most("expected_calibration_error", 0.1, by="origin")',
    'ratio_at_least("selection_rate", 0.8, by=["age", ("age", "origin")], bins={"age": [45]})',
    'group_at_least("accuracy", 0.9, by="origin", threshold=0.5)',
    'group_at_most("brier_score_loss", 0.2, by="origin")',
    'difference_at_most("selection_rate", 0.15, by="origin", separators={"origin": ";"})',
]


@pytest.mark.parametrize("call", CALLS)
def test_a_fair_model_passes(project: Project, call: str) -> None:
    lay_out(project)
    evidence = gate(project, call)
    assert outcome(project) is Outcome.PASS
    assert evidence.subjects[0].name == "model.bin"


@pytest.mark.parametrize(
    "call",
    [
        'difference_at_most("selection_rate", 0.1, by="sex")',
        'difference_at_most("mean_prediction", 0.05, by=[("sex", "origin")])',
        'ratio_at_least("selection_rate", 0.8, by="sex")',
        'group_at_most("selection_rate", 0.6, by="sex")',
    ],
)
def test_an_unfair_one_fails(project: Project, call: str) -> None:
    lay_out(project, shift=0.2)
    gate(project, call)
    assert outcome(project) is Outcome.FAIL


def test_the_threshold_is_part_of_the_gate(project: Project) -> None:
    lay_out(project, shift=0.2)
    assert gate(project, 'difference_at_most("selection_rate", 0.9, by="origin")').details["threshold"] == 0.5
    evidence = gate(project, 'difference_at_most("selection_rate", 0.9, by="origin", threshold=0.95)')
    assert evidence.details["threshold"] == 0.95
    assert (measured(evidence, "selection_rate", "origin=north").value or 1) < 0.1


def test_groups_that_are_no_input_and_data_without_labels(project: Project) -> None:
    lay_out(project, frame="frame", toml="favorable_label = 0\n")
    gate(project, 'difference_at_most("selection_rate", 0.1, by="origin")')
    assert outcome(project) is Outcome.PASS
    gate(project, 'difference_at_most("mean_prediction", 0.1, by="origin")')
    assert outcome(project) is Outcome.PASS
    project.write(
        "test_gates.py",
        'def test_it(ml_fairness):\n    ml_fairness.difference_at_most("accuracy", 0.1, by="origin")\n',
    )
    project.run().stdout.fnmatch_lines(["*has no labels*"])
    assert outcome(project) is Outcome.INCONCLUSIVE


def test_weights_and_persons_of_the_configuration_count(project: Project) -> None:
    lay_out(project, toml='[data]\ntarget = "repaid"\nsample_weight = "weight"\nentity = "client"\n')
    evidence = gate(project, 'difference_at_most("selection_rate", 0.3, by="origin")')
    assert evidence.details["weighted"] is True
    assert evidence.details["clusters"] == 1334
    assert "bounds of both added" in measured(evidence, "selection_rate_difference", "origin").method


def test_rankings_use_the_query_column(project: Project) -> None:
    lay_out(project, shift=0.5, toml='[data]\ntarget = "repaid"\nquery = "list"\n')
    evidence = gate(project, 'difference_at_most("exposure", 0.05, by="sex")')
    assert outcome(project) is Outcome.FAIL
    exposed = [measured(evidence, "exposure", f"sex={sex}").value or 0 for sex in "mf"]
    assert exposed[0] > exposed[1]


class TestSmallGroups:
    CALL = 'difference_at_most("selection_rate", 0.1, by="sex")'

    def test_a_small_group_leaves_the_gate_open_and_is_named(self, project: Project) -> None:
        lay_out(project)
        evidence = gate(project, self.CALL)
        assert outcome(project) is Outcome.INCONCLUSIVE
        assert "sex=x: 8 rows, not enough data: about" in str(
            measured(evidence, "selection_rate_difference", "sex").note
        )

    def test_the_policy_may_let_it_be_left_out_and_the_certificate_lists_it(
        self, project: Project, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lay_out(project, policy="min_group = 30\n")
        evidence = gate(project, self.CALL)
        assert outcome(project) is Outcome.PASS
        assert project.readiness() is Readiness.READY
        assert measured(evidence, LEFT_OUT, "sex=x").value == 8
        assert evidence.details["left_out_of_sex"] == [{"group": "sex=x", "rows": 8}]
        page = (project.root / "prodml-report" / "certificate.html").read_text("utf-8")
        assert "left_out_group_rows" in page or "left out" in page
        project.write("stricter.toml", HEAD + REQUIRE)
        arguments = ["verify", str(project.root / "prodml-report" / "certificate.json"),
                     "--model", str(project.root / "model.bin"), "--key", str(project.key.with_suffix(".pub")),
                     "--policy"]  # fmt: skip
        assert main([*arguments, str(project.root / "policy.toml")]) == 0
        assert main([*arguments, str(project.root / "stricter.toml")]) == 15
        told = capsys.readouterr()
        assert "groups were left out (sex=x: 8 rows)" in told.out + told.err


def test_a_higher_level_and_an_alarm(project: Project) -> None:
    lay_out(project)
    evidence = gate(project, 'difference_at_most("selection_rate", 0.1, by="origin", level=0.99)')
    assert {m.confidence_level for m in evidence.measurements} == {0.99}
    lay_out(project, policy='alarm_gates = ["fairness.*"]\n')
    gate(project, 'difference_at_most("selection_rate", 0.1, by="sex", burden="violation")')
    assert project.verdict("fairness.it").reason == "no-violation-proven"
    lay_out(project, shift=0.2, policy='alarm_gates = ["fairness.*"]\n')
    gate(project, 'difference_at_most("selection_rate", 0.1, by="sex", burden="violation")')
    assert outcome(project) is Outcome.FAIL


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ('difference_at_most("selection_rates", 0.1, by="sex")', "did you mean 'selection_rate'"),
        ('difference_at_most("selection_rate", 0.1, by="gender")', "gender"),
        ('difference_at_most("selection_rate", 0.1)', "no groups to compare"),
        ('difference_at_most("selection_rate", 0.1, by="score")', "put them into bands"),
        ('difference_at_most("selection_rate", 0.1, by="sex", threshold="half")', "threshold"),
    ],
)
def test_a_slip_is_told_and_no_pass(project: Project, call: str, told: str) -> None:
    lay_out(project)
    project.write("test_gates.py", f"def test_it(ml_fairness):\n    ml_fairness.{call}\n")
    result = project.run()
    assert told in result.stdout.str()
    assert "Traceback" not in result.stdout.str()
    assert outcome(project) is Outcome.INCONCLUSIVE
