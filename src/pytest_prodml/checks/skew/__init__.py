"""Two tables that should hold the same features -> how far they do, key by key.

Shared by the dimensions that look at what a model is given: neither data nor pipeline knows the other.
"""

from pytest_prodml.checks.skew.check import no_training_serving_skew
from pytest_prodml.checks.skew.comparison import compare
from pytest_prodml.checks.skew.evidence import Limits, parity_evidence
from pytest_prodml.checks.skew.plan import Plan
from pytest_prodml.checks.skew.rules import (
    Absolute,
    Exact,
    How,
    Relative,
    Rounded,
    Rule,
    SetOf,
    State,
    Text,
    Ulp,
)

__all__ = [
    "Absolute",
    "Exact",
    "How",
    "Limits",
    "Plan",
    "Relative",
    "Rounded",
    "Rule",
    "SetOf",
    "State",
    "Text",
    "Ulp",
    "compare",
    "no_training_serving_skew",
    "parity_evidence",
]
