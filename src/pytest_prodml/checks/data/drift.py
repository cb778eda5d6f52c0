"""Two tables -> Evidence of how far each column moved, against a margin that says how far it may."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.checks.counts import check_share, exact
from pytest_prodml.checks.data.columns import Chosen, choose, sizes_of
from pytest_prodml.checks.data.distances import Moved, categories, numbers
from pytest_prodml.checks.data.summaries import Summary, summarized
from pytest_prodml.checks.evidence import checked_burden, evidence, measurement
from pytest_prodml.errors import InputError
from pytest_prodml.records import Burden, Comparison, Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import Bounds, Estimate, checked_level

#: How far a column may move where the check does not say: the measures are not comparable with each other.
DEFAULT_LIMITS: Mapping[str, float] = MappingProxyType(
    {
        "kolmogorov_smirnov": 0.1,
        "wasserstein": 0.05,
        "total_variation": 0.1,
        "population_stability_index": 0.2,
        "jensen_shannon": 0.02,
    }
)

_MOST_SHOWN = 6
_MOST_LISTED = 50


def no_drift(
    reference: Table,
    current: Table,
    *,
    limits: float | Mapping[str, float] | None = None,
    measures: Mapping[str, str] | None = None,
    columns: Collection[str] | None = None,
    ignore: Collection[str] = (),
    summaries: Mapping[str, Summary] | None = None,
    missing_at_most: float = 0.05,
    entity: str | None = None,
    burden: str = "compliance",
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that no column moved further than a margin from where it was.

    Each column's distance is measured with one-sided bounds. It passes when the upper bound lies within the
    margin, fails when the lower bound lies beyond it, and is inconclusive between: a shift that does not
    matter is no alarm however many rows show it, and a few rows never prove that nothing happened.

    Parameters
    ----------
    reference, current : Table
        What the model was made from, and what it meets.
    limits : float or mapping of str to float, optional
        The margin of all columns, or of single ones (a name ending in ``*`` stands for all that begin so);
        default by measure, `DEFAULT_LIMITS`.
    measures : mapping of str to str, optional
        How a column is compared: ``kolmogorov_smirnov`` (numbers; the default), ``wasserstein`` (numbers, in
        quantiles of the reference), ``total_variation`` (categories; the default),
        ``population_stability_index`` or ``jensen_shannon`` (both; numbers in tenths of the reference).
    columns, ignore : collection of str
        Compare these only; leave these out. Time stamps move by their nature and are only compared where
        `columns` or `measures` names them.
    summaries : mapping of str to callable, optional
        For columns of text, images or nested cells: a function from a pandas Series of the cells that are not
        missing to one number, or a row of numbers (an embedding), for each. The numbers are compared as
        columns ``"name[0]"``, ``"name[1]"`` ... ; limits and measures may also name the column itself. Of
        more than 20,000 rows a random sample is drawn, which ``details["summaries"]`` tells.
    missing_at_most : float
        By how much the share of missing cells of a column may change, up or down.
    entity : str, optional
        The column that says whose row it is. Rows of one entity are not independent: bounds then count the
        rows as if those of an entity were copies of each other, which is the worst case.
    burden, gate_id, confidence_level, seed
        Common to all checks. The seed is of the sample that cells of large tables are made from.

    Returns
    -------
    Evidence
        For each column one measurement of its distance and one of ``missing_share_change`` (current minus
        reference), and the exact counts ``missing_columns`` and ``retyped_columns``. Lower bounds of
        distances hold for all columns at once (Bonferroni), so that one true column among many raises no
        alarm; for upper bounds every column has to pass, which needs no correction.

    Raises
    ------
    InputError
        If a table is empty, a named column is missing, a limit or measure does not exist, or a column cannot
        be compared (nested or mixed cells, a text that nearly every row has to itself).
    """
    checked_level(confidence_level)
    check_share(missing_at_most, "missing_at_most")
    asked_burden = checked_burden(burden)
    chosen = choose(reference, current, columns, ignore, measures or {}, entity, summaries or ())
    asked = {name: function for name, function in (summaries or {}).items() if name not in chosen.gone}
    sizes = sizes_of(reference, current, (*chosen.names, *asked), entity)
    moved = [
        *categories(reference, current, chosen, sizes),
        *numbers(reference, current, chosen, sizes, seed),
    ]
    order = {name: place for place, name in enumerate(chosen.names)}
    moved.sort(key=lambda item: order[item.name])
    of_summaries, told_of_summaries = summarized(reference, current, asked, measures or {}, sizes, seed)
    moved += of_summaries
    measurements, criteria = [], []
    for item in moved:
        limit = _limit(item, limits)
        criterion = Criterion(
            metric=item.measure,
            comparison=Comparison.AT_MOST,
            limit=limit,
            group=item.name,
            burden=asked_burden,
        )
        family = 1 if asked_burden is Burden.VIOLATION else len(moved)
        measurements.append(_distance(item, criterion, family, confidence_level))
        criteria.append(criterion)
        if item.missing is None:
            continue
        group = item.of or item.name
        pair = [
            Criterion(metric=_MISSING, comparison=side, limit=edge, group=group, burden=asked_burden)
            for side, edge in ((Comparison.AT_MOST, missing_at_most), (Comparison.AT_LEAST, -missing_at_most))
        ]
        measurements.append(
            measurement(
                _MISSING,
                for_family(item.missing, family, both=True),
                criteria=pair,
                n_samples=min(sizes.reference, sizes.current),
                confidence_level=confidence_level,
                group=group,
            )
        )
        criteria += pair
    for metric, names in ((_GONE, chosen.gone), (_RETYPED, chosen.retyped)):
        told = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        measurements.append(exact(metric, len(names), sizes.current, unit="columns", note=told or None))
        criteria.append(Criterion(metric=metric, comparison=Comparison.AT_MOST, limit=0, burden=asked_burden))
    found = evidence(
        gate_id,
        measurements,
        criteria,
        seed=seed,
        details=_details(moved, chosen, reference, current)
        | ({"summaries": told_of_summaries} if told_of_summaries else {}),
    )
    materials = tuple(table.material for table in (reference, current) if table.material is not None)
    return replace(found, materials=materials)


_MISSING = "missing_share_change"
_GONE = "missing_columns"
_RETYPED = "retyped_columns"


def _limit(item: Moved, limits: float | Mapping[str, float] | None) -> float:
    """Return the margin of a column: by its name, the summarized column's, or the longest beginning."""
    given: Any = limits
    if isinstance(limits, Mapping):
        name = item.name
        fitting = [
            key
            for key in limits
            if key in {name, item.of} or (key.endswith("*") and name.startswith(key[:-1]))
        ]
        best = max(fitting, key=lambda key: (key == name, key == item.of, len(key)), default=None)
        given = None if best is None else limits[best]
    if given is None:
        return DEFAULT_LIMITS[item.measure]
    if not isinstance(given, (int, float)) or not 0 <= given < float("inf"):
        raise InputError(f"the margin of {item.name!r} must be a number from 0 on, got {given!r}")
    return float(given)


def for_family(estimate: Estimate, size: int, *, both: bool = False) -> Estimate:
    """Make the side that accuses hold for a family of columns at once."""
    if size == 1:
        return estimate

    def bounds(level: float, growth: float, power: float) -> Bounds:
        lower, upper = estimate.bounds(1 - (1 - level) / size, growth, power)
        return lower, upper if both else estimate.bounds(level, growth, power)[1]

    side = "bounds" if both else "lower bound"
    return replace(estimate, bounds=bounds, method=f"{estimate.method}; {side} for {size} columns at once")


def _distance(item: Moved, criterion: Criterion, family: int, confidence_level: float) -> Measurement:
    return measurement(
        item.measure,
        for_family(item.estimate, family),
        criteria=[criterion],
        n_samples=item.n_rows,
        confidence_level=confidence_level,
        higher_is_better=False,
        group=item.name,
    )


def _details(
    moved: Sequence[Moved], chosen: Chosen, reference: Table, current: Table
) -> dict[str, JsonValue]:
    ranked = sorted(moved, key=lambda item: -(item.estimate.value or 0.0))
    listed: list[JsonValue] = [
        {
            "column": item.name,
            "measure": item.measure,
            "distance": item.estimate.value,
            "missing_share_change": None if item.missing is None else item.missing.value,
        }
        for item in ranked[:_MOST_LISTED]
    ]
    details: dict[str, JsonValue] = {
        "engine": {"reference": reference.facts(), "current": current.facts()},
        "columns": listed,
        "distributions": [item.shown for item in ranked[:_MOST_SHOWN] if item.shown is not None],
    }
    if chosen.not_compared:
        details["not_compared"] = dict(list(chosen.not_compared.items())[:_MOST_LISTED])
    if chosen.added:
        details["new_columns"] = list(chosen.added[:_MOST_LISTED])
    return details
