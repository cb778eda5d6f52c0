from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from plugin.project import EVIDENCE, GATES, POLICY, Project
from pytest_prodml.certificate.signers.local import generate

# pytester takes out of `sys.modules` what a run in this process imported. What was imported before stays, and
# compiled libraries can be imported only once.
for name in (
    "pytest_prodml.environment",
    "pytest_prodml.plugin.activation",
    "pytest_prodml.plugin.controller",
    "pytest_prodml.plugin.verdicts",
    "pytest_prodml.render.html",
    "pytest_prodml.render.markdown",
    "pytest_prodml.render.terminal",
    "pytest_prodml.render.view",
):
    importlib.import_module(name)


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("keys") / "ci").private


@pytest.fixture
def project(pytester: pytest.Pytester, signing_key: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a model, a policy that requires two gates, and tests that are these gates."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in ("MODEL", "POLICY", "OUT", "KEY", "NO_SIGN", "KEY_PASSPHRASE"):
        monkeypatch.delenv(f"PRODML_{name}", raising=False)
    project = Project(pytester, signing_key)
    project.write("model.bin", "a model\n")
    project.write("policy.toml", POLICY)
    project.write("test_gates.py", GATES)
    project.write("evidence.py", EVIDENCE)
    project.configure()
    return project
