"""What a project feels that merely has this distribution installed: nothing."""

from __future__ import annotations

import json
import sys

import pytest

HEAVY = {
    *("numpy", "pandas", "sklearn", "scipy", "fairlearn", "pandera", "onnxruntime", "hypothesis", "jinja2"),
    *("cryptography", "rfc8785", "onnx", "pytest_prodml.records", "pytest_prodml.codec"),
    *("pytest_prodml.policy", "pytest_prodml.certificate", "pytest_prodml.plugin.settings"),
}

LIST_MODULES = """
import json, sys

def pytest_unconfigure():
    with open("modules.json", "w") as file:
        json.dump(sorted(sys.modules), file)
"""

TESTS = """
import pytest

@pytest.mark.ml_data
def test_marked(): pass

def test_plain(tmp_path): pass
"""


def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> pytest.RunResult:
    # Other plugins of this environment would import what is looked for.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_PLUGINS", raising=False)
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "ignore", *arguments)
    return pytester.run(*command)


def modules(pytester: pytest.Pytester) -> set[str]:
    return set(json.loads((pytester.path / "modules.json").read_text()))


def test_idle_plugin_imports_nothing_heavy(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest(LIST_MODULES)
    pytester.makepyfile(TESTS)
    assert run(pytester, monkeypatch).ret == 0
    baseline = modules(pytester)
    assert not any(name.startswith("pytest_prodml") for name in baseline)
    assert run(pytester, monkeypatch, "-p", "pytest_prodml.plugin").ret == 0
    added = modules(pytester) - baseline
    assert "pytest_prodml.plugin" in added
    assert not added & HEAVY
    assert {name for name in added if not name.startswith("pytest_prodml")} == set()


def test_idle_plugin_prints_nothing(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(TESTS)
    without = run(pytester, monkeypatch, "-v")
    with_it = run(pytester, monkeypatch, "-v", "-p", "pytest_prodml.plugin")
    assert _told(without) == _told(with_it)
    assert not (pytester.path / "prodml-report").exists()


def _told(result: pytest.RunResult) -> list[str]:
    return [line.partition(" in ")[0] for line in result.outlines + result.errlines]


def test_active_run_imports_no_scientific_library_for_plain_tests(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest(LIST_MODULES)
    pytester.makepyfile(TESTS)
    pytester.path.joinpath("model.bin").write_text("m")
    pytester.path.joinpath("policy.toml").write_text(
        'name = "p"\nversion = "1"\n[require]\ndimensions = ["data"]\n'
    )
    pytester.path.joinpath("prodml.toml").write_text('policy = "policy.toml"\n[model]\npath = "model.bin"\n')
    result = run(pytester, monkeypatch, "-p", "pytest_prodml.plugin", "--prodml", "--prodml-no-sign")
    assert result.ret == 0
    science = {"numpy", "pandas", "sklearn", "scipy", "fairlearn", "pandera", "onnxruntime", "hypothesis"}
    assert not modules(pytester) & science
