"""Prediction intervals and sets -> evidence that they cover as often as they claim, and how wide they are.

Takes what MAPIE and other conformal libraries return. Coverage here is marginal: over the population of the
rows. A model that covers 90 % on average may still cover 60 % of one group, so judge groups that matter with
`by`, and the wide and narrow predictions apart with `by_size`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.evidence import evidence, measurement
from pytest_prodml.checks.labels import Label, classes_of, label_column, named, same_length
from pytest_prodml.checks.metrics.parts import parts
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.conformal import (
    coverage as coverage_of,
)
from pytest_prodml.statistics.conformal import (
    intervals_of,
    mean_of,
    mean_set_size,
    split_intervals,
)
from pytest_prodml.statistics.design import Design, design_of
from pytest_prodml.statistics.estimate import Estimate, checked_level
from pytest_prodml.statistics.sufficient import Codes

Rows: TypeAlias = npt.NDArray[np.bool_]

COVERAGE = "coverage"
WIDTH = "mean_width"
SCORE = "mean_interval_score"
SET_SIZE = "mean_set_size"
_STRATA = 4
_MOST_STRATA = 20


def prediction_intervals(
    y_true: npt.ArrayLike,
    lower: npt.ArrayLike,
    upper: npt.ArrayLike | None = None,
    *,
    level: int = 0,
    coverage: float = 0.9,
    at_most: float | None = None,
    margin: float = 0.0,
    mean_width_at_most: float | None = None,
    by: Mapping[str, npt.ArrayLike] | None = None,
    by_size: bool = False,
    sample_weight: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that prediction intervals cover at least as often as they claim.

    Measures ``coverage`` (exact bounds), ``mean_width`` and ``mean_interval_score`` (Winkler 1972: smaller is
    better, and no other interval has a smaller mean than the true quantiles).

    Parameters
    ----------
    y_true : array-like of float, shape (n,)
        What came true. A number on an end of its interval is covered.
    lower, upper : array-like of float, shape (n,)
        The ends; minus infinity and infinity stand for none. Or, without `upper`, both as an array of shape
        (n, 2), or (n, 2, levels) as MAPIE returns them.
    level : int
        Which of several levels to judge.
    coverage : float
        The share of rows to cover at least. Intervals that are made for exactly this share can only be
        proven to keep it less a `margin`.
    at_most : float, optional
        The share of rows to cover at most (less than 1): intervals that are needlessly wide.
    margin : float
        Loosens both limits on the coverage.
    mean_width_at_most : float, optional
        In the unit of `y_true`.
    by : mapping of str to array-like, optional
        Columns of groups: the limits on the coverage have to be kept in every group as well, each at the
        full level (intersection-union test).
    by_size : bool
        Keep the limits also for the quarter of the rows with the narrowest intervals, and for each next one.
    sample_weight, groups : array-like, optional
        Weights, and which rows belong together and are not independent.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        For crossed ends, NaN, columns of different length, a share that is none; with the positions.
    """
    del seed
    if upper is None:
        lower, upper = split_intervals(lower, level=level)
    rows = intervals_of(y_true, lower, upper)
    n = rows.y_true.size
    design = design_of(n, sample_weight=sample_weight, groups=groups)
    limits = _limits(coverage, at_most, margin)
    measured, criteria = _covered(
        rows.covered,
        design,
        limits,
        by=by,
        strata=_width_strata(rows.width) if by_size else None,
        confidence_level=confidence_level,
    )
    width_limit = _ceiling(WIDTH, mean_width_at_most, "mean_width_at_most")
    measured += [
        _loss(WIDTH, mean_of(rows.width, design), width_limit, n, confidence_level, unit="target"),
        _loss(SCORE, mean_of(rows.score(coverage), design), (), n, confidence_level, unit="target"),
    ]
    details: dict[str, JsonValue] = {
        "claimed_coverage": coverage,
        "open_ended_intervals": int(np.count_nonzero(~np.isfinite(rows.width))),
        "below_the_interval": int(np.count_nonzero(rows.y_true < rows.lower)),
        "above_the_interval": int(np.count_nonzero(rows.y_true > rows.upper)),
        "coverage_by_width": _table(rows.covered, _width_strata(rows.width), design, confidence_level),
    }
    return evidence(gate_id, measured, [*criteria, *width_limit], details=details)


def prediction_sets(
    y_true: npt.ArrayLike,
    sets: npt.ArrayLike | Sequence[Collection[Label]],
    *,
    labels: Sequence[Label] | None = None,
    level: int = 0,
    coverage: float = 0.9,
    at_most: float | None = None,
    margin: float = 0.0,
    mean_size_at_most: float | None = None,
    by: Mapping[str, npt.ArrayLike] | None = None,
    by_class: bool = False,
    by_size: bool = False,
    sample_weight: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that sets of labels hold the true one at least as often as they claim.

    Measures ``coverage`` (exact bounds) and ``mean_set_size``. An empty set covers nothing.

    Parameters
    ----------
    y_true : array-like, shape (n,)
        The true label of each row.
    sets : array-like of bool, shape (n, classes) or (n, classes, levels), or a sequence of n collections
        Which labels each set holds: an indicator for each class in the order of `labels` (as MAPIE returns
        them), or the labels themselves.
    labels : sequence of labels, optional
        All classes; by default the sorted labels of `y_true`, and those that sets given as collections hold.
    mean_size_at_most : float, optional
        How many labels a set may hold on average.
    by_class : bool
        Keep the limits on the coverage for the rows of each true class.
    by_size : bool
        Keep them for the rows with one label in their set, with two, and so on.
    level, coverage, at_most, margin, by, sample_weight, groups, gate_id, confidence_level, seed
        As for `prediction_intervals`.

    Raises
    ------
    InputError
        For an unknown or missing label, an array of another shape, anything but 0 and 1 in it.
    """
    del seed
    truth = label_column(y_true, name="y_true")
    n = truth.codes.size
    holds, classes = _indicators(sets, classes_of(truth, positive=None, labels=labels), labels, level)
    same_length(y_true=n, sets=len(holds))
    places = np.array([classes.index(label) for label in truth.categories], dtype=np.intp)
    true_class = places[truth.codes] if n else truth.codes
    covered = holds[np.arange(n), true_class]
    sizes = holds.sum(axis=1).astype(np.intp)
    design = design_of(n, sample_weight=sample_weight, groups=groups)
    strata = _strata(sizes, lambda size: f"set size={size}")
    wanted = [
        *(_strata(true_class, lambda code: f"class={classes[code]}") if by_class else []),
        *(strata if by_size else []),
    ]
    measured, criteria = _covered(
        covered,
        design,
        _limits(coverage, at_most, margin),
        by=by,
        strata=wanted,
        confidence_level=confidence_level,
    )
    size_limit = _ceiling(SET_SIZE, mean_size_at_most, "mean_size_at_most")
    estimate = mean_set_size(sizes, max(len(classes), 1), design)
    measured.append(_loss(SET_SIZE, estimate, size_limit, n, confidence_level, unit="labels"))
    details: dict[str, JsonValue] = {
        "claimed_coverage": coverage,
        "classes": len(classes),
        "empty_sets": int(np.count_nonzero(sizes == 0)),
        "full_sets": int(np.count_nonzero(sizes == len(classes))),
        "coverage_by_set_size": _table(covered, strata[:_MOST_STRATA], design, confidence_level),
    }
    return evidence(gate_id, measured, [*criteria, *size_limit], details=details)


def _limits(coverage: float, at_most: float | None, margin: float) -> list[Criterion]:
    if not 0 < coverage < 1:
        raise InputError(f"coverage must lie between 0 and 1, got {coverage!r}", hint="0.9 is usual")
    if not 0 <= margin < 1:
        raise InputError(f"the margin must be at least 0 and below 1, got {margin!r}")
    limits = [Criterion(metric=COVERAGE, comparison=Comparison.AT_LEAST, limit=coverage, margin=margin)]
    if at_most is not None:
        if not coverage <= at_most < 1:
            raise InputError(f"at_most must lie between the coverage {coverage:g} and 1, got {at_most!r}")
        limits.append(Criterion(metric=COVERAGE, comparison=Comparison.AT_MOST, limit=at_most, margin=margin))
    return limits


def _ceiling(metric: str, limit: float | None, name: str) -> tuple[Criterion, ...]:
    if limit is None:
        return ()
    if not (math.isfinite(limit) and limit > 0):
        raise InputError(f"{name} must be a positive number, got {limit!r}")
    return (Criterion(metric=metric, comparison=Comparison.AT_MOST, limit=float(limit)),)


def _covered(
    covered: Rows,
    design: Design,
    limits: Sequence[Criterion],
    *,
    by: Mapping[str, npt.ArrayLike] | None,
    strata: Sequence[tuple[str, Rows]] | None,
    confidence_level: float,
) -> tuple[list[Measurement], list[Criterion]]:
    """Measure the coverage of all rows and of each part of them; every part has to keep the limits."""
    checked_level(confidence_level)
    measured: list[Measurement] = []
    criteria: list[Criterion] = []
    for group, rows in [*parts(covered.size, by), *(strata or ())]:
        judged = [
            Criterion(
                metric=limit.metric,
                comparison=limit.comparison,
                limit=limit.limit,
                margin=limit.margin,
                group=group,
            )
            for limit in limits
        ]
        criteria += judged
        measured.append(
            measurement(
                COVERAGE,
                coverage_of(covered[rows], design.subset(rows)),
                criteria=judged,
                n_samples=int(np.count_nonzero(rows)),
                confidence_level=confidence_level,
                higher_is_better=True,
                group=group,
            )
        )
    return measured, criteria


def _loss(
    metric: str,
    estimate: Estimate,
    criteria: Sequence[Criterion],
    n_samples: int,
    confidence_level: float,
    *,
    unit: str,
) -> Measurement:
    return measurement(
        metric,
        estimate,
        criteria=criteria,
        n_samples=n_samples,
        confidence_level=confidence_level,
        higher_is_better=False,
        unit=unit,
    )


def _width_strata(width: npt.NDArray[np.float64]) -> list[tuple[str, Rows]]:
    """Return the quarters of the rows by width; equal widths stay together, so there may be fewer."""
    if width.size == 0:
        return []
    # Equal widths differ by rounding errors of their ends.
    finite = width[np.isfinite(width)]
    unit = float(np.max(finite)) * 1e-9 if finite.size and np.max(finite) > 0 else 1.0
    width = np.round(width / unit)
    edges = np.unique(np.quantile(width, np.arange(1, _STRATA) / _STRATA, method="inverted_cdf"))
    codes = np.unique(np.searchsorted(edges, width, side="left"), return_inverse=True)[1]
    if np.max(codes) == 0:
        return []
    return _strata(codes, lambda code: f"width={'narrowest' if code == 0 else f'{code + 1}.'} quarter")


def _strata(codes: Codes, name: Callable[[int], str]) -> list[tuple[str, Rows]]:
    return [(name(int(code)), np.asarray(codes == code)) for code in np.unique(codes)]


def _table(
    covered: Rows, strata: Sequence[tuple[str, Rows]], design: Design, confidence_level: float
) -> list[JsonValue]:
    table: list[JsonValue] = []
    for group, rows in strata:
        estimate = coverage_of(covered[rows], design.subset(rows))
        lower, upper = estimate.at(confidence_level)
        table.append(
            {
                "group": group,
                "rows": int(np.count_nonzero(rows)),
                COVERAGE: estimate.value,
                "lower": lower,
                "upper": upper,
            }
        )
    return table


def _indicators(
    sets: Any,  # noqa: ANN401 - an array, or a sequence of collections of labels
    classes: list[Any],
    labels: Sequence[Label] | None,
    level: int,
) -> tuple[Rows, list[Any]]:
    """Return which classes each set holds, (n, classes), and the classes."""
    if not isinstance(sets, np.ndarray) and not hasattr(sets, "__array__") and _are_collections(sets):
        return _from_collections(sets, classes, labels)
    array = np.asarray(sets)
    if array.ndim == 3 and -array.shape[2] <= level < array.shape[2]:
        array = array[:, :, level]
    if array.ndim == 1 and array.dtype == object and _are_collections(array.tolist()):
        return _from_collections(array.tolist(), classes, labels)
    if labels is None:
        classes = _sorted(classes)
    if array.ndim != 2 or array.shape[1] != len(classes):
        raise InputError(
            f"sets must hold a column for each of the {len(classes)} classes {named(classes)}, "
            f"got an array of shape {array.shape}",
            hint="name all classes in the order of the columns with labels=[...]",
        )
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise InputError("sets must hold true or false (1 or 0) for each row and class")
    return array.astype(np.bool_), classes


def _are_collections(sets: Any) -> bool:  # noqa: ANN401 - what a user gave
    """Tell sets of labels from rows of indicators: a list of lists of booleans is an array."""
    if not isinstance(sets, Sequence) or isinstance(sets, str) or not sets:
        return False
    collections = all(isinstance(held, Collection) and not isinstance(held, (str, bytes)) for held in sets)
    return collections and not all(
        isinstance(held, (list, tuple, np.ndarray))
        and len(held) == len(sets[0])
        and len(held) > 0
        and all(isinstance(item, (bool, np.bool_)) for item in held)
        for held in sets
    )


def _from_collections(
    sets: Sequence[Collection[Any]], classes: list[Any], labels: Sequence[Label] | None
) -> tuple[Rows, list[Any]]:
    known = list(classes)
    for row, held in enumerate(sets):
        for label in held:
            if label in known:
                continue
            if labels is not None:
                raise InputError(
                    f"the set holds {label!r}, the known labels are {named(known)}", where=f"row {row}"
                )
            known.append(label)
    index = {label: place for place, label in enumerate(known)}
    holds = np.zeros((len(sets), len(known)), dtype=np.bool_)
    for row, held in enumerate(sets):
        holds[row, [index[label] for label in held]] = True
    return holds, known


def _sorted(labels: list[Any]) -> list[Any]:
    try:
        return sorted(labels)
    except TypeError:
        return labels
