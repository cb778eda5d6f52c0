"""A model's answers and who the people are -> evidence about how differently it treats them."""

from pytest_prodml.checks.fairness.answers import Answers
from pytest_prodml.checks.fairness.counterfactual import counterfactual
from pytest_prodml.checks.fairness.explained import EXPLANATION, gap_explained
from pytest_prodml.checks.fairness.floors import group_at_least, group_at_most
from pytest_prodml.checks.fairness.gaps import difference_at_most, ratio_at_least
from pytest_prodml.checks.fairness.individual import individual
from pytest_prodml.checks.fairness.proxies import TRAVELS, proxies
from pytest_prodml.checks.fairness.rates import JOINT, RATES
from pytest_prodml.checks.fairness.tradeoff import TRADEOFF, tradeoff

__all__ = [
    "EXPLANATION",
    "JOINT",
    "RATES",
    "TRADEOFF",
    "TRAVELS",
    "Answers",
    "counterfactual",
    "difference_at_most",
    "gap_explained",
    "group_at_least",
    "group_at_most",
    "individual",
    "proxies",
    "ratio_at_least",
    "tradeoff",
]
