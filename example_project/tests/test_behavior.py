"""What must and what must not move a decision."""

from __future__ import annotations

import pandera.pandas as pa

from pytest_prodml.plugin.behavior import BehaviorGate


def test_sex_flip(ml_behavior: BehaviorGate) -> None:
    """At most one client in a hundred would get another decision as the other sex."""
    ml_behavior.invariant_to("sex", at_most=0.01)


def test_monotone_payment_status(ml_behavior: BehaviorGate) -> None:
    """Being a month later with the latest payment does not lower the risk, for 99 clients in 100."""
    ml_behavior.monotone("pay_status_sep", "increasing", at_most=0.01)


def test_finite(ml_behavior: BehaviorGate, prodml_schema: pa.DataFrameSchema) -> None:
    """Whatever row the schema allows gets a finite risk between 0 and 1."""
    ml_behavior.finite_on_generated(schema=prodml_schema, max_examples=500)
