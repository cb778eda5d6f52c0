"""A table -> evidence about the data behind a model: what they are, if they moved, where they came from."""

from pytest_prodml.checks.data.conforms import conforms_to
from pytest_prodml.checks.data.drift import no_drift
from pytest_prodml.checks.data.duplicates import no_duplicates

__all__ = ["conforms_to", "no_drift", "no_duplicates"]
