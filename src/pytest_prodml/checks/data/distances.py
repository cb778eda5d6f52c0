"""Columns of two tables -> how far each moved, value by value or, for large tables, by counts of cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.expressions import Aggregate, Histogram, Kind
from pytest_prodml.checks.data.columns import CATEGORIES, Chosen, Sizes
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue
from pytest_prodml.statistics import drift
from pytest_prodml.statistics.estimate import Estimate
from pytest_prodml.statistics.independent import difference
from pytest_prodml.statistics.intervals import proportion

#: Beyond so many rows of either table, numbers are compared by histograms instead of value by value.
MOST_VALUES = 2_000_000
_MOST_CATEGORIES = 10_000
_EDGES = 500
_EDGE_ROWS = 100_000
_BINS = 10
_SHOWN_BINS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What was found about one column: its distance, and how the share of its missing cells changed.

    `of` is the column where `name` is one of several numbers that summarize it: the first of them carries
    `missing`, the others None.
    """

    name: str
    measure: str
    estimate: Estimate
    missing: Estimate | None
    n_rows: int
    shown: dict[str, JsonValue] | None = None
    of: str | None = None


def missing_change(sizes: Sizes, name: str) -> Estimate:
    """Estimate how the share of missing cells changed: current minus reference."""
    before, after = sizes.missing[name]
    n, m = sizes.effective(sizes.reference, sizes.current)
    share = (before / sizes.reference, after / sizes.current)
    return difference(proportion(share[1] * m, m), proportion(share[0] * n, n))


def categories(reference: Table, current: Table, chosen: Chosen, sizes: Sizes) -> list[Moved]:
    """Compare the columns of categories by their counts, from one question to each table."""
    known = reference.engine.columns()
    names = [name for name in chosen.names if known[name].kind in {*CATEGORIES, Kind.EMPTY}]
    if not names:
        return []
    counted = [table.engine.value_counts(names, most=_MOST_CATEGORIES + 1) for table in (reference, current)]
    found = []
    for name in names:
        if len(counted[0][name]) > _MOST_CATEGORIES or len(counted[1][name]) > _MOST_CATEGORIES:
            raise InputError(
                f"the column {name!r} has more than {_MOST_CATEGORIES:,} different values",
                where=reference.where,
                hint="ignore it, or compare a summary of it",
            )
        before, after = dict(counted[0][name]), dict(counted[1][name])
        values = sorted({*before, *after}, key=lambda value: (-before.get(value, 0), str(value)))
        counts = [
            np.array([side.get(value, 0) for value in values], dtype=np.float64) for side in (before, after)
        ]
        estimate = _of_counts(chosen.measures[name], counts[0], counts[1], sizes)
        new = sum(after[value] for value in after if value not in before)
        if new:
            total = sum(after.values())
            estimate = replace(
                estimate, note=f"{new / total:.3g} of the current values were not there before"
            )
        found.append(
            Moved(
                name=name,
                measure=chosen.measures[name],
                estimate=estimate,
                missing=missing_change(sizes, name),
                n_rows=min(sizes.reference, sizes.current),
                shown=_shown([str(value)[:40] for value in values[:_SHOWN_BINS]], counts, name),
            )
        )
    return found


def numbers(reference: Table, current: Table, chosen: Chosen, sizes: Sizes, seed: int) -> list[Moved]:
    """Compare the columns of numbers: value by value, or for large tables by cells that one query counts."""
    known = reference.engine.columns()
    names = [name for name in chosen.names if known[name].kind not in {*CATEGORIES, Kind.EMPTY}]
    if not names:
        return []
    small = max(sizes.reference, sizes.current) <= MOST_VALUES
    edges = {} if small else _edges(reference, current, names, seed)
    counted: list[Mapping[str, Any]] = []
    if not small:
        asked: dict[str, Aggregate] = {name: Histogram(name, edges[name]) for name in names}
        counted = [table.engine.aggregate(asked) for table in (reference, current)]
    found = []
    for name in names:
        if small:
            first, second = _values(reference, name), _values(current, name)
            estimate = of_values(chosen.measures[name], first, second, sizes)
            cells = _cells(first)
            counts = [
                np.bincount(np.searchsorted(cells, side), minlength=len(cells) + 1)
                for side in (first, second)
            ]
        else:
            cells = np.asarray(edges[name])
            counts = [np.asarray(side[name]) for side in counted]
            estimate = _of_large(chosen.measures[name], counts[0], counts[1], sizes)
            cells, counts = _coarser(cells, counts)
        found.append(
            Moved(
                name=name,
                measure=chosen.measures[name],
                estimate=estimate,
                missing=missing_change(sizes, name),
                n_rows=min(sizes.reference, sizes.current),
                shown=_shown([float(edge) for edge in cells], counts, name),
            )
        )
    return found


def _values(table: Table, name: str) -> Any:  # noqa: ANN401 - an array
    values = table.engine.values([name])[name]
    if values.dtype.kind == "M":
        values = np.where(np.isnat(values), np.nan, values.astype("datetime64[us]").astype(np.int64))
    return values[~np.isnan(values)]


def _edges(reference: Table, current: Table, names: Sequence[str], seed: int) -> dict[str, tuple[float, ...]]:
    """Return ascending cells from a sample of both tables; any cells give valid bounds, good ones narrow."""
    rows = [table.engine.sample(names, most=_EDGE_ROWS, seed=seed) for table in (reference, current)]
    found = {}
    for name in names:
        pooled = np.concatenate([np.asarray(side[name].to_numpy(), dtype=np.float64) for side in rows])
        pooled = pooled[np.isfinite(pooled)]
        if not pooled.size:
            pooled = np.zeros(1)
        quantiles = np.quantile(pooled, np.linspace(0, 1, _EDGES), method="inverted_cdf")
        found[name] = tuple(float(edge) for edge in np.unique(quantiles))
    return found


def of_values(measure: str, first: Any, second: Any, sizes: Sizes) -> Estimate:  # noqa: ANN401 - arrays
    """Estimate the distance of two columns of numbers, value by value."""
    effective = sizes.effective(len(first), len(second))
    if measure == "kolmogorov_smirnov":
        return drift.kolmogorov_smirnov(first, second, n_effective=effective)
    if measure == "wasserstein":
        return drift.wasserstein(first, second, n_effective=effective)
    cells = _cells(first)
    counts = [np.bincount(np.searchsorted(cells, side), minlength=len(cells) + 1) for side in (first, second)]
    return _of_counts(measure, counts[0], counts[1], sizes)


def _cells(reference: Any) -> Any:  # noqa: ANN401 - arrays
    """Return the edges of tenths of the reference (fewer where values repeat)."""
    if len(reference) == 0:
        return np.zeros(0)
    return np.unique(np.quantile(reference, np.arange(1, _BINS) / _BINS, method="inverted_cdf"))


def _of_large(measure: str, first: Any, second: Any, sizes: Sizes) -> Estimate:  # noqa: ANN401 - arrays
    effective = sizes.effective(float(first.sum()), float(second.sum()))
    if measure == "kolmogorov_smirnov":
        return drift.kolmogorov_smirnov_of_counts(first, second, n_effective=effective)
    if measure == "wasserstein":
        raise InputError(
            f"'wasserstein' needs every value, and the tables have more than {MOST_VALUES:,} rows",
            hint="compare this column by kolmogorov_smirnov",
        )
    _, counts = _coarser(np.zeros(len(first) - 1), [first, second])
    return _of_counts(measure, counts[0], counts[1], sizes)


def _coarser(cells: Any, counts: Sequence[Any]) -> tuple[Any, list[Any]]:  # noqa: ANN401 - arrays
    """Join cells until each holds about a tenth of the reference."""
    total = np.cumsum(counts[0])
    if total[-1] == 0:
        return cells[:0], [np.array([side.sum()]) for side in counts]
    ends = np.unique(np.searchsorted(total, total[-1] * np.arange(1, _BINS) / _BINS))
    ends = ends[ends < len(cells)]
    starts = np.concatenate([[0], ends + 1]).astype(np.intp)
    return cells[ends], [np.add.reduceat(side, starts) for side in counts]


def _of_counts(measure: str, first: Any, second: Any, sizes: Sizes) -> Estimate:  # noqa: ANN401 - arrays
    function = {
        "total_variation": drift.total_variation,
        "population_stability_index": drift.population_stability_index,
        "jensen_shannon": drift.jensen_shannon,
    }[measure]
    return function(first, second, n_effective=sizes.effective(float(first.sum()), float(second.sum())))


def _shown(labels: Sequence[str | float], counts: Sequence[Any], name: str) -> dict[str, JsonValue]:
    totals = [max(float(side.sum()), 1.0) for side in counts]
    shares = [
        [float(part) / total for part in side[: _SHOWN_BINS + 1]]
        for side, total in zip(counts, totals, strict=True)
    ]
    return {"column": name, "cells": list(labels), "reference": list(shares[0]), "current": list(shares[1])}
