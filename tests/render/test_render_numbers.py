from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prodml.render.numbers import Scale, duration, percent, plain, scale_of, size


def written(text: str) -> float:
    return float(text.replace(",", ""))


@pytest.mark.parametrize(
    ("unit", "values", "limits", "shown"),
    [
        ("1", [0.78812, 0.775, 0.8012], [0.77], ["0.7881", "0.7750", "0.8012"]),
        ("1", [0.76996, 0.75, 0.79], [0.77], ["0.76996", "0.75000", "0.79000"]),
        ("1", [0.00583, 0.00763], [0.01], ["0.00583", "0.00763"]),
        ("1", [2.3e-7], [1e-5], ["2.300e-7"]),
        ("1", [9.9999e-6], [1e-5], ["9.9999e-6"]),
        ("1", [-0.00001, 0.5], [], ["-0.00001", "0.50000"]),
        ("rows", [345.0, 0.0, 12345.0], [0.0], ["345", "0", "12,345"]),
        ("s", [7.4e-5, 8e-5], [0.005], ["0.0740", "0.0800"]),
        ("s", [7.4e-5, 8e-5], [], ["74.00", "80.00"]),
        ("s", [1.5, 0.2], [2.0], ["1.500", "0.200"]),
        ("s", [3e-10, 4.5e-10], [], ["0.3000", "0.4500"]),
        ("1", [12345.678, 1.0], [], ["12,346", "1"]),
        ("1", [3.2e15, 4.5e15 + 0.5], [], ["3.200e+15", "4.500e+15"]),
    ],
)
def test_numbers_of_one_metric_share_unit_and_decimals(
    unit: str, values: list[float], limits: list[float], shown: list[str]
) -> None:
    scale = scale_of(unit, values, limits)
    assert [scale.number(value) for value in values] == shown


def test_seconds_get_a_prefix_that_values_and_limits_share() -> None:
    scale = scale_of("s", [7.4e-5], [0.005])
    assert scale.with_unit(scale.number(7.4e-5)) == "0.0740 ms"
    assert scale.with_unit(scale.limit(0.005)) == "5 ms"


def test_a_missing_number_is_said_in_words_and_a_ratio_has_no_unit() -> None:
    scale = scale_of("1", [None, math.nan], [0.5])
    assert scale.number(None, unbounded="unbounded") == "unbounded"
    assert scale.number(math.inf) == "inf"
    assert scale.with_unit("0.5") == "0.5"


@given(
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=4),
    st.lists(st.floats(-1e6, 1e6).map(lambda number: round(number, 4)), max_size=2),
    st.sampled_from(["1", "rows", "s"]),
)
def test_no_written_number_changes_its_side_of_a_limit(
    values: list[float], limits: list[float], unit: str
) -> None:
    scale = scale_of(unit, values, limits)
    for value in values:
        for limit in limits:
            shown, edge = written(scale.number(value)), limit / scale.factor
            # Twelve decimals are the most that is written; what is closer than that may touch the limit.
            if abs(value - limit) / scale.factor > 1e-11:
                assert (shown > edge, shown < edge) == (value > limit, value < limit)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_limit_is_written_so_that_it_can_be_read_back(value: float) -> None:
    assert written(plain(value)) == pytest.approx(value, rel=1e-11)
    assert "e-0" not in plain(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.77, "0.77"), (1e-5, "1e-5"), (5.0, "5"), (6000, "6,000"), (0.77 - 0.01, "0.76"), (1e300, "1e+300")],
)
def test_limits_are_as_short_as_people_write_them(value: float, shown: str) -> None:
    assert plain(value) == shown


def test_levels_durations_and_sizes_have_fitting_units() -> None:
    assert [percent(level) for level in (0.95, 0.999, 1 - 0.95)] == ["95%", "99.9%", "5%"]
    seconds = (0.0, 2e-5, 0.4321, 12.3, 119.6, 3725.0, -1.0)
    assert [duration(item) for item in seconds] == [
        "0 s",
        "20 µs",
        "432 ms",
        "12.3 s",
        "120 s",
        "62 min 5 s",
        "-1.0",
    ]
    assert [size(item) for item in (12, 2048, 8_322_019_328)] == ["12 B", "2 KiB", "7.75 GiB"]


def test_a_scale_is_data() -> None:
    assert Scale(unit="", factor=1.0, decimals=2).number(-0.001) == "0.00"
