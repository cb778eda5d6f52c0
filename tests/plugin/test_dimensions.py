"""The six fixtures on a small real project: a model, a table, one file of gates."""

from __future__ import annotations

import importlib

import pytest

from plugin.project import Project
from pytest_prodml.plugin.gates import seed_of
from pytest_prodml.records import Comparison, Dimension, Evidence, Readiness, RunState

# As in conftest.py: what is compiled can be imported only once, and these tests run in this process.
for name in (
    "fairlearn.metrics",
    "pandera.pandas",
    "scipy.stats",
    "sklearn.metrics",
    *(f"pytest_prodml.checks.{dimension.value}" for dimension in Dimension),
    "pytest_prodml.plugin.dimensions",
):
    importlib.import_module(name)

CONFTEST = """
import numpy as np
import pytest
from pytest_prodml.adapters import bind

CALLS = []

def score(rows):
    CALLS.append(len(rows))
    return 1 / (1 + np.exp(-(3.0 * rows["income"] - 2.0 * rows["debt"])))

@pytest.fixture(scope="session")
def prodml_model():
    return bind(score, "model.bin")

@pytest.fixture(scope="session")
def prodml_schema():
    import pandera.pandas as pa
    return pa.DataFrameSchema({
        "income": pa.Column(float, pa.Check.in_range(-10, 10)),
        "sex": pa.Column(str, pa.Check.isin(["f", "m"])),
    })
"""

MAKE_DATA = """
import numpy as np
import pandas as pd

random = np.random.default_rng(7)
n = 4000
frame = pd.DataFrame({
    "income": random.normal(size=n),
    "debt": random.normal(size=n),
    "sex": random.choice(["f", "m"], size=n),
    "age_band": random.choice(["young", "old"], size=n),
})
chance = 1 / (1 + np.exp(-(3.0 * frame["income"] - 2.0 * frame["debt"])))
frame["repaid"] = (random.random(n) < chance).astype(int)
frame.to_csv("test.csv", index=False)
"""

GATES = """
import numpy as np
import pytest

def test_schema(ml_data):
    ml_data.conforms_to()

def test_auc(ml_performance):
    ml_performance.at_least("roc_auc", 0.85)
    ml_performance.at_most("brier_score_loss", 0.25)

def test_accuracy(ml_performance):
    ml_performance.at_least("accuracy", 0.7)

def test_selection(ml_fairness):
    ml_fairness.difference_at_most("selection_rate", 0.15)

def test_opportunity(ml_fairness):
    ml_fairness.ratio_at_least("true_positive_rate", 0.8, by=["sex"])

def test_sex(ml_behavior):
    ml_behavior.invariant_to("sex", at_most=0.01)
    ml_behavior.monotone("income", "increasing", at_most=0.01, step=0.5)

def test_any_row(ml_behavior, prodml_schema):
    ml_behavior.finite_on_generated(max_examples=50)

def test_speed(ml_latency):
    ml_latency.quantile_at_most(0.75, "2 min", calls=1000)
    ml_latency.quantile_at_most(0.5, budget=60.0, calls=1000)

def test_served(ml_pipeline, prodml_model, prodml_test):
    def reference(rows):
        return 1 / (1 + np.exp(-(3.0 * rows["income"] - 2.0 * rows["debt"])))
    ml_pipeline.parity(reference)
    ml_pipeline.agrees(["yes", "no"], ["yes", "no"])

def test_predictions_are_made_once():
    from conftest import CALLS
    assert CALLS.count(4000) < 20
"""

POLICY = """
name = "production"
version = "1"
[require]
dimensions = ["data", "performance", "fairness", "behavior", "latency", "pipeline"]
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        exec(MAKE_DATA, {})  # noqa: S102 - the project's own script
    return (directory / "test.csv").read_text(encoding="utf-8")


@pytest.fixture
def bank(project: Project, table: str) -> Project:
    (project.root / "test_gates.py").write_text(GATES)
    (project.root / "conftest.py").write_text(CONFTEST)
    (project.root / "test.csv").write_text(table)
    project.write("policy.toml", POLICY)
    project.configure(
        model='name = "bank"\nversion = "3"\nthreshold = 0.5\n'
        '[data]\ntest = "test.csv"\ntarget = "repaid"\nsensitive = ["sex", "age_band"]\n'
    )
    return project


def evidence_of(project: Project, gate_id: str) -> Evidence:
    [run] = project.runs(gate_id)
    assert run.evidence is not None
    return run.evidence


@pytest.mark.parametrize("arguments", [(), ("-n1",)], ids=["one", "xdist"])
def test_ready_bank(bank: Project, arguments: tuple[str, ...]) -> None:
    result = bank.run("-p", "benchmark", *arguments, sub=True)
    assert result.ret == 0, result.outlines
    certificate = bank.issued()
    assert certificate.decision.outcome is Readiness.READY
    assert (certificate.model_name, certificate.model_version) == ("bank", "3")
    assert [material.name for material in certificate.materials] == ["test.csv"]
    [subject] = certificate.subjects
    for gate in certificate.gates:
        if gate.dimension != "data":
            assert subject in evidence_of(bank, gate.id).subjects or gate.id == "pipeline.served"
    latency = evidence_of(bank, "latency.speed")
    assert latency.measurements[0].n_samples == 1000
    assert {item.group for item in latency.measurements} == {"batch_size=1"}
    assert [item.limit for item in latency.criteria] == [120.0, 60.0]
    groups = {item.group for item in evidence_of(bank, "fairness.selection").criteria}
    assert groups == {"sex", "age_band"}
    assert evidence_of(bank, "behavior.any_row").seed == seed_of("behavior.any_row", 0)
    auc = evidence_of(bank, "performance.auc")
    assert [(item.metric, item.comparison) for item in auc.criteria] == [
        ("roc_auc", Comparison.AT_LEAST),
        ("brier_score_loss", Comparison.AT_MOST),
    ]
    assert len(certificate.environments) == 1


def only(bank: Project, test: str, *, conftest: str = CONFTEST, requires: str = "performance.*") -> None:
    (bank.root / "test_gates.py").write_text(test)
    (bank.root / "conftest.py").write_text(conftest)
    bank.write("policy.toml", POLICY.partition("[require]")[0] + f'[require]\ngates = ["{requires}"]\n')


WRONG = {
    "missing data file": (
        "def test_x(ml_performance): ml_performance.at_least('roc_auc', 0.5)\n",
        "performance.x",
        "test.csv: the file does not exist",
    ),
    "unknown metric": (
        "def test_x(ml_performance): ml_performance.at_least('roc_acu', 0.5)\n",
        "performance.x",
        "did you mean 'roc_auc'?",
    ),
    "missing column": (
        "def test_x(ml_fairness): ml_fairness.difference_at_most('selection_rate', 0.1, by='sxe')\n",
        "fairness.x",
        "there is no column 'sxe'",
    ),
    "no such table": (
        "def test_x(ml_data): ml_data.conforms_to({}, data='tset')\n",
        "data.x",
        "there is no table 'tset'",
    ),
    "table not configured": (
        "def test_x(ml_data): ml_data.conforms_to({}, data='current')\n",
        "data.x",
        "no current data is configured",
    ),
    "wrong budget": (
        "def test_x(ml_latency): ml_latency.quantile_at_most(0.99, '5 fortnights')\n",
        "latency.x",
        "the budget '5 fortnights' is not a duration",
    ),
    "batch too large": (
        "def test_x(ml_latency): ml_latency.quantile_at_most(0.5, 1, batch_size=10**6)\n",
        "latency.x",
        "a batch of 1000000 rows can not be taken from 4,000 rows",
    ),
    "timed already": (
        "def test_x(ml_latency, benchmark): benchmark(int), ml_latency.quantile_at_most(0.5, 1, calls=50)\n",
        "latency.x",
        "pytest-benchmark times once a test",
    ),
    "two batch sizes": (
        "def test_x(ml_latency):\n    for n in (1, 2): ml_latency.quantile_at_most(0.5, 1, calls=50, batch_size=n, burst=1)\n",
        "latency.x",
        "make one test for each batch size",
    ),
}


@pytest.mark.parametrize(("test", "gate_id", "message"), WRONG.values(), ids=WRONG)
def test_what_can_not_be_measured_has_no_verdict(
    bank: Project, test: str, gate_id: str, message: str
) -> None:
    if "does not exist" in message:
        (bank.root / "test.csv").unlink()
    only(bank, test, requires=gate_id)
    assert bank.run("-p", "benchmark").ret == 1
    assert bank.readiness() is Readiness.NOT_READY
    verdict = bank.verdict(gate_id)
    assert verdict.reason == "errored"
    assert message in verdict.message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "measured through pytest-benchmark, which is not installed or switched off"),
        (("-p", "benchmark", "--benchmark-disable"), "benchmarks are switched off"),
        (("-p", "benchmark", "--benchmark-skip"), "benchmarks are switched off"),
        (("-p", "benchmark", "--benchmark-timer=time.process_time"), "latency needs a wall clock"),
    ],
)
def test_latency_needs_pytest_benchmark(bank: Project, arguments: tuple[str, ...], message: str) -> None:
    only(
        bank, "def test_x(ml_latency): ml_latency.quantile_at_most(0.5, 1, calls=50)\n", requires="latency.x"
    )
    assert bank.run(*arguments).ret == 1
    assert bank.verdict("latency.x").reason == "errored"
    assert message in bank.verdict("latency.x").message


def test_missed_budget_is_inconclusive_beside_other_work(bank: Project) -> None:
    only(
        bank,
        "def test_x(ml_latency): ml_latency.quantile_at_most(0.5, '1 ns', calls=50)\n",
        requires="latency.x",
    )
    assert bank.run("-p", "benchmark", "-n1").ret == 1
    assert bank.verdict("latency.x").reason == "not-proven"


def test_model_that_is_tied_to_no_file_certifies_nothing(bank: Project) -> None:
    loose = CONFTEST.replace('bind(score, "model.bin")', "score")
    only(bank, "def test_x(ml_performance): ml_performance.at_least('roc_auc', 0.5)\n", conftest=loose)
    assert bank.run().ret == 1
    assert bank.verdict("performance.x").reason == "unbound-model"


def test_other_file_than_the_certified_one(bank: Project) -> None:
    bank.write("other.bin", "other")
    other = CONFTEST.replace("model.bin", "other.bin")
    only(bank, "def test_x(ml_performance): ml_performance.at_least('roc_auc', 0.5)\n", conftest=other)
    assert bank.run().ret == 1
    assert bank.verdict("performance.x").reason == "subject-mismatch"


FRAMES = {
    "frame": "return pd.read_csv('test.csv')",
    "pair": "t = pd.read_csv('test.csv'); return t.drop(columns='repaid'), t['repaid']",
    "path": "return 'test.csv'",
}


@pytest.mark.parametrize("body", FRAMES.values(), ids=FRAMES)
def test_data_fixture_may_return_any_table(bank: Project, body: str) -> None:
    data = f"\nimport pandas as pd\n@pytest.fixture(scope='session')\ndef prodml_test():\n    {body}\n"
    test = "def test_x(ml_performance): ml_performance.at_least('accuracy', 0.7)\n"
    only(bank, test, conftest=CONFTEST + data)
    assert bank.run().ret == 0
    assert evidence_of(bank, "performance.x").measurements[0].n_samples == 4000


def test_hook_adapts_a_model_of_ones_own(bank: Project) -> None:
    conftest = (
        CONFTEST.replace('bind(score, "model.bin")', '{"weights": [3.0, -2.0]}')
        + """
def pytest_prodml_adapt_model(model, config):
    if isinstance(model, dict):
        return bind(score, config.rootpath / "model.bin")
"""
    )
    only(bank, "def test_x(ml_performance): ml_performance.at_least('accuracy', 0.7)\n", conftest=conftest)
    assert bank.run("--strict-markers").ret == 0


def test_parametrized_model_gives_a_gate_for_each(bank: Project) -> None:
    conftest = CONFTEST.replace(
        '@pytest.fixture(scope="session")\ndef prodml_model():',
        '@pytest.fixture(scope="session", params=["a", "b"])\ndef prodml_model(request):',
    )
    only(bank, "def test_x(ml_performance): ml_performance.at_least('accuracy', 0.7)\n", conftest=conftest)
    bank.run()
    assert [gate.id for gate in bank.issued().gates] == ["performance.x[a]", "performance.x[b]"]
    assert {run.state for run in bank.issued().runs} == {RunState.PASSED}


def test_fixtures_check_without_the_option(bank: Project) -> None:
    only(
        bank,
        """
def test_good(ml_performance): ml_performance.at_least("accuracy", 0.7)
def test_bad(ml_performance): ml_performance.at_least("accuracy", 0.99)
""",
    )
    result = bank.idle()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["performance.bad: fail: accuracy = *must be at least 0.99"])
    assert not bank.out.exists()


def test_schema_has_no_default(bank: Project) -> None:
    conftest = CONFTEST.partition('@pytest.fixture(scope="session")\ndef prodml_schema')[0]
    only(bank, "def test_x(ml_data): ml_data.conforms_to()\n", conftest=conftest, requires="data.x")
    assert bank.run().ret == 1
    assert "override the fixture prodml_schema" in bank.verdict("data.x").message


def test_labels_are_needed_and_said_to_be(bank: Project) -> None:
    bank.configure(model='[data]\ntest = "test.csv"\n')
    only(bank, "def test_x(ml_performance): ml_performance.at_least('accuracy', 0.7)\n")
    assert bank.run().ret == 1
    assert "has no labels" in bank.verdict("performance.x").message
