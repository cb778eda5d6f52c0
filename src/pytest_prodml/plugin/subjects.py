"""What is measured: defaults of the subject fixtures, and a model with its data and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_prodml.errors import ConfigurationError, InputError
from pytest_prodml.plugin.context import Context, context_of
from pytest_prodml.plugin.settings import ModelSettings
from pytest_prodml.records import Environment

if TYPE_CHECKING:
    import numpy as np

    from pytest_prodml.adapters.predictor import Predictor
    from pytest_prodml.adapters.tables import Dataset


#: Different inputs that are timed in turn: one input alone would be timed in the processor's cache.
_MOST_BATCHES = 64


def default_model(config: pytest.Config) -> Predictor:
    """Load the configured model file.

    Raises
    ------
    ConfigurationError
        If none is configured.
    """
    __tracebackhide__ = True
    context = context_of(config)
    path = context.settings.model.path
    if path is None:
        raise ConfigurationError(
            "no model is configured",
            where=context.settings.source,
            hint="set path under [tool.prodml.model], or override the fixture prodml_model in conftest.py",
        )
    return context.predictor(path)


def default_baseline(config: pytest.Config) -> Predictor:
    """Load the configured baseline.

    Raises
    ------
    ConfigurationError
        If none is configured, or it is the very model under test: it would always compare well.
    """
    __tracebackhide__ = True
    context = context_of(config)
    path = context.settings.baseline
    if path is None:
        raise ConfigurationError(
            "no baseline is configured",
            where=context.settings.source,
            hint='set baseline = "model/previous.onnx", give --prodml-baseline=PATH, or override the fixture '
            "prodml_baseline in conftest.py",
        )
    baseline = context.predictor(path)
    own = context.settings.model.path
    subject = context.predictor(own).subject if own is not None else None
    if subject is not None and baseline.subject is not None and baseline.subject.digest == subject.digest:
        raise ConfigurationError(
            "the baseline is the model under test: both have the same digest",
            where=path,
            hint="give the model that serves today",
        )
    return baseline


def import_paths(config: pytest.Config) -> tuple[Path, ...]:
    """Return where a project's modules are: its root, and the ini value ``pythonpath``."""
    try:
        return (config.rootpath, *config.getini("pythonpath"))
    except (KeyError, ValueError):
        return (config.rootpath,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The hardware under the tests: what it is declared to stand for, and what was found there."""

    name: str | None
    environment: Environment


def target_of(config: pytest.Config) -> Target:
    """Return the declared name of this machine with its environment."""
    context = context_of(config)
    return Target(name=context.settings.target, environment=context.environment()[1])


def default_data(config: pytest.Config, name: str) -> Dataset:
    """Load the configured table `name` (``reference``, ``test`` or ``current``).

    Raises
    ------
    ConfigurationError
        If none is configured.
    """
    __tracebackhide__ = True
    context = context_of(config)
    path: str | None = getattr(context.settings.data, name)
    if path is None:
        raise ConfigurationError(
            f"no {name} data is configured",
            where=context.settings.source,
            hint=f"set {name} under [tool.prodml.data], or override the fixture prodml_{name} in conftest.py",
        )
    return context.dataset(path, name)


def default_schema(config: pytest.Config) -> Path:
    """Return the configured schema file.

    Raises
    ------
    ConfigurationError
        If none is configured.
    """
    __tracebackhide__ = True
    settings = context_of(config).settings
    if settings.data.schema is None:
        raise ConfigurationError(
            "there is no schema",
            where=settings.source,
            hint='set schema = "schema.yaml" under [tool.prodml.data], override the fixture prodml_schema in '
            "conftest.py to return a pandera schema, or give one: ml_data.conforms_to(schema)",
        )
    return settings.at(settings.data.schema)


class ModelOnData:
    """A model on a labelled table. Each prediction is made once per session, whoever asks for it."""

    def __init__(self, context: Context, model: object, data: object) -> None:
        self._context = context
        self.predictor = context.predictor(model)
        self.dataset = context.dataset(data, "test")

    @property
    def settings(self) -> ModelSettings:
        """Labels and threshold."""
        return self._context.settings.model

    @property
    def labels(self) -> np.ndarray:
        """The true labels.

        Raises
        ------
        InputError
            If the table has none.
        """
        __tracebackhide__ = True
        if self.dataset.target is None:
            raise InputError(
                "has no labels",
                where=f"data {self.dataset.name}",
                hint='name their column: target = "..." under [tool.prodml.data], or return an (X, y) pair',
            )
        return self.dataset.target

    @property
    def scores(self) -> np.ndarray:
        """The model's score of the positive class for each row."""
        __tracebackhide__ = True
        return self._context.once("score", _scores, self.predictor, self.dataset)

    @property
    def decisions(self) -> np.ndarray:
        """The label that is decided for each row: by the configured threshold, else by the model itself.

        Raises
        ------
        InputError
            If there is a threshold and the labels are not two classes.
        """
        __tracebackhide__ = True
        return self.decided(None)

    def decided(self, threshold: float | None) -> np.ndarray:
        """Return the label that is decided for each row: by `threshold`, default as `decisions`.

        Raises
        ------
        InputError
            If there is a threshold and the labels are not two classes.
        """
        __tracebackhide__ = True
        if threshold is None:
            threshold = self.settings.threshold
        if threshold is None:
            return self._context.once("decision", _decisions, self.predictor, self.dataset)
        import numpy as np

        from pytest_prodml.checks.labels import checked_number

        at = checked_number(threshold, name="the threshold")
        positive, other = self.settings.positive, self._other_label()
        return np.where(self.scores >= at, np.asarray(positive), np.asarray(other))

    def _other_label(self) -> Any:  # noqa: ANN401 - a label is what a project uses
        """Return the label that stands against the positive one."""
        __tracebackhide__ = True
        positive, favorable = self.settings.positive, self.settings.favorable
        if self.dataset.target is None and favorable != positive:
            return favorable
        classes = list(dict.fromkeys(self.labels.tolist()))
        others = [label for label in classes if label != positive]
        if positive not in classes or len(others) != 1:
            raise InputError(
                f"a threshold decides between {positive!r} and one other label, found {classes[:10]!r}",
                where=f"data {self.dataset.name}",
                hint="set positive_label under [tool.prodml.model], or leave the threshold out",
            )
        return others[0]

    @property
    def classes(self) -> list[Any] | None:
        """The classes in the order of the score's columns; None where the model does not know or has two."""
        known = getattr(self.predictor, "classes", None)
        return None if known is None or len(known) < 3 else list(known)

    def column(self, role: str) -> np.ndarray | None:
        """Return the column named for `role`: sample_weight, entity, query or timestamp; None without one."""
        __tracebackhide__ = True
        from pytest_prodml.adapters.tables import column

        name: str | None = getattr(self._context.settings.data, role)
        return None if name is None else column(self.dataset, name).to_numpy()

    def batches(self, batch_size: int, *, seed: int) -> list[Any]:
        """Return frames of `batch_size` rows each, no row twice; at most 64 of them.

        Raises
        ------
        InputError
            If the table has fewer rows.
        """
        __tracebackhide__ = True
        import numpy as np

        frame = self.dataset.frame
        if not 1 <= batch_size <= len(frame):
            raise InputError(
                f"a batch of {batch_size} rows can not be taken from {len(frame):,} rows",
                where=f"data {self.dataset.name}",
            )
        batches = min(_MOST_BATCHES, len(frame) // batch_size)
        chosen = np.random.default_rng(seed).choice(len(frame), size=(batches, batch_size), replace=False)
        return [frame.iloc[rows] for rows in chosen]

    def groups(self, by: Sequence[str] | None) -> dict[str, np.ndarray]:
        """Return the columns `by`, default the configured sensitive ones, by name.

        Raises
        ------
        ConfigurationError
            If none is named.
        InputError
            If a column is missing.
        """
        __tracebackhide__ = True
        from pytest_prodml.adapters.tables import column

        names = [by] if isinstance(by, str) else list(by or self._context.settings.data.sensitive)
        if not names:
            raise ConfigurationError(
                "no groups to compare",
                where=self._context.settings.source,
                hint='give by=["column"], or set sensitive under [tool.prodml.data]',
            )
        return {name: column(self.dataset, name).to_numpy() for name in names}


def _scores(predictor: Predictor, dataset: Dataset) -> np.ndarray:
    from pytest_prodml.adapters.predictor import finite_scores

    return finite_scores(predictor, dataset.frame)


def _decisions(predictor: Predictor, dataset: Dataset) -> np.ndarray:
    return predictor.predict(dataset.frame)
