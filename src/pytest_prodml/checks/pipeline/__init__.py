"""Claims about the way from raw data to the answer that a client receives, each with its proof."""

from __future__ import annotations

from pytest_prodml.checks.pipeline.agreement import agrees_with
from pytest_prodml.checks.pipeline.failure import Failure, survives_failure
from pytest_prodml.checks.pipeline.golden import Golden, golden, read_golden, write_golden
from pytest_prodml.checks.pipeline.parity import agrees, parity
from pytest_prodml.checks.pipeline.reproducible import idempotent, reproducible
from pytest_prodml.checks.pipeline.round_trip import round_trip
from pytest_prodml.checks.pipeline.serving.ending import Ending, drains_on_sigterm
from pytest_prodml.checks.pipeline.serving.overload import sheds_load
from pytest_prodml.checks.pipeline.serving.recovery import Trial, recovers_within
from pytest_prodml.checks.pipeline.serving.requests import Refusal, rejects_bad_input
from pytest_prodml.checks.pipeline.serving.soak import soak
from pytest_prodml.checks.pipeline.serving.sustains import sustains
from pytest_prodml.checks.pipeline.serving.versions import (
    Switch,
    rolls_back_within,
    traceable,
    updates_within,
)

__all__ = [
    "Ending",
    "Failure",
    "Golden",
    "Refusal",
    "Switch",
    "Trial",
    "agrees",
    "agrees_with",
    "drains_on_sigterm",
    "golden",
    "idempotent",
    "parity",
    "read_golden",
    "recovers_within",
    "rejects_bad_input",
    "reproducible",
    "rolls_back_within",
    "round_trip",
    "sheds_load",
    "soak",
    "survives_failure",
    "sustains",
    "traceable",
    "updates_within",
    "write_golden",
]
