"""A model, rows and an attribute -> which inputs stand in for it, and how much of a gap goes with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, finite_scores, subjects_of
from pytest_prodml.adapters.tables import as_frame, column, materials_of
from pytest_prodml.checks.evidence import evidence, measurement
from pytest_prodml.checks.fairness.encoded import (
    Array,
    Rows,
    areas,
    coded,
    evidence_of_all,
    evidence_of_column,
    largest,
)
from pytest_prodml.checks.fairness.outcomes import grouped
from pytest_prodml.checks.labels import checked_limit
from pytest_prodml.checks.membership import Membership
from pytest_prodml.checks.people import bound_to, checked_whole, drawn, halves
from pytest_prodml.checks.swaps import accepted, inputs_of, sees
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.design import Design, design_of, share_of_weight
from pytest_prodml.statistics.estimate import Estimate
from pytest_prodml.statistics.simultaneous import bonferroni_level

if TYPE_CHECKING:
    import pandas as pd

PROXIES = "proxy_auc"
#: What the parts of the gap are, wherever they are shown.
TRAVELS = (
    "explanation, not a verdict: how much smaller the gap is when the columns are dealt out anew among all "
    "rows; inputs that go together share a path, so the parts do not add up"
)
#: Rows that the columns are measured on, and rows that are predicted again; more are drawn from.
MOST_ROWS, MOST_PREDICTED = 50_000, 5_000
_MOST_SHOWN = 50
_MOST_REPEATS = 100


def proxies(
    attribute: str,
    predictor: Predictor,
    data: Any,  # noqa: ANN401 - a Dataset or a frame
    *,
    gate_id: str,
    at_most: float | None = None,
    inputs: Sequence[str] | None = None,
    bins: Sequence[float] | None = None,
    repeats: int = 5,
    threshold: float | None = None,
    positive_label: object = 1,
    favorable_label: object = None,
    sample_weight: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show how well the model's inputs give an attribute away.

    Measures ``proxy_auc``, with group `attribute`: the area under the ROC curve with which gradient boosted
    trees on all inputs tell the groups apart (of more than two groups the largest against the rest), learnt
    on one half of the rows and measured on the other; and ``proxy_auc``, group ``attribute: input``, for
    each input by itself.

    Parameters
    ----------
    attribute : str
        The column, for example "sex". It need not be an input, and is none of the inputs that are measured.
    predictor : Predictor
        The model.
    data : Dataset or frame
        Rows of the population that the claim is about.
    at_most : float, optional
        The largest area allowed for all inputs together, 0.5 to 1. None judges nothing.
    inputs : sequence of str, optional
        The columns that are measured; default those that the model asks for.
    bins : sequence of float, optional
        Inner edges, for an attribute that is a number.
    repeats : int
        How many times columns are dealt out anew, 1 to 100.
    threshold, positive_label, favorable_label
        Who is selected: rows whose score reaches the threshold get the positive label, without a threshold
        the model's own; selected are those with the favorable one (default the positive).
    sample_weight, clusters : array-like, shape (n,), optional
        How many people a row stands for; rows of one person, which stay in one half.
    gate_id, confidence_level
        Common to all checks.
    seed : int
        Of the halves, the trees, the deals, and of the rows drawn from large tables.

    Raises
    ------
    InputError
        If a column is missing, holds what can not be compared, or no input is left; if the limit is none.

    Notes
    -----
    Each area is measured (DeLong, logit bounds) on rows that had no part in learning, so it is not flattered,
    and it is a lower estimate of what is there: a better classifier may tell the groups apart better. A kept
    limit says that these trees do not find out. Bounds of the single inputs hold together (Bonferroni).

    The parts of the gap are an explanation with assumptions. The estimand, for a column and the two groups
    with the highest and lowest mean score (or selection rate) in the rows at hand: the gap minus the mean gap
    when the column is drawn for each row from all rows, whatever its group (a permutation), everything else
    as it is. It breaks the column's link to the attribute and to all other columns, so it is no causal
    effect, the model sees rows that may not exist, and inputs that go together share what travels through
    them: their parts need not add up to that of all inputs together, which are dealt out as whole rows. What
    is left then is what the attribute, if it is an input itself, does directly, and chance.
    """
    limit = None if at_most is None else checked_limit(at_most)
    if limit is not None and limit < 0.5:
        raise InputError(
            f"at_most must lie between 0.5 (no better than chance) and 1, got {at_most!r}", where="proxies"
        )
    repeats = checked_whole(repeats, "repeats", most=_MOST_REPEATS)
    whole = as_frame(data)
    column(whole, attribute)
    design = design_of(len(whole), sample_weight=sample_weight, groups=clusters)
    rng = np.random.default_rng(seed)
    taken = drawn(len(whole), design, MOST_ROWS, rng)
    frame, design = whole.iloc[taken], design.subset(taken)
    own = grouped(frame[attribute].to_numpy(), attribute, bins)
    names, takes_attribute = _inputs(attribute, predictor, frame, inputs)
    teach = halves(len(frame), design, rng)
    strengths = _Strengths.of(frame, names, own, teach, design, seed)
    criteria = []
    if limit is not None:
        criteria = [Criterion(metric=PROXIES, comparison=Comparison.AT_MOST, limit=limit, group=attribute)]
    notes = [
        f"{len(names)} inputs, learnt on {int(teach.sum()):,} rows and measured on {int((~teach).sum()):,}"
    ]
    if takes_attribute:
        notes.append(f"the model takes {attribute} itself as an input, which is left out here")
    if len(whole) > len(frame):
        notes.append(f"{len(frame):,} of {len(whole):,} rows were drawn")
    judged = int((~teach).sum())
    together = measurement(
        PROXIES,
        replace(strengths.together, seed=seed),
        criteria=criteria,
        n_samples=judged,
        confidence_level=confidence_level,
        higher_is_better=False,
        group=attribute,
        note="; ".join(notes),
    )
    single = strengths.measured(attribute, judged, confidence_level, seed)
    told: dict[str, JsonValue] = {
        "groups": [*map(own.label, range(min(len(own.names), _MOST_SHOWN)))],
        "model_takes_the_attribute": takes_attribute,
        "rows_that_teach": int(teach.sum()),
        "rows_measured": judged,
        "rows_not_drawn": len(whole) - len(frame),
        "inputs_by_strength": strengths.table(own),
        "inputs_not_shown": max(len(names) - _MOST_SHOWN, 0),
    }
    deal = _Deal(
        predictor=predictor,
        threshold=threshold,
        favorable=positive_label if favorable_label is None else favorable_label,
        positive=positive_label,
        repeats=repeats,
        rng=np.random.default_rng([seed, 1]),
    )
    told["gap_through_inputs"] = deal.explained(frame, own, names, design)
    made = evidence(gate_id, [together, *single], criteria, seed=seed, details=told)
    return bound_to(made, subjects_of(predictor), materials_of(data))


def _inputs(
    attribute: str, predictor: Predictor, frame: pd.DataFrame, inputs: Sequence[str] | None
) -> tuple[list[Any], bool]:
    """Return the columns to measure, and whether the model takes the attribute itself."""
    if isinstance(inputs, str):
        raise InputError("inputs is a list of names", hint='inputs=["income"]')
    for name in inputs or ():
        column(frame, name)
    found = inputs_of(predictor, frame) if inputs is None else list(dict.fromkeys(inputs))
    names = [name for name in found if name != attribute]
    if not names:
        raise InputError(
            f"no input but {attribute!r} is left to measure", where="proxies", hint="name some: inputs=[...]"
        )
    return names, sees(predictor, frame, attribute)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strengths:
    """How well all inputs together and each by itself tell the groups apart."""

    names: list[Any]
    together: Estimate
    single: list[tuple[Estimate, int | None]]

    @classmethod
    def of(
        cls, frame: pd.DataFrame, names: list[Any], own: Membership, teach: Rows, design: Design, seed: int
    ) -> _Strengths:
        """Learn on one half, measure on the other."""
        columns = [coded(frame[name]) for name in names]
        size = len(own.names)
        labels = [own.label(place) for place in range(size)]
        groups = own.codes
        if size < 2:
            empty = largest([], [])
            return cls(names=names, together=empty[0], single=[empty] * len(names))
        both = evidence_of_all(columns, groups, teach, design, seed)
        if both.shape[1] < size:
            both = np.hstack([both, np.full((both.shape[0], size - both.shape[1]), np.nan)])
        together, _ = largest(areas(both, groups, ~teach, design), labels)
        used = 1 if size == 2 else size
        single = []
        for one in columns:
            scores = np.full((groups.size, size), np.nan)
            for group in range(used):
                if (groups[teach] == group).any():
                    scores[:, group] = evidence_of_column(one, groups == group, teach, design)
            single.append(largest(areas(scores, groups, ~teach, design), labels))
        return cls(names=names, together=together, single=single)

    @property
    def order(self) -> list[int]:
        """Places of the inputs, the strongest first."""
        return sorted(range(len(self.names)), key=lambda place: -(self.single[place][0].value or 0.0))

    def measured(self, attribute: str, n: int, level: float, seed: int) -> list[Measurement]:
        """Return the measurements of the strongest inputs, with bounds that hold together."""

        def joint(one: Estimate) -> Estimate:
            def bounds(asked: float, growth: float, power: float) -> tuple[float | None, float | None]:
                return one.bounds(bonferroni_level(asked, len(self.names)), growth, power)

            return replace(one, bounds=bounds, seed=seed)

        return [
            measurement(
                PROXIES,
                joint(self.single[place][0]),
                n_samples=n,
                confidence_level=level,
                higher_is_better=False,
                group=f"{attribute}: {self.names[place]}",
                note=f"this input alone; bounds hold together over {len(self.names)} inputs",
            )
            for place in self.order[:_MOST_SHOWN]
        ]

    def table(self, own: Membership) -> list[JsonValue]:
        """Return the inputs, the strongest first."""
        told: list[JsonValue] = []
        for place in self.order[:_MOST_SHOWN]:
            estimate, group = self.single[place]
            against = None if group is None or len(own.names) < 2 else own.label(group)
            told.append({"input": str(self.names[place]), "auc": estimate.value, "of": against})
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deal:
    """Predicts rows again with columns dealt out anew."""

    predictor: Predictor
    threshold: float | None
    favorable: object
    positive: object
    repeats: int
    rng: np.random.Generator

    def outcomes(self, rows: pd.DataFrame) -> Mapping[str, npt.NDArray[np.float64]]:
        """Return the score, where there is one number, and whether each row is selected."""
        where = self.predictor.description
        scores = accepted(lambda: finite_scores(self.predictor, rows), "rows with a column dealt anew", where)
        found = {"mean_score": scores} if scores.ndim == 1 else {}
        if self.threshold is not None and scores.ndim == 1:
            chosen = (scores >= self.threshold) == (self.favorable == self.positive)
        else:
            chosen = np.asarray(self.predictor.predict(rows)) == self.favorable
        return {**found, "selection_rate": np.asarray(chosen, dtype=np.float64)}

    def explained(
        self, frame: pd.DataFrame, own: Membership, names: Sequence[Any], design: Design
    ) -> dict[str, JsonValue]:
        """Return the gaps in mean score and selection rate, and how much goes along with each input."""
        rows = drawn(len(frame), design, MOST_PREDICTED, self.rng)
        part, codes = frame.iloc[rows], own.codes[rows]
        weights = share_of_weight(design.subset(rows), rows.size)
        present = np.flatnonzero(np.bincount(codes, weights, len(own.names)) > 0)
        told: dict[str, JsonValue] = {"is": TRAVELS, "rows": int(rows.size), "repeats": self.repeats}
        if present.size < 2:
            return {**told, "why_not": "there are no two groups with rows"}
        before = self.outcomes(part)
        sides = {name: _sides(values, codes, weights, present) for name, values in before.items()}
        gaps = {name: _gap(before[name], codes, weights, side) for name, side in sides.items()}
        told["gaps"] = {
            name: {"gap": gaps[name], "of": f"{own.label(high)} minus {own.label(low)}"}
            for name, (high, low) in sides.items()
        }
        table: list[JsonValue] = []
        for label, chosen in [("all inputs", list(names)), *((str(name), [name]) for name in names)]:
            left: dict[str, list[float]] = {name: [] for name in gaps}
            for _ in range(self.repeats):
                order = self.rng.permutation(rows.size)
                dealt = part.assign(**{name: part[name].iloc[order].set_axis(part.index) for name in chosen})
                for name, values in self.outcomes(dealt).items():
                    left[name].append(_gap(values, codes, weights, sides[name]))
            row: dict[str, JsonValue] = {"input": label}
            for name, found in left.items():
                row[name] = gaps[name] - float(np.mean(found))
                row[f"{name}_spread"] = float(np.std(found, ddof=1)) if self.repeats > 1 else None
            table.append(row)
        table[1:] = sorted(table[1:], key=_size)
        told["through"] = table[:_MOST_SHOWN]
        told["inputs_not_shown"] = max(len(table) - _MOST_SHOWN, 0)
        return told


def _size(row: JsonValue) -> float:
    part = row.get("selection_rate") if isinstance(row, dict) else None
    return -abs(part) if isinstance(part, float) else 0.0


def _means(values: npt.NDArray[np.float64], codes: npt.NDArray[np.intp], weights: Array) -> Array:
    size = int(np.max(codes)) + 1
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = np.bincount(codes, weights * values, size) / np.bincount(codes, weights, size)
    return found


def _sides(
    values: npt.NDArray[np.float64],
    codes: npt.NDArray[np.intp],
    weights: Array,
    present: npt.NDArray[np.intp],
) -> tuple[int, int]:
    """Return the groups with the highest and the lowest mean."""
    means = _means(values, codes, weights)[present]
    high, low = int(present[np.argmax(means)]), int(present[np.argmin(means)])
    return (high, low) if high != low else (int(present[0]), int(present[1]))


def _gap(
    values: npt.NDArray[np.float64], codes: npt.NDArray[np.intp], weights: Array, side: tuple[int, int]
) -> float:
    means = _means(values, codes, weights)
    return float(means[side[0]] - means[side[1]])
