"""`check_adapter` finds what is planted in an adapter, and nothing in a sound one."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import onnx_models as models
from pytest_prodml.adapters import as_predictor, load_model
from pytest_prodml.adapters.tables import no_column
from pytest_prodml.errors import InputError
from pytest_prodml.records import Subject
from pytest_prodml.testing import check_adapter

NAMES = ["a", "b", "c"]
WEIGHTS = np.array([1.0, -2.0, 0.5])


def table(n_rows: int = 20) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(2).normal(size=(n_rows, 3)), columns=NAMES)


class Sound:
    """A third-party adapter as it should be; the broken ones differ in one thing."""

    subject: Subject | None = None
    description = "a linear model"
    classes = (0, 1)
    device = "cpu"

    def matrix(self, rows: pd.DataFrame) -> Any:
        for name in NAMES:
            if name not in rows.columns:
                raise no_column(name, rows.columns, where=self.description)
        return rows[NAMES].to_numpy(dtype=float)

    def predict_score(self, rows: pd.DataFrame) -> Any:
        return 1 / (1 + np.exp(-(self.matrix(rows) * WEIGHTS).sum(axis=1)))

    def predict(self, rows: pd.DataFrame) -> Any:
        return (self.predict_score(rows) >= 0.5).astype(int)

    def prepare(self, rows: pd.DataFrame) -> Callable[[], object]:
        given = rows.copy()
        return lambda: self.predict_score(given)

    def runtime(self) -> Mapping[str, Any]:
        return {"adapter": "linear"}

    def close(self) -> None:
        """Nothing is open."""


class ScalesByTheBatch(Sound):
    def matrix(self, rows: pd.DataFrame) -> Any:
        found = super().matrix(rows)
        return found - found.mean(axis=0) if len(found) else found


class AssumesAnIndex(Sound):
    def predict_score(self, rows: pd.DataFrame) -> Any:
        return super().predict_score(rows.sort_index())


class WritesIntoTheRows(Sound):
    def predict_score(self, rows: pd.DataFrame) -> Any:
        if len(rows):
            rows["a"] = rows["a"] * 1.0
            rows["bias"] = 1.0
        return super().predict_score(rows)


class TakesColumnsByPosition(Sound):
    def matrix(self, rows: pd.DataFrame) -> Any:
        return rows.to_numpy(dtype=float)[:, :3]


class FillsColumns(Sound):
    def matrix(self, rows: pd.DataFrame) -> Any:
        return rows.reindex(columns=NAMES).fillna(0.0).to_numpy(dtype=float)


class ForgetsTheName(Sound):
    def matrix(self, rows: pd.DataFrame) -> Any:
        if set(NAMES) - set(rows.columns):
            raise InputError("a column is missing", where="model")
        return super().matrix(rows)


class FillsByTheBatch(Sound):
    def matrix(self, rows: pd.DataFrame) -> Any:
        found = super().matrix(rows)
        return pd.DataFrame(found).fillna(pd.DataFrame(found).mean()).fillna(0.0).to_numpy()


class DropsMissing(Sound):
    def matrix(self, rows: pd.DataFrame) -> Any:
        found = super().matrix(rows)
        return found[~np.isnan(found).any(axis=1)]


class PreparesSomethingElse(Sound):
    def prepare(self, rows: pd.DataFrame) -> Callable[[], object]:
        matrix = self.matrix(rows)
        return lambda: matrix @ WEIGHTS


class RemembersTheFirst(Sound):
    def prepare(self, rows: pd.DataFrame) -> Callable[[], object]:
        answers = [self.predict_score(rows)]
        return lambda: answers.pop() if answers else np.zeros(len(rows))


class ReturnsHalfPrecision(Sound):
    def predict_score(self, rows: pd.DataFrame) -> Any:
        return super().predict_score(rows).astype(np.float32)


class ReturnsTwoColumns(Sound):
    def predict_score(self, rows: pd.DataFrame) -> Any:
        risk = super().predict_score(rows)
        return np.column_stack([1 - risk, risk])


class LabelsOfAnotherKind(Sound):
    def predict(self, rows: pd.DataFrame) -> Any:
        return np.where(super().predict(rows) == 1, "yes", "no")


class RefusesNoRows(Sound):
    def matrix(self, rows: pd.DataFrame) -> Any:
        if not len(rows):
            raise ValueError("no rows")
        return super().matrix(rows)


class DrawsNoise(Sound):
    def predict_score(self, rows: pd.DataFrame) -> Any:
        return super().predict_score(rows) + np.random.default_rng().normal(size=len(rows)) * 1e-3


class SharesABuffer(Sound):
    """Holds the rows of the last caller while another thread calls."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def predict_score(self, rows: pd.DataFrame) -> Any:
        self.seen.add(threading.get_ident())
        time.sleep(0.001)
        found = super().predict_score(rows)
        return found if len(self.seen) == 1 else found[::-1]


class TellsAnObject(Sound):
    def runtime(self) -> Mapping[str, Any]:
        return {"adapter": "linear", "weights": WEIGHTS}


class RunsNowhere(Sound):
    device = "My Laptop"


class ClosesOnce(Sound):
    def __init__(self) -> None:
        self.is_open = True

    def close(self) -> None:
        if not self.is_open:
            raise RuntimeError("closed already")
        self.is_open = False


class NoPredictor:
    def predict_score(self, rows: pd.DataFrame) -> Any:
        return np.zeros(len(rows))


BROKEN = [
    (ScalesByTheBatch, "answers each row by itself: row 0 scores"),
    (AssumesAnIndex, "the order of the rows changes their scores"),
    (WritesIntoTheRows, "leaves the caller's rows as they are: predict_score changed them"),
    (TakesColumnsByPosition, "the order of the columns changes the scores"),
    (FillsColumns, "it answers without the column 'a'"),
    (ForgetsTheName, "the error for the missing column 'b' does not name it"),
    (FillsByTheBatch, "passes missing cells on: row 1 scores"),
    (DropsMissing, "with a missing cell the shape becomes"),
    (PreparesSomethingElse, "prepare equals predict_score: the first call returned other numbers"),
    (RemembersTheFirst, "prepare equals predict_score: the second call returned other numbers"),
    (ReturnsHalfPrecision, "an array of float32, not an array of float64"),
    (ReturnsTwoColumns, r"predict_score returned the shape \(20, 2\)"),
    (LabelsOfAnotherKind, r"predict returned '(yes|no)', and the classes are \[0, 1\]"),
    (RefusesNoRows, "takes a table without rows: raised ValueError: no rows"),
    (DrawsNoise, "the same rows score differently the second time"),
    (SharesABuffer, "answers differ when 4 threads ask"),
    (TellsAnObject, "the runtime facts are no JSON"),
    (RunsNowhere, "'My Laptop' is no device"),
    (ClosesOnce, "can be closed: raised RuntimeError: closed already"),
    (NoPredictor, "returned NoPredictor, which lacks"),
]


@pytest.mark.parametrize(("adapter", "promise"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_adapter_is_told_what_it_breaks(adapter: Any, promise: str) -> None:
    with pytest.raises(AssertionError, match=f"(?s)the adapter breaks .*{promise}"):
        check_adapter(adapter, table())


def test_a_sound_adapter_breaks_nothing() -> None:
    check_adapter(Sound, table(), tolerance=1e-15)


def test_the_subject_is_the_file_that_was_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"weights")
    with pytest.raises(AssertionError, match="there is no subject, although there is a file"):
        check_adapter(Sound, table(), path=path)

    class OtherBytes(Sound):
        subject = Subject(name="model.bin", digest={"sha256": hashlib.sha256(b"others").hexdigest()})

    with pytest.raises(AssertionError, match="is not that of the file"):
        check_adapter(OtherBytes, table(), path=path)


def test_several_broken_promises_are_told_at_once() -> None:
    class Worse(TakesColumnsByPosition):
        device = "My Laptop"

    with pytest.raises(AssertionError, match="(?s)no device.*order of the columns"):
        check_adapter(Worse, table())


def test_too_few_rows_show_nothing() -> None:
    with pytest.raises(InputError, match="at least 4 rows"):
        check_adapter(Sound, table(3))


def test_our_adapters_for_estimators_and_onnx_keep_their_promises(tmp_path: Path) -> None:
    path = models.save(models.linear(), tmp_path / "model.onnx")
    check_adapter(lambda: load_model(path, columns=NAMES), table(), path=path, tolerance=1e-6)
    fitted = LogisticRegression().fit(table(), (table()["a"] > 0).to_numpy().astype(int))
    check_adapter(lambda: as_predictor(fitted), table(), tolerance=1e-12, refusals=(ValueError,))
