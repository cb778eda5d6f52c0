"""Generated rows, or a model's answers -> what of the training data they give back as it was."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, subjects_of
from pytest_prodml.checks.behavior.batches import Batch, Inputs, inputs_of, is_frame, kind, material_of
from pytest_prodml.checks.behavior.private_attacks import (
    classes_of,
    scores_of,
    signals_of_classes,
    signals_of_numbers,
)
from pytest_prodml.checks.behavior.private_likeness import (
    Mask,
    equal_inputs,
    nearest_distances,
    repeated_passages,
    rounded_alike,
    same_values,
)
from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.counts import check_share
from pytest_prodml.checks.evidence import evidence, measurement
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import Estimate
from pytest_prodml.statistics.independent import difference
from pytest_prodml.statistics.intervals import proportion

_COPIED = "copied_share"
_MEMORISED = "memorised_share"
_WHERE = "reproduced"
_LEAST_ROWS = 50
#: The share of new real rows that count as near a training row by this definition of near.
_NEAR = 0.02
#: A probability from here on is certainty.
_CERTAIN = 1 - 1e-6
_EXACT = 1e-9


def reproduced(
    generated: Any,  # noqa: ANN401 - rows, or a function that makes them
    data: Any,  # noqa: ANN401 - whatever the generator makes
    *,
    members: Any,  # noqa: ANN401 - whatever the generator makes
    gate_id: str,
    at_most: float,
    n_rows: int = 2_000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a generator does not give its training rows away as new ones.

    Measures ``copied_share``: the share of generated rows that are copies of training rows, less the share of
    held-out rows that are: what new real rows have in common with the training rows is no copy. Groups:
    ``exact`` (equal in all values, or as texts but for case and spaces), ``near`` (equal after rounding to a
    tenth of each column's spread; of texts: half of the passages of five words stand in one training text),
    and ``nearest`` (nearer to a training row than 2 % of held-out rows are; tables and arrays). The gate is
    on the upper bound of each.

    Parameters
    ----------
    generated : frame, array, list, or callable
        Generated rows, or a function of a number of rows (and a `seed`, if it takes one) that makes them.
    data : Dataset, frame, array or list
        Held-out rows of the same origin as `members`, with the columns that `generated` has.
    members : as `data`
        The rows that the generator was made from, all of them.
    at_most : float
        The largest share of generated rows beyond what held-out rows explain.
    n_rows : int
        How many rows a callable is asked for.
    gate_id, confidence_level, seed
        Common to all checks; `seed` halves the held-out rows and is handed to the callable.

    Raises
    ------
    InputError
        With fewer than 50 rows of any of the three, or where they can not be compared.

    Notes
    -----
    The distance to the closest record (compare Platzer, Reutterer 2021) is Euclidean over columns in units of
    their robust spread; categories that differ count as one unit. What is near is defined by one half of the
    held-out rows; the other half is what generated rows are compared with. Bounds are exact ones of both
    shares, combined (MOVER). Rows that are wrong in one column and right in all others are no copies here,
    and a generator may give away facts without any copy.
    """
    check_share(at_most)
    made = _made(generated, n_rows, seed)
    known, held = inputs_of(members, name="members"), inputs_of(data)
    rows = inputs_of(made, name="generated")
    for part, what in ((rows, "generated"), (known, "training"), (held, "held-out")):
        if len(part) < _LEAST_ROWS:
            raise InputError(
                f"there are {len(part):,} {what} rows, at least {_LEAST_ROWS} are needed", where=_WHERE
            )
    batches = _alike([known.batch, held.batch, rows.batch])
    measurements, shown = _copied(batches, at_most, confidence_level, seed)
    found = evidence(
        gate_id,
        measurements,
        [limited(_COPIED, at_most, group=item.group) for item in measurements],
        seed=seed,
        details={
            "generated_rows": len(rows),
            "training_rows": len(known),
            "held_out_rows": len(held),
            "shares": shown,
        },
    )
    subjects = (material_of(rows.batch, "generated"), known.material, held.material)
    return Evidence(
        gate_id=gate_id,
        measurements=found.measurements,
        criteria=found.criteria,
        materials=tuple(item for item in subjects if item is not None),
        seed=seed,
        details=found.details,
    )


def _made(generated: Any, n_rows: int, seed: int) -> Any:  # noqa: ANN401 - rows
    if not callable(generated):
        return generated
    if n_rows < 1:
        raise InputError(f"n_rows must be at least 1, got {n_rows!r}", where=_WHERE)
    try:
        takes_seed = "seed" in inspect.signature(generated).parameters
    except (TypeError, ValueError):
        takes_seed = False
    try:
        return generated(n_rows, seed=seed) if takes_seed else generated(n_rows)
    except Exception as error:  # noqa: BLE001 - any library's own
        told = " ".join(str(error).split())[:200]
        raise InputError(
            f"the generator raises {type(error).__name__}: {told}",
            where=_WHERE,
            hint="give a function of a number of rows, or the rows themselves",
        ) from None


def _alike(batches: Sequence[Batch]) -> list[Batch]:
    """Return the batches with the columns that generated rows have, all of one kind."""
    first = batches[-1]
    if is_frame(first) and all(map(is_frame, batches)):
        for batch, what in zip(batches[:2], ("training", "held-out"), strict=True):
            absent = [str(name) for name in first.columns if name not in batch.columns]
            if absent:
                raise InputError(f"the {what} rows have no column {absent[0]!r}", where=_WHERE)
        return [batch[list(first.columns)] for batch in batches]
    is_array = [isinstance(batch, np.ndarray) for batch in batches]
    if any(map(is_frame, batches)) or len(set(is_array)) > 1:
        told = ", ".join(kind(batch) for batch in batches)
        raise InputError(
            f"training, held-out and generated rows are of different kinds: {told}", where=_WHERE
        )
    if all(is_array) and len({batch.shape[1:] for batch in batches}) > 1:
        raise InputError("training, held-out and generated arrays are of different shapes", where=_WHERE)
    return list(batches)


def _copied(
    batches: Sequence[Batch], at_most: float, level: float, seed: int
) -> tuple[list[Measurement], list[JsonValue]]:
    known, held, rows = batches
    masks: dict[str, tuple[Mask, Mask]] = {}
    notes: dict[str, str] = {}
    if is_frame(rows):
        masks["exact"] = same_values(known, rows), same_values(known, held)
        masks["near"] = rounded_alike(known, rows, seed), rounded_alike(known, held, seed)
    else:
        masks["exact"] = equal_inputs(known, rows), equal_inputs(known, held)
    texts = isinstance(rows, list) and all(
        isinstance(item, str) for batch in batches for item in batch[:1_000]
    )
    if texts:
        masks["near"] = repeated_passages(known, rows), repeated_passages(known, held)
    else:
        distances = nearest_distances(known, [held, rows])
        if distances is not None:
            of_held, of_rows = distances
            chooses = np.random.default_rng(seed).permutation(len(of_held)) < len(of_held) // 2
            near = float(np.quantile(of_held[chooses], _NEAR, method="lower"))
            masks["nearest"] = of_rows <= near, of_held[~chooses] <= near
            notes["nearest"] = f"nearer than {near:.4g} to a training row"
    measurements: list[Measurement] = []
    shown: list[JsonValue] = []
    for group, (of_rows_mask, of_held_mask) in masks.items():
        parts = [_share(of_rows_mask, "generated rows"), _share(of_held_mask, "held-out rows")]
        counts = f"{np.count_nonzero(of_rows_mask):,} of {of_rows_mask.size:,} generated and "
        counts += f"{np.count_nonzero(of_held_mask):,} of {of_held_mask.size:,} held-out rows"
        measurements.append(
            measurement(
                _COPIED,
                difference(*parts),
                criteria=[limited(_COPIED, at_most, group=group)],
                n_samples=int(of_rows_mask.size + of_held_mask.size),
                confidence_level=level,
                higher_is_better=False,
                group=group,
                note="; ".join([counts, *([notes[group]] if group in notes else [])]),
            )
        )
        shown.append({"group": group, "generated": parts[0].value, "held_out": parts[1].value})
    return measurements, shown


def _share(mask: npt.NDArray[np.bool_], of: str) -> Estimate:
    return proportion(float(np.count_nonzero(mask)), mask.size, of=of)


def memorised(
    predictor: Predictor,
    data: Any,  # noqa: ANN401 - whatever a model takes
    *,
    members: Any,  # noqa: ANN401 - whatever a model takes
    gate_id: str,
    at_most: float,
    task: str = "auto",
    classes: Sequence[Any] | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a model does not give back the answers that it was trained with.

    A nearest neighbour of one, an unpruned tree and a table of looked-up answers give each training row its
    own label with certainty, or its very number. Measures ``memorised_share``: the share of training rows
    that are answered so, less the share of held-out rows that are. The gate is on the upper bound.

    Parameters
    ----------
    predictor : Predictor
        The model.
    data : Dataset or pair of inputs and labels
        Held-out rows of the same origin as `members`.
    members : as `data`
        Training rows, all or a random part.
    at_most : float
        The largest share of training rows, beyond that of held-out rows.
    task, classes : str, sequence
        As in `private`.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        With fewer than 50 rows of a set, without labels, or where the model refuses the rows.

    Notes
    -----
    Certain is a probability of the true label from 1 - 1e-6 on; the very number is one that differs by no
    more than 1e-9 of the labels' spread. Bounds are exact ones of both shares, combined (MOVER).
    """
    check_share(at_most)
    known, held = inputs_of(members, name="members"), inputs_of(data)
    for part, what in ((known, "training"), (held, "held-out")):
        if part.target is None:
            raise InputError(f"the {what} rows have no labels", where="memorised", hint="give (X, y) pairs")
        if len(part) < _LEAST_ROWS:
            raise InputError(
                f"there are {len(part):,} {what} rows, at least {_LEAST_ROWS} are needed", where="memorised"
            )
    exact = _exact_answers(predictor, known, held, task, classes)
    parts = [_share(exact[: len(known)], "training rows"), _share(exact[len(known) :], "held-out rows")]
    criterion = limited(_MEMORISED, at_most)
    measured = measurement(
        _MEMORISED,
        difference(*parts),
        criteria=[criterion],
        n_samples=len(known) + len(held),
        confidence_level=confidence_level,
        higher_is_better=False,
        note=f"{parts[0].value:.3%} of the training rows and {parts[1].value:.3%} of the held-out rows",
    )
    return Evidence(
        gate_id=gate_id,
        measurements=(measured,),
        criteria=(criterion,),
        subjects=subjects_of(predictor),
        materials=tuple(item for item in (known.material, held.material) if item is not None),
        seed=seed,
        details={"training_share": parts[0].value, "held_out_share": parts[1].value},
    )


def _exact_answers(
    predictor: Predictor, known: Inputs, held: Inputs, task: str, classes: Sequence[Any] | None
) -> Mask:
    parts = (scores_of(predictor, known, "training rows"), scores_of(predictor, held, "held-out rows"))
    scores = np.concatenate(parts)
    target = np.concatenate([part.target for part in (known, held) if part.target is not None])
    fractions = target.dtype.kind == "f" and bool(np.any(target % 1 != 0))
    if task == "regression" or (task == "auto" and fractions):
        squares: npt.NDArray[np.float64] = -signals_of_numbers(scores, target)["loss"]
        return np.asarray(np.sqrt(squares) <= _EXACT * max(float(np.std(target.astype(float))), _EXACT))
    if scores.ndim == 1 and (np.min(scores) < 0 or np.max(scores) > 1):
        raise InputError("the scores are no probabilities, so none is certain", where=predictor.description)
    labels = classes_of(predictor, scores, [target], classes)
    return np.asarray(np.exp(signals_of_classes(scores, target, labels)["loss"]) >= _CERTAIN)
