"""Probabilities and outcomes -> bins, and what is seen in them: the reliability curve, the work of chance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.design import Design, design_effect, share_of_weight
from pytest_prodml.statistics.intervals import clopper_pearson
from pytest_prodml.statistics.sufficient import Codes, weighted_counts

Array: TypeAlias = npt.NDArray[np.float64]
Strategy: TypeAlias = Literal["quantile", "uniform"]

#: Surprise that a bin must hold; thinner bins are joined with the next.
_LEAST_IN_BIN = 5.0
_MOST_BINS = 15
_CELLS_IN_BIN = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Binned:
    """Rows sorted into bins by their predicted probability.

    Attributes
    ----------
    probability, outcome, weight : array of float, shape (n,)
        What was predicted, 0 or 1, and weights that sum to n.
    codes : array of int, shape (n,)
        The bin of each row, from the lowest probability up.
    design : Design
        Weights and clusters of the rows.
    n_bins : int
        Bins in use; every one has rows.
    """

    probability: Array
    outcome: Array
    weight: Array
    codes: Codes
    design: Design
    n_bins: int

    def mean(self, values: Array) -> Array:
        """Return the weighted mean of `values` in each bin, shape (n_bins,)."""
        return self.total(values) / self.total(np.ones(values.size))

    def total(self, values: Array) -> Array:
        """Return the weighted sum of `values` in each bin, shape (n_bins,)."""
        return weighted_counts(self.codes, self.weight * values, self.n_bins)

    @property
    def share(self) -> Array:
        """The share of all weight in each bin, shape (n_bins,)."""
        return self.total(np.ones(self.outcome.size)) / self.outcome.size


def into_bins(
    probability: Array,
    outcome: Array,
    design: Design,
    *,
    bins: int | Literal["auto"] = 15,
    strategy: Strategy = "quantile",
) -> Binned:
    """Sort rows into bins by their predicted probability.

    Parameters
    ----------
    probability : array of float, shape (n,)
        Of the outcome being 1; finite, in [0, 1].
    outcome : array, shape (n,)
        0 or 1 (or booleans).
    design : Design
        Weights and clusters. Rows of weight 0 are left out.
    bins : int or "auto"
        How many bins to ask for. "auto" takes as many as hold about 40 rows' worth of information, 2 to 15.
    strategy : {"quantile", "uniform"}
        Bins of equally many rows, or of equal width. Equal probabilities always share a bin.

    Notes
    -----
    Adjacent bins are joined until each holds rows' worth of surprise of at least 5: the larger of
    sum p (1 - p) and sum (y - p)^2. In thinner bins no error can be told from noise.
    """
    if strategy not in {"quantile", "uniform"}:
        raise InputError(f"there is no strategy {strategy!r}", where="bins", hint="quantile or uniform")
    if bins != "auto" and not (isinstance(bins, int) and 1 <= bins <= 200):
        raise InputError(f"bins must be 'auto' or a number from 1 to 200, got {bins!r}")
    weight = share_of_weight(design, outcome.size)
    kept = weight > 0
    if not kept.all():
        probability, outcome, weight = probability[kept], outcome[kept], weight[kept]
        design = design.subset(kept)
    outcome = outcome.astype(np.float64)
    if outcome.size == 0:
        codes, n_bins = np.zeros(0, dtype=np.intp), 0
    else:
        codes = _joined(_cut(probability, outcome, bins, strategy), probability, outcome)
        n_bins = int(np.max(codes)) + 1
    return Binned(
        probability=probability,
        outcome=outcome,
        weight=weight * (outcome.size / float(weight.sum()) if outcome.size else 1.0),
        codes=codes,
        design=design,
        n_bins=n_bins,
    )


def _cut(probability: Array, outcome: Array, bins: int | Literal["auto"], strategy: Strategy) -> Codes:
    if bins == "auto":
        information = float(_surprise(probability, outcome).sum())
        bins = int(min(max(math.sqrt(information), information / 8, 2), _MOST_BINS))
    if strategy == "uniform":
        codes = np.minimum((probability * bins).astype(np.intp), bins - 1)
    else:
        inner = np.arange(1, bins) / bins
        edges = np.unique(np.quantile(probability, inner, method="inverted_cdf"))
        codes = np.searchsorted(edges, probability, side="left")
    return np.unique(codes, return_inverse=True)[1]


def _surprise(probability: Array, outcome: Array) -> Array:
    return np.maximum(probability * (1 - probability), (outcome - probability) ** 2)


def _joined(codes: Codes, probability: Array, outcome: Array) -> Codes:
    """Join adjacent bins until each holds enough surprise; a thin rest joins the last one."""
    expected = np.bincount(codes, weights=probability * (1 - probability))
    seen = np.bincount(codes, weights=(outcome - probability) ** 2)
    target = np.zeros(expected.size, dtype=np.intp)
    current, held = 0, 0.0
    for place, amount in enumerate(np.maximum(expected, seen)):
        target[place] = current
        held += float(amount)
        if held >= _LEAST_IN_BIN:
            current, held = current + 1, 0.0
    if current and held:
        target[target == current] = current - 1
    return target[codes]


def squared_calibration_error(binned: Binned) -> float | None:
    """Return the debiased squared calibration error, sum share_k (gap_k^2 - variance_k).

    Unbiased for independent rows (Bröcker 2012; Kumar, Liang, Ma 2019), so slightly negative for half of all
    perfect models. None without rows.
    """
    if binned.outcome.size == 0:
        return None
    gaps, variance = _gaps_and_variance(binned)
    return float((binned.share * (gaps**2 - variance)).sum())


def _gaps_and_variance(binned: Binned) -> tuple[Array, Array]:
    residual = binned.outcome - binned.probability
    gaps = binned.mean(residual)
    rows = np.bincount(binned.codes, minlength=binned.n_bins)
    mass = binned.total(np.ones(residual.size))
    squares = np.bincount(binned.codes, weights=(binned.weight * (residual - gaps[binned.codes])) ** 2)
    return gaps, squares / mass**2 * rows / np.maximum(rows - 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """The plain calibration error of a model that is perfectly calibrated, on rows like these.

    `observed` is that of the data, `mean` and `upper` the mean and the quantile at the level asked for of the
    resampled ones, and `p_value` the share of these that are at least as large as `observed`.
    """

    observed: float
    mean: float
    upper: float
    p_value: float
    n_resamples: int


def by_chance(
    binned: Binned, *, confidence_level: float, seed: int, n_resamples: int = 2_000
) -> Chance | None:
    """Draw outcomes from the model's own probabilities and return how large the plain error gets.

    Every bin is cut into up to 64 cells of neighboring rows and the outcomes of a cell drawn as one binomial
    count, so the cost does not grow with the rows. None without rows, and for weighted or clustered rows,
    whose dependence can not be redrawn from the probabilities.
    """
    if binned.outcome.size == 0 or not binned.design.is_simple:
        return None
    order = np.lexsort((binned.probability, binned.codes))
    codes = binned.codes[order]
    rows = np.bincount(codes, minlength=binned.n_bins)
    rank = np.arange(codes.size) - (np.cumsum(rows) - rows)[codes]
    cell = codes * _CELLS_IN_BIN + rank * _CELLS_IN_BIN // rows[codes]
    present, places = np.unique(cell, return_inverse=True)
    sizes = np.bincount(places)
    expected = np.bincount(places, weights=binned.probability[order])
    rng = np.random.default_rng(seed)
    counts = rng.binomial(sizes, np.clip(expected / sizes, 0.0, 1.0), size=(n_resamples, sizes.size))
    drawn = counts - expected
    starts = np.flatnonzero(np.diff(present // _CELLS_IN_BIN, prepend=-1))
    errors = np.abs(np.add.reduceat(drawn, starts, axis=1)).sum(axis=1) / codes.size
    residual = binned.outcome - binned.probability
    observed = float(np.abs(binned.total(residual)).sum()) / codes.size
    return Chance(
        observed=observed,
        mean=float(errors.mean()),
        upper=float(np.quantile(errors, confidence_level)),
        p_value=float((1 + np.count_nonzero(errors >= observed - 1e-12)) / (1 + n_resamples)),
        n_resamples=n_resamples,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityCurve:
    """Mean prediction and observed rate of each bin, with limits that hold for all bins together."""

    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    rows: tuple[int, ...]


def reliability_curve(binned: Binned, *, confidence_level: float) -> ReliabilityCurve:
    """Return the reliability curve with simultaneous limits.

    Exact limits (Clopper, Pearson 1934) at the Bonferroni-corrected level 1 - alpha / bins: all lower limits
    hold together at `confidence_level`, and so do all upper ones. Outcomes of a bin have different
    probabilities, for which the limits are conservative (Hoeffding 1956). Weights and clusters shrink the
    rows of a bin by their design effect.
    """
    observed, predicted = binned.mean(binned.outcome), binned.mean(binned.probability)
    rows = np.bincount(binned.codes, minlength=binned.n_bins)
    effective = rows.astype(np.float64)
    if not binned.design.is_simple:
        influence = binned.outcome - observed[binned.codes]
        for place in range(binned.n_bins):
            effect = design_effect(influence, binned.design, rows=binned.codes == place)
            effective[place] /= effect.ratio
    level = 1 - (1 - confidence_level) / max(binned.n_bins, 1)
    lower, upper = clopper_pearson(observed * effective, effective, level)
    return ReliabilityCurve(
        predicted=tuple(predicted.tolist()),
        observed=tuple(observed.tolist()),
        lower=tuple(np.minimum(lower, observed).tolist()),
        upper=tuple(np.maximum(upper, observed).tolist()),
        rows=tuple(rows.tolist()),
    )
