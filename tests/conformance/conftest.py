"""The count of cases that were refused and accepted, at the end of the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many cases of the folder passed, by what the verifier had to say."""
    passed = [
        report.nodeid.partition("::test_case[")[2].removesuffix("]")
        for report in terminalreporter.stats.get("passed", [])
        if "::test_case[" in report.nodeid and "conformance" in report.nodeid
    ]
    accepted = 0
    for name in passed:
        case = json.loads((HERE / name / "case.json").read_text("utf-8"))
        accepted += case["expect"]["accepted"]
    if passed:
        refused = len(passed) - accepted
        terminalreporter.write_line(
            f"conformance: {refused} refused as they must be, {accepted} accepted as they must be"
        )
