"""Whether the model knows who will default."""

from __future__ import annotations

from pytest_prodml.plugin.dimensions import PerformanceGate

# Calling everybody a good payer is right for 77.9 % of clients; a model has to add two points to that.
MAJORITY = 0.779


def test_auc(ml_performance: PerformanceGate) -> None:
    """The ranking is good enough to decide by; credit risk asks 0.75 of any scorecard."""
    ml_performance.at_least("roc_auc", 0.75)


def test_accuracy(ml_performance: PerformanceGate) -> None:
    """At even odds the model beats "nobody defaults" by two points."""
    ml_performance.at_least("accuracy", MAJORITY + 0.02, threshold=0.5)


def test_brier(ml_performance: PerformanceGate) -> None:
    """Risks are usable as probabilities; quoting the base rate to everybody would score 0.172."""
    ml_performance.at_most("brier_score_loss", 0.14)
