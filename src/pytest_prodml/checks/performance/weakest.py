"""The weakest slices of a model: searched on one half of the rows, measured and judged on the other.

What is shown of a slice is what the half says that did not choose it, so a found slice is no fishing result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.evidence import checked_burden, evidence, measurement
from pytest_prodml.checks.labels import checked_number
from pytest_prodml.checks.metrics.levels import Bins, Levels, levels_of
from pytest_prodml.checks.metrics.limit import resolved
from pytest_prodml.checks.metrics.losses import row_losses
from pytest_prodml.checks.metrics.registry import Metric
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.checks.performance.slices import directed, edges_table, shown_by
from pytest_prodml.errors import InputError
from pytest_prodml.records import Burden, Comparison, Criterion, Evidence, JsonValue
from pytest_prodml.statistics.estimate import Estimate, checked_level, not_estimable
from pytest_prodml.statistics.simultaneous import bonferroni_level, difference, simultaneous_bounds
from pytest_prodml.statistics.slice_search import Search, Weak, search
from pytest_prodml.statistics.sufficient import as_numbers

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """What is judged of a found slice; `group` is None where none was found."""

    group: str | None
    estimate: Estimate
    rows: int
    note: str | None = None


def weakest_slices(
    metric: str | Metric,
    limit: float,
    sample: Sample,
    columns: Mapping[str, npt.ArrayLike],
    *,
    gap: bool = False,
    loss: npt.ArrayLike | None = None,
    bins: Mapping[str, Bins] | None = None,
    depth: int = 2,
    share_to_search: float = 0.5,
    top: int = 5,
    min_rows: int = 30,
    burden: str = "violation",
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Search the slices in which a model is weakest, and hold each against the limit on other rows.

    Parameters
    ----------
    metric : str or Metric
        What is measured and judged. The search goes by a loss of each row (`losses.row_losses`).
    limit : float
        A floor for scores, a ceiling for losses; with `gap`, by how much a slice may be worse than the rest.
    sample : Sample
        The truth and the model's answers. Rows of one cluster all go to one half.
    columns : mapping of str to array-like
        What slices are made of. Columns of more than eight numbers are cut into five quantile bins, labels
        into the seven most frequent and "(other)"; `bins` says otherwise.
    gap : bool
        Judge the difference to all other rows instead of the value.
    loss : array-like of float, optional
        The row's losses to search by, where the metric has none.
    depth : int
        Combinations of up to so many columns, 1 to 3.
    share_to_search : float
        Of the rows (of the clusters, where there are some).
    top : int
        How many slices are found and judged. Rows of one are taken out before the next is looked for, so that
        neighbors that only share rows with a weak slice are not found as well.
    min_rows : int
        Fewest rows of a slice in the half that is searched.
    burden : {"violation", "compliance"}
        "violation": a slice fails if the other half proves it too weak, after Holm's correction over the
        slices found. "compliance": each of them has to prove that it keeps the limit.
    gate_id, confidence_level, seed : str, float, int
        As for `at_least`; the seed also splits the rows.

    Returns
    -------
    Evidence
        A measurement of each found slice on the rows that were not searched. If no slice is weaker than the
        rest, all those rows are judged; if none has `min_rows` rows, the evidence has no value.

    Raises
    ------
    InputError
        As for `at_least`; for no columns, and for a metric without a loss of single rows.
    """
    name, known = resolved(metric)
    checked_level(confidence_level)
    criterion = _criterion(name, known, limit, checked_burden(burden), gap=gap)
    levels = levels_of(columns, sample.n_rows, bins=bins, cut=True)
    if not levels:
        raise InputError("no columns are given to make slices of")
    searched = _split(sample, share_to_search, seed)
    result = _search(name, known, sample, levels, searched, loss, depth=depth, min_rows=min_rows, top=top)
    judged = list(_confirmed(known, sample, levels, ~searched, result, seed, gap=gap, min_rows=min_rows))
    criteria = [replace(criterion, group=item.group) for item in judged]
    better = known.higher_is_better and not gap
    measurements = [
        measurement(
            criterion.metric,
            item.estimate,
            criteria=[criterion_of],
            n_samples=item.rows,
            confidence_level=confidence_level,
            higher_is_better=better,
            unit=known.unit,
            group=item.group,
            note=item.note,
        )
        for item, criterion_of in zip(judged, criteria, strict=True)
    ]
    alarm = criterion.burden is Burden.VIOLATION
    level = bonferroni_level(confidence_level, len(judged)) if alarm else confidence_level
    together = simultaneous_bounds([item.estimate for item in judged], confidence_level)
    table: list[JsonValue] = [
        {
            "group": _label(levels, weak),
            "rows_searched": weak.rows,
            "loss_searched": weak.mean,
            "z_searched": weak.z,
            "rows": item.rows,
            "value": item.estimate.value,
            "simultaneous_lower": ends[0],
            "simultaneous_upper": ends[1],
            "detectable_gap": shown_by(item.estimate, level),
        }
        for weak, item, ends in zip(result.found, judged, together, strict=False)
    ]
    details: dict[str, JsonValue] = {
        "split": "rows" if sample.design.clusters is None else "clusters",
        "rows_searched": int(np.count_nonzero(searched)),
        "rows_judged": int(np.count_nonzero(~searched)),
        "slices_searched": result.candidates,
        "depth": depth,
        "min_rows": min_rows,
        "slice_table": table,
    }
    if any(column.edges for column in levels):
        details["bins"] = edges_table(levels)
    return evidence(gate_id, measurements, criteria, seed=seed, details=details)


def _criterion(name: str, metric: Metric, limit: float, burden: Burden, *, gap: bool) -> Criterion:
    if not gap:
        return directed(name, metric, limit, 0.0, burden)
    limit = checked_number(limit, name=f"{name}: the limit")
    if not (math.isfinite(limit) and limit >= 0):
        raise InputError(f"a gap is a finite number of at least 0, got {limit!r}")
    return Criterion(metric=f"{name}_gap", comparison=Comparison.AT_MOST, limit=limit, burden=burden)


def _split(sample: Sample, share: float, seed: int) -> Mask:
    """Return which rows are searched."""
    if not 0 < share < 1:
        raise InputError(f"share_to_search must lie between 0 and 1, got {share!r}")
    rng, clusters = np.random.default_rng(seed), sample.design.clusters
    units = sample.n_rows if clusters is None else int(np.max(clusters, initial=-1)) + 1
    chosen = np.zeros(units, dtype=np.bool_)
    chosen[rng.permutation(units)[: round(units * share)]] = True
    return chosen if clusters is None else chosen[clusters]


def _search(
    name: str,
    metric: Metric,
    sample: Sample,
    levels: Sequence[Levels],
    searched: Mask,
    loss: npt.ArrayLike | None,
    *,
    depth: int,
    min_rows: int,
    top: int,
) -> Search:
    # The losses are those of the searched rows alone: ranks must not know the rows that judge.
    losses = row_losses(name, metric, sample.subset(searched), _given(loss, searched))
    weights = None if sample.weights is None else sample.weights[searched]
    used = slice(None) if losses.used is None else losses.used
    varied = [place for place, column in enumerate(levels) if len(column.names) > 1]
    result = search(
        [levels[place].codes[searched][used] for place in varied],
        [len(levels[place].names) for place in varied],
        losses.values[used],
        weights=None if weights is None else weights[used],
        depth=depth,
        min_rows=min_rows,
        top=top,
    )
    found = (replace(weak, columns=tuple(varied[place] for place in weak.columns)) for weak in result.found)
    return replace(result, found=tuple(found))


def _given(loss: npt.ArrayLike | None, searched: Mask) -> npt.NDArray[np.float64] | None:
    if loss is None:
        return None
    values = as_numbers(loss, name="loss")
    if values.shape != searched.shape:
        raise InputError(
            f"loss must be one number for each of the {searched.size:,} rows, got {values.shape}"
        )
    return values[searched]


def _label(levels: Sequence[Levels], weak: Weak) -> str:
    pairs = zip(weak.columns, weak.levels, strict=True)
    return " & ".join(levels[column].label(level) for column, level in pairs)


def _confirmed(
    metric: Metric,
    sample: Sample,
    levels: Sequence[Levels],
    rest: Mask,
    result: Search,
    seed: int,
    *,
    gap: bool,
    min_rows: int,
) -> Iterator[_Judged]:
    """Yield what is judged of each found slice, on the rows that were not searched."""

    def measured(rows: Mask) -> Estimate:
        return metric.measure(sample.subset(rows), seed).estimate

    for weak in result.found:
        inside = rest.copy()
        for column, level in zip(weak.columns, weak.levels, strict=True):
            inside &= levels[column].codes == level
        estimate = measured(inside)
        if gap:
            others = measured(rest & ~inside)
            pair = (others, estimate) if metric.higher_is_better else (estimate, others)
            estimate = difference(*pair)
        yield _Judged(group=_label(levels, weak), estimate=estimate, rows=int(np.count_nonzero(inside)))
    if result.found:
        return
    rows = int(np.count_nonzero(rest))
    if result.candidates == 0:
        told = f"no slice has {min_rows} rows to be searched in"
        yield _Judged(group=None, estimate=not_estimable("none", told), rows=rows)
    elif gap:
        none = Estimate(value=0.0, method="none", bounds=lambda *_: (None, None))
        yield _Judged(group=None, estimate=none, rows=rows, note="no slice is weaker than the rest")
    else:
        told = "no slice is weaker than the rest: these are all rows that were not searched"
        yield _Judged(group=None, estimate=measured(rest), rows=rows, note=told)
