"""Runs that die: no certificate of an incomplete run, no half file under a final name, a log that can be read."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plugin.project import Project
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.signers.local import load_public_key
from pytest_prodml.certificate.statement import read_certificate
from pytest_prodml.records import Readiness
from pytest_prodml.verify.fragment import read_run_log

SLOW_GATES = """
import time
import pytest

@pytest.mark.ml_pipeline
def test_one():
    time.sleep(0.05)

@pytest.mark.ml_pipeline
def test_two():
    time.sleep(0.05)
"""


def finish(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=60)
    return process.returncode, output.decode()


def start(project: Project, *arguments: str, file_bytes: int | None = None) -> subprocess.Popen[bytes]:
    """Start ``pytest --prodml`` in a session of its own; `file_bytes` is the largest file it may write."""

    def limited() -> None:
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "prodml",
        "-p",
        "no:cacheprovider",
        "--prodml",
        *arguments,
    ]
    return subprocess.Popen(
        command,
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=limited,  # noqa: PLW1509 - this process has no threads here
    )


def check_what_is_left(project: Project) -> bool:
    """Check that a certificate is whole or absent and that the log can be read; tell whether there is one."""
    public = load_public_key(project.key.with_suffix(".pub"))
    for log in (project.out / "evidence").glob("*.jsonl") if project.out.exists() else ():
        *whole, last = log.read_text(encoding="utf-8").split("\n")
        assert all(isinstance(json.loads(line), dict) for line in whole)
        assert last == "" or log.stat().st_size > 0
        if whole:
            # What `prodml merge` makes of it: a run that died is one that never ended, and nobody signed it.
            read = read_run_log(log.read_bytes(), where=log.name, keys=[public], allow_unsigned=True)
            assert (read.summary is None) == (not read.signed_by)
    path = project.out / "certificate.json"
    if not path.exists():
        return False
    certificate = read_certificate(parse_envelope(path.read_bytes()).payload)
    assert certificate.decision.outcome is Readiness.READY
    assert len(certificate.runs) == 2
    return True


def test_a_run_that_is_killed_at_any_instant(project: Project) -> None:
    project.write("test_gates.py", SLOW_GATES)
    began = time.monotonic()
    assert finish(start(project))[0] == 0
    whole = time.monotonic() - began
    assert check_what_is_left(project)
    instants = random.Random(20261123)  # noqa: S311 - when to kill is no secret
    survived = 0
    for _ in range(12):
        process = start(project)
        time.sleep(instants.uniform(0.3, 1.05) * whole)
        finished = process.poll() is not None
        if not finished:
            os.killpg(process.pid, signal.SIGKILL)
        finish(process)
        found = check_what_is_left(project)
        survived += found
        if finished:
            assert found
    # The instants cover the run: some kills come before the end, or this test shows nothing.
    assert survived < 12


@pytest.mark.parametrize("file_bytes", [200, 1_000, 3_000])
def test_a_disk_that_is_full(project: Project, file_bytes: int) -> None:
    assert finish(start(project))[0] == 0
    process = start(project, "-s", file_bytes=file_bytes)
    status, output = finish(process)
    assert status != 0, output
    assert not check_what_is_left(project)
    assert "INTERNALERROR" not in output
    assert "large" in output or "space" in output, output


def test_an_output_directory_that_can_not_be_written(project: Project) -> None:
    (project.root / "prodml-report").write_text("a file where the directory should be")
    process = start(project)
    status, output = finish(process)
    assert status != 0
    assert "prodml-report" in output
    assert "INTERNALERROR" not in output
    assert "Traceback" not in output


def test_a_key_that_can_not_be_read(project: Project, tmp_path: Path) -> None:
    for name, content in (("absent", None), ("empty", ""), ("text", "no key"), ("directory", "dir")):
        path = tmp_path / name
        if content == "dir":
            path.mkdir()
        elif content is not None:
            path.write_text(content)
            path.chmod(0o600)
        process = start(project, f"--prodml-key={path}")
        status, output = finish(process)
        assert status == 4, (name, output)
        assert not (project.out / "certificate.json").exists()
        assert "Traceback" not in output


def test_a_model_that_changes_while_the_tests_run(project: Project) -> None:
    project.write(
        "test_gates.py",
        SLOW_GATES + "\n    open('model.bin', 'a').write('more')\n",
    )
    process = start(project)
    status, output = finish(process)
    assert status != 0
    certificate = project.certificate()
    assert certificate is None or certificate.decision.outcome is Readiness.NOT_READY, output
