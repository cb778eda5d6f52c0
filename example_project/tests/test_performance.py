"""Whether the model knows who will default."""

from __future__ import annotations

from pytest_prodml.plugin.performance import PerformanceGate

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


def test_beats_a_simple_model(ml_performance: PerformanceGate) -> None:
    """The trees are worth their weight: they rank better than a logistic regression on the same columns."""
    ml_performance.not_worse_than("logistic", "roc_auc", by_at_least=0.02)


def test_probabilities_come_true(ml_performance: PerformanceGate) -> None:
    """A risk of 30 % means that three of ten default; provisions are computed from it."""
    ml_performance.calibrated(at_most=0.03)


def test_weakest_slices(ml_performance: PerformanceGate) -> None:
    """Where a search finds the model weakest, two of three decisions at even odds are still right."""
    columns = ["sex", "age_band", "education", "marital_status", "pay_status_sep"]
    ml_performance.weakest_slices("accuracy", 0.65, by=columns, threshold=0.5)


def test_threshold(ml_performance: PerformanceGate) -> None:
    """One default costs what 3.5 good clients earn, and no other threshold would be much cheaper."""
    ml_performance.threshold_is_right({"false_positive": 1.0, "false_negative": 3.5}, tolerance=0.03)


def test_nothing_leaked(ml_performance: PerformanceGate) -> None:
    """No column knows the answer, and no client of the test was trained on."""
    ml_performance.no_leakage()
