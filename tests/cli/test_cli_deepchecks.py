"""`prodml deepchecks`: built once, never half, never over something else, and every problem is a sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from pytest_prodml.cli import main
from pytest_prodml.codec import dumps
from pytest_prodml.deepchecks_worker import build
from pytest_prodml.deepchecks_worker.home import (
    LOCK,
    MARKER,
    Marker,
    default_directory,
    find_interpreter,
    lock_digest,
    locked_versions,
)
from pytest_prodml.errors import MissingDependencyError

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the fake installer is started by its first line"
)

Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - as shutil's own

#: A stand-in for uv: `uv venv` makes an interpreter that says what is installed, `uv pip install` notes its call.
UV = """\
#!{python} -I
import json, pathlib, sys
with open({log!r}, "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "venv":
    inside = pathlib.Path(sys.argv[-1]) / "bin"
    inside.mkdir(parents=True)
    told = json.dumps({{"python": "3.12.1", "versions": {versions}}})
    (inside / "python").write_text("#!{python} -I\\nprint(" + repr(told) + ")\\n")
    (inside / "python").chmod(0o755)
elif sys.argv[1] == "pip":
    {body}
elif sys.argv[1] == "python":
    sys.exit(1)
"""


class Desk:
    """A machine with the stand-in for uv, and no other way to install."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = tmp_path
        self.place = tmp_path / "cache" / "environment"
        self.log = tmp_path / "calls"
        (tmp_path / "bin").mkdir()
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        monkeypatch.setattr(build, "_version_of", {sys.executable: "3.12"}.get)

    def uv(self, body: str = "pass", versions: dict[str, str] | None = None) -> None:
        path = self.root / "bin" / "uv"
        path.write_text(
            UV.format(
                python=sys.executable, log=str(self.log), versions=versions or locked_versions(), body=body
            )
        )
        path.chmod(0o755)

    def install(self, *arguments: str) -> int:
        return main(["deepchecks", "install", "--at", str(self.place), *arguments])

    def check(self) -> int:
        return main(["deepchecks", "check", "--at", str(self.place)])

    def calls(self) -> list[list[str]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    found = Desk(tmp_path, monkeypatch)
    found.uv()
    return found


def test_it_is_built_once_from_the_lock_with_its_hashes(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.check() == 1
    assert "there is no environment" in capsys.readouterr().out
    assert desk.install() == 0
    _, install = desk.calls()
    assert install[:2] == ["pip", "install"]
    assert install[-5:] == ["--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)]
    assert desk.install() == 0
    assert len(desk.calls()) == 2
    assert desk.check() == 0
    assert "deepchecks 0.19.1" in capsys.readouterr().out
    assert find_interpreter(desk.place) == desk.place / "bin" / "python"
    assert os.listdir(desk.place.parent) == ["environment"]  # noqa: PTH208 - nothing is left beside it


def test_another_lock_is_another_environment(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.install()
    marker = Marker(lock_sha256="0" * 64, python="3.12.1", versions={})
    (desk.place / MARKER).write_text(dumps(marker))
    assert desk.check() == 1
    assert "another lock" in capsys.readouterr().out
    with pytest.raises(MissingDependencyError, match="another lock"):
        find_interpreter(desk.place)
    assert desk.install() == 0
    assert len(desk.calls()) == 4
    assert lock_digest() in (desk.place / MARKER).read_text()


def test_force_builds_again(desk: Desk) -> None:
    desk.install()
    assert desk.install("--force") == 0
    assert len(desk.calls()) == 4


def test_what_is_something_else_stays(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.place.mkdir(parents=True)
    (desk.place / "thesis.txt").write_text("years of work")
    assert desk.install() == 2
    assert "holds something else" in capsys.readouterr().err
    assert (desk.place / "thesis.txt").read_text() == "years of work"
    assert desk.calls() == []


def test_a_build_that_fails_leaves_nothing_and_says_why(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.uv("sys.exit('no solution for this platform')")
    assert desk.install() == 2
    told = capsys.readouterr().err
    assert "the installation failed (exit status 1)" in told
    assert "no solution for this platform" in told
    assert list(desk.place.parent.iterdir()) == []


def test_a_build_that_fails_keeps_the_one_that_works(desk: Desk) -> None:
    desk.install()
    desk.uv("sys.exit(1)")
    assert desk.install("--force") == 2
    assert desk.check() == 0


def test_a_full_disk_is_told(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.uv("sys.exit('failed to write: No space left on device (os error 28)')")
    assert desk.install() == 2
    assert "the disk is full" in capsys.readouterr().err
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - 2**29, 2**29))
    assert desk.install() == 2
    assert "the disk has 0.5 GiB left" in capsys.readouterr().err


def test_what_can_not_be_imported_does_not_count_as_built(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.uv("(pathlib.Path(sys.argv[6]).write_text('#!/bin/false'))")
    assert desk.install() == 2
    assert "can not import deepchecks" in capsys.readouterr().err
    assert desk.check() == 1


def test_other_versions_do_not_count_as_built(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.uv(versions={**locked_versions(), "numpy": "2.5.5"})
    assert desk.install() == 2
    assert "numpy 2.5.5 (locked: 1.26.4)" in capsys.readouterr().err


def test_without_a_python_that_fits_it_says_which(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_version_of", lambda _: "3.13")
    assert desk.install() == 2
    assert "no Python 3.12 or 3.11 was found" in capsys.readouterr().err
    assert desk.install("--python", sys.executable) == 2
    assert "is Python 3.13; deepchecks needs Python 3.12 or 3.11" in capsys.readouterr().err


def test_an_interpreter_that_does_not_start_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--at", str(tmp_path / "e"), "--python", str(tmp_path / "none")]
    assert main(["deepchecks", "install", *arguments]) == 2
    assert "is no Python interpreter that starts" in capsys.readouterr().err


def test_without_uv_pip_checks_the_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    make, install = build._commands("python3.12", tmp_path)
    assert make == ["python3.12", "-I", "-m", "venv", str(tmp_path)]
    assert install[-5:] == ["--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)]


def test_a_place_that_can_not_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    code = main(
        ["deepchecks", "install", "--at", str(tmp_path / "file" / "below"), "--python", sys.executable]
    )
    assert code == 2
    assert "error:" in capsys.readouterr().err


def test_variables_of_this_python_do_not_reach_the_installer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", "/elsewhere")
    note = desk.root / "seen"
    desk.uv(f"import os; pathlib.Path({str(note)!r}).write_text(str('PYTHONPYCACHEPREFIX' in os.environ))")
    assert desk.install() == 0
    assert note.read_text() == "False"


def test_the_default_place_is_the_cache_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "pytest-prodml" / "deepchecks"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_directory().is_absolute()


def test_it_loads_nothing_scientific() -> None:
    script = "import sys\nfrom pytest_prodml.cli import main\nmain(['deepchecks', 'check'])\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "pytest_prodml" in loaded
    assert not loaded & {"numpy", "pandas", "pytest", "scipy", "sklearn", "pyarrow", "deepchecks"}
