"""Whether the answer is there while the client waits at the till."""

from __future__ import annotations

from pytest_prodml.plugin.latency import LatencyGate


def test_p99(ml_latency: LatencyGate) -> None:
    """The authorization window leaves the score 5 ms: 99 of 100 single requests stay below."""
    # Five thousand calls take a quarter of a second, and a busy neighbor may then cost some of them.
    ml_latency.quantile_at_most(0.99, budget="5 ms", calls=5_000)
