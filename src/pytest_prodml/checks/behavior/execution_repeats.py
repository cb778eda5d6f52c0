"""Cases about calls: repeated, after other calls, side by side, with a model that was stored and loaded."""

from __future__ import annotations

import pickle
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from pytest_prodml._lazy import loaded
from pytest_prodml.adapters.callable import CallablePredictor
from pytest_prodml.adapters.predictor import BoundPredictor, Predictor
from pytest_prodml.checks.behavior.batches import Batch, is_frame, take
from pytest_prodml.checks.behavior.execution_answers import (
    Refusal,
    answer_of,
    ask,
    copied,
    is_same,
)
from pytest_prodml.checks.behavior.execution_threads import THREADS, in_threads
from pytest_prodml.checks.behavior.execution_trial import (
    Case,
    Finding,
    NotApplicableError,
    NotTriedError,
    Status,
    Trial,
    Variant,
    failed,
    judged,
    one,
)

_TOPIC = "calls"
_REPEATS = 5


def inner_of(predictor: Predictor) -> Predictor:
    """Return the model behind a declared binding to a file."""
    return predictor.inner if isinstance(predictor, BoundPredictor) else predictor


def is_onnx(predictor: Predictor) -> bool:
    """Say whether a model is run by onnxruntime; imports nothing."""
    adapter = loaded("pytest_prodml.adapters.onnx")
    return adapter is not None and isinstance(predictor, adapter.OnnxPredictor)


def _repeated(trial: Trial, case: Case) -> Finding:
    places = trial.first(len(trial))
    told = "the same call once more"
    return judged(
        trial, case, (Variant(told=told, batch=trial.batch, places=places) for _ in range(_REPEATS))
    )


def _state(trial: Trial, case: Case) -> Finding:
    """Ask about other rows in between: a state that is kept (a mean, a cache, a counter) shows."""
    places = trial.first(len(trial))
    random = trial.random(case)
    disturbances = [
        take(trial.everything, random.integers(0, len(trial.everything), size=len(trial))),
        take(trial.batch, places[:1]),
        take(trial.batch, np.full(50, places[-1])),
        *_shifted(trial),
    ]

    def variants() -> Any:  # noqa: ANN401 - an iterator of variants
        for between in disturbances:
            ask(trial.predictor, between)
            told = f"after a call with {len(between)} other rows"
            yield Variant(told=told, batch=trial.batch, places=places)

    return judged(trial, case, variants())


def _shifted(trial: Trial) -> list[Batch]:
    """Return the sample with other numbers, so that even what looks at means and ranges sees a change."""
    batch = trial.batch
    if isinstance(batch, np.ndarray) and batch.dtype.kind == "f":
        return [batch * 2 + 1]
    if is_frame(batch):
        names = [name for name in batch.columns if batch[name].dtype.kind == "f"]
        if names:
            changed = batch.copy()
            for name in names:
                changed[name] = batch[name] * 2 + 1
            return [changed]
    return []


def _unchanged(trial: Trial, _: Case) -> Finding:
    given, before = copied(trial.batch), copied(trial.batch)
    if not is_same(given, before):
        raise NotTriedError("the inputs are not equal to a copy of them, so that a change can not be seen")
    answer = answer_of(trial.predictor, given)
    if isinstance(answer, Refusal):
        return failed(str(answer))
    if is_same(given, before):
        return Finding(status=Status.PASSED, tried=len(before))
    what = "the inputs are changed in place"
    if is_frame(given):
        what = _change(before, given)
    elif len(given) == len(before):
        changed = [row for row in range(len(before)) if not is_same(given[row], before[row])]
        what = f"{len(changed)} of {len(before)} inputs are changed in place"
    return failed(what, tried=len(before), example=one(before, 0))


def _change(before: Any, after: Any) -> str:  # noqa: ANN401 - frames
    added = [str(name) for name in after.columns if name not in before.columns]
    gone = [str(name) for name in before.columns if name not in after.columns]
    if added or gone:
        parts = [f"adds {', '.join(added[:5])}"] if added else []
        parts += [f"removes {', '.join(gone[:5])}"] if gone else []
        return f"the model {' and '.join(parts)} in the caller's table"
    if not after.index.equals(before.index):
        return "the model changes the index of the caller's table"
    names = [str(name) for name in before.columns if not is_same(before[[name]], after[[name]])]
    return f"the model changes the caller's column{'s'[: len(names) != 1]} {', '.join(names[:5])}"


def _round_trip(trial: Trial, case: Case) -> Finding:
    """Pickle the object in memory and take it out again: only bytes that were written here are read."""
    inner = inner_of(trial.predictor)
    if is_onnx(inner):
        raise NotApplicableError("an ONNX session is made from its file: see process")
    if isinstance(inner, CallablePredictor) and isinstance(
        inner.function, (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
    ):
        raise NotApplicableError("a function is code, which is not stored")
    try:
        again = pickle.loads(pickle.dumps(inner))  # noqa: S301 - made one line before, from what is in memory
    except Exception as error:  # noqa: BLE001 - any object's own
        told = " ".join(str(error).split())[:200]
        return failed(f"can not be stored and loaded: {type(error).__name__}: {told}")
    answer = ask(again, trial.batch)
    if isinstance(answer, Refusal):
        return failed(f"after it was stored and loaded: {answer}")
    wrong, gap = trial.rules.differing(trial.answer, answer)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        told = (
            f"another answer in {np.count_nonzero(wrong)} of {len(wrong)} rows after it was stored and loaded"
        )
        return failed(told, largest=gap, example=one(trial.batch, row))
    del case
    return Finding(status=Status.PASSED, tried=1, largest=gap)


def _case(name: str, claim: str, run: Callable[[Trial, Case], Finding]) -> Case:
    return Case(name=name, topic=_TOPIC, claim=claim, run=run)


#: Without this one no other answer can be compared.
REPEATED = _case("repeated_calls", "the same call gives the same answers each time", _repeated)
STATE = _case("state", "calls with other rows in between change nothing", _state)

CASES = (
    REPEATED,
    STATE,
    _case("input_unchanged", "the model leaves its caller's inputs as they are", _unchanged),
    _case("threads", f"{THREADS} threads that ask at once get the answers that they get in turn", in_threads),
    _case("round_trip", "the model in memory answers the same after it was pickled and loaded", _round_trip),
)
