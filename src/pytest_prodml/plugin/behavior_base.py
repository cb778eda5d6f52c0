"""A gate about what a model does with inputs of any kind: the base of what `ml_behavior` offers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_prodml._lazy import loaded
from pytest_prodml.plugin.dimensions import Bound
from pytest_prodml.plugin.settings import ModelSettings
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    from pytest_prodml.checks.behavior.batches import Inputs


class BehaviorBound(Bound):
    """A gate's recorder with the model and the inputs of its test."""

    def __init__(self, request: pytest.FixtureRequest, model: object, data: object) -> None:
        __tracebackhide__ = True
        super().__init__(request)
        self._predictor = self._context.predictor(model)
        self._data = data

    @property
    def _settings(self) -> ModelSettings:
        """Labels and threshold."""
        return self._context.settings.model

    def _seed(self) -> int:
        """Return the seed of what is generated: that of ``--hypothesis-seed``, else the gate's own."""
        given = str(self._context.config.getoption("hypothesis_seed", None))
        # A text there ("random" and the like) means what Hypothesis makes of it, and is no seed of ours.
        if given.isascii() and given.isdigit() and int(given) < 2**53:
            return int(given)
        return self._session.seed

    def _inputs(self, data: object = None) -> Inputs:
        """Return the inputs given to a check, else those of `prodml_test`."""
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior.batches import inputs_of

        given = self._data if data is None else data
        if data is not None and not isinstance(given, (str, Path)):
            return inputs_of(given)
        if _is_no_table(given):
            return self._context.once("inputs", inputs_of, given)
        return inputs_of(self._context.dataset(given, "test"))

    def _column(self, inputs: Inputs, role: str) -> Any:  # noqa: ANN401 - an array or nothing
        __tracebackhide__ = True
        from pytest_prodml.adapters.tables import column

        name: str | None = getattr(self._context.settings.data, role)
        return None if name is None else column(inputs.frame, name).to_numpy()

    def _settle(self, check: Callable[[], Evidence]) -> Evidence:
        """Run a check whose evidence names its own materials."""
        __tracebackhide__ = True
        return self._session.settle(check, subjects=[self._predictor.subject])


def _is_no_table(given: object) -> bool:
    """Say whether a fixture returned texts, images or series, alone or with labels."""
    if isinstance(given, tuple) and len(given) == 2:
        given = given[0]
    numpy = loaded("numpy")
    if numpy is not None and isinstance(given, numpy.ndarray):
        return bool(given.ndim != 2)
    return isinstance(given, list)
