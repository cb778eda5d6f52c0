"""Tails of the binomial distribution, in pure Python: counts in, probabilities and critical counts out.

The order-statistic bounds of `quantiles` rest on these, so a latency check needs no scipy.
"""

from __future__ import annotations

import math

_NEGLIGIBLE = 1e-17


def _log_pmf(k: int, n: int, p: float) -> float:
    return (
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(p)
        + (n - k) * math.log1p(-p)
    )


def _sum_tail(k: int, n: int, p: float, step: int) -> float:
    """Sum the probabilities from `k` away from the mean; the terms fall geometrically."""
    term = math.exp(_log_pmf(k, n, p))
    total = term
    odds = p / (1 - p)
    while 0 <= k + step <= n and term > total * _NEGLIGIBLE:
        term *= odds * (n - k) / (k + 1) if step > 0 else k / ((n - k + 1) * odds)
        k += step
        total += term
    return min(total, 1.0)


def cdf(k: int, n: int, p: float) -> float:
    """Return P(X <= k) for X binomial with `n` trials of probability `p`."""
    if k < 0:
        return 0.0
    if k >= n or p <= 0:
        return 1.0
    if p >= 1:
        return 0.0
    return _sum_tail(k, n, p, -1) if k <= n * p else 1.0 - _sum_tail(k + 1, n, p, 1)


def sf(k: int, n: int, p: float) -> float:
    """Return P(X >= k) for X binomial with `n` trials of probability `p` (`k` itself counts)."""
    if k <= 0:
        return 1.0
    if k > n or p <= 0:
        return 0.0
    if p >= 1:
        return 1.0
    return _sum_tail(k, n, p, 1) if k > n * p else 1.0 - _sum_tail(k - 1, n, p, -1)


def most_tolerated(n: int, p: float, alpha: float) -> int:
    """Return the largest t with P(X <= t) <= alpha, or -1 when not even no event is that improbable."""
    low, high = -1, n
    while high - low > 1:
        middle = (low + high) // 2
        if cdf(middle, n, p) <= alpha:
            low = middle
        else:
            high = middle
    return low


def least_alarming(n: int, p: float, alpha: float) -> int:
    """Return the smallest f with P(X >= f) <= alpha, or n + 1 when not even n events are that improbable."""
    low, high = 0, n + 1
    while high - low > 1:
        middle = (low + high) // 2
        if sf(middle, n, p) <= alpha:
            high = middle
        else:
            low = middle
    return high
