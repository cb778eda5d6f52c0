"""The check of the model file: pass, fail and inconclusive, and which file the evidence is about."""

from __future__ import annotations

import importlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_prodml.adapters import bind
from pytest_prodml.adapters.artifact import Limits
from pytest_prodml.certificate.digest import subject_of
from pytest_prodml.checks.behavior.artifact import safe_artifact
from pytest_prodml.codec import canonical_json, encode, sha256_hex
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge
from pytest_prodml.records import Dimension, Evidence, Gate, GateRun, Outcome, RunState

joblib: Any = importlib.import_module("joblib")
GATE = "behavior.file"


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def outcome(evidence: Evidence) -> tuple[Outcome, str]:
    gate = Gate(id=GATE, dimension=Dimension.BEHAVIOR, description="the file is safe")
    run = GateRun(gate_id=GATE, location="t", state=RunState.PASSED, evidence=evidence)
    found = judge(gate, run, confidence_level=0.95)
    canonical_json(encode(evidence))
    return found.outcome, found.message


@pytest.fixture(scope="module")
def model() -> Any:
    from sklearn.linear_model import LogisticRegression

    rows = np.random.default_rng(0).normal(size=(50, 2))
    return LogisticRegression().fit(rows, rows[:, 0] > 0)


@pytest.mark.parametrize("compress", [0, 3])
def test_a_clean_file_passes(model: Any, tmp_path: Path, compress: int) -> None:
    path = tmp_path / "model.joblib"
    joblib.dump(model, path, compress=compress)
    predictor = bind(model, path)
    evidence = safe_artifact(predictor, path, gate_id=GATE, seed=3)
    assert outcome(evidence)[0] is Outcome.PASS
    assert evidence.subjects == (predictor.subject,)
    assert evidence.details["digest"] == sha256_hex(path.read_bytes())
    assert "sklearn.linear_model._logistic.LogisticRegression" in evidence.details["globals"]  # type: ignore[operator]
    assert evidence.seed == 3
    found = {item.metric: (item.value, item.lower, item.upper) for item in evidence.measurements}
    assert found == {"unsafe_findings": (0, 0, 0), "unread_parts": (0, 0, 0)}


def test_an_attack_fails_and_says_where(tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"a": 1, "b": Evil(marker)}))
    evidence = safe_artifact(None, path, gate_id=GATE)
    verdict, told = outcome(evidence)
    assert verdict is Outcome.FAIL
    assert "imports posix.system" in told
    assert "model.pkl" in told
    assert not marker.exists()


def test_an_unread_part_is_inconclusive(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"a": 1}) + b"\xff\xff")
    evidence = safe_artifact(None, path, gate_id=GATE)
    verdict, told = outcome(evidence)
    assert verdict is Outcome.INCONCLUSIVE
    assert "1 part was not read" in told
    assert "bytes behind the pickle" in told
    by_metric = {item.metric: item for item in evidence.measurements}
    assert by_metric["unsafe_findings"].upper is None
    assert by_metric["unread_parts"].value == 1
    # What was found before the unread part is a finding all the same.
    path.write_bytes(pickle.dumps(Evil(tmp_path / "marker")) + b"\xff")
    assert outcome(safe_artifact(None, path, gate_id=GATE))[0] is Outcome.FAIL
    limited = safe_artifact(None, path, gate_id=GATE, limits=Limits(size=3))
    assert outcome(limited)[0] is Outcome.INCONCLUSIVE


def test_what_is_allowed_stands_in_the_evidence(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x04\x8c\x08my.steps\x8c\x04Clip\x93)\x81.")
    assert outcome(safe_artifact(None, path, gate_id=GATE))[0] is Outcome.FAIL
    evidence = safe_artifact(None, path, gate_id=GATE, allow=["my.steps.Clip"])
    assert outcome(evidence)[0] is Outcome.PASS
    assert evidence.details["allowed"] == ["my.steps.Clip"]


def test_another_file_than_the_model_is_refused(model: Any, tmp_path: Path) -> None:
    path, other = tmp_path / "model.joblib", tmp_path / "other.joblib"
    joblib.dump(model, path)
    joblib.dump({"a": 1}, other)
    with pytest.raises(InputError, match="does not have the bytes"):
        safe_artifact(bind(model, path), other, gate_id=GATE)
    with pytest.raises(InputError, match="does not exist"):
        safe_artifact(None, tmp_path / "none", gate_id=GATE)


def test_a_directory_with_the_model(model: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "model.joblib"
    joblib.dump(model, path)
    (folder / "config.json").write_text("{}", "utf-8")
    evidence = safe_artifact(bind(model, path), folder, gate_id=GATE)
    assert outcome(evidence)[0] is Outcome.PASS
    assert evidence.materials[0].digest == subject_of(folder).digest
    assert safe_artifact(None, folder, gate_id=GATE).subjects[0].digest == subject_of(folder).digest
    (folder / "extra.bin").write_bytes(b"\x80\x04\x8c\x02os\x8c\x06system\x93.")
    assert outcome(safe_artifact(bind(model, path), folder, gate_id=GATE))[0] is Outcome.FAIL
    other = tmp_path / "elsewhere.joblib"
    joblib.dump([1], other)
    with pytest.raises(InputError, match="holds no file with"):
        safe_artifact(bind(model, other), folder, gate_id=GATE)


def test_evidence_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(
        b"\x80\x04" + b"".join(b"\x8c\x02os\x8c\x04f%03d\x930" % at for at in range(500)) + b"N."
    )
    evidence = safe_artifact(None, path, gate_id=GATE)
    assert evidence.measurements[0].value == 500
    assert len(evidence.details["findings"]) == 50  # type: ignore[arg-type]
    assert evidence.details["left_out"]["findings"] == 450  # type: ignore[index, call-overload]
    assert evidence.details["left_out"]["globals"] == 300  # type: ignore[index, call-overload]
    assert len(canonical_json(encode(evidence))) < 40_000
