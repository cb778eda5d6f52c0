"""A model and inputs -> `Evidence` about what must, and must not, move its answer.

Every check here makes a rule and hands it to `search.settled`: with ``at_most=`` it is a rate with a bound,
with ``never=True`` a search. What else they take is `search.Options`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from pytest_prodml.adapters.predictor import Predictor
from pytest_prodml.checks.behavior.batches import inputs_of
from pytest_prodml.checks.behavior.monotony import monotony
from pytest_prodml.checks.behavior.relation import Asker, Transform
from pytest_prodml.checks.behavior.relations import (
    additivity,
    bounded,
    directed,
    invariance,
    relation_of_own,
    size_of,
    symmetry,
)
from pytest_prodml.checks.behavior.search import Options, Request, settled
from pytest_prodml.checks.labels import checked_number
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    from pytest_prodml.checks.behavior.monotony import Where

#: A `Dataset`, frame, array, list, or a pair of one of them with labels.
Data = Any


def invariant_to(
    what: str | Sequence[str] | Transform,
    predictor: Predictor,
    data: Data,
    *,
    gate_id: str,
    values: Sequence[object] | None = None,
    tolerance: float | None = None,
    threshold: float | None = None,
    **options: Unpack[Options],
) -> Evidence:
    """Show that the answer does not depend on a column, or does not change under a transform.

    Measures ``decision_flip_rate`` (with `tolerance` ``score_change_rate``), group the column or the
    function: the share of inputs for which any change gives another answer.

    Parameters
    ----------
    what : str, sequence of str, or callable
        A column, for example a protected attribute: every row is asked with each other value in it. Several
        columns are changed one after the other. A function from inputs to inputs, for texts, images and
        series too: it gets one item of a list, a whole frame or array, and, if it takes two arguments, a
        seeded numpy generator.
    predictor : Predictor
        The model.
    data : Dataset, frame, array, list, or (X, y)
        Inputs of the population that the claim is about.
    values : sequence, optional
        The values to put in; default those that occur (at most 50 different ones).
    tolerance : float, optional
        Compare scores instead of decisions: they may differ by this.
    threshold : float, optional
        The score from which the decision is positive; None takes the model's own label.
    gate_id, **options
        See `search.Options`.

    Raises
    ------
    InputError
        If a column is missing, has nothing to be changed to, or holds a value that its type can not; if a
        score is not finite; if nothing was changed.

    Notes
    -----
    Only the column itself changes. What follows from it (a proxy) stays: this shows direct dependence, not
    fairness. INV of CheckList: Ribeiro et al. (2020).
    """
    inputs = inputs_of(data)
    asker = _asker(predictor, threshold, tolerance)
    request = _request(gate_id, options)
    relation = invariance(what, asker, inputs.batch, values=values, seed=request.seed)
    return settled(relation, inputs, request)


def monotone(
    name: str,
    direction: str,
    predictor: Predictor,
    data: Data,
    *,
    gate_id: str,
    step: float | None = None,
    tolerance: float = 0.0,
    where: Where | None = None,
    **options: Unpack[Options],
) -> Evidence:
    """Show that the score follows one column in one direction, everything else as it is.

    Measures ``wrong_direction_rate``, group `name`: the share of rows whose score goes the wrong way by more
    than `tolerance`. Staying the same is always right.

    Parameters
    ----------
    name : str
        A numeric column.
    direction : {"increasing", "decreasing"}
        How the score must answer to a larger value.
    predictor : Predictor
        A model with one score for each row.
    data : Dataset or frame
        Rows of the population that the claim is about. Rows without a value are left out.
    step : float, optional
        Ask at the row's own value and one step further, where that does not leave the values that occur.
        Default: ask every row at up to 17 values of the column, and compare all of them.
    tolerance : float
        How far a score may go the wrong way.
    where : mapping or callable, optional
        Which rows the rule is about: ``{"sex": "f"}``, or a named function of the rows.
    gate_id, **options
        See `search.Options`.

    Raises
    ------
    InputError
        If the column is missing or not numeric, `step` does not fit it, no row is left, or a score is not
        finite.
    """
    inputs = inputs_of(data)
    asker = _asker(predictor, None, 0.0)
    relation = monotony(name, direction, asker, inputs.batch, step=step, tolerance=tolerance, where=where)
    return settled(relation, inputs, _request(gate_id, options))


def directional(
    transform: Transform,
    predictor: Predictor,
    data: Data,
    *,
    expect: str,
    gate_id: str,
    margin: float = 0.0,
    threshold: float | None = None,
    **options: Unpack[Options],
) -> Evidence:
    """Show that a transform moves the answer the way it has to.

    Measures ``wrong_direction_rate``, group the function's name. DIR of CheckList: Ribeiro et al. (2020).

    Parameters
    ----------
    transform : callable
        From inputs to inputs, as for `invariant_to`: a debt doubled, a "not" put in.
    predictor : Predictor
        A model with one score for each input; for "flip" any.
    data : Dataset, frame, array, list, or (X, y)
        Inputs of the population that the claim is about. Those that the transform leaves as they are say
        nothing and are not counted.
    expect : {"increase", "decrease", "not_decrease", "not_increase", "flip"}
        What must become of the score, or of the decision.
    margin : float
        "increase" and "decrease": by more than this. "not_...": the wrong way by at most this.
    threshold : float, optional
        For "flip": the score from which the decision is positive.
    gate_id, **options
        See `search.Options`.

    Raises
    ------
    InputError
        If the transform fails or returns other inputs than it got, or a score is not finite.
    """
    inputs = inputs_of(data)
    asker = _asker(predictor, threshold, None if expect == "flip" else 0.0)
    request = _request(gate_id, options)
    relation = directed(transform, expect, asker, margin=margin, seed=request.seed)
    return settled(relation, inputs, request)


def consistent(
    change: Transform,
    holds: Callable[..., Any],
    predictor: Predictor,
    data: Data,
    *,
    gate_id: str,
    name: str | None = None,
    **options: Unpack[Options],
) -> Evidence:
    """Show that any metamorphic relation of your own holds.

    Measures ``violation_rate``, group `name`: the share of inputs for which `holds` is False.

    Parameters
    ----------
    change : callable
        From inputs to related inputs, as for `invariant_to`.
    holds : callable
        ``holds(before, after)`` gets the scores of inputs and of their changed counterparts, shape (n,) or
        (n, k), and returns n times True or False; with four arguments it gets both batches too.
    predictor : Predictor
        The model.
    data : Dataset, frame, array, list, or (X, y)
        Inputs of the population that the claim is about.
    name : str, optional
        What the relation is called; default the name of `change`.
    gate_id, **options
        See `search.Options`.

    Raises
    ------
    InputError
        If a function fails or returns something else, or a score is not finite.
    """
    inputs = inputs_of(data)
    request = _request(gate_id, options)
    asker = _asker(predictor, None, 0.0)
    relation = relation_of_own(change, holds, asker, name=name, seed=request.seed)
    return settled(relation, inputs, request)


def symmetric(
    first: str | Sequence[str],
    second: str | Sequence[str],
    predictor: Predictor,
    data: Data,
    *,
    gate_id: str,
    tolerance: float | None = None,
    threshold: float | None = None,
    **options: Unpack[Options],
) -> Evidence:
    """Show that two columns, or two lists of them, can change places.

    Measures ``asymmetry_rate``, group the columns: two applicants of one loan, two teams of one match.

    Parameters
    ----------
    first, second : str or sequence of str
        Columns of the same types, in the same order.
    predictor : Predictor
        The model.
    data : Dataset or frame
        Rows of the population that the claim is about.
    tolerance, threshold : float, optional
        As for `invariant_to`.
    gate_id, **options
        See `search.Options`.

    Raises
    ------
    InputError
        If a column is missing, or the two sides do not fit each other.
    """
    inputs = inputs_of(data)
    asker = _asker(predictor, threshold, tolerance)
    relation = symmetry(first, second, asker, inputs.batch)
    return settled(relation, inputs, _request(gate_id, options))


def bounded_change(
    name: str,
    step: float,
    predictor: Predictor,
    data: Data,
    *,
    change_at_most: float,
    gate_id: str,
    **options: Unpack[Options],
) -> Evidence:
    """Show that a small step in one column moves the score only a little, up and down.

    Measures ``large_change_rate``, group `name`: the share of rows whose score moves by more than
    `change_at_most`. It finds cliffs: thresholds of a tree, sentinels, units.

    Parameters
    ----------
    name : str
        A numeric column.
    step : float
        In the column's own unit; added and taken away, where that stays within the values that occur.
    predictor : Predictor
        A model with one score for each row.
    data : Dataset or frame
        Rows of the population that the claim is about.
    change_at_most : float
        How far the score may move, in its own unit.
    gate_id, **options
        See `search.Options`.

    Raises
    ------
    InputError
        If the column is missing or not numeric, or no row can take the step.
    """
    inputs = inputs_of(data)
    asker = _asker(predictor, None, 0.0)
    relation = bounded(name, step, change_at_most, asker, inputs.batch)
    return settled(relation, inputs, _request(gate_id, options))


def additive(
    name: str | Transform,
    predictor: Predictor,
    data: Data,
    *,
    gate_id: str,
    tolerance: float = 0.0,
    relative: float = 1e-6,
    **options: Unpack[Options],
) -> Evidence:
    """Show that the answers to the parts add up to the answer to the whole, where that has to be.

    Measures ``inconsistent_sum_rate``: demand of two shops, cost of two orders, energy of two days.

    Parameters
    ----------
    name : str or callable
        A numeric column that is divided in two at random, or a function from inputs (and a generator) to a
        list of batches, the parts of each input.
    predictor : Predictor
        A model with one number for each input.
    data : Dataset, frame, array, or list
        Inputs of the population that the claim is about.
    tolerance, relative : float
        How far the sum may be off: by `tolerance`, and by this share of the whole.
    gate_id, **options
        See `search.Options`.

    Raises
    ------
    InputError
        If the column is missing or not numeric, or the parts do not fit the inputs.
    """
    inputs = inputs_of(data)
    asker = _asker(predictor, None, tolerance)
    request = _request(gate_id, options)
    relation = additivity(
        name, asker, inputs.batch, relative=size_of(relative, "relative"), seed=request.seed
    )
    return settled(relation, inputs, request)


def _asker(predictor: Predictor, threshold: float | None, tolerance: float | None) -> Asker:
    if tolerance is not None:
        size_of(tolerance, "tolerance")
    if threshold is not None and not np.isfinite(checked_number(threshold, name="threshold")):
        raise InputError(f"the threshold must be a finite number, got {threshold!r}")
    return Asker(predictor=predictor, threshold=threshold, tolerance=tolerance)


def _request(gate_id: str, options: Options) -> Request:
    unknown = set(options) - set(Options.__annotations__)
    if unknown:
        raise InputError(
            f"there is no option {', '.join(sorted(unknown))}",
            where=gate_id,
            hint=f"known: {', '.join(Options.__annotations__)}",
        )
    return Request(gate_id=gate_id, **options)
