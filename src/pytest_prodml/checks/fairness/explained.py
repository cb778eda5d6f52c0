"""Decisions, groups and stated factors -> how much of a gap goes with the factors: evidence, no verdict.

That a factor is legitimate is the caller's statement; nothing here can show it. So the evidence has no
criteria: whatever the numbers, a gate that holds nothing else is inconclusive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.evidence import evidence, measurement
from pytest_prodml.checks.fairness.decomposition import (
    Cells,
    Clustered,
    Decomposition,
    added,
    cells_of,
    decompose,
)
from pytest_prodml.checks.fairness.outcomes import Outcomes, Strata, grouped, outcomes, strata_of
from pytest_prodml.checks.labels import Label, nearest, same_length
from pytest_prodml.checks.membership import Membership
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement
from pytest_prodml.statistics.design import design_of
from pytest_prodml.statistics.estimate import Estimate, checked_level, not_estimable
from pytest_prodml.statistics.sufficient import Codes

Array: TypeAlias = npt.NDArray[np.float64]

#: Told in the evidence and on every page that shows it.
EXPLANATION = "explanation, not a verdict: it shows what goes along with the gap, and never passes a gate"
_MOST_ROWS, _MOST_TABLES = 50, 10
_NOTE = "explanation, not judged"
#: Rows of a side below which the bounds of a linearized estimate are told to be rough.
_FEW = 50
_STANDARDS = ("average", "reference")


def gap_explained(
    metric: str,
    y_true: npt.ArrayLike | None,
    y_pred: npt.ArrayLike,
    groups: Mapping[str, npt.ArrayLike],
    factors: Mapping[str, npt.ArrayLike],
    *,
    bins: Mapping[str, Sequence[float]] | None = None,
    reference: str | None = None,
    standard: str = "average",
    favorable_label: Label = 1,
    labels: Sequence[Label] | None = None,
    sample_weight: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    gate_id: str,
    confidence_level: float = 0.95,
) -> Evidence:
    """Take the gap of each group apart: other shares of the factors' strata, or another rate within them.

    Parameters
    ----------
    metric : str
        A rate (accuracy, false_negative_rate, false_positive_rate, precision, selection_rate,
        true_negative_rate, true_positive_rate) or a mean (mean_prediction, mean_error = prediction minus
        truth, mean_absolute_error).
    y_true : array-like or None
        The truth, one label or number a row; None for selection_rate and mean_prediction.
    y_pred : array-like
        The decision of each row; for a mean the prediction or score.
    groups : mapping of str to array-like
        For each attribute the group of each row. Rows without a group form the group "(missing)".
    factors : mapping of str to array-like
        The factors that are stated to be legitimate. Strata are their joint values; rows without a value
        have the value "(missing)".
    bins : mapping of str to sequence of float, optional
        Inner edges for attributes and factors that are numbers: each band reaches from its edge up to, not
        including, the next.
    reference : str, optional
        The group that the others are compared with. Default: of two groups the larger one, of more each is
        compared with the rest.
    standard : str
        ``"average"`` of both sides (Kitagawa 1955), or ``"reference"`` (Oaxaca-Blinder with the coefficients
        of the side that a group is compared with).
    favorable_label, labels : label, sequence of labels
        What counts as selected and as positive; all labels, where `y_true` may hold only some.
    sample_weight : array-like, optional
        Weights of the rows, not negative.
    clusters : array-like, optional
        Which rows belong to one person or place; bounds then treat these as the independent units.
    gate_id, confidence_level : str, float
        The gate, and the level of each one-sided bound.

    Returns
    -------
    Evidence
        Without criteria. For each comparison ``<metric>_gap`` and its three parts, which add up to it:
        ``<metric>_gap_from_composition`` (the strata have other shares), ``<metric>_gap_within_strata``
        and ``<metric>_gap_outside_overlap`` (rows of strata that only one side has; nobody to compare them
        with). In the details a table of the strata for each comparison.

    Raises
    ------
    InputError
        For what can not be taken apart: an unknown metric or reference, no factor, a factor that is the
        attribute itself, columns of different length.
    """
    checked_level(confidence_level)
    if standard not in _STANDARDS:
        raise InputError(f"there is no standard {standard!r}", hint="average or reference")
    if not groups:
        raise InputError("no attribute to compare groups by", hint='name one: by="sex"')
    if not factors:
        raise InputError("no factor to explain the gap with", hint='state them: factors=["income_band"]')
    bins = dict(bins or {})
    unknown = [name for name in bins if name not in groups and name not in factors]
    if unknown:
        raise InputError(f"bins are given for {unknown[0]!r}, which is neither compared nor a factor")
    found = outcomes(metric, y_true, y_pred, favorable_label, labels)
    design = design_of(found.values.size, sample_weight=sample_weight, groups=clusters)
    stated = [grouped(values, str(name), bins.get(name)) for name, values in factors.items()]
    for factor in stated:
        same_length(y_pred=found.values.size, **{factor.attribute: factor.codes.size})
    strata = strata_of(stated)
    measurements: list[Measurement] = []
    details: dict[str, JsonValue] = {"explanation": EXPLANATION}
    for attribute, values in groups.items():
        column = grouped(values, str(attribute), bins.get(attribute))
        same_length(y_pred=found.values.size, **{column.attribute: column.codes.size})
        if str(attribute) in {str(name) for name in factors}:
            raise InputError(
                f"{attribute} is stated as a factor of its own gap", hint="leave it out of factors"
            )
        table = _table(column, strata, found, design.weights, design.clusters)
        pairs = _pairs(table, reference, average=standard == "average")
        told = _measured(metric, pairs, confidence_level)
        measurements += told or [_nothing(metric, table, confidence_level)]
        details[f"explanation of {metric} by {attribute}"] = _facts(table, pairs, stated, standard)
        details.update(_strata_tables(metric, pairs, strata))
    return evidence(gate_id, measurements, (), details=details)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """The cells of every group that has rows to count, by its name."""

    column: Membership
    strata: Strata
    outcomes: Outcomes
    weights: Array | None
    clusters: Codes | None
    cells: dict[int, Cells]

    @property
    def empty(self) -> list[str]:
        """Groups without a row that counts."""
        return [self.column.label(i) for i in range(len(self.column.names)) if i not in self.cells]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    label: str
    first: Cells
    second: Cells
    parts: Decomposition


def _table(
    column: Membership, strata: Strata, found: Outcomes, weights: Array | None, clusters: Codes | None
) -> _Table:
    count = len(strata.names)
    cells = {}
    for group in range(len(column.names)):
        rows = found.counted & (column.codes == group)
        w = None if weights is None else weights[rows]
        if rows.any() and (w is None or w.sum() > 0):
            cells[group] = cells_of(found.values[rows], strata.codes[rows], w, count)
    return _Table(
        column=column, strata=strata, outcomes=found, weights=weights, clusters=clusters, cells=cells
    )


def _pairs(table: _Table, reference: str | None, *, average: bool) -> list[_Pair]:
    column, cells = table.column, table.cells
    against: int | None = None
    if reference is not None:
        if str(reference) not in column.names:
            raise InputError(
                f"{column.attribute} has no group {reference!r}",
                hint=nearest(str(reference), list(column.names)),
            )
        against = column.names.index(str(reference))
    elif len(cells) == 2:
        against = max(cells, key=lambda group: (float(cells[group].rows.sum()), -group))
    if len(cells) < 2 or (against is not None and against not in cells):
        return []
    pairs = []
    for group, own in cells.items():
        if group == against:
            continue
        others = [against] if against is not None else [other for other in cells if other != group]
        second = added(cells[other] for other in others)
        rest = "the rest" if against is None else column.names[against]
        rows = _clustered(table, group, others)
        parts = decompose(own, second, average=average, is_rate=table.outcomes.is_rate, rows=rows)
        pairs.append(
            _Pair(label=f"{column.label(group)} minus {rest}", first=own, second=second, parts=parts)
        )
    return pairs


def _clustered(table: _Table, group: int, others: Sequence[int]) -> Clustered | None:
    if table.clusters is None:
        return None
    own = table.column.codes == group
    rows = table.outcomes.counted & (own | np.isin(table.column.codes, others))
    return Clustered(
        values=table.outcomes.values[rows],
        weights=None if table.weights is None else table.weights[rows],
        strata=table.strata.codes[rows],
        side=np.where(own[rows], 0, 1).astype(np.intp),
        clusters=table.clusters[rows],
    )


def _measured(metric: str, pairs: Sequence[_Pair], level: float) -> list[Measurement]:
    found = []
    for pair in pairs:
        parts: dict[str, Estimate] = {
            f"{metric}_gap": pair.parts.raw,
            f"{metric}_gap_from_composition": pair.parts.composition,
            f"{metric}_gap_within_strata": pair.parts.within,
            f"{metric}_gap_outside_overlap": pair.parts.outside_overlap,
        }
        sizes = [int(side.rows.sum()) for side in (pair.first, pair.second)]
        few = f"; {min(sizes)} rows on one side: bounds are rough" if min(sizes) < _FEW else ""
        found += [
            measurement(
                name,
                part,
                n_samples=sum(sizes),
                confidence_level=level,
                group=pair.label,
                note=_NOTE + few,
            )
            for name, part in parts.items()
        ]
    return found


def _nothing(metric: str, table: _Table, level: float) -> Measurement:
    told = f"there are no two groups with {table.outcomes.counted_are} to compare"
    if table.empty:
        told += f"; without any: {', '.join(table.empty[:4])}"
    return measurement(
        f"{metric}_gap",
        not_estimable("decomposition", told),
        n_samples=int(table.outcomes.counted.sum()),
        confidence_level=level,
        group=table.column.attribute,
        note=_NOTE,
    )


def _facts(
    table: _Table, pairs: Sequence[_Pair], stated: Sequence[Membership], standard: str
) -> dict[str, JsonValue]:
    return {
        "is": EXPLANATION,
        "factors": [factor.attribute for factor in stated],
        "factors_are_legitimate": "as stated by the test; not shown by these numbers",
        "standard": "average of both sides (Kitagawa)"
        if standard == "average"
        else "the side compared with (Oaxaca-Blinder)",
        "strata": len(table.strata.names),
        "rows_counted": table.outcomes.counted_are,
        "weighted": table.weights is not None,
        "clusters": table.clusters is not None,
        "groups_without_rows": list(table.empty[:_MOST_TABLES]),
        "outside_overlap": {
            pair.label: " and ".join(f"{share:.1%}" for share in pair.parts.outside)
            for pair in pairs[:_MOST_TABLES]
            if max(pair.parts.outside) > 0
        },
        "holds_for": "rows of strata that both sides have"
        if any(max(pair.parts.outside) > 0 for pair in pairs)
        else "all rows",
    }


def _strata_tables(metric: str, pairs: Sequence[_Pair], strata: Strata) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for pair in pairs[:_MOST_TABLES]:
        order = np.argsort(-(pair.first.rows + pair.second.rows), kind="stable")
        order = order[(pair.first.rows + pair.second.rows)[order] > 0]
        found[f"strata of {metric}, {pair.label}"] = [
            {
                "stratum": strata.names[i],
                "rows": int(pair.first.rows[i]),
                "rows_compared_with": int(pair.second.rows[i]),
                "share": float(pair.first.share[i]),
                "share_compared_with": float(pair.second.share[i]),
                "value": float(pair.first.mean[i]) if pair.first.weight[i] > 0 else None,
                "value_compared_with": float(pair.second.mean[i]) if pair.second.weight[i] > 0 else None,
                "compared": bool(pair.parts.overlapping[i]),
            }
            for i in order[:_MOST_ROWS].tolist()
        ]
        if order.size > _MOST_ROWS:
            found[f"strata left out of the table, {pair.label}"] = int(order.size - _MOST_ROWS)
    if len(pairs) > _MOST_TABLES:
        found["comparisons without a table of strata"] = len(pairs) - _MOST_TABLES
    return found
