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


def gradient_examples(
    module: Any,  # noqa: ANN401 - a torch module
    rows: Array,
    labels: npt.NDArray[np.intp],
    *,
    budget: float,
    norm: str,
    bounds: tuple[float, float],
    seed: int,
) -> Array:
    """Run projected gradient descent (Madry et al. 2018) on a torch module.

    Parameters
    ----------
    module : torch.nn.Module
        Returns the scores of k classes before the softmax, for inputs of shape (n, ...).
    rows : array, shape (n, ...)
        The inputs.
    labels : array of int, shape (n,)
        Their decisions, as places among the classes.
    budget : float
        Radius.
    norm : {"l2", "linf", "l1"}
        Of the radius.
    bounds : (float, float)
        Of the elements.
    seed : int
        Of numpy's and torch's global generators; both are put back as they were.

    Returns
    -------
    array, shape (n, ...)
        Inputs within the radius that the module decides otherwise, where it found some.

    Raises
    ------
    MissingDependencyError
        Without ART or torch.
    """
    require("art", extra="adversarial")
    torch = require("torch", extra="adversarial")
    attacks = require("art.attacks.evasion", extra="adversarial")
    estimators = require("art.estimators.classification", extra="adversarial")
    before, torch_before = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    was_training = bool(module.training)
    try:
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        module.eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with torch.no_grad():
                classes = int(module(torch.as_tensor(rows[:1], dtype=torch.float32)).shape[-1])
            model = estimators.PyTorchClassifier(
                model=module,
                loss=torch.nn.CrossEntropyLoss(),
                input_shape=rows.shape[1:],
                nb_classes=classes,
                clip_values=(np.float32(bounds[0]), np.float32(bounds[1])),
                device_type="cpu",
            )
            search = attacks.ProjectedGradientDescent(
                model,
                norm={"l2": 2, "linf": np.inf, "l1": 1}[norm],
                eps=float(budget),
                eps_step=float(budget) / 10,
                max_iter=40,
                num_random_init=3,
                batch_size=256,
                verbose=False,
            )
            found = search.generate(rows.astype(np.float32), y=np.eye(classes)[labels])
    finally:
        np.random.set_state(before)  # noqa: NPY002
        torch.set_rng_state(torch_before)
        module.train(was_training)
    return np.asarray(found, dtype=np.float64)
