"""Production-readiness gates for machine-learning models in pytest, and a certificate that proves them."""

from __future__ import annotations

__version__ = "0.2.0"
