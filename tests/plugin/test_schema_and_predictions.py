"""`ml_data` with a configured schema file, and with the model's predictions."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from plugin.project import Project

# As in conftest.py: what is compiled can be imported only once, and these tests run in this process.
for name in ("pandera.pandas", "polars", "pytest_prodml.checks.data", "pytest_prodml.plugin.data"):
    importlib.import_module(name)

CONFTEST = """
import pytest
from pytest_prodml.adapters import bind

@pytest.fixture(scope="session")
def prodml_model():
    return bind(lambda rows: rows["a"] / {scale}, "model.bin")
"""
POLICY = 'name = "p"\nversion = "1"\n[require]\ngates = ["data.x"]\n'


@pytest.fixture
def shop(project: Project) -> Project:
    project.write("conftest.py", CONFTEST.format(scale=10))
    project.write("test.csv", "a,y\n1,0\n9,1\n4,1\n")
    project.write("policy.toml", POLICY)
    project.configure(model='[data]\ntest = "test.csv"\ntarget = "y"\nschema = "rules/schema.json"\n')
    return project


def judged(shop: Project, call: str) -> tuple[int, Any]:
    shop.write("test_gates.py", f"def test_x(ml_data):\n    ml_data.{call}\n")
    return int(shop.run().ret), shop.verdict("data.x")


@pytest.mark.parametrize(("most", "expected"), [(9, 0), (5, 1)])
def test_the_configured_schema_file_is_the_default(shop: Project, most: int, expected: int) -> None:
    column = {"dtype": "int64", "in_range": {"min_value": 0, "max_value": most}}
    shop.write("rules/schema.json", json.dumps({"columns": {"a": column}}))
    assert judged(shop, "conforms_to()")[0] == expected
    [run] = shop.runs("data.x")
    assert run.evidence is not None
    assert [material.name for material in run.evidence.materials] == ["test.csv", "schema.json"]


def test_a_draft_is_no_gate(shop: Project) -> None:
    draft = {"columns": {"a": {}}, "metadata": {"reviewed": False}}
    shop.write("rules/schema.json", json.dumps(draft))
    returned, verdict = judged(shop, "conforms_to()")
    assert returned == 1
    assert "draft that nobody has reviewed" in verdict.message


def test_predictions_of_the_model_are_counted(shop: Project) -> None:
    assert judged(shop, "predictions_conform()")[0] == 0
    [run] = shop.runs("data.x")
    assert run.evidence is not None
    assert [subject.name for subject in run.evidence.subjects] == ["model.bin"]
    assert [material.name for material in run.evidence.materials] == ["test.csv"]


@pytest.mark.parametrize(
    ("scale", "call"),
    [
        (5, "predictions_conform()"),
        (float("inf"), "predictions_conform()"),
        (0, "predictions_conform()"),
        (10, "predictions_conform(task='labels', classes=[0, 2])"),
        (10, "predictions_conform(high=0.5)"),
    ],
)
def test_predictions_that_nobody_can_mean_fail(shop: Project, scale: float, call: str) -> None:
    shop.write("conftest.py", CONFTEST.format(scale=f"float('{scale}')"))
    returned, verdict = judged(shop, call)
    assert returned == 1
    assert verdict.outcome.value == "fail", verdict.message


def test_labels_are_those_of_the_test_data(shop: Project) -> None:
    assert judged(shop, "predictions_conform(task='labels')")[0] == 0
