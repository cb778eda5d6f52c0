"""Where a run leaves its files below the output directory, and the time it writes into them."""

from __future__ import annotations

from datetime import UTC, datetime

#: The directory of the run logs; certificate and views lie beside it, see `pytest_prodml.publication`.
EVIDENCE = "evidence"


def now() -> datetime:
    """Return the present time in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)
