"""Probabilities and the truth -> evidence that a predicted 0.3 comes true in 30 % of the cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.evidence import evidence, measurement
from pytest_prodml.checks.metrics.parts import parts
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.calibration import expected_calibration_error
from pytest_prodml.statistics.design import Design, adjusted
from pytest_prodml.statistics.estimate import Estimate, checked_level
from pytest_prodml.statistics.intervals import bounded_mean
from pytest_prodml.statistics.recalibration import (
    brier_parts,
    calibration_intercept,
    calibration_slope,
    spiegelhalter_z,
)
from pytest_prodml.statistics.reliability import (
    Binned,
    Strategy,
    by_chance,
    into_bins,
    reliability_curve,
    squared_calibration_error,
)

Array: TypeAlias = npt.NDArray[np.float64]
Range: TypeAlias = tuple[float | None, float | None]

ERROR = "expected_calibration_error"
SLOPE = "calibration_slope"
INTERCEPT = "calibration_intercept"
BRIER = "brier_score_loss"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Claim:
    """A statement with a probability: of one class, or of the predicted label being right."""

    name: str | None
    probability: Array
    outcome: Array
    design: Design

    def part(self, group: str | None, rows: npt.NDArray[np.bool_]) -> _Claim:
        if group is None:
            return self
        return _Claim(
            name=group if self.name is None else f"{self.name} & {group}",
            probability=self.probability[rows],
            outcome=self.outcome[rows],
            design=self.design.subset(rows),
        )


def calibrated(
    sample: Sample,
    *,
    at_most: float = 0.05,
    slope: Range | None = None,
    intercept: Range | None = None,
    bins: int | Literal["auto"] = 15,
    strategy: Strategy = "quantile",
    multiclass: Literal["top_label", "class_wise"] = "top_label",
    by: Mapping[str, npt.ArrayLike] | None = None,
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that predicted probabilities come true as often as they say.

    Measures ``expected_calibration_error`` with the noise of the rows taken out (a perfect model of 200 rows
    shows .09 without), ``calibration_slope`` (below 1: predictions too extreme), ``calibration_intercept``
    (above 0: predictions too low, on the logit scale) and ``brier_score_loss``.

    Parameters
    ----------
    sample : Sample
        True labels and probabilities: (n,) of the positive class, or (n, classes) that sum to 1.
    at_most : float
        How large the expected calibration error may be.
    slope, intercept : (float or None, float or None), optional
        Where the slope (1 is perfect) and the intercept (0 is perfect) have to lie; None leaves a side open.
    bins : int or "auto"
        How many bins to ask for; thin ones are joined. Errors that cancel inside a bin do not count, so the
        limit is about these bins. "auto" takes fewer where rows are few, which decides sooner.
    strategy : {"quantile", "uniform"}
        Bins of equally many rows or of equal width.
    multiclass : {"top_label", "class_wise"}
        With more than two classes, judge the probability of the predicted (largest) class against how often
        it is right, or the probabilities of each class, all of which have to keep the limits.
    by : mapping of str to array-like, optional
        Columns of groups: the limits have to be kept in every group as well, each at the full level
        (intersection-union test).
    gate_id, confidence_level, seed
        Common to all checks. `seed` draws what chance alone would show.

    Raises
    ------
    InputError
        For what can not be judged: probabilities outside [0, 1] or not summing to 1, an unknown label,
        a limit that is none.
    """
    checked_level(confidence_level)
    if not 0 < at_most <= 1:
        raise InputError(f"at_most must lie between 0 and 1, got {at_most!r}", hint="0.05 is usual")
    limits = [
        Criterion(metric=ERROR, comparison=Comparison.AT_MOST, limit=float(at_most)),
        *_range_limits(SLOPE, slope),
        *_range_limits(INTERCEPT, intercept),
    ]
    measured: list[Measurement] = []
    criteria: list[Criterion] = []
    details: dict[str, JsonValue] = {}
    for whole in _claims(sample, multiclass):
        for group, rows in parts(sample.n_rows, by):
            claim = whole.part(group, rows)
            binned = into_bins(claim.probability, claim.outcome, claim.design, bins=bins, strategy=strategy)
            judged = [_in_group(limit, claim.name) for limit in limits]
            criteria += judged
            measured += _measurements(claim, binned, judged, confidence_level)
            if not details:
                details = _details(claim, binned, confidence_level, seed)
    return evidence(gate_id, measured, criteria, seed=seed, details=details)


def _claims(sample: Sample, multiclass: str) -> Iterator[_Claim]:
    if multiclass not in {"top_label", "class_wise"}:
        raise InputError(
            f"there is no way {multiclass!r} to judge several classes", hint="top_label or class_wise"
        )
    design = sample.design
    if sample.score_dimensions < 2:
        yield _Claim(
            name=None,
            probability=sample.probabilities(ERROR),
            outcome=sample.is_positive(ERROR).astype(np.float64),
            design=design,
        )
        return
    scores, truth = sample.class_probabilities(ERROR), sample.class_codes
    if scores.shape[1] == 2 and sample.positive_label in sample.classes:
        place = sample.classes.index(sample.positive_label)
        outcome = (truth == place).astype(np.float64)
        yield _Claim(name=None, probability=scores[:, place], outcome=outcome, design=design)
    elif multiclass == "top_label":
        top = np.argmax(scores, axis=1)
        yield _Claim(
            name=None,
            probability=np.minimum(scores[np.arange(top.size), top], 1.0),
            outcome=(top == truth).astype(np.float64),
            design=design,
        )
    else:
        for place, label in enumerate(sample.classes):
            outcome = (truth == place).astype(np.float64)
            yield _Claim(name=f"class={label}", probability=scores[:, place], outcome=outcome, design=design)


def _range_limits(metric: str, wanted: Range | None) -> Iterator[Criterion]:
    if wanted is None:
        return
    try:
        low, high = wanted
    except (TypeError, ValueError):
        raise InputError(f"{metric} needs a range (low, high), got {wanted!r}") from None
    if any(end is not None and not math.isfinite(end) for end in (low, high)):
        raise InputError(f"the ends of the range of {metric} must be finite numbers or None, got {wanted!r}")
    if (low is None and high is None) or (low is not None and high is not None and low >= high):
        raise InputError(f"{metric} needs a range (low, high) with low below high, got {wanted!r}")
    if low is not None:
        yield Criterion(metric=metric, comparison=Comparison.AT_LEAST, limit=float(low))
    if high is not None:
        yield Criterion(metric=metric, comparison=Comparison.AT_MOST, limit=float(high))


def _in_group(limit: Criterion, group: str | None) -> Criterion:
    return Criterion(metric=limit.metric, comparison=limit.comparison, limit=limit.limit, group=group)


def _measurements(
    claim: _Claim, binned: Binned, criteria: list[Criterion], confidence_level: float
) -> Iterator[Measurement]:
    estimates: tuple[tuple[str, Callable[[], Estimate], bool | None], ...] = (
        (ERROR, lambda: expected_calibration_error(binned), False),
        (SLOPE, lambda: calibration_slope(claim.probability, claim.outcome, claim.design), None),
        (INTERCEPT, lambda: calibration_intercept(claim.probability, claim.outcome, claim.design), None),
        (BRIER, lambda: _brier(binned), False),
    )
    for metric, estimate, higher_is_better in estimates:
        yield measurement(
            metric,
            estimate(),
            criteria=[criterion for criterion in criteria if criterion.metric == metric],
            n_samples=claim.outcome.size,
            confidence_level=confidence_level,
            higher_is_better=higher_is_better,
            group=claim.name,
        )


def _brier(binned: Binned) -> Estimate:
    losses = (binned.outcome - binned.probability) ** 2
    weight = None if binned.design.weights is None else binned.weight
    simple = bounded_mean(losses, weight)
    return simple if simple.value is None else adjusted(simple, losses - simple.value, binned.design)


def _details(claim: _Claim, binned: Binned, confidence_level: float, seed: int) -> dict[str, JsonValue]:
    """Return the series and facts of the first claim: all rows (of the first class)."""
    facts: dict[str, JsonValue] = {"bins": binned.n_bins}
    if claim.name is not None:
        facts["shown"] = claim.name
    if binned.outcome.size == 0:
        return facts
    curve = reliability_curve(binned, confidence_level=confidence_level)
    chance = by_chance(binned, confidence_level=confidence_level, seed=seed)
    split = brier_parts(binned)
    facts |= {
        "reliability": {
            "x": list(curve.predicted),
            "y": list(curve.observed),
            "lower": list(curve.lower),
            "upper": list(curve.upper),
            "rows": list(curve.rows),
        },
        "squared_calibration_error": squared_calibration_error(binned),
        "brier": None if split is None else asdict(split),
    }
    if binned.design.is_simple:
        facts["spiegelhalter_z"] = spiegelhalter_z(binned.probability, binned.outcome)
    if chance is not None:
        facts["uncorrected_error"] = {
            "observed": chance.observed,
            "mean_by_chance": chance.mean,
            "largest_by_chance": chance.upper,
            "p_value": chance.p_value,
            "resamples": chance.n_resamples,
        }
    return facts
