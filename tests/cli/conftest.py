"""The small project of the plugin's tests, whose runs are merged."""

from __future__ import annotations

from plugin.conftest import project, signing_key

__all__ = ["project", "signing_key"]
