"""The pytest plugin. This module holds hooks that delegate, and imports nothing but pytest.

It is loaded by every run of pytest in an environment that has this distribution, so everything else waits
until ``--prodml`` is given or a fixture is used.
"""

from __future__ import annotations

import pytest

from pytest_prodml.plugin import hookspecs, markers, options
from pytest_prodml.plugin.fixtures import (
    ml_behavior,
    ml_data,
    ml_fairness,
    ml_latency,
    ml_performance,
    ml_pipeline,
    prodml,
    prodml_baseline,
    prodml_cell,
    prodml_current,
    prodml_model,
    prodml_pipeline,
    prodml_reference,
    prodml_schema,
    prodml_server,
    prodml_target,
    prodml_test,
)
from pytest_prodml.plugin.markers import ProdmlGateWarning

__all__ = [
    "ProdmlGateWarning",
    "ml_behavior",
    "ml_data",
    "ml_fairness",
    "ml_latency",
    "ml_performance",
    "ml_pipeline",
    "prodml",
    "prodml_baseline",
    "prodml_cell",
    "prodml_current",
    "prodml_model",
    "prodml_pipeline",
    "prodml_reference",
    "prodml_schema",
    "prodml_server",
    "prodml_target",
    "prodml_test",
]


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks that a project can implement."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare options and ini values."""
    options.declare(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Remove the certificate of an earlier run before anything of this one can fail."""
    if options.is_active(early_config):
        from pytest_prodml.plugin.activation import clear

        clear(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers and, if asked, start certifying."""
    markers.register(config)
    if options.is_active(config):
        from pytest_prodml.plugin.activation import activate

        activate(config)


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Describe this machine instead of running tests, if asked."""
    if not config.option.prodml_hardware:
        return None
    from pytest_prodml.plugin.hardware import show

    return show(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `prodml_cell` in each setting of the configured matrix."""
    if "prodml_cell" in metafunc.fixturenames:
        from pytest_prodml.plugin.latency_cells import parametrize

        parametrize(metafunc)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test that uses a dimension's fixture, early enough for ``-m``."""
    markers.add_automatically(item)
    markers.name_as_benchmark(item)
