"""Hooks that a project can implement in its ``conftest.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_prodml.adapters.predictor import Predictor


@pytest.hookspec(firstresult=True)
def pytest_prodml_adapt_model(model: object, config: pytest.Config) -> Predictor | None:
    """Turn a model of a kind that no adapter knows into a `Predictor`.

    Called once for every value that the `prodml_model` fixture (or a test) hands to a check. Return None to
    leave the model to the adapters of this package.
    """
