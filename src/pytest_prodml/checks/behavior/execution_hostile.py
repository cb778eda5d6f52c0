"""Cases about values that no row of the data holds: missing, infinite, extreme, unseen.

Each batch holds rows of the sample beside the hostile ones: a model may refuse the batch, but if it answers,
the hostile rows get valid answers and the others the ones that they always get.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_prodml._lazy import require
from pytest_prodml.checks.behavior.batches import is_frame, take
from pytest_prodml.checks.behavior.execution_columns import (
    columns_of,
    emptied,
    filled,
    frame_of,
    is_date,
    is_float,
    is_missing,
    is_number,
    is_text,
)
from pytest_prodml.checks.behavior.execution_trial import (
    NEW,
    Case,
    Finding,
    NotApplicableError,
    Places,
    Trial,
    Variant,
    judged,
    over_variants,
)

if TYPE_CHECKING:
    import pandas as pd

UNSEEN = "prodml unseen"
_CLEAN, _HOSTILE = 8, 8
_TOPIC = "hostile values"
_LONG = "word " * 20_000
_UNUSUAL = (
    "a\u200bb\u200d\ufeff",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u202e\u05e9\u05dc\u05d5\u05dd",
    "e\u0301\u0301\u0301",
    "\u0430\u0440\u0440l\u0435",
    "\ud83d",
    "\t\n\r\0",
    "%s {} \\ '\" <b>",
)


def _places(trial: Trial) -> Places:
    """Return the places of a few rows of the sample and, after them, of those that become hostile."""
    known = trial.first(_CLEAN)
    return np.concatenate([known, np.arange(_HOSTILE, dtype=np.intp) % len(trial)])


def _marked(places: Places) -> tuple[Places, np.ndarray[Any, Any]]:
    hostile = np.arange(len(places)) >= len(places) - _HOSTILE
    return np.where(hostile, NEW, places), hostile


def _hostile(
    kind: Callable[[pd.Series], bool], values_of: Callable[[pd.Series], Sequence[Any]], told: str
) -> Callable[[Trial, Case], Iterator[Variant]]:
    def variants(trial: Trial, _: Case) -> Iterator[Variant]:
        frame = frame_of(trial)
        chosen = frame.iloc[_places(trial)]
        places, hostile = _marked(_places(trial))
        for name in columns_of(frame, kind):
            values = values_of(frame[name])
            batch = filled(chosen, name, hostile, values)
            yield Variant(
                told=f"{told} in {name!r}",
                batch=batch,
                places=places,
                column=str(name),
                alone=tuple(np.flatnonzero(hostile)[: len(values)].tolist()),
            )

    return variants


def _missing(trial: Trial, case: Case) -> Finding:
    """Columns that have missing cells in the data have to be answered, whatever the case allows."""
    if not is_frame(trial.batch):
        return over_variants(_missing_in_array)(trial, case)
    frame = trial.everything
    demanded = frozenset(str(name) for name in frame.columns if is_missing(frame[name]))
    return judged(trial.demanding(case, demanded), case, _missing_variants(trial))


def _missing_variants(trial: Trial) -> Iterator[Variant]:
    frame = frame_of(trial)
    chosen = frame.iloc[_places(trial)]
    places, hostile = _marked(_places(trial))
    for name in columns_of(frame):
        batch = emptied(chosen, name, hostile)
        yield Variant(told=f"missing in {name!r}", batch=batch, places=places, column=str(name))
    if len(frame.columns) > 1:
        batch = chosen.copy()
        for name in frame.columns:
            batch = emptied(batch, name, hostile)
        yield Variant(told="missing in all columns", batch=batch, places=places, column="")


def _spoiled(value: float) -> Callable[[Trial], Variant]:
    def variant(trial: Trial) -> Variant:
        batch = trial.batch
        if not isinstance(batch, np.ndarray) or batch.dtype.kind != "f":
            raise NotApplicableError("the inputs are neither a table nor an array of floats")
        chosen = take(batch, _places(trial))
        places, hostile = _marked(_places(trial))
        if chosen[0].size == 0:
            raise NotApplicableError("the inputs hold no number")
        flat = chosen.reshape(len(chosen), -1).copy()
        rows = np.flatnonzero(hostile)
        flat[rows, np.arange(len(rows)) * 7 % flat.shape[1]] = value
        told = f"{value:g} in one number of an input"
        return Variant(told=told, batch=flat.reshape(chosen.shape), places=places)

    return variant


def _missing_in_array(trial: Trial, _: Case) -> Iterator[Variant]:
    if isinstance(trial.batch, list):
        chosen = take(trial.batch, _places(trial))
        places, hostile = _marked(_places(trial))
        batch = [None if bad else item for item, bad in zip(chosen, hostile, strict=True)]
        yield Variant(told="None in place of an input", batch=batch, places=places)
        return
    yield _spoiled(float("nan"))(trial)


def _infinities(trial: Trial, case: Case) -> Iterator[Variant]:
    if not is_frame(trial.batch):
        yield _spoiled(float("inf"))(trial)
        yield _spoiled(float("-inf"))(trial)
        return
    yield from _hostile(is_number, lambda _: (float("inf"), float("-inf")), "infinite")(trial, case)


def _extremes_of(own: pd.Series) -> Sequence[Any]:
    known = own.dropna()
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    span = max(high - low, abs(high), abs(low), 1.0)
    if is_float(own):
        most = 1e15 if str(own.dtype).lower() != "float16" else 6e4
        values = [high + 1e3 * span, low - 1e3 * span, 0.0, most, -most, 100 * high, high / 1000]
        return [float(np.clip(value, -most, most)) for value in values]
    name = str(own.dtype).lower()
    least = 0 if name.startswith("u") else -np.inf
    limits = np.iinfo(name if name in {"int8", "int16", "uint8", "uint16", "uint32"} else "int32")
    wide = [high + 1e3 * span, low - 1e3 * span, 0.0, limits.max, limits.min, 100 * high]
    return [int(np.clip(value, max(limits.min, least), limits.max)) for value in wide]


def _dates_of(own: pd.Series) -> Sequence[Any]:
    pandas = require("pandas", extra="behavior")
    zone = getattr(own.dtype, "tz", None)
    # What programs write for "never" and "for ever", and the days that their clocks begin with.
    return [pandas.Timestamp(day, tz=zone) for day in ("1900-01-01", "1970-01-01", "2200-12-31")]


def _extremes(trial: Trial, case: Case) -> Iterator[Variant]:
    if is_frame(trial.batch):
        yield from _hostile(is_number, _extremes_of, "extreme values")(trial, case)
        yield from _hostile(is_date, _dates_of, "dates far off")(trial, case)
        return
    batch = trial.batch
    if not isinstance(batch, np.ndarray) or batch.dtype.kind not in "iuf":
        raise NotApplicableError("the inputs are neither a table nor an array of numbers")
    limits = np.iinfo(batch.dtype) if batch.dtype.kind in "iu" else np.finfo(batch.dtype)
    most = min(float(limits.max), 1e15)
    for value in (most, max(float(limits.min), -most), 0):
        chosen = take(batch, _places(trial)).copy()
        places, hostile = _marked(_places(trial))
        chosen[hostile] = value
        yield Variant(told=f"inputs full of {value:g}", batch=chosen, places=places)


def _unseen_values(own: pd.Series) -> Sequence[Any]:
    return [value for value in (UNSEEN, "", "\u00e9\u4e2d\U0001f600") if not (own == value).any()]


def _texts(trial: Trial) -> None:
    if not isinstance(trial.batch, list) or not all(isinstance(item, str) for item in trial.batch):
        raise NotApplicableError("the inputs are no list of texts")


def _odd_texts(told: str, texts: Sequence[str]) -> Callable[[Trial, Case], Iterator[Variant]]:
    def variants(trial: Trial, _: Case) -> Iterator[Variant]:
        _texts(trial)
        known = trial.first(_CLEAN)
        places = np.concatenate([known, np.full(len(texts), NEW, dtype=np.intp)])
        alone = tuple(range(len(known), len(places)))
        yield Variant(told=told, batch=[*take(trial.batch, known), *texts], places=places, alone=alone)

    return variants


def _case(name: str, claim: str, run: Callable[[Trial, Case], Finding]) -> Case:
    return Case(name=name, topic=_TOPIC, claim=claim, run=run, may_refuse=True)


CASES = (
    _case(
        "missing_values",
        "a missing value in each column: a valid answer, or a refusal; an answer where the data have some",
        _missing,
    ),
    _case(
        "unseen_categories",
        "a category that no row has, in each column of text: a valid answer, or a refusal",
        over_variants(_hostile(is_text, _unseen_values, "an unseen category")),
    ),
    _case(
        "extremes",
        "numbers far out of range, in each column: a valid answer, or a refusal",
        over_variants(_extremes),
    ),
    _case(
        "infinities",
        "infinite numbers, in each column: a valid answer, or a refusal",
        over_variants(_infinities),
    ),
    _case(
        "empty_text",
        "texts without a word: a valid answer, or a refusal",
        over_variants(_odd_texts("a text without a word", ("", " ", "\n", "."))),
    ),
    _case(
        "long_text",
        "a text of 100,000 characters: a valid answer, or a refusal",
        over_variants(_odd_texts("a long text", (_LONG, "x" * 100_000))),
    ),
    _case(
        "unusual_text",
        "texts with invisible, combining, right-to-left or broken characters: a valid answer, or a refusal",
        over_variants(_odd_texts("a text with unusual characters", _UNUSUAL)),
    ),
)
