"""A model and inputs that get worse -> the share of its decisions that flip, and how much a metric drops.

Every input is corrupted once at each severity, with one seed, so that a curve shows the same slips, harder.
Inputs that the model can not answer any more (an error, NaN) count as flipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, subjects_of
from pytest_prodml.checks.behavior.batches import Batch, inputs_of, is_frame
from pytest_prodml.checks.behavior.relation import is_changed
from pytest_prodml.checks.behavior.robust_answers import Given, Mask, Model
from pytest_prodml.checks.behavior.robust_metric import Truth, drop_of, truth_of, value_of
from pytest_prodml.checks.behavior.robust_request import (
    FLIPS,
    MOVES,
    Asked,
    Corrupting,
    Limits,
    bound,
    checked_threshold,
    checked_tolerance,
    criteria_of,
    ordered,
    severities_of,
)
from pytest_prodml.checks.behavior.robust_told import (
    MOST_COLUMNS,
    Point,
    compared,
    curve,
    described,
    example,
    first_rows,
    problems,
)
from pytest_prodml.checks.evidence import evidence, measurement
from pytest_prodml.checks.people import bound_to, flagged_share, mean_of
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement
from pytest_prodml.statistics.design import design_of
from pytest_prodml.statistics.estimate import checked_level

if TYPE_CHECKING:
    from pytest_prodml.checks.metrics.registry import Metric
    from pytest_prodml.checks.metrics.sample import Sample

_MOST_PROBLEMS = 5


def robust_to(
    how: str | Corrupting,
    predictor: Predictor,
    data: Any,  # noqa: ANN401 - a Dataset, frame, array, list, or (X, y)
    *,
    gate_id: str,
    severity: float | Sequence[float],
    at_most: Limits | None = None,
    at_least: Limits | None = None,
    metric: str | Metric | None = None,
    drop_at_most: Limits | None = None,
    columns: Sequence[Any] | None = None,
    ignore: Sequence[Any] = (),
    of: str | None = None,
    among: str | None = None,
    tolerance: float | None = None,
    threshold: float | None = None,
    positive_label: Any = 1,  # noqa: ANN401 - labels are what a project uses
    labels: Sequence[Any] | None = None,
    sample_weight: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    redact: bool = False,
    confidence_level: float = 0.95,
    seed: int = 0,
    **options: Any,  # noqa: ANN401 - of the corruption
) -> Evidence:
    """Show that decisions stay, and a metric holds, when inputs get worse.

    Measures at each severity ``decision_flip_rate`` (with `tolerance` ``score_change_rate``), the share of
    inputs that are answered otherwise than uncorrupted or not at all; the same ``_of_changed``, among inputs
    that the corruption changed; with `metric` its ``<metric>_drop``, paired, from 0 on for worse. The group
    names corruption and severity: ``noise=0.1``. With several severities ``mean_flip_rate``, the area under
    the curve by the severities' range, is told without a criterion.

    Parameters
    ----------
    how : str or callable
        A name of `corruptions.CORRUPTIONS`, or a function ``(batch, severity, rng) -> batch``.
    predictor : Predictor
        The model.
    data : Dataset, frame, array, list, or (X, y)
        Inputs of the population that the claim is about.
    severity : float or sequence of float
        How hard, in the unit of the corruption. The limits have to be kept at all of them.
    at_most : float or sequence of float, optional
        The share of inputs that may flip; one for all, or one for each severity.
    at_least : float or sequence of float, optional
        The share that must flip, of those that were changed: for corruptions that turn the meaning round,
        such as a negation. An input without an answer has not flipped here.
    metric : str or Metric, optional
        Of the answers, with the true labels; see `checks.metrics`.
    drop_at_most : float or sequence of float, optional
        How much worse `metric` may get, in its unit.
    columns, ignore : sequence, optional
        Columns that are changed, and that never are.
    of : {"rows", "texts", "images", "series"}, optional
        What an array is, where the name alone does not tell.
    among : {"all", "changed"}, optional
        What `at_most` is a share of: all inputs, as they will come, or those that the corruption changed.
        Default all, but for corruptions that only change what they find (synonyms, contractions, accents).
    tolerance : float, optional
        Compare scores instead of decisions: they may move by this.
    threshold : float, optional
        The score from which the decision is positive; None takes the model's own label.
    positive_label, labels
        The class that scores are about, and all classes in the order of the scores.
    sample_weight, clusters : array-like, optional
        How many inputs of the population each stands for, and which belong together.
    redact : bool
        Leave inputs and error messages out of the evidence.
    seed : int
        Of what the corruption draws. Every severity starts from it.
    gate_id, confidence_level
        Common to all checks.
    **options
        Of the corruption: ``synonyms``, ``within_observed``, ``scale`` and others.

    Raises
    ------
    InputError
        If there is no such corruption, severity or option, nothing is changed, the model can not answer the
        inputs as they are, or a limit is none.

    Notes
    -----
    Inputs are drawn from a population and corrupted independently, once each: repeats of one input would not
    be independent. So the bounds are exact ones of Clopper and Pearson for the corruption *as it was drawn
    here*, which is no worst case. All severities have to keep their limits; proving each at its level is
    enough for that, without a correction (an intersection of claims).
    """
    checked_level(confidence_level)
    threshold, allowed = checked_threshold(threshold), checked_tolerance(tolerance)
    inputs = inputs_of(data)
    batch = inputs.batch
    chosen = bound(how, batch, of=of, columns=columns, ignore=ignore, options=options, seed=seed)
    severities = severities_of(chosen.corruption, severity)
    truth = None
    if metric is not None:
        truth = truth_of(
            metric,
            inputs.target,
            positive_label=positive_label,
            labels=labels,
            threshold=threshold,
            tolerance=tolerance,
            sample_weight=sample_weight,
            clusters=clusters,
        )
    asked = Asked(
        bound=chosen,
        severities=ordered(chosen.corruption, severities),
        design=design_of(len(batch), sample_weight=sample_weight, groups=clusters),
        truth=truth,
        moves=tolerance is not None,
        only_answers=at_least is not None,
        level=confidence_level,
        seed=chosen.seed,
        criteria=criteria_of(
            chosen.corruption,
            severities,
            rate=FLIPS if tolerance is None else MOVES,
            at_most=at_most,
            at_least=at_least,
            drop_at_most=drop_at_most,
            truth=truth,
            among=among,
        ),
    )
    model = Model(
        predictor=predictor,
        threshold=threshold,
        tolerance=allowed,
        wants_decisions=tolerance is None or (truth is not None and truth.needs_decisions),
    )
    found = _run(asked, model, batch)
    details = {
        **described(asked, batch, columns, ignore),
        **compared(model),
        **_told(found, asked, redact=redact),
    }
    made = evidence(gate_id, found.measurements, asked.criteria, seed=chosen.seed, details=details)
    return bound_to(made, subjects_of(predictor), inputs.materials)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    """What was measured."""

    measurements: list[Measurement]
    points: list[Point]
    examples: list[JsonValue]
    problems: list[str]
    columns: list[str]
    clean: float | None


def _run(asked: Asked, model: Model, batch: Batch) -> _Found:
    clean = model.clean(batch)
    truth = asked.truth
    clean_sample = None if truth is None else truth.sample(clean)
    measurements: list[Measurement] = []
    points: list[Point] = []
    shown: dict[int, dict[str, JsonValue]] = {}
    told: dict[str, None] = {}
    touched: dict[str, None] = {}
    flipped = np.zeros((len(asked.severities), len(batch)), dtype=np.bool_)
    for place, severity in enumerate(asked.severities):
        made = asked.bound(batch, severity)
        changed = _changed(batch, made, touched)
        if not changed.any():
            raise InputError(
                f"a severity of {severity:g} changed none of the {len(batch):,} inputs",
                where=asked.corruption.name,
                hint=f"take another one ({asked.corruption.unit}), or other inputs",
            )
        given = model.corrupted(made, clean, changed)
        flips = model.differs(clean, given)
        if not asked.only_answers:
            flips = flips | given.failed
        is_first = flips & ~flipped.any(axis=0)
        flipped[place] = flips
        told |= dict.fromkeys(problems(given))
        for row in first_rows(is_first, shown):
            own = example(batch, made, row, clean, given, decided=not asked.moves)
            shown[row] = {"severity": severity, **own}
        whole, part = _rates(asked, severity, flips, changed, given)
        measurements += [whole, part]
        point = _point(whole, severity, changed, given)
        if truth is not None and clean_sample is not None:
            dropped, point = _dropped(asked, truth, given, clean_sample, point)
            measurements.append(dropped)
        points.append(point)
    if len(points) > 1:
        measurements.append(_area(asked, flipped))
    return _Found(
        measurements=measurements,
        points=sorted(points, key=lambda point: point.severity),
        examples=list(shown.values()),
        problems=list(told)[:_MOST_PROBLEMS],
        columns=list(touched),
        clean=None
        if truth is None or clean_sample is None
        else value_of(truth, clean_sample, asked.seed).value,
    )


def _changed(batch: Batch, made: Batch, touched: dict[str, None]) -> Mask:
    """Return which inputs differ, and add the columns that do to `touched`."""
    if not is_frame(batch):
        return is_changed(batch, made)
    changed = np.zeros(len(batch), dtype=np.bool_)
    for name in batch.columns:
        differs = is_changed(batch[[name]], made[[name]])
        changed |= differs
        if differs.any():
            touched[str(name)] = None
    return changed


def _rates(
    asked: Asked, severity: float, flips: Mask, changed: Mask, given: Given
) -> tuple[Measurement, Measurement]:
    """Return the share of all inputs that flip, and of those that were changed."""
    group = asked.group(severity)
    n_failed = int(given.failed.sum())
    without = f", {n_failed:,} without an answer" if n_failed else ""
    whole = measurement(
        asked.rate,
        flagged_share(flips, asked.design, of="inputs"),
        criteria=asked.about(asked.rate, group),
        n_samples=flips.size,
        confidence_level=asked.level,
        higher_is_better=False,
        group=group,
        note=f"{int(changed.sum()):,} of {flips.size:,} inputs were changed{without}",
    )
    name = f"{asked.rate}_of_changed"
    part = measurement(
        name,
        flagged_share((flips & changed)[changed], asked.design.subset(changed), of="changed inputs"),
        criteria=asked.about(name, group),
        n_samples=int(changed.sum()),
        confidence_level=asked.level,
        higher_is_better=asked.only_answers,
        group=group,
        note="among inputs that the corruption changed",
    )
    return whole, part


def _point(measured: Measurement, severity: float, changed: Mask, given: Given) -> Point:
    return Point(
        severity=severity,
        rate=0.0 if measured.value is None else measured.value,
        bounds=(measured.lower, measured.upper),
        changed=int(changed.sum()),
        failed=int(given.failed.sum()),
        unasked=given.unasked,
    )


def _dropped(
    asked: Asked, truth: Truth, given: Given, clean: Sample, point: Point
) -> tuple[Measurement, Point]:
    """Return how much worse the metric got, and the point of the curve with it."""
    corrupted = truth.sample(given)
    name, group = f"{truth.name}_drop", asked.group(point.severity)
    estimate = drop_of(truth, corrupted, clean, seed=asked.seed, level=asked.level)
    measured = measurement(
        name,
        estimate,
        criteria=asked.about(name, group),
        n_samples=clean.n_rows,
        confidence_level=asked.level,
        higher_is_better=False,
        unit=truth.metric.unit,
        group=group,
        note="inputs without an answer are taken as answered in the worst way"
        if given.failed.any()
        else None,
    )
    value = None if corrupted is None else value_of(truth, corrupted, asked.seed).value
    return measured, replace(
        point, metric=value, drop=measured.value, drop_bounds=(measured.lower, measured.upper)
    )


def _area(asked: Asked, flips: npt.NDArray[np.bool_]) -> Measurement:
    """Return the mean over the range of severities of the share that flips, by the trapezoid rule.

    Each input has a mean of its own, so the bounds are those of a mean of numbers from 0 to 1.
    """
    order = np.argsort(asked.severities)
    places, flips = np.array(asked.severities)[order], flips[order]
    if asked.corruption.identity == 0.0 and places[0] > 0:
        # Where nothing is changed nothing flips.
        places = np.concatenate([[0.0], places])
        flips = np.vstack([np.zeros((1, flips.shape[1]), dtype=np.bool_), flips])
    gaps = np.diff(places)
    weights = (np.concatenate([gaps, [0.0]]) + np.concatenate([[0.0], gaps])) / 2 / (places[-1] - places[0])
    of_inputs = np.clip(weights @ flips, 0.0, 1.0)
    return measurement(
        "mean_score_change_rate" if asked.moves else "mean_flip_rate",
        mean_of(of_inputs, asked.design, is_share=True),
        n_samples=of_inputs.size,
        confidence_level=asked.level,
        higher_is_better=False,
        group=asked.corruption.name,
        note=f"area under the curve by its width, severities {places[0]:g} to {places[-1]:g}, trapezoid rule",
    )


def _told(found: _Found, asked: Asked, *, redact: bool) -> dict[str, JsonValue]:
    metric = None if asked.truth is None else asked.truth.name
    told = curve(found.points, metric=metric)
    if found.columns:
        told["columns_changed"] = list(found.columns[:MOST_COLUMNS])
        if len(found.columns) > MOST_COLUMNS:
            told["more_columns_changed"] = len(found.columns) - MOST_COLUMNS
    if metric is not None:
        told[f"{metric}_of_the_inputs_as_they_are"] = found.clean
    if not redact and found.examples:
        told["first_to_flip"] = found.examples
    if not redact and found.problems:
        told["problems"] = list(found.problems)
    return told
