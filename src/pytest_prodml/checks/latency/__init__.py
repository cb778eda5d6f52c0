"""Claims about time, memory and cost on the hardware that serves, each with its proof."""

from __future__ import annotations

from pytest_prodml.checks.latency.quantile import n_calls_for, quantile_at_most

__all__ = ["n_calls_for", "quantile_at_most"]
