"""Bounds for a quantile from order statistics: samples in, two of the samples out.

Distribution-free: no normality, no interpolation. The number of samples beyond the true p-quantile is
binomial with probability 1 - p, whatever the distribution of the samples. Dependent samples (calls that
slow each other down) count for fewer, see `effective_sample_size`.

References
----------
David, Nagaraja: *Order Statistics*, 3rd ed. (2003), section 7.1.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError
from pytest_prodml.statistics import binomial

#: An autocorrelation time is summed up to the first lag that is this many times longer than it (Sokal 1997).
_WINDOW = 5.0


def _checked(samples: npt.ArrayLike, p: float) -> npt.NDArray[np.float64]:
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1:
        raise InputError(f"samples must be one number each, got an array of shape {values.shape}")
    if not np.isfinite(values).all():
        raise InputError(f"{np.count_nonzero(~np.isfinite(values))} samples are not finite numbers")
    _check_share(p, "p")
    return values


def _check_share(p: float, name: str) -> None:
    if not 0 < p < 1:
        raise InputError(f"{name} must lie between 0 and 1, got {p!r}")


def exceedance_test(n: int, exceedances: int, p: float) -> tuple[float, float]:
    """Test whether the p-quantile lies below (pass) or above (fail) a budget.

    Parameters
    ----------
    n, exceedances : int
        Samples, and how many of them exceed the budget.
    p : float
        The quantile, 0.99 for the 99th percentile.

    Returns
    -------
    tuple of float
        P(Bin(n, 1-p) <= exceedances), small when the budget is proven to be kept, and
        P(Bin(n, 1-p) >= exceedances), small when it is proven to be broken.
    """
    _check_share(p, "p")
    if not 0 <= exceedances <= n:
        raise InputError(f"{exceedances} exceedances among {n} samples")
    return binomial.cdf(exceedances, n, 1 - p), binomial.sf(exceedances, n, 1 - p)


def quantile_bounds(
    samples: npt.ArrayLike, p: float, confidence_level: float, n_effective: float | None = None
) -> tuple[float | None, float | None]:
    """Return one-sided lower and upper bounds for the p-quantile, each at `confidence_level`.

    The upper bound is at most a budget B exactly when `exceedance_test` passes B, and the lower bound is
    above B exactly when it fails B. None where the samples can not bound that side: a 99th percentile has no
    upper bound at 95 % below 299 samples.

    Parameters
    ----------
    samples : array of float
        In any order.
    p : float
        The quantile.
    confidence_level : float
        Of each of the two bounds.
    n_effective : float, optional
        The number of independent samples that these are worth. The critical counts are those of that many
        samples, scaled back to the ranks of all. Conservative: rounded down.
    """
    values = np.sort(_checked(samples, p))
    n = values.size
    independent = n if n_effective is None else math.floor(min(max(n_effective, 0.0), n))
    if independent < 1:
        return None, None
    _check_share(confidence_level, "confidence_level")
    alpha = 1 - confidence_level
    tolerated = binomial.most_tolerated(independent, 1 - p, alpha)
    alarming = binomial.least_alarming(independent, 1 - p, alpha)
    # At most t samples exceed B exactly when the (n-t)-th smallest is at most B; at least f do exactly when
    # the (n-f+1)-th exceeds B.
    upper = None if tolerated < 0 else float(values[n - 1 - tolerated * n // independent])
    lower = None if alarming > independent else float(values[n - -(-alarming * n // independent)])
    return lower, upper


def effective_sample_size(samples: npt.ArrayLike, p: float) -> float:
    """Return how many independent samples these are worth for a statement about their p-quantile.

    n / tau with tau the integrated autocorrelation time of the indicator "this sample exceeds the empirical
    p-quantile", summed over lags up to five times itself and never below 1. `samples` must be in the order in
    which they were taken. Samples without any exceedance carry no sign of dependence: n.

    Notes
    -----
    It can not see bursts that the run holds only a few of; require several separate clusters of exceedances
    before a tail is certified.
    """
    values = _checked(samples, p)
    n = values.size
    if n < 2:
        return float(n)
    threshold = np.sort(values)[min(math.ceil(n * p), n) - 1]
    exceeds = (values > threshold).astype(np.float64)
    exceeds -= exceeds.mean()
    variance = float(exceeds @ exceeds)
    if variance == 0:
        return float(n)
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(exceeds, size)
    correlation = np.fft.irfft(spectrum * spectrum.conj(), size)[:n] / variance
    times = 1 + 2 * np.cumsum(correlation[1:])
    lags = np.arange(1, n)
    inside = np.flatnonzero(lags >= _WINDOW * np.maximum(times, 1.0))
    tau = float(times[inside[0]] if inside.size else np.max(times))
    return n / max(tau, 1.0)


def required_samples(
    p: float, confidence_level: float, exceedance_share: float = 0.25, power: float = 0.9
) -> int:
    """Return the fewest samples that prove, with probability `power`, that the p-quantile keeps a budget.

    Parameters
    ----------
    p, confidence_level : float
        The claim: the p-quantile is within the budget, at this level.
    exceedance_share : float
        The true share of samples beyond the budget, relative to the allowed 1 - p. 0.25 at p = 0.99: one call
        in 400 is too slow. The nearer to 1, the more samples; at 1 no number suffices.
    power : float
        The probability with which the proof shall succeed.
    """
    _check_share(p, "p")
    _check_share(confidence_level, "confidence_level")
    _check_share(power, "power")
    if not 0 <= exceedance_share < 1:
        raise InputError(
            f"exceedance_share must lie in [0, 1), got {exceedance_share!r}",
            hint="a quantile that lies exactly on its budget is proven by no number of samples",
        )
    alpha, tolerated = 1 - confidence_level, 0
    n = 0
    while True:
        n = _fewest(tolerated, n, p, alpha)
        if binomial.cdf(tolerated, n, (1 - p) * exceedance_share) >= power:
            return n
        tolerated += 1 + tolerated // 50  # beyond 50 tolerated exceedances the answer is within 2 %


def _fewest(tolerated: int, above: int, p: float, alpha: float) -> int:
    """Return the fewest samples, more than `above`, of which `tolerated` may exceed."""
    low, high = above, max(2 * above, 16)
    while binomial.cdf(tolerated, high, 1 - p) > alpha:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if binomial.cdf(tolerated, middle, 1 - p) <= alpha:
            high = middle
        else:
            low = middle
    return high
