"""What the `ml_fairness` fixture returns."""

from __future__ import annotations

from pytest_prodml.plugin.fairness_explained import ExplainedGaps
from pytest_prodml.plugin.fairness_gaps import GapsBetweenGroups
from pytest_prodml.plugin.fairness_people import TreatmentOfPeople


class FairnessGate(GapsBetweenGroups, TreatmentOfPeople, ExplainedGaps):
    """What the `ml_fairness` fixture returns."""
