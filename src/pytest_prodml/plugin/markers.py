"""The six markers: names, documentation, and the marker that a dimension's fixture brings by itself."""

from __future__ import annotations

import pytest

_QUESTIONS = {
    "ml_data": "the data that the model sees",
    "ml_performance": "how well the model predicts",
    "ml_fairness": "differences between groups of people",
    "ml_behavior": "what the model must and must not react to",
    "ml_latency": "how fast the model answers",
    "ml_pipeline": "the way from raw data to a served prediction",
}

#: Marker names, which are the names of the dimension fixtures too.
MARKERS = tuple(_QUESTIONS)

#: Fixtures whose use means that a gate rests on measurements.
MEASURING_FIXTURES = frozenset((*MARKERS, "prodml"))


class ProdmlGateWarning(pytest.PytestWarning):
    """A gate of severity ``warn`` or ``info``, or one under a waiver, did not pass."""


def register(config: pytest.Config) -> None:
    """Declare the markers, for ``--strict-markers`` and ``--markers``."""
    for name, about in _QUESTIONS.items():
        config.addinivalue_line(
            "markers",
            f"{name}(gate=None, severity='required', rubric=None, description=None): "
            f"the test is a gate about {about}; its id is `gate` or made from the test's name, "
            "severity is required, warn or info (pytest-prodml).",
        )


def add_automatically(item: pytest.Item) -> None:
    """Give a test that uses a dimension's fixture the marker of that name.

    An explicit marker, on the test or around it, wins: then nothing is added.
    """
    fixtures = getattr(item, "fixturenames", ())
    used = [name for name in MARKERS if name in fixtures]
    if used and not any(item.get_closest_marker(name) for name in MARKERS):
        for name in used:
            item.add_marker(name)


def name_as_benchmark(item: pytest.Item) -> None:
    """Let ``--benchmark-only`` run latency gates: pytest-benchmark knows its tests by their fixtures."""
    if not getattr(item.config.option, "benchmark_only", False):
        return
    names: list[str] = getattr(item, "fixturenames", [])
    if "ml_latency" in names and "benchmark" not in names:
        names.append("benchmark")
