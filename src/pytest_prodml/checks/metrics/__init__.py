"""Metrics of a model's answers, whatever dimension asks: their names, what they need, and their estimates."""

from pytest_prodml.checks.metrics.fallback import custom_metric
from pytest_prodml.checks.metrics.named import METRICS, metric_named
from pytest_prodml.checks.metrics.registry import Measured, Metric, Needs
from pytest_prodml.checks.metrics.sample import Sample

__all__ = ["METRICS", "Measured", "Metric", "Needs", "Sample", "custom_metric", "metric_named"]
