"""A model's answers and who the people are -> evidence about how differently it treats them."""

from pytest_prodml.checks.fairness.gaps import RATES, difference_at_most, ratio_at_least

__all__ = ["RATES", "difference_at_most", "ratio_at_least"]
