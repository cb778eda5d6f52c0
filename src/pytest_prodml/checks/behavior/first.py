"""A model and rows -> Evidence about what must, and must not, move its answer.

Each check changes rows in one way, predicts all of them in a few calls, and counts. Shares carry exact
one-sided bounds for the clients these rows were drawn from; what is counted on generated rows is about those
rows alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, binary_scores, decide, subjects_of
from pytest_prodml.adapters.tables import as_frame, column, materials_of
from pytest_prodml.checks.behavior.generated import describe, find_failures, generate_rows
from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.counts import check_count, check_share, exact, plain, share
from pytest_prodml.checks.swaps import constant, options_of
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue

if TYPE_CHECKING:
    import pandas as pd

_FLIPS = "decision_flip_rate"
_WRONG_WAY = "wrong_direction_rate"
_INVALID = "invalid_outputs"
_MOST_EXAMPLES = 5


def invariant_to(
    name: str,
    predictor: Predictor,
    data: Any,  # noqa: ANN401 - a Dataset or a frame
    *,
    gate_id: str,
    at_most: float,
    values: Sequence[object] | None = None,
    threshold: float | None = None,
    redact: bool = False,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the decision does not depend on one column.

    Every row is predicted once as it is and once with each other value in the column. Measures
    ``decision_flip_rate``, group `name`: the share of rows for which any of these gives another decision.

    Parameters
    ----------
    name : str
        The column, for example a protected attribute.
    predictor : Predictor
        The model.
    data : Dataset or frame
        Rows of the population that the claim is about.
    at_most : float
        The share of rows whose decision may flip.
    values : sequence, optional
        The values to put in; default those that occur (at most 50 different ones).
    threshold : float, optional
        The score from which the decision is positive; None takes the model's own label.
    redact : bool
        Leave the examples out of the evidence.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If the column is missing, has nothing to be changed to, or holds a value that its type can not; if
        a score is not finite.

    Notes
    -----
    Only the column itself changes. What follows from it (a proxy) stays: this shows direct dependence, not
    fairness.
    """
    del seed
    check_share(at_most)
    frame = as_frame(data)
    own = column(frame, name)
    options = options_of(own, values)
    before = decide(predictor, frame, threshold)
    is_changed = np.zeros(len(frame), dtype=bool)
    is_flipped = np.zeros(len(frame), dtype=bool)
    first_flip = np.full(len(frame), -1)
    for index, value in enumerate(options):
        differs = ~(own == value).to_numpy(dtype=bool, na_value=False)
        after = decide(predictor, frame.assign(**{name: constant(own, value)}), threshold)
        flips = differs & (after != before)
        first_flip[flips & ~is_flipped] = index
        is_changed |= differs
        is_flipped |= flips
    n_changed, n_flipped = int(is_changed.sum()), int(is_flipped.sum())
    if n_changed == 0:
        raise InputError(
            f"every row has the value {options[0]!r} already, so nothing was changed",
            where=name,
            hint="give values= that differ, or rows that do",
        )
    details: dict[str, JsonValue] = {"values_tried": len(options)}
    if not redact and n_flipped:
        rows = np.flatnonzero(is_flipped)[:_MOST_EXAMPLES]
        swapped = [options[first_flip[row]] for row in rows]
        details["counterexamples"] = _examples(predictor, frame, name, rows, swapped)
    return Evidence(
        gate_id=gate_id,
        measurements=(
            share(
                _FLIPS,
                n_flipped,
                n_changed,
                confidence_level=confidence_level,
                limit=at_most,
                group=name,
                note=f"rows whose decision changes with any of {len(options)} values of {name}",
            ),
        ),
        criteria=(limited(_FLIPS, at_most, group=name),),
        subjects=subjects_of(predictor),
        materials=materials_of(data),
        details=details,
    )


def monotone(
    name: str,
    direction: str,
    predictor: Predictor,
    data: Any,  # noqa: ANN401 - a Dataset or a frame
    *,
    gate_id: str,
    at_most: float,
    step: float = 1.0,
    tolerance: float = 0.0,
    redact: bool = False,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the score follows one column in one direction.

    Every row is predicted as it is and with `step` added to the column. Measures ``wrong_direction_rate``,
    group `name`: the share of rows whose score moves the wrong way by more than `tolerance`.

    Parameters
    ----------
    name : str
        A numeric column.
    direction : {"increasing", "decreasing"}
        How the score must answer to a larger value (staying the same is always right).
    predictor : Predictor
        A model with one score for each row.
    data : Dataset or frame
        Rows of the population that the claim is about. Rows without a value, and rows whose changed value
        would lie beyond all values that occur, are left out: nobody is there.
    at_most : float
        The share of rows that may move the wrong way.
    step : float
        What is added.
    tolerance : float
        How far a score may move the wrong way.
    redact : bool
        Leave the examples out of the evidence.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If the column is missing or not numeric, `step` does not fit it, no row is left, or a score is not
        finite.
    """
    del seed
    check_share(at_most)
    if direction not in {"increasing", "decreasing"} or not tolerance >= 0:
        raise InputError(
            f"got direction={direction!r}, tolerance={tolerance!r}",
            where="monotone",
            hint="direction is 'increasing' or 'decreasing', tolerance a number from 0 on",
        )
    frame = as_frame(data)
    moved = _stepped(column(frame, name), step)
    is_inside = moved.notna() & (moved <= frame[name].max()) & (moved >= frame[name].min())
    inside = frame.loc[is_inside.to_numpy(dtype=bool)]
    if len(inside) == 0:
        raise InputError(
            f"no row can take the step {step!r} without leaving the values that occur",
            where=name,
            hint="take a smaller step, or more rows",
        )
    swapped = moved[is_inside.to_numpy(dtype=bool)]
    change = binary_scores(predictor, inside.assign(**{name: swapped})) - binary_scores(predictor, inside)
    against = -change if direction == "increasing" else change
    is_wrong = against > tolerance
    n_wrong = int(is_wrong.sum())
    details: dict[str, JsonValue] = {
        "step": step,
        "rows_left_out": len(frame) - len(inside),
        "largest_wrong_move": abs(float(max(np.max(against), 0.0))),
    }
    if not redact and n_wrong:
        rows = np.argsort(-against, kind="stable")[: min(_MOST_EXAMPLES, n_wrong)]
        details["counterexamples"] = _examples(predictor, inside, name, rows, list(swapped.iloc[rows]))
    return Evidence(
        gate_id=gate_id,
        measurements=(
            share(
                _WRONG_WAY,
                n_wrong,
                len(inside),
                confidence_level=confidence_level,
                limit=at_most,
                group=name,
                note=f"rows whose score is not {direction} when {step:g} is added to {name}",
            ),
        ),
        criteria=(limited(_WRONG_WAY, at_most, group=name),),
        subjects=subjects_of(predictor),
        materials=materials_of(data),
        details=details,
    )


def finite_on_generated(
    predictor: Predictor,
    source: Any,  # noqa: ANN401 - a Dataset, a frame or a schema
    *,
    gate_id: str,
    schema: Any = None,  # noqa: ANN401 - pandera has no types for us
    max_examples: int = 1000,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    at_most: float = 0.0,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the model answers every valid row with a finite score.

    Hypothesis makes `max_examples` rows, each column from what the schema allows or, where it says nothing,
    from what was observed; rows that the schema refuses are not used. All are predicted in one call. Measures
    ``invalid_outputs``: the rows for which the model raises an error, or a score is not finite or out of
    `bounds`. Failing rows are shown by the columns in which they have to differ from a typical row to fail.

    Parameters
    ----------
    predictor : Predictor
        The model.
    source : Dataset, frame or pandera schema
        Observed rows, or the schema alone.
    schema : pandera schema, optional
        What rows may be, where `source` is observed rows.
    max_examples : int
        How many rows to make.
    bounds : (float, float), optional
        Where scores lie; None for scores that are no probabilities.
    at_most : float
        How many rows may fail.
    seed : int
        Of the generator. The same seed, rows, schema and version of Hypothesis give the same rows; Hypothesis
        also draws on constants in the project's own modules that are loaded.
    gate_id, confidence_level
        Common to all checks; an exact count needs no level.

    Raises
    ------
    InputError
        If no rows can be made from what is known of a column, or the schema refuses all of them.

    Notes
    -----
    The rows are no sample of any population, so there is no bound on a rate: a pass means that a search of
    this size found nothing.
    """
    del confidence_level
    check_count(at_most)
    if bounds is not None and not bounds[0] < bounds[1]:
        raise InputError(f"bounds must be (low, high), got {bounds!r}", where="finite_on_generated")
    made = generate_rows(source, schema=schema, n_rows=max_examples, seed=seed)
    failures = find_failures(predictor, made.rows, bounds)
    return Evidence(
        gate_id=gate_id,
        measurements=(
            exact(
                _INVALID,
                len(failures),
                len(made.rows),
                unit="rows",
                method="exact count over generated rows",
                note="a search among valid rows, not a sample of clients",
            ),
        ),
        criteria=(limited(_INVALID, at_most),),
        subjects=subjects_of(predictor),
        materials=materials_of(source),
        seed=seed,
        details=describe(predictor, made, failures, bounds),
    )


def _stepped(own: pd.Series, step: float) -> pd.Series:
    import pandas as pd

    name = str(own.name)
    if not pd.api.types.is_numeric_dtype(own.dtype) or pd.api.types.is_bool_dtype(own.dtype):
        raise InputError(f"is {own.dtype}; a direction needs numbers", where=name)
    if not np.isfinite(step) or step == 0:
        raise InputError(f"step must be a number other than 0, got {step!r}", where=name)
    if pd.api.types.is_integer_dtype(own.dtype):
        if step != int(step):
            raise InputError(f"holds whole numbers, and the step is {step!r}", where=name)
        return own + int(step)
    return own + step


def _examples(
    predictor: Predictor,
    frame: pd.DataFrame,
    name: str,
    rows: npt.NDArray[np.intp],
    values: Sequence[object],
) -> list[JsonValue]:
    import pandas as pd

    chosen = frame.iloc[rows]
    own = chosen[name]
    changed = chosen.assign(**{name: pd.Series(list(values), index=own.index, dtype=own.dtype)})
    before, after = predictor.predict_score(chosen), predictor.predict_score(changed)
    return [
        {
            "row": plain(label),
            f"{name} before": plain(old),
            f"{name} after": plain(new),
            "score before": _score(first),
            "score after": _score(second),
        }
        for label, old, new, first, second in zip(
            chosen.index, own, changed[name], before, after, strict=True
        )
    ]


def _score(value: Any) -> JsonValue:  # noqa: ANN401 - a number or one for each class
    scores = np.atleast_1d(value)
    return plain(scores[0]) if len(scores) == 1 else [plain(score) for score in scores]
