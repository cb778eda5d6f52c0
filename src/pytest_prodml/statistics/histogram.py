"""Score histograms for many rows: labels and scores in, a table of bins and its worst error out.

Sorting ten million scores takes seconds, counting them in bins a tenth of one. What binning costs is known
exactly: scores in one bin count as ties, and the value would be wrong by the most if every positive in a bin
ranked above (or below) every negative in it. So `count` tries grids until a caller accepts that error, and
sorts in the end; callers add the error to their bounds, so binning can never make a pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.statistics.sufficient import Codes, ScoreTable, score_table

Rows = npt.NDArray[np.bool_]
Column = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Array = npt.NDArray[np.float64]

#: Up to this many rows are always sorted.
EXACT_ROWS = 200_000
#: The standard error falls with the root of the rows, so the bins have to grow with it.
_BINS = 32
_FEW_SCORES, _LOOKED_AT = 1 << 12, 1 << 15
_HALF = 1 << 15
#: Bins for each of few different scores, so that evenly spaced ones fall in different bins.
_APART = 4
#: Rows of the sample for each of its quantiles.
_SAMPLED = 8
#: Rows at a time: few enough for the processor's cache, more than there are bins to add up each time.
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Positives and negatives in bins of scores, from the highest bin down.

    Attributes
    ----------
    table : ScoreTable
        The score of a bin is the least that it can hold.
    mixed : array of bool
        Which bins can hold different scores. In the others ties are those of the data.
    """

    table: ScoreTable
    mixed: Rows

    @property
    def is_exact(self) -> bool:
        """Whether no bin holds different scores."""
        return not bool(self.mixed.any())


def count(is_positive: Rows, scores: Column, accepted: Callable[[Histogram], bool]) -> Histogram:
    """Count both classes by score, in bins if `accepted` says that they are fine enough.

    Tried in turn: bins found by arithmetic on the bits of a score, about equally filled (2^17 for ten
    million rows), or where there are few different scores one for each, with a check that no other score is
    in it; bins at the quantiles of a sample of every n-th row, found by search, in which frequent scores have
    a bin of their own; a sort, after which no bin is mixed. Nothing is drawn at random.

    Parameters
    ----------
    is_positive : array of bool, shape (n,)
    scores : array of float32 or float64, shape (n,)
        Finite. Neither array is copied.
    accepted : callable
        Says whether the worst error of the bins is small enough.
    """
    if scores.size > EXACT_ROWS:
        for histogram in _grids(is_positive, scores):
            if accepted(histogram):
                return histogram
    table = score_table(is_positive, np.asarray(scores, dtype=np.float64))
    return Histogram(table=table, mixed=np.zeros(table.scores.size, dtype=np.bool_))


def _power_of_two(number: float) -> int:
    return 1 << math.ceil(math.log2(number))


def _sample(scores: Column, rows: int) -> Array:
    return scores[:: max(scores.size // rows, 1)].astype(np.float64)


def _grids(is_positive: Rows, scores: Column) -> Iterator[Histogram]:
    bins = _power_of_two(_BINS * math.sqrt(scores.size))
    low = float(np.min(scores))
    values = np.unique(_sample(scores, _LOOKED_AT))
    if values.size <= _FEW_SCORES:
        yield _by_bits(_parts(values, _APART * values.size), is_positive, scores, values)
        yield _at(values, values, is_positive, scores, low)
    else:
        yield _by_bits(_parts(_sample(scores, bins), bins), is_positive, scores, None)
    sample = np.sort(_sample(scores, _SAMPLED * bins))
    chosen, repeats = np.unique(sample[:: max(sample.size // bins, 1)], return_counts=True)
    # A score that fills a bin has one of its own.
    yield _at(chosen, chosen[repeats > 1], is_positive, scores, low)


def _keys(scores: Column, numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """Return integers in the order of the scores: the bits of the nearest 32-bit floating-point number."""
    with np.errstate(over="ignore", under="ignore"):
        # Adding 0 makes a negative 0 a positive one.
        np.add(scores, np.float64(0.0), out=numbers, casting="same_kind")
    bits = numbers.view(np.int32)
    keys = bits >> 31
    keys &= 0x7FFFFFFF
    keys ^= bits
    return keys


def _parts(sample: Array, bins: int) -> npt.NDArray[np.int64]:
    """Return how many parts each of 65,536 cells has, so that `bins` in all are about equally filled."""
    keys = _keys(sample, np.empty(sample.size, dtype=np.float32))
    filled = np.bincount((keys >> 16) + _HALF, minlength=2 * _HALF)
    # One score alone needs no parts.
    spread = np.where(filled > 1, filled, 0)
    return np.ceil(spread * (bins / sample.size)).astype(np.int64) + 1


def _by_bits(
    parts: npt.NDArray[np.int64], is_positive: Rows, scores: Column, values: Array | None
) -> Histogram:
    """Count in parts of the 65,536 cells that the upper half of a score's bits gives.

    The lower half of the bits says which part of its cell a score is in. With `values` a bin counts as mixed
    only if a row in it has another score than the one of them that the bin is for.
    """
    starts = np.cumsum(parts) - parts
    used = int(parts.sum())
    whole = used == parts.size
    numbers = np.empty(_CHUNK, dtype=np.float32)
    cells, found = np.empty(_CHUNK, dtype=np.intp), np.empty(_CHUNK, dtype=np.int64)

    def codes(chunk: Column, into: Codes) -> None:
        size = chunk.size
        keys = _keys(chunk, numbers[:size])
        np.copyto(cells[:size], keys >> 16)
        np.add(cells[:size], _HALF, out=cells[:size])
        if whole:
            np.copyto(into, cells[:size])
            return
        np.copyto(into, keys & 0xFFFF)
        # Cells lie in range; "clip" only spares the check and a copy.
        np.multiply(into, np.take(parts, cells[:size], out=found[:size], mode="clip"), out=into)
        np.right_shift(into, 16, out=into)
        np.add(into, np.take(starts, cells[:size], out=found[:size], mode="clip"), out=into)

    edges = _lowest(parts, starts, used)
    if values is None:
        return _histogram(_counted(is_positive, scores, codes, used), edges, np.ones(used, dtype=np.bool_))
    # NaN equals no score.
    own, mixed = np.full(used, np.nan), np.zeros(used, dtype=np.bool_)
    of_values = np.empty(values.size, dtype=np.intp)
    codes(values, of_values)
    own[of_values] = values
    meant = np.empty(_CHUNK, dtype=np.float64)

    def checked(chunk: Column, into: Codes) -> None:
        codes(chunk, into)
        other = np.take(own, into, out=meant[: chunk.size], mode="clip") != chunk
        if other.any():
            mixed[into[other]] = True

    counts = _counted(is_positive, scores, checked, used)
    return _histogram(counts, np.where(mixed | np.isnan(own), edges, own), mixed)


def _lowest(parts: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], used: int) -> Array:
    """Return about the least score of each bin, the inverse of the codes of `_by_bits`."""
    cells = np.repeat(np.arange(parts.size), parts)
    inside = -(-((np.arange(used) - starts[cells]) << 16) // parts[cells])
    keys = (((cells - _HALF) << 16) + inside).astype(np.int32)
    bits = keys ^ ((keys >> 31) & 0x7FFFFFFF)
    with np.errstate(invalid="ignore"):  # some of the 65,536 cells stand for no number, and no row is in them
        return bits.view(np.float32).astype(np.float64)


def _at(starts: Array, single: Array, is_positive: Rows, scores: Column, low: float) -> Histogram:
    """Count in bins that begin at `starts`; each score in `single` has one of its own."""
    edges = np.union1d(starts, np.nextafter(single, np.inf))

    def codes(chunk: Column, into: Codes) -> None:
        np.copyto(into, np.searchsorted(edges, chunk.astype(np.float64), side="right"))

    counts = _counted(is_positive, scores, codes, edges.size + 1)
    # A bin whose end is the next number after its start holds one score.
    mixed = np.ones(edges.size + 1, dtype=np.bool_)
    mixed[1:-1] = np.nextafter(edges[:-1], np.inf) < edges[1:]
    return _histogram(counts, np.append(low, edges), mixed)


def _counted(
    is_positive: Rows, scores: Column, codes: Callable[[Column, Codes], None], bins: int
) -> npt.NDArray[np.int64]:
    """Count (bins, 2) rows: negatives, positives."""
    total = np.zeros(2 * bins, dtype=np.int64)
    buffer = np.empty(_CHUNK, dtype=np.intp)
    for start in range(0, scores.size, _CHUNK):
        chunk = scores[start : start + _CHUNK]
        into = buffer[: chunk.size]
        codes(chunk, into)
        np.left_shift(into, 1, out=into)
        np.add(into, is_positive[start : start + _CHUNK], out=into)
        total += np.bincount(into, minlength=2 * bins)
    return total.reshape(bins, 2)


def _histogram(counts: npt.NDArray[np.int64], edges: Array, mixed: Rows) -> Histogram:
    used = np.flatnonzero(counts.any(axis=1))[::-1]
    table = ScoreTable(scores=edges[used], positives=counts[used, 1], negatives=counts[used, 0])
    # A single row can not be out of order. Several positives can, if no negative is among them: as ties they
    # share the precision of the last.
    return Histogram(table=table, mixed=mixed[used] & (counts[used].sum(axis=1) > 1))


def roc_auc_error(histogram: Histogram) -> float:
    """Return by how much binning can have changed the AUC: half of the pairs that share a mixed bin."""
    table, mixed = histogram.table, histogram.mixed
    positives, negatives = table.positives.astype(np.float64), table.negatives.astype(np.float64)
    pairs = float(positives.sum()) * float(negatives.sum())
    return float((positives * negatives)[mixed].sum()) / (2 * pairs) if pairs else 0.0


def average_precision_error(histogram: Histogram) -> tuple[float, float]:
    """Return by how much the true average precision can lie below and above that of the bins.

    The mean precision of p positives that all rank behind H hits among F rows is, in closed form,
    1 + (H - F) (digamma(F + p + 1) - digamma(F + 1)) / p.
    """
    special = require("scipy.special", extra="performance")
    table, mixed = histogram.table, histogram.mixed
    p, n = table.positives[mixed].astype(np.float64), table.negatives[mixed].astype(np.float64)
    total = float(table.positives.sum())
    if not p.size or not total:
        return 0.0, 0.0
    hits = (np.cumsum(table.positives) - table.positives)[mixed].astype(np.float64)
    found = hits + (np.cumsum(table.negatives) - table.negatives)[mixed]
    tied = p * (hits + p) / (found + p + n)

    def ranked_behind(before: Array) -> Array:
        gained: Array = special.digamma(before + p + 1) - special.digamma(before + 1)
        return np.asarray(p + (hits - before) * gained, dtype=np.float64)

    # The mean rank of ties can lie outside of both orders, if only by a rounding error.
    best, worst = ranked_behind(found), ranked_behind(found + n)
    return (
        float(np.maximum(tied - worst, 0.0).sum()) / total,
        float(np.maximum(best - tied, 0.0).sum()) / total,
    )
