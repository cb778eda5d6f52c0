"""A model's answers on two tables -> Evidence of how far its scores and its decisions moved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.counts import check_share
from pytest_prodml.checks.data.drift import for_family
from pytest_prodml.checks.evidence import checked_burden, evidence, measurement
from pytest_prodml.checks.labels import label_column
from pytest_prodml.errors import InputError
from pytest_prodml.records import Burden, Comparison, Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.drift import kolmogorov_smirnov, total_variation
from pytest_prodml.statistics.estimate import Estimate, checked_level
from pytest_prodml.statistics.independent import difference
from pytest_prodml.statistics.intervals import proportion
from pytest_prodml.statistics.sufficient import as_numbers

_SELECTED = "selection_rate_change"
_MOST_SHOWN = 20


def no_prediction_drift(
    reference_scores: npt.ArrayLike | None,
    current_scores: npt.ArrayLike | None,
    *,
    reference_decisions: npt.ArrayLike | None = None,
    current_decisions: npt.ArrayLike | None = None,
    positive_label: bool | float | str | None = None,
    labels: Sequence[object] | None = None,
    at_most: float = 0.1,
    decisions_at_most: float = 0.05,
    reference_groups: npt.ArrayLike | None = None,
    current_groups: npt.ArrayLike | None = None,
    burden: str = "compliance",
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a model answers current rows as it answered those of the reference.

    Needs no labels: it is what can be watched before the truth is known. Answers can stay where they were
    while they become wrong, so it takes the place of no check of performance.

    Parameters
    ----------
    reference_scores, current_scores : array-like of float, shape (n,) or (n, classes), optional
        Scores or predicted numbers. Their KS distance is measured, of each class by itself.
    reference_decisions, current_decisions : array-like, shape (n,), optional
        Decided labels. With `positive_label` the change of its share is measured
        (``selection_rate_change``, current minus reference); without, the total variation of all labels.
    labels : sequence, optional
        Names of the columns of scores.
    at_most, decisions_at_most : float
        The margins of scores and of decisions, up and down.
    reference_groups, current_groups : array-like, optional
        Whose row it is: rows of one entity count as copies of each other, the worst case.
    burden, gate_id, confidence_level, seed
        Common to all checks; nothing is drawn here.

    Raises
    ------
    InputError
        If nothing is given to compare, a table has no rows, a score is not a finite number, or a label is
        missing.
    """
    checked_level(confidence_level)
    asked = checked_burden(burden)
    limit, margin = at_most, decisions_at_most
    check_share(limit, "at_most")
    check_share(margin, "decisions_at_most")
    shares = [_independent(groups) for groups in (reference_groups, current_groups)]
    found: list[tuple[str, str | None, Estimate, list[tuple[Comparison, float]], int]] = []
    details: dict[str, JsonValue] = {}
    for group, first, second in _columns(reference_scores, current_scores, labels):
        estimate = kolmogorov_smirnov(first, second, n_effective=_effective(shares, first, second))
        found.append(
            (
                "kolmogorov_smirnov",
                group,
                estimate,
                [(Comparison.AT_MOST, limit)],
                min(len(first), len(second)),
            )
        )
    if reference_decisions is not None and current_decisions is not None:
        sides = [
            label_column(values, name=name)
            for values, name in ((reference_decisions, "reference"), (current_decisions, "current"))
        ]
        for side, name in zip(sides, ("reference", "current"), strict=True):
            if side.codes.size == 0:
                raise InputError("there are no rows, so nothing about them can be shown", where=name)
        n, m = (side.codes.size for side in sides)
        known = list(dict.fromkeys([*sides[0].categories, *sides[1].categories]))
        counts = []
        for side in sides:
            of_label = dict(zip(side.categories, np.bincount(side.codes).tolist(), strict=True))
            counts.append(np.array([of_label.get(one, 0) for one in known], dtype=np.float64))
        effective = n * shares[0], m * shares[1]
        if positive_label is None:
            estimate = total_variation(*counts, n_effective=effective)
            found.append(("total_variation", None, estimate, [(Comparison.AT_MOST, margin)], min(n, m)))
        else:
            if positive_label not in known and len(known) > 1:
                raise InputError(
                    f"no decision in either table is {positive_label!r}, found {known[:10]!r}",
                    where="positive_label",
                )
            rates = [
                proportion(
                    float(count[known.index(positive_label)] if positive_label in known else 0) / size * of,
                    of,
                )
                for count, size, of in zip(counts, (n, m), effective, strict=True)
            ]
            both = [(Comparison.AT_MOST, margin), (Comparison.AT_LEAST, -margin)]
            found.append((_SELECTED, None, difference(rates[1], rates[0]), both, min(n, m)))
        details["decisions"] = {
            side: {
                str(one): float(count) / size
                for one, count in list(zip(known, of, strict=True))[:_MOST_SHOWN]
            }
            for side, of, size in zip(("reference", "current"), counts, (n, m), strict=True)
        }
    if not found:
        raise InputError("neither scores nor decisions of both tables are given")
    measurements: list[Measurement] = []
    criteria: list[Criterion] = []
    family = 1 if asked is Burden.VIOLATION else len(found)
    for metric, group, estimate, edges, size in found:
        own = [
            Criterion(metric=metric, comparison=side, limit=edge, group=group, burden=asked)
            for side, edge in edges
        ]
        measurements.append(
            measurement(
                metric,
                for_family(estimate, family, both=len(edges) > 1),
                criteria=own,
                n_samples=size,
                confidence_level=confidence_level,
                group=group,
            )
        )
        criteria += own
    return evidence(gate_id, measurements, criteria, seed=seed, details=details)


def _columns(
    reference: npt.ArrayLike | None, current: npt.ArrayLike | None, labels: Sequence[object] | None
) -> list[tuple[str | None, npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Return the columns of scores of both tables with their names."""
    if reference is None or current is None:
        return []
    sides = []
    for values, name in ((reference, "reference"), (current, "current")):
        scores = np.asarray(as_numbers(values, name=f"scores ({name})"), dtype=np.float64)
        if scores.ndim not in {1, 2}:
            raise InputError(
                f"scores must be one number or row for each row, got shape {scores.shape}", where=name
            )
        if len(scores) == 0:
            raise InputError("there are no rows, so nothing about them can be shown", where=name)
        bad = int(np.count_nonzero(~np.isfinite(scores.reshape(len(scores), -1)).all(axis=1)))
        if bad:
            raise InputError(
                f"the score is not a finite number in {bad:,} of {len(scores):,} rows", where=name
            )
        sides.append(scores.reshape(len(scores), -1))
    first, second = sides
    width = first.shape[1]
    if second.shape[1] != width or (labels is not None and len(labels) != width):
        raise InputError("both tables need scores of the same classes")
    if width == 1:
        return [(None, first[:, 0], second[:, 0])]
    names = [str(place) for place in range(width)] if labels is None else [str(label) for label in labels]
    return [(name, first[:, place], second[:, place]) for place, name in enumerate(names)]


def _independent(groups: npt.ArrayLike | None) -> float:
    """Return the independent rows behind each row if all rows of an entity were the same (Kish 1965)."""
    if groups is None:
        return 1.0
    coded = label_column(groups, name="groups")
    counts = np.bincount(coded.codes).astype(np.float64)
    return float(counts.sum() / np.square(counts).sum()) if counts.size else 1.0


def _effective(
    shares: Sequence[float], first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]
) -> tuple[float, float]:
    return len(first) * shares[0], len(second) * shares[1]
