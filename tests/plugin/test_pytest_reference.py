"""docs/reference/pytest.md says what the plugin does: options, keys, markers, methods, its examples."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from plugin.project import Project
from pytest_prodml.plugin.behavior import BehaviorGate
from pytest_prodml.plugin.behavior_artifact import ArtifactChecks
from pytest_prodml.plugin.behavior_attacks import AttackChecks
from pytest_prodml.plugin.behavior_execution import ExecutionChecks
from pytest_prodml.plugin.behavior_relations import RelationChecks
from pytest_prodml.plugin.behavior_robustness import RobustnessChecks
from pytest_prodml.plugin.data import DataGate
from pytest_prodml.plugin.data_sources import SourcesOfData
from pytest_prodml.plugin.data_tables import TablesOfData
from pytest_prodml.plugin.fairness_explained import ExplainedGaps
from pytest_prodml.plugin.fairness_gaps import GapsBetweenGroups
from pytest_prodml.plugin.fairness_people import TreatmentOfPeople
from pytest_prodml.plugin.gates import GateOptions
from pytest_prodml.plugin.latency import LatencyGate
from pytest_prodml.plugin.latency_process import ProcessLatency
from pytest_prodml.plugin.latency_ratios import RatioLatency
from pytest_prodml.plugin.markers import MARKERS
from pytest_prodml.plugin.performance import PerformanceGate
from pytest_prodml.plugin.performance_limits import LimitsOfPerformance
from pytest_prodml.plugin.pipeline import PipelineGate
from pytest_prodml.plugin.pipeline_runs import PipelineRuns
from pytest_prodml.plugin.served_load import ServedLoad
from pytest_prodml.plugin.served_requests import ServedRequests
from pytest_prodml.plugin.settings import (
    BehaviorSettings,
    DataSettings,
    DeepchecksSettings,
    LatencySettings,
    ModelSettings,
    ServerSettings,
    Settings,
    load_settings,
)
from pytest_prodml.plugin.tables import SkewOfTables

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "pytest.md").read_text(encoding="utf-8")
FAIRNESS = (Path(__file__).parents[2] / "docs" / "reference" / "fairness.md").read_text(encoding="utf-8")
BEHAVIOR = (Path(__file__).parents[2] / "docs" / "reference" / "behavior.md").read_text(encoding="utf-8")
LATENCY = (Path(__file__).parents[2] / "docs" / "reference" / "latency.md").read_text(encoding="utf-8")
PIPELINE = (Path(__file__).parents[2] / "docs" / "reference" / "pipeline.md").read_text(encoding="utf-8")
DATA = (Path(__file__).parents[2] / "docs" / "reference" / "data.md").read_text(encoding="utf-8")
PERFORMANCE = (Path(__file__).parents[2] / "docs" / "reference" / "performance.md").read_text(
    encoding="utf-8"
)
AVERAGES = ("_macro", "_micro", "_weighted", "_samples")
PARTS = {part.partition("\n")[0]: part for part in TEXT.split("\n## ")[1:]}


def block(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    return str(found)


def first_cells(part: str) -> str:
    return " ".join(line.split(" | ")[0] for line in PARTS[part].splitlines() if line.startswith("| `"))


def test_options(project: Project) -> None:
    shown = project.idle("--help").stdout.str()
    ours = set(re.findall(r"--prodml[a-z-]*", shown))
    assert set(re.findall(r"--prodml[a-z-]*", PARTS["Options"])) == ours
    assert set(re.findall(r"`(prodml[a-z_]*)`", PARTS["Options"])) == set(
        re.findall(r"^  (prodml[a-z_]*) \(", shown, flags=re.MULTILINE)
    )


def test_configuration_keys() -> None:
    known = {item.name for item in fields(Settings)} - {
        "root",
        "source",
        "sign",
        "model",
        "data",
        "deepchecks",
        "behavior",
        "latency",
        "server",
    }
    known -= {"shard", "serial", "configuration_digest"}
    known |= {f"model.{item.name}" for item in fields(ModelSettings)}
    known |= {f"data.{item.name}" for item in fields(DataSettings)}
    known |= {f"deepchecks.{item.name}" for item in fields(DeepchecksSettings)}
    known |= {f"behavior.{item.name}" for item in fields(BehaviorSettings)}
    known |= {f"latency.{item.name}" for item in fields(LatencySettings)}
    known |= {f"server.{item.name}" for item in fields(ServerSettings)}
    assert set(re.findall(r"`([a-z_.]+)`", first_cells("Configuration"))) == known


def test_example_of_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "prodml.toml").write_text(block("toml"), encoding="utf-8")
    settings = load_settings(tmp_path, {})
    assert settings.model.favorable == 0
    assert settings.data.sensitive == ("sex", "age_band")


def test_markers() -> None:
    assert set(re.findall(r"`(ml_[a-z]+)`", PARTS["Markers"].partition("\n\n|")[0])) >= set(MARKERS)
    assert re.findall(r"`([a-z_]+)`", first_cells("Markers")) == [item.name for item in fields(GateOptions)]


def test_what_two_fixtures_share() -> None:
    [row] = [line for line in TEXT.splitlines() if line.startswith("| `ml_pipeline` | `")]
    for name in vars(SkewOfTables):
        assert name.startswith("_") or f"`{name}`" in row


@pytest.mark.parametrize(
    ("fixture", "page", "owners"),
    [
        ("ml_data", DATA, [SkewOfTables, TablesOfData, SourcesOfData, DataGate]),
        ("ml_performance", PERFORMANCE, [LimitsOfPerformance, PerformanceGate]),
        ("ml_fairness", FAIRNESS, [GapsBetweenGroups, TreatmentOfPeople, ExplainedGaps]),
        (
            "ml_behavior",
            BEHAVIOR,
            [RelationChecks, ExecutionChecks, RobustnessChecks, AttackChecks, ArtifactChecks, BehaviorGate],
        ),
        ("ml_latency", LATENCY, [LatencyGate, RatioLatency, ProcessLatency]),
        ("ml_pipeline", PIPELINE, [PipelineGate, PipelineRuns, ServedLoad, ServedRequests]),
    ],
    ids=["ml_data", "ml_performance", "ml_fairness", "ml_behavior", "ml_latency", "ml_pipeline"],
)
def test_methods_of_a_fixture_with_its_own_page(fixture: str, page: str, owners: list[type]) -> None:
    told = dict(re.findall(r"^\| `([a-z_]+)\((.*?)\)` \|", page, flags=re.MULTILINE))
    methods = {
        key: value for owner in owners for key, value in vars(owner).items() if not key.startswith("_")
    }
    assert list(told) == list(methods)
    check_signatures(told, methods)
    [row] = [line for line in TEXT.splitlines() if line.startswith(f"| `{fixture}` | `")]
    shared = ["no_training_serving_skew"] if fixture == "ml_pipeline" else []
    assert re.findall(r"`([a-z_]+)`", row) == [fixture, *methods, *shared]


def test_every_metric_is_on_the_page() -> None:
    from pytest_prodml.checks.metrics.named import metric_named
    from pytest_prodml.checks.performance import METRICS

    table = PERFORMANCE.partition("\n## Metrics")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z0-9_.@%]+)`", table.partition("A metric of your own")[0]))
    families = {f"{name}{suffix}" for name in ("precision", "recall", "f1", "jaccard") for suffix in AVERAGES}
    assert set(METRICS) - named - families == set()
    for name in named - set(AVERAGES) - {"neg_", "at_most", "query"}:
        metric_named(name)


def check_signatures(told: dict[str, str], methods: dict[str, Any]) -> None:
    for method, arguments in told.items():
        parameters = list(inspect.signature(methods[method]).parameters.values())[1:]
        shown = re.sub(r"\([^)]*\)", "()", arguments)
        names = [part.partition("=")[0].lstrip("*") for part in shown.split(", ") if part != "*"]
        assert names == [parameter.name for parameter in parameters]
        for parameter in parameters:
            if isinstance(parameter.default, (int, float, bool)):
                assert f"{parameter.name}={parameter.default}" in arguments


def test_check_of_ones_own(project: Project) -> None:
    project.write("test_gates.py", block("python"))
    project.write("policy.toml", 'name = "p"\nversion = "1"\n[require]\ngates = ["pipeline.answers"]\n')
    assert project.run().ret == 0
    assert project.issued().gates[0].id == "pipeline.answers"
