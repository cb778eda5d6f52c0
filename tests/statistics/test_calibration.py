"""Calibration against scikit-learn and statsmodels, on exact cases, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import statsmodels.api as sm
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.calibration import expected_calibration_error
from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.estimate import Estimate, growth_to_decide
from pytest_prodml.statistics.recalibration import (
    brier_parts,
    calibration_intercept,
    calibration_slope,
    spiegelhalter_z,
)
from pytest_prodml.statistics.reliability import (
    Binned,
    by_chance,
    into_bins,
    reliability_curve,
    squared_calibration_error,
)

Array = npt.NDArray[np.float64]
SIMPLE = Design()

rows = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=150)


def columns(labeled: list[tuple[int, float]]) -> tuple[Array, Array]:
    outcome, probability = (np.array(column, dtype=np.float64) for column in zip(*labeled, strict=True))
    return probability, outcome


def floats(values: npt.ArrayLike) -> Array:
    return np.asarray(values, dtype=np.float64)


def sample(n: int, seed: int, temperature: float = 1.0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    true = np.clip(rng.random(n), 1e-6, 1 - 1e-6)
    return expit(logit(true) / temperature), (rng.random(n) < true).astype(np.float64)


def error_of(probability: Array, outcome: Array, design: Design = SIMPLE) -> Estimate:
    return expected_calibration_error(into_bins(probability, outcome, design))


# --- bins ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bins", [5, 10, 15])
def test_uniform_bins_are_scikit_learns(bins: int) -> None:
    probability, outcome = sample(20_000, seed=1)
    curve = reliability_curve(
        into_bins(probability, outcome, SIMPLE, bins=bins, strategy="uniform"), confidence_level=0.95
    )
    observed, predicted = calibration_curve(outcome, probability, n_bins=bins, strategy="uniform")
    assert curve.observed == pytest.approx(observed.tolist())
    assert curve.predicted == pytest.approx(predicted.tolist())


def test_quantile_bins_are_scikit_learns() -> None:
    probability, outcome = sample(20_000, seed=2)
    curve = reliability_curve(into_bins(probability, outcome, SIMPLE, bins=10), confidence_level=0.95)
    observed, predicted = calibration_curve(outcome, probability, n_bins=10, strategy="quantile")
    assert curve.observed == pytest.approx(observed.tolist(), abs=1e-3)
    assert curve.predicted == pytest.approx(predicted.tolist(), abs=1e-3)
    assert set(curve.rows) == {2_000}


@settings(deadline=None, max_examples=60)
@given(rows, st.integers(1, 30), st.sampled_from(["quantile", "uniform"]))
def test_bins_cut_the_rows_in_order(labeled: list[tuple[int, float]], bins: int, strategy: str) -> None:
    probability, outcome = columns(labeled)
    binned = into_bins(probability, outcome, SIMPLE, bins=bins, strategy=strategy)  # type: ignore[arg-type]
    assert binned.n_bins <= bins
    assert set(binned.codes.tolist()) == set(range(binned.n_bins))
    order = np.argsort(probability, kind="stable")
    assert (np.diff(binned.codes[order]) >= 0).all()
    same = np.diff(probability[order]) == 0
    assert (np.diff(binned.codes[order])[same] == 0).all()
    assert binned.share.sum() == pytest.approx(1)


def test_thin_bins_are_joined() -> None:
    probability = np.full(3_000, 0.01)
    probability[:300] = 0.5
    probability += np.linspace(0, 1e-3, 3_000)
    binned = into_bins(probability, floats((np.arange(3_000) % 2 < 1) & (probability > 0.4)), SIMPLE)
    surprise = binned.total(np.maximum(probability * (1 - probability), (binned.outcome - probability) ** 2))
    assert binned.n_bins < 15
    assert np.min(surprise) >= 5


def test_auto_takes_fewer_bins_from_fewer_rows() -> None:
    counts = [into_bins(*sample(n, seed=3), SIMPLE, bins="auto").n_bins for n in (50, 300, 10_000)]
    assert counts == sorted(counts)
    assert counts[0] <= 4
    assert counts[-1] == 15


@pytest.mark.parametrize("bins", [0, -3, 201, 2.5])
def test_other_numbers_of_bins_are_refused(bins: int) -> None:
    with pytest.raises(InputError, match="bins must be"):
        into_bins(*sample(50, seed=4), SIMPLE, bins=bins)
    with pytest.raises(InputError, match="strategy"):
        into_bins(*sample(50, seed=4), SIMPLE, strategy="width")  # type: ignore[arg-type]


def test_weights_are_repeated_rows() -> None:
    probability, outcome = sample(3_000, seed=5)
    weight = np.random.default_rng(5).integers(0, 4, 3_000)
    weighted = into_bins(
        probability, outcome, Design(weights=weight.astype(np.float64)), bins=5, strategy="uniform"
    )
    repeated = into_bins(
        np.repeat(probability, weight), np.repeat(outcome, weight), SIMPLE, bins=5, strategy="uniform"
    )
    assert weighted.mean(weighted.outcome) == pytest.approx(repeated.mean(repeated.outcome))
    assert weighted.share == pytest.approx(repeated.share)
    first, second = brier_parts(weighted), brier_parts(repeated)
    assert first is not None
    assert second is not None
    assert first.brier_score_loss == pytest.approx(second.brier_score_loss)


# --- expected calibration error -----------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(rows, st.sampled_from([0.9, 0.95, 0.999, 1 - 1e-9]))
def test_bounds_contain_the_value(labeled: list[tuple[int, float]], level: float) -> None:
    estimate = error_of(*columns(labeled))
    lower, upper = estimate.at(level)
    assert estimate.value is not None
    assert lower is not None
    assert upper is not None
    assert 0 <= lower <= estimate.value + 1e-9
    assert estimate.value - 1e-9 <= upper <= 1


def test_bounds_widen_with_the_level_and_narrow_with_the_rows() -> None:
    estimate = error_of(*sample(800, seed=6, temperature=0.5))
    bounds = [estimate.bounds(level, 1.0, 0.5) for level in (0.6, 0.9, 0.95, 0.99, 1 - 1e-6)]
    lowers, uppers = zip(*bounds, strict=True)
    assert list(lowers) == sorted(lowers, reverse=True)
    assert list(uppers) == sorted(uppers)
    grown = [estimate.bounds(0.95, growth, 0.5) for growth in (1.0, 2.0, 10.0, 1e4)]
    lowers, uppers = zip(*grown, strict=True)
    assert list(lowers) == sorted(lowers)
    assert list(uppers) == sorted(uppers, reverse=True)
    assert uppers[-1] == pytest.approx(estimate.value, abs=2e-3)


def test_noise_is_taken_out() -> None:
    plain, corrected = [], []
    for seed in range(200):
        binned = into_bins(*sample(200, seed=seed), SIMPLE)
        plain.append(float(np.abs(binned.total(binned.outcome - binned.probability)).sum()) / 200)
        corrected.append(expected_calibration_error(binned).value or 0.0)
    assert np.mean(plain) > 0.05
    assert np.mean(corrected) < 0.5 * np.mean(plain)
    assert np.median(corrected) < 0.02


def test_the_value_is_right_where_noise_does_not_matter() -> None:
    probability, outcome = sample(200_000, seed=7, temperature=0.5)
    estimate = error_of(probability, outcome)
    true = expit(logit(probability) * 0.5)
    binned = into_bins(probability, outcome, SIMPLE)
    truth = float(np.abs(binned.total(true - probability)).sum()) / outcome.size
    assert truth > 0.08
    assert estimate.value == pytest.approx(truth, abs=0.003)


def test_a_perfect_model_passes_and_is_not_accused() -> None:
    """2,000 rows, limit .05: 150 samples; a rate of accusations of 5 % gives more than 15 in 0.7 % of them."""
    bounds = [error_of(*sample(2_000, seed=seed)).at(0.95) for seed in range(150)]
    assert sum(upper is not None and upper <= 0.05 for _, upper in bounds) >= 135
    assert sum(lower is not None and lower > 0 for lower, _ in bounds) <= 15


def test_a_temperature_of_two_is_caught() -> None:
    """True error .096: proven to be above .05, and the upper bound below it in 5 % (above 15 of 150 in 0.7 %)."""
    bounds = [error_of(*sample(2_000, seed=seed, temperature=0.5)).at(0.95) for seed in range(150)]
    assert sum(lower is not None and lower > 0.05 for lower, _ in bounds) >= 120
    assert sum(upper is not None and upper < 0.0955 for _, upper in bounds) <= 15


@pytest.mark.parametrize("kind", ["sure", "rare"])
def test_rare_surprises_keep_the_level(kind: str) -> None:
    rng = np.random.default_rng(8)
    too_low = too_high = 0
    for _ in range(300):
        true = floats(rng.choice([0.03, 0.97], 600) if kind == "sure" else rng.beta(0.5, 19.5, 600))
        said = floats(np.round(true) if kind == "sure" else true * 0.5)
        binned = into_bins(said, floats(rng.random(600) < true), SIMPLE)
        truth = float(np.abs(binned.total(true - said)).sum()) / 600
        lower, upper = expected_calibration_error(binned).at(0.95)
        assert lower is not None
        assert upper is not None
        too_low, too_high = too_low + (upper < truth), too_high + (lower > truth)
    assert too_low <= 28  # 5 % of 300, above it in 0.1 %
    assert too_high <= 28


def test_without_surprises_the_mean_error_bounds_it() -> None:
    probability = np.r_[np.full(500, 0.001), np.full(500, 0.999)]
    outcome = np.r_[np.zeros(500), np.ones(500)]
    estimate = error_of(probability, outcome)
    lower, upper = estimate.at(0.95)
    assert lower == 0
    assert upper is not None
    assert 0.001 < upper < 0.01
    assert "Gaffke" in estimate.method
    assert estimate.note is not None


def test_the_planned_rows_decide() -> None:
    estimate = error_of(*sample(300, seed=6))
    assert (estimate.value or 0) < 0.03
    growth = growth_to_decide(estimate, 0.05, at_least=False, confidence_level=0.95)
    assert growth is not None
    assert 1 < growth < 100
    passed = [
        (error_of(*sample(math.ceil(300 * growth), seed=seed)).at(0.95)[1] or 1) <= 0.05 for seed in range(40)
    ]
    assert sum(passed) >= 28


def test_clusters_widen_the_bounds_and_few_of_them_give_none() -> None:
    probability, outcome = sample(400, seed=10)
    probability, outcome = np.repeat(probability, 5), np.repeat(outcome, 5)
    copies = error_of(probability, outcome, Design(clusters=np.repeat(np.arange(400), 5)))
    blind = error_of(probability, outcome)
    single = error_of(probability[::5], outcome[::5])
    assert (copies.at(0.95)[1] or 0) > 1.1 * (blind.at(0.95)[1] or 1)
    assert (copies.at(0.95)[0] or 0) < (blind.at(0.95)[0] or 0)
    assert (copies.at(0.95)[1] or 0) == pytest.approx(single.at(0.95)[1], rel=0.25)
    few = error_of(probability, outcome, Design(clusters=np.arange(2_000) % 9))
    assert few.at(0.95) == (None, None)
    assert few.note is not None
    assert "clusters" in few.note


def test_equal_weights_change_nothing_and_uneven_ones_cost() -> None:
    probability, outcome = sample(1_000, seed=11)
    uneven = Design(weights=np.random.default_rng(11).lognormal(0, 1.2, 1_000))
    assert (error_of(probability, outcome, uneven).at(0.95)[1] or 0) > (
        error_of(probability, outcome).at(0.95)[1] or 1
    )


def test_no_rows_have_no_error() -> None:
    nothing = np.zeros(0)
    estimate = error_of(nothing, nothing)
    assert estimate.value is None
    assert estimate.at(0.95) == (None, None)
    assert squared_calibration_error(into_bins(nothing, nothing, SIMPLE)) is None
    assert by_chance(into_bins(nothing, nothing, SIMPLE), confidence_level=0.95, seed=0) is None


def test_the_squared_error_is_unbiased() -> None:
    def squared(n: int, temperature: float, seed: int) -> tuple[float, float]:
        probability, outcome = sample(n, seed=seed, temperature=temperature)
        binned = into_bins(probability, outcome, SIMPLE, bins=5)
        true = expit(logit(probability) * temperature)
        truth = float((binned.share * binned.mean(true - probability) ** 2).sum())
        return squared_calibration_error(binned) or 0.0, truth

    for temperature in (1.0, 0.5):
        found = np.array([squared(200, temperature, seed) for seed in range(400)])
        off = found[:, 0] - found[:, 1]
        assert abs(off.mean()) < 4 * off.std() / math.sqrt(400)


# --- what chance does ---------------------------------------------------------------------------------------


def test_chance_is_what_resampling_rows_gives() -> None:
    probability, outcome = sample(300, seed=12)
    binned = into_bins(probability, outcome, SIMPLE)
    chance = by_chance(binned, confidence_level=0.95, seed=3, n_resamples=4_000)
    rng = np.random.default_rng(4)
    errors = [
        float(np.abs(binned.total((rng.random(300) < probability) - probability)).sum()) / 300
        for _ in range(2_000)
    ]
    assert chance is not None
    assert chance.mean == pytest.approx(np.mean(errors), rel=0.05)
    assert chance.upper == pytest.approx(np.quantile(errors, 0.95), rel=0.05)
    assert 0 < chance.p_value <= 1
    assert by_chance(binned, confidence_level=0.95, seed=3, n_resamples=4_000) == chance


def test_the_p_value_finds_miscalibration() -> None:
    probability, outcome = sample(1_000, seed=13, temperature=0.5)
    chance = by_chance(into_bins(probability, outcome, SIMPLE), confidence_level=0.95, seed=0)
    assert chance is not None
    assert chance.p_value < 0.01
    weighted = into_bins(probability, outcome, Design(weights=np.linspace(1, 2, 1_000)))
    assert by_chance(weighted, confidence_level=0.95, seed=0) is None


def test_the_band_holds_for_all_bins_together() -> None:
    misses = 0
    for seed in range(200):
        probability, outcome = sample(500, seed=seed)
        binned = into_bins(probability, outcome, SIMPLE)
        curve = reliability_curve(binned, confidence_level=0.95)
        misses += any(low > p for low, p in zip(curve.lower, curve.predicted, strict=True))
        assert all(
            low <= o <= high for low, o, high in zip(curve.lower, curve.observed, curve.upper, strict=True)
        )
    assert misses <= 20  # 5 % of 200, above it in 0.1 %


def test_clusters_widen_the_band() -> None:
    probability, outcome = (np.repeat(column, 4) for column in sample(300, seed=14))
    plain = reliability_curve(into_bins(probability, outcome, SIMPLE, bins=5), confidence_level=0.95)
    design = Design(clusters=np.repeat(np.arange(300), 4))
    wide = reliability_curve(into_bins(probability, outcome, design, bins=5), confidence_level=0.95)
    assert wide.observed == pytest.approx(plain.observed)
    assert all(low < other for low, other in zip(wide.lower, plain.lower, strict=True))


# --- slope and intercept ------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("n", [300, 6_000])
def test_slope_and_intercept_are_statsmodels(n: int, temperature: float) -> None:
    probability, outcome = sample(n, seed=15, temperature=temperature)
    fit = sm.Logit(outcome, sm.add_constant(logit(probability))).fit(disp=0)
    slope = calibration_slope(probability, outcome, SIMPLE)
    assert slope.value == pytest.approx(fit.params[1], rel=1e-3)
    lower, upper = slope.at(0.975)
    low, high = fit.conf_int(0.05)[1]
    assert lower == pytest.approx(low, abs=0.15 * (high - low))
    assert upper == pytest.approx(high, abs=0.15 * (high - low))
    offset = sm.GLM(outcome, np.ones(n), family=sm.families.Binomial(), offset=logit(probability)).fit()
    intercept = calibration_intercept(probability, outcome, SIMPLE)
    assert intercept.value == pytest.approx(offset.params[0], abs=2e-3)
    low, high = offset.conf_int(0.05)[0]
    lower, upper = intercept.at(0.975)
    assert lower == pytest.approx(low, abs=0.2 * (high - low))
    assert upper == pytest.approx(high, abs=0.2 * (high - low))


@settings(deadline=None, max_examples=60)
@given(rows)
def test_slope_and_intercept_never_raise(labeled: list[tuple[int, float]]) -> None:
    probability, outcome = columns(labeled * 4)
    assume(0 < outcome.mean() < 1)
    for estimate in (
        calibration_slope(probability, outcome, SIMPLE),
        calibration_intercept(probability, outcome, SIMPLE),
    ):
        lower, upper = estimate.at(0.95)
        if estimate.value is None:
            assert (lower, upper) == (None, None)
            assert estimate.note is not None
        else:
            assert lower is None or lower <= estimate.value
            assert upper is None or upper >= estimate.value


def test_slopes_that_can_not_be_fitted() -> None:
    probability = np.linspace(0.05, 0.95, 100)
    separated = calibration_slope(probability, floats(probability > 0.5), SIMPLE)
    assert separated.value is None
    assert separated.note is not None
    assert "separate" in separated.note
    constant = calibration_slope(np.full(100, 0.5), floats(np.arange(100) % 2), SIMPLE)
    assert constant.value is None
    one_class = calibration_slope(probability, np.ones(100), SIMPLE)
    assert one_class.value is None
    assert calibration_intercept(probability, np.ones(100), SIMPLE).value is None
    assert calibration_intercept(np.zeros(0), np.zeros(0), SIMPLE).value is None
    few = calibration_slope(*sample(30, seed=16), SIMPLE)
    assert few.at(0.95) == (None, None)


def test_slope_bounds_keep_their_level() -> None:
    misses = np.zeros(2)
    for seed in range(150):
        lower, upper = calibration_slope(*sample(250, seed=seed, temperature=0.5), SIMPLE).at(0.95)
        assert lower is not None
        assert upper is not None
        misses += (lower > 0.5, upper < 0.5)
    assert (misses <= 15).all()  # 5 % of 150, above it in 0.7 %


def test_clusters_widen_slope_and_intercept() -> None:
    probability, outcome = (np.repeat(column, 4) for column in sample(300, seed=17))
    design = Design(clusters=np.repeat(np.arange(300), 4))
    for measure in (calibration_slope, calibration_intercept):
        plain, wide = measure(probability, outcome, SIMPLE), measure(probability, outcome, design)
        assert wide.value == pytest.approx(plain.value)
        assert (wide.at(0.95)[1] or 0) - (wide.value or 0) > 1.6 * (
            (plain.at(0.95)[1] or 9) - (plain.value or 0)
        )


# --- Brier score --------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(rows, st.integers(1, 20))
def test_the_parts_sum_to_the_brier_score(labeled: list[tuple[int, float]], bins: int) -> None:
    probability, outcome = columns(labeled)
    parts = brier_parts(into_bins(probability, outcome, SIMPLE, bins=bins))
    assert parts is not None
    assert parts.brier_score_loss == pytest.approx(
        brier_score_loss(outcome, probability, labels=[0, 1]), abs=1e-12
    )
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins
    assert total == pytest.approx(parts.brier_score_loss, abs=1e-9)


def test_the_parts_are_unbiased() -> None:
    """Predictions of four values, perfectly calibrated: reliability 0, resolution their variance."""
    rng = np.random.default_rng(18)
    values = np.array([0.1, 0.4, 0.6, 0.9])
    found = []
    for _ in range(500):
        probability = rng.choice(values, 320)
        parts = brier_parts(into_bins(probability, floats(rng.random(320) < probability), SIMPLE, bins=15))
        assert parts is not None
        found.append((parts.reliability, parts.resolution, parts.uncertainty))
    found_mean, error = np.mean(found, axis=0), np.std(found, axis=0) / math.sqrt(500)
    assert (np.abs(found_mean - [0.0, values.var(), 0.25]) < 4 * error + 1e-6).all()


def test_spiegelhalters_z_is_standard_normal() -> None:
    z = [spiegelhalter_z(*sample(300, seed=seed)) or 0.0 for seed in range(300)]
    assert abs(np.mean(z)) < 4 / math.sqrt(300)
    assert np.std(z) == pytest.approx(1, abs=0.2)
    assert (spiegelhalter_z(*sample(1_000, seed=1, temperature=0.5)) or 0) > 5
    assert spiegelhalter_z(np.full(10, 0.5), np.ones(10)) is None


def test_binned_is_plain_data() -> None:
    binned = into_bins(*sample(50, seed=19), SIMPLE)
    assert isinstance(binned, Binned)
    assert binned.weight == pytest.approx(np.ones(50))
