"""Where inputs come from: those at hand, generated ones, or a Hypothesis strategy of the project's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import loaded
from pytest_prodml.adapters.predictor import Predictor
from pytest_prodml.checks.behavior.batches import Batch, Inputs, is_frame, take
from pytest_prodml.errors import InputError, ProdmlError
from pytest_prodml.records import JsonValue

if TYPE_CHECKING:
    from pytest_prodml.checks.behavior.relation import Relation
    from pytest_prodml.checks.behavior.search import Request

OBSERVED = "observed"
EXTREME = "extreme"
MODES = (OBSERVED, "plausible", EXTREME)
N_INPUTS = 10_000
_N_EXAMPLES = 1_000
#: More calls are not made to find the inputs at which a model raises an error.
_MOST_CALLS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """Inputs with their name; `is_sample` if they are draws from a stated distribution.

    `minimal` is what the source's own shrinking found, a batch of one.
    """

    name: str
    batch: Batch
    is_sample: bool = False
    notes: Mapping[str, JsonValue] = field(default_factory=dict)
    minimal: Batch | None = None


def is_strategy(given: object) -> bool:
    """Say whether something is a strategy of Hypothesis; imports nothing."""
    hypothesis = loaded("hypothesis")
    return hypothesis is not None and isinstance(given, hypothesis.strategies.SearchStrategy)


def sources_of(names: Sequence[str], data: Inputs, request: Request) -> list[Source]:
    """Return the inputs of each kind.

    Raises
    ------
    InputError
        For an unknown kind, or one that can not be made from these inputs.
    """
    if not names or len(set(names)) != len(names):
        raise InputError("names no kind of inputs, or one twice", where="inputs", hint=f"{', '.join(MODES)}")
    made = []
    for name in names:
        if name not in MODES:
            raise InputError(
                f"there are no inputs {name!r}",
                where="inputs",
                hint=f"{', '.join(MODES)}, or a Hypothesis strategy",
            )
        made.append(_observed(data) if name == OBSERVED else _generated(name, data, request))
    return made


def _observed(data: Inputs) -> Source:
    return Source(name=OBSERVED, batch=data.batch)


def _generated(mode: str, data: Inputs, request: Request) -> Source:
    from pytest_prodml.checks.behavior.generator import generate
    from pytest_prodml.checks.behavior.profile import profile_of

    if not data.is_frame:
        raise InputError(
            f"{mode} inputs can be made of tables only",
            where="inputs",
            hint="give a Hypothesis strategy, or the inputs themselves: data=[...]",
        )
    profile = profile_of(data, schema=request.schema)
    made = generate(profile, request.n_inputs or N_INPUTS, mode=mode, seed=request.seed)
    notes: dict[str, JsonValue] = {"refused by the schema": made.n_refused}
    return Source(name=mode, batch=made.rows, is_sample=mode == "plausible", notes=notes)


def replayed(strategy: Any, relation: Relation, data: Inputs, request: Request) -> Source:  # noqa: ANN401
    """Return the examples of a strategy, all tried in one call, with the smallest that fails.

    Examples are rows as dicts (of a table), or inputs as the model takes them.
    """
    from pytest_prodml.checks.behavior.replay import replay

    def batch_of(examples: Sequence[Any]) -> Batch:
        return _batch(examples, data)

    found = replay(
        strategy,
        lambda examples: relation.try_on(batch_of(examples)).broken,
        n_examples=request.n_inputs or _N_EXAMPLES,
        seed=request.seed,
    )
    return Source(
        name="Hypothesis strategy",
        batch=batch_of(found.examples),
        notes={"Hypothesis": found.version, "model calls": found.n_calls},
        minimal=None if found.minimal is None else batch_of([found.minimal]),
    )


def _batch(examples: Sequence[Any], data: Inputs) -> Batch:
    if data.is_frame:
        frame = data.frame
        if is_frame(examples[0]):
            from pytest_prodml.checks.behavior.batches import join

            return join(examples)
        return _rows(examples, frame)
    if isinstance(data.batch, np.ndarray):
        return np.stack([np.asarray(example) for example in examples]).astype(data.batch.dtype, copy=False)
    return list(examples)


def _rows(examples: Sequence[Any], frame: Any) -> Batch:  # noqa: ANN401 - a frame
    import pandas as pd

    if not all(isinstance(example, Mapping) for example in examples):
        raise InputError(
            f"a strategy for a table gives rows as dicts, got {type(examples[0]).__name__}",
            where="inputs",
            hint="st.fixed_dictionaries({...}), or checks.behavior.strategies.rows(frame)",
        )
    missing = [name for name in frame.columns if name not in examples[0]]
    if missing:
        raise InputError(
            f"the strategy gives no {', '.join(map(str, missing[:5]))}",
            where="inputs",
            hint="every column of the data has to be there",
        )
    try:
        return pd.DataFrame(
            {
                name: pd.Series([row[name] for row in examples], dtype=frame[name].dtype)
                for name in frame.columns
            },
            columns=frame.columns,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"rows of the strategy do not fit the data: {type(error).__name__}: {error}", where="inputs"
        ) from None


def answerable(predictor: Predictor, batch: Batch) -> npt.NDArray[np.bool_]:
    """Say which inputs the model answers with finite scores; the others it refuses.

    A batch that raises an error is halved, as long as that takes no more than 2,000 calls; what is left
    then counts as refused.
    """
    answered = np.zeros(len(batch), dtype=np.bool_)
    calls = 0
    waiting = [np.arange(len(batch))]
    while waiting and calls < _MOST_CALLS:
        rows = waiting.pop()
        calls += 1
        try:
            scores = predictor.predict_score(take(batch, rows))
        except ProdmlError:
            raise
        except Exception:  # noqa: BLE001 - whatever the model raises
            if rows.size > 1:
                waiting += [rows[: rows.size // 2], rows[rows.size // 2 :]]
            continue
        answered[rows] = np.isfinite(scores.reshape(rows.size, -1)).all(axis=1)
    return answered
