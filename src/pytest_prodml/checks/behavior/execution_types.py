"""Cases about the table around the values, and about the same values in another type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_prodml._lazy import require
from pytest_prodml.checks.behavior.execution_answers import Refusal, ask
from pytest_prodml.checks.behavior.execution_columns import (
    columns_of,
    frame_of,
    is_number,
    is_text,
)
from pytest_prodml.checks.behavior.execution_trial import (
    Case,
    Finding,
    NotApplicableError,
    Trial,
    Variant,
    failed,
    judged,
    over_variants,
)

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 32
_TABLE = "table"
_TYPES = "types"


def _column_order(trial: Trial, case: Case) -> Iterator[Variant]:
    frame = frame_of(trial)
    names = list(frame.columns)
    if len(names) < 2:
        raise NotApplicableError("there is one column")
    if names == list(range(len(names))):
        raise NotApplicableError("the columns have no names, only places")
    places = trial.first(len(trial))
    shuffled = [names[place] for place in trial.random(case).permutation(len(names))]
    orders = {"reverse": names[::-1], "rotated": names[1:] + names[:1], "random": shuffled}
    for told, order in orders.items():
        if order != names:
            yield Variant(told=f"columns in {told} order", batch=frame[order], places=places)


def _extra_columns(trial: Trial, _: Case) -> Iterator[Variant]:
    frame = frame_of(trial)
    places = trial.first(len(trial))
    numbers, texts = np.linspace(-1e3, 1e3, len(frame)), ["not a feature"] * len(frame)
    for told, values in (("numbers", numbers), ("text", texts)):
        last = frame.assign(**{"prodml extra": values})
        yield Variant(told=f"one more column of {told} at the end", batch=last, places=places)
        first = last[["prodml extra", *frame.columns]]
        yield Variant(told=f"one more column of {told} in front", batch=first, places=places)


def _missing_column(trial: Trial, _: Case) -> Iterator[Variant]:
    frame = frame_of(trial)
    if len(frame.columns) < 2:
        raise NotApplicableError("there is one column")
    places = trial.first(_ROWS)
    for name in columns_of(frame):
        batch = frame.iloc[places].drop(columns=[name])
        # Whether it matters is the model's business: any valid answer will do.
        told = f"without the column {name!r}"
        yield Variant(told=told, batch=batch, places=places * 0 - 1, column=str(name))


def _float32(trial: Trial, case: Case) -> Finding:
    """Compare tables that hold the very same numbers, those that float32 has, in both types."""
    batch = trial.batch
    if isinstance(batch, np.ndarray):
        if batch.dtype != np.float64:
            raise NotApplicableError(f"the inputs are {batch.dtype}")
        with np.errstate(over="ignore"):
            narrow: Any = batch.astype(np.float32)
        wide: Any = narrow.astype(np.float64)
    else:
        frame = frame_of(trial)
        names = [name for name in frame.columns if frame[name].dtype == np.float64]
        if not names:
            raise NotApplicableError("no column is float64")
        with np.errstate(over="ignore"):
            narrow = frame.astype(dict.fromkeys(names, np.float32))
        wide = narrow.astype(dict.fromkeys(names, np.float64))
    expected = ask(trial.predictor, wide)
    if isinstance(expected, Refusal):
        return failed(f"rounded to what float32 can hold: {expected}")
    places = trial.first(len(trial))
    variant = Variant(told="float32 in place of float64", batch=narrow, places=places, expected=expected)
    tolerance = max(trial.float32_tolerance, trial.rules.tolerance)
    return judged(trial, case, [variant], tolerance=tolerance)


def _converted(
    told: str, chosen: Callable[[pd.Series], bool], convert: Callable[[pd.Series], pd.Series]
) -> Callable[[Trial, Case], Finding]:
    """Return a case that converts all columns of a kind at once."""

    def variants(trial: Trial, _: Case) -> Iterator[Variant]:
        frame = frame_of(trial)
        changed = {name: convert(frame[name]) for name in frame.columns if chosen(frame[name])}
        if not changed:
            raise NotApplicableError("no column is of that kind")
        # Not assign(): names of columns need not be text.
        batch = frame.copy()
        for name, values in changed.items():
            batch[name] = values
        yield Variant(told=told, batch=batch, places=trial.first(len(trial)))

    return over_variants(variants)


def _fits_int32(own: pd.Series) -> bool:
    if own.dtype != np.int64:
        return False
    limit = np.iinfo(np.int32)
    return bool(own.min() >= limit.min and own.max() <= limit.max)


def _is_plain_integer(own: pd.Series) -> bool:
    return isinstance(own.dtype, np.dtype) and own.dtype.kind in "iu" and bool((own.abs() < 2**53).all())


def _swapped_category(own: pd.Series) -> pd.Series:
    pandas = require("pandas", extra="behavior")
    is_category = isinstance(own.dtype, pandas.CategoricalDtype)
    return own.astype(own.cat.categories.dtype if is_category else "category")


def _is_plain(own: pd.Series) -> bool:
    return isinstance(own.dtype, np.dtype) and own.dtype.kind in "ifb"


def _numbers_as_text(trial: Trial, _: Case) -> Iterator[Variant]:
    frame = frame_of(trial)
    places = trial.first(_ROWS)
    rows = frame.iloc[places]
    for name in columns_of(rows, is_number):
        texts = [None if missing else repr(value) for value, missing in _cells(rows[name])]
        batch = rows.copy()
        batch[name] = np.array(texts, dtype=object)
        told = f"the numbers of {name!r} as text"
        yield Variant(told=told, batch=batch, places=places, column=str(name))


def _cells(own: pd.Series) -> list[tuple[object, bool]]:
    return list(zip(own.tolist(), own.isna().tolist(), strict=True))


def _layout(trial: Trial, _: Case) -> Iterator[Variant]:
    batch = trial.batch
    if not isinstance(batch, np.ndarray):
        raise NotApplicableError("the inputs are no array")
    places = trial.first(len(trial))
    if batch.ndim > 1:
        told = "the array in the order of Fortran"
        yield Variant(told=told, batch=np.asfortranarray(batch), places=places)
    wide = np.repeat(batch, 2, axis=0)[::2]
    yield Variant(told="every second row of a larger array", batch=wide, places=places)


def _integer_array(trial: Trial, _: Case) -> Iterator[Variant]:
    batch: np.ndarray[Any, Any] = trial.batch
    if batch.dtype.kind not in "iu" or np.abs(batch.astype(np.float64)).max(initial=0.0) >= 2**53:
        raise NotApplicableError("the inputs are no array of whole numbers that float64 holds")
    told = f"float64 in place of {batch.dtype}"
    yield Variant(told=told, batch=batch.astype(np.float64), places=trial.first(len(trial)))


def _integers_as_floats(trial: Trial, case: Case) -> Finding:
    if isinstance(trial.batch, np.ndarray):
        return over_variants(_integer_array)(trial, case)
    told = "whole numbers as float64"
    return _converted(told, _is_plain_integer, lambda own: own.astype(np.float64))(trial, case)


def _case(name: str, topic: str, claim: str, run: Callable[[Trial, Case], Finding]) -> Case:
    return Case(name=name, topic=topic, claim=claim, run=run, may_refuse=True)


CASES = (
    _case(
        "column_order",
        _TABLE,
        "columns in another order: the same answers, or a refusal",
        over_variants(_column_order),
    ),
    _case(
        "extra_columns",
        _TABLE,
        "a column that is no feature: the same answers, or a refusal",
        over_variants(_extra_columns),
    ),
    _case(
        "missing_column",
        _TABLE,
        "a column that is not there: valid answers, or a refusal",
        over_variants(_missing_column),
    ),
    replace(
        _case("float32", _TYPES, "the same numbers as float32: the same answers, to float32", _float32),
        may_refuse=False,
    ),
    _case(
        "integer_width",
        _TYPES,
        "int32 in place of int64: the same answers, or a refusal",
        _converted("int32 in place of int64", _fits_int32, lambda own: own.astype(np.int32)),
    ),
    _case(
        "integers_as_floats",
        _TYPES,
        "whole numbers as float64: the same answers, or a refusal",
        _integers_as_floats,
    ),
    _case(
        "object_columns",
        _TYPES,
        "all columns of type object: the same answers, or a refusal",
        _converted(
            "all columns of type object", lambda own: own.dtype != object, lambda own: own.astype(object)
        ),
    ),
    _case(
        "categories",
        _TYPES,
        "text as categories and categories as text: the same answers, or a refusal",
        _converted("text as categories, or the other way round", is_text, _swapped_category),
    ),
    _case(
        "nullable_columns",
        _TYPES,
        "types of pandas that know missing values: the same answers, or a refusal",
        _converted("nullable types", _is_plain, lambda own: own.convert_dtypes()),
    ),
    _case(
        "numbers_as_text",
        _TYPES,
        "numbers as text, column by column: the same answers, or a refusal",
        over_variants(_numbers_as_text),
    ),
    replace(
        _case(
            "memory_layout", _TYPES, "an array laid out otherwise: the same answers", over_variants(_layout)
        ),
        may_refuse=False,
    ),
)
