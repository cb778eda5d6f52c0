"""Whether the answer is there while the client waits at the till."""

from __future__ import annotations

from pytest_prodml.plugin.latency import LatencyGate


def test_p99(ml_latency: LatencyGate) -> None:
    """The authorization window leaves the score 5 ms: 99 of 100 single requests stay below."""
    ml_latency.quantile_at_most(0.99, budget="5 ms")


def test_ratio(ml_latency: LatencyGate) -> None:
    """A request costs no more than a small part of a fixed piece of work, on any machine."""
    ml_latency.ratio_to_reference_at_most(0.2, "lookups")


def test_memory(ml_latency: LatencyGate) -> None:
    """A thousand requests leave nothing behind in the scoring process."""
    ml_latency.no_memory_growth("4 kB")
