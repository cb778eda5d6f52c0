"""The matrix of batch sizes, threads and providers in [tool.prodml.latency] -> parameters of a test."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from pytest_prodml.errors import ConfigurationError
from pytest_prodml.plugin.context import context_of
from pytest_prodml.plugin.settings import LatencySettings


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Give a test each setting of the configured matrix as `prodml_cell`."""
    try:
        settings = context_of(metafunc.config).settings.latency
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from None
    found = cells(settings)
    if found != [{}]:
        ids = ["-".join(_told(name, value) for name, value in cell.items()) for cell in found]
        metafunc.parametrize("prodml_cell", found, indirect=True, ids=ids)


def cells(settings: LatencySettings) -> list[dict[str, int | str]]:
    """Return every combination of what is configured, as keywords of `ml_latency.quantile_at_most`."""
    axes: list[tuple[str, Sequence[int | str]]] = [
        ("batch_size", settings.batch_sizes),
        ("threads", settings.threads),
        ("provider", settings.providers),
    ]
    given = [[(name, value) for value in values] for name, values in axes if values]
    return [dict(combination) for combination in itertools.product(*given)]


def _told(name: str, value: int | str) -> str:
    if isinstance(value, int):
        return f"{name}={value}"
    return value.removesuffix("ExecutionProvider")
