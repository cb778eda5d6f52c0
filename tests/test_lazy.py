"""Importing when needed, and saying which extra is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_prodml._lazy import loaded, require
from pytest_prodml.errors import MissingDependencyError


def test_a_missing_package_names_the_extra() -> None:
    with pytest.raises(MissingDependencyError) as caught:
        require("not_installed_anywhere.part", extra="fairness")
    assert "'not_installed_anywhere'" in str(caught.value)
    assert 'pip install "pytest-prodml[fairness]"' in str(caught.value)


def test_a_package_that_is_broken_inside_keeps_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_inside.py").write_text("import its_own_missing_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="its_own_missing_dependency"):
        require("broken_inside", extra="data")


def test_asking_whether_a_module_is_loaded_loads_nothing() -> None:
    code = (
        "import sys; from pytest_prodml._lazy import loaded; "
        "print(loaded('xml.dom.minidom'), 'xml.dom.minidom' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "False"]
    assert loaded("sys") is sys
