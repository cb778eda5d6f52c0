"""The small project of the plugin's tests, to be attacked; and the count of attacks, at the end of the run."""

from __future__ import annotations

import pytest

from plugin.conftest import project, signing_key

__all__ = ["project", "signing_key"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "control: no attack: shows that the test beside it could fail")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many attacks were refused. Each passed test is one, however many variants it tries."""
    passed = [
        report
        for report in terminalreporter.stats.get("passed", [])
        if report.when == "call" and "attacks/" in report.nodeid
    ]
    controls = sum("control" in report.keywords for report in passed)
    if passed:
        terminalreporter.write_line(
            f"attacks: {len(passed) - controls} refused as they must be, {controls} controls"
        )
