"""What lies behind a gap and what closing it costs: the third part of what `ml_fairness` offers."""

from __future__ import annotations

from pytest_prodml.plugin.dimensions import ModelBound


class ExplainedGaps(ModelBound):
    """Explanations of a gap. None of them is ever a pass."""
