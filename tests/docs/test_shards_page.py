"""The page on shards and hosts, done as it is written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.statement import read_certificate

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "shards-and-hosts.md"
BLOCK = re.compile(r'^```(bash|toml title="prodml.toml")\n(.*?)^```$', re.DOTALL | re.MULTILINE)

POLICY = """
name = "production"
version = "1"
[require]
gates = ["pipeline.fast", "pipeline.slow", "latency.p99"]
targets = ["cpu-build", "gpu-serving"]
[targets.cpu-build]
min_processors = 1
[targets.gpu-serving]
min_processors = 1
"""

GATES = """
import hashlib
import pathlib
import pytest
from pytest_prodml.records import Comparison, Criterion, Evidence, Measurement, Subject

DIGEST = hashlib.sha256(pathlib.Path("model.onnx").read_bytes()).hexdigest()

@pytest.mark.ml_pipeline
def test_fast(): pass

@pytest.mark.ml_pipeline
def test_slow(): pass

@pytest.mark.ml_latency
def test_p99(prodml):
    prodml.record(Evidence(
        gate_id=prodml.gate_id,
        measurements=(Measurement(metric="latency_p99", value=0.001, lower=0.001, upper=0.002, unit="s",
                                  confidence_level=0.95, method="given", n_samples=1000),),
        criteria=(Criterion(metric="latency_p99", comparison=Comparison.AT_MOST, limit=0.005),),
        subjects=(Subject(name="model.onnx", digest={"sha256": DIGEST}),),
    ))
"""


def run(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=directory,
        env={"PATH": path, "LANG": "C.UTF-8", "PYTEST_ADDOPTS": "-p no:cacheprovider"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_command_works_as_it_is_typed(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"a model")
    (tmp_path / "test_gates.py").write_text(GATES, encoding="utf-8")
    policy = tmp_path / "policy.toml"
    # Without targets first: the shards of one suite declare none.
    policy.write_text(POLICY.partition("targets")[0], encoding="utf-8")
    merged = []
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == 5
    for kind, block in blocks:
        if kind != "bash":
            (tmp_path / "prodml.toml").write_text(block, encoding="utf-8")
            continue
        if "--prodml-target" in block:
            policy.write_text(POLICY, encoding="utf-8")
        done = run(block, tmp_path)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        if "prodml merge" in block:
            data = (tmp_path / "prodml-report" / "certificate.json").read_bytes()
            merged.append(read_certificate(parse_envelope(data).payload))
    assert [[item.name for item in one.run.fragments or ()] for one in merged] == [
        ["1/2", "2/2"],
        ["cpu", "gpu"],
    ]
    assert [one.decision.outcome.value for one in merged] == ["READY", "READY"]
    assert {item.target for item in merged[1].run.fragments or ()} == {"cpu-build", "gpu-serving"}


def test_a_missing_log_is_refused_as_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"a model")
    (tmp_path / "test_gates.py").write_text(GATES, encoding="utf-8")
    (tmp_path / "policy.toml").write_text(POLICY.partition("targets")[0], encoding="utf-8")
    keys, configuration, _, merge, _ = [block for _, block in BLOCK.findall(PAGE.read_text(encoding="utf-8"))]
    (tmp_path / "prodml.toml").write_text(configuration, encoding="utf-8")
    one = 'pytest --prodml --prodml-shard=1/2 --prodml-out=shard-1 -k "not slow"'
    assert run(f"{keys}\n{one}", tmp_path).returncode == 0
    done = run(merge, tmp_path)
    assert done.returncode == 17
    assert "fragment-missing" in done.stderr
