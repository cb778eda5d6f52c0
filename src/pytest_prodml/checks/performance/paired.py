"""Is a candidate not worse than a baseline? Two models on the same rows, or one against an earlier record.

Non-inferiority: passes when the data prove that the candidate loses less than the margin. Superiority, "beats
the baseline by so much", is the same question with a limit on the other side of zero.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.evidence import evidence, measurement
from pytest_prodml.checks.labels import checked_number
from pytest_prodml.checks.metrics.differences import difference
from pytest_prodml.checks.metrics.limit import check_has_a_better_side, resolved
from pytest_prodml.checks.metrics.registry import Metric
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue, Measurement, Subject
from pytest_prodml.statistics.estimate import (
    Bounds,
    Estimate,
    checked_level,
    normal_quantile,
    not_estimable,
)

CANDIDATE, BASELINE = "candidate", "baseline"


def not_worse_than(
    metric: str | Metric,
    candidate: Sample,
    baseline: Sample,
    *,
    margin: float = 0.0,
    by_at_least: float | None = None,
    baseline_name: str = "the baseline",
    candidate_subject: Subject | None = None,
    baseline_subject: Subject | None = None,
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Compare two models row by row.

    The evidence measures ``<metric>_difference``, candidate minus baseline, and without limits of its own
    ``<metric>`` in the group ``candidate`` and ``<metric>_of_baseline`` in the group ``baseline``: under
    another name, so that a policy's limit on the metric asks nothing of the baseline.

    Parameters
    ----------
    metric : str or Metric
        What is compared; a loss is turned round, so that worse is worse.
    candidate, baseline : Sample
        Answers of both models on the same rows: the same truth, weights and groups.
    margin : float
        How much worse the candidate may be, in the unit of the metric. With 0 it must be proven to be at
        least as good, which an equally good one passes as seldom as chance says (5 %).
    by_at_least : float, optional
        Asks for superiority instead: the candidate must be proven better by this much, for example than a
        simple model. Not together with a margin.
    baseline_name : str
        What the baseline is called in the evidence.
    candidate_subject, baseline_subject : Subject, optional
        The artefacts behind the answers.
    gate_id, confidence_level, seed : str, float, int
        The gate, the level of each one-sided bound, and the seed of methods that resample.

    Raises
    ------
    InputError
        If both models are one (the same artefact, or the same object), the rows differ, or the margin is
        negative or not finite.
    """
    name, known = resolved(metric)
    checked_level(confidence_level)
    criterion = _criterion(name, known, margin, by_at_least)
    _check_subjects(candidate_subject, baseline_subject)
    checked_pair(candidate, baseline)
    compared = difference(
        name,
        known,
        candidate,
        baseline,
        is_custom=not isinstance(metric, str),
        seed=seed,
        confidence_level=confidence_level,
    )
    own = [
        measurement(
            told,
            known.measure(sample, seed).estimate,
            n_samples=sample.n_rows,
            confidence_level=confidence_level,
            higher_is_better=known.higher_is_better,
            unit=known.unit,
            group=group,
        )
        for told, group, sample in (
            (name, CANDIDATE, candidate),
            (f"{name}_of_baseline", BASELINE, baseline),
        )
    ]
    measured = _difference(
        criterion, compared.estimate, known, candidate.n_rows, confidence_level=confidence_level
    )
    details = {**compared.details, **_told(baseline_name, baseline_subject)}
    return evidence(gate_id, [measured, *own], [criterion], seed=seed, details=details)


def against_record(
    metric: str | Metric,
    candidate: Sample,
    recorded: Measurement,
    *,
    margin: float = 0.0,
    by_at_least: float | None = None,
    baseline_name: str = "the record",
    candidate_subject: Subject | None = None,
    recorded_subject: Subject | None = None,
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Compare a model with what an earlier certificate measured of another one.

    Only the earlier value and its bounds are known, so the samples are taken as independent and their bounds
    are combined by the method of variance estimates recovery (Zou, Donner 2008). Where both were measured on
    the same rows that is conservative: the two models themselves, compared with `not_worse_than`, need about
    a third of the rows.

    Parameters
    ----------
    metric, candidate, margin, by_at_least, candidate_subject, gate_id, confidence_level, seed
        As for `not_worse_than`.
    recorded : Measurement
        The earlier value with its bounds. Who vouches for it is the caller's business.
    baseline_name, recorded_subject : str, Subject or None
        Where the record is from, and of which artefact it speaks.

    Raises
    ------
    InputError
        If the record is of another metric or of the same artefact, or the margin is no margin.
    """
    name, known = resolved(metric)
    checked_level(confidence_level)
    criterion = _criterion(name, known, margin, by_at_least)
    _check_subjects(candidate_subject, recorded_subject)
    if recorded.metric != name:
        raise InputError(f"the record is about {recorded.metric}, not about {name}", where=baseline_name)
    found = known.measure(candidate, seed).estimate
    measured = _difference(
        criterion, _unpaired(found, recorded), known, candidate.n_rows, confidence_level=confidence_level
    )
    own = measurement(
        name,
        found,
        n_samples=candidate.n_rows,
        confidence_level=confidence_level,
        higher_is_better=known.higher_is_better,
        unit=known.unit,
        group=CANDIDATE,
    )
    earlier = replace(recorded, metric=f"{name}_of_baseline", group=BASELINE, p_value=None, n_required=None)
    details = _told(baseline_name, recorded_subject)
    return evidence(gate_id, [measured, own, earlier], [criterion], seed=seed, details=details)


def _unpaired(found: Estimate, recorded: Measurement) -> Estimate:
    method = "MOVER with an earlier record"
    earlier = recorded.value
    if found.value is None or earlier is None:
        note = found.note if found.value is None else f"the record has no value: {recorded.note}"
        return not_estimable(method, note or "the metric is undefined")
    value = found.value - earlier
    scale = 0.0 if recorded.confidence_level >= 1 else 1 / normal_quantile(recorded.confidence_level)
    down = None if recorded.lower is None else max(earlier - recorded.lower, 0.0) * scale
    up = None if recorded.upper is None else max(recorded.upper - earlier, 0.0) * scale
    own = found.value

    def bounds(level: float, growth: float, power: float) -> Bounds:
        lower, upper = found.bounds(level, growth, power)
        z = normal_quantile(level)
        return (
            None if lower is None or up is None else value - math.hypot(own - lower, z * up),
            None if upper is None or down is None else value + math.hypot(upper - own, z * down),
        )

    note = "the record's rows are not compared one by one with these, which needs more of them"
    return Estimate(value=value, method=method, bounds=bounds, note=note, seed=found.seed)


def _difference(
    criterion: Criterion, estimate: Estimate, known: Metric, rows: int, *, confidence_level: float
) -> Measurement:
    return measurement(
        criterion.metric,
        estimate,
        criteria=[criterion],
        n_samples=rows,
        confidence_level=confidence_level,
        higher_is_better=known.higher_is_better,
        unit=known.unit,
    )


def _criterion(name: str, known: Metric, margin: float, by_at_least: float | None) -> Criterion:
    check_has_a_better_side(name)
    margin = checked_number(margin, name="the margin")
    if by_at_least is not None:
        by_at_least = checked_number(by_at_least, name="by_at_least")
    if not (math.isfinite(margin) and margin >= 0):
        raise InputError(f"the margin must be a finite number from 0 on, got {margin!r}", where=name)
    if by_at_least is not None and not (math.isfinite(by_at_least) and by_at_least >= 0):
        raise InputError(f"by_at_least must be a finite number from 0 on, got {by_at_least!r}", where=name)
    if margin and by_at_least is not None:
        raise InputError(
            "a margin allows the candidate to be worse, by_at_least asks it to be better",
            where=name,
            hint="give one of them",
        )
    if known.low is not None and known.high is not None and margin >= known.high - known.low:
        raise InputError(f"with a margin of {margin:g} every model is good enough", where=name)
    ahead = 0.0 if by_at_least is None else float(by_at_least)
    if known.higher_is_better:
        comparison, limit = Comparison.AT_LEAST, ahead
    else:
        comparison, limit = Comparison.AT_MOST, -ahead if ahead else 0.0
    return Criterion(metric=f"{name}_difference", comparison=comparison, limit=limit, margin=float(margin))


def _check_subjects(candidate: Subject | None, baseline: Subject | None) -> None:
    if candidate is None or baseline is None:
        return
    if candidate.digest.get("sha256") == baseline.digest.get("sha256"):
        raise InputError(
            "the baseline is the model under test: both have the same digest",
            where=baseline.name,
            hint="give the model that serves today",
        )


def checked_pair(candidate: Sample, baseline: Sample) -> None:
    """Refuse two samples that are no pair: one and the same, or of different rows.

    Raises
    ------
    InputError
    """
    if candidate is baseline or any(
        first is not None and first is second
        for first, second in ((candidate.y_pred, baseline.y_pred), (candidate.y_score, baseline.y_score))
    ):
        raise InputError("candidate and baseline are one and the same answers", hint="give another model's")
    if candidate.n_rows != baseline.n_rows:
        raise InputError(
            f"the candidate has {candidate.n_rows:,} rows and the baseline {baseline.n_rows:,}",
            hint="both models must answer the same rows in the same order",
        )
    for name in ("y_true", "sample_weight", "groups", "query"):
        _check_equal(name, getattr(candidate, name), getattr(baseline, name))
    if candidate.positive_label != baseline.positive_label:
        raise InputError(
            f"positive_label is {candidate.positive_label!r} for the candidate and "
            f"{baseline.positive_label!r} for the baseline"
        )


def _check_equal(name: str, first: npt.ArrayLike | None, second: npt.ArrayLike | None) -> None:
    if first is second:
        return
    if first is None or second is None:
        raise InputError(f"only one of candidate and baseline has {name}", hint="give both the same columns")
    one, other = np.asarray(first), np.asarray(second)
    if one.shape != other.shape:
        raise InputError(f"{name} of candidate and baseline has the shapes {one.shape} and {other.shape}")
    if np.array_equal(one, other):
        return
    pairs = zip(one.tolist(), other.tolist(), strict=True)
    different = [row for row, (a, b) in enumerate(pairs) if not _same(a, b)]
    if different:
        raise InputError(
            f"{name} of candidate and baseline differs in {len(different):,} rows (first: {different[0]})",
            hint="both models must answer the same rows in the same order",
        )


def _same(first: Any, second: Any) -> bool:  # noqa: ANN401 - labels are what a project uses
    if first is second:
        return True
    try:
        # NaN and NaT differ from themselves; that they are missing is told elsewhere.
        return bool(first == second) or bool(first != first and second != second)  # noqa: PLR0124
    except (TypeError, ValueError):
        return False


def _told(name: str, subject: Subject | None) -> dict[str, JsonValue]:
    told: dict[str, JsonValue] = {"baseline": name}
    digest = None if subject is None else subject.digest.get("sha256")
    if digest is not None:
        told["baseline_sha256"] = digest
    return told
