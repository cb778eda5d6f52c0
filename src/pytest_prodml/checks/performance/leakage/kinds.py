"""The kinds of leakage by name: what is asked in, a finding out, or a sentence that says why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks import two_sample
from pytest_prodml.checks.metrics.limit import resolved
from pytest_prodml.checks.overlap import copies, splits
from pytest_prodml.checks.overlap.columns import SharedColumn
from pytest_prodml.checks.overlap.copies import Copies
from pytest_prodml.checks.performance.leakage import features, names
from pytest_prodml.checks.performance.leakage.control import skill_after_shuffling
from pytest_prodml.checks.performance.leakage.request import Finding, Request
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue
from pytest_prodml.statistics.estimate import Estimate
from pytest_prodml.statistics.independent import difference

Mask: TypeAlias = npt.NDArray[np.bool_]
Found: TypeAlias = Finding | str

#: Training rows beyond which a random part of them measures the single features.
MOST_ROWS = 50_000
_SHOWN = 20
_TOLD = 5


def _share(rows: Mask, *, method: str, details: Mapping[str, JsonValue], note: str | None = None) -> Finding:
    """Return the exact share of rows, and a note that tells a reader where they are."""
    places = np.flatnonzero(rows)
    if places.size and note is None:
        shown = ", ".join(str(place) for place in places[:_TOLD].tolist())
        note = f"{places.size:,} of {rows.size:,} test rows, counted from 0: {shown}"
        note += ", ..." if places.size > _TOLD else ""
    return _exact(float(np.mean(rows)), rows.size, method=method, unit="1", details=details, note=note)


def _exact(
    value: float,
    n: int,
    *,
    method: str,
    unit: str,
    details: Mapping[str, JsonValue],
    note: str | None = None,
) -> Finding:
    estimate = Estimate(value=value, method=method, bounds=lambda *_: (value, value), note=note)
    return Finding(estimate=estimate, n_samples=n, exact=True, unit=unit, details=details)


def _places(rows: Mask) -> JsonValue:
    return [int(place) for place in np.flatnonzero(rows)[:_SHOWN]]


def single_feature(request: Request) -> Found:
    """Measure how well the strongest column alone predicts the target."""
    if request.targets is None:
        return "a table has no target"
    target, columns, n = request.targets[0], request.columns, len(request.reference)
    design = request.design_of_reference()
    if n > MOST_ROWS:
        rows = np.sort(np.random.default_rng(request.seed).permutation(n)[:MOST_ROWS])
        target = target.taken(rows)
        columns, design = [_part(column, rows) for column in columns], design.subset(rows)
    found = features.strengths(columns, target, design, seed=request.seed)
    estimate = features.strongest(found, lowest=0.0 if target.numbers is not None else 0.5)
    ranked = sorted(found, key=lambda item: -(item.estimate.value or 0.0))
    table: list[JsonValue] = []
    for item in ranked:
        if len(table) == _SHOWN or item.estimate.value is None:
            break
        if all(row["column"] != item.column for row in table if isinstance(row, dict)):
            lower, upper = item.estimate.at(0.95)
            table.append(
                {
                    "column": item.column,
                    "by": item.by,
                    "value": item.estimate.value,
                    "lower": lower,
                    "upper": upper,
                }
            )
    details: dict[str, JsonValue] = {"single_feature_measure": target.measure, "single_features": table}
    details |= _against_model(request, ranked[0] if ranked else None)
    return Finding(
        estimate=Estimate(
            value=estimate.value,
            method=f"{target.measure}: {estimate.method}",
            bounds=estimate.bounds,
            note="; ".join(part for part in (estimate.note, _strongest_name(ranked)) if part) or None,
            seed=request.seed,
        ),
        n_samples=min(n, MOST_ROWS),
        details=details,
    )


def _strongest_name(ranked: Sequence[features.Strength]) -> str:
    return f"the strongest column is {ranked[0].column!r}" if ranked else ""


def _against_model(request: Request, first: features.Strength | None) -> dict[str, JsonValue]:
    """Return the strongest column's lift over chance as a share of the model's, where scores are known."""
    if request.samples is None or first is None or first.estimate.value is None or request.targets is None:
        return {}
    if request.samples[1].y_score is None or len(request.targets[0].classes) != 2:
        return {}
    model = resolved("roc_auc")[1].measure(request.samples[1], request.seed).estimate.value
    if model is None or model <= 0.5:
        return {}
    return {"single_feature_share_of_model_lift": (first.estimate.value - 0.5) / (model - 0.5)}


def _part(column: SharedColumn, rows: npt.NDArray[np.intp]) -> SharedColumn:
    return SharedColumn(
        name=column.name,
        values=np.concatenate([column.reference[rows], column.test]),
        is_number=column.is_number,
        n_reference=rows.size,
    )


def target_names(request: Request) -> Found:
    """Count the columns that carry the target's name."""
    target = request.reference.target_name or request.test.target_name
    if target is None:
        return "the target has no name"
    columns = [
        name
        for name in request.reference.frame.columns
        if str(name) not in request.ignore
        and name not in {request.entity, request.time, request.sample_weight, target}
    ]
    found = names.named_after_target(columns, target, allowed=request.allowed_names)
    told: list[JsonValue] = [{"column": name, "why": why} for name, why in list(found.items())[:_SHOWN]]
    return _exact(
        float(len(found)),
        len(columns) or 1,
        method="count of column names",
        unit="columns",
        details={"columns_named_after_target": told},
        note="; ".join(f"{name!r} {why}" for name, why in list(found.items())[:_TOLD]) or None,
    )


def duplicate_rows(request: Request) -> Found:
    """Measure the share of test rows that are copies of training rows."""
    found = request.exact_copies
    details: dict[str, JsonValue] = {
        "equal_to_training_row": float(np.mean(found.test)),
        "training_rows_equal_to_another": float(np.mean(found.reference)),
        "duplicate_rows_at": _places(found.telling),
    }
    if request.target_agrees is not None:
        with_target = copies.exact_copies([*request.columns, request.target_agrees], seed=request.seed)
        details["equal_to_training_row_and_target"] = float(np.mean(with_target.test))
    return _share(found.telling, method="share of test rows, exact", details=details)


def duplicates_beyond_chance(request: Request) -> Found:
    """Measure by how much test rows have equal training rows more often than training rows have."""
    return _beyond_chance(request, request.exact_copies)


def near_duplicate_rows(request: Request) -> Found:
    """Measure the share of test rows that are rounded copies of training rows, and no exact ones."""
    if not any(column.is_number for column in request.columns):
        return "no column holds numbers, which could be rounded"
    found = request.rounded_copies
    near = copies.near_copies(found, request.exact_copies)
    return _share(
        near,
        method=f"share of test rows equal on a grid of {copies.STEP:g} standard deviations, exact",
        details={
            "rounds_to_training_row": float(np.mean(found.test)),
            "training_rows_that_round_to_another": float(np.mean(found.reference)),
            "near_duplicate_rows_at": _places(near),
        },
    )


def near_duplicates_beyond_chance(request: Request) -> Found:
    """Measure the same as `duplicates_beyond_chance` after rounding."""
    if not any(column.is_number for column in request.columns):
        return "no column holds numbers, which could be rounded"
    return _beyond_chance(request, request.rounded_copies)


def _beyond_chance(request: Request, found: Copies) -> Finding:
    estimate = copies.beyond_chance(found, request.design_of_test(), request.design_of_reference())
    return Finding(estimate=estimate, n_samples=len(request.test))


def entity_overlap(request: Request) -> Found:
    """Measure the share of test rows of an entity that training rows are of too."""
    if request.entity is None:
        return "no entity column is named"
    known = splits.known_entities(request.reference, request.test, request.entity)
    return _share(
        known,
        method="share of test rows, exact",
        details={"entity": request.entity, "rows_of_known_entities_at": _places(known)},
    )


def time_overlap(request: Request) -> Found:
    """Measure the share of test rows that are not after all training rows."""
    if request.time is None:
        return "no time column is named"
    splits.checked_zones(request.reference, request.test, request.time)
    before = splits.times_of(request.reference, request.time)
    after = splits.times_of(request.test, request.time)
    overlapping = after <= np.max(before)
    return _share(
        overlapping,
        method="share of test rows not after the last training row, exact",
        details={"time": request.time, "rows_not_after_training_at": _places(overlapping)},
    )


def later_dates(request: Request) -> Found:
    """Measure the share of rows that hold a date after their own time."""
    if request.time is None:
        return "no time column is named"
    splits.checked_zones(request.reference, request.test, request.time)
    kind = splits.kind_of_times(request.reference, request.time)
    without = request.ignore | {request.time}
    rows: list[Mask] = []
    by_column: dict[str, int] = {}
    for table in (request.reference, request.test):
        times = splits.times_of(table, request.time)
        late = splits.later_dates(table, times, kind, without=without)
        rows.append(np.any(list(late.values()), axis=0) if late else np.zeros(len(table), dtype=np.bool_))
        for name, mask in late.items():
            by_column[name] = by_column.get(name, 0) + int(np.count_nonzero(mask))
    if not by_column:
        return "there is no other column of dates that could be compared with the time"
    told: list[JsonValue] = [
        {"column": name, "rows": count} for name, count in list(by_column.items())[:_SHOWN]
    ]
    late_columns = [name for name, count in by_column.items() if count]
    return _share(
        np.concatenate(rows),
        note=f"later dates in {', '.join(map(repr, late_columns[:_TOLD]))}" if late_columns else None,
        method="share of training and test rows with a later date, exact",
        details={"dates_after_the_time": told},
    )


def adversarial_auc(request: Request) -> Found:
    """Measure how well a classifier tells training from test rows."""
    return Finding(
        estimate=two_sample.told_apart(request.columns, request.design, seed=request.seed),
        n_samples=min(len(request.reference), two_sample.MOST_ROWS)
        + min(len(request.test), two_sample.MOST_ROWS),
    )


def score_gap(request: Request) -> Found:
    """Measure by how much the model's metric is better on the training rows."""
    if request.metric is None or request.samples is None:
        return "a metric and the model's answers on both tables are needed"
    name, metric = resolved(request.metric)
    seen, unseen = (metric.measure(sample, request.seed).estimate for sample in request.samples)
    gap = difference(seen, unseen, falls=not metric.higher_is_better)
    return Finding(
        estimate=gap,
        n_samples=request.samples[1].n_rows,
        unit=metric.unit,
        details={
            "score_gap_of": name,
            "score_on_training_rows": seen.value,
            "score_on_test_rows": unseen.value,
        },
    )


def shuffled(request: Request) -> Found:
    """Measure the skill of a model that was trained on a shuffled target."""
    if request.train is None:
        return "train(X, y) is not given"
    if request.targets is None:
        return "a table has no target"
    target, truth = request.targets
    if target.numbers is None and len(target.classes) < 2:
        raise InputError("the target holds one class only", where="skill_after_shuffling")
    estimate = skill_after_shuffling(
        request.train,
        request.reference,
        request.test,
        target,
        truth,
        weights=request.design_of_test().weights,
        repeats=request.repeats,
        seed=request.seed,
    )
    return Finding(estimate=estimate, n_samples=len(request.test))


#: Name -> how it is measured, in the order in which a report shows them.
KINDS: Mapping[str, Callable[[Request], Found]] = {
    "single_feature": single_feature,
    "target_names": target_names,
    "duplicate_rows": duplicate_rows,
    "duplicates_beyond_chance": duplicates_beyond_chance,
    "near_duplicate_rows": near_duplicate_rows,
    "near_duplicates_beyond_chance": near_duplicates_beyond_chance,
    "entity_overlap": entity_overlap,
    "time_overlap": time_overlap,
    "later_dates": later_dates,
    "adversarial_auc": adversarial_auc,
    "score_gap": score_gap,
    "skill_after_shuffling": shuffled,
}
