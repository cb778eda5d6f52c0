"""An adapter of your own -> what it breaks of the promises that checks rely on.

Rows in, a list of broken promises out; `check_adapter` raises it. Needs no pytest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, Scores, close, device_of
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_MOST_ALONE = 8
_MOST_COLUMNS = 5
_THREADS = 4
_DEVICE = re.compile(r"[a-z]+(:\d+)?")


def check_adapter(
    make: Callable[[], Predictor],
    rows: pd.DataFrame,
    *,
    path: Path | None = None,
    by_name: bool = True,
    missing_cells: bool = True,
    refusals: tuple[type[Exception], ...] = (),
    tolerance: float = 0.0,
) -> None:
    """Hold a model adapter against what every check takes for granted.

    Parameters
    ----------
    make : callable
        Returns a new `Predictor`, each time of the same model.
    rows : DataFrame
        At least 4 rows that the model accepts, with all of its columns and no other.
    path : Path, optional
        The file that it was loaded from: its digest has to be the subject's.
    by_name : bool
        The model tells columns by name: their order is free, and one that is missing is refused by name.
    missing_cells : bool
        Ask it for rows with a missing number, too. It may refuse them.
    refusals : tuple of exception types
        What the model raises, beside InputError, for a table without rows or with missing cells that it does
        not take, for example ``(ValueError,)`` of scikit-learn's estimators.
    tolerance : float
        How much a score may differ between a row alone and in a batch: 0 unless the library sums in another
        order.

    Raises
    ------
    AssertionError
        With every promise that is broken, one a line.
    InputError
        If there are too few rows, or the adapter can not be made.
    """
    if len(rows) < 4 or not rows.columns.is_unique:
        raise InputError("check_adapter needs at least 4 rows with unique column names", where="rows")
    trial = _Trial(
        make=make, rows=rows.copy(deep=True), tolerance=tolerance, refusals=(InputError, *refusals)
    )
    trial.attempt("makes a Predictor", lambda: _is_predictor(trial))
    if not trial.problems:
        trial.attempt("answers", lambda: _answers(trial))
    if not trial.problems:
        trial.attempt("answers each row by itself", lambda: _row_by_row(trial, trial.rows))
        trial.attempt("can be called again", lambda: _again(trial))
        trial.attempt("prepare equals predict_score", lambda: _prepared(trial))
        trial.attempt("takes a table without rows", lambda: _empty(trial))
        trial.attempt("can be called by several threads", lambda: _threads(trial))
        trial.attempt("leaves the caller's rows as they are", lambda: _leaves_rows(trial))
        trial.attempt("tells its runtime, device and subject", lambda: _facts(trial, path))
        if by_name:
            trial.attempt("tells columns by name", lambda: _columns(trial))
        if missing_cells:
            trial.attempt("passes missing cells on", lambda: _missing(trial))
        trial.attempt("can be closed", lambda: _closes(trial))
    if trial.problems:
        told = "\n".join(f"- {problem}" for problem in trial.problems)
        raise AssertionError(f"the adapter breaks {len(trial.problems)} promises:\n{told}")


@dataclass(slots=True, kw_only=True)
class _Trial:
    make: Callable[[], Predictor]
    rows: pd.DataFrame
    tolerance: float
    refusals: tuple[type[Exception], ...]
    problems: list[str] = field(default_factory=list)
    predictor: Predictor = field(init=False)
    scores: Scores = field(init=False)

    def attempt(self, promise: str, check: Callable[[], Iterator[str]]) -> None:
        """Add what a check finds; an error in it breaks the promise, too."""
        try:
            self.problems += [f"{promise}: {problem}" for problem in check()]
        except Exception as error:  # noqa: BLE001 - of the adapter under test
            self.problems.append(f"{promise}: raised {type(error).__name__}: {error}")

    def ask(self, rows: pd.DataFrame) -> Scores:
        """Return scores for a copy of the rows."""
        return self.predictor.predict_score(rows.copy(deep=True))

    def is_same(self, found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> bool:
        """Compare scores; NaN equals NaN."""
        return found.shape == expected.shape and bool(
            np.allclose(found, expected, rtol=0, atol=self.tolerance, equal_nan=True)
        )


def _is_predictor(trial: _Trial) -> Iterator[str]:
    made: Any = trial.make()
    if not isinstance(made, Predictor):
        yield f"returned {type(made).__name__}, which lacks a method or property of Predictor"
        return
    trial.predictor = made
    if not isinstance(made.description, str) or not made.description.strip():
        yield "the description is no text"


def _answers(trial: _Trial) -> Iterator[str]:
    n_rows = len(trial.rows)
    scores: Any = trial.ask(trial.rows)
    if not isinstance(scores, np.ndarray) or scores.dtype != np.float64:
        yield f"predict_score returned {_kind(scores)}, not an array of float64"
        return
    if scores.shape[:1] != (n_rows,) or scores.ndim > 2 or (scores.ndim == 2 and scores.shape[1] < 3):
        yield f"predict_score returned the shape {scores.shape} for {n_rows} rows"
        return
    trial.scores = scores
    labels: Any = trial.predictor.predict(trial.rows.copy(deep=True))
    if not isinstance(labels, np.ndarray) or labels.shape != (n_rows,):
        yield f"predict returned {_kind(labels)} {getattr(labels, 'shape', '')}, not one label a row"
        return
    classes = getattr(trial.predictor, "classes", None)
    if classes is None:
        return
    if scores.ndim == 2 and scores.shape[1] != len(classes):
        yield f"there are {len(classes)} classes and {scores.shape[1]} columns of scores"
    strange = [label for label in labels.tolist() if label not in list(classes)]
    if strange:
        yield f"predict returned {strange[0]!r}, and the classes are {list(classes)!r}"
    elif scores.ndim == 2:
        best = [classes[column] for column in scores.argmax(axis=1)]
        clear = np.sort(scores, axis=1)
        wrong = np.flatnonzero((clear[:, -1] - clear[:, -2] > 1e-9) & (np.asarray(best) != labels))
        if len(wrong):
            yield f"row {wrong[0]} is labelled {labels[wrong[0]]!r} and scores {best[wrong[0]]!r} highest"


def _row_by_row(trial: _Trial, rows: pd.DataFrame) -> Iterator[str]:
    whole = trial.ask(rows)
    for position in range(min(len(rows), _MOST_ALONE)):
        alone = trial.ask(rows.iloc[position : position + 1])
        if not trial.is_same(alone, whole[position : position + 1]):
            yield f"row {position} scores {_told(alone)} alone and {_told(whole[position])} in a batch"
            break
    order = np.random.default_rng(0).permutation(len(rows))
    if not trial.is_same(trial.ask(rows.iloc[order]), whole[order]):
        yield "the order of the rows changes their scores"
    half = len(rows) // 2
    parts = [trial.ask(rows.iloc[:half]), trial.ask(rows.iloc[half:])]
    if not trial.is_same(np.concatenate(parts), whole):
        yield "two halves score differently from the whole"
    renumbered = rows.set_axis(range(1_000, 1_000 + len(rows)), axis=0)
    if not trial.is_same(trial.ask(renumbered), whole):
        yield "the index of the rows changes their scores"


def _again(trial: _Trial) -> Iterator[str]:
    if not trial.is_same(trial.ask(trial.rows), trial.scores):
        yield "the same rows score differently the second time"
    fresh = trial.make()
    if not trial.is_same(fresh.predict_score(trial.rows.copy(deep=True)), trial.scores):
        yield "a second predictor of the same model scores differently"


def _prepared(trial: _Trial) -> Iterator[str]:
    call = trial.predictor.prepare(trial.rows.copy(deep=True))
    for time in ("first", "second"):
        found = _numbers(call())
        if found is None:
            yield f"the {time} call returned no numbers that scores can be read from"
            return
        flat = trial.scores.reshape(len(trial.scores), -1)
        columns = (
            [found] if found.shape == flat.shape else [found[:, [each]] for each in range(found.shape[1])]
        )
        if not any(trial.is_same(each, flat) for each in columns):
            yield f"the {time} call returned other numbers"
            return


def _empty(trial: _Trial) -> Iterator[str]:
    try:
        found = trial.ask(trial.rows.iloc[:0])
    except trial.refusals:
        return
    if found.shape != (0, *trial.scores.shape[1:]):
        yield f"predict_score returned the shape {found.shape} for no rows"


def _threads(trial: _Trial) -> Iterator[str]:
    with ThreadPoolExecutor(_THREADS) as pool:
        answers = list(pool.map(lambda _: trial.ask(trial.rows), range(_THREADS * 4)))
    wrong = sum(not trial.is_same(found, trial.scores) for found in answers)
    if wrong:
        yield f"{wrong} of {len(answers)} answers differ when {_THREADS} threads ask"


def _leaves_rows(trial: _Trial) -> Iterator[str]:
    for name in ("predict_score", "predict", "prepare"):
        given = trial.rows.copy(deep=True)
        found = getattr(trial.predictor, name)(given)
        if name == "prepare":
            found()
        changed = list(given.columns) != list(trial.rows.columns) or not given.equals(trial.rows)
        if changed or not given.dtypes.equals(trial.rows.dtypes) or not given.index.equals(trial.rows.index):
            yield f"{name} changed them"


def _facts(trial: _Trial, path: Path | None) -> Iterator[str]:
    facts = trial.predictor.runtime()
    try:
        json.dumps(dict(facts), allow_nan=False)
    except (TypeError, ValueError) as error:
        yield f"the runtime facts are no JSON: {error}"
    if not all(isinstance(name, str) for name in facts) or not facts:
        yield "the runtime facts have no names"
    device = device_of(trial.predictor)
    if device is not None and not _DEVICE.fullmatch(device):
        yield f'{device!r} is no device like "cpu" or "cuda:0"'
    if path is not None:
        subject, digest = trial.predictor.subject, sha256_hex(path.read_bytes())
        if subject is None:
            yield "there is no subject, although there is a file"
        elif dict(subject.digest) != {"sha256": digest}:
            yield "the digest of the subject is not that of the file"


def _columns(trial: _Trial) -> Iterator[str]:
    names = list(trial.rows.columns)
    if not trial.is_same(trial.ask(trial.rows[names[::-1]]), trial.scores):
        yield "the order of the columns changes the scores"
    for name in names[:_MOST_COLUMNS]:
        try:
            trial.ask(trial.rows.drop(columns=name))
        except InputError as error:
            if str(name) not in error.what:
                yield f"the error for the missing column {name!r} does not name it"
        except Exception as error:  # noqa: BLE001 - of the adapter under test
            yield f"without the column {name!r} it raised {type(error).__name__} and no InputError"
        else:
            yield f"it answers without the column {name!r}"


def _missing(trial: _Trial) -> Iterator[str]:
    numbers = [name for name in trial.rows.columns if trial.rows[name].dtype.kind == "f"]
    if not numbers:
        return
    rows = trial.rows.copy(deep=True)
    rows.loc[rows.index[1], numbers[0]] = np.nan
    try:
        found = trial.ask(rows)
    except trial.refusals:
        return
    others = np.arange(len(rows)) != 1
    if found.shape != trial.scores.shape:
        yield f"with a missing cell the shape becomes {found.shape}"
    elif not trial.is_same(found[others], trial.scores[others]):
        yield "a missing cell in one row changes the scores of others"
    else:
        yield from _row_by_row(trial, rows)


def _closes(trial: _Trial) -> Iterator[str]:
    fresh = trial.make()
    close(fresh)
    close(fresh)
    if not trial.is_same(trial.ask(trial.rows), trial.scores):
        yield "closing one predictor changes another"


def _numbers(raw: object) -> npt.NDArray[np.float64] | None:
    """Return what a prepared call gave as (n, k), whatever its library's shape is."""
    if isinstance(raw, (list, tuple)) and len(raw) == 1:
        raw = raw[0]
    if isinstance(raw, list) and raw and isinstance(raw[0], dict):
        raw = [[row[name] for name in sorted(row)] for row in raw]
    try:
        found = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return found.reshape(len(found), -1) if found.ndim in {1, 2} and found.size else None


def _kind(found: object) -> str:
    return f"an array of {found.dtype}" if isinstance(found, np.ndarray) else type(found).__name__


def _told(found: npt.NDArray[Any]) -> str:
    return np.array2string(np.ravel(found), precision=6)
