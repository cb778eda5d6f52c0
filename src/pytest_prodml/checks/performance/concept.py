"""The same model on test data and on newer labelled rows -> evidence that it did not become worse."""

from __future__ import annotations

import math

from pytest_prodml.checks.evidence import checked_burden, evidence, measurement
from pytest_prodml.checks.labels import checked_number
from pytest_prodml.checks.metrics.limit import check_has_a_better_side, resolved
from pytest_prodml.checks.metrics.registry import Metric
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence
from pytest_prodml.statistics.estimate import checked_level
from pytest_prodml.statistics.independent import difference


def not_worse_on(
    metric: str | Metric,
    current: Sample,
    test: Sample,
    *,
    margin: float,
    burden: str = "compliance",
    current_name: str = "current",
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a model is not worse on newer rows than on its test data: no concept drift that matters.

    The evidence measures ``<metric>_loss``, by how much the model became worse (in the unit of the metric,
    negative where it became better), and without limits of its own ``<metric>`` in the group `current_name`
    and ``<metric>_of_test`` in the group ``test``.

    Parameters
    ----------
    metric : str or Metric
        What is compared; for a loss, more is worse.
    current, test : Sample
        The truth and the model's answers on newer rows, and on the data it was accepted with.
    margin : float
        How much worse it may be.
    burden : {"compliance", "violation"}
        Who has to prove it: the model that it is not worse, or the alarm that it is.
    gate_id, confidence_level, seed : str, float, int
        The gate, the level of each one-sided bound, and the seed of methods that resample.

    Raises
    ------
    InputError
        For a margin that is negative or no number, a metric without a better side, or answers that can not be
        judged (as for `at_least`).

    Notes
    -----
    The two samples are taken as independent, and their bounds combined by the method of variance estimates
    recovery (Zou, Donner 2008). Weights and entities of each count. Entities that lie in both make the bounds
    wider than necessary where they are as easy or as hard in both.
    """
    name, known = resolved(metric)
    check_has_a_better_side(name)
    checked_level(confidence_level)
    limit = checked_number(margin, name="margin")
    if not (math.isfinite(limit) and limit >= 0):
        raise InputError(f"margin must be a number from 0 on, got {margin!r}")
    criterion = Criterion(
        metric=f"{name}_loss", comparison=Comparison.AT_MOST, limit=limit, burden=checked_burden(burden)
    )
    found, before = (known.measure(sample, seed).estimate for sample in (current, test))
    measured = measurement(
        criterion.metric,
        difference(before, found, falls=not known.higher_is_better),
        criteria=[criterion],
        n_samples=min(current.n_rows, test.n_rows),
        confidence_level=confidence_level,
        higher_is_better=False,
        unit=known.unit,
    )
    own = [
        measurement(
            told,
            estimate,
            n_samples=sample.n_rows,
            confidence_level=confidence_level,
            higher_is_better=known.higher_is_better,
            unit=known.unit,
            group=group,
        )
        for told, group, estimate, sample in (
            (name, current_name, found, current),
            (f"{name}_of_test", "test", before, test),
        )
    ]
    return evidence(gate_id, [measured, *own], [criterion], seed=seed)
