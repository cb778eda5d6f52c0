"""What `ml_data.deepchecks` and `ml_performance.deepchecks` do: tables and answers go to the worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_prodml.errors import ConfigurationError, InputError
from pytest_prodml.plugin.subjects import ModelOnData
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    import pytest

    from pytest_prodml.adapters.tables import Dataset
    from pytest_prodml.checks.deepchecks import Columns, Limits, OnWarn, Predictions, Suite, Task
    from pytest_prodml.plugin.context import Context
    from pytest_prodml.plugin.verdicts import GateSession

_TABLES = ("test", "reference", "current")
_MODEL_SUITE = "model_evaluation"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepchecksOptions:
    """The keywords that both verbs share; see `plugin.data.DataGate.deepchecks`."""

    checks: Sequence[str] | None
    task: Task | None
    categorical: Sequence[str] | None
    timeout_seconds: float | None
    memory_bytes: int | None
    on_warn: OnWarn
    redact: bool


def suite_on_data(
    request: pytest.FixtureRequest,
    session: GateSession,
    context: Context,
    suite: str,
    *,
    data: str,
    against: str | None,
    options: DeepchecksOptions,
) -> Evidence:
    """Run a suite on one table, or on two of which `against` was there first."""
    __tracebackhide__ = True
    if suite == _MODEL_SUITE:
        raise InputError(
            "needs a model", where=suite, hint='use ml_performance.deepchecks(suite="model_evaluation")'
        )
    names = [data] if suite == "data_integrity" or against is None else [against, data]
    tables = [_table(request, context, name) for name in names]
    return _settle(session, context, suite, tables, None, options)


def suite_on_model(
    request: pytest.FixtureRequest,
    session: GateSession,
    context: Context,
    model: ModelOnData,
    suite: str,
    *,
    options: DeepchecksOptions,
) -> Evidence:
    """Run a suite on what a model says of the tables it was trained on and is tested on."""
    __tracebackhide__ = True
    if suite in {"data_integrity", "train_test_validation"}:
        raise InputError("looks at no model", where=suite, hint=f'use ml_data.deepchecks(suite="{suite}")')
    reference = ModelOnData(context, model.predictor, _table(request, context, "reference"))
    return _settle(session, context, suite, [reference.dataset, model.dataset], (reference, model), options)


def _table(request: pytest.FixtureRequest, context: Context, name: str) -> Dataset:
    __tracebackhide__ = True
    if name not in _TABLES:
        raise InputError(f"there is no table {name!r}", where="deepchecks", hint="test, reference or current")
    return context.dataset(request.getfixturevalue(f"prodml_{name}"), name)


def _settle(
    session: GateSession,
    context: Context,
    suite: str,
    tables: Sequence[Dataset],
    models: tuple[ModelOnData, ModelOnData] | None,
    options: DeepchecksOptions,
) -> Evidence:
    __tracebackhide__ = True
    from pytest_prodml.checks.deepchecks import Request, deepchecks_suite

    settings = context.settings.deepchecks
    named, task = options.checks, options.task

    def measure() -> Evidence:
        classes, predictions = None, None
        kind = task
        if models is not None:
            kind, classes, predictions = _answers(models, task)
        asked = Request(
            suite=_suite(context, suite),
            train=tables[0],
            test=tables[1] if len(tables) > 1 else None,
            columns=_columns(context, tables, options.categorical),
            checks=None if named is None else _names(named),
            task=kind,
            classes=classes,
            predictions=predictions,
        )
        return deepchecks_suite(
            asked,
            python=_interpreter(context),
            limits=_limits(context, options),
            on_warn=options.on_warn,
            redact=options.redact,
            any_versions=settings.any_versions,
            **session.tail,
        )

    return session.settle(
        measure,
        subjects=[model.predictor.subject for model in models or ()],
        materials=[table.material for table in tables],
    )


def _names(checks: Sequence[str]) -> tuple[str, ...]:
    return (checks,) if isinstance(checks, str) else tuple(checks)


def _interpreter(context: Context) -> Path:
    from pytest_prodml.deepchecks_worker.home import find_interpreter

    named = context.settings.deepchecks.python
    return find_interpreter() if named is None else context.settings.at(named)


def _limits(context: Context, options: DeepchecksOptions) -> Limits:
    from pytest_prodml.checks.deepchecks import DEFAULT_MEMORY_BYTES, DEFAULT_TIMEOUT_SECONDS, Limits

    settings = context.settings.deepchecks
    seconds = (options.timeout_seconds, settings.timeout_seconds, DEFAULT_TIMEOUT_SECONDS)
    memory = (options.memory_bytes, settings.memory_bytes, DEFAULT_MEMORY_BYTES)
    return Limits(
        timeout_seconds=next(value for value in seconds if value is not None),
        memory_bytes=next(value for value in memory if value is not None),
    )


def _suite(context: Context, name: str) -> Suite:
    """Return a suite of deepchecks by its name, or read the module that the configuration names."""
    from pytest_prodml.checks.deepchecks import SUITES, Suite

    own = context.settings.deepchecks.suites
    if name in SUITES:
        return Suite(name=name)
    if name not in own:
        raise ConfigurationError(
            f"there is no suite {name!r}",
            where=context.settings.source,
            hint=f"one of {', '.join([*SUITES, *own])}; name a module of your own under "
            "[tool.prodml.deepchecks.suites]",
        )
    path = context.settings.at(own[name])
    try:
        return Suite(name=name, source=path.read_bytes(), file_name=path.name)
    except OSError as error:
        raise ConfigurationError(
            f"the module of the suite {name!r} can not be read: {error.strerror}", where=str(path)
        ) from None


def _columns(context: Context, tables: Sequence[Dataset], categorical: Sequence[str] | None) -> Columns:
    from pytest_prodml.checks.deepchecks import Columns

    configured = context.settings.data
    ignored = [name for name in (configured.sample_weight, configured.query) if name is not None]
    labels = {table.target_name for table in tables if table.target_name is not None}
    return Columns(
        label=next(iter(labels)) if len(labels) == 1 else configured.target,
        index=configured.entity,
        datetime=configured.timestamp,
        ignored=tuple(ignored),
        categorical=None if categorical is None else _names(categorical),
    )


def _answers(
    models: tuple[ModelOnData, ModelOnData], task: Task | None
) -> tuple[Task, tuple[Any, ...] | None, dict[Literal["train", "test"], Predictions]]:
    """Return the task, the sorted classes, and what the model says of both tables."""
    from pytest_prodml.checks.deepchecks import Predictions, of_scores

    kind, classes = _task(models, task)
    found: dict[Literal["train", "test"], Predictions] = {}
    sides: tuple[Literal["train", "test"], ...] = ("train", "test")
    for side, model in zip(sides, models, strict=True):
        if classes is None:
            found[side] = Predictions(labels=model.scores)
        else:
            probabilities = of_scores(model.scores, classes, model.settings.positive)
            found[side] = Predictions(labels=model.decisions, probabilities=probabilities)
    return kind, classes, found


def _task(models: tuple[ModelOnData, ModelOnData], task: Task | None) -> tuple[Task, tuple[Any, ...] | None]:
    import pandas as pd

    known = models[1].classes
    if task == "regression":
        return "regression", None
    if known is not None:
        return "multiclass", tuple(sorted(known))
    found = sorted(
        {label for model in models for label in pd.unique(pd.Series(model.labels).dropna()).tolist()}
    )
    positive = models[1].settings.positive
    if len(found) == 2 and positive in found and models[1].scores.ndim == 1:
        return "binary", tuple(found)
    raise InputError(
        f"what the model answers is not clear: the labels hold {len(found):,} values",
        where="deepchecks",
        hint='give task="regression", or set positive_label under [tool.prodml.model]',
    )
