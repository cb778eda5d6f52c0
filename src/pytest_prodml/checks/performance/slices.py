"""A metric has to keep its limit in every declared slice and in their intersections."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.evidence import checked_burden, edge, evidence, measurement
from pytest_prodml.checks.labels import same_length
from pytest_prodml.checks.metrics.levels import Bins, Levels, levels_of
from pytest_prodml.checks.metrics.limit import (
    check_asks_something,
    check_has_a_better_side,
    check_margin,
    checked_limit,
    measure,
    resolved,
)
from pytest_prodml.checks.metrics.losses import RowLosses, row_losses
from pytest_prodml.checks.metrics.registry import Metric
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError
from pytest_prodml.records import Burden, Comparison, Criterion, Evidence, JsonValue
from pytest_prodml.statistics.estimate import POWER, Bounds, Estimate, checked_level
from pytest_prodml.statistics.intervals import proportion
from pytest_prodml.statistics.simultaneous import (
    bonferroni_level,
    overlap_correlation,
    simultaneous_bounds,
)
from pytest_prodml.statistics.sufficient import Codes

Mask = npt.NDArray[np.bool_]

#: More slices than this are no declaration any more: search them with `weakest_slices`.
MOST_SLICES = 300
_SHOWN = 50
_MOST_CONTRIBUTIONS = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A part of the rows, such as ``sex=female & age=[25, 35)``, and which rows they are."""

    group: str
    rows: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """One column or mask: the slice of each row, and how each is called (None: not a slice)."""

    labels: tuple[str | None, ...]
    codes: Codes


def slices(
    metric: str | Metric,
    limit: float,
    sample: Sample,
    columns: Mapping[str, npt.ArrayLike] | None = None,
    *,
    masks: Mapping[str, npt.ArrayLike] | None = None,
    bins: Mapping[str, Bins] | None = None,
    depth: int = 2,
    min_rows: int | None = None,
    margin: float = 0.0,
    burden: str = "compliance",
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Measure a metric in every declared slice, and hold each against the limit.

    Parameters
    ----------
    metric : str or Metric
        A name of `METRICS`, or a metric of your own.
    limit : float
        A floor for scores, a ceiling for losses.
    sample : Sample
        The truth and the model's answers; weights and clusters count in every slice.
    columns : mapping of str to array-like, optional
        Every value of every column is a slice.
    masks : mapping of str to array-like of bool, optional
        Slices by name.
    bins : mapping of str to int or sequence of float, optional
        For columns of more than eight numbers: how many quantile bins (at most 8), or the edges between
        bins. Edges are written into the evidence.
    depth : int
        Intersections of up to so many columns or masks are slices too. Combinations without any row are no
        slices.
    min_rows : int, optional
        Slices with fewer rows are listed and not judged. Without it, none is left out: one that is too
        small to decide stays undecided, and so does the gate.
    margin : float
        Loosens the limit.
    burden : {"compliance", "violation"}
        "compliance": every slice has to prove that it keeps the limit; that is an intersection-union test, so
        each is judged at the full level. "violation": a slice fails if it is proven to break the limit,
        after Holm's correction over all of them.
    gate_id, confidence_level, seed : str, float, int
        As for `at_least`.

    Returns
    -------
    Evidence
        A measurement of all rows, without a limit, and one of each slice. The details hold for each slice
        (the 50 weakest) bounds that hold for all slices together, and the smallest distance from the limit
        that a slice of its size would have shown with 90 % probability: a silent slice is not a good one.

    Raises
    ------
    InputError
        As for `at_least`; for more than 300 slices; for columns of numbers without bins.
    """
    name, known = resolved(metric)
    checked_level(confidence_level)
    criterion = directed(name, known, limit, margin, checked_burden(burden))
    levels = levels_of(columns or {}, sample.n_rows, bins=bins, cut=False)
    if min_rows is not None and min_rows < 1:
        raise InputError(f"min_rows must be at least 1, got {min_rows!r}")
    found: list[Slice] = []
    small: list[JsonValue] = []
    empty = 0
    for part in declared(levels, masks or {}, sample.n_rows, depth):
        rows = int(np.count_nonzero(part.rows))
        if rows == 0 and " & " in part.group:
            empty += 1
        elif min_rows is not None and rows < min_rows:
            small.append({"group": part.group, "rows": rows})
        else:
            found.append(part)
        if len(found) > MOST_SLICES:
            raise InputError(
                f"more than {MOST_SLICES} slices: too many to be declared",
                hint="lower depth, take fewer bins, or search with weakest_slices",
            )
    estimates = [measure(known, sample.subset(part.rows), seed).estimate for part in found]
    criteria = [_for(criterion, part.group) for part in found]
    whole = known.measure(sample, seed)
    measurements = [
        measurement(
            name,
            whole.estimate,
            n_samples=sample.n_rows,
            confidence_level=confidence_level,
            higher_is_better=known.higher_is_better,
            unit=known.unit,
        ),
        *(
            measurement(
                name,
                estimate,
                criteria=[judged],
                n_samples=int(np.count_nonzero(part.rows)),
                confidence_level=confidence_level,
                higher_is_better=known.higher_is_better,
                unit=known.unit,
                group=part.group,
            )
            for part, estimate, judged in zip(found, estimates, criteria, strict=True)
        ),
    ]
    losses = _known_losses(name, known, sample)
    together = simultaneous_bounds(
        estimates, confidence_level, correlation=_correlation(found, losses, sample), seed=seed
    )
    details: dict[str, JsonValue] = {
        "slices": len(found),
        "depth": depth,
        "empty_intersections": empty,
        "slice_table": _table(found, estimates, together, criterion, losses, sample, confidence_level),
    }
    if any(column.edges for column in levels):
        details["bins"] = edges_table(levels)
    if min_rows is not None:
        details["min_rows"] = min_rows
        details["below_min_rows"] = len(small)
        details["below_min_rows_table"] = small[:_SHOWN]
    return evidence(gate_id, measurements, criteria, seed=seed, details=details)


def directed(name: str, metric: Metric, limit: float, margin: float, burden: Burden) -> Criterion:
    """Return the limit as a floor for scores and as a ceiling for losses."""
    check_has_a_better_side(name)
    check_margin(metric, margin)
    criterion = Criterion(
        metric=name,
        comparison=Comparison.AT_LEAST if metric.higher_is_better else Comparison.AT_MOST,
        limit=checked_limit(name, metric, limit),
        margin=float(margin),
        burden=burden,
    )
    check_asks_something(metric, criterion)
    return criterion


def declared(
    levels: Sequence[Levels], masks: Mapping[str, npt.ArrayLike], n_rows: int, depth: int
) -> Iterator[Slice]:
    """Yield the slices of the columns and masks, then the intersections of two of them, and so on."""
    cuts = [_Cut(labels=tuple(map(c.label, range(len(c.names)))), codes=c.codes) for c in levels]
    for name, values in masks.items():
        mask = np.asarray(values)
        if mask.dtype != np.bool_ or mask.ndim != 1:
            raise InputError(f"must be true or false for each row, got {mask.dtype}", where=f"mask {name}")
        same_length(y_true=n_rows, **{str(name): mask.size})
        cuts.append(_Cut(labels=(None, str(name)), codes=mask.astype(np.intp)))
    if not cuts:
        raise InputError("no slices are declared: give columns or masks")
    if depth < 1:
        raise InputError(f"depth must be at least 1, got {depth!r}")
    for size in range(1, min(depth, len(cuts)) + 1):
        for chosen in itertools.combinations(cuts, size):
            yield from _intersections(chosen)


def _intersections(chosen: Sequence[_Cut]) -> Iterator[Slice]:
    fused = np.zeros(chosen[0].codes.size, dtype=np.intp)
    for cut in chosen:
        fused = fused * len(cut.labels) + cut.codes
    for cell, labels in enumerate(itertools.product(*(cut.labels for cut in chosen))):
        told = [label for label in labels if label is not None]
        if len(told) == len(labels):
            yield Slice(group=" & ".join(told), rows=fused == cell)


def edges_table(levels: Sequence[Levels]) -> list[JsonValue]:
    """Return the edges of columns that were cut into bins, as a table."""
    return [
        {"column": column.attribute, "edges": ", ".join(map(repr, column.edges))}
        for column in levels
        if column.edges
    ]


def _for(criterion: Criterion, group: str) -> Criterion:
    return Criterion(
        metric=criterion.metric,
        comparison=criterion.comparison,
        limit=criterion.limit,
        margin=criterion.margin,
        burden=criterion.burden,
        group=group,
    )


def _known_losses(name: str, metric: Metric, sample: Sample) -> RowLosses | None:
    """Return the losses whose mean the metric is; None for other metrics."""
    try:
        losses = row_losses(name, metric, sample)
    except InputError:
        return None
    return losses if losses.is_metric else None


def _correlation(
    found: Sequence[Slice], losses: RowLosses | None, sample: Sample
) -> npt.NDArray[np.float64] | None:
    """Return how the errors of the slices go together; None where it is not known, or too large."""
    clusters = sample.design.clusters
    units = sample.n_rows if clusters is None else int(np.max(clusters, initial=-1)) + 1
    if losses is None or not found or units * len(found) > _MOST_CONTRIBUTIONS:
        return None
    weights = np.ones(sample.n_rows) if sample.weights is None else sample.weights
    contributions = np.zeros((units, len(found)))
    for place, part in enumerate(found):
        w = weights * part.rows if losses.used is None else weights * (part.rows & losses.used)
        mean = float(w @ losses.values) / max(float(w.sum()), 1e-300)
        row = w * (losses.values - mean)
        contributions[:, place] = (
            row if clusters is None else np.bincount(clusters, weights=row, minlength=units)
        )
    return overlap_correlation(contributions)


def _table(
    found: Sequence[Slice],
    estimates: Sequence[Estimate],
    together: Sequence[Bounds],
    criterion: Criterion,
    losses: RowLosses | None,
    sample: Sample,
    confidence_level: float,
) -> list[JsonValue]:
    """Return what each slice could show, the weakest first and those without a value before all."""
    alarm = criterion.burden is Burden.VIOLATION
    level = bonferroni_level(confidence_level, len(found)) if alarm else confidence_level
    sign = 1 if criterion.comparison is Comparison.AT_LEAST else -1
    rows: list[tuple[float, JsonValue]] = []
    for part, estimate, (lower, upper) in zip(found, estimates, together, strict=True):
        exact = losses is not None and losses.is_error and sample.design.is_simple
        if exact and losses is not None:
            counted = part.rows if losses.used is None else part.rows & losses.used
            gap = _shown_by_counts(int(np.count_nonzero(counted)), criterion, level)
        else:
            gap = shown_by(estimate, level)
        rows.append(
            (
                -math.inf if estimate.value is None else sign * estimate.value,
                {
                    "group": part.group,
                    "rows": int(np.count_nonzero(part.rows)),
                    "value": estimate.value,
                    "simultaneous_lower": lower,
                    "simultaneous_upper": upper,
                    "detectable_gap": gap,
                },
            )
        )
    return [row for _, row in sorted(rows, key=lambda item: item[0])[:_SHOWN]]


def shown_by(estimate: Estimate, level: float) -> float | None:
    """Return the distance from a limit that as many rows would show with 90 % probability; None: none.

    The wider side of the bounds that are reached with that power.
    """
    if estimate.value is None:
        return None
    lower, upper = estimate.bounds(level, 1.0, POWER)
    sides = [abs(end - estimate.value) for end in (lower, upper) if end is not None and math.isfinite(end)]
    return max(sides, default=None)


def _shown_by_counts(rows: int, criterion: Criterion, level: float) -> float | None:
    """Return by how much a share must miss its limit to be accused with 90 % probability; None: never."""
    floor = edge(criterion) if criterion.comparison is Comparison.AT_LEAST else 1 - edge(criterion)

    def accused(share: float) -> bool:
        _, upper = proportion(share * rows, rows).bounds(level, 1.0, POWER)
        return upper is not None and upper < floor

    if rows == 0 or floor <= 0 or not accused(0.0):
        return None
    low, high = 0.0, floor
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if accused(middle) else (low, middle)
    return floor - low
