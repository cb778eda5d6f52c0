"""Why a mutant may survive: module, function, a pattern of its change, and the reason (see `mutation.py`)."""

EXPLAINED: tuple[tuple[str, str, str, str], ...] = ()
