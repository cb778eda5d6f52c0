"""What makes the model: `pipeline` of [tool.prodml], or what the fixture `prodml_pipeline` returns."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_prodml.errors import ConfigurationError, InputError
from pytest_prodml.plugin.context import context_of
from pytest_prodml.plugin.subjects import import_paths

if TYPE_CHECKING:
    from pytest_prodml.adapters.pipelines.runs import Pipeline, PipelineRun

_OTHER_KINDS = ("kedro:", "dagster:", "airflow:", "command:")


class ProjectPipeline:
    """The project's pipeline: `run` runs it in a fresh process; a function can be called, too.

    Attributes
    ----------
    pipeline : Pipeline
        What is run.
    """

    def __init__(self, pipeline: Pipeline, function: Callable[..., object] | None) -> None:
        self.pipeline = pipeline
        self._function = function

    def __call__(self, *arguments: Any, **named: Any) -> object:  # noqa: ANN401 - the project's own
        """Call the function in this process.

        Raises
        ------
        InputError
            If the pipeline is none.
        """
        if self._function is None:
            raise InputError(f"{self.pipeline.name!r} is no function: use run()", where="prodml_pipeline")
        return self._function(*arguments, **named)

    def run(self, directory: Path | None = None) -> PipelineRun:
        """Run it in a fresh process, by default in a new directory, and say what each stage has made."""
        return self.pipeline.run(
            Path(tempfile.mkdtemp(prefix="prodml-run-")) if directory is None else directory
        )


def default_pipeline(config: pytest.Config) -> ProjectPipeline:
    """Return the configured pipeline; a function is imported.

    Raises
    ------
    ConfigurationError
        If none is configured, or it can not be imported or called.
    """
    __tracebackhide__ = True
    settings = context_of(config).settings
    named = settings.pipeline
    if named is None:
        raise ConfigurationError(
            "no pipeline is configured",
            where=settings.source,
            hint='set pipeline = "module:function", or override the fixture prodml_pipeline in conftest.py',
        )
    if named.startswith(_OTHER_KINDS):
        return ProjectPipeline(pipeline_of(named, config), None)
    module, _, name = named.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"the pipeline {named!r} can not be imported: {error}",
            where=settings.source,
            hint='name it as "module:function"; the module must be importable (ini pythonpath)',
        ) from None
    if not callable(function):
        raise ConfigurationError(f"the pipeline {named!r} is not a function", where=settings.source)
    return ProjectPipeline(pipeline_of(named, config), function)


def pipeline_of(given: object, config: pytest.Config) -> Pipeline:
    """Return as a pipeline what a fixture or a test gives: its name, commands, a function, or one itself.

    Raises
    ------
    InputError
        If another process could not find it.
    """
    __tracebackhide__ = True
    from pytest_prodml.adapters.pipelines.runs import Pipeline

    if isinstance(given, ProjectPipeline):
        return given.pipeline
    if isinstance(given, Pipeline):
        return given
    if isinstance(given, (str, Mapping)):
        source: str | dict[str, str] = given if isinstance(given, str) else dict(given)
        return Pipeline(source=source, root=config.rootpath, paths=import_paths(config))
    if callable(given):
        return Pipeline(source=name_of(given), root=config.rootpath, paths=import_paths(config))
    raise InputError(
        f"a {type(given).__name__} is no pipeline",
        where="prodml_pipeline",
        hint='for example "module:function"',
    )


def name_of(function: Callable[..., object]) -> str:
    """Return by which name another process imports a function.

    Raises
    ------
    InputError
        If it has none: it was made inside another one, or in a notebook.
    """
    __tracebackhide__ = True
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if not module or module == "__main__" or not name or "<" in name:
        raise InputError(
            f"{name or function!r} can not be imported by another process",
            where="ml_pipeline",
            hint='define it at the top of a module, or name it: "module:function"',
        )
    return f"{module}:{name}"
