"""Two tables -> Evidence of how well a classifier tells their rows apart, over all columns at once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.expressions import Kind
from pytest_prodml.checks.counts import exact
from pytest_prodml.checks.data.columns import choose, sizes_of
from pytest_prodml.checks.evidence import checked_burden, evidence, measurement
from pytest_prodml.checks.labels import checked_number
from pytest_prodml.checks.overlap.columns import shared_column
from pytest_prodml.checks.two_sample import MOST_LEVELS, MOST_ROWS, told_apart
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue
from pytest_prodml.statistics.design import design_of
from pytest_prodml.statistics.estimate import Bounds, Estimate, checked_level

_METRIC = "adversarial_auc"
_CHANCE = 0.5
_MOST_LISTED = 50


def no_joint_drift(
    reference: Table,
    current: Table,
    *,
    at_most: float = 0.6,
    columns: Collection[str] | None = None,
    ignore: Collection[str] = (),
    entity: str | None = None,
    burden: str = "compliance",
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a classifier can hardly tell current rows from those of the reference.

    Finds what no column shows by itself: columns that no longer go together as they did. The classifier is
    trained on four fifths of the rows and judged on the fifth it has not seen (classifier two-sample test;
    Lopez-Paz, Oquab 2017), with all rows of an entity in one fold; see `checks.two_sample.told_apart`.

    Parameters
    ----------
    reference, current : Table
        What the model was made from, and what it meets.
    at_most : float
        The margin, an area under the ROC curve of at least 0.5 (chance): 0.6 is what one normal column that
        moved by 0.36 standard deviations gives by itself.
    columns, ignore : collection of str
        Use these only; leave these out. Time stamps are left out unless `columns` names them.
    entity : str, optional
        The column that says whose row it is. It is no input of the classifier.
    burden, gate_id, confidence_level, seed
        Common to all checks. The seed is of the sample, the folds and the classifier.

    Returns
    -------
    Evidence
        ``adversarial_auc`` with one-sided bounds, and the exact counts ``missing_columns`` and
        ``retyped_columns``. ``details["sample"]`` says how many rows of each table were drawn (at most
        10,000) out of how many, and with which seed.

    Raises
    ------
    InputError
        If a table is empty, a named column is missing or can not be compared, no column is left, or the limit
        lies below 0.5 or above 1.

    Notes
    -----
    Of few rows, classifiers learn what is the other way round in the fifth they are judged on, and the area
    lies below chance. That shows no likeness: the upper bound then is the one around 0.5.

    The bounds are about the classifiers of these folds: one trained on more rows, or a better one, may
    find more. An upper bound within the margin therefore is a claim about this classifier, not about all.
    """
    checked_level(confidence_level)
    limit = checked_number(at_most, name="at_most")
    if not _CHANCE <= limit <= 1:
        raise InputError(f"at_most must lie between 0.5 (chance) and 1, got {limit!r}", hint="an area")
    asked = checked_burden(burden)
    chosen = choose(reference, current, columns, ignore, {}, entity)
    sizes = sizes_of(reference, current, chosen.names, entity)
    wanted = [*chosen.names, *([entity] if entity else [])]
    rows = [table.engine.sample(wanted, most=MOST_ROWS, seed=seed) for table in (reference, current)]
    known = reference.engine.columns()
    read = [
        shared_column(name, *(_cells(side[name], text=known[name].kind is Kind.BOOLEAN) for side in rows))
        for name in chosen.names
    ]
    skipped = [
        column.name for column in read if not column.is_number and np.unique(column.values).size > MOST_LEVELS
    ]
    used = [column for column in read if column.name not in skipped]
    if not used:
        raise InputError(
            f"no column is left to tell rows by: texts with more than {MOST_LEVELS} values are not read",
            where=reference.where,
        )
    groups = None if entity is None else np.concatenate([_labels(side[entity]) for side in rows])
    total = sum(len(side) for side in rows)
    design = design_of(total, groups=groups)
    estimate = _not_below_chance(told_apart(used, design, seed=seed, names=(reference.name, current.name)))
    criterion = Criterion(metric=_METRIC, comparison=Comparison.AT_MOST, limit=limit, burden=asked)
    measured = measurement(
        _METRIC,
        estimate,
        criteria=[criterion],
        n_samples=total,
        confidence_level=confidence_level,
        higher_is_better=False,
    )
    measurements, criteria = [measured], [criterion]
    for metric, names in (("missing_columns", chosen.gone), ("retyped_columns", chosen.retyped)):
        note = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        measurements.append(exact(metric, len(names), sizes.current, unit="columns", note=note or None))
        criteria.append(Criterion(metric=metric, comparison=Comparison.AT_MOST, limit=0, burden=asked))
    not_compared: dict[str, JsonValue] = {
        **dict(list(chosen.not_compared.items())[:_MOST_LISTED]),
        **dict.fromkeys(skipped[:_MOST_LISTED], f"a text with more than {MOST_LEVELS} values"),
    }
    details: dict[str, JsonValue] = {
        "engine": {"reference": reference.facts(), "current": current.facts()},
        "columns": [column.name for column in used[:_MOST_LISTED]],
        "sample": {
            "seed": seed,
            "reference": {"rows": len(rows[0]), "of": sizes.reference},
            "current": {"rows": len(rows[1]), "of": sizes.current},
        },
    }
    if not_compared:
        details["not_compared"] = not_compared
    found = evidence(gate_id, measurements, criteria, seed=seed, details=details)
    materials = tuple(table.material for table in (reference, current) if table.material is not None)
    return replace(found, materials=materials)


def _not_below_chance(estimate: Estimate) -> Estimate:
    """Raise the upper bound by as much as the value lies below chance."""
    missing = max(_CHANCE - (estimate.value or _CHANCE), 0.0)
    if missing == 0:
        return estimate

    def bounds(level: float, growth: float, power: float) -> Bounds:
        lower, upper = estimate.bounds(level, growth, power)
        return lower, None if upper is None else min(upper + missing, 1.0)

    return replace(estimate, bounds=bounds)


def _cells(cells: Any, *, text: bool) -> Any:  # noqa: ANN401 - pandas' series
    """Return cells as numbers or text alike on both sides: truth values with missing ones come as objects."""
    return cells.astype("float64") if text else cells


def _labels(cells: Any) -> Any:  # noqa: ANN401 - pandas' series, an array of object
    return np.asarray(cells.astype(object))
