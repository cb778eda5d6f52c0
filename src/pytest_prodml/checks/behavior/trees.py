"""A tree ensemble and rows -> which decisions no change within a budget can turn, proven by exact search."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, decide, subjects_of
from pytest_prodml.adapters.tree_search import extreme, raw_outputs, trees_of
from pytest_prodml.checks.behavior.attack_space import space_of
from pytest_prodml.checks.behavior.batches import inputs_of, take
from pytest_prodml.checks.behavior.relation import generator_of
from pytest_prodml.checks.counts import check_share
from pytest_prodml.checks.evidence import evidence
from pytest_prodml.checks.labels import checked_number
from pytest_prodml.checks.people import bound_to, checked_whole
from pytest_prodml.checks.swaps import accepted
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level
from pytest_prodml.statistics.intervals import proportion

PROVEN = "proven_robust_rate"
_MOST_ROWS = 5_000
#: Bounds nearer to the threshold than this share of the outputs' spread prove nothing.
_GUARD = 1e-6


def robust_trees(
    model: Any,  # noqa: ANN401 - of xgboost or scikit-learn
    predictor: Predictor,
    data: Any,  # noqa: ANN401 - a Dataset or a frame
    *,
    gate_id: str,
    budget: float,
    at_least: float,
    features: Any = None,  # noqa: ANN401 - names of columns
    threshold: float = 0.5,
    seconds: float = 2.0,
    rows: int = 200,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the decisions of a tree ensemble can not be turned by any change within a budget.

    Every row is searched exactly: all changes of at most `budget` in every feature at once. Measures
    ``proven_robust_rate``: the share of rows for which none turns the decision. A row that the search does
    not decide in time is not proven: it lowers the lower bound and not the upper one.

    Parameters
    ----------
    model : estimator
        Binary xgboost classifier, or scikit-learn's forests, trees and gradient boosting.
    predictor : Predictor
        What is deployed of it. Its decisions have to be those of the converted trees, row by row, and every
        example that turns a decision is asked of it: the conversion is not believed.
    data : Dataset or frame
        Rows of numbers as the model takes them.
    budget : float
        Largest change of each feature (l-infinity), in units of its robust spread.
    at_least : float
        The share of rows that must be proven.
    features : sequence of str, optional
        Which features change; default all.
    threshold : float
        The score from which the decision is positive.
    seconds : float
        For the search of one row.
    rows : int
        How many rows are searched; of more a random sample, which is told.
    gate_id, confidence_level
        Common to all checks.
    seed : int
        Of the sample.

    Raises
    ------
    InputError
        If the model can not be converted, the conversion answers otherwise, or a column is no number.
    MissingDependencyError
        Without dtai-veritas.

    Notes
    -----
    Changes need not be possible ones: whole numbers may become fractions, and columns move independently of
    each other, so a proof holds for all possible changes, and an example may be none. Devos, Meert, Davis
    (2021).
    """
    check_share(at_least, "at_least")
    checked_whole(rows, "rows", most=_MOST_ROWS)
    reach = checked_number(budget, name="budget")
    if not (np.isfinite(reach) and reach > 0) or not 0 < threshold < 1:
        raise InputError(f"got budget={budget!r}, threshold={threshold!r}", where="robust_trees")
    inputs = inputs_of(data)
    frame = inputs.frame
    space = space_of(
        inputs,
        features=features,
        immutable=(),
        increase_only=(),
        decrease_only=(),
        cost=None,
        schema=None,
        bounds=None,
    )
    table = _numbers(frame)
    trees = trees_of(model, table)
    own, is_odds = raw_outputs(model, table)
    turning = float(np.log(threshold / (1 - threshold))) if is_odds else threshold
    guard = _GUARD * float(np.ptp(own))
    rng = generator_of("robust_trees", seed)
    chosen = np.arange(len(table))
    if len(table) > rows:
        chosen = np.sort(rng.choice(len(table), rows, replace=False))
    batch = take(frame, chosen)

    def deployed(asked: Any) -> npt.NDArray[np.bool_]:  # noqa: ANN401 - a frame
        found = accepted(
            lambda: decide(predictor, asked, threshold), "a row of numbers", predictor.description
        )
        return np.asarray(found, dtype=np.bool_)

    decided = deployed(batch)
    moves = np.zeros(table.shape[1])
    places = {name: place for place, name in enumerate(frame.columns)}
    for name, scale in zip(space.names, space.scale, strict=True):
        moves[places[name]] = reach * scale
    counts = {"proven": 0, "turned": 0, "undecided": 0, "answered_otherwise": 0}
    for place, (row, is_positive) in enumerate(zip(table[chosen], decided, strict=True)):
        if bool(trees.raw(row[np.newaxis])[0] >= turning) != bool(is_positive):
            counts["answered_otherwise"] += 1
            continue
        found = extreme(trees, row, row - moves, row + moves, largest=not is_positive, seconds=seconds)
        away = (turning - found.bound) if not is_positive else (found.bound - turning)
        if away > guard:
            counts["proven"] += 1
            continue
        one = batch.iloc[[place]]
        turned = found.example is not None and bool(deployed(_changed(one, found.example))[0] != is_positive)
        counts["turned" if turned else "undecided"] += 1
    return bound_to(
        _told(gate_id, counts, len(chosen), len(table), reach, at_least, confidence_level, seed),
        subjects_of(predictor),
        inputs.materials,
    )


def _told(
    gate_id: str,
    counts: dict[str, int],
    n: int,
    n_given: int,
    reach: float,
    at_least: float,
    confidence_level: float,
    seed: int,
) -> Evidence:
    open_rows = counts["undecided"] + counts["answered_otherwise"]
    low = proportion(counts["proven"], n, of="rows")
    high = proportion(counts["proven"] + open_rows, n, of="rows")
    group = f"linf={reach:g}"
    measured = Measurement(
        metric=PROVEN,
        value=low.value,
        lower=low.at(confidence_level)[0],
        upper=high.at(confidence_level)[1],
        confidence_level=checked_level(confidence_level),
        method=low.method,
        n_samples=n,
        higher_is_better=True,
        group=group,
        note=f"exact search of every row; {open_rows} not decided"
        if open_rows
        else "exact search of every row",
    )
    criterion = Criterion(metric=PROVEN, comparison=Comparison.AT_LEAST, limit=at_least, group=group)
    details: dict[str, JsonValue] = {"rows_searched": n, "rows_given": n_given, **counts}
    return evidence(gate_id, [measured], [criterion], seed=seed, details=details)


def _numbers(frame: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401 - a frame
    import pandas as pd

    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name].dtype):
            raise InputError(f"is {frame[name].dtype}; trees are searched over numbers", where=str(name))
    table = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.isfinite(table).all():
        raise InputError(
            "missing or infinite cells are not searched", where="data", hint="leave these rows out"
        )
    # Both libraries compare single precision; a row between two such numbers would be another row to them.
    return np.asarray(table.astype(np.float32).astype(np.float64))


def _changed(one: Any, values: npt.NDArray[np.float64]) -> Any:  # noqa: ANN401 - a frame of one row
    import pandas as pd

    cells = {name: [value] for name, value in zip(one.columns, values, strict=True)}
    return pd.DataFrame(cells, index=one.index, columns=one.columns)
