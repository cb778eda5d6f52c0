"""Predictions and the truth -> evidence about how well a model predicts: value, bounds, criterion.

Names are scikit-learn's. Each metric's interval is the one whose worst measured coverage holds its level; see
`pytest_prodml.statistics` and docs/explanation/coverage.md.
"""

from pytest_prodml.checks.metrics.fallback import custom_metric
from pytest_prodml.checks.metrics.named import METRICS, metric_named
from pytest_prodml.checks.metrics.registry import Measured, Metric, Needs
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.checks.performance.calibration import calibrated
from pytest_prodml.checks.performance.concept import not_worse_on
from pytest_prodml.checks.performance.leakage import no_leakage
from pytest_prodml.checks.performance.limits import at_least, at_most, between
from pytest_prodml.checks.performance.paired import against_record, not_worse_than
from pytest_prodml.checks.performance.slices import slices
from pytest_prodml.checks.performance.stability import stable
from pytest_prodml.checks.performance.threshold import threshold_is_right
from pytest_prodml.checks.performance.uncertainty import prediction_intervals, prediction_sets
from pytest_prodml.checks.performance.weakest import weakest_slices

__all__ = [
    "METRICS",
    "Measured",
    "Metric",
    "Needs",
    "Sample",
    "against_record",
    "at_least",
    "at_most",
    "between",
    "calibrated",
    "custom_metric",
    "metric_named",
    "no_leakage",
    "not_worse_on",
    "not_worse_than",
    "prediction_intervals",
    "prediction_sets",
    "slices",
    "stable",
    "threshold_is_right",
    "weakest_slices",
]
