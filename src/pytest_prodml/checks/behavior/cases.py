"""Small cases with known answers: what a model has to get right to be worth looking at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, decide, finite_scores, subjects_of
from pytest_prodml.checks.behavior.batches import (
    Batch,
    Inputs,
    inputs_of,
    is_frame,
    join,
    material_of,
    take,
    told,
)
from pytest_prodml.checks.counts import at_most, check_share, exact, plain
from pytest_prodml.checks.evidence import measurement
from pytest_prodml.checks.labels import checked_number
from pytest_prodml.checks.swaps import accepted, constant
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue
from pytest_prodml.statistics.intervals import proportion

FAILED, PASSED = "failed_cases", "passed_cases"
_MOST_SHOWN = 50

#: A label, a range of scores (low, high), or a function of the score that returns True.
Expected: TypeAlias = Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cases:
    batch: Batch
    expected: Sequence[Expected]


def minimum_functionality(
    cases: Any,  # noqa: ANN401 - pairs of any input with what is expected, or (X, y)
    predictor: Predictor,
    data: Any = None,  # noqa: ANN401 - as for every check
    *,
    gate_id: str,
    at_least: float | None = None,
    threshold: float | None = None,
    positive_label: object = 1,
    redact: bool = False,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that small cases with known answers are answered right.

    Without `at_least` every case has to pass: measures ``failed_cases``, an exact count that must be 0. With
    it the cases are a sample of many of their kind: measures ``passed_cases``, a share with a lower bound.
    MFT of CheckList: Ribeiro et al. (2020).

    Parameters
    ----------
    cases : (X, y), or sequence of (input, expected)
        An input is what the model takes one of: a text, an array, a row as a dict. A row may name the
        columns that matter; the others are those of a typical row of `data`. Expected is a label, a pair
        (low, high) between which the score must lie, or a function of the score that returns True.
    predictor : Predictor
        The model.
    data : Dataset or frame, optional
        Rows that fill what dicts leave out; its columns and types.
    at_least : float, optional
        The share of cases of this kind that must pass.
    threshold, positive_label : float, object
        A label is decided by the model, or with a threshold by the score: `positive_label` from there on.
    redact : bool
        Leave the cases that fail out of the evidence.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If there are no cases, one names a column that does not exist or has nothing to be compared with, or
        the model refuses a case.
    """
    del seed
    found = _read(cases, data)
    n = len(found.expected)
    what = "a case"
    scores = accepted(lambda: finite_scores(predictor, found.batch), what, predictor.description)
    decisions = accepted(lambda: decide(predictor, found.batch, threshold), what, predictor.description)
    is_right = np.asarray(
        [
            _is_right(
                expected, scores[place], decisions[place], positive_label, has_threshold=threshold is not None
            )
            for place, expected in enumerate(found.expected)
        ],
        dtype=np.bool_,
    )
    n_failed = int((~is_right).sum())
    measured = exact(
        FAILED, n_failed, n, unit="cases", method="exact count", note="cases with a known answer"
    )
    measurements, criteria = [measured], [at_most(FAILED, 0)]
    if at_least is not None:
        check_share(at_least, "at_least")
        criteria = [Criterion(metric=PASSED, comparison=Comparison.AT_LEAST, limit=at_least)]
        measurements.insert(
            0,
            measurement(
                PASSED,
                proportion(n - n_failed, n, of="cases"),
                criteria=criteria,
                n_samples=n,
                confidence_level=confidence_level,
                higher_is_better=True,
                note="the cases as a sample of many of their kind",
            ),
        )
    details: dict[str, JsonValue] = {"cases": n}
    if threshold is not None:
        details["threshold"] = threshold
    if n_failed and not redact:
        rows = np.flatnonzero(~is_right)
        details["cases_that_fail"] = [
            _shown(found, scores, decisions, int(row)) for row in rows[:_MOST_SHOWN]
        ]
        if rows.size > _MOST_SHOWN:
            details["cases_that_fail_left_out"] = int(rows.size) - _MOST_SHOWN
    material = material_of(found.batch, "cases")
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measurements),
        criteria=tuple(criteria),
        subjects=subjects_of(predictor),
        materials=() if material is None else (material,),
        details=details,
    )


def _is_right(
    expected: Expected,
    score: Any,  # noqa: ANN401
    decision: object,
    positive_label: object,
    *,
    has_threshold: bool,
) -> bool:
    if callable(expected):
        told = expected(_plain_score(score))
        if not isinstance(told, (bool, np.bool_)):
            raise InputError(
                f"a case's function returned {type(told).__name__}",
                where="cases",
                hint="return True or False",
            )
        return bool(told)
    if isinstance(expected, tuple):
        low, high = _range(expected)
        single = np.atleast_1d(score)
        if single.size != 1:
            raise InputError(
                f"the model has {single.size} classes, so a range of scores can not be expected",
                where="cases",
            )
        return bool(low <= float(single[0]) <= high)
    if has_threshold:
        return bool(decision) == bool(expected == positive_label)
    return bool(decision == expected)


def _range(expected: tuple[Any, ...]) -> tuple[float, float]:
    if len(expected) != 2:
        raise InputError(f"a range is (low, high), got {expected!r}", where="cases")
    low, high = (checked_number(edge, name="the edge of a range") for edge in expected)
    if not low <= high:
        raise InputError(f"the range {expected!r} holds no number", where="cases")
    return low, high


def _plain_score(score: Any) -> Any:  # noqa: ANN401 - a number, or an array of one for each class
    single = np.atleast_1d(score)
    return float(single[0]) if single.size == 1 else single


def _read(cases: Any, data: Any) -> _Cases:  # noqa: ANN401
    if isinstance(cases, tuple) and len(cases) == 2 and not _is_case(cases):
        inputs = inputs_of(cases, name="cases")
        assert inputs.target is not None  # noqa: S101 - a pair has labels
        return _Cases(batch=inputs.batch, expected=inputs.target.tolist())
    if not isinstance(cases, Sequence) or isinstance(cases, (str, bytes)) or not len(cases):
        raise InputError(
            "there are no cases", where="cases", hint='give [({"income": 0}, "refuse"), ...], or (X, y)'
        )
    bad = next((case for case in cases if not (isinstance(case, tuple) and len(case) == 2)), None)
    if bad is not None:
        raise InputError(f"a case is a pair (input, expected), got {type(bad).__name__}", where="cases")
    inputs_given = [case[0] for case in cases]
    return _Cases(batch=_batch(inputs_given, data), expected=[case[1] for case in cases])


def _is_case(cases: tuple[Any, Any]) -> bool:
    """Say whether a tuple of two is two cases, not inputs with their labels."""
    return all(isinstance(item, tuple) and len(item) == 2 for item in cases)


def _batch(given: list[Any], data: Any) -> Batch:  # noqa: ANN401
    if all(isinstance(item, Mapping) for item in given):
        if data is None:
            raise InputError(
                "cases that are dicts need rows that say which columns there are",
                where="cases",
                hint="data=frame",
            )
        inputs = inputs_of(data)
        return join([_row(item, inputs) for item in given]) if len(given) > 1 else _row(given[0], inputs)
    if all(isinstance(item, np.ndarray) for item in given) and len({item.shape for item in given}) == 1:
        return np.stack(given)
    if all(is_frame(item) for item in given):
        return join(given)
    return given


def _row(item: Mapping[str, Any], inputs: Inputs) -> Batch:
    from pytest_prodml.adapters.tables import no_column
    from pytest_prodml.checks.behavior.profile import profile_of

    row = profile_of(inputs).typical
    for name, value in item.items():
        if name not in row.columns:
            raise no_column(name, row.columns, where="cases")
        row = row.assign(**{str(name): constant(row[name], value, allow_missing=True)})
    return row


def _shown(
    found: _Cases, scores: npt.NDArray[np.float64], decisions: npt.NDArray[Any], row: int
) -> JsonValue:
    one = told(take(found.batch, [row]) if is_frame(found.batch) else found.batch[row])
    expected = found.expected[row]
    wanted: JsonValue = (
        getattr(expected, "__name__", "a function") if isinstance(expected, Callable) else plain(expected)  # type: ignore[arg-type]
    )
    score = np.atleast_1d(scores[row])
    decided = plain(decisions[row])
    shown: dict[str, JsonValue] = {"case": row, "expected": wanted, "decided": decided}
    shown["score"] = plain(score[0]) if score.size == 1 else str([plain(part) for part in score])
    return shown | (
        one if isinstance(one, dict) else {"input": one if isinstance(one, str) else plain(str(one))}
    )
