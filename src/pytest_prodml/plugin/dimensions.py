"""What the dimension fixtures return: the project's model and data, bound to the check functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.context import context_of
from pytest_prodml.plugin.subjects import ModelOnData
from pytest_prodml.plugin.verdicts import GateSession, Tail, session_of
from pytest_prodml.records import Burden, Evidence

if TYPE_CHECKING:
    from pytest_prodml.adapters.tables import Dataset


class Bound:
    """A gate's recorder with the fixtures of its test."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request
        self._session: GateSession = session_of(request)
        self._context = context_of(request.config)

    def _tail(self, level: float | None) -> Tail:
        """Return the keywords of a check, at a level of its own where that is higher than the run's."""
        __tracebackhide__ = True
        from pytest_prodml.statistics.estimate import checked_level

        tail = self._session.tail
        if level is None:
            return tail
        if checked_level(level) < tail["confidence_level"]:
            raise InputError(
                f"level {level} is below the {tail['confidence_level']} of this run",
                where=self._session.gate_id,
                hint="a gate can ask for more confidence, never for less",
            )
        return {**tail, "confidence_level": level}

    def _dataset(self, data: object) -> Dataset:
        """Return rows to ask a model for: those of `prodml_test`, or others, which need no labels."""
        __tracebackhide__ = True
        if data is None:
            return self._context.dataset(self._request.getfixturevalue("prodml_test"), "test")
        return self._context.dataset(data, "rows")

    def _burden(self, burden: str | None) -> str:
        """Return who has to prove it: what the check says, else the policy."""
        if burden is not None:
            return burden
        policy = self._context.policy
        return (policy.burden if policy is not None else None) or Burden.COMPLIANCE.value


class ModelBound(Bound):
    """A gate about the model on held-out data."""

    def __init__(self, request: pytest.FixtureRequest, model: object, data: object) -> None:
        __tracebackhide__ = True
        super().__init__(request)
        self._model = ModelOnData(self._context, model, data)

    def _settle(self, check: Callable[[], Evidence]) -> Evidence:
        __tracebackhide__ = True
        return self._session.settle(
            check, subjects=[self._model.predictor.subject], materials=[self._model.dataset.material]
        )
