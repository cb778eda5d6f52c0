"""The real worker on real data, against what it said on the reference stack.

Runs where its environment is: `PRODML_DEEPCHECKS_PYTHON` names an interpreter, or `prodml deepchecks install` built
one. ``tox -e deepchecks`` does both. With `PRODML_WRITE_GOLDEN=1` the golden file is written instead.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pytest_prodml.adapters.tables import Dataset, load_dataset
from pytest_prodml.checks.deepchecks import (
    Columns,
    Limits,
    Predictions,
    Request,
    Suite,
    deepchecks_suite,
    of_scores,
)
from pytest_prodml.deepchecks_worker.home import find_interpreter, locked_versions
from pytest_prodml.errors import InputError, MissingDependencyError
from pytest_prodml.policy.criterion import Judgement
from pytest_prodml.policy.judge import judge
from pytest_prodml.records import Dimension, Evidence, Gate, GateRun, Outcome, RunState

ROOT = Path(__file__).parents[2]
DATA = ROOT / "example_project" / "data" / "credit_default.csv.gz"
GOLDEN = ROOT / "tests" / "golden" / "deepchecks.json"
TARGET = "default_next_month"
COLUMNS = Columns(
    label=TARGET, index="client_id", datetime="asked_on", categorical=("sex", "education", "marital_status")
)


@pytest.fixture(scope="module")
def python() -> Path:
    named = os.environ.get("PRODML_DEEPCHECKS_PYTHON")
    if named:
        return Path(named)
    try:
        return find_interpreter()
    except MissingDependencyError as missing:
        pytest.skip(str(missing))


@cache
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return 3,000 and 1,500 clients of the example's data, apart in time, with what real tables have."""
    frame = pd.read_csv(DATA).astype({"sex": object, "education": object, "marital_status": object})
    chosen = np.random.default_rng(20261123).permutation(len(frame))[:4500]
    frame = frame.iloc[chosen].reset_index(drop=True)
    frame["asked_on"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(len(frame)), unit="h")
    frame.loc[::97, "education"] = None
    frame["bill_sep"] = frame["bill_sep"].astype("float64").where(np.arange(len(frame)) % 89 != 0)
    return frame.iloc[:3000].reset_index(drop=True), frame.iloc[3000:].reset_index(drop=True)


def said(frame: pd.DataFrame) -> Predictions:
    """Return what a formula says: no library that could be trained another way stands behind it."""
    risk = 0.9 * frame["pay_status_sep"] + 0.3 * frame["pay_status_aug"] - frame["credit_limit"] / 4e5 - 0.6
    scores = (1 / (1 + np.exp(-risk))).to_numpy()
    return Predictions(labels=(scores >= 0.5).astype(int), probabilities=of_scores(scores, (0, 1), 1))


def dataset(frame: pd.DataFrame, name: str) -> Dataset:
    return load_dataset(frame, name=name, target=TARGET)


def asked(suite: str, train: pd.DataFrame, test: pd.DataFrame, *checks: str) -> Request:
    alone = suite == "data_integrity"
    return Request(
        suite=Suite(name=suite),
        train=dataset(test if alone else train, "test" if alone else "reference"),
        test=None if alone else dataset(test, "test"),
        columns=COLUMNS,
        checks=checks or None,
        task="binary",
        classes=(0, 1) if suite == "model_evaluation" else None,
        predictions={"train": said(train), "test": said(test)} if suite == "model_evaluation" else None,
    )


def run(python: Path, request: Request) -> Evidence:
    limits = Limits(timeout_seconds=540, memory_bytes=6 * 2**30)
    return deepchecks_suite(request, python=python, gate_id="data.deepchecks", limits=limits)


def judged(evidence: Evidence) -> Judgement:
    gate = Gate(id="data.deepchecks", dimension=Dimension.DATA, description="")
    gate_run = GateRun(gate_id=gate.id, location="", state=RunState.PASSED, evidence=evidence)
    return judge(gate, gate_run, confidence_level=0.95)


SUITES = {
    "data_integrity": (),
    "train_test_validation": (),
    "model_evaluation": (
        "TrainTestPerformance", "RocReport", "ConfusionMatrixReport", "PredictionDrift", "SimpleModelComparison",
        "CalibrationScore", "RegressionErrorDistribution",
    ),
}  # fmt: skip


@pytest.mark.parametrize("suite", SUITES)
def test_it_says_what_it_said_on_the_reference_stack(python: Path, suite: str) -> None:
    details = run(python, asked(suite, *tables(), *SUITES[suite])).details
    rows, values = details["deepchecks_checks"], details["deepchecks_values"]
    assert isinstance(rows, list)
    for row in rows:
        assert isinstance(row, dict)
        row.pop("seconds")
    found = {"checks": rows, "values": values}
    golden = json.loads(GOLDEN.read_bytes()) if GOLDEN.exists() else {}
    if os.environ.get("PRODML_WRITE_GOLDEN"):
        golden["versions"] = locked_versions()
        golden[suite] = found
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert golden["versions"] == locked_versions(), (
        "made on another stack: write it anew, and read the difference"
    )
    assert differences(found, golden[suite], suite) == []


def differences(found: Any, golden: Any, path: str) -> list[str]:
    """Compare, numbers to nine digits: other processors add in another order."""
    if isinstance(found, dict) and isinstance(golden, dict) and set(found) == set(golden):
        return [item for key in found for item in differences(found[key], golden[key], f"{path}.{key}")]
    if isinstance(found, list) and isinstance(golden, list) and len(found) == len(golden):
        parts = enumerate(zip(found, golden, strict=True))
        return [item for index, (a, b) in parts for item in differences(a, b, f"{path}[{index}]")]
    if isinstance(found, float) and isinstance(golden, (int, float)):
        same = math.isclose(found, golden, rel_tol=1e-9, abs_tol=1e-12)
    else:
        same = bool(found == golden)
    return [] if same else [f"{path}: {found!r}, was {golden!r}"]


def test_a_difference_is_seen() -> None:
    golden = {"checks": [{"check": "A", "found": "pass"}], "values": [{"value": 0.25}]}
    assert differences(golden, golden, "s") == []
    assert differences({**golden, "values": [{"value": 0.2500001}]}, golden, "s")
    assert differences({**golden, "checks": []}, golden, "s")
    assert differences({**golden, "checks": [{"check": "A", "found": "fail"}]}, golden, "s")


def repeated(train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return 150 rows of 1,500 written over by others."""
    test = test.copy()
    test.iloc[:150] = test.iloc[150:300].to_numpy()
    return train, test


def contradicted(train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return 40 clients who are other clients with the other label."""
    test = test.copy()
    inputs = [name for name in test.columns if name not in {"client_id", "asked_on", TARGET}]
    test.loc[:39, inputs] = test.loc[40:79, inputs].to_numpy()
    test.loc[:39, TARGET] = 1 - test.loc[40:79, TARGET].to_numpy()
    return train, test


def shifted(train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return credit limits in another currency."""
    return train, test.assign(credit_limit=test["credit_limit"] // 30)


def leaked(train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a test table with 150 clients of the training data."""
    return train, pd.concat([test, train.iloc[:150]], ignore_index=True)


def overlapping(train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a test table that begins before the training data end."""
    return train, test.assign(asked_on=test["asked_on"] - pd.Timedelta(days=30))


FAULTS = {
    "repeated rows": (repeated, "data_integrity", "DataDuplicates"),
    "contradicting labels": (contradicted, "data_integrity", "ConflictingLabels"),
    "drift": (shifted, "train_test_validation", "FeatureDrift"),
    "clients on both sides": (leaked, "train_test_validation", "IndexTrainTestLeakage"),
    "rows on both sides": (leaked, "train_test_validation", "TrainTestSamplesMix"),
    "test before training ends": (overlapping, "train_test_validation", "DateTrainTestLeakageOverlap"),
}
CLEAN = {
    "data_integrity": ("DataDuplicates", "ConflictingLabels"),
    "train_test_validation": (
        "FeatureDrift", "IndexTrainTestLeakage", "TrainTestSamplesMix", "DateTrainTestLeakageOverlap",
    ),
}  # fmt: skip


@pytest.mark.parametrize("suite", CLEAN)
def test_clean_data_pass(python: Path, suite: str) -> None:
    verdict = judged(run(python, asked(suite, *tables(), *CLEAN[suite])))
    assert verdict.outcome is Outcome.PASS, verdict.message


@pytest.mark.parametrize(("fault", "suite", "check"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_fails(python: Path, fault: Any, suite: str, check: str) -> None:
    verdict = judged(run(python, asked(suite, *fault(*tables()), check)))
    assert verdict.outcome is Outcome.FAIL
    assert check in verdict.message


OWN = """
from deepchecks.core import CheckResult
from deepchecks.tabular import SingleDatasetCheck, Suite
from deepchecks.tabular.checks import DataDuplicates, UnusedFeatures


class Breaks(SingleDatasetCheck):
    def run_logic(self, context, dataset_kind):
        return CheckResult({"rows": 1 // 0})


class Asks(SingleDatasetCheck):
    def run_logic(self, context, dataset_kind):
        import urllib.request

        urllib.request.urlopen("http://127.0.0.1:9/")
        return CheckResult(1)


def suite():
    checks = [DataDuplicates().add_condition_ratio_less_or_equal(0.2), UnusedFeatures(), BODY]
    return Suite("ours", *checks)
"""


@pytest.mark.parametrize(
    ("body", "reason"),
    [("Breaks()", "ZeroDivisionError"), ("Asks()", "the deepchecks worker has no network")],
)
def test_a_suite_of_ones_own_runs_and_what_breaks_in_it_is_told(python: Path, body: str, reason: str) -> None:
    source = OWN.replace("BODY", body).encode()
    request = replace(
        asked("data_integrity", *tables()), suite=Suite(name="ours", source=source, file_name="ours.py")
    )
    evidence = run(python, request)
    verdict = judged(evidence)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert reason in verdict.message
    assert evidence.measurements[0].value == 0
    left = evidence.details["deepchecks_left_out"]
    assert left == [{"check": "UnusedFeatures", "reason": "has to call the model, which never crosses"}]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise ValueError('ours')", "ValueError: ours"),
        ("suite = 1", "must define `suite`"),
        ("import pytest_prodml", "No module named 'pytest_prodml'"),
    ],
)
def test_a_module_that_makes_no_suite_is_told(python: Path, source: str, told: str) -> None:
    request = replace(
        asked("data_integrity", *tables()),
        suite=Suite(name="ours", source=source.encode(), file_name="ours.py"),
    )
    with pytest.raises(InputError, match="the worker gave up") as raised:
        run(python, request)
    assert told in str(raised.value)


def test_cells_of_several_types_reach_the_checks(python: Path) -> None:
    train, test = tables()
    # 50 of 1,500 cells are words: between 1 % and 10 % is a violation (digits in quotes count as numbers).
    cells = [f"about {value}" if row % 30 == 0 else value for row, value in enumerate(test["age"].tolist())]
    spoiled = test.assign(age=pd.Series(cells, dtype=object))
    verdict = judged(run(python, asked("data_integrity", train, spoiled, "MixedDataTypes")))
    assert verdict.outcome is Outcome.FAIL
    assert "age" in verdict.message


def test_too_little_memory_is_no_pass(python: Path) -> None:
    with pytest.raises(InputError):
        deepchecks_suite(
            asked("data_integrity", *tables()),
            python=python,
            gate_id="data.deepchecks",
            limits=Limits(memory_bytes=400 * 2**20),
        )
