"""The page on deepchecks, done as it is written, with a stand-in for the worker."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

from fake_deepchecks import fake_interpreter
from plugin.conftest import project, signing_key
from plugin.project import Project
from pytest_prodml.plugin.settings import load_settings

__all__ = ["project", "signing_key"]

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the fake worker is started by its first line"
)

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "deepchecks.md").read_text(encoding="utf-8")
BLOCK = re.compile(r'^```(\w+)(?: title="(.*?)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)

# What is imported before a run in this process stays; compiled libraries can be imported only once.
for name in ("pandas", "pytest_prodml.checks.deepchecks", "pytest_prodml.plugin.performance"):
    importlib.import_module(name)

CONFTEST = """
import numpy as np
import pandas as pd
import pytest


def table(rows, first):
    ids = np.arange(first, first + rows)
    words = {name: ["a", "b"] * (rows // 2) for name in ("sex", "education", "marital_status")}
    return pd.DataFrame({"client": ids, **words, "y": ids % 2})


@pytest.fixture(scope="session")
def prodml_reference():
    return table(60, 0)


@pytest.fixture(scope="session")
def prodml_test():
    return table(40, 1000)


@pytest.fixture(scope="session")
def prodml_model():
    return lambda rows: 0.2 + 0.6 * (rows["client"].to_numpy() % 2)
"""

OURS = "checks.append(check('Ours', sides=('train',)))\nanswer['planned'] = [item['name'] for item in checks]"


def test_every_test_of_the_page_runs(project: Project) -> None:
    python = [text for kind, title, text in BLOCK.findall(PAGE) if kind == "python" and not title]
    [module] = [text for kind, title, text in BLOCK.findall(PAGE) if title.endswith(".py")]
    suites = next(text for kind, _, text in BLOCK.findall(PAGE) if kind == "toml" and "suites" in text)
    project.write("conftest.py", CONFTEST)
    project.write("test_gates.py", "\n\n".join(python))
    project.write("checks/nightly.py", module)
    project.configure(model=f'[data]\ntarget = "y"\n[deepchecks]\npython = "worker"\n{suites}')
    body = f"if request['suite']['name'] == 'nightly':\n    {OURS}"
    fake_interpreter(project.root / "worker", body.replace("\nanswer", "\n    answer"), train=60, test=40)
    project.idle().assert_outcomes(passed=4)


def test_every_setting_of_the_page_is_known(tmp_path: Path) -> None:
    blocks = [text for kind, _, text in BLOCK.findall(PAGE) if kind == "toml"]
    assert len(blocks) == 2
    for text in blocks:
        assert tomllib.loads(text)["deepchecks"]
        (tmp_path / "prodml.toml").write_text(text, encoding="utf-8")
        load_settings(tmp_path, {})
