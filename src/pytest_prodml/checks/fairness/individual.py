"""A model and rows -> whether people who are alike are treated alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, finite_scores, subjects_of
from pytest_prodml.adapters.tables import as_frame, column, materials_of
from pytest_prodml.checks.counts import check_share, exact, plain
from pytest_prodml.checks.evidence import evidence, measurement
from pytest_prodml.checks.fairness.distances import Array, Distances, Places
from pytest_prodml.checks.people import (
    bound_to,
    checked_size,
    checked_whole,
    drawn,
    flagged_share,
    halves,
)
from pytest_prodml.checks.swaps import inputs_of, is_missing
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue
from pytest_prodml.statistics.design import design_of

if TYPE_CHECKING:
    import pandas as pd

    from pytest_prodml.checks.fairness.distances import Metric

UNLIKE = "unlike_treatment_rate"
COVERED = "rows_with_a_near_other"
#: Rows that are looked at; more are drawn from with the seed.
MOST_ROWS = 12_000
_MOST_NEIGHBOURS = 100
_MOST_SHOWN = 20
_MOST_COLUMNS = 6
#: Rows of the pool whose nearest distances say what near is, where nobody else does.
_GAUGED = 2_000


def individual(
    predictor: Predictor,
    data: Any,  # noqa: ANN401 - a Dataset or a frame
    *,
    gate_id: str,
    at_most: float,
    metric: Metric = "gower",
    columns: Sequence[str] | None = None,
    neighbours: int = 1,
    distance_at_most: float | None = None,
    lipschitz: float | None = None,
    tolerance: float = 0.0,
    ignore: Sequence[str] = (),
    threshold: float | None = None,
    redact: bool = False,
    sample_weight: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that people who are alike are treated alike.

    One half of the rows, drawn with the seed, is the pool; each row of the other half is compared with its
    nearest rows in the pool. Measures ``unlike_treatment_rate``: of the rows with a near other, the share
    that is treated unlike at least one of them.

    Parameters
    ----------
    predictor : Predictor
        The model.
    data : Dataset or frame
        Rows of the population that the claim is about.
    at_most : float
        The share of people who may be treated unlike somebody who is like them.
    metric : {"gower", "euclidean"} or callable
        How far apart two persons are. "gower": the mean over columns of the difference in rank (0 to 1) or,
        for categories, of being different. "euclidean": over standardized numbers, a mismatch counts 1. A
        function of two frames of n and m rows returns an (n, m) matrix.
    columns : sequence of str, optional
        What makes people alike; default the model's inputs.
    neighbours : int
        How many nearest rows of the pool each row is compared with, 1 to 100.
    distance_at_most : float, optional
        How far apart near rows may be. Default without `lipschitz`: the median distance of a row of the pool
        to its nearest one, so that about half of all rows have a near other; with it: any distance.
    lipschitz : float, optional
        Unlike is a score that differs by more than ``lipschitz * distance + tolerance``. Default: unlike is
        another decision, at any near distance.
    tolerance : float
        See `lipschitz`.
    ignore : sequence of str
        Columns that must not make a difference, such as sensitive ones; others of the table may be named too.
    threshold : float, optional
        The score from which the decision is positive; None takes the model's own label.
    redact : bool
        Leave the pairs that differ most out of the evidence.
    sample_weight, clusters : array-like, shape (n,), optional
        How many people a row stands for; rows of one person, which stay in one half.
    gate_id, confidence_level
        Common to all checks.
    seed : int
        Of the halves, and of the rows taken where there are more than 12,000.

    Raises
    ------
    InputError
        If a column is missing, no column is left, there are fewer than 2 rows to split, or cells can not be
        compared.

    Notes
    -----
    The individual fairness of Dwork et al. (2012) as a share of people. Pairs share rows, so pairs are not
    counted: the pool, what near means and the scales are fixed by one half, and given them the rows of the
    other half are independent trials, which makes the exact bounds of a proportion hold. They are about the
    treatment of people against this pool. A model that decides by a threshold treats some near pairs on both
    sides of it differently, however fair it is, so the limit on decisions can not be 0. Without any row that
    has a near other nothing is shown: inconclusive.
    """
    check_share(at_most)
    neighbours = checked_whole(neighbours, "neighbours", most=_MOST_NEIGHBOURS)
    tolerance = checked_size(tolerance, "tolerance")
    lipschitz = None if lipschitz is None else checked_size(lipschitz, "lipschitz")
    if distance_at_most is not None:
        distance_at_most = checked_size(distance_at_most, "distance_at_most")
    if lipschitz is None and tolerance:
        raise InputError("tolerance is about scores", hint="give lipschitz= too; 0 asks for equal scores")
    whole = as_frame(data)
    design = design_of(len(whole), sample_weight=sample_weight, groups=clusters)
    rng = np.random.default_rng(seed)
    taken = drawn(len(whole), design, MOST_ROWS, rng)
    frame, design = whole.iloc[taken], design.subset(taken)
    used = _columns(predictor, frame, columns, ignore)
    is_pool = halves(len(frame), design, rng)
    pool, rows = np.flatnonzero(is_pool), np.flatnonzero(~is_pool)
    if pool.size < 2 or rows.size == 0:
        raise InputError(
            f"{len(frame):,} rows can not be split into people and those they are compared with",
            where="individual",
            hint="at least 4 rows, of at least 2 clusters, are needed",
        )
    distances = Distances.of(frame, used, pool, metric)
    limit = distance_at_most
    if limit is None:
        limit = np.inf if lipschitz is not None else _usual(distances, pool, rng)
    treated = _treatment(predictor, frame, threshold, lipschitz)
    pairs = _Pairs.of(distances, rows, pool, neighbours, limit)
    unlike, differs = pairs.unlike(treated, lipschitz, tolerance)
    covered = pairs.is_near.any(axis=1)
    criterion = Criterion(metric=UNLIKE, comparison=Comparison.AT_MOST, limit=at_most)
    estimate = flagged_share(
        np.asarray(unlike.any(axis=1))[covered], design.subset(rows[covered]), of="rows with a near other"
    )
    told: dict[str, JsonValue] = {
        "columns": [str(name) for name in used[:50]],
        "columns_not_shown": max(len(used) - 50, 0),
        "ignored": [str(name) for name in ignore],
        "metric": distances.told,
        "neighbours": neighbours,
        "near_is_at_most": float(limit) if np.isfinite(limit) else None,
        "near_is": "given"
        if distance_at_most is not None
        else "any distance"
        if lipschitz is not None
        else "median distance of a row of the pool to its nearest",
        "unlike_is": "another decision"
        if lipschitz is None
        else f"scores further apart than {lipschitz:g} x distance + {tolerance:g}",
        "rows_compared": int(rows.size),
        "rows_in_the_pool": int(pool.size),
        "rows_not_drawn": len(whole) - len(frame),
        "rows_without_a_near_other": int((~covered).sum()),
    }
    if not redact:
        told |= _shown(frame, pairs, unlike, differs, treated, _telling(frame, used, ignore))
    note = f"of {rows.size:,} rows, each against {pool.size:,} others; {int(covered.sum()):,} have a near one"
    if len(whole) > len(frame):
        note += f"; {len(frame):,} of {len(whole):,} rows were drawn with seed {seed}"
    measured = [
        measurement(
            UNLIKE,
            estimate,
            criteria=[criterion],
            n_samples=int(covered.sum()),
            confidence_level=confidence_level,
            higher_is_better=False,
            note=note,
        ),
        exact(
            COVERED,
            float(covered.mean()),
            int(rows.size),
            method="share of the rows compared, exact",
            note="the others are like nobody in the pool; nothing is shown about them",
        ),
    ]
    made = evidence(gate_id, measured, [criterion], seed=seed, details=told)
    return bound_to(made, subjects_of(predictor), materials_of(data))


def _columns(
    predictor: Predictor, frame: pd.DataFrame, columns: Sequence[str] | None, ignore: Sequence[str]
) -> list[Any]:
    if isinstance(columns, str) or isinstance(ignore, str):
        raise InputError("columns and ignore are lists of names", hint='columns=["income"]')
    for name in [*(columns or ()), *ignore]:
        column(frame, name)
    known = list(dict.fromkeys(columns)) if columns is not None else inputs_of(predictor, frame)
    used = [name for name in known if name not in set(ignore)]
    if not used:
        raise InputError(
            "no column is left by which people could be alike",
            where="individual",
            hint="name some: columns=[...], or ignore fewer",
        )
    return used


def _usual(distances: Distances, pool: Places, rng: np.random.Generator) -> float:
    """Return the median distance of a row of the pool to its nearest other."""
    some = pool if pool.size <= _GAUGED else np.sort(rng.choice(pool, _GAUGED, replace=False))
    near, _ = distances.nearest(some, pool, 1, is_self=True)
    return float(np.median(near))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Treatment:
    """What each row gets: a decision, and a score where there is one number."""

    decisions: npt.NDArray[Any]
    scores: Array | None


def _treatment(
    predictor: Predictor, frame: pd.DataFrame, threshold: float | None, lipschitz: float | None
) -> _Treatment:
    scores = finite_scores(predictor, frame)
    single = scores if scores.ndim == 1 else None
    if single is None and (threshold is not None or lipschitz is not None):
        raise InputError(
            f"has {scores.shape[1]} classes; scores of pairs need one for each row",
            where=predictor.description,
            hint="leave lipschitz and threshold out to compare decisions",
        )
    if threshold is not None and single is not None:
        return _Treatment(decisions=single >= threshold, scores=single)
    return _Treatment(decisions=np.asarray(predictor.predict(frame)), scores=single)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """The nearest others of each row: (n, k) distances, positions, and which of them are near."""

    rows: Places
    distance: Array
    other: Places
    is_near: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, distances: Distances, rows: Places, pool: Places, neighbours: int, limit: float) -> _Pairs:
        distance, other = distances.nearest(rows, pool, neighbours)
        return cls(rows=rows, distance=distance, other=other, is_near=distance <= limit)

    def unlike(
        self, treated: _Treatment, lipschitz: float | None, tolerance: float
    ) -> tuple[npt.NDArray[np.bool_], Array]:
        """Return which near pairs are treated unlike, and how far apart their scores are."""
        scores = treated.scores
        gap = np.zeros(self.distance.shape)
        if scores is not None:
            gap = np.abs(scores[self.rows][:, None] - scores[self.other])
        if lipschitz is None:
            return self.is_near & (
                treated.decisions[self.rows][:, None] != treated.decisions[self.other]
            ), gap
        # A rounding error of the sum is no violation.
        allowed = lipschitz * self.distance + tolerance
        return self.is_near & (gap > allowed * (1 + 1e-12) + 1e-15), gap - allowed


def _shown(
    frame: pd.DataFrame,
    pairs: _Pairs,
    unlike: npt.NDArray[np.bool_],
    excess: Array,
    treated: _Treatment,
    telling: Sequence[Any],
) -> dict[str, JsonValue]:
    """Return the pairs that differ most, one for each row, and in what they differ."""
    best = np.where(unlike, excess, -np.inf).argmax(axis=1)
    at = np.arange(pairs.rows.size)
    bad = np.flatnonzero(unlike.any(axis=1))
    order = bad[np.lexsort((bad, pairs.distance[at, best][bad], -excess[at, best][bad]))][:_MOST_SHOWN]
    if order.size == 0:
        return {}
    told: list[JsonValue] = []
    for place in order.tolist():
        row, other = int(pairs.rows[place]), int(pairs.other[place, best[place]])
        one, two = frame.iloc[row], frame.iloc[other]
        unequal = [name for name in telling if not _same(one[name], two[name])]
        told.append(
            {
                "row": plain(frame.index[row]),
                "other": plain(frame.index[other]),
                "distance": float(pairs.distance[place, best[place]]),
                "score": None if treated.scores is None else float(treated.scores[row]),
                "score_of_other": None if treated.scores is None else float(treated.scores[other]),
                "decision": plain(treated.decisions[row]),
                "decision_of_other": plain(treated.decisions[other]),
                "differ_in": ", ".join(str(name) for name in unequal[:_MOST_COLUMNS])
                + (f" and {len(unequal) - _MOST_COLUMNS} more" if len(unequal) > _MOST_COLUMNS else ""),
            }
        )
    return {"pairs_treated_unlike": told, "rows_treated_unlike_not_shown": int(bad.size - order.size)}


def _telling(frame: pd.DataFrame, used: Sequence[Any], ignore: Sequence[str]) -> list[Any]:
    """Return the columns in which pairs may differ, those ignored first; an identifier always differs."""
    apart = [name for name in ignore if frame[name].astype(str).nunique() < len(frame)]
    return [*apart, *used]


def _same(first: object, second: object) -> bool:
    if is_missing(first) or is_missing(second):
        return is_missing(first) and is_missing(second)
    return bool(np.all(first == second))
