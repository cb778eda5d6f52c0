"""What every test needs: pytest's own tester is loaded by `addopts`."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure of what is tested.
settings.register_profile("without-a-clock", deadline=None)
settings.load_profile("without-a-clock")

#: Tests whose verdict hangs on what the machine does meanwhile: durations, load, memory. They run alone.
TIMED = (
    "adapters/serving",
    "benchmarks",
    "checks/latency",
    "docs",
    "example",
    "gpu",
    "plugin/test_dimensions.py",
    "plugin/test_idle.py",
    "plugin/test_latency_gate.py",
    "plugin/test_latency_process.py",
    "plugin/test_markers.py",
    "plugin/test_served_gates.py",
    "plugin/test_xdist.py",
)
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that run alone, so that the others can run side by side."""
    for item in items:
        path = item.path.relative_to(_HERE).as_posix() if item.path.is_relative_to(_HERE) else ""
        if path.startswith(TIMED):
            item.add_marker("timed")
