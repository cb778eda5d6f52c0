"""Tables that get worse: what changes, by how much, and what must not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_series_equal

from pytest_prodml.checks.behavior.corruptions import CORRUPTIONS, Corruption, corruption_named, transform
from pytest_prodml.checks.behavior.corruptions.columns import left_out
from pytest_prodml.checks.behavior.corruptions.kinds import ROWS, robust_spread
from pytest_prodml.errors import InputError

TABULAR = [one for one in CORRUPTIONS if one.kind == ROWS]
SEVERITY = {"significant_digits": 2.0, "unit_error": 100.0}
NUMBERS = ["income", "rate", "age", "whole"]


def table(n: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": rng.permutation(n) + 1000,
            "income": rng.lognormal(8, 1, n),
            "rate": rng.random(n).astype(np.float32),
            "age": rng.integers(18, 80, n).astype(np.int16),
            "whole": rng.integers(0, 9, n).astype(np.float64),
            "sex": rng.choice(["f", "m"], n),
            "home": pd.Categorical(rng.choice(["own", "rent", "other"], n)),
            "late": rng.random(n) < 0.2,
        },
        index=pd.Index(rng.permutation(n), name="row"),
    )
    frame.loc[frame.index[:5], "income"] = np.nan
    frame.loc[frame.index[5], "income"] = np.inf
    return frame


def made(name: str, frame: Any, severity: float | None = None, seed: int = 1, **options: Any) -> Any:
    chosen = SEVERITY.get(name, 0.3) if severity is None else severity
    return transform(name, chosen, **options)(frame, np.random.default_rng(seed))


@pytest.mark.parametrize("corruption", TABULAR, ids=lambda one: one.name)
def test_rows_columns_types_and_what_is_no_number_stay(corruption: Corruption) -> None:
    frame = table()
    before = frame.copy()
    after = made(corruption.name, frame, of=ROWS)
    assert_frame_equal(frame, before)  # nothing that was given is changed
    assert list(after.columns) == list(frame.columns)
    assert after.index.equals(frame.index)
    # A running number tells nothing, whatever is done to it.
    assert_series_equal(after["id"], frame["id"])
    if corruption.name != "missingness":
        assert_series_equal(after.dtypes, frame.dtypes)
    if corruption.name not in {"missingness", "replaced"}:
        assert_frame_equal(after[["sex", "home", "late"]], frame[["sex", "home", "late"]])
        assert after["income"].isna().sum() == 5
        assert np.isinf(after["income"]).sum() == 1
        assert (after["whole"] == after["whole"].round()).all()
    assert_frame_equal(after, made(corruption.name, frame, of=ROWS))
    if corruption.name not in {"rounding", "significant_digits"}:
        other = made(corruption.name, frame, seed=2, of=ROWS)
        assert not other.equals(after)


@given(
    severity=st.floats(0.001, 5),
    values=st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), min_size=2, max_size=60),
    dtype=st.sampled_from(["float64", "float32", "int32", "int64", "Int64", "Float64"]),
    name=st.sampled_from(["noise", "jitter", "rounding"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_numbers_keep_type_and_range(
    severity: float, values: list[float], dtype: str, name: str, seed: int
) -> None:
    column = pd.Series(values).round().astype("int64") if "nt" in dtype else pd.Series(values)
    frame = pd.DataFrame({"x": column.astype(dtype)})
    found = made(name, frame, severity, seed, columns=["x"], within_observed=True, of=ROWS)
    assert found["x"].dtype == frame["x"].dtype
    assert found["x"].notna().all()
    assert found["x"].min() >= frame["x"].min()
    assert found["x"].max() <= frame["x"].max()


def test_noise_is_a_share_of_the_robust_spread() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(50, 7, 20_000)
    values[:100] = 1e6  # which no robust spread sees
    frame = pd.DataFrame({"x": values})
    apart = (made("noise", frame, 0.2, of=ROWS)["x"] - values)[100:]
    assert float(apart.std()) == pytest.approx(0.2 * 7, rel=0.05)
    assert robust_spread(values) == pytest.approx(7, rel=0.05)
    assert robust_spread(np.array([3.0, 3.0])) == 0
    # Where the middle half is one value, the standard deviation stands in.
    assert robust_spread(np.array([0.0] * 90 + [1.0] * 10)) == pytest.approx(0.3)


@pytest.mark.parametrize("name", ["missingness", "replaced", "sentinel"])
def test_a_share_of_cells_is_hit_each_by_a_draw_of_its_own(name: str) -> None:
    n = 20_000
    frame = pd.DataFrame({"x": np.arange(n) * 1.5 + 0.1, "y": np.arange(n) * -1.5 - 0.1})
    hits = {}
    for severity in (0.1, 0.3):
        after = made(name, frame, severity)
        hits[severity] = (after != frame).to_numpy()
        # 5 standard deviations of a share of 40,000 cells.
        assert hits[severity].mean() == pytest.approx(severity, abs=0.012)
        both = hits[severity].all(axis=1).mean()
        assert both == pytest.approx(severity**2, abs=0.02)
    # The same slips, and more.
    assert (hits[0.3] >= hits[0.1]).all()


def test_gaps_widen_only_types_that_know_none() -> None:
    frame = table().assign(nullable=pd.array([1, 2] * 200, dtype="Int64"))
    after = made("missingness", frame, 0.5)
    assert after["nullable"].dtype == "Int64"
    assert after["home"].dtype == frame["home"].dtype
    assert after["rate"].dtype == np.float32
    assert after["age"].dtype == np.float64
    assert after["late"].dtype == object
    kept = after["late"].notna()
    assert (after.loc[kept, "late"] == frame.loc[kept, "late"]).all()


def test_rounding_goes_to_multiples_and_digits() -> None:
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(0, 100, 500)})
    step = 0.25 * robust_spread(frame["x"].to_numpy())
    ratio = made("rounding", frame, 0.25)["x"] / step
    assert np.allclose(ratio, ratio.round())
    digits = made("significant_digits", pd.DataFrame({"x": [123456.0, -0.00123456, 9.99, 0.0]}), 3)
    assert digits["x"].tolist() == [123000.0, -0.00123, 9.99, 0.0]


def test_one_number_of_each_row_has_the_wrong_unit() -> None:
    frame = table()[["income", "rate", "age"]].iloc[6:]
    after = made("unit_error", frame, 100, columns=["income", "rate"])
    wrong = np.isclose(after[["income", "rate"]], frame[["income", "rate"]] * 100)
    assert (wrong.sum(axis=1) == 1).all()
    assert_series_equal(after["age"], frame["age"])
    alone = made("unit_error", frame, 0.01, columns=["income"])
    assert np.allclose(alone["income"], frame["income"] / 100)


def test_replaced_cells_hold_what_others_hold() -> None:
    frame = table()
    after = made("replaced", frame, 1.0, columns=["sex", "home", "age"])
    assert set(after["age"]) <= set(frame["age"])
    assert set(after["home"]) == set(frame["home"])
    assert (after["sex"] != frame["sex"]).mean() == pytest.approx(0.5, abs=0.15)


def test_named_and_ignored_columns_are_obeyed() -> None:
    frame = table()
    after = made("noise", frame, 0.5, of=ROWS, ignore=["age"])
    assert_series_equal(after["age"], frame["age"])
    assert not after["rate"].equals(frame["rate"])
    named = made("noise", frame, 5.0, columns=["id"], of=ROWS)
    assert not named["id"].equals(frame["id"])
    assert left_out(frame, []) == ["id"]
    assert left_out(frame, ["id"]) == []


def test_huge_whole_numbers_that_stay_are_not_rewritten() -> None:
    huge = 2**62 + 1
    frame = pd.DataFrame({"x": np.array([huge, huge, huge, 5], dtype=np.int64)})
    after = made("sentinel", frame, 0.5, seed=3)
    assert set(after["x"]) <= {huge, 5, -999}
    small = pd.DataFrame({"x": np.array([100, 120, 1, 7], dtype=np.int8)})
    assert made("unit_error", small, 1000, columns=["x"])["x"].tolist() == [127, 127, 127, 127]


def test_a_reference_lends_its_spread_to_a_single_row() -> None:
    frame = table()
    row = frame.iloc[[20]]
    alone = made("noise", row, 0.5, columns=["rate"], of=ROWS)
    assert alone.equals(row)
    lent = made("noise", row, 0.5, columns=["rate"], reference=frame, of=ROWS)
    assert not lent.equals(row)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_arrays_are_tables_where_that_is_said(dtype: Any) -> None:
    rows = (np.random.default_rng(0).random((50, 3)) * 100).astype(dtype)
    after = made("noise", rows, 0.5, of=ROWS)
    assert after.shape == rows.shape
    assert after.dtype == rows.dtype
    assert not np.array_equal(after, rows)
    emptied = made("missingness", rows, 0.5)
    assert np.isnan(emptied).any()
    assert emptied.dtype == (np.float64 if dtype is np.int64 else dtype)
    with pytest.raises(InputError, match="can be rows or series"):
        corruption_named("noise", rows)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("noise", {"columns": ["sex"]}, "needs numbers"),
        ("noise", {"columns": ["nothing"]}, "nothing"),
        ("noise", {"columns": "rate"}, "must be a list"),
        ("noise", {"columns": []}, "is empty"),
        ("noise", {"columns": ["age"], "ignore": ["age"]}, "to be ignored"),
        ("noise", {"ignore": "age"}, "must be a list"),
        ("noise", {"ignore": NUMBERS}, "no column can be changed"),
        ("sentinel", {"value": "x"}, "must be a number"),
    ],
)
def test_wrong_columns_get_a_sentence(name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        made(name, table(), 0.1, of=ROWS, **options)


@pytest.mark.parametrize("severity", [0, -1, float("nan"), float("inf"), True, "much", None])
def test_wrong_severities_get_a_sentence(severity: Any) -> None:
    with pytest.raises(InputError, match="severity"):
        transform("noise", severity, of=ROWS)


def test_unknown_names_and_options_get_a_hint() -> None:
    with pytest.raises(InputError, match="no corruption 'noize'") as error:
        transform("noize", 0.1)
    assert "noise" in str(error.value)
    with pytest.raises(InputError, match="no option 'colums'") as error:
        transform("missingness", 0.1, colums=["age"])
    assert "columns" in str(error.value)
    with pytest.raises(InputError, match="takes images"):
        corruption_named("blur", table())
    with pytest.raises(InputError, match="whole number"):
        transform("significant_digits", 2.5)


def test_a_transform_says_what_it_does() -> None:
    own = transform("missingness", 0.1)
    assert own.__name__ == "missingness=0.1"
    assert "share of cells" in own.description
    assert own.takes_batch
