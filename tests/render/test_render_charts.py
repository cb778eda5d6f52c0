from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prodml.records import JsonValue
from pytest_prodml.render.charts import Interval, ecdf, forest
from pytest_prodml.render.curves import KINDS, drawn
from pytest_prodml.render.drawing import WIDTH
from pytest_prodml.render.model import Chart, Mark, Status
from pytest_prodml.render.numbers import scale_of


def interval(
    value: float | None,
    lower: float | None,
    upper: float | None,
    *,
    label: str = "all",
    edges: tuple[tuple[float, bool, str], ...] = ((0.77, True, "≥ 0.77"),),
    status: Status = Status.PASSED,
) -> Interval:
    return Interval(
        label=label, shown="shown", value=value, lower=lower, upper=upper, edges=edges, status=status
    )


def draw(*intervals: Interval) -> Chart | None:
    return forest(intervals, scale=scale_of("1", [0.5]), axis="axis", title="t", description="d.")


def place(mark: Mark, name: str) -> float:
    return float(dict(mark.attributes)[name])


def of_role(chart: Chart | None, role: str) -> list[Mark]:
    assert chart is not None
    return [mark for mark in chart.marks if mark.role == role]


def corners(mark: Mark) -> list[tuple[float, float]]:
    found = dict(mark.attributes)
    if "points" in found:
        pairs = (point.split(",") for point in found["points"].split())
        return [(float(x), float(y)) for x, y in pairs]
    if mark.tag == "line":
        return [(place(mark, "x1"), place(mark, "y1")), (place(mark, "x2"), place(mark, "y2"))]
    if mark.tag == "circle":
        return [(place(mark, "cx"), place(mark, "cy"))]
    x, y = place(mark, "x"), place(mark, "y")
    width, height = float(found.get("width", 0)), float(found.get("height", 0))
    return [(x, y), (x + width, y + height)]


def assert_inside(chart: Chart) -> None:
    for mark in chart.marks:
        for x, y in corners(mark):
            assert -0.1 <= x <= chart.width + 0.1
            assert -0.1 <= y <= chart.height + 0.1


def test_value_bounds_and_limit_stand_in_their_order() -> None:
    chart = draw(interval(0.79, 0.775, 0.80))
    [limit], [value] = of_role(chart, "limit"), of_role(chart, "passed")
    whole, low, high = of_role(chart, "bar")
    assert place(limit, "x1") < place(whole, "x1") < place(value, "cx") < place(whole, "x2")
    assert (place(low, "x1"), place(high, "x1")) == (place(whole, "x1"), place(whole, "x2"))
    [zone] = of_role(chart, "zone")
    assert place(zone, "x") + place(zone, "width") == pytest.approx(place(limit, "x1"), abs=0.2)


def test_the_forbidden_side_of_an_upper_limit_is_on_the_right() -> None:
    chart = draw(interval(0.05, 0.02, 0.08, edges=((0.1, False, "≤ 0.1"),)))
    [zone], [limit] = of_role(chart, "zone"), of_role(chart, "limit")
    assert place(zone, "x") == place(limit, "x1")


def test_outcomes_differ_in_shape_not_only_in_color() -> None:
    statuses = (Status.PASSED, Status.FAILED, Status.INCONCLUSIVE)
    tags = []
    for status in statuses:
        chart = draw(interval(0.79, 0.77, 0.81, status=status))
        tags.append(of_role(chart, status.value)[0].tag)
    assert len(set(tags)) == 3


def test_a_missing_bound_runs_to_the_edge_without_an_end_mark() -> None:
    chart = draw(interval(0.79, None, 0.80))
    whole, end = of_role(chart, "bar")
    assert place(whole, "x1") == pytest.approx(12)
    assert place(end, "x1") == place(whole, "x2")


def test_no_line_crosses_a_text_of_the_rows() -> None:
    chart = draw(interval(0.79, 0.775, 0.80, label="first"), interval(0.76, 0.75, 0.78, label="second"))
    assert chart is not None
    lines = [mark for mark in chart.marks if mark.tag == "line" and mark.role != "axis"]
    for text in [mark for mark in chart.marks if mark.text in {"first", "second"}]:
        top, bottom = place(text, "y") - 9, place(text, "y") + 3
        assert not any(place(line, "y1") < bottom and place(line, "y2") > top for line in lines)


def test_nothing_is_drawn_where_there_is_nothing_to_see() -> None:
    assert draw() is None
    assert draw(interval(None, None, None)) is None
    assert draw(interval(0.0, 0.0, 0.0, edges=((0.0, False, "≤ 0"),))) is None


def test_many_rows_are_drawn_up_to_twenty_and_the_description_says_so() -> None:
    chart = draw(*(interval(0.7 + index / 100, 0.6, 0.99, label=f"g{index}") for index in range(30)))
    assert chart is not None
    assert [mark.text for mark in chart.marks if mark.text.startswith("g")] == [
        f"g{index}" for index in range(20)
    ]
    assert "the table has all" in chart.description


numbers = st.floats(-1e9, 1e9, allow_subnormal=False)


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=5), numbers)
def test_every_forest_stays_inside_its_frame(rows: list[tuple[float, float, float]], limit: float) -> None:
    intervals = [
        interval(middle, low, high, edges=((limit, True, "limit"),))
        for low, middle, high in (sorted(row) for row in rows)
    ]
    chart = draw(*intervals)
    if chart is not None:
        assert_inside(chart)


def labels_of_axis(chart: Chart) -> list[tuple[float, float]]:
    ticks = [
        mark
        for mark in chart.marks
        if mark.role == "soft"
        and dict(mark.attributes)["text-anchor"] == "middle"
        and mark.text[:1] in "-0123456789"
    ]
    return sorted(
        (place(mark, "x") - 3.5 * len(mark.text), place(mark, "x") + 3.5 * len(mark.text)) for mark in ticks
    )


@given(st.floats(1e-7, 1e3), st.floats(1.0001, 1e6))
def test_axis_labels_of_any_range_do_not_touch(low: float, ratio: float) -> None:
    chart = ecdf({"x": [low, low * ratio], "y": [0, 1], "budget": low * ratio * 0.9})
    assert chart is not None
    assert_inside(chart)
    spans = labels_of_axis(chart)
    assert len(spans) >= 1
    assert all(left[1] < right[0] for left, right in itertools.pairwise(spans))


def test_a_roc_curve_runs_from_corner_to_corner() -> None:
    chart = drawn("roc", {"x": [0, 0.5, 1], "y": [0, 0.9, 1]}, extra="The area is 0.9.")
    assert chart is not None
    [curve] = of_role(chart, "curve")
    points = corners(curve)
    assert points[0][0] < points[-1][0]
    assert points[0][1] > points[-1][1]
    assert "The area is 0.9." in chart.description
    assert_inside(chart)


def test_latencies_far_below_the_budget_get_a_logarithmic_axis() -> None:
    near = ecdf({"x": [0.003, 0.004], "y": [0, 1], "budget": 0.005})
    far = ecdf({"x": [2e-5, 7e-5], "y": [0, 1], "budget": 0.005})
    assert near is not None
    assert far is not None
    assert not any("logarithmic" in mark.text for mark in near.marks)
    assert any(mark.text == "time of one call (ms, logarithmic)" for mark in far.marks)
    assert any(mark.text == "budget 5 ms" for mark in far.marks)
    [limit] = of_role(far, "limit")
    assert place(limit, "x1") > corners(of_role(far, "curve")[0])[-1][0]


def test_long_series_are_thinned_and_keep_their_ends() -> None:
    xs = [index / 5000 for index in range(5001)]
    chart = drawn("roc", {"x": list(xs), "y": list(xs)}, extra="")
    points = corners(of_role(chart, "curve")[0])
    assert len(points) == 200
    assert (points[0][0], points[-1][0]) == (52, 328)


BROKEN: list[Any] = [
    None,
    [],
    "x",
    {"x": [0, 1]},
    {"x": [0, 1], "y": [0]},
    {"x": [0], "y": [0]},
    {"x": [0, "1"], "y": [0, 1]},
    {"x": [0, True], "y": [0, 1]},
    {"x": [0, math.nan], "y": [0, 1]},
    {"x": [0, math.inf], "y": [0, 1]},
    {"x": [1, 0], "y": [0, 1]},
    {"x": [0, 1], "y": [0, 7]},
    {"x": {"a": 1}, "y": {"a": 1}},
]


@pytest.mark.parametrize("series", BROKEN)
def test_series_of_another_form_are_not_drawn(series: JsonValue) -> None:
    assert drawn("roc", series, extra="") is None
    assert ecdf(series) is None


def test_a_latency_series_without_extent_or_below_zero_is_not_drawn() -> None:
    assert ecdf({"x": [0.1, 0.1], "y": [0, 1]}) is None
    assert ecdf({"x": [-0.1, 0.1], "y": [0, 1]}) is None


@pytest.mark.parametrize("budget", [None, "5 ms", -1, math.nan, True])
def test_a_budget_of_another_form_is_left_out(budget: JsonValue) -> None:
    chart = ecdf({"x": [0.001, 0.002], "y": [0, 1], "budget": budget})
    assert of_role(chart, "limit") == []


def test_every_mark_has_colors_of_its_own_for_pages_without_style() -> None:
    charts = [
        draw(interval(0.79, 0.775, 0.80)),
        drawn("roc", {"x": [0, 1], "y": [0, 1]}, extra=""),
        ecdf({"x": [0.001, 0.002], "y": [0, 1], "budget": 0.005}),
    ]
    for chart in charts:
        assert chart is not None
        assert chart.width == WIDTH
        for mark in chart.marks:
            assert {"fill", "stroke"} & {name for name, _ in mark.attributes}


SHARES: JsonValue = {
    "x": [0.1, 0.4, 0.8],
    "y": [0.2, 0.4, 0.9],
    "lower": [0.1, 0.3, 0.7],
    "upper": [0.3, 0.5, 1.0],
}
NUMBERS: JsonValue = {"x": [10.0, 20.0, 30.0], "y": [-1.5, 0.5, 4.0]}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_series_is_drawn(kind: str) -> None:
    chart = drawn(kind, SHARES, extra="A sentence.")
    assert chart is not None
    assert "A sentence." in chart.description
    assert [mark.role for mark in chart.marks].count("band") == 1
    plain_chart = drawn(kind, {"x": [0.1, 0.4, 0.8], "y": [0.2, 0.4, 0.9]})
    assert plain_chart is not None
    assert "band" not in {mark.role for mark in plain_chart.marks}
    assert "band" not in plain_chart.description.lower()


def test_numbers_of_any_size_have_their_own_scale() -> None:
    for kind in ("residuals", "cost"):
        assert drawn(kind, NUMBERS) is not None
    for kind in ("roc", "pr", "reliability"):
        assert drawn(kind, NUMBERS) is None


@pytest.mark.parametrize(
    "broken",
    [
        {"x": [1, 2], "y": [1, 2], "lower": [1], "upper": [1, 2]},
        {"x": [1, 2], "y": [1, None]},
        {"x": [3, 3], "y": [1, 2]},
        {"x": [1, 2], "y": [5, 5]},
        {"x": [1], "y": [1]},
        {"y": [1, 2]},
        [1, 2],
        None,
    ],
)
def test_what_is_no_series_is_not_drawn(broken: Any) -> None:
    assert drawn("cost", broken) is None


def test_dots_may_come_in_any_order_and_curves_not() -> None:
    shuffled: JsonValue = {"x": [30.0, 10.0, 20.0], "y": [1.0, 2.0, 4.0]}
    assert drawn("residuals", shuffled) is not None
    assert drawn("cost", shuffled) is None


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), min_size=2, max_size=400))
def test_a_drawing_stays_inside_of_its_frame(points: list[tuple[float, float]]) -> None:
    chart = drawn("residuals", {"x": [*(x for x, _ in points)], "y": [*(y for _, y in points)]})
    if chart is None:
        return
    dots = [dict(mark.attributes) for mark in chart.marks if mark.role == "dot"]
    assert 2 <= len(dots) <= 200
    assert all(0 <= float(dot["cx"]) <= WIDTH and 0 <= float(dot["cy"]) <= chart.height for dot in dots)
