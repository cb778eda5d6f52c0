"""Cases about how a value is read that the model does not know: as a number, or as a category, that it does.

A model that never refuses may still be wrong: it answers a missing age as age 0, or an unseen profession as
the first one of its list.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_prodml.checks.behavior.execution_answers import Answer, Refusal, ask
from pytest_prodml.checks.behavior.execution_columns import (
    columns_of,
    emptied,
    filled,
    frame_of,
    is_missing,
    is_number,
    is_text,
)
from pytest_prodml.checks.behavior.execution_hostile import UNSEEN
from pytest_prodml.checks.behavior.execution_trial import (
    Case,
    Finding,
    NotApplicableError,
    Status,
    Trial,
    failed,
    one,
)
from pytest_prodml.checks.swaps import MOST_VALUES

_ROWS = 20
#: What programs write where there is no number.
_FILLS = (0, -1, -999)
#: Categories that are made for values of which nothing is known.
_REMAINDERS = frozenset(
    {"", "?", "-", "na", "n/a", "nan", "none", "null", "missing", "unknown", "other", "others", "rare"}
    | {"infrequent", "unspecified", "misc", "rest"}
)


def _missing_as_number(trial: Trial, case: Case) -> Finding:
    """Compare the answers to a missing number with those to numbers that no row can have.

    Only a fill outside of the observed values tells: 0 among standardized numbers is their mean. And only a
    model for which it is another value than the nearest observed one: a tree reads both alike.
    """
    frame = frame_of(trial)
    rows = frame.iloc[trial.first(_ROWS)]
    every = np.ones(len(rows), dtype=np.bool_)
    tried = refused = 0
    for name in columns_of(frame, is_number):
        own = trial.everything[name]
        if is_missing(own):
            continue  # the data have some, so that how they are filled was decided on
        low, high = float(own.min()), float(own.max())
        least = 0 if str(own.dtype).lower().startswith("uint") else -np.inf
        fills = [fill for fill in _FILLS if (fill < low or fill > high) and fill >= least]
        if not fills:
            continue
        tried += 1
        missing = ask(trial.predictor, emptied(rows, name, every))
        if isinstance(missing, Refusal):
            if trial.demands(case, str(name)):
                return failed(f"a missing {name!r}: {missing}", tried=tried)
            refused += 1
            continue
        for fill in fills:
            as_fill = ask(trial.predictor, filled(rows, name, every, [_of_type(fill, own)]))
            if isinstance(as_fill, Refusal) or not _all_same(trial, missing, as_fill):
                continue
            nearest = _of_type(own.min() if fill < low else own.max(), own)
            as_nearest = ask(trial.predictor, filled(rows, name, every, [nearest]))
            if isinstance(as_nearest, Answer) and not _all_same(trial, as_fill, as_nearest):
                told = f"a missing {name!r} is answered as {fill}, and the data hold {low:.6g} to {high:.6g}"
                return failed(told, tried=tried, example=one(rows, 0))
    if tried == 0:
        raise NotApplicableError("no column of numbers without missing cells keeps away from 0, -1 and -999")
    return _passed(tried, refused)


def _of_type(value: Any, own: Any) -> Any:  # noqa: ANN401 - a number and a column
    return int(value) if own.dtype.kind in "iu" else float(value)


def _unseen_as_known(trial: Trial, case: Case) -> Finding:
    """Compare the answers to an unseen category with those to each known one."""
    frame = frame_of(trial)
    rows = frame.iloc[trial.first(_ROWS)]
    every = np.ones(len(rows), dtype=np.bool_)
    tried = refused = 0
    for name in columns_of(frame, is_text):
        known = [value for value in trial.everything[name].dropna().unique() if value != UNSEEN]
        if not 2 <= len(known) <= MOST_VALUES:
            continue
        tried += 1
        unseen = ask(trial.predictor, filled(rows, name, every, [UNSEEN]))
        if isinstance(unseen, Refusal):
            if trial.demands(case, str(name)):
                return failed(f"an unseen {name!r}: {unseen}", tried=tried)
            refused += 1
            continue
        answers = {value: ask(trial.predictor, filled(rows, name, every, [value])) for value in known}
        same = [
            value
            for value, answer in answers.items()
            if isinstance(answer, Answer) and _all_same(trial, unseen, answer)
        ]
        # All alike: the model does not look at the column. Several alike: nothing tells them apart.
        if len(same) != 1 or len(answers) < 2 or _is_remainder(trial, name, same[0]):
            continue
        told = (
            f"an unseen {name!r} is answered as {str(same[0])[:40]!r}, and as none of the other "
            f"{len(answers) - 1} categories"
        )
        return failed(told, tried=tried, example=one(rows, 0))
    if tried == 0:
        raise NotApplicableError(f"no column of text has 2 to {MOST_VALUES} categories")
    return _passed(tried, refused)


def _is_remainder(trial: Trial, name: object, value: object) -> bool:
    declared = trial.fallbacks.get(str(name))
    return str(value).strip().casefold() in _REMAINDERS or (declared is not None and declared == value)


def _all_same(trial: Trial, first: Answer, second: Answer) -> bool:
    differs, _ = trial.rules.differing(first, second)
    return not differs.any()


def _passed(tried: int, refused: int) -> Finding:
    status = Status.REFUSED if refused == tried else Status.PASSED
    return Finding(status=status, tried=tried, refused=refused)


CASES = (
    Case(
        name="missing_as_number",
        topic="hostile values",
        claim="a missing number is not answered as 0, -1 or -999, where no row holds these",
        run=_missing_as_number,
        may_refuse=True,
    ),
    Case(
        name="unseen_as_known",
        topic="hostile values",
        claim="an unseen category is not answered as one of the known ones",
        run=_unseen_as_known,
        may_refuse=True,
    ),
)
