"""Whom does the decision approve? Favorable is a prediction of 0: no default, the client is approved."""

from __future__ import annotations

import pytest

from pytest_prodml.plugin.fairness import FairnessGate


def test_approval_by_sex(ml_fairness: FairnessGate) -> None:
    """Men and women are approved at rates within ten points, and within the four-fifths rule."""
    ml_fairness.difference_at_most("selection_rate", 0.10, by=["sex"])
    ml_fairness.ratio_at_least("selection_rate", 0.80, by=["sex"])


def test_good_payers_by_sex(ml_fairness: FairnessGate) -> None:
    """Among clients who do repay, men and women are approved at rates within ten points."""
    ml_fairness.difference_at_most("true_positive_rate", 0.10, by=["sex"])


def test_approval_by_age(ml_fairness: FairnessGate) -> None:
    """Age bands (25 or younger, 26 to 40, 41 or older) are approved at rates within ten points.

    Two explanations stand beside the limit in the certificate; neither can make the gate pass.
    """
    ml_fairness.gap_explained("selection_rate", by="age_band", factors=["pay_status_sep"])
    ml_fairness.tradeoff("selection_rate", by="age_band", performance="balanced_accuracy")
    ml_fairness.difference_at_most("selection_rate", 0.10, by=["age_band"])


@pytest.mark.ml_fairness(gate="fairness.approval_over_60", severity="warn")
def test_approval_over_60(ml_fairness: FairnessGate) -> None:
    """Clients over 60 pass the four-fifths rule; there are too few of them to block on."""
    ml_fairness.ratio_at_least("selection_rate", 0.80, by=["over_60"])
