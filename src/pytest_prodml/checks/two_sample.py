"""Two tables -> how well a classifier tells their rows apart: a two-sample test by ROC AUC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.checks.overlap.columns import SharedColumn
from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.estimate import Estimate, not_estimable
from pytest_prodml.statistics.ranking import roc_auc_of_rows

Array: TypeAlias = npt.NDArray[np.float64]

#: Rows of each table beyond which a random part of them is used.
MOST_ROWS = 10_000
_FOLDS = 5
_LEAST_ROWS = 25
#: Different texts in a column beyond which it is left out.
MOST_LEVELS = 250
_TREES = 40
_LEAVES = 15


def told_apart(
    columns: Sequence[SharedColumn],
    design: Design,
    *,
    seed: int,
    names: tuple[str, str] = ("training", "test"),
) -> Estimate:
    """Estimate how well the rows of two tables can be told apart: out-of-fold ROC AUC, 0.5 if not at all.

    `names` is what the two tables are called in the note.

    Gradient-boosted trees (scikit-learn's HistGradientBoostingClassifier with 40 trees) in five stratified
    folds; missing values and categories are read as they are. At most 10,000 rows of each table are used.
    The scores of all folds are pooled. A column of text with more than 250 levels is left out.

    All rows of an entity (a cluster of `design`) lie in one fold, so that the classifier can not recognize
    the entity by what its rows have in common, and the bounds count entities. Rows count with their weights.
    The bounds are about further rows from where these come from, with the classifiers that these folds gave.
    """
    method = "adversarial validation"
    rng = np.random.default_rng(seed)
    n_reference = columns[0].n_reference
    sides = (np.arange(n_reference), np.arange(n_reference, columns[0].values.size))
    if min(side.size for side in sides) < _LEAST_ROWS:
        return not_estimable(method, f"fewer than {_LEAST_ROWS} rows of a table can not be told apart")
    rows = np.concatenate([rng.permutation(side)[:MOST_ROWS] for side in sides])
    matrix, categorical = _matrix(columns, rows)
    if matrix.shape[1] == 0:
        return not_estimable(method, "no column can be read by a classifier")
    is_test, drawn = rows >= n_reference, design.subset(rows)
    folds = _folds(is_test, drawn, rng)
    if any(is_test[folds != fold].all() or not is_test[folds != fold].any() for fold in range(_FOLDS)):
        return not_estimable(method, "a table has too few entities to learn from some and judge on others")
    scores = np.empty(rows.size)
    ensemble = require("sklearn.ensemble", extra="pipeline")
    # Tables of this size are slower with many threads than with one.
    one_thread = require("threadpoolctl", extra="pipeline").threadpool_limits(limits=1)
    with one_thread:
        for fold in np.unique(folds).tolist():
            out = folds == fold
            # scikit-learn can not learn from a column without any value.
            known = ~np.isnan(matrix[~out]).all(axis=0)
            if not known.any():
                scores[out] = 0.5
                continue
            model = ensemble.HistGradientBoostingClassifier(
                max_iter=_TREES,
                max_leaf_nodes=_LEAVES,
                early_stopping=False,
                categorical_features=categorical[known],
                random_state=seed,
            )
            weights = None if drawn.weights is None else drawn.weights[~out]
            model.fit(matrix[~out][:, known], is_test[~out], sample_weight=weights)
            scores[out] = model.predict_proba(matrix[out][:, known])[:, 1]
    found, _ = roc_auc_of_rows(is_test, scores, drawn)
    counts = (int(np.count_nonzero(side)) for side in (~is_test, is_test))
    told = " and ".join(f"{count:,} {name}" for count, name in zip(counts, names, strict=True)) + " rows"
    note = f"{found.note}; {told}" if found.note else told
    return Estimate(
        value=found.value, method=f"{found.method}, out of fold", bounds=found.bounds, note=note, seed=seed
    )


def _folds(is_test: npt.NDArray[np.bool_], design: Design, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return the fold of each row: entities are dealt out, those of one table and of both by themselves."""
    units = np.arange(is_test.size) if design.clusters is None else design.clusters
    units = np.unique(units, return_inverse=True)[1]
    size = int(np.max(units)) + 1
    in_test, in_reference = (np.bincount(units[side], minlength=size) > 0 for side in (is_test, ~is_test))
    folds = np.empty(size, dtype=np.intp)
    for kind in (in_test & ~in_reference, in_reference & ~in_test, in_test & in_reference):
        places = np.flatnonzero(kind)
        folds[places] = rng.permutation(places.size) % _FOLDS
    return folds[units]


def _matrix(
    columns: Sequence[SharedColumn], rows: npt.NDArray[np.intp]
) -> tuple[Array, npt.NDArray[np.bool_]]:
    read, categorical = [], []
    for column in columns:
        values = column.values[rows]
        if column.is_number:
            # Infinite values would stop the classifier; the largest float of 32 bits stands for them.
            read.append(np.nan_to_num(values, nan=np.nan, posinf=3e38, neginf=-3e38))
            categorical.append(False)
            continue
        _, levels = np.unique(values, return_inverse=True)
        if int(np.max(levels)) < MOST_LEVELS:
            read.append(levels.astype(np.float64))
            categorical.append(True)
    matrix = np.column_stack(read) if read else np.empty((rows.size, 0))
    return matrix, np.array(categorical, dtype=np.bool_)
