"""Losses of predicted probabilities, of two classes and of several.

Names are those of scikit-learn: `brier_score_loss` and `log_loss` have ceilings, the scorers
`neg_brier_score` and `neg_log_loss` are negative and have floors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pytest_prodml.checks.labels import Scores
from pytest_prodml.checks.metrics.registry import Measured, Metric, Needs
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.records import JsonValue
from pytest_prodml.statistics.design import share_of_weight
from pytest_prodml.statistics.estimate import Estimate, mapped, not_estimable
from pytest_prodml.statistics.losses import brier_losses, capped_mean, log_losses, skill
from pytest_prodml.statistics.sufficient import Codes


def _columns(sample: Sample, name: str) -> tuple[Scores, Codes, dict[str, JsonValue]]:
    """Return probabilities (n, classes), true classes and facts; of two classes the positive one is last."""
    if sample.score_dimensions == 2:
        codes = sample.class_codes
        return sample.class_probabilities(name), codes, {"class_count": len(sample.classes)}
    scores, is_positive = sample.probabilities(name), sample.is_positive(name)
    positives = int(np.count_nonzero(is_positive))
    return (
        np.column_stack([1 - scores, scores]),
        is_positive.astype(np.intp),
        {"positive_rows": positives, "negative_rows": scores.size - positives},
    )


def _brier(sample: Sample, name: str) -> tuple[Estimate, dict[str, JsonValue]]:
    chances, codes, details = _columns(sample, name)
    if not _has_two_classes(sample, codes):
        return _one_class(codes), details
    losses = brier_losses(chances, codes)
    # Of two classes both errors are the same, and the score counts one of them.
    cap = 1.0 if chances.shape[1] == 2 else 2.0
    return capped_mean(losses * cap / 2, cap, sample.design), details


def _log(sample: Sample, name: str) -> tuple[Estimate, dict[str, JsonValue]]:
    chances, codes, details = _columns(sample, name)
    losses, worst = log_losses(chances, codes)
    details["worst_case_log_loss"] = worst
    if not _has_two_classes(sample, codes):
        return _one_class(codes), details
    return capped_mean(losses, worst, sample.design), details


def _has_two_classes(sample: Sample, codes: Codes) -> bool:
    weights = sample.design.weights
    counted = codes if weights is None else codes[weights > 0]
    return bool(counted.size) and bool(np.ptp(counted))


def _one_class(codes: Codes) -> Estimate:
    # A model that always names the only class has no loss, which says nothing about the other classes.
    told = "all rows are of one class, so nothing shows what the model does with the others"
    return not_estimable("none", told if codes.size else "there are no rows")


def _reference(sample: Sample, codes: Codes, classes: int) -> Scores:
    """Return the shares of the classes, as a row of probabilities for each row."""
    weights = share_of_weight(sample.design, codes.size)
    shares = np.bincount(codes, weights=weights, minlength=classes) / max(float(weights.sum()), 1e-300)
    return np.broadcast_to(shares, (codes.size, classes)).copy()


def _skill(
    sample: Sample, name: str, of: Callable[[Scores, Codes], Scores]
) -> tuple[Estimate, dict[str, JsonValue]]:
    chances, codes, details = _columns(sample, name)
    if not _has_two_classes(sample, codes):
        return _one_class(codes), details
    reference = of(_reference(sample, codes, chances.shape[1]), codes)
    told = "the shares of the classes predict every row without a loss"
    return skill(of(chances, codes), reference, sample.design, of_reference=told), details


def _metric(
    name: str,
    measured: Callable[[Sample, str], tuple[Estimate, dict[str, JsonValue]]],
    *,
    low: float | None,
    high: float | None,
    negative: bool = False,
    is_loss: bool = False,
) -> Metric:
    def measure(sample: Sample, seed: int) -> Measured:  # noqa: ARG001 - exact methods draw nothing
        estimate, details = measured(sample, name)
        if negative:
            estimate = mapped(estimate, lambda loss: -loss, falling=True)
        return Measured(estimate=estimate, details=details)

    return Metric(needs=Needs.SCORES, measure=measure, low=low, high=high, higher_is_better=not is_loss)


METRICS: Mapping[str, Metric] = {
    "brier_score_loss": _metric("brier_score_loss", _brier, low=0.0, high=2.0, is_loss=True),
    "d2_brier_score": _metric(
        "d2_brier_score", lambda sample, name: _skill(sample, name, brier_losses), low=None, high=1.0
    ),
    "d2_log_loss_score": _metric(
        "d2_log_loss_score",
        lambda sample, name: _skill(sample, name, lambda chances, codes: log_losses(chances, codes)[0]),
        low=None,
        high=1.0,
    ),
    "log_loss": _metric("log_loss", _log, low=0.0, high=None, is_loss=True),
    "neg_brier_score": _metric("neg_brier_score", _brier, low=-2.0, high=0.0, negative=True),
    "neg_log_loss": _metric("neg_log_loss", _log, low=None, high=0.0, negative=True),
}
