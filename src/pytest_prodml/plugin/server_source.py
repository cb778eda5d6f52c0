"""`[tool.prodml.server]` -> the served model behind the fixture `prodml_server`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_prodml.errors import ConfigurationError
from pytest_prodml.plugin.context import context_of
from pytest_prodml.plugin.settings import ServerSettings, Settings
from pytest_prodml.plugin.subjects import import_paths

if TYPE_CHECKING:
    from pytest_prodml.adapters.serving.protocols import InferenceProtocol
    from pytest_prodml.adapters.serving.served import ServedModel


def default_server(config: pytest.Config) -> ServedModel:
    """Return how the model is served, as it is configured; nothing is started.

    Raises
    ------
    ConfigurationError
        If nothing is configured, or a function that it names can not be imported.
    """
    __tracebackhide__ = True
    from pytest_prodml.adapters.serving.served import ServedModel
    from pytest_prodml.adapters.serving.server import Server

    settings = context_of(config).settings
    own = settings.server
    if not (own.app or own.command or own.url):
        raise ConfigurationError(
            "nothing says how the model is served",
            where=settings.source,
            hint='set app = "module:app", command or url under [tool.prodml.server], or override the fixture '
            "prodml_server in conftest.py",
        )
    protocol = _protocol(own, settings)
    return ServedModel(
        server=Server(
            app=own.app,
            command=own.command,
            url=own.url,
            ready=own.ready or protocol.ready,
            root=settings.root,
            paths=import_paths(config),
            variables=own.variables,
            workers=own.workers,
            options=own.uvicorn,
            startup_seconds=own.startup_seconds,
            allow_hosts=own.allow_hosts,
        ),
        protocol=protocol,
        rows_per_request=own.rows_per_request,
        trace={name: header.lower() for name, header in own.trace.items()},
    )


def _protocol(own: ServerSettings, settings: Settings) -> InferenceProtocol:
    from pytest_prodml.adapters.serving import protocols

    where = settings.source
    if own.protocol == "mlflow":
        return protocols.MLflow(output=own.output)
    if own.protocol == "open_inference":
        if own.model is None:
            raise ConfigurationError(
                "the Open Inference Protocol asks a model by its name",
                where=where,
                hint='set model = "..." under [tool.prodml.server]',
            )
        return protocols.OpenInference(
            model=own.model, version=own.version, inputs=own.inputs, output=own.output
        )
    if own.path is None:
        raise ConfigurationError(
            "nothing says where requests go",
            where=where,
            hint='set path = "/score" under [tool.prodml.server]',
        )
    return protocols.PlainJson(
        path=own.path,
        ready=own.ready or "/",
        encode=None if own.encode is None else _function(own.encode, "encode", where),
        decode=None if own.decode is None else _function(own.decode, "decode", where),
        output=own.output,
        one_row=own.rows_per_request == 1,
    )


def _function(named: str, key: str, where: str) -> Callable[..., Any]:
    module, _, name = named.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"{key} {named!r} can not be imported: {error}",
            where=where,
            hint='name it as "module:function"; the module must be importable (ini pythonpath)',
        ) from None
    if not callable(found):
        raise ConfigurationError(f"{key} {named!r} is not a function", where=where)
    function: Callable[..., Any] = found
    return function
