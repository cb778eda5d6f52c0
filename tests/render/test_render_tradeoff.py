"""The chart of `ml_fairness.tradeoff`: two curves, the threshold in use, nothing drawn from a broken series."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_prodml.records import Evidence, JsonValue
from pytest_prodml.render.series import detail_charts, detail_facts
from pytest_prodml.render.tradeoff import tradeoff


def series(**changes: Any) -> dict[str, JsonValue]:
    found: dict[str, Any] = {
        "attribute": "age_band",
        "metric": "selection_rate_difference",
        "performance_metric": "accuracy",
        "threshold": 0.4,
        "x": [0.2, 0.4, 0.6],
        "y": [0.1, 0.05, 0.02],
        "lower": [0.05, 0.0, 0.0],
        "upper": [0.2, 0.1, None],
        "performance": [0.6, 0.8, None],
        "performance_lower": [0.5, 0.7, None],
        "performance_upper": [0.7, 0.9, None],
        "selection_rate": [0.9, 0.5, 0.1],
    }
    return found | changes


def test_two_curves_with_bands_and_the_threshold_in_use() -> None:
    chart = tradeoff(series())
    assert chart is not None
    assert chart.title == "Explanation: gap by age band against performance"
    assert "No verdict" in chart.description
    assert [mark.role for mark in chart.marks].count("curve") == 2
    assert [mark.role for mark in chart.marks].count("band") == 2
    assert "in use: 0.4" in [mark.text for mark in chart.marks]
    points = [dict(mark.attributes)["points"].split() for mark in chart.marks if mark.role == "curve"]
    assert [len(line) for line in points] == [3, 2], "an undefined point is left out of its curve"
    unmarked = tradeoff(series(threshold=None))
    assert unmarked is not None
    assert "guide" not in [mark.role for mark in unmarked.marks]


def test_the_series_of_several_attributes_are_told_apart_and_are_no_facts() -> None:
    details: dict[str, JsonValue] = {"tradeoff": series(), "tradeoff (2)": series(attribute="sex")}
    evidence = Evidence(gate_id="fairness.a", measurements=(), criteria=(), details=details)
    assert [chart.title for chart in detail_charts(evidence)] == [
        "Explanation: gap by age band against performance",
        "Explanation: gap by sex against performance (2)",
    ]
    assert detail_facts(evidence) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"x": [0.4, 0.2, 0.6]},
        {"x": [0.4, 0.4, 0.4]},
        {"x": ["a", "b", "c"]},
        {"y": [0.1, 0.2]},
        {"y": [None, None, 0.1]},
        {"performance": None},
        {"x": [float("nan"), 0.2, 0.3]},
        {name: [0.1] * 5000 for name in ("x", "y", "lower", "upper")},
    ],
)
def test_a_broken_series_is_not_drawn(changes: dict[str, Any]) -> None:
    assert tradeoff(series(**changes)) is None
    assert tradeoff([1, 2]) is None


def test_names_can_not_break_the_page() -> None:
    chart = tradeoff(series(attribute="<b>\u202eage</b>" * 50, metric="x" * 500))
    assert chart is not None
    assert len(chart.title) < 120
    assert "\u202e" not in chart.title
