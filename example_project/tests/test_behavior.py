"""What must and what must not move a decision: the rules that a credit officer would write down."""

from __future__ import annotations

import pandera.pandas as pa

from pytest_prodml.plugin.behavior import BehaviorGate


def test_sex_flip(ml_behavior: BehaviorGate) -> None:
    """At most one client in a hundred would get another decision as the other sex."""
    ml_behavior.invariant_to("sex", at_most=0.01)


def test_monotone_payment_status(ml_behavior: BehaviorGate) -> None:
    """Being a month later with the latest payment does not lower the risk, for 99 clients in 100."""
    ml_behavior.monotone("pay_status_sep", "increasing", at_most=0.01, step=1)


def test_payment_delay_anywhere(ml_behavior: BehaviorGate, prodml_schema: pa.DataFrameSchema) -> None:
    """Paying later never lowers the risk: not for a client, and not for one who could come tomorrow."""
    ml_behavior.monotone("pay_status_sep", "increasing", never=True, schema=prodml_schema)


def test_no_cliff_in_the_limit(ml_behavior: BehaviorGate) -> None:
    """10,000 dollars of credit limit move the risk by at most 15 points, for 99 clients in 100."""
    ml_behavior.bounded_change("credit_limit", 10_000, change_at_most=0.15, at_most=0.01)


def test_birthday(ml_behavior: BehaviorGate) -> None:
    """A birthday moves the risk by at most 10 points, for 99 clients in 100."""
    ml_behavior.bounded_change("age", 1, change_at_most=0.10, at_most=0.01)


def test_plain_cases(ml_behavior: BehaviorGate) -> None:
    """Somebody six months late is declined; somebody who always paid in full is approved."""
    late = {f"pay_status_{month}": 6 for month in ("sep", "aug", "jul", "jun", "may", "apr")}
    paid = {f"pay_status_{month}": -1 for month in ("sep", "aug", "jul", "jun", "may", "apr")}
    ml_behavior.minimum_functionality([(late, 1), (paid, 0), ({**paid, "credit_limit": 500_000}, (0, 0.2))])


def test_execution(ml_behavior: BehaviorGate) -> None:
    """The model answers alike in any batch, order, thread and process, or refuses to answer."""
    # The graph answers a word that it does not know as one that it knows. The service never asks it one:
    # data.schema and pipeline.served show that. What is skipped stands in the certificate.
    ml_behavior.robust_execution(skip=["unseen_as_known"])


def test_model_file(ml_behavior: BehaviorGate) -> None:
    """The model file holds nothing that would run when the service loads it."""
    ml_behavior.safe_artifact()


def test_finite(ml_behavior: BehaviorGate, prodml_schema: pa.DataFrameSchema) -> None:
    """Whatever row the schema allows gets a finite risk between 0 and 1."""
    ml_behavior.finite_on_generated(schema=prodml_schema)
