"""The fixtures: what is measured (to be overridden in ``conftest.py``) and the gates of each dimension.

Loaded by every run of pytest: everything is imported inside the functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_prodml.adapters.serving.served import ServedModel
    from pytest_prodml.plugin.behavior import BehaviorGate
    from pytest_prodml.plugin.data import DataGate
    from pytest_prodml.plugin.fairness import FairnessGate
    from pytest_prodml.plugin.latency import LatencyGate
    from pytest_prodml.plugin.performance import PerformanceGate
    from pytest_prodml.plugin.pipeline import PipelineGate
    from pytest_prodml.plugin.subjects import Target
    from pytest_prodml.plugin.verdicts import GateSession


@pytest.fixture(scope="session")
def prodml_model(pytestconfig: pytest.Config) -> Any:  # noqa: ANN401 - any model that an adapter knows
    """Provide the model under test. Default: the file at `path` of [tool.prodml.model].

    Override it to return a path or any object that an adapter knows. A certificate needs to know that what
    was measured is the certified file: return its path, or `pytest_prodml.adapters.bind(model, path)`.
    """
    from pytest_prodml.plugin.subjects import default_model

    return default_model(pytestconfig)


@pytest.fixture(scope="session")
def prodml_baseline(pytestconfig: pytest.Config) -> Any:  # noqa: ANN401 - any model that an adapter knows
    """Provide the model to compare with. Default: the file at `baseline` of [tool.prodml].

    It must be another file than the model under test. Override it to return a path or a model.
    """
    from pytest_prodml.plugin.subjects import default_baseline

    return default_baseline(pytestconfig)


@pytest.fixture(scope="session")
def prodml_pipeline(pytestconfig: pytest.Config) -> Any:  # noqa: ANN401 - whatever the project named
    """Provide what makes the model. Default: `pipeline` of [tool.prodml].

    `prodml_pipeline.run()` runs it in a fresh process; a function can be called here, too. Override it to
    return a function, ``"module:function"``, commands by the name of their stage, ``"kedro: path"``,
    ``"dagster: module:job"`` or ``"airflow: module:dag"``.
    """
    from pytest_prodml.plugin.pipeline_source import default_pipeline

    return default_pipeline(pytestconfig)


@pytest.fixture(scope="session")
def prodml_server(pytestconfig: pytest.Config) -> ServedModel:
    """Say how the model is served. Default: [tool.prodml.server]. Each check starts a server of its own.

    `with prodml_server.running() as endpoint:` starts one for a test of yours; `endpoint.url` is where.
    """
    from pytest_prodml.plugin.server_source import default_server

    return default_server(pytestconfig)


@pytest.fixture(scope="session")
def prodml_target(pytestconfig: pytest.Config) -> Target:
    """Provide the hardware that the tests run on: its declared `name` and the recorded `environment`.

    The name comes from --prodml-target or `target` of [tool.prodml]; a policy can ask for it.
    """
    from pytest_prodml.plugin.subjects import target_of

    return target_of(pytestconfig)


@pytest.fixture(scope="session")
def prodml_reference(pytestconfig: pytest.Config) -> Any:  # noqa: ANN401 - any table
    """Provide the data the model was trained on. Default: the file at `reference` of [tool.prodml.data].

    Override it to return a frame (pandas, polars, arrow), an (X, y) pair or a path.
    """
    from pytest_prodml.plugin.subjects import default_data

    return default_data(pytestconfig, "reference")


@pytest.fixture(scope="session")
def prodml_test(pytestconfig: pytest.Config) -> Any:  # noqa: ANN401 - any table
    """Provide held-out labelled data. Default: the file at `test` of [tool.prodml.data].

    Override it to return a frame (pandas, polars, arrow), an (X, y) pair or a path.
    """
    from pytest_prodml.plugin.subjects import default_data

    return default_data(pytestconfig, "test")


@pytest.fixture(scope="session")
def prodml_current(pytestconfig: pytest.Config) -> Any:  # noqa: ANN401 - any table
    """Provide recent production data. Default: the file at `current` of [tool.prodml.data].

    Override it to return a frame (pandas, polars, arrow), an (X, y) pair or a path.
    """
    from pytest_prodml.plugin.subjects import default_data

    return default_data(pytestconfig, "current")


@pytest.fixture(scope="session")
def prodml_schema(pytestconfig: pytest.Config) -> Any:  # noqa: ANN401 - a pandera schema
    """Provide the schema that the data must conform to. Default: the file at `schema` of [tool.prodml.data].

    Override it to return a pandera DataFrameSchema or DataFrameModel, or the path of a schema file.
    """
    from pytest_prodml.plugin.subjects import default_schema

    return default_schema(pytestconfig)


@pytest.fixture
def prodml_cell(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """Provide one setting of the matrix in [tool.prodml.latency], for the keywords of a latency gate.

    A test that takes it runs once in each: `ml_latency.quantile_at_most(0.99, "5 ms", **prodml_cell)`.
    """
    # Given by `latency_cells.parametrize`, indirectly: an empty matrix has one cell, the model's own setting.
    cell: Mapping[str, Any] = getattr(request, "param", {})
    return cell


@pytest.fixture
def prodml(request: pytest.FixtureRequest) -> GateSession:
    """Record evidence of checks of your own: `prodml.record(evidence)`."""
    from pytest_prodml.plugin.verdicts import session_of

    return session_of(request)


@pytest.fixture
def ml_data(request: pytest.FixtureRequest) -> DataGate:
    """Check the data: `ml_data.conforms_to(schema)`."""
    from pytest_prodml.plugin.data import DataGate

    return DataGate(request)


@pytest.fixture
def ml_performance(request: pytest.FixtureRequest, prodml_model: Any, prodml_test: Any) -> PerformanceGate:  # noqa: ANN401
    """Check predictive performance: `ml_performance.at_least("roc_auc", 0.8)`."""
    from pytest_prodml.plugin.performance import PerformanceGate

    return PerformanceGate(request, prodml_model, prodml_test)


@pytest.fixture
def ml_fairness(request: pytest.FixtureRequest, prodml_model: Any, prodml_test: Any) -> FairnessGate:  # noqa: ANN401
    """Compare groups: `ml_fairness.difference_at_most("selection_rate", 0.1, by=["sex"])`."""
    from pytest_prodml.plugin.fairness import FairnessGate

    return FairnessGate(request, prodml_model, prodml_test)


@pytest.fixture
def ml_behavior(request: pytest.FixtureRequest, prodml_model: Any, prodml_test: Any) -> BehaviorGate:  # noqa: ANN401
    """Check behavior: `ml_behavior.invariant_to("sex", at_most=0.01)`."""
    from pytest_prodml.plugin.behavior import BehaviorGate

    return BehaviorGate(request, prodml_model, prodml_test)


@pytest.fixture
def ml_latency(request: pytest.FixtureRequest, prodml_model: Any, prodml_test: Any) -> LatencyGate:  # noqa: ANN401
    """Check speed: `ml_latency.quantile_at_most(0.99, budget="5 ms")`."""
    from pytest_prodml.plugin.latency import LatencyGate

    return LatencyGate(request, prodml_model, prodml_test)


@pytest.fixture
def ml_pipeline(request: pytest.FixtureRequest) -> PipelineGate:
    """Check the way to production: `ml_pipeline.parity(trained_model, atol=1e-6)`."""
    from pytest_prodml.plugin.pipeline import PipelineGate

    return PipelineGate(request)
