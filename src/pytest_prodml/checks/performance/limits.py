"""A metric has to keep a limit: over all rows, in a part of them, or in every group of a column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.evidence import checked_burden, evidence, measurement
from pytest_prodml.checks.labels import checked_number, same_length
from pytest_prodml.checks.membership import membership
from pytest_prodml.checks.metrics.limit import (
    check_asks_something,
    check_margin,
    checked_limit,
    measure,
    resolved,
)
from pytest_prodml.checks.metrics.registry import Metric
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue
from pytest_prodml.statistics.estimate import checked_level
from pytest_prodml.statistics.sufficient import as_column

Mask = npt.NDArray[np.bool_]


def at_least(
    metric: str | Metric,
    limit: float,
    sample: Sample,
    *,
    by: Mapping[str, npt.ArrayLike] | None = None,
    where: npt.ArrayLike | None = None,
    where_name: str = "where",
    margin: float = 0.0,
    burden: str = "compliance",
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Measure a metric that has to be at least `limit`.

    Parameters
    ----------
    metric : str or Metric
        A name of `METRICS` (scikit-learn's scorer names, and the plain names of losses), or a metric of
        your own; see `custom_metric`.
    limit : float
        Passes when the lower bound reaches it, fails when the upper bound stays below it.
    sample : Sample
        The truth and the model's answers.
    by : mapping of str to array-like, optional
        Columns of groups: the limit has to be kept in *every* group of every column. That is an
        intersection-union test, so each group is judged at the full level. The metric over all rows is
        measured as well, without a limit.
    where : array-like of bool, optional
        Judge only the rows where it holds; `where_name` is what the part is called in the evidence.
    margin : float
        Loosens the limit.
    burden : {"compliance", "violation"}
        Who has to prove it: the model that it keeps the limit, or the alarm that it does not. Alarms of one
        gate are corrected together by Holm's procedure.
    gate_id, confidence_level, seed : str, float, int
        The gate, the level of each one-sided bound, and the seed of methods that resample.

    Raises
    ------
    InputError
        For what can not be judged: an unknown metric or label, a missing or infinite value, columns of
        different length. A metric that is undefined on the data (nothing predicted positive, no rows, and
        except for recall and specificity a truth of one class) is not an error: its value is None and its
        note says why.
    """
    return limited(
        metric,
        ((Comparison.AT_LEAST, limit),),
        sample,
        by=by,
        where=where,
        where_name=where_name,
        margin=margin,
        burden=burden,
        gate_id=gate_id,
        confidence_level=confidence_level,
        seed=seed,
    )


def at_most(
    metric: str | Metric,
    limit: float,
    sample: Sample,
    *,
    by: Mapping[str, npt.ArrayLike] | None = None,
    where: npt.ArrayLike | None = None,
    where_name: str = "where",
    margin: float = 0.0,
    burden: str = "compliance",
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Measure a metric that has to be at most `limit`: a loss, or a score that is too good to be true.

    Parameters, results and errors are those of `at_least`.
    """
    return limited(
        metric,
        ((Comparison.AT_MOST, limit),),
        sample,
        by=by,
        where=where,
        where_name=where_name,
        margin=margin,
        burden=burden,
        gate_id=gate_id,
        confidence_level=confidence_level,
        seed=seed,
    )


def between(
    metric: str | Metric,
    low: float,
    high: float,
    sample: Sample,
    *,
    by: Mapping[str, npt.ArrayLike] | None = None,
    where: npt.ArrayLike | None = None,
    where_name: str = "where",
    margin: float = 0.0,
    burden: str = "compliance",
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Measure a metric that has to lie between `low` and `high`.

    Both sides have to be proven, each at the full level: two one-sided tests (Schuirmann 1987). Other
    parameters, results and errors are those of `at_least`.
    """
    low, high = checked_number(low, name="low"), checked_number(high, name="high")
    if not low <= high:
        raise InputError(f"between asks for low <= high, got {low!r} and {high!r}")
    return limited(
        metric,
        ((Comparison.AT_LEAST, low), (Comparison.AT_MOST, high)),
        sample,
        by=by,
        where=where,
        where_name=where_name,
        margin=margin,
        burden=burden,
        gate_id=gate_id,
        confidence_level=confidence_level,
        seed=seed,
    )


def limited(
    metric: str | Metric,
    limits: Sequence[tuple[Comparison, float]],
    sample: Sample,
    *,
    by: Mapping[str, npt.ArrayLike] | None = None,
    where: npt.ArrayLike | None = None,
    where_name: str = "where",
    margin: float = 0.0,
    burden: str = "compliance",
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Measure a metric that has to keep `limits`: what `at_least`, `at_most` and `between` share."""
    name, known = resolved(metric)
    checked_level(confidence_level)
    asked = checked_burden(burden)
    check_margin(known, margin)
    template = [
        Criterion(
            metric=name,
            comparison=comparison,
            limit=checked_limit(name, known, limit),
            margin=float(margin),
            burden=asked,
        )
        for comparison, limit in limits
    ]
    for item in template:
        check_asks_something(known, item)
    if not known.higher_is_better and all(item.comparison is Comparison.AT_LEAST for item in template):
        raise InputError(f"{name} is a loss: a floor under it would ask for a bad model", hint="use at_most")
    if by is not None and not isinstance(by, Mapping):
        raise InputError(
            f"by must be columns by name, got {type(by).__name__}", hint='by={"sex": column_of_the_table}'
        )
    part = None
    if where is not None:
        sample, by, part = _part(sample, by, where, where_name)
    details: dict[str, JsonValue] = {}
    measurements, criteria = [], []
    # Without any row there is no group either: then the limit is on all rows, not on nothing.
    apart = bool(by) and sample.n_rows > 0
    for group, rows in _groups(sample, by, part):
        judged = [] if apart and group == part else [replace(item, group=group) for item in template]
        measured = measure(known, rows, seed)
        if group == part:
            details.update(measured.details)
        measurements.append(
            measurement(
                name,
                measured.estimate,
                criteria=judged,
                n_samples=rows.n_rows,
                confidence_level=confidence_level,
                higher_is_better=known.higher_is_better,
                unit=known.unit,
                group=group,
            )
        )
        criteria += judged
    return evidence(gate_id, measurements, criteria, details=details)


def _part(
    sample: Sample, by: Mapping[str, npt.ArrayLike] | None, where: npt.ArrayLike, name: str
) -> tuple[Sample, Mapping[str, npt.ArrayLike] | None, str]:
    mask = as_column(where, name="where")
    if np.ma.is_masked(mask):
        raise InputError("where is missing in some rows", hint="decide for each row whether it is meant")
    mask = np.asarray(mask)
    if mask.dtype != np.bool_ or mask.ndim != 1:
        raise InputError(f"where must be true or false for each row, got {mask.dtype} of shape {mask.shape}")
    same_length(y_true=sample.n_rows, where=mask.size)
    inside = {key: as_column(column, name=str(key))[mask] for key, column in by.items()} if by else by
    return sample.subset(mask), inside, name


def _groups(
    sample: Sample, by: Mapping[str, npt.ArrayLike] | None, part: str | None
) -> Iterator[tuple[str | None, Sample]]:
    """Yield all rows and then those of each group, with the name of the group."""
    yield part, sample
    for attribute, values in (by or {}).items():
        column = membership(values, str(attribute))
        same_length(y_true=sample.n_rows, **{str(attribute): column.codes.size})
        for group in range(len(column.names)):
            label = column.label(group) if part is None else f"{part} & {column.label(group)}"
            yield label, sample.subset(column.codes == group)
