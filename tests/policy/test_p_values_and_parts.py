"""p-values at their edges, and limits of a policy on parts of the rows."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_prodml.policy.criterion import judge_criterion
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Burden, Comparison, Criterion, Evidence, Limit, Measurement, Outcome

LIMIT = Limit(gate="*", metric="roc_auc", comparison=Comparison.AT_LEAST, limit=0.75)


def measured(value: float = 0.8, lower: float = 0.77, upper: float = 0.83, **changes: Any) -> Measurement:
    values: dict[str, Any] = {"value": value, "lower": lower, "upper": upper, **changes}
    return Measurement(metric="roc_auc", confidence_level=0.95, method="DeLong", n_samples=500, **values)


def judged(found: Measurement, **criterion: Any) -> tuple[Outcome, str | None]:
    asked = Criterion(metric="roc_auc", comparison=Comparison.AT_LEAST, **{"limit": 0.75, **criterion})
    answer = judge_criterion(
        asked,
        Evidence(gate_id="performance.auc", measurements=(found,), criteria=(asked,)),
        confidence_level=0.95,
        adjusted_p_value=found.p_value,
    )
    return answer.outcome, answer.reason


@pytest.mark.parametrize("p_value", [0.0, 1e-300, 0.5, 1.0])
def test_every_probability_is_a_p_value(p_value: float) -> None:
    assert judged(measured(p_value=p_value))[0] is Outcome.PASS


@pytest.mark.parametrize("p_value", [-1e-300, 1.0000001, 1.5, 2.0])
def test_nothing_else_is(p_value: float) -> None:
    assert judged(measured(p_value=p_value)) == (Outcome.INCONCLUSIVE, "invalid-measurement")


@pytest.mark.parametrize(
    ("p_value", "outcome"),
    [
        (0.049, Outcome.FAIL),
        (0.05005, Outcome.PASS),
        (1 - 0.95 + 1e-4, Outcome.PASS),
        (0.0502, Outcome.INCONCLUSIVE),
    ],
)
def test_bounds_and_p_value_may_differ_by_rounding(p_value: float, outcome: Outcome) -> None:
    """Both come from one test; more than a thousandth apart, one of them is not that of this limit."""
    alarm = measured(0.7, 0.6, 0.76, p_value=p_value)
    assert judged(alarm, limit=0.77, burden=Burden.VIOLATION)[0] is outcome


def by_policy(gate_id: str, limit: Limit, *groups: str | None) -> list[tuple[str | None, Outcome]]:
    found = Evidence(
        gate_id=gate_id, measurements=tuple(measured(group=group) for group in groups), criteria=()
    )
    items = judge_criteria(gate_id, found, confidence_level=0.95, limits=[limit])
    assert all(item.by_policy for item in items)
    assert all(item.criterion.metric == "roc_auc" for item in items)
    return [(item.criterion.group, item.judgement.outcome) for item in items]


def test_a_limit_on_all_rows_is_told_as_one() -> None:
    parts = [("sex=f", Outcome.PASS), ("sex=m", Outcome.PASS)]
    assert by_policy("performance.auc", LIMIT, "sex=f", "sex=m") == [*parts, (None, Outcome.INCONCLUSIVE)]
    assert by_policy("performance.auc", LIMIT, None, "sex=f") == [(None, Outcome.PASS), parts[0]]


def test_elsewhere_the_parts_are_what_is_measured() -> None:
    assert by_policy("fairness.sex", LIMIT, "sex=f") == [("sex=f", Outcome.PASS)]
    named = Limit(gate="*", metric="roc_auc", comparison=Comparison.AT_LEAST, limit=0.75, group="sex=f")
    assert by_policy("performance.auc", named, "sex=f") == [("sex=f", Outcome.PASS)]
    assert by_policy("performance.auc", named, "sex=m") == [("sex=f", Outcome.INCONCLUSIVE)]
