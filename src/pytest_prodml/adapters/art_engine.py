"""HopSkipJump of the Adversarial Robustness Toolbox (ART), asked about one input at a time.

ART knows no constraints: whoever answers for the model brings its points back to possible inputs first.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require

Array = npt.NDArray[np.float64]
#: ART's own defaults but for the number of directions, which is what queries are spent on.
_FIRST_DIRECTIONS, _MOST_DIRECTIONS, _OTHER_QUERIES = 40, 200, 25


def hop_skip_jump(
    turned: Callable[[Array], npt.NDArray[np.bool_]],
    origin: Array,
    start: Array,
    *,
    low: Array,
    high: Array,
    norm: str,
    max_queries: int,
    seed: int,
) -> Array:
    """Run HopSkipJump (Chen et al. 2020) on one input.

    Parameters
    ----------
    turned : callable
        Points of shape (m, d) -> which are decided otherwise than the origin.
    origin, start : array, shape (d,)
        The input, and one that is decided otherwise.
    low, high : array, shape (d,)
        Limits.
    norm : {"l2", "linf"}
        What it makes small.
    max_queries : int
        About how many points it may ask about.
    seed : int
        Of numpy's global generator, from which ART draws; it is put back as it was.

    Returns
    -------
    array, shape (d,)
        What ART ended with.

    Raises
    ------
    MissingDependencyError
        Without ART.
    """
    require("art", extra="adversarial")
    attacks = require("art.attacks.evasion", extra="adversarial")
    estimators = require("art.estimators.classification", extra="adversarial")

    def scores(points: Any) -> Array:  # noqa: ANN401 - what ART passes
        is_other = turned(np.asarray(points, dtype=np.float64).reshape(len(points), -1))
        return np.stack([~is_other, is_other], axis=1).astype(np.float64)

    before = np.random.get_state()  # noqa: NPY002 - ART draws from the global generator
    try:
        np.random.seed(seed)  # noqa: NPY002
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = estimators.BlackBoxClassifier(
                scores,
                input_shape=origin.shape,
                nb_classes=2,
                clip_values=(low.astype(np.float32), high.astype(np.float32)),
            )
            search = attacks.HopSkipJump(
                model,
                norm=2 if norm == "l2" else np.inf,
                max_iter=_iterations(max_queries),
                max_eval=_MOST_DIRECTIONS,
                init_eval=_FIRST_DIRECTIONS,
                verbose=False,
            )
            found = search.generate(
                origin[np.newaxis].astype(np.float32),
                y=np.asarray([[1.0, 0.0]]),
                x_adv_init=start[np.newaxis].astype(np.float32),
            )
    finally:
        np.random.set_state(before)  # noqa: NPY002
    return np.asarray(found[0], dtype=np.float64)


def _iterations(max_queries: int) -> int:
    """Return how many iterations the queries are enough for."""
    left, done = max_queries, 0
    while True:
        left -= min(int(_FIRST_DIRECTIONS * (done + 1) ** 0.5), _MOST_DIRECTIONS) + _OTHER_QUERIES
        if left < 0:
            return max(done, 1)
        done += 1
