"""What the certificate calls the version of the model: said at the command line, because a build knows it."""

from __future__ import annotations

import pytest

from plugin.project import Project


def test_the_option_wins_over_the_file(project: Project) -> None:
    project.configure(model='version = "unreleased"')
    project.run()
    assert project.issued().model_version == "unreleased"
    project.run("--prodml-model-version", "2.1")
    assert project.issued().model_version == "2.1"


def test_the_environment_can_say_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRODML_MODEL_VERSION", "2026.11")
    project.run()
    assert project.issued().model_version == "2026.11"
