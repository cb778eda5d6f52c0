"""A training function -> evidence that its result does not hang on the seed or on the training rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters import as_predictor
from pytest_prodml.adapters.predictor import Predictor, finite_scores
from pytest_prodml.adapters.tables import Dataset, column
from pytest_prodml.checks.evidence import checked_burden, evidence, measurement
from pytest_prodml.checks.labels import Label
from pytest_prodml.checks.metrics.limit import resolved
from pytest_prodml.checks.metrics.registry import Metric, Needs
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue
from pytest_prodml.statistics.design import adjusted, design_of, share_of_weight
from pytest_prodml.statistics.estimate import Estimate, checked_level
from pytest_prodml.statistics.intervals import bounded_mean
from pytest_prodml.statistics.spread import nearly_all, order_statistic_level, standard_deviation

if TYPE_CHECKING:
    import pandas as pd

#: ``train(X, y, seed=...)`` gives a fitted model.
Train: TypeAlias = Callable[..., Any]

_LEAST_REPEATS = 3
_MOST_REPEATS = 50


def stable(
    train: Train,
    metric: str | Metric,
    reference: Dataset,
    test: Dataset | None = None,
    *,
    seeds: int | Sequence[int] = 5,
    folds: int | None = None,
    spread_at_most: float | None = None,
    worst_at_least: float | None = None,
    worst_at_most: float | None = None,
    changed_at_most: float | None = None,
    content: float = 0.9,
    positive_label: Label = 1,
    threshold: float | None = None,
    labels: Sequence[Label] | None = None,
    entity: str | None = None,
    sample_weight: str | None = None,
    burden: str = "compliance",
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Train again with other seeds, or on other folds, and measure how much the result varies.

    Parameters
    ----------
    train : callable
        ``train(X, y, seed=...)`` gives a fitted model.
    metric : str or Metric
        Of the model's answers, by its name or as a metric of your own.
    reference, test : Dataset
        The training rows, and the rows on which every model is judged. Folds need no test rows.
    seeds : int or sequence of int
        How many, from `seed` on, or which. All are in the evidence.
    folds : int, optional
        Instead of seeds: train on all folds but one and judge on that one. The models share most of their
        training rows, so their spread is that of parts of these rows, and is told without bounds.
    spread_at_most : float, optional
        For the standard deviation of the metric, `<metric>_spread`.
    worst_at_least, worst_at_most : float, optional
        What a share `content` of all retrainings has to keep (a ceiling for losses), `<metric>_worst`. Few
        seeds prove little: with five the limit lies 3.4 standard deviations from the mean (content 0.9).
    changed_at_most : float, optional
        For the share of decisions that differ between two retrainings, `changed_decisions`.
    positive_label, threshold, labels
        As in `Sample`.
    entity : str, optional
        The column that says whose row it is. The bounds of `changed_decisions` count entities, not rows;
        folds keep the rows of an entity together.
    sample_weight : str, optional
        The column with the weights of the rows, for the metric and for `changed_decisions`.
    burden, gate_id, confidence_level
        As for `at_least`.
    seed : int
        The first of the seeds; it also assigns the folds.

    Raises
    ------
    InputError
        Without any limit, for fewer than three repeats, repeated seeds, a missing target, or a training that
        gives no model.

    Notes
    -----
    `<metric>_spread` and `<metric>_worst` are claims about further seeds with these training and test rows:
    however few or dependent the test rows are, they are the same for all models. `changed_decisions` is a
    claim about further rows with the models of these seeds. The retrainings in the details are facts.
    """
    checked_level(confidence_level)
    asked = checked_burden(burden)
    name, known = resolved(metric)
    if reference.target is None:
        raise InputError("the training rows have no target", where="stable")
    worst = _worst_limit(name, known, worst_at_least, worst_at_most)
    limits: dict[str, tuple[Comparison, float] | None] = {
        f"{name}_spread": None if spread_at_most is None else (Comparison.AT_MOST, spread_at_most),
        f"{name}_worst": worst,
        "changed_decisions": None if changed_at_most is None else (Comparison.AT_MOST, changed_at_most),
    }
    if all(limit is None for limit in limits.values()):
        raise InputError(
            "nothing is judged without a limit",
            where="stable",
            hint="give spread_at_most, worst_at_least (worst_at_most for a loss) or changed_at_most",
        )
    options = {"positive_label": positive_label, "threshold": threshold, "labels": labels}
    chosen = _seeds(seeds, seed) if folds is None else [seed] * _folds(folds, len(reference))
    if folds is None:
        if test is None or test.target is None:
            raise InputError("test rows with a target are needed to judge the models", where="stable")
        models = [
            _fitted(train, reference.frame, reference.target, value, positive_label) for value in chosen
        ]
        options |= _columns(test, entity, sample_weight)
        answers = [_answers(model, test.frame, test.target, known.needs, options) for model in models]
        n = len(test)
    else:
        if changed_at_most is not None:
            raise InputError("models of different folds have no rows in common to differ on", where="folds")
        options |= _columns(reference, entity, sample_weight)
        answers = _of_folds(train, reference, folds, seed, positive_label, known.needs, options)
        n = len(reference)
    values = _values(known, answers, seed)
    spread = standard_deviation(values)
    tail = nearly_all(values, content=content, from_below=known.higher_is_better)
    if folds is not None:
        spread, tail = _unbounded(spread), _unbounded(tail)
    estimates = {f"{name}_spread": spread, f"{name}_worst": tail}
    if folds is None and known.needs is not Needs.NUMBERS:
        changed = _changed(answers)
        if changed is not None:
            estimates["changed_decisions"] = changed
    criteria, measurements = [], []
    for kind, limit in limits.items():
        if limit is not None and kind not in estimates:
            raise InputError(
                "decisions can only be compared where the models make some: give threshold", where=kind
            )
        judged = (
            []
            if limit is None
            else [Criterion(metric=kind, comparison=limit[0], limit=limit[1], burden=asked)]
        )
        criteria += judged
        if kind in estimates:
            measurements.append(
                measurement(
                    kind,
                    estimates[kind],
                    criteria=judged,
                    n_samples=n if kind == "changed_decisions" else len(values),
                    confidence_level=confidence_level,
                    higher_is_better=known.higher_is_better if kind.endswith("_worst") else False,
                    unit=known.unit if kind != "changed_decisions" else "1",
                )
            )
    by_repeat: list[JsonValue] = [
        {"fold" if folds is not None else "seed": place if folds is not None else value, name: found}
        for place, (value, found) in enumerate(zip(chosen, values, strict=True))
    ]
    details: dict[str, JsonValue] = {
        "retrainings": by_repeat,
        "mean": float(np.mean(values)),
        "content": content,
        "confidence_that_content_is_not_worse_than_worst_seen": order_statistic_level(len(values), content),
    }
    return evidence(gate_id, measurements, criteria, seed=seed, details=details)


def _worst_limit(
    name: str, metric: Metric, floor: float | None, ceiling: float | None
) -> tuple[Comparison, float] | None:
    if floor is not None and not metric.higher_is_better:
        raise InputError(
            f"{name} is a loss: a floor under it would ask for a bad model", hint="use worst_at_most"
        )
    if ceiling is not None and metric.higher_is_better:
        raise InputError(f"{name} is a score: its worst value needs a floor", hint="use worst_at_least")
    if floor is not None:
        return Comparison.AT_LEAST, floor
    return None if ceiling is None else (Comparison.AT_MOST, ceiling)


def _seeds(seeds: int | Sequence[int], first: int) -> list[int]:
    chosen = list(range(first, first + seeds)) if isinstance(seeds, int) else [int(value) for value in seeds]
    if len(set(chosen)) < len(chosen):
        raise InputError("a seed stands more than once: its model would be counted twice", where="seeds")
    _check_repeats(len(chosen), "seeds")
    return chosen


def _folds(folds: int, rows: int) -> int:
    _check_repeats(folds, "folds")
    if folds > rows // 2:
        raise InputError(f"{rows:,} rows are too few for {folds} folds", where="folds")
    return folds


def _check_repeats(number: int, where: str) -> None:
    if not _LEAST_REPEATS <= number <= _MOST_REPEATS:
        raise InputError(
            f"between {_LEAST_REPEATS} and {_MOST_REPEATS} repeats can be judged, got {number}", where=where
        )


def _fitted(
    train: Train, rows: pd.DataFrame, target: npt.NDArray[Any], seed: int, positive: Label
) -> Predictor:
    model = train(rows.copy(), target.copy(), seed=seed)
    if model is None:
        raise InputError("train(X, y, seed=...) returned None", where="train", hint="return the fitted model")
    classes = np.asarray(getattr(model, "classes_", [])).tolist()
    return as_predictor(model, positive_label=positive if positive in classes else None)


def _answers(
    model: Predictor, rows: pd.DataFrame, target: npt.NDArray[Any], needs: Needs, options: dict[str, Any]
) -> Sample:
    if needs is Needs.NUMBERS:
        drawn = {name: options[name] for name in ("sample_weight", "groups")}
        return Sample(y_true=target, y_pred=finite_scores(model, rows), **drawn)
    if needs is Needs.LABELS and options["threshold"] is None:
        return Sample(y_true=target, y_pred=model.predict(rows), **options)
    return Sample(y_true=target, y_score=finite_scores(model, rows), **options)


def _of_folds(
    train: Train,
    reference: Dataset,
    folds: int,
    seed: int,
    positive: Label,
    needs: Needs,
    options: dict[str, Any],
) -> list[Sample]:
    target = reference.target if reference.target is not None else np.zeros(0)
    assigned = _assigned(len(reference), options["groups"], folds, seed)
    columns = ("sample_weight", "groups")
    answers = []
    for fold in range(folds):
        out = assigned == fold
        drawn = {name: None if options[name] is None else options[name][out] for name in columns}
        model = _fitted(train, reference.frame[~out], target[~out], seed, positive)
        answers.append(_answers(model, reference.frame[out], target[out], needs, options | drawn))
    return answers


def _columns(table: Dataset, entity: str | None, sample_weight: str | None) -> dict[str, Any]:
    names = {"groups": entity, "sample_weight": sample_weight}
    return {
        role: None if name is None else np.asarray(column(table, name).to_numpy())
        for role, name in names.items()
    }


def _assigned(rows: int, groups: npt.NDArray[Any] | None, folds: int, seed: int) -> npt.NDArray[np.intp]:
    """Return the fold of each row; all rows of a group lie in one."""
    design = design_of(rows, groups=groups)
    units = np.arange(rows) if design.clusters is None else design.clusters
    size = int(np.max(units)) + 1
    if size < folds:
        raise InputError(f"{size} entities are too few for {folds} folds", where="folds")
    dealt: npt.NDArray[np.intp] = (np.random.default_rng(seed).permutation(size) % folds)[units]
    return dealt


def _values(metric: Metric, answers: Sequence[Sample], seed: int) -> list[float]:
    values = []
    for sample in answers:
        found = metric.measure(sample, seed).estimate
        if found.value is None:
            raise InputError(f"the metric has no value: {found.note or 'not estimable'}", where="stable")
        values.append(found.value)
    return values


def _unbounded(estimate: Estimate) -> Estimate:
    note = "folds share most of their training rows: a spread over them has no valid bounds"
    return Estimate(value=estimate.value, method=estimate.method, bounds=lambda *_: (None, None), note=note)


def _changed(answers: Sequence[Sample]) -> Estimate | None:
    """Estimate the share of rows that two retrainings decide differently, over the pairs of these seeds."""
    decisions = []
    for sample in answers:
        if sample.y_pred is not None:
            decisions.append(np.asarray(sample.y_pred))
        elif sample.threshold is not None:
            decisions.append(sample.scores("changed_decisions") >= sample.threshold)
        else:
            return None
    pairs = list(combinations(decisions, 2))
    differing = np.zeros(decisions[0].size)
    for one, other in pairs:
        differing += one != other
    shares, design = differing / len(pairs), answers[0].design
    weights = None if design.weights is None else share_of_weight(design, shares.size)
    found = bounded_mean(shares, weights)
    found = adjusted(found, shares - (found.value or 0.0), design)
    told = f"over {len(pairs)} pairs of these {len(decisions)} retrainings; rows are what varies"
    return replace(found, note=f"{found.note}; {told}" if found.note else told)
