"""A model that votes over noisy copies of an input: how far such a vote can not be turned, with proof.

Randomized smoothing, Cohen, Rosenfeld, Kolter (2019): if of many noisy copies of an input at least a share p
is decided alike, then no change shorter than ``sigma * quantile(p)`` turns the majority. It is the majority
vote that is certified, not the single answer of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.adapters.predictor import Predictor, decide, subjects_of
from pytest_prodml.checks.behavior.attack_space import Points, Space, space_of
from pytest_prodml.checks.behavior.batches import Batch, inputs_of, is_frame, take
from pytest_prodml.checks.behavior.relation import generator_of
from pytest_prodml.checks.counts import check_share
from pytest_prodml.checks.evidence import evidence, measurement
from pytest_prodml.checks.labels import checked_number
from pytest_prodml.checks.people import bound_to, checked_whole, flagged_share
from pytest_prodml.checks.swaps import accepted
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue
from pytest_prodml.statistics.design import design_of
from pytest_prodml.statistics.estimate import normal_quantile

ACCURACY = "certified_accuracy"
_MOST_ROWS, _MOST_DRAWS = 5_000, 100_000
#: Copies that only choose which decision is certified.
_SELECTION = 100
#: Noisy copies in one call of the model.
_BLOCK = 100_000
_POINTS = 101


def certified_radius(
    predictor: Predictor,
    data: Any,  # noqa: ANN401 - whatever a model takes
    *,
    gate_id: str,
    sigma: float,
    radius: float,
    at_least: float,
    deployed_is_smoothed: bool = False,
    features: Sequence[Any] | None = None,
    threshold: float | None = None,
    positive_label: object = 1,
    n_draws: int = 1_000,
    alpha: float = 0.001,
    rows: int = 200,
    sample_weight: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the decisions of a vote over noisy copies can not be turned within a radius.

    Measures ``certified_accuracy``: the share of inputs whose vote is right (equal to the label; without
    labels, equal to the model's own decision) and certified for at least `radius`.

    Parameters
    ----------
    predictor : Predictor
        The model that votes.
    data : Dataset, frame, array of shape (n, ...), or (X, y)
        Inputs of the population that the claim is about.
    sigma : float
        Standard deviation of the normal noise: in units of each column's robust spread for tables, of the
        elements for arrays.
    radius : float
        The l2 distance, in the same units, within which no change may turn the vote.
    at_least : float
        The share of inputs that must be certified for it.
    deployed_is_smoothed : bool
        Say that the service decides by this vote. Otherwise the claim is about a smoothed twin of the model,
        which the evidence says.
    features : sequence, optional
        Columns of numbers with fractions that get noise; default all. The claim is about changes in these.
    threshold, positive_label : float, object
        The score from which a copy votes for `positive_label`; None takes the model's own label.
    n_draws : int
        Noisy copies of each input.
    alpha : float
        The chance that the radius of one input is overstated.
    rows : int
        How many inputs are certified; of more a random sample, which is told.
    sample_weight, clusters : array-like, shape (n,), optional
        How many people an input stands for; inputs of one person.
    gate_id, confidence_level
        Common to all checks.
    seed : int
        Of the sample and the noise.

    Raises
    ------
    InputError
        If an option makes no sense, there is no column with fractions, or the model refuses noisy inputs.

    Notes
    -----
    The radius of an input is ``sigma * quantile(lower)``, with `lower` the one-sided Clopper-Pearson bound of
    the leading decision's share at level 1 - `alpha`; below one half the vote abstains. Each of n certified
    inputs is wrong with a chance of at most `alpha`, so the bound of the share counts that many fewer: the
    number that a binomial of n draws with chance `alpha` exceeds with a thousandth of the error of the bound,
    which comes on top of it.
    """
    check_share(at_least, "at_least")
    noise, reach = (_positive(value, name) for value, name in ((sigma, "sigma"), (radius, "radius")))
    checked_whole(n_draws, "n_draws", most=_MOST_DRAWS)
    checked_whole(rows, "rows", most=_MOST_ROWS)
    if not 0 < checked_number(alpha, name="alpha") < 0.5:
        raise InputError(f"alpha must lie between 0 and 0.5, got {alpha!r}", where="certified_radius")
    largest = noise * normal_quantile(alpha ** (1 / n_draws))
    if reach > largest:
        raise InputError(
            f"no input can be certified for {reach:g}: {n_draws:,} copies reach {largest:.4g} at most",
            where="certified_radius",
            hint="take more copies, more noise, or a smaller radius",
        )
    inputs = inputs_of(data)
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
    noisy = ~space.whole
    if not noisy.any():
        raise InputError("no column has fractions, so none can get noise", where="certified_radius")
    rng = generator_of("certified_radius", seed)
    chosen = np.arange(len(inputs))
    if len(inputs) > rows:
        chosen = np.sort(rng.choice(len(inputs), rows, replace=False))
    batch = take(inputs.batch, chosen)

    def decisions(asked: Batch) -> npt.NDArray[Any]:
        what = "noisy inputs"
        return np.asarray(accepted(lambda: decide(predictor, asked, threshold), what, predictor.description))

    voted, radii = _certified(decisions, space, batch, noise, noisy, n_draws, alpha, rng)
    truth = decisions(batch)
    if inputs.target is not None:
        truth = _as_decisions(inputs.target[chosen], threshold, positive_label)
    right = voted == truth
    certified = right & (radii >= reach)
    design = design_of(len(inputs), sample_weight=sample_weight, groups=clusters).subset(chosen)
    spared = (1 - confidence_level) / 1000
    wrong = _most_wrong(len(chosen), alpha, spared)
    counted = certified.copy()
    # The certified inputs that may be wrong are taken off, the least certain first.
    order = np.flatnonzero(certified)[np.argsort(radii[certified], kind="stable")]
    counted[order[:wrong]] = False
    criterion = Criterion(
        metric=ACCURACY, comparison=Comparison.AT_LEAST, limit=at_least, group=f"radius={reach:g}"
    )
    whose = "the service's vote" if deployed_is_smoothed else "a smoothed twin of the model, not of the model"
    measured = measurement(
        ACCURACY,
        flagged_share(counted, design, of="inputs"),
        criteria=[criterion],
        n_samples=len(chosen),
        confidence_level=confidence_level,
        higher_is_better=True,
        group=f"radius={reach:g}",
        note=f"the claim is of {whose}; {wrong} certified inputs are not counted, for the error of the radii",
    )
    told: dict[str, JsonValue] = {
        "sigma": noise,
        "copies_of_each_input": n_draws,
        "alpha": alpha,
        "inputs_certified": len(chosen),
        "inputs_given": len(inputs),
        "features_with_noise": int(noisy.sum()),
        "abstained": int((radii <= 0).sum()),
        "median_radius": float(np.median(np.where(right, np.maximum(radii, 0), 0))),
        "deployed_is_smoothed": deployed_is_smoothed,
        "compared_with": "labels" if inputs.target is not None else "the model's own decision without noise",
        "certified_curve": _curve(right, radii, largest),
    }
    made = evidence(gate_id, [measured], [criterion], seed=seed, details=told)
    return bound_to(made, subjects_of(predictor), inputs.materials)


def _positive(value: object, name: str) -> float:
    found = checked_number(value, name=name)
    if not (np.isfinite(found) and found > 0):
        raise InputError(f"{name} must be a number above 0, got {value!r}", where="certified_radius")
    return found


def _as_decisions(
    labels: npt.NDArray[Any], threshold: float | None, positive_label: object
) -> npt.NDArray[Any]:
    """Return labels in the form of decisions: with a threshold whether they are positive."""
    return labels if threshold is None else np.asarray(labels == positive_label)


def _certified(
    decisions: Any,  # noqa: ANN401 - a function of a batch
    space: Space,
    batch: Batch,
    sigma: float,
    noisy: npt.NDArray[np.bool_],
    n_draws: int,
    alpha: float,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Return each input's vote and its certified radius; a radius of 0 abstains."""
    n = len(batch)
    leading = _leader(_votes(decisions, space, batch, sigma, noisy, _SELECTION, rng))
    for_leader = np.zeros(n)
    left = n_draws
    while left:
        size = min(left, max(_BLOCK // n, 1))
        votes = _votes(decisions, space, batch, sigma, noisy, size, rng)
        for_leader += (votes == leading[:, None]).sum(axis=1)
        left -= size
    beta = require("scipy.stats", extra="performance").beta
    lower = np.where(for_leader > 0, beta.ppf(alpha, for_leader, n_draws - for_leader + 1), 0.0)
    normal = require("scipy.stats", extra="performance").norm
    radii = np.where(lower > 0.5, sigma * normal.ppf(lower), 0.0)
    return leading, radii


def _votes(
    decisions: Any,  # noqa: ANN401 - a function of a batch
    space: Space,
    batch: Batch,
    sigma: float,
    noisy: npt.NDArray[np.bool_],
    size: int,
    rng: np.random.Generator,
) -> npt.NDArray[Any]:
    """Return the decisions on noisy copies, shape (n, size); noise is not clipped, the proof needs it."""
    n = len(batch)
    places = np.repeat(np.arange(n), size)
    points = space.points(batch)
    numbers = points.numbers[places]
    numbers[:, noisy] += rng.normal(0.0, sigma, (len(places), int(noisy.sum())))
    rows = take(batch, places)
    if is_frame(rows):
        rows = rows.reset_index(drop=True)
    asked = space.batch(Points(numbers=numbers, codes=points.codes[places]), rows)
    return np.asarray(decisions(asked)).reshape(n, size)


def _leader(votes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the most frequent decision on each input."""
    classes = np.unique(votes)
    counts = np.stack([(votes == label).sum(axis=1) for label in classes], axis=1)
    return np.asarray(classes[counts.argmax(axis=1)])


def _most_wrong(n: int, alpha: float, chance: float) -> int:
    """Return how many of n radii are overstated at most, but for a chance."""
    binomial = require("scipy.stats", extra="performance").binom
    return int(binomial.isf(chance, n, alpha))


def _curve(right: npt.NDArray[np.bool_], radii: npt.NDArray[np.float64], largest: float) -> JsonValue:
    """Return the certified accuracy over the radius."""
    places = np.linspace(0, largest, _POINTS)
    return {
        "x": [float(place) for place in places],
        "y": [float((right & (radii >= place) & (radii > 0)).mean()) for place in places],
    }
