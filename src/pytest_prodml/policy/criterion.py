"""One criterion and the measurement it is about -> its judgement: by bounds, never by point values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_prodml.records import Burden, Comparison, Criterion, Evidence, Measurement, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What `judge` and `judge_criterion` return; `reason` is a stable code, `message` a sentence."""

    outcome: Outcome
    reason: str
    message: str
    adjusted_p_value: float | None = None


def measurements_of(criterion: Criterion, evidence: Evidence) -> list[Measurement]:
    """Return the measurements that a criterion is about: those of its metric and group."""
    return [m for m in evidence.measurements if m.metric == criterion.metric and m.group == criterion.group]


#: Bounds and p-values are inverted into each other numerically.
_P_VALUE_TOLERANCE = 1e-4
_SEVERITY = {Outcome.FAIL: 0, Outcome.INCONCLUSIVE: 1, Outcome.PASS: 2}


def combine(judgements: Sequence[Judgement]) -> Judgement:
    """Return the worst of several judgements, with what the others add to it."""
    worst = min(judgements, key=lambda judged: _SEVERITY[judged.outcome])
    told = [judged.message for judged in judgements if judged.outcome is worst.outcome]
    if worst.outcome is not Outcome.PASS:
        others = [j for j in judgements if j.outcome not in (worst.outcome, Outcome.PASS)]
        told += [judged.message for judged in others]
    more = f"; and {len(told) - 4} more" if len(told) > 4 else ""
    return Judgement(
        outcome=worst.outcome,
        reason=worst.reason,
        message="; ".join(told[:4]) + more,
        adjusted_p_value=worst.adjusted_p_value,
    )


def judge_criterion(
    criterion: Criterion,
    evidence: Evidence,
    *,
    confidence_level: float,
    adjusted_p_value: float | None = None,
    source: str = "",
    alarms_suffice: bool = True,
) -> Judgement:
    """Judge one criterion against the measurement of its metric and group.

    Under `compliance` the bound on the safe side must satisfy the limit (pass), the bound on the other side
    must violate it (fail), else it is inconclusive. Under `violation` only a proven violation fails.

    Parameters
    ----------
    criterion, evidence : Criterion, Evidence
        The limit, and the measurements among which its own is looked up. Several measurements of one
        metric and group must all satisfy it.
    confidence_level : float
        The least one-sided level at which a bound counts as proof.
    adjusted_p_value : float, optional
        For alarms that belong to a family: the p-value after the family's correction decides.
    source : str
        Where the limit comes from, for the message; empty for the test itself.
    alarms_suffice : bool
        Whether "no violation is proven" passes under `violation`; otherwise it is inconclusive.
    """
    name = f"{criterion.metric} [{criterion.group}]" if criterion.group is not None else criterion.metric
    found = measurements_of(criterion, evidence)
    if not found:
        what = f" ({source})" if source else ""
        return inconclusive("no-measurement", f"{name} was not measured{what}")
    return combine(
        [
            _judge_measurement(
                criterion, m, name, confidence_level, adjusted_p_value, source, alarms_suffice=alarms_suffice
            )
            for m in found
        ]
    )


def _judge_measurement(
    criterion: Criterion,
    measured: Measurement,
    name: str,
    confidence_level: float,
    adjusted_p_value: float | None,
    source: str,
    *,
    alarms_suffice: bool,
) -> Judgement:
    invalid = _invalid(measured, confidence_level)
    if invalid is not None:
        reason, message = invalid
        return inconclusive(reason, f"{name}: {message}")
    at_least = criterion.comparison is Comparison.AT_LEAST
    edge = criterion.limit - criterion.margin if at_least else criterion.limit + criterion.margin
    safe, risky = (measured.lower, measured.upper) if at_least else (measured.upper, measured.lower)
    # Positive comparisons only: a comparison with NaN is False, and False must never mean "passed".
    proven = safe is not None and (safe >= edge if at_least else safe <= edge)
    refuted = risky is not None and (risky < edge if at_least else risky > edge)
    if criterion.burden is Burden.VIOLATION:
        doubted = 1 - measured.confidence_level + _P_VALUE_TOLERANCE
        if refuted and measured.p_value is not None and measured.p_value > doubted:
            # A large p-value must not silence an alarm that the bounds raise.
            return inconclusive(
                "invalid-measurement",
                f"{name}: the bounds prove a violation and the p-value {measured.p_value:.4g} does not",
            )
        if adjusted_p_value is not None:
            value = measured.value if measured.value is not None else edge
            # The p-value belongs to the limit that the value misses: the other side of a range is kept.
            refuted = adjusted_p_value <= 1 - confidence_level and (
                value < edge if at_least else value > edge
            )
        proven = not refuted and alarms_suffice
    message = _message(criterion, measured, name, edge, source)
    note = f" ({measured.note})" if measured.note else ""
    if refuted:
        # Which column, entity or slice it was stands in the note: the reader has to find it.
        return Judgement(
            outcome=Outcome.FAIL,
            reason="refuted",
            message=f"{message}{note}",
            adjusted_p_value=adjusted_p_value,
        )
    if proven:
        reason = "proven" if criterion.burden is Burden.COMPLIANCE else "no-violation-proven"
        return Judgement(
            outcome=Outcome.PASS, reason=reason, message=message, adjusted_p_value=adjusted_p_value
        )
    if criterion.burden is Burden.VIOLATION:
        return inconclusive(
            "alarm-is-no-proof",
            f"{message}: no violation is proven, which is no proof of the claim; the policy can accept it "
            "with alarm_gates",
        )
    need = (
        f"; about {measured.n_required:,} would decide if the true value is the observed one"
        if measured.n_required is not None
        else ""
    )
    return inconclusive("not-proven", f"{message}: not proven with {measured.n_samples:,} rows{need}{note}")


def _invalid(measured: Measurement, confidence_level: float) -> tuple[str, str] | None:
    if measured.value is None or measured.n_samples < 1:
        return "not-estimable", f"not estimable ({measured.note or 'no value'})"
    if not all(map(math.isfinite, _numbers(measured))):
        return "invalid-measurement", "holds a number that is not finite"
    tolerance = 1e-9 * max(1.0, abs(measured.value))
    too_high = measured.lower is not None and measured.lower > measured.value + tolerance
    too_low = measured.upper is not None and measured.upper < measured.value - tolerance
    if too_high or too_low:
        return "invalid-measurement", "the bounds do not contain the measured value"
    if measured.p_value is not None and not 0 <= measured.p_value <= 1:
        return "invalid-measurement", f"the p-value {measured.p_value!r} is no probability"
    exact = all(bound in {None, measured.value} for bound in (measured.lower, measured.upper))
    if measured.confidence_level == 1 and not exact:
        return "invalid-measurement", "a level of 1 is for exact counts, whose bounds are the value itself"
    if not confidence_level <= measured.confidence_level <= 1:
        return (
            "confidence-level",
            f"bounds at {measured.confidence_level:.4g}, the policy asks for {confidence_level:.4g}",
        )
    return None


def _numbers(measured: Measurement) -> Iterable[float]:
    numbers = (measured.value, measured.lower, measured.upper, measured.confidence_level)
    return (number for number in numbers if number is not None)


def inconclusive(reason: str, message: str) -> Judgement:
    """Return that nothing is proven, and why."""
    return Judgement(outcome=Outcome.INCONCLUSIVE, reason=reason, message=message)


def _message(criterion: Criterion, measured: Measurement, name: str, edge: float, source: str) -> str:
    unit = "" if measured.unit in {"1", ""} else f" {measured.unit}"
    low = "-inf" if measured.lower is None else f"{measured.lower:.4g}"
    high = "inf" if measured.upper is None else f"{measured.upper:.4g}"
    word = "at least" if criterion.comparison is Comparison.AT_LEAST else "at most"
    margin = f" (limit {criterion.limit:.4g}, margin {criterion.margin:.4g})" if criterion.margin else ""
    origin = f" by {source}" if source else ""
    told = f"{name} = {measured.value:.4g}{unit} [{low}, {high}]"
    return f"{told}, must be {word} {edge:.4g}{unit}{margin}{origin}"
