"""Every folder beside this file is a case: what lies in it goes through `prodml verify`, and the answer is in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_prodml.cli import main
from pytest_prodml.verify.report import REASONS

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/case.json"))


def expected(name: str) -> Any:
    return json.loads((HERE / name / "case.json").read_text("utf-8"))


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a writable directory with what the cases share: a state file is written beside its case."""
    root = tmp_path_factory.mktemp("conformance")
    shutil.copytree(HERE / "shared", root / "shared")
    return root


def laid_out(desk: Path, name: str) -> Path:
    folder = desk / name
    if not folder.exists():
        shutil.copytree(HERE / name, folder)
        state = folder / "state.json"
        if state.exists():
            # A checkout decides about modes by itself; a state file must be its owner's.
            state.chmod(0o600)
    return folder


def command(case: Any) -> list[str]:
    return [*case["arguments"], "--at", case["now"], "--json"]


@pytest.mark.parametrize("name", CASES)
def test_case(
    name: str, desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = expected(name)
    monkeypatch.chdir(laid_out(desk, name))
    exit_code = main(command(case))
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert captured.err == ""
    found = [reason["code"] for reason in report["reasons"]]
    expect = case["expect"]
    assert (report["accepted"], exit_code) == (expect["accepted"], expect["exit_code"]), found
    assert report["exitCode"] == exit_code
    assert set(expect["reasons"]) <= set(found)
    assert expect["accepted"] == (not found) == (exit_code == 0)


BY_PROCESS = [name for name in CASES if not expected(name)["expect"]["accepted"]][::70] + [
    name for name in CASES if expected(name)["expect"]["accepted"]
][::24]


@pytest.mark.parametrize("name", BY_PROCESS)
def test_case_in_a_process_of_its_own(name: str, tmp_path: Path) -> None:
    case = expected(name)
    shutil.copytree(HERE / "shared", tmp_path / "shared")
    script = "import sys; from pytest_prodml.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", script, *command(case)],
        cwd=laid_out(tmp_path, name),
        env={**os.environ, "PYTHONOPTIMIZE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == case["expect"]["exit_code"], done.stderr
    assert json.loads(done.stdout)["accepted"] == case["expect"]["accepted"]


def test_the_folder_is_large_and_says_both_yes_and_no() -> None:
    cases = [expected(name) for name in CASES]
    accepted = [case for case in cases if case["expect"]["accepted"]]
    assert len(cases) - len(accepted) >= 200
    assert len(accepted) >= 30
    for case in cases:
        expect = case["expect"]
        assert expect["accepted"] == (expect["exit_code"] == 0) == (expect["reasons"] == [])
        assert all(int(REASONS[code][0]) for code in expect["reasons"])


def test_the_cases_meet_every_reason_that_data_can_cause() -> None:
    seen = {code for name in CASES for code in expected(name)["expect"]["reasons"]}
    # A broken verifier, and signatures without a key, have their own tests beside the code.
    assert set(REASONS) - seen <= {"internal", "identity"}


NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="node is not installed, so the second verifier can not run")
def test_a_second_verifier_written_from_the_documentation_agrees(desk: Path) -> None:
    """All cases, in one process of another language."""
    for name in CASES:
        laid_out(desk, name)
    done = subprocess.run(
        [str(NODE), str(HERE / "verifier.mjs"), *(str(desk / name) for name in CASES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["case"] for answer in answers] == CASES
    wrong = [
        (answer["case"], answer["exit"], answer["reason"])
        for answer in answers
        if answer["exit"] != expected(answer["case"])["expect"]["exit_code"]
    ]
    assert wrong == []
