"""Claims about time, memory and cost on the hardware that serves, each with its proof."""

from __future__ import annotations

from pytest_prodml.checks.latency.blocks import not_slower_than, ratio_to_reference_at_most
from pytest_prodml.checks.latency.cold_start import cold_start_at_most
from pytest_prodml.checks.latency.conditions import Conditions, Pauses
from pytest_prodml.checks.latency.memory import no_memory_growth, peak_memory_at_most
from pytest_prodml.checks.latency.plan import n_calls_for, planned_looks
from pytest_prodml.checks.latency.provider import runs_on
from pytest_prodml.checks.latency.quantile import quantile_at_most
from pytest_prodml.checks.latency.references import Reference, reference
from pytest_prodml.checks.latency.throughput import cost_per_million_at_most, throughput_at_least

__all__ = [
    "Conditions",
    "Pauses",
    "Reference",
    "cold_start_at_most",
    "cost_per_million_at_most",
    "n_calls_for",
    "no_memory_growth",
    "not_slower_than",
    "peak_memory_at_most",
    "planned_looks",
    "quantile_at_most",
    "ratio_to_reference_at_most",
    "reference",
    "runs_on",
    "throughput_at_least",
]
