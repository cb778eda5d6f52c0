"""How single people are treated: the second part of what `ml_fairness` offers."""

from __future__ import annotations

from pytest_prodml.plugin.dimensions import ModelBound


class TreatmentOfPeople(ModelBound):
    """The checks that compare a person with itself in another group, or with those who are like it."""
