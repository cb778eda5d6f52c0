"""Claims about the way from raw data to the answer that a client receives, each with its proof."""

from __future__ import annotations

from pytest_prodml.checks.pipeline.parity import agrees, parity

__all__ = ["agrees", "parity"]
