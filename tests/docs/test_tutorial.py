"""The tutorial, done as it is written, in a directory of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "first-certificate.md"
BLOCK = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the tutorial's files and run its commands."""
    directory = tmp_path_factory.mktemp("tutorial")
    blocks = dict(BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")))
    commands = blocks.pop("run")
    for name, text in blocks.items():
        (directory / name).write_text(text, encoding="utf-8")
    done = run(f"set -e\n{commands}", directory)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def run(commands: str, directory: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        ["sh", "-c", commands], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


VERIFY = (
    "prodml verify prodml-report/certificate.json --key keys/ci.pub --model model.onnx --policy policy.toml"
)


def test_the_commands_end_with_an_accepted_certificate(project: Path) -> None:
    done = run(VERIFY, project)
    assert done.returncode == 0
    assert (project / "prodml-report" / "certificate.html").stat().st_size > 10_000


def test_a_changed_byte_is_refused_as_the_tutorial_says(project: Path) -> None:
    model = project / "model.onnx"
    good = model.read_bytes()
    model.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    done = run(VERIFY, project)
    model.write_bytes(good)
    assert done.returncode == 13


def test_leaving_out_a_gate_is_refused_as_the_tutorial_says(project: Path) -> None:
    done = run(f"pytest --prodml -k auc || {VERIFY}", project)
    assert done.returncode == 1
