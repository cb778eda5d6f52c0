"""What a model does where the test set has no rows: functions from a model and inputs to `Evidence`."""

from __future__ import annotations

from pytest_prodml.checks.behavior.adversarial import adversarial
from pytest_prodml.checks.behavior.artifact import safe_artifact
from pytest_prodml.checks.behavior.cases import minimum_functionality
from pytest_prodml.checks.behavior.execution import robust_execution
from pytest_prodml.checks.behavior.finite import finite_on_generated
from pytest_prodml.checks.behavior.private import private
from pytest_prodml.checks.behavior.private_copies import memorised, reproduced
from pytest_prodml.checks.behavior.robust import robust_to
from pytest_prodml.checks.behavior.rules import (
    additive,
    bounded_change,
    consistent,
    directional,
    invariant_to,
    monotone,
    symmetric,
)
from pytest_prodml.checks.behavior.smoothing import certified_radius
from pytest_prodml.checks.behavior.trees import robust_trees

__all__ = [
    "additive",
    "adversarial",
    "bounded_change",
    "certified_radius",
    "consistent",
    "directional",
    "finite_on_generated",
    "invariant_to",
    "memorised",
    "minimum_functionality",
    "monotone",
    "private",
    "reproduced",
    "robust_execution",
    "robust_to",
    "robust_trees",
    "safe_artifact",
    "symmetric",
]
