"""A served model as a user certifies it: each gate passes for the healthy service, and catches its fault."""

from __future__ import annotations

import hashlib
import importlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plugin.project import Project
from pytest_prodml.records import Evidence, Measurement, Outcome, RunState

# What is compiled can be imported only once, and these tests run in this process.
for name in (
    "numpy.fft",
    "pytest_prodml.adapters.serving.hostile",
    "pytest_prodml.adapters.serving.served",
    "pytest_prodml.checks.latency.plan",
    "pytest_prodml.checks.pipeline",
    "pytest_prodml.checks.pipeline.serving.overload",
    "pytest_prodml.checks.pipeline.serving.recovery",
    "pytest_prodml.checks.pipeline.serving.soak",
    "pytest_prodml.checks.pipeline.serving.sustains",
    "pytest_prodml.plugin.pipeline",
):
    importlib.import_module(name)

POLICY = 'name = "production"\nversion = "1"\n[require]\ndimensions = ["pipeline"]\n'
MODEL = """
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytest_prodml.adapters import bind

@pytest.fixture(scope="session")
def prodml_model():
    first, second = json.loads(Path("weights.json").read_text())["weights"]
    return bind(lambda rows: 1 / (1 + np.exp(-(rows["a"] * first + rows["b"] * second))), "weights.json")

def with_fault(served, fault, **variables):
    return served.with_variables(FAULT=fault, **variables)
"""
SERVER = """
[server]
app = "served_app:app"
ready = "/ready"
path = "/score"
output = "score"
encode = "coding:encode"
trace = {model = "X-Model-Digest"}
variables = {MODEL = "weights.json"}
"""


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


GOOD, BETTER, BAD = ('{"weights": [1.0, -0.5]}', '{"weights": [2.0, -0.5]}', '{"weights": [Infinity, 1]}')


@pytest.fixture
def served(project: Project) -> Project:
    """A project with a service of its model, in which every gate is to be written."""
    (project.root / "test_gates.py").unlink()
    shutil.copy(Path(__file__).parents[1] / "served_app.py", project.root)
    project.write("weights.json", GOOD)
    project.write(
        "coding.py", "def encode(rows):\n    return {name: float(rows[name].iloc[0]) for name in 'ab'}\n"
    )
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"a": generator.normal(size=60), "b": generator.normal(size=60)})
    frame.assign(y=(frame["a"] > 0).astype(int)).to_csv(project.root / "test.csv", index=False)
    project.configure('[data]\ntest = "test.csv"\ntarget = "y"\n' + SERVER)
    text = (project.root / "prodml.toml").read_text().replace('path = "model.bin"', 'path = "weights.json"')
    project.write("prodml.toml", text)
    project.write("policy.toml", POLICY)
    project.write("conftest.py", MODEL)
    return project


def certified(project: Project, body: str, fault: str = "", **variables: str) -> tuple[Outcome, Evidence]:
    """Run one gate with a fault in its service; return the verdict and what was measured."""
    told = ", ".join(f"{name}={value!r}" for name, value in variables.items())
    project.write(
        "test_one.py",
        f"from conftest import *\n\ndef test_one(ml_pipeline, prodml_server, tmp_path):\n"
        f"    server = with_fault(prodml_server, {fault!r}, {told})\n    {body}\n",
    )
    result = project.run("test_one.py")
    (run,) = project.runs("pipeline.one")
    assert run.evidence is not None, (run, result.stdout.str())
    assert (run.state is RunState.PASSED) == (project.verdict("pipeline.one").outcome is Outcome.PASS)
    return project.verdict("pipeline.one").outcome, run.evidence


def of(evidence: Evidence, metric: str) -> Measurement:
    return next(measured for measured in evidence.measurements if measured.metric == metric)


SLOW = {"WORK_SECONDS": "0.02"}
SUSTAINS = 'ml_pipeline.sustains(100, p99="150 ms", duration=6, server=server)'
SHEDS = 'ml_pipeline.sheds_load(2.0, p99="200 ms", capacity=190, duration=4, server=server)'
RECOVERS = (
    'ml_pipeline.recovers_within("2 s", p99="200 ms", capacity=190, rate=80, fault_seconds=3, server=server)'
)


def test_a_service_that_answers_in_time_and_rightly_passes(served: Project) -> None:
    outcome, evidence = certified(served, SUSTAINS, **SLOW)
    assert outcome is Outcome.PASS
    p99 = of(evidence, "served_latency_p99")
    assert p99.n_samples == 600
    assert p99.value is not None
    assert p99.value > 0.02
    assert of(evidence, "wrong_answers").value == 0
    assert evidence.details["loopback"] is True
    assert [subject.name for subject in evidence.subjects] == ["weights.json"]


def test_a_scaler_that_is_refitted_while_serving_is_caught(served: Project) -> None:
    outcome, evidence = certified(served, SUSTAINS, "refitted")
    assert outcome is Outcome.FAIL
    wrong = of(evidence, "wrong_answers").value
    assert wrong is not None
    assert wrong > 500
    assert "differs from the model's scores" in str(evidence.details["wrong_examples"])


def test_a_service_that_is_too_slow_fails(served: Project) -> None:
    body = 'ml_pipeline.sustains(100, p99="15 ms", duration=5, server=server)'
    outcome, _ = certified(served, body, **SLOW)
    assert outcome is Outcome.FAIL


def test_a_service_that_sheds_what_is_too_much_passes(served: Project) -> None:
    outcome, evidence = certified(served, SHEDS, **SLOW)
    assert outcome is Outcome.PASS
    refused = evidence.details["refused"]
    assert isinstance(refused, int)
    assert refused > 500


def test_a_service_that_queues_without_bound_is_caught(served: Project) -> None:
    outcome, evidence = certified(served, SHEDS, "queues", **SLOW)
    assert outcome is Outcome.FAIL
    goodput = of(evidence, "goodput_share").value
    assert goodput is not None
    assert goodput < 0.5


def test_an_overload_that_is_none_shows_nothing(served: Project) -> None:
    body = 'ml_pipeline.sheds_load(2.0, p99="200 ms", capacity=40, duration=3, server=server)'
    outcome, evidence = certified(served, body, **SLOW)
    assert outcome is Outcome.INCONCLUSIVE
    assert "the server can do more" in str(of(evidence, "goodput_share").note)


def test_a_service_recovers_from_an_overload(served: Project) -> None:
    outcome, evidence = certified(served, RECOVERS, **SLOW)
    assert outcome is Outcome.PASS
    assert of(evidence, "failed_during").value


def test_a_service_that_still_works_off_its_queue_is_caught(served: Project) -> None:
    outcome, evidence = certified(served, RECOVERS, "queues", **SLOW)
    assert outcome is Outcome.FAIL
    assert "not recovered" in str(of(evidence, "recovery_seconds").note)


@pytest.mark.parametrize(("workers", "passes"), [(2, True), (1, False)])
def test_a_worker_that_dies_is_replaced_where_somebody_does(
    served: Project, workers: int, passes: bool
) -> None:
    body = (
        f"server = replace(server, server=replace(server.server, workers={workers}))\n"
        '    ml_pipeline.recovers_within("3 s", fault="kill_worker", rate=80, p99="200 ms", server=server)'
    )
    outcome, _ = certified(served, body)
    assert outcome is (Outcome.PASS if passes else Outcome.FAIL)


BAD_INPUT = "ml_pipeline.rejects_bad_input(server=server)"


def test_a_service_that_refuses_what_makes_no_sense_passes(served: Project) -> None:
    outcome, evidence = certified(served, BAD_INPUT)
    assert outcome is Outcome.PASS
    assert "a: missing" in str(evidence.details["names"])


@pytest.mark.parametrize(
    ("fault", "metric"), [("defaults", "accepted"), ("crashes", "server_errors"), ("dies", "harmed")]
)
def test_a_service_that_makes_up_an_answer_or_breaks_is_caught(
    served: Project, fault: str, metric: str
) -> None:
    outcome, evidence = certified(served, BAD_INPUT, fault)
    assert outcome is Outcome.FAIL
    assert of(evidence, metric).value


DRAINS = 'ml_pipeline.drains_on_sigterm("5 s", rate=150, trials=2, server=server)'


def test_a_service_that_answers_what_it_accepted_passes(served: Project) -> None:
    outcome, evidence = certified(served, DRAINS, **SLOW)
    assert outcome is Outcome.PASS
    assert evidence.details["in_flight"]


def test_a_service_that_drops_what_it_accepted_is_caught(served: Project) -> None:
    outcome, _ = certified(served, DRAINS, "drops", **SLOW)
    assert outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("fault", "outcome"), [("", Outcome.PASS), ("leaks", Outcome.FAIL), ("slows", Outcome.FAIL)]
)
def test_a_long_run(served: Project, fault: str, outcome: Outcome) -> None:
    body = (
        'ml_pipeline.soak(100, duration="8 s", warm_up="1 s", memory_per_hour="1 GB", p99="500 ms", '
        "latency_drift=0.6, failures_at_most=0.02, server=server)"
    )
    found, _ = certified(served, body, fault, **SLOW)
    assert found is outcome


@pytest.mark.parametrize(("fault", "metric"), [("", None), ("forgets", "untraceable"), ("lies", "mistraced")])
def test_each_answer_says_which_model_gave_it(served: Project, fault: str, metric: str | None) -> None:
    outcome, evidence = certified(served, "ml_pipeline.lineage(requests=60, server=server)", fault)
    assert outcome is (Outcome.PASS if metric is None else Outcome.FAIL)
    assert metric is None or of(evidence, metric).value == 60


def test_the_online_path_gives_what_the_batch_path_gives(served: Project) -> None:
    outcome, _ = certified(served, "ml_pipeline.parity(server, atol=1e-9)")
    assert outcome is Outcome.PASS


def test_the_online_path_of_another_model_is_caught(served: Project) -> None:
    served.write("old.json", BETTER)
    outcome, _ = certified(served, "ml_pipeline.parity(server, atol=1e-9)", MODEL="old.json")
    assert outcome is Outcome.FAIL


PUBLISH = """import shutil
    for name in ("weights.json", "better.json", "bad.json"):
        shutil.copy(name, tmp_path)
    pointer = tmp_path / "current.pointer"
    pointer.write_text("weights.json")
    server = server.with_variables(MODEL=str(pointer))
    def publish(name):
        other = tmp_path / "new"
        other.write_text(name)
        other.replace(pointer)
    def current():
        import hashlib
        return "sha256:" + hashlib.sha256((tmp_path / pointer.read_text()).read_bytes()).hexdigest()
    """
UPDATES = (
    PUBLISH
    + f'ml_pipeline.updates_within("1 s", lambda: publish("better.json"), after={digest(BETTER)!r}, server=server)'
)
ROLLS_BACK = (
    PUBLISH + 'ml_pipeline.rolls_back_within("1 s", lambda: publish("bad.json"), current, server=server)'
)


@pytest.mark.parametrize(
    ("body", "fault", "metric"),
    [
        (UPDATES, "", None),
        (UPDATES, "stale", "switch_seconds"),
        (ROLLS_BACK, "", None),
        (ROLLS_BACK, "eager", "wrong_version_answers"),
    ],
    ids=["update", "keeps the old model", "rollback", "serves the bad model"],
)
def test_another_version_is_published(served: Project, body: str, fault: str, metric: str | None) -> None:
    served.write("better.json", BETTER)
    served.write("bad.json", BAD)
    outcome, evidence = certified(served, body, fault)
    assert outcome is (Outcome.PASS if metric is None else Outcome.FAIL)
    assert metric is None or of(evidence, metric).value


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('app = "served_app:app"\n', ""), "nothing says how the model is served"),
        (('app = "served_app:app"\n', 'app = "nowhere:app"\n'), "No module named 'nowhere'"),
        (('path = "/score"\n', ""), "nothing says where requests go"),
        (('encode = "coding:encode"', 'encode = "coding:none"'), "can not be imported"),
        (('output = "score"', 'protocol = "mlfow"'), "did you mean 'mlflow'"),
        (("trace = {model", "trace = {modell"), "expected model, code, data, got 'modell'"),
        (('ready = "/ready"', 'ready = "/none"\nstartup_seconds = 1'), "/none answers 404"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_told(
    served: Project, change: tuple[str, str], told: str
) -> None:
    text = (served.root / "prodml.toml").read_text()
    assert change[0] in text
    served.write("prodml.toml", text.replace(*change))
    served.write(
        "test_one.py", 'def test_one(ml_pipeline):\n    ml_pipeline.sustains(10, p99="1 s", duration=1)\n'
    )
    result = served.run("test_one.py")
    assert result.ret != 0
    assert told in result.stdout.str() + result.stderr.str()
    assert served.readiness() is None or served.verdict("pipeline.one").outcome is not Outcome.PASS


def test_a_gate_without_a_budget_is_no_gate(served: Project) -> None:
    served.write("test_one.py", "def test_one(ml_pipeline):\n    ml_pipeline.sustains(10)\n")
    result = served.run("test_one.py")
    result.stdout.fnmatch_lines(["*say how fast answers have to be*"])
    assert served.verdict("pipeline.one").outcome is not Outcome.PASS
