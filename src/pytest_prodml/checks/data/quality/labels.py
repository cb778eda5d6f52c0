"""Labels that a model which did not see them contradicts with confidence."""

from __future__ import annotations

import numpy as np

from pytest_prodml._lazy import require
from pytest_prodml.checks.data.quality.request import Finding, Found, Item, Request
from pytest_prodml.errors import InputError, MissingDependencyError
from pytest_prodml.statistics.intervals import proportion

_MOST_LISTED = 50


def label_noise_share(request: Request) -> Found:
    """Estimate the share of wrong labels by confident learning (Northcutt et al. 2021), with cleanlab."""
    if request.target is None:
        return "needs a label column"
    if request.probabilities is None:
        return "needs out-of-fold probabilities"
    try:
        filters = require("cleanlab.filter", extra="labels")
    except MissingDependencyError:
        return "needs the package cleanlab"
    labels = request.table.engine.values([request.target])[request.target]
    classes, codes = np.unique(labels, return_inverse=True)
    given = np.asarray(request.probabilities, dtype=np.float64)
    if given.shape != (labels.size, classes.size) or not np.isfinite(given).all():
        raise InputError(
            f"probabilities must have a finite number for each of {labels.size} rows and {classes.size} "
            f"classes, got the shape {given.shape}",
            where="quality",
            hint="columns are the classes in ascending order",
        )
    if not ((given >= 0).all() and np.allclose(given.sum(axis=1), 1.0, atol=1e-3)):
        raise InputError("probabilities of each row must add up to 1", where="quality")
    wrong = filters.find_label_issues(codes, given, return_indices_ranked_by="self_confidence", n_jobs=1)
    return Finding(
        items=[Item(estimate=proportion(len(wrong), labels.size), n_samples=labels.size)],
        listed=[{"row": int(row)} for row in wrong[:_MOST_LISTED]],
    )
