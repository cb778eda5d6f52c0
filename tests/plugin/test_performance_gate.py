"""`ml_performance` on a small project: parts of the rows, groups, levels, burdens, weights and entities."""

from __future__ import annotations

import importlib

import pytest

from plugin.project import Project
from pytest_prodml.records import Burden, Evidence, Outcome, Readiness

# As in conftest.py: what is compiled can be imported only once, and these tests run in this process.
for name in ("scipy.special", "sklearn.metrics", "pandas", "pytest_prodml.plugin.performance"):
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
    truth = random.integers(0, 2, n)
    sex = np.where(np.arange(n) % 10 == 0, "f", "m")
    right = random.random(n) < np.where(sex == "f", 0.70, 0.95)
    frame = pd.DataFrame({
        "score": np.where(right, truth, 1 - truth) * 0.8 + 0.1,
        "sex": sex,
        "age": random.integers(20, 70, n),
        "client": np.arange(n) // 3,
        "weight": np.where(sex == "f", 9.0, 1.0),
    })
    return frame, pd.Series(truth, name="repaid")
"""


@pytest.fixture
def bank(project: Project) -> Project:
    project.write("conftest.py", CONFTEST)
    project.write("policy.toml", 'name = "p"\nversion = "1"\n[require]\ndimensions = ["performance"]\n')
    project.configure(model="threshold = 0.5\n")
    return project


def gate(bank: Project, body: str, *, toml: str = "", policy: str = "") -> Evidence:
    """Run one gate with `body` and return its evidence."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    bank.write("test_gate.py", f"def test_it(ml_performance):\n{lines}\n")
    if toml:
        bank.configure(model=f"threshold = 0.5\n{toml}")
    if policy:
        bank.write(
            "policy.toml", f'name = "p"\nversion = "1"\n{policy}\n[require]\ndimensions = ["performance"]\n'
        )
    bank.run()
    [run] = bank.runs("performance.it")
    assert run.evidence is not None, run.reason
    return run.evidence


def verdict(bank: Project) -> Outcome:
    return bank.verdict("performance.it").outcome


def test_every_group_must_keep_the_limit(bank: Project) -> None:
    evidence = gate(bank, 'ml_performance.at_least("accuracy", 0.8, by="sex")')
    assert [c.group for c in evidence.criteria] == ["sex=f", "sex=m"]
    assert verdict(bank) is Outcome.FAIL
    gate(bank, 'ml_performance.at_least("accuracy", 0.6, by=["sex"])')
    assert verdict(bank) is Outcome.PASS


@pytest.mark.parametrize(
    ("where", "name", "outcome"),
    [
        ('{"sex": "m"}', "sex=m", Outcome.PASS),
        ('{"sex": "f"}', "sex=f", Outcome.FAIL),
        ('{"sex": ["f", "m"]}', "sex=f|m", Outcome.INCONCLUSIVE),
        ("young", "young", Outcome.INCONCLUSIVE),
    ],
)
def test_a_part_of_the_rows(bank: Project, where: str, name: str, outcome: Outcome) -> None:
    body = (
        f'def young(rows): return rows["age"] < 45\nml_performance.at_least("accuracy", 0.93, where={where})'
    )
    evidence = gate(bank, body)
    assert [m.group for m in evidence.measurements] == [name]
    assert verdict(bank) is outcome


def test_what_selects_rows_must_have_a_name(bank: Project) -> None:
    bank.write(
        "test_gate.py",
        'def test_it(ml_performance): ml_performance.at_least("accuracy", 0.9, where=lambda rows: rows["age"] < 4)',
    )
    bank.run().stdout.fnmatch_lines(["*needs a name for the evidence*"])
    assert verdict(bank) is not Outcome.PASS


def test_between(bank: Project) -> None:
    gate(bank, 'ml_performance.between("accuracy", 0.88, 0.96)')
    assert verdict(bank) is Outcome.PASS
    gate(bank, 'ml_performance.between("accuracy", 0.95, 0.99)')
    assert verdict(bank) is Outcome.FAIL


def test_a_gate_can_ask_for_more_confidence_but_not_for_less(bank: Project) -> None:
    evidence = gate(bank, 'ml_performance.at_least("accuracy", 0.8, level=0.999)')
    assert evidence.measurements[0].confidence_level == 0.999
    assert verdict(bank) is Outcome.PASS
    bank.write(
        "test_gate.py", 'def test_it(ml_performance): ml_performance.at_least("accuracy", 0.8, level=0.8)'
    )
    bank.run().stdout.fnmatch_lines(["*more confidence, never for less*"])
    assert verdict(bank) is Outcome.INCONCLUSIVE
    bank.write(
        "test_gate.py", 'def test_it(ml_performance): ml_performance.at_least("accuracy", 0.8, level="0.99")'
    )
    bank.run().stdout.fnmatch_lines(["*confidence_level must lie between 0.5 and 1, got '0.99'*"])


class TestBurden:
    def test_a_silent_alarm_is_no_proof_for_a_certificate(self, bank: Project) -> None:
        gate(bank, 'ml_performance.at_least("accuracy", 0.93, burden="violation")')
        assert bank.verdict("performance.it").reason == "alarm-is-no-proof"
        assert bank.readiness() is Readiness.NOT_READY

    def test_unless_the_policy_says_so(self, bank: Project) -> None:
        body = 'ml_performance.at_least("accuracy", 0.93, burden="violation")'
        evidence = gate(bank, body, policy='alarm_gates = ["performance.*"]')
        assert evidence.criteria[0].burden is Burden.VIOLATION
        assert bank.verdict("performance.it").reason == "no-violation-proven"

    def test_a_pull_request_is_broken_by_a_proven_violation_only(self, bank: Project) -> None:
        guard = 'burden = "violation"'
        evidence = gate(bank, 'ml_performance.at_least("accuracy", 0.93)', policy=guard)
        assert evidence.measurements[0].p_value is not None
        assert verdict(bank) is Outcome.PASS
        gate(bank, 'ml_performance.at_least("accuracy", 0.98)', policy=guard)
        assert verdict(bank) is Outcome.FAIL

    def test_a_skipped_gate_breaks_the_pull_request_too(self, bank: Project) -> None:
        bank.write(
            "policy.toml",
            'name = "p"\nversion = "1"\nburden = "violation"\n[require]\ngates = ["performance.it"]\n',
        )
        bank.write("test_gate.py", 'import pytest\ndef test_it(ml_performance): pytest.skip("later")\n')
        assert bank.run().ret == 1


def test_rows_of_one_entity_are_not_independent(bank: Project) -> None:
    body = 'ml_performance.at_least("accuracy", 0.5)'
    plain = gate(bank, body).measurements[0]
    clustered = gate(bank, body, toml='[data]\nentity = "client"\n').measurements[0]
    assert clustered.value == plain.value
    assert "effective" in clustered.method


def test_rows_can_stand_for_many(bank: Project) -> None:
    body = 'ml_performance.at_least("accuracy", 0.5)'
    plain = gate(bank, body).measurements[0]
    weighted = gate(bank, body, toml='[data]\nsample_weight = "weight"\n').measurements[0]
    # Half of the weight is on the group that the model serves badly.
    assert plain.value == pytest.approx(0.925, abs=0.02)
    assert weighted.value == pytest.approx(0.825, abs=0.03)


def test_answers_of_your_own(bank: Project) -> None:
    body = """
from pytest_prodml.checks.performance import Sample
ml_performance.at_least("f1", 0.5, sample=Sample(y_true=[0, 1] * 50, y_pred=[0, 1] * 50))
"""
    assert gate(bank, body).measurements[0].n_samples == 100


class TestBaselines:
    OTHER = "def other(rows): return rows['score'].to_numpy() * 0.5 + 0.25 * (rows['age'] % 2)\n"

    def test_another_model_row_by_row(self, bank: Project) -> None:
        body = f'{self.OTHER}ml_performance.not_worse_than(other, "accuracy", margin=0.02)'
        evidence = gate(bank, body)
        assert verdict(bank) is Outcome.PASS
        assert evidence.criteria[0].metric == "accuracy_difference"
        assert {m.group for m in evidence.measurements} == {None, "candidate", "baseline"}

    def test_the_model_itself_is_no_baseline(self, bank: Project) -> None:
        bank.write(
            "test_gate.py",
            'def test_it(ml_performance, prodml_model):\n    ml_performance.not_worse_than(prodml_model, "roc_auc", 0.1)\n',
        )
        bank.run().stdout.fnmatch_lines(["*same*"])
        assert verdict(bank) is not Outcome.PASS

    def test_a_simple_model_that_is_trained_here(self, bank: Project) -> None:
        bank.write("conftest.py", CONFTEST + REFERENCE)
        gate(bank, 'ml_performance.not_worse_than("majority", "balanced_accuracy", by_at_least=0.2)')
        assert verdict(bank) is Outcome.PASS
        gate(bank, 'ml_performance.not_worse_than("logistic", "roc_auc", by_at_least=0.2)')
        assert verdict(bank) is Outcome.FAIL

    def test_an_earlier_certificate(self, bank: Project) -> None:
        gate(bank, 'ml_performance.at_least("accuracy", 0.5)')
        earlier = (bank.out / "certificate.json").read_bytes()
        (bank.root / "earlier.json").write_bytes(earlier)
        bank.write("model.bin", "a newer model\n")
        body = 'ml_performance.not_worse_than("earlier.json", "accuracy", 0.03)'
        bank.configure(model="threshold = 0.5\n")
        bank.write("test_gate.py", f"def test_it(ml_performance):\n    {body}\n")
        bank.run().stdout.fnmatch_lines(["*no key vouches*"])
        public = bank.key.with_suffix(".pub")
        bank.configure(f'baseline_keys = ["{public}"]', model="threshold = 0.5\n")
        evidence = gate(bank, body)
        assert verdict(bank) is Outcome.PASS
        assert [material.name for material in evidence.materials if material.name == "earlier.json"]

    def test_a_forged_certificate(self, bank: Project) -> None:
        gate(bank, 'ml_performance.at_least("accuracy", 0.5)')
        forged = (bank.out / "certificate.json").read_text().replace('"sig": "', '"sig": "AAAA')
        bank.write("forged.json", forged)
        public = bank.key.with_suffix(".pub")
        bank.configure(f'baseline_keys = ["{public}"]', model="threshold = 0.5\n")
        bank.write(
            "test_gate.py",
            'def test_it(ml_performance): ml_performance.not_worse_than("forged.json", "accuracy", 0.9)\n',
        )
        bank.run()
        assert verdict(bank) is not Outcome.PASS


REFERENCE = """

@pytest.fixture(scope="session")
def prodml_reference(prodml_test):
    frame, target = prodml_test
    return frame.iloc[::-1].reset_index(drop=True), target.iloc[::-1].reset_index(drop=True)
"""


def test_every_declared_slice_must_clear_the_floor(bank: Project) -> None:
    evidence = gate(bank, 'ml_performance.slices("accuracy", 0.6, by=["sex", "age"], bins={"age": 2})')
    assert verdict(bank) is Outcome.PASS
    assert len([c for c in evidence.criteria if c.group and " & " in c.group]) == 4
    gate(bank, 'ml_performance.slices("accuracy", 0.8, where={"women": {"sex": "f"}})')
    assert verdict(bank) is Outcome.FAIL


def test_the_weakest_slice_is_found_and_confirmed(bank: Project) -> None:
    evidence = gate(bank, 'ml_performance.weakest_slices("accuracy", 0.8, by=["sex", "age"])')
    assert verdict(bank) is Outcome.FAIL
    assert any("sex=f" in (c.group or "") for c in evidence.criteria)


def test_calibration(bank: Project) -> None:
    evidence = gate(bank, "ml_performance.calibrated(at_most=0.1)")
    assert "reliability" in evidence.details
    assert verdict(bank) is Outcome.PASS


def test_the_threshold_has_a_price(bank: Project) -> None:
    gate(bank, 'ml_performance.threshold_is_right({"false_positive": 1, "false_negative": 1}, at_most=0.1)')
    assert verdict(bank) is Outcome.PASS
    gate(bank, 'ml_performance.threshold_is_right({"false_positive": 1, "false_negative": 1}, at_most=0.05)')
    assert verdict(bank) is Outcome.FAIL


def test_intervals_and_sets_hold_the_truth(bank: Project) -> None:
    body = """
import numpy as np
truth = np.random.default_rng(3).integers(0, 2, 3000)
ml_performance.prediction_intervals(truth - 0.5, truth + 0.5, coverage=0.9)
ml_performance.prediction_sets([{0, 1}] * 3000, coverage=0.9, labels=[0, 1])
"""
    gate(bank, body)
    assert verdict(bank) is Outcome.PASS
    gate(bank, "ml_performance.prediction_intervals([0.5] * 3000, [1.5] * 3000, coverage=0.9)")
    assert verdict(bank) is Outcome.FAIL


class TestLooks:
    PLAN = '[looks]\nplanned = 2\nspending = "equal"\n[data]\ntest = "test.csv"\ntarget = "repaid"\n'
    GATE = 'def test_it(ml_performance): ml_performance.at_least("accuracy", 0.5)\n'

    def look(self, bank: Project, model: str) -> pytest.RunResult:
        bank.write("model.bin", model)
        bank.write("test.csv", "score,repaid\n" + "0.9,1\n0.1,0\n" * 100)
        bank.write(
            "conftest.py",
            "import pytest\nfrom pytest_prodml.adapters import bind\n\n@pytest.fixture(scope='session')\n"
            "def prodml_model(): return bind(lambda rows: rows['score'].to_numpy(), 'model.bin')\n",
        )
        bank.configure(model=f"threshold = 0.5\n{self.PLAN}")
        bank.write("test_gate.py", self.GATE)
        return bank.run()

    def test_each_model_spends_its_share_of_the_error_rate(self, bank: Project) -> None:
        for number, model in enumerate(("first", "second"), start=1):
            assert self.look(bank, model).ret == 0
            found = bank.issued().run.look
            assert found is not None
            assert (found.number, found.planned) == (number, 2)
            [run] = bank.runs("performance.it")
            assert run.evidence is not None
            assert run.evidence.measurements[0].confidence_level == pytest.approx(0.975)
        assert "2 of 2 planned" in (bank.out / "certificate.html").read_text()
        refused = self.look(bank, "third")
        assert refused.ret == 4
        refused.stderr.fnmatch_lines(["*looked at by all 2 planned models*"])
        assert not (bank.out / "certificate.json").exists()

    def test_the_same_model_again_spends_nothing(self, bank: Project) -> None:
        for _ in range(3):
            assert self.look(bank, "first").ret == 0
            found = bank.issued().run.look
            assert found is not None
            assert found.number == 1

    def test_workers_judge_at_the_level_of_the_look(self, bank: Project) -> None:
        self.look(bank, "first")
        assert bank.run("-n", "2", sub=True).ret == 0
        [run] = bank.runs("performance.it")
        assert run.evidence is not None
        assert run.evidence.measurements[0].confidence_level == pytest.approx(0.975)

    def test_looks_are_counted_at_a_file(self, bank: Project) -> None:
        bank.configure(model="threshold = 0.5\n[looks]\nplanned = 2\n")
        result = bank.run()
        assert result.ret == 4
        result.stderr.fnmatch_lines(["*no test file is named*"])
