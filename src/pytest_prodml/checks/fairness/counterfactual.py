"""A model and rows -> what becomes of a person's decision and score when only who they are changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, finite_scores, subjects_of
from pytest_prodml.adapters.tables import as_frame, column, materials_of
from pytest_prodml.checks.counts import check_share, plain
from pytest_prodml.checks.evidence import evidence, measurement
from pytest_prodml.checks.fairness.dependants import Dependants
from pytest_prodml.checks.people import bound_to, checked_size, flagged_share, mean_of
from pytest_prodml.checks.swaps import accepted, constant, equals, is_missing, options_of, sees
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue
from pytest_prodml.statistics.design import design_of

if TYPE_CHECKING:
    import pandas as pd

    from pytest_prodml.checks.fairness.dependants import Follows, Rewrites

FLIPS = "counterfactual_flip_rate"
CHANGE = "counterfactual_score_change"
_BLOCK = 100_000
_MOST_SHOWN = 20
_MOST_PAIRS = 50
_MISSING = "(missing)"


def counterfactual(
    attribute: str,
    predictor: Predictor,
    data: Any,  # noqa: ANN401 - a Dataset or a frame
    *,
    gate_id: str,
    at_most: float,
    score_at_most: float | None = None,
    values: Sequence[object] | None = None,
    dependants: Mapping[str, Follows] | Rewrites | None = None,
    threshold: float | None = None,
    redact: bool = False,
    sample_weight: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the same person in another group would be treated the same.

    Every row is predicted as it is and with each other value of the attribute. Measures, with group
    `attribute`, ``counterfactual_flip_rate``, the share of rows for which any value gives another decision,
    and ``counterfactual_score_change``, the mean over rows of the largest absolute change of the score.

    Parameters
    ----------
    attribute : str
        The column, for example "sex". It need not be an input of the model; then nothing can change, which
        the evidence says.
    predictor : Predictor
        The model.
    data : Dataset or frame
        Rows of the population that the claim is about.
    at_most : float
        The share of rows whose decision may change.
    score_at_most : float, optional
        The mean change of the score, in its own unit.
    values : sequence, optional
        The values to put in; default those that occur (at most 50). None or NaN among them makes the cell
        missing, which is otherwise not tried.
    dependants : mapping or pair, optional
        What follows from the attribute and has to move with it. A mapping from a column to a function of
        (rows, value) that returns its cells, or a pair of column names and one function of (rows, value) that
        returns rows. The rows come with the attribute already swapped.
    threshold : float, optional
        The score from which the decision is positive; None takes the model's own label.
    redact : bool
        Leave the rows with the largest changes out of the evidence.
    sample_weight, clusters : array-like, shape (n,), optional
        How many people a row stands for; rows of one person.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If the column is missing, has nothing to be changed to, or holds a value that its type can not; if the
        model refuses a value; if a dependant is no column, has another length or type, or another column
        changes.

    Notes
    -----
    It shows direct dependence and what is declared to depend. What stands in for the attribute without being
    declared (`proxies`) stays as it is. The bounds are for the people that the rows are drawn from, those of
    the score change from Gaffke's method if all scores lie in [0, 1] and Student's t otherwise. The method is
    the "flip" test of Kusner et al. (2017, counterfactual fairness) with the causal model that `dependants`
    declares, and with nothing behind the attribute.
    """
    del seed
    check_share(at_most)
    if score_at_most is not None:
        checked_size(score_at_most, "score_at_most")
    frame = as_frame(data)
    own = column(frame, attribute)
    options = options_of(own, values)
    moving = Dependants.of(dependants, frame, attribute)
    swaps = _Swaps(predictor=predictor, frame=frame, own=own, options=options, moving=moving)
    found = swaps.counted(threshold)
    design = design_of(len(frame), sample_weight=sample_weight, groups=clusters)
    if not found.changed.any():
        raise InputError(
            f"every row has the value {options[0]!r} already, so nothing was changed",
            where=attribute,
            hint="give values= that differ, or rows that do",
        )
    rows = np.flatnonzero(found.changed)
    used = design.subset(rows)
    criteria = [_limit(FLIPS, at_most, attribute)]
    note = f"rows whose decision changes with any of {len(options)} values of {attribute}"
    if moving.names:
        note += f", {', '.join(moving.names[:8])} moving with it"
    unseen = _unseen(swaps, found)
    told: dict[str, JsonValue] = {"what_it_shows": unseen} if unseen else {}
    measured = [
        measurement(
            FLIPS,
            flagged_share(found.flipped[rows], used),
            criteria=criteria[:1],
            n_samples=rows.size,
            confidence_level=confidence_level,
            higher_is_better=False,
            group=attribute,
            note=f"{note}; {unseen}" if unseen else note,
        )
    ]
    if found.has_scores:
        criteria += [] if score_at_most is None else [_limit(CHANGE, score_at_most, attribute)]
        measured.append(
            measurement(
                CHANGE,
                mean_of(found.largest[rows], used, is_share=found.in_unit),
                criteria=criteria[1:],
                n_samples=rows.size,
                confidence_level=confidence_level,
                higher_is_better=False,
                group=attribute,
                note="mean over rows of the largest absolute change of the score",
            )
        )
    elif score_at_most is not None:
        raise InputError(
            "has more than two classes, so there is no one score that could change",
            where=predictor.description,
            hint="leave score_at_most out, or wrap the model in a function that returns one score",
        )
    told |= {
        "values_tried": len(options),
        "values_shown": [_named(option) for option in options[:_MOST_PAIRS]],
        "moved_with_it": list(moving.names),
        **found.pairs(swaps),
    }
    if not redact and found.has_scores:
        told |= found.shown(swaps)
    made = evidence(gate_id, measured, criteria, details=told)
    return bound_to(made, subjects_of(predictor), materials_of(data))


def _limit(metric: str, limit: float, attribute: str) -> Criterion:
    return Criterion(metric=metric, comparison=Comparison.AT_MOST, limit=limit, group=attribute)


def _named(value: object) -> str:
    return _MISSING if is_missing(value) else str(plain(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Swaps:
    predictor: Predictor
    frame: pd.DataFrame
    own: pd.Series
    options: list[Any]
    moving: Dependants

    def blocks(self) -> Iterator[slice]:
        """Return the rows in parts, so that copies of a long table stay small."""
        for start in range(0, len(self.frame), _BLOCK):
            yield slice(start, min(start + _BLOCK, len(self.frame)))

    def swapped(self, rows: pd.DataFrame, value: object) -> pd.DataFrame:
        """Return the rows with the value, and all that follows from it."""
        name = self.own.name
        made = constant(rows[name], value, allow_missing=True)
        return self.moving.moved(rows.assign(**{str(name): made}), value)

    def answer(
        self, rows: pd.DataFrame, threshold: float | None, what: str
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
        """Return decisions and scores of rows."""
        where = self.predictor.description
        scores = accepted(lambda: finite_scores(self.predictor, rows), what, where)
        if threshold is None:
            return np.asarray(accepted(lambda: self.predictor.predict(rows), what, where)), scores
        if scores.ndim != 1:
            raise InputError(
                f"has {scores.shape[1]} classes; a threshold needs one score for each row", where=where
            )
        return scores >= threshold, scores

    def counted(self, threshold: float | None) -> _Found:
        """Predict every row with every value."""
        found = _Found.empty(len(self.frame), len(self.options), self.own)
        for block in self.blocks():
            rows = self.frame.iloc[block]
            decided, scores = self.answer(rows, threshold, "the rows as they are")
            found.has_scores = scores.ndim == 1
            found.note_range(scores)
            for index, value in enumerate(self.options):
                differs = np.flatnonzero(~equals(rows[self.own.name], value))
                if differs.size == 0:
                    continue
                what = f"{self.own.name} = {value!r}"
                after, moved = self.answer(self.swapped(rows.iloc[differs], value), threshold, what)
                found.note_range(moved)
                change = moved - scores[differs]
                found.add(block.start + differs, index, after != decided[differs], change)
        return found


@dataclass(slots=True, kw_only=True)
class _Found:
    """What changed, by row and by pair of values."""

    changed: npt.NDArray[np.bool_]
    flipped: npt.NDArray[np.bool_]
    largest: npt.NDArray[np.float64]
    worst: npt.NDArray[np.intp]
    codes: npt.NDArray[np.intp]
    names: list[str]
    sums: npt.NDArray[np.float64]
    has_scores: bool = True
    in_unit: bool = True
    any_score_moved: bool = False

    @classmethod
    def empty(cls, n: int, options: int, own: pd.Series) -> _Found:
        codes, levels = own.factorize(sort=False)
        names = [_named(level) for level in levels] + [_MISSING]
        return cls(
            changed=np.zeros(n, dtype=np.bool_),
            flipped=np.zeros(n, dtype=np.bool_),
            largest=np.zeros(n),
            worst=np.full(n, -1, dtype=np.intp),
            codes=np.where(codes < 0, len(levels), codes).astype(np.intp),
            names=names,
            sums=np.zeros((5, len(names), options)),
        )

    def note_range(self, scores: npt.NDArray[np.float64]) -> None:
        """Remember whether all scores lie in [0, 1]."""
        self.in_unit &= bool(np.min(scores) >= 0 and np.max(scores) <= 1)

    def add(
        self,
        rows: npt.NDArray[np.intp],
        option: int,
        flips: npt.NDArray[np.bool_],
        change: npt.NDArray[np.float64],
    ) -> None:
        """Add what one value does to some rows."""
        self.changed[rows] = True
        self.flipped[rows] |= flips
        self.any_score_moved |= bool(change.any())
        single = change if change.ndim == 1 else np.zeros(rows.size)
        size = np.abs(single)
        first = (self.worst[rows] < 0) | (size > self.largest[rows])
        self.worst[rows[first]] = option
        self.largest[rows] = np.maximum(self.largest[rows], size)
        parts = (None, flips.astype(np.float64), single, size, single**2)
        for place, weights in enumerate(parts):
            self.sums[place, :, option] += np.bincount(self.codes[rows], weights, len(self.names))

    def pairs(self, swaps: _Swaps) -> dict[str, JsonValue]:
        """Return the table of ordered pairs of values, those that move scores most first."""
        n, flips, signed, size, _ = self.sums
        used = [(int(a), int(b)) for a, b in np.argwhere(n > 0)]
        used.sort(key=lambda pair: (-size[pair] / n[pair], -flips[pair] / n[pair]))
        table: list[JsonValue] = [
            {
                "from": self.names[pair[0]],
                "to": _named(swaps.options[pair[1]]),
                "rows": int(n[pair]),
                "decisions_changed": int(flips[pair]),
                "mean_change": float(signed[pair] / n[pair]) if self.has_scores else None,
                "mean_absolute_change": float(size[pair] / n[pair]) if self.has_scores else None,
                "spread_of_change": self._spread(pair) if self.has_scores else None,
            }
            for pair in used[:_MOST_PAIRS]
        ]
        told: dict[str, JsonValue] = {"pairs_of_values": table}
        if len(used) > _MOST_PAIRS:
            told["pairs_of_values_left_out"] = len(used) - _MOST_PAIRS
        return told

    def _spread(self, pair: tuple[int, int]) -> float:
        n, _, signed, _, squares = (float(part[pair]) for part in self.sums)
        return float(np.sqrt(max(squares / n - (signed / n) ** 2, 0.0)))

    def shown(self, swaps: _Swaps) -> dict[str, JsonValue]:
        """Return the rows with the largest changes."""
        moved = np.flatnonzero((self.largest > 0) | self.flipped)
        order = moved[np.lexsort((moved, -self.largest[moved], ~self.flipped[moved]))][:_MOST_SHOWN]
        if order.size == 0:
            return {}
        table: list[JsonValue] = []
        for row in order.tolist():
            one, value = swaps.frame.iloc[[row]], swaps.options[self.worst[row]]
            before = float(swaps.predictor.predict_score(one)[0])
            after = float(swaps.predictor.predict_score(swaps.swapped(one, value))[0])
            table.append(
                {
                    "row": plain(swaps.frame.index[row]),
                    "from": self.names[self.codes[row]],
                    "to": _named(value),
                    "score_before": before,
                    "score_after": after,
                    "any_decision_changes": bool(self.flipped[row]),
                }
            )
        return {"largest_changes": table, "largest_changes_left_out": int(moved.size - order.size)}


def _unseen(swaps: _Swaps, found: _Found) -> str | None:
    """Return what a reader has to know where nothing changed at all."""
    if found.any_score_moved or found.flipped.any():
        return None
    name = str(swaps.own.name)
    if not sees(swaps.predictor, swaps.frame, name) and not swaps.moving.names:
        return (
            f"the model does not see {name}, so nothing could change; this says nothing about columns that "
            "stand in for it, which proxies looks at"
        )
    return f"no score moved: {name} has no direct effect; this says nothing about what stands in for it"
