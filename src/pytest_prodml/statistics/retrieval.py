"""Rankings of items for queries: relevance and scores of each row in, a number for each query out.

The queries, not the rows, are what is independent: metrics are means over queries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.estimate import Estimate
from pytest_prodml.statistics.intervals import proportion
from pytest_prodml.statistics.sufficient import Codes

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rankings:
    """Rows by query and, within a query, from the highest score down.

    Attributes
    ----------
    relevance : array of float, shape (n,)
        How relevant the item of each row is.
    query : array of int, shape (n,)
        The query of each row, codes from 0 on in rising order.
    rank : array of int, shape (n,)
        From 0 on within the query.
    tie : array of int, shape (n,)
        Codes of (query, score): rows that share one are not ordered.
    queries : int
    """

    relevance: Array
    query: Codes
    rank: Codes
    tie: Codes
    queries: int


def rankings(relevance: Array, scores: Array, query: Codes) -> Rankings:
    """Rank the rows of each query by score."""
    order = np.lexsort((-scores, query))
    codes, ranked = query[order], scores[order]
    begins = np.append(True, codes[1:] != codes[:-1])[: codes.size]
    first = np.flatnonzero(begins)
    number = np.cumsum(begins) - 1
    new = begins | np.append(True, ranked[1:] != ranked[:-1])[: codes.size]
    return Rankings(
        relevance=relevance[order],
        query=number,
        rank=np.arange(codes.size) - first[number] if codes.size else number,
        tie=np.cumsum(new) - 1,
        queries=first.size,
    )


def _per_tie(values: Array, tie: Codes) -> Array:
    """Return for each row the mean over the rows that it is tied with."""
    return np.asarray((np.bincount(tie, weights=values) / np.bincount(tie))[tie], dtype=np.float64)


def ndcg(ranked: Rankings, k: int | None = None) -> Array:
    """Return the normalized discounted cumulative gain of each query (Järvelin, Kekäläinen 2002).

    The gain is the relevance itself, ties are averaged over their orders, and a query without a relevant item
    has 0, all as in scikit-learn.
    """
    if ranked.relevance.size and np.min(ranked.relevance) < 0:
        raise InputError("relevances must not be negative")
    discount = _discounts(ranked.rank, k)
    gained = _sums(_per_tie(ranked.relevance, ranked.tie) * discount, ranked)
    ideal = rankings(ranked.relevance, ranked.relevance, ranked.query)
    best = _sums(ideal.relevance * _discounts(ideal.rank, k), ranked)
    share: Array = np.divide(gained, best, out=np.zeros_like(best), where=best > 0)
    return np.minimum(share, 1.0)


def _discounts(rank: Codes, k: int | None) -> Array:
    discount: Array = 1 / np.log2(rank + 2.0)
    return discount if k is None else np.where(rank < k, discount, 0.0)


def _sums(values: Array, ranked: Rankings) -> Array:
    return np.bincount(ranked.query, weights=values, minlength=ranked.queries).astype(np.float64)


def reciprocal_rank(ranked: Rankings) -> Array:
    """Return 1 / (rank of the first relevant item) of each query, 0 without one.

    Relevant means a relevance above 0. Of tied items the relevant one ranks last: a constant score must not
    win.
    """
    relevant = ranked.relevance > 0
    last = np.zeros(int(ranked.tie[-1]) + 1 if ranked.tie.size else 0, dtype=np.intp)
    np.maximum.at(last, ranked.tie, ranked.rank)
    # A tie of m items, r of them relevant, ranks the first relevant one m - r places below its beginning.
    size, hits = np.bincount(ranked.tie), np.bincount(ranked.tie, weights=relevant)
    place = (last - hits.astype(np.intp) + 1)[ranked.tie] if size.size else last
    worth = np.where(relevant, 1 / (place + 1.0), 0.0)
    best = np.zeros(ranked.queries)
    np.maximum.at(best, ranked.query, worth)
    return best


def precision_at(ranked: Rankings, k: int) -> Array:
    """Return the share of relevant items among the first k of each query, ties averaged over their orders.

    Of a query with fewer items, k counts all the same: the places are empty.
    """
    relevant = _per_tie((ranked.relevance > 0).astype(np.float64), ranked.tie)
    return _sums(np.where(ranked.rank < k, relevant, 0.0), ranked) / k


def recall_at(ranked: Rankings, k: int) -> Array:
    """Return the share of a query's relevant items that is among the first k; NaN without a relevant one."""
    relevant = (ranked.relevance > 0).astype(np.float64)
    found = _sums(np.where(ranked.rank < k, _per_tie(relevant, ranked.tie), 0.0), ranked)
    every = _sums(relevant, ranked)
    share: Array = np.divide(found, every, out=np.full(ranked.queries, math.nan), where=every > 0)
    return share


def found_at(relevant: npt.NDArray[np.bool_], scores: Array, k: int) -> float:
    """Return how many relevant rows are among the k with the highest scores, ties averaged."""
    edge = np.partition(scores, scores.size - k)[scores.size - k]
    above, tied = scores > edge, scores == edge
    share = (k - np.count_nonzero(above)) / np.count_nonzero(tied)
    return float(np.count_nonzero(relevant & above)) + share * float(np.count_nonzero(relevant & tied))


def precision_of_top(relevant: npt.NDArray[np.bool_], scores: Array, k: int) -> Estimate:
    """Estimate the precision among the rows above the score that the share k / n of the population exceeds.

    Given the threshold the hits are binomial; but the threshold is estimated, and rows near to it are right
    less often than those far above. To first order that multiplies the variance by
    1 + (1 - k / n) (p - p_t)^2 / (p (1 - p)) with p_t the precision near to the threshold, here of the
    k / 4 rows on either side; the exact bounds of a proportion are taken of as many rows fewer.
    """
    hits, n = found_at(relevant, scores, k), scores.size
    reach = max(math.ceil(k / 4), 5)
    low, high = max(k - reach, 0), min(k + reach, n)
    below = found_at(relevant, scores, low) if low else 0.0
    near = (found_at(relevant, scores, high) - below) / (high - low)
    # Laplace's estimate: a top without misses has a variance as well.
    share = (hits + 1) / (k + 2)
    spread = share * (1 - share)
    worth = spread / (spread + (1 - k / n) * (share - near) ** 2)
    exact = proportion(hits, k)
    return replace(
        exact,
        method="Clopper-Pearson, effective n",
        bounds=lambda level, growth, power: exact.bounds(level, growth * worth, power),
        note=f"worth {worth * k:,.4g} rows at a threshold that is known",
    )


def query_design(design: Design, query: Codes, queries: int) -> Design:
    """Return the design of the queries from that of their rows.

    Raises
    ------
    InputError
        If rows of one query differ in weight or cluster.
    """
    first = np.zeros(queries, dtype=np.intp)
    first[query[::-1]] = np.arange(query.size)[::-1]
    taken = []
    for name, column in (("sample_weight", design.weights), ("groups", design.clusters)):
        if column is not None and (column != column[first][query]).any():
            raise InputError(
                f"{name} differs between rows of one query", hint="give one value for each query"
            )
        taken.append(None if column is None else column[first])
    weights, clusters = taken
    return Design(
        weights=None if weights is None else weights.astype(np.float64),
        clusters=None if clusters is None else clusters.astype(np.intp),
    )
