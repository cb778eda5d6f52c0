"""A model and generated rows -> those that it can not answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, subjects_of
from pytest_prodml.adapters.schemas import is_schema
from pytest_prodml.checks.behavior.batches import Batch, Inputs, inputs_of, take
from pytest_prodml.checks.behavior.generator import Generated, generate
from pytest_prodml.checks.behavior.profile import Profile, profile_of
from pytest_prodml.checks.behavior.shrink import Fails, shrink
from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.counts import check_count, exact, plain
from pytest_prodml.errors import InputError, ProdmlError
from pytest_prodml.records import Evidence, JsonValue

if TYPE_CHECKING:
    import pandas as pd

_INVALID = "invalid_outputs"
_MOST_SHRUNK = 20
_MOST_EXAMPLES = 5

Bounds = tuple[float, float]


def finite_on_generated(
    predictor: Predictor,
    source: Any,  # noqa: ANN401 - a Dataset, a frame or a schema
    *,
    gate_id: str,
    schema: Any = None,  # noqa: ANN401 - pandera has no types for us
    max_examples: int = 10_000,
    bounds: Bounds | None = (0.0, 1.0),
    at_most: float = 0.0,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the model answers every valid row with a finite score.

    Half of the rows are plausible ones, half go as far as the schema lets them; without a schema all are
    plausible (`generator.generate` says what that means). Rows that the schema refuses are not used. Measures
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
        Of the generator. The same seed, rows and schema give the same rows.
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
    if isinstance(max_examples, bool) or max_examples < 1:
        raise InputError(
            f"max_examples must be at least 1, got {max_examples!r}", where="finite_on_generated"
        )
    inputs = None if is_schema(source) else inputs_of(source)
    profile = profile_of(source if inputs is None else inputs, schema=schema)
    parts = _parts(profile, max_examples, seed)
    rows = _joined(parts)
    failures = find_failures(predictor, rows, bounds)
    details: dict[str, JsonValue] = {
        "rows_made": {part.mode: len(part.rows) for part in parts},
        "rows_refused_by_schema": sum(part.n_refused for part in parts),
    }
    details |= _told(predictor, profile, rows, failures, bounds, seed)
    return Evidence(
        gate_id=gate_id,
        measurements=(
            exact(
                _INVALID,
                len(failures),
                len(rows),
                unit="rows",
                method="exact count over generated rows",
                note="a search among valid rows, not a sample of clients",
            ),
        ),
        criteria=(limited(_INVALID, at_most),),
        subjects=subjects_of(predictor),
        materials=inputs.materials if isinstance(inputs, Inputs) else (),
        seed=seed,
        details=details,
    )


def find_failures(predictor: Predictor, rows: Batch, bounds: Bounds | None) -> dict[int, str]:
    """Return position -> problem of every input without a valid answer.

    A batch that raises an error is halved until the inputs that do it stand alone. Errors of this package (a
    missing column) are no answer of the model and are passed on.
    """
    try:
        scores = predictor.predict_score(rows)
    except ProdmlError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the model raises is the finding
        if len(rows) == 1:
            return {0: f"raises {type(error).__name__}: {str(error).partition(chr(10))[0]}"}
        middle = len(rows) // 2
        first = find_failures(predictor, take(rows, np.arange(middle)), bounds)
        second = find_failures(predictor, take(rows, np.arange(middle, len(rows))), bounds)
        return first | {middle + position: problem for position, problem in second.items()}
    table = scores.reshape(len(scores), -1)
    problems = {}
    is_finite = np.asarray(np.isfinite(table).all(axis=1))
    is_inside = np.ones(len(table), dtype=bool)
    if bounds is not None:
        is_inside = np.asarray(((table >= bounds[0]) & (table <= bounds[1])).all(axis=1))
    for position in np.flatnonzero(~is_finite | ~is_inside):
        row = table[position]
        if np.isnan(row).any():
            problems[int(position)] = "the score is NaN"
        elif not is_finite[position]:
            problems[int(position)] = "the score is infinite"
        else:
            problems[int(position)] = f"the score {row[0]:.6g} is out of range"
    return problems


def _parts(profile: Profile, n_rows: int, seed: int) -> list[Generated]:
    if profile.schema is None:
        return [generate(profile, n_rows, mode="plausible", seed=seed)]
    parts = []
    refused = None
    for mode, size in (("plausible", n_rows - n_rows // 2), ("extreme", n_rows // 2)):
        if size == 0:
            continue
        try:
            parts.append(generate(profile, size, mode=mode, seed=seed))
        except InputError as error:
            # The rows at hand may break a new schema, or only extreme ones may: the other half still counts.
            refused = error
    if not parts and refused is not None:
        raise refused
    return parts


def _joined(parts: list[Generated]) -> pd.DataFrame:
    import pandas as pd

    if len(parts) == 1:
        return parts[0].rows
    return pd.concat([part.rows for part in parts], ignore_index=True)


def _kind(problem: str) -> str:
    """Return a problem without its numbers: what was raised, or what a score is."""
    if problem.startswith("raises "):
        return problem.partition(":")[0]
    return "out of range" if problem.endswith("is out of range") else problem


def _one_of_each(failures: Mapping[int, str]) -> list[tuple[int, str]]:
    """Return the failing rows, first one of each problem, then the second ones, and so on."""
    seen: dict[str, int] = {}
    ranked = []
    for position, problem in failures.items():
        kind = _kind(problem)
        seen[kind] = seen.get(kind, 0) + 1
        ranked.append((seen[kind], position, problem))
    return [(position, problem) for _, position, problem in sorted(ranked)]


def _told(
    predictor: Predictor,
    profile: Profile,
    rows: pd.DataFrame,
    failures: Mapping[int, str],
    bounds: Bounds | None,
    seed: int,
) -> dict[str, JsonValue]:
    """Return a few failing rows, simplified, that differ from each other."""

    def failing_as(problem: str) -> Fails:
        def fails(batch: Batch) -> npt.NDArray[np.bool_]:
            found = find_failures(predictor, batch, bounds)
            mask = np.zeros(len(batch), dtype=np.bool_)
            # A smaller row that fails for another reason would explain nothing.
            mask[[place for place, other in found.items() if _kind(other) == _kind(problem)]] = True
            return mask

        return fails

    told: dict[str, JsonValue] = {}
    for position, problem in _one_of_each(failures)[:_MOST_SHRUNK]:
        smaller = shrink(
            rows.iloc[[position]].reset_index(drop=True), failing_as(problem), profile, seed=seed
        )
        values = {name: plain(smaller.row[name].iloc[0]) for name in smaller.changed}
        text = ", ".join(f"{name}={value!r}" for name, value in values.items()) or "nothing"
        told.setdefault(text, {"problem": plain(problem), "differs from a typical row in": text})
        if len(told) == _MOST_EXAMPLES:
            break
    if not told:
        return {}
    typical = {str(name): plain(value) for name, value in profile.typical.iloc[0].items()}
    return {"counterexamples": list(told.values()), "typical_row": typical}
