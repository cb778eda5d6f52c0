"""A model file -> `Scan`: what loading it would do, judged by an allow-list and without loading it."""

from __future__ import annotations

from pytest_prodml.adapters.artifact.result import Beside, Finding, Limits, Scan, Unread, Verdict
from pytest_prodml.adapters.artifact.scanning import scan

__all__ = ["Beside", "Finding", "Limits", "Scan", "Unread", "Verdict", "scan"]
